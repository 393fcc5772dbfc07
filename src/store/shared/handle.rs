//! A lane at one node, for those who read and write by it: they wait here for what its [driver](super::driver) is told.
//!
//! Who waits looks again each time that something has come.

use std::pin::pin;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::commit::Wish;
use super::engine::{EngineError, LaneNumber};
use super::lane::{Fresh, Lane};
use super::time::EngineClock;
use super::{Decision, EngineTime, Indexed, ObjectName, UploadId, Version};
use crate::model::clock::Moment;

/// A lane, for those who read and write by it.
#[derive(Debug)]
pub(super) struct LaneHandle {
    pub(super) number: LaneNumber,
    pub(super) lane: Mutex<Lane<()>>,
    pub(super) clock: Arc<EngineClock>,
    /// Something is to be asked.
    pub(super) asks: Notify,
    /// Something has come that somebody may wait for.
    pub(super) came: Notify,
    /// When the last barrier ended.
    pub(super) confirmed: Mutex<Option<Moment>>,
    /// Why there is no session, as far as that is known.
    pub(super) trouble: Mutex<Option<EngineError>>,
}

/// A commit that somebody waits for; given up when this is dropped.
struct AwaitedCommit<'a> {
    handle: &'a LaneHandle,
    upload: UploadId,
}

impl Drop for AwaitedCommit<'_> {
    fn drop(&mut self) {
        self.handle.lane.lock().give_up(self.upload);
    }
}

impl LaneHandle {
    pub(super) fn new(number: LaneNumber, lane: Lane<()>, clock: Arc<EngineClock>) -> Self {
        Self {
            number,
            lane: Mutex::new(lane),
            clock,
            asks: Notify::new(),
            came: Notify::new(),
            confirmed: Mutex::default(),
            trouble: Mutex::default(),
        }
    }

    /// Waits until what is known here of a name is as new as all that was answered before, on whichever node. For as long as it takes.
    /// Cancel-safe.
    pub(super) async fn fresh(&self, name: &ObjectName) {
        let mut fresh = self.lane.lock().arrive();
        self.asks.notify_one();
        self.until(|lane| {
            let before = fresh;
            let is_fresh = lane.read(&mut fresh, name, self.clock.now()).is_some();
            if fresh != before && matches!(fresh, Fresh::Barrier(_)) {
                self.asks.notify_one();
            }
            is_fresh.then_some(())
        })
        .await;
    }

    /// Has something committed, and waits for what becomes of it, and until that has been taken up here. Dropped, it may or may not happen.
    pub(super) async fn commit(&self, upload: UploadId, wish: Wish) -> Decision {
        let waiting = AwaitedCommit { handle: self, upload };
        self.lane.lock().commit(upload, wish);
        self.asks.notify_one();
        self.until(|lane| lane.committed(waiting.upload)).await
    }

    /// Lets objects live longer, where the engine is there now.
    pub(super) fn renew(&self, lives: impl IntoIterator<Item = (ObjectName, Version, EngineTime)>) {
        self.lane.lock().renew(lives);
        self.asks.notify_one();
    }

    /// Waits until there is a session. Cancel-safe.
    pub(super) async fn opened(&self) {
        self.until(|lane| lane.session().is_some_and(|(_, session)| session.is_open()).then_some(())).await;
    }

    /// Whether there is a session; else why not, as far as that is known.
    pub(super) fn stands(&self) -> Result<(), Option<EngineError>> {
        if self.lane.lock().session().is_some_and(|(_, session)| session.is_open()) {
            Ok(())
        } else {
            Err(self.trouble.lock().clone())
        }
    }

    /// When the last barrier ended: all that was answered before it began is known here.
    pub(super) fn confirmed(&self) -> Option<Moment> {
        *self.confirmed.lock()
    }

    /// What is known of all names that begin so.
    pub(super) fn below(&self, prefix: &str) -> Vec<(ObjectName, Indexed)> {
        self.lane.lock().below(prefix)
    }

    /// Shows what is known of each of these.
    pub(super) fn each_below(&self, prefix: &str, see: impl FnMut(&ObjectName, &Indexed)) {
        self.lane.lock().each_below(prefix, see);
    }

    /// What is known of a name.
    pub(super) fn known(&self, name: &str) -> Option<Indexed> {
        self.lane.lock().known(name).cloned()
    }

    /// Asks the same each time that something has come, until there is an answer.
    async fn until<T>(&self, mut answer: impl FnMut(&mut Lane<()>) -> Option<T>) -> T {
        loop {
            let mut came = pin!(self.came.notified());
            came.as_mut().enable();
            if let Some(answer) = answer(&mut self.lane.lock()) {
                return answer;
            }
            came.await;
        }
    }
}
