//! What goes of itself: what has expired, and what is over the capacity. It is gone to readers the moment it falls due; here it is taken off
//! the index and its removal put in line, a few at a time, as what comes to its end all at once may be half a million objects, and writes
//! wait in the same line. As each of them is made the next is put there, so that a tier is swept as fast as it takes removals.

use super::state::TierState;

/// So many removals wait for their first try at most.
const WAITING: usize = 64;
/// And so many that were tried in vain: where a tier takes no removals at all, the rest stays in the index, and nothing else waits for it.
const FAILED: usize = 1000;
/// No more of them are put in line than this for what is not known to be there.
const MOST: usize = 10_000;

impl TierState {
    /// Looks after the space and the clock, and begins the removal of what has fallen due, and of what is over the capacity.
    pub(super) fn sweep(&mut self) {
        // What the journal says may be out of date: nothing is removed on its word.
        if !self.is_complete {
            return;
        }
        let now = self.clock.now();
        self.room.look(self.index.bytes(), self.options.capacity, now);
        if self.steadiness.judge(self.index.newest(), &self.clock) {
            tracing::warn!(
                "what was written last to a durable tier is old by this machine's clock: nothing is removed for its age until the clock has been \
                 steady for ten minutes; if it is wrong, set it"
            );
        }
        if let Some(read) = self.steadiness.step(&self.clock) {
            self.index.redate(read);
        }
        self.is_sweeping = true;
        self.sweep_on();
    }

    /// Goes on with it: another removal has been made.
    pub(super) fn sweep_on(&mut self) {
        let now = self.clock.now();
        let is_doubted = self.steadiness.is_doubted(now);
        while self.is_sweeping && self.may_sweep() {
            let due = if is_doubted { None } else { self.index.first_due(now).cloned() };
            if let Some(key) = due {
                self.forget(&key);
                self.metrics.expired.inc();
            } else if self.index.bytes() > self.options.capacity
                && let Some((key, _)) = self.oldest()
            {
                self.evict(&key);
            } else {
                self.is_sweeping = false;
            }
        }
    }

    fn may_sweep(&self) -> bool {
        let (waiting, failed) = self.queue.removals();
        waiting < WAITING && failed < FAILED
    }

    /// Whether there is room in line for a removal that is made to be sure.
    pub(super) fn may_remove_more(&self) -> bool {
        let (waiting, failed) = self.queue.removals();
        waiting + failed < MOST
    }
}
