//! What segments' bytes say: of real encoders' segments the same as ffprobe says, and what is broken is counted.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::harness::{NAMESPACE, Origin};
use crate::programs::program;
use crate::wire::Request;

/// Encodes six seconds into a folder: three segments and their playlist.
fn encode(folder: &Path, video: &str, segments: &str) {
    let source = "-f lavfi -i testsrc2=size=160x90:rate=25 -f lavfi -i anoisesrc=sample_rate=48000:amplitude=0.3 -t 6";
    let coding =
        "-g 50 -keyint_min 50 -sc_threshold 0 -pix_fmt yuv420p -c:a aac -b:a 128k -threads 1 -f hls -hls_time 2 -hls_list_size 0";
    let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let mut command = program("ffmpeg");
    command.args(["-hide_banner", "-nostdin", "-v", "error"]).args(words(source)).args(words(video)).args(words(coding));
    let status = command.args(words(segments)).arg("list.m3u8").current_dir(folder).status().unwrap();
    assert!(status.success());
}

/// Stores what is in the folder, the playlist last and without its end, and gives what is said of its newest segment.
fn stored(origin: &Origin, folder: &Path, stream: &str) -> Value {
    let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    names.sort_by_key(|name| name.ends_with(".m3u8"));
    for name in &names {
        origin.store(&format!("{stream}/{name}"), fs::read(folder.join(name)).unwrap());
    }
    let answer = Request::new("GET", "/v1/streams").send(origin.admin);
    let all: Value = serde_json::from_str(&answer.text()).unwrap();
    let streams = all["streams"].as_array().unwrap();
    let named = |it: &&Value| it["stream"] == format!("{stream}/list.m3u8");
    streams.iter().find(named).unwrap_or_else(|| panic!("{all}"))["renditions"][0].clone()
}

/// The first time and the length of a stream's packets, by ffprobe.
fn probed(file: &Path, stream: &str) -> (f64, f64) {
    let mut command = program("ffprobe");
    command.args(["-v", "error", "-select_streams", stream, "-show_entries", "packet=pts_time,duration_time", "-of", "csv=p=0"]);
    if file.extension().is_some_and(|extension| extension == "mp4") {
        command.args(["-ignore_editlist", "1"]);
    }
    let said = command.arg(file).output().unwrap();
    let lines = String::from_utf8(said.stdout).unwrap();
    let numbers = |line: &str| line.split(',').map(|word| word.parse().unwrap_or(0.0)).collect::<Vec<f64>>();
    let packets: Vec<_> = lines.lines().filter(|line| !line.is_empty()).map(numbers).collect();
    let first = packets.iter().map(|packet| packet[0]).fold(f64::MAX, f64::min);
    let end = packets.iter().map(|packet| packet[0] + packet[1]).fold(0.0, f64::max);
    assert!(!packets.is_empty(), "{}: {lines}", file.display());
    (first, end - first)
}

fn agree(facts: &Value, at: usize, medium: &str, (first, duration): (f64, f64), what: &str) {
    let track = &facts["tracks"][at];
    assert_eq!((&track["medium"], &facts["defects"]), (&Value::from(medium), &Value::Array(Vec::new())), "{what}: {facts}");
    let near = |name: &str, probed: f64, apart: f64| (track[name].as_f64().unwrap() - probed).abs() <= apart;
    assert!(near("first_s", first, 0.001), "{what}: ffprobe says {first}: {facts}");
    // The last frame is as long as the others.
    assert!(near("duration_s", duration, 0.045), "{what}: ffprobe says {duration}: {facts}");
    assert_eq!(track["starts_with_keyframe"], if medium == "video" { true.into() } else { Value::Null }, "{what}: {facts}");
}

#[test]
fn of_real_segments_the_same_is_known_as_ffprobe_says() {
    let origin = Origin::start();
    let avc = "-c:v libx264 -preset veryfast -bf 2";
    for (stream, video) in [
        ("avc", avc),
        ("hevc", "-c:v libx265 -preset ultrafast -x265-params log-level=error"),
        ("mpeg2", "-c:v mpeg2video -bf 2"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        encode(folder.path(), video, "-hls_segment_filename %d.ts");
        let rendition = stored(&origin, folder.path(), stream);
        let facts = &rendition["last_segment_facts"];
        assert_eq!(
            (&rendition["last_segment"], &facts["container"]),
            (&format!("{stream}/2.ts").into(), &"ts".into()),
            "{rendition}"
        );
        let file = folder.path().join("2.ts");
        agree(facts, 0, "video", probed(&file, "v"), stream);
        let (first, duration) = probed(&file, "a");
        let sound = &facts["tracks"][1];
        assert!((sound["first_s"].as_f64().unwrap() - first).abs() <= 0.001, "{stream}: ffprobe says {first}: {facts}");
        // Several frames of sound lie together: how long the last ones last is told by how many packets they take.
        assert!((sound["duration_s"].as_f64().unwrap() - duration).abs() <= 0.05, "{stream}: ffprobe says {duration}: {facts}");
    }
    let folder = tempfile::tempdir().unwrap();
    encode(folder.path(), avc, "-hls_segment_type fmp4 -hls_segment_filename %d.m4s");
    let rendition = stored(&origin, folder.path(), "fmp4");
    assert_eq!(rendition["initialization"], "fmp4/init.mp4");
    let facts = &rendition["last_segment_facts"];
    assert_eq!(facts["container"], "fmp4");
    let whole = ["init.mp4", "2.m4s"].map(|name| fs::read(folder.path().join(name)).unwrap()).concat();
    let file = folder.path().join("whole.mp4");
    fs::write(&file, whole).unwrap();
    agree(facts, 0, "video", probed(&file, "v"), "fmp4");
    let sound = &facts["tracks"][1];
    let (first, duration) = probed(&file, "a");
    let near = |name: &str, probed: f64, apart: f64| (sound[name].as_f64().unwrap() - probed).abs() <= apart;
    // ffprobe takes the last frame for a whole one, and the encoder says that it is cut.
    let agrees = near("first_s", first, 0.001) && near("duration_s", duration, 1024.0 / 48_000.0);
    assert!(sound["medium"] == "audio" && agrees, "{first} {duration}: {facts}");
}

#[test]
fn what_is_broken_in_a_segment_is_counted_and_stored_all_the_same() {
    let origin = Origin::start();
    let folder = tempfile::tempdir().unwrap();
    encode(folder.path(), "-c:v libx264 -preset ultrafast", "-hls_segment_filename %d.ts");
    let whole = fs::read(folder.path().join("1.ts")).unwrap();
    let count = |defect: &str| {
        origin.metric(&format!("springhead_segments_defective_total{{namespace=\"{NAMESPACE}\",defect=\"{defect}\"}}"))
    };
    origin.store("whole.ts", &*whole);
    origin.store("other.vtt", "WEBVTT\n");
    origin.store("other.json", "");
    let packets = whole.len() / 188;
    let lost = [&whole[..188 * (packets / 2)], &whole[188 * (packets / 2 + 1)..]].concat();
    let mut marked = whole.clone();
    marked[188 * (packets - 1) + 1] |= 0x80;
    for (defect, body) in [
        ("truncated", whole[..whole.len() - 100].to_vec()),
        ("continuity", lost),
        ("transport-error", marked),
        ("no-media", whole[..3 * 188].to_vec()),
        ("empty", Vec::new()),
    ] {
        assert_eq!(count(defect), 0.0, "{defect}");
        origin.store("broken.ts", &*body);
        assert_eq!((count(defect), origin.get("broken.ts").body), (1.0, body), "{defect}");
    }
    assert_eq!(count("no-keyframe") + count("sync") + count("filler"), 0.0);
}
