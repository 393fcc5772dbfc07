//! Streams written by hand, on a clock that is moved by hand: each finding is produced, and seen.

mod absent;
mod anew;
mod bounds;
mod contradictions;
mod dash;
mod drifting;
mod gaps;
mod gated;
mod lengths;
mod orphans;
mod unread;

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use http::HeaderValue;

use super::{Live, Noted, Predecessor, Readership, Reload, StreamReport, understand};
use crate::hls::texts::{self, HEAD, MASTER};
use crate::metrics::Metrics;
use crate::model::clock::Clock;
use crate::model::id::{Key, Namespace, ObjectId};
use crate::model::kind::Kind;
use crate::model::liveness::{Standing, StandstillLimits};

const TTL: Duration = Duration::from_secs(3600);
const STALE_AFTER: u32 = 3;
const LIMITS: StandstillLimits = StandstillLimits { stale_after: STALE_AFTER, gone_after: Duration::from_secs(3600) };

/// A namespace with what is stored in it.
struct Scene {
    live: Live,
    clock: Clock,
    stored: HashMap<Key, HeaderValue>,
    /// The first segment of each playlist.
    firsts: HashMap<String, u64>,
    metrics: Metrics,
    /// What is being uploaded.
    coming: HashSet<Key>,
    /// What somebody has read.
    read: HashSet<Key>,
    /// What is to live on with the last segment.
    renewed: Vec<Key>,
    /// Whether there are viewers' tokens.
    has_viewers: bool,
}

fn key(text: &str) -> Key {
    Key::parse(text).unwrap()
}

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

impl Scene {
    fn new() -> Self {
        let (clock, metrics) = (Clock::manual(), Metrics::new());
        let namespace = Namespace::parse("live").unwrap();
        let live = Live::new(namespace.clone(), metrics.namespace(&namespace));
        let (stored, firsts, coming, read, renewed) =
            (HashMap::new(), HashMap::new(), HashSet::new(), HashSet::new(), Vec::new());
        Self { live, clock, stored, firsts, metrics, coming, read, renewed, has_viewers: false }
    }

    fn playlist(&mut self, name: &str, text: &str) -> Noted {
        let object = ObjectId { namespace: Namespace::parse("live").unwrap(), key: key(name) };
        let kind = Kind::of(&object.key, text.as_bytes());
        let understood = understand(kind, text.as_bytes(), || None);
        let stored = |key: &Key| self.stored.get(key).cloned();
        let mut hasher = DefaultHasher::new();
        text.hash(&mut hasher);
        let etag = HeaderValue::from(hasher.finish());
        let now = self.clock.both();
        let noted = self.live.playlist(now, &object, &understood, (&etag, now.moment + TTL, false), stored);
        self.stored.insert(object.key, HeaderValue::from_static("\"playlist\""));
        noted
    }

    /// A media playlist of 2 s segments, the last five, up to this number.
    fn media(&mut self, name: &str, last: u64, tail: &str) -> Noted {
        let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
        let first = self.firsts.entry(name.to_owned()).or_insert(last);
        *first = (*first).min(last);
        let first = last.saturating_sub(4).max(*first);
        let text = texts::listing(&texts::head(first), &format!("/cache/live/{folder}/"), first..=last);
        self.playlist(name, &(text.replace("INF:2,", "INF:2.000,") + tail))
    }

    fn segment(&mut self, name: &str, body: &str, bytes: u64, took: Duration) {
        let etag = HeaderValue::try_from(format!("\"{body}\"")).unwrap();
        let replaced = self.stored.insert(key(name), etag.clone());
        let predecessor = match replaced {
            None => Predecessor::None,
            Some(old) if old == etag => Predecessor::SameMedia,
            Some(_) => Predecessor::OtherMedia,
        };
        let now = self.clock.both();
        self.renewed = self.live.segment(now, &key(name), (etag, now.moment + TTL), bytes, took, predecessor);
    }

    /// Segment and playlist, as an encoder writes them every two seconds.
    fn turn(&mut self, folder: &str, number: u64) {
        self.segment(&format!("{folder}/{number}.ts"), &format!("{folder}{number}"), 500_000, seconds(0.2));
        self.media(&format!("{folder}/p.m3u8"), number, "");
    }

    fn pass(&self, span: f64) {
        self.clock.advance(seconds(span));
    }

    /// What is told now, as `event playlist`.
    fn look(&self) -> Vec<String> {
        let events = self.live.look(
            self.clock.both(),
            LIMITS,
            self.has_viewers,
            |key| self.stored.contains_key(key),
            |key| self.coming.contains(key),
            |key| if self.read.contains(key) { Readership::Some } else { Readership::None },
        );
        let mut told: Vec<_> =
            events.iter().map(|event| format!("{} {}", event.event, event.playlist.as_ref().unwrap_or(&event.stream))).collect();
        told.sort();
        told
    }

    fn report(&self) -> Vec<StreamReport> {
        self.live.report(self.clock.now())
    }

    /// How long a read of this name waits, if it does.
    fn awaits(&self, name: &str) -> Option<Duration> {
        self.live.awaits(self.clock.both(), &key(name))
    }

    /// It is deleted.
    fn remove(&mut self, name: &str) {
        self.stored.remove(&key(name));
        self.live.removed(self.clock.both(), &key(name));
    }

    fn counts(&self, event: &str) -> bool {
        let line = format!("springhead_stream_events_total{{namespace=\"live\",event=\"{event}\"}} ");
        self.metrics.render().lines().any(|text| text.starts_with(&line) && !text.ends_with(" 0"))
    }
}

#[test]
fn a_stream_is_live_late_stale_and_back() {
    let mut scene = Scene::new();
    scene.turn("a", 10);
    assert_eq!(scene.look(), ["started a/p.m3u8"]);
    for number in 11..20 {
        scene.pass(2.0);
        scene.turn("a", number);
        assert_eq!(scene.look(), Vec::<String>::new());
    }
    scene.pass(3.5);
    assert_eq!(scene.look(), ["late a/p.m3u8"]);
    scene.pass(2.0);
    assert_eq!(scene.look(), Vec::<String>::new(), "told once");
    scene.pass(1.0);
    assert_eq!(scene.look(), ["stale a/p.m3u8"]);
    // Written again without a new segment, it is as stale as before.
    let noted = scene.media("a/p.m3u8", 19, "");
    assert!(noted.liveness.is_stale(scene.clock.now(), STALE_AFTER));
    assert_eq!(scene.look(), Vec::<String>::new());
    scene.segment("a/20.ts", "a20", 500_000, seconds(0.2));
    let noted = scene.media("a/p.m3u8", 20, "");
    assert!(!noted.liveness.is_stale(scene.clock.now(), STALE_AFTER));
    assert_eq!(scene.look(), ["recovered a/p.m3u8"]);
    scene.media("a/p.m3u8", 20, "#EXT-X-ENDLIST\n");
    assert_eq!(scene.look(), ["ended a/p.m3u8"]);
    scene.pass(600.0);
    assert_eq!(scene.look(), Vec::<String>::new(), "what has its end never goes stale");
    assert_eq!(scene.report()[0].state, Standing::Ended);
    for event in ["started", "late", "stale", "recovered", "ended"] {
        assert!(scene.counts(event), "{event}");
    }
    scene.pass(3600.0);
    let _ = scene.look();
    assert!(scene.report().is_empty(), "gone with its TTL");
}

#[test]
fn lateness_that_comes_and_goes_is_told_once_in_a_while() {
    let mut scene = Scene::new();
    scene.turn("a", 10);
    let _ = scene.look();
    let mut told = Vec::new();
    for number in 11..22 {
        scene.pass(3.2);
        told.extend(scene.look());
        scene.turn("a", number);
        told.extend(scene.look());
    }
    assert_eq!(told, ["late a/p.m3u8", "recovered a/p.m3u8", "late a/p.m3u8", "recovered a/p.m3u8"], "in 35 s");
}

#[test]
fn a_listed_segment_that_does_not_come_is_waited_for_and_then_a_gap() {
    let mut scene = Scene::new();
    scene.turn("a", 10);
    scene.pass(2.0);
    scene.media("a/p.m3u8", 11, "");
    assert_eq!(scene.awaits("a/11.ts"), Some(seconds(2.0)));
    assert_eq!(scene.awaits("a/12.ts"), None, "never for names that nothing lists");
    assert_eq!(scene.awaits("a/3.ts"), None, "nor for old ones of a playlist seen for the first time");
    scene.pass(1.0);
    assert!(!scene.look().contains(&"gap a/p.m3u8".to_owned()));
    scene.pass(1.0);
    assert_eq!(scene.look(), ["gap a/p.m3u8"]);
    assert_eq!(scene.look(), Vec::<String>::new());
    assert_eq!(scene.report()[0].renditions[0].counts.gaps, 1);
    scene.pass(10.0);
    assert_eq!(scene.awaits("a/11.ts"), None, "patience ends");
    // One that comes in time is none.
    scene.media("a/p.m3u8", 12, "");
    scene.segment("a/12.ts", "a12", 1, seconds(0.1));
    assert_eq!(scene.awaits("a/12.ts"), None);
    scene.pass(2.5);
    assert!(!scene.look().contains(&"gap a/p.m3u8".to_owned()));
}

/// By a slow uplink, of an encoder that writes the playlist before the segment's last bytes are through.
#[test]
fn what_is_still_being_uploaded_is_no_gap_before_that_breaks_off() {
    for span in [3, 8] {
        let mut scene = Scene::new();
        scene.turn("a", 10);
        scene.coming.extend([key("a/11.ts"), key("a/12.ts")]);
        scene.media("a/p.m3u8", 11, "");
        scene.media("a/p.m3u8", 12, "");
        let is_gap = |scene: &Scene| scene.look().contains(&"gap a/p.m3u8".to_owned());
        for _ in 0..span {
            scene.pass(1.0);
            assert!(!is_gap(&scene), "{span}");
        }
        scene.segment("a/11.ts", "a11", 500_000, seconds(3.0));
        assert!(!is_gap(&scene), "{span}");
        scene.coming.clear();
        assert!(is_gap(&scene), "{span}");
        assert_eq!(scene.report()[0].renditions[0].counts.gaps, 1);
    }
}

#[test]
fn an_initialisation_segment_is_reused_when_its_own_playlist_has_named_it() {
    let mut scene = Scene::new();
    // The sound's playlist is there; the picture's packager writes its initialisation segment once more before its own.
    for number in 0..3 {
        scene.segment(&format!("a/{number}.ts"), &format!("a{number}"), 1, seconds(0.1));
        scene.segment("a/v_init.mp4", &format!("v{number}"), 1, seconds(0.1));
        scene.media("a/sound.m3u8", number, "");
    }
    assert_eq!(scene.look(), ["started a/sound.m3u8"]);
    let picture = |n| format!("{HEAD}#EXT-X-MAP:URI=\"v_init.mp4\"\n#EXTINF:2,\nv{n}.m4s\n");
    scene.playlist("a/picture.m3u8", &picture(0));
    scene.segment("a/v_init.mp4", "other", 1, seconds(0.1));
    assert!(scene.look().contains(&"name-reused a/picture.m3u8".to_owned()));
}

#[test]
fn renditions_of_a_stream_are_found_and_compared() {
    let mut scene = Scene::new();
    scene.playlist("master.m3u8", MASTER);
    for number in 1..10 {
        scene.turn("a", number);
        scene.turn("b", number.saturating_sub(1));
        scene.pass(2.0);
        scene.look();
    }
    let report = scene.report();
    assert_eq!(report.len(), 1, "one stream");
    assert_eq!((&*report[0].stream, report[0].state), ("master.m3u8", Standing::Live));
    let a = &report[0].renditions[0];
    assert_eq!((&*a.playlist, a.announced_bandwidth, a.resolution), ("a/p.m3u8", Some(2_500_000), Some((1280, 720))));
    assert_eq!(a.bitrate, Some(2_000_000), "500,000 bytes in 2 s");
    assert_eq!((a.last_sequence, a.last_segment.as_deref()), (Some(9), Some("a/9.ts")));
    assert!((a.upload_ratio.unwrap() - 0.1).abs() < 0.001);
    assert_eq!(report[0].renditions[1].troubles, ["bitrate-over"], "2 Mbit/s where 900 kbit/s are announced");
    assert!(scene.counts("bitrate-over"));
    // One falls behind while it goes on.
    let mut told = Vec::new();
    for number in 10..30 {
        scene.turn("a", number);
        if number % 2 == 0 {
            scene.turn("b", 8 + (number - 8) / 2);
        }
        told.extend(scene.look());
        scene.pass(2.0);
    }
    told.retain(|event| event.starts_with("drift"));
    assert_eq!(told, ["drift b/p.m3u8"]);
}

#[test]
fn what_a_living_stream_needs_is_named() {
    let mut scene = Scene::new();
    scene.playlist("master.m3u8", MASTER);
    let map = "#EXT-X-MAP:URI=\"init.mp4\"\n#EXT-X-KEY:METHOD=AES-128,URI=\"/cache/live/keys/1.key\"\n";
    let noted = scene.media("a/p.m3u8", 5, &format!("{map}#EXTINF:2,\n6.m4s\n"));
    let mut needs: Vec<_> = noted.needs.iter().map(ToString::to_string).collect();
    needs.sort();
    assert_eq!(needs, ["a/init.mp4", "keys/1.key", "master.m3u8"]);
    assert!(scene.media("c/p.m3u8", 5, "").needs.is_empty());
}

#[test]
fn a_child_that_is_not_written_yet_is_waited_for_at_first_only() {
    let mut scene = Scene::new();
    scene.playlist("master.m3u8", MASTER);
    assert!(scene.awaits("a/p.m3u8").is_some());
    scene.pass(11.0);
    assert_eq!(scene.awaits("a/p.m3u8"), None, "a child that was taken away is a 404, so that players fail over");
}

#[test]
fn clocks_uploads_and_windows_are_watched() {
    let mut scene = Scene::new();
    let dated = |scene: &mut Scene, number: u64, offset: f64| {
        let millis = scene.clock.wall().millis();
        #[expect(clippy::cast_possible_truncation, reason = "small")]
        let date = crate::model::clock::WallTime::from_millis(millis.saturating_add_signed((offset * 1000.0) as i64 - 2000));
        let text = texts::listing(&format!("{}#EXT-X-PROGRAM-DATE-TIME:{date}\n", texts::head(number)), "", [number]);
        scene.segment(&format!("a/{number}.ts"), &number.to_string(), 100, seconds(if number < 30 { 0.2 } else { 2.9 }));
        scene.playlist("a/p.m3u8", &text);
        scene.pass(2.0);
        scene.look()
    };
    assert_eq!(dated(&mut scene, 1, -1.0), ["started a/p.m3u8"]);
    for number in 2..10 {
        assert_eq!(dated(&mut scene, number, -1.5), Vec::<String>::new());
    }
    assert!((scene.report()[0].renditions[0].behind_clock_s.unwrap() - 1.5).abs() < 0.01);
    for number in 10..17 {
        assert_eq!(dated(&mut scene, number, -6.0), Vec::<String>::new(), "a slow upload or two are no clock");
    }
    assert_eq!(dated(&mut scene, 17, -6.0), ["clock-drift a/p.m3u8"]);
    assert_eq!(dated(&mut scene, 18, -1.0), Vec::<String>::new());
    assert_eq!(dated(&mut scene, 19, 5.0), Vec::<String>::new(), "counted at once, and not told twice in half a minute");
    assert_eq!(scene.report()[0].renditions[0].troubles, ["clock-drift"]);
    dated(&mut scene, 30, -1.0);
    dated(&mut scene, 31, -1.0);
    dated(&mut scene, 32, -1.0);
    assert_eq!(scene.report()[0].renditions[0].troubles, ["clock-drift", "slow-upload"]);
    for number in 50..55 {
        scene.turn("b", number);
    }
    assert!(!scene.look().contains(&"window-lost b/p.m3u8".to_owned()));
    scene.stored.remove(&key("b/50.ts"));
    assert!(!scene.look().contains(&"window-lost b/p.m3u8".to_owned()), "the next version may do without it");
    scene.stored.remove(&key("b/51.ts"));
    scene.pass(1.0);
    scene.turn("b", 55);
    assert!(scene.look().contains(&"window-lost b/p.m3u8".to_owned()));
}

#[test]
fn a_playlist_that_makes_no_sense_is_told_and_forgiven() {
    let mut scene = Scene::new();
    scene.turn("a", 1);
    let _ = scene.look();
    scene.playlist("a/p.m3u8", "<html>");
    assert_eq!(scene.look(), ["broken-playlist a/p.m3u8"]);
    assert!(scene.report()[0].renditions[0].fault.is_some());
    scene.turn("a", 2);
    assert_eq!(scene.look(), Vec::<String>::new());
    assert!(scene.report()[0].renditions[0].fault.is_none());
}

#[test]
fn requests_for_what_is_not_there_yet_are_judged() {
    let mut scene = Scene::new();
    let head = "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=1.5\n#EXT-X-PART-INF:PART-TARGET=0.5\n";
    let parts = "#EXT-X-PART:DURATION=0.5,URI=\"6.0.m4s\"\n#EXT-X-PART:DURATION=0.5,URI=\"6.1.m4s\"\n\
                 #EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"6.2.m4s\"\n";
    scene.media("a/p.m3u8", 5, &format!("{head}{parts}"));
    let ask = |scene: &Scene, msn, part| scene.live.reload(&key("a/p.m3u8"), msn, part);
    assert_eq!(ask(&scene, 5, None), Reload::Answer);
    assert_eq!(ask(&scene, 6, Some(1)), Reload::Answer);
    assert_eq!(ask(&scene, 6, Some(2)), Reload::Wait(seconds(6.0)));
    assert_eq!(ask(&scene, 6, None), Reload::Wait(seconds(6.0)));
    assert_eq!(ask(&scene, 7, None), Reload::Wait(seconds(6.0)), "two past the last whole one");
    assert_eq!(ask(&scene, 8, None), Reload::TooFar);
    assert_eq!(ask(&scene, 6, Some(7)), Reload::Wait(seconds(6.0)));
    assert_eq!(ask(&scene, 6, Some(8)), Reload::TooFar, "six parts are three seconds");
    assert_eq!(ask(&scene, u64::MAX, Some(u64::MAX)), Reload::TooFar);
    assert_eq!(scene.awaits("a/6.2.m4s"), Some(seconds(2.0)), "it is announced");
    scene.media("a/p.m3u8", 6, head);
    assert_eq!(scene.awaits("a/6.2.m4s"), None, "and not any more");
    scene.media("b/p.m3u8", 5, "");
    assert_eq!(scene.live.reload(&key("b/p.m3u8"), 9, None), Reload::Answer, "only where it is offered");
    assert_eq!(scene.live.reload(&key("c/p.m3u8"), 9, None), Reload::Answer);
}
