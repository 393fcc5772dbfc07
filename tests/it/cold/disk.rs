//! The disk on a real file system.

use std::fs;
use std::sync::Arc;

use bytes::Bytes;
use springhead::model::id::Namespace;
use springhead::model::kind::Kind;
use springhead::store::cold::disk::Disk;
use springhead::store::cold::{Care, Cold};

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
