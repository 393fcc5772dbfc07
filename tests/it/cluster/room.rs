//! What nodes may store together, and how fast: what is over it goes for all of them, the oldest segments first; and a rate is one for all.

use std::time::{Duration, Instant};

use super::kit::Cluster;
use super::{playlist, request};
use crate::harness::{Origin, bytes, eventually};
use crate::wire::Request;

fn objects(node: &Origin) -> usize {
    let answer = Request::new("GET", "/v1/objects?namespace=live-origin&limit=1000").bearer(&node.administrator).send(node.admin);
    let told: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    told["objects"].as_array().unwrap_or_else(|| panic!("{told:#}")).len()
}

#[test]
fn what_is_over_the_shared_capacity_goes_for_all_nodes_the_oldest_segments_first() {
    let cluster = Cluster::start(2, "shared_capacity = \"4MiB\"\nmax_object_size = \"1MiB\"\n");
    let [a, b] = &cluster.nodes[..] else { unreachable!() };
    a.store("room/p.m3u8", playlist(0, 3));
    a.store("room/init.mp4", b"\0\0\0\x0cftyp\0\0\0\0\0\0\0\x0cmoov\0\0\0\0".to_vec());
    let segment = |number: u64| format!("room/segment-{number}.ts");
    // On both in turn: each knows what the other has stored.
    for number in 0..20 {
        let node = if number % 2 == 0 { a } else { b };
        node.store(&segment(number), bytes(number, 400_000));
        assert_eq!(a.get(&segment(number)).body.len(), 400_000, "the newest is there");
        std::thread::sleep(Duration::from_millis(150));
    }
    // It is looked at once a second, when something is stored.
    let is_kept_to = || {
        b.store("room/p.m3u8", playlist(17, 3));
        (objects(a) <= 13 && objects(b) <= 13).then_some(())
    };
    assert!(eventually(Duration::from_secs(15), is_kept_to).is_some(), "{} and {} objects", objects(a), objects(b));
    for node in [a, b] {
        assert_eq!((node.get(&segment(0)).status, node.get(&segment(19)).status), (404, 200));
        assert_eq!((node.get("room/init.mp4").status, node.get("room/p.m3u8").status), (200, 200), "they go last");
    }
    let told = "springhead_cluster_evicted_total";
    let evicted = || (a.metric(told) + b.metric(told) >= 9.0).then_some(());
    assert!(eventually(Duration::from_secs(5), evicted).is_some(), "{} and {}", a.metric(told), b.metric(told));
    // Where it is the engine that is full, what is old makes room as well.
    cluster.engine.ask("CONFIG SET maxmemory 4mb").unwrap();
    let taken =
        || Some(request(a, "PUT", "room/again.ts").body(bytes(3, 400_000)).send(a.address)).filter(|told| told.status == 204);
    assert!(eventually(Duration::from_secs(30), taken).is_some(), "room is made");
    assert_eq!(b.get("room/again.ts").body, bytes(3, 400_000));
    assert_eq!(b.get("room/p.m3u8").status, 200);
}

#[test]
fn a_rate_is_one_for_all_nodes_and_goes_to_where_it_is_asked_for() {
    // Half a minute's worth at once: 60.
    let cluster = Cluster::start(2, "write_requests_per_second = \"2\"\n");
    let [a, b] = &cluster.nodes[..] else { unreachable!() };
    let put = |node: &Origin, number: u64| {
        let status = request(node, "PUT", &format!("rate/{number}.ts")).body("x").send(node.address).status;
        assert!(matches!(status, 204 | 503), "{status}");
        status == 204
    };
    // Until both have said no for a while.
    let (begun, mut taken, mut refused) = (Instant::now(), 0.0, 0);
    for number in 0.. {
        let both = [put(a, number), put(b, number)].into_iter().filter(|is_taken| *is_taken).count();
        taken += both as f64;
        refused = if both == 0 { refused + 1 } else { 0 };
        if refused == 6 || begun.elapsed() > Duration::from_secs(60) {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let most = 60.0 * 1.25 + 2.5 * begun.elapsed().as_secs_f64();
    assert!(taken <= most && taken >= 30.0 && refused == 6, "{taken} of {most}: each has its own");
    // Of one alone it is all; if each had half, that would be 10 within 10 seconds.
    let (begun, mut taken, mut number) = (Instant::now(), 0.0, 1_000_000);
    while begun.elapsed() < Duration::from_secs(10) {
        taken += f64::from(u8::from(put(a, number)));
        number += 1;
        std::thread::sleep(Duration::from_millis(20));
    }
    let seconds = begun.elapsed().as_secs_f64();
    assert!(taken >= 1.4 * seconds && taken <= 2.6 * seconds + 8.0, "{taken} within {seconds} s by one node alone");
}
