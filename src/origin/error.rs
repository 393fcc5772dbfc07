//! Why the origin does not do what it is asked.

use std::time::Duration;

use thiserror::Error;

use crate::model::units::{Size, Span};
use crate::store::StoreError;

/// A refusal, in the words of an origin. What status that is, [`crate::web`] knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum OriginError {
    /// The key is good, but not for this namespace, object key or verb.
    #[error("the key does not allow this here")]
    Forbidden,
    /// No such namespace, told to those who may know.
    #[error("the namespace is not configured")]
    UnknownNamespace,
    /// No such object, or no longer.
    #[error("there is no such object")]
    NotFound,
    /// There was one; its time to live has run out, and it was not swept yet. To a client the same as [`Self::NotFound`].
    #[error("the object has outlived its time to live")]
    Expired,
    /// Of the window of time that is asked for there is nothing, or nothing any more.
    #[error("nothing of this time is there any more")]
    NothingRetained,
    /// The window of time that is asked for makes a playlist longer than any that is made.
    #[error("the window makes too long a playlist")]
    WindowTooLong,
    /// With the reader's key on each of its URIs the playlist is longer than any that is made.
    #[error("the playlist is too long to hand a key down")]
    InheritTooLong,
    /// What was listed before the server began is still being read.
    #[error("the histories of playlists are still being read")]
    Starting,
    /// The playlist is there, but its stream has stood still for too long, and the namespace wants that to be told.
    #[error("the stream has stood still for more than {periods} target durations")]
    Stale {
        /// How many it takes.
        periods: u32,
    },
    /// A blocking playlist request for something too far ahead.
    #[error("the playlist that is asked for is too far ahead")]
    TooFarAhead,
    /// A blocking playlist request that has waited as long as it may.
    #[error("the playlist that is asked for has not come in time")]
    NotInTime,
    /// As many reads wait as may.
    #[error("as many reads wait as may (the namespace's max_held of {max_held})")]
    TooManyHeld {
        /// The limit.
        max_held: u64,
    },
    /// A body over the namespace's limit.
    #[error("the object is larger than the namespace's max_object_size of {}", Size(*.limit))]
    TooLarge {
        /// The limit, in bytes.
        limit: u64,
    },
    /// A time to live outside the namespace's limits.
    #[error("ttl_seconds has to be between 1 and {} (the namespace's max_ttl of {})", .max.as_secs(), Span(*.max))]
    TtlOutOfRange {
        /// The longest one.
        max: Duration,
    },
    /// The name is one that viewers read by, and this server alone writes.
    #[error("the name is a public one: what stands there is made by this server")]
    PublicName,
    /// A condition of the request does not hold.
    #[error("the stored version does not meet the request's condition")]
    Precondition,
    /// Over the namespace's rate.
    #[error("the namespace's rate is used up")]
    RateLimited {
        /// When there will be something again.
        retry_after: Duration,
    },
    /// The tier below has not taken the write in time.
    #[error("it is done here, but not yet on stable storage")]
    NotDurable,
    /// The object is not in memory, and the tier below, which may have it, can't be read.
    #[error("the durable tier can't be read")]
    Unreachable,
    /// The engine that the nodes share does not answer: whether there is such an object, or whether the write has happened, nobody knows.
    #[error("the engine that the nodes share does not answer")]
    Unshared,
    /// There is such an object, and nobody has its bytes any more.
    #[error("the object's bytes are lost")]
    Bodiless,
    /// The engine that the nodes share has no room. Nothing has changed.
    #[error("the engine that the nodes share is full")]
    EngineFull,
    /// What is waited for may come, but not here: the server is about to end.
    #[error("the server is about to end")]
    Draining,
    /// No room for more uploads at this moment.
    #[error("too many bytes are in flight")]
    Busy,
}

impl From<StoreError> for OriginError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Busy => Self::Busy,
            StoreError::Precondition => Self::Precondition,
            StoreError::NotDurable => Self::NotDurable,
            StoreError::Unreachable => Self::Unreachable,
            StoreError::Unshared => Self::Unshared,
            StoreError::Bodiless => Self::Bodiless,
        }
    }
}
