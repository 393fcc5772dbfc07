//! A way to what a connection's first bytes are taken for, for `crate::fuzzing` alone.

use std::collections::BTreeSet;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use http::HeaderValue;
use tokio::io::{AsyncRead, ReadBuf};

use super::fragment::LineSearch;
use super::unread::Unread;
use super::version::{Detected, Peeked};

/// What is made of them.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) http2: bool,
    pub(crate) upload: bool,
    /// What the connection itself reads afterwards of what was looked at.
    pub(crate) again: Vec<u8>,
}

/// Bytes that come in pieces of this length.
struct InPieces<'a> {
    rest: &'a [u8],
    length: usize,
}

impl AsyncRead for InPieces<'_> {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let (piece, rest) = self.rest.split_at(self.length.min(buffer.remaining()).min(self.rest.len()));
        buffer.put_slice(piece);
        self.rest = rest;
        Poll::Ready(Ok(()))
    }
}

/// What a client is taken for whose bytes come in pieces of this length; read again in pieces of that one.
pub(crate) fn taken(bytes: &[u8], length: usize, again_in: usize) -> Option<Taken> {
    let mut pieces = InPieces { rest: bytes, length };
    let read = pin!(Peeked::read(&mut pieces)).poll(&mut Context::from_waker(Waker::noop()));
    let Poll::Ready(Ok(mut peeked)) = read else { return None };
    let detected = peeked.detected();
    let mut again = Vec::new();
    while !peeked.is_empty() {
        let mut space = vec![0; again_in.max(1)];
        let mut buffer = ReadBuf::new(&mut space);
        peeked.take(&mut buffer);
        again.extend_from_slice(buffer.filled());
    }
    again.extend_from_slice(pieces.rest);
    Some(Taken { http2: detected == Detected::Http2, upload: detected == Detected::Upload, again })
}

/// The request lines that are found to have a `#` in their target, when bytes come in pieces of this length.
pub(crate) fn cut_off(bytes: &[u8], length: usize) -> BTreeSet<String> {
    let (mut search, mut found) = (LineSearch::default(), BTreeSet::new());
    for piece in bytes.chunks(length.max(1)) {
        search.look(piece, false, |cut_off| {
            found.insert(format!("{cut_off:?}"));
        });
    }
    found
}

/// By which names it is told that they begin no HTTP, or are an answer in others' words; and the answer to each.
pub(crate) fn unread(bytes: &[u8]) -> (Option<&'static str>, Option<&'static str>, Vec<Vec<u8>>) {
    let (begun, answered) = (Unread::begun_by(bytes), Unread::answered_by(bytes));
    let id = HeaderValue::from_static("id");
    let answers = [begun, answered].into_iter().flatten().filter_map(|unread| unread.answer(&id)).map(|answer| answer.to_vec());
    (begun.map(Unread::name), answered.map(Unread::name), answers.collect())
}
