//! The engine's clock, as this node reckons it: what was decided when, and what expires, is told by that one on every node.
//!
//! An answer says what it showed somewhere between question and answer. Of the last answers the one that took least time is believed: it is
//! wrong by half of that at most.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::EngineTime;
use crate::model::clock::{Clock, Moment, Now, WallTime};

/// A better answer is not waited for any longer.
const BELIEVED: Duration = Duration::from_secs(10);

/// The engine's clock.
#[derive(Debug)]
pub(super) struct EngineClock {
    clock: Clock,
    /// Milliseconds by which it is ahead of this machine's.
    ahead: AtomicI64,
    /// How long the answer took that is believed, and when it came.
    best: Mutex<Option<(Duration, Moment)>>,
}

impl EngineClock {
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, ahead: AtomicI64::new(0), best: Mutex::default() }
    }

    /// This machine's.
    pub(super) fn own(&self) -> &Clock {
        &self.clock
    }

    /// Takes note of what an answer said that was asked for at `asked`.
    pub(super) fn told(&self, showed: EngineTime, asked: WallTime) {
        let (came, now) = (self.clock.wall(), self.clock.now());
        let took = came.since(asked);
        let mut best = self.best.lock();
        if best.is_some_and(|(least, at)| took > least && now.since(at) < BELIEVED) {
            return;
        }
        *best = Some((took, now));
        let middle = asked + took / 2;
        self.ahead.store(showed.cast_signed() - middle.millis().cast_signed(), Ordering::Relaxed);
    }

    /// What it shows now.
    pub(super) fn now(&self) -> EngineTime {
        self.clock.wall().millis().saturating_add_signed(self.ahead.load(Ordering::Relaxed))
    }

    /// The moment here at which it showed that.
    pub(super) fn moment(&self, showed: EngineTime) -> Moment {
        self.clock.moment_of(WallTime::from_millis(showed.saturating_add_signed(-self.ahead.load(Ordering::Relaxed))))
    }

    /// What it shows at that moment.
    pub(super) fn at(&self, moment: Moment) -> EngineTime {
        self.clock.wall_of(moment).millis().saturating_add_signed(self.ahead.load(Ordering::Relaxed))
    }

    /// What it shows when this machine's shows that.
    pub(super) fn of_wall(&self, wall: WallTime) -> EngineTime {
        wall.millis().saturating_add_signed(self.ahead.load(Ordering::Relaxed))
    }

    /// The instant at which it showed that: dates are the engine's, the same on every node.
    pub(super) fn instant(&self, showed: EngineTime, is_past: bool) -> Now {
        Now { moment: self.moment(showed), wall: WallTime::from_millis(showed), is_past }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quickest_answer_is_believed() {
        let clock = Clock::manual();
        let engine = EngineClock::new(clock.clone());
        let asked = clock.wall();
        clock.advance(Duration::from_millis(10));
        engine.told(asked.millis() + 5_005, asked);
        assert_eq!(engine.now(), clock.wall().millis() + 5_000);
        let asked = clock.wall();
        clock.advance(Duration::from_millis(500));
        engine.told(asked.millis() + 5_499, asked);
        assert_eq!(engine.now(), clock.wall().millis() + 5_000, "that one took long");
        let moment = clock.now() + Duration::from_secs(7);
        assert_eq!(engine.moment(engine.at(moment)), moment);
        clock.advance(BELIEVED);
        let asked = clock.wall();
        clock.advance(Duration::from_millis(500));
        engine.told(asked.millis() + 250, asked);
        assert_eq!(engine.now(), clock.wall().millis(), "the quick one is old by now");
    }
}
