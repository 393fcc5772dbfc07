//! Where bytes are.
//!
//! A [`Store`] opens one [`HotNamespace`] for each configured namespace; an object goes in through an [`Upload`] and comes out as an
//! [`Entry`], or piece by piece through a [`GrowingReader`] while it is still going in. Who comes too early waits for its
//! [`NextNews`]. [`DurableTier`] is what lies below memory: the [`tier`] that decides, and a [`cold`] backend that keeps.
//!
//! Invariants: nothing here knows HTTP, keys or playlists. An object is whole or absent, and a name changes from one whole
//! version to the next in one step; what is read while it grows is no object yet, and never seen where there is one. Bytes
//! counted = bytes held. No lock is held across an await. The hot store knows nothing of what is below it, and never waits for it.

mod arrival;
pub mod cold;
mod folder_owner;
mod growing;
mod hash;
mod hot;
mod in_flight;
mod page;
mod pieces;
mod pinned;
pub mod shared;
pub mod tier;
mod upload;
mod uploads;
mod waiters;

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

pub use arrival::NextNews;
use cold::DiskTurns;
pub use cold::cloud::{Access, Folder, Location, LocationError};
pub use cold::{ColdError, Readers};
pub use growing::{BrokenOff, GrowingReader};
pub use hot::entry::{Entry, OVERHEAD};
pub use hot::follow::TakenIn;
pub use hot::order::OPENED_WITHIN;
pub use hot::{HotNamespace, Published, Removal, SWEPT_AT_ONCE, Usage};
pub use in_flight::InFlightLimit;
pub use page::{NamePage, NameStep};
pub use pinned::is_given_up;
use shared::{BucketPlace, OpenBucket, SharedNamespace, SharedStore};
pub use tier::{Ack, ColdHit, KeptBelow, OpenCold, Options, Tier, Want};
pub use upload::{Body, Upload};

use crate::metrics::{DurableMetrics, Metrics, NamespaceMetrics};
use crate::model::clock::{Clock, WallTime};
use crate::model::id::{Key, Namespace};
use crate::model::stamp::{Stamp, Stamps};

/// Why bytes are not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The process-wide limit on bytes in flight is reached; it passes as uploads end.
    #[error("the limit on bytes in flight is reached")]
    Busy,
    /// A condition of the write does not hold for what is stored now.
    #[error("the stored version does not meet the condition")]
    Precondition,
    /// The tier below did not take the write in time; it is in memory, and is still being tried.
    #[error("the write is not on stable storage")]
    NotDurable,
    /// The tier below can't be read now.
    #[error("the durable tier can't be read")]
    Unreachable,
    /// The engine that nodes share does not answer: nobody knows what is there, or whether a write has happened.
    #[error("the engine that the nodes share does not answer")]
    Unshared,
    /// There is such an object, and nobody has its bytes any more.
    #[error("the object's bytes are lost")]
    Bodiless,
}

/// What is below a namespace's memory, by its settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Durable {
    /// Nothing: what leaves memory is gone.
    Off,
    /// A folder below the data directory.
    #[default]
    Disk,
    /// A bucket, by its URL.
    Bucket(String),
}

/// What is below a namespace's memory: a tier, what nodes share, or nothing. A cheap handle.
#[derive(Clone, Debug, Default)]
pub struct DurableTier(Below);

#[derive(Clone, Debug, Default)]
enum Below {
    #[default]
    Off,
    Tier(Tier),
    Shared(Arc<SharedNamespace>),
}

/// What all namespaces share: the limit on bytes in flight.
#[derive(Debug)]
pub struct Store {
    in_flight: Arc<InFlightLimit>,
    clock: Clock,
    stamps: Arc<Stamps>,
    objects: Option<PathBuf>,
    readers: Readers,
    access: Access,
    /// All namespaces' on the local disk.
    turns: DiskTurns,
    shared: OnceLock<SharedStore>,
}

impl Store {
    /// `max_in_flight` bounds the bytes of all uploads in flight together.
    #[must_use]
    pub fn new(max_in_flight: u64, clock: Clock, metrics: &Metrics) -> Self {
        Self {
            in_flight: Arc::new(InFlightLimit::new(max_in_flight, metrics.in_flight_bytes.clone())),
            stamps: Arc::new(Stamps::new(clock.clone())),
            turns: DiskTurns::new(clock.clone()),
            clock,
            objects: None,
            readers: Readers::default(),
            access: Access::default(),
            shared: OnceLock::new(),
        }
    }

    /// Has what is opened from now on shared with other nodes: they decide what is the object, and have what is not in memory here.
    pub fn share(&self, shared: SharedStore) {
        let _ = self.shared.set(shared);
    }

    /// What is shared, if anything is.
    #[must_use]
    pub fn shared(&self) -> Option<&SharedStore> {
        self.shared.get()
    }

    /// Lets namespaces have a tier below, with its local files in this folder.
    #[must_use]
    pub fn with_objects_in(self, folder: PathBuf) -> Self {
        Self { objects: Some(folder), ..self }
    }

    /// Lets others on this machine read the bodies in it.
    #[must_use]
    pub fn with_readers(self, readers: Readers) -> Self {
        Self { readers, ..self }
    }

    /// Lets tiers be in buckets, with what opens these.
    #[must_use]
    pub fn with_buckets(self, access: Access) -> Self {
        Self { access, ..self }
    }

    /// Begins what is below a namespace that has just been opened. It starts by itself; [`DurableTier::opened`] tells when it has.
    ///
    /// # Panics
    /// With a tier, outside of a runtime.
    #[must_use]
    pub fn open_durable_tier(
        &self,
        name: &Namespace,
        hot: &Arc<HotNamespace>,
        durable: &Durable,
        options: Options,
        metrics: DurableMetrics,
    ) -> DurableTier {
        if let Some(shared) = self.shared.get() {
            let below = self.open_bucket(name, durable).map(|place| (place, options.ack));
            return DurableTier(Below::Shared(Arc::new(SharedNamespace::new(shared, name, hot, below, metrics))));
        }
        let Some(objects) = self.objects.clone().filter(|_| *durable != Durable::Off) else { return DurableTier::default() };
        let (place, folder, namespace) = (durable.clone(), objects.clone(), name.clone());
        let (access, clock, readers, turns) = (self.access.clone(), self.clock.clone(), self.readers, self.turns.clone());
        let open: OpenCold = Arc::new(move || cold::open(&place, &folder, &namespace, &access, &clock, readers, &turns));
        // By the place, so that what the journal of one says is never believed of another.
        let place = match durable {
            Durable::Bucket(url) => format!("{:032x}", hash::of_body(url.as_bytes())),
            Durable::Disk | Durable::Off => "disk".to_owned(),
        };
        let journal = objects.join(".index").join(name.as_str()).join(place);
        DurableTier(Below::Tier(Tier::start(name.clone(), hot, open, journal, options, metrics)))
    }

    /// The way to the bucket of a namespace that nodes share, where it has one.
    fn open_bucket(&self, name: &Namespace, durable: &Durable) -> Option<BucketPlace> {
        let Durable::Bucket(url) = durable else { return None };
        let (to, name, access, clock) = (url.clone(), name.clone(), self.access.clone(), self.clock.clone());
        let open: OpenBucket = Arc::new(move || cold::open_bucket(&to, &name, &access, &clock));
        Some(BucketPlace { url: url.clone(), open })
    }

    /// Makes a namespace, empty, with its hot capacity in bytes.
    #[must_use]
    pub fn open(&self, capacity: u64, metrics: NamespaceMetrics) -> Arc<HotNamespace> {
        Arc::new(HotNamespace::new(capacity, Arc::clone(&self.in_flight), self.clock.clone(), Arc::clone(&self.stamps), metrics))
    }

    /// The stamp of a request that begins now.
    #[must_use]
    pub fn stamp(&self) -> Stamp {
        self.stamps.next()
    }

    /// Changes the limit. Uploads that were admitted go on, also over a lower one.
    pub fn set_max_in_flight(&self, bytes: u64) {
        self.in_flight.set_limit(bytes);
    }
}

impl DurableTier {
    /// One that a test has put together.
    #[must_use]
    pub fn new(tier: Tier) -> Self {
        Self(Below::Tier(tier))
    }

    fn tier(&self) -> Option<&Tier> {
        if let Below::Tier(tier) = &self.0 { Some(tier) } else { None }
    }

    /// What other nodes share with this one, if they do.
    #[must_use]
    pub fn shared(&self) -> Option<&SharedNamespace> {
        if let Below::Shared(shared) = &self.0 { Some(&**shared) } else { None }
    }

    /// Whether there is anything.
    #[must_use]
    pub fn is_there(&self) -> bool {
        !matches!(self.0, Below::Off)
    }

    /// Finds an object that is not in memory; `None` when there is none. `want` is told its length. Cancel-safe.
    ///
    /// # Errors
    /// [`StoreError::Unreachable`] or [`StoreError::Unshared`]: nobody knows. [`StoreError::Bodiless`].
    pub async fn read(&self, key: &Key, want: impl FnOnce(u64) -> Want) -> Result<Option<ColdHit>, StoreError> {
        match &self.0 {
            Below::Tier(tier) => tier.read(key, want).await,
            Below::Shared(shared) => shared.read(key, want).await,
            Below::Off => Ok(None),
        }
    }

    /// Waits until the newest change of this key, a write or a removal, is as safe as the settings ask for. Cancel-safe.
    ///
    /// # Errors
    /// [`StoreError::NotDurable`].
    pub async fn settled(&self, key: &Key, is_write: bool) -> Result<(), StoreError> {
        match &self.0 {
            Below::Tier(tier) => tier.settled(key, is_write).await,
            // It is decided where it is kept; or has to be in the bucket below.
            Below::Shared(shared) => shared.settled(key, is_write).await,
            Below::Off => Ok(()),
        }
    }

    /// Whether it has an object, or may have one: what is not known counts as yes.
    #[must_use]
    pub fn may_have(&self, key: &Key) -> bool {
        match &self.0 {
            Below::Tier(tier) => tier.may_have(key),
            Below::Shared(shared) => shared.has(key) || !shared.is_whole(key),
            Below::Off => false,
        }
    }

    /// Whether it has an object, as far as that is known without asking.
    #[must_use]
    pub fn has(&self, key: &Key) -> bool {
        match &self.0 {
            Below::Tier(tier) => tier.has(key),
            Below::Shared(shared) => shared.has(key),
            Below::Off => false,
        }
    }

    /// The segments that were written last, the newest first, so many at most, and when: as far as that is known without asking.
    #[must_use]
    pub fn newest_segments(&self, count: usize) -> Vec<(Key, WallTime)> {
        self.tier().map(|tier| tier.newest_segments(count)).unwrap_or_default()
    }

    /// Shows what it is known to hold, in the order of keys, as [`HotNamespace::in_order`] does; what nodes share in whatever order, all of it.
    pub fn in_order(&self, from: &str, mut see: impl FnMut(&Key, &KeptBelow) -> NameStep) {
        match &self.0 {
            Below::Tier(tier) => tier.in_order(from, see),
            Below::Shared(shared) => shared.each(|key, kept| {
                see(key, kept);
            }),
            Below::Off => {}
        }
    }

    /// What is known of one without asking.
    #[must_use]
    pub fn kept(&self, key: &Key) -> Option<KeptBelow> {
        match &self.0 {
            Below::Tier(tier) => tier.kept(key),
            Below::Shared(shared) => shared.kept(key),
            Below::Off => None,
        }
    }

    /// How many objects it holds, and their bytes.
    #[must_use]
    pub fn held(&self) -> (u64, u64) {
        self.tier().map_or((0, 0), Tier::held)
    }

    /// Whether all that it holds is known.
    #[must_use]
    pub fn knows_all(&self) -> bool {
        match &self.0 {
            Below::Tier(tier) => tier.knows_all(),
            Below::Shared(shared) => shared.is_all_whole(),
            Below::Off => true,
        }
    }

    /// Waits until it may serve. Cancel-safe.
    pub async fn opened(&self) {
        match &self.0 {
            Below::Tier(tier) => tier.opened().await,
            Below::Shared(shared) => shared.opened().await,
            Below::Off => {}
        }
    }

    /// Puts another policy in force.
    pub fn set_options(&self, options: Options) {
        match &self.0 {
            Below::Tier(tier) => tier.set_options(options),
            Below::Shared(shared) => shared.set_ack(options.ack),
            Below::Off => {}
        }
    }

    /// What somebody who looks after the server should know. No names in it.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        match &self.0 {
            Below::Tier(tier) => tier.trouble(),
            Below::Shared(shared) => shared.trouble(),
            Below::Off => None,
        }
    }

    /// How many writes wait, and their bytes.
    #[must_use]
    pub fn unwritten(&self) -> (usize, u64) {
        match &self.0 {
            Below::Tier(tier) => tier.unwritten(),
            Below::Shared(shared) => (shared.unwritten(), 0),
            Below::Off => (0, 0),
        }
    }

    /// Writes what waits, as far as that is possible, and ends.
    pub async fn close(&self) {
        match &self.0 {
            Below::Tier(tier) => tier.close().await,
            Below::Shared(shared) => shared.close().await,
            Below::Off => {}
        }
    }

    /// The same of a namespace that has gone: what its settings said of it holds no more.
    pub async fn leave(&self) {
        self.close().await;
        if let Below::Shared(shared) = &self.0 {
            shared.leave();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::kind::Kind;
    use crate::model::meta::{Meta, Outset};
    use http::HeaderValue;
    use std::time::Duration;

    /// A namespace of its own, for the tests of this floor.
    pub(super) fn namespace() -> Arc<HotNamespace> {
        let (clock, metrics) = (Clock::manual(), Metrics::new());
        let namespace = metrics.namespace(&Namespace::parse("n").unwrap());
        Store::new(1 << 20, clock, &metrics).open(1 << 20, namespace)
    }

    pub(super) fn key(name: &str) -> Key {
        Key::parse(name).unwrap()
    }

    pub(super) fn outset() -> Outset {
        Outset::plain(Kind::Segment, HeaderValue::from_static("x"), Duration::from_secs(60))
    }

    pub(super) fn meta(hot: &HotNamespace) -> Meta {
        Meta::plain(Kind::Segment, HeaderValue::from_static("x"), hot.clock(), Duration::from_secs(60))
    }
}
