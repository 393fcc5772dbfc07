//! What begins anew: an encoder that was killed, and a name that stands for something else after a restart of the server.

use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::durable;
use crate::harness::{NAMESPACE, Origin, Process, eventually};
use crate::programs::program;
use crate::wire::Request;

/// The test picture of the README, made small: the same bytes from each run.
fn push_test_picture(origin: &Origin) -> Process {
    // Started by itself, so that it is ffmpeg that is killed.
    let mut ffmpeg = program("ffmpeg");
    ffmpeg.args("-nostdin -v error -re -f lavfi -i testsrc2=size=160x90:rate=10 -re -f lavfi -i sine=frequency=440".split(' '));
    ffmpeg.args("-c:v libx264 -preset veryfast -tune zerolatency -g 20 -threads 1 -pix_fmt yuv420p -c:a aac".split(' '));
    ffmpeg.args("-f hls -method PUT -http_persistent 1 -hls_time 2 -hls_list_size 10 -hls_flags delete_segments".split(' '));
    ffmpeg.args(["-t", "90", "-headers", &format!("Authorization: Bearer {}\r\n", origin.encoder)]);
    ffmpeg.arg(format!("http://{}/cache/{NAMESPACE}/playlist.m3u8", origin.address));
    Process(ffmpeg.stdout(Stdio::null()).spawn().unwrap())
}

fn last_sequence(origin: &Origin) -> Option<u64> {
    origin.get("playlist.m3u8").header("last-sequence").parse().ok()
}

fn told(origin: &Origin, event: &str) -> usize {
    origin.log().iter().filter(|line| line["message"] == "stream" && line["event"] == event).count()
}

#[test]
fn a_killed_encoder_that_begins_with_the_same_bytes_is_followed_from_its_first_segment_on() {
    let origin = Origin::start_with_settings("[namespaces.live-origin]\non_stale = \"404\"\n");
    let encoder = push_test_picture(&origin);
    assert!(eventually(Duration::from_secs(60), || last_sequence(&origin).filter(|last| *last >= 3)).is_some());
    // As kill -9 does it.
    drop(encoder);
    let _encoder = push_test_picture(&origin);
    let is_back = || (told(&origin, "counter-restart") > 0).then_some(());
    assert!(eventually(Duration::from_secs(40), is_back).is_some(), "{:#?}", origin.log());
    let until = Instant::now() + Duration::from_secs(3);
    while Instant::now() < until {
        let answer = origin.get("playlist.m3u8");
        assert_eq!(answer.status, 200, "viewers have it: {}", answer.text());
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(eventually(Duration::from_secs(20), || last_sequence(&origin).filter(|last| *last >= 1)).is_some());
    assert_eq!(told(&origin, "sequence-back"), 0);
    let window = Request::new("GET", format!("{}?last=10m", origin.path("playlist.m3u8"))).bearer(&origin.player);
    let window = window.send(origin.address).text();
    let (_, anew) = window.split_once("#EXT-X-DISCONTINUITY\n").unwrap_or_else(|| panic!("no break in {window}"));
    assert!(anew.contains("playlist0.ts") && anew.contains("playlist1.ts"), "{window}");
}

/// An initialisation segment that was made then: a header that says so, with a time scale.
fn initialization(made: u8) -> Vec<u8> {
    let boxed = |kind: &str, content: &[u8]| {
        let size = u32::try_from(content.len() + 8).unwrap();
        [&size.to_be_bytes()[..], kind.as_bytes(), content].concat()
    };
    let header = [0, 0, 0, 0, 0, 0, 0, made, 0, 0, 0, 0, 0, 0, 3, 0xe8, 0, 0, 0, 0];
    [boxed("ftyp", b"mp42"), boxed("moov", &boxed("mvhd", &header))].concat()
}

#[test]
fn a_name_that_stands_for_other_media_after_a_restart_of_the_server_is_told() {
    let (mut origin, _folder) = durable::start("default_ttl = \"1h\"\n");
    let media = |last: u64| {
        let listed: String = (1..=last).map(|number| format!("#EXTINF:2,\n{number}.ts\n")).collect();
        format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:1\n#EXT-X-MAP:URI=\"init.mp4\"\n{listed}")
    };
    origin.store("live/init.mp4", initialization(1));
    for number in 1..4 {
        origin.store(&format!("live/{number}.ts"), format!("segment {number}"));
    }
    origin.store("live/p.m3u8", media(3));
    origin.stop();
    origin.launch();
    origin.wait_for_log("the durable tier is open");
    let told = |origin: &Origin| -> Vec<String> {
        let log = origin.log();
        let reused = log.iter().filter(|line| line["event"] == "name-reused");
        reused.map(|line| line["detail"].as_str().unwrap_or_default().to_owned()).collect()
    };
    // The same once more is nothing to tell, nor are the same tracks, declared later; the same length with other bytes is.
    origin.store("live/init.mp4", initialization(2));
    origin.store("live/1.ts", "segment 1");
    origin.store("live/2.ts", "segment X");
    let told = eventually(Duration::from_secs(20), || Some(told(&origin)).filter(|told| !told.is_empty())).unwrap();
    assert!(told.len() == 1 && told[0].starts_with("live/2.ts"), "{told:?}");
}
