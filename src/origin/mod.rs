//! What an origin does: the rules of a write, of a read and of a removal.
//!
//! The web floor hands over words ([`crate::model`]) and a [`Grant`](crate::auth::grant::Grant); it never sees the store. Nothing here can be called without
//! a grant, so no path can forget to ask.
//!
//! A write is prepared ([`prepare`]), decided ([`decide`]) and applied ([`apply`]), and so is a removal that has nothing to prepare. What
//! is known of the streams ([`live`]) changes by what is applied and by the time that comes with it, and by nothing else.

mod apply;
mod before;
mod beginnings;
mod below;
mod beside;
mod cache_control;
mod composing;
mod cuts;
mod decide;
mod draining;
mod editions;
mod ending;
mod error;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod gate;
mod heard_before;
mod heavy;
mod keeping;
mod known;
mod legible;
mod listed;
mod listing;
mod live;
mod looking;
mod looks;
mod manifests;
mod mending;
mod named;
mod namespace;
mod pair_reports;
mod pairing;
mod pairs;
mod parked;
mod pinning;
pub mod policy;
mod prepare;
mod purging;
mod put;
mod rate;
mod read;
mod relay;
mod relays;
mod reloaded;
mod remove;
mod rounds;
mod shared;
mod shared_news;
mod shared_public;
mod shared_rates;
mod strip;
mod sweeping;
mod switching;
mod told;
mod types;
mod uris;
mod window;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use ahash::RandomState;
use arc_swap::ArcSwap;
use parking_lot::Mutex;

pub use crate::hls::history::Listed;
pub use crate::hls::shift::Window;
pub use error::OriginError;
pub use listing::{ListingSpec, NamespaceUsage, ObjectListing, ObjectSummary};
pub use live::{Event, FactsReport, HistoryLog, RenditionReport, RenditionTimeline, SegmentTile, StreamReport};
pub use namespace::NamespaceHandle;
pub use pair_reports::{PairReport, PairSourceReport, SwitchReport};
pub use purging::Purged;
pub use put::{PutSpec, Stored, Upload};
pub use read::{Arriving, BlockingReload, Following, Found, Portion, Read, ReadSpec};
pub use remove::RemovalOutcome;
pub use types::type_of_name;
pub use window::{Shift, WindowError, WindowWord, WindowWords};

pub use crate::store::{BrokenOff, is_given_up};

use self::draining::Draining;
use self::live::Live;
use self::namespace::{Hosted, Rates, Work};
use self::policy::NamespacePolicy;
use crate::metrics::{CountedApart, Metrics};
use crate::model::clock::Clock;
use crate::model::id::Namespace;
use crate::model::stamp::Stamp;
use crate::store::{Access, DurableTier, Readers, Store};

/// The origin: a cheap handle, cloned into every request.
#[derive(Clone, Debug)]
pub struct Origin {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    // Replaced whole when the settings change; requests in flight keep what they began with.
    namespaces: ArcSwap<Namespaces>,
    /// The same, for requests.
    handles: ArcSwap<NamespaceHandles>,
    store: Store,
    metrics: Arc<Metrics>,
    clock: Clock,
    history_log: OnceLock<Arc<dyn HistoryLog>>,
    draining: Draining,
    /// Tiers of namespaces that are gone, as long as something waits there to be written.
    closing: Mutex<Vec<DurableTier>>,
}

type Namespaces = HashMap<Namespace, Arc<Hosted>, RandomState>;
type NamespaceHandles = HashMap<Namespace, CountedApart<Hosted>, RandomState>;

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
    /// `objects`, for these to read; `access` opens buckets.
    ///
    /// # Panics
    /// Outside of a runtime.
    #[must_use]
    pub fn with_objects_in(
        objects: PathBuf,
        readers: Readers,
        access: Access,
        namespaces: impl IntoIterator<Item = (Namespace, NamespacePolicy)>,
        max_in_flight: u64,
        clock: Clock,
        metrics: &Arc<Metrics>,
    ) -> Self {
        let store = Store::new(max_in_flight, clock.clone(), metrics);
        let store = store.with_objects_in(objects).with_readers(readers).with_buckets(access);
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
                namespaces: ArcSwap::default(),
                handles: ArcSwap::default(),
                store,
                metrics: Arc::clone(metrics),
                clock,
                history_log: OnceLock::new(),
                draining: Draining::new(),
                closing: Mutex::default(),
            }),
        };
        origin.configure(namespaces, max_in_flight);
        origin
    }

    /// Puts other rules in force. A namespace that stays keeps its objects, as far as its hot capacity allows; one that is not
    /// named any more is gone, and its objects with it.
    pub fn configure(&self, namespaces: impl IntoIterator<Item = (Namespace, NamespacePolicy)>, max_in_flight: u64) {
        self.inner.store.set_max_in_flight(max_in_flight);
        let before = self.inner.namespaces.load();
        let mut after = Namespaces::default();
        for (name, policy) in namespaces {
            let now = self.inner.clock.now();
            let (hot, durable_tier, live, metrics, rates, work) = match before.get(&name) {
                Some(hosted) => {
                    hosted.hot.set_capacity(policy.hot_capacity);
                    // What has been used up stays used up, unless the rates are others.
                    let rates = Some(&hosted.rates).filter(|rates| rates.are_those_of(&policy)).cloned();
                    hosted.durable_tier.set_options(policy.tier_options());
                    let (live, metrics) = (Arc::clone(&hosted.live), hosted.metrics.clone());
                    (Arc::clone(&hosted.hot), hosted.durable_tier.clone(), live, metrics, rates, hosted.work.clone())
                }
                None => {
                    let metrics = self.inner.metrics.namespace(&name);
                    let live = Live::new(name.clone(), metrics.clone());
                    self.keep_history(&live);
                    let hot = self.inner.store.open(policy.hot_capacity, metrics.clone());
                    let (options, figures) = (policy.tier_options(), metrics.durable.clone());
                    let durable_tier = self.inner.store.open_durable_tier(&name, &hot, &policy.durable, options, figures);
                    (hot, durable_tier, Arc::new(live), metrics, None, Work::default())
                }
            };
            if let Some(shared) = self.inner.store.shared() {
                shared.set_capacity(&name, policy.shared_capacity);
            }
            let rates = rates.unwrap_or_else(|| Arc::new(Rates::new(&policy, now)));
            let (viewer_base, traffic) = (policy.viewers.base(&name), CountedApart::new(&metrics.traffic));
            let (policy, draining) = (Arc::new(policy), self.inner.draining.clone());
            let hosted = Hosted {
                name: name.clone(),
                policy,
                viewer_base,
                traffic,
                hot,
                durable_tier,
                live,
                metrics,
                rates,
                work,
                draining,
            };
            after.insert(name, Arc::new(hosted));
        }
        let gone: Vec<_> = before.iter().filter(|(name, _)| !after.contains_key(*name)).collect();
        let handles = after.iter().map(|(name, hosted)| (name.clone(), CountedApart::new(hosted))).collect();
        self.inner.namespaces.store(Arc::new(after));
        self.inner.handles.store(Arc::new(handles));
        self.read_histories(&before);
        let mut closing = self.inner.closing.lock();
        closing.retain(|durable_tier| durable_tier.unwritten().0 > 0);
        for (name, _) in &gone {
            self.inner.metrics.end_namespace(name);
        }
        for durable_tier in gone.into_iter().map(|(_, hosted)| hosted.durable_tier.clone()).filter(DurableTier::is_there) {
            closing.push(durable_tier.clone());
            // Its objects stay where they are, for a namespace of this name that comes back.
            tokio::spawn(async move { durable_tier.leave().await });
        }
    }

    /// Waits until it is known what every tier below memory holds, or that it can't be known now. Cancel-safe.
    pub async fn opened(&self) {
        for hosted in self.inner.namespaces.load_full().values() {
            hosted.durable_tier.opened().await;
        }
        self.elsewhere(|origin| origin.follow_reloaded()).await;
    }

    /// Answers those who wait for what is to come, and all who would: the server is about to end, and another one is to be asked.
    pub fn drain(&self) {
        self.inner.draining.begin();
    }

    /// Does what takes its time where no request waits for it.
    async fn elsewhere<T: Send + 'static>(&self, work: impl FnOnce(&Self) -> T + Send + 'static) -> Option<T> {
        let origin = self.clone();
        match tokio::task::spawn_blocking(move || work(&origin)).await {
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            done => done.ok(),
        }
    }

    /// What is below memory, of namespaces that have gone as well.
    fn durable_tiers(&self) -> Vec<DurableTier> {
        let namespaces = self.inner.namespaces.load();
        let closing = self.inner.closing.lock();
        namespaces.values().map(|hosted| &hosted.durable_tier).chain(closing.iter()).cloned().collect()
    }

    /// Writes what waits to be written below memory. Nothing may be written after it. Dropped, it goes on by itself.
    pub async fn close(&self) {
        let mut closing = tokio::task::JoinSet::new();
        for durable_tier in self.durable_tiers() {
            closing.spawn(async move { durable_tier.close().await });
        }
        while closing.join_next().await.is_some() {}
    }

    /// How many writes wait for what is below memory, and their bytes.
    #[must_use]
    pub fn unwritten(&self) -> (usize, u64) {
        let unwritten = self.durable_tiers().into_iter().map(|durable_tier| durable_tier.unwritten());
        unwritten.fold((0, 0), |sum, some| (sum.0 + some.0, sum.1 + some.1))
    }

    /// What somebody who looks after the server should know, each thing once, and without names.
    #[must_use]
    pub fn trouble(&self) -> Vec<String> {
        let of = |hosted: &Arc<Hosted>| [hosted.durable_tier.trouble(), hosted.work.rounds.trouble()];
        let mut trouble: Vec<_> = self.inner.namespaces.load().values().flat_map(of).flatten().collect();
        trouble.sort();
        trouble.dedup();
        trouble
    }

    /// The namespace of this name, for one request. To be looked up once, where the name is known first, and carried from there: rules,
    /// counters and objects hang on it.
    #[must_use]
    pub fn namespace(&self, name: &Namespace) -> NamespaceHandle {
        NamespaceHandle::new(self.inner.handles.load().get(name).map(CountedApart::take))
    }

    /// Judges every live stream; hands over what has happened since the last look. To be called once a second. A mistake that a namespace brings
    /// out costs that one its look, and no other. Cancel-safe, but what is told by one that is dropped is told to nobody.
    pub async fn look(&self) -> Vec<Event> {
        self.elsewhere(Self::look_now).await.unwrap_or_default()
    }

    /// How every live stream is, in the order of namespaces and names.
    #[must_use]
    pub fn streams(&self) -> Vec<StreamReport> {
        let now = self.inner.clock.now();
        let of_namespace = |hosted: &Arc<Hosted>| {
            let mut reports = hosted.live.report(now);
            hosted.know_segments(&mut reports);
            reports
        };
        let mut reports: Vec<_> = self.inner.namespaces.load().values().flat_map(of_namespace).collect();
        reports.sort_by(|one, other| (&one.namespace, &one.stream).cmp(&(&other.namespace, &other.stream)));
        reports
    }

    /// The stamp of a request that begins now.
    #[must_use]
    pub fn stamp(&self) -> Stamp {
        self.inner.store.stamp()
    }

    /// The time source.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.inner.clock
    }
}
