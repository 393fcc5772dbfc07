//! The admin listener: probes, metrics, the encoders' black box and [`mod@harvest`], apart from the data, with an `admin` key unless only
//! this machine can reach it.
//!
//! Invariants: without that key nothing is told but whether the server is alive and ready, unless the settings say that figures
//! are open. No object is served here, and nothing here changes one.

pub mod harvest;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use serde_json::json;

use self::harvest::Harvests;
use super::Web;
use super::access::authorize_admin;
use super::data::readiness;
use super::problem::Problem;
use crate::auth::grant::Role;
use crate::origin::OriginError;

/// Serves the admin listener until `stop`. On a loopback address nobody is asked for a key; `/metrics` alone asks nobody
/// anywhere when `metrics_open`.
///
/// # Errors
/// When the listener breaks.
pub async fn serve(
    listener: TcpListener,
    web: Web,
    metrics_open: bool,
    harvests: Arc<dyn Harvests>,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let open = listener.local_addr()?.ip().is_loopback();
    let (mut guarded, mut figures) = (Router::new(), Router::new().route("/metrics", get(metrics)));
    guarded = guarded.route("/v1/ingest/rejected", get(rejected)).route("/v1/ingest/clients", get(clients));
    guarded = guarded.route("/v1/streams", get(streams)).merge(harvest::routes(harvests));
    if !open {
        let ask = from_fn_with_state(web.clone(), ask_for_admin_key);
        guarded = guarded.layer(ask.clone());
        if !metrics_open {
            figures = figures.layer(ask);
        }
    }
    let router = guarded
        .merge(figures)
        .route("/livez", get(|| async { "alive\n" }))
        .route("/readyz", get(readiness))
        .fallback(|| async { Problem::no_such_place().into_response("", None) })
        .with_state(web)
        .into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, router).with_graceful_shutdown(async move { stop.cancelled().await }).await
}

/// In the format that is asked for: Prometheus itself asks for `OpenMetrics`, a browser, curl and promtool do not.
async fn metrics(State(web): State<Web>, request: HeaderMap) -> Response {
    let asked = |accept: &HeaderValue| accept.to_str().is_ok_and(|accept| accept.contains("application/openmetrics-text"));
    let (content_type, text) = if request.get_all(ACCEPT).iter().any(asked) {
        ("application/openmetrics-text; version=1.0.0; charset=utf-8", web.inner.metrics.render())
    } else {
        ("text/plain; version=0.0.4; charset=utf-8", web.inner.metrics.render_plain())
    };
    ([(CONTENT_TYPE, content_type)], text).into_response()
}

async fn rejected(State(web): State<Web>) -> Response {
    ([(CONTENT_TYPE, "application/json")], web.inner.black_box.rejected_json()).into_response()
}

async fn streams(State(web): State<Web>) -> Response {
    let text = json!({ "streams": web.inner.origin.streams() }).to_string();
    ([(CONTENT_TYPE, "application/json")], text).into_response()
}

async fn clients(State(web): State<Web>) -> Response {
    ([(CONTENT_TYPE, "application/json")], web.inner.black_box.clients_json()).into_response()
}

async fn ask_for_admin_key(
    State(web): State<Web>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
    next: Next,
) -> Response {
    let (parts, body) = request.into_parts();
    match authorize_admin(&web.inner.verifier, &parts, peer.ip()) {
        Ok(grant) if grant.role == Role::Admin => next.run(Request::from_parts(parts, body)).await,
        Ok(_) => Problem::from(OriginError::Forbidden).into_response("", None),
        Err(denied) => Problem::denied(&denied, &web.inner.verifier).into_response("", None),
    }
}
