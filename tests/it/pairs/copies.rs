//! What is not composed of two sources is that of the one whose segments viewers get.

use std::time::Duration;

use super::{PAIR, pairs, sides, twins};
use crate::harness::{Origin, eventually};

const MASTER: &str = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1000\np.m3u8\n\
                      #EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=100,URI=\"ifr/iframe.m3u8\"\n";

/// Key frames of a segment, which differ by side and by when they were written.
fn key_frames(number: usize, bytes: usize) -> String {
    format!(
        "#EXTM3U\n#EXT-X-VERSION:4\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:{number}\n#EXT-X-I-FRAMES-ONLY\n\
         #EXTINF:1.000000,\n#EXT-X-BYTERANGE:{bytes}@0\n../v{number}.ts\n"
    )
}

#[test]
fn a_playlist_of_key_frames_goes_to_the_other_source_with_its_stream() {
    let folder = tempfile::tempdir().unwrap();
    let slots = twins(folder.path());
    let origin = Origin::start_with_settings(PAIR);
    origin.store("live-a/master.m3u8", MASTER);
    origin.store("live-b/master.m3u8", MASTER);
    let [mut a, mut b] = sides([&origin; 2], &slots);
    for slot in 0..6 {
        a.push(slot);
        b.push(slot);
        origin.store("live-a/ifr/iframe.m3u8", key_frames(slot, 100));
        origin.store("live-b/ifr/iframe.m3u8", key_frames(slot, 200));
        assert_eq!(origin.get("live/ifr/iframe.m3u8").text(), key_frames(slot, 100));
    }
    // A stops.
    for slot in 6..10 {
        b.push(slot);
        let is_listed = || (pairs(&origin)[0]["sources"][1]["lines"].as_u64()? + 6 > slot as u64).then_some(());
        assert!(eventually(Duration::from_secs(10), is_listed).is_some(), "{slot}: {:?}", pairs(&origin));
    }
    assert_eq!(pairs(&origin)[0]["active"], "b");
    origin.store("live-b/ifr/iframe.m3u8", key_frames(9, 200));
    assert_eq!(origin.get("live/ifr/iframe.m3u8").text(), key_frames(9, 200));
    // And is back: viewers stay.
    origin.store("live-a/ifr/iframe.m3u8", key_frames(10, 100));
    assert_eq!(origin.get("live/ifr/iframe.m3u8").text(), key_frames(9, 200));
}
