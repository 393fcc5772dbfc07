//! `/v1` of several nodes: what each alone knows is told by all of them, as one list, the same whoever is asked.

use std::time::Duration;

use serde_json::Value;

use super::kit::Cluster;
use super::{playlist, request};
use crate::harness::{NAMESPACE, Origin, eventually};
use crate::wire::Request;

fn ask(node: &Origin, path: &str) -> Value {
    let answer = Request::new("GET", path).bearer(&node.administrator).send(node.admin);
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    serde_json::from_slice(&answer.body).unwrap()
}

/// Asks until it is so.
fn until(node: &Origin, path: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let told = eventually(Duration::from_secs(15), || Some(ask(node, path)).filter(|told| is_so(told)));
    told.unwrap_or_else(|| panic!("{path}: {:#}", ask(node, path)))
}

fn names<'a>(told: &'a Value, list: &str, field: &str) -> Vec<&'a str> {
    told[list].as_array().unwrap().iter().map(|item| item[field].as_str().unwrap_or_default()).collect()
}

#[test]
fn what_one_node_alone_knows_is_told_by_all() {
    let mut cluster = Cluster::start(2, "");
    let [a, b] = &cluster.nodes[..] else { unreachable!() };
    let all_reached = |told: &Value| {
        let nodes = told["nodes"].as_array();
        nodes.is_some_and(|nodes| nodes.len() == 2 && nodes.iter().all(|node| node["reached"] == true))
    };
    for node in [a, b] {
        let about = until(node, "/v1", all_reached);
        assert_eq!(names(&about, "nodes", "node"), ["node-0", "node-1"]);
        assert!(about["nodes"][1]["version"] == env!("CARGO_PKG_VERSION") && about["nodes"][1]["is_ready"] == true, "{about:#}");
    }
    assert_eq!((ask(a, "/v1")["node"].as_str(), ask(b, "/v1")["node"].as_str()), (Some("node-0"), Some("node-1")));
    // Refused by one, an encoder of the other, and a stream.
    let wrong = request(a, "PUT", "t/no.ts").header("Content-Range", "bytes 0-1/2").body("x");
    assert_eq!(wrong.send(a.address).status, 400);
    b.store("t/p.m3u8", playlist(0, 3));
    b.store("t/segment-0.ts", "x");
    for node in [a, b] {
        let rejected = until(node, "/v1/ingest/rejected", |told| names(told, "rejected", "key").contains(&"t/no.ts"));
        assert_eq!(names(&rejected, "rejected", "node"), ["node-0"], "{rejected:#}");
        let clients = until(node, "/v1/ingest/clients", |told| names(told, "clients", "node").contains(&"node-1"));
        assert!(all_reached(&clients), "{clients:#}");
        let started =
            |told: &Value| told["events"].as_array().unwrap().iter().any(|event| event["nodes"].as_array().unwrap().len() == 2);
        let events = until(node, "/v1/events", started);
        let of_stream = names(&events, "events", "event").iter().filter(|event| **event == "started").count();
        assert_eq!(of_stream, 1, "told once: {events:#}");
        let overview = until(node, "/v1/overview", |told| told["refused"] == 1);
        assert_eq!(overview["streams"]["live"], 1, "{overview:#}");
        let of = |told: &Value| told["figures"]["namespaces"][0]["namespace"].as_str().map(str::to_owned);
        assert_eq!(of(&overview).as_deref(), Some(NAMESPACE));
        let series = until(node, "/v1/series", |told| {
            told["requests_per_second"].as_array().unwrap().iter().any(|figure| figure.as_f64() > Some(0.0))
        });
        assert_eq!(series["step_s"], 1);
        until(node, "/v1/audit", all_reached);
        until(node, "/v1/harvest", all_reached);
    }
    let own = |node: &Origin| ask(node, "/v1/ingest/rejected?scope=node");
    assert!(names(&own(a), "rejected", "key") == ["t/no.ts"] && own(b)["rejected"] == Value::Array(Vec::new()), "each its own");
    assert_eq!(Request::new("GET", "/v1/events?scope=all").send(a.admin).status, 400);
    // Who looks after another namespace is told of that alone, whoever was asked.
    let (viewer, _) = a.make_key(&["--role", "viewer", "--namespace", "other"]);
    let told = Request::new("GET", "/v1/ingest/rejected").bearer(&viewer).send(b.admin);
    assert!(told.status == 200 && !told.text().contains("t/no.ts") && told.text().contains("node-0"), "{}", told.text());
    // Of one that is gone it is told that it is.
    cluster.nodes[0].signal("KILL");
    let _ = cluster.nodes[0].wait();
    let b = &cluster.nodes[1];
    let told = until(b, "/v1/ingest/rejected", |told| {
        told["nodes"].as_array().is_some_and(|nodes| nodes.iter().any(|node| node["reached"] == false))
    });
    assert!(told["nodes"][0]["why"].as_str().is_some_and(|why| !why.is_empty()), "{told:#}");
    assert_eq!(names(&told, "rejected", "key"), [""; 0]);
    // Also when nobody takes it for one of them any more.
    let is_forgotten = || (!cluster.engine.pooled("nodes").contains("node-0")).then_some(());
    assert!(eventually(Duration::from_secs(30), is_forgotten).is_some(), "{}", cluster.engine.pooled("nodes"));
    // It is asked for that once a second.
    let until = std::time::Instant::now() + Duration::from_secs(3);
    while std::time::Instant::now() < until {
        let nodes = &ask(b, "/v1/overview")["nodes"];
        assert!(nodes[0]["node"] == "node-0" && nodes[0]["reached"] == false, "{nodes:#}");
    }
}

#[test]
fn only_nodes_are_told_what_nodes_ask() {
    let cluster = Cluster::start(1, "");
    let node = &cluster.nodes[0];
    let status = |path: &str, key: &str| Request::new("GET", path).bearer(key).send(node.address).status;
    for key in [&node.player, &node.encoder, &node.administrator] {
        assert_eq!(status("/node/v1/ingest/rejected", key), 403);
    }
    assert_eq!(Request::new("GET", "/node/v1").send(node.address).status, 401);
    assert_eq!(Request::new("PUT", "/node/v1").bearer(&node.administrator).send(node.address).status, 404);
    let made = node.run(&["keys", "create", "--role", "node"]);
    assert_eq!(made.status.code(), Some(2), "nobody makes one: {made:?}");
    // A server by itself has nothing there.
    let alone = Origin::start();
    assert_eq!(Request::new("GET", "/node/v1").bearer(&alone.administrator).send(alone.address).status, 404);
}
