//! Two encoders on several nodes: each writes to one, viewers read of any, and any may be killed. There is one list, and it goes on by the rules, in
//! whatever order the nodes are asked for it.

use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::kit::Cluster;
use super::request;
use crate::harness::{Finally, Origin, eventually};
use crate::normalise::Viewer;
use crate::pairs::encoders::{LivePair, PairClocks};
use crate::pairs::shown::{Shown, jumps};
use crate::pairs::{PAIR, is_well, pairs, pin, sides, twins, wait_for_pair};

const LIST: &str = "live/p.m3u8";

/// A viewer whom a balancer sends to another node each time.
struct Roaming {
    viewer: Viewer,
    turn: usize,
}

impl Roaming {
    fn new() -> Self {
        Self { viewer: Viewer::default(), turn: 0 }
    }

    /// What the next node shows. It is no older than what any of them has shown, and goes on from that by the rules.
    fn look(&mut self, nodes: &[&Origin]) -> String {
        self.turn += 1;
        self.viewer.look(nodes[self.turn % nodes.len()], LIST)
    }

    /// Looks until a segment of this slot is the newest, and hands over whose it is.
    fn until(&mut self, nodes: &[&Origin], slots: &[Vec<PathBuf>; 2], slot: usize) -> usize {
        let newest = || {
            let text = self.look(nodes);
            let uri = text.lines().rfind(|line| !line.starts_with('#'))?.to_owned();
            let body = nodes[(self.turn + 1) % nodes.len()].get(&format!("live/{uri}"));
            assert_eq!(body.status, 200, "{uri} is listed: {text}");
            (0..2).find(|side| fs::read(&slots[*side][slot]).unwrap() == body.body)
        };
        let told = || nodes.iter().map(|node| pairs(node)).collect::<Vec<_>>();
        eventually(Duration::from_secs(20), newest)
            .unwrap_or_else(|| panic!("slot {slot} of {:?}, {:?}", self.viewer.versions.last(), told()))
    }

    /// All nodes show the same, and what is listed can be read of all of them.
    fn is_everywhere(&mut self, nodes: &[&Origin]) {
        // Somebody may be about to go on with it.
        let same = || Some(self.look(nodes)).filter(|text| nodes.iter().all(|node| node.get(LIST).text() == *text));
        let text = eventually(Duration::from_secs(10), same).expect("all nodes show the same");
        for node in nodes {
            for uri in text.lines().filter(|line| !line.starts_with('#')) {
                let read = node.get(&format!("live/{uri}"));
                assert_eq!(read.status, 200, "{uri} of {text}: {}", read.text());
                assert!(read.header("etag")[1..].starts_with(&uri[uri.find('~').unwrap() + 1..][..8]), "{uri}");
            }
        }
    }
}

fn told(node: &Origin, event: &str) -> usize {
    node.log().iter().filter(|line| line["event"] == event).count()
}

#[test]
fn each_encoder_has_a_node_of_its_own_and_all_nodes_show_one_list() {
    let folder = tempfile::tempdir().unwrap();
    let slots = twins(folder.path());
    let cluster = Cluster::start(3, PAIR);
    let nodes: Vec<&Origin> = cluster.nodes.iter().collect();
    let mut viewer = Roaming::new();
    let [mut a, mut b] = sides([nodes[0], nodes[1]], &slots);
    a.counts_from(100);
    b.counts_from(500);
    for slot in 0..6 {
        a.push(slot);
        // What one node has answered all of them show, at once.
        let text = viewer.look(&nodes[2..]);
        let newest = text.lines().rfind(|line| !line.starts_with('#')).unwrap();
        assert!(nodes[2].get(&format!("live/{newest}")).body == fs::read(&slots[0][slot]).unwrap(), "slot {slot} of {text}");
        b.push(slot);
        assert_eq!(viewer.until(&nodes, &slots, slot), 0);
    }
    viewer.is_everywhere(&nodes);
    for node in &nodes {
        wait_for_pair(node, "each node knows both", is_well);
    }
    // A is killed, and begins again over its own names, at another node; and B is killed then.
    for slot in 6..12 {
        b.push(slot);
        assert_eq!(viewer.until(&nodes, &slots, slot), 1);
    }
    a.begins_anew();
    a.origin = nodes[2];
    for slot in 12..20 {
        a.push(slot);
        b.push(slot);
        viewer.until(&nodes, &slots, slot);
        viewer.is_everywhere(&nodes);
    }
    // B says at another node that it is over.
    assert_eq!(request(nodes[0], "DELETE", "live-b/p.m3u8").send(nodes[0].address).status, 204);
    for slot in 20..24 {
        a.push(slot);
        assert_eq!(viewer.until(&nodes, &slots, slot), 0);
    }
    // One takes away what viewers have, by whichever node.
    for (at, number) in (0..12).enumerate() {
        let delete = request(nodes[at % 3], "DELETE", &format!("live-a/v{number}.ts"));
        assert_eq!(delete.send(nodes[at % 3].address).status, 204);
    }
    assert_eq!(nodes[1].get("live-a/v11.ts").status, 404, "by its own name");
    viewer.is_everywhere(&nodes);
    let all = viewer.viewer.versions.concat();
    assert!(!all.contains("#EXT-X-DISCONTINUITY\n") && !all.contains("EXT-X-GAP"), "{:?}", viewer.viewer.versions.last());
    assert_eq!(viewer.viewer.shown().len(), 24, "each once: {:?}", viewer.viewer.shown());
    // Each node tells it once, whichever has done it; and counts what it has done itself.
    for node in &nodes {
        let is_told = || (told(node, "source-switched") >= 2).then_some(());
        assert!(eventually(Duration::from_secs(10), is_told).is_some(), "{:?}", node.log());
        assert_eq!(told(node, "source-switched"), 2, "{:?}", pairs(node));
        let report = &pairs(node)[0];
        assert_eq!((&report["active"], report["switches"].as_array().unwrap().len()), (&"a".into(), 2), "{report}");
        let lines: u64 = report["sources"].as_array().unwrap().iter().map(|source| source["lines"].as_u64().unwrap()).sum();
        assert_eq!(lines, 24, "{report}");
    }
    let counted = |name: &str| nodes.iter().map(|node| node.metric(name)).sum::<f64>();
    let is_counted =
        || (counted("springhead_pair_switches_total") == 2.0 && counted("springhead_pair_lines_total") == 24.0).then_some(());
    assert!(eventually(Duration::from_secs(5), is_counted).is_some(), "{}", nodes[0].metrics());
}

#[test]
fn a_source_that_is_wanted_at_one_node_is_what_all_nodes_show() {
    let folder = tempfile::tempdir().unwrap();
    let slots = twins(folder.path());
    let cluster = Cluster::start(2, PAIR);
    let nodes: Vec<&Origin> = cluster.nodes.iter().collect();
    let mut viewer = Roaming::new();
    let [mut a, mut b] = sides([nodes[0]; 2], &slots);
    for slot in 0..6 {
        a.push(slot);
        b.push(slot);
        assert_eq!(viewer.until(&nodes, &slots, slot), 0);
    }
    pin(nodes[1], Some("b"));
    for slot in 6..10 {
        b.push(slot);
        a.push(slot);
        assert_eq!(viewer.until(&nodes, &slots, slot), 1);
    }
    for node in &nodes {
        let knows = || (pairs(node)[0]["pinned"] == "b" && pairs(node)[0]["active"] == "b").then_some(());
        assert!(eventually(Duration::from_secs(5), knows).is_some(), "{:?}", pairs(node));
        let is_told = || (told(node, "source-switched") == 1).then_some(());
        assert!(eventually(Duration::from_secs(5), is_told).is_some(), "{:?}", pairs(node));
    }
    // A deletes its playlist, and that is known elsewhere, too: B is what there is.
    pin(nodes[0], None);
    assert_eq!(request(nodes[1], "DELETE", "live-a/p.m3u8").send(nodes[1].address).status, 204);
    for slot in 10..14 {
        b.push(slot);
        assert_eq!(viewer.until(&nodes, &slots, slot), 1);
    }
    let is_out = || (pairs(nodes[0])[0]["sources"][0]["out"] == "deleted").then_some(());
    assert!(eventually(Duration::from_secs(5), is_out).is_some(), "{:?}", pairs(nodes[0]));
    assert!(pairs(nodes[0])[0]["pinned"].is_null());
    let all = viewer.viewer.versions.concat();
    assert!(!all.contains("#EXT-X-DISCONTINUITY\n") && !all.contains("EXT-X-GAP"), "{:?}", viewer.viewer.versions.last());
}

/// One source stops, or says that it is over. The node that takes nothing tells it as that which takes all, and one that comes then tells the same
/// before anybody has written anything; and of what was told nothing is told once more.
#[test]
fn what_is_known_of_the_sources_every_node_tells() {
    let folder = tempfile::tempdir().unwrap();
    let slots = twins(folder.path());
    let mut cluster = Cluster::start(2, PAIR);
    let stands = |node: &Origin| {
        let all = pairs(node);
        let pair = all.first()?;
        let source = |at: usize| (pair["sources"][at]["up"].clone(), pair["sources"][at]["out"].clone());
        Some((pair["active"].clone(), pair["relation"].clone(), source(0), source(1)))
    };
    let down = |node: &Origin| node.metric("springhead_pair_sources_down{namespace=\"live-origin\"}");
    let mut slot = 0;
    let written = {
        let nodes: Vec<&Origin> = cluster.nodes.iter().collect();
        let [mut a, mut b] = sides([nodes[0]; 2], &slots);
        for _ in 0..6 {
            a.push(slot);
            b.push(slot);
            slot += 1;
        }
        wait_for_pair(nodes[1], "each node knows both", is_well);
        while !nodes.iter().all(|node| pairs(node)[0]["sources"][0]["up"] == false) {
            assert!(slot < 30, "{:?}", pairs(nodes[1]));
            b.push(slot);
            slot += 1;
            thread::sleep(Duration::from_millis(900));
        }
        for node in &nodes {
            let is_told = || (told(node, "source-degraded") == 1 && down(node) == 1.0).then_some(());
            assert!(eventually(Duration::from_secs(5), is_told).is_some(), "{:?}", pairs(node));
        }
        b.next
    };
    cluster.join(PAIR);
    let nodes: Vec<&Origin> = cluster.nodes.iter().collect();
    let knows = || (stands(nodes[2]) == stands(nodes[0]) && stands(nodes[2]).is_some() && down(nodes[2]) == 1.0).then_some(());
    assert!(eventually(Duration::from_secs(10), knows).is_some(), "{:?}, {:?}", pairs(nodes[0]), pairs(nodes[2]));
    assert_eq!(stands(nodes[2]).unwrap().0, "b");
    let [_, mut b] = sides([nodes[0]; 2], &slots);
    b.next = written;
    for _ in 0..3 {
        b.push(slot);
        slot += 1;
    }
    let is_behind = || (nodes[2].get(LIST).text() == nodes[0].get(LIST).text()).then_some(());
    assert!(eventually(Duration::from_secs(5), is_behind).is_some());
    let all: Vec<usize> = nodes.iter().map(|node| told(node, "source-degraded")).collect();
    assert_eq!(all, [1, 1, 0], "told before");
    // It is over, as is said at the node that came last.
    assert_eq!(request(nodes[2], "DELETE", "live-b/p.m3u8").send(nodes[2].address).status, 204);
    for node in &nodes {
        let is_out = || (pairs(node)[0]["sources"][1]["out"] == "deleted").then_some(());
        assert!(eventually(Duration::from_secs(5), is_out).is_some(), "{:?}", pairs(node));
    }
}

/// Sends it to a node, and to the next one where that has gone: as encoders do behind a balancer.
fn send(nodes: &[&Origin], key: &str, body: &[u8]) {
    let sent = nodes.iter().any(|node| {
        let put = request(node, "PUT", key).body(body);
        put.try_send(node.address).is_some_and(|answer| answer.status == 204)
    });
    assert!(sent, "nobody takes {key}");
}

/// A node is killed at the very moment at which viewers are given the other source: what it had decided stands, and what it had not the others do.
#[test]
fn a_node_is_killed_at_the_switch_and_the_list_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let slots = twins(folder.path());
    for round in 0..4 {
        let mut cluster = Cluster::start(3, PAIR);
        let mut viewer = Roaming::new();
        {
            let nodes: Vec<&Origin> = cluster.nodes.iter().collect();
            let [mut a, mut b] = sides([nodes[0], nodes[1]], &slots);
            for slot in 0..6 {
                a.push(slot);
                b.push(slot);
                viewer.until(&nodes, &slots, slot);
            }
            // A has gone. B's next segments come to a node that is killed a little earlier or later.
            let (after, killed) = (Duration::from_millis(4 * round), nodes[1]);
            thread::scope(|scope| {
                scope.spawn(move || {
                    thread::sleep(after);
                    killed.signal("KILL");
                });
                let others = [nodes[1], nodes[2]];
                for slot in 6..10 {
                    send(&others, &format!("live-b/v{slot}.ts"), &fs::read(&slots[1][slot]).unwrap());
                    let first = slot - 4;
                    let lines: String = (first..=slot).map(|number| format!("#EXTINF:1.000000,\nv{number}.ts\n")).collect();
                    let head = format!("#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:{first}\n");
                    send(&others, "live-b/p.m3u8", (head + &lines).as_bytes());
                    assert_eq!(viewer.until(&[nodes[0], nodes[2]], &slots, slot), 1, "round {round}");
                }
            });
        }
        let _ = cluster.nodes[1].wait();
        let living = [&cluster.nodes[0], &cluster.nodes[2]];
        viewer.is_everywhere(&living);
        let all = viewer.viewer.versions.concat();
        assert!(!all.contains("#EXT-X-DISCONTINUITY\n") && !all.contains("EXT-X-GAP"), "{:?}", viewer.viewer.versions.last());
        assert_eq!(viewer.viewer.shown().len(), 10, "each once: {:?}", viewer.viewer.shown());
        // One that comes then knows where the list is.
        cluster.join(PAIR);
        let nodes: Vec<&Origin> = [0, 2, 3].iter().map(|at| &cluster.nodes[*at]).collect();
        viewer.is_everywhere(&nodes);
        for slot in 10..13 {
            let body = fs::read(&slots[1][slot]).unwrap();
            send(&nodes[2..], &format!("live-b/v{slot}.ts"), &body);
            let lines: String = (slot - 4..=slot).map(|number| format!("#EXTINF:1.000000,\nv{number}.ts\n")).collect();
            let head = format!("#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:{}\n", slot - 4);
            send(&nodes[2..], "live-b/p.m3u8", (head + &lines).as_bytes());
            assert_eq!(viewer.until(&nodes, &slots, slot), 1);
        }
        viewer.is_everywhere(&nodes);
    }
}

/// Real encoders, whose frames carry their numbers: each pushes to a node of its own, and a third is read. The node of the one that viewers get is
/// killed, and its encoder with it, which begins again at another node, over its own names; then the other one's.
#[test]
fn real_encoders_lose_their_nodes_and_viewers_miss_no_frame() {
    let mut cluster = Cluster::start(3, PAIR);
    let live = LivePair::start(PairClocks::Aligned);
    let mut shown = Shown::new(LIST);
    let a = live.encoder(&cluster.nodes[0], 0);
    thread::sleep(Duration::from_millis(2300));
    let b = live.encoder(&cluster.nodes[1], 1);
    wait_for_pair(&cluster.nodes[2], "both are pushed", is_well);
    shown.watch(&cluster.nodes[2], Duration::from_secs(4));
    let active = |node: &Origin| pairs(node)[0]["active"].as_str().unwrap().to_owned();
    let first = usize::from(active(&cluster.nodes[2]) == "b");
    let mut encoders = [Some(a), Some(b)];
    encoders[first] = None;
    cluster.nodes[first].signal("KILL");
    let _ = cluster.nodes[first].wait();
    shown.watch(&cluster.nodes[2], Duration::from_secs(6));
    assert_eq!(active(&cluster.nodes[2]), ["b", "a"][first], "{:?}", pairs(&cluster.nodes[2]));
    // Its encoder begins again, at the node that is read.
    encoders[first] = Some(live.encoder(&cluster.nodes[2], first));
    wait_for_pair(&cluster.nodes[2], "it is back", is_well);
    shown.watch(&cluster.nodes[2], Duration::from_secs(3));
    encoders[1 - first] = None;
    cluster.nodes[1 - first].signal("KILL");
    let _ = cluster.nodes[1 - first].wait();
    shown.watch(&cluster.nodes[2], Duration::from_secs(8));
    assert_eq!(active(&cluster.nodes[2]), ["a", "b"][first], "{:?}", pairs(&cluster.nodes[2]));
    let frames = shown.frames(0);
    let (lateness, jumps) = (shown.lateness(0), jumps(&frames));
    eprintln!("pairs: on three nodes of which two were killed: {} frames, {lateness:.2} s late, jumps {jumps:?}", frames.len());
    assert!(jumps.is_empty() && frames.len() > 150, "{jumps:?} in {} frames: {:?}", frames.len(), shown.viewer.versions.last());
    assert!(!shown.viewer.versions.concat().contains("#EXT-X-DISCONTINUITY\n"));
}

/// In place, an encoder whose uploads a balancer sends to one node after the other.
#[test]
fn a_list_that_is_normalised_in_place_goes_on_whichever_node_takes_its_versions() {
    let cluster = Cluster::start(2, "normalise = [\"live/\"]\n");
    let nodes: Vec<&Origin> = cluster.nodes.iter().collect();
    let (mut viewer, mut turn) = (Roaming::new(), 0);
    let mut put = |key: &str, body: String| {
        turn += 1;
        nodes[turn % 2].store(key, body);
    };
    let listing = |last: u64| {
        let first = (last + 1).saturating_sub(4);
        let lines: String = (first..=last).map(|number| format!("#EXTINF:2.000000,\nv{number}.ts\n")).collect();
        format!("#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:{first}\n{lines}")
    };
    for run in ["one", "two"] {
        for number in 0..7 {
            // The balancer's turns change with each run and number.
            if number % 3 == 0 {
                put("other/x", "x".to_owned());
            }
            put(&format!("live/v{number}.ts"), format!("segment {number} of run {run}"));
            put(LIST, listing(number));
            let text = viewer.look(&nodes);
            let newest = text.lines().rfind(|line| !line.starts_with('#')).unwrap();
            let shown = nodes[0].get(&format!("live/{newest}")).text();
            assert_eq!(shown, format!("segment {number} of run {run}"), "{text}");
            viewer.is_everywhere(&nodes);
        }
    }
    assert_eq!(viewer.viewer.shown().len(), 14, "nothing twice, nothing left out");
    let text = viewer.look(&nodes);
    assert!(text.matches("#EXT-X-DISCONTINUITY\n").count() <= 1, "{text}");
    // A segment that comes after its playlist, to the other node.
    nodes[0].store(LIST, listing(7));
    assert!(!viewer.look(&nodes).contains("v7~"));
    nodes[1].store("live/v7.ts", "late");
    let listed = || viewer.look(&nodes).contains("v7~").then_some(());
    assert!(eventually(Duration::from_secs(5), listed).is_some());
    // It is deleted at one node, and goes on at the other.
    assert_eq!(request(nodes[1], "DELETE", LIST).send(nodes[1].address).status, 204);
    assert_eq!((nodes[0].get(LIST).status, nodes[1].get(LIST).status), (404, 404));
    nodes[1].store("live/v8.ts", "after");
    nodes[0].store(LIST, listing(8));
    let listed = || viewer.look(&nodes).contains("v8~").then_some(());
    assert!(eventually(Duration::from_secs(5), listed).is_some());
    viewer.is_everywhere(&nodes);
}

/// Multivariant playlists and what can't be composed are copied, by whichever node; of two nodes that do so at once one list comes.
#[test]
fn what_is_copied_is_the_same_on_all_nodes() {
    let cluster = Cluster::start(2, PAIR);
    let nodes: Vec<&Origin> = cluster.nodes.iter().collect();
    let master = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1000\n/cache/live-origin/live-a/p.m3u8\n";
    nodes[0].store("live-a/master.m3u8", master);
    for node in &nodes {
        assert_eq!(node.get("live/master.m3u8").text(), master.replace("/cache/live-origin/live-a/p", "p"));
    }
    let ranges = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n#EXT-X-BYTERANGE:5@0\nv0.ts\n";
    nodes[1].store("live-a/r.m3u8", ranges);
    assert_eq!(nodes[0].get("live/r.m3u8").text(), ranges);
    assert_eq!(request(nodes[1], "PUT", "live/new.ts").body("x").send(nodes[1].address).status, 409);
    let versions: HashSet<String> = nodes.iter().map(|node| node.get("live/master.m3u8").header("etag").to_owned()).collect();
    assert_eq!(versions.len(), 1);
    // While viewers read, both write many lists at once.
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let (_over, over) = (Finally(&over), &over);
        for node in nodes.iter().copied() {
            scope.spawn(move || {
                let mut viewer = Viewer::default();
                while !over.load(Ordering::Relaxed) {
                    if node.get("live/q.m3u8").status == 200 {
                        viewer.look(node, "live/q.m3u8");
                    }
                }
            });
        }
        let write = |at: usize, folder: &'static str| {
            let node = nodes[at];
            move || {
                for number in 0..40_u64 {
                    node.store(&format!("{folder}q{number}.ts"), format!("{folder}{number}"));
                    let lines: String = (number.saturating_sub(4)..=number).map(|of| format!("#EXTINF:2,\nq{of}.ts\n")).collect();
                    let first = number.saturating_sub(4);
                    node.store(
                        &format!("{folder}q.m3u8"),
                        format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:{first}\n{lines}"),
                    );
                }
            }
        };
        let writers = [scope.spawn(write(0, "live-a/")), scope.spawn(write(1, "live-b/"))];
        writers.into_iter().for_each(|writer| writer.join().unwrap());
    });
    let text = nodes[0].get("live/q.m3u8").text();
    assert_eq!(text, nodes[1].get("live/q.m3u8").text());
    assert!(text.contains("#EXT-X-ENDLIST") || text.matches("#EXTINF").count() >= 3, "{text}");
}
