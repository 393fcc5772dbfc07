//! What an object is to a live stream: it decides how long caches may keep it and what is given up first when space is short.

use super::extension::{Extension, Format};
use super::id::Key;

/// The kind of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// An HLS playlist, multivariant or media: small, rewritten all the time.
    Playlist,
    /// A DASH manifest (MPD): the same for DASH.
    Manifest,
    /// An initialisation segment or a content key: small, written once, and no player starts without it.
    Initialization,
    /// Media and everything else: large, never changed, and the past of it can be spared.
    Segment,
}

impl Kind {
    /// All of them, in the order of the enumeration: `ALL[kind as usize]` is that kind.
    pub const ALL: [Self; 4] = [Self::Playlist, Self::Manifest, Self::Initialization, Self::Segment];

    /// Judges by the key's extension and, for ISO media, by the boxes the body begins with.
    #[must_use]
    pub fn of(key: &Key, body: &[u8]) -> Self {
        match Extension::of(&key.extension()).format {
            Format::Playlist => Self::Playlist,
            Format::Manifest => Self::Manifest,
            Format::ContentKey => Self::Initialization,
            Format::IsoMedia | Format::IsoHeader if is_iso_init(body) => Self::Initialization,
            Format::IsoMedia | Format::IsoHeader | Format::OtherMedia | Format::TimedText | Format::Other => Self::Segment,
        }
    }

    /// Whether losing the object would stop a stream that is still alive, so that it is evicted last.
    #[must_use]
    pub const fn is_protected(self) -> bool {
        !matches!(self, Self::Segment)
    }

    /// Whether the object is rewritten in place while a stream runs.
    #[must_use]
    pub const fn is_rewritten(self) -> bool {
        matches!(self, Self::Playlist | Self::Manifest)
    }

    /// Its name in metrics and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Playlist => "playlist",
            Self::Manifest => "manifest",
            Self::Initialization => "initialization",
            Self::Segment => "segment",
        }
    }
}

/// Whether these bytes are an ISO BMFF initialisation segment: a `moov` box before any `moof` or `mdat` (ISO/IEC 14496-12 8.1.1,
/// RFC 8216 3.3). A whole MP4 file has its `mdat` as well and is media.
fn is_iso_init(body: &[u8]) -> bool {
    let mut rest = body;
    let mut has_moov = false;
    while let Some((header, _)) = rest.split_first_chunk::<8>() {
        let size = u32::from_be_bytes([header[0], header[1], header[2], header[3]]) as usize;
        match &header[4..8] {
            b"moov" => has_moov = true,
            b"moof" | b"mdat" => return false,
            _ => {}
        }
        // Sizes 0 (to the end) and 1 (64 bits) do not occur in front of or as a moov that matters here.
        if size < 8 || size > rest.len() {
            break;
        }
        rest = &rest[size..];
    }
    has_moov
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boxes(names: &[&[u8; 4]]) -> Vec<u8> {
        names.iter().flat_map(|name| [&[0, 0, 0, 12], &name[..], &[0; 4]].concat()).collect()
    }

    #[test]
    fn all_are_listed_in_their_order() {
        assert!(Kind::ALL.iter().enumerate().all(|(index, kind)| *kind as usize == index));
        assert_eq!(Kind::ALL.last(), Some(&Kind::Segment));
    }

    #[test]
    fn kinds_are_told_apart() {
        let of = |key: &str, body: &[u8]| Kind::of(&Key::parse(key).unwrap(), body);
        assert_eq!(of("a.m3u8", b""), Kind::Playlist);
        assert_eq!(of("a.MPD", b""), Kind::Manifest);
        assert_eq!(of("a.key", b""), Kind::Initialization);
        assert_eq!(of("init.mp4", &boxes(&[b"ftyp", b"moov"])), Kind::Initialization);
        assert_eq!(of("init-stream0.m4s", &boxes(&[b"ftyp", b"free", b"moov"])), Kind::Initialization);
        assert_eq!(of("v_1.m4s", &boxes(&[b"styp", b"moof", b"mdat"])), Kind::Segment);
        assert_eq!(of("whole.mp4", &boxes(&[b"ftyp", b"moov", b"mdat"])), Kind::Segment);
        assert_eq!(of("a.ts", &boxes(&[b"ftyp", b"moov"])), Kind::Segment);
        assert_eq!(of("init.mp4", b""), Kind::Segment);
        assert_eq!(of("init.mp4", &[0, 0, 0, 0, b'f', b't', b'y', b'p', 0]), Kind::Segment);
    }
}
