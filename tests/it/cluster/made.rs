//! What the admin API makes, on several nodes: in force on all of them within a second, changed under conditions by one of two at a time, known to
//! who comes later, and told again to an engine that comes back empty.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::kit::Cluster;
use super::request;
use crate::harness::{Origin, eventually};
use crate::wire::{Answer, Request};

/// Within a second, by the promise; a machine that does much else takes longer.
const SOON: Duration = Duration::from_secs(10);

pub(super) fn ask(node: &Origin, method: &str, path: &str, order: Option<Value>, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::new(method, path).bearer(&node.administrator);
    for (name, value) in headers {
        request = request.header(name, (*value).to_owned());
    }
    if let Some(order) = order {
        request = request.header("Content-Type", "application/json").body(order.to_string());
    }
    request.send(node.admin)
}

pub(super) fn soon(what: &str, is_so: impl Fn() -> bool) {
    assert!(eventually(SOON, || is_so().then_some(())).is_some(), "{what}");
}

pub(super) fn has(node: &Origin, path: &str) -> bool {
    ask(node, "GET", path, None, &[]).status == 200
}

#[test]
fn what_is_made_on_one_node_is_in_force_on_all() {
    const PLACE: &str = "/v1/namespaces/sports";
    let mut cluster = Cluster::start(2, "");
    let rules = || Some(json!({ "durable": "off", "default_ttl": "5m" }));
    {
        let [a, b] = &cluster.nodes[..] else { unreachable!() };
        // What nodes can't do is said before any of them has it.
        let refused = ask(a, "PUT", PLACE, Some(json!({})), &[]);
        assert!(refused.status == 400 && refused.text().contains("off or a bucket where nodes share"), "{}", refused.text());
        assert!(!has(a, PLACE) && !has(b, PLACE));
        let made = ask(a, "PUT", PLACE, rules(), &[("If-None-Match", "*")]);
        assert_eq!(made.status, 200, "{}", made.text());
        assert!(has(a, PLACE), "at once");
        soon("the other has it", || has(b, PLACE));
        assert_eq!(ask(b, "GET", PLACE, None, &[]).header("etag"), made.header("etag"));
        // Nobody makes it twice, whoever is asked.
        assert_eq!(ask(b, "PUT", PLACE, rules(), &[("If-None-Match", "*")]).status, 412);
        let order = json!({ "role": "readwrite", "namespaces": ["sports"], "label": "encoder" });
        let key = ask(a, "POST", "/v1/keys", Some(order), &[]);
        let key: Value = serde_json::from_slice(&key.body).unwrap();
        let (id, user) = (key["key"]["key_id"].as_str().unwrap(), key["ingest_user"].as_str().unwrap());
        soon("the other has its record", || has(b, &format!("/v1/keys/{id}")));
        let login = STANDARD.encode(format!("{user}:{}", key["ingest_password"].as_str().unwrap()));
        let put = || {
            Request::new("PUT", "/cache/sports/a.ts")
                .header("Authorization", format!("Basic {login}"))
                .body("words")
                .send(b.address)
                .status
                == 204
        };
        soon("an encoder logs in there", put);
        let read = Request::new("GET", "/cache/sports/a.ts").bearer(key["api_key"].as_str().unwrap()).send(a.address);
        assert_eq!((read.status, read.text().as_str()), (200, "words"));
        let rotated = ask(b, "POST", &format!("/v1/keys/{id}/rotate"), Some(json!({ "overlap": "1h" })), &[]);
        assert_eq!(rotated.status, 201, "{}", rotated.text());
        soon("when it ends is known", || {
            ask(a, "GET", &format!("/v1/keys/{id}"), None, &[]).text().contains("\"retires_at\":\"2")
        });
    }
    cluster.join("");
    let [_, b, c] = &cluster.nodes[..] else { unreachable!() };
    soon("one that comes later has it", || has(c, PLACE));
    cluster.engine.kill();
    cluster.engine.launch();
    let tag = ask(b, "GET", PLACE, None, &[]).header("etag").to_owned();
    let change = || ask(b, "PATCH", PLACE, Some(json!({ "default_ttl": "7m" })), &[("If-Match", &tag)]);
    assert_eq!(change().status, 200);
    cluster.join("");
    let [a, _, c, d] = &cluster.nodes[..] else { unreachable!() };
    for node in [a, c, d] {
        soon("what the engine has lost was told to it", || {
            ask(node, "GET", PLACE, None, &[]).text().contains("\"default_ttl\":\"7m\"")
        });
    }
    // Removed while a node is away: it does not bring it back.
    cluster.nodes[0].signal("KILL");
    let _ = cluster.nodes[0].wait();
    let tag = ask(&cluster.nodes[3], "GET", PLACE, None, &[]).header("etag").to_owned();
    assert_eq!(ask(&cluster.nodes[3], "DELETE", PLACE, None, &[("If-Match", &tag)]).status, 204);
    cluster.nodes[0].launch();
    for node in &cluster.nodes {
        soon("it is gone", || !has(node, PLACE));
    }
    assert_eq!(
        request(&cluster.nodes[0], "GET", "none.ts").send(cluster.nodes[0].address).status,
        404,
        "what was declared is there"
    );
}

#[test]
fn what_a_node_can_not_put_in_force_is_there_when_its_settings_are_mended() {
    const PLACE: &str = "/v1/namespaces/sports";
    const OTHER: &str = "/v1/namespaces/other";
    let cluster = Cluster::start(2, "");
    let [a, b] = &cluster.nodes[..] else { unreachable!() };
    let (file, rules) = (cluster.config(1), || Some(json!({ "durable": "off" })));
    let good = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, format!("{good}no_such_rule = 1\n")).unwrap();
    let refused = ask(b, "PUT", OTHER, rules(), &[]);
    assert!(refused.status == 409 && refused.text().contains("no_such_rule"), "{}", refused.text());
    assert!(!has(a, OTHER), "nobody has what that node could not have itself");
    assert_eq!(ask(a, "PUT", PLACE, rules(), &[]).status, 200);
    let told = "a namespace that the admin API of a node has made, changed or removed is not so here";
    let said = b.wait_for_log(told);
    assert!(said["namespace"] == "sports" && said["detail"].as_str().unwrap().contains("no_such_rule"), "{said}");
    let refused = ask(b, "PUT", OTHER, rules(), &[]);
    assert!(refused.status == 409 && refused.text().contains("not as the others are"), "{}", refused.text());
    std::fs::write(&file, good).unwrap();
    soon("it is there, without another change", || has(b, PLACE));
    assert_eq!(b.log().iter().filter(|line| line["message"] == told).count(), 1, "told once");
}

#[test]
fn of_two_who_change_one_namespace_on_two_nodes_one_is_told() {
    const PLACE: &str = "/v1/namespaces/show";
    let cluster = Cluster::start(2, "");
    let [a, b] = &cluster.nodes[..] else { unreachable!() };
    assert_eq!(ask(a, "PUT", PLACE, Some(json!({ "durable": "off" })), &[]).status, 200);
    soon("the other has it", || has(b, PLACE));
    for round in 1..6 {
        let tag = ask(a, "GET", PLACE, None, &[]).header("etag").to_owned();
        let told: Vec<u16> = std::thread::scope(|scope| {
            let change = |(number, node): (u64, &'static str)| {
                let (tag, node) = (&tag, if node == "a" { a } else { b });
                let ttl = format!("{}s", round * 10 + number);
                scope.spawn(move || ask(node, "PATCH", PLACE, Some(json!({ "default_ttl": ttl })), &[("If-Match", tag)]).status)
            };
            let changes: Vec<_> = [(1, "a"), (2, "b"), (3, "a"), (4, "b")].map(change).into();
            changes.into_iter().map(|change| change.join().unwrap()).collect()
        });
        let count = |status: u16| told.iter().filter(|told| **told == status).count();
        assert_eq!((count(200), count(412)), (1, 3), "{told:?}");
        let tag = |node: &Origin| ask(node, "GET", PLACE, None, &[]).header("etag").to_owned();
        soon("both say the same", || tag(a) == tag(b));
    }
}

#[test]
fn an_encoder_is_never_refused_by_a_node_that_does_not_know_it_yet() {
    let mut cluster = Cluster::start(2, "");
    let [a, b] = &cluster.nodes[..] else { unreachable!() };
    assert_eq!(ask(a, "PUT", "/v1/namespaces/sports", Some(json!({ "durable": "off" })), &[]).status, 200);
    let order = json!({ "role": "readwrite", "namespaces": ["sports"], "label": "encoder" });
    let key: Value = serde_json::from_slice(&ask(a, "POST", "/v1/keys", Some(order), &[]).body).unwrap();
    let login = format!("{}:{}", key["ingest_user"].as_str().unwrap(), key["ingest_password"].as_str().unwrap());
    let login = format!("Basic {}", STANDARD.encode(login));
    let put = |node: &Origin, name: &str| {
        let put = Request::new("PUT", format!("/cache/sports/{name}.ts")).header("Authorization", login.clone());
        put.body("words").send(node.address).status
    };
    assert_eq!(put(a, "first"), 204);
    let id = key["key"]["key_id"].as_str().unwrap();
    soon("the engine is told", || has(b, &format!("/v1/keys/{id}")));
    for _ in 0..3 {
        cluster.add_at_once(&format!("valkey://{}", cluster.engine.address), "");
        let node = cluster.nodes.last().unwrap();
        assert_eq!(put(node, "first"), 204, "its first answer");
        assert_eq!(Request::new("GET", "/readyz").send(node.admin).status, 200);
    }
}
