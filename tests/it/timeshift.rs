//! Looking back, from outside: windows of what a stream was, as playlists that players play.

use std::fs;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use crate::harness::{BINARY, NAMESPACE, Origin, Process, eventually};
use crate::programs::{limited, program};
use crate::rules;
use crate::wire::{Answer, Request};

/// Two renditions of one-second segments, in real time, as an encoder pushes them; `run` makes the names of one start its own.
pub(crate) fn push(origin: &Origin, run: &str, seconds: u32) -> Process {
    let base = format!("http://momento:{}@{}/cache/{NAMESPACE}/ch", origin.encoder, origin.address);
    let text = format!(
        "-re -f lavfi -i testsrc2=size=192x108:rate=10 -re -f lavfi -i sine=frequency=440:sample_rate=48000 -t {seconds} \
         -filter_complex [0:v]split=2[a][b];[b]scale=128:72[b1] -map [a] -map [b1] -map 1:a -map 1:a -b:v:0 200k -b:v:1 100k \
         -c:v libx264 -preset ultrafast -tune zerolatency -g 10 -keyint_min 10 -sc_threshold 0 -threads 1 -pix_fmt yuv420p \
         -c:a aac -b:a 48k -ac 1 -f hls -method PUT -hls_time 1 -hls_list_size 3 -hls_flags independent_segments+program_date_time \
         -var_stream_map"
    );
    let mut command = program("ffmpeg");
    command
        .args(["-hide_banner", "-nostdin", "-v", "error"])
        .args(text.split_whitespace())
        .arg("v:0,a:0,name:hi v:1,a:1,name:lo");
    command.args(["-master_pl_name", "master.m3u8", "-master_pl_publish_rate", "2"]);
    command.args(["-hls_segment_filename".to_owned(), format!("{base}/%v/{run}%05d.ts"), format!("{base}/%v/p.m3u8")]);
    Process(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
}

pub(crate) fn ended(mut encoder: Process) {
    let end = eventually(Duration::from_secs(40), || encoder.0.try_wait().unwrap());
    assert!(end.expect("the encoder ends").success());
}

fn ask(origin: &Origin, key: &str, query: &str) -> Answer {
    Request::new("GET", format!("{}?{query}", origin.path(key))).bearer(&origin.player).send(origin.address)
}

pub(crate) fn segments(playlist: &str) -> Vec<&str> {
    playlist.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
}

/// What ffprobe says of its length, in seconds, when ffmpeg has decoded it to its end without a complaint.
pub(crate) fn plays(input: &str, key: Option<&str>) -> f64 {
    let run = |program: &str, before: &[&str], after: &[&str]| -> Output {
        let mut command = limited(40, program);
        command.args(["-v", "error"]).args(before);
        if let Some(key) = key {
            command.args(["-headers", &format!("Authorization: Bearer {key}\r\n")]);
        }
        command.args(["-allowed_extensions", "ALL", "-i", input]).args(after).output().unwrap()
    };
    let decoded = run("ffmpeg", &["-nostdin", "-xerror"], &["-map", "0", "-f", "null", "-"]);
    let said = String::from_utf8_lossy(&decoded.stderr);
    assert!(decoded.status.success(), "{input}: {said}");
    let probed = run("ffprobe", &["-show_entries", "format=duration", "-of", "csv=p=0"], &[]);
    String::from_utf8_lossy(&probed.stdout).trim().parse().unwrap_or_else(|_| panic!("{input}: no duration"))
}

fn date(offset: i64) -> String {
    let output = Command::new("date").args(["-u", "-d", &format!("{offset} seconds"), "+%Y-%m-%dT%H:%M:%SZ"]).output();
    String::from_utf8(output.unwrap().stdout).unwrap().trim().to_owned()
}

#[test]
fn a_stream_is_looked_back_at_while_it_goes_on_and_when_it_is_over() {
    let origin = Origin::start();
    let begun = date(-1);
    let encoder = push(&origin, "a", 12);
    let grown = |least: usize| {
        eventually(Duration::from_secs(20), || {
            let answer = ask(&origin, "ch/hi/p.m3u8", &format!("start={begun}"));
            (answer.status == 200 && segments(&answer.text()).len() >= least).then_some(answer)
        })
    };
    let open = grown(5).expect("it grows");
    let text = open.text();
    assert!(text.contains("#EXT-X-PLAYLIST-TYPE:EVENT\n") && !text.contains("ENDLIST"), "{text}");
    assert_eq!((open.header("cache-control"), segments(&text)[0]), ("public, max-age=1", "a00000.ts"));
    let later = grown(7).unwrap().text();
    assert!(segments(&later).starts_with(&segments(&text)), "it only grows");
    assert_eq!((rules::alone(&later), rules::after(&text, &later)), (vec![], vec![]), "{text}{later}");
    // As many seconds back as are asked for, to the end of a whole segment.
    let last = ask(&origin, "ch/hi/p.m3u8", "last=5s");
    let text = last.text();
    // An encoder on a busy machine is late.
    assert!((3..=6).contains(&segments(&text).len()) && text.ends_with("#EXT-X-ENDLIST\n"), "{text}");
    assert_eq!(last.header("content-type"), "application/vnd.apple.mpegurl");
    let url = |query: &str| format!("http://{}{}?{query}", origin.address, origin.path("ch/hi/p.m3u8"));
    let length = plays(&url("last=5s"), Some(&origin.player));
    assert!((2.0..7.0).contains(&length), "{length}");
    ended(encoder);
    // A window in the middle, by the times that the playlist itself tells.
    let whole = ask(&origin, "ch/hi/p.m3u8", "last=1h").text();
    let names = segments(&whole);
    assert!((11..=13).contains(&names.len()), "{whole}");
    let dates: Vec<&str> = whole.lines().filter_map(|line| line.strip_prefix("#EXT-X-PROGRAM-DATE-TIME:")).collect();
    let query = format!("start={}&end={}", dates[3], dates[6]);
    let middle = ask(&origin, "ch/hi/p.m3u8", &query);
    assert_eq!(segments(&middle.text()), names[3..6]);
    let length = plays(&url(&query), Some(&origin.player));
    assert!((2.5..3.6).contains(&length), "{length}");
    // The same bytes have the same tag, and the rest of what an object answers is answered too.
    assert_eq!(ask(&origin, "ch/hi/p.m3u8", &query).header("etag"), middle.header("etag"));
    let again = Request::new("GET", format!("{}?{query}", origin.path("ch/hi/p.m3u8"))).bearer(&origin.player);
    assert_eq!(again.header("If-None-Match", middle.header("etag")).send(origin.address).status, 304);
    let part = Request::new("GET", format!("{}?{query}", origin.path("ch/hi/p.m3u8"))).bearer(&origin.player);
    assert_eq!(part.header("Range", "bytes=0-6").send(origin.address).text(), "#EXTM3U");
    // All renditions are cut alike.
    let master = ask(&origin, "ch/master.m3u8", &query).text();
    assert!(master.contains(&format!("hi/p.m3u8?{query}\n")) && master.contains(&format!("lo/p.m3u8?{query}\n")), "{master}");
    let relative = ask(&origin, "ch/master.m3u8", "last=1h").text();
    let queries: Vec<_> = segments(&relative).iter().map(|uri| uri.split_once('?').unwrap().1.to_owned()).collect();
    assert!(queries[0] == queries[1] && queries[0].starts_with("start=2") && queries[0].contains("&end=2"), "{relative}");
    let length = plays(&format!("http://{}{}?{query}", origin.address, origin.path("ch/master.m3u8")), Some(&origin.player));
    assert!((2.5..3.6).contains(&length), "{length}");
    let all = ["hi", "lo"].map(|name| ask(&origin, &format!("ch/{name}/p.m3u8"), &query).text());
    assert_eq!(rules::across(&[("hi", &all[0]), ("lo", &all[1])]), vec![], "{all:?}");
    // The same as files, without a server.
    let out = origin.folder().join("clip");
    let harvest = |more: &[&str]| {
        let base = format!("http://{}", origin.address);
        let mut command = Command::new(BINARY);
        command.args(["harvest", &base, "--playlist", "ch/master.m3u8", "--from", dates[3], "--to", dates[6], "--out"]).arg(&out);
        command.args(more).env("SPRINGHEAD_KEY", &origin.player).output().unwrap()
    };
    let done = harvest(&[]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    for playlist in ["master.m3u8", "0/playlist.m3u8", "1/playlist.m3u8"] {
        let length = plays(out.join(playlist).to_str().unwrap(), None);
        assert!((2.5..3.6).contains(&length), "{playlist}: {length}");
    }
    let copied = ["0", "1"].map(|folder| fs::read_to_string(out.join(folder).join("playlist.m3u8")).unwrap());
    let judged = copied.iter().flat_map(|text| rules::alone(text)).chain(rules::across(&[("0", &copied[0]), ("1", &copied[1])]));
    assert_eq!(judged.collect::<Vec<_>>(), vec![], "{copied:?}");
    let stored = origin.get(&format!("ch/hi/{}", names[4]));
    assert_eq!(fs::read(out.join("0").join(names[4])).unwrap(), stored.body, "byte for byte");
    // Run again, it copies what is missing or cut short, and only that.
    fs::remove_file(out.join("0").join(names[3])).unwrap();
    fs::write(out.join("0").join(names[4]), "short").unwrap();
    let again = harvest(&[]);
    let said = String::from_utf8_lossy(&again.stdout).into_owned();
    assert!(again.status.success() && said.contains("6 files") && said.contains("4 were here already"), "{said}");
    assert_eq!(fs::read(out.join("0").join(names[4])).unwrap(), stored.body);
    assert_eq!(harvest(&["--last", "1m"]).status.code(), Some(2), "both makes no sense");
    // What is not there is a failure.
    let delete = Request::new("DELETE", origin.path(&format!("ch/lo/{}", names[3]))).bearer(&origin.encoder);
    assert_eq!(delete.send(origin.address).status, 204);
    fs::remove_dir_all(&out).unwrap();
    let less = harvest(&[]);
    assert!(less.status.success(), "the playlists list what is there");
    assert!(fs::read_to_string(out.join("harvest.json")).is_ok_and(|record| !record.contains(&origin.player)));
    let (base, none) = (format!("http://{}/cache/{NAMESPACE}/none.m3u8", origin.address), origin.folder().join("none"));
    let failed = Command::new(BINARY).args(["harvest", &base, "--key", &origin.player, "--out"]).arg(none).output().unwrap();
    assert_eq!(failed.status.code(), Some(1), "{}", String::from_utf8_lossy(&failed.stderr));
    assert!(!String::from_utf8_lossy(&failed.stderr).contains(&origin.player));
    // Another start of the encoder counts from nought.
    ended(push(&origin, "b", 5));
    let both = ask(&origin, "ch/hi/p.m3u8", "last=1h").text();
    let (before, after) = both.split_once("#EXT-X-DISCONTINUITY\n").expect("a break where the encoder was started again");
    assert!(segments(before).iter().all(|name| name.starts_with('a')) && segments(before).len() == names.len(), "{both}");
    assert!(segments(after).iter().all(|name| name.starts_with('b')) && (4..=6).contains(&segments(after).len()), "{both}");
    assert_eq!(both.matches("#EXT-X-DISCONTINUITY\n").count(), 1);
}

fn media(first: u64, last: u64, date: &str) -> String {
    let segments: String = (first..=last).map(|number| format!("#EXTINF:2.0,\n{number}.ts\n")).collect();
    let head = format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:{first}\n");
    format!("{head}#EXT-X-PROGRAM-DATE-TIME:{date}\n{segments}")
}

fn store(origin: &Origin, numbers: std::ops::RangeInclusive<u64>) {
    numbers.for_each(|number| origin.store(&format!("{number}.ts"), format!("segment {number}")));
}

#[test]
fn what_makes_no_sense_and_what_is_not_there_is_said_so() {
    let origin = Origin::start();
    store(&origin, 1..=3);
    origin.store("p.m3u8", media(1, 3, "2026-01-01T00:00:00Z"));
    for (query, said) in [
        ("start=yesterday", "RFC 3339"),
        ("end=", "RFC 3339"),
        ("start=1767225600000", "milliseconds"),
        ("start=1.2.3", "RFC 3339"),
        ("last=0s", "duration"),
        ("last=soon", "duration"),
        ("last=5s&start=1", "stands alone"),
        ("start=2026-01-01T00:00:10Z&end=2026-01-01T00:00:10Z", "before end"),
        ("start=4102444800", "future"),
    ] {
        let answer = ask(&origin, "p.m3u8", query);
        assert_eq!((answer.status, &*answer.problem()), (400, "bad-request"), "{query}");
        assert!(answer.text().contains(said), "{query}: {}", answer.text());
    }
    let window = "start=1767225602&end=2026-01-01T01:00:04%2B01:00";
    let found = ask(&origin, "p.m3u8", window);
    assert_eq!(segments(&found.text()), ["2.ts"]);
    assert!(found.header("cache-control").ends_with("max-age=300"), "nothing will change it");
    for query in ["last=1m", "end=2025-01-01T00:00:00Z"] {
        let answer = ask(&origin, "p.m3u8", query);
        assert_eq!((answer.status, &*answer.problem(), answer.header("cache-control")), (404, "nothing-retained", "no-store"));
    }
    assert_eq!(ask(&origin, "none.m3u8", "last=1m").status, 404);
    assert_eq!(ask(&origin, "1.ts", "start=nonsense").text(), "segment 1", "of anything else these words say nothing");
    // A key for something else gets nothing of it.
    let (other, _) = origin.make_key(&["--namespace", NAMESPACE, "--role", "readonly", "--prefix", "other/"]);
    let request = Request::new("GET", format!("{}?{window}", origin.path("p.m3u8"))).bearer(&other);
    assert_eq!(request.send(origin.address).status, 403);
    // Deleted, it has no past.
    let delete = Request::new("DELETE", origin.path("p.m3u8")).bearer(&origin.encoder).send(origin.address);
    assert_eq!(delete.status, 204);
    assert_eq!(ask(&origin, "p.m3u8", window).status, 404);
}

#[test]
fn a_stream_that_stands_still_can_be_looked_back_at() {
    let origin = Origin::start_with_settings("[namespaces.live-origin]\non_stale = \"404\"\nstale_after = 2\n");
    store(&origin, 1..=3);
    origin.store("p.m3u8", media(1, 3, "2026-01-01T00:00:00Z"));
    let stale = eventually(Duration::from_secs(10), || (origin.get("p.m3u8").status == 404).then_some(()));
    assert!(stale.is_some());
    assert_eq!(segments(&ask(&origin, "p.m3u8", "end=2026-02-01T00:00:00Z").text()), ["1.ts", "2.ts", "3.ts"]);
}

#[test]
fn a_restart_keeps_the_past() {
    let mut origin = Origin::start();
    store(&origin, 1..=9);
    origin.store("p.m3u8", media(1, 5, "2026-01-01T00:00:00Z"));
    origin.store("p.m3u8", media(4, 8, "2026-01-01T00:00:06Z"));
    origin.store("q.m3u8", media(1, 5, "2026-01-01T00:00:00Z"));
    let delete = Request::new("DELETE", origin.path("q.m3u8")).bearer(&origin.encoder).send(origin.address);
    assert_eq!(delete.status, 204);
    // Written down at once, and without an end: as a power cut leaves it.
    thread::sleep(Duration::from_millis(500));
    origin.signal("KILL");
    let _ = origin.wait();
    origin.launch();
    // The segments themselves are kept elsewhere, or come again.
    store(&origin, 1..=9);
    let window = "end=2026-02-01T00:00:00Z";
    let names: Vec<String> = (1..=8).map(|number| format!("{number}.ts")).collect();
    assert_eq!(segments(&ask(&origin, "p.m3u8", window).text()), names);
    assert_eq!(ask(&origin, "q.m3u8", window).status, 404, "deleted is deleted");
    origin.store("p.m3u8", media(6, 9, "2026-01-01T00:00:10Z"));
    let text = ask(&origin, "p.m3u8", window).text();
    assert_eq!((segments(&text).len(), text.contains("#EXT-X-DISCONTINUITY\n")), (9, false), "and it goes on: {text}");
}

#[test]
fn a_stream_that_was_over_is_over_after_a_restart() {
    let (mut origin, _folder) = crate::durable::start("durable = \"disk\"\n");
    store(&origin, 1..=3);
    let list = media(1, 3, "2026-01-01T00:00:00Z").replace("#EXT-X-PROGRAM", "#EXT-X-I-FRAMES-ONLY\n#EXT-X-PROGRAM");
    origin.store("p.m3u8", list + "#EXT-X-ENDLIST\n");
    let window = "start=2026-01-01T00:00:00Z";
    let before = ask(&origin, "p.m3u8", window).text();
    assert!(before.contains("#EXT-X-I-FRAMES-ONLY\n") && before.ends_with("#EXT-X-ENDLIST\n"), "{before}");
    origin.stop();
    origin.launch();
    origin.wait_for_log("the durable tier is open");
    assert_eq!(ask(&origin, "p.m3u8", window).text(), before);
}

/// Segments of this name, as far as they are told to be.
fn named(name: &str, numbers: std::ops::RangeInclusive<u64>, date: &str) -> String {
    let text = media(*numbers.start(), *numbers.end(), date);
    text.lines().fold(String::new(), |text, line| text + if line.ends_with(".ts") { name } else { "" } + line + "\n")
}

#[test]
fn a_window_has_the_multivariant_playlist_of_its_time() {
    let origin = Origin::start();
    let master = |run: u32| {
        format!(
            "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"a\",URI=\"sound_w{run}.m3u8\"\n\
             #EXT-X-STREAM-INF:BANDWIDTH=1,CODECS=\"avc1.42c00b,mp4a.40.2\",AUDIO=\"a\"\nlist_w{run}.m3u8\n"
        )
    };
    for run in 1..=3 {
        for name in ["list", "sound"] {
            let names = format!("{name}{run}-");
            (0..4).for_each(|number| origin.store(&format!("{names}{number}.ts"), "media"));
            let last = if run == 2 { 3 } else { 1 };
            // The target duration that the picture has needs to be that of the sound.
            let text = named(&names, 0..=last, &format!("2026-01-01T00:0{run}:00Z"));
            let text = if name == "list" { text.replace("DURATION:2", "DURATION:4") } else { text };
            origin.store(&format!("{name}_w{run}.m3u8"), text);
        }
        origin.store("m.m3u8", master(run));
        // Once more, and as most versions come: with nothing new.
        origin.store("m.m3u8", master(run));
    }
    let uris = |query: &str| segments(&ask(&origin, "m.m3u8", query).text()).join(" ");
    for (window, run) in [
        ("start=2026-01-01T00:00:00Z&end=2026-01-01T00:01:30Z", 1),
        ("start=2026-01-01T00:02:00Z&end=2026-01-01T00:02:30Z", 2),
        ("start=2026-01-01T00:03:00Z&end=2026-01-01T00:03:30Z", 3),
        // Over all of them, that of which there is most; what grows, that which does.
        ("start=2026-01-01T00:00:00Z&end=2026-01-01T00:03:30Z", 2),
        ("start=2026-01-01T00:00:00Z", 3),
        ("end=2026-01-01T00:01:30Z", 1),
    ] {
        let window = window.replace("Z", ".000Z");
        assert_eq!(uris(&window), format!("list_w{run}.m3u8?{window}"));
        let lists = ["list", "sound"].map(|name| ask(&origin, &format!("{name}_w{run}.m3u8"), &window).text());
        assert_eq!(rules::across(&[("list", &lists[0]), ("sound", &lists[1])]), vec![], "{lists:?}");
    }
    assert_eq!(ask(&origin, "m.m3u8", "start=2026-01-01T00:04:00Z").status, 404);
    // Who asks once is told so further down.
    let once = "start=2026-01-01T00:01:00.000Z&end=2026-01-01T00:01:30.000Z&late=1";
    assert_eq!(uris(once), format!("list_w1.m3u8?{once}"));
    // A recording has it too, and says what it leaves out.
    let out = origin.folder().join("clip");
    let mut harvest = Command::new(BINARY);
    harvest.args(["harvest", &format!("http://{}", origin.address), "--playlist", "m.m3u8", "--key", &origin.player]);
    harvest.args(["--from", "2026-01-01T00:01:00Z", "--to", "2026-01-01T00:01:30Z", "--out"]).arg(&out);
    let done = harvest.output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success() && out.join("0/sound1-0.ts").exists() && out.join("1/list1-1.ts").exists(), "{done:?}");
    for name in ["list_w3.m3u8", "sound_w3.m3u8"] {
        let line = said.lines().find(|line| line.contains("left out") && line.contains(name));
        assert!(line.is_some_and(|line| line.ends_with("nothing of it is in the window")), "{said}");
    }
    // What is deleted has no past.
    let delete = Request::new("DELETE", origin.path("m.m3u8")).bearer(&origin.encoder).send(origin.address);
    assert_eq!(delete.status, 204);
    origin.store("m.m3u8", master(3));
    assert_eq!(ask(&origin, "m.m3u8", "end=2026-01-01T00:01:30Z").status, 404);
}
