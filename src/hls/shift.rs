//! A playlist of the past: what a history has in a window of time, as far as it can still be read.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use super::history::{Listed, Stretch};
use super::playlist::attributes::attributes;
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

/// Why there is no playlist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Uncut {
    /// Nothing of it is there any more.
    Nothing,
    /// It would be longer than 16 MiB.
    TooLong,
}

/// Makes a media playlist of what is `retained` of a stretch. Costs in proportion to the stretch and to what is made.
///
/// A closed one has EXT-X-ENDLIST and lists only what there is, with EXT-X-DISCONTINUITY where something is missing. An open one
/// lists what is missing as EXT-X-GAP (RFC 8216bis 4.4.4.7), so that the numbers of its segments are the same on each reload; it is
/// of type EVENT as long as nothing was lost at its beginning (RFC 8216 4.3.3.5).
///
/// # Errors
/// [`Uncut`].
pub fn cut(stretch: &Stretch, window: Window, now: WallTime, retained: impl Fn(&Listed) -> bool) -> Result<Cut, Uncut> {
    let all = &stretch.listed;
    let here: Vec<bool> = all.iter().map(|listed| !listed.lost && retained(listed)).collect();
    // What is missing at the end may be on its way, and at the beginning it is of no use.
    let ends = here.iter().position(|here| *here).zip(here.iter().rposition(|here| *here));
    let (first, last) = ends.ok_or(Uncut::Nothing)?;
    let is_over = stretch.ended && stretch.is_to_the_last;
    let ended = window.is_closed(now) || is_over;
    let mut listing = Listing::new(ended);
    for (listed, here) in all.iter().zip(&here).take(last + 1).skip(first) {
        listing.add(listed, *here);
        if listing.text.len() > MAX_CUT {
            return Err(Uncut::TooLong);
        }
    }
    let target = if ended { listing.longest } else { listing.longest.max(rounded(stretch.target)) };
    let is_event = !ended && first == 0 && window.start.is_some() && !stretch.is_cut_short;
    let mut text = String::with_capacity(listing.text.len() + 200);
    let oldest = &all[first];
    let _ = write!(text, "#EXTM3U\n#EXT-X-VERSION:{}\n#EXT-X-TARGETDURATION:{}\n", listing.version, target.max(1));
    let _ = writeln!(text, "#EXT-X-MEDIA-SEQUENCE:{}", oldest.number);
    if listing.has_breaks || oldest.discontinuities > 0 {
        let _ = writeln!(text, "#EXT-X-DISCONTINUITY-SEQUENCE:{}", oldest.discontinuities);
    }
    match (ended, is_event) {
        (true, _) => text.push_str("#EXT-X-PLAYLIST-TYPE:VOD\n"),
        (false, true) => text.push_str("#EXT-X-PLAYLIST-TYPE:EVENT\n"),
        (false, false) => {}
    }
    if stretch.i_frames_only {
        text.push_str("#EXT-X-I-FRAMES-ONLY\n");
    }
    text.push_str(&listing.text);
    if ended {
        text.push_str("#EXT-X-ENDLIST\n");
    }
    let slack = Duration::from_secs(target.max(1)) * 3;
    let settled = is_over || !stretch.is_to_the_last || window.end.is_some_and(|end| now.since(end) > slack);
    let until = all[first..=last].iter().zip(&here[first..]).filter(|(_, here)| **here).map(|(listed, _)| listed.until).min();
    let until = until.ok_or(Uncut::Nothing)?;
    Ok(Cut { text, ended, settled: ended && settled, target: Duration::from_secs(target.max(1)), until })
}

/// Keys as they are in force: their tags, and the media sequence number that those state which need one.
type InForce<'a> = (&'a [Arc<str>], Option<u64>);

/// The lines of segments in the making.
struct Listing<'a> {
    text: String,
    closed: bool,
    number: Option<u64>,
    missing: bool,
    keys: Option<InForce<'a>>,
    /// The keys looked at last, and which of their tags leave the initialisation vector to the sequence number.
    looked_at: Option<(&'a [Arc<str>], Vec<bool>)>,
    map: Option<(&'a str, bool)>,
    longest: u64,
    version: u8,
    has_breaks: bool,
}

impl<'a> Listing<'a> {
    fn new(closed: bool) -> Self {
        Self {
            text: String::new(),
            closed,
            number: None,
            missing: false,
            keys: None,
            looked_at: None,
            map: None,
            longest: 0,
            version: 3,
            has_breaks: false,
        }
    }

    fn add(&mut self, listed: &'a Listed, here: bool) {
        if self.closed && !here {
            self.missing = true;
            return;
        }
        let is_first = self.number.is_none();
        let number = self.number.map_or(listed.number, |before| before.saturating_add(1));
        self.number = Some(number);
        let missing = std::mem::take(&mut self.missing);
        let breaks = !is_first && (listed.discontinuity || missing);
        if breaks {
            self.has_breaks = true;
            self.text.push_str("#EXT-X-DISCONTINUITY\n");
        }
        if here {
            self.protect(listed, number);
        }
        if is_first || breaks || listed.dated {
            let _ = writeln!(self.text, "#EXT-X-PROGRAM-DATE-TIME:{}", listed.at);
        }
        self.longest = self.longest.max(rounded(listed.duration));
        let micros = listed.duration.as_micros();
        let _ = writeln!(self.text, "#EXTINF:{}.{:06},", micros / 1_000_000, micros % 1_000_000);
        if !here {
            self.text.push_str("#EXT-X-GAP\n");
        } else if let Some(range) = listed.range {
            self.version = self.version.max(4);
            let _ = writeln!(self.text, "#EXT-X-BYTERANGE:{}@{}", range.length, range.start);
        }
        // A name that was used again stands for something else now.
        self.text.push_str(if listed.lost { "gap" } else { &listed.uri });
        self.text.push('\n');
    }

    /// Which of these tags state no initialisation vector.
    fn implied(&mut self, tags: &'a [Arc<str>]) -> &[bool] {
        if self.looked_at.as_ref().is_none_or(|(known, _)| !std::ptr::eq(*known, tags)) {
            self.looked_at = Some((tags, tags.iter().map(|tag| is_implied(tag)).collect()));
        }
        self.looked_at.as_ref().map_or(&[], |(_, implied)| implied)
    }

    /// Writes the tags of its keys and map, where they are not in force already.
    fn protect(&mut self, listed: &'a Listed, number: u64) {
        let keys = listed.keys.as_deref().map(|keys| {
            // A number of its own is stated where one is implied and would be another here.
            let states = listed.sequence != number && self.implied(keys).contains(&true);
            (keys, states.then_some(listed.sequence))
        });
        let map = listed.map.as_ref().map(|map| (&**map, listed.clear_map));
        let new_map = map.filter(|map| self.map != Some(*map));
        if let Some((attributes, true)) = new_map {
            // Written while no key is in force, or it would be taken for encrypted (RFC 8216bis 4.4.4.5).
            if self.keys.take().is_some() {
                self.text.push_str("#EXT-X-KEY:METHOD=NONE\n");
            }
            let _ = writeln!(self.text, "#EXT-X-MAP:{attributes}");
        }
        if keys != self.keys {
            // All of them anew: one of a format that is not there any more would stay in force.
            if self.keys.is_some() {
                self.text.push_str("#EXT-X-KEY:METHOD=NONE\n");
            }
            if let Some((tags, stated)) = keys {
                let implied = self.implied(tags).to_vec();
                for (tag, implied) in tags.iter().zip(implied) {
                    let _ = match stated.filter(|_| implied) {
                        Some(sequence) => writeln!(self.text, "#EXT-X-KEY:{tag},IV=0x{sequence:032x}"),
                        None => writeln!(self.text, "#EXT-X-KEY:{tag}"),
                    };
                }
            }
            self.keys = keys;
        }
        if let Some((attributes, false)) = new_map {
            let _ = writeln!(self.text, "#EXT-X-MAP:{attributes}");
        }
        self.map = map.or(self.map);
        if self.map.is_some() || self.keys.is_some() {
            self.version = self.version.max(6);
        }
    }
}

/// Whether a key tag states no initialisation vector: then that is the media sequence number (RFC 8216 5.2), of which the segment
/// may have another one here.
fn is_implied(tag: &str) -> bool {
    let mut implied = true;
    for (name, value) in attributes(tag) {
        implied &= name != "IV" && (name != "KEYFORMAT" || value == "identity") && (name != "METHOD" || value != "NONE");
    }
    implied
}

/// Whole seconds, as EXT-X-TARGETDURATION bounds them (RFC 8216 4.3.3.1).
fn rounded(span: Duration) -> u64 {
    span.as_secs() + u64::from(span.subsec_millis() >= 500)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::*;
    use crate::hls::history::{History, Step};
    use crate::hls::playlist::{Playlist, PlaylistType, parse};
    use crate::hls::texts::{self, media};

    const T0: u64 = 1_767_225_600_000;

    fn at(seconds: f64) -> WallTime {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small and positive")]
        WallTime::from_millis(T0 + (seconds * 1000.0) as u64)
    }

    fn until(_: &crate::hls::playlist::Segment) -> WallTime {
        at(1e6)
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
        cut(&history.stretch(window.start, window.end), window, at(now), retained).ok()
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
            "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:105\n#EXT-X-PLAYLIST-TYPE:VOD\n\
             #EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:10.000Z\n#EXTINF:2.000000,\na105.ts\n#EXTINF:2.000000,\na106.ts\n\
             #EXTINF:2.000000,\na107.ts\n#EXTINF:2.000000,\na108.ts\n#EXT-X-ENDLIST\n"
        );
        assert!(cut.ended && cut.settled);
        assert!(cut_of(&history, window(40.0, 50.0), 100.0, |_| true).is_none(), "after its end");
        assert!(cut_of(&history, window(10.0, 16.5), 100.0, |_| false).is_none());
        let early = cut_of(&history, window(30.0, 42.0), 43.0, |_| true).unwrap();
        assert!(early.ended && !early.settled, "the last one may be on its way");
    }

    #[test]
    fn what_is_missing_breaks_a_recording_and_is_a_gap_in_what_grows() {
        let mut history = History::default();
        follow(&mut history, 0..=9, 0.0, "a", "");
        let here = |listed: &Listed| !matches!(listed.sequence, 0 | 4 | 5 | 9);
        let closed = cut_of(&history, Window { start: None, end: Some(at(50.0)) }, 100.0, here).unwrap();
        let read = media(&closed.text);
        assert_eq!(names(&closed), ["a1.ts", "a2.ts", "a3.ts", "a6.ts", "a7.ts", "a8.ts"]);
        let breaks: Vec<_> = read.segments.iter().map(|segment| segment.discontinuity).collect();
        assert_eq!(breaks, [false, false, false, true, false, false]);
        assert_eq!(read.segments[3].program_date_time, Some(at(12.0)), "and time goes on");
        let open = cut_of(&history, Window { start: Some(at(0.0)), end: None }, 21.0, here).unwrap();
        assert!(!open.ended && !open.text.contains("EVENT"), "its beginning is lost");
        let gaps: Vec<_> = media(&open.text).segments.iter().filter(|segment| segment.gap).map(|gap| gap.sequence).collect();
        assert_eq!(gaps, [4, 5]);
        let whole = cut_of(&history, Window { start: Some(at(0.0)), end: None }, 21.0, |_| true).unwrap();
        assert_eq!(media(&whole.text).playlist_type, Some(PlaylistType::Event));
    }

    #[test]
    fn a_new_count_is_a_discontinuity_and_names_stand_for_their_last_bytes() {
        let mut history = History::default();
        follow(&mut history, 5..=9, 0.0, "a", "#EXT-X-DISCONTINUITY-SEQUENCE:7\n");
        follow(&mut history, 0..=2, 30.0, "b", "");
        let cut = cut_of(&history, Window { start: None, end: Some(at(90.0)) }, 100.0, |_| true).unwrap();
        let read = media(&cut.text);
        assert_eq!((read.media_sequence, read.discontinuity_sequence), (5, 7));
        assert_eq!(names(&cut), ["a5.ts", "a6.ts", "a7.ts", "a8.ts", "a9.ts", "b0.ts", "b1.ts", "b2.ts"]);
        assert_eq!(read.segments[5].program_date_time, Some(at(30.0)));
        let later = cut_of(&history, window(32.0, 90.0), 100.0, |_| true).unwrap();
        assert_eq!(media(&later.text).discontinuity_sequence, 8, "which was counted");
        // Now the first names come again.
        follow(&mut history, 3..=6, 60.0, "a", "");
        let cut = cut_of(&history, Window { start: None, end: Some(at(90.0)) }, 100.0, |_| true).unwrap();
        assert_eq!(
            names(&cut),
            ["a7.ts", "a8.ts", "a9.ts", "b0.ts", "b1.ts", "b2.ts", "a3.ts", "a4.ts", "a5.ts", "a6.ts"],
            "each once"
        );
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
        let cut = cut_of(&history, Window { start: None, end: Some(at(50.0)) }, 100.0, |listed| listed.sequence != 8).unwrap();
        let lines: Vec<_> = cut.text.lines().skip(6).collect();
        assert_eq!(
            lines,
            [
                "#EXT-X-MAP:URI=\"i.mp4\",BYTERANGE=\"9@0\"",
                "#EXT-X-KEY:METHOD=AES-128,URI=\"k1\"",
                "#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:10.000Z",
                "#EXTINF:2.000000,",
                "7.m4s",
                "#EXT-X-DISCONTINUITY",
                "#EXT-X-KEY:METHOD=NONE",
                // It is the second one here and was the third.
                "#EXT-X-KEY:METHOD=AES-128,URI=\"k1\",IV=0x00000000000000000000000000000009",
                "#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:14.000Z",
                "#EXTINF:2.000000,",
                "9.m4s",
                "#EXT-X-KEY:METHOD=NONE",
                "#EXT-X-KEY:METHOD=AES-128,URI=\"k1\",IV=0x0000000000000000000000000000000a",
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
        assert_eq!(media(&cut.text).faults, []);
    }

    #[test]
    fn no_playlist_of_the_past_is_very_long() {
        let long = "x".repeat(3900);
        let head = format!("{}#EXT-X-KEY:METHOD=AES-128,URI=\"k\",X=\"{long}\"\n", texts::HEAD);
        let text = texts::listing(&head, "", 0..5000);
        let mut history = History::default();
        history.follow(&media(&text), Step::Unknown, at(20_000.0), until);
        let (all, window) = (history.stretch(None, None), Window::default());
        assert!(cut(&all, window, at(20_000.0), |_| true).is_ok(), "the key is the same for all of them");
        // Counted anew, each states its own vector, with the whole of its key.
        history.follow(&media(&text.replace(".ts", ".m4s")), Step::Anew, at(40_000.0), until);
        let all = history.stretch(None, None);
        assert_eq!(cut(&all, window, at(40_000.0), |_| true), Err(Uncut::TooLong));
        assert_eq!(cut(&all, window, at(40_000.0), |_| false), Err(Uncut::Nothing));
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
        /// Against a plain list: each retained segment of the window once, in order, a break before each that does not follow.
        #[test]
        fn a_cut_is_what_a_plain_list_says(
            runs in vec((0_u64..50, 1_u64..12), 1..5),
            lost in vec(any::<bool>(), 64),
            (start, length) in (0_u32..120, 1_u32..120),
        ) {
            let (mut history, mut plain, mut clock) = (History::default(), Vec::<(String, f64, bool)>::new(), 0.0);
            let mut next = None;
            for (run, (first, count)) in runs.into_iter().enumerate() {
                let name = format!("r{run}-");
                follow(&mut history, first..=first + count - 1, clock, &name, "");
                for number in 0..count {
                    #[expect(clippy::cast_precision_loss, reason = "small")]
                    plain.push((format!("{name}{}.ts", first + number), clock + 2.0 * number as f64, number == 0 && next.is_some_and(|next| next != first)));
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
            let (mut expected, mut missing) = (Vec::new(), false);
            for (name, _, breaks) in plain.iter().filter(|(_, begins, _)| *begins < end && begins + 2.0 > start) {
                if here(name) {
                    expected.push((name.clone(), !expected.is_empty() && (*breaks || missing)));
                }
                // What is missing before the first is no break, and a break that is missing itself is one of the next.
                missing = !here(name);
            }
            let cut = cut_of(&history, window(start, end), 1e5, |listed| here(&listed.uri));
            let found: Vec<_> = cut.iter().flat_map(|cut| media(&cut.text).segments)
                .map(|segment| (segment.uri, segment.discontinuity)).collect();
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
