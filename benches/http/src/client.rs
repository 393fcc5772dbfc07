//! One connection and the little of HTTP/1.1 and RESP that a load generator needs. Bodies are counted and thrown away: over a
//! plain socket the kernel drops them without a copy (`MSG_TRUNC`), so that the client costs less than any server.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Instant;

use rustls::pki_types::ServerName;
use socket2::SockRef;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, Interest};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::Failure;
use crate::args::Args;
use crate::tls;

const HEAD: usize = 16 << 10;
const PIECE: usize = 256 << 10;

/// Where to, and how it is spoken there.
#[derive(Clone)]
pub struct Target {
    pub address: SocketAddr,
    pub tls: Option<TlsConnector>,
    pub is_redis: bool,
}

impl Target {
    /// `to=ADDRESS`, `tls=1`, `redis=1`.
    pub fn of(args: &Args) -> Result<Self, Failure> {
        let tls = if args.get("tls", 0u8)? > 0 { Some(tls::connector()?) } else { None };
        Ok(Self { address: args.need("to")?, tls, is_redis: args.get("redis", 0u8)? > 0 })
    }

    pub async fn connect(&self, received: Rc<Cell<u64>>) -> io::Result<Client> {
        self.connect_from(Ipv4Addr::LOCALHOST, received).await
    }

    /// From another address of the loopback: ports are few, and servers limit connections per address.
    pub async fn connect_from(&self, source: Ipv4Addr, received: Rc<Cell<u64>>) -> io::Result<Client> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from((source, 0)))?;
        let plain = socket.connect(self.address).await?;
        plain.set_nodelay(true)?;
        let stream = match &self.tls {
            None => Stream::Plain(plain),
            Some(connector) => {
                let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
                Stream::Tls(Box::new(connector.connect(name, plain).await?))
            }
        };
        Ok(Client { stream, buffer: Vec::with_capacity(HEAD), at: 0, piece: Vec::new(), received, is_redis: self.is_redis })
    }
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// What came back.
#[derive(Clone, Copy)]
pub struct Answer {
    pub status: u16,
    pub body: Length,
    /// When the first byte was there.
    pub first: Instant,
}

#[derive(Clone, Copy, PartialEq)]
pub enum Length {
    Known(u64),
    Chunked,
}

pub struct Client {
    stream: Stream,
    buffer: Vec<u8>,
    at: usize,
    // Made when it is needed: ten thousand idle connections need none.
    piece: Vec<u8>,
    received: Rc<Cell<u64>>,
    is_redis: bool,
}

impl Client {
    /// Sends a head and a body, in one go as far as the socket takes it.
    pub async fn send(&mut self, head: &[u8], body: &[u8]) -> io::Result<()> {
        match &mut self.stream {
            Stream::Plain(stream) => {
                let mut sent = 0;
                while sent < head.len() {
                    sent += stream.write_vectored(&[IoSlice::new(&head[sent..]), IoSlice::new(body)]).await?;
                }
                stream.write_all(&body[sent - head.len()..]).await
            }
            Stream::Tls(stream) => {
                stream.write_all(head).await?;
                stream.write_all(body).await?;
                stream.flush().await
            }
        }
    }

    /// The head of the next answer.
    pub async fn head(&mut self) -> io::Result<Answer> {
        self.buffer.drain(..self.at);
        self.at = 0;
        let mut first = (!self.buffer.is_empty()).then(Instant::now);
        let end: &[u8] = if self.is_redis { b"\r\n" } else { b"\r\n\r\n" };
        let mut searched = 0usize;
        loop {
            let from = searched.saturating_sub(3);
            if let Some(place) = find(&self.buffer[from..], end) {
                self.at = from + place + end.len();
                break;
            }
            searched = self.buffer.len();
            if searched > HEAD {
                return Err(io::Error::other("a head that does not end"));
            }
            let count = match &mut self.stream {
                Stream::Plain(stream) => stream.read_buf(&mut self.buffer).await?,
                Stream::Tls(stream) => stream.read_buf(&mut self.buffer).await?,
            };
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            first.get_or_insert_with(Instant::now);
            self.received.set(self.received.get() + count as u64);
        }
        let first = first.unwrap_or_else(Instant::now);
        let (status, body) = if self.is_redis { resp(&self.buffer[..self.at])? } else { http(&self.buffer[..self.at])? };
        Ok(Answer { status, body, first })
    }

    /// Takes the body of an answer and throws it away.
    pub async fn body(&mut self, answer: &Answer) -> io::Result<()> {
        match answer.body {
            Length::Known(length) => self.skip(length).await,
            Length::Chunked => self.chunks(|_| {}).await,
        }
    }

    /// Takes a chunked body; `each` is told of the bytes so far.
    pub async fn chunks(&mut self, mut each: impl FnMut(u64)) -> io::Result<()> {
        let mut total = 0;
        loop {
            let line = self.line().await?;
            let digits = line.split(';').next().unwrap_or_default().trim();
            let mut left = u64::from_str_radix(digits, 16).map_err(io::Error::other)?;
            if left == 0 {
                while !self.line().await?.is_empty() {}
                return Ok(());
            }
            while left > 0 {
                let count = self.some(left).await?;
                left -= count;
                total += count;
                each(total);
            }
            self.skip(2).await?;
        }
    }

    /// Takes a body of a known length; `each` is told of the bytes so far.
    pub async fn known(&mut self, length: u64, mut each: impl FnMut(u64)) -> io::Result<()> {
        let mut total = 0;
        while total < length {
            total += self.some(length - total).await?;
            each(total);
        }
        Ok(())
    }

    async fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(place) = find(&self.buffer[self.at..], b"\r\n") {
                let line = String::from_utf8_lossy(&self.buffer[self.at..self.at + place]).into_owned();
                self.at += place + 2;
                return Ok(line);
            }
            self.buffer.drain(..self.at);
            self.at = 0;
            let count = match &mut self.stream {
                Stream::Plain(stream) => stream.read_buf(&mut self.buffer).await?,
                Stream::Tls(stream) => stream.read_buf(&mut self.buffer).await?,
            };
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.received.set(self.received.get() + count as u64);
        }
    }

    async fn skip(&mut self, mut left: u64) -> io::Result<()> {
        while left > 0 {
            left -= self.some(left).await?;
        }
        Ok(())
    }

    /// Drops up to `most` bytes, at least one.
    async fn some(&mut self, most: u64) -> io::Result<u64> {
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let waiting = self.buffer.len() - self.at;
        if waiting > 0 {
            let count = waiting.min(most);
            self.at += count;
            return Ok(count as u64);
        }
        let most = most.min(PIECE);
        let count = match &mut self.stream {
            Stream::Plain(stream) => {
                if self.piece.capacity() < PIECE {
                    self.piece.reserve(PIECE);
                }
                let space: &mut [MaybeUninit<u8>] = &mut self.piece.spare_capacity_mut()[..most];
                let plain = &*stream;
                plain.async_io(Interest::READABLE, || SockRef::from(plain).recv_with_flags(space, libc::MSG_TRUNC)).await?
            }
            Stream::Tls(stream) => {
                self.piece.resize(PIECE, 0);
                stream.read(&mut self.piece[..most]).await?
            }
        };
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.received.set(self.received.get() + count as u64);
        Ok(count as u64)
    }
}

fn find(text: &[u8], word: &[u8]) -> Option<usize> {
    text.windows(word.len()).position(|part| part == word)
}

fn http(head: &[u8]) -> io::Result<(u16, Length)> {
    let text = std::str::from_utf8(head).map_err(io::Error::other)?;
    let status = text.get(9..12).and_then(|digits| digits.parse().ok()).ok_or_else(|| io::Error::other("no status"))?;
    let mut length = Length::Known(0);
    for line in text.split("\r\n").skip(1) {
        let Some((name, value)) = line.split_once(':') else { continue };
        if name.eq_ignore_ascii_case("content-length") && length != Length::Chunked {
            length = Length::Known(value.trim().parse().map_err(io::Error::other)?);
        } else if name.eq_ignore_ascii_case("transfer-encoding") && value.contains("chunked") {
            length = Length::Chunked;
        }
    }
    if status == 304 || status == 204 {
        length = Length::Known(0);
    }
    Ok((status, length))
}

/// What redis says, as if it were HTTP.
fn resp(line: &[u8]) -> io::Result<(u16, Length)> {
    let text = std::str::from_utf8(line).map_err(io::Error::other)?.trim();
    match text.split_at_checked(1) {
        Some(("$", "-1")) => Ok((404, Length::Known(0))),
        Some(("$", digits)) => Ok((200, Length::Known(2 + digits.parse::<u64>().map_err(io::Error::other)?))),
        Some(("+", _)) => Ok((204, Length::Known(0))),
        _ => Err(io::Error::other(format!("redis says {text}"))),
    }
}
