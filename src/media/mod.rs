//! What a segment's bytes say of it, found while they pass: where it begins, how long it is, whether a player can begin there, and
//! what is broken.
//!
//! Invariant: total, and cheap. Any bytes are read once and to their end, in pieces of any size, and what is kept of them meanwhile is
//! bounded: a packet, or a `moof` or `moov` of at most [`iso::LONGEST`] bytes. The pieces may be cut anywhere: the facts are the same. What it takes
//! is in proportion to the bytes that pass (`tests/costs`: "programs", "fragments"), and no table or box makes it look at any of them again.

mod iso;
mod pictures;
mod ts;

use crate::model::facts::{Container, Defect, SegmentFacts};

/// Two packets and a byte: as many as tell a transport stream from what begins like one.
const FIRST: usize = 2 * ts::PACKET + 1;

/// Reads one segment, piece by piece.
#[derive(Debug, Default)]
pub struct Sniffer {
    state: Sniffed,
    length: u64,
}

#[derive(Debug)]
enum Sniffed {
    /// Too little has come to tell.
    Undecided(Vec<u8>),
    Ts(Box<ts::TsReader>),
    Iso(Box<iso::IsoReader>),
    Other,
}

impl Default for Sniffed {
    fn default() -> Self {
        Self::Undecided(Vec::new())
    }
}

impl Sniffer {
    /// Takes the next piece.
    pub fn take(&mut self, piece: &[u8]) {
        self.length += piece.len() as u64;
        match &mut self.state {
            Sniffed::Undecided(first) => {
                let (wanted, rest) = piece.split_at(piece.len().min(FIRST - first.len()));
                first.extend_from_slice(wanted);
                if let Some(mut state) = decided(first, false) {
                    feed(&mut state, first);
                    feed(&mut state, rest);
                    self.state = state;
                }
            }
            state => feed(state, piece),
        }
    }

    /// What is known, now that all of it has come.
    #[must_use]
    pub fn end(mut self) -> SegmentFacts {
        if let Sniffed::Undecided(first) = &self.state
            && let Some(mut state) = decided(first, true)
        {
            feed(&mut state, first);
            self.state = state;
        }
        let mut facts = match self.state {
            Sniffed::Ts(reader) => reader.end(),
            Sniffed::Iso(reader) => reader.end(),
            Sniffed::Undecided(_) | Sniffed::Other => SegmentFacts { container: Container::Other, ..SegmentFacts::default() },
        };
        if self.length == 0 {
            facts.defects.insert(Defect::Empty);
        }
        facts
    }
}

/// The facts of a whole body.
#[must_use]
pub fn facts(body: &[u8]) -> SegmentFacts {
    let mut sniffer = Sniffer::default();
    sniffer.take(body);
    sniffer.end()
}

fn feed(state: &mut Sniffed, piece: &[u8]) {
    match state {
        Sniffed::Ts(reader) => reader.take(piece),
        Sniffed::Iso(reader) => reader.take(piece),
        Sniffed::Undecided(_) | Sniffed::Other => {}
    }
}

/// What these first bytes are of, if they are enough to tell. Two of the first three packets' sync bytes make a transport stream: one of
/// them may be damaged, and a picture or text may begin with one.
fn decided(first: &[u8], is_all: bool) -> Option<Sniffed> {
    if iso::begins(first) {
        return Some(Sniffed::Iso(Box::default()));
    }
    let known = [0, 1, 2].map(|packet| first.get(packet * ts::PACKET).map(|byte| *byte == ts::SYNC));
    let count = |what| known.iter().filter(|sync| **sync == what).count();
    let is_one_packet = first.len() == ts::PACKET && known[0] == Some(true);
    if count(Some(true)) >= 2 || (is_all && is_one_packet) {
        return Some(Sniffed::Ts(Box::default()));
    }
    let may_be = first.len() < 8 || count(Some(false)) < 2;
    (is_all || !may_be).then_some(Sniffed::Other)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::facts::Medium;

    fn defects(facts: &SegmentFacts) -> Vec<&'static str> {
        facts.defects.iter().map(Defect::as_str).collect()
    }

    /// A packet of this PID with this counter, that a payload begins in or goes on in.
    fn packet(pid: u16, counter: u8, begins: bool, payload: &[u8]) -> Vec<u8> {
        let [high, low] = pid.to_be_bytes();
        let mut packet = vec![ts::SYNC, high | if begins { 0x40 } else { 0 }, low, 0x10 | (counter & 0xf)];
        if payload.len() < 184 {
            // Stuffing stands in the adaptation field.
            packet[3] |= 0x20;
            let stuffing = 183 - payload.len();
            packet.push(u8::try_from(stuffing).unwrap());
            packet.extend((0..stuffing).map(|at| if at == 0 { 0 } else { 0xff }));
        }
        packet.extend_from_slice(payload);
        assert_eq!(packet.len(), ts::PACKET);
        packet
    }

    fn pes(name: u8, pts: u64, data: &[u8]) -> Vec<u8> {
        let byte = |from: u32| u8::try_from((pts >> from) & 0xff).unwrap();
        let stamp = [0x21 | (byte(29) & 0x0e), byte(22), byte(14) | 1, byte(7), (byte(0) << 1) | 1];
        [&[0, 0, 1, name, 0, 0, 0x80, 0x80, 5][..], &stamp, data].concat()
    }

    const PAT: [u8; 17] = [0, 0, 0xb0, 13, 0, 1, 0xc1, 0, 0, 0, 1, 0xf0, 0, 0, 0, 0, 0];
    const PMT: [u8; 27] =
        [0, 2, 0xb0, 23, 0, 1, 0xc1, 0, 0, 0xe1, 0, 0xf0, 0, 0x1b, 0xe1, 0, 0xf0, 0, 0x0f, 0xe1, 1, 0xf0, 0, 0, 0, 0, 0];
    const KEY: &[u8] = b"\0\0\0\x01\x65\x88";
    const OTHER: &[u8] = b"\0\0\0\x01\x41\x9a";

    /// Ten pictures of a tenth of a second from this time on, in the order in which B-frames are coded, and their sound.
    fn stream(first: u64, first_unit: &[u8]) -> Vec<Vec<u8>> {
        let mut packets = vec![packet(0, 0, true, &PAT), packet(0x1000, 0, true, &PMT)];
        for (index, order) in [0_u64, 3, 1, 2, 6, 4, 5, 9, 7, 8].into_iter().enumerate() {
            let unit = if index == 0 { first_unit } else { OTHER };
            let counter = u8::try_from(index).unwrap();
            packets.push(packet(0x100, counter, true, &pes(0xe0, (first + order * 9000) & 0x1_ffff_ffff, unit)));
            let sound = (first + 100 + index as u64 * 9000) & 0x1_ffff_ffff;
            packets.push(packet(0x101, counter, true, &pes(0xc0, sound, b"sound")));
        }
        packets
    }

    fn boxed(kind: &str, content: &[u8]) -> Vec<u8> {
        [&u32::try_from(content.len() + 8).unwrap().to_be_bytes()[..], kind.as_bytes(), content].concat()
    }

    fn words(words: &[u32]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_be_bytes()).collect()
    }

    /// A fragment whose second track leaves open how long its samples last.
    fn fragment(at: u32, non_sync: bool) -> Vec<u8> {
        let flags = if non_sync { 0x0001_0000 } else { 0x0200_0000 };
        // Duration, size and offset of each; the flags of the first beside.
        let run = boxed("trun", &words(&[0x0b04, 2, flags, 512, 9, 1024, 512, 9, 0]));
        let first = boxed("traf", &[boxed("tfhd", &words(&[0x2_0000, 1])), boxed("tfdt", &words(&[0, at])), run].concat());
        let time = boxed("tfdt", &[&[1, 0, 0, 0][..], &(u64::from(at) + (1 << 33)).to_be_bytes()].concat());
        let second = boxed("traf", &[boxed("tfhd", &words(&[0, 2])), time, boxed("trun", &words(&[0, 7]))].concat());
        let moof = boxed("moof", &[boxed("mfhd", &words(&[0, 1])), first, second].concat());
        [moof, boxed("mdat", b"media")].concat()
    }

    #[test]
    fn a_transport_stream_says_where_it_begins_and_how_long_it_is() {
        let whole = stream((1 << 33) - 18_000, KEY).concat();
        let found = facts(&whole);
        assert_eq!(
            found.to_string(),
            "ts,v256=avc1/90000@8589916592+90000k,a257=mp4a/90000@8589916692+90000",
            "over the clock's turn"
        );
        assert_eq!(found.lead().unwrap().medium, Some(Medium::Video));
        assert_eq!(defects(&facts(&stream(0, OTHER).concat())), ["no-keyframe"]);
    }

    #[test]
    fn what_is_broken_in_a_transport_stream_is_told() {
        let packets = stream(900, KEY);
        let whole = packets.concat();
        assert_eq!(defects(&facts(&whole)), [""; 0]);
        assert_eq!(defects(&facts(&whole[..whole.len() - 50])), ["truncated"]);
        let without = |at: usize| [&whole[..at * 188], &whole[(at + 1) * 188..]].concat();
        assert_eq!(defects(&facts(&without(8))), ["continuity"]);
        // Said ahead of it, a jump is none.
        let mut jump = packet(0x100, 0, false, &[0; 183]);
        (jump[3], jump[4], jump[5]) = (0x20, 183, 0x80);
        let announced = [&whole[..8 * 188], &jump, &whole[9 * 188..]].concat();
        assert_eq!(defects(&facts(&announced)), [""; 0]);
        let scrambled: Vec<u8> =
            packets.iter().flat_map(|packet| [&packet[..3], &[packet[3] | 0x80], &packet[4..]].concat()).collect();
        assert_eq!(defects(&facts(&scrambled)), ["no-tables"], "what is in it is not known");
        let late = [&packets[2..], &packets[..2]].concat().concat();
        assert_eq!(facts(&late).tracks[0].codec, facts(&whole).tracks[0].codec, "the tables may stand behind");
        let twice = [&whole[..9 * 188], &whole[8 * 188..]].concat();
        assert_eq!(facts(&twice), facts(&whole), "a packet that is sent twice is none more");
        let thrice = [&whole[..9 * 188], &whole[8 * 188..9 * 188], &whole[8 * 188..]].concat();
        assert_eq!(defects(&facts(&thrice)), ["continuity"]);
        let mut changed = whole.clone();
        changed[10 * 188] = 0;
        assert_eq!(defects(&facts(&changed)), ["sync", "continuity"]);
        changed = whole.clone();
        changed[0] = 0;
        assert_eq!(facts(&changed).container, Container::Ts, "one damaged byte makes no other container");
        changed = whole.clone();
        changed[12 * 188 + 1] |= 0x80;
        assert_eq!(defects(&facts(&changed)), ["continuity", "transport-error"]);
        let declared = facts(&packets[..2].concat());
        assert_eq!((&*declared.to_string(), declared.lead()), ("ts,v256=avc1,a257=mp4a,!no-media", None));
        assert_eq!(defects(&facts(&packets[2..].concat())), ["no-tables"]);
        let inserted = [&whole[..5 * 188], b"a few bytes between", &whole[5 * 188..]].concat();
        assert_eq!(facts(&inserted).tracks, facts(&whole).tracks, "it falls into step again");
    }

    #[test]
    fn a_fragment_says_where_each_track_begins() {
        let body =
            [boxed("styp", b"msdh\0\0\0\0msdhmsix"), boxed("sidx", &[0; 40]), fragment(25_600, false), fragment(26_624, true)];
        assert_eq!(facts(&body.concat()).to_string(), "fmp4,t1@26624+2048k,t2@8589960192*14");
        assert_eq!(defects(&facts(&fragment(0, true))), ["no-keyframe"]);
        let whole = fragment(0, false);
        assert_eq!(defects(&facts(&whole[..whole.len() - 1])), ["truncated"]);
        assert_eq!(defects(&facts(&whole[..whole.len() - 13])), ["truncated"], "without its media");
        assert_eq!(defects(&facts(&[boxed("styp", b"slat\0\0\0\0"), whole.clone()].concat())), ["filler"]);
        assert_eq!(defects(&facts(&[&whole[..], b"\0\0\0\x03mdat"].concat())), ["sync"]);
        assert_eq!(defects(&facts(&boxed("styp", b"msdh\0\0\0\0"))), ["no-media"]);
        let endless = [&whole[..whole.len() - 13], b"\0\0\0\0mdatmedia"].concat();
        assert_eq!(defects(&facts(&endless)), [""; 0], "a box to the end");
        let wide = [&whole[..whole.len() - 13], b"\0\0\0\x01mdat\0\0\0\0\0\0\0\x15media"].concat();
        assert_eq!(facts(&wide), facts(&whole), "a length of 64 bits");
    }

    #[test]
    fn an_initialization_segment_declares_its_tracks() {
        let header = |kind: &str, scale: u32| boxed(kind, &words(&[0, 0, 0, scale, 0]));
        let track = |id: u32, scale: u32, handler: &[u8; 4], edits: &[u32]| {
            let hdlr = boxed("hdlr", &[&[0; 8][..], handler, &[0; 12]].concat());
            let described = boxed("stsd", &[&words(&[0, 1])[..], &boxed("avc1", b"as it is")].concat());
            let minf = boxed("minf", &boxed("stbl", &described));
            let mdia = boxed("mdia", &[header("mdhd", scale), hdlr, minf].concat());
            boxed("trak", &[header("tkhd", id), boxed("edts", &boxed("elst", &words(edits))), mdia].concat())
        };
        let empty = u32::MAX;
        let tracks = [
            track(1, 12_800, b"vide", &[0, 2, 500, empty, 0x1_0000, 0, 1024, 0x1_0000]),
            track(2, 48_000, b"soun", &[0, 1, 0, 0, 0x1_0000]),
        ];
        let extends = boxed("mvex", &boxed("trex", &words(&[0, 1, 1, 512, 0, 0])));
        let moov = boxed("moov", &[header("mvhd", 1000), tracks.concat(), extends].concat());
        let found = facts(&[boxed("ftyp", b"iso6"), moov].concat());
        assert_eq!(found.to_string(), "fmp4,v1=avc1/12800s512e5376,a2=avc1/48000");
    }

    #[test]
    fn what_is_neither_is_left_alone() {
        for body in [&b"WEBVTT\n"[..], b"ID3\x04\0\0\0\0\0\x3f", b"GIF89a", &[0x47; 7], &[0x5a; 1600], b"\0\0\0\0free", b"x"] {
            let found = facts(body);
            assert_eq!((found.container, defects(&found)), (Container::Other, vec![]), "{body:?}");
        }
        assert_eq!(defects(&facts(b"")), ["empty"]);
    }

    fn some_body() -> impl Strategy<Value = Vec<u8>> {
        let boxes = || [boxed("styp", b"msdh\0\0\0\0"), fragment(7, false), fragment(8, true)].concat();
        prop_oneof![Just(stream(77, KEY).concat()), Just(boxes()), prop::collection::vec(any::<u8>(), 0..900)]
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter_and_damage_does_no_harm(
            mut body in some_body(),
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
            lost in prop::option::of((any::<prop::sample::Index>(), 1..300_usize)),
            cuts in prop::collection::vec(1..400_usize, 1..12),
        ) {
            for (at, value) in damage {
                if !body.is_empty() {
                    let at = at.index(body.len());
                    body[at] = value;
                }
            }
            if let Some((at, length)) = lost && !body.is_empty() {
                let at = at.index(body.len());
                body.drain(at..(at + length).min(body.len()));
            }
            let mut sniffer = Sniffer::default();
            let mut rest = &body[..];
            for cut in cuts.iter().cycle() {
                let (piece, behind) = rest.split_at((*cut).min(rest.len()));
                sniffer.take(piece);
                rest = behind;
                if rest.is_empty() {
                    break;
                }
            }
            let found = sniffer.end();
            prop_assert_eq!(&found, &facts(&body));
            prop_assert_eq!(SegmentFacts::parse(&found.to_string()), Some(found));
        }
    }
}
