//! Fixed work, to be counted in instructions: `benches/instructions` runs this under callgrind, and says more.
//!
//! `instructions CASE COUNT` does the work COUNT times. The request path is the whole of it: a socket, the connection, the
//! layers, the key, the origin, the store, and back, on one thread. The client is another thread that does as little as a client
//! can.

#![expect(clippy::unwrap_used, reason = "a bench that meets the unexpected ends there")]
#![expect(clippy::print_stdout, reason = "without arguments it says how it is meant to be called")]

use std::hint::black_box;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use springhead::auth::grant::{Role, Scope};
use springhead::auth::key::{KeyRing, KeySpec};
use springhead::auth::secret::Secret;
use springhead::auth::signing::SigningKey;
use springhead::auth::verify::Verifier;
use springhead::auth::viewer::{self, ViewerKeys, ViewerSpec};
use springhead::metrics::Metrics;
use springhead::model::clock::{Clock, WallTime};
use springhead::model::id::{Key, Namespace};
use springhead::model::kind::Kind;
use springhead::model::meta::{self, Meta};
use springhead::origin::Origin;
use springhead::origin::policy::{NamespacePolicy, PairPolicy, ViewerMode};
use springhead::store::{Body, HotNamespace, OVERHEAD, Store};
use springhead::web::{ConnectionLimits, Limits, Timeouts, Web};
use tokio_util::sync::CancellationToken;

/// Every case by its name in `benches/instructions.toml`.
/// A piece of work, by name; it is done this many times.
type Case = (&'static str, fn(u32));

const CASES: [Case; 17] = [
    ("store_get", store_get),
    ("store_put_over_another", store_put_over_another),
    ("store_put_and_evict", store_put_and_evict),
    ("key_cold", key_cold),
    ("key_warm", key_warm),
    ("viewer_token", viewer_token),
    ("get_segment_by_token", |count| over_http(count, &[BY_TOKEN], &[])),
    ("get_segment_of_pair", |count| over_http(count, &[OF_PAIR], &[])),
    ("get_playlist", |count| over_http(count, &[GET_PLAYLIST], &[])),
    ("get_segment", |count| over_http(count, &[GET_SEGMENT], &[])),
    ("get_not_modified", |count| over_http(count, &[GET_PLAYLIST, "If-None-Match: *\r\n"], &[])),
    ("get_absent", |count| over_http(count, &["GET /cache/live-origin/show/none.ts HTTP/1.1\r\n"], &[])),
    ("put_playlist", |count| over_http(count, &["PUT /cache/live-origin/show/b.m3u8 HTTP/1.1\r\n"], &playlist())),
    ("put_segment", |count| over_http(count, &["PUT /cache/live-origin/show/b.ts HTTP/1.1\r\n"], &[7; SEGMENT])),
    ("put_segment_ts", |count| over_http(count, &["PUT /cache/live-origin/show/b.ts HTTP/1.1\r\n"], &transport_stream())),
    ("put_segment_fmp4", |count| over_http(count, &["PUT /cache/live-origin/show/b.m4s HTTP/1.1\r\n"], &fragment())),
    ("put_segment_chunked", |count| over_http(count, &["PUT /cache/live-origin/show/b.ts HTTP/1.1\r\n", CHUNKED], &[7; SEGMENT])),
];

const GET_PLAYLIST: &str = "GET /cache/live-origin/show/a.m3u8 HTTP/1.1\r\n";
const GET_SEGMENT: &str = "GET /cache/live-origin/show/a.ts HTTP/1.1\r\n";
/// The token is put in.
const BY_TOKEN: &str = "GET /cache/live-origin/~TOKEN/show/a.ts HTTP/1.1\r\n";
/// Below a prefix whose objects are those of two sources; the tag is put in.
const OF_PAIR: &str = "GET /cache/live-origin/live/a~TAG.ts HTTP/1.1\r\n";
const CHUNKED: &str = "Transfer-Encoding: chunked\r\n";
/// What fits into a loopback socket's buffers at once, so that the number of reads and writes is the same in each run.
const SEGMENT: usize = 64 << 10;
const OBJECTS: u32 = 1_000;
const TTL: Duration = Duration::from_secs(3_600);

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [name, count] = words.as_slice() else {
        println!("call benches/instructions: it counts what these cost, and compares with what is written down:");
        for (name, _) in CASES {
            println!("{name}");
        }
        return;
    };
    let (_, case) = CASES.iter().find(|(known, _)| known == name).unwrap();
    case(count.parse().unwrap());
}

/// Transport packets as a segment's are: tables, then a picture in each 20 packets.
fn transport_stream() -> Vec<u8> {
    const PAT: [u8; 17] = [0, 0, 0xb0, 13, 0, 1, 0xc1, 0, 0, 0, 1, 0xf0, 0, 0, 0, 0, 0];
    const PMT: [u8; 22] = [0, 2, 0xb0, 18, 0, 1, 0xc1, 0, 0, 0xe1, 0, 0xf0, 0, 0x1b, 0xe1, 0, 0xf0, 0, 0, 0, 0, 0];
    const PICTURE: [u8; 19] = [0, 0, 1, 0xe0, 0, 0, 0x80, 0x80, 5, 0x21, 0, 1, 0, 1, 0, 0, 0, 1, 0x65];
    let packet = |begins: bool, pid: u16, counter: usize, payload: &[u8]| {
        let [high, low] = pid.to_be_bytes();
        let mut packet = vec![0x47, high | if begins { 0x40 } else { 0 }, low, 0x10 | u8::try_from(counter % 16).unwrap()];
        packet.extend(payload);
        packet.resize(188, 0xa5);
        packet
    };
    let tables = [packet(true, 0, 0, &PAT), packet(true, 0x1000, 0, &PMT)].concat();
    let media = (0..SEGMENT / 188 - 2).flat_map(|n| packet(n % 20 == 0, 0x100, n, if n % 20 == 0 { &PICTURE } else { &[] }));
    tables.into_iter().chain(media).collect()
}

/// A fragment of 50 pictures, and their bytes.
fn fragment() -> Vec<u8> {
    let boxed = |kind: &str, content: &[u8]| {
        let length = u32::try_from(content.len() + 8).unwrap().to_be_bytes();
        [&length, kind.as_bytes(), content].concat()
    };
    let words = |words: &[u32]| words.iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<u8>>();
    // ISO/IEC 14496-12 8.8.8: the offset of the data, and of each its length in time and in bytes.
    let samples = (0..50).flat_map(|_| [3_600, 1_200]);
    let run = words(&[0x301, 50, 0].into_iter().chain(samples).collect::<Vec<u32>>());
    let times = [boxed("tfhd", &words(&[0x2_0000, 1])), boxed("tfdt", &words(&[0, 180_000])), boxed("trun", &run)].concat();
    let moof = boxed("moof", &[boxed("mfhd", &words(&[0, 7])), boxed("traf", &times)].concat());
    let media = boxed("mdat", &vec![7; SEGMENT - moof.len() - 8]);
    [moof, media].concat()
}

fn playlist() -> Vec<u8> {
    let mut text = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:1234\n".to_owned();
    for number in 1234..1274 {
        text += &format!("#EXTINF:2.000000,\nplaylist_720p30_{number:08}.ts\n");
    }
    text.into_bytes()
}

fn key(number: u32) -> Key {
    Key::parse(&format!("show/playlist_720p30_{number:08}.ts")).unwrap()
}

fn hot(capacity: u64) -> Arc<HotNamespace> {
    let metrics = Metrics::new();
    let namespace = metrics.namespace(&Namespace::parse("bench").unwrap());
    let hot = Store::new(1 << 30, Clock::system(), &metrics).open(capacity, namespace);
    for number in 0..OBJECTS {
        put(&hot, number);
    }
    hot
}

fn put(hot: &Arc<HotNamespace>, number: u32) {
    let mut upload = hot.create(&key(number), Some(64), hot.stamp()).unwrap();
    upload.write(Bytes::from_static(&[7; 64])).unwrap();
    let body = upload.body();
    let meta = Meta::plain(Kind::Segment, HeaderValue::from_static("x"), hot.clock(), TTL);
    upload.publish(body, meta, hot.clock().now(), |_| true).unwrap();
}

fn store_get(count: u32) {
    let hot = hot(u64::MAX);
    for number in 0..count {
        black_box(hot.get(&key(number % OBJECTS)));
    }
}

fn store_put_over_another(count: u32) {
    let hot = hot(u64::MAX);
    for number in 0..count {
        put(&hot, number % OBJECTS);
    }
}

fn store_put_and_evict(count: u32) {
    // Full to the brim: each new object pushes out the oldest.
    let hot = hot(u64::from(OBJECTS) * (OVERHEAD + 64 + 32));
    for number in 0..count {
        put(&hot, OBJECTS + number);
    }
}

/// A verifier, and a key that it takes.
fn keys() -> (Verifier, Secret<'static>) {
    let clock = Clock::system();
    let signer = [SigningKey::generate()];
    let ring = KeyRing::new(&signer).unwrap();
    let expires = Some(WallTime::from_millis((clock.wall().seconds() + 3_600) * 1_000));
    let spec =
        KeySpec { role: Role::Readwrite, scope: Scope::parse(["live-origin"]).unwrap(), prefix: None, is_edge: false, expires };
    let token = ring.issue(&spec, clock.wall()).unwrap().token;
    (Verifier::new(ring, clock), token)
}

fn key_cold(count: u32) {
    let signer = [SigningKey::generate()];
    let ring = KeyRing::new(&signer).unwrap();
    let clock = Clock::system();
    let spec = KeySpec {
        role: Role::Readonly,
        scope: Scope::parse(["live-origin"]).unwrap(),
        prefix: None,
        is_edge: false,
        expires: None,
    };
    let token = ring.issue(&spec, clock.wall()).unwrap().token;
    for _ in 0..count {
        black_box(ring.open(&token)).unwrap();
    }
}

fn key_warm(count: u32) {
    let (verifier, token) = keys();
    for _ in 0..count {
        black_box(verifier.verify(&token)).unwrap();
    }
}

/// Viewer keys, and a token as back ends have them made.
fn viewer() -> (ViewerKeys, Secret<'static>) {
    let keys = ViewerKeys::new(&[SigningKey::generate()]);
    let spec = ViewerSpec {
        namespace: Namespace::parse("live-origin").unwrap(),
        base: "/cache/live-origin/".to_owned(),
        prefix: "show/".to_owned(),
        exact_prefix: false,
        life: None,
        most: Duration::from_secs(86_400),
        id: None,
        subject: None,
        methods: None,
        addresses: None,
        countries: None,
        renewal: None,
    };
    let token = viewer::seal(&keys, &spec.claims(Clock::system().wall()).unwrap()).unwrap();
    (keys, token)
}

fn viewer_token(count: u32) {
    let (keys, token) = viewer();
    for _ in 0..count {
        black_box(viewer::open(&keys, &token)).unwrap();
    }
}

/// Sends a request `count` times, one after the other, to a server on this thread.
fn over_http(count: u32, head: &[&str], body: &[u8]) {
    let (verifier, token) = keys();
    let metrics = Arc::new(Metrics::new());
    let mut policy = NamespacePolicy::default();
    let by_token = head.contains(&BY_TOKEN);
    policy.viewers.mode = if by_token { ViewerMode::Required } else { ViewerMode::Off };
    if head.contains(&OF_PAIR) {
        let sources = vec!["other/".to_owned(), "show/".to_owned()];
        policy.pairs = vec![PairPolicy { public: "live/".to_owned(), sources, ..PairPolicy::default() }];
    }
    let namespaces = [(Namespace::parse("live-origin").unwrap(), policy)];
    let origin = Origin::new(namespaces, 512 << 20, Clock::system(), &metrics);
    let limits = Limits {
        timeouts: Timeouts::default(),
        drain: Duration::from_secs(1),
        connections: ConnectionLimits { total: 16, per_address: 16 },
    };
    let web = Web::new(origin, Arc::new(verifier), metrics, limits, None);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let authorization = format!("Host: localhost\r\nAuthorization: Bearer {}\r\n", token.expose());
    let (viewer_keys, viewer_token) = viewer();
    web.viewers().replace_keys(viewer_keys);
    let credential = if by_token { "Host: localhost\r\n" } else { &authorization };
    let mut request = request(&[head, &[credential]].concat(), body);
    for (what, word) in [(BY_TOKEN, ("TOKEN", viewer_token.expose())), (OF_PAIR, ("TAG", &*tag(&[7; SEGMENT])))] {
        if head.contains(&what) {
            request = String::from_utf8(request).unwrap().replace(word.0, word.1).into_bytes();
        }
    }
    let seeds =
        [request_for_seed("a.m3u8", &authorization, &playlist()), request_for_seed("a.ts", &authorization, &[7; SEGMENT])];
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let (sender, done) = tokio::sync::oneshot::channel();
        let client = std::thread::spawn(move || {
            for seed in seeds {
                ask(address, &seed, 1);
            }
            ask(address, &request, count);
            let _ = sender.send(());
        });
        let serving = tokio::spawn(web.serve(listener, None, stop.clone()));
        done.await.unwrap();
        stop.cancel();
        serving.await.unwrap();
        client.join().unwrap();
    });
}

/// What names in public playlists have of an object's entity tag.
fn tag(body: &[u8]) -> String {
    meta::etag(Body::new(body.to_vec()).hash)[1..9].to_owned()
}

fn request_for_seed(name: &str, authorization: &str, body: &[u8]) -> Vec<u8> {
    request(&[&format!("PUT /cache/live-origin/show/{name} HTTP/1.1\r\n"), authorization], body)
}

fn request(head: &[&str], body: &[u8]) -> Vec<u8> {
    let mut text = head.concat();
    let mut all = Vec::new();
    if text.contains(CHUNKED) {
        for piece in body.chunks(8 << 10) {
            all.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
            all.extend_from_slice(piece);
            all.extend_from_slice(b"\r\n");
        }
        all.extend_from_slice(b"0\r\n\r\n");
    } else {
        if !body.is_empty() {
            text += &format!("Content-Length: {}\r\n", body.len());
        }
        all.extend_from_slice(body);
    }
    [text.as_bytes(), b"\r\n", &all].concat()
}

/// A client that knows the length of every answer from the first one.
fn ask(address: SocketAddr, request: &[u8], count: u32) {
    let mut stream = TcpStream::connect(address).unwrap();
    let mut space = vec![0; 1 << 20];
    let mut length = 0;
    for number in 0..count {
        stream.write_all(request).unwrap();
        if number == 0 {
            length = first_answer(&mut stream, &mut space);
        } else {
            stream.read_exact(&mut space[..length]).unwrap();
        }
    }
}

/// Reads an answer and hands back how long it is, head and body.
fn first_answer(stream: &mut TcpStream, space: &mut [u8]) -> usize {
    let mut got = 0;
    loop {
        got += stream.read(&mut space[got..]).unwrap();
        let text = String::from_utf8_lossy(&space[..got.min(4096)]).into_owned();
        let Some(end) = text.find("\r\n\r\n") else { continue };
        let status: u32 = text[9..12].parse().unwrap();
        assert!([200, 204, 304, 404].contains(&status), "{text}");
        let body = text
            .to_ascii_lowercase()
            .split_once("content-length: ")
            .map_or(0, |(_, rest)| if status == 304 { 0 } else { rest.split("\r\n").next().unwrap().parse().unwrap() });
        let length = end + 4 + body;
        if got < length {
            stream.read_exact(&mut space[got..length]).unwrap();
        }
        return length;
    }
}
