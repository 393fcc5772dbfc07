//! What is said to be there and never comes, and what only looks so: parts, segments that an MPD counts, and gaps that an encoder lists itself.

use super::{Scene, key, seconds};
use crate::hls::texts::{MASTER, head, listing, segment};
use crate::model::liveness::Standing;

const NONE: [&str; 0] = [];
const PARTS: u64 = 4;

/// What is told of gaps now.
fn told(scene: &Scene) -> Vec<String> {
    scene.look().into_iter().filter(|told| told.starts_with("gap")).collect()
}

fn count(scene: &Scene) -> u64 {
    scene.report().iter().flat_map(|stream| &stream.renditions).map(|rendition| rendition.counts.gaps).sum()
}

/// A part as a file, and as a range of its segment.
fn file(number: u64, at: u64) -> String {
    format!("#EXT-X-PART:DURATION=0.5,URI=\"{number}.{at}.m4s\"\n")
}

fn range(number: u64, at: u64) -> String {
    format!("#EXT-X-PART:DURATION=0.5,URI=\"{number}.m4s\",BYTERANGE=\"100@{}\"\n", at * 100)
}

/// A low-latency list: three segments, and so many parts of the one that is being made.
fn low_latency(making: u64, parts: u64, part: impl Fn(u64, u64) -> String) -> String {
    let mut text = head(making - 3) + "#EXT-X-PART-INF:PART-TARGET=0.5\n";
    for number in making - 3..making {
        text.extend((0..PARTS).map(|at| part(number, at)));
        text += &segment(format!("{number}.m4s"));
    }
    text.extend((0..parts).map(|at| part(making, at)));
    text + &format!("#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"{making}.{parts}.m4s\"\n")
}

fn upload(scene: &mut Scene, number: u64, at: u64) {
    scene.segment(&format!("a/{number}.{at}.m4s"), &format!("{number}.{at}"), 100, seconds(0.1));
}

/// A packager that is followed from its third segment on. `each` is what it does before it lists a part; what is told of gaps.
fn packaged(scene: &mut Scene, part: impl Fn(u64, u64) -> String, mut each: impl FnMut(&mut Scene, u64, u64)) -> Vec<String> {
    let whole = |scene: &mut Scene, number: u64| {
        scene.segment(&format!("a/{number}.m4s"), &number.to_string(), 400, seconds(0.1));
    };
    (0..3).for_each(|number| whole(scene, number));
    let mut all = Vec::new();
    for number in 3..20 {
        for at in 0..PARTS {
            each(scene, number, at);
            let is_whole = at + 1 == PARTS;
            if is_whole {
                whole(scene, number);
            }
            let (making, parts) = if is_whole { (number + 1, 0) } else { (number, at + 1) };
            scene.playlist("a/p.m3u8", &low_latency(making, parts, &part));
            scene.pass(0.5);
            all.extend(told(scene));
        }
    }
    all
}

#[test]
fn a_part_that_is_listed_and_never_comes_is_a_gap() {
    let mut scene = Scene::new();
    let mut held = None;
    let lost = packaged(&mut scene, file, |scene, number, at| {
        // The last one is listed with its whole segment at once.
        if (number, at) != (7, 1) && (number, at) != (9, 3) {
            upload(scene, number, at);
        }
        if (number, at) == (7, 3) {
            held = scene.awaits("a/7.1.m4s");
        }
    });
    assert_eq!(lost, ["gap a/p.m3u8"], "told once in half a minute");
    assert_eq!(count(&scene), 2);
    assert!(held.is_some(), "it is waited for");
    assert_eq!(scene.report()[0].renditions[0].troubles, NONE, "a moment later nobody asks for it any more");
}

#[test]
fn parts_that_come_that_go_again_and_that_are_no_files_are_no_gaps() {
    let nothing = |_: &mut Scene, _, _| {};
    assert_eq!(packaged(&mut Scene::new(), file, upload), NONE);
    // One and a half seconds after they were listed.
    let late = |scene: &mut Scene, number: u64, at: u64| {
        let before = number * PARTS + at - 3;
        upload(scene, before / PARTS, before % PARTS);
    };
    assert_eq!(packaged(&mut Scene::new(), file, late), NONE);
    // Removed, or evicted, while they are listed.
    let short = |scene: &mut Scene, number: u64, at: u64| {
        upload(scene, number, at);
        let before = number * PARTS + at - 2;
        scene.stored.remove(&key(&format!("a/{}.{}.m4s", before / PARTS, before % PARTS)));
    };
    assert_eq!(packaged(&mut Scene::new(), file, short), NONE);
    // There with their segment, which is uploaded as it is made.
    assert_eq!(packaged(&mut Scene::new(), range, nothing), NONE);
    // Their packager has none.
    let gap = |number: u64, at: u64| file(number, at).replace("\"\n", "\",GAP=YES\n");
    assert_eq!(packaged(&mut Scene::new(), gap, nothing), NONE);
    // One is on its way for long.
    let slow = |scene: &mut Scene, number: u64, at: u64| {
        if (number, at) != (7, 1) {
            upload(scene, number, at);
        }
        match (number, at) {
            (7, 1) => {
                scene.coming.insert(key("a/7.1.m4s"));
            }
            (11, 2) => {
                scene.coming.clear();
                upload(scene, 7, 1);
            }
            _ => {}
        }
    };
    assert_eq!(packaged(&mut Scene::new(), file, slow), NONE);
}

/// A template, its length or timeline in it, of one representation; `before` stands in front of the period.
fn mpd(before: &str, template: &str) -> String {
    format!(
        "<MPD type='dynamic' minimumUpdatePeriod='PT2S'>{before}<Period start='PT0S'><AdaptationSet><SegmentTemplate media='v-$Number$.m4s' \
         {template}</SegmentTemplate><Representation id='v'/></AdaptationSet></Period></MPD>"
    )
}

fn constant(_: u64) -> String {
    mpd("", "duration='2'>")
}

/// The last five up to this one, each by itself.
fn timeline(last: u64) -> String {
    let first = last.saturating_sub(4).max(1);
    let more = last - first;
    mpd("", &format!("startNumber='{first}'><SegmentTimeline><S t='{}' d='2' r='{more}'/></SegmentTimeline>", first * 2))
}

const LISTS: [fn(u64) -> String; 2] = [constant, timeline];

fn came(scene: &mut Scene, number: u64) {
    scene.segment(&format!("v-{number}.m4s"), &number.to_string(), 1000, seconds(0.1));
}

/// What comes every two seconds, by its numbers, and the MPD that is written behind it; what is told of gaps.
fn numbered(scene: &mut Scene, steps: impl IntoIterator<Item = Vec<u64>>, list: impl Fn(u64) -> String) -> Vec<String> {
    let mut all = Vec::new();
    for step in steps {
        step.iter().for_each(|number| came(scene, *number));
        if let Some(last) = step.last() {
            scene.playlist("p.mpd", &list(*last));
        }
        scene.pass(2.0);
        all.extend(told(scene));
    }
    all
}

fn one_by_one(numbers: std::ops::RangeInclusive<u64>) -> impl Iterator<Item = Vec<u64>> {
    numbers.map(|number| vec![number])
}

#[test]
fn a_segment_that_an_mpd_counts_is_a_gap_when_later_ones_have_come() {
    for list in LISTS {
        let mut scene = Scene::new();
        let before = numbered(&mut scene, one_by_one(100..=105).chain([vec![]]), list);
        assert_eq!(before, NONE, "nobody knows yet that 106 does not come late, as the others may");
        came(&mut scene, 107);
        scene.playlist("p.mpd", &list(107));
        scene.pass(1.0);
        assert_eq!(told(&scene), NONE, "it may have been overtaken");
        scene.pass(1.0);
        assert_eq!(told(&scene), ["gap p.mpd"]);
        assert_eq!(numbered(&mut scene, one_by_one(108..=130), list), NONE);
        assert_eq!(count(&scene), 1);
        assert!(scene.counts("gap"));
        // Two at once, later.
        assert_eq!(numbered(&mut scene, [vec![131], vec![], vec![], vec![134], vec![135]], list), ["gap p.mpd"]);
        assert_eq!(count(&scene), 3);
    }
}

#[test]
fn what_comes_out_of_order_once_more_or_by_another_count_is_no_gap() {
    for list in LISTS {
        let cases: [(&str, Vec<Vec<u64>>); 6] = [
            ("in order, from anywhere on", one_by_one(100..=120).collect()),
            ("overtaken", vec![vec![5], vec![6], vec![], vec![8, 7], vec![9], vec![10]]),
            ("once more", vec![vec![5], vec![6], vec![7], vec![3, 4, 8], vec![7, 9], vec![10]]),
            ("from the beginning", one_by_one(30..=40).chain(one_by_one(1..=60)).collect()),
            ("far ahead", one_by_one(1..=10).chain(one_by_one(5000..=5010)).chain(one_by_one(11..=20)).collect()),
            ("hours later", vec![vec![5], vec![6], vec![], vec![], vec![], vec![], vec![], vec![12], vec![13]]),
        ];
        for (what, steps) in cases {
            let mut scene = Scene::new();
            assert_eq!(numbered(&mut scene, steps, list), NONE, "{what}");
            assert_eq!(count(&scene), 0, "{what}");
        }
        // On its way for longer than a segment is.
        let mut scene = Scene::new();
        assert_eq!(numbered(&mut scene, [vec![5], vec![]], list), NONE);
        scene.coming.insert(key("v-6.m4s"));
        assert_eq!(numbered(&mut scene, one_by_one(7..=9), list), NONE);
        scene.coming.clear();
        assert_eq!(numbered(&mut scene, [vec![6, 10], vec![11]], list), NONE);
    }
}

#[test]
fn what_the_mpd_does_not_say_is_there_is_no_gap() {
    // A timeline that leaves it out, as its encoder has begun anew.
    let mut scene = Scene::new();
    let others =
        |last: u64| mpd("", &format!("startNumber='9'><SegmentTimeline><S t='0' d='2' r='{}'/></SegmentTimeline>", last - 9));
    assert_eq!(numbered(&mut scene, one_by_one(1..=5), timeline), NONE);
    assert_eq!(numbered(&mut scene, one_by_one(9..=15), others), NONE);
    // Segments of another host; what is here of that name is something else.
    let elsewhere = |_| mpd("<BaseURL>https://cdn.example/</BaseURL>", "duration='2'>");
    assert_eq!(numbered(&mut Scene::new(), [vec![5], vec![7], vec![9], vec![10]], elsewhere), NONE);
    // Of another representation nothing is pushed here, and this one has its numbers.
    let other = "<Representation id='w'><SegmentTemplate media='w-$Number$.m4s'/></Representation><Representation id='v'/>";
    let two = |_| constant(0).replace("<Representation id='v'/>", other);
    assert_eq!(numbered(&mut Scene::new(), one_by_one(1..=9), two), NONE);
    // The time stands in the name: nobody knows the next one.
    let times = |_| constant(0).replace("$Number$", "$Time$");
    assert_eq!(numbered(&mut Scene::new(), [vec![2], vec![4], vec![6], vec![8]], times), NONE);
}

/// Between two periods with the same names the count may go on elsewhere, whether the MPD or the segment comes first.
#[test]
fn another_period_counts_anew() {
    let next = |_| {
        let period = "</Period><Period start='PT30S'><AdaptationSet><SegmentTemplate duration='2' startNumber='14' media='v-$Number$.m4s'/>\
                      <Representation id='v'/></AdaptationSet></Period></MPD>";
        constant(0).replace("</Period></MPD>", period)
    };
    for comes_first in [true, false] {
        let mut scene = Scene::new();
        assert_eq!(numbered(&mut scene, one_by_one(1..=10), constant), NONE);
        if comes_first {
            scene.playlist("p.mpd", &next(0));
        }
        assert_eq!(numbered(&mut scene, one_by_one(14..=20), next), NONE, "{comes_first}");
        assert_eq!(numbered(&mut scene, [vec![], vec![22], vec![23]], next), ["gap p.mpd"], "{comes_first}");
    }
}

/// The segments of `1` are `s1…`, and those of `11` are `s11…`: `s111` is of both.
#[test]
fn names_that_may_be_of_two_representations_tell_nothing() {
    let both = "<MPD type='dynamic'><Period><AdaptationSet><SegmentTemplate duration='2' media='s$RepresentationID$$Number$.m4s'/>\
                <Representation id='1'/><Representation id='11'/></AdaptationSet></Period></MPD>";
    let mut scene = Scene::new();
    scene.playlist("p.mpd", both);
    for number in 1..30 {
        for id in ["1", "11"] {
            scene.segment(&format!("s{id}{number}.m4s"), &format!("{id}/{number}"), 1000, seconds(0.1));
        }
        scene.pass(2.0);
        assert_eq!(told(&scene), NONE, "{number}");
    }
}

#[test]
fn what_was_not_there_before_this_process_began_is_no_gap_and_what_is_lost_from_then_on_is() {
    let mut scene = Scene::new();
    scene.pass(1000.0);
    scene.kept("p.mpd", &constant(0), 60.0);
    let ago = |before: f64| scene.clock.past(scene.clock.wall() - seconds(before));
    let before = [(1, 10.0), (2, 8.0), (5, 2.0)].map(|(number, before)| (key(&format!("v-{number}.m4s")), ago(before)));
    scene.live.had_come(&before, scene.clock.both());
    assert_eq!(numbered(&mut scene, one_by_one(6..=8), constant), NONE);
    assert_eq!(numbered(&mut scene, [vec![], vec![10], vec![11]], constant), ["gap p.mpd"]);
    // Whoever has stored it.
    let mut scene = Scene::new();
    assert_eq!(numbered(&mut scene, [vec![1], vec![]], constant), NONE);
    scene.stored.insert(key("v-2.m4s"), http::HeaderValue::from_static("\"2\""));
    assert_eq!(numbered(&mut scene, one_by_one(3..=6), constant), NONE);
}

/// CMAF: both list the same segments, and it is lost once.
#[test]
fn a_segment_that_a_playlist_lists_and_an_mpd_counts_is_the_playlist_s() {
    let mut scene = Scene::new();
    let mut all = Vec::new();
    (1..3).for_each(|number| came(&mut scene, number));
    for number in 3..14 {
        if number != 6 {
            came(&mut scene, number);
        }
        let list = listing(&head(number - 2), "v-", number - 2..=number);
        scene.playlist("p.m3u8", &list.replace(".ts", ".m4s"));
        scene.playlist("p.mpd", &constant(0));
        scene.pass(2.0);
        all.extend(told(&scene));
    }
    assert_eq!((all, count(&scene)), (vec!["gap p.m3u8".to_owned()], 1));
}

/// The last five up to this one, with gaps where there are any.
fn with_gaps(last: u64, is_gap: impl Fn(u64) -> bool) -> String {
    let first = last.saturating_sub(4);
    (first..=last).fold(head(first), |text, number| {
        let tag = if is_gap(number) { "#EXT-X-GAP\n" } else { "" };
        text + tag + &segment(format!("{number}.ts"))
    })
}

/// A list of these segments, one after the other; what is told of gaps, behind the number of the newest one.
fn listed(scene: &mut Scene, name: &str, numbers: std::ops::Range<u64>, is_gap: impl Fn(u64) -> bool) -> Vec<String> {
    let folder = name.split('/').next().unwrap();
    let mut all = Vec::new();
    for number in numbers {
        if !is_gap(number) {
            scene.segment(&format!("{folder}/{number}.ts"), &format!("{folder}{number}"), 1000, seconds(0.1));
        }
        scene.playlist(name, &with_gaps(number, &is_gap));
        all.extend(told(scene).into_iter().map(|told| format!("{number} {told}")));
        scene.pass(2.0);
    }
    all
}

#[test]
fn a_list_that_grows_by_gaps_alone_is_alive_and_plays_nothing() {
    let mut scene = Scene::new();
    let is_gap = |number: u64| (10..20).contains(&number);
    assert_eq!(listed(&mut scene, "a/p.m3u8", 0..18, is_gap), ["13 gap a/p.m3u8"], "more than three lengths without");
    let rendition = scene.report().remove(0).renditions.remove(0);
    assert_eq!((rendition.state, rendition.troubles, rendition.counts.gaps), (Standing::Live, vec!["gap"], 0));
    assert_eq!(listed(&mut scene, "a/p.m3u8", 18..24, is_gap), NONE);
    assert_eq!(scene.report()[0].renditions[0].troubles, NONE);
    // From its beginning on.
    let mut scene = Scene::new();
    assert_eq!(listed(&mut scene, "a/p.m3u8", 0..9, |_| true), ["4 gap a/p.m3u8"]);
}

#[test]
fn gaps_between_segments_and_lists_that_are_empty_by_nature_are_no_trouble() {
    let cases: [fn(u64) -> bool; 3] = [|number| number % 4 != 0, |number| (10..13).contains(&number), |_| false];
    for is_gap in cases {
        assert_eq!(listed(&mut Scene::new(), "a/p.m3u8", 0..30, is_gap), NONE);
    }
    // It stands still, and that is something else.
    let mut scene = Scene::new();
    assert_eq!(listed(&mut scene, "a/p.m3u8", 0..12, |number| number > 9), NONE);
    scene.pass(60.0);
    assert_eq!(scene.look(), ["stale a/p.m3u8"]);
    // Words are there when somebody speaks, and key frames are a list of their own.
    for line in [
        "#EXT-X-MEDIA:TYPE=SUBTITLES,GROUP-ID=\"s\",NAME=\"en\",URI=\"c/p.m3u8\"",
        "#EXT-X-I-FRAME-STREAM-INF:BANDWIDTH=1,URI=\"c/p.m3u8\"",
    ] {
        let mut scene = Scene::new();
        scene.playlist("master.m3u8", &format!("{MASTER}{line}\n"));
        assert_eq!(listed(&mut scene, "c/p.m3u8", 0..20, |_| true), NONE, "{line}");
    }
}
