//! Who may do what, and how they say who they are.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use crate::harness::{NAMESPACE, Origin, eventually};
use crate::wire::{Request, Wire};

fn basic(key: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("momento:{key}")))
}

#[test]
fn a_key_may_come_in_any_of_five_places() {
    let origin = Origin::start();
    origin.store("a.ts", "media");
    let key = &origin.player;
    let get = |headers: &[(&str, String)], query: &str| {
        let request = Request::new("GET", format!("{}{query}", origin.path("a.ts")));
        headers.iter().fold(request, |request, (name, value)| request.header(name, value.clone())).send(origin.address).status
    };
    assert_eq!(get(&[("Authorization", basic(key))], ""), 200);
    assert_eq!(get(&[("Authorization", key.clone())], ""), 200);
    assert_eq!(get(&[("Authorization", format!("Bearer {key}"))], ""), 200);
    assert_eq!(get(&[("X-MediaPackage-CDNIdentifier", key.clone())], ""), 200);
    assert_eq!(get(&[], &format!("?token={key}")), 200);
    assert_eq!(get(&[], &format!("?ttl_seconds=bad&token={key}&role=origin&_gda_=1")), 200);
    assert_eq!(get(&[], ""), 401);
    assert_eq!(get(&[], "?token="), 401);
    assert_eq!(get(&[("Authorization", format!("Digest username=\"{key}\""))], ""), 401);
}

#[test]
fn one_good_key_is_enough_whatever_comes_with_it() {
    let origin = Origin::start();
    origin.store("a.ts", "media");
    let (elsewhere, _) = origin.make_key(&["--namespace", "elsewhere", "--role", "readwrite"]);
    let good = origin.player.clone();
    for bad in ["momento", "a.b.c", &elsewhere, &good[..good.len() - 4]] {
        let path = origin.path("a.ts");
        let in_query = Request::new("GET", format!("{path}?token={bad}")).header("Authorization", &*good).send(origin.address);
        assert_eq!(in_query.status, 200, "a bad key in the query harms nothing");
        let in_header = Request::new("GET", format!("{path}?token={good}")).header("Authorization", bad).send(origin.address);
        assert_eq!(in_header.status, 200, "a bad key in the header harms nothing");
        let both = Request::new("GET", format!("{path}?token={bad}&token={good}")).send(origin.address);
        assert_eq!(both.status, 200, "a second one in the query counts too");
        let twice = Request::new("GET", path).header("Authorization", bad).bearer(&good).send(origin.address);
        assert_eq!(twice.status, 200, "a second header counts too");
    }
}

#[test]
fn a_readonly_key_writes_nothing_and_no_key_reaches_another_namespace() {
    let origin = Origin::start_with(&["--namespace", "live-origin", "--namespace", "other"]);
    let (reader, _) = origin.make_key(&["--namespace", NAMESPACE, "--role", "readonly"]);
    let (writer, _) = origin.make_key(&["--namespace", NAMESPACE, "--role", "readwrite"]);
    let (prefixed, _) = origin.make_key(&["--namespace", "*", "--role", "readwrite", "--prefix", "show-1/"]);
    let (admin, _) = origin.make_key(&["--role", "admin"]);
    let ask = |method: &str, path: &str, key: &str| Request::new(method, path).bearer(key).send(origin.address);
    origin.store("a.ts", "media");

    for method in ["PUT", "POST", "DELETE"] {
        let answer = ask(method, "/cache/live-origin/a.ts", &reader);
        assert_eq!((answer.status, &*answer.problem()), (403, "forbidden"));
    }
    assert_eq!(origin.get("a.ts").text(), "media", "nothing was changed by a key that may not");
    for key in [&reader, &writer] {
        assert_eq!(ask("GET", "/cache/other/a.ts", key).status, 403);
        assert_eq!(ask("PUT", "/cache/other/a.ts", key).status, 403);
        assert_eq!(ask("GET", "/cache/never-heard-of/a.ts", key).status, 403, "names can't be probed");
    }
    assert_eq!(ask("PUT", "/cache/live-origin/show-1/a.ts", &prefixed).status, 204);
    assert_eq!(ask("PUT", "/cache/other/show-1/a.ts", &prefixed).status, 204);
    assert_eq!(ask("PUT", "/cache/live-origin/show-2/a.ts", &prefixed).status, 403);
    let unknown = ask("GET", "/cache/never-heard-of/show-1/a.ts", &prefixed);
    assert_eq!((unknown.status, &*unknown.problem()), (404, "unknown-namespace"), "told to a key that may see it");
    assert_eq!(ask("GET", "/cache/live-origin/a.ts", &admin).status, 403, "an administrator touches no object");
}

#[test]
fn a_refusal_asks_for_credentials_and_says_what_to_do() {
    let origin = Origin::start();
    for (request, code) in [
        (Request::new("GET", origin.path("a.ts")), "no-credentials"),
        (Request::new("PUT", origin.path("a.ts")), "no-credentials"),
        (Request::new("DELETE", origin.path("a.ts")), "no-credentials"),
        (Request::new("GET", origin.path("a.ts")).bearer("nonsense"), "bad-credentials"),
    ] {
        let answer = request.send(origin.address);
        assert_eq!(answer.status, 401);
        let challenges: Vec<&str> = answer.headers("www-authenticate").collect();
        let schemes: Vec<&str> = challenges.iter().map(|challenge| challenge.split(' ').next().unwrap()).collect();
        assert_eq!(schemes, ["Digest", "Digest", "Digest", "Basic"]);
        assert_eq!(challenges[3], "Basic realm=\"springhead\", charset=\"UTF-8\"");
        assert_eq!(answer.problem(), code);
    }
    assert_eq!(origin.get("a.ts").status, 404, "an empty probe stores nothing");
}

#[test]
fn a_revoked_key_ends_within_a_second_and_stays_ended() {
    let mut origin = Origin::start();
    origin.store("a.ts", "media");
    let (key, id) = origin.make_key(&["--namespace", NAMESPACE, "--role", "readonly", "--label", "spare"]);
    let mut kept_open = Wire::open(origin.address);
    let request = Request::new("GET", origin.path("a.ts")).bearer(&key);
    assert_eq!(kept_open.ask(&request).status, 200);
    assert!(origin.run(&["keys", "revoke", &id]).status.success());
    let revoked = Instant::now();
    let refused = eventually(Duration::from_secs(5), || (kept_open.ask(&request).status == 401).then_some(()));
    assert!(refused.is_some());
    assert!(revoked.elapsed() < Duration::from_millis(1500), "took {:?}", revoked.elapsed());
    assert_eq!(origin.get("a.ts").status, 200, "other keys go on");
    origin.stop();
    origin.launch();
    assert_eq!(request.send(origin.address).status, 401, "also after a restart");
    let log = Request::new("PUT", origin.path("a.ts")).bearer(&key).body("x").send(origin.address);
    assert_eq!(log.status, 401);
    let line = origin.wait_for_log("upload refused");
    assert_eq!(line["detail"], "it has been revoked", "the log says what the client is not told");
    assert_eq!(line["key_id"], id.as_str());
    let kept = Request::new("GET", "/v1/ingest/rejected").send(origin.admin);
    let kept: serde_json::Value = serde_json::from_slice(&kept.body).unwrap();
    let kept = kept["rejected"].as_array().unwrap();
    assert!(kept.len() >= 2, "{kept:?}");
    for refused in kept {
        assert_eq!(refused["key_id"], id.as_str(), "reads and writes alike: {refused}");
    }
    // Who has only heard of an id has not its key.
    let guess = format!("{}x", &key[..key.len() - 1]);
    assert_eq!(Request::new("PUT", origin.path("b.ts")).bearer(&guess).body("x").send(origin.address).status, 401);
    let line = eventually(Duration::from_secs(5), || origin.refusals().into_iter().find(|line| line["key"] == "b.ts"));
    assert_eq!(line.unwrap()["key_id"], "");
}

#[test]
fn an_expired_key_is_refused() {
    let origin = Origin::start();
    let (key, id) = origin.make_key(&["--namespace", NAMESPACE, "--role", "readonly", "--expires", "1s"]);
    let request = Request::new("GET", origin.path("a.ts")).bearer(&key);
    assert!(eventually(Duration::from_secs(5), || (request.send(origin.address).status == 401).then_some(())).is_some());
    let line = origin.wait_for_log("read refused");
    assert_eq!((&line["reason"], &line["key_id"]), (&"bad-credentials".into(), &id.as_str().into()), "{line}");
}

#[test]
fn signing_keys_can_be_rotated_and_replaced_by_the_environment() {
    let mut origin = Origin::start();
    let old = origin.player.clone();
    origin.stop();
    let file = origin.data_dir().join("signing.key");
    let old_signer = std::fs::read_to_string(&file).unwrap();
    let new_signer = URL_SAFE_NO_PAD.encode(std::array::from_fn::<u8, 32, _>(|n| u8::try_from(n).unwrap()));
    std::fs::write(&file, format!("{new_signer} # new\n{old_signer}")).unwrap();
    origin.launch();
    let (new, _) = origin.make_key(&["--namespace", NAMESPACE, "--role", "readonly"]);
    let status = |key: &str, origin: &Origin| Request::new("GET", origin.path("a.ts")).bearer(key).send(origin.address).status;
    assert_eq!((status(&old, &origin), status(&new, &origin)), (404, 404), "both are good meanwhile");
    origin.stop();
    std::fs::write(&file, new_signer).unwrap();
    origin.launch();
    assert_eq!((status(&old, &origin), status(&new, &origin)), (401, 404), "then the old one is gone");
}

#[test]
fn an_encoder_that_never_sends_credentials_is_reported_and_one_that_waits_to_be_asked_is_not() {
    let origin = Origin::start();
    let probe = Request::new("PUT", origin.path("a.ts"));
    for _ in 0..20 {
        assert_eq!(probe.send(origin.address).status, 401);
        origin.store("a.ts", "media");
    }
    assert!(origin.refusals().is_empty());
    // Of the machine that the tests run on, too little disk for one, others warn.
    let of_clients =
        |line: &serde_json::Value| line["target"].as_str().is_some_and(|target| target.starts_with("springhead::web"));
    let warned = |origin: &Origin| origin.log().iter().filter(|line| line["level"] == "WARN" && of_clients(line)).count();
    assert_eq!(warned(&origin), 0, "being asked is not being refused");
    let mut n = 0;
    let reported = eventually(Duration::from_secs(10), || {
        n += 1;
        assert_eq!(Request::new("PUT", origin.path(&format!("{n}.ts"))).send(origin.address).status, 401);
        (warned(&origin) > 0).then_some(())
    });
    assert!(reported.is_some(), "after a few seconds");
    assert!(origin.refusals().is_empty());
    assert_eq!(warned(&origin), 1, "one line for all of them");
}

#[test]
fn only_an_administrator_reads_metrics_on_an_open_address() {
    let origin = Origin::start_with(&["--admin-listen", "0.0.0.0:0"]);
    let (admin, _) = origin.make_key(&["--role", "admin"]);
    let at = std::net::SocketAddr::from(([127, 0, 0, 1], origin.admin.port()));
    assert_eq!(Request::new("GET", "/metrics").send(at).status, 401);
    assert_eq!(Request::new("GET", "/metrics").bearer(&origin.encoder).send(at).status, 403);
    assert_eq!(Request::new("GET", "/metrics").bearer(&admin).send(at).status, 200);
    assert_eq!(Request::new("GET", "/readyz").send(at).status, 200);
    assert_eq!(Request::new("GET", "/metrics").bearer(&admin).send(origin.address).status, 404, "not on the data listener");
}

#[test]
fn a_key_that_is_not_good_is_told_so_where_nobody_is_asked_for_one() {
    let origin = Origin::start();
    let (gone, _) = origin.make_key(&["--role", "viewer"]);
    let id = {
        let shown = origin.run(&["keys", "inspect", &gone]);
        serde_json::from_slice::<serde_json::Value>(&shown.stdout).unwrap()["key_id"].as_str().unwrap().to_owned()
    };
    let end = Request::new("DELETE", format!("/v1/keys/{id}")).bearer(&origin.administrator).send(origin.admin);
    assert_eq!(end.status, 200, "{}", end.text());
    for path in ["/v1/overview", "/v1/streams", "/metrics"] {
        assert_eq!(Request::new("GET", path).send(origin.admin).status, 200, "{path}: without one");
        // One for something else does no harm.
        for (key, status) in [(&*gone, 401), ("nonsense", 401), (&origin.encoder, 200), (&origin.administrator, 200)] {
            assert_eq!(Request::new("GET", path).bearer(key).send(origin.admin).status, status, "{path}");
        }
        let basic = Request::new("GET", path).header("Authorization", "Basic eDp5");
        assert_eq!(basic.send(origin.admin).status, 401, "{path}");
    }
}

#[test]
fn a_web_page_gets_nothing_out_of_the_admin_listener() {
    let origin = Origin::start_with(&["--admin-listen", "127.0.0.1:0"]);
    let ask = |method: &str, path: &str, headers: &[(&str, &str)]| {
        let mut request = Request::new(method, path);
        for (name, value) in headers {
            request = request.header(name, (*value).to_owned());
        }
        request.send(origin.admin)
    };
    let routes = ["/metrics", "/v1/streams", "/v1/ingest/clients", "/v1/ingest/rejected", "/v1/harvest", "/v1/harvest/a"];
    for path in routes {
        for method in ["GET", "HEAD", "POST", "DELETE", "OPTIONS"] {
            for (headers, status, code) in [
                (&[("Host", "evil.example")][..], 421, "unknown-host"),
                (
                    &[("Host", "127.0.0.1.evil.example:8081"), ("Origin", "http://127.0.0.1.evil.example:8081")],
                    421,
                    "unknown-host",
                ),
                (&[("Host", "localhost:8081"), ("Origin", "http://evil.example")], 403, "foreign-origin"),
                (&[("Host", "localhost:8081"), ("Sec-Fetch-Site", "cross-site")], 403, "foreign-origin"),
                (
                    &[("Host", "localhost:8081"), ("Sec-Fetch-Site", "same-site"), ("Origin", "http://localhost:8080")],
                    403,
                    "foreign-origin",
                ),
            ] {
                let answer = ask(method, path, headers);
                assert_eq!(answer.status, status, "{method} {path} {headers:?}");
                assert!(method == "HEAD" || answer.problem() == code, "{method} {path} {headers:?}");
                assert_eq!(answer.header("access-control-allow-origin"), "", "{method} {path}");
            }
        }
        let answer = ask("GET", path, &[]);
        assert_eq!(answer.header("cache-control"), "no-store", "{path}");
        assert!(!answer.header("x-request-id").is_empty(), "{path}");
    }
    assert_eq!(ask("GET", "/livez", &[("Host", "evil.example")]).status, 200, "a probe tells nothing");

    // A page may hold a key that its maker has for something else: that is no admin's.
    for path in routes {
        let rebound = Request::new("GET", path).header("Host", "evil.example:8081").bearer(&origin.player).send(origin.admin);
        assert_eq!((rebound.status, &*rebound.problem()), (421, "unknown-host"), "{path}");
    }
    assert_eq!(Request::new("GET", "/v1/streams").bearer(&origin.player).send(origin.admin).status, 200, "by its own name");

    // By a service's name in a domain: with its key, where the figures are open, or where the name is in the settings.
    let by_name = |origin: &Origin, path: &str, key: &str| {
        let request = Request::new("GET", path).header("Host", "origin.example:8081");
        if key.is_empty() { request } else { request.bearer(key) }
            .send(std::net::SocketAddr::from(([127, 0, 0, 1], origin.admin.port())))
            .status
    };
    assert_eq!((by_name(&origin, "/metrics", ""), by_name(&origin, "/metrics", &origin.administrator)), (421, 200));
    let open = Origin::start_with(&["--admin-listen", "0.0.0.0:0", "--metrics-open", "true"]);
    assert_eq!((by_name(&open, "/metrics", ""), by_name(&open, "/v1/streams", "")), (200, 421));
}

#[test]
fn the_admin_listener_speaks_of_itself() {
    let origin = Origin::start_with(&["--admin-listen", "0.0.0.0:0"]);
    let at = std::net::SocketAddr::from(([127, 0, 0, 1], origin.admin.port()));
    let administrator = &origin.administrator;
    for (request, status, words) in [
        (Request::new("GET", "/nothing").bearer(administrator), 404, "/v1/openapi.json"),
        (Request::new("GET", "/v1/nothing").bearer(administrator), 404, "/v1/openapi.json"),
        (Request::new("GET", "/metrics"), 401, "admin_api_key.json"),
        (Request::new("GET", "/metrics").bearer(&origin.player), 403, "role viewer"),
        (Request::new("POST", "/v1/streams").bearer(administrator), 405, "GET, HEAD"),
    ] {
        let answer = request.send(at);
        let text = answer.text();
        assert_eq!(answer.status, status, "{text}");
        assert!(text.contains(words) && !text.contains("/cache/") && !text.contains("HLS Akamai"), "{text}");
        assert!(!text.contains("\"request_id\":\"\""), "{text}");
    }
}
