//! What is known of segments that are below memory, where playlists are composed of them: after a restart that are all that an encoder lists,
//! and to take those for absent would leave out what has just been stored.
//!
//! Invariant: no bytes, and no version that is not the newest.

use std::collections::HashMap;
use std::sync::Arc;

use ahash::RandomState;
use parking_lot::Mutex;

use super::namespace::Hosted;

use crate::model::clock::Moment;
use crate::model::id::Key;
use crate::store::{Entry, Want};

/// So many are known.
const OBJECTS: usize = 4096;

/// What is known in a namespace.
#[derive(Debug, Default)]
pub(super) struct KnownBelow(Mutex<HashMap<Key, Arc<Entry>, RandomState>>);

impl KnownBelow {
    fn get(&self, key: &Key) -> Option<Arc<Entry>> {
        self.0.lock().get(key).cloned()
    }

    fn add(&self, entry: Arc<Entry>) {
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

impl Hosted {
    /// Has what is kept below memory of these known, as far as there is any. What can't be read now is asked for again the next time.
    /// Cancel-safe.
    pub(super) async fn look_below(&self, keys: impl IntoIterator<Item = Key>) {
        if !self.durable_tier.is_there() {
            return;
        }
        for key in keys {
            let is_known = self.hot.peek(&key).is_some() || self.work.below.get(&key).is_some();
            if is_known || !self.durable_tier.may_have(&key) {
                continue;
            }
            let found = self.durable_tier.read(&key, |_| Want::Nothing).await.ok().flatten();
            // It may have been written anew meanwhile.
            if let Some(hit) = found.filter(|_| self.hot.peek(&key).is_none()) {
                self.work.below.add(hit.entry);
            }
        }
    }

    /// What is known of an object that was live then, in memory or [below](Self::look_below). It may have no bytes.
    pub(super) fn known_at(&self, key: &Key, now: Moment) -> Option<Arc<Entry>> {
        self.hot.peek_at(key, now).or_else(|| self.work.below.get(key).filter(|entry| entry.meta.expires > now))
    }
}
