//! A media playlist as lines that can be taken out of one list and put into another: each with all that is in force for it.
//!
//! It is read from a text and written as one; what is written reads as the same list. What it does not know stays where it was.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use super::blocks::cut;
use super::left::LeftAlone;
use super::sound::{SoundLine, SoundWords, sound};
use super::uri_of;
use crate::hls::in_force::{InForce, NeededTags};
use crate::hls::playlist::attributes::{attributes, seconds};
use crate::hls::playlist::values::{is_decimal, longest};
use crate::hls::playlist::{Media, Playlist, PlaylistType, is_mark, is_of_head, is_written_anew, parse, tag};
use crate::model::clock::WallTime;

/// A segment's line, with what is in force for it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct SegmentLine {
    pub(super) uri: String,
    pub(super) duration: Duration,
    /// Its length could not be read, or be believed: the target duration stands in for it.
    pub(super) is_unmeasured: bool,
    /// A date in its lines meant nothing, and is not there any more.
    pub(super) is_misdated: bool,
    /// It does not play on from the one before it.
    pub(super) breaks: bool,
    /// There is no media for it.
    pub(super) gap: bool,
    /// When it begins, as far as it or one before it says so.
    pub(super) date: Option<WallTime>,
    /// It says so itself.
    pub(super) is_dated: bool,
    /// The attribute list of its map, and whether that is in clear while a key is in force.
    pub(super) map: Option<(Arc<str>, bool)>,
    /// Those of its keys.
    pub(super) keys: Option<Arc<[Arc<str>]>>,
    /// All its other lines, each with its end.
    pub(super) words: String,
}

impl SegmentLine {
    /// Gives it another length, in place of what is stated.
    pub(super) fn last(&mut self, duration: Duration) {
        self.duration = duration;
        let others: String = self.words.split_inclusive('\n').filter(|line| !matches!(tag(line), Some(("INF", _)))).collect();
        self.words = format!("{others}#EXTINF:{}.{:06},\n", duration.as_secs(), duration.subsec_micros());
    }

    /// Bytes that it takes in a list, about.
    pub(super) fn bytes(&self) -> usize {
        self.words.len() + self.uri.len()
    }

    /// When it ends, if it is known when it begins.
    pub(super) fn ends(&self) -> Option<WallTime> {
        Some(self.date? + self.duration)
    }

    /// The URI of its map.
    pub(super) fn map_uri(&self) -> Option<&str> {
        uri_of(&self.map.as_ref()?.0)
    }

    /// Its date ranges.
    pub(super) fn date_ranges(&self) -> impl Iterator<Item = &str> {
        self.words.lines().filter(|line| line.starts_with("#EXT-X-DATERANGE:"))
    }
}

/// A media playlist.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct SegmentList {
    pub(super) version: u8,
    /// In whole seconds.
    pub(super) target: u64,
    /// The number of its first line.
    pub(super) first: u64,
    /// How many breaks lie before its first line, and none that stands there.
    pub(super) breaks: u64,
    pub(super) independent: bool,
    /// Other lines of the head.
    pub(super) others: Vec<String>,
    pub(super) lines: Vec<SegmentLine>,
    pub(super) ended: bool,
}

/// By whom a list was written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Writer {
    /// It was made here.
    Own,
    /// By an encoder.
    Encoder {
        /// It may have been whole from its beginning.
        may_be_vod: bool,
    },
}

/// Tags that are written anew, or are not for the list that is made.
const WRITTEN_ANEW: [&str; 5] = ["-X-KEY", "-X-MAP", "-X-DISCONTINUITY", "-X-PART", "-X-PRELOAD-HINT"];

impl SegmentList {
    /// One that lists nothing.
    pub(super) const fn empty() -> Self {
        Self {
            version: 3,
            target: 1,
            first: 0,
            breaks: 0,
            independent: true,
            others: Vec::new(),
            lines: Vec::new(),
            ended: false,
        }
    }

    /// Reads one that was made here: what it says is never changed.
    ///
    /// # Errors
    /// [`LeftAlone`].
    pub(super) fn read(text: &str) -> Result<Self, LeftAlone> {
        Self::read_as(text, Writer::Own)
    }

    /// Reads one of an encoder's: what means nothing in it is left out, or has what it must mean in its place.
    ///
    /// # Errors
    /// [`LeftAlone`].
    pub(super) fn read_encoders(text: &str) -> Result<Self, LeftAlone> {
        Self::read_as(text, Writer::Encoder { may_be_vod: false })
    }

    /// The same of one that may be of type VOD.
    ///
    /// # Errors
    /// [`LeftAlone`].
    pub(super) fn read_typed(text: &str) -> Result<Self, LeftAlone> {
        Self::read_as(text, Writer::Encoder { may_be_vod: true })
    }

    fn read_as(text: &str, writer: Writer) -> Result<Self, LeftAlone> {
        let Ok(Playlist::Media(mut media)) = parse(text.as_bytes()) else { return Err(LeftAlone::Unread) };
        let pieces = cut(text);
        // Line ends that only the reader of playlists knows.
        if pieces.blocks.len() != media.segments.len() {
            return Err(LeftAlone::Unread);
        }
        if text.contains("#EXT-X-DEFINE") {
            return Err(LeftAlone::Variables);
        }
        // Whether they mean anything or not.
        let says = |tag: &str| text.lines().any(|line| line.trim_ascii_start().starts_with(tag));
        if says("#EXT-X-SKIP") {
            return Err(LeftAlone::Delta);
        }
        if media.playlist_type == Some(PlaylistType::Vod) && writer != (Writer::Encoder { may_be_vod: true }) {
            return Err(LeftAlone::Vod);
        }
        if media.segments.is_empty() {
            return Err(LeftAlone::Empty);
        }
        if says("#EXT-X-BYTERANGE") {
            return Err(LeftAlone::Ranges);
        }
        let believed = if writer == Writer::Own { None } else { Some(longest(&media)) };
        if believed.is_some() {
            sound(&mut media, text)?;
        }
        let mut others = Vec::new();
        // What stands among the head and is the first segment's.
        let mut first_words = SoundWords::new(writer == Writer::Own, 0);
        for line in pieces.head.lines().map(str::trim_ascii) {
            match tag(line.trim_start_matches('\u{feff}')) {
                Some(("-X-SERVER-CONTROL", list)) => others.extend(server_control(list)),
                Some((name, _)) if is_written_anew(name) || WRITTEN_ANEW.contains(&name) => {}
                Some((name, _)) if is_of_segment(name) || is_mark(line) => first_words.keep(line),
                _ if line.is_empty() => {}
                _ if believed.is_some() => others.extend(SoundLine::of(line).kept().0.map(Cow::into_owned)),
                _ => others.push(line.to_owned()),
            }
        }
        let stated =
            media.target_duration.filter(|target| believed.is_none_or(|longest| *target <= longest)).map_or(0, rounded_up);
        let lines = lines_of(&media, &pieces.blocks, first_words, (Duration::from_secs(stated.max(1)), believed));
        let first_breaks = u64::from(lines.first().is_some_and(|line| line.breaks));
        Ok(Self {
            version: media.version,
            target: lines.iter().map(|line| rounded(line.duration)).fold(stated, u64::max).max(1),
            first: media.media_sequence,
            breaks: media.discontinuity_sequence.saturating_add(first_breaks),
            independent: media.independent,
            others,
            lines,
            ended: media.ended,
        })
    }

    /// The number of the line that comes next.
    pub(super) fn end(&self) -> u64 {
        self.first.saturating_add(self.lines.len() as u64)
    }

    /// The line of this number.
    pub(super) fn at(&self, number: u64) -> Option<&SegmentLine> {
        self.lines.get(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }

    /// How long all of it plays.
    pub(super) fn duration(&self) -> Duration {
        self.lines.iter().map(|line| line.duration).sum()
    }

    /// As it is written. A break before the first line is counted and does not stand there: what is dropped before it is counted likewise.
    pub(super) fn text(&self) -> String {
        let mut in_force = InForce::default();
        let (mut listed, mut version) = (String::new(), self.version.max(3));
        for (index, line) in self.lines.iter().enumerate() {
            let is_first = index == 0;
            if line.breaks && !is_first {
                listed.push_str("#EXT-X-DISCONTINUITY\n");
            }
            let map = line.map.as_ref().map(|(map, clear)| (&**map, *clear));
            in_force.state(&mut listed, NeededTags { keys: line.keys.as_deref(), map, numbers: (0, 0) });
            version = version.max(in_force.version());
            if let Some(date) = line.date.filter(|_| !line.is_dated && (is_first || line.breaks)) {
                let _ = writeln!(listed, "#EXT-X-PROGRAM-DATE-TIME:{date}");
            }
            listed.push_str(&line.words);
            listed.push_str(&line.uri);
            listed.push('\n');
        }
        let (target, first, breaks) = (self.target, self.first, self.breaks);
        let mut text = format!(
            "#EXTM3U\n#EXT-X-VERSION:{version}\n#EXT-X-TARGETDURATION:{target}\n#EXT-X-MEDIA-SEQUENCE:{first}\n\
             #EXT-X-DISCONTINUITY-SEQUENCE:{breaks}\n"
        );
        text.push_str(if self.independent { "#EXT-X-INDEPENDENT-SEGMENTS\n" } else { "" });
        self.others.iter().filter_map(|line| offered(line, target)).for_each(|line| keep(&mut text, &line));
        text.push_str(&listed);
        text.push_str(if self.ended { "#EXT-X-ENDLIST\n" } else { "" });
        text
    }
}

/// `target` stands in for a length that can't be read, or is none, or longer than what is believed.
fn lines_of(
    media: &Media,
    blocks: &[&str],
    first_words: SoundWords,
    (target, believed): (Duration, Option<Duration>),
) -> Vec<SegmentLine> {
    let is_length = |length: &Duration| believed.is_none_or(|longest| !length.is_zero() && *length <= longest);
    let shared = |texts: &[String]| -> Vec<Arc<str>> { texts.iter().map(|text| Arc::from(&**text)).collect() };
    let (maps, keys) = (shared(&media.verbatim.maps), shared(&media.verbatim.keys));
    let in_force = |protection: &Vec<usize>| -> Arc<[Arc<str>]> { protection.iter().map(|at| Arc::clone(&keys[*at])).collect() };
    let protections: Vec<Arc<[Arc<str>]>> = media.verbatim.protections.iter().map(in_force).collect();
    let (mut lines, mut date, mut words) = (Vec::with_capacity(blocks.len()), None, Some(first_words));
    for (segment, block) in media.segments.iter().zip(blocks) {
        if segment.discontinuity {
            date = None;
        }
        let own = block.lines().map(str::trim_ascii).filter(|line| line.starts_with('#') && is_kept(line));
        let room = block.len().saturating_sub(segment.uri.len());
        let mut made = words.take().unwrap_or_else(|| SoundWords::new(believed.is_none(), room));
        own.for_each(|line| made.keep(line));
        let (words, is_misdated) = made.done();
        let said = |name: &str| words.lines().rev().filter_map(tag).find(|(known, _)| *known == name).map(|(_, value)| value);
        let is_measured = said("INF").and_then(length).is_some_and(|length| is_length(&length));
        let own_date = said("-X-PROGRAM-DATE-TIME").and_then(WallTime::parse);
        date = own_date.or(date);
        let mut line = SegmentLine {
            uri: segment.uri.clone(),
            duration: segment.duration,
            is_unmeasured: !is_measured,
            is_misdated,
            breaks: segment.discontinuity,
            gap: segment.gap,
            date,
            is_dated: own_date.is_some(),
            map: segment.map.map(|at| (Arc::clone(&maps[at]), segment.clear_map)),
            keys: segment.protection.map(|at| Arc::clone(&protections[at])),
            words,
        };
        if line.is_unmeasured {
            line.last(target);
        }
        date = date.map(|date| date + line.duration);
        lines.push(line);
    }
    lines
}

/// The length that a tag of a segment states (RFC 8216 4.3.2.1), if it can be read.
fn length(value: &str) -> Option<Duration> {
    seconds(value.split(',').next().unwrap_or_default())
}

/// Whether a line of a segment stays as it is.
fn is_kept(line: &str) -> bool {
    tag(line).is_none_or(|(name, _)| !WRITTEN_ANEW.contains(&name) && !is_of_head(name))
}

/// Whether a tag is for one segment (RFC 8216 4.3.2).
fn is_of_segment(name: &str) -> bool {
    matches!(name, "INF" | "-X-PROGRAM-DATE-TIME" | "-X-GAP" | "-X-BITRATE" | "-X-BYTERANGE")
}

fn keep(words: &mut String, line: &str) {
    words.push_str(line);
    words.push('\n');
}

/// What a packager offers, without what is for parts.
fn server_control(list: &str) -> Option<String> {
    let is_time = |name: &str| matches!(name, "HOLD-BACK" | "CAN-SKIP-UNTIL");
    let offered = attributes(list).filter(|(name, value)| *name != "PART-HOLD-BACK" && (!is_time(name) || is_decimal(value)));
    let offered: Vec<String> = offered.map(|(name, value)| format!("{name}={value}")).collect();
    (!offered.is_empty()).then(|| format!("#EXT-X-SERVER-CONTROL:{}", offered.join(",")))
}

/// A line of the head as far as it holds for a target duration, which may be longer than its packager's: that a viewer stays three of it behind
/// the newest segment, and that no segment is skipped of the newest six (RFC 8216bis 4.4.3.8).
fn offered(line: &str, target: u64) -> Option<Cow<'_, str>> {
    let Some(("-X-SERVER-CONTROL", list)) = tag(line) else { return Some(Cow::Borrowed(line)) };
    let least = |name: &str| match name {
        "HOLD-BACK" => 3 * target,
        "CAN-SKIP-UNTIL" => 6 * target,
        _ => 0,
    };
    let holds = |(name, value): &(&str, &str)| {
        let least = Duration::from_secs(least(name));
        least.is_zero() || seconds(value).is_some_and(|value| value >= least)
    };
    let skips = attributes(list).any(|said| said.0 == "CAN-SKIP-UNTIL" && holds(&said));
    let kept = attributes(list).filter(|said| holds(said) && (skips || said.0 != "CAN-SKIP-DATERANGES"));
    let kept: Vec<String> = kept.map(|(name, value)| format!("{name}={value}")).collect();
    (!kept.is_empty()).then(|| Cow::Owned(format!("#EXT-X-SERVER-CONTROL:{}", kept.join(","))))
}

/// To the nearest second, as lengths are compared with the target duration (RFC 8216 4.3.3.1).
pub(super) fn rounded(span: Duration) -> u64 {
    (span + Duration::from_millis(500)).as_secs()
}

fn rounded_up(span: Duration) -> u64 {
    span.as_secs() + u64::from(span.subsec_nanos() > 0)
}
