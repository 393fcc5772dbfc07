//! What a public name stands for: `v_00012~1f3a9c0e.ts` is the version of `v_00012.ts` whose entity tag begins so, where playlists are
//! normalised in place; where they are made of sources, that of `v_00012.ts` below one of these. It is under its own name only when another
//! version has taken its place there since.
//!
//! One rule for all who ask: reads, waiting reads, windows of the past, harvests, and what is known of live streams.

use std::sync::Arc;

use http::HeaderValue;

use super::OriginError;
use super::live::Readership;
use super::namespace::Hosted;

use crate::hls::normalise::names;
use crate::model::clock::Moment;
use crate::model::id::Key;
use crate::model::kind::Kind;
use crate::model::meta::etag_digits;
use crate::store::shared::Freshness;
use crate::store::{Entry, Want};

/// What may stand behind a public name.
#[derive(Debug)]
pub(super) struct MeantBy<'a> {
    /// The names that encoders give it, in the order of the sources.
    pub(super) names: Vec<Key>,
    /// The tag that its version has to have; `None`: any will do.
    tag: Option<&'a str>,
}

impl MeantBy<'_> {
    /// Whether a version is what is meant.
    pub(super) fn is(&self, etag: &HeaderValue) -> bool {
        self.tag.is_none_or(|tag| etag_digits(etag, names::DIGITS) == Some(tag))
    }
}

impl Hosted {
    /// Whether playlists of this name are normalised in place.
    fn normalises(&self, key: &Key) -> bool {
        self.policy.normalise.iter().any(|prefix| key.as_str().starts_with(prefix))
    }

    /// A playlist that was composed in place, as it is in memory.
    pub(super) fn composed_in_place(&self, key: &Key, now: Moment) -> Option<Arc<Entry>> {
        let entry = if self.normalises(key) { self.hot.peek_at(key, now) } else { None };
        entry.filter(|entry| entry.meta.continuity.is_some())
    }

    /// What viewers call what is stored under this name: of a playlist that is normalised in place its own name. `None`: it is not for
    /// composed playlists.
    pub(super) fn public_of(&self, key: &Key) -> Option<Key> {
        if self.normalises(key) {
            return Some(key.clone());
        }
        let (_, public) = self.policy.pairs.iter().find_map(|pair| pair.public_of(key.as_str()))?;
        Key::parse(&public).ok()
    }

    /// Who reads what is stored under this name.
    pub(super) fn readership(&self, key: &Key) -> Readership {
        match () {
            () if self.public_of(key).is_some_and(|public| public != *key) => Readership::Elsewhere,
            // Viewers may be at another node: none tells the others who reads there.
            () if self.durable_tier.shared().is_some() || self.hot.was_read(key) => Readership::Some,
            () => Readership::None,
        }
    }

    /// What a public name stands for.
    pub(super) fn meant_by<'a>(&self, key: &'a Key) -> Option<MeantBy<'a>> {
        if !self.policy.composes() {
            return None;
        }
        let (name, tag) = (key.as_str(), names::tag(key.as_str()));
        let parsed = |name: String| Key::parse(&name).ok();
        if self.normalises(key) {
            return Some(MeantBy { names: vec![parsed(names::plain(name).into_owned())?], tag: Some(tag?) });
        }
        let pair = self.policy.pair_of(name)?;
        // Of playlists there is what was made of the sources', and nothing else.
        if tag.is_none() && Kind::of(key, &[]).is_rewritten() {
            return None;
        }
        let mut names: Vec<Key> = pair.behind(&names::plain(name)).filter_map(parsed).collect();
        if tag.is_none()
            && names.len() == 2
            && let Some(side) = self.work.pairs.only(&pair.public)
        {
            names.swap_remove(1 - side);
        }
        Some(MeantBy { names, tag })
    }

    /// The version in memory that has this name, its own or a public one, and was live then. Of a public name that of the nodes, too, where these
    /// share: without its bytes.
    pub(super) fn peek_named(&self, key: &Key, now: Moment) -> Option<Arc<Entry>> {
        if let Some(entry) = self.hot.peek_at(key, now) {
            return Some(entry);
        }
        let meant = self.meant_by(key)?;
        let here = meant.names.iter().filter_map(|name| self.hot.peek_at(name, now)).find(|entry| meant.is(&entry.meta.etag));
        here.or_else(|| {
            let all = std::iter::once(key).chain(&meant.names);
            all.filter_map(|name| self.shared_at(name, now)).find(|entry| meant.is(&entry.meta.etag))
        })
    }

    /// Waits until what a public name stands for is known here as far as it was answered before, on whichever node. What its name says the
    /// content of needs not be any newer than it is. Cancel-safe.
    ///
    /// # Errors
    /// [`OriginError::Unshared`].
    pub(super) async fn fresh_behind(&self, key: &Key) -> Result<(), OriginError> {
        let Some(meant) = self.meant_by(key).filter(|_| self.durable_tier.shared().is_some()) else { return Ok(()) };
        let is_known = || meant.tag.is_some() && self.peek_named(key, self.hot.clock().now()).is_some();
        for name in &meant.names {
            if is_known() {
                break;
            }
            if self.fresh(name, true).await? == Freshness::Recent && self.hot.peek(name).is_none() {
                self.fresh(name, false).await?;
            }
        }
        Ok(())
    }

    /// Under which name nodes share what this one stands for.
    pub(super) fn stored_as(&self, key: &Key) -> Key {
        let now = self.hot.clock().now();
        let is_public = self.policy.composes() && self.shared_at(key, now).is_none();
        let entry = if is_public { self.peek_named(key, now) } else { None };
        entry.map_or_else(|| key.clone(), |entry| entry.key.clone())
    }

    /// Whether it is a version that is kept for viewers alone: nobody has written it by this name.
    pub(super) fn is_kept_copy(&self, key: &Key) -> bool {
        let is_named_so = || !Kind::of(key, &[]).is_rewritten() && names::tag(key.as_str()).is_some();
        let is_listed = || self.work.public.listed_until(key, self.hot.clock().now()).is_some();
        self.policy.composes() && is_named_so() && (self.policy.pair_of(key.as_str()).is_some() || is_listed())
    }

    /// What is known of the version that has this public name: that of this side first, for both may have stored the same bytes, at other times.
    pub(super) fn known_named(&self, key: &Key, side: Option<usize>, now: Moment) -> Option<Arc<Entry>> {
        let meant = self.meant_by(key)?;
        let is_meant = |name: &Key| self.known_at(name, now).filter(|entry| meant.is(&entry.meta.etag));
        let own = side.and_then(|side| is_meant(meant.names.get(side)?));
        own.or_else(|| self.known_at(key, now)).or_else(|| meant.names.iter().find_map(is_meant))
    }

    /// Whether there may be something below memory by this name, its own or a public one: which tag it has there nobody knows without
    /// reading it.
    pub(super) fn may_have_below(&self, key: &Key) -> bool {
        let is_below = |name: &Key| !self.hot.holds(name) && self.durable_tier.may_have(name);
        self.durable_tier.may_have(key) || self.meant_by(key).is_some_and(|meant| meant.names.iter().any(is_below))
    }

    /// What is about to make way for another version, or for none, is kept under the name that a public playlist lists it by: first, so
    /// that there is no moment in which it is nowhere. `new`: the tag of what comes. Hands over what there is.
    pub(super) fn keep_public(&self, key: &Key, new: Option<&HeaderValue>, now: Moment) -> Option<Arc<Entry>> {
        let before = if self.policy.composes() { self.hot.peek_at(key, now) } else { None };
        before.inspect(|before| self.keep_listed(before, new, now))
    }

    /// Has what is about to make way in memory, where it is below that alone and a public playlist lists it: there it is [kept](Self::keep_public).
    /// Cancel-safe.
    pub(super) async fn bring_up_listed(&self, key: &Key) {
        let tier = &self.durable_tier;
        if Kind::of(key, &[]).is_rewritten() || tier.shared().is_some() || self.hot.holds(key) || !tier.may_have(key) {
            return;
        }
        let Some(public) = self.public_of(key) else { return };
        let is_listed = |before: &Entry| {
            let tagged = etag_digits(&before.meta.etag, names::DIGITS).map(|tag| names::tagged(public.as_str(), tag));
            let tagged = tagged.and_then(|tagged| Key::parse(&tagged).ok());
            tagged.is_some_and(|tagged| self.work.public.listed_until(&tagged, self.hot.clock().now()).is_some())
        };
        // What can't be read now viewers can't read either.
        let known = tier.read(key, |_| Want::Nothing).await.ok().flatten();
        if known.is_some_and(|known| is_listed(&known.entry)) {
            let _ = tier.read(key, |_| Want::Whole).await;
        }
    }

    /// The same of a version that may have made way just now: a playlist may have listed it since it was [looked at](Self::keep_public).
    pub(super) fn keep_listed(&self, before: &Entry, new: Option<&HeaderValue>, now: Moment) {
        let key = &before.key;
        // Where nodes share, all of them have to have it: that is done before it is decided.
        if !self.policy.composes() || Kind::of(key, &[]).is_rewritten() || self.durable_tier.shared().is_some() {
            return;
        }
        let Some(public) = self.public_of(key).filter(|_| new != Some(&before.meta.etag)) else { return };
        let tagged = etag_digits(&before.meta.etag, names::DIGITS).map(|tag| names::tagged(public.as_str(), tag));
        let Some(tagged) = tagged.and_then(|tagged| Key::parse(&tagged).ok()) else { return };
        let Some(until) = self.work.public.listed_until(&tagged, now) else { return };
        // What an encoder deletes it does not want to be looked back at.
        let until = if new.is_some() { before.meta.expires } else { before.meta.expires.min(until) };
        self.hot.keep(before, tagged, until, now);
    }

    /// Nobody but this server writes what viewers read by a public name: what is made of sources, or is listed with its tag.
    ///
    /// # Errors
    /// [`OriginError::PublicName`].
    pub(super) fn is_not_public(&self, key: &Key) -> Result<(), OriginError> {
        if !self.policy.composes() {
            return Ok(());
        }
        let is_listed =
            || names::tag(key.as_str()).is_some() && self.work.public.listed_until(key, self.hot.clock().now()).is_some();
        if self.policy.pair_of(key.as_str()).is_some() || is_listed() { Err(OriginError::PublicName) } else { Ok(()) }
    }
}
