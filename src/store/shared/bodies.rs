//! The bytes of what nodes share: from the engine, or from the bucket below it.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::timeout;

use super::changes::{KnownShared, SharedName};
use super::share::{FRESH_WITHIN, SharedStore};
use super::{ObjectName, Version};
use crate::metrics::BodyFetch;
use crate::model::id::{Key, Namespace};
use crate::store::StoreError;

/// How long after a body could not be fetched it is asked for again.
const AGAIN: Duration = Duration::from_millis(50);

impl SharedStore {
    /// The bytes of a version, or a part of them; `None`, when they are there no more. One read for all who want the whole. Cancel-safe.
    ///
    /// # Errors
    /// [`StoreError::Unshared`], or [`StoreError::Unreachable`]: they are in the bucket alone, which does not answer.
    pub async fn body(
        &self,
        place: (&Namespace, &Key),
        of: &KnownShared,
        part: Option<Range<u64>>,
    ) -> Result<Option<Bytes>, StoreError> {
        let (_, _, name) = self.place(place.0, place.1);
        if part.is_some() {
            return self.find_body(place, of, part).await;
        }
        let flight = (name, of.version);
        let cell = Arc::clone(self.0.flights.lock().entry(flight.clone()).or_default());
        let fetched = cell.get_or_try_init(|| self.find_body(place, of, None)).await.cloned();
        self.0.flights.lock().remove(&flight);
        fetched
    }

    /// The bytes of a version for who follows the lane, whose session waits for it: one try, which ends with the session. `None`: they can't be
    /// had, and will be asked for again by who wants to read them. Cancel-safe.
    pub async fn body_to_follow(&self, place: (&Namespace, &Key), of: &KnownShared) -> Option<Bytes> {
        let (_, number, name) = self.place(place.0, place.1);
        let source = self.0.bodies.get()?.get(number)?;
        let found = source.body_to_follow(name).await;
        let (what, body) = match found.map(|found| whole(found, of, of.length)) {
            Ok(Some(body)) => (BodyFetch::Fetched, Some(body)),
            Ok(None) => (BodyFetch::Absent, None),
            Err(_) => (BodyFetch::Failed, None),
        };
        self.0.metrics.count_fetch(what);
        match self.0.buckets.of(place.0).filter(|_| of.is_kept && what == BodyFetch::Absent) {
            // Which may hang.
            Some(bucket) => tokio::select! {
                biased;
                () = source.over() => None,
                read = bucket.read(place.1, of, None) => read.ok().flatten(),
            },
            None => body,
        }
    }

    async fn find_body(
        &self,
        place: (&Namespace, &Key),
        of: &KnownShared,
        part: Option<Range<u64>>,
    ) -> Result<Option<Bytes>, StoreError> {
        let (_, number, name) = self.place(place.0, place.1);
        let bucket = self.0.buckets.of(place.0).filter(|_| of.is_kept);
        if let Some(bucket) = &bucket
            && of.is_cold
            && let Ok(Some(bytes)) = bucket.read(place.1, of, part.clone()).await
        {
            return Ok(Some(bytes));
        }
        let at_engine = self.fetch(number, name, of, part.clone()).await?;
        match (at_engine, bucket) {
            (None, Some(bucket)) => bucket.read(place.1, of, part).await.map_err(|_| StoreError::Unreachable),
            (at_engine, _) => Ok(at_engine),
        }
    }

    /// The bytes of a name's version that stands, wherever they are: for the bucket.
    pub(super) async fn body_to_keep(
        &self,
        name: &ObjectName,
        number: usize,
        of: &KnownShared,
    ) -> Result<Option<Bytes>, StoreError> {
        let Some(SharedName { namespace, key }) = SharedName::read(name) else { return Ok(None) };
        let in_memory = self.0.follower.get().and_then(|follower| follower.body(&namespace, &key, of.hash));
        match in_memory {
            Some(body) => Ok(Some(body)),
            None if of.is_kept => self.find_body((&namespace, &key), of, None).await,
            None => self.fetch(number, ObjectName::clone(name), of, None).await,
        }
    }

    async fn fetch(
        &self,
        lane: usize,
        name: ObjectName,
        of: &KnownShared,
        part: Option<Range<u64>>,
    ) -> Result<Option<Bytes>, StoreError> {
        let source = self.0.bodies.get().and_then(|bodies| bodies.get(lane)).ok_or(StoreError::Unshared)?;
        // Another primary may be about to be elected.
        let found = async {
            loop {
                match source.body(ObjectName::clone(&name), part.clone()).await {
                    Ok(found) => return found,
                    Err(error) => tracing::debug!(%error, "a body can't be fetched"),
                }
                tokio::time::sleep(AGAIN).await;
            }
        };
        let length = part.as_ref().map_or(of.length, |part| part.end.min(of.length).saturating_sub(part.start));
        let (what, fetched) = match timeout(FRESH_WITHIN, found).await.map(|found| whole(found, of, length)) {
            Ok(Some(bytes)) => (BodyFetch::Fetched, Ok(Some(bytes))),
            Ok(None) => (BodyFetch::Absent, Ok(None)),
            Err(_) => (BodyFetch::Failed, Err(StoreError::Unshared)),
        };
        self.0.metrics.count_fetch(what);
        fetched
    }
}

/// What was found, if it is of that version, and that much of it. Not all of its bytes are none: an answer has said already how long it is.
fn whole(found: Option<(Version, Bytes)>, of: &KnownShared, length: u64) -> Option<Bytes> {
    found.filter(|(version, bytes)| *version == of.version && bytes.len() as u64 == length).map(|(_, bytes)| bytes)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use tokio::time::Instant;

    use super::super::bucket::{BucketPlace, OpenBucket, SharedBucket};
    use super::super::rig::NodeRig;
    use super::*;
    use crate::metrics::Metrics;
    use crate::model::clock::Clock;
    use crate::model::kind::Kind;
    use crate::model::meta::Meta;
    use crate::store::cold::ColdError;
    use crate::store::tier::Ack;

    #[tokio::test(start_paused = true)]
    async fn who_follows_a_lane_whose_session_is_over_does_not_wait_for_the_bucket() {
        let clock = Clock::manual();
        let (rig, name, key) = (NodeRig::start(&clock).await, Namespace::parse("n").unwrap(), Key::parse("a/p.m3u8").unwrap());
        let open: OpenBucket = Arc::new(|| Err(ColdError::Unavailable("nobody comes so far".to_owned())));
        let place = BucketPlace { url: "memory".to_owned(), open };
        let metrics = Metrics::new().namespace(&name).durable;
        let (bucket, _) = rig.store.0.buckets.come(SharedBucket::new(name.clone(), place, Ack::Durable, clock.clone(), metrics));
        let _held = bucket.hold_reads().await;
        rig.is_bodiless(true);
        let meta = Meta::plain(Kind::Playlist, HeaderValue::from_static("x"), &clock, Duration::from_secs(60));
        let known = KnownShared { meta, length: 1, hash: 0, version: Version::default(), is_kept: true, is_cold: false };
        let (_, lane, _) = rig.store.place(&name, &key);
        let begun = Instant::now();
        let over = async {
            while rig.bodies_asked() == 0 {
                tokio::task::yield_now().await;
            }
            // It is waiting for the bucket by then.
            tokio::time::sleep(Duration::from_millis(10)).await;
            rig.gives_up(lane);
        };
        let (read, ()) = tokio::join!(rig.store.body_to_follow((&name, &key), &known), over);
        assert!(read.is_none() && begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    }
}
