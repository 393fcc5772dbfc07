//! What is known of segments below memory: kept here, found in [`super::below`].
//!
//! Invariant: no bytes, and no version that is not the newest.

use std::collections::HashMap;
use std::sync::Arc;

use ahash::RandomState;
use parking_lot::Mutex;

use crate::model::clock::Moment;
use crate::model::id::Key;
use crate::store::Entry;

/// So many are known.
const OBJECTS: usize = 4096;

/// What is known in a namespace.
#[derive(Debug, Default)]
pub(super) struct KnownBelow(Mutex<HashMap<Key, Arc<Entry>, RandomState>>);

impl KnownBelow {
    /// What is known of an object.
    pub(super) fn get(&self, key: &Key) -> Option<Arc<Entry>> {
        self.0.lock().get(key).cloned()
    }

    /// The newest version.
    pub(super) fn add(&self, entry: Arc<Entry>) {
        let mut known = self.0.lock();
        if known.len() < OBJECTS {
            known.insert(entry.key.clone(), entry);
        }
    }

    /// Another version has taken its place, or none.
    pub(super) fn strike(&self, key: &Key) {
        self.0.lock().remove(key);
    }

    /// Lets go of what is over. To be called now and then.
    pub(super) fn sweep(&self, now: Moment) {
        self.0.lock().retain(|_, entry| entry.meta.expires > now);
    }
}
