//! Webhooks: signed, tried again, and never in the way.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use crate::harness::{Origin, eventually};
use crate::programs::program;
use crate::wire::Request;

/// Answers each POST with the next status, the last one for ever; hands over what came.
pub(crate) fn receiver(statuses: &'static [u16]) -> (String, Receiver<(String, Vec<u8>)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook?secret=hush-hush", listener.local_addr().unwrap());
    let (sender, received) = channel();
    thread::spawn(move || {
        for (index, stream) in listener.incoming().enumerate() {
            let mut stream = stream.unwrap();
            let Some((head, body)) = read_request(&mut stream) else { continue };
            let status = statuses.get(index).or(statuses.last()).unwrap();
            let _ = write!(stream, "HTTP/1.1 {status} x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            if sender.send((head, body)).is_err() {
                return;
            }
        }
    });
    (url, received)
}

fn read_request(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut read = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        if let Some(end) = read.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8(read[..end].to_vec()).unwrap();
            let length: usize = header(&head, "content-length").parse().unwrap();
            if read.len() >= end + 4 + length {
                return Some((head, read[end + 4..].to_vec()));
            }
        }
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return None,
            Ok(count) => read.extend(&buffer[..count]),
        }
    }
}

fn header<'a>(head: &'a str, name: &str) -> &'a str {
    let line = head.lines().find(|line| line.to_ascii_lowercase().starts_with(&format!("{name}:")));
    line.unwrap_or_else(|| panic!("no {name} in {head}")).split_once(':').unwrap().1.trim()
}

/// Made by another hand than ours.
fn hmac(secret: &str, text: &[u8]) -> String {
    let mut openssl = program("openssl")
        .args(["dgst", "-sha256", "-hmac", secret])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    openssl.stdin.take().unwrap().write_all(text).unwrap();
    let output = String::from_utf8(openssl.wait_with_output().unwrap().stdout).unwrap();
    output.trim().rsplit(' ').next().unwrap().to_owned()
}

#[test]
fn events_are_signed_and_tried_again() {
    let (url, received) = receiver(&[500, 204]);
    let origin = Origin::start_with_settings(&format!("[webhooks]\nurls = [\"{url}\"]\n[namespaces.live-origin]\n"));
    let playlist = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:1\n#EXTINF:1,\n1.ts\n";
    origin.store("1.ts", "one");
    origin.store("p.m3u8", playlist);
    let wait = || received.recv_timeout(Duration::from_secs(20)).expect("a webhook");
    let (first, second) = (wait(), wait());
    assert_eq!(first.1, second.1, "the same again after a 500");
    assert_eq!(header(&first.0, "springhead-delivery"), header(&second.0, "springhead-delivery"));
    let event: serde_json::Value = serde_json::from_slice(&second.1).unwrap();
    assert_eq!((&event["event"], &event["stream"], &event["trouble"]), (&"started".into(), &"p.m3u8".into(), &false.into()));
    assert_eq!(header(&second.0, "springhead-delivery"), event["id"].as_str().unwrap());
    let signature = header(&second.0, "springhead-signature");
    let (time, hex) = signature.strip_prefix("t=").unwrap().split_once(",v1=").unwrap();
    let secret = std::fs::read_to_string(origin.data_dir().join("webhook.secret")).unwrap();
    let signed = [format!("{time}.").as_bytes(), &second.1].concat();
    assert_eq!(hex, hmac(secret.trim_end(), &signed));
    // Late, then stale: the stream stands still.
    let events: Vec<String> = (0..2)
        .map(|_| serde_json::from_slice::<serde_json::Value>(&wait().1).unwrap()["event"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(events, ["late", "stale"]);
    assert!(origin.metric("springhead_webhook_deliveries_total{outcome=\"delivered\"}") > 1.5);
    assert!(!format!("{:?}", origin.log()).contains("hush-hush"));
}

#[test]
fn a_receiver_that_hangs_is_in_nobodys_way() {
    let hanging = TcpListener::bind("127.0.0.1:0").unwrap();
    let (url, received) = receiver(&[204]);
    let both = format!("\"http://{}/\", \"{url}\"", hanging.local_addr().unwrap());
    let origin = Origin::start_with_settings(&format!("[webhooks]\nurls = [{both}]\n[namespaces.live-origin]\n"));
    for number in 0..50 {
        origin.store(&format!("{number}/p.m3u8"), "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n1.ts\n");
    }
    for _ in 0..50 {
        received.recv_timeout(Duration::from_secs(20)).expect("the other one gets all of them");
    }
}

#[test]
fn what_a_receiver_does_not_take_of_one_namespace_holds_up_no_other() {
    // It hangs on what is of one namespace, and takes the rest.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let (sender, received) = channel();
    thread::spawn(move || {
        let mut held = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let Some((_, body)) = read_request(&mut stream) else { continue };
            let event: serde_json::Value = serde_json::from_slice(&body).unwrap();
            if event["namespace"] == "loud" {
                held.push(stream);
                continue;
            }
            let _ = write!(stream, "HTTP/1.1 204 x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            let _ = sender.send(event);
        }
    });
    let origin =
        Origin::start_with_settings(&format!("[webhooks]\nurls = [\"{url}\"]\n[namespaces.live-origin]\n[namespaces.loud]\n"));
    let (loud, _) = origin.make_key(&["--namespace", "loud", "--role", "readwrite"]);
    let list = "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n1.ts\n";
    let put = |number: usize| {
        let put = Request::new("PUT", format!("/cache/loud/{number}/p.m3u8")).bearer(&loud).body(list);
        assert_eq!(put.send(origin.address).status, 204);
    };
    (0..200).for_each(put);
    let counted = || origin.metric("springhead_stream_events_total{namespace=\"loud\",event=\"started\"}") > 199.0;
    assert!(eventually(Duration::from_secs(20), || counted().then_some(())).is_some());
    origin.store("quiet.m3u8", list);
    let told = received.recv_timeout(Duration::from_secs(9)).expect("it is told of while the other one's is waited for");
    assert_eq!((&told["stream"], &told["event"]), (&"quiet.m3u8".into(), &"started".into()));
}

#[test]
fn what_waits_when_the_server_ends_is_tried_once_more_and_told_when_that_is_in_vain() {
    let list = "#EXTM3U\n#EXT-X-TARGETDURATION:60\n#EXTINF:60,\n1.ts\n";
    // Before the fifth attempt there is a pause of four seconds.
    let cases: [(&'static [u16], u64); 2] = [(&[503, 503, 503, 503, 204], 0), (&[503], 1)];
    for (statuses, lost) in cases {
        let (url, received) = receiver(statuses);
        let mut origin = Origin::start_with_settings(&format!("[webhooks]\nurls = [\"{url}\"]\n[namespaces.live-origin]\n"));
        origin.store("p.m3u8", list);
        let tried = |times: usize| (0..times).all(|_| received.recv_timeout(Duration::from_secs(20)).is_ok());
        assert!(tried(4));
        origin.stop();
        assert!(tried(1), "it was tried when the server was told to end");
        let told: Vec<_> = origin.log().into_iter().filter_map(|line| line["webhooks"].as_u64()).collect();
        assert_eq!(told.iter().sum::<u64>(), lost, "{told:?}");
    }
}

#[test]
fn addresses_are_checked_and_not_shown() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let config = |text: &str, command: &[&str]| {
        std::fs::write(file.path(), text).unwrap();
        let output = Command::new(crate::harness::BINARY).args(command).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    let path = file.path().to_str().unwrap();
    let (code, text) = config("[webhooks]\nurls = [\"ftp://x/hush\"]\n[namespaces.a]\n", &["config", "check", path]);
    assert_eq!(code, Some(2));
    assert!(text.contains("webhooks.urls") && !text.contains("hush"), "{text}");
    let (code, text) =
        config("[webhooks]\nurls = [\"https://x/hush\"]\n[namespaces.a]\n", &["config", "print", "--config", path]);
    assert_eq!(code, Some(0));
    assert!(text.contains("https://x/...") && !text.contains("hush"), "{text}");
}
