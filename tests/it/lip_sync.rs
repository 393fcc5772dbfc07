//! Sound and picture of a window whose encoder writes no dates: what flashes and beeps at once does so in players too.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::front::Front;
use crate::harness::Origin;
use crate::players::{Play, Players};
use crate::programs::program;
use crate::turns::BrowserTurn;

/// A flash and a beep may be this far apart, in seconds: what viewers don't notice, and some frames of either.
const TOGETHER: f64 = 0.05;

/// Sixteen seconds in which a white picture and a tone come together, in the second half of each two-second segment; the tone this much later.
fn encode(folder: &Path, (later, extension): (f64, &str)) {
    let when = |time: &str| format!("between(mod({time},2),1,1.24)");
    let picture = format!("color=black:size=192x108:rate=25,drawbox=t=fill:color=white:enable='{}'", when("t"));
    let sound = format!("aevalsrc='0.8*sin(6283.2*t)*{}':sample_rate=48000", when(&format!("t-{later}")));
    let mut ffmpeg = program("ffmpeg");
    ffmpeg.args(["-hide_banner", "-nostdin", "-v", "error", "-f", "lavfi", "-i", &picture, "-f", "lavfi", "-i", &sound]);
    ffmpeg.args(
        "-t 16 -map 0:v -map 1:a -c:v libx264 -preset ultrafast -g 50 -keyint_min 50 -sc_threshold 0 -threads 1".split(' '),
    );
    ffmpeg.args("-pix_fmt yuv420p -c:a aac -ac 1 -f hls -hls_time 2 -hls_list_size 0 -var_stream_map".split(' '));
    let kind = if extension == "ts" { "mpegts" } else { "fmp4" };
    ffmpeg.args(["v:0,agroup:s,name:v a:0,agroup:s,name:a", "-hls_segment_type", kind, "-hls_segment_filename"]);
    ffmpeg.arg(folder.join(format!("%v%d.{extension}"))).arg(folder.join("%v.m3u8"));
    assert!(ffmpeg.status().unwrap().success());
}

const MASTER: &str = "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"s\",NAME=\"s\",DEFAULT=YES,AUTOSELECT=YES,URI=\"a.m3u8\"\n\
                      #EXT-X-STREAM-INF:BANDWIDTH=300000,CODECS=\"avc1.42c00b,mp4a.40.2\",AUDIO=\"s\"\nv.m3u8\n";

/// Stores what was encoded but for what is lost; the picture's list, whose segments are larger, a second and a half after the sound's.
fn store(origin: &Origin, folder: &Path, stream: &str, lost: &str) {
    origin.store(&format!("{stream}/master.m3u8"), MASTER);
    for file in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()) {
        if !file.ends_with(".m3u8") && file != lost {
            origin.store(&format!("{stream}/{file}"), fs::read(folder.join(&file)).unwrap());
        }
    }
    for name in ["a.m3u8", "v.m3u8"] {
        let text = fs::read_to_string(folder.join(name)).unwrap();
        assert!(!text.contains("DATE-TIME"), "{text}");
        origin.store(&format!("{stream}/{name}"), text);
        thread::sleep(Duration::from_millis(1500));
    }
}

/// How much later than its flash each beep is in what a player shows, in seconds.
fn delays(play: &Play, stream: &str) -> Vec<f64> {
    assert!(play.flashes.len() >= 3 && play.beeps.len() >= 6, "{stream}: {play:?}");
    let nearest = |flash: &f64| play.beeps.iter().map(|beep| beep - flash).min_by(|one, other| one.abs().total_cmp(&other.abs()));
    play.flashes.iter().filter_map(nearest).collect()
}

#[test]
fn what_flashes_and_beeps_at_once_does_so_in_a_window_without_dates() {
    let turn = BrowserTurn::wait();
    let origin = Origin::start();
    let front = Front::start(&origin);
    // One is wrong as its encoder made it: so it is seen that this is seen.
    let streams = [
        ("together", (0.0, "ts"), ""),
        ("apart", (0.2, "ts"), ""),
        ("fragments", (0.0, "m4s"), ""),
        ("lost", (0.0, "ts"), "v3.ts"),
    ];
    thread::scope(|scope| {
        for (stream, encoded, lost) in streams {
            let origin = &origin;
            scope.spawn(move || {
                let files = tempfile::tempdir().unwrap();
                encode(files.path(), encoded);
                store(origin, files.path(), stream, lost);
            });
        }
    });
    let play = |player: &str, stream: &str| {
        let url = front.url(&format!("{stream}/master.m3u8?last=5m"));
        json!({"player": player, "url": url, "seconds": 40, "sync": true})
    };
    let plays = ["hls.js", "shaka-player"].map(|player| streams.map(|(stream, ..)| play(player, stream)));
    let played = Players::start(&turn, &plays.concat()).finish();
    for (play, (stream, (later, _), _)) in played.iter().zip(streams.iter().chain(&streams)) {
        play.plays_to_the_end(stream, 200);
        let delays = delays(play, stream);
        eprintln!("{stream}: a beep comes {delays:.3?} s after its flash");
        assert!(delays.iter().all(|delay| (delay - later).abs() <= TOGETHER), "{stream}: {delays:?} {play:?}");
    }
}
