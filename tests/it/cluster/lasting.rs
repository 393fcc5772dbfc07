//! A bucket below what nodes share: what is in it outlives the engine and all nodes.

use std::time::Duration;

use super::kit::{Cluster, Engine, Link};
use super::{playlist, request};
use crate::cloud::{BUCKET, Kit, SECRET, Server};
use crate::harness::{NAMESPACE, Origin, bytes, eventually};
use crate::wire::Request;

/// Nodes that share an engine and a bucket.
struct WithBucket {
    cluster: Cluster,
    store: Server,
    more: String,
}

impl WithBucket {
    fn start(count: usize, more: &str) -> Self {
        let store = Server::start(Kit::Moto).unwrap();
        let more = format!("durable = \"s3://{BUCKET}/live\"\n{more}");
        let mut cluster = Cluster::start(0, "");
        cluster.environment = environment(&store);
        let mut all = Self { cluster, store, more };
        for _ in 0..count {
            all.join();
        }
        all
    }

    fn join(&mut self) {
        self.cluster.join(&self.more);
    }

    /// All nodes end at once, and the engine with all that it has; and begin anew.
    fn lose_all(&mut self) {
        self.cluster.nodes.clear();
        self.cluster.links.clear();
        self.cluster.engine.kill();
        self.cluster.engine.launch();
        self.join();
        self.join();
    }

    fn has(&self, name: &str) -> bool {
        self.store.plain("GET", &format!("live/{NAMESPACE}/{name}"), b"").status == 200
    }
}

fn environment(store: &Server) -> Vec<(String, String)> {
    let access = store.access();
    assert!(access.0.iter().any(|(_, value)| value == SECRET));
    access.0
}

fn soon<T>(what: &str, ask: impl FnMut() -> Option<T>) -> T {
    eventually(Duration::from_secs(30), ask).unwrap_or_else(|| panic!("not in time: {what}"))
}

/// It is not there, and it may take a moment until that is known.
fn is_absent(node: &Origin, key: &str) {
    let status = soon(key, || Some(node.get(key).status).filter(|status| *status != 503));
    assert_eq!(status, 404, "{key}");
}

/// Soon after an engine has begun it takes its time: it is sent again then.
fn delete(node: &Origin, key: &str) -> u16 {
    soon(key, || Some(request(node, "DELETE", key).send(node.address).status).filter(|status| *status != 503))
}

#[test]
fn what_is_acknowledged_as_durable_outlives_engine_and_nodes() {
    let mut all = WithBucket::start(2, "ack = \"durable\"\n");
    {
        let [a, b] = &all.cluster.nodes[..] else { unreachable!() };
        a.store("show/p.m3u8", playlist(0, 3));
        a.store("show/1.ts", bytes(1, 300_000));
        a.store("show/2.ts", bytes(2, 50_000));
        // Of two nodes that write the same name, the newer one stays.
        a.store("show/both.ts", "old");
        b.store("show/both.ts", "newer");
        b.store("show/both.ts", "newest");
        a.store("show/p.m3u8", playlist(1, 3));
        a.store("show/gone.ts", "x");
        assert_eq!(delete(b, "show/gone.ts"), 204);
        assert!(all.has("show/1.ts") && all.has("show/p.m3u8") && !all.has("show/gone.ts"), "answered when it was so");
    }
    all.lose_all();
    let [a, b] = &all.cluster.nodes[..] else { unreachable!() };
    assert_eq!(b.get("show/1.ts").body, bytes(1, 300_000));
    assert_eq!(a.get("show/both.ts").text(), "newest");
    assert_eq!(b.get("show/p.m3u8").body, playlist(1, 3).into_bytes());
    for node in [a, b] {
        is_absent(node, "show/gone.ts");
        is_absent(node, "show/never.ts");
    }
    // What stood still before does so after it, for whoever looks.
    for node in [a, b] {
        let is_followed = || (node.metric("springhead_streams_followed{namespace=\"live-origin\"}") == 1.0).then_some(());
        soon("the stream is followed", is_followed);
    }
    // It goes on from there: what is written now is newer than all that was there.
    b.store("show/both.ts", "after all");
    assert_eq!(a.get("show/both.ts").text(), "after all");
    assert_eq!(delete(a, "show/2.ts"), 204);
    is_absent(b, "show/2.ts");
    all.lose_all();
    let [a, b] = &all.cluster.nodes[..] else { unreachable!() };
    assert_eq!(b.get("show/both.ts").text(), "after all");
    is_absent(a, "show/2.ts");
    assert_eq!(a.get("show/1.ts").body, bytes(1, 300_000), "through the other node, from the bucket");
}

#[test]
fn nobody_is_told_that_something_is_not_there_before_it_is_known_what_the_bucket_has() {
    let mut all = WithBucket::start(1, "ack = \"durable\"\n");
    all.cluster.nodes[0].store("show/1.ts", bytes(1, 1_000));
    all.cluster.nodes.clear();
    all.cluster.links.clear();
    all.cluster.engine.kill();
    all.cluster.engine.launch();
    all.store.signal("STOP");
    all.join();
    let node = &all.cluster.nodes[0];
    assert_eq!(node.get("show/1.ts").status, 503, "nobody knows");
    let put = request(node, "PUT", "show/1.ts").header("If-None-Match", "*").body("y").send(node.address);
    assert_eq!(put.status, 503, "nor whether there is one");
    // What comes in is shown all the same, and is answered when the bucket has it.
    let put = request(node, "PUT", "show/3.ts").body("z").send(node.address);
    assert_eq!((put.status, node.get("show/3.ts").text().as_str()), (503, "z"));
    assert!(Request::new("GET", "/readyz").send(node.admin).text().contains("durable tier"), "and is told");
    all.store.signal("CONT");
    let node = &all.cluster.nodes[0];
    soon("what the bucket has", || (node.get("show/1.ts").body == bytes(1, 1_000)).then_some(()));
    is_absent(node, "show/2.ts");
    soon("what has waited", || all.has("show/3.ts").then_some(()));
}

#[test]
fn what_a_node_has_not_brought_there_is_brought_by_another_and_what_is_over_the_capacity_is_read_there() {
    let mut all = WithBucket::start(2, "shared_capacity = \"4MiB\"\nmax_object_size = \"1MiB\"\nhot_capacity = \"2MiB\"\n");
    let [a, _] = &all.cluster.nodes[..] else { unreachable!() };
    a.store("show/0.ts", bytes(0, 1_000));
    // While the bucket is away uploads are taken all the same; and the node that took them dies.
    soon("the first", || all.has("show/0.ts").then_some(()));
    all.store.signal("STOP");
    all.cluster.nodes[0].store("show/orphan.ts", bytes(7, 1_000));
    all.cluster.nodes[0].signal("KILL");
    all.cluster.nodes[0].wait();
    all.store.signal("CONT");
    soon("an orphan", || all.has("show/orphan.ts").then_some(()));
    all.cluster.nodes[0].launch();
    let [b, c] = &all.cluster.nodes[..] else { unreachable!() };
    let segment = |number: u64| format!("show/segment-{number}.ts");
    for number in 0..20 {
        b.store(&segment(number), bytes(number, 400_000));
        soon("a segment", || all.has(&segment(number)).then_some(()));
        std::thread::sleep(Duration::from_millis(100));
    }
    // It is looked at once a second, when something is stored.
    let used = || {
        b.store("show/p.m3u8", playlist(17, 3));
        let told = all.cluster.engine.ask("INFO memory").unwrap_or_default();
        let used =
            told.lines().find_map(|line| line.strip_prefix("used_memory_dataset:")).and_then(|used| used.trim().parse().ok());
        used.filter(|used: &u64| *used < 6 << 20)
    };
    soon("room at the engine", used);
    for number in 0..20 {
        assert_eq!(c.get(&segment(number)).body, bytes(number, 400_000), "{number}: from the engine or the bucket");
    }
    let part = request(c, "GET", &segment(0)).header("Range", "bytes=1000-1999").send(c.address);
    assert_eq!((part.status, &part.body[..]), (206, &bytes(0, 400_000)[1_000..2_000]));
}

/// Engine trouble while the bucket is away too: what is known is served, and nothing is lost when both are back.
#[test]
fn the_engine_comes_back_empty_while_the_bucket_is_away() {
    let mut all = WithBucket::start(2, "");
    all.cluster.nodes[0].store("show/1.ts", bytes(1, 1_000));
    soon("the first", || all.has("show/1.ts").then_some(()));
    all.store.signal("STOP");
    all.cluster.nodes[1].store("show/2.ts", bytes(2, 1_000));
    all.cluster.engine.kill();
    all.cluster.engine.launch();
    // The nodes tell it what they know.
    for node in &all.cluster.nodes {
        soon("what is in memory", || (node.get("show/2.ts").body == bytes(2, 1_000)).then_some(()));
    }
    all.store.signal("CONT");
    soon("what has waited", || all.has("show/2.ts").then_some(()));
    all.lose_all();
    for (node, number) in all.cluster.nodes.iter().zip([2, 1]) {
        assert_eq!(node.get(&format!("show/{number}.ts")).body, bytes(number, 1_000));
    }
}

#[test]
fn what_was_stored_while_there_was_no_bucket_outlasts_what_an_earlier_engine_has_left_there() {
    let mut all = WithBucket::start(1, "ack = \"durable\"\n");
    all.cluster.nodes[0].store("show/1.ts", "old");
    all.cluster.nodes[0].store("show/2.ts", "two");
    let with = std::mem::replace(&mut all.more, "durable = \"off\"\n".to_owned());
    all.lose_all();
    all.cluster.nodes[0].store("show/1.ts", "newer");
    all.cluster.nodes.clear();
    all.cluster.links.clear();
    all.more = with;
    all.join();
    let node = &all.cluster.nodes[0];
    is_absent(node, "show/never.ts");
    assert_eq!((node.get("show/1.ts").text().as_str(), node.get("show/2.ts").text().as_str()), ("newer", "two"));
    node.store("show/1.ts", "newest");
    assert_eq!(all.store.plain("GET", &format!("live/{NAMESPACE}/show/1.ts"), b"").body, b"newest");
}

#[test]
fn what_a_server_by_itself_has_left_in_the_bucket_is_served_and_written_over() {
    let store = Server::start(Kit::Moto).unwrap();
    let settings = format!("[namespaces.{NAMESPACE}]\ndurable = \"s3://{BUCKET}/live\"\nack = \"durable\"\n");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("alone.toml");
    std::fs::write(&path, settings).unwrap();
    let alone = Origin::start_in(&["--config", path.to_str().unwrap()], &environment(&store));
    alone.store("show/1.ts", bytes(1, 1_000));
    drop(alone);
    let engine = Engine::start(&[]);
    let link = Link::to(&engine);
    let more = format!("durable = \"s3://{BUCKET}/live\"\nack = \"durable\"\n");
    let text = super::kit::settings(&format!("valkey://{}", link.address), "node", &more);
    std::fs::write(&path, text).unwrap();
    let node = Origin::start_in(&["--config", path.to_str().unwrap()], &environment(&store));
    soon("what it has left", || (node.get("show/1.ts").body == bytes(1, 1_000)).then_some(()));
    node.store("show/1.ts", bytes(2, 1_000));
    assert_eq!(store.plain("GET", &format!("live/{NAMESPACE}/show/1.ts"), b"").body, bytes(2, 1_000));
}
