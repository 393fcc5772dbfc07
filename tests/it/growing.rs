//! Objects that are read while they are written: a writer who sends a piece only when every reader has the one before it.

use std::io::Read as _;
use std::process::{Child, Stdio};
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::harness::{NAMESPACE, Origin, Process, bytes, eventually};
use crate::programs::{limited, program};
use crate::wire::{Answer, Request, Wire};

/// What an object of this key and this many bytes counts for, in the server's account.
fn cost(key: &str, length: usize) -> f64 {
    (length + key.len() + 768) as f64
}

/// An upload in chunks, sent when the test says so.
pub(crate) struct Writer {
    wire: Wire,
    sent: Vec<u8>,
}

impl Writer {
    pub(crate) fn begin(origin: &Origin, key: &str) -> Self {
        Self::begin_with(origin, key, "")
    }

    /// With more header lines.
    fn begin_with(origin: &Origin, key: &str, headers: &str) -> Self {
        let mut wire = Wire::open(origin.address);
        let (path, token) = (origin.path(key), &origin.encoder);
        wire.write(format!(
            "PUT {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n{headers}Transfer-Encoding: chunked\r\n\r\n"
        ));
        Self { wire, sent: Vec::new() }
    }

    pub(crate) fn send(&mut self, piece: &[u8]) {
        let chunk = [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat();
        self.wire.write(chunk);
        self.sent.extend(piece);
    }

    /// Ends it as it should end.
    pub(crate) fn finish(&mut self) {
        assert_eq!(self.wire.write("0\r\n\r\n").answer_to("PUT").status, 204);
    }
}

/// A reader who takes what has come.
pub(crate) struct Reader {
    wire: Wire,
    headers: Vec<(String, String)>,
    read: Vec<u8>,
}

impl Reader {
    /// Begins to read; the first bytes of the object may be on their way to the server still.
    pub(crate) fn begin(origin: &Origin, key: &str) -> Self {
        let request = Request::new("GET", origin.path(key)).bearer(&origin.player);
        let begun = eventually(Duration::from_secs(20), || {
            let mut wire = Wire::open(origin.address);
            let (status, headers) = wire.write(request.to_bytes()).head().unwrap();
            (status == 200).then_some(Self { wire, headers, read: Vec::new() })
        });
        let reader = begun.expect("it can be read");
        assert_eq!(reader.header("cache-status"), "springhead; hit; detail=growing", "it can be read while it grows");
        reader
    }

    fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(found, _)| found == name).map_or("", |(_, value)| value)
    }

    /// Reads until this many bytes have come, and not one more.
    pub(crate) fn read_to(&mut self, length: usize) {
        while self.read.len() < length {
            let chunk = self.wire.chunk().expect("the answer goes on");
            assert!(!chunk.is_empty(), "the answer has ended");
            self.read.extend(chunk);
        }
        assert_eq!(self.read.len(), length, "nobody can read what was not sent yet");
    }

    /// Reads to the clean end of the answer; `None` when it breaks off.
    pub(crate) fn read_to_end(mut self) -> Option<Vec<u8>> {
        loop {
            let chunk = self.wire.chunk()?;
            if chunk.is_empty() {
                return Some(self.read);
            }
            self.read.extend(chunk);
        }
    }
}

fn percentile(delays: &mut [Duration], percent: usize) -> Duration {
    delays.sort_unstable();
    delays[(delays.len() * percent / 100).min(delays.len() - 1)]
}

/// Each piece is sent when all readers have the one before it: so each of them has each piece before the next one exists.
fn follow_piece_by_piece(readers: usize, pieces: usize) {
    let origin = Origin::start();
    let mut writer = Writer::begin(&origin, "live/1.m4s");
    writer.send(&bytes(0, 10_000));
    let mut all: Vec<Reader> = (0..readers).map(|_| Reader::begin(&origin, "live/1.m4s")).collect();
    let mut delays = Vec::new();
    for n in 1..=pieces as u64 {
        for reader in &mut all {
            reader.read_to(writer.sent.len());
        }
        let at = Instant::now();
        writer.send(&bytes(n, 700 + 977 * n as usize));
        for reader in &mut all {
            reader.read_to(writer.sent.len());
            delays.push(at.elapsed());
        }
    }
    // One copy for all of them.
    let uploading = origin.metric("springhead_hot_uploading_bytes{namespace=\"live-origin\"}");
    assert_eq!(uploading, cost("live/1.m4s", writer.sent.len()));
    assert_eq!(origin.metric("springhead_hot_objects{namespace=\"live-origin\"}"), 0.0);

    let late = Reader::begin(&origin, "live/1.m4s");
    writer.finish();
    for reader in all.into_iter().chain([late]) {
        assert!(reader.read_to_end().expect("a clean end") == writer.sent, "all of it, in order");
    }
    let whole = origin.get("live/1.m4s");
    assert!(whole.body == writer.sent);
    assert_eq!(whole.header("content-length"), writer.sent.len().to_string());
    let growing = "springhead_http_requests_total{method=\"GET\",status=\"200\",namespace=\"live-origin\",outcome=\"growing\"}";
    assert_eq!(origin.metric(growing), readers as f64 + 1.0);
    // And some hundred bytes for each who came before the first byte.
    let sent = ((readers + 2) * writer.sent.len()) as f64;
    let counted = origin.metric("springhead_sent_bytes_total{namespace=\"live-origin\"}");
    assert!((sent..sent + 20_000.0).contains(&counted), "{counted} bytes, and not {sent}");
    assert_eq!(origin.metric("springhead_hot_uploading_bytes{namespace=\"live-origin\"}"), 0.0);
    let (half, most) = (percentile(&mut delays, 50), percentile(&mut delays, 99));
    eprintln!("{readers} readers, {pieces} pieces: a piece is with its reader after {half:?} (p50), {most:?} (p99)");
}

#[test]
fn one_reader_has_each_piece_before_the_next_is_sent() {
    follow_piece_by_piece(1, 40);
}

#[test]
fn a_hundred_readers_have_each_piece_before_the_next_is_sent() {
    follow_piece_by_piece(100, 20);
}

#[test]
fn a_thousand_readers_have_each_piece_before_the_next_is_sent() {
    // Ours too: each connection has two ends.
    rlimit::increase_nofile_limit(8192).unwrap();
    follow_piece_by_piece(1000, 5);
}

#[test]
fn parts_of_a_growing_segment_are_had_as_soon_as_they_are_there() {
    let origin = Origin::start();
    let mut writer = Writer::begin(&origin, "a.m4s");
    writer.send(b"0123456789");
    let get = |range: &str| Request::new("GET", origin.path("a.m4s")).bearer(&origin.player).header("Range", range);
    // The upload's head is on its way on another connection.
    let first =
        eventually(Duration::from_secs(5), || Some(get("bytes=2-5").send(origin.address)).filter(|had| had.status != 404));
    let first = first.expect("it can be read from its first byte on");
    assert_eq!((first.status, &*first.text()), (206, "2345"));
    assert_eq!((first.header("content-range"), first.header("content-length")), ("bytes 2-5/*", "4"));
    let ahead = get("bytes=8-11");
    thread::scope(|scope| {
        let reader = scope.spawn(|| ahead.send(origin.address));
        let asked =
            eventually(Duration::from_secs(5), || (origin.metric("springhead_http_requests_in_flight") > 1.5).then_some(()));
        assert!(asked.is_some());
        assert!(!reader.is_finished(), "it waits for the rest of its part");
        writer.send(b"ab");
        let answer = reader.join().unwrap();
        assert_eq!((answer.status, &*answer.text(), answer.header("content-range")), (206, "89ab", "bytes 8-11/*"));
        // What is never reached turns out so when the object is whole.
        let beyond = get("bytes=10-99");
        let address = origin.address;
        let reader = scope.spawn(move || beyond.send(address));
        let mut writer = writer;
        writer.finish();
        let answer = reader.join().unwrap();
        assert_eq!((answer.status, &*answer.text(), answer.header("content-range")), (206, "ab", "bytes 10-11/12"));
    });
}

/// An upload of `a.m4s` of which ten bytes can be read and more are to come.
fn ten_bytes_of_many(origin: &Origin) -> Writer {
    let mut writer = Writer::begin(origin, "a.m4s");
    writer.send(b"0123456789");
    drop(Reader::begin(origin, "a.m4s"));
    writer
}

/// Asks for a range of it.
fn ask_for(origin: &Origin, range: &str) -> Wire {
    let mut wire = Wire::open(origin.address);
    wire.write(Request::new("GET", origin.path("a.m4s")).bearer(&origin.player).header("Range", range).to_bytes());
    wire
}

#[test]
fn a_range_without_an_end_follows_a_growing_segment_from_its_first_byte_on() {
    let origin = Origin::start();
    let mut writer = ten_bytes_of_many(&origin);
    let ask = |range: &str| ask_for(&origin, range);
    // RFC 8673, and the plain form; of bytes that are there, of the next one, and of some that are far ahead.
    let ranges = [
        ("bytes=0-", 0),
        ("bytes=4-", 4),
        ("bytes=4-9007199254740991", 4),
        ("bytes=4-18446744073709551615", 4),
        ("bytes=10-9007199254740991", 10),
        ("bytes=12-", 12),
    ];
    let mut readers: Vec<_> = ranges.iter().map(|(range, start)| (ask(range), *start, Vec::new())).collect();
    for (wire, start, read) in readers.iter_mut().filter(|(_, start, _)| *start < 10) {
        let (status, headers) = wire.head().unwrap();
        let answer = Answer { status, headers, body: Vec::new() };
        assert_eq!((status, answer.header("content-range")), (206, &*format!("bytes {start}-9007199254740991/*")));
        assert_eq!((answer.header("content-length"), answer.header("transfer-encoding")), ("", "chunked"));
        assert_eq!((answer.header("content-type"), answer.header("etag")), ("video/iso.segment", ""));
        while read.len() < 10 - *start {
            read.extend(wire.chunk().expect("what is there comes before anything more is sent"));
        }
    }
    // What is behind the end turns out so when it is whole, and what counts from the end waits for nothing.
    let (mut beyond, mut suffix) = (ask("bytes=900-9007199254740991"), ask("bytes=-4"));
    assert_eq!(suffix.head().unwrap().0, 200);
    writer.send(b"abcdef");
    for (wire, start, read) in &mut readers {
        if *start >= 10 {
            assert_eq!(wire.head().unwrap().0, 206, "from {start}");
        }
        while read.len() < 16 - *start {
            read.extend(wire.chunk().unwrap());
        }
        assert_eq!(read, &b"0123456789abcdef"[*start..]);
    }
    writer.finish();
    for (wire, start, _) in &mut readers {
        assert_eq!(wire.chunk().as_deref(), Some(&b""[..]), "a clean end, from {start}");
    }
    assert_eq!(beyond.answer_to("GET").status, 416);
    let whole = ask("bytes=4-9007199254740991").answer_to("GET");
    assert_eq!((whole.status, whole.header("content-range"), &*whole.text()), (206, "bytes 4-15/16", "456789abcdef"));
}

#[test]
fn a_range_with_an_end_breaks_off_with_the_upload_and_costs_no_copy() {
    const READERS: usize = 256;
    let origin = Origin::start();
    let mut writer = ten_bytes_of_many(&origin);
    writer.send(&bytes(1, 40_000));
    let before = origin.metric("process_resident_memory_bytes");
    let mut waiting: Vec<Wire> = (0..READERS).map(|_| ask_for(&origin, "bytes=0-9999999")).collect();
    let asked = || (origin.metric("springhead_http_requests_in_flight") > READERS as f64).then_some(());
    assert!(eventually(Duration::from_secs(20), asked).is_some());
    for n in 0..100 {
        writer.send(&bytes(n, 40_000));
    }
    // All of it has come, and has been read by who could.
    let last = writer.sent.len() - 1;
    let mut reached = ask_for(&origin, &format!("bytes=10-{last}"));
    let answer = reached.answer_to("GET");
    assert!((answer.status, &answer.body) == (206, &writer.sent[10..].to_vec()), "{}", answer.status);
    let grown = origin.metric("process_resident_memory_bytes") - before;
    assert!(grown < 30e6, "{READERS} readers hold {grown} bytes");
    drop(writer);
    assert!(waiting.iter_mut().all(|wire| wire.answer_to("GET").status == 404), "what they asked for will never be");
}

#[test]
fn a_range_with_an_end_that_was_there_is_sent_whole_when_the_upload_breaks_off() {
    let origin = Origin::start();
    let mut writer = ten_bytes_of_many(&origin);
    // More than the system keeps on the way to a reader who takes nothing.
    for n in 0..19 {
        writer.send(&bytes(n, 500_000));
    }
    let sent = writer.sent.clone();
    let mut slow = ask_for(&origin, &format!("bytes=10-{}", sent.len() - 1));
    assert_eq!(slow.head().unwrap().0, 206);
    drop(writer);
    let gone = || (ask_for(&origin, "bytes=0-1").answer_to("GET").status == 404).then_some(());
    assert!(eventually(Duration::from_secs(20), gone).is_some());
    assert!(slow.take(sent.len() - 10).is_some_and(|read| read == sent[10..]), "it was told that all of it is there");
}

#[test]
fn a_range_without_an_end_breaks_off_with_the_upload() {
    let origin = Origin::start();
    let writer = ten_bytes_of_many(&origin);
    let ask = |range: &str| ask_for(&origin, range);
    let (mut begun, mut waiting) = (ask("bytes=5-9007199254740991"), ask("bytes=50-"));
    assert_eq!(begun.head().unwrap().0, 206);
    assert_eq!(begun.chunk().unwrap(), b"56789");
    drop(writer);
    assert_eq!(begun.chunk(), None, "no clean end");
    assert_eq!(waiting.answer_to("GET").status, 404);
}

#[test]
fn a_growing_object_is_described_by_what_is_known_of_it() {
    let origin = Origin::start_with_settings("[namespaces.live-origin]\nsegment_max_age = \"40s\"\n");
    let mut writer = Writer::begin(&origin, "a.m4s");
    writer.send(b"first");
    let plain = Reader::begin(&origin, "a.m4s");
    let get = |method: &str| Request::new(method, origin.path("a.m4s")).bearer(&origin.player);
    let head_of = |request: &Request| {
        let mut wire = Wire::open(origin.address);
        let (status, headers) = wire.write(request.to_bytes()).head().unwrap();
        (Answer { status, headers, body: Vec::new() }, wire)
    };
    assert_eq!(plain.header("content-type"), "video/iso.segment");
    assert_eq!(plain.header("cache-control"), "public, max-age=40");
    assert_eq!(plain.header("transfer-encoding"), "chunked");
    for absent in ["content-length", "etag", "last-modified", "accept-ranges"] {
        assert_eq!(plain.header(absent), "", "{absent}");
    }

    // HEAD: the same, and at once; the connection goes on.
    let mut wire = Wire::open(origin.address);
    for _ in 0..2 {
        let head = wire.ask(&get("HEAD"));
        assert_eq!(head.status, 200);
        for same in ["content-type", "cache-control", "cache-status", "content-length", "etag", "accept-ranges"] {
            assert_eq!(head.header(same), plain.header(same), "{same}");
        }
    }

    // No ranges that come with a condition; conditions as of an object that is newer than all that is known of it.
    for range in ["bytes=0-1", "bytes=-2", "bytes=500-"] {
        let (answer, mut wire) = head_of(&get("GET").header("Range", range).header("If-Range", "\"x\""));
        assert_eq!((answer.status, answer.header("content-range")), (200, ""), "{range}");
        assert_eq!(wire.chunk().unwrap(), b"first");
    }
    for (name, value, status) in [
        ("If-None-Match", "\"0123\"", 200),
        ("If-None-Match", "*", 304),
        ("If-Modified-Since", "Fri, 01 Jan 2100 00:00:00 GMT", 200),
        ("If-Match", "\"0123\"", 412),
        ("If-Match", "*", 200),
        ("If-Unmodified-Since", "Fri, 01 Jan 2100 00:00:00 GMT", 412),
    ] {
        assert_eq!(head_of(&get("GET").header(name, value)).0.status, status, "{name}: {value}");
    }
    assert_eq!(Request::new("GET", origin.path("a.m4s")).send(origin.address).status, 401);

    // What the encoder says of it, readers are told from the start.
    let mut said =
        Writer::begin_with(&origin, "b.bin", "Content-Type: video/x-own\r\nContent-Encoding: br\r\nCache-Control: max-age=3\r\n");
    said.send(b"x");
    let reader = Reader::begin(&origin, "b.bin");
    assert_eq!(reader.header("content-type"), "video/x-own");
    assert_eq!(reader.header("content-encoding"), "br");
    assert_eq!(reader.header("cache-control"), "max-age=3");
    // No longer than it lives.
    let mut short = Writer::begin(&origin, "c.ts?ttl_seconds=7");
    short.send(b"x");
    assert_eq!(Reader::begin(&origin, "c.ts").header("cache-control"), "public, max-age=7");
}

#[test]
fn only_where_nothing_whole_is_to_be_had() {
    let origin = Origin::start();
    // A playlist is whole or not there.
    for name in ["a.m3u8", "a.mpd"] {
        let mut writer = Writer::begin(&origin, name);
        writer.send(b"#EXTM3U\n");
        let in_flight = eventually(Duration::from_secs(10), || (uploading(&origin) == cost(name, 8)).then_some(()));
        assert!(in_flight.is_some());
        assert_eq!(origin.get(name).status, 404, "{name}");
        writer.finish();
        assert_eq!(origin.get(name).text(), "#EXTM3U\n");
    }
    // So is what was announced with its length.
    let mut wire = Wire::open(origin.address);
    let request = Request::new("PUT", origin.path("b.ts")).bearer(&origin.encoder).header("Content-Length", "10");
    wire.write(request.as_text().replace("Content-Length: 0\r\n", "")).write("12345");
    assert!(eventually(Duration::from_secs(10), || (uploading(&origin) == cost("b.ts", 5)).then_some(())).is_some());
    assert_eq!(origin.get("b.ts").status, 404);
    assert_eq!(wire.write("67890").answer_to("PUT").status, 204);

    // Where there is a whole version, readers get that, whole, until the new one is whole; when it is gone, what is coming.
    origin.store("c.ts", "the old version");
    let mut writer = Writer::begin(&origin, "c.ts");
    writer.send(b"the new");
    let in_flight = eventually(Duration::from_secs(10), || (uploading(&origin) == cost("c.ts", 7)).then_some(()));
    assert!(in_flight.is_some());
    let old = origin.get("c.ts");
    assert_eq!((&*old.text(), old.header("content-length")), ("the old version", "15"));
    let delete = Request::new("DELETE", origin.path("c.ts")).bearer(&origin.encoder);
    assert_eq!(delete.send(origin.address).status, 204);
    // What was begun before it does not come any more, and what is begun after it does.
    let mut later = Writer::begin(&origin, "c.ts");
    later.send(b"the newest");
    let mut reader = Reader::begin(&origin, "c.ts");
    reader.read_to(10);
    writer.send(b" version");
    writer.finish();
    later.send(b" version");
    later.finish();
    assert_eq!(reader.read_to_end().unwrap(), b"the newest version");
    assert_eq!(origin.get("c.ts").text(), "the newest version");
}

/// Bytes of uploads in flight, as the server counts them.
fn uploading(origin: &Origin) -> f64 {
    origin.metric("springhead_hot_uploading_bytes{namespace=\"live-origin\"}")
}

/// curl, with the object to a file: it says by its exit status whether it has all of it.
fn curl(origin: &Origin, key: &str, version: &str) -> Process {
    let url = format!("http://{}{}?token={}", origin.address, origin.path(key), origin.player);
    let curl = program("curl").args(["-sS", "-N", version, "--max-time", "60", &url]).stdout(Stdio::piped()).spawn();
    Process(curl.unwrap())
}

/// What has come of it, when it is at least this much.
fn take(curl: &mut Child, length: usize) -> Vec<u8> {
    let mut taken = vec![0; length];
    curl.stdout.as_mut().unwrap().read_exact(&mut taken).expect("this much has come");
    taken
}

/// One way to break an upload off; what has to be kept until its readers have noticed.
type BreakOff<'a> = dyn Fn(Writer) -> Option<Writer> + 'a;

#[test]
fn an_upload_that_breaks_off_breaks_its_readers_and_leaves_nothing() {
    let settings = "[namespaces.live-origin]\nmax_object_size = \"100KB\"\n[timeouts]\nupload_idle = \"2s\"\n";
    let origin = Origin::start_with_settings(settings);
    let too_much = bytes(9, 101_000);
    let breaks: [(&str, &BreakOff<'_>); 5] = [
        ("gone", &|_writer| None),
        ("no last chunk", &|mut writer| {
            writer.wire.end_writing();
            Some(writer)
        }),
        ("not in chunks", &|mut writer| {
            writer.wire.write("this is no chunk\r\n");
            Some(writer)
        }),
        ("too large", &|mut writer| {
            writer.send(&too_much);
            Some(writer)
        }),
        // It has two seconds for its next piece.
        ("stalled", &Some),
    ];
    for (number, (what, break_off)) in breaks.into_iter().enumerate() {
        let key = format!("{number}.ts");
        let mut writer = Writer::begin(&origin, &key);
        writer.send(&bytes(1, 30_000));
        let reader = Reader::begin(&origin, &key);
        let mut curls =
            [("--http1.1", 18), ("--http2-prior-knowledge", 92)].map(|(version, exit)| (curl(&origin, &key, version), exit));
        for (curl, _) in &mut curls {
            assert!(take(&mut curl.0, 30_000) == bytes(1, 30_000), "{what}");
        }
        let left = break_off(writer);
        assert!(reader.read_to_end().is_none(), "{what}: not a clean end");
        for (mut curl, exit) in curls {
            assert_eq!(curl.0.wait().unwrap().code(), Some(exit), "{what}");
        }
        assert_eq!(origin.get(&key).status, 404, "{what}");
        let gone = eventually(Duration::from_secs(10), || (uploading(&origin) == 0.0).then_some(()));
        assert!(gone.is_some(), "{what}");
        drop(left);
        let line = origin.wait_for_access(|line| line["key"] == *key && line["outcome"] == "growing" && line["user_agent"] == "");
        assert_eq!((&line["status"], &line["complete"]), (&200.into(), &false.into()), "{what}: {line}");
        assert_eq!(line["size"], serde_json::Value::Null, "{what}: {line}");
        assert!(line["bytes_sent"].as_u64().unwrap() >= 30_000, "{what}: {line}");
    }
    assert_eq!(origin.metric("springhead_hot_objects{namespace=\"live-origin\"}"), 0.0);
    assert_eq!(origin.refusals().len(), 5);
    assert_eq!(origin.metric("springhead_in_flight_bytes"), 0.0);
}

#[test]
fn two_uploads_of_one_name_do_not_disturb_each_other() {
    let origin = Origin::start();
    let mut older = Writer::begin(&origin, "a.ts");
    older.send(b"older, ");
    let mut of_older = Reader::begin(&origin, "a.ts");
    let mut newer = Writer::begin(&origin, "a.ts");
    newer.send(b"newer, ");
    assert!(eventually(Duration::from_secs(10), || (uploading(&origin) == 2.0 * cost("a.ts", 7)).then_some(())).is_some());
    let mut of_newer = Reader::begin(&origin, "a.ts");
    of_older.read_to(7);
    of_newer.read_to(7);
    assert_eq!((&*of_older.read, &*of_newer.read), (&b"older, "[..], &b"newer, "[..]), "the newest is read");
    // One breaks off: that is none of the other's.
    drop(newer);
    assert!(of_newer.read_to_end().is_none());
    older.send(b"and to its end");
    older.finish();
    assert_eq!(of_older.read_to_end().unwrap(), b"older, and to its end");
    assert_eq!(origin.get("a.ts").text(), "older, and to its end");
}

#[test]
fn http_2_readers_have_each_piece_before_the_next_is_sent() {
    let origin = Origin::start();
    let mut writer = Writer::begin(&origin, "a.m4s");
    writer.send(&bytes(0, 5_000));
    drop(Reader::begin(&origin, "a.m4s"));
    let mut readers: Vec<Process> = (0..4).map(|_| curl(&origin, "a.m4s", "--http2-prior-knowledge")).collect();
    let mut before = 0;
    for n in 1..20u64 {
        for reader in &mut readers {
            assert!(take(&mut reader.0, writer.sent.len() - before) == writer.sent[before..]);
        }
        before = writer.sent.len();
        writer.send(&bytes(n, 3_000));
    }
    writer.finish();
    for reader in &mut readers {
        let mut rest = Vec::new();
        reader.0.stdout.as_mut().unwrap().read_to_end(&mut rest).unwrap();
        assert!(rest == writer.sent[before..]);
        assert!(reader.0.wait().unwrap().success());
    }
}

#[test]
fn an_http_2_upload_is_read_while_it_is_sent() {
    let origin = Origin::start();
    let url = format!("http://{}{}?token={}", origin.address, origin.path("a.m4s"), origin.encoder);
    let mut curl = program("curl");
    curl.args(["-sS", "--http2-prior-knowledge", "--max-time", "60", "-T", "-", &url]);
    let mut curl = Process(curl.stdin(Stdio::piped()).spawn().unwrap());
    let mut pipe = curl.0.stdin.take().unwrap();
    std::io::Write::write_all(&mut pipe, &bytes(1, 1_000)).unwrap();
    let mut reader = Reader::begin(&origin, "a.m4s");
    reader.read_to(1_000);
    std::io::Write::write_all(&mut pipe, &bytes(2, 1_000)).unwrap();
    reader.read_to(2_000);
    drop(pipe);
    assert!(reader.read_to_end().unwrap() == [bytes(1, 1_000), bytes(2, 1_000)].concat());
    assert!(curl.0.wait().unwrap().success());
}

/// Who can't be told of a break by the protocol waits until there is nothing left to break.
#[test]
fn an_http_1_0_reader_waits_for_the_whole() {
    let origin = Origin::start();
    let mut writer = Writer::begin(&origin, "a.ts");
    writer.send(b"one ");
    let _reader = Reader::begin(&origin, "a.ts");
    let get = |key: &str| Request::new("GET", origin.path(key)).bearer(&origin.player).as_text().replace("HTTP/1.1", "HTTP/1.0");
    let mut old = Wire::open(origin.address);
    old.write(get("a.ts"));
    let in_flight = || origin.metric("springhead_http_requests_in_flight");
    assert!(eventually(Duration::from_secs(10), || (in_flight() == 3.0).then_some(())).is_some(), "it waits");
    writer.send(b"two");
    writer.finish();
    let answer = old.answer_to("GET");
    assert_eq!((answer.status, &*answer.text(), answer.header("content-length")), (200, "one two", "7"));

    let mut writer = Writer::begin(&origin, "b.ts");
    writer.send(b"one ");
    let _reader = Reader::begin(&origin, "b.ts");
    let mut old = Wire::open(origin.address);
    old.write(get("b.ts"));
    assert!(eventually(Duration::from_secs(10), || (in_flight() == 3.0).then_some(())).is_some(), "it waits");
    drop(writer);
    assert_eq!(old.answer_to("GET").status, 404);
}

/// A reader who has all there is waits for the encoder, and not the server for him.
#[test]
fn who_waits_for_the_encoder_is_no_slow_reader() {
    let origin =
        Origin::start_with_settings("[namespaces.live-origin]\n[timeouts]\ndownload_idle = \"1s\"\nrequest_head = \"1s\"\n");
    let mut writer = Writer::begin(&origin, "a.m4s");
    writer.send(b"one ");
    let mut plain = Reader::begin(&origin, "a.m4s");
    let mut curls = ["--http1.1", "--http2-prior-knowledge"].map(|version| curl(&origin, "a.m4s", version));
    for piece in ["two ", "three"] {
        plain.read_to(writer.sent.len());
        thread::sleep(Duration::from_millis(2500));
        writer.send(piece.as_bytes());
    }
    writer.finish();
    assert_eq!(plain.read_to_end().unwrap(), b"one two three");
    for curl in &mut curls {
        assert_eq!(take(&mut curl.0, 13), b"one two three");
        assert!(curl.0.wait().unwrap().success());
    }
}

/// Readers who take nothing hold up nobody, cost no copies, and go on from the whole when they come back.
#[test]
fn slow_readers_cost_neither_copies_nor_time() {
    const READERS: usize = 60;
    // So slow, and not so slow that they are given up.
    let origin = Origin::start_with_settings("[namespaces.live-origin]\n[timeouts]\ndownload_idle = \"10m\"\n");
    let mut writer = Writer::begin(&origin, "a.m4s");
    writer.send(b"first");
    let slow: Vec<Reader> = (0..READERS).map(|_| Reader::begin(&origin, "a.m4s")).collect();
    let mut quick = Reader::begin(&origin, "a.m4s");
    let before = origin.metric("process_resident_memory_bytes");
    for n in 0..90 {
        writer.send(&bytes(n, 100_000));
        quick.read_to(writer.sent.len());
    }
    let grown = origin.metric("process_resident_memory_bytes") - before;
    assert!(grown < 120e6, "{READERS} readers of 9 MB cost {grown} bytes");
    writer.finish();
    assert!(quick.read_to_end().unwrap() == writer.sent);
    let grown = origin.metric("process_resident_memory_bytes") - before;
    assert!(grown < 120e6, "{READERS} readers of 9 MB cost {grown} bytes");
    for reader in slow {
        assert!(reader.read_to_end().expect("a clean end") == writer.sent);
    }
    let line = origin.wait_for_access(|line| line["outcome"] == "growing" && line["complete"] == true);
    assert_eq!((&line["size"], &line["bytes_sent"]), (&9_000_005.into(), &9_000_005.into()), "{line}");
}

/// Readers who come at any moment of an upload, its last one too, get all of it: as it grows, or whole.
#[test]
fn whoever_comes_around_the_commit_gets_all_of_it() {
    let origin = Origin::start();
    let ended = AtomicUsize::new(0);
    let rounds = 150;
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut wire = Wire::open(origin.address);
                let (mut round, mut seen) = (0, false);
                while round < rounds {
                    let is_whole = round < ended.load(SeqCst);
                    let get = Request::new("GET", origin.path(&format!("{round}.ts"))).bearer(&origin.player);
                    let answer = wire.ask(&get);
                    if answer.status == 200 {
                        assert!(answer.body == bytes(round as u64, 20_000), "all of it");
                        (round, seen) = if is_whole { (round + 1, false) } else { (round, true) };
                    } else {
                        assert_eq!(answer.status, 404);
                        assert!(!is_whole && !seen, "a hole between growing and whole");
                    }
                }
            });
        }
        let mut wire = Wire::open(origin.address);
        for round in 0..rounds {
            let put = Request::new("PUT", origin.path(&format!("{round}.ts"))).bearer(&origin.encoder);
            assert_eq!(wire.ask(&put.chunked(bytes(round as u64, 20_000), 3_000)).status, 204);
            ended.store(round + 1, SeqCst);
        }
    });
}

#[test]
fn what_is_read_as_it_grows_counts_against_the_rate_as_it_is_sent() {
    let origin = Origin::start_with_settings("[namespaces.live-origin]\nread_bytes_per_second = \"10KB\"\n");
    let mut writer = Writer::begin(&origin, "a.ts");
    writer.send(b"x");
    // A burst of 300 KB: who has begun is not cut off, who comes after it waits.
    let mut reader = Reader::begin(&origin, "a.ts");
    for n in 0..8 {
        writer.send(&bytes(n, 50_000));
        reader.read_to(writer.sent.len());
    }
    let refused = origin.get("a.ts");
    assert_eq!((refused.status, &*refused.problem()), (503, "rate-limited"));
    writer.finish();
    assert!(reader.read_to_end().unwrap() == writer.sent);
}

/// ffmpeg sends a low-latency DASH segment while it encodes it, and a reader has it as it comes: from its first frame on, long
/// before its last one exists.
#[test]
fn ffmpeg_low_latency_dash_is_read_as_it_is_encoded() {
    let origin = Origin::start();
    let basic = STANDARD.encode(format!("momento:{}", origin.encoder));
    let arguments = "-hide_banner -nostdin -v error -re -f lavfi -i testsrc2=size=320x180:rate=15 -t 12 -c:v libx264 -preset ultrafast \
        -tune zerolatency -g 30 -keyint_min 30 -sc_threshold 0 -threads 1 -pix_fmt yuv420p -b:v 300k -f dash -method PUT \
        -http_persistent 1 -seg_duration 2 -frag_type every_frame -streaming 1 -ldash 1 -use_template 1 -use_timeline 0 \
        -window_size 20 -http_opts";
    let mut ffmpeg = limited(60, "ffmpeg");
    ffmpeg.args(arguments.split_whitespace());
    ffmpeg.arg(format!("headers=Authorization\\: Basic {basic}"));
    ffmpeg.arg(format!("http://{}/cache/{NAMESPACE}/manifest.mpd", origin.address));
    let mut ffmpeg = Process(ffmpeg.spawn().unwrap());
    let mut spans = Vec::new();
    for number in 2..=5 {
        let key = format!("chunk-stream0-{number:05}.m4s");
        let mut reader = Reader::begin(&origin, &key);
        let (mut first, mut arrivals) = (None, 0);
        let (mut last, mut body) = (Instant::now(), Vec::new());
        loop {
            let chunk = reader.wire.chunk().expect("it comes to its end");
            if chunk.is_empty() {
                break;
            }
            last = Instant::now();
            first.get_or_insert(last);
            arrivals += 1;
            body.extend(chunk);
        }
        spans.push((last - first.unwrap(), arrivals));
        assert!(origin.get(&key).body == body, "{key}");
    }
    assert!(ffmpeg.0.wait().unwrap().success());
    eprintln!("time from a segment's first bytes to its last, and pieces: {spans:?}");
    // Two seconds of video, sent while they are encoded. Were they stored first, they would come in one go.
    let live = spans.iter().filter(|(span, arrivals)| *span > Duration::from_millis(1000) && *arrivals >= 10).count();
    assert!(live >= 3, "{spans:?}");
}

#[test]
fn whoever_asks_is_told_the_same_of_an_upload_in_progress() {
    let origin = Origin::start();
    let ask = |method: &str| Request::new(method, origin.path("live/1.m4s")).bearer(&origin.player).send(origin.address);
    assert_eq!([ask("HEAD").status, ask("PROPFIND").status], [404, 404]);
    let mut writer = Writer::begin(&origin, "live/1.m4s");
    writer.send(b"the first piece");
    drop(Reader::begin(&origin, "live/1.m4s"));
    let found = ask("PROPFIND");
    assert_eq!([ask("HEAD").status, found.status], [200, 207]);
    assert!(found.text().contains("<D:getcontenttype>video/iso.segment</D:getcontenttype>"), "{}", found.text());
    assert!(!found.text().contains("getcontentlength"), "nobody knows it: {}", found.text());
    writer.finish();
    assert!(ask("PROPFIND").text().contains("<D:getcontentlength>15</D:getcontentlength>"));
}

#[test]
fn what_grows_is_guarded_like_what_is_whole() {
    let origin = Origin::start();
    for (key, content_type, guarded) in [
        ("page", "text/html", ["nosniff", "sandbox"]),
        ("any", "application/octet-stream", ["nosniff", ""]),
        ("1.m4s", "text/html", ["", ""]),
    ] {
        let mut writer = Writer::begin_with(&origin, key, &format!("Content-Type: {content_type}\r\n"));
        writer.send(b"<script>alert(1)</script>");
        let names = ["x-content-type-options", "content-security-policy"];
        assert_eq!(names.map(|name| Reader::begin(&origin, key).header(name).to_owned()), guarded, "{key}");
        for (header, value, status) in [("Range", "bytes=0-3", 206), ("If-None-Match", "*", 304)] {
            let request = Request::new("GET", origin.path(key)).bearer(&origin.player).header(header, value);
            let answer = request.send(origin.address);
            assert_eq!((answer.status, names.map(|name| answer.header(name))), (status, guarded), "{key}, {header}");
        }
        writer.finish();
    }
}
