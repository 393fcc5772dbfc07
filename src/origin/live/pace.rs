//! How fast a playlist goes on: media listed, against time passed. Numbers of different playlists compare to nothing (RFC 8216 6.3.2), and
//! not each encoder writes dates; but renditions that play the same list as much in the same time.

use std::collections::VecDeque;
use std::time::Duration;

use crate::model::clock::Moment;

/// Over this many versions with news the smallest lag counts: one that is held up on its way makes it larger, and means nothing.
const SAMPLES: usize = 3;
/// So much of the time that passes, a thousandth, is no lag: encoders round lengths to the millisecond, always to the same side where all
/// segments are alike. Who falls behind by as little does so by a second in a quarter of an hour.
const ROUNDING: u32 = 1000;

/// The pace of one playlist.
#[derive(Clone, Debug, Default)]
pub(super) struct Pace {
    began: Option<Moment>,
    /// When the last version with news was heard.
    heard: Option<Moment>,
    listed: Duration,
    lags_us: VecDeque<i64>,
    /// The smallest lag so far, of several versions each: what comes late at first and in time from then on was behind at first. With the
    /// time it grows by what may be rounding.
    least_us: Option<i64>,
}

impl Pace {
    /// From a first version on, of which nothing is counted: how much that lists is up to the encoder.
    pub(super) fn begun() -> Self {
        Self::default()
    }

    /// A version has so much that is new, and before that a hole of so many segments of about this length. Of a hole no more counts than
    /// there was time for: an encoder that counts by another rule from now on has made nothing in between.
    pub(super) fn go_on(&mut self, now: Moment, new: Duration, target: Duration, hole: u64) {
        if new.is_zero() {
            return;
        }
        let began = *self.began.get_or_insert(now);
        let passed = now.since(self.heard.replace(now).unwrap_or(now));
        let hole = target.saturating_mul(u32::try_from(hole).unwrap_or(u32::MAX)).min(passed);
        self.listed = self.listed.saturating_add(new).saturating_add(hole);
        self.lags_us.push_back(micros(now.since(began)).saturating_sub(micros(self.listed)));
        if self.lags_us.len() > SAMPLES {
            self.lags_us.pop_front();
        }
        if self.lags_us.len() == SAMPLES {
            let lag = self.lags_us.iter().min().copied();
            let least = self.least_us.map(|least| least.saturating_add(micros(passed / ROUNDING)));
            self.least_us = lag.into_iter().chain(least).min();
        }
    }

    /// How much further behind it is than it was at best; `None` until that can be told.
    pub(super) fn lag(&self) -> Option<Duration> {
        let lag = self.lags_us.iter().min()?.saturating_sub(self.least_us?);
        Some(Duration::from_micros(u64::try_from(lag).unwrap_or(0)))
    }
}

fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::iter::repeat_n;

    use super::*;
    use crate::model::clock::Clock;

    const TARGET: Duration = Duration::from_secs(2);

    /// A version every two seconds, with so many milliseconds that are new; how far behind it is in the end.
    fn lag_of(lengths: impl IntoIterator<Item = u64>) -> Duration {
        let (clock, mut pace) = (Clock::manual(), Pace::begun());
        for length in lengths {
            clock.advance(TARGET);
            pace.go_on(clock.now(), Duration::from_millis(length), TARGET, 0);
        }
        pace.lag().unwrap()
    }

    #[test]
    fn what_rounding_can_do_is_no_lag_and_what_is_more_is() {
        assert!(lag_of(repeat_n(1999, 50_000)) < TARGET, "a day and more, and each length a millisecond too short");
        assert!(lag_of(repeat_n(2001, 50_000)) < TARGET);
        assert!(lag_of(repeat_n(1990, 2000)) > TARGET * 7, "half a per cent, for an hour");
        assert_eq!(lag_of(repeat_n(1000, 10)), Duration::from_millis(7 * 998), "those after the first three");
    }

    #[test]
    fn what_was_late_at_first_is_not_ahead_later() {
        let (clock, mut pace) = (Clock::manual(), Pace::begun());
        // The first versions come seven seconds late, the next ones all at once, then each in time.
        for gap in [2, 2, 2, 2, 0, 0, 0, 1, 2, 2, 2] {
            clock.advance(Duration::from_secs(gap));
            pace.go_on(clock.now(), TARGET, TARGET, 0);
        }
        assert!(pace.lag().unwrap() < Duration::from_millis(10));
    }

    #[test]
    fn a_hole_is_no_longer_than_there_was_time_for() {
        let (clock, mut pace) = (Clock::manual(), Pace::begun());
        let mut next = |passed: u64, hole| {
            clock.advance(TARGET * u32::try_from(passed).unwrap());
            pace.go_on(clock.now(), TARGET, TARGET, hole);
            pace.lag()
        };
        let lags =
            [(1, 0), (1, 0), (1, 0), (11, 10), (1, 1_700_000_000), (1, 0), (1, 0)].map(|(passed, hole)| next(passed, hole));
        assert_eq!(lags.map(|lag| lag.is_some_and(|lag| lag > TARGET * 3)), [false; 7], "{lags:?}");
        // Nothing of what was taken for a lead hides that it stands still.
        let lag = [4, 4, 4, 4].map(|passed| next(passed, 0))[3];
        assert!(lag.unwrap() > TARGET * 5, "{lag:?}");
    }
}
