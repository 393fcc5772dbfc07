//! The figures of each namespace.

use std::fmt;
use std::sync::Arc;

use super::durable::{DurableFamilies, DurableMetrics};
use super::requests::Traffic;
use super::{Count, Family, Labels, Level, Registry};
use crate::model::event::EventKind;
use crate::model::facts::{Defect, Defects};
use crate::model::id::Namespace;
use crate::model::kind::Kind;
use crate::model::liveness::Standing;
use crate::model::mended::{Mended, SwitchReason};

/// Why an object left before its time, or at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// Its TTL ran out.
    Expired,
    /// The namespace's hot capacity was needed for newer data.
    Evicted,
}

/// All namespaces' figures, by name.
#[derive(Debug, Default)]
pub(super) struct NamespaceFamilies {
    stored_bytes: Family<Labels<1>, Level>,
    stored_objects: Family<Labels<1>, Level>,
    capacity_bytes: Family<Labels<1>, Level>,
    uploading_bytes: Family<Labels<1>, Level>,
    pinned_bytes: Family<Labels<1>, Level>,
    gone: Family<Labels<3>, Count>,
    uploads: Family<Labels<2>, Count>,
    defective: Family<Labels<2>, Count>,
    limited: Family<Labels<2>, Count>,
    stripped: Family<Labels<1>, Count>,
    normalised: Family<Labels<2>, Count>,
    pair_sources_down: Family<Labels<2>, Level>,
    pair_lines: Family<Labels<2>, Count>,
    pair_lent: Family<Labels<2>, Count>,
    pair_switches: Family<Labels<3>, Count>,
    renditions: Family<Labels<2>, Level>,
    oldest_edge_seconds: Family<Labels<1>, Level>,
    followed: Family<Labels<1>, Level>,
    holding: Family<Labels<1>, Level>,
    held: Family<Labels<2>, Count>,
    events: Family<Labels<2>, Count>,
    durable: DurableFamilies,
}

/// One namespace's figures.
#[derive(Clone)]
pub struct NamespaceMetrics {
    /// Requests and their bytes.
    pub traffic: Arc<Traffic>,
    /// Bytes that count against the hot capacity, uploads in flight apart.
    pub stored_bytes: Level,
    /// Objects in the hot store.
    pub stored_objects: Level,
    /// The hot capacity.
    pub capacity_bytes: Level,
    /// Bytes of uploads in flight.
    pub uploading_bytes: Level,
    /// Bytes of bodies that are no object any more, which readers hold.
    pub pinned_bytes: Level,
    expired: [Count; Kind::ALL.len()],
    evicted: [Count; Kind::ALL.len()],
    /// Uploads that were stored.
    pub uploads_stored: Count,
    /// Uploads that were refused: the answer said why.
    pub uploads_refused: Count,
    /// Uploads that broke off.
    pub uploads_broken: Count,
    /// Uploads that changed nothing, since something that was begun later was in force when they ended.
    pub uploads_superseded: Count,
    /// Segments that were stored and have this wrong with them.
    defective: [Count; Defect::ALL.len()],
    /// Reads refused for the namespace's rate.
    pub reads_limited: Count,
    /// Writes and removals refused for it.
    pub writes_limited: Count,
    /// Playlists that were stored with something taken out of their URIs.
    pub playlists_stripped: Count,
    /// What was done to normalised playlists that their encoders did not.
    normalised: [Count; Mended::ALL.len()],
    /// By the first and the second source of streams with two: how many have stopped.
    pub pair_sources_down: [Level; 2],
    /// Segments of each that viewers were given.
    pub pair_lines: [Count; 2],
    /// Those among them that it has lent the other.
    pub pair_lent: [Count; 2],
    /// How often viewers were given each, where they had the other, by [`SwitchReason`].
    pub pair_switches: [[Count; SwitchReason::ALL.len()]; 2],
    /// Media playlists and MPDs by how they stand, in the order of [`Standing::ALL`].
    pub renditions: [Level; Standing::ALL.len()],
    /// The longest time since a new segment, over the renditions that have no end.
    pub oldest_edge_seconds: Level,
    /// Playlists and MPDs that are followed.
    pub followed: Level,
    /// Reads that wait for an object that is about to arrive.
    pub holding: Level,
    /// Reads that waited and got it.
    pub held_arrived: Count,
    /// Reads that waited in vain.
    pub held_in_vain: Count,
    /// Reads that did not wait because too many did.
    pub held_refused: Count,
    /// The durable tier's.
    pub durable: DurableMetrics,
    events: [Count; EventKind::ALL.len()],
}

impl NamespaceFamilies {
    /// None yet; what there will be is shown by this registry.
    pub(super) fn register(registry: &mut Registry) -> Self {
        let new = Self::default();
        new.durable.register(registry);
        registry.register(
            "hot_stored_bytes",
            "Bytes held in the hot store: bodies, keys, kept headers and a fixed overhead per object",
            new.stored_bytes.clone(),
        );
        registry.register("hot_objects", "Objects in the hot store", new.stored_objects.clone());
        registry.register("hot_capacity_bytes", "Hot capacity of the namespace", new.capacity_bytes.clone());
        registry.register(
            "hot_uploading_bytes",
            "Bytes of uploads in flight, which count against the hot capacity too",
            new.uploading_bytes.clone(),
        );
        registry.register(
            "hot_pinned_bytes",
            "Bytes of versions that are gone and still being read, which count against a quarter of the hot capacity at most",
            new.pinned_bytes.clone(),
        );
        registry.register(
            "hot_objects_removed",
            "Objects that left the hot store, by reason (expired: TTL ran out; evicted: capacity was needed) and kind",
            new.gone.clone(),
        );
        registry.register(
            "uploads",
            "Uploads by outcome (stored; refused: answered with an error; broken: cut off before their end; superseded: one begun later was in force)",
            new.uploads.clone(),
        );
        registry.register(
            "segments_defective",
            "Segments stored with something wrong in their bytes, by what it is (empty, truncated, continuity, no-keyframe and so on)",
            new.defective.clone(),
        );
        registry.register(
            "rate_limited",
            "Requests refused because the namespace's rate was used up, by direction (read, write)",
            new.limited.clone(),
        );
        registry.register(
            "playlists_stripped",
            "Playlists and manifests stored without what a setting takes out of their URIs (strip_credentials, strip_parameters)",
            new.stripped.clone(),
        );
        registry.register(
            "normalised",
            "What was done to normalised playlists that their encoders did not, by what it was (restart, hole, gap and so on)",
            new.normalised.clone(),
        );
        registry.register(
            "pair_sources_down",
            "Sources of streams with two sources that have stopped, by source (a, b): the next failure is seen by viewers",
            new.pair_sources_down.clone(),
        );
        registry.register(
            "pair_lines",
            "Segments in public playlists with two sources, by the source that they are of (a, b)",
            new.pair_lines.clone(),
        );
        registry.register(
            "pair_lent",
            "Segments in public playlists with two sources that the one which is not active has lent, by that source (a, b)",
            new.pair_lent.clone(),
        );
        registry.register(
            "pair_switches",
            "How often viewers were given the other of two sources, by the one that they got (a, b) and why (stalled, ended, deleted and so on)",
            new.pair_switches.clone(),
        );
        registry.register(
            "renditions",
            "Media playlists and MPDs that are followed, by how they stand (live, late, stale, ended)",
            new.renditions.clone(),
        );
        registry.register(
            "oldest_edge_seconds",
            "Longest time since a new segment, over all renditions that have no end",
            new.oldest_edge_seconds.clone(),
        );
        registry.register(
            "streams_followed",
            "Playlists and MPDs that are followed, multivariant ones too; at 4096 those written longest ago make room",
            new.followed.clone(),
        );
        registry.register("held_reads", "Reads that wait for an object that is about to arrive", new.holding.clone());
        registry.register(
            "reads_held",
            "Reads that were to wait for an object, by outcome (arrived; in_vain: it did not come in time; refused: too many waited)",
            new.held.clone(),
        );
        registry.register("stream_events", "What was found about live streams, by kind of event", new.events.clone());
        new
    }

    /// The handles of one namespace's figures.
    pub(super) fn of(&self, name: &Namespace, traffic: Arc<Traffic>) -> NamespaceMetrics {
        let label = || ("namespace", name.to_string());
        let source = |side: &str| ("source", side.to_owned());
        let gone = |reason: &str| {
            Kind::ALL.map(|kind| {
                let labels = [label(), ("reason", reason.to_owned()), ("kind", kind.as_str().to_owned())];
                self.gone.get_or_create_owned(&labels)
            })
        };
        let uploads = |outcome: &str| self.uploads.get_or_create_owned(&[label(), ("outcome", outcome.to_owned())]);
        let held = |outcome: &str| self.held.get_or_create_owned(&[label(), ("outcome", outcome.to_owned())]);
        NamespaceMetrics {
            traffic,
            stored_bytes: self.stored_bytes.get_or_create_owned(&[label()]),
            stored_objects: self.stored_objects.get_or_create_owned(&[label()]),
            capacity_bytes: self.capacity_bytes.get_or_create_owned(&[label()]),
            uploading_bytes: self.uploading_bytes.get_or_create_owned(&[label()]),
            pinned_bytes: self.pinned_bytes.get_or_create_owned(&[label()]),
            expired: gone("expired"),
            evicted: gone("evicted"),
            uploads_stored: uploads("stored"),
            uploads_refused: uploads("refused"),
            uploads_broken: uploads("broken"),
            uploads_superseded: uploads("superseded"),
            defective: Defect::ALL.map(|defect| {
                let labels = [label(), ("defect", defect.as_str().to_owned())];
                self.defective.get_or_create_owned(&labels)
            }),
            reads_limited: self.limited.get_or_create_owned(&[label(), ("direction", "read".to_owned())]),
            writes_limited: self.limited.get_or_create_owned(&[label(), ("direction", "write".to_owned())]),
            playlists_stripped: self.stripped.get_or_create_owned(&[label()]),
            normalised: Mended::ALL.map(|what| {
                let labels = [label(), ("what", what.as_str().to_owned())];
                self.normalised.get_or_create_owned(&labels)
            }),
            pair_sources_down: ["a", "b"].map(|side| self.pair_sources_down.get_or_create_owned(&[label(), source(side)])),
            pair_lines: ["a", "b"].map(|side| self.pair_lines.get_or_create_owned(&[label(), source(side)])),
            pair_lent: ["a", "b"].map(|side| self.pair_lent.get_or_create_owned(&[label(), source(side)])),
            pair_switches: ["a", "b"].map(|side| {
                SwitchReason::ALL.map(|why| {
                    self.pair_switches.get_or_create_owned(&[label(), source(side), ("reason", why.as_str().to_owned())])
                })
            }),
            renditions: Standing::ALL
                .map(|one| self.renditions.get_or_create_owned(&[label(), ("state", one.as_str().to_owned())])),
            oldest_edge_seconds: self.oldest_edge_seconds.get_or_create_owned(&[label()]),
            followed: self.followed.get_or_create_owned(&[label()]),
            holding: self.holding.get_or_create_owned(&[label()]),
            held_arrived: held("arrived"),
            held_in_vain: held("in_vain"),
            held_refused: held("refused"),
            durable: self.durable.namespace(name.as_str()),
            events: EventKind::ALL.map(|kind| self.events.get_or_create_owned(&[label(), ("event", kind.as_str().to_owned())])),
        }
    }
}

impl NamespaceFamilies {
    /// Shows no more how one stands that is gone. What was counted of it stays: counters do not go back.
    pub(super) fn forget_levels(&self, name: &Namespace) {
        let label = || ("namespace", name.to_string());
        let levels = [
            &self.stored_bytes,
            &self.stored_objects,
            &self.capacity_bytes,
            &self.uploading_bytes,
            &self.pinned_bytes,
            &self.oldest_edge_seconds,
            &self.followed,
            &self.holding,
        ];
        for family in levels {
            family.remove(&[label()]);
        }
        for side in ["a", "b"] {
            self.pair_sources_down.remove(&[label(), ("source", side.to_owned())]);
        }
        for standing in Standing::ALL {
            self.renditions.remove(&[label(), ("state", standing.as_str().to_owned())]);
        }
        self.durable.forget_levels(name.as_str());
    }
}

impl NamespaceMetrics {
    /// Counts something that was found about a stream.
    pub fn count_event(&self, kind: EventKind) {
        self.events[kind as usize].inc();
    }

    /// Counts what was done to a normalised playlist.
    pub fn count_mended(&self, what: Mended) {
        self.normalised[what as usize].inc();
    }

    /// Counts what is wrong with a segment that was stored.
    pub fn count_defects(&self, defects: Defects) {
        for defect in defects.iter() {
            self.defective[defect as usize].inc();
        }
    }

    /// Counts an object that left the hot store by itself.
    pub fn count_gone(&self, kind: Kind, why: Gone) {
        let counters = match why {
            Gone::Expired => &self.expired,
            Gone::Evicted => &self.evicted,
        };
        counters[kind as usize].inc();
    }
}

impl fmt::Debug for NamespaceMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NamespaceMetrics").finish_non_exhaustive()
    }
}
