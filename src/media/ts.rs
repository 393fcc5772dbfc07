//! A transport stream (ISO/IEC 13818-1), packet by packet.

use super::pictures::{FirstPicture, PictureCoding};
use crate::model::facts::{Codec, Container, Defect, Defects, MOST_TRACKS, Medium, SegmentFacts, Track};

/// Bytes of a packet.
pub(super) const PACKET: usize = 188;
/// What each begins with.
pub(super) const SYNC: u8 = 0x47;
/// Ticks of a PTS in a second.
const SCALE: u32 = 90_000;
/// A PTS has this many bits, and begins anew after 26.5 hours.
const PTS_BITS: u32 = 33;
/// The PID of packets that say nothing.
const NULL: u16 = 0x1fff;
/// PIDs whose counters are kept: many more than a segment for players has.
const MOST_PIDS: usize = 64;

/// Reads a segment.
#[derive(Debug)]
pub(super) struct TsReader {
    /// The beginning of a packet whose rest is still to come.
    carried: [u8; PACKET],
    held: usize,
    pids: Vec<Pid>,
    /// Where the newest packet's PID stands among them: the next one is mostly of the same.
    newest: usize,
    program: Option<u16>,
    /// What the program map says of PIDs.
    declared: Vec<(u16, u8)>,
    /// Whether some of it can't be read without a key.
    is_scrambled: bool,
    defects: Defects,
}

/// What is known of one PID.
#[derive(Debug)]
struct Pid {
    id: u16,
    counter: Option<u8>,
    is_repeated: bool,
    stream: Option<ElementaryStream>,
}

/// One elementary stream.
#[derive(Debug)]
struct ElementaryStream {
    medium: Option<Medium>,
    codec: Option<Codec>,
    /// The first time, and how far the others lie from it: the earliest, the latest, and how many there are.
    begins: u64,
    earliest: i64,
    latest: i64,
    count: u32,
    /// Packets of the newest frames, and of all before them.
    packets: u64,
    packets_before: u64,
    first_picture: Option<FirstPicture>,
    starts_with_keyframe: Option<bool>,
}

impl Default for TsReader {
    fn default() -> Self {
        Self {
            carried: [0; PACKET],
            held: 0,
            pids: Vec::new(),
            newest: 0,
            program: None,
            declared: Vec::new(),
            is_scrambled: false,
            defects: Defects::default(),
        }
    }
}

impl TsReader {
    pub(super) fn take(&mut self, mut piece: &[u8]) {
        if self.held > 0 {
            let (wanted, rest) = piece.split_at(piece.len().min(PACKET - self.held));
            self.carried[self.held..self.held + wanted.len()].copy_from_slice(wanted);
            self.held += wanted.len();
            piece = rest;
            if self.held < PACKET {
                return;
            }
            self.held = 0;
            let packet = self.carried;
            self.packet(&packet);
        }
        while let Some((packet, rest)) = piece.split_first_chunk::<PACKET>() {
            if packet[0] == SYNC {
                self.packet(packet);
                piece = rest;
            } else {
                piece = self.out_of_step(piece);
            }
        }
        if piece.first().is_some_and(|byte| *byte != SYNC) {
            piece = self.out_of_step(piece);
        }
        self.carried[..piece.len()].copy_from_slice(piece);
        self.held = piece.len();
    }

    /// Passes over what is no packet: a byte for the next sync byte to be looked at, wherever the pieces are cut.
    fn out_of_step<'a>(&mut self, piece: &'a [u8]) -> &'a [u8] {
        self.defects.insert(Defect::Sync);
        piece.iter().position(|byte| *byte == SYNC).map_or(&[], |at| &piece[at..])
    }

    fn packet(&mut self, packet: &[u8; PACKET]) {
        let [_, flags, low, control, ..] = *packet;
        if flags & 0x80 != 0 {
            self.defects.insert(Defect::TransportError);
            return;
        }
        let id = u16::from_be_bytes([flags & 0x1f, low]);
        if id == NULL {
            return;
        }
        // Most packets go on with what the one before them had, and nothing of them but their counter is of interest.
        let counter = control & 0x0f;
        if flags & 0x40 == 0
            && control & 0xf0 == 0x10
            && let Some(pid) = self.pids.get_mut(self.newest)
            && pid.id == id
            && pid.counter.is_some_and(|last| counter == (last + 1) & 0x0f)
            && pid.stream.as_ref().is_none_or(|stream| stream.first_picture.is_none())
        {
            (pid.counter, pid.is_repeated) = (Some(counter), false);
            if let Some(stream) = &mut pid.stream {
                stream.packets += 1;
            }
            return;
        }
        let (has_adaptation, has_payload) = (control & 0x20 != 0, control & 0x10 != 0);
        let (mut start, mut adaptation) = (4, 0);
        if has_adaptation {
            start += 1 + usize::from(packet[4]);
            if packet[4] > 0 {
                adaptation = packet[5];
            }
        }
        let Some(payload) = packet.get(start..) else {
            self.defects.insert(Defect::Sync);
            return;
        };
        let Some(at) = self.pid(id) else { return };
        let is_discontinuous = adaptation & 0x80 != 0;
        let pid = &mut self.pids[at];
        if !has_payload {
            // That it jumps may be said ahead of the packet that does (2.4.3.5).
            pid.counter = pid.counter.filter(|_| !is_discontinuous);
            return;
        }
        if let Some(last) = pid.counter
            && !is_discontinuous
        {
            // A packet may be sent twice (2.4.3.3).
            if counter == last && !pid.is_repeated {
                pid.is_repeated = true;
                return;
            }
            if counter != (last + 1) & 0x0f {
                self.defects.insert(Defect::Continuity);
            }
        }
        (pid.counter, pid.is_repeated) = (Some(counter), false);
        let begins = flags & 0x40 != 0;
        if control & 0xc0 != 0 {
            self.is_scrambled = true;
            return;
        }
        match (id, self.program) {
            (0, _) if begins => self.program = program(payload).or(self.program),
            (id, Some(map)) if id == map && begins => declarations(payload, &mut self.declared),
            _ => self.elementary(at, payload, begins, adaptation & 0x40 != 0),
        }
    }

    fn pid(&mut self, id: u16) -> Option<usize> {
        if self.pids.get(self.newest).is_none_or(|pid| pid.id != id) {
            self.newest = match self.pids.iter().position(|pid| pid.id == id) {
                Some(at) => at,
                None if self.pids.len() < MOST_PIDS => {
                    self.pids.push(Pid { id, counter: None, is_repeated: false, stream: None });
                    self.pids.len() - 1
                }
                None => return None,
            };
        }
        Some(self.newest)
    }

    fn elementary(&mut self, at: usize, payload: &[u8], begins: bool, can_begin: bool) {
        let pid = &mut self.pids[at];
        if !begins {
            // The first picture alone is looked for: behind it this is all that is done of a packet.
            let Some(stream) = &mut pid.stream else { return };
            stream.packets += 1;
            if let Some(first) = &mut stream.first_picture
                && let Some(is_key) = first.take(payload)
            {
                (stream.first_picture, stream.starts_with_keyframe) = (None, Some(is_key));
            }
            return;
        }
        let [0, 0, 1, named, _, _, _, flags, header, ..] = *payload else { return };
        let Some(pts) = pts(payload, flags) else { return };
        if let Some(stream) = &mut pid.stream {
            stream.comes(pts);
            // Its first picture has ended without one that is known.
            stream.first_picture = None;
            return;
        }
        let declared = self.declared.iter().find(|(id, _)| *id == pid.id).map(|(_, kind)| *kind);
        let (medium, coding) = kind(declared, named);
        let mut stream = ElementaryStream {
            medium,
            codec: declared.and_then(codec),
            begins: pts,
            earliest: 0,
            latest: 0,
            count: 1,
            packets: 1,
            packets_before: 0,
            first_picture: coding.map(FirstPicture::new),
            starts_with_keyframe: (can_begin && medium == Some(Medium::Video)).then_some(true),
        };
        if stream.starts_with_keyframe.is_some() {
            stream.first_picture = None;
        } else if let Some(first) = &mut stream.first_picture
            && let Some(is_key) = payload.get(9 + usize::from(header)..).and_then(|data| first.take(data))
        {
            (stream.first_picture, stream.starts_with_keyframe) = (None, Some(is_key));
        }
        pid.stream = Some(stream);
    }

    pub(super) fn end(mut self) -> SegmentFacts {
        if self.held > 0 {
            self.defects.insert(Defect::Truncated);
        }
        let streams = self.pids.iter().filter_map(|pid| Some((pid.id, pid.stream.as_ref()?)));
        let mut tracks: Vec<_> = streams.take(MOST_TRACKS).map(|(id, stream)| stream.track(id)).collect();
        if tracks.is_empty() && !self.is_scrambled {
            self.defects.insert(Defect::NoMedia);
        }
        if self.declared.is_empty() {
            self.defects.insert(Defect::NoTables);
        }
        // What is declared and has nothing in it here, or no times.
        for (id, declared) in self.declared {
            let id = u32::from(id);
            // Where the tables stand behind it, too.
            for track in tracks.iter_mut().filter(|track| track.id == id && track.codec.is_none()) {
                (track.medium, track.codec) = (track.medium.or(kind(Some(declared), 0).0), codec(declared));
            }
            if tracks.len() < MOST_TRACKS && tracks.iter().all(|track| track.id != id) {
                tracks.push(Track { id, medium: kind(Some(declared), 0).0, codec: codec(declared), ..Track::default() });
            }
        }
        if tracks.iter().any(|track| track.starts_with_keyframe == Some(false)) {
            self.defects.insert(Defect::NoKeyframe);
        }
        SegmentFacts { container: Container::Ts, tracks, defects: self.defects }
    }
}

impl ElementaryStream {
    fn comes(&mut self, pts: u64) {
        let apart = (pts.wrapping_sub(self.begins) << (64 - PTS_BITS)).cast_signed() >> (64 - PTS_BITS);
        self.earliest = self.earliest.min(apart);
        self.latest = self.latest.max(apart);
        self.count = self.count.saturating_add(1);
        self.packets_before += self.packets;
        self.packets = 1;
    }

    /// The last of its pictures is taken to last as long as those before it on the average. Of sound, several frames lie together, and
    /// the last ones are as long as there is much of them.
    fn track(&self, id: u16) -> Track {
        let span = (self.latest - self.earliest).unsigned_abs();
        let (all, last) = match self.medium {
            Some(Medium::Audio) => (self.packets_before, self.packets),
            _ => (u64::from(self.count - 1), 1),
        };
        Track {
            id: u32::from(id),
            medium: self.medium,
            codec: self.codec,
            scale: Some(SCALE),
            first: Some(self.begins.wrapping_add_signed(self.earliest) & ((1 << PTS_BITS) - 1)),
            duration: (span * last + all / 2).checked_div(all).map_or(0, |end| span + end),
            starts_with_keyframe: self.starts_with_keyframe,
            ..Track::default()
        }
    }
}

/// The PTS of a PES packet whose header says that there is one (2.4.3.7).
fn pts(payload: &[u8], flags: u8) -> Option<u64> {
    let [a, b, c, d, e] = payload.get(9..14)?.first_chunk::<5>().copied()?;
    let part = |byte: u8, from: u32| u64::from(byte >> 1) << from;
    (flags & 0x80 != 0)
        .then(|| (u64::from(a & 0x0e) << 29) | (u64::from(b) << 22) | part(c, 15) | (u64::from(d) << 7) | part(e, 0))
}

/// The section that begins in this payload (2.4.4.1), behind its pointer, from its table's identifier on.
fn section(payload: &[u8], table: u8) -> Option<&[u8]> {
    let section = payload.get(1 + usize::from(*payload.first()?)..)?;
    let length = usize::from(u16::from_be_bytes([*section.get(1)? & 0x0f, *section.get(2)?]));
    // Its checksum ends it. What goes on in the next packet is read as far as this one has it.
    (section[0] == table).then(|| section.get(..(3 + length).saturating_sub(4)).unwrap_or(section))
}

/// The PID of the first program's map (2.4.4.3).
fn program(payload: &[u8]) -> Option<u16> {
    let programs = section(payload, 0)?.get(8..)?;
    programs.chunks_exact(4).find(|entry| entry[..2] != [0, 0]).map(|entry| u16::from_be_bytes([entry[2] & 0x1f, entry[3]]))
}

/// The elementary streams of a program map, by PID and type (2.4.4.8).
fn declarations(payload: &[u8], declared: &mut Vec<(u16, u8)>) {
    let Some(map) = section(payload, 2) else { return };
    let length = |at: usize| Some(usize::from(u16::from_be_bytes([*map.get(at)? & 0x0f, *map.get(at + 1)?])));
    let Some(mut at) = length(10).map(|info| 12 + info) else { return };
    declared.clear();
    while let (Some(&[kind, high, low]), Some(info)) = (map.get(at..at + 3).and_then(|entry| entry.first_chunk()), length(at + 3))
    {
        declared.push((u16::from_be_bytes([high & 0x1f, low]), kind));
        at += 5 + info;
    }
}

/// What a stream is, by its type (2.4.4.9 table 2-34, ATSC A/53, Apple's for sample encryption) or else by its PES packets' name.
fn kind(declared: Option<u8>, named: u8) -> (Option<Medium>, Option<PictureCoding>) {
    let video = |coding| (Some(Medium::Video), coding);
    match (declared, named) {
        (Some(0x01 | 0x02), _) => video(Some(PictureCoding::Mpeg2)),
        (Some(0x1b | 0xdb), _) => video(Some(PictureCoding::Avc)),
        (Some(0x24), _) => video(Some(PictureCoding::Hevc)),
        (_, 0xe0..=0xef) => video(None),
        (Some(0x03 | 0x04 | 0x0f | 0x11 | 0x81 | 0x87 | 0xc1 | 0xc2 | 0xcf), _) | (_, 0xc0..=0xdf) => (Some(Medium::Audio), None),
        _ => (None, None),
    }
}

/// By what a stream of this type would be called in ISO media.
fn codec(declared: u8) -> Option<Codec> {
    let name = match declared {
        0x01 | 0x02 => b"mp2v",
        0x1b | 0xdb => b"avc1",
        0x24 => b"hvc1",
        0x33 => b"vvc1",
        0x03 | 0x04 => b".mp3",
        0x0f | 0x11 | 0xcf => b"mp4a",
        0x81 | 0xc1 => b"ac-3",
        0x87 | 0xc2 => b"ec-3",
        0x15 => b"id3_",
        0x86 => b"scte",
        _ => return None,
    };
    Some(Codec::new(*name))
}
