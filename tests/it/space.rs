//! Disks that are too small, or full.

use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::durable::{files, start};
use crate::harness::{Origin, bytes, eventually};
use crate::programs;
use crate::wire::Request;

/// A small file system of its own, as long as this is there.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// In place of where a server keeps its objects, which has been stopped.
    fn below(origin: &Origin, size: &str) -> Self {
        let folder = origin.data_dir().join("objects");
        let options = format!("size={size},mode=0700");
        let words = ["-t", "tmpfs", "-o", &options, "tmpfs"].map(OsStr::new);
        programs::mount(&[&words, &[folder.as_os_str()][..]].concat());
        Self(folder)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        programs::unmount(&["-l".as_ref(), self.0.as_os_str()]);
    }
}

fn name(n: u64) -> String {
    format!("live/{n:03}.ts")
}

/// Compares what is there with what was pushed; says from which number on it is, and that none is missing from there.
fn kept(origin: &Origin, pushed: u64, length: usize) -> u64 {
    let mut first = None;
    for n in 0..pushed {
        let answer = origin.get(&name(n));
        match answer.status {
            200 => {
                assert!(answer.body == bytes(n, length), "{n} is damaged");
                first.get_or_insert(n);
            }
            404 => assert_eq!(first, None, "{n} is gone, and an older one is there"),
            status => panic!("{n}: {status}"),
        }
    }
    first.expect("nothing is there")
}

fn readiness(origin: &Origin) -> String {
    let ready = Request::new("GET", "/readyz").send(origin.address);
    assert_eq!(ready.status, 200, "{ready:?}");
    ready.text()
}

fn said(origin: &Origin, what: &str) -> usize {
    origin.log().iter().filter(|line| line["message"].as_str().unwrap_or_default().contains(what)).count()
}

#[test]
fn a_disk_smaller_than_its_capacity_keeps_the_newest() {
    let (mut origin, _folder) = start("hot_capacity = \"8MiB\"\nmax_object_size = \"1MiB\"\n");
    origin.stop();
    let _disk = SmallDisk::below(&origin, "24m");
    origin.launch();
    origin.store("live/index.m3u8", "#EXTM3U\n");
    for n in 0..150u64 {
        let begun = Instant::now();
        origin.store(&name(n), bytes(n, 500_000));
        assert!(origin.get(&name(n)).body == bytes(n, 500_000), "the live edge is there");
        assert!(begun.elapsed() < Duration::from_secs(1), "an upload or a read waited for the disk");
    }
    let idle = || (origin.metric("springhead_durable_waiting_changes") == 0.0).then_some(());
    eventually(Duration::from_secs(20), idle).expect("all is written");
    let line = origin.wait_for_log(
        "the durable tier has less space than durable_capacity: its oldest segments go early; give it more, or a smaller \
         durable_capacity",
    );
    assert_eq!(line["level"], "WARN");
    assert_eq!(said(&origin, "less space than"), 1, "once");
    assert_eq!(said(&origin, "in memory only"), 0);
    assert!(readiness(&origin).contains("less than durable_capacity"));
    assert_eq!(origin.metric("springhead_durable_up"), 1.0);
    let budget = origin.metric("springhead_durable_budget_bytes");
    assert!((15e6..25e6).contains(&budget) && budget < origin.metric("springhead_durable_capacity_bytes"), "{budget}");
    assert!(origin.metric("springhead_durable_objects_removed_total{reason=\"evicted\"}") > 90.0);
    let failed = origin.metric("springhead_durable_writes_total{outcome=\"failed\"}");
    assert!(failed <= 30.0, "what fits is known after a while: {failed} writes found no space");
    origin.signal("KILL");
    origin.wait();
    origin.launch();
    origin.wait_for_log("everything in the durable tier is known");
    let first = kept(&origin, 150, 500_000);
    assert!((100..125).contains(&first), "the disk takes some 40, it has them from {first} on");
    assert_eq!(origin.get("live/index.m3u8").text(), "#EXTM3U\n", "the playlist is as old as the oldest, and is needed");
    assert!(files(&origin.data_dir().join("objects/.new")).is_empty(), "nothing is half-written");
    // And so it goes on.
    for n in 150..180u64 {
        origin.store(&name(n), bytes(n, 500_000));
    }
    eventually(Duration::from_secs(20), || (origin.metric("springhead_durable_waiting_changes") == 0.0).then_some(()))
        .expect("all is written");
    origin.stop();
    origin.launch();
    assert!(kept(&origin, 180, 500_000) > 130);
}

#[test]
fn uploads_that_are_to_be_durable_get_room_on_a_small_disk() {
    let (mut origin, _folder) = start("ack = \"durable\"\nhot_capacity = \"8MiB\"\nmax_object_size = \"1MiB\"\n");
    origin.stop();
    let _disk = SmallDisk::below(&origin, "12m");
    origin.launch();
    let mut longest = Duration::ZERO;
    for n in 0..60u64 {
        let begun = Instant::now();
        origin.store(&name(n), bytes(n, 500_000));
        longest = longest.max(begun.elapsed());
    }
    assert!(longest < Duration::from_secs(2), "an upload took {longest:?}");
    origin.signal("KILL");
    origin.wait();
    origin.launch();
    origin.wait_for_log("everything in the durable tier is known");
    let first = kept(&origin, 60, 500_000);
    assert!(first <= 45, "the disk takes some 20, it has them from {first} on");
    assert!(files(&origin.data_dir().join("objects/.new")).is_empty());
}

#[test]
fn a_disk_that_another_fills_is_loud_and_costs_nobody_but_the_past() {
    let (mut origin, _folder) = start("hot_capacity = \"8MiB\"\nmax_object_size = \"1MiB\"\n");
    origin.stop();
    let disk = SmallDisk::below(&origin, "12m");
    origin.launch();
    origin.store("live/index.m3u8", "#EXTM3U\n");
    eventually(Duration::from_secs(10), || (origin.metric("springhead_durable_objects") == 1.0).then_some(())).unwrap();
    // All of it, so that nothing the server can remove makes room.
    let other = disk.0.join("another.bin");
    assert!(fs::write(&other, vec![1; 16 << 20]).is_err(), "it is full");
    for n in 0..100u64 {
        let begun = Instant::now();
        origin.store(&name(n), bytes(n, 1_000_000));
        assert!(begun.elapsed() < Duration::from_secs(1), "an upload waited for the disk");
        assert!(origin.get(&name(n)).body == bytes(n, 1_000_000), "the live edge is there");
    }
    let line = origin.wait_for_log("the durable tier is full: new objects are in memory only until there is space");
    assert_eq!(line["level"], "ERROR");
    assert_eq!(said(&origin, "tier is full"), 1, "once");
    assert!(readiness(&origin).contains("no space left"));
    assert_eq!(origin.metric("springhead_durable_up"), 0.0);
    assert!(origin.metric("springhead_objects_lost_total{reason=\"evicted\"}") > 10.0);
    assert_eq!(origin.get("live/index.m3u8").status, 200, "no playlist goes for a segment");
    for n in 0..100u64 {
        let answer = origin.get(&name(n));
        assert!(answer.status == 404 || answer.body == bytes(n, 1_000_000), "{n}: {}", answer.status);
    }
    // Somebody makes space.
    fs::remove_file(&other).unwrap();
    let up = || {
        let is_up = origin.metric("springhead_durable_up") == 1.0;
        (is_up && origin.metric("springhead_durable_waiting_changes") == 0.0).then_some(())
    };
    eventually(Duration::from_secs(40), up).unwrap_or_else(|| panic!("it does not work again: {}", origin.metrics()));
    origin.wait_for_log("the durable tier works again");
    origin.store("after.ts", bytes(1, 1000));
    origin.stop();
    origin.launch();
    assert!(origin.get("after.ts").body == bytes(1, 1000));
    assert_eq!(origin.get("live/index.m3u8").status, 200);
}
