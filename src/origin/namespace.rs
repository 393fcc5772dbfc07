//! A configured namespace: its rules, its bytes, its streams; and the handle by which a request reaches them.

use std::sync::Arc;

use super::OriginError;
use super::beginnings::Beginnings;
use super::cuts::{Clears, Cuts, Deltas};
use super::draining::Draining;
use super::editions::Editions;
use super::heavy::Heavy;
use super::known::KnownBelow;
use super::listed::Public;
use super::live::{FactsReport, Live, StreamReport};
use super::looks::Looks;
use super::pairs::Pairs;
use super::parked::Parked;
use super::policy::NamespacePolicy;
use super::rate::{Rate, RateClaim};
use super::relays::Relays;
use super::rounds::Rounds;
use crate::auth::grant::{Action, Grant};
use crate::metrics::{CountedApart, NamespaceMetrics, StripedArc, Traffic};
use crate::model::clock::Moment;
use crate::model::facts::SegmentFacts;
use crate::model::id::{Collection, Key, Namespace, ObjectId};
use crate::store::{DurableTier, HotNamespace};

/// A namespace that is configured. Replaced whole when its settings change; requests in flight keep what they began with.
#[derive(Debug)]
pub(super) struct Hosted {
    pub(super) name: Namespace,
    pub(super) policy: Arc<NamespacePolicy>,
    pub(super) viewer_base: String,
    /// Of the metrics, for requests to hold.
    pub(super) traffic: CountedApart<Traffic>,
    pub(super) hot: Arc<HotNamespace>,
    pub(super) durable_tier: DurableTier,
    pub(super) live: Arc<Live>,
    pub(super) metrics: NamespaceMetrics,
    pub(super) rates: Arc<Rates>,
    pub(super) work: Work,
    pub(super) draining: Draining,
}

/// What takes its time in a namespace, what has come of it, and what it is made from. Readers and writers wait for their own kind alone, and who
/// wants a live playlist unpacked not for those who look back.
#[derive(Clone, Debug, Default)]
pub(super) struct Work {
    pub(super) of_writers: Heavy,
    pub(super) of_readers: Heavy,
    pub(super) of_unpackers: Heavy,
    pub(super) cuts: Arc<Cuts>,
    pub(super) deltas: Arc<Deltas>,
    pub(super) clears: Arc<Clears>,
    pub(super) editions: Arc<Editions>,
    pub(super) public: Arc<Public>,
    pub(super) pairs: Arc<Pairs>,
    /// Looks at playlists that are put off.
    pub(super) looks: Arc<Looks>,
    /// Those at lists that are about to end.
    pub(super) ends: Arc<Looks>,
    pub(super) beginnings: Arc<Beginnings>,
    pub(super) below: Arc<KnownBelow>,
    /// Held by who goes through all of its objects.
    pub(super) listing: Arc<tokio::sync::Mutex<()>>,
    pub(super) parked: Arc<Parked>,
    pub(super) relays: Arc<Relays>,
    /// How the rounds through all namespaces go in this one.
    pub(super) rounds: Arc<Rounds>,
}

/// A namespace as one request knows it: looked up once, by [`Origin::namespace`](super::Origin::namespace), and carried from the first
/// header to the last byte. Cloning is cheap.
///
/// There is one for every name, configured or not, so that nothing can be told from having it: whether a namespace is unknown, only
/// the calls that take a [`Grant`] tell, and only a grant that may see it.
#[derive(Clone, Debug)]
pub struct NamespaceHandle(Option<StripedArc<Hosted>>);

/// A namespace's allowances.
#[derive(Debug)]
pub(super) struct Rates {
    pub(super) read_requests: Rate,
    pub(super) read_bytes: Rate,
    pub(super) write_requests: Rate,
    pub(super) write_bytes: Rate,
}

impl NamespaceHandle {
    pub(super) fn new(hosted: Option<StripedArc<Hosted>>) -> Self {
        Self(hosted)
    }

    pub(super) fn hosted(&self) -> Option<&Arc<Hosted>> {
        self.0.as_deref()
    }

    /// The rules, of one that is configured. They say how to answer, not what is stored, so no grant is asked for.
    #[must_use]
    pub fn policy(&self) -> Option<&Arc<NamespacePolicy>> {
        self.hosted().map(|hosted| &hosted.policy)
    }

    /// What stands before the key in a path as its viewers ask for it ([`ViewerPolicy::base`](super::policy::ViewerPolicy::base)), of one that is
    /// configured.
    #[must_use]
    pub fn viewer_base(&self) -> Option<&str> {
        self.hosted().map(|hosted| &*hosted.viewer_base)
    }

    /// Where its requests are counted, of one that is configured.
    #[must_use]
    pub fn traffic(&self) -> Option<&Arc<Traffic>> {
        self.hosted().map(|hosted| &hosted.metrics.traffic)
    }

    /// The same, for who holds it as long as a request lasts: what else hangs on a namespace may be gone by then.
    #[must_use]
    pub fn traffic_apart(&self) -> Option<StripedArc<Traffic>> {
        self.hosted().map(|hosted| hosted.traffic.take())
    }

    /// Whether the holder of the grant may do this in a collection. There is nothing to find or to make: objects bring their
    /// folders with them.
    ///
    /// # Errors
    /// [`OriginError::Forbidden`] or [`OriginError::UnknownNamespace`].
    pub fn collection(&self, grant: &Grant, action: Action, collection: &Collection) -> Result<(), OriginError> {
        self.seen(grant, &collection.namespace)?;
        if grant.allows_in(action, collection) { Ok(()) } else { Err(OriginError::Forbidden) }
    }

    /// The namespace, if the holder of the grant may do this to the object there.
    pub(super) fn admit(&self, grant: &Grant, action: Action, object: &ObjectId) -> Result<&Arc<Hosted>, OriginError> {
        let hosted = self.seen(grant, &object.namespace)?;
        if grant.allows(action, object) { Ok(hosted) } else { Err(OriginError::Forbidden) }
    }

    /// The namespace, told of to those who may see it. A handle of another one knows nothing of this one.
    fn seen(&self, grant: &Grant, name: &Namespace) -> Result<&Arc<Hosted>, OriginError> {
        if !grant.sees(name) {
            return Err(OriginError::Forbidden);
        }
        self.hosted().filter(|hosted| hosted.name == *name).ok_or(OriginError::UnknownNamespace)
    }
}

impl Hosted {
    /// The object of this key.
    pub(super) fn object(&self, key: &Key) -> ObjectId {
        ObjectId { namespace: self.name.clone(), key: key.clone() }
    }

    /// Whether there is such an object, in memory or below it.
    pub(super) fn has(&self, key: &Key) -> bool {
        self.hot.is_readable(key) || self.peek_named(key, self.hot.clock().now()).is_some() || self.may_have_below(key)
    }

    /// Takes a read, or more bytes of one, out of the allowance.
    pub(super) fn take_read_rate(&self, requests: u64, bytes: u64, claim: RateClaim) -> Result<(), OriginError> {
        let rates = &self.rates;
        if !rates.limit_reads() {
            return Ok(());
        }
        let now = self.hot.clock().now();
        let begun = if requests > 0 { rates.read_requests.take(requests, claim, now) } else { Ok(0) };
        begun.and_then(|_| rates.read_bytes.take(bytes, claim, now)).map(drop).map_err(|retry_after| {
            self.metrics.reads_limited.inc();
            OriginError::RateLimited { retry_after }
        })
    }

    /// Takes a write out of the allowance of requests.
    pub(super) fn take_write_request(&self) -> Result<(), OriginError> {
        self.of_write_rate(&self.rates.write_requests, 1).map(drop)
    }

    /// Takes so many announced bytes of a write out of the allowance; says how many had to be taken.
    pub(super) fn take_write_bytes(&self, bytes: u64) -> Result<u64, OriginError> {
        self.of_write_rate(&self.rates.write_bytes, bytes)
    }

    fn of_write_rate(&self, rate: &Rate, cost: u64) -> Result<u64, OriginError> {
        rate.take(cost, RateClaim::First, self.hot.clock().now()).map_err(|retry_after| {
            self.metrics.writes_limited.inc();
            OriginError::RateLimited { retry_after }
        })
    }
}

impl Rates {
    pub(super) fn new(policy: &NamespacePolicy, now: Moment) -> Self {
        Self {
            read_requests: Rate::new(policy.read_requests_per_second, now),
            read_bytes: Rate::new(policy.read_bytes_per_second, now),
            write_requests: Rate::new(policy.write_requests_per_second, now),
            write_bytes: Rate::new(policy.write_bytes_per_second, now),
        }
    }

    /// All four, each with its name.
    pub(super) fn each(&self) -> [(&'static str, &Rate); 4] {
        [
            ("read_requests", &self.read_requests),
            ("read_bytes", &self.read_bytes),
            ("write_requests", &self.write_requests),
            ("write_bytes", &self.write_bytes),
        ]
    }

    pub(super) fn limit_reads(&self) -> bool {
        self.read_requests.per_second().is_some() || self.read_bytes.per_second().is_some()
    }

    pub(super) fn are_those_of(&self, policy: &NamespacePolicy) -> bool {
        self.read_requests.per_second() == policy.read_requests_per_second
            && self.read_bytes.per_second() == policy.read_bytes_per_second
            && self.write_requests.per_second() == policy.write_requests_per_second
            && self.write_bytes.per_second() == policy.write_bytes_per_second
    }
}

impl Hosted {
    /// Adds to each rendition what the bytes of its newest segment say, where that is in memory.
    pub(super) fn know_segments(&self, reports: &mut [StreamReport]) {
        let now = self.hot.clock().now();
        let facts = |key: &str| self.peek_named(&Key::parse(key).ok()?, now)?.meta.facts.clone();
        for rendition in reports.iter_mut().flat_map(|report| &mut report.renditions) {
            let Some(of_segment) = rendition.last_segment.as_deref().and_then(facts) else { continue };
            let of_segment = SegmentFacts::clone(&of_segment);
            let known = match rendition.initialization.as_deref().and_then(facts) {
                Some(initialization) => of_segment.with(&initialization),
                None => of_segment,
            };
            rendition.last_segment_facts = Some(FactsReport::of(&known));
        }
    }
}
