//! The physical limit: a server that reads to the end of a request's head and writes one fixed answer. It parses nothing, looks
//! up nothing and checks nothing.

use std::collections::HashMap;
use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;

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
}

/// `body=BYTES`: listens on a free port of the loopback, says which, and serves until it is killed.
pub fn serve(args: &Args) -> Result<(), Failure> {
    let size: usize = args.need("body")?;
    let mut answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\nContent-Type: video/mp2t\r\n\r\n").into_bytes();
    answer.extend_from_slice(&noise(size));
    let mut listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    println!("{}", listener.local_addr()?.port());
    let mut poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut events = Events::with_capacity(256);
    let mut connections: HashMap<Token, Connection> = HashMap::new();
    let mut next = 1;
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            if event.token() == LISTENER {
                while let Ok((mut stream, _)) = listener.accept() {
                    stream.set_nodelay(true)?;
                    let token = Token(next);
                    next += 1;
                    poll.registry().register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
                    connections.insert(token, Connection { stream, tail: [0; 4], written: None });
                }
            } else if let Some(connection) = connections.get_mut(&event.token())
                && !connection.goes_on(&answer).unwrap_or(false)
            {
                connections.remove(&event.token());
            }
        }
    }
}

impl Connection {
    /// Reads and writes what can be; false when the client is gone.
    fn goes_on(&mut self, answer: &[u8]) -> io::Result<bool> {
        let mut space = [0; 4096];
        loop {
            if let Some(written) = self.written {
                match self.stream.write(&answer[written..]) {
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
                        self.written = Some(0);
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
