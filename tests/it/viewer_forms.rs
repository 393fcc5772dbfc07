//! Viewers' tokens of other forms (Akamai's), how they are handed on in a header, answered in a query, and held to a rate.

use std::fs;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use springhead::auth::signing::{SigningKey, hmac_hex};

use crate::harness::{NAMESPACE, Origin, eventually};
use crate::tokens::{Cbor, Minter, code, now};
use crate::wire::{Answer, Request};

const AKAMAI: [u8; 16] = [0x52, 0xa1, 0x52, 0xa1, 0x52, 0xa1, 0x52, 0xa1, 0x52, 0xa1, 0x52, 0xa1, 0x52, 0xa1, 0x52, 0xa1];

fn origin(settings: &str) -> Origin {
    let origin = Origin::start_with_settings(&format!("[namespaces.{NAMESPACE}.viewers]\nmode = \"required\"\n{settings}"));
    origin.store("show/p.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\na.ts\n#EXT-X-ENDLIST\n");
    origin.store("show/a.ts", "segment");
    origin.store("other/a.ts", "segment");
    origin
}

fn get(origin: &Origin, path: &str) -> Answer {
    Request::new("GET", path).send(origin.address)
}

fn edge_auth(said: &str) -> String {
    format!("{said}~hmac={}", hmac_hex(&AKAMAI, said.as_bytes()))
}

#[test]
fn akamais_tokens_open_what_they_say_in_the_namespace_whose_key_made_them() {
    let origin = origin("");
    let path = |key: &str| format!("/cache/{NAMESPACE}/{key}");
    let good = edge_auth(&format!("st={}~exp={}~acl=/cache/{NAMESPACE}/show/*", now() - 10, now() + 600));
    // Without a key for them such a parameter is somebody's own affair.
    assert_eq!(code(&get(&origin, &format!("{}?hdnts={good}", path("show/a.ts")))), "viewer-token-missing");
    let file = origin.data_dir().join("viewer.key");
    let keys = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("{keys}akamai:{NAMESPACE}:{}\n", "52a1".repeat(8))).unwrap();
    origin.signal("HUP");
    let by_query = |name: &str, token: &str, key: &str| get(&origin, &format!("{}?x=1&{name}={token}", path(key)));
    let taken = || (by_query("hdnts", &good, "show/p.m3u8").status == 302).then_some(());
    assert!(eventually(Duration::from_secs(20), taken).is_some());
    for name in ["hdnts", "hdnea", "hdntl"] {
        for token in [&good, &good.replace('/', "%2F"), &good.replace('=', "%3D").replace('~', "%7E"), &good.replace('=', "%3D")]
        {
            let first = by_query(name, token, "show/p.m3u8");
            assert_eq!((first.status, first.header("cache-control")), (302, "no-store"), "{first:?}");
            let location = first.header("location").to_owned();
            assert!(location.ends_with("/show/p.m3u8?x=1") && !location.contains("hmac"), "{location}");
            assert_eq!(get(&origin, &location).status, 200);
            assert_eq!(get(&origin, &location.replace("p.m3u8?x=1", "a.ts")).text(), "segment", "a relative URI keeps it");
            let elsewhere = get(&origin, &location.replace("show/p.m3u8?x=1", "other/a.ts"));
            assert_eq!((elsewhere.status, &*code(&elsewhere)), (403, "viewer-token-scope"));
        }
        let cookie = Request::new("GET", path("show/a.ts")).header("Cookie", format!("a=b; {name}={good}"));
        assert_eq!(cookie.send(origin.address).text(), "segment", "{name}");
    }
    let base = format!("acl=/cache/{NAMESPACE}/*");
    for (token, status, expected) in [
        (good.replace("show", "othe"), 401, "viewer-token-invalid"),
        (format!("{good}0"), 401, "viewer-token-invalid"),
        (edge_auth(&format!("exp={}~{base}", now() - 100)), 401, "viewer-token-expired"),
        (edge_auth(&format!("st={}~exp={}~{base}", now() + 300, now() + 600)), 401, "viewer-token-not-yet"),
        (edge_auth(&format!("ip=192.0.2.1~exp={}~{base}", now() + 600)), 403, "viewer-token-unsupported"),
        (edge_auth(&format!("exp={}~{base}~more=1", now() + 600)), 403, "viewer-token-unsupported"),
        (edge_auth(&base), 403, "viewer-token-unsupported"),
        (edge_auth(&format!("exp={}~acl=/other/*!/cache/{NAMESPACE}/b/?.ts", now() + 600)), 403, "viewer-token-scope"),
    ] {
        let answer = by_query("hdnts", &token, "show/a.ts");
        assert_eq!((answer.status, &*code(&answer)), (status, expected), "{token}");
        let keyed = Request::new("GET", format!("{}?hdnts={token}", path("show/a.ts"))).bearer(&origin.encoder);
        assert_eq!(keyed.send(origin.address).status, status, "no key makes up for it");
    }
    // It is revoked by the id that logs have.
    let id = origin.wait_for_access(|line| line["key_id"].as_str().is_some_and(|id| id.starts_with("v-")))["key_id"].clone();
    let revoked = origin.run(&["token", "revoke", id.as_str().unwrap(), "--namespace", NAMESPACE]);
    assert!(revoked.status.success());
    let gone = || {
        let answer = by_query("hdnts", &good, "show/p.m3u8");
        (answer.status == 401).then(|| code(&answer))
    };
    assert_eq!(eventually(Duration::from_secs(10), gone).as_deref(), Some("viewer-token-revoked"));
}

fn add_key(origin: &Origin, namespace: &str) {
    let file = origin.data_dir().join("viewer.key");
    let keys = fs::read_to_string(&file).unwrap_or_else(|_| format!("{}\n", SigningKey::generate().encode()));
    fs::write(&file, format!("{keys}akamai:{namespace}:{}\n", "52a1".repeat(8))).unwrap();
    origin.signal("HUP");
}

#[test]
fn akamais_tokens_write_nothing_and_are_not_passed_over_where_tokens_are_off() {
    for mode in ["off", "required"] {
        let origin = Origin::start_with_settings(&format!("[namespaces.{NAMESPACE}.viewers]\nmode = \"{mode}\"\n"));
        let send = |method: &str, query: &str, cookie: &str| {
            let request = Request::new(method, origin.path(&format!("a.ts{query}"))).bearer(&origin.encoder);
            request.header("Cookie", cookie).send(origin.address)
        };
        let good = edge_auth(&format!("exp={}~acl=/*", now() + 600));
        let forged = format!("exp={}~acl=/*~hmac=00", now() + 600);
        // Without a key for them these are somebody else's.
        assert!(send("PUT", &format!("?hdnts={good}"), &format!("hdnea={good}")).status < 300, "{mode}");
        assert_eq!(send("GET", "?hdnts=garbage", "hdntl=garbage").status, 200, "{mode}");
        add_key(&origin, NAMESPACE);
        let heeded = || (send("PUT", "?hdnts=garbage", "").status == 400).then_some(());
        assert!(eventually(Duration::from_secs(20), heeded).is_some(), "{mode}");
        for token in [&*good, &*forged, "garbage"] {
            for name in ["hdnts", "hdnea", "hdntl"] {
                let said = format!("{name}={token}");
                for (query, cookie) in [(format!("?{said}"), String::new()), (String::new(), format!("a=b; {said}"))] {
                    for method in ["PUT", "POST", "DELETE"] {
                        let answer = send(method, &query, &cookie);
                        assert_eq!((answer.status, &*code(&answer)), (400, "viewer-token-on-write"), "{mode} {method} {name}");
                    }
                    let answer = send("GET", &query, &cookie);
                    if mode == "off" {
                        assert_eq!((answer.status, &*code(&answer)), (403, "viewer-token-unsupported"), "{name}");
                    } else if token != good {
                        assert_ne!(answer.status, 200, "{name}");
                    }
                }
            }
        }
        assert_eq!(send("GET", "", "a=b").status, 200, "nothing was written or removed by those");
    }
}

#[test]
fn a_line_of_akamais_that_is_wrong_is_told_of_at_a_reload_and_the_keys_in_force_stay() {
    // A file that stays: what can't be read again is not in force.
    let settings = tempfile::NamedTempFile::new().unwrap();
    fs::write(settings.path(), format!("[namespaces.{NAMESPACE}.viewers]\nmode = \"required\"\n")).unwrap();
    let origin = Origin::start_with(&["--config", settings.path().to_str().unwrap()]);
    origin.store("show/a.ts", "segment");
    let good = edge_auth(&format!("exp={}~acl=/cache/{NAMESPACE}/*", now() + 600));
    let read = |token: &str| get(&origin, &format!("/cache/{NAMESPACE}/show/a.ts?hdnts={token}")).status;
    add_key(&origin, NAMESPACE);
    assert!(eventually(Duration::from_secs(20), || (read(&good) == 302).then_some(())).is_some());
    // For a namespace that is none: nothing comes of it, which is said, and not with what key.
    add_key(&origin, "live-orgin");
    let told = |part: &str| {
        let said = |line: &Value| line["message"].as_str().is_some_and(|message| message.contains(part));
        eventually(Duration::from_secs(20), || origin.log().into_iter().find(said))
            .unwrap_or_else(|| panic!("{:#?}", origin.log()))
    };
    let stray = told("for a namespace that does not exist");
    assert_eq!((&stray["level"], &stray["namespace"]), (&json!("WARN"), &json!("live-orgin")));
    // No key at all: its line is named, and what was in force stays.
    let file = origin.data_dir().join("viewer.key");
    let keys = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("{keys}akamai:{NAMESPACE}:no-key-at-all\n")).unwrap();
    origin.signal("HUP");
    let refused = told("the viewer keys are not reloaded");
    assert!(refused["error"].as_str().unwrap().contains("line 4 is no key of Akamai's"), "{refused}");
    assert_eq!(read(&good), 302);
    let all = origin.log().iter().map(Value::to_string).collect::<String>();
    assert!(!all.contains("no-key-at-all") && !all.contains("52a152a1"), "no key is shown");
    // With a salt, which is never sent.
    fs::write(&file, format!("{keys}akamai:{NAMESPACE}:{}:grain%2Cof\n", "52a1".repeat(8))).unwrap();
    origin.signal("HUP");
    let said = format!("exp={}~acl=/cache/{NAMESPACE}/*", now() + 600);
    let salted = format!("{said}~hmac={}", hmac_hex(&AKAMAI, format!("{said}~salt=grain,of").as_bytes()));
    assert!(eventually(Duration::from_secs(20), || (read(&salted) == 302).then_some(())).is_some());
    assert_eq!(read(&good), 302, "and without, by the other key");
    // The command line reads them as well.
    let inspect = |more: &[&str]| {
        let output = origin.run(&[&["token", "inspect"], more].concat());
        let json: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(output.status.success(), json["status"] == "good", "{json}");
        json
    };
    for token in [&good, &salted] {
        let found = inspect(&[token]);
        assert_eq!((&found["status"], &found["aud"]), (&json!("good"), &json!([NAMESPACE])), "{found}");
        assert_eq!(found["catu"][0], format!("path begins with /cache/{NAMESPACE}/"));
    }
    assert_eq!(inspect(&[&edge_auth("exp=5~acl=/*")])["status"], "expired");
    assert_eq!(inspect(&[&format!("{said}~hmac=00")])["status"], "refused");
    let path = format!("/cache/{NAMESPACE}/show/a.ts");
    let end = format!("exp={}", now() + 600);
    let of_one = format!("{end}~hmac={}", hmac_hex(&AKAMAI, format!("{end}~url={path}").as_bytes()));
    assert_eq!(
        (&inspect(&[&of_one])["status"], &inspect(&[&of_one, "--path", &path])["status"]),
        (&json!("refused"), &json!("good"))
    );
}

#[test]
fn akamais_tokens_go_out_of_playlists_that_are_stored() {
    let origin = origin("");
    let token = edge_auth(&format!("exp={}~acl=/cache/{NAMESPACE}/show/*", now() + 600));
    let list = |query: &str| {
        format!(
            "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-KEY:METHOD=AES-128,URI=\"k.key{query}\"\n#EXTINF:2,\na.ts{query}\n#EXTINF:2,\n\
             https://cdn.example/show/b.ts{query}\n#EXT-X-ENDLIST\n"
        )
    };
    let stored = |text: String| {
        origin.store("show/q.m3u8", text);
        Request::new("GET", origin.path("show/q.m3u8")).bearer(&origin.encoder).send(origin.address).text()
    };
    for name in ["hdnts", "hdnea", "hdntl"] {
        for token in [&token, &token.replace('/', "%2F"), &token.replace('~', "%7e")] {
            assert_eq!(stored(list(&format!("?{name}={token}"))), list(""), "{name}");
            assert_eq!(stored(list(&format!("?x=1&{name}={token}"))), list("?x=1"), "{name}");
        }
        for kept in [format!("?{name}={{${name}}}"), format!("?{name}=sports"), format!("?other={token}")] {
            assert_eq!(stored(list(&kept)), list(&kept));
        }
    }
    let path = format!("~{}/", URL_SAFE_NO_PAD.encode(&token));
    let at = |path: &str| format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{path}a.ts\n#EXT-X-ENDLIST\n");
    assert_eq!(stored(at(&path)), at(""));
}

#[test]
fn a_token_is_handed_on_in_a_header_while_it_is_good() {
    let origin = origin("");
    let minter = Minter::of(&origin);
    let number = |seconds: u64| Cbor::Number(i64::try_from(seconds).unwrap());
    let renewed = |expires: u64| {
        let catr = Cbor::map(&[(0, Cbor::Number(2)), (1, Cbor::Number(600)), (2, number(now() + 5000))]);
        minter.seal(&minter.draft(NAMESPACE, &format!("/cache/{NAMESPACE}/"), expires).claim(323, catr))
    };
    let ask = |token: &str| {
        let request = Request::new("GET", format!("/cache/{NAMESPACE}/show/a.ts")).header("CTA-Common-Access-Token", token);
        request.send(origin.address)
    };
    let plenty = ask(&renewed(now() + 4000));
    assert!(plenty.status == 200 && plenty.headers("cta-common-access-token").count() == 0, "{plenty:?}");
    let soon = ask(&renewed(now() + 60));
    assert_eq!((soon.status, soon.text().as_str(), soon.header("cache-control")), (200, "segment", "private, no-store"));
    let next = soon.header("cta-common-access-token").to_owned();
    let inspected: Value = serde_json::from_slice(&origin.run(&["token", "inspect", &next]).stdout).unwrap();
    assert_eq!((&inspected["status"], &inspected["token_id"]), (&json!("good"), &json!("v-6120766965776572")), "{inspected}");
    let again = ask(&next);
    assert!(again.status == 200 && again.headers("cta-common-access-token").count() == 0, "it is good for long: {again:?}");
    // What has ended has to be taken anew.
    assert_eq!(code(&ask(&renewed(now() - 100))), "viewer-token-expired");
    // A back end orders such.
    let renew = json!({ "extend": "10m", "deadline": (now() + 3600).to_string(), "by": "header" });
    let order = json!({ "prefix": "show/", "expires_in": "1m", "renew": renew }).to_string();
    let made = Request::new("POST", format!("/v1/namespaces/{NAMESPACE}/viewer-tokens"));
    let made = made.header("Content-Type", "application/json").bearer(&origin.administrator).body(order).send(origin.admin);
    let made: Value = serde_json::from_slice(&made.body).unwrap();
    assert_eq!(ask(made["token"].as_str().unwrap_or_else(|| panic!("{made}"))).headers("cta-common-access-token").count(), 1);
}

#[test]
fn a_token_in_the_query_stays_there_where_playlists_hand_it_on() {
    let origin = origin("query = \"answer\"\n");
    let list =
        "#EXTM3U\n#EXT-X-VERSION:11\n#EXT-X-DEFINE:QUERYPARAM=\"cat\"\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\na.ts?cat={$cat}\n";
    origin.store("show/q.m3u8", list);
    let minter = Minter::of(&origin);
    let token = minter.seal(&minter.draft(NAMESPACE, &format!("/cache/{NAMESPACE}/show/"), now() + 600));
    for (key, text) in [("show/q.m3u8", list), ("show/a.ts", "segment")] {
        let answer = get(&origin, &format!("/cache/{NAMESPACE}/{key}?cat={token}"));
        assert_eq!((answer.status, answer.text().as_str(), answer.header("cache-control")), (200, text, "no-store"), "{key}");
    }
    assert_eq!(get(&origin, &format!("/cache/{NAMESPACE}/other/a.ts?cat={token}")).status, 403);
    assert_eq!(get(&origin, &format!("/cache/{NAMESPACE}/show/a.ts?cat={token}A")).status, 401);
}

#[test]
fn a_token_that_is_handed_on_is_slowed_down() {
    let origin = origin("requests_per_second = \"2\"\n");
    let minter = Minter::of(&origin);
    let draft = minter.draft(NAMESPACE, &format!("/cache/{NAMESPACE}/"), now() + 600);
    let [one, other] = [b"one", b"two"].map(|id| minter.seal(&draft.clone().claim(7, Cbor::Bytes(id.to_vec()))));
    let ask = |token: &str| get(&origin, &format!("/cache/{NAMESPACE}/~{token}/show/a.ts"));
    let answers: Vec<Answer> = (0..100).map(|_| ask(&one)).collect();
    let good = answers.iter().filter(|answer| answer.status == 200).count();
    assert!((20..90).contains(&good), "{good}: ten seconds' worth at once, and two for each second");
    let refused = answers.iter().find(|answer| answer.status != 200).unwrap();
    assert_eq!((refused.status, &*code(refused), refused.header("cache-control")), (429, "viewer-limit", "no-store"));
    let wait: u64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=60).contains(&wait));
    assert_eq!(ask(&other).status, 200, "each token has its own");
    // Encoders and edges have no token, and no such limit.
    let keyed = Request::new("GET", origin.path("show/a.ts")).bearer(&origin.encoder);
    assert!((0..50).all(|_| keyed.clone().send(origin.address).status == 200));
}

#[test]
fn a_token_that_is_handed_on_is_slowed_down_by_what_it_takes() {
    let origin = origin("bytes_per_second = \"10KB\"\n");
    origin.store("show/large.ts", vec![7; 1_000_000]);
    let minter = Minter::of(&origin);
    let draft = minter.draft(NAMESPACE, &format!("/cache/{NAMESPACE}/"), now() + 600);
    let [one, other] = [b"one", b"two"].map(|id| minter.seal(&draft.clone().claim(7, Cbor::Bytes(id.to_vec()))));
    let ask = |method: &str, token: &str| {
        Request::new(method, format!("/cache/{NAMESPACE}/~{token}/show/large.ts")).send(origin.address)
    };
    assert!((0..5).all(|_| ask("HEAD", &one).status == 200), "that takes none");
    assert_eq!(ask("GET", &one).status, 200);
    let refused = ask("GET", &one);
    assert_eq!((refused.status, &*code(&refused)), (429, "viewer-limit"));
    assert_eq!(ask("GET", &other).status, 200, "each token has its own");
}
