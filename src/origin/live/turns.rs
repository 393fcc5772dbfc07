//! Turns: the versions of one playlist are taken up one after the other, in the order in which they were complete.
//!
//! Reading a long playlist takes its time, and is done without any lock and beside other work. So that a short version which comes
//! while a long one is being read does not overtake it, each waits for those before it; versions of other playlists wait for nothing.

use std::sync::Arc;

use tokio::sync::OwnedMutexGuard;

use super::ByKey;
use crate::model::id::Key;

type TurnQueue = Arc<tokio::sync::Mutex<()>>;

/// Who is at work on which playlist. It holds those alone that somebody is at work on or waits for.
#[derive(Clone, Debug, Default)]
pub(super) struct Turns {
    queues: Arc<parking_lot::Mutex<ByKey<TurnQueue>>>,
}

/// The turn of one version. It ends when this is dropped.
#[derive(Debug)]
pub(in crate::origin) struct PlaylistTurn {
    turns: Turns,
    key: Key,
    held: Option<OwnedMutexGuard<()>>,
}

impl Turns {
    /// Waits for those who came before. Cancel-safe.
    pub(super) async fn take(&self, key: &Key) -> PlaylistTurn {
        let queue = Arc::clone(self.queues.lock().entry(key.clone()).or_default());
        // Made before the wait: who gives up waiting tidies up, too.
        let mut turn = PlaylistTurn { turns: self.clone(), key: key.clone(), held: None };
        turn.held = Some(queue.lock_owned().await);
        turn
    }
}

impl Drop for PlaylistTurn {
    fn drop(&mut self) {
        // First of all: who waits has a reference of his own.
        drop(self.held.take());
        let mut queues = self.turns.queues.lock();
        if queues.get(&self.key).is_some_and(|queue| Arc::strong_count(queue) == 1) {
            queues.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future as _;
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;

    #[tokio::test]
    async fn turns_come_in_order_and_leave_nothing_behind() {
        let (turns, key, other) = (Turns::default(), Key::parse("a.m3u8").unwrap(), Key::parse("b.m3u8").unwrap());
        let first = turns.take(&key).await;
        let cx = &mut Context::from_waker(Waker::noop());
        let mut second = pin!(turns.take(&key));
        assert!(second.as_mut().poll(cx).is_pending());
        {
            let mut given_up = pin!(turns.take(&key));
            assert!(given_up.as_mut().poll(cx).is_pending());
        }
        let mut third = pin!(turns.take(&key));
        assert!(third.as_mut().poll(cx).is_pending());
        drop(turns.take(&other).await);
        assert_eq!(turns.queues.lock().len(), 1, "what nobody is at work on is not kept");
        drop(first);
        assert!(third.as_mut().poll(cx).is_pending(), "the second one comes first");
        drop(second.await);
        drop(third.await);
        assert!(turns.queues.lock().is_empty());
    }
}
