//! An answer's body on its way out: handed over in pieces, and counted.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use http_body::{Body as _, Frame, SizeHint};

use super::Record;
use crate::metrics::{Outcome, StripedArc, Traffic};

/// A body goes to an HTTP/2 stream in pieces of this size, at most, where the next one is asked for only when this one has found
/// room in the client's window: a client that takes one of these within `download_idle` is slow, and not stalled. An HTTP/1
/// connection gets it in one piece: the fewer writes a segment takes, the less its copy into the kernel costs.
const SHARED_PIECE: usize = 64 << 10;

impl Record {
    /// The answer begins. Wraps its body, so that its end is seen.
    pub(in crate::web) fn answer(self: &Arc<Self>, status: u16, body: Body) -> CountedBody {
        let metrics = &self.web.inner.metrics;
        let after = self.begun.elapsed();
        let mut facts = self.facts.lock();
        facts.status = Some(status);
        facts.answered_after = Some(after);
        facts.length = body.size_hint().exact();
        let outcome = *facts.outcome.get_or_insert(match status {
            500.. => Outcome::Failed,
            400.. => Outcome::Refused,
            _ => Outcome::Other,
        });
        // Once it is answered, nobody but its body counts what it is.
        let traffic = facts.traffic.take();
        let is_aside = facts.is_aside;
        drop(facts);
        if !is_aside {
            metrics.answered(self.verb, after);
            self.counted_in(traffic.as_ref()).count(self.verb, Some(status), outcome);
        }
        CountedBody::new(body, traffic, Arc::clone(self))
    }

    /// Where it is counted: with the traffic of its namespace, if that is configured.
    fn counted_in<'a>(&'a self, traffic: Option<&'a StripedArc<Traffic>>) -> &'a Traffic {
        traffic.map_or(self.web.inner.metrics.nowhere(), |traffic| traffic)
    }
}

/// An answer's body that is handed over in pieces, and counted.
#[derive(Debug)]
pub(in crate::web) struct CountedBody {
    body: Body,
    rest: Bytes,
    /// Bytes that are in the traffic's count.
    counted: u64,
    traffic: Option<StripedArc<Traffic>>,
    record: Arc<Record>,
    /// The client has taken all there is so far, and more is to come.
    starved: bool,
}

impl CountedBody {
    fn new(body: Body, traffic: Option<StripedArc<Traffic>>, record: Arc<Record>) -> Self {
        Self { body, rest: Bytes::new(), counted: 0, traffic, record, starved: false }
    }

    /// Has the connection know whether it is the client or the server who keeps the other waiting.
    fn set_starved(&mut self, starved: bool) {
        if self.starved != starved {
            self.starved = starved;
            self.record.connection.set_starved(starved);
        }
    }

    /// Counts what has gone since the last time.
    fn count(&mut self) {
        let sent = self.record.sent();
        self.record.counted_in(self.traffic.as_ref()).count_sent(sent.saturating_sub(self.counted));
        self.counted = self.counted.max(sent);
    }
}

impl Drop for CountedBody {
    fn drop(&mut self) {
        self.set_starved(false);
        self.count();
        let connection = &self.record.connection;
        if self.rest.is_empty() && connection.unsent() > 0 && !connection.is_multiplexed() && !connection.is_broken() {
            let (traffic, record) = (self.traffic.take(), Arc::clone(&self.record));
            connection.keep_until_sent(Box::new(UnsentTail { counted: self.counted, traffic, record }));
        }
    }
}

/// What was still in the HTTP library's buffer when it let go of an answer's body. Dropped when that has been sent, or will not be; the
/// record of the request is complete then, and not before.
#[derive(Debug)]
struct UnsentTail {
    /// Bytes that are in the traffic's count.
    counted: u64,
    traffic: Option<StripedArc<Traffic>>,
    record: Arc<Record>,
}

impl Drop for UnsentTail {
    fn drop(&mut self) {
        self.record.counted_in(self.traffic.as_ref()).count_sent(self.record.sent().saturating_sub(self.counted));
    }
}

impl http_body::Body for CountedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.count();
        if self.rest.is_empty() {
            let frame = Pin::new(&mut self.body).poll_frame(cx);
            self.set_starved(frame.is_pending());
            match std::task::ready!(frame) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                None => {
                    self.record.ended();
                    return Poll::Ready(None);
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
            }
        }
        let left = self.rest.len();
        let length = match left {
            _ if !self.record.connection.is_multiplexed() => left,
            0 | 1 => left,
            // The library lets go of a stream with its last piece, once the window has room for a single byte of it; the rest would
            // lie there untimed. So the last piece is a single byte.
            ..=SHARED_PIECE => left - 1,
            _ => SHARED_PIECE,
        };
        let piece = self.rest.split_to(length);
        if !self.record.connection.is_broken() {
            self.record.sent.fetch_add(length as u64, Ordering::Relaxed);
        }
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        // With its last piece the library would let go of it, and what became of that piece would not be known. So the end is for
        // it to find: it asks when the piece is written.
        let is_begun = self.record.sent.load(Ordering::Relaxed) > 0;
        self.rest.is_empty() && self.body.is_end_stream() && (self.record.connection.is_multiplexed() || !is_begun)
    }

    fn size_hint(&self) -> SizeHint {
        let (inner, rest) = (self.body.size_hint(), self.rest.len() as u64);
        let mut all = SizeHint::new();
        all.set_lower(inner.lower() + rest);
        if let Some(upper) = inner.upper() {
            all.set_upper(upper + rest);
        }
        all
    }
}
