//! A live stream by script: two renditions with a target duration of one second, real time, each fault on demand.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::harness::{NAMESPACE, Origin};
use crate::wire::Request;

/// What the encoder does wrong.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    None,
    /// Each segment whose number ends in 0 or 5 is listed and never uploaded.
    Gap,
    /// Each segment ends within a packet.
    Truncated,
}

/// A running encoder.
pub(super) struct Stream {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

const WINDOW: u64 = 6;
const NAMES: [&str; 2] = ["720p", "240p"];

impl Stream {
    /// Starts with a full window.
    pub(super) fn start(origin: &Origin, fault: Fault) -> Self {
        let encoder = Encoder { address: origin.address, key: origin.encoder.clone(), fault };
        let master = NAMES.map(|name| format!("#EXT-X-STREAM-INF:BANDWIDTH=400000\nplaylist_{name}.m3u8\n")).concat();
        encoder.put("playlist.m3u8", format!("#EXTM3U\n{master}").into_bytes());
        for n in 0..WINDOW {
            encoder.push(100 + n);
        }
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let begun = Instant::now();
        let thread = thread::spawn(move || {
            let mut next = 1;
            while !stopped.load(Ordering::SeqCst) {
                if begun.elapsed() >= Duration::from_secs(next) {
                    encoder.push(100 + WINDOW + next - 1);
                    next += 1;
                }
                thread::sleep(Duration::from_millis(10));
            }
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

struct Encoder {
    address: SocketAddr,
    key: String,
    fault: Fault,
}

impl Encoder {
    fn put(&self, name: &str, body: Vec<u8>) {
        let path = format!("/cache/{NAMESPACE}/{name}?ttl_seconds=60");
        let answer = Request::new("PUT", path).bearer(&self.key).body(body).send(self.address);
        assert_eq!(answer.status, 204, "{answer:?}");
    }

    /// A segment of each rendition, then the playlist that lists it.
    fn push(&self, n: u64) {
        for name in NAMES {
            let mut body = segment(n);
            if self.fault == Fault::Truncated {
                body.truncate(body.len() - 88);
            }
            if self.fault != Fault::Gap || !n.is_multiple_of(5) {
                self.put(&format!("playlist_{name}_{n:05}.ts"), body);
            }
            let first = (n + 1).saturating_sub(WINDOW).max(100);
            let mut text = format!("#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:{first}\n");
            for n in first..=n {
                text += &format!("#EXTINF:1.00000,\nplaylist_{name}_{n:05}.ts\n");
            }
            self.put(&format!("playlist_{name}.m3u8"), text.into_bytes());
        }
    }
}

/// A second of MPEG-TS as far as tables and time stamps go: PAT, PMT, 25 pictures with nothing in them, and padding.
fn segment(n: u64) -> Vec<u8> {
    let packet = |pid: u16, counter: u64, payload: &[u8]| {
        let [high, low] = pid.to_be_bytes();
        let mut packet = vec![0x47, 0x40 | high, low, 0x10 | u8::try_from(counter % 16).unwrap()];
        packet.extend(payload);
        packet.resize(188, 0xFF);
        packet
    };
    let mut body = packet(0, 0, &[0, 0, 0xB0, 13, 0, 1, 0xC1, 0, 0, 0, 1, 0xF0, 0, 1, 2, 3, 4]);
    body.extend(packet(0x1000, 0, &[0, 2, 0xB0, 18, 0, 1, 0xC1, 0, 0, 0xE1, 0, 0xF0, 0, 0x1B, 0xE1, 0, 0xF0, 0, 1, 2, 3, 4]));
    for picture in 0..25 {
        let time = n * 90_000 + picture * 3600;
        let bits = |shift: u64, mask: u64| u8::try_from(time >> shift & mask).unwrap();
        let stamp = [0x21 | bits(30, 7) << 1, bits(22, 0xFF), bits(15, 0x7F) << 1 | 1, bits(7, 0xFF), bits(0, 0x7F) << 1 | 1];
        body.extend(packet(0x100, picture, &[&[0, 0, 1, 0xE0, 0, 0, 0x80, 0x80, 5], &stamp[..]].concat()));
    }
    for _ in 0..50 {
        body.extend(packet(0x1FFF, 0, &[]));
    }
    body
}
