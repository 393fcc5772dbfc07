//! What is known of a stored object beside its bytes.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;

use super::clock::{Clock, Moment, Now, WallTime};
use super::continuity::Continuity;
use super::facts::SegmentFacts;
use super::kind::Kind;
use super::liveness::Liveness;
use super::rendering::Rendering;

/// Everything a reader is told about an object. Header values are made ready once, at the write, and cloned by reference at
/// each read: a CDN asks thousands of times for what an encoder sends once.
#[derive(Clone, Debug)]
pub struct Meta {
    /// What it is to a live stream.
    pub kind: Kind,
    /// The media type it is served with.
    pub content_type: HeaderValue,
    /// What a browser makes of that type: judged once, at the write, for every read to know which headers guard it.
    pub rendering: Rendering,
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
    /// For a segment or an initialization segment: what its bytes say of it.
    pub facts: Option<Arc<SegmentFacts>>,
    /// For a playlist that is composed here: how it goes on.
    pub continuity: Option<Arc<Continuity>>,
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
    /// What a browser makes of that type: judged once, at the write, for every read to know which headers guard it.
    pub rendering: Rendering,
    /// The coding the encoder applied, if it named one.
    pub content_encoding: Option<HeaderValue>,
    /// What the encoder wants caches told, if it said so.
    pub cache_control: Option<HeaderValue>,
    /// How long it will live, from its commit on.
    pub ttl: Duration,
}

/// The longest header value of a writer's that is kept, in bytes.
pub const LONGEST_KEPT: usize = 256;

/// What most encoders say: kept without an allocation.
const COMMON: [&str; 18] = [
    "video/mp2t",
    "video/mp4",
    "audio/mp4",
    "audio/aac",
    "video/iso.segment",
    "application/vnd.apple.mpegurl",
    "application/x-mpegurl",
    "application/x-mpegURL",
    "audio/mpegurl",
    "application/dash+xml",
    "application/mp4",
    "text/vtt",
    "image/jpeg",
    "image/png",
    "application/json",
    "gzip",
    "no-cache",
    "no-store",
];

/// A writer's header value, to be kept for as long as the object lives; `None` when it is longer than [`LONGEST_KEPT`].
///
/// In memory of its own: as it came, it is a part of the buffer the whole head was read into, and would keep all of that, the
/// writer's credentials among it.
#[must_use]
pub fn keep(sent: &HeaderValue) -> Option<HeaderValue> {
    let sent = sent.as_bytes();
    match COMMON.iter().find(|common| common.as_bytes() == sent) {
        Some(common) => Some(HeaderValue::from_static(common)),
        None if sent.len() <= LONGEST_KEPT => HeaderValue::from_bytes(sent).ok(),
        None => None,
    }
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

/// The hash in such a tag. `None` for a tag of another form.
#[must_use]
pub fn etag_hash(etag: &HeaderValue) -> Option<u128> {
    etag_digits(etag, 32).filter(|_| etag.len() == 34).and_then(|digits| u128::from_str_radix(digits, 16).ok())
}

/// The first half of the hash in such a tag: enough to tell versions of one name from each other. `None` for a tag of another form.
#[must_use]
pub fn etag_number(etag: &HeaderValue) -> Option<u64> {
    u64::from_str_radix(etag.to_str().ok()?.trim_matches('"').get(..16)?, 16).ok()
}

/// The first so many hexadecimal digits of such a tag. `None` for a tag of another form.
#[must_use]
pub fn etag_digits(etag: &HeaderValue, count: usize) -> Option<&str> {
    let digits = etag.to_str().ok()?.strip_prefix('"')?.get(..count)?;
    digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')).then_some(digits)
}

impl Outset {
    /// Of an object that is to live this long, of which its writer said nothing more.
    #[must_use]
    pub fn plain(kind: Kind, content_type: HeaderValue, ttl: Duration) -> Self {
        Self { kind, rendering: Rendering::of(&content_type), content_type, content_encoding: None, cache_control: None, ttl }
    }

    /// What is known of it when it is committed now. What only its body tells, its tag and date ([`validators`]) among it, is empty.
    #[must_use]
    pub fn committed(self, now: Now) -> Meta {
        let Self { kind, content_type, rendering, content_encoding, cache_control, ttl } = self;
        Meta {
            kind,
            content_type,
            rendering,
            content_encoding,
            cache_control,
            etag: HeaderValue::from_static(""),
            last_modified: HeaderValue::from_static(""),
            modified: now.wall,
            expires: now.moment + ttl,
            target_duration: None,
            facts: None,
            continuity: None,
            liveness: None,
        }
    }
}

impl Meta {
    /// Of an object that is written now, to live this long, of which its writer said nothing more. What only its body tells, its
    /// tag and date ([`validators`]) among it, is empty.
    #[must_use]
    pub fn plain(kind: Kind, content_type: HeaderValue, clock: &Clock, ttl: Duration) -> Self {
        Outset::plain(kind, content_type, ttl).committed(clock.both())
    }

    /// Bytes of the header values that came from its writer, and of what its body told. What every object has is counted as every
    /// object's.
    #[must_use]
    pub fn kept_bytes(&self) -> u64 {
        let length = |value: &Option<HeaderValue>| value.as_ref().map_or(0, HeaderValue::len);
        let facts = self.facts.as_ref().map_or(0, |facts| facts.held_bytes());
        (self.content_type.len() + length(&self.content_encoding) + length(&self.cache_control) + facts) as u64
    }

    /// Whether the object still exists at `now`.
    #[must_use]
    pub fn is_live(&self, now: Moment) -> bool {
        now < self.expires
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_holds_on_to_nothing_of_the_head_it_came_in() {
        for (sent, is_kept) in
            [("video/mp2t", true), ("video/x-own; a=b", true), (&*"x".repeat(256), true), (&*"x".repeat(257), false)]
        {
            let head = Bytes::from(format!("Authorization: secret\r\nContent-Type: {sent}\r\n"));
            let at = head.len() - 2 - sent.len();
            let value = HeaderValue::from_maybe_shared(head.slice(at..head.len() - 2)).unwrap();
            let kept = keep(&value);
            drop(value);
            assert!(head.try_into_mut().is_ok(), "{sent}: the head is free");
            assert_eq!(kept.as_ref().map(HeaderValue::as_bytes), is_kept.then_some(sent.as_bytes()));
        }
    }
}
