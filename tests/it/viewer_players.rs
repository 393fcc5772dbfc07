//! Real players with a viewer's token in the one URL that they are given: none of them knows of it, and none loses it.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{NAMESPACE, Origin, Process, eventually};
use crate::players::{Play, Players, push_hls};
use crate::programs::{limited, program};
use crate::tokens::now;
use crate::turns::BrowserTurn;
use crate::wire::Request;

const PICTURE: &str =
    "-hide_banner -v error -f lavfi -i testsrc2=size=320x180:rate=15 -f lavfi -i sine=frequency=440:sample_rate=48000 -t 12";
const CODECS: &str =
    "-c:v libx264 -preset ultrafast -g 15 -keyint_min 15 -sc_threshold 0 -pix_fmt yuv420p -c:a aac -b:a 48k -ac 1";

fn make(folder: &Path, output: &str, name: &str) {
    // The streams of one variant are told from the next by a blank.
    let all = [PICTURE, output, CODECS].join(" ");
    let streams = |word: &str| if word.contains("agroup") { word.replace('_', " ") } else { word.to_owned() };
    let words: Vec<_> = all.split_whitespace().map(streams).collect();
    let made = program("ffmpeg").current_dir(folder).args(words).arg(name).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

#[test]
fn one_url_with_a_token_plays_in_every_player() {
    let turn = BrowserTurn::wait();
    let origin = Origin::start_with_settings(&format!("[namespaces.{NAMESPACE}.viewers]\nmode = \"required\"\n"));
    let folder = tempfile::tempdir().unwrap();
    // Two variants with a group of sound, each with an initialisation segment; an encrypted one; and an MPD.
    let hls = "-f hls -hls_time 1 -hls_playlist_type vod";
    let ladder = "-map 0:v -map 0:v -map 1:a -b:v:0 200k -b:v:1 100k -var_stream_map v:0,agroup:a_v:1,agroup:a_a:0,agroup:a";
    make(folder.path(), &format!("{ladder} {hls} -hls_segment_type fmp4 -master_pl_name master.m3u8"), "media_%v.m3u8");
    fs::write(folder.path().join("k.key"), "0123456789abcdef").unwrap();
    fs::write(folder.path().join("info"), "k.key\nk.key\n").unwrap();
    make(folder.path(), &format!("-map 0:v -map 1:a {hls} -hls_key_info_file info"), "secret.m3u8");
    make(folder.path(), "-map 0:v -map 1:a -f dash -seg_duration 1 -use_template 1 -use_timeline 1", "a.mpd");
    for file in fs::read_dir(folder.path()).unwrap().map(Result::unwrap) {
        origin.store(&format!("show/{}", file.file_name().to_str().unwrap()), fs::read(file.path()).unwrap());
    }
    let made = origin.run(&["token", "viewer", "--namespace", NAMESPACE, "--prefix", "show/"]);
    let made: Value = serde_json::from_slice(&made.stdout).unwrap();
    let token = made["token"].as_str().unwrap();
    let url = |name: &str| format!("http://{}/cache/{NAMESPACE}/~{token}/show/{name}", origin.address);
    let first = format!("http://{}/cache/{NAMESPACE}/show/master.m3u8?cat={token}", origin.address);
    for name in [url("master.m3u8"), url("secret.m3u8"), url("a.mpd"), first.clone()] {
        let played = limited(60, "ffmpeg")
            .args(["-hide_banner", "-v", "error", "-xerror", "-i", &name, "-f", "null", "-"])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&played.stderr).replace(token, "TOKEN");
        assert!(played.status.success() && said.is_empty(), "ffmpeg: {said}");
    }
    let plays = [
        ("hls.js", url("master.m3u8")),
        ("hls.js", url("secret.m3u8")),
        ("hls.js", first),
        ("shaka-player", url("master.m3u8")),
        ("shaka-player", url("a.mpd")),
        ("dash.js", url("a.mpd")),
    ];
    let asked = plays.clone().map(|(player, url)| json!({ "player": player, "url": url, "seconds": 30 }));
    for (play, (player, url)) in Players::start(&turn, &asked).finish().iter().zip(&plays) {
        play.plays_to_the_end(&format!("{player} {}", url.replace(token, "TOKEN")), 100);
    }
    let refused = origin.metric("springhead_read_refusals_total");
    assert!(refused.abs() < 0.1, "no read was refused: {refused}");
}

/// For how long: some lives of a token. More by `SPRINGHEAD_TEST_PLAY_SECONDS=30 tests/run --test it viewer_players`.
fn seconds() -> u64 {
    std::env::var("SPRINGHEAD_TEST_PLAY_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(14)
}

/// A live stream with sound behind tokens, in HLS and beside it as an MPD.
struct Live {
    turn: BrowserTurn,
    origin: Origin,
    _encoders: [Process; 2],
}

impl Live {
    fn start() -> Self {
        let turn = BrowserTurn::wait();
        let viewers = format!("[namespaces.{NAMESPACE}.viewers]\nmode = \"required\"\ngrace = \"6s\"\n");
        let origin = Origin::start_with_settings(&viewers);
        let to = format!("http://momento:{}@{}/cache/{NAMESPACE}/show", origin.encoder, origin.address);
        let hls = push_hls(&to, 1, "");
        let mut dash = program("ffmpeg");
        dash.args(["-re"])
            .args(PICTURE.trim_end_matches("-t 12").split_whitespace())
            .args(CODECS.split_whitespace())
            .stdin(Stdio::null());
        dash.args(
            "-f dash -method PUT -seg_duration 1 -use_template 1 -use_timeline 1 -window_size 8 -http_persistent 1".split(' '),
        );
        let dash = Process(dash.arg(format!("{to}/a.mpd")).spawn().unwrap());
        let read = |key: &str| Request::new("GET", origin.path(key)).bearer(&origin.encoder).send(origin.address).text();
        let begun =
            || (read("show/playlist_1.m3u8").matches("#EXTINF").count() > 2 && read("show/a.mpd").contains("<S ")).then_some(());
        assert!(eventually(Duration::from_secs(40), begun).is_some(), "both are live");
        Self { turn, origin, _encoders: [hls, dash] }
    }

    /// A token as a back end has it made.
    fn order(&self, order: &Value) -> String {
        let made =
            Request::new("POST", format!("/v1/namespaces/{NAMESPACE}/viewer-tokens")).header("Content-Type", "application/json");
        let made = made.bearer(&self.origin.administrator).body(order.to_string()).send(self.origin.admin);
        let made: Value = serde_json::from_slice(&made.body).unwrap();
        made["token"].as_str().unwrap().to_owned()
    }

    /// What each player made of it, by name, for as long as [`seconds`]; ffmpeg is judged here.
    fn play(&self, token: &str) -> Vec<(&'static str, Play)> {
        let seconds = seconds();
        let url = |name: &str| format!("http://{}/cache/{NAMESPACE}/~{token}/show/{name}", self.origin.address);
        let plays_of = [("hls.js", "playlist.m3u8"), ("shaka-player", "playlist.m3u8"), ("dash.js", "a.mpd")];
        let plays = plays_of.map(|(player, name)| json!({ "player": player, "url": url(name), "seconds": seconds }));
        let players = Players::start(&self.turn, &plays);
        let list = url("playlist.m3u8");
        let time = seconds.to_string();
        let words = ["-hide_banner", "-v", "error", "-xerror", "-i", &list, "-t", &time, "-f", "null", "-"];
        let played = limited(120, "ffmpeg").args(words).output().unwrap();
        let said = String::from_utf8_lossy(&played.stderr).replace(token, "TOKEN");
        assert!(played.status.success() && !said.contains("401") && !said.contains("403"), "ffmpeg: {said}");
        let played: Vec<_> = plays_of.iter().map(|(player, _)| *player).zip(players.finish()).collect();
        for (_, play) in &played {
            play.goes_on(usize::try_from(seconds / 2).unwrap());
        }
        played
    }
}

#[test]
fn a_live_stream_plays_by_one_url_without_a_refusal() {
    let live = Live::start();
    let token = live.order(&json!({ "prefix": "show/", "expires_in": "10m" }));
    for (player, play) in live.play(&token) {
        assert_eq!(play.refused(), 0, "{player}: {play:?}");
    }
    assert!(live.origin.metric("springhead_read_refusals_total").abs() < 0.1, "no read was refused");
}

#[test]
fn players_play_on_while_their_tokens_end_and_are_renewed() {
    let live = Live::start();
    let ends = (now() + 600).to_string();
    let token = live.order(&json!({ "prefix": "show/", "expires_in": "5s", "renew": { "extend": "8s", "deadline": ends } }));
    let mut tried = 0;
    for (player, play) in live.play(&token) {
        // Shaka tries a segment by the token that its list was first had with, and then by the newer one.
        assert!(play.refused() == 0 || player == "shaka-player" && play.stalls.is_empty(), "{player}: {play:?}");
        tried += play.refused();
    }
    // The token that they were given has ended long since, and opens no playlist by itself any more.
    let expired = live.origin.run(&["token", "inspect", &token]);
    let expired: Value = serde_json::from_slice(&expired.stdout).unwrap();
    assert_eq!(expired["status"], "expired");
    assert!(tried > 0 || live.origin.metric("springhead_read_refusals_total").abs() < 0.1, "no read was refused");
}
