//! A connection's bytes, with a clock on them.
//!
//! The HTTP library times a request's head, but counts the idle time before it as well, and has no limit on a reader that
//! stops reading. Both are kept here, below it, in one timer per connection:
//! - idle between requests: `keep_alive`, then a clean end;
//! - from the first byte of a request to the end of its headers: `request_head`, then a clean end;
//! - while an answer is being sent and the client takes none of it: `download_idle`, then an error. What counts is what the kernel
//!   has taken: a TLS layer accepts some bytes that nobody reads, and it is then the flush that waits.
//!
//! HTTP/2 has many requests on one connection, and heads that no byte count tells from other frames: there, an idle connection
//! has no request open, and one that has some open and moves no byte either way for `download_idle` has ended; but not while a
//! client who has taken all there is of an object waits for its encoder: that has an end too, the upload's own. A single answer
//! that stands still there is the affair of [`super::stream`].
//!
//! Three more things belong at this depth. A client that is gone can't be written to, yet what it sent before it went is still to
//! be read: so a failed write is swallowed, and the end shows at the next read. And a refused upload may still be on its way
//! when the connection ends: so its rest is read and dropped first, within bounds, and the client sees the status and not a reset. And
//! the HTTP/2 library lets a connection's end undo what came before it: requests that it has not handed on yet are dropped, and bodies
//! whose last bytes it has been given end in an error where those have not been taken. So there the end is held back for a moment.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::time::Instant;

use super::encoders::Transport;
use super::fragment::LineSearch;
use super::late::Alarm;
use super::stall::{Crowd, Stall};
use super::state::{ConnectionState, Phase};
use super::unread::Unread;
use super::unwanted::Lingering;
use super::version::{Detected, Peeked};
use crate::web::Limits;
use crate::web::request_id;

/// How much longer an HTTP/2 connection may stand still than its streams: they end one by one, and it goes on.
const STREAMS_FIRST: Duration = Duration::from_secs(1);

/// How long the end of an HTTP/2 connection is held back while requests may be on their way up from it: many turns of the runtime. An upload that
/// has come whole is stored by then, and one that has not breaks off so much later.
const END_HELD_BACK: Duration = Duration::from_secs(1);

/// A timed connection.
#[derive(Debug)]
pub(super) struct Connection<T> {
    inner: T,
    peeked: Peeked,
    state: Arc<ConnectionState>,
    limits: Arc<Limits>,
    alarm: Alarm,
    /// The phase that reading waits in, and since when.
    waiting: Option<(Phase, Instant)>,
    stall: Stall,
    /// What is left to write in place of an answer of the HTTP library's own.
    instead: Option<Bytes>,
    lines: LineSearch,
    lingering: Option<Lingering>,
    is_http2: bool,
    /// Of HTTP/2, whether bytes have come since there were none.
    has_just_read: bool,
    /// Until when its end is held back.
    ends: Option<Instant>,
}

impl<T: Transport> Connection<T> {
    pub(super) fn new(inner: T, state: Arc<ConnectionState>, limits: Arc<Limits>, crowd: Arc<Crowd>) -> Self {
        Self {
            inner,
            peeked: Peeked::default(),
            state,
            limits,
            alarm: Alarm::default(),
            waiting: None,
            stall: Stall::new(crowd),
            instead: None,
            lines: LineSearch::default(),
            lingering: None,
            is_http2: false,
            has_just_read: false,
            ends: None,
        }
    }

    /// Waits for the first bytes, and says what they tell.
    pub(super) async fn detect(mut self) -> io::Result<(Self, Detected)> {
        if self.inner.agreed_on_http2() {
            // Its first bytes are for the HTTP/2 library to judge: a wrong preface is a connection error (RFC 9113 3.4).
            self.is_http2 = true;
            return Ok((self, Detected::Http2));
        }
        self.peeked = Peeked::read(&mut self).await?;
        let detected = self.peeked.detected();
        self.is_http2 = detected == Detected::Http2;
        Ok((self, detected))
    }

    /// Until when the client may say nothing, now that it does.
    fn silent_until(&mut self) -> Option<Instant> {
        self.has_just_read = false;
        let phase = self.state.phase();
        let since = match self.waiting {
            Some((last, since)) if last == phase => since,
            _ => Instant::now(),
        };
        self.waiting = Some((phase, since));
        match phase {
            Phase::Idle => Some(since + self.limits.timeouts.keep_alive),
            Phase::Head => Some(since + self.limits.timeouts.request_head),
            Phase::Busy if self.state.is_multiplexed() => Some(since + self.limits.timeouts.download_idle + STREAMS_FIRST),
            Phase::Busy | Phase::Empty => None,
        }
    }

    /// Takes note of bytes that came or went.
    fn moved(&mut self) {
        if self.state.is_multiplexed() {
            if self.state.phase() == Phase::Busy {
                self.waiting = Some((Phase::Busy, Instant::now()));
            }
        } else if self.state.phase() == Phase::Idle {
            self.state.head_begins();
            // Most heads come whole. Where there is something to wait for, that is a moment later, and looks at the clock.
            self.waiting = None;
        }
    }

    /// Whether the HTTP library is not told yet that the connection has ended; the task is woken when it is to be.
    fn holds_back_end(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.is_http2 || !self.has_just_read && self.state.phase() == Phase::Idle {
            return false;
        }
        let until = *self.ends.get_or_insert_with(|| Instant::now() + END_HELD_BACK);
        !self.alarm.passed(until, cx)
    }

    /// Judges a write's outcome: `all` is how much there was to write.
    #[expect(clippy::needless_pass_by_value, reason = "an io::Error can't be cloned out of a reference")]
    fn after_write(&mut self, written: Poll<io::Result<usize>>, all: usize, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let count = if let Poll::Ready(Ok(count)) = &written { *count } else { 0 };
        self.state.set_unsent(all - count);
        match written {
            Poll::Ready(Ok(count)) => {
                self.stall.moves(self.inner.sent());
                if self.state.is_multiplexed() {
                    self.moved();
                }
                Poll::Ready(Ok(count))
            }
            Poll::Ready(Err(_)) => {
                self.state.set_broken();
                Poll::Ready(Ok(all))
            }
            Poll::Pending if self.is_given_up(cx) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Looks for what the HTTP library does not tell, in bytes that have come.
    fn look_at(&mut self, bytes: &[u8]) {
        if self.state.is_multiplexed() {
            return;
        }
        if let Some(length) = self.state.take_announced() {
            self.lines.body_follows(length);
        }
        let is_head = self.state.phase() == Phase::Head;
        self.lines.look(bytes, is_head, |request| self.state.cut_off(request));
    }

    /// Whether these bytes are an answer of the HTTP library's own, which says nothing but a status, or the rest of one.
    fn is_to_be_replaced(&mut self, buffer: &[u8]) -> bool {
        if self.instead.is_some() {
            return true;
        }
        if self.state.is_multiplexed() {
            return false;
        }
        let Some(unread) = Unread::answered_by(buffer) else { return false };
        let id = request_id::make();
        self.instead = unread.answer(&id);
        self.state.set_unread(unread, id);
        // What it did not read is still on its way.
        self.state.set_linger();
        self.instead.is_some()
    }

    /// Writes our own answer in place of `all` bytes.
    fn write_instead(&mut self, all: usize, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        while let Some(left) = self.instead.as_mut().filter(|left| !left.is_empty()) {
            let length = left.len();
            let written = Pin::new(&mut self.inner).poll_write(cx, left);
            let count = if let Poll::Ready(Ok(count)) = &written { *count } else { 0 };
            left.advance(count);
            std::task::ready!(self.after_write(written, length, cx))?;
            if self.state.is_broken() || count == 0 {
                break;
            }
        }
        self.instead = Some(Bytes::new());
        Poll::Ready(Ok(all))
    }

    /// What the client has said that is no request, if its first bytes tell; after [`Self::detect`].
    pub(super) fn unread(&self) -> Option<Unread> {
        Unread::begun_by(self.peeked.bytes())
    }

    /// Answers what was no request, and ends. Bounded in time as every answer is.
    pub(super) async fn end_with(mut self, answer: &[u8]) {
        self.state.set_linger();
        if self.write_all(answer).await.is_ok() {
            let _ = self.shutdown().await;
        }
    }

    /// Whether the client is given up, now that there is something it can't be given; if not, the task is woken when it is.
    fn is_given_up(&mut self, cx: &mut Context<'_>) -> bool {
        let is_over = self.stall.is_over(self.inner.sent(), self.limits.timeouts.download_idle, &mut self.alarm, cx);
        if is_over {
            self.state.set_stalled();
            self.inner.abandon();
        }
        is_over
    }

    /// From now on what the client sends is acknowledged at once ([`Transport::acknowledge_at_once`]).
    pub(super) fn acknowledge_at_once(&mut self) {
        self.inner.acknowledge_at_once();
    }

    /// Goes on in the runtime that this is called in.
    ///
    /// # Errors
    /// [`Transport::settle`]'s.
    pub(super) fn settle(&mut self) -> io::Result<()> {
        self.alarm.settle();
        self.inner.settle()
    }
}

impl<T> Drop for Connection<T> {
    fn drop(&mut self) {
        self.state.close();
    }
}

impl<T: Transport> AsyncRead for Connection<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        if !self.peeked.is_empty() {
            self.peeked.take(buffer);
            // With what follows, if that is there: one piece is read in one go, and needs no second buffer.
            if buffer.remaining() > 0 {
                let _ = Pin::new(&mut self.inner).poll_read(cx, buffer);
            }
            self.look_at(&buffer.filled()[before..]);
            self.has_just_read = true;
            return Poll::Ready(Ok(()));
        }
        let polled = Pin::new(&mut self.inner).poll_read(cx, buffer);
        self.state.set_waiting(polled.is_pending());
        match polled {
            Poll::Ready(result) => {
                if buffer.filled().len() > before {
                    self.has_just_read = true;
                    self.moved();
                    self.look_at(&buffer.filled()[before..]);
                } else if self.holds_back_end(cx) {
                    return Poll::Pending;
                }
                Poll::Ready(result)
            }
            Poll::Pending => match self.silent_until() {
                // As if the client had ended it: there is nobody to be told.
                Some(deadline) if self.alarm.passed(deadline, cx) => {
                    if self.state.phase() == Phase::Busy && self.state.unsent() > 0 {
                        self.inner.abandon();
                    }
                    Poll::Ready(Ok(()))
                }
                _ => Poll::Pending,
            },
        }
    }
}

impl<T: Transport> AsyncWrite for Connection<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        if self.state.is_broken() {
            return Poll::Ready(Ok(buffer.len()));
        }
        if self.is_to_be_replaced(buffer) {
            return self.write_instead(buffer.len(), cx);
        }
        let written = Pin::new(&mut self.inner).poll_write(cx, buffer);
        if written.is_pending() {
            let sent = self.inner.sent();
            self.stall.waits(sent, buffer.as_ptr().addr());
        }
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
        if let [buffer] = buffers
            && self.is_to_be_replaced(buffer)
        {
            return self.write_instead(all, cx);
        }
        let written = Pin::new(&mut self.inner).poll_write_vectored(cx, buffers);
        if written.is_pending() {
            // The last one is the body's: a head goes before it.
            let sent = self.inner.sent();
            self.stall.waits(sent, buffers.last().map_or(0, |buffer| buffer.as_ptr().addr()));
        }
        self.after_write(written, all, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.state.is_broken() {
            return Poll::Ready(Ok(()));
        }
        match Pin::new(&mut self.inner).poll_flush(cx) {
            Poll::Ready(Ok(())) => {
                self.stall.ends();
                Poll::Ready(Ok(()))
            }
            // As a failed write: the end shows at the next read.
            Poll::Ready(Err(_)) => {
                self.state.set_broken();
                Poll::Ready(Ok(()))
            }
            Poll::Pending if self.is_given_up(cx) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.lingering.is_none() {
            match Pin::new(&mut self.inner).poll_shutdown(cx) {
                Poll::Ready(ended) => ended?,
                // A TLS layer has its own word of farewell to say.
                Poll::Pending if self.is_given_up(cx) => return Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
                Poll::Pending => return Poll::Pending,
            }
            if !self.state.lingers() {
                return Poll::Ready(Ok(()));
            }
        }
        let this = &mut *self;
        let lingering = this.lingering.get_or_insert_with(Lingering::begin);
        if lingering.poll_drop(&mut this.inner, cx).is_ready() || this.alarm.passed(lingering.until(), cx) {
            return Poll::Ready(Ok(()));
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::super::in_flight::{AnswerBody, InFlight};
    use super::super::unwanted;
    use super::*;
    use crate::metrics::Metrics;
    use crate::model::clock::Clock;
    use crate::web::{ConnectionLimits, Timeouts};
    use bytes::Bytes;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;
    use tokio::io::{AsyncReadExt as _, DuplexStream};

    /// A connection in memory. `holds`: bytes that it takes in and passes on only when it is flushed, as a TLS layer does.
    #[derive(Debug)]
    struct Pipe {
        inner: DuplexStream,
        sent: u64,
        holds: usize,
        held: Vec<u8>,
        is_abandoned: Arc<AtomicBool>,
    }

    fn duplex(size: usize) -> (DuplexStream, Pipe) {
        let (client, inner) = tokio::io::duplex(size);
        (client, Pipe { inner, sent: 0, holds: 0, held: Vec::new(), is_abandoned: Arc::default() })
    }

    impl Transport for Pipe {
        fn acknowledge_at_once(&mut self) {}

        fn settle(&mut self) -> io::Result<()> {
            Ok(())
        }

        fn sent(&self) -> u64 {
            self.sent
        }

        fn abandon(&mut self) {
            self.is_abandoned.store(true, Ordering::Relaxed);
        }
    }

    impl AsyncRead for Pipe {
        fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.inner).poll_read(cx, buffer)
        }
    }

    impl AsyncWrite for Pipe {
        fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
            let room = self.holds.saturating_sub(self.held.len()).min(buffer.len());
            if room > 0 {
                self.held.extend_from_slice(&buffer[..room]);
                return Poll::Ready(Ok(room));
            }
            if self.holds > 0 {
                std::task::ready!(self.as_mut().poll_flush(cx))?;
            }
            let count = std::task::ready!(Pin::new(&mut self.inner).poll_write(cx, buffer))?;
            self.sent += count as u64;
            Poll::Ready(Ok(count))
        }

        fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            while !self.held.is_empty() {
                let held = std::mem::take(&mut self.held);
                let written = Pin::new(&mut self.inner).poll_write(cx, &held);
                let count = if let Poll::Ready(Ok(count)) = written { count } else { 0 };
                self.held = held[count..].to_vec();
                std::task::ready!(written)?;
                self.sent += count as u64;
            }
            Pin::new(&mut self.inner).poll_flush(cx)
        }

        fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            std::task::ready!(self.as_mut().poll_flush(cx))?;
            Pin::new(&mut self.inner).poll_shutdown(cx)
        }
    }

    fn connection(pipe: Pipe, state: Arc<ConnectionState>) -> Connection<Pipe> {
        let crowd = Arc::new(Crowd::new(Arc::new(Metrics::new()), Clock::manual()));
        Connection::new(pipe, state, limits(), crowd)
    }

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
        let mut server = connection(server, Arc::clone(&state));
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
        drop(AnswerBody::new(http_body_util::Empty::<Bytes>::new(), Some(InFlight::new(state))));
        let begun = Instant::now();
        assert_eq!(server.read(&mut byte).await.unwrap(), 0);
        assert_eq!(begun.elapsed().as_secs(), 150);
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_of_http_2_waits_for_what_came_before_it() {
        for (is_idle, expected) in [(false, END_HELD_BACK), (true, Duration::ZERO)] {
            let (mut client, server) = duplex(1024);
            let state = Arc::new(ConnectionState::default());
            client.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nframes").await.unwrap();
            let (mut server, detected) = connection(server, Arc::clone(&state)).detect().await.unwrap();
            assert_eq!(detected, Detected::Http2);
            let mut client = Some(client).filter(|_| is_idle);
            let (mut all, mut space) = (0, [0; 100]);
            while all < 30 {
                all += server.read(&mut space).await.unwrap();
            }
            if is_idle {
                state.request_begins();
                state.request_ends();
                assert!(tokio::time::timeout(Duration::from_secs(1), server.read(&mut space)).await.is_err());
            }
            drop(client.take());
            let begun = Instant::now();
            assert_eq!(server.read(&mut space).await.unwrap(), 0);
            assert_eq!(begun.elapsed().as_millis() / 10, expected.as_millis() / 10);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_head_ends_after_its_limit() {
        let (mut client, server) = duplex(1024);
        let mut server = connection(server, Arc::default());
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
        let is_abandoned = Arc::clone(&server.is_abandoned);
        let mut server = connection(server, Arc::default());
        let begun = Instant::now();
        let sender = tokio::spawn(async move { server.write_all(&[7; 64]).await.map_err(|error| error.kind()) });
        tokio::time::sleep(Duration::from_secs(15)).await;
        let mut some = [0; 16];
        client.read_exact(&mut some).await.unwrap();
        assert_eq!(sender.await.unwrap(), Err(io::ErrorKind::TimedOut));
        assert_eq!(begun.elapsed().as_secs(), 35, "progress starts the limit anew");
        assert!(is_abandoned.load(Ordering::Relaxed), "nothing is kept for it");
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_nothing_for_a_second_is_counted_until_he_takes_something() {
        let metrics = Arc::new(Metrics::new());
        let crowd = Arc::new(Crowd::new(Arc::clone(&metrics), Clock::manual()));
        let figures = || (metrics.stalled_readers.get(), metrics.stalled_kernel_bytes.get());
        let (mut client, server) = duplex(16);
        let mut server = Connection::new(server, Arc::default(), limits(), crowd);
        let sender = tokio::spawn(async move {
            server.write_all(&[7; 64]).await.unwrap();
            server.flush().await.unwrap();
            server
        });
        tokio::time::sleep(Duration::from_millis(900)).await;
        assert_eq!(figures(), (0, 0), "he may only be slow");
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(figures(), (1, 16));
        let mut some = [0; 16];
        client.read_exact(&mut some).await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(figures(), (0, 0));
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(figures(), (1, 32));
        tokio::spawn(async move { client.read_exact(&mut [0; 48]).await });
        let _server = sender.await.unwrap();
        assert_eq!(figures(), (0, 0), "all of it has been taken");
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_stops_behind_a_layer_that_holds_bytes_is_given_up() {
        for (what, flushes) in [("flush", true), ("shutdown", false)] {
            let (mut client, mut server) = duplex(16);
            server.holds = 64;
            let state = Arc::new(ConnectionState::default());
            let mut server = connection(server, Arc::clone(&state));
            let begun = Instant::now();
            let sender = tokio::spawn(async move {
                server.write_all(&[7; 64]).await.unwrap();
                let ended = if flushes { server.flush().await } else { server.shutdown().await };
                ended.map_err(|error| error.kind())
            });
            tokio::time::sleep(Duration::from_secs(15)).await;
            let mut some = [0; 16];
            client.read_exact(&mut some).await.unwrap();
            assert_eq!(sender.await.unwrap(), Err(io::ErrorKind::TimedOut), "{what}");
            assert_eq!(begun.elapsed().as_secs(), 35, "{what}: progress starts the limit anew");
            assert!(state.is_stalled(), "{what}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_that_came_while_the_process_stood_still_are_read() {
        let (mut client, server) = duplex(16);
        let mut server = connection(server, Arc::default());
        let reader = tokio::spawn(async move {
            let mut byte = [0];
            server.read(&mut byte).await.unwrap()
        });
        tokio::task::yield_now().await;
        // Longer than any limit; the reader's timer is told of it before its bytes are.
        tokio::time::advance(Duration::from_secs(400)).await;
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(50)).await;
            client.write_all(b"x").await.unwrap();
            client
        });
        assert_eq!(reader.await.unwrap(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_broken_write_does_not_stop_the_reading() {
        let (mut client, server) = duplex(1024);
        client.write_all(b"the rest of an upload").await.unwrap();
        drop(client);
        let mut server = connection(server, Arc::default());
        server.write_all(b"an answer nobody takes").await.unwrap();
        let mut read = String::new();
        server.read_to_string(&mut read).await.unwrap();
        assert_eq!(read, "the rest of an upload");
    }

    #[tokio::test(start_paused = true)]
    async fn lingering_is_bounded_in_time() {
        let (_client, server) = duplex(1024);
        let state = Arc::new(ConnectionState::default());
        let mut server = connection(server, Arc::clone(&state));
        state.set_linger();
        let begun = Instant::now();
        server.shutdown().await.unwrap();
        assert_eq!(begun.elapsed(), unwanted::MAX_TIME);
    }
}
