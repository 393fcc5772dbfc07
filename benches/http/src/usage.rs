//! CPU time of other processes, by the kernel's own account.

use std::time::Duration;

use crate::Failure;
use crate::args::Args;

/// The processes of the server under test.
pub struct Processes(Vec<i32>);

impl Processes {
    /// `pids=1,2,3`; none is none.
    pub fn of(args: &Args) -> Result<Self, Failure> {
        let text = args.text("pids").unwrap_or_default();
        let pids: Result<Vec<i32>, _> = text.split(',').filter(|part| !part.is_empty()).map(str::parse).collect();
        Ok(Self(pids?))
    }

    /// User and system time of all their threads together, those that have ended included.
    pub fn cpu(&self) -> Duration {
        self.0.iter().map(|&pid| cpu_clock(pid)).sum()
    }
}

/// CPU time of this process.
pub fn own_cpu() -> Duration {
    cpu_clock(0)
}

fn cpu_clock(pid: i32) -> Duration {
    // clock_getcpuclockid(3) in one line: the clock of a process' scheduled time (CPUCLOCK_SCHED, all threads).
    let clock: libc::clockid_t = (!pid << 3) | 2;
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call writes one timespec, which is there; it fails for a process that is not, and the time stays 0.
    let _ = unsafe { libc::clock_gettime(clock, &raw mut time) };
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}
