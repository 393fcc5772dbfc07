//! When a source counts as stopped, and what is said of the two then.

use super::*;
use crate::hls::normalise::Relation::{Aligned, Foreign};
use crate::hls::normalise::{Composed, VersionStanding};
use crate::model::continuity::{PairSeen, PairStanding};

const CONTINUITY: &str = "r0.0.1,w5,a0,h0,s0";

/// A step of which the sides have these newest segments, in seconds.
fn made(relation: Relation, newest: [Option<u64>; 2], ended: Option<u64>) -> PairComposed {
    let mut continuity = Continuity::parse(CONTINUITY).unwrap();
    continuity.ended = ended.map(WallTime::from_seconds);
    let composed = Composed {
        text: "#EXT-X-TARGETDURATION:2\n".to_owned(),
        continuity,
        mended: Vec::new(),
        again: None,
        came: Vec::new(),
        standing: VersionStanding::Believed,
    };
    PairComposed {
        composed,
        next: [None; 2],
        relation,
        is_timeless: false,
        apart: None,
        active: 0,
        taken: [0; 2],
        borrowed: [0; 2],
        switches: Vec::new(),
        newest: newest.map(|newest| newest.map(WallTime::from_seconds)),
        skew: None,
        well: [true; 2],
    }
}

/// What has come of a step at that time: how many are down, and whether that is told of a side.
fn noted(pairs: &Pairs, out: [Option<SideOut>; 2], made: &PairComposed, at: u64) -> ([u64; 2], [Option<bool>; 2]) {
    let public = Key::parse("live/p.m3u8").unwrap();
    let mut memory = pairs.memory(&public);
    memory.sides.iter_mut().zip(out).for_each(|(side, out)| side.out = out);
    let _ = memory.note(made, WallTime::from_seconds(at));
    pairs.keep(&public, memory);
    let told = [0, 1].map(|side| pairs.is_up(&public, &public, side));
    (pairs.down(), told)
}

#[test]
fn a_source_of_which_nothing_has_come_since_the_server_began_is_looked_at_again_when_it_is_missed() {
    let mut memory = PairMemory::default();
    let [old, new] = [made(Aligned, [Some(90), Some(90)], None), made(Aligned, [Some(90), Some(101)], None)];
    let wait = memory.note(&old, WallTime::from_seconds(100));
    assert_eq!(wait, Some(Duration::from_millis(5001)), "two and a half target durations, whatever it was before");
    assert_eq!(memory.note(&new, WallTime::from_seconds(102)), Some(Duration::from_millis(3001)));
    assert_eq!(memory.note(&new, WallTime::from_seconds(106)), None);
    assert_eq!([0, 1].map(|side| memory.sides[side].is_up), [Some(false), Some(true)]);
}

#[test]
fn where_both_end_none_is_down() {
    let (pairs, ended) = (Pairs::default(), Some(SideOut::Ended));
    let both = [Some(100), Some(100)];
    assert_eq!(noted(&pairs, [None, None], &made(Aligned, both, None), 100), ([0, 0], [None, None]));
    assert_eq!(noted(&pairs, [ended, None], &made(Aligned, both, None), 101), ([0, 0], [None, None]));
    assert_eq!(noted(&pairs, [ended, ended], &made(Aligned, both, Some(102)), 110), ([0, 0], [None, None]));
}

#[test]
fn one_that_has_ended_is_down_while_the_other_goes_on_and_not_when_that_ends() {
    let (pairs, ended) = (Pairs::default(), Some(SideOut::Ended));
    noted(&pairs, [None, None], &made(Aligned, [Some(100), Some(100)], None), 100);
    let goes_on = made(Aligned, [Some(100), Some(106)], None);
    assert_eq!(noted(&pairs, [ended, None], &goes_on, 106), ([1, 0], [Some(false), None]));
    let over = made(Aligned, [Some(100), Some(106)], Some(107));
    assert_eq!(noted(&pairs, [ended, ended], &over, 107), ([0, 0], [None, None]), "it does not write again");
}

#[test]
fn one_that_has_deleted_its_playlist_is_down_at_once() {
    let pairs = Pairs::default();
    let out = [None, Some(SideOut::Deleted)];
    assert_eq!(noted(&pairs, out, &made(Aligned, [Some(100); 2], None), 100), ([0, 1], [None, Some(false)]));
}

#[test]
fn one_of_which_there_is_nothing_is_down_when_the_other_has_written_for_a_while() {
    let pairs = Pairs::default();
    let alone = |at| noted(&pairs, [None, None], &made(Foreign, [Some(at), None], None), at);
    assert_eq!(alone(100), ([0, 0], [None, None]));
    assert_eq!(alone(105), ([0, 0], [None, None]));
    assert_eq!(alone(106), ([0, 1], [None, Some(false)]));
    assert_eq!(alone(108), ([0, 1], [None, None]), "it is told once");
    let both = made(Aligned, [Some(110); 2], None);
    assert_eq!(noted(&pairs, [None, None], &both, 110), ([0, 0], [None, Some(true)]));
}

#[test]
fn how_they_stand_is_not_judged_by_one_that_has_stopped() {
    let (mut memory, at) = (PairMemory::default(), WallTime::from_seconds);
    let _ = memory.note(&made(Aligned, [Some(100), Some(100)], None), at(100));
    let _ = memory.note(&made(Foreign, [Some(112), Some(100)], None), at(112));
    assert_eq!(memory.known.unwrap().relation, Aligned);
    let _ = memory.note(&made(Foreign, [Some(114), Some(114)], None), at(114));
    assert_eq!(memory.known.unwrap().relation, Foreign, "it is back");
}

/// What one process has kept with the public playlist, as the next one takes it up.
fn begun_anew(pairs: &Pairs, made: &PairComposed) -> Pairs {
    let public = Key::parse("live/p.m3u8").unwrap();
    let mut continuity = made.composed.continuity;
    let standing = PairStanding {
        active: made.active,
        lent: 0,
        switched: WallTime::default(),
        passed: [WallTime::default(); 2],
        seen: pairs.memory(&public).seen(),
    };
    continuity.pair = Some(standing);
    let next = Pairs::default();
    next.adopt(&public, &public, &Continuity::parse(&continuity.to_string()).unwrap());
    next
}

#[test]
fn who_begins_anew_tells_the_same_and_nothing_once_more() {
    let public = Key::parse("live/p.m3u8").unwrap();
    let report = |pairs: &Pairs| {
        let report = pairs.report("n", ("live/", &["a/".to_owned(), "b/".to_owned()]), &public, None).unwrap();
        let sources = report.sources.iter().map(|source| (source.up, source.out, source.newest.clone()));
        (report.relation, report.active, sources.collect::<Vec<_>>())
    };
    let (pairs, deleted) = (Pairs::default(), Some(SideOut::Deleted));
    noted(&pairs, [None, None], &made(Aligned, [Some(100), Some(100)], None), 100);
    let goes_on = PairComposed { active: 1, ..made(Foreign, [Some(100), Some(106)], None) };
    assert_eq!(noted(&pairs, [None, None], &goes_on, 106), ([1, 0], [Some(false), None]));
    let next = begun_anew(&pairs, &goes_on);
    assert_eq!((report(&next), next.down()), (report(&pairs), [1, 0]));
    assert_eq!(report(&next).0, "aligned", "as it was when both were seen");
    // The server was away for a minute, and the other one goes on: it has not stopped, and the first one has, as was told.
    let later = PairComposed { active: 1, ..made(Foreign, [Some(100), Some(106)], None) };
    assert_eq!(noted(&next, [None, None], &later, 166), ([1, 0], [None, None]));
    let back = made(Aligned, [Some(168), Some(168)], None);
    assert_eq!(noted(&next, [None, None], &back, 168), ([0, 0], [Some(true), None]));
    // One that has deleted its playlist.
    assert_eq!(noted(&next, [None, deleted], &back, 169), ([0, 1], [None, Some(false)]));
    let next = begun_anew(&next, &back);
    let next_again = report(&next);
    assert_eq!((next_again.1, next.down()), ("a", [0, 1]));
    assert_eq!(next_again.2[1].1, Some("deleted"));
    assert_eq!(noted(&next, [None, deleted], &back, 170), ([0, 1], [None, None]));
    // What is over has nobody who is down.
    let over = made(Aligned, [Some(168), Some(168)], Some(171));
    assert_eq!(begun_anew(&next, &over).down(), [0, 0]);
}

#[test]
fn a_source_that_goes_on_after_the_server_was_away_has_not_stopped() {
    let pairs = Pairs::default();
    let both = made(Aligned, [Some(100), Some(100)], None);
    noted(&pairs, [None, None], &both, 100);
    let next = begun_anew(&pairs, &both);
    // The first one writes at once, the second a little later, or never.
    assert_eq!(noted(&next, [None, None], &made(Aligned, [Some(160), Some(100)], None), 160), ([0, 0], [None, None]));
    assert_eq!(noted(&next, [None, None], &made(Aligned, [Some(164), Some(100)], None), 164), ([0, 0], [None, None]));
    assert_eq!(noted(&next, [None, None], &made(Aligned, [Some(166), Some(100)], None), 166), ([0, 1], [None, Some(false)]));
}

/// One is the first: the other has as long as one that stops.
#[test]
fn of_two_that_come_back_after_both_had_ended_the_second_is_waited_for() {
    for out in [Some(SideOut::Ended), Some(SideOut::Deleted)] {
        let pairs = Pairs::default();
        noted(&pairs, [None, None], &made(Aligned, [Some(100); 2], None), 100);
        for at in [101, 110] {
            let over = made(Aligned, [Some(100); 2], Some(101));
            assert_eq!(noted(&pairs, [Some(SideOut::Ended), out], &over, at), ([0, 0], [None, None]));
        }
        let back = |at| noted(&pairs, [None, out], &made(Foreign, [Some(at), Some(100)], None), at);
        assert_eq!((back(200), back(204)), (([0, 0], [None, None]), ([0, 0], [None, None])), "{out:?}");
        assert_eq!(back(206), ([0, 1], [None, Some(false)]), "{out:?}: it does not come");
        assert_eq!(noted(&pairs, [None, None], &made(Aligned, [Some(208); 2], None), 208), ([0, 0], [None, Some(true)]));
    }
}

#[test]
fn one_that_has_stopped_is_counted_once_where_the_multivariant_playlist_comes_later() {
    let (public, stream) = (Key::parse("live/p.m3u8").unwrap(), Key::parse("live/master.m3u8").unwrap());
    let pairs = Pairs::default();
    noted(&pairs, [None, None], &made(Aligned, [Some(100); 2], None), 100);
    noted(&pairs, [None, None], &made(Foreign, [Some(100), Some(106)], None), 106);
    pairs.switched(&public, 1, WallTime::from_seconds(1));
    pairs.relates(&stream, &public, Some(Foreign));
    assert_eq!((pairs.is_up(&stream, &public, 0), pairs.down()), (None, [1, 0]), "it was told");
    assert!(pairs.is_active(&stream, 1) && pairs.is_down(&stream, 0));
}

/// A server that ends between the switch of one rendition and that of the next.
#[test]
fn renditions_come_together_again_after_a_restart() {
    let (pairs, stream) = (Pairs::default(), Key::parse("live/master.m3u8").unwrap());
    for (name, active, switched) in [("sound", 0, 90), ("video", 1, 100), ("more", 0, 0)] {
        let mut continuity = Continuity::parse(CONTINUITY).unwrap();
        let seen = pairs_seen();
        let (switched, passed) = (WallTime::from_seconds(switched), [WallTime::default(); 2]);
        continuity.pair = Some(PairStanding { active, lent: 0, switched, passed, seen: Some(seen) });
        pairs.adopt(&stream, &Key::parse(&format!("live/{name}.m3u8")).unwrap(), &continuity);
    }
    let known = pairs.ladder(&stream, &Key::parse("live/sound.m3u8").unwrap());
    assert_eq!(known.active, Some((1, WallTime::from_seconds(100))));
}

/// As two that go on are kept.
fn pairs_seen() -> PairSeen {
    let mut memory = PairMemory::default();
    let _ = memory.note(&made(Aligned, [Some(90), Some(90)], None), WallTime::from_seconds(90));
    memory.seen().unwrap()
}

/// Subtitles tell no times: of video and sound, of which one stands for the other, one still does.
#[test]
fn what_tells_no_times_says_nothing_of_the_other_renditions() {
    let (pairs, stream) = (Pairs::default(), Key::parse("live/master.m3u8").unwrap());
    let [video, sound, text] = ["video", "sound", "text"].map(|name| Key::parse(&format!("live/{name}.m3u8")).unwrap());
    pairs.relates(&stream, &text, None);
    assert_eq!(pairs.ladder(&stream, &video).others, None);
    for rendition in [&video, &sound] {
        pairs.relates(&stream, rendition, Some(Aligned));
    }
    let others = |rendition: &Key| pairs.ladder(&stream, rendition).others;
    assert_eq!([&video, &sound, &text].map(others), [Some(Aligned); 3]);
    pairs.relates(&stream, &sound, Some(Foreign));
    assert_eq!([&video, &sound, &text].map(others), [Some(Foreign), Some(Aligned), Some(Foreign)]);
}
