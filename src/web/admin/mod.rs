//! The admin listener: probes, metrics, the encoders' black box and [`mod@harvest`], apart from the data, with an `admin` key unless only
//! this machine can reach it. [`pages`] keeps web pages away from it.
//!
//! Invariants: without that key nothing is told but whether the server is alive and ready, unless the settings say that figures are
//! open. What a page in somebody's browser has the browser send is refused before it is asked whose it is. Nothing that is told here
//! may be kept by a cache.
//!
//! No object is served here, and nothing here changes one.

pub mod harvest;
mod pages;
pub mod viewers;

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{ACCEPT, ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, Request};
use axum::response::{IntoResponse as _, Response};
use parking_lot::Mutex;
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use self::harvest::Harvests;
use self::viewers::Revokes;
use super::connection::admission::{Admission, ConnectionLimits, Permit, Refused};
use super::connection::berths::{Berths, Held};
use super::connection::listener;
use super::connection::site::{Handling, Site};
use super::connection::state::ConnectionState;
use super::data::readiness;
use super::envelope::{self, Context, Cors};
use super::exchange::{Asked, Exchange};
use super::problem::Problem;
use super::problem::code::Code;
use super::record::body::CountedBody;
use super::record::shown;
use super::refusals::refuse;
use super::{Timeouts, Web};
use crate::auth::grant::Role;
use crate::model::clock::Moment;
use crate::model::id::Namespace;
use crate::model::stamp::Stamp;
use crate::origin::{RenditionReport, StreamReport};

/// What the settings say of the admin listener.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// `/metrics` asks nobody, wherever it listens.
    pub metrics_open: bool,
    /// The names by which clients without a key may call it, beside `localhost` and addresses.
    pub hosts: Vec<String>,
}

/// Serves the admin listener until `stop`. On a loopback address nobody is asked for a key.
///
/// # Errors
/// When the listener breaks.
pub async fn serve(
    listener: TcpListener,
    web: Web,
    rules: Rules,
    harvests: Arc<dyn Harvests>,
    revokes: Arc<dyn Revokes>,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let is_local = listener.local_addr()?.ip().is_loopback();
    let inner = Inner {
        web: web.clone(),
        is_local,
        rules,
        harvests,
        revokes,
        admission: Arc::default(),
        berths: Arc::default(),
        told_full: Mutex::default(),
    };
    let site = Admin { inner: Arc::new(inner) };
    listener::serve(listener, None, web, site, stop).await;
    Ok(())
}

#[derive(Clone, Debug)]
struct Admin {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    web: Web,
    is_local: bool,
    rules: Rules,
    harvests: Arc<dyn Harvests>,
    revokes: Arc<dyn Revokes>,
    admission: Arc<Admission>,
    berths: Arc<Berths>,
    /// When it was last told that there are no more places.
    told_full: Mutex<Option<Moment>>,
}

/// Open connections: for a console, some scrapers and scripts, whatever is open elsewhere.
const PLACES: usize = 256;
/// So many more are let in while all who have a place are being served; else one of them is given away ([`Berths`]).
const CONNECTIONS: ConnectionLimits = ConnectionLimits { total: PLACES + 64, per_address: PLACES + 64 };
/// How often it is told that there are no more, at most.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// What there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route<'a> {
    Live,
    Ready,
    Metrics,
    Streams,
    Clients,
    Rejected,
    Harvests,
    Harvest(&'a str),
    /// Of the namespace of this name.
    ViewerTokens(&'a str),
    ViewerRevocations(&'a str),
}

/// What belongs to one namespace is below this.
const NAMESPACES: &str = "/v1/namespaces/";

/// What there is, for who asks for something else.
const ROUTES: &str = "/metrics, /livez, /readyz, /v1/streams, /v1/ingest/clients, /v1/ingest/rejected, /v1/harvest, \
                      /v1/namespaces/{namespace}/viewer-tokens and /v1/namespaces/{namespace}/viewer-revocations";

impl<'a> Route<'a> {
    fn of(path: &'a str) -> Option<Self> {
        Some(match path {
            "/livez" => Self::Live,
            "/readyz" => Self::Ready,
            "/metrics" => Self::Metrics,
            "/v1/streams" => Self::Streams,
            "/v1/ingest/clients" => Self::Clients,
            "/v1/ingest/rejected" => Self::Rejected,
            harvest::PATH => Self::Harvests,
            _ if path.starts_with(NAMESPACES) => match path[NAMESPACES.len()..].split_once('/')? {
                (namespace, "viewer-tokens") => Self::ViewerTokens(namespace),
                (namespace, "viewer-revocations") => Self::ViewerRevocations(namespace),
                _ => return None,
            },
            _ => {
                let id = path.strip_prefix(harvest::PATH)?.strip_prefix('/')?;
                Self::Harvest(Some(id).filter(|id| !id.is_empty() && !id.contains('/'))?)
            }
        })
    }

    /// Its name, for those who tell of a request.
    fn name(self) -> &'static str {
        match self {
            Self::Live => "/livez",
            Self::Ready => "/readyz",
            Self::Metrics => "/metrics",
            Self::Streams => "/v1/streams",
            Self::Clients => "/v1/ingest/clients",
            Self::Rejected => "/v1/ingest/rejected",
            Self::Harvests => harvest::PATH,
            Self::Harvest(_) => "/v1/harvest/{id}",
            Self::ViewerTokens(_) => "/v1/namespaces/{namespace}/viewer-tokens",
            Self::ViewerRevocations(_) => "/v1/namespaces/{namespace}/viewer-revocations",
        }
    }

    fn methods(self) -> &'static str {
        match self {
            Self::Harvests | Self::ViewerRevocations(_) => "GET, HEAD, POST",
            Self::ViewerTokens(_) => "POST",
            Self::Harvest(_) => "GET, HEAD, DELETE",
            _ => "GET, HEAD",
        }
    }

    fn is_probe(self) -> bool {
        matches!(self, Self::Live | Self::Ready)
    }
}

impl Site for Admin {
    type Body = CountedBody;

    fn admit(&self, address: IpAddr) -> Result<Permit, Refused> {
        self.inner.admission.admit(address, CONNECTIONS)
    }

    fn hold(&self, connection: &Arc<ConnectionState>, permit: Permit) -> Held {
        let (berth, was_full) = self.inner.berths.take(connection, Some(permit), PLACES);
        if was_full {
            self.tell_full();
        }
        Held::Berth(berth)
    }

    fn count_refused(&self, _: Refused) {
        self.inner.web.inner.metrics.count_connection_refused("admin");
        self.tell_full();
    }

    fn is_counted(&self) -> bool {
        false
    }

    fn first_byte_within(&self, timeouts: &Timeouts) -> Duration {
        // Nobody has reason to open one for later.
        timeouts.request_head
    }

    fn answer(
        self,
        peer: SocketAddr,
        connection: Arc<ConnectionState>,
        _: Option<Stamp>,
        request: Request<Body>,
    ) -> Handling<CountedBody> {
        let (parts, body) = request.into_parts();
        let context = envelope::take_in(&self.inner.web, &parts, peer, connection, None);
        Box::pin(async move {
            let handler = pin!(self.dispatch(&context, parts, body));
            envelope::answer(&context, Cors::None, handler).await
        })
    }
}

impl Admin {
    /// All places are taken. Whoever comes now has that of one who asks for nothing, or none.
    fn tell_full(&self) {
        let now = self.inner.web.inner.origin.clock().now();
        let mut told = self.inner.told_full.lock();
        if told.is_none_or(|told| now.since(told) >= TELL_EVERY) {
            *told = Some(now);
            tracing::warn!(
                connections = PLACES,
                advice = "who has asked for nothing makes room for who comes: see who opens so many ('ss -tn' shows it), and let the admin \
                          listener be reached by those alone who look after the server",
                "all connections of the admin listener are in use"
            );
        }
    }

    async fn dispatch(&self, context: &Context, parts: Parts, mut body: Body) -> Response {
        let mut exchange = Exchange::begin(&self.inner.web, context, &parts);
        let mut response = match self.serve(&mut exchange, &mut body).await {
            Ok(response) => response,
            Err(problem) => refuse(&exchange, problem, body),
        };
        response.headers_mut().entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
        response
    }

    async fn serve(&self, exchange: &mut Exchange<'_>, body: &mut Body) -> Result<Response, Problem> {
        let Inner { web, is_local, rules, harvests, .. } = &*self.inner;
        let parts = exchange.parts;
        let route = Route::of(parts.uri.path());
        exchange.context.record.is_about(route.map_or("", Route::name), parts.uri.path().starts_with("/v1"));
        let Some(route) = route else {
            return Err(Problem::new(Code::NoSuchPlace, format!("there is nothing at this path: this listener has {ROUTES}")));
        };
        exchange.check()?;
        if !(route.is_probe() || route == Route::Metrics && rules.metrics_open) {
            pages::check(parts, &rules.hosts)?;
            if let Route::ViewerTokens(name) | Route::ViewerRevocations(name) = route {
                return self.serve_viewers(exchange, body, route, name).await;
            }
            if !is_local {
                exchange.authorize(Asked::Admin)?;
            }
        }
        Ok(match (&parts.method, route) {
            (&(Method::GET | Method::HEAD), _) => match route {
                Route::Live => "alive\n".into_response(),
                Route::Ready => readiness(web),
                Route::Metrics => metrics(web, &parts.headers),
                Route::Streams => json(json!({ "streams": streams(web) }).to_string()),
                Route::Clients => json(web.inner.black_box.clients_json()),
                Route::Rejected => json(web.inner.black_box.rejected_json(&web.inner.refused_readers, &web.inner.unread)),
                Route::Harvests => harvest::recent(&**harvests),
                Route::Harvest(id) => harvest::find(&**harvests, id)?,
                Route::ViewerTokens(_) | Route::ViewerRevocations(_) => return Err(not_allowed(parts, route)),
            },
            (&Method::POST, Route::Harvests) => harvest::order(&**harvests, &parts.headers, std::mem::take(body)).await?,
            (&Method::DELETE, Route::Harvest(id)) => harvest::cancel(&**harvests, id)?,
            _ => return Err(not_allowed(parts, route)),
        })
    }
}

impl Admin {
    /// Serves what a back end does about viewers' tokens of a namespace. Who comes without a key where none is needed is an administrator; a
    /// vendor's key is narrowed to what it is for wherever it comes from.
    async fn serve_viewers(
        &self,
        exchange: &mut Exchange<'_>,
        body: &mut Body,
        route: Route<'_>,
        name: &str,
    ) -> Result<Response, Problem> {
        let Inner { web, is_local, revokes, .. } = &*self.inner;
        let parts = exchange.parts;
        let namespace = Namespace::parse(name).map_err(|error| Problem::bad_request(error.to_string()))?;
        let grant = if *is_local && !parts.headers.contains_key(AUTHORIZATION) {
            None
        } else {
            Some(exchange.authorize(Asked::Viewers(&namespace))?)
        };
        let vendor = grant.as_deref().filter(|grant| grant.role == Role::Vendor);
        match (&parts.method, route) {
            (&Method::POST, Route::ViewerTokens(_)) => {
                viewers::make(web, &namespace, vendor, &parts.headers, std::mem::take(body)).await
            }
            (&Method::POST, Route::ViewerRevocations(_)) => {
                viewers::revoke(web, revokes, &namespace, vendor, &parts.headers, std::mem::take(body)).await
            }
            (&(Method::GET | Method::HEAD), Route::ViewerRevocations(_)) => viewers::feed(web, &namespace, parts.uri.query()),
            _ => Err(not_allowed(parts, route)),
        }
    }
}

fn not_allowed(parts: &Parts, route: Route<'_>) -> Problem {
    let methods = route.methods();
    let problem = if route == Route::Harvests && parts.method != Method::POST {
        format!("this takes {methods}: POST orders a harvest")
    } else {
        format!("this takes {methods}")
    };
    Problem::new(Code::MethodNotAllowed, problem).with_header(ALLOW, HeaderValue::from_static(methods))
}

/// In the format that is asked for: Prometheus itself asks for `OpenMetrics`, a browser, curl and promtool do not.
fn metrics(web: &Web, request: &HeaderMap) -> Response {
    let asked = |accept: &HeaderValue| accept.to_str().is_ok_and(|accept| accept.contains("application/openmetrics-text"));
    let (content_type, text) = if request.get_all(ACCEPT).iter().any(asked) {
        ("application/openmetrics-text; version=1.0.0; charset=utf-8", web.inner.metrics.render())
    } else {
        ("text/plain; version=0.0.4; charset=utf-8", web.inner.metrics.render_plain())
    };
    ([(CONTENT_TYPE, content_type)], text).into_response()
}

/// The streams as they may be shown: an API key that a playlist has in a name is hidden.
fn streams(web: &Web) -> Vec<StreamReport> {
    let mut streams = web.inner.origin.streams();
    let hide = |text: &mut String| {
        if let Cow::Owned(hidden) = shown(text) {
            *text = hidden;
        }
    };
    for stream in &mut streams {
        hide(&mut stream.stream);
        stream.missing.iter_mut().chain(&mut stream.fault).for_each(hide);
        for RenditionReport { playlist, last_segment, initialization, fault, .. } in &mut stream.renditions {
            hide(playlist);
            [last_segment, initialization, fault].into_iter().flatten().for_each(hide);
        }
    }
    streams
}

fn json(text: impl Into<Body>) -> Response {
    ([(CONTENT_TYPE, "application/json")], text.into()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_one_route_or_none() {
        for (path, route) in [
            ("/metrics", Some(Route::Metrics)),
            ("/v1/harvest", Some(Route::Harvests)),
            ("/v1/harvest/a1", Some(Route::Harvest("a1"))),
            ("/v1/harvest/", None),
            ("/v1/harvest/a/b", None),
            ("/v1/harvests", None),
            ("/", None),
            ("/v1/stream", None),
            ("/cache/live/a.ts", None),
        ] {
            assert_eq!(Route::of(path), route, "{path}");
        }
        for route in ROUTES.split([' ', ',']).filter(|word| word.starts_with('/')) {
            assert!(Route::of(route).is_some_and(|known| known.name() == route), "{route}");
        }
    }
}
