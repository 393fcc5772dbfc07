//! Refusals: the answer, the log line, the count and the [`black_box`] of a request that is not done. Encoders hide these: ffmpeg prints
//! nothing and exits with 0 when every one of its uploads is refused; and a CDN tells its viewers nothing but a status. So this is often
//! the only place where the reason stands. [`challenge`] tells a question for credentials from a refusal, [`thinning`] keeps a flood of
//! refusals out of the log.
//!
//! Invariants: a refused upload is answered, counted and kept once, whatever its verb, and told of at once or in a later count; so is a
//! reader who is not let in. What is kept of clients is bounded, and nobody can push out what is kept of an encoder that works.
//!
//! Nothing is refused here: who finds the fault makes the problem.

pub(super) mod black_box;
pub(super) mod challenge;
pub(super) mod thinning;
pub(super) mod unread;

use axum::body::Body;
use axum::http::Method;
use axum::http::header::USER_AGENT;
use axum::http::request::Parts;
use axum::response::Response;
use tracing::Level;

use self::black_box::Whose;
use self::thinning::{Alike, Told};
use super::Web;
use super::connection::admission::network;
use super::connection::unwanted;
use super::envelope::Context;
use super::exchange::Exchange;
use super::problem::Problem;
use super::problem::code::{Code, Retry};
use super::record::redact;
use super::target::Name;
use crate::auth::grant::KeyId;

/// Answers with a problem, at once, tells of it, and sees to the rest of the body.
pub(super) fn refuse(exchange: &Exchange<'_>, problem: Problem, body: Body) -> Response {
    let Exchange { web, context, parts, .. } = exchange;
    tell(web, context, parts, &problem, None);
    if problem.code == Code::LengthRequired {
        // A body may follow that nobody knows the end of.
        context.connection.set_linger();
    }
    let closes = unwanted::after_refusal(&context.connection, &parts.headers, body);
    answer(exchange, if closes { problem.close() } else { problem })
}

/// A problem that has been told of, dressed as its namespace wants errors dressed.
pub(super) fn answer(exchange: &Exchange<'_>, problem: Problem) -> Response {
    let cache_control = exchange.known_policy().map(|policy| &policy.error_cache_control);
    exchange.dress(problem.into_response(exchange.context.id(), cache_control))
}

/// What a refused request was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Upload,
    Read,
    Admin,
}

/// How many uploads of a kind are told one by one: an encoder's first segments, in all its renditions.
const UPLOADS: u32 = 20;
/// From how many questions for credentials on readers are told of: many clients wait for the first.
const QUESTIONS: u64 = 10;
/// How much of what a client wrote stands in a line.
const CUT: usize = 256;

/// Tells of a refusal: counts it, keeps what was sent, and writes a line or counts it among those of which a line tells later. Names
/// the object by its parsed name, and the key where its signature was good, be it expired or revoked.
pub(super) fn tell(web: &Web, context: &Context, parts: &Parts, problem: &Problem, received: Option<u64>) {
    context.record.failed(problem, received);
    let reads = matches!(parts.method, Method::GET | Method::HEAD | Method::OPTIONS) || parts.method == "PROPFIND";
    if reads && !problem.code.is_about_access() {
        return;
    }
    let (name, key_id) = context.record.who_and_what();
    let side = match &name {
        Some(Name::Route(_)) => Side::Admin,
        _ if reads => Side::Read,
        // What does not read writes, or means to: some encoders make folders first.
        _ => Side::Upload,
    };
    let is_question = problem.code.retry() == Retry::WithCredentials;
    let (namespace, key) = name.as_ref().map_or(("", ""), |name| (name.namespace(), name.key()));
    let shown_id = key_id.as_ref().map_or("", KeyId::as_str);
    let whose = Whose { peer: context.peer.ip(), request_id: context.id(), namespace, key, key_id: shown_id };
    if side == Side::Upload {
        web.inner.metrics.count_refusal(problem.code.name());
        web.inner.black_box.refused(&whose, parts, problem, received);
    } else if !problem.code.is_about_access() {
        return;
    } else if side == Side::Read {
        web.inner.metrics.count_read_refusal(problem.code.name());
    }
    let network = Some(network(context.peer.ip()));
    // Each viewer has a token of his own: told by those, a crowd would be many kinds.
    let of_key = key_id.clone().filter(|_| !problem.code.is_about_viewer());
    let kind = Alike { network, code: problem.code, key_id: of_key, is_read: side != Side::Upload };
    if is_question && (side == Side::Upload || problem.code == Code::StaleNonce) {
        // A question, not yet a refusal: see `challenge` for when it becomes one.
        line(Level::DEBUG, context, parts, side, problem, received);
        return;
    }
    let first = match side {
        Side::Upload => UPLOADS,
        Side::Read | Side::Admin => u32::from(!is_question),
    };
    match web.inner.thinning.one_more(kind, first) {
        Told::Line => line(Level::WARN, context, parts, side, problem, received),
        Told::Later(kind) => drop(tokio::spawn(tell_later(web.clone(), kind, side))),
        Told::Counted => {}
    }
    if side == Side::Read {
        web.inner.refused_readers.refused(&whose, parts, problem, received);
    }
}

fn line(level: Level, context: &Context, parts: &Parts, side: Side, problem: &Problem, received: Option<u64>) {
    let (name, key_id) = context.record.who_and_what();
    let (namespace, key) = name.as_ref().map_or(("", ""), |name| (name.namespace(), name.key()));
    let (namespace, key) = (cut(redact::name(namespace).into_owned(), CUT), cut(redact::name(key).into_owned(), CUT));
    // A URL that names nothing is told as it came, but for what may be a key.
    let url = name.is_none().then(|| cut(redact::target(&parts.uri), CUT));
    let key_id = key_id.as_ref().map_or("", KeyId::as_str);
    let agent = parts.headers.get(USER_AGENT).map_or(&b""[..], |agent| agent.as_bytes());
    let user_agent = cut(redact::header(&USER_AGENT, agent), CUT);
    let (method, status) = (cut(redact::name(parts.method.as_str()).into_owned(), CUT), problem.code.status().as_u16());
    let (reason, request_id, peer) = (problem.code.name(), context.id(), context.peer);
    let detail = cut(problem.inner.as_deref().unwrap_or(&problem.detail).to_owned(), 2 * CUT);
    if level == Level::DEBUG {
        tracing::debug!(method, namespace, key, status, reason, %peer, user_agent, request_id, "asked for credentials");
        return;
    }
    let what = match side {
        Side::Upload => "upload refused",
        Side::Read => "read refused",
        Side::Admin => "request to the admin listener refused",
    };
    tracing::warn!(
        method, namespace, key, url, key_id, status, reason, detail, received_bytes = received, %peer, user_agent, request_id, "{what}"
    );
}

/// Tells, a while later, how many more there were.
async fn tell_later(web: Web, kind: Alike, side: Side) {
    tokio::time::sleep(thinning::INTERVAL).await;
    let count = web.inner.thinning.untold(&kind);
    if kind.code == Code::NoCredentials && count < QUESTIONS {
        return;
    }
    let network = kind.network.map_or_else(|| "several".to_owned(), |network| network.to_string());
    let (reason, key_id) = (kind.code.name(), kind.key_id.as_ref().map_or("", |id| id.as_str()));
    let (within, what) = (
        thinning::INTERVAL.as_secs(),
        match side {
            Side::Upload => "uploads refused, beside those told of",
            Side::Read => "reads refused, beside those told of",
            Side::Admin => "requests to the admin listener refused, beside those told of",
        },
    );
    tracing::warn!(count, reason, network, key_id, within_seconds = within, advice = kind.code.advice(), "{what}");
}

/// The beginning of a text, where it is too long.
fn cut(mut text: String, limit: usize) -> String {
    if text.len() > limit {
        text.truncate(text.floor_char_boundary(limit));
        text.push_str("...");
    }
    text
}
