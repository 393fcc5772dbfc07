//! The figures of our own tables and of the machine, put into words each time somebody asks.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use super::cluster::ClusterMetrics;
use super::histogram::Spread;
use super::machine::{Machine, MachineReader};
use super::requests::{Spreads, Traffic};

/// What is not kept by prometheus-client.
#[derive(Debug)]
pub(super) struct Collected {
    traffic: Mutex<BTreeMap<String, Arc<Traffic>>>,
    pub(super) spreads: Spreads,
    pub(super) machine: OnceLock<MachineReader>,
    pub(super) cluster: OnceLock<Arc<ClusterMetrics>>,
    pub(super) key_ends: Mutex<Vec<KeyEnd>>,
}

/// When an API key on record ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyEnd {
    /// Its id.
    pub key_id: String,
    /// What its maker wants to remember it by.
    pub label: String,
    /// What it is for.
    pub role: &'static str,
    /// Its end, in seconds since the Unix epoch.
    pub seconds: u64,
}

/// Series of one name.
#[derive(Debug)]
pub(super) struct Family {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    /// Labels and value of each, all values of one sort.
    pub(super) series: Vec<(Vec<(&'static str, String)>, Value)>,
}

#[derive(Debug)]
pub(super) enum Value {
    Count(u64),
    CountOf(f64),
    Level(f64),
    Spread(Spread),
}

impl Collected {
    pub(super) fn new() -> Self {
        Self {
            traffic: Mutex::default(),
            spreads: Spreads::new(),
            machine: OnceLock::new(),
            cluster: OnceLock::new(),
            key_ends: Mutex::default(),
        }
    }

    /// The traffic under this name: one that is configured, or none.
    pub(super) fn traffic(&self, name: &str) -> Arc<Traffic> {
        Arc::clone(self.traffic.lock().entry(name.to_owned()).or_insert_with(|| Arc::new(Traffic::new(name))))
    }

    /// Those under the server's own prefix.
    pub(super) fn our_own(&self) -> Vec<Family> {
        let mut families = self.requests();
        families.extend(self.spreads());
        families.push(self.key_ends());
        let waits = self.cluster.get().into_iter().flat_map(|cluster| cluster.waits());
        families.extend(waits.map(|(name, help, spread)| one(name, help, Value::Spread(spread))));
        if let Some(machine) = self.machine.get().map(|reader| reader.0()) {
            families.extend(runtime(&machine));
        }
        families
    }

    #[expect(clippy::cast_precision_loss, reason = "seconds of this millennium fit a float")]
    fn key_ends(&self) -> Family {
        let one = |end: &KeyEnd| {
            let labels = vec![("key_id", end.key_id.clone()), ("label", end.label.clone()), ("role", end.role.to_owned())];
            (labels, Value::Level(end.seconds as f64))
        };
        Family {
            name: "api_key_expiry_timestamp_seconds",
            help: "When an API key on record here ends, in seconds since the Unix epoch; those without an end, revoked or ended for \
                   a day are left out",
            series: self.key_ends.lock().iter().map(one).collect(),
        }
    }

    fn requests(&self) -> Vec<Family> {
        let all: Vec<_> = self.traffic.lock().values().cloned().collect();
        let namespace = |traffic: &Traffic| ("namespace", traffic.name().to_owned());
        let mut counts = Vec::new();
        for traffic in &all {
            for (method, status, outcome, count) in traffic.counts() {
                let (method, outcome) = (("method", method.to_owned()), ("outcome", outcome.to_owned()));
                counts.push((vec![method, ("status", status), namespace(traffic), outcome], Value::Count(count)));
            }
        }
        let bytes = |pick: fn(&Traffic) -> u64| {
            all.iter().map(|traffic| (vec![namespace(traffic)], Value::Count(pick(traffic)))).collect()
        };
        vec![
            Family {
                name: "http_requests",
                help: "Requests on the data listeners by method, status, namespace and outcome",
                series: counts,
            },
            Family {
                name: "sent_bytes",
                help: "Body bytes of answers, handed to their connections",
                series: bytes(|traffic| traffic.bytes().0),
            },
            Family {
                name: "received_bytes",
                help: "Body bytes of uploads, of those that were refused or broke off too",
                series: bytes(|traffic| traffic.bytes().1),
            },
        ]
    }

    fn spreads(&self) -> [Family; 3] {
        // Those of verbs that nobody has used are left out: a dozen lines each.
        let by = |label: &'static str| {
            move |(name, spread): (&'static str, Spread)| {
                (spread.count > 0).then(|| (vec![(label, name.to_owned())], Value::Spread(spread)))
            }
        };
        [
            Family {
                name: "http_time_to_answer_seconds",
                help: "Time from a request's headers to the beginning of its answer; an upload's includes its body",
                series: self.spreads.times().filter_map(by("method")).collect(),
            },
            Family {
                name: "object_size_bytes",
                help: "Size of objects as they are read and stored",
                series: self.spreads.sizes().filter_map(by("method")).collect(),
            },
            Family {
                name: "object_age_seconds",
                help: "Age of objects as they are read: the time since they were stored",
                series: self.spreads.ages().filter_map(by("kind")).collect(),
            },
        ]
    }

    /// Those under the names that all Prometheus clients share.
    pub(super) fn of_the_process(&self) -> Vec<Family> {
        let Some(process) = self.machine.get().and_then(|reader| reader.0().process) else { return Vec::new() };
        vec![
            one("process_cpu_seconds", "User and system CPU time", Value::CountOf(process.cpu_seconds)),
            one("process_resident_memory_bytes", "Memory in RAM", Value::Level(process.resident_bytes)),
            one("process_virtual_memory_bytes", "Address space", Value::Level(process.virtual_bytes)),
            one("process_open_fds", "Open file descriptors", Value::Level(process.open_fds)),
            one("process_max_fds", "File descriptors that may be open", Value::Level(process.max_fds)),
            one("process_start_time_seconds", "When the process began, since the Unix epoch", Value::Level(process.start_time)),
            one("process_threads", "Threads", Value::Level(process.threads)),
        ]
    }
}

#[expect(clippy::cast_precision_loss, reason = "a float is what is shown")]
fn runtime(machine: &Machine) -> [Family; 4] {
    let level = |value: usize| Value::Level(value as f64);
    [
        one("runtime_workers", "Worker threads of the runtime", level(machine.workers)),
        one("runtime_alive_tasks", "Tasks that have not ended", level(machine.alive_tasks)),
        one(
            "runtime_global_queue_depth",
            "Tasks waiting for a worker in the queue that all workers share",
            level(machine.global_queue_depth),
        ),
        one("runtime_busy_seconds", "Time that all workers together were busy", Value::CountOf(machine.busy_seconds)),
    ]
}

fn one(name: &'static str, help: &'static str, value: Value) -> Family {
    Family { name, help, series: vec![(Vec::new(), value)] }
}
