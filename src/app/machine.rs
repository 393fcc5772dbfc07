//! The process and its runtime, as `/proc` and tokio tell of them. The figures a Prometheus client has everywhere.

use tokio::runtime::RuntimeMetrics;

use crate::metrics::{Machine, Process};

/// The kernel counts CPU and start times in hundredths of a second for user space, whatever its own clock.
const TICKS: f64 = 100.0;

/// The figures of now. The runtime is named, because this may be called from outside of it.
pub(super) fn read(runtime: &RuntimeMetrics) -> Machine {
    let workers = runtime.num_workers();
    Machine {
        process: process(),
        workers,
        alive_tasks: runtime.num_alive_tasks(),
        global_queue_depth: runtime.global_queue_depth(),
        busy_seconds: (0..workers).map(|worker| runtime.worker_total_busy_duration(worker).as_secs_f64()).sum(),
    }
}

fn process() -> Option<Process> {
    let file = |path: &str| std::fs::read_to_string(path).ok();
    let open_fds = std::fs::read_dir("/proc/self/fd").ok()?.count();
    parse(&file("/proc/self/stat")?, &file("/proc/self/status")?, &file("/proc/self/limits")?, &file("/proc/stat")?, open_fds)
}

#[expect(clippy::cast_precision_loss, reason = "a float is what is shown")]
fn parse(stat: &str, status: &str, limits: &str, system: &str, open_fds: usize) -> Option<Process> {
    // The command's name, in parentheses, may hold spaces and parentheses itself. Behind it comes field 3.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
    let line = |text: &str, name: &str| {
        let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
        rest.split_whitespace().next()?.parse::<f64>().ok()
    };
    Some(Process {
        cpu_seconds: (field(14)? + field(15)?) / TICKS,
        resident_bytes: line(status, "VmRSS:")? * 1024.0,
        virtual_bytes: line(status, "VmSize:")? * 1024.0,
        // The look at the directory is one itself.
        open_fds: open_fds.saturating_sub(1) as f64,
        // `unlimited` is no number.
        max_fds: line(limits, "Max open files").unwrap_or(f64::INFINITY),
        start_time: line(system, "btime")? + field(22)? / TICKS,
        threads: field(20)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_writes_is_read() {
        let stat = "4242 (spring) head) S 1 4242 4242 0 -1 4194560 100 0 3 0 1250 250 0 0 20 0 7 0 360000 9 9";
        let status = "Name:\tspringhead\nVmPeak:\t 999 kB\nVmSize:\t   2048 kB\nVmRSS:\t     12 kB\n";
        let limits = "Limit                     Soft Limit           Hard Limit           Units\n\
            Max open files            1048576              1048576              files\n";
        let process = parse(stat, status, limits, "cpu 1 2\nbtime 1700000000\n", 13).unwrap();
        let expected = Process {
            cpu_seconds: 15.0,
            resident_bytes: 12_288.0,
            virtual_bytes: 2_097_152.0,
            open_fds: 12.0,
            max_fds: 1_048_576.0,
            start_time: 1_700_003_600.0,
            threads: 7.0,
        };
        assert_eq!(process, expected);
        assert_eq!(parse("nonsense", status, limits, "", 0), None);
    }

    #[test]
    fn this_process_has_figures() {
        let process = process().unwrap();
        assert!(process.resident_bytes > 1e6 && process.open_fds >= 3.0 && process.threads >= 1.0, "{process:?}");
        assert!(process.start_time > 1.7e9, "{process:?}");
    }
}
