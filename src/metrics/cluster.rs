//! The figures of what several nodes share: how the engine answers this one. At zero throughout on a server by itself.

use std::sync::Arc;
use std::time::Duration;

use super::histogram::{Histogram, Spread};
use super::{Count, Family, Level, Registry};

/// Upper bounds of waiting for the engine, in microseconds.
const WAITS: [u64; 12] = [100, 250, 500, 1_000, 2_500, 5_000, 10_000, 50_000, 250_000, 1_000_000, 2_500_000, 8_000_000];

/// What came of asking the engine for a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFetch {
    /// It was there.
    Fetched,
    /// It was not there any more, or of another version.
    Absent,
    /// The engine did not answer.
    Failed,
}

/// Why somebody was sent away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SharedRefusal {
    /// A read: the engine did not answer in time.
    Read,
    /// A write: the same.
    Write,
    /// An upload: the engine has no room.
    Full,
}

/// How the engine answers this node.
#[derive(Debug)]
pub struct ClusterMetrics {
    /// 1 while the engine answers.
    pub up: Level,
    /// Nodes that the engine takes for alive, this one among them.
    pub members: Level,
    /// Sessions that were begun with the engine, by all lanes.
    pub sessions: Count,
    /// Objects that the engine had lost and was told of by this node.
    pub asserted: Count,
    /// Objects that this node removed at the engine because their namespace had more than its shared capacity.
    pub evicted: Count,
    fetches: [Count; 3],
    refused: [Count; 3],
    commits: Histogram,
    barriers: Histogram,
}

impl BodyFetch {
    const ALL: [(Self, &'static str); 3] = [(Self::Fetched, "fetched"), (Self::Absent, "absent"), (Self::Failed, "failed")];
}

impl SharedRefusal {
    const ALL: [(Self, &'static str); 3] = [(Self::Read, "read"), (Self::Write, "write"), (Self::Full, "full")];
}

impl ClusterMetrics {
    pub(super) fn register(registry: &mut Registry) -> Arc<Self> {
        let (fetches, refused) = (Labelled::default(), Labelled::default());
        let new = Self {
            up: Level::default(),
            members: Level::default(),
            sessions: Count::default(),
            asserted: Count::default(),
            evicted: Count::default(),
            fetches: BodyFetch::ALL.map(|(_, name)| fetches.get_or_create_owned(&[("outcome", name)])),
            refused: SharedRefusal::ALL.map(|(_, name)| refused.get_or_create_owned(&[("reason", name)])),
            commits: Histogram::new(&WAITS),
            barriers: Histogram::new(&WAITS),
        };
        registry.register("cluster_up", "1 while the engine that the nodes share answers this one", new.up.clone());
        registry.register(
            "cluster_members",
            "Nodes that the engine takes for alive, this one among them; 0 on a server by itself",
            new.members.clone(),
        );
        registry.register("cluster_sessions", "Sessions begun with the engine, by all lanes", new.sessions.clone());
        registry.register(
            "cluster_asserted",
            "Objects that the engine had lost and was told of by this node",
            new.asserted.clone(),
        );
        registry.register(
            "cluster_evicted",
            "Objects that this node removed at the engine because their namespace had more than its shared_capacity",
            new.evicted.clone(),
        );
        registry.register(
            "cluster_fetches",
            "Bodies asked for at the engine, by outcome (fetched; absent: replaced or expired meanwhile; failed)",
            fetches,
        );
        registry.register(
            "cluster_refused",
            "Requests answered 503 because of the engine, by reason (read, write: it did not answer in time; full: it has no room)",
            refused,
        );
        Arc::new(new)
    }

    /// Counts a body that was asked for.
    pub fn count_fetch(&self, what: BodyFetch) {
        self.fetches[what as usize].inc();
    }

    /// Counts a request that was sent away.
    pub fn count_refused(&self, why: SharedRefusal) {
        self.refused[why as usize].inc();
    }

    /// Notes how long a write waited until it was decided and known here.
    pub fn committed(&self, after: Duration) {
        self.commits.observe(u64::try_from(after.as_micros()).unwrap_or(u64::MAX));
    }

    /// Notes how long a barrier took, for which reads wait.
    pub fn passed_barrier(&self, after: Duration) {
        self.barriers.observe(u64::try_from(after.as_micros()).unwrap_or(u64::MAX));
    }

    /// How long what took, each with its name and what that says.
    pub(super) fn waits(&self) -> [(&'static str, &'static str, Spread); 2] {
        let (commits, barriers) = (self.commits.read(1e6), self.barriers.read(1e6));
        [
            ("cluster_commit_seconds", "How long writes waited until the engine had decided on them", commits),
            ("cluster_barrier_seconds", "How long the engine took to say that what is known here is fresh", barriers),
        ]
    }
}

type Labelled = Family<[(&'static str, &'static str); 1], Count>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outcomes_and_reasons_stand_in_their_own_order() {
        assert!(BodyFetch::ALL.iter().enumerate().all(|(index, (what, _))| *what as usize == index));
        assert!(SharedRefusal::ALL.iter().enumerate().all(|(index, (why, _))| *why as usize == index));
    }
}
