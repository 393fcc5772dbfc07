//! An index that is empty, as all copies of it have died, gets back what the bucket below has.
//!
//! That an index has all of a namespace's bucket is said in it, as an object of the lane ([`super::lane::whole`]): it goes where the index
//! goes, is lost with it, and is asserted with it, at last. Where it is not said, what the index does not have is not known: nobody is told that it
//! is not there. Where a term has begun without all who were members, what these alone knew may be missing: then it has to be said anew. What could
//! not be read is said with it ([`super::left_alone`]): a node that starts looks at that once more.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

use super::bucket::SharedBucket;
use super::commit::Wish;
use super::described::{DescribedShared, Replaces};
use super::engine::packed;
use super::errands::BucketErrand;
use super::index::REMEMBERED;
use super::lane::whole;
use super::left_alone::FoundUnread;
use super::share::{COMMIT_WITHIN, SharedStore};
use super::texts::FOR_GOOD;
use super::{Decision, Indexed, ObjectName, Precondition, SharedBody, SharedObject, UploadId, Version};
use crate::model::id::{Key, Namespace};
use crate::store::cold::{Attributes, Cold as _, ColdError, ListedObject};

/// How often it is looked whether anything is missing.
const LOOK: Duration = Duration::from_millis(250);
/// How long after a listing that has failed it is listed again: after as long as it took too, and after twice that each time, up to the longest.
const AGAIN: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(10);
/// So many objects may fail in a listing that goes on.
const MOST_FAILED: usize = 16;
/// How often it is listed again for the sake of single objects that can't be looked at. Then they are left alone, as far as they are no more than so
/// many, or than there are others.
const PATIENCE: u32 = 2;
const FEW: usize = 100;
/// How long after what is left alone is looked at again at the most, since it may be read by now: after [`LONGEST`] first, and twice that each time.
const ANEW: Duration = Duration::from_secs(3_600);
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
    let (mut rest, mut tries, mut looked, mut anew) = (AGAIN, 0, None::<Instant>, LONGEST);
    loop {
        for lane in &store.0.lanes {
            lane.opened().await;
        }
        bucket.metrics.waiting_changes.set(store.own_waiting(&bucket.namespace) as u64);
        let is_whole = store.is_all_whole(&bucket.namespace);
        let (later, others) = if is_whole { store.left_alone(&bucket.namespace) } else { (0, 0) };
        bucket.metrics.later_objects.set(later);
        bucket.metrics.doubtful_objects.set(others);
        // At its start, too: it may be of use to this release.
        let has_left = later + others > 0;
        let looks_again = has_left && looked.is_none_or(|at| at.elapsed() >= anew);
        if looks_again || !has_left {
            looked = Some(Instant::now());
            anew = if has_left { (anew * 2).min(ANEW) } else { LONGEST };
        }
        if is_whole && !looks_again {
            bucket.prove().await;
            sleep(LOOK).await;
            continue;
        }
        // Others see the same: who is first does it for all.
        if store.members() > 1 && !looks_again {
            let turn = store.upload().0 >> 64;
            sleep(LOOK * u32::try_from(turn % 4).unwrap_or_default()).await;
            if store.is_all_whole(&bucket.namespace) {
                continue;
            }
        }
        let began = Instant::now();
        if fill_once(&store, &bucket, &mut tries, looks_again).await {
            (rest, tries) = (AGAIN, 0);
        } else {
            sleep(rest.max(began.elapsed())).await;
            rest = (rest * 2).min(LONGEST);
        }
    }
}

/// Whether it was done. `tries` counts in how many listings before single objects could not be looked at; `looks_again`: these are known already.
async fn fill_once(store: &SharedStore, bucket: &SharedBucket, tries: &mut u32, looks_again: bool) -> bool {
    let namespace = &bucket.namespace;
    let listed = list(store, bucket, looks_again || *tries >= PATIENCE).await;
    bucket.note(listed.as_ref().map(drop));
    let ListedBucket { objects, left } = match listed {
        Ok(Some(listed)) => listed,
        Ok(None) => return false,
        Err(error) => {
            *tries = if matches!(error, ColdError::Unread(_)) { *tries + 1 } else { 0 };
            tracing::debug!(%namespace, %error, "what the durable tier has can't be listed");
            return false;
        }
    };
    if !say_whole(store, namespace, &left).await {
        return false;
    }
    tracing::info!(%namespace, objects, "what the durable tier has is known to all nodes");
    let first = left.iter().find_map(FoundUnread::first);
    match left.iter().map(FoundUnread::counts).fold((0, 0), |sum, of| (sum.0 + of.0, sum.1 + of.1)) {
        (0, 0) => {}
        (later @ 1.., 0) => tracing::warn!(
            %namespace,
            objects = later,
            first = first.map(Key::as_str),
            "a newer Springhead wrote objects that this one can't read: they are left alone and answered with 503; run the newer one again to \
             serve them"
        ),
        (later, others) => tracing::warn!(
            %namespace,
            objects = others,
            later,
            first = first.map(Key::as_str),
            "there are objects in the durable tier that can't be read: they are left alone and answered with 503, and looked at again \
             from time to time"
        ),
    }
    true
}

/// Says of each lane that all is in the index which the bucket has, but for these. Whether the engine has that now.
async fn say_whole(store: &SharedStore, namespace: &Namespace, left: &[FoundUnread]) -> bool {
    for (lane, left) in store.0.lanes.iter().zip(left) {
        let left = left.write();
        if lane.is_whole(namespace.as_str()) && lane.left_alone(namespace.as_str()) == left {
            continue;
        }
        let described = left.written().clone();
        let object = SharedObject { etag: 0, length: 0, is_bare: false, expires: FOR_GOOD, described };
        let (name, expected, body) = (whole(namespace.as_str()), Precondition::Anything, SharedBody::default());
        let wish = Wish { name, expected, object: Some(object), body, goes_below: false };
        let said = timeout(COMMIT_WITHIN, lane.commit(UploadId(store.upload().0), wish)).await;
        if !matches!(said, Ok(Decision::Done(_))) {
            return false;
        }
    }
    true
}

/// What a bucket has.
#[derive(Debug, Default)]
struct ListedBucket {
    /// How many objects the index has taken note of.
    objects: usize,
    /// What could not be read, of each lane.
    left: Vec<FoundUnread>,
}

/// Has the index take note of all that the bucket has. `None`, where the engine does not take it. `leaves`: single objects that can't be looked at are
/// left alone, and are an error else.
async fn list(store: &SharedStore, bucket: &SharedBucket, leaves: bool) -> Result<Option<ListedBucket>, ColdError> {
    take_note(store, &bucket.namespace, bucket.cloud().await?.list(), leaves).await
}

/// The same of a listing.
async fn take_note(
    store: &SharedStore,
    namespace: &Namespace,
    mut listing: BucketListing,
    leaves: bool,
) -> Result<Option<ListedBucket>, ColdError> {
    let mut parts: Vec<ListedPart> = store.0.lanes.iter().map(|_| ListedPart::default()).collect();
    let mut left: Vec<FoundUnread> = store.0.lanes.iter().map(|_| FoundUnread::default()).collect();
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
        let (key, found) = match listed {
            Ok(ListedObject { key, attributes }) => match attributes {
                Some(Ok(attributes)) => {
                    let found = indexed(&attributes);
                    (Some(key), found.ok_or_else(|| ColdError::Later("this one can't read its version".to_owned())))
                }
                Some(Err(error)) => (Some(key), Err(error)),
                // A bucket reads them while it lists.
                None => continue,
            },
            Err(error) => (None, Err(error)),
        };
        match (key, found) {
            (Some(key), Ok(found)) => {
                objects += 1;
                let (_, number, name) = store.place(namespace, &key);
                parts[number].since.get_or_insert_with(Instant::now);
                parts[number].found.push((name, found));
            }
            // One that is damaged or of a later release, and does not say its key.
            (None, Ok(_) | Err(ColdError::Damaged(_) | ColdError::Later(_) | ColdError::Unfit(_))) => {}
            (Some(key), Err(error @ (ColdError::Damaged(_) | ColdError::Later(_) | ColdError::Unfit(_)))) => {
                let (_, number, _) = store.place(namespace, &key);
                left[number].add(Some(key), &error);
            }
            (key, Err(error @ ColdError::Unread(_))) if leaves => {
                failed += 1;
                // That is no longer a matter of single ones.
                if failed > FEW.max(objects) {
                    return Err(ColdError::Unavailable(error.to_string()));
                }
                match key {
                    Some(key) => left[store.place(namespace, &key).1].add(Some(key), &error),
                    None => left.iter_mut().for_each(|left| left.add(None, &error)),
                }
            }
            // What can be known is, until it is listed again.
            (_, Err(error)) if failed < MOST_FAILED => {
                failed += 1;
                first_error.get_or_insert(error);
            }
            (_, Err(error)) => return Err(error),
        }
    }
    for (number, part) in parts.iter_mut().enumerate() {
        if !part.tell(store, number).await {
            return Ok(None);
        }
    }
    first_error.map_or(Ok(Some(ListedBucket { objects, left })), Err)
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

    /// Of the bucket of a namespace, what was left alone when it was listed: how many objects of a later release, and how many others.
    pub(super) fn left_alone(&self, namespace: &Namespace) -> (u64, u64) {
        let counts = self.0.lanes.iter().map(|lane| lane.left_alone(namespace.as_str()).counts());
        counts.fold((0, 0), |sum, of| (sum.0 + of.0, sum.1 + of.1))
    }

    /// Whether the index has all that the bucket of a namespace has, where there is one, but for what is left alone.
    pub(super) fn is_all_whole(&self, namespace: &Namespace) -> bool {
        let mut lanes = self.0.lanes.iter();
        self.0.buckets.of(namespace).is_none() || lanes.all(|lane| lane.is_whole(namespace.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::rig::NodeRig;
    use super::*;
    use crate::model::clock::Clock;
    use crate::model::kind::Kind;
    use crate::model::meta::Meta;
    use http::HeaderValue;

    fn listed(key: &str, clock: &Clock) -> Result<ListedObject, ColdError> {
        let meta = Meta::plain(Kind::Segment, HeaderValue::from_static("x"), clock, Duration::from_secs(3_600));
        let attributes = Some(Ok(Attributes::of(&Bytes::from_static(b"bytes"), &meta, clock)));
        Ok(ListedObject { key: Key::parse(key).unwrap(), attributes })
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_slow_listing_finds_is_told_long_before_it_ends() {
        let clock = Clock::manual();
        let (rig, namespace) = (NodeRig::start(&clock).await, Namespace::parse("n").unwrap());
        let (to, listing) = tokio::sync::mpsc::channel(9);
        let (store, of) = (rig.store.clone(), namespace.clone());
        let noted = tokio::spawn(async move { take_note(&store, &of, listing, false).await });
        to.send(listed("a/1.ts", &clock)).await.unwrap();
        sleep(GATHERED + ANSWER).await;
        let knows = |key: &str| rig.store.has(&namespace, &Key::parse(key).unwrap());
        assert!(knows("a/1.ts"), "while it is still being listed");
        to.send(listed("a/2.ts", &clock)).await.unwrap();
        drop(to);
        assert_eq!(noted.await.unwrap().unwrap().unwrap().objects, 2);
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
        assert_eq!(take_note(&rig.store, &namespace, listing, true).await.err(), failed().err(), "it is listed again");
        sleep(Duration::from_secs(1)).await;
        for key in ["a/1.ts", "a/2.ts"] {
            assert!(rig.store.has(&namespace, &Key::parse(key).unwrap()), "{key}");
        }
        let (to, listing) = tokio::sync::mpsc::channel(99);
        for _ in 0..=MOST_FAILED {
            to.send(failed()).await.unwrap();
        }
        assert_eq!(
            take_note(&rig.store, &namespace, listing, false).await.err(),
            failed().err(),
            "it is given up while it is being listed"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn objects_that_can_not_be_read_hold_up_nothing_and_are_not_told_to_be_nowhere() {
        let clock = Clock::manual();
        let (rig, namespace) = (NodeRig::start(&clock).await, Namespace::parse("n").unwrap());
        let key = |key: &str| Key::parse(key).unwrap();
        let unread = |of: &str, why: fn(String) -> ColdError| {
            Ok(ListedObject { key: key(of), attributes: Some(Err(why("of one object".to_owned()))) })
        };
        let listing = || async {
            let (to, listing) = tokio::sync::mpsc::channel(9);
            for listed in [
                listed("a/1.ts", &clock),
                unread("a/later.ts", ColdError::Later),
                unread("b/damaged.ts", ColdError::Damaged),
                unread("a/refused.ts", ColdError::Unread),
                listed("a/2.ts", &clock),
            ] {
                to.send(listed).await.unwrap();
            }
            listing
        };
        let tried = take_note(&rig.store, &namespace, listing().await, false).await;
        assert!(matches!(tried, Err(ColdError::Unread(_))), "it may pass: {tried:?}");
        let ListedBucket { objects, left } = take_note(&rig.store, &namespace, listing().await, true).await.unwrap().unwrap();
        assert_eq!(objects, 2);
        assert!(say_whole(&rig.store, &namespace, &left).await);
        assert_eq!(rig.store.left_alone(&namespace), (1, 2));
        let is_left = |of: &str| rig.store.place(&namespace, &key(of)).0.left_alone("n").may_have(&key(of));
        assert!(["a/later.ts", "b/damaged.ts", "a/refused.ts"].iter().all(|of| is_left(of)));
        assert!(!is_left("a/1.ts") && !is_left("a/none.ts") && rig.store.has(&namespace, &key("a/2.ts")));
        assert!(rig.store.0.lanes.iter().all(|lane| lane.is_whole("n")));
        // They can be read by now.
        let left = vec![FoundUnread::default(); rig.store.0.lanes.len()];
        assert!(say_whole(&rig.store, &namespace, &left).await);
        assert_eq!((rig.store.left_alone(&namespace), is_left("a/later.ts")), ((0, 0), false));
    }

    #[tokio::test(start_paused = true)]
    async fn a_bucket_that_lets_nobody_look_at_anything_is_no_matter_of_single_objects() {
        let (rig, namespace) = (NodeRig::start(&Clock::manual()).await, Namespace::parse("n").unwrap());
        let (to, listing) = tokio::sync::mpsc::channel(FEW + 1);
        for number in 0..=FEW {
            let key = Key::parse(&format!("{number}.ts")).unwrap();
            let refused = Err(ColdError::Unread("access is refused".to_owned()));
            to.send(Ok(ListedObject { key, attributes: Some(refused) })).await.unwrap();
        }
        drop(to);
        let listed = take_note(&rig.store, &namespace, listing, true).await;
        assert!(matches!(listed, Err(ColdError::Unavailable(_))), "that is told of the bucket: {listed:?}");
    }
}
