//! A whole version of an object, and what a reader is told of it.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;

use crate::model::clock::{Now, WallTime};
use crate::model::conditions::Validators;
use crate::model::meta::{self, Meta};
use crate::origin::cache_control;
use crate::origin::namespace::Hosted;
use crate::store::Entry;

/// A whole version of an object, to be sent to a reader.
#[derive(Clone, Debug)]
pub struct Found {
    entry: Arc<Entry>,
    /// Where what is at hand of the body begins, and how long all of it is; `None` when all of it is at hand, from memory.
    from_tier: Option<(usize, usize)>,
    /// What is left of its time to live, in whole seconds.
    pub left: Duration,
    /// How long a shared cache may keep it, in seconds.
    pub max_age: u64,
    /// How long ago it was stored, by the wall clock.
    pub age: Duration,
    /// Now, where its date lies in the future of a clock that was set back since.
    ahead_of: Option<WallTime>,
    /// It was made for this reader: it has his key in it. Nobody may keep it, nothing is compared with it, and it comes whole.
    pub is_personal: bool,
    /// Who takes other codings gets it otherwise.
    pub varies: bool,
}

impl Found {
    /// A version, and what a reader is told of it now.
    pub(super) fn new(hosted: &Hosted, entry: Arc<Entry>, now: Now) -> Self {
        let left = Duration::from_secs(entry.meta.expires.since(now.moment).as_secs());
        let max_age = hosted.policy.max_age(&entry.meta, left);
        let wall = now.wall;
        let age = wall.since(entry.meta.modified);
        let ahead_of = (entry.meta.modified > wall).then_some(wall);
        Self { entry, from_tier: None, left, max_age, age, ahead_of, is_personal: false, varies: false }
    }

    /// A version that is stored nowhere.
    pub(super) fn made(entry: Arc<Entry>, left: Duration, max_age: u64) -> Self {
        Self { entry, from_tier: None, left, max_age, age: Duration::ZERO, ahead_of: None, is_personal: false, varies: false }
    }

    /// The same, made for one reader alone.
    pub(super) fn personal(self) -> Self {
        Self { is_personal: true, ..self }
    }

    /// The same, which is answered by what codings are taken.
    pub(super) fn varying(self) -> Self {
        Self { varies: true, ..self }
    }

    /// Whether all of its body is at hand.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.length() == self.entry.body.len()
    }

    /// The same, read from below memory.
    pub(super) fn read_below(self, begin: usize, length: usize) -> Self {
        Self { from_tier: Some((begin, length)), ..self }
    }

    /// The body's length.
    #[must_use]
    pub fn length(&self) -> usize {
        self.from_tier.map_or(self.entry.body.len(), |(_, length)| length)
    }

    /// The whole body, a reference to the store's own bytes; after a read of [`Portion::Nothing`](super::Portion::Nothing) or of a
    /// part, no more than that.
    #[must_use]
    pub fn body(&self) -> &Bytes {
        &self.entry.body
    }

    /// A part of the body, by reference; empty when it was not asked for.
    #[must_use]
    pub fn part(&self, part: Range<usize>) -> Bytes {
        let begin = self.from_tier.map_or(0, |(begin, _)| begin);
        let at_hand = begin..begin + self.entry.body.len();
        if part.start < at_hand.start || part.end > at_hand.end {
            return Bytes::new();
        }
        self.entry.body.slice(part.start - begin..part.end - begin)
    }

    /// Whether it was read from below memory.
    #[must_use]
    pub fn is_from_below(&self) -> bool {
        self.from_tier.is_some()
    }

    /// What is known of it.
    #[must_use]
    pub fn meta(&self) -> &Meta {
        &self.entry.meta
    }

    /// What its encoder wants caches told, where that is less than [`Self::max_age`].
    #[must_use]
    pub fn cache_control(&self) -> Option<HeaderValue> {
        cache_control::served(self.entry.meta.cache_control.as_ref()?, self.max_age)
    }

    /// `Last-Modified`, never later than now (RFC 9110 8.8.2.1).
    #[must_use]
    pub fn last_modified(&self) -> HeaderValue {
        self.ahead_of.map_or_else(|| self.entry.meta.last_modified.clone(), |now| meta::validators("", now).1)
    }

    /// What conditions are judged against.
    #[must_use]
    pub fn validators(&self) -> Validators<'_> {
        Validators { shares_date: self.entry.shares_date(), ..validators(&self.entry.meta) }
    }
}

/// What conditions are judged against.
pub(in crate::origin) fn validators(meta: &Meta) -> Validators<'_> {
    Validators { etag: meta.etag.as_bytes(), modified: meta.modified, shares_date: false }
}
