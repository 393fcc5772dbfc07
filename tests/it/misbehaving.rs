//! Clients that hang up, lie about lengths, send too much, or ask for odd things.

use std::time::Duration;

use crate::harness::{Origin, bytes, eventually};
use crate::wire::{Request, Wire};

#[test]
fn who_hangs_up_after_the_last_byte_loses_nothing() {
    let origin = Origin::start();
    let body = bytes(1, 20_000);
    for n in 0..500 {
        let request = Request::new("PUT", origin.path(&format!("{n}.ts"))).bearer(&origin.encoder);
        let request = if n % 2 == 0 { request.chunked(body.clone(), 0x2000) } else { request.body(body.clone()) };
        Wire::open(origin.address).write(request.to_bytes());
    }
    for n in 0..500 {
        let there = eventually(Duration::from_secs(10), || (origin.get(&format!("{n}.ts")).body == body).then_some(()));
        assert!(there.is_some(), "object {n} is not there");
    }
    assert!(origin.refusals().is_empty());
}

#[test]
fn who_hangs_up_before_it_changes_nothing() {
    let origin = Origin::start();
    origin.store("a.ts", "the old version");
    for (n, (announced, sent)) in [(100, 99), (100_000, 50_000), (10, 0)].into_iter().enumerate() {
        let head =
            Request::new("PUT", origin.path("a.ts")).bearer(&origin.encoder).header("Content-Length", announced.to_string());
        let head = String::from_utf8(head.to_bytes()).unwrap().replace("Content-Length: 0\r\n", "");
        Wire::open(origin.address).write(head).write(bytes(2, sent));
        let logged = eventually(Duration::from_secs(10), || (origin.refusals().len() > n).then_some(()));
        assert!(logged.is_some(), "the log tells of it");
    }
    // A chunked body without its last chunk, ended by a clean close.
    let cut = Request::new("PUT", origin.path("a.ts")).bearer(&origin.encoder).chunked(bytes(3, 5000), 1000).to_bytes();
    let mut wire = Wire::open(origin.address);
    let answer = wire.write(&cut[..cut.len() - 5]).end_writing().try_answer_to("PUT");
    assert!(answer.is_none_or(|answer| answer.status == 400));
    assert!(eventually(Duration::from_secs(10), || (origin.refusals().len() == 4).then_some(())).is_some());
    let line = &origin.refusals()[3];
    assert_eq!((line["reason"].as_str(), line["received_bytes"].as_u64()), (Some("incomplete-body"), Some(5000)), "{line}");
    assert_eq!((line["namespace"].as_str(), line["key"].as_str()), (Some("live-origin"), Some("a.ts")));
    assert_eq!(origin.get("a.ts").text(), "the old version");
    let uploading = || origin.metric("springhead_hot_uploading_bytes{namespace=\"live-origin\"}");
    assert!(eventually(Duration::from_secs(5), || (uploading() == 0.0).then_some(())).is_some(), "and its bytes are free again");
}

#[test]
fn who_ends_his_half_still_gets_his_answer() {
    let origin = Origin::start();
    let request = Request::new("PUT", origin.path("a.ts")).bearer(&origin.encoder).body(bytes(1, 50_000));
    let answer = Wire::open(origin.address).write(request.to_bytes()).end_writing().answer_to("PUT");
    assert_eq!(answer.status, 204);
}

#[test]
fn pipelined_uploads_are_answered_in_order() {
    let origin = Origin::start();
    let mut all = Vec::new();
    for n in 0..20u64 {
        let request = Request::new("PUT", origin.path(&format!("{n}.ts"))).bearer(&origin.encoder);
        all.extend(request.chunked(bytes(n, 3000), 500).to_bytes());
    }
    let mut wire = Wire::open(origin.address);
    wire.write(&all);
    let etags: Vec<String> = (0..20).map(|_| wire.answer_to("PUT").header("etag").to_owned()).collect();
    for (n, etag) in etags.iter().enumerate() {
        let answer = origin.get(&format!("{n}.ts"));
        assert_eq!(answer.header("etag"), etag, "answer {n} belongs to object {n}");
    }
}

#[test]
fn who_pipelines_and_hangs_up_loses_nothing() {
    let origin = Origin::start();
    for round in 0..50 {
        let mut all = Vec::new();
        for n in 0..4u64 {
            let request = Request::new("PUT", origin.path(&format!("{round}-{n}.ts"))).bearer(&origin.encoder);
            all.extend(request.chunked(bytes(n, 30_000), 0x2000).to_bytes());
        }
        // Gone without a look at any answer: the answers to the first meet a closed port.
        Wire::open(origin.address).write(&all);
    }
    for round in 0..50 {
        for n in 0..4u64 {
            let name = format!("{round}-{n}.ts");
            let there = eventually(Duration::from_secs(10), || (origin.get(&name).body == bytes(n, 30_000)).then_some(()));
            assert!(there.is_some(), "{name} is not there");
        }
    }
}

#[test]
fn too_much_is_refused_as_soon_as_it_is_known_and_the_old_version_stays() {
    let origin = Origin::start();
    let limit = 10 << 20;
    origin.store("a.ts", bytes(1, limit));
    let put = || Request::new("PUT", origin.path("a.ts")).bearer(&origin.encoder);

    // Announced: refused before a byte of it was sent.
    let head = String::from_utf8(put().header("Content-Length", (limit + 1).to_string()).to_bytes()).unwrap();
    let answer = Wire::open(origin.address).write(head.replace("Content-Length: 0\r\n", "")).answer_to("PUT");
    assert_eq!((answer.status, &*answer.problem()), (413, "too-large"));
    assert_eq!(answer.header("connection"), "close");

    // Not announced: refused when the count passes the limit, and the client sees it although it is still sending.
    let bytes_sent = put().chunked(bytes(2, limit + (900 << 10)), 0x8000).to_bytes();
    let mut wire = Wire::open(origin.address);
    wire.try_write(&bytes_sent);
    assert_eq!(wire.answer_to("PUT").status, 413);

    // All of it announced and sent.
    let mut wire = Wire::open(origin.address);
    wire.try_write(&put().body(bytes(3, limit + (900 << 10))).to_bytes());
    assert_eq!(wire.answer_to("PUT").status, 413);
    assert!(origin.get("a.ts").body == bytes(1, limit));
    assert_eq!(origin.refusals().len(), 3);
}

#[test]
fn a_refused_upload_is_answered_while_it_is_being_sent_and_a_short_one_keeps_its_connection() {
    let origin = Origin::start();
    let mut wire = Wire::open(origin.address);
    for _ in 0..5 {
        let refused = wire.ask(&Request::new("PUT", origin.path("a.ts")).body(bytes(1, 900_000)));
        assert_eq!(refused.status, 401);
        let refused = wire.ask(&Request::new("PUT", origin.path("a.ts")).bearer(&origin.player).chunked(bytes(1, 900_000), 1000));
        assert_eq!(refused.status, 403);
    }
    let stored = wire.ask(&Request::new("PUT", origin.path("a.ts")).bearer(&origin.encoder).body("x"));
    assert_eq!(stored.status, 204, "on the same connection");

    // A long one: the answer comes though the body never ends.
    let mut wire = Wire::open(origin.address);
    wire.write(format!("PUT {} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", origin.path("a.ts")));
    let chunk = [b"10000\r\n".to_vec(), bytes(2, 0x10000), b"\r\n".to_vec()].concat();
    let mut sent = 0;
    while sent < 8 << 20 && wire.try_write(&chunk) {
        sent += chunk.len();
    }
    assert_eq!(wire.answer_to("PUT").status, 401);
}

#[test]
fn a_refusal_comes_instead_of_100_continue() {
    let origin = Origin::start();
    let ask = |key: &str, length: u64| {
        let request = Request::new("PUT", origin.path("a.ts")).header("Expect", "100-continue");
        let request = if key.is_empty() { request } else { request.bearer(key) };
        let head = request.header("Content-Length", length.to_string());
        let head = String::from_utf8(head.to_bytes()).unwrap().replace("Content-Length: 0\r\n", "");
        let mut wire = Wire::open(origin.address);
        let answer = wire.write(head).answer_to("PUT");
        (answer, wire)
    };
    for (key, length, status) in [("", 5, 401), ("junk", 5, 401), (&*origin.player, 5, 403), (&origin.encoder, 11 << 20, 413)] {
        let (answer, mut wire) = ask(key, length);
        assert_eq!(answer.status, status);
        assert_eq!(answer.header("connection"), "close", "whether a body follows can't be known");
        assert!(wire.is_ended());
    }
    let (answer, mut wire) = ask(&origin.encoder, 5);
    assert_eq!(answer.status, 100);
    assert_eq!(wire.write("media").answer_to("PUT").status, 204);
    assert_eq!(origin.get("a.ts").text(), "media");
}

#[test]
fn odd_names_are_names_and_impossible_ones_are_refused() {
    let origin = Origin::start();
    let long = format!("{}/{}.ts", "d".repeat(600), "k".repeat(400));
    for (url, listed) in [
        ("a%20b%2Bc.ts", "a%20b+c.ts"),
        ("%E6%97%A5%E6%9C%AC/%F0%9F%8E%A5.ts", "%E6%97%A5%E6%9C%AC%2F%F0%9F%8E%A5.ts"),
        ("a%252Fb.ts", "a%252Fb.ts"),
        ("q%3Fx%3D1%23f.ts", "q%3fx%3d1%23f.ts"),
        ("~!$&'()*,;=:@-._", "~!$&'()*,;=:@-._"),
        (&*long, &*long),
    ] {
        origin.store(url, url);
        assert_eq!(origin.get(listed).text(), url, "{url}");
    }
    for path in [
        "/cache/live-origin/../secret",
        "/cache/live-origin/a/../b",
        "/cache/live-origin/%2e%2e/b",
        "/cache/live-origin/a//b",
        "/cache/live-origin//a",
        "/cache/live-origin/a/",
        "/cache/live-origin/a%00b",
        "/cache/live-origin/a%0d%0ab",
        "/cache/live-origin/%ff%fe",
        "/cache/live%2Forigin/a",
        "/cache/-live/a",
        "/cache//a",
        "/cache/live-origin",
        "/cache/live-origin/",
        &format!("/cache/live-origin/{}", "k".repeat(1025)),
        &format!("/cache/{}/a", "n".repeat(65)),
    ] {
        let answer = Request::new("PUT", path).bearer(&origin.encoder).body("x").send(origin.address);
        assert_eq!((answer.status, &*answer.problem()), (400, "bad-request"), "{path}");
    }
    let query = format!("{}?role=origin&padding={}", origin.path("a.ts"), "x".repeat(8000));
    let put = Request::new("PUT", &*query).bearer(&origin.encoder).body("x").send(origin.address);
    assert_eq!(put.status, 204, "a URL of 8 KB");
}

#[test]
fn large_heads_are_read_and_larger_ones_refused() {
    let origin = Origin::start();
    origin.store("a.ts", "x");
    let ask = |size: usize| {
        let request = Request::new("GET", origin.path("a.ts")).bearer(&origin.player);
        let request = (0..size / 1000).fold(request, |request, n| request.header(&format!("X-Padding-{n}"), "p".repeat(980)));
        request.send(origin.address).status
    };
    assert_eq!(ask(20_000), 200);
    assert_eq!(ask(30_000), 200);
    assert_eq!(ask(40_000), 431);
}

#[test]
fn other_transfer_codings_and_broken_requests_are_refused() {
    let origin = Origin::start();
    let head = format!("PUT {} HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\n", origin.path("a.ts"), origin.encoder);
    let ask = |rest: &str| Wire::open(origin.address).write(format!("{head}{rest}")).answer_to("PUT").status;
    assert_eq!(ask("Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"), 501);
    let count = |outcome: &str| origin.metric(&format!("springhead_http_requests_total{{status=\"501\",outcome=\"{outcome}\"}}"));
    assert!(count("refused") > 0.5 && count("failed") < 0.5, "which is no fault of the server's");
    assert_eq!(ask("Content-Length: abc\r\n\r\n"), 400);
    assert_eq!(ask("Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!"), 400);
    assert_eq!(ask("Transfer-Encoding: chunked\r\n\r\nzz\r\n"), 400);
    assert_eq!(origin.get("a.ts").status, 404);
    assert_eq!(Request::new("GET", "/livez").send(origin.address).status, 200, "and the server goes on");
}
