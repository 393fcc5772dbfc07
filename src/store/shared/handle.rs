//! A lane at one node, for those who read and write by it: they wait here for what its [driver](super::driver) is told.
//!
//! Who waits looks again each time that something has come.

use std::pin::pin;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::commit::Wish;
use super::engine::{EngineError, LaneNumber};
use super::errands::{BucketErrand, ErrandNumber};
use super::lane::{Fresh, Lane, whole};
use super::left_alone::LeftInBucket;
use super::pace::STANDS_STILL;
use super::time::EngineClock;
use super::{Decision, EngineTime, Indexed, ObjectName, Reply, UploadId, Version};
use crate::model::clock::Moment;

/// A lane, for those who read and write by it.
#[derive(Debug)]
pub(super) struct LaneHandle {
    pub(super) number: LaneNumber,
    pub(super) lane: Mutex<Lane<()>>,
    pub(super) clock: Arc<EngineClock>,
    /// Something is to be asked.
    pub(super) asks: Notify,
    /// Something has come that somebody may wait for.
    pub(super) came: Notify,
    /// When the last barrier ended.
    pub(super) confirmed: Mutex<Option<Moment>>,
    /// When it last got on: its session was opened, a barrier has ended, a change been taken up.
    got_on: Mutex<Option<Instant>>,
    /// Why there is no session, as far as that is known.
    pub(super) trouble: Mutex<Option<EngineError>>,
}

/// A commit that somebody waits for; given up when this is dropped.
struct AwaitedCommit<'a> {
    handle: &'a LaneHandle,
    upload: UploadId,
}

impl Drop for AwaitedCommit<'_> {
    fn drop(&mut self) {
        self.handle.lane.lock().give_up(self.upload);
    }
}

/// An errand whose end somebody waits for; given up when this is dropped.
struct AwaitedErrand<'a> {
    handle: &'a LaneHandle,
    number: ErrandNumber,
}

impl Drop for AwaitedErrand<'_> {
    fn drop(&mut self) {
        self.handle.lane.lock().give_up_errand(self.number);
    }
}

impl LaneHandle {
    pub(super) fn new(number: LaneNumber, lane: Lane<()>, clock: Arc<EngineClock>) -> Self {
        Self {
            number,
            lane: Mutex::new(lane),
            clock,
            asks: Notify::new(),
            came: Notify::new(),
            confirmed: Mutex::default(),
            got_on: Mutex::default(),
            trouble: Mutex::default(),
        }
    }

    /// Waits until what is known here of a name is as new as all that was answered before, on whichever node. For as long as it takes.
    /// Cancel-safe.
    pub(super) async fn fresh(&self, name: &ObjectName) {
        let mut fresh = self.lane.lock().arrive();
        self.asks.notify_one();
        self.until(|lane| {
            let before = fresh;
            let is_fresh = lane.read(&mut fresh, name, self.clock.now()).is_some();
            if fresh != before && matches!(fresh, Fresh::Barrier(_)) {
                self.asks.notify_one();
            }
            is_fresh.then_some(())
        })
        .await;
    }

    /// Has something committed, and waits for what becomes of it, and until that has been taken up here. Dropped, it may or may not happen.
    pub(super) async fn commit(&self, upload: UploadId, wish: Wish) -> Decision {
        let waiting = AwaitedCommit { handle: self, upload };
        self.lane.lock().commit(upload, wish);
        self.asks.notify_one();
        self.until(|lane| lane.committed(waiting.upload)).await
    }

    /// Asks something for the sake of the bucket below, and waits for what comes of it; `None`: nobody knows. Dropped, it may or may not happen.
    pub(super) async fn run(&self, errand: BucketErrand) -> Option<Reply> {
        let number = self.lane.lock().send(errand);
        let waiting = AwaitedErrand { handle: self, number };
        self.asks.notify_one();
        self.until(|lane| lane.run(waiting.number)).await
    }

    /// Whether all that the bucket of a namespace has is known.
    pub(super) fn is_whole(&self, namespace: &str) -> bool {
        self.lane.lock().is_whole(namespace, self.clock.now())
    }

    /// Of the bucket of a namespace, what was left alone when it was listed.
    pub(super) fn left_alone(&self, namespace: &str) -> LeftInBucket {
        let mark = self.lane.lock().known(&whole(namespace)).and_then(|mark| Some(mark.object.as_ref()?.described.clone()));
        LeftInBucket::read(mark.unwrap_or_default())
    }

    /// Waits until the bucket below has what stands for a name, where that is this version or a newer one. For as long as it takes. `is_write`:
    /// it is about an object; `false`, when that has been removed, be it to make room. Cancel-safe.
    pub(super) async fn kept(&self, name: &str, version: Version, is_write: bool) -> bool {
        self.until(|lane| {
            let known = lane.known(name)?;
            let is_gone = is_write && known.object.is_none();
            (is_gone || known.is_kept && known.version >= version).then_some(!is_gone)
        })
        .await
    }

    /// There is that version somewhere: what is committed from now on is to be newer. Whether that is so already; else another session begins.
    pub(super) fn rise_above(&self, version: Version) -> bool {
        let is_above = self.lane.lock().rise_above(version);
        self.asks.notify_one();
        is_above
    }

    /// Lets objects live longer, where the engine is there now.
    pub(super) fn renew(&self, lives: impl IntoIterator<Item = (ObjectName, Version, EngineTime)>) {
        self.lane.lock().renew(lives);
        self.asks.notify_one();
    }

    /// Waits until there is a session. Cancel-safe.
    pub(super) async fn opened(&self) {
        self.until(|lane| lane.session().is_some_and(|(_, session)| session.is_open()).then_some(())).await;
    }

    /// Whether there is a session that goes on; else why not, as far as that is known.
    pub(super) fn stands(&self) -> Result<(), Option<EngineError>> {
        if !self.lane.lock().session().is_some_and(|(_, session)| session.is_open()) {
            return Err(self.trouble.lock().clone());
        }
        let got_on = *self.got_on.lock();
        match got_on.map(|at| at.elapsed()).filter(|since| *since >= STANDS_STILL) {
            None => Ok(()),
            Some(since) => {
                let (number, seconds) = (self.number, since.as_secs());
                Err(Some(EngineError::Unreachable(format!(
                    "part {number} of what the nodes share does not get on since {seconds} s; if that stays so, restart this node"
                ))))
            }
        }
    }

    /// There is somebody who drives it: it gets on.
    pub(super) fn gets_on(&self) {
        *self.got_on.lock() = Some(Instant::now());
    }

    /// When the last barrier ended: all that was answered before it began is known here.
    pub(super) fn confirmed(&self) -> Option<Moment> {
        *self.confirmed.lock()
    }

    /// What is known of all names that begin so.
    pub(super) fn below(&self, prefix: &str) -> Vec<(ObjectName, Indexed)> {
        self.lane.lock().below(prefix)
    }

    /// Shows what is known of each of these.
    pub(super) fn each_below(&self, prefix: &str, see: impl FnMut(&ObjectName, &Indexed)) {
        self.lane.lock().each_below(prefix, see);
    }

    /// What is known of a name.
    pub(super) fn known(&self, name: &str) -> Option<Indexed> {
        self.lane.lock().known(name).cloned()
    }

    /// Asks the same each time that something has come, until there is an answer.
    async fn until<T>(&self, mut answer: impl FnMut(&mut Lane<()>) -> Option<T>) -> T {
        loop {
            let mut came = pin!(self.came.notified());
            came.as_mut().enable();
            if let Some(answer) = answer(&mut self.lane.lock()) {
                return answer;
            }
            came.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::rig::NodeRig;
    use super::super::{BucketClaim, ClaimEnd, ClaimTimes};
    use super::*;
    use crate::model::clock::Clock;

    const TIMES: ClaimTimes = ClaimTimes { claimed: 60_000, orphaned: 0, put_after: 0, removed_after: 0 };

    /// The bucket takes what waits for it.
    async fn keep(lane: &LaneHandle) {
        let reply = lane.run(BucketErrand::Claim { times: TIMES, names: Vec::new(), orphans: 9 }).await;
        let Some(Reply::Claimed { claims, .. }) = reply else { panic!("{reply:?}") };
        for BucketClaim { name, indexed: Indexed { version, object, .. }, number } in claims {
            let end = object.map_or(ClaimEnd::Removed, |object| ClaimEnd::Put { expires: object.expires });
            lane.run(BucketErrand::Settle { name, version, number, end }).await.unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_is_not_taken_for_kept_when_what_it_wrote_was_removed() {
        let rig = NodeRig::start(&Clock::manual()).await;
        let lane = &rig.store.0.lanes[0];
        let first = rig.commit(0, "n/a.ts", Some(b"x"), NodeRig::described()).await;
        let (is_kept, ()) = tokio::join!(lane.kept("n/a.ts", first, true), keep(lane));
        assert!(is_kept);
        let second = rig.commit(0, "n/a.ts", Some(b"y"), NodeRig::described()).await;
        let removed = async {
            let version = rig.commit(0, "n/a.ts", None, NodeRig::described()).await;
            keep(lane).await;
            version
        };
        let (is_kept, removed) = tokio::join!(lane.kept("n/a.ts", second, true), removed);
        assert!(!is_kept);
        assert!(lane.kept("n/a.ts", removed, false).await, "the removal is");
    }
}
