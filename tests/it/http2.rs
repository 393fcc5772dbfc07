//! HTTP/2, frame by frame: what a client can do with its flow control that no well-behaved client does.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::harness::{Origin, bytes, eventually};
use crate::wire::Request;

/// RFC 9113 6.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const WINDOW_UPDATE: u8 = 8;
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
const INITIAL_WINDOW_SIZE: u16 = 4;

/// A connection by prior knowledge.
struct Http2 {
    stream: TcpStream,
    read: Vec<u8>,
    /// What is to be sent, as long as that is held back.
    held: Option<Vec<u8>>,
}

#[derive(Debug)]
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

impl Http2 {
    /// Opens it, with this much window for each stream.
    fn open(origin: &Origin, window: u32) -> Self {
        let mut client = Self::open_held(origin, window);
        client.release();
        client
    }

    /// The same, and nothing is sent before [`Self::release`].
    fn open_held(origin: &Origin, window: u32) -> Self {
        let stream = TcpStream::connect(origin.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let mut client = Self { stream, read: Vec::new(), held: Some(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec()) };
        client.send(SETTINGS, 0, 0, &[&INITIAL_WINDOW_SIZE.to_be_bytes()[..], &window.to_be_bytes()].concat());
        client.open_window(0, 1 << 24);
        client
    }

    fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
        let frame = [&head, payload].concat();
        match &mut self.held {
            Some(held) => held.extend(frame),
            None => self.stream.write_all(&frame).unwrap(),
        }
    }

    /// Sends what was held back, in one go, and from now on all at once.
    fn release(&mut self) {
        if let Some(held) = self.held.take() {
            self.stream.write_all(&held).unwrap();
        }
    }

    /// Hangs up when all that was sent has got to the server's kernel: with answers that nobody has read this is a reset, and what still waits here
    /// would never leave.
    fn hang_up(self) {
        let ends = [self.stream.local_addr(), self.stream.peer_addr()].map(|end| format!(":{:04X} ", end.unwrap().port()));
        let has_left = || {
            let sockets = std::fs::read_to_string("/proc/net/tcp").unwrap();
            let socket = sockets.lines().find(|line| line.find(&ends[0]).is_some_and(|at| line[at + 1..].contains(&ends[1])));
            // The fifth field: what waits to be acknowledged, and what waits to be read.
            socket.and_then(|line| line.split_whitespace().nth(4)?.starts_with("00000000:").then_some(()))
        };
        assert!(eventually(Duration::from_secs(10), has_left).is_some(), "the server's kernel takes it");
    }

    fn open_window(&mut self, stream: u32, by: u32) {
        self.send(WINDOW_UPDATE, 0, stream, &by.to_be_bytes());
    }

    fn get(&mut self, stream: u32, origin: &Origin, key: &str) {
        self.head(stream, END_STREAM, "GET", &origin.path(key), &[("authorization", &origin.player)]);
    }

    /// Begins a request; it has no body where the stream ends with this.
    fn head(&mut self, stream: u32, ends: u8, method: &str, path: &str, more: &[(&str, &str)]) {
        let fields = [(":method", method), (":scheme", "http"), (":path", path), (":authority", "any.example")];
        let mut block = Vec::new();
        for (name, value) in fields.iter().chain(more) {
            // A literal that is not indexed, with a new name, both without Huffman (RFC 7541 6.2.2).
            block.push(0);
            for text in [name, value] {
                integer(&mut block, text.len());
                block.extend(text.as_bytes());
            }
        }
        self.send(HEADERS, END_HEADERS | ends, stream, &block);
    }

    /// The next frame; `None` when none comes for the moment.
    fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some((head, rest)) = self.read.split_at_checked(9) {
                let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
                if rest.len() >= length {
                    let frame = Frame {
                        kind: head[3],
                        flags: head[4],
                        stream: u32::from_be_bytes([head[5], head[6], head[7], head[8]]),
                        payload: rest[..length].to_vec(),
                    };
                    self.read.drain(..9 + length);
                    if frame.kind == SETTINGS && frame.flags & ACK == 0 {
                        self.send(SETTINGS, ACK, 0, &[]);
                    }
                    return Some(frame);
                }
            }
            let mut buffer = [0; 64 << 10];
            match self.stream.read(&mut buffer) {
                Ok(0) => panic!("the server ended the connection"),
                Ok(count) => self.read.extend(&buffer[..count]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return None,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// What comes of a stream until it ends or is reset, and whether it is whole.
    fn take(&mut self, stream: u32, limit: Duration) -> (Vec<u8>, bool) {
        let begun = Instant::now();
        let mut body = Vec::new();
        while begun.elapsed() < limit {
            let Some(frame) = self.next().filter(|frame| frame.stream == stream) else { continue };
            match frame.kind {
                RST_STREAM => return (body, false),
                DATA => body.extend(frame.payload),
                _ => {}
            }
            if frame.flags & END_STREAM != 0 && matches!(frame.kind, DATA | HEADERS) {
                return (body, true);
            }
        }
        panic!("stream {stream} neither ended nor was reset in {limit:?}; {} bytes came", body.len());
    }
}

/// An integer with a prefix of seven bits (RFC 7541 5.1).
fn integer(out: &mut Vec<u8>, mut value: usize) {
    if value < 127 {
        out.push(u8::try_from(value).unwrap());
        return;
    }
    out.push(127);
    value -= 127;
    while value >= 128 {
        out.push(u8::try_from(value % 128).unwrap() | 128);
        value /= 128;
    }
    out.push(u8::try_from(value).unwrap());
}

const IMPATIENT: &str = "[timeouts]\ndownload_idle = \"2s\"\n[namespaces.live-origin]\n";

#[test]
fn an_answer_that_nobody_takes_is_reset_and_its_neighbours_go_on() {
    let origin = Origin::start_with_settings(IMPATIENT);
    let (large, small) = (bytes(1, 1 << 20), bytes(2, 40_000));
    origin.store("large.ts", large.clone());
    origin.store("small.ts", small.clone());
    // No window at all, one byte, and a part of it: then nothing. The last one holds back but the end.
    for (window, key) in [(0, "large.ts"), (1, "small.ts"), (100_000, "large.ts"), (39_999, "small.ts")] {
        let mut client = Http2::open(&origin, window);
        let before = origin.metric("springhead_answers_stalled_total");
        client.get(1, &origin, key);
        let begun = Instant::now();
        // A neighbour that reads as it should, all the while.
        let mut stream = 3;
        while begun.elapsed() < Duration::from_millis(1200) {
            client.get(stream, &origin, "small.ts");
            client.open_window(stream, 40_000);
            assert!(client.take(stream, Duration::from_secs(10)) == (small.clone(), true), "window {window}");
            stream += 2;
            std::thread::sleep(Duration::from_millis(100));
        }
        let in_flight = || origin.metric("springhead_http_requests_in_flight");
        assert!(in_flight() >= 1.0, "it stands still");
        let ended = eventually(Duration::from_secs(10), || (in_flight() == 0.0).then_some(begun.elapsed()));
        assert!(ended.is_some_and(|after| after >= Duration::from_millis(1900)), "window {window}: {ended:?}");
        assert!((origin.metric("springhead_answers_stalled_total") - before - 1.0).abs() < f64::EPSILON);
        client.get(stream, &origin, "small.ts");
        client.open_window(stream, 40_000);
        assert!(client.take(stream, Duration::from_secs(10)) == (small.clone(), true), "the connection goes on");
    }
}

#[test]
fn the_client_is_told_of_the_reset() {
    let origin = Origin::start_with_settings(IMPATIENT);
    origin.store("large.ts", bytes(1, 1 << 20));
    let mut client = Http2::open(&origin, 70_000);
    client.get(1, &origin, "large.ts");
    let (body, whole) = client.take(1, Duration::from_secs(10));
    assert!(!whole && body == bytes(1, 70_000), "{} bytes", body.len());
}

#[test]
fn a_slow_reader_is_served_to_the_end() {
    let origin = Origin::start_with_settings(IMPATIENT);
    let large = bytes(1, 300_000);
    origin.store("large.ts", large.clone());
    let mut client = Http2::open(&origin, 0);
    client.get(1, &origin, "large.ts");
    let mut body = Vec::new();
    let begun = Instant::now();
    let mut opened = Instant::now();
    while body.len() < large.len() {
        if opened.elapsed() > Duration::from_millis(900) {
            opened = Instant::now();
            client.open_window(1, 66_000);
        }
        if let Some(frame) = client.next() {
            assert_ne!(frame.kind, RST_STREAM, "after {} bytes", body.len());
            body.extend(if frame.kind == DATA { frame.payload } else { Vec::new() });
        }
    }
    assert!(body == large && begun.elapsed() > Duration::from_secs(4), "it took longer than the limit: {:?}", begun.elapsed());
    assert!(origin.metric("springhead_answers_stalled_total").abs() < f64::EPSILON);
}

/// What is waited for here is not waited for by the client: nothing else goes over the connection meanwhile.
#[test]
fn who_is_kept_waiting_is_answered_in_the_end() {
    let origin = Origin::start_with_settings("[timeouts]\ndownload_idle = \"1s\"\n[namespaces.live-origin]\nhold = \"4s\"\n");
    let control = "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES\n";
    origin.store("p.m3u8", format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n{control}#EXTINF:2,\n0.ts\n"));
    for (key, code) in [("p.m3u8?_HLS_msn=1", "not-in-time"), ("0.ts", "not-found")] {
        let mut client = Http2::open(&origin, 1 << 20);
        client.get(1, &origin, key);
        let (body, is_whole) = client.take(1, Duration::from_secs(30));
        let text = String::from_utf8(body).unwrap();
        assert!(is_whole && text.contains(code), "{key}: {text}");
    }
}

#[test]
fn what_stalled_uploads_hold_beside_their_bodies_is_counted_and_limited() {
    const UPLOADS: u32 = 100;
    let origin = Origin::start_with_settings("max_in_flight = \"16MiB\"\n[namespaces.live-origin]\n");
    let in_flight = || origin.metric("springhead_in_flight_bytes");
    let long = "a".repeat(14_000);
    let mut clients: Vec<Http2> = (0..3).map(|_| Http2::open(&origin, 1 << 16)).collect();
    let begin = |client: &mut Http2| {
        for n in 0..UPLOADS {
            let headers = [("authorization", &*origin.encoder), ("x-long", &*long)];
            client.head(1 + 2 * n, 0, "PUT", &origin.path(&format!("{n}.ts")), &headers);
        }
    };
    begin(&mut clients[0]);
    // Each has a stream of its own, and keeps its head until its body has come.
    let counted =
        eventually(Duration::from_secs(20), || Some(in_flight()).filter(|bytes| *bytes >= f64::from(UPLOADS) * 45_000.0));
    assert!(counted.is_some(), "{}", in_flight());
    // And there is an end to it: what goes past the share of this key is told to come back, and an upload of another goes on.
    begin(&mut clients[1]);
    begin(&mut clients[2]);
    // Which of theirs come first is nobody's to say; when all have come, there is no room for one more.
    let one_more =
        || Request::new("PUT", origin.path("more.ts")).bearer(&origin.encoder).body(bytes(1, 100_000)).send(origin.address);
    let told = eventually(Duration::from_secs(20), || Some(one_more()).filter(|told| told.status == 503));
    assert!(told.is_some_and(|told| told.text().contains("\"status\":503")), "{}", in_flight());
    assert!(in_flight() <= f64::from(16 << 20), "{}", in_flight());
    let (key, _) = origin.make_key(&["--namespace", "live-origin", "--role", "readwrite"]);
    let put = Request::new("PUT", origin.path("other.ts")).bearer(&key).body(bytes(1, 100_000));
    assert_eq!(put.send(origin.address).status, 204);
    drop(clients);
    assert!(eventually(Duration::from_secs(20), || (in_flight() == 0.0).then_some(())).is_some(), "{}", in_flight());
}

/// A reset with `NO_ERROR` says that an answer came early, and is what Envoy sends when an encoder behind it is gone; the HTTP library tells it like
/// an end. An upload it is the end of was not whole all the same.
#[test]
fn an_upload_that_is_reset_is_not_stored_whatever_the_reset_says() {
    const NO_ERROR: u32 = 0;
    const CANCEL: u32 = 8;
    let origin = Origin::start();
    let (body, mut told) = (bytes(1, 20_000), 0);
    origin.store("a.ts", "the old version");
    for code in [NO_ERROR, CANCEL] {
        for (key, announced, sent) in
            [("a.ts", true, 10_000), ("a.ts", false, 10_000), ("a.ts", true, 0), ("a.ts", false, 0), ("b.ts", false, 10_000)]
        {
            let mut headers = vec![("authorization", &*origin.encoder)];
            headers.extend(announced.then_some(("content-length", "20000")));
            let mut client = Http2::open(&origin, 1 << 20);
            client.head(1, 0, "PUT", &origin.path(key), &headers);
            if sent > 0 {
                client.send(DATA, 0, 1, &body[..sent]);
            }
            // Of what was not there before, somebody reads what comes.
            let mut reader = Http2::open(&origin, 1 << 20);
            if key == "b.ts" {
                let uploading = || origin.metric("springhead_hot_uploading_bytes{namespace=\"live-origin\"}");
                assert!(eventually(Duration::from_secs(10), || (uploading() > 0.0).then_some(())).is_some());
                reader.get(1, &origin, key);
                let comes = || reader.next().filter(|frame| frame.kind == DATA);
                assert!(eventually(Duration::from_secs(10), comes).is_some(), "it can be read as it comes");
            }
            client.send(RST_STREAM, 0, 1, &code.to_be_bytes());
            told += 1;
            let refusals = eventually(Duration::from_secs(10), || Some(origin.refusals()).filter(|lines| lines.len() >= told));
            let refusals = refusals.unwrap_or_else(|| panic!("{code} {key} {announced} {sent}: the log does not tell of it"));
            let line = refusals.last().unwrap();
            let said = (line["reason"].as_str(), line["received_bytes"].as_u64(), line["key"].as_str());
            assert_eq!(said, (Some("incomplete-body"), Some(sent as u64), Some(key)), "{line}");
            if key == "b.ts" {
                assert!(!reader.take(1, Duration::from_secs(10)).1, "what its reader has is nothing whole");
                assert_eq!(origin.get(key).status, 404);
            }
            assert_eq!(origin.get("a.ts").text(), "the old version");
            // The connection is not the stream's: another upload goes over it.
            let stream = 3;
            client.head(stream, 0, "PUT", &origin.path("c.ts"), &[("authorization", &origin.encoder)]);
            client.send(DATA, 0, stream, &body[..10_000]);
            client.send(DATA, END_STREAM, stream, &body[10_000..]);
            assert!(client.take(stream, Duration::from_secs(10)).1);
            assert!(origin.get("c.ts").body == body);
        }
    }
    // A reset behind the end takes nothing back.
    for announced in [true, false] {
        let mut headers = vec![("authorization", &*origin.encoder)];
        headers.extend(announced.then_some(("content-length", "20000")));
        let key = if announced { "d.ts" } else { "e.ts" };
        let mut client = Http2::open(&origin, 1 << 20);
        client.head(1, 0, "PUT", &origin.path(key), &headers);
        client.send(DATA, 0, 1, &body[..10_000]);
        client.send(DATA, END_STREAM, 1, &body[10_000..]);
        client.send(RST_STREAM, 0, 1, &NO_ERROR.to_be_bytes());
        let there = eventually(Duration::from_secs(10), || (origin.get(key).body == body).then_some(()));
        assert!(there.is_some(), "{key} is not there");
    }
    assert_eq!(origin.refusals().len(), told);
}

/// As of HTTP/1 in `misbehaving`: what has come whole is stored, whether or not anybody waits for the answer.
#[test]
fn who_hangs_up_after_the_last_byte_loses_nothing() {
    const UPLOADS: u32 = 8;
    let origin = Origin::start();
    let body = bytes(1, 5_000);
    let is_one_burst = [true, false];
    for (round, in_one) in (0..100).zip(is_one_burst.into_iter().cycle()) {
        let mut client = Http2::open_held(&origin, 1 << 20);
        if !in_one {
            client.release();
        }
        for n in 0..UPLOADS {
            let (stream, length) = (1 + 2 * n, body.len().to_string());
            // Without a length nobody can tell what is whole from what was reset, but by its stream's end, which may be seen too late.
            let headers = vec![("authorization", &*origin.encoder), ("content-length", &*length)];
            client.head(stream, 0, "PUT", &origin.path(&format!("{round}-{n}.ts")), &headers);
            client.send(DATA, 0, stream, &body[..2_000]);
            client.send(DATA, END_STREAM, stream, &body[2_000..]);
        }
        // Head, body and end, all at once.
        client.release();
        client.hang_up();
    }
    for key in (0..100).flat_map(|round| (0..UPLOADS).map(move |n| format!("{round}-{n}.ts"))) {
        let there = eventually(Duration::from_secs(10), || (origin.get(&key).body == body).then_some(()));
        assert!(there.is_some(), "object {key} is not there");
    }
    assert!(origin.refusals().is_empty());
    // And before it, nothing.
    let mut client = Http2::open(&origin, 1 << 20);
    client.head(1, 0, "PUT", &origin.path("a.ts"), &[("authorization", &origin.encoder)]);
    client.send(DATA, 0, 1, &body);
    drop(client);
    assert!(eventually(Duration::from_secs(10), || (origin.refusals().len() == 1).then_some(())).is_some());
    assert_eq!(origin.get("a.ts").status, 404);
}

/// The HTTP/2 library cuts a path off where a fragment would begin, and does not say so: nothing here can tell that from a name which ends there. If it ever
/// hands on the whole, this is to be the 400 that it is in HTTP/1.
#[test]
fn what_stands_behind_a_number_sign_does_not_get_as_far() {
    let origin = Origin::start();
    let mut client = Http2::open(&origin, 1 << 16);
    client.head(1, 0, "PUT", &format!("{}#b.ts", origin.path("a")), &[("authorization", &origin.encoder)]);
    client.send(DATA, END_STREAM, 1, b"media");
    assert!(client.take(1, Duration::from_secs(10)).1);
    assert_eq!((origin.get("a").text().as_str(), origin.get("a%23b.ts").status), ("media", 404));
}
