//! Versions whose write was given up because too many waited. Memory has most of them for a while longer: they are written when there
//! is time, and before the server ends, so that a burst costs nothing but what has left memory meanwhile.
//!
//! A pure structure for one thread. Invariant: of a key the newest version alone is here, and none that waits, is written or has been
//! replaced: what is put in line again from here never goes over a newer one.

use std::collections::{HashMap, VecDeque};

use ahash::RandomState;

use crate::model::id::Key;

/// One of them: told from other versions of its key by its age rank.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Spared {
    pub(super) key: Key,
    pub(super) sequence: u64,
    /// Whether nobody has looked yet if memory has it.
    pub(super) is_new: bool,
}

/// All of them, in the order in which they are looked at.
#[derive(Debug, Default)]
pub(super) struct GivenUp {
    versions: HashMap<Key, u64, RandomState>,
    line: VecDeque<Spared>,
}

impl GivenUp {
    /// The write of this version was given up.
    pub(super) fn add(&mut self, key: &Key, sequence: u64) {
        self.versions.insert(key.clone(), sequence);
        self.line.push_back(Spared { key: key.clone(), sequence, is_new: true });
    }

    /// Something newer has happened to the key.
    pub(super) fn strike(&mut self, key: &Key) {
        if !self.versions.is_empty() {
            self.versions.remove(key);
        }
    }

    /// Strikes this version; says whether it was still to be written.
    pub(super) fn settle(&mut self, key: &Key, sequence: u64) -> bool {
        let is_here = self.versions.get(key) == Some(&sequence);
        if is_here {
            self.versions.remove(key);
        }
        is_here
    }

    /// The next to be looked at, at most this many. Each is either put back or settled.
    pub(super) fn next(&mut self, limit: usize) -> Vec<Spared> {
        let count = self.line.len().min(limit);
        let versions = &self.versions;
        self.line.drain(..count).filter(|spared| versions.get(&spared.key) == Some(&spared.sequence)).collect()
    }

    /// There was no time for it yet.
    pub(super) fn put_back(&mut self, spared: Spared) {
        if self.versions.get(&spared.key) == Some(&spared.sequence) {
            self.line.push_back(Spared { is_new: false, ..spared });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_offered_until_it_is_settled_and_never_after_a_newer_one() {
        let key = |name: &str| Key::parse(name).unwrap();
        let mut given_up = GivenUp::default();
        for (name, sequence) in [("a", 1), ("b", 2), ("a", 3), ("c", 4)] {
            given_up.add(&key(name), sequence);
        }
        given_up.strike(&key("c"));
        let offered = given_up.next(10);
        let named: Vec<_> = offered.iter().map(|spared| (spared.key.as_str(), spared.sequence, spared.is_new)).collect();
        assert_eq!(named, [("b", 2, true), ("a", 3, true)]);
        for spared in offered {
            given_up.put_back(spared);
        }
        assert!(!given_up.settle(&key("a"), 1) && given_up.settle(&key("a"), 3) && !given_up.settle(&key("a"), 3));
        let offered = given_up.next(1);
        assert_eq!(offered, [Spared { key: key("b"), sequence: 2, is_new: false }]);
        given_up.strike(&key("b"));
        offered.into_iter().for_each(|spared| given_up.put_back(spared));
        assert_eq!(given_up.next(10), []);
    }
}
