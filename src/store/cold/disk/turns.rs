//! Who writes first, where namespaces share a disk: nobody waits for a write behind, and somebody waits for one that is to be synced.
//!
//! A write behind is done when the kernel has it, so a busy namespace fills the kernel's memory with what the disk then writes for
//! seconds, and each sync of another namespace waits for that. So while some are synced the others give way: a few at a time, and large
//! bodies only as fast as the disk takes them. No longer than a moment each, so that they are not starved in their turn.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::model::clock::{Clock, Moment, Pulse};
use crate::store::cold::Care;

/// How long after a synced write the next is expected.
const SOON: Duration = Duration::from_secs(1);
/// Writes behind at a time meanwhile.
const BEHIND: usize = 2;
/// How long one waits for its turn at most.
const PATIENCE: Duration = Duration::from_millis(250);
/// A body of this many bytes is worth a sync: it takes the disk longer than the sync does.
const LARGE: usize = 256 << 10;

/// The turns on one disk. A cheap handle.
#[derive(Clone, Debug)]
pub struct DiskTurns(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    clock: Clock,
    /// When something was synced last.
    synced: Pulse,
    behind: Arc<Semaphore>,
}

/// Leave to write.
#[derive(Debug)]
pub(super) struct WriteTurn {
    syncs_body: bool,
    _permit: Option<OwnedSemaphorePermit>,
}

impl WriteTurn {
    /// Whether the body is to be on the disk, and not only in the kernel's memory, before the next one has its turn.
    pub(super) fn syncs_body(&self) -> bool {
        self.syncs_body
    }
}

impl DiskTurns {
    /// The turns on a disk that nobody writes to yet.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        let behind = Arc::new(Semaphore::new(BEHIND));
        Self(Arc::new(Inner { clock, synced: Pulse::new(Moment::default()), behind }))
    }

    /// Waits for the turn of a write. Cancel-safe.
    pub(super) async fn next(&self, care: Care, length: usize) -> WriteTurn {
        let now = self.0.clock.now();
        if care == Care::Synced {
            self.0.synced.beat(now);
            return WriteTurn { syncs_body: true, _permit: None };
        }
        let permit = if now.since(self.0.synced.last()) < SOON {
            tokio::time::timeout(PATIENCE, Arc::clone(&self.0.behind).acquire_owned()).await.ok().and_then(Result::ok)
        } else {
            None
        };
        WriteTurn { syncs_body: permit.is_some() && length >= LARGE, _permit: permit }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_written_behind_gives_way_to_what_is_synced_and_is_not_starved() {
        let clock = Clock::manual();
        let turns = DiskTurns::new(clock.clone());
        clock.advance(SOON);
        let mut alone = Vec::new();
        for _ in 0..5 {
            alone.push(turns.next(Care::Buffered, LARGE).await);
        }
        assert!(alone.iter().all(|turn| !turn.syncs_body()), "nobody is in the way");
        assert!(turns.next(Care::Synced, 1).await.syncs_body());
        let (large, small) = (turns.next(Care::Buffered, LARGE).await, turns.next(Care::Buffered, 1).await);
        assert!(large.syncs_body() && !small.syncs_body());
        let begun = tokio::time::Instant::now();
        let third = turns.next(Care::Buffered, LARGE).await;
        assert!(!third.syncs_body() && begun.elapsed() == PATIENCE);
        drop(large);
        assert!(turns.next(Care::Buffered, LARGE).await.syncs_body());
        assert_eq!(begun.elapsed(), PATIENCE, "its turn comes as soon as another's is over");
        clock.advance(SOON);
        assert!(!turns.next(Care::Buffered, LARGE).await.syncs_body(), "nothing was synced for a while");
    }
}
