//! Refusals: the answer, the log line, the count and the [`black_box`] of a request that is not done. Encoders hide these: ffmpeg prints nothing and exits with 0 when every one of its uploads is refused, so this is often
//! the only place where the reason stands. [`challenge`] tells a question for credentials from a refusal.
//!
//! Invariants: a refused upload is answered, logged, counted and kept once, whatever its verb. What is kept of clients is bounded,
//! and nobody can push out what is kept of an encoder that works.
//!
//! Nothing is refused here: who finds the fault makes the problem.

pub(super) mod black_box;
pub(super) mod challenge;
pub(super) mod thinned;
pub(super) mod unread;

use axum::body::Body;
use axum::http::Method;
use axum::http::header::USER_AGENT;
use axum::http::request::Parts;
use axum::response::Response;

use super::Web;
use super::connection::unwanted;
use super::envelope::Context;
use super::exchange::Exchange;
use super::problem::Problem;
use super::problem::code::Retry;
use super::record::redact;
use crate::origin::NamespaceHandle;

/// Answers with a problem, at once, tells of it, and sees to the rest of the body.
pub(super) fn refuse(exchange: &Exchange<'_>, problem: Problem, body: Body) -> Response {
    let Exchange { web, context, parts, .. } = exchange;
    context.record.failed(&problem, None);
    // What does not read writes, or means to: some encoders make folders first.
    let is_write = !matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS) && parts.method != "PROPFIND";
    if is_write {
        tell(web, context, parts, &problem, None);
    }
    let closes = unwanted::after_refusal(&context.connection, &parts.headers, body);
    answer(exchange, if closes { problem.close() } else { problem })
}

/// A problem that has been told of, dressed as its namespace wants errors dressed.
pub(super) fn answer(exchange: &Exchange<'_>, problem: Problem) -> Response {
    let policy = exchange.namespace.as_ref().and_then(NamespaceHandle::policy);
    exchange.dress(problem.into_response(exchange.context.id(), policy.map(|policy| &policy.error_cache_control)))
}

/// Writes the line, counts, and keeps what was sent. Names the object by its parsed name, never by the URL: the query may hold a key.
pub(super) fn tell(web: &Web, context: &Context, parts: &Parts, problem: &Problem, received: Option<u64>) {
    let (name, grant) = context.record.who_and_what();
    let name = name.as_ref().map_or(("", ""), |name| (name.namespace(), name.key()));
    let (namespace, key) = (&*redact::name(name.0), &*redact::name(name.1));
    let key_id = grant.as_ref().map_or("", |grant| grant.key_id.as_str());
    let user_agent = redact::header(&USER_AGENT, parts.headers.get(USER_AGENT).map_or(b"", |agent| agent.as_bytes()));
    let (method, status) = (&*redact::name(parts.method.as_str()), problem.code.status().as_u16());
    let (reason, request_id, peer) = (problem.code.name(), context.id(), context.peer);
    web.inner.metrics.count_refusal(reason);
    context.record.failed(problem, received);
    web.inner.black_box.refused(peer.ip(), parts, problem, request_id, received);
    let detail = problem.inner.as_deref().unwrap_or(&problem.detail);
    if problem.code.retry() == Retry::WithCredentials {
        // A question, not yet a refusal: see `challenge` for when it becomes one.
        tracing::debug!(method, namespace, key, status, reason, %peer, user_agent, request_id, "upload asked for credentials");
    } else {
        tracing::warn!(
            method, namespace, key, key_id, status, reason, detail, received_bytes = received, %peer, user_agent, request_id,
            "upload refused"
        );
    }
}
