//! What an encoder writes that means nothing, or that players end at, and what stands in its place.
//!
//! What players do with it differs: hls.js leaves out dates that are none, and Shaka Player has all its segments at no time then; a segment of
//! no length is not there for it; an initialisation vector with fewer than all of its digits, or an EXT-X-START that is no number, is its end.

use std::borrow::Cow;

use super::left::LeftAlone;
use crate::hls::playlist::attributes::{attributes, number};
use crate::hls::playlist::values::{is_sound_map, is_sound_start, unsound_of_date_range, unsound_of_key, vector};
use crate::hls::playlist::{Media, tag};
use crate::model::clock::WallTime;

/// What becomes of a line that is no segment's URI.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum SoundLine<'a> {
    /// It stays as it is.
    Stays(&'a str),
    /// This stands in its place.
    Becomes(String),
    /// It is left out.
    Goes,
}

impl<'a> SoundLine<'a> {
    /// Judges a line.
    pub(super) fn of(line: &'a str) -> Self {
        match tag(line) {
            Some(("-X-PROGRAM-DATE-TIME", value)) => match WallTime::parse(value) {
                Some(_) if is_plain_date(value.trim_ascii()) => Self::Stays(line),
                Some(date) => Self::Becomes(format!("#EXT-X-PROGRAM-DATE-TIME:{date}")),
                None => Self::Goes,
            },
            Some(("-X-DATERANGE", list)) => {
                let unsound = unsound_of_date_range(list);
                match &unsound[..] {
                    [] => Self::Stays(line),
                    names if names.iter().any(|name| matches!(*name, "ID" | "START-DATE")) => Self::Goes,
                    names => Self::Becomes(format!("#EXT-X-DATERANGE:{}", without(list, names))),
                }
            }
            Some(("-X-START", list)) if !is_sound_start(list) => Self::Goes,
            _ => Self::Stays(line),
        }
    }

    /// The line, if it is there still; and whether it is as it was.
    pub(super) fn kept(self) -> (Option<Cow<'a, str>>, bool) {
        match self {
            Self::Stays(line) => (Some(Cow::Borrowed(line)), true),
            Self::Becomes(line) => (Some(Cow::Owned(line)), false),
            Self::Goes => (None, false),
        }
    }
}

/// A segment's lines, as they are gathered.
#[derive(Debug)]
pub(super) struct SoundWords {
    text: String,
    /// They were written here, and stay as they are.
    is_own: bool,
    is_misdated: bool,
    /// What of a length and a date is among them, and whether one is for the second time.
    has: [bool; 2],
    is_doubled: bool,
}

/// Which of the tags that are there once a line is.
fn once(line: &str) -> Option<usize> {
    tag(line).and_then(|(name, _)| ["INF", "-X-PROGRAM-DATE-TIME"].iter().position(|known| *known == name))
}

impl SoundWords {
    /// None yet, with room for so many bytes.
    pub(super) fn new(is_own: bool, room: usize) -> Self {
        Self { text: String::with_capacity(room), is_own, is_misdated: false, has: [false; 2], is_doubled: false }
    }

    /// Keeps a line, as it is or as it must be.
    pub(super) fn keep(&mut self, line: &str) {
        let (kept, is_as_it_was) = if self.is_own { (Some(Cow::Borrowed(line)), true) } else { SoundLine::of(line).kept() };
        self.is_misdated |= !is_as_it_was;
        let Some(line) = kept else { return };
        if let Some(at) = once(&line) {
            self.is_doubled |= std::mem::replace(&mut self.has[at], true);
        }
        self.text.push_str(&line);
        self.text.push('\n');
    }

    /// All of them, each with its end, and whether a date among them meant nothing. Of two lengths or dates the last one counts: players take
    /// the one or the other.
    pub(super) fn done(self) -> (String, bool) {
        if !self.is_doubled || self.is_own {
            return (self.text, self.is_misdated);
        }
        let mut has = [false; 2];
        let is_last = |line: &&str| once(line).is_none_or(|at| !std::mem::replace(&mut has[at], true));
        let mut lines: Vec<&str> = self.text.split_inclusive('\n').rev().filter(is_last).collect();
        lines.reverse();
        (lines.concat(), self.is_misdated)
    }
}

/// Makes the numbers, maps and keys of a version such as players take.
///
/// # Errors
/// [`LeftAlone`], where nobody can know what they are.
pub(super) fn sound(media: &mut Media, text: &str) -> Result<(), LeftAlone> {
    let is_number = |line: &str| match tag(line.trim_ascii()) {
        Some(("-X-MEDIA-SEQUENCE", value)) => number(value).is_some(),
        _ => true,
    };
    if !text.lines().all(is_number) || media.media_sequence.checked_add(media.segments.len() as u64).is_none() {
        return Err(LeftAlone::Numbers);
    }
    for map in &mut media.verbatim.maps {
        if !is_sound_map(map) {
            return Err(LeftAlone::Maps);
        }
        // Where it says no beginning, that is the first byte (RFC 8216 4.3.2.5).
        let length = attributes(map).find(|(name, value)| *name == "BYTERANGE" && !value.contains('@')).map(|(_, value)| value);
        if let Some(instead) = length.map(|length| in_place(map, length, &format!("{}@0", length.trim_ascii()))) {
            *map = instead;
        }
    }
    for key in &mut media.verbatim.keys {
        if unsound_of_key(key).is_some() {
            return Err(LeftAlone::Keys);
        }
        let stated = attributes(key).find(|(name, _)| *name == "IV").map(|(_, value)| value);
        let whole = stated.and_then(|stated| Some((stated, vector(stated)?))).filter(|(stated, whole)| stated != whole);
        if let Some(instead) = whole.map(|(stated, whole)| in_place(key, stated, &whole)) {
            *key = instead;
        }
    }
    Ok(())
}

/// A text in which this stands in place of a part of it.
fn in_place(text: &str, part: &str, instead: &str) -> String {
    let at = part.as_ptr() as usize - text.as_ptr() as usize;
    [&text[..at], instead, &text[at + part.len()..]].concat()
}

/// An attribute list without some of its attributes.
fn without(list: &str, names: &[&str]) -> String {
    let quoted = |value: &str| {
        let at = value.as_ptr() as usize - list.as_ptr() as usize;
        list[..at].ends_with('"')
    };
    let kept = attributes(list).filter(|(name, _)| !names.contains(name));
    let kept = kept.map(|(name, value)| if quoted(value) { format!("{name}=\"{value}\"") } else { format!("{name}={value}") });
    kept.collect::<Vec<_>>().join(",")
}

/// Whether a date that reads is written as players read it (RFC 8216 4.3.2.6; ISO 8601): others have commas, blanks or a second of 60.
fn is_plain_date(text: &str) -> bool {
    let is_seconds = text.get(17..19).is_some_and(|seconds| seconds < "60");
    text.as_bytes().get(10) == Some(&b'T') && !text.contains([',', 'z']) && is_seconds
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hls::texts;

    #[test]
    fn a_line_that_means_nothing_goes_and_one_that_players_misread_is_written_plainly() {
        const RANGE: &str = "#EXT-X-DATERANGE:ID=\"a\",START-DATE=\"2026-01-01T00:00:02Z\"";
        for line in [
            "#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:02.123+01:00",
            "#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:02.123+0100",
            "#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:02",
            RANGE,
            "#EXT-X-DATERANGE:ID=\"a\",SCTE35-IN=0xFC",
            "#EXT-X-START:TIME-OFFSET=-4",
            "#EXT-X-OWN:nan",
        ] {
            assert_eq!(SoundLine::of(line), SoundLine::Stays(line));
        }
        for line in [
            "#EXT-X-PROGRAM-DATE-TIME:soon",
            "#EXT-X-PROGRAM-DATE-TIME:2026-13-01T00:00:02Z",
            "#EXT-X-PROGRAM-DATE-TIME:",
            "#EXT-X-DATERANGE:START-DATE=\"2026-01-01T00:00:02Z\"",
            "#EXT-X-DATERANGE:ID=\"a\",START-DATE=\"now\"",
            "#EXT-X-START:TIME-OFFSET=nan",
        ] {
            assert_eq!(SoundLine::of(line), SoundLine::Goes);
        }
        for (line, expected) in [
            ("#EXT-X-PROGRAM-DATE-TIME:2026-01-01 00:00:02,5Z", "#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:02.500Z"),
            ("#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:60Z", "#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:01:00.000Z"),
            (&format!("{RANGE},DURATION=-1,X-A=\"b,c\",END-DATE=\"x\",X-B=0xFC"), &format!("{RANGE},X-A=\"b,c\",X-B=0xFC")),
        ] {
            assert_eq!(SoundLine::of(line), SoundLine::Becomes(expected.to_owned()));
        }
    }

    #[test]
    fn of_two_lengths_or_dates_the_last_one_counts() {
        let made = |is_own| {
            let mut words = SoundWords::new(is_own, 0);
            let date = "#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:0";
            [&format!("{date}1Z"), "#EXTINF:2,", "#own", &format!("{date}2Z"), "#EXT-X-PROGRAM-DATE-TIME:soon", "#EXTINF:3,"]
                .iter()
                .for_each(|line| words.keep(line));
            words.done()
        };
        assert_eq!(made(false), ("#own\n#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:02Z\n#EXTINF:3,\n".to_owned(), true));
        assert_eq!(made(true).0.lines().count(), 6, "what was served stays");
    }

    #[test]
    fn maps_and_keys_are_such_as_players_take_or_the_version_is_left_alone() {
        let made = |head: &str| {
            let text = format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n{head}\n#EXTINF:2,\na.ts\n");
            let mut media = texts::media(&text);
            let done = sound(&mut media, &text);
            let verbatim = *media.verbatim;
            done.map(|()| [verbatim.maps, verbatim.keys].concat().join(" "))
        };
        let vector = format!("0x{}1", "0".repeat(31));
        for (head, expected) in [
            ("#EXT-X-MEDIA-SEQUENCE:18446744073709551614", String::new()),
            ("#EXT-X-MAP:URI=\"i\",BYTERANGE=\"7@0\"", "URI=\"i\",BYTERANGE=\"7@0\"".to_owned()),
            ("#EXT-X-MAP:URI=\"7\",BYTERANGE=\"7\"", "URI=\"7\",BYTERANGE=\"7@0\"".to_owned()),
            ("#EXT-X-KEY:METHOD=AES-128,URI=\"k\",IV=0x1", format!("METHOD=AES-128,URI=\"k\",IV={vector}")),
            ("#EXT-X-KEY:METHOD=AES-128,IV=0X1,URI=\"0X1\"", format!("METHOD=AES-128,IV={vector},URI=\"0X1\"")),
        ] {
            assert_eq!(made(head), Ok(expected), "{head}");
        }
        for (head, expected) in [
            ("#EXT-X-MEDIA-SEQUENCE:18446744073709551615", LeftAlone::Numbers),
            ("#EXT-X-MEDIA-SEQUENCE:18446744073709551616", LeftAlone::Numbers),
            ("#EXT-X-MEDIA-SEQUENCE:-1", LeftAlone::Numbers),
            ("#EXT-X-MAP:URI=\"i\",BYTERANGE=\"1@18446744073709551615\"", LeftAlone::Maps),
            ("#EXT-X-KEY:METHOD=AES-128,URI=\"k\",IV=0x", LeftAlone::Keys),
            ("#EXT-X-KEY:METHOD=AES-128", LeftAlone::Keys),
        ] {
            assert_eq!(made(head), Err(expected), "{head}");
        }
    }
}
