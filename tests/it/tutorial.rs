//! The way from a namespace and two keys to a picture, in the order in which one sets it up: with MediaLive's requests, and with
//! the curls of the troubleshooting chapter, first at the origin, then through the CDN.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::front::Front;
use crate::harness::{Origin, bytes};
use crate::programs::program;
use crate::wire::{Request, Wire};

const RENDITIONS: [(&str, usize); 3] = [("480p30", 500 << 10), ("240p30", 250 << 10), ("720p30", 850 << 10)];

fn master() -> String {
    let mut text = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-INDEPENDENT-SEGMENTS\n".to_owned();
    for (name, bandwidth) in [("480p30", 2_648_800), ("240p30", 1_394_800), ("720p30", 4_391_200)] {
        text += &format!("#EXT-X-STREAM-INF:BANDWIDTH={bandwidth},CODECS=\"avc1.77.30,mp4a.40.2\",FRAME-RATE=30.000\n");
        text += &format!("playlist_{name}.m3u8?ttl_seconds=3600&role=origin\n");
    }
    text
}

fn variant(name: &str, first: u32, count: u32) -> String {
    let mut text = format!("#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:{first}\n");
    for n in first..first + count {
        text += &format!("#EXTINF:2.00000,\nplaylist_{name}_{n:05}.ts\n");
    }
    text
}

fn segment(name: &str, n: u32, size: usize) -> Vec<u8> {
    let seed = u64::from(n) * 1000 + name.bytes().map(u64::from).sum::<u64>();
    let mut body = bytes(seed, size / 188 * 188);
    body.iter_mut().step_by(188).for_each(|byte| *byte = 0x47);
    body
}

/// curl as the troubleshooting chapter has it.
fn curl(arguments: &[&str]) -> Vec<u8> {
    let output = program("curl").args(["-s", "--fail", "--max-time", "20"]).args(arguments).output().unwrap();
    assert!(output.status.success(), "curl {arguments:?}: {:?}", output.status);
    output.stdout
}

#[test]
fn from_two_keys_to_a_picture() {
    // 1. A namespace with its hot capacity, and the two keys, for 30 days.
    let origin = Origin::start_with(&["--namespace", "live-origin=200MiB", "--namespace", "someone-else"]);
    let for_it = ["--namespace", "live-origin", "--expires", "30d", "--role"];
    let (encoder_api_key, _) = origin.make_key(&[&for_it[..], &["readwrite", "--label", "encoder_api_key"]].concat());
    let (player_api_key, _) = origin.make_key(&[&for_it[..], &["readonly", "--label", "player_api_key"]].concat());
    let status = |method: &str, path: &str, key: &str| Request::new(method, path).bearer(key).send(origin.address).status;
    assert_eq!(status("PUT", "/cache/live-origin/playlist.m3u8", &player_api_key), 403, "readonly can't write");
    for key in [&encoder_api_key, &player_api_key] {
        assert_eq!(status("GET", "/cache/someone-else/playlist.m3u8", key), 403, "neither sees another namespace");
        assert_eq!(status("PUT", "/cache/someone-else/playlist.m3u8", key), 403);
    }

    // 2. MediaLive pushes: user `momento`, the key as password, with each request.
    let credentials = format!("Basic {}", STANDARD.encode(format!("momento:{encoder_api_key}")));
    let mut encoder = Wire::open(origin.address);
    let mut push = |name: &str, body: Vec<u8>| {
        let path = format!("/cache/live-origin/{name}?ttl_seconds=3600&role=origin");
        let answer = encoder.ask(&Request::new("PUT", path).header("Authorization", &*credentials).body(body));
        assert_eq!((answer.status, answer.header("connection")), (204, ""), "{name}");
        assert!(answer.body.is_empty() && answer.header("etag").starts_with('"'));
    };
    for n in 891..=940 {
        for (name, size) in RENDITIONS {
            push(&format!("playlist_{name}_{n:05}.ts"), segment(name, n, size / 20));
            push(&format!("playlist_{name}.m3u8"), variant(name, 891.max(n - 49), 50.min(n - 890)).into());
        }
        if n == 891 {
            push("playlist.m3u8", master().into());
        }
    }
    for (name, size) in RENDITIONS {
        push(&format!("playlist_{name}_00940.ts"), segment(name, 940, size));
    }
    // It deletes what it keeps no longer: gone long ago, and no error.
    let delete = Request::new("DELETE", "/cache/live-origin/playlist_480p30_00001.ts?ttl_seconds=3600&role=origin");
    assert_eq!(encoder.ask(&delete.header("Authorization", &*credentials)).status, 204);

    // 6. Troubleshooting, at the origin: master, variant, live point.
    let at_origin = |name: &str| format!("http://{}/cache/live-origin/{name}?token={player_api_key}", origin.address);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    assert_eq!(text(curl(&[&at_origin("playlist.m3u8")])), master());
    assert_eq!(text(curl(&[&at_origin("playlist_480p30.m3u8")])), variant("480p30", 891, 50));
    let file = origin.folder().join("test.ts");
    for (name, size) in RENDITIONS {
        curl(&["-o", file.to_str().unwrap(), &at_origin(&format!("playlist_{name}_00940.ts"))]);
        assert!(std::fs::read(&file).unwrap() == segment(name, 940, size), "{name}");
    }

    // 3 and 6. Through the CDN: origin path, Authorization put in, three behaviours; no key in the URL.
    let front = Front::start(&origin);
    assert_eq!(text(curl(&[&front.url("playlist.m3u8")])), master());
    // The query that MediaLive puts on the variants' URIs comes along, and matters nothing.
    assert_eq!(text(curl(&[&front.url("playlist_480p30.m3u8?ttl_seconds=3600&role=origin")])), variant("480p30", 891, 50));
    curl(&["-o", file.to_str().unwrap(), &front.url("playlist_480p30_00940.ts")]);
    assert!(std::fs::read(&file).unwrap() == segment("480p30", 940, 500 << 10));

    // A viewer's own query and header do not disturb what the CDN puts in.
    let odd = Request::new("GET", format!("/playlist_480p30_00939.ts?token={encoder_api_key}x&CMCD=bl%3D2")).bearer("viewer");
    assert_eq!(odd.send(front.address).status, 200);

    // Segments are cached, playlists never.
    assert_eq!(front.get("/playlist_480p30_00940.ts").header("x-cache"), "HIT");
    let next = variant("480p30", 892, 50);
    let rewrite = Request::new("PUT", "/cache/live-origin/playlist_480p30.m3u8").header("Authorization", &*credentials);
    assert_eq!(rewrite.body(next.clone()).send(origin.address).status, 204);
    assert_eq!(front.get("/playlist_480p30.m3u8").text(), next, "the newest playlist, at once");
}
