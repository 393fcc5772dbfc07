//! The account of a namespace's hot capacity: what is held, in which order it may be given up, and when it falls due.
//!
//! A pure structure for one thread: the lock around it and the map beside it are [`super`]'s. It decides and names the victims;
//! the caller removes them.
//!
//! Invariants: `stored` is the sum of the costs of all listed entries. Every listed entry is in exactly one class and once in
//! the expiry order. Uploads in flight may push out segments, never protected objects.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::entry::{Entry, UPLOADED};
use super::order::WriteOrder;
use crate::metrics::Gone;
use crate::model::clock::Moment;
use crate::model::id::Key;

/// How many segments eviction looks at, from the oldest, for one that nobody has read lately.
const LOOK: usize = 16;

#[derive(Debug)]
pub(super) struct Ledger {
    pub(super) capacity: u64,
    pub(super) stored: u64,
    pub(super) in_flight: u64,
    /// What readers hold of what is gone, as far as it counts: as the uploads, it may push out segments.
    pub(super) pinned: u64,
    /// The part of `stored` that is segments which came back from a tier below.
    reloaded: u64,
    segments: BTreeMap<u64, Arc<Entry>>,
    protected: BTreeMap<u64, Arc<Entry>>,
    leased: BTreeMap<u64, Arc<Entry>>,
    due: BTreeSet<(Moment, u64)>,
    /// Which of two writes of a name began later.
    pub(super) order: WriteOrder,
    /// All names that the map has, in their order.
    pub(super) names: BTreeSet<Key>,
}

/// An entry to take out, and why.
pub(super) type Victim = (Arc<Entry>, Gone);

impl Ledger {
    pub(super) fn new(capacity: u64) -> Self {
        Self {
            capacity,
            stored: 0,
            in_flight: 0,
            pinned: 0,
            reloaded: 0,
            segments: BTreeMap::new(),
            protected: BTreeMap::new(),
            leased: BTreeMap::new(),
            due: BTreeSet::new(),
            order: WriteOrder::default(),
            names: BTreeSet::new(),
        }
    }

    /// Lists a new entry.
    pub(super) fn add(&mut self, entry: &Arc<Entry>) {
        self.stored += entry.cost();
        if entry.is_spare() {
            self.reloaded += entry.cost();
        }
        self.due.insert((entry.meta.expires, entry.sequence));
        self.class_of(entry).insert(entry.sequence, Arc::clone(entry));
    }

    /// Strikes an entry off; nothing happens when it is not listed.
    pub(super) fn strike(&mut self, entry: &Entry) {
        if self.class_of(entry).remove(&entry.sequence).is_some() {
            self.due.remove(&(entry.meta.expires, entry.sequence));
            self.stored -= entry.cost();
            if entry.is_spare() {
                self.reloaded -= entry.cost();
            }
        }
    }

    fn class_of(&mut self, entry: &Entry) -> &mut BTreeMap<u64, Arc<Entry>> {
        match (entry.leased, entry.meta.kind.is_protected()) {
            (true, _) => &mut self.leased,
            (false, true) => &mut self.protected,
            (false, false) => &mut self.segments,
        }
    }

    /// Strikes off what has fallen due, at most `limit` entries, and names it.
    pub(super) fn expire(&mut self, now: Moment, limit: usize, victims: &mut Vec<Victim>) {
        for _ in 0..limit {
            match self.due.first() {
                Some(&(due, sequence)) if due <= now => {
                    let found =
                        [&self.segments, &self.protected, &self.leased].iter().find_map(|class| class.get(&sequence)).cloned();
                    if let Some(entry) = found {
                        self.strike(&entry);
                        victims.push((entry, Gone::Expired));
                    } else {
                        // Unreachable while the invariant holds; without this, a broken one would spin here.
                        self.due.pop_first();
                    }
                }
                _ => break,
            }
        }
    }

    /// Brings the account back under the capacity, naming what has to go: first what has expired, then segments, and protected
    /// objects only when what is stored would not fit without that, those last that a live stream needs. `newest` is never named: it has just been acknowledged.
    pub(super) fn make_room(&mut self, now: Moment, newest: Option<u64>, victims: &mut Vec<Victim>) {
        while self.stored + self.in_flight + self.pinned > self.capacity {
            let before = victims.len();
            self.expire(now, 1, victims);
            if victims.len() > before {
                continue;
            }
            let victim = match pick(&self.segments, newest) {
                Some(segment) => segment,
                None if self.stored > self.capacity => match pick(&self.protected, newest).or_else(|| pick(&self.leased, newest))
                {
                    Some(protected) => protected,
                    None => break,
                },
                None => break,
            };
            self.strike(&victim);
            victims.push((victim, Gone::Evicted));
        }
    }

    /// Makes room for a segment that comes back, among its like: all of them together take an eighth of the capacity, so that those who
    /// look back never push out much of what those who watch live are about to ask for. Says whether there is room.
    pub(super) fn make_room_for_reload(&mut self, cost: u64, victims: &mut Vec<Victim>) -> bool {
        let share = self.capacity / 8;
        if cost > share {
            return false;
        }
        while self.reloaded + cost > share {
            let Some((_, oldest)) = self.segments.range(..UPLOADED).next() else { break };
            let oldest = Arc::clone(oldest);
            self.strike(&oldest);
            victims.push((oldest, Gone::Evicted));
        }
        true
    }

    pub(super) fn objects(&self) -> usize {
        self.segments.len() + self.protected.len() + self.leased.len()
    }

    /// Recounts everything.
    pub(super) fn validate(&self) {
        let listed = || self.segments.values().chain(self.protected.values()).chain(self.leased.values());
        assert_eq!(self.stored, listed().map(|entry| entry.cost()).sum::<u64>(), "stored is the sum of its parts");
        let reloaded = self.segments.range(..UPLOADED).map(|(_, entry)| entry.cost()).sum::<u64>();
        assert_eq!(self.reloaded, reloaded, "what came back is the sum of its parts");
        assert_eq!(self.due.len(), self.objects(), "every entry falls due once");
        assert!(listed().all(|entry| self.due.contains(&(entry.meta.expires, entry.sequence))), "each at its own expiry");
        assert!(self.segments.values().all(|entry| !entry.leased && !entry.meta.kind.is_protected()), "classes are kept apart");
        assert!(self.protected.values().all(|entry| !entry.leased && entry.meta.kind.is_protected()), "classes are kept apart");
        assert!(self.leased.values().all(|entry| entry.leased), "classes are kept apart");
    }
}

/// The entry to give up: the oldest one, unless it was read since the last look and one close behind it was not.
///
/// The search stays in the older half. A plain second chance would walk past old segments that are being read and end at the
/// newest one, which nobody has had time to read yet: the live edge would be the first to go.
fn pick(class: &BTreeMap<u64, Arc<Entry>>, newest: Option<u64>) -> Option<Arc<Entry>> {
    let candidates = || class.values().filter(|entry| Some(entry.sequence) != newest);
    let look = (class.len() / 2).clamp(1, LOOK);
    candidates().take(look).find(|entry| !entry.take_visit()).or_else(|| candidates().next()).cloned()
}
