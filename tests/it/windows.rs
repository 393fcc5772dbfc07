//! Windows of the past in real players: with a lost segment in one rendition, with a slate, without dates, without sound, and one that gets
//! its end while it is watched. And what these players do with windows that are wrong.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;

use crate::front::Front;
use crate::harness::Origin;
use crate::players::Players;
use crate::programs::program;
use crate::rules;
use crate::turns::BrowserTurn;

/// Eight two-second segments of picture and of sound, each in a list of its own: `v0.ts`, `a0.ts` and so on.
fn encode(folder: &Path) {
    let mut ffmpeg = program("ffmpeg");
    ffmpeg.args(
        "-hide_banner -nostdin -v error -f lavfi -i testsrc2=size=192x108:rate=10 -f lavfi -i sine=sample_rate=48000".split(' '),
    );
    ffmpeg.args(
        "-t 16 -map 0:v -map 1:a -c:v libx264 -preset ultrafast -g 20 -keyint_min 20 -sc_threshold 0 -threads 1".split(' '),
    );
    ffmpeg.args("-pix_fmt yuv420p -c:a aac -ac 1 -f hls -hls_time 2 -hls_list_size 0 -var_stream_map".split(' '));
    ffmpeg.args(["v:0,agroup:s,name:v a:0,agroup:s,name:a", "-hls_segment_filename"]);
    ffmpeg.arg(folder.join("%v%d.ts")).arg(folder.join("%v.m3u8"));
    assert!(ffmpeg.status().unwrap().success());
}

#[expect(clippy::disallowed_methods, reason = "from outside there is only real time")]
pub(crate) fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

pub(crate) fn date(at: f64) -> String {
    let output = program("date").args(["-u", "-d", &format!("@{at:.3}"), "+%Y-%m-%dT%H:%M:%S.%3NZ"]).output();
    String::from_utf8(output.unwrap().stdout).unwrap().trim().to_owned()
}

/// The lengths that the encoder wrote.
fn lengths(folder: &Path, name: &str) -> Vec<f64> {
    let text = fs::read_to_string(folder.join(format!("{name}.m3u8"))).unwrap();
    let lengths = text.lines().filter_map(|line| line.strip_prefix("#EXTINF:")?.split(',').next()?.parse().ok());
    lengths.collect()
}

/// A list of so many of them, the first of which begins then, if that is told.
fn list(lengths: &[f64], name: &str, count: usize, begins: Option<f64>) -> String {
    let mut text = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:3\n#EXT-X-MEDIA-SEQUENCE:0\n".to_owned();
    let mut at = begins;
    for (number, length) in lengths.iter().enumerate().take(count) {
        if let Some(at) = &mut at {
            let _ = writeln!(text, "#EXT-X-PROGRAM-DATE-TIME:{}", date(*at));
            if number == 2 {
                let _ = writeln!(text, "#EXT-X-DATERANGE:ID=\"ad\",START-DATE=\"{}\",DURATION=4.0,SCTE35-OUT=0xFC00", date(*at));
                text.push_str("#EXT-X-CUE-OUT:4.000\n");
            }
            *at += length;
        }
        let _ = writeln!(text, "#EXTINF:{length:.6},\n{name}{number}.ts");
    }
    text
}

const MASTER: &str = "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"s\",NAME=\"s\",DEFAULT=YES,URI=\"a.m3u8\"\n\
                      #EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"t\",NAME=\"t\",DEFAULT=YES,AUTOSELECT=YES,URI=\"never.m3u8\"\n\
                      #EXT-X-STREAM-INF:BANDWIDTH=300000,CODECS=\"avc1.42c00b,mp4a.40.2\",AUDIO=\"s\",SUBTITLES=\"t\"\nv.m3u8\n";

#[test]
fn players_play_windows_to_their_end() {
    let turn = BrowserTurn::wait();
    let files = tempfile::tempdir().unwrap();
    encode(files.path());
    let origin = Origin::start();
    let front = Front::start(&origin);
    let begins = now() - 8.0;
    let [picture, sound] = ["v", "a"].map(|name| lengths(files.path(), name));
    for (stream, lost, dated) in [("lost", Some("a3.ts"), true), ("undated", None, false), ("closes", Some("v1.ts"), true)] {
        origin.store(&format!("{stream}/master.m3u8"), MASTER);
        for (name, lengths) in [("v", &picture), ("a", &sound)] {
            for number in 0..lengths.len() {
                let file = format!("{name}{number}.ts");
                if lost != Some(&file) {
                    origin.store(&format!("{stream}/{file}"), fs::read(files.path().join(&file)).unwrap());
                }
            }
            let count = if stream == "closes" { 4 } else { lengths.len() };
            let end = if stream == "closes" { "" } else { "#EXT-X-ENDLIST\n" };
            let text = list(lengths, name, count, Some(begins).filter(|_| dated)) + end;
            origin.store(&format!("{stream}/{name}.m3u8"), text);
        }
    }
    // Its sound was of an hour before: the window has none of it, though the encoder names its codec.
    origin.store("silent/master.m3u8", MASTER);
    for name in ["v", "a"] {
        for number in 0..8 {
            let file = format!("{name}{number}.ts");
            origin.store(&format!("silent/{file}"), fs::read(files.path().join(&file)).unwrap());
        }
    }
    origin.store("silent/v.m3u8", list(&picture, "v", 8, Some(begins)) + "#EXT-X-ENDLIST\n");
    origin.store("silent/a.m3u8", list(&sound, "a", 8, Some(begins - 3600.0)) + "#EXT-X-ENDLIST\n");
    // One clip over and over, under one name.
    origin.store("slate/v0.ts", fs::read(files.path().join("v0.ts")).unwrap());
    let once = format!("#EXT-X-DISCONTINUITY\n#EXTINF:{:.6},\nv0.ts\n", picture[0]);
    let head = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:3\n#EXT-X-MEDIA-SEQUENCE:0\n";
    origin.store("slate/master.m3u8", head.to_owned() + &once.repeat(4) + "#EXT-X-ENDLIST\n");
    let since = begins - 60.0;
    let query = |stream: &str| match stream {
        "closes" => format!("start={since:.3}&end={:.3}", begins + 15.5),
        _ => format!("start={since:.3}"),
    };
    let streams = ["lost", "undated", "silent", "slate", "closes"];
    let play = |player: &str, stream: &str| {
        let url = format!("{}?{}", front.url(&format!("{stream}/master.m3u8")), query(stream));
        json!({"player": player, "url": url, "seconds": 40})
    };
    let plays: Vec<_> = ["hls.js", "shaka-player"].iter().flat_map(|player| streams.map(|stream| play(player, stream))).collect();
    let players = Players::start(&turn, &plays);
    // It goes on as it is watched, and past the window's end.
    let versions = thread::scope(|scope| {
        let encoder = scope.spawn(|| {
            let mut versions: Vec<[String; 2]> = Vec::new();
            for count in 5..=8 {
                thread::sleep(Duration::from_secs_f64((begins + 2.0 * count as f64 - now()).max(0.1)));
                for (name, lengths) in [("v", &picture), ("a", &sound)] {
                    origin.store(&format!("closes/{name}.m3u8"), list(lengths, name, count.min(lengths.len()), Some(begins)));
                }
                versions.push(["v", "a"].map(|name| front.get(&format!("/closes/{name}.m3u8?{}", query("closes"))).text()));
            }
            versions
        });
        encoder.join().unwrap()
    });
    for pair in versions.windows(2) {
        for (before, after) in pair[0].iter().zip(&pair[1]) {
            assert_eq!((rules::alone(after), rules::after(before, after)), (vec![], vec![]), "{before}{after}");
        }
    }
    let last = versions.last().unwrap();
    assert_eq!(rules::across(&[("v", &last[0]), ("a", &last[1])]), vec![], "{last:?}");
    assert!(last[0].contains("#EXT-X-ENDLIST") && last[0].contains("#EXT-X-CUE-OUT:4.000\n"), "{last:?}");
    for (play, stream) in players.finish().iter().zip(streams.iter().chain(&streams)) {
        play.plays_to_the_end(stream, if *stream == "slate" { 50 } else { 90 });
    }
}

/// What the test above demands, these players would not do with windows as they must not be: so it can fail.
#[test]
fn players_stumble_over_windows_that_are_wrong() {
    let turn = BrowserTurn::wait();
    let files = tempfile::tempdir().unwrap();
    encode(files.path());
    let origin = Origin::start();
    let front = Front::start(&origin);
    let begins = now() - 60.0;
    let [picture, sound] = ["v", "a"].map(|name| lengths(files.path(), name));
    // Without the subtitles, which only a window leaves out.
    let master = MASTER.replace(",SUBTITLES=\"t\"", "");
    let master: String = master.split_inclusive('\n').filter(|line| !line.contains("never.m3u8")).collect();
    for stream in ["right", "no-gap", "numbers-differ", "changes"] {
        origin.store(&format!("{stream}/master.m3u8"), master.clone());
        for file in ["v", "a"].iter().flat_map(|name| (0..8).map(move |number| format!("{name}{number}.ts"))) {
            if file != "a3.ts" {
                origin.store(&format!("{stream}/{file}"), fs::read(files.path().join(&file)).unwrap());
            }
        }
    }
    // What a window says, from the one that is right.
    origin.store("right/v.m3u8", list(&picture, "v", 8, Some(begins)) + "#EXT-X-ENDLIST\n");
    origin.store("right/a.m3u8", list(&sound, "a", 8, Some(begins)) + "#EXT-X-ENDLIST\n");
    let window = |name: &str| front.get(&format!("/right/{name}.m3u8?start={:.3}", begins - 60.0)).text();
    let [of_picture, of_sound] = ["v", "a"].map(window);
    assert_eq!(of_sound.matches("#EXT-X-GAP\n").count(), 1, "{of_sound}");
    origin.store("no-gap/v.m3u8", of_picture.clone());
    origin.store("no-gap/a.m3u8", of_sound.replace("#EXT-X-GAP\n", ""));
    origin.store("numbers-differ/v.m3u8", of_picture.clone());
    origin.store("numbers-differ/a.m3u8", of_sound.replace("DISCONTINUITY-SEQUENCE:0", "DISCONTINUITY-SEQUENCE:1"));
    // As long as it grows it has a gap, and in the end a break in place of that, and all behind it counted anew.
    let gap = |text: &str| text.replace(",\nv1.ts", ",\n#EXT-X-GAP\nv1.ts").replace("#EXT-X-ENDLIST\n", "");
    let lines: Vec<_> = of_picture.lines().collect();
    let at = lines.iter().position(|line| *line == "v1.ts").unwrap();
    let changed = [&lines[..at - 2], &["#EXT-X-DISCONTINUITY"], &lines[at + 1..]].concat().join("\n") + "\n";
    assert!(rules::after(&gap(&of_picture), &changed).len() >= 6, "{changed}");
    let sound_to_its_end = of_sound.replace("#EXT-X-GAP\n", "").replace("a3.ts", "../right/a2.ts");
    origin.store("changes/v.m3u8", gap(&of_picture));
    origin.store("changes/a.m3u8", sound_to_its_end.replace("#EXT-X-ENDLIST\n", ""));
    let plays = [
        ("hls.js", "right"),
        ("shaka-player", "right"),
        ("hls.js", "no-gap"),
        ("shaka-player", "no-gap"),
        ("hls.js", "numbers-differ"),
        ("hls.js", "changes"),
    ];
    let play = |(player, stream): (&str, &str)| {
        let query = if stream == "right" { format!("?start={:.3}", begins - 60.0) } else { String::new() };
        json!({"player": player, "url": format!("{}{query}", front.url(&format!("{stream}/master.m3u8"))), "seconds": 30})
    };
    let mut players = Players::start(&turn, &plays.map(play));
    // But that of which nothing is ever seen.
    (1..plays.len()).for_each(|_| players.wait_until_one_is_playing());
    origin.store("changes/v.m3u8", changed);
    origin.store("changes/a.m3u8", sound_to_its_end);
    for (play, (player, stream)) in players.finish().iter().zip(plays) {
        assert_eq!(play.is_played_to_the_end(90), stream == "right", "{player}, {stream}: {play:?}");
    }
}
