//! Objects that grow on one node and are read through another: as they come, once for all who read, and cut where they are cut.

use std::time::{Duration, Instant};

use super::kit::Cluster;
use super::{playlist, request};
use crate::growing::{Reader, Writer};
use crate::harness::{NAMESPACE, Origin, bytes, eventually};
use crate::wire::{Request, Wire};

/// Two nodes that know of each other.
fn two() -> Cluster {
    let cluster = Cluster::start(2, "");
    for node in &cluster.nodes {
        let word = || cluster.engine.ask("ZRANGE {sh:00}:p:nodes 0 -1").filter(|said| said.matches("http://").count() == 2);
        assert!(eventually(Duration::from_secs(10), word).is_some(), "nodes tell where they are: {:?}", node.log());
    }
    // And look each second where the others are.
    std::thread::sleep(Duration::from_millis(1_200));
    cluster
}

/// How many objects it has sent as they came.
fn sent_growing(node: &Origin) -> f64 {
    let of =
        format!("springhead_http_requests_total{{method=\"GET\",status=\"200\",namespace=\"{NAMESPACE}\",outcome=\"growing\"}}");
    node.metric(&of)
}

#[test]
fn what_grows_on_one_node_is_read_through_another_as_it_comes() {
    let cluster = two();
    let [a, b] = &cluster.nodes[..] else { unreachable!() };
    let body = bytes(4, 600_000);
    let mut writer = Writer::begin(a, "grow/a.ts");
    writer.send(&body[..100_000]);
    let mut readers: Vec<_> = (0..3).map(|_| Reader::begin(b, "grow/a.ts")).collect();
    let mut after = Vec::new();
    for end in (1..6).map(|piece| (piece + 1) * 100_000) {
        readers.iter_mut().for_each(|reader| reader.read_to(end - 100_000));
        let sent = Instant::now();
        writer.send(&body[end - 100_000..end]);
        readers.iter_mut().for_each(|reader| reader.read_to(end));
        after.push(sent.elapsed());
    }
    after.sort_unstable();
    eprintln!("pieces of 100,000 bytes are read by three through another node after {after:?}");
    writer.finish();
    for reader in readers {
        assert_eq!(reader.read_to_end().as_deref(), Some(&body[..]));
    }
    assert_eq!((b.get("grow/a.ts").body, a.get("grow/a.ts").body), (body.clone(), body));
    let counted = || (sent_growing(b) == 3.0).then(|| sent_growing(a));
    assert_eq!(eventually(Duration::from_secs(5), counted), Some(1.0), "it is fetched once for all");
    // A name that is nowhere is none elsewhere, either.
    assert_eq!(b.get("grow/none.ts").status, 404);
}

#[test]
fn what_breaks_off_on_one_node_is_cut_on_another() {
    let mut cluster = two();
    let [a, b] = &cluster.nodes[..] else { unreachable!() };
    // By its encoder.
    let mut writer = Writer::begin(a, "cut/a.ts");
    writer.send(&bytes(1, 50_000));
    let mut reader = Reader::begin(b, "cut/a.ts");
    reader.read_to(50_000);
    drop(writer);
    assert_eq!(reader.read_to_end(), None, "it is not told that this is all");
    assert_eq!(b.get("cut/a.ts").status, 404);
    // By the death of the node that takes it.
    let mut writer = Writer::begin(a, "cut/b.ts");
    writer.send(&bytes(2, 50_000));
    let mut reader = Reader::begin(b, "cut/b.ts");
    reader.read_to(50_000);
    cluster.nodes[0].signal("KILL");
    let _ = cluster.nodes[0].wait();
    assert_eq!(reader.read_to_end(), None, "it is not told that this is all");
    let b = &cluster.nodes[1];
    assert_eq!(b.get("cut/b.ts").status, 404);
    b.store("cut/b.ts", "sent again");
    assert_eq!(b.get("cut/b.ts").text(), "sent again");
}

#[test]
fn who_waits_at_one_node_is_answered_by_what_comes_to_another() {
    let cluster = two();
    let [a, b] = &cluster.nodes[..] else { unreachable!() };
    let body = bytes(7, 80_000);
    a.store("wait/segment-0.ts", "x");
    a.store("wait/segment-1.ts", "x");
    let control = "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES\n#EXT-X-TARGETDURATION";
    let list = |count| playlist(0, count).replacen("#EXT-X-TARGETDURATION", control, 1);
    a.store("wait/p.m3u8", list(3));
    std::thread::scope(|scope| {
        // It is listed, and not there yet.
        let waits = scope.spawn(|| {
            let mut wire = Wire::open(b.address);
            let read = request(b, "GET", "wait/segment-2.ts");
            let (status, _) = wire.write(read.to_bytes()).head().unwrap();
            (status, wire.chunk().unwrap(), wire)
        });
        std::thread::sleep(Duration::from_millis(400));
        let mut writer = Writer::begin(a, "wait/segment-2.ts");
        writer.send(&body[..40_000]);
        let (status, first, mut wire) = waits.join().unwrap();
        assert!(status == 200 && !first.is_empty(), "it is read while it grows");
        writer.send(&body[40_000..]);
        writer.finish();
        let mut read = first;
        while let Some(chunk) = wire.chunk().filter(|chunk| !chunk.is_empty()) {
            read.extend(chunk);
        }
        assert!(read == body, "{} bytes", read.len());
        // And a playlist that is asked for ahead of its time.
        let reload = scope.spawn(|| {
            let path = format!("{}?_HLS_msn=3", b.path("wait/p.m3u8"));
            Request::new("GET", path).bearer(&b.player).send(b.address)
        });
        std::thread::sleep(Duration::from_millis(300));
        a.store("wait/p.m3u8", list(4));
        let told = reload.join().unwrap();
        assert!(told.status == 200 && told.text().contains("segment-3.ts"), "{told:?}");
    });
}
