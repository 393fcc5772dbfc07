//! Whether two versions of an initialization segment declare the same tracks.
//!
//! A packager may write its initialization segment again when it knows how long everything was (Shaka Packager adds a `mehd`): what
//! players and caches hold of the first version then decodes all the same. Another codec, time scale or edit does not.

use super::boxes::boxes;

/// How deep the boxes that are looked into lie: `moov/trak/mdia/minf/stbl` and one for `mvex`'s kind of siblings.
const DEEPEST: usize = 6;

/// Whether both declare the same tracks, decoded in the same way and on the same timeline: all boxes of their `moov` are equal but
/// those that say how long something lasts, when it was made, or nothing (ISO/IEC 14496-12 8.2.2, 8.3.2, 8.4.2, 8.6.6, 8.8.2), and a
/// default that the first one left open (8.8.3). Reads each byte at most [`DEEPEST`] times. What is no ISO BMFF declares nothing, and
/// so never the same.
#[must_use]
pub fn declares_the_same(before: &[u8], now: &[u8]) -> bool {
    let (Some(before), Some(mut now)) = (declared(before), declared(now)) else { return false };
    for ((_, before), (_, now)) in before.iter().zip(&mut now).filter(|((kind, _), _)| kind == b"trex") {
        // How long a sample lasts whose fragment does not say so: fragments of a movie that left it open say so themselves.
        if let (Some([0, 0, 0, 0]), Some(duration)) = (before.get(12..16), now.get_mut(12..16)) {
            duration.fill(0);
        }
    }
    before == now
}

/// The boxes that count, by their type and what they hold, in order.
fn declared(body: &[u8]) -> Option<Vec<([u8; 4], Vec<u8>)>> {
    let mut found = Vec::new();
    for (kind, content) in boxes(body) {
        if &kind == b"moov" {
            gather(content, 1, &mut found);
        }
    }
    (!found.is_empty()).then_some(found)
}

fn gather(content: &[u8], depth: usize, found: &mut Vec<([u8; 4], Vec<u8>)>) {
    for (kind, content) in boxes(content) {
        let wide = content.first() == Some(&1);
        let kept = match &kind {
            b"trak" | b"mdia" | b"minf" | b"stbl" | b"mvex" | b"edts" if depth < DEEPEST => {
                // Its beginning counts: a track more or less, or a box in another one's place.
                found.push((kind, Vec::new()));
                gather(content, depth + 1, found);
                continue;
            }
            // Lengths in all, names of programs, padding.
            b"mehd" | b"udta" | b"meta" | b"free" | b"skip" => continue,
            // Behind the two dates: a time scale (in a track's header its number), then a duration.
            b"mvhd" | b"mdhd" | b"tkhd" => content.get(if wide { 20..24 } else { 12..16 }).unwrap_or(content).to_vec(),
            b"elst" => edits(content, wide),
            _ => content.to_vec(),
        };
        found.push((kind, kept));
    }
}

/// The edits without how long media lasts; how long nothing does shifts the timeline.
fn edits(content: &[u8], wide: bool) -> Vec<u8> {
    let (header, entries) = content.split_at(content.len().min(8));
    let half = if wide { 8 } else { 4 };
    let mut kept = header.to_vec();
    for entry in entries.chunks(2 * half + 4) {
        let (duration, rest) = entry.split_at(entry.len().min(half));
        let is_empty = rest.len() >= half && rest[..half].iter().all(|byte| *byte == 0xff);
        if is_empty {
            kept.extend_from_slice(duration);
        }
        kept.extend_from_slice(rest);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boxed(kind: &str, content: &[u8]) -> Vec<u8> {
        let size = u32::try_from(content.len() + 8).unwrap();
        [&size.to_be_bytes()[..], kind.as_bytes(), content].concat()
    }

    /// A header of version 0: two dates, then these two numbers.
    fn header(kind: &str, scale: u32, duration: u32) -> Vec<u8> {
        boxed(kind, &[&[0; 12][..], &scale.to_be_bytes(), &duration.to_be_bytes()].concat())
    }

    struct Movie {
        duration: u32,
        scale: u32,
        codec: &'static str,
        /// How long nothing is shown first, and from where media is.
        edit: (u32, u32),
        mehd: bool,
        /// The default duration of a sample.
        sample: u8,
    }

    const PLAIN: Movie = Movie { duration: 0, scale: 90_000, codec: "avc1", edit: (10, 0), mehd: false, sample: 0 };

    fn movie(movie: &Movie) -> Vec<u8> {
        let stbl = boxed("stbl", &boxed("stsd", &boxed(movie.codec, b"how it is coded")));
        let media = [header("mdhd", movie.scale, movie.duration), boxed("minf", &stbl)].concat();
        let empty = [&movie.edit.0.to_be_bytes()[..], &[0xff; 4], &[0, 1, 0, 0]].concat();
        let shown = [&movie.duration.to_be_bytes()[..], &movie.edit.1.to_be_bytes(), &[0, 1, 0, 0]].concat();
        let edits = boxed("edts", &boxed("elst", &[&[0, 0, 0, 0, 0, 0, 0, 2][..], &empty, &shown].concat()));
        let track = boxed("trak", &[header("tkhd", 1, movie.duration), edits, boxed("mdia", &media)].concat());
        let all = if movie.mehd { boxed("mehd", &[0; 8]) } else { Vec::new() };
        let extends =
            boxed("mvex", &[all, boxed("trex", &[[0; 12], [0, 0, 0, movie.sample, 0, 0, 0, 0, 0, 0, 0, 0]].concat())].concat());
        [boxed("ftyp", b"mp42"), boxed("moov", &[header("mvhd", 1000, movie.duration), track, extends].concat())].concat()
    }

    #[test]
    fn lengths_do_not_count_and_tracks_do() {
        let plain = movie(&PLAIN);
        let ended = movie(&Movie { duration: 7, mehd: true, sample: 40, ..PLAIN });
        assert!(declares_the_same(&plain, &ended), "as a packager ends");
        assert!(!declares_the_same(&ended, &plain), "a fragment may rely on a default that is taken away");
        for (what, other) in [
            ("codec", Movie { codec: "hvc1", ..PLAIN }),
            ("time scale", Movie { scale: 48_000, ..PLAIN }),
            ("an empty edit", Movie { edit: (11, 0), ..PLAIN }),
            ("where media begins", Movie { edit: (10, 1), ..PLAIN }),
        ] {
            assert!(!declares_the_same(&plain, &movie(&other)), "{what}");
        }
        assert!(!declares_the_same(&plain, &plain[..plain.len() - 1]), "a moov that is cut short declares nothing");
        assert!(!declares_the_same(b"", b"") && !declares_the_same(b"G", b"G"), "nor does what is no ISO BMFF");
    }

    #[test]
    fn any_bytes_are_read_to_their_end() {
        let plain = movie(&Movie { mehd: true, ..PLAIN });
        for index in 0..plain.len() {
            for value in [0, 1, 8, 0xff] {
                let mut bytes = plain.clone();
                bytes[index] = value;
                let _ = declares_the_same(&bytes, &plain);
            }
            let _ = declares_the_same(&plain[..index], &plain[index..]);
        }
    }
}
