//! Places: how many streams are known at once, and who makes room for one more.
//!
//! A stream that is written goes before one that is not any more. So what has its end makes room first, and then what was written
//! longest ago: a real stream, which is written again every few seconds, keeps its place beside any number of names that were written
//! once, and gets it back with its next version if it ever lost it.

use std::collections::BTreeMap;

use super::ByKey;
use crate::model::id::Key;

/// Who has a place, in the order in which they make room.
#[derive(Debug)]
pub(super) struct Places {
    most: usize,
    most_bytes: usize,
    of: ByKey<Seat>,
    order: BTreeMap<(bool, u64), Key>,
    turn: u64,
    bytes: usize,
}

#[derive(Debug)]
struct Seat {
    goes_on: bool,
    turn: u64,
    bytes: usize,
}

impl Places {
    /// For this many, and this many bytes of memory for all of them.
    pub(super) fn new(most: usize, most_bytes: usize) -> Self {
        Self { most, most_bytes, of: ByKey::default(), order: BTreeMap::new(), turn: 0, bytes: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.of.len()
    }

    pub(super) fn has(&self, key: &Key) -> bool {
        self.of.contains_key(key)
    }

    /// It was written now. `goes_on`: it has no end yet; `bytes`: what is kept of it.
    pub(super) fn written(&mut self, key: &Key, goes_on: bool, bytes: usize) {
        self.remove(key);
        self.turn += 1;
        self.bytes += bytes;
        self.order.insert((goes_on, self.turn), key.clone());
        self.of.insert(key.clone(), Seat { goes_on, turn: self.turn, bytes });
    }

    /// It was written again, and what is kept of it is as it was.
    pub(super) fn written_again(&mut self, key: &Key) {
        if let Some(&Seat { goes_on, bytes, .. }) = self.of.get(key) {
            self.written(key, goes_on, bytes);
        }
    }

    pub(super) fn remove(&mut self, key: &Key) {
        if let Some(place) = self.of.remove(key) {
            self.order.remove(&(place.goes_on, place.turn));
            self.bytes -= place.bytes;
        }
    }

    /// Takes its place from one that has to make room, if one has to: never from `newest`. Says whether it would have gone on.
    pub(super) fn make_room(&mut self, newest: &Key) -> Option<(Key, bool)> {
        if self.of.len() <= self.most && self.bytes <= self.most_bytes {
            return None;
        }
        let (&(goes_on, _), key) = self.order.iter().find(|(_, key)| *key != newest)?;
        let key = key.clone();
        self.remove(&key);
        Some((key, goes_on))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: usize) -> Key {
        Key::parse(&number.to_string()).unwrap()
    }

    #[test]
    fn the_ended_and_then_the_one_written_longest_ago_makes_room() {
        let mut places = Places::new(3, 1000);
        let full = |places: &mut Places, new: usize, goes_on: bool| {
            places.written(&key(new), goes_on, 10);
            places.make_room(&key(new)).map(|(key, goes_on)| (key.to_string(), goes_on))
        };
        for number in 0..3 {
            assert_eq!(full(&mut places, number, number != 1), None);
        }
        assert_eq!(full(&mut places, 0, true), None, "it is known");
        assert_eq!(full(&mut places, 3, true), Some(("1".to_owned(), false)));
        assert_eq!(full(&mut places, 4, true), Some(("2".to_owned(), true)));
        assert_eq!(full(&mut places, 5, false), Some(("0".to_owned(), true)), "never the newest itself");
        places.remove(&key(5));
        assert_eq!(full(&mut places, 6, true), None);
        assert_eq!((places.len(), places.order.len(), places.bytes), (3, 3, 30));
    }

    #[test]
    fn bytes_are_bounded_as_well() {
        let mut places = Places::new(100, 100);
        for number in 0..10 {
            places.written(&key(number), true, 10);
        }
        assert_eq!(places.make_room(&key(9)), None);
        places.written(&key(9), true, 35);
        let gone: Vec<_> = std::iter::from_fn(|| places.make_room(&key(9))).map(|(key, _)| key).collect();
        assert_eq!(gone, [key(0), key(1), key(2)]);
        places.written(&key(9), true, 1000);
        while places.make_room(&key(9)).is_some() {}
        assert_eq!(places.len(), 1, "one alone is never let go");
    }
}
