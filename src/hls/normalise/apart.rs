//! Why two sides are not aligned, in words that say what to do about it.

use std::fmt;
use std::time::Duration;

use super::agree::relation;
use super::list::SegmentList;
use super::names;
use super::relation::{IN_COMMON, LATENESS, NEAR, Relation, SAME_CLOCK, SAME_LENGTH, SideClock, SideSegment, TimedLine, timed};

/// Why two sides are not aligned. Times in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhyApart {
    /// Of one of them there is nothing.
    Missing,
    /// The bytes of their segments do not tell when they begin.
    Timeless,
    /// So many of their newest segments are the same, and nothing contradicts yet.
    Few(usize),
    /// Players see clocks that are so far apart, though the content is cut alike.
    OtherClocks(i64),
    /// Their newest segments are so far apart by every clock.
    Far(i64),
    /// They are cut at other places: the nearest begin so far from each other.
    OtherCuts(i64),
    /// Segments that begin alike differ in length by so much.
    OtherLengths(i64),
    /// Segments that begin alike have other codecs, tracks or time scales.
    OtherCodecs,
    /// The same times come at other times: each counts from its own start.
    OtherTimes,
}

fn seconds(micros: i64) -> f64 {
    Duration::from_micros(micros.unsigned_abs()).as_secs_f64()
}

impl fmt::Display for WhyApart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Missing => write!(f, "one of them has no segments: see that both encoders push"),
            Self::Timeless => write!(
                f,
                "their segments do not tell when they begin (encrypted as a whole, or of a format that is not read): nothing can be compared but \
                 EXT-X-PROGRAM-DATE-TIME"
            ),
            Self::Few(same) => {
                write!(
                    f,
                    "{same} of their newest segments are the same, and {IN_COMMON} have to be: look again in a few segments"
                )
            }
            Self::OtherClocks(apart) => write!(
                f,
                "they are cut alike, and players see clocks that are {:.3} s apart: fragmented MP4 of ffmpeg counts from 0 in each process; \
                 transport streams that keep the feed's times would be aligned",
                seconds(apart)
            ),
            Self::Far(apart) => write!(
                f,
                "their clocks are {:.3} s apart: have both keep the time stamps of one feed (pipeline locking by timecode; ffmpeg: -copyts)",
                seconds(apart)
            ),
            Self::OtherCuts(apart) => write!(
                f,
                "they are cut at other places, the nearest {:.3} s apart: have both cut at the key frames of one feed, or at the same \
                 multiples of the segment length",
                seconds(apart)
            ),
            Self::OtherLengths(apart) => {
                write!(
                    f,
                    "segments that begin alike differ in length by {:.3} s: give both the same segment length",
                    seconds(apart)
                )
            }
            Self::OtherCodecs => {
                write!(
                    f,
                    "segments that begin alike have other codecs, tracks or time scales: give both encoders the same settings"
                )
            }
            Self::OtherTimes => write!(
                f,
                "the same times come at other moments: each encoder counts from its own start; have both keep the time stamps of one feed"
            ),
        }
    }
}

/// How two encoders' playlists stand to each other, by what is known of their segments by side and URI, and why they are not aligned. `None`: one of
/// them is nothing that a pair is composed of.
#[must_use]
pub fn stands(playlists: [&str; 2], find: &dyn Fn(usize, &str) -> Option<SideSegment>) -> Option<(Relation, Option<WhyApart>)> {
    let mut lists = [SegmentList::read(playlists[0]).ok()?, SegmentList::read(playlists[1]).ok()?];
    // What is public has a tag.
    lists.iter_mut().flat_map(|list| &mut list.lines).for_each(|line| line.uri = names::tagged(&line.uri, "00000000"));
    let known = |side: Option<usize>, uri: &str, _: Option<&str>| find(side?, &names::plain(uri));
    let [one, other] = [0, 1].map(|side| timed(&lists[side], Some(side), &known).1);
    let reach = Duration::from_secs(lists[0].target.max(lists[1].target)) * NEAR;
    let by = relation(&one, &other, reach);
    Some((by.0, apart(&one, &other, by, reach)))
}

/// Why these lines of two sides, which stand to each other like that by this clock, are not aligned. `reach`: how far apart newest segments may be.
pub(super) fn apart(
    one: &[TimedLine],
    other: &[TimedLine],
    (relation, clock): (Relation, SideClock),
    reach: Duration,
) -> Option<WhyApart> {
    if relation == Relation::Aligned {
        return None;
    }
    let reach = i64::try_from(reach.as_micros()).unwrap_or(i64::MAX);
    let here = |lines: &[TimedLine]| -> Vec<TimedLine> { lines.iter().copied().filter(|line| line.known.is_some()).collect() };
    let (one, other) = (here(one), here(other));
    let Some((newest, last)) = one.last().zip(other.last()) else { return Some(WhyApart::Missing) };
    if relation == Relation::Offset {
        let same = one.iter().rev().find_map(|line| Some((line, other.iter().find(|own| line.is_same(own, clock))?)));
        let between = same.and_then(|(line, own)| line.since(own, SideClock::Player));
        return Some(between.map_or(WhyApart::Timeless, WhyApart::OtherClocks));
    }
    let Some(between) = newest.since(last, SideClock::Player) else { return Some(WhyApart::Timeless) };
    if between.abs() > reach {
        return Some(WhyApart::Far(between));
    }
    let pairs = || one.iter().rev().flat_map(|line| other.iter().rev().map(move |own| (line, own)));
    let begins = |(line, own): &(&TimedLine, &TimedLine)| line.since(own, SideClock::Player).map(i64::abs);
    let is_alike = |pair: &(&TimedLine, &TimedLine)| begins(pair).is_some_and(|since| since <= SAME_CLOCK);
    let Some(nearest) = pairs().filter_map(|pair| begins(&pair)).min() else { return Some(WhyApart::Timeless) };
    if nearest > SAME_CLOCK {
        // Of one that begins behind the other's newest nobody knows yet.
        return Some(WhyApart::OtherCuts(nearest));
    }
    let alike = || pairs().filter(is_alike);
    let lengths = |(line, own): (&TimedLine, &TimedLine)| (line.micros - own.micros).abs();
    let shapes =
        |(line, own): &(&TimedLine, &TimedLine)| line.known.map(|known| known.shape) == own.known.map(|known| known.shape);
    Some(if let Some(other) = alike().map(lengths).find(|lengths| *lengths > SAME_LENGTH) {
        WhyApart::OtherLengths(other)
    } else if !alike().all(|pair| shapes(&pair)) {
        WhyApart::OtherCodecs
    } else if alike().any(|(line, own)| !line.came_with(own, reach / LATENESS)) {
        WhyApart::OtherTimes
    } else {
        WhyApart::Few(alike().count().min(IN_COMMON - 1))
    })
}
