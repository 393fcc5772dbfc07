//! What the data listeners serve: objects, and the probes beside them.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{ALLOW, CACHE_CONTROL};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tower::ServiceExt as _;

use super::connection::admission::{Permit, Refused};
use super::connection::berths::Held;
use super::connection::site::Site;
use super::connection::state::ConnectionState;
use super::envelope::{self, Context, Cors};
use super::exchange::Exchange;
use super::problem::Problem;
use super::problem::code::Code;
use super::record::body::CountedBody;
use super::refusals::refuse;
use super::{Handling, Timeouts, Web, verbs};
use crate::model::stamp::Stamp;

/// A connection's first request began when that was accepted, if its head is here within this: long before what has left the store is
/// forgotten.
const HEAD_WITHIN: Duration = Duration::from_secs(15);

/// The data listeners' site.
#[derive(Clone, Debug)]
pub(super) struct Data {
    web: Web,
    probes: Router,
}

impl Data {
    pub(super) fn new(web: Web) -> Self {
        let probes = Router::new()
            .route("/livez", get(|| async { "alive\n" }))
            .route("/readyz", get(|State(web): State<Web>| async move { readiness(&web) }))
            .route("/time", get(|State(web): State<Web>| async move { time(&web) }))
            .with_state(web.clone());
        Self { web, probes }
    }

    /// Answers any request. Objects are not routed: keys are decoded once, by our rules, from the path as it came, and a router's
    /// way from box to box costs as much as all the rest of a read.
    fn handle(probes: Router, web: Web, context: Context, request: Request) -> Handling {
        // HAProxy's check as it comes is `OPTIONS / HTTP/1.0`; others ask `OPTIONS *`.
        let is_of_all = request.method() == Method::OPTIONS && matches!(request.uri().path(), "*" | "/" | "");
        if is_of_all || matches!(request.uri().path(), "/livez" | "/readyz" | "/time") {
            return Box::pin(aside(probes, web, context, request, is_of_all));
        }
        Box::pin(verbs::dispatch(web, context, request))
    }
}

/// Answers what is about no object. The rules for heads are the same.
async fn aside(probes: Router, web: Web, context: Context, request: Request, is_of_all: bool) -> Response {
    let (parts, body) = request.into_parts();
    let exchange = Exchange::begin(&web, &context, &parts);
    if let Err(problem) = exchange.check() {
        return refuse(&exchange, problem, body);
    }
    match parts.method {
        Method::OPTIONS if is_of_all => envelope::options_of_all(web.inner.ready.load(Ordering::Acquire)),
        Method::OPTIONS => envelope::preflight(),
        Method::GET | Method::HEAD => match probes.oneshot(Request::from_parts(parts, body)).await {
            Ok(response) => response,
            Err(never) => match never {},
        },
        _ => {
            let problem =
                Problem::new(Code::MethodNotAllowed, "this takes GET, HEAD and OPTIONS: objects are at /cache/{namespace}/{key}");
            refuse(&exchange, problem.with_header(ALLOW, HeaderValue::from_static("GET, HEAD, OPTIONS")), body)
        }
    }
}

impl Site for Data {
    type Body = CountedBody;

    fn admit(&self, address: IpAddr) -> Result<Permit, Refused> {
        self.web.inner.admission.admit(address, self.web.inner.limits.load().connections)
    }

    fn hold(&self, _: &Arc<ConnectionState>, permit: Permit) -> Held {
        Held::Permit(permit)
    }

    fn count_refused(&self, limit: Refused) {
        self.web.inner.metrics.count_connection_refused(limit.as_str());
    }

    fn is_counted(&self) -> bool {
        true
    }

    fn first_byte_within(&self, timeouts: &Timeouts) -> Duration {
        // Caches and players open connections for later.
        timeouts.keep_alive
    }

    fn answer(
        self,
        peer: SocketAddr,
        connection: Arc<ConnectionState>,
        accepted: Option<Stamp>,
        request: Request,
    ) -> impl Future<Output = Response<CountedBody>> + Send {
        let Self { web, probes } = self;
        let begun = begun(&web, request.method(), accepted);
        envelope::answer(web, peer, connection, begun, Cors::OfNamespace, request, |web, context, request| {
            Self::handle(probes, web, context, request)
        })
    }
}

/// When a request began that may write: when its connection was accepted, or else now that its head has been read.
fn begun(web: &Web, method: &Method, accepted: Option<Stamp>) -> Option<Stamp> {
    let origin = &web.inner.origin;
    let may_write = matches!(*method, Method::PUT | Method::POST | Method::DELETE);
    may_write.then(|| {
        let is_in_time = |accepted: &Stamp| origin.clock().now().since(accepted.at()) < HEAD_WITHIN;
        accepted.filter(is_in_time).unwrap_or_else(|| origin.stamp())
    })
}

/// Answers `/time`: now, as ISO 8601, for DASH players' clocks (`urn:mpeg:dash:utc:http-iso:2014`, ISO/IEC 23009-1 5.8.4.11).
fn time(web: &Web) -> Response {
    let mut response = web.inner.origin.clock().wall().to_string().into_response();
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Answers `/readyz` on both kinds of listener.
pub(super) fn readiness(web: &Web) -> Response {
    if web.inner.ready.load(Ordering::Acquire) {
        // What needs somebody's hand, though the server serves.
        let trouble = web.inner.origin.trouble();
        let mut text = "ready\n".to_owned();
        for trouble in trouble {
            text.push_str(&format!("degraded: {trouble}\n"));
        }
        text.into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "starting or draining\n").into_response()
    }
}
