//! The rules of a read.

use std::sync::Arc;
use std::time::Duration;

use super::policy::OnStale;
use super::rate::Claim;
use super::{Origin, OriginError, Place};
use crate::auth::grant::{Action, Grant};
use crate::model::clock::WallTime;
use crate::model::conditions::Validators;
use crate::model::id::ObjectId;
use crate::model::meta::Meta;
use crate::store::Entry;

/// A whole version of an object, to be sent to a reader.
#[derive(Clone, Debug)]
pub struct Found {
    entry: Arc<Entry>,
    /// Where what is at hand of the body begins, and how long all of it is; `None` when all of it is at hand, from memory.
    below: Option<(usize, usize)>,
    /// What is left of its time to live, in whole seconds.
    pub left: Duration,
    /// How long a shared cache may keep it, in seconds.
    pub max_age: u64,
    /// How long ago it was stored, by the wall clock.
    pub age: Duration,
}

impl Found {
    /// The body's length.
    #[must_use]
    pub fn length(&self) -> usize {
        self.below.map_or(self.entry.body.len(), |(_, length)| length)
    }

    /// The whole body, a reference to the store's own bytes; after a read of [`Portion::Nothing`](super::Portion::Nothing) or of a
    /// part, no more than that.
    #[must_use]
    pub fn body(&self) -> &bytes::Bytes {
        &self.entry.body
    }

    /// A part of the body, by reference; empty when it was not asked for.
    #[must_use]
    pub fn part(&self, part: std::ops::Range<usize>) -> bytes::Bytes {
        let begin = self.below.map_or(0, |(begin, _)| begin);
        let at_hand = begin..begin + self.entry.body.len();
        if part.start < at_hand.start || part.end > at_hand.end {
            return bytes::Bytes::new();
        }
        self.entry.body.slice(part.start - begin..part.end - begin)
    }

    /// Whether it was read from below memory.
    #[must_use]
    pub fn is_from_below(&self) -> bool {
        self.below.is_some()
    }

    /// The same, read from below memory.
    pub(super) fn read_below(self, begin: usize, length: usize) -> Self {
        Self { below: Some((begin, length)), ..self }
    }

    /// What is known of it.
    #[must_use]
    pub fn meta(&self) -> &Meta {
        &self.entry.meta
    }

    /// What conditions are judged against.
    #[must_use]
    pub fn validators(&self) -> Validators<'_> {
        validators(&self.entry.meta)
    }
}

impl Origin {
    /// Takes a read out of the namespace's allowance. A miss has the second claim: a flood of them must not starve those who
    /// watch.
    fn take_read_rate(&self, place: &Place, entry: Option<&Entry>) -> Result<(), OriginError> {
        let rates = &place.rates;
        if !rates.limit_reads() {
            return Ok(());
        }
        let now = self.inner.clock.now();
        let claim = entry.map_or(Claim::Second, |entry| claim(&entry.meta, self.inner.clock.wall()));
        let size = entry.map_or(0, |entry| entry.body.len() as u64);
        let taken = rates.read_requests.take(1, claim, now).and_then(|()| rates.read_bytes.take(size, claim, now));
        taken.map_err(|retry_after| {
            place.metrics.reads_limited.inc();
            OriginError::RateLimited { retry_after }
        })
    }
}

/// Playlists, what players can't start without, and segments of the last minute are the live edge.
fn claim(meta: &Meta, now: WallTime) -> Claim {
    let age = now.seconds().saturating_sub(meta.modified.seconds());
    if meta.kind.is_protected() || age < 60 { Claim::First } else { Claim::Second }
}

pub(super) fn validators(meta: &Meta) -> Validators<'_> {
    Validators { etag: meta.etag.as_bytes(), modified: meta.modified }
}

impl Origin {
    /// Finds an object for a reader.
    ///
    /// # Errors
    /// [`OriginError::Forbidden`], [`OriginError::UnknownNamespace`], [`OriginError::NotFound`] or
    /// [`OriginError::Expired`], or [`OriginError::RateLimited`].
    pub fn get(&self, grant: &Grant, object: &ObjectId) -> Result<Found, OriginError> {
        let place = self.admit(grant, Action::Read, object)?;
        let entry = place.hot.get(&object.key);
        self.take_read_rate(&place, entry.as_deref())?;
        let Some(entry) = entry else {
            return Err(if place.hot.holds(&object.key) { OriginError::Expired } else { OriginError::NotFound });
        };
        if place.policy.on_stale == OnStale::NotFound {
            let periods = place.policy.stale_after;
            let liveness = entry.meta.liveness.as_ref();
            if liveness.is_some_and(|liveness| liveness.is_stale(self.inner.clock.now(), periods)) {
                return Err(OriginError::Stale { periods });
            }
        }
        Ok(place.found(entry))
    }
}

impl Place {
    /// A version, and what a reader is told of it now.
    pub(super) fn found(&self, entry: Arc<Entry>) -> Found {
        let left = self.hot.time_left(&entry);
        let max_age = self.policy.max_age(&entry.meta, left);
        let age = self.hot.clock().wall().since(entry.meta.modified);
        Found { entry, below: None, left, max_age, age }
    }
}
