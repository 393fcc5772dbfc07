//! What is known of segments below memory: kept here, found in [`super::below`].
//!
//! Invariant: no bytes, and no version that is not the newest.

use std::collections::HashMap;
use std::sync::Arc;

use ahash::RandomState;
use bytes::Bytes;
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

    /// What is known of the newest version.
    pub(super) fn add(&self, entry: &Entry) {
        // What waits to be written there comes with its bytes.
        let bare = Entry::new(entry.key.clone(), Bytes::new(), entry.meta.clone()).of_unknown_past();
        let mut known = self.0.lock();
        if known.len() < OBJECTS {
            known.insert(bare.key.clone(), Arc::new(bare));
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::HeaderValue;

    use super::*;
    use crate::model::clock::Clock;
    use crate::model::kind::Kind;
    use crate::model::meta::Meta;

    #[test]
    fn no_bytes_are_kept() {
        let meta = Meta::plain(Kind::Segment, HeaderValue::from_static("video/mp2t"), &Clock::manual(), Duration::from_secs(60));
        let (known, key) = (KnownBelow::default(), Key::parse("a.ts").unwrap());
        known.add(&Entry::new(key.clone(), Bytes::from_static(b"media"), meta));
        assert!(known.get(&key).is_some_and(|entry| entry.body.is_empty() && entry.meta.content_type == "video/mp2t"));
    }
}
