//! The log line, the count and the black box of a refused or failed upload. Encoders hide these: ffmpeg prints nothing and exits
//! with 0 when every one of its uploads is refused, so this is often the only place where the reason stands.

use axum::http::header::USER_AGENT;
use axum::http::request::Parts;

use super::envelope::Context;
use super::error::{Problem, STALE_NONCE};
use super::{Web, mask};
use crate::model::id::ObjectId;

/// Writes it, and counts. Names the object by its parsed name, never by the URL: the query may hold a key.
pub(super) fn log(
    web: &Web,
    context: &Context,
    parts: &Parts,
    object: Option<&ObjectId>,
    problem: &Problem,
    received: Option<u64>,
) {
    let namespace = &*mask::name(object.map_or("", |object| object.namespace.as_str()));
    let key = &*mask::name(object.map_or("", |object| object.key.as_str()));
    let user_agent = mask::header(&USER_AGENT, parts.headers.get(USER_AGENT).map_or(b"", |agent| agent.as_bytes()));
    let (method, status) = (&*mask::name(parts.method.as_str()), problem.status.as_u16());
    let (reason, request_id, peer) = (problem.code, context.id(), context.peer);
    web.inner.metrics.count_refusal(reason);
    context.record.failed(problem, received);
    web.inner.ingest.refused(peer.ip(), parts, problem, request_id, received);
    let detail = problem.inner.as_deref().unwrap_or(&problem.detail);
    if reason == "no-credentials" || reason == STALE_NONCE {
        // A question, not yet a refusal: see `challenge` for when it becomes one.
        tracing::debug!(method, namespace, key, status, reason, %peer, user_agent, request_id, "upload asked for credentials");
    } else {
        tracing::warn!(
            method, namespace, key, status, reason, detail, received_bytes = received, %peer, user_agent, request_id,
            "upload refused"
        );
    }
}
