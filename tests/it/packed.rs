//! Playlists that come compressed: they are read, credentials are taken out of them, and who does not unpack gets them in clear.

use std::time::Duration;

use crate::harness::{Origin, eventually};
use crate::wire::{Answer, Request};

/// In the gzip format (RFC 1952), as it is: a block without compression (RFC 1951 3.2.4).
fn packed(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).unwrap();
    let sum = text.bytes().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(byte), |sum, _| if sum & 1 == 1 { sum >> 1 ^ 0xEDB8_8320 } else { sum >> 1 })
    });
    let mut bytes = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 1];
    bytes.extend([length.to_le_bytes(), (!length).to_le_bytes()].concat());
    bytes.extend(text.bytes());
    bytes.extend([(!sum).to_le_bytes(), u32::from(length).to_le_bytes()].concat());
    bytes
}

fn store(origin: &Origin, key: &str, body: Vec<u8>, coding: &str) {
    let put = Request::new("PUT", origin.path(key)).bearer(&origin.encoder).header("Content-Encoding", coding).body(body);
    assert_eq!(put.send(origin.address).status, 204);
}

fn get(origin: &Origin, key: &str, accepted: &str) -> Answer {
    let get = Request::new("GET", origin.path(key)).bearer(&origin.player);
    let get = if accepted.is_empty() { get } else { get.header("Accept-Encoding", accepted) };
    get.send(origin.address)
}

fn media(first: u64) -> String {
    let listed: String = (first..first + 3).map(|number| format!("#EXTINF:2,\n{number}.ts\n")).collect();
    format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:{first}\n{listed}")
}

#[test]
fn a_compressed_playlist_is_a_live_one_and_each_reader_gets_it_as_he_takes_it() {
    let origin = Origin::start();
    for number in 1..9 {
        origin.store(&format!("a/{number}.ts"), "media");
    }
    for first in 1..3 {
        store(&origin, "a/p.m3u8", packed(&media(first)), "gzip");
    }
    let (clear, as_stored) = (get(&origin, "a/p.m3u8", ""), get(&origin, "a/p.m3u8", "br, gzip;q=0.9"));
    assert_eq!((clear.status, clear.text()), (200, media(2)));
    assert!(!clear.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-encoding")), "{:?}", clear.headers);
    assert_eq!((as_stored.header("content-encoding"), as_stored.body == packed(&media(2))), ("gzip", true));
    for answer in [&clear, &as_stored] {
        assert_eq!((answer.header("vary"), answer.header("last-sequence")), ("Accept-Encoding", "4"));
    }
    assert_ne!(clear.header("etag"), as_stored.header("etag"), "two representations");
    let known = Request::new("GET", origin.path("a/p.m3u8")).bearer(&origin.player).header("If-None-Match", clear.header("etag"));
    assert_eq!(known.send(origin.address).status, 304);
    // Another version may have been unpacked within its second.
    let date = clear.header("last-modified");
    let known = Request::new("GET", origin.path("a/p.m3u8")).bearer(&origin.player).header("If-Modified-Since", date);
    assert_eq!(known.send(origin.address).status, 200);
    let window = Request::new("GET", format!("{}?last=5m", origin.path("a/p.m3u8"))).bearer(&origin.player).send(origin.address);
    assert!(window.status == 200 && window.text().contains("1.ts"), "{}", window.text());
    assert!(!origin.log().iter().any(|line| line["event"] == "broken-playlist"), "{:#?}", origin.log());
    // What is in no coding has nothing to vary by.
    origin.store("b.m3u8", media(1));
    assert!(!get(&origin, "b.m3u8", "gzip").headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("vary")));
}

#[test]
fn no_credential_stays_in_what_comes_compressed() {
    let origin = Origin::start();
    let master = |query: &str| format!("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1000\nv.m3u8{query}\n");
    for coding in ["gzip", "x-gzip", "identity"] {
        store(&origin, "m.m3u8", packed(&master(&format!("?token={}", origin.encoder))), coding);
        for accepted in ["", "gzip"] {
            assert_eq!(get(&origin, "m.m3u8", accepted).text(), master(""), "{coding} {accepted}");
        }
    }
}

#[test]
fn no_credential_stays_in_what_is_written_otherwise() {
    let origin = Origin::start();
    let master = |query: &str| {
        format!("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1000\nv.m3u8{query}\n#EXT-X-STREAM-INF:BANDWIDTH=1\nw.m3u8{query}\n")
    };
    let query = format!("?token={}", origin.encoder);
    let wide = |text: &str| ["\u{feff}", text].concat().encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let big = |text: &str| text.encode_utf16().flat_map(u16::to_be_bytes).collect::<Vec<u8>>();
    let cr = |text: &str| text.replace('\n', "\r").into_bytes();
    let members = |text: &str| text.split_inclusive('\n').flat_map(packed).collect::<Vec<u8>>();
    let written = |text: &str| [("utf-16", wide(text)), ("utf-16 without a mark", big(text)), ("carriage returns", cr(text))];
    for ((way, sent), (_, expected)) in written(&master(&query)).into_iter().zip(written(&master(""))) {
        store(&origin, "m.m3u8", sent, "");
        let there = get(&origin, "m.m3u8", "").body;
        assert!(there == expected, "{way}: {}", String::from_utf8_lossy(&there));
    }
    store(&origin, "m.m3u8", members(&master(&query)), "gzip");
    assert_eq!(get(&origin, "m.m3u8", "").text(), master(""));
}

#[test]
fn a_compressed_playlist_is_updated_like_others() {
    let origin = Origin::start();
    let control = "#EXT-X-SERVER-CONTROL:CAN-SKIP-UNTIL=4,CAN-SKIP-DATERANGES=YES\n#EXT-X-DATERANGE:ID=\"a\",START-DATE=\"2026-01-02T20:00:02Z\"\n";
    let listed: String = (1..9).map(|number| format!("#EXTINF:2,\n{number}.ts\n")).collect();
    store(&origin, "p.m3u8", packed(&format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n{control}{listed}")), "gzip");
    let ask = |word: &str| {
        let get = Request::new("GET", format!("{}?_HLS_skip={word}", origin.path("p.m3u8"))).bearer(&origin.player);
        get.header("Accept-Encoding", "gzip").send(origin.address).text()
    };
    assert!(ask("YES").contains("-SEGMENTS=6\n") && ask("YES").contains("DATERANGE:ID=\"a\""), "{}", ask("YES"));
    let known = eventually(Duration::from_secs(20), || Some(ask("v2")).filter(|text| text.contains("EXT-X-SKIP"))).unwrap();
    assert!(known.contains("-SEGMENTS=6,RECENTLY-REMOVED-DATERANGES=\"\"\n") && !known.contains("ID=\"a\""), "{known}");
}

#[test]
fn a_coding_that_is_not_read_is_told_with_what_to_set_and_is_no_dead_stream() {
    let origin = Origin::start();
    for version in ["one", "two"] {
        store(&origin, "a/p.m3u8", version.into(), "br");
    }
    assert_eq!((get(&origin, "a/p.m3u8", "br").text(), get(&origin, "a/p.m3u8", "").text()), ("two".into(), "two".into()));
    let report = Request::new("GET", "/v1/streams").send(origin.admin).text();
    assert!(report.contains("broken-playlist") && report.contains("NONE or GZIP") && report.contains("\"live\""), "{report}");
}

#[test]
fn what_no_player_is_told_to_unpack_is_a_trouble() {
    let origin = Origin::start();
    let mpd = "<MPD type='dynamic'><Period><AdaptationSet><SegmentTemplate duration='2' media='$Number$.m4s'/><Representation/></AdaptationSet></Period></MPD>";
    let streams = || -> Vec<serde_json::Value> {
        let report = Request::new("GET", "/v1/streams").send(origin.admin).text();
        serde_json::from_str::<serde_json::Value>(&report).unwrap()["streams"].as_array().unwrap().clone()
    };
    for (key, text) in [
        ("p.m3u8", media(1)),
        ("p.mpd", mpd.to_owned()),
        ("m.m3u8", "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nv.m3u8\n".to_owned()),
    ] {
        origin.store(key, packed(&text));
        let stream = streams().into_iter().find(|stream| stream["stream"] == key).unwrap().to_string();
        assert!(stream.contains("no Content-Encoding says so") && stream.contains("\"broken-playlist\""), "{stream}");
        store(&origin, key, packed(&text), "gzip");
        let stream = streams().into_iter().find(|stream| stream["stream"] == key).unwrap().to_string();
        assert!(!stream.contains("broken-playlist") && !stream.contains("\"fault\""), "{stream}");
    }
}
