//! The admin listener: probes and metrics, apart from the data, with an `admin` key unless only this machine can reach it.

use std::net::SocketAddr;

use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::access::authorize_admin;
use super::error::Problem;
use super::{Web, readiness};
use crate::auth::grant::Role;
use crate::origin::OriginError;

/// Serves the admin listener until `stop`. On a loopback address nobody is asked for a key.
///
/// # Errors
/// When the listener breaks.
pub async fn serve(listener: TcpListener, web: Web, stop: CancellationToken) -> std::io::Result<()> {
    let open = listener.local_addr()?.ip().is_loopback();
    let mut guarded = Router::new().route("/metrics", get(metrics));
    if !open {
        guarded = guarded.layer(from_fn_with_state(web.clone(), ask_for_admin_key));
    }
    let router = guarded
        .route("/livez", get(|| async { "alive\n" }))
        .route("/readyz", get(readiness))
        .fallback(|| async { Problem::no_such_place().into_response("", None) })
        .with_state(web)
        .into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, router).with_graceful_shutdown(async move { stop.cancelled().await }).await
}

async fn metrics(State(web): State<Web>) -> Response {
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(CONTENT_TYPE, content_type)], web.inner.metrics.render()).into_response()
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
