//! The systemd unit as shipped: does systemd read it without complaint, is it strict, and does it hold to what the oldest supported
//! version (249) knows? That the program starts, is ready, reloads and stops under a manager is in `reload.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;

use serde_json::json;

use crate::cloud::{BUCKET, Kit, Server};
use crate::harness::{BINARY, Origin, bytes, eventually};
use crate::programs::program;
use crate::tls::Authority;
use crate::wire::Request;

const UNIT: &str = include_str!("../../config/springhead.service");

/// Each directive of the unit in the version of systemd that brought it, by its NEWS file.
const KNOWN: [(&str, u32); 52] = [
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
    // A socket unit would start one that is given up for each connection that waits, and be given up itself.
    assert_eq!((value("Restart"), value("RestartPreventExitStatus")), (Some("always"), None), "wrong settings are mended, too");
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

/// The system calls of each of systemd's sets, with those of the sets that it names.
fn syscall_sets() -> BTreeMap<String, BTreeSet<String>> {
    let listed = program("systemd-analyze").arg("syscall-filter").output().unwrap();
    let text = String::from_utf8(listed.stdout).unwrap();
    let mut sets: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut name = String::new();
    for line in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
        if line.starts_with('@') {
            line.clone_into(&mut name);
        } else if !line.trim().is_empty() {
            sets.entry(name.clone()).or_default().insert(line.trim().to_owned());
        }
    }
    // A set names others, and those others again.
    for _ in 0..4 {
        let before = sets.clone();
        for members in sets.values_mut() {
            let inner: Vec<String> = members.iter().filter(|member| member.starts_with('@')).cloned().collect();
            members.extend(inner.iter().filter_map(|set| before.get(set)).flatten().cloned());
        }
    }
    sets
}

/// The names of the system calls in what `strace -f` has written.
fn called(trace: &std::path::Path) -> BTreeSet<String> {
    let text = fs::read_to_string(trace).unwrap_or_default();
    let names = text.lines().filter_map(|line| {
        let rest = line.trim_start_matches(|c: char| c.is_ascii_digit()).trim_start();
        let rest = rest.strip_prefix("<... ").unwrap_or(rest);
        let name = rest.split(['(', ' ']).next()?;
        name.starts_with(|c: char| c.is_ascii_lowercase()).then(|| name.to_owned())
    });
    names.collect()
}

#[test]
fn what_the_server_calls_is_within_the_units_filter() {
    let sets = syscall_sets();
    let allowed: BTreeSet<&String> = sets["@system-service"]
        .iter()
        .filter(|call| !sets["@privileged"].contains(*call) && !sets["@resources"].contains(*call))
        .collect();
    assert!(UNIT.contains("SystemCallFilter=@system-service\nSystemCallFilter=~@privileged @resources\n") && allowed.len() > 100);

    let authority = Authority::new();
    let bucket = Server::start(Kit::Moto).expect("tests/run installs it");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("springhead.toml");
    let recordings = folder.path().join("recordings");
    let settings = format!(
        "[access_log]\noutput = \"stderr\"\n[harvest]\nfolder = \"{}\"\n[namespaces.live-origin]\n[namespaces.bucket]\ndurable = \"s3://{BUCKET}/x\"\n",
        recordings.display()
    );
    fs::write(&file, settings).unwrap();
    authority.sign("cert.pem", "key.pem");
    let [certificate, key] = ["cert.pem", "key.pem"].map(|name| authority.path(name).display().to_string());
    let arguments =
        ["--config", file.to_str().unwrap(), "--tls-listen", "127.0.0.1:0", "--tls-certificate", &certificate, "--tls-key", &key];
    let mut origin = Origin::start_in(&arguments, &bucket.access().0);
    origin.stop();
    let trace = folder.path().join("server.txt");
    // The tracer aside, so that signals reach the server.
    origin.launch_under(&["strace", "-D", "-f", "-qq", "-s", "0", "-e", "signal=none", "-o", trace.to_str().unwrap()]);

    let mut playlist = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:0\n".to_owned();
    for n in 0..3 {
        origin.store(&format!("show/{n}.ts"), bytes(n, 188_000));
        playlist += &format!("#EXTINF:2,\n{n}.ts\n");
    }
    origin.store("show/p.m3u8", playlist.into_bytes());
    let other = Request::new("PUT", "/cache/bucket/a.ts").bearer(&origin.encoder).body(bytes(9, 10_000)).send(origin.address);
    assert_eq!(other.status, 204, "{}", other.text());
    let order = json!({"namespace": "live-origin", "playlist": "show/p.m3u8", "last": "1h", "out": "rec"}).to_string();
    let order = Request::new("POST", "/v1/harvest").header("Content-Type", "application/json").body(order).send(origin.admin);
    assert_eq!(order.status, 202, "{}", order.text());
    assert!(
        eventually(Duration::from_secs(60), || recordings.join("rec/playlist.m3u8").is_file().then_some(())).is_some(),
        "it records"
    );
    assert!(origin.metrics().contains("springhead_build_info"));
    let line = origin.log().into_iter().rev().find(|line| line["message"] == "listening" && line["tls"] == true).unwrap();
    let url = format!("https://{}/", line["address"].as_str().unwrap());
    let doctors = folder.path().join("doctor.txt");
    let mut doctor = program("strace");
    doctor.args([
        "-f",
        "-qq",
        "-s",
        "0",
        "-e",
        "signal=none",
        "-o",
        doctors.to_str().unwrap(),
        BINARY,
        "doctor",
        &url,
        "--watch",
        "0s",
    ]);
    doctor.args(["--playlist", "show/p.m3u8", "--key", &origin.player, "--ca", authority.path("ca.pem").to_str().unwrap()]);
    let said = doctor.output().unwrap();
    assert!(String::from_utf8_lossy(&said.stdout).contains("ok       read"), "{said:?}");
    origin.signal("HUP");
    origin.wait_for_log("settings reloaded");
    origin.stop();

    for (who, trace) in [("the server", &trace), ("the doctor", &doctors)] {
        let calls = eventually(Duration::from_secs(20), || Some(called(trace)).filter(|calls| calls.contains("exit_group")));
        let calls = calls.unwrap_or_else(|| panic!("{who}: {:?}", called(trace)));
        assert!(calls.len() > 30 && calls.contains("connect"), "{who}: {calls:?}");
        let outside: Vec<&String> = calls.iter().filter(|call| !allowed.contains(call)).collect();
        assert!(outside.is_empty(), "{who} calls what the unit does not allow: {outside:?}");
    }
}
