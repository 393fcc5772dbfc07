//! Versions that are put in again: what comes back from below, what lives longer, what is known better.

use std::sync::Arc;

use super::HotNamespace;
use super::entry::Entry;
use crate::model::clock::Moment;
use crate::model::id::Key;
use crate::model::liveness::Liveness;

/// This many names of what has come back are kept for those who ask.
const RELOADED: usize = 8192;

impl HotNamespace {
    /// Takes back a version that was uploaded before, unless there is a live one or it would push out the live edge. `allow` is asked
    /// under the lock, after that. Says whether it was taken.
    pub(in crate::store) fn take_back(&self, entry: &Arc<Entry>, allow: impl FnOnce() -> bool) -> bool {
        let mut victims = Vec::new();
        let taken = {
            let mut ledger = self.ledger.lock();
            let now = self.clock.now();
            let current = self.map.get(entry.key.as_str());
            let is_wanted =
                entry.meta.is_live(now) && current.as_ref().is_none_or(|current| !current.meta.is_live(now)) && allow();
            if is_wanted && let Some(expired) = &current {
                ledger.strike(expired);
                self.take_from(&mut ledger, entry.key.as_str());
                ledger.order.leave(&entry.key, expired.begun, now);
            }
            let has_room = is_wanted
                && if entry.meta.kind.is_protected() {
                    entry.cost() <= ledger.capacity / 2
                } else {
                    ledger.make_room_for_reload(entry.cost(), &mut victims)
                };
            if has_room {
                self.put_in(&mut ledger, entry);
                ledger.add(entry);
                ledger.pinned = self.pinned.counted();
                ledger.make_room(now, Some(entry.sequence), &mut victims);
            }
            self.take_out(&mut ledger, &victims);
            has_room
        };
        self.account(victims);
        if taken && entry.meta.kind.is_rewritten() {
            let mut reloaded = self.reloaded.lock();
            if reloaded.len() < RELOADED {
                reloaded.push(entry.key.clone());
            }
        }
        taken
    }

    /// Keeps an object that is live at `now` until this moment at least, and from eviction as long as anything else is left: a stream that is alive
    /// needs it. Says whether it is there. Does nothing when little would be gained, so that it may be called at every turn.
    pub fn renew(&self, key: &Key, until: Moment, now: Moment) -> bool {
        let is_enough = |entry: &Entry| entry.leased && entry.meta.expires.since(now) * 8 >= until.since(now) * 7;
        match self.peek_at(key, now) {
            None => return false,
            Some(entry) if is_enough(&entry) => return true,
            Some(_) => {}
        }
        let mut ledger = self.ledger.lock();
        let Some(entry) = self.peek_at(key, now) else { return false };
        let renewed = Arc::new(entry.renewed(until));
        ledger.strike(&entry);
        self.put_in(&mut ledger, &renewed);
        ledger.add(&renewed);
        if let Some(follower) = self.follower.get() {
            follower.published(&renewed);
        }
        true
    }

    /// Keeps a version under another name until that moment, unless there is one at `now`: what a list names outlives the name it came by.
    /// Its bytes are there once.
    pub fn keep(&self, entry: &Entry, key: Key, until: Moment, now: Moment) {
        let mut victims = Vec::new();
        {
            let mut ledger = self.ledger.lock();
            let current = self.map.get(key.as_str());
            if current.as_ref().is_some_and(|current| current.meta.is_live(now)) {
                return;
            }
            if let Some(expired) = &current {
                ledger.strike(expired);
            }
            let kept = Arc::new(entry.renamed(key, until, self.stamps.next()));
            self.put_in(&mut ledger, &kept);
            ledger.add(&kept);
            ledger.pinned = self.pinned.counted();
            ledger.make_room(now, Some(kept.sequence), &mut victims);
            self.take_out(&mut ledger, &victims);
            if let Some(follower) = self.follower.get() {
                follower.published(&kept);
            }
        }
        self.account(victims);
    }

    /// Playlists and MPDs that have come back since the last call and are there still. Nobody knows yet what they say.
    pub fn take_reloaded(&self) -> Vec<Arc<Entry>> {
        let keys = std::mem::take(&mut *self.reloaded.lock());
        keys.iter().filter_map(|key| self.peek(key)).filter(|entry| entry.meta.liveness.is_none()).collect()
    }

    /// Adds to a version what has been understood of it, unless another is there by now.
    pub fn understood(&self, entry: &Arc<Entry>, liveness: Arc<Liveness>) {
        let mut ledger = self.ledger.lock();
        if self.map.get(entry.key.as_str()).is_some_and(|current| Arc::ptr_eq(&current, entry)) {
            let known = Arc::new(entry.understood(liveness));
            ledger.strike(entry);
            self.put_in(&mut ledger, &known);
            ledger.add(&known);
        }
    }
}
