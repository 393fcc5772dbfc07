//! A client that speaks just what a test says, byte for byte, and reads one answer at a time.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

/// A connection.
pub(crate) struct Wire {
    stream: TcpStream,
    read: Vec<u8>,
}

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// A request to be sent.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    chunked: Option<usize>,
}

impl Request {
    pub(crate) fn new(method: &str, path: impl Into<String>) -> Self {
        Self { method: method.to_owned(), path: path.into(), headers: Vec::new(), body: Vec::new(), chunked: None }
    }

    pub(crate) fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub(crate) fn bearer(self, key: &str) -> Self {
        self.header("Authorization", format!("Bearer {key}"))
    }

    /// A body with its length.
    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// A body in chunks of this size.
    pub(crate) fn chunked(mut self, body: impl Into<Vec<u8>>, size: usize) -> Self {
        self.body = body.into();
        self.chunked = Some(size);
        self
    }

    /// The bytes of the request.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = format!("{} {} HTTP/1.1\r\n", self.method, self.path).into_bytes();
        if !self.headers.iter().any(|(name, _)| name == "Host") {
            bytes.extend(b"Host: localhost\r\n");
        }
        for (name, value) in &self.headers {
            bytes.extend(format!("{name}: {value}\r\n").bytes());
        }
        if let Some(size) = self.chunked {
            bytes.extend(b"Transfer-Encoding: chunked\r\n\r\n");
            for chunk in self.body.chunks(size) {
                bytes.extend(format!("{:x}\r\n", chunk.len()).bytes());
                bytes.extend(chunk);
                bytes.extend(b"\r\n");
            }
            bytes.extend(b"0\r\n\r\n");
        } else {
            if !self.body.is_empty() || matches!(&*self.method, "PUT" | "POST") {
                bytes.extend(format!("Content-Length: {}\r\n", self.body.len()).bytes());
            }
            bytes.extend(b"\r\n");
            bytes.extend(&self.body);
        }
        bytes
    }

    /// The same as text.
    pub(crate) fn as_text(&self) -> String {
        String::from_utf8(self.to_bytes()).unwrap()
    }

    /// Sends it on a connection of its own.
    pub(crate) fn send(&self, to: SocketAddr) -> Answer {
        Wire::open(to).ask(self)
    }

    /// The same to a server that may go away meanwhile.
    pub(crate) fn try_send(&self, to: SocketAddr) -> Option<Answer> {
        let stream = TcpStream::connect(to).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Wire { stream, read: Vec::new() }.try_answer_to_sent(self)
    }
}

impl Wire {
    pub(crate) fn open(to: SocketAddr) -> Self {
        let stream = TcpStream::connect(to).expect("the server accepts");
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, read: Vec::new() }
    }

    pub(crate) fn write(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.stream.write_all(bytes.as_ref()).expect("the server reads");
        self
    }

    /// Writes what the server may no longer want to read.
    pub(crate) fn try_write(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    pub(crate) fn end_writing(&mut self) -> &mut Self {
        self.stream.shutdown(Shutdown::Write).unwrap();
        self
    }

    /// Ends it where the server may have ended all of it.
    pub(crate) fn try_end_writing(&mut self) -> bool {
        self.stream.shutdown(Shutdown::Write).is_ok()
    }

    pub(crate) fn ask(&mut self, request: &Request) -> Answer {
        self.write(request.to_bytes());
        self.answer_to(&request.method)
    }

    /// Sends a request to a server that may not want it.
    pub(crate) fn try_answer_to_sent(&mut self, request: &Request) -> Option<Answer> {
        self.try_write(&request.to_bytes());
        self.try_answer_to(&request.method)
    }

    /// The next answer, to a request of this method.
    pub(crate) fn answer_to(&mut self, method: &str) -> Answer {
        self.try_answer_to(method).expect("an answer, whole")
    }

    /// The next answer; `None` when the connection ends before or within it.
    pub(crate) fn try_answer_to(&mut self, method: &str) -> Option<Answer> {
        let (status, headers) = self.head()?;
        let find = |name: &str| headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str());
        let body = if method == "HEAD" || status < 200 || matches!(status, 204 | 304) {
            Vec::new()
        } else if find("transfer-encoding") == Some("chunked") {
            self.chunks()?
        } else {
            let length = find("content-length").map(|length| length.parse().unwrap());
            self.take(length.unwrap_or(0))?
        };
        Some(Answer { status, headers, body })
    }

    /// The status and the headers of the next answer; its body is still to be read.
    pub(crate) fn head(&mut self) -> Option<(u16, Vec<(String, String)>)> {
        let end = loop {
            if let Some(end) = self.read.windows(4).position(|window| window == b"\r\n\r\n") {
                break end;
            }
            self.more()?;
        };
        let head = String::from_utf8(self.take(end + 4)?).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines.map(|line| line.split_once(": ").unwrap_or((line, "")));
        Some((status, headers.map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned())).collect()))
    }

    fn chunks(&mut self) -> Option<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let chunk = self.chunk()?;
            if chunk.is_empty() {
                return Some(body);
            }
            body.extend(chunk);
        }
    }

    /// The next chunk of a body in chunks, empty at its clean end; `None` when the connection ends before that.
    pub(crate) fn chunk(&mut self) -> Option<Vec<u8>> {
        let end = loop {
            if let Some(end) = self.read.windows(2).position(|window| window == b"\r\n") {
                break end;
            }
            self.more()?;
        };
        let line = String::from_utf8(self.take(end + 2)?).unwrap();
        let size = usize::from_str_radix(line.trim(), 16).unwrap();
        let chunk = self.take(size)?;
        self.take(2)?;
        Some(chunk)
    }

    /// This many bytes of what comes; `None` when the connection ends before that.
    pub(crate) fn take(&mut self, count: usize) -> Option<Vec<u8>> {
        while self.read.len() < count {
            self.more()?;
        }
        Some(self.read.drain(..count).collect())
    }

    fn more(&mut self) -> Option<()> {
        let mut buffer = [0; 64 << 10];
        match self.stream.read(&mut buffer) {
            Ok(0) | Err(_) => None,
            Ok(count) => {
                self.read.extend(&buffer[..count]);
                Some(())
            }
        }
    }

    /// Whether the server ends the connection now, cleanly.
    pub(crate) fn is_ended(&mut self) -> bool {
        let mut byte = [0];
        self.read.is_empty() && matches!(self.stream.read(&mut byte), Ok(0))
    }
}

impl Answer {
    /// A header's value; empty when it is not there.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(found, _)| found == name).map_or("", |(_, value)| value)
    }

    /// All values of a header that may come several times.
    pub(crate) fn headers<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers.iter().filter(move |(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).unwrap()
    }

    /// The problem document's `code`, and proof that it is one.
    pub(crate) fn problem(&self) -> String {
        assert_eq!(self.header("content-type"), "application/problem+json", "{self:?}");
        let json: serde_json::Value = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(json["status"], self.status);
        assert!(json["title"].is_string() && json["detail"].as_str().unwrap().len() > 20, "{json}");
        assert_eq!(json["request_id"], self.header("x-request-id"));
        json["type"].as_str().unwrap().strip_prefix("urn:springhead:problem:").unwrap().to_owned()
    }
}
