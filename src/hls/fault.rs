//! What is wrong with a playlist or manifest, in words for the one who runs the encoder.

use thiserror::Error;

/// How many faults of one playlist are kept.
const MAX_FAULTS: usize = 16;
/// How many of one kind: one mistake of an encoder repeats on every line, and must not hide the others.
const OF_ONE_KIND: usize = 4;

/// A fault and where it stands. Shown, it gives away nothing of the text itself, which may hold a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("line {line}: {what}")]
pub struct Fault {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub what: Wrong,
}

/// The ways in which a playlist or manifest can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Wrong {
    /// RFC 9110 8.4.1.
    #[error(
        "its Content-Encoding is not read here, so it is not followed, and credentials in it stay in it: have the encoder send playlists in \
         clear or as gzip (MediaLive: manifest compression NONE or GZIP), or the proxy before it not compress them"
    )]
    Coding,
    /// It is not what its coding says, or very large.
    #[error("it says that it is compressed, and does not unpack, or to more than max_object_size")]
    Damaged,
    /// Players that are not told do not unpack.
    #[error("it is compressed, and no Content-Encoding says so: players can't read it")]
    Unsaid,
    /// HTML, or cut off at its head.
    #[error("this is no HLS playlist: it does not begin with #EXTM3U")]
    NoPlaylist,
    /// RFC 8216 4.1 forbids it.
    #[error("tags of a media playlist and of a multivariant playlist in one: no player takes this")]
    Mixed,
    /// More than is worth reading.
    #[error("more entries than are read: let the encoder keep a shorter window")]
    TooLong,
    /// A media playlist has to have one (RFC 8216 4.3.3.1).
    #[error("a media playlist without a valid EXT-X-TARGETDURATION")]
    NoTargetDuration,
    /// A segment's URI with no EXTINF before it.
    #[error("a segment without EXTINF")]
    NoDuration,
    /// RFC 8216 4.3.2.1 lets it be; players do nothing with it.
    #[error("a segment whose EXTINF is 0: players leave it out, or never come to it")]
    NoLength,
    /// Of an encoder whose clock has jumped.
    #[error(
        "a segment that is said to be many times as long as the others, or over a quarter of an hour: players wait for as long"
    )]
    FarTooLong,
    /// A tag whose number, duration or date does not read.
    #[error("the value of {0} does not read")]
    Value(&'static str),
    /// A tag without an attribute that it has to have.
    #[error("{0} has no {1}, or one that does not read")]
    Attribute(&'static str, &'static str),
    /// A STREAM-INF with no URI below it.
    #[error("EXT-X-STREAM-INF without a URI on the line below it")]
    NoUri,
    /// RFC 8216 4.3.4.2.
    #[error("{0} names a group that no EXT-X-MEDIA of that type is in: players refuse the variant, or play it without")]
    NoGroup(&'static str),
    /// RFC 8216 4.3.4.1.1.
    #[error("two EXT-X-MEDIA of one group with the same NAME: players offer one of them, or the wrong one")]
    SameName,
    /// RFC 8216 4.1.
    #[error("{0} is a tag of media playlists: in a multivariant playlist some players stop at it")]
    OfMedia(&'static str),
    /// A byte range that goes on from nothing.
    #[error("EXT-X-BYTERANGE without an offset, and no range of the same file before it to go on from")]
    NoOffset,
    /// EXTINF longer than the target duration, rounded (RFC 8216 4.3.3.1).
    #[error("a segment longer than EXT-X-TARGETDURATION: players may stall")]
    LongerThanTarget,
    /// RFC 8216 4.1 and 4.3.1.1: the first line, without a byte order mark.
    #[error("#EXTM3U does not come first: a blank line or a byte order mark is before it, which players may not take")]
    NotFirst,
    /// RFC 8216 4.3.3.2 and 4.3.3.3.
    #[error("{0} after the first segment: hls.js stops with a fatal error, and others count wrongly")]
    TooLate(&'static str),
    /// RFC 8216 4.3.1.2 and 4.3.3.
    #[error("{0} for the second time: players take the one or the other")]
    Twice(&'static str),
    /// Not UTF-8 (RFC 8216 4.1).
    #[error("not UTF-8")]
    NotUtf8,
    /// The same, as some editors and scripts on Windows write it.
    #[error("it is UTF-16, which players do not read: have it written as UTF-8")]
    Utf16,
    /// RFC 8216 4.1: LF, or CR LF.
    #[error("its lines end with CR alone, which not all players read: have them end with LF")]
    BareCr,
    /// RFC 8216 4.3.4.2: a multivariant playlist is there to name them.
    #[error("no variant is in it (EXT-X-STREAM-INF with a URI below it): players have nothing to play")]
    NoVariant,
    /// An MPD of which nothing is to come from elsewhere.
    #[error("no Representation is in it: players have nothing to play")]
    NoRepresentation,
    /// Not XML, or no MPD.
    #[error("this is no DASH manifest: not well-formed XML with an MPD element")]
    NoManifest,
}

/// Gathers the first few faults.
#[derive(Debug, Default)]
pub(super) struct Faults {
    pub(super) list: Vec<Fault>,
}

impl Faults {
    pub(super) fn note(&mut self, line: usize, what: Wrong) {
        let of_its_kind = self.list.iter().filter(|fault| fault.what == what).count();
        if self.list.len() < MAX_FAULTS && of_its_kind < OF_ONE_KIND {
            self.list.push(Fault { line, what });
        }
    }
}

/// The kinds of faults, each once, in the order in which they stand.
#[must_use]
pub fn kinds(faults: &[Fault]) -> Vec<Wrong> {
    let mut kinds = Vec::new();
    for fault in faults {
        if !kinds.contains(&fault.what) {
            kinds.push(fault.what);
        }
    }
    kinds
}

/// All that is wrong in one text: each kind once, with the lines on which it stands. `None`: nothing is.
#[must_use]
pub fn words(faults: &[Fault]) -> Option<String> {
    let of_kind = |kind: &Wrong| {
        let lines: Vec<_> = faults.iter().filter(|fault| fault.what == *kind).map(|fault| fault.line.to_string()).collect();
        match &lines[..] {
            [line] => format!("line {line}: {kind}"),
            [lines @ .., _] if lines.len() + 1 == OF_ONE_KIND => format!("lines {} and more: {kind}", lines.join(", ")),
            lines => format!("lines {}: {kind}", lines.join(", ")),
        }
    };
    let all: Vec<_> = kinds(faults).iter().map(of_kind).collect();
    (!all.is_empty()).then(|| all.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_mistake_on_every_line_hides_no_other() {
        let mut faults = Faults::default();
        for line in 1..100 {
            faults.note(line, Wrong::LongerThanTarget);
        }
        faults.note(100, Wrong::NoOffset);
        faults.note(101, Wrong::Value("EXTINF"));
        faults.note(103, Wrong::Value("EXTINF"));
        let said = words(&faults.list).unwrap();
        let expected = [
            "lines 1, 2, 3 and more: a segment longer",
            "; line 100: EXT-X-BYTERANGE",
            "; lines 101, 103: the value of EXTINF does not read",
        ];
        assert!(expected.iter().all(|part| said.contains(part)), "{said}");
        assert_eq!(kinds(&faults.list), [Wrong::LongerThanTarget, Wrong::NoOffset, Wrong::Value("EXTINF")]);
        assert_eq!((words(&[]), kinds(&[])), (None, vec![]));
    }
}
