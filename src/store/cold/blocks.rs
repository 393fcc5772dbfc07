//! Hashes of a body's parts, so that a part that is read without the rest can be held against what was written.
//!
//! How long the parts are follows from the body's length alone: whoever wants a range reads the parts it touches, each whole.

use std::ops::Range;

use crate::store::hash;

/// A shorter body has none: it is read whole.
pub(in crate::store) const SHORTEST: u64 = 256 << 10;
/// A part is no shorter than this,
const LEAST: u64 = 64 << 10;
/// and a body has no more parts than this, so that their hashes find room beside an object in a bucket.
const MOST: u64 = 32;

/// The hashes; empty for a short body, and for one written before there were any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Blocks(Box<[u64]>);

fn size(length: u64) -> u64 {
    length.div_ceil(MOST).next_power_of_two().max(LEAST)
}

/// The parts of a body of this length that these bytes touch.
pub(in crate::store) fn align(range: &Range<u64>, length: u64) -> Range<u64> {
    let size = size(length);
    range.start / size * size..(range.end.div_ceil(size) * size).min(length)
}

impl Blocks {
    pub(in crate::store) fn of(body: &[u8]) -> Self {
        let length = body.len() as u64;
        if length < SHORTEST {
            return Self::default();
        }
        let size = usize::try_from(size(length)).unwrap_or(usize::MAX);
        Self(body.chunks(size).map(hash::of_part).collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this is what was written from `start` on; `None` where that can't be told.
    pub(in crate::store) fn check(&self, length: u64, start: u64, part: &[u8]) -> Option<bool> {
        let size = size(length);
        let ends_whole = (start + part.len() as u64).is_multiple_of(size) || start + part.len() as u64 == length;
        if self.0.len() as u64 != length.div_ceil(size) || !start.is_multiple_of(size) || !ends_whole {
            return None;
        }
        let known = self.0.iter().skip(usize::try_from(start / size).unwrap_or(usize::MAX));
        let found = part.chunks(usize::try_from(size).unwrap_or(usize::MAX)).map(hash::of_part);
        Some(found.zip(known).all(|(found, known)| found == *known))
    }

    /// As bytes.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|hash| hash.to_be_bytes()).collect()
    }

    /// Reads what [`Self::to_bytes`] made. What can't be read is as if it were not there.
    pub(super) fn from_bytes(bytes: &[u8]) -> Self {
        let (hashes, rest) = bytes.as_chunks::<8>();
        if rest.is_empty() { Self(hashes.iter().map(|hash| u64::from_be_bytes(*hash)).collect()) } else { Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{ProptestConfig, any, proptest};

    proptest! {
        // Each makes a body of up to three million bytes, one by one.
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_part_is_told_from_any_other(
            length in 262_144usize..3_000_000, at in any::<u64>(), long in 1u64..900_000, wrong in any::<u32>(),
        ) {
            let body: Vec<u8> = (0..length).map(|n| u8::try_from((n * 31 + n / 1000) % 251).unwrap()).collect();
            let blocks = Blocks::of(&body);
            assert!(!blocks.is_empty() && blocks.0.len() <= 32);
            assert_eq!(Blocks::from_bytes(&blocks.to_bytes()), blocks);
            let length = length as u64;
            let start = at % length;
            let wide = align(&(start..(start + long).min(length)), length);
            assert!(wide.start <= start && wide.end >= (start + long).min(length) && wide.end <= length);
            let range = usize::try_from(wide.start).unwrap()..usize::try_from(wide.end).unwrap();
            let mut part = body[range].to_vec();
            assert_eq!(blocks.check(length, wide.start, &part), Some(true));
            let wrong = wrong as usize % part.len();
            part[wrong] ^= 1;
            assert_eq!(blocks.check(length, wide.start, &part), Some(false));
            assert_eq!(blocks.check(length, wide.start, &part[1..]), None, "not a whole one");
            assert_eq!(Blocks::default().check(length, wide.start, &part), None);
        }
    }
}
