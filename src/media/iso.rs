//! Fragmented MP4 (ISO/IEC 14496-12), box by box: fragments' headers and initialization segments are read, media is passed over.

use crate::model::boxes::{boxes, long, number};
use crate::model::facts::{Codec, Container, Defect, Defects, MOST_TRACKS, Medium, SegmentFacts, Track};

/// The longest `moof` or `moov` that is read: those of two seconds take a few kilobytes.
pub(super) const LONGEST: usize = 64 << 10;
/// The longest `styp`.
const LONGEST_TYPE: usize = 256;
/// A sample that is not one to begin with (8.8.3.1, `sample_is_non_sync_sample`).
const NON_SYNC: u32 = 0x0001_0000;

/// Reads a segment.
#[derive(Debug, Default)]
pub(super) struct IsoReader {
    state: Frame,
    tracks: Vec<Track>,
    /// Whether there were a fragment's header, media, and a movie's header.
    has_fragment: bool,
    has_media: bool,
    is_initialization: bool,
    defects: Defects,
}

#[derive(Debug)]
enum Frame {
    /// In a box's header, of which these bytes have come.
    Header([u8; 16], usize),
    /// In a box that is passed over, with this much of it still to come.
    Passing(u64),
    /// In one that is read, whose content is this long.
    Gathering([u8; 4], Vec<u8>, usize),
    /// In one that goes on to the end.
    Last,
    /// Where no box is.
    Lost,
}

impl Default for Frame {
    fn default() -> Self {
        Self::Header([0; 16], 0)
    }
}

/// Whether these are the first bytes of such a segment: a box that stands first in one.
pub(super) fn begins(first: &[u8]) -> bool {
    let kind = first.get(4..8).unwrap_or_default();
    matches!(kind, b"styp" | b"ftyp" | b"moof" | b"moov" | b"sidx" | b"emsg" | b"prft" | b"free" | b"skip")
        && (first[..4] == [0, 0, 0, 1] || number(first, 0).is_some_and(|size| size >= 8))
}

impl IsoReader {
    pub(super) fn take(&mut self, mut piece: &[u8]) {
        while !piece.is_empty() {
            match &mut self.state {
                Frame::Header(header, came) => {
                    let wanted = if *came >= 8 && header[..4] == [0, 0, 0, 1] { 16 } else { 8 };
                    let (taken, rest) = piece.split_at(piece.len().min(wanted - *came));
                    header[*came..*came + taken.len()].copy_from_slice(taken);
                    *came += taken.len();
                    piece = rest;
                    let (header, came) = (*header, *came);
                    if came == 16 || (came == 8 && header[..4] != [0, 0, 0, 1]) {
                        self.enter(&header, came);
                    }
                }
                Frame::Passing(left) => {
                    let taken = piece.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                    *left -= taken as u64;
                    piece = &piece[taken..];
                    if *left == 0 {
                        self.state = Frame::default();
                    }
                }
                Frame::Gathering(kind, content, length) => {
                    let (taken, rest) = piece.split_at(piece.len().min(*length - content.len()));
                    content.extend_from_slice(taken);
                    piece = rest;
                    if content.len() == *length {
                        let (kind, content) = (*kind, std::mem::take(content));
                        self.state = Frame::default();
                        self.read(kind, &content);
                    }
                }
                Frame::Last | Frame::Lost => return,
            }
        }
    }

    /// Enters the box of this header.
    fn enter(&mut self, header: &[u8; 16], came: usize) {
        let kind = [header[4], header[5], header[6], header[7]];
        let size = match (came, number(header, 0)) {
            (16, _) => long(header, 8).unwrap_or(0),
            (_, size) => u64::from(size.unwrap_or(0)),
        };
        let length = size.checked_sub(came as u64);
        let is_named = kind.iter().all(|byte| (0x20..0x7f).contains(byte) || *byte == 0xa9);
        self.has_media |= kind == *b"mdat";
        self.state = match (length, &kind) {
            (None, _) if size == 0 && is_named => Frame::Last,
            (None, _) => Frame::Lost,
            (Some(_), _) if !is_named => Frame::Lost,
            (Some(0), _) => Frame::default(),
            (Some(length), b"moof" | b"moov") if length <= LONGEST as u64 => gathering(kind, length),
            (Some(length), b"styp") if length <= LONGEST_TYPE as u64 => gathering(kind, length),
            (Some(length), _) => Frame::Passing(length),
        };
        self.has_fragment |= kind == *b"moof";
        self.is_initialization |= kind == *b"moov";
        if matches!(self.state, Frame::Lost) {
            self.defects.insert(Defect::Sync);
        }
    }

    fn read(&mut self, kind: [u8; 4], content: &[u8]) {
        match &kind {
            b"moof" => {
                for (_, fragment) in boxes(content).filter(|(kind, _)| kind == b"traf") {
                    if let Some(found) = fragment_of_track(fragment) {
                        self.add(found);
                    }
                }
            }
            b"moov" => self.tracks = declared(content),
            // Its major brand, a version, and those it is compatible with.
            b"styp" if content.chunks_exact(4).enumerate().any(|(at, brand)| at != 1 && brand == b"slat") => {
                self.defects.insert(Defect::Filler);
            }
            _ => {}
        }
    }

    /// Another fragment of a track goes on where the first began.
    fn add(&mut self, found: Track) {
        let has_room = self.tracks.len() < MOST_TRACKS;
        match self.tracks.iter_mut().find(|track| track.id == found.id) {
            Some(track) if track.first.is_some() => {
                track.duration = track.duration.saturating_add(found.duration);
                track.undated = track.undated.saturating_add(found.undated);
            }
            Some(track) => {
                let Track { first, duration, undated, starts_with_keyframe, .. } = found;
                *track = Track { first, duration, undated, starts_with_keyframe, ..*track };
            }
            None if has_room => self.tracks.push(found),
            None => {}
        }
    }

    pub(super) fn end(mut self) -> SegmentFacts {
        let is_whole = match self.state {
            Frame::Header(_, came) => came == 0,
            Frame::Passing(_) | Frame::Gathering(..) => false,
            Frame::Last | Frame::Lost => true,
        };
        if !is_whole || (self.has_fragment && !self.has_media) {
            self.defects.insert(Defect::Truncated);
        }
        if !self.has_fragment && !self.is_initialization {
            self.defects.insert(Defect::NoMedia);
        }
        if self.tracks.iter().any(|track| track.starts_with_keyframe == Some(false)) {
            self.defects.insert(Defect::NoKeyframe);
        }
        SegmentFacts { container: Container::Fmp4, tracks: self.tracks, defects: self.defects }
    }
}

fn gathering(kind: [u8; 4], length: u64) -> Frame {
    // What has not come is not held for.
    Frame::Gathering(kind, Vec::new(), usize::try_from(length).unwrap_or(usize::MAX))
}

/// What a track fragment says (8.8.6): where it begins, how long its samples last, and whether the first is one to begin with.
fn fragment_of_track(content: &[u8]) -> Option<Track> {
    let (_, header) = boxes(content).find(|(kind, _)| kind == b"tfhd")?;
    let flags = number(header, 0)?;
    let mut track = Track { id: number(header, 4)?, ..Track::default() };
    // What is there of the header stands in this order (8.8.7.1).
    let mut at = 8;
    let mut optional = |flag: u32, length: usize| {
        let here = at;
        (flags & flag != 0).then(|| at += length).and_then(|()| number(header, here))
    };
    let _ = (optional(0x1, 8), optional(0x2, 4));
    let each = optional(0x8, 4);
    let _ = optional(0x10, 4);
    let all_flags = optional(0x20, 4);

    let decoded = boxes(content)
        .find(|(kind, _)| kind == b"tfdt")
        .and_then(|(_, time)| if time.first() == Some(&1) { long(time, 4) } else { number(time, 4).map(u64::from) });
    let mut first = None;
    for (_, run) in boxes(content).filter(|(kind, _)| kind == b"trun") {
        let Some(run) = Run::of(run, each) else { continue };
        if first.is_none() {
            first = Some(run.offset);
            track.starts_with_keyframe = run.first_flags.or(all_flags).map(|flags| flags & NON_SYNC == 0);
        }
        track.duration = track.duration.saturating_add(run.duration);
        track.undated = track.undated.saturating_add(run.undated);
    }
    track.first = decoded.zip(first).map(|(decoded, offset)| decoded.saturating_add_signed(offset));
    first.is_some().then_some(track)
}

/// What a run of samples says (8.8.8).
struct Run {
    /// The composition offset of its first sample.
    offset: i64,
    duration: u64,
    undated: u32,
    first_flags: Option<u32>,
}

impl Run {
    fn of(content: &[u8], each: Option<u32>) -> Option<Self> {
        let (flags, count) = (number(content, 0)?, number(content, 4)?);
        let mut at = 8 + if flags & 0x1 != 0 { 4 } else { 0 };
        let first_flags = if flags & 0x4 != 0 { number(content, at) } else { None };
        at += if flags & 0x4 != 0 { 4 } else { 0 };
        let place = |flag: u32| (flags & flag != 0).then(|| 4 * (flags & 0xf00 & (flag - 1)).count_ones() as usize);
        let entry = 4 * (flags & 0xf00).count_ones() as usize;
        let samples = content.get(at..)?;
        if count == 0 || (entry > 0 && samples.len() < entry) {
            return None;
        }
        // More may be said to be there than there is.
        let there = samples.len().checked_div(entry).map_or(u32::MAX, |there| u32::try_from(there).unwrap_or(u32::MAX));
        let count = count.min(there);
        let offset = place(0x800)
            .and_then(|at| number(samples, at))
            .map_or(0, |offset| if content[0] == 0 { i64::from(offset) } else { i64::from(offset.cast_signed()) });
        let (duration, undated) = match (place(0x100), each) {
            (Some(at), _) => {
                let entries = samples.chunks_exact(entry).take(count as usize);
                (entries.filter_map(|entry| number(entry, at)).map(u64::from).sum(), 0)
            }
            (None, Some(each)) => (u64::from(each) * u64::from(count), 0),
            (None, None) => (0, count),
        };
        let first_flags = first_flags.or_else(|| place(0x400).and_then(|at| number(samples, at)));
        Some(Self { offset, duration, undated, first_flags })
    }
}

/// The tracks that an initialization segment declares.
fn declared(moov: &[u8]) -> Vec<Track> {
    let inner = |content, kind: &[u8; 4]| boxes(content).find(|(found, _)| found == kind).map(|(_, content)| content);
    let scale = |header: &[u8]| number(header, if header.first() == Some(&1) { 20 } else { 12 });
    let movie_scale = inner(moov, b"mvhd").and_then(scale);
    let extends: Vec<_> = inner(moov, b"mvex").into_iter().flat_map(boxes).filter(|(kind, _)| kind == b"trex").collect();
    let tracks = boxes(moov).filter(|(kind, _)| kind == b"trak").filter_map(|(_, track)| {
        let header = inner(track, b"tkhd")?;
        let id = number(header, if header.first() == Some(&1) { 20 } else { 12 })?;
        let media = inner(track, b"mdia")?;
        let scale = inner(media, b"mdhd").and_then(scale);
        let medium = match inner(media, b"hdlr").and_then(|handler| handler.get(8..12)) {
            Some(b"vide") => Some(Medium::Video),
            Some(b"soun") => Some(Medium::Audio),
            _ => None,
        };
        let described = [b"minf", b"stbl", b"stsd"].into_iter().try_fold(media, inner);
        // Behind a version, flags and a count, each with its length: the first one's name (8.5.2.2).
        let codec = described.and_then(|list| list.get(12..16)?.first_chunk()).map(|name| Codec::new(*name));
        let sample = extends.iter().find(|(_, trex)| number(trex, 4) == Some(id)).and_then(|(_, trex)| number(trex, 12));
        let edits = inner(track, b"edts").and_then(|edits| inner(edits, b"elst"));
        let edit = edits.zip(scale.zip(movie_scale)).map_or(0, |(list, (scale, movie))| edit(list, scale, movie));
        Some(Track { id, medium, codec, scale, sample: sample.unwrap_or(0), edit, ..Track::default() })
    });
    tracks.take(MOST_TRACKS).collect()
}

/// What an edit list adds to each time, in ticks of the track: empty edits in front, less where media is taken from (8.6.6).
fn edit(list: &[u8], scale: u32, movie: u32) -> i64 {
    let is_wide = list.first() == Some(&1);
    let half = if is_wide { 8 } else { 4 };
    let value = |entry: &[u8], at: usize| if is_wide { long(entry, at) } else { number(entry, at).map(u64::from) };
    let mut empty = 0_u64;
    for entry in list.get(8..).unwrap_or_default().chunks_exact(2 * half + 4) {
        let from = value(entry, half).unwrap_or(0);
        if from != if is_wide { u64::MAX } else { u64::from(u32::MAX) } {
            let empty = u128::from(empty) * u128::from(scale) / u128::from(movie.max(1));
            return i64::try_from(empty).unwrap_or(i64::MAX).saturating_sub_unsigned(from);
        }
        empty = empty.saturating_add(value(entry, 0).unwrap_or(0));
    }
    0
}
