//! The process-wide limit on bytes in flight.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::metrics::Level;

/// Counts the bytes of all uploads in flight and refuses those over the limit, so that a flood of uploads can't take the
/// memory that is promised to the namespaces.
#[derive(Debug)]
pub struct InFlight {
    limit: AtomicU64,
    used: AtomicU64,
    gauge: Level,
}

impl InFlight {
    pub(super) fn new(limit: u64, gauge: Level) -> Self {
        Self { limit: AtomicU64::new(limit), used: AtomicU64::new(0), gauge }
    }

    /// Takes `bytes` more, or nothing when that would pass the limit.
    pub(super) fn try_take(&self, bytes: u64) -> bool {
        let limit = self.limit.load(Ordering::Relaxed);
        let fits = |used: u64| used.checked_add(bytes).filter(|&sum| sum <= limit);
        let taken = self.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, fits).is_ok();
        if taken {
            self.gauge.inc_by(bytes);
        }
        taken
    }

    pub(super) fn set_limit(&self, bytes: u64) {
        self.limit.store(bytes, Ordering::Relaxed);
    }

    pub(super) fn give_back(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::AcqRel);
        self.gauge.dec_by(bytes);
    }
}
