//! Versions that say something else than the one before them, and texts that players trip over.

use super::{STALE_AFTER, Scene, key};
use crate::hls::texts::{head, listing, segment};

const P: &str = "a/p.m3u8";

/// What is told of this version after that one, without the start.
fn told(before: &str, after: &str) -> Vec<String> {
    let mut scene = Scene::new();
    scene.playlist(P, before);
    assert_eq!(scene.look(), ["started a/p.m3u8"], "{before}");
    scene.pass(1.0);
    scene.playlist(P, after);
    scene.look().into_iter().map(|event| event.strip_suffix(" a/p.m3u8").unwrap().to_owned()).collect()
}

#[test]
fn what_contradicts_the_version_before_is_told() {
    let list = |first: u64, names: std::ops::Range<u64>| listing(&head(first), "s", names);
    let event = |first: u64, last: u64| listing(&format!("{}#EXT-X-PLAYLIST-TYPE:EVENT\n", head(first)), "s", first..last);
    assert_eq!(told(&list(1, 1..5), &list(2, 2..6)), [""; 0]);
    assert_eq!(told(&list(1, 1..5), &list(2, 12..16)), ["segment-changed"]);
    assert_eq!(told(&list(1, 1..5), &list(5, 1..5)), ["sequence-shifted"]);
    assert_eq!(told(&list(1, 1..5), &list(0, 1..5)), ["sequence-shifted"], "and no restart");
    assert_eq!(told(&list(1, 1..5), &list(20, 20..24)), ["sequence-hole"]);
    assert_eq!(told(&list(1, 1..5), &list(2, 2..6).replace("DURATION:2", "DURATION:7")), ["target-changed"]);
    assert_eq!(told(&event(1, 5), &event(3, 7)), ["event-shortened"]);
    assert_eq!(told(&event(1, 5), &event(1, 9)), [""; 0]);
    let broken = list(1, 1..5).replace("#EXTINF:2,\ns2", "#EXT-X-DISCONTINUITY\n#EXTINF:2,\ns2");
    assert_eq!(told(&broken, &list(3, 3..7)), ["discontinuity-lost"]);
    let counted = list(3, 3..7).replace("#EXTINF:2,\ns3", "#EXT-X-DISCONTINUITY-SEQUENCE:1\n#EXTINF:2,\ns3");
    assert_eq!(told(&broken, &counted), [""; 0]);
}

#[test]
fn a_second_encoder_on_one_name_enters_the_history_with_a_break() {
    let mut scene = Scene::new();
    scene.playlist(P, &listing(&head(1), "one-", 1..5));
    scene.pass(2.0);
    let noted = scene.playlist(P, &listing(&head(1), "two-", 1..5));
    assert!(scene.look().contains(&"segment-changed a/p.m3u8".to_owned()));
    assert!(!noted.liveness.is_stale(scene.clock.now(), 1));
    scene.pass(2.0);
    scene.playlist(P, &listing(&head(2), "two-", 2..6));
    let stretch = scene.live.stretch(&key(P), None, None).unwrap();
    let listed: Vec<_> = stretch.listed.iter().map(|listed| (&*listed.uri, listed.discontinuity)).collect();
    let names = ["one-1.ts", "one-2.ts", "one-3.ts", "one-4.ts", "two-1.ts", "two-2.ts", "two-3.ts", "two-4.ts", "two-5.ts"];
    assert_eq!(listed, names.map(|name| (name, name == "two-1.ts")));
    assert_eq!(scene.report()[0].renditions[0].counts.contradictions, 1);
}

#[test]
fn a_window_without_media_sequence_lives_by_what_is_new_in_it() {
    let mut scene = Scene::new();
    let head = crate::hls::texts::HEAD;
    for first in 0..20 {
        let noted = scene.playlist(P, &listing(head, "", first..first + 4));
        scene.pass(2.0);
        assert!(!noted.liveness.is_stale(scene.clock.now(), STALE_AFTER));
        assert!(!scene.look().iter().any(|told| told.starts_with("late") || told.starts_with("counter-restart")));
    }
    let stretch = scene.live.stretch(&key(P), None, None).unwrap();
    let listed: Vec<_> = stretch.listed.iter().map(|listed| listed.uri.to_string()).collect();
    assert_eq!(listed, (0..23).map(|number| format!("{number}.ts")).collect::<Vec<_>>());
    assert!(!stretch.listed.iter().any(|listed| listed.discontinuity));
    // It stands still as any other.
    scene.pass(4.5);
    scene.playlist(P, &listing(head, "", 19..23));
    assert_eq!(scene.look(), ["stale a/p.m3u8"]);
}

#[test]
fn what_players_trip_over_is_a_fault_of_its_playlist() {
    let list = listing(&head(1), "s", 1..5);
    for (text, said) in [
        (list.replace("#EXTINF:2,\ns1", "#EXT-X-MEDIA-SEQUENCE:9\n#EXTINF:2,\ns1"), "EXT-X-MEDIA-SEQUENCE for the second time"),
        (format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n{}#EXT-X-MEDIA-SEQUENCE:0\n", segment("a.ts")), "after the first segment"),
        (
            format!("{list}#EXT-X-DISCONTINUITY-SEQUENCE:0\n"),
            "EXT-X-DISCONTINUITY-SEQUENCE after the first segment: hls.js stops",
        ),
        (format!("\n{list}"), "does not come first"),
        (format!("\u{feff}{list}"), "does not come first"),
        (list.replace("#EXTINF:2,\ns3", "#EXTINF:2.5,\ns3"), "longer than EXT-X-TARGETDURATION"),
    ] {
        let mut scene = Scene::new();
        scene.playlist(P, &text);
        assert_eq!(scene.look(), ["broken-playlist a/p.m3u8", "started a/p.m3u8"], "{text}");
        let fault = scene.report()[0].renditions[0].fault.clone().unwrap();
        assert!(fault.contains(said), "{fault}");
    }
}
