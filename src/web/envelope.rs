//! What every answer carries, errors and panics included: a request id, CORS, a place in the count.

use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use axum::body::Body;
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS, CONTENT_LENGTH, ORIGIN, VARY,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use axum::response::Response;
use http_body::Body as _;
use tokio::time::Instant;

use super::Web;
use super::connection::state::ConnectionState;
use super::panicked::panicked;
use super::problem::{ALLOWED, CORS_METHODS};
use super::record::Record;
use super::record::body::CountedBody;
use super::request_id::{self, REQUEST_ID};
use crate::model::stamp::Stamp;
use crate::origin::policy::CorsOrigins;

const TIMING_ALLOW_ORIGIN: HeaderName = HeaderName::from_static("timing-allow-origin");
const ANY: HeaderValue = HeaderValue::from_static("*");
/// What a page may read of an answer beside its body, where a wildcard does not say it.
const EXPOSED: &str = "Accept-Ranges, Age, Cache-Control, Cache-Status, Content-Encoding, Content-Length, Content-Range, Content-Type, \
                       CTA-Common-Access-Token, Date, ETag, Last-Modified, Last-Sequence, Last-Updated, Location, Retry-After, WWW-Authenticate, X-Request-Id";

/// What a handler knows of the request beside the request.
#[derive(Clone, Debug)]
pub(super) struct Context {
    pub(super) peer: SocketAddr,
    pub(super) connection: Arc<ConnectionState>,
    pub(super) record: Arc<Record>,
    /// When it began, if it may write: of two changes of one object the one that was begun later is in force.
    pub(super) begun: Option<Stamp>,
}

impl Context {
    pub(super) fn id(&self) -> &str {
        self.record.id()
    }
}

/// Which web pages may read answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cors {
    /// Those that the namespace lets read; all, where there is none.
    OfNamespace,
    /// None.
    None,
}

/// Marks an answer whose CORS headers a narrowed namespace has decided.
#[derive(Clone, Copy, Debug)]
struct CorsDecided;

/// Takes a request in: its record begins, under the id that it has or is given. `begun`: as in [`Context`].
pub(super) fn take_in(
    web: &Web,
    parts: &Parts,
    peer: SocketAddr,
    connection: Arc<ConnectionState>,
    begun: Option<Stamp>,
) -> Context {
    let instant = Instant::now();
    let now = web.inner.origin.clock().both_at(instant.into_std());
    let request_id = request_id::take_or_make(&parts.headers, now.wall);
    let record = Record::begin(web, parts, peer, request_id, Arc::clone(&connection), (instant, now));
    Context { peer, connection, record, begun }
}

/// Has a request that was taken in handled, and puts on its answer what every answer carries. A panic of the handler ends this request
/// and nothing else.
pub(super) async fn answer(
    context: &Context,
    cors: Cors,
    mut handler: Pin<&mut (impl Future<Output = Response> + Send)>,
) -> Response<CountedBody> {
    let record = &context.record;
    // Nothing is seen of what a panic left half done: the handler is not polled again, and the floors below keep their invariants
    // by what they drop.
    let handled = std::future::poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| handler.as_mut().poll(cx))) {
        Ok(polled) => polled.map(Ok),
        Err(panic) => Poll::Ready(Err(panicked(&*panic))),
    });
    let mut response = handled.await.unwrap_or_else(|problem| problem.into_response(record.id(), None));
    if record.method == Method::HEAD {
        take_body(&mut response);
    }
    let decided = response.extensions().get::<CorsDecided>().is_some();
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, record.request_id.clone());
    if cors == Cors::OfNamespace {
        if !decided {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, ANY);
            headers.insert(TIMING_ALLOW_ORIGIN, ANY);
        }
        headers.entry(ACCESS_CONTROL_EXPOSE_HEADERS).or_insert(ANY);
    }
    let status = response.status().as_u16();
    response.map(|body| record.answer(status, body))
}

/// The answer to a HEAD: what a GET would get, and how long its body would be, if that is known (RFC 9110 9.3.2).
fn take_body(response: &mut Response) {
    if let Some(length) = response.body().size_hint().exact() {
        response.headers_mut().entry(CONTENT_LENGTH).or_insert_with(|| length.into());
    }
    *response.body_mut() = Body::empty();
}

/// Narrows an answer's CORS to the web origins of its namespace; where all may read, [`answer`] says so. `takes_cookies`: a cookie may let readers in
/// there, so pages of these origins may send it.
pub(super) fn narrow(response: &mut Response, origins: &CorsOrigins, takes_cookies: bool, request: &HeaderMap) {
    let CorsOrigins::Only(list) = origins else { return };
    response.extensions_mut().insert(CorsDecided);
    let headers = response.headers_mut();
    headers.append(VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = request.get(ORIGIN).filter(|origin| list.contains(origin)) {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        headers.insert(TIMING_ALLOW_ORIGIN, origin.clone());
        if takes_cookies {
            allow_credentials(headers, request);
        }
    }
}

/// Has a browser hand an answer to a page that had it send cookies. In such an answer a wildcard is a name like any other (Fetch standard 3.2.5).
fn allow_credentials(headers: &mut HeaderMap, request: &HeaderMap) {
    headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
    if headers.contains_key(ACCESS_CONTROL_ALLOW_HEADERS) {
        let asked = request.get(ACCESS_CONTROL_REQUEST_HEADERS).cloned();
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, asked.unwrap_or(HeaderValue::from_static("Authorization")));
        headers.append(VARY, HeaderValue::from_static("Access-Control-Request-Headers"));
    }
}

/// The answer to a preflight (Fetch standard 3.2.2). The wildcard does not cover `Authorization`, so that is named.
pub(super) fn preflight() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = axum::http::StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(axum::http::header::ALLOW, HeaderValue::from_static(ALLOWED));
    // Libraries of WebDAV look for it before they write anything (RFC 4918 10.1).
    headers.insert("dav", HeaderValue::from_static("1"));
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(CORS_METHODS));
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("*, Authorization"));
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
    response
}

/// The answer to `OPTIONS *` and `OPTIONS /`, which ask for the whole server: as its readiness stands.
pub(super) fn options_of_all(is_ready: bool) -> Response {
    let mut response = preflight();
    if !is_ready {
        *response.status_mut() = axum::http::StatusCode::SERVICE_UNAVAILABLE;
    }
    response
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
    use crate::web::{ConnectionLimits, Limits, Timeouts};
    use http_body_util::BodyExt as _;
    use std::pin::pin;
    use std::time::Duration;

    #[test]
    fn options_of_the_whole_server_answer_as_it_stands() {
        let statuses = [true, false].map(|is_ready| options_of_all(is_ready).status().as_u16());
        assert_eq!(statuses, [204, 503]);
    }

    #[tokio::test]
    async fn a_panic_becomes_a_500_that_carries_what_every_answer_carries() {
        let clock = Clock::manual();
        let metrics = Arc::new(Metrics::new());
        let verifier = Arc::new(Verifier::new(KeyRing::new(&[SigningKey::generate()]).unwrap(), clock.clone()));
        let web = Web::new(
            Origin::new([], 1, clock, &metrics),
            verifier,
            metrics,
            Limits { timeouts: Timeouts::default(), drain: Duration::ZERO, connections: ConnectionLimits::default() },
            None,
        );
        let handler = pin!(async {
            if true {
                panic!("a bug, with something secret in it")
            }
            Response::default()
        });
        let (parts, ()) = axum::http::Request::new(()).into_parts();
        let context = take_in(&web, &parts, SocketAddr::from(([127, 0, 0, 1], 1)), Arc::default(), None);
        let response = answer(&context, Cors::OfNamespace, handler).await;
        assert_eq!(response.status(), 500);
        assert_eq!(response.headers()[ACCESS_CONTROL_ALLOW_ORIGIN], "*");
        let id = response.headers()[REQUEST_ID].to_str().unwrap().to_owned();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let body = std::str::from_utf8(&body).unwrap();
        assert!(body.contains(&id) && !body.contains("secret"), "{body}");
        assert!(web.inner.metrics.render().contains("method=\"GET\",status=\"500\",namespace=\"\",outcome=\"failed\"} 1"));
    }
}
