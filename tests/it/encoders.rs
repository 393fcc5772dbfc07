//! Real encoders push live streams; a reader follows each through the CDN's stand-in as a player would, and in the end ffmpeg
//! decodes all of it.

use std::collections::BTreeSet;
use std::net::UdpSocket;
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::front::Front;
use crate::harness::{Finally, NAMESPACE, Origin, Process, eventually};
use crate::programs::{kept, limited};

const RENDITIONS: [&str; 3] = ["720p30", "480p30", "240p30"];

/// A test picture with a tone, in real time.
const SOURCE: &str = "-re -f lavfi -i testsrc2=size=320x180:rate=15 -re -f lavfi -i sine=frequency=440:sample_rate=48000";
const ENCODER: &str = "-c:v libx264 -preset ultrafast -tune zerolatency -g 30 -keyint_min 30 -sc_threshold 0 -threads 1 \
    -pix_fmt yuv420p -c:a aac -b:a 48k -ac 1";

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// Runs ffmpeg, for this many seconds at most: a reader that misses a segment may ask for it for ever.
fn ffmpeg(limit: u32, arguments: &[String]) -> Output {
    let mut command = limited(limit, "ffmpeg");
    command.args(["-hide_banner", "-nostdin", "-v", "error"]).args(arguments);
    command.output().unwrap()
}

/// How an encoder says who it is.
#[derive(Clone, Copy, PartialEq)]
enum Credentials {
    /// In the URL: not sent before they are asked for.
    InUrl,
    /// As a header with each request.
    InHeader,
}

/// Pushes three renditions for some seconds, followed by a reader, and checks everything.
fn push_hls(fmp4: bool, persistent: bool, credentials: Credentials) {
    let origin = Origin::start();
    let front = Front::start(&origin);
    let user = match credentials {
        Credentials::InUrl => format!("momento:{}@", origin.encoder),
        Credentials::InHeader => String::new(),
    };
    let base = format!("http://{user}{}/cache/{NAMESPACE}", origin.address);
    let query = "?ttl_seconds=3600&role=origin";
    let mut arguments = words(SOURCE);
    arguments.extend(words("-t 13 -filter_complex"));
    arguments.push("[0:v]split=3[a][b][c];[b]scale=256:144[b1];[c]scale=192:108[c1]".to_owned());
    arguments.extend(words("-map [a] -map [b1] -map [c1] -map 1:a -map 1:a -map 1:a -b:v:0 300k -b:v:1 200k -b:v:2 100k"));
    arguments.extend(words(ENCODER));
    arguments.extend(words("-f hls -method PUT -hls_time 2 -hls_list_size 4"));
    arguments.extend(words("-hls_flags delete_segments+independent_segments+program_date_time -var_stream_map"));
    arguments.push("v:0,a:0,name:720p30 v:1,a:1,name:480p30 v:2,a:2,name:240p30".to_owned());
    arguments.extend(words("-master_pl_name playlist.m3u8 -master_pl_publish_rate 2"));
    if persistent {
        arguments.extend(words("-http_persistent 1"));
    }
    if credentials == Credentials::InHeader {
        let basic = STANDARD.encode(format!("momento:{}", origin.encoder));
        arguments.extend(["-headers".to_owned(), format!("Authorization: Basic {basic}\r\n")]);
    }
    let extension = if fmp4 { "m4s" } else { "ts" };
    if fmp4 {
        arguments.extend(words("-hls_segment_type fmp4 -hls_fmp4_init_filename init_%v.mp4"));
    }
    arguments.push("-hls_segment_filename".to_owned());
    arguments.push(format!("{base}/playlist_%v_%05d.{extension}{query}"));
    arguments.push(format!("{base}/playlist_%v.m3u8{query}"));

    let done = AtomicBool::new(false);
    let read = thread::scope(|scope| {
        let follower = scope.spawn(|| follow(&front, &done));
        let finally = Finally(&done);
        let output = ffmpeg(60, &arguments);
        drop(finally);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{said}");
        assert!(!said.contains("fail") && !said.contains("rror"), "ffmpeg complains: {said}");
        follower.join().unwrap()
    });
    for rendition in RENDITIONS {
        let seen = read.iter().filter(|name| name.contains(rendition) && name.contains(extension)).count();
        assert!(seen >= 5, "{rendition}: the reader saw {seen} segments: {read:?}");
        decodes(&front.url(&format!("playlist_{rendition}.m3u8")), 7.0);
    }
    decodes(&front.url("playlist.m3u8"), 7.0);
    for rendition in RENDITIONS {
        let names = segments_of(&origin, &format!("playlist_{rendition}_"));
        let last = ended_hls(&origin, &format!("playlist_{rendition}.m3u8"));
        assert_eq!(last.iter().max(), names.iter().max(), "the last one that came is listed");
        let deleted = deleted(&origin, &format!("playlist_{rendition}_"));
        // It keeps one segment more than it lists.
        let left: Vec<_> = names.iter().filter(|name| !last.contains(*name) && !deleted.contains(*name)).collect();
        assert!(
            deleted.len() >= 2 && left.len() <= 1 && last.is_disjoint(&deleted),
            "{rendition}: {names:?}, {last:?}, {deleted:?}"
        );
    }
    expect_no_refusal_but_the_challenge(&origin, credentials == Credentials::InUrl);
}

/// The segments whose names begin so that were uploaded whole.
fn segments_of(origin: &Origin, prefix: &str) -> BTreeSet<String> {
    logged(origin, "PUT").into_iter().filter(|name| name.starts_with(prefix)).collect()
}

/// Those that the encoder has deleted, all of which are gone.
fn deleted(origin: &Origin, prefix: &str) -> BTreeSet<String> {
    let all: BTreeSet<String> = logged(origin, "DELETE").into_iter().filter(|name| name.starts_with(prefix)).collect();
    for name in &all {
        assert_eq!(origin.get(name).status, 404, "{name} was deleted");
    }
    all
}

/// What was done in this way, by the access log.
fn logged(origin: &Origin, verb: &str) -> BTreeSet<String> {
    let log = std::fs::read_to_string(origin.access_log_path()).unwrap();
    let lines = log.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    lines
        .filter(|line| line["verb"] == verb && line["status"] == 204)
        .map(|line| line["key"].as_str().unwrap().to_owned())
        .collect()
}

/// A playlist as its encoder has left it: with its end, whatever went over which connection last, and with all that it lists. Returns that.
fn ended_hls(origin: &Origin, playlist: &str) -> BTreeSet<String> {
    // ffmpeg does not wait for the last answers.
    let has_end = || Some(origin.get(playlist).text()).filter(|text| text.trim_end().ends_with("#EXT-X-ENDLIST"));
    let text =
        eventually(Duration::from_secs(10), has_end).unwrap_or_else(|| panic!("{playlist}: {}", origin.get(playlist).text()));
    let listed: BTreeSet<String> = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|uri| uri.split('?').next().unwrap().to_owned())
        .collect();
    for name in &listed {
        let answer = origin.get(name);
        assert!(answer.status == 200 && !answer.body.is_empty(), "{name} is listed in the end: {}", answer.status);
    }
    assert_eq!(standing(origin, playlist), "ended");
    listed
}

/// How a playlist or MPD stands, for who looks after the server.
fn standing(origin: &Origin, playlist: &str) -> String {
    let text = crate::wire::Request::new("GET", "/v1/streams").send(origin.admin).text();
    let all: serde_json::Value = serde_json::from_str(&text).unwrap();
    let mut renditions = all["streams"].as_array().unwrap().iter().flat_map(|stream| stream["renditions"].as_array().unwrap());
    let found = renditions.find(|rendition| rendition["playlist"] == playlist);
    found.unwrap_or_else(|| panic!("{playlist} is not in {text}"))["state"].as_str().unwrap().to_owned()
}

/// Follows a live HLS stream through the front, as a player does, until it is told that it has ended: master, variants, and
/// every segment and initialisation segment as it is listed. Returns the names it read.
fn follow(front: &Front, done: &AtomicBool) -> BTreeSet<String> {
    let mut read = BTreeSet::new();
    let mut last_round = false;
    while !last_round {
        last_round = done.load(Ordering::SeqCst);
        let master = front.get("/playlist.m3u8");
        for variant in uris(&master.text_if(200)) {
            let playlist = front.get(&format!("/{variant}"));
            for name in uris(&playlist.text_if(200)) {
                let path = name.split('?').next().unwrap().to_owned();
                if read.contains(&path) {
                    continue;
                }
                // A playlist may overtake the last piece of its segment: the encoder does not wait for the answer.
                let found = eventually(Duration::from_millis(500), || {
                    let answer = front.get(&format!("/{name}"));
                    (answer.status == 200).then_some(answer)
                });
                let body = found.unwrap_or_else(|| panic!("{name} is listed but not there")).body;
                let whole = match path.rsplit('.').next() {
                    Some("ts") => body.len() % 188 == 0 && body.iter().step_by(188).all(|byte| *byte == 0x47),
                    _ => iso_boxes_are_whole(&body),
                };
                assert!(whole && !body.is_empty(), "{name} is not whole: {} bytes", body.len());
                read.insert(path);
            }
        }
        thread::sleep(Duration::from_millis(200));
    }
    read
}

/// The URIs of a playlist, those of EXT-X-MAP included.
fn uris(playlist: &str) -> Vec<String> {
    let maps = playlist.lines().filter_map(|line| line.strip_prefix("#EXT-X-MAP:URI=\"")?.split('"').next());
    let lines = playlist.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    maps.chain(lines).map(str::to_owned).collect()
}

fn iso_boxes_are_whole(body: &[u8]) -> bool {
    let mut rest = body;
    while let Some(size) = rest.first_chunk::<4>() {
        let size = u32::from_be_bytes(*size) as usize;
        if size < 8 || size > rest.len() {
            return false;
        }
        rest = &rest[size..];
    }
    rest.is_empty()
}

impl crate::wire::Answer {
    fn text_if(&self, status: u16) -> String {
        if self.status == status { self.text() } else { String::new() }
    }
}

/// ffprobe finds picture and sound, and ffmpeg decodes at least this many seconds without a complaint.
fn decodes(url: &str, seconds: f64) {
    let arguments = format!("-v error -show_entries stream=codec_type -of csv=p=0 {url}");
    let output = limited(30, "ffprobe").args(words(&arguments)).output().unwrap();
    let found = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && found.contains("video"), "{url}: {found} {}", String::from_utf8_lossy(&output.stderr));
    let output = ffmpeg(30, &words(&format!("-i {url} -map 0:v:0 -f null -progress - -stats_period 60 /dev/null")));
    let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && complaints.is_empty(), "{url} does not decode: {complaints}");
    let progress = String::from_utf8_lossy(&output.stdout).into_owned();
    let decoded = progress.lines().filter_map(|line| line.strip_prefix("out_time_us=")?.parse::<f64>().ok()).next_back();
    assert!(decoded.is_some_and(|decoded| decoded / 1e6 >= seconds), "{url}: only {decoded:?} us of {seconds} s decode");
}

/// No request was answered with an error but, where the encoder waits to be asked, 401, and the few reads before the stream was
/// there.
fn expect_no_refusal_but_the_challenge(origin: &Origin, challenged: bool) {
    let metrics = origin.metrics();
    let mut challenges = 0;
    for line in metrics.lines().filter(|line| line.starts_with("springhead_http_requests_total{")) {
        let label = |name: &str| line.split(&format!("{name}=\"")).nth(1).unwrap().split('"').next().unwrap();
        let is_read = matches!(label("method"), "GET" | "HEAD");
        match label("status") {
            "200" | "204" | "206" | "304" => {}
            "401" if !is_read && challenged => challenges += 1,
            "404" if is_read => {}
            status => panic!("an encoder was answered {status}: {line}"),
        }
    }
    assert_eq!(challenges > 0, challenged);
    assert!(origin.refusals().is_empty());
    for line in origin.log().iter().filter(|line| line["level"] == "WARN" || line["level"] == "ERROR") {
        // Shaka Packager's first target duration is that of its first, short segment.
        if line["event"] == "target-changed" && ["v.m3u8", "a.m3u8"].iter().any(|name| line["playlist"] == *name) {
            continue;
        }
        let lateness = line["event"] == "late" || line["event"] == "stale";
        assert!(line["message"] == "stream" && lateness, "nothing to warn of: {line:#}");
        expect_true(origin, line);
    }
}

/// Holds "no new segment for 4.6 s" against what arrived. It is said of an encoder that has ended without a word, and of one that a busy
/// machine holds up: then rightly. It is wrong where a segment came in that time, whole, and then a playlist that could list it.
fn expect_true(origin: &Origin, finding: &serde_json::Value) {
    let said = finding["detail"].as_str().unwrap();
    let seconds = |before: &str| -> f64 { said.split(before).nth(1).unwrap().split(' ').next().unwrap().parse().unwrap() };
    let age = seconds("no new segment for ");
    let at = |text: &serde_json::Value| -> f64 {
        let time = humantime::parse_rfc3339(text.as_str().unwrap()).unwrap();
        time.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64()
    };
    // Ages are said in tenths.
    let (from, until) = (at(&finding["timestamp"]) - age + 0.1, at(&finding["timestamp"]));
    let playlist = finding["playlist"].as_str().or(finding["stream"].as_str()).unwrap();
    // The files of a rendition have its playlist's name before a number; all are an MPD's.
    let stem = playlist.strip_suffix(".m3u8").map(|stem| format!("{stem}_")).unwrap_or_default();
    let log = std::fs::read_to_string(origin.access_log_path()).unwrap();
    let uploads: Vec<(String, f64, f64)> = log
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .filter(|line| line["outcome"] == "stored")
        .map(|line| {
            let ended = at(&line["time"]);
            (line["key"].as_str().unwrap().to_owned(), ended - line["duration_us"].as_f64().unwrap() / 1e6, ended)
        })
        .filter(|(_, begun, ended)| *begun > from && *ended < until)
        .collect();
    let is_segment = |key: &str| key.starts_with(&stem) && (key.ends_with(".ts") || key.ends_with(".m4s"));
    for (segment, _, there) in uploads.iter().filter(|(key, ..)| is_segment(key)) {
        let listed = uploads.iter().any(|(key, begun, _)| key == playlist && begun > there);
        assert!(!listed, "{segment} came, and {playlist} after it: {finding:#}");
    }
}

#[test]
fn ffmpeg_hls_ts_persistent() {
    push_hls(false, true, Credentials::InHeader);
}

#[test]
fn ffmpeg_hls_ts_a_connection_for_each_object() {
    push_hls(false, false, Credentials::InUrl);
}

#[test]
fn ffmpeg_hls_fmp4_persistent() {
    push_hls(true, true, Credentials::InUrl);
}

#[test]
fn ffmpeg_hls_fmp4_a_connection_for_each_object() {
    push_hls(true, false, Credentials::InHeader);
}

#[test]
fn ffmpeg_dash() {
    let origin = Origin::start();
    let front = Front::start(&origin);
    let basic = STANDARD.encode(format!("momento:{}", origin.encoder));
    let mut arguments = words(SOURCE);
    arguments.extend(words("-t 13 -map 0:v -map 0:v -map 1:a -b:v:0 300k -b:v:1 100k"));
    arguments.extend(words(ENCODER));
    arguments.extend(words("-f dash -method PUT -http_persistent 1 -seg_duration 2 -window_size 4 -extra_window_size 2"));
    arguments.extend(words("-use_template 1 -use_timeline 1 -http_opts"));
    arguments.push(format!("headers=Authorization\\: Basic {basic}"));
    arguments.extend(["-adaptation_sets".to_owned(), "id=0,streams=v id=1,streams=a".to_owned()]);
    arguments.push(format!("http://{}/cache/{NAMESPACE}/manifest.mpd", origin.address));
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut decoded = 0;
            while !done.load(Ordering::SeqCst) {
                thread::sleep(Duration::from_secs(3));
                let manifest = front.get("/manifest.mpd");
                // The first MPD lists a segment of one rendition and none of the other; of such a one ffmpeg asks for number 0, as fast as
                // it can, until it is ended.
                let text = manifest.text();
                let lists_all = text.split("<SegmentTimeline>").skip(1).all(|timeline| timeline.trim_start().starts_with("<S "));
                if manifest.status == 200 && text.contains("type=\"dynamic\"") && lists_all {
                    assert_eq!(manifest.header("content-type"), "application/dash+xml");
                    let mpd = front.url("manifest.mpd");
                    let output = ffmpeg(30, &words(&format!("-i {mpd} -map 0:v:0 -frames:v 20 -f null /dev/null")));
                    decoded += usize::from(output.status.success());
                }
            }
            decoded
        });
        let finally = Finally(&done);
        let output = ffmpeg(60, &arguments);
        drop(finally);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(reader.join().unwrap() >= 1, "the live stream was read while it ran");
    });
    // In the end it says that it is over, and lists what is there; what it has deleted is gone.
    let is_over = || Some(origin.get("manifest.mpd").text()).filter(|text| text.contains("type=\"static\""));
    assert!(eventually(Duration::from_secs(10), is_over).is_some(), "{}", origin.get("manifest.mpd").text());
    // It is judged once a second.
    let has_ended = || (standing(&origin, "manifest.mpd") == "ended").then_some(());
    assert!(eventually(Duration::from_secs(10), has_ended).is_some(), "{}", standing(&origin, "manifest.mpd"));
    for stream in 0..3 {
        let prefix = format!("chunk-stream{stream}-");
        let (came, deleted) = (segments_of(&origin, &prefix), deleted(&origin, &prefix));
        let left: Vec<_> = came.difference(&deleted).collect();
        assert!(!left.is_empty() && left.iter().all(|name| origin.get(name).status == 200), "{left:?}");
        assert!(left.contains(&came.last().unwrap()) && left.len() <= 7, "{came:?}, {deleted:?}");
    }
    decodes(&front.url("manifest.mpd"), 7.0);
    assert_eq!(front.get("/init-stream0.m4s").header("content-type"), "video/iso.segment");
    expect_no_refusal_but_the_challenge(&origin, false);
}

#[test]
fn shaka_packager() {
    let packager = kept("SPRINGHEAD_TEST_PACKAGER", "packager");
    let origin = Origin::start();
    let front = Front::start(&origin);
    let port = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let base = format!("http://momento:{}@{}/cache/{NAMESPACE}", origin.encoder, origin.address);
    let input = format!("in=udp://127.0.0.1:{port}?timeout=4000000");
    let child = Command::new(packager)
        .arg(format!(
            "{input},stream=video,init_segment={base}/v_init.mp4,segment_template={base}/v_$Number$.m4s,playlist_name=v.m3u8"
        ))
        .arg(format!(
            "{input},stream=audio,init_segment={base}/a_init.mp4,segment_template={base}/a_$Number$.m4s,playlist_name=a.m3u8,\
             hls_group_id=aud,hls_name=en"
        ))
        .args(["--mpd_output", &format!("{base}/live.mpd"), "--hls_master_playlist_output", &format!("{base}/playlist.m3u8")])
        .args(words("--hls_playlist_type LIVE --segment_duration 2 --time_shift_buffer_depth 4"))
        .args(words("--preserved_segments_outside_live_window 1 --io_block_size 65536"))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut packager = Process(child);
    thread::sleep(Duration::from_millis(500));
    let mut arguments = words(SOURCE);
    arguments.extend(words("-t 14"));
    arguments.extend(words(ENCODER));
    arguments.extend(words(&format!("-f mpegts udp://127.0.0.1:{port}?pkt_size=1316")));
    assert!(ffmpeg(60, &arguments).status.success());
    // The live window, while the packager still waits for more.
    assert!(front.get("/v_init.mp4").status == 200);
    for name in ["playlist.m3u8", "v.m3u8", "live.mpd"] {
        let answer = front.get(&format!("/{name}"));
        assert_eq!(answer.status, 200, "{name}");
        assert_ne!(answer.header("content-type"), "application/octet-stream", "typed by name, whatever the packager says");
    }
    for name in uris(&front.get("/v.m3u8").text()) {
        assert_eq!(front.get(&format!("/{name}")).status, 200, "{name} is listed");
    }
    let ended = eventually(Duration::from_secs(20), || packager.0.try_wait().unwrap());
    let mut said = String::new();
    std::io::Read::read_to_string(&mut packager.0.stderr.take().unwrap(), &mut said).unwrap();
    // Its own input error at the end of the feed is no concern of the origin; a failed request would be.
    assert!(ended.is_some() && !said.contains("HttpFile request failed"), "{said}");
    // Twice each.
    let gone = deleted(&origin, "v_");
    assert!(gone.contains("v_1.m4s"), "{gone:?}");
    for playlist in ["v.m3u8", "a.m3u8"] {
        for name in uris(&origin.get(playlist).text()) {
            assert!(origin.get(&name).status == 200 && !gone.contains(&name), "{name} is listed in the end");
        }
    }
    // Its last uploads go on without it.
    let has_length = || front.get("/v_init.mp4").body.windows(4).any(|word| word == b"mehd").then_some(());
    let again = eventually(Duration::from_secs(5), has_length);
    assert!(again.is_some(), "it has been written again, with how long everything was: {said}");
    let streams = String::from_utf8(crate::wire::Request::new("GET", "/v1/streams").send(origin.admin).body).unwrap();
    assert!(
        streams.contains("\"names_reused\":0") && !streams.contains("\"names_reused\":1"),
        "it declares the same tracks: {streams}"
    );
    expect_no_refusal_but_the_challenge(&origin, false);
}

#[test]
fn gstreamer_posts_in_small_chunks() {
    let origin = Origin::start();
    let front = Front::start(&origin);
    let pipeline = format!(
        "videotestsrc is-live=true num-buffers=120 ! video/x-raw,width=320,height=180,framerate=15/1 ! x264enc tune=zerolatency \
         speed-preset=ultrafast key-int-max=30 bitrate=300 ! h264parse ! splitmuxsink async-finalize=true \
         muxer-factory=mpegtsmux sink-factory=curlhttpsink max-size-time=2000000000 \
         location=http://{}/cache/{NAMESPACE}/g_%05d.ts",
        origin.address
    );
    let properties = format!("sink-properties=properties,user=(string)momento,passwd=(string)\"{}\"", origin.encoder);
    let output = limited(60, "gst-launch-1.0").arg("-q").args(words(&pipeline)).arg(properties).output();
    let output = output.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for n in 0..4 {
        let name = format!("g_{n:05}.ts");
        let there = eventually(Duration::from_secs(5), || (front.get(&format!("/{name}")).status == 200).then_some(()));
        assert!(there.is_some(), "{name}; {}", String::from_utf8_lossy(&output.stderr));
        decodes(&front.url(&name), 1.5);
    }
    assert!(origin.refusals().is_empty());
    assert!(origin.metric("springhead_http_requests_total{method=\"POST\",status=\"204\"}") >= 4.0);
}
