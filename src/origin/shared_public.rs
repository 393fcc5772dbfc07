//! Public playlists where nodes share: each node that knows of something new takes the step, and the engine takes the first.
//!
//! A step is taken of the version that is there, and decided on condition that it still is. Who comes too late takes the step of what is
//! there then, and finds mostly that there is nothing more to do. So whichever nodes take the encoders' uploads, and whichever die, there is one
//! list, which only goes on; and nothing that it goes on by is known to one node alone: its lines and what is [kept with
//! them](crate::model::continuity) are at the engine, and so is what the segments' bytes say.
//!
//! The node that took an upload goes on at once, before it is answered. The others look [a moment later](LATER): they have something to do where
//! that one has died.

use std::sync::Arc;
use std::time::Duration;

use super::OriginError;
use super::apply::Put;
use super::beside::{PublishedBeside, TakenUp};
use super::decide::{Candidate, are_met};
use super::legible;
use super::listed::{LATER, ONCE_MORE};
use super::live::{PlaylistTurn, Understood};
use super::looks::LooksFor;
use super::namespace::Hosted;
use super::pairs::ManifestPair;
use super::prepare::Draft;
use super::shared::decide;
use super::told::PublicNews;
use crate::hls::playlist::Playlist;
use crate::model::clock::Moment;
use crate::model::conditions::KeptConditions;
use crate::model::id::Key;
use crate::model::kind::Kind;
use crate::model::meta::{Meta, Outset};
use crate::store::shared::{COMMIT_WITHIN, ExpectedShared, SharedNamespace, SharedOutcome};
use crate::store::{Body, Entry, StoreError};

/// So often a step is taken anew, where other nodes take one in between.
const TRIES: usize = 8;
/// How long somebody waits for the turn of a public name, behind one who waits for the engine there.
const TURN_WITHIN: Duration = Duration::from_secs(3);
/// A copy that lives so much shorter than another one would is not worth another.
const MUCH_SHORTER: Duration = Duration::from_secs(5);

/// What there is under a public name.
pub(super) struct PublicThere {
    /// What the engine is to find, when something takes its place.
    pub(super) expected: ExpectedShared,
    pub(super) hash: Option<u128>,
    /// Where it was composed: it, with what it goes on by.
    pub(super) composed: Option<Arc<Entry>>,
    meta: Option<Meta>,
}

impl PublicThere {
    const NOTHING: Self = Self { expected: ExpectedShared::Nothing, hash: None, composed: None, meta: None };

    /// Whether it is these bytes, and lives as long.
    fn is_as(&self, body: &Body, expires: Moment) -> bool {
        let lives = |meta: &Meta| meta.expires + MUCH_SHORTER >= expires;
        self.hash == Some(body.hash) && self.meta.as_ref().is_some_and(lives)
    }
}

/// What a version says beside its bytes, as of this time.
pub(super) fn outset(meta: &Meta, now: Moment) -> Outset {
    Outset {
        kind: meta.kind,
        content_type: meta.content_type.clone(),
        rendering: meta.rendering,
        content_encoding: meta.content_encoding.clone(),
        cache_control: meta.cache_control.clone(),
        ttl: meta.expires.since(now),
    }
}

impl Hosted {
    /// The turn of a public name, to be had before something is made under it. `None`, where nodes share: who has it waits for the engine, as each
    /// one behind him would; what is to be made can be made later, and who has uploaded something is not kept waiting for it. Cancel-safe.
    pub(super) async fn public_turn(&self, public: &Key) -> Option<PlaylistTurn> {
        let turn = self.live.turn(public);
        match self.durable_tier.shared() {
            None => Some(turn.await),
            Some(_) => tokio::time::timeout(TURN_WITHIN, turn).await.ok(),
        }
    }

    /// What there is under a public name, as far as that is known here. Cancel-safe.
    ///
    /// # Errors
    /// [`OriginError::Unshared`]; [`OriginError::Busy`], when it changes faster than it can be read.
    pub(super) async fn public_there(&self, shared: &SharedNamespace, key: &Key) -> Result<PublicThere, OriginError> {
        for _ in 0..TRIES {
            let Some(known) = shared.store.known(&self.name, key) else {
                // Before it is known what the bucket has, nobody knows with what the list goes on.
                return if shared.is_whole(key) { Ok(PublicThere::NOTHING) } else { Err(StoreError::Unreachable.into()) };
            };
            let composed = if known.meta.continuity.is_none() {
                None
            } else {
                let here = self.hot.peek(key).filter(|entry| entry.meta.etag == known.meta.etag);
                let body = match here {
                    Some(entry) => Some(entry.body.clone()),
                    None => shared.store.body((&self.name, key), &known, None).await?,
                };
                // Another one has taken its place meanwhile.
                let Some(body) = body else { continue };
                Some(Arc::new(Entry::new(key.clone(), body, known.meta.clone())))
            };
            let (hash, meta) = (Some(known.hash), Some(known.meta));
            return Ok(PublicThere { expected: ExpectedShared::Bytes(known.hash), hash, composed, meta });
        }
        Err(OriginError::Busy)
    }

    /// Makes it the public object, where that is still what was expected; else hands it back.
    ///
    /// # Errors
    /// [`OriginError::EngineFull`] or [`OriginError::Busy`]: nothing has changed. [`OriginError::Unshared`]: it may or may not have.
    pub(super) async fn publish_shared(
        self: &Arc<Self>,
        shared: &SharedNamespace,
        (public, draft): (&Key, Draft),
        expected: ExpectedShared,
        told: &PublicNews,
    ) -> Result<Result<(), Option<Draft>>, OriginError> {
        let upload = self.hot.create(public, None, self.hot.stamp())?;
        let candidate = Candidate { upload, conditions: KeptConditions::default(), below: None };
        let put = Put { candidate, draft, took: Duration::ZERO, below: None, reach: None };
        let decision = decide(self, shared, public, (put, Some(told)), expected, COMMIT_WITHIN).await?;
        match decision.outcome {
            SharedOutcome::Done => Ok(Ok(())),
            SharedOutcome::Unexpected => Ok(Err(decision.into_draft())),
            SharedOutcome::NoRoom => Err(OriginError::EngineFull),
        }
    }

    /// Takes the next step of a public playlist with one source. To be called in its turn. `removed`: it goes on with that, where there is none;
    /// `conditions`: of the upload that it takes the place of.
    ///
    /// # Errors
    /// As [`Hosted::publish_shared`]; [`OriginError::Precondition`].
    pub(super) async fn compose_one(
        self: &Arc<Self>,
        shared: &SharedNamespace,
        (source, public): (&Key, &Key),
        removed: Option<Arc<Entry>>,
        conditions: Option<&KeptConditions>,
    ) -> Result<(), OriginError> {
        for _ in 0..TRIES {
            let Some(heard) = self.work.public.version(source) else { return Ok(()) };
            let there = self.public_there(shared, public).await?;
            if conditions.is_some_and(|conditions| !are_met(conditions, there.meta.as_ref(), None)) {
                return Err(OriginError::Precondition);
            }
            let before = there.composed.clone().or_else(|| removed.clone().filter(|_| there.hash.is_none()));
            let Some((draft, news)) = self.composed(&self.object(source), heard, before).await? else { return Ok(()) };
            if !there.composed.as_ref().is_some_and(|known| draft.is_as(known)) {
                let told = PublicNews::mending(&news.mended);
                if self.publish_shared(shared, (public, draft), there.expected, &told).await?.is_err() {
                    continue;
                }
            }
            self.tell_composed(source, public, &news);
            return Ok(());
        }
        Err(OriginError::Busy)
    }

    /// Makes what a source has stored what viewers get, as it is. To be called in the turn of the public name. `is_look`: it was stored by another
    /// node, which has done so, if it is alive.
    ///
    /// # Errors
    /// As [`Hosted::publish_shared`].
    pub(super) async fn publish_copy(
        self: &Arc<Self>,
        shared: &SharedNamespace,
        (source, public): (&Key, &Key),
        draft: Draft,
        compared: &ManifestPair,
        is_look: bool,
    ) -> Result<(), OriginError> {
        let mut draft = Some(draft);
        let is_media = matches!(draft.as_ref().map(|draft| &draft.understood), Some(Some(Understood::Hls(Playlist::Media(_)))));
        for _ in 0..TRIES {
            let there = self.public_there(shared, public).await?;
            // The other source's may have been composed meanwhile.
            if is_media && there.composed.is_some() {
                return Ok(());
            }
            self.work.public.forget(source);
            let Some(copy) = draft.take_if(|copy| self.is_shown(public, source, copy.understood.as_ref(), compared)) else {
                return Ok(());
            };
            if is_look && there.is_as(&copy.body, self.hot.clock().now() + copy.outset.ttl) {
                return Ok(());
            }
            let side = self.side_of(source).filter(|_| copy.outset.kind == Kind::Manifest);
            let told = PublicNews { copy_of: side, ..PublicNews::default() };
            match self.publish_shared(shared, (public, copy), there.expected, &told).await? {
                Ok(()) => return Ok(()),
                Err(back) => draft = back,
            }
        }
        Err(OriginError::Busy)
    }

    /// The same for what a source has stored by another node, or when there was no room for it.
    async fn copy_again(self: &Arc<Self>, source: &Key) {
        let (Some(public), Some(entry)) = (self.public_of(source), self.hot.peek(source)) else { return };
        let meta = &entry.meta;
        let understood = legible::understood(self, source, meta.kind, (&entry.body, meta.content_encoding.as_ref()));
        let draft = Draft {
            body: Body::new(entry.body.to_vec()),
            outset: outset(meta, self.hot.clock().now()),
            understood: Some(understood),
            facts: None,
            continuity: None,
        };
        let taken_up = self.copied(&self.object(source), public, draft).await;
        let Ok(TakenUp::Beside(_, beside)) = taken_up else { return };
        if let PublishedBeside::Copy(public, copy, compared) = *beside {
            let Some(_turn) = self.public_turn(&public).await else { return self.look_later(source, LooksFor::Copy) };
            // What has come meanwhile is shown by who took it, in this turn before or behind.
            if self.hot.peek(source).is_some_and(|there| there.meta.etag == entry.meta.etag) {
                self.show_copy((source, &public), *copy, &compared, true).await;
            }
        }
    }

    /// Another node has stored something of a source: looks a moment later whether it has gone on with that. Or there was no room for what is to come of
    /// it: tries again.
    pub(super) fn look_later(self: &Arc<Self>, source: &Key, what: LooksFor) {
        let Some(public) = self.public_of(source) else { return };
        let noted = if what == LooksFor::List { public.clone() } else { source.clone() };
        if what != LooksFor::Removal && !self.work.public.puts_off(&noted) {
            return;
        }
        // In place nobody knows the version but who took it.
        let after = match what {
            LooksFor::CopyOnceMore => ONCE_MORE,
            _ if public == *source => Duration::ZERO,
            _ => LATER,
        };
        let (hosted, source) = (Arc::clone(self), source.clone());
        tokio::spawn(async move {
            tokio::time::sleep(after).await;
            if what != LooksFor::Removal {
                hosted.work.public.looks_now(&noted);
            }
            match what {
                LooksFor::List => hosted.compose_again(&source).await,
                LooksFor::Removal => hosted.side_deleted(&source).await,
                LooksFor::Copy | LooksFor::CopyOnceMore => hosted.copy_again(&source).await,
            }
        });
    }
}

#[cfg(test)]
pub(super) mod tests {
    use tokio::time::{Instant, timeout};

    use super::*;
    use crate::metrics::Metrics;
    use crate::model::clock::Clock;
    use crate::model::id::Namespace;
    use crate::origin::Origin;
    use crate::origin::policy::{NamespacePolicy, PairPolicy};
    use crate::store::shared::{NodeIdentity, SharedStore, ValkeyAddress};

    /// An origin of one namespace that shares it, by an engine which it never reaches.
    pub(in crate::origin) fn sharing_origin(policy: NamespacePolicy) -> (Origin, Namespace) {
        let (clock, metrics, name) = (Clock::manual(), Arc::new(Metrics::new()), Namespace::parse("live").unwrap());
        let address = ValkeyAddress {
            servers: Vec::new(),
            is_cluster: false,
            tls: None,
            copies: 1,
            user: None,
            password: None,
            prefix: String::new(),
        };
        let identity = NodeIdentity::new("one", "0", Vec::new());
        let origin = Origin::new([], 1 << 30, clock.clone(), &metrics);
        origin.share(&SharedStore::new(&address, &identity, clock, metrics.cluster(), ""));
        origin.configure([(name.clone(), policy)], 1 << 30);
        (origin, name)
    }

    #[tokio::test(start_paused = true)]
    async fn behind_one_who_waits_for_the_engine_nobody_waits_for_long() {
        let pair = |public: &str, sources: &[&str]| PairPolicy {
            public: public.to_owned(),
            sources: sources.iter().map(|source| (*source).to_owned()).collect(),
            ..PairPolicy::default()
        };
        let pairs = vec![pair("one/", &["src/"]), pair("two/", &["a/", "b/"])];
        let (origin, name) = sharing_origin(NamespacePolicy { pairs, ..NamespacePolicy::default() });
        let hosted = origin.inner.namespaces.load().get(&name).cloned().unwrap();
        let key = |name: &str| Key::parse(name).unwrap();
        let _turns = (hosted.live.turn(&key("one/p.m3u8")).await, hosted.live.turn(&key("two/p.m3u8")).await);
        let begun = Instant::now();
        let sources = ["src/p.m3u8", "a/p.m3u8", "b/p.m3u8", "src/p.m3u8"].map(key);
        let all = futures_util::future::join_all(sources.iter().map(|source| hosted.compose_again(source)));
        assert!(timeout(TURN_WITHIN * 10, all).await.is_ok(), "they are stored, and are to be answered");
        assert!(begun.elapsed() < TURN_WITHIN * 2, "none of them for the others");
    }
}
