//! What a public name stands for: `v_00012~1f3a9c0e.ts` is the version of `v_00012.ts` whose entity tag begins so. It is under its own
//! name only when another version has taken its place there since.
//!
//! One rule for all who ask: reads, waiting reads, windows of the past, harvests, and what is known of live streams.

use std::sync::Arc;

use http::HeaderValue;

use super::namespace::Hosted;

use crate::hls::normalise::names;
use crate::model::clock::Moment;
use crate::model::id::Key;
use crate::model::kind::Kind;
use crate::model::meta::etag_digits;
use crate::store::Entry;

/// Whether a version has this entity tag, as names carry it.
pub(super) fn has_tag(etag: &HeaderValue, tag: &str) -> bool {
    etag_digits(etag, names::DIGITS) == Some(tag)
}

impl Hosted {
    /// Whether playlists of this name are normalised.
    pub(super) fn normalises(&self, key: &Key) -> bool {
        self.policy.normalise.iter().any(|prefix| key.as_str().starts_with(prefix))
    }

    /// The encoder's name of what a public name stands for, and the tag that it has to have.
    pub(super) fn meant_by<'a>(&self, key: &'a Key) -> Option<(Key, &'a str)> {
        if self.policy.normalise.is_empty() || !self.normalises(key) {
            return None;
        }
        let tag = names::tag(key.as_str())?;
        Some((Key::parse(&names::plain(key.as_str())).ok()?, tag))
    }

    /// The version in memory that has this name, its own or a public one, and was live then.
    pub(super) fn peek_named(&self, key: &Key, now: Moment) -> Option<Arc<Entry>> {
        if let Some(entry) = self.hot.peek_at(key, now) {
            return Some(entry);
        }
        let (plain, tag) = self.meant_by(key)?;
        self.hot.peek_at(&plain, now).filter(|entry| has_tag(&entry.meta.etag, tag))
    }

    /// Whether there may be something below memory by this name, its own or a public one: which tag it has there nobody knows without
    /// reading it.
    pub(super) fn may_have_below(&self, key: &Key) -> bool {
        self.durable_tier.may_have(key)
            || self.meant_by(key).is_some_and(|(plain, _)| !self.hot.holds(&plain) && self.durable_tier.may_have(&plain))
    }

    /// What is about to make way for another version, or for none, is kept under the name that a public playlist lists it by: first, so
    /// that there is no moment in which it is nowhere. `new`: the tag of what comes.
    pub(super) fn keep_public(&self, key: &Key, new: Option<&HeaderValue>, now: Moment) {
        if self.policy.normalise.is_empty() || Kind::of(key, &[]).is_rewritten() || !self.normalises(key) {
            return;
        }
        let Some(before) = self.hot.peek_at(key, now).filter(|before| new != Some(&before.meta.etag)) else { return };
        let tagged = etag_digits(&before.meta.etag, names::DIGITS).map(|tag| names::tagged(key.as_str(), tag));
        let Some(tagged) = tagged.and_then(|tagged| Key::parse(&tagged).ok()) else { return };
        let Some(until) = self.work.public.listed_until(&tagged, now) else { return };
        // What an encoder deletes it does not want to be looked back at.
        let until = if new.is_some() { before.meta.expires } else { before.meta.expires.min(until) };
        self.hot.keep(&before, tagged, until, now);
    }
}
