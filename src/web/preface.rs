//! Which HTTP a client speaks: by its first bytes, none of which is lost.

use std::io;
use std::ops::Range;

use tokio::io::{AsyncRead, AsyncReadExt as _, ReadBuf};

/// What an HTTP/2 client says first (RFC 9113 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Bytes that were read to see what the client speaks, and are to be read again.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    bytes: [u8; PREFACE.len()],
    unread: Range<u8>,
}

impl Ahead {
    /// Waits for the first bytes: no more of them than it takes to tell. Not cancel-safe.
    pub(super) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Self> {
        let mut bytes = [0; PREFACE.len()];
        let mut count = 0;
        while count < PREFACE.len() && bytes[..count] == PREFACE[..count] {
            match stream.read(&mut bytes[count..]).await? {
                0 => break,
                more => count += more,
            }
        }
        Ok(Self { bytes, unread: 0..u8::try_from(count).unwrap_or(0) })
    }

    /// Whether they are HTTP/2's.
    pub(super) fn is_http2(&self) -> bool {
        self.bytes == *PREFACE
    }

    /// Whether they begin an HTTP/1 request that writes. A client whose first bytes come one by one may be taken for a reader.
    pub(super) fn is_write(&self) -> bool {
        let bytes = &self.bytes[usize::from(self.unread.start)..usize::from(self.unread.end)];
        [&b"PUT "[..], b"POST ", b"DELETE ", b"MKCOL "].iter().any(|verb| bytes.starts_with(verb))
    }

    /// Whether all of them have been read again.
    pub(super) fn is_empty(&self) -> bool {
        self.unread.is_empty()
    }

    /// Reads them again, as many as there is room for.
    pub(super) fn take(&mut self, buffer: &mut ReadBuf<'_>) {
        let unread = &self.bytes[usize::from(self.unread.start)..usize::from(self.unread.end)];
        let taken = &unread[..unread.len().min(buffer.remaining())];
        buffer.put_slice(taken);
        self.unread.start += u8::try_from(taken.len()).unwrap_or(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::io::{AsyncWriteExt as _, duplex};

    /// What is said of a client that sends these pieces, and what can be read again.
    async fn said_of(pieces: &'static [&'static [u8]]) -> ((bool, bool), Vec<u8>) {
        let (mut client, mut server) = duplex(1024);
        tokio::spawn(async move {
            for piece in pieces {
                client.write_all(piece).await.unwrap();
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        let mut ahead = Ahead::read(&mut server).await.unwrap();
        let is_write = ahead.is_write();
        let mut again = Vec::new();
        while !ahead.is_empty() {
            let mut space = [0; 10];
            let mut buffer = ReadBuf::new(&mut space);
            ahead.take(&mut buffer);
            again.extend_from_slice(buffer.filled());
        }
        server.read_to_end(&mut again).await.unwrap();
        ((ahead.is_http2(), is_write), again)
    }

    /// Whether they are HTTP/2's, and whether an upload's; the pieces.
    type Case = ((bool, bool), &'static [&'static [u8]]);

    #[tokio::test(start_paused = true)]
    async fn the_first_bytes_tell_and_are_read_again() {
        const CASES: [Case; 9] = [
            ((true, false), &[b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nframes"]),
            ((true, false), &[b"PRI * HTTP/", b"2.0\r\n\r", b"\nSM\r\n\r\n", b"frames"]),
            ((false, false), &[b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"]),
            ((false, true), &[b"P", b"UT / HTTP/1.1\r\n\r\n"]),
            ((false, true), &[b"PUT /cache/live-origin/a.ts HTTP/1.1\r\n\r\n"]),
            ((false, true), &[b"DELETE / HTTP/1.1\r\n\r\n"]),
            ((false, false), &[b"PROPFIND / HTTP/1.1\r\n\r\n"]),
            ((false, false), &[b"PRI"]),
            ((false, false), &[]),
        ];
        for (told, pieces) in CASES {
            assert_eq!(said_of(pieces).await, (told, pieces.concat()));
        }
    }
}
