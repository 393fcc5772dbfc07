//! A namespace's hot store: a sharded map for the readers, a ledger for the account.
//!
//! 1. A read takes one shard's read lock for the length of a look-up and touches nothing else that is shared, but for the entry
//!    itself.
//! 2. A write goes through the ledger's lock: map and ledger change together under it, victims are named under it, and dropped
//!    after it, so that freeing a thousand bodies delays nobody.
//! 3. Expiry is compared on every read; the sweep only brings the memory back.
//! 4. Of two writes or removals of a name the one that was begun later is in force, whichever ends last ([`order`]).
//!
//! Invariant: under the ledger's lock, the map, the ledger and the order of names list the same entries.

pub(super) mod entry;
pub(super) mod follow;
mod ledger;
mod listed;
mod made;
mod map;
pub(super) mod order;
mod reload;
mod reserved;
mod usage;

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use parking_lot::Mutex;

use self::entry::Entry;
use self::ledger::{Ledger, Victim};
use self::map::EntryMap;
pub use self::usage::Usage;
use super::growing::GrowingReader;
use super::in_flight::Share;
use super::pinned::{Keeper, Pinned};
use super::uploads::{Flight, Uploads};
use super::waiters::Waiters;
use super::{InFlightLimit, StoreError};
use crate::metrics::{Gone, NamespaceMetrics};
use crate::model::clock::{Clock, Moment};
use crate::model::id::Key;
use crate::model::meta::Meta;
use crate::model::stamp::{Stamp, Stamps};

/// How many expired entries the sweep takes out before it lets go of the lock, and of the processor: each takes 1 to 2 us, and
/// on one core a read waits for all of them.
pub const SWEPT_AT_ONCE: usize = 32;

/// One namespace in memory.
#[derive(Debug)]
pub struct HotNamespace {
    map: EntryMap,
    ledger: Mutex<Ledger>,
    uploads: Uploads,
    waiters: Waiters,
    /// What readers hold of what is gone.
    pinned: Arc<Pinned>,
    in_flight: Arc<InFlightLimit>,
    /// What of it is this namespace's.
    share: Share,
    clock: Clock,
    stamps: Arc<Stamps>,
    metrics: NamespaceMetrics,
    follower: OnceLock<Arc<dyn Follower>>,
    /// Playlists that have come back and nobody has asked for.
    reloaded: Mutex<Vec<Key>>,
}

/// Who is told what happens here. `published` and `removed` are called under the ledger's lock, so that they come in the order in
/// which readers see the changes; they have to be quick and may not call back.
pub(super) trait Follower: std::fmt::Debug + Send + Sync {
    /// A version was uploaded and is the object now.
    fn published(&self, entry: &Arc<Entry>);
    /// The object was removed, or would have been if it had been here.
    fn removed(&self, key: &Key);
    /// Whether an evicted version can still be read elsewhere. Called without a lock.
    fn keeps(&self, entry: &Entry) -> bool;
}

/// What a removal did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// A live version was there, and is there no more.
    Removed,
    /// There was none.
    Absent,
    /// Nothing: a version or removal that was begun later is in force.
    Superseded,
    /// Nothing: it is not allowed of what is there.
    Disallowed,
}

/// What a commit did.
#[derive(Clone, Debug)]
pub struct Published {
    /// The version that readers see from now on.
    pub entry: Arc<Entry>,
    /// The live version it replaced, if there was one.
    pub replaced: Option<Arc<Entry>>,
}

impl HotNamespace {
    pub(super) fn new(
        capacity: u64,
        in_flight: Arc<InFlightLimit>,
        clock: Clock,
        stamps: Arc<Stamps>,
        metrics: NamespaceMetrics,
    ) -> Self {
        metrics.capacity_bytes.set(capacity);
        Self {
            map: EntryMap::new(),
            ledger: Mutex::new(Ledger::new(capacity)),
            uploads: Uploads::default(),
            waiters: Waiters::default(),
            pinned: Pinned::new(capacity, clock.clone(), metrics.pinned_bytes.clone()),
            in_flight,
            share: Share::default(),
            clock,
            stamps,
            metrics,
            follower: OnceLock::new(),
            reloaded: Mutex::default(),
        }
    }

    /// Has someone told what happens here from now on. Only the first one is.
    pub(super) fn set_follower(&self, follower: Arc<dyn Follower>) {
        let _ = self.follower.set(follower);
    }

    /// The live version of an object, for a reader: eviction takes note.
    #[must_use]
    pub fn get(&self, key: &Key) -> Option<Arc<Entry>> {
        self.get_at(key, self.clock.now())
    }

    /// The same, for who has just looked at the clock.
    #[must_use]
    pub fn get_at(&self, key: &Key, now: Moment) -> Option<Arc<Entry>> {
        let entry = self.peek_at(key, now)?;
        entry.visit();
        Some(entry)
    }

    /// The live version of an object, for the house's own use.
    #[must_use]
    pub fn peek(&self, key: &Key) -> Option<Arc<Entry>> {
        self.peek_at(key, self.clock.now())
    }

    /// The same for a change that was decided at `now`: what was live then.
    #[must_use]
    pub fn peek_at(&self, key: &Key, now: Moment) -> Option<Arc<Entry>> {
        self.map.get(key.as_str()).filter(|entry| entry.meta.is_live(now))
    }

    /// Whether somebody has read the version that is there, lately.
    #[must_use]
    pub fn was_read(&self, key: &Key) -> bool {
        self.map.get(key.as_str()).is_some_and(|entry| entry.is_visited())
    }

    /// Whether the map has a version of it, live or not: tells what has just expired from what was never there.
    #[must_use]
    pub fn holds(&self, key: &Key) -> bool {
        self.map.get(key.as_str()).is_some()
    }

    /// Whether an upload of the key is in flight, from the moment it was let in and whether or not any of it has come.
    #[must_use]
    pub fn is_uploading(&self, key: &Key) -> bool {
        self.uploads.has(key)
    }

    /// A reader for the newest upload of the key that can be read as it grows. For when there is no whole version: and it may
    /// have become whole since that was found, so look again when this finds nothing.
    #[must_use]
    pub fn growing(&self, key: &Key) -> Option<GrowingReader> {
        self.uploads.growing(key).map(GrowingReader::new)
    }

    /// Whether there is something to be read under this key, whole or growing.
    #[must_use]
    pub fn is_readable(&self, key: &Key) -> bool {
        // The last look is for what has become whole between the two.
        self.peek(key).is_some() || self.uploads.growing(key).is_some() || self.peek(key).is_some()
    }

    pub(super) fn uploads(&self) -> &Uploads {
        &self.uploads
    }

    pub(super) fn waiters(&self) -> &Waiters {
        &self.waiters
    }

    /// Makes an upload's body the object, in one step: a reader sees the old version or this one. `allow` is asked about the
    /// version that is live at `now` under the lock. `None`, and nothing has changed, when a version or removal that was begun later is in force.
    /// When it is the object, and only then, the upload's reservation has ended with it.
    pub(super) fn publish(
        &self,
        entry: Entry,
        flight: &Flight,
        now: Moment,
        allow: impl FnOnce(Option<&Meta>) -> bool,
    ) -> Result<Option<Published>, StoreError> {
        let sequence = entry.sequence;
        let mut entry = entry.begun(flight.begun());
        let mut victims = Vec::new();
        let (entry, replaced, reserved) = {
            let mut ledger = self.ledger.lock();
            let current = self.map.get(entry.key.as_str());
            if !allow(current.as_deref().map(|old| &old.meta).filter(|meta| meta.is_live(now))) {
                return Err(StoreError::Precondition);
            }
            if flight.is_passed() || Self::is_older(&ledger, current.as_deref(), &entry.key, entry.begun) {
                return Ok(None);
            }
            if let Some(old) = &current {
                ledger.strike(old);
                entry.before = old.before.max(old.meta.modified);
            }
            if ledger.order.latest(&entry.key).is_some() {
                // It has left lately: of which date it was is not known.
                entry.before = entry.before.max(entry.meta.modified);
            }
            let entry = Arc::new(entry);
            self.put_in(&mut ledger, &entry);
            self.uploads.pass(&entry.key, entry.begun);
            let reserved = flight.reserved.swap(0, Ordering::Relaxed);
            ledger.in_flight -= reserved;
            ledger.add(&entry);
            ledger.pinned = self.pinned.counted();
            ledger.make_room(now, Some(sequence), &mut victims);
            self.take_out(&mut ledger, &victims);
            if let Some(follower) = self.follower.get() {
                follower.published(&entry);
            }
            (entry, current.filter(|old| old.meta.is_live(now)), reserved)
        };
        self.in_flight.give_back(reserved, self.claim(flight));
        self.account(victims);
        Ok(Some(Published { entry, replaced }))
    }

    /// Whether something that was begun later than this upload is in force already, so that it can't become the object any more.
    pub(super) fn is_superseded(&self, key: &Key, flight: &Flight) -> bool {
        let ledger = self.ledger.lock();
        flight.is_passed() || Self::is_older(&ledger, self.map.get(key.as_str()).as_deref(), key, flight.begun())
    }

    /// Whether what was begun then is older than the version in place or than what has left.
    fn is_older(ledger: &Ledger, current: Option<&Entry>, key: &Key, begun: Stamp) -> bool {
        current.is_some_and(|current| current.begun > begun) || ledger.order.latest(key).is_some_and(|latest| latest > begun)
    }

    /// Removes an object at `now`, for a request that began then, if that is allowed of what is there: judged under the ledger's lock.
    /// Nothing is changed when a version or removal that was begun later is in force.
    pub fn remove(&self, key: &Key, begun: Stamp, now: Moment, allow: impl FnOnce(Option<&Meta>) -> bool) -> Removal {
        let mut ledger = self.ledger.lock();
        let current = self.map.get(key.as_str());
        if !allow(current.as_deref().map(|there| &there.meta).filter(|meta| meta.is_live(now))) {
            return Removal::Disallowed;
        }
        if Self::is_older(&ledger, current.as_deref(), key, begun) {
            return Removal::Superseded;
        }
        let removed = self.take_from(&mut ledger, key.as_str());
        if let Some(entry) = &removed {
            ledger.strike(entry);
        }
        ledger.order.leave(key, begun, now);
        self.uploads.pass(key, begun);
        self.show(&ledger);
        if let Some(follower) = self.follower.get() {
            follower.removed(key);
        }
        drop(ledger);
        if removed.is_some_and(|entry| entry.meta.is_live(now)) { Removal::Removed } else { Removal::Absent }
    }

    /// Has those who wait for news of this name look again. Without them it costs a look at a counter.
    pub fn tell_waiting(&self, key: &Key) {
        self.waiters().announce(key);
    }

    /// The stamp of a request that begins now.
    #[must_use]
    pub fn stamp(&self) -> Stamp {
        self.stamps.next()
    }

    /// Takes out some of what has expired, and says how much: with less than [`SWEPT_AT_ONCE`] nothing is due any more. Short, so that a sweep
    /// of half a million objects lets writers in between.
    pub fn sweep(&self) -> usize {
        let mut victims = Vec::new();
        {
            let mut ledger = self.ledger.lock();
            ledger.expire(self.clock.now(), SWEPT_AT_ONCE, &mut victims);
            if victims.is_empty() {
                return 0;
            }
            self.take_out(&mut ledger, &victims);
            if ledger.objects() == 0 {
                self.map.shrink();
            }
        }
        let taken = victims.len();
        self.account(victims);
        taken
    }

    /// Lends a body to those who will read it: see [`Pinned`].
    pub(super) fn lend(&self, body: Bytes) -> (Bytes, Keeper) {
        self.pinned.lend(body)
    }

    /// The time source.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Removes the named entries from the map; called under the ledger's lock, which is what the ledger argument proves.
    fn take_out(&self, ledger: &mut Ledger, victims: &[Victim]) {
        for (entry, _) in victims {
            self.take_from(ledger, entry.key.as_str());
            ledger.order.leave(&entry.key, entry.begun, self.clock.now());
        }
        self.show(ledger);
    }

    fn show(&self, ledger: &Ledger) {
        self.metrics.stored_bytes.set(ledger.stored);
        self.metrics.uploading_bytes.set(ledger.in_flight);
        self.metrics.stored_objects.set(ledger.objects() as u64);
    }

    /// Counts the victims and, by taking them, drops them: after the lock.
    fn account(&self, victims: Vec<Victim>) {
        for (entry, why) in victims {
            self.metrics.count_gone(entry.meta.kind, why);
            if why == Gone::Evicted && !self.follower.get().is_some_and(|follower| follower.keeps(&entry)) {
                self.metrics.durable.lost_evicted.inc();
            }
        }
    }
}
