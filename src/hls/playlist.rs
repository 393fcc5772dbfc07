//! HLS playlists (RFC 8216 and draft-pantos-hls-rfc8216bis): what one says, in our words.

use std::borrow::Cow;
use std::time::Duration;

use super::fault::{Fault, Wrong};
use super::{media, multivariant};
use crate::model::clock::WallTime;

/// How many entries of one playlist are read: a day of one-second segments, with some to spare. It bounds the memory that a
/// playlist can ask for; a longer one is a [`Fault`].
pub const MAX_ENTRIES: usize = 100_000;

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
    /// What is wrong with it; the first few.
    pub faults: Vec<Fault>,
}

/// The attribute lists of tags, as they are written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verbatim {
    /// EXT-X-MAP, in the order of [`Media::maps`].
    pub maps: Vec<String>,
    /// EXT-X-KEY.
    pub keys: Vec<String>,
    /// Which of these are in force together: one for each KEYFORMAT. Places in [`Self::keys`].
    pub protections: Vec<Vec<usize>>,
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

/// Reads a playlist. Tolerant: what can be understood is kept.
///
/// # Errors
/// A [`Fault`] when nothing can be said of it: it does not begin with `#EXTM3U` (a byte order mark and blank lines aside), it is
/// of both kinds at once, or it is longer than [`MAX_ENTRIES`].
pub fn parse(bytes: &[u8]) -> Result<Playlist, Fault> {
    // Names of objects are UTF-8: what is not names none, and the rest is still read.
    let text = std::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed);
    let not_utf8 = matches!(text, Cow::Owned(_));
    let mut lines = lines(&text).skip_while(|(_, line)| line.is_empty());
    match lines.next() {
        Some((_, first)) if first.starts_with("#EXTM3U") => {}
        other => return Err(Fault { line: other.map_or(1, |(line, _)| line), what: Wrong::NoPlaylist }),
    }
    let mut playlist = if is_multivariant(&text) { multivariant::read(lines)? } else { media::read(lines)? };
    if not_utf8 {
        let faults = match &mut playlist {
            Playlist::Multivariant(multivariant) => &mut multivariant.faults,
            Playlist::Media(media) => &mut media.faults,
        };
        let before = text.find(char::REPLACEMENT_CHARACTER).map_or("", |at| &text[..at]);
        faults.insert(0, Fault { line: before.matches('\n').count() + 1, what: Wrong::NotUtf8 });
    }
    Ok(playlist)
}

/// The lines with their numbers, from 1, without blanks around them and without a byte order mark.
pub(super) fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    text.split('\n').enumerate().map(|(index, line)| (index + 1, line.trim_ascii()))
}

/// A line's tag and what follows its colon; `None` for URIs, comments and blank lines.
pub(super) fn tag(line: &str) -> Option<(&str, &str)> {
    let tag = line.strip_prefix("#EXT")?;
    // Names are short: looking for the colon byte by byte is done before a search has begun.
    Some(tag.bytes().position(|byte| byte == b':').map_or((tag, ""), |at| (&tag[..at], &tag[at + 1..])))
}

/// Whether the first tag that tells says multivariant.
fn is_multivariant(text: &str) -> bool {
    lines(text).filter_map(|(_, line)| tag(line)).find_map(|(tag, _)| kind(tag)).unwrap_or(false)
}

/// `Some(true)` for a tag that only a multivariant playlist has, `Some(false)` for one that only a media playlist has.
pub(super) fn kind(tag: &str) -> Option<bool> {
    match tag {
        "-X-STREAM-INF" | "-X-MEDIA" | "-X-I-FRAME-STREAM-INF" | "-X-IMAGE-STREAM-INF" => Some(true),
        "INF" | "-X-TARGETDURATION" | "-X-MEDIA-SEQUENCE" | "-X-PART" | "-X-PART-INF" => Some(false),
        _ => None,
    }
}

/// The target duration a media playlist states (RFC 8216 4.3.3.1), if it states one that makes sense. Some packagers write it
/// with decimals, which the RFC does not allow and players accept.
#[must_use]
pub fn target_duration(playlist: &[u8]) -> Option<Duration> {
    const TAG: &[u8] = b"#EXT-X-TARGETDURATION:";
    // It stands in the head, before the first segment; a multivariant playlist has none at all.
    let line = playlist.split(|&byte| byte == b'\n').take(64).find_map(|line| line.trim_ascii().strip_prefix(TAG))?;
    let seconds: f64 = std::str::from_utf8(line).ok()?.trim().parse().ok()?;
    (seconds > 0.0 && seconds <= 86_400.0).then(|| Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, proptest};

    #[test]
    fn the_target_duration_is_found() {
        for (text, seconds) in [
            ("#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n", Some(2.0)),
            ("#EXTM3U\r\n#EXT-X-TARGETDURATION:10\r\n", Some(10.0)),
            ("#EXTM3U\n#EXT-X-TARGETDURATION: 2.5\n", Some(2.5)),
            ("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\na.m3u8\n", None),
            ("#EXTM3U\n#EXT-X-TARGETDURATION:0\n", None),
            ("#EXTM3U\n#EXT-X-TARGETDURATION:-1\n", None),
            ("#EXTM3U\n#EXT-X-TARGETDURATION:NaN\n", None),
            ("#EXTM3U\n#EXT-X-TARGETDURATION:inf\n", None),
            ("", None),
        ] {
            assert_eq!(target_duration(text.as_bytes()), seconds.map(Duration::from_secs_f64), "{text}");
        }
    }

    fn media(text: &str) -> Media {
        match parse(text.as_bytes()) {
            Ok(Playlist::Media(media)) => media,
            other => panic!("no media playlist: {other:?}"),
        }
    }

    fn multivariant(text: &str) -> Multivariant {
        match parse(text.as_bytes()) {
            Ok(Playlist::Multivariant(multivariant)) => multivariant,
            other => panic!("no multivariant playlist: {other:?}"),
        }
    }

    fn wrongs(faults: &[Fault]) -> Vec<(usize, Wrong)> {
        faults.iter().map(|fault| (fault.line, fault.what)).collect()
    }

    const S2: Duration = Duration::from_secs(2);

    #[test]
    fn a_plain_live_playlist_reads() {
        let media = media(
            "#EXTM3U\r\n#EXT-X-VERSION:3\r\n#EXT-X-TARGETDURATION:2\r\n#EXT-X-MEDIA-SEQUENCE:891\r\n\
             #EXT-X-DISCONTINUITY-SEQUENCE:4\r\n#EXT-X-PROGRAM-DATE-TIME:2026-01-02T03:04:05.678+0000\r\n#EXTINF:2.000000,\r\n\
             a_00891.ts\r\n#EXT-X-DISCONTINUITY\r\n#EXTINF:1.5,title, with a comma\r\na_00892.ts?x=1\r\n\r\n# a comment\r\n\
             #EXT-X-GAP\r\n#EXTINF:2,\r\na_00893.ts",
        );
        assert_eq!((media.target_duration, media.media_sequence, media.discontinuity_sequence), (Some(S2), 891, 4));
        assert_eq!((media.ended, media.last_sequence(), media.duration()), (false, Some(893), Duration::from_millis(5500)));
        let [first, second, third] = &media.segments[..] else { panic!("{media:?}") };
        assert_eq!((first.uri.as_str(), first.duration, first.sequence), ("a_00891.ts", S2, 891));
        assert_eq!(first.program_date_time, WallTime::parse("2026-01-02T03:04:05.678Z"));
        assert_eq!((second.uri.as_str(), second.discontinuity, second.program_date_time), ("a_00892.ts?x=1", true, None));
        assert_eq!((third.gap, third.discontinuity, third.sequence), (true, false, 893));
        assert_eq!(media.faults, []);
    }

    #[test]
    fn a_low_latency_playlist_reads() {
        let media = media(
            "#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXT-X-VERSION:9\n#EXT-X-PART-INF:PART-TARGET=1.004\n\
             #EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=3.012,CAN-SKIP-UNTIL=24.0,HOLD-BACK=12\n\
             #EXT-X-MEDIA-SEQUENCE:266\n#EXT-X-SKIP:SKIPPED-SEGMENTS=3\n#EXT-X-MAP:URI=\"init.mp4\"\n\
             #EXTINF:4.0,\nf269.mp4\n\
             #EXT-X-PART:DURATION=2,URI=\"f270.0.mp4\",INDEPENDENT=YES\n#EXT-X-PART:DURATION=2,URI=\"f270.1.mp4\",GAP=YES\n\
             #EXTINF:4.0,\nf270.mp4\n\
             #EXT-X-PART:DURATION=1,URI=\"f271.mp4\",BYTERANGE=\"100@0\"\n#EXT-X-PART:DURATION=1,URI=\"f271.mp4\",BYTERANGE=50\n\
             #EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"f271.mp4\",BYTERANGE-START=150\n\
             #EXT-X-RENDITION-REPORT:URI=\"../1M/x.m3u8\",LAST-MSN=273,LAST-PART=2\n",
        );
        let control = media.server_control;
        assert!(control.can_block_reload);
        assert_eq!(control.hold_back, Some(S2 * 6));
        assert_eq!((control.part_hold_back, control.can_skip_until), (Some(Duration::from_millis(3012)), Some(S2 * 12)));
        assert_eq!((media.part_target, media.skipped), (Some(Duration::from_millis(1004)), 3));
        let [first, second] = &media.segments[..] else { panic!("{media:?}") };
        assert_eq!((first.sequence, first.map, first.parts.len()), (269, Some(0), 0));
        assert_eq!((second.sequence, second.parts.len()), (270, 2));
        assert!(second.parts[0].independent && !second.parts[0].gap && second.parts[1].gap);
        let ranges: Vec<_> = media.parts.iter().map(|part| part.range).collect();
        assert_eq!(ranges, [Some(ByteRange { start: 0, length: 100 }), Some(ByteRange { start: 100, length: 50 })]);
        assert_eq!(
            media.preload_hints,
            [PreloadHint { kind: HintKind::Part, uri: "f271.mp4".to_owned(), start: Some(150), length: None }]
        );
        assert_eq!(media.faults, []);
    }

    #[test]
    fn maps_keys_and_ranges_read() {
        let media = media(
            "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-PLAYLIST-TYPE:EVENT\n#EXT-X-I-FRAMES-ONLY\n\
             #EXT-X-KEY:METHOD=AES-128,URI=\"k1.key\",IV=0x1\n#EXT-X-MAP:URI=\"v.mp4\",BYTERANGE=\"700@0\"\n\
             #EXTINF:2,\n#EXT-X-BYTERANGE:1000@700\nv.mp4\n#EXTINF:2,\n#EXT-X-BYTERANGE:500\nv.mp4\n\
             #EXT-X-KEY:METHOD=NONE\n#EXT-X-MAP:URI=\"w.mp4\"\n#EXTINF:2,\nw.mp4\n\
             #EXT-X-KEY:METHOD=AES-128,URI=\"k1.key\"\n#EXT-X-MAP:URI=\"v.mp4\",BYTERANGE=\"700@0\"\n#EXTINF:2,\nx.mp4\n#EXT-X-ENDLIST\n",
        );
        assert!(media.ended && media.i_frames_only && media.playlist_type == Some(PlaylistType::Event));
        let range = Some(ByteRange { start: 0, length: 700 });
        assert_eq!(media.maps, [Map { uri: "v.mp4".to_owned(), range }, Map { uri: "w.mp4".to_owned(), range: None }]);
        assert_eq!(media.keys, ["k1.key"]);
        let seen: Vec<_> =
            media.segments.iter().map(|s| (s.map, s.key, s.range.map(|range| (range.start, range.length)))).collect();
        let expected = [
            (Some(0), Some(0), Some((700, 1000))),
            (Some(0), Some(0), Some((1700, 500))),
            (Some(1), None, None),
            (Some(0), Some(0), None),
        ];
        assert_eq!(seen, expected);
        assert_eq!(media.faults, []);
    }

    #[test]
    fn a_multivariant_playlist_reads() {
        let multivariant = multivariant(
            "\u{feff}#EXTM3U\n#EXT-X-VERSION:4\n#EXT-X-INDEPENDENT-SEGMENTS\n\
             #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"English, main\",URI=\"audio.m3u8\"\n\
             #EXT-X-MEDIA:TYPE=CLOSED-CAPTIONS,GROUP-ID=\"cc\",NAME=\"cc\",INSTREAM-ID=\"CC1\"\n\
             #EXT-X-STREAM-INF:BANDWIDTH=2500000,AVERAGE-BANDWIDTH=2000000,CODECS=\"avc1.4d401f,mp4a.40.2\",RESOLUTION=854x480,\
             AUDIO=\"a\",SUBTITLES=\"s\"\n# a comment\n\nplaylist_480p30.m3u8?token=k\n\
             #EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=100,URI=\"i.m3u8\"\n#EXT-X-IMAGE-STREAM-INF:BANDWIDTH=9,URI=\"img.m3u8\"\n",
        );
        let [video, frames, images] = &multivariant.variants[..] else { panic!("{multivariant:?}") };
        assert_eq!((video.bandwidth, video.average_bandwidth), (Some(2_500_000), Some(2_000_000)));
        assert_eq!((video.resolution, video.codecs.as_deref()), (Some((854, 480)), Some("avc1.4d401f,mp4a.40.2")));
        assert_eq!((video.audio.as_deref(), video.video.as_deref(), video.subtitles.as_deref()), (Some("a"), None, Some("s")));
        assert_eq!(video.uri, "playlist_480p30.m3u8?token=k");
        assert!(frames.i_frames_only && images.i_frames_only && !video.i_frames_only);
        assert_eq!((frames.uri.as_str(), images.uri.as_str()), ("i.m3u8", "img.m3u8"));
        let [audio, captions] = &multivariant.renditions[..] else { panic!("{multivariant:?}") };
        assert_eq!((audio.kind, audio.group.as_str(), audio.name.as_str()), (RenditionKind::Audio, "a", "English, main"));
        assert_eq!((audio.uri.as_deref(), captions.uri.as_deref()), (Some("audio.m3u8"), None));
        assert_eq!(multivariant.faults, []);
    }

    #[test]
    fn faults_name_their_line_and_what_is_good_is_kept() {
        let media = media(
            "\n#EXTM3U\n#EXT-X-TARGETDURATION:x\n#EXTINF:2,\na.ts\nb.ts\n#EXTINF:-1,\nc.ts\n#EXT-X-BYTERANGE:10\n#EXTINF:1,\nd.ts\n\
             #EXT-X-PART:DURATION=1\n#EXT-X-MAP:X=1\n#EXT-X-KEY:METHOD=AES-128\n#EXT-X-PRELOAD-HINT:URI=\"x\"\n",
        );
        assert_eq!(
            wrongs(&media.faults),
            [
                (3, Wrong::Value("EXT-X-TARGETDURATION")),
                (6, Wrong::NoDuration),
                (7, Wrong::Value("EXTINF")),
                (11, Wrong::NoOffset),
                (12, Wrong::Attribute("EXT-X-PART", "URI")),
                (13, Wrong::Attribute("EXT-X-MAP", "URI")),
                (14, Wrong::Attribute("EXT-X-KEY", "URI")),
                (15, Wrong::Attribute("EXT-X-PRELOAD-HINT", "TYPE")),
            ]
        );
        assert_eq!(media.segments.len(), 4);
        let long = self::media("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2.5,\na\n#EXTINF:2.51,\nb\n");
        assert_eq!(wrongs(&long.faults), [(6, Wrong::LongerThanTarget)]);
        assert_eq!(wrongs(&self::media("#EXTM3U\n").faults), [(1, Wrong::NoTargetDuration)]);
        let variants = multivariant(
            "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n#EXT-X-STREAM-INF:X=1\na\n#EXT-X-MEDIA:NAME=x\n#EXT-X-STREAM-INF:BANDWIDTH=1",
        );
        assert_eq!(
            wrongs(&variants.faults),
            [
                (2, Wrong::NoUri),
                (3, Wrong::Attribute("EXT-X-STREAM-INF", "BANDWIDTH")),
                (5, Wrong::Attribute("EXT-X-MEDIA", "TYPE")),
                (6, Wrong::NoUri),
            ]
        );
        let Ok(Playlist::Media(latin)) = parse(b"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n\xe4.ts\n") else { panic!() };
        assert_eq!((wrongs(&latin.faults), latin.segments.len()), (vec![(4, Wrong::NotUtf8)], 1));
        assert_eq!(self::media(&format!("#EXTM3U\n{}", "a\n".repeat(100))).faults.len(), 16);
    }

    #[test]
    fn of_what_is_no_playlist_nothing_is_said() {
        for (text, line, what) in [
            ("", 1, Wrong::NoPlaylist),
            ("\n\n<html>", 3, Wrong::NoPlaylist),
            ("#EXTINF:2,\na.ts", 1, Wrong::NoPlaylist),
            ("\u{1f}\u{8b}", 1, Wrong::NoPlaylist),
            ("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\na\n#EXTINF:1,\nb", 4, Wrong::Mixed),
            ("#EXTM3U\n#EXTINF:1,\nb\n#EXT-X-STREAM-INF:BANDWIDTH=1\na", 4, Wrong::Mixed),
        ] {
            assert_eq!(parse(text.as_bytes()), Err(Fault { line, what }), "{text}");
        }
        let endless = format!("#EXTM3U\n{}", "a\n".repeat(MAX_ENTRIES + 1));
        assert_eq!(parse(endless.as_bytes()), Err(Fault { line: MAX_ENTRIES + 2, what: Wrong::TooLong }));
        let endless = format!("#EXTM3U\n#EXT-X-STREAM-INF:\n{}", "a\n".repeat(MAX_ENTRIES));
        assert!(parse(endless.as_bytes()).is_err());
    }

    #[test]
    fn sequences_are_those_of_the_stream() {
        let last = |text: &str| media(text).last_sequence();
        assert_eq!(last("#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:7\n"), None);
        assert_eq!(last("#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:7\n#EXT-X-SKIP:SKIPPED-SEGMENTS=3\n"), Some(9));
        assert_eq!(last("#EXTM3U\n#EXTINF:1,\na\n#EXT-X-MEDIA-SEQUENCE:7\n"), Some(7));
        let huge = media("#EXTM3U\n#EXT-X-MEDIA-SEQUENCE:18446744073709551615\n#EXTINF:1,\na\n#EXTINF:1,\nb\n");
        assert!(huge.segments.iter().all(|segment| segment.sequence == u64::MAX));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(tail in any::<Vec<u8>>()) {
            let _ = target_duration(&tail);
            let _ = target_duration(&[b"#EXT-X-TARGETDURATION:", &tail[..]].concat());
        }
    }
}
