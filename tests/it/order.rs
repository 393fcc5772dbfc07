//! Of two changes of one object the one that was begun later is in force, whichever ends last.

use std::io::Write as _;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::harness::{Origin, eventually};
use crate::programs::program;
use crate::wire::{Request, Wire};

fn put(origin: &Origin, key: &str, body: &str) -> Request {
    Request::new("PUT", origin.path(key)).bearer(&origin.encoder).chunked(body, 100)
}

fn superseded(origin: &Origin) -> f64 {
    origin.metric("springhead_uploads_total{namespace=\"live-origin\",outcome=\"superseded\"}")
}

/// Begins an upload on this connection, all but its end.
fn begin(origin: &Origin, wire: &mut Wire, key: &str, body: &str) {
    let bytes = put(origin, key, body).to_bytes();
    wire.write(&bytes[..bytes.len() - 5]);
    let uploading = || (origin.metric("springhead_hot_uploading_bytes{namespace=\"live-origin\"}") > 0.0).then_some(());
    eventually(Duration::from_secs(20), uploading).expect("the server has heard of it");
}

#[test]
fn a_slow_upload_does_not_replace_what_was_begun_after_it() {
    let origin = Origin::start();
    let (mut fresh, mut kept) = (Wire::open(origin.address), Wire::open(origin.address));
    assert_eq!(kept.ask(&put(&origin, "other.m3u8", "#EXTM3U\n")).status, 204);
    for (n, wire) in [&mut fresh, &mut kept].into_iter().enumerate() {
        let key = format!("{n}.m3u8");
        begin(&origin, wire, &key, "#EXTM3U\n#the older\n");
        assert_eq!(put(&origin, &key, "#EXTM3U\n#the newer\n").send(origin.address).status, 204);
        let answer = wire.write("0\r\n\r\n").answer_to("PUT");
        assert_eq!((answer.status, answer.header("etag")), (204, ""), "it has done what it should");
        assert_eq!(origin.get(&key).text(), "#EXTM3U\n#the newer\n");
        assert_eq!(superseded(&origin), (n + 1) as f64);
        // What the same client begins now is newer again.
        assert_eq!(wire.ask(&put(&origin, &key, "#EXTM3U\n#the newest\n")).status, 204);
        assert_eq!(origin.get(&key).text(), "#EXTM3U\n#the newest\n");
    }
    let counted =
        "springhead_http_requests_total{method=\"PUT\",status=\"204\",namespace=\"live-origin\",outcome=\"superseded\"}";
    assert_eq!(origin.metric(counted), 2.0);
    assert_eq!(origin.log().iter().filter(|line| line.to_string().contains("sequence-back")).count(), 0);
}

#[test]
fn a_segment_is_in_place_before_the_playlist_that_was_sent_after_it() {
    const PAIRS: usize = 150;
    let origin = Origin::start();
    origin.store("read.ts", "media");
    let is_over = AtomicBool::new(false);
    let late = thread::scope(|scope| {
        // Readers keep the threads busy on which connections begin.
        for _ in 0..4 {
            scope.spawn(|| {
                let mut wire = Wire::open(origin.address);
                let get = Request::new("GET", origin.path("read.ts")).bearer(&origin.player);
                while !is_over.load(Ordering::Relaxed) {
                    assert_eq!(wire.ask(&get).status, 200);
                }
            });
        }
        let late = (0..PAIRS).filter(|n| {
            // All of it is in the server's kernel when this returns, and nobody waits for an answer.
            let segment = format!("{n}.ts");
            Wire::open(origin.address).write(put(&origin, &segment, &"x".repeat(1000)).to_bytes());
            let playlist = put(&origin, &format!("{n}.m3u8"), &format!("#EXTM3U\n#EXTINF:2,\n{segment}\n"));
            assert_eq!(playlist.send(origin.address).status, 204);
            // The body is not there, or grows still.
            origin.get(&segment).header("content-length") != "1000"
        });
        let late = late.count();
        is_over.store(true, Ordering::Relaxed);
        late
    });
    let lines = || {
        let text = std::fs::read_to_string(origin.access_log_path()).unwrap_or_default();
        let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let stored = lines.filter(|line| line["verb"] == "PUT" && line["key"] != "read.ts");
        let keys: Vec<String> = stored.map(|line| line["key"].as_str().unwrap().to_owned()).collect();
        (keys.len() == 2 * PAIRS).then_some(keys)
    };
    let keys = eventually(Duration::from_secs(20), lines).expect("all are stored");
    let at = |key: String| keys.iter().position(|one| *one == key).unwrap();
    let overtaken = (0..PAIRS).filter(|n| at(format!("{n}.m3u8")) < at(format!("{n}.ts"))).count();
    // The wait has an end, which a machine with much else to do may come to.
    assert!(late <= PAIRS / 50 && overtaken <= PAIRS / 10, "{late} were not there, {overtaken} were stored after their playlist");
}

#[test]
fn a_removal_is_not_undone_by_what_was_begun_before_it() {
    let origin = Origin::start();
    origin.store("a.ts", "media");
    let mut wire = Wire::open(origin.address);
    begin(&origin, &mut wire, "a.ts", "the older");
    let delete = Request::new("DELETE", origin.path("a.ts")).bearer(&origin.encoder);
    assert_eq!(delete.send(origin.address).status, 204);
    assert_eq!(origin.get("a.ts").status, 404, "nor can it be read as it comes");
    assert_eq!(wire.write("0\r\n\r\n").answer_to("PUT").status, 204);
    assert_eq!((origin.get("a.ts").status, superseded(&origin)), (404, 1.0));
    // What a client that hung up had begun changes nothing either.
    begin(&origin, &mut wire, "a.ts", "older as well");
    assert_eq!(delete.send(origin.address).status, 204);
    wire.write("0\r\n\r\n");
    drop(wire);
    assert!(eventually(Duration::from_secs(20), || (superseded(&origin) == 2.0).then_some(())).is_some());
    assert_eq!(origin.get("a.ts").status, 404);
    // Conditions are judged first: who asked to be told is told.
    let mut wire = Wire::open(origin.address);
    let guarded = put(&origin, "b.ts", "x").header("If-Match", "*").to_bytes();
    origin.store("b.ts", "media");
    wire.write(&guarded[..guarded.len() - 5]);
    assert_eq!(origin.get("b.ts").text(), "media");
    let delete = Request::new("DELETE", origin.path("b.ts")).bearer(&origin.encoder);
    let deleted = || (origin.metric("springhead_hot_uploading_bytes{namespace=\"live-origin\"}") > 0.0).then_some(());
    eventually(Duration::from_secs(20), deleted).unwrap();
    assert_eq!(delete.send(origin.address).status, 204);
    assert_eq!(wire.write("0\r\n\r\n").answer_to("PUT").status, 412);
}

#[test]
fn connections_of_one_request_each_are_in_the_order_in_which_they_were_opened() {
    let origin = Origin::start();
    for n in 0..60 {
        let (rewritten, removed) = (format!("p{n}/a.m3u8"), format!("d{n}/a.m3u8"));
        // Sent whole, and its connection closed: its answer is not waited for.
        Wire::open(origin.address).write(put(&origin, &rewritten, "#EXTM3U\n#one\n").to_bytes());
        assert_eq!(put(&origin, &rewritten, "#EXTM3U\n#two\n").send(origin.address).status, 204);
        Wire::open(origin.address).write(put(&origin, &removed, "#EXTM3U\n#one\n").to_bytes());
        let delete = Request::new("DELETE", origin.path(&removed)).bearer(&origin.encoder);
        assert_eq!(delete.send(origin.address).status, 204);
    }
    let ended = || {
        let stored = origin.metric("springhead_uploads_total{namespace=\"live-origin\",outcome=\"stored\"}");
        (stored + superseded(&origin) >= 180.0).then_some(())
    };
    assert!(eventually(Duration::from_secs(20), ended).is_some(), "all of them have ended");
    for n in 0..60 {
        assert_eq!(origin.get(&format!("p{n}/a.m3u8")).text(), "#EXTM3U\n#two\n", "{n}");
        assert_eq!(origin.get(&format!("d{n}/a.m3u8")).status, 404, "{n}");
    }
}

#[test]
fn a_connection_that_was_opened_for_later_begins_later() {
    let origin = Origin::start();
    let mut spare = Wire::open(origin.address);
    std::thread::sleep(Duration::from_millis(1500));
    origin.store("a.m3u8", "#EXTM3U\n#one\n");
    assert_eq!(spare.ask(&put(&origin, "a.m3u8", "#EXTM3U\n#two\n")).status, 204);
    assert_eq!(origin.get("a.m3u8").text(), "#EXTM3U\n#two\n");
}

#[test]
fn it_is_so_in_http_2_as_well() {
    let origin = Origin::start();
    let mut older = program("curl")
        .args(["-s", "--http2-prior-knowledge", "--max-time", "60", "-T", "-", "-o", "/dev/null", "-w", "%{http_code}"])
        .args(["-H", &format!("Authorization: Bearer {}", origin.encoder)])
        .arg(format!("http://{}{}", origin.address, origin.path("a.m3u8")))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut body = older.stdin.take().unwrap();
    body.write_all(b"#EXTM3U\n#the older\n").unwrap();
    let uploading = || (origin.metric("springhead_hot_uploading_bytes{namespace=\"live-origin\"}") > 0.0).then_some(());
    eventually(Duration::from_secs(20), uploading).expect("the server has heard of it");
    origin.store("a.m3u8", "#EXTM3U\n#the newer\n");
    drop(body);
    assert_eq!(String::from_utf8_lossy(&older.wait_with_output().unwrap().stdout), "204");
    assert_eq!((origin.get("a.m3u8").text().as_str(), superseded(&origin)), ("#EXTM3U\n#the newer\n", 1.0));
}
