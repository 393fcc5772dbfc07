//! Several nodes that share one engine, from outside: what one has answered, every one serves.

mod away;
mod checker;
mod counted;
mod growing;
mod history;
mod kit;
mod lasting;
mod made;
mod over_tls;
mod pair_changes;
mod pairs;
mod players;
mod room;
mod shards;
mod starved;
mod tokens;
mod told;
mod walked;

use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use self::kit::{Cluster, Engine, settings};
use crate::harness::{BINARY, Finally, NAMESPACE, Origin, bytes, eventually};
use crate::wire::{Answer, Request};

/// A media playlist of these segments.
fn playlist(first: u64, count: u64) -> String {
    let segments: String = (first..first + count).map(|number| format!("#EXTINF:2.0,\nsegment-{number}.ts\n")).collect();
    format!("#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:{first}\n{segments}")
}

fn request(node: &Origin, method: &str, key: &str) -> Request {
    let key_of = if matches!(method, "GET" | "HEAD") { &node.player } else { &node.encoder };
    Request::new(method, node.path(key)).bearer(key_of)
}

fn assert_same(one: &Answer, other: &Answer) {
    for name in ["etag", "last-modified", "content-type", "content-length"] {
        assert_eq!(one.header(name), other.header(name), "{name}");
    }
    assert_eq!((one.status, &one.body), (other.status, &other.body));
}

#[test]
fn what_one_node_takes_every_node_serves() {
    let cluster = Cluster::start(2, "");
    let [a, b] = &cluster.nodes[..] else { unreachable!() };
    for round in 0..20 {
        let (list, segment) = (playlist(round, 4), bytes(round, 300_000));
        a.store("show/p.m3u8", list.clone());
        assert_eq!(b.get("show/p.m3u8").text(), list, "round {round}");
        b.store(&format!("show/segment-{round}.ts"), segment.clone());
        assert_eq!(a.get(&format!("show/segment-{round}.ts")).body, segment, "round {round}");
    }
    assert_same(&a.get("show/p.m3u8"), &b.get("show/p.m3u8"));
    assert_same(&a.get("show/segment-3.ts"), &b.get("show/segment-3.ts"));
    // In chunks, with what its encoder says of it.
    let text = request(a, "PUT", "other/text").header("Content-Type", "text/plain").header("Cache-Control", "max-age=7");
    assert_eq!(text.chunked("words", 2).send(a.address).status, 204);
    let read = b.get("other/text");
    assert_eq!((read.text(), read.header("content-type")), ("words".to_owned(), "text/plain"));
    assert_eq!(read.header("cache-control"), a.get("other/text").header("cache-control"));
    // What has never been read there: what is known of it, and a part.
    let large = bytes(77, 900_000);
    a.store("show/large.ts", large.clone());
    let head = request(b, "HEAD", "show/large.ts").send(b.address);
    assert_eq!((head.status, head.header("content-length")), (200, "900000"));
    let part = request(b, "GET", "show/large.ts").header("Range", "bytes=100000-100099").send(b.address);
    assert_eq!((part.status, &part.body[..]), (206, &large[100_000..100_100]));
    let same = request(b, "GET", "show/large.ts").header("If-None-Match", head.header("etag")).send(b.address);
    assert_eq!(same.status, 304);
    assert_same(&a.get("show/large.ts"), &b.get("show/large.ts"));
    assert_eq!(b.get("show/nothing.ts").status, 404);
}

#[test]
fn conditions_are_judged_by_what_is_there_for_all() {
    let cluster = Cluster::start(2, "");
    let [a, b] = &cluster.nodes[..] else { unreachable!() };
    let if_none = |node: &Origin, body: &str| {
        request(node, "PUT", "c/one").header("If-None-Match", "*").body(body).send(node.address).status
    };
    assert_eq!((if_none(a, "first"), if_none(b, "second"), if_none(a, "third")), (204, 412, 412));
    let tag = a.get("c/one").header("etag").to_owned();
    let if_match = |node: &Origin, tag: &str, body: &str| {
        request(node, "PUT", "c/one").header("If-Match", tag).body(body).send(node.address).status
    };
    assert_eq!(if_match(b, &tag, "next"), 204);
    assert_eq!(if_match(a, &tag, "late"), 412);
    assert_eq!(a.get("c/one").text(), "next");
    let delete = |node: &Origin, tag: &str| request(node, "DELETE", "c/one").header("If-Match", tag).send(node.address).status;
    assert_eq!(delete(a, &tag), 412);
    assert_eq!(b.get("c/one").text(), "next");
    assert_eq!(delete(a, b.get("c/one").header("etag")), 204);
    assert_eq!((b.get("c/one").status, delete(b, "*")), (404, 412));
    // Of many at once on both nodes one is the first.
    let winners: usize = std::thread::scope(|scope| {
        let writers = [a, b, a, b, a, b].into_iter().enumerate().map(|(number, node)| {
            scope.spawn(move || {
                let write = request(node, "PUT", "c/race").header("If-None-Match", "*").body(format!("{number}"));
                write.send(node.address).status
            })
        });
        let writers: Vec<_> = writers.collect();
        writers.into_iter().filter(|_| true).map(|writer| usize::from(writer.join().unwrap() == 204)).sum()
    });
    assert_eq!(winners, 1);
    assert_eq!(a.get("c/race").text(), b.get("c/race").text());
}

#[test]
fn what_is_removed_or_has_expired_is_gone_for_all() {
    let cluster = Cluster::start(2, "");
    let [a, b] = &cluster.nodes[..] else { unreachable!() };
    for (key, body) in [("x/p.m3u8", playlist(0, 3)), ("x/segment-0.ts", "media".to_owned())] {
        a.store(key, body.clone());
        assert_eq!(b.get(key).status, 200);
        assert_eq!(request(b, "DELETE", key).send(b.address).status, 204);
        assert_eq!((a.get(key).status, b.get(key).status), (404, 404), "{key}");
        b.store(key, body.clone());
        assert_eq!(a.get(key).text(), body);
    }
    for node in [a, b] {
        let short = Request::new("PUT", format!("{}?ttl_seconds=1", node.path("x/short.ts"))).bearer(&node.encoder).body("short");
        assert_eq!(short.send(node.address).status, 204);
        assert_eq!((a.get("x/short.ts").status, b.get("x/short.ts").status), (200, 200));
        let gone = eventually(Duration::from_secs(5), || (a.get("x/short.ts").status == 404).then_some(()));
        assert!(gone.is_some());
        // By as much as two clocks may differ.
        let gone = eventually(Duration::from_millis(500), || (b.get("x/short.ts").status == 404).then_some(()));
        assert!(gone.is_some(), "it has expired, and is served elsewhere");
    }
}

#[test]
fn what_is_hot_takes_no_body_from_the_engine() {
    let cluster = Cluster::start(2, "");
    let [a, b] = &cluster.nodes[..] else { unreachable!() };
    let (segment, list) = (bytes(5, 1_000_000), playlist(0, 200));
    a.store("h/segment.ts", segment.clone());
    a.store("h/p.m3u8", list.clone());
    assert_eq!(b.get("h/segment.ts").body, segment);
    assert_eq!(b.get("h/p.m3u8").text(), list);
    let before = counted::count(&cluster.engine, "get");
    for _ in 0..100 {
        assert_eq!(b.get("h/segment.ts").body.len(), segment.len());
        assert_eq!(b.get("h/p.m3u8").text(), list);
        assert_eq!(a.get("h/segment.ts").body.len(), segment.len());
    }
    assert_eq!(counted::count(&cluster.engine, "get"), before, "of 300 reads of what is hot");
}

#[test]
fn a_node_that_comes_later_knows_what_there_is() {
    let mut cluster = Cluster::start(1, "");
    let a = &cluster.nodes[0];
    for number in 0..6 {
        a.store(&format!("later/segment-{number}.ts"), bytes(number, 50_000));
    }
    a.store("later/p.m3u8", playlist(0, 6));
    a.store("later/gone.ts", "x");
    assert_eq!(request(a, "DELETE", "later/gone.ts").send(a.address).status, 204);
    cluster.join("");
    let [a, b] = &cluster.nodes[..] else { unreachable!() };
    assert_eq!(b.get("later/p.m3u8").text(), playlist(0, 6));
    assert_eq!(b.get("later/segment-5.ts").body, bytes(5, 50_000));
    assert_eq!(b.get("later/gone.ts").status, 404);
    a.store("later/p.m3u8", playlist(1, 6));
    assert_eq!(b.get("later/p.m3u8").text(), playlist(1, 6));
    let streams = |node: &Origin| Request::new("GET", "/v1/streams").send(node.admin).text();
    let knows = |node: &Origin| eventually(Duration::from_secs(5), || streams(node).contains("later/p.m3u8").then_some(()));
    assert!(knows(a).is_some() && knows(b).is_some(), "{}", streams(b));
}

#[test]
fn a_silent_engine_is_waited_for_and_an_empty_one_is_told_what_there_was() {
    let mut cluster = Cluster::start(2, "");
    let list = playlist(0, 3);
    cluster.nodes[0].store("e/p.m3u8", list.clone());
    cluster.nodes[0].store("e/segment-0.ts", bytes(1, 100_000));
    cluster.nodes[1].store("e/segment-1.ts", bytes(2, 100_000));
    assert_eq!(cluster.nodes[1].get("e/p.m3u8").text(), list);
    cluster.engine.kill();
    let [a, b] = &cluster.nodes[..] else { unreachable!() };
    // What is written once is served from memory for some seconds; a playlist never, for it may be an old one.
    assert_eq!(a.get("e/segment-0.ts").status, 200);
    let refused = b.get("e/p.m3u8");
    assert_eq!((refused.status, refused.header("retry-after")), (503, "1"), "{refused:?}");
    assert!(refused.problem().contains("engine-unreachable"), "{}", refused.problem());
    let unready =
        eventually(Duration::from_secs(10), || (Request::new("GET", "/readyz").send(a.admin).status == 503).then_some(()));
    assert!(unready.is_some(), "load balancers are told");
    let why = Request::new("GET", "/readyz").send(a.address).text();
    assert!(why.starts_with("the engine that the nodes share does not answer: "), "{why}");
    assert!(a.metric("springhead_cluster_up") == 0.0 && b.metric("springhead_cluster_refused_total{reason=\"read\"}") > 0.0);
    let forgotten = eventually(Duration::from_secs(10), || (a.get("e/segment-0.ts").status == 503).then_some(()));
    assert!(forgotten.is_some(), "for some seconds, no longer");
    cluster.engine.launch();
    let [a, b] = &cluster.nodes[..] else { unreachable!() };
    let back =
        |node: &Origin, key: &str| eventually(Duration::from_secs(10), || Some(node.get(key)).filter(|read| read.status == 200));
    assert_eq!(back(b, "e/p.m3u8").unwrap().text(), list);
    assert_eq!(back(a, "e/segment-1.ts").unwrap().body, bytes(2, 100_000));
    assert_eq!(back(b, "e/segment-0.ts").unwrap().body, bytes(1, 100_000));
    let ready =
        eventually(Duration::from_secs(10), || (Request::new("GET", "/readyz").send(a.admin).status == 200).then_some(()));
    assert!(ready.is_some());
    a.store("e/p.m3u8", playlist(1, 3));
    assert_eq!(b.get("e/p.m3u8").text(), playlist(1, 3));
    let told = |name: &str| a.metric(name) + b.metric(name);
    // Figures are taken up a few times a second.
    let is_up = || (told("springhead_cluster_asserted_total") >= 3.0 && told("springhead_cluster_up") == 2.0).then_some(());
    assert!(eventually(Duration::from_secs(5), is_up).is_some(), "{}", a.metrics());
    assert!(told("springhead_cluster_commit_seconds_count") >= 3.0 && told("springhead_cluster_fetches_total") >= 1.0);
    assert!(told("springhead_cluster_sessions_total") >= 48.0 && a.metric("springhead_cluster_members") == 2.0);
}

#[test]
fn a_full_engine_takes_no_uploads_and_removes_all_the_same() {
    let cluster = Cluster::start(2, "");
    let [a, b] = &cluster.nodes[..] else { unreachable!() };
    assert_eq!(cluster.engine.ask("CONFIG SET maxmemory 6mb").unwrap().lines().next(), Some("+OK"));
    let mut stored = 0;
    let refused = loop {
        let answer = request(a, "PUT", &format!("full/{stored}.ts")).body(bytes(stored, 500_000)).send(a.address);
        if answer.status != 204 {
            break answer;
        }
        stored += 1;
        assert!(stored < 50, "it takes everything");
    };
    assert_eq!((refused.status, refused.header("retry-after")), (503, "1"), "{refused:?}");
    assert!(refused.problem().contains("engine-full"), "{}", refused.problem());
    assert!(a.metric("springhead_cluster_refused_total{reason=\"full\"}") >= 1.0);
    assert_eq!(b.get("full/0.ts").body, bytes(0, 500_000), "what is there is served");
    // Of what was refused there is nothing, and what it would have replaced is there as it was.
    assert_eq!(b.get(&format!("full/{stored}.ts")).status, 404);
    let over = request(a, "PUT", "full/1.ts").body(bytes(99, 900_000)).send(a.address);
    assert_eq!(over.status, 503, "{}", over.problem());
    for node in [a, b] {
        assert_eq!(node.get("full/1.ts").body, bytes(1, 500_000));
    }
    for number in 0..2 {
        assert_eq!(request(b, "DELETE", &format!("full/{number}.ts")).send(b.address).status, 204);
    }
    assert_eq!(a.get("full/0.ts").status, 404);
    let again = || Some(request(a, "PUT", "full/again.ts").body("x").send(a.address)).filter(|answer| answer.status == 204);
    assert!(eventually(Duration::from_secs(10), again).is_some(), "there is room again");
}

#[test]
fn nodes_that_do_not_fit_together_are_told() {
    let cluster = Cluster::start(1, "");
    let a = &cluster.nodes[0];
    let folder = tempfile::tempdir().unwrap();
    let join = |name: &str| {
        let config = folder.path().join(format!("{name}.toml"));
        std::fs::write(&config, settings(&format!("valkey://{}", cluster.engine.address), name, "")).unwrap();
        // With keys of its own.
        Origin::start_with(&["--config", config.to_str().unwrap()])
    };
    let told = |begins: &str| {
        let is = |line: &serde_json::Value| line["message"].as_str().is_some_and(|message| message.starts_with(begins));
        let found = eventually(Duration::from_secs(30), || a.log().iter().any(is).then_some(()));
        assert!(found.is_some(), "no line that begins with {begins:?}: {:?}", a.log());
    };
    let _other = join("another");
    told("node another has other signing keys or viewer keys than this one");
    let _twin = join("node-0");
    told("another process goes by this node's name, node-0");
}

#[test]
fn the_command_tells_of_engine_and_nodes_and_what_is_to_be_mended() {
    let cluster = Cluster::start(2, "");
    let [a, b] = &cluster.nodes[..] else { unreachable!() };
    a.store("s/p.m3u8", playlist(0, 1));
    let status = |node: &Origin| {
        let ended = node.run(&["cluster", "status", "--config", &cluster.config(0)]);
        (ended.status.code(), String::from_utf8_lossy(&ended.stdout).into_owned())
    };
    let (code, said) = status(a);
    assert!(
        said.contains("primary of 12 lanes, valkey ") && said.contains("node    node-0 ") && said.contains("node    node-1 "),
        "{said}"
    );
    assert!(code == Some(1) && said.contains("its maxmemory is not set"), "{said}");
    cluster.engine.ask("CONFIG SET maxmemory 100mb").unwrap();
    let (code, said) = status(b);
    assert!(code == Some(0) && !said.contains("fault"), "{said}");
    cluster.engine.ask("CONFIG SET maxmemory-policy allkeys-lru").unwrap();
    assert!(status(b).1.contains("maxmemory-policy has to be noeviction"));
}

#[test]
fn nodes_that_are_rolled_one_by_one_send_nobody_away() {
    let mut cluster = Cluster::start(2, "");
    cluster.nodes[0].store("roll/p.m3u8", playlist(0, 1));
    let (keys, stop) = ((cluster.nodes[0].player.clone(), cluster.nodes[0].encoder.clone()), AtomicBool::new(false));
    // As a load balancer has it: where to, and whether it is ready.
    let places: Vec<_> = cluster.nodes.iter().map(|node| Mutex::new((node.address, true))).collect();
    let asked = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let (_over, places, stop, asked, keys) = (Finally(&stop), &places, &stop, &asked, &keys);
        scope.spawn(move || {
            while !stop.load(Ordering::SeqCst) {
                for place in places {
                    let address = place.lock().0;
                    let answer = Request::new("GET", "/readyz").try_send(address);
                    let mut place = place.lock();
                    if place.0 == address {
                        place.1 = answer.is_some_and(|answer| answer.status == 200);
                    }
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        for client in 0..4_u64 {
            scope.spawn(move || {
                let mut count = client;
                while !stop.load(Ordering::SeqCst) {
                    count += 1;
                    let turn = usize::try_from(count).unwrap();
                    let ready = (0..2).map(|offset| *places[(turn + offset) % 2].lock()).find(|(_, is_ready)| *is_ready);
                    let Some((address, _)) = ready else { panic!("no node is ready") };
                    let path = format!("/cache/{NAMESPACE}/roll/p.m3u8");
                    let request = match client {
                        0 => Request::new("PUT", path).bearer(&keys.1).body(playlist(count, 1)),
                        _ => Request::new("GET", path).bearer(&keys.0),
                    };
                    let answer = request.send(address);
                    assert!(matches!(answer.status, 200 | 204), "{answer:?}");
                    asked.fetch_add(1, Ordering::Relaxed);
                    std::thread::sleep(Duration::from_millis(5));
                }
            });
        }
        for (node, place) in cluster.nodes.iter_mut().zip(places) {
            node.signal("TERM");
            assert!(node.wait().success());
            node.launch();
            *place.lock() = (node.address, false);
            let is_back = || place.lock().1.then_some(());
            assert!(eventually(Duration::from_secs(20), is_back).is_some(), "it does not join");
        }
    });
    assert!(asked.load(Ordering::Relaxed) > 200, "only {asked:?} were asked");
}

#[test]
fn what_is_revoked_on_one_node_is_refused_on_all() {
    const VIEWERS: &str = "[namespaces.live-origin.viewers]\nmode = \"edge\"\n";
    let mut cluster = Cluster::start(2, VIEWERS);
    let [a, b] = &cluster.nodes[..] else { unreachable!() };
    let (key, id) = a.make_key(&["--namespace", NAMESPACE, "--role", "readonly"]);
    let read = |node: &Origin| Request::new("GET", node.path("r/none.ts")).bearer(&key).send(node.address).status;
    assert_eq!((read(a), read(b)), (404, 404));
    let revoked = a.run(&["keys", "revoke", &id]);
    assert!(revoked.status.success(), "{revoked:?}");
    let is_refused = |node: &Origin| eventually(Duration::from_secs(10), || (read(node) == 401).then_some(()));
    assert!(is_refused(a).is_some() && is_refused(b).is_some());
    let order = r#"{"id": "v-0123456789abcdef"}"#;
    let path = format!("/v1/namespaces/{NAMESPACE}/viewer-revocations");
    let (vendor, _) = a.make_key(&["--namespace", NAMESPACE, "--role", "vendor"]);
    let ask = |method: &str| Request::new(method, path.as_str()).bearer(&vendor);
    let ended = ask("POST").header("Content-Type", "application/json").body(order).send(b.admin);
    assert_eq!(ended.status, 201, "{}", ended.text());
    let knows = || ask("GET").send(a.admin).text().contains("0123456789abcdef").then_some(());
    assert!(eventually(Duration::from_secs(10), knows).is_some(), "the other node has it, too");
    // What the engine has lost, those tell it who have it.
    cluster.engine.kill();
    cluster.engine.launch();
    cluster.join(VIEWERS);
    assert!(is_refused(&cluster.nodes[2]).is_some());
}

#[test]
fn an_engine_that_throws_things_away_is_refused_at_the_start() {
    let engine = Engine::start(&["--maxmemory-policy", "allkeys-lru"]);
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("node.toml");
    std::fs::write(&config, settings(&format!("valkey://{}", engine.address), "a", "")).unwrap();
    let mut command = Command::new(BINARY);
    command.args(["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--config"]).arg(&config);
    let ended = command.arg("--data-dir").arg(folder.path().join("data")).output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(said.contains("maxmemory-policy has to be noeviction"), "{said}");
}
