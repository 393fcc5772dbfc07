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
        }
    }

    /// Whether no new segment has come for more than `periods` target durations.
    #[must_use]
    pub fn is_stale(&self, now: Moment, periods: u32) -> bool {
        self.period.is_some_and(|period| now.since(self.pulse.last()) > period * periods)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_listed_in_their_order() {
        assert!(Standing::ALL.iter().enumerate().all(|(index, standing)| *standing as usize == index));
        assert_eq!(Standing::ALL.last(), Some(&Standing::Ended));
    }
}
