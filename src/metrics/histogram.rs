//! A histogram that costs a request two additions to memory that no other thread counts in: prometheus-client's own has a lock in it.

use std::sync::atomic::Ordering;

use super::stripes::StripedRow;

/// Counts whole numbers (microseconds, milliseconds, bytes) by size.
#[derive(Debug)]
pub(super) struct Histogram {
    bounds: &'static [u64],
    /// One for each bound, one for what is larger than all of them, and the sum.
    counts: StripedRow,
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
        Self { bounds, counts: StripedRow::new(bounds.len() + 2) }
    }

    pub(super) fn observe(&self, value: u64) {
        let bucket = self.bounds.partition_point(|&bound| bound < value);
        let counts = self.counts.mine();
        counts[bucket].fetch_add(1, Ordering::Relaxed);
        counts[self.bounds.len() + 1].fetch_add(value, Ordering::Relaxed);
    }

    /// What it holds; `unit` is how many of its whole numbers make one of the unit that is shown.
    #[expect(clippy::cast_precision_loss, reason = "a float is what is shown")]
    pub(super) fn read(&self, unit: f64) -> Spread {
        let mut counts = self.counts.sums();
        let sum = counts.pop().unwrap_or_default();
        let bounds = self.bounds.iter().map(|&bound| bound as f64 / unit).chain([f64::INFINITY]);
        Spread {
            sum: sum as f64 / unit,
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
