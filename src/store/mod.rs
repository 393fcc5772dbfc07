//! Where bytes are.
//!
//! A [`Store`] opens one [`HotNamespace`] for each configured namespace; an object goes in through an [`Upload`] and comes out as an
//! [`Entry`], or piece by piece through a [`GrowingReader`] while it is still going in. Who comes too early waits for its
//! [`Arrival`]. Tiers below the hot store will be known here and nowhere else.
//!
//! Invariants: nothing here knows HTTP, keys or playlists. An object is whole or absent, and a name changes from one whole
//! version to the next in one step; what is read while it grows is no object yet, and never seen where there is one. Bytes
//! counted = bytes held. No lock is held across an await.

mod arrivals;
mod growing;
mod hot;
mod in_flight;
mod upload;
mod uploads;

use std::sync::Arc;

pub use arrivals::Arrival;
pub use growing::{BrokenOff, GrowingReader};
pub use hot::entry::{Entry, OVERHEAD};
pub use hot::{HotNamespace, Published, Usage};
pub use in_flight::InFlight;
pub use upload::{Body, Upload};

use crate::metrics::{Metrics, NamespaceMetrics};
use crate::model::clock::Clock;

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

/// What all namespaces share: the limit on bytes in flight.
#[derive(Debug)]
pub struct Store {
    in_flight: Arc<InFlight>,
    clock: Clock,
}

impl Store {
    /// `max_in_flight` bounds the bytes of all uploads in flight together.
    #[must_use]
    pub fn new(max_in_flight: u64, clock: Clock, metrics: &Metrics) -> Self {
        Self { in_flight: Arc::new(InFlight::new(max_in_flight, metrics.in_flight_bytes.clone())), clock }
    }

    /// Makes a namespace, empty, with its hot capacity in bytes.
    #[must_use]
    pub fn open(&self, capacity: u64, metrics: NamespaceMetrics) -> Arc<HotNamespace> {
        Arc::new(HotNamespace::new(capacity, Arc::clone(&self.in_flight), self.clock.clone(), metrics))
    }

    /// Changes the limit. Uploads that were admitted go on, also over a lower one.
    pub fn set_max_in_flight(&self, bytes: u64) {
        self.in_flight.set_limit(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::{Key, Namespace};
    use crate::model::kind::Kind;
    use crate::model::meta::{Meta, Outset};
    use http::HeaderValue;
    use std::time::Duration;

    /// A namespace of its own, for the tests of this floor.
    pub(super) fn namespace() -> Arc<HotNamespace> {
        let (clock, metrics) = (Clock::manual(), Metrics::new());
        let namespace = metrics.namespace(&Namespace::parse("n").unwrap());
        Store::new(1 << 20, clock, &metrics).open(1 << 20, namespace)
    }

    pub(super) fn key(name: &str) -> Key {
        Key::parse(name).unwrap()
    }

    pub(super) fn outset() -> Outset {
        Outset {
            kind: Kind::Segment,
            content_type: HeaderValue::from_static("x"),
            content_encoding: None,
            cache_control: None,
            ttl: Duration::from_secs(60),
        }
    }

    pub(super) fn meta(hot: &HotNamespace) -> Meta {
        let text = HeaderValue::from_static("x");
        Meta {
            kind: Kind::Segment,
            content_type: text.clone(),
            content_encoding: None,
            cache_control: None,
            etag: text.clone(),
            last_modified: text,
            modified: hot.clock().wall(),
            expires: hot.clock().now() + Duration::from_secs(60),
            target_duration: None,
            liveness: None,
        }
    }
}
