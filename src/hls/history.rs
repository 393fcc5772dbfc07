//! What a media playlist has listed over time: more than any version of it shows.
//!
//! A live playlist shows its last segments and forgets the rest, though that can still be read. Here each segment is written down
//! once, when it is listed for the first time, with all that a playlist has to say of it.
//!
//! Invariants: numbers are consecutive, so that a playlist cut from the history counts the same on each reload. A name that was
//! listed again stands for the later listing alone: its bytes are others now.

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

use super::playlist::{ByteRange, Media, PlaylistType, Segment};
use crate::model::clock::WallTime;

/// Segments of one playlist that are remembered: a day of two-second segments, with some to spare. The oldest are forgotten first.
pub const MAX_SEGMENTS: usize = 50_000;
/// The longest URI, map or set of keys that is remembered, in bytes; a segment with a longer one can't be listed again.
const MAX_TEXT: usize = 4096;
/// What a segment takes beside its texts, in bytes: itself, its places in the lists, and the allocator's rounding.
const OVERHEAD: usize = 256;
/// How far the time of a segment that has none may be from the end of the one before it, in milliseconds, beside two target
/// durations. Uploads come in fits and starts; what is further off did not follow at once.
const STEADY_MS: u64 = 3_000;

/// A segment as it was listed first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its number in the history, which begins with a media sequence number and never goes back.
    pub number: u64,
    /// Its media sequence number in the playlist.
    pub sequence: u64,
    /// The discontinuity sequence number.
    pub discontinuities: u64,
    /// Where it is, as it was written.
    pub uri: Box<str>,
    /// How long it plays.
    pub duration: Duration,
    /// When it begins: by EXT-X-PROGRAM-DATE-TIME, or else by our clock when it was listed.
    pub at: WallTime,
    /// Whether the playlist itself said when.
    pub dated: bool,
    /// It does not go on from the segment before it.
    pub discontinuity: bool,
    /// The attributes of EXT-X-MAP, as written.
    pub map: Option<Arc<str>>,
    /// The map is in clear.
    pub clear_map: bool,
    /// The attributes of each EXT-X-KEY in force, as written, a line each.
    pub keys: Option<Arc<str>>,
    /// The bytes of the resource that are it; `None`: all.
    pub range: Option<ByteRange>,
    /// When it will have outlived its time to live.
    pub until: WallTime,
    /// It can't be read any more, or never could: EXT-X-GAP, or its name was used again.
    pub lost: bool,
}

impl Listed {
    /// When it ends.
    #[must_use]
    pub fn end(&self) -> WallTime {
        later(self.at, self.duration)
    }

    fn cost(&self) -> usize {
        // What is shared is counted each time: an upper bound.
        let text = |text: &Option<Arc<str>>| text.as_ref().map_or(0, |text| text.len());
        OVERHEAD + self.uri.len() + text(&self.map) + text(&self.keys)
    }
}

/// How a version of the playlist stands to the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It goes on.
    On,
    /// It counts anew.
    Anew,
    /// It is an older one that came late.
    Back,
    /// Nothing is known of the one before it, but for what the history shows.
    Unknown,
}

/// The segments of one media playlist.
#[derive(Debug, Default)]
pub struct History {
    listed: VecDeque<Arc<Listed>>,
    /// The names in it, hashed.
    names: HashSet<u64>,
    hasher: RandomState,
    bytes: usize,
    target: Duration,
    ended: bool,
    i_frames_only: bool,
    /// There was something before what is here.
    has_forgotten: bool,
}

/// A part of a history, to be looked at without holding it.
#[derive(Clone, Debug)]
pub struct Stretch {
    /// The segments that lie in it, wholly or in part.
    pub listed: Vec<Arc<Listed>>,
    /// The largest target duration that was stated.
    pub target: Duration,
    /// The playlist has its end.
    pub ended: bool,
    /// It is for trick play.
    pub i_frames_only: bool,
    /// Something of its beginning was forgotten already, and more of it will be.
    pub is_cut_short: bool,
    /// It goes to the last segment there is.
    pub is_to_the_last: bool,
}

impl History {
    /// Takes up a version of the playlist; hands over what is new. `until` tells when a segment outlives its time to live.
    pub fn follow(&mut self, media: &Media, step: Step, now: WallTime, until: impl Fn(&Segment) -> WallTime) -> Vec<Arc<Listed>> {
        let step = if step == Step::Unknown { self.judge(media) } else { step };
        if step == Step::Back {
            return Vec::new();
        }
        self.ended = media.ended || media.playlist_type == Some(PlaylistType::Vod);
        self.i_frames_only = media.i_frames_only;
        self.target = self.target.max(media.target_duration.unwrap_or_default());
        let next = self.listed.back().filter(|_| step == Step::On).map(|last| last.sequence.saturating_add(1));
        let fresh = media.segments.iter().position(|segment| next.is_none_or(|next| segment.sequence >= next));
        let Some(fresh) = fresh else { return Vec::new() };
        let fresh = fresh.max(media.segments.len().saturating_sub(MAX_SEGMENTS));
        let mut left: Duration = media.segments[fresh..].iter().map(|segment| segment.duration).sum();
        let mut new = Vec::with_capacity(media.segments.len() - fresh);
        let mut tags = media.segments[..fresh].iter().filter(|segment| segment.discontinuity).count() as u64;
        let mut told = told(&media.segments[..fresh]);
        for (index, segment) in media.segments.iter().enumerate().skip(fresh) {
            told = segment.program_date_time.or(told);
            tags += u64::from(segment.discontinuity);
            let before = self.listed.back();
            let breaks = index == fresh
                && before.is_some_and(|last| step == Step::Anew || last.sequence.saturating_add(1) != segment.sequence);
            let discontinuity = segment.discontinuity || breaks;
            let text = |text: &str| (text.len() <= MAX_TEXT).then(|| Arc::from(text));
            let map = segment.map.and_then(|map| media.verbatim.maps.get(map)).map(|tag| text(tag));
            let keys = segment.protection.and_then(|set| media.verbatim.protections.get(set)).map(|set| {
                let tags: Vec<&str> = set.iter().filter_map(|&tag| media.verbatim.keys.get(tag).map(String::as_str)).collect();
                text(&tags.join("\n"))
            });
            let is_too_long = map == Some(None) || keys == Some(None) || segment.uri.len() > MAX_TEXT;
            let listed = Listed {
                number: before.map_or(segment.sequence, |last| last.number.saturating_add(1)),
                sequence: segment.sequence,
                discontinuities: match before {
                    Some(last) => last.discontinuities.saturating_add(u64::from(discontinuity)),
                    None => media.discontinuity_sequence.saturating_add(tags),
                },
                uri: if segment.uri.len() > MAX_TEXT { Box::default() } else { Box::from(&*segment.uri) },
                duration: segment.duration,
                at: told.unwrap_or_else(|| self.begins(discontinuity, now, left)),
                dated: segment.program_date_time.is_some(),
                discontinuity,
                map: map.flatten(),
                clear_map: segment.clear_map,
                keys: keys.flatten(),
                range: segment.range,
                until: until(segment),
                lost: segment.gap || is_too_long,
            };
            left = left.saturating_sub(segment.duration);
            told = told.map(|at| later(at, segment.duration));
            new.push(self.push(listed));
        }
        new
    }

    /// Takes up what was remembered elsewhere, in the same order, before what is here already.
    pub fn restore(&mut self, older: Vec<Listed>) {
        let newer = std::mem::take(&mut self.listed);
        self.names.clear();
        self.bytes = 0;
        for listed in older {
            self.target = self.target.max(listed.duration);
            self.append(listed);
        }
        for listed in newer {
            let same =
                |known: &Arc<Listed>| known.sequence == listed.sequence && known.uri == listed.uri && known.range == listed.range;
            if !self.listed.iter().rev().any(same) {
                self.append(Arc::unwrap_or_clone(listed));
            }
        }
    }

    fn append(&mut self, listed: Listed) {
        let number = self.listed.back().map_or(listed.number, |last| last.number.saturating_add(1));
        self.push(Listed { number, ..listed });
    }

    fn push(&mut self, mut listed: Listed) -> Arc<Listed> {
        if let Some(last) = self.listed.back() {
            // Long lists of segments have few of these.
            let share = |text: &mut Option<Arc<str>>, known: &Option<Arc<str>>| {
                if text == known {
                    text.clone_from(known);
                }
            };
            share(&mut listed.map, &last.map);
            share(&mut listed.keys, &last.keys);
        }
        if !self.names.insert(self.name(&listed)) {
            let same = |known: &&mut Arc<Listed>| known.uri == listed.uri && known.range == listed.range && !known.lost;
            for known in self.listed.iter_mut().filter(same) {
                *known = Arc::new(Listed { lost: true, ..Listed::clone(known) });
            }
        }
        self.bytes += listed.cost();
        let listed = Arc::new(listed);
        self.listed.push_back(Arc::clone(&listed));
        if self.listed.len() > MAX_SEGMENTS {
            self.forget_oldest(1);
        }
        listed
    }

    fn name(&self, listed: &Listed) -> u64 {
        self.hasher.hash_one((&listed.uri, listed.range.map(|range| (range.start, range.length))))
    }

    /// Whether a version goes on from what is here. What both list under the same number is then the same segment.
    fn judge(&self, media: &Media) -> Step {
        let (Some(last), Some(newest)) = (self.listed.back(), media.segments.last()) else { return Step::On };
        if newest.sequence > last.sequence {
            let known = media.segments.iter().find(|segment| segment.sequence == last.sequence);
            return if known.is_none_or(|known| *known.uri == *last.uri) { Step::On } else { Step::Anew };
        }
        let same = |known: &&Arc<Listed>| known.sequence == newest.sequence && *known.uri == *newest.uri;
        if self.listed.iter().rev().any(|known| same(&known)) { Step::Back } else { Step::Anew }
    }

    /// When a segment begins of which the playlist does not tell. `left` is how long it and those behind it play.
    fn begins(&self, discontinuity: bool, now: WallTime, left: Duration) -> WallTime {
        let by_clock = WallTime::from_millis(now.millis().saturating_sub(millis(left)));
        let Some(last) = self.listed.back() else { return by_clock };
        let follows = last.end();
        let tolerance = STEADY_MS.saturating_add(millis(self.target).saturating_mul(2));
        let steady = follows.millis().abs_diff(by_clock.millis()) <= tolerance;
        if steady && !discontinuity { follows } else { by_clock }
    }

    /// The segments between two moments.
    #[must_use]
    pub fn stretch(&self, start: Option<WallTime>, end: Option<WallTime>) -> Stretch {
        let within =
            |listed: &&Arc<Listed>| start.is_none_or(|start| listed.end() > start) && end.is_none_or(|end| listed.at < end);
        let listed: Vec<_> = self.listed.iter().filter(within).cloned().collect();
        let number = |listed: Option<&Arc<Listed>>| listed.map(|listed| listed.number);
        Stretch {
            is_cut_short: self.has_forgotten && number(listed.first()) == number(self.listed.front()),
            is_to_the_last: number(listed.last()) == number(self.listed.back()),
            listed,
            target: self.target,
            ended: self.ended,
            i_frames_only: self.i_frames_only,
        }
    }

    /// Forgets what has outlived its time to live.
    pub fn forget_expired(&mut self, now: WallTime) {
        while self.listed.front().is_some_and(|oldest| oldest.until <= now) {
            self.forget_oldest(1);
        }
    }

    /// Forgets so many of the oldest.
    pub fn forget_oldest(&mut self, count: usize) {
        for _ in 0..count {
            let Some(oldest) = self.listed.pop_front() else { return };
            self.has_forgotten = true;
            self.bytes = self.bytes.saturating_sub(oldest.cost());
            if !oldest.lost {
                let name = self.name(&oldest);
                self.names.remove(&name);
            }
        }
    }

    /// When the oldest segment begins.
    #[must_use]
    pub fn begins_at(&self) -> Option<WallTime> {
        self.listed.front().map(|oldest| oldest.at)
    }

    /// Bytes of memory, about.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.listed.is_empty()
    }
}

/// When the segment after these begins: a playlist that says when once means it of all that follows (RFC 8216 6.3.3).
fn told(segments: &[Segment]) -> Option<WallTime> {
    let mut after = Duration::ZERO;
    for segment in segments.iter().rev() {
        after = after.saturating_add(segment.duration);
        if let Some(date) = segment.program_date_time {
            return Some(later(date, after));
        }
    }
    None
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

fn later(at: WallTime, span: Duration) -> WallTime {
    WallTime::from_millis(at.millis().saturating_add(millis(span)))
}
