//! What becomes of a body that nobody wants.
//!
//! A refusal is answered at once. The client may still be sending, and a server that closes on it then resets the connection:
//! the client sees a broken pipe and never the status. So a bounded rest is read and dropped, and only then does the
//! connection end; when the body ended within that, it stays open.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_LENGTH, EXPECT};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::{Instant, timeout};

use super::state::ConnectionState;

/// How much is read and dropped, at most.
const MAX_BYTES: u64 = 1 << 20;
/// For how long, at most.
pub(super) const MAX_TIME: Duration = Duration::from_secs(1);

/// The end of a connection whose client may still be sending a body that nobody wants.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lingering {
    until: Instant,
    bytes_left: u64,
}

impl Lingering {
    pub(super) fn begin() -> Self {
        Self { until: Instant::now() + MAX_TIME, bytes_left: MAX_BYTES }
    }

    /// Until when, at most.
    pub(super) fn until(self) -> Instant {
        self.until
    }

    /// Reads and drops what has come. Ready when that was all, or enough.
    pub(super) fn poll_drop(&mut self, stream: &mut (impl AsyncRead + Unpin), cx: &mut Context<'_>) -> Poll<()> {
        let mut space = [0; 16 << 10];
        loop {
            let mut buffer = ReadBuf::new(&mut space);
            match Pin::new(&mut *stream).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    self.bytes_left = self.bytes_left.saturating_sub(buffer.filled().len() as u64);
                    if self.bytes_left == 0 {
                        return Poll::Ready(());
                    }
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

/// Sees to the body of a refused request. Says whether the connection ends with the answer, which the client is to be told.
#[must_use]
pub(in crate::web) fn after_refusal(connection: &ConnectionState, headers: &HeaderMap, body: Body) -> bool {
    if body.is_end_stream() {
        return false;
    }
    connection.set_linger();
    if headers.contains_key(EXPECT) {
        // Not to be polled: that would send the `100 Continue` which the refusal comes instead of. Whether the client sends the
        // body after all can't be known, so this connection can't be used again (RFC 9110 10.1.1).
        return true;
    }
    let too_long = headers
        .get(CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse().ok())
        .is_some_and(|length: u64| length > MAX_BYTES);
    tokio::spawn(to_end(body));
    too_long
}

/// Reads and drops a body, within the bounds. Cancel-safe.
pub(in crate::web) async fn to_end(mut body: Body) {
    let read = async {
        let mut rest = MAX_BYTES;
        while let Some(Ok(frame)) = body.frame().await {
            let length = frame.data_ref().map_or(0, bytes::Bytes::len) as u64;
            if length > rest {
                break;
            }
            rest -= length;
        }
    };
    // Out of time or out of bounds: dropping the body closes the connection.
    let _ = timeout(MAX_TIME, read).await;
}
