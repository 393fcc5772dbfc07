//! The rules of a write: who may, and in which steps it is done.
//!
//! An upload that has come whole is prepared ([`super::prepare`]), decided ([`super::decide`]) and applied ([`super::apply`]). One node
//! does all three in line; where several share, the second and third are [`super::shared`]'s.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use tokio::time::Instant;

use super::apply::{Decided, Put};
use super::before::VersionBelow;
use super::beside::TakenUp;
use super::decide::{Candidate, are_met};
use super::namespace::Hosted;
use super::prepare::Draft;
use super::read::known_in_tier;
use super::{NamespaceHandle, OriginError, cache_control, shared, types};
use crate::auth::grant::{Action, Grant};
use crate::media::Sniffer;
use crate::model::clock::Moment;
use crate::model::conditions::KeptConditions;
use crate::model::extension::Extension;
use crate::model::facts::SegmentFacts;
use crate::model::id::{Key, ObjectId};
use crate::model::kind::Kind;
use crate::model::meta::{self, Meta, Outset};
use crate::model::stamp::Stamp;
use crate::store;
use crate::store::shared::COMMIT_WITHIN;

/// What a writer says before the first byte.
#[derive(Clone, Debug, Default)]
pub struct PutSpec {
    /// The body's length, when it is known.
    pub length: Option<u64>,
    /// The time to live asked for, in seconds; absent: the namespace's default.
    pub ttl_seconds: Option<u64>,
    /// The media type it names.
    pub content_type: Option<HeaderValue>,
    /// The coding it has applied.
    pub content_encoding: Option<HeaderValue>,
    /// What it wants caches told. It may shorten what the kind of the object gives.
    pub cache_control: Option<HeaderValue>,
    /// On what condition it writes.
    pub conditions: KeptConditions,
    /// Bytes that the request holds in memory beside its body, more than is usual, as long as that is on its way.
    pub beside: u64,
}

impl PutSpec {
    /// The same, with nothing in it that holds on to the request it came in: what is said here lives as long as the object.
    fn kept(self) -> Self {
        let keep = |value: Option<HeaderValue>| value.as_ref().and_then(meta::keep);
        let (content_type, content_encoding) = (keep(self.content_type), keep(self.content_encoding));
        Self { content_type, content_encoding, cache_control: keep(self.cache_control), ..self }
    }

    /// What it makes of an object of this name and kind that is to live this long.
    fn outset(&self, key: &Key, kind: Kind, ttl: Duration) -> Outset {
        Outset {
            content_encoding: self.content_encoding.clone(),
            cache_control: self.cache_control.as_ref().and_then(cache_control::kept),
            ..Outset::plain(kind, types::content_type(key, self.content_type.as_ref()), ttl)
        }
    }
}

/// An admitted upload. Dropping it changes nothing of what is stored; who was reading it as it grew sees it break off.
#[derive(Debug)]
pub struct Upload {
    inner: store::Upload,
    hosted: Arc<Hosted>,
    object: ObjectId,
    admitted: Moment,
    ttl: Duration,
    spec: PutSpec,
    /// The version below memory, when there was none in it and the conditions ask.
    durable_tier: Option<Meta>,
    /// The same, to tell a name that is used again for other media.
    below: VersionBelow,
    /// Reads what a segment's bytes say of it, as they pass.
    sniffer: Option<Box<Sniffer>>,
    /// Where its writer may write: nothing beyond is looked at or kept alive for its sake.
    reach: Option<String>,
    tally: Tally,
}

/// Counts how an upload ended, once, when it is dropped: an admitted one that is neither stored nor refused has broken off. What was paid
/// for and has not come is given back.
#[derive(Debug)]
struct Tally {
    hosted: Arc<Hosted>,
    outcome: UploadOutcome,
    /// Bytes that are paid for and have not come.
    paid_ahead: u64,
}

#[derive(Clone, Copy, Debug)]
enum UploadOutcome {
    Broken,
    Refused,
    Stored,
    Superseded,
}

/// A completed write.
#[derive(Clone, Debug)]
pub struct Stored {
    /// The entity tag of the new version. `None`: there is none, for this was superseded, or is composed here of what it lists, later or on
    /// all nodes.
    pub etag: Option<HeaderValue>,
    /// Its length in bytes.
    pub length: u64,
    /// Nothing was changed, for a version or removal that was begun later is in force. The writer has done what it should, and what it began
    /// after this is what it wants.
    pub is_superseded: bool,
}

impl NamespaceHandle {
    /// Admits an upload, or says why not, before any of its body has been read. `begun` is when its request began: of two changes of
    /// one object the one that was begun later is in force, whichever ends last. Waits only where it has conditions. Cancel-safe.
    ///
    /// # Errors
    /// Any [`OriginError`] but `NotFound` and `Expired`.
    pub async fn put(&self, grant: &Grant, object: &ObjectId, begun: Stamp, spec: PutSpec) -> Result<Upload, OriginError> {
        let hosted = self.admit(grant, Action::Write, object)?;
        hosted.is_not_public(&object.key)?;
        let spec = spec.kept();
        let mut tally = Tally { hosted: Arc::clone(hosted), outcome: UploadOutcome::Refused, paid_ahead: 0 };
        hosted.take_write_request()?;
        let durable_tier = if spec.conditions.are_there() {
            hosted.fresh(&object.key, false).await?;
            known_in_tier(hosted, &object.key).await?
        } else {
            None
        };
        let ttl = judge(hosted, object, &spec, durable_tier.as_ref())?;
        // What is refused anyway costs no bytes: the length that a header says may be any.
        tally.paid_ahead = hosted.take_write_bytes(spec.length.unwrap_or(0))?;
        let inner = open(hosted, object, begun, &spec, ttl, grant.key_id.as_str())?;
        tally.outcome = UploadOutcome::Broken;
        let (object, admitted) = (object.clone(), hosted.hot.clock().now());
        let kind = Kind::of(&object.key, b"");
        let below = VersionBelow::ask(hosted, &object.key, kind);
        Ok(Upload {
            inner,
            hosted: Arc::clone(hosted),
            object,
            admitted,
            ttl,
            spec,
            durable_tier,
            below,
            sniffer: (!kind.is_rewritten()).then(Box::default),
            reach: grant.prefix.clone(),
            tally,
        })
    }
}

/// How long an object of this kind is to live, if it may be at all.
fn judge(hosted: &Hosted, object: &ObjectId, spec: &PutSpec, durable_tier: Option<&Meta>) -> Result<Duration, OriginError> {
    let policy = &hosted.policy;
    let ttl = match spec.ttl_seconds {
        None => policy.default_ttl,
        Some(seconds) if seconds >= 1 && seconds <= policy.max_ttl.as_secs() => Duration::from_secs(seconds),
        Some(_) => return Err(OriginError::TtlOutOfRange { max: policy.max_ttl }),
    };
    if spec.length.is_some_and(|length| length > policy.max_object_size) {
        return Err(OriginError::TooLarge { limit: policy.max_object_size });
    }
    // Asked again at the commit; asked here too so that nobody uploads 10 MB to be told what was known before.
    let current = hosted.hot.peek(&object.key);
    if !are_met(&spec.conditions, current.as_ref().map(|entry| &entry.meta), durable_tier) {
        return Err(OriginError::Precondition);
    }
    Ok(ttl)
}

fn open(
    hosted: &Hosted,
    object: &ObjectId,
    begun: Stamp,
    spec: &PutSpec,
    ttl: Duration,
    writer: &str,
) -> Result<store::Upload, OriginError> {
    let mut upload = hosted.hot.create_for(&object.key, spec.length, begun, writer)?;
    if spec.beside > 0 {
        upload.hold(spec.beside)?;
    }
    let kind = Kind::of(&object.key, b"");
    // A playlist is only ever seen whole: half of one would end a stream for its readers.
    if spec.length.is_none() && !kind.is_rewritten() {
        upload.readable_as(spec.outset(&object.key, kind, ttl));
    }
    Ok(upload)
}

impl Upload {
    /// Takes the next piece of the body.
    ///
    /// # Errors
    /// [`OriginError::TooLarge`] as soon as the limit is passed, [`OriginError::Busy`]. The upload is over then.
    pub fn write(&mut self, piece: Bytes) -> Result<(), OriginError> {
        let limit = self.hosted.policy.max_object_size;
        let length = piece.len() as u64;
        if self.spec.length.is_none() {
            // Bytes that were not announced are paid for as they come: an upload that has begun may overdraw and is not cut off.
            self.hosted.rates.write_bytes.charge(length, self.hosted.hot.clock().now());
        }
        self.tally.paid_ahead = self.tally.paid_ahead.saturating_sub(length);
        if let Some(sniffer) = &mut self.sniffer {
            sniffer.take(&piece);
        }
        let result = if self.inner.len() + length > limit {
            Err(OriginError::TooLarge { limit })
        } else {
            self.inner.write(piece).map_err(OriginError::from)
        };
        self.tally.hosted.metrics.traffic.count_received(length);
        if result.is_err() {
            self.tally.outcome = UploadOutcome::Refused;
        }
        result
    }

    /// Whether it is to be a playlist or manifest, by its name.
    #[must_use]
    pub fn is_rewritten(&self) -> bool {
        Kind::of(self.inner.key(), b"").is_rewritten()
    }

    /// How many bytes are to come in all, where that was said.
    #[must_use]
    pub fn announced(&self) -> Option<u64> {
        self.spec.length
    }

    /// How many bytes have come.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.inner.len()
    }

    /// Makes what has come the object, unless something that was begun later is in force. A read that begins after this returns sees
    /// it, or a newer one. Waits where the namespace has
    /// a gate, for the segments a playlist lists; cancelled then, it changes nothing. And where the namespace acknowledges what is
    /// on stable storage, for that; the object can be read by then.
    ///
    /// # Errors
    /// [`OriginError::Precondition`], when the stored version changed meanwhile; [`OriginError::NotDurable`].
    pub async fn commit(mut self) -> Result<Stored, OriginError> {
        let (body, whole) = (self.inner.body(), Instant::now());
        // It has come to its end: what goes wrong from here on is answered.
        self.tally.outcome = UploadOutcome::Refused;
        let kind = Kind::of(self.inner.key(), &body.bytes);
        // Versions of one playlist are taken up in the order in which they were complete, however long the reading of each takes.
        // Where nodes share, versions of any other object too: which of two was begun later is a matter of this node.
        let (turn, within) = match self.hosted.durable_tier.shared() {
            Some(shared) => {
                let gate = self.hosted.policy.gate.unwrap_or_default();
                let (turn, within) = shared.store.in_turn(self.hosted.live.turn(&self.object.key), gate).await?;
                (Some(turn), within)
            }
            None if kind.is_rewritten() => (Some(self.hosted.live.turn(&self.object.key).await), COMMIT_WITHIN),
            None => (None, COMMIT_WITHIN),
        };
        // Prepare.
        let outset = self.spec.outset(&self.object.key, kind, self.ttl);
        let mut draft = Draft::prepare(&self.hosted, &self.object, (body, whole), outset, self.reach.as_deref()).await?;
        let facts = self.sniffer.take().map(|sniffer| sniffer.end()).filter(SegmentFacts::tells);
        // Other files may be empty.
        let is_of_media = !draft.body.bytes.is_empty() || Extension::of(&self.object.key.extension()).format.is_media();
        draft.facts = facts.filter(|_| is_of_media).map(Arc::new);
        let below = self.below.known().await;
        // What few uploads need is boxed, here and below: the way of a segment stays small enough to be moved about.
        let mut beside = None;
        let draft = if !self.hosted.policy.composes() {
            draft
        } else {
            match Box::pin(self.hosted.normalised(&self.object, draft, self.reach.as_deref(), &self.spec.conditions)).await? {
                TakenUp::AsItIs(draft) => draft,
                TakenUp::Beside(draft, what) => {
                    beside = Some(what);
                    draft
                }
                TakenUp::Composed(draft) => {
                    // It takes the place of what was composed before, however long this upload took.
                    self.inner = self.hosted.hot.create(&self.object.key, None, self.hosted.hot.stamp())?;
                    draft
                }
                TakenUp::Waits => {
                    self.tally.outcome = UploadOutcome::Stored;
                    return Ok(Stored { etag: None, length: self.inner.len(), is_superseded: false });
                }
            }
        };
        let Self { inner, hosted, object, admitted, spec, durable_tier, reach, mut tally, .. } = self;
        if hosted.policy.composes() && !hosted.hot.holds(&object.key) {
            Box::pin(hosted.bring_up_listed(&object.key)).await;
        }
        // Decide.
        let now = hosted.hot.clock().both();
        let candidate = Candidate { upload: inner, conditions: spec.conditions, below: durable_tier };
        let length = draft.body.bytes.len() as u64;
        let what = Put { candidate, draft, took: now.moment.since(admitted), below, reach };
        let applied = match hosted.durable_tier.shared() {
            Some(shared) => Box::pin(shared::put(&hosted, shared, &object.key, what, within)).await,
            None => match what.candidate.stands(&hosted.hot, now.moment) {
                // Apply.
                Ok(true) => Decided { key: &object.key, now, what }.apply(&hosted).await,
                decision => decision.map(|_| None),
            },
        };
        let Some(etag) = applied? else {
            tally.outcome = UploadOutcome::Superseded;
            return Ok(Stored { etag: None, length, is_superseded: true });
        };
        if let Some(beside) = beside {
            Box::pin(hosted.publish_beside(&object.key, *beside, turn)).await;
        } else {
            drop(turn);
            // A playlist may wait for it.
            if hosted.policy.composes()
                && let Some(playlist) = hosted.work.public.listing(&object.key)
            {
                Box::pin(hosted.compose_again(&playlist)).await;
            }
        }
        hosted.durable_tier.settled(&object.key, true).await?;
        tally.outcome = UploadOutcome::Stored;
        Ok(Stored { etag: Some(etag), length, is_superseded: false })
    }
}

impl Drop for Tally {
    fn drop(&mut self) {
        let metrics = &self.hosted.metrics;
        match self.outcome {
            UploadOutcome::Broken => metrics.uploads_broken.inc(),
            UploadOutcome::Refused => metrics.uploads_refused.inc(),
            UploadOutcome::Stored => metrics.uploads_stored.inc(),
            UploadOutcome::Superseded => metrics.uploads_superseded.inc(),
        };
        self.hosted.rates.write_bytes.give_back(self.paid_ahead);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::grant::{KeyId, Role, Scope};
    use crate::hls::texts;
    use crate::metrics::Metrics;
    use crate::model::clock::Clock;
    use crate::model::conditions::Conditions;
    use crate::model::id::Namespace;
    use crate::origin::policy::NamespacePolicy;
    use crate::origin::{Origin, Read, ReadSpec};

    fn playlist(first: u64, count: u64) -> String {
        texts::listing(&texts::head(first), "segment-", first..first + count)
    }

    #[tokio::test]
    async fn a_version_that_is_not_stored_is_not_noted() {
        let (clock, metrics) = (Clock::manual(), Arc::new(Metrics::new()));
        let name = Namespace::parse("one").unwrap();
        let origin = Origin::new([(name.clone(), NamespacePolicy::default())], 1 << 30, clock, &metrics);
        let grant = Grant {
            key_id: KeyId::parse("k").unwrap(),
            role: Role::Readwrite,
            scope: Scope::Every,
            prefix: None,
            paths: None,
            is_edge: false,
            ends: None,
        };
        let object = ObjectId { namespace: name.clone(), key: Key::parse("p.m3u8").unwrap() };
        let begin = async |spec: PutSpec, body: String| {
            let mut upload = origin.namespace(&name).put(&grant, &object, origin.stamp(), spec).await.unwrap();
            upload.write(body.into()).unwrap();
            upload
        };
        let list = |first: u64| texts::listing(&texts::head(first), "", first..first + 3);
        let absent = Conditions { if_none_match: Some(b"*"), ..Conditions::default() };
        let if_absent = PutSpec { conditions: absent.into(), ..PutSpec::default() };
        let refused = begin(if_absent, list(100)).await;
        begin(PutSpec::default(), list(1)).await.commit().await.unwrap();
        assert_eq!(refused.commit().await.unwrap_err(), OriginError::Precondition);
        let rendition = || origin.streams().remove(0).renditions.remove(0);
        assert_eq!((rendition().last_sequence, rendition().counts.contradictions), (Some(3), 0));
        let older = begin(PutSpec::default(), list(200)).await;
        begin(PutSpec::default(), list(2)).await.commit().await.unwrap();
        assert_eq!(older.commit().await.unwrap().etag, None);
        assert_eq!((rendition().last_sequence, rendition().counts.contradictions), (Some(4), 0));
        // What was noted and lost its race in between: what is stored stands, or nothing.
        let hosted = origin.inner.namespaces.load().get(&name).cloned().unwrap();
        hosted.take_back(&object.key);
        assert_eq!(rendition().last_sequence, Some(4));
        origin.namespace(&name).remove(&grant, &object, origin.stamp(), KeptConditions::default()).await.unwrap();
        hosted.take_back(&object.key);
        assert!(origin.streams().is_empty());
    }

    #[tokio::test]
    async fn only_bytes_that_come_are_paid_for() {
        let name = Namespace::parse("one").unwrap();
        // A burst of 300 KB.
        let policy =
            NamespacePolicy { write_bytes_per_second: Some(10_000), max_object_size: 100_000, ..NamespacePolicy::default() };
        let origin = Origin::new([(name.clone(), policy)], 1 << 30, Clock::manual(), &Arc::new(Metrics::new()));
        let grant = Grant {
            key_id: KeyId::parse("k").unwrap(),
            role: Role::Readwrite,
            scope: Scope::Every,
            prefix: None,
            paths: None,
            is_edge: false,
            ends: None,
        };
        let object = ObjectId { namespace: name.clone(), key: Key::parse("a.ts").unwrap() };
        let begin = async |spec: PutSpec| origin.namespace(&name).put(&grant, &object, origin.stamp(), spec).await;
        let of = |length: u64| PutSpec { length: Some(length), ..PutSpec::default() };
        for _ in 0..1000 {
            assert_eq!(begin(of(u64::MAX)).await.unwrap_err(), OriginError::TooLarge { limit: 100_000 });
            let too_long = PutSpec { ttl_seconds: Some(u64::MAX), ..of(100_000) };
            assert!(matches!(begin(too_long).await.unwrap_err(), OriginError::TtlOutOfRange { .. }));
            let mut upload = begin(of(100_000)).await.unwrap();
            upload.write(Bytes::from_static(&[0; 100])).unwrap();
        }
        // A hundred thousand have come of all these.
        for _ in 0..2 {
            let mut upload = begin(of(100_000)).await.unwrap();
            upload.write(Bytes::from_static(&[0; 100_000])).unwrap();
            upload.commit().await.unwrap();
        }
        assert!(matches!(begin(of(1)).await.unwrap_err(), OriginError::RateLimited { .. }));
    }

    #[tokio::test]
    async fn what_comes_or_goes_in_pieces_is_paid_for_by_the_piece() {
        let name = Namespace::parse("one").unwrap();
        // Bursts of 300 KB.
        let (read, write) = (Some(10_000), Some(10_000));
        let policy = NamespacePolicy { read_bytes_per_second: read, write_bytes_per_second: write, ..NamespacePolicy::default() };
        let clock = Clock::manual();
        let origin = Origin::new([(name.clone(), policy)], 1 << 30, clock.clone(), &Arc::new(Metrics::new()));
        let grant = Grant {
            key_id: KeyId::parse("k").unwrap(),
            role: Role::Readwrite,
            scope: Scope::Every,
            prefix: None,
            paths: None,
            is_edge: false,
            ends: None,
        };
        let object = ObjectId { namespace: name.clone(), key: Key::parse("a.ts").unwrap() };
        let begin = async || origin.namespace(&name).put(&grant, &object, origin.stamp(), PutSpec::default()).await;
        let read = async || origin.namespace(&name).read(&grant, &object, &ReadSpec::default()).await;
        let mut upload = begin().await.unwrap();
        upload.write(Bytes::from_static(&[0; 10_000])).unwrap();
        let Ok(Read::Growing(mut following)) = read().await else { panic!("it grows") };
        // It goes on though nothing is left, and what it has had is owed.
        let mut had = 0;
        for _ in 0..40 {
            upload.write(Bytes::from_static(&[0; 10_000])).unwrap();
            let piece = std::future::poll_fn(|cx| following.poll_next(cx)).await;
            had += piece.unwrap().unwrap().len();
        }
        assert!(had >= 400_000, "{had}");
        clock.advance(Duration::from_secs(9));
        assert!(matches!(begin().await.unwrap_err(), OriginError::RateLimited { .. }));
        assert!(matches!(read().await.unwrap_err(), OriginError::RateLimited { .. }));
        clock.advance(Duration::from_secs(3));
        assert!(begin().await.is_ok() && read().await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn no_version_is_held_back_for_longer_than_the_gate_lasts_whatever_came_before_it() {
        let (name, gate) = (Namespace::parse("one").unwrap(), Duration::from_secs(10));
        let policy = NamespacePolicy { gate: Some(gate), ..NamespacePolicy::default() };
        let origin = Origin::new([(name.clone(), policy)], 1 << 30, Clock::manual(), &Arc::new(Metrics::new()));
        let grant = Grant {
            key_id: KeyId::parse("k").unwrap(),
            role: Role::Readwrite,
            scope: Scope::Every,
            prefix: None,
            paths: None,
            is_edge: false,
            ends: None,
        };
        let object = ObjectId { namespace: name.clone(), key: Key::parse("p.m3u8").unwrap() };
        // Of what each lists for the first time nothing ever comes.
        let put = async |after: u64| {
            tokio::time::sleep(Duration::from_secs(after)).await;
            let mut upload = origin.namespace(&name).put(&grant, &object, origin.stamp(), PutSpec::default()).await.unwrap();
            upload.write(playlist(0, after + 1).into()).unwrap();
            let whole = Instant::now();
            upload.commit().await.unwrap();
            whole.elapsed().as_secs()
        };
        let held = tokio::join!(put(0), put(2), put(4), put(6));
        assert_eq!(held, (10, 10, 10, 10));
    }

    /// On a runtime of one thread, so that whatever would hold that thread holds up everything.
    #[tokio::test]
    async fn a_long_playlist_holds_up_nobody_and_is_not_overtaken_by_the_next_version() {
        let (clock, metrics) = (Clock::manual(), Arc::new(Metrics::new()));
        let names = ["one", "two"].map(|name| Namespace::parse(name).unwrap());
        let policies = names.iter().map(|name| (name.clone(), NamespacePolicy::default()));
        let origin = Origin::new(policies, 1 << 30, clock, &metrics);
        let grant = Grant {
            key_id: KeyId::parse("k").unwrap(),
            role: Role::Readwrite,
            scope: Scope::Every,
            prefix: None,
            paths: None,
            is_edge: false,
            ends: None,
        };
        let object = |name: &Namespace| ObjectId { namespace: name.clone(), key: Key::parse("p.m3u8").unwrap() };
        let upload = async |name: &Namespace, body: String| {
            let mut upload = origin.namespace(name).put(&grant, &object(name), origin.stamp(), PutSpec::default()).await.unwrap();
            upload.write(body.into()).unwrap();
            upload
        };
        let long = upload(&names[0], playlist(0, 40_000)).await;
        let next = upload(&names[0], playlist(1, 40_000)).await;
        let last = upload(&names[0], playlist(40_000, 5)).await;
        let other = upload(&names[1], playlist(0, 5)).await;
        let order = parking_lot::Mutex::new(Vec::new());
        let commit = async |what: &'static str, upload: Upload| {
            upload.commit().await.unwrap();
            order.lock().push(what);
        };
        tokio::join!(commit("long", long), commit("next", next), commit("last", last), commit("other", other));
        assert_eq!(*order.lock(), ["other", "long", "next", "last"]);
        let read = origin.namespace(&names[0]).read(&grant, &object(&names[0]), &ReadSpec::default()).await;
        assert_eq!(read.unwrap().whole().unwrap().body(), playlist(40_000, 5).as_bytes());
        let streams = origin.streams();
        let rendition = &streams.iter().find(|stream| stream.namespace == "one").unwrap().renditions[0];
        assert_eq!(
            (rendition.last_sequence, rendition.counts.sequence_back, rendition.counts.counter_restarts),
            (Some(40_004), 0, 0)
        );
    }
}
