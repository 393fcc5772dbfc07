//! Writes of this node that wait for their decision, where several nodes share: each is applied when the engine's journal tells of it.

use std::collections::HashMap;

use ahash::RandomState;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;

use crate::model::clock::{Moment, Now};
use crate::store::shared::UploadNumber;

/// Applies a write, as of when it was decided, until when it was decided to live.
pub(super) type ApplyParked = Box<dyn FnOnce(Now, Moment) -> BoxFuture<'static, ()> + Send>;

/// The writes of one namespace that are parked.
#[derive(Default)]
pub(super) struct Parked(Mutex<HashMap<UploadNumber, ApplyParked, RandomState>>);

/// A write that has been parked; taken back when this is dropped.
pub(super) struct Parking<'a> {
    parked: &'a Parked,
    number: UploadNumber,
}

impl Parked {
    /// Parks a write.
    pub(super) fn park(&self, number: UploadNumber, apply: ApplyParked) -> Parking<'_> {
        self.0.lock().insert(number, apply);
        Parking { parked: self, number }
    }

    /// The one that this upload brought, if it is of this node.
    pub(super) fn take(&self, number: UploadNumber) -> Option<ApplyParked> {
        self.0.lock().remove(&number)
    }
}

impl Drop for Parking<'_> {
    fn drop(&mut self) {
        drop(self.parked.take(self.number));
    }
}

impl std::fmt::Debug for Parked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Parked({})", self.0.lock().len())
    }
}
