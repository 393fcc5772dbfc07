//! Requests that two servers could read differently, and tokens that two verifiers could. Each is refused, or read in the one way
//! that RFC 9112 knows; what hides in its body is never taken for a request, and the server goes on.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::harness::{NAMESPACE, Origin};
use crate::wire::{Request, Wire};

/// The statuses of all answers to these bytes on one connection, up to its end.
fn statuses(origin: &Origin, bytes: &[u8]) -> Vec<u16> {
    let mut wire = Wire::open(origin.address);
    // The server may refuse before it has read everything.
    if wire.try_write(bytes) {
        let _ = wire.try_end_writing();
    }
    let mut found = Vec::new();
    while let Some(answer) = wire.try_answer_to("GET") {
        found.push(answer.status);
    }
    found
}

/// An origin with an object that smuggled requests are after.
struct Bench {
    origin: Origin,
    /// A request that would remove the victim.
    hidden: String,
    /// An honest request that follows on the connection, answered 200.
    next: String,
    /// The first lines of an upload, up to what frames its body.
    put: String,
    get: String,
}

impl Bench {
    fn start() -> Self {
        let origin = Origin::start();
        origin.store("victim.ts", "the victim");
        let lines = |method: &str, key: &str| {
            let path = origin.path(key);
            format!("{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\n", origin.encoder)
        };
        let hidden = lines("DELETE", "victim.ts") + "\r\n";
        let next = lines("GET", "victim.ts") + "\r\n";
        let (put, get) = (lines("PUT", "a.ts"), lines("GET", "victim.ts"));
        Self { origin, hidden, next, put, get }
    }

    /// Sends a request that is followed by an honest one, and expects these answers in all.
    fn expect(&self, what: &str, request: impl AsRef<[u8]>, expected: &[&[u16]]) {
        let found = statuses(&self.origin, &[request.as_ref(), self.next.as_bytes()].concat());
        assert!(expected.contains(&&*found), "{what}: answered {found:?}, not one of {expected:?}");
        assert_eq!(self.origin.get("victim.ts").text(), "the victim", "{what}: the hidden request was taken for one");
    }
}

#[test]
fn a_body_has_one_length() {
    let bench = Bench::start();
    let Bench { put, hidden, .. } = &bench;
    let with = |framing: &str, body: &str| format!("{put}{framing}\r\n\r\n{body}");
    let empty_then_hidden = format!("0\r\n\r\n{hidden}");

    // Both: the chunks count, and nothing that follows does (RFC 9112 6.1).
    for framing in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\nConnection: keep-alive",
    ] {
        bench.expect(framing, with(framing, &empty_then_hidden), &[&[204], &[400]]);
    }
    // A coding that may or may not be `chunked`: never read as if there were no body.
    for framing in [
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: \"chunked\"",
        "Transfer-Encoding: chunked;q=1",
        "Transfer-Encoding:\u{b}chunked",
        "Transfer-Encoding: chunked\u{0}",
        "Transfer-Encoding: chun\r\n ked",
        "Transfer-Encoding:\r\n chunked",
        " Transfer-Encoding: chunked",
        "X: y\r\n Transfer-Encoding: chunked",
        "X: y\rTransfer-Encoding: chunked",
        "Transfer-Encoding: ",
    ] {
        let framing = format!("Content-Length: {}\r\n{framing}", empty_then_hidden.len());
        bench.expect(&framing, with(&framing, &empty_then_hidden), &[&[400], &[501]]);
    }
    for framing in ["Transfer-Encoding: identity\r\nTransfer-Encoding: chunked", "Transfer-Encoding: gzip, chunked"] {
        // Understood, and not taken: what follows the last chunk is the next request.
        bench.expect(framing, with(framing, "0\r\n\r\n"), &[&[501, 200], &[400]]);
    }
    for framing in ["Transfer-Encoding: CHUNKED", "transfer-encoding:\tchunked \t"] {
        bench.expect(framing, with(framing, "5\r\nmedia\r\n0\r\n\r\n"), &[&[204, 200]]);
    }
    let old = format!("PUT {} HTTP/1.0\r\nAuthorization: {}\r\n", bench.origin.path("a.ts"), bench.origin.encoder);
    bench.expect("chunks in HTTP/1.0", format!("{old}Transfer-Encoding: chunked\r\n\r\n{empty_then_hidden}"), &[&[400]]);

    for length in [
        "5\r\nContent-Length: 6",
        "5, 5",
        "5,6",
        "+5",
        "-5",
        "0x5",
        "5a",
        "5 5",
        "5.0",
        "",
        "\u{664}",
        "99999999999999999999999",
        "-1",
        "18446744073709551616",
    ] {
        let framing = format!("Content-Length: {length}");
        bench.expect(&framing, with(&framing, &format!("media{hidden}")), &[&[400]]);
    }
    let huge = "Content-Length: 18446744073709551615";
    bench.expect(huge, with(huge, &format!("media{hidden}")), &[&[400], &[413], &[431]]);
    for framing in ["Content-Length: 5\r\nContent-Length: 5", "Content-Length:5", "Content-Length: \t5 ", "Content-Length: 005"] {
        bench.expect(framing, with(framing, "media"), &[&[204, 200], &[400]]);
    }
}

#[test]
fn chunks_are_read_strictly() {
    let bench = Bench::start();
    bench.origin.store("a.ts", "the old version");
    let Bench { put, hidden, .. } = &bench;
    let chunked = |body: &str| format!("{put}Transfer-Encoding: chunked\r\n\r\n{body}");
    let many_trailers = format!("0\r\n{}\r\n", "X: y\r\n".repeat(5_000));
    for body in [
        "5\nmedia\r\n0\r\n\r\n",
        "5;a\nb\r\nmedia\r\n0\r\n\r\n",
        "5;a\rb\r\nmedia\r\n0\r\n\r\n",
        "+5\r\nmedia\r\n0\r\n\r\n",
        "-5\r\nmedia\r\n0\r\n\r\n",
        "0x5\r\nmedia\r\n0\r\n\r\n",
        "5h\r\nmedia\r\n0\r\n\r\n",
        "5 5\r\nmedia\r\n0\r\n\r\n",
        "5\r\nmediaX\r\n0\r\n\r\n",
        "5\r\nmedia\n0\r\n\r\n",
        "5\r\nmedia0\r\n\r\n",
        "\r\nmedia\r\n0\r\n\r\n",
        "fffffffffffffffff\r\nmedia\r\n0\r\n\r\n",
        "10000000000000005\r\nmedia\r\n0\r\n\r\n",
        "ffffffffffffffff\r\nmedia\r\n0\r\n\r\n",
        &format!("5;{}\r\nmedia\r\n0\r\n\r\n", "x".repeat(100 << 10)),
        &many_trailers,
        &format!("0\r\nX: {}\r\n\r\n", "y".repeat(100 << 10)),
    ] {
        let what = &body[..body.len().min(40)];
        bench.expect(what, chunked(&format!("{body}{hidden}")), &[&[400], &[413], &[]]);
        assert_eq!(bench.origin.get("a.ts").text(), "the old version", "{what}: nothing is stored");
    }
    for body in [
        "5\r\nmedia\r\n0\r\n\r\n",
        "005\r\nmedia\r\n000\r\n\r\n",
        "5;name=value\r\nmedia\r\n0;last\r\n\r\n",
        "2;\"a;b\"\r\nme\r\n3\r\ndia\r\n0\r\n\r\n",
        "5\r\nmedia\r\n0\r\nContent-Length: 1000\r\nTransfer-Encoding: identity\r\n\r\n",
    ] {
        bench.expect(body, chunked(body), &[&[204, 200]]);
        assert_eq!(bench.origin.get("a.ts").text(), "media", "{body}");
    }
}

#[test]
fn what_hides_in_a_body_stays_there() {
    let bench = Bench::start();
    let Bench { origin, hidden, .. } = &bench;
    let frame = |lines: &str| {
        [
            format!("{lines}Content-Length: {}\r\n\r\n{hidden}", hidden.len()),
            format!("{lines}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{hidden}\r\n0\r\n\r\n", hidden.len()),
        ]
    };
    let path = origin.path("a.ts");
    for (lines, status) in [
        (bench.get.clone(), 200),
        (bench.put.clone(), 204),
        (format!("PUT {path} HTTP/1.1\r\nHost: x\r\n"), 401),
        (format!("PUT {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\n", origin.player), 403),
        (format!("DELETE {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\n", origin.encoder), 204),
        (format!("OPTIONS {path} HTTP/1.1\r\nHost: x\r\n"), 204),
        (format!("PATCH {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {}\r\n", origin.encoder), 405),
        ("POST /elsewhere HTTP/1.1\r\nHost: x\r\n".to_owned(), 404),
        ("GET /livez HTTP/1.1\r\nHost: x\r\n".to_owned(), 200),
    ] {
        for request in frame(&lines) {
            bench.expect(&lines, request, &[&[status, 200], &[status]]);
        }
    }
}

#[test]
fn a_head_is_read_in_one_way() {
    let bench = Bench::start();
    let Bench { origin, get, next, .. } = &bench;
    let (path, key) = (origin.path("victim.ts"), &origin.encoder);
    let authorization = format!("Authorization: {key}\r\n");
    let refused: &[&[u16]] = &[&[400]];
    for line in [
        "X : y",
        " X: y",
        "X: y\r\n z",
        "X\u{0}: y",
        "X: y\u{0}",
        "X: y\rz",
        "X: \u{7f}",
        ": y",
        "no colon",
        "(X): y",
        "X\t: y",
        "é: y",
    ] {
        bench.expect(line, format!("{get}{line}\r\n\r\n"), refused);
    }
    for first in [
        format!("GET {path}"),
        format!("GET {path} HTTP/0.9"),
        format!("GET {path} HTTP/1.2"),
        format!("GET {path} HTTP/3.0"),
        format!("GET {path} http/1.1"),
        format!("GET {path} HTTP/1.1 HTTP/1.1"),
        format!("GET  {path} HTTP/1.1"),
        format!("GET\t{path}\tHTTP/1.1"),
        format!("GET {path}\u{0} HTTP/1.1"),
        format!("GET {path} x HTTP/1.1"),
        format!("G\u{0}T {path} HTTP/1.1"),
        format!("G@T {path} HTTP/1.1"),
        format!(" GET {path} HTTP/1.1"),
    ] {
        bench.expect(&first, format!("{first}\r\nHost: x\r\n{authorization}\r\n"), refused);
    }

    // Targets in the other forms: the path counts, and no host is believed.
    for (target, status) in [
        (format!("http://elsewhere.example{path}"), 200),
        (format!("https://user:word@elsewhere.example:1{path}"), 200),
        ("elsewhere.example:443".to_owned(), 404),
        ("*".to_owned(), 404),
        ("http://elsewhere.example".to_owned(), 404),
        (format!("//elsewhere.example{path}"), 404),
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: x\r\n{authorization}\r\n");
        bench.expect(&target, request, &[&[status, 200], &[400]]);
    }
    bench.expect("CONNECT", "CONNECT elsewhere.example:443 HTTP/1.1\r\nHost: x\r\n\r\n", &[&[404, 200], &[404], &[405]]);
    bench.expect("get", format!("get {path} HTTP/1.1\r\nHost: x\r\n{authorization}\r\n"), &[&[405, 200]]);

    // Just one Host in HTTP/1.1 (RFC 9112 3.2), and none needed before.
    for hosts in ["", "Host: a\r\nHost: b\r\n", "Host: a\r\nHost: a\r\n"] {
        let request = format!("GET {path} HTTP/1.1\r\n{hosts}{authorization}\r\n");
        bench.expect(&format!("hosts {hosts:?}"), request, &[&[400, 200]]);
    }
    bench.expect("an empty Host", format!("GET {path} HTTP/1.1\r\nHost:\r\n{authorization}\r\n"), &[&[200, 200]]);
    bench.expect("HTTP/1.0", format!("GET {path} HTTP/1.0\r\n{authorization}\r\n"), &[&[200]]);
    let kept = format!("GET {path} HTTP/1.0\r\nConnection: keep-alive\r\n{authorization}\r\n");
    bench.expect("HTTP/1.0, kept", kept, &[&[200, 200]]);

    // Lines that end in LF alone (RFC 9112 2.2 allows it) mean what they mean with CR LF.
    bench.expect("LF", get.replace("\r\n", "\n") + "\n", &[&[200, 200], &[400]]);
    bench.expect("empty lines first", format!("\r\n\r\n{next}"), &[&[200, 200]]);
    let upgrade = format!("{get}Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n");
    bench.expect("an upgrade", upgrade, &[&[200, 200]]);
}

#[test]
fn what_is_too_long_is_refused() {
    let bench = Bench::start();
    let Bench { origin, get, .. } = &bench;
    let long = "x".repeat(100 << 10);
    for (what, request) in [
        ("a long value", format!("{get}X: {long}\r\n\r\n")),
        ("a long name", format!("{get}{long}: x\r\n\r\n")),
        ("a long value that never ends", format!("{get}X: {long}")),
        ("many headers", format!("{get}{}\r\n", "X: y\r\n".repeat(5_000))),
        ("200 headers", format!("{get}{}\r\n", "X: y\r\n".repeat(200))),
        ("a long key in a header", Request::new("GET", origin.path("victim.ts")).bearer(&long).as_text()),
        ("a long URL", Request::new("GET", origin.path(&long)).as_text()),
        ("a long token in the URL", Request::new("GET", format!("{}?token={long}", origin.path("victim.ts"))).as_text()),
        ("a long method", format!("{long} / HTTP/1.1\r\nHost: x\r\n\r\n")),
    ] {
        bench.expect(what, request, &[&[431], &[414], &[400]]);
    }
    assert_eq!(Request::new("GET", "/livez").send(origin.address).status, 200);
}

#[test]
fn no_token_chooses_how_it_is_checked() {
    let origin = Origin::start();
    origin.store("a.ts", "media");
    let signing_key = std::fs::read_to_string(origin.data_dir().join("signing.key")).unwrap();
    let line = signing_key.lines().find(|line| !line.starts_with('#') && !line.is_empty()).unwrap();
    let secret = URL_SAFE_NO_PAD.decode(line.split('#').next().unwrap().trim()).unwrap();
    let header = URL_SAFE_NO_PAD.decode(origin.player.split('.').next().unwrap()).unwrap();
    let header: serde_json::Value = serde_json::from_slice(&header).unwrap();
    let kid = header["kid"].as_str().unwrap();
    let sign = |algorithm: hmac::Algorithm, header: &str, payload: &str| {
        let text = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
        let tag = hmac::sign(&hmac::Key::new(algorithm, &secret), text.as_bytes());
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(tag))
    };
    let head = |algorithm: &str| format!(r#"{{"typ":"JWT","alg":"{algorithm}","kid":"{kid}"}}"#);
    let claims = format!(r#"{{"jti":"x1","role":"readwrite","ns":["{NAMESPACE}"],"iat":1}}"#);
    let hs256 = |header: &str, payload: &str| sign(hmac::HMAC_SHA256, header, payload);
    let status = |token: &str| {
        let path = origin.path("a.ts");
        let in_header = Request::new("GET", &*path).bearer(token).send(origin.address).status;
        let in_query = Request::new("GET", format!("{path}?token={token}")).send(origin.address).status;
        assert_eq!(in_header, in_query, "the same wherever it stands: {token}");
        let written = Request::new("PUT", path).header("Authorization", token).body("forged").send(origin.address).status;
        assert_eq!((in_header == 200, in_header == 401), (written == 204, written == 401), "{token}");
        in_header
    };
    assert_eq!(status(&hs256(&head("HS256"), &claims)), 200, "made by hand just as the server makes it");
    origin.store("a.ts", "media");

    let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let good = hs256(&head("HS256"), &claims);
    let parts: Vec<&str> = good.split('.').collect();
    let mut forged = vec![
        // Signed with the real secret, but in another way than ours.
        sign(hmac::HMAC_SHA384, &head("HS384"), &claims),
        sign(hmac::HMAC_SHA512, &head("HS512"), &claims),
        sign(hmac::HMAC_SHA384, &head("HS256"), &claims),
        // A token about no key, about another one, and one that brings its own.
        hs256(r#"{"typ":"JWT","alg":"HS256"}"#, &claims),
        hs256(r#"{"typ":"JWT","alg":"HS256","kid":"../../dev/null"}"#, &claims),
        hs256(&format!(r#"{{"alg":"HS256","alg":"none","kid":"{kid}"}}"#), &claims),
        // Nested, encrypted in form, doubled, cut.
        hs256(&head("HS256").replace("JWT\"", "JWT\",\"cty\":\"JWT\""), &good),
        hs256(&head("HS256"), &format!("\"{good}\"")),
        format!("{good}.{}.{}", parts[1], parts[2]),
        format!("{good}{good}"),
        format!("{}.{}", parts[0], parts[1]),
        format!("{}.{}.", parts[0], parts[1]),
        format!("{}..{}", parts[0], parts[2]),
        format!("{good}="),
        // Well signed, and claims that are none.
        hs256(&head("HS256"), "{}"),
        hs256(&head("HS256"), "[]"),
        hs256(&head("HS256"), "not JSON"),
        hs256(&head("HS256"), &claims.replace("readwrite", "root")),
        hs256(&head("HS256"), &claims.replace("x1", "../x")),
        hs256(&head("HS256"), &claims.replace("x1", &"x".repeat(100))),
        hs256(&head("HS256"), &claims.replace("[", "").replace(']', "")),
        hs256(&head("HS256"), &claims.replace("\"iat\":1", "\"iat\":1,\"exp\":2")),
        hs256(&head("HS256"), &claims.replace("\"iat\":1", "\"iat\":1,\"exp\":-1")),
        hs256(&head("HS256"), &claims.replace("\"iat\":1", "\"iat\":1,\"exp\":\"never\"")),
        // Too long to be one.
        hs256(&head("HS256"), &claims.replace("\"iat\":1", &format!("\"iat\":1,\"x\":\"{}\"", "x".repeat(5_000)))),
        "x".repeat(20_000),
        ".".repeat(20_000),
        format!("{}.{}", encode(&"[".repeat(10_000)), parts[1..].join(".")),
    ];
    for algorithm in ["none", "None", "NONE", "nOnE", "", "RS256", "ES256", "PS256", "EdDSA", "HS1", "dir"] {
        for signature in ["", parts[2]] {
            forged.push(format!("{}.{}.{signature}", encode(&head(algorithm)), parts[1]));
        }
    }
    for token in forged {
        assert_eq!(status(&token), 401, "{token}");
    }
    assert_eq!(origin.get("a.ts").text(), "media");
}

#[test]
fn every_verb_takes_exactly_one_host() {
    let origin = Origin::start();
    for verb in ["GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS", "PROPFIND", "MKCOL", "PATCH"] {
        for hosts in ["", "Host: a\r\nHost: b\r\n"] {
            let head = format!("{verb} {} HTTP/1.1\r\n{hosts}Authorization: {}\r\n\r\n", origin.path("a.ts"), origin.encoder);
            assert_eq!(Wire::open(origin.address).write(head).answer_to(verb).status, 400, "{verb} with {hosts:?}");
        }
    }
}
