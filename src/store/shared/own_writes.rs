//! What this node has had committed and is to bring to the bucket below: names alone, for what they stand for then is at the engine.

use std::collections::{BTreeMap, BTreeSet};

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::ObjectName;
use crate::model::clock::Moment;

/// More are left to whoever comes by.
const MOST: usize = 50_000;

/// Of one lane.
#[derive(Debug, Default)]
pub(super) struct OwnWrites {
    names: Mutex<OwnNames>,
    pub(super) woken: Notify,
}

#[derive(Debug, Default)]
struct OwnNames {
    /// And when each has its turn.
    waiting: BTreeMap<ObjectName, Moment>,
    /// Being brought there. What is to be brought anew waits until that is over, for an earlier version must not come last.
    under_way: BTreeSet<ObjectName>,
}

impl OwnWrites {
    /// Something is to be brought there, from then on.
    pub(super) fn add(&self, name: ObjectName, at: Moment) {
        let mut names = self.names.lock();
        if names.waiting.len() < MOST {
            names.waiting.insert(name, at);
        }
        drop(names);
        self.woken.notify_one();
    }

    /// So many at most whose turn has come: they are under way from then on.
    pub(super) fn take(&self, most: usize, now: Moment, mut may: impl FnMut(&ObjectName) -> bool) -> Vec<ObjectName> {
        let OwnNames { waiting, under_way } = &mut *self.names.lock();
        let due = waiting.iter().filter(|(name, at)| **at <= now && !under_way.contains(*name) && may(name)).take(most);
        let taken: Vec<_> = due.map(|(name, _)| ObjectName::clone(name)).collect();
        for name in &taken {
            waiting.remove(name);
            under_way.insert(ObjectName::clone(name));
        }
        taken
    }

    /// This one is under way, whoever's it was; whether it was not before.
    pub(super) fn begin(&self, name: &ObjectName) -> bool {
        self.names.lock().under_way.insert(ObjectName::clone(name))
    }

    /// It is not any more.
    pub(super) fn end(&self, name: &ObjectName) {
        self.names.lock().under_way.remove(name);
        self.woken.notify_one();
    }

    /// Those below a prefix are not this node's to bring there any more.
    pub(super) fn forget(&self, prefix: &str) {
        self.names.lock().waiting.retain(|name, _| !name.starts_with(prefix));
    }

    /// When the next one has its turn.
    pub(super) fn next(&self) -> Option<Moment> {
        let names = self.names.lock();
        let free = names.waiting.iter().filter(|(name, _)| !names.under_way.contains(*name));
        free.map(|(_, at)| *at).min()
    }

    /// How many of these are below a prefix, with those under way.
    pub(super) fn count(&self, prefix: &str) -> usize {
        let names = self.names.lock();
        let only_under_way = names.under_way.iter().filter(|name| !names.waiting.contains_key(*name));
        names.waiting.keys().chain(only_under_way).filter(|name| name.starts_with(prefix)).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::clock::Clock;

    #[test]
    fn one_name_is_brought_there_once_at_a_time() {
        let (own, clock) = (OwnWrites::default(), Clock::manual());
        let (now, name) = (clock.now(), ObjectName::from("n/a"));
        let take = || own.take(9, now, |_| true).len();
        own.add(ObjectName::clone(&name), now);
        assert_eq!((take(), take(), own.count("n/")), (1, 0, 1));
        own.add(ObjectName::clone(&name), now);
        assert_eq!((take(), own.next(), own.count("n/"), own.begin(&name)), (0, None, 1, false));
        own.end(&name);
        assert_eq!((own.next(), take(), own.next()), (Some(now), 1, None));
        own.end(&name);
        assert_eq!((own.count("n/"), own.begin(&name)), (0, true));
    }
}
