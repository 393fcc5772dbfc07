//! Start, stop and restart.

use std::collections::HashSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::harness::{Origin, bytes, eventually};
use crate::wire::{Request, Wire};

#[test]
fn sigterm_lets_downloads_and_uploads_end_whole() {
    let mut origin = Origin::start();
    let body = bytes(1, 8 << 20);
    origin.store("big.ts", body.clone());
    let (address, path) = (origin.address, origin.path("big.ts"));

    // 50 readers that have their head and wait with the rest; 10 writers in the middle of their bodies.
    let readers: Vec<TcpStream> = (0..50)
        .map(|_| {
            let mut stream = TcpStream::connect(address).unwrap();
            stream.write_all(&Request::new("GET", &*path).bearer(&origin.player).to_bytes()).unwrap();
            stream.read_exact(&mut [0; 12]).unwrap();
            stream
        })
        .collect();
    let upload =
        |n: u64| Request::new("PUT", origin.path(&format!("{n}.ts"))).bearer(&origin.encoder).chunked(bytes(n, 1 << 20), 9999);
    let writers: Vec<(Wire, Vec<u8>)> = (0..10)
        .map(|n| {
            let rest = upload(n).to_bytes();
            let mut wire = Wire::open(address);
            wire.write(&rest[..500_000]);
            (wire, rest[500_000..].to_vec())
        })
        .collect();
    let mut idle = Wire::open(address);
    assert_eq!(idle.ask(&Request::new("GET", "/readyz")).status, 200);
    let in_flight = || origin.metric("springhead_in_flight_bytes");
    assert!(eventually(Duration::from_secs(10), || (in_flight() > 4_900_000.0).then_some(())).is_some(), "all uploads are open");

    origin.signal("TERM");
    origin.wait_for_log("draining: no new connections; requests in flight may end");
    assert!(idle.is_ended(), "idle connections end at once");
    let refused = eventually(Duration::from_secs(5), || TcpStream::connect(address).is_err().then_some(()));
    assert!(refused.is_some(), "no new connections");
    assert_eq!(Request::new("GET", "/readyz").send(origin.admin).status, 503, "and readiness says so");

    let reading: Vec<_> = readers
        .into_iter()
        .map(|mut stream| {
            thread::spawn(move || {
                let mut rest = Vec::new();
                stream.read_to_end(&mut rest).unwrap();
                rest
            })
        })
        .collect();
    for (mut wire, rest) in writers {
        wire.write(rest);
        let answer = wire.answer_to("PUT");
        assert_eq!(answer.status, 204);
        assert_eq!(answer.header("connection"), "close");
    }
    for reader in reading {
        let rest = reader.join().unwrap();
        assert!(rest.ends_with(&body), "a download was cut short at {} bytes", rest.len());
    }
    assert!(origin.wait().success());
    assert!(!origin.log().iter().any(|line| line["message"] == "upload refused"));
}

/// A drain of an hour does not wait for those who wait for what is to come, whatever the playlist states.
#[test]
fn who_waits_for_what_is_to_come_is_told_to_ask_again() {
    let mut origin = Origin::start_with(&["--drain-timeout", "1h"]);
    let head = "#EXTM3U\n#EXT-X-TARGETDURATION:86400\n#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES\n";
    origin.store("p.m3u8", format!("{head}#EXTINF:2,\n0.ts\n"));
    let (address, path) = (origin.address, origin.path("p.m3u8"));
    let readers: Vec<Wire> = (0..20)
        .map(|_| {
            let mut wire = Wire::open(address);
            wire.write(Request::new("GET", format!("{path}?_HLS_msn=1")).bearer(&origin.player).to_bytes());
            wire
        })
        .collect();
    let waiting = eventually(Duration::from_secs(10), || (origin.metric("springhead_held_reads") > 19.5).then_some(()));
    assert!(waiting.is_some());
    origin.signal("TERM");
    for mut reader in readers {
        let answer = reader.answer_to("GET");
        assert_eq!((answer.status, &*answer.problem(), answer.header("retry-after")), (503, "draining", "1"));
        assert!(reader.is_ended());
    }
    assert!(origin.wait().success());
}

/// Load balancers ask now and then: they have to see it before the port closes. A second signal ends the wait.
#[test]
fn for_the_drain_delay_all_goes_on_and_readiness_says_that_it_ends() {
    let mut origin = Origin::start_with(&["--drain-delay", "1h"]);
    let mut kept = Wire::open(origin.address);
    assert_eq!(kept.ask(&Request::new("GET", "/readyz")).status, 200);
    origin.signal("TERM");
    origin.wait_for_log("told to end: /readyz says so, and connections are taken until drain_delay is over");
    for address in [origin.address, origin.admin] {
        assert_eq!(Request::new("GET", "/readyz").send(address).status, 503);
        assert_eq!(Request::new("GET", "/livez").send(address).status, 200);
    }
    assert_eq!(kept.ask(&Request::new("OPTIONS", "*")).status, 503);
    let health = origin.run(&["health", "--listen", &origin.address.to_string()]);
    assert_eq!(health.status.code(), Some(1), "{health:?}");
    let body = bytes(1, 5000);
    origin.store("a.ts", body.clone());
    let answer = kept.ask(&Request::new("GET", origin.path("a.ts")).bearer(&origin.player));
    assert_eq!((answer.status, answer.body), (200, body));
    assert!(!kept.is_ended(), "who is connected stays so");
    origin.signal("TERM");
    origin.wait_for_log("draining: no new connections; requests in flight may end");
    assert!(kept.is_ended());
    assert!(origin.wait().success());
}

/// What only the server's loop knows, or does, is not waited for when that is over.
#[test]
fn orders_to_a_server_that_drains_are_refused_at_once() {
    let mut origin = Origin::start_with(&["--drain-timeout", "1h"]);
    let mut stuck = Wire::open(origin.address);
    let upload = Request::new("PUT", origin.path("a.ts")).bearer(&origin.encoder).chunked(bytes(1, 5000), 1000);
    stuck.write(&upload.to_bytes()[..3000]);
    let is_held = || (origin.metric("springhead_in_flight_bytes") > 1000.0).then_some(());
    assert!(eventually(Duration::from_secs(5), is_held).is_some());
    origin.signal("TERM");
    origin.wait_for_log("draining: no new connections; requests in flight may end");
    for (method, path) in
        [("GET", "/v1/namespaces"), ("GET", "/v1/settings"), ("POST", "/v1/reload"), ("PUT", "/v1/namespaces/late")]
    {
        let order = Request::new(method, path).bearer(&origin.administrator).header("Content-Type", "application/json");
        let answer = if method == "GET" { order } else { order.body("{}") }.send(origin.admin);
        assert_eq!((answer.status, &*answer.problem()), (503, "draining"), "{path}: {}", answer.text());
    }
    origin.signal("HUP");
    origin.wait_for_log("SIGHUP comes too late: nothing is read again, for the server is about to end");
    // The upload goes on all the while.
    stuck.write(&upload.to_bytes()[3000..]);
    assert_eq!(stuck.answer_to("PUT").status, 204);
    assert!(origin.wait().success());
}

#[test]
fn the_drain_delay_ends_by_itself() {
    let mut origin = Origin::start_with(&["--drain-delay", "700ms"]);
    let told = Instant::now();
    origin.signal("INT");
    assert!(origin.wait().success());
    assert!(told.elapsed() >= Duration::from_millis(700));
}

#[test]
fn what_does_not_end_is_cut_off_at_the_drain_timeout() {
    let mut origin = Origin::start_with(&["--drain-timeout", "300ms"]);
    let mut stuck = Wire::open(origin.address);
    stuck.write(
        &Request::new("PUT", origin.path("a.ts")).bearer(&origin.encoder).chunked(bytes(1, 5000), 1000).to_bytes()[..3000],
    );
    assert!(
        eventually(Duration::from_secs(5), || (origin.metric("springhead_in_flight_bytes") > 1000.0).then_some(())).is_some()
    );
    let told = Instant::now();
    origin.signal("INT");
    assert!(origin.wait().success());
    assert!(told.elapsed() < Duration::from_secs(5));
}

/// A bucket's endpoint that lists nothing and takes each object after this time; or that never answers.
struct Endpoint {
    address: SocketAddr,
    taken: Arc<Mutex<HashSet<String>>>,
}

impl Endpoint {
    fn start(delay: Option<Duration>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, taken) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(HashSet::new())));
        let names = Arc::clone(&taken);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let names = Arc::clone(&names);
                thread::spawn(move || Self::answer(&stream, delay, &names));
            }
        });
        Self { address, taken }
    }

    fn answer(stream: &TcpStream, delay: Option<Duration>, names: &Mutex<HashSet<String>>) -> Option<()> {
        let mut reader = BufReader::new(stream);
        loop {
            let mut head = Vec::new();
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line).ok()? == 0 {
                    return None;
                }
                if line == "\r\n" {
                    break;
                }
                head.push(line.trim_end().to_ascii_lowercase());
            }
            let length =
                head.iter().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |text| text.parse().unwrap());
            let mut body = vec![0; length];
            reader.read_exact(&mut body).ok()?;
            let delay = delay.or_else(|| {
                thread::sleep(Duration::from_secs(600));
                None
            })?;
            let answer = if head[0].starts_with("put ") {
                thread::sleep(delay);
                names.lock().insert(head[0].split(' ').nth(1)?.to_owned());
                "HTTP/1.1 200 OK\r\nETag: \"x\"\r\nContent-Length: 0\r\n\r\n".to_owned()
            } else {
                let list = "<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>";
                format!("HTTP/1.1 200 OK\r\nContent-Type: application/xml\r\nContent-Length: {}\r\n\r\n{list}", list.len())
            };
            (&mut &*stream).write_all(answer.as_bytes()).ok()?;
        }
    }
}

/// A server that keeps its objects in a bucket there.
fn over_bucket(endpoint: &str) -> (Origin, tempfile::TempDir) {
    over_bucket_with(endpoint, &[])
}

fn over_bucket_with(endpoint: &str, flags: &[&str]) -> (Origin, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("springhead.toml");
    fs::write(&file, "[namespaces.live-origin]\ndurable = \"s3://bucket/live\"\n").unwrap();
    let environment = [
        ("AWS_ENDPOINT_URL_S3", endpoint),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "springhead"),
        ("AWS_SECRET_ACCESS_KEY", "not-a-secret"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let arguments: Vec<&str> = ["--config", file.to_str().unwrap()].iter().chain(flags).copied().collect();
    (Origin::start_in(&arguments, &environment), folder)
}

#[test]
fn a_dead_bucket_does_not_take_all_of_the_drain_timeout() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let silent = Endpoint::start(None);
    // Nobody there is known after a moment; silence only after its deadline.
    for (address, at_most) in [(nobody, 9), (silent.address, 14)] {
        let begun = Instant::now();
        let (mut origin, _folder) = over_bucket(&format!("http://{address}"));
        assert!(
            begun.elapsed() < Duration::from_secs(3),
            "a start does not wait for what is in the bucket: {:?}",
            begun.elapsed()
        );
        for n in 0..30u64 {
            origin.store(&format!("live/{n}.ts"), bytes(n, 10_000));
        }
        if address == nobody {
            let fails = || (origin.metric("springhead_durable_up") == 0.0).then_some(());
            eventually(Duration::from_secs(20), fails).expect("it is known to fail");
        }
        let told = Instant::now();
        origin.signal("TERM");
        assert_eq!(origin.wait().code(), Some(1), "what was acknowledged is not all there");
        assert!(told.elapsed() < Duration::from_secs(at_most), "it took {:?}", told.elapsed());
        let log = origin.log();
        let lost: Vec<_> =
            log.iter().filter(|line| line["message"].as_str().unwrap_or_default().contains("is not kept")).collect();
        assert_eq!(lost.len(), 1, "{lost:?}");
        assert_eq!((&lost[0]["level"], &lost[0]["objects"], &lost[0]["bytes"]), (&"WARN".into(), &30.into(), &300_000.into()));
    }
}

#[test]
fn a_slow_bucket_is_written_to_as_long_as_it_takes_something() {
    let slow = Endpoint::start(Some(Duration::from_millis(900)));
    let (mut origin, _folder) = over_bucket(&format!("http://{}", slow.address));
    for n in 0..250u64 {
        origin.store(&format!("live/{n}.ts"), bytes(n, 1_000));
    }
    let told = Instant::now();
    origin.signal("TERM");
    assert!(origin.wait().success());
    assert!(told.elapsed() > Duration::from_secs(11), "longer than a dead one is waited for: {:?}", told.elapsed());
    let taken = slow.taken.lock();
    for n in 0..250 {
        assert!(taken.contains(&format!("/bucket/live/live-origin/live/{n}.ts")), "{n} is not there");
    }
    assert!(!origin.log().iter().any(|line| line["message"].as_str().unwrap_or_default().contains("not kept")));
}

/// A client that takes all of the time to drain leaves some for what waits to be written; and where that is too little, the log says how
/// much is lost, and so does the exit status.
#[test]
fn what_waits_is_written_when_a_client_has_taken_all_the_time_and_what_is_not_is_told() {
    for (delay, objects) in [(200, 40), (3_000, 100)] {
        let slow = Endpoint::start(Some(Duration::from_millis(delay)));
        let (mut origin, _folder) = over_bucket_with(&format!("http://{}", slow.address), &["--drain-timeout", "300ms"]);
        let mut stuck = Wire::open(origin.address);
        let upload = Request::new("PUT", origin.path("stuck.ts")).bearer(&origin.encoder).chunked(bytes(1, 5000), 1000);
        stuck.write(&upload.to_bytes()[..3000]);
        for n in 0..objects {
            origin.store(&format!("live/{n}.ts"), bytes(n, 1_000));
        }
        origin.signal("TERM");
        let status = origin.wait().code();
        let held = slow.taken.lock().iter().filter(|name| name.contains("/live/")).count() as u64;
        let log = origin.log();
        let lost: Vec<_> =
            log.iter().filter(|line| line["message"].as_str().unwrap_or_default().contains("is not kept")).collect();
        if delay == 200 {
            assert_eq!((status, held, lost.len()), (Some(0), objects, 0), "{lost:?}");
        } else {
            assert_eq!((status, lost.len()), (Some(1), 1), "{lost:?}");
            let named = lost[0]["objects"].as_u64().unwrap();
            assert!(named > 0 && named + held >= objects, "{named} are told, {held} of {objects} are there");
        }
    }
}

#[test]
fn what_waits_of_a_namespace_that_a_reload_has_removed_is_written_too() {
    let slow = Endpoint::start(Some(Duration::from_millis(200)));
    let (mut origin, folder) = over_bucket(&format!("http://{}", slow.address));
    for n in 0..60u64 {
        origin.store(&format!("live/{n}.ts"), bytes(n, 1_000));
    }
    fs::write(folder.path().join("springhead.toml"), "[namespaces.other]\n").unwrap();
    origin.signal("HUP");
    origin.wait_for_log("settings reloaded");
    origin.signal("TERM");
    assert!(origin.wait().success());
    assert_eq!(slow.taken.lock().len(), 60);
}

#[test]
fn a_restart_is_quick_and_keeps_its_keys_and_objects() {
    let mut origin = Origin::start();
    origin.store("a.ts", "kept");
    origin.stop();
    let begun = Instant::now();
    origin.launch();
    let ready = eventually(Duration::from_secs(5), || {
        (Request::new("GET", "/readyz").send(origin.address).status == 200).then_some(begun.elapsed())
    });
    assert!(ready.unwrap() < Duration::from_secs(1), "{ready:?}");
    origin.store("b.ts", "with the same key");
    assert_eq!(origin.get("a.ts").text(), "kept");
    assert_eq!(origin.stdout(), "", "keys are shown once");
}

#[test]
fn the_first_start_says_what_to_paste_where() {
    let origin = Origin::start();
    let said = eventually(Duration::from_secs(5), || {
        let text = origin.stdout();
        text.contains("curl").then_some(text)
    })
    .unwrap();
    for part in [
        "Destination URL",
        "/cache/live-origin/playlist.m3u8?ttl_seconds=3600&role=origin",
        "User name          momento",
        "for the namespace live-origin",
        "Password           (api_key in ",
        "HLS Akamai",
        "Origin domain",
        "Origin path        /cache/live-origin",
        "Authorization: (api_key in ",
        "ffmpeg -re",
        &*format!("curl \"http://127.0.0.1:{}/cache/live-origin/playlist.m3u8?token=$PLAYER_KEY\"", origin.address.port()),
        "springhead keys create",
    ] {
        assert!(said.contains(part), "{part} is missing in\n{said}");
    }
    let file = std::fs::read_to_string(origin.data_dir().join("encoder_api_key.json")).unwrap();
    let key: serde_json::Value = serde_json::from_str(&file).unwrap();
    let ends = key["expires_at"].as_str().unwrap().split_once('T').unwrap().0;
    assert!(said.contains(&format!("They end on {ends}")), "{said}");
    // What is no terminal is kept as a log, and no key is for logs.
    for secret in [&*origin.encoder, &*origin.player, &*origin.administrator, key["ingest_password"].as_str().unwrap()] {
        assert!(!said.contains(secret), "a key stands in\n{said}");
    }
    // What is to be pasted works: also where viewers need tokens, which the player's key does not stand in for.
    let required = Origin::start_with_settings("[namespaces.live-origin.viewers]\nmode = \"required\"\n");
    let of_required =
        eventually(Duration::from_secs(5), || Some(required.stdout()).filter(|text| text.contains("curl"))).unwrap();
    assert!(of_required.contains("springhead token viewer") && !said.contains("springhead token viewer"), "{of_required}");
    for (origin, said) in [(&origin, &said), (&required, &of_required)] {
        origin.store("playlist.m3u8", "#EXTM3U\n");
        let commands: Vec<_> = said
            .lines()
            .map(str::trim)
            .filter(|line| ["ENCODER_KEY=", "PLAYER_KEY=", "curl "].iter().any(|w| line.starts_with(w)))
            .collect();
        let pasted = std::process::Command::new("bash").arg("-c").arg(commands.join("\n")).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&pasted.stdout), "#EXTM3U\n", "{commands:?}");
    }
    use std::os::unix::fs::PermissionsExt as _;
    for name in ["signing.key", "encoder_api_key.json", "player_api_key.json"] {
        let mode = std::fs::metadata(origin.data_dir().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name} is for its owner alone");
    }
}

#[test]
fn a_person_at_a_terminal_is_shown_the_keys_once() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    // Runs the server on a terminal until it has said all, and prints what it said there.
    let person = r#"
import os, pty, re, select, signal, subprocess, sys
ours, theirs = pty.openpty()
server = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=theirs, stderr=subprocess.DEVNULL)
os.close(theirs)
said = b""
while b"token=" not in said.split(b"See what arrived")[-1] or b"See what arrived" not in said:
    if not select.select([ours], [], [], 20)[0]: break
    said += os.read(ours, 65536)
server.send_signal(signal.SIGTERM); server.wait(20)
sys.stdout.buffer.write(said)
"#;
    let mut command = crate::programs::program("python3");
    command.args(["-c", person, crate::harness::BINARY, "serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
    let output = command.args(["--namespace", "a", "--namespace", "b", "--data-dir"]).arg(&data).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("for all 2 namespaces (a, b)"), "{said}");
    for (name, fields) in [("encoder", &["api_key", "ingest_user", "ingest_password"][..]), ("player", &["api_key"])] {
        let file = std::fs::read_to_string(data.join(format!("{name}_api_key.json"))).unwrap();
        let key: serde_json::Value = serde_json::from_str(&file).unwrap();
        for field in fields {
            assert!(said.contains(key[*field].as_str().unwrap()), "{name}'s {field} is missing in\n{said}");
        }
    }
}
