//! What a request is called, here and in the logs of those in front.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use bytes::Bytes;
use uuid::{NoContext, Timestamp};

use crate::model::clock::WallTime;

/// The header that carries it, both ways.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Keeps an id that a proxy in front has given, so that both logs tell of the same request; else makes one.
pub(super) fn take_or_make(headers: &HeaderMap, now: WallTime) -> HeaderValue {
    let sane = |value: &&HeaderValue| {
        let bytes = value.as_bytes();
        let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':' | b'=');
        (8..=64).contains(&bytes.len()) && bytes.iter().all(allowed)
    };
    // Going through few headers costs less than looking one up by a name that no table has.
    let given = headers.iter().find(|(name, _)| **name == REQUEST_ID);
    given.map(|(_, value)| value).filter(sane).cloned().unwrap_or_else(|| make_at(now))
}

/// A new one.
pub(super) fn make() -> HeaderValue {
    of_time(Timestamp::now(NoContext))
}

/// One of this time.
fn make_at(now: WallTime) -> HeaderValue {
    // Of what is less than a millisecond an id has nothing.
    let nanoseconds = u32::try_from(now.millis() % 1000 * 1_000_000).unwrap_or(0);
    of_time(Timestamp::from_unix(NoContext, now.seconds(), nanoseconds))
}

/// A `UUIDv7`, so that they sort by time (RFC 9562 5.7).
fn of_time(at: Timestamp) -> HeaderValue {
    let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
    // Without a count within the millisecond, which all threads would have to keep under one lock.
    uuid::Uuid::new_v7(at).hyphenated().encode_lower(&mut text);
    // Shared from the first: it goes into the answer, and into what is told of the request.
    HeaderValue::from_maybe_shared(Bytes::from_owner(text)).unwrap_or(HeaderValue::from_static("none"))
}
