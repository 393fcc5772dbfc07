//! Two encoders on several nodes, whose MPDs are not composed, and while the engine itself changes its primary.

use std::fs;
use std::time::Duration;

use super::kit::Cluster;
use super::request;
use crate::harness::{Origin, eventually};
use crate::normalise::Viewer;
use crate::pairs::manifests::mpd;
use crate::pairs::{PAIR, pairs, twins};

/// All nodes show this under a name.
fn all_show(nodes: &[&Origin], key: &str, text: &str) {
    let same = || nodes.iter().all(|node| node.get(key).text() == text).then_some(());
    let shown = || nodes.iter().map(|node| node.get(key).text()).collect::<Vec<_>>();
    assert!(eventually(Duration::from_secs(10), same).is_some(), "{key}: {:?}", shown());
}

#[test]
fn the_mpd_of_the_other_source_is_public_on_all_nodes_when_one_stops() {
    const EPOCH: &str = "1970-01-01T00:00:00Z";
    let mut cluster = Cluster::start(2, PAIR);
    {
        let nodes: Vec<&Origin> = cluster.nodes.iter().collect();
        nodes[0].store("live-a/show.mpd", mpd(EPOCH, 1));
        nodes[1].store("live-b/show.mpd", mpd(EPOCH, 2));
        all_show(&nodes, "live/show.mpd", &mpd(EPOCH, 1));
        nodes[0].store("live-a/7.m4s", "seven of a");
        nodes[1].store("live-b/8.m4s", "eight of b");
        all_show(&nodes, "live/7.m4s", "seven of a");
        all_show(&nodes, "live/8.m4s", "eight of b");
        // The first is not written any more.
        let is_others = || {
            nodes[1].store("live-b/show.mpd", mpd(EPOCH, 9));
            nodes.iter().all(|node| node.get("live/show.mpd").text() == mpd(EPOCH, 9)).then_some(())
        };
        assert!(eventually(Duration::from_secs(20), is_others).is_some(), "{}", nodes[0].get("live/show.mpd").text());
        for node in &nodes {
            let told = || node.log().iter().filter(|line| line["event"] == "source-switched").count();
            assert!(eventually(Duration::from_secs(5), || (told() == 1).then_some(())).is_some(), "{}", told());
        }
        // And comes back, to the other node: viewers stay.
        nodes[1].store("live-a/show.mpd", mpd(EPOCH, 11));
        nodes[0].store("live-a/9.m4s", "nine of a");
        all_show(&nodes, "live/9.m4s", "nine of a");
        all_show(&nodes, "live/show.mpd", &mpd(EPOCH, 9));
    }
    // One that comes then shows the same.
    cluster.join(PAIR);
    let nodes: Vec<&Origin> = cluster.nodes.iter().collect();
    all_show(&nodes, "live/show.mpd", &mpd(EPOCH, 9));
    all_show(&nodes, "live/8.m4s", "eight of b");
}

/// Stores it at a node, as often as it takes: encoders send again what is not taken.
fn send(node: &Origin, key: &str, body: &[u8]) {
    let taken = || request(node, "PUT", key).body(body).try_send(node.address).filter(|answer| answer.status == 204);
    assert!(eventually(Duration::from_secs(30), taken).is_some(), "{key} is not taken");
}

/// The engine's primary is killed while both encoders write, and while one of them has gone: there is one list, and it goes on.
#[test]
fn the_list_goes_on_when_the_engine_loses_its_primary() {
    let folder = tempfile::tempdir().unwrap();
    let slots = twins(folder.path());
    let mut cluster = Cluster::start_on_shards_with(PAIR, 2);
    let mut viewer = Viewer::default();
    let segment = |side: usize, slot: usize| fs::read(&slots[side][slot]).unwrap();
    for slot in 0..14 {
        if slot == 6 {
            let primary = cluster.engine.primary_now();
            cluster.engine.servers[primary].kill();
        }
        for side in 0..2 {
            // A has gone by then.
            if side == 0 && slot > 9 {
                continue;
            }
            let (node, source) = (&cluster.nodes[side], ["live-a/", "live-b/"][side]);
            send(node, &format!("{source}v{slot}.ts"), &segment(side, slot));
            let first = (slot + 1_usize).saturating_sub(5);
            let lines: String = (first..=slot).map(|number| format!("#EXTINF:1.000000,\nv{number}.ts\n")).collect();
            let head = format!("#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:{first}\n");
            send(node, &format!("{source}p.m3u8"), (head + &lines).as_bytes());
        }
        let mut turn = slot;
        let newest = || {
            turn += 1;
            let node = &cluster.nodes[turn % 2];
            if node.get("live/p.m3u8").status != 200 {
                return None;
            }
            let text = viewer.look(node, "live/p.m3u8");
            let uri = text.lines().rfind(|line| !line.starts_with('#'))?;
            let body = node.get(&format!("live/{uri}")).body;
            (0..2).any(|side| segment(side, slot) == body).then_some(())
        };
        let shown = eventually(Duration::from_secs(30), newest);
        assert!(shown.is_some(), "slot {slot} of {:?}, {:?}", viewer.versions.last(), pairs(&cluster.nodes[0]));
    }
    assert_eq!(viewer.shown().len(), 14, "each once: {:?}", viewer.shown());
    assert!(!viewer.versions.concat().contains("#EXT-X-DISCONTINUITY\n"), "{:?}", viewer.versions.last());
    assert_eq!(pairs(&cluster.nodes[1])[0]["active"], "b", "{:?}", pairs(&cluster.nodes[1]));
}
