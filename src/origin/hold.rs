//! Waiting for what is about to arrive, instead of a 404 at the live edge.
//!
//! A playlist may reach a player before the segment it lists has reached this server, and players ask for the next segment ahead
//! of its time. A 404 then costs a stall, and a CDN may keep it. So a read waits, for a bounded time, for names that are in flight
//! or that a current playlist lists or announces, and for no others.

use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::live::Reload;
use super::{Origin, OriginError, Place};
use crate::auth::grant::{Action, Grant};
use crate::hls::playlist::Media;
use crate::model::id::{Key, ObjectId};

/// A request for a playlist that has a certain segment, or a certain part of it (RFC 8216bis 6.2.5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockingReload {
    /// The media sequence number.
    pub msn: u64,
    /// The index of the partial segment.
    pub part: Option<u64>,
}

impl Origin {
    /// Waits for an object that is not here, if it is one to wait for; says whether to look again. Cancel-safe.
    ///
    /// # Errors
    /// As [`Origin::get`].
    pub async fn wait_for(&self, grant: &Grant, object: &ObjectId) -> Result<bool, OriginError> {
        let place = self.admit(grant, Action::Read, object)?;
        // What came after it was looked for is not expected any more.
        let Some(span) = place.hold(object) else { return Ok(place.hot.is_readable(&object.key)) };
        let Some(_waiting) = Waiting::begin(&place) else {
            place.metrics.held_refused.inc();
            return Ok(false);
        };
        let arrived = place.wait(object, span).await;
        let counter = if arrived { &place.metrics.held_arrived } else { &place.metrics.held_in_vain };
        counter.inc();
        Ok(arrived)
    }

    /// Waits until the playlist has what is asked for, where the playlist offers that. Cancel-safe.
    ///
    /// # Errors
    /// [`OriginError::TooFarAhead`] at once, [`OriginError::NotInTime`] after three target durations; and as [`Origin::get`].
    pub async fn reload(&self, grant: &Grant, object: &ObjectId, ask: BlockingReload) -> Result<(), OriginError> {
        let place = self.admit(grant, Action::Read, object)?;
        let mut waiting = None;
        let begun = Instant::now();
        loop {
            // Asked for before the look, so that nothing that comes in between is missed.
            let arrival = place.hot.arrivals(&object.key);
            match place.live.reload(&object.key, ask.msn, ask.part) {
                Reload::Answer => return Ok(()),
                Reload::TooFar => return Err(OriginError::TooFarAhead),
                Reload::Wait(span) => {
                    if waiting.is_none() {
                        waiting = Waiting::begin(&place);
                    }
                    if waiting.is_none() {
                        place.metrics.held_refused.inc();
                        return Err(OriginError::Busy);
                    }
                    if timeout_at(begun + span, arrival).await.is_err() {
                        place.metrics.held_in_vain.inc();
                        return Err(OriginError::NotInTime);
                    }
                }
            }
        }
    }
}

impl Place {
    /// How long a read of this missing name should wait; `None`: not at all.
    fn hold(&self, object: &ObjectId) -> Option<Duration> {
        let target = match self.live.awaits(&object.key) {
            Some(target) => Some(target),
            None if self.hot.is_uploading(&object.key) => self.live.target_near(&object.key),
            // The next one of those that an MPD numbers.
            None => Some(self.live.previous(&object.key).filter(|(previous, _)| self.hot.is_readable(previous))?.1),
        };
        Some(self.policy.hold_for(target)).filter(|span| !span.is_zero())
    }

    /// Waits until the object is here or begins to grow; says whether it did within `span`.
    async fn wait(&self, object: &ObjectId, span: Duration) -> bool {
        let deadline = Instant::now() + span;
        loop {
            let arrival = self.hot.arrivals(&object.key);
            if self.hot.is_readable(&object.key) {
                return true;
            }
            if timeout_at(deadline, arrival).await.is_err() {
                return false;
            }
        }
    }

    /// Whether there is such an object, in memory or below it.
    pub(super) fn has(&self, key: &Key) -> bool {
        self.hot.is_readable(key) || self.below.may_have(key)
    }

    /// Holds a media playlist back until the segments it lists for the first time are here, at most for `span`.
    pub(super) async fn gate(&self, object: &ObjectId, media: &Media, span: Duration) {
        let deadline = Instant::now() + span;
        for key in self.live.missing(object, media, |key| self.has(key)) {
            loop {
                let arrival = self.hot.arrivals(&key);
                if self.hot.is_readable(&key) {
                    break;
                }
                if timeout_at(deadline, arrival).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// One read that waits, counted as long as it does.
struct Waiting<'a>(&'a Place);

impl<'a> Waiting<'a> {
    /// `None` when as many wait as may.
    fn begin(place: &'a Place) -> Option<Self> {
        if place.metrics.holding.inc() >= place.policy.max_held {
            place.metrics.holding.dec();
            return None;
        }
        Some(Self(place))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.metrics.holding.dec();
    }
}
