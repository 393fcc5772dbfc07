//! Brings to the bucket below what waits for it: this node's own writes at once, and what has waited for long whoever's it was, as the node that
//! had it committed has died, or failed.
//!
//! Each is claimed at the engine first. While a claim stands nobody else writes or removes that object in the bucket: the claim lasts for longer
//! than a request of its holder can be under way there. When a term begins, claims of the one before may be lost: nothing is granted then for
//! as long as requests of it may be under way. Of what a node has claimed again after it had failed, each claim stands as long: that the later
//! one has come to its end says nothing of what was sent under the earlier. So a removal, which has no condition, never takes away what came after it, and what was removed
//! does not come back by a late write. A write has its [condition](crate::store::cold::cloud::BucketWrite) besides.
//!
//! It rests on one thing about time: that a request is over at the bucket soon after its sender has given it up, which he does [`WITHIN`] so long of
//! having claimed it, or [`REMOVED_WITHIN`]. A copy of the engine that has not heard of a removal, where nobody is left who could tell it, has the
//! object still: in the bucket nothing is left of what was removed.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::bucket::{REMOVED_WITHIN, SharedBucket};
use super::changes::{SharedName, known};
use super::engine::packed;
use super::errands::BucketErrand;
use super::share::SharedStore;
use super::{BucketClaim, ClaimEnd, ClaimTimes, ObjectName, Reply};
use crate::model::clock::{Moment, WallTime};
use crate::store::cold::cloud::{BucketWrite, BucketWriteEnd};
use crate::store::cold::{Attributes, ColdError, VersionMark};

/// How long a claim stands, and how much of that its holder has.
const CLAIMED: Duration = Duration::from_secs(11);
const WITHIN: Duration = Duration::from_secs(8);
/// What has waited for so long is whoever's.
const ORPHANED: Duration = Duration::from_secs(10);
/// So long after a term has begun nothing is put: removals of the one before are over then.
const PUT_AFTER: Duration = Duration::from_secs(5);
const _: () = assert!(REMOVED_WITHIN.as_millis() < PUT_AFTER.as_millis() && PUT_AFTER.as_millis() < CLAIMED.as_millis());
/// So many are claimed at a time.
const AT_ONCE: usize = 8;
/// With less time left nothing is begun.
const LEAST: Duration = Duration::from_millis(500);
/// How often who was not given a claim asks again, and how often it is looked for what others have left.
const AGAIN: Duration = Duration::from_millis(250);
const LOOK: Duration = Duration::from_secs(2);
/// How long the engine may take for an answer.
const ANSWER: Duration = Duration::from_secs(5);

/// In milliseconds.
const fn millis(span: Duration) -> u64 {
    span.as_secs() * 1_000 + span.subsec_millis() as u64
}

/// As the engine is told.
const TIMES: ClaimTimes = ClaimTimes {
    claimed: millis(CLAIMED),
    orphaned: millis(ORPHANED),
    put_after: millis(PUT_AFTER),
    removed_after: millis(CLAIMED),
};

/// A job that was claimed.
struct ClaimedWrite {
    claim: BucketClaim,
    /// Whether it was live then.
    is_put: bool,
    /// By then it is given up.
    until: Moment,
}

/// How it went, and whether the bucket was asked for it.
enum JobEnd {
    Asked(ClaimEnd),
    Unasked(ClaimEnd),
}

/// A name is under way as long as this is there.
struct BucketTurn {
    store: SharedStore,
    number: usize,
    name: ObjectName,
}

impl Drop for BucketTurn {
    fn drop(&mut self) {
        self.store.0.own_writes[self.number].end(&self.name);
    }
}

/// Keeps one lane's part of the bucket up to date. Ends when it is dropped.
pub(super) async fn keep(store: SharedStore, number: usize) {
    let Some(own) = store.0.own_writes.get(number) else { return };
    let clock = store.0.clock.own().clone();
    let (mut jobs, mut looked) = (JoinSet::new(), clock.now());
    loop {
        while jobs.try_join_next().is_some() {}
        let now = clock.now();
        let room = AT_ONCE.saturating_sub(jobs.len());
        if !store.0.buckets.has_working() {
            sleep(AGAIN).await;
            continue;
        }
        let is_there = |name: &ObjectName| store.0.buckets.of_name(name).is_some_and(|bucket| !bucket.rests());
        let names = own.take(room, now, is_there);
        let orphans = if now.since(looked) >= LOOK { room - names.len() } else { 0 };
        if names.is_empty() && orphans == 0 {
            let next = own.next().map_or(LOOK, |next| next.since(now).clamp(AGAIN / 5, LOOK));
            tokio::select! {
                () = own.woken.notified() => {}
                _ = jobs.join_next(), if !jobs.is_empty() => {}
                () = sleep(next.min(LOOK)) => {}
            }
            continue;
        }
        let claim = BucketErrand::Claim { times: TIMES, names: names.clone(), orphans: orphans as u64 };
        let claims = match timeout(ANSWER, store.0.lanes[number].run(claim)).await {
            Ok(Some(Reply::Claimed { claims, .. })) => claims,
            _ => Vec::new(),
        };
        // Where there are more they are looked for again at once.
        if orphans > 0 && claims.len() < names.len() + orphans {
            looked = now;
        }
        for name in &names {
            if claims.iter().any(|claim| claim.name == *name) {
                continue;
            }
            if store.waits_for_bucket(number, name) {
                own.add(ObjectName::clone(name), now + AGAIN);
            }
            own.end(name);
        }
        for claim in claims {
            let is_put = claim.indexed.live(store.0.clock.now()).is_some();
            let until = now + if is_put { WITHIN } else { REMOVED_WITHIN };
            if !names.contains(&claim.name) && !own.begin(&claim.name) {
                continue;
            }
            let turn = BucketTurn { store: store.clone(), number, name: ObjectName::clone(&claim.name) };
            let (store, job) = (store.clone(), ClaimedWrite { claim, is_put, until });
            jobs.spawn(async move {
                do_job(store, number, job).await;
                drop(turn);
            });
        }
    }
}

/// Brings to the bucket what was claimed, and says at the engine how it went.
async fn do_job(store: SharedStore, number: usize, job: ClaimedWrite) {
    let BucketClaim { name, number: claim, .. } = &job.claim;
    let Some(bucket) = store.0.buckets.of_name(name) else { return };
    let clock = store.0.clock.own().clone();
    let Ok(_slot) = Arc::clone(&bucket.writes).acquire_owned().await else { return };
    let left = job.until.since(clock.now());
    if left < LEAST {
        // There is much to do, and its turn has not come in time.
        return store.0.own_writes[number].add(ObjectName::clone(name), clock.now() + AGAIN);
    }
    let made = timeout(left, make(&store, number, &bucket, &job)).await;
    let made = made.unwrap_or_else(|_| Err(ColdError::Unavailable("it has no answer in time".to_owned())));
    let namespace = &bucket.namespace;
    let end = match &made {
        Ok(JobEnd::Asked(end)) => {
            if matches!(end, ClaimEnd::Put { .. } | ClaimEnd::Removed) {
                bucket.metrics.written.inc();
            }
            *end
        }
        Ok(JobEnd::Unasked(end)) => *end,
        Err(error @ (ColdError::Unfit(_) | ColdError::Later(_))) => {
            let told = bucket.unfit.lock().once_more(clock.now());
            if let Some(objects) = told {
                tracing::warn!(
                    %namespace,
                    %name,
                    objects,
                    %error,
                    "objects, this one the last, are at the engine only: the durable tier can't hold them"
                );
            }
            bucket.metrics.given_up.inc();
            ClaimEnd::Unfit
        }
        Err(error) => {
            tracing::debug!(%namespace, %name, %error, "can't write to the durable tier");
            bucket.metrics.failed.inc();
            ClaimEnd::Failed
        }
    };
    if !matches!(made, Ok(JobEnd::Unasked(_))) {
        bucket.note(made.as_ref().map(drop));
    }
    let (version, claim) = (job.claim.indexed.version, *claim);
    let settle = BucketErrand::Settle { name: ObjectName::clone(name), version, number: claim, end };
    let settled = timeout(ANSWER, store.0.lanes[number].run(settle)).await;
    let is_told = matches!(settled, Ok(Some(_)));
    // What was never to be there, or has no bytes, is looked at by whoever comes by later, or when there is another version.
    let is_given_up = matches!(end, ClaimEnd::Unfit | ClaimEnd::Missing) && store.stands_as(number, &job.claim);
    if !is_told || end == ClaimEnd::Failed || !is_given_up && store.waits_for_bucket(number, name) {
        store.0.own_writes[number].add(ObjectName::clone(name), clock.now() + AGAIN);
    }
}

async fn make(store: &SharedStore, number: usize, bucket: &SharedBucket, job: &ClaimedWrite) -> Result<JobEnd, ColdError> {
    let BucketClaim { name, indexed, .. } = &job.claim;
    let Some(SharedName { key, .. }) = SharedName::read(name) else {
        return Err(ColdError::Unfit("its name".to_owned()));
    };
    let version = VersionMark(packed::version(indexed.version));
    let Some(object) = indexed.live(store.0.clock.now()) else {
        // It was live when it was claimed: then it is claimed anew.
        if job.is_put {
            return Ok(JobEnd::Unasked(ClaimEnd::Failed));
        }
        return match bucket.remove(&key, BucketWrite::removal(version)).await? {
            BucketWriteEnd::Made(_) => Ok(JobEnd::Asked(ClaimEnd::Removed)),
            BucketWriteEnd::Overtaken | BucketWriteEnd::Unsettled => Ok(JobEnd::Asked(ClaimEnd::Failed)),
        };
    };
    let Some((of, _)) = known(indexed, &store.0.clock) else {
        return Err(ColdError::Later("it was described by a later release".to_owned()));
    };
    let body = match store.body_to_keep(name, number, &of).await {
        Ok(Some(body)) => body,
        // Something newer has come; or nobody has its bytes any more.
        Ok(None) => return Ok(JobEnd::Unasked(ClaimEnd::Missing)),
        Err(_) => return Ok(JobEnd::Unasked(ClaimEnd::Failed)),
    };
    let mut attributes = Attributes::of(&body, &of.meta, &bucket.clock);
    (attributes.version, attributes.expires) = (Some(version), WallTime::from_millis(object.expires));
    match bucket.put(&key, body, &attributes).await? {
        BucketWriteEnd::Made(_) => Ok(JobEnd::Asked(ClaimEnd::Put { expires: object.expires })),
        BucketWriteEnd::Overtaken | BucketWriteEnd::Unsettled => Ok(JobEnd::Asked(ClaimEnd::Failed)),
    }
}

impl SharedStore {
    /// Whether the bucket is to have what stands here, as far as is known here, and has not.
    fn waits_for_bucket(&self, number: usize, name: &ObjectName) -> bool {
        self.0.lanes[number].known(name).is_some_and(|known| !known.is_kept)
    }

    /// Whether what was claimed stands still, as far as is known here.
    fn stands_as(&self, number: usize, claim: &BucketClaim) -> bool {
        self.0.lanes[number].known(&claim.name).is_some_and(|known| known.version == claim.indexed.version)
    }
}

#[cfg(test)]
mod tests {
    use super::super::SharedNamespace;
    use super::super::bucket::{BucketPlace, OpenBucket};
    use super::super::rig::NodeRig;
    use super::*;
    use crate::metrics::{DurableMetrics, Metrics};
    use bytes::Bytes;

    use crate::model::clock::Clock;
    use crate::model::id::{Key, Namespace};
    use crate::store::cold::Cold as _;
    use crate::store::cold::cloud::{Access, Cloud, Location};
    use crate::store::tests::namespace;
    use crate::store::tier::Ack;

    /// A node with a bucket in memory, some time after its terms have begun.
    async fn rig(clock: &Clock) -> (NodeRig, SharedNamespace, DurableMetrics, Cloud) {
        let (rig, name) = (NodeRig::start(clock).await, Namespace::parse("n").unwrap());
        let cloud = Cloud::open(&Location::memory(), &name, &Access::default(), Duration::from_secs(5), clock.clone()).unwrap();
        let metrics = Metrics::new().namespace(&name).durable;
        let to = cloud.clone();
        let open: OpenBucket = Arc::new(move || Ok(to.clone()));
        let below = Some((BucketPlace { url: "memory".to_owned(), open }, Ack::Durable));
        let namespace = SharedNamespace::new(&rig.store, &name, &namespace(), below, metrics.clone());
        rig.store.opened().await;
        clock.advance(2 * CLAIMED);
        (rig, namespace, metrics, cloud)
    }

    /// Time passes, by both clocks.
    async fn pass(clock: &Clock, seconds: u64) {
        for _ in 0..seconds * 4 {
            clock.advance(Duration::from_millis(250));
            sleep(Duration::from_millis(250)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_bucket_never_takes_is_tried_once_and_what_has_no_bytes_seldom() {
        let clock = Clock::manual();
        let (rig, namespace, metrics, cloud) = rig(&clock).await;
        let (lane, name) = (0, "n/a.ts");
        let own = &rig.store.0.own_writes[lane];
        // Of a later release.
        rig.commit(lane, name, Some(b"bytes"), Bytes::from_static(b"?")).await;
        own.add(name.into(), clock.now());
        pass(&clock, 5).await;
        assert_eq!((metrics.given_up.get(), namespace.unwritten()), (1, 0));
        // Its bytes are nowhere.
        rig.is_bodiless(true);
        rig.commit(lane, name, Some(b"bytes"), NodeRig::described()).await;
        own.add(name.into(), clock.now());
        pass(&clock, 30).await;
        assert_eq!((rig.bodies_asked(), metrics.written.get(), namespace.unwritten()), (1, 0, 0));
        // They are found again.
        rig.is_bodiless(false);
        pass(&clock, 150).await;
        assert_eq!(metrics.written.get(), 1);
        assert!(cloud.get(&Key::parse("a.ts").unwrap()).await.unwrap().is_some());
    }
}
