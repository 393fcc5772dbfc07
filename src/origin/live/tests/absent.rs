//! What is not there and should be, what only seems so, and how it ends.

use super::{LIMITS, Readership, Scene, TTL, key, seconds, understand};
use crate::hls::texts::{MASTER, head, listing};
use crate::model::id::{Namespace, ObjectId};
use crate::model::kind::Kind;
use crate::model::liveness::Standing;
use http::HeaderValue;

impl Scene {
    pub(super) fn troubles(&self, playlist: &str) -> Vec<&'static str> {
        let report = self.report();
        report.iter().flat_map(|stream| &stream.renditions).find(|one| one.playlist == playlist).unwrap().troubles.clone()
    }

    /// What was kept since then, by an earlier process.
    pub(super) fn kept(&self, name: &str, text: &str, before: f64) {
        let object = ObjectId { namespace: Namespace::parse("live").unwrap(), key: key(name) };
        let understood = understand(Kind::of(&object.key, text.as_bytes()), text.as_bytes(), || None);
        let now = self.clock.both();
        let written = self.clock.past(now.wall - seconds(before));
        let etag = HeaderValue::from_static("\"kept\"");
        self.live.kept(written, &object, &understood, (&etag, now.moment + TTL), |_| Some(etag.clone()));
    }
}

#[test]
fn a_token_is_lost_by_uris_that_are_not_relative_where_there_are_any() {
    let told = |scene: &mut Scene, base: &str, last: u64| {
        scene.segment(&format!("a/{last}.ts"), &last.to_string(), 10, seconds(0.1));
        scene.playlist("a/p.m3u8", &listing(&head(0), base, 0..=last));
        scene.pass(2.0);
        scene.look().into_iter().filter(|told| told.starts_with("child")).collect::<Vec<_>>()
    };
    let lost = ["child-loses-token a/p.m3u8"];
    for (base, is_lost) in [("/cache/live/a/", true), ("https://cdn.example/a/", true), ("", false), ("../a/", false)] {
        let mut scene = Scene::new();
        assert!(told(&mut scene, base, 0).is_empty(), "without viewers' tokens that is nobody's trouble: {base}");
        scene.has_viewers = true;
        assert_eq!(told(&mut scene, base, 1) == lost, is_lost, "{base}");
        assert!(told(&mut scene, base, 2).is_empty(), "told once: {base}");
        assert_eq!(!scene.troubles("a/p.m3u8").is_empty(), is_lost, "{base}");
        assert!(told(&mut scene, "", 3).is_empty() && scene.troubles("a/p.m3u8").is_empty(), "{base}");
    }
}

#[test]
fn an_initialisation_segment_and_a_key_that_are_named_have_to_be_here() {
    let mut scene = Scene::new();
    let named = format!("{}#EXT-X-MAP:URI=\"i.mp4\"\n#EXT-X-KEY:METHOD=AES-128,URI=\"k.key\"\n", head(0));
    for number in 0..4 {
        scene.segment(&format!("a/{number}.ts"), &number.to_string(), 10, seconds(0.1));
        scene.playlist("a/p.m3u8", &listing(&named, "", 0..=number));
        let told = scene.look();
        let expected: &[&str] = match number {
            0 => &["started a/p.m3u8"],
            1 => &["init-missing a/p.m3u8", "key-missing a/p.m3u8"],
            _ => &[],
        };
        assert_eq!(told, expected, "{number}: not at once, and told once");
        scene.pass(2.0);
    }
    assert_eq!(scene.troubles("a/p.m3u8"), ["init-missing", "key-missing"]);
    scene.segment("a/i.mp4", "i", 10, seconds(0.1));
    scene.segment("a/k.key", "k", 10, seconds(0.1));
    let _ = scene.look();
    assert!(scene.troubles("a/p.m3u8").is_empty());
}

#[test]
fn what_a_multivariant_playlist_names_has_to_come() {
    let mut scene = Scene::new();
    scene.playlist("master.m3u8", MASTER);
    for number in 0..7 {
        scene.turn("a", number);
        let told = scene.look();
        assert_eq!(told.contains(&"rendition-missing b/p.m3u8".to_owned()), number == 5, "{number}: {told:?}");
        scene.pass(2.0);
    }
    let report = scene.report().remove(0);
    assert_eq!(
        (report.state, report.troubles, report.missing),
        (Standing::Live, vec!["rendition-missing"], vec!["b/p.m3u8".to_owned()])
    );
    scene.turn("b", 0);
    let _ = scene.look();
    assert!(scene.report()[0].troubles.is_empty());
    // One of which no variant ever came plays nowhere; one that is over is over.
    scene.playlist("never/master.m3u8", MASTER);
    scene.pass(11.0);
    let _ = scene.look();
    let state = |scene: &Scene, name: &str| scene.report().into_iter().find(|stream| stream.stream == name).unwrap().state;
    assert_eq!(state(&scene, "never/master.m3u8"), Standing::Stale);
    for name in ["a/p.m3u8", "b/p.m3u8"] {
        scene.remove(name);
    }
    assert!(!scene.look().iter().any(|told| told.starts_with("rendition-missing a") || told.starts_with("rendition-missing b")));
    assert_eq!(state(&scene, "master.m3u8"), Standing::Ended);
}

/// Under a CDN's address it is ours if anything under that is.
#[test]
fn what_stands_under_another_host_is_missed_where_that_host_is_a_cdn_of_ours() {
    for (host_of_b, is_missed) in [("https://CDN.example/", true), ("https://other.example/", false)] {
        let mut scene = Scene::new();
        let by = |name: &str, host: &str| (format!("\n{name}"), format!("\n{host}{name}"));
        let [a, b] = [by("a/p.m3u8", "https://cdn.example/"), by("b/p.m3u8", host_of_b)];
        let master = MASTER.replace(&a.0, &a.1).replace(&b.0, &b.1);
        assert_eq!(master.matches("https://").count(), 2, "{master}");
        scene.playlist("master.m3u8", &master);
        let mut told = Vec::new();
        for number in 0..7 {
            scene.turn("a", number);
            told.extend(scene.look());
            scene.pass(2.0);
        }
        assert_eq!(told.contains(&"rendition-missing b/p.m3u8".to_owned()), is_missed, "{told:?}");
    }
}

#[test]
fn an_mpd_whose_initialisation_segment_or_representation_never_came_is_in_trouble() {
    let mut scene = Scene::new();
    let sets = ["v", "a"].map(|id| {
        format!("<AdaptationSet><SegmentTemplate duration='2' initialization='{id}.mp4' media='{id}-$Number$'/><Representation id='{id}'/></AdaptationSet>")
    });
    scene.playlist("p.mpd", &format!("<MPD type='dynamic'><Period>{}</Period></MPD>", sets.concat()));
    scene.segment("v.mp4", "init", 1, seconds(0.1));
    let mut told = Vec::new();
    for number in 0..8 {
        scene.segment(&format!("v-{number}"), "x", 1, seconds(0.1));
        scene.pass(2.0);
        told.extend(scene.look());
    }
    assert_eq!(told, ["started p.mpd", "init-missing p.mpd", "rendition-missing p.mpd"]);
    assert_eq!(scene.troubles("p.mpd"), ["init-missing", "rendition-missing"]);
    scene.segment("a.mp4", "init", 1, seconds(0.1));
    scene.segment("a-7", "x", 1, seconds(0.1));
    let _ = scene.look();
    assert!(scene.troubles("p.mpd").is_empty());
}

#[test]
fn old_state_is_no_news() {
    let mut scene = Scene::new();
    scene.pass(1000.0);
    for number in 0..3 {
        scene.stored.insert(key(&format!("a/{number}.ts")), HeaderValue::from_static("\"kept\""));
    }
    scene.kept("a/p.m3u8", &listing(&head(0), "", 0..3), 60.0);
    scene.kept("p.mpd", "<MPD type='dynamic'><Period><AdaptationSet><SegmentTemplate duration='2' media='$Number$'/><Representation/></AdaptationSet></Period></MPD>", 600.0);
    scene.live.had_come(&[], scene.clock.both());
    assert_eq!(scene.look(), Vec::<String>::new());
    let states: Vec<_> = scene.report().iter().map(|stream| stream.state).collect();
    assert_eq!(states, [Standing::Stale, Standing::Live], "an MPD is not written for each of its segments");
    assert!(!scene.counts("started") && !scene.counts("stale"));
    // What changes from there on is told.
    scene.pass(7.0);
    assert_eq!(scene.look(), ["stale p.mpd"]);
    scene.segment("a/3.ts", "x", 1, seconds(0.1));
    scene.playlist("a/p.m3u8", &listing(&head(0), "", 0..4));
    assert_eq!(scene.look(), ["recovered a/p.m3u8"]);
}

#[test]
fn an_mpd_is_as_old_after_a_restart_as_the_last_of_its_segments() {
    let mpd = |folder: &str| {
        let set = |name: &str| {
            format!(
                "<AdaptationSet><SegmentTemplate duration='2' media='{folder}-{name}$Number$'/><Representation/></AdaptationSet>"
            )
        };
        format!("<MPD type='dynamic'><Period>{}{}</Period></MPD>", set("v"), set("a"))
    };
    let mut scene = Scene::new();
    scene.pass(10_000.0);
    let ago = |scene: &Scene, before: f64| scene.clock.past(scene.clock.wall() - seconds(before));
    for name in ["dead", "alive", "unknown"] {
        scene.kept(&format!("{name}.mpd"), &mpd(name), 3600.0);
    }
    let came = [("dead-v1", 500.0), ("dead-a1", 499.0), ("alive-v8", 3.0), ("alive-a8", 2.0), ("other", 1.0)];
    let came = came.map(|(name, before)| (key(name), ago(&scene, before)));
    scene.live.had_come(&came, scene.clock.both());
    assert_eq!(scene.look(), [""; 0], "that is no news");
    let stands = |scene: &Scene| scene.report().iter().map(|stream| (stream.stream.clone(), stream.state)).collect::<Vec<_>>();
    let expected = [("alive.mpd", Standing::Live), ("dead.mpd", Standing::Stale), ("unknown.mpd", Standing::Live)];
    assert_eq!(stands(&scene), expected.map(|(name, state)| (name.to_owned(), state)));
    // A version that is heard of once more, because the one after it was not stored after all.
    scene.segment("dead-v2", "x", 1, seconds(0.1));
    assert_eq!(scene.look(), ["recovered dead.mpd"]);
    scene.live.had_come(&came, scene.clock.both());
    assert_eq!(scene.look(), [""; 0]);
}

#[test]
fn what_another_process_has_stored_is_no_gap() {
    let mut scene = Scene::new();
    scene.turn("a", 1);
    scene.pass(1.0);
    scene.media("a/p.m3u8", 2, "");
    scene.pass(2.0);
    let events = scene.live.look(scene.clock.both(), LIMITS, false, |_| true, |_| false, |_| Readership::None);
    assert!(!events.iter().any(|event| event.event == "gap"));
    assert_eq!(scene.report()[0].renditions[0].counts.gaps, 0);
}

/// A server that begins empty in the middle of a stream: after a restart without a durable tier, or beside the one that had it so far.
#[test]
fn what_was_listed_before_the_server_began_is_no_window_that_is_lost() {
    let mut scene = Scene::new();
    let lost = "window-lost a/p.m3u8".to_owned();
    let write = |scene: &mut Scene, number: u64| {
        scene.segment(&format!("a/{number}.ts"), &number.to_string(), 1, seconds(0.1));
        scene.playlist("a/p.m3u8", &listing(&head(number - 9), "", number - 9..=number));
        scene.pass(2.0);
        scene.look()
    };
    scene.segment("a/8.ts", "8", 1, seconds(0.1));
    for number in 9..25 {
        let told = write(&mut scene, number);
        assert!(!told.contains(&lost), "{number}: {told:?}");
    }
    scene.stored.remove(&key("a/16.ts"));
    scene.stored.remove(&key("a/17.ts"));
    let told = [25, 26, 27].map(|number| write(&mut scene, number));
    assert!(told.concat().contains(&lost), "{told:?}");
}

#[test]
fn a_known_gap_is_no_window_that_is_lost() {
    let mut scene = Scene::new();
    for number in 0..12 {
        if number != 3 {
            scene.segment(&format!("a/{number}.ts"), &number.to_string(), 1, seconds(0.1));
        }
        scene.media("a/p.m3u8", number, "");
        scene.pass(2.0);
        let told = scene.look();
        assert!(!told.contains(&"window-lost a/p.m3u8".to_owned()), "{number}: {told:?}");
    }
    assert_eq!(scene.report()[0].renditions[0].counts.gaps, 1);
}

#[test]
fn renditions_are_held_against_each_other_by_what_they_play_and_not_by_their_numbers() {
    let mut scene = Scene::new();
    let master = "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"en\",URI=\"audio.m3u8\"\n\
                  #EXT-X-STREAM-INF:BANDWIDTH=900000,AUDIO=\"a\"\nvideo.m3u8\n#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=1,URI=\"frames.m3u8\"\n";
    scene.playlist("master.m3u8", master);
    let write = |scene: &mut Scene, number: u64, audio: u64| {
        let exact = |text: String| text.replace("INF:2,", "INF:2.000,");
        scene.playlist("video.m3u8", &exact(listing(&head(number), "v", number..number + 3)));
        scene.playlist("audio.m3u8", &exact(listing(&head(500 + audio), "a", audio..audio + 3)));
        let frames = listing(&head(number * 4), "f", number * 4..number * 4 + 12).replace("INF:2,", "INF:0.5,");
        scene.playlist("frames.m3u8", &frames);
        scene.pass(2.0);
        let mut told = scene.look();
        told.retain(|event| event.starts_with("drift"));
        told
    };
    for number in 0..12 {
        assert!(write(&mut scene, number, number).is_empty(), "{number}");
    }
    // The sound goes on at half its pace.
    let told: Vec<_> = (12..40).flat_map(|number| write(&mut scene, number, 12 + (number - 12) / 2)).collect();
    assert_eq!(told, ["drift audio.m3u8"]);
}

#[test]
fn what_never_comes_back_has_an_end() {
    let mut scene = Scene::new();
    let long = |scene: &Scene| scene.clock.now() + TTL * 24;
    scene.turn("a", 1);
    scene.live.state.lock().renditions.get_mut(&key("a/p.m3u8")).unwrap().expires = long(&scene);
    scene.turn("b", 1);
    scene.pass(10.0);
    assert_eq!(scene.look(), ["stale a/p.m3u8", "stale b/p.m3u8", "started a/p.m3u8", "started b/p.m3u8"]);
    scene.remove("b/p.m3u8");
    assert_eq!(scene.look(), ["gone b/p.m3u8"]);
    scene.pass(3600.0);
    assert_eq!(scene.look(), ["gone a/p.m3u8"]);
    assert_eq!(scene.report()[0].state, Standing::Ended);
    scene.pass(3600.0);
    assert_eq!(scene.look(), Vec::<String>::new());
    scene.turn("a", 2);
    assert_eq!(scene.look(), ["recovered a/p.m3u8"]);
    // And one that outlives its time to live while it stands still.
    scene.pass(20.0);
    let _ = scene.look();
    scene.live.state.lock().renditions.get_mut(&key("a/p.m3u8")).unwrap().expires = scene.clock.now();
    assert_eq!(scene.look(), ["gone a/p.m3u8"]);
}

/// What is told of a playlist that two multivariant ones name is told of one of them: always of the same.
#[test]
fn a_playlist_that_two_name_belongs_to_the_first_however_often_the_others_are_written() {
    let mut scene = Scene::new();
    let master = |bandwidth: u64| format!("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH={bandwidth}\na.m3u8\n");
    scene.playlist("one.m3u8", &master(1));
    scene.playlist("two.m3u8", &master(1));
    for bandwidth in 2..5 {
        for name in ["one.m3u8", "two.m3u8"] {
            scene.playlist(name, &master(bandwidth));
            assert_eq!(scene.live.stream_of(&key("a.m3u8")), key("one.m3u8"), "{name} {bandwidth}");
        }
    }
    scene.playlist("one.m3u8", &master(9).replace("a.m3u8", "b.m3u8"));
    assert_eq!(scene.live.stream_of(&key("a.m3u8")), key("two.m3u8"));
}
