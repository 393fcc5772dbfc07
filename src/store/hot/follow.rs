//! Versions that are the object because somebody else has decided so: another node, by the engine that nodes share.
//!
//! The order in which requests began is a matter of one node, and is not asked about here. An upload of this node that is on its way stays
//! in the race: it is decided when it commits.

use std::sync::Arc;

use bytes::Bytes;

use super::HotNamespace;
use super::entry::Entry;
use crate::model::clock::Moment;
use crate::model::id::Key;
use crate::model::meta::Meta;
use crate::model::stamp::Stamp;

/// A version that was to be taken in.
#[derive(Clone, Debug)]
pub struct TakenIn {
    /// It, whether or not it was.
    pub entry: Arc<Entry>,
    /// What it has replaced, of what was live.
    pub replaced: Option<Arc<Entry>>,
}

impl HotNamespace {
    /// Puts a version in the place of whatever is there, if `allow` says so: that is asked under the lock, so that nothing older comes after
    /// something newer.
    pub fn take_in(&self, entry: Entry, allow: impl FnOnce() -> bool) -> TakenIn {
        let (sequence, mut victims, now) = (entry.sequence, Vec::new(), self.clock.now());
        let taken = {
            let mut ledger = self.ledger.lock();
            let current = self.map.get(entry.key.as_str());
            // What this follows may be a version that was never here.
            let entry = Arc::new(entry.of_unknown_past());
            if !entry.meta.is_live(now) || !allow() {
                return TakenIn { entry, replaced: None };
            }
            if let Some(old) = &current {
                ledger.strike(old);
            }
            self.put_in(&mut ledger, &entry);
            ledger.add(&entry);
            ledger.pinned = self.pinned.counted();
            ledger.make_room(now, Some(sequence), &mut victims);
            self.take_out(&mut ledger, &victims);
            TakenIn { entry, replaced: current.filter(|old| old.meta.is_live(now)) }
        };
        self.account(victims);
        taken
    }

    /// A version was there before this process looked: what it says is [heard](HotNamespace::take_reloaded) as what lies in the past.
    pub fn was_there(&self, key: &Key, body: Bytes, meta: Meta) {
        self.let_go(key);
        self.take_back(&Arc::new(Entry::reloaded(key.clone(), body, meta)), || true);
    }

    /// The same, where there is none, and `allow` says that it is the object still. Whether it is there.
    pub fn came_back(&self, key: &Key, body: Bytes, meta: Meta, allow: impl FnOnce() -> bool) -> bool {
        self.take_back(&Arc::new(Entry::reloaded(key.clone(), body, meta)), allow)
    }

    /// Lets go of whatever version is there: it is not the object any more.
    pub fn let_go(&self, key: &Key) {
        let mut ledger = self.ledger.lock();
        if let Some(entry) = self.take_from(&mut ledger, key.as_str()) {
            ledger.strike(&entry);
            self.show(&ledger);
        }
    }

    /// Whether something that was begun later, here, is in force already.
    pub fn has_later(&self, key: &Key, begun: Stamp) -> bool {
        Self::is_older(&self.ledger.lock(), self.map.get(key.as_str()).as_deref(), key, begun)
    }

    /// A removal that was begun then, here, is in force: what was begun before it changes nothing any more.
    pub fn pass(&self, key: &Key, begun: Stamp, now: Moment) {
        self.ledger.lock().order.leave(key, begun, now);
        self.uploads.pass(key, begun);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use crate::store::Entry;
    use crate::store::tests::{key, meta, namespace};

    #[test]
    fn what_others_decide_is_in_force_and_counted() {
        let hot = namespace();
        let version = |body: &'static [u8]| Entry::new(key("a"), Bytes::from_static(body), meta(&hot));
        assert!(hot.take_in(version(b"one"), || true).replaced.is_none());
        assert!(hot.take_in(version(b"nothing"), || false).replaced.is_none());
        let taken = hot.take_in(version(b"two"), || true);
        assert_eq!(taken.replaced.as_ref().map(|old| &*old.body), Some(&b"one"[..]));
        assert!(hot.peek(&key("a")).is_some_and(|entry| entry.body == "two" && entry.shares_date()));
        hot.validate();
        let later = hot.stamp();
        assert!(!hot.has_later(&key("a"), later));
        hot.let_go(&key("a"));
        hot.validate();
        let earlier = hot.create(&key("a"), None, later).unwrap();
        assert!(!earlier.is_superseded());
        hot.pass(&key("a"), hot.stamp(), hot.clock().now());
        assert!(earlier.is_superseded() && hot.has_later(&key("a"), later));
        assert!(hot.peek(&key("a")).is_none());
    }
}
