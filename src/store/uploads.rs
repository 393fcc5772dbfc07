//! The uploads of a namespace that are in flight, by key.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use ahash::RandomState;
use bytes::Bytes;
use parking_lot::RwLock;

use super::growing::GrowingBody;
use super::in_flight::BodyWriter;
use crate::model::id::Key;
use crate::model::stamp::Stamp;

/// Which uploads are in flight. Several of one key may be, in the order in which they were opened, which need not be that in which
/// their requests began.
///
/// Invariant: an upload is listed from its opening until it is published or dropped; `count` is the number of those listed.
#[derive(Debug, Default)]
pub(super) struct Uploads {
    count: AtomicUsize,
    open: RwLock<HashMap<Key, Vec<Arc<Flight>>, RandomState>>,
}

/// What others may know of an upload in flight.
#[derive(Debug, Default)]
pub(super) struct Flight {
    /// Bytes reserved for it. Changes only under the lock of the namespace's ledger, which has them in its sum.
    pub(super) reserved: AtomicU64,
    /// When its request began.
    begun: Stamp,
    /// A version or a removal that was begun later is in force: this one will not be the object. Changes only under the same lock.
    passed: AtomicBool,
    /// Whose it is, if that is known.
    pub(super) writer: Option<BodyWriter>,
    /// Its body, once there is something to be read of it.
    growing: OnceLock<Arc<GrowingBody>>,
}

impl Flight {
    pub(super) fn begun(&self) -> Stamp {
        self.begun
    }

    /// A later change of its name is in force. Under the lock of the ledger.
    pub(super) fn set_passed(&self) {
        self.passed.store(true, Ordering::Relaxed);
    }

    /// Whether a later change of its name has come before its own end.
    pub(super) fn is_passed(&self) -> bool {
        self.passed.load(Ordering::Relaxed)
    }

    pub(super) fn show(&self, growing: Arc<GrowingBody>) {
        // It begins to grow once.
        let _ = self.growing.set(growing);
    }

    pub(super) fn publish(&self) {
        if let Some(growing) = self.growing.get() {
            growing.publish();
        }
    }

    /// `lend`: for each piece that readers of it are to have all the same.
    pub(super) fn give_up(&self, lend: impl Fn(Bytes) -> Bytes) {
        if let Some(growing) = self.growing.get() {
            growing.give_up(lend);
        }
    }
}

impl Uploads {
    pub(super) fn open(&self, key: &Key, begun: Stamp, writer: Option<BodyWriter>) -> Arc<Flight> {
        let flight = Arc::new(Flight { begun, writer, ..Flight::default() });
        let mut open = self.open.write();
        open.entry(key.clone()).or_default().push(Arc::clone(&flight));
        self.count.fetch_add(1, Ordering::Relaxed);
        flight
    }

    pub(super) fn close(&self, key: &Key, flight: &Arc<Flight>) {
        let mut open = self.open.write();
        let Some(of_key) = open.get_mut(key) else { return };
        let before = of_key.len();
        of_key.retain(|one| !Arc::ptr_eq(one, flight));
        self.count.fetch_sub(before - of_key.len(), Ordering::Relaxed);
        if of_key.is_empty() {
            open.remove(key);
        }
    }

    /// Whether any upload of the key is in flight.
    pub(super) fn has(&self, key: &Key) -> bool {
        self.count.load(Ordering::Relaxed) > 0 && self.open.read().contains_key(key)
    }

    /// The upload of the key that was begun last, of those that can be read. An older one is read as long as the newer has nothing to
    /// be read, and has not passed it.
    pub(super) fn growing(&self, key: &Key) -> Option<Arc<GrowingBody>> {
        if self.count.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let open = self.open.read();
        let readable = open.get(key)?.iter().filter(|flight| !flight.is_passed() && flight.growing.get().is_some());
        readable.max_by_key(|flight| flight.begun)?.growing.get().map(Arc::clone)
    }

    /// A change of the key that was begun then is in force now: older uploads of it are passed. Under the lock of the ledger.
    pub(super) fn pass(&self, key: &Key, begun: Stamp) {
        if self.count.load(Ordering::Relaxed) == 0 {
            return;
        }
        for flight in self.open.read().get(key).into_iter().flatten().filter(|flight| flight.begun < begun) {
            flight.set_passed();
        }
    }

    /// Bytes reserved for all of them together. For tests, under the lock of the ledger.
    pub(super) fn reserved(&self) -> u64 {
        let open = self.open.read();
        assert!(open.values().all(|of_key| !of_key.is_empty()), "no key is listed without an upload");
        assert_eq!(open.values().map(Vec::len).sum::<usize>(), self.count.load(Ordering::Relaxed), "all are counted");
        for flight in open.values().flatten() {
            let held = flight.growing.get().map_or(0, |growing| growing.held());
            let reserved = flight.reserved.load(Ordering::Relaxed);
            // One that has just been published holds what is the entry's now.
            assert!(held <= reserved || reserved == 0, "{held} bytes can be read, {reserved} are reserved");
        }
        open.values().flatten().map(|flight| flight.reserved.load(Ordering::Relaxed)).sum()
    }
}
