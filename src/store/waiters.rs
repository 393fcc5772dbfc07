//! Who waits for an object that is not here yet.
//!
//! A writer pays one look at a counter for it as long as nobody waits.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering, fence};

use ahash::RandomState;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

use crate::model::id::Key;

/// Who waits for which key of a namespace.
///
/// Invariant: a key is listed as long as somebody waits for it, so the list is no longer than those who wait are many; `count` is
/// their number.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    count: AtomicUsize,
    waiting: Mutex<HashMap<Key, KeyWaiters, RandomState>>,
}

#[derive(Debug, Default)]
struct KeyWaiters {
    news: Arc<Notify>,
    count: usize,
}

impl Waiters {
    /// Tells those who wait for the key. To be called after what there is to see can be seen.
    pub(super) fn announce(&self, key: &Key) {
        // Pairs with the fence in `wait_for`: either this sees who waits, or they see what is announced.
        fence(Ordering::SeqCst);
        if self.count.load(Ordering::Relaxed) == 0 {
            return;
        }
        let news = self.waiting.lock().get(key).map(|waiting| Arc::clone(&waiting.news));
        if let Some(news) = news {
            news.notify_waiters();
        }
    }

    /// From here on the news of the key are heard; to be ended by [`Self::give_up`].
    pub(super) fn wait_for(&self, key: &Key) -> OwnedNotified {
        let news = {
            let mut all = self.waiting.lock();
            let waiting = all.entry(key.clone()).or_default();
            waiting.count += 1;
            // From its making on it hears what is announced, polled or not.
            Arc::clone(&waiting.news).notified_owned()
        };
        self.count.fetch_add(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        news
    }

    /// Ends the waiting for the key.
    pub(super) fn give_up(&self, key: &Key) {
        self.count.fetch_sub(1, Ordering::Relaxed);
        let mut all = self.waiting.lock();
        if let Some(waiting) = all.get_mut(key) {
            waiting.count -= 1;
            if waiting.count == 0 {
                all.remove(key);
            }
        }
    }

    /// How many wait, and for how many keys.
    #[cfg(test)]
    pub(super) fn sizes(&self) -> (usize, usize) {
        (self.count.load(Ordering::Relaxed), self.waiting.lock().len())
    }
}
