//! Whose turn it is when space is short, and what goes for it: the [`room`](super::room) counts, this picks, the
//! [`state`](super::state) removes. All in memory, under the state's lock; the removals themselves are changes like others.

use std::sync::Arc;

use super::index::cost;
use super::queue::{Change, Turn};
use super::room::RoomVerdict;
use super::state::TierState;
use crate::store::Entry;

impl TierState {
    /// The change whose turn it is, if there is one and there is room for it; else room is made.
    pub(super) fn take(&mut self, all: bool) -> Option<Turn> {
        let now = self.clock.now();
        loop {
            let (key, change) = self.queue.peek(now, all)?;
            let Change::Write(entry) = change else { break };
            let (key, entry) = (key.clone(), Arc::clone(entry));
            match self.room.judge(cost(&entry), self.index.bytes()) {
                RoomVerdict::Go => break,
                RoomVerdict::Wait => return None,
                // Its removals come first.
                RoomVerdict::Evict(bytes) if self.evict_for(&entry, bytes) => {}
                RoomVerdict::Evict(_) if self.room.is_busy() => return None,
                // What is there is newer: this would have to go again for it.
                RoomVerdict::Evict(_) if self.is_outdated(&entry) && self.queue.is_spare(&key) => self.give_up(&key),
                RoomVerdict::Evict(_) => break,
            }
        }
        let turn = self.queue.take(now, all)?;
        if let Change::Write(entry) = &turn.change {
            self.room.begin(turn.number, cost(entry));
        }
        Some(turn)
    }

    /// Removes the oldest objects for this one. A segment is not paid for with playlists, nor with newer segments. Says whether
    /// anything was found.
    fn evict_for(&mut self, entry: &Entry, bytes: u64) -> bool {
        let mut freed = 0;
        while freed < bytes && self.may_evict_for(entry) {
            let Some((key, _)) = self.oldest() else { break };
            freed += self.evict(&key);
        }
        freed > 0
    }

    fn may_evict_for(&self, entry: &Entry) -> bool {
        // What the journal says may be out of date: nothing is removed on its word.
        self.is_complete
            && self.oldest().is_some_and(|(_, slot)| {
                entry.meta.kind.is_protected() || (!slot.kind.is_protected() && slot.modified <= entry.meta.modified)
            })
    }

    fn is_outdated(&self, entry: &Entry) -> bool {
        !entry.meta.kind.is_protected()
            && self.oldest().is_some_and(|(_, slot)| !slot.kind.is_protected() && slot.modified > entry.meta.modified)
    }

    /// A turn has ended, in whatever way. Says whether it was a write that was alone.
    pub(super) fn ended(&mut self, turn: &Turn) -> bool {
        match &turn.change {
            Change::Write(entry) => self.room.end(turn.number, cost(entry)),
            Change::Remove | Change::Clear => false,
        }
    }

    /// A write found no space. Says whether it is tried again as soon as room has been made for it; else there is none to be
    /// made.
    pub(super) fn full(&mut self, turn: &Turn, entry: &Entry, was_alone: bool) -> bool {
        let now = self.clock.now();
        self.metrics.failed.inc();
        // How much fits can't be learned while it is not known how much there is.
        if self.is_complete {
            self.room.full(was_alone, cost(entry), self.index.bytes(), now);
        }
        let fits = self.room.ceiling().is_none_or(|ceiling| cost(entry) <= ceiling);
        if self.is_complete && was_alone && !self.may_evict_for(entry) {
            self.room.give_up(now);
        }
        let helps = self.is_complete && !self.room.is_in_vain() && fits;
        if helps {
            self.queue.again(turn, now);
        } else {
            self.queue.retry(turn, now);
        }
        helps
    }

    /// A change could not be made; it is tried again.
    pub(super) fn failed(&mut self, turn: &Turn) {
        self.metrics.failed.inc();
        // Nobody waits for what does not go.
        self.room.left(&turn.key);
        self.queue.retry(turn, self.clock.now());
    }
}
