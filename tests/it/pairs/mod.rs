//! Two encoders, one public stream: either may go at any time, and what viewers are served goes on by the rules.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use self::encoders::{LivePair, PairClocks};
use crate::durable;
use crate::harness::{NAMESPACE, Origin, eventually};
use crate::normalise::Viewer;
use crate::programs::program;
use crate::wire::Request;

mod copies;
pub(crate) mod encoders;
mod kept;
mod lives;
pub(crate) mod manifests;
mod screens;
mod sent;
pub(crate) mod shown;
mod told;
mod unsound;
mod wanted;

pub(crate) const PAIR: &str = "[[namespaces.live-origin.pairs]]\npublic = \"live/\"\nsources = [\"live-a/\", \"live-b/\"]\n";

/// The same pictures, made twice with other losses: segments of a second with the same times, in two folders.
pub(crate) fn twins(folder: &Path) -> [Vec<PathBuf>; 2] {
    ["20", "32"].map(|quality| {
        let own = folder.join(quality);
        fs::create_dir(&own).unwrap();
        let mut ffmpeg = program("ffmpeg");
        ffmpeg.args("-nostdin -v error -f lavfi -i testsrc2=size=160x90:rate=10 -t 40 -c:v libx264 -preset ultrafast".split(' '));
        ffmpeg.args("-g 10 -keyint_min 10 -sc_threshold 0 -bf 0 -threads 1 -pix_fmt yuv420p -qp".split(' ')).arg(quality);
        ffmpeg.args("-f hls -hls_time 1 -hls_list_size 0 -hls_segment_filename".split(' ')).arg(own.join("s%05d.ts"));
        assert!(ffmpeg.arg(own.join("p.m3u8")).status().unwrap().success());
        (0..40).map(|number| own.join(format!("s{number:05}.ts"))).collect()
    })
}

/// An encoder that has these segments: which slot it writes next as which number.
pub(crate) struct ScriptedSide<'a> {
    pub(crate) origin: &'a Origin,
    pub(crate) folder: &'static str,
    pub(crate) segments: &'a [PathBuf],
    pub(crate) first: usize,
    pub(crate) next: usize,
}

impl ScriptedSide<'_> {
    /// Writes the segment of this slot, and its playlist.
    pub(crate) fn push(&mut self, slot: usize) {
        self.origin.store(&format!("{}v{}.ts", self.folder, self.next), fs::read(&self.segments[slot]).unwrap());
        self.list();
    }

    /// Its playlist has one more segment.
    fn list(&mut self) {
        self.next += 1;
        let first = self.first.max(self.next.saturating_sub(5));
        let lines: String = (first..self.next).map(|number| format!("#EXTINF:1.000000,\nv{number}.ts\n")).collect();
        let head = format!("#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:{first}\n");
        self.origin.store(&format!("{}p.m3u8", self.folder), head + &lines);
    }

    pub(crate) fn begins_anew(&mut self) {
        self.counts_from(0);
    }

    /// Its next segment has this number, and is the first of its playlist.
    pub(crate) fn counts_from(&mut self, number: usize) {
        (self.first, self.next) = (number, number);
    }
}

/// Two encoders of the same pictures, which count from 0: each writes to one of these servers.
pub(crate) fn sides<'a>(origins: [&'a Origin; 2], slots: &'a [Vec<PathBuf>; 2]) -> [ScriptedSide<'a>; 2] {
    let side = |folder, own: usize| ScriptedSide { origin: origins[own], folder, segments: &slots[own], first: 0, next: 0 };
    [side("live-a/", 0), side("live-b/", 1)]
}

pub(crate) fn pairs(origin: &Origin) -> Vec<Value> {
    let answer = Request::new("GET", "/v1/pairs").send(origin.admin);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let said: Value = serde_json::from_slice(&answer.body).unwrap();
    said["pairs"].as_array().unwrap().clone()
}

/// Wants a source, or none any more.
pub(crate) fn pin(origin: &Origin, source: Option<&str>) {
    let order = json!({ "namespace": NAMESPACE, "public": "live/", "source": source, "for": "10m" });
    let pin = Request::new("POST", "/v1/pairs/pin").bearer(&origin.administrator).header("Content-Type", "application/json");
    let pin = pin.body(order.to_string()).send(origin.admin);
    assert_eq!(pin.status, 200, "{}", pin.text());
}

/// Looks until a segment of this slot is the newest that viewers have, from whichever side.
fn shows(origin: &Origin, viewer: &mut Viewer, slots: &[Vec<PathBuf>; 2], slot: usize) -> usize {
    let side = |uri: &str| {
        let body = origin.get(&format!("live/{uri}"));
        assert_eq!(body.status, 200, "{uri}");
        (0..2).find(|side| fs::read(&slots[*side][slot]).unwrap() == body.body)
    };
    let newest = || {
        let text = viewer.look(origin, "live/p.m3u8");
        side(text.lines().rfind(|line| !line.starts_with('#'))?)
    };
    eventually(Duration::from_secs(10), newest)
        .unwrap_or_else(|| panic!("slot {slot} of {:?}, {:?}", viewer.versions.last(), pairs(origin)))
}

#[test]
fn either_of_two_aligned_encoders_goes_and_comes_and_viewers_miss_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let slots = twins(folder.path());
    let origin = Origin::start_with_settings(PAIR);
    let mut viewer = Viewer::default();
    let [mut a, mut b] = sides([&origin; 2], &slots);
    a.counts_from(100);
    b.counts_from(500);
    for slot in 0..6 {
        a.push(slot);
        b.push(slot);
        assert_eq!(shows(&origin, &mut viewer, &slots, slot), 0);
    }
    assert_eq!(pairs(&origin)[0]["relation"], "aligned", "{:?}", pairs(&origin));
    // One that A lists and never sends: B's copy stands there.
    a.list();
    b.push(6);
    assert_eq!(shows(&origin, &mut viewer, &slots, 6), 1);
    // One that A sends damaged: cut off in a packet.
    origin.store("live-a/v107.ts", &fs::read(&slots[0][7]).unwrap()[..1000]);
    a.list();
    b.push(7);
    assert_eq!(shows(&origin, &mut viewer, &slots, 7), 1);
    // A is killed.
    for slot in 8..14 {
        b.push(slot);
        assert_eq!(shows(&origin, &mut viewer, &slots, slot), 1);
    }
    assert_eq!(pairs(&origin)[0]["active"], "b");
    // It begins again, from 0, and the other is killed.
    a.begins_anew();
    for slot in 14..20 {
        a.push(slot);
        b.push(slot);
        shows(&origin, &mut viewer, &slots, slot);
    }
    for slot in 20..26 {
        a.push(slot);
        assert_eq!(shows(&origin, &mut viewer, &slots, slot), 0);
    }
    // B is back, and A says that it is over.
    b.begins_anew();
    for slot in 26..32 {
        a.push(slot);
        b.push(slot);
        shows(&origin, &mut viewer, &slots, slot);
    }
    let delete = Request::new("DELETE", origin.path("live-a/p.m3u8")).bearer(&origin.encoder).send(origin.address);
    assert_eq!(delete.status, 204);
    b.push(32);
    assert_eq!(shows(&origin, &mut viewer, &slots, 32), 1);
    // Somebody wants A again.
    for slot in 33..38 {
        a.push(slot);
        b.push(slot);
        shows(&origin, &mut viewer, &slots, slot);
    }
    pin(&origin, Some("a"));
    a.push(38);
    b.push(38);
    assert_eq!(shows(&origin, &mut viewer, &slots, 38), 0, "{:?}", pairs(&origin));
    assert_eq!((&pairs(&origin)[0]["pinned"], &pairs(&origin)[0]["active"]), (&json!("a"), &json!("a")));
    let all = viewer.versions.concat();
    assert!(!all.contains("#EXT-X-DISCONTINUITY\n") && !all.contains("EXT-X-GAP"), "{}", viewer.versions.last().unwrap());
    assert_eq!(viewer.shown().len(), 39, "each once: {:?}", viewer.shown());
    let told = |event: &str| origin.log().iter().filter(|line| line["event"] == event).count();
    let is_told = || (told("source-switched") >= 2).then_some(());
    assert!(eventually(Duration::from_secs(10), is_told).is_some(), "{:?}", pairs(&origin));
    assert!(origin.metric("springhead_pair_switches_total{namespace=\"live-origin\"}") >= 2.0);
    assert!(origin.metric("springhead_pair_lent_total{namespace=\"live-origin\"}") >= 2.0);
}

#[test]
fn the_renditions_of_a_stream_go_to_the_other_side_together_and_that_is_told_once() {
    let folder = tempfile::tempdir().unwrap();
    let slots = twins(folder.path());
    let origin = Origin::start_with_settings(PAIR);
    let master = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1000\np.m3u8\n#EXT-X-STREAM-INF:BANDWIDTH=2000\nq/p.m3u8\n";
    origin.store("live-a/master.m3u8", master);
    origin.store("live-b/master.m3u8", master);
    assert_eq!(origin.get("live/master.m3u8").text(), master);
    let side =
        |folder: &'static str, own: usize| ScriptedSide { origin: &origin, folder, segments: &slots[own], first: 0, next: 0 };
    let mut a = [side("live-a/", 0), side("live-a/q/", 0)];
    let mut b = [side("live-b/", 1), side("live-b/q/", 1)];
    let mut viewers = [Viewer::default(), Viewer::default()];
    let newest = |viewers: &mut [Viewer; 2], slot: usize, own: usize| {
        for (viewer, folder) in viewers.iter_mut().zip(["live/", "live/q/"]) {
            let is_shown = || {
                let text = viewer.look(&origin, &format!("{folder}p.m3u8"));
                let uri = text.lines().rfind(|line| !line.starts_with('#'))?;
                let is_it = origin.get(&format!("{folder}{uri}")).body == fs::read(&slots[own][slot]).unwrap();
                is_it.then_some(())
            };
            let shown = eventually(Duration::from_secs(10), is_shown);
            assert!(shown.is_some(), "slot {slot} in {folder}: {:?}, {:?}", viewer.versions.last(), pairs(&origin));
        }
    };
    for slot in 0..6 {
        a.iter_mut().chain(&mut b).for_each(|side| side.push(slot));
        newest(&mut viewers, slot, 0);
    }
    for slot in 6..10 {
        b.iter_mut().for_each(|side| side.push(slot));
        newest(&mut viewers, slot, 1);
    }
    let all = pairs(&origin);
    assert!(all.len() == 2 && all.iter().all(|pair| pair["active"] == "b" && pair["relation"] == "aligned"), "{all:?}");
    thread::sleep(Duration::from_millis(1500));
    let told: Vec<_> = origin.log().into_iter().filter(|line| line["event"] == "source-switched").collect();
    assert!(told.len() == 1 && told[0].to_string().contains("live/master.m3u8"), "{told:?}");
    assert!(viewers.iter().all(|viewer| !viewer.versions.concat().contains("#EXT-X-DISCONTINUITY\n")));
}

#[test]
fn a_killed_server_goes_on_with_the_side_that_lives() {
    let folder = tempfile::tempdir().unwrap();
    let slots = twins(folder.path());
    let (mut origin, _folder) = durable::start(&format!("default_ttl = \"1h\"\n{PAIR}"));
    let mut viewer = Viewer::default();
    let numbers = {
        let [mut a, mut b] = sides([&origin; 2], &slots);
        for slot in 0..8 {
            a.push(slot);
            b.push(slot);
            shows(&origin, &mut viewer, &slots, slot);
        }
        b.next
    };
    durable::kill_and_start(&mut origin);
    // A is gone with it.
    let [_, mut b] = sides([&origin; 2], &slots);
    b.next = numbers;
    for slot in 8..14 {
        b.push(slot);
        assert_eq!(shows(&origin, &mut viewer, &slots, slot), 1);
    }
    assert_eq!(viewer.shown().len(), 14, "{:?}", viewer.versions.last());
    assert!(!viewer.versions.concat().contains("#EXT-X-DISCONTINUITY\n"));
}

/// Looks until the pair stands like that.
pub(crate) fn wait_for_pair(origin: &Origin, what: &str, is_so: impl Fn(&Value) -> bool) {
    let found = || pairs(origin).iter().any(&is_so).then_some(());
    assert!(eventually(Duration::from_secs(40), found).is_some(), "{what}: {:?}", pairs(origin));
}

pub(crate) fn is_well(pair: &Value) -> bool {
    pair["relation"] == "aligned" && pair["sources"].as_array().unwrap().iter().all(|source| source["up"] == true)
}

#[test]
fn real_encoders_are_killed_in_turn_and_what_viewers_get_goes_on_without_a_mark() {
    let origin = Origin::start_with_settings(PAIR);
    let live = LivePair::start(PairClocks::Aligned);
    let a = live.encoder(&origin, 0);
    thread::sleep(Duration::from_millis(2300));
    let b = live.encoder(&origin, 1);
    wait_for_pair(&origin, "both are pushed", is_well);
    let mut viewer = Viewer::default();
    let mut watch = |seconds: u64| {
        let until = Instant::now() + Duration::from_secs(seconds);
        while Instant::now() < until {
            let text = viewer.look(&origin, "live/p.m3u8");
            let newest = text.lines().rfind(|line| !line.starts_with('#')).unwrap();
            assert_eq!(origin.get(&format!("live/{newest}")).status, 200, "{newest} of {text}");
            thread::sleep(Duration::from_millis(50));
        }
    };
    watch(4);
    let active = |origin: &Origin| pairs(origin)[0]["active"].as_str().unwrap().to_owned();
    let first = active(&origin);
    let (dies, lives, side) = if first == "a" { (a, b, 0) } else { (b, a, 1) };
    drop(dies);
    watch(8);
    assert_ne!(active(&origin), first, "{:?}", pairs(&origin));
    let _again = live.encoder(&origin, side);
    wait_for_pair(&origin, "it is back", is_well);
    watch(3);
    drop(lives);
    watch(8);
    assert_eq!(active(&origin), first, "{:?}", pairs(&origin));
    let all = viewer.versions.concat();
    assert!(!all.contains("#EXT-X-DISCONTINUITY\n"), "{:?} {:?}", viewer.versions.last(), pairs(&origin));
    let told = |event: &str| origin.log().iter().filter(|line| line["event"] == event).count();
    let is_told =
        || (told("source-switched") >= 2 && told("source-degraded") >= 2 && told("source-recovered") >= 1).then_some(());
    assert!(eventually(Duration::from_secs(10), is_told).is_some(), "{:?}", pairs(&origin));
    assert!(origin.metric("springhead_pair_sources_down{namespace=\"live-origin\"}") > 0.5);
    let shown = viewer.shown().len();
    assert!(shown >= 22, "{shown}: {:?}", viewer.versions.last());
}
