//! slowhttptest holds hundreds of connections open, in all its three ways at once, while a live stream is pushed and read: every
//! one of its uploads and reads succeeds, and in time.

use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::{Origin, bytes, eventually};
use crate::programs::{assert_is_here, limited};
use crate::wire::{Request, Wire};

/// How long the stream's requests may take while the server is under attack, on a machine with other things to do.
const IN_TIME: Duration = Duration::from_secs(15);
const ATTACK_SECONDS: &str = "9";

/// One way of being slow, until it ends by itself. It asks for a page of its own meanwhile, and says whether that came.
fn attack(origin: &Origin, mode: &[&str], key: &str, name: &str) -> String {
    let url = format!("http://{}{}?token={key}", origin.address, origin.path(name));
    assert_is_here("slowhttptest");
    // It spins while it waits: the real encoders of other tests come first.
    let output = limited(60, "nice")
        .args(["-n", "19", "slowhttptest"])
        .args(["-c", "200", "-r", "200", "-l", ATTACK_SECONDS, "-p", "3", "-u", &url])
        .args(mode)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("service available"), "slowhttptest fails: {output:?}");
    said
}

/// Asks on a kept connection, and looks at the clock.
fn in_time(wire: &mut Wire, request: &Request, status: u16) -> Vec<u8> {
    let begun = Instant::now();
    let answer = wire.ask(request);
    assert_eq!(answer.status, status, "{answer:?}");
    assert!(begun.elapsed() < IN_TIME, "an answer took {:?}", begun.elapsed());
    answer.body
}

#[test]
fn slow_clients_harm_nobody_else() {
    let origin =
        Origin::start_with_settings("[namespaces.live-origin]\n[timeouts]\nrequest_head = \"2s\"\ndownload_idle = \"2s\"\n");
    origin.store("large.ts", bytes(1, 5 << 20));
    let (over, newest) = (AtomicBool::new(false), AtomicU64::new(0));
    let most = AtomicU64::new(0);
    let segment = |n: u64| bytes(n, 100_000);
    let (said, pushed, read) = thread::scope(|scope| {
        let over = &over;
        let encoder = scope.spawn(|| {
            let mut wire = Wire::open(origin.address);
            let mut n = 0;
            while !over.load(Ordering::SeqCst) {
                n += 1;
                let put = |key: &str| Request::new("PUT", origin.path(key)).bearer(&origin.encoder);
                in_time(&mut wire, &put(&format!("{n}.ts")).chunked(segment(n), 0x4000), 204);
                in_time(&mut wire, &put("live.m3u8").body(format!("#EXTM3U\n#EXTINF:2,\n{n}.ts\n")), 204);
                newest.store(n, Ordering::SeqCst);
                thread::sleep(Duration::from_millis(50));
            }
            n
        });
        let player = scope.spawn(|| {
            let mut wire = Wire::open(origin.address);
            let mut reads = 0u64;
            while !over.load(Ordering::SeqCst) {
                let n = newest.load(Ordering::SeqCst);
                if n > 0 {
                    let get = |key: &str| Request::new("GET", origin.path(key)).bearer(&origin.player);
                    let playlist = String::from_utf8(in_time(&mut wire, &get("live.m3u8"), 200)).unwrap();
                    let listed: u64 = playlist.lines().last().unwrap().trim_end_matches(".ts").parse().unwrap();
                    assert!(listed >= n, "the playlist is the newest one");
                    assert!(in_time(&mut wire, &get(&format!("{listed}.ts")), 200) == segment(listed));
                    reads += 1;
                }
                thread::sleep(Duration::from_millis(20));
            }
            reads
        });
        let watcher = scope.spawn(|| {
            while !over.load(Ordering::SeqCst) {
                let open = origin.metric("springhead_connections") as u64;
                most.fetch_max(open, Ordering::SeqCst);
                thread::sleep(Duration::from_millis(100));
            }
        });
        let attacks = [
            ("slow headers", &["-H", "-i", "1", "-t", "GET"][..], &origin.player, "live.m3u8"),
            ("slow body", &["-B", "-i", "1", "-s", "100000", "-t", "PUT"], &origin.encoder, "slow.ts"),
            ("slow read", &["-X", "-n", "1", "-w", "16", "-y", "64", "-z", "8"], &origin.player, "large.ts"),
        ]
        .map(|(what, mode, key, name)| (what, scope.spawn(|| attack(&origin, mode, key, name))));
        let said = attacks.map(|(what, attack)| (what, attack.join()));
        over.store(true, Ordering::SeqCst);
        watcher.join().unwrap();
        (said, encoder.join().unwrap(), player.join().unwrap())
    });
    for (what, said) in said {
        let said = said.unwrap();
        let verdict = said.rsplit("service available").next().unwrap();
        assert!(verdict.lines().next().unwrap().contains("YES"), "{what}: {said}");
    }
    let most = most.load(Ordering::SeqCst);
    assert!(most >= 100, "there was an attack: {most} connections at most");
    assert!(pushed >= 20 && read >= 20, "{pushed} segments were pushed and {read} read");
    // And nothing of it is left: neither connections nor the bytes of uploads that never end.
    let gone = eventually(Duration::from_secs(10), || {
        let uploading = origin.metric("springhead_hot_uploading_bytes{namespace=\"live-origin\"}");
        (origin.metric("springhead_connections") < 5.0 && uploading == 0.0).then_some(())
    });
    assert!(gone.is_some(), "{}", origin.metrics());
    assert_eq!(origin.get("slow.ts").status, 404);
}
