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

/// A connection's bytes, wherever its task is.
pub(super) trait Movable {
    /// Registers the socket with the runtime that this is called in. What was read or written before stays as it was.
    ///
    /// # Errors
    /// The kernel's. Then the connection is lost.
    fn settle(&mut self) -> io::Result<()>;
}

/// A TCP connection that can be moved.
#[derive(Debug)]
pub(super) struct Socket(Option<TcpStream>);

impl Socket {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self(Some(stream))
    }

    fn stream(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        // It is missing only where moving it has failed.
        self.0.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl Movable for Socket {
    fn settle(&mut self) -> io::Result<()> {
        if let Some(stream) = self.0.take() {
            self.0 = Some(TcpStream::from_std(stream.into_std()?)?);
        }
        Ok(())
    }
}

impl<T: Movable> Movable for Box<T> {
    fn settle(&mut self) -> io::Result<()> {
        (**self).settle()
    }
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_read(cx, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        self.stream()?.poll_write(cx, buffer)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream()?.poll_write_vectored(cx, buffers)
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
}
