//! MPDs: what keeps one alive, and for how long.

use super::{STALE_AFTER, Scene, key, seconds};
use crate::model::clock::WallTime;
use crate::model::liveness::Standing;

const TEMPLATE: &str = "timescale=\"1000\" initialization=\"init\"";

fn mpd(head: &str, base: &str, segments: &str) -> String {
    format!(
        "<MPD type=\"dynamic\" {head}>{base}<Period><AdaptationSet>{segments}<Representation id=\"v\" bandwidth=\"1\"/>\
         </AdaptationSet></Period></MPD>"
    )
}

impl Scene {
    fn stands(&self, name: &str) -> Standing {
        let report = self.report();
        report.iter().find(|stream| stream.stream == name).unwrap().state
    }

    fn came(&mut self, name: &str) {
        let now = self.clock.wall().millis().to_string();
        self.segment(name, &now, 1000, seconds(0.1));
    }
}

#[test]
fn a_segment_is_what_the_template_says() {
    for (base, media, segment) in [
        ("", "v-$Number$.m4s", "a/v-7.m4s"),
        ("<BaseURL>../media/</BaseURL>", "v-$Number$.m4s", "media/v-7.m4s"),
        ("", "v-$Number%06d$.webm", "a/v-000007.webm"),
        ("", "$RepresentationID$/$Number$", "a/v/7"),
        ("", "v/$Time$", "a/v/90000"),
        ("", "$Number$/v-$Number$.dash", "a/7/v-7.dash"),
    ] {
        let mut scene = Scene::new();
        let text = mpd("", base, &format!("<SegmentTemplate {TEMPLATE} duration=\"1000\" media=\"{media}\"/>"));
        scene.came("a/init");
        scene.came("media/init");
        let noted = scene.playlist("a/p.mpd", &text);
        assert_eq!(scene.look(), ["started a/p.mpd"]);
        for _ in 0..8 {
            scene.pass(1.0);
            // The same name again and again, for it is of the one template.
            scene.came(segment);
            // What else lies beside it is none of its segments.
            scene.came("a/x-7.m4s");
            scene.came("a/deeper/v-7.m4s");
        }
        // Which names are segments' is told by how they end.
        let told = if segment.ends_with(".m4s") || segment.ends_with(".webm") { vec!["name-reused a/p.mpd"] } else { Vec::new() };
        assert_eq!(scene.look(), told, "{media}");
        assert!(!noted.liveness.is_stale(scene.clock.now(), STALE_AFTER));
        for _ in 0..4 {
            scene.pass(1.0);
            scene.came("a/x-7.m4s");
            scene.came("a/init");
            scene.playlist("a/p.mpd", &text);
        }
        let _ = scene.look();
        assert_eq!(scene.stands("a/p.mpd"), Standing::Stale, "{media}");
        assert!(noted.liveness.is_stale(scene.clock.now(), STALE_AFTER));
    }
}

#[test]
fn a_segment_is_as_long_as_the_manifest_says_whatever_its_update_period() {
    let timeline = "<SegmentTimeline><S t=\"0\" d=\"4000\" r=\"2\"/></SegmentTimeline>";
    for (head, duration, inside) in
        [("minimumUpdatePeriod=\"PT1S\"", "duration=\"4000\"", ""), ("minimumUpdatePeriod=\"PT8M20S\"", "", timeline)]
    {
        let mut scene = Scene::new();
        let template = format!("<SegmentTemplate {TEMPLATE} media=\"$Number$\" {duration}>{inside}</SegmentTemplate>");
        scene.came("a/init");
        let noted = scene.playlist("a/p.mpd", &mpd(head, "", &template));
        let _ = scene.look();
        for number in 0..4 {
            scene.pass(4.0);
            assert_eq!(scene.look(), Vec::<String>::new(), "{head}");
            scene.came(&format!("a/{number}"));
        }
        scene.pass(12.5);
        assert_eq!(scene.look(), ["stale a/p.mpd"], "{head}");
        assert!(noted.liveness.is_stale(scene.clock.now(), STALE_AFTER));
    }
}

#[test]
fn a_template_that_goes_on_keeps_its_manifest_and_initialisation_segment() {
    let mut scene = Scene::new();
    scene.playlist("a/p.mpd", &mpd("", "", &format!("<SegmentTemplate {TEMPLATE} duration=\"2000\" media=\"$Number$\"/>")));
    for number in 0..4000 {
        scene.pass(2.0);
        scene.came(&format!("a/{number}"));
        assert_eq!(scene.renewed, [key("a/p.mpd"), key("a/init")]);
    }
    assert_eq!(scene.look(), ["started a/p.mpd"], "longer than its time to live, and it is followed still");
    scene.came("a/4000");
    assert!(scene.renewed.is_empty(), "not with each one of many");
    scene.playlist("a/p.mpd", "<MPD/>");
    scene.pass(2.0);
    scene.came("a/4001");
    assert!(scene.renewed.is_empty(), "it has its end");
}

#[test]
fn a_list_lives_by_what_it_lists_and_what_leads_elsewhere_by_being_written() {
    let mut scene = Scene::new();
    let list = |last: u32| {
        let urls: String = (last - 2..=last).map(|number| format!("<SegmentURL media=\"{number}.ts\"/>")).collect();
        mpd("", "", &format!("<SegmentList duration=\"2\">{urls}</SegmentList>"))
    };
    let elsewhere = |number: u32| {
        let base = format!("<BaseURL>https://cdn.example/{number}/</BaseURL>");
        mpd("minimumUpdatePeriod=\"PT2S\"", &base, "<SegmentTemplate duration=\"2\" media=\"$Number$\"/>")
    };
    for number in 3..9 {
        scene.playlist("list.mpd", &list(number));
        scene.playlist("elsewhere.mpd", &elsewhere(number));
        scene.pass(2.0);
        let _ = scene.look();
        assert_eq!((scene.stands("list.mpd"), scene.stands("elsewhere.mpd")), (Standing::Live, Standing::Live));
    }
    for _ in 0..4 {
        scene.playlist("list.mpd", &list(8).replace("<MPD", "<!-- once more --><MPD"));
        scene.playlist("elsewhere.mpd", &elsewhere(8));
        scene.pass(2.0);
    }
    let _ = scene.look();
    assert_eq!((scene.stands("list.mpd"), scene.stands("elsewhere.mpd")), (Standing::Stale, Standing::Stale));
}

#[test]
fn the_next_segment_of_a_live_mpd_is_known_by_its_number() {
    let mut scene = Scene::new();
    let mpd = |kind: &str, media: &str| {
        format!(
            "<MPD type=\"{kind}\" maxSegmentDuration=\"PT1S\"><Period><AdaptationSet><SegmentTemplate media=\"{media}\"/>\
             <Representation id=\"v\" bandwidth=\"1\"/></AdaptationSet></Period></MPD>"
        )
    };
    scene.playlist("a/p.mpd", &mpd("dynamic", "$RepresentationID$-$Number%05d$.m4s?x=1"));
    let previous = |scene: &Scene, name: &str| scene.live.previous(&key(name)).map(|(key, period)| (key.to_string(), period));
    assert_eq!(previous(&scene, "a/v-00010.m4s"), Some(("a/v-00009.m4s".to_owned(), seconds(1.0))));
    assert_eq!(previous(&scene, "a/v-100000.m4s"), Some(("a/v-99999.m4s".to_owned(), seconds(1.0))));
    for other in ["a/v-00000.m4s", "a/v-000010.m4s", "a/v-10.m4s", "a/v-+0010.m4s", "a/v-.m4s", "a/w-00010.m4s", "b/v-00010.m4s"]
    {
        assert_eq!(previous(&scene, other), None, "{other}");
    }
    scene.playlist("b/p.mpd", &mpd("dynamic", "$Number$.m4s"));
    assert_eq!(previous(&scene, "b/10.m4s"), Some(("b/9.m4s".to_owned(), seconds(1.0))));
    scene.playlist("a/p.mpd", &mpd("static", "$RepresentationID$-$Number%05d$.m4s"));
    scene.playlist("b/p.mpd", &mpd("dynamic", "$Time$.m4s"));
    assert_eq!((previous(&scene, "a/v-00010.m4s"), previous(&scene, "b/10.m4s")), (None, None));
}

/// A period with these segments' templates, each of a representation.
fn period(templates: &[&str], seconds: u32) -> String {
    let sets: String = templates
        .iter()
        .map(|media| {
            format!(
                "<AdaptationSet><SegmentTemplate duration=\"{seconds}\" media=\"{media}\"/><Representation id=\"{}\"/></AdaptationSet>",
                media.split('/').next().unwrap()
            )
        })
        .collect();
    format!("<Period>{sets}</Period>")
}

fn dynamic(head: &str, periods: &[String]) -> String {
    format!("<MPD type=\"dynamic\" {head}>{}</MPD>", periods.concat())
}

#[test]
fn a_silent_representation_is_told_in_each_period_and_none_of_another_one() {
    let mut scene = Scene::new();
    let content = period(&["v/$Number$", "a/$Number$", "old/$Number$"], 2);
    let advertisement = period(&["ad/v/$Number$", "ad/a/$Number$"], 2);
    let later = period(&["v/$Number$", "a/$Number$", "new/$Number$"], 2);
    let run = |scene: &mut Scene, names: &[&str], from: u32, to: u32| {
        let mut told = Vec::new();
        for number in from..to {
            scene.pass(2.0);
            names.iter().for_each(|name| scene.came(&format!("{name}/{number}")));
            told.extend(scene.look());
        }
        told.retain(|event| !event.starts_with("started"));
        told
    };
    let none = [""; 0];
    scene.playlist("p.mpd", &dynamic("", std::slice::from_ref(&content)));
    assert_eq!(run(&mut scene, &["v", "a", "old"], 0, 10), none);
    // The next one is announced before it begins, and what is only in the one before it ends with that.
    scene.playlist("p.mpd", &dynamic("", &[content.clone(), advertisement.clone()]));
    assert_eq!(run(&mut scene, &["v", "a", "old"], 10, 20), none);
    assert_eq!(run(&mut scene, &["ad/v", "ad/a"], 20, 40), none);
    scene.playlist("p.mpd", &dynamic("", &[content.clone(), advertisement.clone(), later.clone()]));
    assert_eq!(run(&mut scene, &["v", "a", "new"], 40, 60), none);
    assert_eq!(run(&mut scene, &["v", "a"], 60, 62), none);
    let told = run(&mut scene, &["v", "new"], 62, 75);
    assert_eq!(
        told,
        ["gap p.mpd", "rendition-missing p.mpd"],
        "of what the newest has left out; and the sound is in all that the picture is in"
    );
    assert_eq!(run(&mut scene, &["v", "a", "new"], 75, 80), none, "that of the sound is counted: a gap of it was told just now");
    // One of a period of its own.
    let all = [content, advertisement, later, period(&["ad2/v/$Number$", "ad2/a/$Number$"], 2)];
    scene.playlist("p.mpd", &dynamic("", &all));
    assert_eq!(run(&mut scene, &["ad2/v"], 80, 95), ["rendition-missing p.mpd"]);
}

#[test]
fn the_longer_segments_of_another_period_are_no_standstill() {
    let mut scene = Scene::new();
    let periods = [period(&["v/$Number$"], 10), period(&["ad/$Number$"], 1)];
    let noted = scene.playlist("p.mpd", &dynamic("", &periods));
    for number in 0..4 {
        scene.came(&format!("ad/{number}"));
        scene.pass(1.0);
    }
    for number in 0..4 {
        scene.pass(9.0);
        assert!(!scene.look().iter().any(|told| told.starts_with("late") || told.starts_with("stale")));
        assert!(!noted.liveness.is_stale(scene.clock.now(), STALE_AFTER));
        scene.came(&format!("v/{number}"));
        scene.pass(1.0);
    }
}

#[test]
fn while_a_period_leads_elsewhere_an_mpd_lives_by_being_written() {
    let mut scene = Scene::new();
    let elsewhere = "<Period><BaseURL>https://ads.example/</BaseURL><AdaptationSet><SegmentTemplate duration=\"2\" media=\"$Number$\"/>\
                     <Representation id=\"1\"/></AdaptationSet></Period>";
    let text = |version: u32| {
        dynamic(&format!("minimumUpdatePeriod=\"PT2S\" id=\"{version}\""), &[period(&["v/$Number$"], 2), elsewhere.to_owned()])
    };
    for number in 0..5 {
        scene.came(&format!("v/{number}"));
        scene.playlist("p.mpd", &text(0));
        scene.pass(2.0);
    }
    for version in 1..20 {
        let noted = scene.playlist("p.mpd", &text(version));
        scene.pass(2.0);
        assert!(!scene.look().iter().any(|told| told.starts_with("stale") || told.starts_with("rendition")), "{version}");
        assert!(!noted.liveness.is_stale(scene.clock.now(), STALE_AFTER));
    }
    scene.pass(6.0);
    assert_eq!(scene.look(), ["stale p.mpd"]);
}

#[test]
fn what_can_not_be_seen_to_go_on_is_not_told_to_stand_still() {
    let mut scene = Scene::new();
    // Segments elsewhere, and never written anew.
    let base = "<BaseURL>https://cdn.example/</BaseURL>";
    let noted = scene.playlist("p.mpd", &mpd("", base, "<SegmentTemplate duration=\"2\" media=\"$Number$\"/>"));
    // It says when it ends.
    let head = format!("availabilityStartTime=\"{}\" mediaPresentationDuration=\"PT60S\"", scene.clock.wall());
    let with_end = scene.playlist("q.mpd", &mpd(&head, "", "<SegmentTemplate duration=\"2\" media=\"q/$Number$\"/>"));
    for number in 0..30 {
        scene.came(&format!("q/{number}"));
        scene.pass(2.0);
        assert!(!scene.look().iter().any(|told| told.starts_with("late") || told.starts_with("stale")));
    }
    scene.pass(600.0);
    assert_eq!(scene.look(), ["ended q.mpd"]);
    assert_eq!((scene.stands("p.mpd"), scene.stands("q.mpd")), (Standing::Live, Standing::Ended));
    for noted in [noted, with_end] {
        assert!(!noted.liveness.is_stale(scene.clock.now(), STALE_AFTER));
    }
}

#[test]
fn one_that_is_there_before_its_show_is_due_from_its_start_on() {
    let template = format!("<SegmentTemplate {TEMPLATE} duration=\"2000\" media=\"$Number$\"/>");
    let text = |starts: WallTime| mpd(&format!("availabilityStartTime=\"{starts}\" minimumUpdatePeriod=\"PT2S\""), "", &template);
    let mut scene = Scene::new();
    let starts = scene.clock.wall() + seconds(600.0);
    let noted = scene.playlist("p.mpd", &text(starts));
    assert_eq!(scene.look(), ["started p.mpd"]);
    for _ in 0..10 {
        scene.pass(60.0);
        assert_eq!(scene.look(), [""; 0]);
        assert!(!noted.liveness.is_stale(scene.clock.now(), STALE_AFTER));
    }
    scene.pass(7.0);
    assert!(scene.look().contains(&"stale p.mpd".to_owned()));
    assert!(noted.liveness.is_stale(scene.clock.now(), STALE_AFTER));
    // Its segments come all the same: its clock is not ours, and it stands still like any other.
    let mut scene = Scene::new();
    scene.came("init");
    scene.playlist("p.mpd", &text(starts));
    scene.came("1");
    scene.playlist("p.mpd", &text(starts));
    scene.pass(7.0);
    assert!(scene.look().contains(&"stale p.mpd".to_owned()));
    // It begins earlier than it said.
    let mut scene = Scene::new();
    scene.playlist("p.mpd", &text(starts));
    scene.playlist("p.mpd", &text(scene.clock.wall()));
    scene.pass(7.0);
    assert!(scene.look().contains(&"stale p.mpd".to_owned()));
}

/// An encoder that begins anew counts from 1 again, and a CDN has the old segments for as long as they may be kept.
#[test]
fn a_segment_s_name_that_comes_again_with_other_bytes_is_told_of_its_mpd() {
    let mut scene = Scene::new();
    scene.playlist("p.mpd", &dynamic("", &[period(&["v/$Number$.m4s"], 2)]));
    for body in ["first", "first", "second"] {
        scene.segment("v/1.m4s", body, 1000, seconds(0.1));
        scene.segment("other/1.m4s", body, 1000, seconds(0.1));
        let told = scene.look();
        assert_eq!(told.contains(&"name-reused p.mpd".to_owned()), body == "second", "{told:?}");
    }
    assert_eq!(scene.report()[0].renditions[0].counts.names_reused, 1);
}

#[test]
fn an_end_that_is_announced_saves_no_encoder_that_dies_before() {
    let template = format!("<SegmentTemplate {TEMPLATE} duration=\"2000\" media=\"$Number$\"/>");
    let mut scene = Scene::new();
    let ends = scene.clock.wall() + seconds(7200.0);
    let noted =
        scene.playlist("p.mpd", &mpd(&format!("availabilityEndTime=\"{ends}\" minimumUpdatePeriod=\"PT2S\""), "", &template));
    scene.came("1");
    scene.pass(7.0);
    assert!(scene.look().contains(&"stale p.mpd".to_owned()));
    assert!(noted.liveness.is_stale(scene.clock.now(), STALE_AFTER));
}

/// Viewers behind the live edge have some of it still to see.
#[test]
fn behind_an_end_that_was_announced_and_reached_nothing_is_stale() {
    let template = format!("<SegmentTemplate {TEMPLATE} duration=\"2000\" media=\"$Number$\"/>");
    let mut scene = Scene::new();
    let ends = scene.clock.wall() + seconds(10.0);
    let noted =
        scene.playlist("p.mpd", &mpd(&format!("availabilityEndTime=\"{ends}\" minimumUpdatePeriod=\"PT2S\""), "", &template));
    for number in 0..5 {
        scene.came(&number.to_string());
        scene.pass(2.0);
        assert!(!noted.liveness.is_stale(scene.clock.now(), STALE_AFTER));
    }
    scene.pass(60.0);
    assert!(!noted.liveness.is_stale(scene.clock.now(), STALE_AFTER));
}

#[test]
fn representations_whose_names_can_not_be_told_apart_are_not_missed() {
    let mut scene = Scene::new();
    let names: Vec<String> = (0..40).map(|number| format!("seg-$Number$-{number}.m4s")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    scene.playlist("p.mpd", &dynamic("", &[period(&names, 2)]));
    let _ = scene.look();
    for number in 0..15 {
        scene.pass(2.0);
        for name in &names {
            scene.came(&name.replace("$Number$", &number.to_string()));
        }
        assert_eq!(scene.look(), Vec::<String>::new());
    }
}

#[test]
fn one_that_is_late_again_and_again_still_misses_its_initialisation_segment() {
    let mut scene = Scene::new();
    scene.playlist("p.mpd", &mpd("", "", &format!("<SegmentTemplate {TEMPLATE} duration=\"2000\" media=\"$Number$\"/>")));
    let mut told = Vec::new();
    for number in 0..6 {
        scene.pass(1.9);
        told.extend(scene.look());
        scene.pass(1.9);
        told.extend(scene.look());
        scene.came(&number.to_string());
    }
    assert!(told.contains(&"init-missing p.mpd".to_owned()), "{told:?}");
}
