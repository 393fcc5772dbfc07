//! What begins anew, and what only looks like it.

use http::HeaderValue;

use super::{Scene, key, seconds};

#[test]
fn an_encoder_that_counts_anew_is_told_from_one_whose_playlists_overtake_each_other() {
    let mut scene = Scene::new();
    for number in 100..120 {
        scene.turn("a", number);
        scene.pass(2.0);
    }
    let _ = scene.look();
    let noted = scene.media("a/p.m3u8", 118, "");
    assert_eq!(scene.look(), ["sequence-back a/p.m3u8"]);
    assert_eq!(noted.liveness.last_sequence, Some(HeaderValue::from(119_u64)), "what readers may have seen stands");
    scene.turn("a", 120);
    assert_eq!(scene.look(), Vec::<String>::new());
    scene.turn("a", 0);
    assert_eq!(scene.look(), ["counter-restart a/p.m3u8"]);
    scene.turn("a", 1);
    // Again soon, with the same names and other bytes.
    scene.segment("a/0.ts", "other", 500_000, seconds(0.2));
    scene.media("a/p.m3u8", 0, "");
    assert_eq!(scene.look(), ["name-reused a/p.m3u8"], "the second restart within half a minute is counted and not told");
    let counts = scene.report()[0].renditions[0].counts;
    assert_eq!((counts.counter_restarts, counts.sequence_back, counts.names_reused), (2, 1, 1));
}

#[test]
fn a_restart_whose_bytes_repeat_is_a_restart() {
    let mut scene = Scene::new();
    for number in 0..12 {
        scene.turn("a", number);
        scene.pass(2.0);
    }
    let _ = scene.look();
    // Killed and begun again: the same names and the same bytes, as a test picture gives them.
    let begun = scene.clock.wall();
    scene.pass(4.0);
    for number in 0..3 {
        scene.turn("a", number);
        assert!(!scene.media("a/p.m3u8", number, "").liveness.is_stale(scene.clock.now(), 1));
        scene.pass(2.0);
        let told = scene.look();
        assert!(!told.contains(&"sequence-back a/p.m3u8".to_owned()), "{told:?}");
        assert_eq!(told.contains(&"counter-restart a/p.m3u8".to_owned()), number == 0, "{told:?}");
    }
    let counts = scene.report()[0].renditions[0].counts;
    assert_eq!((counts.counter_restarts, counts.sequence_back, counts.names_reused), (1, 0, 0));
    let stretch = scene.live.stretch(&key("a/p.m3u8"), Some(begun), None).unwrap();
    let listed: Vec<_> = stretch.listed.iter().map(|listed| (listed.sequence, listed.discontinuity)).collect();
    assert_eq!(listed, [(0, true), (1, false), (2, false)]);
    // A version that came late is one still, also when one of its segments was listed before it came.
    scene.media("a/p.m3u8", 3, "");
    scene.pass(0.1);
    scene.segment("a/3.ts", "a3", 500_000, seconds(0.2));
    scene.turn("a", 4);
    scene.pass(0.1);
    scene.media("a/p.m3u8", 3, "");
    assert_eq!(scene.look(), ["sequence-back a/p.m3u8"]);
}

#[test]
fn a_history_that_is_all_that_is_known_tells_a_restart_too() {
    let mut scene = Scene::new();
    for number in 0..5 {
        scene.turn("a", number);
        scene.pass(2.0);
    }
    let known = || scene.live.stretch(&key("a/p.m3u8"), None, None).unwrap();
    let known: Vec<_> = known().listed.iter().map(|listed| crate::hls::history::Listed::clone(listed)).collect();
    let follow = |is_new: bool| {
        let mut after = Scene::new();
        after.live.restore(&key("a/p.m3u8"), known.clone(), after.clock.wall());
        if is_new {
            after.segment("a/0.ts", "a0", 1, seconds(0.1));
        }
        after.media("a/p.m3u8", 0, "");
        after.live.stretch(&key("a/p.m3u8"), None, None).unwrap().listed.len()
    };
    assert_eq!((follow(true), follow(false)), (6, 5), "what has just come begins anew, what has not is an older version");
}

#[test]
fn the_same_bytes_again_are_no_reuse_and_neither_are_pictures() {
    let mut scene = Scene::new();
    scene.turn("a", 1);
    scene.segment("a/1.ts", "a1", 500_000, seconds(0.2));
    scene.segment("a/thumb.jpg", "one", 1, seconds(0.1));
    scene.segment("a/thumb.jpg", "two", 1, seconds(0.1));
    assert_eq!(scene.look(), ["started a/p.m3u8"]);
    scene.segment("a/1.ts", "other", 500_000, seconds(0.2));
    assert_eq!(scene.look(), ["name-reused a/p.m3u8"]);
}
