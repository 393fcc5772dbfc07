//! A look into a segment's bytes: enough to tell media from an error page, and a whole segment from one cut short.
//!
//! Reads bytes of unknown servers: whatever they are, it answers and never panics.

use std::time::Duration;

use crate::media;
use crate::model::facts::{Codec, Defect, Track};

/// What a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyFormat {
    /// MPEG-TS (ISO/IEC 13818-1).
    Ts,
    /// A fragment of ISO media, or a whole file with its `moov`.
    Mp4,
    /// An ISO initialisation segment: `moov` and no media.
    Init,
    /// Packed audio (RFC 8216 3.4): ADTS frames, AC-3 or MP3, with an ID3 tag before them or without.
    Audio,
    /// `WebVTT`.
    Vtt,
    Unknown,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Look {
    pub(super) kind: BodyFormat,
    /// What it holds, in words.
    pub(super) holds: String,
    /// What is wrong with it, if anything is.
    pub(super) wrong: Option<String>,
    /// How much time its timestamps cover, where that is easy to tell.
    pub(super) span: Option<Duration>,
}

const PACKET: usize = 188;
const SYNC: u8 = 0x47;

pub(super) fn look(body: &[u8]) -> Look {
    let unmarked = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
    if unmarked.starts_with(b"WEBVTT") {
        return whole(BodyFormat::Vtt, "WebVTT".to_owned());
    }
    if body.first() == Some(&SYNC) {
        return ts(body);
    }
    if body.get(4..8).is_some_and(|name| {
        [b"styp", b"ftyp", b"moof", b"moov", b"sidx", b"emsg", b"prft", b"mdat"].iter().any(|known| *known == name)
    }) {
        return mp4(body);
    }
    if let Some(look) = audio(body) {
        return look;
    }
    let text = String::from_utf8_lossy(&unmarked[..unmarked.len().min(64)]).trim_start().to_ascii_lowercase();
    let wrong = match text.chars().next() {
        None if body.is_empty() => "it is empty",
        Some('<') => "it is an HTML or XML page, not media",
        Some('{') => "it is JSON, not media",
        Some('#') if text.starts_with("#extm3u") => "it is a playlist, not media",
        _ => "it is neither MPEG-TS, nor fragmented MP4, nor packed audio, nor WebVTT",
    };
    Look { wrong: Some(wrong.to_owned()), ..whole(BodyFormat::Unknown, "unknown bytes".to_owned()) }
}

fn whole(kind: BodyFormat, holds: String) -> Look {
    Look { kind, holds, wrong: None, span: None }
}

fn ts(body: &[u8]) -> Look {
    let facts = media::facts(body);
    let (packets, rest) = body.as_chunks::<PACKET>();
    let has = |defect| facts.defects.contains(defect);
    let wrong = if let Some(n) = packets.iter().position(|packet| packet[0] != SYNC) {
        let (of, at) = (packets.len(), n * PACKET);
        Some(format!("MPEG-TS packet {n} of {of}, at byte {at}, does not begin with the sync byte 0x47"))
    } else if !rest.is_empty() {
        Some(format!("it is cut short: {} whole MPEG-TS packets and then {} of 188 bytes", packets.len(), rest.len()))
    } else if has(Defect::NoTables) {
        let text = "it has no program association table (PAT) or no program map table (PMT): a player can't begin with it";
        Some(text.to_owned())
    } else if has(Defect::NoMedia) {
        Some("there is no picture and no sound in it".to_owned())
    } else if has(Defect::Continuity) {
        Some("MPEG-TS packets are missing in it: their continuity counters jump".to_owned())
    } else if has(Defect::TransportError) {
        Some("MPEG-TS packets in it are marked as damaged".to_owned())
    } else {
        None
    };
    let streams = facts.tracks.iter().map(|track| stream_name(track.codec)).collect::<Vec<_>>().join(", ");
    let holds = format!("MPEG-TS, {} packets{}{streams}", packets.len(), if streams.is_empty() { "" } else { ": " });
    let span = facts.lead().and_then(Track::duration_seconds).map(Duration::from_secs_f64);
    // A clock that jumps says nothing of how long it lasts.
    Look { kind: BodyFormat::Ts, holds, wrong, span: span.filter(|span| *span < Duration::from_secs(3600)) }
}

fn stream_name(codec: Option<Codec>) -> &'static str {
    match codec.as_ref().map_or("", Codec::as_str) {
        "mp2v" => "MPEG-2 video",
        "avc1" => "H.264",
        "hvc1" => "H.265",
        "vvc1" => "H.266",
        ".mp3" => "MPEG audio",
        "mp4a" => "AAC",
        "ac-3" => "AC-3",
        "ec-3" => "E-AC-3",
        "id3_" => "ID3",
        "scte" => "SCTE-35",
        _ => "other data",
    }
}

fn mp4(body: &[u8]) -> Look {
    let (mut names, mut rest, mut wrong) = (Vec::new(), body, None);
    while !rest.is_empty() {
        let at = body.len() - rest.len();
        let Some((name, size)) = box_head(rest) else {
            wrong = Some(format!("at byte {at} is no box: it is cut short or was damaged"));
            break;
        };
        names.push(String::from_utf8_lossy(&name).into_owned());
        let Some(next) = rest.get(size..) else {
            let name = String::from_utf8_lossy(&name);
            wrong =
                Some(format!("it is cut short: the box '{name}' at byte {at} has {size} bytes, and {} are there", rest.len()));
            break;
        };
        rest = next;
    }
    let has = |name: &str| names.iter().any(|found| found == name);
    let kind = if has("moov") && !has("moof") && !has("mdat") { BodyFormat::Init } else { BodyFormat::Mp4 };
    if wrong.is_none() && kind == BodyFormat::Mp4 {
        wrong = match (has("moof") || has("moov"), has("mdat")) {
            (true, true) => None,
            (false, _) => Some("it has no 'moof' box: no fragment".to_owned()),
            (true, false) => Some("it has no 'mdat' box: no media".to_owned()),
        };
    }
    let fragments = names.iter().filter(|name| *name == "moof").count();
    let holds = match kind {
        BodyFormat::Init => "an MP4 initialisation segment".to_owned(),
        _ if fragments == 1 => "fragmented MP4, 1 fragment".to_owned(),
        _ => format!("fragmented MP4, {fragments} fragments"),
    };
    Look { kind, holds, wrong, span: None }
}

/// Name and size of the box that begins here.
fn box_head(bytes: &[u8]) -> Option<([u8; 4], usize)> {
    let (size, rest) = bytes.split_first_chunk::<4>()?;
    let (name, rest) = rest.split_first_chunk::<4>()?;
    let size = match u32::from_be_bytes(*size) {
        0 => bytes.len(),
        1 => usize::try_from(u64::from_be_bytes(*rest.first_chunk::<8>()?)).ok()?,
        size => usize::try_from(size).ok()?,
    };
    let is_name = name.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ');
    (size >= 8 && is_name).then_some((*name, size))
}

fn audio(body: &[u8]) -> Option<Look> {
    let mut rest = body;
    // ID3v2: ten bytes of head, the last four of them the length of what follows, seven bits to a byte.
    if let Some((head, tail)) = rest.split_first_chunk::<10>()
        && head.starts_with(b"ID3")
    {
        let length = head[6..].iter().fold(0, |length, byte| length << 7 | usize::from(byte & 0x7F));
        rest = tail.get(length..).unwrap_or_default();
    } else if body.starts_with(b"ID3") {
        return Some(Look { wrong: Some("it is cut short".to_owned()), ..whole(BodyFormat::Audio, "packed audio".to_owned()) });
    }
    match *rest.first_chunk::<2>()? {
        [0x0B, 0x77] => Some(whole(BodyFormat::Audio, "AC-3 audio".to_owned())),
        [0xFF, second] if second & 0xF6 == 0xF0 => Some(adts(rest)),
        [0xFF, second] if second & 0xE0 == 0xE0 => Some(whole(BodyFormat::Audio, "MPEG audio".to_owned())),
        _ => None,
    }
}

fn adts(body: &[u8]) -> Look {
    let (mut rest, mut frames) = (body, 0);
    let mut wrong = None;
    while !rest.is_empty() {
        let head = rest.first_chunk::<7>().filter(|head| head[0] == 0xFF && head[1] & 0xF6 == 0xF0);
        let length = head.map(|head| usize::from(head[3] & 3) << 11 | usize::from(head[4]) << 3 | usize::from(head[5]) >> 5);
        match length.filter(|length| *length >= 7).and_then(|length| rest.get(length..)) {
            Some(next) => (rest, frames) = (next, frames + 1),
            None => {
                wrong = Some(format!("it is cut short or damaged after {frames} whole AAC frames"));
                break;
            }
        }
    }
    Look { wrong, ..whole(BodyFormat::Audio, format!("AAC, {frames} frames")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop, proptest};

    fn packet(pid: u16, payload: &[u8]) -> Vec<u8> {
        let [high, low] = pid.to_be_bytes();
        let mut packet = vec![SYNC, 0x40 | high, low, 0x10];
        packet.extend(payload);
        packet.resize(PACKET, 0xFF);
        packet
    }

    fn picture(n: u64, time: u64) -> Vec<u8> {
        let bits = |shift: u64, mask: u64| u8::try_from(time >> shift & mask).unwrap();
        let stamp = [0x21 | bits(30, 7) << 1, bits(22, 0xFF), bits(15, 0x7F) << 1 | 1, bits(7, 0xFF), bits(0, 0x7F) << 1 | 1];
        let mut packet = packet(0x100, &[&[0, 0, 1, 0xE0, 0, 0, 0x80, 0x80, 5], &stamp[..]].concat());
        packet[3] |= u8::try_from(n & 0xF).unwrap();
        packet
    }

    fn segment() -> Vec<u8> {
        let pat = packet(0, &[0, 0, 0xB0, 13, 0, 1, 0xC1, 0, 0, 0, 1, 0xF0, 0, 1, 2, 3, 4]);
        let pmt = packet(0x1000, &[0, 2, 0xB0, 18, 0, 1, 0xC1, 0, 0, 0xE1, 0, 0xF0, 0, 0x1B, 0xE1, 0, 0xF0, 0, 1, 2, 3, 4]);
        let pictures = (0..50).flat_map(|n| picture(n, (1 << 32) + n * 3600));
        [pat, pmt].concat().into_iter().chain(pictures).collect()
    }

    fn a_box(name: &[u8; 4], content: &[u8]) -> Vec<u8> {
        let size = u32::try_from(8 + content.len()).unwrap();
        [&size.to_be_bytes(), &name[..], content].concat()
    }

    #[test]
    fn a_transport_stream_is_looked_into() {
        let good = look(&segment());
        assert_eq!((good.kind, good.wrong.as_deref()), (BodyFormat::Ts, None));
        assert_eq!(good.holds, "MPEG-TS, 52 packets: H.264");
        assert_eq!(good.span, Some(Duration::from_secs(2)));

        let cut = look(&segment()[..PACKET * 40 + 100]).wrong.unwrap();
        assert_eq!(cut, "it is cut short: 40 whole MPEG-TS packets and then 100 of 188 bytes");
        let mut damaged = segment();
        damaged[PACKET * 7] = 0;
        assert!(look(&damaged).wrong.unwrap().contains("packet 7 of 52, at byte 1316"));
        assert!(look(&segment()[PACKET..]).wrong.unwrap().contains("PAT"));
        let without_map = [&segment()[..PACKET], &segment()[PACKET * 2..]].concat();
        assert!(look(&without_map).wrong.unwrap().contains("PMT"));
        let lost = [&segment()[..PACKET * 9], &segment()[PACKET * 10..]].concat();
        assert!(look(&lost).wrong.unwrap().contains("are missing"));
    }

    #[test]
    fn iso_media_is_looked_into() {
        let init = [a_box(b"ftyp", b"iso6"), a_box(b"moov", &[0; 100])].concat();
        assert_eq!((look(&init).kind, look(&init).wrong), (BodyFormat::Init, None));
        let media = [a_box(b"styp", b"msdh"), a_box(b"moof", &[0; 50]), a_box(b"mdat", &[0; 500])].concat();
        assert_eq!((look(&media).kind, look(&media).wrong), (BodyFormat::Mp4, None));
        let cut = look(&media[..media.len() - 1]).wrong.unwrap();
        assert_eq!(cut, "it is cut short: the box 'mdat' at byte 70 has 508 bytes, and 507 are there");
        assert!(look(&[a_box(b"styp", b""), a_box(b"moof", b"")].concat()).wrong.unwrap().contains("mdat"));
        assert!(look(&[a_box(b"moof", b""), vec![0, 0, 0]].concat()).wrong.unwrap().contains("at byte 8 is no box"));
    }

    #[test]
    fn audio_text_and_what_is_no_media_are_told_apart() {
        let frame = [0xFF, 0xF1, 0x50, 0x80, 1, 0x3F, 0xFC, 9, 9];
        let frames = [&frame[..], &frame].concat();
        let tagged = [b"ID3\x04\0\0\0\0\0\x02zz", &frames[..]].concat();
        for body in [&frames, &tagged] {
            let look = look(body);
            assert_eq!((look.kind, &*look.holds, look.wrong), (BodyFormat::Audio, "AAC, 2 frames", None));
        }
        assert!(look(&frames[..17]).wrong.unwrap().contains("after 1 whole"));
        assert_eq!(look(b"\xEF\xBB\xBFWEBVTT\n\n").kind, BodyFormat::Vtt);
        assert!(look(b"<html>").wrong.unwrap().contains("HTML"));
        assert!(look(b"{\"status\":404}").wrong.unwrap().contains("JSON"));
        assert!(look(b"#EXTM3U\n").wrong.unwrap().contains("playlist"));
        assert!(look(b"").wrong.unwrap().contains("empty"));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(body in any::<Vec<u8>>(), damage in prop::collection::vec((0..52usize * PACKET, any::<u8>()), 0..40)) {
            let _ = look(&body);
            for head in [&b"ID3"[..], b"\xFF\xF1", b"\0\0\0\x10styp", b"\0\0\0\x01moof", b"\x47"] {
                let _ = look(&[head, &body].concat());
            }
            let mut damaged = segment();
            for (at, byte) in damage {
                damaged[at] = byte;
            }
            let _ = look(&damaged);
        }
    }
}
