//! The disk on a real file system.

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use springhead::metrics::Metrics;
use springhead::model::clock::Clock;
use springhead::model::id::Namespace;
use springhead::model::kind::Kind;
use springhead::store::cold::disk::Disk;
use springhead::store::cold::{Care, Cold};
use springhead::store::{Ack, Durable, Options, Store, Want};

use super::conformance::{attributes, check, key, listed};

fn open(folder: &std::path::Path) -> Disk {
    Disk::open(folder, &Namespace::parse("live-origin").unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_disk_conforms() {
    let folder = tempfile::tempdir().unwrap();
    check(Arc::new(open(folder.path()))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_in_memory_conforms() {
    // Another file system than the one above, on most machines.
    if let Ok(folder) = tempfile::tempdir_in("/dev/shm") {
        check(Arc::new(open(folder.path()))).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_are_plain_files_and_outlive_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let body = Bytes::from_static(b"#EXTM3U\n");
    let kept = attributes(&body, Kind::Playlist);
    open(folder.path()).put(&key("live/a.m3u8"), body.clone(), &kept, Care::Synced).await.unwrap();
    assert_eq!(fs::read(folder.path().join("live-origin/live/a.m3u8")).unwrap(), &body[..]);
    let beside = fs::read_to_string(folder.path().join(".meta/live-origin/live/a.m3u8.json")).unwrap();
    let beside: serde_json::Value = serde_json::from_str(&beside).unwrap();
    assert_eq!(beside["key"], "live/a.m3u8");
    let again = open(folder.path());
    again.recover().await.unwrap();
    assert_eq!(again.get(&key("live/a.m3u8")).await.unwrap(), Some((kept, body)));
    assert_eq!(listed(&again).await.len(), 1);
}

/// Start-up with many objects: 1,000, or as many as `SPRINGHEAD_TEST_OBJECTS` says.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_knows_many_objects_at_once() {
    let count: usize = std::env::var("SPRINGHEAD_TEST_OBJECTS").ok().and_then(|text| text.parse().ok()).unwrap_or(1_000);
    let folder = tempfile::tempdir().unwrap();
    let name = Namespace::parse("live-origin").unwrap();
    let options = Options { ack: Ack::Hot, capacity: 1 << 40, write_behind: 1 << 40 };
    let start = async || {
        let metrics = Metrics::new();
        let figures = metrics.namespace(&name);
        let store = Store::new(1 << 30, Clock::system(), &metrics).with_objects_in(folder.path().to_owned());
        let hot = store.open(64 << 20, figures.clone());
        let begun = Instant::now();
        let durable_tier = store.open_durable_tier(&name, &hot, &Durable::Disk, options, figures.durable);
        durable_tier.opened().await;
        (hot, durable_tier, begun.elapsed())
    };
    let (hot, durable_tier, _) = start().await;
    let begun = Instant::now();
    for n in 0..count {
        let key = key(&format!("channel{}/{n}.ts", n % 50));
        let mut upload = hot.create(&key, Some(3), hot.stamp()).unwrap();
        upload.write(Bytes::from_static(b"abc")).unwrap();
        let body = upload.body();
        let attributes = attributes(&body.bytes, Kind::Segment);
        let mut meta = attributes.to_meta(hot.clock());
        meta.expires = hot.clock().now() + Duration::from_secs(3600);
        upload.publish(body, meta, hot.clock().now(), |_| true).unwrap();
    }
    durable_tier.close().await;
    let written = begun.elapsed();
    let mut opened = Vec::new();
    for in_order in [true, false] {
        let (hot, durable_tier, after) = start().await;
        opened.push(after);
        let last = key(&format!("channel{}/{}.ts", (count - 1) % 50, count - 1));
        assert!(hot.peek(&last).is_none());
        assert_eq!(durable_tier.read(&last, |_| Want::Whole).await.unwrap().unwrap().entry.body, "abc");
        assert_eq!(durable_tier.read(&key("none"), |_| Want::Whole).await.map(|hit| hit.is_none()), Ok(true));
        if in_order {
            durable_tier.close().await;
            // As if it had been killed then.
            let logs = folder.path().join(".index/live-origin/disk");
            let last =
                fs::read_dir(logs).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some()).max();
            fs::write(last.unwrap(), "").unwrap();
        } else {
            durable_tier.close().await;
        }
    }
    eprintln!(
        "{count} objects: written in {written:?}; open after a stop in order in {:?}, after a kill in {:?}",
        opened[0], opened[1]
    );
    let limit = Duration::from_secs(2) * u32::try_from(count.div_ceil(100_000)).unwrap();
    assert!(opened.iter().all(|after| *after < limit), "{opened:?}");
}
