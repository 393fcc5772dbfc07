//! How fast a playlist goes on: media listed, against time passed. Numbers of different playlists compare to nothing (RFC 8216 6.3.2), and
//! not each encoder writes dates; but renditions that play the same list as much in the same time.

use std::collections::VecDeque;
use std::time::Duration;

use crate::model::clock::Moment;

/// Over this many versions with news the smallest lag counts: one that is held up on its way makes it larger, and means nothing.
const SAMPLES: usize = 3;

/// The pace of one playlist.
#[derive(Clone, Debug, Default)]
pub(super) struct Pace {
    began: Option<Moment>,
    listed: Duration,
    lags_ms: VecDeque<i64>,
    first_ms: Option<i64>,
}

impl Pace {
    /// From a first version on, of which nothing is counted: how much that lists is up to the encoder.
    pub(super) fn begun() -> Self {
        Self::default()
    }

    /// A version has so much that is new, and before that a hole of so many segments of about this length.
    pub(super) fn go_on(&mut self, now: Moment, new: Duration, target: Duration, hole: u64) {
        if new.is_zero() {
            return;
        }
        let began = *self.began.get_or_insert(now);
        let hole = target.saturating_mul(u32::try_from(hole).unwrap_or(u32::MAX));
        self.listed = self.listed.saturating_add(new).saturating_add(hole);
        self.lags_ms.push_back(millis(now.since(began)).saturating_sub(millis(self.listed)));
        if self.lags_ms.len() > SAMPLES {
            self.lags_ms.pop_front();
        }
        if self.lags_ms.len() == SAMPLES && self.first_ms.is_none() {
            self.first_ms = self.lags_ms.iter().min().copied();
        }
    }

    /// How much further behind it is than at first, in milliseconds; `None` until that can be told.
    pub(super) fn lag_ms(&self) -> Option<i64> {
        Some(self.lags_ms.iter().min()?.saturating_sub(self.first_ms?))
    }
}

fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}
