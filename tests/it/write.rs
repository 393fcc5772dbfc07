//! PUT, POST and DELETE as well-behaved clients send them.

use crate::harness::{NAMESPACE, Origin, bytes};
use crate::wire::{Request, Wire};

#[test]
fn every_way_of_writing_stores_the_same() {
    let origin = Origin::start();
    let body = bytes(1, 123_456);
    let etag = origin.put("a.ts", body.clone()).header("etag").to_owned();
    assert_eq!(etag.len(), 34);
    let key = &origin.encoder;
    for request in [
        Request::new("PUT", origin.path("b.ts")).body(body.clone()),
        Request::new("POST", origin.path("c.ts")).body(body.clone()),
        Request::new("PUT", origin.path("d.ts")).chunked(body.clone(), 188),
        Request::new("PUT", origin.path("e.ts")).chunked(body.clone(), 0x8000),
        Request::new("PUT", format!("/cache/{NAMESPACE}?key=f.ts&ttl_seconds=60&role=origin")).body(body.clone()),
        Request::new("PUT", format!("/cache/{NAMESPACE}?key_base64=Zy50cw")).chunked(body.clone(), 100_000),
    ] {
        let answer = request.bearer(key).send(origin.address);
        assert_eq!((answer.status, answer.header("etag")), (204, &*etag), "the same bytes have the same tag");
        assert!(answer.body.is_empty());
    }
    for name in ["a.ts", "b.ts", "c.ts", "d.ts", "e.ts", "f.ts", "g.ts"] {
        assert!(origin.get(name).body == body, "{name}");
    }
}

#[test]
fn a_rewrite_is_read_at_once_and_whole() {
    let origin = Origin::start();
    let mut writer = Wire::open(origin.address);
    let mut reader = Wire::open(origin.address);
    for version in 0..200u64 {
        let body = bytes(version, 2000 + usize::try_from(version).unwrap());
        let put = Request::new("PUT", origin.path("a.m3u8")).bearer(&origin.encoder).body(body.clone());
        assert_eq!(writer.ask(&put).status, 204);
        let answer = reader.ask(&Request::new("GET", origin.path("a.m3u8")).bearer(&origin.player));
        assert!(answer.body == body, "version {version}");
    }
}

#[test]
fn readers_never_see_a_mixture() {
    let origin = Origin::start();
    let versions = [bytes(1, 400_000), bytes(2, 300_001)];
    origin.store("a.ts", versions[0].clone());
    let reading = || {
        let mut wire = Wire::open(origin.address);
        for _ in 0..100 {
            let answer = wire.ask(&Request::new("GET", origin.path("a.ts")).bearer(&origin.player));
            assert!(versions.contains(&answer.body), "a body of {} bytes that nobody wrote", answer.body.len());
        }
    };
    let writing = |version: usize| {
        let mut wire = Wire::open(origin.address);
        for _ in 0..100 {
            let request = Request::new("PUT", origin.path("a.ts")).bearer(&origin.encoder);
            let request = match version {
                0 => request.body(versions[0].clone()),
                _ => request.chunked(versions[1].clone(), 0x8000),
            };
            assert_eq!(wire.ask(&request).status, 204);
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| writing(0));
        scope.spawn(|| writing(1));
        scope.spawn(reading);
        scope.spawn(reading);
    });
}

#[test]
fn a_time_to_live_has_limits() {
    let origin = Origin::start_with_settings("[namespaces.live-origin]\nmax_ttl = \"2h\"\n");
    let put = |query: &str| {
        let path = format!("{}?{query}", origin.path("a.ts"));
        Request::new("PUT", path).bearer(&origin.encoder).body("x").send(origin.address)
    };
    for query in ["ttl_seconds=1", "ttl_seconds=7200", "role=origin", "ttl_seconds=3600&role=origin&_gda_=x&unknown"] {
        assert_eq!(put(query).status, 204, "{query}");
    }
    for (query, code) in [
        ("ttl_seconds=0", "ttl-out-of-range"),
        ("ttl_seconds=7201", "ttl-out-of-range"),
        ("ttl_seconds=99999999999999999999999", "ttl-out-of-range"),
        ("ttl_seconds=", "bad-request"),
        ("ttl_seconds=1h", "bad-request"),
        ("ttl_seconds=-1", "bad-request"),
    ] {
        let answer = put(query);
        assert_eq!((answer.status, &*answer.problem()), (400, code), "{query}");
    }
}

#[test]
fn conditions_guard_a_write() {
    let origin = Origin::start();
    let put = |name: &str, value: &str, body: &str| {
        let request = Request::new("PUT", origin.path("a.ts")).bearer(&origin.encoder).header(name, value).body(body);
        request.send(origin.address)
    };
    assert_eq!(put("If-Match", "*", "x").status, 412, "nothing to replace");
    let created = put("If-None-Match", "*", "first");
    assert_eq!(created.status, 204);
    let refused = put("If-None-Match", "*", "second");
    assert_eq!((refused.status, &*refused.problem()), (412, "precondition-failed"));
    assert_eq!(put("If-Match", "\"other\"", "third").status, 412);
    assert_eq!(origin.get("a.ts").text(), "first");
    assert_eq!(put("If-Match", created.header("etag"), "fourth").status, 204);
    assert_eq!(origin.get("a.ts").text(), "fourth");
}

#[test]
fn conditions_guard_a_removal() {
    let origin = Origin::start();
    let delete = |name: &str, value: &str| {
        Request::new("DELETE", origin.path("a.ts")).bearer(&origin.encoder).header(name, value).send(origin.address)
    };
    assert_eq!(delete("If-Match", "*").status, 412, "nothing to remove");
    origin.store("a.ts", "first");
    let first = origin.get("a.ts");
    let tag = first.header("etag").to_owned();
    let refused = delete("If-Match", "\"other\"");
    assert_eq!((refused.status, &*refused.problem()), (412, "precondition-failed"));
    assert_eq!(delete("If-Match", &format!("W/{tag}")).status, 412, "compared strongly");
    assert_eq!(delete("If-None-Match", &tag).status, 412);
    assert_eq!(delete("If-Unmodified-Since", "Sun, 09 Sep 2001 01:46:40 GMT").status, 412);
    origin.store("a.ts", "second");
    assert_eq!(delete("If-Match", &tag).status, 412, "it was replaced meanwhile");
    assert_eq!(origin.get("a.ts").text(), "second");
    assert_eq!(delete("If-Match", origin.get("a.ts").header("etag")).status, 204);
    assert_eq!(origin.get("a.ts").status, 404);
    origin.store("a.ts", "third");
    assert_eq!(delete("If-Unmodified-Since", "Sun, 09 Sep 2100 01:46:40 GMT").status, 204);
    assert_eq!(origin.get("a.ts").status, 404);
}

#[test]
fn of_two_that_create_one_wins() {
    let origin = Origin::start();
    let create = |seed: u64| {
        let request = Request::new("PUT", origin.path("a.ts")).bearer(&origin.encoder).header("If-None-Match", "*");
        let bytes = request.chunked(bytes(seed, 200_000), 1000).to_bytes();
        let mut wire = Wire::open(origin.address);
        // Both are admitted before either ends.
        wire.write(&bytes[..100_000]);
        (wire, bytes)
    };
    let (mut one, one_bytes) = create(1);
    let (mut other, other_bytes) = create(2);
    one.write(&one_bytes[100_000..]);
    assert_eq!(one.answer_to("PUT").status, 204);
    other.try_write(&other_bytes[100_000..]);
    assert_eq!(other.answer_to("PUT").status, 412);
    assert!(origin.get("a.ts").body == bytes(1, 200_000));
}

#[test]
fn a_part_of_an_object_never_overwrites_the_whole() {
    let origin = Origin::start();
    origin.store("a.ts", "the whole");
    for (name, value) in [("Content-Range", "bytes 4-8/*"), ("Range", "bytes=4-8")] {
        let put = Request::new("PUT", origin.path("a.ts")).bearer(&origin.encoder).header(name, value).body("WHOLE");
        let answer = put.send(origin.address);
        assert_eq!((answer.status, &*answer.problem()), (400, "bad-request"), "{name}");
    }
    assert_eq!(origin.get("a.ts").text(), "the whole");
    assert_eq!(origin.refusals().len(), 2, "and the log says so");
    assert!((origin.metric("springhead_upload_refusals_total{reason=\"bad-request\"}") - 2.0).abs() < f64::EPSILON);
}

#[test]
fn a_delete_always_succeeds_and_never_breaks_its_connection() {
    let origin = Origin::start();
    origin.store("a.ts", "media");
    let mut wire = Wire::open(origin.address);
    let delete = || Request::new("DELETE", origin.path("a.ts")).bearer(&origin.encoder);
    assert_eq!(wire.ask(&delete()).status, 204);
    assert_eq!(origin.get("a.ts").status, 404);
    assert_eq!(wire.ask(&delete()).status, 204, "again");
    assert_eq!(wire.ask(&delete().chunked("", 1)).status, 204, "with an empty chunked body, as ffmpeg sends it");
    assert_eq!(wire.ask(&delete().chunked("", 1)).status, 204);
    assert_eq!(wire.ask(&delete().body("a body")).status, 204);
    let expecting = delete().header("Expect", "100-continue").chunked("", 1).to_bytes();
    wire.write(&expecting[..expecting.len() - 5]);
    assert_eq!(wire.answer_to("DELETE").status, 100);
    wire.write("0\r\n\r\n");
    assert_eq!(wire.answer_to("DELETE").status, 204);
    assert_eq!(wire.ask(&delete()).status, 204, "on the same connection");
}

#[test]
fn an_empty_object_is_an_object() {
    let origin = Origin::start();
    origin.store("empty.ts", "");
    let answer = origin.get("empty.ts");
    assert_eq!((answer.status, answer.header("content-length")), (200, "0"));
    assert_eq!(Request::new("PUT", origin.path("e2")).bearer(&origin.encoder).chunked("", 1).send(origin.address).status, 204);
    assert_eq!(origin.get("e2").status, 200);
}

#[test]
fn a_body_whose_end_nobody_knows_changes_nothing() {
    let origin = Origin::start();
    origin.store("a.m3u8", "#EXTM3U\n");
    for version in ["1.0", "1.1"] {
        let mut wire = crate::wire::Wire::open(origin.address);
        wire.write(format!(
            "PUT {} HTTP/{version}\r\nHost: a\r\nAuthorization: Bearer {}\r\n\r\n#EXTM3U\n#EXT-X-TARGETDURATION:2\n",
            origin.path("a.m3u8"),
            origin.encoder
        ));
        let answer = wire.answer_to("PUT");
        assert_eq!(
            (answer.status, &*answer.problem(), answer.header("connection")),
            (411, "length-required", "close"),
            "{version}"
        );
        assert_eq!(origin.get("a.m3u8").body, b"#EXTM3U\n", "{version}");
    }
    let refused = origin.refusals();
    assert_eq!(refused.len(), 2, "{refused:?}");
    assert!(refused.iter().all(|line| line["reason"] == "length-required" && line["key"] == "a.m3u8"), "{refused:?}");
    assert_eq!(
        Request::new("PUT", origin.path("a.m3u8")).bearer(&origin.encoder).send(origin.address).status,
        204,
        "an empty one"
    );
    assert_eq!(origin.get("a.m3u8").body, b"");
}

#[test]
fn what_encoders_delete_stays_where_the_namespace_says_so() {
    let origin = Origin::start_with_settings(
        "[namespaces.live-origin]\n[namespaces.some]\ndeletes = \"playlists\"\n[namespaces.all]\ndeletes = \"ignore\"\n",
    );
    let (key, _) = origin.make_key(&["--namespace", "*", "--role", "readwrite"]);
    let names = ["a.m3u8", "a.mpd", "init.mp4", "a1.ts"];
    for (namespace, expected) in
        [("live-origin", [404, 404, 404, 404]), ("some", [404, 404, 200, 200]), ("all", [200, 200, 200, 200])]
    {
        let ask = |method: &str, name: &str, query: &str| {
            let request = Request::new(method, format!("/cache/{namespace}/{name}{query}")).bearer(&key);
            if method == "PUT" { request.body("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\na1.ts\n") } else { request }
                .send(origin.address)
        };
        for name in names {
            assert_eq!(ask("PUT", name, "").status, 204);
        }
        for name in names.into_iter().rev().chain(["never.ts"]) {
            assert_eq!(ask("DELETE", name, "").status, 204, "encoders are told nothing else");
        }
        assert_eq!(names.map(|name| ask("GET", name, "").status), expected, "{namespace}");
        let ignored = expected.iter().filter(|status| **status == 200).count() + usize::from(namespace != "live-origin");
        let series = format!(
            "springhead_http_requests_total{{method=\"DELETE\",status=\"204\",namespace=\"{namespace}\",outcome=\"ignored\"}}"
        );
        let counted = if ignored == 0 { 0.0 } else { origin.metric(&series) };
        assert_eq!(counted, ignored as f64, "{namespace}");
        // What was kept can be written again, and looked back at.
        assert_eq!(ask("PUT", "a1.ts", "").status, 204);
        let past = ask("GET", "a.m3u8", "?last=1m");
        assert_eq!(past.status, if namespace == "all" { 200 } else { 404 }, "{namespace}: {}", past.text());
    }
    // What a window lists is what is kept.
    let ask = |method: &str, name: &str, body: &str| {
        Request::new(method, format!("/cache/some/{name}")).bearer(&key).body(body.to_owned()).send(origin.address)
    };
    for n in 0..4 {
        ask("PUT", &format!("w{n}.ts"), "media");
        let listed = format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:{n}\n#EXTINF:2,\nw{n}.ts\n");
        ask("PUT", "w.m3u8", &listed);
        ask("DELETE", &format!("w{n}.ts"), "");
    }
    let window = Request::new("GET", "/cache/some/w.m3u8?start=0").bearer(&key).send(origin.address).text();
    assert!((0..4).all(|n| window.contains(&format!("w{n}.ts\n"))), "{window}");
}
