//! Another turn for what was given up: the books offer it, memory says whether it has it still, the queue takes it when there is room.

use std::sync::Arc;

use super::Shared;
use super::given_up::Spared;
use super::queue::Change;
use super::state::TierState;
use crate::store::Entry;

impl Shared {
    /// Has some of what was given up written after all, where memory has it still: while little waits, and when all is to be
    /// written. What memory does not have any more is lost.
    pub(super) fn look_at_given_up(&self, limit: usize, all: bool) {
        let offered = self.state.lock().given_up.next(limit);
        if offered.is_empty() {
            return;
        }
        let hot = self.hot.upgrade();
        for spared in offered {
            // Not under the state's lock, which is taken under the hot store's.
            let entry = hot.as_ref().and_then(|hot| hot.peek(&spared.key)).filter(|entry| entry.sequence == spared.sequence);
            if self.state.lock().spare(spared, entry, all) {
                self.metrics.lost_evicted.inc();
            }
        }
        self.wake.notify_one();
    }
}

impl TierState {
    /// Puts a version whose write was given up in line again, if it is in memory still and there is room for it to wait; with `all`
    /// there always is. Says whether it turns out to be lost.
    fn spare(&mut self, spared: Spared, entry: Option<Arc<Entry>>, all: bool) -> bool {
        // Well below the limit, so that it is not given up again at once.
        let limit = if all { u64::MAX } else { self.options.write_behind / 2 };
        match entry {
            None => self.given_up.settle(&spared.key, spared.sequence) && spared.is_new,
            Some(entry) if self.queue.bytes() + entry.body.len() as u64 <= limit => {
                if self.given_up.settle(&spared.key, spared.sequence) {
                    let now = self.clock.now();
                    self.queue.push(&spared.key, Change::Write(entry), now, now);
                    self.room.left(&spared.key);
                }
                false
            }
            Some(_) => {
                self.given_up.put_back(spared);
                false
            }
        }
    }
}
