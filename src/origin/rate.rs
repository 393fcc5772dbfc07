//! Rates: how many requests and bytes a second a namespace serves and takes.
//!
//! An allowance fills at the rate, up to a burst's worth, and each request takes its cost out of it. Reads and writes have
//! allowances of their own, so that no crowd of readers ever holds up an encoder. Of a reading allowance the last half is kept for
//! the live edge: when there is not enough for all, those who watch live go before those who look back. Of several nodes that share
//! an engine each has a [part](Rate::set_part) of it.

use std::time::Duration;

use parking_lot::Mutex;

use crate::model::clock::Moment;

/// How long a burst may last at the full rate before it is held to the rate: for an encoder that comes back with what it kept
/// during an outage, and for a crowd at the start of a show.
const BURST: Duration = Duration::from_secs(30);

/// Who asks, when there is not enough for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RateClaim {
    /// May take the last of it.
    First,
    /// Has to leave half of a burst.
    Second,
}

/// An allowance, or none to keep to.
#[derive(Debug)]
pub(super) struct Rate {
    per_second: Option<u64>,
    state: Mutex<Balance>,
}

#[derive(Debug)]
struct Balance {
    left: f64,
    at: Moment,
    /// Which part of it is this node's.
    part: f64,
    /// What was asked for since this was last taken note of, whether there was enough or not.
    asked: u64,
}

impl Rate {
    /// An allowance that is full at `now`; `None` is without limit.
    pub(super) fn new(per_second: Option<u64>, now: Moment) -> Self {
        let mut rate = Self { per_second, state: Mutex::new(Balance { left: 0.0, at: now, part: 1.0, asked: 0 }) };
        rate.state.get_mut().left = rate.burst();
        rate
    }

    /// What was asked for since this was last called; `None`, where there is no limit.
    pub(super) fn take_asked(&self) -> Option<u64> {
        self.per_second?;
        Some(std::mem::take(&mut self.state.lock().asked))
    }

    /// Only that part of it is for here from now on.
    pub(super) fn set_part(&self, part: f64) {
        let mut state = self.state.lock();
        state.part = part;
        state.left = state.left.min(self.burst() * part);
    }

    pub(super) fn per_second(&self) -> Option<u64> {
        self.per_second
    }

    #[expect(clippy::cast_precision_loss, reason = "a rate need not be exact beyond 2^53")]
    fn burst(&self) -> f64 {
        self.per_second.map_or(0.0, |rate| rate as f64 * BURST.as_secs_f64())
    }

    /// Takes `cost`, if anything is left: what is large may overdraw, and those after it wait, but nobody for longer than a burst lasts: what
    /// overdraws by more is let have it. Says how much was taken, which is nothing where there is no limit; or how long to wait.
    pub(super) fn take(&self, cost: u64, claim: RateClaim, now: Moment) -> Result<u64, Duration> {
        let Some(per_second) = self.per_second else { return Ok(0) };
        let mut state = self.state.lock();
        let (per_second, burst) = state.grow(cost, per_second, self.burst(), now);
        let kept = match claim {
            RateClaim::First => 0.0,
            RateClaim::Second => burst / 2.0,
        };
        if state.left <= kept {
            return Err(Duration::from_secs_f64(((kept - state.left) / per_second).clamp(1.0, 60.0)));
        }
        Ok(state.spend(cost, burst))
    }

    /// Takes `cost` whatever is left, for what has begun and is not cut off: it may overdraw as one [that is let in](Self::take), and those
    /// that have not begun wait.
    pub(super) fn charge(&self, cost: u64, now: Moment) {
        let Some(per_second) = self.per_second else { return };
        let mut state = self.state.lock();
        let (_, burst) = state.grow(cost, per_second, self.burst(), now);
        state.spend(cost, burst);
    }

    /// Gives back what was taken for something that did not come.
    #[expect(clippy::cast_precision_loss, reason = "a rate need not be exact beyond 2^53")]
    pub(super) fn give_back(&self, taken: u64) {
        if self.per_second.is_none() || taken == 0 {
            return;
        }
        let mut state = self.state.lock();
        state.left = (state.left + taken as f64).min(self.burst() * state.part);
        state.asked = state.asked.saturating_sub(taken);
    }
}

impl Balance {
    /// What has come by now is there, and this is asked for. Hands over what comes in a second here, and how much a burst is.
    #[expect(clippy::cast_precision_loss, reason = "a rate need not be exact beyond 2^53")]
    fn grow(&mut self, cost: u64, per_second: u64, burst: f64, now: Moment) -> (f64, f64) {
        let (per_second, burst) = (per_second as f64 * self.part, burst * self.part);
        let grown = self.left + now.since(self.at).as_secs_f64() * per_second;
        *self = Self { left: grown.min(burst), at: now, part: self.part, asked: self.asked.saturating_add(cost) };
        (per_second, burst)
    }

    /// Takes it, as far as nobody waits for it longer than a burst lasts; says how much that was.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rate need not be exact beyond 2^53, and no less than nothing is taken"
    )]
    fn spend(&mut self, cost: u64, burst: f64) -> u64 {
        // A node whose part has become smaller may owe more than that already.
        let taken = (cost as f64).min(self.left + burst).max(0.0);
        self.left -= taken;
        taken as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::clock::Clock;

    #[test]
    fn after_a_burst_the_rate_holds() {
        let clock = Clock::manual();
        let rate = Rate::new(Some(10), clock.now());
        let mut passed = 0;
        for _tick in 0..6000 {
            passed += u32::from(rate.take(1, RateClaim::First, clock.now()).is_ok());
            clock.advance(Duration::from_millis(10));
        }
        // A minute at 10 a second and the burst's 300.
        assert!((895..=905).contains(&passed), "{passed}");
    }

    #[test]
    fn what_is_large_overdraws_and_those_after_it_wait() {
        let clock = Clock::manual();
        let rate = Rate::new(Some(1000), clock.now());
        assert_eq!(rate.take(50_000, RateClaim::First, clock.now()), Ok(50_000));
        let wait = rate.take(1, RateClaim::First, clock.now()).unwrap_err();
        assert_eq!(wait, Duration::from_secs(20));
        clock.advance(wait + Duration::from_millis(1));
        assert_eq!(rate.take(1, RateClaim::First, clock.now()), Ok(1));
    }

    #[test]
    fn what_has_begun_pays_for_each_piece_whatever_is_left() {
        let clock = Clock::manual();
        let rate = Rate::new(Some(1000), clock.now());
        assert_eq!(rate.take(30_000, RateClaim::First, clock.now()), Ok(30_000));
        (0..20).for_each(|_| rate.charge(500, clock.now()));
        assert_eq!(rate.take(1, RateClaim::First, clock.now()), Err(Duration::from_secs(10)));
        (0..100).for_each(|_| rate.charge(500, clock.now()));
        assert_eq!(rate.take(1, RateClaim::First, clock.now()), Err(BURST), "nobody waits for longer than a burst lasts");
        assert_eq!(rate.take_asked(), Some(30_000 + 120 * 500 + 2));
        rate.set_part(0.5);
        rate.charge(500, clock.now());
        clock.advance(BURST + BURST);
        assert!(rate.take(1, RateClaim::First, clock.now()).is_err(), "what is owed is not forgiven");
        clock.advance(Duration::from_millis(1));
        assert_eq!(rate.take(1, RateClaim::First, clock.now()), Ok(1));
        Rate::new(None, clock.now()).charge(u64::MAX, clock.now());
    }

    #[test]
    fn nobody_waits_for_longer_than_a_burst_lasts_and_what_did_not_come_is_given_back() {
        let clock = Clock::manual();
        let rate = Rate::new(Some(1000), clock.now());
        assert_eq!(rate.take(u64::MAX, RateClaim::First, clock.now()), Ok(60_000));
        assert_eq!(rate.take(1, RateClaim::First, clock.now()), Err(BURST));
        rate.give_back(60_000);
        assert_eq!(rate.take(29_999, RateClaim::First, clock.now()), Ok(29_999), "all of it is there again");
        rate.give_back(29_999);
        rate.give_back(29_999);
        assert_eq!(rate.take(50_000, RateClaim::First, clock.now()), Ok(50_000), "and no more than a burst");
        assert_eq!(rate.take(1, RateClaim::First, clock.now()), Err(Duration::from_secs(20)));
    }

    #[test]
    fn the_last_half_is_for_the_live_edge() {
        let clock = Clock::manual();
        let rate = Rate::new(Some(10), clock.now());
        let count = |claim: RateClaim| (0..1000).filter(|_| rate.take(1, claim, clock.now()).is_ok()).count();
        assert_eq!(count(RateClaim::Second), 150);
        assert_eq!(count(RateClaim::First), 150);
        assert_eq!(count(RateClaim::First) + count(RateClaim::Second), 0);
    }

    #[test]
    fn of_a_part_only_that_passes_and_what_was_asked_for_is_known() {
        let clock = Clock::manual();
        let rate = Rate::new(Some(10), clock.now());
        rate.set_part(0.25);
        let count = || (0..1000).filter(|_| rate.take(1, RateClaim::First, clock.now()).is_ok()).count();
        assert_eq!((count(), rate.take_asked(), rate.take_asked()), (75, Some(1000), Some(0)));
        clock.advance(Duration::from_secs(8));
        assert_eq!(count(), 20);
        rate.set_part(1.0);
        clock.advance(Duration::from_secs(8));
        assert_eq!(count(), 80, "what is more comes by and by");
        assert_eq!(Rate::new(None, clock.now()).take_asked(), None);
    }

    #[test]
    fn without_a_limit_everything_passes() {
        let clock = Clock::manual();
        let rate = Rate::new(None, clock.now());
        assert!((0..1000).all(|_| rate.take(u64::MAX, RateClaim::Second, clock.now()).is_ok()));
    }
}
