//! MPDs of two encoders: what is public is that of one of them, and a segment of the other stands for one of its own where both count alike.

use std::time::Duration;

use super::PAIR;
use crate::durable;
use crate::harness::{Origin, eventually};

pub(crate) fn mpd(start: &str, published: u32) -> String {
    format!(
        "<MPD xmlns='urn:mpeg:dash:schema:mpd:2011' type='dynamic' availabilityStartTime='{start}' minimumUpdatePeriod='PT1S' \
         publishTime='2026-01-01T00:00:{published:02}Z'><Period start='PT0S'><AdaptationSet><SegmentTemplate media='$Number$.m4s' \
         initialization='i.mp4' duration='1'/><Representation id='v' bandwidth='1000'/></AdaptationSet></Period></MPD>"
    )
}

fn told(origin: &Origin, event: &str) -> Vec<String> {
    origin.log().into_iter().filter(|line| line["event"] == event).map(|line| line.to_string()).collect()
}

#[test]
fn where_both_count_alike_either_may_go() {
    const EPOCH: &str = "1970-01-01T00:00:00Z";
    let origin = Origin::start_with_settings(PAIR);
    origin.store("live-a/show.mpd", mpd(EPOCH, 1));
    origin.store("live-b/show.mpd", mpd(EPOCH, 2));
    assert_eq!(origin.get("live/show.mpd").text(), mpd(EPOCH, 1), "one of them");
    origin.store("live-a/7.m4s", "seven of a");
    origin.store("live-b/8.m4s", "eight of b");
    assert_eq!((origin.get("live/7.m4s").text(), origin.get("live/8.m4s").text()), ("seven of a".into(), "eight of b".into()));
    // The first is not written any more.
    let is_others = || {
        origin.store("live-b/show.mpd", mpd(EPOCH, 9));
        (origin.get("live/show.mpd").text() == mpd(EPOCH, 9)).then_some(())
    };
    assert!(eventually(Duration::from_secs(20), is_others).is_some(), "{}", origin.get("live/show.mpd").text());
    let switched = || Some(told(&origin, "source-switched")).filter(|told| !told.is_empty());
    let switched = eventually(Duration::from_secs(5), switched).expect("it is told");
    assert!(switched.len() == 1 && switched[0].contains("MPD of source b"), "{switched:?}");
    // And comes back: viewers stay.
    origin.store("live-a/show.mpd", mpd(EPOCH, 11));
    assert_eq!(origin.get("live/show.mpd").text(), mpd(EPOCH, 9));
    assert!(told(&origin, "sources-apart").is_empty());
}

#[test]
fn where_they_do_not_the_names_of_one_are_public_and_it_is_said_why() {
    let origin = Origin::start_with_settings(PAIR);
    origin.store("live-a/show.mpd", mpd("2026-01-01T00:00:00Z", 1));
    origin.store("live-b/show.mpd", mpd("2026-01-01T00:00:07Z", 2));
    origin.store("live-a/7.m4s", "seven of a");
    origin.store("live-b/8.m4s", "another moment");
    let apart = || Some(told(&origin, "sources-apart")).filter(|told| !told.is_empty());
    let apart = eventually(Duration::from_secs(5), apart).expect("it is told");
    assert!(apart.len() == 1 && apart[0].contains("availabilityStartTime") && apart[0].contains("epoch locking"), "{apart:?}");
    assert_eq!((origin.get("live/7.m4s").text(), origin.get("live/8.m4s").status), ("seven of a".to_owned(), 404));
    // It is mended.
    origin.store("live-b/show.mpd", mpd("2026-01-01T00:00:00Z", 3));
    assert_eq!(origin.get("live/8.m4s").text(), "another moment");
}

/// The server is killed after viewers were given the other source's MPD.
#[test]
fn viewers_keep_the_source_that_they_had_over_a_restart() {
    const EPOCH: &str = "1970-01-01T00:00:00Z";
    let (mut origin, _folder) = durable::start(&format!("default_ttl = \"1h\"\n{PAIR}"));
    origin.store("live-a/show.mpd", mpd(EPOCH, 1));
    let mut published = 1;
    let is_others = || {
        published += 1;
        origin.store("live-b/show.mpd", mpd(EPOCH, published));
        (origin.get("live/show.mpd").text() == mpd(EPOCH, published)).then_some(())
    };
    assert!(eventually(Duration::from_secs(20), is_others).is_some(), "{}", origin.get("live/show.mpd").text());
    for (back, at) in [("live-b/show.mpd", 50), ("live-a/show.mpd", 51)] {
        durable::kill_and_start(&mut origin);
        origin.store(back, mpd(EPOCH, at));
        assert_eq!(origin.get("live/show.mpd").text(), mpd(EPOCH, 50), "{back}");
        assert!(told(&origin, "source-switched").is_empty(), "it was told before");
    }
}
