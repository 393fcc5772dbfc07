//! The rules of a read.

use std::ops::Range;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};

use super::policy::OnStale;
use super::rate::Claim;
use super::{Origin, OriginError, Place};
use crate::auth::grant::{Action, Grant};
use crate::model::clock::WallTime;
use crate::model::conditions::Validators;
use crate::model::id::ObjectId;
use crate::model::meta::{Meta, Outset};
use crate::store::{BrokenOff, Entry, GrowingReader};

/// Memory set aside for a part of a growing object before its bytes have come; a larger part takes more as it comes.
const LARGEST_PART: usize = 1 << 20;

/// What there is for a reader.
#[derive(Debug)]
pub enum Reading {
    /// A whole version.
    Whole(Found),
    /// There is none, but one is being uploaded and can be read as it comes.
    Growing(Following),
}

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
    /// A version that is stored nowhere.
    pub(super) fn made(entry: Arc<Entry>, left: Duration, max_age: u64) -> Self {
        Self { entry, below: None, left, max_age, age: Duration::ZERO }
    }

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

/// A reader of an object that is still on its way in. He gets its bytes from the first one on, each piece as it comes.
#[derive(Debug)]
pub struct Following {
    reader: GrowingReader,
    place: Arc<Place>,
    /// How long a shared cache may keep it, in seconds, once it has it whole.
    pub max_age: u64,
}

impl Following {
    /// What is known of it.
    #[must_use]
    pub fn outset(&self) -> &Outset {
        self.reader.outset()
    }

    /// What conditions are judged against. It has no tag, for its bytes are not known, and is newer than anything a client may
    /// have.
    #[must_use]
    pub fn validators(&self) -> Validators<'_> {
        Validators { etag: b"", modified: WallTime::from_millis(u64::MAX) }
    }

    /// The next piece, by reference; `None` at the end of what has become an object. Cancel-safe.
    ///
    /// # Errors
    /// [`BrokenOff`], when it never will: what was read is no object, and its reader must not take it for one.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BrokenOff>>> {
        let next = std::task::ready!(self.reader.poll_next(cx));
        if let Some(Ok(piece)) = &next {
            // Paid for as it comes: a reader who has begun may overdraw and is not cut off.
            let _ = self.place.rates.read_bytes.take(piece.len() as u64, Claim::First, self.place.hot.clock().now());
        }
        Poll::Ready(next)
    }

    /// These bytes of it, as soon as all of them have come; `None` when it comes to its end before that, one way or the other.
    /// Cancel-safe.
    pub async fn part(mut self, part: Range<usize>) -> Option<Bytes> {
        let (mut taken, mut offset) = (BytesMut::with_capacity(part.len().min(LARGEST_PART)), 0);
        while offset < part.end {
            let piece = std::future::poll_fn(|cx| self.reader.poll_next(cx)).await?.ok()?;
            let begin = part.start.saturating_sub(offset).min(piece.len());
            let end = (part.end - offset).min(piece.len());
            taken.extend_from_slice(&piece[begin..end]);
            offset += piece.len();
        }
        let _ = self.place.rates.read_bytes.take(taken.len() as u64, Claim::First, self.place.hot.clock().now());
        Some(taken.freeze())
    }

    /// Waits until it has become an object, or never will. Cancel-safe.
    pub async fn ended(mut self) {
        // Which of the two it was, the next look shows.
        let _ = std::future::poll_fn(|cx| self.reader.poll_end(cx)).await;
    }
}

impl Reading {
    /// The whole version, for who can make no use of another.
    ///
    /// # Errors
    /// [`OriginError::NotFound`].
    pub fn whole(self) -> Result<Found, OriginError> {
        match self {
            Self::Whole(found) => Ok(found),
            Self::Growing(_) => Err(OriginError::NotFound),
        }
    }
}

impl Origin {
    /// Takes a read out of the namespace's allowance. A miss has the second claim: a flood of them must not starve those who
    /// watch.
    pub(super) fn take_read_rate(&self, place: &Place, entry: Option<&Entry>, is_growing: bool) -> Result<(), OriginError> {
        let rates = &place.rates;
        if !rates.limit_reads() {
            return Ok(());
        }
        let now = self.inner.clock.now();
        let claim = match entry {
            Some(entry) => claim(&entry.meta, self.inner.clock.wall()),
            None if is_growing => Claim::First,
            None => Claim::Second,
        };
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
    /// Finds an object for a reader: the whole version, where there is one, whatever is on its way to replace it. Only when
    /// there is none, the newest upload that can be read as it grows.
    ///
    /// # Errors
    /// [`OriginError::Forbidden`], [`OriginError::UnknownNamespace`], [`OriginError::NotFound`] or
    /// [`OriginError::Expired`], or [`OriginError::RateLimited`].
    pub fn get(&self, grant: &Grant, object: &ObjectId) -> Result<Reading, OriginError> {
        let place = self.admit(grant, Action::Read, object)?;
        let (hot, key) = (&place.hot, &object.key);
        let mut entry = hot.get(key);
        // A whole version is the object until another is, though it is in memory no more.
        let growing = if entry.is_none() && !place.below.has(key) { hot.growing(key) } else { None };
        if entry.is_none() && growing.is_none() {
            // It may have become whole between the two looks.
            entry = hot.get(key);
        }
        self.take_read_rate(&place, entry.as_deref(), growing.is_some())?;
        if let Some(reader) = growing {
            let max_age = place.policy.max_age_at_outset(reader.outset());
            return Ok(Reading::Growing(Following { reader, place, max_age }));
        }
        let Some(entry) = entry else {
            return Err(if hot.holds(key) { OriginError::Expired } else { OriginError::NotFound });
        };
        if place.policy.on_stale == OnStale::NotFound {
            let periods = place.policy.stale_after;
            let liveness = entry.meta.liveness.as_ref();
            if liveness.is_some_and(|liveness| liveness.is_stale(self.inner.clock.now(), periods)) {
                return Err(OriginError::Stale { periods });
            }
        }
        Ok(Reading::Whole(place.found(entry)))
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
