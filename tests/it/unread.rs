//! What comes to a port and is no request: each is told, counted and kept, and answered where its client may understand that.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use crate::harness::{Origin, eventually};
use crate::programs::program;
use crate::tls::Authority;
use crate::wire::{Request, Wire};

/// All that is answered to these bytes until the server ends the connection.
fn say(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(bytes).unwrap();
    let mut said = Vec::new();
    stream.read_to_end(&mut said).expect("an answer and an end, and no reset");
    String::from_utf8_lossy(&said).into_owned()
}

/// Waits until `reason` has been counted this many times, and gives the line and the report of it.
fn told(origin: &Origin, reason: &str, times: f64) -> (serde_json::Value, serde_json::Value) {
    let series = format!("springhead_connections_unread_total{{reason=\"{reason}\"}}");
    let counted = || origin.metrics().contains(&series).then(|| origin.metric(&series));
    assert!(
        eventually(Duration::from_secs(10), || (counted() == Some(times)).then_some(())).is_some(),
        "{reason}: {:?}",
        counted()
    );
    let lines = || origin.log().into_iter().filter(|line| line["reason"] == reason).collect::<Vec<_>>();
    // It is counted a moment before it is written.
    let lines = eventually(Duration::from_secs(10), || Some(lines()).filter(|lines| !lines.is_empty())).unwrap_or_default();
    assert_eq!(lines.len(), 1, "{reason} is told once, however often it comes: {lines:?}");
    let kept = Request::new("GET", "/v1/ingest/rejected").send(origin.admin);
    let kept: serde_json::Value = serde_json::from_slice(&kept.body).unwrap();
    // One for each detail, the newest first.
    let kept = kept["unread"].as_array().unwrap().iter().filter(|kept| kept["reason"] == reason);
    let kept: Vec<serde_json::Value> = kept.cloned().collect();
    let details: BTreeSet<&str> = kept.iter().filter_map(|kept| kept["detail"].as_str()).collect();
    assert!(details.len() == kept.len() || kept.len() == 1, "{kept:?}");
    let times: u64 = kept.iter().filter_map(|kept| kept["times"].as_u64()).sum();
    let mut newest = kept.first().cloned().unwrap_or_else(|| panic!("{reason} is in the black box"));
    newest["times"] = times.into();
    (lines[0].clone(), newest)
}

#[test]
fn what_is_no_request_is_told_counted_and_answered() {
    let authority = Authority::new();
    let (origin, tls) = authority.serve(&[]);
    let put = |target: &str, more: &str| {
        let head = format!("PUT {target} HTTP/1.1\r\nHost: any.example\r\nAuthorization: Bearer {}\r\n", origin.encoder);
        format!("{head}Content-Length: 3\r\n{more}\r\nabc").into_bytes()
    };
    let good = put(&origin.path("a.ts"), "");
    let many: String = (0..120).map(|n| format!("X-{n}: 1\r\n")).collect();
    let hello = [&[22, 3, 1, 0, 196, 1, 0, 0, 192, 3, 3][..], &[7; 188]].concat();
    let proxy = [b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec(), vec![0; 12], good.clone()].concat();
    let latin = [b"PUT /cache/live-origin/\xe9t\xe9.ts HTTP/1.1\r\nHost: a\r\n\r\n".to_vec()].concat();
    let cases: [(&str, u16, SocketAddr, Vec<Vec<u8>>); 5] = [
        ("tls-in-clear", 400, origin.address, vec![hello]),
        (
            "proxy-protocol",
            400,
            origin.address,
            vec![[b"PROXY TCP4 10.0.0.1 10.0.0.2 1234 80\r\n".to_vec(), good.clone()].concat(), proxy],
        ),
        (
            "malformed",
            400,
            origin.address,
            vec![put(&origin.path("my show_1.ts"), ""), latin, put(&origin.path("a.ts"), "X Y: z\r\n")],
        ),
        ("head-too-large", 431, origin.address, vec![put(&origin.path("a.ts"), &many)]),
        ("clear-in-tls", 400, tls, vec![good.clone()]),
    ];
    for (reason, status, address, all) in cases {
        let mut last = String::new();
        let times = all.len();
        for bytes in all {
            last = say(address, &bytes);
            assert!(last.starts_with(&format!("HTTP/1.1 {status} ")), "{reason}: {last}");
            assert!(last.contains("application/problem+json") && last.ends_with('}'), "{reason}: {last}");
        }
        let (line, kept) = told(&origin, reason, times as f64);
        assert_eq!((line["level"].as_str(), line["peer"].as_str()), (Some("WARN"), Some("127.0.0.1")), "{line}");
        assert_eq!(kept["times"].as_u64(), Some(times as u64), "{kept}");
        let id = kept["request_id"].as_str().unwrap();
        assert!(
            last.contains(&format!("X-Request-Id: {id}\r\n")) && last.contains(&format!("\"request_id\":\"{id}\"")),
            "{last}"
        );
    }
    assert_eq!(origin.get("a.ts").status, 404, "and nothing was stored");
    // The next request of a kept connection, behind the answer to a good one.
    let answers = say(origin.address, &[good, b"PUT no-slash and spaces HTTP/1.1\r\n\r\n".to_vec()].concat());
    assert!(answers.starts_with("HTTP/1.1 204 ") && answers.contains("HTTP/1.1 400 "), "{answers}");
}

#[test]
fn failed_handshakes_say_at_what() {
    let authority = Authority::new();
    let (origin, tls) = authority.serve(&[]);
    let client = |arguments: &[&str]| {
        let address = tls.to_string();
        let mut command = program("openssl");
        command.args(["s_client", "-connect", &address]).args(arguments);
        command.stdin(Stdio::null()).output().unwrap()
    };
    client(&["-tls1_2", "-cipher", "AES128-SHA:@SECLEVEL=0"]);
    let (line, _) = told(&origin, "no-common-tls", 1.0);
    assert!(line["advice"].as_str().unwrap().contains("TLS 1.2 with ECDHE"), "{line}");
    client(&["-verify_return_error", "-verify", "1"]);
    let (line, kept) = told(&origin, "certificate-distrusted", 1.0);
    assert!(line["detail"].as_str().unwrap().contains("nknown") && kept["advice"].as_str().unwrap().contains("chain"), "{line}");

    let settings = authority.path("settings.toml");
    fs::write(&settings, format!("[tls]\nclient_ca = {:?}\n", authority.path("ca.pem"))).unwrap();
    let (origin, tls) = authority.serve(&["--config", settings.to_str().unwrap()]);
    let address = tls.to_string();
    let mut command = program("openssl");
    command.args(["s_client", "-connect", &address, "-quiet"]).stdin(Stdio::null()).output().unwrap();
    told(&origin, "client-certificate", 1.0);
}

#[test]
fn who_says_nothing_is_nothing_to_tell() {
    let authority = Authority::new();
    let (origin, tls) = authority.serve(&[]);
    for address in [origin.address, tls] {
        for _ in 0..3 {
            drop(TcpStream::connect(address).unwrap());
        }
    }
    // What comes after them on the same ports is told, so they would have been.
    say(origin.address, &[22, 3, 1, 0, 1, 0]);
    told(&origin, "tls-in-clear", 1.0);
    let of_clients =
        |line: &serde_json::Value| line["target"].as_str().is_some_and(|target| target.starts_with("springhead::web"));
    let told: Vec<_> = origin.log().into_iter().filter(|line| line["level"] == "WARN" && of_clients(line)).collect();
    assert_eq!(told.len(), 1, "{told:?}");
}

#[test]
fn a_number_sign_in_a_target_is_refused_and_never_another_name() {
    let origin = Origin::start();
    let put = |key: &str| Request::new("PUT", origin.path(key)).bearer(&origin.encoder).body("#EXTM3U\n");
    let mut wire = Wire::open(origin.address);
    for n in 0..3 {
        let refused = wire.ask(&put(&format!("cam#{n}/live.m3u8")));
        assert_eq!((refused.status, &*refused.problem()), (400, "bad-request"));
        assert!(refused.text().contains("%23"), "{}", refused.text());
        assert_eq!(wire.ask(&put(&format!("cam%23{n}/live.m3u8"))).status, 204, "on the same connection");
    }
    assert_eq!(origin.get("cam").status, 404);
    assert_eq!(wire.ask(&Request::new("GET", origin.path("cam%230/live.m3u8#x")).bearer(&origin.player)).status, 400);
    assert_eq!(wire.ask(&Request::new("GET", origin.path("cam%230/live.m3u8")).bearer(&origin.player)).status, 200);
    // A body that comes behind a refusal is no head, whatever it looks like.
    let mut wire = Wire::open(origin.address);
    let refused = Request::new("PUT", origin.path("a.m3u8")).body("#EXTM3U\n").to_bytes();
    let (head, body) = refused.split_at(refused.len() - 8);
    assert_eq!(wire.write(head).answer_to("PUT").status, 401);
    wire.write(body);
    assert_eq!(wire.ask(&put("a.m3u8")).status, 204);
    let told = origin.refusals();
    assert!(told.iter().any(|line| line["detail"].as_str().is_some_and(|detail| detail.contains("%23"))), "{told:?}");
}

#[test]
fn a_number_sign_is_seen_in_requests_that_come_before_their_turn_and_in_pieces() {
    let origin = Origin::start();
    let put = |key: &str| Request::new("PUT", origin.path(key)).bearer(&origin.encoder).body("#EXTM3U\n").to_bytes();
    let chunked = |key: &str| Request::new("PUT", origin.path(key)).bearer(&origin.encoder).chunked("media", 2).to_bytes();
    // As ffmpeg does over a connection that it keeps: it waits for no answer.
    let mut wire = Wire::open(origin.address);
    let all = [put("a.m3u8"), put("cam#1/live.m3u8"), chunked("b.ts"), chunked("cam#1/1.ts"), put("c.m3u8")].concat();
    wire.write(&all);
    let statuses: Vec<u16> = (0..5).map(|_| wire.answer_to("PUT").status).collect();
    assert_eq!(statuses, [204, 400, 204, 400, 204]);
    let line = put("cam#2/live.m3u8");
    for cut in [1, 8, 30, 40, 60] {
        let (one, other) = line.split_at(cut);
        wire.write(one);
        thread::sleep(Duration::from_millis(30));
        assert_eq!(wire.write(other).answer_to("PUT").status, 400, "{cut}");
    }
    assert_eq!(origin.get("cam").status, 404);
}

#[test]
fn a_percent_sign_that_begins_no_escape_is_refused_and_its_url_is_told() {
    let origin = Origin::start();
    for key in ["%zz.ts", "100%.ts", "a/%4"] {
        let url = format!("/cache/live-origin/{key}?token=secret.{}", origin.encoder);
        let refused = Request::new("PUT", url).bearer(&origin.encoder).body("media").send(origin.address);
        assert_eq!((refused.status, &*refused.problem()), (400, "bad-request"), "{key}");
        assert!(refused.text().contains("%25"), "{}", refused.text());
        let told = origin.refusals();
        let url = told.last().unwrap()["url"].as_str().unwrap();
        assert!(url.starts_with(&format!("/cache/live-origin/{key}")) && !url.contains("secret"), "{url}");
    }
    origin.store("%25zz.ts", "media");
    assert_eq!(origin.get("%25zz.ts").text(), "media");
    assert_eq!(origin.get("%zz.ts").status, 400);
}
