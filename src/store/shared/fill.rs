//! An index that is empty, as all copies of it have died, gets back what the bucket below has.
//!
//! That an index has all of a namespace's bucket is said in it, as an object of the lane ([`super::lane::whole`]): it goes where the index
//! goes, is lost with it, and is asserted with it, at last. Where it is not said, what the index does not have is not known: nobody is told that it
//! is not there. Where a term has begun without all who were members, what these alone knew may be missing: then it has to be said anew.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use super::bucket::SharedBucket;
use super::commit::Wish;
use super::described::{DescribedShared, Replaces};
use super::engine::packed;
use super::errands::BucketErrand;
use super::index::REMEMBERED;
use super::lane::whole;
use super::share::{COMMIT_WITHIN, SharedStore};
use super::texts::FOR_GOOD;
use super::{Decision, Indexed, ObjectName, Precondition, SharedBody, SharedObject, UploadId, Version};
use crate::model::id::Namespace;
use crate::store::cold::{Attributes, Cold as _, ColdError, ListedObject};

/// How often it is looked whether anything is missing.
const LOOK: Duration = Duration::from_millis(250);
/// How long after a listing that has failed it is listed again: after as long as it took too, and after twice that each time, up to the longest.
const AGAIN: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(10);
/// So many objects may fail in a listing that goes on.
const MOST_FAILED: usize = 16;
/// So many go into one call.
const PART: usize = 256;
/// How long the engine may take for one, and for how long one is gathered: what is removed meanwhile is remembered for longer.
const ANSWER: Duration = Duration::from_secs(10);
const GATHERED: Duration = Duration::from_secs(30);
/// What has waited for longer is not told any more.
const OLDEST: Duration = Duration::from_secs(60);
const _: () = assert!(OLDEST.as_secs() + ANSWER.as_secs() <= REMEMBERED / 1_000 * 2 / 3);

type BucketListing = mpsc::Receiver<Result<ListedObject, ColdError>>;

/// Fills the index from one namespace's bucket, each time that it has to be. Ends when it is dropped.
pub(super) async fn fill(store: SharedStore, bucket: Arc<SharedBucket>) {
    let mut rest = AGAIN;
    loop {
        for lane in &store.0.lanes {
            lane.opened().await;
        }
        bucket.metrics.waiting_changes.set(store.own_waiting(&bucket.namespace) as u64);
        if store.is_all_whole(&bucket.namespace) {
            bucket.prove().await;
            sleep(LOOK).await;
            continue;
        }
        // Others see the same: who is first does it for all.
        let others = store.members().saturating_sub(1);
        if others > 0 {
            let turn = store.upload().0 >> 64;
            sleep(LOOK * u32::try_from(turn % 4).unwrap_or_default()).await;
            if store.is_all_whole(&bucket.namespace) {
                continue;
            }
        }
        let began = Instant::now();
        if fill_once(&store, &bucket).await {
            rest = AGAIN;
        } else {
            sleep(rest.max(began.elapsed())).await;
            rest = (rest * 2).min(LONGEST);
        }
    }
}

/// Whether it was done.
async fn fill_once(store: &SharedStore, bucket: &SharedBucket) -> bool {
    let namespace = &bucket.namespace;
    let listed = list(store, bucket).await;
    bucket.note(listed.as_ref().map(drop));
    let objects = match listed {
        Ok(Some(objects)) => objects,
        Ok(None) => return false,
        Err(error) => {
            tracing::debug!(%namespace, %error, "what the durable tier has can't be listed");
            return false;
        }
    };
    for lane in &store.0.lanes {
        if lane.is_whole(namespace.as_str()) {
            continue;
        }
        let object = SharedObject { etag: 0, length: 0, is_bare: false, expires: FOR_GOOD, described: Bytes::new() };
        let (name, expected, body) = (whole(namespace.as_str()), Precondition::Anything, SharedBody::default());
        let wish = Wish { name, expected, object: Some(object), body, goes_below: false };
        let said = timeout(COMMIT_WITHIN, lane.commit(UploadId(store.upload().0), wish)).await;
        if !matches!(said, Ok(Decision::Done(_))) {
            return false;
        }
    }
    tracing::info!(%namespace, objects, "what the durable tier has is known to all nodes");
    true
}

/// Has the index take note of all that the bucket has: how many objects. `None`, where the engine does not take it.
async fn list(store: &SharedStore, bucket: &SharedBucket) -> Result<Option<usize>, ColdError> {
    take_note(store, &bucket.namespace, bucket.cloud().await?.list()).await
}

/// The same of a listing.
async fn take_note(store: &SharedStore, namespace: &Namespace, mut listing: BucketListing) -> Result<Option<usize>, ColdError> {
    let mut parts: Vec<ListedPart> = store.0.lanes.iter().map(|_| ListedPart::default()).collect();
    let (mut objects, mut failed, mut first_error) = (0, 0, None);
    loop {
        for (number, part) in parts.iter_mut().enumerate() {
            if part.is_due() && !part.tell(store, number).await {
                return Ok(None);
            }
        }
        // It may be slow.
        let Ok(listed) = timeout(GATHERED / 8, listing.recv()).await else { continue };
        let Some(listed) = listed else { break };
        let ListedObject { key, attributes } = match listed {
            Ok(listed) => listed,
            // One that is damaged or of a later release is left alone.
            Err(ColdError::Damaged(_) | ColdError::Later(_) | ColdError::Unfit(_)) => continue,
            // What can be known is, until it is listed again.
            Err(error) if failed < MOST_FAILED => {
                failed += 1;
                first_error.get_or_insert(error);
                continue;
            }
            Err(error) => return Err(error),
        };
        let Some(found) = attributes.and_then(|attributes| indexed(&attributes)) else { continue };
        objects += 1;
        let (_, number, name) = store.place(namespace, &key);
        parts[number].since.get_or_insert_with(Instant::now);
        parts[number].found.push((name, found));
    }
    for (number, part) in parts.iter_mut().enumerate() {
        if !part.tell(store, number).await {
            return Ok(None);
        }
    }
    first_error.map_or(Ok(Some(objects)), Err)
}

/// What was listed of one lane and is to be told to the engine.
#[derive(Default)]
struct ListedPart {
    found: Vec<(ObjectName, Indexed)>,
    /// When the first of it was listed.
    since: Option<Instant>,
}

impl ListedPart {
    fn is_due(&self) -> bool {
        self.found.len() >= PART || self.since.is_some_and(|since| since.elapsed() >= GATHERED)
    }

    /// Whether the engine has it now.
    async fn tell(&mut self, store: &SharedStore, number: usize) -> bool {
        let Self { found, since } = std::mem::take(self);
        match since {
            Some(since) if since.elapsed() > OLDEST => false,
            Some(_) => tell(store, number, found).await,
            None => true,
        }
    }
}

/// Tells the engine; whether it has it now.
async fn tell(store: &SharedStore, number: usize, found: Vec<(ObjectName, Indexed)>) -> bool {
    let lane = &store.0.lanes[number];
    let newest = found.iter().map(|(_, found)| found.version).max().unwrap_or_default();
    let outlasts = |(name, found): &&(ObjectName, Indexed)| lane.known(name).is_some_and(|known| known.outlasts(found));
    let outlasting = found.iter().filter(outlasts).count();
    if outlasting > 0 {
        tracing::warn!(
            objects = outlasting,
            "the durable tier has older versions of objects that are at the engine alone, from before it was below: they do not take their place"
        );
    }
    let told = async {
        // What is committed from now on is to be newer than all that is there.
        while !lane.rise_above(newest) {
            lane.opened().await;
        }
        lane.run(BucketErrand::Fill { found }).await
    };
    matches!(timeout(ANSWER, told).await, Ok(Some(_)))
}

/// What the index is to have of an object in the bucket.
fn indexed(attributes: &Attributes) -> Option<Indexed> {
    // What a server by itself has put there is older than all.
    let version = attributes.version.map_or(Some(Version::default()), |mark| packed::read_version(&mark.0))?;
    let described = DescribedShared {
        kind: attributes.kind,
        content_type: attributes.content_type.clone(),
        content_encoding: attributes.content_encoding.clone(),
        cache_control: attributes.cache_control.clone(),
        target_duration: attributes.target_duration,
        facts: attributes.facts.clone(),
        took: Duration::ZERO,
        replaces: Replaces::Nothing,
        continuity: attributes.continuity.clone(),
        told: None,
        stored: None,
    };
    let object = SharedObject {
        etag: attributes.hash,
        length: attributes.length,
        is_bare: true,
        expires: attributes.expires.millis(),
        described: described.write(),
    };
    Some(Indexed { version, decided: attributes.modified.millis(), is_kept: true, object: Some(object) })
}

impl SharedStore {
    /// How many changes this node is to bring to the bucket of a namespace.
    pub(super) fn own_waiting(&self, namespace: &Namespace) -> usize {
        let prefix = format!("{namespace}/");
        self.0.own_writes.iter().map(|own| own.count(&prefix)).sum()
    }

    /// Whether the index has all that the bucket of a namespace has, where there is one.
    pub(super) fn is_all_whole(&self, namespace: &Namespace) -> bool {
        let mut lanes = self.0.lanes.iter();
        self.0.buckets.of(namespace).is_none() || lanes.all(|lane| lane.is_whole(namespace.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::rig::NodeRig;
    use super::*;
    use crate::model::clock::Clock;
    use crate::model::id::Key;
    use crate::model::kind::Kind;
    use crate::model::meta::Meta;
    use http::HeaderValue;

    fn listed(key: &str, clock: &Clock) -> Result<ListedObject, ColdError> {
        let meta = Meta::plain(Kind::Segment, HeaderValue::from_static("x"), clock, Duration::from_secs(3_600));
        let attributes = Some(Attributes::of(&Bytes::from_static(b"bytes"), &meta, clock));
        Ok(ListedObject { key: Key::parse(key).unwrap(), attributes })
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_slow_listing_finds_is_told_long_before_it_ends() {
        let clock = Clock::manual();
        let (rig, namespace) = (NodeRig::start(&clock).await, Namespace::parse("n").unwrap());
        let (to, listing) = tokio::sync::mpsc::channel(9);
        let (store, of) = (rig.store.clone(), namespace.clone());
        let noted = tokio::spawn(async move { take_note(&store, &of, listing).await });
        to.send(listed("a/1.ts", &clock)).await.unwrap();
        sleep(GATHERED + ANSWER).await;
        let knows = |key: &str| rig.store.has(&namespace, &Key::parse(key).unwrap());
        assert!(knows("a/1.ts"), "while it is still being listed");
        to.send(listed("a/2.ts", &clock)).await.unwrap();
        drop(to);
        assert_eq!(noted.await.unwrap(), Ok(Some(2)));
        sleep(Duration::from_secs(1)).await;
        assert!(knows("a/2.ts"));
    }

    #[tokio::test(start_paused = true)]
    async fn where_one_object_fails_the_others_are_known_all_the_same() {
        let clock = Clock::manual();
        let (rig, namespace) = (NodeRig::start(&clock).await, Namespace::parse("n").unwrap());
        let (to, listing) = tokio::sync::mpsc::channel(99);
        let failed = || Err(ColdError::Unavailable("one object".to_owned()));
        for listed in [listed("a/1.ts", &clock), failed(), listed("a/2.ts", &clock)] {
            to.send(listed).await.unwrap();
        }
        drop(to);
        assert_eq!(take_note(&rig.store, &namespace, listing).await.err(), failed().err(), "it is listed again");
        sleep(Duration::from_secs(1)).await;
        for key in ["a/1.ts", "a/2.ts"] {
            assert!(rig.store.has(&namespace, &Key::parse(key).unwrap()), "{key}");
        }
        let (to, listing) = tokio::sync::mpsc::channel(99);
        for _ in 0..=MOST_FAILED {
            to.send(failed()).await.unwrap();
        }
        assert_eq!(
            take_note(&rig.store, &namespace, listing).await.err(),
            failed().err(),
            "it is given up while it is being listed"
        );
    }
}
