//! Spans: what a tracing system is told of each request, once it is over. Who sends them is the floor above's affair.

use std::fmt::Debug;
use std::time::{Duration, SystemTime};

/// A request that is over. Made of its method and the object's name, never of its query, and masked as the access log is.
#[derive(Clone, Copy, Debug)]
pub struct Ended<'a> {
    /// When it was over; the time it took is measured more finely.
    pub at: SystemTime,
    /// From its headers to the last byte of its answer, or of its upload.
    pub took: Duration,
    /// The trace it is a part of, as the client says it in `traceparent` (W3C Trace Context).
    pub parent: Option<&'a str>,
    /// As in its `X-Request-Id`.
    pub request_id: &'a str,
    /// Its method.
    pub method: &'a str,
    /// The object's namespace and key, where it named one.
    pub object: Option<(&'a str, &'a str)>,
    /// `None`: the client went before it was answered.
    pub status: Option<u16>,
    /// As in the access log.
    pub outcome: &'static str,
    /// Body bytes that came.
    pub received: Option<u64>,
    /// Body bytes that went.
    pub sent: u64,
}

/// Takes spans. It may not block: requests wait for it.
pub trait Spans: Debug + Send + Sync {
    /// A request is over.
    fn ended(&self, request: &Ended<'_>);
}
