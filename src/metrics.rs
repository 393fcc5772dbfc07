//! Every counter and gauge, by name and meaning. The only module that knows prometheus-client.
//!
//! Invariant: label values come from fixed lists or from the settings, never from a request, so that no client can make series.

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::model::id::Namespace;
use crate::model::kind::Kind;

type Labels<const N: usize> = [(&'static str, String); N];
/// A figure that goes up and down.
pub type Level = Gauge<u64, AtomicU64>;

/// The methods counted by name; every other one is `other`.
const METHODS: [&str; 9] = ["GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS", "PROPFIND", "MKCOL", "other"];
/// The statuses counted by number; every other one is `other`.
const STATUSES: [&str; 19] = [
    "200", "201", "204", "206", "207", "304", "400", "401", "403", "404", "405", "412", "413", "416", "431", "500", "501", "503",
    "other",
];

/// Why an object left before its time, or at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// Its TTL ran out.
    Expired,
    /// The namespace's hot capacity was needed for newer data.
    Evicted,
}

/// The server's figures.
pub struct Metrics {
    registry: Registry,
    requests: Family<Labels<2>, Counter>,
    // Kept handles: a look-up by label costs more than many a request's whole work.
    by_method_and_status: Box<[OnceLock<Counter>]>,
    stored_bytes: Family<Labels<1>, Level>,
    stored_objects: Family<Labels<1>, Level>,
    capacity_bytes: Family<Labels<1>, Level>,
    uploading_bytes: Family<Labels<1>, Level>,
    gone: Family<Labels<3>, Counter>,
    uploads: Family<Labels<2>, Counter>,
    limited: Family<Labels<2>, Counter>,
    connections_refused: Family<[(&'static str, &'static str); 1], Counter>,
    refusals: Family<[(&'static str, &'static str); 1], Counter>,
    /// Bytes in flight over all namespaces.
    pub in_flight_bytes: Level,
    /// Open connections on the data listeners.
    pub connections: Level,
    /// When the certificate in force ends, in seconds since the Unix epoch; 0 without TLS.
    pub tls_expiry_seconds: Level,
}

/// One namespace's figures.
#[derive(Clone)]
pub struct NamespaceMetrics {
    /// Bytes that count against the hot capacity, uploads in flight apart.
    pub stored_bytes: Level,
    /// Objects in the hot store.
    pub stored_objects: Level,
    /// The hot capacity.
    pub capacity_bytes: Level,
    /// Bytes of uploads in flight.
    pub uploading_bytes: Level,
    expired: [Counter; KINDS.len()],
    evicted: [Counter; KINDS.len()],
    /// Uploads that were stored.
    pub uploads_stored: Counter,
    /// Uploads that were refused: the answer said why.
    pub uploads_refused: Counter,
    /// Uploads that broke off.
    pub uploads_broken: Counter,
    /// Reads refused for the namespace's rate.
    pub reads_limited: Counter,
    /// Writes and removals refused for it.
    pub writes_limited: Counter,
}

const KINDS: [Kind; 4] = [Kind::Playlist, Kind::Manifest, Kind::Initialization, Kind::Segment];

impl Metrics {
    /// All figures, at zero.
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("springhead");
        let new = Self {
            requests: Family::default(),
            by_method_and_status: (0..METHODS.len() * STATUSES.len()).map(|_| OnceLock::new()).collect(),
            stored_bytes: Family::default(),
            stored_objects: Family::default(),
            capacity_bytes: Family::default(),
            uploading_bytes: Family::default(),
            gone: Family::default(),
            uploads: Family::default(),
            limited: Family::default(),
            connections_refused: Family::default(),
            refusals: Family::default(),
            in_flight_bytes: Level::default(),
            connections: Level::default(),
            tls_expiry_seconds: Level::default(),
            registry: Registry::default(),
        };
        registry.register("http_requests", "Requests on the data listeners by method and status", new.requests.clone());
        registry.register(
            "hot_stored_bytes",
            "Bytes held in the hot store: bodies, keys and a fixed overhead per object",
            new.stored_bytes.clone(),
        );
        registry.register("hot_objects", "Objects in the hot store", new.stored_objects.clone());
        registry.register("hot_capacity_bytes", "Hot capacity of the namespace", new.capacity_bytes.clone());
        registry.register(
            "hot_uploading_bytes",
            "Bytes of uploads in flight, which count against the hot capacity too",
            new.uploading_bytes.clone(),
        );
        registry.register(
            "hot_objects_removed",
            "Objects that left the hot store, by reason (expired: TTL ran out; evicted: capacity was needed) and kind",
            new.gone.clone(),
        );
        registry.register(
            "uploads",
            "Uploads by outcome (stored; refused: answered with an error; broken: cut off before their end)",
            new.uploads.clone(),
        );
        registry.register(
            "rate_limited",
            "Requests refused because the namespace's rate was used up, by direction (read, write)",
            new.limited.clone(),
        );
        registry.register(
            "connections_refused",
            "Connections not taken, by the limit that was reached (total, address)",
            new.connections_refused.clone(),
        );
        registry.register(
            "upload_refusals",
            "Uploads and deletions answered with an error, by reason; no-credentials counts clients that wait to be asked, too",
            new.refusals.clone(),
        );
        registry.register(
            "in_flight_bytes",
            "Bytes of uploads in flight in all namespaces, limited by max_in_flight",
            new.in_flight_bytes.clone(),
        );
        registry.register(
            "tls_certificate_expiry_timestamp_seconds",
            "When the TLS certificate in force ends, in seconds since the Unix epoch; 0 without TLS",
            new.tls_expiry_seconds.clone(),
        );
        registry.register("connections", "Open connections on the data listeners", new.connections.clone());
        Self { registry, ..new }
    }

    /// The handles of one namespace's figures.
    #[must_use]
    pub fn namespace(&self, name: &Namespace) -> NamespaceMetrics {
        let label = || ("namespace", name.to_string());
        let gone = |reason: &str| {
            KINDS.map(|kind| {
                let labels = [label(), ("reason", reason.to_owned()), ("kind", kind.as_str().to_owned())];
                self.gone.get_or_create_owned(&labels)
            })
        };
        let uploads = |outcome: &str| self.uploads.get_or_create_owned(&[label(), ("outcome", outcome.to_owned())]);
        NamespaceMetrics {
            stored_bytes: self.stored_bytes.get_or_create_owned(&[label()]),
            stored_objects: self.stored_objects.get_or_create_owned(&[label()]),
            capacity_bytes: self.capacity_bytes.get_or_create_owned(&[label()]),
            uploading_bytes: self.uploading_bytes.get_or_create_owned(&[label()]),
            expired: gone("expired"),
            evicted: gone("evicted"),
            uploads_stored: uploads("stored"),
            uploads_refused: uploads("refused"),
            uploads_broken: uploads("broken"),
            reads_limited: self.limited.get_or_create_owned(&[label(), ("direction", "read".to_owned())]),
            writes_limited: self.limited.get_or_create_owned(&[label(), ("direction", "write".to_owned())]),
        }
    }

    /// Counts one answered request.
    pub fn count_request(&self, method: &str, status: u16) {
        let method = METHODS.iter().position(|known| *known == method).unwrap_or(METHODS.len() - 1);
        let known = |number: &&str| number.parse::<u16>() == Ok(status);
        let status = STATUSES.iter().position(known).unwrap_or(STATUSES.len() - 1);
        self.by_method_and_status[method * STATUSES.len() + status]
            .get_or_init(|| {
                let labels = [("method", METHODS[method].to_owned()), ("status", STATUSES[status].to_owned())];
                self.requests.get_or_create_owned(&labels)
            })
            .inc();
    }

    /// Counts one connection that was not taken, by the limit's name.
    pub fn count_connection_refused(&self, limit: &'static str) {
        self.connections_refused.get_or_create(&[("limit", limit)]).inc();
    }

    /// Counts one refused or failed upload or deletion. The reason is one of the house's own words.
    pub fn count_refusal(&self, reason: &'static str) {
        self.refusals.get_or_create(&[("reason", reason)]).inc();
    }

    /// All figures in the `OpenMetrics` text format.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing to a String can't fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

impl NamespaceMetrics {
    /// Counts an object that left the hot store by itself.
    pub fn count_gone(&self, kind: Kind, why: Gone) {
        let counters = match why {
            Gone::Expired => &self.expired,
            Gone::Evicted => &self.evicted,
        };
        if let Some(index) = KINDS.iter().position(|known| *known == kind) {
            counters[index].inc();
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl fmt::Debug for NamespaceMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NamespaceMetrics").finish_non_exhaustive()
    }
}
