//! What is kept beside memory, from outside: evicted objects, restarts, kills.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::harness::{Origin, bytes, eventually};
use crate::wire::Request;

const SMALL: &str = "hot_capacity = \"4MiB\"\nmax_object_size = \"1MiB\"\n";

/// A server with these settings of its namespace, in a file that is there for its restarts.
pub(crate) fn start(settings: &str) -> (Origin, tempfile::TempDir) {
    start_with(settings, &[])
}

/// The same, at an address that stays.
pub(crate) fn start_at(listen: &str, settings: &str) -> (Origin, tempfile::TempDir) {
    let (mut origin, folder) = start_with(settings, &["--listen", listen]);
    origin.address = listen.parse().unwrap();
    (origin, folder)
}

fn start_with(settings: &str, arguments: &[&str]) -> (Origin, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("springhead.toml");
    fs::write(&file, format!("[namespaces.live-origin]\n{settings}")).unwrap();
    (Origin::start_with(&[&["--config", file.to_str().unwrap()], arguments].concat()), folder)
}

/// Kills the server when all that it writes behind is on the disk, and starts it again: the tier is open then.
pub(crate) fn kill_and_start(origin: &mut Origin) {
    let is_written = || (origin.metric("springhead_durable_waiting_changes") == 0.0).then_some(());
    eventually(Duration::from_secs(20), is_written).expect("all is written behind");
    origin.signal("KILL");
    assert!(!origin.wait().success());
    origin.launch();
    origin.wait_for_log("the durable tier is open");
}

/// Every file below a folder.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

#[test]
fn who_may_read_the_files_and_is_kept_out_all_the_same_is_told() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("springhead.toml");
    fs::write(&file, "object_readers = \"everyone\"\n").unwrap();
    let mut origin = Origin::start_with(&["--config", file.to_str().unwrap()]);
    let told = |origin: &Origin| {
        let mut messages = origin.log().into_iter().filter_map(|line| line["message"].as_str().map(str::to_owned));
        messages.find(|message| message.starts_with("object_readers is \"everyone\", but"))
    };
    let umask = |mask: &str| format!("umask {mask}; exec \"$0\" \"$@\"");
    origin.stop();
    origin.launch_under(&["sh", "-c", &umask("022")]);
    let closed = format!("{} has the mode 0700", origin.data_dir().display());
    assert!(told(&origin).is_some_and(|said| said.contains(&closed)), "{:?}", told(&origin));
    for folder in [origin.data_dir(), origin.data_dir().join("objects")] {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    }
    for (mask, part) in [("077", Some("the umask of this process is 0077")), ("022", None)] {
        origin.stop();
        origin.launch_under(&["sh", "-c", &umask(mask)]);
        let said = told(&origin);
        assert!(
            said.is_some() == part.is_some() && part.is_none_or(|part| said.as_ref().unwrap().contains(part)),
            "{mask}: {said:?}"
        );
    }
}

#[test]
fn what_leaves_memory_is_served_until_its_ttl() {
    let (origin, _folder) = start(SMALL);
    origin.store("live/master.m3u8", "#EXTM3U\n");
    for n in 0..60u64 {
        origin.store(&format!("live/{n}.ts"), bytes(n, 400_000));
    }
    for n in 0..60u64 {
        let answer = origin.get(&format!("live/{n}.ts"));
        assert!(answer.status == 200 && answer.body == bytes(n, 400_000), "{n}");
        // Ten of them fit into memory.
        if !(45..55).contains(&n) {
            let status = answer.header("cache-status");
            assert_eq!(status.ends_with("; detail=durable"), n < 45, "{n}: {status}");
        }
    }
    for n in 0..60u64 {
        assert!(origin.get(&format!("live/{n}.ts")).body == bytes(n, 400_000), "{n}");
    }
    // A part of it, what is known of it, and what it is compared with.
    let name = origin.path("live/3.ts");
    let ask = |method: &str| Request::new(method, &*name).bearer(&origin.player);
    let part = ask("GET").header("Range", "bytes=1000-1999").send(origin.address);
    assert_eq!((part.status, part.header("content-range")), (206, "bytes 1000-1999/400000"));
    assert!(part.body == bytes(3, 400_000)[1000..2000]);
    let last = ask("GET").header("Range", "bytes=-5").send(origin.address);
    assert!(last.status == 206 && last.body == bytes(3, 400_000)[399_995..]);
    assert_eq!(ask("GET").header("Range", "bytes=400000-").send(origin.address).status, 416);
    let head = ask("HEAD").send(origin.address);
    assert_eq!((head.status, head.header("content-length")), (200, "400000"));
    let tag = head.header("etag").to_owned();
    assert_eq!(ask("GET").header("If-None-Match", &tag).send(origin.address).status, 304);
    let put = |key: &str| Request::new("PUT", origin.path(key)).bearer(&origin.encoder).body("x");
    assert_eq!(
        put("live/5.ts").header("If-None-Match", "*").send(origin.address).status,
        412,
        "it is there, though not in memory"
    );
    assert_eq!(origin.metric("springhead_objects_lost_total"), 0.0);
    // Its time to live is exact down there as well.
    let short = Request::new("PUT", format!("{}?ttl_seconds=2", origin.path("short.ts"))).bearer(&origin.encoder);
    assert_eq!(short.body(bytes(9, 400_000)).send(origin.address).status, 204);
    let stored = Instant::now();
    for n in 60..80u64 {
        origin.store(&format!("live/{n}.ts"), bytes(n, 400_000));
    }
    let answer = origin.get("short.ts");
    assert!(answer.status == 200 || stored.elapsed() > Duration::from_millis(1900), "{answer:?}");
    thread::sleep(Duration::from_secs(2).saturating_sub(stored.elapsed()));
    assert_eq!(origin.get("short.ts").status, 404);
    let path = origin.data_dir().join("objects/live-origin/short.ts");
    eventually(Duration::from_secs(5), || (!path.exists()).then_some(())).expect("its file goes");
    // And what is deleted is gone; not before the version that is meant.
    let below = Request::new("DELETE", origin.path("live/2.ts")).bearer(&origin.encoder);
    assert_eq!(below.header("If-Match", "\"other\"").send(origin.address).status, 412);
    let tag =
        Request::new("HEAD", origin.path("live/2.ts")).bearer(&origin.player).send(origin.address).header("etag").to_owned();
    let below = Request::new("DELETE", origin.path("live/2.ts")).bearer(&origin.encoder);
    assert_eq!(below.header("If-Match", &tag).send(origin.address).status, 204, "it is there, though not in memory");
    assert_eq!(origin.get("live/2.ts").status, 404);
    assert_eq!(Request::new("DELETE", origin.path("live/1.ts")).bearer(&origin.encoder).send(origin.address).status, 204);
    assert_eq!(origin.get("live/1.ts").status, 404);
}

#[test]
fn a_restart_in_order_keeps_everything() {
    let (mut origin, _folder) = start(SMALL);
    for n in 0..30u64 {
        origin.store(&format!("live/{n}.ts"), bytes(n, 400_000));
    }
    for n in 0..20 {
        // Rewritten faster than it is written behind: the last version counts.
        origin.store("live/index.m3u8", format!("#EXTM3U\n#EXT-X-TARGETDURATION:6\n#{n}\n"));
    }
    let odd = Request::new("PUT", origin.path("odd")).bearer(&origin.encoder).body("{}");
    let odd =
        odd.header("Content-Type", "text/x-odd; a=\"b\"").header("Cache-Control", "max-age=5").header("Content-Encoding", "br");
    assert_eq!(odd.send(origin.address).status, 204);
    let kept = |origin: &Origin, key: &str| {
        let answer = origin.get(key);
        assert_eq!(answer.status, 200, "{key}");
        let headers = ["etag", "last-modified", "content-type", "cache-control", "content-encoding"];
        let present = headers.map(|name| answer.headers.iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).cloned());
        (present, answer.body)
    };
    let names: Vec<String> =
        (0..30).map(|n| format!("live/{n}.ts")).chain(["live/index.m3u8".to_owned(), "odd".to_owned()]).collect();
    let before: Vec<_> = names.iter().map(|name| kept(&origin, name)).collect();
    origin.stop();
    assert!(files(&origin.data_dir().join("objects/.new")).is_empty(), "nothing is half-done");
    origin.launch();
    let playlist = origin.get("live/index.m3u8");
    assert!(!playlist.header("cache-status").contains("durable"), "playlists are in memory before the first reader");
    for (name, before) in names.iter().zip(before) {
        let mut after = kept(&origin, name);
        if name.ends_with(".ts") {
            // What is left of its time to live is less.
            after.0[3].clone_from(&before.0[3]);
        }
        assert!(after == before, "{name}: {:?} became {:?}", before.0, after.0);
    }
    let line = origin.wait_for_log("the durable tier is open");
    assert_eq!((&line["in_order"], &line["objects"]), (&true.into(), &32.into()));
}

#[test]
fn what_a_playlist_imports_is_known_at_once_after_a_restart() {
    let (mut origin, _folder) = start(SMALL);
    let master = "#EXTM3U\n#EXT-X-DEFINE:NAME=\"to\",VALUE=\"media\"\n#EXT-X-STREAM-INF:BANDWIDTH=1000\na/p.m3u8\n";
    // By name the multivariant playlist is the last one that a restart finds.
    origin.store("z.m3u8", master);
    let media = "#EXTM3U\n#EXT-X-DEFINE:IMPORT=\"to\"\n#EXT-X-TARGETDURATION:6\n#EXT-X-MAP:URI=\"{$to}/i.mp4\"\n#EXTINF:6,\n{$to}/1.m4s\n";
    for name in ["a/media/i.mp4", "a/media/1.m4s"] {
        origin.store(name, bytes(1, 1000));
    }
    origin.store("a/p.m3u8", media);
    let last = |origin: &Origin| {
        let report = Request::new("GET", "/v1/streams").send(origin.admin);
        let report: serde_json::Value = serde_json::from_slice(&report.body).unwrap();
        report["streams"][0]["renditions"][0]["last_segment"].clone()
    };
    assert_eq!(last(&origin), "a/media/1.m4s");
    origin.stop();
    origin.launch();
    origin.wait_for_log("the durable tier is open");
    assert_eq!(last(&origin), "a/media/1.m4s");
    let window = Request::new("GET", format!("{}?last=10m", origin.path("a/p.m3u8"))).bearer(&origin.player).send(origin.address);
    assert!(window.text().contains("media/1.m4s") && !window.text().contains("{$"), "{}", window.text());
}

#[test]
fn an_mpd_is_as_old_after_a_restart_as_the_last_of_its_segments() {
    let (mut origin, _folder) = start("durable = \"disk\"\n");
    origin.store("p.mpd", "<MPD type='dynamic'><Period><AdaptationSet><SegmentTemplate duration='2' media='$Number$.m4s'/><Representation/></AdaptationSet></Period></MPD>");
    origin.store("7.m4s", bytes(7, 1000));
    let written = Instant::now();
    let stands = |origin: &Origin| {
        let report = Request::new("GET", "/v1/streams").send(origin.admin);
        let report: serde_json::Value = serde_json::from_slice(&report.body).unwrap();
        report["streams"][0]["renditions"][0].clone()
    };
    thread::sleep(Duration::from_secs(2));
    origin.stop();
    origin.launch();
    origin.wait_for_log("the durable tier is open");
    let rendition =
        eventually(Duration::from_secs(10), || Some(stands(&origin)).filter(|one| one["playlist"] == "p.mpd")).unwrap();
    let age = rendition["age_s"].as_f64().unwrap();
    assert!(age >= 2.0 && age <= written.elapsed().as_secs_f64() + 1.0, "{rendition}");
    assert_eq!(rendition["last_segment"], "7.m4s");
}

/// Pushes a stream until told to stop: unique segments and a playlist. Notes what was acknowledged, and when.
pub(crate) fn push(
    origin: &Origin,
    round: u64,
    stop: &AtomicBool,
    acknowledged: &Mutex<Vec<(String, u64, Instant)>>,
    list: &Mutex<(u64, u64)>,
) {
    thread::scope(|scope| {
        for writer in 0..3u64 {
            scope.spawn(move || {
                for n in 0..100_000u64 {
                    if stop.load(Ordering::SeqCst) {
                        break;
                    }
                    let seed = round * 1_000_000 + writer * 100_000 + n;
                    let key = format!("live/{writer}/{seed}.ts");
                    let length = 1000 + usize::try_from(seed * 7919 % 60_000).unwrap();
                    let request = Request::new("PUT", origin.path(&key)).bearer(&origin.encoder).body(bytes(seed, length));
                    match request.try_send(origin.address) {
                        Some(answer) if answer.status == 204 => acknowledged.lock().push((key, seed, Instant::now())),
                        // Killed, or about to be.
                        _ => break,
                    }
                }
            });
        }
        scope.spawn(|| {
            while !stop.load(Ordering::SeqCst) {
                let next = list.lock().1 + 1;
                list.lock().1 = next;
                let request = Request::new("PUT", origin.path("live/index.m3u8")).bearer(&origin.encoder);
                match request.body(format!("#EXTM3U\n#{next}\n")).try_send(origin.address) {
                    Some(answer) if answer.status == 204 => list.lock().0 = next,
                    _ => break,
                }
            }
        });
    });
}

pub(crate) fn body(seed: u64) -> Vec<u8> {
    bytes(seed, 1000 + usize::try_from(seed * 7919 % 60_000).unwrap())
}

/// How often to kill: as `SPRINGHEAD_TEST_KILLS` says.
fn kills(usual: u64) -> u64 {
    std::env::var("SPRINGHEAD_TEST_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

#[test]
fn a_kill_loses_nothing_that_was_acknowledged_as_durable() {
    let kills = kills(10);
    let (mut origin, _folder) = start("ack = \"durable\"\nhot_capacity = \"4MiB\"\nmax_object_size = \"1MiB\"\n");
    let (acknowledged, list) = (Mutex::new(Vec::new()), Mutex::new((0, 0)));
    let mut checked = 0;
    for round in 0..kills {
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| push(&origin, round, &stop, &acknowledged, &list));
            thread::sleep(Duration::from_millis(100 + round * 37 % 400));
            origin.signal("KILL");
            stop.store(true, Ordering::SeqCst);
        });
        origin.wait();
        origin.launch();
        let all = acknowledged.lock();
        // All of them in the last round, those of this one in the others.
        let from = if round + 1 == kills { 0 } else { checked };
        for (key, seed, _) in &all[from..] {
            let answer = origin.get(key);
            assert!(answer.status == 200 && answer.body == body(*seed), "round {round}: {key}: {}", answer.status);
        }
        checked = all.len();
        let (safe, tried) = *list.lock();
        if safe > 0 {
            let text = origin.get("live/index.m3u8").text();
            let found: u64 = text.trim_end().rsplit('#').next().unwrap().parse().unwrap_or_else(|_| panic!("torn: {text:?}"));
            assert!((safe..=tried).contains(&found), "round {round}: {found}, acknowledged {safe}, tried {tried}");
            list.lock().0 = found;
        }
    }
    assert!(checked as u64 > kills * 5, "{checked} in {kills} rounds");
    origin.wait_for_log("everything in the durable tier is known");
    assert!(files(&origin.data_dir().join("objects/.new")).is_empty(), "what was half-written is gone");
}

#[test]
fn a_kill_loses_no_more_than_the_write_behind_window() {
    let (mut origin, _folder) = start(SMALL);
    let (acknowledged, list) = (Mutex::new(Vec::new()), Mutex::new((0, 0)));
    for round in 0..kills(3) {
        let stop = AtomicBool::new(false);
        let killed = Mutex::new(None);
        thread::scope(|scope| {
            scope.spawn(|| push(&origin, round, &stop, &acknowledged, &list));
            // Longer than the window by far, or a server that writes nothing behind would pass.
            thread::sleep(Duration::from_millis(3500));
            *killed.lock() = Some(Instant::now());
            origin.signal("KILL");
            stop.store(true, Ordering::SeqCst);
        });
        let killed = killed.lock().unwrap();
        origin.wait();
        origin.launch();
        let mut lost = 0;
        for (key, seed, at) in acknowledged.lock().drain(..) {
            let answer = origin.get(&key);
            if answer.status == 404 {
                lost += 1;
                let before = killed.saturating_duration_since(at);
                // The window is of one second; a machine whose disk and cores others use is given as much again.
                assert!(before < Duration::from_secs(2), "{key} was lost, {before:?} after it was acknowledged");
            } else {
                assert!(answer.body == body(seed), "{key}: {}", answer.status);
            }
        }
        eprintln!("lost to a kill under ack = hot: {lost}");
    }
}

#[test]
fn objects_are_files_under_their_names() {
    let (origin, _folder) = start("");
    origin.store("live/a.m3u8", "#EXTM3U\n");
    origin.store("live/b/1.ts", "segment");
    let objects = origin.data_dir().join("objects/live-origin");
    eventually(Duration::from_secs(10), || (files(&objects).len() == 2).then_some(())).expect("they are written behind");
    assert_eq!(fs::read_to_string(objects.join("live/a.m3u8")).unwrap(), "#EXTM3U\n");
    assert_eq!(fs::read_to_string(objects.join("live/b/1.ts")).unwrap(), "segment");
    assert_eq!(files(&origin.data_dir().join("objects/.meta")).len(), 2);
}
