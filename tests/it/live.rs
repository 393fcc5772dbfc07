//! What an origin knows of live streams, from outside: waiting instead of a 404, blocking reload, leases, staleness, health.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::{NAMESPACE, Origin, eventually};
use crate::webhooks::receiver;
use crate::wire::{Request, Wire};

fn media(first: u64, last: u64, target: u64, extra: &str) -> String {
    let segments: String = (first..=last).map(|number| format!("#EXTINF:{target}.0,\n{number}.ts\n")).collect();
    format!("#EXTM3U\n#EXT-X-TARGETDURATION:{target}\n#EXT-X-MEDIA-SEQUENCE:{first}\n{extra}{segments}")
}

fn settings(lines: &str) -> Origin {
    Origin::start_with_settings(&format!("[namespaces.live-origin]\n{lines}\n"))
}

/// What `/v1/streams` says.
fn streams(origin: &Origin) -> serde_json::Value {
    let answer = Request::new("GET", "/v1/streams").send(origin.admin);
    assert_eq!(answer.status, 200);
    serde_json::from_str(&answer.text()).unwrap()
}

fn event(origin: &Origin, name: &str) -> serde_json::Value {
    let found = eventually(Duration::from_secs(15), || {
        origin.log().into_iter().find(|line| line["message"] == "stream" && line["event"] == name)
    });
    found.unwrap_or_else(|| panic!("no event {name} in {:#?}", origin.log()))
}

#[test]
fn a_listed_segment_that_is_on_its_way_is_waited_for() {
    let origin = settings("hold = \"5s\"");
    origin.store("1.ts", "one");
    origin.store("p.m3u8", media(1, 2, 2, ""));
    let get = Request::new("GET", origin.path("2.ts")).bearer(&origin.player);
    thread::scope(|scope| {
        let readers: Vec<_> = (0..8).map(|_| scope.spawn(|| get.send(origin.address))).collect();
        let waiting = eventually(Duration::from_secs(5), || (origin.metric("springhead_held_reads") > 7.5).then_some(()));
        assert!(waiting.is_some(), "all of them wait");
        origin.store("2.ts", "two");
        for reader in readers {
            let answer = reader.join().unwrap();
            assert_eq!((answer.status, &*answer.text()), (200, "two"));
        }
    });
    assert!((origin.metric("springhead_reads_held_total{outcome=\"arrived\"}") - 8.0).abs() < 0.1);
    assert!(origin.metric("springhead_held_reads").abs() < 0.1);
}

#[test]
fn only_what_is_expected_is_waited_for_and_only_so_long() {
    let origin = settings("hold = \"400ms\"");
    origin.store("p.m3u8", media(1, 1, 1, ""));
    let begun = Instant::now();
    assert_eq!(origin.get("1.ts").status, 404);
    assert!(begun.elapsed() >= Duration::from_millis(400), "a listed one is waited for");
    for name in ["2.ts", "other.ts", "q.m3u8"] {
        assert_eq!(origin.get(name).status, 404);
    }
    assert!((origin.metric("springhead_reads_held_total{outcome=\"in_vain\"}") - 1.0).abs() < 0.1, "and no other");
    let off = settings("hold = \"off\"");
    off.store("p.m3u8", media(1, 1, 1, ""));
    assert_eq!(off.get("1.ts").status, 404);
    assert!(off.metric("springhead_reads_held_total").abs() < 0.1);
}

#[test]
fn a_part_of_a_version_that_is_replaced_is_not_cut_from_the_next() {
    let origin = Origin::start();
    origin.store("p.m3u8", media(1, 3, 2, ""));
    origin.store("a.ts", "media");
    let first = origin.get("p.m3u8");
    let part = |key: &str, more: &[(&str, &str)]| {
        let request = Request::new("GET", origin.path(key)).bearer(&origin.player).header("Range", "bytes=0-3");
        more.iter().fold(request, |request, (name, value)| request.header(name, *value)).send(origin.address)
    };
    let etag = first.header("etag");
    assert_eq!(part("p.m3u8", &[("If-None-Match", etag)]).status, 304);
    let next = media(2, 4, 2, "");
    origin.store("p.m3u8", next.clone());
    for known in [("If-None-Match", etag), ("If-Modified-Since", "Thu, 01 Jan 1970 00:00:00 GMT")] {
        let answer = part("p.m3u8", &[known]);
        assert_eq!((answer.status, answer.text()), (200, next.clone()), "{known:?}");
        assert_eq!(part("a.ts", &[known]).status, 206, "a segment has no next version: {known:?}");
    }
    assert_eq!((part("p.m3u8", &[]).status, &*part("p.m3u8", &[]).text()), (206, "#EXT"));
    assert_eq!(part("p.m3u8", &[("If-Range", etag)]).status, 200);
}

#[test]
fn the_next_number_of_a_live_mpd_is_waited_for() {
    let origin = settings("hold = \"5s\"");
    let template = "<SegmentTemplate media=\"v-$Number$.m4s\"/><Representation id=\"v\" bandwidth=\"1\"/>";
    let mpd = format!("<MPD type=\"dynamic\"><Period><AdaptationSet>{template}</AdaptationSet></Period></MPD>");
    origin.store("live.mpd", mpd);
    origin.store("v-1.m4s", "one");
    let get = Request::new("GET", origin.path("v-2.m4s")).bearer(&origin.player);
    thread::scope(|scope| {
        let reader = scope.spawn(|| get.send(origin.address));
        let waiting = eventually(Duration::from_secs(5), || (origin.metric("springhead_held_reads") > 0.5).then_some(()));
        assert!(waiting.is_some());
        assert_eq!(origin.get("v-3.m4s").status, 404, "and not the one after it");
        origin.store("v-2.m4s", "two");
        assert_eq!(reader.join().unwrap().text(), "two");
    });
}

#[test]
fn so_many_may_wait_and_no_more() {
    let origin = settings("hold = \"10s\"\nmax_held = 3");
    origin.store("p.m3u8", media(1, 1, 9, ""));
    let get = Request::new("GET", origin.path("1.ts")).bearer(&origin.player);
    thread::scope(|scope| {
        let readers: Vec<_> = (0..3).map(|_| scope.spawn(|| get.send(origin.address).status)).collect();
        let waiting = eventually(Duration::from_secs(5), || (origin.metric("springhead_held_reads") > 2.5).then_some(()));
        assert!(waiting.is_some());
        assert_eq!(get.send(origin.address).status, 404, "at once");
        assert!((origin.metric("springhead_reads_held_total{outcome=\"refused\"}") - 1.0).abs() < 0.1);
        origin.store("1.ts", "one");
        assert!(readers.into_iter().all(|reader| reader.join().unwrap() == 200));
    });
}

#[test]
fn an_upload_that_is_in_flight_is_waited_for() {
    let origin = settings("hold = \"10s\"");
    let mut wire = Wire::open(origin.address);
    let head = format!(
        "PUT {} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Length: 6\r\n\r\nabc",
        origin.path("a.ts"),
        origin.encoder
    );
    wire.write(head.as_bytes());
    let arrived = eventually(Duration::from_secs(5), || (origin.metric("springhead_in_flight_bytes") > 0.0).then_some(()));
    assert!(arrived.is_some());
    let get = Request::new("GET", origin.path("a.ts")).bearer(&origin.player);
    thread::scope(|scope| {
        let reader = scope.spawn(|| get.send(origin.address));
        let waiting = eventually(Duration::from_secs(5), || (origin.metric("springhead_held_reads") > 0.5).then_some(()));
        assert!(waiting.is_some());
        wire.write(b"def");
        assert_eq!(wire.answer_to("PUT").status, 204);
        assert_eq!(reader.join().unwrap().text(), "abcdef");
    });
}

#[test]
fn a_playlist_reload_blocks_until_there_is_news() {
    let origin = settings("");
    let control = "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=0.6\n#EXT-X-PART-INF:PART-TARGET=0.2\n";
    let part = |index: u64| format!("#EXT-X-PART:DURATION=0.2,URI=\"6.{index}.m4s\"\n");
    origin.store("p.m3u8", media(1, 5, 1, control));
    let ask = |query: &str| {
        Request::new("GET", format!("{}?{query}", origin.path("p.m3u8"))).bearer(&origin.player).send(origin.address)
    };
    assert_eq!(ask("_HLS_msn=5").status, 200, "it is there already");
    assert_eq!(ask("_HLS_msn=8").status, 400, "too far ahead");
    assert_eq!(ask("_HLS_part=1").status, 400, "a part of what?");
    assert_eq!(ask("_HLS_msn=x").status, 400);
    thread::scope(|scope| {
        let part_reader = scope.spawn(|| ask("_HLS_msn=6&_HLS_part=1"));
        let whole_reader = scope.spawn(|| ask("_HLS_msn=6"));
        let waiting = eventually(Duration::from_secs(3), || (origin.metric("springhead_held_reads") > 1.5).then_some(()));
        assert!(waiting.is_some());
        origin.store("p.m3u8", media(1, 5, 1, control) + &part(0));
        origin.store("p.m3u8", media(1, 5, 1, control) + &part(0) + &part(1));
        let answer = part_reader.join().unwrap();
        assert_eq!(answer.status, 200);
        assert!(answer.text().contains("6.1.m4s"));
        assert!(!whole_reader.is_finished());
        origin.store("p.m3u8", media(2, 6, 1, control));
        assert!(whole_reader.join().unwrap().text().contains("6.ts"));
    });
    let arrived = origin.metric("springhead_reads_held_total{outcome=\"arrived\"}");
    assert!((arrived - 2.0).abs() < 0.1, "{arrived}: what was there already did not wait");
    // Nothing comes for three target durations.
    let answer = ask("_HLS_msn=7");
    assert_eq!((answer.status, &*answer.problem(), answer.header("retry-after")), (503, "not-in-time", "1"));
    origin.store("q.m3u8", media(1, 5, 1, ""));
    let plain = Request::new("GET", format!("{}?_HLS_msn=99", origin.path("q.m3u8"))).bearer(&origin.player);
    assert_eq!(plain.send(origin.address).status, 200, "where it is not offered, it is not understood");
}

/// What is neither a whole segment nor listed is missed, too: a part, and a segment that an MPD counts.
#[test]
fn a_part_and_a_counted_segment_that_never_come_are_told() {
    let origin = settings("hold = \"off\"");
    (3..=5).for_each(|number| origin.store(&format!("{number}.ts"), "media"));
    let control = "#EXT-X-PART-INF:PART-TARGET=0.2\n";
    let part = |index: u64| format!("#EXT-X-PART:DURATION=0.2,URI=\"6.{index}.m4s\"\n");
    origin.store("p.m3u8", media(3, 5, 1, control));
    origin.store("6.1.m4s", "part");
    origin.store("p.m3u8", media(3, 5, 1, control) + &part(0) + &part(1));
    let template = "<SegmentTemplate duration='1' media='v-$Number$.m4s'/><Representation id='v'/>";
    origin.store("p.mpd", format!("<MPD type='dynamic'><Period><AdaptationSet>{template}</AdaptationSet></Period></MPD>"));
    origin.store("v-1.m4s", "one");
    origin.store("v-3.m4s", "three");
    let gaps = || -> BTreeSet<String> {
        let lines = origin.log().into_iter().filter(|line| line["message"] == "stream" && line["event"] == "gap");
        lines.map(|line| line["detail"].as_str().unwrap().split(' ').next().unwrap().to_owned()).collect()
    };
    let told = eventually(Duration::from_secs(15), || (gaps().len() > 1).then(gaps)).expect("what is missing is told");
    assert_eq!(told, BTreeSet::from(["6.0.m4s".to_owned(), "v-2.m4s".to_owned()]));
}

/// EXT-X-DEFINE (RFC 8216bis 4.3).
#[test]
fn what_a_variable_stands_for_is_known_and_what_is_unknown_is_not_missing() {
    let origin = settings("hold = \"300ms\"");
    let list = |head: &str, prefix: &str, extra: &str| {
        let segments: String = (1..=4).map(|n| format!("#EXTINF:1,\n{prefix}s{n}.ts{extra}\n")).collect();
        format!("#EXTM3U\n#EXT-X-VERSION:11\n#EXT-X-TARGETDURATION:1\n{head}{segments}")
    };
    let define = "#EXT-X-DEFINE:NAME=\"path\",VALUE=\"media/1M/\"\n";
    // Of three of them one segment never comes.
    for n in 1..=3 {
        origin.store(&format!("live/media/1M/s{n}.ts"), "media");
        origin.store(&format!("live/s{n}.ts"), "media");
    }
    origin.store("live/known.m3u8", list(define, "{$path}", ""));
    let token = list("#EXT-X-DEFINE:QUERYPARAM=\"token\"\n", "", "?token={$token}");
    origin.store("live/token.m3u8", token.clone());
    origin.store("live/unknown.m3u8", list("#EXT-X-DEFINE:QUERYPARAM=\"p\"\n", "{$p}", ""));
    assert_eq!(origin.get("live/token.m3u8").text(), token, "a reference is no credential");
    // It is expected.
    let begun = Instant::now();
    assert_eq!(origin.get("live/media/1M/s4.ts").status, 404);
    assert!(begun.elapsed() >= Duration::from_millis(300));
    let gaps = || -> BTreeSet<String> {
        let lines = origin.log().into_iter().filter(|line| line["message"] == "stream" && line["event"] == "gap");
        lines.map(|line| line["playlist"].as_str().unwrap().to_owned()).collect()
    };
    let told = eventually(Duration::from_secs(15), || (gaps().len() > 1).then(gaps)).expect("what is missing is told");
    assert_eq!(told, BTreeSet::from(["live/known.m3u8".to_owned(), "live/token.m3u8".to_owned()]));
    let window = |key: &str| {
        Request::new("GET", format!("{}?start=0", origin.path(key))).bearer(&origin.player).send(origin.address).text()
    };
    let known = window("live/known.m3u8");
    assert!((1..=3).all(|n| known.contains(&format!("\nmedia/1M/s{n}.ts\n"))), "{known}");
    assert!(window("live/unknown.m3u8").contains("\n{$p}s2.ts\n"));
    // Whoever reads with the query has the key in all that leads back here.
    let query = format!("token={}&inherit_token=1", origin.player);
    let read = Request::new("GET", format!("{}?{query}", origin.path("live/known.m3u8"))).send(origin.address).text();
    assert!(read.contains(&format!("\n{{$path}}s1.ts?{query}\n")), "{read}");
}

#[test]
fn a_reload_can_be_had_without_what_is_known() {
    let origin = settings("");
    let control = "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL=12\n";
    let ask = |query: &str, tag: &str| {
        let request = Request::new("GET", format!("{}?{query}", origin.path("p.m3u8"))).bearer(&origin.player);
        request.header("If-None-Match", tag).send(origin.address)
    };
    origin.store("p.m3u8", media(100, 139, 2, control));
    let whole = origin.get("p.m3u8");
    for query in ["_HLS_skip=YES", "_HLS_skip=v2", "CMCD=x&_HLS_skip=YES&_HLS_msn=139"] {
        let update = ask(query, "");
        assert_eq!((update.status, update.header("content-type")), (200, "application/vnd.apple.mpegurl"));
        let text = update.text();
        assert!(
            text.contains("#EXT-X-SKIP:") && text.contains("-SEGMENTS=34\n#EXTINF:2.0,\n134.ts\n") && text.ends_with("139.ts\n"),
            "{text}"
        );
        // It is another representation, which is compared with itself alone.
        for same in ["last-modified", "cache-control", "last-sequence"] {
            assert_eq!(update.header(same), whole.header(same), "{same}");
        }
        assert_ne!(update.header("etag"), whole.header("etag"));
        assert_eq!(ask(query, update.header("etag")).status, 304);
        assert_eq!(ask(query, whole.header("etag")).status, 200);
    }
    assert_eq!(ask("_HLS_skip=NO", "").body, whole.body, "no word of the draft's");
    // Together with waiting: what comes is new.
    thread::scope(|scope| {
        let reader = scope.spawn(|| ask("_HLS_skip=YES&_HLS_msn=140", ""));
        assert!(eventually(Duration::from_secs(5), || (origin.metric("springhead_held_reads") > 0.5).then_some(())).is_some());
        origin.store("p.m3u8", media(101, 140, 2, control));
        let text = reader.join().unwrap().text();
        assert!(
            text.contains("#EXT-X-MEDIA-SEQUENCE:101\n")
                && text.contains("-SEGMENTS=34\n#EXTINF:2.0,\n135.ts\n")
                && text.ends_with("140.ts\n")
        );
    });
    // With the reader's key for its children; and not at all where it is not offered, or over.
    let query = format!("token={}&inherit_token=1", origin.player);
    let inherited = ask(&format!("{query}&_HLS_skip=YES"), "").text();
    assert!(inherited.contains(&format!("-SEGMENTS=34\n#EXTINF:2.0,\n135.ts?{query}\n")), "{inherited}");
    for body in [media(100, 139, 2, ""), media(100, 139, 2, control) + "#EXT-X-ENDLIST\n", media(134, 139, 2, control)] {
        origin.store("p.m3u8", body.clone());
        assert_eq!(ask("_HLS_skip=YES", "").text(), body);
    }
}

#[test]
fn a_reload_can_be_had_without_the_date_ranges_that_are_known() {
    let origin = settings("");
    let range = |name: &str| format!("#EXT-X-DATERANGE:ID=\"{name}\",START-DATE=\"2026-01-02T20:00:02Z\"\n");
    let write = |last: u64, offers: &str, names: &[&str]| {
        let control = format!("#EXT-X-SERVER-CONTROL:CAN-SKIP-UNTIL=5{offers}\n");
        let ranges: String = names.iter().map(|name| range(name)).collect();
        origin.store("p.m3u8", media(100, last, 1, &(control + &ranges)));
    };
    let ask = |query: &str| {
        Request::new("GET", format!("{}?{query}", origin.path("p.m3u8"))).bearer(&origin.player).send(origin.address).text()
    };
    let offers = ",CAN-SKIP-DATERANGES=YES";
    write(109, offers, &["first", "second"]);
    assert!(!ask("_HLS_skip=v2").contains("EXT-X-SKIP"), "nobody knows yet what a player knows");
    assert!(ask("_HLS_skip=YES").contains("-SEGMENTS=5\n"));
    let all = eventually(Duration::from_secs(20), || Some(ask("_HLS_skip=v2")).filter(|text| text.contains("EXT-X-SKIP")));
    let text = all.expect("it was followed for long enough");
    assert!(
        text.contains("RECENTLY-REMOVED-DATERANGES=\"\"\n") && !text.contains("EXT-X-DATERANGE") && text.contains("VERSION:10"),
        "{text}"
    );
    // One leaves, one comes, and one is changed.
    write(110, offers, &["second\",X-A=\"1", "third"]);
    let text = ask("_HLS_skip=v2");
    assert!(text.contains("-SEGMENTS=6,RECENTLY-REMOVED-DATERANGES=\"first\"\n"), "{text}");
    assert!(text.contains(&range("third")) && text.contains(&range("second\",X-A=\"1")), "{text}");
    let yes = ask("_HLS_skip=YES");
    assert!(yes.contains(&range("third")) && !yes.contains("REMOVED"), "{yes}");
    // Where it is not offered, it is as if there were no second form.
    write(111, "", &["third"]);
    assert_eq!(ask("_HLS_skip=v2"), ask("_HLS_skip=YES"));
    assert!(ask("_HLS_skip=v2").contains(&range("third")));
}

#[test]
fn what_is_wrong_with_a_multivariant_playlist_or_within_a_long_list_is_told() {
    let origin = settings("");
    let master = |group: &str| {
        format!(
            "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"sound\",NAME=\"en\",URI=\"en.m3u8\"\n\
             #EXT-X-STREAM-INF:BANDWIDTH=1000,AUDIO=\"{group}\"\nv.m3u8\n"
        )
    };
    let stream = |name: &str| {
        let all = streams(&origin);
        all["streams"].as_array().unwrap().iter().find(|stream| stream["stream"] == name).cloned().unwrap_or_default()
    };
    origin.store("m.m3u8", master("other"));
    let told = event(&origin, "broken-playlist");
    assert_eq!((&told["stream"], &told["level"]), (&"m.m3u8".into(), &"WARN".into()), "{told}");
    assert!(told["detail"].as_str().unwrap().contains("line 3: AUDIO names a group"), "{told}");
    assert!(stream("m.m3u8")["fault"].as_str().unwrap().contains("names a group"));
    origin.store("m.m3u8", master("sound"));
    assert!(stream("m.m3u8")["fault"].is_null());
    let list = media(0, 299, 2, "#EXT-X-PLAYLIST-TYPE:EVENT\n");
    origin.store("e.m3u8", list.clone());
    origin.store("e.m3u8", list.replace("\n7.ts", "\nother.ts") + "#EXTINF:2.0,\n300.ts\n");
    let told = event(&origin, "segment-changed");
    assert!(told["stream"] == "e.m3u8" && told["detail"].as_str().unwrap().contains("EVENT"), "{told}");
    assert_eq!(origin.get("m.m3u8").text(), master("sound"), "all of it is stored as it came");
}

#[test]
fn renditions_that_nobody_can_begin_with_are_told() {
    let origin = settings("");
    let begun = Instant::now();
    let told = eventually(Duration::from_secs(60), || {
        let number = begun.elapsed().as_secs() / 4;
        for name in ["live/v0/p.m3u8", "live/v1/p.m3u8"] {
            let seconds = number * 4;
            let date = format!("#EXT-X-PROGRAM-DATE-TIME:2026-01-02T20:{:02}:{:02}Z\n", seconds / 60, seconds % 60);
            origin.store(name, media(number, number + 3, 4, &date));
        }
        origin.log().into_iter().find(|line| line["event"] == "multivariant-missing")
    });
    let told = told.expect("nobody has asked, and it is told");
    assert!(told["stream"].as_str().is_some_and(|name| name.ends_with("/p.m3u8")), "{told}");
}

#[test]
fn who_waits_for_a_playlist_that_is_deleted_is_told_so() {
    let origin = settings("");
    // So that a blocked reload would wait for as long as any may.
    origin.store("p.m3u8", media(1, 5, 60, "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES\n"));
    let ask = || Request::new("GET", format!("{}?_HLS_msn=6", origin.path("p.m3u8"))).bearer(&origin.player);
    thread::scope(|scope| {
        let readers: Vec<_> = (0..5).map(|_| scope.spawn(|| ask().send(origin.address))).collect();
        let waiting = eventually(Duration::from_secs(5), || (origin.metric("springhead_held_reads") > 4.5).then_some(()));
        assert!(waiting.is_some());
        let told = Instant::now();
        assert_eq!(Request::new("DELETE", origin.path("p.m3u8")).bearer(&origin.encoder).send(origin.address).status, 204);
        assert!(readers.into_iter().all(|reader| reader.join().unwrap().status == 404));
        assert!(told.elapsed() < Duration::from_secs(20), "{:?}", told.elapsed());
    });
}

#[test]
fn one_more_who_would_wait_is_told_by_which_limit_he_may_not() {
    let origin = settings("max_held = 2");
    origin.store("p.m3u8", media(1, 5, 60, "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES\n"));
    let ask = || Request::new("GET", format!("{}?_HLS_msn=6", origin.path("p.m3u8"))).bearer(&origin.player);
    thread::scope(|scope| {
        let readers: Vec<_> = (0..2).map(|_| scope.spawn(|| ask().send(origin.address))).collect();
        let waiting = eventually(Duration::from_secs(5), || (origin.metric("springhead_held_reads") > 1.5).then_some(()));
        assert!(waiting.is_some());
        let refused = ask().send(origin.address);
        assert_eq!((refused.status, &*refused.problem(), refused.header("retry-after")), (503, "too-many-held", "1"));
        assert!(refused.text().contains("max_held of 2"), "{}", refused.text());
        // Others are not held up, nor is the encoder.
        assert_eq!(origin.get("p.m3u8").status, 200);
        origin.store("p.m3u8", media(2, 6, 60, "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES\n"));
        assert!(readers.into_iter().all(|reader| reader.join().unwrap().text().contains("6.ts")));
    });
}

#[test]
fn a_gate_holds_a_playlist_back_until_its_segments_are_here() {
    let origin = settings("gate = \"10s\"\nhold = \"off\"");
    origin.store("1.ts", "one");
    origin.store("p.m3u8", media(1, 1, 2, ""));
    // The next one; and the first one of an encoder that counts anew.
    for (first, last, newest) in [(1, 2, "2.ts"), (0, 0, "0.ts")] {
        thread::scope(|scope| {
            let writer = scope.spawn(|| origin.put("p.m3u8", media(first, last, 2, "")));
            // It is uploaded, and held back.
            let held = eventually(Duration::from_secs(5), || (origin.metric("springhead_in_flight_bytes") > 800.0).then_some(()));
            assert!(held.is_some(), "{newest}");
            assert!(!origin.get("p.m3u8").text().contains(newest), "readers keep the one before");
            origin.store(newest, "new");
            assert_eq!(writer.join().unwrap().status, 204);
            assert!(origin.get("p.m3u8").text().contains(newest));
        });
    }
    let short = settings("gate = \"300ms\"");
    short.store("p.m3u8", media(1, 1, 2, ""));
    assert!(short.get("p.m3u8").text().contains("1.ts"), "at most this long");
}

#[test]
fn what_a_living_stream_needs_outlives_its_ttl() {
    let origin = settings("hold = \"off\"");
    let put = |key: &str, body: &str| {
        let path = format!("{}?ttl_seconds=2", origin.path(key));
        let answer = Request::new("PUT", path).bearer(&origin.encoder).body(body).send(origin.address);
        assert_eq!(answer.status, 204, "{answer:?}");
    };
    // By relative URIs, and by those that a CDN makes of a namespace at its root: all are the same names.
    let forms = [("live", ""), ("abs", "https://d111111abcdef8.cloudfront.net/abs/v/"), ("rooted", "/rooted/v/")];
    for (folder, base) in forms {
        let child = if base.is_empty() { "v/p.m3u8".to_owned() } else { format!("{base}p.m3u8") };
        put(&format!("{folder}/master.m3u8"), &format!("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1000000\n{child}\n"));
        put(&format!("{folder}/v/init.mp4"), "\0\0\0\x08moov");
        put(&format!("{folder}/v/other.mp4"), "\0\0\0\x08moov");
    }
    for number in 0..12 {
        for (folder, base) in forms {
            let map = format!("#EXT-X-MAP:URI=\"{base}init.mp4\"\n");
            put(&format!("{folder}/v/p.m3u8"), &media(number, number, 1, &map));
        }
        thread::sleep(Duration::from_millis(400));
    }
    for (folder, _) in forms {
        assert_eq!(origin.get(&format!("{folder}/master.m3u8")).status, 200, "{folder}: 4.8 s later");
        assert_eq!(origin.get(&format!("{folder}/v/init.mp4")).status, 200, "{folder}");
        assert_eq!(origin.get(&format!("{folder}/v/other.mp4")).status, 404, "{folder}: which nothing needs");
    }
    // And when the stream ends, they go with it.
    let gone = |key: &str| eventually(Duration::from_secs(8), || (origin.get(key).status == 404).then_some(())).is_some();
    assert!(gone("live/v/p.m3u8") && gone("live/master.m3u8") && gone("live/v/init.mp4"));
}

/// Where the CDN's root is the namespace, as the recipe for CloudFront has it.
#[test]
fn what_stands_under_a_cdns_address_is_ours_if_any_of_it_is_here() {
    let origin = settings("hold = \"400ms\"");
    let forms = [("cdn", "https://cdn.example/live/"), ("root", "/live/"), ("other", "https://elsewhere.example/vod/")];
    let list = |name: &str, base: &str| {
        let segments: String = (1..=4).map(|n| format!("#EXTINF:1,\n{base}{name}{n}.ts\n")).collect();
        format!("#EXTM3U\n#EXT-X-TARGETDURATION:1\n{segments}")
    };
    for (name, base) in forms {
        for n in 1..=3 {
            origin.store(&format!("live/{name}{n}.ts"), "media");
        }
        origin.store(&format!("live/{name}.m3u8"), list(name, base));
    }
    let waits = |key: &str| {
        let begun = Instant::now();
        assert_eq!(origin.get(key).status, 404);
        begun.elapsed() >= Duration::from_millis(400)
    };
    assert!(waits("live/cdn4.ts") && waits("live/root4.ts"), "they are expected");
    let gaps = || -> BTreeSet<String> {
        let lines = origin.log().into_iter().filter(|line| line["message"] == "stream" && line["event"] == "gap");
        lines.map(|line| line["playlist"].as_str().unwrap().to_owned()).collect()
    };
    let told = eventually(Duration::from_secs(15), || (gaps().len() > 1).then(gaps)).expect("what is missing is told");
    assert_eq!(told, BTreeSet::from(["live/cdn.m3u8".to_owned(), "live/root.m3u8".to_owned()]));
    for rendition in streams(&origin)["streams"].as_array().unwrap().iter().flat_map(|it| it["renditions"].as_array().unwrap()) {
        let is_other = rendition["playlist"] == "live/other.m3u8";
        assert_eq!(rendition["last_segment"].is_null(), is_other, "{rendition}");
    }
    for (name, status) in [("cdn", 200), ("root", 200), ("other", 404)] {
        let path = format!("{}?start=0", origin.path(&format!("live/{name}.m3u8")));
        let answer = Request::new("GET", path).bearer(&origin.player).send(origin.address);
        assert_eq!(answer.status, status, "{name}: {}", answer.text());
        assert!(status == 404 || (1..=3).all(|n| answer.text().contains(&format!("/live/{name}{n}.ts\n"))), "{}", answer.text());
    }
    // A key goes to no CDN.
    let read = Request::new("GET", format!("{}?token={}&inherit_token=1", origin.path("live/cdn.m3u8"), origin.player));
    assert!(!read.send(origin.address).text().contains("token"));
}

#[test]
fn a_stream_that_stands_still_is_told_and_on_request_a_404() {
    // Long enough for a busy machine to see it late before it is stale.
    let origin = settings("on_stale = \"404\"\nstale_after = 5\nhold = \"off\"");
    origin.store("live/master.m3u8", "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1000000\np.m3u8\n");
    origin.store("live/vod.m3u8", media(1, 1, 1, "") + "#EXT-X-ENDLIST\n");
    origin.store("live/1.ts", "one");
    origin.store("live/p.m3u8", media(1, 1, 1, ""));
    let fresh = origin.get("live/p.m3u8");
    assert_eq!((fresh.status, fresh.header("last-sequence")), (200, "1"));
    assert!(fresh.header("last-updated").parse::<u64>().unwrap() > 1_700_000_000_000);
    assert_eq!(streams(&origin)["streams"][0]["state"], "live");
    let late = event(&origin, "late");
    assert_eq!((&late["stream"], &late["playlist"]), (&"live/master.m3u8".into(), &"live/p.m3u8".into()));
    event(&origin, "stale");
    let stale = origin.get("live/p.m3u8");
    assert_eq!((stale.status, &*stale.problem(), stale.header("cache-control")), (404, "stale", "no-store"));
    assert_eq!(origin.get("live/master.m3u8").status, 200, "never a multivariant playlist");
    assert_eq!(origin.get("live/vod.m3u8").status, 200, "nor one with an end");
    assert_eq!(streams(&origin)["streams"][0]["renditions"][0]["state"], "stale");
    assert!(origin.metric("springhead_http_requests_total{outcome=\"stale\"}") > 0.5);
    assert!(origin.metric("springhead_renditions{state=\"stale\"}") > 0.5);
    origin.store("live/2.ts", "two");
    origin.store("live/p.m3u8", media(1, 2, 1, ""));
    assert_eq!(origin.get("live/p.m3u8").status, 200, "back at once");
    event(&origin, "recovered");
    let serving = settings("stale_after = 2");
    serving.store("p.m3u8", media(1, 1, 1, ""));
    event(&serving, "stale");
    assert_eq!(serving.get("p.m3u8").status, 200, "unless it is asked for, what there is is served");
}

#[test]
fn a_restart_knows_the_streams_and_how_long_one_has_stood_still() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("springhead.toml");
    std::fs::write(&file, "[namespaces.live-origin]\non_stale = \"404\"\nstale_after = 3\nhold = \"off\"\n").unwrap();
    let mut origin = Origin::start_with(&["--config", file.to_str().unwrap()]);
    let header = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1000000\n";
    for (stream, target) in [("still", 1), ("live", 20)] {
        origin.store(&format!("{stream}/master.m3u8"), format!("{header}v/p.m3u8\n"));
        origin.store(&format!("{stream}/v/1.ts"), "one");
        origin.store(&format!("{stream}/v/p.m3u8"), media(1, 1, target, ""));
    }
    let stale = || (origin.get("still/v/p.m3u8").status == 404).then_some(());
    eventually(Duration::from_secs(8), stale).expect("it is stale");
    let before = origin.get("live/v/p.m3u8");
    let told = |origin: &Origin| {
        let streams = streams(origin);
        let of = |index: usize| {
            let stream = &streams["streams"][index];
            [&stream["stream"], &stream["state"], &stream["renditions"][0]["playlist"]]
                .map(|value| value.as_str().unwrap().to_owned())
        };
        [of(0), of(1)]
    };
    let expected = [["live/master.m3u8", "live", "live/v/p.m3u8"], ["still/master.m3u8", "stale", "still/v/p.m3u8"]];
    let known = || (told(&origin) == expected).then_some(());
    eventually(Duration::from_secs(3), known).expect("it is known before");
    for how in ["TERM", "KILL"] {
        origin.signal(how);
        origin.wait();
        origin.launch();
        assert_eq!(origin.get("still/v/p.m3u8").status, 404, "it stood still before, and does so after {how}");
        let after = origin.get("live/v/p.m3u8");
        assert_eq!((after.status, after.header("last-sequence")), (200, "1"));
        let times = [&before, &after].map(|answer| answer.header("last-updated").parse::<i64>().unwrap());
        assert!((times[0] - times[1]).abs() < 100, "{times:?}");
        let known = || (told(&origin) == expected).then_some(());
        eventually(Duration::from_secs(3), known).unwrap_or_else(|| panic!("after {how}: {}", streams(&origin)));
        assert!(!origin.log().iter().any(|line| line["event"] == "gap"), "what is kept is no gap");
    }
    origin.store("still/v/2.ts", "two");
    origin.store("still/v/p.m3u8", media(1, 2, 1, ""));
    assert_eq!(origin.get("still/v/p.m3u8").status, 200, "back at once");
}

#[test]
fn each_trouble_of_a_stream_is_seen_in_the_api_the_figures_the_log_and_webhooks() {
    let (url, received) = receiver(&[204]);
    let origin = settings(&format!("hold = \"off\"\n[webhooks]\nurls = [\"{url}\"]"));
    let master = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1000\na/p.m3u8\n#EXT-X-STREAM-INF:BANDWIDTH=90000000\nb/p.m3u8\n";
    origin.store("master.m3u8", master);
    let now = |offset: i64| {
        let output = std::process::Command::new("date")
            .args(["-u", "-d", &format!("{offset} seconds"), "+%Y-%m-%dT%H:%M:%S.%3NZ"])
            .output();
        format!("#EXT-X-PROGRAM-DATE-TIME:{}\n", String::from_utf8(output.unwrap().stdout).unwrap().trim())
    };
    let date = now(-5);
    for number in 100..105 {
        origin.store(&format!("a/{number}.ts"), vec![0; 4000]);
        origin.store("a/p.m3u8", media(100, number, 1, &date));
    }
    origin.store("b/100.ts", "b");
    origin.store("b/p.m3u8", media(100, 100, 1, &date));
    event(&origin, "started");
    event(&origin, "drift");
    event(&origin, "bitrate-over");
    origin.store("a/p.m3u8", media(100, 105, 1, ""));
    event(&origin, "gap");
    origin.store("a/p.m3u8", media(100, 104, 1, ""));
    event(&origin, "sequence-back");
    origin.store("a/0.ts", "new");
    origin.store("a/p.m3u8", media(0, 0, 1, ""));
    event(&origin, "counter-restart");
    origin.store("a/0.ts", "newer");
    event(&origin, "name-reused");
    origin.store("b/p.m3u8", "<html>not a playlist</html>");
    let broken = event(&origin, "broken-playlist");
    assert_eq!(broken["playlist"], "b/p.m3u8");
    assert_eq!(origin.get("b/p.m3u8").text(), "<html>not a playlist</html>", "it is stored as it came");
    let delete = Request::new("DELETE", origin.path("a/0.ts")).bearer(&origin.encoder).send(origin.address);
    assert_eq!(delete.status, 204);
    origin.store("c/1.ts", "c");
    origin.store("c/p.m3u8", media(1, 1, 1, &now(60)));
    event(&origin, "clock-drift");
    for number in 1..4 {
        origin.store(&format!("d/{number}.ts"), format!("{number}"));
        origin.store("d/p.m3u8", media(1, number, 1, ""));
    }
    let delete = Request::new("DELETE", origin.path("d/1.ts")).bearer(&origin.encoder).send(origin.address);
    assert_eq!(delete.status, 204);
    // What is listed as a gap was never here.
    let gapped = media(1, 3, 1, "").replacen("#EXTINF", "#EXT-X-GAP\n#EXTINF", 1);
    (2..4).for_each(|number| origin.store(&format!("c/g{number}.ts"), "g"));
    let gapped = gapped.replace("\n1.ts", "\ng1.ts").replace("\n2.ts", "\ng2.ts").replace("\n3.ts", "\ng3.ts");
    let told = eventually(Duration::from_secs(15), || {
        origin.store("c/gapped.m3u8", gapped.clone());
        // A version that is written after the origin has looked, and lists it still.
        origin.store("d/p.m3u8", media(1, 3, 1, ""));
        origin.log().into_iter().find(|line| line["message"] == "stream" && line["event"] == "window-lost")
    });
    assert_eq!(told.expect("a version after the removal still lists it")["playlist"], "d/p.m3u8");
    let slow = format!(
        "PUT {} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Length: 2\r\n\r\na",
        origin.path("e/1.ts"),
        origin.encoder
    );
    let mut wire = Wire::open(origin.address);
    wire.write(slow.as_bytes());
    thread::sleep(Duration::from_millis(1500));
    wire.write(b"b");
    assert_eq!(wire.answer_to("PUT").status, 204);
    origin.store("e/p.m3u8", media(1, 1, 1, ""));
    event(&origin, "slow-upload");
    origin.store("d/p.m3u8", media(1, 3, 1, "") + "#EXT-X-ENDLIST\n");
    event(&origin, "ended");
    let report = streams(&origin);
    let a =
        &report["streams"].as_array().unwrap().iter().find(|stream| stream["stream"] == "master.m3u8").unwrap()["renditions"][0];
    for count in ["gaps", "counter_restarts", "names_reused", "sequence_back"] {
        assert!(a[count].as_u64().unwrap() >= 1, "{count} in {a:#}");
    }
    let told: Vec<String> = origin
        .log()
        .iter()
        .filter(|line| line["message"] == "stream")
        .map(|line| line["event"].as_str().unwrap().to_owned())
        .collect();
    let mut awaited: BTreeSet<String> = told.iter().cloned().collect();
    while !awaited.is_empty() {
        let (_, body) =
            received.recv_timeout(Duration::from_secs(20)).unwrap_or_else(|_| panic!("no webhook tells of {awaited:?}"));
        let event: serde_json::Value = serde_json::from_slice(&body).unwrap();
        awaited.remove(event["event"].as_str().unwrap());
    }
    for name in &told {
        let series = format!("springhead_stream_events_total{{event=\"{name}\"}}");
        assert!(origin.metric(&series) > 0.5, "{name}");
    }
}

#[test]
fn the_time_is_told() {
    let origin = Origin::start();
    let answer = Request::new("GET", "/time").send(origin.address);
    assert_eq!(
        (answer.status, answer.header("cache-control"), answer.header("access-control-allow-origin")),
        (200, "no-store", "*")
    );
    let text = answer.text();
    assert!(text.len() == 24 && text.ends_with('Z') && text.as_bytes()[10] == b'T', "{text}");
}

#[test]
fn a_key_for_a_prefix_reaches_no_further_by_a_playlist() {
    let origin = settings("hold = \"off\"\ngate = \"30s\"");
    let (show, _) = origin.make_key(&["--namespace", NAMESPACE, "--role", "readwrite", "--prefix", "show/"]);
    let put = |key: &str, body: &str, token: &str| {
        let path = format!("{}?ttl_seconds=2", origin.path(key));
        assert_eq!(Request::new("PUT", path).bearer(token).body(body).send(origin.address).status, 204);
    };
    put("secret/init.mp4", "\0\0\0\x08moov", &origin.encoder);
    put("show/init.mp4", "\0\0\0\x08moov", &origin.encoder);
    put("secret/there.ts", "media", &origin.encoder);
    put("show/there.ts", "media", &origin.encoder);
    let list = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-MAP:URI=\"init.mp4\"\n#EXTINF:1,\nthere.ts\n\
                #EXT-X-MAP:URI=\"../secret/init.mp4\"\n#EXTINF:1,\n../secret/there.ts\n#EXTINF:1,\n../secret/missing.ts\n";
    let begun = Instant::now();
    put("show/p.m3u8", list, &show);
    assert!(begun.elapsed() < Duration::from_secs(25), "nothing beyond the prefix is waited for");
    // A window lists what is there, and nothing of what its reader may not read.
    let ask = |token: &str| Request::new("GET", origin.path("show/p.m3u8?last=1h")).bearer(token).send(origin.address).text();
    let seen = ask(&show);
    assert!(seen.contains("\nthere.ts") && !seen.contains("secret/there.ts") && !seen.contains("missing.ts"), "{seen}");
    // And its map is kept for it, the other one is not.
    for _ in 0..12 {
        put("show/p.m3u8", list, &show);
        thread::sleep(Duration::from_millis(400));
    }
    assert_eq!(origin.get("show/init.mp4").status, 200, "4.8 s later");
    assert_eq!(origin.get("secret/init.mp4").status, 404, "it lives as long as its own writer said");
}
