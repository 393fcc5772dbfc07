//! What who looks after a part of a namespace alone is told and can have done, from outside: of the rest nothing.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{NAMESPACE, Origin, eventually};
use crate::wire::{Answer, Request, Wire};

fn send(origin: &Origin, key: &str, method: &str, path: &str, order: Option<Value>) -> Answer {
    let mut request = Request::new(method, path).bearer(key);
    if let Some(order) = order {
        request = request.header("Content-Type", "application/json").body(order.to_string());
    }
    request.send(origin.admin)
}

fn get(origin: &Origin, key: &str, path: &str) -> Value {
    let answer = send(origin, key, "GET", path, None);
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    serde_json::from_slice(&answer.body).unwrap()
}

fn list(segments: &[&str]) -> String {
    let lines: String = segments.iter().map(|name| format!("#EXTINF:2,\n{name}\n")).collect();
    format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n{lines}#EXT-X-ENDLIST\n")
}

/// A server that records, with a stream below each of two prefixes.
fn two_parts() -> (Origin, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let origin = Origin::start_with_settings(&format!("[harvest]\nfolder = \"{}\"\n", folder.path().display()));
    for name in ["a/0.ts", "a/1.ts", "b/0.ts", "b/1.ts"] {
        origin.store(name, vec![0x47; 188]);
    }
    origin.store("a/live.m3u8", list(&["0.ts", "1.ts"]));
    origin.store("b/live.m3u8", list(&["0.ts", "1.ts"]));
    (origin, folder)
}

fn order(playlist: &str, out: &str) -> Value {
    json!({ "namespace": NAMESPACE, "playlist": playlist, "out": out, "keys": true })
}

/// Has something recorded: how that ended.
fn recorded(origin: &Origin, key: &str, order: Value) -> Value {
    let ordered = send(origin, key, "POST", "/v1/harvest", Some(order));
    assert_eq!(ordered.status, 202, "{}", ordered.text());
    let path = ordered.header("location").to_owned();
    let is_over = |one: &Value| one["state"] == "done" || one["state"] == "failed";
    eventually(Duration::from_secs(30), || Some(get(origin, key, &path)).filter(is_over)).expect("it ends")
}

#[test]
fn who_looks_after_a_prefix_records_and_downloads_nothing_beside_it() {
    let (origin, _folder) = two_parts();
    let (operator, _) = origin.make_key(&["--role", "operator", "--namespace", NAMESPACE, "--prefix", "a/"]);
    let administrator = &*origin.administrator;
    assert_eq!(send(&origin, &operator, "POST", "/v1/harvest", Some(order("b/live.m3u8", "x"))).status, 403);
    let own = recorded(&origin, &operator, order("a/live.m3u8", "own"));
    assert_eq!((&own["state"], &own["prefix"]), (&json!("done"), &json!("a/")), "{own}");
    let archive =
        |key: &str, of: &Value| send(&origin, key, "GET", &format!("/v1/harvest/{}/archive", of["id"].as_str().unwrap()), None);
    assert_eq!(archive(&operator, &own).status, 200);
    // What a playlist names beside the prefix is not read for him, and not given to him where it was read for somebody else.
    origin.store("a/across.m3u8", list(&["0.ts", "../b/1.ts"]));
    let across = recorded(&origin, &operator, order("a/across.m3u8", "across"));
    assert_eq!((&across["state"], &across["files"]), (&json!("done"), &json!(1)), "{across}");
    let whole = recorded(&origin, administrator, order("a/across.m3u8", "whole"));
    assert_eq!((&whole["state"], &whole["files"]), (&json!("done"), &json!(2)), "{whole}");
    assert_eq!((archive(&operator, &whole).status, archive(administrator, &whole).status), (404, 200));
    let other = recorded(&origin, administrator, order("b/live.m3u8", "other"));
    let path = format!("/v1/harvest/{}", other["id"].as_str().unwrap());
    for place in ["", "/archive", "/files/playlist.m3u8"] {
        assert_eq!(send(&origin, &operator, "GET", &format!("{path}{place}"), None).status, 404, "{place}");
    }
    assert_eq!(send(&origin, &operator, "DELETE", &path, None).status, 404);
    let listed = get(&origin, &operator, "/v1/harvest")["harvests"].clone();
    assert!(listed.as_array().unwrap().iter().all(|one| one["playlist"] != "b/live.m3u8"), "{listed}");
    // He neither replaces it nor has it by an order of his that had gone where it is now.
    let mut over = order("a/live.m3u8", "other");
    over["replace"] = json!(true);
    let refused = recorded(&origin, &operator, over);
    assert!(refused["state"] == "failed" && !refused["error"].to_string().contains("b/live"), "{refused}");
    assert_eq!((archive(administrator, &other).status, archive(&operator, &refused).status), (200, 404));
    // Where he reaches all of a namespace, he may: the prefix is what it was about.
    let (operator, _) = origin.make_key(&["--role", "operator", "--namespace", NAMESPACE]);
    assert_eq!(recorded(&origin, &operator, order("b/live.m3u8", "again"))["state"], "done");
    assert_eq!(archive(&operator, &whole).status, 200);
}

#[test]
fn who_looks_on_in_a_prefix_is_told_of_nothing_beside_it() {
    let (origin, _folder) = two_parts();
    for key in ["a/x.ts", "b/x.ts"] {
        let refused = Request::new("PUT", origin.path(key)).bearer(&origin.player).body("x").send(origin.address);
        assert_eq!(refused.status, 403);
        // A playlist that is none: something to be told of.
        origin.store(&format!("{key}.m3u8"), "no playlist\n");
    }
    // Something that is no request.
    let mut wire = Wire::open(origin.address);
    wire.write(b"\x16\x03\x01\x02\x00 no request\r\n\r\n");
    let administrator = &*origin.administrator;
    let all = |path: &str| get(&origin, administrator, path).to_string();
    for path in ["/v1/streams", "/v1/events", "/v1/ingest/rejected"] {
        let both = || Some(all(path)).filter(|text| text.contains("\"a/") && text.contains("\"b/"));
        assert!(eventually(Duration::from_secs(10), both).is_some(), "{path}: {}", all(path));
    }
    let unread =
        || get(&origin, administrator, "/v1/ingest/rejected")["unread"].as_array().map(Vec::len).filter(|count| *count > 0);
    assert!(eventually(Duration::from_secs(10), unread).is_some());
    for role in ["viewer", "operator"] {
        let (key, _) = origin.make_key(&["--role", role, "--namespace", "*", "--prefix", "a/"]);
        for path in ["/v1/streams", "/v1/events", "/v1/ingest/rejected", "/v1/overview"] {
            let text = get(&origin, &key, path).to_string();
            assert!(!text.contains("\"b/") && !text.contains("b/live"), "{path}: {text}");
            assert!(path == "/v1/overview" || text.contains("\"a/"), "{path}: {text}");
        }
        assert_eq!(get(&origin, &key, "/v1/ingest/rejected")["unread"], json!([]), "it belongs to nobody");
        for (path, status) in [
            (format!("/v1/stream?namespace={NAMESPACE}&key=a/live.m3u8"), 200),
            (format!("/v1/stream?namespace={NAMESPACE}&key=b/live.m3u8"), 404),
            (format!("/v1/stream/timeline?namespace={NAMESPACE}&key=a/live.m3u8"), 200),
            (format!("/v1/stream/timeline?namespace={NAMESPACE}&key=b/live.m3u8"), 404),
            ("/metrics".to_owned(), 403),
            ("/v1/ingest/clients".to_owned(), 403),
        ] {
            let answer = send(&origin, &key, "GET", &path, None);
            assert_eq!(answer.status, status, "{role} {path}");
            // It lacks no role.
            let is_about_reach = answer.text().contains("for all") && !answer.text().contains("of role");
            assert_eq!(is_about_reach, status == 403, "{role} {path}: {}", answer.text());
        }
    }
    let (operator, _) = origin.make_key(&["--role", "operator", "--namespace", NAMESPACE, "--prefix", "a/"]);
    // What lies beside the prefix is not his to count; of what holds it he has his part.
    let objects = |key: &str, prefix: &str| {
        let order = json!({ "namespace": NAMESPACE, "prefix": prefix, "dry_run": true });
        let counted = send(&origin, key, "POST", "/v1/purge", Some(order));
        let count = serde_json::from_slice::<Value>(&counted.body).unwrap()["objects"].as_u64();
        (counted.status, count.unwrap_or_default() > 0)
    };
    assert_eq!(["b/", "ab"].map(|prefix| objects(&operator, prefix)), [(403, false); 2]);
    assert_eq!(["", "a", "a/", "a/live"].map(|prefix| objects(&operator, prefix)), [(200, true); 4]);
    assert_eq!(["b/", "none/"].map(|prefix| objects(administrator, prefix)), [(200, true), (200, false)]);
    for (key, status) in [("a/live.m3u8", 200), ("b/live.m3u8", 403)] {
        let walked = send(&origin, &operator, "POST", "/v1/doctor", Some(json!({ "namespace": NAMESPACE, "key": key })));
        assert_eq!(walked.status, status, "{key}: {}", walked.text());
    }
}
