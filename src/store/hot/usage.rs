//! How much a namespace holds in memory, and may hold.

use super::HotNamespace;

/// What a namespace holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// The hot capacity, in bytes.
    pub capacity: u64,
    /// Bytes of whole objects: bodies, keys and overhead.
    pub stored: u64,
    /// Bytes of uploads in flight.
    pub in_flight: u64,
    /// Bytes of bodies that are no object any more, which readers hold.
    pub pinned: u64,
    /// Objects, expired ones that were not swept yet included.
    pub objects: usize,
}

impl HotNamespace {
    /// Changes the hot capacity; a smaller one evicts at once.
    pub fn set_capacity(&self, capacity: u64) {
        let mut victims = Vec::new();
        {
            let mut ledger = self.ledger.lock();
            self.pinned.set_capacity(capacity);
            ledger.pinned = self.pinned.counted();
            ledger.capacity = capacity;
            self.metrics.capacity_bytes.set(capacity);
            ledger.make_room(self.clock.now(), None, &mut victims);
            self.take_out(&mut ledger, &victims);
        }
        self.account(victims);
    }

    /// What the namespace holds now.
    #[must_use]
    pub fn usage(&self) -> Usage {
        let ledger = self.ledger.lock();
        Usage {
            capacity: ledger.capacity,
            stored: ledger.stored,
            in_flight: ledger.in_flight,
            pinned: self.pinned.bytes(),
            objects: ledger.objects(),
        }
    }
}
