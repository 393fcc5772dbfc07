//! Refusals: the answer, the log line, the count and the [`black_box`] of a request that is not done. Encoders hide these: ffmpeg prints nothing and exits with 0 when every one of its uploads is refused, so this is often
//! the only place where the reason stands. [`challenge`] tells a question for credentials from a refusal.
//!
//! Invariants: a refused upload is answered, logged, counted and kept once, whatever its verb. What is kept of clients is bounded,
//! and nobody can push out what is kept of an encoder that works.
//!
//! Nothing is refused here: who finds the fault makes the problem.

pub(super) mod black_box;
pub(super) mod challenge;

use axum::body::Body;
use axum::http::header::USER_AGENT;
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method};
use axum::response::Response;

use super::Web;
use super::connection::unwanted;
use super::envelope::{Context, narrow};
use super::problem::Problem;
use super::problem::code::Retry;
use super::record::redact;
use crate::model::id::{Namespace, ObjectId};
use crate::origin::NamespaceHandle;

/// Writes it, and counts. Names the object by its parsed name, never by the URL: the query may hold a key.
pub(super) fn log(
    web: &Web,
    context: &Context,
    parts: &Parts,
    object: Option<&ObjectId>,
    problem: &Problem,
    received: Option<u64>,
) {
    let namespace = &*redact::name(object.map_or("", |object| object.namespace.as_str()));
    let key = &*redact::name(object.map_or("", |object| object.key.as_str()));
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
            method, namespace, key, status, reason, detail, received_bytes = received, %peer, user_agent, request_id,
            "upload refused"
        );
    }
}

/// Answers with an error, at once, and sees to the rest of the body.
pub(super) fn refuse(
    web: &Web,
    context: &Context,
    parts: &Parts,
    object: Option<&ObjectId>,
    problem: Problem,
    body: Body,
) -> Response {
    context.record.failed(&problem, None);
    // What does not read writes, or means to: some encoders make folders first.
    let is_write = !matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS);
    if is_write {
        log(web, context, parts, object, &problem, None);
    }
    let problem = without_body(problem, context, &parts.headers, body);
    error_response(web, context, &parts.headers, object.map(|object| &object.namespace), problem)
}

/// An error, dressed as its namespace wants errors dressed.
pub(super) fn error_response(
    web: &Web,
    context: &Context,
    headers: &HeaderMap,
    namespace: Option<&Namespace>,
    problem: Problem,
) -> Response {
    let namespace = namespace.map(|namespace| web.inner.origin.namespace(namespace));
    let policy = namespace.as_ref().and_then(NamespaceHandle::policy);
    let mut response = problem.into_response(context.id(), policy.map(|policy| &policy.error_cache_control));
    if let Some(policy) = policy {
        narrow(&mut response, &policy.cors_origins, headers);
    }
    response
}

/// Sees to the body of a refused request, and has its client know when the connection will not go on.
pub(super) fn without_body(problem: Problem, context: &Context, headers: &HeaderMap, body: Body) -> Problem {
    if unwanted::after_refusal(&context.connection, headers, body) { problem.close() } else { problem }
}
