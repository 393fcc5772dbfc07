//! The order of writes: later means begun later, whichever ends last.
//!
//! An encoder that opens a connection for each object has several uploads of one name on their way at once, and the one it began
//! last is the one it means. A version carries the stamp of the request that brought it, and an upload in flight is told when a later
//! one has passed it ([`super::super::uploads`]). What is kept here is the rest: the stamps of what has left, for uploads that had begun
//! before and have not been opened yet, their heads still being on the way.
//!
//! A pure structure for one thread, as the ledger is; it lies under the same lock.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use ahash::RandomState;

use crate::model::clock::Moment;
use crate::model::id::Key;
use crate::model::stamp::Stamp;

/// How long a request may take from its beginning until its upload is opened: its head, its key, its conditions. Who gives stamps
/// keeps to it with a wide margin.
pub const OPENED_WITHIN: Duration = Duration::from_secs(30);
/// This many names are remembered, a few MiB at most. Past it the oldest are forgotten early.
const MOST: usize = 16_384;

/// The stamps of what has left.
#[derive(Debug, Default)]
pub(super) struct WriteOrder {
    left: HashMap<Key, Stamp, RandomState>,
    /// Until when each is remembered; one that has left again since has a later line.
    due: VecDeque<(Moment, Key, Stamp)>,
}

impl WriteOrder {
    /// Remembers that the version, or the removal, of this stamp is not to be seen any more, as long as an older upload may come.
    pub(super) fn leave(&mut self, key: &Key, stamp: Stamp, now: Moment) {
        while self.due.front().is_some_and(|(due, ..)| *due <= now) || self.due.len() >= MOST {
            let Some((_, key, stamp)) = self.due.pop_front() else { break };
            if self.left.get(&key) == Some(&stamp) {
                self.left.remove(&key);
            }
        }
        if now.since(stamp.at()) >= OPENED_WITHIN || self.left.get(key).is_some_and(|known| *known >= stamp) {
            return;
        }
        self.left.insert(key.clone(), stamp);
        self.due.push_back((stamp.at() + OPENED_WITHIN, key.clone(), stamp));
    }

    /// The latest stamp of this name that has left, as far as it is remembered.
    pub(super) fn latest(&self, key: &Key) -> Option<Stamp> {
        self.left.get(key).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::clock::Clock;
    use crate::model::stamp::Stamps;

    #[test]
    fn what_has_left_is_remembered_as_long_as_an_older_upload_may_come() {
        let clock = Clock::manual();
        let (stamps, mut order) = (Stamps::new(clock.clone()), WriteOrder::default());
        let key = |number: usize| Key::parse(&format!("k{number}")).unwrap();
        let (first, second) = (stamps.next(), stamps.next());
        order.leave(&key(0), second, clock.now());
        order.leave(&key(0), first, clock.now());
        assert_eq!(order.latest(&key(0)), Some(second));
        clock.advance(OPENED_WITHIN);
        order.leave(&key(1), first, clock.now());
        assert_eq!((order.latest(&key(0)), order.latest(&key(1))), (None, None));
        assert!(order.due.is_empty());
        for number in 0..2 * MOST {
            order.leave(&key(number), stamps.next(), clock.now());
        }
        assert!(order.left.len() <= MOST && order.due.len() <= MOST, "a flood of removals does not take memory");
        assert!(order.latest(&key(2 * MOST - 1)).is_some());
    }
}
