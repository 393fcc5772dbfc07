//! Connections by which bodies are read: as many as are needed at once, kept for the next.

use futures_util::future::BoxFuture;
use parking_lot::Mutex;

use std::ops::Range;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::engine::{Engine, EngineError, EngineLink, LaneNumber};
use super::{EngineCall, ObjectName, Reply, Version};

/// So many are kept.
const MOST_IDLE: usize = 8;

/// What fails so soon has not waited for an answer.
const AT_ONCE: Duration = Duration::from_millis(100);

/// A lane's bodies at the engine.
pub(super) trait BodySource: std::fmt::Debug + Send + Sync {
    /// The bytes of an object, or a part of them, and of which version they are; `None`: there are none. Cancel-safe.
    fn body(&self, name: ObjectName, part: Option<Range<u64>>) -> BoxFuture<'_, Result<Option<(Version, Bytes)>, EngineError>>;
    /// The same of the whole, for who follows the lane: its session waits for that, and so is over when it can't be had. Cancel-safe.
    fn body_to_follow(&self, name: ObjectName) -> BoxFuture<'_, Result<Option<(Version, Bytes)>, EngineError>>;
    /// Waits until the session of who follows the lane is over: he waits for nothing that he wants beside it then. Cancel-safe.
    fn over(&self) -> BoxFuture<'_, ()>;
}

/// Connections to one lane's primary.
pub(super) struct Links<E: Engine> {
    lane: LaneNumber,
    engine: Arc<E>,
    to: Mutex<To<E>>,
    /// No body is waited for any more by who follows the lane, until another primary has been found, or the same again.
    is_over: AtomicBool,
    over: Notify,
}

struct To<E: Engine> {
    primary: Option<E::Primary>,
    idle: Vec<E::Link>,
    /// Counts primaries: what was connected to an earlier one is not kept.
    number: u64,
}

impl<E: Engine> std::fmt::Debug for Links<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Links").field("lane", &self.lane).finish_non_exhaustive()
    }
}

impl<E: Engine> Links<E> {
    pub(super) fn new(lane: LaneNumber, engine: Arc<E>) -> Self {
        let to = Mutex::new(To { primary: None, idle: Vec::new(), number: 0 });
        Self { lane, engine, to, is_over: AtomicBool::new(false), over: Notify::new() }
    }

    /// Another primary has been found, or the same again.
    pub(super) fn lead_to(&self, primary: &E::Primary) {
        let mut to = self.to.lock();
        *to = To { primary: Some(primary.clone()), idle: Vec::new(), number: to.number + 1 };
        self.is_over.store(false, Ordering::Relaxed);
    }

    /// The session is over: who follows the lane waits for no body.
    pub(super) fn give_up(&self) {
        self.is_over.store(true, Ordering::Relaxed);
        self.over.notify_waiters();
    }

    /// Whether it is, be it that a body could not be had.
    pub(super) fn are_given_up(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    async fn ask(&self, call: EngineCall) -> Result<Reply, EngineError> {
        let (primary, link, number) = {
            let mut to = self.to.lock();
            (to.primary.clone(), to.idle.pop(), to.number)
        };
        let Some(primary) = primary else {
            return Err(EngineError::Unreachable("it has not been reached yet".to_owned()));
        };
        let mut link = match link {
            Some(link) => link,
            None => self.engine.link(self.lane, &primary).await?,
        };
        let answered = link.call(&call, 0).await?;
        let mut to = self.to.lock();
        if to.number == number && to.idle.len() < MOST_IDLE {
            to.idle.push(link);
        }
        Ok(answered.reply)
    }
}

impl<E: Engine> BodySource for Links<E> {
    fn body(&self, name: ObjectName, part: Option<Range<u64>>) -> BoxFuture<'_, Result<Option<(Version, Bytes)>, EngineError>> {
        Box::pin(async move {
            match self.ask(EngineCall::Body { name, part }).await? {
                Reply::Body(body) => Ok(body),
                _ => Err(EngineError::Unfit("it answered something else than was asked for".to_owned())),
            }
        })
    }

    fn body_to_follow(&self, name: ObjectName) -> BoxFuture<'_, Result<Option<(Version, Bytes)>, EngineError>> {
        Box::pin(async move {
            let found = async {
                let begun = Instant::now();
                match self.body(ObjectName::clone(&name), None).await {
                    // A connection that was kept, and closed by somebody meanwhile: those are all over, and another one may do.
                    Err(_) if begun.elapsed() < AT_ONCE => {
                        self.to.lock().idle.clear();
                        self.body(name, None).await
                    }
                    found => found,
                }
            };
            tokio::select! {
                biased;
                () = self.over() => Err(EngineError::Unreachable("the session is over".to_owned())),
                found = found => {
                    if found.is_err() {
                        self.give_up();
                    }
                    found
                }
            }
        })
    }

    fn over(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let mut given_up = pin!(self.over.notified());
            given_up.as_mut().enable();
            if !self.are_given_up() {
                given_up.await;
            }
        })
    }
}
