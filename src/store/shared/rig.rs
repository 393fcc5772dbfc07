//! A node with engines in memory, one for each lane: for tests of what a node does by itself.

use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::HeaderValue;
use parking_lot::Mutex;
use tokio::task::{AbortHandle, JoinSet};

use super::changes::{SharedChange, SharedFollower, SharedNews, Teller};
use super::commit::Wish;
use super::described::{DescribedShared, Replaces};
use super::driver::Driver;
use super::engine::valkey::ValkeyAddress;
use super::engine::{Engine, EngineError, EngineLink, LaneNumber};
use super::links::{BodySource, Links};
use super::memory::MemoryEngine;
use super::roster::NodeIdentity;
use super::share::{SharedStore, Sharing};
use super::silence::Silence;
use super::{
    Decision, EngineAnswer, EngineCall, Indexed, ObjectName, Precondition, Reply, SharedBody, SharedObject, UploadId, Version,
};
use crate::metrics::Metrics;
use crate::model::clock::Clock;
use crate::model::kind::Kind;

/// What is wrong with the engines.
type SharedFaults = Arc<Mutex<RigFaults>>;

struct RigFaults {
    /// Which calls are not answered: each ends its session.
    refuses: fn(&EngineCall) -> bool,
    is_bodiless: bool,
    holds_bodies: bool,
    bodies_asked: usize,
    /// How many names each assertion had.
    asserted: Vec<usize>,
}

/// The node.
pub(super) struct NodeRig {
    pub(super) store: SharedStore,
    faults: SharedFaults,
    silence: Arc<Silence<usize>>,
    engines: Vec<MemoryEngine>,
    links: Vec<Arc<Links<RigEngine>>>,
    drivers: Vec<AbortHandle>,
    _driven: JoinSet<()>,
}

/// One lane's engine.
struct RigEngine {
    engine: MemoryEngine,
    faults: SharedFaults,
}

/// A connection to it.
struct RigLink {
    link: <MemoryEngine as Engine>::Link,
    faults: SharedFaults,
}

/// Wants the bodies of playlists, as a node does. One that is called so makes it panic.
#[derive(Debug)]
struct RigFollower(Weak<Sharing>);

impl SharedFollower for RigFollower {
    fn take(&self, change: SharedChange) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            assert!(!change.key.as_str().contains("panics"), "as it was told");
            let SharedNews::Version(version) = change.what else { return };
            if let Some(sharing) = self.0.upgrade().filter(|_| change.key.as_str().ends_with(".m3u8")) {
                SharedStore(sharing).body_to_follow((&change.namespace, &change.key), &version.known).await;
            }
        })
    }

    fn body(&self, _: &crate::model::id::Namespace, _: &crate::model::id::Key, _: u128) -> Option<Bytes> {
        None
    }
}

impl Engine for RigEngine {
    type Primary = usize;
    type Link = RigLink;

    fn patience(&self) -> Duration {
        self.engine.patience()
    }

    async fn find(&self, lane: LaneNumber) -> Result<(usize, u32), EngineError> {
        self.engine.find(lane).await
    }

    async fn link(&self, lane: LaneNumber, primary: &usize) -> Result<RigLink, EngineError> {
        Ok(RigLink { link: self.engine.link(lane, primary).await?, faults: Arc::clone(&self.faults) })
    }
}

impl EngineLink for RigLink {
    async fn call(&mut self, call: &EngineCall, copies: usize) -> Result<EngineAnswer, EngineError> {
        let mut is_held = false;
        {
            let mut faults = self.faults.lock();
            if (faults.refuses)(call) {
                return Err(EngineError::Unreachable("the connection is gone".to_owned()));
            }
            if let EngineCall::Assert { held, .. } = call {
                faults.asserted.push(held.len());
            }
            if let EngineCall::Body { .. } = call {
                faults.bodies_asked += 1;
                if faults.is_bodiless {
                    return Ok(EngineAnswer { reply: Reply::Body(None), copies: 0, time: 0 });
                }
                is_held = faults.holds_bodies;
            }
        }
        if is_held {
            tokio::time::sleep(Duration::from_millis(1_500)).await;
            return Err(EngineError::Unreachable("it does not answer".to_owned()));
        }
        self.link.call(call, copies).await
    }
}

impl NodeRig {
    /// Once all its sessions are open. Its lanes have no connections when it is dropped.
    pub(super) async fn start(clock: &Clock) -> Self {
        Self::start_apart(clock, clock).await
    }

    /// The same, with a clock of the engines' own.
    pub(super) async fn start_apart(clock: &Clock, of_engines: &Clock) -> Self {
        let address = ValkeyAddress {
            servers: Vec::new(),
            is_cluster: false,
            tls: None,
            copies: 1,
            user: None,
            password: None,
            prefix: String::new(),
        };
        let metrics = Metrics::new();
        let store = SharedStore::new(&address, &NodeIdentity::new("one", "0", Vec::new()), clock.clone(), metrics.cluster(), "");
        let faults =
            RigFaults { refuses: |_| false, is_bodiless: false, holds_bodies: false, bodies_asked: 0, asserted: Vec::new() };
        let faults = Arc::new(Mutex::new(faults));
        let follower: Arc<dyn SharedFollower> = Arc::new(RigFollower(Arc::downgrade(&store.0)));
        let _ = store.0.follower.set(Arc::clone(&follower));
        let (silence, mut driven, mut bodies) = (Arc::new(Silence::new()), JoinSet::new(), Vec::new());
        let mut drivers = Vec::new();
        let (mut engines, mut all_links) = (Vec::new(), Vec::new());
        for handle in &store.0.lanes {
            let engine = MemoryEngine::new(1, of_engines.clone());
            engines.push(engine.clone());
            let engine = Arc::new(RigEngine { engine, faults: Arc::clone(&faults) });
            let links = Arc::new(Links::new(handle.number, Arc::clone(&engine)));
            let source: Arc<dyn BodySource> = Arc::<Links<RigEngine>>::clone(&links);
            bodies.push(source);
            all_links.push(Arc::clone(&links));
            let buckets = Arc::clone(&store.0.buckets);
            let taker = Arc::new(Teller {
                clock: Arc::clone(&store.0.clock),
                follower: Arc::clone(&follower),
                text_news: Arc::clone(&store.0.text_news),
                budgets: Arc::clone(&store.0.budgets),
                goes_below: Arc::new(move |name| buckets.of_name(name).is_some()),
            });
            let (handle, roster) = (Arc::clone(handle), Arc::clone(&store.0.roster));
            let (silence, metrics) = (Arc::clone(&silence), Arc::clone(&store.0.metrics));
            drivers.push(driven.spawn(Driver { handle, engine, links, taker, roster, silence, metrics, copies: 0 }.drive()));
        }
        let _ = store.0.bodies.set(bodies);
        store.opened().await;
        Self { store, faults, silence, engines, links: all_links, drivers, _driven: driven }
    }

    /// Which calls are not answered from now on.
    pub(super) fn refuses(&self, refuses: fn(&EngineCall) -> bool) {
        self.faults.lock().refuses = refuses;
    }

    /// A lane's engine dies and is back at once, with nothing; how many names it was told in each of the calls by which the node has asserted
    /// what it holds.
    pub(super) async fn comes_back_empty(&self, lane: usize) -> Vec<usize> {
        self.faults.lock().asserted.clear();
        self.engines[lane].restart_empty();
        let handle = &self.store.0.lanes[lane];
        while handle.stands().is_ok() {
            tokio::task::yield_now().await;
        }
        handle.opened().await;
        std::mem::take(&mut self.faults.lock().asserted)
    }

    /// Whether the engine has lost all bytes.
    pub(super) fn is_bodiless(&self, is_bodiless: bool) {
        self.faults.lock().is_bodiless = is_bodiless;
    }

    /// Whether the engine says nothing when it is asked for bytes.
    pub(super) fn holds_bodies(&self, holds_bodies: bool) {
        self.faults.lock().holds_bodies = holds_bodies;
    }

    /// Its primary is found to say nothing any more.
    pub(super) fn is_silent(&self) {
        self.silence.of(&0).is_silent();
    }

    /// The session of a lane is over.
    pub(super) fn gives_up(&self, lane: usize) {
        self.links[lane].give_up();
    }

    /// What holds the sessions of a lane is gone.
    pub(super) fn nobody_drives(&self, lane: usize) {
        self.drivers[lane].abort();
    }

    /// How often it was asked for any.
    pub(super) fn bodies_asked(&self) -> usize {
        self.faults.lock().bodies_asked
    }

    /// What is known of a segment.
    pub(super) fn described() -> Bytes {
        let described = DescribedShared {
            kind: Kind::Segment,
            content_type: HeaderValue::from_static("video/mp2t"),
            content_encoding: None,
            cache_control: None,
            target_duration: None,
            facts: None,
            took: Duration::ZERO,
            replaces: Replaces::Nothing,
            continuity: None,
            told: None,
            stored: None,
        };
        described.write()
    }

    /// Has an object committed, or removed, as one that goes below: its version.
    pub(super) async fn commit(&self, lane: usize, name: &str, body: Option<&'static [u8]>, described: Bytes) -> Version {
        let expires = self.store.0.clock.now() + 3_600_000;
        let object = body.map(|body| SharedObject {
            etag: crate::store::hash::of_body(body),
            length: body.len() as u64,
            is_bare: false,
            expires,
            described,
        });
        let body = SharedBody { bytes: Bytes::from_static(body.unwrap_or_default()), travels: false };
        let (name, expected) = (ObjectName::from(name), Precondition::Anything);
        let wish = Wish { name, expected, object, body, goes_below: true };
        match self.store.0.lanes[lane].commit(UploadId(self.store.upload().0), wish).await {
            Decision::Done(version) => version,
            decision => panic!("{decision:?}"),
        }
    }

    /// What is known of a name.
    pub(super) fn known(&self, lane: usize, name: &str) -> Option<Indexed> {
        self.store.0.lanes[lane].known(name)
    }
}
