//! What this node has had committed and is to bring to the bucket below: names alone, for what they stand for then is at the engine.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::ObjectName;
use crate::model::clock::Moment;

/// More are left to whoever comes by.
const MOST: usize = 50_000;

/// Of one lane.
#[derive(Debug, Default)]
pub(super) struct OwnWrites {
    /// And when each has its turn.
    names: Mutex<BTreeMap<ObjectName, Moment>>,
    pub(super) woken: Notify,
}

impl OwnWrites {
    /// Something is to be brought there, from then on.
    pub(super) fn add(&self, name: ObjectName, at: Moment) {
        let mut names = self.names.lock();
        if names.len() < MOST {
            names.insert(name, at);
        }
        drop(names);
        self.woken.notify_one();
    }

    /// So many at most whose turn has come.
    pub(super) fn take(&self, most: usize, now: Moment, mut may: impl FnMut(&ObjectName) -> bool) -> Vec<ObjectName> {
        let mut names = self.names.lock();
        let due = names.iter().filter(|(name, at)| **at <= now && may(name)).take(most);
        let taken: Vec<_> = due.map(|(name, _)| ObjectName::clone(name)).collect();
        for name in &taken {
            names.remove(name);
        }
        taken
    }

    /// When the next one has its turn.
    pub(super) fn next(&self) -> Option<Moment> {
        self.names.lock().values().min().copied()
    }

    /// How many of these are below a prefix.
    pub(super) fn count(&self, prefix: &str) -> usize {
        self.names.lock().keys().filter(|name| name.starts_with(prefix)).count()
    }
}
