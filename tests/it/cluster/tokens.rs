//! Viewers' tokens on several nodes: one that any of them has made opens all of them, also what two encoders write to two nodes; and one that is
//! ended at one opens none.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::kit::Cluster;
use super::playlist;
use crate::harness::{NAMESPACE, Origin, eventually};
use crate::pairs::PAIR;
use crate::tokens::code;
use crate::wire::{Answer, Request};

pub(super) const REQUIRED: &str = "[namespaces.live-origin.viewers]\nmode = \"required\"\n";

pub(super) fn order(node: &Origin, what: &str, vendor: &str, order: &Value) -> Value {
    let ask = Request::new("POST", format!("/v1/namespaces/{NAMESPACE}/{what}")).bearer(vendor);
    let answer = ask.header("Content-Type", "application/json").body(order.to_string()).send(node.admin);
    assert_eq!(answer.status, 201, "{}", answer.text());
    serde_json::from_slice(&answer.body).unwrap()
}

pub(super) fn read(node: &Origin, token: &str, key: &str) -> Answer {
    Request::new("GET", format!("/cache/{NAMESPACE}/~{token}/{key}")).send(node.address)
}

#[test]
fn a_token_of_any_node_opens_all_of_them_and_what_is_ended_at_one_opens_none() {
    let mut cluster = Cluster::start(3, REQUIRED);
    let [a, b, c] = &cluster.nodes[..] else { unreachable!() };
    a.store("show/p.m3u8", playlist(0, 3));
    b.store("show/segment-0.ts", "segment");
    // A key that one node has made is good at all of them: they have the same signing keys.
    let (vendor, _) = a.make_key(&["--namespace", NAMESPACE, "--role", "vendor"]);
    let (edge, _) = a.make_key(&["--namespace", NAMESPACE, "--role", "readonly", "--edge"]);
    let minted = {
        let made = b.run(&["token", "viewer", "--namespace", NAMESPACE, "--prefix", "show/"]);
        assert!(made.status.success(), "{made:?}");
        let made: Value = serde_json::from_slice(&made.stdout).unwrap();
        made["token"].as_str().unwrap().to_owned()
    };
    let mut longest = Duration::ZERO;
    for (round, vends) in [a, b, c, a, b].into_iter().enumerate() {
        let made = order(vends, "viewer-tokens", &vendor, &json!({ "prefix": "show/", "expires_in": "10m" }));
        let (token, id) = (made["token"].as_str().unwrap(), made["token_id"].as_str().unwrap());
        for node in [a, b, c] {
            let by_edge = Request::new("GET", format!("/cache/{NAMESPACE}/~{token}/show/p.m3u8")).bearer(&edge);
            assert_eq!((read(node, token, "show/p.m3u8").status, by_edge.send(node.address).status), (200, 200));
            assert_eq!(read(node, token, "show/segment-0.ts").text(), "segment", "each knows what it says by now");
            assert_eq!(read(node, token, "other/p.m3u8").status, 403);
        }
        let ends = [b, c, a][round % 3];
        order(ends, "viewer-revocations", &vendor, &json!({ "id": id }));
        let begun = Instant::now();
        assert_eq!(read(ends, token, "show/p.m3u8").status, 401, "there at once");
        for node in [a, b, c] {
            let refused = || Some(read(node, token, "show/segment-0.ts")).filter(|read| read.status == 401);
            let refused = eventually(Duration::from_secs(10), refused).expect("it is refused everywhere");
            assert_eq!(code(&refused), "viewer-token-revoked");
        }
        longest = longest.max(begun.elapsed());
    }
    // By the promise a second; other tests are at work beside this one, which take more than that from it.
    assert!(longest < Duration::from_secs(5), "{longest:?}");
    eprintln!("what is revoked at one of three nodes is refused at all after {longest:?} at most");
    for node in [a, b, c] {
        assert_eq!(read(node, &minted, "show/p.m3u8").status, 200, "others are good");
    }
    // All of a stream is ended, and one that joins then knows of it.
    order(c, "viewer-revocations", &vendor, &json!({ "prefix": "show/" }));
    let refused = |node: &Origin| (read(node, &minted, "show/p.m3u8").status == 401).then_some(());
    assert!(
        eventually(Duration::from_secs(10), || refused(a)).is_some()
            && eventually(Duration::from_secs(10), || refused(b)).is_some()
    );
    cluster.join(REQUIRED);
    assert!(eventually(Duration::from_secs(10), || refused(&cluster.nodes[3])).is_some());
}

#[test]
fn a_token_for_a_public_stream_opens_that_on_all_nodes_and_not_what_it_is_made_of() {
    let cluster = Cluster::start(2, &format!("{PAIR}{REQUIRED}"));
    let [a, b] = &cluster.nodes[..] else { unreachable!() };
    let master = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1000\np.m3u8\n";
    let (vendor, _) = a.make_key(&["--namespace", NAMESPACE, "--role", "vendor"]);
    let made = order(b, "viewer-tokens", &vendor, &json!({ "prefix": "live/", "expires_in": "10m" }));
    let token = made["token"].as_str().unwrap();
    for (node, folder) in [(a, "live-a/"), (b, "live-b/")] {
        node.store(&format!("{folder}master.m3u8"), master);
        for number in 0..4 {
            node.store(&format!("{folder}segment-{number}.ts"), format!("{folder}{number}"));
            node.store(&format!("{folder}p.m3u8"), playlist(0, number + 1));
        }
    }
    for node in [a, b] {
        // As players go: each URI as it stands below the path that they came by.
        let path = |uri: &str| format!("live/{uri}");
        let text = read(node, token, &path("master.m3u8")).text();
        let list = text.lines().rfind(|line| !line.starts_with('#')).unwrap();
        let text = read(node, token, &path(list)).text();
        let uris: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert!(uris.len() >= 3 && uris.iter().all(|uri| !uri.starts_with('/') && uri.contains('~')), "{text}");
        assert!(!text.contains(token), "{text}");
        for uri in uris {
            let segment = read(node, token, &path(uri));
            assert!(segment.status == 200 && segment.text().starts_with("live-"), "{uri}: {segment:?}");
            let bare = Request::new("GET", format!("/cache/{NAMESPACE}/live/{uri}")).send(node.address);
            assert_eq!((bare.status, &*code(&bare)), (401, "viewer-token-missing"));
        }
        for key in ["live-a/p.m3u8", "live-b/segment-0.ts"] {
            let refused = read(node, token, key);
            assert_eq!((refused.status, &*code(&refused)), (403, "viewer-token-scope"), "{key}");
        }
    }
    order(a, "viewer-revocations", &vendor, &json!({ "id": made["token_id"] }));
    for node in [a, b] {
        let refused = || (read(node, token, "live/p.m3u8").status == 401).then_some(());
        assert!(eventually(Duration::from_secs(10), refused).is_some());
    }
}

#[test]
fn a_full_engine_keeps_no_node_from_starting_and_no_revocation_from_any() {
    let mut cluster = Cluster::start(2, REQUIRED);
    let (vendor, _) = cluster.nodes[0].make_key(&["--namespace", NAMESPACE, "--role", "vendor"]);
    let make = |node: &Origin| {
        let made = order(node, "viewer-tokens", &vendor, &json!({ "prefix": "show/", "expires_in": "10m" }));
        (made["token"].as_str().unwrap().to_owned(), made["token_id"].clone())
    };
    let [a, b] = &cluster.nodes[..] else { unreachable!() };
    a.store("show/segment-0.ts", "segment");
    let ((first, first_id), (second, second_id)) = (make(a), make(a));
    order(a, "viewer-revocations", &vendor, &json!({ "id": first_id }));
    let is_refused = |node: &Origin, token: &str| (read(node, token, "show/segment-0.ts").status == 401).then_some(());
    assert!(eventually(Duration::from_secs(10), || is_refused(b, &first)).is_some());
    assert_eq!(cluster.engine.ask("CONFIG SET maxmemory 1mb").unwrap().lines().next(), Some("+OK"));
    assert_eq!(Request::new("PUT", a.path("show/segment-1.ts")).bearer(&a.encoder).body("x").send(a.address).status, 503);
    // What it makes at its start it can't tell the others either.
    cluster.nodes[1].signal("KILL");
    let _ = cluster.nodes[1].wait();
    cluster.nodes[1].launch();
    let ready = || (Request::new("GET", "/readyz").send(cluster.nodes[1].admin).status == 200).then_some(());
    assert!(eventually(Duration::from_secs(20), ready).is_some(), "{:?}", cluster.nodes[1].log());
    cluster.join(REQUIRED);
    let [a, b, c] = &cluster.nodes[..] else { unreachable!() };
    for node in [b, c] {
        assert_eq!(
            (read(node, &first, "show/segment-0.ts").status, read(node, &second, "show/segment-0.ts").text()),
            (401, "segment".to_owned())
        );
    }
    order(a, "viewer-revocations", &vendor, &json!({ "id": second_id }));
    for node in [b, c] {
        assert!(eventually(Duration::from_secs(10), || is_refused(node, &second)).is_some());
    }
}

#[test]
fn revocations_that_all_nodes_know_are_told_to_none_of_them() {
    const MANY: u64 = 5_000;
    let cluster = Cluster::start(2, REQUIRED);
    let [a, b] = &cluster.nodes[..] else { unreachable!() };
    a.store("show/segment-0.ts", "segment");
    let (vendor, _) = a.make_key(&["--namespace", NAMESPACE, "--role", "vendor"]);
    let made = order(a, "viewer-tokens", &vendor, &json!({ "prefix": "show/", "expires_in": "10m" }));
    let now = crate::tokens::now();
    let one =
        |number| json!({ "namespace": NAMESPACE, "id": format!("token-{number}"), "revoked_at": now, "until": now + 3_600 });
    let all: Vec<Value> = (0..MANY).map(one).collect();
    let file = |node: &Origin| node.data_dir().join("viewer_revocations.json");
    let beside = a.data_dir().join("beside.json");
    std::fs::write(&beside, json!({ "format": 1, "revocations": all }).to_string()).unwrap();
    std::fs::rename(&beside, file(a)).unwrap();
    let last = format!("token-{}\"", MANY - 1);
    let is_there = || std::fs::read_to_string(file(b)).is_ok_and(|text| text.contains(&last)).then_some(());
    assert!(eventually(Duration::from_secs(30), is_there).is_some());
    let told = || {
        let about = cluster.engine.ask("INFO stats").unwrap();
        let of = |name: &str| about.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<u64>().ok()).unwrap();
        of("total_net_input_bytes:") + of("total_net_output_bytes:")
    };
    std::thread::sleep(Duration::from_secs(2));
    let before = told();
    std::thread::sleep(Duration::from_secs(5));
    let bytes = told() - before;
    // All of it is half a megabyte, which each node asks for once in ten seconds.
    assert!(bytes < 3_000_000, "{bytes}");
    order(a, "viewer-revocations", &vendor, &json!({ "id": made["token_id"] }));
    let is_refused = || (read(b, made["token"].as_str().unwrap(), "show/segment-0.ts").status == 401).then_some(());
    assert!(eventually(Duration::from_secs(10), is_refused).is_some());
}

#[test]
fn a_node_that_was_down_serves_nothing_of_what_was_revoked_meanwhile() {
    let mut cluster = Cluster::start(2, REQUIRED);
    let (vendor, _) = cluster.nodes[0].make_key(&["--namespace", NAMESPACE, "--role", "vendor"]);
    for round in 0..3 {
        let [a, b] = &cluster.nodes[..] else { unreachable!() };
        a.store("show/segment-0.ts", "segment");
        let made = order(a, "viewer-tokens", &vendor, &json!({ "prefix": "show/", "expires_in": "10m" }));
        let (token, id) = (made["token"].as_str().unwrap(), &made["token_id"]);
        let (key, key_id) = a.make_key(&["--namespace", NAMESPACE, "--role", "readwrite"]);
        let put =
            |node: &Origin| Request::new("PUT", node.path("show/more.ts")).bearer(&key).body("more").send(node.address).status;
        assert_eq!((read(b, token, "show/segment-0.ts").status, put(b)), (200, 204));
        cluster.nodes[1].signal("KILL");
        let _ = cluster.nodes[1].wait();
        let a = &cluster.nodes[0];
        order(a, "viewer-revocations", &vendor, &json!({ "id": id }));
        let ended = Request::new("DELETE", format!("/v1/keys/{key_id}")).bearer(&a.administrator).send(a.admin);
        assert!((200..300).contains(&ended.status), "{}", ended.text());
        let engine = &cluster.engine;
        let is_told =
            || (engine.pooled("viewers").contains(id.as_str().unwrap()) && engine.pooled("keys").contains(&key_id)).then_some(());
        assert!(eventually(Duration::from_secs(10), is_told).is_some(), "the engine is told");
        cluster.nodes[1].launch();
        let b = &cluster.nodes[1];
        // From the first answer on, and for as long as it takes to ask the engine and to look at the data directory.
        let until = Instant::now() + Duration::from_millis(700);
        while Instant::now() < until {
            assert_eq!((read(b, token, "show/segment-0.ts").status, put(b)), (401, 401), "round {round}");
        }
        assert_eq!(Request::new("GET", "/readyz").send(b.admin).status, 200);
    }
}
