//! When a request began: in which order those that change an object were begun, whatever the order in which they end.

use std::sync::atomic::{AtomicU64, Ordering};

use super::clock::{Clock, Moment};

/// The beginning of a request. Of two stamps the one that was given later is the greater. The default is before all others: of what
/// was written before this process began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp {
    // First, so that it alone decides.
    number: u64,
    at: Moment,
}

/// Gives stamps, each later than all it gave before: one for all namespaces and listeners of a process.
#[derive(Debug)]
pub struct Stamps {
    clock: Clock,
    last: AtomicU64,
}

impl Stamp {
    /// When it was given.
    #[must_use]
    pub fn at(self) -> Moment {
        self.at
    }
}

impl Stamps {
    /// A source that has given none.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self { clock, last: AtomicU64::new(0) }
    }

    /// The stamp of what begins now.
    pub fn next(&self) -> Stamp {
        Stamp { number: self.last.fetch_add(1, Ordering::Relaxed) + 1, at: self.clock.now() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_ones_are_greater_whatever_the_clock_says() {
        let stamps = Stamps::new(Clock::manual());
        let (first, second) = (stamps.next(), stamps.next());
        assert!(Stamp::default() < first && first < second);
        assert_eq!(first.at(), second.at());
    }
}
