//! The bucket below what nodes share, of one namespace, as one node has it: how it is written and read, and what it suffers from.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use ahash::RandomState;
use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use tokio::sync::{OnceCell, Semaphore};
use tokio::task::{AbortHandle, spawn_blocking};
use tokio::time::timeout;

use super::changes::{KnownShared, SharedName};
use crate::metrics::DurableMetrics;
use crate::model::clock::{Clock, Moment};
use crate::model::id::{Key, Namespace};
use crate::model::seldom::Seldom;
use crate::store::cold::cloud::{BucketAsk, BucketSaid, BucketState, BucketWrite, BucketWriteEnd, Cloud};
use crate::store::cold::{Attributes, Care, Cold as _, ColdError};
use crate::store::tier::Ack;

/// How long a removal may take from when it was claimed. It has no condition: nobody else writes until it is over for sure.
pub(super) const REMOVED_WITHIN: Duration = Duration::from_secs(3);
/// How long a reader waits for the bucket.
const READ_WITHIN: Duration = Duration::from_secs(5);
/// Reads of the bucket at a time, and writes.
const READS_AT_ONCE: usize = 64;
const WRITES_AT_ONCE: usize = 16;
/// What has failed is tried again after that, and then after twice as long, and so on up to the longest.
const FIRST_REST: Duration = Duration::from_millis(250);
const LONGEST_REST: Duration = Duration::from_secs(10);
/// Of so many objects that are rewritten it is remembered in which state they were left.
const MOST_STATES: usize = 4_096;

/// Makes the way to a bucket; blocking.
pub(in crate::store) type OpenBucket = Arc<dyn Fn() -> Result<Cloud, ColdError> + Send + Sync>;

/// Where a bucket is.
#[derive(Clone)]
pub(in crate::store) struct BucketPlace {
    /// As the settings say it.
    pub(in crate::store) url: String,
    /// The way there.
    pub(in crate::store) open: OpenBucket,
}

/// The bucket below one namespace.
pub(in crate::store) struct SharedBucket {
    pub(super) namespace: Namespace,
    place: BucketPlace,
    cloud: OnceCell<Cloud>,
    ack: Mutex<Ack>,
    pub(super) clock: Clock,
    pub(super) metrics: DurableMetrics,
    health: Mutex<BucketHealth>,
    reads: Semaphore,
    pub(super) writes: Arc<Semaphore>,
    /// In which state this node has left what it rewrites.
    states: Mutex<HashMap<Key, BucketState, RandomState>>,
    /// How many go by it: a namespace that has gone does for a while, and one of its name may have come back meanwhile.
    users: AtomicUsize,
    /// What fills the index from it.
    filling: Mutex<Option<AbortHandle>>,
    /// What was said of objects that it can't hold.
    pub(super) unfit: Mutex<Seldom>,
}

#[derive(Debug, Default)]
struct BucketHealth {
    trouble: Option<(Moment, ColdError)>,
    /// Until then nothing is tried.
    rests_until: Option<Moment>,
    rest: Duration,
    has_worked: bool,
}

/// Those of all namespaces that have one.
#[derive(Debug, Default)]
pub(super) struct SharedBuckets(RwLock<HashMap<Namespace, Arc<SharedBucket>, RandomState>>);

impl SharedBuckets {
    /// A namespace has come that has this one: it, or the one that is there already, if it is in the same place; whether it is new.
    pub(super) fn come(&self, new: SharedBucket) -> (Arc<SharedBucket>, bool) {
        let mut buckets = self.0.write();
        let there = buckets.get(&new.namespace).filter(|there| there.place.url == new.place.url).map(Arc::clone);
        let is_new = there.is_none();
        let bucket = there.unwrap_or_else(|| Arc::new(new));
        bucket.users.fetch_add(1, Ordering::Relaxed);
        if is_new && let Some(before) = buckets.insert(bucket.namespace.clone(), Arc::clone(&bucket)) {
            before.end_filling();
        }
        (bucket, is_new)
    }

    /// A namespace has come that has none.
    pub(super) fn come_without(&self, namespace: &Namespace) {
        if let Some(before) = self.0.write().remove(namespace) {
            before.end_filling();
        }
    }

    /// A namespace has gone that had this one; whether no other one of its name has it.
    pub(super) fn go(&self, bucket: &Arc<SharedBucket>) -> bool {
        let mut buckets = self.0.write();
        let is_last = bucket.users.fetch_sub(1, Ordering::Relaxed) == 1;
        if is_last && buckets.get(&bucket.namespace).is_some_and(|there| Arc::ptr_eq(there, bucket)) {
            buckets.remove(&bucket.namespace);
            bucket.end_filling();
        }
        is_last && !buckets.contains_key(&bucket.namespace)
    }

    /// That of a namespace.
    pub(super) fn of(&self, namespace: &Namespace) -> Option<Arc<SharedBucket>> {
        self.0.read().get(namespace).cloned()
    }

    /// Whether there is one that does not fail.
    pub(super) fn has_working(&self) -> bool {
        self.0.read().values().any(|bucket| !bucket.rests())
    }

    /// That of what goes by this name.
    pub(super) fn of_name(&self, name: &str) -> Option<Arc<SharedBucket>> {
        let buckets = self.0.read();
        if buckets.is_empty() {
            return None;
        }
        buckets.get(&SharedName::read(name)?.namespace).cloned()
    }
}

impl std::fmt::Debug for SharedBucket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SharedBucket").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}

impl SharedBucket {
    pub(in crate::store) fn new(
        namespace: Namespace,
        place: BucketPlace,
        ack: Ack,
        clock: Clock,
        metrics: DurableMetrics,
    ) -> Self {
        Self {
            namespace,
            place,
            cloud: OnceCell::new(),
            ack: Mutex::new(ack),
            clock,
            metrics,
            health: Mutex::default(),
            reads: Semaphore::new(READS_AT_ONCE),
            writes: Arc::new(Semaphore::new(WRITES_AT_ONCE)),
            states: Mutex::default(),
            users: AtomicUsize::new(0),
            filling: Mutex::default(),
            unfit: Mutex::default(),
        }
    }

    /// This fills the index from it, for as long as it is there.
    pub(super) fn is_filled_by(&self, filling: AbortHandle) {
        *self.filling.lock() = Some(filling);
    }

    fn end_filling(&self) {
        if let Some(filling) = self.filling.lock().take() {
            filling.abort();
        }
    }

    pub(super) fn ack(&self) -> Ack {
        *self.ack.lock()
    }

    pub(super) fn set_ack(&self, ack: Ack) {
        *self.ack.lock() = ack;
    }

    pub(super) async fn cloud(&self) -> Result<&Cloud, ColdError> {
        let open = || {
            let open = Arc::clone(&self.place.open);
            async {
                let opened = spawn_blocking(move || open()).await;
                opened.unwrap_or_else(|error| Err(ColdError::Unavailable(error.to_string())))
            }
        };
        self.cloud.get_or_try_init(open).await
    }

    /// Puts a version there, unless something newer is there. Dropped, it may or may not happen.
    pub(super) async fn put(&self, key: &Key, body: Bytes, attributes: &Attributes) -> Result<BucketWriteEnd, ColdError> {
        let over = self.states.lock().remove(key);
        let write = BucketWrite::put(attributes.version.unwrap_or_default(), attributes.expires, over);
        let end = self.make(key, write, Some((body, attributes))).await?;
        if let BucketWriteEnd::Made(Some(state)) = &end
            && attributes.kind.is_rewritten()
        {
            let mut states = self.states.lock();
            if states.len() >= MOST_STATES {
                states.clear();
            }
            states.insert(key.clone(), state.clone());
        }
        Ok(end)
    }

    /// Removes what is there, unless it is newer than this version. That nothing newer comes meanwhile is the caller's to see to. Dropped, it
    /// may or may not happen.
    pub(super) async fn remove(&self, key: &Key, write: BucketWrite) -> Result<BucketWriteEnd, ColdError> {
        self.states.lock().remove(key);
        self.make(key, write, None).await
    }

    async fn make(
        &self,
        key: &Key,
        mut write: BucketWrite,
        what: Option<(Bytes, &Attributes)>,
    ) -> Result<BucketWriteEnd, ColdError> {
        let cloud = self.cloud().await?;
        loop {
            let said = match (write.next(), &what) {
                (BucketAsk::Put(over), Some((body, attributes))) => {
                    BucketSaid::Put(cloud.put_over(key, body.clone(), attributes, over.as_ref()).await?)
                }
                (BucketAsk::Delete, _) => {
                    cloud.delete(key, Care::Synced).await?;
                    BucketSaid::Deleted
                }
                (BucketAsk::Find | BucketAsk::Put(_), _) => BucketSaid::Found(cloud.find(key).await?),
            };
            if let Some(end) = write.told(said) {
                return Ok(end);
            }
        }
    }

    /// Reads the bytes of a version, or a part of them; `None`, where the bucket has another one, or none.
    pub(super) async fn read(&self, key: &Key, of: &KnownShared, part: Option<Range<u64>>) -> Result<Option<Bytes>, ColdError> {
        if self.rests() {
            self.metrics.read_refused.inc();
            return Err(ColdError::Unavailable("it has failed, and is asked again in a moment".to_owned()));
        }
        let read = async {
            let _slot = self.reads.acquire().await;
            let cloud = self.cloud().await?;
            let is_it = |attributes: &Attributes| attributes.hash == of.hash && attributes.length == of.length;
            if let Some(part) = part {
                // Parts that are hashed by themselves, around the one that is wanted.
                let around = crate::store::cold::blocks::align(&part, of.length);
                if let Some((attributes, bytes)) = cloud.get_range(key, around.clone()).await?
                    && is_it(&attributes)
                    && attributes.blocks.check(attributes.length, around.start, &bytes) == Some(true)
                {
                    let at = |at: u64| usize::try_from(at - around.start).unwrap_or(usize::MAX).min(bytes.len());
                    return Ok(Some(bytes.slice(at(part.start)..at(part.end))));
                }
                let at = |at: u64, body: &Bytes| usize::try_from(at).unwrap_or(usize::MAX).min(body.len());
                let whole = cloud.get(key).await?.filter(|(attributes, body)| is_it(attributes) && attributes.fits(body));
                return Ok(whole.map(|(_, body)| body.slice(at(part.start, &body)..at(part.end, &body))));
            }
            let whole = cloud.get(key).await?.filter(|(attributes, body)| is_it(attributes) && attributes.fits(body));
            Ok(whole.map(|(_, body)| body))
        };
        let read =
            timeout(READ_WITHIN, read).await.unwrap_or_else(|_| Err(ColdError::Unavailable("it takes too long".to_owned())));
        match &read {
            Ok(Some(_)) => self.metrics.read.inc(),
            Ok(None) => self.metrics.read_absent.inc(),
            Err(_) => self.metrics.read_failed.inc(),
        };
        // That there is no such object is no proof that it works: a HEAD is answered so where the whole bucket is missing.
        if !matches!(read, Ok(None)) {
            self.note(read.as_ref().map(drop));
        }
        read
    }

    /// Keeps all who read waiting, for as long as that is held.
    #[cfg(test)]
    pub(super) async fn hold_reads(&self) -> tokio::sync::SemaphorePermit<'_> {
        let all = u32::try_from(READS_AT_ONCE).unwrap_or(u32::MAX);
        self.reads.acquire_many(all).await.unwrap_or_else(|error| panic!("{error}"))
    }

    /// Whether it has failed, and is let be for a while.
    pub(super) fn rests(&self) -> bool {
        self.health.lock().rests_until.is_some_and(|until| self.clock.now() < until)
    }

    /// Asks it, where it has never answered yet, or has failed: whether it does now.
    pub(super) async fn prove(&self) {
        if self.rests() || self.trouble().is_none() {
            return;
        }
        let asked = async { self.cloud().await?.probe().await };
        self.note(asked.await.as_ref().copied());
    }

    /// Whether it was found to fail.
    pub(super) fn fails(&self) -> bool {
        self.health.lock().trouble.is_some()
    }

    /// Notes how a call of it went; says so in the log when that has changed.
    pub(super) fn note(&self, result: Result<(), &ColdError>) {
        let (now, namespace) = (self.clock.now(), &self.namespace);
        let mut health = self.health.lock();
        match (result, health.trouble.take()) {
            (Ok(()), trouble) => {
                if let Some((since, _)) = trouble {
                    let seconds = now.since(since).as_secs();
                    tracing::info!(%namespace, seconds, "the durable tier works again");
                }
                *health = BucketHealth { has_worked: true, ..BucketHealth::default() };
            }
            // Of one object alone.
            (Err(ColdError::Unfit(_) | ColdError::Damaged(_) | ColdError::Later(_) | ColdError::Unread(_)), trouble) => {
                health.trouble = trouble;
            }
            (Err(error), trouble) => {
                if trouble.is_none() {
                    tracing::warn!(
                        %namespace, %error,
                        "the durable tier fails: new objects are at the engine that nodes share only until it works again"
                    );
                }
                health.trouble = Some(trouble.unwrap_or_else(|| (now, error.clone())));
                health.rest = (health.rest * 2).clamp(FIRST_REST, LONGEST_REST);
                health.rests_until = Some(now + health.rest);
            }
        }
        self.metrics.up.set(u64::from(health.trouble.is_none() && health.has_worked));
    }

    /// What somebody who looks after the server should know, if there is anything. No names in it.
    pub(super) fn trouble(&self) -> Option<String> {
        let health = self.health.lock();
        match &health.trouble {
            Some((since, error)) => {
                let why = match error {
                    ColdError::Full(_) => "there is no space left",
                    ColdError::Denied(_) => "access is refused",
                    _ => "it fails or can't be reached",
                };
                Some(format!("a durable tier takes no writes since {} s: {why}", self.clock.now().since(*since).as_secs()))
            }
            None if !health.has_worked => {
                Some("a durable tier has not answered yet: nothing is kept there, and what was is not known".to_owned())
            }
            None => (self.metrics.later_objects.get() > 0).then(|| {
                "a durable tier has objects of a newer Springhead: they are left alone and answered with 503".to_owned()
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Metrics;
    use crate::model::clock::WallTime;
    use crate::model::kind::Kind;
    use crate::model::meta::Meta;
    use crate::store::cold::VersionMark;
    use crate::store::cold::cloud::{Access, Location};
    use crate::store::shared::Version;
    use http::HeaderValue;

    fn bucket(cloud: Option<&Cloud>, clock: &Clock) -> SharedBucket {
        let namespace = Namespace::parse("n").unwrap();
        let metrics = Metrics::new().namespace(&namespace).durable;
        let cloud = cloud.cloned();
        let open: OpenBucket = Arc::new(move || cloud.clone().ok_or_else(|| ColdError::Denied("no credentials".to_owned())));
        let place = BucketPlace { url: "memory".to_owned(), open };
        SharedBucket::new(namespace, place, Ack::Durable, clock.clone(), metrics)
    }

    fn version(body: &Bytes, number: u8, clock: &Clock) -> (Attributes, KnownShared) {
        let mut meta = Meta::plain(Kind::Playlist, HeaderValue::from_static("x"), clock, Duration::from_secs(60));
        let hash = crate::store::hash::of_body(body);
        (meta.etag, _) = crate::model::meta::validators(&crate::model::meta::etag(hash), meta.modified);
        let mut attributes = Attributes::of(body, &meta, clock);
        (attributes.version, attributes.expires) = (Some(VersionMark([number; 16])), WallTime::from_millis(1 << 42));
        let length = body.len() as u64;
        (attributes, KnownShared { meta, length, hash, version: Version::default(), is_kept: true, is_cold: true })
    }

    #[tokio::test]
    async fn of_two_nodes_the_newer_version_stays_and_is_read_by_that_alone() {
        let (clock, key) = (Clock::manual(), Key::parse("a/p.m3u8").unwrap());
        let namespace = Namespace::parse("n").unwrap();
        let cloud =
            Cloud::open(&Location::memory(), &namespace, &Access::default(), Duration::from_secs(5), clock.clone()).unwrap();
        let (one, other) = (bucket(Some(&cloud), &clock), bucket(Some(&cloud), &clock));
        let body = |number: u8| Bytes::from(vec![number; 300_000]);
        let (old, newer) = (version(&body(1), 1, &clock), version(&body(2), 2, &clock));
        assert!(matches!(one.put(&key, body(1), &old.0).await, Ok(BucketWriteEnd::Made(Some(_)))));
        assert!(matches!(other.put(&key, body(2), &newer.0).await, Ok(BucketWriteEnd::Made(Some(_)))));
        assert_eq!(one.put(&key, body(1), &old.0).await, Ok(BucketWriteEnd::Overtaken));
        assert_eq!(one.read(&key, &newer.1, None).await, Ok(Some(body(2))));
        assert_eq!(one.read(&key, &newer.1, Some(5..9)).await, Ok(Some(body(2).slice(5..9))));
        assert_eq!(one.read(&key, &old.1, None).await, Ok(None), "that one is not there any more");
        let removal = |number| BucketWrite::removal(VersionMark([number; 16]));
        assert_eq!(one.remove(&key, removal(1)).await, Ok(BucketWriteEnd::Overtaken));
        assert_eq!(one.remove(&key, removal(3)).await, Ok(BucketWriteEnd::Made(None)));
        assert_eq!(other.read(&key, &newer.1, None).await, Ok(None));
        // What this node has left in a state that is no more.
        assert!(matches!(other.put(&key, body(2), &newer.0).await, Ok(BucketWriteEnd::Made(Some(_)))));
        assert!(one.trouble().is_none());
        one.note(Err(&ColdError::Unavailable(String::new())));
        clock.advance(LONGEST_REST);
        assert_eq!(one.read(&Key::parse("b").unwrap(), &newer.1, None).await, Ok(None));
        assert!(one.fails(), "a bucket that is missing has no such object either");
        assert_eq!(one.read(&key, &newer.1, None).await, Ok(Some(body(2))));
        assert!(!one.fails());
    }

    #[tokio::test]
    async fn one_that_fails_is_let_be_for_longer_each_time_and_that_is_told() {
        let (clock, key) = (Clock::manual(), Key::parse("a").unwrap());
        let bucket = bucket(None, &clock);
        assert!(bucket.trouble().unwrap().contains("has not answered yet"));
        let (_, known) = version(&Bytes::new(), 1, &clock);
        for rest in [250, 500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000] {
            assert!(matches!(bucket.read(&key, &known, None).await, Err(ColdError::Denied(_))));
            clock.advance(Duration::from_millis(rest - 1));
            assert!(bucket.rests() && matches!(bucket.read(&key, &known, None).await, Err(ColdError::Unavailable(_))));
            clock.advance(Duration::from_millis(1));
            assert!(!bucket.rests());
        }
        assert!(bucket.trouble().unwrap().contains("access is refused"));
        bucket.note(Err(&ColdError::Unfit(String::new())));
        assert!(!bucket.rests(), "of one object alone");
        bucket.note(Ok(()));
        bucket.note(Err(&ColdError::Unread(String::new())));
        assert!(!bucket.rests() && !bucket.fails() && bucket.metrics.up.get() == 1, "so is one that can't be looked at");
        assert!(bucket.trouble().is_none() && !bucket.fails());
    }
}
