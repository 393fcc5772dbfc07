//! A client that does not take what there is for it: since when that is so, when it is given up, and how many there are of such.
//!
//! What nobody takes waits in the kernel, where no budget of ours sees it: by default up to megabytes for each connection, and a
//! crowd of readers that take nothing has filled the memory that TCP may have on a machine (`net.ipv4.tcp_mem`), so that everybody's
//! uploads waited. So what the kernel holds unsent is bounded ([`KERNEL_UNSENT`]), those that take nothing are counted and, when they
//! are many, told of; and who is given up leaves nothing behind ([`super::encoders::Transport::abandon`]).

use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::late::Alarm;
use super::slow::Slow;
use crate::metrics::Metrics;
use crate::model::clock::{Clock, Moment};

/// How many bytes the kernel is to take in for a connection beyond those it has sent (`TCP_NOTSENT_LOWAT`, tcp(7)).
///
/// Bytes on their way are none of them, however many a long path holds: a reader's throughput is its own window's. What is bounded is
/// the stock that they are taken from, and it has to last until a thread of ours comes back to it: a millisecond at 1 Gbit/s, and half
/// of it is asked for anew at a time, so that a segment takes few system calls.
pub const KERNEL_UNSENT: u32 = 128 << 10;

/// After how long without a byte a client counts as one that takes nothing.
const SOON: Duration = Duration::from_secs(1);
/// From how many on that is told.
const CROWD: u64 = 256;
/// How often, at most.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// Who takes nothing, of all connections.
#[derive(Debug)]
pub(in crate::web) struct Crowd {
    metrics: Arc<Metrics>,
    clock: Clock,
    told: Mutex<Option<Moment>>,
}

/// One of them, as long as this is there.
#[derive(Debug)]
struct OfCrowd {
    crowd: Arc<Crowd>,
    /// What the kernel holds for it, by our estimate.
    bytes: u64,
}

impl Crowd {
    pub(in crate::web) fn new(metrics: Arc<Metrics>, clock: Clock) -> Self {
        Self { metrics, clock, told: Mutex::default() }
    }

    /// One more, whose connection has taken so much in all.
    fn join(self: &Arc<Self>, sent: u64) -> OfCrowd {
        let bytes = sent.min(u64::from(KERNEL_UNSENT));
        let count = self.metrics.stalled_readers.inc() + 1;
        let held = self.metrics.stalled_kernel_bytes.inc_by(bytes) + bytes;
        if count >= CROWD && self.is_to_be_told() {
            tracing::warn!(
                count,
                kernel_bytes = held,
                advice = "they are given up after timeouts.download_idle; connections.per_address limits how many one address may have, \
                          and a network in between that has broken down looks the same",
                "many readers take nothing of their answers"
            );
        }
        OfCrowd { crowd: Arc::clone(self), bytes }
    }

    fn is_to_be_told(&self) -> bool {
        let now = self.clock.now();
        let mut told = self.told.lock();
        let is_due = told.is_none_or(|told| now.since(told) >= TELL_EVERY);
        if is_due {
            *told = Some(now);
        }
        is_due
    }
}

impl Drop for OfCrowd {
    fn drop(&mut self) {
        self.crowd.metrics.stalled_readers.dec();
        self.crowd.metrics.stalled_kernel_bytes.dec_by(self.bytes);
    }
}

/// What a connection's client does not take, if there is something. Room for it is made when there first is, and kept.
#[derive(Debug)]
pub(super) struct Stall {
    crowd: Arc<Crowd>,
    seen: Option<Box<Seen>>,
}

#[derive(Debug, Default)]
struct Seen {
    standstill: Option<Standstill>,
    /// The answer that it is slow with.
    slow: Option<Slow>,
}

/// Since when nothing has gone, and how much had by then.
#[derive(Debug)]
struct Standstill {
    since: Instant,
    sent: u64,
    counted: Option<OfCrowd>,
}

impl Stall {
    pub(super) fn new(crowd: Arc<Crowd>) -> Self {
        Self { crowd, seen: None }
    }

    /// There is something at this address that the client does not take now.
    pub(super) fn waits(&mut self, sent: u64, address: usize) {
        let seen = self.seen.get_or_insert_default();
        seen.slow.get_or_insert_with(|| Slow::begin(sent, address)).at(address);
    }

    /// So much has gone by now.
    pub(super) fn moves(&mut self, sent: u64) {
        if let Some(seen) = &mut self.seen
            && seen.standstill.as_ref().is_some_and(|standstill| standstill.sent != sent)
        {
            seen.standstill = None;
        }
    }

    /// All of it has been taken.
    pub(super) fn ends(&mut self) {
        if let Some(seen) = &mut self.seen {
            **seen = Seen::default();
        }
    }

    /// Whether the client has taken nothing for `limit`, or too little of what is no object any more, now that there is something it
    /// can't be given; if not, the task is woken when it has. `sent`: how much has gone.
    pub(super) fn is_over(&mut self, sent: u64, limit: Duration, alarm: &mut Alarm, cx: &mut Context<'_>) -> bool {
        self.moves(sent);
        let Seen { standstill, slow } = &mut **self.seen.get_or_insert_default();
        let standstill = standstill.get_or_insert_with(|| Standstill { since: Instant::now(), sent, counted: None });
        let idle = standstill.since + limit;
        loop {
            let look = slow.map_or(idle, |slow| slow.next_look());
            let count = if standstill.counted.is_none() { standstill.since + SOON } else { idle };
            if !alarm.passed(idle.min(look).min(count), cx) {
                return false;
            }
            if idle <= look && idle <= count {
                return true;
            }
            if count <= look {
                standstill.counted = Some(self.crowd.join(sent));
            } else if slow.as_mut().is_some_and(|slow| slow.look(sent)) {
                return true;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crowd_is_told_of_once_in_a_while_and_counted_as_long_as_it_is_there() {
        let (metrics, clock) = (Arc::new(Metrics::new()), Clock::manual());
        let crowd = Arc::new(Crowd::new(Arc::clone(&metrics), clock.clone()));
        let all: Vec<OfCrowd> = (0..300).map(|n| crowd.join(n * 1000)).collect();
        let held: u64 = (0..300).map(|n| (n * 1000).min(128 << 10)).sum();
        assert_eq!((metrics.stalled_readers.get(), metrics.stalled_kernel_bytes.get()), (300, held));
        assert!(!crowd.is_to_be_told(), "it has been told");
        clock.advance(TELL_EVERY);
        assert!(crowd.is_to_be_told() && !crowd.is_to_be_told());
        drop(all);
        assert_eq!((metrics.stalled_readers.get(), metrics.stalled_kernel_bytes.get()), (0, 0));
    }
}
