//! What clients were told under faults, checked: a read says what was answered before it began, or something newer, and never less than an
//! earlier read.
//!
//! One process asks and notes, by one clock. Each object has one writer, which counts; a body says whose it is and how far its writer had
//! counted, and is checked byte for byte.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::kit::Cluster;
use crate::harness::{Finally, NAMESPACE, bytes, eventually};
use crate::wire::Request;

/// Objects that are written again and again: playlists, which are read fresh.
const OBJECTS: usize = 5;
/// One that is written once.
const QUIET: usize = OBJECTS;
/// Faults of one round.
const FAULTS: usize = 12;

/// What somebody asked and was told.
#[derive(Clone, Debug)]
struct Note {
    object: usize,
    node: usize,
    begun: Instant,
    ended: Instant,
    what: Saying,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Saying {
    /// It wrote this, and was told that it is so.
    Written(u64),
    /// It wrote this, and was told nothing, or that nobody knows.
    MayBeWritten(u64),
    /// It read this.
    Read(u64),
    /// It was told that there is nothing.
    ReadNothing,
}

fn name(object: usize) -> String {
    format!("history-{object}/p.m3u8")
}

/// What its writer writes in the end of its count.
fn body(object: usize, count: u64) -> String {
    let filler: String = bytes(count * 31 + object as u64, 400).iter().map(|byte| char::from(b'a' + byte % 26)).collect();
    format!(
        "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:{count}\n## {object} {count} {filler}\n#EXTINF:2.0,\nsegment-{count}.ts\n"
    )
}

/// What is wrong with what was told.
fn faults_of(notes: &[Note]) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut by_object: BTreeMap<usize, Vec<&Note>> = BTreeMap::new();
    for note in notes {
        by_object.entry(note.object).or_default().push(note);
    }
    for notes in by_object.values() {
        // In the order in which they ended, what is the highest that a later one has to know.
        let mut ended: Vec<_> = notes.clone();
        ended.sort_by_key(|note| note.ended);
        let mut begun: Vec<_> = notes.clone();
        begun.sort_by_key(|note| note.begun);
        let (mut next, mut at_least) = (0, 0);
        for read in begun {
            while ended.get(next).is_some_and(|before| before.ended < read.begun) {
                if let Saying::Written(count) | Saying::Read(count) = ended[next].what {
                    at_least = at_least.max(count);
                }
                next += 1;
            }
            let most = notes.iter().filter(|note| note.begun < read.ended).filter_map(|note| match note.what {
                Saying::Written(count) | Saying::MayBeWritten(count) => Some(count),
                _ => None,
            });
            let most = most.max().unwrap_or(0);
            match read.what {
                Saying::Read(count) if count < at_least => {
                    wrong
                        .push(format!("node {} tells an older one than was told, {count} after {at_least}: {read:?}", read.node));
                }
                Saying::Read(count) if count > most => {
                    wrong.push(format!("node {} tells one that nobody had written: {read:?}", read.node));
                }
                Saying::ReadNothing if at_least > 0 => {
                    wrong.push(format!("node {} tells of nothing after {at_least}: {read:?}", read.node));
                }
                _ => {}
            }
        }
    }
    wrong
}

#[test]
fn the_checker_sees_what_is_wrong() {
    let start = Instant::now();
    let at = |millis: u64| start + Duration::from_millis(millis);
    let note = |begun, ended, what| Note { object: 0, node: 0, begun: at(begun), ended: at(ended), what };
    let good = [note(0, 5, Saying::Written(1)), note(4, 9, Saying::ReadNothing), note(10, 12, Saying::Read(1))];
    assert_eq!(faults_of(&[]), [""; 0]);
    assert!(faults_of(&good[..1]).is_empty() && faults_of(&[good[0].clone(), good[2].clone()]).is_empty());
    let with = |more: &[Note]| faults_of(&[&good[..], more].concat()).len();
    assert_eq!(with(&[]), 0, "it began before that was answered");
    assert_eq!(with(&[note(11, 13, Saying::ReadNothing)]), 1);
    assert_eq!(with(&[note(20, 22, Saying::Written(2)), note(23, 24, Saying::Read(1))]), 1);
    assert_eq!(with(&[note(20, 22, Saying::Written(2)), note(21, 24, Saying::Read(1))]), 0);
    assert_eq!(with(&[note(20, 30, Saying::MayBeWritten(2)), note(21, 22, Saying::Read(2)), note(23, 24, Saying::Read(1))]), 1);
    assert_eq!(with(&[note(20, 22, Saying::Read(7))]), 1);
}

/// What goes on while faults happen.
struct Load {
    nodes: Vec<Mutex<SocketAddr>>,
    keys: (String, String),
    notes: Mutex<Vec<Note>>,
    counts: Vec<AtomicU64>,
    refused: AtomicU64,
    is_over: AtomicBool,
}

impl Load {
    fn request(&self, node: usize, method: &str, object: usize, body: String) -> Option<(u16, Vec<u8>)> {
        let key = if method == "GET" { &self.keys.0 } else { &self.keys.1 };
        let path = format!("/cache/{NAMESPACE}/{}", name(object));
        let address = *self.nodes[node].lock();
        let answer = Request::new(method, path).bearer(key).body(body).try_send(address)?;
        Some((answer.status, answer.body))
    }

    fn write(&self, node: usize, object: usize) {
        let count = self.counts[object].fetch_add(1, Ordering::SeqCst) + 1;
        let begun = Instant::now();
        let told = self.request(node, "PUT", object, body(object, count));
        let what = match told {
            Some((204, _)) => Saying::Written(count),
            told => {
                assert!(told.as_ref().is_none_or(|(status, _)| *status == 503), "{told:?}");
                self.refused.fetch_add(1, Ordering::Relaxed);
                Saying::MayBeWritten(count)
            }
        };
        self.note(node, object, begun, what);
    }

    fn read(&self, node: usize, object: usize) {
        let begun = Instant::now();
        match self.request(node, "GET", object, String::new()) {
            Some((200, read)) => {
                let text = String::from_utf8(read).unwrap();
                let count = text.lines().find_map(|line| line.strip_prefix("## ")?.split(' ').nth(1)?.parse().ok());
                let count = count.unwrap_or_else(|| panic!("no body of ours: {text}"));
                assert_eq!(text, body(object, count), "a torn or mixed body");
                self.note(node, object, begun, Saying::Read(count));
            }
            Some((404, _)) => self.note(node, object, begun, Saying::ReadNothing),
            told => {
                assert!(told.as_ref().is_none_or(|(status, _)| *status == 503), "{told:?}");
                self.refused.fetch_add(1, Ordering::Relaxed);
                thread::sleep(Duration::from_millis(5));
            }
        }
    }

    fn note(&self, node: usize, object: usize, begun: Instant, what: Saying) {
        self.notes.lock().push(Note { object, node, begun, ended: Instant::now(), what });
    }
}

/// Writers and readers on two nodes, while one fault after the other happens, each healed before the next.
fn run(mut cluster: Cluster, seed: u64, faults: usize, mut strike: impl FnMut(&mut Cluster, &Load, u64)) -> (Vec<Note>, u64) {
    let load = Load {
        nodes: cluster.nodes.iter().map(|node| Mutex::new(node.address)).collect(),
        keys: (cluster.nodes[0].player.clone(), cluster.nodes[0].encoder.clone()),
        notes: Mutex::default(),
        counts: (0..=OBJECTS).map(|_| AtomicU64::new(0)).collect(),
        refused: AtomicU64::new(0),
        is_over: AtomicBool::new(false),
    };
    load.write(0, QUIET);
    thread::scope(|scope| {
        let _over = Finally(&load.is_over);
        for object in 0..=OBJECTS {
            let load = &load;
            scope.spawn(move || {
                while object != QUIET && !load.is_over.load(Ordering::SeqCst) {
                    load.write(usize::try_from(load.counts[object].load(Ordering::SeqCst)).unwrap() % 2, object);
                    thread::sleep(Duration::from_millis(20));
                }
            });
            for node in 0..2 {
                scope.spawn(move || {
                    while !load.is_over.load(Ordering::SeqCst) {
                        load.read(node, object);
                        thread::sleep(Duration::from_millis(3));
                    }
                });
            }
        }
        for fault in 0..faults {
            thread::sleep(Duration::from_millis(300));
            let chance = u64::from_le_bytes(bytes(seed + fault as u64, 8).try_into().unwrap());
            strike(&mut cluster, &load, chance);
            let healed = |node: usize, object: usize| {
                load.request(node, "GET", object, String::new()).is_some_and(|(status, _)| status == 200)
            };
            for node in 0..2 {
                for object in 0..=OBJECTS {
                    if cluster.is_without_rule() {
                        continue;
                    }
                    let is_healed = eventually(Duration::from_secs(20), || healed(node, object).then_some(()));
                    assert!(is_healed.is_some(), "seed {seed}: node {node} does not come back after fault {fault}");
                }
            }
        }
    });
    if !cluster.is_without_rule() {
        // In the end every node has what was answered last.
        (0..2).for_each(|node| (0..=OBJECTS).for_each(|object| load.read(node, object)));
    }
    let notes = std::mem::take(&mut *load.notes.lock());
    for object in 0..=OBJECTS {
        let last = notes.iter().filter(|note| note.object == object).filter_map(|note| match note.what {
            Saying::Written(count) => Some(count),
            _ => None,
        });
        let last = last.max().unwrap_or(0);
        assert!(last > 0, "seed {seed}: nothing of object {object} was written");
    }
    (notes, load.refused.load(Ordering::Relaxed))
}

fn restart(cluster: &mut Cluster, load: &Load, node: usize) {
    cluster.nodes[node].signal("KILL");
    let _ = cluster.nodes[node].wait();
    cluster.nodes[node].launch();
    *load.nodes[node].lock() = cluster.nodes[node].address;
}

#[test]
fn under_faults_nothing_old_is_told_and_nothing_is_lost() {
    let seed = std::env::var("SPRINGHEAD_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(14);
    let mut story = Vec::new();
    let (notes, refused) = run(Cluster::start(2, ""), seed, FAULTS, |cluster, load, chance| {
        let node = usize::try_from(chance >> 8 & 1).unwrap();
        let pause = Duration::from_millis(100 + (chance >> 16) % 1_200);
        let what = match chance % 5 {
            0 => {
                cluster.links[node].reset();
                "its links are reset"
            }
            1 => {
                cluster.links[node].cut();
                thread::sleep(pause);
                cluster.links[node].heal();
                "its links are cut"
            }
            2 => {
                cluster.links[node].hold();
                thread::sleep(pause);
                cluster.links[node].heal();
                "its links are held"
            }
            3 => {
                restart(cluster, load, node);
                "it is killed"
            }
            _ => {
                cluster.engine.kill();
                thread::sleep(pause);
                cluster.engine.launch();
                "the engine is killed, and comes back empty"
            }
        };
        story.push(format!("node {node}, {pause:?}: {what}"));
    });
    let wrong = faults_of(&notes);
    assert!(
        wrong.is_empty(),
        "seed {seed}: {} of {} are wrong:\n{}\nafter\n{}",
        wrong.len(),
        notes.len(),
        wrong[..wrong.len().min(8)].join("\n"),
        story.join("\n")
    );
    println!("seed {seed}: {} told, {refused} refused, after\n{}", notes.len(), story.join("\n"));
    assert!(notes.len() > 1_000, "seed {seed}: only {} were told", notes.len());
}

/// What the rules are good for: without one of them the checker has something to say.
#[test]
fn without_a_rule_something_old_is_told_or_something_is_lost() {
    for without in ["barrier", "assertion"] {
        let cluster = Cluster::start_without(Some(without), 2, "");
        let (notes, _) = run(cluster, 14, 3, |cluster, load, chance| {
            if without == "barrier" {
                let link = &cluster.links[usize::try_from(chance & 1).unwrap()];
                link.hold();
                thread::sleep(Duration::from_millis(600));
                link.heal();
            } else {
                // What was stored before is known to the nodes alone, and then to one of them alone.
                cluster.engine.kill();
                cluster.engine.launch();
                thread::sleep(Duration::from_millis(1_500));
                restart(cluster, load, 1);
            }
            thread::sleep(Duration::from_millis(700));
        });
        let wrong = faults_of(&notes);
        assert!(!wrong.is_empty(), "without the {without} nothing goes wrong in {} that were told", notes.len());
    }
}
