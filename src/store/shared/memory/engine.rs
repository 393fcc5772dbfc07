//! The engine in memory as one that is called and answers: what tests hold other engines against. Copies follow at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{Copies, CopyNumber};
use crate::model::clock::Clock;
use crate::store::shared::engine::{Engine, EngineError, EngineLink, LaneNumber};
use crate::store::shared::safeguards::Safeguards;
use crate::store::shared::{EngineAnswer, EngineCall};

/// The copies of one lane, whichever is asked for.
#[derive(Clone, Debug)]
pub(in crate::store::shared) struct MemoryEngine {
    copies: Arc<Mutex<Copies<u64>>>,
    calls: Arc<AtomicU64>,
    news: Arc<Notify>,
    clock: Clock,
}

/// A connection to one of them.
#[derive(Debug)]
pub(in crate::store::shared) struct MemoryLink {
    engine: MemoryEngine,
    to: CopyNumber,
}

impl MemoryEngine {
    pub(in crate::store::shared) fn new(count: usize, clock: Clock) -> Self {
        let copies = Arc::new(Mutex::new(Copies::new(count, 10_000, Safeguards::default())));
        Self { copies, calls: Arc::default(), news: Arc::default(), clock }
    }

    /// The primary dies and is back at once, with nothing.
    pub(in crate::store::shared) fn restart_empty(&self) {
        self.copies.lock().restart_empty(0);
        self.news.notify_waiters();
    }

    /// Makes a call as far as it goes now: the answer, or that it waits for news.
    fn step(&self, tag: u64) -> Option<Result<EngineAnswer, EngineError>> {
        let mut copies = self.copies.lock();
        if copies.may_perform(tag) {
            copies.perform(tag, self.clock.wall().millis());
            for copy in 0..copies.count() {
                if copies.is_behind(copy) {
                    copies.replicate(copy);
                }
            }
            self.news.notify_waiters();
            let answered = copies.answer(tag).map(|(_, answered)| answered);
            return Some(answered.ok_or_else(|| EngineError::Unreachable("it is no primary".to_owned())));
        }
        if copies.is_reset(tag) || copies.is_hopeless(tag) {
            copies.leave(tag);
            return Some(Err(EngineError::Unreachable("the connection is gone".to_owned())));
        }
        None
    }
}

impl Engine for MemoryEngine {
    type Primary = CopyNumber;
    type Link = MemoryLink;

    fn patience(&self) -> Duration {
        Duration::from_secs(1)
    }

    async fn find(&self, _: LaneNumber) -> Result<(CopyNumber, u32), EngineError> {
        let newest = self.copies.lock().primaries().into_iter().min_by_key(|(_, line)| *line);
        newest.ok_or_else(|| EngineError::Unreachable("there is no primary".to_owned()))
    }

    async fn link(&self, _: LaneNumber, primary: &CopyNumber) -> Result<MemoryLink, EngineError> {
        Ok(MemoryLink { engine: self.clone(), to: *primary })
    }
}

impl EngineLink for MemoryLink {
    async fn call(&mut self, call: &EngineCall, _: usize) -> Result<EngineAnswer, EngineError> {
        let tag = self.engine.calls.fetch_add(1, Ordering::Relaxed);
        self.engine.copies.lock().send(tag, self.to, call.clone());
        loop {
            let mut news = std::pin::pin!(self.engine.news.notified());
            news.as_mut().enable();
            if let Some(answered) = self.engine.step(tag) {
                return answered;
            }
            news.await;
        }
    }
}
