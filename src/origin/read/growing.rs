//! The third source: uploads that can be read as they come.

use std::ops::Range;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http::HeaderValue;

use super::{Payment, Reader};
use crate::model::clock::WallTime;
use crate::model::conditions::Validators;
use crate::model::meta::Outset;
use crate::origin::OriginError;
use crate::origin::cache_control;
use crate::origin::namespace::Hosted;
use crate::origin::rate::RateClaim;
use crate::store::{BrokenOff, GrowingReader};

/// Memory set aside for a part of a growing object before its bytes have come; a larger part takes more as it comes.
const LARGEST_PART: usize = 1 << 20;

/// A reader of an object that is still on its way in. He gets its bytes from the first one on that he asked for, each piece as it
/// comes.
#[derive(Debug)]
pub struct Following {
    reader: GrowingReader,
    hosted: Arc<Hosted>,
    /// Bytes that have come already and are his next ones; empty: what the reader has next.
    ahead: Bytes,
    /// Where his bytes begin, if he asked for those from there on and for no others.
    pub start: Option<usize>,
    /// How long a shared cache may keep it, in seconds, once it has it whole.
    pub max_age: u64,
}

/// A part of an object that is still on its way in: all of the bytes that were asked for.
#[derive(Clone, Debug)]
pub struct FollowedPart {
    /// What is known of the object.
    pub outset: Outset,
    /// How long a shared cache may keep it, in seconds.
    pub max_age: u64,
    /// Where the part begins.
    pub start: usize,
    /// Its bytes.
    pub body: Bytes,
}

impl FollowedPart {
    /// What its encoder wants caches told, where that is less than [`Self::max_age`].
    #[must_use]
    pub fn cache_control(&self) -> Option<HeaderValue> {
        cache_control::served(self.outset.cache_control.as_ref()?, self.max_age)
    }
}

/// The newest upload that can be read, unless a whole version is known to be below memory: that is the object until another is.
pub(super) fn find(reader: Reader<'_>, payment: &mut Payment) -> Result<Option<Following>, OriginError> {
    let (hosted, key) = (reader.hosted, &reader.object.key);
    let Some(growing) = hosted.hot.growing(key).filter(|_| !hosted.durable_tier.has(key)) else { return Ok(None) };
    payment.pay(hosted, 0, RateClaim::First)?;
    let max_age = hosted.policy.max_age_at_outset(growing.outset());
    Ok(Some(Following { reader: growing, hosted: Arc::clone(hosted), ahead: Bytes::new(), start: None, max_age }))
}

impl Following {
    /// What is known of it.
    #[must_use]
    pub fn outset(&self) -> &Outset {
        self.reader.outset()
    }

    /// What its encoder wants caches told, where that is less than [`Self::max_age`].
    #[must_use]
    pub fn cache_control(&self) -> Option<HeaderValue> {
        cache_control::served(self.outset().cache_control.as_ref()?, self.max_age)
    }

    /// What conditions are judged against. It has no tag, for its bytes are not known, and is newer than anything a client may
    /// have.
    #[must_use]
    pub fn validators(&self) -> Validators<'_> {
        Validators { etag: b"", modified: WallTime::from_millis(u64::MAX), shares_date: false }
    }

    /// The next piece, by reference; `None` at the end of what has become an object. Cancel-safe.
    ///
    /// # Errors
    /// [`BrokenOff`], when it never will: what was read is no object, and its reader must not take it for one.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BrokenOff>>> {
        let next = match std::mem::take(&mut self.ahead) {
            ahead if ahead.is_empty() => std::task::ready!(self.reader.poll_next(cx)),
            ahead => Some(Ok(ahead)),
        };
        if let Some(Ok(piece)) = &next {
            self.pay(piece.len());
        }
        Poll::Ready(next)
    }

    /// The same from this byte on, as soon as it has come; `None` when it never will. Cancel-safe.
    pub(super) async fn from(mut self, start: usize) -> Option<Self> {
        let mut offset = 0;
        loop {
            let piece = std::future::poll_fn(|cx| self.reader.poll_next(cx)).await?.ok()?;
            if start - offset < piece.len() {
                self.ahead = piece.slice(start - offset..);
                return Some(Self { start: Some(start), ..self });
            }
            offset += piece.len();
        }
    }

    /// These bytes of it, as soon as all of them have come; `None` when it comes to its end before that, one way or the other.
    /// Cancel-safe.
    pub(super) async fn part(mut self, part: Range<usize>) -> Option<FollowedPart> {
        let (mut taken, mut offset) = (BytesMut::with_capacity(part.len().min(LARGEST_PART)), 0);
        while offset < part.end {
            let piece = std::future::poll_fn(|cx| self.reader.poll_next(cx)).await?.ok()?;
            let begin = part.start.saturating_sub(offset).min(piece.len());
            let end = (part.end - offset).min(piece.len());
            taken.extend_from_slice(&piece[begin..end]);
            offset += piece.len();
        }
        self.pay(taken.len());
        Some(FollowedPart { outset: self.outset().clone(), max_age: self.max_age, start: part.start, body: taken.freeze() })
    }

    /// Waits until it has become an object, or never will. Cancel-safe.
    pub(super) async fn ended(mut self) {
        // Which of the two it was, the next look shows.
        let _ = std::future::poll_fn(|cx| self.reader.poll_end(cx)).await;
    }

    /// Pays for bytes as they come: a reader who has begun may overdraw and is not cut off.
    fn pay(&self, bytes: usize) {
        let _ = self.hosted.rates.read_bytes.take(bytes as u64, RateClaim::First, self.hosted.hot.clock().now());
    }
}
