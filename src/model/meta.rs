//! What is known of a stored object beside its bytes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;

use super::clock::{Moment, WallTime};
use super::kind::Kind;
use super::liveness::Liveness;

/// Everything a reader is told about an object. Header values are made ready once, at the write, and cloned by reference at
/// each read: a CDN asks thousands of times for what an encoder sends once.
#[derive(Clone, Debug)]
pub struct Meta {
    /// What it is to a live stream.
    pub kind: Kind,
    /// The media type it is served with.
    pub content_type: HeaderValue,
    /// The coding the encoder applied, if it named one.
    pub content_encoding: Option<HeaderValue>,
    /// What the encoder wants caches told, if it said so; else the namespace's policy answers.
    pub cache_control: Option<HeaderValue>,
    /// A strong, quoted entity tag: the same bytes have the same one on every node (RFC 9110 8.8.3).
    pub etag: HeaderValue,
    /// When it was committed, ready for `Last-Modified`.
    pub last_modified: HeaderValue,
    /// When it was committed, to whole seconds as the header says it.
    pub modified: WallTime,
    /// From this moment on it does not exist.
    pub expires: Moment,
    /// For a playlist that states one: its target duration.
    pub target_duration: Option<Duration>,
    /// For a playlist or MPD: how the stream behind it stands.
    pub liveness: Option<Arc<Liveness>>,
}

/// What is known of an object before all of it has come: what its writer said first, and what follows from its key.
#[derive(Clone, Debug)]
pub struct Outset {
    /// What it is to a live stream, as far as the key tells.
    pub kind: Kind,
    /// The media type it is served with.
    pub content_type: HeaderValue,
    /// The coding the encoder applied, if it named one.
    pub content_encoding: Option<HeaderValue>,
    /// What the encoder wants caches told, if it said so.
    pub cache_control: Option<HeaderValue>,
    /// How long it will live, from its commit on.
    pub ttl: Duration,
}

/// A version's entity tag and date, for [`Meta::etag`] and [`Meta::last_modified`]. They lie side by side: among a million objects
/// a read costs what it has to fetch from memory, and it needs both.
#[must_use]
pub fn validators(etag: &str, modified: WallTime) -> (HeaderValue, HeaderValue) {
    let date = httpdate::HttpDate::from(modified.to_system());
    let both = Bytes::from(format!("{etag}{date}"));
    let value = |part| HeaderValue::from_maybe_shared(part).unwrap_or(HeaderValue::from_static(""));
    (value(both.slice(..etag.len())), value(both.slice(etag.len()..)))
}

/// The entity tag of a body with this hash: strong, quoted, the same on every node (RFC 9110 8.8.3).
#[must_use]
pub fn etag(hash: u128) -> String {
    format!("\"{hash:032x}\"")
}

impl Meta {
    /// Whether the object still exists at `now`.
    #[must_use]
    pub fn is_live(&self, now: Moment) -> bool {
        now < self.expires
    }
}
