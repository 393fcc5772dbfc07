//! What is sent: built once as far as possible.

use crate::Failure;
use crate::args::Args;

/// Uploads in pieces of this size where the length is not told.
const CHUNK: usize = 32 << 10;
/// A number in a path: the same length for the first and for the millionth.
const DIGITS: usize = 8;

/// A request whose path may carry a number.
pub struct Request {
    before: Vec<u8>,
    after: Vec<u8>,
    body: Vec<u8>,
    /// How many different paths there are; 1 when the path has no `{}`.
    pub names: u64,
    is_numbered: bool,
    is_random: bool,
}

impl Request {
    /// `method=GET path=/a{}.ts names=100 random=1 header=NAME:VALUE body=BYTES chunked=1`; for redis `path` is the key. In place of
    /// `body`, `text=FILE` sends what is in a file.
    pub fn of(args: &Args) -> Result<Self, Failure> {
        let method = args.text("method").unwrap_or("GET");
        let size: usize = args.get("body", 0)?;
        let path: String = args.need("path")?;
        let is_redis = args.get("redis", 0u8)? > 0;
        let names = if path.contains("{}") { args.get("names", 1)? } else { 1 };
        let is_random = args.get("random", 0u8)? > 0;
        let text = args.text("text").map(std::fs::read).transpose()?;
        let body = text.unwrap_or_else(|| noise(size));
        let mut made = if is_redis {
            Self::redis(method, &path, size)
        } else {
            Self::with_body(method, &path, &args.all("header").join("\r\n"), body, args.get("chunked", 0u8)? > 0)
        };
        (made.names, made.is_random) = (names, is_random);
        Ok(made)
    }

    pub fn http(method: &str, path: &str, headers: &str, size: usize, is_chunked: bool) -> Self {
        Self::with_body(method, path, headers, noise(size), is_chunked)
    }

    fn with_body(method: &str, path: &str, headers: &str, mut body: Vec<u8>, is_chunked: bool) -> Self {
        let is_numbered = path.contains("{}");
        let (path, rest) = path.split_once("{}").unwrap_or((path, ""));
        let mut after = format!("{rest} HTTP/1.1\r\nHost: localhost\r\n");
        if !headers.is_empty() {
            after += headers;
            after += "\r\n";
        }
        if method == "PUT" {
            if is_chunked {
                body = in_chunks(&body);
                after += "Transfer-Encoding: chunked\r\n";
            } else {
                after += &format!("Content-Length: {}\r\n", body.len());
            }
        }
        after += "\r\n";
        let before = format!("{method} {path}").into_bytes();
        Self { before, after: after.into_bytes(), body, names: 1, is_numbered, is_random: false }
    }

    fn redis(method: &str, key: &str, size: usize) -> Self {
        let is_numbered = key.contains("{}");
        let (key, rest) = key.split_once("{}").unwrap_or((key, ""));
        let length = key.len() + rest.len() + if is_numbered { DIGITS } else { 0 };
        let (before, mut body) = if method == "PUT" {
            (format!("*3\r\n$3\r\nSET\r\n${length}\r\n{key}"), noise(size))
        } else {
            (format!("*2\r\n$3\r\nGET\r\n${length}\r\n{key}"), Vec::new())
        };
        let after = if method == "PUT" { format!("{rest}\r\n${size}\r\n") } else { format!("{rest}\r\n") };
        if method == "PUT" {
            body.extend_from_slice(b"\r\n");
        }
        Self { before: before.into_bytes(), after: after.into_bytes(), body, names: 1, is_numbered, is_random: false }
    }

    /// The head of the request with this number into `head`; the body that goes with it.
    pub fn write(&self, number: u64, head: &mut Vec<u8>) -> &[u8] {
        use std::io::Write as _;
        head.clear();
        head.extend_from_slice(&self.before);
        if self.is_numbered {
            let number = if self.is_random { mixed(number) } else { number };
            let _ = write!(head, "{:0DIGITS$}", number % self.names);
        }
        head.extend_from_slice(&self.after);
        &self.body
    }
}

/// Bytes that do not compress.
pub fn noise(size: usize) -> Vec<u8> {
    (0..size as u64).map(|at| (mixed(at) >> 24) as u8).collect()
}

/// splitmix64: a number that has nothing to do with its neighbours'.
pub fn mixed(number: u64) -> u64 {
    let mut x = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

fn in_chunks(body: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(body.len() + body.len() / 1024 + 16);
    for piece in body.chunks(CHUNK) {
        text.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        text.extend_from_slice(piece);
        text.extend_from_slice(b"\r\n");
    }
    text.extend_from_slice(b"0\r\n\r\n");
    text
}
