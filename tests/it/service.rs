//! The systemd unit as shipped: does systemd read it without complaint, is it strict, and does it hold to what the oldest supported
//! version (249) knows? That the program starts, is ready, reloads and stops under a manager is in `reload.rs`.

use std::fs;

use crate::harness::BINARY;
use crate::programs::program;

const UNIT: &str = include_str!("../../config/springhead.service");

/// Each directive of the unit in the version of systemd that brought it, by its NEWS file.
const KNOWN: [(&str, u32); 53] = [
    ("After", 1),
    ("AmbientCapabilities", 229),
    ("CapabilityBoundingSet", 1),
    ("Description", 1),
    ("Environment", 1),
    ("EnvironmentFile", 1),
    ("ExecReload", 1),
    ("ExecStart", 1),
    ("Group", 1),
    ("LimitNOFILE", 1),
    ("LockPersonality", 235),
    ("MemoryDenyWriteExecute", 231),
    ("NoNewPrivileges", 187),
    ("NotifyAccess", 1),
    ("OOMScoreAdjust", 1),
    ("PrivateDevices", 209),
    ("PrivateMounts", 239),
    ("PrivateTmp", 1),
    ("ProtectClock", 245),
    ("ProtectControlGroups", 232),
    ("ProtectHome", 214),
    ("ProtectHostname", 242),
    ("ProtectKernelLogs", 244),
    ("ProtectKernelModules", 232),
    ("ProtectKernelTunables", 232),
    ("ProtectProc", 247),
    ("ProtectSystem", 214),
    ("RemoveIPC", 212),
    ("Restart", 1),
    ("RestartPreventExitStatus", 189),
    ("RestartSec", 1),
    ("RestrictAddressFamilies", 211),
    ("RestrictNamespaces", 233),
    ("RestrictRealtime", 231),
    ("RestrictSUIDSGID", 242),
    ("StartLimitIntervalSec", 230),
    ("StateDirectory", 235),
    ("StateDirectoryMode", 235),
    ("SystemCallArchitectures", 209),
    ("SystemCallErrorNumber", 209),
    ("SystemCallFilter", 187),
    ("TimeoutStartSec", 188),
    ("TimeoutStopSec", 188),
    ("Type", 1),
    ("UMask", 1),
    ("User", 1),
    ("WantedBy", 1),
    ("Wants", 1),
    ("WorkingDirectory", 1),
    ("LoadCredential", 247),
    ("ReadWritePaths", 231),
    ("MemoryMax", 231),
    ("CPUQuota", 213),
];

fn directives() -> impl Iterator<Item = (&'static str, &'static str)> {
    UNIT.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('='))
}

#[test]
fn the_unit_holds_to_what_systemd_249_knows() {
    for (name, value) in directives() {
        let known = KNOWN.iter().find(|(known, _)| *known == name);
        assert!(known.is_some_and(|(_, since)| *since <= 249), "{name}={value}: since when is there such a directive?");
    }
    let value = |wanted: &str| directives().find(|(name, _)| *name == wanted).map(|(_, value)| value);
    // `notify-reload` came with 253; before it, the whole line is passed over, and nobody waits for readiness.
    assert_eq!(value("Type"), Some("notify"));
    assert!(value("ExecReload").unwrap().ends_with("-HUP $MAINPID"));
    assert_eq!(value("RestartPreventExitStatus"), Some("2"), "wrong settings");
}

#[test]
fn systemd_reads_the_unit_without_a_word_and_finds_it_strict() {
    let folder = tempfile::tempdir().unwrap();
    let unit = folder.path().join("springhead.service");
    let text = UNIT.replace("/usr/local/bin/springhead", BINARY);
    assert!(text.contains(BINARY));
    fs::write(&unit, text).unwrap();
    let analyze = |arguments: &[&str]| {
        let mut command = program("systemd-analyze");
        // No manager is asked: there is none in a container.
        command.args(arguments).arg(&unit).env("SYSTEMD_LOG_TARGET", "console").output().unwrap()
    };
    let verified = analyze(&["verify", "--man=no"]);
    let said = String::from_utf8_lossy(&verified.stderr).into_owned();
    assert!(verified.status.success() && said.is_empty(), "{said}");
    // In tenths: 2.0 is where its own words go from OK to less.
    let judged = analyze(&["security", "--offline=true", "--threshold=20"]);
    assert!(judged.status.success(), "{}", String::from_utf8_lossy(&judged.stdout));
}
