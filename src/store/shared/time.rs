//! The engine's clock, as this node reckons it: what was decided when, and what expires, is told by that one on every node.
//!
//! An answer says what it showed somewhere between question and answer. Of the last answers the one that took least time is believed: it is
//! wrong by half of that at most. It is held against this process's moments, so that a step of the machine's wall clock changes nothing.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::EngineTime;
use crate::model::clock::{Clock, Moment, Now, WallTime};

/// A better answer is not waited for any longer.
const BELIEVED: Duration = Duration::from_secs(10);
/// An answer that contradicts what is believed by more than this many milliseconds is believed at once, however long it took: the engine's clock was set, or
/// this process stood still and its moments with it. Clocks of a cluster's servers differ by less.
const SET: u64 = 1_000;

/// The engine's clock.
#[derive(Debug)]
pub(super) struct EngineClock {
    clock: Clock,
    /// Milliseconds by which it is ahead of this process's moments. By the wall clock, until an answer tells.
    ahead: AtomicI64,
    /// How long the answer took that is believed, and when it came.
    best: Mutex<Option<(Duration, Moment)>>,
}

/// Since before all moments.
fn millis(moment: Moment) -> u64 {
    u64::try_from(moment.since(Moment::default()).as_millis()).unwrap_or(u64::MAX)
}

impl EngineClock {
    pub(super) fn new(clock: Clock) -> Self {
        let ahead = clock.wall().millis().cast_signed() - millis(clock.now()).cast_signed();
        Self { clock, ahead: AtomicI64::new(ahead), best: Mutex::default() }
    }

    /// This machine's.
    pub(super) fn own(&self) -> &Clock {
        &self.clock
    }

    /// Takes note of what an answer said that was asked for at `asked`.
    pub(super) fn told(&self, showed: EngineTime, asked: Moment) {
        let now = self.clock.now();
        let took = now.since(asked);
        let mut best = self.best.lock();
        let believed = self.at(asked).saturating_sub(SET)..=self.at(now).saturating_add(SET);
        let is_worse = best.is_some_and(|(least, at)| took > least && now.since(at) < BELIEVED);
        if is_worse && believed.contains(&showed) {
            return;
        }
        *best = Some((took, now));
        let middle = asked + took / 2;
        self.ahead.store(showed.cast_signed() - millis(middle).cast_signed(), Ordering::Relaxed);
    }

    /// What it shows now.
    pub(super) fn now(&self) -> EngineTime {
        self.at(self.clock.now())
    }

    /// The moment here at which it showed that.
    pub(super) fn moment(&self, showed: EngineTime) -> Moment {
        let since = showed.saturating_add_signed(-self.ahead.load(Ordering::Relaxed));
        Moment::default() + Duration::from_millis(since)
    }

    /// What it shows at that moment.
    pub(super) fn at(&self, moment: Moment) -> EngineTime {
        millis(moment).saturating_add_signed(self.ahead.load(Ordering::Relaxed))
    }

    /// What it shows when this machine's shows that.
    pub(super) fn of_wall(&self, wall: WallTime) -> EngineTime {
        self.at(self.clock.moment_of(wall))
    }

    /// The instant at which it showed that: dates are the engine's, the same on every node.
    pub(super) fn instant(&self, showed: EngineTime, is_past: bool) -> Now {
        Now { moment: self.moment(showed), wall: WallTime::from_millis(showed), is_past }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;

    #[test]
    fn the_quickest_answer_is_believed() {
        let clock = Clock::manual();
        let engine = EngineClock::new(clock.clone());
        let asks = || (clock.now(), clock.wall().millis());
        let (asked, showed) = asks();
        clock.advance(Duration::from_millis(10));
        engine.told(showed + 5_005, asked);
        assert_eq!(engine.now(), clock.wall().millis() + 5_000);
        let (asked, showed) = asks();
        clock.advance(Duration::from_millis(500));
        engine.told(showed + 5_499, asked);
        assert_eq!(engine.now(), clock.wall().millis() + 5_000, "that one took long");
        let moment = clock.now() + Duration::from_secs(7);
        assert_eq!(engine.moment(engine.at(moment)), moment);
        clock.advance(BELIEVED);
        let (asked, showed) = asks();
        clock.advance(Duration::from_millis(500));
        engine.told(showed + 4_750, asked);
        assert_eq!(engine.now(), clock.wall().millis() + 4_500, "the quick one is old by now");
    }

    #[test]
    fn a_step_of_the_wall_clock_changes_nothing() {
        let clock = Clock::manual();
        let engine = EngineClock::new(clock.clone());
        let begun = engine.now();
        assert_eq!(begun, clock.wall().millis(), "nobody has told anything yet");
        clock.set_wall(HOUR);
        clock.advance(Duration::from_millis(10));
        assert_eq!(engine.now(), begun + 10);
        // It is set back while an answer is on its way.
        let asked = clock.now();
        clock.set_wall(-2 * HOUR);
        clock.advance(Duration::from_millis(2));
        engine.told(begun + 11, asked);
        assert_eq!(engine.now(), begun + 12);
        assert_eq!(engine.at(clock.now() + Duration::from_secs(60)), begun + 60_012);
        let until = clock.wall() + Duration::from_secs(60);
        assert_eq!(engine.of_wall(until), begun + 60_012, "a minute from now, by whichever clock");
    }

    #[test]
    fn an_answer_that_contradicts_the_quickest_one_is_believed_at_once() {
        let clock = Clock::manual();
        let engine = EngineClock::new(clock.clone());
        let begun = engine.now();
        engine.told(begun, clock.now());
        // This process stood still for an hour, and its moments with it.
        let asked = clock.now();
        clock.advance(Duration::from_millis(20));
        engine.told(begun + 3_600_010, asked);
        assert_eq!(engine.now(), begun + 3_600_020);
    }
}
