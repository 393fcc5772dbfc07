//! Viewers' tokens at a CDN's edge: the function for Amazon CloudFront, whose verdicts are those of the origin, and caches that ask the origin
//! by `/entitlement`.

use std::fs;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::documents::blocks;
use crate::front::{free_port, nginx_with};
use crate::harness::{NAMESPACE, Origin, eventually};
use crate::programs::program;
use crate::tokens::{Cbor, Minter, code, now, rows};
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
    let writer = thread::spawn(move || input.write_all(lines.as_bytes()));
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

/// Ended by its id at the edge, as at the origin; and while nobody can tell there, it does not go in.
#[test]
fn the_edge_lets_in_nobody_who_may_be_revoked() {
    let origin = origin();
    let minter = Minter::of(&origin);
    let known = store(&minter, &fs::read_to_string(origin.data_dir().join("viewer.key")).unwrap());
    let token = |id: &str| minter.seal(&minter.draft(NAMESPACE, "/", now() + 600).claim(7, Cbor::Bytes(id.as_bytes().to_vec())));
    let id = |token: &str| {
        let inspected: Value = serde_json::from_slice(&origin.run(&["token", "inspect", token]).stdout).unwrap();
        inspected["token_id"].as_str().unwrap().to_owned()
    };
    let [short, one, other] = ["short", "customer-session-0001", "customer-session-0002"].map(token);
    for (key, status) in [
        ("r:v-00".to_owned(), [200, 200, 200]),
        (format!("r:{}", id(&short)), [401, 200, 200]),
        (format!("r:{}", id(&one)), [200, 401, 200]),
        // As it was named once.
        ("r:v-637573746f6d65722d73657373696f6e".to_owned(), [200, 401, 401]),
        ("down".to_owned(), [503, 503, 503]),
    ] {
        let mut store = known.clone();
        store[&key] = json!("1");
        let events = [&short, &one, &other].map(|token| event("GET", "/show/a.ts", "path", token));
        let found: Vec<_> = run(&store, &events).iter().map(|answer| verdict(answer).0).collect();
        assert_eq!(found, status, "{key}");
    }
}

#[test]
fn the_template_has_the_function_on_every_behaviour() {
    let template = fs::read_to_string(file("config/cloudfront.yaml")).unwrap();
    let function = fs::read_to_string(file("config/cloudfront-viewer.js")).unwrap();
    let (_, code) = template.split_once("FunctionCode: !Sub |\n").expect("the function is in the template");
    let lines = code.lines().take_while(|line| line.is_empty() || line.starts_with("        "));
    let code: String = lines.map(|line| line.strip_prefix("        ").unwrap_or(line).to_owned() + "\n").collect();
    let expected = function.replace("var NAMESPACE = 'live-origin';", "var NAMESPACE = '${Namespace}';");
    assert!(expected != function && !function.contains("${"), "nothing else is put in");
    assert_eq!(code.trim_end(), expected.trim_end(), "copy config/cloudfront-viewer.js into config/cloudfront.yaml");
    let (_, distribution) = template.split_once("Type: AWS::CloudFront::Distribution").unwrap();
    let behaviours = distribution.matches("TargetOriginId: springhead").count();
    let checked = distribution.matches("- - EventType: viewer-request\n").count();
    assert_eq!((behaviours, checked), (5, 5), "one without it is open");
    // A behaviour is chosen by the path as viewers send it.
    let pattern = template.split_once("PlaylistPathPattern:").unwrap().1;
    assert!(pattern.split_once("Default: ").unwrap().1.starts_with("'*playlist_*.m3u8'"));
}

/// Told to end, and not killed, it ends its workers too.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status();
        if eventually(Duration::from_secs(5), || self.0.try_wait().ok().flatten()).is_none() {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

/// A cache in front, by the page: viewers share one copy, and each is asked about.
fn shares(kind: &str, start: impl FnOnce(&Origin, &Path, SocketAddr) -> Command) {
    let origin = Origin::start_with_settings(&format!("[namespaces.{NAMESPACE}.viewers]\nmode = \"edge\"\nbase_path = \"/\"\n"));
    origin.store("show/a.ts", "segment");
    origin.store("show/b.ts", "another");
    let mut list = "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXT-X-MEDIA-SEQUENCE:0\n".to_owned();
    for n in 0..2 {
        origin.store(&format!("show/{n}.ts"), "media");
        list += &format!("#EXT-X-PROGRAM-DATE-TIME:2026-01-02T20:00:{n}0Z\n#EXTINF:10,\n{n}.ts\n");
    }
    origin.store("show/w.m3u8", list);
    let minter = Minter::of(&origin);
    let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let dir = origin.folder().join(kind);
    fs::create_dir(&dir).unwrap();
    let log = fs::File::create(dir.join("out.txt")).unwrap();
    let mut command = start(&origin, &dir, address);
    command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    let _cache = Ended(command.spawn().unwrap());
    let token = |number: u64, expires: u64| {
        let id = Cbor::Bytes(number.to_be_bytes().to_vec());
        minter.seal(&minter.draft(NAMESPACE, "/show/", expires).claim(7, id))
    };
    let get = |path: &str| Request::new("GET", path).try_send(address);
    let up = eventually(Duration::from_secs(30), || {
        TcpStream::connect(address).ok()?;
        get("/show/a.ts").filter(|answer| answer.status == 401)
    });
    assert!(up.is_some(), "{kind} does not come up");
    let reads =
        || origin.metric(&format!("springhead_http_requests_total{{method=\"GET\",status=\"200\",namespace=\"{NAMESPACE}\"}}"));
    let before = reads();
    for number in 0..1000 {
        let answer = get(&format!("/~{}/show/a.ts", token(number, now() + 600))).expect("an answer");
        assert_eq!((answer.status, answer.text().as_str()), (200, "segment"), "{kind}: {answer:?}");
    }
    let asked = reads() - before;
    assert!(asked <= 10.0, "{kind}: of 1,000 viewers' reads {asked} went to the origin");
    // What players say of themselves in the query makes no copies, and what they ask of a playlist gets there.
    let before = reads();
    for number in 0..2 {
        let answer = get(&format!("/~{}/show/b.ts?CMCD=sid%3D{number}", token(number, now() + 600))).expect("an answer");
        assert_eq!((answer.status, answer.text().as_str()), (200, "another"), "{kind}: {answer:?}");
    }
    assert!((reads() - before - 1.0).abs() < f64::EPSILON, "{kind}: asked {} times, with another CMCD each", reads() - before);
    for (window, listed) in
        [("end=2026-01-02T20:00:10Z", "0.ts"), ("start=2026-01-02T20:00:10Z&end=2026-01-02T20:00:20Z", "1.ts")]
    {
        let answer = get(&format!("/~{}/show/w.m3u8?CMCD=x&{window}", token(0, now() + 600))).expect("an answer");
        let text = answer.text();
        let found: Vec<_> = text.lines().filter(|line| line.ends_with(".ts")).collect();
        assert_eq!((answer.status, &found[..]), (200, &[listed][..]), "{kind}: {window}: {text}");
    }
    let ended = get(&format!("/~{}/show/a.ts", token(1, 1))).unwrap();
    assert_eq!(ended.status, 401, "{kind}: refused on a hit");
    let elsewhere = get(&format!("/~{}/other/a.ts", token(1, now() + 600))).unwrap();
    assert_eq!(elsewhere.status, 403, "{kind}");
    // A browser asks first whether it may send a header of its own: without one.
    for path in [format!("/~{}/show/a.ts", token(1, now() + 600)), "/show/a.ts".to_owned()] {
        let preflight = Request::new("OPTIONS", path).header("Origin", "https://www.example");
        let preflight = preflight.header("Access-Control-Request-Method", "GET").try_send(address).expect("an answer");
        let methods = preflight.header("access-control-allow-methods");
        assert!(preflight.status == 204 && methods.contains("GET"), "{kind}: {preflight:?}");
    }
    if kind == "haproxy" {
        // In HTTP/2 it is asked for a whole URI, and not for a path.
        let url = format!("http://{address}/~{}/show/a.ts", token(1, now() + 600));
        let mut curl = program("curl");
        curl.args(["-s", "--http2-prior-knowledge", "--max-time", "60", "-w", " %{http_code}", &url]);
        let said = curl.output().unwrap();
        assert_eq!(String::from_utf8_lossy(&said.stdout), "segment 200", "{said:?}");
    }
}

/// A way to the origin on which each connection counts.
fn counting(origin: SocketAddr, count: &Arc<AtomicUsize>) -> SocketAddr {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let (address, count) = (listener.local_addr().unwrap(), Arc::clone(count));
    thread::spawn(move || {
        for near in listener.incoming().flatten() {
            count.fetch_add(1, Ordering::SeqCst);
            let Ok(far) = TcpStream::connect(origin) else { continue };
            let back = (far.try_clone().unwrap(), near.try_clone().unwrap());
            for (mut from, mut to) in [(near, far), back] {
                thread::spawn(move || {
                    let _ = io::copy(&mut from, &mut to);
                    let _ = to.shutdown(Shutdown::Write);
                });
            }
        }
    });
    address
}

#[test]
fn nginx_shares_one_copy_among_viewers_and_asks_about_each() {
    let http = blocks("docs/entitlements.md", "nginx").remove(0);
    let connections = Arc::new(AtomicUsize::new(0));
    shares("nginx", |origin, dir, address| {
        let http = http
            .replace("/var/cache/nginx/live", &dir.join("cache").display().to_string())
            .replace("origin.example.com:8080", &counting(origin.address, &connections).to_string())
            .replace("\"KEY\"", &format!("\"{}\"", origin.player))
            .replace("listen 80;", &format!("listen {address};"));
        nginx_with(dir, &http)
    });
    let made = connections.load(Ordering::SeqCst);
    assert!(made < 50, "for 1,000 viewers {made} connections were made to ask about them");
}

#[test]
fn varnish_shares_one_copy_among_viewers_and_asks_about_each() {
    let vcl = blocks("docs/entitlements.md", "vcl").remove(0);
    shares("varnish", |origin, dir, address| {
        let vcl = vcl
            .replace("origin.example.com", "127.0.0.1")
            .replace("\"8080\"", &format!("\"{}\"", origin.address.port()))
            .replace("\"KEY\"", &format!("\"{}\"", origin.player));
        fs::write(dir.join("cdn.vcl"), vcl).unwrap();
        let mut command = program("varnishd");
        command.args(["-F", "-j", "none", "-a", &address.to_string(), "-s", "malloc,64m", "-p", "thread_pool_min=5"]);
        command.arg("-f").arg(dir.join("cdn.vcl")).arg("-n").arg(dir.join("varnish"));
        command
    });
}

#[test]
fn haproxy_shares_one_copy_among_viewers_and_asks_about_each() {
    let [lua, settings] = ["lua", "haproxy"].map(|kind| blocks("docs/entitlements.md", kind).remove(0));
    shares("haproxy", |origin, dir, address| {
        let origin_address = origin.address.to_string();
        let script = dir.join("viewers.lua");
        fs::write(&script, lua.replace("origin.example.com:8080", &origin_address)).unwrap();
        let settings = settings
            .replace("/etc/haproxy/viewers.lua", &script.display().to_string())
            .replace("origin.example.com:8080", &origin_address)
            .replace("Authorization KEY", &format!("Authorization {}", origin.player))
            .replace("bind :80", &format!("bind {address}"));
        fs::write(dir.join("haproxy.cfg"), settings).unwrap();
        let mut command = program("haproxy");
        // Room for as many connections as there may be file descriptors would take its time.
        command.args(["-db", "-n", "2000", "-f"]).arg(dir.join("haproxy.cfg"));
        command
    });
}
