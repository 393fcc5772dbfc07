//! Whether the machine gave a test its processors, by a thread that wants to run a hundred times a second. A node's time limits at the engine are
//! fractions of a second: where nobody could run for as long, what goes wrong says nothing of the nodes.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::kit::{Cluster, Engine};
use super::shards::Shards;
use crate::wire::Request;

const EVERY: Duration = Duration::from_millis(10);
/// Who is late by no more is not late.
const LATE: Duration = Duration::from_millis(20);
/// Once so late, or for such a part of the time, and the machine has not given what nodes need.
const MOST: Duration = Duration::from_millis(250);
const PART: u32 = 5;

/// When the thread was late, and by how much.
#[derive(Default)]
pub(super) struct Lateness(Mutex<Vec<(Instant, Duration)>>);

impl Lateness {
    /// Measures until it is over.
    pub(super) fn measure(&self, is_over: &AtomicBool) {
        while !is_over.load(Ordering::SeqCst) {
            let due = Instant::now() + EVERY;
            thread::sleep(EVERY);
            let now = Instant::now();
            if now - due > LATE {
                self.0.lock().push((now, now - due));
            }
        }
    }

    /// By how much it was late since then at most, and all together.
    fn most_and_sum(&self, begun: Instant) -> (Duration, Duration) {
        let late: Vec<_> = self.0.lock().iter().filter(|(at, _)| *at >= begun).map(|(_, late)| *late).collect();
        (late.iter().max().copied().unwrap_or_default(), late.iter().sum())
    }

    /// Whether the machine has not given what nodes need since then.
    pub(super) fn is_starved(&self, begun: Instant) -> bool {
        let (most, sum) = self.most_and_sum(begun);
        most >= MOST || sum >= begun.elapsed() / PART
    }

    /// In a line that begins with a verdict.
    pub(super) fn since(&self, begun: Instant) -> String {
        let ((most, sum), elapsed) = (self.most_and_sum(begun), begun.elapsed());
        let verdict = if self.is_starved(begun) { "starved" } else { "not starved" };
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default().lines().next().unwrap_or_default().to_owned();
        format!(
            "verdict: {verdict}: of {elapsed:.1?} a thread that sleeps was late for {sum:.1?}, by {most:.1?} at most; load {}; {}",
            read("/proc/loadavg"),
            read("/proc/pressure/cpu")
        )
    }
}

/// An engine that can be asked how it is.
pub(super) trait AskedEngine {
    /// What its servers say, a line each.
    fn says(&self) -> String;
}

fn of_server(server: &Engine, command: &str, names: &[&str]) -> String {
    let begun = Instant::now();
    let Some(said) = server.ask(command).filter(|said| !said.is_empty()) else {
        return format!("{}: does not answer, {:.1?}", server.address, begun.elapsed());
    };
    let lines: Vec<_> = said.lines().filter(|line| names.iter().any(|name| line.starts_with(name))).collect();
    format!("{}: {} ({:.1?})", server.address, lines.join(" "), begun.elapsed())
}

const REPLICATION: [&str; 4] = ["role:", "connected_slaves:", "slave", "master_link_status:"];

impl AskedEngine for Engine {
    fn says(&self) -> String {
        of_server(self, "INFO replication", &REPLICATION)
    }
}

impl AskedEngine for Shards {
    fn says(&self) -> String {
        let of = |server: &Engine| {
            let cluster = of_server(server, "CLUSTER INFO", &["cluster_state:", "cluster_current_epoch:"]);
            format!("{cluster}\n{}", of_server(server, "INFO replication", &REPLICATION))
        };
        self.servers.iter().map(of).collect::<Vec<_>>().join("\n")
    }
}

/// What nodes and engine say of themselves, for who wants to know why something is not as it has to be.
pub(super) fn story<E: AskedEngine>(cluster: &Cluster<E>, late: &Lateness, begun: Instant) -> String {
    let mut lines = vec![late.since(begun)];
    for (number, node) in cluster.nodes.iter().enumerate() {
        let ready = Request::new("GET", "/readyz").try_send(node.admin).map_or("no answer".to_owned(), |said| said.text());
        let metrics = Request::new("GET", "/metrics").try_send(node.admin).map(|said| said.text()).unwrap_or_default();
        let figures: Vec<_> = metrics
            .lines()
            .filter(|line| {
                ["springhead_cluster_up", "springhead_cluster_sessions_total"].iter().any(|name| line.starts_with(name))
            })
            .collect();
        let log: Vec<_> = node
            .log()
            .iter()
            .filter(|line| line["message"].as_str().is_some_and(|said| said.contains("engine")))
            .map(ToString::to_string)
            .collect();
        lines.push(format!("node {number}: /readyz: {}; {}", ready.trim(), figures.join(", ")));
        lines.extend(log.into_iter().rev().take(4).rev());
    }
    lines.push(cluster.engine.says());
    lines.join("\n")
}
