//! The process-wide limit on bytes in flight, and who may have how much of it.
//!
//! Counted is what has come, never what was announced: a client that announces much and sends nothing takes nothing from others.
//! One that does send may fill the limit all the same, and then everybody else is refused. So a namespace, and within it a writer,
//! has a share of what is free: the fuller it is, the smaller the share, and something is always left for who has nothing yet.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ahash::RandomState;
use parking_lot::Mutex;

use crate::metrics::Level;

/// How many times what is left free the uploads of one namespace may hold together: one alone gets four fifths of the limit.
const NAMESPACE: u64 = 4;
/// The same of one writer: one alone gets two thirds.
const WRITER: u64 = 2;
/// Past this many writers those without an upload in flight are forgotten.
const WRITERS: usize = 1024;

/// Counts the bytes of all uploads in flight and refuses those over the limit, so that a flood of uploads can't take the
/// memory that is promised to the namespaces.
#[derive(Debug)]
pub struct InFlightLimit {
    limit: AtomicU64,
    used: AtomicU64,
    writers: Mutex<HashMap<Box<str>, BodyWriter, RandomState>>,
    gauge: Level,
}

/// The bytes in flight of one party: a namespace, or a writer.
#[derive(Debug, Default)]
pub(super) struct Share(AtomicU64);

/// Somebody whose uploads are counted together. A cheap handle.
#[derive(Clone, Debug, Default)]
pub(super) struct BodyWriter(Arc<Share>);

/// For whom bytes are taken, and how many he has already.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claim<'a> {
    pub(super) namespace: &'a Share,
    pub(super) writer: Option<&'a BodyWriter>,
    /// What the upload itself has taken. One upload alone needs no share: it is let grow to the limit.
    pub(super) own: u64,
}

impl Claim<'_> {
    fn shares(&self) -> impl Iterator<Item = (&AtomicU64, u64)> {
        [(&self.namespace.0, NAMESPACE)].into_iter().chain(self.writer.map(|writer| (&writer.0.0, WRITER)))
    }
}

impl InFlightLimit {
    pub(super) fn new(limit: u64, gauge: Level) -> Self {
        Self { limit: AtomicU64::new(limit), used: AtomicU64::new(0), writers: Mutex::default(), gauge }
    }

    /// The writer of this name, which says nothing here.
    pub(super) fn writer(&self, name: &str) -> BodyWriter {
        let mut writers = self.writers.lock();
        if let Some(writer) = writers.get(name) {
            return writer.clone();
        }
        if writers.len() >= WRITERS {
            writers.retain(|_, writer| Arc::strong_count(&writer.0) > 1);
        }
        writers.entry(name.into()).or_default().clone()
    }

    /// Takes `bytes` more, or nothing when that would pass the limit or a share of it.
    pub(super) fn try_take(&self, bytes: u64, claim: Claim<'_>) -> bool {
        let limit = self.limit.load(Ordering::Relaxed);
        let fits = |used: u64| used.checked_add(bytes).filter(|&sum| sum <= limit);
        let Ok(before) = self.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, fits) else { return false };
        let free = limit - before - bytes;
        let mut is_fair = true;
        for (share, times) in claim.shares() {
            let had = share.fetch_add(bytes, Ordering::AcqRel);
            is_fair &= had <= claim.own || had + bytes <= free.saturating_mul(times);
        }
        self.gauge.inc_by(bytes);
        if !is_fair {
            self.give_back(bytes, claim);
        }
        is_fair
    }

    /// Whether this many bytes could be taken now.
    pub(super) fn would_take(&self, bytes: u64, claim: Claim<'_>) -> bool {
        let limit = self.limit.load(Ordering::Relaxed);
        let used = self.used.load(Ordering::Relaxed);
        let Some(free) = used.checked_add(bytes).and_then(|sum| limit.checked_sub(sum)) else { return false };
        claim.shares().all(|(share, times)| {
            let has = share.load(Ordering::Relaxed);
            has <= claim.own || has + bytes <= free.saturating_mul(times)
        })
    }

    pub(super) fn set_limit(&self, bytes: u64) {
        self.limit.store(bytes, Ordering::Relaxed);
    }

    pub(super) fn give_back(&self, bytes: u64, claim: Claim<'_>) {
        self.used.fetch_sub(bytes, Ordering::AcqRel);
        for (share, _) in claim.shares() {
            share.fetch_sub(bytes, Ordering::AcqRel);
        }
        self.gauge.dec_by(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;

    fn in_flight(limit: u64) -> InFlightLimit {
        InFlightLimit::new(limit, Metrics::new().in_flight_bytes.clone())
    }

    fn claim<'a>(namespace: &'a Share, writer: &'a BodyWriter, own: u64) -> Claim<'a> {
        Claim { namespace, writer: Some(writer), own }
    }

    /// Takes as much as it can, ten bytes at a time for uploads of a hundred each, and says how much that was.
    fn fill(in_flight: &InFlightLimit, namespace: &Share, writer: &BodyWriter) -> u64 {
        let mut taken = 0;
        while in_flight.try_take(10, claim(namespace, writer, taken % 100)) {
            taken += 10;
        }
        taken
    }

    #[test]
    fn whoever_comes_last_finds_something_left() {
        let in_flight = in_flight(9_000);
        let (one, other) = (Share::default(), Share::default());
        let (first, second, third) = (in_flight.writer("a"), in_flight.writer("b"), in_flight.writer("c"));
        let hog = fill(&in_flight, &one, &first);
        assert!((5_900..=6_100).contains(&hog), "one writer alone gets two thirds: {hog}");
        let beside = fill(&in_flight, &one, &second);
        assert!(beside >= 1_000, "another key of its namespace gets something: {beside}");
        assert!(hog + beside <= 7_300, "and the two no more than four fifths: {hog} + {beside}");
        let elsewhere = fill(&in_flight, &other, &third);
        assert!(elsewhere >= 1_000, "and another namespace too: {elsewhere}");
        in_flight.give_back(hog, claim(&one, &first, 0));
        in_flight.give_back(beside, claim(&one, &second, 0));
        in_flight.give_back(elsewhere, claim(&other, &third, 0));
        assert_eq!(in_flight.used.load(Ordering::Relaxed), 0);
        assert!([&one, &other, &first.0, &second.0, &third.0].iter().all(|share| share.0.load(Ordering::Relaxed) == 0));
    }

    #[test]
    fn one_upload_alone_may_have_all_of_it() {
        let in_flight = in_flight(1_000);
        let (namespace, writer) = (Share::default(), in_flight.writer("a"));
        assert!(
            in_flight.would_take(1_000, claim(&namespace, &writer, 0))
                && !in_flight.would_take(1_001, claim(&namespace, &writer, 0))
        );
        for taken in 0..10 {
            assert!(in_flight.try_take(100, claim(&namespace, &writer, taken * 100)));
        }
        assert!(!in_flight.try_take(1, claim(&namespace, &writer, 1_000)));
    }

    #[test]
    fn writers_are_forgotten_when_they_have_nothing_in_flight() {
        let in_flight = in_flight(1_000);
        let kept = in_flight.writer("kept");
        for n in 0..5 * WRITERS {
            in_flight.writer(&n.to_string());
        }
        assert!(in_flight.writers.lock().len() <= WRITERS + 1);
        assert!(Arc::ptr_eq(&kept.0, &in_flight.writer("kept").0));
    }
}
