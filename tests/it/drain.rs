//! Start, stop and restart.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

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
        &*format!("Password           {}", origin.encoder),
        "HLS Akamai",
        "Origin domain",
        "Origin path        /cache/live-origin",
        &*format!("Authorization: {}", origin.player),
        "ffmpeg -re",
        &*format!("curl \"http://127.0.0.1:{}/cache/live-origin/playlist.m3u8?token={}\"", origin.address.port(), origin.player),
    ] {
        assert!(said.contains(part), "{part} is missing in\n{said}");
    }
    use std::os::unix::fs::PermissionsExt as _;
    for name in ["signing.key", "encoder_api_key.json", "player_api_key.json"] {
        let mode = std::fs::metadata(origin.data_dir().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name} is for its owner alone");
    }
}
