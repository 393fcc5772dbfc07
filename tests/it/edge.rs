//! Viewers' tokens at a CDN's edge: the function for Amazon CloudFront, whose verdicts are those of the origin, and caches that ask the origin
//! by `/entitlement`.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::harness::{NAMESPACE, Origin};
use crate::programs::program;
use crate::tokens::{Minter, code, now, rows};
use crate::wire::Request;

fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// The shipped function in Node, one answer to each event.
fn run(store: &Value, events: &[Value]) -> Vec<Value> {
    let mut node = program("node")
        .arg(file("tests/edge/cloudfront.mjs"))
        .arg(file("config/cloudfront-viewer.js"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = node.stdin.take().unwrap();
    let lines: String = events.iter().map(|event| json!({ "store": store, "event": event }).to_string() + "\n").collect();
    let writer = std::thread::spawn(move || input.write_all(lines.as_bytes()));
    let answers: Vec<Value> =
        BufReader::new(node.stdout.take().unwrap()).lines().map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
    writer.join().unwrap().unwrap();
    assert!(node.wait().unwrap().success() && answers.len() == events.len(), "{answers:?}");
    answers
}

/// A viewer's request as the function is told of it.
fn event(method: &str, uri: &str, form: &str, token: &str) -> Value {
    let (mut headers, mut cookies, mut query) = (json!({ "host": { "value": "localhost" } }), json!({}), json!({}));
    let mut uri = uri.to_owned();
    match form {
        "path" => uri = format!("/~{token}{uri}"),
        "query" => query = json!({ "_HLS_msn": { "value": "5" }, "cat": { "value": token } }),
        "header" => headers["cta-common-access-token"] = json!({ "value": token }),
        "cookie" => cookies["CTA-Common-Access-Token"] = json!({ "value": token }),
        _ => {}
    }
    let request = json!({ "method": method, "uri": uri, "headers": headers, "cookies": cookies, "querystring": query });
    json!({ "version": "1.0", "context": { "eventType": "viewer-request" }, "request": request })
}

/// What the function says: a status and a code, or the URI that is asked for.
fn verdict(answer: &Value) -> (u64, String) {
    match answer["statusCode"].as_u64() {
        None => (200, answer["uri"].as_str().unwrap().to_owned()),
        Some(302) => (302, answer["headers"]["location"]["value"].as_str().unwrap().to_owned()),
        Some(status) => {
            assert_eq!(answer["headers"]["cache-control"]["value"], "no-store");
            assert_eq!(answer["headers"]["access-control-allow-origin"]["value"], "*");
            let body: Value = serde_json::from_str(answer["body"]["data"].as_str().unwrap()).unwrap();
            (status, body["type"].as_str().unwrap().trim_start_matches("urn:springhead:problem:").to_owned())
        }
    }
}

/// A server behind such an edge: viewers' paths do not name the namespace.
fn origin() -> Origin {
    let origin =
        Origin::start_with_settings(&format!("[namespaces.{NAMESPACE}.viewers]\nmode = \"required\"\nbase_path = \"/\"\n"));
    origin.store("show/a.ts", "segment");
    origin.store("show/p.m3u8", "#EXTM3U\n");
    origin
}

/// What the edge's store holds of this minter's key.
fn store(minter: &Minter, key: &str) -> Value {
    json!({ format!("k:{}", minter.kid): key.trim() })
}

#[test]
fn the_edges_verdicts_are_the_origins() {
    let text = fs::read_to_string(file("config/cloudfront-viewer.js")).unwrap();
    assert!(text.len() <= 10_000, "{} bytes: a function may have 10 KB", text.len());
    let origin = origin();
    let minter = Minter::of(&origin);
    let store = store(&minter, &fs::read_to_string(origin.data_dir().join("viewer.key")).unwrap());
    let soon = |seconds: u64| minter.seal(&minter.draft(NAMESPACE, "/", seconds));
    let mut table: Vec<(&str, String, &str, &str)> =
        rows(&minter, "/").into_iter().map(|(name, token, ..)| (name, token, "GET", "/show/a.ts")).collect();
    let good = soon(now() + 600);
    for (name, token, method, uri) in [
        ("just ended", soon(now() - 5), "GET", "/show/a.ts"),
        ("just ended, of a playlist", soon(now() - 5), "GET", "/show/p.m3u8"),
        ("in the year 2100", soon(4_102_444_800), "GET", "/show/a.ts"),
        ("in the year 50000", soon(1_500_000_000_000), "GET", "/show/a.ts"),
        ("HEAD", good.clone(), "HEAD", "/show/a.ts"),
        ("PROPFIND", good.clone(), "PROPFIND", "/show/a.ts"),
        ("with escapes", good.clone(), "GET", "/show/%61.ts"),
        ("with a dot segment", good.clone(), "GET", "/show/../a.ts"),
        ("with an escaped dot segment", good.clone(), "GET", "/show/%2e%2e/a.ts"),
        ("with a doubled slash", good.clone(), "GET", "/show//a.ts"),
        ("with half an escape", good.clone(), "GET", "/show/%6"),
        ("OPTIONS", soon(1), "OPTIONS", "/show/a.ts"),
    ] {
        table.push((name, token, method, uri));
    }
    let forms = ["path", "query", "header", "cookie"];
    let cases: Vec<_> = table.iter().flat_map(|row| forms.map(|form| (row, form))).collect();
    let events: Vec<_> = cases.iter().map(|((_, token, method, uri), form)| event(method, uri, form, token)).collect();
    for (((name, token, method, uri), form), answer) in cases.iter().zip(run(&store, &events)) {
        let path = match *form {
            "path" => format!("/cache/{NAMESPACE}/~{token}{uri}"),
            "query" => format!("/cache/{NAMESPACE}{uri}?_HLS_msn=5&cat={token}"),
            _ => format!("/cache/{NAMESPACE}{uri}"),
        };
        let request = Request::new(method, path);
        let request = match *form {
            "header" => request.header("CTA-Common-Access-Token", token),
            "cookie" => request.header("Cookie", format!("CTA-Common-Access-Token={token}")),
            _ => request,
        };
        let ours = request.send(origin.address);
        let expected = match (ours.status, *method) {
            // Passed on, without the token.
            (200 | 204, _) => (200, uri.replace("%61", "a")),
            (302, _) => (302, ours.header("location").to_owned()),
            (status, "HEAD") => (u64::from(status), String::new()),
            (status, _) => (u64::from(status), code(&ours)),
        };
        assert_eq!(verdict(&answer), expected, "{name} by {form}: {token}");
        let passed = answer.to_string();
        assert!(expected.0 != 200 || *method == "OPTIONS" || !passed.contains(&token[..20]), "the token is taken off: {passed}");
    }
    // None, and a key that the edge has not got yet.
    let missing = run(&store, &[event("GET", "/show/a.ts", "none", "")]);
    assert_eq!(verdict(&missing[0]), (401, "viewer-token-missing".to_owned()));
    let unknown = run(&json!({}), &[event("GET", "/show/a.ts", "path", &good)]);
    assert_eq!(verdict(&unknown[0]), (401, "viewer-token-invalid".to_owned()));
}
