//! Bodies that are no object any more, and that somebody still reads.
//!
//! A reader holds the body he was given, whole, however slowly he takes it and whatever has become of its name meanwhile. A crowd of
//! slow ones, each with another version, would hold many times what a namespace may. So what is held in this way is counted, as a
//! part of the namespace's capacity; and past a quarter of that the slowest of these readers are given up, a client that takes
//! nothing first and then, as long as it is too much, faster ones.
//!
//! A reader costs nothing for this until he is slow: what counts is the body itself, when its last entry goes and when its last
//! reader does. Whoever can't write asks with the address of what he has to write whether he is to go on ([`is_given_up`]).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::metrics::Level;
use crate::model::clock::{Clock, Moment};

/// The rate, in bytes a second, below which a reader is given up in the first second of its being too much; it doubles with each
/// second after that.
const FIRST_RATE: u64 = 16 << 10;

/// All such bodies of the process, by where they begin in memory.
static GONE: Mutex<BTreeMap<usize, (usize, Arc<Pinned>)>> = Mutex::new(BTreeMap::new());
/// How many namespaces have too much of it: as long as none has, nobody looks further.
static TOO_MUCH: AtomicUsize = AtomicUsize::new(0);

/// What a namespace's readers hold of what is gone.
#[derive(Debug)]
pub(super) struct Pinned {
    bytes: AtomicU64,
    limit: AtomicU64,
    /// Since when it has been too much.
    since: Mutex<Option<Moment>>,
    clock: Clock,
    gauge: Level,
}

/// A body, in the hands of the store and of its readers.
#[derive(Debug)]
struct Lent {
    bytes: Bytes,
    keepers: AtomicUsize,
    is_gone: AtomicBool,
    pinned: Arc<Pinned>,
}

/// The store's own hold on a body: an entry has one, and what is about to become one. It is to be dropped after the bytes beside it:
/// when the last one is, who has any of these left is a reader.
#[derive(Debug)]
pub(super) struct Keeper(Arc<Lent>);

/// What the readers' bytes belong to.
struct LentBytes(Arc<Lent>);

impl AsRef<[u8]> for LentBytes {
    fn as_ref(&self) -> &[u8] {
        &self.0.bytes
    }
}

impl Pinned {
    pub(super) fn new(capacity: u64, clock: Clock, gauge: Level) -> Arc<Self> {
        let limit = AtomicU64::new(capacity / 4);
        Arc::new(Self { bytes: AtomicU64::new(0), limit, since: Mutex::new(None), clock, gauge })
    }

    /// Lends a body: what its readers are to be given, and the store's own hold on it.
    pub(super) fn lend(self: &Arc<Self>, bytes: Bytes) -> (Bytes, Keeper) {
        let (keepers, is_gone) = (AtomicUsize::new(1), AtomicBool::new(false));
        let lent = Arc::new(Lent { bytes, keepers, is_gone, pinned: Arc::clone(self) });
        (Bytes::from_owner(LentBytes(Arc::clone(&lent))), Keeper(lent))
    }

    pub(super) fn set_capacity(&self, capacity: u64) {
        self.limit.store(capacity / 4, Ordering::Relaxed);
        self.judge();
    }

    /// How many bytes that are, up to the quarter that they may take of the capacity.
    pub(super) fn counted(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed).min(self.limit.load(Ordering::Relaxed))
    }

    /// How many bytes that are.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    fn add(self: &Arc<Self>, body: &Bytes) {
        GONE.lock().insert(body.as_ptr().addr(), (body.len(), Arc::clone(self)));
        self.bytes.fetch_add(body.len() as u64, Ordering::Relaxed);
        self.judge();
    }

    fn take(&self, body: &Bytes) {
        GONE.lock().remove(&body.as_ptr().addr());
        self.bytes.fetch_sub(body.len() as u64, Ordering::Relaxed);
        self.judge();
    }

    fn judge(&self) {
        let mut since = self.since.lock();
        let bytes = self.bytes.load(Ordering::Relaxed);
        self.gauge.set(bytes);
        let is_too_much = bytes > self.limit.load(Ordering::Relaxed);
        if is_too_much && since.is_none() {
            *since = Some(self.clock.now());
            TOO_MUCH.fetch_add(1, Ordering::Relaxed);
        } else if !is_too_much && since.take().is_some() {
            TOO_MUCH.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// How fast a reader has to be now.
    fn least_rate(&self) -> u64 {
        let seconds = self.since.lock().map(|since| self.clock.now().since(since).as_secs());
        seconds.map_or(0, |seconds| FIRST_RATE << seconds.min(20))
    }
}

impl Clone for Keeper {
    fn clone(&self) -> Self {
        self.0.keepers.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(&self.0))
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        let lent = &self.0;
        let is_last = lent.keepers.fetch_sub(1, Ordering::AcqRel) == 1;
        // One reference is this one; whoever lets go of another meanwhile leaves the end to this one.
        if is_last && Arc::strong_count(lent) > 1 && !lent.bytes.is_empty() {
            lent.is_gone.store(true, Ordering::Release);
            lent.pinned.add(&lent.bytes);
        }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if self.is_gone.load(Ordering::Acquire) {
            self.pinned.take(&self.bytes);
        }
    }
}

/// Whether a reader who still has bytes at this address to take, and has taken this many in that time, is given up: they are of a
/// body that is gone, readers hold too much of such, and others are faster.
#[must_use]
pub fn is_given_up(address: usize, taken: u64, within: Duration) -> bool {
    if TOO_MUCH.load(Ordering::Relaxed) == 0 {
        return false;
    }
    let pinned = {
        let gone = GONE.lock();
        let Some((begin, (length, pinned))) = gone.range(..=address).next_back() else { return false };
        if address - begin >= *length {
            return false;
        }
        Arc::clone(pinned)
    };
    let millis = u64::try_from(within.as_millis()).unwrap_or(u64::MAX).max(1);
    taken.saturating_mul(1000) / millis < pinned.least_rate()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;
    use crate::model::id::Namespace;
    use crate::store::tests::{key, meta, namespace};

    fn pinned(capacity: u64, clock: &Clock) -> Arc<Pinned> {
        let gauge = Metrics::new().namespace(&Namespace::parse("n").unwrap()).pinned_bytes;
        Pinned::new(capacity, clock.clone(), gauge)
    }

    #[test]
    fn what_readers_hold_is_counted_from_the_last_entry_to_the_last_reader() {
        let pinned = pinned(1_000, &Clock::manual());
        let (bytes, keeper) = pinned.lend(Bytes::from(vec![7; 100]));
        // The same version again, as when it is renewed.
        let again = keeper.clone();
        let (reader, other) = (bytes.clone(), bytes.slice(50..));
        drop((bytes, keeper));
        assert_eq!(pinned.bytes(), 0, "it is an object still");
        drop(again);
        assert_eq!((pinned.bytes(), pinned.counted()), (100, 100));
        drop(reader);
        assert_eq!(pinned.bytes(), 100, "there is another reader");
        assert_eq!(other, [7; 50][..]);
        drop(other);
        assert_eq!(pinned.bytes(), 0);
        // Without readers nothing is ever counted.
        drop(pinned.lend(Bytes::from(vec![7; 100])));
        assert_eq!(pinned.bytes(), 0);
    }

    #[test]
    fn what_was_made_for_readers_is_counted_when_they_alone_hold_it() {
        let hot = namespace();
        for (length, counted) in [(200 << 10, 200 << 10), (1000, 0)] {
            let made = hot.made(key("window.m3u8"), Bytes::from(vec![7; length]), meta(&hot));
            let reader = made.body.slice(100..);
            assert_eq!(hot.usage().pinned, 0, "it is kept for others");
            drop(made);
            assert_eq!(hot.usage().pinned, counted);
            drop(reader);
            assert_eq!(hot.usage().pinned, 0);
        }
    }

    #[test]
    fn the_slowest_readers_are_given_up_first_and_only_those_of_what_is_gone() {
        let clock = Clock::manual();
        let pinned = pinned(400, &clock);
        let lend = |length: usize| pinned.lend(Bytes::from(vec![7; length]));
        let at = |bytes: &Bytes, offset: usize| bytes.as_ptr().addr() + offset;
        let second = Duration::from_secs(1);
        let ((first, of_first), (there, _of_there)) = (lend(100), lend(100));
        drop(of_first);
        assert!(!is_given_up(at(&first, 0), 0, second), "that is not too much");
        let (more, of_more) = lend(1);
        drop(of_more);
        assert!(pinned.counted() == 100 && pinned.bytes() == 101);
        assert!(is_given_up(at(&first, 0), 0, second) && is_given_up(at(&first, 99), 16_383, second));
        assert!(!is_given_up(at(&first, 99), 16_384, second), "this one is quick enough for now");
        assert!(!is_given_up(at(&there, 0), 0, second), "what is an object may be read as slowly as one likes");
        clock.advance(Duration::from_secs(4));
        assert!(is_given_up(at(&first, 99), 200_000, second) && !is_given_up(at(&first, 99), 300_000, second));
        drop(more);
        assert!(!is_given_up(at(&first, 0), 0, second));
        drop((first, there));
        assert_eq!(pinned.bytes(), 0);
    }
}
