//! The disk against a plain model, stopped after any file operation, opened again and compared.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use proptest::prelude::{Just, Strategy, any, prop, prop_oneof, proptest};
use proptest::test_runner::Config;

use super::Inner;
use crate::model::clock::WallTime;
use crate::model::id::{Key, Namespace};
use crate::model::kind::Kind;
use crate::store::cold::{Attributes, Care};
use crate::store::hash;

fn key(number: u8) -> Key {
    // A file and a folder of one name among them, and folders that come and go.
    let names = ["a", "a/b", "a/b/c.ts", "live/p.m3u8", "live/s1.ts", "x.y/z"];
    Key::parse(names[usize::from(number) % names.len()]).unwrap()
}

fn attributes(body: &[u8], stamp: u64) -> Attributes {
    Attributes {
        length: body.len() as u64,
        hash: hash::of_body(body),
        kind: Kind::Segment,
        content_type: HeaderValue::from_static("video/mp2t"),
        content_encoding: None,
        cache_control: None,
        etag: HeaderValue::from_static("\"x\""),
        modified: WallTime::from_millis(stamp),
        expires: WallTime::from_millis(stamp + 1000),
        target_duration: None,
        facts: None,
        continuity: None,
        blocks: crate::store::cold::Blocks::default(),
        version: None,
    }
}

fn open(folder: &std::path::Path) -> Inner {
    let mut disk = Inner::open(folder, &Namespace::parse("live-origin").unwrap(), super::Readers::Owner).unwrap();
    disk.settled = Duration::ZERO;
    disk
}

#[derive(Clone, Debug)]
enum Step {
    Put { key: u8, length: usize, synced: bool },
    Delete { key: u8 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (any::<u8>(), prop_oneof![Just(0usize), Just(5), Just(5), 1..2000usize], any::<bool>())
            .prop_map(|(key, length, synced)| Step::Put { key, length, synced }),
        1 => any::<u8>().prop_map(|key| Step::Delete { key }),
    ];
    prop::collection::vec(step, 1..12)
}

type Version = Option<(Attributes, Bytes)>;

/// Every file below a folder.
fn files(folder: &std::path::Path) -> usize {
    let mut count = 0;
    Inner::walk(folder, folder, &mut |_| {
        count += 1;
        true
    })
    .unwrap();
    count
}

proptest! {
    #![proptest_config(Config { cases: 300, failure_persistence: None, ..Config::default() })]

    #[test]
    fn after_a_crash_each_object_is_one_whole_version(
        steps in steps(), crash in 0u64..60, crash_again in prop_oneof![Just(None), (0u64..6).prop_map(Some)]
    ) {
        let folder = tempfile::tempdir().unwrap();
        let disk = open(folder.path());
        disk.files.fuse.burn_after(crash);
        let mut model: HashMap<Key, Version> = HashMap::new();
        // What the step that the crash came into would have made of its object.
        let mut torn: Option<(Key, Version)> = None;
        for (n, step) in steps.iter().enumerate() {
            let (key, version, done) = match *step {
                Step::Put { key: number, length, synced } => {
                    let body = Bytes::from(vec![u8::try_from(n).unwrap(); length]);
                    let attributes = attributes(&body, n as u64);
                    let care = if synced { Care::Synced } else { Care::Buffered };
                    let done = disk.put(&key(number), &body, &attributes, care, care == Care::Synced);
                    (key(number), Some((attributes, body)), done)
                }
                Step::Delete { key: number } => (key(number), None, disk.delete(&key(number), Care::Synced)),
            };
            if done.is_err() {
                torn = Some((key, version));
                break;
            }
            model.insert(key, version);
        }
        // The next process may crash while it mends.
        if let Some(crash) = crash_again {
            let mending = open(folder.path());
            mending.files.fuse.burn_after(crash);
            let _ = mending.recover().and_then(|()| mending.tidy());
        }
        let disk = open(folder.path());
        disk.recover().unwrap();
        let mut objects = 0;
        for number in 0..6 {
            let key = key(number);
            // A crash between the two files of a deletion, or of a mending, is never seen as damage.
            let found = disk.get(&key, None).unwrap();
            if let Some((attributes, body)) = &found {
                assert!(attributes.fits(body), "a torn object");
                assert_eq!(disk.head(&key).unwrap().as_ref(), Some(attributes));
                objects += 1;
            }
            let before = model.get(&key).cloned().flatten();
            let may_be = torn.as_ref().filter(|(torn, _)| *torn == key).map(|(_, version)| version);
            assert!(found == before || Some(&found) == may_be, "{key:?}: {found:?} is neither {before:?} nor {may_be:?}");
        }
        disk.tidy().unwrap();
        assert_eq!(files(folder.path()), 2 * objects, "nothing is left but the objects' two files");
        assert_eq!(disk.tidy().unwrap(), 0);
    }
}

/// A write is stopped before its last step, and so is what would have finished it, as where there is no space for a folder. What was written since then
/// is newer; and one write that can't be finished stops no other.
#[test]
fn what_is_finished_late_goes_over_nothing_newer_and_past_what_cannot_be() {
    let folder = tempfile::tempdir().unwrap();
    let [older, newer, other] = [&b"older"[..], b"newer one", b"other"].map(Bytes::from_static);
    let stop_before_the_end = |key: &Key, body: &Bytes, stamp: u64| {
        let disk = open(folder.path());
        // Body and attributes are there, each in two steps and one to begin it; the first rename is not made.
        disk.files.fuse.burn_after(4);
        disk.put(key, body, &attributes(body, stamp), Care::Buffered, false).unwrap_err();
    };
    stop_before_the_end(&key(3), &older, 1);
    let disk = open(folder.path());
    disk.put(&key(3), &newer, &attributes(&newer, 2), Care::Buffered, false).unwrap();
    stop_before_the_end(&key(4), &other, 1);
    // It sorts before all others, and can't be read.
    std::fs::create_dir(disk.staging.join("0-0.go")).unwrap();
    let disk = open(folder.path());
    disk.recover().unwrap_err();
    assert_eq!(disk.get(&key(3), None).unwrap(), Some((attributes(&newer, 2), newer)));
    assert_eq!(disk.get(&key(4), None).unwrap(), Some((attributes(&other, 1), other)));
    std::fs::remove_dir(disk.staging.join("0-0.go")).unwrap();
    disk.recover().unwrap();
    assert_eq!(files(folder.path()), 4, "nothing is left but the objects' two files");
}

#[test]
fn what_another_process_writes_is_let_be_until_it_is_old() {
    let folder = tempfile::tempdir().unwrap();
    let mut disk = open(folder.path());
    disk.settled = super::SETTLED;
    std::fs::write(disk.bodies.join("alone.ts"), b"x").unwrap();
    assert_eq!(disk.tidy().unwrap(), 0);
    disk.settled = Duration::ZERO;
    assert_eq!(disk.tidy().unwrap(), 1);
    assert_eq!(files(folder.path()), 0);
}

#[test]
fn damage_is_told_from_absence() {
    let folder = tempfile::tempdir().unwrap();
    let disk = open(folder.path());
    let body = Bytes::from_static(b"abcdef");
    for (number, length) in [(3, Some(3)), (4, None)] {
        disk.put(&key(number), &body, &attributes(&body, 1), Care::Buffered, false).unwrap();
        let place = disk.place(&key(number));
        match length {
            Some(length) => std::fs::write(&place.body, &body[..length]).unwrap(),
            None => std::fs::remove_file(&place.body).unwrap(),
        }
        let error = super::cold(&disk.get(&key(number), None).unwrap_err());
        assert!(matches!(error, crate::store::cold::ColdError::Damaged(_)), "{error}");
    }
    assert_eq!(disk.get(&key(0), None).unwrap(), None);
}
