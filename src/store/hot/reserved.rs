//! What uploads in flight have reserved: in the namespace's account and of what the process may have in flight.
//!
//! Invariant: what an upload has reserved is what has come of it, what its request holds beside that, and a fixed overhead. Bytes push segments out, an announcement none.

use std::sync::atomic::Ordering;

use super::HotNamespace;
use super::entry::cost;
use crate::model::id::Key;
use crate::store::StoreError;
use crate::store::in_flight::{BodyWriter, Claim};
use crate::store::uploads::Flight;

impl HotNamespace {
    /// Lets in an upload that has been listed: reserves what it costs before any of it has come, which pushes nothing out, and has it
    /// know whether it comes too late already. A body that was announced and would not fit now is refused before it is sent.
    pub(in crate::store) fn admit(&self, key: &Key, length: u64, flight: &Flight) -> Result<(), StoreError> {
        let cost = cost(key, 0);
        let claim = self.claim(flight);
        if !self.in_flight.would_take(cost + length, claim) || !self.in_flight.try_take(cost, claim) {
            return Err(StoreError::Busy);
        }
        let mut ledger = self.ledger.lock();
        ledger.in_flight += cost;
        flight.reserved.fetch_add(cost, Ordering::Relaxed);
        if Self::is_older(&ledger, self.map.get(key.as_str()).as_deref(), key, flight.begun()) {
            flight.set_passed();
        }
        self.show(&ledger);
        Ok(())
    }

    /// Reserves what an upload's request holds beside its body, which pushes nothing out either.
    pub(in crate::store) fn hold(&self, bytes: u64, flight: &Flight) -> Result<(), StoreError> {
        if !self.in_flight.try_take(bytes, self.claim(flight)) {
            return Err(StoreError::Busy);
        }
        let mut ledger = self.ledger.lock();
        ledger.in_flight += bytes;
        flight.reserved.fetch_add(bytes, Ordering::Relaxed);
        self.show(&ledger);
        Ok(())
    }

    /// The writer of this name.
    pub(in crate::store) fn writer(&self, name: &str) -> BodyWriter {
        self.in_flight.writer(name)
    }

    pub(super) fn claim<'a>(&'a self, flight: &'a Flight) -> Claim<'a> {
        Claim { namespace: &self.share, writer: flight.writer.as_ref(), own: flight.reserved.load(Ordering::Relaxed) }
    }

    /// Reserves `bytes` more for an upload, of which they have come, making room for them.
    pub(in crate::store) fn reserve(&self, bytes: u64, flight: &Flight) -> Result<(), StoreError> {
        if !self.in_flight.try_take(bytes, self.claim(flight)) {
            return Err(StoreError::Busy);
        }
        let mut victims = Vec::new();
        {
            let mut ledger = self.ledger.lock();
            ledger.in_flight += bytes;
            flight.reserved.fetch_add(bytes, Ordering::Relaxed);
            ledger.pinned = self.pinned.counted();
            ledger.make_room(self.clock.now(), None, &mut victims);
            self.take_out(&mut ledger, &victims);
        }
        self.account(victims);
        Ok(())
    }

    /// Gives an upload's reservation back.
    pub(in crate::store) fn release(&self, flight: &Flight) {
        // Nobody else adds to it.
        if flight.reserved.load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut ledger = self.ledger.lock();
        let reserved = flight.reserved.swap(0, Ordering::Relaxed);
        ledger.in_flight -= reserved;
        self.show(&ledger);
        drop(ledger);
        self.in_flight.give_back(reserved, self.claim(flight));
    }
}
