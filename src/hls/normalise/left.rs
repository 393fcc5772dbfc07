//! Why a version is left as it came.

/// Why a playlist is left as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeftAlone {
    /// It can't be read as a media playlist.
    Unread,
    /// Its segments are parts of larger objects.
    Ranges,
    /// It defines variables, and its lines mean nothing without them (RFC 8216bis 4.4.2.3).
    Variables,
    /// It is a delta update.
    Delta,
    /// It is of type VOD: it has been whole from its beginning.
    Vod,
    /// It lists nothing.
    Empty,
    /// Its media sequence numbers can't be counted on.
    Numbers,
    /// A key tag says nothing that a player could do.
    Keys,
    /// The byte range of a map can't be asked for.
    Maps,
}

impl LeftAlone {
    /// In words that follow "because".
    #[must_use]
    pub const fn why(self) -> &'static str {
        match self {
            Self::Unread => "it can't be read as a media playlist",
            Self::Ranges => "its segments are byte ranges of larger files",
            Self::Variables => "it defines variables",
            Self::Delta => "it is a delta update",
            Self::Vod => "it is of type VOD",
            Self::Empty => "it lists no segment",
            Self::Numbers => "its EXT-X-MEDIA-SEQUENCE is no number that can be counted on from",
            Self::Keys => "an EXT-X-KEY has no METHOD, no URI, or an IV that is no number of 128 bits",
            Self::Maps => "the BYTERANGE of an EXT-X-MAP is none",
        }
    }
}
