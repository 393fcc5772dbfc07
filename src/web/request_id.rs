//! What a request is called, here and in the logs of those in front.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use bytes::Bytes;
use uuid::{NoContext, Timestamp};

/// The header that carries it, both ways.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Keeps an id that a proxy in front has given, so that both logs tell of the same request; else makes one.
pub(super) fn take_or_make(headers: &HeaderMap) -> HeaderValue {
    let sane = |value: &&HeaderValue| {
        let bytes = value.as_bytes();
        let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':' | b'=');
        (8..=64).contains(&bytes.len()) && bytes.iter().all(allowed)
    };
    // Going through few headers costs less than looking one up by a name that no table has.
    let given = headers.iter().find(|(name, _)| **name == REQUEST_ID);
    given.map(|(_, value)| value).filter(sane).cloned().unwrap_or_else(make)
}

/// A new one: a `UUIDv7`, so that they sort by time (RFC 9562 5.7).
pub(super) fn make() -> HeaderValue {
    let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
    // Without a count within the millisecond, which all threads would have to keep under one lock.
    uuid::Uuid::new_v7(Timestamp::now(NoContext)).hyphenated().encode_lower(&mut text);
    // Shared from the first: it goes into the answer, and into what is told of the request.
    HeaderValue::from_maybe_shared(Bytes::from_owner(text)).unwrap_or(HeaderValue::from_static("none"))
}
