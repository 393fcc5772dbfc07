//! The admin listener: probes, metrics, and the API for who looks after the server, apart from the data. [`routes`] is what there is and
//! who may; [`visitor`] finds out who asks, by a key or a [`session`]; [`pages`] keeps web pages from elsewhere away; [`openapi`] describes it.
//! Where several nodes share an engine they are asked for what each alone knows, and [`nodes`] makes one answer of that.
//!
//! Invariants: without a key nothing is told but whether the server is alive and ready, unless the settings say that figures are
//! open, or only this machine can reach it: then what looking on and recording take is open, and no more. What a page in somebody's
//! browser has the browser send is refused before it is asked whose it is. Each change is written down, with who made it, and goes on
//! without him once it is begun. Nothing that is
//! told here may be kept by a cache.

mod about;
mod assets;
mod call;
mod changes;
pub mod controls;
pub mod events;
mod figures;
pub mod harvest;
mod matching;
mod merging;
pub mod nodes;
mod objects;
mod once;
mod openapi;
mod orders;
mod overview;
mod pages;
mod pairs;
mod recordings;
mod route;
mod route_name;
mod routes;
pub mod schema;
mod session;
mod session_words;
pub mod viewers;
mod visitor;

use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, Request, StatusCode};
use axum::response::{IntoResponse as _, Response};
use parking_lot::Mutex;
use serde::Serialize;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::call::AdminCall;
use self::controls::Controls;
use self::events::EventRing;
use self::figures::Figures;
use self::harvest::Harvests;
use self::matching::{FoundRoute, NotFound};
use self::nodes::{OtherNodes, OwnParts};
use self::once::Repeats;
use self::orders::QueryWords;
use self::route_name::RouteName;
use self::session::Sessions;
use self::viewers::Revokes;
use self::visitor::{Visitor, Who};
use super::connection::admission::{Admission, ConnectionLimits, Permit, Refused};
use super::connection::berths::{Berths, Held};
use super::connection::listener;
use super::connection::site::{Handling, Site};
use super::connection::state::ConnectionState;
use super::connection::tls::Tls;
use super::envelope::{self, Context, Cors};
use super::exchange::Exchange;
use super::problem::Problem;
use super::problem::code::Code;
use super::record::body::CountedBody;
use super::refusals::refuse;
use super::verbs::detached::Detached;
use super::{Timeouts, Web};
use crate::model::clock::{Moment, WallTime};
use crate::model::id::Namespace;
use crate::model::stamp::Stamp;
use crate::origin::OriginError;

/// What the settings say of the admin listener.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// `/metrics` asks nobody, wherever it listens.
    pub metrics_open: bool,
    /// The names by which clients without a key may call it, beside `localhost` and addresses.
    pub hosts: Vec<String>,
    /// Where objects are served, as `http://*:8080`: the star stands for the host by which a client reaches it.
    pub data_listeners: Vec<String>,
}

/// What is behind the API: what the floor above does for it, and what it tells of.
#[derive(Clone, Debug)]
pub struct Behind {
    /// Makes recordings.
    pub harvests: Arc<dyn Harvests>,
    /// Looks after the server's own files and settings.
    pub controls: Arc<dyn Controls>,
    /// Keeps which viewers' tokens were ended.
    pub revokes: Arc<dyn Revokes>,
    /// What has happened to streams.
    pub events: Arc<EventRing>,
    /// Asks other nodes, where several share an engine.
    pub nodes: Option<Arc<dyn OtherNodes>>,
}

/// Serves the admin listener until `stop`, over TLS where that is given. On a loopback address nobody is asked for a key.
///
/// # Errors
/// When the listener breaks.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    web: Web,
    rules: Rules,
    behind: Behind,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let address = listener.local_addr()?;
    let Behind { harvests, controls, revokes, events, nodes } = behind;
    let figures = Arc::new(Figures::default());
    tokio::spawn(Arc::clone(&figures).run(web.clone(), stop.clone()));
    let clock = web.inner.origin.clock().clone();
    let inner = Inner {
        web: web.clone(),
        is_local: address.ip().is_loopback(),
        rules,
        harvests,
        controls,
        revokes,
        events,
        nodes,
        figures,
        stop: stop.clone(),
        begun: clock.wall(),
        repeats: Repeats::new(clock.clone()),
        changes: TaskTracker::new(),
        sessions: Sessions::new(clock, address.port(), tls.is_some()),
        admission: Arc::default(),
        berths: Arc::default(),
        told_full: Mutex::default(),
    };
    let site = Admin { inner: Arc::new(inner) };
    if site.inner.nodes.is_some() {
        // It is told by the listeners where nodes reach each other. Where that was said before, this is the same server's.
        let _ = web.inner.parts.set(Arc::new(OwnParts(Arc::downgrade(&site.inner))));
    }
    listener::serve(listener, tls, web, site, stop).await;
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
    controls: Arc<dyn Controls>,
    revokes: Arc<dyn Revokes>,
    events: Arc<EventRing>,
    nodes: Option<Arc<dyn OtherNodes>>,
    figures: Arc<Figures>,
    /// Ends those who listen.
    stop: CancellationToken,
    sessions: Sessions,
    repeats: Arc<Repeats>,
    /// Changes that are under way.
    changes: TaskTracker,
    /// When it began to listen.
    begun: WallTime,
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
        let is_change = !matches!(parts.method, Method::GET | Method::HEAD);
        let changes = self.inner.changes.clone();
        let handling = async move {
            let handler = pin!(self.dispatch(&context, parts, body));
            envelope::answer(&context, Cors::None, handler).await
        };
        // What was begun is done, written down and remembered, also when the one who ordered it is gone by then.
        if is_change { Box::pin(Detached::new(&changes, handling)) } else { Box::pin(handling) }
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
        let parts = exchange.parts;
        let path = parts.uri.path();
        if self.inner.web.holds_off() && !matches!(path, "/livez" | "/readyz" | "/metrics") {
            exchange.context.record.is_about("", path.starts_with("/v1"));
            exchange.check()?;
            return Err(OriginError::Unshared.into());
        }
        if let Some(shown) = assets::find(path) {
            exchange.context.record.is_about("/", false);
            exchange.check()?;
            // It holds nothing of this server, and links lead to it from anywhere.
            return if matches!(parts.method, Method::GET | Method::HEAD) { Ok(shown) } else { Err(not_allowed("GET, HEAD")) };
        }
        let record = &exchange.context.record;
        let FoundRoute { route, names } = match matching::find(parts.method.as_str(), path) {
            Ok(found) => found,
            Err(NotFound::Method { route, methods }) => {
                record.is_about(route, path.starts_with("/v1"));
                // A page from elsewhere is not even told that.
                exchange.check()?;
                pages::check(parts, &self.inner.rules.hosts)?;
                return Err(not_allowed(&methods));
            }
            Err(NotFound::Path) => {
                record.is_about("", path.starts_with("/v1"));
                let detail = "there is nothing at this path: GET /v1/openapi.json describes what this listener has";
                return Err(Problem::new(Code::NoSuchPlace, detail));
            }
        };
        record.is_about(route.path, route.is_told());
        exchange.check()?;
        let is_probe = matches!(route.place, RouteName::Live | RouteName::Ready);
        let visitor = if is_probe || route.place == RouteName::Metrics && self.inner.rules.metrics_open {
            Visitor::Anybody
        } else {
            pages::check(parts, &self.inner.rules.hosts)?;
            match route.who {
                Who::Vends => {
                    let name = names.first().map_or("", |name| name);
                    let namespace = Namespace::parse(name).map_err(|error| Problem::bad_request(error.to_string()))?;
                    Visitor::vendor(self, exchange, &namespace)?
                }
                who => Visitor::let_in(self, exchange, who)?,
            }
        };
        let query = QueryWords::parse(&parts.uri, route.query)?;
        let call = AdminCall { admin: self, exchange, visitor, names, query };
        call.answer(route, std::mem::take(body)).await
    }
}

fn not_allowed(methods: &str) -> Problem {
    let problem = Problem::new(Code::MethodNotAllowed, format!("this takes {methods}"));
    match HeaderValue::try_from(methods) {
        Ok(methods) => problem.with_header(ALLOW, methods),
        Err(_) => problem,
    }
}

fn ok(value: &impl Serialize) -> Response {
    json_response(StatusCode::OK, value)
}

fn json_response(status: StatusCode, value: &impl Serialize) -> Response {
    // Of what is answered here nothing can fail to be written as JSON.
    let mut response = text(serde_json::to_vec(value).unwrap_or_default());
    *response.status_mut() = status;
    response
}

fn text(json: Vec<u8>) -> Response {
    ([(CONTENT_TYPE, "application/json")], json).into_response()
}
