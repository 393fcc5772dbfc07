//! What a media playlist has listed over time: more than any version of it shows.
//!
//! A live playlist shows its last segments and forgets the rest, though that can still be read. Here each segment is written down
//! once, when it is listed for the first time, with all that a playlist has to say of it.
//!
//! Invariants: numbers are consecutive, so that a playlist cut from the history counts the same on each reload. A name that was
//! listed again stands for the later listing alone: its bytes are others now. To take up a version costs in proportion to what it
//! lists, whatever it lists and however long the history is: names and places are looked up, never searched for.

mod listed;
mod texts;

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

pub use self::listed::{Keys, Listed};

use self::texts::{MAX_TEXT, Texts};
use super::playlist::{Media, PlaylistType, Segment};
use crate::model::clock::WallTime;

/// Segments of one playlist that are remembered: a day of two-second segments, with some to spare. The oldest are forgotten first.
pub const MAX_SEGMENTS: usize = 50_000;
/// How far the time of a segment that has none may be from the end of the one before it, in milliseconds, beside two target
/// durations. Uploads come in fits and starts; what is further off did not follow at once.
const STEADY_MS: u64 = 3_000;

/// How a version of the playlist stands to the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It goes on.
    On,
    /// It counts anew.
    Anew,
    /// It goes on, and what is new in it begins with this number, whatever was listed under it before.
    From {
        /// The first one that is new.
        sequence: u64,
        /// It does not play on from what was listed before it.
        breaks: bool,
    },
    /// It is an older one that came late.
    Back,
    /// Nothing is known of the one before it, but for what the history shows.
    Unknown,
    /// The same, and its newest segment has come since anything was heard of the playlist: where the history shows it, that was another.
    UnknownAndNew,
}

/// The segments of one media playlist.
#[derive(Debug, Default)]
pub struct History {
    listed: VecDeque<Arc<Listed>>,
    /// How many were here before the first of them.
    forgotten: u64,
    /// The names in it, hashed, and how many were listed before the last listing of each.
    names: HashMap<u64, u64>,
    hasher: RandomState,
    bytes: usize,
    /// How many begin or end before the one before them does: of none, and times are looked up by halves.
    backwards: usize,
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

/// Which segments lie between two moments, in numbers: what a window is rounded to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SegmentSpan {
    /// The number of the first one.
    pub first: u64,
    /// The number of the last one.
    pub last: u64,
    /// How many have been listed since the beginning of the history: with another one it is another history.
    pub listed: u64,
}

impl History {
    /// Takes up a version of the playlist; hands over what is new. `until` tells when a segment outlives its time to live.
    pub fn follow(&mut self, media: &Media, step: Step, now: WallTime, until: impl Fn(&Segment) -> WallTime) -> Vec<Arc<Listed>> {
        let step = match step {
            Step::Unknown => self.judge(media),
            Step::UnknownAndNew if self.judge(media) == Step::On => Step::On,
            Step::UnknownAndNew => Step::Anew,
            known => known,
        };
        if step == Step::Back {
            return Vec::new();
        }
        self.ended = media.ended || media.playlist_type == Some(PlaylistType::Vod);
        self.i_frames_only = media.i_frames_only;
        self.target = self.target.max(media.target_duration.unwrap_or_default());
        let next = match step {
            Step::On => self.listed.back().map(|last| last.sequence.saturating_add(1)),
            Step::From { sequence, .. } => Some(sequence),
            _ => None,
        };
        let fresh = media.segments.iter().position(|segment| next.is_none_or(|next| segment.sequence >= next));
        let Some(fresh) = fresh else { return Vec::new() };
        let fresh = fresh.max(media.segments.len().saturating_sub(MAX_SEGMENTS));
        let mut left: Duration = media.segments[fresh..].iter().map(|segment| segment.duration).sum();
        let mut new = Vec::with_capacity(media.segments.len() - fresh);
        let mut tags = media.segments[..fresh].iter().filter(|segment| segment.discontinuity).count() as u64;
        let mut told = told(&media.segments[..fresh]);
        let mut texts = Texts::new(media, self.listed.back());
        for (index, segment) in media.segments.iter().enumerate().skip(fresh) {
            told = segment.program_date_time.or(told);
            tags += u64::from(segment.discontinuity);
            let before = self.listed.back();
            let breaks = index == fresh
                && before.is_some_and(|last| match step {
                    Step::Anew => true,
                    Step::From { breaks, .. } => breaks,
                    _ => last.sequence.saturating_add(1) != segment.sequence,
                });
            let discontinuity = segment.discontinuity || breaks;
            let (map, keys) = (texts.map(segment), texts.keys(segment));
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
            told = told.map(|at| at + segment.duration);
            new.push(self.push(listed));
        }
        new
    }

    /// Takes up what was remembered elsewhere, in the same order, before what is here already; hands over what was here and is not
    /// among it, with the numbers it has now.
    pub fn restore(&mut self, older: Vec<Listed>) -> Vec<Arc<Listed>> {
        let newer = std::mem::take(&mut self.listed);
        self.names.clear();
        (self.bytes, self.forgotten, self.backwards) = (0, 0, 0);
        let mut known = HashSet::with_capacity(if newer.is_empty() { 0 } else { older.len() });
        for listed in older {
            self.target = self.target.max(listed.duration);
            if !newer.is_empty() {
                known.insert(self.hasher.hash_one((listed.sequence, listed.name())));
            }
            self.append(listed);
        }
        let mut added = Vec::new();
        for listed in newer {
            if !known.contains(&self.hasher.hash_one((listed.sequence, listed.name()))) {
                added.push(self.go_on(Arc::unwrap_or_clone(listed), added.is_empty()));
            }
        }
        added
    }

    /// Appends what was listed before it was known what is here; the first of that may leave a hole.
    fn go_on(&mut self, mut listed: Listed, first: bool) -> Arc<Listed> {
        if let Some(last) = self.listed.back() {
            listed.discontinuity |= first && last.sequence.saturating_add(1) != listed.sequence;
            listed.discontinuities = last.discontinuities.saturating_add(u64::from(listed.discontinuity));
        }
        self.append(listed)
    }

    fn append(&mut self, listed: Listed) -> Arc<Listed> {
        let number = self.listed.back().map_or(listed.number, |last| last.number.saturating_add(1));
        self.push(Listed { number, ..listed })
    }

    fn push(&mut self, mut listed: Listed) -> Arc<Listed> {
        if let Some(last) = self.listed.back() {
            // Long lists of segments have few of these.
            if listed.map == last.map {
                listed.map.clone_from(&last.map);
            }
            if listed.keys == last.keys {
                listed.keys.clone_from(&last.keys);
            }
        }
        let place = self.forgotten.saturating_add(self.listed.len() as u64);
        if let Some(before) = self.names.insert(self.hasher.hash_one(listed.name()), place)
            && let Some(known) = self.at(before)
            && known.name() == listed.name()
            && !known.lost
        {
            // Only the last listing of a name is not lost: those before it made way for each other.
            let lost = Arc::new(Listed { lost: true, ..Listed::clone(known) });
            if let Some(known) = usize::try_from(before - self.forgotten).ok().and_then(|index| self.listed.get_mut(index)) {
                *known = lost;
            }
        }
        self.bytes += listed.cost(self.listed.back().map(|last| &**last));
        self.backwards += usize::from(self.listed.back().is_some_and(|last| goes_back(last, &listed)));
        let listed = Arc::new(listed);
        self.listed.push_back(Arc::clone(&listed));
        if self.listed.len() > MAX_SEGMENTS {
            self.forget_oldest(1);
        }
        listed
    }

    /// What was listed when this many had been listed before it.
    fn at(&self, place: u64) -> Option<&Arc<Listed>> {
        self.listed.get(usize::try_from(place.checked_sub(self.forgotten)?).ok()?)
    }

    /// Whether a version goes on from what is here. What both list under the same number is then the same segment.
    fn judge(&self, media: &Media) -> Step {
        let (Some(last), Some(newest)) = (self.listed.back(), media.segments.last()) else { return Step::On };
        if newest.sequence > last.sequence {
            let known = media.segments.iter().find(|segment| segment.sequence == last.sequence);
            return if known.is_none_or(|known| *known.uri == *last.uri) { Step::On } else { Step::Anew };
        }
        let same = |known: &Arc<Listed>| known.sequence == newest.sequence && *known.uri == *newest.uri;
        // Where it stands if the count has not begun anew since; and where its name was listed last.
        let by_count = usize::try_from(last.sequence - newest.sequence).ok();
        let by_count =
            by_count.and_then(|back| self.listed.len().checked_sub(back.checked_add(1)?)).and_then(|at| self.listed.get(at));
        let name = (&*newest.uri, newest.range.map(|range| (range.start, range.length)));
        let by_name = self.names.get(&self.hasher.hash_one(name)).and_then(|&place| self.at(place));
        if by_count.into_iter().chain(by_name).any(same) { Step::Back } else { Step::Anew }
    }

    /// When a segment begins of which the playlist does not tell. `left` is how long it and those behind it play.
    fn begins(&self, discontinuity: bool, now: WallTime, left: Duration) -> WallTime {
        let by_clock = now - left;
        let Some(last) = self.listed.back() else { return by_clock };
        let follows = last.end();
        let tolerance = STEADY_MS.saturating_add(millis(self.target).saturating_mul(2));
        let steady = follows.millis().abs_diff(by_clock.millis()) <= tolerance;
        if steady && !discontinuity { follows } else { by_clock }
    }

    /// The segments between two moments.
    #[must_use]
    pub fn stretch(&self, start: Option<WallTime>, end: Option<WallTime>) -> Stretch {
        let listed: Vec<_> = self.between(start, end).cloned().collect();
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

    /// Which these are; `None`, when there are none.
    #[must_use]
    pub fn span(&self, start: Option<WallTime>, end: Option<WallTime>) -> Option<SegmentSpan> {
        let mut between = self.between(start, end);
        let first = between.next()?.number;
        let last = between.next_back().map_or(first, |last| last.number);
        Some(SegmentSpan { first, last, listed: self.forgotten + self.listed.len() as u64 })
    }

    /// The segments between two moments: looked up where time goes on from each to the next, as it nearly always does; else looked for.
    fn between(&self, start: Option<WallTime>, end: Option<WallTime>) -> impl DoubleEndedIterator<Item = &Arc<Listed>> {
        let is_after = move |listed: &Arc<Listed>| start.is_none_or(|start| listed.end() > start);
        let is_before = move |listed: &Arc<Listed>| end.is_none_or(|end| listed.at < end);
        let (mut from, mut to) = (0, self.listed.len());
        if self.backwards == 0 {
            from = self.listed.partition_point(|listed| !is_after(listed));
            to = self.listed.partition_point(is_before).max(from);
        }
        self.listed.range(from..to).filter(move |listed| is_after(listed) && is_before(listed))
    }

    /// Forgets what has outlived its time to live.
    pub fn forget_expired(&mut self, now: WallTime) {
        while self.listed.front().is_some_and(|oldest| oldest.until <= now) {
            self.forget_oldest(1);
        }
    }

    /// Forgets this many of the oldest.
    pub fn forget_oldest(&mut self, count: usize) {
        for _ in 0..count {
            let Some(oldest) = self.listed.pop_front() else { return };
            self.has_forgotten = true;
            self.bytes = self.bytes.saturating_sub(oldest.cost(self.listed.front().map(|next| &**next)));
            self.backwards -= usize::from(self.listed.front().is_some_and(|next| goes_back(&oldest, next)));
            let name = self.hasher.hash_one(oldest.name());
            if self.names.get(&name) == Some(&self.forgotten) {
                self.names.remove(&name);
            }
            self.forgotten += 1;
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

/// Whether time goes back from one segment to the next.
fn goes_back(before: &Listed, after: &Listed) -> bool {
    after.at < before.at || after.end() < before.end()
}

/// When the segment after these begins: a playlist that says when once means it of all that follows (RFC 8216 6.3.3).
fn told(segments: &[Segment]) -> Option<WallTime> {
    let mut after = Duration::ZERO;
    for segment in segments.iter().rev() {
        after = after.saturating_add(segment.duration);
        if let Some(date) = segment.program_date_time {
            return Some(date + after);
        }
    }
    None
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use proptest::collection::vec;
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    use super::*;
    use crate::hls::texts::{self, media};

    const NOW: WallTime = WallTime::from_millis(1_767_225_600_000);

    fn lists(names: &[u8]) -> Media {
        media(&names.iter().fold(texts::HEAD.to_owned(), |text, name| text + &texts::segment(name)))
    }

    #[test]
    fn texts_in_force_are_held_once_and_counted_once() {
        let long = "x".repeat(1000);
        let mut text = format!("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-MAP:URI=\"m\",X=\"{long}\"\n");
        for format in 0..3 {
            let _ = writeln!(text, "#EXT-X-KEY:METHOD=AES-128,URI=\"k\",KEYFORMAT=\"f{format}\",X=\"{long}\"");
        }
        for number in 0..2000 {
            // One of the keys changes with each segment, the others stay.
            let _ = writeln!(text, "#EXT-X-KEY:METHOD=AES-128,URI=\"{number}\",KEYFORMAT=\"z\"\n#EXTINF:1,\n{number}.ts");
        }
        let mut history = History::default();
        let new = history.follow(&media(&text), Step::Unknown, NOW, |_| NOW);
        assert_eq!(new.len(), 2000);
        let different: HashSet<*const str> = new.iter().flat_map(|listed| listed.texts()).map(Arc::as_ptr).collect();
        assert_eq!(different.len(), 1 + 3 + 2000, "each tag once");
        assert!(history.bytes() < 8 * text.len(), "{} bytes for {}", history.bytes(), text.len());
        history.forget_oldest(2000);
        assert_eq!((history.bytes(), history.names.len()), (0, 0));
    }

    #[test]
    fn names_that_were_gaps_leave_nothing_behind() {
        let mut history = History::default();
        for version in 0..100_u64 {
            let text = format!(
                "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:{version}\n#EXT-X-GAP\n#EXTINF:1,\n{version}.ts\n"
            );
            history.follow(&media(&text), Step::On, NOW, |_| NOW);
            history.forget_oldest(history.listed.len() - 1);
        }
        assert_eq!(history.names.len(), 1);
    }

    proptest! {
        /// Against the plain rule: of listings of one name the last one stands, whatever has been forgotten meanwhile.
        #[test]
        fn the_last_listing_of_a_name_stands(versions in vec((vec(0_u8..5, 0..20), 0_usize..10), 1..6)) {
            let mut history = History::default();
            let mut plain: Vec<String> = Vec::new();
            for (names, forgotten) in versions {
                history.follow(&lists(&names), Step::Anew, NOW, |_| NOW);
                plain.extend(names.iter().map(ToString::to_string));
                history.forget_oldest(forgotten);
                plain.drain(..forgotten.min(plain.len()));
                let stands = |at: usize| !plain[at + 1..].contains(&plain[at]);
                let expected: Vec<_> = plain.iter().enumerate().map(|(at, name)| (name.clone(), !stands(at))).collect();
                let found: Vec<_> = history.listed.iter().map(|listed| (listed.uri.to_string(), listed.lost)).collect();
                prop_assert_eq!(found, expected);
                let distinct: HashSet<_> = plain.iter().collect();
                prop_assert_eq!(history.names.len(), distinct.len());
            }
        }

        /// What is looked up by halves is what a look at each of them finds, whichever way time goes.
        #[test]
        fn what_lies_between_is_found(times in vec(0_u64..60, 0..30), forgotten in 0_usize..30, (start, end) in (any::<Option<u8>>(), any::<Option<u8>>())) {
            let mut history = History::default();
            for sorted in [false, true] {
                let mut times = times.clone();
                if sorted {
                    times.sort_unstable();
                }
                let mut text = texts::HEAD.to_owned();
                for time in times {
                    let date = WallTime::from_millis(NOW.millis() + time * 1000);
                    let _ = writeln!(text, "#EXT-X-PROGRAM-DATE-TIME:{date}\n#EXTINF:2,\n{time}.ts");
                }
                history.forget_oldest(usize::MAX);
                history.follow(&media(&text), Step::Anew, NOW, |_| NOW);
                history.forget_oldest(forgotten);
                let moment = |after: Option<u8>| after.map(|after| WallTime::from_millis(NOW.millis() + u64::from(after) * 300));
                let (start, end) = (moment(start), moment(end));
                let within = |listed: &&Arc<Listed>| start.is_none_or(|start| listed.end() > start) && end.is_none_or(|end| listed.at < end);
                let expected: Vec<u64> = history.listed.iter().filter(within).map(|listed| listed.number).collect();
                let found: Vec<u64> = history.stretch(start, end).listed.iter().map(|listed| listed.number).collect();
                prop_assert_eq!(&found, &expected);
                let span = history.span(start, end).map(|span| (span.first, span.last));
                prop_assert_eq!(span, expected.first().copied().zip(expected.last().copied()));
                prop_assert!(!sorted || history.backwards == 0);
            }
        }

        /// What was remembered elsewhere goes before what is here, and nothing is listed twice.
        #[test]
        fn what_is_restored_is_not_doubled(names in vec(any::<u8>(), 0..40), cut in 0_usize..40, overlap in 0_usize..40) {
            let mut whole = History::default();
            let all: Vec<Listed> = whole.follow(&lists(&names), Step::Unknown, NOW, |_| NOW).iter().map(|one| Listed::clone(one)).collect();
            let whole: Vec<_> = whole.listed.iter().map(|listed| Listed::clone(listed)).collect();
            let cut = cut.min(all.len());
            let from = cut.saturating_sub(overlap);
            let mut history = History::default();
            for listed in &all[from..] {
                history.push(listed.clone());
            }
            let added = history.restore(all[..cut].to_vec());
            let found: Vec<_> = history.listed.iter().map(|listed| Listed::clone(listed)).collect();
            prop_assert_eq!(found, whole);
            prop_assert_eq!(added.len(), all.len() - cut);
        }
    }
}
