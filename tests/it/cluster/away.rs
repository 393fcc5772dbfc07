//! A node that was away from the engine, and an engine that was away from all nodes: what was revoked, made, changed, removed and stored meanwhile is
//! in force when they are back.

use std::fs;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::kit::{Cluster, Engine, settings};
use super::made::{ask, has, soon};
use super::tokens::{REQUIRED, order, read};
use super::{playlist, request};
use crate::front::free_port;
use crate::harness::{BINARY, NAMESPACE, Origin, Process, bytes, eventually};
use crate::wire::{Answer, Request};

/// Longer than anything is waited for, and than a node is remembered that gives no sign.
const AWAY: Duration = Duration::from_secs(20);

fn is_ready(node: &Origin) -> bool {
    Request::new("GET", "/readyz").send(node.admin).status == 200
}

fn is_ready_within(node: &Origin, limit: Duration) -> bool {
    eventually(limit, || is_ready(node).then_some(())).is_some()
}

/// A viewer's token, and the id by which it is ended.
fn token(node: &Origin, vendor: &str) -> (String, Value) {
    let made = order(node, "viewer-tokens", vendor, &json!({ "prefix": "show/", "expires_in": "10m" }));
    (made["token"].as_str().unwrap().to_owned(), made["token_id"].clone())
}

fn put_by(node: &Origin, key: &str) -> u16 {
    Request::new("PUT", node.path("show/by-key.ts")).bearer(key).body("words").send(node.address).status
}

/// Encoders read back what they wrote, without a token.
fn by_encoder(node: &Origin, key: &str) -> Answer {
    Request::new("GET", node.path(key)).bearer(&node.encoder).send(node.address)
}

/// Has a namespace changed, by what the node knows of it.
fn changes(node: &Origin, place: &str) -> u16 {
    let tag = ask(node, "GET", place, None, &[]).header("etag").to_owned();
    ask(node, "PATCH", place, Some(json!({ "default_ttl": "9m" })), &[("If-Match", &tag)]).status
}

fn end_key(node: &Origin, id: &str) {
    let ended = Request::new("DELETE", format!("/v1/keys/{id}")).bearer(&node.administrator).send(node.admin);
    assert!((200..300).contains(&ended.status), "{}", ended.text());
}

#[test]
fn a_node_that_was_away_has_caught_up_when_it_is_ready_again() {
    const OLD: &str = "/v1/namespaces/old";
    const CHANGED: &str = "/v1/namespaces/changed";
    const NEW: &str = "/v1/namespaces/new";
    let cluster = Cluster::start(2, REQUIRED);
    let [a, b] = &cluster.nodes[..] else { unreachable!() };
    let (vendor, _) = a.make_key(&["--namespace", NAMESPACE, "--role", "vendor"]);
    let (key, key_id) = a.make_key(&["--namespace", NAMESPACE, "--role", "readwrite"]);
    let (ended, ended_id) = token(a, &vendor);
    let (good, _) = token(a, &vendor);
    for place in [OLD, CHANGED] {
        assert_eq!(ask(a, "PUT", place, Some(json!({ "durable": "off", "default_ttl": "5m" })), &[]).status, 200);
        soon("the other has it", || has(b, place));
    }
    a.store("show/p.m3u8", playlist(0, 3));
    a.store("show/segment-0.ts", bytes(1, 90_000));
    a.store("show/gone.ts", "gone");
    for of in [&ended, &good] {
        assert_eq!((read(b, of, "show/p.m3u8").status, read(b, of, "show/segment-0.ts").status), (200, 200));
    }
    assert_eq!((put_by(b, &key), read(b, &good, "show/gone.ts").status), (204, 200));

    cluster.links[1].cut();
    order(a, "viewer-revocations", &vendor, &json!({ "id": ended_id }));
    end_key(a, &key_id);
    let tag = ask(a, "GET", OLD, None, &[]).header("etag").to_owned();
    assert_eq!(ask(a, "DELETE", OLD, None, &[("If-Match", &tag)]).status, 204);
    let tag = ask(a, "GET", CHANGED, None, &[]).header("etag").to_owned();
    assert_eq!(ask(a, "PATCH", CHANGED, Some(json!({ "default_ttl": "7m" })), &[("If-Match", &tag)]).status, 200);
    assert_eq!(ask(a, "PUT", NEW, Some(json!({ "durable": "off" })), &[]).status, 200);
    let record = json!({ "role": "readwrite", "namespaces": ["new"], "label": "meanwhile" });
    let made: Value = serde_json::from_slice(&ask(a, "POST", "/v1/keys", Some(record), &[]).body).unwrap();
    a.store("show/p.m3u8", playlist(7, 3));
    a.store("show/segment-0.ts", bytes(2, 90_000));
    assert_eq!(request(a, "DELETE", "show/gone.ts").send(a.address).status, 204);
    // It does not go on as if nothing were.
    thread::sleep(AWAY);
    assert!(!is_ready(b));
    assert_eq!((read(b, &good, "show/p.m3u8").status, read(b, &good, "show/segment-0.ts").status), (503, 503));
    assert_eq!(changes(b, CHANGED), 503);

    cluster.links[1].heal();
    assert!(is_ready_within(b, Duration::from_secs(20)), "{:?}", b.log());
    // From the first moment in which somebody is sent to it.
    assert_eq!((read(b, &ended, "show/p.m3u8").status, put_by(b, &key)), (401, 401));
    assert_eq!(read(b, &good, "show/p.m3u8").text(), playlist(7, 3));
    assert_eq!(read(b, &good, "show/segment-0.ts").body, bytes(2, 90_000));
    assert_eq!(read(b, &good, "show/gone.ts").status, 404);
    assert!(!has(b, OLD) && has(b, NEW));
    assert!(ask(b, "GET", CHANGED, None, &[]).text().contains("\"default_ttl\":\"7m\""));
    assert!(has(b, &format!("/v1/keys/{}", made["key"]["key_id"].as_str().unwrap())));
    // And what it takes is there for the other.
    b.store("show/p.m3u8", playlist(8, 3));
    assert_eq!(read(a, &good, "show/p.m3u8").text(), playlist(8, 3));
}

/// What keeps it from being ready is named in its log, once the engine is there again.
#[test]
fn a_node_that_can_not_catch_up_says_so_and_its_log_says_why() {
    let cluster = Cluster::start(2, "");
    let b = &cluster.nodes[1];
    let why = || Request::new("GET", "/readyz").send(b.admin).text();
    let names = |what: &str| eventually(Duration::from_secs(20), || why().contains(what).then_some(())).is_some();
    cluster.links[1].cut();
    assert!(names("the engine that the nodes share does not answer"), "{}", why());
    let file = b.data_dir().join("viewer_revocations.json");
    std::fs::write(&file, r#"{ "format": 99, "revocations": [] }"#).unwrap();
    cluster.links[1].heal();
    assert!(names("waiting for what the other nodes have revoked and made: the log says"), "{}", why());
    assert!(!why().contains("viewer_revocations"), "who asks has no key: {}", why());
    let said = |line: &Value| line["error"].as_str().is_some_and(|error| error.contains("viewer_revocations.json, in form 99"));
    let lines = eventually(Duration::from_secs(20), || b.log().into_iter().rfind(said).map(|line| line["message"].to_string()));
    assert!(lines.is_some(), "{:?}", b.log());
    std::fs::remove_file(&file).unwrap();
    assert!(is_ready_within(b, Duration::from_secs(20)), "{}", why());
}

/// All servers of a cluster at once: they come back empty.
#[test]
fn an_engine_that_was_away_is_told_what_there_was_and_what_was_revoked_meanwhile() {
    const KEPT: &str = "/v1/namespaces/kept";
    let mut cluster = Cluster::start_on_shards_with(REQUIRED, 2);
    let [a, b] = &cluster.nodes[..] else { unreachable!() };
    let (vendor, _) = a.make_key(&["--namespace", NAMESPACE, "--role", "vendor"]);
    let (key, key_id) = a.make_key(&["--namespace", NAMESPACE, "--role", "readwrite"]);
    let (ended, ended_id) = token(a, &vendor);
    let (good, _) = token(b, &vendor);
    assert_eq!(ask(a, "PUT", KEPT, Some(json!({ "durable": "off", "default_ttl": "5m" })), &[]).status, 200);
    let record = json!({ "role": "readwrite", "namespaces": ["kept"], "label": "before" });
    let made: Value = serde_json::from_slice(&ask(b, "POST", "/v1/keys", Some(record), &[]).body).unwrap();
    let made = format!("/v1/keys/{}", made["key"]["key_id"].as_str().unwrap());
    soon("each has what the other has made", || has(b, KEPT) && has(a, &made));
    let streams = ["one", "two", "three", "four", "five", "six"];
    for (number, stream) in (0u64..).zip(streams) {
        let node = if number % 2 == 0 { a } else { b };
        node.store(&format!("{stream}/p.m3u8"), playlist(number, 3));
        node.store(&format!("{stream}/segment-0.ts"), bytes(number, 90_000));
    }
    a.store("show/p.m3u8", playlist(0, 3));
    assert_eq!((read(b, &ended, "show/p.m3u8").status, put_by(b, &key)), (200, 204));

    cluster.engine.servers.iter_mut().for_each(Engine::kill);
    let [a, b] = &cluster.nodes[..] else { unreachable!() };
    order(a, "viewer-revocations", &vendor, &json!({ "id": ended_id }));
    end_key(a, &key_id);
    assert_eq!((read(a, &ended, "show/p.m3u8").status, put_by(a, &key)), (401, 401), "there at once");
    assert_eq!(request(b, "PUT", "show/p.m3u8").body(playlist(1, 3)).send(b.address).status, 503);
    assert_eq!(changes(a, KEPT), 503);
    thread::sleep(AWAY);
    assert!(!is_ready(a) && !is_ready(b));

    cluster.engine.servers.iter_mut().for_each(Engine::launch);
    assert!(cluster.engine.is_whole_within(Duration::from_secs(30)));
    let [a, b] = &cluster.nodes[..] else { unreachable!() };
    for node in [a, b] {
        assert!(is_ready_within(node, Duration::from_secs(20)), "{:?}", node.log());
        for (number, stream) in (0u64..).zip(streams) {
            let list = by_encoder(node, &format!("{stream}/p.m3u8"));
            assert_eq!((list.status, list.text()), (200, playlist(number, 3)), "{stream}");
            let segment = by_encoder(node, &format!("{stream}/segment-0.ts"));
            assert_eq!((segment.status, segment.body), (200, bytes(number, 90_000)), "{stream}");
        }
        assert!(has(node, KEPT) && has(node, &made));
    }
    soon("what was revoked at one is revoked", || (read(b, &ended, "show/p.m3u8").status, put_by(b, &key)) == (401, 401));
    // Twice asked for, it happened once or not at all: both say the same.
    let list = read(a, &good, "show/p.m3u8").text();
    assert!(list == playlist(0, 3) || list == playlist(1, 3), "{list}");
    assert_eq!(read(b, &good, "show/p.m3u8").text(), list);
    let rules = |node: &Origin| ask(node, "GET", KEPT, None, &[]).header("etag").to_owned();
    soon("both have the same rules", || rules(a) == rules(b));
    // One that comes now knows all of it.
    cluster.join_shards(REQUIRED);
    let c = &cluster.nodes[2];
    assert!(has(c, KEPT) && has(c, &made));
    assert_eq!((read(c, &ended, "show/p.m3u8").status, put_by(c, &key)), (401, 401));
    assert_eq!(read(c, &good, "show/p.m3u8").text(), list);
}

/// Nobody could tell what it waits for otherwise: who watches over it, and the balancer before it, would see a server that is down.
#[test]
fn a_node_that_starts_without_its_engine_says_so_and_answers_nothing_else() {
    let mut engine = Engine::start(&[]);
    engine.kill();
    let folder = tempfile::tempdir().unwrap();
    let [config, data] = ["node.toml", "data"].map(|name| folder.path().join(name));
    fs::write(&config, settings(&format!("valkey://{}", engine.address), "a", "")).unwrap();
    let [objects, admin] = [(); 2].map(|()| SocketAddr::from(([127, 0, 0, 1], free_port())));
    let start = || {
        let mut command = Command::new(BINARY);
        command.args(["serve", "--listen", &objects.to_string(), "--admin-listen", &admin.to_string(), "--config"]).arg(&config);
        let command = command.arg("--data-dir").arg(&data).env_remove("SPRINGHEAD_SIGNING_KEY");
        Process(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    };
    let get = |path: &str, at: SocketAddr| Request::new("GET", path).try_send(at);
    let answers = |path: &str, at: SocketAddr, status: u16| {
        let answer = eventually(Duration::from_secs(30), || get(path, at).filter(|answer| answer.status == status));
        answer.unwrap_or_else(|| panic!("{path} at {at}: {:?}", get(path, at)))
    };
    let key = |file: &str| {
        let made: Value = serde_json::from_slice(&fs::read(data.join(file)).unwrap()).unwrap();
        made["api_key"].as_str().unwrap().to_owned()
    };
    let path = format!("/cache/{NAMESPACE}/show/a.ts");
    let put = || Request::new("PUT", path.as_str()).bearer(&key("encoder_api_key.json")).body("media").send(objects);
    let read = || Request::new("GET", path.as_str()).bearer(&key("player_api_key.json")).send(objects);
    let about = || Request::new("GET", "/v1").bearer(&key("admin_api_key.json")).send(admin);
    // It ends when it is told to, waiting or not.
    let mut first = start();
    answers("/readyz", admin, 503);
    assert!(Command::new("kill").args(["-TERM", &first.0.id().to_string()]).status().unwrap().success());
    let ended = eventually(Duration::from_secs(10), || first.0.try_wait().unwrap());
    assert!(ended.is_some_and(|status| status.success()), "{ended:?}");

    let _node = start();
    for at in [objects, admin] {
        let why = answers("/readyz", at, 503).text();
        assert!(why.starts_with("waiting for the engine that the nodes share: ") || why == "joining the other nodes\n", "{why}");
        assert_eq!(answers("/livez", at, 200).text(), "alive\n");
    }
    let metrics = answers("/metrics", admin, 200).text();
    for series in ["springhead_cluster_up 0", "springhead_cluster_members 1"] {
        assert!(metrics.lines().any(|line| line == series), "{series}: {metrics}");
    }
    let all = [("PUT", put()), ("GET", read()), ("GET /v1", about()), ("a node", get("/node/v1", objects).unwrap())];
    let others = [("a proxy", get("/entitlement", objects).unwrap()), ("the console", get("/", admin).unwrap())];
    for (what, answer) in all.into_iter().chain(others) {
        assert_eq!((answer.status, answer.header("retry-after")), (503, "1"), "{what}: {answer:?}");
        assert!(answer.problem().contains("engine-unreachable"), "{what}: {answer:?}");
    }
    let metrics = answers("/metrics", admin, 200).text();
    assert!(metrics.contains("springhead_cluster_refused_total{reason=\"write\"} 1"), "{metrics}");

    engine.launch();
    for at in [objects, admin] {
        answers("/readyz", at, 200);
    }
    assert_eq!((put().status, read().text(), about().status), (204, "media".to_owned(), 200));
    let is_up = || get("/metrics", admin).filter(|answer| answer.text().contains("\nspringhead_cluster_up 1\n"));
    assert!(eventually(Duration::from_secs(5), is_up).is_some());
}

/// One machine has the engine and a node: it is started anew. The other node comes back to the engine after that one.
#[test]
fn a_node_that_is_started_with_its_engine_waits_for_who_lives() {
    let mut cluster = Cluster::start(2, "");
    let names = || (0u64..24).map(|number| (number, format!("stream-{number}/segment-0.ts")));
    for (number, name) in names() {
        cluster.nodes[1].store(&name, bytes(number, 200_000));
    }
    cluster.nodes[1].store("show/p.m3u8", playlist(0, 3));
    let Cluster { nodes, links, engine, .. } = &mut cluster;
    links[1].cut();
    engine.kill();
    nodes[0].signal("KILL");
    nodes[0].wait();
    engine.launch();
    thread::scope(|scope| {
        scope.spawn(|| {
            let terms = || engine.ask("KEYS *:t").unwrap_or_default().lines().filter(|line| line.ends_with(":t")).count();
            assert!(eventually(Duration::from_secs(20), || (terms() == 12).then_some(())).is_some(), "it does not come");
            links[1].heal();
        });
        nodes[0].launch();
    });
    let [a, b] = &cluster.nodes[..] else { unreachable!() };
    for (number, name) in names() {
        let read = eventually(Duration::from_secs(20), || Some(a.get(&name)).filter(|read| read.status != 503)).unwrap();
        assert_eq!((read.status, read.body), (200, bytes(number, 200_000)), "{name}");
    }
    a.store("show/p.m3u8", playlist(1, 3));
    soon("both have the newest", || [a, b].iter().all(|node| node.get("show/p.m3u8").text() == playlist(1, 3)));
}
