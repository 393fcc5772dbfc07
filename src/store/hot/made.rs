//! Versions that are made for readers and stored nowhere.

use bytes::Bytes;

use super::HotNamespace;
use super::entry::Entry;
use crate::model::id::Key;
use crate::model::meta::Meta;

/// From how many bytes on a reader's hold on what was made for him is counted.
const LONG_BODY: usize = 64 << 10;

impl HotNamespace {
    /// A version of this body: what readers hold of it, once nobody else does, is counted as what is gone. A short one is not, for the
    /// kernel takes it in whole.
    #[must_use]
    pub fn made(&self, key: Key, body: Bytes, meta: Meta) -> Entry {
        if body.len() < LONG_BODY {
            return Entry::new(key, body, meta);
        }
        let (body, kept) = self.lend(body);
        Entry::new(key, body, meta).kept_by(Some(kept))
    }
}
