//! Where bytes are.
//!
//! A [`Store`] has one [`HotNamespace`] for each configured namespace; an object goes in through an [`Upload`] and comes out as an
//! [`Entry`]. Tiers below the hot store will be known here and nowhere else.
//!
//! Invariants: nothing here knows HTTP, keys or playlists. An object is whole or absent, and a name changes from one whole
//! version to the next in one step. Bytes counted = bytes held. No lock is held across an await: nothing here awaits.

mod hot;
mod in_flight;
mod upload;

use std::collections::HashMap;
use std::sync::Arc;

use ahash::RandomState;

pub use hot::entry::{Entry, OVERHEAD};
pub use hot::{HotNamespace, Published, Usage};
pub use in_flight::InFlight;
pub use upload::{Body, Upload};

use crate::metrics::Metrics;
use crate::model::clock::Clock;
use crate::model::id::Namespace;

/// Why bytes are not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The process-wide limit on bytes in flight is reached; it passes as uploads end.
    #[error("the limit on bytes in flight is reached")]
    Busy,
    /// A condition of the write does not hold for what is stored now.
    #[error("the stored version does not meet the condition")]
    Precondition,
}

/// All namespaces' bytes.
#[derive(Debug)]
pub struct Store {
    namespaces: HashMap<Namespace, Arc<HotNamespace>, RandomState>,
}

impl Store {
    /// Makes the namespaces, empty, each with its hot capacity in bytes. `max_in_flight` bounds the bytes of all uploads in
    /// flight together.
    #[must_use]
    pub fn new(
        namespaces: impl IntoIterator<Item = (Namespace, u64)>,
        max_in_flight: u64,
        clock: &Clock,
        metrics: &Metrics,
    ) -> Self {
        let in_flight = Arc::new(InFlight::new(max_in_flight, metrics.in_flight_bytes.clone()));
        let make = |(name, capacity): (Namespace, u64)| {
            let hot = HotNamespace::new(capacity, Arc::clone(&in_flight), clock.clone(), metrics.namespace(&name));
            (name, Arc::new(hot))
        };
        Self { namespaces: namespaces.into_iter().map(make).collect() }
    }

    /// A namespace, if it is configured.
    #[must_use]
    pub fn namespace(&self, name: &Namespace) -> Option<&Arc<HotNamespace>> {
        self.namespaces.get(name)
    }
}
