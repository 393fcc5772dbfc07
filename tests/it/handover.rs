//! Two real servers on one data directory.

use std::fs;
use std::io::Read as _;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::durable::start;
use crate::harness::{BINARY, Origin, Process, bytes, eventually};
use crate::wire::{Answer, Request};

fn start_to_hand_over(settings: &str) -> (Origin, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("springhead.toml");
    fs::write(&file, format!("reuse_port = true\n[namespaces.live-origin]\n{settings}")).unwrap();
    (Origin::start_with(&["--config", file.to_str().unwrap()]), folder)
}

fn put(origin: &Origin, address: SocketAddr, key: &str, body: impl Into<Vec<u8>>) -> Answer {
    Request::new("PUT", origin.path(key)).bearer(&origin.encoder).body(body).send(address)
}

fn signal(process: &Process, name: &str) {
    assert!(Command::new("kill").args([&format!("-{name}"), &process.0.id().to_string()]).status().unwrap().success());
}

fn wait(process: &mut Process) -> bool {
    eventually(Duration::from_secs(40), || process.0.try_wait().unwrap()).expect("it ends").success()
}

#[test]
fn a_second_server_on_the_same_folder_refuses_to_start() {
    let (mut origin, _folder) = start("");
    origin.store("a.ts", "kept");
    let second = || {
        let data = origin.data_dir();
        let mut command = Command::new(BINARY);
        command.args(["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--data-dir"]).arg(data);
        Process(command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap())
    };
    let mut refused = second();
    let status = eventually(Duration::from_secs(10), || refused.0.try_wait().unwrap()).expect("it does not start");
    assert_eq!(status.code(), Some(1));
    let mut text = String::new();
    refused.0.stderr.take().unwrap().read_to_string(&mut text).unwrap();
    for part in ["another server uses the data directory", "--data-dir", "reuse_port"] {
        assert!(text.contains(part), "{text}");
    }
    assert_eq!(origin.get("a.ts").text(), "kept", "the first one goes on");
    // Other commands are no servers, and a server that was killed is none any more.
    assert!(origin.run(&["keys", "list"]).status.success());
    origin.signal("KILL");
    origin.wait();
    origin.launch();
    assert!([200, 404].contains(&origin.get("a.ts").status), "written behind or not, it answers");
}

#[test]
fn a_new_server_takes_over_when_the_old_one_drains_or_dies() {
    for last in ["TERM", "KILL"] {
        let (mut origin, _folder) = start_to_hand_over("hot_capacity = \"64MiB\"\n");
        for n in 0..20u64 {
            origin.store(&format!("live/{n}.ts"), bytes(n, 100_000));
        }
        origin.store("live/index.m3u8", "#EXTM3U\n#1\n");
        let objects = origin.data_dir().join("objects/live-origin");
        let on_disk = |key: &str| fs::read_to_string(objects.join(key)).ok();
        eventually(Duration::from_secs(10), || objects.join("live/19.ts").exists().then_some(())).unwrap();
        eventually(Duration::from_secs(10), || on_disk("live/index.m3u8")).unwrap();

        let (mut old, address) = origin.launch_beside();
        origin.wait_for_log("another server keeps the durable tier: this one takes it over when that one ends");
        let ready = Request::new("GET", "/readyz").send(origin.address);
        assert!(ready.status == 200 && ready.text().contains("kept by another server"), "{ready:?}");
        for n in 0..20u64 {
            assert!(origin.get(&format!("live/{n}.ts")).body == bytes(n, 100_000), "the new one serves what is there: {n}");
        }
        // The old one still gets some: the new one does not go back behind it.
        assert_eq!(origin.get("live/index.m3u8").text(), "#EXTM3U\n#1\n");
        assert_eq!(put(&origin, address, "live/index.m3u8", "#EXTM3U\n#2\n").status, 204);
        let seen = || (origin.get("live/index.m3u8").text() == "#EXTM3U\n#2\n").then_some(());
        eventually(Duration::from_secs(10), seen).expect("the new one sees what the old one writes");
        // The new one gets the rest, and keeps it from the disk until it is its own.
        origin.store("live/index.m3u8", "#EXTM3U\n#3\n");
        origin.store("live/20.ts", bytes(20, 100_000));
        thread::sleep(Duration::from_millis(1500));
        assert_eq!(on_disk("live/index.m3u8").unwrap(), "#EXTM3U\n#2\n", "there is one writer");
        assert!(!objects.join("live/20.ts").exists());
        assert!(origin.get("live/20.ts").body == bytes(20, 100_000));
        assert_eq!(origin.get("live/index.m3u8").text(), "#EXTM3U\n#3\n");

        signal(&old, last);
        assert_eq!(wait(&mut old), last == "TERM");
        let line = origin.wait_for_log("the durable tier is open");
        assert_eq!(line["in_order"], last == "TERM", "what the old one wrote down is believed if it could finish");
        let written = || {
            let is_there =
                objects.join("live/20.ts").exists() && on_disk("live/index.m3u8").is_some_and(|text| text.contains("#3"));
            is_there.then_some(())
        };
        eventually(Duration::from_secs(10), written).expect("what waited is written");
        let ready = || (!Request::new("GET", "/readyz").send(origin.address).text().contains("another server")).then_some(());
        eventually(Duration::from_secs(10), ready).expect("it says so no more");
        // It is the one now: another without a word is refused, and a restart finds everything.
        origin.stop();
        origin.launch();
        for n in 0..21u64 {
            assert!(origin.get(&format!("live/{n}.ts")).body == bytes(n, 100_000), "after {last}: {n}");
        }
        assert_eq!(origin.get("live/index.m3u8").text(), "#EXTM3U\n#3\n");
    }
}

#[test]
fn an_upload_that_is_to_be_durable_waits_for_the_handover() {
    let (mut origin, _folder) = start_to_hand_over("ack = \"durable\"\n");
    origin.store("a.ts", "before");
    let (mut old, _) = origin.launch_beside();
    origin.wait_for_log("another server keeps the durable tier: this one takes it over when that one ends");
    thread::scope(|scope| {
        let upload = scope.spawn(|| {
            let begun = Instant::now();
            (origin.put("b.ts", "after").status, begun.elapsed())
        });
        thread::sleep(Duration::from_millis(700));
        assert!(!origin.data_dir().join("objects/live-origin/b.ts").exists());
        signal(&old, "TERM");
        assert!(wait(&mut old));
        let (status, took) = upload.join().unwrap();
        assert_eq!(status, 204, "after {took:?}");
    });
    origin.signal("KILL");
    origin.wait();
    origin.launch();
    assert_eq!((origin.get("a.ts").text(), origin.get("b.ts").text()), ("before".to_owned(), "after".to_owned()));
}

#[test]
fn what_the_old_server_makes_of_namespaces_the_new_one_takes_up() {
    let (mut origin, _folder) = start_to_hand_over("");
    let (writer, _) = origin.make_key(&["--namespace", "*", "--role", "readwrite"]);
    let before = origin.admin;
    let (mut old, address) = origin.launch_beside();
    let order = |method: &str, name: &str, headers: &[(&str, &str)]| {
        let mut order = Request::new(method, format!("/v1/namespaces/{name}")).bearer(&origin.administrator);
        for (name, value) in headers {
            order = order.header(name, *value);
        }
        order.header("Content-Type", "application/json").body("{}").send(before)
    };
    let store =
        |name: &str, at: SocketAddr| Request::new("PUT", format!("/cache/{name}/a.ts")).bearer(&writer).body("x").send(at).status;
    let becomes = |name: &str, status: u16| {
        let is = || (store(name, origin.address) == status).then_some(());
        assert!(eventually(Duration::from_secs(10), is).is_some(), "{name}: {}", store(name, origin.address));
    };
    // While both run.
    let made = order("PUT", "late", &[]);
    assert_eq!((made.status, store("late", address)), (200, 204), "{}", made.text());
    becomes("late", 204);
    // And at the last moment.
    assert_eq!(order("PUT", "last", &[]).status, 200);
    assert_eq!(order("DELETE", "late", &[("If-Match", made.header("etag"))]).status, 204);
    signal(&old, "TERM");
    assert!(wait(&mut old));
    becomes("last", 204);
    becomes("late", 404);
}
