//! What a namespace may have at the engine, all nodes together: what is over it makes room, the oldest media segments first, and only when none is
//! left playlists and initialisation segments.
//!
//! Each node knows the whole index, and so how much there is. Adding all of it up takes its time: what has been stored since it was last done, by
//! whichever node, is added to what it came to, so that what is known is too much rather than too little, by what has expired or was replaced. When that is
//! over the capacity, the node whose write brought it there adds up anew, and removes what is too much, as if it were deleted. So what is stored
//! is over the capacity by what comes in meanwhile: [`AGAIN`] and the time that removals take.
//!
//! Where there is a bucket below, what that has goes from the engine first, and stays readable: its bytes count for nothing then. What it does not
//! have yet goes only when that was not enough.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;

use super::{EngineTime, ObjectName, SharedObject, Version};
use crate::model::clock::Moment;
use crate::model::id::Namespace;
use crate::store::OVERHEAD;

/// It is not added up more often.
const AGAIN: Duration = Duration::from_secs(1);
/// Where it is over, room is made for that part of the capacity beyond: else each write would have all of it looked through.
const SPARE: u64 = 32;

/// The budgets of namespaces that have one.
#[derive(Debug, Default)]
pub(super) struct SharedBudgets(Mutex<HashMap<Namespace, SharedBudget>>);

#[derive(Debug)]
struct SharedBudget {
    capacity: u64,
    /// What is there, at the most.
    most: u64,
    /// When it was last added up.
    added_up: Option<Moment>,
    /// Whether it is being added up, and room made.
    is_under_way: bool,
}

/// An object that may make room.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct MayGo {
    /// Playlists, MPDs and initialisation segments go last.
    pub(super) is_protected: bool,
    pub(super) decided: EngineTime,
    pub(super) cost: u64,
    pub(super) lane: usize,
    pub(super) name: ObjectName,
    pub(super) etag: u128,
    pub(super) version: Version,
    /// The bucket below has it.
    pub(super) is_kept: bool,
}

/// What an object takes, as it is counted in a node's memory too.
pub(super) fn cost(name: &str, object: &SharedObject) -> u64 {
    object.length + name.len() as u64 + OVERHEAD
}

impl SharedBudgets {
    /// Sets what a namespace may have; `None` is without limit.
    pub(super) fn set(&self, namespace: &Namespace, capacity: Option<u64>) {
        let mut budgets = self.0.lock();
        match capacity {
            None => drop(budgets.remove(namespace)),
            Some(capacity) => {
                // What is there is not known yet: it is added up at the next write.
                let unknown = || SharedBudget { capacity, most: u64::MAX, added_up: None, is_under_way: false };
                budgets.entry(namespace.clone()).or_insert_with(unknown).capacity = capacity;
            }
        }
    }

    /// Something has been stored, by whichever node.
    pub(super) fn stored(&self, name: &str, object: &SharedObject) {
        let mut budgets = self.0.lock();
        if budgets.is_empty() {
            return;
        }
        let namespace = name.split_once('/').and_then(|(namespace, _)| Namespace::parse(namespace).ok());
        if let Some(budget) = namespace.and_then(|namespace| budgets.get_mut(&namespace)) {
            budget.most = budget.most.saturating_add(cost(name, object));
        }
    }

    /// Its capacity, where it may be over that and it is time to add up. Who is told that does so.
    pub(super) fn begin(&self, namespace: &Namespace, now: Moment, is_full: bool) -> Option<u64> {
        let mut budgets = self.0.lock();
        let budget = budgets.get_mut(namespace)?;
        let is_time = budget.added_up.is_none_or(|at| now.since(at) >= AGAIN);
        if budget.is_under_way || !is_time || !(is_full || budget.most > budget.capacity) {
            return None;
        }
        (budget.is_under_way, budget.added_up, budget.most) = (true, Some(now), 0);
        Some(budget.capacity)
    }

    /// It was added up, and comes to this with what was stored meanwhile.
    pub(super) fn end(&self, namespace: &Namespace, used: u64) {
        if let Some(budget) = self.0.lock().get_mut(namespace) {
            budget.most = budget.most.saturating_add(used);
            budget.is_under_way = false;
        }
    }
}

/// What is to go of these, of which there is so much: until there is room for the capacity and a part of it.
pub(super) fn victims(mut all: Vec<MayGo>, used: u64, capacity: u64) -> Vec<MayGo> {
    let target = capacity - capacity / SPARE;
    let mut left = used;
    all.sort_unstable();
    let goes = |one: &MayGo| {
        let goes = left > target;
        left = left.saturating_sub(if goes { one.cost } else { 0 });
        goes
    };
    all.into_iter().take_while(goes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::clock::Clock;

    fn one(is_protected: bool, decided: EngineTime, cost: u64) -> MayGo {
        MayGo {
            is_protected,
            decided,
            cost,
            lane: 0,
            name: ObjectName::from(format!("n/{decided}")),
            etag: 0,
            version: Version::default(),
            is_kept: false,
        }
    }

    #[test]
    fn the_oldest_segments_go_first_and_playlists_last() {
        let all = || vec![one(true, 1, 100), one(false, 9, 100), one(false, 3, 100), one(false, 5, 100)];
        let gone = |used: u64, capacity: u64| victims(all(), used, capacity).iter().map(|one| one.decided).collect::<Vec<_>>();
        assert_eq!(gone(400, 320), [3], "and a part of the capacity is spare: 310");
        assert_eq!(gone(400, 310), [3], "to 301");
        assert_eq!(gone(400, 300), [3, 5], "to 291");
        assert_eq!(gone(400, 64), [3, 5, 9, 1]);
        assert_eq!(gone(400, 640), [0; 0]);
    }

    #[test]
    fn it_is_added_up_when_it_may_be_over_and_by_one_at_a_time() {
        let (clock, name) = (Clock::manual(), Namespace::parse("n").unwrap());
        let budgets = SharedBudgets::default();
        let object = |length: u64| SharedObject { etag: 0, length, is_bare: false, expires: 1, described: bytes::Bytes::new() };
        assert_eq!(budgets.begin(&name, clock.now(), true), None, "it has none");
        budgets.set(&name, Some(1 << 20));
        assert_eq!(budgets.begin(&name, clock.now(), false), Some(1 << 20), "nobody knows how much there is");
        budgets.stored("n/a.ts", &object(100_000));
        assert_eq!(budgets.begin(&name, clock.now(), false), None, "it is under way");
        budgets.end(&name, 500_000);
        clock.advance(AGAIN);
        assert_eq!(budgets.begin(&name, clock.now(), false), None, "600,000 of 1 MiB");
        budgets.stored("other/a.ts", &object(1 << 20));
        assert_eq!(budgets.begin(&name, clock.now(), false), None, "that is another's");
        budgets.stored("n/b.ts", &object(500_000));
        assert_eq!(budgets.begin(&name, clock.now(), false), Some(1 << 20));
        budgets.end(&name, 2 << 20);
        assert_eq!(budgets.begin(&name, clock.now(), false), None, "it has just been");
        clock.advance(AGAIN);
        assert_eq!(budgets.begin(&name, clock.now(), false), Some(1 << 20));
        budgets.set(&name, None);
        assert_eq!(budgets.begin(&name, clock.now(), false), None);
    }
}
