//! Viewers' tokens: what they open, by each way they travel, and what is refused.

use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use springhead::auth::signing::SigningKey;

use crate::harness::{BINARY, Finally, NAMESPACE, Origin, eventually};
use crate::tokens::{Cbor, Minter, code, now, rows};
use crate::wire::{Answer, Request, Wire};

const LIST: &str = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES\n#EXT-X-MEDIA-SEQUENCE:5\n#EXTINF:2,\na5.ts\n#EXTINF:2,\na6.ts\n";

/// The ways a token travels.
const FORMS: [&str; 4] = ["path", "query", "header", "cookie"];

/// A server whose namespace has this mode, and what signs its tokens.
fn origin(mode: &str) -> Origin {
    Origin::start_with_settings(&format!("[namespaces.{NAMESPACE}.viewers]\nmode = \"{mode}\"\n"))
}

/// A token by the command line.
fn token(origin: &Origin, arguments: &[&str]) -> String {
    made(origin, arguments)["token"].as_str().unwrap().to_owned()
}

fn made(origin: &Origin, arguments: &[&str]) -> Value {
    let output = origin.run(&[&["token", "viewer", "--namespace", NAMESPACE], arguments].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A read with a token by one of its ways; and with an API key, if that is said.
fn read(origin: &Origin, form: &str, token: &str, key: &str, api_key: Option<&str>) -> Answer {
    let path = match form {
        "path" => format!("/cache/{NAMESPACE}/~{token}/{key}"),
        "query" => format!("/cache/{NAMESPACE}/{key}?cat={token}"),
        _ => format!("/cache/{NAMESPACE}/{key}"),
    };
    let request = Request::new("GET", path);
    let request = match form {
        "header" => request.header("CTA-Common-Access-Token", token),
        "cookie" => request.header("Cookie", format!("a=b; CTA-Common-Access-Token={token}; c=d")),
        _ => request,
    };
    let request = if let Some(key) = api_key { request.header("Authorization", key) } else { request };
    let answer = request.send(origin.address);
    if answer.status != 302 {
        return answer;
    }
    assert!(form == "query" && answer.header("cache-control") == "no-store" && answer.body.is_empty(), "{answer:?}");
    let request = Request::new("GET", answer.header("location"));
    let request = if let Some(key) = api_key { request.header("Authorization", key) } else { request };
    request.send(origin.address)
}

fn detail(answer: &Answer) -> String {
    let json: Value = serde_json::from_slice(&answer.body).unwrap();
    json["detail"].as_str().unwrap().to_owned()
}

#[test]
fn where_it_is_required_a_token_opens_its_part_and_nothing_else_does() {
    let origin = origin("required");
    origin.store("show/p.m3u8", LIST);
    origin.store("show/a5.ts", "segment");
    origin.store("showdown/a5.ts", "segment");
    let good = token(&origin, &["--prefix", "show/"]);
    let forged = format!("{}AAAA", &good[..good.len() - 4]);
    let (edge, _) = origin.make_key(&["--namespace", NAMESPACE, "--role", "readonly", "--edge"]);
    for form in FORMS {
        for api_key in [None, Some(&*origin.player), Some(&*edge), Some(&*origin.encoder)] {
            let answer = read(&origin, form, &good, "show/p.m3u8", api_key);
            assert_eq!((answer.status, answer.text().as_str()), (200, LIST), "{form}");
            assert_eq!(read(&origin, form, &good, "show/a5.ts", api_key).text(), "segment", "{form}");
            assert_eq!(read(&origin, form, &good, "show/none.ts", api_key).status, 404, "{form}");
            // No key makes up for a token that is not good.
            let refused = read(&origin, form, &forged, "show/a5.ts", api_key);
            assert_eq!((refused.status, &*code(&refused)), (401, "viewer-token-invalid"), "{form}");
            let elsewhere = read(&origin, form, &good, "showdown/a5.ts", api_key);
            assert_eq!((elsewhere.status, &*code(&elsewhere)), (403, "viewer-token-scope"), "{form}");
        }
    }
    let by = |key: &str| Request::new("GET", origin.path("show/a5.ts")).header("Authorization", key).send(origin.address);
    for (key, status) in
        [(&*origin.player, 401), (&*origin.administrator, 401), ("nonsense", 401), (&*edge, 200), (&*origin.encoder, 200)]
    {
        let answer = by(key);
        assert_eq!(answer.status, status);
        assert!(status == 200 || code(&answer) == "viewer-token-missing", "{answer:?}");
    }
    let missing = Request::new("GET", origin.path("show/a5.ts")).send(origin.address);
    assert_eq!((missing.status, &*code(&missing)), (401, "viewer-token-missing"));
    assert_eq!(missing.headers("www-authenticate").collect::<Vec<_>>(), ["CAT realm=\"springhead\""]);
    for (header, value) in [("cache-control", "no-store"), ("access-control-allow-origin", "*")] {
        assert_eq!(missing.header(header), value);
    }
    // A key for another part is told so, as ever.
    let (other, _) = origin.make_key(&["--namespace", NAMESPACE, "--role", "readonly", "--edge", "--prefix", "other/"]);
    assert_eq!((by(&other).status, &*code(&by(&other))), (403, "forbidden"));
    // HEAD and Range are judged alike; PROPFIND is another method; OPTIONS asks nobody.
    let path = format!("/cache/{NAMESPACE}/~{good}/show/a5.ts");
    assert_eq!(Request::new("HEAD", &*path).send(origin.address).status, 200);
    assert_eq!(Request::new("GET", &*path).header("Range", "bytes=0-2").send(origin.address).status, 206);
    let forged_path = path.replace(&good, &forged);
    assert_eq!(Request::new("HEAD", &*forged_path).send(origin.address).status, 401);
    assert_eq!(Request::new("GET", &*forged_path).header("Range", "bytes=0-2").send(origin.address).status, 401);
    assert_eq!(Request::new("PROPFIND", &*path).send(origin.address).status, 403);
    assert_eq!(Request::new("PROPFIND", origin.path("show/")).send(origin.address).status, 401);
    assert_eq!(Request::new("OPTIONS", &*path).send(origin.address).status, 204);
    assert_eq!(Request::new("OPTIONS", origin.path("show/a5.ts")).send(origin.address).status, 204);
}

#[test]
fn off_and_at_an_edge_a_token_is_never_passed_over() {
    let (off, edge) = (origin("off"), origin("edge"));
    for origin in [&off, &edge] {
        origin.store("show/p.m3u8", LIST);
    }
    let good = token(&edge, &["--prefix", "show/"]);
    let forged = format!("{}AAAA", &good[..good.len() - 4]);
    for form in FORMS {
        for api_key in [None, Some(&*off.player)] {
            let answer = read(&off, form, &good, "show/p.m3u8", api_key);
            assert_eq!((answer.status, &*code(&answer)), (403, "viewer-token-unsupported"), "{form}");
        }
        assert_eq!(read(&edge, form, &good, "show/p.m3u8", None).status, 200, "{form}");
        assert_eq!(read(&edge, form, &forged, "show/p.m3u8", Some(&edge.player)).status, 401, "{form}");
    }
    // Where the edge has asked, its key is enough; and what has not got the form is nobody's token where there are none.
    assert_eq!(edge.get("show/p.m3u8").status, 200);
    let by_query = |origin: &Origin, query: &str| {
        Request::new("GET", origin.path(&format!("show/p.m3u8?{query}"))).bearer(&origin.player).send(origin.address).status
    };
    assert_eq!((by_query(&off, "cat=sports"), by_query(&edge, "cat=sports")), (200, 401));
    // A namespace that is not configured looks like one without tokens.
    let nowhere = Request::new("GET", format!("/cache/nowhere/~{good}/a.ts")).send(off.address);
    assert_eq!((nowhere.status, &*code(&nowhere)), (403, "viewer-token-unsupported"));
    assert!(!off.data_dir().join("viewer.key").exists(), "no key is made where nobody needs one");
}

#[test]
fn a_token_writes_nothing_whatever_key_comes_with_it() {
    for mode in ["off", "required"] {
        let origin = origin(mode);
        let token = "a".repeat(60);
        for method in ["PUT", "POST", "DELETE", "MKCOL"] {
            for path in [format!("~{token}/a.ts"), format!("~{token}"), format!("%7E{token}/a.ts"), format!("?key=~{token}/a.ts")]
            {
                if method == "MKCOL" && path.starts_with('?') {
                    continue;
                }
                let path = origin.path(&path).replace("/?", "?");
                let answer = Request::new(method, path).bearer(&origin.encoder).send(origin.address);
                assert_eq!((answer.status, &*code(&answer)), (400, "viewer-token-on-write"), "{method}");
            }
        }
        // Wherever else it stands, good or not; what is none of its form in the query is somebody's own affair.
        for (query, name, value) in [
            (format!("?cat={token}"), "X-Nothing", String::new()),
            (String::new(), "CTA-Common-Access-Token", token.clone()),
            (String::new(), "Cookie", format!("a=b; CTA-Common-Access-Token={token}")),
        ] {
            for method in ["PUT", "POST", "DELETE", "MKCOL"] {
                let path = origin.path(&format!("a.ts{query}"));
                let answer = Request::new(method, path).bearer(&origin.encoder).header(name, value.as_str()).send(origin.address);
                assert_eq!((answer.status, &*code(&answer)), (400, "viewer-token-on-write"), "{method} {name}");
            }
        }
        origin.store("b.ts?cat=sports", "x");
        // Deeper in a name it is a part of it; so is what is too short.
        for key in [format!("a/~{token}/a.ts"), format!("~{}/a.ts", &token[..39]), "~a.ts".to_owned()] {
            origin.store(&key, "x");
            assert_eq!(Request::new("GET", origin.path(&key)).bearer(&origin.encoder).send(origin.address).text(), "x");
        }
    }
}

#[test]
fn nothing_beside_it_hides_a_token() {
    let (off, edge) = (origin("off"), origin("edge"));
    let forged = "a".repeat(60);
    for origin in [&off, &edge] {
        origin.store("a.ts", "segment");
        for cookies in [
            format!("n=\u{fc}; CTA-Common-Access-Token={forged}"),
            format!("CTA-Common-Access-Token={forged}; n=\u{fc}"),
            format!("n=\u{fc};CTA-Common-Access-Token = \"{forged}\""),
            format!("CTA-Common-Access-Token=\u{fc}{forged}"),
        ] {
            let request = Request::new("GET", origin.path("a.ts")).bearer(&origin.player).header("Cookie", cookies.as_str());
            let answer = request.send(origin.address);
            assert!(answer.status == 401 || answer.status == 403, "{cookies}: {answer:?}");
            assert!(code(&answer).starts_with("viewer-token-"), "{cookies}");
        }
        let other = Request::new("GET", origin.path("a.ts")).bearer(&origin.player).header("Cookie", "n=\u{fc}; =; x");
        assert_eq!(other.send(origin.address).text(), "segment");
    }
}

#[test]
fn each_reason_has_its_code_by_each_way_a_token_travels() {
    let origin = origin("required");
    origin.store("show/a.ts", "segment");
    for (name, token, status, expected) in rows(&Minter::of(&origin), &format!("/cache/{NAMESPACE}/")) {
        for form in FORMS {
            let answer = read(&origin, form, &token, "show/a.ts", None);
            assert_eq!(answer.status, status, "{name} by {form}: {answer:?}");
            if status == 200 {
                continue;
            }
            assert_eq!(code(&answer), expected, "{name} by {form}");
            assert_eq!(answer.header("cache-control"), "no-store");
            let challenges: Vec<_> = answer.headers("www-authenticate").collect();
            assert_eq!(challenges, if status == 401 { &["CAT realm=\"springhead\""][..] } else { &[] }, "{name}");
            assert!(detail(&answer).len() > 40);
        }
    }
    // What was wrong with one that is not ours is for the log alone.
    let said = origin.wait_for_log("read refused");
    assert!(said["reason"].as_str().unwrap().starts_with("viewer-token-"), "{said}");
}

#[test]
fn what_was_listed_plays_out_when_a_token_has_ended() {
    let origin = Origin::start_with_settings(&format!("[namespaces.{NAMESPACE}.viewers]\nmode = \"required\"\ngrace = \"1h\"\n"));
    origin.store("p.m3u8", LIST);
    origin.store("m.mpd", "<MPD/>");
    for key in ["a5.ts", "init.mp4", "k.key"] {
        origin.store(key, "x");
    }
    let minter = Minter::of(&origin);
    let ended = minter.seal(&minter.draft(NAMESPACE, &format!("/cache/{NAMESPACE}/"), now() - 1));
    for (key, status) in [("p.m3u8", 401), ("m.mpd", 401), ("a5.ts", 200), ("init.mp4", 200), ("k.key", 200), ("none.ts", 404)] {
        let answer = read(&origin, "path", &ended, key, None);
        assert_eq!(answer.status, status, "{key}");
        if status == 401 {
            assert_eq!(code(&answer), "viewer-token-expired");
        } else if key == "a5.ts" {
            assert_eq!(answer.header("cache-control"), "public, max-age=0");
        }
    }
    let long_ago = minter.seal(&minter.draft(NAMESPACE, &format!("/cache/{NAMESPACE}/"), now() - 3601));
    assert_eq!(read(&origin, "path", &long_ago, "a5.ts", None).status, 401);
}

#[test]
fn caches_keep_no_answer_for_longer_than_its_token_is_good_nor_for_others() {
    let origin = origin("required");
    origin.store("a.ts", "segment");
    origin.store("k.key", "0123456789abcdef");
    let minter = Minter::of(&origin);
    let soon = minter.seal(&minter.draft(NAMESPACE, &format!("/cache/{NAMESPACE}/"), now() + 100));
    let late = minter.seal(&minter.draft(NAMESPACE, &format!("/cache/{NAMESPACE}/"), now() + 100_000));
    let age = |answer: &Answer| -> (String, u64) {
        let (scope, age) = answer.header("cache-control").split_once(", max-age=").unwrap();
        (scope.to_owned(), age.parse().unwrap())
    };
    for (form, scope) in [("path", "public"), ("header", "private"), ("cookie", "private")] {
        let short = read(&origin, form, &soon, "a.ts", None);
        let (said, seconds) = age(&short);
        assert!(said == scope && (60..=100).contains(&seconds), "{short:?}");
        let (said, seconds) = age(&read(&origin, form, &late, "a.ts", None));
        assert!(said == scope && (3500..=3600).contains(&seconds), "{said} {seconds}");
        let varies = short.headers("vary").any(|vary| vary == "CTA-Common-Access-Token, Cookie");
        assert_eq!(varies, form != "path", "{form}");
        // Who has a content key once could play for ever.
        assert_eq!(read(&origin, form, &soon, "k.key", None).header("cache-control").replace("private, ", ""), "no-store");
    }
    let etag = read(&origin, "path", &soon, "a.ts", None).header("etag").to_owned();
    let path = format!("/cache/{NAMESPACE}/~{soon}/a.ts");
    let not_modified = Request::new("GET", path).header("If-None-Match", etag).send(origin.address);
    assert!(not_modified.status == 304 && age(&not_modified).1 <= 100, "{not_modified:?}");
}

#[test]
fn the_path_is_that_by_which_viewers_ask() {
    let origin = Origin::start_with_settings(&format!(
        "[namespaces.{NAMESPACE}.viewers]\nmode = \"required\"\nbase_path = \"/\"\n[namespaces.b.viewers]\nmode = \"edge\"\nbase_path = \"/live/{{namespace}}/\"\n"
    ));
    origin.store("a%20b/p.m3u8", LIST);
    let minter = Minter::of(&origin);
    let with = |path: &str| minter.seal(&minter.draft(NAMESPACE, path, now() + 600));
    assert_eq!(read(&origin, "path", &with("/a b/"), "a%20b/p.m3u8", None).status, 200);
    assert_eq!(read(&origin, "path", &with("/"), "a%20b/p.m3u8", None).status, 200);
    assert_eq!(read(&origin, "path", &with("/cache/live-origin/a b/"), "a%20b/p.m3u8", None).status, 403);
    // The redirect leads where viewers ask, and keeps the rest of the query.
    let token = with("/a b/");
    let path = format!("/cache/{NAMESPACE}/a%20b/p.m3u8?_HLS_msn=5&cat={token}&CMCD=x");
    let answer = Request::new("GET", path).send(origin.address);
    assert_eq!((answer.status, answer.header("location")), (302, &*format!("/~{token}/a%20b/p.m3u8?_HLS_msn=5&CMCD=x")));
    let other = minter.seal(&minter.draft("b", "/live/b/", now() + 600));
    let put = Request::new("PUT", "/cache/b/a.ts").body("x");
    assert_eq!(put.bearer(&origin.encoder).send(origin.address).status, 204);
    assert_eq!(Request::new("GET", format!("/cache/b/~{other}/a.ts")).send(origin.address).status, 200);
    assert_eq!(read(&origin, "path", &other, "a%20b/p.m3u8", None).status, 403);
}

#[test]
fn a_token_goes_with_windows_blocking_reloads_and_what_is_still_growing() {
    let origin = origin("required");
    let token = token(&origin, &[]);
    let under = |key: &str| format!("/cache/{NAMESPACE}/~{token}/{key}");
    let multivariant = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\np.m3u8\n";
    origin.store("m.m3u8", multivariant);
    for number in 5..8 {
        origin.store(&format!("a{number}.ts"), "x");
    }
    origin.store("p.m3u8", LIST);
    // What is listed in a window is named relative, so that the token stays.
    for key in ["m.m3u8?last=1m", "p.m3u8?last=1m"] {
        let answer = Request::new("GET", under(key)).send(origin.address);
        let text = answer.text();
        assert_eq!(answer.status, 200, "{text}");
        let uris: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert!(!uris.is_empty() && uris.iter().all(|uri| !uri.starts_with('/') && !uri.contains("://")), "{text}");
    }
    // Nor does it matter how the token says what it opens: as several paths, each of which is its own.
    let minter = Minter::of(&origin);
    let opens = |paths: &[&str]| {
        let paths = paths.iter().map(|path| Cbor::text(&format!("/cache/{NAMESPACE}/{path}"))).collect();
        let catu = Cbor::map(&[(3, Cbor::map(&[(1, Cbor::Array(paths))]))]);
        minter.seal(&minter.draft(NAMESPACE, "/", now() + 600).claim(312, catu))
    };
    for (paths, listed) in [(&["m", "p", "a"][..], 2), (&["m", "p", "a6", "x/"], 1)] {
        let token = opens(paths);
        let under = |key: &str| Request::new("GET", format!("/cache/{NAMESPACE}/~{token}/{key}")).send(origin.address);
        let [multivariant, media] = ["m.m3u8?last=1m", "p.m3u8?last=1m"].map(under);
        assert_eq!((multivariant.status, media.status), (200, 200), "{paths:?}: {}", media.text());
        let count = media.text().lines().filter(|line| line.ends_with(".ts")).count();
        assert_eq!(count, listed, "{paths:?}: {}", media.text());
    }
    // A reload that waits for the next segment.
    let mut waiting = Wire::open(origin.address);
    waiting.write(Request::new("GET", under("p.m3u8?_HLS_msn=7")).to_bytes());
    let longer = format!("{LIST}#EXTINF:2,\na7.ts\n");
    origin.store("p.m3u8", longer.clone());
    assert_eq!(waiting.answer_to("GET").text(), longer);
    // An object that is being uploaded.
    let mut writer = Wire::open(origin.address);
    let head = format!(
        "PUT {} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n",
        origin.path("grows.ts"),
        origin.encoder
    );
    writer.write(head);
    let found = eventually(Duration::from_secs(10), || {
        let mut reader = Wire::open(origin.address);
        reader.write(Request::new("GET", under("grows.ts")).to_bytes());
        let (status, headers) = reader.head()?;
        (status == 200).then_some((reader, headers))
    });
    let (mut reader, headers) = found.expect("it is read as it comes");
    assert!(headers.iter().any(|(name, value)| name == "cache-status" && value.contains("growing")), "{headers:?}");
    writer.write("6\r\nsecond\r\n0\r\n\r\n");
    let mut body = Vec::new();
    while let Some(chunk) = reader.chunk().filter(|chunk| !chunk.is_empty()) {
        body.extend(chunk);
    }
    assert_eq!(body, b"firstsecond");
    assert_eq!(writer.answer_to("PUT").status, 204);
}

#[test]
fn viewer_keys_are_changed_without_a_request_that_is_refused() {
    let origin = origin("required");
    origin.store("a.ts", "x");
    let file = origin.data_dir().join("viewer.key");
    let old = fs::read_to_string(&file).unwrap();
    let new = SigningKey::generate();
    let before = token(&origin, &[]);
    let (stop, refused) = (AtomicBool::new(false), AtomicBool::new(false));
    thread::scope(|scope| {
        let _finally = Finally(&stop);
        scope.spawn(|| {
            while !stop.load(Ordering::SeqCst) {
                if read(&origin, "path", &before, "a.ts", None).status != 200 {
                    refused.store(true, Ordering::SeqCst);
                }
            }
        });
        let ids =
            |keys: &str| SigningKey::parse_all(keys).unwrap().iter().map(|key| key.id().to_owned()).collect::<Vec<_>>().join(",");
        for text in [format!("{old}{}\n", new.encode()), format!("{}\n{old}", new.encode())] {
            fs::write(&file, &text).unwrap();
            origin.signal("HUP");
            let changed = || {
                origin
                    .log()
                    .into_iter()
                    .find(|line| line["to"] == *ids(&text) && line["message"].as_str().unwrap().starts_with("the viewer keys"))
            };
            assert!(eventually(Duration::from_secs(20), changed).is_some());
        }
        let after = token(&origin, &[]);
        assert_eq!(read(&origin, "path", &after, "a.ts", None).status, 200);
        assert!(!refused.load(Ordering::SeqCst));
        stop.store(true, Ordering::SeqCst);
    });
    fs::write(&file, format!("{}\n", new.encode())).unwrap();
    origin.signal("HUP");
    let gone = || (read(&origin, "path", &before, "a.ts", None).status == 401).then_some(());
    assert!(eventually(Duration::from_secs(20), gone).is_some(), "the old key is gone");
    // What signs API keys is no viewer key.
    fs::copy(origin.data_dir().join("signing.key"), &file).unwrap();
    origin.signal("HUP");
    let said = origin.wait_for_log("the viewer keys are not reloaded: those that were in force stay");
    assert!(said["error"].as_str().unwrap().contains("signing key"), "{said}");
    let start = crate::programs::limited(20, BINARY)
        .args(["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--data-dir"])
        .arg(origin.folder().join("other"))
        .env("SPRINGHEAD_VIEWER_KEY", new.encode())
        .env("SPRINGHEAD_SIGNING_KEY", new.encode())
        .output()
        .unwrap();
    assert!(
        !start.status.success() && String::from_utf8_lossy(&start.stderr).contains("viewer key and a signing key"),
        "{start:?}"
    );
}

#[test]
fn a_token_that_was_good_before_is_judged_as_one_that_is_new() {
    let settings = format!("[namespaces.{NAMESPACE}.viewers]\nmode = \"required\"\ngrace = \"0s\"\n");
    let origin = Origin::start_with_settings(&settings);
    for key in ["show/a.ts", "b/a.ts"] {
        origin.store(key, "x");
    }
    let ends = now() + 3;
    let minter = Minter::of(&origin);
    let short = minter.seal(&minter.draft(NAMESPACE, &format!("/cache/{NAMESPACE}/"), ends));
    let [ended, lasting] = [made(&origin, &["--prefix", "show/"]), made(&origin, &["--prefix", "show/"])];
    let text = |made: &Value| made["token"].as_str().unwrap().to_owned();
    let status = |token: &str, key: &str| read(&origin, "path", token, key, None).status;
    for (form, token) in FORMS.iter().flat_map(|form| [(form, text(&ended)), (form, text(&lasting)), (form, text(&lasting))]) {
        assert_eq!(read(&origin, form, &token, "show/a.ts", None).status, 200, "{form}");
        assert_eq!(read(&origin, form, &token, "b/a.ts", None).status, 403, "{form}");
    }
    // One that differs anywhere is another one, whatever is known of this one.
    let lasting = text(&lasting);
    for at in (0..lasting.len()).step_by(7).chain([lasting.len() - 1]) {
        let other = if lasting.as_bytes()[at] == b'A' { "Q" } else { "A" };
        let forged = [&lasting[..at], other, &lasting[at + 1..]].concat();
        assert_eq!(status(&forged, "show/a.ts"), 401, "{at}");
        assert_eq!(status(&lasting[..lasting.len() - 1], "show/a.ts"), 401);
        assert_eq!(status(&lasting, "show/a.ts"), 200);
    }
    let done = origin.run(&["token", "revoke", ended["token_id"].as_str().unwrap(), "--namespace", NAMESPACE]);
    assert!(done.status.success(), "{done:?}");
    let refused = |token: &str, reason: &str| {
        let is_so = || {
            let answer = read(&origin, "path", token, "show/a.ts", None);
            (answer.status == 401 && code(&answer) == reason).then_some(())
        };
        assert!(eventually(Duration::from_secs(20), is_so).is_some(), "{reason}");
    };
    refused(&text(&ended), "viewer-token-revoked");
    // To its last second, and no further.
    while now() < ends {
        let seen = status(&short, "show/a.ts");
        assert!(seen == 200 || now() >= ends, "{seen}");
    }
    assert_eq!(status(&short, "show/a.ts"), 401);
    refused(&short, "viewer-token-expired");
    assert_eq!(status(&lasting, "show/a.ts"), 200);
    fs::write(origin.data_dir().join("viewer.key"), SigningKey::generate().encode()).unwrap();
    origin.signal("HUP");
    refused(&lasting, "viewer-token-invalid");
}

#[test]
fn the_command_line_makes_tokens_and_reads_them() {
    let origin = origin("required");
    origin.store("show/p.m3u8", LIST);
    let url = format!("http://{}/cache/{NAMESPACE}/show/p.m3u8", origin.address);
    for form in FORMS {
        let made = made(&origin, &["--prefix", "show/", "--expires", "30m", "--id", "viewer-1", "--form", form, "--url", &url]);
        assert_eq!(made["token_id"], "v-7669657765722d31");
        let token = made["token"].as_str().unwrap();
        let path = made["url"].as_str().unwrap().strip_prefix(&format!("http://{}", origin.address)).unwrap().to_owned();
        let expected = match form {
            "path" => format!("/cache/{NAMESPACE}/~{token}/show/p.m3u8"),
            "query" => format!("/cache/{NAMESPACE}/show/p.m3u8?cat={token}"),
            _ => format!("/cache/{NAMESPACE}/show/p.m3u8"),
        };
        assert_eq!(path, expected);
        let header = made["header"].as_str().unwrap_or_default();
        assert_eq!(header.contains(token), matches!(form, "header" | "cookie"), "{header}");
        assert_eq!(read(&origin, form, token, "show/p.m3u8", None).status, 200);
        let inspected = origin.run(&["token", "inspect", token]);
        let inspected: Value = serde_json::from_slice(&inspected.stdout).unwrap();
        assert_eq!((&inspected["status"], &inspected["aud"][0]), (&Value::from("good"), &Value::from(NAMESPACE)));
        assert_eq!(inspected["catu"][0], format!("path begins with /cache/{NAMESPACE}/show/"));
    }
    let inspect = |token: &str| {
        let output = origin.run(&["token", "inspect", token]);
        let json: Value = serde_json::from_slice(&output.stdout).unwrap();
        (output.status.success(), json["status"].as_str().unwrap().to_owned())
    };
    let minter = Minter::of(&origin);
    let draft = |expires| minter.draft(NAMESPACE, "/", expires);
    assert_eq!(inspect(&minter.seal(&draft(1))), (false, "expired".to_owned()));
    assert_eq!(inspect(&minter.seal(&draft(1).claim(8, Cbor::Number(1)))), (false, "unsupported".to_owned()));
    assert_eq!(inspect(&Minter::with(&SigningKey::generate()).seal(&draft(1))), (false, "refused".to_owned()));
    let milliseconds = i64::try_from(now() * 1000).unwrap();
    let made_later = minter.seal(&draft(now() + 60).claim(6, Cbor::Number(milliseconds)));
    assert_eq!(inspect(&made_later), (false, "not-yet".to_owned()));
    assert!(String::from_utf8_lossy(&origin.run(&["token", "inspect", &made_later]).stdout).contains("not milliseconds"));
    for (expires, is_noted) in [(now() * 1000, true), (now() + 600, false)] {
        let token = minter.seal(&draft(expires));
        assert_eq!(inspect(&token), (true, "good".to_owned()));
        let inspected: Value = serde_json::from_slice(&origin.run(&["token", "inspect", &token]).stdout).unwrap();
        assert_eq!(inspected["note"].as_str().is_some_and(|note| note.contains("milliseconds")), is_noted, "{inspected}");
    }
    // What it says is good, and what a server makes of that by its settings, is two things.
    let file = origin.folder().join("inspected.toml");
    let judged = |mode: &str, arguments: &[&str]| {
        let viewers = format!("[namespaces.{NAMESPACE}.viewers]\nmode = \"{mode}\"\n");
        fs::write(&file, viewers).unwrap();
        origin.run(&[arguments, &["--config", file.to_str().unwrap()]].concat())
    };
    let bound = token(&origin, &["--address", "192.0.2.0/24"]);
    let off = judged("off", &["token", "inspect", &bound]);
    let off: Value = serde_json::from_slice(&off.stdout).unwrap_or_else(|error| panic!("{error}: {off:?}"));
    assert!(off["status"] == "good" && off["note"].as_str().unwrap().contains("no viewer holds tokens"), "{off}");
    let required = judged("required", &["token", "inspect", &bound]);
    let said: Value = serde_json::from_slice(&required.stdout).unwrap_or_else(|error| panic!("{error}: {required:?}"));
    assert!(!required.status.success() && said["status"] == "unsupported", "{said}");
    assert!(said["reason"].as_str().unwrap().contains("client_address_header"), "{said}");
    let plain = judged("required", &["token", "inspect", &minter.seal(&draft(now() + 600))]);
    let said: Value = serde_json::from_slice(&plain.stdout).unwrap_or_else(|error| panic!("{error}: {plain:?}"));
    assert!(said["status"] == "good" && said["note"].is_null(), "{said}");
    let unmade = judged("required", &["token", "viewer", "--namespace", NAMESPACE, "--address", "192.0.2.0/24"]);
    assert!(unmade.status.code() == Some(2) && unmade.stdout.is_empty(), "{unmade:?}");
    for (namespace, id, said) in [
        ("nope", "v-00", "there is no nope"),
        (NAMESPACE, "v-zz", "hexadecimal"),
        (NAMESPACE, "v-", "hexadecimal"),
        (NAMESPACE, "v-000", "hexadecimal"),
        (NAMESPACE, "0123", "hexadecimal"),
    ] {
        let output = origin.run(&["token", "revoke", id, "--namespace", namespace]);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{id}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(said), "{output:?}");
    }
    for (arguments, said) in [
        (&["--prefix", "show"][..], "--exact-prefix"),
        (&["--prefix", "/show/"], "without a slash"),
        (&["--expires", "25h"], "1s to 1d"),
        (&["--expires", "0s"], "1s to 1d"),
        (&["--id", "a name that is too long"], "--id"),
        (&["--url", "http://a/b"], "base_path"),
    ] {
        let output = origin.run(&[&["token", "viewer", "--namespace", NAMESPACE], arguments].concat());
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains(said), "{output:?}");
    }
    let writes = origin.run(&["keys", "create", "--namespace", NAMESPACE, "--role", "readwrite", "--edge"]);
    assert_eq!(writes.status.code(), Some(2));
}

#[test]
fn no_part_of_a_token_is_told() {
    let origin = origin("required");
    origin.store("show/p.m3u8", LIST);
    let good = token(&origin, &["--prefix", "show/", "--subject", "a-person-whom-nobody-names"]);
    let minter = Minter::of(&origin);
    let ended = minter.seal(&minter.draft(NAMESPACE, "/", 1));
    let foreign = Minter::with(&SigningKey::generate()).seal(&minter.draft(NAMESPACE, "/", now() + 60));
    for token in [&good, &ended, &foreign] {
        for form in FORMS {
            let _ = read(&origin, form, token, "show/p.m3u8", None);
            let _ = read(&origin, form, token, "other/p.m3u8", Some("nonsense"));
        }
        for method in ["PUT", "DELETE", "MKCOL", "PROPFIND", "BREW", "OPTIONS"] {
            for path in [format!("~{token}/a.ts"), format!("~{token}"), format!("~{token}//a"), format!("a/~{token}/b%00.ts")] {
                let request = Request::new(method, origin.path(&path)).bearer(&origin.encoder);
                let _ = request.header("Referer", format!("https://a.example/~{token}/p.m3u8")).send(origin.address);
            }
        }
        let _ = Request::new("GET", format!("/elsewhere/~{token}/a.ts?cat={token}")).send(origin.address);
    }
    let told = |path: &str| Request::new("GET", path).send(origin.admin).text();
    let mut all = vec![told("/v1/ingest/rejected"), told("/v1/ingest/clients"), told("/v1/streams"), told("/metrics")];
    // The last request is in the access log when its line is.
    let mark = Request::new("GET", origin.path("the-mark.ts")).send(origin.address);
    assert_eq!(mark.status, 401);
    let _ = origin.wait_for_access(|line| line["key"] == "the-mark.ts");
    all.push(fs::read_to_string(origin.access_log_path()).unwrap());
    all.push(origin.log().iter().map(Value::to_string).collect());
    let stored = |folder: &std::path::Path| -> String {
        let mut text = String::new();
        let mut folders = vec![folder.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
                text += &entry.file_name().to_string_lossy();
                if entry.path().is_dir() {
                    folders.push(entry.path());
                } else {
                    text += &String::from_utf8_lossy(&fs::read(entry.path()).unwrap_or_default());
                }
            }
        }
        text
    };
    all.push(stored(&origin.data_dir().join("objects")));
    assert!(
        all[0].contains("viewer-token-") && all[4].contains("\"key\":\"show/p.m3u8\""),
        "it is looked for where something is"
    );
    assert!(all[4].contains("\"key_id\":\"v-"), "a viewer is named by the id of his token");
    for (place, text) in all.iter().enumerate() {
        for token in [&good, &ended, &foreign] {
            let shown = (0..token.len() - 16).find(|at| text.contains(&token[*at..at + 16]));
            assert_eq!(shown, None, "a part of a token is told in {place}: {text}");
        }
        assert!(!text.contains("a-person-whom"), "who holds a token is nobody's business");
    }
}

#[test]
fn jwts_of_the_same_claims_are_read_too() {
    let origin = origin("required");
    origin.store("show/a.ts", "segment");
    let minter = Minter::of(&origin);
    let claims = json!({ "exp": now() + 600, "jti": "me", "aud": NAMESPACE, "catu": { "3": { "1": format!("/cache/{NAMESPACE}/show/") } } });
    let good = minter.jwt(&claims);
    let of = |name: &str, value: Value| {
        let mut claims = claims.clone();
        claims[name] = value;
        minter.jwt(&claims)
    };
    let foreign = Minter { kid: minter.kid.clone(), ..Minter::with(&SigningKey::generate()) }.jwt(&claims);
    // An API key is a JWT too, and is no viewer's token.
    for (token, status, expected) in [
        (good.clone(), 200, ""),
        (foreign, 401, "viewer-token-invalid"),
        (origin.player.clone(), 401, "viewer-token-invalid"),
        (of("exp", json!(now() - 100)), 401, "viewer-token-expired"),
        (of("iat", json!(now() * 1000)), 401, "viewer-token-not-yet"),
        (of("iat", json!(now() - 5)), 200, ""),
        (of("aud", json!("other")), 403, "viewer-token-scope"),
        (of("scope", json!("all")), 403, "viewer-token-unsupported"),
    ] {
        for form in FORMS {
            let answer = read(&origin, form, &token, "show/a.ts", None);
            assert_eq!(answer.status, status, "{form}");
            assert!(status == 200 || code(&answer) == expected, "{form}: {answer:?}");
        }
    }
    // And a viewer's token is no API key.
    assert_eq!(Request::new("GET", origin.path("show/a.ts")).bearer(&good).send(origin.address).status, 401);
    assert_eq!(Request::new("PUT", origin.path("show/a.ts")).bearer(&good).body("x").send(origin.address).status, 401);
}

#[test]
fn where_a_viewer_is_is_believed_of_trusted_proxies_alone() {
    let trusting = Origin::start_with_settings(&format!(
        "[namespaces.{NAMESPACE}.viewers]\nmode = \"required\"\ntrusted_proxies = [\"127.0.0.1\", \"10.0.0.0/8\"]\n\
         client_address_header = \"x-forwarded-for\"\ncountry_header = \"cloudfront-viewer-country\"\n"
    ));
    let plain = origin("required");
    let bound = ["--address", "192.0.2.0/24", "--address", "2001:db8::1", "--country", "AT"];
    for origin in [&trusting, &plain] {
        origin.store("a.ts", "x");
    }
    let ask = |origin: &Origin, address: &str, country: &str| {
        let path = format!("/cache/{NAMESPACE}/~{}/a.ts", token(origin, &bound));
        let request = Request::new("GET", path).header("X-Forwarded-For", address).header("CloudFront-Viewer-Country", country);
        let answer = request.send(origin.address);
        if answer.status == 200 { "good".to_owned() } else { code(&answer) }
    };
    for (address, country, expected) in [
        ("192.0.2.9", "AT", "good"),
        ("192.0.2.9:4711, 10.1.2.3", "AT", "good"),
        ("2001:db8::2:3:4", "AT", "good"),
        ("192.0.2.9", "CH", "viewer-token-place"),
        ("192.0.3.9", "AT", "viewer-token-place"),
        ("192.0.2.9, 203.0.113.1", "AT", "viewer-token-place"),
        ("unknown", "AT", "viewer-token-place"),
    ] {
        assert_eq!(ask(&trusting, address, country), expected, "{address} {country}");
        assert_eq!(ask(&plain, address, country), "viewer-token-unsupported", "what is not known can't be judged");
    }
}

#[test]
fn a_token_that_renews_itself_is_exchanged_on_the_way() {
    let origin = origin("required");
    origin.store("show/p.m3u8", LIST);
    origin.store("show/a5.ts", "x");
    let deadline = (now() + 3600).to_string();
    let order = json!({ "prefix": "show/", "expires_in": "5m", "id": "me", "renew": { "extend": "10m", "deadline": deadline } });
    let request =
        Request::new("POST", format!("/v1/namespaces/{NAMESPACE}/viewer-tokens")).header("Content-Type", "application/json");
    let made = request.bearer(&origin.administrator).body(order.to_string()).send(origin.admin);
    let made: Value = serde_json::from_slice(&made.body).unwrap();
    let token = made["token"].as_str().unwrap();
    let answer = Request::new("GET", format!("/cache/{NAMESPACE}/~{token}/show/p.m3u8?_HLS_msn=5")).send(origin.address);
    assert_eq!((answer.status, answer.header("cache-control")), (302, "no-store"), "{answer:?}");
    let location = answer.header("location").to_owned();
    assert!(location.ends_with("/show/p.m3u8?_HLS_msn=5") && !location.contains(token), "{location}");
    let next = Request::new("GET", &*location).send(origin.address);
    assert_eq!((next.status, next.text().as_str()), (200, LIST));
    // It has the same id, a later end, and segments are read by the one before.
    let new = location.split('~').nth(1).unwrap().split('/').next().unwrap();
    let inspected = origin.run(&["token", "inspect", new]);
    let inspected: Value = serde_json::from_slice(&inspected.stdout).unwrap();
    assert!(inspected["token_id"] == "v-6d65" && inspected["exp"].as_str() > made["expires_at"].as_str(), "{inspected}");
    assert_eq!(read(&origin, "path", token, "show/a5.ts", None).status, 200);
    let too_long = json!({ "prefix": "show/", "renew": { "extend": "10m", "deadline": (now() + 90_000).to_string() } });
    let request =
        Request::new("POST", format!("/v1/namespaces/{NAMESPACE}/viewer-tokens")).header("Content-Type", "application/json");
    let answer = request.bearer(&origin.administrator).body(too_long.to_string()).send(origin.admin);
    assert_eq!(answer.status, 400, "the deadline is an end, too");
}

/// What each tool prints and writes: as it is, and with every part of a token that is long enough to be told by.
fn holds(text: &str, token: &str) -> bool {
    (0..token.len() - 16).any(|at| text.contains(&token[at..at + 16]))
}

#[test]
fn the_tools_go_the_viewers_way_and_tell_no_token() {
    let origin = origin("required");
    let packet = [b"\x47".to_vec(), vec![0; 187]].concat();
    let lines: String = (0..3).map(|n| format!("#EXTINF:2,\n{n}.ts\n")).collect();
    (0..3).for_each(|n| origin.store(&format!("show/{n}.ts"), packet.clone()));
    let list = |lines: &str| format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-PLAYLIST-TYPE:VOD\n{lines}#EXT-X-ENDLIST\n");
    origin.store("show/p.m3u8", list(&lines));
    origin.store("show/m.m3u8", "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=900000\np.m3u8\n");
    origin.store("show/lost.m3u8", list(&lines.replace("0.ts", &format!("/cache/{NAMESPACE}/show/0.ts"))));
    let good = token(&origin, &["--prefix", "show/"]);
    let base = format!("http://{}", origin.address);
    let doctor = |arguments: &[&str], key: &str| {
        let output = Command::new(BINARY)
            .args(["doctor", &base, "--watch", "0s", "--json"])
            .args(arguments)
            .env("SPRINGHEAD_KEY", key)
            .env("NO_PROXY", "*")
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
        assert!(!holds(&text, &good), "{text}");
        text
    };
    let said = doctor(&["--playlist", "show/m.m3u8", "--viewer-token", &good], "");
    assert!(said.contains("the viewer's token is accepted (200") && said.contains("the last 3 segments are there"), "{said}");
    let said = doctor(&["--playlist", "show/lost.m3u8", "--viewer-token", &good], "");
    assert!(said.contains("child-loses-token"), "{said}");
    // A key that does not stand in for one is not called a bad key.
    for key in ["", &origin.player] {
        let said = doctor(&["--playlist", "show/m.m3u8"], key);
        assert!(said.contains("viewers need a token here") && said.contains("--edge"), "{said}");
        assert!(!said.contains("does not accept this key"), "{said}");
    }
    let ended = Minter::of(&origin);
    let ended = ended.seal(&ended.draft(NAMESPACE, "/", now() - 100));
    let said = doctor(&["--playlist", "show/m.m3u8", "--viewer-token", &ended], "");
    assert!(said.contains("the viewer's token has ended") && !holds(&said, &ended), "{said}");

    // As a URL with the token in its query leads on to the path, so do they: what is listed is beside that.
    let by_query = format!("{base}/cache/{NAMESPACE}/show/m.m3u8?cat={good}");
    for arguments in [&[&*by_query][..], &[&format!("{base}/?cat={good}"), "--playlist", "show/m.m3u8"]] {
        let output = Command::new(BINARY)
            .args([&["doctor", "--watch", "0s", "--json"], arguments].concat())
            .env("NO_PROXY", "*")
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
        assert!(said.contains("the viewer's token is accepted (200") && said.contains("the last 3 segments are there"), "{said}");
        assert!(!holds(&said, &good), "{said}");
    }
    let folder = tempfile::tempdir().unwrap();
    let (mut told, mut folders) = (Vec::new(), Vec::new());
    for (name, url) in [("by-path", format!("{base}/cache/{NAMESPACE}/~{good}/show/m.m3u8")), ("by-query", by_query)] {
        let out = folder.path().join(name);
        let made = Command::new(BINARY)
            .args(["harvest", &url, "--last", "1h", "--out", out.to_str().unwrap()])
            .env("NO_PROXY", "*")
            .output()
            .unwrap();
        told.extend([made.stdout, made.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()));
        assert!(made.status.success(), "{told:?}");
        folders.push(out);
    }
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            told.push(entry.display().to_string());
            if entry.is_dir() {
                folders.push(entry);
            } else {
                told.push(String::from_utf8_lossy(&fs::read(entry).unwrap()).into_owned());
            }
        }
    }
    assert!(told.iter().any(|text| text.ends_with("harvest.json")) && told.iter().all(|text| !holds(text, &good)), "{told:?}");
}

#[test]
fn no_token_is_in_what_is_stored_counted_or_written_down() {
    let mut origin = origin("required");
    let other = SigningKey::generate();
    let (minter, stranger) = (Minter::of(&origin), Minter::with(&other));
    let base = format!("/cache/{NAMESPACE}/");
    let good = minter.seal(&minter.draft(NAMESPACE, &base, now() + 600));
    let forged = stranger.seal(&minter.draft(NAMESPACE, &base, now() + 600));
    let jwt = minter.jwt(&json!({ "exp": now() + 600, "jti": "me", "aud": NAMESPACE, "sub": "subject-of-this-test" }));
    let tokens = [&good, &forged, &jwt, &minter.seal(&minter.draft(NAMESPACE, &base, now() - 600))].map(String::clone);
    // What a packager wrote that was given such a URL itself.
    let list = |token: &str, query: &str| {
        format!(
            "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MAP:URI=\"{token}i.mp4{query}\"\n#EXTINF:2,\n{token}a.ts{query}\n#EXTINF:2,\n/cache/{NAMESPACE}/{token}b.ts\n"
        )
    };
    for token in &tokens {
        origin.store("p.m3u8", list(&format!("~{token}/"), &format!("?cat={token}")));
        assert_eq!(origin.get("p.m3u8").status, 401);
        let stored = Request::new("GET", origin.path("p.m3u8")).bearer(&origin.encoder).send(origin.address).text();
        assert_eq!(stored, list("", ""));
    }
    origin.store("p.m3u8", list("", "?cat={$cat}"));
    let kept = Request::new("GET", origin.path("p.m3u8")).bearer(&origin.encoder).send(origin.address).text();
    assert_eq!(kept, list("", "?cat={$cat}"), "a variable is each viewer's own");
    for token in &tokens {
        for form in FORMS {
            for key in ["p.m3u8", "none.ts", "a//b", "x%zz", &format!("~{token}/a.ts"), &format!("b/{token}.ts")] {
                let _ = read(&origin, form, token, key, None);
            }
        }
        for method in ["PUT", "POST", "DELETE", "MKCOL", "PROPFIND", "TRACE"] {
            for path in
                [format!("~{token}/a.ts"), format!("%7e{token}/a.ts"), format!("a.ts?cat={token}"), format!("b/~{token}/")]
            {
                let request = Request::new(method, origin.path(&path)).bearer(&origin.encoder).header("Referer", path.as_str());
                let request = request.header("User-Agent", format!("player {token}")).header("Cookie", format!("x={token}"));
                let _ = request.body(token.as_str()).send(origin.address);
            }
        }
        let asked = Request::new("GET", "/entitlement").header("X-Original-URI", format!("{base}~{token}/a.ts"));
        let _ = asked.send(origin.address);
    }
    let admin = |path: &str| Request::new("GET", path).send(origin.admin).text();
    let (metrics, refusals, streams) = (origin.metrics(), admin("/v1/ingest/rejected"), admin("/v1/streams"));
    // Then all of it is written down.
    origin.stop();
    let log = origin.log().iter().map(ToString::to_string).collect::<String>();
    let access = fs::read_to_string(origin.access_log_path()).unwrap();
    assert!(log.len() > 1000 && access.lines().count() > 100, "each request is written down: {log}\n{access}");
    let told = [
        ("the log", log),
        ("the access log", access),
        ("stdout", origin.stdout()),
        ("metrics", metrics),
        ("refusals", refusals),
        ("streams", streams),
    ];
    for (what, text) in &told {
        for token in &tokens {
            assert!(!holds(text, token), "a token in {what}: {text}");
        }
        assert!(!text.contains("subject-of-this-test"), "{what}");
    }
    assert!(told.iter().filter(|(_, text)| text.len() > 100).count() >= 4);
}

#[test]
fn a_playlist_that_loses_tokens_is_told_of() {
    let origin = origin("required");
    let lines: String = (5..7).map(|n| format!("#EXTINF:2,\n/cache/{NAMESPACE}/a{n}.ts\n")).collect();
    (5..7).for_each(|n| origin.store(&format!("a{n}.ts"), "x"));
    origin.store("p.m3u8", format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:5\n{lines}"));
    let told = || origin.log().into_iter().find(|line| line["event"] == "child-loses-token");
    let told = eventually(Duration::from_secs(30), told).expect("it is told");
    assert!(told["detail"].as_str().unwrap().contains("relative URIs"), "{told}");
}

/// A browser gives a page of another origin nothing of what it asked for with a cookie, unless the answer says so and names all it allows.
#[test]
fn a_page_of_a_named_origin_may_send_its_token_as_a_cookie() {
    let settings = |mode: &str| {
        format!(
            "[namespaces.{NAMESPACE}]\ncors_origins = [\"https://www.example\"]\n[namespaces.{NAMESPACE}.viewers]\nmode = \"{mode}\"\n"
        )
    };
    let origin = Origin::start_with_settings(&settings("required"));
    origin.store("a.ts", "x");
    let token = token(&origin, &[]);
    let ask = |method: &str, from: &str| {
        let request = Request::new(method, origin.path("a.ts")).header("Origin", from);
        let request = match method {
            "OPTIONS" => request
                .header("Access-Control-Request-Method", "GET")
                .header("Access-Control-Request-Headers", "cmcd-request,range"),
            _ => request.header("Cookie", format!("CTA-Common-Access-Token={token}")),
        };
        request.send(origin.address)
    };
    for (method, status) in [("GET", 200), ("OPTIONS", 204)] {
        let answer = ask(method, "https://www.example");
        assert_eq!((answer.status, answer.header("access-control-allow-credentials")), (status, "true"), "{answer:?}");
        assert_eq!(answer.header("access-control-allow-origin"), "https://www.example");
        let exposed = answer.header("access-control-expose-headers");
        assert!(exposed.contains("ETag") && !exposed.contains('*'), "{exposed}");
        let stranger = ask(method, "https://evil.example");
        assert_eq!(stranger.header("access-control-allow-credentials"), "", "{stranger:?}");
        // A preflight tells a stranger nothing: not even that there is such a namespace.
        assert_eq!(stranger.header("access-control-allow-origin"), if method == "OPTIONS" { "*" } else { "" });
    }
    let preflight = ask("OPTIONS", "https://www.example");
    assert_eq!(preflight.header("access-control-allow-headers"), "cmcd-request,range");
    assert!(!preflight.header("access-control-allow-methods").contains('*'));
    // A refusal says what is wrong to the page, too.
    let refused = Request::new("GET", origin.path("a.ts")).header("Origin", "https://www.example").send(origin.address);
    assert_eq!((refused.status, refused.header("access-control-allow-credentials")), (401, "true"));
    // Where no cookie means anything, none is sent.
    let plain = Origin::start_with_settings(&settings("off"));
    let answer = Request::new("OPTIONS", plain.path("a.ts")).header("Origin", "https://www.example").send(plain.address);
    assert_eq!(answer.header("access-control-allow-credentials"), "");
}
