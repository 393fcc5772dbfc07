//! The last source: waiting for what is about to arrive, instead of a 404 at the live edge.
//!
//! A playlist may reach a player before the segment it lists has reached this server, and players ask for the next segment ahead
//! of its time. A 404 then costs a stall, and a CDN may keep it. So a read waits, for a bounded time, for names that are in flight
//! or that a current playlist lists or announces, and for no others.

use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::Reader;
use crate::model::id::ObjectId;
use crate::origin::OriginError;
use crate::origin::live::Reload;
use crate::origin::namespace::Hosted;
use crate::store::NextNews;

/// A request for a playlist that has a certain segment, or a certain part of it (RFC 8216bis 6.2.5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockingReload {
    /// The media sequence number.
    pub msn: u64,
    /// The index of the partial segment.
    pub part: Option<u64>,
}

/// Waits for an object that is not here, if it is one to wait for; says whether to look again. Cancel-safe.
///
/// # Errors
/// [`OriginError::Draining`].
pub(super) async fn wait(reader: Reader<'_>) -> Result<bool, OriginError> {
    let Reader { hosted, object, .. } = reader;
    // What came after it was looked for is not expected any more.
    let Some(span) = hosted.hold(object) else { return Ok(hosted.is_here(&object.key)) };
    let Some(waiting) = Waiting::begin(hosted) else { return Ok(false) };
    let arrived = hosted.wait(object, span).await?;
    waiting.ended(arrived);
    Ok(arrived)
}

/// Waits until the playlist has what is asked for, where the playlist offers that. Cancel-safe.
///
/// # Errors
/// [`OriginError::TooFarAhead`] at once, [`OriginError::NotInTime`] after three target durations, or half a minute, whatever the
/// playlist states; [`OriginError::TooManyHeld`]; [`OriginError::Draining`].
pub(super) async fn reload(reader: Reader<'_>, ask: BlockingReload) -> Result<(), OriginError> {
    let (hosted, key) = (reader.hosted, &reader.object.key);
    let mut waiting = None;
    let begun = Instant::now();
    loop {
        // Asked for before the look, so that nothing that comes in between is missed.
        let arrival = hosted.hot.arrivals(key);
        let (answer, has_arrived) = match hosted.live.reload(key, ask.msn, ask.part) {
            // An end is news as well; what is gone has none.
            Reload::Answer => (Ok(()), waiting.is_some() && hosted.live.follows(key)),
            Reload::TooFar => (Err(OriginError::TooFarAhead), false),
            Reload::Wait(span) => {
                if waiting.is_none() {
                    let too_many = OriginError::TooManyHeld { max_held: hosted.policy.max_held };
                    waiting = Some(Waiting::begin(hosted).ok_or(too_many)?);
                }
                if hosted.news(arrival, begun + span).await? {
                    continue;
                }
                (Err(OriginError::NotInTime), false)
            }
        };
        if let Some(waiting) = waiting {
            waiting.ended(has_arrived);
        }
        return answer;
    }
}

impl Hosted {
    /// How long a read of this missing name should wait; `None`: not at all.
    fn hold(&self, object: &ObjectId) -> Option<Duration> {
        let target = match self.live.awaits(self.hot.clock().both(), &object.key) {
            Some(target) => Some(target),
            None if self.hot.is_uploading(&object.key) => self.live.target_near(&object.key),
            // The next one of those that an MPD numbers.
            None => Some(self.live.previous(&object.key).filter(|(previous, _)| self.is_here(previous))?.1),
        };
        Some(self.policy.hold_for(target)).filter(|span| !span.is_zero())
    }

    /// Waits until the object is here or begins to grow; says whether it did within `span`.
    async fn wait(&self, object: &ObjectId, span: Duration) -> Result<bool, OriginError> {
        let deadline = Instant::now() + span;
        loop {
            let arrival = self.hot.arrivals(&object.key);
            if self.is_here(&object.key) {
                return Ok(true);
            }
            if !self.news(arrival, deadline).await? {
                return Ok(false);
            }
        }
    }

    /// Waits for news; says whether there were any before the deadline. Nobody waits for a server that is about to end.
    async fn news(&self, arrival: NextNews, deadline: Instant) -> Result<bool, OriginError> {
        tokio::select! {
            biased;
            () = arrival => Ok(true),
            () = self.draining.begun() => Err(OriginError::Draining),
            () = sleep_until(deadline) => Ok(false),
        }
    }
}

/// One read that waits, counted as long as it does.
struct Waiting<'a>(&'a Hosted);

impl<'a> Waiting<'a> {
    /// `None`, and counted as refused, when as many wait as may.
    fn begin(hosted: &'a Hosted) -> Option<Self> {
        if hosted.metrics.holding.inc() >= hosted.policy.max_held {
            hosted.metrics.holding.dec();
            hosted.metrics.held_refused.inc();
            return None;
        }
        Some(Self(hosted))
    }

    /// Counts what came of it.
    fn ended(&self, has_arrived: bool) {
        let metrics = &self.0.metrics;
        let counter = if has_arrived { &metrics.held_arrived } else { &metrics.held_in_vain };
        counter.inc();
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.metrics.holding.dec();
    }
}
