//! Who writes first, where namespaces share a disk: nobody waits for a write behind, and somebody waits for one that is to be synced.
//!
//! A write behind is done when the kernel has it, so a busy namespace fills the kernel's memory with what the disk then writes for
//! seconds, and each sync of another namespace waits for that. So while some are synced the others give way: a few at a time, and large
//! bodies only as fast as the disk takes them. No longer than a moment each, so that they are not starved in their turn.
//!
//! And at any time no more of them at once than keep a disk busy: each takes the kernel's lock on the folder that all are written to first,
//! and on a disk that answers at once more of them only stand in line there, each on a thread. A disk that is slow gets as many as there are.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::model::clock::{Clock, Moment, Pulse};
use crate::store::cold::Care;

/// How long after a synced write the next is expected.
const SOON: Duration = Duration::from_secs(1);
/// Writes behind at a time meanwhile.
const BEHIND: usize = 2;
/// Writes behind at a time when nothing is synced, as long as nobody has to wait for his turn.
const ALONE: usize = 4;
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
    alone: Arc<Semaphore>,
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
        let [behind, alone] = [BEHIND, ALONE].map(|turns| Arc::new(Semaphore::new(turns)));
        Self(Arc::new(Inner { clock, synced: Pulse::new(Moment::default()), behind, alone }))
    }

    /// Waits for the turn of a write. Cancel-safe.
    pub(super) async fn next(&self, care: Care, length: usize) -> WriteTurn {
        let now = self.0.clock.now();
        if care == Care::Synced {
            self.0.synced.beat(now);
            return WriteTurn { syncs_body: true, _permit: None };
        }
        let gives_way = now.since(self.0.synced.last()) < SOON;
        let turns = if gives_way { &self.0.behind } else { &self.0.alone };
        let permit = match Arc::clone(turns).try_acquire_owned() {
            Ok(permit) => Some(permit),
            Err(_) => tokio::time::timeout(PATIENCE, Arc::clone(turns).acquire_owned()).await.ok().and_then(Result::ok),
        };
        WriteTurn { syncs_body: gives_way && permit.is_some() && length >= LARGE, _permit: permit }
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
        let (mut alone, begun) = (Vec::new(), tokio::time::Instant::now());
        for _ in 0..ALONE {
            alone.push(turns.next(Care::Buffered, LARGE).await);
        }
        assert_eq!(begun.elapsed(), Duration::ZERO, "nobody is in the way");
        alone.push(turns.next(Care::Buffered, LARGE).await);
        assert_eq!(begun.elapsed(), PATIENCE, "on a disk that is slow more go at once");
        assert!(alone.iter().all(|turn| !turn.syncs_body()));
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
