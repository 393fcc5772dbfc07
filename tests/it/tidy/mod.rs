//! The house's own rules, checked on its sources.

mod circles;
mod names;
mod needs;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What stands on no floor: the house itself, its door, and the bench that tries its readers (not built into it).
const OUTSIDE: [&str; 3] = ["lib", "main", "fuzzing"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every file of Rust below a folder, what is built of it apart.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") {
            files.extend(files_below(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// Every source file below `src`, with its path from there and its text.
fn sources() -> Vec<(String, String)> {
    let files = files_below(&root().join("src"));
    assert!(files.len() > 40, "the sources are found");
    let name = |path: &Path| path.strip_prefix(root().join("src")).unwrap().to_str().unwrap().to_owned();
    files.iter().map(|path| (name(path), fs::read_to_string(path).unwrap())).collect()
}

/// What stands before the unit tests of a file.
fn without_tests(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests {").next().unwrap()
}

/// The lines that are code: neither comment nor documentation.
fn code(text: &str) -> impl Iterator<Item = &str> {
    without_tests(text).lines().map(str::trim).filter(|line| !line.starts_with("//"))
}

fn floor(module: &str) -> Option<usize> {
    let floors: [&[&str]; 7] = [&["model"], &["media", "metrics"], &["auth", "hls"], &["store"], &["origin"], &["web"], &["app"]];
    floors.iter().position(|modules| modules.contains(&module))
}

#[test]
fn modules_use_only_floors_below_their_own() {
    for (file, text) in sources() {
        let own = file.split('/').next().unwrap().trim_end_matches(".rs");
        let Some(own_floor) = floor(own) else {
            assert!(OUTSIDE.contains(&own), "{file} stands on no floor: give it one here and in the map");
            continue;
        };
        for line in code(&text) {
            for used in line.split("crate::").skip(1) {
                let used = used.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next().unwrap();
                if used == own {
                    continue;
                }
                let Some(used_floor) = floor(used) else { panic!("{file} uses crate::{used}, which stands on no floor") };
                assert!(used_floor < own_floor, "{file} uses crate::{used}, which is not below it");
                // They stand above the metrics and judge without them: what is found is counted by those who asked.
                let is_pure = !matches!(own, "auth" | "hls" | "media") || used == "model";
                assert!(is_pure, "{file} uses crate::{used}: {own} judges by words alone");
            }
        }
    }
}

#[test]
fn files_beside_each_other_use_each_other_in_one_direction() {
    assert_eq!(circles::circles(&sources()), [""; 0]);
}

#[test]
fn a_foreign_crate_is_known_in_one_place() {
    let places = [
        ("dashmap", "store/hot/map.rs"),
        ("jsonwebtoken", "auth/key.rs"),
        ("aws_lc_rs", "auth/signing.rs"),
        ("md5", "auth/digest.rs"),
        ("twox_hash", "store/hash.rs"),
        ("redis", "store/shared/engine/valkey/mod.rs"),
        ("object_store", "store/cold/cloud/bucket.rs"),
        ("prometheus_client", "metrics/mod.rs"),
        ("toml", "app/settings/file.rs"),
        ("clap", "app/args.rs"),
        ("clap_complete", "app/generate.rs"),
        ("clap_mangen", "app/generate.rs"),
        ("tracing_subscriber", "app/telemetry.rs"),
        ("tracing_appender", "app/telemetry.rs"),
        ("hyper", "web/connection/listener.rs"),
        ("hyper_util", "web/connection/listener.rs"),
        ("rustls", "web/connection/tls.rs"),
        ("x509_parser", "web/connection/tls.rs"),
        ("uuid", "web/request_id.rs"),
        ("miniz_oxide", "hls/coding.rs"),
        ("quick_xml", "hls/mpd.rs"),
        ("percent_encoding", "model/percent.rs"),
        ("itoa", "web/mod.rs"),
        ("strsim", "app/settings/file.rs"),
        ("humantime", "app/keys.rs"),
        ("opentelemetry", "app/traces.rs"),
        ("opentelemetry_otlp", "app/traces.rs"),
        ("opentelemetry_sdk", "app/traces.rs"),
        ("listenfd", "app/supervisor.rs"),
        ("sd_notify", "app/supervisor.rs"),
        ("rlimit", "app/serve.rs"),
        ("rustix", "app/resources.rs"),
        ("socket2", "app/listeners.rs"),
        ("tikv_jemallocator", "main.rs"),
        ("reqwest", "app/client/http.rs"),
        ("indicatif", "app/client/progress.rs"),
        ("anstream", "app/doctor/report.rs"),
    ];
    let files = sources();
    for (name, place) in places {
        let knows = |text: &str| {
            code(text).any(|line| {
                line.match_indices(&format!("{name}::"))
                    .any(|(at, _)| !line[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':')))
            })
        };
        let found: Vec<&str> = files.iter().filter(|(_, text)| knows(text)).map(|(file, _)| file.as_str()).collect();
        // The key module reaches the provider through jsonwebtoken's own path.
        assert_eq!(found, [place], "{name}");
    }
}

#[test]
fn the_web_floor_never_sees_the_store() {
    for (file, text) in sources() {
        if file.starts_with("web/") {
            assert!(!code(&text).any(|line| line.contains("crate::store")), "{file}");
        }
    }
}

#[test]
fn every_module_says_what_it_is_for_and_none_is_endless() {
    for (file, text) in sources() {
        assert!(text.starts_with("//! "), "{file} begins with its duty");
        let lines = without_tests(&text).lines().count();
        assert!(lines <= 400, "{file} has {lines} lines: it has more than one duty");
    }
}

#[test]
fn every_module_is_on_the_map() {
    let map = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    for (file, _) in sources() {
        let module = file.split('/').next().unwrap().trim_end_matches(".rs").to_owned();
        assert!(OUTSIDE.contains(&&*module) || map.contains(&format!("| [`{module}`] |")), "{module} is not on the map");
    }
}

/// Functions and constants that are `pub` and named in no file outside their own folder: `pub(super)` would do. The compiler can't tell
/// (`unreachable_pub`): the floors are public for the benches, the fuzzer and the tests from outside. Types are left out, as their names need
/// not be written where their values go.
fn needless(files: &[(String, String)], outside: &[String]) -> Vec<String> {
    let words = |text: &str| -> BTreeSet<String> {
        let words = code(text).flat_map(|line| line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').map(str::to_owned));
        words.collect()
    };
    let used: Vec<_> = files.iter().map(|(file, text)| (file.as_str(), words(text))).collect();
    let abroad: BTreeSet<String> = outside.iter().flat_map(|text| words(text)).collect();
    let mut found = Vec::new();
    for (file, text) in files {
        let Some((folder, _)) = file.rsplit_once('/') else { continue };
        for line in code(text).filter_map(|line| line.strip_prefix("pub ")) {
            let line = line.trim_start_matches("async ");
            let rest =
                line.strip_prefix("const fn ").or_else(|| line.strip_prefix("fn ")).or_else(|| line.strip_prefix("const "));
            let name = rest.and_then(|rest| rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next());
            let Some(name) = name.filter(|name| !name.is_empty()) else { continue };
            let elsewhere =
                |(file, words): &(&str, BTreeSet<String>)| !file.starts_with(&format!("{folder}/")) && words.contains(name);
            if !abroad.contains(name) && !used.iter().any(elsewhere) {
                found.push(format!("{file}: {name}"));
            }
        }
    }
    found
}

#[test]
fn nothing_is_public_for_nobody() {
    let mut outside = Vec::new();
    for folder in ["tests", "benches", "fuzz"] {
        outside.extend(files_below(&root().join(folder)).iter().map(|path| fs::read_to_string(path).unwrap()));
    }
    let mut found = needless(&sources(), &outside);
    // The limit that its module's own documentation names to readers.
    found.retain(|item| !item.ends_with(": MAX_SEGMENTS"));
    assert_eq!(found, [""; 0]);
    let source = |file: &str, text: &str| (file.to_owned(), text.to_owned());
    let made_up = [
        source("a/x.rs", "pub fn alone() {}\npub fn used() {}\npub const BENCHED: u8 = 1;\npub(super) fn near() {}"),
        source("a/y.rs", "fn f() { alone(); near() }"),
        source("b.rs", "// alone\nfn f() { crate::a::x::used() }"),
    ];
    assert_eq!(needless(&made_up, &["x(BENCHED)".to_owned()]), ["a/x.rs: alone"]);
}

#[test]
fn nothing_is_left_open() {
    for (file, text) in sources() {
        for word in
            [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("X", "XX"), concat!("to", "do!("), concat!("unimpl", "emented!(")]
        {
            assert!(!text.contains(word), "{word} in {file}");
        }
    }
}

/// The names in a table of `Cargo.toml`, of all tables whose heading ends so.
fn named_in_manifest(manifest: &str, heading: &str) -> BTreeSet<String> {
    let mut is_in = false;
    let mut names = BTreeSet::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            is_in = line == format!("[{heading}]") || line.ends_with(&format!(".{heading}]"));
        } else if let Some((name, _)) = line.split_once(" = ").filter(|(name, _)| is_in && !name.starts_with(['#', ' '])) {
            names.insert(name.to_owned());
        }
    }
    names
}

/// What a lock file says that this crate needs.
fn locked(lock: &str) -> BTreeSet<String> {
    let own = lock.split("[[package]]").find(|package| package.contains("\nname = \"springhead\"\n")).unwrap();
    let (_, needs) = own.split_once("dependencies = [").unwrap();
    needs.lines().filter_map(|line| Some(line.trim().strip_prefix('"')?.split(['"', ' ']).next()?.to_owned())).collect()
}

/// Nothing builds the fuzzer every day, so nothing else would say that its lock file is behind.
#[test]
fn the_fuzzers_lock_file_knows_all_that_the_program_needs() {
    let read = |name: &str| fs::read_to_string(root().join(name)).unwrap();
    let needed = named_in_manifest(&read("Cargo.toml"), "dependencies");
    assert!(needed.len() > 30, "they are found");
    assert_eq!(needed, locked(&read("fuzz/Cargo.lock")), "(cd fuzz && cargo update -w)");
}
