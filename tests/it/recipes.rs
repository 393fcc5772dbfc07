//! What the documents say to copy, run as it is written: the README's first stream, the encoders' lines, the caches' settings. Only
//! addresses, keys and folders are put in.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::documents::blocks;
use crate::front::{Front, free_port, nginx_with};
use crate::harness::{Origin, Process, bytes, eventually};
use crate::programs::{assert_is_here, program};
use crate::wire::{Answer, Request, Wire};

/// The blocks of a document that have this in them.
fn blocks_with(document: &str, language: &str, part: &str) -> Vec<String> {
    let found: Vec<String> = blocks(document, language).into_iter().filter(|text| text.contains(part)).collect();
    assert!(!found.is_empty(), "{document} has no {language} with {part}");
    found
}

/// A shell's text, with this origin's address, in a folder where its data directory has the name that the README gives it.
fn shell(origin: &Origin, text: &str) -> Command {
    let link = origin.folder().join("springhead-data");
    if !link.exists() {
        std::os::unix::fs::symlink(origin.data_dir(), link).unwrap();
    }
    let text = text.replace("127.0.0.1:8080", &origin.address.to_string());
    let mut command = Command::new("bash");
    command.args(["-e", "-c", &text]).current_dir(origin.folder()).stdin(Stdio::null()).stderr(Stdio::inherit());
    command.env("ENCODER", &origin.encoder).env("PLAYER", &origin.player);
    command
}

fn output(mut command: Command) -> String {
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{command:?}\n{text}");
    text
}

fn waits_for(origin: &Origin, key: &str) -> Answer {
    let found = eventually(Duration::from_secs(60), || Some(origin.get(key)).filter(|answer| answer.status == 200));
    found.unwrap_or_else(|| panic!("{key} does not arrive; {:?}", origin.refusals()))
}

#[test]
fn the_first_stream_of_the_readme() {
    ["ffmpeg", "ffprobe", "curl"].into_iter().for_each(assert_is_here);
    let origin = Origin::start();
    // In place of the shell, so that it ends with the test.
    let push = blocks_with("README.md", "sh", "ffmpeg -re").remove(0).replace("ffmpeg -re", "exec ffmpeg -v error -nostdin -re");
    let _ffmpeg = Process(shell(&origin, &push).env_remove("ENCODER").spawn().unwrap());
    waits_for(&origin, "playlist.m3u8");
    let look = blocks_with("README.md", "sh", "curl -i").remove(0);
    let (curl, doctor) = look.split_once("cargo run --release -- ").expect("then the doctor");
    let seen = output(shell(&origin, curl));
    assert!(seen.starts_with("HTTP/1.1 200") && seen.contains("#EXTINF"), "{seen}");
    // What the doctor finds depends on how busy the machine is; that it is let in does not.
    let doctor = format!("{} {} --watch 0s || true", env!("CARGO_BIN_EXE_springhead"), doctor.trim_end());
    let said = output(shell(&origin, &doctor));
    assert!(said.contains("ok       key") && said.contains("ok       read"), "{said}");
    let play =
        blocks_with("README.md", "sh", "ffplay").remove(0).replace("ffplay", "ffprobe -v error -show_entries stream=codec_name");
    let played = output(shell(&origin, &play));
    assert!(played.contains("h264") && played.contains("aac"), "{played}");
    assert!(origin.refusals().is_empty());
}

/// Pushes a short film by the lines of the encoders' page that have this in them.
fn pushes(part: &str, names: &[&str]) {
    assert_is_here("ffmpeg");
    let origin = Origin::start();
    let film = "ffmpeg -v error -f lavfi -i testsrc2=size=160x90:rate=10 -f lavfi -i sine=frequency=440 -t 5 -c:v libx264 -preset ultrafast \
                -pix_fmt yuv420p -c:a aac input.mp4";
    output(shell(&origin, film));
    let push =
        blocks_with("docs/encoders.md", "sh", part).remove(0).replace("ffmpeg -re", "timeout 60 ffmpeg -v error -nostdin -re");
    output(shell(&origin, &push));
    for name in names {
        assert!(!waits_for(&origin, name).body.is_empty());
    }
    assert!(origin.refusals().is_empty());
}

#[test]
fn ffmpeg_by_the_encoders_page() {
    std::thread::scope(|scope| {
        scope.spawn(|| pushes("-hls_list_size 10 -hls_flags program_date_time", &["playlist.m3u8", "playlist0.ts"]));
        let names = ["playlist.m3u8", "playlist_720p.m3u8", "playlist_480p.m3u8", "playlist_480p_00000.ts"];
        scope.spawn(move || pushes("-var_stream_map", &names));
        scope.spawn(|| pushes("-f dash", &["manifest.mpd", "init-stream0.m4s", "chunk-stream1-00001.m4s"]));
    });
}

#[test]
fn gstreamer_by_the_encoders_page() {
    assert_is_here("gst-launch-1.0");
    let origin = Origin::start();
    let push =
        blocks_with("docs/encoders.md", "sh", "gst-launch-1.0").remove(0).replace("gst-launch-1.0", "exec gst-launch-1.0 -q");
    let _pipeline = Process(shell(&origin, &push).spawn().unwrap());
    assert!(!waits_for(&origin, "g_00000.ts").body.is_empty());
    assert!(origin.refusals().is_empty());
}

/// A listener of the page on RTMP and SRT, on a port of its own, until a film that is pushed to it can be played from here.
fn listens(port: u16, listener: &str, push: &[&str], playlist: &str) {
    ["ffmpeg", "ffprobe"].into_iter().for_each(assert_is_here);
    let origin = Origin::start();
    let listen = blocks_with("docs/rtmp-srt.md", "sh", listener).remove(0);
    let listen = listen.replace(listener, &listener.replace("0.0.0.0:1935", &format!("127.0.0.1:{port}")));
    let listen =
        listen.replace("0.0.0.0:9000", &format!("127.0.0.1:{port}")).replacen("ffmpeg", "exec ffmpeg -v error -nostdin", 1);
    let _listener = Process(shell(&origin, &listen).spawn().unwrap());
    let film = "-v error -nostdin -re -f lavfi -i testsrc2=size=160x90:rate=10 -f lavfi -i sine=frequency=440 -t 8 -c:v libx264 \
                -preset ultrafast -g 20 -pix_fmt yuv420p -c:a aac";
    // Whoever pushes has to wait until there is a listener.
    let pushed = eventually(Duration::from_secs(60), || {
        let mut encoder = program("ffmpeg");
        encoder.args(film.split_whitespace()).args(push).stderr(Stdio::null()).status().unwrap().success().then_some(())
    });
    assert!(pushed.is_some(), "the listener takes a stream");
    let text = waits_for(&origin, playlist).text();
    assert!(text.contains("#EXTINF"), "{text}");
    let url = format!("http://{}{}?token={}&inherit_token=1", origin.address, origin.path(playlist), origin.player);
    let mut probe = program("ffprobe");
    probe.args(["-v", "error", "-show_entries", "stream=codec_name", "-of", "csv=p=0", &url]);
    let streams = output(probe);
    assert!(streams.contains("h264") && streams.contains("aac"), "{streams}");
    assert!(origin.refusals().is_empty());
}

#[test]
fn rtmp_by_the_page_on_it() {
    let port = free_port();
    let url = format!("rtmp://127.0.0.1:{port}/live/a-secret-of-yours");
    listens(port, "rtmp://0.0.0.0:1935", &["-f", "flv", &url], "rtmp.m3u8");
}

#[test]
fn srt_by_the_page_on_it() {
    let port = free_port();
    let url = format!("srt://127.0.0.1:{port}?mode=caller&passphrase=a-secret-of-yours&latency=200000");
    listens(port, "srt://0.0.0.0:9000", &["-f", "mpegts", &url], "srt.m3u8");
}

/// A cache that keeps a segment and asks for it with the key.
fn caches(origin: &Origin, address: SocketAddr, mut cache: Command) {
    let mut process = Process(cache.stdin(Stdio::null()).spawn().unwrap_or_else(|error| panic!("{cache:?}: {error}")));
    let up = eventually(Duration::from_secs(30), || {
        TcpStream::connect(address).ok()?;
        let mut wire = crate::wire::Wire::open(address);
        wire.try_write(&Request::new("GET", "/none").to_bytes()).then_some(())?;
        wire.try_answer_to("GET").filter(|answer| answer.status == 404)
    });
    assert!(up.is_some(), "it comes up and asks the origin");
    let ask = |path: &str| Request::new("GET", path).bearer("viewer").send(address);
    let body = bytes(1, 100_000);
    origin.store("show/a.ts", body.clone());
    for query in ["", "?CMCD=bl%3D2"] {
        let answer = ask(&format!("/show/a.ts{query}"));
        assert!(answer.status == 200 && answer.body == body, "{} {:?}", answer.status, answer.headers);
    }
    assert!((reads(origin) - 1.0).abs() < f64::EPSILON, "asked once, with whatever query");
    windows(origin, ask);
    waits_together(origin, ask);
    // Told to end, and not killed, each ends its workers too.
    let _ = Command::new("kill").args(["-TERM", &process.0.id().to_string()]).status();
    let _ = eventually(Duration::from_secs(5), || process.0.try_wait().ok().flatten());
}

/// Each viewer has the window that he asks for, and those who ask for the same one share it.
fn windows(origin: &Origin, ask: impl Fn(&str) -> Answer) {
    let mut text = "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXT-X-MEDIA-SEQUENCE:0\n".to_owned();
    for n in 0..4 {
        origin.store(&format!("show/{n}.ts"), bytes(n, 188));
        text += &format!("#EXT-X-PROGRAM-DATE-TIME:2026-01-02T20:00:{n}0Z\n#EXTINF:10,\n{n}.ts\n");
    }
    origin.store("show/w.m3u8", text.clone().into_bytes());
    let before = reads(origin);
    let first = "end=2026-01-02T20:00:10Z";
    for (query, listed) in [
        (String::new(), vec!["0.ts", "1.ts", "2.ts", "3.ts"]),
        ("?CMCD=sid%3D1&role=origin".to_owned(), vec!["0.ts", "1.ts", "2.ts", "3.ts"]),
        (format!("?{first}"), vec!["0.ts"]),
        (format!("?CMCD=sid%3D2&{first}"), vec!["0.ts"]),
        (format!("?{first}&CMCD=sid%3D3"), vec!["0.ts"]),
        ("?start=2026-01-02T20:00:10Z&x&end=2026-01-02T20:00:30Z".to_owned(), vec!["1.ts", "2.ts"]),
    ] {
        let answer = ask(&format!("/show/w.m3u8{query}"));
        let text = answer.text();
        let found: Vec<_> = text.lines().filter(|line| line.ends_with(".ts")).collect();
        assert_eq!((answer.status, &found), (200, &listed), "{query}: {text}");
    }
    assert!((reads(origin) - before - 3.0).abs() < f64::EPSILON, "three different windows");
}

/// Viewers who wait for the next version of a playlist are one request here, for longer than nginx would wait by itself.
fn waits_together(origin: &Origin, ask: impl Fn(&str) -> Answer + Sync) {
    let playlist = |segments: usize| {
        let head = "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:4\n#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES\n#EXT-X-MEDIA-SEQUENCE:0\n";
        head.to_owned() + &(0..segments).map(|n| format!("#EXTINF:4,\n{n}.ts\n")).collect::<String>()
    };
    origin.store("show/b.m3u8", playlist(3).into_bytes());
    let before = reads(origin);
    std::thread::scope(|scope| {
        let waiting: Vec<_> = (0..20)
            .map(|n| {
                scope.spawn({
                    let ask = &ask;
                    move || ask(&format!("/show/b.m3u8?_HLS_msn=3&CMCD=sid%3D{n}"))
                })
            })
            .collect();
        std::thread::sleep(Duration::from_millis(6_500));
        assert!(waiting.iter().all(|viewer| !viewer.is_finished()), "they wait");
        origin.store("show/b.m3u8", playlist(4).into_bytes());
        for viewer in waiting {
            let answer = viewer.join().unwrap();
            assert!(answer.status == 200 && answer.text().contains("3.ts"), "{} {}", answer.status, answer.text());
        }
    });
    assert!((reads(origin) - before - 1.0).abs() < f64::EPSILON, "asked once for all of them");
}

#[test]
fn the_cloudfront_template_hands_on_what_players_ask_of_playlists() {
    let template = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/config/cloudfront.yaml")).unwrap();
    let section = |from: &str, to: &str| {
        let begin = template.find(from).unwrap_or_else(|| panic!("there is no {from}"));
        &template[begin..begin + template[begin..].find(to).unwrap_or_else(|| panic!("there is no {to} after {from}"))]
    };
    let all = "QueryStringBehavior: whitelist\n";
    for (policy, end) in [("  PlaylistRequestPolicy:", "\n\n"), ("  PlaylistCachePolicy:", "\n\n")] {
        let policy = section(policy, end);
        let (_, listed) = policy.split_once(all).expect("a list of query strings");
        assert_eq!(listed.trim(), "QueryStrings: [_HLS_msn, _HLS_part, _HLS_skip, end, last, start]");
    }
    let behaviour = section("PathPattern: !Ref PlaylistPathPattern", "- PathPattern");
    assert!(behaviour.contains("OriginRequestPolicyId: !Ref PlaylistRequestPolicy\n"), "{behaviour}");
    // With the multivariant playlist's window its children are asked for it.
    let default = section("DefaultCacheBehavior:", "CustomErrorResponses");
    assert!(default.contains("Managed-CachingDisabled") && default.contains("Managed-AllViewer\n"), "{default}");
}

fn reads(origin: &Origin) -> f64 {
    origin.metric("springhead_http_requests_total{method=\"GET\",status=\"200\"}")
}

fn here(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

#[test]
fn nginx_by_the_page_on_cdns() {
    let origin = Origin::start();
    let (dir, address) = (origin.folder().join("nginx"), here(free_port()));
    fs::create_dir(&dir).unwrap();
    let http = blocks_with("docs/cdns.md", "nginx", "proxy_cache_path").remove(0);
    let http = http
        .replace("/var/cache/nginx/live", &dir.join("cache").display().to_string())
        .replace("origin.example.com:8080", &origin.address.to_string())
        .replace("\"KEY\"", &format!("\"{}\"", origin.player))
        .replace("listen 80;", &format!("listen {address};"));
    let nginx = nginx_with(&dir, &http);
    caches(&origin, address, nginx);
}

#[test]
fn nginx_left_in_front_by_the_page_on_migrating() {
    let origin = Origin::start();
    let (dir, address) = (origin.folder().join("nginx"), here(free_port()));
    fs::create_dir(&dir).unwrap();
    let http = blocks_with("docs/migrating.md", "nginx", "location /live/").remove(0);
    let http = http
        .replace("127.0.0.1:8080", &origin.address.to_string())
        .replace("PLAYER_API_KEY", &origin.player)
        .replace("listen 80;", &format!("listen {address};"));
    let nginx = nginx_with(&dir, &http);
    let _nginx = Front::run(dir, address, nginx);
    let body = bytes(1, 2_000_000);
    let put = |key: &str| Request::new("PUT", "/live/show/1.ts").bearer(key).body(body.clone());
    assert_eq!(Request::new("PUT", "/live/show/1.ts").body("x").send(address).status, 401, "an encoder is asked for its key");
    assert_eq!(put(&origin.encoder).send(address).status, 204);
    assert_eq!(put(&origin.player).send(address).status, 403, "and a viewer's is none");
    let got = Request::new("GET", "/live/show/1.ts").send(address);
    assert!(got.status == 200 && got.body == body, "{}", got.status);
    // What is still being uploaded, in chunks, is read through it.
    let mut encoder = Wire::open(address);
    let head = format!(
        "PUT /live/show/2.ts HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nTransfer-Encoding: chunked\r\n\r\n",
        origin.encoder
    );
    encoder.write(format!("{head}5\r\nfirst\r\n").into_bytes());
    let begun = eventually(Duration::from_secs(10), || {
        let first = Request::new("GET", "/live/show/2.ts").header("Range", "bytes=0-4").send(address);
        (first.status == 206).then_some(first.body)
    });
    assert_eq!(begun.as_deref(), Some(&b"first"[..]));
    encoder.write(b"0\r\n\r\n");
    assert_eq!(encoder.answer_to("PUT").status, 204);
}

#[test]
fn varnish_by_the_page_on_cdns() {
    let origin = Origin::start();
    let address = here(free_port());
    let vcl = blocks_with("docs/cdns.md", "vcl", "vcl_recv").remove(0);
    let vcl = vcl
        .replace("\"origin.example.com\"", "\"127.0.0.1\"")
        .replace("\"8080\"", &format!("\"{}\"", origin.address.port()))
        .replace("\"KEY\"", &format!("\"{}\"", origin.player));
    let file = origin.folder().join("cdn.vcl");
    fs::write(&file, vcl).unwrap();
    let mut varnish = program("varnishd");
    varnish.args(["-F", "-j", "none", "-a", &address.to_string(), "-s", "malloc,16m", "-p", "thread_pool_min=5"]);
    varnish.arg("-f").arg(file).arg("-n").arg(origin.folder().join("varnish"));
    caches(&origin, address, varnish);
}
