//! What a request turned out to be: its record, begun with it, filled in on its way, closed when everybody has let go of it.
//!
//! The answer's [`body`] holds it, and so does an upload that goes on without its client: when the last of them is done, it is known
//! what became of the request, and the [`access_log`]'s line and the [`spans`]' span are written. A figure that does not depend on
//! that is counted at once.
//!
//! Invariants: each request has one record, and each record is counted and logged once. What a client wrote is shown as [`redact`]
//! lets it be: nothing that might be a credential.
//!
//! Nothing is decided here: a record is told what happened, and may not change what a client is answered.

pub mod access_log;
pub(super) mod body;
pub(super) mod redact;
pub mod spans;

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::http::header::USER_AGENT;
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Method};
use parking_lot::Mutex;
use tokio::time::Instant;

use self::access_log::AccessLog;
use self::spans::{Ended, Spans};
use super::Web;
use super::connection::state::ConnectionState;
use super::json::{Object, field};
use super::problem::Problem;
use super::target::Name;
use crate::auth::grant::{Grant, KeyId};
use crate::metrics::{Outcome, StripedArc, Traffic, Verb};
use crate::model::clock::Now;
use crate::origin::{Found, Stored};

/// What is told of objects, their names among it, with what looks like an API key hidden: somebody's playlist may name one.
#[must_use]
pub fn shown(text: &str) -> Cow<'_, str> {
    redact::name(text)
}

/// A line of the log, with what looks like an API key, a viewer's token or an ingest credential hidden: whoever writes it may have named an object.
#[must_use]
pub fn shown_line(text: &str) -> Cow<'_, str> {
    redact::line(text)
}

/// W3C Trace Context.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The record.
#[derive(Debug)]
pub(super) struct Record {
    web: Web,
    begun: Instant,
    /// The same by the clocks that the floors below go by. What is done at once goes by it: each look at a clock costs.
    pub(super) now: Now,
    pub(super) method: Method,
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
    traffic: Option<StripedArc<Traffic>>,
    name: Option<Name>,
    /// It is not counted with the traffic.
    is_aside: bool,
    /// It has no line and no span.
    is_untold: bool,
    grant: Option<Arc<Grant>>,
    /// The key that was good but for its end, or for its being revoked.
    refused_key: Option<KeyId>,
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

impl Facts {
    fn key_id(&self) -> Option<&KeyId> {
        self.grant.as_ref().map(|grant| &grant.key_id).or(self.refused_key.as_ref())
    }
}

impl Record {
    pub(super) fn begin(
        web: &Web,
        parts: &Parts,
        peer: std::net::SocketAddr,
        request_id: HeaderValue,
        connection: Arc<ConnectionState>,
        (begun, now): (Instant, Now),
    ) -> Arc<Self> {
        web.inner.metrics.requests_in_flight.inc();
        Arc::new(Self {
            web: web.clone(),
            begun,
            now,
            method: parts.method.clone(),
            verb: Verb::of(parts.method.as_str()),
            peer,
            request_id,
            // A line's, so nobody else's.
            user_agent: web.inner.access_log.is_some().then(|| parts.headers.get(USER_AGENT).cloned()).flatten(),
            traceparent: web.inner.spans.get().and_then(|_| parts.headers.get(TRACEPARENT).cloned()),
            connection,
            sent: AtomicU64::new(0),
            facts: Mutex::default(),
        })
    }

    /// The request's id, as text.
    pub(super) fn id(&self) -> &str {
        self.request_id.to_str().unwrap_or_default()
    }

    /// Whether the client is known to have gone.
    pub(in crate::web) fn is_nobody_there(&self) -> bool {
        self.connection.is_broken()
    }

    /// The URL names this; of a namespace that is configured, its requests are counted there.
    pub(super) fn names(&self, name: Name, traffic: Option<StripedArc<Traffic>>) {
        let mut facts = self.facts.lock();
        facts.traffic = traffic;
        facts.name = Some(name);
    }

    /// The request is for a route of the admin listener, which is nobody's traffic. Only those that are `told` have a line in the
    /// access log: scrapes and probes are many, and nobody looks for them.
    pub(super) fn is_about(&self, route: &'static str, told: bool) {
        let mut facts = self.facts.lock();
        facts.name = Some(Name::Route(route));
        if !std::mem::replace(&mut facts.is_aside, true) {
            self.web.inner.metrics.requests_in_flight.dec();
        }
        facts.is_untold = !told;
    }

    /// What the URL names, and which key came with it, as far as both are known.
    pub(super) fn who_and_what(&self) -> (Option<Name>, Option<KeyId>) {
        let facts = self.facts.lock();
        (facts.name.clone(), facts.key_id().cloned())
    }

    /// This key came with it, and is good no more.
    pub(super) fn refused_key(&self, key_id: &KeyId) {
        self.facts.lock().refused_key = Some(key_id.clone());
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

    /// An upload has come to its end, and was stored unless another was begun later.
    pub(super) fn stored(&self, stored: &Stored) {
        let size = stored.length;
        self.web.inner.metrics.object_size(self.verb, size);
        let mut facts = self.facts.lock();
        facts.outcome = Some(if stored.is_superseded { Outcome::Superseded } else { Outcome::Stored });
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

    /// Bytes of the body that went to the client, as far as that is known: of a body that fits into the HTTP library's buffer the
    /// end is known before it is written.
    fn sent(&self) -> u64 {
        let handed = self.sent.load(Ordering::Relaxed);
        if self.connection.is_multiplexed() { handed } else { handed.saturating_sub(self.connection.unsent() as u64) }
    }

    fn write(&self, log: &AccessLog) {
        let facts = self.facts.lock();
        let elapsed = self.begun.elapsed();
        let micros = |span: Duration| u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        let sent = self.sent();
        let all_sent = self.method == Method::HEAD || facts.length.map_or(facts.ended, |length| sent >= length);
        let whole = facts.status.is_some() && all_sent && !self.connection.is_broken();
        let agent = self.user_agent.as_ref().map_or(&b""[..], |agent| agent.as_bytes());
        let name = facts.name.as_ref().map_or(("", ""), |name| (name.namespace(), name.key()));
        log.add(|line| {
            let mut object = Object::begin(line);
            object.time(field!("time"), self.web.inner.origin.clock().wall());
            object.text(field!("request_id"), self.id());
            object.text(field!("namespace"), &redact::name(name.0));
            object.text(field!("key"), &redact::name(name.1));
            object.text(field!("verb"), &redact::name(self.method.as_str()));
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
            object.text(field!("user_agent"), &redact::words(&String::from_utf8_lossy(agent)));
            object.text(field!("key_id"), facts.key_id().map_or("", KeyId::as_str));
            object.end();
        });
    }
}

impl Record {
    fn tell(&self, spans: &dyn Spans) {
        let facts = self.facts.lock();
        let outcome = facts.outcome.unwrap_or(Outcome::Broken);
        if facts.name.is_none() && outcome == Outcome::Other {
            // A probe: there are many, and nobody looks for them.
            return;
        }
        let names = facts.name.as_ref().map(|name| (redact::name(name.namespace()), redact::name(name.key())));
        spans.ended(&Ended {
            at: self.web.inner.origin.clock().wall().to_system(),
            took: self.begun.elapsed(),
            parent: self.traceparent.as_ref().and_then(|parent| parent.to_str().ok()),
            request_id: self.id(),
            method: &redact::name(self.method.as_str()),
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
        let facts = self.facts.get_mut();
        if !facts.is_aside {
            metrics.requests_in_flight.dec();
        }
        if facts.status.is_none() && !facts.is_aside {
            // The client went before it was answered; an upload may have come to its end all the same.
            let traffic = facts.traffic.as_deref().unwrap_or(metrics.nowhere());
            traffic.count(self.verb, None, facts.outcome.unwrap_or(Outcome::Broken));
        }
        if facts.is_untold {
            return;
        }
        if let Some(log) = &self.web.inner.access_log {
            self.write(log);
        }
        if let Some(spans) = self.web.inner.spans.get() {
            self.tell(&**spans);
        }
    }
}
