//! All lanes of a node, and the objects in them: what the house knows of what nodes share.

use std::collections::HashMap;
use std::hash::BuildHasher as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ahash::RandomState;
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{Notify, OnceCell};
use tokio::time::{Instant, timeout};

use super::bucket::SharedBuckets;
use super::budget::SharedBudgets;
use super::changes::{KnownShared, SharedFollower, Teller, UploadNumber, known};
use super::commit::Wish;
use super::described::DescribedShared;
use super::driver::Driver;
use super::engine::LaneNumber;
use super::engine::valkey::{Valkey, ValkeyAddress};
use super::handle::LaneHandle;
use super::lane::Lane;
use super::links::{BodySource, Links};
use super::members::Members;
use super::own_writes::OwnWrites;
use super::peers::Peers;
use super::roster::{NodeIdentity, NodeRoster};
use super::safeguards::Safeguards;
use super::silence::Silence;
use super::time::EngineClock;
use super::{Decision, Node, ObjectName, Precondition, SharedBody, SharedObject, UploadId, Version};
use crate::metrics::{ClusterMetrics, SharedRefusal};
use crate::model::clock::{Clock, Moment, WallTime};
use crate::model::id::{Key, Namespace};
use crate::store::StoreError;
use crate::store::hash;

/// How many lanes there are. All nodes have to agree on it, and what is at the engine was laid out by it.
pub(super) const LANES: LaneNumber = 12;
/// How long a read waits until what is known here is fresh.
pub(super) const FRESH_WITHIN: Duration = Duration::from_secs(3);
/// How long where an older version does no harm, and until when that is.
const RECENT_WITHIN: Duration = Duration::from_millis(150);
const STALE_MAX: Duration = Duration::from_secs(5);
/// How long a write waits for its decision.
pub const COMMIT_WITHIN: Duration = Duration::from_secs(8);
/// A body up to this many bytes goes with the journal, where every node needs it.
const TRAVELS: usize = 64 << 10;
/// A renewal that would gain less than an eighth of what is left is not asked for.
const WORTH: u64 = 8;

/// What nodes share, as one of them has it. A cheap handle.
#[derive(Clone, Debug)]
pub struct SharedStore(pub(super) Arc<Sharing>);

#[derive(Debug)]
pub(super) struct Sharing {
    pub(super) engine: Arc<Valkey>,
    /// Copies of each lane, the primary among them.
    copies: usize,
    pub(super) lanes: Vec<Arc<LaneHandle>>,
    pub(super) clock: Arc<EngineClock>,
    pub(super) roster: Arc<NodeRoster>,
    pub(super) metrics: Arc<ClusterMetrics>,
    pub(super) budgets: Arc<SharedBudgets>,
    pub(super) buckets: Arc<SharedBuckets>,
    /// What this node has to bring there, of each lane.
    pub(super) own_writes: Vec<OwnWrites>,
    pub(super) keeps: OnceLock<()>,
    pub(super) follower: OnceLock<Arc<dyn SharedFollower>>,
    pub(super) bodies: OnceLock<Vec<Arc<dyn BodySource>>>,
    /// What tells uploads of this process from all others, and those apart.
    uploads: (u64, AtomicU64),
    pub(super) flights: Mutex<HashMap<(ObjectName, Version), BodyFlight, RandomState>>,
    pub(super) peers: OnceLock<Arc<dyn Peers>>,
    /// Told when a text has changed.
    pub(super) text_news: Arc<Notify>,
}

/// A body on its way, for all who want it.
type BodyFlight = Arc<OnceCell<Option<Bytes>>>;

/// Whether what is known here is all that was answered before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// It is.
    Fresh,
    /// It was some seconds ago.
    Recent,
}

/// What a write asks of the version that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpectedShared {
    /// Nothing.
    Anything,
    /// That there is none.
    Nothing,
    /// That it has these bytes, by their hash.
    Bytes(u128),
}

/// A version that is to be the object.
#[derive(Clone, Debug)]
pub struct NewVersion {
    /// Its bytes.
    pub body: Bytes,
    /// Their hash, of 128 bits.
    pub hash: u128,
    /// When it is to expire.
    pub expires: Moment,
    /// What else is known of it.
    pub described: DescribedShared,
}

/// What became of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SharedOutcome {
    /// It is in force, and has been taken up here.
    Done,
    /// What it expects is not so.
    Unexpected,
    /// The engine has no room.
    NoRoom,
}

impl SharedStore {
    /// Nothing is asked of the engine before [`SharedStore::start`]. `without`: a rule of the protocol that a test takes out.
    #[must_use]
    pub fn new(
        address: &ValkeyAddress,
        identity: &NodeIdentity,
        clock: Clock,
        metrics: &Arc<ClusterMetrics>,
        without: &str,
    ) -> Self {
        let safeguards = Safeguards::without_named(without);
        let engine = Arc::new(Valkey::new(address));
        let clock = Arc::new(EngineClock::new(clock));
        let own = std::hash::RandomState::new().hash_one((&identity.name, clock.own().now()));
        let node = identity.to_node(own);
        // Where all was lost, what is committed is newer all the same than what other nodes and buckets have of before, as far as this machine's
        // clock was not set back.
        let floor = u32::try_from(clock.own().wall().seconds()).unwrap_or_default();
        let lanes = (0..LANES).map(|number| {
            let mut lane = Lane::new(Node::clone(&node), Members::new([Node::clone(&node)]), address.copies, safeguards);
            lane.set_floor(floor);
            Arc::new(LaneHandle::new(number, lane, Arc::clone(&clock)))
        });
        Self(Arc::new(Sharing {
            engine,
            copies: address.copies,
            lanes: lanes.collect(),
            clock,
            roster: Arc::new(NodeRoster::new(&node)),
            metrics: Arc::clone(metrics),
            budgets: Arc::default(),
            buckets: Arc::default(),
            own_writes: (0..LANES).map(|_| OwnWrites::default()).collect(),
            keeps: OnceLock::new(),
            follower: OnceLock::new(),
            bodies: OnceLock::new(),
            uploads: (own, AtomicU64::new(0)),
            flights: Mutex::default(),
            peers: OnceLock::new(),
            text_news: Arc::default(),
        }))
    }

    /// Begins to share: what changes is told to this one from now on. Once.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub fn start(&self, follower: &Arc<dyn SharedFollower>) {
        let silence = Arc::new(Silence::new());
        let _ = self.0.follower.set(Arc::clone(follower));
        let buckets = Arc::clone(&self.0.buckets);
        let goes_below: Arc<dyn Fn(&str) -> bool + Send + Sync> = Arc::new(move |name| buckets.of_name(name).is_some());
        let mut bodies: Vec<Arc<dyn BodySource>> = Vec::new();
        for handle in &self.0.lanes {
            let links = Arc::new(Links::new(handle.number, Arc::clone(&self.0.engine)));
            let source: Arc<dyn BodySource> = Arc::<Links<Valkey>>::clone(&links);
            bodies.push(source);
            let (clock, text_news) = (Arc::clone(&self.0.clock), Arc::clone(&self.0.text_news));
            let budgets = Arc::clone(&self.0.budgets);
            let goes_below = Arc::clone(&goes_below);
            let taker = Arc::new(Teller { clock, follower: Arc::clone(follower), text_news, budgets, goes_below });
            let (handle, engine) = (Arc::clone(handle), Arc::clone(&self.0.engine));
            let (roster, metrics) = (Arc::clone(&self.0.roster), Arc::clone(&self.0.metrics));
            let (silence, copies) = (Arc::clone(&silence), self.0.copies / 2);
            tokio::spawn(Driver { handle, engine, links, taker, roster, silence, metrics, copies }.drive());
        }
        let _ = self.0.bodies.set(bodies);
    }

    pub(super) fn place(&self, namespace: &Namespace, key: &Key) -> (&LaneHandle, usize, ObjectName) {
        let folder = key.as_str().split_once('/').map_or("", |(folder, _)| folder);
        let stream = format!("{namespace}/{folder}");
        let number = usize::try_from(hash::of_part(stream.as_bytes()) % u64::from(LANES)).unwrap_or_default();
        (&self.0.lanes[number], number, ObjectName::from(format!("{namespace}/{key}")))
    }

    /// Waits until what is known here of an object is all that was answered before, on whichever node. `may_be_recent`: where the engine
    /// does not answer, what was known some seconds ago will do. Cancel-safe.
    ///
    /// # Errors
    /// [`StoreError::Unshared`].
    pub async fn fresh(&self, namespace: &Namespace, key: &Key, may_be_recent: bool) -> Result<Freshness, StoreError> {
        let (lane, _, name) = self.place(namespace, key);
        let now = self.0.clock.own().now();
        let is_recent = may_be_recent && lane.confirmed().is_some_and(|at| now.since(at) <= STALE_MAX);
        let within = if is_recent { RECENT_WITHIN } else { FRESH_WITHIN };
        match timeout(within, lane.fresh(&name)).await {
            Ok(()) => Ok(Freshness::Fresh),
            Err(_) if is_recent => Ok(Freshness::Recent),
            Err(_) => {
                self.0.metrics.count_refused(SharedRefusal::Read);
                Err(StoreError::Unshared)
            }
        }
    }

    /// What the engine's clock shows, as this node reckons it.
    #[must_use]
    pub fn wall(&self) -> WallTime {
        WallTime::from_millis(self.0.clock.now())
    }

    /// The live version of an object, as far as it is known here.
    #[must_use]
    pub fn known(&self, namespace: &Namespace, key: &Key) -> Option<KnownShared> {
        let (lane, _, name) = self.place(namespace, key);
        let indexed = lane.known(&name)?;
        indexed.live(self.0.clock.now())?;
        Some(known(&indexed, &self.0.clock)?.0)
    }

    /// All live versions in a namespace, as far as they are known here.
    pub(super) fn all(&self, namespace: &Namespace) -> Vec<(Key, KnownShared)> {
        let (now, prefix) = (self.0.clock.now(), format!("{namespace}/"));
        let mut all = Vec::new();
        for (name, indexed) in self.0.lanes.iter().flat_map(|lane| lane.below(&prefix)) {
            let key = name.strip_prefix(&prefix).and_then(|key| Key::parse(key).ok());
            let known = indexed.live(now).and_then(|_| known(&indexed, &self.0.clock));
            all.extend(key.zip(known.map(|(known, _)| known)));
        }
        all
    }

    /// Whether there is a live version, as far as is known here.
    #[must_use]
    pub fn has(&self, namespace: &Namespace, key: &Key) -> bool {
        let (lane, _, name) = self.place(namespace, key);
        lane.known(&name).is_some_and(|indexed| indexed.live(self.0.clock.now()).is_some())
    }

    /// Whether that version still stands, as far as is known here.
    #[must_use]
    pub fn stands(&self, namespace: &Namespace, key: &Key, known: &KnownShared) -> bool {
        let (lane, _, name) = self.place(namespace, key);
        lane.known(&name).is_some_and(|indexed| indexed.version == known.version && indexed.object.is_some())
    }

    /// A number for an upload.
    #[must_use]
    pub fn upload(&self) -> UploadNumber {
        let (own, count) = &self.0.uploads;
        UploadNumber(u128::from(*own) << 64 | u128::from(count.fetch_add(1, Ordering::Relaxed)))
    }

    /// Waits for a write's turn at this node, as long as a write waits at all, and `gate` more: so long another one may wait in its turn for the
    /// segments that it lists. Hands over the turn, and how much time is left to the write then. Cancel-safe, where the wait for the turn is.
    ///
    /// # Errors
    /// [`StoreError::Unshared`]: it had no turn, and nothing has happened.
    pub async fn in_turn<T>(&self, turn: impl Future<Output = T>, gate: Duration) -> Result<(T, Duration), StoreError> {
        let began = Instant::now();
        let turn = timeout(COMMIT_WITHIN + gate, turn).await.map_err(|_| {
            self.0.metrics.count_refused(SharedRefusal::Write);
            StoreError::Unshared
        })?;
        Ok((turn, (COMMIT_WITHIN + gate).saturating_sub(began.elapsed()).min(COMMIT_WITHIN)))
    }

    /// Makes a version the object, or removes it, for all nodes: within that time. Dropped, it may or may not happen.
    ///
    /// # Errors
    /// [`StoreError::Unshared`]: it may or may not have happened.
    pub async fn commit(
        &self,
        (namespace, key): (&Namespace, &Key),
        upload: UploadNumber,
        expected: ExpectedShared,
        new: Option<NewVersion>,
        within: Duration,
    ) -> Result<SharedOutcome, StoreError> {
        let (lane, number, name) = self.place(namespace, key);
        let goes_below = self.0.buckets.of(namespace).is_some();
        let expected = match expected {
            ExpectedShared::Anything => Precondition::Anything,
            ExpectedShared::Nothing => Precondition::Absence,
            ExpectedShared::Bytes(hash) => Precondition::OneOf(vec![hash]),
        };
        let (object, body) = match new {
            None => (None, SharedBody::default()),
            Some(NewVersion { body, hash, expires, described }) => {
                let travels = described.kind.is_rewritten() && body.len() <= TRAVELS;
                let (length, described, expires) = (body.len() as u64, described.write(), self.0.clock.at(expires));
                (
                    Some(SharedObject { etag: hash, length, is_bare: false, expires, described }),
                    SharedBody { bytes: body, travels },
                )
            }
        };
        let wish = Wish { name: ObjectName::clone(&name), expected, object, body, goes_below };
        let began = self.0.clock.own().now();
        let decided = timeout(within, lane.commit(UploadId(upload.0), wish)).await;
        self.0.metrics.committed(self.0.clock.own().now().since(began));
        match decided {
            Ok(Decision::Done(_) | Decision::Absent) => {
                if goes_below {
                    self.0.own_writes[number].add(name, began);
                }
                self.keep_to_budget(namespace, false);
                Ok(SharedOutcome::Done)
            }
            Ok(Decision::Unexpected) => Ok(SharedOutcome::Unexpected),
            Ok(Decision::NoRoom) => {
                self.keep_to_budget(namespace, true);
                self.0.metrics.count_refused(SharedRefusal::Full);
                Ok(SharedOutcome::NoRoom)
            }
            Err(_) => {
                self.0.metrics.count_refused(SharedRefusal::Write);
                Err(StoreError::Unshared)
            }
        }
    }

    /// Lets objects live until then at least, on all nodes, where that is worth it. Not waited for.
    pub fn renew<'a>(&self, namespace: &Namespace, keys: impl IntoIterator<Item = &'a Key>, until: Moment) {
        let (now, until) = (self.0.clock.now(), self.0.clock.at(until));
        for key in keys {
            let (lane, _, name) = self.place(namespace, key);
            let Some(indexed) = lane.known(&name) else { continue };
            let Some(object) = indexed.live(now) else { continue };
            let is_worth_it = (object.expires - now) * WORTH < until.saturating_sub(now) * (WORTH - 1);
            if is_worth_it {
                lane.renew([(name, indexed.version, until)]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::rig::NodeRig;
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_write_waits_for_its_turn_no_longer_than_for_its_decision() {
        let rig = NodeRig::start(&Clock::manual()).await;
        let last = async { tokio::time::sleep(COMMIT_WITHIN - Duration::from_secs(1)).await };
        let ((), left) = rig.store.in_turn(last, Duration::ZERO).await.unwrap();
        assert_eq!(left, Duration::from_secs(1), "of what it waits in all");
        let never = rig.store.in_turn(std::future::pending::<()>(), Duration::ZERO).await;
        assert!(matches!(never, Err(StoreError::Unshared)), "{never:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn terms_begin_beyond_all_that_began_before_the_node() {
        let clock = Clock::manual();
        let began = u32::try_from(clock.wall().seconds()).unwrap();
        let rig = NodeRig::start(&clock).await;
        let version = rig.commit(0, "n/a.ts", Some(b"x"), NodeRig::described()).await;
        assert_eq!(version.term.number, began + 1);
    }
}
