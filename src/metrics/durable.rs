//! The figures of the tier below the hot store.

use std::sync::atomic::AtomicU64;

use super::{Count, Family, Gauge, Labels, Level, Registry};

/// A namespace's figures of its durable tier.
#[derive(Clone, Debug)]
pub struct DurableMetrics {
    /// Bytes in the tier: bodies and a fixed overhead per object.
    pub stored_bytes: Level,
    /// Objects in the tier.
    pub stored_objects: Level,
    /// `durable_capacity`.
    pub capacity_bytes: Level,
    /// What the tier may hold now: `durable_capacity`, or what fits.
    pub budget_bytes: Level,
    /// Bytes that wait to be written there.
    pub waiting_bytes: Level,
    /// Changes that wait to be made there, removals included.
    pub waiting_changes: Level,
    /// For how long the oldest of them has waited, in seconds.
    pub lag_seconds: Gauge<f64, AtomicU64>,
    /// Objects whose last answer from the tier was wrong.
    pub doubtful_objects: Level,
    /// Objects in a later version's form.
    pub later_objects: Level,
    /// 1 while the last call of the tier succeeded, else 0.
    pub up: Level,
    /// Versions that were written.
    pub written: Count,
    /// Writes and removals that failed; each is tried again.
    pub failed: Count,
    /// Versions that a newer one replaced before their turn came.
    pub coalesced: Count,
    /// Versions that were given up: too much was waiting, or the tier can't hold them.
    pub given_up: Count,
    /// Reads that the tier answered with an object.
    pub read: Count,
    /// Reads of what was not there.
    pub read_absent: Count,
    /// Reads that failed or took too long.
    pub read_failed: Count,
    /// Reads that were not tried, because those before had failed.
    pub read_refused: Count,
    /// Objects that were removed because their TTL ran out.
    pub expired: Count,
    /// Objects that were removed because the capacity was needed.
    pub evicted: Count,
    /// Files that belonged to no object.
    pub orphans: Count,
    /// Objects lost before their TTL ran out: evicted from memory, and in no tier.
    pub lost_evicted: Count,
    /// Objects lost before their TTL ran out: removed from the tier for its capacity, and not in memory.
    pub lost_capacity: Count,
    /// Objects lost before their TTL ran out: the tier has given nothing but wrong answers about them.
    pub lost_damaged: Count,
    /// Objects lost before their TTL ran out: known to the nodes, and nobody has the bytes any more.
    pub lost_bodiless: Count,
}

/// All namespaces'.
#[derive(Debug, Default)]
pub(super) struct DurableFamilies {
    stored_bytes: Family<Labels<1>, Level>,
    stored_objects: Family<Labels<1>, Level>,
    capacity_bytes: Family<Labels<1>, Level>,
    budget_bytes: Family<Labels<1>, Level>,
    waiting_bytes: Family<Labels<1>, Level>,
    waiting_changes: Family<Labels<1>, Level>,
    lag_seconds: Family<Labels<1>, Gauge<f64, AtomicU64>>,
    doubtful_objects: Family<Labels<1>, Level>,
    later_objects: Family<Labels<1>, Level>,
    up: Family<Labels<1>, Level>,
    writes: Family<Labels<2>, Count>,
    reads: Family<Labels<2>, Count>,
    removed: Family<Labels<2>, Count>,
    lost: Family<Labels<2>, Count>,
}

impl DurableFamilies {
    pub(super) fn register(&self, registry: &mut Registry) {
        let gauges = [
            ("durable_stored_bytes", "Bytes in the durable tier: bodies and a fixed overhead per object", &self.stored_bytes),
            ("durable_objects", "Objects in the durable tier", &self.stored_objects),
            ("durable_capacity_bytes", "Capacity of the durable tier", &self.capacity_bytes),
            (
                "durable_budget_bytes",
                "What the durable tier may hold now: its capacity, or less where there is less space",
                &self.budget_bytes,
            ),
            ("durable_waiting_bytes", "Bytes that wait to be written to the durable tier", &self.waiting_bytes),
            ("durable_waiting_changes", "Writes and removals that wait for the durable tier", &self.waiting_changes),
            (
                "durable_doubtful_objects",
                "Objects about which the durable tier's last answer was wrong: set aside, and asked for again",
                &self.doubtful_objects,
            ),
            (
                "durable_later_objects",
                "Objects in the durable tier that a newer Springhead wrote and this one can't read: left alone",
                &self.later_objects,
            ),
            ("durable_up", "1 while the durable tier takes what it is told, 0 while it fails", &self.up),
        ];
        for (name, help, family) in gauges {
            registry.register(name, help, family.clone());
        }
        registry.register(
            "durable_lag_seconds",
            "For how long the oldest change has waited for the durable tier",
            self.lag_seconds.clone(),
        );
        let counters = [
            (
                "durable_writes",
                "Changes for the durable tier by outcome (written; failed: tried again; coalesced: a newer version came first; \
                 given_up: too much was waiting, and what memory has still is written later, or the tier can't hold it)",
                &self.writes,
            ),
            (
                "durable_reads",
                "Reads past the hot store by outcome (read, absent, failed, refused: not tried, as those before had failed)",
                &self.reads,
            ),
            (
                "durable_objects_removed",
                "Objects that left the durable tier, by reason (expired, evicted: space was needed, orphan)",
                &self.removed,
            ),
            (
                "objects_lost",
                "Objects that can't be read any more before their TTL, by reason (evicted: from memory, and in no tier; capacity: \
                 removed from the durable tier for space, and not in memory; damaged: the durable tier has given wrong answers about \
                 it for minutes; bodiless: the engine that nodes share came back without their bytes, and nobody else has them)",
                &self.lost,
            ),
        ];
        for (name, help, family) in counters {
            registry.register(name, help, family.clone());
        }
    }

    /// Shows no more how the tier of one stands that is gone.
    pub(super) fn forget_levels(&self, name: &str) {
        let label = || [("namespace", name.to_owned())];
        let levels = [
            &self.stored_bytes,
            &self.stored_objects,
            &self.capacity_bytes,
            &self.budget_bytes,
            &self.waiting_bytes,
            &self.waiting_changes,
            &self.doubtful_objects,
            &self.later_objects,
            &self.up,
        ];
        for family in levels {
            family.remove(&label());
        }
        self.lag_seconds.remove(&label());
    }

    pub(super) fn namespace(&self, name: &str) -> DurableMetrics {
        let label = || ("namespace", name.to_owned());
        let level = |family: &Family<Labels<1>, Level>| family.get_or_create_owned(&[label()]);
        let count = |family: &Family<Labels<2>, Count>, by: &'static str, what: &str| {
            family.get_or_create_owned(&[label(), (by, what.to_owned())])
        };
        DurableMetrics {
            stored_bytes: level(&self.stored_bytes),
            stored_objects: level(&self.stored_objects),
            capacity_bytes: level(&self.capacity_bytes),
            budget_bytes: level(&self.budget_bytes),
            waiting_bytes: level(&self.waiting_bytes),
            waiting_changes: level(&self.waiting_changes),
            lag_seconds: self.lag_seconds.get_or_create_owned(&[label()]),
            doubtful_objects: level(&self.doubtful_objects),
            later_objects: level(&self.later_objects),
            up: level(&self.up),
            written: count(&self.writes, "outcome", "written"),
            failed: count(&self.writes, "outcome", "failed"),
            coalesced: count(&self.writes, "outcome", "coalesced"),
            given_up: count(&self.writes, "outcome", "given_up"),
            read: count(&self.reads, "outcome", "read"),
            read_absent: count(&self.reads, "outcome", "absent"),
            read_failed: count(&self.reads, "outcome", "failed"),
            read_refused: count(&self.reads, "outcome", "refused"),
            expired: count(&self.removed, "reason", "expired"),
            evicted: count(&self.removed, "reason", "evicted"),
            orphans: count(&self.removed, "reason", "orphan"),
            lost_evicted: count(&self.lost, "reason", "evicted"),
            lost_capacity: count(&self.lost, "reason", "capacity"),
            lost_damaged: count(&self.lost, "reason", "damaged"),
            lost_bodiless: count(&self.lost, "reason", "bodiless"),
        }
    }
}
