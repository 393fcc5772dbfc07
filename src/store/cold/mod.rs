//! The seam to the tier below the hot store: what a place that outlives the process has to be able to do.
//!
//! A [`Cold`] keeps whole objects of one namespace: plain bytes, and their [`Attributes`] beside them. It decides nothing: what is
//! written when, what is read again, what goes first when space is short, is said above it, once for all backends.
//!
//! Invariants, held by every backend (`tests/it/cold/conformance.rs` asks each of them):
//! - A version is whole or absent. Body and attributes change in one step for every reader, also across a crash.
//! - When `put` or `delete` has returned, every later call sees it; with [`Care::Synced`] it outlives the power as well.
//! - Absent is an answer (`None`), not an error; an error says nothing about what is there.
//! - One caller at a time per key for `put` and `delete`: the write-behind queue sees to that. Reads may come at any time.

mod attributes;
pub(super) mod blocks;
pub mod cloud;
pub mod disk;

use std::fmt;
use std::future::Future;
use std::ops::Range;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use thiserror::Error;
use tokio::sync::mpsc;

pub use attributes::{Attributes, VersionMark};
pub use blocks::Blocks;
pub use disk::{DiskTurns, Readers};

use super::Durable;
use crate::model::clock::Clock;
use crate::model::id::{Key, Namespace};

/// What a backend answers with, when it has.
pub type Later<'a, T> = Pin<Box<dyn Future<Output = Result<T, ColdError>> + Send + 'a>>;

/// The most folders and names in a key that a disk keeps as they are: each folder takes as much as a small object.
pub(in crate::store) const DEEPEST: usize = 16;

/// How safe a change has to be before it counts as made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Care {
    /// It survives the end of the process, not a power cut.
    Buffered,
    /// It survives a power cut: on disk, `fsync` of the files and of their folders.
    Synced,
}

/// Why a backend can't answer. The text is for the log and never holds a credential.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ColdError {
    /// There is no space left, or the quota is used up. It may pass.
    #[error("there is no space left: {0}")]
    Full(String),
    /// It can't be reached, is too slow, or failed in some other way that may pass.
    #[error("{0}")]
    Unavailable(String),
    /// It does not let us: permissions, credentials, a read-only file system. It passes when somebody mends it.
    #[error("access is refused: {0}")]
    Denied(String),
    /// This object can't be kept here, ever: its name is too long for the file system, its attributes for the bucket.
    #[error("it can't be kept there: {0}")]
    Unfit(String),
    /// What has been read is not what was written. That may be the reading's fault.
    #[error("what is kept there is damaged: {0}")]
    Damaged(String),
    /// What is there is in a form of later versions of this program: sound, and of no use to this one. It is left alone.
    #[error("a newer Springhead wrote it: {0}")]
    Later(String),
    /// One object of a listing could not be looked at, for a reason that may pass. It says nothing of the others.
    #[error("an object can't be looked at: {0}")]
    Unread(String),
}

/// One object of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedObject {
    /// Its key.
    pub key: Key,
    /// Its attributes, or why they can't be had, from a backend that reads them while it lists; else [`Cold::head`] has them.
    pub attributes: Option<Result<Attributes, ColdError>>,
}

/// A place for one namespace's objects that outlives the process.
///
/// Dropping a call's future does not say that the call had no effect.
pub trait Cold: fmt::Debug + Send + Sync {
    /// What it is, in a word: for logs and metrics.
    fn name(&self) -> &'static str;

    /// Keeps this version in place of any other. `attributes` describes `body` ([`Attributes::fits`]).
    fn put<'a>(&'a self, key: &'a Key, body: Bytes, attributes: &'a Attributes, care: Care) -> Later<'a, ()>;

    /// Reads an object. The caller compares body and attributes ([`Attributes::fits`]).
    fn get<'a>(&'a self, key: &'a Key) -> Later<'a, Option<(Attributes, Bytes)>>;

    /// Reads the bytes of `range` without fetching the rest. The range is not empty. What lies past the end is left out; the
    /// attributes' length tells.
    fn get_range<'a>(&'a self, key: &'a Key, range: Range<u64>) -> Later<'a, Option<(Attributes, Bytes)>>;

    /// Reads the attributes alone.
    fn head<'a>(&'a self, key: &'a Key) -> Later<'a, Option<Attributes>>;

    /// Removes an object; it is no error when there is none.
    fn delete<'a>(&'a self, key: &'a Key, care: Care) -> Later<'a, ()>;

    /// Names every object, in no order, each at least once; one that is written or removed meanwhile may be named or not. An
    /// `Err` about one object ([`ColdError::Unread`], [`ColdError::Damaged`], [`ColdError::Later`]), whose key is not known, does not end the listing; the end of the
    /// channel does, and after another `Err` it is not whole. Dropping the receiver stops it.
    fn list(&self) -> mpsc::Receiver<Result<ListedObject, ColdError>>;

    /// Whether it answers and lets us in, as far as that shows without a write. A folder that has been opened has shown it.
    fn probe(&self) -> Later<'_, ()> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Finishes or undoes what a process that is gone left half-done. Called when no other process uses this place any more.
    fn recover(&self) -> Later<'_, ()> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Removes what belongs to no object, and says how many pieces that were. Slow; beside everything else.
    fn tidy(&self) -> Later<'_, u64> {
        Box::pin(std::future::ready(Ok(0)))
    }
}

/// How long a bucket may take for an answer, retries included. Whoever waits may have given up before.
const BUCKET_WITHIN: Duration = Duration::from_secs(10);

/// Opens the place that the settings name. Blocking. `objects` is the folder for what is kept on this machine, `access` what opens
/// buckets.
///
/// # Errors
/// [`ColdError`], also for what names no bucket.
pub fn open(
    place: &Durable,
    objects: &Path,
    namespace: &Namespace,
    access: &cloud::Access,
    clock: &Clock,
    readers: Readers,
    turns: &DiskTurns,
) -> Result<Arc<dyn Cold>, ColdError> {
    match place {
        Durable::Off => Err(ColdError::Denied("it is off".to_owned())),
        Durable::Disk => Ok(Arc::new(disk::Disk::open_for(objects, namespace, readers, turns.clone())?)),
        Durable::Bucket(url) => Ok(Arc::new(open_bucket(url, namespace, access, clock)?)),
    }
}

/// Opens a namespace's folder in a bucket. Blocking.
///
/// # Errors
/// [`ColdError`], also for what names no bucket.
pub(in crate::store) fn open_bucket(
    url: &str,
    namespace: &Namespace,
    access: &cloud::Access,
    clock: &Clock,
) -> Result<cloud::Cloud, ColdError> {
    let location = cloud::Location::parse(url).map_err(|error| ColdError::Denied(format!("its URL {error}")))?;
    cloud::Cloud::open(&location, namespace, access, BUCKET_WITHIN, clock.clone())
}
