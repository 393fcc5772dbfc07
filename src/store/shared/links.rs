//! Connections by which bodies are read: as many as are needed at once, kept for the next.

use futures_util::future::BoxFuture;
use parking_lot::Mutex;

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::engine::{Engine, EngineError, EngineLink, LaneNumber};
use super::{EngineCall, ObjectName, Reply, Version};

/// So many are kept.
const MOST_IDLE: usize = 8;

/// A lane's bodies at the engine.
pub(super) trait BodySource: std::fmt::Debug + Send + Sync {
    /// The bytes of an object, or a part of them, and of which version they are; `None`: there are none. Cancel-safe.
    fn body(&self, name: ObjectName, part: Option<Range<u64>>) -> BoxFuture<'_, Result<Option<(Version, Bytes)>, EngineError>>;
}

/// Connections to one lane's primary.
pub(super) struct Links<E: Engine> {
    lane: LaneNumber,
    engine: Arc<E>,
    to: Mutex<To<E>>,
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
        Self { lane, engine, to: Mutex::new(To { primary: None, idle: Vec::new(), number: 0 }) }
    }

    /// Another primary has been found, or the same again.
    pub(super) fn lead_to(&self, primary: &E::Primary) {
        let mut to = self.to.lock();
        *to = To { primary: Some(primary.clone()), idle: Vec::new(), number: to.number + 1 };
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
}
