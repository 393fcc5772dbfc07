//! Lines of the log about what goes on and on: one at once, then one in a while, with how often it was since. So no loop of anybody fills the
//! log, and none that ends soon goes untold.

use std::time::Duration;

use super::clock::Moment;

/// How long after a line there is no other.
const QUIET: Duration = Duration::from_secs(30);

/// What was told of one thing.
#[derive(Clone, Debug, Default)]
pub struct Seldom {
    told: Option<Moment>,
    untold: u64,
}

impl Seldom {
    /// It was once more.
    pub fn count(&mut self) {
        self.untold += 1;
    }

    /// How often it was, for a line that is to be written now; `None`: none is.
    #[must_use]
    pub fn take(&mut self, now: Moment) -> Option<u64> {
        if self.untold == 0 || self.told.is_some_and(|told| now.since(told) < QUIET) {
            return None;
        }
        self.told = Some(now);
        Some(std::mem::take(&mut self.untold))
    }

    /// It was once more: both in one.
    #[must_use]
    pub fn once_more(&mut self, now: Moment) -> Option<u64> {
        self.count();
        self.take(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::clock::Clock;

    #[test]
    fn it_is_told_at_once_and_then_once_in_a_while() {
        let (clock, mut seldom) = (Clock::manual(), Seldom::default());
        assert_eq!(seldom.take(clock.now()), None);
        assert_eq!(seldom.once_more(clock.now()), Some(1));
        for _ in 0..5 {
            assert_eq!(seldom.once_more(clock.now()), None);
        }
        clock.advance(QUIET);
        assert_eq!((seldom.take(clock.now()), seldom.take(clock.now())), (Some(5), None));
    }
}
