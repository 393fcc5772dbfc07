//! The words of HTTP: URLs, headers, status codes.
//!
//! A request's way, in order, each step with its reason:
//! 1. [`connection`] accepts it, keeps the time limits and reads it.
//! 2. [`envelope`] gives the request its id and, on the way back, puts on every answer what every answer carries: the id, CORS,
//!    the count. It is outermost, so that a panic's 500 has them too.
//! 3. [`data`] is what the data listeners serve: the probes and the time, and every other path is an object's. It reads the URL
//!    ([`target`]), has the exchange ask who is there ([`access`], [`viewer`]) and calls the verb: [`verbs`] has a file for each.
//! 4. [`exchange`] is the request while it is answered. [`record`] goes along and knows at the end what became of it.
//! 5. [`problem`] turns what went wrong into headers and status; [`refusals`] answers with it and sees that somebody learns of it.
//! 6. [`admin`] is a listener of its own, for who looks after the server; what is to be told of several [`nodes`] they ask each other.
//!
//! Invariants: no status code is known below this floor, no store on it. Authorization is decided from the headers, before the
//! body is touched. Nothing a client sent as a credential reaches a log line, an error or a metric.

mod access;
pub mod admin;
pub mod connection;
mod data;
mod entitlement;
mod envelope;
mod exchange;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod header_room;
mod json;
mod nodes;
mod panicked;
pub mod problem;
pub mod record;
mod refusals;
mod request_id;
mod target;
mod verbs;
mod viewer;
mod viewer_place;

pub use connection::admission::ConnectionLimits;
pub use connection::stall::KERNEL_UNSENT;

use std::net::IpAddr;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A number's decimal digits, for lines and headers that are written per request: the standard library's formatting takes several
/// times as long.
use itoa::Buffer as Digits;

use self::connection::admission::Admission;
use self::connection::ahead::Comers;
use self::connection::listener;
use self::connection::stall::Crowd;
use self::connection::tls::Tls;
use self::connection::unread::Unread;
use self::data::Data;
use self::nodes::NodeParts;
use self::record::access_log::AccessLog;
use self::record::spans::Spans;
use self::refusals::black_box::BlackBox;
use self::refusals::challenge::Challenges;
use self::refusals::thinning::Thinning;
use self::refusals::unread::UnreadConnections;
use crate::auth::verify::{FamiliarKey, Verifier};
use crate::auth::viewer::{Revocation, ViewerKeys, ViewerVerifier};
use crate::metrics::Metrics;
use crate::origin::Origin;

/// The time limits of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// From the first byte of a request to the end of its headers.
    pub request_head: Duration,
    /// How long a connection may be idle between requests: longer than the CDN's own limit, so that it is the CDN who closes and
    /// no request is lost to a race (Amazon CloudFront: up to 120 s).
    pub keep_alive: Duration,
    /// Between two pieces of an upload's body.
    pub upload_idle: Duration,
    /// From an upload's headers to the end of its body: what an upload reserves is not held for ever by a client that sends a byte
    /// now and then. Long enough for a segment that grows in real time.
    pub upload_total: Duration,
    /// Without progress on an answer that is being sent.
    pub download_idle: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            request_head: Duration::from_secs(10),
            keep_alive: Duration::from_secs(150),
            upload_idle: Duration::from_secs(30),
            upload_total: Duration::from_secs(300),
            download_idle: Duration::from_secs(30),
        }
    }
}

/// What clients are held to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The time limits of connections.
    pub timeouts: Timeouts,
    /// How long requests in flight may go on when the server stops.
    pub drain: Duration,
    /// Open connections.
    pub connections: ConnectionLimits,
}

/// What every request needs: a cheap handle.
#[derive(Clone, Debug)]
pub struct Web {
    inner: Arc<OwnCount>,
}

/// What all share, behind a count that not all share: each request has handles, and a count that all processors change goes from one's cache
/// to the other's each time.
#[derive(Debug)]
struct OwnCount {
    shared: Arc<Inner>,
    key: FamiliarKey,
}

impl Deref for OwnCount {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.shared
    }
}

#[derive(Debug)]
struct Inner {
    origin: Origin,
    verifier: Arc<Verifier>,
    viewers: ViewerVerifier,
    metrics: Arc<Metrics>,
    limits: ArcSwap<Limits>,
    ready: AtomicBool,
    /// Why it is not, where that is neither its beginning nor its end.
    why_unready: ArcSwapOption<String>,
    /// What there is, and who may have it, is not known yet.
    holds_off: AtomicBool,
    /// Duties in the background that have ended before the server.
    ended_duties: Mutex<Vec<&'static str>>,
    uploads: TaskTracker,
    challenges: Challenges,
    admission: Arc<Admission>,
    comers: Arc<Comers>,
    crowd: Arc<Crowd>,
    black_box: BlackBox,
    unread: UnreadConnections,
    refused_readers: BlackBox,
    thinning: Thinning,
    access_log: Option<Arc<AccessLog>>,
    spans: OnceLock<Arc<dyn Spans>>,
    encoders: OnceLock<Handle>,
    /// What other nodes may ask of this one.
    parts: OnceLock<Arc<dyn NodeParts>>,
}

impl Web {
    /// Puts the floors below together. Not ready until [`Web::set_ready`].
    #[must_use]
    pub fn new(
        origin: Origin,
        verifier: Arc<Verifier>,
        metrics: Arc<Metrics>,
        limits: Limits,
        access_log: Option<Arc<AccessLog>>,
    ) -> Self {
        let clock = origin.clock().clone();
        let challenges = Challenges::new(clock.clone());
        let viewers = ViewerVerifier::new(ViewerKeys::default(), clock.clone());
        let black_box = BlackBox::new(clock.clone());
        let unread = UnreadConnections::new(clock.clone());
        let crowd = Arc::new(Crowd::new(Arc::clone(&metrics), clock.clone()));
        let inner = Inner {
            origin,
            verifier,
            viewers,
            metrics,
            limits: ArcSwap::from_pointee(limits),
            ready: AtomicBool::new(false),
            why_unready: ArcSwapOption::empty(),
            holds_off: AtomicBool::new(false),
            ended_duties: Mutex::default(),
            uploads: TaskTracker::new(),
            challenges,
            admission: Arc::default(),
            comers: Arc::default(),
            crowd,
            black_box,
            unread,
            refused_readers: BlackBox::of_readers(clock.clone()),
            thinning: Thinning::new(clock),
            access_log,
            spans: OnceLock::new(),
            encoders: OnceLock::new(),
            parts: OnceLock::new(),
        };
        Self { inner: Arc::new(OwnCount { shared: Arc::new(inner), key: FamiliarKey::default() }) }
    }

    /// The same, for one connection and what it asks: its copies are counted apart from all others, and the key that it comes with is known.
    fn of_connection(&self) -> Self {
        Self { inner: Arc::new(OwnCount { shared: Arc::clone(&self.inner.shared), key: FamiliarKey::default() }) }
    }

    /// What tells good tokens of viewers from bad ones; at first it has no keys, so none are good.
    #[must_use]
    pub fn viewers(&self) -> &ViewerVerifier {
        &self.inner.viewers
    }

    /// Puts these revocations of viewers' tokens in force, and shows how many they are; when this returns, no token that they name is good.
    pub fn revoke_viewers(&self, all: Vec<Revocation>) {
        let count = all.len() as u64;
        self.inner.viewers.revoke(all);
        self.inner.metrics.viewer_revocations.set(count);
    }

    /// Has each request tell of itself when it is over. Once, before the first one.
    pub fn trace_to(&self, spans: Arc<dyn Spans>) {
        let _ = self.inner.spans.set(spans);
    }

    /// Has connections that begin with an upload go on in this runtime, where no reader's are. Once, before the first one.
    pub fn take_uploads_on(&self, encoders: Handle) {
        let _ = self.inner.encoders.set(encoders);
    }

    /// Something came to a port that was no request ([`refusals`] tells of it).
    fn note_unread(&self, peer: IpAddr, unread: Unread, detail: &str, request_id: &str) {
        refusals::unread::note(self, peer, unread, detail, request_id);
    }

    /// What `/readyz` says: whether this server may get traffic.
    pub fn set_ready(&self, ready: bool) {
        self.inner.why_unready.store(None);
        if ready {
            self.inner.holds_off.store(false, Ordering::Release);
        }
        self.inner.ready.store(ready, Ordering::Release);
    }

    /// It may get none, for this reason.
    pub fn set_unready(&self, why: String) {
        self.inner.why_unready.store(Some(Arc::new(why)));
        self.inner.ready.store(false, Ordering::Release);
    }

    /// It may get none, for this reason, and until [`Web::set_ready`] listeners that are served already answer the probes, the time and
    /// `/metrics`, and all else with 503: what there is, and who may have it, is not known yet.
    pub fn hold_off(&self, why: String) {
        self.inner.holds_off.store(true, Ordering::Release);
        self.set_unready(why);
    }

    /// Whether that is so.
    fn holds_off(&self) -> bool {
        self.inner.holds_off.load(Ordering::Acquire)
    }

    /// A duty in the background, which goes on for as long as the server does, has ended all the same: it is shown from now on. Its name is one
    /// of the house's own words.
    pub fn duty_ended(&self, duty: &'static str) {
        let mut ended = self.inner.ended_duties.lock();
        ended.push(duty);
        self.inner.metrics.housekeeping.duties_ended.set(ended.len() as u64);
    }

    /// What somebody who looks after the server should know, each thing once, and without names of namespaces.
    #[must_use]
    pub fn trouble(&self) -> Vec<String> {
        let mut trouble: Vec<_> = {
            let ended = self.inner.ended_duties.lock();
            let of = |duty: &&str| {
                format!("a duty in the background has ended ({duty}): restart this server; its log says when, and where")
            };
            ended.iter().map(of).collect()
        };
        trouble.sort();
        trouble.dedup();
        trouble.extend(self.inner.origin.trouble());
        trouble
    }

    /// Puts other limits in force for connections from now on.
    pub fn set_limits(&self, limits: Limits) {
        self.inner.limits.store(Arc::new(limits));
    }

    /// Waits until every upload whose client may be gone already has ended. Cancel-safe.
    pub async fn uploads_ended(&self) {
        self.inner.uploads.close();
        self.inner.uploads.wait().await;
    }

    /// Serves a data listener until `stop`, over TLS where that is given. Then it takes no new connection, lets requests in flight
    /// end, closes idle connections, and returns when all are gone, or when the drain time has passed and the rest is cut off.
    pub async fn serve(self, listener: TcpListener, tls: Option<Arc<Tls>>, stop: CancellationToken) {
        let site = Data::new(self.clone());
        listener::serve(listener, tls, self, site, stop).await;
    }
}
