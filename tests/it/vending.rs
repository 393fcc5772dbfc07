//! A back end's side of viewers' tokens: having them made, ending them, minting by itself; and the page that says how.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::documents::blocks;
use crate::harness::{BINARY, NAMESPACE, Origin, eventually};
use crate::programs::program;
use crate::tokens::{Cbor, Minter, code, now};
use crate::wire::{Answer, Request};

const LIST: &str = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\na.ts\n";

fn origin(more: &str) -> Origin {
    Origin::start_with_settings(&format!("[namespaces.{NAMESPACE}.viewers]\nmode = \"required\"\n{more}"))
}

fn order(origin: &Origin, what: &str, key: Option<&str>, order: &Value) -> Answer {
    let request = Request::new("POST", format!("/v1/namespaces/{NAMESPACE}/{what}")).header("Content-Type", "application/json");
    let request = if let Some(key) = key { request.bearer(key) } else { request };
    request.body(order.to_string()).send(origin.admin)
}

fn json_of(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("{error}: {answer:?}"))
}

fn read(origin: &Origin, token: &str, key: &str) -> Answer {
    Request::new("GET", format!("/cache/{NAMESPACE}/~{token}/{key}")).send(origin.address)
}

#[test]
fn a_vendor_has_tokens_made_within_its_own_bounds_and_does_nothing_else() {
    let origin = origin("public_url = \"https://cdn.example\"\n[namespaces.other]\n");
    origin.store("show/p.m3u8", LIST);
    origin.store("b/p.m3u8", LIST);
    let (vendor, _) = origin.make_key(&["--namespace", NAMESPACE, "--role", "vendor", "--prefix", "show/", "--expires", "1h"]);
    let made = order(&origin, "viewer-tokens", Some(&vendor), &json!({ "prefix": "show/", "expires_in": "10m", "id": "me" }));
    assert_eq!(made.status, 201, "{made:?}");
    assert_eq!(made.header("cache-control"), "no-store");
    let made = json_of(&made);
    let token = made["token"].as_str().unwrap();
    assert_eq!(made["token_id"], "v-6d65");
    assert_eq!(made["urls"], json!([format!("https://cdn.example/cache/{NAMESPACE}/~{token}/show/p.m3u8")]));
    assert_eq!((read(&origin, token, "show/p.m3u8").status, read(&origin, token, "b/p.m3u8").status), (200, 403));
    let several = json_of(&order(&origin, "viewer-tokens", Some(&vendor), &json!({ "prefix": "show/a/", "count": 3 })));
    let ids: std::collections::BTreeSet<_> =
        several["tokens"].as_array().unwrap().iter().map(|made| made["token_id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids.len(), 3);

    for (body, status, said) in [
        (json!({ "prefix": "b/" }), 403, "its own prefix"),
        (json!({ "prefix": "" }), 403, "its own prefix"),
        (json!({ "prefix": "show/", "expires_in": "61m" }), 400, "good for"),
        (json!({ "prefix": "show/", "expires_at": now() + 7000 }), 400, "can't be read"),
        (json!({ "prefix": "show/", "expires_at": (now() + 7000).to_string() }), 400, "good for"),
        (json!({ "prefix": "show/x" }), 400, "exact"),
        (json!({ "prefix": "show/", "count": 1001 }), 400, "1 to 1000"),
        (json!({ "prefix": "show/", "methods": ["PUT"] }), 400, "writes nothing"),
        (json!({ "prefix": "show/", "color": "red" }), 400, "can't be read"),
        // What would open nothing is refused, and says why.
        (json!({ "prefix": "show//" }), 400, "open nothing"),
        (json!({ "prefix": "show/../" }), 400, "open nothing"),
        (json!({ "prefix": "show/", "addresses": ["192.0.2.0/24"] }), 400, "client_address_header"),
        (json!({ "prefix": "show/", "countries": ["AT"] }), 400, "country_header"),
        (json!({ "prefix": "show/", "addresses": [] }), 400, "addresses"),
        (json!({ "prefix": "show/", "methods": [] }), 400, "GET, HEAD"),
    ] {
        let answer = order(&origin, "viewer-tokens", Some(&vendor), &body);
        assert_eq!(answer.status, status, "{body}: {}", answer.text());
        assert!(answer.text().contains(said), "{body}: {}", answer.text());
    }
    let nothing = order(&origin, "viewer-revocations", Some(&vendor), &json!({ "prefix": "show//" }));
    assert!(nothing.status == 400 && nothing.text().contains("begins so"), "{}", nothing.text());
    let told = Origin::start_with_settings(&format!(
        "[namespaces.{NAMESPACE}.viewers]\nmode = \"required\"\ntrusted_proxies = [\"10.0.0.0/8\"]\nclient_address_header = \"x-forwarded-for\"\n\
         country_header = \"x-country\"\n"
    ));
    for (body, status) in [
        (json!({ "addresses": ["192.0.2.0/24"], "countries": ["AT", "CH-ZH"] }), 201),
        (json!({ "countries": [] }), 400),
        (json!({ "countries": ["Austria"] }), 400),
        (json!({ "countries": ["at"] }), 400),
    ] {
        assert_eq!(order(&told, "viewer-tokens", Some(&told.administrator), &body).status, status, "{body}");
    }
    // It reads and writes nothing, and sees no other namespace and no figures of its own right.
    for method in ["GET", "PUT", "DELETE"] {
        let answer = Request::new(method, "/cache/other/show/p.m3u8").bearer(&vendor).send(origin.address);
        assert_eq!(answer.status, 403, "{method}");
    }
    assert_eq!(Request::new("GET", origin.path("show/p.m3u8")).bearer(&vendor).send(origin.address).status, 401);
    let elsewhere = Request::new("POST", "/v1/namespaces/other/viewer-tokens")
        .header("Content-Type", "application/json")
        .bearer(&vendor)
        .body("{\"prefix\":\"show/\"}");
    assert_eq!(elsewhere.send(origin.admin).status, 403);
    // Figures are of all namespaces: no key for one of them sees them. And an administrator's key is for no single one, which is said.
    let (looks_on, _) = origin.make_key(&["--namespace", NAMESPACE, "--role", "viewer"]);
    let (all, _) = origin.make_key(&["--role", "viewer"]);
    let figures = |key: &str| Request::new("GET", "/metrics").bearer(key).send(origin.admin).status;
    assert_eq!((figures(&looks_on), figures(&all)), (403, 200));
    let warned = origin.run(&["keys", "create", "--role", "admin", "--namespace", NAMESPACE]);
    assert!(warned.status.success() && String::from_utf8_lossy(&warned.stderr).contains("whole server"), "{warned:?}");
    // Other keys make none; who looks after the server may.
    for (key, status) in [
        (Some(&*origin.encoder), 403),
        (Some(&*origin.player), 403),
        (Some("nonsense"), 401),
        (Some(&*origin.administrator), 201),
        (None, 401),
    ] {
        assert_eq!(order(&origin, "viewer-tokens", key, &json!({})).status, status, "{key:?}");
    }
    // A page in somebody's browser does not, nor does what does not say that it is JSON.
    let page = Request::new("POST", format!("/v1/namespaces/{NAMESPACE}/viewer-tokens")).bearer(&origin.administrator).body("{}");
    assert_eq!(page.clone().send(origin.admin).status, 415);
    assert_eq!(page.header("Origin", "https://elsewhere.example").send(origin.admin).status, 403);
    let unknown = |name: &str| {
        let request =
            Request::new("POST", format!("/v1/namespaces/{name}/viewer-tokens")).header("Content-Type", "application/json");
        request.bearer(&origin.administrator).body("{}").send(origin.admin)
    };
    assert_eq!((unknown("nowhere").status, unknown("other").status), (404, 403), "unknown, and with viewers off");
    assert_eq!(Request::new("GET", format!("/v1/namespaces/{NAMESPACE}/viewer-tokens")).send(origin.admin).status, 405);
}

#[test]
fn a_revoked_token_is_refused_within_a_second_and_over_a_restart() {
    // A file that is there at the next start, too.
    let settings = tempfile::NamedTempFile::new().unwrap();
    fs::write(settings.path(), format!("[namespaces.{NAMESPACE}.viewers]\nmode = \"required\"\n")).unwrap();
    let mut origin = Origin::start_with(&["--config", settings.path().to_str().unwrap()]);
    origin.store("show/a.ts", "x");
    origin.store("b/a.ts", "x");
    let (vendor, _) = origin.make_key(&["--namespace", NAMESPACE, "--role", "vendor"]);
    let make = |origin: &Origin| {
        let made = json_of(&order(origin, "viewer-tokens", Some(&vendor), &json!({})));
        (made["token"].as_str().unwrap().to_owned(), made["token_id"].as_str().unwrap().to_owned())
    };
    let [first, second, third] = [make(&origin), make(&origin), make(&origin)];
    // By the API, at once.
    let revoked = order(&origin, "viewer-revocations", Some(&vendor), &json!({ "id": first.1 }));
    assert_eq!(revoked.status, 201, "{revoked:?}");
    let answer = read(&origin, &first.0, "show/a.ts");
    assert_eq!((answer.status, &*code(&answer)), (401, "viewer-token-revoked"));
    assert_eq!(read(&origin, &second.0, "show/a.ts").status, 200);
    // By the command line, within a second.
    let begun = Instant::now();
    let done = origin.run(&["token", "revoke", &second.1, "--namespace", NAMESPACE]);
    assert!(done.status.success(), "{done:?}");
    let gone = || (read(&origin, &second.0, "show/a.ts").status == 401).then_some(());
    assert!(eventually(Duration::from_secs(20), gone).is_some());
    let took = begun.elapsed();
    // A busy machine may take its time, but not that of another look.
    assert!(took < Duration::from_secs(10), "{took:?}");
    // Of a part of the namespace, all that were made before a moment.
    let before = (now() + 1).to_string();
    let order_before = json!({ "prefix": "show/", "issued_before": before });
    // On loopback, too, that takes a key.
    assert_eq!(order(&origin, "viewer-revocations", None, &order_before).status, 401);
    assert_eq!(order(&origin, "viewer-tokens", None, &json!({ "prefix": "show/" })).status, 401);
    assert_eq!(order(&origin, "viewer-revocations", Some(&vendor), &order_before).status, 201);
    assert_eq!((read(&origin, &third.0, "show/a.ts").status, read(&origin, &third.0, "b/a.ts").status), (401, 200));
    for body in [
        json!({}),
        json!({ "id": "me" }),
        json!({ "id": "v-ZZ" }),
        json!({ "id": "v-61", "prefix": "show/" }),
        json!({ "id": "v-61", "expires_at": "2020-01-01T00:00:00Z" }),
        json!({ "issued_before": "1" }),
        json!({ "prefix": "q/", "issued_before": "2099-01-01T00:00:00Z" }),
    ] {
        assert_eq!(order(&origin, "viewer-revocations", Some(&vendor), &body).status, 400, "{body}");
    }
    // Ids can be guessed: whose key is for a part of the namespace ends that part.
    let (narrow, _) = origin.make_key(&["--namespace", NAMESPACE, "--role", "vendor", "--prefix", "zzz/"]);
    assert_eq!(order(&origin, "viewer-revocations", Some(&narrow), &json!({ "id": first.1 })).status, 403);
    let feed = |origin: &Origin, query: &str| {
        let path = format!("/v1/namespaces/{NAMESPACE}/viewer-revocations{query}");
        json_of(&Request::new("GET", path).bearer(&vendor).send(origin.admin))["revocations"].as_array().unwrap().clone()
    };
    let told = feed(&origin, "");
    assert!(told.len() == 3 && told[0]["id"] == first.1.as_str() && told[2]["prefix"] == "show/", "{told:?}");
    assert_eq!(feed(&origin, &format!("?since={}", now() + 100)).len(), 0);
    origin.stop();
    origin.launch();
    assert_eq!(read(&origin, &first.0, "b/a.ts").status, 401);
    assert_eq!((read(&origin, &third.0, "show/a.ts").status, read(&origin, &third.0, "b/a.ts").status), (401, 200));
    assert_eq!(feed(&origin, "").len(), 3);
    // What can't be read is no reason to let anybody in.
    origin.stop();
    fs::write(origin.data_dir().join("viewer_revocations.json"), "{").unwrap();
    let start = crate::programs::limited(20, BINARY)
        .args(["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--data-dir"])
        .arg(origin.data_dir())
        .output()
        .unwrap();
    assert!(!start.status.success() && String::from_utf8_lossy(&start.stderr).contains("viewer_revocations.json"), "{start:?}");
}

#[test]
fn what_one_namespace_has_revoked_leaves_the_others_their_room() {
    let origin = origin("[namespaces.other]\n[namespaces.other.viewers]\nmode = \"required\"\n");
    origin.store("show/p.m3u8", LIST);
    let key = origin.administrator.clone();
    let made = json_of(&order(&origin, "viewer-tokens", Some(&key), &json!({ "prefix": "show/" })));
    let [token, id] = ["token", "token_id"].map(|field| made[field].as_str().unwrap().to_owned());
    let (now, until) = (now(), now() + 86_400);
    let one = |number: u32| format!(r#"{{"namespace":"other","id":"v-{number:08x}","revoked_at":{now},"until":{until}}}"#);
    let all: Vec<String> = (0..100_000).map(one).collect();
    let list = format!(r#"{{"format":1,"revocations":[{}]}}"#, all.join(","));
    fs::write(origin.data_dir().join("draft"), list).unwrap();
    fs::rename(origin.data_dir().join("draft"), origin.data_dir().join("viewer_revocations.json")).unwrap();
    let is_full = || (origin.metric("springhead_viewer_revocations") > 99_999.5).then_some(());
    assert!(eventually(Duration::from_secs(30), is_full).is_some());
    let is_many = |line: &Value| line["message"].as_str().is_some_and(|text| text.starts_with("there are many revocations"));
    let warned = || origin.log().iter().any(is_many).then_some(());
    assert!(eventually(Duration::from_secs(10), warned).is_some(), "it is said while there is time");
    let other = |order: Value| {
        let request = Request::new("POST", "/v1/namespaces/other/viewer-revocations").header("Content-Type", "application/json");
        request.bearer(&key).body(order.to_string()).send(origin.admin)
    };
    let full = other(json!({ "id": "v-ffffffff" }));
    assert_eq!((full.status, &*full.problem()), (409, "too-many-revocations"), "{}", full.text());
    assert_eq!(other(json!({ "prefix": "show/" })).status, 201, "the way out is open");
    assert_eq!(read(&origin, &token, "show/p.m3u8").status, 200);
    assert_eq!(order(&origin, "viewer-revocations", Some(&key), &json!({ "id": id })).status, 201);
    assert_eq!(read(&origin, &token, "show/p.m3u8").status, 401);
}

#[test]
fn tokens_that_are_too_long_to_be_remembered_are_made_once() {
    let origin = origin("");
    // Each of them is about as long as one may be.
    let prefix = format!("{}/", ["x"; 60].join("/").repeat(6));
    let send = || {
        let request = Request::new("POST", format!("/v1/namespaces/{NAMESPACE}/viewer-tokens"))
            .header("Content-Type", "application/json")
            .header("Idempotency-Key", "once");
        request.bearer(&origin.administrator).body(json!({ "prefix": prefix, "count": 1000 }).to_string()).send(origin.admin)
    };
    let first = send();
    assert_eq!((first.status, first.body.len() > 1 << 20), (201, true), "{} bytes", first.body.len());
    assert_eq!(json_of(&first)["tokens"].as_array().unwrap().len(), 1000);
    let again = send();
    assert_eq!((again.status, &*again.problem()), (409, "in-use"), "they are not made twice");
}

#[test]
fn what_is_made_behind_a_revocation_is_good_and_what_has_ended_is_inspected_so() {
    let origin = origin("");
    origin.store("show/a.ts", "x");
    origin.store("b/a.ts", "x");
    let key = Some(&*origin.administrator);
    let make = |prefix: &str| {
        let made = json_of(&order(&origin, "viewer-tokens", key, &json!({ "prefix": prefix })));
        (made["token"].as_str().unwrap().to_owned(), made["token_id"].as_str().unwrap().to_owned())
    };
    let inspect = |more: &[&str]| {
        let output = origin.run(&[&["token", "inspect"], more].concat());
        let json: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
        assert_eq!(output.status.code(), Some(i32::from(json["status"] != "good")), "{json}");
        json
    };
    let [by_id, by_prefix, for_all] = [make(""), make("show/"), make("")];
    assert_eq!(order(&origin, "viewer-revocations", key, &json!({ "id": by_id.1 })).status, 201);
    assert_eq!(order(&origin, "viewer-revocations", key, &json!({ "prefix": "show/" })).status, 201);
    // At once, within the second that was revoked: by the API, and by the command.
    let next = make("show/").0;
    let command = origin.run(&["token", "viewer", "--namespace", NAMESPACE, "--prefix", "show/"]);
    let command: Value = serde_json::from_slice(&command.stdout).unwrap_or_else(|error| panic!("{error}: {command:?}"));
    for (token, status) in [(&*by_prefix.0, 401), (&*for_all.0, 401), (&*next, 200), (command["token"].as_str().unwrap(), 200)] {
        assert_eq!(read(&origin, token, "show/a.ts").status, status);
    }
    assert_eq!(inspect(&[&next])["status"], "good");
    assert_eq!(inspect(&[&by_id.0])["status"], "revoked");
    assert_eq!(inspect(&[&by_prefix.0])["status"], "revoked");
    // Of one that opens more, a part is.
    let partly = inspect(&[&for_all.0]);
    assert!(partly["status"] == "good" && partly["note"].as_str().unwrap().contains("for a part"), "{partly}");
    let at = |path: &str| inspect(&[&for_all.0, "--path", &format!("/cache/{NAMESPACE}/{path}")]);
    assert_eq!((&at("show/a.ts")["status"], &at("b/a.ts")["status"]), (&json!("revoked"), &json!("good")));
    // The command, too, ends nothing that is made from now on, and nothing that has ended by itself.
    for (more, said) in [
        (&["--prefix", "b/", "--issued-before", "2099-01-01T00:00:00Z"][..], "has been"),
        (&["--prefix", "b/", "--expires-at", "2020-01-01T00:00:00Z"], "is over"),
    ] {
        let refused = origin.run(&[&["token", "revoke", "--namespace", NAMESPACE], more].concat());
        assert_eq!(refused.status.code(), Some(2), "{refused:?}");
        assert!(String::from_utf8_lossy(&refused.stderr).contains(said), "{refused:?}");
    }
    assert_eq!(at("b/a.ts")["status"], "good");
}

#[test]
fn tokens_whose_ids_begin_alike_are_ended_one_by_one() {
    let origin = origin("");
    origin.store("a.ts", "x");
    let minter = Minter::of(&origin);
    let token = |id: &str| {
        let draft = minter.draft(NAMESPACE, &format!("/cache/{NAMESPACE}/"), now() + 600);
        minter.seal(&draft.claim(7, Cbor::Bytes(id.as_bytes().to_vec())))
    };
    let [one, other] = ["customer-session-0001", "customer-session-0002"].map(token);
    let inspected: Value = serde_json::from_slice(&origin.run(&["token", "inspect", &one]).stdout).unwrap();
    let ends = |id: &str| {
        let ended = order(&origin, "viewer-revocations", Some(&origin.administrator), &json!({ "id": id }));
        assert_eq!(ended.status, 201, "{ended:?}");
        [&one, &other].map(|token| read(&origin, token, "a.ts").status)
    };
    assert_eq!([&one, &other].map(|token| read(&origin, token, "a.ts").status), [200, 200]);
    assert_eq!(ends(inspected["token_id"].as_str().unwrap()), [401, 200]);
    // What a version before said of such an id was said of all that begin so.
    assert_eq!(ends("v-637573746f6d65722d73657373696f6e"), [401, 401]);
}

#[test]
fn a_proxy_asks_whether_a_viewer_may_have_it() {
    let origin = Origin::start_with_settings(&format!(
        "[namespaces.{NAMESPACE}.viewers]\nmode = \"edge\"\nbase_path = \"/\"\n[namespaces.b.viewers]\nmode = \"edge\"\n"
    ));
    let minter = Minter::of(&origin);
    let good = minter.seal(&minter.draft(NAMESPACE, "/show/", now() + 600));
    let ask = |uri: &str, headers: &[(&str, &str)]| {
        let request = Request::new("GET", format!("/entitlement?namespace={NAMESPACE}")).header("X-Original-URI", uri);
        headers.iter().fold(request, |request, (name, value)| request.header(name, *value)).send(origin.address)
    };
    for (uri, headers, path) in [
        (format!("/~{good}/show/a%20b.ts?_HLS_msn=5"), &[][..], "/show/a%20b.ts?_HLS_msn=5"),
        (format!("/show/a.ts?start=1&cat={good}"), &[], "/show/a.ts?start=1"),
        // What makes another answer, in one order; the rest would make a copy of the same for each viewer.
        (format!("/~{good}/show/a.ts?CMCD=sid%3D1&role=origin"), &[], "/show/a.ts"),
        (format!("/~{good}/show/p.m3u8?_HLS_msn=5&CMCD=x&start=2&_HLS_msn=6"), &[], "/show/p.m3u8?start=2&_HLS_msn=5"),
        (
            format!("/~{good}/show/p.m3u8?_HLS_skip=v2&_HLS_part=0&_HLS_msn=5&last=1h&end=4&starts=3&start=3"),
            &[],
            "/show/p.m3u8?start=3&end=4&last=1h&_HLS_msn=5&_HLS_part=0&_HLS_skip=v2",
        ),
        ("/show/a.ts".to_owned(), &[("CTA-Common-Access-Token", &*good)], "/show/a.ts"),
        (format!("/~{good}/show/a.ts"), &[("X-Original-Method", "HEAD")], "/show/a.ts"),
    ] {
        let answer = ask(&uri, headers);
        assert_eq!((answer.status, answer.header("x-viewer-path")), (204, path), "{uri}");
        assert_eq!(answer.header("cache-control"), "no-store");
    }
    // Before a browser sends a header of its own it asks whether it may, without a token.
    for uri in [format!("/~{good}/show/p.m3u8"), "/show/p.m3u8".to_owned()] {
        let answer = ask(&uri, &[("X-Original-Method", "OPTIONS")]);
        assert_eq!((answer.status, answer.header("x-viewer-path")), (204, "/show/p.m3u8"), "{uri}");
    }
    // No other token is handed over there: one that has ended has ended for playlists too, and one that a playlist's URIs would lose is
    // refused where it is seen.
    let renewal = |expires: u64| {
        let deadline = Cbor::Number(i64::try_from(now() + 3600).unwrap());
        let renew = Cbor::map(&[(0, Cbor::Number(3)), (1, Cbor::Number(600)), (2, deadline)]);
        minter.seal(&minter.draft(NAMESPACE, "/show/", expires).claim(323, renew))
    };
    let (renewed, query) = (renewal(now() - 100), format!("/show/p.m3u8?cat={good}"));
    assert_eq!(ask(&format!("/~{}/show/p.m3u8", renewal(now() + 60)), &[]).status, 204);
    for (uri, status, expected, words) in [
        (format!("/~{renewed}/show/p.m3u8"), 401, "viewer-token-expired", "take a new one"),
        (query, 403, "viewer-token-scope", "hand out the path form"),
    ] {
        let answer = ask(&uri, &[]);
        assert_eq!((answer.status, &*code(&answer)), (status, expected), "{uri}");
        assert!(answer.text().contains(words), "{}", answer.text());
    }
    let renew = json!({ "extend": "10m", "deadline": (now() + 3600).to_string() });
    let ordered = order(&origin, "viewer-tokens", Some(&origin.administrator), &json!({ "prefix": "show/", "renew": renew }));
    assert!(ordered.status == 400 && ordered.text().contains("as long as the programme"), "{ordered:?}");
    let ended = minter.seal(&minter.draft(NAMESPACE, "/show/", 1));
    for (uri, headers, status, expected) in [
        ("/show/a.ts".to_owned(), &[][..], 401, "viewer-token-missing"),
        ("/show/a.ts".to_owned(), &[("Authorization", &*origin.encoder)], 401, "viewer-token-missing"),
        (format!("/~{ended}/show/a.ts"), &[], 401, "viewer-token-expired"),
        (format!("/~{good}/other/a.ts"), &[], 403, "viewer-token-scope"),
        (format!("/~{good}/show/a.ts"), &[("X-Original-Method", "PUT")], 403, "viewer-token-scope"),
        (format!("/~{good}/show/../a.ts"), &[], 403, "viewer-token-scope"),
        ("nonsense".to_owned(), &[], 403, "viewer-token-scope"),
        (format!("/~{good}/show/a.ts"), &[("X-Forwarded-Uri", "/other/a.ts")], 403, "viewer-token-scope"),
        (format!("/~{good}/show/a.ts"), &[("X-Original-URI", "/other/a.ts")], 403, "viewer-token-scope"),
        (
            format!("/~{good}/show/a.ts"),
            &[("X-Forwarded-Method", "PUT"), ("X-Original-Method", "GET")],
            403,
            "viewer-token-scope",
        ),
    ] {
        let answer = ask(&uri, headers);
        assert_eq!((answer.status, &*code(&answer)), (status, expected), "{uri}");
    }
    // Where the path names it, the namespace need not be said.
    let other = minter.seal(&minter.draft("b", "/cache/b/", now() + 600));
    let request = Request::new("GET", "/entitlement").header("X-Forwarded-Uri", format!("/cache/b/~{other}/a.ts"));
    assert_eq!(request.send(origin.address).header("x-viewer-path"), "/cache/b/a.ts");
    assert_eq!(Request::new("GET", "/entitlement").send(origin.address).status, 400);
    assert_eq!(Request::new("POST", "/entitlement").send(origin.address).status, 405);
}

#[test]
fn thirty_lines_of_any_language_make_tokens() {
    let origin = origin("");
    origin.store("show/a.ts", "x");
    let key = fs::read_to_string(origin.data_dir().join("viewer.key")).unwrap();
    let file = |name: &str| format!("{}/docs/mint/{name}", env!("CARGO_MANIFEST_DIR"));
    let languages: [(&str, &[&str], &str); 3] =
        [("python3", &[], "mint.py"), ("node", &[], "mint.mjs"), ("go", &["run"], "mint.go")];
    for (command, how, name) in languages {
        let path = format!("/cache/{NAMESPACE}/show/");
        let mut mint = program(command);
        // What Go builds it keeps with what else is built here.
        mint.env("GOCACHE", concat!(env!("CARGO_TARGET_TMPDIR"), "/go")).env("CGO_ENABLED", "0");
        let minted = mint.args(how).args([&file(name), key.trim(), NAMESPACE, &path, "600"]).output().unwrap();
        assert!(minted.status.success(), "{name}: {}", String::from_utf8_lossy(&minted.stderr));
        let token = String::from_utf8(minted.stdout).unwrap();
        assert_eq!(
            (read(&origin, token.trim(), "show/a.ts").status, read(&origin, token.trim(), "b.ts").status),
            (200, 403),
            "{name}"
        );
    }
}

/// What the page on viewers' tokens says, from nothing to a playing URL.
#[test]
fn the_page_leads_from_nothing_to_a_protected_stream_in_six_commands() {
    let commands = blocks("docs/entitlements.md", "sh").remove(0);
    let lines = commands.replace("\\\n", " ").lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')).count();
    assert_eq!(lines, 6, "{commands}");
    let folder = tempfile::tempdir().unwrap();
    let [data, admin] = [crate::front::free_port(), crate::front::free_port()];
    let script = commands
        .replace("localhost:8080", &format!("127.0.0.1:{data}"))
        .replace("localhost:8081", &format!("127.0.0.1:{admin}"))
        .replace("springhead serve", &format!("springhead serve --listen 127.0.0.1:{data} --admin-listen 127.0.0.1:{admin}"));
    let bin = std::path::Path::new(BINARY).parent().unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    // The last one plays; what was begun in the background ends with the shell.
    let script = format!("set -e\ntrap 'kill $(jobs -p)' EXIT\n{script}\n");
    let run = program("bash").current_dir(folder.path()).env("PATH", path).args(["-c", &script]).output().unwrap();
    let (said, complained) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success(), "{script}\n{said}\n{complained}");
    assert!(said.contains("h264"), "{said}\n{complained}");
    let refused = said.lines().filter(|line| line.trim() == "401").count();
    assert_eq!(refused, 1, "without a token there is none: {said}");
}
