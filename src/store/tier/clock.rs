//! Whether the wall clock is believed when it says, at a start, that much is over.
//!
//! Deadlines outlive a process by the wall clock. A machine without a battery, or one whose time has not come from the network yet,
//! may be off by years, and everything in the tier would be over at once and removed for good. So when what was written last is old by
//! that clock, nothing is removed for its age until the clock has been steady for a while; and when it is set meanwhile, the
//! deadlines are read again. To readers an object is over all the same: that harms nothing.

use std::time::Duration;

use crate::model::clock::{Clock, Moment, WallTime};

/// This much younger than the newest object the clock may be at a start without being doubted.
const FAR: Duration = Duration::from_secs(3600);
/// How long it has to be steady.
const STEADY: Duration = Duration::from_secs(600);
/// What is no step: both clocks move between two looks at them, and they drift.
const STEP: Duration = Duration::from_secs(30);

/// What is thought of the clock.
#[derive(Debug)]
pub(super) struct Steadiness {
    /// The wall clock's time at the first of all moments: it changes when the clock is set, and only then.
    origin: WallTime,
    /// Since when it has been steady, if that matters.
    doubted_since: Option<Moment>,
    is_judged: bool,
    /// What the wall clock showed when the process before wrote something last, where that is known.
    last_wall: Option<WallTime>,
}

impl Steadiness {
    pub(super) fn new(clock: &Clock) -> Self {
        Self { origin: clock.wall_of(Moment::default()), doubted_since: None, is_judged: false, last_wall: None }
    }

    /// What the wall clock showed when the process before wrote something last.
    pub(super) fn follow(&mut self, last_wall: Option<WallTime>) {
        self.last_wall = last_wall;
    }

    /// Judges the clock, once, by when something was written last, or where that is not known by the time of the newest object. That may
    /// be of this process, or of a time when the clock was wrong already. Says whether it is doubted from now on.
    pub(super) fn judge(&mut self, newest: Option<WallTime>, clock: &Clock) -> bool {
        let newest = self.last_wall.or(newest);
        if std::mem::replace(&mut self.is_judged, true) || newest.is_none_or(|newest| clock.wall().since(newest) < FAR) {
            return false;
        }
        self.doubted_since = Some(clock.now());
        true
    }

    /// Whether nothing is to be removed for its age now.
    pub(super) fn is_doubted(&mut self, now: Moment) -> bool {
        if self.doubted_since.is_some_and(|since| now.since(since) >= STEADY) {
            self.doubted_since = None;
        }
        self.doubted_since.is_some()
    }

    /// Looks whether the clock has been set since the last look, while it is doubted. If so, says how a deadline that was read before
    /// is to be read now.
    pub(super) fn step(&mut self, clock: &Clock) -> Option<impl Fn(Moment) -> Moment> {
        let since = self.doubted_since.as_mut()?;
        let (before, origin) = (self.origin, clock.wall_of(Moment::default()));
        if before.since(origin) < STEP && origin.since(before) < STEP {
            return None;
        }
        (self.origin, *since) = (origin, clock.now());
        let clock = clock.clone();
        Some(move |deadline: Moment| {
            let millis = u64::try_from(deadline.since(Moment::default()).as_millis()).unwrap_or(u64::MAX);
            clock.moment_of(WallTime::from_millis(before.millis().saturating_add(millis)))
        })
    }
}
