//! The physical limit: a server that reads to the end of a request's head and writes one fixed answer. It parses nothing, looks
//! up nothing and checks nothing. With `pieces` it writes the answer piece by piece, at one pace for all: what an object that grows costs at least.

use std::collections::HashMap;
use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

use crate::Failure;
use crate::args::Args;
use crate::request::noise;

const LISTENER: Token = Token(0);

struct Connection {
    stream: TcpStream,
    // The last bytes of what came: where a head's end may have begun.
    tail: [u8; 4],
    /// Bytes of the answer that have been written, when one is due.
    written: Option<usize>,
    /// So many of them may be.
    allowed: usize,
}

/// `body=BYTES [pieces=N seconds=S]`: listens on a free port of the loopback, says which, and serves until it is killed.
pub fn serve(args: &Args) -> Result<(), Failure> {
    let size: usize = args.need("body")?;
    let mut answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\nContent-Type: video/mp2t\r\n\r\n").into_bytes();
    answer.extend_from_slice(&noise(size));
    let pieces: u32 = args.get("pieces", 1)?;
    let piece = answer.len().div_ceil(pieces as usize);
    let every =
        (pieces > 1).then(|| Ok::<_, Failure>(Duration::from_secs_f64(args.get("seconds", 2.0)?) / pieces)).transpose()?;
    let mut due = every.map(|every| Instant::now() + every);
    let mut listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    println!("{}", listener.local_addr()?.port());
    let mut poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut events = Events::with_capacity(256);
    let mut connections: HashMap<Token, Connection> = HashMap::new();
    let mut next = 1;
    loop {
        poll.poll(&mut events, due.map(|due| due.saturating_duration_since(Instant::now())))?;
        if let Some((at, every)) = due.zip(every).filter(|(at, _)| *at <= Instant::now()) {
            due = Some(at + every);
            connections.retain(|_, connection| {
                connection.allowed = (connection.allowed + piece).min(answer.len());
                connection.written.is_none() || connection.goes_on(&answer, piece).unwrap_or(false)
            });
        }
        for event in &events {
            if event.token() == LISTENER {
                while let Ok((mut stream, _)) = listener.accept() {
                    stream.set_nodelay(true)?;
                    let token = Token(next);
                    next += 1;
                    poll.registry().register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
                    connections.insert(token, Connection { stream, tail: [0; 4], written: None, allowed: 0 });
                }
            } else if let Some(connection) = connections.get_mut(&event.token())
                && !connection.goes_on(&answer, piece).unwrap_or(false)
            {
                connections.remove(&event.token());
            }
        }
    }
}

impl Connection {
    /// Reads and writes what can be; false when the client is gone. The first `piece` of an answer is written at once.
    fn goes_on(&mut self, answer: &[u8], piece: usize) -> io::Result<bool> {
        let mut space = [0; 4096];
        loop {
            if let Some(written) = self.written.filter(|written| *written < self.allowed) {
                match self.stream.write(&answer[written..self.allowed]) {
                    Ok(count) if written + count == answer.len() => self.written = None,
                    Ok(count) => {
                        self.written = Some(written + count);
                        continue;
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                    Err(error) => return Err(error),
                }
            }
            match self.stream.read(&mut space) {
                Ok(0) => return Ok(false),
                Ok(count) => {
                    for byte in &space[count.saturating_sub(4)..count] {
                        self.tail.rotate_left(1);
                        self.tail[3] = *byte;
                    }
                    if self.tail == *b"\r\n\r\n" {
                        (self.written, self.allowed) = (Some(0), piece);
                    } else {
                        continue;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(true),
                Err(error) => return Err(error),
            }
        }
    }
}
