//! Media playlists that no multivariant one names.

use super::{Scene, key};
use crate::hls::texts::{head, listing};

#[test]
fn a_multivariant_playlist_that_is_asked_for_and_was_never_uploaded_is_missed() {
    let mut scene = Scene::new();
    for ask in 0..7 {
        scene.playlist("live/show_720p.m3u8", &listing(&head(ask), "", ask..ask + 3));
        let other = listing(&head(ask), "o", ask..ask + 3).replace("#EXTINF:2,", "#EXTINF:1.5,");
        scene.playlist("live/other.m3u8", &other);
        let told = scene.look();
        assert_eq!(
            told.contains(&"multivariant-missing live/show_720p.m3u8".to_owned()),
            ask == 5,
            "after ten seconds: {told:?}"
        );
        assert_eq!(scene.awaits("live/show.m3u8"), None);
        scene.pass(2.0);
    }
    assert!(!scene.troubles("live/other.m3u8").contains(&"multivariant-missing"));
    scene.playlist("live/show.m3u8", "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nshow_720p.m3u8\n");
    let _ = scene.look();
    assert!(!scene.troubles("live/show_720p.m3u8").contains(&"multivariant-missing"));
}

/// Viewers are there before the show, and an encoder writes the multivariant playlist when it has all others.
#[test]
fn a_multivariant_playlist_that_is_asked_for_before_the_show_has_its_time_to_come() {
    for comes in [true, false] {
        let mut scene = Scene::new();
        for _ in 0..600 {
            assert_eq!(scene.awaits("live/show.m3u8"), None);
            scene.pass(1.0);
        }
        let mut told = Vec::new();
        for number in 0..8 {
            scene.playlist("live/show_720p.m3u8", &listing(&head(number), "", number..number + 3));
            told.extend(scene.look());
            if comes && number == 2 {
                scene.playlist("live/show.m3u8", "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nshow_720p.m3u8\n");
            }
            scene.pass(2.0);
        }
        assert_eq!(told.contains(&"multivariant-missing live/show_720p.m3u8".to_owned()), !comes, "{told:?}");
    }
}

/// Who comes late asks for it still, when it has been deleted or has outlived its time to live.
#[test]
fn behind_a_show_nobody_misses_its_multivariant_playlist() {
    for (end, passed) in [("#EXT-X-ENDLIST\n", 0.1), ("", 7.0)] {
        let mut scene = Scene::new();
        for number in 0..8 {
            scene.playlist("live/show_720p.m3u8", &listing(&head(number), "", number..number + 3));
            scene.pass(2.0);
            let _ = scene.look();
        }
        scene.playlist("live/show_720p.m3u8", &(listing(&head(7), "", 7..10) + end));
        scene.pass(passed);
        let _ = scene.look();
        for _ in 0..10 {
            assert_eq!(scene.awaits("live/show.m3u8"), None);
            scene.pass(2.0);
            let told = scene.look();
            assert!(!told.iter().any(|told| told.starts_with("multivariant")), "{end}: {told:?}");
        }
        assert!(!scene.troubles("live/show_720p.m3u8").contains(&"multivariant-missing"), "{end}");
        // It goes on, and is asked for: somebody wants to begin.
        scene.playlist("live/show_720p.m3u8", &listing(&head(8), "", 8..11));
        let told = [scene.look(), scene.look()].concat();
        assert!(told.contains(&"multivariant-missing live/show_720p.m3u8".to_owned()), "{end}: {told:?}");
    }
}

/// Versions of some playlists that begin at these moments, in milliseconds; how often `multivariant-missing` is told of each.
fn side_by_side(scene: &mut Scene, lists: &[(&str, Option<u64>)], turns: u64, mut each: impl FnMut(&mut Scene)) -> usize {
    let mut told = 0;
    for turn in 0..turns {
        for (name, begins) in lists {
            let date = begins.map(|begins| {
                let date = crate::model::clock::WallTime::from_millis(1_767_225_600_000 + begins + turn * 2000);
                format!("#EXT-X-PROGRAM-DATE-TIME:{date}\n")
            });
            let head = format!("{}{}", head(turn), date.unwrap_or_default());
            scene.playlist(name, &listing(&head, "s", turn..turn + 4));
            // Not all are written at once.
            scene.pass(0.3);
            told += scene.look().iter().filter(|told| told.starts_with("multivariant-missing")).count();
        }
        each(scene);
        scene.pass(2.0 - 0.3 * lists.len() as f64);
    }
    told
}

#[test]
fn renditions_of_one_stream_that_nothing_names_are_told_before_anybody_asks() {
    let none = |_: &mut Scene| {};
    for names in [["live/v0/p.m3u8", "live/v1/p.m3u8", "live/v2/p.m3u8"], ["live/v_0.m3u8", "live/v_1.m3u8", "live/v_2.m3u8"]] {
        let lists = names.map(|name| (name, Some(250)));
        assert_eq!(side_by_side(&mut Scene::new(), &lists, 4, none), 0, "it may come yet");
        let mut scene = Scene::new();
        assert_eq!(side_by_side(&mut scene, &lists, 12, none), 3, "each once");
        // It comes.
        let master = names.map(|name| format!("#EXT-X-STREAM-INF:BANDWIDTH=1\n/cache/live/{name}\n")).concat();
        scene.playlist("live/master.m3u8", &format!("#EXTM3U\n{master}"));
        let _ = scene.look();
        assert!(names.iter().all(|name| !scene.troubles(name).contains(&"multivariant-missing")));
        // Who reads them has it from somewhere else.
        let read = |scene: &mut Scene| {
            scene.read.insert(key(names[0]));
        };
        assert_eq!(side_by_side(&mut Scene::new(), &lists, 12, read), 0);
    }
}

#[test]
fn cameras_side_by_side_are_no_renditions() {
    let none = |_: &mut Scene| {};
    for lists in [
        // Begun at other moments.
        [("live/cam1/p.m3u8", Some(250)), ("live/cam2/p.m3u8", Some(290))],
        // Without dates nobody can tell.
        [("live/cam1.m3u8", None), ("live/cam2.m3u8", None)],
        // Not side by side.
        [("a/live/cam1/p.m3u8", Some(250)), ("b/live/cam2/p.m3u8", Some(250))],
        [("live/cam1/p.m3u8", Some(250)), ("live/cam2/q.m3u8", Some(250))],
    ] {
        assert_eq!(side_by_side(&mut Scene::new(), &lists, 20, none), 0, "{lists:?}");
        // A name that nobody has heard of, once.
        let mut asks = 0;
        let ask = |scene: &mut Scene| {
            asks += 1;
            if asks == 8 {
                scene.awaits("live/cam3.m3u8");
            }
        };
        assert_eq!(side_by_side(&mut Scene::new(), &lists, 20, ask), 0, "{lists:?}");
    }
    // Where a player asks for what should be above them again and again, it is missed.
    let lists = [("live/v0/p.m3u8", None), ("live/v1/p.m3u8", None)];
    let ask = |scene: &mut Scene| assert_eq!(scene.awaits("live/master.m3u8"), None);
    assert_eq!(side_by_side(&mut Scene::new(), &lists, 12, ask), 2);
}
