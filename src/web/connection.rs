//! A connection's bytes, with a clock on them.
//!
//! The HTTP library times a request's head, but counts the idle time before it as well, and has no limit on a reader that
//! stops reading. Both are kept here, below it, in one timer per connection:
//! - idle between requests: `keep_alive`, then a clean end;
//! - from the first byte of a request to the end of its headers: `request_head`, then a clean end;
//! - while an answer is being sent and the client takes none of it: `download_idle`, then an error.
//!
//! HTTP/2 has many requests on one connection, and heads that no byte count tells from other frames: there, an idle connection
//! has no request open, and one that has some open and moves no byte either way for `download_idle` has ended; but not while a
//! client who has taken all there is of an object waits for its encoder: that has an end too, the upload's own. A single answer
//! that stands still there is the affair of [`super::stream`].
//!
//! Two more things belong at this depth. A client that is gone can't be written to, yet what it sent before it went is still to
//! be read: so a failed write is swallowed, and the end shows at the next read. And a refused upload may still be on its way
//! when the connection ends: so its rest is read and dropped first, within bounds, and the client sees the status and not a reset.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep, sleep_until};

use super::lane::Movable;
use super::preface::{Ahead, Beginning};
use super::{Limits, drain};

/// How much longer an HTTP/2 connection may stand still than its streams: they end one by one, and it goes on.
const STREAMS_FIRST: Duration = Duration::from_secs(1);

/// What a connection is doing, as far as time limits go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Idle,
    Head,
    Busy,
    /// The same, and it is us who keep the client waiting.
    Empty,
}

/// What a connection's two ends know of each other: the bytes below the HTTP library, the requests above it.
#[derive(Debug, Default)]
pub(super) struct ConnectionState {
    open_requests: AtomicUsize,
    waiting_answers: AtomicUsize,
    head: AtomicBool,
    multiplexed: AtomicBool,
    linger: AtomicBool,
    begun: AtomicBool,
    first_request: Notify,
    broken: AtomicBool,
    stalled: AtomicBool,
    unsent: AtomicUsize,
}

impl ConnectionState {
    /// A request has been read and is being answered.
    pub(super) fn request_begins(&self) {
        self.head.store(false, Ordering::Relaxed);
        self.open_requests.fetch_add(1, Ordering::Relaxed);
        if !self.begun.swap(true, Ordering::Relaxed) {
            self.first_request.notify_one();
        }
    }

    /// Waits for the first request; returns at once when there has been one. Cancel-safe.
    pub(super) async fn first_request(&self) {
        if !self.begun.load(Ordering::Relaxed) {
            self.first_request.notified().await;
        }
    }

    pub(super) fn request_ends(&self) {
        self.open_requests.fetch_sub(1, Ordering::Relaxed);
    }

    /// An answer that has begun has nothing more to send for now, or has something again.
    pub(super) fn has_nothing_to_send(&self, nothing: bool) {
        if nothing {
            self.waiting_answers.fetch_add(1, Ordering::Relaxed);
        } else {
            self.waiting_answers.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// This connection speaks HTTP/2.
    pub(super) fn is_multiplexed(&self) {
        self.multiplexed.store(true, Ordering::Relaxed);
    }

    fn phase(&self) -> Phase {
        if self.waiting_answers.load(Ordering::Relaxed) > 0 {
            Phase::Empty
        } else if self.open_requests.load(Ordering::Relaxed) > 0 {
            Phase::Busy
        } else if self.head.load(Ordering::Relaxed) {
            Phase::Head
        } else {
            Phase::Idle
        }
    }

    /// This connection speaks HTTP/2, where answers share the bytes.
    pub(super) fn shares(&self) -> bool {
        self.multiplexed.load(Ordering::Relaxed)
    }

    /// Whether it was ended because the client took nothing of an answer.
    pub(super) fn is_stalled(&self) -> bool {
        self.stalled.load(Ordering::Relaxed)
    }

    /// Whether the client has gone: what is written now goes nowhere.
    pub(super) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }

    /// Bytes that the HTTP library had to write when it last wrote, and that went nowhere, or not yet. Of an HTTP/1 answer that is
    /// all that was handed to it and did not leave.
    pub(super) fn unsent(&self) -> usize {
        self.unsent.load(Ordering::Relaxed)
    }

    /// A body may still be on its way that nobody reads: take some of it in before the connection ends.
    pub(super) fn linger(&self) {
        self.linger.store(true, Ordering::Relaxed);
    }
}

/// A timed connection.
#[derive(Debug)]
pub(super) struct Connection<T> {
    inner: T,
    ahead: Ahead,
    state: Arc<ConnectionState>,
    limits: Arc<Limits>,
    timer: Option<Pin<Box<Sleep>>>,
    /// The phase that reading waits in, and since when.
    waiting: Option<(Phase, Instant)>,
    write_stalled: Option<Instant>,
    lingering: Option<Lingering>,
}

#[derive(Clone, Copy, Debug)]
struct Lingering {
    until: Instant,
    bytes_left: u64,
}

impl<T: AsyncRead + AsyncWrite + Unpin> Connection<T> {
    pub(super) fn new(inner: T, state: Arc<ConnectionState>, limits: Arc<Limits>) -> Self {
        Self { inner, ahead: Ahead::default(), state, limits, timer: None, waiting: None, write_stalled: None, lingering: None }
    }

    /// Waits for the first bytes, and says what they begin.
    pub(super) async fn beginning(mut self) -> io::Result<(Self, Beginning)> {
        self.ahead = Ahead::read(&mut self).await?;
        let beginning = self.ahead.beginning();
        Ok((self, beginning))
    }

    /// Whether the deadline has passed; if not, the task is woken when it does. The timer is set anew only when it would come
    /// too late: on a busy connection deadlines move with every request, and most never come.
    fn passed(&mut self, deadline: Instant, cx: &mut Context<'_>) -> bool {
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        loop {
            if timer.as_mut().poll(cx).is_pending() {
                if timer.deadline() <= deadline {
                    return false;
                }
            } else if Instant::now() >= deadline {
                return true;
            }
            timer.as_mut().reset(deadline);
        }
    }

    fn read_deadline(&mut self) -> Option<Instant> {
        let phase = self.state.phase();
        let since = match self.waiting {
            Some((last, since)) if last == phase => since,
            _ => Instant::now(),
        };
        self.waiting = Some((phase, since));
        match phase {
            Phase::Idle => Some(since + self.limits.timeouts.keep_alive),
            Phase::Head => Some(since + self.limits.timeouts.request_head),
            Phase::Busy if self.state.shares() => Some(since + self.limits.timeouts.download_idle + STREAMS_FIRST),
            Phase::Busy | Phase::Empty => None,
        }
    }

    /// Takes note of bytes that came or went.
    fn moved(&mut self) {
        if self.state.shares() {
            if self.state.phase() == Phase::Busy {
                self.waiting = Some((Phase::Busy, Instant::now()));
            }
        } else if self.state.phase() == Phase::Idle {
            self.state.head.store(true, Ordering::Relaxed);
            self.waiting = Some((Phase::Head, Instant::now()));
        }
    }

    /// Judges a write's outcome: `all` is how much there was to write.
    #[expect(clippy::needless_pass_by_value, reason = "an io::Error can't be cloned out of a reference")]
    fn after_write(&mut self, written: Poll<io::Result<usize>>, all: usize, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let count = if let Poll::Ready(Ok(count)) = &written { *count } else { 0 };
        self.state.unsent.store(all - count, Ordering::Relaxed);
        match written {
            Poll::Ready(Ok(count)) => {
                self.write_stalled = None;
                if self.state.shares() {
                    self.moved();
                }
                Poll::Ready(Ok(count))
            }
            Poll::Ready(Err(_)) => {
                self.state.broken.store(true, Ordering::Relaxed);
                Poll::Ready(Ok(all))
            }
            Poll::Pending => {
                let since = *self.write_stalled.get_or_insert_with(Instant::now);
                if self.passed(since + self.limits.timeouts.download_idle, cx) {
                    self.state.stalled.store(true, Ordering::Relaxed);
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
                Poll::Pending
            }
        }
    }
}

impl<T: Movable> Connection<T> {
    /// Goes on in the runtime that this is called in.
    ///
    /// # Errors
    /// [`Movable::settle`]'s.
    pub(super) fn settle(&mut self) -> io::Result<()> {
        // Set anew when it is needed, there.
        self.timer = None;
        self.inner.settle()
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for Connection<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        if !self.ahead.is_empty() {
            self.ahead.take(buffer);
            // With what follows, if that is there: one piece is read in one go, and needs no second buffer.
            if buffer.remaining() > 0 {
                let _ = Pin::new(&mut self.inner).poll_read(cx, buffer);
            }
            return Poll::Ready(Ok(()));
        }
        match Pin::new(&mut self.inner).poll_read(cx, buffer) {
            Poll::Ready(result) => {
                if buffer.filled().len() > before {
                    self.moved();
                }
                Poll::Ready(result)
            }
            Poll::Pending => match self.read_deadline() {
                // As if the client had ended it: there is nobody to be told.
                Some(deadline) if self.passed(deadline, cx) => Poll::Ready(Ok(())),
                _ => Poll::Pending,
            },
        }
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Connection<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        if self.state.is_broken() {
            return Poll::Ready(Ok(buffer.len()));
        }
        let written = Pin::new(&mut self.inner).poll_write(cx, buffer);
        self.after_write(written, buffer.len(), cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let all = buffers.iter().map(|buffer| buffer.len()).sum();
        if self.state.is_broken() {
            return Poll::Ready(Ok(all));
        }
        let written = Pin::new(&mut self.inner).poll_write_vectored(cx, buffers);
        self.after_write(written, all, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.state.is_broken() {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.lingering.is_none() {
            std::task::ready!(Pin::new(&mut self.inner).poll_shutdown(cx))?;
            if !self.state.linger.load(Ordering::Relaxed) {
                return Poll::Ready(Ok(()));
            }
        }
        let mut left =
            self.lingering.unwrap_or_else(|| Lingering { until: Instant::now() + drain::MAX_TIME, bytes_left: drain::MAX_BYTES });
        let mut space = [0; 16 << 10];
        loop {
            let mut buffer = ReadBuf::new(&mut space);
            match Pin::new(&mut self.inner).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    left.bytes_left = left.bytes_left.saturating_sub(buffer.filled().len() as u64);
                    if left.bytes_left == 0 {
                        return Poll::Ready(Ok(()));
                    }
                }
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending => {
                    self.lingering = Some(left);
                    return if self.passed(left.until, cx) { Poll::Ready(Ok(())) } else { Poll::Pending };
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::ending::{Answer, Ending};
    use crate::web::{ConnectionLimits, Timeouts};
    use bytes::Bytes;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    fn limits() -> Arc<Limits> {
        let timeouts = Timeouts {
            request_head: Duration::from_secs(10),
            keep_alive: Duration::from_secs(150),
            upload_idle: Duration::from_secs(30),
            upload_total: Duration::from_secs(300),
            download_idle: Duration::from_secs(20),
        };
        Arc::new(Limits { timeouts, drain: Duration::ZERO, connections: ConnectionLimits::default() })
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_connection_ends_after_its_keep_alive() {
        let (mut client, server) = duplex(1024);
        let state = Arc::new(ConnectionState::default());
        let mut server = Connection::new(server, Arc::clone(&state), limits());
        let begun = Instant::now();
        let mut byte = [0];
        assert_eq!(server.read(&mut byte).await.unwrap(), 0);
        assert_eq!(begun.elapsed().as_secs(), 150);

        // A request in between starts the idle time anew, and none of it counts while the request is being answered.
        client.write_all(b"x").await.unwrap();
        assert_eq!(server.read(&mut byte).await.unwrap(), 1);
        state.request_begins();
        let answered = tokio::time::timeout(Duration::from_secs(1000), server.read(&mut byte)).await;
        assert!(answered.is_err(), "a busy connection has no idle time");
        drop(Answer::new(http_body_util::Empty::<Bytes>::new(), Ending::new(state)));
        let begun = Instant::now();
        assert_eq!(server.read(&mut byte).await.unwrap(), 0);
        assert_eq!(begun.elapsed().as_secs(), 150);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_head_ends_after_its_limit() {
        let (mut client, server) = duplex(1024);
        let mut server = Connection::new(server, Arc::default(), limits());
        tokio::spawn(async move {
            loop {
                if client.write_all(b"x").await.is_err() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(900)).await;
            }
        });
        let begun = Instant::now();
        let mut byte = [0];
        while server.read(&mut byte).await.unwrap() > 0 {}
        assert!((9..=11).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_stops_is_given_up() {
        let (mut client, server) = duplex(16);
        let mut server = Connection::new(server, Arc::default(), limits());
        let begun = Instant::now();
        let sender = tokio::spawn(async move { server.write_all(&[7; 64]).await.map_err(|error| error.kind()) });
        tokio::time::sleep(Duration::from_secs(15)).await;
        let mut some = [0; 16];
        client.read_exact(&mut some).await.unwrap();
        assert_eq!(sender.await.unwrap(), Err(io::ErrorKind::TimedOut));
        assert_eq!(begun.elapsed().as_secs(), 35, "progress starts the limit anew");
    }

    #[tokio::test(start_paused = true)]
    async fn a_broken_write_does_not_stop_the_reading() {
        let (mut client, server) = duplex(1024);
        client.write_all(b"the rest of an upload").await.unwrap();
        drop(client);
        let mut server = Connection::new(server, Arc::default(), limits());
        server.write_all(b"an answer nobody takes").await.unwrap();
        let mut read = String::new();
        server.read_to_string(&mut read).await.unwrap();
        assert_eq!(read, "the rest of an upload");
    }

    #[tokio::test(start_paused = true)]
    async fn lingering_is_bounded_in_time() {
        let (_client, server) = duplex(1024);
        let state = Arc::new(ConnectionState::default());
        let mut server = Connection::new(server, Arc::clone(&state), limits());
        state.linger();
        let begun = Instant::now();
        server.shutdown().await.unwrap();
        assert_eq!(begun.elapsed(), drain::MAX_TIME);
    }
}
