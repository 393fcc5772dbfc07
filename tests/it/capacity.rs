//! What happens when there is no room.

use std::time::Duration;

use crate::harness::{Origin, bytes, eventually};
use crate::wire::{Request, Wire};

const SMALL: &str = "max_in_flight = \"3MiB\"\n[namespaces.live-origin]\nhot_capacity = \"4MiB\"\ndurable = \"off\"\nmax_object_size = \"1MiB\"\n";

/// An initialisation segment as every packager writes it.
fn init() -> Vec<u8> {
    [&[0, 0, 0, 8][..], b"ftyp", &[0, 0, 0, 16], b"moov", &[0; 8]].concat()
}

#[test]
fn the_oldest_segments_go_and_playlists_and_init_segments_stay() {
    let origin = Origin::start_with_settings(SMALL);
    origin.store("master.m3u8", "#EXTM3U\n");
    origin.store("init.mp4", init());
    for n in 0..100u64 {
        origin.store(&format!("{n:05}.m4s"), bytes(n, 500_000));
        assert!(origin.get(&format!("{n:05}.m4s")).body == bytes(n, 500_000), "what was just acknowledged is there");
    }
    let present: Vec<u64> = (0..100).filter(|n| origin.get(&format!("{n:05}.m4s")).status == 200).collect();
    assert_eq!(present, (100 - present.len() as u64..100).collect::<Vec<_>>(), "the newest ones");
    assert!(present.len() >= 7, "{present:?}");
    assert_eq!(origin.get("master.m3u8").status, 200);
    assert!(origin.get("init.mp4").body == init());
    let stored = origin.metric("springhead_hot_stored_bytes{namespace=\"live-origin\"}");
    assert!(stored <= f64::from(4 << 20) && stored > f64::from(3 << 20), "{stored}");
    let evicted =
        origin.metric("springhead_hot_objects_removed_total{namespace=\"live-origin\",reason=\"evicted\",kind=\"segment\"}");
    assert!((evicted - (100 - present.len()) as f64).abs() < f64::EPSILON, "each is counted");
}

#[test]
fn segments_that_are_read_outlive_neighbours_but_never_push_out_the_live_edge() {
    let origin = Origin::start_with_settings(SMALL);
    for n in 0..60u64 {
        origin.store(&format!("{n}.ts"), bytes(n, 400_000));
        for old in 0..=n {
            origin.get(&format!("{old}.ts"));
        }
        for recent in n.saturating_sub(3)..=n {
            assert_eq!(origin.get(&format!("{recent}.ts")).status, 200, "{recent} of {n}");
        }
    }
}

#[test]
fn past_the_limit_on_bytes_in_flight_an_upload_is_told_to_come_back() {
    let origin = Origin::start_with_settings(SMALL);
    let mut open = Vec::new();
    for n in 0..2 {
        let head =
            Request::new("PUT", origin.path(&format!("{n}.ts"))).bearer(&origin.encoder).header("Content-Length", "1048576");
        let mut wire = Wire::open(origin.address);
        wire.write(String::from_utf8(head.to_bytes()).unwrap().replace("Content-Length: 0\r\n", ""));
        open.push(wire);
    }
    let in_flight = || origin.metric("springhead_in_flight_bytes");
    assert!(eventually(Duration::from_secs(5), || (in_flight() > f64::from(2 << 20)).then_some(())).is_some());
    let refused = origin.put("x.ts", bytes(1, 1 << 20));
    assert_eq!((refused.status, &*refused.problem()), (503, "too-many-bytes-in-flight"));
    assert_eq!(refused.header("retry-after"), "1");
    assert_eq!(origin.refusals()[0]["reason"], "too-many-bytes-in-flight");
    // Unannounced bytes are counted as they come.
    let refused = Request::new("PUT", origin.path("y.ts")).bearer(&origin.encoder).chunked(bytes(1, 1 << 20), 10_000);
    let mut wire = Wire::open(origin.address);
    wire.try_write(&refused.to_bytes());
    assert_eq!(wire.answer_to("PUT").status, 503);
    origin.store("small.ts", "there is room for this");
    for wire in &mut open {
        wire.write(bytes(2, 1 << 20));
        assert_eq!(wire.answer_to("PUT").status, 204, "those that were admitted end well");
    }
    assert!(eventually(Duration::from_secs(5), || (in_flight() == 0.0).then_some(())).is_some());
    origin.store("x.ts", bytes(1, 1 << 20));
}
