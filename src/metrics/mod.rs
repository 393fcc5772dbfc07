//! Every counter and gauge, by name and meaning. This file is the only one that knows prometheus-client.
//!
//! What a request counts is kept in tables of our own ([`requests`], [`histogram`]) and shown by collectors when somebody asks;
//! [`text`] says the same in the older format. The rest are prometheus-client's counters and gauges, behind kept handles.
//!
//! Invariant: label values come from fixed lists, from the settings or from the key records, never from a request, so that no client
//! can make series.

mod cluster;
mod collected;
mod delivery;
mod durable;
mod histogram;
mod housekeeping;
mod machine;
mod namespace;
mod requests;
mod stripes;
mod text;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{Atomic, Gauge};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

pub use cluster::{BodyFetch, ClusterMetrics, SharedRefusal};
pub use collected::KeyEnd;
pub use delivery::Delivery;
pub use durable::DurableMetrics;
pub use housekeeping::HousekeepingMetrics;
pub use machine::{Machine, Process};
pub use namespace::{Gone, NamespaceMetrics};
pub use requests::{Outcome, Traffic, Verb};
pub use stripes::{CountedApart, StripedArc};

use self::collected::{Collected, Value};
use self::histogram::Spread;
use self::namespace::NamespaceFamilies;
use self::stripes::Striped;
use crate::model::id::Namespace;
use crate::model::kind::Kind;

/// A figure that only goes up.
pub type Count = Counter;
/// A figure that goes up and down.
pub type Level = Gauge<u64, AtomicU64>;
/// The same, of what every request changes: by stripes.
pub type BusyLevel = Gauge<u64, Striped>;

/// What it was before a change is not known of all stripes, and nobody asks.
impl Atomic<u64> for Striped {
    fn inc(&self) -> u64 {
        self.inc_by(1)
    }

    fn inc_by(&self, more: u64) -> u64 {
        self.add(more);
        0
    }

    fn dec(&self) -> u64 {
        self.dec_by(1)
    }

    fn dec_by(&self, less: u64) -> u64 {
        self.add(less.wrapping_neg());
        0
    }

    fn set(&self, value: u64) -> u64 {
        let before = self.sum();
        self.add(value.wrapping_sub(before));
        before
    }

    fn get(&self) -> u64 {
        // The end of a request may have been seen, and not its beginning: it was counted by another thread, whose stripe was looked at before.
        i64::try_from(self.sum()).map_or(0, i64::unsigned_abs)
    }
}

/// The labels of one series.
type Labels<const N: usize> = [(&'static str, String); N];

/// Why a connection ends without a request.
const UNREAD: [&str; 10] = [
    "certificate-distrusted",
    "clear-in-tls",
    "client-certificate",
    "handshake",
    "handshake-timeout",
    "head-too-large",
    "malformed",
    "no-common-tls",
    "proxy-protocol",
    "tls-in-clear",
];

/// The server's figures.
pub struct Metrics {
    registry: Registry,
    collected: Arc<Collected>,
    namespaces: NamespaceFamilies,
    cluster: Arc<ClusterMetrics>,
    nowhere: Arc<Traffic>,
    connections_refused: Family<[(&'static str, &'static str); 1], Counter>,
    refusals: Family<[(&'static str, &'static str); 1], Counter>,
    unread: Family<[(&'static str, &'static str); 1], Counter>,
    read_refusals: Family<[(&'static str, &'static str); 1], Counter>,
    // Kept handles: a look-up by label costs more than many a request's whole work.
    /// Bytes in flight over all namespaces.
    pub in_flight_bytes: Level,
    /// Open connections on the data listeners.
    pub connections: Level,
    /// When the certificate in force ends, in seconds since the Unix epoch; 0 without TLS.
    pub tls_expiry_seconds: Level,
    /// Revocations of viewers' tokens that are kept.
    pub viewer_revocations: Level,
    /// Requests that are being answered, bodies on their way included.
    pub requests_in_flight: BusyLevel,
    /// Answers given up because their client took nothing of them.
    pub answers_stalled: Counter,
    /// Clients that have taken nothing for a while of what there is for them.
    pub stalled_readers: Level,
    /// What the kernel holds for them, by an estimate.
    pub stalled_kernel_bytes: Level,
    deliveries: [Counter; Delivery::ALL.len()],
    /// What the server does for its own.
    pub housekeeping: HousekeepingMetrics,
}

/// [`Collected`] under the server's own prefix, and under the names that all Prometheus clients share.
#[derive(Debug)]
struct OurOwn(Arc<Collected>);
#[derive(Debug)]
struct OfTheProcess(Arc<Collected>);

impl Metrics {
    /// All figures, at zero.
    #[must_use]
    pub fn new() -> Self {
        let collected = Arc::new(Collected::new());
        let nowhere = collected.traffic("");
        let mut all = Registry::default();
        all.register_collector(Box::new(OfTheProcess(Arc::clone(&collected))));
        let registry = all.sub_registry_with_prefix("springhead");
        registry.register_collector(Box::new(OurOwn(Arc::clone(&collected))));
        let build = Info::new([("version", env!("CARGO_PKG_VERSION")), ("rustc", env!("SPRINGHEAD_RUSTC"))]);
        registry.register("build", "What runs: the server's version and the compiler's", build);
        let namespaces = NamespaceFamilies::register(registry);
        let cluster = ClusterMetrics::register(registry);
        let _ = collected.cluster.set(Arc::clone(&cluster));
        let new = Self {
            collected,
            namespaces,
            cluster,
            nowhere,
            connections_refused: Family::default(),
            refusals: Family::default(),
            unread: Family::default(),
            read_refusals: Family::default(),
            in_flight_bytes: Level::default(),
            connections: Level::default(),
            tls_expiry_seconds: Level::default(),
            viewer_revocations: Level::default(),
            requests_in_flight: BusyLevel::default(),
            answers_stalled: Counter::default(),
            stalled_readers: Level::default(),
            stalled_kernel_bytes: Level::default(),
            deliveries: Default::default(),
            housekeeping: HousekeepingMetrics::register(registry),
            registry: Registry::default(),
        };
        // There from the start, at zero: a rate of a series that begins at one shows nothing.
        for limit in ["total", "address", "admin"] {
            drop(new.connections_refused.get_or_create(&[("limit", limit)]));
        }
        for reason in UNREAD {
            drop(new.unread.get_or_create(&[("reason", reason)]));
        }
        registry.register(
            "connections_refused",
            "Connections not taken, by the limit that was reached (total, address; admin: of the admin listener)",
            new.connections_refused.clone(),
        );
        registry.register(
            "upload_refusals",
            "Uploads and deletions answered with an error, by reason; no-credentials counts clients that wait to be asked, too",
            new.refusals.clone(),
        );
        registry.register(
            "connections_unread",
            "Connections ended because what came was no request, by reason (TLS to the port in clear, PROXY protocol, bad heads, handshakes)",
            new.unread.clone(),
        );
        registry.register(
            "read_refusals",
            "Reads answered with an error because nobody was let in, by reason; no-credentials counts clients that wait to be asked, too",
            new.read_refusals.clone(),
        );
        registry.register(
            "in_flight_bytes",
            "Bytes of uploads in flight in all namespaces, limited by max_in_flight",
            new.in_flight_bytes.clone(),
        );
        registry.register(
            "tls_certificate_expiry_timestamp_seconds",
            "When the first of the TLS certificates in force ([tls], [admin_tls]) ends, in seconds since the Unix epoch; 0 without TLS",
            new.tls_expiry_seconds.clone(),
        );
        registry.register(
            "viewer_revocations",
            "Revocations of viewers' tokens that are kept; from 100000 on only those of namespaces that have few",
            new.viewer_revocations.clone(),
        );
        registry.register("connections", "Open connections on the data listeners", new.connections.clone());
        registry.register(
            "http_requests_in_flight",
            "Requests that are being answered, bodies on their way in and out included",
            new.requests_in_flight.clone(),
        );
        registry.register(
            "answers_stalled",
            "Answers given up because their client took nothing of them for timeouts.download_idle",
            new.answers_stalled.clone(),
        );
        registry.register(
            "stalled_readers",
            "Connections whose client has taken nothing for a second of what there is for it",
            new.stalled_readers.clone(),
        );
        registry.register(
            "stalled_kernel_bytes",
            "Bytes that the kernel holds for stalled_readers and has not sent, by an estimate: 128 KiB for each at most",
            new.stalled_kernel_bytes.clone(),
        );
        let deliveries = Family::<[(&'static str, &'static str); 1], Counter>::default();
        let deliveries_by = Delivery::ALL.map(|(_, name)| deliveries.get_or_create_owned(&[("outcome", name)]));
        registry.register(
            "webhook_deliveries",
            "Webhooks by outcome (delivered; failed: given up; dropped: too many waited, or the server ended)",
            deliveries,
        );
        Self { registry: all, deliveries: deliveries_by, ..new }
    }

    /// The handles of one namespace's figures.
    #[must_use]
    pub fn namespace(&self, name: &Namespace) -> NamespaceMetrics {
        self.namespaces.of(name, self.collected.traffic(name.as_str()))
    }

    /// Shows no more how a namespace stands that is gone, or it would be told of for ever as it was last. One of this name that comes back takes
    /// handles of its own.
    pub fn end_namespace(&self, name: &Namespace) {
        self.namespaces.forget_levels(name);
    }

    /// The figures of what several nodes share.
    #[must_use]
    pub fn cluster(&self) -> &Arc<ClusterMetrics> {
        &self.cluster
    }

    /// The traffic of requests that name no configured namespace.
    #[must_use]
    pub fn nowhere(&self) -> &Arc<Traffic> {
        &self.nowhere
    }

    /// Notes how long a request waited for its answer to begin.
    pub fn answered(&self, verb: Verb, after: Duration) {
        self.collected.spreads.answered(verb, after);
    }

    /// Notes the size of an object that was read or stored.
    pub fn object_size(&self, verb: Verb, bytes: u64) {
        self.collected.spreads.size(verb, bytes);
    }

    /// Notes how old an object was when it was read.
    pub fn object_age(&self, kind: Kind, age: Duration) {
        self.collected.spreads.age(kind, age);
    }

    /// Has the process and the runtime shown too, as `read` finds them each time. Only the first reader counts.
    pub fn show_machine(&self, read: impl Fn() -> Machine + Send + Sync + 'static) {
        let _ = self.collected.machine.set(machine::MachineReader(Box::new(read)));
    }

    /// Shows when API keys end: these, in place of those before.
    pub fn show_key_ends(&self, ends: Vec<KeyEnd>) {
        *self.collected.key_ends.lock() = ends;
    }

    /// Counts one webhook.
    pub fn count_delivery(&self, delivery: Delivery) {
        self.deliveries[delivery as usize].inc();
    }

    /// Counts one connection that was not taken, by the limit's name.
    pub fn count_connection_refused(&self, limit: &'static str) {
        self.connections_refused.get_or_create(&[("limit", limit)]).inc();
    }

    /// Counts one connection on which no request could be read. The reason is one of the house's own words.
    pub fn count_unread(&self, reason: &'static str) {
        self.unread.get_or_create(&[("reason", reason)]).inc();
    }

    /// Counts one refused or failed upload or deletion. The reason is one of the house's own words.
    pub fn count_refusal(&self, reason: &'static str) {
        self.refusals.get_or_create(&[("reason", reason)]).inc();
    }

    /// Counts one read that was answered with an error because nobody was let in. The reason is one of the house's own words.
    pub fn count_read_refusal(&self, reason: &'static str) {
        self.read_refusals.get_or_create(&[("reason", reason)]).inc();
    }

    /// All figures in the `OpenMetrics` text format.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing to a String can't fail.
        let _ = encode(&mut text, &self.registry);
        text
    }

    /// The same in the older text format of Prometheus, which most tools read.
    #[must_use]
    pub fn render_plain(&self) -> String {
        text::from_open_metrics(&self.render())
    }
}

/// Writes a family, unless it is empty.
fn show(encoder: &mut DescriptorEncoder<'_>, shown: &collected::Family) -> fmt::Result {
    let kind = match shown.series.first() {
        None => return Ok(()),
        Some((_, Value::Count(_) | Value::CountOf(_))) => MetricType::Counter,
        Some((_, Value::Level(_))) => MetricType::Gauge,
        Some((_, Value::Spread(_))) => MetricType::Histogram,
    };
    let mut family = encoder.encode_descriptor(shown.name, shown.help, None, kind)?;
    for (labels, value) in &shown.series {
        let mut one = family.encode_family(labels)?;
        match value {
            Value::Count(value) => one.encode_counter::<NoLabelSet, _, u64>(value, None)?,
            Value::CountOf(value) => one.encode_counter::<NoLabelSet, _, u64>(value, None)?,
            Value::Level(value) => one.encode_gauge(value)?,
            Value::Spread(Spread { sum, count, buckets }) => {
                one.encode_histogram::<NoLabelSet>(*sum, *count, buckets, None)?;
            }
        }
    }
    Ok(())
}

impl Collector for OurOwn {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.0.our_own().iter().try_for_each(|family| show(&mut encoder, family))
    }
}

impl Collector for OfTheProcess {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.0.of_the_process().iter().try_for_each(|family| show(&mut encoder, family))
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
