//! A playlist of the past: what a history has in a window of time, as far as it can still be read.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use super::history::{Listed, Stretch};
use super::in_force::{InForce, NeededTags};
use super::marks;
use crate::model::clock::WallTime;

/// A window of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// From when on; `None`: from the oldest segment there is.
    pub start: Option<WallTime>,
    /// Until when; `None`: it stays open, and grows with the stream.
    pub end: Option<WallTime>,
}

impl Window {
    /// Whether nothing can come into it any more, by the clock.
    #[must_use]
    pub fn is_closed(&self, now: WallTime) -> bool {
        self.end.is_some_and(|end| end <= now)
    }
}

/// A query that asks for the same window.
impl std::fmt::Display for Window {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.start, self.end) {
            (Some(start), Some(end)) => write!(f, "start={start}&end={end}"),
            (Some(start), None) => write!(f, "start={start}"),
            (None, Some(end)) => write!(f, "end={end}"),
            (None, None) => Ok(()),
        }
    }
}

/// A playlist that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The playlist.
    pub text: String,
    /// It has its end.
    pub ended: bool,
    /// Nothing that is still to come will change it: all it can list has been listed.
    pub settled: bool,
    /// Its target duration.
    pub target: Duration,
    /// When the first of its segments has outlived its time to live.
    pub until: WallTime,
}

/// The longest playlist that is made, in bytes: a day of two-second segments takes a quarter of it. Keys without an initialisation
/// vector are written anew for each segment that is counted otherwise than it was, and have no other bound.
const MAX_CUT: usize = 16 << 20;

/// So long after the end of a window somebody may still follow it: who was away asks for it again when he is back.
pub const FOLLOWED: Duration = Duration::from_secs(3600);

/// So many discontinuities are counted at once: more than an encoder makes while one of its renditions is silent.
const MAX_BREAKS: u64 = 64;

/// Why there is no playlist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Uncut {
    /// Nothing of it is there any more.
    Nothing,
    /// It would be longer than 16 MiB.
    TooLong,
}

/// Whether a segment that was listed can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It can.
    Here,
    /// Its bytes are on their way in.
    Arriving,
    /// It can't.
    Missing,
    /// Not by this reader.
    Hidden,
}

impl From<bool> for Presence {
    fn from(is_here: bool) -> Self {
        if is_here { Self::Here } else { Self::Missing }
    }
}

/// What is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CutSpec {
    /// The window.
    pub window: Window,
    /// It was counted from now, and is asked for once: it has its end at once.
    pub is_relative: bool,
    /// What came too late for those who follow it is to be in it too: so who asks does not follow it.
    pub has_late: bool,
    /// The largest target duration of the renditions beside it, in seconds: all of them state one (RFC 8216 6.2.4).
    pub beside: u64,
}

/// Makes a media playlist of a stretch. Costs in proportion to the stretch and to what is made.
///
/// It is one list, from its beginning to its end: what grows is only added to, and in the end gets EXT-X-ENDLIST and no other line (RFC
/// 8216 6.2.1). So what is missing is EXT-X-GAP (RFC 8216bis 4.4.4.7), which keeps the numbers and the time of all that follow it,
/// and of a rendition's what they are in the others; and EXT-X-DISCONTINUITY stands where the encoder wrote it or began anew. It is of
/// type EVENT, and is played from its beginning, as long as nothing was lost there.
///
/// # Errors
/// [`Uncut`].
pub fn cut(stretch: &Stretch, asked: CutSpec, now: WallTime, presence: impl Fn(&Listed) -> Presence) -> Result<Cut, Uncut> {
    let CutSpec { window, is_relative, has_late, beside } = asked;
    let slack = Duration::from_secs(stretch.head.target.max(1)).saturating_mul(3);
    // Nobody follows it any more: what has come since then is there for all.
    let ends = window.end.or_else(|| stretch.listed.last().map(|last| last.end()));
    let is_over_long = || ends.is_some_and(|ends| now.since(ends) > FOLLOWED) && (window.is_closed(now) || stretch.ended);
    let is_past = is_relative || has_late || is_over_long();
    let end = window.end.filter(|_| !is_past);
    let all = end.map_or(&*stretch.listed, |end| until_told(stretch, end));
    let is_all = all.len() == stretch.listed.len();
    let found = |listed: &Arc<Listed>| match listed.lost {
        true => Presence::Missing,
        false if !is_past && listed.is_passed_over() => Presence::Missing,
        false => presence(listed),
    };
    let found: Vec<Presence> = all.iter().map(found).collect();
    // What is missing at the beginning is of no use.
    let is_here = |presence: &Presence| *presence == Presence::Here;
    let first = found.iter().position(is_here).ok_or(Uncut::Nothing)?;
    // What arrives is waited for where that ends soon; what is missing at the end may be on its way.
    let waits = !is_relative;
    let arriving = found[first..].iter().position(|presence| waits && *presence == Presence::Arriving).map(|after| first + after);
    let last = found[..arriving.unwrap_or(found.len())].iter().rposition(is_here).ok_or(Uncut::Nothing)?;
    let is_over = stretch.ended && stretch.is_to_the_last && is_all;
    let heard = |listed: &Arc<Listed>| listed.heard.or(stretch.taken_up.filter(|_| !is_over_long()));
    let is_due = |listed: &Arc<Listed>| heard(listed).is_some_and(|heard| now.since(heard) < patience(listed));
    let is_reached =
        |end: WallTime| !stretch.is_to_the_last || !is_all || all.last().is_some_and(|last| last.end() >= end || !is_due(last));
    let is_closed = window.end.is_some_and(|end| end <= now && is_reached(end));
    let may_come = arriving.is_some() || last + 1 < all.len() && all.last().is_some_and(is_due);
    let ended = if is_relative { true } else { (is_closed || is_over) && !may_come };
    if !is_past {
        // What is told to be missing stays so for whoever follows this list.
        let told = if ended { all.len() } else { last };
        let missing = all[..told].iter().zip(&found).filter(|(_, presence)| **presence == Presence::Missing);
        missing.for_each(|(listed, _)| listed.pass_over());
        if let (Some(end), Some(last), true) = (window.end, all.last(), ended) {
            last.note_last_until(end);
        }
    }
    let mut listing = Listing::new();
    let oldest = &all[first];
    let is_whole = first == 0 && window.start.is_some() && !stretch.is_cut_short;
    // What lies before the beginning, also of what is missing there.
    let before = || stretch.marked.iter().chain(&all[..first]).map(|marked| &**marked);
    listing.lines(marks::date_ranges(before(), oldest.at));
    // A list that loses its beginning as it grows has no cue of its own there: it would have another one each time, and at its end.
    if is_whole || ended && is_past {
        listing.lines(marks::opening(before(), oldest));
    }
    for (listed, presence) in all.iter().zip(&found).take(last + 1).skip(first) {
        listing.add(listed, is_here(presence));
        if listing.text.len() > MAX_CUT {
            return Err(Uncut::TooLong);
        }
    }
    let head = &stretch.head;
    let target = head.target.max(beside).max(1);
    let version = head.version.max(listing.version).max(if head.i_frames_only { 4 } else { 3 });
    let mut text = String::with_capacity(listing.text.len() + 300);
    let _ = write!(text, "#EXTM3U\n#EXT-X-VERSION:{version}\n#EXT-X-TARGETDURATION:{target}\n");
    let _ = writeln!(text, "#EXT-X-MEDIA-SEQUENCE:{}", oldest.number);
    let _ = writeln!(text, "#EXT-X-DISCONTINUITY-SEQUENCE:{}", oldest.discontinuities);
    if is_whole {
        text.push_str("#EXT-X-PLAYLIST-TYPE:EVENT\n#EXT-X-START:TIME-OFFSET=0\n");
    }
    for (is_said, tag) in [
        (head.independent, "#EXT-X-INDEPENDENT-SEGMENTS\n"),
        (head.i_frames_only, "#EXT-X-I-FRAMES-ONLY\n"),
        (head.images_only, "#EXT-X-IMAGES-ONLY\n"),
    ] {
        text.push_str(if is_said { tag } else { "" });
    }
    for line in &head.others {
        let _ = writeln!(text, "{line}");
    }
    text.push_str(&listing.text);
    if ended {
        text.push_str("#EXT-X-ENDLIST\n");
    }
    let settled = is_over || !stretch.is_to_the_last || window.end.is_some_and(|end| now.since(end) > slack);
    let until =
        all[first..=last].iter().zip(&found[first..]).filter(|(_, presence)| is_here(presence)).map(|(listed, _)| listed.until);
    let until = until.min().ok_or(Uncut::Nothing)?;
    Ok(Cut { text, ended, settled: ended && settled, target: Duration::from_secs(target), until })
}

/// How long after a segment was listed the next one is not overdue. A fifth of a segment is what uploads differ by.
fn patience(listed: &Listed) -> Duration {
    listed.duration.saturating_mul(6) / 5
}

/// What a window with this end had when somebody was told that it is over: what was listed later is no part of it (RFC 8216 6.2.1). Where
/// nobody was, it is all there is.
fn until_told(stretch: &Stretch, end: WallTime) -> &[Arc<Listed>] {
    let last = stretch.listed.iter().position(|listed| listed.is_last_until(end));
    &stretch.listed[..last.map_or(stretch.listed.len(), |last| last + 1)]
}

/// The lines of segments in the making.
struct Listing<'a> {
    text: String,
    /// The one before.
    before: Option<&'a Listed>,
    in_force: InForce<'a>,
    version: u8,
}

impl<'a> Listing<'a> {
    fn new() -> Self {
        Self { text: String::new(), before: None, in_force: InForce::default(), version: 3 }
    }

    fn add(&mut self, listed: &'a Listed, is_here: bool) {
        let is_first = self.before.is_none();
        // One for each that was counted: a rendition may have been silent over several.
        let breaks =
            self.before.map_or(0, |before| listed.discontinuities.saturating_sub(before.discontinuities)).min(MAX_BREAKS);
        for _ in 0..breaks {
            self.text.push_str("#EXT-X-DISCONTINUITY\n");
        }
        if is_here {
            let map = listed.map.as_ref().map(|map| (&**map, listed.clear_map));
            let needed = NeededTags { keys: listed.keys.as_deref(), map, numbers: (listed.sequence, listed.number) };
            self.in_force.state(&mut self.text, needed);
            self.version = self.version.max(self.in_force.version());
        }
        // What was counted on from a date is stated where nothing before it tells.
        if listed.dated || listed.counted && (is_first || breaks > 0) {
            let _ = writeln!(self.text, "#EXT-X-PROGRAM-DATE-TIME:{}", listed.at);
        }
        for line in listed.tags.iter().flat_map(|tags| tags.iter()) {
            let _ = writeln!(self.text, "{line}");
        }
        let micros = listed.duration.as_micros();
        let _ = writeln!(self.text, "#EXTINF:{}.{:06},", micros / 1_000_000, micros % 1_000_000);
        if !is_here {
            self.text.push_str("#EXT-X-GAP\n");
        }
        if let Some(range) = listed.range {
            self.version = self.version.max(4);
            let _ = writeln!(self.text, "#EXT-X-BYTERANGE:{}@{}", range.length, range.start);
        }
        self.text.push_str(&listed.uri);
        self.text.push('\n');
        self.before = Some(listed);
    }
}

impl Listing<'_> {
    fn lines(&mut self, lines: impl IntoIterator<Item = impl std::fmt::Display>) {
        for line in lines {
            let _ = writeln!(self.text, "{line}");
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::*;
    use crate::hls::history::{History, Step, StoredBytes};
    use crate::hls::playlist::{Playlist, parse};
    use crate::hls::texts::{self, media};

    const T0: u64 = 1_767_225_600_000;

    fn at(seconds: f64) -> WallTime {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small and positive")]
        WallTime::from_millis(T0 + (seconds * 1000.0) as u64)
    }

    fn until(_: &str) -> StoredBytes {
        at(1e6).into()
    }

    /// Two-second segments, a playlist of five for each new one; `head` and `names` as they are written.
    fn follow(history: &mut History, numbers: std::ops::RangeInclusive<u64>, clock: f64, name: &str, head: &str) {
        let (first, last) = (*numbers.start(), *numbers.end());
        for number in first..=last {
            let oldest = number.saturating_sub(4).max(first);
            let text = texts::listing(&(texts::head(oldest) + head), name, oldest..=number);
            #[expect(clippy::cast_precision_loss, reason = "small")]
            let now = clock + 2.0 * (number - first + 1) as f64;
            let step = if number == first { Step::Unknown } else { Step::On };
            history.follow(&media(&text), step, at(now), until);
        }
    }

    fn window(start: f64, end: f64) -> Window {
        Window { start: Some(at(start)), end: Some(at(end)) }
    }

    fn cut_of(history: &History, window: Window, now: f64, retained: impl Fn(&Listed) -> bool) -> Option<Cut> {
        let asked = CutSpec { window, ..CutSpec::default() };
        cut(&history.stretch(window.start, window.end), asked, at(now), |listed| retained(listed).into()).ok()
    }

    fn names(cut: &Cut) -> Vec<String> {
        media(&cut.text).segments.iter().filter(|segment| !segment.gap).map(|segment| segment.uri.clone()).collect()
    }

    #[test]
    fn a_window_of_the_past_is_a_recording() {
        let mut history = History::default();
        follow(&mut history, 100..=119, 0.0, "a", "");
        let cut = cut_of(&history, window(10.0, 16.5), 100.0, |_| true).unwrap();
        assert_eq!(
            cut.text,
            "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:105\n#EXT-X-DISCONTINUITY-SEQUENCE:0\n\
             #EXT-X-PLAYLIST-TYPE:EVENT\n#EXT-X-START:TIME-OFFSET=0\n\
             #EXTINF:2.000000,\na105.ts\n#EXTINF:2.000000,\na106.ts\n\
             #EXTINF:2.000000,\na107.ts\n#EXTINF:2.000000,\na108.ts\n#EXT-X-ENDLIST\n"
        );
        assert!(cut.ended && cut.settled);
        assert!(cut_of(&history, window(40.0, 50.0), 100.0, |_| true).is_none(), "after its end");
        assert!(cut_of(&history, window(10.0, 16.5), 100.0, |_| false).is_none());
        let early = cut_of(&history, window(30.0, 42.0), 43.0, |_| true).unwrap();
        assert!(early.ended && !early.settled, "the last one may be on its way");
    }

    #[test]
    fn what_follows_is_not_overdue_because_the_process_was_replaced() {
        let mut before = History::default();
        follow(&mut before, 0..=6, 0.0, "a", "");
        let written = before.stretch(None, None).listed;
        let written = || written.iter().map(|listed| Listed { heard: None, ..Listed::clone(listed) }).collect();
        let mut history = History::default();
        history.restore(written(), at(15.0));
        let early = cut_of(&history, window(0.0, 15.0), 15.1, |_| true).unwrap();
        assert!(!early.ended, "the list stands at 14, and what lies at 15 is on its way");
        assert!(cut_of(&history, window(0.0, 15.0), 17.5, |_| true).unwrap().ended, "it is overdue");
        let mut history = History::default();
        history.restore(written(), at(5000.0));
        assert!(cut_of(&history, window(0.0, 15.0), 5000.0, |_| true).unwrap().ended, "nobody waits for it any more");
    }

    #[test]
    fn what_is_missing_is_a_gap_in_what_is_closed_as_in_what_grows() {
        let mut history = History::default();
        follow(&mut history, 0..=9, 0.0, "a", "");
        let here = |listed: &Listed| !matches!(listed.sequence, 0 | 4 | 5 | 9);
        let open = cut_of(&history, Window { start: Some(at(0.0)), end: None }, 21.0, here).unwrap();
        let read = media(&open.text);
        assert_eq!(
            (read.media_sequence, read.segments.len(), read.ended),
            (1, 8, false),
            "the first and the last are not waited for"
        );
        assert_eq!(names(&open), ["a1.ts", "a2.ts", "a3.ts", "a6.ts", "a7.ts", "a8.ts"]);
        assert!(read.segments.iter().filter(|segment| segment.gap).all(|segment| ["a4.ts", "a5.ts"].contains(&&*segment.uri)));
        assert!(!open.text.contains("DISCONTINUITY\n") && !open.text.contains("TYPE"), "its beginning is lost");
        // The end comes, and only that; what was told to be missing stays so for who follows.
        let end = Window { start: Some(at(0.0)), end: Some(at(20.0)) };
        let closed = cut_of(&history, end, 23.0, |listed| listed.sequence != 9).unwrap();
        assert_eq!(closed.text, format!("{}#EXT-X-ENDLIST\n", open.text));
        let at_last = |listed: &Listed| listed.sequence != 9;
        assert_eq!(cut_of(&history, end, 3600.0, at_last).unwrap().text, closed.text, "also for who comes back to it");
        let later = cut_of(&history, end, 3621.0, at_last).unwrap();
        assert_eq!(names(&later).len(), 9, "and not for who comes when nobody follows any more");
        let once = CutSpec { window: end, has_late: true, ..CutSpec::default() };
        let late = cut(&history.stretch(end.start, end.end), once, at(23.0), |listed| at_last(listed).into()).unwrap();
        assert_eq!((late.text, late.ended), (later.text, true), "nor for who asks once");
        let whole = cut_of(&history, Window { start: Some(at(0.0)), end: None }, 3621.0, |_| true).unwrap();
        assert_eq!(media(&whole.text).media_sequence, 1);
    }

    #[test]
    fn what_came_late_is_in_a_window_whose_end_nobody_was_told() {
        // The eighth is listed three seconds late, after the window's end and after it was overdue.
        let histories = [(); 2].map(|()| {
            let mut history = History::default();
            follow(&mut history, 0..=6, 0.0, "a", "");
            history
        });
        let end = Window { start: Some(at(0.0)), end: Some(at(15.0)) };
        let names_at =
            |history: &History, now: f64| cut_of(history, end, now, |_| true).map(|cut| (names(&cut).len(), cut.ended));
        assert_eq!(names_at(&histories[0], 16.9), Some((7, true)), "told to be over");
        for (mut history, expected) in histories.into_iter().zip([7, 8]) {
            let text = texts::listing(&texts::head(3), "a", 3..=7);
            history.follow(&media(&text), Step::On, at(19.0), until);
            assert_eq!(names_at(&history, 60.0), Some((expected, true)));
            assert_eq!(names_at(&history, 4000.0), Some((8, true)));
        }
    }

    #[test]
    fn what_arrives_is_waited_for() {
        let mut history = History::default();
        follow(&mut history, 0..=9, 0.0, "a", "");
        let cut_at = |now: f64, end: Option<f64>, missing: Presence| {
            let window = Window { start: Some(at(0.0)), end: end.map(at) };
            let presence = |listed: &Listed| if listed.sequence == 7 { missing } else { Presence::Here };
            cut(&history.stretch(window.start, window.end), CutSpec { window, ..CutSpec::default() }, at(now), presence).unwrap()
        };
        let arriving = cut_at(21.0, Some(20.0), Presence::Arriving);
        assert_eq!((names(&arriving).len(), arriving.ended), (7, false), "its end waits as well");
        let here = cut_at(21.5, Some(20.0), Presence::Here);
        assert!(here.text.starts_with(&arriving.text) && here.ended);
        // A window that lies beyond what there is has its end when the next one is overdue.
        assert!(!cut_at(22.0, Some(21.0), Presence::Here).ended && cut_at(23.0, Some(21.0), Presence::Here).ended);
        let gone = cut_at(21.0, None, Presence::Missing);
        assert_eq!(gone.text.matches("#EXT-X-GAP\n").count(), 1);
        assert_eq!(cut_at(21.0, None, Presence::Here).text, gone.text, "told is told");
    }

    #[test]
    fn a_new_count_is_a_discontinuity_and_names_stand_for_their_last_bytes() {
        let mut history = History::default();
        follow(&mut history, 5..=9, 0.0, "a", "#EXT-X-DISCONTINUITY-SEQUENCE:7\n");
        follow(&mut history, 0..=2, 30.0, "b", "");
        let cut = cut_of(&history, Window { start: None, end: Some(at(50.0)) }, 60.0, |_| true).unwrap();
        let read = media(&cut.text);
        assert_eq!((read.media_sequence, read.discontinuity_sequence), (5, 7));
        assert_eq!(names(&cut), ["a5.ts", "a6.ts", "a7.ts", "a8.ts", "a9.ts", "b0.ts", "b1.ts", "b2.ts"]);
        assert_eq!(read.segments[5].program_date_time, None, "nobody said when");
        assert_eq!(cut.text.matches("#EXT-X-DISCONTINUITY\n").count(), 1);
        let later = cut_of(&history, window(32.0, 90.0), 100.0, |_| true).unwrap();
        assert_eq!(media(&later.text).discontinuity_sequence, 8, "which was counted");
        // Now the first names come again.
        follow(&mut history, 3..=6, 60.0, "a", "");
        let cut = cut_of(&history, Window { start: None, end: Some(at(90.0)) }, 100.0, |_| true).unwrap();
        let all = ["a5.ts", "a6.ts", "a7.ts", "a8.ts", "a9.ts", "b0.ts", "b1.ts", "b2.ts", "a3.ts", "a4.ts", "a5.ts", "a6.ts"];
        assert_eq!(names(&cut), all);
        let again: Vec<_> = history.stretch(None, None).listed.iter().map(|listed| listed.is_listed_again()).collect();
        assert_eq!(again.iter().filter(|again| **again).count(), 2, "and it is known of which the name was listed again");
    }

    #[test]
    fn an_older_version_or_the_same_again_adds_nothing() {
        let mut history = History::default();
        follow(&mut history, 0..=9, 0.0, "a", "");
        let older = texts::listing(&texts::head(4), "a", 4..=5);
        for step in [Step::Unknown, Step::Back, Step::On] {
            assert!(history.follow(&media(&older), step, at(30.0), until).is_empty(), "{step:?}");
        }
        let newer = older.replace("SEQUENCE:4", "SEQUENCE:20");
        assert!(history.follow(&media(&newer), Step::Unknown, at(60.0), until)[0].discontinuity, "a hole");
    }

    #[test]
    fn maps_and_keys_are_in_force_as_they_were() {
        let text = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:7\n#EXT-X-MAP:URI=\"i.mp4\",BYTERANGE=\"9@0\"\n\
                    #EXT-X-KEY:METHOD=AES-128,URI=\"k1\"\n#EXTINF:2,\n7.m4s\n#EXTINF:2,\n8.m4s\n#EXTINF:2,\n9.m4s\n\
                    #EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"skd://x\",KEYFORMAT=\"com.apple\"\n#EXTINF:2,\n10.m4s\n\
                    #EXT-X-KEY:METHOD=NONE\n#EXT-X-BYTERANGE:5@10\n#EXTINF:2,\n11.m4s\n";
        let mut history = History::default();
        history.follow(&media(text), Step::Unknown, at(20.0), until);
        let cut = cut_of(&history, Window { start: None, end: Some(at(30.0)) }, 35.0, |listed| listed.sequence != 8).unwrap();
        let lines: Vec<_> = cut.text.lines().skip(5).collect();
        assert_eq!(
            lines,
            [
                "#EXT-X-MAP:URI=\"i.mp4\",BYTERANGE=\"9@0\"",
                "#EXT-X-KEY:METHOD=AES-128,URI=\"k1\"",
                "#EXTINF:2.000000,",
                "7.m4s",
                "#EXTINF:2.000000,",
                "#EXT-X-GAP",
                "8.m4s",
                "#EXTINF:2.000000,",
                "9.m4s",
                "#EXT-X-KEY:METHOD=NONE",
                "#EXT-X-KEY:METHOD=AES-128,URI=\"k1\"",
                "#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"skd://x\",KEYFORMAT=\"com.apple\"",
                "#EXTINF:2.000000,",
                "10.m4s",
                "#EXT-X-KEY:METHOD=NONE",
                "#EXTINF:2.000000,",
                "#EXT-X-BYTERANGE:5@10",
                "11.m4s",
                "#EXT-X-ENDLIST",
            ]
        );
        // Counted anew, a number that was implied is another one, and is stated.
        let text = text.replace("SEQUENCE:7", "SEQUENCE:3");
        history.follow(&media(&text), Step::Anew, at(40.0), until);
        let cut = cut_of(&history, Window { start: None, end: Some(at(50.0)) }, 100.0, |_| true).unwrap();
        assert!(
            cut.text.contains("\n#EXT-X-KEY:METHOD=AES-128,URI=\"k1\",IV=0x00000000000000000000000000000004\n"),
            "{}",
            cut.text
        );
        assert_eq!(media(&cut.text).faults, []);
    }

    #[test]
    fn no_playlist_of_the_past_is_very_long() {
        let long = "x".repeat(3900);
        let head = format!("{}#EXT-X-KEY:METHOD=AES-128,URI=\"k\",X=\"{long}\"\n", texts::HEAD);
        let text = texts::listing(&head, "", 0..5000);
        let mut history = History::default();
        history.follow(&media(&text), Step::Unknown, at(20_000.0), until);
        let (all, asked) = (history.stretch(None, None), CutSpec::default());
        assert!(cut(&all, asked, at(20_000.0), |_| Presence::Here).is_ok(), "the key is the same for all of them");
        // Counted anew, each states its own vector, with the whole of its key.
        history.follow(&media(&text.replace(".ts", ".m4s")), Step::Anew, at(40_000.0), until);
        let all = history.stretch(None, None);
        assert_eq!(cut(&all, asked, at(40_000.0), |_| Presence::Here), Err(Uncut::TooLong));
        assert_eq!(cut(&all, asked, at(40_000.0), |_| Presence::Missing), Err(Uncut::Nothing));
    }

    #[test]
    fn the_oldest_are_forgotten() {
        let mut history = History::default();
        follow(&mut history, 0..=9, 0.0, "a", "");
        let (open, bytes) = (Window { start: Some(at(0.0)), end: None }, history.bytes());
        history.forget_oldest(4);
        assert!(history.bytes() < bytes);
        let cut = cut_of(&history, open, 21.0, |_| true).unwrap();
        assert_eq!((media(&cut.text).media_sequence, cut.text.contains("EVENT")), (4, false));
        history.forget_expired(at(2e6));
        assert!(history.is_empty());
        assert_eq!(history.bytes(), 0);
    }

    proptest! {
        /// Against a plain list: each segment of the window once, in order, and a break where the count began anew and nowhere else.
        #[test]
        fn a_cut_is_what_a_plain_list_says(
            runs in vec((0_u64..50, 1_u64..12), 1..5),
            lost in vec(any::<bool>(), 64),
            (start, length) in (0_u32..120, 1_u32..120),
        ) {
            let (mut history, mut plain, mut clock) = (History::default(), Vec::<(String, f64, u64)>::new(), 0.0);
            let mut next = None;
            let mut breaks = 0;
            for (run, (first, count)) in runs.into_iter().enumerate() {
                let name = format!("r{run}-");
                // One that jumps ahead as far as time has gone by has gone on unheard.
                let first = next.map_or(first, |next: u64| first.min(next));
                follow(&mut history, first..=first + count - 1, clock, &name, "");
                breaks += u64::from(next.is_some_and(|next| next != first));
                for number in 0..count {
                    #[expect(clippy::cast_precision_loss, reason = "small")]
                    plain.push((format!("{name}{}.ts", first + number), clock + 2.0 * number as f64, breaks));
                }
                next = Some(first + count);
                #[expect(clippy::cast_precision_loss, reason = "small")]
                { clock += 2.0 * count as f64 + 20.0; }
            }
            let here = |name: &str| {
                let index = plain.iter().position(|(known, ..)| known == name).unwrap();
                !lost[index % lost.len()]
            };
            let (start, end) = (f64::from(start), f64::from(start + length));
            let within: Vec<_> = plain.iter().filter(|(_, begins, _)| *begins < end && begins + 2.0 > start).collect();
            let first = within.iter().position(|(name, ..)| here(name));
            let last = within.iter().rposition(|(name, ..)| here(name));
            let expected: Vec<_> = first.zip(last).map_or(&[][..], |(first, last)| &within[first..=last]).iter()
                .map(|(name, _, breaks)| (name.clone(), !here(name), *breaks)).collect();
            let cut = cut_of(&history, window(start, end), 1e5, |listed| here(&listed.uri));
            let mut count = cut.as_ref().map_or(0, |cut| media(&cut.text).discontinuity_sequence);
            let found: Vec<_> = cut.iter().flat_map(|cut| media(&cut.text).segments).map(|segment| {
                count += u64::from(segment.discontinuity);
                (segment.uri, segment.gap, count)
            }).collect();
            prop_assert_eq!(&found, &expected);
            // And what grows lists the same, with the same numbers however late it is asked for.
            let open = Window { start: Some(at(start)), end: None };
            if let Some(cut) = cut_of(&history, open, 1e5, |listed| here(&listed.uri)) {
                let numbers = |cut: &Cut| media(&cut.text).segments.into_iter().filter(|segment| !segment.gap)
                    .map(|segment| (segment.uri, segment.sequence)).collect::<Vec<_>>();
                let before = numbers(&cut);
                history.forget_oldest(3);
                if let Some(later) = cut_of(&history, open, 1e5, |listed| here(&listed.uri)) {
                    let later = numbers(&later);
                    prop_assert_eq!(&before[before.len() - later.len()..], &later[..]);
                }
            }
        }

        #[test]
        fn any_playlist_can_be_followed_and_cut(texts in vec("(#EXT-X-(KEY|MAP|GAP|DISCONTINUITY|BYTERANGE|MEDIA-SEQUENCE):[ -~]{0,30}\n|#EXTINF:[0-9.]{1,6},\n|[a-z0-9]{1,3}\n){0,30}", 1..5)) {
            let mut history = History::default();
            for text in texts {
                if let Ok(Playlist::Media(media)) = parse(format!("{}{text}", texts::HEAD).as_bytes()) {
                    history.follow(&media, Step::Unknown, at(10.0), until);
                }
            }
            for window in [Window::default(), window(0.0, 50.0)] {
                if let Some(cut) = cut_of(&history, window, 60.0, |_| true) {
                    let read = media(&cut.text);
                    let known: Vec<Arc<Listed>> = history.stretch(window.start, window.end).listed;
                    assert!(read.segments.len() <= known.len());
                }
            }
        }
    }
}
