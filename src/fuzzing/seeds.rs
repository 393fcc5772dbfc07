//! Each entry point with what its fuzzing begins with: `fuzz/seeds`, in every run of the tests.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::TARGETS;
use crate::app::harvests::OrderDesk;
use crate::hls::mpd;
use crate::model::id::{Key, ObjectId};
use crate::origin::fuzzing::numbered;

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

/// The names in a folder, without what they end in.
fn names(folder: &str) -> BTreeSet<String> {
    let files = fs::read_dir(fuzz().join(folder)).unwrap();
    files.map(|file| file.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned()).collect()
}

#[test]
fn no_seed_breaks_a_rule() {
    for (name, target) in TARGETS {
        let seeds: Vec<_> = fs::read_dir(fuzz().join("seeds").join(name)).unwrap().map(|file| file.unwrap().path()).collect();
        assert!(!seeds.is_empty(), "{name} has none");
        for seed in seeds {
            let bytes = fs::read(&seed).unwrap();
            target(&bytes);
            // What was cut off, too.
            for end in [0, 1, bytes.len() / 3, bytes.len().saturating_sub(1)] {
                target(&bytes[..end.min(bytes.len())]);
            }
        }
    }
}

#[test]
fn seeds_get_as_far_as_they_are_meant_to() {
    let seed = |name: &str| fs::read(fuzz().join("seeds").join(name)).unwrap();
    let (entry, url, window, out) = OrderDesk::new().unwrap().read(&seed("order/bucket")).unwrap();
    assert_eq!((entry.key.as_str(), url.as_str()), ("a/p.m3u8", "https://live.example.com/cache/live/a/p.m3u8"));
    assert_eq!(out, "s3://bucket/vod/a");
    assert_eq!(window.to_string(), "start=1970-01-01T00:00:00.000Z&end=1970-01-01T00:00:01.000Z");
    let padded = mpd::parse(&seed("numbered/padded")[2..]).unwrap();
    let object = ObjectId { namespace: entry.namespace, key: Key::parse("a/p.mpd").unwrap() };
    let [asked, before, found] = numbered(&object, &padded, 100).remove(0).map(Option::unwrap);
    assert_eq!((asked.as_str(), before.as_str(), &found), ("a/m_v_00100.m4s", "a/m_v_00099.m4s", &before));
}

#[test]
fn every_entry_point_is_fuzzed() {
    let known: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(names("seeds"), known);
    assert_eq!(names("fuzz_targets"), known);
    let manifest = fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
    for (name, _) in TARGETS {
        assert!(manifest.contains(&format!("name = \"{name}\"\npath = \"fuzz_targets/{name}.rs\"")), "{name}");
    }
}
