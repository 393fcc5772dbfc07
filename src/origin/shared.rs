//! What several nodes share: a write is decided by the engine, and applied on every node, this one among them, as the engine's journal tells
//! it.
//!
//! A write that waits for its decision is *parked* here with all that it brought. When the journal tells of it, it is taken from there and
//! applied as a write of a node by itself would be; what other nodes have decided is applied by what the journal says alone. Either way in
//! the order of the journal, as of the time of the decision.
//!
//! What is composed of playlists every node composes, of what all of them know: [`super::shared_public`].

use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::HeaderValue;
use parking_lot::Mutex;

use super::apply::{Decided, Put, forget, note};
use super::before;
use super::decide::are_met;
use super::keeping::kept;
use super::live::{Predecessor, Understood};
use super::namespace::Hosted;
use super::parked::ApplyParked;
use super::prepare::Draft;
use super::told::PublicNews;
use super::{Inner, Origin, OriginError, legible, shared_rates};
use crate::hls::playlist::Playlist;
use crate::model::clock::Now;
use crate::model::conditions::KeptConditions;
use crate::model::id::{Key, Namespace};
use crate::model::meta::{self, Meta};
use crate::model::stamp::Stamp;
use crate::store::shared::{
    DescribedShared, ExpectedShared, Freshness, KnownShared, NewVersion, Replaces, SharedChange, SharedFollower, SharedNamespace,
    SharedNews, SharedOutcome, SharedStore, SharedVersion,
};
use crate::store::{Body, Entry, StoreError};

/// So often a write with conditions is judged anew, where others come in between.
const TRIES: usize = 8;

/// What came of applying a write: its entity tag.
type Applied = Result<Option<HeaderValue>, OriginError>;

/// A write, and what came of it: one of the two.
type PutSlot = Arc<Mutex<(Option<Put>, Option<Applied>)>>;

/// What applies a write when it has been decided.
fn applies(hosted: &Arc<Hosted>, key: &Key, slot: &PutSlot) -> ApplyParked {
    let (hosted, key, slot) = (Arc::clone(hosted), key.clone(), Arc::clone(slot));
    Box::new(move |now, expires| {
        Box::pin(async move {
            let Some(mut put) = slot.lock().0.take() else { return };
            put.draft.outset.ttl = expires.since(now.moment);
            let heard = hosted.heard_in(&key, now, &put.draft);
            let applied = Decided { key: &key, now, what: put }.apply(&hosted).await;
            match heard {
                _ if !matches!(applied, Ok(Some(_))) => hosted.hot.let_go(&key),
                Some(heard) => hosted.work.public.heard(&key, heard, now.moment),
                None => {}
            }
            slot.lock().1 = Some(applied);
        })
    })
}

/// Has a write decided, within that time for each try, and applied here. Hands over its entity tag; `None`, and nothing has changed, when something that was begun later,
/// on this node, is in force. Dropped, it may or may not happen.
///
/// # Errors
/// [`OriginError::Precondition`], [`OriginError::EngineFull`] or [`OriginError::Busy`]: nothing has changed. [`OriginError::Unshared`]: it may or may not have.
pub(super) async fn put(
    hosted: &Arc<Hosted>,
    shared: &SharedNamespace,
    key: &Key,
    mut put: Put,
    within: Duration,
) -> Result<Option<HeaderValue>, OriginError> {
    // The engine judges them, by the version that this node has judged them by.
    let conditions = std::mem::take(&mut put.candidate.conditions);
    put.candidate.below = None;
    for _ in 0..TRIES {
        let mut expected = expected(hosted, shared, key, &conditions).await?;
        if put.candidate.upload.is_superseded() {
            return Ok(None);
        }
        let hash = put.draft.body.hash;
        if let Some(kept) = keep(hosted, shared, key, Some(hash)).await?
            && expected == ExpectedShared::Anything
        {
            expected = kept;
        }
        let decision = decide(hosted, shared, key, (put, None), expected, within).await?;
        match (decision.outcome, decision.back) {
            (SharedOutcome::Done, _) => {
                // Told of by no step of the journal: the index was taken over as a whole, and all that was in it is known.
                let etag = || HeaderValue::from_str(&meta::etag(hash)).ok();
                return decision.applied.unwrap_or_else(|| Ok(etag()));
            }
            (SharedOutcome::Unexpected, Some(back)) if expected != ExpectedShared::Anything => put = back,
            (SharedOutcome::Unexpected, _) => return Err(OriginError::Precondition),
            (SharedOutcome::NoRoom, _) => return Err(OriginError::EngineFull),
        }
    }
    Err(OriginError::Busy)
}

/// Keeps what is about to make way, where viewers may ask for it: what it is that was kept, or that there is nothing. Boxed: few have anything
/// to keep.
async fn keep(
    hosted: &Arc<Hosted>,
    shared: &SharedNamespace,
    key: &Key,
    new: Option<u128>,
) -> Result<Option<ExpectedShared>, OriginError> {
    if hosted.policy.composes() { Box::pin(kept(hosted, shared, key, new)).await } else { Ok(None) }
}

/// What the engine made of a write.
pub(super) struct SharedDecision {
    pub(super) outcome: SharedOutcome,
    /// The write, where it was not applied.
    back: Option<Put>,
    applied: Option<Applied>,
}

impl SharedDecision {
    /// What was to be stored, where it was not.
    pub(super) fn into_draft(self) -> Option<Draft> {
        self.back.map(|put| put.draft)
    }
}

/// Has a write decided once, within that time, and applied here. `told`: what other nodes are told with it. Dropped, it may or may not happen.
///
/// # Errors
/// [`OriginError::Unshared`]: it may or may not have happened.
pub(super) async fn decide(
    hosted: &Arc<Hosted>,
    shared: &SharedNamespace,
    key: &Key,
    (put, told): (Put, Option<&PublicNews>),
    expected: ExpectedShared,
    within: Duration,
) -> Result<SharedDecision, OriginError> {
    let (store, place) = (&shared.store, (&hosted.name, key));
    let Body { bytes, hash, .. } = put.draft.body.clone();
    let (expires, described) = (hosted.hot.clock().now() + put.draft.outset.ttl, described(hosted, key, &put));
    let described = DescribedShared { told: told.map(|told| Arc::from(told.to_string())), ..described };
    let new = NewVersion { body: bytes, hash, expires, described };
    let (number, slot) = (store.upload(), PutSlot::new(Mutex::new((Some(put), None))));
    let parking = hosted.work.parked.park(number, applies(hosted, key, &slot));
    let outcome = store.commit(place, number, expected, Some(new), within).await;
    drop(parking);
    let (back, applied) = std::mem::take(&mut *slot.lock());
    let outcome = match outcome {
        // The answer was lost, and the journal has told it: what this server makes itself is in force then, and promised to nobody.
        Err(StoreError::Unshared) if told.is_some() && applied.is_some() => SharedOutcome::Done,
        outcome => outcome?,
    };
    Ok(SharedDecision { outcome, back, applied })
}

/// What the engine is to find: what this node judged the conditions by.
async fn expected(
    hosted: &Hosted,
    shared: &SharedNamespace,
    key: &Key,
    conditions: &KeptConditions,
) -> Result<ExpectedShared, OriginError> {
    if !conditions.are_there() {
        return Ok(ExpectedShared::Anything);
    }
    shared.store.fresh(&hosted.name, key, false).await?;
    let there = shared.store.known(&hosted.name, key);
    if there.is_none() && !shared.is_whole(key) {
        return Err(StoreError::Unreachable.into());
    }
    if !are_met(conditions, there.as_ref().map(|known| &known.meta), None) {
        return Err(OriginError::Precondition);
    }
    Ok(there.map_or(ExpectedShared::Nothing, |known| ExpectedShared::Bytes(known.hash)))
}

/// What other nodes are to know of a write.
fn described(hosted: &Hosted, key: &Key, put: &Put) -> DescribedShared {
    let Put { draft, took, below, .. } = put;
    let outset = &draft.outset;
    let target_duration = match &draft.understood {
        Some(Understood::Hls(Playlist::Media(media))) => media.target_duration,
        _ => None,
    };
    let replaces = if outset.kind.is_rewritten() {
        Replaces::Nothing
    } else {
        let before = hosted.hot.peek(key);
        let mut meta = outset.clone().committed(hosted.hot.clock().both());
        (meta.etag, _) = meta::validators(&meta::etag(draft.body.hash), meta.modified);
        let entry = Entry::new(key.clone(), draft.body.bytes.clone(), meta);
        match before::predecessor(before.as_deref().or(below.as_deref()), &entry) {
            Predecessor::None => Replaces::Nothing,
            Predecessor::SameMedia => Replaces::SameMedia,
            Predecessor::OtherMedia => Replaces::OtherMedia,
        }
    };
    DescribedShared {
        kind: outset.kind,
        content_type: outset.content_type.clone(),
        content_encoding: outset.content_encoding.clone(),
        cache_control: outset.cache_control.clone(),
        target_duration,
        facts: draft.facts.clone(),
        took: *took,
        replaces,
        continuity: draft.continuity.clone(),
        told: None,
        stored: None,
    }
}

/// Has a removal decided, and applied here. `false`, and nothing has changed, when something that was begun later, on this node, is in force.
///
/// # Errors
/// [`OriginError::Precondition`], [`OriginError::EngineFull`] or [`OriginError::Busy`]: nothing has changed. [`OriginError::Unshared`]: it may
/// or may not have happened.
pub(super) async fn remove(
    hosted: &Arc<Hosted>,
    shared: &SharedNamespace,
    key: &Key,
    begun: Stamp,
    conditions: &KeptConditions,
) -> Result<bool, OriginError> {
    let store = &shared.store;
    let (_turn, within) = store.in_turn(hosted.live.turn(key), hosted.policy.gate.unwrap_or_default()).await?;
    for _ in 0..TRIES {
        let mut expected = expected(hosted, shared, key, conditions).await?;
        if hosted.hot.has_later(key, begun) {
            return Ok(false);
        }
        if let Some(kept @ ExpectedShared::Bytes(_)) = keep(hosted, shared, key, None).await?
            && expected == ExpectedShared::Anything
        {
            expected = kept;
        }
        match store.commit((&hosted.name, key), store.upload(), expected, None, within).await? {
            SharedOutcome::NoRoom => return Err(OriginError::EngineFull),
            SharedOutcome::Unexpected if expected != ExpectedShared::Anything => {}
            SharedOutcome::Done | SharedOutcome::Unexpected => {
                hosted.hot.pass(key, begun, hosted.hot.clock().now());
                return Ok(true);
            }
        }
    }
    Err(OriginError::Busy)
}

impl Hosted {
    /// Whether an object can be read here at once, or from what nodes share.
    pub(super) fn is_here(&self, key: &Key) -> bool {
        self.hot.is_readable(key) || self.durable_tier.shared().is_some() && self.durable_tier.has(key)
    }

    /// Waits until what is known of an object is all that was answered before, on whichever node; a node by itself knows that. What is written
    /// once may be [recent](Freshness::Recent), where the engine does not answer. Cancel-safe.
    ///
    /// # Errors
    /// [`OriginError::Unshared`].
    pub(super) async fn fresh(&self, key: &Key, may_be_recent: bool) -> Result<Freshness, OriginError> {
        match self.durable_tier.shared() {
            None => Ok(Freshness::Fresh),
            Some(shared) => Ok(shared.store.fresh(&self.name, key, may_be_recent).await?),
        }
    }

    /// A version that was decided is the object from now on.
    async fn arrived(self: &Arc<Self>, now: Now, key: &Key, of: SharedVersion) {
        let SharedVersion { known, described, body, is_old, .. } = of;
        let KnownShared { meta, length, .. } = known.clone();
        let (etag, expires) = (meta.etag.clone(), meta.expires);
        if !meta.kind.is_rewritten() {
            self.hot.let_go(key);
            if !is_old && !self.is_kept_copy(key) {
                let predecessor = match described.replaces {
                    Replaces::Nothing => Predecessor::None,
                    Replaces::SameMedia => Predecessor::SameMedia,
                    Replaces::OtherMedia => Predecessor::OtherMedia,
                };
                self.live.segment(now, key, (etag, expires), length, described.took, predecessor);
            }
            self.hot.tell_waiting(key);
            self.segment_came(key);
            return;
        }
        if is_old && known.is_cold() {
            self.hot.let_go(key);
            self.hot.tell_waiting(key);
            self.hear_again(key, known);
            return;
        }
        let body = match (body, self.durable_tier.shared()) {
            (None, Some(shared)) => shared.store.body_to_follow((&self.name, key), &known).await,
            (body, _) => body,
        };
        // What can't be had is replaced by now, or will be asked for again by who wants to read it.
        match body {
            Some(body) if is_old && !self.live.follows(key) => {
                self.hot.was_there(key, body, meta);
            }
            Some(body) => self.rewritten(now, key, meta, body, described.told.as_deref()).await,
            None => self.hot.let_go(key),
        }
        self.hot.tell_waiting(key);
    }

    /// The same of a playlist or MPD, whose bytes are here.
    async fn rewritten(self: &Arc<Self>, now: Now, key: &Key, mut meta: Meta, body: Bytes, told: Option<&str>) {
        let (of, name, bytes, kept) = (Arc::clone(self), key.clone(), body.clone(), meta.clone());
        let read = move || {
            let understood = legible::understood(&of, &name, kept.kind, (&bytes, kept.content_encoding.as_ref()));
            let news = of.policy.composes().then(|| of.composing_news(now, &name, &kept, &bytes, &understood));
            (understood, news)
        };
        let (noted, news) = match self.work.of_writers.work(body.len(), read).await {
            Ok((understood, news)) => (note(self, now, key, understood, body.len(), &meta).await, news),
            Err(error) => (Err(error), None),
        };
        // Of a server that is about to end.
        let Ok(noted) = noted else { return self.hot.let_go(key) };
        meta.liveness = Some(noted.liveness);
        let taken = self.hot.take_in(self.hot.made(key.clone(), body, meta), || true);
        if let Some(before) = &taken.replaced {
            self.work.editions.replaced(&self.object(key), before, &taken.entry);
        }
        if let Some(news) = news {
            self.take_up(now, key, news, told);
        }
    }
}

/// Takes up what the engine's journal tells.
#[derive(Debug)]
struct JournalFollower(Weak<Inner>);

impl JournalFollower {
    fn hosted(&self, name: &Namespace) -> Option<Arc<Hosted>> {
        self.0.upgrade()?.namespaces.load().get(name).cloned()
    }
}

impl SharedFollower for JournalFollower {
    fn take(&self, change: SharedChange) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let SharedChange { namespace, key, now, what } = change;
            // Of a namespace that is not among the settings here nothing is kept.
            let Some(hosted) = self.hosted(&namespace) else { return };
            match what {
                SharedNews::Version(version) => match version.upload.and_then(|upload| hosted.work.parked.take(upload)) {
                    Some(apply) => apply(now, version.known.meta.expires).await,
                    None => hosted.arrived(now, &key, *version).await,
                },
                SharedNews::Removed => {
                    let composed = hosted.composed_in_place(&key, now.moment);
                    hosted.hot.let_go(&key);
                    forget(&hosted, now, &key);
                    hosted.was_removed(&key, composed, now);
                }
                SharedNews::Renewed(until) => {
                    hosted.hot.renew(&key, until, now.moment);
                    hosted.live.renewed(&key, until);
                }
                SharedNews::Forgotten => hosted.hot.let_go(&key),
            }
        })
    }

    fn body(&self, namespace: &Namespace, key: &Key, hash: u128) -> Option<Bytes> {
        let entry = self.hosted(namespace)?.hot.peek(key)?;
        (entry.meta.etag == meta::etag(hash)).then(|| entry.body.clone())
    }
}

impl Origin {
    /// Shares all namespaces with other nodes: to be called before there are any.
    pub fn share(&self, shared: &SharedStore) {
        self.inner.store.share(shared.clone());
    }

    /// Begins to follow what other nodes do. To be called once there are namespaces.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub fn follow_shared(&self) {
        if let Some(shared) = self.inner.store.shared() {
            let follower: Arc<dyn SharedFollower> = Arc::new(JournalFollower(Arc::downgrade(&self.inner)));
            shared.start(&follower);
            tokio::spawn(shared_rates::share(Arc::downgrade(&self.inner), shared.clone()));
        }
    }
}
