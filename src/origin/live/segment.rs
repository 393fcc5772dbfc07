//! A segment, as a playlist lists it and as it came.

use std::time::Duration;

use http::HeaderValue;

use crate::model::clock::Moment;
use crate::model::id::Key;

/// A segment as it was listed.
#[derive(Clone, Debug)]
pub(super) struct ListedSegment {
    pub(super) sequence: u64,
    pub(super) key: Key,
    pub(super) duration: Duration,
    /// The target duration that was stated when it was listed; zero where none was.
    pub(super) target: Duration,
    pub(super) arrived: Option<Arrival>,
    /// Whether it is a part of a larger object.
    pub(super) ranged: bool,
}

/// A segment as it came.
#[derive(Clone, Debug)]
pub(super) struct Arrival {
    pub(super) at: Moment,
    pub(super) bytes: u64,
    pub(super) took: Option<Duration>,
    pub(super) etag: HeaderValue,
    pub(super) expires: Moment,
    /// One of this name had come before.
    pub(super) is_again: bool,
}
