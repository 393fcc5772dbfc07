//! How a client takes its answer, as far as that matters to others: who is slow with a body that is no object any more holds memory
//! that nobody else has a use for, and is given up when that is too much ([`is_given_up`]).
//!
//! Looked at once a second, and only where there is something that the client has not taken.

use std::time::Duration;

use tokio::time::Instant;

use crate::origin::is_given_up;

/// How long it is to the first look, and to each next one.
const EVERY: Duration = Duration::from_secs(1);

/// An answer that its client has not taken yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slow {
    since: Instant,
    look: Instant,
    /// How much had gone when this began, by the caller's count.
    sent: u64,
    /// Where what it has not taken is in memory.
    address: usize,
}

impl Slow {
    pub(super) fn begin(sent: u64, address: usize) -> Self {
        let since = Instant::now();
        Self { since, look: since + EVERY, sent, address }
    }

    /// What has not been taken yet is there now.
    pub(super) fn at(&mut self, address: usize) {
        self.address = address;
    }

    /// When to look next.
    pub(super) fn next_look(&self) -> Instant {
        self.look
    }

    /// Looks: whether the client is given up. This much has gone now.
    pub(super) fn look(&mut self, sent: u64) -> bool {
        let now = Instant::now();
        self.look = now + EVERY;
        is_given_up(self.address, sent.saturating_sub(self.sent), now - self.since)
    }
}
