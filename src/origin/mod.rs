//! What an origin does: the rules of a write, of a read and of a removal.
//!
//! The web floor hands over words ([`crate::model`]) and a [`Grant`]; it never sees the store. Nothing here can be called without
//! a grant, so no path can forget to ask.

mod below;
mod error;
mod get;
mod hold;
mod live;
pub mod policy;
mod put;
mod rate;
mod remove;
mod shift;
mod strip;
mod types;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use ahash::RandomState;
use arc_swap::ArcSwap;

pub use crate::hls::history::Listed;
pub use crate::hls::shift::Window;
pub use below::Portion;
pub use error::OriginError;
pub use get::{Following, Found, Reading};
pub use hold::BlockingReload;
pub use live::{Chronicle, Event, RenditionReport, Standing, StreamReport};
pub use put::{PutSpec, Stored, Upload};
pub use types::type_of_name;

pub use crate::store::BrokenOff;

use self::live::Live;
use self::policy::NamespacePolicy;
use self::rate::Rate;
use crate::auth::grant::{Action, Grant};
use crate::metrics::{Metrics, NamespaceMetrics, Traffic};
use crate::model::clock::{Clock, Moment};
use crate::model::id::{Collection, Namespace, ObjectId};
use crate::store::{Access, Below, HotNamespace, Store};

/// The origin: a cheap handle, cloned into every request.
#[derive(Clone, Debug)]
pub struct Origin {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    // Replaced whole when the settings change; requests in flight keep what they began with.
    places: ArcSwap<Places>,
    store: Store,
    metrics: Arc<Metrics>,
    clock: Clock,
    chronicle: OnceLock<Arc<dyn Chronicle>>,
}

type Places = HashMap<Namespace, Arc<Place>, RandomState>;

/// A namespace, its rules and its bytes.
#[derive(Debug)]
struct Place {
    policy: Arc<NamespacePolicy>,
    hot: Arc<HotNamespace>,
    below: Below,
    live: Arc<Live>,
    metrics: NamespaceMetrics,
    rates: Arc<Rates>,
}

/// A namespace's allowances.
#[derive(Debug)]
struct Rates {
    read_requests: Rate,
    read_bytes: Rate,
    write_requests: Rate,
    write_bytes: Rate,
}

impl Rates {
    fn new(policy: &NamespacePolicy, now: Moment) -> Self {
        Self {
            read_requests: Rate::new(policy.read_requests_per_second, now),
            read_bytes: Rate::new(policy.read_bytes_per_second, now),
            write_requests: Rate::new(policy.write_requests_per_second, now),
            write_bytes: Rate::new(policy.write_bytes_per_second, now),
        }
    }

    fn limit_reads(&self) -> bool {
        self.read_requests.per_second().is_some() || self.read_bytes.per_second().is_some()
    }

    fn are_those_of(&self, policy: &NamespacePolicy) -> bool {
        self.read_requests.per_second() == policy.read_requests_per_second
            && self.read_bytes.per_second() == policy.read_bytes_per_second
            && self.write_requests.per_second() == policy.write_requests_per_second
            && self.write_bytes.per_second() == policy.write_bytes_per_second
    }
}

impl Origin {
    /// An origin with these namespaces, in memory only. `max_in_flight` bounds the bytes of all uploads in flight together.
    #[must_use]
    pub fn new(
        namespaces: impl IntoIterator<Item = (Namespace, NamespacePolicy)>,
        max_in_flight: u64,
        clock: Clock,
        metrics: &Arc<Metrics>,
    ) -> Self {
        let store = Store::new(max_in_flight, clock.clone(), metrics);
        Self::over(store, namespaces, max_in_flight, clock, metrics)
    }

    /// An origin whose namespaces have tiers below memory, as far as their policies say so. What of these is local is kept in
    /// `objects`; `access` opens buckets.
    ///
    /// # Panics
    /// Outside of a runtime.
    #[must_use]
    pub fn with_objects_in(
        objects: PathBuf,
        access: Access,
        namespaces: impl IntoIterator<Item = (Namespace, NamespacePolicy)>,
        max_in_flight: u64,
        clock: Clock,
        metrics: &Arc<Metrics>,
    ) -> Self {
        let store = Store::new(max_in_flight, clock.clone(), metrics).with_objects_in(objects).with_buckets(access);
        Self::over(store, namespaces, max_in_flight, clock, metrics)
    }

    fn over(
        store: Store,
        namespaces: impl IntoIterator<Item = (Namespace, NamespacePolicy)>,
        max_in_flight: u64,
        clock: Clock,
        metrics: &Arc<Metrics>,
    ) -> Self {
        let origin = Self {
            inner: Arc::new(Inner {
                places: ArcSwap::default(),
                store,
                metrics: Arc::clone(metrics),
                clock,
                chronicle: OnceLock::new(),
            }),
        };
        origin.configure(namespaces, max_in_flight);
        origin
    }

    /// Puts other rules in force. A namespace that stays keeps its objects, as far as its hot capacity allows; one that is not
    /// named any more is gone, and its objects with it.
    pub fn configure(&self, namespaces: impl IntoIterator<Item = (Namespace, NamespacePolicy)>, max_in_flight: u64) {
        self.inner.store.set_max_in_flight(max_in_flight);
        let before = self.inner.places.load();
        let mut places = Places::default();
        for (name, policy) in namespaces {
            let now = self.inner.clock.now();
            let (hot, below, live, metrics, rates) = match before.get(&name) {
                Some(place) => {
                    place.hot.set_capacity(policy.hot_capacity);
                    // What has been used up stays used up, unless the rates are others.
                    let rates = Some(&place.rates).filter(|rates| rates.are_those_of(&policy)).cloned();
                    place.below.set_options(policy.tier_options());
                    (Arc::clone(&place.hot), place.below.clone(), Arc::clone(&place.live), place.metrics.clone(), rates)
                }
                None => {
                    let metrics = self.inner.metrics.namespace(&name);
                    let live = Live::new(name.clone(), self.inner.clock.clone(), metrics.clone());
                    if let Some(chronicle) = self.inner.chronicle.get() {
                        live.keep_in(chronicle);
                    }
                    let hot = self.inner.store.open(policy.hot_capacity, metrics.clone());
                    let (options, figures) = (policy.tier_options(), metrics.durable.clone());
                    let below = self.inner.store.open_below(&name, &hot, &policy.durable, options, figures);
                    (hot, below, Arc::new(live), metrics, None)
                }
            };
            let rates = rates.unwrap_or_else(|| Arc::new(Rates::new(&policy, now)));
            places.insert(name, Arc::new(Place { policy: Arc::new(policy), hot, below, live, metrics, rates }));
        }
        let gone: Vec<_> =
            before.iter().filter(|(name, _)| !places.contains_key(*name)).map(|(_, place)| place.below.clone()).collect();
        self.inner.places.store(Arc::new(places));
        for below in gone.into_iter().filter(Below::is_there) {
            // Its objects stay where they are, for a namespace of this name that comes back.
            tokio::spawn(async move { below.close().await });
        }
    }

    /// Waits until it is known what every tier below memory holds, or that it can't be known now. Cancel-safe.
    pub async fn opened(&self) {
        for place in self.inner.places.load_full().values() {
            place.below.opened().await;
        }
        self.hear_returned();
    }

    /// Writes what waits to be written below memory. Nothing may be written after it. Dropped, it goes on by itself.
    pub async fn close(&self) {
        let mut closing = tokio::task::JoinSet::new();
        for place in self.inner.places.load_full().values() {
            let below = place.below.clone();
            closing.spawn(async move { below.close().await });
        }
        while closing.join_next().await.is_some() {}
    }

    /// How many writes wait for what is below memory, and their bytes.
    #[must_use]
    pub fn unwritten(&self) -> (usize, u64) {
        let places = self.inner.places.load();
        places.values().map(|place| place.below.unwritten()).fold((0, 0), |sum, some| (sum.0 + some.0, sum.1 + some.1))
    }

    /// What somebody who looks after the server should know, each thing once, and without names.
    #[must_use]
    pub fn trouble(&self) -> Vec<String> {
        let mut trouble: Vec<_> = self.inner.places.load().values().filter_map(|place| place.below.trouble()).collect();
        trouble.sort();
        trouble.dedup();
        trouble
    }

    /// The rules of a namespace, if it is configured. They say how to answer, not what is stored, so no grant is asked for.
    #[must_use]
    pub fn policy(&self, namespace: &Namespace) -> Option<Arc<NamespacePolicy>> {
        self.inner.places.load().get(namespace).map(|place| Arc::clone(&place.policy))
    }

    /// The same, and where the namespace's requests are counted.
    #[must_use]
    pub fn policy_and_traffic(&self, namespace: &Namespace) -> Option<(Arc<NamespacePolicy>, Arc<Traffic>)> {
        let places = self.inner.places.load();
        places.get(namespace).map(|place| (Arc::clone(&place.policy), Arc::clone(&place.metrics.traffic)))
    }

    /// Takes a bounded number of expired objects out of memory; says whether more are due now. To be called a few times a
    /// second, and again at once while it says so.
    #[must_use]
    pub fn sweep(&self) -> bool {
        let mut more = false;
        for place in self.inner.places.load().values() {
            more |= place.hot.sweep();
        }
        more
    }

    /// Judges every live stream; hands over what has happened since the last look. To be called once a second.
    #[must_use]
    pub fn look(&self) -> Vec<Event> {
        self.hear_returned();
        let places = self.inner.places.load();
        places
            .values()
            .flat_map(|place| place.live.look(place.policy.stale_after, |key| place.hot.holds(key) || place.below.may_have(key)))
            .collect()
    }

    /// How every live stream is, in the order of namespaces and names.
    #[must_use]
    pub fn streams(&self) -> Vec<StreamReport> {
        let mut reports: Vec<_> = self.inner.places.load().values().flat_map(|place| place.live.report()).collect();
        reports.sort_by(|one, other| (&one.namespace, &one.stream).cmp(&(&other.namespace, &other.stream)));
        reports
    }

    /// The time source.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.inner.clock
    }

    /// Where the object is or will be, if the holder of the grant may do this to it. Tells that a namespace is unknown only to
    /// those who may see it, so that names can't be probed.
    fn admit(&self, grant: &Grant, action: Action, object: &ObjectId) -> Result<Arc<Place>, OriginError> {
        let place = self.place(grant, &object.namespace)?;
        if grant.allows(action, object) { Ok(place) } else { Err(OriginError::Forbidden) }
    }

    /// Whether the holder of the grant may do this in a collection. There is nothing to find or to make: objects bring their
    /// folders with them.
    ///
    /// # Errors
    /// [`OriginError::Forbidden`] or [`OriginError::UnknownNamespace`].
    pub fn collection(&self, grant: &Grant, action: Action, collection: &Collection) -> Result<(), OriginError> {
        self.place(grant, &collection.namespace)?;
        if grant.allows_in(action, collection) { Ok(()) } else { Err(OriginError::Forbidden) }
    }

    fn place(&self, grant: &Grant, namespace: &Namespace) -> Result<Arc<Place>, OriginError> {
        if !grant.sees(namespace) {
            return Err(OriginError::Forbidden);
        }
        self.inner.places.load().get(namespace).cloned().ok_or(OriginError::UnknownNamespace)
    }
}
