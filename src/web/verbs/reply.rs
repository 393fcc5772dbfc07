//! An object -> its headers and bytes.

use std::cell::RefCell;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::thread::LocalKey;

use axum::body::{Body, Bytes};
use axum::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG,
    LAST_MODIFIED, VARY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use http_body::{Frame, SizeHint};

use crate::model::range::ENDLESS;
use crate::model::rendering::Rendering;
use crate::origin::{BrokenOff, Following, Found};
use crate::web::{Digits, header_room};

/// RFC 9211.
const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// How fresh a playlist is, without reading it: for monitors, and for CDNs that compare origins.
const LAST_SEQUENCE: HeaderName = HeaderName::from_static("last-sequence");
const LAST_UPDATED: HeaderName = HeaderName::from_static("last-updated");

/// 200 with the whole body. To a HEAD the same: the connection sends the headers alone.
pub(super) fn whole(found: &Found) -> Response {
    let body = found.body().clone();
    let is_empty = body.is_empty();
    let mut response = header_room::response(Body::from(body));
    let headers = response.headers_mut();
    describe(headers, found);
    if is_empty {
        // To a HEAD from below memory, which brings no body, and for HTTP/2, which says nothing of an empty one. Else the
        // connection knows, and says, how long the body is.
        headers.insert(CONTENT_LENGTH, found.length().into());
    }
    response
}

/// 200 with what was made for one reader: it has his key in it, so nothing may keep it.
pub(super) fn personal(found: &Found) -> Response {
    let mut response = header_room::response(Body::from(found.body().clone()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, found.meta().content_type.clone());
    headers.insert(CONTENT_LENGTH, found.length().into());
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    guard(headers, found.meta().rendering);
    response
}

/// 206 with a part of it.
pub(super) fn part(found: &Found, part: Range<usize>) -> Response {
    let total = found.length();
    let mut response = header_room::response(Body::from(found.part(part.clone())));
    *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    let headers = response.headers_mut();
    describe(headers, found);
    headers.insert(CONTENT_RANGE, content_range(format_args!("bytes {}-{}/{total}", part.start, part.end - 1)));
    response
}

/// 304: the validators, and what else a cache updates from it (RFC 9110 15.4.5).
pub(super) fn not_modified(found: &Found) -> Response {
    let mut response = header_room::response(Body::empty());
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    freshness(response.headers_mut(), found);
    // A cache may have stored it when answers were not guarded yet.
    guard(response.headers_mut(), found.meta().rendering);
    response
}

/// 200 with a body that goes on for as long as the upload does; 206, where it begins further on. Its length is not known, so it goes
/// out in chunks, but for a part with an end, which is there; no validators, for what they would stand for is not there yet.
pub(super) fn growing(following: Box<Following>) -> Response {
    let start = following.start;
    let mut headers = HeaderMap::with_capacity(16);
    let outset = following.outset();
    growing_freshness(&mut headers, following.cache_control(), following.max_age);
    guard(&mut headers, outset.rendering);
    headers.insert(CONTENT_TYPE, outset.content_type.clone());
    if let Some(coding) = &outset.content_encoding {
        headers.insert(CONTENT_ENCODING, coding.clone());
    }
    if let Some(start) = start {
        // How long all of it will be is not said (RFC 9110 14.4); where no end was asked for, the last byte is where nobody counts to
        // (RFC 8673 2.2).
        let last = following.left.map_or(ENDLESS, |left| (start + left).saturating_sub(1));
        headers.insert(CONTENT_RANGE, content_range(format_args!("bytes {start}-{last}/*")));
    }
    let mut response = Response::new(Body::new(Growing(following)));
    if start.is_some() {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    *response.headers_mut() = headers;
    response
}

/// 304 to who wanted it only if there was none (`If-None-Match: *`).
pub(super) fn growing_not_modified(following: &Following) -> Response {
    let mut response = header_room::response(Body::empty());
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    growing_freshness(response.headers_mut(), following.cache_control(), following.max_age);
    guard(response.headers_mut(), following.outset().rendering);
    response
}

fn growing_freshness(headers: &mut HeaderMap, said: Option<HeaderValue>, max_age: u64) {
    headers.insert(CACHE_CONTROL, cache_control(said, max_age));
    headers.insert(CACHE_STATUS, HeaderValue::from_static("springhead; hit; detail=growing"));
}

/// The pieces of a growing object, each as it comes. When the upload breaks off this ends in an error, on which the connection
/// (HTTP/1.1) or the stream (HTTP/2) is broken off, so that nobody takes what came for the whole.
struct Growing(Box<Following>);

impl http_body::Body for Growing {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        self.0.poll_next(cx).map(|next| next.map(|piece| piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.0.left == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        self.0.left.map_or_else(SizeHint::default, |left| SizeHint::with_exact(left as u64))
    }
}

fn describe(headers: &mut HeaderMap, found: &Found) {
    // Room for all there may be, what every answer carries included. The connection keeps it for the next request, and a map of
    // more than twelve takes twice as much: only a packed playlist of a namespace with narrowed CORS grows to that.
    headers.reserve(12);
    freshness(headers, found);
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(CONTENT_TYPE, found.meta().content_type.clone());
    if let Some(coding) = &found.meta().content_encoding {
        headers.insert(CONTENT_ENCODING, coding.clone());
    }
    guard(headers, found.meta().rendering);
}

/// Keeps a browser that is led to an object from running what is in it under the name it is served by. Media carry none of it.
fn guard(headers: &mut HeaderMap, rendering: Rendering) {
    if rendering == Rendering::Inert {
        return;
    }
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if rendering == Rendering::Active {
        // A page still shows: without scripts and forms, and as of no site (CSP 3, 6.3.2).
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox"));
    }
}

fn freshness(headers: &mut HeaderMap, found: &Found) {
    let meta = found.meta();
    headers.insert(ETAG, meta.etag.clone());
    headers.insert(LAST_MODIFIED, found.last_modified());
    headers.insert(CACHE_CONTROL, cache_control(found.cache_control(), found.max_age));
    if found.varies {
        headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    }
    if let Some(liveness) = &meta.liveness {
        headers.insert(LAST_UPDATED, liveness.last_updated.clone());
        if let Some(sequence) = &liveness.last_sequence {
            headers.insert(LAST_SEQUENCE, sequence.clone());
        }
    }
    // Past memory it is a hit all the same: nobody else was asked (RFC 9211 2.1). The detail is ours (2.8).
    let (words, left) = ("springhead; hit; ttl=", found.left.as_secs());
    let status = if found.is_from_below() { with_number(words, left, "; detail=durable") } else { numbered(&TTL, words, left) };
    headers.insert(CACHE_STATUS, status);
}

/// What caches are told: what the encoder said, where that is less, or for how long.
fn cache_control(said: Option<HeaderValue>, max_age: u64) -> HeaderValue {
    match said {
        Some(said) => said,
        // `public`, because the request carried Authorization: without it a shared cache keeps nothing (RFC 9111 3.5). Never
        // `immutable`: encoders restart their counters and use names again.
        None => numbered(&MAX_AGE, "public, max-age=", max_age),
    }
}

fn content_range(range: std::fmt::Arguments<'_>) -> HeaderValue {
    // Numbers and fixed words are always a header's value.
    HeaderValue::try_from(range.to_string()).unwrap_or(HeaderValue::from_static(""))
}

/// Values of a header that differ by a number alone, by that number. Answers that follow each other say the same for a second, and those of objects
/// that were stored together, too: what was written for one of them serves for the others of its thread.
struct NumberedValues([Option<(u64, HeaderValue)>; 32]);

thread_local! {
    static TTL: RefCell<NumberedValues> = const { RefCell::new(NumberedValues([const { None }; 32])) };
    static MAX_AGE: RefCell<NumberedValues> = const { RefCell::new(NumberedValues([const { None }; 32])) };
}

/// One of these, always of the same words.
fn numbered(known: &'static LocalKey<RefCell<NumberedValues>>, before: &str, number: u64) -> HeaderValue {
    known.with_borrow_mut(|known| {
        let Some(place) = usize::try_from(number % 32).ok().and_then(|at| known.0.get_mut(at)) else {
            return with_number(before, number, "");
        };
        match place {
            Some((said, value)) if *said == number => value.clone(),
            place => place.insert((number, with_number(before, number, ""))).1.clone(),
        }
    })
}

/// A header value that two words and a number make up: written on the stack, copied once.
fn with_number(before: &str, number: u64, after: &str) -> HeaderValue {
    let (mut buffer, mut at) = ([0; 64], 0);
    for part in [before.as_bytes(), Digits::new().format(number).as_bytes(), after.as_bytes()] {
        buffer[at..at + part.len()].copy_from_slice(part);
        at += part.len();
    }
    HeaderValue::from_bytes(&buffer[..at]).unwrap_or(HeaderValue::from_static(""))
}
