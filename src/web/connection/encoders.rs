//! The encoders' own threads.
//!
//! Where readers take all of a processor, a task that is ready waits for the turns of all who were ready before it, and an upload
//! takes many turns: it would last ten times as long as on an idle server, and the live edge with it. So a connection whose first
//! request writes goes on in a runtime of its own. Its threads sleep most of the time, and the kernel lets who has slept run before
//! who has not.
//!
//! A socket wakes the task that waits for it through the runtime it is registered with, so it moves with its task. HTTP/2 stays
//! where it is: nothing in its first bytes tells what its requests will be, and a CDN's connection does not write.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A connection's bytes, whatever is between the socket and the HTTP library.
pub(super) trait Transport: AsyncRead + AsyncWrite + Unpin {
    /// The connection is an encoder's: from now on what it sends is acknowledged at once.
    ///
    /// A client that writes an upload in small pieces with Nagle's algorithm on (RFC 1122 4.2.3.4; ffmpeg over a kept connection
    /// does) holds the last piece back until the one before it is acknowledged, and a kernel puts that off for 40 ms.
    fn acknowledge_at_once(&mut self);

    /// Registers the socket with the runtime that this is called in. What was read or written before stays as it was.
    ///
    /// # Errors
    /// The kernel's. Then the connection is lost.
    fn settle(&mut self) -> io::Result<()>;

    /// Whether both sides have agreed on HTTP/2 below HTTP already (ALPN, RFC 9113 3.3): then nothing else is spoken.
    fn agreed_on_http2(&self) -> bool {
        false
    }

    /// How many bytes the kernel has taken so far. What a TLS layer has only encrypted is none of them.
    fn sent(&self) -> u64;

    /// The client is given up. What the kernel still holds for it goes with the connection, at once: it would else be kept, and offered
    /// again and again, for minutes after that.
    fn abandon(&mut self);
}

/// A TCP connection that can be moved.
#[derive(Debug)]
pub(super) struct Socket {
    /// Missing only where moving it has failed.
    stream: Option<TcpStream>,
    sent: u64,
    acknowledges_at_once: bool,
    /// Something has come since the last acknowledgement was asked for.
    unacknowledged: bool,
}

impl Socket {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self { stream: Some(stream), sent: 0, acknowledges_at_once: false, unacknowledged: false }
    }

    /// Waits for the first bytes, and leaves them where they are; none when the client has ended. Cancel-safe.
    pub(super) async fn peek(&mut self) -> io::Result<Vec<u8>> {
        let mut first = [0; 16];
        let count = self.stream()?.peek(&mut first).await?;
        Ok(first[..count].to_vec())
    }

    fn stream(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        self.stream.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    fn count(&mut self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(count)) = &written {
            self.sent += *count as u64;
            // What is sent carries the acknowledgement.
            self.unacknowledged &= *count == 0;
        }
        written
    }

    /// Has the kernel acknowledge what was read. The option does not last (tcp(7)), so it is set whenever all that had come has been
    /// read, and only then: a sender that keeps the socket full is acknowledged anyway.
    fn acknowledge(&mut self) {
        self.unacknowledged = false;
        #[cfg(target_os = "linux")]
        if let Some(stream) = &self.stream {
            // A failure costs some milliseconds, not the upload.
            let _ = stream.set_quickack(true);
        }
    }
}

impl Transport for Socket {
    fn acknowledge_at_once(&mut self) {
        self.acknowledges_at_once = true;
    }

    fn settle(&mut self) -> io::Result<()> {
        if let Some(stream) = self.stream.take() {
            self.stream = Some(TcpStream::from_std(stream.into_std()?)?);
        }
        Ok(())
    }

    fn sent(&self) -> u64 {
        self.sent
    }

    fn abandon(&mut self) {
        if let Some(stream) = &self.stream {
            // A failure costs memory for some minutes, as if this were not done.
            let _ = stream.set_zero_linger();
        }
    }
}

impl<T: Transport> Transport for Box<T> {
    fn acknowledge_at_once(&mut self) {
        (**self).acknowledge_at_once();
    }

    fn settle(&mut self) -> io::Result<()> {
        (**self).settle()
    }

    fn agreed_on_http2(&self) -> bool {
        (**self).agreed_on_http2()
    }

    fn sent(&self) -> u64 {
        (**self).sent()
    }

    fn abandon(&mut self) {
        (**self).abandon();
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let polled = self.stream()?.poll_read(cx, buffer);
        if self.acknowledges_at_once {
            match polled {
                Poll::Ready(Ok(())) => self.unacknowledged = true,
                Poll::Pending if self.unacknowledged => self.acknowledge(),
                _ => {}
            }
        }
        polled
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        let written = self.stream()?.poll_write(cx, buffer);
        self.count(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = self.stream()?.poll_write_vectored(cx, buffers);
        self.count(written)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};
    use std::time::Duration;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::runtime::Runtime;

    fn runtime() -> Runtime {
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
    }

    #[test]
    fn a_socket_goes_on_in_another_runtime_when_the_first_has_ended() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        accepted.set_nonblocking(true).unwrap();
        let (first, second) = (runtime(), runtime());
        client.write_all(b"one").unwrap();
        let mut socket = first.block_on(async {
            let mut socket = Socket::new(TcpStream::from_std(accepted).unwrap());
            let mut bytes = [0; 3];
            socket.read_exact(&mut bytes).await.unwrap();
            assert_eq!(&bytes, b"one");
            socket
        });
        let task = second.spawn(async move {
            socket.settle().unwrap();
            let mut bytes = [0; 3];
            socket.read_exact(&mut bytes).await.unwrap();
            socket.write_all(&bytes).await.unwrap();
        });
        drop(first);
        client.write_all(b"two").unwrap();
        let mut answer = [0; 3];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"two");
        second.block_on(task).unwrap();
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn an_encoders_bytes_are_acknowledged_at_once() {
        for at_once in [false, true] {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let mut socket = Socket::new(listener.accept().await.unwrap().0);
            if at_once {
                socket.acknowledge_at_once();
            }
            let mut bytes = [0; 3];
            let mut seen = Vec::new();
            for _ in 0..50 {
                // Question and answer a few times, until the kernel takes it for a dialogue, in which acknowledgements can wait for
                // the next answer.
                for _ in 0..5 {
                    client.write_all(b"ask").await.unwrap();
                    socket.read_exact(&mut bytes).await.unwrap();
                    socket.write_all(b"say").await.unwrap();
                    client.read_exact(&mut bytes).await.unwrap();
                }
                if socket.stream.as_ref().unwrap().quickack().unwrap() {
                    continue;
                }
                client.write_all(b"one").await.unwrap();
                socket.read_exact(&mut bytes).await.unwrap();
                // All has been read: the next piece is waited for.
                assert!(tokio::time::timeout(Duration::from_millis(5), socket.read(&mut bytes)).await.is_err());
                seen.push(socket.stream.as_ref().unwrap().quickack().unwrap());
            }
            // The kernel leaves the dialogue by itself when an acknowledgement has waited for too long, as it may on a busy machine.
            let all = seen.iter().all(|seen| *seen);
            assert!(!seen.is_empty() && all == at_once, "{at_once}: {seen:?}");
        }
    }
}
