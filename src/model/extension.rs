//! What the extension of a file's name says of it: the one table of them.

/// What a name of this extension promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extension {
    /// The media type to serve it with.
    pub media_type: &'static str,
    /// What is in it.
    pub format: Format,
}

/// What is in a file, as far as its name tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// An HLS playlist.
    Playlist,
    /// A DASH manifest.
    Manifest,
    /// A content key.
    ContentKey,
    /// Media in ISO boxes. An initialisation segment may be named like its media: the boxes tell.
    IsoMedia,
    /// ISO boxes that are no media segments: an initialisation segment, or CMAF metadata.
    IsoHeader,
    /// Media in another container, or in none.
    OtherMedia,
    /// Subtitles in a text of their own.
    TimedText,
    /// A picture, a description, or nobody knows what.
    Other,
}

impl Extension {
    /// Looks up an extension in lower case, without its dot; empty for a name without one.
    #[must_use]
    pub fn of(extension: &str) -> Self {
        let (media_type, format) = match extension {
            "m3u8" | "m3u" => ("application/vnd.apple.mpegurl", Format::Playlist),
            "mpd" => ("application/dash+xml", Format::Manifest),
            "key" => (UNKNOWN, Format::ContentKey),
            "ts" => ("video/mp2t", Format::OtherMedia),
            "mp4" | "m4v" => ("video/mp4", Format::IsoMedia),
            "m4a" => ("audio/mp4", Format::IsoMedia),
            "m4s" | "cmfv" | "cmfa" | "cmft" => ("video/iso.segment", Format::IsoMedia),
            "m4i" | "init" | "cmfm" => (UNKNOWN, Format::IsoHeader),
            "aac" => ("audio/aac", Format::OtherMedia),
            "ac3" => ("audio/ac3", Format::OtherMedia),
            "ec3" => ("audio/eac3", Format::OtherMedia),
            "m4f" => (UNKNOWN, Format::OtherMedia),
            "mp3" => ("audio/mpeg", Format::OtherMedia),
            "webm" => ("video/webm", Format::OtherMedia),
            "ttml" => ("application/ttml+xml", Format::TimedText),
            "vtt" | "webvtt" => ("text/vtt", Format::TimedText),
            "jpg" | "jpeg" => ("image/jpeg", Format::Other),
            "png" => ("image/png", Format::Other),
            "webp" => ("image/webp", Format::Other),
            "json" => ("application/json", Format::Other),
            _ => (UNKNOWN, Format::Other),
        };
        Self { media_type, format }
    }
}

/// Bytes (RFC 2046 4.5.1).
const UNKNOWN: &str = "application/octet-stream";

impl Format {
    /// Whether it is media segments, of which one name stands for the same bytes as long as its stream runs.
    #[must_use]
    pub const fn is_media(self) -> bool {
        matches!(self, Self::IsoMedia | Self::OtherMedia | Self::TimedText)
    }
}
