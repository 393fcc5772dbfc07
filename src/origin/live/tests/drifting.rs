//! Renditions that play the same, though their lists say it otherwise.

use super::Scene;
use crate::hls::texts::head;

/// A picture and its sound, each a list of its own.
const APART: &str = "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"en\",URI=\"audio.m3u8\"\n\
                     #EXT-X-STREAM-INF:BANDWIDTH=900000,AUDIO=\"a\"\nvideo.m3u8\n";

/// The last three of the segments of these lengths.
fn window(before: char, length: impl Fn(u64) -> String, last: u64) -> String {
    let first = last.saturating_sub(2);
    let lines = (first..=last).map(|number| format!("#EXTINF:{},\n{before}{number}.ts\n", length(number)));
    lines.fold(head(first), |text, line| text + &line)
}

fn drifts(scene: &Scene) -> Vec<String> {
    scene.look().into_iter().filter(|told| told.starts_with("drift")).collect()
}

/// AAC of 44.1 kHz, cut at each two seconds: 86 or 87 frames.
fn sound(number: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "numbers of segments are small")]
    let frames = |number: u64| (number as f64 * 2.0 * 44_100.0 / 1024.0).ceil();
    (frames(number + 1) - frames(number)) * 1024.0 / 44_100.0
}

#[test]
fn sound_of_its_own_lengths_keeps_pace_with_the_picture_for_hours() {
    for decimals in [6, 3] {
        let mut scene = Scene::new();
        for number in 0..10_000 {
            if number % 1000 == 0 {
                scene.playlist("master.m3u8", APART);
            }
            scene.playlist("video.m3u8", &window('v', |_| "2.000000".to_owned(), number));
            scene.playlist("audio.m3u8", &window('a', |number| format!("{:.decimals$}", sound(number)), number));
            scene.pass(2.0);
            if number % 100 == 0 {
                assert_eq!(drifts(&scene), [""; 0], "{decimals} {number}");
            }
        }
    }
}

#[test]
fn lengths_in_whole_seconds_say_nothing_of_how_far_a_list_reaches() {
    let mut scene = Scene::new();
    scene.playlist("master.m3u8", APART);
    for number in 0..200 {
        scene.playlist("video.m3u8", &window('v', |_| "2".to_owned(), number));
        // Of 1.6 seconds, in truth.
        scene.playlist("audio.m3u8", &window('a', |_| "2".to_owned(), number * 5 / 4));
        scene.pass(2.0);
        assert_eq!(drifts(&scene), [""; 0], "{number}");
    }
}

#[test]
fn a_jump_of_one_list_s_numbers_is_no_lead_over_the_others() {
    let mut scene = Scene::new();
    scene.playlist("master.m3u8", APART);
    for number in 0..60 {
        let length = |_: u64| "2.000000".to_owned();
        scene.playlist("video.m3u8", &window('v', length, number));
        // The encoder of the sound is started anew, and counts by the time from then on.
        scene.playlist("audio.m3u8", &window('a', length, if number < 20 { number } else { 1_700_000_000 + number }));
        scene.pass(2.0);
        assert_eq!(drifts(&scene), [""; 0], "{number}");
    }
}

#[test]
fn who_was_late_at_first_and_is_in_time_now_is_not_ahead_of_the_others() {
    let mut scene = Scene::new();
    scene.playlist("master.m3u8", APART);
    let exact = |before: char, last: u64| window(before, |_| "2.000000".to_owned(), last);
    for number in 0..60_u64 {
        scene.playlist("video.m3u8", &exact('v', number));
        // The sound's uplink is slow for half a minute: ten seconds behind, and then in time.
        let behind = if number < 15 { 5 } else { 0 };
        if number >= behind {
            scene.playlist("audio.m3u8", &exact('a', number - behind));
        }
        scene.pass(2.0);
        assert_eq!(drifts(&scene), [""; 0], "{number}");
    }
}
