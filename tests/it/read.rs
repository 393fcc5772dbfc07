//! GET and HEAD: headers, conditions, ranges, errors.

use std::time::Duration;

use crate::durable;
use crate::harness::{NAMESPACE, Origin, bytes, eventually};
use crate::wire::{Answer, Request, Wire};

#[test]
fn an_object_comes_back_with_everything_a_cdn_needs() {
    let origin = Origin::start();
    let body = bytes(1, 300_000);
    origin.store("show/a.ts", body.clone());
    let answer = origin.get("show/a.ts");
    assert_eq!((answer.status, answer.header("content-length")), (200, "300000"));
    assert_eq!(answer.body, body);
    let etag = answer.header("etag");
    assert!(etag.len() > 10 && etag.starts_with('"') && etag.ends_with('"'), "strong and quoted: {etag}");
    assert!(httpdate::parse_http_date(answer.header("last-modified")).is_ok());
    assert!(httpdate::parse_http_date(answer.header("date")).is_ok());
    assert_eq!(answer.header("accept-ranges"), "bytes");
    assert_eq!(answer.header("content-type"), "video/mp2t");
    let status = answer.header("cache-status");
    let left: u64 = status.strip_prefix("springhead; hit; ttl=").unwrap().parse().unwrap();
    assert!((3590..=3600).contains(&left), "{status}");
    assert_eq!(answer.header("cache-control"), format!("public, max-age={left}"));
    assert_eq!(answer.header("connection"), "");

    let head = Request::new("HEAD", origin.path("show/a.ts")).bearer(&origin.player).send(origin.address);
    let comparable = |answer: &crate::wire::Answer| {
        let mut headers = answer.headers.clone();
        headers.retain(|(name, _)| !matches!(&**name, "x-request-id" | "date" | "cache-status" | "cache-control"));
        headers.sort();
        headers
    };
    assert_eq!((head.status, comparable(&head)), (200, comparable(&answer)));
    assert!(head.body.is_empty());
}

#[test]
fn the_kind_decides_how_long_caches_keep_it() {
    let origin = Origin::start_with_settings(
        "[namespaces.live-origin]\nsegment_max_age = \"10m\"\nmax_ttl = \"2h\"\n[namespaces.fixed]\nplaylist_max_age = \"5s\"\n",
    );
    let put = |path: &str, body: &str, cache_control: Option<&str>| {
        let request = Request::new("PUT", path).bearer(&origin.encoder).body(body);
        let request = cache_control.iter().fold(request, |request, value| request.header("Cache-Control", *value));
        assert_eq!(request.send(origin.address).status, 204);
        let answer = Request::new("GET", path).bearer(&origin.player).send(origin.address);
        answer.header("cache-control").to_owned()
    };
    let playlist = |seconds: &str| format!("#EXTM3U\n#EXT-X-TARGETDURATION:{seconds}\n#EXTINF:2,\na.ts\n");
    let master = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\na.m3u8\n";
    assert_eq!(put("/cache/live-origin/a.m3u8", &playlist("10"), None), "public, max-age=5");
    assert_eq!(put("/cache/live-origin/a.m3u8", &playlist("2"), None), "public, max-age=1");
    assert_eq!(put("/cache/live-origin/a.m3u8", &playlist("1"), None), "public, max-age=1");
    assert_eq!(put("/cache/live-origin/master.m3u8", master, None), "public, max-age=1");
    assert_eq!(put("/cache/live-origin/a.mpd", "<MPD/>", None), "public, max-age=1");
    assert_eq!(put("/cache/live-origin/a.ts", "media", None), "public, max-age=600");
    let bounded_by_its_ttl = put("/cache/live-origin/a.ts?ttl_seconds=60", "media", None);
    assert!(matches!(&*bounded_by_its_ttl, "public, max-age=60" | "public, max-age=59"), "{bounded_by_its_ttl}");
    assert_eq!(put("/cache/live-origin/a.ts", "media", Some("max-age=7")), "max-age=7");
    // An encoder shortens that and never lengthens it; what a proxy says for itself is none of the object's.
    for (sent, expected) in [
        ("max-age=259200", "public, max-age=600"),
        ("max-stale=5, only-if-cached", "public, max-age=600"),
        ("max-age=60, stale-while-revalidate=86400, immutable", "max-age=60"),
        ("no-cache, no-store", "no-cache, no-store"),
        ("private, max-age=86400", "private, max-age=600"),
    ] {
        assert_eq!(put("/cache/live-origin/a.ts", "media", Some(sent)), expected, "{sent}");
    }
    assert_eq!(put("/cache/live-origin/a.m3u8", &playlist("10"), Some("max-age=259200")), "public, max-age=5");
    assert_eq!(put("/cache/live-origin/a.m3u8", &playlist("10"), Some("max-age=2")), "max-age=2");
    assert_eq!(put("/cache/fixed/a.m3u8", &playlist("10"), None), "public, max-age=5");
}

#[test]
fn the_extension_types_what_the_encoder_does_not() {
    let origin = Origin::start();
    for (key, sent, expected) in [
        ("a.m3u8", "application/octet-stream", "application/vnd.apple.mpegurl"),
        ("a.ts", "", "video/mp2t"),
        ("a.m4s", "application/x-www-form-urlencoded", "video/iso.segment"),
        ("a.mpd", "*", "application/dash+xml"),
        ("a.vtt", "text/vtt; charset=utf-8", "text/vtt; charset=utf-8"),
        ("a.unknown", "", "application/octet-stream"),
        ("a.mp4", "video/special", "video/special"),
        ("a.m3u8", "binary/octet-stream", "application/vnd.apple.mpegurl"),
        ("a.m3u8", "text/html", "application/vnd.apple.mpegurl"),
        ("a.ts", "application/unknown", "video/mp2t"),
        ("a.webm", "", "video/webm"),
    ] {
        let request = Request::new("PUT", origin.path(key)).bearer(&origin.encoder).body("x");
        let request = if sent.is_empty() { request } else { request.header("Content-Type", sent) };
        assert_eq!(request.send(origin.address).status, 204);
        assert_eq!(origin.get(key).header("content-type"), expected, "{key} {sent}");
    }
    let gzip = Request::new("PUT", origin.path("z.m3u8")).bearer(&origin.encoder).header("Content-Encoding", "gzip").body("\x1f");
    assert_eq!(gzip.send(origin.address).status, 204);
    assert_eq!(origin.get("z.m3u8").header("content-encoding"), "gzip");
}

#[test]
fn a_cdn_revalidates_and_keeps_its_connection() {
    let origin = Origin::start();
    origin.store("a.ts", "media");
    let first = origin.get("a.ts");
    let (etag, modified) = (first.header("etag").to_owned(), first.header("last-modified").to_owned());
    let mut wire = Wire::open(origin.address);
    let mut ask =
        |name: &str, value: &str| wire.ask(&Request::new("GET", origin.path("a.ts")).bearer(&origin.player).header(name, value));
    for (name, value) in [
        ("If-None-Match", &*etag),
        ("If-None-Match", &*format!("W/{etag}")),
        ("If-None-Match", &*format!("\"other\", {etag}")),
        ("If-None-Match", "*"),
        ("If-Modified-Since", &modified),
    ] {
        let answer = ask(name, value);
        assert_eq!(answer.status, 304, "{name}: {value}");
        assert_eq!((answer.header("etag"), answer.header("last-modified")), (&*etag, &*modified));
        assert!(answer.header("cache-control").starts_with("public, max-age="));
        assert_eq!(answer.header("access-control-allow-origin"), "*");
    }
    assert_eq!(ask("If-None-Match", "\"other\"").status, 200);
    assert_eq!(ask("If-Modified-Since", "Thu, 01 Jan 1970 00:00:00 GMT").status, 200);
    assert_eq!(ask("If-Match", "\"other\"").status, 412);
    assert_eq!(ask("If-Match", &etag).status, 200);
    assert_eq!(ask("If-Unmodified-Since", "Thu, 01 Jan 1970 00:00:00 GMT").status, 412);
}

#[test]
fn a_range_is_a_part_and_several_are_the_whole() {
    let origin = Origin::start();
    let body = bytes(2, 1000);
    origin.store("a.mp4", body.clone());
    let etag = origin.get("a.mp4").header("etag").to_owned();
    let mut wire = Wire::open(origin.address);
    let mut ask = |range: &str, if_range: Option<&str>| {
        let request = Request::new("GET", origin.path("a.mp4")).bearer(&origin.player).header("Range", range);
        wire.ask(&if_range.iter().fold(request, |request, value| request.header("If-Range", *value)))
    };
    for (range, part) in [("bytes=0-", 0..1000), ("bytes=10-19", 10..20), ("bytes=-10", 990..1000), ("bytes=990-5000", 990..1000)]
    {
        let answer = ask(range, None);
        assert_eq!(answer.status, 206);
        assert_eq!(answer.header("content-range"), format!("bytes {}-{}/1000", part.start, part.end - 1));
        assert_eq!(answer.body, body[part]);
        assert_eq!(answer.header("etag"), etag);
    }
    for range in ["bytes=0-1,5-6", "bytes=9-2", "seconds=1-2", "bytes=x"] {
        let answer = ask(range, None);
        assert_eq!((answer.status, answer.body.len()), (200, 1000), "{range}");
    }
    for range in ["bytes=1000-", "bytes=-0"] {
        let answer = ask(range, None);
        assert_eq!((answer.status, answer.header("content-range")), (416, "bytes */1000"));
        assert_eq!(answer.problem(), "range-not-satisfiable");
    }
    assert_eq!(ask("bytes=0-1", Some(&etag)).status, 206);
    assert_eq!(ask("bytes=0-1", Some("\"older\"")).status, 200);
}

#[test]
fn every_answer_carries_cors_and_a_request_id() {
    let origin = Origin::start();
    origin.store("a.ts", "media");
    for (method, path, key, status) in [
        ("GET", "/cache/live-origin/a.ts", &*origin.player, 200),
        ("GET", "/cache/live-origin/none.ts", &origin.player, 404),
        ("GET", "/cache/live-origin/a.ts", "bad", 401),
        ("PUT", "/cache/live-origin/a.ts", &origin.player, 403),
        ("DELETE", "/cache/live-origin/none.ts", &origin.encoder, 204),
        ("PATCH", "/cache/live-origin/a.ts", &origin.encoder, 405),
        ("GET", "/cache/live-origin/../a.ts", &origin.player, 400),
        ("GET", "/elsewhere", &origin.player, 404),
        ("OPTIONS", "/cache/live-origin/a.ts", "none", 204),
        ("GET", "/livez", "none", 200),
    ] {
        let answer = Request::new(method, path).bearer(key).send(origin.address);
        assert_eq!(answer.status, status, "{method} {path}");
        assert_eq!(answer.header("access-control-allow-origin"), "*");
        assert_eq!(answer.header("access-control-expose-headers"), "*");
        assert_eq!(answer.header("timing-allow-origin"), "*");
        let id = answer.header("x-request-id");
        assert!(id.len() == 36 && id.as_bytes()[14] == b'7', "a UUIDv7: {id}");
        if status >= 400 {
            answer.problem();
            assert_eq!(answer.header("cache-control"), "no-store");
        }
        if status == 405 {
            assert_eq!(answer.header("allow"), "GET, HEAD, PUT, POST, DELETE, OPTIONS, PROPFIND, MKCOL");
        }
    }
    let preflight = Request::new("OPTIONS", "/cache/live-origin/a.ts").header("Origin", "https://x").send(origin.address);
    assert_eq!(preflight.header("access-control-allow-methods"), "GET, HEAD, PUT, POST, DELETE, OPTIONS");
    assert_eq!(preflight.header("access-control-allow-headers"), "*, Authorization");
    assert_eq!(preflight.header("access-control-max-age"), "86400");

    let kept = Request::new("GET", "/livez").header("X-Request-Id", "cdn-4711.x_Y").send(origin.address);
    assert_eq!(kept.header("x-request-id"), "cdn-4711.x_Y");
    let odd = Request::new("GET", "/livez").header("X-Request-Id", "a b\"c").send(origin.address);
    assert_eq!(odd.header("x-request-id").len(), 36);
}

#[test]
fn a_namespace_may_narrow_who_reads_and_what_caches_make_of_errors() {
    let origin = Origin::start_with_settings(
        "[namespaces.live-origin]\ncors_origins = [\"https://player.example\"]\nerror_cache_control = \"max-age=1\"\n",
    );
    origin.store("a.ts", "media");
    for (key, status) in [("a.ts", 200), ("none.ts", 404)] {
        let ask = |web_origin: &str| {
            Request::new("GET", origin.path(key)).bearer(&origin.player).header("Origin", web_origin).send(origin.address)
        };
        let (friend, stranger) = (ask("https://player.example"), ask("https://elsewhere.example"));
        assert_eq!((friend.status, stranger.status), (status, status));
        assert_eq!(friend.header("access-control-allow-origin"), "https://player.example");
        assert_eq!(stranger.header("access-control-allow-origin"), "");
        assert!(friend.header("vary").contains("Origin") && stranger.header("vary").contains("Origin"));
        if status == 404 {
            assert_eq!(friend.header("cache-control"), "max-age=1");
        }
    }
    // Who is not let in does not find out by that whether there is such a namespace: nothing differs of one that is not there.
    let (elsewhere, _) = origin.make_key(&["--namespace", "elsewhere", "--role", "readwrite"]);
    for (method, key, status) in [
        ("GET", None, 401),
        ("PUT", None, 401),
        ("OPTIONS", None, 204),
        ("BREW", None, 405),
        ("GET", Some(&elsewhere), 403),
        ("DELETE", Some(&elsewhere), 403),
    ] {
        let ask = |path: String, web_origin: &str| {
            let request = Request::new(method, path).header("Origin", web_origin);
            let request = if let Some(key) = key { request.bearer(key) } else { request };
            let answer = request.send(origin.address);
            assert_eq!(answer.status, status, "{method}: {}", answer.text());
            let names = ["access-control-allow-origin", "timing-allow-origin", "vary", "cache-control"];
            names.map(|name| answer.header(name).to_owned())
        };
        for web_origin in ["https://player.example", "https://elsewhere.example"] {
            let there = ask(origin.path("a.ts"), web_origin);
            assert_eq!(there, ask("/cache/none/a.ts".to_owned(), web_origin), "{method} {key:?}");
            assert_eq!(there[0], "*", "{method} {key:?}");
            assert!(status == 204 || there[3] == "no-store", "{method} {key:?}: {there:?}");
        }
    }
    // Who may know of it and has no key for this part of it is told as those whom it serves.
    let (part, _) = origin.make_key(&["--namespace", NAMESPACE, "--role", "readonly", "--prefix", "b/"]);
    let refused = Request::new("GET", origin.path("a.ts")).bearer(&part).header("Origin", "https://elsewhere.example");
    let refused = refused.send(origin.address);
    assert_eq!((refused.status, refused.header("access-control-allow-origin")), (403, ""));
}

#[test]
fn an_object_is_gone_when_its_time_is_up_and_its_memory_comes_back() {
    let origin = Origin::start();
    let put =
        Request::new("PUT", format!("{}?ttl_seconds=1", origin.path("a.ts"))).bearer(&origin.encoder).body(bytes(3, 100_000));
    assert_eq!(put.send(origin.address).status, 204);
    let answer = origin.get("a.ts");
    assert!(answer.status == 200 && answer.header("cache-control").starts_with("public, max-age="), "{answer:?}");
    assert!(eventually(Duration::from_secs(3), || (origin.get("a.ts").status == 404).then_some(())).is_some());
    let stored = || origin.metric("springhead_hot_stored_bytes{namespace=\"live-origin\"}");
    assert!(eventually(Duration::from_secs(1), || (stored() == 0.0).then_some(())).is_some());
    let swept =
        origin.metric("springhead_hot_objects_removed_total{namespace=\"live-origin\",reason=\"expired\",kind=\"segment\"}");
    assert!((swept - 1.0).abs() < f64::EPSILON);
}

#[test]
fn probes_need_no_key() {
    let origin = Origin::start();
    for address in [origin.address, origin.admin] {
        for path in ["/livez", "/readyz"] {
            assert_eq!(Request::new("GET", path).send(address).status, 200);
        }
    }
    assert_eq!(Request::new("GET", "/metrics").send(origin.address).status, 404, "metrics are not for the world");
}

#[test]
fn probes_hold_to_the_rules_of_all_requests() {
    let origin = Origin::start();
    for path in ["/livez", "/readyz", "/time"] {
        let refused = Request::new("PUT", path).body("x").send(origin.address);
        assert_eq!((refused.status, &*refused.problem()), (405, "method-not-allowed"), "{path}");
        assert_eq!(refused.header("allow"), "GET, HEAD, OPTIONS");
        assert_eq!(Request::new("OPTIONS", path).send(origin.address).status, 204);
        let head = Request::new("HEAD", path).send(origin.address);
        assert_eq!((head.status, head.body.len()), (200, 0));
        assert_eq!(Wire::open(origin.address).write(format!("GET {path} HTTP/1.1\r\n\r\n")).answer_to("GET").status, 400);
        assert_eq!(Wire::open(origin.address).write(format!("GET {path} HTTP/1.0\r\n\r\n")).answer_to("GET").status, 200);
        let large = Request::new("GET", path).header("X-Large", "x".repeat(100_000)).send(origin.address);
        assert_eq!((large.status, &*large.problem()), (431, "head-too-large"), "{path}");
    }
    for path in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(Wire::open(origin.admin).write(format!("GET {path} HTTP/1.1\r\n\r\n")).answer_to("GET").status, 400);
    }
}

#[test]
fn of_nothing_the_beginning_is_the_whole() {
    let origin = Origin::start();
    origin.store("empty.vtt", "");
    for range in ["bytes=0-", "bytes=0-499", "bytes=-500"] {
        let answer =
            Request::new("GET", origin.path("empty.vtt")).bearer(&origin.player).header("Range", range).send(origin.address);
        assert_eq!((answer.status, answer.header("content-length")), (200, "0"), "{range}");
    }
    let answer =
        Request::new("GET", origin.path("empty.vtt")).bearer(&origin.player).header("Range", "bytes=5-").send(origin.address);
    assert_eq!(answer.status, 416);
}

#[test]
fn a_date_alone_never_calls_a_replaced_version_good() {
    let origin = Origin::start();
    let since = |date: &str| {
        Request::new("GET", origin.path("a.ts")).bearer(&origin.player).header("If-Modified-Since", date).send(origin.address)
    };
    origin.store("a.ts", "one");
    let date = origin.get("a.ts").header("last-modified").to_owned();
    assert_eq!(since(&date).status, 304);
    // Most probably within the same second; right in any case.
    origin.store("a.ts", "two");
    assert_eq!((since(&date).status, since(&date).text().as_str()), (200, "two"));
    let date = origin.get("a.ts").header("last-modified").to_owned();
    let delete = Request::new("DELETE", origin.path("a.ts")).bearer(&origin.encoder);
    assert_eq!(delete.send(origin.address).status, 204);
    origin.store("a.ts", "three");
    assert_eq!(since(&date).text(), "three");
}

/// Types that encoders send, of names that have none of their own or that are believed, and what a browser is told.
const TYPES: [(&str, &str, &str, [&str; 2]); 12] = [
    ("page.html", "text/html; charset=utf-8", "text/html; charset=utf-8", GUARDED),
    ("page", "TEXT/HTML", "TEXT/HTML", GUARDED),
    ("page.bin", "application/xhtml+xml", "application/xhtml+xml", GUARDED),
    ("drawing.jpg", "image/svg+xml", "image/svg+xml", GUARDED),
    ("feed.xml", "application/xml", "application/xml", GUARDED),
    ("a.js", "text/javascript", "text/javascript", GUARDED),
    ("two.txt", "video/mp4, text/html", "video/mp4, text/html", GUARDED),
    ("any.bin", "application/octet-stream", "application/octet-stream", ["nosniff", ""]),
    ("text", "text/plain", "text/plain", ["nosniff", ""]),
    ("a.mp4", "text/html", "video/mp4", ["", ""]),
    ("a.m3u8", "text/html", "application/vnd.apple.mpegurl", ["", ""]),
    ("a.mpd", "text/xml", "application/dash+xml", ["", ""]),
];
const GUARDED: [&str; 2] = ["nosniff", "sandbox"];

/// What keeps a browser from running what it is sent.
fn guards(answer: &Answer) -> [&str; 2] {
    ["x-content-type-options", "content-security-policy"].map(|name| answer.header(name))
}

#[test]
fn no_browser_runs_what_a_writer_stored() {
    let (mut origin, _folder) = durable::start("");
    for (key, sent, _, _) in TYPES {
        let put = Request::new("PUT", origin.path(key)).bearer(&origin.encoder).header("Content-Type", sent);
        assert_eq!(put.body("<script>alert(1)</script>").send(origin.address).status, 204, "{key}");
    }
    // From memory, and from disk after a restart.
    for source in ["ttl=", "detail=durable"] {
        for (key, sent, served, guarded) in TYPES {
            let ask = |method: &str, header: &str, value: &str| {
                let request = Request::new(method, origin.path(key)).bearer(&origin.player);
                let answer = request.header(header, value).send(origin.address);
                assert_eq!(guards(&answer), guarded, "{key} as {sent}, {method} {header}: {answer:?}");
                answer
            };
            let part = ask("GET", "Range", "bytes=0-3");
            assert_eq!((part.status, part.header("content-type")), (206, served), "{key}");
            // Playlists are taken into memory at the start.
            let is_rewritten = key.ends_with(".m3u8") || key.ends_with(".mpd");
            assert!(is_rewritten || part.header("cache-status").contains(source), "{part:?}");
            assert_eq!(ask("HEAD", "Accept", "*/*").header("content-type"), served);
            let whole = ask("GET", "Accept", "*/*");
            assert_eq!((whole.status, whole.header("content-type")), (200, served));
            assert_eq!(ask("GET", "If-None-Match", whole.header("etag")).status, 304);
        }
        origin.stop();
        origin.launch();
    }
}
