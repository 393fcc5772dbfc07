//! The sharded map from key to entry. The only file that knows dashmap; all of it is plain functions, so that no shard's lock
//! can outlive a call.

use std::sync::Arc;

use ahash::RandomState;
use dashmap::DashMap;

use super::entry::Entry;
use crate::model::id::Key;

/// Key to entry, for many readers at once.
#[derive(Debug)]
pub(super) struct EntryMap(DashMap<Key, Arc<Entry>, RandomState>);

impl EntryMap {
    pub(super) fn new() -> Self {
        Self(DashMap::with_hasher(RandomState::new()))
    }

    /// The entry, live or not.
    pub(super) fn get(&self, key: &str) -> Option<Arc<Entry>> {
        self.0.get(key).map(|found| Arc::clone(&found))
    }

    /// Puts a new version in place and hands back the one it replaces.
    pub(super) fn insert(&self, entry: Arc<Entry>) -> Option<Arc<Entry>> {
        self.0.insert(entry.key.clone(), entry)
    }

    /// Takes out whatever version is there.
    pub(super) fn remove(&self, key: &str) -> Option<Arc<Entry>> {
        self.0.remove(key).map(|(_, entry)| entry)
    }

    /// Gives back the map's own memory after a great many entries have gone.
    pub(super) fn shrink(&self) {
        self.0.shrink_to_fit();
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn for_each(&self, mut see: impl FnMut(&Arc<Entry>)) {
        for found in &self.0 {
            see(found.value());
        }
    }
}
