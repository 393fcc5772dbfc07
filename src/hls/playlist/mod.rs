//! HLS playlists (RFC 8216 and draft-pantos-hls-rfc8216bis): what one says.
//!
//! | file | duty |
//! | --- | --- |
//! | [`words`] | what a playlist says: the types |
//! | [`mod@lines`], [`attributes`] | how it is written: lines, tags, attribute lists |
//! | [`mod@head`] | which tags are for the whole list |
//! | [`variables`] | what stands for something else |
//! | [`values`] | which values mean something |
//! | [`media`], [`multivariant`] | a reader for each kind |
//!
//! Invariants: one pass over the text; memory bounded by [`MAX_ENTRIES`](lines::MAX_ENTRIES); what does not read is a fault in a list, never the end of
//! the reading. Nothing here writes a playlist: that is for [`rewrite`](super::rewrite) and [`shift`](super::shift).

pub(super) mod attributes;
mod head;
mod lines;
mod media;
mod multivariant;
#[cfg(test)]
mod tests;
pub(super) mod values;
mod variables;
mod words;

use std::borrow::Cow;
use std::time::Duration;

pub(super) use self::head::{is_of_head, is_written_anew};
pub(super) use self::media::is_mark;
pub use self::variables::{Surroundings, Variables, is_reference, is_unknown, substituted};
pub use self::words::{
    ByteRange, HintKind, Map, Media, Multivariant, Part, Playlist, PlaylistType, PreloadHint, Rendition, RenditionKind, Segment,
    ServerControl, Variant, Verbatim,
};

#[cfg(test)]
use self::lines::MAX_ENTRIES;
pub(super) use self::lines::tag;
use self::lines::{kind, lines};
use crate::hls::fault::{Fault, Wrong};
use crate::hls::utf16;

/// Reads a playlist. Tolerant: what can be understood is kept.
///
/// Each line is looked at once, and at most [`MAX_ENTRIES`](lines::MAX_ENTRIES) entries and 19 faults are kept, so that work and memory are in
/// proportion to the bytes.
///
/// # Errors
/// A [`Fault`] when nothing can be said of it: it does not begin with `#EXTM3U` (a byte order mark and blank lines aside), it is
/// of both kinds at once, or it is longer than [`MAX_ENTRIES`](lines::MAX_ENTRIES).
pub fn parse(bytes: &[u8]) -> Result<Playlist, Fault> {
    parse_within(bytes, Surroundings::default())
}

/// The same, with what it takes from around it.
///
/// # Errors
/// [`parse`]'s.
pub fn parse_within(bytes: &[u8], surroundings: Surroundings<'_>) -> Result<Playlist, Fault> {
    if utf16::decode(bytes).is_some() {
        return Err(Fault { line: 1, what: Wrong::Utf16 });
    }
    // Names of objects are UTF-8: what is not names none, and the rest is still read.
    let text = std::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed);
    let not_utf8 = matches!(text, Cow::Owned(_));
    // Where nothing ends a line but this, it does: most players take it so. Beside line feeds it is a sign like others.
    let bare_cr = !text.contains('\n') && text.trim_ascii_end().contains('\r');
    let text = if bare_cr { Cow::Owned(text.replace('\r', "\n")) } else { text };
    let text = substituted(&text, surroundings);
    let mut lines = lines(&text).skip_while(|(_, line)| line.is_empty());
    let not_first = match lines.next() {
        Some((line, first)) if first.starts_with("#EXTM3U") => line > 1 || text.starts_with('\u{feff}'),
        other => return Err(Fault { line: other.map_or(1, |(line, _)| line), what: Wrong::NoPlaylist }),
    };
    let mut playlist = if is_multivariant(&text) { multivariant::read(lines)? } else { media::read(lines)? };
    if let Playlist::Multivariant(multivariant) = &mut playlist
        && text.contains("#EXT-X-DEFINE")
    {
        multivariant.variables = Variables::of(&text, surroundings);
    }
    let faults = match &mut playlist {
        Playlist::Multivariant(multivariant) => &mut multivariant.faults,
        Playlist::Media(media) => &mut media.faults,
    };
    if not_first {
        faults.insert(0, Fault { line: 1, what: Wrong::NotFirst });
    }
    if bare_cr {
        faults.insert(0, Fault { line: 1, what: Wrong::BareCr });
    }
    if not_utf8 {
        let before = text.find(char::REPLACEMENT_CHARACTER).map_or("", |at| &text[..at]);
        faults.insert(0, Fault { line: before.matches('\n').count() + 1, what: Wrong::NotUtf8 });
    }
    Ok(playlist)
}

/// Whether the first tag that tells says multivariant.
fn is_multivariant(text: &str) -> bool {
    lines(text).filter_map(|(_, line)| tag(line)).find_map(|(tag, _)| kind(tag)).unwrap_or(false)
}

/// The target duration a media playlist states (RFC 8216 4.3.3.1), if it states one that makes sense. Some packagers write it
/// with decimals, which the RFC does not allow and players accept.
#[must_use]
pub fn target_duration(playlist: &[u8]) -> Option<Duration> {
    const TAG: &[u8] = b"#EXT-X-TARGETDURATION:";
    // It stands in the head, before the first segment; a multivariant playlist has none at all.
    let line =
        playlist.split(|&byte| matches!(byte, b'\n' | b'\r')).take(128).find_map(|line| line.trim_ascii().strip_prefix(TAG))?;
    let seconds: f64 = std::str::from_utf8(line).ok()?.trim().parse().ok()?;
    (seconds > 0.0 && seconds <= 86_400.0).then(|| Duration::from_secs_f64(seconds))
}
