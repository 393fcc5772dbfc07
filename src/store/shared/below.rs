//! What nodes share as what is below a namespace's memory: a read that memory can't answer ends here.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep, timeout};

use super::bucket::{BucketPlace, SharedBucket};
use super::changes::{KnownShared, known};
use super::lost::{LostBodies, LostNews};
use super::share::SharedStore;
use super::{Indexed, Version, fill, keep};
use crate::metrics::DurableMetrics;
use crate::model::clock::Moment;
use crate::model::id::{Key, Namespace};
use crate::store::hot::Follower;
use crate::store::{Ack, ColdHit, Entry, HotNamespace, KeptBelow, StoreError, Want};

/// A part of a body is fetched by itself where the whole is longer than this, in bytes: else the whole is there for the next reader.
const LONG: u64 = 256 << 10;
/// So often a read looks again where what it was about to fetch has been replaced.
const TRIES: usize = 3;
/// How long a write is held for the bucket, as for any tier below.
const ACK_WITHIN: Duration = Duration::from_secs(10);
/// How long a start waits for what the bucket has, and an end for what it takes.
const OPENED_WITHIN: Duration = Duration::from_secs(5);
const CLOSED_WITHIN: Duration = Duration::from_secs(5);
/// How often it is looked.
const LOOK: Duration = Duration::from_millis(25);

/// A namespace that nodes share. A cheap handle.
#[derive(Clone, Debug)]
pub struct SharedNamespace {
    /// All that is shared.
    pub store: SharedStore,
    name: Namespace,
    hot: Weak<HotNamespace>,
    bucket: Option<Arc<SharedBucket>>,
    metrics: DurableMetrics,
    lost: Arc<LostBodies>,
    /// The bucket is not this one's any more.
    has_left: Arc<AtomicBool>,
}

/// Tells a hot store that what leaves it is not lost.
#[derive(Debug)]
struct KeptElsewhere {
    store: SharedStore,
    name: Namespace,
}

impl Follower for KeptElsewhere {
    fn published(&self, _: &Arc<Entry>) {}

    fn removed(&self, _: &Key) {}

    fn keeps(&self, entry: &Entry) -> bool {
        self.store.has(&self.name, &entry.key)
    }
}

impl SharedNamespace {
    /// `below`: the bucket below, where there is one.
    ///
    /// # Panics
    /// With a bucket, outside of a runtime.
    pub(in crate::store) fn new(
        store: &SharedStore,
        name: &Namespace,
        hot: &Arc<HotNamespace>,
        below: Option<(BucketPlace, Ack)>,
        metrics: DurableMetrics,
    ) -> Self {
        hot.set_follower(Arc::new(KeptElsewhere { store: store.clone(), name: name.clone() }));
        if below.is_none() {
            store.0.buckets.come_without(name);
        }
        let bucket = below.map(|(place, ack)| {
            // A namespace that comes back has what was there.
            let new = SharedBucket::new(name.clone(), place, ack, hot.clock().clone(), metrics.clone());
            let (bucket, is_new) = store.0.buckets.come(new);
            bucket.set_ack(ack);
            if is_new {
                store.begin_keeping();
                bucket.is_filled_by(tokio::spawn(fill::fill(store.clone(), Arc::clone(&bucket))).abort_handle());
            }
            bucket
        });
        let (store, name, hot) = (store.clone(), name.clone(), Arc::downgrade(hot));
        Self { store, name, hot, bucket, metrics, lost: Arc::default(), has_left: Arc::default() }
    }

    /// Whether all that there is of an object is known here, so that what is not known is not there. Of what the bucket could not tell when it was
    /// listed, and of what a later release has described, it is not.
    #[must_use]
    pub fn is_whole(&self, key: &Key) -> bool {
        let (lane, _, name) = self.store.place(&self.name, key);
        let (clock, namespace) = (&self.store.0.clock, self.name.as_str());
        let makes_no_sense = |there: &Indexed| there.live(clock.now()).is_some() && known(there, clock).is_none();
        let is_told = || lane.is_whole(namespace) && !lane.left_alone(namespace).may_have(key);
        !lane.known(&name).as_ref().is_some_and(makes_no_sense) && (self.bucket.is_none() || is_told())
    }

    /// The same of all objects.
    #[must_use]
    pub fn is_all_whole(&self) -> bool {
        self.store.is_all_whole(&self.name)
    }

    /// Puts another way to acknowledge in force.
    pub(in crate::store) fn set_ack(&self, ack: Ack) {
        if let Some(bucket) = &self.bucket {
            bucket.set_ack(ack);
        }
    }

    /// Waits until the newest change of this key is in the bucket, if writes are acknowledged by that. Cancel-safe.
    ///
    /// # Errors
    /// [`StoreError::NotDurable`]; so too where what was written has been removed meanwhile.
    pub(in crate::store) async fn settled(&self, key: &Key, is_write: bool) -> Result<(), StoreError> {
        if self.bucket.as_ref().is_none_or(|bucket| bucket.ack() == Ack::Hot) {
            return Ok(());
        }
        let (lane, _, name) = self.store.place(&self.name, key);
        let Some(version) = lane.known(&name).map(|known| known.version) else { return Err(StoreError::NotDurable) };
        let is_kept = timeout(ACK_WITHIN, lane.kept(&name, version, is_write)).await;
        if is_kept == Ok(true) { Ok(()) } else { Err(StoreError::NotDurable) }
    }

    /// What somebody who looks after the server should know. No names in it.
    pub(in crate::store) fn trouble(&self) -> Option<String> {
        let engine = self.store.trouble().map(|(trouble, _)| trouble);
        engine.or_else(|| self.bucket.as_ref()?.trouble())
    }

    /// How many of this node's writes the bucket does not have yet.
    pub(in crate::store) fn unwritten(&self) -> usize {
        if self.bucket.is_some() { self.store.own_waiting(&self.name) } else { 0 }
    }

    /// Waits until it is known what the bucket has, or that it can't be known now. Cancel-safe.
    pub(in crate::store) async fn opened(&self) {
        let Some(bucket) = &self.bucket else { return };
        let known = async {
            while !self.is_all_whole() && !bucket.fails() {
                sleep(LOOK).await;
            }
        };
        let _ = timeout(OPENED_WITHIN, known).await;
    }

    /// Waits until the bucket has what this node is to bring there, as long as it takes any; other nodes bring the rest. Cancel-safe.
    pub(in crate::store) async fn close(&self) {
        let (mut left, mut since) = (usize::MAX, Instant::now());
        while self.unwritten() > 0 && since.elapsed() < CLOSED_WITHIN {
            if self.unwritten() < left {
                (left, since) = (self.unwritten(), Instant::now());
            }
            sleep(LOOK).await;
        }
    }

    /// The namespace has gone, and goes by its bucket no more: for one of its name that comes back its settings count.
    pub(in crate::store) fn leave(&self) {
        if let Some(bucket) = &self.bucket
            && !self.has_left.swap(true, Ordering::Relaxed)
            && self.store.0.buckets.go(bucket)
        {
            let prefix = format!("{}/", self.name);
            self.store.0.own_writes.iter().for_each(|own| own.forget(&prefix));
        }
    }

    /// Whether there is a live version, as far as is known here.
    pub(in crate::store) fn has(&self, key: &Key) -> bool {
        self.store.has(&self.name, key)
    }

    /// Finds an object that is not in memory, as [`crate::store::DurableTier::read`] does. Cancel-safe.
    pub(in crate::store) async fn read(&self, key: &Key, want: impl FnOnce(u64) -> Want) -> Result<Option<ColdHit>, StoreError> {
        let Some(mut known) = self.store.known(&self.name, key) else {
            // Nobody knows, before it is known what the bucket has.
            return if self.is_whole(key) { Ok(None) } else { Err(StoreError::Unreachable) };
        };
        let (mut want, asked) = (want(known.length), known.version);
        for _ in 0..TRIES {
            if let Some(hit) = self.hit(key, &known, &want).await? {
                return Ok(Some(hit));
            }
            // Something newer may have come meanwhile; of which a part that was asked for may be another one.
            let Some(next) = self.store.known(&self.name, key) else { return Ok(None) };
            if next.length != known.length && matches!(want, Want::Part(_)) {
                want = Want::Whole;
            }
            known = next;
        }
        if known.version == asked {
            self.note_lost(key, asked);
            return Err(StoreError::Bodiless);
        }
        // It changes faster than it can be read.
        Err(StoreError::Unshared)
    }

    /// A version is known, and nobody has its bytes: it is counted, and told of.
    fn note_lost(&self, key: &Key, version: Version) {
        let LostNews { is_new, to_tell } = self.lost.add(key, version, self.store.0.clock.own().now());
        if is_new {
            self.metrics.lost_bodiless.inc();
        }
        if let Some(objects) = to_tell {
            tracing::warn!(
                namespace = %self.name,
                objects,
                %key,
                "objects are asked for whose bytes are lost: the engine that the nodes share came back without them, and nobody else has them; \
                 upload them again"
            );
        }
    }

    async fn hit(&self, key: &Key, known: &KnownShared, want: &Want) -> Result<Option<ColdHit>, StoreError> {
        let length = known.length;
        let part: Option<Range<u64>> = match want {
            Want::Nothing => {
                let entry = Arc::new(Entry::new(key.clone(), Bytes::new(), known.meta.clone()).of_unknown_past());
                return Ok(Some(ColdHit { entry, length, part: None }));
            }
            Want::Part(part) if length > LONG && (part.end - part.start) * 2 <= length => Some(part.clone()),
            Want::Part(_) | Want::Whole => None,
        };
        let Some(body) = self.store.body((&self.name, key), known, part.clone()).await? else { return Ok(None) };
        let (hot, meta) = (self.hot.upgrade(), known.meta.clone());
        let entry = match (&part, &hot) {
            (None, Some(hot)) => hot.made(key.clone(), body, meta),
            _ => Entry::new(key.clone(), body, meta),
        };
        let entry = match (&part, hot) {
            (None, Some(hot)) => hot.take_in(entry, || self.store.stands(&self.name, key, known)).entry,
            _ => Arc::new(entry),
        };
        Ok(Some(ColdHit { entry, length, part }))
    }

    /// Shows each object that is known here.
    pub(in crate::store) fn each(&self, mut see: impl FnMut(&Key, &KeptBelow)) {
        for (key, known) in self.store.all(&self.name) {
            see(&key, &kept(&known));
        }
    }

    /// What is known of one.
    pub(in crate::store) fn kept(&self, key: &Key) -> Option<KeptBelow> {
        self.known(key).as_ref().map(kept)
    }

    /// The live version of an object, as far as it is known here.
    #[must_use]
    pub fn known(&self, key: &Key) -> Option<KnownShared> {
        self.store.known(&self.name, key)
    }

    /// Lets objects live until then at least.
    pub fn renew<'a>(&self, keys: impl IntoIterator<Item = &'a Key>, until: Moment) {
        self.store.renew(&self.name, keys, until);
    }
}

impl SharedStore {
    /// Begins to bring to buckets what waits for them. Once.
    fn begin_keeping(&self) {
        if self.0.keeps.set(()).is_err() {
            return;
        }
        for number in 0..self.0.lanes.len() {
            tokio::spawn(keep::keep(self.clone(), number));
        }
    }
}

fn kept(known: &KnownShared) -> KeptBelow {
    let meta = &known.meta;
    KeptBelow { length: known.length, kind: meta.kind, modified: meta.modified, expires: meta.expires }
}

#[cfg(test)]
mod tests {
    use super::super::bucket::OpenBucket;
    use super::super::rig::NodeRig;
    use super::*;
    use crate::metrics::Metrics;
    use crate::model::clock::Clock;
    use crate::store::cold::ColdError;
    use crate::store::tests::namespace;

    /// A bucket that is away.
    fn below(url: &str, ack: Ack) -> Option<(BucketPlace, Ack)> {
        let open: OpenBucket = Arc::new(|| Err(ColdError::Denied("no credentials".to_owned())));
        Some((BucketPlace { url: url.to_owned(), open }, ack))
    }

    fn metrics() -> DurableMetrics {
        Metrics::new().namespace(&Namespace::parse("n").unwrap()).durable
    }

    #[tokio::test(start_paused = true)]
    async fn a_namespace_that_comes_back_goes_by_what_its_settings_say_now() {
        let (rig, name) = (NodeRig::start(&Clock::manual()).await, Namespace::parse("n").unwrap());
        let (store, hot) = (&rig.store, namespace());
        let come = |below| SharedNamespace::new(store, &name, &hot, below, metrics());
        let first = come(below("s3://a", Ack::Hot));
        let of = || store.0.buckets.of(&name);
        // It comes back while the first one is still closing.
        let second = come(below("s3://a", Ack::Durable));
        assert_eq!(of().unwrap().ack(), Ack::Durable);
        first.leave();
        first.leave();
        assert!(of().is_some(), "it is the other one's");
        second.leave();
        assert!(of().is_none());
        // In another place, and without one.
        let third = come(below("s3://a", Ack::Hot));
        let there = Arc::downgrade(&of().unwrap());
        let fourth = come(below("s3://b", Ack::Hot));
        third.leave();
        drop(third);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(of().is_some() && there.upgrade().is_none(), "what filled from that one has ended");
        drop(come(None));
        assert!(of().is_none());
        store.0.own_writes[0].add("n/a.ts".into(), rig.store.0.clock.own().now());
        fourth.leave();
        assert_eq!(fourth.unwritten(), 0, "nobody would bring it there");
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_later_release_has_described_is_not_told_to_be_nowhere() {
        let (rig, name) = (NodeRig::start(&Clock::manual()).await, Namespace::parse("n").unwrap());
        let hot = namespace();
        let namespace = SharedNamespace::new(&rig.store, &name, &hot, None, metrics());
        let key = |key: &str| Key::parse(key).unwrap();
        let (_, lane, _) = rig.store.place(&name, &key("a/1.ts"));
        rig.commit(lane, "n/a/1.ts", Some(b"bytes"), Bytes::from_static(b"?")).await;
        let read = async |of: &str| namespace.read(&key(of), |_| Want::Whole).await.map(|found| found.is_some());
        assert!(matches!(read("a/1.ts").await, Err(StoreError::Unreachable)));
        assert!(matches!(read("a/2.ts").await, Ok(false)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_has_the_bytes_of_is_told_as_what_it_is() {
        let (rig, name) = (NodeRig::start(&Clock::manual()).await, Namespace::parse("n").unwrap());
        let (hot, metrics) = (namespace(), metrics());
        let namespace = SharedNamespace::new(&rig.store, &name, &hot, None, metrics.clone());
        let key = Key::parse("a/1.ts").unwrap();
        let (_, lane, _) = rig.store.place(&name, &key);
        rig.commit(lane, "n/a/1.ts", Some(b"bytes"), NodeRig::described()).await;
        rig.is_bodiless(true);
        for _ in 0..2 {
            let read = namespace.read(&key, |_| Want::Whole).await;
            assert!(matches!(read, Err(StoreError::Bodiless)), "{:?}", read.map(drop));
            assert_eq!(metrics.lost_bodiless.get(), 1, "each once");
        }
        rig.is_bodiless(false);
        assert!(matches!(namespace.read(&key, |_| Want::Whole).await, Ok(Some(_))));
    }
}
