//! A body as it comes, in pieces of any size, at the cost of its bytes.
//!
//! A piece is kept by reference as it came, unless it is small: a client may send a body byte by byte, and each of them would hold
//! on to the buffer it was read into, and take a place in a list. Small ones are joined in a buffer of their own.

use bytes::Bytes;

/// From this length on a piece is kept as it came.
const LARGE: usize = 4 << 10;
/// How much of small pieces is joined at a time.
const JOINED: usize = 16 << 10;

/// What has come so far.
///
/// Invariants: nothing in `sealed` is empty. `open` takes at most twice its length, and is shorter than [`JOINED`]. `length` is that of all.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    sealed: Vec<Bytes>,
    open: Vec<u8>,
    length: usize,
}

/// How far somebody has read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ReadPosition {
    piece: usize,
    within: usize,
}

impl Pieces {
    pub(super) fn push(&mut self, piece: Bytes) {
        self.length += piece.len();
        if piece.len() >= LARGE {
            self.seal();
            self.sealed.push(piece);
            return;
        }
        let mut rest = &piece[..];
        while !rest.is_empty() {
            let now = rest.len().min(JOINED - self.open.len());
            let length = self.open.len() + now;
            if length > self.open.capacity() {
                self.open.reserve_exact(length.next_power_of_two() - self.open.len());
            }
            self.open.extend_from_slice(&rest[..now]);
            rest = &rest[now..];
            if self.open.len() == JOINED {
                self.seal();
            }
        }
    }

    fn seal(&mut self) {
        if !self.open.is_empty() {
            let mut open = std::mem::take(&mut self.open);
            open.shrink_to_fit();
            self.sealed.push(Bytes::from(open));
        }
    }

    /// What comes next for somebody who is at this place, and moves him behind it; `None`: nothing yet. By reference, but for what is
    /// still being joined.
    pub(super) fn next(&self, place: &mut ReadPosition) -> Option<Bytes> {
        while let Some(piece) = self.sealed.get(place.piece) {
            let rest = piece.slice(place.within..);
            *place = ReadPosition { piece: place.piece + 1, within: 0 };
            // He may have read it while it was open.
            if !rest.is_empty() {
                return Some(rest);
            }
        }
        let rest = self.open.get(place.within..).filter(|rest| !rest.is_empty())?;
        place.within = self.open.len();
        Some(Bytes::copy_from_slice(rest))
    }

    /// All of it in one piece, of exact size.
    pub(super) fn join(&self) -> Bytes {
        let mut all = Vec::with_capacity(self.len());
        for piece in &self.sealed {
            all.extend_from_slice(piece);
        }
        all.extend_from_slice(&self.open);
        Bytes::from(all)
    }

    /// Each of them, by reference, when no more come.
    pub(super) fn all(&mut self) -> Vec<Bytes> {
        self.seal();
        self.sealed.clone()
    }

    /// Puts others of the same bytes in the place of [all](Self::all), and says what was there.
    pub(super) fn put(&mut self, pieces: Vec<Bytes>) -> Vec<Bytes> {
        std::mem::replace(&mut self.sealed, pieces)
    }

    /// How many bytes there are.
    pub(super) fn len(&self) -> usize {
        self.length
    }

    pub(super) fn is_empty(&self) -> bool {
        self.sealed.is_empty() && self.open.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{prop, prop_oneof, proptest};

    impl Pieces {
        /// Memory taken beside the pieces that are kept as they came, and what there is of it.
        fn footprint(&self) -> usize {
            self.sealed.capacity() * size_of::<Bytes>() + self.open.capacity() + self.sealed.iter().map(Bytes::len).sum::<usize>()
        }
    }

    #[test]
    fn bytes_that_come_one_by_one_cost_little_more_than_bytes() {
        let (mut pieces, read_buffer) = (Pieces::default(), Bytes::from(vec![7; 1 << 16]));
        for n in 0..1 << 20 {
            pieces.push(read_buffer.slice(n % 65_536..n % 65_536 + 1));
        }
        assert_eq!(pieces.len(), 1 << 20);
        assert!(pieces.footprint() < (1 << 20) * 11 / 10, "{}", pieces.footprint());
        assert!(read_buffer.try_into_mut().is_ok(), "and none of them holds on to what it was read into");
    }

    proptest! {
        #[test]
        fn every_reader_gets_all_of_it_in_order(
            lengths in prop::collection::vec(prop_oneof![1usize..40, 1usize..9000, 4090usize..4100], 0..40),
            joins in prop::collection::vec(0usize..40, 0..5),
        ) {
            let (mut pieces, mut all) = (Pieces::default(), Vec::new());
            let mut readers: Vec<(usize, ReadPosition, Vec<u8>)> = joins.into_iter().map(|at| (at, ReadPosition::default(), Vec::new())).collect();
            for (n, length) in lengths.iter().enumerate() {
                let piece: Vec<u8> = (0..*length).map(|at| u8::try_from((at * 31 + n * 7) % 251).unwrap()).collect();
                all.extend_from_slice(&piece);
                pieces.push(piece.into());
                for (from, place, read) in &mut readers {
                    while n >= *from && let Some(more) = pieces.next(place) {
                        assert!(!more.is_empty());
                        read.extend_from_slice(&more);
                    }
                    assert!(n < *from || *read == all);
                }
                assert!(pieces.open.len() < JOINED && pieces.open.capacity() <= 2 * pieces.open.len().max(1));
            }
            assert_eq!((pieces.len(), pieces.is_empty()), (all.len(), all.is_empty()));
            assert!(pieces.join() == all);
        }
    }
}
