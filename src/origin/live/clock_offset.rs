//! How far an encoder's clock, as EXT-X-PROGRAM-DATE-TIME shows it, and ours are apart.

use std::collections::VecDeque;
use std::time::Duration;

use crate::model::clock::WallTime;

/// How far a clock may run apart from what the playlists have shown before it is told, or be ahead of ours.
const TOLERANCE_MS: i64 = 2_000;
/// Over this many playlists the smallest offset counts: a slow upload only makes it larger, a clock moves the smallest too.
const SAMPLES: usize = 8;

/// How far our clock is past the end of what is listed, in milliseconds: what passes until it is listed, and how far the clocks are apart.
#[derive(Clone, Debug, Default)]
pub(super) struct ClockOffset {
    newest_ms: Option<i64>,
    last_ms: VecDeque<i64>,
    /// The smallest so far that was no trouble, of several playlists each. One that shrinks is a better delivery: uplinks recover, and a
    /// server that began empty gets what was kept for it.
    least_ms: Option<i64>,
}

impl ClockOffset {
    /// A version was heard at this time whose last segment ends at that one; `None`: it states no date.
    pub(super) fn note(&mut self, now: WallTime, edge: Option<WallTime>) {
        self.newest_ms = edge.map(|edge| millis(now).saturating_sub(millis(edge)));
        self.last_ms.extend(self.newest_ms);
        if self.last_ms.len() > SAMPLES {
            self.last_ms.pop_front();
        }
        if self.last_ms.len() == SAMPLES {
            let offset = self.last_ms.iter().min().copied().filter(|offset| *offset >= -TOLERANCE_MS);
            self.least_ms = self.least_ms.into_iter().chain(offset).min();
        }
    }

    /// That of the newest version.
    pub(super) fn newest_ms(&self) -> Option<i64> {
        self.newest_ms
    }

    /// By how much the offset has grown, where that is too much; or how far segments lie in our future. `is_live`: they come in time.
    pub(super) fn trouble_ms(&self, target: Duration, is_live: bool) -> Option<i64> {
        let offset = *self.last_ms.iter().min()?;
        if offset < -TOLERANCE_MS {
            return Some(offset);
        }
        let grown = offset - self.least_ms?;
        let tolerance = TOLERANCE_MS.max(i64::try_from(target.as_millis()).unwrap_or(i64::MAX) / 2 * 3);
        (grown > tolerance && is_live).then_some(grown)
    }
}

fn millis(time: WallTime) -> i64 {
    i64::try_from(time.millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is told after versions of these offsets, so many of each.
    fn told(offsets: &[(i64, usize)]) -> Option<i64> {
        let (mut clock, now) = (ClockOffset::default(), WallTime::from_millis(1_767_225_600_000));
        for (offset, times) in offsets {
            let edge = WallTime::from_millis(now.millis().saturating_add_signed(-offset));
            (0..*times).for_each(|_| clock.note(now, Some(edge)));
        }
        clock.trouble_ms(Duration::from_secs(2), true)
    }

    #[test]
    fn delivery_that_gets_better_is_no_clock_that_moves() {
        assert_eq!(told(&[(8000, 8), (1000, 10)]), None, "the first ones were held up");
        assert_eq!(told(&[(8000, 8), (-300, 10)]), None, "by an encoder whose clock is a little ahead");
        assert_eq!(told(&[(8000, 8), (1000, 10), (6000, 7)]), None, "held up again, for less than eight");
        assert_eq!(told(&[(8000, 8), (1000, 10), (6000, 8)]), Some(5000));
        assert_eq!(told(&[(1000, 8), (1500, 100), (4500, 8)]), Some(3500), "the smallest one is remembered");
    }

    #[test]
    fn what_lies_in_the_future_is_told_and_is_no_measure_of_what_comes_later() {
        assert_eq!(told(&[(1000, 8), (-2001, 1)]), Some(-2001));
        assert_eq!(told(&[(-60_000, 8)]), Some(-60_000));
        assert_eq!(told(&[(-60_000, 8), (1000, 8)]), None, "the clock has been set");
        assert_eq!(told(&[(-60_000, 8), (1000, 8), (9000, 8)]), Some(8000));
        assert_eq!(told(&[]), None);
    }
}
