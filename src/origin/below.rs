//! What is known of segments that are below memory, where playlists are composed of them: after a restart that are all that an encoder lists,
//! and to take those for absent would leave out what has just been stored.

use std::sync::Arc;

use bytes::Bytes;

use super::namespace::Hosted;

use crate::model::clock::Moment;
use crate::model::id::Key;
use crate::store::{Entry, Want};

impl Hosted {
    /// Has what is kept below memory of these known, as far as there is any. What can't be read now is asked for again the next time.
    /// Cancel-safe.
    pub(super) async fn look_below(&self, keys: impl IntoIterator<Item = Key>) {
        // What nodes share is known to all of them without asking.
        if !self.durable_tier.is_there() || self.durable_tier.shared().is_some() {
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
                self.work.below.add(&hit.entry);
            }
        }
    }

    /// What is known of an object that was live then, in memory or [below](Self::look_below). It may have no bytes.
    pub(super) fn known_at(&self, key: &Key, now: Moment) -> Option<Arc<Entry>> {
        if self.durable_tier.shared().is_some() {
            return self.shared_at(key, now);
        }
        self.hot.peek_at(key, now).or_else(|| self.work.below.get(key).filter(|entry| entry.meta.expires > now))
    }

    /// What nodes share under this name and was live then, without its bytes.
    pub(super) fn shared_at(&self, key: &Key, now: Moment) -> Option<Arc<Entry>> {
        let known = self.durable_tier.shared()?.known(key).filter(|known| known.meta.expires > now)?;
        Some(Arc::new(Entry::new(key.clone(), Bytes::new(), known.meta)))
    }
}
