//! Real players in a real browser play live streams: tests/players/play.mjs runs them and says how it went.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::front::{Front, free_port};
use crate::harness::{Finally, NAMESPACE, Origin, Process, eventually};
use crate::packager::{self, Parts};
use crate::programs::{assert_is_here, kept, limited, program};
use crate::turns::BrowserTurn;

/// How a play went; tests/players/play.mjs says what each figure is.
#[derive(Debug, Deserialize)]
pub(crate) struct Play {
    pub(crate) player: String,
    startup: Option<f64>,
    frames: Vec<u64>,
    pub(crate) stalls: Vec<(f64, f64)>,
    latency: Vec<f64>,
    requests: usize,
    pub(crate) missed: Vec<(f64, u16, String)>,
    pub(crate) broken: Vec<(f64, String, String)>,
    pub(crate) fatal: Vec<String>,
    ended: bool,
    #[serde(default)]
    pub(crate) flashes: Vec<f64>,
    #[serde(default)]
    pub(crate) beeps: Vec<f64>,
    #[serde(default)]
    pub(crate) numbers: Vec<(u32, u32)>,
}

/// Infinite where nothing was measured.
fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::INFINITY)
}

impl Play {
    /// The median.
    fn latency(&self) -> f64 {
        median(&self.latency)
    }

    /// The median of the second half: where the player came to.
    fn latency_reached(&self) -> f64 {
        median(&self.latency[self.latency.len() / 2..])
    }

    /// The figures of a play, for who runs the test to see.
    pub(crate) fn report(&self) {
        let stood: f64 = self.stalls.iter().map(|(_, seconds)| seconds).sum::<f64>() + 0.0;
        eprintln!(
            "{}: {} frames in {} s, started after {:.1} s, {:.2} s behind (median), {} stalls ({stood:.1} s), \
             {} of {} requests missed, {} broken",
            self.player,
            self.frames.iter().sum::<u64>(),
            self.frames.len(),
            self.startup.unwrap_or(f64::NAN),
            self.latency(),
            self.stalls.len(),
            self.missed.len(),
            self.requests,
            self.broken.len(),
        );
    }

    /// The player never gave up, and there were new frames in each two seconds from `from` on.
    pub(crate) fn goes_on(&self, from: usize) {
        assert!(self.fatal.is_empty(), "{self:?}");
        let seconds = self.frames.get(from..).unwrap_or(&[]);
        assert!(
            seconds.len() >= 2 && seconds.windows(2).all(|pair| pair.iter().sum::<u64>() > 0),
            "the picture goes on: {self:?}"
        );
    }
}

impl Play {
    /// It never gave up and came to the end of this stream, having shown so many frames at least.
    pub(crate) fn plays_to_the_end(&self, stream: &str, frames: u64) {
        assert!(self.missed.is_empty(), "{stream}: nothing is named that is not there: {self:?}");
        assert!(self.is_played_to_the_end(frames), "{stream}: {self:?}");
    }

    /// How much of what it asked for was refused.
    pub(crate) fn refused(&self) -> usize {
        self.missed.iter().filter(|(_, status, _)| matches!(status, 401 | 403)).count()
    }

    /// The same, whatever it missed on the way.
    pub(crate) fn is_played_to_the_end(&self, frames: u64) -> bool {
        // The last, begun second is left out.
        self.fatal.is_empty() && self.ended && self.frames.iter().sum::<u64>() >= frames
    }
}

/// Players at work.
pub(crate) struct Players {
    node: Process,
    lines: BufReader<ChildStdout>,
    number: usize,
}

impl Players {
    /// Starts them all in one browser; each play is an object as tests/players/play.mjs takes it.
    pub(crate) fn start(_: &BrowserTurn, plays: &[Value]) -> Self {
        let modules = kept("SPRINGHEAD_TEST_PLAYERS", "players");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/players/play.mjs");
        assert_is_here("chromium");
        let mut node = limited(120, "node");
        node.arg(script).arg(modules);
        let mut node: Child = node.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(node.stdout.take().unwrap());
        node.stdin.take().unwrap().write_all(json!(plays).to_string().as_bytes()).unwrap();
        Self { node: Process(node), lines, number: plays.len() }
    }

    fn next(&mut self) -> Value {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        assert!(!line.is_empty(), "the players have failed");
        serde_json::from_str(&line).unwrap()
    }

    /// Waits until all of them show a picture.
    pub(crate) fn wait_until_playing(&mut self) {
        (0..self.number).for_each(|_| self.wait_until_one_is_playing());
    }

    /// Waits until another one of them shows a picture.
    pub(crate) fn wait_until_one_is_playing(&mut self) {
        let event = self.next();
        assert_eq!(event["event"], "playing", "{event}");
    }

    /// Waits until they are through.
    pub(crate) fn finish(mut self) -> Vec<Play> {
        let mut plays: Vec<(u64, Play)> = Vec::new();
        while plays.len() < self.number {
            let event = self.next();
            if event["event"] == "playing" {
                continue;
            }
            plays.push((event["play"].as_u64().unwrap(), serde_json::from_value(event).unwrap()));
        }
        assert!(self.node.0.wait().unwrap().success());
        plays.sort_by_key(|(number, _)| *number);
        plays.into_iter().map(|(_, play)| play).inspect(Play::report).collect()
    }
}

/// A test picture in real time, as H.264 with a key frame each second.
const PICTURE: &str = "-hide_banner -nostdin -v error -re -f lavfi -i testsrc2=size=320x180:rate=15";
const TONE: &str = "-re -f lavfi -i sine=frequency=440:sample_rate=48000 -c:a aac -b:a 48k -ac 1";
const H264: &str = "-c:v libx264 -preset ultrafast -tune zerolatency -g 15 -keyint_min 15 -sc_threshold 0 -threads 1 \
    -pix_fmt yuv420p -b:v 200k";

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split_whitespace()
}

fn ffmpeg(arguments: &[&str]) -> Command {
    let mut ffmpeg = program("ffmpeg");
    ffmpeg.args(words(PICTURE)).args(arguments.iter().flat_map(|text| words(text))).stdin(Stdio::null());
    ffmpeg
}

fn start(mut command: Command) -> Process {
    Process(command.spawn().unwrap())
}

/// An encoder that pushes one rendition in segments of this many seconds to the origin, or to a folder. One that comes after another
/// goes on with its playlist, and says that there is a break.
pub(crate) fn push_hls(to: &str, segment: u32, more: &str) -> Process {
    let mut ffmpeg = ffmpeg(&[TONE, H264, &format!("-f hls -hls_time {segment} -hls_list_size 8"), more]);
    if to.starts_with("http") {
        ffmpeg.args(words("-method PUT -ignore_io_errors 1 -master_pl_name playlist.m3u8"));
    }
    ffmpeg.args(["-hls_segment_filename", &format!("{to}/playlist_1_%05d.ts"), &format!("{to}/playlist_1.m3u8")]);
    start(ffmpeg)
}

/// Where an encoder pushes to.
fn ingest(origin: &Origin) -> String {
    format!("http://momento:{}@{}/cache/{NAMESPACE}", origin.encoder, origin.address)
}

/// Waits until a playlist lists this many segments.
pub(crate) fn wait_for_segments(origin: &Origin, playlist: &str, number: usize) {
    let listed = || (origin.get(playlist).text().matches("#EXTINF").count() >= number).then_some(());
    assert!(eventually(Duration::from_secs(30), listed).is_some(), "the stream begins");
}

#[test]
fn hls_js_plays_from_start_to_end_and_through_an_encoder_restart() {
    const FLAGS: &str = "-hls_flags independent_segments+program_date_time+append_list";
    let turn = BrowserTurn::wait();
    let origin = Origin::start();
    let front = Front::start(&origin);
    let first = push_hls(&ingest(&origin), 1, &format!("{FLAGS}+omit_endlist"));
    wait_for_segments(&origin, "playlist_1.m3u8", 4);
    let mut players = Players::start(&turn, &[json!({"player": "hls.js", "url": front.url("playlist.m3u8"), "seconds": 60})]);
    players.wait_until_playing();
    thread::sleep(Duration::from_secs(8));
    // It crashes, and its successor takes over at once.
    drop(first);
    let mut second = push_hls(&ingest(&origin), 1, &format!("{FLAGS} -t 6"));
    let play = players.finish().remove(0);
    assert!(second.0.wait().unwrap().success());
    play.goes_on(0);
    assert!(play.ended && play.frames.len() >= 13, "to the end: {play:?}");
    assert!(play.missed.is_empty() && play.broken.is_empty(), "no 404, nor anything else: {play:?}");
    assert!(play.stalls.is_empty(), "{play:?}");
    let playlist = origin.get("playlist_1.m3u8").text();
    assert!(playlist.contains("#EXT-X-DISCONTINUITY\n") && playlist.contains("#EXT-X-ENDLIST"), "{playlist}");
}

/// Without `append_list` each start counts from 0, over the names of the one before: hls.js stops for good at that, unless the playlist is
/// normalised.
#[test]
fn hls_js_plays_through_encoders_that_count_from_0_where_playlists_are_normalised() {
    const FLAGS: &str = "-hls_flags independent_segments+program_date_time+omit_endlist";
    let turn = BrowserTurn::wait();
    let origin = Origin::start_with_settings("[namespaces.live-origin]\nnormalise = [\"\"]\n");
    let front = Front::start(&origin);
    let first = push_hls(&ingest(&origin), 1, FLAGS);
    wait_for_segments(&origin, "playlist_1.m3u8", 4);
    let mut players = Players::start(&turn, &[json!({"player": "hls.js", "url": front.url("playlist.m3u8"), "seconds": 24})]);
    players.wait_until_playing();
    thread::sleep(Duration::from_secs(6));
    drop(first);
    let second = push_hls(&ingest(&origin), 1, FLAGS);
    thread::sleep(Duration::from_secs(8));
    drop(second);
    let _third = push_hls(&ingest(&origin), 1, FLAGS);
    let play = players.finish().remove(0);
    play.goes_on(0);
    assert!(play.missed.is_empty() && play.broken.is_empty(), "no 404, nor anything else: {play:?}");
    assert!(origin.metric("springhead_normalised_total{namespace=\"live-origin\",what=\"restart\"}") >= 2.0);
}

/// Sends what ffmpeg leaves in a folder as MediaLive sends: in order, and again until it is taken.
pub(crate) fn send_until_taken(folder: &Path, to: &str, done: &AtomicBool) {
    let (mut sent, mut last) = (BTreeSet::new(), String::new());
    let put = |name: &str| {
        let mut curl = program("curl");
        curl.args(["-sf", "--max-time", "30", "--retry", "20", "--retry-delay", "1", "--retry-all-errors", "-T"]);
        assert!(curl.arg(folder.join(name)).arg(format!("{to}/{name}")).status().unwrap().success(), "{name} is taken");
    };
    while !done.load(SeqCst) {
        thread::sleep(Duration::from_millis(50));
        let playlist = fs::read_to_string(folder.join("playlist_1.m3u8")).unwrap_or_default();
        if playlist != last {
            playlist.lines().filter(|line| line.ends_with(".ts") && sent.insert((*line).to_owned())).for_each(put);
            put("playlist_1.m3u8");
            last = playlist;
        }
    }
}

/// The origin is killed and away for two seconds. If the encoder sends again what was not taken, a viewer who was up to date notices
/// nothing. If it never does, its playlist has a hole, and the player gets over it.
#[test]
fn hls_js_plays_through_a_kill_of_the_origin() {
    const FLAGS: &str = "-hls_flags independent_segments+program_date_time+omit_endlist";
    let turn = BrowserTurn::wait();
    let listen = format!("127.0.0.1:{}", free_port());
    let mut origin = Origin::start_with(&["--listen", &listen]);
    // The address that stays.
    origin.address = listen.parse().unwrap();
    let front = Front::start(&origin);
    let again = ingest(&origin) + "/again";
    let files = origin.folder().join("files");
    fs::create_dir(&files).unwrap();
    let _encoders = [push_hls(files.to_str().unwrap(), 2, FLAGS), push_hls(&ingest(&origin), 1, FLAGS)];
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let finally = Finally(&done);
        scope.spawn(|| send_until_taken(&files, &again, &done));
        wait_for_segments(&origin, "again/playlist_1.m3u8", 4);
        let play = |url: String| json!({"player": "hls.js", "url": url, "seconds": 26});
        let plays = [play(front.url("again/playlist_1.m3u8")), play(front.url("playlist.m3u8"))];
        let mut players = Players::start(&turn, &plays);
        players.wait_until_playing();
        thread::sleep(Duration::from_secs(4));
        // What is written behind may be lost by a kill: it comes when all players have read that.
        let newest_is_read = || {
            let newest = format!("again/{}", origin.get("again/playlist_1.m3u8").text().lines().next_back()?);
            let log = fs::read_to_string(origin.access_log_path()).unwrap();
            let is_read = |line: &str| line.contains(&newest) && line.contains("\"GET\"") && line.contains("\"hit\"");
            log.lines().any(is_read).then_some(())
        };
        assert!(eventually(Duration::from_secs(8), newest_is_read).is_some(), "the player follows");
        origin.signal("KILL");
        assert!(!origin.wait().success());
        thread::sleep(Duration::from_secs(2));
        origin.launch();
        origin.address = listen.parse().unwrap();
        let [taken, lost] = players.finish().try_into().unwrap();
        drop(finally);
        taken.goes_on(0);
        assert!(taken.stalls.is_empty(), "{taken:?}");
        assert!(taken.missed.iter().all(|(_, _, path)| path.ends_with(".m3u8")), "no segment is missed: {taken:?}");
        // The hole is in its playlist for eight seconds.
        lost.goes_on(20);
    });
}

#[test]
fn hls_js_is_under_three_seconds_behind_a_low_latency_stream() {
    let turn = BrowserTurn::wait();
    // The packager shares the machine with a browser that starts: it may be late, and is waited for.
    let origin = Origin::start_with_settings("[namespaces.live-origin]\nhold = \"3s\"\n");
    let (done, watched) = (AtomicBool::new(false), AtomicBool::new(false));
    thread::scope(|scope| {
        // Readers end first: what is announced to them is to come.
        let packager = Finally(&done);
        scope.spawn(|| packager::run(&origin, &done));
        wait_for_segments(&origin, Parts::Ranges.playlist(), 4);
        let reading = Finally(&watched);
        let readers = [Parts::Files, Parts::Ranges].map(|kind| {
            let (origin, watched) = (&origin, &watched);
            scope.spawn(move || packager::follow_hints(origin, kind, watched))
        });
        let plays = [Parts::Files, Parts::Ranges].map(|kind| {
            let url = format!("http://{}{}", origin.address, origin.path(kind.playlist()));
            // A browser that started late plays a little faster until it is where the playlist wants it: what counts is what the origin
            // lets a player reach, not how long this machine took to start one.
            let config = json!({"maxLiveSyncPlaybackRate": 1.5, "liveSyncOnStallIncrease": 0});
            json!({"player": "hls.js", "url": url, "seconds": 15, "token": origin.player, "config": config})
        });
        let plays = Players::start(&turn, &plays).finish();
        drop(reading);
        for play in plays {
            play.goes_on(0);
            assert!(play.missed.is_empty() && play.broken.is_empty(), "{play:?}");
            assert!(play.latency_reached() < 3.0, "{play:?}");
        }
        let read = readers.map(|reader| reader.join().unwrap());
        drop(packager);
        eprintln!("announced parts read ahead of time: {read:?}");
        assert!(read[0] >= 40 && read[1] >= 10, "{read:?}");
    });
    // The players have waited for each playlist, and had the parts before their segment was whole.
    let log = fs::read_to_string(origin.access_log_path()).unwrap();
    let browser = |what: &str| log.lines().filter(|line| line.contains("HeadlessChrome") && line.contains(what)).count();
    eprintln!("files: {}, growing: {}", browser("files/part_"), browser("\"growing\""));
    assert!(browser("files/part_") >= 40 && browser("\"growing\"") >= 30);
}

/// ffmpeg sends each frame as it is encoded, and the players ask for segments whose first frame may not be there yet.
#[test]
fn dash_players_miss_next_to_nothing_of_a_low_latency_stream() {
    let turn = BrowserTurn::wait();
    let origin = Origin::start();
    let at = format!("http://{}", origin.address);
    let basic = STANDARD.encode(format!("momento:{}", origin.encoder));
    let dash = "-f dash -method PUT -http_persistent 1 -seg_duration 1 -frag_type every_frame -streaming 1 -ldash 1 -use_template 1 \
        -use_timeline 0 -window_size 8 -extra_window_size 4 -target_latency 1.5 -write_prft 1 -utc_timing_url";
    let mut ffmpeg = ffmpeg(&[TONE, H264, dash, &format!("{at}/time")]);
    ffmpeg.args(["-adaptation_sets", "id=0,streams=v id=1,streams=a", "-http_opts"]);
    ffmpeg.arg(format!("headers=Authorization\\: Basic {basic}")).arg(format!("{at}/cache/{NAMESPACE}/manifest.mpd"));
    let _ffmpeg = start(ffmpeg);
    let begun = eventually(Duration::from_secs(20), || (origin.get("chunk-stream0-00004.m4s").status == 200).then_some(()));
    assert!(begun.is_some(), "the stream begins");
    let plays = ["dash.js", "shaka-player"].map(|player| {
        let url = format!("{at}{}", origin.path("manifest.mpd"));
        json!({"player": player, "url": url, "seconds": 20, "token": origin.player})
    });
    for play in Players::start(&turn, &plays).finish() {
        play.goes_on(0);
        assert!(play.latency_reached() < 3.0, "{play:?}");
        assert!(play.requests >= 40 && play.missed.len() * 20 < play.requests, "{play:?}");
    }
}
