//! What happens when there is no room.

mod memory;

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
fn a_segment_that_is_read_outlives_its_neighbours() {
    let origin = Origin::start_with_settings(SMALL);
    // Ten have room: of the others each goes in its turn.
    for n in 0..60u64 {
        origin.store(&format!("{n}.ts"), bytes(n, 400_000));
        if n >= 20 {
            assert_eq!(origin.get("20.ts").status, 200, "it is read all the time: {n}");
        }
    }
    let neighbours: Vec<u16> = (0..45).filter(|n| *n != 20).map(|n| origin.get(&format!("{n}.ts")).status).collect();
    assert!(neighbours.iter().all(|status| *status == 404), "nobody has read them: {neighbours:?}");
}

#[test]
fn segments_that_are_all_read_never_push_out_the_live_edge() {
    let origin = Origin::start_with_settings(SMALL);
    for n in 0..30u64 {
        origin.store(&format!("{n}.ts"), bytes(n, 400_000));
        // All that are there, the older ones first.
        for old in n.saturating_sub(11)..=n {
            origin.get(&format!("{old}.ts"));
        }
        for recent in n.saturating_sub(3)..=n {
            assert_eq!(origin.get(&format!("{recent}.ts")).status, 200, "{recent} of {n}");
        }
    }
}

/// Begins an upload of 1 MiB and sends this much of it.
fn begin(origin: &Origin, path: &str, key: &str, sent: usize) -> Wire {
    let head = Request::new("PUT", path.to_owned()).bearer(key).header("Content-Length", "1048576");
    let mut wire = Wire::open(origin.address);
    wire.write(String::from_utf8(head.to_bytes()).unwrap().replace("Content-Length: 0\r\n", ""));
    wire.write(bytes(2, sent));
    wire
}

#[test]
fn past_the_limit_on_bytes_in_flight_an_upload_is_told_to_come_back() {
    let origin = Origin::start_with_settings(SMALL);
    let mut open: Vec<Wire> =
        (0..2).map(|n| begin(&origin, &origin.path(&format!("{n}.ts")), &origin.encoder, 1_000_000)).collect();
    let in_flight = || origin.metric("springhead_in_flight_bytes");
    assert!(eventually(Duration::from_secs(5), || (in_flight() > 2e6).then_some(())).is_some());
    let refused = origin.put("x.ts", bytes(1, 1 << 20));
    assert_eq!((refused.status, &*refused.problem()), (503, "too-many-bytes-in-flight"));
    assert_eq!(refused.header("retry-after"), "1");
    assert_eq!(origin.refusals()[0]["reason"], "too-many-bytes-in-flight");
    // Unannounced bytes are counted as they come.
    let refused = Request::new("PUT", origin.path("y.ts")).bearer(&origin.encoder).chunked(bytes(1, 1 << 20), 10_000);
    let mut wire = Wire::open(origin.address);
    wire.try_write(&refused.to_bytes());
    assert_eq!(wire.answer_to("PUT").status, 503);
    for wire in &mut open {
        wire.write(bytes(2, (1 << 20) - 1_000_000));
        assert_eq!(wire.answer_to("PUT").status, 204);
    }
    assert!(eventually(Duration::from_secs(5), || (in_flight() == 0.0).then_some(())).is_some());
    origin.store("x.ts", bytes(1, 1 << 20));
}

#[test]
fn an_upload_that_announces_much_and_sends_nothing_takes_nothing_from_anybody() {
    let origin = Origin::start_with_settings(SMALL);
    origin.store("live.ts", bytes(1, 1 << 20));
    let _silent: Vec<Wire> =
        (0..40).map(|n| begin(&origin, &origin.path(&format!("silent/{n}.ts")), &origin.encoder, 0)).collect();
    let uploading = || origin.metric("springhead_hot_uploading_bytes{namespace=\"live-origin\"}");
    assert!(eventually(Duration::from_secs(5), || (uploading() > 30_000.0).then_some(())).is_some());
    assert!(uploading() < 50_000.0, "{}", uploading());
    assert_eq!(origin.get("live.ts").status, 200, "nothing went for them");
    for n in 0..3 {
        origin.store(&format!("{n}.ts"), bytes(n, 1 << 20));
    }
}

#[test]
fn one_who_fills_what_may_be_in_flight_leaves_something_to_others() {
    let settings = "max_in_flight = \"4MiB\"\n[namespaces.live-origin]\nmax_object_size = \"1MiB\"\n\
                    [namespaces.other]\nmax_object_size = \"1MiB\"\n";
    let origin = Origin::start_with_settings(settings);
    let mut held: Vec<Wire> =
        (0..8).map(|n| begin(&origin, &origin.path(&format!("{n}.ts")), &origin.encoder, 1_000_000)).collect();
    let in_flight = || origin.metric("springhead_in_flight_bytes");
    assert!(eventually(Duration::from_secs(5), || (in_flight() > 1.9e6).then_some(())).is_some());
    let put = |namespace: &str, size| {
        let path = format!("/cache/{namespace}/x.ts");
        Request::new("PUT", path).bearer(&origin.encoder).body(bytes(1, size)).send(origin.address).status
    };
    assert_eq!(put("live-origin", 900_000), 503, "more of the same");
    let (other, _) = origin.make_key(&["--namespace", "other", "--role", "readwrite"]);
    let stored = Request::new("PUT", "/cache/other/x.ts").bearer(&other).body(bytes(1, 500_000)).send(origin.address);
    assert_eq!(stored.status, 204, "{}", stored.text());
    held.clear();
    assert!(eventually(Duration::from_secs(5), || (in_flight() == 0.0).then_some(())).is_some());
    assert_eq!(put("live-origin", 900_000), 204);
}
