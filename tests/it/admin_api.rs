//! What the admin API changes, from outside: it is in force at once, there after a kill, read-only where a file declares it, and two who
//! change one thing do not undo each other.

use std::fs;
use std::io::{Read as _, Write as _};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::harness::{Origin, eventually};
use crate::programs::program;
use crate::wire::{Answer, Request, Wire};

fn ask(origin: &Origin, method: &str, path: &str, order: Option<&Value>, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::new(method, path).bearer(&origin.administrator);
    for (name, value) in headers {
        request = request.header(name, (*value).to_owned());
    }
    if let Some(order) = order {
        request = request.header("Content-Type", "application/json").body(order.to_string());
    }
    request.send(origin.admin)
}

fn body(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("{error}: {answer:?}"))
}

fn get(origin: &Origin, path: &str) -> Value {
    let answer = ask(origin, "GET", path, None, &[]);
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    body(&answer)
}

fn put(origin: &Origin, namespace: &str, key: &str, bearer: &str) -> u16 {
    Request::new("PUT", format!("/cache/{namespace}/{key}")).bearer(bearer).body("x").send(origin.address).status
}

fn names(origin: &Origin) -> Vec<String> {
    let list = get(origin, "/v1/namespaces");
    list["namespaces"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_namespace_and_a_key_are_in_force_at_once_and_after_a_kill() {
    let mut origin = Origin::start();
    let rules = json!({ "hot_capacity": "64MiB", "default_ttl": "5m", "cors_origins": ["https://player.example"] });
    let made = ask(&origin, "PUT", "/v1/namespaces/show", Some(&rules), &[]);
    assert_eq!(made.status, 200, "{}", made.text());
    let etag = made.header("etag").to_owned();
    assert_eq!(body(&made)["rules"]["default_ttl"], "5m");
    let order = json!({ "role": "readwrite", "namespaces": ["show"], "label": "encoder" });
    let key = ask(&origin, "POST", "/v1/keys", Some(&order), &[]);
    assert_eq!(key.status, 201, "{}", key.text());
    let (secret, id) = (body(&key)["api_key"].as_str().unwrap().to_owned(), body(&key)["key"]["key_id"].clone());
    assert_eq!(put(&origin, "show", "a.ts", &secret), 204, "at once");
    for number in 0..3 {
        let made = body(&ask(&origin, "POST", "/v1/keys", Some(&order), &[]));
        let [user, password] = ["ingest_user", "ingest_password"].map(|name| made[name].as_str().unwrap().to_owned());
        let basic = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
        let upload = Request::new("PUT", format!("/cache/show/{number}.ts")).header("Authorization", basic).body("x");
        assert_eq!(upload.send(origin.address).status, 204, "the ingest credential, at once");
        assert_eq!(ask(&origin, "DELETE", &format!("/v1/keys/{user}"), None, &[]).status, 200);
        assert_eq!(upload.send(origin.address).status, 401, "and ended at once");
    }
    for label in ["a\nb".to_owned(), "\u{1b}[2J".to_owned(), "x".repeat(201)] {
        let order = json!({ "role": "viewer", "label": label });
        let refused = ask(&origin, "POST", "/v1/keys", Some(&order), &[]);
        assert!(refused.status == 400 && refused.text().contains("label"), "{}", refused.text());
    }
    assert!(!get(&origin, "/v1/keys").to_string().contains(&secret) && !get(&origin, "/v1/audit").to_string().contains(&secret));
    for round in 0..5 {
        // Acknowledged, and killed in the same moment.
        let name = format!("/v1/namespaces/killed-{round}");
        assert_eq!(ask(&origin, "PUT", &name, Some(&json!({})), &[]).status, 200);
        origin.signal("KILL");
        let _ = origin.wait();
        origin.launch();
        assert!(names(&origin).contains(&format!("killed-{round}")), "{round}");
    }
    assert_eq!(put(&origin, "show", "b.ts", &secret), 204);
    assert_eq!(ask(&origin, "GET", "/v1/namespaces/show", None, &[]).header("etag"), etag, "it is as it was");
    origin.signal("HUP");
    assert!(names(&origin).contains(&"show".to_owned()));
    // The built-in one is one of those that can be changed, and does not come back.
    let built_in = ask(&origin, "GET", "/v1/namespaces/live-origin", None, &[]);
    let tag = [("If-Match", built_in.header("etag"))];
    for query in ["objects=keep", "objects=", "objects", "force=perhaps", "force="] {
        let refused = ask(&origin, "DELETE", &format!("/v1/namespaces/live-origin?{query}"), None, &tag);
        assert_eq!(refused.status, 400, "{query}");
    }
    assert_eq!(put(&origin, "live-origin", "a.ts", &origin.encoder), 204, "it is there still");
    assert_eq!(ask(&origin, "DELETE", "/v1/namespaces/live-origin", None, &tag).status, 204);
    assert_eq!(put(&origin, "live-origin", "a.ts", &origin.encoder), 404);
    origin.stop();
    origin.launch();
    assert!(!names(&origin).contains(&"live-origin".to_owned()));
    // A key ends within a second.
    assert_eq!(ask(&origin, "DELETE", &format!("/v1/keys/{}", id.as_str().unwrap()), None, &[]).status, 200);
    let refused = eventually(Duration::from_secs(5), || (put(&origin, "show", "c.ts", &secret) == 401).then_some(()));
    assert!(refused.is_some());
}

#[test]
fn of_two_who_change_one_namespace_one_is_told() {
    let origin = Origin::start();
    assert_eq!(ask(&origin, "PUT", "/v1/namespaces/show", Some(&json!({})), &[]).status, 200);
    assert_eq!(ask(&origin, "PUT", "/v1/namespaces/show", Some(&json!({})), &[]).status, 428);
    assert_eq!(ask(&origin, "PUT", "/v1/namespaces/show", Some(&json!({})), &[("If-None-Match", "*")]).status, 412);
    let etag = ask(&origin, "GET", "/v1/namespaces/show", None, &[]).header("etag").to_owned();
    let (done, told) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for ttl in ["1m", "2m", "3m", "4m"] {
            let (origin, etag, done, told) = (&origin, &etag, &done, &told);
            scope.spawn(move || {
                let answer =
                    ask(origin, "PATCH", "/v1/namespaces/show", Some(&json!({ "default_ttl": ttl })), &[("If-Match", etag)]);
                match answer.status {
                    200 => done.fetch_add(1, Ordering::SeqCst),
                    412 => told.fetch_add(1, Ordering::SeqCst),
                    status => panic!("{status}"),
                };
            });
        }
    });
    assert_eq!((done.into_inner(), told.into_inner()), (1, 3));
    // What is wrong is told by its key, and changes nothing.
    let now = ask(&origin, "GET", "/v1/namespaces/show", None, &[]);
    let tag = [("If-Match", now.header("etag"))];
    for (rules, word) in [
        (json!({ "default_ttl": "soon" }), "default_ttl"),
        (json!({ "hot_capacity": "1KiB" }), "hot_capacity"),
        (json!({ "colour": "red" }), "colour"),
        (json!({ "a = 1\nb": 1 }), "rule"),
        (json!({ "hold": { "x": 1 } }), "hold"),
        (json!({ "viewers": { "mode": "required" } }), "viewers.mode"),
    ] {
        let answer = ask(&origin, "PATCH", "/v1/namespaces/show", Some(&rules), &tag);
        assert!(answer.status == 400 && answer.text().contains(word), "{rules}: {}", answer.text());
    }
    // Neither is what can be read in two ways.
    for text in [r#"{"default_ttl": "1h", "default_ttl": "2h"}"#, r#"["1h"]"#] {
        let patch = Request::new("PATCH", "/v1/namespaces/show").bearer(&origin.administrator).header("If-Match", tag[0].1);
        let answer = patch.header("Content-Type", "application/json").body(text).send(origin.admin);
        assert_eq!(answer.status, 400, "{text}: {}", answer.text());
    }
    assert_eq!(ask(&origin, "PUT", "/v1/namespaces/no%2Fname", Some(&json!({})), &[]).status, 400);
    assert_eq!(ask(&origin, "GET", "/v1/namespaces/show", None, &[]).header("etag"), now.header("etag"));
}

#[test]
fn what_a_file_declares_is_changed_there_and_comes_first() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "# settings\n[namespaces.filed]\ndefault_ttl = \"2h\"\n").unwrap();
    let origin = Origin::start_with(&["--config", file.path().to_str().unwrap()]);
    let filed = ask(&origin, "GET", "/v1/namespaces/filed", None, &[]);
    let known = body(&filed);
    assert_eq!((&known["source"], &known["is_changeable"]), (&json!("file"), &json!(false)), "{known}");
    let tag = [("If-Match", filed.header("etag"))];
    for (method, order) in [("PUT", Some(json!({}))), ("PATCH", Some(json!({}))), ("DELETE", None)] {
        let answer = ask(&origin, method, "/v1/namespaces/filed", order.as_ref(), &tag);
        assert_eq!((answer.status, answer.problem()), (409, "declared-in-file".to_owned()));
        assert!(answer.text().contains(":2"), "its line: {}", answer.text());
    }
    assert_eq!(ask(&origin, "PUT", "/v1/namespaces/made", Some(&json!({})), &[]).status, 200);
    assert_eq!(names(&origin), ["filed", "made"]);
    let settings = get(&origin, "/v1/settings");
    let of = |key: &str| settings["settings"].as_array().unwrap().iter().find(|one| one["key"] == key).unwrap().clone();
    assert!(
        of("namespaces.filed.default_ttl")["place"].as_str().unwrap().ends_with(":3"),
        "{}",
        of("namespaces.filed.default_ttl")
    );
    assert_eq!(of("admin_listen")["place"], "--admin-listen");
    assert_eq!((&of("reuse_port")["place"], &of("reuse_port")["is_live"]), (&json!(null), &json!(false)));
    assert_eq!(body(&ask(&origin, "POST", "/v1/reload", None, &[]))["changes"], json!([]));
    let check =
        |text: &str| body(&ask(&origin, "POST", "/v1/settings/check", Some(&json!({ "text": text })), &[]))["faults"].clone();
    assert_eq!(check("log_level = \"warn\"\n"), json!([]));
    assert!(check("\nlog_levl = \"warn\"\n")[0].as_str().unwrap().contains(":2"), "{}", check("\nlog_levl = \"warn\"\n"));
}

#[test]
fn a_namespace_that_may_not_be_removed_keeps_its_objects() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "[namespaces.live-origin]\n").unwrap();
    let origin = Origin::start_with(&["--config", file.path().to_str().unwrap()]);
    assert_eq!(ask(&origin, "PUT", "/v1/namespaces/made", Some(&json!({})), &[]).status, 200);
    let order = json!({ "role": "readwrite", "namespaces": ["made"] });
    let encoder = body(&ask(&origin, "POST", "/v1/keys", Some(&order), &[]))["api_key"].as_str().unwrap().to_owned();
    for key in ["a.ts", "b.ts"] {
        origin.store(key, "x");
        assert_eq!(put(&origin, "made", key, &encoder), 204);
    }
    // What streams there are is no matter where nothing can be removed.
    origin.store("live.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\na.ts\n");
    let count = |namespace: &str| {
        let page = get(&origin, &format!("/v1/objects?namespace={namespace}"));
        page["objects"].as_array().unwrap().len()
    };
    let lines = || get(&origin, "/v1/audit")["lines"].as_array().unwrap().len();
    let before = lines();
    let filed = ask(&origin, "GET", "/v1/namespaces/live-origin", None, &[]).header("etag").to_owned();
    for (namespace, condition, told) in [
        ("made", vec![("If-Match", "\"another\"")], (412, "precondition-failed")),
        ("made", vec![], (428, "condition-required")),
        ("made", vec![("If-None-Match", "*")], (412, "precondition-failed")),
        ("live-origin", vec![("If-Match", &*filed)], (409, "declared-in-file")),
        ("live-origin", vec![], (409, "declared-in-file")),
        ("none", vec![], (404, "not-found")),
    ] {
        for query in ["", "?objects=purge", "?objects=purge&force=true"] {
            let refused = ask(&origin, "DELETE", &format!("/v1/namespaces/{namespace}{query}"), None, &condition);
            assert_eq!((refused.status, &*refused.problem()), told, "{namespace}{query} {condition:?}: {}", refused.text());
        }
    }
    assert_eq!((count("made"), count("live-origin"), lines()), (2, 3, before), "all is as it was");
    // How it stands is told while it is there, and not for ever after.
    let levels =
        || origin.metrics().lines().filter(|line| line.contains("namespace=\"made\"") && !line.contains("_total")).count();
    let counters =
        || origin.metrics().lines().filter(|line| line.contains("namespace=\"made\"") && line.contains("_total")).count();
    assert!(levels() > 10 && counters() > 10);
    let etag = ask(&origin, "GET", "/v1/namespaces/made", None, &[]).header("etag").to_owned();
    let removed = ask(&origin, "DELETE", "/v1/namespaces/made?objects=purge", None, &[("If-Match", &etag)]);
    assert_eq!(removed.status, 204, "{}", removed.text());
    assert_eq!((levels(), counters() > 10), (0, true));
    let audit = get(&origin, "/v1/audit");
    // The newest first.
    assert_eq!(audit["lines"][1]["before"]["purged"]["objects"], 2, "{audit}");
    assert_eq!((&audit["lines"][1]["target"], &audit["lines"][0]["target"]), (&json!(["made"]), &json!(["made"])));
    assert_eq!(lines(), before + 2);
    assert_eq!(ask(&origin, "PUT", "/v1/namespaces/made", Some(&json!({})), &[]).status, 200);
    assert_eq!((count("made"), levels() > 10), (0, true));
}

#[test]
fn a_key_file_of_no_use_keeps_nobody_from_changing_namespaces() {
    let origin = Origin::start();
    let made = ask(&origin, "PUT", "/v1/namespaces/show", Some(&json!({ "default_ttl": "5m" })), &[]);
    let order = json!({ "role": "readwrite", "namespaces": ["show", "new"] });
    let encoder = body(&ask(&origin, "POST", "/v1/keys", Some(&order), &[]))["api_key"].as_str().unwrap().to_owned();
    // Somebody is at work on both files.
    let signing = std::fs::read(origin.data_dir().join("signing.key")).unwrap();
    for name in ["viewer.key", "signing.key"] {
        std::fs::write(origin.data_dir().join(name), "no key\n").unwrap();
    }
    let file = |name: &str| origin.data_dir().join("namespaces").join(format!("{name}.toml")).exists();
    let changed =
        ask(&origin, "PATCH", "/v1/namespaces/show", Some(&json!({ "default_ttl": "6m" })), &[("If-Match", made.header("etag"))]);
    assert_eq!((changed.status, &body(&changed)["rules"]["default_ttl"]), (200, &json!("6m")), "{}", changed.text());
    assert_eq!(ask(&origin, "PUT", "/v1/namespaces/new", Some(&json!({})), &[]).status, 200);
    assert_eq!((put(&origin, "show", "a.ts", &encoder), put(&origin, "new", "a.ts", &encoder), file("new")), (204, 204, true));
    let removed = ask(&origin, "DELETE", "/v1/namespaces/show", None, &[("If-Match", changed.header("etag"))]);
    assert_eq!((removed.status, put(&origin, "show", "b.ts", &encoder), file("show")), (204, 404, false), "{}", removed.text());
    // Whoever has the files read is told.
    assert_eq!(ask(&origin, "POST", "/v1/reload", None, &[]).status, 409);
    std::fs::write(origin.data_dir().join("signing.key"), signing).unwrap();
    std::fs::remove_file(origin.data_dir().join("viewer.key")).unwrap();
    assert_eq!(ask(&origin, "POST", "/v1/reload", None, &[]).status, 200);
    assert!(!names(&origin).contains(&"show".to_owned()), "and it stays as it was done");
}

/// It is good once there is one; but who mistyped a name is told before an encoder is.
#[test]
fn a_key_for_a_namespace_that_is_not_there_says_so_and_none_has_an_empty_prefix() {
    let origin = Origin::start();
    let unknown = |namespaces: Value| {
        let made = ask(&origin, "POST", "/v1/keys", Some(&json!({ "role": "readwrite", "namespaces": namespaces })), &[]);
        assert_eq!(made.status, 201, "{}", made.text());
        let made = body(&made);
        (made["unknown_namespaces"].clone(), made["key"]["key_id"].as_str().unwrap().to_owned())
    };
    assert_eq!(unknown(json!(["live-origin"])).0, json!([]));
    assert_eq!(unknown(json!(["*"])).0, json!([]));
    let (told, id) = unknown(json!(["live-orgin", "live-origin"]));
    assert_eq!(told, json!(["live-orgin"]));
    let rotated = ask(&origin, "POST", &format!("/v1/keys/{id}/rotate"), Some(&json!({ "overlap": "0s" })), &[]);
    assert_eq!(body(&rotated)["unknown_namespaces"], json!(["live-orgin"]), "{}", rotated.text());
    let empty = json!({ "role": "readwrite", "namespaces": ["live-origin"], "prefix": "" });
    let refused = ask(&origin, "POST", "/v1/keys", Some(&empty), &[]);
    assert!(refused.status == 400 && refused.text().contains("leave it out"), "{}", refused.text());
}

#[test]
fn a_key_that_is_replaced_goes_on_for_the_overlap() {
    let origin = Origin::start();
    let order = json!({ "role": "readwrite", "namespaces": ["live-origin"], "prefix": "show/", "label": "encoder" });
    let old = body(&ask(&origin, "POST", "/v1/keys", Some(&order), &[]));
    let (secret, id) = (old["api_key"].as_str().unwrap(), old["key"]["key_id"].as_str().unwrap());
    let path = format!("/v1/keys/{id}/rotate");
    let answer = ask(&origin, "POST", &path, Some(&json!({ "overlap": "3s" })), &[]);
    assert_eq!(answer.status, 201, "{}", answer.text());
    let new = body(&answer);
    assert_eq!((&new["key"]["prefix"], &new["key"]["label"]), (&json!("show/"), &json!("encoder")));
    let new = new["api_key"].as_str().unwrap();
    assert_eq!((put(&origin, "live-origin", "show/a", secret), put(&origin, "live-origin", "show/b", new)), (204, 204));
    assert_eq!(ask(&origin, "POST", &path, Some(&json!({ "overlap": "3s" })), &[]).status, 409, "it is about to end");
    let refused = eventually(Duration::from_secs(10), || (put(&origin, "live-origin", "show/a", secret) == 401).then_some(()));
    // It ends when the other is to stand alone, and never later than by itself.
    for (expires, overlap, is_earlier) in [("never", "30d", true), ("2d", "7d", false)] {
        let order = json!({ "role": "readonly", "namespaces": ["live-origin"], "expires": expires, "label": expires });
        let old = body(&ask(&origin, "POST", "/v1/keys", Some(&order), &[]))["key"].clone();
        let id = old["key_id"].as_str().unwrap();
        ask(&origin, "POST", &format!("/v1/keys/{id}/rotate"), Some(&json!({ "overlap": overlap })), &[]);
        let listed = get(&origin, "/v1/keys");
        let now = listed["keys"].as_array().unwrap().iter().find(|key| key["key_id"] == *id).unwrap().clone();
        let ends = now["retires_at"].as_str().unwrap();
        assert_eq!(now["expires_at"] == ends, !is_earlier, "{now}");
        let table = String::from_utf8(origin.run(&["keys", "list"]).stdout).unwrap();
        assert!(table.lines().any(|line| line.contains(id) && line.contains(ends)), "{ends}: {table}");
        let series =
            format!("springhead_api_key_expiry_timestamp_seconds{{key_id=\"{id}\",label=\"{expires}\",role=\"readonly\"}}");
        let shown = eventually(Duration::from_secs(5), || origin.metrics().contains(&series).then_some(()));
        assert!(shown.is_some(), "{series}");
    }
    assert!(refused.is_some() && put(&origin, "live-origin", "show/b", new) == 204);
    for wrong in [
        json!({ "role": "king" }),
        json!({ "role": "readonly" }),
        json!({ "role": "readonly", "namespaces": ["/"] }),
        json!({ "role": "readonly", "namespaces": ["a"], "expires": "soon" }),
        json!({ "role": "readonly", "namespaces": ["a"], "prefix": "/x" }),
        json!({ "role": "readonly", "namespaces": ["a"], "more": 1 }),
    ] {
        assert_eq!(ask(&origin, "POST", "/v1/keys", Some(&wrong), &[]).status, 400, "{wrong}");
    }
    assert_eq!(ask(&origin, "DELETE", "/v1/keys/nobody", None, &[]).status, 404);
}

#[test]
fn objects_are_listed_by_pages_described_and_removed() {
    let origin = Origin::start_with_settings(
        "[namespaces.live-origin]\nhot_capacity = \"11MiB\"\nmax_object_size = \"1MiB\"\ndeletes = \"ignore\"\n",
    );
    // More than memory holds: what is only in the tier is listed as well.
    for number in 0..30 {
        origin.store(&format!("show/{number:02}.ts"), vec![0_u8; 600 << 10]);
    }
    origin.store("show/a.m3u8", "#EXTM3U\n");
    origin.store("other.ts", "x");
    let page = |query: &str| get(&origin, &format!("/v1/objects?namespace=live-origin{query}"));
    let keys = |page: &Value| -> Vec<String> {
        page["objects"].as_array().unwrap().iter().map(|one| one["key"].as_str().unwrap().to_owned()).collect()
    };
    let complete = eventually(Duration::from_secs(10), || {
        let all = page("&limit=1000");
        let below = all["objects"].as_array().unwrap().iter().filter(|one| one["in_memory"] == false).count();
        (keys(&all).len() == 32 && below > 10).then_some(all)
    });
    let all = complete.expect("memory and the tier together have all");
    let mut walked = Vec::new();
    let mut after = String::new();
    loop {
        let some = page(&format!("&limit=7&after={after}"));
        walked.extend(keys(&some));
        match some["next"].as_str() {
            Some(next) => after = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(walked, keys(&all));
    let folders = page("&delimiter=%2F");
    assert_eq!((&folders["folders"], keys(&folders)), (&json!(["show/"]), vec!["other.ts".to_owned()]));
    assert_eq!(keys(&page("&prefix=show%2F0")).len(), 10);
    let one = get(&origin, "/v1/object?namespace=live-origin&key=show%2Fa.m3u8");
    assert_eq!((&one["kind"], &one["length"]), (&json!("playlist"), &json!(8)));
    // Removed for good, whatever the namespace makes of what encoders delete.
    let delete = |path: &str| ask(&origin, "DELETE", path, None, &[]).status;
    assert_eq!(delete("/v1/object?namespace=live-origin&key=other.ts"), 204);
    assert_eq!((origin.get("other.ts").status, delete("/v1/object?namespace=live-origin&key=other.ts")), (404, 404));
    let purge = |order: Value| ask(&origin, "POST", "/v1/purge", Some(&order), &[]);
    let of = |more: Value| {
        let mut order = json!({ "namespace": "live-origin", "prefix": "show/" });
        order.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        order
    };
    assert_eq!(body(&purge(of(json!({ "dry_run": true }))))["objects"], 31);
    assert_eq!((purge(of(json!({}))).status, purge(of(json!({ "expect": 3 }))).status), (400, 409));
    assert_eq!(body(&purge(of(json!({ "expect": 31 }))))["objects"], 31);
    assert_eq!((origin.get("show/05.ts").status, origin.get("show/a.m3u8").status), (404, 404));
    assert_eq!(keys(&page("")), Vec::<String>::new());
    // A viewer of another namespace is told of none of it.
    let (viewer, _) = origin.make_key(&["--role", "viewer", "--namespace", "other"]);
    let listed = Request::new("GET", "/v1/objects?namespace=live-origin").bearer(&viewer).send(origin.admin);
    assert_eq!(listed.status, 404);
}

#[test]
fn a_preview_runs_nothing() {
    let origin = Origin::start();
    origin.store("a.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\na b.ts\n");
    origin.store("a%20b.ts", vec![0x47; 188]);
    let html = Request::new("PUT", origin.path("page.html")).bearer(&origin.encoder).header("Content-Type", "text/html");
    assert_eq!(html.body("<script>alert(1)</script>").send(origin.address).status, 204);
    let preview =
        |key: &str, headers: &[(&str, &str)]| ask(&origin, "GET", &format!("/v1/preview/live-origin/{key}"), None, headers);
    for (key, kind) in
        [("a.m3u8", "application/vnd.apple.mpegurl"), ("a%20b.ts", "video/mp2t"), ("page.html", "application/octet-stream")]
    {
        let answer = preview(key, &[]);
        assert_eq!((answer.status, answer.header("content-type")), (200, kind), "{key}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert!(answer.header("content-security-policy").contains("sandbox") && answer.header("cache-control") == "no-store");
        assert_eq!(answer.header("cross-origin-resource-policy"), "same-origin");
    }
    assert_eq!(preview("page.html", &[]).header("content-disposition"), "attachment");
    assert_eq!(preview("a%20b.ts", &[("Range", "bytes=0-9")]).status, 206);
    for destination in ["document", "iframe", "script", "worker"] {
        let headers = [("Sec-Fetch-Dest", destination), ("Sec-Fetch-Site", "same-origin")];
        assert_eq!(preview("page.html", &headers).status, 403, "{destination}");
    }
    assert_eq!(preview("none.ts", &[]).status, 404);
    assert_eq!(Request::new("GET", "/v1/preview/live-origin/a.m3u8").send(origin.admin).status, 401, "not for a passer-by");
}

#[test]
fn events_are_told_as_they_happen_and_again_to_who_comes_back() {
    let mut origin = Origin::start();
    let mut listener = Wire::open(origin.admin);
    listener.write(Request::new("GET", "/v1/events/live").bearer(&origin.administrator).to_bytes());
    let (status, headers) = listener.head().unwrap();
    assert_eq!(status, 200);
    assert!(headers.contains(&("content-type".to_owned(), "text/event-stream".to_owned())));
    let mut text = String::new();
    let mut until = |listener: &mut Wire, word: &str| -> String {
        while !text.contains(word) {
            text.push_str(&String::from_utf8(listener.chunk().expect("it goes on")).unwrap());
        }
        std::mem::take(&mut text)
    };
    let id_of = |text: &str| text.lines().find_map(|line| line.strip_prefix("id: ")).unwrap().to_owned();
    let hello = until(&mut listener, "event: figures");
    assert!(hello.contains("event: hello"));
    let begun = id_of(&hello);
    origin.store("a.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n0.ts\n");
    let told = until(&mut listener, "\"started\"");
    let id = id_of(&told);
    let again = |id: &str| {
        let mut listener = Wire::open(origin.admin);
        let request = Request::new("GET", "/v1/events/live").bearer(&origin.administrator).header("Last-Event-ID", id);
        listener.write(request.to_bytes());
        listener.head().unwrap();
        let mut text = String::new();
        while !text.contains("event: figures") {
            text.push_str(&String::from_utf8(listener.chunk().unwrap()).unwrap());
        }
        text
    };
    let (process, _) = id.split_once('-').unwrap();
    assert!(again(&format!("{process}-0")).contains("\"started\""), "what came behind that");
    assert!(again(&begun).contains("\"started\""), "who was cut off before anything happened has it, too");
    assert_eq!(id_of(&again(&id)), id, "and goes on from where he was");
    assert!(!again(&id).contains("\"started\"") && !again(&id).contains("event: reset"), "nothing was missed");
    assert!(again("another-7").contains("event: reset"), "of another process");
    let list = get(&origin, "/v1/events?namespace=live-origin");
    assert!(list["events"].as_array().unwrap().iter().any(|event| event["event"] == "started"), "{list}");
    // Who listens hears no more once his key is revoked.
    let (key, key_id) = origin.make_key(&["--role", "viewer"]);
    let mut stranger = Wire::open(origin.admin);
    stranger.write(Request::new("GET", "/v1/events/live").bearer(&key).to_bytes());
    assert_eq!(stranger.head().unwrap().0, 200);
    assert_eq!(ask(&origin, "DELETE", &format!("/v1/keys/{key_id}"), None, &[]).status, 200);
    assert!(
        eventually(Duration::from_secs(10), || stranger.chunk().is_none_or(|piece| piece.is_empty()).then_some(())).is_some()
    );
    // They outlive the process, and who listens does not hold up its end.
    origin.stop();
    origin.launch();
    let list = get(&origin, "/v1/events?stream=a.m3u8");
    assert!(list["events"].as_array().unwrap().iter().any(|event| event["event"] == "started"), "{list}");
}

#[test]
fn a_stream_is_told_of_by_its_segments_and_the_overview_says_what_is_wrong() {
    let origin = Origin::start();
    let list = |segments: &[u32]| {
        let lines: String = segments.iter().map(|number| format!("#EXTINF:1,\n{number}.ts\n")).collect();
        format!("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:{}\n{lines}", segments[0])
    };
    origin.store("0.ts", vec![0x47; 1880]);
    origin.store("2.ts", vec![0x47; 1880]);
    origin.store("a.m3u8", list(&[0, 1, 2]));
    let timeline = get(&origin, "/v1/stream/timeline?namespace=live-origin&key=a.m3u8");
    let tiles = timeline["renditions"][0]["segments"].as_array().unwrap();
    let states: Vec<&str> = tiles.iter().map(|tile| tile["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["on-time", "missing", "on-time"], "{timeline}");
    assert_eq!((&tiles[0]["bytes"], &tiles[1]["arrived"]), (&json!(1880), &json!(null)));
    let named =
        |overview: &Value, trouble: &str| overview["troubles"].as_array().unwrap().iter().any(|one| one["trouble"] == trouble);
    let overview = eventually(Duration::from_secs(15), || {
        let overview = get(&origin, "/v1/overview");
        (named(&overview, "gap") || named(&overview, "stale")).then_some(overview)
    });
    let overview = overview.expect("a gap, or at last a stream that stands still");
    assert!(overview["trouble_count"].as_u64().unwrap() > 0 && overview["streams"]["ended"] == 0, "{overview}");
    // More streams than troubles are named: the count is of all of them.
    let many: Vec<String> = (0..120).map(|number| format!("many/{number}.m3u8")).collect();
    many.iter().for_each(|name| origin.store(name, list(&[0, 1, 2])));
    let all = eventually(Duration::from_secs(30), || {
        let overview = get(&origin, "/v1/overview");
        (overview["needy"] == 121).then_some(overview)
    });
    let all = all.expect("each of them stands still at last");
    assert_eq!(all["troubles"].as_array().unwrap().len(), 100, "{all}");
    let series = get(&origin, "/v1/series?namespace=live-origin");
    let count = series["times"].as_array().unwrap().len();
    assert!(count > 0 && series["stored_bytes"].as_array().unwrap().len() == count, "{series}");
    for path in [
        "/v1/stream?namespace=live-origin&key=none",
        "/v1/stream/timeline?namespace=none&key=a.m3u8",
        "/v1/series?namespace=none",
    ] {
        assert_eq!(ask(&origin, "GET", path, None, &[]).status, 404, "{path}");
    }
    assert_eq!(get(&origin, "/v1/stream?namespace=live-origin&key=a.m3u8")["stream"], "a.m3u8");
}

#[test]
fn the_server_ends_by_order() {
    let mut origin = Origin::start();
    assert_eq!(Request::new("POST", "/v1/drain").send(origin.admin).status, 401);
    assert_eq!(ask(&origin, "POST", "/v1/drain", None, &[]).status, 204);
    assert!(origin.wait().success());
}

#[test]
fn who_hangs_up_has_his_order_done_once_and_written_down() {
    let origin = Origin::start();
    let order = |number: usize| json!({ "role": "readonly", "namespaces": ["live-origin"], "label": format!("gone-{number}") });
    let once = |number: usize| format!("gone-{number}");
    for number in 0..20 {
        let request = Request::new("POST", "/v1/keys").bearer(&origin.administrator).header("Idempotency-Key", once(number));
        let mut wire = Wire::open(origin.admin);
        wire.write(request.header("Content-Type", "application/json").body(order(number).to_string()).to_bytes());
        // Gone before there is an answer.
        drop(wire);
    }
    for number in 0..20 {
        let sent = || ask(&origin, "POST", "/v1/keys", Some(&order(number)), &[("Idempotency-Key", &once(number))]).status;
        assert!(eventually(Duration::from_secs(10), || (sent() == 201).then_some(())).is_some(), "{number}");
    }
    let labels = |text: &Value| text.to_string().matches("\"label\":\"gone-").count();
    assert_eq!((labels(&get(&origin, "/v1/keys")), labels(&get(&origin, "/v1/audit"))), (20, 20));
}

/// A list that has ended, and a server that records.
fn recorder() -> (Origin, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let settings = folder.path().join("settings.toml");
    std::fs::write(&settings, format!("[harvest]\nfolder = \"{}\"\n", folder.path().join("recordings").display())).unwrap();
    let origin = Origin::start_with(&["--config", settings.to_str().unwrap()]);
    for number in 0..3 {
        origin.store(&format!("show/{number}.ts"), vec![0x47; 188 * (number + 1)]);
    }
    let list: String = (0..3).map(|number| format!("#EXTINF:2,\n{number}.ts\n")).collect();
    origin.store("show/a.m3u8", format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n{list}#EXT-X-ENDLIST\n"));
    (origin, folder)
}

#[test]
fn an_order_that_is_sent_twice_is_carried_out_once() {
    let (origin, _folder) = recorder();
    let once = [("Idempotency-Key", "order-1")];
    let key = json!({ "role": "readonly", "namespaces": ["live-origin"], "label": "a CDN" });
    let count = || get(&origin, "/v1/keys")["keys"].as_array().unwrap().len();
    let before = count();
    let first = ask(&origin, "POST", "/v1/keys", Some(&key), &once);
    let again = ask(&origin, "POST", "/v1/keys", Some(&key), &once);
    assert_eq!((first.status, again.status, again.header("idempotent-replayed")), (201, 201, "true"));
    assert_eq!((body(&first), count()), (body(&again), before + 1));
    let other = ask(&origin, "POST", "/v1/keys", Some(&json!({ "role": "viewer" })), &once);
    assert_eq!((other.status, other.problem(), count()), (422, "order-differs".to_owned(), before + 1));
    // What failed is tried again; another's key, and another route's, is another.
    let wrong = json!({ "role": "king" });
    for _ in 0..2 {
        assert_eq!(ask(&origin, "POST", "/v1/keys", Some(&wrong), &[("Idempotency-Key", "order-2")]).status, 400);
    }
    let order = json!({ "namespace": "live-origin", "playlist": "show/a.m3u8", "out": "clip" });
    let harvests: Vec<Answer> = (0..2).map(|_| ask(&origin, "POST", "/v1/harvest", Some(&order), &once)).collect();
    assert_eq!((harvests[0].status, harvests[1].status), (202, 202));
    assert_eq!(body(&harvests[0])["id"], body(&harvests[1])["id"]);
    assert_eq!(harvests[0].header("location"), harvests[1].header("location"));
    // It takes effect where it is described, and nowhere else.
    assert_eq!(ask(&origin, "PUT", "/v1/namespaces/x", Some(&json!({})), &once).status, 200);
    let audit = get(&origin, "/v1/audit")["lines"].as_array().unwrap().len();
    assert_eq!(audit, 3, "a key, a recording, a namespace");
}

#[test]
fn a_recording_is_played_and_downloaded_by_the_api_and_known_after_a_restart() {
    let (mut origin, folder) = recorder();
    let order = json!({ "namespace": "live-origin", "playlist": "show/a.m3u8", "out": "clips/one" });
    let ordered = body(&ask(&origin, "POST", "/v1/harvest", Some(&order), &[]));
    let path = format!("/v1/harvest/{}", ordered["id"].as_str().unwrap());
    let state = |origin: &Origin| get(origin, &path);
    let done = eventually(Duration::from_secs(20), || Some(state(&origin)).filter(|one| one["state"] == "done"));
    let done = done.unwrap_or_else(|| panic!("{}", state(&origin)));
    assert_eq!(done["out"], "clips/one/playlist.m3u8");
    origin.signal("KILL");
    origin.wait();
    origin.launch();
    assert_eq!(state(&origin), done, "as it was");
    assert_eq!(get(&origin, "/v1/harvest")["harvests"], json!([done]));
    let file = |name: &str| ask(&origin, "GET", &format!("{path}/files/{name}"), None, &[]);
    let list = file("playlist.m3u8");
    assert_eq!((list.status, list.header("content-type")), (200, "application/vnd.apple.mpegurl"));
    let segments: Vec<String> = list.text().lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect();
    assert_eq!(segments.len(), 3, "{}", list.text());
    let segment = file(&segments[1]);
    assert_eq!((segment.body.len(), segment.header("x-content-type-options")), (376, "nosniff"));
    assert!(segment.header("content-security-policy").contains("sandbox"));
    for name in ["none.ts", "..%2F..%2Fsecret", "%2Fetc%2Fpasswd", ".hidden"] {
        assert_eq!(file(name).status, 404, "{name}");
    }
    let framed = ask(
        &origin,
        "GET",
        &format!("{path}/files/playlist.m3u8"),
        None,
        &[("Sec-Fetch-Dest", "iframe"), ("Sec-Fetch-Site", "same-origin")],
    );
    assert_eq!(framed.status, 403);
    // All of it as one file, as every tar reads it.
    let archive = ask(&origin, "GET", &format!("{path}/archive"), None, &[]);
    assert!(archive.status == 200 && archive.header("content-disposition").starts_with("attachment"), "{:?}", archive.headers);
    let place = folder.path().join("recording.tar");
    std::fs::write(&place, &archive.body).unwrap();
    let listed = program("tar").arg("-tvf").arg(&place).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(
        listed.contains("/playlist.m3u8") && segments.iter().all(|name| listed.contains(name)) && listed.contains(" 376 "),
        "{listed}"
    );
    // Of another namespace, nothing; nor for who has not signed in.
    let (viewer, _) = origin.make_key(&["--role", "viewer", "--namespace", "other"]);
    for place in ["archive", "files/playlist.m3u8"] {
        assert_eq!(Request::new("GET", format!("{path}/{place}")).bearer(&viewer).send(origin.admin).status, 404, "{place}");
        assert_eq!(Request::new("GET", format!("{path}/{place}")).send(origin.admin).status, 401, "{place}");
        assert_eq!(ask(&origin, "GET", &format!("/v1/harvest/none/{place}"), None, &[]).status, 404, "{place}");
    }
}

#[test]
fn a_stream_is_walked_by_order_and_what_is_wrong_is_told() {
    let (origin, _folder) = recorder();
    let walk = |key: &str| ask(&origin, "POST", "/v1/doctor", Some(&json!({ "namespace": "live-origin", "key": key })), &[]);
    let found = body(&walk("show/a.m3u8"));
    let steps = found["steps"].as_array().unwrap();
    assert!(steps.len() > 5 && steps.iter().all(|step| step["step"].is_string() && step["finding"].is_string()), "{found:#}");
    origin.store("gap.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nnone.ts\n");
    let found = body(&walk("gap.m3u8"));
    assert!(found["healthy"] == false && found.to_string().contains("none.ts"), "{found:#}");
    assert_eq!(body(&walk("absent.m3u8"))["healthy"], false);
    assert!(!found.to_string().contains("eyJ"), "the key that it walks with is shown to nobody");
    let (viewer, _) = origin.make_key(&["--role", "viewer"]);
    let order = Request::new("POST", "/v1/doctor").bearer(&viewer).header("Content-Type", "application/json");
    assert_eq!(order.body("{\"namespace\":\"live-origin\",\"key\":\"a\"}").send(origin.admin).status, 403, "it makes work");
}

#[test]
fn what_is_done_about_viewers_tokens_is_written_down() {
    let origin = Origin::start_with_settings("[namespaces.live-origin.viewers]\nmode = \"required\"\n");
    let order = |what: &str, order: Value| ask(&origin, "POST", &format!("/v1/namespaces/live-origin/{what}"), Some(&order), &[]);
    let made = order("viewer-tokens", json!({ "prefix": "show/", "count": 3 }));
    assert_eq!(made.status, 201, "{}", made.text());
    assert_eq!(order("viewer-revocations", json!({ "prefix": "show/a/" })).status, 201);
    let audit = get(&origin, "/v1/audit");
    let (revoked, minted) = (&audit["lines"][0]["after"], &audit["lines"][1]["after"]);
    assert_eq!((&minted["prefix"], &minted["count"]), (&json!("show/"), &json!(3)), "{audit:#}");
    assert_eq!(minted["token_ids"].as_array().unwrap().len(), 3);
    assert_eq!(revoked["prefix"], "show/a/");
    for token in body(&made)["tokens"].as_array().unwrap() {
        assert!(!audit.to_string().contains(token["token"].as_str().unwrap()), "no token is");
    }
}

#[test]
fn a_viewers_token_in_the_name_that_is_ordered_is_refused_and_kept_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let recordings = folder.path().join("recordings");
    let viewers = "[namespaces.live-origin.viewers]\nmode = \"required\"\n";
    let origin = Origin::start_with_settings(&format!("[harvest]\nfolder = \"{}\"\n{viewers}", recordings.display()));
    let at = |what: &str| format!("/v1/namespaces/live-origin/{what}");
    let made = ask(&origin, "POST", &at("viewer-tokens"), Some(&json!({ "prefix": "show/" })), &[]);
    let token = body(&made)["token"].as_str().unwrap().to_owned();
    let before = get(&origin, "/v1/audit");
    let harvest = |name: &str| ("/v1/harvest".to_owned(), json!({ "namespace": "live-origin", "playlist": name, "out": "x" }));
    let revocation = |prefix: &str| (at("viewer-revocations"), json!({ "prefix": prefix }));
    let names = [
        format!("~{token}/show/p.m3u8"),
        format!("%7E{token}/show/p.m3u8"),
        format!("/cache/live-origin/~{token}/show/p.m3u8"),
        format!("show/p.m3u8?cat={token}"),
        format!("show/p.m3u8?x=1&other={token}"),
    ];
    for name in &names {
        for (path, order) in [
            harvest(name),
            revocation(name),
            (at("viewer-tokens"), json!({ "prefix": name })),
            ("/v1/purge".to_owned(), json!({ "namespace": "live-origin", "prefix": name, "expect": 0 })),
            ("/v1/keys".to_owned(), json!({ "role": "readonly", "namespaces": ["live-origin"], "prefix": name })),
        ] {
            let answer = ask(&origin, "POST", &path, Some(&order), &[]);
            assert_eq!((answer.status, answer.text().contains(&token)), (400, false), "{path} {name}");
        }
    }
    for (path, order) in [harvest("show/p.m3u8?last=1m"), revocation("show/?x=1")] {
        let answer = ask(&origin, "POST", &path, Some(&order), &[]);
        assert_eq!((answer.status, answer.text().contains("x=1")), (400, false), "{path}");
    }
    assert_eq!(get(&origin, "/v1/audit"), before, "nothing was done");
    assert_eq!(get(&origin, "/v1/harvest")["harvests"], json!([]));
    let log: Vec<String> = origin.log().iter().map(Value::to_string).collect();
    assert!(!log.iter().any(|line| line.contains(&token)), "no token is told");
    // What only looks a little like one is a name like any other.
    let (path, order) = harvest("~show/p.m3u8");
    assert_eq!(ask(&origin, "POST", &path, Some(&order), &[]).status, 202);
}

#[test]
fn on_loopback_a_key_does_no_more_than_elsewhere_and_what_viewers_get_takes_one() {
    let (origin, _folder) = recorder();
    assert!(origin.admin.ip().is_loopback());
    assert_eq!(ask(&origin, "PUT", "/v1/namespaces/other", Some(&json!({})), &[]).status, 200);
    let key = |role: &str| origin.make_key(&["--role", role, "--namespace", "other"]).0;
    let (viewer, operator) = (key("viewer"), key("operator"));
    let send = |method: &str, path: &str, order: &Value, key: &str| {
        let request = Request::new(method, path).header("Content-Type", "application/json").body(order.to_string());
        if key.is_empty() { request.send(origin.admin) } else { request.bearer(key).send(origin.admin) }
    };
    let order = |out: &str| json!({ "namespace": "live-origin", "playlist": "show/a.m3u8", "out": out });
    let taken = send("POST", "/v1/harvest", &order("a"), "");
    assert_eq!(taken.status, 202, "recordings are taken without a key: {}", taken.text());
    let path = format!("/v1/harvest/{}", body(&taken)["id"].as_str().unwrap());
    for (name, key, ordered, cancelled) in [
        ("viewer", &*viewer, 403, 403),
        ("operator elsewhere", &operator, 400, 404),
        ("encoder", &origin.encoder, 403, 403),
        ("none", "x", 401, 401),
    ] {
        assert_eq!(send("POST", "/v1/harvest", &order("b"), key).status, ordered, "{name}");
        assert_eq!(send("DELETE", &path, &json!(null), key).status, cancelled, "{name}");
    }
    assert_eq!(get(&origin, "/v1/harvest")["harvests"].as_array().unwrap().len(), 1);
    assert_ne!(get(&origin, &path)["state"], "cancelled");
    // Who reads is not asked: a key that is good for nothing here does no harm.
    assert_eq!(send("GET", "/v1/harvest", &json!(null), &origin.encoder).status, 200);
    let pin = json!({ "namespace": "live-origin", "public": "live/", "source": "a" });
    for (key, status) in [("", 401), (&*viewer, 403), (&*operator, 404), (&*origin.administrator, 404)] {
        assert_eq!(send("POST", "/v1/pairs/pin", &pin, key).status, status, "there is no such pair");
    }
    // Only who says that no source is wanted lets go of one.
    for (pin, status) in [
        (json!({ "namespace": "live-origin", "public": "live/" }), 400),
        (json!({ "namespace": "live-origin", "public": "live/", "source": null }), 404),
    ] {
        assert_eq!(send("POST", "/v1/pairs/pin", &pin, &origin.administrator).status, status, "{pin}");
    }
}

/// A disk that takes nothing for a while: the audit log is a pipe that is full. What is ordered waits, and nobody else.
#[test]
fn while_an_order_waits_for_the_disk_the_listener_answers() {
    let mut origin = Origin::start();
    origin.stop();
    let audit = origin.data_dir().join("audit/audit.jsonl");
    let _ = fs::remove_file(&audit);
    assert!(program("mkfifo").arg(&audit).status().unwrap().success());
    let mut pipe = fs::File::options().read(true).write(true).open(&audit).unwrap();
    pipe.write_all(&[b'\n'; 64 << 10]).unwrap();
    origin.launch();
    let ordered = || ask(&origin, "PUT", "/v1/namespaces/show", Some(&json!({})), &[]);
    thread::scope(|scope| {
        let order = scope.spawn(ordered);
        let made = eventually(Duration::from_secs(20), || names(&origin).contains(&"show".to_owned()).then_some(()));
        assert!(made.is_some(), "it is in force");
        for path in ["/livez", "/readyz", "/metrics", "/v1/namespaces"] {
            let answer = ask(&origin, "GET", path, None, &[]);
            assert_eq!(answer.status, 200, "{path}");
        }
        assert!(!order.is_finished(), "it is written down before it is answered");
        let mut space = vec![0; 64 << 10];
        pipe.read_exact(&mut space).unwrap();
        assert_eq!(order.join().unwrap().status, 200);
    });
}
