//! A proxy that can be told to get anything wrong: a broken origin, or a CDN set up wrongly.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::harness::Origin;
use crate::wire::{Answer, Request, Wire};

/// What was asked.
pub(super) struct Asked {
    pub(super) method: String,
    /// Without the query.
    pub(super) path: String,
    pub(super) ranged: bool,
}

/// Changes an answer on its way.
type Change = Box<dyn Fn(&Asked, &mut Answer) + Send + Sync>;

pub(super) struct Proxy {
    pub(super) url: String,
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    upstream: SocketAddr,
    prefix: String,
    key: Option<String>,
    change: Change,
    authorized: AtomicBool,
    stop: AtomicBool,
}

impl Proxy {
    /// Puts `prefix` before each path, and `key` into each request in place of the client's, where one is given; with a prefix
    /// and without a key the client's goes no further, as it is with CDNs.
    pub(super) fn start(
        origin: &Origin,
        prefix: &str,
        key: Option<&str>,
        change: impl Fn(&Asked, &mut Answer) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            upstream: origin.address,
            prefix: prefix.to_owned(),
            key: key.map(str::to_owned),
            change: Box::new(change),
            authorized: AtomicBool::new(false),
            stop: AtomicBool::new(false),
        });
        let serving = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if serving.stop.load(Ordering::SeqCst) {
                    return;
                }
                let shared = Arc::clone(&serving);
                thread::spawn(move || shared.serve(stream));
            }
        });
        Self { url: format!("http://{address}"), address, shared }
    }

    /// Whether a client ever sent credentials here.
    pub(super) fn saw_authorization(&self) -> bool {
        self.shared.authorized.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    /// One request a connection, none with a body.
    fn serve(&self, mut stream: TcpStream) -> Option<()> {
        stream.set_read_timeout(Some(Duration::from_secs(20))).ok()?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).ok()?;
            head.push(byte[0]);
        }
        let head = String::from_utf8(head).ok()?;
        let mut lines = head.trim_end().split("\r\n");
        let mut first = lines.next()?.split(' ');
        let (method, target) = (first.next()?, first.next()?);
        let mut request = Request::new(method, format!("{}{target}", self.prefix));
        let mut ranged = false;
        for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
            match &*name.to_ascii_lowercase() {
                "host" => {}
                "authorization" => {
                    self.authorized.store(true, Ordering::SeqCst);
                    if self.prefix.is_empty() {
                        request = request.header(name, value);
                    }
                }
                other => {
                    ranged |= other == "range";
                    request = request.header(name, value);
                }
            }
        }
        if let Some(key) = &self.key {
            request = request.header("Authorization", key.as_str());
        }
        let asked = Asked { method: method.to_owned(), path: target.split('?').next()?.to_owned(), ranged };
        let mut answer = Wire::open(self.upstream).try_answer_to_sent(&request)?;
        (self.change)(&asked, &mut answer);
        let mut out = format!("HTTP/1.1 {} Status\r\nconnection: close\r\n", answer.status).into_bytes();
        for (name, value) in answer.headers.iter().filter(|(name, _)| !matches!(&**name, "connection" | "transfer-encoding")) {
            out.extend(format!("{name}: {value}\r\n").bytes());
        }
        out.extend(b"\r\n");
        if method != "HEAD" {
            out.extend(&answer.body);
        }
        stream.write_all(&out).ok()
    }
}

/// Changes of an answer.
impl Answer {
    pub(super) fn remove(&mut self, name: &str) {
        self.headers.retain(|(other, _)| other != name);
    }

    pub(super) fn set(&mut self, name: &str, value: &str) {
        self.remove(name);
        self.headers.push((name.to_owned(), value.to_owned()));
    }
}
