//! Room for an answer's headers: that in which a request's lay, whose answer is made.
//!
//! A map of headers takes over a kilobyte, which no allocator has at hand. The HTTP library reads each request of a connection into the
//! map of the answer before it; so with the room of the request for that of the answer none is allocated at all.
//!
//! Nothing of the request stays in it.

use std::cell::Cell;

use axum::body::Body;
use axum::http::HeaderMap;
use axum::response::Response;

/// The largest that is kept, in headers: an answer has no more.
const LARGEST: usize = 24;

thread_local! {
    static ROOM: Cell<Option<HeaderMap>> = const { Cell::new(None) };
}

/// A 200, with room for headers.
pub(super) fn response(body: Body) -> Response {
    let mut response = Response::new(body);
    if let Some(room) = ROOM.take() {
        *response.headers_mut() = room;
    }
    response
}

/// These headers are read no more.
pub(super) fn leave(mut headers: HeaderMap) {
    if (1..=LARGEST).contains(&headers.capacity()) {
        headers.clear();
        ROOM.set(Some(headers));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;
    use axum::http::header::{AUTHORIZATION, ETAG};

    #[test]
    fn room_is_used_again_and_nothing_is_left_in_it() {
        let mut headers = HeaderMap::with_capacity(12);
        headers.insert(AUTHORIZATION, HeaderValue::from_static("secret"));
        let capacity = headers.capacity();
        leave(headers);
        leave(HeaderMap::new());
        leave(HeaderMap::with_capacity(1000));
        let mut first = response(Body::empty());
        assert_eq!((first.headers().capacity(), first.headers().len()), (capacity, 0));
        first.headers_mut().insert(ETAG, HeaderValue::from_static("\"a\""));
        assert_eq!(response(Body::empty()).headers().capacity(), 0, "it is one answer's");
    }
}
