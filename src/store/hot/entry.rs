//! One stored version of an object.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;

use crate::model::clock::{Moment, WallTime};
use crate::model::id::Key;
use crate::model::liveness::Liveness;
use crate::model::meta::Meta;
use crate::model::stamp::Stamp;
use crate::store::pinned::Keeper;

/// What an object costs beside its body and key, in bytes: the entry, its header values, its places in the map, in the eviction
/// order and in the expiry order, and the allocator's rounding. Measured with 1.5 million one-byte objects: 650 bytes of resident
/// memory each; the rest is for a map that is about to double.
pub const OVERHEAD: u64 = 768;

/// The first age rank of what was uploaded; what came back from a tier below is older than all of it.
pub(super) const UPLOADED: u64 = 1 << 63;
/// Age ranks, over all namespaces: of uploads, and of what came back.
static SEQUENCE: AtomicU64 = AtomicU64::new(UPLOADED);
static RETURNS: AtomicU64 = AtomicU64::new(0);

/// An immutable version of an object. Readers share it; a rewrite puts another in its place.
#[derive(Debug)]
pub struct Entry {
    /// Its key.
    pub key: Key,
    /// The whole body, contiguous and of exact size.
    pub body: Bytes,
    /// What is known of it.
    pub meta: Meta,
    /// When the request that brought it began; of what came back from a tier below that is not known any more.
    pub(super) begun: Stamp,
    /// The latest date that a version of its name may have had before it; the beginning of time when there was none.
    pub(super) before: WallTime,
    /// Its age rank: versions completed later have larger ones.
    pub(in crate::store) sequence: u64,
    /// Whether a stream that is alive needs it: then it is given up last of all.
    pub(super) leased: bool,
    /// Whether it was read since eviction last looked.
    visited: AtomicBool,
    /// The store's hold on the body, where what readers have of it is counted. Behind the body: it is to be dropped after it.
    kept: Option<Keeper>,
}

impl Entry {
    /// A version, stored nowhere yet.
    #[must_use]
    pub fn new(key: Key, body: Bytes, meta: Meta) -> Self {
        let (sequence, begun) = (SEQUENCE.fetch_add(1, Ordering::Relaxed), Stamp::default());
        let before = WallTime::from_millis(0);
        Self { key, body, meta, begun, before, sequence, leased: false, visited: AtomicBool::new(false), kept: None }
    }

    /// The same, with a body that is lent: what readers have of it once it is gone is counted.
    pub(in crate::store) fn kept_by(self, kept: Option<Keeper>) -> Self {
        Self { kept, ..self }
    }

    /// The same version, as the one that a request brought which began then.
    pub(in crate::store) fn begun(self, begun: Stamp) -> Self {
        Self { begun, ..self }
    }

    /// The same version with a longer life, because a stream that is alive needs it.
    pub(super) fn renewed(&self, expires: Moment) -> Self {
        let meta = Meta { expires: self.meta.expires.max(expires), ..self.meta.clone() };
        Self { leased: true, ..self.described(meta) }
    }

    /// The same version, with what its playlist says of the stream.
    pub(super) fn understood(&self, liveness: Arc<Liveness>) -> Self {
        self.described(Meta { liveness: Some(liveness), ..self.meta.clone() })
    }

    /// The same version under another name, to live until then.
    pub(super) fn renamed(&self, key: Key, expires: Moment, begun: Stamp) -> Self {
        let meta = Meta { expires, ..self.meta.clone() };
        Self::new(key, self.body.clone(), meta).kept_by(self.kept.clone()).begun(begun)
    }

    /// The same version, described so.
    fn described(&self, meta: Meta) -> Self {
        Self {
            key: self.key.clone(),
            body: self.body.clone(),
            meta,
            begun: self.begun,
            before: self.before,
            sequence: self.sequence,
            leased: self.leased,
            visited: AtomicBool::new(self.visited.load(Ordering::Relaxed)),
            kept: self.kept.clone(),
        }
    }

    /// The same version, of which is not known what it has replaced: its date alone tells nothing.
    #[must_use]
    pub fn of_unknown_past(self) -> Self {
        let before = self.before.max(self.meta.modified);
        Self { before, ..self }
    }

    /// A version that was uploaded before and comes back. It is the first to go when room is needed, after those that came back
    /// before it.
    pub(in crate::store) fn reloaded(key: Key, body: Bytes, meta: Meta) -> Self {
        let (sequence, begun) = (RETURNS.fetch_add(1, Ordering::Relaxed), Stamp::default());
        // What it replaced is not known any more.
        let before = meta.modified;
        Self { key, body, meta, begun, before, sequence, leased: false, visited: AtomicBool::new(false), kept: None }
    }

    /// Whether its date may be that of another version of its name, or an earlier one: two versions of one second, or a clock that was
    /// set back. Then a date alone does not tell them apart.
    #[must_use]
    pub fn shares_date(&self) -> bool {
        self.before.seconds() >= self.meta.modified.seconds()
    }

    /// Whether it came back from a tier below and is nothing a stream needs.
    pub(super) fn is_spare(&self) -> bool {
        self.sequence < UPLOADED && !self.leased && !self.meta.kind.is_protected()
    }

    /// What it counts against the hot capacity.
    pub(super) fn cost(&self) -> u64 {
        cost(&self.key, self.body.len() as u64) + self.meta.kept_bytes()
    }

    /// Notes a read. Looks before it writes: a segment that a thousand readers want is marked once, and its cache line stays
    /// shared.
    pub(super) fn visit(&self) {
        if !self.visited.load(Ordering::Relaxed) {
            self.visited.store(true, Ordering::Relaxed);
        }
    }

    /// Whether it was read lately.
    pub(super) fn is_visited(&self) -> bool {
        self.visited.load(Ordering::Relaxed)
    }

    /// Whether it was read since the last call.
    pub(super) fn take_visit(&self) -> bool {
        self.visited.swap(false, Ordering::Relaxed)
    }
}

/// What an object of this key and length counts against the hot capacity, its writer's headers apart.
pub(in crate::store) fn cost(key: &Key, length: u64) -> u64 {
    length + key.as_str().len() as u64 + OVERHEAD
}
