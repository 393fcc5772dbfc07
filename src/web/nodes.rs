//! What nodes of one origin ask each other: what one of them alone knows. They reach each other where objects are served, so it is answered there,
//! below [`PREFIX`], with what the admin listener would answer of that node alone ([`super::admin`] says what there is).
//!
//! Only a key that nodes make for themselves opens it. A server that shares nothing has nothing there.

use std::fmt::Debug;

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderValue, Method, Uri};
use axum::response::Response;
use futures_util::future::BoxFuture;
use serde_json::Value;

use super::exchange::Exchange;
use super::problem::Problem;

/// What the paths begin with; behind it they are those of the admin listener.
pub(super) const PREFIX: &str = "/node";

/// Knows what this node alone knows.
pub(super) trait NodeParts: Debug + Send + Sync {
    /// What is to be told at this address of the admin listener, of this node alone. `None`: nothing is.
    fn part(&self, asked: Uri) -> BoxFuture<'_, Result<Option<Value>, Problem>>;
}

/// Whether a request is one of a node's.
pub(super) fn is_asked(path: &str) -> bool {
    path.strip_prefix(PREFIX).is_some_and(|rest| rest.starts_with("/v1"))
}

/// Answers a node.
pub(super) async fn answer(exchange: &Exchange<'_>) -> Result<Response, Problem> {
    let (parts, no_such_place) = (exchange.parts, Problem::no_such_place);
    exchange.context.record.is_about(PREFIX, false);
    let known = exchange.web.inner.parts.get().filter(|_| parts.method == Method::GET).ok_or_else(no_such_place)?;
    exchange.node()?;
    let target = parts.uri.path_and_query().map_or("", |target| target.as_str());
    let asked = target.strip_prefix(PREFIX).and_then(|asked| Uri::try_from(asked).ok()).ok_or_else(no_such_place)?;
    let told = known.part(asked).await?.ok_or_else(no_such_place)?;
    let mut response = Response::new(Body::from(told.to_string()));
    for (name, value) in [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-store")] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_else_is_a_nodes() {
        assert!(is_asked("/node/v1") && is_asked("/node/v1/events"));
        for path in ["/node", "/nodes/v1", "/v1", "/cache/node/v1", "/node/metrics"] {
            assert!(!is_asked(path), "{path}");
        }
    }
}
