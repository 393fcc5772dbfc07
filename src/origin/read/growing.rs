//! The third source: uploads that can be read as they come.

use std::ops::Range;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
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

/// A reader of an object that is still on its way in. He gets its bytes from the first one on that he asked for, each piece as it
/// comes, up to the last one that he asked for. Until he takes it he holds no more than a place in it, so that any number of
/// readers costs one copy of the bytes.
#[derive(Debug)]
pub struct Following {
    reader: GrowingReader,
    hosted: Arc<Hosted>,
    /// Bytes that have come already and are his next ones; empty: what the reader has next.
    ahead: Bytes,
    /// Where his bytes begin, if he asked for those from there on and for no others.
    pub start: Option<usize>,
    /// How many more are his, if he asked for some that end; they are there, and stay there for him.
    pub left: Option<usize>,
    /// How long a shared cache may keep it, in seconds, once it has it whole.
    pub max_age: u64,
}

/// The newest upload that can be read, unless a whole version is known to be below memory: that is the object until another is. Boxed: few reads
/// come to it.
pub(super) fn find(reader: Reader<'_>, payment: &mut Payment) -> Result<Option<Box<Following>>, OriginError> {
    let (hosted, key) = (reader.hosted, &reader.object.key);
    let Some(growing) = hosted.hot.growing(key).filter(|_| !hosted.durable_tier.has(key)) else { return Ok(None) };
    payment.pay(hosted, 0, RateClaim::First)?;
    let max_age = hosted.policy.max_age_at_outset(growing.outset());
    let hosted = Arc::clone(hosted);
    Ok(Some(Box::new(Following { reader: growing, hosted, ahead: Bytes::new(), start: None, left: None, max_age })))
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

    /// The next piece, by reference; `None` at the end of what has become an object, or of what was asked for. Cancel-safe.
    ///
    /// # Errors
    /// [`BrokenOff`], when it never will: what was read is no object, and its reader must not take it for one. Never of a part with an end.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BrokenOff>>> {
        if self.left == Some(0) {
            return Poll::Ready(None);
        }
        let mut next = match std::mem::take(&mut self.ahead) {
            ahead if ahead.is_empty() => std::task::ready!(self.reader.poll_next(cx)),
            ahead => Some(Ok(ahead)),
        };
        if let Some(Ok(piece)) = &mut next {
            if let Some(left) = &mut self.left {
                piece.truncate(*left);
                *left -= piece.len();
            }
            self.pay(piece.len());
        }
        Poll::Ready(next)
    }

    /// The same from this byte on, as soon as it has come; `None` when it never will. Cancel-safe.
    pub(super) async fn from(mut self: Box<Self>, start: usize) -> Option<Box<Self>> {
        let mut offset = 0;
        loop {
            let piece = std::future::poll_fn(|cx| self.reader.poll_next(cx)).await?.ok()?;
            if start - offset < piece.len() {
                self.ahead = piece.slice(start - offset..);
                self.start = Some(start);
                return Some(self);
            }
            offset += piece.len();
        }
    }

    /// These bytes of it, as soon as all of them have come; `None` when it comes to its end before that, one way or the other.
    /// Cancel-safe.
    pub(super) async fn part(mut self: Box<Self>, part: Range<usize>) -> Option<Box<Self>> {
        if !std::future::poll_fn(|cx| self.reader.poll_promise(part.end, cx)).await {
            return None;
        }
        let mut from = self.from(part.start).await?;
        from.left = Some(part.len());
        Some(from)
    }

    /// Waits until it has become an object, or never will. Cancel-safe.
    pub(super) async fn ended(mut self: Box<Self>) {
        // Which of the two it was, the next look shows.
        let _ = std::future::poll_fn(|cx| self.reader.poll_end(cx)).await;
    }

    /// Pays for bytes as they come: a reader who has begun may overdraw and is not cut off.
    fn pay(&self, bytes: usize) {
        self.hosted.rates.read_bytes.charge(bytes as u64, self.hosted.hot.clock().now());
    }
}
