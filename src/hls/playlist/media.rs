//! Reading a media playlist, line by line.

use std::time::Duration;

use super::attributes::{attributes, byte_range, number, seconds, yes};
use super::head::{is_of_head, server_control};
use super::lines::{MAX_ENTRIES, kind, tag};
use super::values::{is_far_too_long, is_sound_start, unsound_of_date_range, unsound_of_key};
use super::words::{ByteRange, HintKind, Map, Media, Part, Playlist, PlaylistType, PreloadHint, Segment};
use crate::hls::fault::{Fault, Faults, Wrong};
use crate::model::clock::WallTime;

/// How many of the last maps and keys are looked through for the same one: content that goes back and forth between two.
const RECENT: usize = 8;
/// What a segment may be longer than the target duration: in whole seconds it is no longer (RFC 8216 4.3.3.1). Which way just a half is rounded
/// is left open there, and ffmpeg states 2 s for segments of 2.5.
const HALF_A_SECOND: Duration = Duration::from_millis(500);
/// More key formats than anybody offers at once.
const KEY_FORMATS: usize = 8;

pub(super) fn read<'a>(lines: impl Iterator<Item = (usize, &'a str)>) -> Result<Playlist, Fault> {
    let mut reader = MediaReader::default();
    for (line, text) in lines {
        if let Some((tag, value)) = tag(text) {
            if reader.tag(line, tag, value)? {
                reader.other(line, text);
            }
        } else if !text.is_empty() && !text.starts_with('#') {
            reader.segment(line, text);
        }
        if reader.entries > MAX_ENTRIES {
            return Err(Fault { line, what: Wrong::TooLong });
        }
    }
    Ok(Playlist::Media(reader.end()))
}

#[derive(Default)]
struct MediaReader {
    media: Media,
    faults: Faults,
    entries: usize,
    /// What the tags so far say of the next segment.
    next: Segment,
    has_duration: bool,
    range: Option<(u64, Option<u64>)>,
    /// The parts so far of the next segment.
    parts: Vec<Part>,
    /// In force until another takes its place.
    map: Option<usize>,
    key: Option<usize>,
    clear_map: bool,
    /// The key tags in force, by their key formats.
    protecting: Vec<(String, usize)>,
    /// The same as a place in the list, once a segment needed it.
    protection: Option<usize>,
    /// Those of [`ONCE`] that have been read, a bit each.
    once: u8,
    /// The longest segment, and its line.
    longest: (Duration, usize),
}

/// The tags of which there may be one (RFC 8216 4.3.1.2, 4.3.3), and whether it has to come before the first segment.
const ONCE: [(&str, &str, bool); 5] = [
    ("-X-TARGETDURATION", "EXT-X-TARGETDURATION", false),
    ("-X-MEDIA-SEQUENCE", "EXT-X-MEDIA-SEQUENCE", true),
    ("-X-DISCONTINUITY-SEQUENCE", "EXT-X-DISCONTINUITY-SEQUENCE", true),
    ("-X-PLAYLIST-TYPE", "EXT-X-PLAYLIST-TYPE", false),
    ("-X-VERSION", "EXT-X-VERSION", false),
];

impl MediaReader {
    /// Says whether it is one of those that are kept as they are written.
    fn tag(&mut self, line: usize, tag: &str, value: &str) -> Result<bool, Fault> {
        match tag {
            "INF" => {
                let text = value.bytes().position(|byte| byte == b',').map_or(value, |at| &value[..at]);
                let length = self.read(line, "EXTINF", seconds(text));
                if length.is_some_and(|length| length.is_zero()) {
                    self.faults.note(line, Wrong::NoLength);
                }
                self.next.duration = length.unwrap_or_default();
                self.media.has_decimals |= text.contains('.');
                self.longest = self.longest.max((self.next.duration, line));
                self.has_duration = true;
            }
            "-X-VERSION" => {
                self.head(line, tag);
                self.media.version = number(value).and_then(|version| u8::try_from(version).ok()).unwrap_or_default();
            }
            "-X-TARGETDURATION" => {
                self.head(line, tag);
                let target = seconds(value).filter(|target| !target.is_zero());
                self.media.target_duration = self.read(line, "EXT-X-TARGETDURATION", target);
            }
            "-X-MEDIA-SEQUENCE" => {
                self.head(line, tag);
                self.media.media_sequence = self.read(line, "EXT-X-MEDIA-SEQUENCE", number(value)).unwrap_or_default();
            }
            "-X-DISCONTINUITY-SEQUENCE" => {
                self.head(line, tag);
                let sequence = self.read(line, "EXT-X-DISCONTINUITY-SEQUENCE", number(value));
                self.media.discontinuity_sequence = sequence.unwrap_or_default();
            }
            "-X-DISCONTINUITY" => self.next.discontinuity = true,
            "-X-GAP" => self.next.gap = true,
            "-X-ENDLIST" => self.media.ended = true,
            "-X-I-FRAMES-ONLY" => self.media.i_frames_only = true,
            "-X-IMAGES-ONLY" => (self.media.i_frames_only, self.media.images_only) = (true, true),
            "-X-INDEPENDENT-SEGMENTS" => self.media.independent = true,
            "-X-PROGRAM-DATE-TIME" => {
                self.next.program_date_time = self.read(line, "EXT-X-PROGRAM-DATE-TIME", WallTime::parse(value));
            }
            "-X-BYTERANGE" => self.range = self.read(line, "EXT-X-BYTERANGE", byte_range(value)),
            "-X-PLAYLIST-TYPE" => {
                self.head(line, tag);
                let playlist_type = match value.trim() {
                    "VOD" => Some(PlaylistType::Vod),
                    "EVENT" => Some(PlaylistType::Event),
                    _ => None,
                };
                self.media.playlist_type = self.read(line, "EXT-X-PLAYLIST-TYPE", playlist_type);
            }
            "-X-PART-INF" => {
                let target = attributes(value).find(|(name, _)| *name == "PART-TARGET").and_then(|(_, value)| seconds(value));
                self.media.part_target = self.read(line, "EXT-X-PART-INF", target);
            }
            "-X-SKIP" => {
                let skipped = attributes(value).find(|(name, _)| *name == "SKIPPED-SEGMENTS").and_then(|(_, n)| number(n));
                self.media.skipped = self.read(line, "EXT-X-SKIP", skipped).unwrap_or_default();
            }
            "-X-SERVER-CONTROL" => self.media.server_control = server_control(value),
            "-X-PART" => self.part(line, value),
            "-X-PRELOAD-HINT" => self.preload_hint(line, value),
            "-X-MAP" => self.map(line, value),
            "-X-KEY" => self.key(line, value),
            "-X-START" if !is_sound_start(value) => self.faults.note(line, Wrong::Attribute("EXT-X-START", "TIME-OFFSET")),
            other if kind(other) == Some(true) => return Err(Fault { line, what: Wrong::Mixed }),
            // Said to the whole list or to its reader, and nothing that would still be true of a part of it.
            "M3U" | "-X-ALLOW-CACHE" | "-X-START" | "-X-DEFINE" | "-X-RENDITION-REPORT" | "-X-PREFETCH" | "-X-SESSION-DATA" => {}
            _ => return Ok(true),
        }
        if is_of_head(tag) && self.media.segments.is_empty() {
            self.media.verbatim.in_head = self.of_head();
        }
        Ok(false)
    }

    /// DATERANGE, CUE-OUT, SCTE35 and whatever else there is: nothing that an origin needs, and kept as it is written. They don't count
    /// as entries, for a playlist with many is as good as one without: past as many of them the rest is let go.
    fn other(&mut self, number: usize, line: &str) {
        for attribute in line.strip_prefix("#EXT-X-DATERANGE:").map(unsound_of_date_range).into_iter().flatten() {
            self.faults.note(number, Wrong::Attribute("EXT-X-DATERANGE", attribute));
        }
        if self.media.verbatim.others.len() < MAX_ENTRIES {
            self.media.verbatim.others.push(line.to_owned());
        }
    }

    /// How many of the tags so far are the list's own: those before one that is, unless they are marks of a moment.
    fn of_head(&self) -> usize {
        let others = &self.media.verbatim.others;
        let known = self.media.verbatim.in_head;
        known + others[known..].iter().take_while(|line| !is_mark(line)).count()
    }

    /// A tag of the head: once, and some of them before all segments.
    fn head(&mut self, line: usize, tag: &str) {
        let Some(place) = ONCE.iter().position(|(name, ..)| *name == tag) else { return };
        let (_, name, is_first) = ONCE[place];
        if self.once & (1 << place) != 0 {
            self.faults.note(line, Wrong::Twice(name));
        }
        self.once |= 1 << place;
        if is_first && !self.media.segments.is_empty() {
            self.faults.note(line, Wrong::TooLate(name));
        }
    }

    /// Notes a value that does not read.
    fn read<T>(&mut self, line: usize, tag: &'static str, value: Option<T>) -> Option<T> {
        if value.is_none() {
            self.faults.note(line, Wrong::Value(tag));
        }
        value
    }

    fn segment(&mut self, line: usize, uri: &str) {
        self.entries += 1;
        if !std::mem::take(&mut self.has_duration) {
            self.faults.note(line, Wrong::NoDuration);
        }
        let mut segment = std::mem::take(&mut self.next);
        if let Some(target) = self.media.target_duration
            && segment.duration > target + HALF_A_SECOND
        {
            self.faults.note(line, Wrong::LongerThanTarget);
        }
        if let Some((length, start)) = self.range.take() {
            let before = self.media.segments.last().filter(|before| before.uri == uri).and_then(|before| before.range);
            segment.range = Some(self.continued(line, length, start, before));
        }
        segment.uri = uri.to_owned();
        segment.map = self.map;
        segment.clear_map = self.clear_map;
        segment.key = self.key;
        segment.protection = self.protection();
        segment.parts = std::mem::take(&mut self.parts);
        let verbatim = &self.media.verbatim;
        let from = self.media.segments.last().map_or(verbatim.in_head, |before| before.others.end);
        segment.others = from..verbatim.others.len();
        self.media.segments.push(segment);
    }

    /// A range without an offset goes on where the one before it ended.
    fn continued(&mut self, line: usize, length: u64, start: Option<u64>, before: Option<ByteRange>) -> ByteRange {
        let start = start.or(before.map(ByteRange::end)).unwrap_or_else(|| {
            self.faults.note(line, Wrong::NoOffset);
            0
        });
        ByteRange { start, length: length.min(u64::MAX - start) }
    }

    fn part(&mut self, line: usize, list: &str) {
        self.entries += 1;
        let mut part = Part::default();
        let (mut uri, mut duration, mut range) = (None, None, None);
        for (name, value) in attributes(list) {
            match name {
                "URI" => uri = Some(value),
                "DURATION" => duration = seconds(value),
                "BYTERANGE" => range = byte_range(value),
                "INDEPENDENT" => part.independent = yes(value),
                "GAP" => part.gap = yes(value),
                _ => {}
            }
        }
        let Some(uri) = uri else { return self.faults.note(line, Wrong::Attribute("EXT-X-PART", "URI")) };
        if duration.is_none() {
            self.faults.note(line, Wrong::Attribute("EXT-X-PART", "DURATION"));
        }
        if let Some((length, start)) = range {
            let last = self.parts.last().or_else(|| self.media.segments.last().and_then(|segment| segment.parts.last()));
            let before = last.filter(|before| before.uri == uri).and_then(|before| before.range);
            part.range = Some(self.continued(line, length, start, before));
        }
        part.uri = uri.to_owned();
        part.duration = duration.unwrap_or_default();
        self.parts.push(part);
    }

    fn preload_hint(&mut self, line: usize, list: &str) {
        self.entries += 1;
        let (mut kind, mut uri, mut start, mut length) = (None, None, None, None);
        for (name, value) in attributes(list) {
            match (name, value) {
                ("TYPE", "PART") => kind = Some(HintKind::Part),
                ("TYPE", "MAP") => kind = Some(HintKind::Map),
                ("URI", uri_) => uri = Some(uri_),
                ("BYTERANGE-START", value) => start = number(value),
                ("BYTERANGE-LENGTH", value) => length = number(value),
                _ => {}
            }
        }
        match (kind, uri) {
            (Some(kind), Some(uri)) => {
                self.media.preload_hints.push(PreloadHint { kind, uri: uri.to_owned(), start, length });
            }
            (None, _) => self.faults.note(line, Wrong::Attribute("EXT-X-PRELOAD-HINT", "TYPE")),
            (_, None) => self.faults.note(line, Wrong::Attribute("EXT-X-PRELOAD-HINT", "URI")),
        }
    }

    fn map(&mut self, line: usize, list: &str) {
        self.entries += 1;
        let (mut uri, mut range) = (None, None);
        for (name, value) in attributes(list) {
            match name {
                "URI" => uri = Some(value),
                "BYTERANGE" => {
                    range = byte_range(value).filter(|(length, _)| *length > 0);
                    if range.is_none() {
                        self.faults.note(line, Wrong::Attribute("EXT-X-MAP", "BYTERANGE"));
                    }
                }
                _ => {}
            }
        }
        let Some(uri) = uri else { return self.faults.note(line, Wrong::Attribute("EXT-X-MAP", "URI")) };
        let range = range.map(|(length, start)| {
            let start = start.unwrap_or(0);
            ByteRange { start, length }
        });
        let maps = &mut self.media.maps;
        let same = |map: &&Map| map.uri == uri && map.range == range;
        self.map = Some(recent(maps, same).unwrap_or_else(|| {
            maps.push(Map { uri: uri.to_owned(), range });
            self.media.verbatim.maps.push(list.trim_ascii().to_owned());
            maps.len() - 1
        }));
        self.clear_map = self.protecting.is_empty();
    }

    /// What is in force, listed once for all the segments it is for.
    fn protection(&mut self) -> Option<usize> {
        if self.protection.is_none() && !self.protecting.is_empty() {
            self.media.verbatim.protections.push(self.protecting.iter().map(|(_, tag)| *tag).collect());
            self.protection = Some(self.media.verbatim.protections.len() - 1);
        }
        self.protection
    }

    /// A key tag is in force until another of its format (RFC 8216 4.3.2.4).
    fn protect(&mut self, format: &str, list: &str) {
        let tags = &mut self.media.verbatim.keys;
        let list = list.trim_ascii();
        let tag = recent(tags, |tag| tag.as_str() == list).unwrap_or_else(|| {
            tags.push(list.to_owned());
            tags.len() - 1
        });
        if self.protecting.contains(&(format.to_owned(), tag)) {
            return;
        }
        self.protecting.retain(|(known, _)| known != format);
        self.protecting.truncate(KEY_FORMATS - 1);
        self.protecting.push((format.to_owned(), tag));
        self.protection = None;
    }

    fn key(&mut self, line: usize, list: &str) {
        self.entries += 1;
        if let Some(attribute) = unsound_of_key(list) {
            self.faults.note(line, Wrong::Attribute("EXT-X-KEY", attribute));
        }
        let (mut uri, mut none, mut format) = (None, false, "identity");
        for (name, value) in attributes(list) {
            match name {
                "URI" => uri = Some(value),
                "METHOD" => none = value == "NONE",
                "KEYFORMAT" => format = value,
                _ => {}
            }
        }
        if none {
            self.key = None;
            self.protecting.clear();
            self.protection = None;
            return;
        }
        self.protect(format, list);
        let Some(uri) = uri else { return };
        let keys = &mut self.media.keys;
        self.key = Some(recent(keys, |key| key.as_str() == uri).unwrap_or_else(|| {
            keys.push(uri.to_owned());
            keys.len() - 1
        }));
    }

    fn end(mut self) -> Media {
        if self.media.target_duration.is_none() && !self.faults.list.iter().any(|fault| is_target(fault.what)) {
            self.faults.note(1, Wrong::NoTargetDuration);
        }
        if is_far_too_long(self.longest.0, &self.media) {
            self.faults.note(self.longest.1, Wrong::FarTooLong);
        }
        // Counted at the end: EXT-X-MEDIA-SEQUENCE and EXT-X-SKIP may stand anywhere.
        let first = self.media.media_sequence.saturating_add(self.media.skipped);
        for (index, segment) in self.media.segments.iter_mut().enumerate() {
            segment.sequence = first.saturating_add(index as u64);
        }
        self.media.parts = self.parts;
        self.media.faults = self.faults.list;
        self.media
    }
}

/// Whether a line marks a moment of the stream: a date range, or a cue in any dialect.
pub(in crate::hls) fn is_mark(line: &str) -> bool {
    const TAGS: [&str; 5] =
        ["#EXT-X-DATERANGE", "#EXT-X-CUE", "#EXT-OATCLS-SCTE35", "#EXT-X-SCTE35", "#EXT-X-SPLICEPOINT-SCTE35"];
    TAGS.iter().any(|tag| line.starts_with(tag))
}

fn is_target(what: Wrong) -> bool {
    what == Wrong::Value("EXT-X-TARGETDURATION")
}

/// The place of the same one among the last few.
fn recent<T>(list: &[T], same: impl Fn(&&T) -> bool) -> Option<usize> {
    let skipped = list.len().saturating_sub(RECENT);
    list[skipped..].iter().position(|item| same(&item)).map(|at| skipped + at)
}
