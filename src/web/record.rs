//! One request's record: begun with it, filled in on its way, closed when everybody has let go of it.
//!
//! The answer's body holds it, and so does an upload that goes on without its client: when the last of them is done, it is known
//! what became of the request, and the access log's line is written. A figure that does not depend on that is counted at once.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context as Task, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::header::USER_AGENT;
use axum::http::{HeaderName, HeaderValue, Method};
use http_body::{Body as _, Frame, SizeHint};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::access_log::{AccessLog, Object, field};
use super::connection::ConnectionState;
use super::error::Problem;
use super::spans::{Ended, Spans};
use super::{Web, mask};
use crate::auth::grant::Grant;
use crate::metrics::{Outcome, Traffic, Verb};
use crate::model::id::ObjectId;
use crate::origin::Found;

/// A body goes to an HTTP/2 stream in pieces of this size, at most, where the next one is asked for only when this one has found
/// room in the client's window: a client that takes one of these within `download_idle` is slow, and not stalled. An HTTP/1
/// connection gets it in one piece: the fewer writes a segment takes, the less its copy into the kernel costs.
const SHARED_PIECE: usize = 64 << 10;

/// W3C Trace Context.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The record.
#[derive(Debug)]
pub(super) struct Record {
    web: Web,
    begun: Instant,
    method: Method,
    verb: Verb,
    peer: std::net::SocketAddr,
    pub(super) request_id: HeaderValue,
    user_agent: Option<HeaderValue>,
    traceparent: Option<HeaderValue>,
    connection: Arc<ConnectionState>,
    sent: AtomicU64,
    facts: Mutex<Facts>,
}

#[derive(Debug, Default)]
struct Facts {
    traffic: Option<Arc<Traffic>>,
    object: Option<ObjectId>,
    grant: Option<Arc<Grant>>,
    outcome: Option<Outcome>,
    status: Option<u16>,
    size: Option<u64>,
    age: Option<Duration>,
    left: Option<Duration>,
    received: Option<u64>,
    answered_after: Option<Duration>,
    /// The length of the answer's body, if it is known before its end.
    length: Option<u64>,
    /// A body of unknown length came to its end.
    ended: bool,
}

impl Record {
    pub(super) fn begin(
        web: &Web,
        request: &Request,
        peer: std::net::SocketAddr,
        request_id: HeaderValue,
        connection: Arc<ConnectionState>,
    ) -> Arc<Self> {
        web.inner.metrics.requests_in_flight.inc();
        Arc::new(Self {
            web: web.clone(),
            begun: Instant::now(),
            method: request.method().clone(),
            verb: Verb::of(request.method().as_str()),
            peer,
            request_id,
            // A line's, so nobody else's.
            user_agent: web.inner.access_log.is_some().then(|| request.headers().get(USER_AGENT).cloned()).flatten(),
            traceparent: web.inner.spans.get().and_then(|_| request.headers().get(TRACEPARENT).cloned()),
            connection,
            sent: AtomicU64::new(0),
            facts: Mutex::default(),
        })
    }

    /// The request's id, as text.
    pub(super) fn id(&self) -> &str {
        self.request_id.to_str().unwrap_or_default()
    }

    /// The URL named an object; of a namespace that is configured, its requests are counted there.
    pub(super) fn target(&self, object: &ObjectId, traffic: Option<Arc<Traffic>>) {
        let mut facts = self.facts.lock();
        facts.traffic = traffic;
        facts.object = Some(object.clone());
    }

    /// A key was good for it.
    pub(super) fn authorized(&self, grant: &Arc<Grant>) {
        self.facts.lock().grant = Some(Arc::clone(grant));
    }

    /// The object was found for a reader.
    pub(super) fn found(&self, found: &Found, outcome: Outcome) {
        let size = found.length() as u64;
        let metrics = &self.web.inner.metrics;
        metrics.object_size(self.verb, size);
        metrics.object_age(found.meta().kind, found.age);
        let mut facts = self.facts.lock();
        facts.outcome = Some(outcome);
        facts.size = Some(size);
        facts.age = Some(found.age);
        facts.left = Some(found.left);
    }

    /// An upload was stored.
    pub(super) fn stored(&self, size: u64) {
        self.web.inner.metrics.object_size(self.verb, size);
        let mut facts = self.facts.lock();
        facts.outcome = Some(Outcome::Stored);
        facts.size = Some(size);
        facts.received = Some(size);
    }

    /// An upload ended, after this many bytes, without being stored.
    pub(super) fn failed(&self, problem: &Problem, received: Option<u64>) {
        let mut facts = self.facts.lock();
        facts.outcome = Some(problem.outcome);
        facts.received = received.or(facts.received);
    }

    /// The answer's body has come to a clean end.
    fn ended(&self) {
        let mut facts = self.facts.lock();
        facts.ended = true;
        if facts.outcome == Some(Outcome::Growing) {
            let size = self.sent.load(Ordering::Relaxed);
            facts.size = Some(size);
            self.web.inner.metrics.object_size(self.verb, size);
        }
    }

    /// It came to this.
    pub(super) fn outcome(&self, outcome: Outcome) {
        self.facts.lock().outcome = Some(outcome);
    }

    /// The answer begins. Wraps its body, so that its end is seen.
    pub(super) fn answer(self: &Arc<Self>, status: u16, body: Body) -> Witness {
        let metrics = &self.web.inner.metrics;
        let after = self.begun.elapsed();
        metrics.answered(self.verb, after);
        let mut facts = self.facts.lock();
        facts.status = Some(status);
        facts.answered_after = Some(after);
        facts.length = body.size_hint().exact();
        let outcome = *facts.outcome.get_or_insert(match status {
            500.. => Outcome::Failed,
            400.. => Outcome::Refused,
            _ => Outcome::Other,
        });
        let traffic = Arc::clone(facts.traffic.get_or_insert_with(|| Arc::clone(metrics.nowhere())));
        drop(facts);
        traffic.count(self.verb, Some(status), outcome);
        Witness { body, rest: Bytes::new(), counted: 0, traffic, record: Arc::clone(self), has_nothing: false }
    }

    /// Bytes of the body that went to the client, as far as that is known: of a body that fits into the HTTP library's buffer the
    /// end is known before it is written.
    fn sent(&self) -> u64 {
        let handed = self.sent.load(Ordering::Relaxed);
        if self.connection.shares() { handed } else { handed.saturating_sub(self.connection.unsent() as u64) }
    }

    fn write(&self, log: &AccessLog) {
        let facts = self.facts.lock();
        let elapsed = self.begun.elapsed();
        let micros = |span: Duration| u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        let sent = self.sent();
        let all_sent = self.method == Method::HEAD || facts.length.map_or(facts.ended, |length| sent >= length);
        let whole = facts.status.is_some() && all_sent && !self.connection.is_broken();
        let agent = self.user_agent.as_ref().map_or(&b""[..], |agent| agent.as_bytes());
        let name = facts.object.as_ref().map_or(("", ""), |object| (object.namespace.as_str(), object.key.as_str()));
        log.add(|line| {
            let mut object = Object::begin(line);
            object.time(field!("time"), self.web.inner.origin.clock().wall());
            object.text(field!("request_id"), self.id());
            object.text(field!("namespace"), &mask::name(name.0));
            object.text(field!("key"), &mask::name(name.1));
            object.text(field!("verb"), &mask::name(self.method.as_str()));
            object.number(field!("status"), facts.status.map(u64::from));
            object.text(field!("outcome"), facts.outcome.unwrap_or(Outcome::Broken).as_str());
            object.number(field!("size"), facts.size);
            object.number(field!("bytes_sent"), sent);
            object.number(field!("bytes_received"), facts.received);
            object.truth(field!("complete"), whole);
            object.number(field!("age_ms"), facts.age.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)));
            object.number(field!("ttl_left_s"), facts.left.map(|left| left.as_secs()));
            object.number(field!("answered_us"), facts.answered_after.map(micros));
            object.number(field!("duration_us"), micros(elapsed));
            object.address(field!("peer"), self.peer);
            object.text(field!("user_agent"), &mask::words(&String::from_utf8_lossy(agent)));
            object.text(field!("key_id"), facts.grant.as_ref().map_or("", |grant| grant.key_id.as_str()));
            object.end();
        });
    }
}

impl Record {
    fn tell(&self, spans: &dyn Spans) {
        let facts = self.facts.lock();
        let outcome = facts.outcome.unwrap_or(Outcome::Broken);
        if facts.object.is_none() && outcome == Outcome::Other {
            // A probe: there are many, and nobody looks for them.
            return;
        }
        let names = facts.object.as_ref().map(|object| (mask::name(object.namespace.as_str()), mask::name(object.key.as_str())));
        spans.ended(&Ended {
            at: self.web.inner.origin.clock().wall().to_system(),
            took: self.begun.elapsed(),
            parent: self.traceparent.as_ref().and_then(|parent| parent.to_str().ok()),
            request_id: self.id(),
            method: &mask::name(self.method.as_str()),
            object: names.as_ref().map(|(namespace, key)| (&**namespace, &**key)),
            status: facts.status,
            outcome: outcome.as_str(),
            received: facts.received,
            sent: self.sent(),
        });
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let metrics = &self.web.inner.metrics;
        metrics.requests_in_flight.dec();
        let facts = self.facts.get_mut();
        if facts.status.is_none() {
            // The client went before it was answered; an upload may have come to its end all the same.
            let traffic = facts.traffic.as_ref().unwrap_or(metrics.nowhere());
            traffic.count(self.verb, None, facts.outcome.unwrap_or(Outcome::Broken));
        }
        if let Some(log) = &self.web.inner.access_log {
            self.write(log);
        }
        if let Some(spans) = self.web.inner.spans.get() {
            self.tell(&**spans);
        }
    }
}

/// An answer's body that is handed over in pieces, and counted.
#[derive(Debug)]
pub(super) struct Witness {
    body: Body,
    rest: Bytes,
    /// Bytes that are in the traffic's count.
    counted: u64,
    traffic: Arc<Traffic>,
    record: Arc<Record>,
    /// The client has taken all there is so far, and more is to come.
    has_nothing: bool,
}

impl Witness {
    /// Has the connection know whether it is the client or the server who keeps the other waiting.
    fn has_nothing(&mut self, has_nothing: bool) {
        if self.has_nothing != has_nothing {
            self.has_nothing = has_nothing;
            self.record.connection.has_nothing_to_send(has_nothing);
        }
    }
}

impl Witness {
    /// Counts what has gone since the last time.
    fn count(&mut self) {
        let sent = self.record.sent();
        self.traffic.count_sent(sent.saturating_sub(self.counted));
        self.counted = self.counted.max(sent);
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.has_nothing(false);
        self.count();
    }
}

impl http_body::Body for Witness {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Task<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.count();
        if self.rest.is_empty() {
            let frame = Pin::new(&mut self.body).poll_frame(cx);
            self.has_nothing(frame.is_pending());
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
            _ if !self.record.connection.shares() => left,
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
        self.rest.is_empty() && self.body.is_end_stream() && (self.record.connection.shares() || !is_begun)
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
