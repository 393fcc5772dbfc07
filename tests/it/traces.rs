//! OpenTelemetry traces, as a collector gets them.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::harness::{Origin, eventually};
use crate::wire::Request;

/// A request's head and body.
type Parcel = (String, Vec<u8>);

/// A collector that keeps what it is sent.
struct Collector {
    address: SocketAddr,
    got: Arc<Mutex<Vec<Parcel>>>,
}

impl Collector {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let collector = Self { address: listener.local_addr().unwrap(), got: Arc::default() };
        let got = Arc::clone(&collector.got);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (Ok(stream), got) = (stream, Arc::clone(&got)) else { continue };
                thread::spawn(move || take(stream, &got));
            }
        });
        collector
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

fn take(mut stream: TcpStream, got: &Mutex<Vec<Parcel>>) -> Option<()> {
    let mut read = Vec::new();
    loop {
        let mut more = |read: &mut Vec<u8>| {
            let mut buffer = [0; 64 << 10];
            let count = stream.read(&mut buffer).ok().filter(|&count| count > 0)?;
            read.extend(&buffer[..count]);
            Some(())
        };
        let end = loop {
            match read.windows(4).position(|window| window == b"\r\n\r\n") {
                Some(end) => break end + 4,
                None => more(&mut read)?,
            }
        };
        let head = String::from_utf8(read[..end].to_vec()).unwrap();
        let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ").map(str::to_owned));
        let length: usize = length.unwrap().parse().unwrap();
        while read.len() < end + length {
            more(&mut read)?;
        }
        got.lock().push((head, read[end..end + length].to_vec()));
        read.drain(..end + length);
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n").ok()?;
    }
}

fn holds(haystack: &[u8], needle: impl AsRef<[u8]>) -> bool {
    haystack.windows(needle.as_ref().len()).any(|window| window == needle.as_ref())
}

#[test]
fn each_request_is_a_span_without_any_key_in_it() {
    let collector = Collector::start();
    let soon = [("OTEL_BSP_SCHEDULE_DELAY".to_owned(), "100".to_owned())];
    let mut origin = Origin::start_in(&["--otlp-endpoint", &collector.url()], &soon);
    origin.store("show/a.ts", "media");
    let (trace, parent) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
    let get = Request::new("GET", format!("{}?token={}&hello=1", origin.path("show/a.ts"), origin.player));
    let get = get.header("traceparent", format!("00-{trace}-{parent}-01")).header("X-Request-Id", "request-of-a-test");
    assert_eq!(get.send(origin.address).status, 200);
    // A key where none belongs: in a name, and in the header that is passed on.
    let astray = Request::new("GET", origin.path(&origin.encoder)).bearer(&origin.player);
    assert_eq!(astray.header("traceparent", format!("00-{}-{parent}-01", origin.encoder)).send(origin.address).status, 404);
    assert_eq!(Request::new("GET", "/livez").send(origin.address).status, 200);
    let counted = ["springhead_spans_total", "springhead_spans_sent_total"];
    let is_counted = || counted.iter().all(|name| origin.metric(name) > 2.5).then_some(());
    assert!(eventually(Duration::from_secs(20), is_counted).is_some(), "{}", origin.metrics());
    origin.stop();

    let got = collector.got.lock();
    let all: Vec<u8> = got.iter().flat_map(|(_, body)| body.clone()).collect();
    for (head, _) in got.iter() {
        assert!(head.starts_with("POST /v1/traces HTTP/1.1\r\n"), "{head}");
        assert!(head.contains("application/x-protobuf"), "{head}");
    }
    // Strings stand in protobuf as they are.
    for text in [
        "PUT /cache/{namespace}/{key}",
        "GET /cache/{namespace}/{key}",
        "service.name",
        "live-origin",
        "show/a.ts",
        "stored",
        "hit",
        "miss",
        "request-of-a-test",
        "http.response.status_code",
        "(hidden)",
    ] {
        assert!(holds(&all, text), "{text} is not in the spans");
    }
    let bytes = |hex: &str| -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    };
    assert!(holds(&all, bytes(trace)) && holds(&all, bytes(parent)), "the span belongs to the client's trace");
    for secret in [&origin.encoder, &origin.player] {
        let signature = secret.rsplit('.').next().unwrap();
        assert!(!holds(&all, secret) && !holds(&all, signature), "an API key stands in a span");
    }
    assert!(!holds(&all, "token") && !holds(&all, "hello=1"), "a query stands in a span");
    let spans = all.windows(b"http.request.method".len()).filter(|window| window == b"http.request.method").count();
    assert_eq!(spans, 3, "a span for each, and none for a probe");
}

#[test]
fn no_span_tells_a_viewers_token() {
    let collector = Collector::start();
    let viewers = "[namespaces.live-origin.viewers]\nmode = \"required\"\n";
    let mut origin = Origin::start_with_settings(&format!("otlp_endpoint = \"{}\"\n{viewers}", collector.url()));
    origin.store("show/p.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\na.ts\n");
    let made =
        origin.run(&["token", "viewer", "--namespace", "live-origin", "--prefix", "show/", "--subject", "somebody-by-name"]);
    let made: serde_json::Value = serde_json::from_slice(&made.stdout).unwrap();
    let token = made["token"].as_str().unwrap();
    // The last letter is of the MAC: one that was made up.
    let forged = format!("{}{}", &token[..token.len() - 2], if token.ends_with("AA") { "BB" } else { "AA" });
    for token in [token, &forged] {
        for path in [
            format!("~{token}/show/p.m3u8"),
            format!("show/p.m3u8?cat={token}"),
            format!("show/~{token}/x.ts"),
            format!("~{token}/o/p.ts"),
        ] {
            for method in ["GET", "HEAD", "PUT", "DELETE", "PROPFIND", "BREW"] {
                let request = Request::new(method, origin.path(&path)).header("Referer", path.as_str());
                let request = request.header("User-Agent", format!("player {token}")).bearer(&origin.encoder);
                let _ = request.send(origin.address);
            }
        }
        let header = Request::new("GET", origin.path("show/p.m3u8")).header("CTA-Common-Access-Token", token);
        let _ = header.send(origin.address);
        let cookie = Request::new("GET", origin.path("show/p.m3u8")).header("Cookie", format!("CTA-Common-Access-Token={token}"));
        let _ = cookie.send(origin.address);
        let _ = Request::new("GET", "/entitlement")
            .header("X-Original-URI", format!("/cache/live-origin/~{token}/a.ts"))
            .send(origin.address);
    }
    origin.stop();
    let got = collector.got.lock();
    let all: Vec<u8> = got.iter().flat_map(|(_, body)| body.clone()).collect();
    assert!(holds(&all, "show/p.m3u8") && holds(&all, "GET /cache/{namespace}/{key}"), "there are spans to look through");
    for token in [token, &forged] {
        let told = (0..token.len() - 16).find(|at| holds(&all, &token[*at..at + 16]));
        assert_eq!(told, None, "a part of a token stands in a span");
    }
    assert!(!holds(&all, "somebody-by-name"));
}

#[test]
fn a_collector_that_is_not_there_harms_nobody() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut origin = Origin::start_with(&["--otlp-endpoint", &format!("http://{nobody}")]);
    origin.store("a.ts", "media");
    assert_eq!(origin.get("a.ts").text(), "media");
    let begun = Instant::now();
    origin.stop();
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    let said = origin.wait_for_log("traces can't be sent and are lost: is the collector at otlp_endpoint running?");
    assert_eq!(said["level"], "WARN");
}

#[test]
fn a_collectors_url_holds_no_secret() {
    for (url, part) in [("collector:4318", "no URL"), ("http://u:p@collector:4318", "password"), ("http://c/?key=x", "query")] {
        let output =
            std::process::Command::new(crate::harness::BINARY).args(["config", "print", "--otlp-endpoint", url]).output();
        let output = output.unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("--otlp-endpoint") && said.contains(part) && !said.contains("u:p"), "{said}");
    }
}
