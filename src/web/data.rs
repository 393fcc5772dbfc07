//! What the data listeners serve: objects, and the probes beside them. Reads the URL, asks who is there, and calls the verb.

use std::mem;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::{ALLOW, CACHE_CONTROL};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tower::ServiceExt as _;

use super::connection::admission::{Permit, Refused};
use super::connection::berths::Held;
use super::connection::site::{Handling, Site};
use super::connection::state::ConnectionState;
use super::connection::unwanted;
use super::entitlement;
use super::envelope::{self, Context, Cors};
use super::exchange::{Asked, Exchange};
use super::header_room;
use super::nodes;
use super::problem::Problem;
use super::problem::code::Code;
use super::record::body::CountedBody;
use super::refusals::refuse;
use super::target::{Naming, Resource};
use super::verbs::{dav, delete, get, put};
use super::viewer;
use super::{Timeouts, Web};
use crate::auth::grant::Action;
use crate::metrics::SharedRefusal;
use crate::model::stamp::Stamp;
use crate::origin::{OriginError, Upload};

/// A connection's first request began when that was accepted, if its head is here within this: long before what has left the store is
/// forgotten.
const HEAD_WITHIN: Duration = Duration::from_secs(15);

/// The data listeners' site.
#[derive(Clone, Debug)]
pub(super) struct Data {
    web: Web,
    probes: Arc<Router>,
}

impl Data {
    pub(super) fn new(web: Web) -> Self {
        let probes = Router::new()
            .route("/livez", get(|| async { "alive\n" }))
            .route("/readyz", get(|State(web): State<Web>| async move { readiness(&web) }))
            .route("/time", get(|State(web): State<Web>| async move { time(&web) }))
            .with_state(web.clone());
        Self { web, probes: Arc::new(probes) }
    }
}

/// What a verb comes to.
enum Answered {
    /// This is the answer.
    With(Response),
    /// The body is to be taken, and the answer depends on it.
    Receiving(Box<Upload>),
}

/// Answers any request. Objects are not routed: keys are decoded once, by our rules, from the path as it came, and a router's way from
/// box to box costs as much as all the rest of a read.
async fn handle(probes: &Router, web: &Web, context: &Context, parts: &mut Parts, body: &mut Body) -> Response {
    let mut exchange = Exchange::begin(web, context, parts);
    if let Err(problem) = exchange.check() {
        return refuse(&exchange, problem, mem::take(body));
    }
    // HAProxy's check as it comes is `OPTIONS / HTTP/1.0`; others ask `OPTIONS *`.
    let is_of_all = parts.method == Method::OPTIONS && matches!(parts.uri.path(), "*" | "/" | "");
    let path = parts.uri.path();
    if web.holds_off() && !(is_of_all || matches!(path, "/livez" | "/readyz" | "/time")) {
        return held_off(exchange, mem::take(body));
    }
    if is_of_all || matches!(path, "/livez" | "/readyz" | "/time" | entitlement::PATH) || nodes::is_asked(path) {
        return Box::pin(aside(probes, exchange, mem::take(body), is_of_all)).await;
    }
    let upload = match answer(&mut exchange, body).await {
        Ok(Answered::With(response)) => return exchange.dress(response),
        Ok(Answered::Receiving(upload)) => upload,
        Err(problem) => return refuse(&exchange, problem, mem::take(body)),
    };
    // It goes on without us.
    let (web, context, namespace) = (exchange.web.clone(), exchange.context.clone(), exchange.namespace.take());
    let (parts, body) = (mem::replace(parts, Request::new(()).into_parts().0), mem::take(body));
    put::receive(web, context, parts, namespace, upload, body).await
}

/// Answers while nobody can say what there is, nor who may have it: a node has not joined the others yet.
fn held_off(mut exchange: Exchange<'_>, body: Body) -> Response {
    let parts = exchange.parts;
    let is_read = matches!(parts.method, Method::GET | Method::HEAD);
    let refused = if is_read { SharedRefusal::Read } else { SharedRefusal::Write };
    exchange.web.inner.metrics.cluster().count_refused(refused);
    if let Some(Ok(resource)) = Resource::parse(&parts.uri, Naming::Both) {
        exchange.names(&resource);
    }
    refuse(&exchange, OriginError::Unshared.into(), body)
}

/// Answers what is about an object or a folder, unless that takes the body. What only some requests come to is in a box, so that the
/// others do not make room for it.
async fn answer(exchange: &mut Exchange<'_>, body: &mut Body) -> Result<Answered, Problem> {
    let parts = exchange.parts;
    let (names, action) = match parts.method.as_str() {
        "GET" | "HEAD" => (Naming::Object, Some(Action::Read)),
        "PUT" | "POST" | "DELETE" => (Naming::Object, Some(Action::Write)),
        "PROPFIND" => (Naming::Both, Some(Action::Read)),
        "MKCOL" => (Naming::Folder, Some(Action::Write)),
        "OPTIONS" => (Naming::Both, None),
        _ => (Naming::Object, None),
    };
    let resource = match Resource::parse(&parts.uri, names) {
        // What can be done is asked of names that are none, too.
        Some(Err(_)) if parts.method == Method::OPTIONS => return Ok(Answered::With(envelope::preflight())),
        resource => resource.unwrap_or_else(|| Err(Problem::no_such_place()))?,
    };
    exchange.names(&resource);
    let Some(action) = action else {
        return if parts.method == Method::OPTIONS {
            Ok(Answered::With(envelope::preflight()))
        } else {
            Err(Problem::method_not_allowed())
        };
    };
    if action == Action::Write {
        let may_have = exchange.carries_token || resource.may_have_viewer();
        if resource.begins_with_token() || may_have && viewer::comes_along(exchange.web.viewers(), parts, &resource) {
            return Err(viewer::on_write());
        }
    }
    let grant = exchange.authorize(Asked::Of(action, &resource))?;
    if let Some(redirect) = exchange.viewer.as_ref().and_then(|viewer| viewer.redirect(&parts.method)) {
        return Ok(Answered::With(redirect));
    }
    let exchange = &*exchange;
    let Some(namespace) = &exchange.namespace else { return Err(Problem::no_such_place()) };
    let begun = || exchange.context.begun.unwrap_or_else(|| exchange.web.inner.origin.stamp());
    let response = match (parts.method.as_str(), &resource) {
        ("GET" | "HEAD", Resource::Object(target)) => {
            let mut response = get::get(exchange, namespace, &grant, target).await?;
            if let Some(policy) = namespace.policy() {
                viewer::guard_content_key(policy, &target.object.key, &mut response);
            }
            return Ok(Answered::With(response));
        }
        ("PUT" | "POST", Resource::Object(target)) => {
            let upload = Box::pin(put::admit(namespace, &grant, parts, target, begun())).await?;
            exchange.accepted(&target.object);
            return Ok(Answered::Receiving(Box::new(upload)));
        }
        ("DELETE", Resource::Object(target)) => {
            let record = &exchange.context.record;
            let response = Box::pin(delete::delete(namespace, &grant, &parts.headers, target, begun(), record)).await?;
            exchange.accepted(&target.object);
            response
        }
        ("MKCOL", Resource::Collection { collection, .. }) => dav::make(namespace, &grant, collection)?,
        ("PROPFIND", resource) => Box::pin(dav::find(namespace, &grant, resource)).await?,
        _ => return Err(Problem::method_not_allowed()),
    };
    // It may carry an empty chunked body, as encoders' DELETEs do; left unread, it would break the next request.
    Box::pin(unwanted::to_end(mem::take(body))).await;
    Ok(Answered::With(response))
}

/// Answers what is about no object.
async fn aside(probes: &Router, exchange: Exchange<'_>, body: Body, is_of_all: bool) -> Response {
    let Exchange { web, parts, .. } = exchange;
    match parts.method {
        _ if nodes::is_asked(parts.uri.path()) => {
            nodes::answer(&exchange).await.unwrap_or_else(|problem| refuse(&exchange, problem, body))
        }
        Method::GET | Method::HEAD if parts.uri.path() == entitlement::PATH => {
            entitlement::answer(&exchange).unwrap_or_else(|problem| refuse(&exchange, problem, body))
        }
        Method::OPTIONS if is_of_all => envelope::options_of_all(web.inner.ready.load(Ordering::Acquire)),
        Method::OPTIONS => envelope::preflight(),
        Method::GET | Method::HEAD => match Router::clone(probes).oneshot(Request::from_parts(parts.clone(), body)).await {
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

    fn of_connection(&self) -> Self {
        Self { web: self.web.of_connection(), probes: Arc::new(Router::clone(&self.probes)) }
    }

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
        request: Request<Body>,
    ) -> Handling<CountedBody> {
        let Self { web, probes } = self;
        let (mut parts, mut body) = request.into_parts();
        let begun = begun(&web, &parts.method, accepted);
        let context = envelope::take_in(&web, &parts, peer, connection, begun);
        Box::pin(async move {
            let response = {
                let handler = pin!(handle(&probes, &web, &context, &mut parts, &mut body));
                envelope::answer(&context, Cors::OfNamespace, handler).await
            };
            header_room::leave(parts.headers);
            response
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
        let mut text = "ready\n".to_owned();
        for trouble in web.trouble() {
            text.push_str(&format!("degraded: {trouble}\n"));
        }
        text.into_response()
    } else {
        let why = web.inner.why_unready.load();
        let why = why.as_ref().map_or("starting or draining", |why| why.as_str());
        (StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::key::KeyRing;
    use crate::auth::signing::SigningKey;
    use crate::auth::verify::Verifier;
    use crate::metrics::Metrics;
    use crate::model::clock::Clock;
    use crate::origin::Origin;
    use crate::web::{ConnectionLimits, Limits};

    #[test]
    fn a_requests_box_is_of_a_size_that_the_allocator_has_at_hand() {
        let (clock, metrics) = (Clock::manual(), Arc::new(Metrics::new()));
        let verifier = Arc::new(Verifier::new(KeyRing::new(&[SigningKey::generate()]).unwrap(), clock.clone()));
        let limits = Limits { timeouts: Timeouts::default(), drain: Duration::ZERO, connections: ConnectionLimits::default() };
        let web = Web::new(Origin::new([], 1, clock, &metrics), verifier, metrics, limits, None);
        let peer = SocketAddr::from(([127, 0, 0, 1], 1));
        let handling = Data::new(web).answer(peer, Arc::default(), None, Request::new(Body::empty()));
        // glibc's largest: what is larger is searched for, and given back with a look at its neighbours.
        let size = size_of_val(&*handling);
        assert!(
            size <= 1032,
            "{size} bytes: box what only some requests come to, and hand on by reference what is there already"
        );
    }
}
