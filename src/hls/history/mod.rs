//! What a media playlist has listed over time: more than any version of it shows.
//!
//! A live playlist shows its last segments and forgets the rest, though that can still be read. Here each segment is written down
//! once, when it is listed for the first time, with all that a playlist has to say of it.
//!
//! Invariants: numbers are consecutive, so that a playlist cut from the history counts the same on each reload. What nobody heard of
//! has its numbers too, where time tells that the encoder went on meanwhile: it is missing, and no break. A name that was listed again
//! is known to have been, with what told its bytes then from others. To take up a version costs in proportion to what it
//! lists, whatever it lists and however long the history is: names and places are looked up, never searched for.

mod listed;
mod stretch;
mod texts;
mod version;

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

pub use self::listed::{FoundOut, Keys, Listed, StoredBytes};
pub use self::stretch::{SegmentSpan, Stretch, Tail};
pub use self::version::Juncture;

use self::texts::{DATE_RANGE, is_marked};
use crate::model::clock::WallTime;

/// Segments of one playlist that are remembered: a day of two-second segments, with some to spare. The oldest are forgotten first.
pub const MAX_SEGMENTS: usize = 50_000;

/// The URI of a segment that has none. Nobody asks for it: it stands with EXT-X-GAP.
pub const NO_URI: &str = "gap";
/// So many date ranges are known, the last ones.
const DATE_RANGES: usize = 64;

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
    /// Bytes of what is said of the whole list, and of date ranges, of which the segments may have gone.
    said_bytes: usize,
    /// Which begin or end before the one before them does, by how many were listed before them: from one to the next, times are looked up by
    /// halves.
    backwards: VecDeque<u64>,
    head: ListHead,
    /// A version was heard of which it is.
    has_head: bool,
    ended: bool,
    /// When it was heard last that the encoder began anew.
    broke: Option<WallTime>,
    /// The discontinuity number of the last segment as the encoder counts them.
    stated: Option<u64>,
    /// The last date ranges, as they are written.
    date_ranges: VecDeque<Arc<str>>,
    /// Those in it whose tags begin or end something that later ones are in.
    marked: VecDeque<Arc<Listed>>,
    /// When what was remembered elsewhere was taken up.
    taken_up: Option<WallTime>,
    /// There was something before what is here.
    has_forgotten: bool,
}

/// What is said once for a whole list. What a list of a part says of itself changes with none of these as long as the encoder's does not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListHead {
    /// The largest target duration that was stated, or that a segment needed, in whole seconds.
    pub target: u64,
    /// The largest version that was stated or needed.
    pub version: u8,
    /// EXT-X-I-FRAMES-ONLY: it is for trick play.
    pub i_frames_only: bool,
    /// EXT-X-IMAGES-ONLY: the same, with pictures.
    pub images_only: bool,
    /// EXT-X-INDEPENDENT-SEGMENTS, in all that was heard.
    pub independent: bool,
    /// Lines that are not known, as written.
    pub others: Vec<Arc<str>>,
}

impl History {
    /// Takes up what was remembered elsewhere, in the same order, before what is here already; hands over what was here and is not
    /// among it, with the numbers it has now.
    pub fn restore(&mut self, older: Vec<Listed>, now: WallTime) -> Vec<Arc<Listed>> {
        self.taken_up = Some(now);
        let newer = std::mem::take(&mut self.listed);
        self.names.clear();
        self.marked.clear();
        self.backwards.clear();
        (self.bytes, self.forgotten) = (0, 0);
        let mut known = HashSet::with_capacity(if newer.is_empty() { 0 } else { older.len() });
        for listed in older {
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
        {
            known.note_listed_again();
        }
        self.head.target = self.head.target.max(listed.target).max(rounded(listed.duration));
        self.head.version = self.head.version.max(needed(&listed));
        let ranges = listed.tags.iter().flat_map(|tags| tags.iter()).filter(|line| line.starts_with(DATE_RANGE));
        let known = self.date_ranges.len();
        self.date_ranges.extend(ranges.cloned());
        if self.date_ranges.len() > known {
            self.date_ranges.drain(..self.date_ranges.len().saturating_sub(DATE_RANGES));
            self.count_said();
        }
        self.bytes += listed.cost(self.listed.back().map(|last| &**last));
        if self.listed.back().is_some_and(|last| goes_back(last, &listed)) {
            self.backwards.push_back(place);
        }
        let listed = Arc::new(listed);
        self.listed.push_back(Arc::clone(&listed));
        if is_marked(&listed) {
            self.marked.push_back(Arc::clone(&listed));
        }
        if self.listed.len() > MAX_SEGMENTS {
            self.forget_oldest(1);
        }
        listed
    }

    /// What was listed when this many had been listed before it.
    fn at(&self, place: u64) -> Option<&Arc<Listed>> {
        self.listed.get(usize::try_from(place.checked_sub(self.forgotten)?).ok()?)
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
            let Some(oldest) = self.listed.pop_front() else { break };
            self.has_forgotten = true;
            self.bytes = self.bytes.saturating_sub(oldest.cost(self.listed.front().map(|next| &**next)));
            let name = self.hasher.hash_one(oldest.name());
            if self.names.get(&name) == Some(&self.forgotten) {
                self.names.remove(&name);
            }
            self.forgotten += 1;
            // The first of all goes back from nothing.
            if self.backwards.front().is_some_and(|place| *place <= self.forgotten) {
                self.backwards.pop_front();
            }
            if self.marked.front().is_some_and(|marked| marked.number <= oldest.number) {
                self.marked.pop_front();
            }
        }
        self.say_nothing_of_nothing();
    }

    /// What is said of a list that has nothing in it takes memory that nobody can be made to give back, and is said again with what comes.
    fn say_nothing_of_nothing(&mut self) {
        if self.listed.is_empty() {
            self.date_ranges.clear();
            self.head.others.clear();
            self.count_said();
        }
    }

    fn count_said(&mut self) {
        self.said_bytes = self.date_ranges.iter().chain(&self.head.others).map(|line| line.len()).sum();
    }

    /// The target duration that bounds all of it, in seconds.
    #[must_use]
    pub const fn target(&self) -> u64 {
        self.head.target
    }

    /// When the oldest segment begins.
    #[must_use]
    pub fn begins_at(&self) -> Option<WallTime> {
        self.listed.front().map(|oldest| oldest.at)
    }

    /// Bytes of memory, about.
    #[must_use]
    pub const fn bytes(&self) -> usize {
        self.bytes + self.said_bytes
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.listed.is_empty()
    }
}

/// Whole seconds, as EXT-X-TARGETDURATION bounds them (RFC 8216 4.3.3.1).
fn rounded(span: Duration) -> u64 {
    span.as_secs() + u64::from(span.subsec_millis() >= 500)
}

/// A target duration that was stated with decimals bounds the same segments in whole seconds.
fn rounded_up(span: Duration) -> u64 {
    span.as_secs() + u64::from(span.subsec_nanos() > 0)
}

/// The version of the protocol that a segment's tags ask for (RFC 8216 7).
fn needed(listed: &Listed) -> u8 {
    let keys = listed.keys.as_deref().unwrap_or_default();
    match () {
        () if listed.map.is_some() => 6,
        // A key may have to state its vector or its format.
        () if !keys.is_empty() => 5,
        () if listed.range.is_some() => 4,
        () => 3,
    }
}

/// Whether time goes back from one segment to the next.
fn goes_back(before: &Listed, after: &Listed) -> bool {
    after.at < before.at || after.end() < before.end()
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
    use crate::hls::playlist::Media;
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
        let new = history.follow(&media(&text), Step::Unknown, NOW, |_| NOW.into());
        assert_eq!(new.len(), 2000);
        let different: HashSet<*const str> = new.iter().flat_map(|listed| listed.texts()).map(Arc::as_ptr).collect();
        assert_eq!(different.len(), 1 + 3 + 2000, "each tag once");
        assert!(history.bytes() < 8 * text.len(), "{} bytes for {}", history.bytes(), text.len());
        history.forget_oldest(2000);
        assert_eq!((history.bytes(), history.names.len()), (0, 0));
    }

    #[test]
    fn what_is_said_of_a_list_counts_as_long_as_there_is_anything_in_it() {
        let long = "x".repeat(4000);
        let own = (0..16).fold(texts::HEAD.to_owned(), |text, number| text + &format!("#EXT-X-OWN-{number}:{long}\n"));
        let own = own + "#EXT-X-MEDIA-SEQUENCE:0\n";
        let with_ranges = |numbers: std::ops::Range<u64>| {
            numbers.fold(own.clone(), |text, number| {
                text + &format!("#EXT-X-DATERANGE:ID=\"{number}\",START-DATE=\"2026-01-01T00:00:00Z\",X-Y=\"{long}\"\n")
                    + &texts::segment(format!("{number}.ts"))
            })
        };
        let mut history = History::default();
        history.follow(&media(&texts::listing(&own, "", 0..1)), Step::On, NOW, |_| NOW.into());
        assert!(history.bytes() >= 64_000, "{}", history.bytes());
        history.follow(&media(&with_ranges(0..40)), Step::Anew, NOW, |_| NOW.into());
        history.forget_oldest(40);
        assert!(
            (220_000..300_000).contains(&history.bytes()),
            "{}: a segment, the tags of the list and all ranges",
            history.bytes()
        );
        history.forget_oldest(1);
        assert_eq!((history.bytes(), history.head.others.len()), (0, 0));
        history.follow(&media(&own), Step::On, NOW, |_| NOW.into());
        assert_eq!(history.bytes(), 0, "nothing is listed");
    }

    #[test]
    fn names_that_were_gaps_leave_nothing_behind() {
        let mut history = History::default();
        for version in 0..100_u64 {
            let text = format!(
                "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:{version}\n#EXT-X-GAP\n#EXTINF:1,\n{version}.ts\n"
            );
            history.follow(&media(&text), Step::On, NOW, |_| NOW.into());
            history.forget_oldest(history.listed.len() - 1);
        }
        assert_eq!(history.names.len(), 1);
    }

    /// Two-second segments of these numbers, with the date of the first if there is one.
    fn numbered(numbers: std::ops::RangeInclusive<u64>, date: Option<u64>) -> Media {
        let mut text = format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:{}\n", numbers.start());
        if let Some(date) = date {
            let _ = writeln!(text, "#EXT-X-PROGRAM-DATE-TIME:{}", WallTime::from_millis(NOW.millis() + date * 1000));
        }
        for number in numbers {
            let _ = writeln!(text, "#EXTINF:2,\n{number}.ts");
        }
        media(&text)
    }

    #[test]
    fn what_was_not_heard_is_missing_and_what_jumps_ahead_began_anew() {
        let later = |seconds: u64| WallTime::from_millis(NOW.millis() + seconds * 1000);
        for (date, next, now, expected) in [
            // Dates tell, however late they come.
            (Some(0), (6, Some(12)), 12, "0 1 2 3 4 -5 6"),
            (Some(0), (6, Some(12)), 90, "0 1 2 3 4 -5 6"),
            (Some(0), (7, Some(14)), 14, "0 1 2 3 4 -5 -6 7"),
            (Some(0), (12, Some(13)), 13, "0 1 2 3 4 !12"),
            (Some(0), (6, Some(60)), 60, "0 1 2 3 4 !6"),
            (Some(0), (6, Some(6)), 6, "0 1 2 3 4 !6"),
            // Without them this clock does: here as long as the segments play.
            (None, (6, None), 14, "0 1 2 3 4 -5 6"),
            (None, (6, None), 10, "0 1 2 3 4 !6"),
            (None, (16, None), 22, "0 1 2 3 4 !16"),
            (None, (5, None), 99, "0 1 2 3 4 5"),
        ] {
            let mut history = History::default();
            history.follow(&numbered(0..=4, date), Step::Unknown, later(10), |_| NOW.into());
            let (first, begins) = next;
            history.follow(&numbered(first..=first, begins), Step::On, later(now), |_| NOW.into());
            let found = history.listed.iter().map(|listed| match (listed.lost, listed.discontinuity) {
                (true, _) => format!("-{}", listed.sequence),
                (false, true) => format!("!{}", listed.sequence),
                (false, false) => listed.sequence.to_string(),
            });
            assert_eq!(found.collect::<Vec<_>>().join(" "), expected, "{date:?} {next:?} {now}");
            assert!(history.listed.iter().zip(0..).all(|(listed, number)| listed.number == number));
        }
    }

    #[test]
    fn a_hole_that_a_restart_of_this_process_leaves_is_none_of_the_encoder() {
        let later = |seconds: u64| WallTime::from_millis(NOW.millis() + seconds * 1000);
        for (next, now, breaks) in [(5, 12, 0), (7, 16, 0), (7, 99, 1)] {
            let mut before = History::default();
            before.follow(&numbered(0..=4, None), Step::Unknown, later(10), |_| NOW.into());
            let written = before.listed.iter().map(|listed| Listed { heard: None, ..Listed::clone(listed) }).collect();
            let mut history = History::default();
            history.restore(written, NOW);
            history.follow(&numbered(next..=next, None), Step::On, later(now), |_| NOW.into());
            assert_eq!(history.listed.iter().filter(|listed| listed.discontinuity).count(), breaks, "{next} {now}");
        }
    }

    #[test]
    fn what_was_written_down_has_its_end_and_its_head_from_the_version_that_is_kept() {
        let says = "#EXT-X-OWN:1\n#EXT-X-I-FRAMES-ONLY\n#EXT-X-INDEPENDENT-SEGMENTS\n";
        let text = texts::listing(&(texts::head(0) + says), "", 0..=4) + "#EXT-X-ENDLIST\n";
        let mut before = History::default();
        let written: Vec<_> =
            before.follow(&media(&text), Step::Unknown, NOW, |_| NOW.into()).iter().map(|one| Listed::clone(one)).collect();
        let mut history = History::default();
        history.restore(written, NOW);
        assert!(history.follow(&media(&text), Step::Unknown, NOW, |_| NOW.into()).is_empty(), "nothing in it is new");
        let (found, expected) = (history.stretch(None, None), before.stretch(None, None));
        assert_eq!((found.ended, &found.head), (true, &expected.head));
        assert!(found.head.i_frames_only && found.head.independent && found.head.others.len() == 1);
        // One that is older says nothing of what there is now.
        let late = media(&texts::listing(&texts::head(0), "", 0..=3));
        history.follow(&late, Step::Unknown, NOW, |_| NOW.into());
        assert!(history.stretch(None, None).ended);
    }

    #[test]
    fn a_long_silence_is_a_hole_where_as_much_time_has_gone_by() {
        let later = |seconds: u64| WallTime::from_millis(NOW.millis() + seconds * 1000);
        for (date, next, now, expected) in [
            (Some(0), 2005, 4010, 2001 + 5),
            (None, 2005, 4012, 2001 + 5),
            // Dates alone, and a silence of a day.
            (Some(0), 2005, 60, 5 + 1),
            (Some(0), 43_205, 86_410, 5 + 1),
        ] {
            let mut history = History::default();
            history.follow(&numbered(0..=4, date), Step::Unknown, later(10), |_| NOW.into());
            history.follow(&numbered(next..=next, date.map(|_| next * 2)), Step::On, later(now), |_| NOW.into());
            assert_eq!(history.listed.len(), expected, "{date:?} {next}");
            let breaks = history.listed.iter().filter(|listed| listed.discontinuity).count();
            assert_eq!(breaks, usize::from(expected < 10), "{date:?} {next}");
        }
    }

    #[test]
    fn a_break_in_a_silence_is_counted_by_the_encoder_or_by_others() {
        let later = |seconds: u64| WallTime::from_millis(NOW.millis() + seconds * 1000);
        let numbers = |history: &History| history.listed.iter().map(|listed| listed.discontinuities).collect::<Vec<_>>();
        for date in [None, Some(0)] {
            // The other one, which was heard all the time, breaks at its eighth.
            let mut other = History::default();
            other.follow(&numbered(0..=6, date), Step::Unknown, later(14), |_| NOW.into());
            let mut broken = numbered(7..=12, date.map(|_| 14));
            broken.segments[0].discontinuity = true;
            other.follow(&broken, Step::On, later(26), |_| NOW.into());
            for says in [0, 1] {
                let mut history = History::default();
                history.follow(&numbered(0..=4, date), Step::Unknown, later(10), |_| NOW.into());
                let mut after = numbered(10..=12, date.map(|_| 20));
                after.discontinuity_sequence = says;
                let beside = |juncture| if says == 0 { other.goes_with(juncture, later(26)) } else { None };
                history.follow_beside(&after, Step::On, later(26), |_| NOW.into(), beside);
                let expected = match (date, says) {
                    (Some(_), 0) => [0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1],
                    _ => [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1],
                };
                assert_eq!(numbers(&history), expected, "{date:?} {says}");
            }
        }
    }

    #[test]
    fn what_is_there_at_a_moment_is_what_was_listed_of_it_last_and_is_not_searched_for() {
        let later = |seconds: u64| WallTime::from_millis(NOW.millis() + seconds * 1000);
        let mut history = History::default();
        // The encoder's clock goes back by ten seconds each time, where it breaks.
        for begun in 0..100_u64 {
            let mut again = numbered(begun * 10..=begun * 10 + 9, Some(begun * 10));
            again.segments[0].discontinuity = begun > 0;
            history.follow(&again, Step::On, later(begun * 20), |_| NOW.into());
        }
        assert_eq!(history.backwards.len(), 99);
        let number = |seconds: u64| history.at_moment(later(seconds)).map(|listed| (listed.sequence, listed.discontinuities));
        // Each ten seconds are listed twice.
        assert_eq!(number(1009), Some((999, 99)));
        assert_eq!((number(995), number(985)), (Some((992, 99)), Some((982, 98))));
        assert_eq!(
            (number(1010), number(100), number(0)),
            (None, None, None),
            "of what has gone back often the last parts are looked at"
        );
        let juncture = Juncture { begins: Some(later(991)), ..Juncture::default() };
        assert_eq!(history.goes_with(juncture, later(2000)), Some(99), "not what it was when time went through it first");
        history.forget_oldest(985);
        assert_eq!(history.backwards.len(), 1);
        let number = |seconds: u64| history.at_moment(later(seconds)).map(|listed| listed.sequence);
        assert_eq!((number(995), number(985), number(991)), (Some(992), None, Some(990)));
    }

    proptest! {
        /// What is looked up at a moment where time goes on is what a look at each of them finds.
        #[test]
        fn what_is_there_at_a_moment_is_found(mut times in vec(0_u64..60, 0..30), forgotten in 0_usize..30, moment in 0_u64..200) {
            times.sort_unstable();
            let mut text = texts::HEAD.to_owned();
            for time in times {
                let date = WallTime::from_millis(NOW.millis() + time * 1000);
                let _ = writeln!(text, "#EXT-X-PROGRAM-DATE-TIME:{date}\n#EXTINF:2,\n{time}.ts");
            }
            let mut history = History::default();
            history.follow(&media(&text), Step::Anew, NOW, |_| NOW.into());
            history.forget_oldest(forgotten);
            let moment = WallTime::from_millis(NOW.millis() + moment * 300);
            let expected = history.listed.iter().find(|listed| listed.at <= moment && moment < listed.end());
            prop_assert_eq!(history.at_moment(moment).map(|listed| listed.number), expected.map(|listed| listed.number));
        }

        /// Against the plain rule: of listings of one name the last one stands, whatever has been forgotten meanwhile.
        #[test]
        fn the_last_listing_of_a_name_stands(versions in vec((vec(0_u8..5, 0..20), 0_usize..10), 1..6)) {
            let mut history = History::default();
            let mut plain: Vec<String> = Vec::new();
            for (names, forgotten) in versions {
                history.follow(&lists(&names), Step::Anew, NOW, |_| NOW.into());
                plain.extend(names.iter().map(ToString::to_string));
                history.forget_oldest(forgotten);
                plain.drain(..forgotten.min(plain.len()));
                let stands = |at: usize| !plain[at + 1..].contains(&plain[at]);
                let expected: Vec<_> = plain.iter().enumerate().map(|(at, name)| (name.clone(), !stands(at))).collect();
                let found: Vec<_> = history.listed.iter().map(|listed| (listed.uri.to_string(), listed.is_listed_again())).collect();
                prop_assert_eq!(found, expected);
                let distinct: HashSet<_> = plain.iter().collect();
                prop_assert_eq!(history.names.len(), distinct.len());
            }
        }

        /// What is looked up by halves is what a look at each of them finds, from the first to the last, whichever way time goes.
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
                history.follow(&media(&text), Step::Anew, NOW, |_| NOW.into());
                history.forget_oldest(forgotten);
                let moment = |after: Option<u8>| after.map(|after| WallTime::from_millis(NOW.millis() + u64::from(after) * 300));
                let (start, end) = (moment(start), moment(end));
                let within = |listed: &&Arc<Listed>| start.is_none_or(|start| listed.end() > start) && end.is_none_or(|end| listed.at < end);
                // With all that is listed among them: a part has no holes.
                let mut lie = history.listed.iter().filter(within).map(|listed| listed.number);
                let expected: Vec<u64> = match (lie.next(), lie.next_back()) {
                    (Some(first), last) => (first..=last.unwrap_or(first)).collect(),
                    (None, _) => Vec::new(),
                };
                let found: Vec<u64> = history.stretch(start, end).listed.iter().map(|listed| listed.number).collect();
                prop_assert_eq!(&found, &expected);
                let span = history.span(start, end).map(|span| (span.first, span.last));
                prop_assert_eq!(span, expected.first().copied().zip(expected.last().copied()));
                // And from its end on, piece by piece.
                let (mut backwards, mut before) = (Vec::new(), u64::MAX);
                loop {
                    let numbers: Vec<u64> = history.tail(start, end, before, 4).listed.iter().map(|listed| listed.number).collect();
                    let Some(&oldest) = numbers.last() else { break };
                    (before, _) = (oldest, backwards.extend(numbers));
                }
                backwards.reverse();
                prop_assert_eq!(&backwards, &expected);
                prop_assert!(!sorted || history.backwards.is_empty());
            }
        }

        /// What was remembered elsewhere goes before what is here, and nothing is listed twice.
        #[test]
        fn what_is_restored_is_not_doubled(names in vec(any::<u8>(), 0..40), cut in 0_usize..40, overlap in 0_usize..40) {
            let mut whole = History::default();
            let all: Vec<Listed> = whole.follow(&lists(&names), Step::Unknown, NOW, |_| NOW.into()).iter().map(|one| Listed::clone(one)).collect();
            let whole: Vec<_> = whole.listed.iter().map(|listed| Listed::clone(listed)).collect();
            let cut = cut.min(all.len());
            let from = cut.saturating_sub(overlap);
            let mut history = History::default();
            for listed in &all[from..] {
                history.push(listed.clone());
            }
            let added = history.restore(all[..cut].to_vec(), NOW);
            let found: Vec<_> = history.listed.iter().map(|listed| Listed::clone(listed)).collect();
            prop_assert_eq!(found, whole);
            prop_assert_eq!(added.len(), all.len() - cut);
        }
    }
}
