//! What the process holds against what it counts: whatever a client does, the one stays close to the other.

use std::fs;
use std::ops::Range;
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::{Origin, bytes, eventually};
use crate::wire::{Request, Wire};

const MEMORY_ONLY: &str = "[namespaces.live-origin]\nhot_capacity = \"512MiB\"\ndurable = \"off\"\n";

/// Memory that is resident, without what is mapped from files, in bytes.
fn resident(origin: &Origin) -> f64 {
    let text = fs::read_to_string(format!("/proc/{}/status", origin.pid())).unwrap();
    let line = text.lines().find(|line| line.starts_with("RssAnon:")).expect("Linux tells it");
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() * 1024.0
}

fn stored(origin: &Origin) -> f64 {
    origin.metric("springhead_hot_stored_bytes{namespace=\"live-origin\"}")
}

#[test]
fn what_an_encoder_says_of_its_segments_costs_no_more_than_it_says() {
    let origin = Origin::start_with_settings(MEMORY_ONLY);
    // What a server that has worked for a while holds anyway.
    for n in 0..50u64 {
        origin.store(&format!("warm{n}.ts"), bytes(n, 60_000));
    }
    let (resident_before, stored_before) = (resident(&origin), stored(&origin));
    let padding = "p".repeat(20_000);
    let mut wire = Wire::open(origin.address);
    for n in 0..600u64 {
        let put = Request::new("PUT", origin.path(&format!("{n}.ts")))
            .bearer(&origin.encoder)
            .header("Content-Type", "video/x-own")
            .header("X-Padding", padding.as_str());
        // Head and body in one go, which the server then reads into one buffer.
        assert_eq!(wire.ask(&put.body(bytes(n, 60_000))).status, 204);
    }
    let counted = stored(&origin) - stored_before;
    assert!((600.0 * 60_000.0..600.0 * 61_000.0).contains(&counted), "{counted}");
    // Pages that were free for a moment go back within a quarter of a second.
    let is_close = || ((resident(&origin) - resident_before) < 1.15 * counted).then_some(());
    let is_so = eventually(Duration::from_secs(10), is_close);
    assert!(is_so.is_some(), "{} more resident, {counted} more counted", resident(&origin) - resident_before);
}

#[test]
fn header_values_that_are_kept_are_counted_and_bounded() {
    let origin = Origin::start_with_settings(MEMORY_ONLY);
    let put = |key: &str, name: &str, value: String| {
        let request = Request::new("PUT", origin.path(key)).bearer(&origin.encoder).header(name, value).body("x");
        request.send(origin.address)
    };
    assert_eq!(put("a.ts", "Content-Type", "video/x-own".to_owned()).status, 204);
    assert_eq!(stored(&origin), (1 + "a.ts".len() + 768 + "video/x-own".len()) as f64);
    for (name, longest) in [("Content-Type", "video/x-".to_owned()), ("Cache-Control", "max-age=1, x=".to_owned())] {
        let value = format!("{longest}{}", "y".repeat(20_000));
        assert_eq!(put("a.ts", name, value).status, 204);
        let answer = origin.get("a.ts");
        assert_eq!(answer.header("content-type"), "video/mp2t", "as if it had said nothing");
        assert!(answer.header("cache-control").starts_with("public"));
    }
    let refused = put("a.ts", "Content-Encoding", "x".repeat(300));
    assert_eq!(refused.status, 400, "without it the object would be another");
    assert!(refused.text().contains("Content-Encoding"), "{}", refused.text());
}

#[test]
fn a_body_that_comes_byte_by_byte_costs_what_it_is_long() {
    let origin = Origin::start_with_settings(MEMORY_ONLY);
    origin.store("warm.ts", bytes(1, 1 << 20));
    thread::sleep(Duration::from_millis(500));
    let before = resident(&origin);
    let head = Request::new("PUT", origin.path("a.ts")).bearer(&origin.encoder).as_text();
    let mut wire = Wire::open(origin.address);
    wire.write(head.replace("Content-Length: 0\r\n", "Transfer-Encoding: chunked\r\n"));
    let some = b"1\r\nx\r\n".repeat(10_000);
    for _ in 0..40 {
        wire.write(&some);
    }
    let uploading = || origin.metric("springhead_hot_uploading_bytes{namespace=\"live-origin\"}");
    assert!(eventually(Duration::from_secs(60), || (uploading() > 400_000.0).then_some(())).is_some(), "{}", uploading());
    let grown = resident(&origin) - before;
    // 15 MB it would be, were each byte a piece; what else a connection takes is far below a megabyte.
    assert!(grown < 4e6, "{grown} bytes for {}", uploading());
    wire.write(b"0\r\n\r\n");
    assert_eq!(wire.answer_to("PUT").status, 204);
    assert!(origin.get("a.ts").body == vec![b'x'; 400_000]);
}

#[test]
fn slow_readers_of_versions_that_are_gone_are_counted_and_the_slowest_given_up() {
    let origin = Origin::start_with_settings("[namespaces.live-origin]\nhot_capacity = \"32MiB\"\ndurable = \"off\"\n");
    let pinned = || origin.metric("springhead_hot_pinned_bytes{namespace=\"live-origin\"}");
    let before = resident(&origin);
    let mut readers: Vec<Wire> = Vec::new();
    // More than the kernel takes from the server at once.
    let length = 8_000_000;
    for n in 0..12u64 {
        origin.store("o.ts", bytes(n, length));
        let mut wire = Wire::open(origin.address);
        wire.write(Request::new("GET", origin.path("o.ts")).bearer(&origin.player).to_bytes());
        assert_eq!(wire.head().map(|(status, _)| status), Some(200));
        readers.push(wire);
    }
    // A quarter of the capacity holds one of them.
    let is_bounded = eventually(Duration::from_secs(20), || (pinned() <= f64::from(8 << 20)).then_some(()));
    assert!(is_bounded.is_some(), "{} bytes are pinned", pinned());
    assert!(origin.metric("springhead_answers_stalled_total") >= 1.0);
    let is_small = eventually(Duration::from_secs(10), || (resident(&origin) - before < 60e6).then_some(()));
    assert!(is_small.is_some(), "{} more", resident(&origin) - before);
    // The last one reads what is an object still, and may be as slow as it likes.
    let body = readers.last_mut().unwrap().take(length).unwrap();
    assert!(body == bytes(11, length));
    assert_eq!(origin.get("o.ts").status, 200);
}

/// What is made of two sources, and what is known for it, beside what they have stored: the same uploads without a pair are what it is held
/// against. What a server takes once for all of them (threads, and what the allocator keeps for each) was taken for those before.
#[test]
fn a_public_rendition_of_two_sources_takes_some_kib() {
    const SEGMENTS: u64 = 9;
    const BEFORE: u64 = 20;
    const RENDITIONS: u64 = 120;
    let pushed = |settings: &str| {
        let origin = Origin::start_with_settings(&format!("{MEMORY_ONLY}{settings}"));
        let mut wire = Wire::open(origin.address);
        let mut put = |key: String, body: Vec<u8>| {
            let put = Request::new("PUT", origin.path(&key)).bearer(&origin.encoder).body(body);
            assert_eq!(wire.ask(&put).status, 204, "{key}");
        };
        let mut push = |renditions: Range<u64>| {
            for number in 0..SEGMENTS {
                let first = (number + 1).saturating_sub(6);
                let lines: String = (first..=number).map(|number| format!("#EXTINF:2.000000,\nv{number:05}.ts\n")).collect();
                let list = format!("#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:{first}\n{lines}");
                for side in ["live-a", "live-b"] {
                    for rendition in renditions.clone() {
                        put(format!("{side}/{rendition}/v{number:05}.ts"), bytes(number * 1000 + rendition, 2000));
                        put(format!("{side}/{rendition}/p.m3u8"), list.clone().into_bytes());
                    }
                }
            }
            // Pages that were free for a moment go back within a quarter of a second, by a thread that has to get a processor for that.
            let (mut least, mut since, begun) = (f64::INFINITY, 0, Instant::now());
            while since < 20 && begun.elapsed() < Duration::from_secs(20) {
                thread::sleep(Duration::from_millis(100));
                let now = resident(&origin);
                (least, since) = if now < least { (now, 0) } else { (least, since + 1) };
            }
            least
        };
        let (before, after) = (push(0..BEFORE), push(BEFORE..BEFORE + RENDITIONS));
        (origin.get(&format!("live/{BEFORE}/p.m3u8")).status, after - before)
    };
    let pair = "[[namespaces.live-origin.pairs]]\npublic = \"live/\"\nsources = [\"live-a/\", \"live-b/\"]\n";
    let [(absent, without), (there, with)] = thread::scope(|scope| {
        let both = ["", pair].map(|settings| scope.spawn(move || pushed(settings)));
        both.map(|pushed| pushed.join().unwrap())
    });
    let each = (with - without) / RENDITIONS as f64;
    eprintln!("memory: {:.1} KiB a public rendition of two sources", each / 1024.0);
    assert_eq!((absent, there), (404, 200));
    // docs/pairs.md says what they are. Of what the allocator keeps for later there is more where threads wait for a processor and others
    // are given their memory: up to a third.
    assert!(each <= 42.0 * 1024.0, "{each} bytes each: {with} with pairs, {without} without");
}
