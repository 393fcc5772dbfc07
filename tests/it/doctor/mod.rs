//! `springhead doctor` against a healthy origin, and against broken ones: it names the fault, says what to do, and never a key.

mod proxy;
mod stream;

use std::process::Command;
use std::thread;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use serde_json::Value;
use springhead::model::clock::Clock;

use self::proxy::Proxy;
use self::stream::{Fault, Stream};
use crate::front::Front;
use crate::harness::{BINARY, NAMESPACE, Origin, Process, eventually};
use crate::programs::program;
use crate::wire::Request;

/// What doctor said, and how it ended.
pub(crate) struct Said {
    exit: i32,
    json: Value,
}

/// Runs doctor. The key goes in by the environment; neither it nor a part of it may come out.
pub(crate) fn doctor(key: &str, arguments: &[&str]) -> Said {
    let run = |json: &[&str]| {
        let output = Command::new(BINARY)
            .arg("doctor")
            .args(arguments)
            .args(json)
            .env("SPRINGHEAD_KEY", key)
            .env("NO_PROXY", "*")
            .output()
            .unwrap();
        let text = [&output.stdout[..], &output.stderr].map(|bytes| String::from_utf8(bytes.to_vec()).unwrap());
        for part in key.split('.').filter(|part| part.len() > 8) {
            assert!(!text.iter().any(|text| text.contains(part)), "a key in {text:?}");
        }
        (output.status.code().unwrap(), text)
    };
    let (exit, [stdout, stderr]) = run(&["--json"]);
    let json: Value = serde_json::from_str(&stdout).unwrap_or_else(|_| panic!("no JSON: {stdout}\n{stderr}"));
    assert_eq!(json["healthy"], exit == 0, "{json:#}");
    assert_eq!(stderr.is_empty(), exit == 0, "{stderr}");
    for step in json["steps"].as_array().unwrap() {
        if step["verdict"] == "ok" {
            assert!(step["advice"].is_null(), "{step}");
        } else {
            assert!(step["advice"].as_str().unwrap().len() > 15, "what to do is said: {step}");
            eprintln!("{} {} {}: {}\n  -> {}", step["verdict"], step["at"], step["step"], step["finding"], step["advice"]);
        }
    }
    Said { exit, json }
}

impl Said {
    fn steps(&self) -> &[Value] {
        self.json["steps"].as_array().unwrap()
    }

    /// There is a step of this name, with this verdict, whose finding and advice have these words.
    pub(crate) fn has(&self, at: &str, step: &str, verdict: &str, finding: &str, advice: &str) -> &Self {
        let found = self.steps().iter().any(|made| {
            let has = |part: &str, words: &str| made[part].as_str().unwrap_or_default().contains(words);
            made["at"] == at
                && made["step"] == step
                && made["verdict"] == verdict
                && has("finding", finding)
                && has("advice", advice)
        });
        assert!(found, "no {verdict} at {at} in {step} with {finding:?} and {advice:?} in {:#}", self.json);
        assert_eq!(self.exit, i32::from(self.json["failures"] != 0));
        self
    }

    /// Nothing failed but these steps.
    fn only(&self, steps: &[&str]) -> &Self {
        let failed = self.steps().iter().filter(|step| step["verdict"] == "failure");
        for step in failed {
            assert!(steps.contains(&step["step"].as_str().unwrap()), "{step:#}");
        }
        self
    }
}

/// An origin with a stream that goes on, both sides of which work.
fn live(fault: Fault) -> (Origin, Stream) {
    let origin = Origin::start();
    let stream = Stream::start(&origin, fault);
    (origin, stream)
}

#[test]
fn a_healthy_stream_of_a_real_encoder_is_healthy_through_a_cdn_too() {
    let origin = Origin::start();
    let front = Front::start(&origin);
    let base = format!("http://{}/cache/{NAMESPACE}", origin.address);
    let mut ffmpeg = program("ffmpeg");
    ffmpeg.args(["-hide_banner", "-nostdin", "-v", "error"]);
    ffmpeg.args("-re -f lavfi -i testsrc2=size=192x108:rate=15 -re -f lavfi -i sine=frequency=440".split(' '));
    ffmpeg.args("-map 0:v -map 1:a -map 0:v -map 1:a -b:v 400k -maxrate 400k -bufsize 200k".split(' '));
    ffmpeg.args("-c:v libx264 -preset ultrafast -tune zerolatency -g 15 -keyint_min 15 -sc_threshold 0".split(' '));
    ffmpeg.args("-t 60 -threads 1 -pix_fmt yuv420p -c:a aac -b:a 48k -ac 1 -f hls -method PUT -http_persistent 1".split(' '));
    ffmpeg.args("-hls_time 1 -hls_list_size 8 -hls_flags delete_segments+program_date_time -var_stream_map".split(' '));
    ffmpeg.arg("v:0,a:0,name:480p15 v:1,a:1,name:240p15").args(["-master_pl_name", "playlist.m3u8"]);
    ffmpeg.args(["-headers", &format!("Authorization: Bearer {}\r\n", origin.encoder)]);
    ffmpeg.args(["-hls_segment_filename", &format!("{base}/playlist_%v_%05d.ts"), &format!("{base}/playlist_%v.m3u8")]);
    let _encoder = Process(ffmpeg.spawn().unwrap());
    let lists = |count: usize| {
        let text = origin.get("playlist_240p15.m3u8").body;
        (String::from_utf8_lossy(&text).matches("#EXTINF").count() >= count).then_some(())
    };
    assert!(eventually(Duration::from_secs(40), || lists(3)).is_some(), "ffmpeg pushes");

    let url = format!("http://{}", origin.address);
    let cdn = format!("http://{}", front.address);
    let said = doctor(&origin.encoder, &[&url, "--namespace", NAMESPACE, "--cdn", &cdn, "--write", "--segments", "4"]);
    for (at, step, words) in [
        ("origin", "connect", "127.0.0.1"),
        ("origin", "alive", "livez"),
        ("origin", "ready", "takes traffic"),
        ("origin", "clock", "in step"),
        ("origin", "key", "readwrite, for live-origin, expires in"),
        ("origin", "read", "accepted (200"),
        ("origin", "write", "stored, read back, deleted"),
        ("origin", "multivariant", "lists 2 variants"),
        ("origin", "live-point", "H.264, AAC, whole"),
        ("origin", "listed", "are there"),
        ("origin", "bandwidth", "announced"),
        ("origin", "headers", "application/vnd.apple.mpegurl; Cache-Control: public, max-age=1"),
        ("origin", "range", "206"),
        ("origin", "missing", "404"),
        ("origin", "advancing", "new segments"),
        ("origin", "aligned", "2 renditions"),
        ("cdn", "live-point", "whole"),
        ("cdn", "same-bytes", "origin's bytes"),
        ("cdn", "fresh", ""),
    ] {
        said.has(at, step, "ok", words, "");
    }
    assert_eq!(said.exit, 0, "{:#}", said.json);

    // For people: a line for each step, without colours where nobody sees them.
    let plain = Command::new(BINARY)
        .args(["doctor", &url, "--watch", "0s", "--key"])
        .arg(origin.data_dir().join("player_api_key.json"))
        .output()
        .unwrap();
    let text = String::from_utf8(plain.stdout).unwrap();
    assert!(plain.status.success() && text.contains("\nok       live-point         playlist_240p15.m3u8, "), "{text}");
    assert!(text.ends_with(" 0 failures\n") && !text.contains('\u{1b}'), "{text}");
    eprintln!("{text}");
}

#[test]
fn a_playlist_anywhere_is_enough() {
    let (origin, _stream) = live(Fault::None);
    // Another server to doctor: nothing in the path says Springhead, and no key is asked for.
    let player = origin.player.clone();
    let other = Proxy::start(&origin, "/cache/live-origin", Some(&player), |_, _| {});
    let said = doctor("", &[&format!("{}/playlist.m3u8", other.url)]);
    said.has("origin", "advancing", "ok", "new segments", "").has("origin", "live-point", "ok", "whole", "");
    assert!(!said.steps().iter().any(|step| ["alive", "key", "read"].contains(&step["step"].as_str().unwrap())));
    assert_eq!(said.exit, 0);
    // Redirected to another host, the key stays here.
    let elsewhere = other.url.clone();
    let here = Proxy::start(&origin, "", None, move |request, answer| {
        answer.status = 302;
        let name = request.path.rsplit('/').next().unwrap();
        answer.headers = vec![("location".to_owned(), format!("{elsewhere}/{name}"))];
        answer.body.clear();
    });
    let said = doctor(&origin.encoder, &[&format!("{}/playlist.m3u8", here.url), "--watch", "0s"]);
    assert_eq!(said.exit, 0, "{:#}", said.json);
    assert!(here.saw_authorization() && !other.saw_authorization(), "the key goes to the named host only");
}

#[test]
fn wrong_keys_are_told_apart() {
    let (origin, _stream) = live(Fault::None);
    let url = format!("http://{}", origin.address);
    let stranger = Origin::start();
    let said = doctor(&stranger.player, &[&url]);
    said.has("origin", "read", "failure", "does not accept this key", "another server's signing key").only(&["read"]);

    let said = doctor("", &[&url]);
    said.has("origin", "read", "failure", "reading takes a key", "--key").only(&["read"]);
    let said = doctor("not.a-key", &[&url]);
    said.has("origin", "key", "failure", "no API key", "keys create").only(&["key", "read"]);
    let said = doctor(&origin.player, &[&url, "--namespace", "elsewhere"]);
    said.has("origin", "key", "failure", "live-origin and not for elsewhere", "--namespace elsewhere").only(&["key", "read"]);

    // Readonly, used for ingest.
    let said = doctor(&origin.player, &[&url, "--write", "--watch", "0s"]);
    said.has("origin", "write", "failure", "this is a readonly key, and it is used for ingest", "--role readwrite")
        .only(&["write"]);
}

/// As the first start prints it, to be pasted.
#[test]
fn a_key_in_the_url_is_a_key() {
    let (origin, _stream) = live(Fault::None);
    let url = format!("http://{}{}", origin.address, origin.path("playlist.m3u8"));
    for query in [format!("token={}", origin.player), format!("x=1&token={}&inherit_token=1", origin.player)] {
        let said = doctor("", &[&format!("{url}?{query}"), "--watch", "0s"]);
        said.has("origin", "key", "ok", "readonly, for live-origin", "").has(
            "origin",
            "read",
            "ok",
            "the key is accepted (200",
            "",
        );
        said.has("origin", "live-point", "ok", "whole", "").has("origin", "listed", "ok", "are there", "").only(&[]);
        assert!(!said.json.to_string().contains(&origin.player), "it is never shown");
    }
    // A server's address may have one too; and what is given with the flag counts.
    let said = doctor("", &[&format!("http://{}/?token={}", origin.address, origin.player), "--watch", "0s"]);
    said.has("origin", "listed", "ok", "are there", "").only(&[]);
    let said = doctor(&origin.player, &[&format!("{url}?token=stale"), "--watch", "0s"]);
    said.has("origin", "listed", "ok", "are there", "").only(&[]);
    let said = doctor("", &[&format!("{url}?token=not.a.key"), "--watch", "0s"]);
    said.has("origin", "read", "failure", "does not accept this key", "").only(&["key", "read"]);
}

#[test]
fn what_variables_stand_for_is_looked_for() {
    let origin = Origin::start();
    let packet = [b"\x47".to_vec(), vec![0; 187]].concat();
    let list = |head: &str, prefix: &str| {
        let lines: String = (0..3).map(|n| format!("#EXTINF:2,\n{prefix}{n}.ts\n")).collect();
        format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n{head}{lines}#EXT-X-ENDLIST\n")
    };
    for n in 0..3 {
        origin.store(&format!("a/b/{n}.ts"), packet.clone());
    }
    origin.store("a/m.m3u8", "#EXTM3U\n#EXT-X-DEFINE:NAME=\"b\",VALUE=\"b/\"\n#EXT-X-STREAM-INF:BANDWIDTH=900000\np.m3u8\n");
    origin.store("a/p.m3u8", list("#EXT-X-DEFINE:IMPORT=\"b\"\n", "{$b}"));
    let base = format!("http://{}", origin.address);
    let said = doctor(&origin.player, &[&base, "--playlist", "a/m.m3u8", "--watch", "0s"]);
    said.has("origin", "listed", "ok", "the last 3 segments are there", "");
    // By itself it can't be known where they are.
    let said = doctor(&origin.player, &[&base, "--playlist", "a/p.m3u8", "--watch", "0s"]);
    said.has("origin", "live-point", "warning", "can't be known", "IMPORT").only(&[]);
}

#[test]
fn what_stands_at_a_cdns_root_is_looked_for_in_the_namespace() {
    let origin = Origin::start();
    let packet = [b"\x47".to_vec(), vec![0; 187]].concat();
    let lines: String = (0..3).map(|n| format!("#EXTINF:2,\n/a/{n}.ts\n")).collect();
    (0..3).for_each(|n| origin.store(&format!("a/{n}.ts"), packet.clone()));
    origin.store("a/m.m3u8", "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=900000\n/a/p.m3u8\n");
    origin.store("a/p.m3u8", format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n{lines}#EXT-X-ENDLIST\n"));
    let said = doctor(&origin.player, &[&format!("http://{}", origin.address), "--playlist", "a/m.m3u8", "--watch", "0s"]);
    said.has("origin", "listed", "ok", "the last 3 segments are there", "");
}

/// What may not be read is not missing.
#[test]
fn a_refused_segment_is_no_missing_one() {
    let (origin, _stream) = live(Fault::None);
    let player = origin.player.clone();
    for status in [401, 403] {
        // One that lets the playlists be read by what stands in their own query, as many CDNs do.
        let signed = Proxy::start(&origin, "/cache/live-origin", Some(&player), move |request, answer| {
            if request.path.ends_with(".ts") {
                answer.status = status;
                answer.body.clear();
            }
        });
        let said = doctor("", &[&format!("{}/playlist.m3u8?token=theirs", signed.url), "--watch", "0s"]);
        for step in ["live-point", "listed"] {
            said.has("origin", step, "failure", &status.to_string(), "reading it takes a key");
        }
        assert!(!said.json.to_string().contains("gap: ") && !said.json.to_string().contains("hot_capacity"), "{:#}", said.json);
    }
}

#[test]
fn who_has_watched_for_less_than_a_segment_can_not_tell() {
    let origin = Origin::start();
    origin.store("s.ts", b"\x47".repeat(188));
    origin.store("p.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:30\n#EXTINF:30,\ns.ts\n");
    let url = format!("http://{}{}?token={}", origin.address, origin.path("p.m3u8"), origin.player);
    let said = doctor("", &[&url, "--watch", "1s"]);
    said.has("origin", "advancing", "warning", "which says nothing", "--watch 90s");
    assert!(!said.steps().iter().any(|step| step["step"] == "advancing" && step["verdict"] == "failure"));
}

#[test]
fn a_stale_stream_is_named_and_for_how_long() {
    let (origin, stream) = live(Fault::None);
    drop(stream);
    thread::sleep(Duration::from_secs(1));
    let said = doctor(&origin.player, &[&format!("http://{}", origin.address)]);
    said.has("origin", "advancing", "failure", "stale: no new segment in ", "encoder has stopped");
    said.has("origin", "advancing", "failure", "last written ", "/v1/ingest/rejected").only(&["advancing"]);
}

#[test]
fn a_server_that_dies_while_it_is_watched_is_named() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    // By then what comes before the watch has read its playlists, and the watch as well.
    const LOOKS: u32 = 14;
    let counting = || {
        let looks = Arc::new(AtomicU32::new(0));
        let seen = Arc::clone(&looks);
        (looks, move |path: &str| {
            if path.ends_with("playlist_720p.m3u8") {
                seen.fetch_add(1, Ordering::SeqCst) + 1
            } else {
                seen.load(Ordering::SeqCst)
            }
        })
    };
    thread::scope(|scope| {
        scope.spawn(|| {
            let (origin, _stream) = live(Fault::None);
            let (looks, count) = counting();
            let dying = Proxy::start(&origin, "", None, move |request, _| {
                count(&request.path);
            });
            let (url, player) = (dying.url.clone(), &origin.player);
            thread::scope(|scope| {
                let said = scope.spawn(move || doctor(player, &[&url, "--watch", "12s"]));
                let is_due = || (looks.load(Ordering::SeqCst) >= LOOKS).then_some(());
                assert!(eventually(Duration::from_secs(20), is_due).is_some());
                drop(dying);
                let said = said.join().unwrap();
                said.has("origin", "advancing", "failure", "it does not answer any more: ", "has the server ended");
                said.has("origin", "advancing", "failure", " looks had no answer", "See its log").only(&["advancing"]);
            });
        });
        scope.spawn(|| {
            let (origin, _stream) = live(Fault::None);
            let player = origin.player.clone();
            let (_, count) = counting();
            let failing = Proxy::start(&origin, "/cache/live-origin", Some(&player), move |request, answer| {
                if count(&request.path) > LOOKS && request.path.ends_with(".m3u8") {
                    answer.status = 502;
                    answer.body.clear();
                    answer.set("content-length", "0");
                }
            });
            let base = format!("http://{}", origin.address);
            let said = doctor(&origin.player, &[&base, "--cdn", &failing.url, "--watch", "12s"]);
            said.has("cdn", "fresh", "failure", "it answers 502 now", "does the CDN reach the origin");
            said.only(&["fresh"]);
        });
    });
}

#[test]
fn gaps_and_truncated_segments_are_named() {
    thread::scope(|scope| {
        scope.spawn(|| {
            let (origin, _stream) = live(Fault::Gap);
            let said = doctor(&origin.player, &[&format!("http://{}", origin.address), "--watch", "0s"]);
            said.has("origin", "listed", "failure", "gap: ", "upload refused").only(&["listed", "live-point"]);
            said.has("origin", "listed", "failure", "0.ts (404)", "hot_capacity");
        });
        scope.spawn(|| {
            let (origin, _stream) = live(Fault::Truncated);
            let said = doctor(&origin.player, &[&format!("http://{}", origin.address), "--watch", "0s"]);
            said.has("origin", "live-point", "failure", "truncated: ", "broke off");
            said.has("origin", "live-point", "failure", "100 of 188 bytes", "").only(&["live-point"]);
        });
        scope.spawn(|| {
            let (origin, _stream) = live(Fault::None);
            let cut = Proxy::start(&origin, "", None, |request, answer| {
                if request.path.ends_with(".ts") && request.method == "GET" && !request.ranged {
                    answer.body.truncate(1000);
                }
            });
            let said = doctor(&origin.player, &[&cut.url, "--watch", "0s"]);
            said.has("origin", "live-point", "failure", "truncated: 1000 of ", "broke off").only(&["live-point"]);
        });
    });
}

#[test]
fn headers_that_players_and_cdns_stumble_over_are_named() {
    thread::scope(|scope| {
        scope.spawn(|| {
            let (origin, _stream) = live(Fault::None);
            let bare = Proxy::start(&origin, "", None, |_, answer| answer.remove("access-control-allow-origin"));
            let said = doctor(&origin.player, &[&bare.url, "--watch", "0s"]);
            said.has("origin", "cors", "failure", "no CORS: Access-Control-Allow-Origin is missing", "cors_origins")
                .only(&["cors"]);
            let twice = Proxy::start(&origin, "", None, |_, answer| {
                answer.headers.push(("access-control-allow-origin".to_owned(), "*".to_owned()));
            });
            let said = doctor(&origin.player, &[&twice.url, "--watch", "0s"]);
            said.has("origin", "cors", "failure", "CORS doubled", "leave it to one").only(&["cors"]);
        });
        scope.spawn(|| {
            let (origin, _stream) = live(Fault::None);
            let off = Proxy::start(&origin, "", None, |_, answer| {
                let off = httpdate::parse_http_date(answer.header("date")).unwrap() + Duration::from_secs(90);
                answer.set("date", &httpdate::fmt_http_date(off));
            });
            let said = doctor(&origin.player, &[&off.url, "--watch", "0s"]);
            said.has("origin", "clock", "failure", "clock is ", "timedatectl").only(&["clock"]);
            said.has("origin", "clock", "failure", " s ahead of this machine's", "");
            let odd = Proxy::start(&origin, "", None, |_, answer| {
                answer.set("cache-control", "public, max-age=86400");
                answer.headers.push(("set-cookie".to_owned(), "a=b".to_owned()));
            });
            let said = doctor(&origin.player, &[&odd.url, "--watch", "0s"]);
            said.has("origin", "cache-control", "failure", "cached for 86400 s", "playlist_max_age");
            said.has("origin", "missing", "failure", "404 for a missing name may be cached for 86400 s", "no-store");
            said.has("origin", "cookies", "warning", "sets a cookie", "").only(&["cache-control", "missing"]);
        });
    });
}

#[test]
fn what_the_cdn_gets_wrong_is_explained() {
    thread::scope(|scope| {
        let run = |key: &str, origin: &Origin, cdn: &Proxy, more: &[&str]| {
            doctor(key, &[&[&*format!("http://{}", origin.address), "--cdn", &cdn.url], more].concat())
        };
        scope.spawn(move || {
            let (origin, _stream) = live(Fault::None);
            let lost = Proxy::start(&origin, "/cache/live-origin", None, |_, _| {});
            let said = run(&origin.player, &origin, &lost, &["--watch", "0s"]);
            said.has(
                "cdn",
                "multivariant",
                "failure",
                "401 through the CDN, though the origin accepts the key",
                "Add custom header",
            );
            said.only(&["multivariant"]);
            assert!(!lost.saw_authorization(), "doctor itself sends the CDN no key");

            let player = origin.player.clone();
            let cached = Proxy::start(&origin, "/cache/live-origin", Some(&player), |request, answer| {
                if request.path.ends_with(".ts") {
                    answer.status = 404;
                    answer.body = b"not found".to_vec();
                    answer.set("content-length", "9");
                    answer.set("age", "7");
                    answer.set("x-cache", "Error from cloudfront");
                }
            });
            let said = run(&origin.player, &origin, &cached, &["--watch", "0s"]);
            said.has("cdn", "live-point", "failure", "the CDN has cached an error: 404 (Age 7 s)", "error caching minimum TTL");
            said.only(&["live-point"]);
        });
        scope.spawn(move || {
            let (origin, _stream) = live(Fault::None);
            let player = origin.player.clone();
            let kept = parking_lot::Mutex::new(std::collections::HashMap::new());
            let stale = Proxy::start(&origin, "/cache/live-origin", Some(&player), move |request, answer| {
                if request.path.contains("playlist_") && request.path.ends_with(".m3u8") {
                    *answer = kept.lock().entry(request.path.clone()).or_insert_with(|| answer.clone()).clone();
                    answer.set("age", "12");
                }
            });
            let said = run(&origin.player, &origin, &stale, &[]);
            said.has("cdn", "fresh", "failure", "stale copy: ", "CachingDisabled").only(&["fresh"]);
            said.has("cdn", "fresh", "failure", "Age 12 s", "half a target duration");

            let elsewhere = Proxy::start(&origin, "/cache/live-origin/nowhere", Some(&player), |_, _| {});
            let said = run(&origin.player, &origin, &elsewhere, &["--watch", "0s"]);
            said.has("cdn", "multivariant", "failure", "404 through the CDN, but the origin has it", "origin path");
        });
    });
}

#[test]
fn certificates_that_stop_players_are_explained() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let mut params = CertificateParams::new([]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    std::fs::write(path("ca.pem"), issuer.pem()).unwrap();
    let sign = |name: &str, end: i32| {
        let pair = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(end, 1, 1));
        std::fs::write(path("cert.pem"), params.signed_by(&pair, &issuer).unwrap().pem()).unwrap();
        std::fs::write(path("key.pem"), pair.serialize_pem()).unwrap();
    };
    let text = |name: &str| path(name).to_str().unwrap().to_owned();
    for (name, end, trusted, verdict, finding, advice) in [
        ("127.0.0.1", 2021, true, "failure", "the certificate has expired, ", "renew it"),
        ("origin.example", 2090, true, "failure", "for origin.example and not for 127.0.0.1: wrong name", "subject alternative"),
        ("127.0.0.1", 2090, false, "failure", "not trusted", "fullchain.pem"),
        ("127.0.0.1", 2090, true, "ok", "the certificate for 127.0.0.1 is trusted and good for", ""),
    ] {
        sign(name, end);
        let origin = Origin::start_with(&[
            "--tls-listen",
            "127.0.0.1:0",
            "--tls-certificate",
            &text("cert.pem"),
            "--tls-key",
            &text("key.pem"),
        ]);
        let line = origin.log().into_iter().find(|line| line["message"] == "listening" && line["tls"] == true).unwrap();
        let url = format!("https://{}", line["address"].as_str().unwrap());
        let ca = text("ca.pem");
        let said = if trusted { doctor(&origin.player, &[&url, "--ca", &ca]) } else { doctor(&origin.player, &[&url]) };
        said.has("origin", "tls", verdict, finding, advice).only(&["tls", "multivariant"]);
        let went_on = said.steps().iter().any(|step| step["step"] == "read");
        assert_eq!(went_on, verdict == "ok", "nothing is sent to a server that is not who it says");
    }
    // In clear on a port for TLS, and the other way round.
    let origin = Origin::start();
    doctor(&origin.player, &[&format!("https://{}", origin.address)]).has("origin", "tls", "failure", "", "tls_listen");
}

#[test]
fn what_can_not_be_reached_or_makes_no_sense_is_said() {
    let port = crate::front::free_port();
    doctor("", &[&format!("http://127.0.0.1:{port}")]).has("origin", "connect", "failure", "refused", "firewall");
    doctor("", &["http://no-such-host.invalid"]).has("origin", "resolve", "failure", "has no address", "A or AAAA");
    let origin = Origin::start();
    let said = doctor(&origin.player, &[&format!("http://{}", origin.address)]);
    said.has("origin", "multivariant", "failure", "404", "--playlist").only(&["multivariant"]);
    for wrong in [
        &["ftp://x"][..],
        &["http://h/cache/a", "--namespace", "b"],
        &["http://h", "--watch", "soon"],
        &["http://h", "--namespace", "/"],
        &["http://user:pa55word@h"],
        &[],
    ] {
        let output = Command::new(BINARY).arg("doctor").args(wrong).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{wrong:?}");
        assert!(!String::from_utf8(output.stderr).unwrap().contains("pa55word"));
    }
}

/// Boxes of ISO media, with nothing in them.
fn boxes(names: &[&str]) -> Vec<u8> {
    names.iter().flat_map(|name| [&12_u32.to_be_bytes()[..], name.as_bytes(), &[0; 4]].concat()).collect()
}

#[test]
fn an_mpd_is_looked_at_as_far_as_that_goes() {
    let origin = Origin::start();
    let base = format!("http://{}", origin.address);
    // Segments of a second, called by the clock: they begin a hundred seconds ago, and those of the next minute are here already.
    let begun = Clock::system().wall() - Duration::from_secs(100);
    let mpd = |name: &str| {
        format!(
            "<MPD type='dynamic' availabilityStartTime='{begun}' minimumUpdatePeriod='PT10S'><Period><AdaptationSet>\
             <SegmentTemplate duration='1' initialization='{name}-init.mp4' media='{name}-$Number$.m4s'/><Representation id='v'/>\
             </AdaptationSet></Period></MPD>"
        )
    };
    origin.store("ch/whole.mpd", mpd("whole"));
    origin.store("ch/whole-init.mp4", boxes(&["ftyp", "moov"]));
    for number in 90..190 {
        origin.store(&format!("ch/whole-{number}.m4s"), boxes(&["styp", "moof", "mdat"]));
    }
    let whole = doctor(&origin.player, &[&format!("{base}/cache/{NAMESPACE}/ch/whole.mpd"), "--watch", "2s"]);
    for (step, words) in [
        ("manifest", "an MPD, live (dynamic): 1 representations in 1 periods, segments of 1.000 s"),
        ("init", "an MP4 initialisation segment, whole"),
        ("live-point", "fragmented MP4, 1 fragment, whole"),
        ("advancing", "new segments after 2.0 s, whole-1"),
    ] {
        whole.has("origin", step, "ok", words, "");
    }
    assert_eq!(whole.exit, 0);
    origin.store("ch/empty.mpd", mpd("empty"));
    let empty = doctor(&origin.player, &[&base, "--namespace", NAMESPACE, "--playlist", "ch/empty.mpd", "--watch", "2s"]);
    empty.has("origin", "init", "failure", "empty-init.mp4 answers 404", "restart the encoder");
    empty.has("origin", "live-point", "failure", "gap: due by the MPD", "has stopped");
    empty.has("origin", "advancing", "failure", "stale: empty-1", "has stopped").only(&["init", "live-point", "advancing"]);
    for (name, body, words) in [
        ("ch/page.mpd", "<html></html>".to_owned(), "no DASH manifest"),
        ("ch/nothing.mpd", "<MPD type='static'><Period/></MPD>".to_owned(), "no Representation is in it"),
    ] {
        origin.store(name, body);
        let said = doctor(&origin.player, &[&base, "--namespace", NAMESPACE, "--playlist", name]);
        said.has("origin", "manifest", "failure", words, "").only(&["manifest"]);
    }
}

#[test]
fn a_server_that_walks_its_own_stream_asks_no_other_host() {
    let origin = Origin::start();
    let trap = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    trap.set_nonblocking(true).unwrap();
    let there = trap.local_addr().unwrap();
    let begun = Clock::system().wall() - Duration::from_secs(100);
    origin.store("ch/here.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhere.ts\n#EXT-X-ENDLIST\n");
    origin.store("ch/here.ts", vec![0x47; 1880]);
    let list = |map: &str, first: &str, last: &str| {
        format!("#EXTM3U\n#EXT-X-TARGETDURATION:1\n{map}#EXTINF:1,\n{first}\n#EXTINF:1,\n{last}\n#EXT-X-ENDLIST\n")
    };
    let map = format!("#EXT-X-MAP:URI=\"http://{there}/init.mp4\"\n");
    let multivariant = format!(
        "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=9000000\nhttp://{there}/v.m3u8\n#EXT-X-STREAM-INF:BANDWIDTH=9000001\nhere.m3u8\n"
    );
    let mpd = format!(
        "<MPD type='dynamic' availabilityStartTime='{begun}' minimumUpdatePeriod='PT10S'><BaseURL>http://{there}/</BaseURL><Period>\
         <AdaptationSet><SegmentTemplate duration='1' initialization='i.mp4' media='$Number$.m4s'/><Representation id='v'/>\
         </AdaptationSet></Period></MPD>"
    );
    for (name, body, step) in [
        ("ch/a.m3u8", multivariant, "playlist"),
        ("ch/b.m3u8", list("", &format!("http://{there}/0.ts"), &format!("//{there}/1.ts")), "live-point"),
        ("ch/c.m3u8", list("", &format!("http://{there}/0.ts"), "here.ts"), "listed"),
        ("ch/d.m3u8", list(&map, "here.ts", "here.ts"), "init"),
        ("ch/e.mpd", mpd, "live-point"),
    ] {
        origin.store(name, body);
        let order = serde_json::json!({ "namespace": NAMESPACE, "key": name }).to_string();
        let order = Request::new("POST", "/v1/doctor").header("Content-Type", "application/json").body(order);
        let answer = order.bearer(&origin.administrator).send(origin.admin);
        let found: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        let away = |one: &&serde_json::Value| one["finding"] == "not looked at: another host";
        let steps: Vec<_> = found["steps"].as_array().unwrap().iter().filter(away).collect();
        assert!(steps.iter().any(|one| one["step"] == step && one["verdict"] == "warning"), "{name}: {found:#}");
        assert!(!found.to_string().contains("gap:"), "nobody knows: {found:#}");
        assert!(trap.accept().is_err(), "{name}: nobody was asked");
    }
    // Who runs it himself goes where the playlist leads.
    doctor(&origin.player, &[&format!("http://{}{}", origin.address, origin.path("ch/b.m3u8")), "--timeout", "300ms"]);
    assert!(trap.accept().is_ok());
}
