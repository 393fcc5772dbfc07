//! `springhead demo`: a stream from nothing, and what the server says of an encoder that does wrong.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::harness::{BINARY, Origin, Process, eventually};
use crate::wire::Request;

struct Demo {
    _process: Process,
    folder: tempfile::TempDir,
    objects: SocketAddr,
    admin: SocketAddr,
}

impl Demo {
    fn start(faults: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let out = File::create(folder.path().join("out.txt")).unwrap();
        let log = File::create(folder.path().join("log.txt")).unwrap();
        let mut command = Command::new(BINARY);
        command
            .args(["demo", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--data-dir"])
            .arg(folder.path().join("data"));
        if !faults.is_empty() {
            command.args(["--break", faults]);
        }
        let process = Process(command.stdin(Stdio::null()).stdout(out).stderr(log).spawn().unwrap());
        let listening = folder.path().join("data/listening");
        let addresses = eventually(Duration::from_secs(30), || {
            let text = fs::read_to_string(&listening).ok()?;
            let addresses: Vec<SocketAddr> = text.lines().map(|line| line.parse().unwrap()).collect();
            (addresses.len() == 2).then_some(addresses)
        });
        let addresses = addresses.unwrap_or_else(|| panic!("{}", fs::read_to_string(folder.path().join("log.txt")).unwrap()));
        Self { _process: process, folder, objects: addresses[0], admin: addresses[1] }
    }

    fn said(&self) -> String {
        fs::read_to_string(self.folder.path().join("out.txt")).unwrap_or_default()
    }

    fn stream(&self) -> Option<Value> {
        let answer = Request::new("GET", "/v1/streams").send(self.admin);
        let streams: Value = serde_json::from_slice(&answer.body).unwrap();
        streams["streams"].as_array()?.iter().find(|stream| stream["stream"] == "demo/stream.m3u8").cloned()
    }

    fn events(&self) -> Vec<String> {
        let answer = Request::new("GET", "/v1/events").send(self.admin);
        let events: Value = serde_json::from_slice(&answer.body).unwrap();
        events["events"].as_array().unwrap().iter().map(|event| event["event"].as_str().unwrap().to_owned()).collect()
    }
}

fn text(at: SocketAddr, path: &str) -> String {
    let answer = Request::new("GET", path).send(at);
    assert_eq!(answer.status, 200, "{path}");
    answer.text()
}

#[test]
fn a_stream_of_three_renditions_is_live_and_its_address_is_printed() {
    let demo = Demo::start("");
    let live = eventually(Duration::from_secs(30), || {
        demo.stream().filter(|stream| stream["renditions"].as_array().unwrap().len() == 3 && stream["state"] == "live")
    });
    assert!(live.is_some(), "{}", demo.said());
    let said = eventually(Duration::from_secs(10), || Some(demo.said()).filter(|said| said.contains("inherit_token"))).unwrap();
    let address = said.lines().find(|line| line.contains("/cache/live-origin/demo/stream.m3u8")).unwrap().trim();
    // Standard output is a file here, and so may be kept: no key is in it, but where one is.
    let (path, named) = address.strip_prefix(&format!("http://{}", demo.objects)).unwrap().split_once("?token=").unwrap();
    let file = demo.folder.path().join("data/player_api_key.json");
    assert_eq!(named, format!("(api_key in {})&inherit_token=1", file.display()));
    let key: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    let token = key["api_key"].as_str().unwrap();
    assert!(!said.contains(token), "{said}");
    let multivariant = text(demo.objects, &format!("{path}?token={token}&inherit_token=1"));
    let below = |name: &str| format!("/cache/live-origin/demo/{name}?token={token}");
    assert!(multivariant.contains("RESOLUTION=640x360") && multivariant.contains("audio.m3u8"), "{multivariant}");
    for name in ["high", "low", "audio"] {
        let list = text(demo.objects, &below(&format!("{name}.m3u8")));
        for segment in list.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            assert_eq!(Request::new("HEAD", below(segment)).send(demo.objects).status, 200, "{segment}");
        }
    }
    let page = format!("  http://{}/#/stream/live-origin/demo%2Fstream.m3u8", demo.admin);
    assert!(said.lines().any(|line| line == page) && said.contains("springhead console --data-dir"), "{said}");
    assert!(!said.contains("ticket"), "nor a link that signs in: {said}");
    assert!(Path::new(&demo.folder.path().join("data/signing.key")).exists());
}

#[test]
fn why_another_server_refuses_it_is_told() {
    let origin = Origin::start();
    let mut command = Command::new(BINARY);
    command.args(["demo", "--to", &format!("http://{}", origin.address), "--key", &origin.player]);
    let refused = command.output().unwrap();
    let said = String::from_utf8(refused.stderr).unwrap();
    assert_eq!((refused.status.code(), &*refused.stdout), (Some(1), &b""[..]));
    assert!(said.contains("stream.m3u8 was answered 403: ") && said.contains("readwrite"), "{said}");
}

#[test]
fn what_the_encoder_does_wrong_is_told() {
    std::thread::scope(|scope| {
        for (fault, events) in [
            ("gap@1s:3s", &["gap"][..]),
            ("cut@1s:3s", &["gap"]),
            ("stall@1s:12s", &["late", "stale"]),
            ("reset@1s:20s", &["counter-restart"]),
            ("drop-audio@1s:20s", &["late", "drift", "stale"]),
            ("late@1s:20s", &["late"]),
        ] {
            scope.spawn(move || {
                let demo = Demo::start(fault);
                let is_told = || demo.events().iter().any(|event| events.contains(&&**event)).then_some(());
                assert!(eventually(Duration::from_secs(90), is_told).is_some(), "{fault}: {:?}", demo.events());
            });
        }
    });
}
