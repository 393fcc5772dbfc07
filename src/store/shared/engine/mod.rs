//! Engines: where lanes are kept. One that is not ours, [`valkey`], and the one in memory that tests drive.
//!
//! An engine answers [`EngineCall`]s, one at a time on each connection. What it is to make of them is told by the tables of the one in
//! memory, and the conformance tests hold every engine against those.

#[cfg(test)]
mod asked;
#[cfg(test)]
mod conformance;
pub(super) mod packed;
pub(super) mod valkey;

use std::hash::Hash;
use std::time::Duration;

use super::{EngineAnswer, EngineCall};

/// Which lane, by its number.
pub(super) type LaneNumber = u16;

/// Why an engine has not answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum EngineError {
    /// It can't be reached, is too slow, or is about to change: another try may do.
    #[error("the engine can't be reached: {0}")]
    Unreachable(String),
    /// It answers, and not as it should: whoever looks after it has to do something.
    #[error("the engine is not as it has to be: {0}")]
    Unfit(String),
}

/// What keeps lanes.
pub(super) trait Engine: Send + Sync + 'static {
    /// How it names a primary.
    type Primary: Clone + Eq + Hash + Send + Sync + 'static;
    /// A connection to one.
    type Link: EngineLink;

    /// How long a primary may say nothing to anybody, before another is looked for.
    fn patience(&self) -> Duration;

    /// Finds a lane's primary, and the beginning of its replication id. Cancel-safe.
    fn find(&self, lane: LaneNumber) -> impl Future<Output = Result<(Self::Primary, u32), EngineError>> + Send;

    /// Connects to a primary, for calls to this lane. Cancel-safe.
    fn link(&self, lane: LaneNumber, primary: &Self::Primary) -> impl Future<Output = Result<Self::Link, EngineError>> + Send;
}

/// A connection to a primary, for one call at a time.
pub(super) trait EngineLink: Send + 'static {
    /// Makes a call, and waits until `copies` beside the primary have what it wrote, for a bounded time: the answer says how many had.
    /// Dropped before it has answered, the call may or may not happen, and the connection is of no more use.
    fn call(&mut self, call: &EngineCall, copies: usize) -> impl Future<Output = Result<EngineAnswer, EngineError>> + Send;
}
