//! HTTP Digest and ingest credentials, with the clients that use them; and the two verbs of WebDAV.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use parking_lot::Mutex;

use crate::harness::{NAMESPACE, Origin, bytes, eventually};
use crate::programs::{limited, program};
use crate::wire::{Answer, Request};

/// A readwrite key in all its forms.
struct Encoder {
    api_key: String,
    user: String,
    password: String,
}

impl Encoder {
    fn read(json: &[u8]) -> Self {
        let json: serde_json::Value = serde_json::from_slice(json).unwrap();
        let text = |name: &str| json[name].as_str().unwrap().to_owned();
        assert_eq!(json["ingest_user"], json["key_id"]);
        Self { api_key: text("api_key"), user: text("ingest_user"), password: text("ingest_password") }
    }

    /// That of the first start.
    fn first(origin: &Origin) -> Self {
        Self::read(&std::fs::read(origin.data_dir().join("encoder_api_key.json")).unwrap())
    }

    /// A new one, once the running server knows it.
    fn make(origin: &Origin, arguments: &[&str]) -> Self {
        let made = origin.run(&[&["keys", "create", "--namespace", NAMESPACE, "--role", "readwrite"], arguments].concat());
        let encoder = Self::read(&made.stdout);
        let known = || (encoder.basic("GET", &origin.path("none")).send(origin.address).status == 404).then_some(());
        assert!(eventually(Duration::from_secs(2), known).is_some(), "known within a second or two");
        encoder
    }

    fn login(&self) -> String {
        format!("{}:{}", self.user, self.password)
    }

    fn basic(&self, method: &str, path: &str) -> Request {
        Request::new(method, path).header("Authorization", format!("Basic {}", STANDARD.encode(self.login())))
    }
}

/// curl's status, and all it says with -v.
fn curl(arguments: &[&str]) -> (String, String) {
    let output = program("curl")
        .args(["-s", "-v", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", "20"])
        .args(arguments)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "curl {arguments:?}: {said}");
    (String::from_utf8(output.stdout).unwrap(), said)
}

/// The last Authorization header that curl has sent.
fn authorization(said: &str) -> String {
    let line = said.lines().rev().find_map(|line| line.strip_prefix("> Authorization: "));
    line.unwrap_or_else(|| panic!("no credentials in {said}")).trim().to_owned()
}

fn file(origin: &Origin, body: &[u8]) -> PathBuf {
    let path = origin.folder().join("body.bin");
    std::fs::write(&path, body).unwrap();
    path
}

fn url(at: SocketAddr, path: &str) -> String {
    format!("http://{at}{path}")
}

/// Stands between a client and the server, changes challenges, and keeps what the client sends.
struct Relay {
    address: SocketAddr,
    sent: Arc<Mutex<Vec<u8>>>,
}

impl Relay {
    fn start(to: SocketAddr, edit: impl Fn(String) -> String + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (sent, edit) = (Arc::new(Mutex::new(Vec::new())), Arc::new(edit));
        let keep = Arc::clone(&sent);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(to) else { return };
                let (keep, edit) = (Arc::clone(&keep), Arc::clone(&edit));
                let (from_client, to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                thread::spawn(move || {
                    pass(from_client, to_server, |bytes| {
                        keep.lock().extend(&bytes);
                        bytes
                    });
                });
                // A refusal comes in one piece: it is short, and written at once.
                thread::spawn(move || {
                    pass(server, client, |bytes| {
                        if bytes.starts_with(b"HTTP/1.1 401") {
                            edit(String::from_utf8(bytes).unwrap()).into_bytes()
                        } else {
                            bytes
                        }
                    });
                });
            }
        });
        Self { address, sent }
    }

    fn sent(&self) -> String {
        String::from_utf8_lossy(&self.sent.lock()).into_owned()
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, edit: impl Fn(Vec<u8>) -> Vec<u8>) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if to.write_all(&edit(buffer[..count].to_vec())).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

#[test]
fn curl_is_let_in_whichever_way_it_is_told_to_log_in() {
    let origin = Origin::start();
    let encoder = Encoder::first(&origin);
    let mut number = 0;
    for login in [encoder.login(), format!("momento:{}", encoder.api_key)] {
        for (how, scheme) in [("--digest", "Digest "), ("--anyauth", "Digest "), ("--basic", "Basic ")] {
            for chunked in [false, true] {
                number += 1;
                let (name, body) = (format!("{number}.ts"), bytes(number, 300_000));
                let (file, to) = (file(&origin, &body), url(origin.address, &origin.path(&name)));
                let mut arguments = vec![how, "-u", &login, "-T", file.to_str().unwrap(), &to];
                if chunked {
                    arguments.extend(["-H", "Transfer-Encoding: chunked"]);
                }
                let (status, said) = curl(&arguments);
                assert_eq!(status, "204", "{how} chunked={chunked}: {said}");
                assert!(authorization(&said).starts_with(scheme), "{how}: {said}");
                assert!(origin.get(&name).body == body, "{how} chunked={chunked}");
            }
        }
        // What was written is read, and deleted, in the same way.
        let at = url(origin.address, &origin.path("1.ts"));
        assert_eq!(curl(&["--digest", "-u", &login, &at]).0, "200");
        assert_eq!(curl(&["--digest", "-u", &login, "-I", &at]).0, "200");
        assert_eq!(curl(&["--digest", "-u", &login, &format!("{at}?ttl_seconds=5&role=origin")]).0, "200");
        let other_form = url(origin.address, &format!("/cache/{NAMESPACE}?key=1.ts"));
        assert_eq!(curl(&["--digest", "-u", &login, &other_form]).0, "200");
        assert_eq!(curl(&["--digest", "-u", &login, "-X", "DELETE", &url(origin.address, &origin.path("2.ts"))]).0, "204");
    }
    let player = format!("x:{}", origin.player);
    assert_eq!(curl(&["--anyauth", "-u", &player, &url(origin.address, &origin.path("1.ts"))]).0, "200", "readers, too");
    assert!(origin.refusals().is_empty());
}

#[test]
fn either_hash_will_do() {
    let origin = Origin::start();
    let encoder = Encoder::first(&origin);
    let file = file(&origin, b"media");
    for algorithm in ["MD5", "SHA-256"] {
        let other = if algorithm == "MD5" { "algorithm=SHA-256" } else { "algorithm=MD5" };
        let relay = Relay::start(origin.address, move |answer| {
            let lines: Vec<&str> = answer.split("\r\n").filter(|line| !line.contains(other)).collect();
            lines.join("\r\n")
        });
        let to = url(relay.address, &origin.path("a.ts"));
        let (status, said) = curl(&["--digest", "-u", &encoder.login(), "-T", file.to_str().unwrap(), &to]);
        assert_eq!(status, "204", "{said}");
        assert!(authorization(&said).contains(&format!("algorithm={algorithm}")), "{said}");
    }
}

#[test]
fn the_empty_upload_that_asks_for_a_challenge_is_never_stored() {
    let origin = Origin::start();
    let encoder = Encoder::first(&origin);
    origin.store("a.ts", "media");
    let file = file(&origin, b"newer");
    let to = url(origin.address, &origin.path("a.ts"));
    let (status, said) = curl(&["--digest", "-u", "momento:wrong", "-T", file.to_str().unwrap(), &to]);
    assert!(status == "401" && said.contains("> Content-Length: 0"), "{said}");
    assert_eq!(origin.get("a.ts").text(), "media");
    let (status, said) = curl(&["--digest", "-u", &encoder.login(), "-T", file.to_str().unwrap(), &to]);
    assert!(status == "204" && said.contains("> Content-Length: 0"), "{said}");
    assert_eq!(origin.get("a.ts").text(), "newer");
    let stored = format!("springhead_uploads_total{{namespace=\"{NAMESPACE}\",outcome=\"stored\"}}");
    assert!((origin.metric(&stored) - 2.0).abs() < 0.1, "the two with a body");
}

#[test]
fn a_wrong_revoked_or_expired_ingest_credential_is_refused_and_the_log_says_why() {
    let origin = Origin::start();
    let encoder = Encoder::first(&origin);
    let short = Encoder::make(&origin, &["--expires", "3s"]);
    let revoked = Encoder::make(&origin, &[]);
    assert!(origin.run(&["keys", "revoke", &revoked.user]).status.success());
    let file = file(&origin, b"media");
    let to = url(origin.address, &origin.path("a.ts"));
    let digest = |login: &str| curl(&["--digest", "-u", login, "-T", file.to_str().unwrap(), &to]).0;
    for encoder in [&short, &revoked] {
        let ended = eventually(Duration::from_secs(5), || (digest(&encoder.login()) == "401").then_some(()));
        assert!(ended.is_some());
        assert_eq!(encoder.basic("PUT", &origin.path("a.ts")).body("x").send(origin.address).status, 401);
    }
    assert_eq!(digest(&format!("{}:wrong", encoder.user)), "401");
    assert_eq!(digest(&format!("momento:{}", encoder.password)), "401", "the password goes with its user name");
    let wrong = Encoder { password: "wrong".to_owned(), api_key: String::new(), user: encoder.user.clone() };
    assert_eq!(wrong.basic("PUT", &origin.path("a.ts")).body("x").send(origin.address).status, 401);
    let reasons: Vec<String> = origin.refusals().iter().map(|line| line["detail"].as_str().unwrap().to_owned()).collect();
    for reason in ["it has expired", "it has been revoked", "fit no key on record", "not its ingest password"] {
        assert!(reasons.iter().any(|found| found.contains(reason)), "{reason} is missing in {reasons:?}");
    }
    assert_eq!(digest(&encoder.login()), "204", "the others go on");
}

#[test]
fn only_a_key_that_writes_has_an_ingest_credential_and_it_is_shown_to_its_holder_alone() {
    let mut origin = Origin::start();
    for role in [&["--role", "readonly", "--namespace", NAMESPACE][..], &["--role", "admin"]] {
        let made = origin.run(&[&["keys", "create"][..], role].concat());
        assert!(made.status.success() && !String::from_utf8(made.stdout).unwrap().contains("ingest"), "{role:?}");
    }
    let player = std::fs::read_to_string(origin.data_dir().join("player_api_key.json")).unwrap();
    assert!(!player.contains("ingest"));
    let encoder = Encoder::first(&origin);
    let said = eventually(Duration::from_secs(5), || Some(origin.stdout()).filter(|said| said.contains("curl"))).unwrap();
    assert!(said.contains("ingest_user and ingest_password in ") && !said.contains(&encoder.password), "{said}");
    for list in [&["keys", "list"][..], &["keys", "list", "--json"]] {
        let list = String::from_utf8(origin.run(list).stdout).unwrap();
        assert!(list.contains(&encoder.user) && !list.contains(&encoder.password) && !list.contains("ingest"), "{list}");
    }
    let inspected = |origin: &Origin| origin.run(&["keys", "inspect", &encoder.api_key]).stdout;
    let shown: serde_json::Value = serde_json::from_slice(&inspected(&origin)).unwrap();
    assert_eq!((&shown["ingest_user"], &shown["ingest_password"]), (&(*encoder.user).into(), &(*encoder.password).into()));

    // The signing key is rotated: the credential lives as long as the key it belongs to.
    origin.stop();
    let signers = origin.data_dir().join("signing.key");
    let old = std::fs::read_to_string(&signers).unwrap();
    let new = URL_SAFE_NO_PAD.encode(std::array::from_fn::<u8, 32, _>(|n| u8::try_from(n).unwrap()));
    std::fs::write(&signers, format!("{new}\n{old}")).unwrap();
    origin.launch();
    let status = |origin: &Origin| encoder.basic("GET", &origin.path("none")).send(origin.address).status;
    assert_eq!(status(&origin), 404);
    let shown: serde_json::Value = serde_json::from_slice(&inspected(&origin)).unwrap();
    assert_eq!(shown["ingest_password"], *encoder.password, "still the same");
    origin.stop();
    std::fs::write(&signers, new).unwrap();
    origin.launch();
    assert_eq!(status(&origin), 401);

    // A key without a record: the token says all, the short password nothing.
    origin.stop();
    std::fs::write(&signers, old).unwrap();
    origin.launch();
    std::fs::remove_file(origin.data_dir().join(format!("keys/{}.json", encoder.user))).unwrap();
    assert!(eventually(Duration::from_secs(2), || (status(&origin) == 401).then_some(())).is_some());
    assert_eq!(Request::new("GET", origin.path("none")).bearer(&encoder.api_key).send(origin.address).status, 404);
    assert!(!String::from_utf8(inspected(&origin)).unwrap().contains("ingest"));
}

#[test]
fn an_old_nonce_is_answered_with_a_new_one_and_the_client_goes_on() {
    let origin = Origin::start();
    let encoder = Encoder::first(&origin);
    let file = file(&origin, b"media");
    let asked = Mutex::new(0);
    let relay = Relay::start(origin.address, move |answer| {
        let mut asked = asked.lock();
        *asked += 1;
        let lines = answer.split("\r\n").map(|line| match line.split_once("nonce=\"") {
            Some((before, _)) if *asked == 1 => format!("{before}nonce=\"from-long-ago\""),
            _ => line.to_owned(),
        });
        lines.collect::<Vec<_>>().join("\r\n")
    });
    let to = url(relay.address, &origin.path("a.ts"));
    let (status, said) = curl(&["--digest", "-u", &encoder.login(), "-T", file.to_str().unwrap(), &to]);
    assert_eq!(status, "204", "{said}");
    assert!(said.contains("from-long-ago") && said.contains("stale=true"), "{said}");
    assert_eq!(origin.get("a.ts").text(), "media");
    assert!(origin.refusals().is_empty(), "nothing to worry about");
    let wrong = curl(&["--digest", "-u", "momento:wrong", &url(origin.address, &origin.path("a.ts"))]).1;
    assert!(!wrong.contains("stale"), "with a wrong password another try is of no use");
}

#[test]
fn a_proof_outlives_a_restart_and_is_for_one_request_alone() {
    let mut origin = Origin::start();
    let encoder = Encoder::first(&origin);
    let path = origin.path("a.ts");
    let file = file(&origin, b"media");
    let to = url(origin.address, &path);
    let said = curl(&["--digest", "-u", &encoder.login(), "-T", file.to_str().unwrap(), &to]).1;
    let proof = authorization(&said);
    origin.stop();
    origin.launch();
    let send = |method: &str, path: &str, proof: &str| -> Answer {
        Request::new(method, path).header("Authorization", proof).body("again").send(origin.address)
    };
    assert_eq!(send("PUT", &path, &proof).status, 204, "also where the network repeats a request");
    assert_eq!(send("PUT", &format!("{path}?ttl_seconds=60"), &proof).status, 204, "some clients leave out the query");
    for (method, path, reason) in [
        ("DELETE", path.clone(), "fit no key on record"),
        ("PUT", origin.path("b.ts"), "another URI"),
        ("PUT", format!("/cache/{NAMESPACE}?key=a.ts"), "another URI"),
    ] {
        assert_eq!(send(method, &path, &proof).status, 401, "{method} {path}");
        let detail = origin.refusals().last().unwrap()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(reason), "{method} {path}: {detail}");
    }
    for (part, other) in [("qop=auth", "qop=auth-int"), ("algorithm=", "algorithm=SHA-512-"), ("cnonce=", "x=")] {
        let broken = proof.replace(part, other);
        assert_ne!(broken, proof);
        assert_eq!(send("PUT", &path, &broken).status, 401, "{other}");
        let detail = origin.refusals().last().unwrap()["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains("lack a part"), "{other}: {detail}");
    }
    assert_eq!(origin.get("b.ts").status, 404);
    assert_eq!(origin.get("a.ts").text(), "again");
}

/// Pushes for some seconds with the credentials in the URL; everything it lists in the end is there.
fn ffmpeg_pushes(login: impl Fn(&Encoder) -> String, persistent: bool) {
    let origin = Origin::start();
    let relay = Relay::start(origin.address, |answer| answer);
    let encoder = Encoder::first(&origin);
    let to = format!("http://{}@{}/cache/{NAMESPACE}/live.m3u8", login(&encoder), relay.address);
    let arguments = "-hide_banner -nostdin -v error -re -f lavfi -i testsrc2=size=320x180:rate=15 -t 6 -c:v libx264 \
        -preset ultrafast -tune zerolatency -g 15 -threads 1 -pix_fmt yuv420p -f hls -method PUT -hls_time 1 -hls_list_size 0";
    let output = limited(40, "ffmpeg")
        .args(arguments.split_whitespace())
        .args(["-http_persistent", if persistent { "1" } else { "0" }, &to])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let ended = eventually(Duration::from_secs(5), || {
        let playlist = origin.get("live.m3u8");
        (playlist.status == 200 && playlist.text().contains("#EXT-X-ENDLIST")).then(|| playlist.text())
    });
    let playlist = ended.expect("the last playlist is there");
    let segments: Vec<&str> = playlist.lines().filter(|line| !line.starts_with('#')).collect();
    assert!(segments.len() >= 5, "{playlist}");
    for segment in segments {
        let body = origin.get(segment).body;
        assert!(!body.is_empty() && body.len().is_multiple_of(188), "{segment} is listed");
    }
    assert!(relay.sent().contains("Authorization: Digest "), "ffmpeg chooses Digest where it can");
    assert!(origin.refusals().is_empty());
}

#[test]
fn ffmpeg_pushes_with_an_ingest_credential() {
    ffmpeg_pushes(Encoder::login, true);
}

#[test]
fn ffmpeg_pushes_with_an_ingest_credential_and_a_connection_for_each_object() {
    ffmpeg_pushes(Encoder::login, false);
}

#[test]
fn ffmpeg_pushes_with_a_key_as_the_password() {
    ffmpeg_pushes(|encoder| format!("momento:{}", encoder.api_key), true);
}

#[test]
fn webdav_clients_find_what_they_look_for() {
    let origin = Origin::start_with(&["--namespace", NAMESPACE, "--namespace", "other"]);
    let encoder = Encoder::first(&origin);
    origin.store("show/a&b%20(1).ts", "media");
    let ask = |method: &str, path: &str, login: &str| {
        let out = origin.folder().join("out.xml");
        let output = program("curl")
            .args(["-s", "-o", out.to_str().unwrap(), "-w", "%{http_code} %{content_type}", "--max-time", "20", "-X", method])
            .args(["--digest", "-u", login, "-H", "Depth: 0", "-d", "<?xml version=\"1.0\"?><propfind xmlns=\"DAV:\"/>"])
            .arg(url(origin.address, path))
            .output()
            .unwrap();
        (String::from_utf8(output.stdout).unwrap(), std::fs::read_to_string(out).unwrap_or_default())
    };
    let login = encoder.login();
    let path = format!("/cache/{NAMESPACE}/show/a&b%20(1).ts");
    let (status, found) = ask("PROPFIND", &path, &login);
    assert_eq!(status, "207 application/xml; charset=utf-8");
    let object = Request::new("GET", &*path).bearer(&origin.player).send(origin.address);
    for part in [
        format!("<D:href>/cache/{NAMESPACE}/show/a&amp;b%20(1).ts</D:href>"),
        "<D:getcontentlength>5</D:getcontentlength>".to_owned(),
        format!("<D:getetag>{}</D:getetag>", object.header("etag").replace('"', "&quot;")),
        format!("<D:getlastmodified>{}</D:getlastmodified>", object.header("last-modified")),
        "<D:getcontenttype>video/mp2t</D:getcontenttype>".to_owned(),
        "<D:resourcetype/>".to_owned(),
        "HTTP/1.1 200 OK".to_owned(),
    ] {
        assert!(found.contains(&part), "{part} is missing in {found}");
    }
    for path in [format!("/cache/{NAMESPACE}"), format!("/cache/{NAMESPACE}/"), format!("/cache/{NAMESPACE}/any/")] {
        let (status, found) = ask("PROPFIND", &path, &login);
        assert!(status.starts_with("207 ") && found.contains("<D:collection/>"), "{path}: {status} {found}");
    }
    for path in [format!("/cache/{NAMESPACE}/any"), format!("/cache/{NAMESPACE}/any/"), format!("/cache/{NAMESPACE}/")] {
        assert!(ask("MKCOL", &path, &login).0.starts_with("201 "), "{path}");
    }
    assert_eq!(origin.get("any").status, 404, "nothing is made");
    assert!(ask("PROPFIND", &origin.path("any"), &login).0.starts_with("404 "));

    let status = |method: &str, path: &str, key: &str| Request::new(method, path).bearer(key).send(origin.address);
    let (prefixed, _) = origin.make_key(&["--namespace", NAMESPACE, "--role", "readwrite", "--prefix", "show/"]);
    let (only, _) = origin.make_key(&["--namespace", NAMESPACE, "--role", "readwrite"]);
    for (method, path, key, expected) in [
        ("PROPFIND", origin.path("show/"), &*origin.player, 207),
        ("MKCOL", origin.path("show/"), &origin.player, 403),
        ("PROPFIND", origin.path(""), &prefixed, 207),
        ("MKCOL", origin.path("show/one"), &prefixed, 201),
        ("MKCOL", origin.path("other"), &prefixed, 403),
        ("PROPFIND", origin.path("other/a.ts"), &prefixed, 403),
        ("PROPFIND", "/cache/other/".to_owned(), &only, 403),
        ("MKCOL", "/cache/unheard-of/".to_owned(), &only, 403),
        ("PROPFIND", origin.path(""), "nonsense", 401),
        ("MKCOL", origin.path("a//b"), &only, 400),
        ("PROPFIND", "/elsewhere".to_owned(), &only, 404),
        ("PROPPATCH", origin.path("show/a.ts"), &only, 405),
    ] {
        let answer = status(method, &path, key);
        assert_eq!(answer.status, expected, "{method} {path}");
        if expected >= 400 {
            answer.problem();
        }
    }
    // A body that is left unread would break the next request.
    let mut wire = crate::wire::Wire::open(origin.address);
    for method in ["PROPFIND", "MKCOL"] {
        let answer = wire.ask(&Request::new(method, origin.path("show/")).bearer(&only).chunked("<xml/>", 3));
        assert!(matches!(answer.status, 201 | 207), "{answer:?}");
    }
    assert_eq!(wire.ask(&Request::new("GET", origin.path("none")).bearer(&only)).status, 404);
}

#[test]
fn what_is_told_of_a_request_does_not_depend_on_its_verb() {
    let origin = Origin::start();
    let line = |method: &str, path: String, key: &str| {
        let answer = Request::new(method, path).bearer(key).send(origin.address);
        origin.wait_for_access(|line| line["request_id"] == *answer.header("x-request-id"))
    };
    origin.store("show/a.ts", "media");
    let id = |key: &str| line("GET", origin.path("show/a.ts"), key)["key_id"].clone();
    let (player, encoder) = (id(&origin.player), id(&origin.encoder));
    assert_eq!((player.as_str().unwrap().len(), encoder.as_str().unwrap().len()), (16, 16));
    for (method, path, key, named, status, key_id) in [
        ("PROPFIND", "show/a.ts", &origin.player, "show/a.ts", 207, &player),
        ("PROPFIND", "show/", &origin.player, "show/", 207, &player),
        ("MKCOL", "show/two", &origin.encoder, "show/two/", 201, &encoder),
        ("MKCOL", "show/two", &origin.player, "show/two/", 403, &player),
        ("PUT", "show/b.ts", &origin.player, "show/b.ts", 403, &player),
    ] {
        let line = line(method, origin.path(path), key);
        let told = (line["namespace"].as_str().unwrap(), line["key"].as_str().unwrap(), line["status"].as_u64().unwrap());
        assert_eq!((told, &line["key_id"]), (("live-origin", named, status), key_id), "{method} {path}: {line}");
    }
    let refused = origin.refusals();
    assert_eq!(refused.len(), 2, "{refused:?}");
    for line in refused {
        assert_eq!((&line["namespace"], &line["key_id"]), (&"live-origin".into(), &player), "{line}");
        assert!(["show/two/", "show/b.ts"].contains(&line["key"].as_str().unwrap()), "{line}");
    }
}
