//! What nodes tell while everything around them fails, checked ([`super::checker`]).
//!
//! One process asks and notes. Playlists are written again and again, each by one writer on all nodes in turn; one is removed in between, one
//! is short-lived, and one has a writer on each node, who writes under conditions. A body says whose it is and how far was counted, and is
//! checked byte for byte.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::checker::{Counted, Note, Saying, Written, faults_of};
use super::kit::{Cluster, Engine};
use super::starved::{AskedEngine, Lateness, story};
use crate::harness::{Finally, NAMESPACE, bytes, eventually};
use crate::wire::{Answer, Request};

/// Objects that have one writer.
const OBJECTS: usize = 4;
/// One that is removed in between, one that expires, one with several writers, and one that is written once.
const REMOVED: usize = OBJECTS;
const SHORT: usize = OBJECTS + 1;
const CONTESTED: usize = OBJECTS + 2;
const QUIET: usize = OBJECTS + 3;
const ALL: usize = OBJECTS + 4;
/// Readers of one node, each of as many objects.
const READERS: usize = 4;
/// Faults of one round; other numbers by `SPRINGHEAD_TEST_FAULTS`.
const FAULTS: usize = 12;
const FAULTS_OF_SHARDS: usize = 7;
/// For so long the short-lived one is there.
const LIVES: Duration = Duration::from_secs(1);
/// Where an engine, by itself, comes back empty, what no node has in its memory is answered 503: by nobody later than so.
const EMPTY: Duration = Duration::from_secs(10);
const IS_EMPTY: &str = "the engine is killed, and comes back empty";

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// What its writer writes in the end of its count.
fn body(object: usize, of: Counted) -> String {
    let Counted { count, writer } = of;
    let filler: String = bytes(count * 31 + object as u64, 400).iter().map(|byte| char::from(b'a' + byte % 26)).collect();
    format!(
        "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:{count}\n## {object} {count} {writer} {filler}\n#EXTINF:2.0,\nsegment-{count}.ts\n"
    )
}

/// What goes on while faults happen.
struct Load {
    nodes: Vec<Mutex<SocketAddr>>,
    keys: (String, String),
    notes: Mutex<Vec<Note>>,
    counts: Vec<AtomicU64>,
    /// Requests that broke off, with their node.
    refused: AtomicU64,
    /// Those that were answered 503.
    sent_away: Mutex<Vec<Instant>>,
    /// By how much processors were missed.
    late: Lateness,
    is_over: AtomicBool,
}

/// What came of it.
struct Told {
    notes: Vec<Note>,
    refused: u64,
    sent_away: Vec<Instant>,
    /// When which fault struck.
    struck: Vec<(Instant, String)>,
    /// Whether the machine gave nodes and engine no processors.
    is_starved: bool,
}

impl Load {
    fn ask(&self, node: usize, method: &str, object: usize, dress: impl FnOnce(Request) -> Request) -> Option<Answer> {
        let key = if method == "GET" { &self.keys.0 } else { &self.keys.1 };
        let short = if object == SHORT && method == "PUT" { "?ttl_seconds=1" } else { "" };
        let request = Request::new(method, format!("/cache/{NAMESPACE}/history-{object}/p.m3u8{short}")).bearer(key);
        let address = *self.nodes[node].lock();
        dress(request).try_send(address)
    }

    /// Whether it was told either way.
    fn write(&self, node: usize, object: usize) {
        let count = self.counts[object].fetch_add(1, Ordering::SeqCst) + 1;
        let of = Counted { count, writer: 0 };
        let is_removal = object == REMOVED && count.is_multiple_of(3);
        let begun = Instant::now();
        let told = match is_removal {
            true => self.ask(node, "DELETE", object, |request| request),
            false => self.ask(node, "PUT", object, |request| request.body(body(object, of))),
        };
        let lives = (object == SHORT).then_some(LIVES);
        self.written(node, object, begun, Written { of, is_removal, lives }, told.as_ref());
    }

    fn written(&self, node: usize, object: usize, begun: Instant, written: Written, told: Option<&Answer>) {
        let what = match told.map(|answer| answer.status) {
            Some(204) => Saying::Written(written),
            // Final: nothing has happened.
            Some(412) => return,
            status => {
                self.refused(status);
                Saying::MayBeWritten(written)
            }
        };
        self.note(node, object, begun, what);
    }

    /// Writes the next version, where nobody else does meanwhile.
    fn contest(&self, node: usize) {
        let Some(read) = self.read(node, CONTESTED) else { return };
        let of = Counted { count: read.as_ref().map_or(0, |(count, _)| *count) + 1, writer: node + 1 };
        let begun = Instant::now();
        let told = self.ask(node, "PUT", CONTESTED, |request| {
            let request = match &read {
                Some((_, etag)) => request.header("If-Match", etag.as_str()),
                None => request.header("If-None-Match", "*"),
            };
            request.body(body(CONTESTED, of))
        });
        self.counts[CONTESTED].fetch_max(of.count, Ordering::SeqCst);
        self.written(node, CONTESTED, begun, Written { of, is_removal: false, lives: None }, told.as_ref());
    }

    /// Which version it read, and its tag; `Some(None)`: there is nothing.
    fn read(&self, node: usize, object: usize) -> Option<Option<(u64, String)>> {
        let begun = Instant::now();
        match self.ask(node, "GET", object, |request| request) {
            Some(answer) if answer.status == 200 => {
                let text = answer.text();
                let mut numbers = text.lines().find_map(|line| line.strip_prefix("## ")).unwrap_or_default().split(' ').skip(1);
                let (count, writer) = (numbers.next(), numbers.next());
                let of = count.and_then(|count| Some(Counted { count: count.parse().ok()?, writer: writer?.parse().ok()? }));
                let of = of.unwrap_or_else(|| panic!("no body of ours: {text}"));
                assert_eq!(text, body(object, of), "a torn or mixed body");
                self.note(node, object, begun, Saying::Read(of));
                Some(Some((of.count, answer.header("etag").to_owned())))
            }
            Some(answer) if answer.status == 404 => {
                self.note(node, object, begun, Saying::ReadNothing);
                Some(None)
            }
            told => {
                self.refused(told.map(|answer| answer.status));
                thread::sleep(Duration::from_millis(5));
                None
            }
        }
    }

    fn refused(&self, status: Option<u16>) {
        match status {
            None => drop(self.refused.fetch_add(1, Ordering::Relaxed)),
            Some(status) => {
                assert_eq!(status, 503);
                self.sent_away.lock().push(Instant::now());
            }
        }
    }

    fn note(&self, node: usize, object: usize, begun: Instant, what: Saying) {
        self.notes.lock().push(Note { object, node, begun, ended: Instant::now(), what });
    }

    fn go_on_writing(&self, object: usize) {
        while !self.is_over.load(Ordering::SeqCst) {
            let turn = usize::try_from(self.counts[object].load(Ordering::SeqCst)).unwrap();
            self.write(turn % self.nodes.len(), object);
            thread::sleep(Duration::from_millis(if object == SHORT { 1_400 } else { 20 }));
        }
    }

    fn go_on_contesting(&self, node: usize) {
        while !self.is_over.load(Ordering::SeqCst) {
            self.contest(node);
            thread::sleep(Duration::from_millis(25));
        }
    }

    fn go_on_reading(&self, node: usize, reader: usize) {
        while !self.is_over.load(Ordering::SeqCst) {
            for object in (reader..ALL).step_by(READERS) {
                self.read(node, object);
                thread::sleep(Duration::from_millis(2));
            }
        }
    }
}

/// Writers and readers on all nodes, while one fault after the other happens, each healed before the next.
fn run<E: AskedEngine>(
    mut cluster: Cluster<E>,
    seed: u64,
    faults: usize,
    mut strike: impl FnMut(&mut Cluster<E>, &Load, u64) -> String,
) -> Told {
    let load = Load {
        nodes: cluster.nodes.iter().map(|node| Mutex::new(node.address)).collect(),
        keys: (cluster.nodes[0].player.clone(), cluster.nodes[0].encoder.clone()),
        notes: Mutex::default(),
        counts: (0..ALL).map(|_| AtomicU64::new(0)).collect(),
        refused: AtomicU64::new(0),
        sent_away: Mutex::default(),
        late: Lateness::default(),
        is_over: AtomicBool::new(false),
    };
    let (mut struck, is_whole, nodes) = (Vec::new(), !cluster.is_without_rule(), cluster.nodes.len());
    let all_begun = Instant::now();
    load.write(0, QUIET);
    thread::scope(|scope| {
        let (_over, load) = (Finally(&load.is_over), &load);
        scope.spawn(move || load.late.measure(&load.is_over));
        (0..=SHORT).for_each(|object| drop(scope.spawn(move || load.go_on_writing(object))));
        for node in 0..nodes {
            scope.spawn(move || load.go_on_contesting(node));
            (0..READERS).for_each(|reader| drop(scope.spawn(move || load.go_on_reading(node, reader))));
        }
        for fault in 0..faults {
            thread::sleep(Duration::from_millis(300));
            let chance = u64::from_le_bytes(bytes(seed + fault as u64, 8).try_into().unwrap());
            let begun = Instant::now();
            struck.push((begun, strike(&mut cluster, load, chance)));
            let is_served = |node: usize, object: usize| {
                let answer = load.ask(node, "GET", object, |request| request);
                answer.is_some_and(|answer| matches!(answer.status, 200 | 404)).then_some(())
            };
            for (node, object) in (0..nodes).flat_map(|node| (0..ALL).map(move |object| (node, object))).filter(|_| is_whole) {
                let is_healed = eventually(Duration::from_secs(20), || is_served(node, object));
                assert!(
                    is_healed.is_some(),
                    "seed {seed}: node {node} does not come back within 20 s after {}\n{}",
                    struck.last().map(|(_, what)| what.as_str()).unwrap_or_default(),
                    story(&cluster, &load.late, begun)
                );
            }
        }
    });
    if is_whole {
        // In the end every node has what was answered last.
        for (node, object) in (0..nodes).flat_map(|node| (0..ALL).map(move |object| (node, object))) {
            let read = eventually(Duration::from_secs(20), || load.read(node, object));
            assert!(read.is_some(), "seed {seed}: in the end node {node} tells nothing of {object}");
        }
    }
    let is_starved = load.late.is_starved(all_begun);
    let notes = std::mem::take(&mut *load.notes.lock());
    for object in 0..ALL {
        let is_written = |note: &Note| note.object == object && matches!(note.what, Saying::Written(_));
        assert!(notes.iter().any(is_written), "seed {seed}: nothing of object {object} was written");
    }
    let (refused, sent_away) = (load.refused.load(Ordering::Relaxed), std::mem::take(&mut *load.sent_away.lock()));
    Told { notes, refused, sent_away, struck, is_starved }
}

impl Told {
    /// How long somebody waited for an answer at most, who asked about when a fault struck.
    fn longest(&self, struck: Instant) -> Duration {
        let next = self.struck.iter().map(|(at, _)| *at).filter(|at| *at > struck).min();
        let until = next.unwrap_or(struck + Duration::from_secs(4)).min(struck + Duration::from_secs(4));
        let within = |note: &&Note| note.ended > struck && note.begun < until;
        self.notes.iter().filter(within).map(|note| note.ended.min(until) - note.begun.max(struck)).max().unwrap_or_default()
    }

    fn assert_good(&self, seed: u64) {
        let wrong = faults_of(&self.notes);
        let story: Vec<_> = self.struck.iter().map(|(at, what)| format!("{what}: {:?}", self.longest(*at))).collect();
        let (story, told) = (story.join("\n"), self.notes.len());
        let some = wrong[..wrong.len().min(8)].join("\n");
        assert!(wrong.is_empty(), "seed {seed}: {} of {told} are wrong:\n{some}\nafter\n{story}", wrong.len());
        let faults = self.struck.len();
        let (refused, away) = (self.refused, self.sent_away.len());
        let reads = self.notes.iter().filter(|note| matches!(note.what, Saying::Read(_) | Saying::ReadNothing)).count();
        eprintln!(
            "\nhistory: seed {seed}, {faults} faults, {told} told, {away} answered 503, {refused} broke off, 0 wrong; {reads} of them reads; the longest waited for\n{story}"
        );
        for (at, what) in &self.struck {
            let next = self.struck.iter().map(|(at, _)| *at).filter(|next| next > at).min();
            let away = self.sent_away.iter().filter(|away| *away > at && next.is_none_or(|next| **away < next)).count();
            if away > 0 {
                eprintln!("answered 503 after {what}: {away}");
            }
        }
        assert!(told > 1_000, "seed {seed}: only {told} were told");
        self.assert_few_sent_away(seed);
    }

    /// Nobody is sent away, but where the engine, by itself, had come back empty. Beside other tests, which take the processors from nodes and
    /// engine, it is next to nobody: time limits there are fractions of a second.
    fn assert_few_sent_away(&self, seed: u64) {
        let is_excused =
            |away: Instant| self.struck.iter().any(|(at, what)| what.ends_with(IS_EMPTY) && away > *at && away < *at + EMPTY);
        let away = self.sent_away.iter().filter(|away| !is_excused(**away)).count();
        let has_its_processors = from_environment("SPRINGHEAD_TEST_SEED").is_some() && !self.is_starved;
        let most = if has_its_processors { 0 } else { self.notes.len() / 100 };
        assert!(away <= most, "seed {seed}: {away} of {} were sent away", self.notes.len());
    }
}

fn restart<E>(cluster: &mut Cluster<E>, load: &Load, node: usize) {
    cluster.nodes[node].signal("KILL");
    let _ = cluster.nodes[node].wait();
    cluster.nodes[node].launch();
    *load.nodes[node].lock() = cluster.nodes[node].address;
}

fn seed_and_faults(faults: usize) -> (u64, usize) {
    let faults = from_environment("SPRINGHEAD_TEST_FAULTS").and_then(|count| usize::try_from(count).ok()).unwrap_or(faults);
    (from_environment("SPRINGHEAD_TEST_SEED").unwrap_or(14), faults)
}

#[test]
fn under_faults_nothing_old_is_told_and_nothing_is_lost() {
    let (seed, faults) = seed_and_faults(FAULTS);
    let told = run(Cluster::<Engine>::start(3, ""), seed, faults, |cluster, load, chance| {
        let node = usize::try_from((chance >> 8) % 3).unwrap();
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
                IS_EMPTY
            }
        };
        format!("node {node}, {pause:?}: {what}")
    });
    told.assert_good(seed);
}

/// A Valkey Cluster whose primary is killed, frozen, emptied, handed over: nobody is sent away, and nothing that was answered is lost.
#[test]
fn when_the_engines_primary_fails_another_takes_over() {
    let (seed, faults) = seed_and_faults(FAULTS_OF_SHARDS);
    let (mut count, cluster) = (0, Cluster::start_on_shards(None, 3));
    // All of it is on one machine.
    let balanced = cluster.nodes[0].run(&["cluster", "balance", "--config", &cluster.config(0)]);
    assert!(balanced.status.success() && balanced.stdout.starts_with(b"nothing to move"), "{balanced:?}");
    let told = run(cluster, seed, faults, |cluster, load, chance| {
        let (primary, kind, begun) = (cluster.engine.primary_now(), count % 7, Instant::now());
        count += 1;
        let what = match kind {
            0 | 4 => {
                cluster.engine.servers[primary].kill();
                thread::sleep(Duration::from_secs(3));
                cluster.engine.servers[primary].launch();
                "the primary is killed, and back later"
            }
            1 => {
                cluster.engine.servers[primary].signal("STOP");
                thread::sleep(Duration::from_millis(2_500));
                cluster.engine.servers[primary].signal("CONT");
                "the primary is frozen, and goes on later"
            }
            2 => {
                cluster.engine.hand_over();
                "a replica takes over in good order"
            }
            3 => {
                let replica = cluster.engine.replica();
                cluster.engine.servers[replica].kill();
                thread::sleep(Duration::from_secs(1));
                cluster.engine.servers[replica].launch();
                "a replica is killed, and back later"
            }
            5 => {
                restart(cluster, load, usize::try_from((chance >> 8) % 3).unwrap());
                "a node is killed"
            }
            _ => {
                cluster.engine.servers[primary].kill();
                cluster.engine.servers[primary].launch();
                "the primary is killed, and back at once, empty"
            }
        };
        let is_whole = cluster.engine.is_whole_within(Duration::from_secs(30));
        assert!(
            is_whole,
            "after {what} the engine is not whole again within 30 s\n{}\n{}",
            story(cluster, &load.late, begun),
            cluster.engine.servers[3].ask("CLUSTER NODES").unwrap_or_default()
        );
        what.to_owned()
    });
    told.assert_good(seed);
}

/// Where a primary answers what no copy has, and nobody tells the next one, something is lost when it fails.
#[test]
fn without_copies_that_are_waited_for_something_is_lost() {
    let cluster = Cluster::start_on_shards(Some("wait,assertion"), 2);
    let told = run(cluster, 14, 1, |cluster, load, _| {
        let primary = cluster.engine.primary_now();
        let replicas: Vec<_> = (0..3).filter(|number| *number != primary).collect();
        replicas.iter().for_each(|number| cluster.engine.servers[*number].signal("STOP"));
        // What is sent to who is stopped waits for him: so nothing is sent.
        cluster.engine.servers[primary].ask("CLIENT KILL TYPE replica").unwrap();
        // Nobody will write it again.
        load.write(0, QUIET);
        thread::sleep(Duration::from_millis(1_000));
        cluster.engine.servers[primary].kill();
        replicas.iter().for_each(|number| cluster.engine.servers[*number].signal("CONT"));
        thread::sleep(Duration::from_millis(2_500));
        // One that knows no more than the engine does.
        restart(cluster, load, 1);
        thread::sleep(Duration::from_millis(1_000));
        "the primary is killed before its copies have what it answered".to_owned()
    });
    assert!(!faults_of(&told.notes).is_empty(), "nothing goes wrong in {} that were told", told.notes.len());
}

/// What the rules are good for: without one of them the checker has something to say.
#[test]
fn without_a_rule_something_old_is_told_or_something_is_lost() {
    for without in ["barrier", "assertion"] {
        let cluster = Cluster::<Engine>::start_without(Some(without), 2, "");
        let told = run(cluster, 14, 3, |cluster, load, chance| {
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
            without.to_owned()
        });
        let wrong = faults_of(&told.notes);
        assert!(!wrong.is_empty(), "without the {without} nothing goes wrong in {} that were told", told.notes.len());
    }
}
