//! Which HTTP a client speaks: by its first bytes, none of which is lost.

use std::io;
use std::ops::Range;

use tokio::io::{AsyncRead, AsyncReadExt as _, ReadBuf};

/// What an HTTP/2 client says first (RFC 9113 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What a client's first bytes tell of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Detected {
    /// It speaks HTTP/2.
    Http2,
    /// HTTP/1, and its first request writes.
    Upload,
    /// HTTP/1, if anything.
    Other,
}

/// Bytes that were read to see what the client speaks, and are to be read again.
#[derive(Debug, Default)]
pub(super) struct Peeked {
    bytes: [u8; PREFACE.len()],
    unread: Range<u8>,
}

impl Peeked {
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

    /// What they begin. A client whose first bytes come one by one may be taken for a reader.
    pub(super) fn detected(&self) -> Detected {
        let bytes = self.bytes();
        if bytes == PREFACE {
            Detected::Http2
        } else if [&b"PUT "[..], b"POST ", b"DELETE ", b"MKCOL "].iter().any(|verb| bytes.starts_with(verb)) {
            Detected::Upload
        } else {
            Detected::Other
        }
    }

    /// Those that have not been read again.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[usize::from(self.unread.start)..usize::from(self.unread.end)]
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
    async fn said_of(pieces: &'static [&'static [u8]]) -> (Detected, Vec<u8>) {
        let (mut client, mut server) = duplex(1024);
        tokio::spawn(async move {
            for piece in pieces {
                client.write_all(piece).await.unwrap();
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        let mut peeked = Peeked::read(&mut server).await.unwrap();
        let detected = peeked.detected();
        let mut again = Vec::new();
        while !peeked.is_empty() {
            let mut space = [0; 10];
            let mut buffer = ReadBuf::new(&mut space);
            peeked.take(&mut buffer);
            again.extend_from_slice(buffer.filled());
        }
        server.read_to_end(&mut again).await.unwrap();
        (detected, again)
    }

    /// What they begin; the pieces.
    type Case = (Detected, &'static [&'static [u8]]);

    #[tokio::test(start_paused = true)]
    async fn the_first_bytes_tell_and_are_read_again() {
        const CASES: [Case; 9] = [
            (Detected::Http2, &[b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nframes"]),
            (Detected::Http2, &[b"PRI * HTTP/", b"2.0\r\n\r", b"\nSM\r\n\r\n", b"frames"]),
            (Detected::Other, &[b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"]),
            (Detected::Upload, &[b"P", b"UT / HTTP/1.1\r\n\r\n"]),
            (Detected::Upload, &[b"PUT /cache/live-origin/a.ts HTTP/1.1\r\n\r\n"]),
            (Detected::Upload, &[b"DELETE / HTTP/1.1\r\n\r\n"]),
            (Detected::Other, &[b"PROPFIND / HTTP/1.1\r\n\r\n"]),
            (Detected::Other, &[b"PRI"]),
            (Detected::Other, &[]),
        ];
        for (told, pieces) in CASES {
            assert_eq!(said_of(pieces).await, (told, pieces.concat()));
        }
    }
}
