//! What a stored playlist tells its readers of the stream behind it.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;

use super::clock::{Moment, Pulse, WallTime};

/// How a live playlist or MPD stands. Made once, when the playlist is stored; only the pulse goes on.
#[derive(Clone, Debug)]
pub struct Liveness {
    /// Beats with each new segment. Shared by all versions of the playlist, so that rewriting one without a new segment does
    /// not make it look alive.
    pub pulse: Arc<Pulse>,
    /// How often a new segment is due: the target duration (RFC 8216 4.3.3.1). `None` for what can't go stale: a multivariant
    /// playlist, one with an end, an MPD of type static.
    pub period: Option<Duration>,
    /// The media sequence number of the last segment, ready for `Last-Sequence`.
    pub last_sequence: Option<HeaderValue>,
    /// When the last new segment was listed, in milliseconds since the Unix epoch, ready for `Last-Updated`.
    pub last_updated: HeaderValue,
    /// When it is over, by what it says itself.
    ends: Option<Moment>,
}

impl Liveness {
    /// Puts it together.
    #[must_use]
    pub fn new(pulse: Arc<Pulse>, period: Option<Duration>, last_sequence: Option<u64>, updated: WallTime) -> Self {
        Self {
            pulse,
            period,
            last_sequence: last_sequence.map(HeaderValue::from),
            last_updated: HeaderValue::from(updated.millis()),
            ends: None,
        }
    }

    /// The same of what says itself when it is over.
    #[must_use]
    pub fn until(self, ends: Option<Moment>) -> Self {
        Self { ends, ..self }
    }

    /// Whether no new segment has come for more than `periods` target durations, though one should have: behind the end that was
    /// announced, and reached, none is due.
    #[must_use]
    pub fn is_stale(&self, now: Moment, periods: u32) -> bool {
        self.period.is_some_and(|period| {
            let (last, patience) = (self.pulse.last(), period * periods);
            let is_over = self.ends.is_some_and(|ends| now >= ends && ends.since(last) <= patience);
            now.since(last) > patience && !is_over
        })
    }
}

/// How a rendition stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// New segments come in time.
    Live,
    /// One is overdue.
    Late,
    /// None has come for too long.
    Stale,
    /// There will be no more.
    Ended,
}

impl Standing {
    /// All of them, in the order of the enumeration: `ALL[standing as usize]` is that one.
    pub const ALL: [Self; 4] = [Self::Live, Self::Late, Self::Stale, Self::Ended];

    /// Its name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Late => "late",
            Self::Stale => "stale",
            Self::Ended => "ended",
        }
    }
}

/// When what stands still is taken for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StandstillLimits {
    /// After so many target durations without a new segment it is stale.
    pub stale_after: u32,
    /// After so long without one it is taken for over.
    pub gone_after: Duration,
}

impl StandstillLimits {
    /// How something stands of which nothing new has come for so long, where that is due every `period`. Late: a server has to list the next
    /// segment within one and a half target durations (RFC 8216 6.2.1).
    #[must_use]
    pub fn standing(self, age: Duration, period: Duration) -> Standing {
        let stale = period.saturating_mul(self.stale_after);
        match () {
            () if age > self.gone_after.max(stale) => Standing::Ended,
            () if age > stale => Standing::Stale,
            () if age > period.mul_f64(1.5) => Standing::Late,
            () => Standing::Live,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_listed_in_their_order() {
        assert!(Standing::ALL.iter().enumerate().all(|(index, standing)| *standing as usize == index));
        assert_eq!(Standing::ALL.last(), Some(&Standing::Ended));
    }

    #[test]
    fn what_stands_still_is_late_and_stale_and_then_over() {
        let seconds = Duration::from_secs;
        let limits = StandstillLimits { stale_after: 3, gone_after: seconds(60) };
        let standing = |age, period| limits.standing(seconds(age), seconds(period));
        for (age, expected) in
            [(3, Standing::Live), (4, Standing::Late), (6, Standing::Late), (7, Standing::Stale), (61, Standing::Ended)]
        {
            assert_eq!(standing(age, 2), expected, "{age}");
        }
        assert_eq!(standing(61, 30), Standing::Late, "never before it is stale");
        assert_eq!(standing(91, 30), Standing::Ended);
    }
}
