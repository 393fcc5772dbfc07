//! Live MPDs in real players: one that ends while it is watched, and one of which a segment is lost. They are served as they came: there are no
//! windows of them.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::harness::Origin;
use crate::players::Players;
use crate::programs::program;
use crate::turns::BrowserTurn;
use crate::windows::{date, now};

/// How many two-second segments there are of each representation: two of picture, one of sound.
const SEGMENTS: u32 = 12;

fn encode(folder: &Path) {
    let mut ffmpeg = program("ffmpeg");
    ffmpeg.args(
        "-hide_banner -nostdin -v error -f lavfi -i testsrc2=size=192x108:rate=10 -f lavfi -i sine=sample_rate=48000".split(' '),
    );
    ffmpeg.args("-t 24 -map 0:v -map 0:v -map 1:a -b:v:0 200k -b:v:1 60k -c:v libx264 -preset ultrafast -g 20".split(' '));
    ffmpeg.args("-keyint_min 20 -sc_threshold 0 -threads 1 -pix_fmt yuv420p -c:a aac -ac 1 -f dash -seg_duration 2".split(' '));
    ffmpeg.args(["-use_template", "1", "-use_timeline", "0", "-adaptation_sets", "id=0,streams=v id=1,streams=a"]);
    assert!(ffmpeg.arg(folder.join("manifest.mpd")).status().unwrap().success());
}

/// As encoders write it: dynamic while the show is on, static when it is over.
fn manifest(begins: f64, is_over: bool) -> String {
    let kind = if is_over {
        format!("type=\"static\" mediaPresentationDuration=\"PT{}S\"", 2 * SEGMENTS)
    } else {
        let begins = date(begins);
        format!(
            "type=\"dynamic\" availabilityStartTime=\"{begins}\" publishTime=\"{begins}\" minimumUpdatePeriod=\"PT2S\" \
                 timeShiftBufferDepth=\"PT60S\" suggestedPresentationDelay=\"PT6S\""
        )
    };
    let template = "<SegmentTemplate timescale=\"1\" duration=\"2\" startNumber=\"1\" \
                    initialization=\"init-stream$RepresentationID$.m4s\" media=\"chunk-stream$RepresentationID$-$Number%05d$.m4s\"/>";
    let picture = "mimeType=\"video/mp4\" codecs=\"avc1.42c00b\" width=\"192\" height=\"108\"";
    format!(
        "<?xml version=\"1.0\"?><MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" profiles=\"urn:mpeg:dash:profile:isoff-live:2011\" \
         {kind} minBufferTime=\"PT2S\"><Period id=\"0\" start=\"PT0S\">\
         <AdaptationSet contentType=\"video\" segmentAlignment=\"true\">{template}\
         <Representation id=\"0\" {picture} bandwidth=\"200000\"/><Representation id=\"1\" {picture} bandwidth=\"60000\"/>\
         </AdaptationSet><AdaptationSet contentType=\"audio\" segmentAlignment=\"true\">{template}\
         <Representation id=\"2\" mimeType=\"audio/mp4\" codecs=\"mp4a.40.2\" bandwidth=\"70000\" audioSamplingRate=\"48000\"/>\
         </AdaptationSet></Period></MPD>"
    )
}

/// dash.js stands still for ever at a segment that never comes, with one address as with two; so with it only the end is tried. Shaka goes on with
/// the other representation.
#[test]
fn players_play_an_mpd_to_its_end() {
    let turn = BrowserTurn::wait();
    let files = tempfile::tempdir().unwrap();
    encode(files.path());
    let origin = Origin::start();
    let begins = now() - 8.0;
    let put = |stream: &str, name: &str| origin.store(&format!("{stream}/{name}"), fs::read(files.path().join(name)).unwrap());
    for stream in ["whole", "lost"] {
        (0..3).for_each(|number| put(stream, &format!("init-stream{number}.m4s")));
        origin.store(&format!("{stream}/manifest.mpd"), manifest(begins, false));
    }
    let encode_to = |until: u32, from: u32| {
        for number in from..=until {
            thread::sleep(Duration::from_secs_f64((begins + 2.0 * f64::from(number) - now()).max(0.0)));
            for name in (0..3).map(|representation| format!("chunk-stream{representation}-{number:05}.m4s")) {
                put("whole", &name);
                if name != "chunk-stream0-00007.m4s" {
                    put("lost", &name);
                }
            }
        }
    };
    encode_to(4, 1);
    let play = |(player, stream): (&str, &str)| {
        let url = format!("http://{}{}", origin.address, origin.path(&format!("{stream}/manifest.mpd")));
        json!({"player": player, "url": url, "seconds": 40, "token": origin.player})
    };
    let plays = [("dash.js", "whole"), ("shaka-player", "whole"), ("shaka-player", "lost")];
    let players = Players::start(&turn, &plays.map(play));
    encode_to(SEGMENTS, 5);
    for stream in ["whole", "lost"] {
        origin.store(&format!("{stream}/manifest.mpd"), manifest(begins, true));
    }
    for (play, (player, stream)) in players.finish().iter().zip(plays) {
        assert!(play.is_played_to_the_end(90), "{player}, {stream}: {play:?}");
    }
}
