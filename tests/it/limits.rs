//! Floods: too many connections, too many requests, too many bytes.

use std::thread;
use std::time::{Duration, Instant};

use crate::harness::{Origin, bytes, eventually};
use crate::wire::{Request, Wire};

#[test]
fn one_connection_too_many_is_told_so_and_the_others_go_on() {
    for (limit, label) in [("total = 5", "total"), ("per_address = 5", "address")] {
        let origin = Origin::start_with_settings(&format!("[connections]\n{limit}\n[namespaces.live-origin]\n"));
        let ready = Request::new("GET", "/readyz");
        let mut open: Vec<Wire> = (0..5).map(|_| Wire::open(origin.address)).collect();
        for wire in &mut open {
            assert_eq!(wire.ask(&ready).status, 200);
        }
        let mut refused = Wire::open(origin.address);
        let answer = refused.answer_to("GET");
        assert_eq!((answer.status, answer.header("retry-after"), answer.header("connection")), (503, "1", "close"));
        assert!(refused.is_ended());
        for wire in &mut open {
            assert_eq!(wire.ask(&ready).status, 200);
        }
        let series = format!("springhead_connections_refused_total{{limit=\"{label}\"}}");
        assert!((origin.metric(&series) - 1.0).abs() < f64::EPSILON);
        drop(open.pop());
        let again = eventually(Duration::from_secs(5), || {
            Wire::open(origin.address).try_answer_to_sent(&ready).filter(|answer| answer.status == 200)
        });
        assert!(again.is_some(), "there is a place again");
    }
}

#[test]
fn reads_over_their_rate_wait_and_never_hold_up_writes() {
    let origin = Origin::start_with_settings("[namespaces.live-origin]\nread_requests_per_second = \"2\"\n");
    origin.store("a.ts", "media");
    let mut wire = Wire::open(origin.address);
    let get = Request::new("GET", origin.path("a.ts")).bearer(&origin.player);
    let answers: Vec<_> = (0..200).map(|_| wire.ask(&get)).collect();
    let served = answers.iter().filter(|answer| answer.status == 200).count();
    assert!((60..=80).contains(&served), "a burst of half a minute: {served}");
    let refused = answers.last().unwrap();
    assert_eq!((refused.status, &*refused.problem()), (503, "rate-limited"));
    assert!(refused.header("retry-after").parse::<u64>().unwrap() >= 1);
    for n in 0..50u64 {
        origin.store(&format!("{n}.ts"), bytes(n, 10_000));
    }
    let limited = origin.metric("springhead_rate_limited_total{namespace=\"live-origin\",direction=\"read\"}");
    assert!(limited >= 120.0, "{limited}");
}

#[test]
fn of_reads_the_live_edge_goes_first() {
    let origin = Origin::start_with_settings("[namespaces.live-origin]\nread_requests_per_second = \"2\"\n");
    origin.store("a.m3u8", "#EXTM3U\n");
    let mut wire = Wire::open(origin.address);
    let mut ask = |key: &str| wire.ask(&Request::new("GET", origin.path(key)).bearer(&origin.player)).status;
    // Misses are no live edge: they may take one half of the burst.
    let misses: Vec<u16> = (0..100).map(|_| ask("none.ts")).collect();
    assert!(misses.iter().filter(|status| **status == 404).count() <= 40, "{misses:?}");
    assert_eq!(misses.last(), Some(&503));
    assert!((0..20).all(|_| ask("a.m3u8") == 200), "the other half is there for those who watch");
}

#[test]
fn writes_over_their_rate_are_told_to_come_back() {
    let origin = Origin::start_with_settings("[namespaces.live-origin]\nwrite_bytes_per_second = \"10KiB\"\n");
    let put = |chunked: bool| {
        let request = Request::new("PUT", origin.path("a.ts")).bearer(&origin.encoder);
        let request = if chunked { request.chunked(bytes(1, 100 << 10), 5000) } else { request.body(bytes(1, 100 << 10)) };
        request.send(origin.address)
    };
    // A burst of 300 KiB; the fourth upload may still overdraw it.
    let answers: Vec<u16> = [true, false, true, false, true, false].map(|chunked| put(chunked).status).to_vec();
    assert_eq!(answers[..3], [204; 3]);
    assert_eq!(answers[4..], [503; 2], "{answers:?}");
    assert_eq!(put(false).problem(), "rate-limited");
    assert_eq!(origin.get("a.ts").status, 200, "reads have a rate of their own");
}

#[test]
fn what_is_refused_or_does_not_come_uses_up_no_rate() {
    let origin = Origin::start_with_settings("[namespaces.live-origin]\nwrite_bytes_per_second = \"10KiB\"\n");
    let head = |length: u64, more: &str| {
        let head = Request::new("PUT", origin.path("a.ts")).bearer(&origin.encoder).as_text();
        head.replace("Content-Length: 0\r\n", &format!("Content-Length: {length}\r\n{more}"))
    };
    for (length, more, status) in
        [(1_000_000_000_000_000_000, "", 413), (20 << 20, "", 413), (10 << 20, "If-Match: \"none\"\r\n", 412)]
    {
        for _ in 0..20 {
            let answer = Wire::open(origin.address).write(head(length, more)).answer_to("PUT");
            assert_eq!(answer.status, status, "{length} {more}");
        }
    }
    // One that announces more than a burst's worth and goes.
    for n in 1..4 {
        Wire::open(origin.address).write(head(10 << 20, "")).write(b"some");
        let told =
            || (origin.metric("springhead_upload_refusals_total{reason=\"incomplete-body\"}") >= f64::from(n)).then_some(());
        assert!(eventually(Duration::from_secs(10), told).is_some());
    }
    let put = Request::new("PUT", origin.path("a.ts")).bearer(&origin.encoder).body(bytes(1, 200 << 10));
    assert_eq!(put.send(origin.address).status, 204);
}

#[test]
fn a_read_costs_what_is_sent() {
    // A burst of 3 MB, of an object of 10 MiB.
    let origin = Origin::start_with_settings("[namespaces.live-origin]\nread_bytes_per_second = \"100KB\"\n");
    origin.store("a.ts", bytes(1, 10 << 20));
    let mut wire = Wire::open(origin.address);
    let tag = wire.ask(&Request::new("HEAD", origin.path("a.ts")).bearer(&origin.player)).header("etag").to_owned();
    for n in 0..50 {
        let get = || Request::new("GET", origin.path("a.ts")).bearer(&origin.player);
        let asked = [
            (Request::new("HEAD", origin.path("a.ts")).bearer(&origin.player), 200),
            (get().header("Range", format!("bytes={}-{}", n * 1000, n * 1000 + 999)), 206),
            (get().header("Range", "bytes=0-999").header("If-Range", &*tag), 206),
            (get().header("Range", "bytes=99999999-"), 416),
            (get().header("If-None-Match", &*tag), 304),
            (get().header("If-Match", "\"none\""), 412),
        ];
        for (request, status) in asked {
            assert_eq!(wire.ask(&request).status, status, "{n}");
        }
    }
    // All of it, whether it was asked for on a condition or not, and the next one waits.
    let all = Request::new("GET", origin.path("a.ts")).bearer(&origin.player).header("If-None-Match", "\"other\"");
    assert_eq!((wire.ask(&all).status, wire.ask(&all).status), (200, 503));
}

#[test]
fn an_upload_that_trickles_is_ended_and_one_that_grows_in_real_time_is_not() {
    let settings = "[timeouts]\nupload_idle = \"2s\"\nupload_total = \"4s\"\n[namespaces.live-origin]\n";
    let origin = Origin::start_with_settings(settings);
    origin.store("a.ts", "the old version");
    let uploading = || origin.metric("springhead_hot_uploading_bytes{namespace=\"live-origin\"}");
    for length in ["Content-Length: 10000\r\n", "Transfer-Encoding: chunked\r\n"] {
        let head = Request::new("PUT", origin.path("a.ts")).bearer(&origin.encoder).as_text();
        let mut wire = Wire::open(origin.address);
        wire.write(head.replace("Content-Length: 0\r\n", length));
        let begun = Instant::now();
        let piece: &[u8] = if length.starts_with('T') { b"1\r\nx\r\n" } else { b"x" };
        while begun.elapsed() < Duration::from_millis(4500) && wire.try_write(piece) {
            thread::sleep(Duration::from_millis(300));
        }
        let answer = wire.answer_to("PUT");
        assert_eq!((answer.status, &*answer.problem(), answer.header("connection")), (408, "slow-body", "close"));
        assert!(eventually(Duration::from_secs(5), || (uploading() == 0.0).then_some(())).is_some(), "its bytes are free again");
    }
    assert_eq!(origin.get("a.ts").text(), "the old version");
    assert_eq!(origin.refusals().len(), 2);
    let refused = origin.metric("springhead_upload_refusals_total{reason=\"slow-body\"}");
    assert!((refused - 2.0).abs() < f64::EPSILON, "{refused}");

    // 24 kbit/s of audio, in real time, for as long as a segment of it lasts.
    let mut wire = Wire::open(origin.address);
    let head = Request::new("PUT", origin.path("a.aac")).bearer(&origin.encoder).as_text();
    wire.write(head.replace("Content-Length: 0\r\n", "Transfer-Encoding: chunked\r\n"));
    for _ in 0..3 {
        wire.write(b"bb8\r\n").write(bytes(1, 3000)).write(b"\r\n");
        thread::sleep(Duration::from_secs(1));
    }
    assert_eq!(wire.write(b"0\r\n\r\n").answer_to("PUT").status, 204);
}

#[test]
fn a_silent_crowd_does_not_lock_the_admin_listener() {
    let origin = Origin::start_with_settings("[timeouts]\nrequest_head = \"5s\"\n[namespaces.live-origin]\n");
    let mut scraper = Wire::open(origin.admin);
    assert_eq!(scraper.ask(&Request::new("GET", "/metrics")).status, 200);
    let begun = Instant::now();
    let mut crowd: Vec<Wire> = (0..600).map(|_| Wire::open(origin.admin)).collect();
    assert_eq!(scraper.ask(&Request::new("GET", "/livez")).status, 200, "who has asked for something keeps his place");
    for _ in 0..20 {
        assert_eq!(Request::new("GET", "/readyz").send(origin.admin).status, 200, "and there is one for who comes");
    }
    assert_eq!(origin.metric("springhead_connections"), 0.0, "of the data listeners");
    assert!(origin.wait_for_log("all connections of the admin listener are in use")["connections"] == 256);
    // Who says nothing is not waited for as on the data listeners, which is two minutes and a half.
    assert!(crowd.iter_mut().all(|silent| silent.try_answer_to("GET").is_none()));
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
    assert_eq!(scraper.ask(&Request::new("GET", "/metrics")).status, 200);
    assert_eq!(origin.metric("springhead_connections_refused_total{limit=\"total\"}"), 0.0);
}

#[test]
fn places_kept_for_uploads_are_not_for_who_says_nothing() {
    let origin = Origin::start_with_settings("[connections]\ntotal = 32\n[namespaces.live-origin]\n");
    // Two more than there are places: those are for uploads, which may begin this moment.
    let silent: Vec<Wire> = (0..34).map(|_| Wire::open(origin.address)).collect();
    let full = eventually(Duration::from_secs(10), || (origin.metric("springhead_connections") == 34.0).then_some(()));
    assert!(full.is_some(), "{}", origin.metric("springhead_connections"));
    let put = Request::new("PUT", origin.path("a.ts")).bearer(&origin.encoder).body(bytes(1, 50_000));
    // Far sooner than a connection that is kept for later ends, which is two minutes and a half.
    let stored = eventually(Duration::from_secs(30), || {
        Wire::open(origin.address).try_answer_to_sent(&put).filter(|answer| answer.status == 204)
    });
    assert!(stored.is_some(), "an encoder finds a place");
    assert!(origin.metric("springhead_connections") >= 32.0, "the others have theirs still");
    drop(silent);
}

/// What the kernel has not sent yet, or sent and not heard of, on each connection of a listener.
fn unsent(port: u16) -> Vec<u64> {
    let table = std::fs::read_to_string("/proc/self/net/tcp").unwrap();
    let ours = format!(":{port:04X}");
    let lines = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    // Field 3 is the state: 0A listens, 06 has ended on both sides.
    let open = lines.filter(|fields| fields[1].ends_with(&ours) && !matches!(fields[3], "0A" | "06"));
    open.map(|fields| u64::from_str_radix(fields[4].split(':').next().unwrap(), 16).unwrap()).collect()
}

#[test]
fn readers_that_take_nothing_leave_no_heap_in_the_kernel_and_are_told_of() {
    const READERS: usize = 300;
    let origin = Origin::start_with_settings("[timeouts]\ndownload_idle = \"6s\"\n[namespaces.live-origin]\n");
    origin.store("a.ts", bytes(1, 8 << 20));
    let get = Request::new("GET", origin.path("a.ts")).bearer(&origin.player).as_text();
    let mut readers: Vec<Wire> = (0..READERS).map(|_| Wire::open(origin.address)).collect();
    for reader in &mut readers {
        reader.write(&get);
    }
    let stalled = || origin.metric("springhead_stalled_readers");
    let all = eventually(Duration::from_secs(20), || (stalled() >= READERS as f64).then(|| unsent(origin.address.port())));
    let held = all.unwrap_or_else(|| panic!("{} of {READERS} are counted", stalled()));
    assert!(held.len() >= READERS, "{}", held.len());
    // The bound, and the packet that went past it; what is on its way beyond the reader's buffer is little.
    let most = held.iter().max().unwrap();
    assert!(*most <= 320 << 10, "the kernel holds {most} bytes for one reader");
    assert!(origin.metric("springhead_stalled_kernel_bytes") <= (READERS << 17) as f64);
    assert!(origin.wait_for_log("many readers take nothing of their answers")["count"].as_u64().unwrap() >= 256);
    let wire = &mut Wire::open(origin.address);
    let put = Request::new("PUT", origin.path("b.ts")).bearer(&origin.encoder).body(bytes(2, 100_000));
    assert_eq!(wire.ask(&put).status, 204);
    // Given up, they leave nothing behind, though none of them has closed or read.
    let gone = eventually(Duration::from_secs(30), || unsent(origin.address.port()).iter().all(|held| *held == 0).then_some(()));
    assert!(gone.is_some(), "{:?}", unsent(origin.address.port()));
    assert!(origin.metric("springhead_answers_stalled_total") >= READERS as f64);
    assert!(eventually(Duration::from_secs(5), || (stalled() == 0.0).then_some(())).is_some(), "{}", stalled());
}
