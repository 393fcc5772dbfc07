//! Makes room at the engine, where a namespace has more than its [budget](super::budget): goes through all that it has, and gives back what the bucket
//! below has; or removes what is to go, as if it were deleted.

use futures_util::future::join_all;

use super::budget::{MayGo, cost, victims};
use super::commit::Wish;
use super::described::DescribedShared;
use super::errands::BucketErrand;
use super::share::{COMMIT_WITHIN, SharedStore};
use super::{Decision, ObjectName, Precondition, Reply, SharedBody, UploadId};
use crate::model::id::Namespace;

/// So many are removed at a time.
const AT_ONCE: usize = 8;
/// Of what the bucket has so many go with one call.
const EVICTED_AT_ONCE: usize = 64;

impl SharedStore {
    /// Sets what a namespace may have at the engine, all nodes together; `None` is without limit.
    pub fn set_capacity(&self, namespace: &Namespace, capacity: Option<u64>) {
        self.0.budgets.set(namespace, capacity);
    }

    /// Makes room, where a namespace has more than it may have; or where the engine is full, so that at least that is not the namespace's
    /// own doing. Goes on by itself.
    pub(super) fn keep_to_budget(&self, namespace: &Namespace, is_full: bool) {
        let now = self.0.clock.own().now();
        let Some(capacity) = self.0.budgets.begin(namespace, now, is_full) else { return };
        let (store, namespace) = (self.clone(), namespace.clone());
        tokio::spawn(async move {
            let used = store.make_room(&namespace, capacity, is_full).await;
            store.0.budgets.end(&namespace, used);
        });
    }

    /// Makes room; how much there is then.
    async fn make_room(&self, namespace: &Namespace, capacity: u64, is_full: bool) -> u64 {
        let (mut used, now, prefix) = (0, self.0.clock.now(), format!("{namespace}/"));
        let mut all = Vec::new();
        for (number, lane) in self.0.lanes.iter().enumerate() {
            lane.each_below(&prefix, |name, indexed| {
                let Some(object) = indexed.live(now).filter(|_| !indexed.is_cold()) else { return };
                let cost = cost(name, object);
                used += cost;
                let is_protected = DescribedShared::kind_of(&object.described).is_none_or(|kind| kind.is_protected());
                let name = ObjectName::clone(name);
                let (decided, version, is_kept) = (indexed.decided, indexed.version, indexed.is_kept);
                all.push(MayGo { is_protected, decided, cost, lane: number, name, etag: object.etag, version, is_kept });
            });
            // Others use the lanes as well.
            tokio::task::yield_now().await;
        }
        let budget = if is_full { capacity.min(used) } else { capacity };
        if used <= budget && !is_full {
            return used;
        }
        let (kept, all): (Vec<_>, Vec<_>) = all.into_iter().partition(|one| one.is_kept);
        // Where there is no answer nobody knows how much there is: what is to be shown is not removed for that, and it is added up again.
        let Some(given) = self.evict(&victims(kept, used, budget)).await else { return used };
        used -= given;
        if given > 0 && used <= budget {
            return used;
        }
        for some in victims(all, used, budget).chunks(AT_ONCE) {
            let given = join_all(some.iter().map(|one| self.remove_for_room(one))).await;
            used -= given.iter().flatten().sum::<u64>();
            if given.contains(&None) {
                break;
            }
        }
        used
    }

    /// Gives back the engine's memory for what the bucket has; how much that was, if there was an answer.
    async fn evict(&self, some: &[MayGo]) -> Option<u64> {
        let mut given = 0;
        for (number, lane) in self.0.lanes.iter().enumerate() {
            let of_lane: Vec<_> = some.iter().filter(|one| one.lane == number).collect();
            for part in of_lane.chunks(EVICTED_AT_ONCE) {
                let names = part.iter().map(|one| (ObjectName::clone(&one.name), one.version)).collect();
                let evicted = tokio::time::timeout(COMMIT_WITHIN, lane.run(BucketErrand::Evict { names })).await;
                let Ok(Some(Reply::Evicted { names, .. })) = evicted else { return None };
                given += part.iter().filter(|one| names.contains(&one.name)).map(|one| one.cost).sum::<u64>();
            }
        }
        Some(given)
    }

    /// Removes one, if it is still that; what it has given back, if there was an answer.
    async fn remove_for_room(&self, one: &MayGo) -> Option<u64> {
        let lane = self.0.lanes.get(one.lane)?;
        let name = ObjectName::clone(&one.name);
        let (expected, goes_below) = (Precondition::OneOf(vec![one.etag]), self.0.buckets.of_name(&one.name).is_some());
        let wish = Wish { name, expected, object: None, body: SharedBody::default(), goes_below };
        match tokio::time::timeout(COMMIT_WITHIN, lane.commit(UploadId(self.upload().0), wish)).await {
            Ok(Decision::Done(_)) => {
                self.0.metrics.evicted.inc();
                Some(one.cost)
            }
            Ok(_) => Some(0),
            Err(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::rig::NodeRig;
    use super::super::{ClaimEnd, ClaimTimes, EngineCall};
    use super::*;
    use crate::model::clock::Clock;

    const TIMES: ClaimTimes = ClaimTimes { claimed: 60_000, orphaned: 0, put_after: 0, removed_after: 0 };

    #[tokio::test(start_paused = true)]
    async fn where_the_engine_does_not_say_what_it_gave_back_nothing_is_removed() {
        let rig = NodeRig::start(&Clock::manual()).await;
        let lane = &rig.store.0.lanes[0];
        for name in ["n/old.ts", "n/older.ts"] {
            let (name, version) = (ObjectName::from(name), rig.commit(0, name, Some(b"bytes"), NodeRig::described()).await);
            let expires = rig.store.0.clock.now() + 7_200_000;
            let claim = BucketErrand::Claim { times: TIMES, names: vec![ObjectName::clone(&name)], orphans: 0 };
            let Some(Reply::Claimed { claims, .. }) = lane.run(claim).await else { panic!("it is not granted") };
            let (number, end) = (claims[0].number, ClaimEnd::Put { expires });
            lane.run(BucketErrand::Settle { name, version, number, end }).await.unwrap();
        }
        rig.commit(0, "n/new.ts", Some(b"bytes"), NodeRig::described()).await;
        let namespace = Namespace::parse("n").unwrap();
        rig.refuses(|call| matches!(call, EngineCall::Evict { .. }));
        let used = rig.store.make_room(&namespace, 1_000, false).await;
        assert!(used > 2_000, "{used}");
        rig.store.opened().await;
        for name in ["n/old.ts", "n/older.ts", "n/new.ts"] {
            assert!(rig.known(0, name).is_some_and(|known| known.object.is_some() && !known.is_cold()), "{name}");
        }
        rig.refuses(|_| false);
        let used = rig.store.make_room(&namespace, 1_000, false).await;
        assert!(used < 1_000, "{used}");
        let new = rig.known(0, "n/new.ts").unwrap();
        assert!(new.object.is_some_and(|object| !object.is_bare), "what the bucket has went first");
    }
}
