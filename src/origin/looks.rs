//! Looks at playlists that are put off: of each playlist one sleeps at a time, however often it is put off anew.

use std::collections::HashMap;

use ahash::RandomState;
use parking_lot::Mutex;
use tokio::task::AbortHandle;

use crate::model::id::Key;

/// Those of a namespace.
#[derive(Debug, Default)]
pub(super) struct Looks(Mutex<HashMap<Key, AbortHandle, RandomState>>);

/// What there may be to do then, of what a source has stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LooksFor {
    /// A list may go on.
    List,
    /// What is not composed may have changed.
    Copy,
    /// There was no room for it.
    CopyOnceMore,
    /// A source may be out.
    Removal,
}

impl Looks {
    /// This task is to look at a playlist later, and none that was to before.
    pub(super) fn put_off(&self, playlist: &Key, task: AbortHandle) {
        if let Some(before) = self.0.lock().insert(playlist.clone(), task) {
            before.abort();
        }
    }

    /// Lets go of those that have ended: somebody else had looked before. To be called now and then.
    pub(super) fn sweep(&self) {
        self.0.lock().retain(|_, task| !task.is_finished());
    }

    /// It looks now: what it puts off itself does not end it.
    pub(super) fn looks(&self, playlist: &Key) {
        self.0.lock().remove(playlist);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn of_a_playlist_one_look_sleeps_at_a_time() {
        let (looks, name) = (Looks::default(), Key::parse("p.m3u8").unwrap());
        let sleeper = || tokio::spawn(std::future::pending::<()>());
        let (first, second, third) = (sleeper(), sleeper(), sleeper());
        looks.put_off(&name, first.abort_handle());
        looks.put_off(&name, second.abort_handle());
        assert!(first.await.unwrap_err().is_cancelled());
        looks.looks(&name);
        looks.put_off(&name, third.abort_handle());
        tokio::task::yield_now().await;
        assert!(!second.is_finished() && !third.is_finished());
        third.abort();
        assert!(third.await.unwrap_err().is_cancelled());
        looks.sweep();
        assert!(looks.0.lock().is_empty());
    }
}
