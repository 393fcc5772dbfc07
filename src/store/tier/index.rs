//! What the tier below holds, in memory: which keys, until when, how large. So that a miss is known to be one without asking, expiry
//! needs no listing, and the oldest segment is found at once.
//!
//! A pure structure for one thread. Invariants: `bytes` is the sum of its parts, each folder counted once, and every slot is once in the order of expiry,
//! once in that of keys, and once in its class's order of age.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::panic::resume_unwind;
use std::thread;

use ahash::RandomState;

use super::listed::KeptBelow;
use crate::model::clock::{Moment, WallTime};
use crate::model::id::Key;
use crate::model::kind::Kind;
use crate::store::Entry;
use crate::store::cold::DEEPEST;

/// What an object takes beside its body: its attributes' block and what the file system rounds up, in bytes.
pub(super) const OVERHEAD: u64 = 8 << 10;

/// What a folder takes: a block beside the bodies and one beside their attributes.
const FOLDER: u64 = 8 << 10;

/// What is known of an object in the tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slot {
    pub(super) length: u64,
    pub(super) kind: Kind,
    pub(super) modified: WallTime,
    pub(super) expires: Moment,
    /// Tells this version from others of its key, in this process.
    pub(super) version: u64,
    /// Whether it was written or seen by this process, and not only read in the journal.
    pub(super) is_certain: bool,
    /// Whether it was written by this process: then its deadline has nothing to do with the wall clock.
    pub(super) is_own: bool,
}

/// What a version takes in the tier.
pub(super) fn cost(entry: &Entry) -> u64 {
    entry.body.len() as u64 + OVERHEAD
}

impl From<&Slot> for KeptBelow {
    fn from(slot: &Slot) -> Self {
        Self { length: slot.length, kind: slot.kind, modified: slot.modified, expires: slot.expires }
    }
}

/// The folders that a disk has for this key, by the hashes of their names.
fn folders<'k>(hasher: &'k RandomState, key: &'k str) -> impl Iterator<Item = u64> + 'k {
    let names = move || key.match_indices('/').map(move |(end, _)| &key[..end]);
    // A deeper one goes by its hash.
    let is_flat = names().nth(DEEPEST - 1).is_some();
    names().filter(move |_| !is_flat).map(|name| hasher.hash_one(name))
}

/// What a journal has said so far, in no order yet.
#[derive(Debug, Default)]
pub(super) struct Journalled {
    slots: HashMap<Key, Slot, RandomState>,
    next: u64,
}

impl Journalled {
    pub(super) fn insert(&mut self, key: Key, slot: Slot) {
        self.next += 1;
        self.slots.insert(key, Slot { version: self.next, ..slot });
    }

    pub(super) fn remove(&mut self, key: &Key) {
        self.slots.remove(key);
    }
}

/// The index.
#[derive(Debug, Default)]
pub(super) struct Index {
    slots: HashMap<Key, Slot, RandomState>,
    /// All keys in their order.
    ordered: BTreeSet<Key>,
    due: BTreeMap<(Moment, u64), Key>,
    segments: BTreeMap<(WallTime, u64), Key>,
    protected: BTreeMap<(WallTime, u64), Key>,
    /// How many objects are in each folder or below it, by the hash of its name.
    folders: HashMap<u64, u64, RandomState>,
    hasher: RandomState,
    bytes: u64,
    next: u64,
}

impl Index {
    /// Makes each order in one go, two at a time: a million objects one by one take the start of a server a second.
    pub(super) fn of(Journalled { slots, next }: Journalled) -> Self {
        let mut all: Vec<(&Key, &Slot)> = slots.iter().collect();
        // As they were written they are nearly in every order already, and a sort has little to do.
        all.sort_unstable_by_key(|(_, slot)| slot.version);
        let of_class = |is_protected: bool| {
            let class = all.iter().filter(|(_, slot)| slot.kind.is_protected() == is_protected);
            class.map(|(key, slot)| ((slot.modified, slot.version), (*key).clone())).collect()
        };
        let (hasher, mut folders_there) = (RandomState::new(), HashMap::<u64, u64, RandomState>::default());
        let (ordered, due, segments, protected) = thread::scope(|scope| {
            let ordered = scope.spawn(|| all.iter().map(|(key, _)| (*key).clone()).collect::<BTreeSet<_>>());
            let due = all.iter().map(|(key, slot)| ((slot.expires, slot.version), (*key).clone())).collect();
            let (segments, protected) = (of_class(false), of_class(true));
            for folder in all.iter().flat_map(|(key, _)| folders(&hasher, key.as_str())) {
                *folders_there.entry(folder).or_default() += 1;
            }
            (ordered.join(), due, segments, protected)
        });
        let ordered = ordered.unwrap_or_else(|panic| resume_unwind(panic));
        let objects: u64 = all.iter().map(|(_, slot)| slot.length + OVERHEAD).sum();
        let bytes = objects + folders_there.len() as u64 * FOLDER;
        Self { slots, ordered, due, segments, protected, folders: folders_there, hasher, bytes, next }
    }

    pub(super) fn get(&self, key: &Key) -> Option<&Slot> {
        self.slots.get(key)
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Puts a version in place of any other of its key; its `version` is given here.
    pub(super) fn insert(&mut self, key: &Key, slot: Slot) {
        if self.strike(key).is_none() {
            self.ordered.insert(key.clone());
        }
        self.next += 1;
        let slot = Slot { version: self.next, ..slot };
        self.bytes += slot.length + OVERHEAD;
        for folder in self.folders_of(key) {
            let count = self.folders.entry(folder).or_default();
            self.bytes += if *count == 0 { FOLDER } else { 0 };
            *count += 1;
        }
        self.due.insert((slot.expires, slot.version), key.clone());
        self.class(slot.kind).insert((slot.modified, slot.version), key.clone());
        self.slots.insert(key.clone(), slot);
    }

    pub(super) fn remove(&mut self, key: &Key) -> Option<Slot> {
        let slot = self.strike(key)?;
        self.ordered.remove(key);
        Some(slot)
    }

    /// Takes a version off all but the order of keys.
    fn strike(&mut self, key: &Key) -> Option<Slot> {
        let slot = self.slots.remove(key)?;
        self.bytes -= slot.length + OVERHEAD;
        for folder in self.folders_of(key) {
            if let Some(count) = self.folders.get_mut(&folder) {
                *count -= 1;
                if *count == 0 {
                    self.folders.remove(&folder);
                    self.bytes -= FOLDER;
                }
            }
        }
        self.due.remove(&(slot.expires, slot.version));
        self.class(slot.kind).remove(&(slot.modified, slot.version));
        Some(slot)
    }

    /// The folders that a disk has for this key.
    fn folders_of(&self, key: &Key) -> Vec<u64> {
        folders(&self.hasher, key.as_str()).collect()
    }

    /// Notes that what the journal said is so.
    pub(super) fn make_certain(&mut self, key: &Key) {
        if let Some(slot) = self.slots.get_mut(key) {
            slot.is_certain = true;
        }
    }

    /// Reads the deadlines anew of all that is from an earlier process.
    pub(super) fn redate(&mut self, read: impl Fn(Moment) -> Moment) {
        for slot in self.slots.values_mut().filter(|slot| !slot.is_own) {
            let key = self.due.remove(&(slot.expires, slot.version));
            slot.expires = read(slot.expires);
            self.due.extend(key.map(|key| ((slot.expires, slot.version), key)));
        }
    }

    /// When the newest object was written.
    pub(super) fn newest(&self) -> Option<WallTime> {
        let newest = |class: &BTreeMap<(WallTime, u64), Key>| class.last_key_value().map(|((modified, _), _)| *modified);
        newest(&self.segments).max(newest(&self.protected))
    }

    fn class(&mut self, kind: Kind) -> &mut BTreeMap<(WallTime, u64), Key> {
        if kind.is_protected() { &mut self.protected } else { &mut self.segments }
    }

    /// The next key that has fallen due.
    pub(super) fn first_due(&self, now: Moment) -> Option<&Key> {
        let ((due, _), key) = self.due.first_key_value()?;
        (*due <= now).then_some(key)
    }

    /// What goes first when space is short: the oldest segments, and after these the oldest of the rest.
    pub(super) fn by_age(&self) -> impl Iterator<Item = &Key> {
        self.segments.values().chain(self.protected.values())
    }

    /// Segments and when they were written, the newest first.
    pub(super) fn newest_segments(&self) -> impl Iterator<Item = (&Key, WallTime)> {
        self.segments.iter().rev().map(|((modified, _), key)| (key, *modified))
    }

    /// Playlists, manifests and initialisation segments, the newest first.
    pub(super) fn protected(&self) -> impl Iterator<Item = &Key> {
        self.protected.values().rev()
    }

    /// Some of what there is, in the order of keys.
    pub(super) fn from(&self, from: Bound<&str>) -> impl Iterator<Item = (&Key, &Slot)> {
        let keys = self.ordered.range::<str, _>((from, Bound::Unbounded));
        keys.filter_map(|key| Some((key, self.slots.get(key)?)))
    }

    /// Keys that no process has been seen to write since the journal was read.
    pub(super) fn uncertain(&self) -> Vec<Key> {
        self.slots.iter().filter(|(_, slot)| !slot.is_certain).map(|(key, _)| key.clone()).collect()
    }

    #[cfg(test)]
    pub(super) fn validate(&self) {
        let folders: BTreeSet<_> = self.slots.keys().flat_map(|key| self.folders_of(key)).collect();
        assert_eq!(self.folders.len(), folders.len());
        let objects = self.slots.values().map(|slot| slot.length + OVERHEAD).sum::<u64>();
        assert_eq!(self.bytes, objects + folders.len() as u64 * FOLDER);
        assert_eq!(self.due.len(), self.slots.len());
        assert!(self.ordered.len() == self.slots.len() && self.slots.keys().all(|key| self.ordered.contains(key)));
        assert_eq!(self.segments.len() + self.protected.len(), self.slots.len());
        for (key, slot) in &self.slots {
            assert_eq!(self.due.get(&(slot.expires, slot.version)), Some(key));
            let class = if slot.kind.is_protected() { &self.protected } else { &self.segments };
            assert_eq!(class.get(&(slot.modified, slot.version)), Some(key));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use crate::model::clock::Clock;
    use proptest::prelude::{any, prop, proptest};

    proptest! {
        #[test]
        fn the_account_is_right(steps in prop::collection::vec((0u8..8, any::<bool>(), 0u64..100, 0u64..9, 0u64..9), 0..60)) {
            let mut index = Index::default();
            let start = Clock::manual().now();
            for (name, insert, length, modified, ttl) in steps {
                let key = Key::parse(["a", "b/c", "b/d", "b/e/f", "g", "h/i/j/k", "l/m", "b/n/o"][usize::from(name)]).unwrap();
                let kind = if name % 3 == 0 { Kind::Playlist } else { Kind::Segment };
                if insert {
                    let expires = start + Duration::from_secs(ttl);
                    let modified = WallTime::from_millis(modified);
                    index.insert(&key, Slot { length, kind, modified, expires, version: 0, is_certain: true, is_own: false });
                    assert_eq!(index.get(&key).unwrap().length, length);
                    assert!(index.newest_segments().is_sorted_by(|(_, one), (_, other)| one >= other));
                    assert_eq!(index.newest_segments().any(|(known, _)| *known == key), kind == Kind::Segment);
                } else {
                    index.remove(&key);
                    assert!(index.get(&key).is_none());
                }
                index.validate();
            }
            // Made in one go it is the same.
            let mut journalled = Journalled::default();
            for (key, slot) in &index.slots {
                journalled.insert(key.clone(), Slot { length: 99, ..*slot });
                journalled.insert(key.clone(), *slot);
                journalled.insert(Key::parse("gone").unwrap(), *slot);
                journalled.remove(&Key::parse("gone").unwrap());
            }
            let at_once = Index::of(journalled);
            at_once.validate();
            assert_eq!((at_once.bytes(), at_once.next), (index.bytes(), 3 * index.len() as u64));
            assert!(at_once.slots.iter().all(|(key, slot)| Slot { version: index.slots[key].version, ..*slot } == index.slots[key]));
            // Segments go before playlists, the oldest first; what is due is found in its order.
            let mut last = None;
            loop {
                let Some(key) = index.by_age().next().cloned() else { break };
                let slot = index.remove(&key).unwrap();
                let rank = (slot.kind.is_protected(), slot.modified);
                assert!(last <= Some(rank));
                last = Some(rank);
                assert!(index.first_due(start + Duration::from_secs(9)).is_some() == (index.len() > 0));
            }
            assert_eq!((index.bytes(), index.len()), (0, 0));
        }
    }
}
