//! What may become of one of two encoders, row by row.

use super::first_breaks;
use super::pair_events::{Comes, Fate, PairEvent, PairManner};
use super::pair_world::PairWorld;
use super::relation::Relation;
use crate::hls::texts::media;

/// Whole segments of both for so long.
fn well(world: &mut PairWorld, segments: usize) {
    for _ in 0..segments {
        world.segment([Fate { late: 0, comes: Comes::Whole }, Fate { late: 80, comes: Comes::Whole }]);
    }
}

fn slots(world: &PairWorld) -> Vec<u64> {
    world.shown.iter().map(|(_, slot)| *slot).collect()
}

#[test]
fn aligned_sides_take_over_from_each_other_without_a_mark() {
    let mut world = PairWorld::new(PairManner::Aligned);
    well(&mut world, 8);
    world.take(PairEvent::Kill(0));
    well(&mut world, 6);
    world.take(PairEvent::Begin(0));
    well(&mut world, 8);
    world.take(PairEvent::Kill(1));
    well(&mut world, 6);
    assert_eq!(slots(&world), (1..=28).collect::<Vec<_>>());
    assert_eq!(world.switches, 2);
    assert!(!world.public.unwrap().0.contains("#EXT-X-DISCONTINUITY\n"));
}

/// Of two nodes each may remember another switch as the last one that the renditions made together.
#[test]
fn a_memory_of_where_the_others_were_that_is_older_than_the_list_turns_nobody_round() {
    let mut world = PairWorld::new(PairManner::Aligned);
    well(&mut world, 8);
    let before = world.time();
    world.take(PairEvent::Kill(0));
    well(&mut world, 4);
    world.take(PairEvent::Begin(0));
    well(&mut world, 8);
    assert_eq!(world.switches, 1);
    world.together = Some((0, before));
    well(&mut world, 4);
    assert_eq!(world.switches, 1, "that was before the switch");
    world.together = Some((0, world.time()));
    well(&mut world, 4);
    assert_eq!(world.switches, 2);
    assert_eq!(slots(&world), (1..=28).collect::<Vec<_>>());
}

/// Subtitles: a mark in them alone would be another time line than that of the picture.
#[test]
fn what_tells_no_times_has_a_mark_where_the_renditions_beside_it_have_one() {
    for (others, marks) in [(None, 1), (Some(Relation::Aligned), 0), (Some(Relation::Offset), 1)] {
        let mut world = PairWorld::new(PairManner::Foreign);
        (world.is_timeless, world.others) = (true, others);
        let begun = world.time();
        well(&mut world, 8);
        world.take(PairEvent::Kill(0));
        well(&mut world, 6);
        let (text, _) = world.public.as_ref().unwrap();
        let media = media(text);
        let last = media.discontinuity_sequence + media.segments.iter().filter(|segment| segment.discontinuity).count() as u64;
        assert_eq!(last - first_breaks(begun), marks, "{others:?} {text}");
        assert_eq!((slots(&world), world.switches), ((1..=14).collect(), 1), "{others:?} {text}");
    }
}

/// Subtitles without cues are the same bytes at both sources.
#[test]
fn where_both_make_the_same_bytes_the_active_side_goes_on() {
    for others in [None, Some(Relation::Aligned)] {
        let mut world = PairWorld::new(PairManner::Foreign);
        (world.is_timeless, world.is_loop, world.others) = (true, true, others);
        let begun = world.time();
        well(&mut world, 10);
        let media = media(&world.public.as_ref().unwrap().0);
        let breaks = media.segments.iter().filter(|segment| segment.discontinuity).count() as u64;
        assert_eq!(media.discontinuity_sequence + breaks, first_breaks(begun), "{others:?}");
        assert_eq!((slots(&world), world.switches), ((1..=10).collect(), 0), "{others:?}");
    }
}

#[test]
fn one_that_was_killed_holds_up_the_others_end_for_a_minute() {
    for killed in [0, 1] {
        let mut world = PairWorld::new(PairManner::Aligned);
        well(&mut world, 8);
        world.take(PairEvent::Kill(killed));
        well(&mut world, 6);
        world.take(PairEvent::End(1 - killed));
        world.take(PairEvent::Pause(30_000));
        assert!(!world.public.as_ref().unwrap().0.contains("#EXT-X-ENDLIST"), "it may come back");
        world.take(PairEvent::Pause(40_000));
        assert!(world.public.as_ref().unwrap().0.contains("#EXT-X-ENDLIST"));
    }
}

#[test]
fn what_one_source_alone_promises_of_its_segments_the_list_does_not_promise() {
    let is_promised = |both_are_there: bool| {
        let mut world = PairWorld::new(PairManner::Aligned);
        world.independent = Some(0);
        if !both_are_there {
            world.take(PairEvent::Kill(1));
        }
        // Of the second one the first version comes before the first one's.
        world.segment([Fate { late: 80, comes: Comes::Whole }, Fate { late: 0, comes: Comes::Whole }]);
        well(&mut world, 3);
        world.public.unwrap().0.contains("#EXT-X-INDEPENDENT-SEGMENTS\n")
    };
    assert_eq!([true, false].map(is_promised), [false, true]);
}

#[test]
fn of_a_segment_that_is_lost_or_damaged_the_twins_copy_is_listed() {
    let mut world = PairWorld::new(PairManner::Aligned);
    well(&mut world, 8);
    for comes in [Comes::Never, Comes::Damaged] {
        world.segment([Fate { late: 0, comes }, Fate { late: 60, comes: Comes::Whole }]);
        well(&mut world, 4);
    }
    assert_eq!(slots(&world), (1..=18).collect::<Vec<_>>());
    let (text, _) = world.public.unwrap();
    assert!(!text.contains("DISCONTINUITY\n") && !text.contains("GAP"), "{text}");
    let damaged = text.lines().filter(|line| world.ever.get(*line).is_some_and(|(known, _)| known.rank > 0)).count();
    assert_eq!(damaged, 0, "{text}");
}

#[test]
fn sides_with_other_clocks_take_over_behind_a_discontinuity() {
    for manner in [PairManner::Offset, PairManner::Shifted, PairManner::Foreign] {
        let mut world = PairWorld::new(manner);
        well(&mut world, 8);
        world.take(PairEvent::Delete(0));
        well(&mut world, 3);
        let (text, _) = world.public.as_ref().unwrap();
        assert_eq!(text.matches("#EXT-X-DISCONTINUITY\n").count(), 1, "{manner:?} {text}");
        let shown = slots(&world);
        let lost = if manner == PairManner::Offset { 0 } else { 1 };
        assert!(shown.len() >= 11 - lost && shown.last() == Some(&11), "{manner:?} {shown:?}");
        assert_eq!(world.switches, 1);
    }
}

#[test]
fn the_same_times_of_other_pictures_are_not_taken_for_the_same() {
    let mut world = PairWorld::new(PairManner::FromZero);
    world.take(PairEvent::Kill(1));
    well(&mut world, 1);
    world.take(PairEvent::Begin(1));
    well(&mut world, 8);
    world.take(PairEvent::Kill(0));
    well(&mut world, 6);
    let (text, _) = world.public.as_ref().unwrap();
    // It began with 2960, and one has left it.
    assert!(text.contains("#EXT-X-DISCONTINUITY-SEQUENCE:2961\n") && !text.contains("DISCONTINUITY\n"), "{text}");
    assert_eq!(slots(&world), (1..=15).collect::<Vec<_>>(), "{text}");
}

/// Where that costs nothing, and not sooner than ten target durations after the last switch.
#[test]
fn a_preferred_side_is_gone_back_to() {
    for (manner, returns) in [(PairManner::Aligned, true), (PairManner::Offset, false)] {
        let mut world = PairWorld::new(manner);
        well(&mut world, 8);
        world.take(PairEvent::Kill(0));
        well(&mut world, 4);
        world.take(PairEvent::Begin(0));
        (world.back, world.switches) = (Some(0), 0);
        well(&mut world, 6);
        assert_eq!(world.switches, 0, "{manner:?}: not yet");
        well(&mut world, 8);
        assert_eq!(world.switches, usize::from(returns), "{manner:?}");
        assert_eq!(slots(&world), (1..=26).collect::<Vec<_>>(), "{manner:?}");
    }
}

/// An encoder that is told to end makes a short segment, and may or may not say that it is over: its twin's whole one is shown.
#[test]
fn of_a_segment_that_is_cut_off_by_the_end_of_its_encoder_the_twins_copy_is_shown() {
    for ends in [true, false] {
        let mut world = PairWorld::new(PairManner::Aligned);
        well(&mut world, 8);
        world.cut_off = Some(0);
        well(&mut world, 1);
        world.cut_off = None;
        world.take(if ends { PairEvent::End(0) } else { PairEvent::Kill(0) });
        well(&mut world, 6);
        let (text, _) = world.public.as_ref().unwrap();
        assert!(!text.contains("#EXT-X-DISCONTINUITY\n") && !text.contains("EXTINF:0.6"), "{text}");
        assert_eq!(slots(&world), (1..=15).collect::<Vec<_>>(), "{text}");
    }
}

/// It says that it is over as soon as it lists the short one: the twin's copy comes when that is due, or nearly a target duration later, and is
/// lent, or the twin takes over with it.
#[test]
fn the_twins_copy_of_the_last_segment_of_an_encoder_that_ends_is_waited_for() {
    for (manner, is_late) in
        [(PairManner::Aligned, false), (PairManner::Aligned, true), (PairManner::Offset, false), (PairManner::Offset, true)]
    {
        let mut world = PairWorld::new(manner);
        well(&mut world, 8);
        let freezes = if is_late { "freeze:1" } else { "" };
        PairEvent::life(freezes).into_iter().for_each(|event| world.take(event));
        (world.cut_off, world.ends) = (Some(0), true);
        well(&mut world, 1);
        let goes_on = if is_late { "pause:1100 go:1" } else { "" };
        PairEvent::life(goes_on).into_iter().for_each(|event| world.take(event));
        well(&mut world, 3);
        let (text, _) = world.public.as_ref().unwrap();
        let marks = text.matches("#EXT-X-DISCONTINUITY\n").count();
        assert_eq!(marks, usize::from(manner == PairManner::Offset), "{manner:?} {is_late}: {text}");
        assert!(!text.contains("EXTINF:0.6"), "{manner:?} {is_late}: {text}");
        assert_eq!(slots(&world), (1..=12).collect::<Vec<_>>(), "{manner:?} {is_late}: {text}");
    }
}

/// The twin has begun again just now: too few of its segments are the same to tell, and none says that it is another stream.
#[test]
fn the_twins_copy_is_waited_for_of_one_that_has_begun_just_now() {
    for manner in [PairManner::Aligned, PairManner::Offset] {
        for segments in 1..5 {
            let mut world = PairWorld::new(manner);
            well(&mut world, 8);
            world.take(PairEvent::Begin(1));
            well(&mut world, segments);
            world.take(PairEvent::Short(0));
            well(&mut world, 3);
            let (text, _) = world.public.as_ref().unwrap();
            let marks = text.matches("#EXT-X-DISCONTINUITY\n").count();
            assert_eq!(marks, usize::from(manner == PairManner::Offset), "{manner:?} {segments}: {text}");
            assert!(!text.contains("EXTINF:0.6"), "{manner:?} {segments}: {text}");
            assert_eq!(slots(&world), (1..=segments as u64 + 11).collect::<Vec<_>>(), "{manner:?} {segments}: {text}");
        }
    }
}

/// It lists it and is over, and the segment never comes.
#[test]
fn the_twins_copy_of_a_segment_that_an_encoder_lists_last_and_never_sends_is_waited_for() {
    let mut world = PairWorld::new(PairManner::Aligned);
    well(&mut world, 8);
    (world.cut_off, world.ends) = (Some(0), true);
    world.segment([Fate { late: 0, comes: Comes::Never }, Fate { late: 1900, comes: Comes::Whole }]);
    well(&mut world, 6);
    let (text, _) = world.public.as_ref().unwrap();
    assert!(!text.contains("EXT-X-GAP"), "{text}");
    assert_eq!(slots(&world), (1..=15).collect::<Vec<_>>(), "{text}");
}

/// The active side's next segment waits for the one of the same time of the side that is wanted.
#[test]
fn a_side_that_is_wanted_and_has_nothing_in_common_goes_on_with_what_came_since() {
    for late in [[0, 80], [80, 0], [0, 800]] {
        let mut world = PairWorld::new(PairManner::Foreign);
        for slot in 0..14 {
            if slot == 8 {
                world.take(PairEvent::Pin(Some(1)));
            }
            // Active is the one that comes first.
            let late = if slot == 0 { [0, 80] } else { late };
            world.segment(late.map(|late| Fate { late, comes: Comes::Whole }));
        }
        assert_eq!((slots(&world), world.switches), ((1..=14).collect::<Vec<_>>(), 1), "{late:?}");
    }
}

/// Its segments never begin where the list ends, as long as the active side's next one comes first: that waits.
#[test]
fn a_side_that_is_wanted_and_goes_by_the_same_clock_is_gone_to_within_a_few_segments() {
    for manner in [PairManner::Offset, PairManner::Shifted] {
        for late in [[0, 80], [80, 0], [0, 650]] {
            let mut world = PairWorld::new(manner);
            for slot in 0..14 {
                if slot == 8 {
                    world.take(PairEvent::Pin(Some(1)));
                }
                // Active is the one that comes first.
                let late = if slot == 0 { [0, 80] } else { late };
                world.segment(late.map(|late| Fate { late, comes: Comes::Whole }));
                assert!(slot < 11 || world.switches == 1, "{manner:?} {late:?}: not in force after {slot}");
            }
            let (shown, all) = (slots(&world), (1..=14).collect::<Vec<_>>());
            let is_whole = manner == PairManner::Offset;
            assert!(shown == all || !is_whole && shown.len() == 13, "{manner:?} {late:?} {shown:?}");
        }
    }
}

/// Nobody knows how far behind it is, but by its clock: more than viewers can wait for. What lies between is shown again.
#[test]
fn a_side_that_is_wanted_and_is_far_behind_is_gone_to_with_what_it_makes_now() {
    let mut world = PairWorld::new(PairManner::AllFromZero);
    world.take(PairEvent::Kill(1));
    well(&mut world, 4);
    world.take(PairEvent::Begin(1));
    well(&mut world, 6);
    world.take(PairEvent::Pin(Some(1)));
    well(&mut world, 4);
    let (text, _) = world.public.as_ref().unwrap();
    assert_eq!((slots(&world), world.switches), ((1..=14).collect::<Vec<_>>(), 1), "{text}");
    assert_eq!(text.matches("#EXT-X-DISCONTINUITY\n").count(), 1, "{text}");
}

/// Nobody knows what of the other's segments has been seen, but by when they came.
#[test]
fn a_side_that_has_nothing_in_common_goes_on_with_what_came_since() {
    let mut world = PairWorld::new(PairManner::Foreign);
    well(&mut world, 8);
    world.take(PairEvent::Kill(0));
    well(&mut world, 5);
    assert_eq!(slots(&world), (1..=13).collect::<Vec<_>>(), "none is left out, and none shown twice");
}

/// A loop that begins again: its old lines look as if they had come just now, for their objects have been stored anew.
#[test]
fn a_side_that_has_begun_again_with_the_same_bytes_goes_on_with_its_newest_and_shows_nothing_of_before() {
    let mut world = PairWorld::new(PairManner::AllFromZero);
    world.is_loop = true;
    well(&mut world, 8);
    world.take(PairEvent::Kill(0));
    well(&mut world, 20);
    world.take(PairEvent::Begin(0));
    well(&mut world, 5);
    world.take(PairEvent::Kill(1));
    well(&mut world, 6);
    let (text, _) = world.public.as_ref().unwrap();
    assert_eq!(slots(&world), (1..=39).collect::<Vec<_>>(), "{text}");
    // It began with 2960, and one has left it.
    assert!(text.contains("#EXT-X-DISCONTINUITY-SEQUENCE:2961\n") && !text.contains("DISCONTINUITY\n"), "{text}");
}

/// Both stand still for longer than viewers wait: what was made meanwhile is listed at once, and shown from where the list ends.
#[test]
fn a_side_that_takes_over_after_a_long_silence_leaves_nothing_out() {
    for manner in [PairManner::Aligned, PairManner::Offset, PairManner::FromZero] {
        let mut world = PairWorld::new(manner);
        well(&mut world, 8);
        PairEvent::life("kill:0 pause:9000 w/u w/w").into_iter().for_each(|event| world.take(event));
        well(&mut world, 3);
        assert_eq!(slots(&world), (1..=13).collect::<Vec<_>>(), "{manner:?}");
    }
}

/// The one that viewers get is behind the other one by more than two target durations.
#[test]
fn a_side_that_is_well_ahead_takes_over_with_what_comes_next() {
    for manner in [PairManner::Aligned, PairManner::Offset] {
        let mut world = PairWorld::new(manner);
        well(&mut world, 8);
        PairEvent::life("freeze:0 3*w/w go:0 3*w/w kill:0").into_iter().for_each(|event| world.take(event));
        well(&mut world, 6);
        assert_eq!(slots(&world), (1..=20).collect::<Vec<_>>(), "{manner:?}");
    }
}
