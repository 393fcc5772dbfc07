//! Versions that say something else than the one before them, and texts that players trip over.

use super::{STALE_AFTER, Scene, key};
use crate::hls::texts::{head, listing, segment};

const P: &str = "a/p.m3u8";

/// What is told of this version after that one, without the start.
fn told(before: &str, after: &str) -> Vec<String> {
    let mut scene = Scene::new();
    scene.playlist(P, before);
    assert_eq!(scene.look(), ["started a/p.m3u8"], "{before}");
    scene.pass(1.0);
    scene.playlist(P, after);
    scene.look().into_iter().map(|event| event.strip_suffix(" a/p.m3u8").unwrap().to_owned()).collect()
}

#[test]
fn what_contradicts_the_version_before_is_told() {
    let list = |first: u64, names: std::ops::Range<u64>| listing(&head(first), "s", names);
    let event = |first: u64, last: u64| listing(&format!("{}#EXT-X-PLAYLIST-TYPE:EVENT\n", head(first)), "s", first..last);
    assert_eq!(told(&list(1, 1..5), &list(2, 2..6)), [""; 0]);
    assert_eq!(told(&list(1, 1..5), &list(2, 12..16)), ["segment-changed"]);
    assert_eq!(told(&list(1, 1..5), &list(5, 1..5)), ["sequence-shifted"]);
    assert_eq!(told(&list(1, 1..5), &list(0, 1..5)), ["sequence-shifted"], "and no restart");
    assert_eq!(told(&list(1, 1..5), &list(20, 20..24)), ["sequence-hole"]);
    assert_eq!(told(&list(1, 1..5), &list(2, 2..6).replace("DURATION:2", "DURATION:7")), ["target-changed"]);
    assert_eq!(told(&event(1, 5), &event(3, 7)), ["event-shortened"]);
    assert_eq!(told(&event(1, 5), &event(1, 9)), [""; 0]);
    // Far behind the last ones.
    let long = event(1, 301);
    assert_eq!(told(&long, &event(1, 304)), [""; 0]);
    assert_eq!(told(&long, &event(1, 304).replace("s7.ts", "other.ts")), ["segment-changed"]);
    assert_eq!(told(&long, &event(1, 304).replacen("#EXTINF:2,\ns7.ts\n", "", 1)), ["event-shortened", "sequence-shifted"]);
    assert_eq!(told(&long, &event(1, 301).replacen("#EXTINF:2,\ns7.ts\n", "", 1)), ["event-shortened", "sequence-shifted"]);
    assert_eq!(told(&long, &event(1, 304).replace("s299.ts", "other.ts")), ["segment-changed"], "told by its number, and once");
    assert_eq!(told(&long, &list(1, 1..304)), [""; 0], "what is no EVENT any more is judged as what it is");
    let broken = list(1, 1..5).replace("#EXTINF:2,\ns2", "#EXT-X-DISCONTINUITY\n#EXTINF:2,\ns2");
    assert_eq!(told(&broken, &list(3, 3..7)), ["discontinuity-lost"]);
    let counted = list(3, 3..7).replace("#EXTINF:2,\ns3", "#EXT-X-DISCONTINUITY-SEQUENCE:1\n#EXTINF:2,\ns3");
    assert_eq!(told(&broken, &counted), [""; 0]);
}

#[test]
fn a_second_encoder_on_one_name_enters_the_history_with_a_break() {
    let mut scene = Scene::new();
    scene.playlist(P, &listing(&head(1), "one-", 1..5));
    scene.pass(2.0);
    let noted = scene.playlist(P, &listing(&head(1), "two-", 1..5));
    assert!(scene.look().contains(&"segment-changed a/p.m3u8".to_owned()));
    assert!(!noted.liveness.is_stale(scene.clock.now(), 1));
    scene.pass(2.0);
    scene.playlist(P, &listing(&head(2), "two-", 2..6));
    let stretch = scene.live.stretch(&key(P), None, None).unwrap();
    let listed: Vec<_> = stretch.listed.iter().map(|listed| (&*listed.uri, listed.discontinuity)).collect();
    let names = ["one-1.ts", "one-2.ts", "one-3.ts", "one-4.ts", "two-1.ts", "two-2.ts", "two-3.ts", "two-4.ts", "two-5.ts"];
    assert_eq!(listed, names.map(|name| (name, name == "two-1.ts")));
    assert_eq!(scene.report()[0].renditions[0].counts.contradictions, 1);
}

#[test]
fn a_window_without_media_sequence_lives_by_what_is_new_in_it() {
    let mut scene = Scene::new();
    let head = crate::hls::texts::HEAD;
    for first in 0..20 {
        let noted = scene.playlist(P, &listing(head, "", first..first + 4));
        scene.pass(2.0);
        assert!(!noted.liveness.is_stale(scene.clock.now(), STALE_AFTER));
        assert!(!scene.look().iter().any(|told| told.starts_with("late") || told.starts_with("counter-restart")));
    }
    let stretch = scene.live.stretch(&key(P), None, None).unwrap();
    let listed: Vec<_> = stretch.listed.iter().map(|listed| listed.uri.to_string()).collect();
    assert_eq!(listed, (0..23).map(|number| format!("{number}.ts")).collect::<Vec<_>>());
    assert!(!stretch.listed.iter().any(|listed| listed.discontinuity));
    // It stands still as any other.
    scene.pass(4.5);
    scene.playlist(P, &listing(head, "", 19..23));
    assert_eq!(scene.look(), ["stale a/p.m3u8"]);
}

#[test]
fn what_players_trip_over_is_a_fault_of_its_playlist() {
    let list = listing(&head(1), "s", 1..5);
    for (text, said) in [
        (list.replace("#EXTINF:2,\ns1", "#EXT-X-MEDIA-SEQUENCE:9\n#EXTINF:2,\ns1"), "EXT-X-MEDIA-SEQUENCE for the second time"),
        (format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n{}#EXT-X-MEDIA-SEQUENCE:0\n", segment("a.ts")), "after the first segment"),
        (
            format!("{list}#EXT-X-DISCONTINUITY-SEQUENCE:0\n"),
            "EXT-X-DISCONTINUITY-SEQUENCE after the first segment: hls.js stops",
        ),
        (format!("\n{list}"), "does not come first"),
        (format!("\u{feff}{list}"), "does not come first"),
        (list.replace("#EXTINF:2,\ns3", "#EXTINF:2.6,\ns3"), "longer than EXT-X-TARGETDURATION"),
    ] {
        let mut scene = Scene::new();
        scene.playlist(P, &text);
        assert_eq!(scene.look(), ["broken-playlist a/p.m3u8", "started a/p.m3u8"], "{text}");
        let fault = scene.report()[0].renditions[0].fault.clone().unwrap();
        assert!(fault.contains(said), "{fault}");
    }
}

#[test]
fn faults_of_multivariant_playlists_are_told_and_mended() {
    let good = "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"en\",URI=\"en.m3u8\"\n\
                #EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"de\",URI=\"de.m3u8\"\n\
                #EXT-X-STREAM-INF:BANDWIDTH=1000,AUDIO=\"a\",CLOSED-CAPTIONS=NONE\na/p.m3u8\n\
                #EXT-X-STREAM-INF:BANDWIDTH=2000,AUDIO=\"a\"\nb/p.m3u8\n";
    let subtitles = |more: &str| {
        good.replace("#EXT-X-STREAM", &format!("#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"s\",NAME=\"x\"{more}\n#EXT-X-STREAM"))
    };
    for (text, words) in [
        (good.replace("BANDWIDTH=1000,", ""), "line 5: EXT-X-STREAM-INF has no BANDWIDTH"),
        (good.replace("a/p.m3u8\n", ""), "line 5: EXT-X-STREAM-INF without a URI"),
        (good.replace("b/p.m3u8\n", ""), "line 7: EXT-X-STREAM-INF without a URI"),
        (good.replace("2000,AUDIO=\"a\"", "2000,AUDIO=\"b\""), "line 7: AUDIO names a group"),
        (good.replace("2000,AUDIO=\"a\"", "2000,VIDEO=\"a\""), "line 7: VIDEO names a group"),
        (good.replace("2000,AUDIO=\"a\"", "2000,CLOSED-CAPTIONS=\"c\""), "line 7: CLOSED-CAPTIONS names a group"),
        (good.replace("NAME=\"de\"", "NAME=\"en\""), "line 4: two EXT-X-MEDIA of one group with the same NAME"),
        (good.replace(",NAME=\"de\"", ""), "line 4: EXT-X-MEDIA has no NAME"),
        (good.replace("GROUP-ID=\"a\",NAME=\"de\"", "NAME=\"de\""), "line 4: EXT-X-MEDIA has no GROUP-ID"),
        (subtitles(""), "EXT-X-MEDIA has no URI"),
        (good.replace("VERSION:6\n", "VERSION:6\n#EXT-X-VERSION:7\n"), "line 3: EXT-X-VERSION for the second time"),
        (format!("{good}#EXT-X-ENDLIST\n"), "line 9: EXT-X-ENDLIST is a tag of media playlists"),
        (format!("\n{good}"), "line 1: #EXTM3U does not come first"),
        (format!("{good}#EXTINF:2,\nx.ts\n"), "line 9: tags of a media playlist and of a multivariant playlist in one"),
    ] {
        let mut scene = Scene::new();
        let fault = |scene: &Scene| {
            let report = scene.report();
            report.iter().find(|stream| stream.stream == "m.m3u8").and_then(|stream| stream.fault.clone())
        };
        scene.playlist("m.m3u8", good);
        assert_eq!((scene.look(), fault(&scene)), (vec![], None));
        let noted = scene.playlist("m.m3u8", &text);
        assert_eq!(scene.look(), ["broken-playlist m.m3u8"], "{words}");
        assert!(
            fault(&scene).unwrap().starts_with(words) || fault(&scene).unwrap().contains(words),
            "{words}: {:?}",
            fault(&scene)
        );
        assert!(!noted.liveness.is_stale(scene.clock.now(), STALE_AFTER));
        scene.playlist("m.m3u8", &text);
        assert_eq!(scene.look(), [""; 0], "told once");
        assert!(
            scene.live.awaits(scene.clock.both(), &key("b/p.m3u8")).is_some() || words.contains("line 7"),
            "its children are known"
        );
        scene.playlist("m.m3u8", good);
        assert_eq!((scene.look(), fault(&scene)), (vec![], None), "{words}");
    }
}

/// The troubles of the stream of this name, its renditions' among them, and what is said to be wrong with the first that is.
fn troubles(scene: &Scene, name: &str) -> (Vec<&'static str>, String) {
    let stream = scene.report().into_iter().find(|stream| stream.stream == name).unwrap();
    let of_renditions = stream.renditions.iter().flat_map(|rendition| rendition.troubles.clone());
    let fault = stream.fault.clone().or_else(|| stream.renditions.iter().find_map(|rendition| rendition.fault.clone()));
    (stream.troubles.iter().copied().chain(of_renditions).collect(), fault.unwrap_or_default())
}

#[test]
fn all_faults_of_a_version_are_told_at_once_and_are_troubles_as_long_as_they_are_there() {
    let mut scene = Scene::new();
    let master = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=0\na/p.m3u8\n#EXT-X-STREAM-INF:BANDWIDTH=1,AUDIO=\"x\"\nb/p.m3u8\n\
                  #EXT-X-STREAM-INF:RESOLUTION=1x1\nc/p.m3u8\n#EXT-X-ENDLIST\n";
    scene.playlist("m.m3u8", master);
    assert_eq!(scene.look(), ["broken-playlist m.m3u8"]);
    let (found, words) = troubles(&scene, "m.m3u8");
    assert_eq!(found, ["broken-playlist"]);
    for part in [
        "lines 2, 6: EXT-X-STREAM-INF has no BANDWIDTH",
        "line 8: EXT-X-ENDLIST is a tag of media",
        "line 4: AUDIO names a group",
    ] {
        assert!(words.contains(part), "{words}");
    }
    scene.playlist("m.m3u8", crate::hls::texts::MASTER);
    assert_eq!(troubles(&scene, "m.m3u8"), (vec![], String::new()));
    // Of a media playlist, whose lines are others in each version: a kind of fault that is new is told, and no other.
    let media = |number: u64, length: &str| {
        listing(&head(number), "s", number..number + 4).replace("#EXTINF:2,", &format!("#EXTINF:{length},"))
    };
    let mut told = Vec::new();
    for (number, text) in [
        (1, media(1, "2.6")),
        (2, media(2, "2.6")),
        (3, format!("\n{}", media(3, "2.6"))),
        (4, format!("\n{}", media(4, "2.6"))),
        (5, media(5, "2.5")),
    ] {
        scene.playlist(P, &text);
        told.extend(scene.look().into_iter().filter(|event| event.starts_with("broken")).map(|event| (number, event)));
        let is_broken = troubles(&scene, "m.m3u8").0.contains(&"broken-playlist");
        assert_eq!(is_broken, number < 5, "{number}");
        scene.pass(31.0);
    }
    assert_eq!(told, [1, 3].map(|number| (number, "broken-playlist a/p.m3u8".to_owned())));
}

#[test]
fn what_plays_nowhere_is_not_live_without_troubles() {
    let nothing_listed = format!("{}#EXT-X-PLAYLIST-TYPE:EVENT\n", head(1));
    for (name, text, words) in [
        ("m.m3u8", "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"a\",URI=\"a/p.m3u8\"\n", "no variant is in it"),
        ("m.m3u8", "#EXTM3U\n#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=1,URI=\"a/p.m3u8\"\n", "no variant is in it"),
        ("p.mpd", "<MPD type='dynamic' minimumUpdatePeriod='PT2S'><Period/></MPD>", "no Representation is in it"),
        (P, nothing_listed.as_str(), "it lists no segment"),
    ] {
        let mut scene = Scene::new();
        scene.playlist(name, text);
        let (found, said) = troubles(&scene, name);
        assert!(found.contains(&"broken-playlist") && said.contains(words), "{text}: {found:?} {said}");
    }
    let mut scene = Scene::new();
    scene.playlist("p.mpd", "<MPD type='dynamic' minimumUpdatePeriod='PT2S'><Period xlink:href='period.xml'/></MPD>");
    assert_eq!(troubles(&scene, "p.mpd"), (vec![], String::new()), "what it names stands elsewhere");
}

#[test]
fn segments_that_are_listed_and_did_not_come_are_a_trouble_until_they_have_left_the_list() {
    let mut scene = Scene::new();
    let mut seen = Vec::new();
    for number in 1..16 {
        // Of the playlist's uploads none is refused, of the segments' three are.
        if !(5..8).contains(&number) {
            scene.segment(&format!("a/{number}.ts"), "x", 1, std::time::Duration::ZERO);
        }
        scene.media(P, number, "");
        scene.pass(2.0);
        let _ = scene.look();
        seen.push((number, troubles(&scene, P).0.contains(&"gap")));
    }
    // The list has five. The last of those that are lost is in it until the twelfth.
    assert_eq!(seen, (1..16).map(|number| (number, (5..12).contains(&number))).collect::<Vec<_>>());
}

#[test]
fn a_name_is_followed_as_what_it_is_now() {
    let mut scene = Scene::new();
    scene.playlist("m.m3u8", "<html>");
    assert_eq!(scene.look(), ["broken-playlist m.m3u8"]);
    scene.playlist("m.m3u8", crate::hls::texts::MASTER);
    scene.pass(60.0);
    assert!(!scene.look().iter().any(|told| told.ends_with(" m.m3u8")), "a multivariant playlist stands as it is");
    assert_eq!(scene.report().len(), 1);
    scene.playlist("m.m3u8", &listing(&head(1), "", 1..4));
    let report = scene.report();
    assert_eq!((report.len(), report[0].renditions[0].playlist.as_str()), (1, "m.m3u8"));
    assert!(scene.live.awaits(scene.clock.both(), &key("a/p.m3u8")).is_none(), "it names nothing any more");
}
