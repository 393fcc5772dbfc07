//! Playlists that stay legal whatever their encoder does: what viewers are served, version after version, held against the rules.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use crate::durable;
use crate::harness::{NAMESPACE, Origin, Process, eventually};
use crate::programs::program;
use crate::rules::{self, Rule};
use crate::wire::Request;

const NORMALISED: &str = "normalise = [\"live/\"]\n";

fn segment(origin: &Origin, number: u64, run: &str) {
    segment_below(origin, "live/", number, run);
}

fn segment_below(origin: &Origin, folder: &str, number: u64, run: &str) {
    origin.store(&format!("{folder}v{number}.ts"), format!("segment {number} of run {run}"));
}

/// A playlist of the last few of these segments, as ffmpeg writes it.
fn list(origin: &Origin, first: u64, last: u64) {
    origin.store("live/p.m3u8", listing(first, last));
}

fn listing(first: u64, last: u64) -> String {
    let first = first.max((last + 1).saturating_sub(4));
    let lines: String = (first..=last).map(|number| format!("#EXTINF:2.000000,\nv{number}.ts\n")).collect();
    format!("#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:{first}\n{lines}")
}

fn push(origin: &Origin, last: u64, run: &str) {
    segment(origin, last, run);
    list(origin, 0, last);
}

/// Whether the target duration has gone up to what the longest segment needs, rounded (RFC 8216 4.3.3.1), and no further.
fn is_raised(before: &str, now: &str) -> bool {
    let all = |text: &str, tag: &str| -> Vec<f64> {
        text.lines().filter_map(|line| line.strip_prefix(tag)?.split(',').next()?.parse().ok()).collect()
    };
    let targets = [before, now].map(|text| all(text, "#EXT-X-TARGETDURATION:"));
    let longest = all(now, "#EXTINF:").into_iter().fold(0.0, f64::max).round();
    targets[0] < targets[1] && targets[1] == [longest]
}

/// What a viewer is served, version after version.
#[derive(Default)]
pub(crate) struct Viewer {
    pub(crate) versions: Vec<String>,
}

impl Viewer {
    /// Looks; what has changed since the last look is legal, and all that is new in it can be read.
    pub(crate) fn look(&mut self, origin: &Origin, playlist: &str) -> String {
        let answer = origin.get(playlist);
        assert_eq!(answer.status, 200, "{}", answer.text());
        let text = answer.text();
        let before = self.versions.last().cloned().unwrap_or_default();
        if text == before {
            return text;
        }
        assert_eq!(rules::alone(&text), [], "{text}");
        if !before.is_empty() {
            let is_allowed = |rule| match rule {
                Rule::Kind => before.contains("#EXT-X-ENDLIST"),
                Rule::TargetChanged => is_raised(&before, &text),
                _ => false,
            };
            let breaches: Vec<_> = rules::after(&before, &text).into_iter().filter(|breach| !is_allowed(breach.rule)).collect();
            assert_eq!(breaches, [], "{text}\nafter\n{before}");
        }
        self.versions.push(text.clone());
        text
    }

    /// The segments that it was shown, in their order, without gaps.
    pub(crate) fn shown(&self) -> Vec<String> {
        let mut shown: Vec<(u64, String)> = Vec::new();
        for text in &self.versions {
            let first =
                text.lines().find_map(|line| line.strip_prefix("#EXT-X-MEDIA-SEQUENCE:")).unwrap().parse::<u64>().unwrap();
            for (number, uri) in (first..).zip(text.lines().filter(|line| !line.starts_with('#'))) {
                if shown.last().is_none_or(|(last, _)| number > *last) {
                    shown.push((number, uri.to_owned()));
                }
            }
        }
        shown.into_iter().map(|(_, uri)| uri).collect()
    }
}

fn bytes_of(origin: &Origin, uri: &str) -> (u16, String) {
    let answer = origin.get(&format!("live/{uri}"));
    (answer.status, answer.text())
}

#[test]
fn an_encoder_that_restarts_over_its_own_names_costs_a_discontinuity() {
    let origin = Origin::start_with_settings(&format!("[namespaces.live-origin]\n{NORMALISED}"));
    let mut viewer = Viewer::default();
    for number in 0..6 {
        push(&origin, number, "one");
        viewer.look(&origin, "live/p.m3u8");
    }
    let before = viewer.look(&origin, "live/p.m3u8");
    assert!(!before.contains("DISCONTINUITY\n") && before.matches("#EXTINF").count() == 4, "{before}");
    let old: Vec<String> = before.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect();
    // Its names come again with other bytes; the last of them before a playlist says so.
    for number in 0..3 {
        push(&origin, number, "two");
        viewer.look(&origin, "live/p.m3u8");
    }
    segment(&origin, 5, "two");
    let after = viewer.look(&origin, "live/p.m3u8");
    assert_eq!(after.matches("#EXT-X-DISCONTINUITY\n").count(), 1, "{after}");
    let (status, body) = bytes_of(&origin, &old[3]);
    assert_eq!((status, &*body), (200, "segment 5 of run one"), "what was listed is what it was");
    assert_eq!(bytes_of(&origin, "v5.ts").1, "segment 5 of run two", "the encoder's own name is the encoder's");
    let head = Request::new("HEAD", origin.path(&format!("live/{}", old[3]))).bearer(&origin.player).send(origin.address);
    assert_eq!((head.status, head.header("content-length")), (200, "20"));
    // The encoder takes away what it lists no longer: viewers have not.
    let listed: Vec<String> = after.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect();
    for number in 0..6 {
        let delete = Request::new("DELETE", origin.path(&format!("live/v{number}.ts"))).bearer(&origin.encoder);
        assert_eq!(delete.send(origin.address).status, 204);
    }
    for uri in &listed {
        assert_eq!(bytes_of(&origin, uri).0, 200, "{uri} is listed");
    }
    assert_eq!(bytes_of(&origin, "v5.ts").0, 404);
    let runs: Vec<String> = viewer.shown().iter().map(|uri| bytes_of(&origin, uri).1).collect();
    let expected = (0..6).map(|number| format!("segment {number} of run one"));
    let expected: Vec<String> = expected.chain((0..3).map(|number| format!("segment {number} of run two"))).collect();
    assert_eq!(runs[runs.len() - 5..], expected[4..], "nothing twice, nothing left out");
    assert!(origin.metric("springhead_normalised_total{namespace=\"live-origin\",what=\"restart\"}") >= 1.0);
    // Looking back goes by the same names.
    let window = Request::new("GET", format!("{}?last=10m", origin.path("live/p.m3u8"))).bearer(&origin.player);
    let window = window.send(origin.address).text();
    let (mut is_gap, mut read) = (false, 0);
    for line in window.lines() {
        if line == "#EXT-X-GAP" {
            is_gap = true;
        } else if !line.starts_with('#') {
            assert!(is_gap || bytes_of(&origin, line).0 == 200, "{line} of {window}");
            read += usize::from(!is_gap);
            is_gap = false;
        }
    }
    assert!(read >= 8, "{read} of {window}");
    assert!(window.contains(&listed[2]), "{window}");
}

#[test]
fn what_comes_after_its_playlist_is_listed_when_it_is_here_and_what_never_comes_is_a_gap() {
    let origin = Origin::start_with_settings(&format!("[namespaces.live-origin]\n{NORMALISED}"));
    let mut viewer = Viewer::default();
    push(&origin, 0, "one");
    viewer.look(&origin, "live/p.m3u8");
    list(&origin, 0, 1);
    let text = viewer.look(&origin, "live/p.m3u8");
    assert_eq!(text.matches("#EXTINF").count(), 1, "it is not here: {text}");
    segment(&origin, 1, "one");
    let text = viewer.look(&origin, "live/p.m3u8");
    assert_eq!(text.matches("#EXTINF").count(), 2, "now it is, without another version: {text}");
    // The next one never comes.
    push(&origin, 3, "one");
    let gap = || Some(viewer.look(&origin, "live/p.m3u8")).filter(|text| text.contains("#EXT-X-GAP"));
    let text = eventually(Duration::from_secs(10), gap).expect("a later one is here");
    assert!(text.ends_with(".ts\n") && text.matches("#EXTINF").count() == 4, "{text}");
    // An older version changes nothing, and a playlist that can't be normalised is stored as it came.
    origin.store("live/p.m3u8", listing(0, 1));
    assert_eq!(viewer.look(&origin, "live/p.m3u8"), text);
    assert!(origin.metric("springhead_normalised_total{namespace=\"live-origin\",what=\"back\"}") >= 1.0);
    let ranges = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n#EXT-X-BYTERANGE:5@0\nv0.ts\n";
    origin.store("live/r.m3u8", ranges);
    origin.store("other/p.m3u8", listing(0, 3));
    assert_eq!((origin.get("live/r.m3u8").text(), origin.get("other/p.m3u8").text()), (ranges.to_owned(), listing(0, 3)));
    let told = || origin.log().iter().any(|line| line["event"] == "not-normalised").then_some(());
    assert!(eventually(Duration::from_secs(5), told).is_some());
}

/// What a viewer is listed now can be read.
fn all_is_there(origin: &Origin, viewer: &mut Viewer) {
    let text = viewer.look(origin, "live/p.m3u8");
    for uri in text.lines().filter(|line| !line.starts_with('#')) {
        assert_eq!(bytes_of(origin, uri).0, 200, "{uri} of {text}");
    }
}

#[test]
fn a_killed_server_goes_on_with_the_numbers_that_viewers_know() {
    for is_deleted in [false, true] {
        let (mut origin, _folder) = durable::start(&format!("default_ttl = \"1h\"\n{NORMALISED}"));
        let mut viewer = Viewer::default();
        for number in 0..5 {
            push(&origin, number, "one");
            viewer.look(&origin, "live/p.m3u8");
        }
        durable::kill_and_start(&mut origin);
        // The encoder has been killed too, and begins again over its own names, of which none has been read since: they are not in memory.
        for number in 0..5 {
            if is_deleted {
                let delete = Request::new("DELETE", origin.path(&format!("live/v{number}.ts"))).bearer(&origin.encoder);
                assert_eq!(delete.send(origin.address).status, 204);
            } else {
                segment(&origin, number, "two");
            }
        }
        viewer.look(&origin, "live/p.m3u8");
        for number in 0..6 {
            push(&origin, number, "two");
            all_is_there(&origin, &mut viewer);
        }
        assert_eq!(viewer.shown().len(), 11, "all of both runs, each once: {:?}", viewer.shown());
    }
}

#[test]
fn a_segment_longer_than_the_target_duration_raises_that_once_and_it_is_told_once() {
    let origin = Origin::start_with_settings(BESIDE);
    let list = |target: u64, last: u64| {
        let lines: String =
            (0..=last).map(|number| format!("#EXTINF:{}.0,\nv{number}.ts\n", if number == 3 { 4 } else { 2 })).collect();
        format!("#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:{target}\n#EXT-X-MEDIA-SEQUENCE:0\n{lines}")
    };
    let target = || {
        let text = origin.get("live/p.m3u8").text();
        text.lines().find_map(|line| line.strip_prefix("#EXT-X-TARGETDURATION:")).map(str::to_owned)
    };
    let mut stated = Vec::new();
    for (number, target_of_encoder) in [(0, 2), (1, 1), (2, 2), (3, 4), (4, 2)] {
        segment_below(&origin, "live-a/", number, "one");
        origin.store("live-a/p.m3u8", list(target_of_encoder, number));
        stated.extend(target());
    }
    assert_eq!(stated, ["2", "2", "2", "4", "4"], "it neither wanders nor goes back");
    let told = |event: &str| {
        let lines = || -> Vec<String> {
            origin.log().into_iter().filter(|line| line["event"] == event).map(|line| line.to_string()).collect()
        };
        eventually(Duration::from_secs(5), || Some(lines()).filter(|lines| !lines.is_empty())).unwrap_or_default()
    };
    let raised = told("target-raised");
    assert!(raised.len() == 1 && raised[0].contains("\"live/p.m3u8\""), "{raised:?}");
    let changed = told("target-changed");
    assert!(
        !changed.is_empty() && changed.iter().all(|line| line.contains("\"live-a/p.m3u8\"")),
        "of the encoder's own: {changed:?}"
    );
}

/// Beside what is normalised, whatever encoders write is stored as it came, byte for byte.
#[test]
fn what_is_not_normalised_is_what_was_written() {
    let origin =
        Origin::start_with_settings(&format!("[namespaces.live-origin]\n{NORMALISED}{}", BESIDE.replace("live/", "pub/")));
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let (name, body) = (entry.as_ref().unwrap().file_name().into_string().unwrap(), fs::read(entry.unwrap().path()).unwrap());
        // Twice: as the first version, and as one that follows another.
        for key in [format!("other/{name}"), format!("live-a/{name}"), format!("live-a/{name}")] {
            origin.store(&key, &body[..]);
            assert!(origin.get(&key).body == body, "{key}");
        }
        count += 1;
    }
    assert!(count >= 10, "{count}");
}

const BESIDE: &str = "[[namespaces.live-origin.pairs]]\npublic = \"live/\"\nsources = [\"live-a/\"]\n";

#[test]
fn what_is_public_is_made_beside_what_the_encoder_writes() {
    let origin = Origin::start_with_settings(BESIDE);
    let mut viewer = Viewer::default();
    let master = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1000\np.m3u8\n#EXT-X-STREAM-INF:BANDWIDTH=2000\n\
                  /cache/live-origin/live-a/q.m3u8\n";
    origin.store("live-a/master.m3u8", master);
    assert_eq!(origin.get("live/master.m3u8").text(), master.replace("/cache/live-origin/live-a/q", "q"));
    assert_eq!(origin.get("live-a/master.m3u8").text(), master, "the encoder's own is the encoder's");
    for run in ["one", "two"] {
        for number in 0..6 {
            segment_below(&origin, "live-a/", number, run);
            origin.store("live-a/p.m3u8", listing(0, number));
            viewer.look(&origin, "live/p.m3u8");
            assert_eq!(origin.get("live-a/p.m3u8").text(), listing(0, number));
        }
    }
    let runs: Vec<String> = viewer.shown().iter().map(|uri| bytes_of(&origin, uri).1).collect();
    let expected = |run: &'static str| (0..6).map(move |number| format!("segment {number} of run {run}"));
    let expected: Vec<String> = expected("one").chain(expected("two")).collect();
    assert_eq!(runs[4..], expected[4..], "nothing twice, nothing left out");
    let text = viewer.look(&origin, "live/p.m3u8");
    assert_eq!(bytes_of(&origin, "v5.ts").1, "segment 5 of run two", "a name without a tag is the newest");
    let tagged = text.lines().rfind(|line| !line.starts_with('#')).unwrap();
    // The encoder takes away what viewers have.
    let remove = |key: &str| Request::new("DELETE", origin.path(key)).bearer(&origin.encoder).send(origin.address);
    assert_eq!(remove("live-a/v5.ts").status, 204);
    assert_eq!((bytes_of(&origin, tagged).1.as_str(), bytes_of(&origin, "v5.ts").0), ("segment 5 of run two", 404));
    // Nobody writes there.
    for key in ["live/p.m3u8", "live/new.ts", &format!("live/{tagged}")] {
        let put = Request::new("PUT", origin.path(key)).bearer(&origin.encoder).body("x").send(origin.address);
        assert_eq!((put.status, put.problem(), remove(key).status), (409, "public-name".to_owned(), 409), "{key}");
        assert!(put.text().contains("live-a/"), "{}", put.text());
    }
    // What can't be composed is there as it came.
    let ranges = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n#EXT-X-BYTERANGE:5@0\nv0.ts\n";
    origin.store("live-a/r.m3u8", ranges);
    assert_eq!(origin.get("live/r.m3u8").text(), ranges);
    // One fault is told once, of the encoder's playlist.
    let told = || {
        let told: Vec<_> = origin.log().into_iter().filter(|line| line["event"] == "counter-restart").collect();
        (!told.is_empty()).then_some(told)
    };
    let told = eventually(Duration::from_secs(5), told).unwrap();
    assert!(told.len() == 1 && told[0].to_string().contains("live-a/p.m3u8"), "{told:?}");
}

#[test]
fn a_public_prefix_need_be_no_folder() {
    let settings = "[[namespaces.live-origin.pairs]]\npublic = \"x/live/ch\"\nsources = [\"in/a-ch\"]\n";
    let origin = Origin::start_with_settings(settings);
    origin.store("in/a-ch_1.ts", "one");
    origin.store("in/a-ch.key", "key");
    let head = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-KEY:METHOD=AES-128,URI=\"a-ch.key\"\n";
    origin.store("in/a-ch.m3u8", format!("{head}#EXTINF:2,\na-ch_1.ts?x=1\n"));
    let text = origin.get("x/live/ch.m3u8").text();
    let uri = text.lines().rfind(|line| !line.starts_with('#')).unwrap();
    assert!(uri.starts_with("ch_1~") && uri.ends_with(".ts?x=1") && text.contains("URI=\"ch~"), "{text}");
    assert_eq!(origin.get(&format!("x/live/{}", uri.trim_end_matches("?x=1"))).text(), "one");
    assert_eq!(origin.get("x/live/ch_1.ts").text(), "one");
}

#[test]
fn a_tagged_name_that_is_listed_is_nobodys_to_write_in_place_either() {
    let origin = Origin::start_with_settings(&format!("[namespaces.live-origin]\n{NORMALISED}"));
    push(&origin, 0, "one");
    let text = origin.get("live/p.m3u8").text();
    let tagged = text.lines().rfind(|line| !line.starts_with('#')).unwrap();
    let put = Request::new("PUT", origin.path(&format!("live/{tagged}"))).bearer(&origin.encoder).body("x");
    let put = put.send(origin.address);
    assert_eq!((put.status, put.problem()), (409, "public-name".to_owned()));
    origin.store("live/v~00000000.ts", "a name of the encoder's that looks like one");
}

#[test]
fn a_killed_server_goes_on_with_what_it_makes_of_a_source() {
    let (mut origin, _folder) = durable::start(&format!("default_ttl = \"1h\"\n{BESIDE}"));
    let mut viewer = Viewer::default();
    let push = |origin: &Origin, number: u64, run: &str| {
        segment_below(origin, "live-a/", number, run);
        origin.store("live-a/p.m3u8", listing(0, number));
    };
    for number in 0..5 {
        push(&origin, number, "one");
        viewer.look(&origin, "live/p.m3u8");
    }
    durable::kill_and_start(&mut origin);
    viewer.look(&origin, "live/p.m3u8");
    for number in 0..6 {
        push(&origin, number, "two");
        all_is_there(&origin, &mut viewer);
    }
    assert_eq!(viewer.shown().len(), 11, "all of both runs, each once: {:?}", viewer.shown());
}

/// Viewers are told of an end a while after the encoder has said so, in case that it comes back. Nobody writes any more.
#[test]
fn an_end_comes_though_the_server_was_killed_before_its_time() {
    let (mut origin, _folder) = durable::start(&format!("default_ttl = \"1h\"\nnormalise = [\"place/\"]\n{BESIDE}"));
    let lists = [("live-a/", "live/p.m3u8"), ("place/", "place/p.m3u8")];
    for (folder, _) in lists {
        for number in 0..4 {
            segment_below(&origin, folder, number, "one");
            origin.store(&format!("{folder}p.m3u8"), listing(0, number));
        }
        origin.store(&format!("{folder}p.m3u8"), listing(0, 3) + "#EXT-X-ENDLIST\n");
    }
    let is_over = |origin: &Origin, public: &str| origin.get(public).text().ends_with("#EXT-X-ENDLIST\n");
    let before = lists.map(|(_, public)| origin.get(public).text());
    assert!(lists.iter().all(|(_, public)| !is_over(&origin, public)), "it may come back");
    durable::kill_and_start(&mut origin);
    for ((_, public), before) in lists.into_iter().zip(before) {
        let over = eventually(Duration::from_secs(30), || is_over(&origin, public).then(|| origin.get(public).text()));
        assert_eq!(over, Some(before + "#EXT-X-ENDLIST\n"), "{public}");
    }
}

/// The test picture in real time, with a key frame each second, pushed as people do who count from 0 at each start.
fn encoder(origin: &Origin, more: &str) -> Process {
    let mut ffmpeg = program("ffmpeg");
    ffmpeg.args("-nostdin -v error -re -f lavfi -i testsrc2=size=160x90:rate=10 -c:v libx264 -preset ultrafast".split(' '));
    ffmpeg.args("-tune zerolatency -g 10 -keyint_min 10 -sc_threshold 0 -threads 1 -pix_fmt yuv420p".split(' '));
    ffmpeg.args("-f hls -method PUT -hls_time 1 -hls_list_size 5 -hls_flags delete_segments".split(' '));
    ffmpeg.args(more.split_whitespace());
    ffmpeg.args(["-headers", &format!("Authorization: Bearer {}\r\n", origin.encoder)]);
    ffmpeg.arg(format!("http://{}/cache/{NAMESPACE}/live/p.m3u8", origin.address));
    Process(ffmpeg.stdout(Stdio::null()).spawn().unwrap())
}

/// Looks for so long, or until so many segments have been shown.
fn watch(origin: &Origin, viewer: &mut Viewer, shown: usize) {
    let until = Instant::now() + Duration::from_secs(60);
    while Instant::now() < until && viewer.shown().len() < shown {
        if origin.get("live/p.m3u8").status == 200 {
            let text = viewer.look(origin, "live/p.m3u8");
            let newest = text.lines().rfind(|line| !line.starts_with('#')).unwrap();
            assert_eq!(origin.get(&format!("live/{newest}")).status, 200, "{newest} of {text}");
        }
        thread::sleep(Duration::from_millis(50));
    }
    assert!(viewer.shown().len() >= shown, "{:?}", viewer.versions.last());
}

#[test]
fn a_real_encoder_is_killed_and_begins_again_from_its_first_name_in_each_container() {
    for container in ["", "-hls_segment_type fmp4"] {
        let origin = Origin::start_with_settings(&format!("[namespaces.live-origin]\n{NORMALISED}"));
        let mut viewer = Viewer::default();
        let first = encoder(&origin, container);
        watch(&origin, &mut viewer, 5);
        // As kill -9 does it.
        drop(first);
        let second = encoder(&origin, &format!("{container} -preset medium"));
        let known = viewer.shown().len();
        watch(&origin, &mut viewer, known + 4);
        // As SIGTERM does it: a short segment and an end, which nobody sees who comes back soon.
        let id = second.0.id().to_string();
        assert!(std::process::Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        let _third = encoder(&origin, container);
        let known = viewer.shown().len();
        watch(&origin, &mut viewer, known + 5);
        let all = viewer.versions.concat();
        assert!(!all.contains("#EXT-X-ENDLIST") && all.contains("#EXT-X-DISCONTINUITY\n"), "{all}");
        let restarts = origin.metric("springhead_normalised_total{namespace=\"live-origin\",what=\"restart\"}");
        assert!((1.5..2.5).contains(&restarts), "two restarts: {restarts}");
    }
}
