//! The lines of the two sides of a pair with their times, by each of the clocks by which they may be the same.

use std::time::Duration;

use super::list::SegmentList;
use super::{Named, NamedPlace, StoredSegment, names, uri_of};
use crate::model::clock::WallTime;
use crate::model::continuity::MediaTime;
use crate::model::facts::{Defect, SegmentFacts};

/// How far two clocks of the same media may be apart, in microseconds: less than an audio frame.
pub(super) const SAME_CLOCK: i64 = 11_000;
/// How far a segment may begin from where the one before it ends: how long its last frame is shown some only guess.
pub(super) const JOINS: i64 = 30_000;
/// How far two lengths of the same media may be apart: of the last frame some only guess how long it lasts.
pub(super) const SAME_LENGTH: i64 = 45_000;
/// So many of the newest lines are looked at.
pub(super) const LOOKED_AT: usize = 24;
/// The newest segments of two sides that stand to each other in any way are no more target durations apart.
pub(super) const NEAR: u32 = 6;
/// What lies so many target durations from the end of the public list by the same clock is not what comes next, nor what was before.
pub(super) const AHEAD: u32 = 20;
/// Of the time by which newest segments may be apart, copies of one segment may come this part of it after each other.
pub(super) const LATENESS: i64 = 3;
/// So many segments have to be the same, one after the other.
pub(super) const IN_COMMON: usize = 4;

/// How the sides stand to each other, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Relation {
    /// The same segments by the clock that players see: one stands for the other.
    Aligned,
    /// The same segments, by the clock of the content or by their dates; players see other clocks.
    Offset,
    /// One clock, other segments.
    Shifted,
    /// Neither, or not known yet.
    Foreign,
}

impl Relation {
    /// All of them, best first.
    pub const ALL: [Self; 4] = [Self::Aligned, Self::Offset, Self::Shifted, Self::Foreign];

    /// Its name in events and `/v1`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Aligned => "aligned",
            Self::Offset => "offset",
            Self::Shifted => "shifted",
            Self::Foreign => "foreign",
        }
    }
}

/// What is known of a segment of a side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SideSegment {
    /// When it was stored.
    pub at: WallTime,
    /// Where its media begins by the clock that players see, if its bytes tell.
    pub begins: Option<MediaTime>,
    /// The same by the clock of its content: with what an edit list adds.
    pub content: Option<MediaTime>,
    /// How long it is, in ticks; 0: its bytes do not tell.
    pub ticks: u64,
    /// What of its container and codecs has to be the same.
    pub shape: u64,
    /// How bad its worst defect is; 0: it has none.
    pub rank: u8,
}

impl SideSegment {
    /// What the bytes of a segment tell, with those of its initialisation segment; stored then.
    #[must_use]
    pub fn of(facts: &SegmentFacts, at: WallTime) -> Self {
        let worst = facts.defects.iter().next().and_then(|worst| Defect::ALL.iter().position(|defect| *defect == worst));
        let rank = worst.and_then(|at| u8::try_from(Defect::ALL.len() - at).ok()).unwrap_or(0);
        let mut segment = Self { at, rank, shape: shape(facts), ..Self::default() };
        if let Some(track) = facts.lead()
            && let Some((first, scale)) = track.first.zip(track.scale)
        {
            segment.begins = Some(MediaTime { ticks: first, scale });
            segment.content = first.checked_add_signed(track.edit).map(|ticks| MediaTime { ticks, scale });
            segment.ticks = if track.undated == 0 { track.duration } else { 0 };
        }
        segment
    }
}

/// What has to be the same of two segments of which one stands for the other: container, codecs and time scales of their tracks.
fn shape(facts: &SegmentFacts) -> u64 {
    let tracks = facts.tracks.iter().flat_map(|track| {
        let codec = track.codec.map(|codec| codec.as_str().to_owned()).unwrap_or_default();
        format!("{codec}/{}", track.scale.unwrap_or(0)).into_bytes()
    });
    // FNV-1a: it is compared with what this process has made, and with nothing else.
    let bytes = facts.container.as_str().bytes().chain(tracks);
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// What is stored of a public name in the list of a side, or in that of viewers; whose initialisation segment is called that.
pub type FindSegment<'a> = &'a dyn Fn(Option<usize>, &str, Option<&str>) -> Option<SideSegment>;

/// A line with its times; of a line that nothing is known of as they follow from the one before it.
#[derive(Clone, Copy, Debug)]
pub(super) struct TimedLine {
    pub(super) known: Option<SideSegment>,
    begins: [Option<SideTime>; SideClock::ALL.len()],
    pub(super) micros: i64,
}

/// A point of time by one of the clocks.
#[derive(Clone, Copy, Debug)]
enum SideTime {
    Media(MediaTime),
    Date(WallTime),
}

/// By what segments are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SideClock {
    Player,
    Content,
    Date,
}

impl SideClock {
    pub(super) const ALL: [Self; 3] = [Self::Player, Self::Content, Self::Date];
}

impl SideTime {
    /// By how many microseconds it is later. Media clocks wrap as a transport stream's do.
    fn since(self, other: Self) -> Option<i64> {
        match (self, other) {
            (Self::Media(one), Self::Media(other)) => one.micros_since(other),
            (Self::Date(one), Self::Date(other)) => {
                let millis = i128::from(one.millis()) - i128::from(other.millis());
                i64::try_from(millis * 1000).ok()
            }
            _ => None,
        }
    }

    fn plus(self, micros: i64) -> Self {
        let micros = u64::try_from(micros).unwrap_or(0);
        match self {
            Self::Media(at) => Self::Media(at.plus_micros(micros)),
            Self::Date(at) => Self::Date(at + Duration::from_micros(micros)),
        }
    }
}

impl TimedLine {
    /// By how much it begins later than the other one.
    pub(super) fn since(&self, other: &Self, clock: SideClock) -> Option<i64> {
        self.begins[clock as usize]?.since(other.begins[clock as usize]?)
    }

    /// By how much it begins later than the other one ends.
    pub(super) fn after(&self, other: &Self, clock: SideClock) -> Option<i64> {
        Some(self.since(other, clock)? - other.micros)
    }

    /// Whether it begins where the other one ends; by the players' clock only if by the content's as well, for an encoder of fragmented MP4 may
    /// count from 0 at each start, and two that do have the same times for other pictures.
    pub(super) fn follows(&self, other: &Self, clock: SideClock) -> bool {
        let joins = |clock| self.after(other, clock).map(|after: i64| after.abs() <= JOINS);
        joins(clock) == Some(true) && (clock != SideClock::Player || joins(SideClock::Content) != Some(false))
    }

    /// Whether both begin at the same point.
    pub(super) fn begins_with(&self, other: &Self, clock: SideClock) -> bool {
        self.since(other, clock).is_some_and(|since| since.abs() <= SAME_CLOCK)
    }

    /// The same, where players' clocks may begin at 0 with each encoder: then by the content's as well.
    pub(super) fn begins_as(&self, other: &Self, clock: SideClock) -> bool {
        let is_at = |clock| self.since(other, clock).map(|since: i64| since.abs() <= SAME_CLOCK);
        is_at(clock) == Some(true) && (clock != SideClock::Player || is_at(SideClock::Content) != Some(false))
    }

    /// Whether it is over when the other one is.
    pub(super) fn is_within(&self, other: &Self, clock: SideClock) -> bool {
        self.after(other, clock).is_some_and(|after| after + self.micros <= JOINS)
    }

    /// Whether it lies before where the public list ends, `end`, by the clock of two sides that stand to each other like that. `span`: the
    /// target duration.
    pub(super) fn is_past(&self, end: &Self, (relation, clock): (Relation, SideClock), span: Duration) -> bool {
        let reach = i64::try_from((span * AHEAD).as_micros()).unwrap_or(i64::MAX);
        if !self.is_within(end, clock) || self.after(end, clock).is_none_or(|after| after < -reach) {
            return false;
        }
        if relation <= Relation::Offset {
            return true;
        }
        // Clocks that are merely near may both begin at 0 with each start. Then the contents' say otherwise; or else what is made now is of
        // the past by them for longer than any side is late.
        let by_content = self.after(end, SideClock::Content).is_none() || self.is_within(end, SideClock::Content);
        let came = |line: &Self| line.known.map(|known| known.at);
        by_content && came(self).zip(came(end)).is_none_or(|(own, end)| own.since(end) <= span * 2)
    }

    /// Whether it begins well before where the public list ends, `end`, for players.
    pub(super) fn is_over(&self, end: &Self, span: Duration) -> bool {
        let reach = i64::try_from((span * AHEAD).as_micros()).unwrap_or(i64::MAX);
        self.after(end, SideClock::Player).is_some_and(|after| (-reach..-SAME_LENGTH).contains(&after))
    }

    /// Whether both were stored within so many microseconds.
    pub(super) fn came_with(&self, other: &Self, reach: i64) -> bool {
        let apart = |(one, other): (SideSegment, SideSegment)| one.at.since(other.at).max(other.at.since(one.at));
        self.known.zip(other.known).map(apart).is_none_or(|apart| apart.as_micros() <= u128::from(reach.unsigned_abs()))
    }

    /// Whether it is the same segment, by the content's clock as well.
    pub(super) fn is_same(&self, other: &Self, clock: SideClock) -> bool {
        let has_its_shape = self.known.zip(other.known).is_none_or(|(one, other)| one.shape == other.shape);
        self.begins_as(other, clock) && has_its_shape && (self.micros - other.micros).abs() <= SAME_LENGTH
    }
}

/// A side's lines, and what is stored of the newest of them.
pub(super) struct SideLines<'a> {
    pub(super) version: &'a SegmentList,
    side: usize,
    find: FindSegment<'a>,
    pub(super) named: Vec<Named>,
    /// The place of the first line whose time is known.
    pub(super) from: usize,
    pub(super) times: Vec<TimedLine>,
}

impl<'a> SideLines<'a> {
    /// `came`: when the segments of the newest lines came.
    pub(super) fn of(version: &'a SegmentList, side: usize, came: &[Option<WallTime>], find: FindSegment<'a>) -> Self {
        let (_, mut times) = timed(version, Some(side), find);
        for (line, came) in times.iter_mut().rev().zip(came.iter().rev()) {
            if let Some((known, came)) = line.known.as_mut().zip(*came) {
                known.at = came;
            }
        }
        let from = version.lines.len() - times.len();
        let named = version.lines.iter().enumerate().map(|(at, line)| {
            let known = at.checked_sub(from).and_then(|at| times[at].known);
            let stored = known.map(|known| StoredSegment {
                uri: line.uri.clone(),
                at: known.at,
                begins: known.begins,
                ticks: known.ticks,
            });
            Named { plain: line.uri.clone(), place: stored.map_or(NamedPlace::Elsewhere, NamedPlace::Here) }
        });
        Self { version, side, find, named: named.collect(), from, times }
    }

    pub(super) fn at(&self, at: usize) -> Option<&TimedLine> {
        self.times.get(at.checked_sub(self.from)?)
    }

    /// Whether there is a segment, and what it needs.
    pub(super) fn is_here(&self, at: usize) -> bool {
        self.version.lines.get(at).is_some_and(|line| !line.gap) && !self.is_gone(at)
    }

    /// Whether a segment, or what it needs, was there and can be read no more: it was of an earlier run of its encoder, which has written over
    /// its name since, or its time was over. What viewers were shown is kept for them; what they were not, is not.
    pub(super) fn is_gone(&self, at: usize) -> bool {
        let Some(line) = self.version.lines.get(at).filter(|line| !line.gap) else { return false };
        let is_known = self.at(at).is_some_and(|line| line.known.is_some());
        let keys = line.keys.iter().flat_map(|keys| keys.iter()).filter_map(|key| uri_of(key));
        let mut needed = line.map_uri().into_iter().chain(keys);
        !is_known && self.is_lost(&line.uri) || needed.any(|uri| self.is_lost(uri))
    }

    /// Whether there is nothing by a public name: those have tags, and lie where the playlist does.
    fn is_lost(&self, uri: &str) -> bool {
        names::tag(uri).is_some() && !uri.contains("://") && (self.find)(Some(self.side), uri, None).is_none()
    }

    pub(super) fn rank(&self, at: usize) -> u8 {
        self.at(at).and_then(|line| line.known).map_or(0, |known| known.rank)
    }

    /// By how much a segment is shorter than the few before it.
    pub(super) fn lacks(&self, at: usize) -> Duration {
        let Some(line) = self.at(at) else { return Duration::ZERO };
        let before = (at.saturating_sub(IN_COMMON)..at).filter_map(|at| Some(self.at(at)?.micros)).max().unwrap_or(0);
        let lacks = u64::try_from(before - line.micros).unwrap_or(0);
        if line.micros + SAME_LENGTH < before { Duration::from_micros(lacks) } else { Duration::ZERO }
    }

    pub(super) fn came(&self, at: usize) -> Option<WallTime> {
        Some(self.at(at)?.known?.at)
    }

    /// Whether there are segments, and none tells when it begins: of subtitles, or encrypted as a whole.
    pub(super) fn is_timeless(&self) -> bool {
        let begins = |line: &TimedLine| line.begins[SideClock::Player as usize].is_some();
        self.times.iter().any(|line| line.known.is_some()) && !self.times.iter().any(begins)
    }

    pub(super) fn newest(&self) -> Option<WallTime> {
        self.times.iter().filter_map(|line| Some(line.known?.at)).max()
    }
}

/// The newest lines of a list with their times; the first of them is that of the number handed over with them.
pub(super) fn timed(list: &SegmentList, side: Option<usize>, find: FindSegment<'_>) -> (u64, Vec<TimedLine>) {
    let from = list.lines.len().saturating_sub(LOOKED_AT);
    let mut times: Vec<TimedLine> = Vec::with_capacity(list.lines.len() - from);
    for line in &list.lines[from..] {
        let known = if line.gap || names::tag(&line.uri).is_none() { None } else { find(side, &line.uri, line.map_uri()) };
        let stated = i64::try_from(line.duration.as_micros()).unwrap_or(i64::MAX);
        let ticks = known.filter(|known| known.ticks > 0).and_then(|known| {
            let scale = i128::from(known.begins?.scale.max(1));
            i64::try_from(i128::from(known.ticks) * 1_000_000 / scale).ok()
        });
        let follows = |clock: SideClock| {
            let last = times.last().filter(|_| !line.breaks)?;
            Some(last.begins[clock as usize]?.plus(last.micros))
        };
        let media = |own: Option<MediaTime>, clock| {
            own.map(SideTime::Media).or_else(|| if known.is_none() { follows(clock) } else { None })
        };
        let begins = [
            media(known.and_then(|known| known.begins), SideClock::Player),
            media(known.and_then(|known| known.content), SideClock::Content),
            line.date.map(SideTime::Date),
        ];
        times.push(TimedLine { known, begins, micros: ticks.unwrap_or(stated) });
    }
    (list.first + from as u64, times)
}

/// How much later than its twin a segment comes, at the 95th of a hundred: `None`, where none has one.
pub(super) fn skew(one: &[TimedLine], other: &[TimedLine], clock: SideClock) -> Option<Duration> {
    let apart = |line: &TimedLine| {
        let own = other.iter().find(|own| own.known.is_some() && line.is_same(own, clock))?;
        let (one, other) = (line.known?.at, own.known?.at);
        Some(one.since(other).max(other.since(one)))
    };
    let mut all: Vec<Duration> = one.iter().filter_map(apart).collect();
    all.sort_unstable();
    all.get((all.len() * 95 / 100).min(all.len().saturating_sub(1))).copied()
}
