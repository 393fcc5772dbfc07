//! Writes that were given up, because more came than the tier takes: what leaves memory of them is lost before its time to live is
//! over. That is told at once, then once in a while, and shown for a while: no encoder and no reader would say it.

use std::time::Duration;

use crate::model::clock::Moment;
use crate::model::seldom::Seldom;

/// How long it is shown after the last one.
const SHOWN: Duration = Duration::from_secs(60);

/// What there is to tell of it.
#[derive(Debug, Default)]
pub(super) struct Overrun {
    last: Option<Moment>,
    seldom: Seldom,
}

impl Overrun {
    /// One write was given up.
    pub(super) fn count(&mut self, now: Moment) {
        self.last = Some(now);
        self.seldom.count();
    }

    /// Whether it is so now, or was a moment ago.
    pub(super) fn is_now(&self, now: Moment) -> bool {
        self.last.is_some_and(|last| now.since(last) < SHOWN)
    }

    /// How many a line is to tell of now.
    pub(super) fn take(&mut self, now: Moment) -> Option<u64> {
        self.seldom.take(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::clock::Clock;

    #[test]
    fn it_is_told_at_once_then_once_in_a_while_and_shown_until_it_is_over() {
        let (clock, mut overrun) = (Clock::manual(), Overrun::default());
        assert_eq!((overrun.is_now(clock.now()), overrun.take(clock.now())), (false, None));
        overrun.count(clock.now());
        assert_eq!((overrun.is_now(clock.now()), overrun.take(clock.now())), (true, Some(1)));
        for _ in 0..5 {
            overrun.count(clock.now());
            assert_eq!(overrun.take(clock.now()), None);
        }
        clock.advance(SHOWN / 2);
        assert_eq!(overrun.take(clock.now()), Some(5));
        assert_eq!(overrun.take(clock.now()), None);
        clock.advance(SHOWN);
        assert!(!overrun.is_now(clock.now()));
    }
}
