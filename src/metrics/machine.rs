//! What the machine says of the process. Read by the floor that may read files, each time somebody asks.

use std::fmt;

/// The figures of one moment.
#[derive(Clone, Debug, Default)]
pub struct Machine {
    /// Of the process; absent where there is no `/proc`.
    pub process: Option<Process>,
    /// Worker threads.
    pub workers: usize,
    /// Tasks that have not ended.
    pub alive_tasks: usize,
    /// Tasks that wait for a worker, those in the workers' own queues apart.
    pub global_queue_depth: usize,
    /// How long all workers together have been busy, in seconds.
    pub busy_seconds: f64,
}

/// The process, by the names that every Prometheus client library gives these.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Process {
    /// User and system time.
    pub cpu_seconds: f64,
    /// Memory it has in RAM.
    pub resident_bytes: f64,
    /// Address space it has asked for.
    pub virtual_bytes: f64,
    /// Open file descriptors, sockets included.
    pub open_fds: f64,
    /// How many it may open.
    pub max_fds: f64,
    /// Seconds since the Unix epoch.
    pub start_time: f64,
    /// Threads.
    pub threads: f64,
}

/// Reads the figures.
pub(super) struct MachineReader(pub(super) Box<dyn Fn() -> Machine + Send + Sync>);

impl fmt::Debug for MachineReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MachineReader")
    }
}
