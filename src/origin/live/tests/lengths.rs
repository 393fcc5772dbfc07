//! Segments that are not all of one length.

use super::{STALE_AFTER, Scene};
use crate::hls::texts::{head, listing};
use crate::model::liveness::Standing;

const P: &str = "a/p.m3u8";

/// Segments as ffmpeg lists them: the last five, with the longest of these as the target duration.
fn window(lengths: &[u64]) -> String {
    let first = lengths.len().saturating_sub(5);
    let target = lengths[first..].iter().max().unwrap();
    let head = head(first as u64).replace("DURATION:2", &format!("DURATION:{target}"));
    let lines = lengths[first..].iter().enumerate();
    lines.fold(head, |text, (at, length)| format!("{text}#EXTINF:{length}.000000,\n{}.ts\n", first + at))
}

#[test]
fn a_target_duration_that_follows_the_window_is_not_shorter_than_what_has_left_it() {
    let mut scene = Scene::new();
    let standstills = |scene: &Scene| {
        let told = scene.look().into_iter();
        told.filter(|told| ["late", "stale", "recovered"].iter().any(|kind| told.starts_with(kind))).collect::<Vec<_>>()
    };
    let mut lengths = vec![10];
    scene.playlist(P, &window(&lengths));
    for _ in 0..80 {
        scene.pass(2.0);
        lengths.push(2);
        let noted = scene.playlist(P, &window(&lengths));
        assert_eq!(standstills(&scene), [""; 0]);
        if lengths.len() == 6 {
            // A still scene.
            scene.pass(9.0);
            assert!(!noted.liveness.is_stale(scene.clock.now(), STALE_AFTER));
            assert_eq!(standstills(&scene), [""; 0]);
            let rendition = scene.report().remove(0).renditions.remove(0);
            assert!((rendition.target_duration_s - 2.0).abs() < 0.1, "what is stated is shown");
            lengths.push(10);
            scene.playlist(P, &window(&lengths));
        }
    }
    // Of the last sixty-four each took two seconds.
    scene.pass(6.5);
    assert_eq!(standstills(&scene), ["stale a/p.m3u8"]);
}

#[test]
fn an_encoder_that_begins_anew_is_held_to_what_it_says_now() {
    let mut scene = Scene::new();
    scene.playlist(P, &listing(&head(100).replace("DURATION:2", "DURATION:10"), "s", 100..104));
    scene.pass(2.0);
    scene.playlist(P, &listing(&head(0), "s", 0..1));
    let told = scene.look();
    assert!(told.contains(&"counter-restart a/p.m3u8".to_owned()), "{told:?}");
    scene.pass(6.5);
    let _ = scene.look();
    assert_eq!(scene.report()[0].state, Standing::Stale);
}
