//! What a playlist says, in our words: the types, and what follows from them alone.

use std::ops::Range;
use std::time::Duration;

use super::variables::Variables;
use crate::hls::fault::Fault;
use crate::model::clock::WallTime;

/// A playlist.
#[derive(Clone, Debug, PartialEq)]
pub enum Playlist {
    /// It lists playlists: the same content at several rates.
    Multivariant(Multivariant),
    /// It lists media.
    Media(Media),
}

/// A multivariant playlist.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Multivariant {
    /// EXT-X-STREAM-INF and its kin for trick play, in their order.
    pub variants: Vec<Variant>,
    /// EXT-X-MEDIA, in their order.
    pub renditions: Vec<Rendition>,
    /// EXT-X-DEFINE, as far as it is known: media playlists may import it.
    pub variables: Variables,
    /// What is wrong with it; the first few.
    pub faults: Vec<Fault>,
}

/// A stream at one rate.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Variant {
    /// The media playlist, as it is written.
    pub uri: String,
    /// The peak rate, in bits a second.
    pub bandwidth: Option<u64>,
    /// The mean rate, in bits a second.
    pub average_bandwidth: Option<u64>,
    /// Width and height, in pixels.
    pub resolution: Option<(u32, u32)>,
    /// The codecs (RFC 6381).
    pub codecs: Option<String>,
    /// The group of audio renditions that goes with it.
    pub audio: Option<String>,
    /// The group of video renditions.
    pub video: Option<String>,
    /// The group of subtitles.
    pub subtitles: Option<String>,
    /// For trick play only: EXT-X-I-FRAME-STREAM-INF, or EXT-X-IMAGE-STREAM-INF as MediaLive writes it.
    pub i_frames_only: bool,
}

/// What a rendition is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RenditionKind {
    /// TYPE=AUDIO
    Audio,
    /// TYPE=VIDEO
    Video,
    /// TYPE=SUBTITLES
    Subtitles,
    /// TYPE=CLOSED-CAPTIONS: part of the video, so it has no playlist.
    ClosedCaptions,
}

/// An alternative: another language, another camera.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendition {
    /// What it is.
    pub kind: RenditionKind,
    /// The group it is in.
    pub group: String,
    /// Its name for people.
    pub name: String,
    /// Its media playlist, as it is written; `None`: it is in the variant's own.
    pub uri: Option<String>,
}

/// A media playlist.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Media {
    /// EXT-X-TARGETDURATION, decimals and all: the RFC allows none, packagers write them and players take them.
    pub target_duration: Option<Duration>,
    /// EXT-X-MEDIA-SEQUENCE: the number of the first segment listed or skipped.
    pub media_sequence: u64,
    /// EXT-X-DISCONTINUITY-SEQUENCE.
    pub discontinuity_sequence: u64,
    /// The whole segments, oldest first.
    pub segments: Vec<Segment>,
    /// The parts after the last whole segment: of the one that is being made.
    pub parts: Vec<Part>,
    /// EXT-X-PRELOAD-HINT: what comes next.
    pub preload_hints: Vec<PreloadHint>,
    /// The initialisation segments (EXT-X-MAP), each once.
    pub maps: Vec<Map>,
    /// The URIs of content keys (EXT-X-KEY), as written, each once.
    pub keys: Vec<String>,
    /// Tags as they are written.
    pub verbatim: Box<Verbatim>,
    /// EXT-X-PART-INF: the target duration of parts.
    pub part_target: Option<Duration>,
    /// EXT-X-SERVER-CONTROL.
    pub server_control: ServerControl,
    /// EXT-X-ENDLIST: no more is to come.
    pub ended: bool,
    /// EXT-X-PLAYLIST-TYPE.
    pub playlist_type: Option<PlaylistType>,
    /// EXT-X-SKIP: how many segments a delta update leaves out before the first one listed.
    pub skipped: u64,
    /// EXT-X-I-FRAMES-ONLY, or EXT-X-IMAGES-ONLY: for trick play.
    pub i_frames_only: bool,
    /// It is the latter: its segments are pictures, as EXT-X-TILES says of each.
    pub images_only: bool,
    /// EXT-X-INDEPENDENT-SEGMENTS: each segment can be decoded by itself.
    pub independent: bool,
    /// EXTINF with decimals: its lengths are not rounded to seconds.
    pub has_decimals: bool,
    /// EXT-X-VERSION.
    pub version: u8,
    /// What is wrong with it; the first few.
    pub faults: Vec<Fault>,
}

/// The attribute lists of tags, as they are written; and whole lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verbatim {
    /// EXT-X-MAP, in the order of [`Media::maps`].
    pub maps: Vec<String>,
    /// EXT-X-KEY.
    pub keys: Vec<String>,
    /// Which of these are in force together: one for each KEYFORMAT. Places in [`Self::keys`].
    pub protections: Vec<Vec<usize>>,
    /// Lines with tags that say nothing to an origin (date ranges, cues, tiles, what is not known), whole, in their order.
    pub others: Vec<String>,
    /// How many of these stand in the head, between tags that are for the whole list, and are taken for such.
    pub in_head: usize,
}

/// What a packager says a server in front of its playlists is to do for players.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServerControl {
    /// Blocking playlist reload is offered.
    pub can_block_reload: bool,
    /// How far from the end players stay.
    pub hold_back: Option<Duration>,
    /// The same for players that play parts.
    pub part_hold_back: Option<Duration>,
    /// Delta updates are offered, for what is older than this.
    pub can_skip_until: Option<Duration>,
    /// These may leave date ranges out as well.
    pub can_skip_date_ranges: bool,
}

/// Whether and how a media playlist may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlaylistType {
    /// Not at all.
    Vod,
    /// It only grows.
    Event,
}

/// A segment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Segment {
    /// Where it is, as it is written.
    pub uri: String,
    /// How long it plays; zero when the playlist does not say.
    pub duration: Duration,
    /// Its number in the stream.
    pub sequence: u64,
    /// The bytes of the resource that are it; `None`: all.
    pub range: Option<ByteRange>,
    /// Time stamps, format or content break before it.
    pub discontinuity: bool,
    /// When its first sample was made, if it is tagged itself.
    pub program_date_time: Option<WallTime>,
    /// Its initialisation segment: a place in [`Media::maps`].
    pub map: Option<usize>,
    /// The tag of that stood before any EXT-X-KEY, so that it is in clear (RFC 8216bis 4.4.4.5).
    pub clear_map: bool,
    /// Its content key, the last one of several: a place in [`Media::keys`].
    pub key: Option<usize>,
    /// All that is to be known of its content keys: a place in [`Verbatim::protections`].
    pub protection: Option<usize>,
    /// EXT-X-GAP: there is no media for it.
    pub gap: bool,
    /// The tags above it that say nothing to an origin: places in [`Verbatim::others`].
    pub others: Range<usize>,
    /// The parts it was made of, while the playlist still lists them.
    pub parts: Vec<Part>,
}

/// A part of a segment (EXT-X-PART).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Part {
    /// Where it is, as it is written.
    pub uri: String,
    /// How long it plays.
    pub duration: Duration,
    /// The bytes of the resource that are it; `None`: all.
    pub range: Option<ByteRange>,
    /// A player can start with it.
    pub independent: bool,
    /// There is no media for it.
    pub gap: bool,
}

/// What a preload hint is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HintKind {
    /// A part.
    Part,
    /// An initialisation segment.
    Map,
}

/// A resource that is about to appear (EXT-X-PRELOAD-HINT).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PreloadHint {
    /// What it is for.
    pub kind: HintKind,
    /// Where it will be, as it is written.
    pub uri: String,
    /// The first byte of it; `None`: the resource's first.
    pub start: Option<u64>,
    /// How many; `None`: to the resource's end.
    pub length: Option<u64>,
}

/// An initialisation segment (EXT-X-MAP).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Map {
    /// Where it is, as it is written.
    pub uri: String,
    /// The bytes of the resource that are it; `None`: all.
    pub range: Option<ByteRange>,
}

/// A part of a resource. Its end is a number too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteRange {
    /// The first byte.
    pub start: u64,
    /// How many.
    pub length: u64,
}

impl ByteRange {
    /// The first byte after it.
    #[must_use]
    pub const fn end(self) -> u64 {
        self.start.saturating_add(self.length)
    }
}

impl Media {
    /// The number of the last whole segment, listed or skipped; `None` when there is none.
    #[must_use]
    pub fn last_sequence(&self) -> Option<u64> {
        match self.segments.last() {
            Some(segment) => Some(segment.sequence),
            None => self.media_sequence.saturating_add(self.skipped).checked_sub(1).filter(|_| self.skipped > 0),
        }
    }

    /// How long the listed segments play together.
    #[must_use]
    pub fn duration(&self) -> Duration {
        self.segments.iter().fold(Duration::ZERO, |sum, segment| sum.saturating_add(segment.duration))
    }
}
