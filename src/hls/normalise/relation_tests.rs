//! How two sides stand to each other: each bound, from both of its sides.

use std::collections::HashMap;
use std::time::Duration;

use super::agree::relation;
use super::apart::{WhyApart, apart};
use super::list::SegmentList;
use super::names;
use super::relation::{Relation, SideClock, SideLines, SideSegment, TimedLine, timed};
use crate::model::clock::WallTime;
use crate::model::continuity::MediaTime;

const T0: u64 = 1_767_225_600_000;
/// The target duration.
const SPAN: Duration = Duration::from_secs(2);
/// How far newest segments may be apart.
const REACH: Duration = Duration::from_secs(12);

/// A segment: where it begins for players and by its content, how long it is, and when it came. In milliseconds.
#[derive(Clone, Copy)]
struct Row {
    begins: u64,
    content: u64,
    lasts: u64,
    came: u64,
    shape: u64,
}

fn row(begins: u64) -> Row {
    Row { begins, content: begins, lasts: 2000, came: begins, shape: 1 }
}

/// So many segments, one after the other.
fn rows(count: u64) -> Vec<Row> {
    (0..count).map(|at| row(100_000 + at * 2000)).collect()
}

fn each(rows: &[Row], change: impl Fn(&mut Row)) -> Vec<Row> {
    let mut rows = rows.to_vec();
    rows.iter_mut().for_each(change);
    rows
}

fn name(at: usize) -> String {
    names::tagged(&format!("s{at}.ts"), "0badcafe")
}

fn list(rows: &[Row]) -> SegmentList {
    let lines: String = rows
        .iter()
        .enumerate()
        .map(|(at, row)| format!("#EXTINF:{}.{:03},\n{}\n", row.lasts / 1000, row.lasts % 1000, name(at)))
        .collect();
    SegmentList::read(&format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n{lines}")).unwrap()
}

fn stored(rows: &[Row]) -> HashMap<String, SideSegment> {
    let time = |millis: u64| Some(MediaTime { ticks: millis * 90, scale: 90_000 });
    let segment = |(at, row): (usize, &Row)| {
        let known = SideSegment {
            at: WallTime::from_millis(T0 + row.came),
            begins: time(row.begins),
            content: time(row.content),
            ticks: row.lasts * 90,
            shape: row.shape,
            rank: 0,
        };
        (name(at), known)
    };
    rows.iter().enumerate().map(segment).collect()
}

fn lines(rows: &[Row]) -> Vec<TimedLine> {
    if rows.is_empty() {
        return Vec::new();
    }
    let stored = stored(rows);
    timed(&list(rows), None, &|_, uri, _| stored.get(uri).copied()).1
}

/// How they stand to each other, and why they are not aligned.
fn stand(one: &[Row], other: &[Row]) -> (Relation, Option<WhyApart>) {
    let (one, other) = (lines(one), lines(other));
    let by = relation(&one, &other, REACH);
    (by.0, apart(&one, &other, by, REACH))
}

#[test]
fn four_segments_have_to_be_the_same() {
    assert_eq!(stand(&rows(4), &rows(4)), (Relation::Aligned, None));
    assert_eq!(stand(&rows(3), &rows(3)), (Relation::Shifted, Some(WhyApart::Few(3))));
    assert_eq!(stand(&rows(8), &rows(8)[2..6]).0, Relation::Aligned, "one may be ahead, and the other know of less");
    assert_eq!(stand(&rows(8), &[]), (Relation::Foreign, Some(WhyApart::Missing)));
}

#[test]
fn clocks_and_lengths_may_differ_by_what_nobody_hears() {
    let later = |millis| each(&rows(6), |row| row.begins += millis);
    let later = |millis| each(&later(millis), |row| row.content = row.begins);
    assert_eq!(stand(&rows(6), &later(11)).0, Relation::Aligned);
    assert_eq!(stand(&rows(6), &later(12)), (Relation::Shifted, Some(WhyApart::OtherCuts(12_000))));
    let longer = |millis| each(&rows(6), |row| row.lasts += millis);
    assert_eq!(stand(&rows(6), &longer(45)).0, Relation::Aligned);
    assert_eq!(stand(&rows(6), &longer(46)), (Relation::Shifted, Some(WhyApart::OtherLengths(46_000))));
    assert_eq!(stand(&rows(6), &each(&rows(6), |row| row.shape = 2)), (Relation::Shifted, Some(WhyApart::OtherCodecs)));
}

#[test]
fn of_one_that_is_cut_off_by_its_encoders_end_nothing_is_concluded() {
    let mut ended = rows(6);
    ended[5].lasts = 700;
    assert_eq!((stand(&ended, &rows(6)).0, stand(&rows(6), &ended).0), (Relation::Aligned, Relation::Aligned));
    // It has begun again since.
    let mut again = rows(6);
    again[4].lasts = 700;
    assert_eq!((stand(&again, &rows(6)).0, stand(&rows(6), &again).0), (Relation::Aligned, Relation::Aligned));
    let mut torn = again;
    (torn[5].begins, torn[5].content) = (torn[5].begins - 1300, torn[5].content - 1300);
    torn[5].lasts += 1300;
    assert_ne!(
        (stand(&torn, &rows(6)).0, stand(&rows(6), &torn).0),
        (Relation::Aligned, Relation::Aligned),
        "where the next one goes on it is"
    );
    let (list, stored) = (list(&ended), stored(&ended));
    let find = |side: Option<usize>, uri: &str, _: Option<&str>| stored.get(uri).copied().filter(|_| side == Some(0));
    let side = SideLines::of(&list, 0, &[], &find);
    assert_eq!((side.lacks(5), side.lacks(4)), (Duration::from_millis(1300), Duration::ZERO));
}

#[test]
fn what_players_see_is_another_clock_with_an_edit_list() {
    let offset = each(&rows(6), |row| row.begins += 7_000_000);
    assert_eq!(stand(&rows(6), &offset), (Relation::Offset, Some(WhyApart::OtherClocks(-7_000_000_000))));
}

#[test]
fn clocks_are_one_within_six_target_durations() {
    let later = |millis| each(&rows(6), |row| (row.begins, row.content) = (row.begins + millis, row.begins + millis));
    assert_eq!(stand(&rows(6), &later(11_900)).0, Relation::Shifted);
    assert_eq!(stand(&rows(6), &later(12_100)), (Relation::Foreign, Some(WhyApart::Far(-12_100_000))));
}

#[test]
fn the_same_times_at_moments_two_target_durations_apart_are_others() {
    let late = |millis| each(&rows(6), |row| row.came += millis);
    assert_eq!(stand(&rows(6), &late(4000)).0, Relation::Aligned);
    assert_eq!(stand(&rows(6), &late(4001)), (Relation::Shifted, Some(WhyApart::OtherTimes)));
}

#[test]
fn what_an_encoder_made_before_it_began_again_says_nothing_of_now() {
    let again =
        |count: u64| -> Vec<Row> { (0..count).map(|at| Row { came: 300_000 + at * 2000, ..row(100_000 + at * 2000) }).collect() };
    // It has come near the times that the other one ended with.
    let both: Vec<Row> = rows(8).into_iter().chain(again(6)).collect();
    assert_eq!(stand(&both, &rows(8)), (Relation::Shifted, Some(WhyApart::OtherTimes)));
    assert_eq!(stand(&both, &again(6)), (Relation::Aligned, None));
}

/// Of a list that ends at 102 s, which came then.
fn is_past(own: Row, relation: Relation) -> bool {
    let end = Row { came: 200_000, ..row(100_000) };
    lines(&[own])[0].is_past(&lines(&[end])[0], (relation, SideClock::Player), SPAN)
}

#[test]
fn what_is_past_by_one_clock_ends_within_twenty_target_durations_before_the_list_does() {
    assert!(is_past(row(100_000), Relation::Aligned) && !is_past(row(102_000), Relation::Aligned));
    assert!(is_past(row(100_030), Relation::Aligned), "by less than a frame");
    assert!(!is_past(row(100_031), Relation::Aligned));
    // Forty seconds before the end at 102.
    assert!(is_past(row(62_000), Relation::Aligned) && !is_past(row(61_999), Relation::Aligned));
}

#[test]
fn what_begins_well_before_the_end_of_the_list_lies_over_it() {
    let is_over = |begins| lines(&[row(begins)])[0].is_over(&lines(&[row(100_000)])[0], SPAN);
    assert!(is_over(101_954) && !is_over(101_955) && !is_over(103_000));
    assert!(is_over(62_000) && !is_over(61_999), "within twenty target durations");
}

#[test]
fn where_clocks_are_merely_near_what_comes_two_target_durations_later_is_new() {
    let came = |came| Row { came, ..row(100_000) };
    for relation in [Relation::Shifted, Relation::Foreign] {
        assert!(is_past(came(204_000), relation) && !is_past(came(204_001), relation), "{relation:?}");
    }
    assert!(is_past(came(300_000), Relation::Offset), "where they are one, it is late");
    // The content says that it is another one.
    assert!(!is_past(Row { content: 500_000, ..came(200_000) }, Relation::Shifted));
}

#[test]
fn why_sides_are_apart_is_told_with_what_to_do() {
    for (apart, part) in [
        (WhyApart::Missing, "see that both encoders push"),
        (WhyApart::Timeless, "EXT-X-PROGRAM-DATE-TIME"),
        (WhyApart::Few(2), "2 of their newest segments"),
        (WhyApart::OtherClocks(-7_000_000_000), "7000.000 s apart"),
        (WhyApart::Far(30_000_000_000), "30000.000 s apart: have both keep the time stamps"),
        (WhyApart::OtherCuts(600_000), "0.600 s apart: have both cut"),
        (WhyApart::OtherLengths(46_000), "0.046 s"),
        (WhyApart::OtherCodecs, "the same settings"),
        (WhyApart::OtherTimes, "counts from its own start"),
    ] {
        assert!(apart.to_string().contains(part), "{apart}");
    }
    let nothing: Vec<TimedLine> = timed(&list(&rows(6)), None, &|_, _, _| Some(SideSegment::default())).1;
    let by = relation(&nothing, &nothing, REACH);
    assert_eq!((by.0, apart(&nothing, &nothing, by, REACH)), (Relation::Foreign, Some(WhyApart::Timeless)));
}
