//! The bytes of a token, and of the claims in it: one item of CBOR (RFC 8949) that every reader reads alike, and that costs little to
//! read. They are read where they lie: nothing is copied that is not kept.
//!
//! Lengths are definite, whole numbers and tags as short as they can be, no map has a key twice, nothing is nested deeper than
//! [`DEPTH`], and nothing stands behind the end. A token that breaks one of these has been made to mean one thing here and another at
//! the edge, or to be dear.

/// How deep arrays, maps and tags may lie in each other.
const DEPTH: usize = 6;
/// How many pairs a map has at most: each key is compared with those before it.
const PAIRS: usize = 64;

/// Whether these bytes are one item of that form.
pub(super) fn is_sound(bytes: &[u8]) -> bool {
    Items::sound(bytes).is_some()
}

/// What an item is; of what holds others, how many follow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Item<'a> {
    /// A whole number from 0 on.
    Number(u64),
    /// One below: -1 less this.
    Below(u64),
    Bytes(&'a [u8]),
    Text(&'a str),
    Array(u64),
    Map(u64),
    Tag(u64),
    /// A float, or a value of no number and no length.
    Other,
}

/// Items, to be taken one after the other.
#[derive(Clone, Copy, Debug)]
pub(super) struct Items<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Items<'a> {
    /// The one item that these bytes are, if they have that form.
    pub(super) fn sound(bytes: &'a [u8]) -> Option<Self> {
        let mut reader = Self { bytes, at: 0 };
        reader.item(DEPTH)?;
        (reader.at == bytes.len()).then_some(Self { bytes, at: 0 })
    }

    /// The next one; what is in it comes after it.
    pub(super) fn next(&mut self) -> Option<Item<'a>> {
        let (major, inside, number) = self.head()?;
        let is_short = match inside {
            24 => number >= 24,
            25 => number > 0xff,
            26 => number > 0xffff,
            27 => number > 0xffff_ffff,
            _ => true,
        };
        match major {
            0 if is_short => Some(Item::Number(number)),
            1 if is_short => Some(Item::Below(number)),
            2 => self.take(usize::try_from(number).ok()?).map(Item::Bytes),
            3 => std::str::from_utf8(self.take(usize::try_from(number).ok()?)?).ok().map(Item::Text),
            4 => Some(Item::Array(number)),
            5 => Some(Item::Map(number)),
            6 if is_short => Some(Item::Tag(number)),
            // false, true, null, undefined; and floats, which some write for numbers.
            7 if matches!(inside, 20..=23 | 25..=27) => Some(Item::Other),
            _ => None,
        }
    }

    /// The next one with all that is in it, to be taken on its own.
    pub(super) fn whole(&mut self) -> Option<Self> {
        let begin = self.at;
        self.item(DEPTH)?;
        Some(Self { bytes: self.bytes.get(begin..self.at)?, at: 0 })
    }

    /// Whether nothing is left.
    pub(super) fn is_over(&self) -> bool {
        self.at == self.bytes.len()
    }

    pub(super) fn number(&mut self) -> Option<u64> {
        if let Item::Number(number) = self.next()? { Some(number) } else { None }
    }

    pub(super) fn data(&mut self) -> Option<&'a [u8]> {
        if let Item::Bytes(bytes) = self.next()? { Some(bytes) } else { None }
    }

    pub(super) fn text(&mut self) -> Option<&'a str> {
        if let Item::Text(text) = self.next()? { Some(text) } else { None }
    }

    pub(super) fn pairs(&mut self) -> Option<u64> {
        if let Item::Map(pairs) = self.next()? { Some(pairs) } else { None }
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let taken = self.bytes.get(self.at..self.at.checked_add(count)?)?;
        self.at += count;
        Some(taken)
    }

    /// What an item begins with: its major type, what stands beside that in its first byte, and the number it makes.
    fn head(&mut self) -> Option<(u8, u8, u64)> {
        let first = *self.bytes.get(self.at)?;
        self.at += 1;
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
        match self.next()? {
            // Each takes a byte at least: what says more ends where the bytes do.
            Item::Array(number) => {
                let depth = depth.checked_sub(1)?;
                (0..number).try_for_each(|_| self.item(depth))
            }
            Item::Map(pairs) => self.map(usize::try_from(pairs).ok()?, depth.checked_sub(1)?),
            Item::Tag(_) => self.item(depth.checked_sub(1)?),
            Item::Number(_) | Item::Below(_) | Item::Bytes(_) | Item::Text(_) | Item::Other => Some(()),
        }
    }

    fn map(&mut self, pairs: usize, depth: usize) -> Option<()> {
        let (mut keys, bytes) = ([(0, 0); PAIRS], self.bytes);
        for known in 0..pairs {
            let begin = self.at;
            self.item(depth)?;
            let key = bytes.get(begin..self.at)?;
            if keys.get(..known)?.iter().any(|(begin, end)| bytes.get(*begin..*end) == Some(key)) {
                return None;
            }
            *keys.get_mut(known)? = (begin, self.at);
            self.item(depth)?;
        }
        Some(())
    }
}

/// Writes bytes (major type 2) or a text (3), its length as short as it can be.
pub(super) fn put(out: &mut Vec<u8>, major: u8, content: &[u8]) {
    let length = content.len();
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short @ 0..24), _) => out.push(major << 5 | short),
        (Ok(byte), _) => out.extend([major << 5 | 24, byte]),
        (_, Ok(two)) => {
            out.push(major << 5 | 25);
            out.extend(two.to_be_bytes());
        }
        _ => {
            out.push(major << 5 | 27);
            out.extend((length as u64).to_be_bytes());
        }
    }
    out.extend(content);
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
