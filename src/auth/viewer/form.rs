//! The form of a token's bytes, looked at before anything else is made of them: one item of CBOR (RFC 8949) that every reader reads
//! alike, and that costs little to read.
//!
//! Lengths are definite, whole numbers and tags as short as they can be, no map has a key twice, nothing is nested deeper than
//! [`DEPTH`], and nothing stands behind the end. A token that breaks one of these has been made to mean one thing here and another at
//! the edge, or to be dear.

/// How deep arrays, maps and tags may lie in each other.
const DEPTH: usize = 6;
/// How many pairs a map has at most: each key is compared with those before it.
const PAIRS: u64 = 64;

/// Whether these bytes are one item of that form.
pub(super) fn is_sound(bytes: &[u8]) -> bool {
    let mut reader = Items { bytes, at: 0 };
    reader.item(DEPTH).is_some() && reader.at == bytes.len()
}

struct Items<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Items<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let taken = self.bytes.get(self.at..self.at.checked_add(count)?)?;
        self.at += count;
        Some(taken)
    }

    /// What an item begins with: its major type, what stands beside that in its first byte, and the number it makes.
    fn head(&mut self) -> Option<(u8, u8, u64)> {
        let first = *self.take(1)?.first()?;
        let (major, inside) = (first >> 5, first & 31);
        let width = match inside {
            0..24 => return Some((major, inside, u64::from(inside))),
            24..28 => 1 << (inside - 24),
            // Reserved, or of a length that is not said.
            _ => return None,
        };
        let number = self.take(width)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
        Some((major, inside, number))
    }

    fn item(&mut self, depth: usize) -> Option<()> {
        let (major, inside, number) = self.head()?;
        let is_short = match inside {
            24 => number >= 24,
            25 => number > 0xff,
            26 => number > 0xffff,
            27 => number > 0xffff_ffff,
            _ => true,
        };
        match major {
            0 | 1 => is_short.then_some(()),
            2 => self.take(usize::try_from(number).ok()?).map(drop),
            3 => std::str::from_utf8(self.take(usize::try_from(number).ok()?)?).ok().map(drop),
            4 => {
                let depth = depth.checked_sub(1)?;
                // Each takes a byte at least: what says more ends where the bytes do.
                (0..number).try_for_each(|_| self.item(depth))
            }
            5 => self.map(number, depth.checked_sub(1)?),
            6 if is_short => self.item(depth.checked_sub(1)?),
            // false, true, null, undefined; and floats, which some write for numbers.
            7 if matches!(inside, 20..=23 | 25..=27) => Some(()),
            _ => None,
        }
    }

    fn map(&mut self, pairs: u64, depth: usize) -> Option<()> {
        if pairs > PAIRS {
            return None;
        }
        let (mut keys, bytes) = (Vec::with_capacity(8), self.bytes);
        for _ in 0..pairs {
            let begin = self.at;
            self.item(depth)?;
            let key = &bytes[begin..self.at];
            if keys.contains(&key) {
                return None;
            }
            keys.push(key);
            self.item(depth)?;
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, proptest};

    #[test]
    fn what_every_reader_reads_alike_is_sound() {
        for bytes in [
            &b"\x00"[..],
            b"\x18\x18",
            b"\x1a\x71\x3f\xb3\x00",
            b"\x42ab",
            b"\x62\xc3\xbc",
            b"\x82\x01\x20",
            b"\xa2\x01\x02\x03\x04",
            b"\xd1\x80",
            b"\xd8\x3d\xd1\x80",
            b"\xf6",
            b"\xfb\x41\xdc\x4f\xec\xc0\x00\x00\x00",
            b"\x81\x81\x81\x81\x81\x81\x00",
            b"\x58\x01a",
        ] {
            assert!(is_sound(bytes), "{bytes:02x?}");
        }
        for bytes in [
            &b""[..],
            b"\x00\x00",
            b"\x18\x17",
            b"\x19\x00\xff",
            b"\x1b\x00\x00\x00\x00\x71\x3f\xb3\x00",
            b"\x42a",
            b"\x5f\x41a\xff",
            b"\x9f\xff",
            b"\xbf\xff",
            b"\x61\xff",
            b"\xa2\x01\x02\x01\x03",
            b"\xa1\x01",
            b"\xd8\x11\x80",
            b"\xf8\xff",
            b"\xff",
            b"\x1c",
            b"\x81\x81\x81\x81\x81\x81\x81\x00",
            b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff",
            b"\xbb\xff\xff\xff\xff\xff\xff\xff\xff",
            b"\x5b\xff\xff\xff\xff\xff\xff\xff\xff",
        ] {
            assert!(!is_sound(bytes), "{bytes:02x?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in any::<Vec<u8>>()) {
            let _ = is_sound(&bytes);
        }
    }
}
