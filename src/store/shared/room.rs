//! Makes room at the engine, where a namespace has more than its [budget](super::budget): goes through all that it has, and removes what is to go, as
//! if it were deleted.

use futures_util::future::join_all;

use super::budget::{MayGo, cost, victims};
use super::commit::Wish;
use super::described::DescribedShared;
use super::share::{COMMIT_WITHIN, SharedStore};
use super::{Decision, ObjectName, Precondition, SharedBody, UploadId};
use crate::model::id::Namespace;

/// So many are removed at a time.
const AT_ONCE: usize = 8;

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
                let Some(object) = indexed.live(now) else { return };
                let cost = cost(name, object);
                used += cost;
                let is_protected = DescribedShared::kind_of(&object.described).is_none_or(|kind| kind.is_protected());
                let name = ObjectName::clone(name);
                all.push(MayGo { is_protected, decided: indexed.decided, cost, lane: number, name, etag: object.etag });
            });
            // Others use the lanes as well.
            tokio::task::yield_now().await;
        }
        let budget = if is_full { capacity.min(used) } else { capacity };
        if used <= budget && !is_full {
            return used;
        }
        for some in victims(all, used, budget).chunks(AT_ONCE) {
            let given: Vec<u64> = join_all(some.iter().map(|one| self.remove_for_room(one))).await;
            used -= given.into_iter().sum::<u64>();
        }
        used
    }

    /// Removes one, if it is still that; what it has given back.
    async fn remove_for_room(&self, one: &MayGo) -> u64 {
        let Some(lane) = self.0.lanes.get(one.lane) else { return 0 };
        let name = ObjectName::clone(&one.name);
        let wish = Wish { name, expected: Precondition::OneOf(vec![one.etag]), object: None, body: SharedBody::default() };
        match tokio::time::timeout(COMMIT_WITHIN, lane.commit(UploadId(self.upload().0), wish)).await {
            Ok(Decision::Done(_)) => {
                self.0.metrics.evicted.inc();
                one.cost
            }
            Ok(_) | Err(_) => 0,
        }
    }
}
