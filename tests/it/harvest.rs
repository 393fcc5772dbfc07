//! Recordings: what a running server copies of itself when it is ordered to, into folders and buckets, and what the command makes of
//! streams of other kinds. That they are whole, ffmpeg says.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::cloud::{BUCKET, Kit, SECRET, Server};
use crate::harness::{BINARY, NAMESPACE, Origin, Process, eventually};
use crate::programs::program;
use crate::timeshift::{ended, plays, push, segments};
use crate::wire::{Answer, Request};

fn body(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).unwrap_or_else(|_| panic!("no JSON: {answer:?}"))
}

fn order(origin: &Origin, order: &Value) -> Answer {
    let request = Request::new("POST", "/v1/harvest").header("Content-Type", "application/json");
    request.body(order.to_string()).send(origin.admin)
}

fn state(origin: &Origin, id: &str) -> Value {
    body(&Request::new("GET", format!("/v1/harvest/{id}")).send(origin.admin))
}

/// Orders it, and waits until it is over.
fn carried_out(origin: &Origin, what: &Value) -> Value {
    let answer = order(origin, what);
    assert_eq!(answer.status, 202, "{answer:?}");
    let id = body(&answer)["id"].as_str().unwrap().to_owned();
    assert_eq!(answer.header("location"), format!("/v1/harvest/{id}"));
    let over = eventually(Duration::from_secs(30), || {
        let now = state(origin, &id);
        (!matches!(now["state"].as_str().unwrap(), "waiting" | "running")).then_some(now)
    });
    over.expect("it comes to an end")
}

/// A server that makes recordings in a folder of its own.
fn recorder(more: &str) -> (Origin, PathBuf, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let recordings = folder.path().join("recordings");
    let settings = format!("[harvest]\nfolder = \"{}\"\n{more}", recordings.display());
    let file = folder.path().join("settings.toml");
    fs::write(&file, settings).unwrap();
    (Origin::start_with(&["--config", file.to_str().unwrap()]), recordings, folder)
}

fn command(arguments: &[&str], key: &str, environment: &[(String, String)]) -> Output {
    let mut command = Command::new(BINARY);
    command.arg("harvest").args(arguments).env("SPRINGHEAD_KEY", key);
    command.envs(environment.iter().map(|(name, value)| (name, value))).output().unwrap()
}

#[test]
fn an_order_makes_a_recording_of_what_memory_has_forgotten() {
    let (mut origin, recordings, _folder) = recorder("");
    ended(push(&origin, "a", 6));
    // With all that was written below memory, and nothing of the segments in it.
    origin.stop();
    origin.launch();
    let what = json!({"namespace": NAMESPACE, "playlist": "ch/master.m3u8", "last": "1h", "out": "show/one"});
    let done = carried_out(&origin, &what);
    assert_eq!((&done["state"], &done["out"]), (&json!("done"), &json!("show/one/master.m3u8")), "{done}");
    assert_eq!((&done["missing"], &done["error"], &done["kept"]), (&json!(0), &Value::Null, &json!(0)));
    assert!(done["files"] == done["total"] && done["files"].as_u64().unwrap() >= 10, "{done}");
    let out = recordings.join("show/one");
    for playlist in ["master.m3u8", "0/playlist.m3u8", "1/playlist.m3u8"] {
        let length = plays(out.join(playlist).to_str().unwrap(), None);
        assert!((5.0..7.0).contains(&length), "{playlist}: {length}");
    }
    let text = fs::read_to_string(out.join("0/playlist.m3u8")).unwrap();
    let mut bytes = 0;
    for (folder, rendition) in [("0", "hi"), ("1", "lo")] {
        for name in segments(&fs::read_to_string(out.join(folder).join("playlist.m3u8")).unwrap()) {
            let copied = fs::read(out.join(folder).join(name)).unwrap();
            bytes += copied.len() as u64;
            assert_eq!(copied, origin.get(&format!("ch/{rendition}/{name}")).body, "byte for byte");
        }
    }
    assert_eq!(done["bytes"].as_u64().unwrap(), bytes);
    // The same again has nothing to do, and mends what is not whole.
    let first = segments(&text)[0];
    fs::write(out.join("0").join(first), "short").unwrap();
    fs::remove_file(out.join("master.m3u8")).unwrap();
    let again = carried_out(&origin, &what);
    assert_eq!((&again["state"], &again["end"]), (&json!("done"), &done["end"]), "{again}");
    assert_eq!(again["kept"].as_u64().unwrap() + 1, again["files"].as_u64().unwrap(), "{again}");
    assert!(out.join("master.m3u8").exists());
    // What names the rest comes last: where a rendition's playlist can't be written, there is no multivariant one.
    let (master, blocked) = (out.join("master.m3u8"), out.join("1/playlist.m3u8"));
    fs::remove_file(&master).unwrap();
    fs::remove_file(&blocked).unwrap();
    fs::create_dir(&blocked).unwrap();
    let failed = carried_out(&origin, &what);
    assert!(failed["state"] == "failed" && failed["error"].as_str().unwrap().contains("can't write"), "{failed}");
    assert!(!master.exists());
    fs::remove_dir(&blocked).unwrap();
    assert_eq!(carried_out(&origin, &what)["state"], "done");
    assert!(master.exists() && blocked.is_file());
    // Another one has no place there.
    let other = carried_out(&origin, &json!({"namespace": NAMESPACE, "playlist": "ch/hi/p.m3u8", "out": "show/one"}));
    assert!(other["state"] == "failed" && other["error"].as_str().unwrap().contains("another harvest"), "{other}");
    let recent = body(&Request::new("GET", "/v1/harvest").send(origin.admin));
    let states: Vec<_> = recent["harvests"].as_array().unwrap().iter().map(|one| one["state"].clone()).collect();
    assert_eq!(states, ["failed", "done", "failed", "done", "done"]);
    // A media playlist alone, in a window.
    let (start, end) = (done["start"].as_str().unwrap(), done["end"].as_str().unwrap());
    let media = json!({"namespace": NAMESPACE, "playlist": "ch/lo/p.m3u8", "start": start, "end": end, "out": "lo"});
    assert_eq!(carried_out(&origin, &media)["out"], "lo/playlist.m3u8");
    assert!((5.0..7.0).contains(&plays(recordings.join("lo/playlist.m3u8").to_str().unwrap(), None)));
    // Of what there is nothing, there is no recording.
    let none = carried_out(&origin, &json!({"namespace": NAMESPACE, "playlist": "none.m3u8", "out": "none"}));
    assert_eq!(none["state"], "failed");
    assert!(!recordings.join("none/playlist.m3u8").exists());
}

#[test]
fn orders_that_make_no_sense_or_lead_elsewhere_are_refused() {
    let (origin, recordings, folder) = recorder("");
    let outside = folder.path().join("outside");
    fs::create_dir_all(&outside).unwrap();
    fs::create_dir_all(&recordings).unwrap();
    std::os::unix::fs::symlink(&outside, recordings.join("link")).unwrap();
    let plain = json!({"namespace": NAMESPACE, "playlist": "p.m3u8", "out": "a"});
    let with = |field: &str, value: Value| {
        let mut order = plain.clone();
        order[field] = value;
        order
    };
    for out in
        ["", ".", "..", "../a", "a/../../b", "/etc/a", "a//b", "a/", ".hidden", "a\\b", "a\u{0}b", "link", "link/a", "%2e%2e/a"]
    {
        let answer = order(&origin, &with("out", json!(out)));
        assert_eq!((answer.status, &*answer.problem()), (400, "bad-request"), "{out:?}: {answer:?}");
        assert!(answer.text().contains("out"), "{out:?}: {}", answer.text());
    }
    for (field, value) in [
        ("namespace", json!("none")),
        ("namespace", json!("../x")),
        ("playlist", json!("")),
        ("playlist", json!("../p.m3u8")),
        ("start", json!("yesterday")),
        ("end", json!("2100-01-01T00:00:00Z")),
        ("last", json!("0s")),
        ("base", json!("ftp://host")),
        ("base", json!("https://host/path")),
        ("base", json!("https://user:secret@host")),
        ("keyz", json!(true)),
    ] {
        let answer = order(&origin, &with(field, value));
        assert_eq!((answer.status, answer.text().contains(field)), (400, true), "{field}: {answer:?}");
        assert!(!answer.text().contains("secret"));
    }
    assert!(fs::read_dir(&outside).unwrap().next().is_none(), "nothing was written outside");
    // Into a bucket nobody may, here.
    let bucket = order(&origin, &with("out", json!("s3://bucket/a")));
    assert_eq!((bucket.status, bucket.text().contains("harvest.buckets")), (403, true), "{bucket:?}");
    // A page in somebody's browser can't say that it sends JSON.
    for content_type in ["text/plain", "application/x-www-form-urlencoded"] {
        let request = Request::new("POST", "/v1/harvest").header("Content-Type", content_type).body(plain.to_string());
        assert_eq!(request.send(origin.admin).status, 415);
    }
    let long = format!("{{\"out\": \"{}\"}}", "a".repeat(20_000));
    let request = Request::new("POST", "/v1/harvest").header("Content-Type", "application/json").body(long);
    assert_eq!(request.send(origin.admin).status, 413);
    for method in ["GET", "DELETE"] {
        assert_eq!(Request::new(method, "/v1/harvest/none").send(origin.admin).status, 404);
    }
    // It is off unless a place is named.
    let shipped = Origin::start();
    let answer = order(&shipped, &plain);
    assert_eq!((answer.status, &*answer.problem(), answer.text().contains("harvest.folder")), (403, "harvest-off", true));
}

#[test]
fn orders_are_taken_from_administrators() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("settings.toml");
    fs::write(&file, format!("[harvest]\nfolder = \"{}\"\n", folder.path().join("out").display())).unwrap();
    let origin = Origin::start_with(&["--config", file.to_str().unwrap(), "--admin-listen", "0.0.0.0:0"]);
    let admin = std::net::SocketAddr::from(([127, 0, 0, 1], origin.admin.port()));
    let what = json!({"namespace": NAMESPACE, "playlist": "p.m3u8", "out": "a"}).to_string();
    let ask = |method: &str, path: &str, key: Option<&str>| {
        let request = Request::new(method, path).header("Content-Type", "application/json");
        let request = if method == "POST" { request.body(what.clone()) } else { request };
        key.map_or_else(|| request.clone(), |key| request.clone().bearer(key)).send(admin).status
    };
    for (method, path) in [("POST", "/v1/harvest"), ("GET", "/v1/harvest"), ("GET", "/v1/harvest/1"), ("DELETE", "/v1/harvest/1")]
    {
        assert_eq!(ask(method, path, None), 401, "{method} {path}");
        assert_eq!(ask(method, path, Some(&origin.encoder)), 403, "{method} {path}");
    }
    assert_eq!(ask("POST", "/v1/harvest", Some(&origin.administrator)), 202);
    assert_eq!(ask("GET", "/v1/harvest", Some(&origin.administrator)), 200);
}

#[test]
fn so_many_run_and_wait_and_none_holds_up_the_end() {
    // What they may read is soon used up: then they give way.
    let (mut origin, recordings, _folder) = recorder("[namespaces.live-origin]\nread_requests_per_second = \"1\"\n");
    let names: Vec<String> = (1..=90).map(|number| format!("{number}.ts")).collect();
    names.iter().for_each(|name| origin.store(name, name.clone()));
    let listed: String = names.iter().map(|name| format!("#EXTINF:2,\n{name}\n")).collect();
    origin.store("p.m3u8", format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:1\n{listed}"));
    let what = |out: &str| json!({"namespace": NAMESPACE, "playlist": "p.m3u8", "out": out});
    let mut ids = Vec::new();
    for number in 0..10 {
        let answer = order(&origin, &what(&format!("r{number}")));
        assert_eq!(answer.status, 202, "{answer:?}");
        ids.push(body(&answer)["id"].as_str().unwrap().to_owned());
    }
    let states = || ids.iter().map(|id| state(&origin, id)["state"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    let two =
        eventually(Duration::from_secs(5), || (states().iter().filter(|state| **state == "running").count() == 2).then_some(()));
    assert!(two.is_some() && states().iter().filter(|state| **state == "waiting").count() == 8, "{:?}", states());
    let taken = order(&origin, &what("r0"));
    assert_eq!((taken.status, &*taken.problem()), (409, "harvest-taken"));
    let busy = order(&origin, &what("more"));
    assert_eq!((busy.status, &*busy.problem(), busy.header("retry-after")), (503, "too-many-harvests", "30"));
    let some = eventually(Duration::from_secs(10), || (state(&origin, &ids[0])["files"].as_u64()? > 0).then_some(()));
    assert!(some.is_some(), "it copies as it may");
    // One is cancelled, and the next one that waits has its turn.
    let running = states().iter().position(|state| state == "running").unwrap();
    let cancelled = Request::new("DELETE", format!("/v1/harvest/{}", ids[running])).send(origin.admin);
    assert_eq!((cancelled.status, &body(&cancelled)["state"]), (200, &json!("cancelled")));
    let two =
        eventually(Duration::from_secs(5), || (states().iter().filter(|state| **state == "running").count() == 2).then_some(()));
    assert!(two.is_some(), "{:?}", states());
    // Half of a recording is not to be taken for one.
    assert!(recordings.join(format!("r{running}/harvest.json")).exists());
    assert!(!recordings.join(format!("r{running}/playlist.m3u8")).exists());
    // Encoders are not held up.
    let began = Instant::now();
    origin.store("new.ts", "new");
    assert!(began.elapsed() < Duration::from_secs(1));
    let began = Instant::now();
    origin.stop();
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[test]
fn no_namespace_waits_for_anothers_recordings() {
    let rates = "[namespaces.live-origin]\nread_requests_per_second = \"1\"\n[namespaces.other]\n";
    let (origin, _recordings, _folder) = recorder(rates);
    let names: Vec<String> = (1..=90).map(|number| format!("{number}.ts")).collect();
    names.iter().for_each(|name| origin.store(name, name.clone()));
    let listed: String = names.iter().map(|name| format!("#EXTINF:2,\n{name}\n")).collect();
    origin.store("p.m3u8", format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n{listed}"));
    // As many as may, each of which takes a minute and more.
    for number in 0..10 {
        let what = json!({"namespace": NAMESPACE, "playlist": "p.m3u8", "out": format!("r{number}")});
        assert_eq!(order(&origin, &what).status, 202);
    }
    assert_eq!(order(&origin, &json!({"namespace": NAMESPACE, "playlist": "p.m3u8", "out": "more"})).status, 503);
    let (key, _) = origin.make_key(&["--role", "readwrite", "--namespace", "other"]);
    for (name, body) in [("1.ts", "media"), ("p.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n1.ts\n#EXT-X-ENDLIST\n")] {
        let stored = Request::new("PUT", format!("/cache/other/{name}")).bearer(&key).body(body).send(origin.address);
        assert_eq!(stored.status, 204, "{stored:?}");
    }
    let done = carried_out(&origin, &json!({"namespace": "other", "playlist": "p.m3u8", "out": "other"}));
    assert_eq!(done["state"], "done", "{done}");
    let all = body(&Request::new("GET", "/v1/harvest").send(origin.admin));
    let running = all["harvests"].as_array().unwrap().iter().filter(|one| one["state"] == "running").count();
    assert_eq!(running, 2, "{all}");
}

#[test]
fn an_order_that_never_had_its_place_gives_out_nothing_of_what_is_there() {
    let (origin, recordings, _folder) = recorder("[namespaces.live-origin]\n[namespaces.other]\n");
    origin.store("1.ts", "media");
    origin.store("p.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n1.ts\n#EXT-X-ENDLIST\n");
    let done = carried_out(&origin, &json!({"namespace": NAMESPACE, "playlist": "p.m3u8", "out": "clip"}));
    assert_eq!(done["state"], "done", "{done}");
    let (operator, _) = origin.make_key(&["--role", "operator", "--namespace", "other"]);
    let archive = |harvest: &Value| {
        let path = format!("/v1/harvest/{}/archive", harvest["id"].as_str().unwrap());
        Request::new("GET", path).bearer(&operator).send(origin.admin).status
    };
    // So many that the recording is not remembered any more.
    let mut what = json!({"namespace": "other", "playlist": "none.m3u8", "out": "none"});
    for _ in 0..99 {
        assert_eq!(carried_out(&origin, &what)["state"], "failed");
    }
    what["out"] = json!("clip");
    let failed = carried_out(&origin, &what);
    assert_eq!((&failed["state"], archive(&done), archive(&failed)), (&json!("failed"), 404, 404), "{failed}");
    assert!(recordings.join("clip/1.ts").exists());
}

/// A host that refuses all that it is asked for until it is told to answer, and says how it is reached.
fn reluctant(answers: &Arc<AtomicBool>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, answers) = (listener.local_addr().unwrap(), Arc::clone(answers));
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut head = BufReader::new(&stream).lines().map_while(Result::ok).take_while(|line| !line.is_empty());
            let Some(first) = head.next() else { continue };
            head.for_each(drop);
            let body = match first.split(' ').nth(1).unwrap_or_default() {
                path if path.starts_with("/b/p.m3u8") => "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n1.ts\n#EXT-X-ENDLIST\n",
                _ => "theirs",
            };
            let status = if answers.load(Ordering::SeqCst) { "200 OK" } else { "403 Forbidden" };
            let sent = if first.starts_with("HEAD") { "" } else { body };
            let length = body.len();
            let _ = write!(&stream, "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{sent}");
        }
    });
    format!("http://{address}")
}

/// What could not be read at first is no less of the stream.
#[test]
fn a_rendition_that_was_left_out_for_the_moment_is_taken_up_by_a_later_run() {
    let (origin, answers) = (Origin::start(), Arc::new(AtomicBool::new(false)));
    let other = reluctant(&answers);
    origin.store("v/1.ts", "ours");
    origin.store("v/p.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n1.ts\n#EXT-X-ENDLIST\n");
    // By a variable: what is named outright and is not here has nothing in the window.
    let define = format!("#EXT-X-DEFINE:NAME=\"other\",VALUE=\"{other}\"\n");
    let variants = "#EXT-X-STREAM-INF:BANDWIDTH=2\n{$other}/b/p.m3u8\n#EXT-X-STREAM-INF:BANDWIDTH=1\nv/p.m3u8\n";
    origin.store("m.m3u8", format!("#EXTM3U\n{define}{variants}"));
    let folder = tempfile::tempdir().unwrap();
    let (base, out) = (format!("http://{}", origin.address), folder.path().join("clip"));
    let run = || {
        let said = command(&[&*base, "--playlist", "m.m3u8", "--out", out.to_str().unwrap()], &origin.player, &[]);
        assert!(said.status.success(), "{said:?}");
        (String::from_utf8(said.stdout).unwrap(), fs::read_to_string(out.join("master.m3u8")).unwrap())
    };
    let head = format!("#EXTM3U\n{define}");
    let (own, theirs) = ("#EXT-X-STREAM-INF:BANDWIDTH=1\n1/playlist.m3u8\n", "#EXT-X-STREAM-INF:BANDWIDTH=2\n0/playlist.m3u8\n");
    for _ in 0..2 {
        let (said, master) = run();
        assert!(said.contains(&format!("left out: {other}/b/p.m3u8")) && said.contains(": 403"), "{said}");
        assert_eq!(master, format!("{head}{own}"));
    }
    answers.store(true, Ordering::SeqCst);
    let (said, master) = run();
    assert!(!said.contains("left out") && said.contains("2 files") && said.contains("1 were here already"), "{said}");
    assert_eq!(master, format!("{head}{theirs}{own}"));
    let files = ["0/1.ts", "1/1.ts"].map(|name| fs::read_to_string(out.join(name)).unwrap());
    assert_eq!(files, ["theirs", "ours"]);
    // It is as if it had been there at first: what its host has lost since is no less of it.
    answers.store(false, Ordering::SeqCst);
    let (said, again) = run();
    assert!(!said.contains("left out") && said.contains("2 were here already"), "{said}");
    assert_eq!(again, master);
}

/// Killed in the middle of it, and not ordered again.
#[test]
fn what_a_kill_has_broken_off_can_be_fetched_as_far_as_it_came() {
    let (mut origin, _recordings, _folder) = recorder("[namespaces.live-origin]\nread_requests_per_second = \"1\"\n");
    let names: Vec<String> = (1..=90).map(|number| format!("{number}.ts")).collect();
    names.iter().for_each(|name| origin.store(name, name.clone()));
    let listed: String = names.iter().map(|name| format!("#EXTINF:2,\n{name}\n")).collect();
    origin.store("p.m3u8", format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n{listed}#EXT-X-ENDLIST\n"));
    let ordered = order(&origin, &json!({"namespace": NAMESPACE, "playlist": "p.m3u8", "out": "clip"}));
    let id = body(&ordered)["id"].as_str().unwrap().to_owned();
    let some = eventually(Duration::from_secs(20), || (state(&origin, &id)["files"].as_u64()? > 0).then_some(()));
    assert!(some.is_some(), "{}", state(&origin, &id));
    origin.signal("KILL");
    origin.wait();
    origin.launch();
    let after = state(&origin, &id);
    assert_eq!((&after["state"], &after["total"]), (&json!("failed"), &json!(90)), "{after}");
    let key = origin.administrator.clone();
    let get = |place: &str| Request::new("GET", format!("/v1/harvest/{id}/{place}")).bearer(&key).send(origin.admin);
    let (first, archive) = (get("files/1.ts"), get("archive"));
    assert_eq!((first.status, first.text(), archive.status), (200, "1.ts".to_owned(), 200));
}

/// What is ordered again when the server has less of it: the rest, and nothing of what is there is lost.
#[test]
fn the_same_again_takes_nothing_from_a_recording() {
    let (origin, recordings, folder) = recorder("");
    for number in 1..=4 {
        origin.store(&format!("{number}.ts"), format!("media {number}"));
    }
    let listed: String = (1..=4).map(|number| format!("#EXTINF:2,\n{number}.ts\n")).collect();
    origin.store("p.m3u8", format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n{listed}#EXT-X-ENDLIST\n"));
    let what = json!({"namespace": NAMESPACE, "playlist": "p.m3u8", "out": "clip"});
    let (base, out) = (format!("http://{}", origin.address), folder.path().join("clip"));
    let commanded = || {
        let said = command(&[&*base, "--playlist", "p.m3u8", "--out", out.to_str().unwrap()], &origin.player, &[]);
        (said.status.success(), String::from_utf8_lossy(&said.stdout).into_owned())
    };
    assert_eq!(carried_out(&origin, &what)["state"], "done");
    assert!(commanded().0);
    let places = [recordings.join("clip"), out.clone()];
    let texts = || [0, 1].map(|at| fs::read_to_string(places[at].join("playlist.m3u8")).unwrap());
    let whole = texts();
    assert!(whole.iter().all(|text| segments(text).len() == 4), "{whole:?}");
    let remove = |name: &str| {
        assert_eq!(Request::new("DELETE", origin.path(name)).bearer(&origin.encoder).send(origin.address).status, 204);
    };
    ["1.ts", "2.ts"].into_iter().for_each(remove);
    let done = carried_out(&origin, &what);
    assert_eq!((&done["state"], &done["kept"], &done["files"]), (&json!("done"), &json!(4), &json!(4)), "{done}");
    let (is_done, said) = commanded();
    assert!(is_done && said.contains("4 files") && said.contains("4 were here already"), "{said}");
    assert_eq!(texts(), whole);
    // What is neither there nor here is a gap, and what is there is had.
    for place in &places {
        ["1.ts", "3.ts"].into_iter().for_each(|name| fs::remove_file(place.join(name)).unwrap());
    }
    let done = carried_out(&origin, &what);
    assert_eq!((&done["state"], &done["files"], &done["gaps"]), (&json!("done"), &json!(3), &json!(1)), "{done}");
    let (is_done, said) = commanded();
    assert!(is_done && said.contains("; 1 segment is a gap in it"), "{said}");
    for (text, whole) in texts().iter().zip(&whole) {
        assert_eq!(*text, whole.replace("\n1.ts", "\n#EXT-X-GAP\ngap"));
    }
    // With content keys it is another one.
    let mut other = what.clone();
    other["keys"] = json!(true);
    let refused = carried_out(&origin, &other);
    assert!(refused["error"].as_str().is_some_and(|error| error.contains("without content keys")), "{refused}");
    // With nothing left at the source, all that is here stays.
    ["3.ts", "4.ts", "p.m3u8"].into_iter().for_each(remove);
    let done = carried_out(&origin, &what);
    assert_eq!((&done["state"], &done["kept"]), (&json!("done"), &json!(3)), "{done}");
    assert!(commanded().0);
}

fn bucket_origin(server: &Server) -> (Origin, Vec<(String, String)>, tempfile::TempDir) {
    let environment = server.access().0;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("settings.toml");
    fs::write(&file, format!("[harvest]\nbuckets = [\"s3://{BUCKET}/vod\", \"az://{BUCKET}/vod\"]\n")).unwrap();
    (Origin::start_in(&["--config", file.to_str().unwrap()], &environment), environment, folder)
}

/// Takes a recording out of its bucket; the type each file is served with is the one it has.
fn download(server: &Server, prefix: &str, to: &Path) {
    let get = |name: &str, expected: &str| {
        let answer = server.plain("GET", &format!("{prefix}/{name}"), b"");
        assert_eq!((answer.status, answer.header("content-type")), (200, expected), "{name}");
        let path = to.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, &answer.body).unwrap();
        String::from_utf8_lossy(&answer.body).into_owned()
    };
    get("master.m3u8", "application/vnd.apple.mpegurl");
    get("harvest.json", "application/json");
    for folder in ["0", "1"] {
        let text = get(&format!("{folder}/playlist.m3u8"), "application/vnd.apple.mpegurl");
        for name in segments(&text) {
            get(&format!("{folder}/{name}"), "video/mp2t");
        }
    }
}

#[test]
fn recordings_go_into_buckets_by_order_and_by_command() {
    for kit in [Kit::Moto, Kit::SeaweedFs] {
        if let Some(server) = Server::start(kit) {
            recorded(&server);
        }
    }
}

#[test]
fn recordings_go_to_azure() {
    let Some(server) = Server::start(Kit::Azurite) else { return };
    let (origin, environment, _folder) = bucket_origin(&server);
    ended(push(&origin, "a", 4));
    let out = format!("az://{BUCKET}/vod/one");
    let what = json!({"namespace": NAMESPACE, "playlist": "ch/master.m3u8", "last": "1h", "out": out});
    let done = carried_out(&origin, &what);
    assert_eq!((&done["state"], &done["kept"]), (&json!("done"), &json!(0)), "{done}");
    let again = carried_out(&origin, &what);
    assert_eq!((&again["state"], &again["kept"], &again["bytes"]), (&json!("done"), &done["files"], &json!(0)), "{again}");
    let base = format!("http://{}", origin.address);
    let other = command(&[&base, "--playlist", "ch/master.m3u8", "--out", &out], &origin.player, &environment);
    let said = String::from_utf8_lossy(&other.stderr).into_owned();
    assert!(other.status.code() == Some(1) && said.contains("another harvest") && !said.contains(SECRET), "{said}");
}

fn recorded(server: &Server) {
    let (origin, environment, folder) = bucket_origin(server);
    ended(push(&origin, "a", 5));
    let url = |name: &str| format!("s3://{BUCKET}/{name}");
    for out in ["vod", "vod2/a", "other", "vod/../a"] {
        let refused = order(&origin, &json!({"namespace": NAMESPACE, "playlist": "ch/master.m3u8", "out": url(out)}));
        assert_eq!(refused.status, 400, "{out}: {refused:?}");
    }
    let done = carried_out(&origin, &json!({"namespace": NAMESPACE, "playlist": "ch/master.m3u8", "out": url("vod/one")}));
    assert_eq!((&done["state"], &done["out"]), (&json!("done"), &json!(url("vod/one/master.m3u8"))), "{done}");
    let ordered = folder.path().join("ordered");
    download(server, "vod/one", &ordered);
    let length = plays(ordered.join("master.m3u8").to_str().unwrap(), None);
    assert!((4.0..6.0).contains(&length), "{length}");
    // By the command, to anywhere the credentials let it.
    let base = format!("http://{}", origin.address);
    let harvest = || {
        command(
            &[&base, "--playlist", "ch/master.m3u8", "--last", "1h", "--out", &url("clips/two")],
            &origin.player,
            &environment,
        )
    };
    let said = harvest();
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    assert!(text.starts_with(&url("clips/two/master.m3u8")), "{text}");
    let commanded = folder.path().join("commanded");
    download(server, "clips/two", &commanded);
    let length = plays(commanded.join("master.m3u8").to_str().unwrap(), None);
    assert!((4.0..6.0).contains(&length), "{length}");
    // Broken off, it goes on where it was.
    let playlist = fs::read_to_string(commanded.join("0/playlist.m3u8")).unwrap();
    let name = segments(&playlist)[1].to_owned();
    assert_eq!(server.plain("DELETE", &format!("clips/two/0/{name}"), b"").status, 204);
    assert_eq!(server.plain("DELETE", "clips/two/master.m3u8", b"").status, 204);
    let again = harvest();
    let (first, second) = (text, String::from_utf8_lossy(&again.stdout).into_owned());
    let files: u64 = first.split(": ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    assert!(second.contains(&format!("{files} files")) && second.contains(&format!("{} were here", files - 1)), "{second}");
    assert_eq!(server.plain("GET", &format!("clips/two/0/{name}"), b"").body, fs::read(commanded.join("0").join(&name)).unwrap());
    // Its place is given to another one.
    let place = url("clips/two");
    let arguments = [&*base, "--playlist", "ch/hi/p.m3u8", "--replace", "--out", &place];
    let replaced = command(&arguments, &origin.player, &environment);
    assert!(replaced.status.success(), "{}", String::from_utf8_lossy(&replaced.stderr));
    assert_eq!(
        [format!("0/{name}"), "master.m3u8".to_owned()].map(|name| server.plain("GET", &format!("clips/two/{name}"), b"").status),
        [404; 2]
    );
    assert_eq!(server.plain("GET", &format!("clips/two/{name}"), b"").status, 200);
    // What is nobody's harvest is left alone, and what does not answer is a failure.
    let other = command(&[&base, "--playlist", "ch/master.m3u8", "--out", &url("clips")], &origin.player, &environment);
    assert_eq!(other.status.code(), Some(1), "{other:?}");
    let none = command(&[&base, "--playlist", "ch/master.m3u8", "--out", "s3://no-such-bucket/a"], &origin.player, &environment);
    assert_eq!(none.status.code(), Some(1));
    let wrong =
        command(&[&base, "--playlist", "ch/master.m3u8", "--out", "s3://k:SECRET@bucket/a"], &origin.player, &environment);
    assert_eq!((wrong.status.code(), String::from_utf8_lossy(&wrong.stderr).contains("SECRET")), (Some(2), false));
    for said in [other, none] {
        assert!(!String::from_utf8_lossy(&said.stderr).contains(SECRET));
    }
}

/// One rendition, with more arguments for the muxer.
fn push_one(origin: &Origin, place: &str, extension: &str, more: &[&str]) -> Process {
    let base = format!("http://momento:{}@{}/cache/{NAMESPACE}/{place}", origin.encoder, origin.address);
    let mut command = program("ffmpeg");
    let text = "-hide_banner -nostdin -v error -re -f lavfi -i testsrc2=size=192x108:rate=10 -t 6 -c:v libx264 -preset ultrafast -g 10 \
                -keyint_min 10 -sc_threshold 0 -threads 1 -pix_fmt yuv420p -f hls -method PUT -hls_time 1 -hls_list_size 0";
    command.args(text.split_whitespace()).args(more);
    command.args(["-hls_segment_filename".to_owned(), format!("{base}/%05d.{extension}"), format!("{base}/p.m3u8")]);
    Process(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
}

#[test]
fn fragments_and_encrypted_segments_are_recorded_with_what_they_need() {
    let (origin, recordings, folder) = recorder("");
    let base = format!("http://{}", origin.address);
    let harvest = |playlist: &str, out: &Path, more: &[&str]| {
        let arguments = [&[&*base, "--playlist", playlist, "--out", out.to_str().unwrap()], more].concat();
        let said = command(&arguments, &origin.player, &[]);
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        fs::read_to_string(out.join("playlist.m3u8")).unwrap()
    };
    let is_whole = |folder: &Path| {
        let length = plays(folder.join("playlist.m3u8").to_str().unwrap(), None);
        assert!((5.5..6.5).contains(&length), "{length}");
    };
    origin.store("enc/clip.key", [7_u8; 16]);
    let (key, info) = (folder.path().join("clip.key"), folder.path().join("info.txt"));
    fs::write(&key, [7_u8; 16]).unwrap();
    fs::write(&info, format!("clip.key\n{}\n", key.display())).unwrap();
    let encoders = [
        push_one(&origin, "mp4", "m4s", &["-hls_segment_type", "fmp4"]),
        push_one(&origin, "enc", "ts", &["-hls_key_info_file", info.to_str().unwrap()]),
    ];
    encoders.into_iter().for_each(ended);
    // The initialisation segment is a file beside the others.
    let out = folder.path().join("mp4");
    let text = harvest("mp4/p.m3u8", &out, &[]);
    assert!(text.contains("#EXT-X-MAP:URI=\"init.mp4\"\n") && out.join("init.mp4").exists(), "{text}");
    is_whole(&out);
    let done = carried_out(&origin, &json!({"namespace": NAMESPACE, "playlist": "mp4/p.m3u8", "out": "mp4"}));
    assert_eq!(done["state"], "done", "{done}");
    is_whole(&recordings.join("mp4"));
    // Encrypted.
    let with = folder.path().join("with-keys");
    let text = harvest("enc/p.m3u8", &with, &["--keys"]);
    assert!(text.contains("URI=\"clip.key\"") && fs::read(with.join("clip.key")).unwrap() == [7; 16], "{text}");
    is_whole(&with);
    let without = folder.path().join("without-keys");
    let text = harvest("enc/p.m3u8", &without, &[]);
    assert!(text.contains(&format!("URI=\"{base}/cache/{NAMESPACE}/enc/clip.key\"")), "{text}");
    assert!(!without.join("clip.key").exists() && text.contains("METHOD=AES-128"));
    let encrypted = |more: Value| {
        let mut what = json!({"namespace": NAMESPACE, "playlist": "enc/p.m3u8", "out": format!("enc{}", more.to_string().len())});
        more.as_object().unwrap().iter().for_each(|(name, value)| what[name] = value.clone());
        (carried_out(&origin, &what), recordings.join(what["out"].as_str().unwrap()))
    };
    let (done, out) = encrypted(json!({"keys": true}));
    assert_eq!(done["state"], "done", "{done}");
    is_whole(&out);
    let (done, out) = encrypted(json!({"base": "https://live.example"}));
    assert_eq!(done["state"], "done", "{done}");
    let text = fs::read_to_string(out.join("playlist.m3u8")).unwrap();
    assert!(text.contains(&format!("URI=\"https://live.example/cache/{NAMESPACE}/enc/clip.key\"")), "{text}");
    let (failed, _) = encrypted(json!({}));
    assert!(failed["state"] == "failed" && failed["error"].as_str().unwrap().contains("\"keys\": true"), "{failed}");
}

#[test]
fn what_is_missing_is_listed_and_what_is_elsewhere_is_not_fetched() {
    let (origin, recordings, folder) = recorder("[namespaces.live-origin]\n[namespaces.other]\n");
    for name in ["1.ts", "2.ts", "3.ts"] {
        origin.store(name, name);
    }
    origin.store("i.mp4", "init");
    let listed = "#EXT-X-MAP:URI=\"http://192.0.2.1/elsewhere.mp4\"\n#EXTINF:2,\n1.ts\n#EXTINF:2,\n2.ts\n#EXTINF:2,\n3.ts\n";
    let head = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:1\n";
    origin.store("p.m3u8", format!("{head}{listed}"));
    let began = Instant::now();
    let done = carried_out(&origin, &json!({"namespace": NAMESPACE, "playlist": "p.m3u8", "out": "a"}));
    assert!(began.elapsed() < Duration::from_secs(5), "nobody is asked: {done}");
    assert_eq!((&done["state"], &done["missing"], &done["files"]), (&json!("failed"), &json!(1), &json!(3)), "{done}");
    assert!(done["missing_files"][0].as_str().unwrap().contains("not on this server"), "{done}");
    assert!(recordings.join("a/3.ts").exists() && !recordings.join("a/playlist.m3u8").exists());
    // Another namespace is not this order's, whatever the encoder writes.
    origin.store("q.m3u8", format!("{head}{}", listed.replace("http://192.0.2.1/elsewhere.mp4", "/cache/other/i.mp4")));
    let done = carried_out(&origin, &json!({"namespace": NAMESPACE, "playlist": "q.m3u8", "out": "b"}));
    assert!(done["missing_files"][0].as_str().is_some_and(|why| why.contains("another namespace")), "{done}");
    // The command lists it, too, and says so by its exit status.
    origin.store("r.m3u8", format!("{head}{}", listed.replace("http://192.0.2.1/elsewhere.mp4", "none.mp4")));
    let (base, out) = (format!("http://{}", origin.address), folder.path().join("r"));
    let arguments = [&*base, "--playlist", "r.m3u8", "--out", out.to_str().unwrap()];
    let said = command(&arguments, &origin.player, &[]);
    let text = String::from_utf8_lossy(&said.stderr).into_owned();
    assert_eq!(said.status.code(), Some(1), "{text}");
    assert!(text.contains("1 of 4 files are missing") && text.contains("/none.mp4: 404"), "{text}");
    assert!(out.join("3.ts").exists() && !out.join("playlist.m3u8").exists());
    origin.store("none.mp4", "init");
    assert!(command(&arguments, &origin.player, &[]).status.success(), "and once it is there, the rest");
}

#[test]
fn one_pasted_url_plays_the_past() {
    let origin = Origin::start();
    ended(push(&origin, "a", 5));
    let url = format!("http://{}{}", origin.address, origin.path("ch/master.m3u8"));
    let length = plays(&format!("{url}?last=1h&inherit_token=1&token={}", origin.player), None);
    assert!((4.0..6.0).contains(&length), "{length}");
    let text = Request::new("GET", format!("{}?last=1h&inherit_token=1&token={}", origin.path("ch/master.m3u8"), origin.player));
    let text = text.send(origin.address).text();
    let children = segments(&text);
    assert!(
        children.iter().all(|uri| ["start=", "end=", "token=", "inherit_token=1"].iter().all(|word| uri.contains(word))),
        "{text}"
    );
}

/// The CDN's names: nobody of that name is asked.
#[test]
fn what_a_cdn_calls_ours_is_copied_from_here() {
    let (origin, recordings, _folder) = recorder("");
    let base = "https://cdn.invalid/ch/";
    origin.store("ch/m.m3u8", format!("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n{base}p.m3u8\n"));
    let mut list = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n".to_owned();
    for n in 0..3 {
        origin.store(&format!("ch/{n}.ts"), format!("media {n}"));
        list += &format!("#EXTINF:2,\n{}{n}.ts\n", if n == 1 { "/ch/" } else { base });
    }
    origin.store("ch/p.m3u8", list + "#EXT-X-ENDLIST\n");
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("a");
    let url = format!("http://{}{}", origin.address, origin.path("ch/m.m3u8"));
    let done = command(&[&url, "--out", out.to_str().unwrap()], &origin.player, &[]);
    assert!(done.status.success(), "{done:?}");
    let ordered = carried_out(&origin, &json!({"namespace": NAMESPACE, "playlist": "ch/m.m3u8", "out": "b"}));
    assert_eq!(ordered["state"], "done", "{ordered}");
    for out in [out, recordings.join("b")] {
        assert!((0..3).all(|n| fs::read_to_string(out.join(format!("0/{n}.ts"))).unwrap() == format!("media {n}")));
    }
}

#[test]
fn what_variables_stand_for_is_copied() {
    let origin = Origin::start();
    let define = "#EXTM3U\n#EXT-X-DEFINE:NAME=\"v\",VALUE=\"video/\"\n";
    origin.store("ch/m.m3u8", format!("{define}#EXT-X-STREAM-INF:BANDWIDTH=1\n{{$v}}p.m3u8\n"));
    let mut list =
        "#EXTM3U\n#EXT-X-DEFINE:IMPORT=\"v\"\n#EXT-X-DEFINE:NAME=\"n\",VALUE=\"seg\"\n#EXT-X-TARGETDURATION:2\n".to_owned();
    for n in 0..3 {
        origin.store(&format!("ch/video/seg{n}.ts"), format!("media {n}"));
        list += &format!("#EXTINF:2,\n../{{$v}}{{$n}}{n}.ts\n");
    }
    origin.store("ch/video/p.m3u8", list + "#EXT-X-ENDLIST\n");
    let folder = tempfile::tempdir().unwrap();
    let url = format!("http://{}{}?token={}", origin.address, origin.path("ch/m.m3u8"), origin.player);
    let out = folder.path().join("a");
    let done = command(&[&url, "--out", out.to_str().unwrap()], "", &[]);
    assert!(done.status.success(), "{done:?}");
    for n in 0..3 {
        assert_eq!(fs::read_to_string(out.join(format!("0/seg{n}.ts"))).unwrap(), format!("media {n}"));
    }
    assert!(fs::read_to_string(out.join("master.m3u8")).unwrap().ends_with("\n0/playlist.m3u8\n"));
}

/// As the first start prints it, to be pasted.
#[test]
fn a_key_in_the_url_is_a_key() {
    let origin = Origin::start();
    let mut list = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MAP:URI=\"i.mp4\"\n".to_owned();
    origin.store("ch/i.mp4", "init");
    for n in 0..3 {
        origin.store(&format!("ch/{n}.m4s"), "media");
        list += &format!("#EXTINF:2,\n{n}.m4s\n");
    }
    origin.store("ch/p.m3u8", list + "#EXT-X-ENDLIST\n");
    let folder = tempfile::tempdir().unwrap();
    let run = |out: &str, query: &str| {
        let out = folder.path().join(out);
        let url = format!("http://{}{}{query}", origin.address, origin.path("ch/p.m3u8"));
        command(&[&url, "--out", out.to_str().unwrap()], "", &[])
    };
    let done = run("a", &format!("?token={}", origin.player));
    assert!(done.status.success(), "{done:?}");
    assert_eq!(fs::read(folder.path().join("a/2.m4s")).unwrap(), b"media");
    assert!(!fs::read_to_string(folder.path().join("a/harvest.json")).unwrap().contains(&origin.player), "it stays nowhere");
    // One that is none, and none at all, are told as that.
    for query in ["?token=not.a.key", ""] {
        let refused = run("b", query);
        let said = String::from_utf8(refused.stderr).unwrap();
        assert!(!refused.status.success() && said.contains("…: 401 ") && !said.contains("missing"), "{said}");
    }
}

#[test]
fn a_place_is_given_to_another_harvest_when_that_is_said() {
    let (origin, recordings, folder) = recorder("");
    (1..=4).for_each(|number| origin.store(&format!("{number}.ts"), format!("media {number}")));
    let head = "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:1\n";
    let list =
        |numbers: [u32; 3]| numbers.iter().fold(head.to_owned(), |text, number| format!("{text}#EXTINF:2,\n{number}.ts\n"));
    let broken = list([1, 2, 3]).replace("#EXTINF:2,\n1.ts", "#EXT-X-MAP:URI=\"none.mp4\"\n#EXTINF:2,\n1.ts");
    origin.store("broken.m3u8", broken + "#EXT-X-ENDLIST\n");
    origin.store("whole.m3u8", list([2, 3, 4]) + "#EXT-X-ENDLIST\n");
    let out = folder.path().join("clip");
    let base = format!("http://{}", origin.address);
    let harvest = |playlist: &str, more: &[&str]| {
        let arguments = [&[&*base, "--playlist", playlist, "--out", out.to_str().unwrap()], more].concat();
        let said = command(&arguments, &origin.player, &[]);
        (said.status.code(), String::from_utf8_lossy(&said.stderr).into_owned())
    };
    let files = || {
        let mut names: Vec<_> =
            fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names.join(" ")
    };
    let (status, _) = harvest("broken.m3u8", &[]);
    assert_eq!((status, &*files()), (Some(1), "1.ts 2.ts 3.ts harvest.json"), "as far as it came");
    // Another one is told what is there, whether that is whole, and what can be done.
    let (status, said) = harvest("whole.m3u8", &[]);
    assert_eq!(status, Some(1));
    for words in ["another harvest", "broken.m3u8, which is not whole", "--replace", "another place"] {
        assert!(said.contains(words), "{words}: {said}");
    }
    // What nobody's harvest has written is in the way of it.
    fs::write(out.join("notes.txt"), "mine").unwrap();
    let (status, said) = harvest("whole.m3u8", &["--replace"]);
    assert!(status == Some(1) && said.contains("notes.txt") && said.contains("nothing is deleted"), "{said}");
    assert_eq!(files(), "1.ts 2.ts 3.ts harvest.json notes.txt");
    fs::remove_file(out.join("notes.txt")).unwrap();
    // A file that was cut short by a kill is its own.
    fs::write(out.join("3.part"), "m").unwrap();
    fs::write(out.join("2.ts"), "MEDIA 2").unwrap();
    let (status, said) = harvest("whole.m3u8", &["--replace"]);
    assert_eq!((status, &*files()), (Some(0), "2.ts 3.ts 4.ts harvest.json playlist.m3u8"), "{said}");
    assert_eq!(fs::read(out.join("2.ts")).unwrap(), b"media 2", "nothing of the old one is taken for the new one's");
    // Nothing is lost where there is nothing to put in its place.
    let (status, said) = harvest("none.m3u8", &["--replace"]);
    assert_eq!((status, &*files()), (Some(1), "2.ts 3.ts 4.ts harvest.json playlist.m3u8"), "{said}");
    let (status, said) = harvest("broken.m3u8", &[]);
    assert!(status == Some(1) && said.contains("whole.m3u8; order"), "{said}");
    // By order, and of the same words: it begins anew.
    let mut what = json!({"namespace": NAMESPACE, "playlist": "broken.m3u8", "out": "a"});
    assert_eq!(carried_out(&origin, &what)["state"], "failed");
    what["playlist"] = json!("whole.m3u8");
    let refused = carried_out(&origin, &what);
    assert!(refused["error"].as_str().is_some_and(|error| error.contains("\"replace\": true")), "{refused}");
    what["replace"] = json!(true);
    for _ in 0..2 {
        let done = carried_out(&origin, &what);
        assert_eq!((&done["state"], &done["kept"], &done["files"]), (&json!("done"), &json!(0), &json!(3)), "{done}");
    }
    assert!(recordings.join("a/4.ts").exists() && !recordings.join("a/1.ts").exists());
    what["playlist"] = json!("none.m3u8");
    assert_eq!(carried_out(&origin, &what)["state"], "failed");
    assert!(recordings.join("a/playlist.m3u8").exists(), "it is there still");
}

#[test]
fn an_order_names_what_it_leaves_out() {
    let (origin, _recordings, _folder) = recorder("");
    origin.store("1.ts", "media");
    origin.store("v.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n1.ts\n#EXT-X-ENDLIST\n");
    origin.store("m.m3u8", "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nv.m3u8\n#EXT-X-STREAM-INF:BANDWIDTH=2\nnever.m3u8\n");
    let done = carried_out(&origin, &json!({"namespace": NAMESPACE, "playlist": "m.m3u8", "out": "a"}));
    assert_eq!(
        (&done["state"], &done["left_out"]),
        (&json!("done"), &json!(["never.m3u8: nothing of it is in the window"])),
        "{done}"
    );
}

#[test]
fn a_recording_says_what_is_missing_in_it() {
    let (origin, recordings, folder) = recorder("");
    for number in [0, 1, 4, 5, 7] {
        origin.store(&format!("v/{number}.ts"), "media");
    }
    let listed: String = (0..8).map(|number| format!("#EXTINF:2,\n{number}.ts\n")).collect();
    let date = "#EXT-X-PROGRAM-DATE-TIME:2026-01-02T20:15:00Z\n";
    origin.store("v/p.m3u8", format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n{date}{listed}#EXT-X-ENDLIST\n"));
    let times = [
        "playlist.m3u8: 2 segments, 2026-01-02T20:15:04.000Z to 2026-01-02T20:15:08.000Z",
        "playlist.m3u8: 1 segment, 2026-01-02T20:15:12.000Z to 2026-01-02T20:15:14.000Z",
    ];
    let done = carried_out(&origin, &json!({"namespace": NAMESPACE, "playlist": "v/p.m3u8", "out": "one"}));
    assert_eq!((&done["state"], &done["gaps"], &done["gap_times"]), (&json!("done"), &json!(3), &json!(times)), "{done}");
    let copy = fs::read_to_string(recordings.join("one/playlist.m3u8")).unwrap();
    assert_eq!(copy.matches("#EXT-X-GAP\n").count(), 3, "{copy}");
    let out = folder.path().join("two");
    let base = format!("http://{}{}", origin.address, origin.path("v/p.m3u8"));
    let run = command(&[&base, "--out", out.to_str().unwrap()], &origin.player, &[]);
    let said = String::from_utf8(run.stdout).unwrap();
    assert!(run.status.success() && said.contains("5 files") && said.contains("; 3 segments are gaps in it\n"), "{said}");
    assert!(times.iter().all(|time| said.contains(&format!("  gap: {time}\n"))), "{said}");
}
