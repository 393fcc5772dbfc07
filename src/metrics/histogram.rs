//! A histogram that costs a request three atomic additions: prometheus-client's own has a lock in it.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts whole numbers (microseconds, milliseconds, bytes) by size.
#[derive(Debug)]
pub(super) struct Histogram {
    bounds: &'static [u64],
    /// One for each bound, and one for what is larger than all of them.
    buckets: Box<[AtomicU64]>,
    sum: AtomicU64,
}

/// What a histogram held at one moment, in the unit it is shown in.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Spread {
    pub(super) sum: f64,
    pub(super) count: u64,
    /// Upper bound and number of samples in this bucket alone.
    pub(super) buckets: Vec<(f64, u64)>,
}

impl Histogram {
    /// `bounds` ascend; each belongs to the bucket it ends.
    pub(super) fn new(bounds: &'static [u64]) -> Self {
        Self { bounds, buckets: (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect(), sum: AtomicU64::new(0) }
    }

    pub(super) fn observe(&self, value: u64) {
        let bucket = self.bounds.partition_point(|&bound| bound < value);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    /// What it holds; `unit` is how many of its whole numbers make one of the unit that is shown.
    #[expect(clippy::cast_precision_loss, reason = "a float is what is shown")]
    pub(super) fn read(&self, unit: f64) -> Spread {
        let counts: Vec<u64> = self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).collect();
        let bounds = self.bounds.iter().map(|&bound| bound as f64 / unit).chain([f64::INFINITY]);
        Spread {
            sum: self.sum.load(Ordering::Relaxed) as f64 / unit,
            // The sum of what was read, not a counter of its own: the two would disagree under load.
            count: counts.iter().sum(),
            buckets: bounds.zip(counts).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_falls_into_the_bucket_whose_bound_it_does_not_pass() {
        let histogram = Histogram::new(&[10, 100]);
        for value in [0, 10, 11, 100, 101, 4000] {
            histogram.observe(value);
        }
        let spread = histogram.read(10.0);
        assert_eq!(spread.buckets, [(1.0, 2), (10.0, 2), (f64::INFINITY, 2)]);
        assert_eq!((spread.count, spread.sum), (6, 422.2));
    }
}
