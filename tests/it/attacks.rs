//! One namespace is attacked, in each way that costs more than it sends; beside it another is pushed to and read, and loses nothing.
//!
//! What is held open by an attack is still open when the other namespace's requests have ended, and what goes on is counted: that there is an
//! attack, and that nobody waits for it, is what is asserted, and no clock.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::{Finally, Origin, bytes, eventually};
use crate::wire::{Request, Wire};

/// Segments that are pushed and read beside each attack.
const SEGMENTS: u64 = 6;
/// Requests of a live stream that has so many: to push each, to read it, and to look whether all is there.
const REQUESTS: u64 = SEGMENTS * 7;
/// So many attacks are answered before the live stream begins, and as many while it goes on, at least.
const ATTACKS: u64 = 4;

fn origin() -> (Origin, String) {
    let origin = Origin::start_with_settings(
        "[namespaces.live-origin]\n[namespaces.attacked]\nhot_capacity = \"64MiB\"\ndurable = \"off\"\n[timeouts]\nrequest_head = \"5s\"\n",
    );
    let (key, _) = origin.make_key(&["--namespace", "attacked", "--role", "readwrite"]);
    (origin, key)
}

/// Pushes and reads a stream, and asks whether the server is alive, each on a fresh connection as probes do.
fn live_goes_on(origin: &Origin, attack: &str) {
    let mut player = Wire::open(origin.address);
    for n in 0..SEGMENTS {
        let (name, segment) = (format!("{attack}-{n}.ts"), bytes(n, 100_000));
        let put = |key: &str| Request::new("PUT", origin.path(key)).bearer(&origin.encoder);
        let get = |key: &str| Request::new("GET", origin.path(key)).bearer(&origin.player);
        assert_eq!(put(&name).chunked(segment.clone(), 0x4000).send(origin.address).status, 204, "{attack}");
        let playlist = format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:{n}\n#EXTINF:2,\n{name}\n");
        assert_eq!(put("live.m3u8").body(playlist.clone()).send(origin.address).status, 204, "{attack}");
        assert_eq!(player.ask(&get("live.m3u8")).text(), playlist, "{attack}");
        assert!(player.ask(&get(&name)).body == segment, "{attack}");
        // A name that is nowhere asks what streams expect.
        assert_eq!(player.ask(&get(&format!("{attack}-nowhere"))).status, 404, "{attack}");
        assert_eq!(Request::new("GET", "/livez").send(origin.address).status, 200, "{attack}");
    }
    for n in 0..SEGMENTS {
        assert!(origin.get(&format!("{attack}-{n}.ts")).body == bytes(n, 100_000), "{attack}: still there");
    }
}

fn attacked(key: &str) -> String {
    format!("/cache/attacked/{key}")
}

/// Goes on with an attack from several connections while the other stream goes on, and for as long as that. Returns how many attacks were
/// answered meanwhile, for each request of the stream.
fn beside(origin: &Origin, name: &str, attack: impl Fn(SocketAddr, u64) + Sync) -> f64 {
    let (over, answered) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        let _over = Finally(&over);
        for n in 0..2 {
            let (over, answered, attack) = (&over, &answered, &attack);
            scope.spawn(move || {
                while !over.load(Ordering::SeqCst) {
                    attack(origin.address, n);
                    answered.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        let since = |before: u64| answered.load(Ordering::SeqCst) - before;
        let is_on = eventually(Duration::from_secs(120), || (since(0) >= ATTACKS).then_some(()));
        assert!(is_on.is_some(), "{name}: the attack does not begin");
        let (before, until, mut rounds) = (since(0), Instant::now() + Duration::from_secs(120), 0);
        while rounds == 0 || since(before) < ATTACKS {
            assert!(Instant::now() < until, "{name}: the attack does not go on, {} were answered", since(before));
            live_goes_on(origin, name);
            rounds += 1;
        }
        since(before) as f64 / (rounds * REQUESTS) as f64
    })
}

/// Of what takes much longer than a live stream's requests: each of those waits for less than one of them.
fn dear(origin: &Origin, name: &str, attack: impl Fn(SocketAddr, u64) + Sync) {
    let each = beside(origin, name, attack);
    assert!(each < 1.0, "{name}: {each} attacks for each request of a live stream");
}

#[test]
fn hostile_playlists_and_manifests_harm_nobody_else() {
    let (origin, key) = origin();
    let same = format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n{}", "#EXTINF:2,\na.ts\n".repeat(20_000));
    dear(&origin, "same", |to, n| {
        let put = Request::new("PUT", attacked(&format!("{n}.m3u8"))).bearer(&key).body(same.clone());
        assert_eq!(put.send(to).status, 204);
        // Its windows of the past, and names that are nowhere.
        let window = Request::new("GET", attacked(&format!("{n}.m3u8?last=1h"))).bearer(&key);
        let answer = window.send(to);
        assert!(answer.status < 500 || answer.status == 503, "{answer:?}");
        assert_eq!(Request::new("GET", attacked("nowhere.ts")).bearer(&key).send(to).status, 404);
    });
    let template = format!("m{}-$Number$.m4s", "x".repeat(900));
    let representations: String = (0..4_000).map(|n| format!("<Representation id=\"{n}\" bandwidth=\"1\"/>")).collect();
    let manifest = format!(
        "<MPD type=\"dynamic\" minimumUpdatePeriod=\"PT2S\"><Period><AdaptationSet><SegmentTemplate media=\"{template}\" duration=\"2\" \
         startNumber=\"1\"/>{representations}</AdaptationSet></Period></MPD>"
    );
    dear(&origin, "templates", |to, n| {
        let put = Request::new("PUT", attacked(&format!("{n}.mpd"))).bearer(&key).body(manifest.clone());
        assert_eq!(put.send(to).status, 204);
    });
}

#[test]
fn connections_that_hold_on_to_much_harm_nobody_else() {
    let (origin, key) = origin();
    let authorized = format!("Host: any.example\r\nAuthorization: Bearer {key}\r\n");
    let open = |bytes: &[u8]| {
        let mut wire = Wire::open(origin.address);
        wire.write(bytes);
        wire
    };
    // Uploads that announce much and send nothing.
    let announce =
        |n: u32| format!("PUT {} HTTP/1.1\r\n{authorized}Content-Length: 10000000\r\n\r\n", attacked(&format!("{n}.ts")));
    let announced: Vec<_> = (0..60).map(|n| open(announce(n).as_bytes())).collect();
    live_goes_on(&origin, "announced");
    // Half heads, on both listeners.
    let half: Vec<_> = (0..100)
        .flat_map(|_| {
            let mut admin = Wire::open(origin.admin);
            admin.write("GET /metrics HTTP/1.1\r\nHost: loc");
            [open(b"PUT /cache/attacked/a.ts HTTP/1.1\r\nHo"), admin]
        })
        .collect();
    live_goes_on(&origin, "half");
    // Readers who take nothing of versions that are replaced meanwhile.
    let large = Request::new("PUT", attacked("large.ts")).bearer(&key).body(bytes(1, 8 << 20));
    let mut slow = Vec::new();
    for _ in 0..12 {
        assert_eq!(large.send(origin.address).status, 204);
        slow.push(open(&Request::new("GET", attacked("large.ts")).bearer(&key).to_bytes()));
    }
    live_goes_on(&origin, "slow");
    drop((announced, half, slow));
}

#[test]
fn guesses_at_passwords_harm_nobody_else() {
    let (origin, _) = origin();
    for _ in 0..50 {
        origin.make_key(&["--namespace", "attacked", "--role", "readonly"]);
    }
    let nonce = "n".repeat(20_000);
    let digest = format!(
        "Digest username=\"momento\", realm=\"springhead\", nonce=\"{nonce}\", uri=\"/cache/attacked/a.ts\", response=\"{}\", qop=auth, \
         nc=00000001, cnonce=\"c\"",
        "0".repeat(32)
    );
    beside(&origin, "digest", |to, _| {
        let guess = Request::new("PUT", attacked("a.ts")).header("Authorization", digest.clone()).body("x");
        assert_eq!(guess.send(to).status, 401);
    });
    // And what all of that has written is bounded.
    let lines = origin.log().iter().filter(|line| line["level"] == "WARN").count();
    assert!(lines < 200, "{lines} warnings");
}
