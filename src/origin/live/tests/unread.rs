//! Playlists that can't be read, and are written all the same.

use super::{STALE_AFTER, Scene, key, seconds};
use crate::hls::texts::{MASTER, head, listing};
use crate::model::liveness::Standing;

/// As others write it, or will.
const WAYS: [fn(&str) -> String; 3] = [
    // UTF-16 as it looks byte by byte.
    |text| text.chars().map(|sign| format!("{sign}\0")).collect(),
    |text| text.lines().map(|line| format!("#EXT-X-FUTURE:{line}\n")).fold("#EXTM3U\n".to_owned(), |all, line| all + &line),
    |text| format!("<html>{text}</html>"),
];

#[test]
fn what_cant_be_read_is_alive_as_long_as_it_is_written_anew_and_keeps_what_it_needs() {
    for (way, write) in WAYS.iter().enumerate() {
        let mut scene = Scene::new();
        scene.playlist("master.m3u8", MASTER);
        let map = "#EXT-X-MAP:URI=\"init.mp4\"\n";
        scene.playlist("a/p.m3u8", &listing(&format!("{}{map}", head(1)), "", 1..4));
        let _ = scene.look();
        for number in 2..12 {
            scene.pass(2.0);
            let noted = scene.playlist("a/p.m3u8", &write(&listing(&format!("{}{map}", head(number)), "", number..number + 3)));
            let mut needs: Vec<_> = noted.needs.iter().map(ToString::to_string).collect();
            needs.sort();
            assert_eq!(needs, ["a/init.mp4", "master.m3u8"], "{way}");
            assert!(!noted.liveness.is_stale(scene.clock.now(), STALE_AFTER));
            let told = scene.look();
            assert!(!told.iter().any(|event| event.starts_with("late") || event.starts_with("counter")), "{way}: {told:?}");
        }
        let rendition = scene.report().remove(0).renditions.remove(0);
        assert_eq!((rendition.state, rendition.last_sequence), (Standing::Live, Some(3)), "{way}: what was known stands");
        assert!(rendition.troubles.contains(&"broken-playlist"), "{way}");
        // The same once more is no sign of anything.
        let same = write(&listing(&format!("{}{map}", head(11)), "", 11..14));
        for _ in 0..4 {
            scene.pass(2.0);
            scene.playlist("a/p.m3u8", &same);
        }
        assert!(scene.look().contains(&"stale a/p.m3u8".to_owned()), "{way}");
        scene.playlist("a/p.m3u8", &listing(&format!("{}{map}", head(20)), "", 20..23));
        assert!(scene.look().contains(&"recovered a/p.m3u8".to_owned()), "{way}");
        assert!(scene.report()[0].renditions[0].troubles.is_empty(), "{way}");
    }
}

#[test]
fn one_that_could_never_be_read_is_given_longer() {
    let mut scene = Scene::new();
    for number in 0..5 {
        scene.playlist("a/p.m3u8", &WAYS[0](&listing(&head(number), "", number..number + 3)));
        scene.playlist("b/p.m3u8", &WAYS[2](&listing(&head(number), "", number..number + 3)));
        scene.pass(8.0);
        assert!(!scene.look().iter().any(|told| told.starts_with("late") || told.starts_with("stale")));
    }
}

#[test]
fn lines_that_end_with_a_carriage_return_are_lines() {
    let mut scene = Scene::new();
    scene.playlist("master.m3u8", &MASTER.replace('\n', "\r"));
    for number in 1..6 {
        scene.segment(&format!("a/{}.ts", number + 2), "x", 1, seconds(0.1));
        scene.playlist("a/p.m3u8", &listing(&head(number), "", number..number + 3).replace('\n', "\r"));
        scene.pass(2.0);
        assert!(!scene.look().iter().any(|told| told.starts_with("late") || told.starts_with("stale")));
    }
    let rendition = scene.report().remove(0).renditions.remove(0);
    assert_eq!((rendition.state, rendition.last_sequence), (Standing::Live, Some(7)));
    assert!(rendition.fault.unwrap().contains("CR alone"));
}

#[test]
fn utf_16_is_named_and_an_mpd_in_it_is_read() {
    let mut scene = Scene::new();
    scene.playlist("a/p.m3u8", &WAYS[0](&listing(&head(1), "", 1..4)));
    assert!(scene.report()[0].renditions[0].fault.as_deref().unwrap().contains("UTF-16"));
    scene.playlist("p.mpd", &WAYS[0]("<MPD type='dynamic'><Period><AdaptationSet><SegmentTemplate duration='2' media='$Number$'/><Representation/></AdaptationSet></Period></MPD>"));
    assert!(scene.live.previous(&key("7")).is_some());
}

#[test]
fn other_kinds_stay_what_they_are() {
    let mut scene = Scene::new();
    scene.playlist("master.m3u8", MASTER);
    scene.playlist("p.mpd", "<MPD type='dynamic'><Period><AdaptationSet><SegmentTemplate duration='2' initialization='i' media='$Number$'/><Representation/></AdaptationSet></Period></MPD>");
    let _ = scene.look();
    for number in 0..5 {
        scene.pass(1.5);
        scene.playlist("master.m3u8", "not a playlist");
        let noted = scene.playlist("p.mpd", &format!("<MPD {number}"));
        assert_eq!(noted.needs, [key("i")]);
        assert!(!noted.liveness.is_stale(scene.clock.now(), 1));
    }
    let mut told = scene.look();
    told.retain(|event| event.starts_with("broken"));
    assert_eq!(told, ["broken-playlist master.m3u8", "broken-playlist p.mpd"]);
    let formats: Vec<_> = scene.report().iter().map(|stream| (stream.stream.clone(), stream.format)).collect();
    assert_eq!(formats, [("master.m3u8".to_owned(), "hls"), ("p.mpd".to_owned(), "dash")]);
    assert!(scene.awaits("a/p.m3u8").is_some(), "its children are known still");
}
