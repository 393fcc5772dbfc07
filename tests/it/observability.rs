//! What the server tells of itself: metrics, the access log, the encoders' black box, and to whom.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::dashboard::dashboards;
use crate::harness::{BINARY, Finally, Origin, Process, bytes, eventually};
use crate::metrics_page::{ToldMetric, labels_of, rows, wrong_labels};
use crate::programs::program;
use crate::wire::{Request, Wire};

fn file(name: &str) -> String {
    fs::read_to_string(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

/// What promtool thinks of an exposition.
fn promtool(text: &str) {
    let mut child = program("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let complaints = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && complaints.trim().is_empty(), "{complaints}\n{text}");
}

/// The names of all series, without their labels.
fn families(text: &str) -> BTreeSet<String> {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    types.map(|line| line.split(' ').next().unwrap().to_owned()).collect()
}

/// Announces a body that no namespace takes. It is refused before any of it is sent.
fn too_large(origin: &Origin, request: &Request) {
    let head = String::from_utf8(request.to_bytes()).unwrap().replace("Content-Length: 0", "Content-Length: 11534336");
    let mut wire = Wire::open(origin.address);
    assert_eq!(wire.write(head).answer_to("PUT").status, 413);
}

/// Does everything that is counted, once at least.
pub(crate) fn exercise(origin: &Origin) {
    for name in ["a.ts", "a.m3u8", "a.mpd", "init.key"] {
        origin.store(name, "media");
        origin.get(name);
    }
    too_large(origin, &Request::new("PUT", origin.path("large.ts")).bearer(&origin.encoder));
    Request::new("PUT", origin.path("a.ts")).body("x").send(origin.address);
    Request::new("GET", origin.path("a.ts")).bearer("bad").send(origin.address);
    assert_eq!(Wire::open(origin.address).write("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n").answer_to("PUT").status, 400);
    Request::new("DELETE", origin.path("a.ts")).bearer(&origin.encoder).send(origin.address);
    Request::new("OPTIONS", origin.path("a.ts")).send(origin.address);
}

#[test]
fn metrics_are_sound_under_load_in_both_formats() {
    let origin = Origin::start();
    exercise(&origin);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut wire = Wire::open(origin.address);
            let body = bytes(1, 100_000);
            while !stop.load(Ordering::SeqCst) {
                for name in ["a.ts", "b.m3u8"] {
                    wire.ask(&Request::new("PUT", origin.path(name)).bearer(&origin.encoder).body(body.clone()));
                    wire.ask(&Request::new("GET", origin.path(name)).bearer(&origin.player));
                }
            }
        });
        let _finally = Finally(&stop);
        for _ in 0..5 {
            promtool(&origin.metrics());
        }
    });
    let plain = Request::new("GET", "/metrics").send(origin.admin);
    assert_eq!(plain.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    let accept = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2";
    let open = Request::new("GET", "/metrics").header("Accept", accept).send(origin.admin);
    assert_eq!(open.header("content-type"), "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert!(open.text().ends_with("# EOF\n") && open.text().contains("# TYPE springhead_http_requests counter"));
}

#[test]
fn requests_are_counted_by_what_became_of_them() {
    let origin = Origin::start();
    origin.store("a.ts", "media");
    let etag = origin.get("a.ts").header("etag").to_owned();
    let get = |key: &str| Request::new("GET", origin.path(key)).bearer(&origin.player);
    get("a.ts").header("If-None-Match", etag).send(origin.address);
    get("none.ts").send(origin.address);
    Request::new("GET", origin.path("a.ts")).bearer("bad").send(origin.address);
    Request::new("GET", "/cache/nowhere/a.ts").bearer(&origin.player).send(origin.address);
    Request::new("DELETE", origin.path("a.ts")).bearer(&origin.encoder).send(origin.address);
    let count = |labels: &str| origin.metric(&format!("springhead_http_requests_total{{{labels}}}"));
    for (labels, expected) in [
        ("method=\"PUT\",status=\"204\",namespace=\"live-origin\",outcome=\"stored\"", 1.0),
        ("method=\"GET\",status=\"200\",namespace=\"live-origin\",outcome=\"hit\"", 1.0),
        ("method=\"GET\",status=\"304\",namespace=\"live-origin\",outcome=\"not_modified\"", 1.0),
        ("method=\"GET\",status=\"404\",namespace=\"live-origin\",outcome=\"miss\"", 1.0),
        ("method=\"GET\",status=\"401\",namespace=\"live-origin\",outcome=\"denied\"", 1.0),
        ("method=\"GET\",status=\"403\",namespace=\"\",outcome=\"denied\"", 1.0),
        ("method=\"DELETE\",status=\"204\",namespace=\"live-origin\",outcome=\"removed\"", 1.0),
    ] {
        assert!((count(labels) - expected).abs() < f64::EPSILON, "{labels}: {}\n{}", count(labels), origin.metrics());
    }
    assert!((origin.metric("springhead_received_bytes_total{namespace=\"live-origin\"}") - 5.0).abs() < f64::EPSILON);
    assert!(origin.metric("springhead_object_age_seconds_count{kind=\"segment\"}") >= 2.0);
    let idle = eventually(Duration::from_secs(5), || (origin.metric("springhead_http_requests_in_flight") == 0.0).then_some(()));
    assert!(idle.is_some(), "every request ends in the count");
    for name in ["process_cpu_seconds_total", "process_resident_memory_bytes", "process_open_fds", "springhead_runtime_workers"] {
        assert!(origin.metric(name) > 0.0, "{name}");
    }
    let started = origin.metric("process_start_time_seconds");
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
    assert!((0.0..60.0).contains(&(now - started)), "started at {started}, now it is {now}");
}

#[test]
fn what_has_just_expired_is_told_from_what_was_never_there() {
    let origin = Origin::start();
    // The sweep comes every 200 ms, so reads all the time around the end of a second meet the time in between.
    let seen = eventually(Duration::from_secs(20), || {
        Request::new("PUT", origin.path("a.ts?ttl_seconds=1")).bearer(&origin.encoder).body("x").send(origin.address);
        let gone = eventually(Duration::from_secs(3), || (origin.get("a.ts").status == 404).then_some(()));
        assert!(gone.is_some());
        (origin.metric("springhead_http_requests_total{outcome=\"expired\"}") > 0.0).then_some(())
    });
    assert!(seen.is_some());
}

#[test]
fn lines_of_the_log_that_nobody_can_have_are_counted() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Command::new(BINARY)
        .args(["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--log-format", "json", "--data-dir"])
        .arg(folder.path())
        .env_remove("SPRINGHEAD_SIGNING_KEY")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(server.stderr.take().unwrap()).lines();
    let server = Process(server);
    let admin: SocketAddr = lines
        .by_ref()
        .filter_map(|line| serde_json::from_str::<Value>(&line.unwrap()).ok())
        .find_map(|line| line["admin_address"].as_str().filter(|_| line["message"] == "started")?.parse().ok())
        .expect("it starts");
    let text = || Request::new("GET", "/metrics").send(admin).text();
    assert!(text().contains("springhead_log_lines_dropped_total 0"), "{}", text());
    // Nobody reads any more, and each reload is a line.
    drop(lines);
    let is_counted = || {
        assert!(Command::new("kill").args(["-HUP", &server.0.id().to_string()]).status().unwrap().success());
        (!text().contains("springhead_log_lines_dropped_total 0")).then_some(())
    };
    assert!(eventually(Duration::from_secs(20), is_counted).is_some());
}

#[test]
fn no_client_can_make_series() {
    let origin = Origin::start();
    let (anywhere, _) = origin.make_key(&["--namespace", "*", "--role", "readwrite"]);
    exercise(&origin);
    Request::new("BREW", origin.path("a.ts")).bearer(&anywhere).send(origin.address);
    Request::new("GET", "/cache/other/a.ts").bearer(&anywhere).send(origin.address);
    Request::new("GET", origin.path("none.ts")).bearer(&anywhere).send(origin.address);
    Request::new("PUT", "/cache/other/a.ts").bearer(&anywhere).body("x").send(origin.address);
    let before = origin.metrics().lines().count();
    let mut wire = Wire::open(origin.address);
    for n in 0..10_000 {
        let (method, path) = match n % 4 {
            0 => (format!("VERB{n}"), origin.path("a.ts")),
            1 => ("GET".to_owned(), format!("/cache/ns{n}/a.ts")),
            2 => ("GET".to_owned(), origin.path(&format!("odd-{n}%22%0A.ts"))),
            _ => ("GET".to_owned(), origin.path(&format!("{n}.ts"))),
        };
        let request = Request::new(&method, path).bearer(&anywhere).header("User-Agent", format!("agent {n}"));
        assert!(wire.ask(&request).status >= 400);
    }
    let text = origin.metrics();
    promtool(&text);
    // A status or two that had not been met before; nothing that grows with ten thousand names.
    assert!(text.lines().count() <= before + 4, "{before} lines became {}:\n{text}", text.lines().count());
    for name in ["VERB", "ns1\"", "ns5", "odd-", "agent"] {
        assert!(!text.contains(name), "{name} is in the metrics");
    }
}

#[test]
fn every_metric_is_explained_and_the_important_ones_are_drawn() {
    let origin = Origin::start();
    exercise(&origin);
    let names = families(&origin.metrics());
    assert!(names.len() > 25, "{names:?}");
    let (pages, dashboard, alerts) = (file("docs/metrics.md"), file("config/grafana.json"), file("config/alerts.yaml"));
    for name in &names {
        assert!(pages.contains(&format!("`{name}`")), "docs/metrics.md does not explain {name}");
        if name.starts_with("springhead_") {
            assert!(dashboard.contains(name.as_str()), "config/grafana.json does not draw {name}");
        }
    }
    // And the other way round: nothing is drawn, alerted on or explained that does not exist.
    let known = |name: &str| {
        names.iter().any(|family| {
            name == family
                || ["_bucket", "_sum", "_count"].iter().any(|suffix| name.strip_suffix(suffix) == Some(family.as_str()))
        })
    };
    for (place, text) in [("docs/metrics.md", &pages), ("config/grafana.json", &dashboard), ("config/alerts.yaml", &alerts)] {
        let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        for word in words.filter(|word| word.starts_with("springhead_") || word.starts_with("process_")) {
            assert!(known(word), "{place} names {word}, which the server does not have");
        }
    }
    let dashboards = dashboards();
    for (name, dashboard) in &dashboards {
        let panels = dashboard["panels"].as_array().unwrap();
        let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
        assert_eq!(ids.len(), panels.len(), "{name}: each panel has an id of its own");
    }
    let ids: BTreeSet<_> = dashboards.iter().map(|(_, dashboard)| dashboard["uid"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), dashboards.len(), "and so has each dashboard");
    let rules = program("promtool").args(["check", "rules", concat!(env!("CARGO_MANIFEST_DIR"), "/config/alerts.yaml")]).output();
    let rules = rules.unwrap();
    assert!(rules.status.success(), "{}{}", String::from_utf8_lossy(&rules.stdout), String::from_utf8_lossy(&rules.stderr));
}

/// What the page and the server say of a metric differs in its type or in its labels: one line each.
fn wrong_metrics(page: &str, shown: &str) -> Vec<String> {
    let kinds = rows(page).filter_map(|ToldMetric { name, kind: told, .. }| {
        let kind = shown.lines().find_map(|line| line.strip_prefix(&format!("# TYPE {name} ")));
        (kind != Some(told)).then(|| format!("{name} is a {kind:?}, not a {told}"))
    });
    kinds.chain(wrong_labels(page, shown)).collect()
}

/// Metrics of which this server has series, among others: with them it is the comparison that is held. What others have (clusters, pairs, buckets)
/// is compared with the page in the tests of those, by the harness.
const HERE: [&str; 10] = [
    "springhead_http_requests_total",
    "springhead_object_size_bytes",
    "springhead_object_age_seconds",
    "springhead_sent_bytes_total",
    "springhead_received_bytes_total",
    "springhead_uploads_total",
    "springhead_upload_refusals_total",
    "springhead_read_refusals_total",
    "springhead_hot_capacity_bytes",
    "springhead_build_info",
];

#[test]
fn the_page_tells_each_metrics_type_and_labels() {
    let origin = Origin::start();
    exercise(&origin);
    let (page, shown) = (file("docs/metrics.md"), origin.metrics());
    assert_eq!(wrong_metrics(&page, &shown), [""; 0]);
    let without: Vec<&str> = rows(&page).map(|told| told.name).filter(|name| labels_of(name, &shown).is_none()).collect();
    let is_here = HERE.iter().all(|name| page.contains(&format!("| `{name}` |")) && !without.contains(name));
    assert!(is_here, "exercise() is to count each: {without:?}");
    let bad = page.replace("| `springhead_hot_objects` | gauge |", "| `springhead_hot_objects` | counter |").replace(
        "| `springhead_uploads_total` | counter | `namespace`, `outcome` |",
        "| `springhead_uploads_total` | counter | `outcome` |",
    );
    assert_eq!(wrong_metrics(&bad, &shown).len(), 2);
}

#[test]
fn the_access_log_tells_what_became_of_each_request() {
    let origin = Origin::start();
    let body = bytes(1, 700_000);
    let put = Request::new("PUT", origin.path("dir/a%22b.ts?ttl_seconds=60&role=origin")).bearer(&origin.encoder);
    let id = put.header("User-Agent", "en\"coder").body(body.clone()).send(origin.address).header("x-request-id").to_owned();
    let line = origin.wait_for_access(|line| line["request_id"] == *id);
    assert_eq!((&line["namespace"], &line["key"]), (&"live-origin".into(), &"dir/a\"b.ts".into()));
    assert_eq!((&line["verb"], &line["status"], &line["outcome"]), (&"PUT".into(), &204.into(), &"stored".into()));
    assert_eq!((&line["size"], &line["bytes_received"], &line["bytes_sent"]), (&700_000.into(), &700_000.into(), &0.into()));
    assert_eq!((&line["complete"], &line["user_agent"]), (&true.into(), &"en\"coder".into()));
    assert!(line["peer"].as_str().unwrap().starts_with("127.0.0.1:"));
    assert_eq!(line["key_id"].as_str().unwrap().len(), 16, "{line}");
    assert!(line["duration_us"].as_u64().unwrap() >= line["answered_us"].as_u64().unwrap());
    let time = line["time"].as_str().unwrap();
    assert!(time.len() == 24 && time.ends_with('Z') && time.starts_with("20"), "{time}");

    let url = format!("{}?token={}", origin.path("dir/a%22b.ts"), origin.player);
    let id = Request::new("GET", url).send(origin.address).header("x-request-id").to_owned();
    let line = origin.wait_for_access(|line| line["request_id"] == *id);
    assert_eq!((&line["outcome"], &line["size"], &line["bytes_sent"]), (&"hit".into(), &700_000.into(), &700_000.into()));
    assert!(line["age_ms"].as_u64().unwrap() < 60_000 && (50..=60).contains(&line["ttl_left_s"].as_u64().unwrap()), "{line}");

    let head = Request::new("HEAD", origin.path("dir/a%22b.ts")).bearer(&origin.player).send(origin.address);
    let line = origin.wait_for_access(|line| line["request_id"] == *head.header("x-request-id"));
    assert_eq!((&line["bytes_sent"], &line["complete"]), (&0.into(), &true.into()));

    let denied = Request::new("PUT", origin.path("b.ts")).bearer(&origin.player).body("x").send(origin.address);
    let line = origin.wait_for_access(|line| line["request_id"] == *denied.header("x-request-id"));
    assert_eq!((&line["status"], &line["outcome"]), (&403.into(), &"denied".into()));

    // Nobody's key, in places where none belongs: what looks like one is hidden all the same.
    let stray = format!("eyJ{}.{}.{}", "a".repeat(30), "b".repeat(40), "c".repeat(43));
    let answer = Request::new("GET", origin.path(&stray)).header("User-Agent", stray.clone()).send(origin.address);
    let line = origin.wait_for_access(|line| line["request_id"] == *answer.header("x-request-id"));
    assert_eq!((&line["key"], &line["user_agent"]), (&"(hidden)".into(), &"(hidden)".into()));
    assert!((origin.metric("springhead_access_log_lines_dropped_total")).abs() < f64::EPSILON);
}

#[test]
fn a_client_that_goes_away_shows_in_the_access_log() {
    let origin = Origin::start();
    origin.store("a.ts", bytes(1, 10 << 20));
    let mut wire = Wire::open(origin.address);
    let get = Request::new("GET", origin.path("a.ts")).bearer(&origin.player).header("X-Request-Id", "reader-gone");
    wire.write(get.to_bytes());
    thread::sleep(Duration::from_millis(100));
    drop(wire);
    let line = origin.wait_for_access(|line| line["request_id"] == "reader-gone");
    assert_eq!((&line["outcome"], &line["complete"]), (&"hit".into(), &false.into()));
    assert!(line["bytes_sent"].as_u64().unwrap() < 10 << 20, "{line}");

    let mut wire = Wire::open(origin.address);
    let put = Request::new("PUT", origin.path("b.ts")).bearer(&origin.encoder).header("X-Request-Id", "writer-gone");
    let whole = put.body(bytes(1, 100_000)).to_bytes();
    wire.write(&whole[..50_000]);
    thread::sleep(Duration::from_millis(100));
    drop(wire);
    let line = origin.wait_for_access(|line| line["request_id"] == "writer-gone");
    assert_eq!((&line["outcome"], &line["size"]), (&"broken".into(), &Value::Null));
    assert!((1..100_000).contains(&line["bytes_received"].as_u64().unwrap()), "{line}");
}

#[test]
fn who_takes_an_answer_slowly_and_to_its_end_has_had_all_of_it() {
    let origin = Origin::start();
    let length = 6 << 20;
    origin.store("a.ts", bytes(1, length));
    let mut stream = TcpStream::connect(origin.address).unwrap();
    let get = Request::new("GET", origin.path("a.ts"))
        .bearer(&origin.player)
        .header("X-Request-Id", "slow-reader")
        .header("Connection", "close");
    stream.write_all(&get.to_bytes()).unwrap();
    // Slower than the server writes: when it has written the last piece, much of that is still to go.
    let (mut taken, mut piece) = (0, vec![0; 128 << 10]);
    loop {
        thread::sleep(Duration::from_millis(5));
        match stream.read(&mut piece).unwrap() {
            0 => break,
            count => taken += count,
        }
    }
    assert!(taken > length);
    let line = origin.wait_for_access(|line| line["request_id"] == "slow-reader");
    assert_eq!((&line["complete"], line["bytes_sent"].as_u64()), (&true.into(), Some(length as u64)), "{line}");
    let counted =
        || Some(origin.metric("springhead_sent_bytes_total{namespace=\"live-origin\"}")).filter(|sent| *sent >= length as f64);
    assert!(eventually(Duration::from_secs(5), counted).is_some());
}

#[test]
fn the_access_log_is_off_by_default_and_goes_to_stderr_when_told() {
    let off = Origin::start_with(&["--access-log", "off"]);
    off.store("a.ts", "media");
    assert!(!off.access_log_path().exists());
    assert!(off.log().iter().all(|line| line.get("outcome").is_none()));
    let printed = Command::new(crate::harness::BINARY).args(["config", "print"]).output().unwrap();
    assert!(String::from_utf8(printed.stdout).unwrap().contains("[access_log]\noutput = \"off\""));

    let stderr = Origin::start_with(&["--access-log", "stderr"]);
    stderr.store("a.ts", "media");
    let stored = || stderr.log().into_iter().find(|line| line["outcome"] == "stored");
    assert!(eventually(Duration::from_secs(5), stored).is_some());
}

#[test]
fn the_access_log_is_rotated_and_written_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let settings = tempfile::NamedTempFile::new().unwrap();
    fs::write(settings.path(), "[access_log]\nrotate_size = \"20KiB\"\nkeep = 2\n[namespaces.live-origin]\n").unwrap();
    let arguments = ["--config", settings.path().to_str().unwrap(), "--access-log", path.to_str().unwrap()];
    let mut origin = Origin::start_with(&arguments);
    let mut wire = Wire::open(origin.address);
    for n in 0..300 {
        let request =
            Request::new("GET", origin.path("a.ts")).bearer(&origin.player).header("X-Request-Id", format!("request-{n:04}"));
        assert_eq!(wire.ask(&request).status, 404);
    }
    drop(wire);
    origin.stop();
    let mut names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["access.log", "access.log.1", "access.log.2"]);
    let mut ids = Vec::new();
    for name in names.iter().rev() {
        let text = fs::read_to_string(folder.path().join(name)).unwrap();
        assert!(text.len() <= 20 << 10, "{} bytes in {}", text.len(), name.display());
        for line in text.lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            ids.push(line["request_id"].as_str().unwrap().to_owned());
        }
    }
    assert_eq!(ids.last().map(String::as_str), Some("request-0299"), "what was queued is written before the end");
    assert!(ids.is_sorted() && ids.len() > 50, "in order, without a gap at the seams: {ids:?}");
    let first: usize = ids[0].trim_start_matches("request-").parse().unwrap();
    assert_eq!(ids.len(), 300 - first, "no line is lost between files");
}

fn ask_json(at: SocketAddr, path: &str, name: &str) -> Vec<Value> {
    let answer = Request::new("GET", path).send(at);
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/json"));
    serde_json::from_slice::<Value>(&answer.body).unwrap()[name].as_array().unwrap().clone()
}

#[test]
fn the_black_box_shows_what_was_refused_and_what_to_do() {
    let origin = Origin::start();
    let encoder = |key: &str, path: String| {
        let credentials = STANDARD.encode(format!("momento:{key}"));
        Request::new("PUT", path)
            .header("User-Agent", "AWS Elemental MediaLive")
            .header("X-Odd", "kept")
            .header("Authorization", format!("Basic {credentials}"))
    };
    let bad = format!("{}x", &origin.encoder[..origin.encoder.len() - 5]);
    Request::new("PUT", origin.path("a.m3u8?role=origin"))
        .header("User-Agent", "AWS Elemental MediaLive")
        .body("x")
        .send(origin.address);
    encoder(&bad, origin.path(&format!("a.ts?token={bad}&ttl_seconds=60")))
        .header("Cookie", "session=abc")
        .body("x")
        .send(origin.address);
    too_large(&origin, &encoder(&origin.encoder, origin.path("large.ts")));
    encoder(&origin.player, origin.path("a.ts")).body("x").send(origin.address);

    let rejected = ask_json(origin.admin, "/v1/ingest/rejected", "rejected");
    let codes: Vec<_> = rejected.iter().map(|line| line["code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["forbidden", "too-large", "bad-credentials", "no-credentials"], "newest first");
    for (line, (word, status)) in
        rejected.iter().zip([("player's key", 403), ("max_object_size", 413), ("inspect", 401), ("HLS Akamai", 401)])
    {
        assert!(line["advice"].as_str().unwrap().contains(word), "{line}");
        assert_eq!((&line["status"], &line["peer"]), (&status.into(), &"127.0.0.1".into()));
        assert_eq!(line["user_agent"], "AWS Elemental MediaLive");
        assert!(line["request"]["target"].as_str().unwrap().starts_with("/cache/live-origin/"), "{line}");
    }
    let headers = |line: &Value| -> Vec<(String, String)> { serde_json::from_value(line["request"]["headers"].clone()).unwrap() };
    let sent = headers(&rejected[2]);
    for (name, value) in [("x-odd", "kept"), ("authorization", "Basic (hidden)"), ("cookie", "(hidden)"), ("content-length", "1")]
    {
        assert!(sent.contains(&(name.to_owned(), value.to_owned())), "{name} in {sent:?}");
    }
    assert_eq!(rejected[2]["request"]["target"], "/cache/live-origin/a.ts?token=(hidden)&ttl_seconds=60");
    assert!(rejected[2]["reason"].is_string());

    // What a client sent first is known of those whose uploads are accepted, too.
    encoder(&origin.encoder, origin.path("a.ts?role=origin")).body("x").send(origin.address);
    let clients = ask_json(origin.admin, "/v1/ingest/clients", "clients");
    assert_eq!(clients.len(), 1, "{clients:#?}");
    assert_eq!((&clients[0]["accepted"], &clients[0]["refused"]), (&1.into(), &4.into()));
    assert_eq!(clients[0]["first_request"]["target"], "/cache/live-origin/a.m3u8?role=origin");
    assert_eq!(clients[0]["first_accepted"]["target"], "/cache/live-origin/a.ts?role=origin");
    assert_eq!(clients[0]["first_accepted"]["version"], "HTTP/1.1");

    let shown = format!("{rejected:?}{clients:?}");
    for key in [&origin.encoder, &origin.player, &bad] {
        for part in key.split('.').filter(|part| part.len() > 8) {
            assert!(!shown.contains(part), "a part of a key is shown");
        }
        assert!(!shown.contains(&STANDARD.encode(format!("momento:{key}"))));
    }
}

#[test]
fn the_black_box_is_bounded() {
    let origin = Origin::start();
    origin.store("a.ts", "media");
    let mut wire = Wire::open(origin.address);
    for n in 0..2_000 {
        let mut request =
            Request::new("PUT", origin.path(&format!("{n}.ts"))).bearer("bad").header("User-Agent", format!("agent {n}"));
        for header in 0..60 {
            request = request.header(&format!("X-Long-{header}"), "long word ".repeat(40));
        }
        assert_eq!(wire.ask(&request).status, 401);
    }
    let clients = ask_json(origin.admin, "/v1/ingest/clients", "clients");
    assert_eq!(clients.len(), 128);
    assert!(clients.iter().any(|client| client["accepted"] == 1), "the one that works is not pushed out");
    assert!(ask_json(origin.admin, "/v1/ingest/rejected", "rejected").len() <= 128 * 8);
    let size = Request::new("GET", "/v1/ingest/rejected").send(origin.admin).body.len();
    assert!(size < 8 << 20, "{size} bytes");
}

#[test]
fn the_admin_listener_asks_for_a_key_unless_it_is_told_not_to_for_metrics() {
    let origin = Origin::start_with(&["--admin-listen", "0.0.0.0:0"]);
    let at = SocketAddr::from(([127, 0, 0, 1], origin.admin.port()));
    let status = |path: &str, key: &str| {
        let request = Request::new("GET", path);
        if key.is_empty() { request } else { request.bearer(key) }.send(at).status
    };
    for path in ["/metrics", "/v1/ingest/rejected", "/v1/ingest/clients"] {
        assert_eq!(status(path, ""), 401, "{path}");
        assert_eq!(status(path, &origin.encoder), 403, "{path}");
        assert_eq!(status(path, &origin.administrator), 200, "{path}: the key of the first start");
        assert_eq!(Request::new("GET", path).bearer(&origin.administrator).send(origin.address).status, 404, "{path}");
    }
    assert_eq!((status("/readyz", ""), status("/livez", ""), status("/elsewhere", "")), (200, 200, 404));
    assert_eq!(origin.get("a.ts").status, 404);
    let object = Request::new("GET", origin.path("a.ts")).bearer(&origin.administrator).send(origin.address);
    assert_eq!(object.status, 403, "an administrator's key reaches no object");

    let open = Origin::start_with(&["--admin-listen", "0.0.0.0:0", "--metrics-open", "true"]);
    let at = SocketAddr::from(([127, 0, 0, 1], open.admin.port()));
    assert_eq!(Request::new("GET", "/metrics").send(at).status, 200);
    assert_eq!(Request::new("GET", "/v1/ingest/rejected").send(at).status, 401, "metrics alone are open");
    assert_eq!(Request::new("GET", "/v1/ingest/clients").send(at).status, 401);
}

#[test]
fn readers_who_are_not_let_in_are_told_of_once_and_then_counted() {
    let origin = Origin::start();
    let (foreign, _) = origin.make_key(&["--namespace", "other", "--role", "readonly"]);
    for (key, code, status) in [("cut-off", "bad-credentials", 401), (&*foreign, "forbidden", 403)] {
        for _ in 0..30 {
            let read = Request::new("GET", origin.path("show/a.m3u8")).bearer(key).header("User-Agent", "a CDN");
            assert_eq!(read.send(origin.address).status, status);
        }
        let count = origin.metric(&format!("springhead_read_refusals_total{{reason=\"{code}\"}}"));
        assert!((count - 30.0).abs() < f64::EPSILON, "{code}: {count}");
    }
    // A reader who asks first is nothing to tell of, and what is not there is no refusal.
    Request::new("GET", origin.path("show/a.m3u8")).send(origin.address);
    Request::new("GET", origin.path("none")).bearer(&origin.player).send(origin.address);
    let told = |origin: &Origin| -> Vec<Value> {
        origin.log().into_iter().filter(|line| line["level"] == "WARN" && line["message"] == "read refused").collect()
    };
    let lines = eventually(Duration::from_secs(5), || Some(told(&origin)).filter(|lines| lines.len() >= 2)).unwrap();
    assert_eq!(lines.len(), 2, "one for each reason and key: {lines:?}");
    for (line, reason) in lines.iter().zip(["bad-credentials", "forbidden"]) {
        assert_eq!(
            (&line["reason"], &line["namespace"], &line["key"]),
            (&reason.into(), &"live-origin".into(), &"show/a.m3u8".into())
        );
        assert!(line["peer"].as_str().unwrap().starts_with("127.0.0.1") && line["user_agent"] == "a CDN", "{line}");
        assert!(!line["detail"].as_str().unwrap().is_empty(), "{line}");
    }
    assert_eq!(lines[1]["key_id"].as_str().unwrap().len(), 16, "{lines:?}");
    let kept = ask_json(origin.admin, "/v1/ingest/rejected", "rejected");
    assert!(
        kept.iter()
            .any(|line| line["code"] == "bad-credentials" && line["request"]["method"] == "GET" && line["key"] == "show/a.m3u8")
    );
    assert!(file("config/alerts.yaml").contains("springhead_read_refusals_total"));
}

#[test]
fn a_flood_of_refusals_is_a_few_short_lines() {
    let origin = Origin::start();
    let mut wire = Wire::open(origin.address);
    let long = "x".repeat(20_000);
    for n in 0..300 {
        let flood =
            Request::new("PUT", origin.path(&format!("{n}.ts"))).bearer("bad").header("User-Agent", long.clone()).body("");
        assert_eq!(wire.ask(&flood).status, 401);
    }
    let refused = origin.refusals();
    assert!((1..=20).contains(&refused.len()), "{}", refused.len());
    for line in refused {
        assert!(line.to_string().len() < 2_000, "{line}");
    }
    let count = origin.metric("springhead_upload_refusals_total{reason=\"bad-credentials\"}");
    assert!((count - 300.0).abs() < f64::EPSILON, "each is counted: {count}");
}

#[test]
fn encoders_behind_one_address_are_judged_by_themselves() {
    let origin = Origin::start();
    for n in 0..4 {
        let put = |folder: &str| {
            Request::new("PUT", origin.path(&format!("{folder}/{n}.ts"))).header("User-Agent", "Lavf/59").body("x")
        };
        assert_eq!(put("silent").send(origin.address).status, 401);
        assert_eq!(put("good").send(origin.address).status, 401);
        assert_eq!(put("good").bearer(&origin.encoder).send(origin.address).status, 204);
    }
    let kept = ask_json(origin.admin, "/v1/ingest/rejected", "rejected");
    assert_eq!(kept.len(), 2, "{kept:?}");
    for line in kept {
        let good = line["key"].as_str().unwrap().starts_with("good/");
        assert_eq!(line["advice"].as_str().unwrap().starts_with("Nothing to do"), good, "{line}");
    }
}
