//! What the admin API shows by pages and spans of time, how many may listen to it at once, and that it is had over TLS.

use std::fs;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{BINARY, Origin, eventually};
use crate::programs::program;
use crate::tls::Authority;
use crate::wire::{Answer, Request, Wire};

fn ask(origin: &Origin, path: &str) -> Answer {
    Request::new("GET", path).bearer(&origin.administrator).send(origin.admin)
}

fn get(origin: &Origin, path: &str) -> Value {
    let answer = ask(origin, path);
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    serde_json::from_slice(&answer.body).unwrap()
}

/// A stream that has ended, and one that has not.
fn stream(origin: &Origin, name: &str, is_over: bool) {
    origin.store(&format!("{name}/1.ts"), "x");
    let end = if is_over { "#EXT-X-ENDLIST\n" } else { "" };
    origin.store(&format!("{name}/p.m3u8"), format!("#EXTM3U\n#EXT-X-TARGETDURATION:60\n#EXTINF:60,\n1.ts\n{end}"));
}

#[test]
fn streams_are_listed_by_pages_and_narrowed() {
    let origin = Origin::start();
    for name in ["b/One", "a", "b/two", "c", "d"] {
        stream(&origin, name, name == "c");
    }
    let names = |page: &Value| -> Vec<String> {
        page["streams"].as_array().unwrap().iter().map(|one| one["stream"].as_str().unwrap().to_owned()).collect()
    };
    let of = |query: &str| get(&origin, &format!("/v1/streams{query}"));
    let all = of("");
    assert_eq!((names(&all).len(), &all["next"]), (5, &json!(null)), "{all}");
    let (mut walked, mut after, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let page = of(&format!("?limit=2&after={after}"));
        pages += 1;
        assert!(names(&page).len() <= 2);
        walked.extend(names(&page));
        // What comes before the place where the next page begins moves nothing.
        stream(&origin, "a/new", false);
        match page["next"].as_str() {
            Some(next) => after = next.replace('/', "%2F"),
            None => break,
        }
    }
    assert_eq!((walked, pages), (names(&all), 3));
    assert_eq!(names(&of("?q=ONE")), ["b/One/p.m3u8"]);
    assert_eq!(names(&of("?q=live-origin%2Fb")), ["b/One/p.m3u8", "b/two/p.m3u8"]);
    let ended = eventually(Duration::from_secs(10), || Some(names(&of("?state=ended"))).filter(|names| !names.is_empty()));
    assert_eq!(ended.unwrap(), ["c/p.m3u8"]);
    assert_eq!(names(&of("?state=live&q=two&namespace=live-origin")), ["b/two/p.m3u8"]);
    assert_eq!(names(&of("?namespace=other")), Vec::<String>::new());
    for wrong in ["?state=well", "?limit=0", "?limit=1001", "?limit=x", "?color=red"] {
        assert_eq!(ask(&origin, &format!("/v1/streams{wrong}")).status, 400, "{wrong}");
    }
    let (elsewhere, _) = origin.make_key(&["--role", "viewer", "--namespace", "other"]);
    let seen = Request::new("GET", "/v1/streams?q=b").bearer(&elsewhere).send(origin.admin).text();
    assert_eq!(seen, "{\"next\":null,\"streams\":[]}");
}

#[test]
fn what_happened_is_told_of_a_span_of_time_and_figures_of_a_day() {
    let origin = Origin::start();
    stream(&origin, "a", true);
    let started = || {
        let events = get(&origin, "/v1/events");
        events["events"].as_array().unwrap().iter().find(|event| event["event"] == "started").cloned()
    };
    let event = eventually(Duration::from_secs(10), started).unwrap();
    let at = event["time"].as_str().unwrap();
    let seconds: u64 = get(&origin, "/v1/series?last=1s")["times"][0].as_u64().unwrap();
    let count = |query: &str| get(&origin, &format!("/v1/events?{query}"))["events"].as_array().unwrap().len();
    let whole = count("");
    assert!(count(&format!("since={at}")) >= 1 && count(&format!("until={at}")) < whole, "from that moment on, and before it");
    assert_eq!((count(&format!("since={}", seconds + 3600)), count(&format!("until={}", seconds - 3600))), (0, 0));
    assert_eq!(count(&format!("since={}&until={}", seconds - 3600, seconds + 3600)), whole);
    assert_eq!(ask(&origin, "/v1/events?since=yesterday").status, 400);
    let day = get(&origin, "/v1/series?last=24h");
    assert_eq!(day["step_s"], 60);
    let some = get(&origin, "/v1/series?last=2s&namespace=live-origin");
    assert_eq!((&some["step_s"], some["times"].as_array().unwrap().len() <= 2), (&json!(1), true), "{some}");
    assert_eq!(some["times"].as_array().unwrap().len(), some["stored_bytes"].as_array().unwrap().len());
    for wrong in ["soon", "0s", "25h"] {
        assert_eq!(ask(&origin, &format!("/v1/series?last={wrong}")).status, 400, "{wrong}");
    }
}

/// What the kernel says of the server's process.
fn status(origin: &Origin, field: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{}/status", origin.pid())).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(field)).unwrap();
    line.split_whitespace().find_map(|word| word.parse().ok()).unwrap()
}

/// Hundredths of a second of processor time so far.
fn processor(origin: &Origin) -> u64 {
    let text = fs::read_to_string(format!("/proc/{}/stat", origin.pid())).unwrap();
    let fields: Vec<_> = text.rsplit_once(')').unwrap().1.split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[test]
fn sixty_four_listen_at_once_for_little_and_one_more_is_told() {
    let origin = Origin::start();
    let listen = || {
        let mut wire = Wire::open(origin.admin);
        wire.write(Request::new("GET", "/v1/events/live").bearer(&origin.administrator).to_bytes());
        let (status, _) = wire.head().unwrap();
        (wire, status)
    };
    let resident = status(&origin, "VmRSS:");
    let mut tabs: Vec<Wire> = (0..64).map(|_| listen()).map(|(wire, status)| (status == 200).then_some(wire).unwrap()).collect();
    let refused = ask(&origin, "/v1/events/live");
    assert_eq!((refused.status, refused.problem()), (503, "too-many-held".to_owned()), "{}", refused.text());
    assert!(refused.text().contains("close some of the consoles"), "{}", refused.text());
    // All of them hear of what happens, and of each second; that takes little, also unoptimised.
    let before = processor(&origin);
    stream(&origin, "a", true);
    for tab in &mut tabs {
        let mut text = String::new();
        while !(text.contains("\"started\"") && text.matches("event: figures").count() >= 2) {
            text.push_str(&String::from_utf8(tab.chunk().expect("it goes on")).unwrap());
        }
    }
    let spent = processor(&origin) - before;
    assert!(spent < 150, "{spent} hundredths of a second for some seconds of 64 listeners");
    let grown = status(&origin, "VmRSS:").saturating_sub(resident);
    assert!(grown < 24 << 10, "{grown} KiB for 64 listeners");
    // One that leaves makes room, also after many that have come and gone.
    drop(tabs.pop());
    assert!(eventually(Duration::from_secs(10), || (listen().1 == 200).then_some(())).is_some());
}

#[test]
fn the_admin_listener_is_had_over_tls_and_its_certificate_is_renewed() {
    let authority = Authority::new();
    authority.sign("cert.pem", "key.pem");
    let settings = authority.path("s.toml");
    let [certificate, key] = ["cert.pem", "key.pem"].map(|name| authority.path(name).display().to_string());
    fs::write(&settings, format!("[admin_tls]\ncertificate = \"{certificate}\"\nkey = \"{key}\"\n[namespaces.live-origin]\n"))
        .unwrap();
    let origin = Origin::start_with(&["--config", settings.to_str().unwrap()]);
    let at = format!("https://localhost:{}", origin.admin.port());
    let ca = authority.path("ca.pem");
    let curl = |arguments: &[&str]| {
        let output =
            program("curl").args(["-s", "--max-time", "20", "--cacert", ca.to_str().unwrap()]).args(arguments).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let bearer = format!("Authorization: Bearer {}", origin.administrator);
    assert!(curl(&[&format!("{at}/v1/keys"), "-H", &bearer]).contains("\"keys\""));
    assert!(
        curl(&["--http1.1", &format!("{at}/")]).contains("modulepreload")
            && curl(&[&format!("{at}/metrics")]).contains("springhead_")
    );
    let figures = curl(&[&format!("{at}/metrics")]);
    let end = figures.lines().find_map(|line| line.strip_prefix("springhead_tls_certificate_expiry_timestamp_seconds "));
    assert!(end.unwrap().parse::<f64>().unwrap() > 1.7e9, "of this listener alone: {end:?}");
    // A session goes nowhere in clear, and a change that comes with one from a page of it is done.
    let json = "Content-Type: application/json";
    let order = json!({ "key": origin.administrator }).to_string();
    let head = curl(&["-D", "-", &format!("{at}/v1/session"), "-H", json, "-d", &order]);
    let cookie =
        head.lines().find_map(|line| line.to_ascii_lowercase().starts_with("set-cookie: ").then(|| line[12..].to_owned()));
    let cookie = cookie.unwrap_or_else(|| panic!("{head}"));
    assert!(cookie.starts_with("__Host-springhead-session-") && cookie.contains("; Secure"), "{cookie}");
    let pair = format!("Cookie: {}", cookie.split(';').next().unwrap());
    let page = format!("Origin: {at}");
    let made = curl(&["-X", "PUT", &format!("{at}/v1/namespaces/made"), "-H", &pair, "-H", &page, "-H", json, "-d", "{}"]);
    assert!(made.contains("\"made\""), "{made}");
    // In clear nobody is answered with anything that is there.
    let clear = Request::new("GET", "/v1/keys").bearer(&origin.administrator).send(origin.admin);
    assert_ne!(clear.status, 200);
    // The tools know: the link that signs in, and whether it is ready, where nobody else can be asked.
    let link = String::from_utf8(origin.run(&["console"]).stdout).unwrap();
    assert!(link.starts_with("https://"), "{link}");
    let health = origin.run(&["health", "--listen", "127.0.0.1:1"]);
    assert!(health.status.success(), "{health:?}");
    // A crowd that shakes no hand shuts nobody out, nor does it when more come.
    let mut crowd: Vec<Wire> = Vec::new();
    for _ in 0..3 {
        crowd.extend((0..330).map(|_| Wire::open(origin.admin)));
        assert_eq!(curl(&[&format!("{at}/livez")]), "alive\n");
    }
    drop(crowd);
    // As that of the other listeners it is renewed, and one that does not fit is refused.
    let serial = || {
        let command = format!("openssl s_client -connect {} </dev/null 2>/dev/null | openssl x509 -noout -serial", origin.admin);
        program("sh").args(["-c", &command]).output().unwrap().stdout
    };
    let before = serial();
    authority.sign("cert.pem", "key.pem");
    assert!(eventually(Duration::from_secs(15), || (serial() != before).then_some(())).is_some(), "the new one is not in force");
    let now = serial();
    authority.sign("other.pem", "key.pem");
    let refused = origin.wait_for_log("the new TLS certificate is refused; the old one stays in force");
    assert_eq!((&refused["section"], serial() == now), (&json!("admin_tls"), true), "{refused}");
    fs::write(&settings, format!("[admin_tls]\ncertificate = \"{certificate}\"\n[namespaces.live-origin]\n")).unwrap();
    let lacks = Command::new(BINARY).args(["config", "check", settings.to_str().unwrap()]).output().unwrap();
    assert!(String::from_utf8_lossy(&lacks.stderr).contains("admin_tls.key: names no file"), "{lacks:?}");
}
