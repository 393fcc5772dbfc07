//! What a copy does for the bucket below: the other half of its [tables](super::tables).

use super::super::safeguards::{Safeguard, Safeguards};
use super::super::{AWAY, BucketClaim, ClaimEnd, ClaimTimes, EngineTime, Indexed, JournalNews, Node, ObjectName, Version};
use super::tables::{CopiedClaim, CopyTables};

impl CopyTables {
    pub(super) fn claim_all(
        &mut self,
        node: &Node,
        times: ClaimTimes,
        names: &[ObjectName],
        orphans: u64,
        now: EngineTime,
        safeguards: Safeguards,
    ) -> Vec<BucketClaim> {
        // By a clock that was ahead.
        self.began = self.began.min(now);
        let mut old: Vec<_> = self.waiting.iter().filter(|(_, at)| **at + times.orphaned <= now).collect();
        old.sort_by_key(|(_, at)| **at);
        let old = old.into_iter().take(usize::try_from(orphans).unwrap_or(usize::MAX)).map(|(name, _)| ObjectName::clone(name));
        let all: Vec<_> = names.iter().cloned().chain(old).collect();
        let mut claims: Vec<BucketClaim> = Vec::new();
        for name in all {
            let has = claims.iter().any(|other| other.name == name);
            claims.extend((!has).then(|| self.claim(node, times, &name, now, safeguards)).flatten());
        }
        claims
    }

    fn claim(
        &mut self,
        node: &Node,
        times: ClaimTimes,
        name: &ObjectName,
        now: EngineTime,
        safeguards: Safeguards,
    ) -> Option<BucketClaim> {
        let at = self.waiting.get_mut(name)?;
        let indexed = self.index.get(name)?.clone();
        let is_put = indexed.live(now).is_some();
        let after = if is_put { times.put_after } else { times.removed_after };
        let held = self.claims.get(name).filter(|held| held.until > now);
        let is_others = held.is_some_and(|held| held.node != *node || held.is_put != is_put);
        if safeguards.has(Safeguard::Claims) && (now < self.began + after || is_others) {
            return None;
        }
        *at = now;
        let before = held.map_or(0, |held| held.until);
        let until = (now + times.claimed).max(held.map_or(0, |held| held.until + 1));
        self.claims.insert(ObjectName::clone(name), CopiedClaim { until, before, is_put, node: Node::clone(node) });
        Some(BucketClaim { name: ObjectName::clone(name), indexed, number: until })
    }

    pub(super) fn settle(
        &mut self,
        (node, number): (&Node, EngineTime),
        (name, version): (&ObjectName, Version),
        end: ClaimEnd,
        now: EngineTime,
        safeguards: Safeguards,
    ) {
        let held = self.claims.get(name).filter(|held| held.node == *node && (held.until > now && number <= held.until));
        let is_own = held.is_some() && number > now;
        if !is_own && safeguards.has(Safeguard::Claims) {
            return;
        }
        if matches!(end, ClaimEnd::Failed | ClaimEnd::Missing) {
            let is_it = self.index.get(name).is_some_and(|there| there.version == version);
            if let Some(at) = self.waiting.get_mut(name) {
                *at = if end == ClaimEnd::Missing && is_it { now + AWAY } else { now };
            }
            return;
        }
        if let Some(held) = self.claims.get_mut(name).filter(|held| held.until == number) {
            if held.before > now {
                (held.until, held.before) = (held.before, 0);
            } else {
                self.claims.remove(name);
            }
        }
        let Some(there) = self.index.get_mut(name).filter(|there| there.version == version) else { return };
        let is_live = there.live(now).is_some();
        match (end, &there.object) {
            (ClaimEnd::Unfit, _) => drop(self.waiting.remove(name)),
            (ClaimEnd::Put { expires }, Some(object)) if object.expires <= expires => {
                if is_live {
                    self.waiting.remove(name);
                }
                if !std::mem::replace(&mut there.is_kept, true) {
                    self.moved(name);
                }
            }
            (ClaimEnd::Removed, object) if !is_live => {
                there.is_kept = object.is_none();
                self.waiting.remove(name);
                self.moved(name);
            }
            _ => {}
        }
    }

    pub(super) fn evict(&mut self, name: &ObjectName, version: Version) -> bool {
        let there = self.index.get_mut(name).filter(|there| there.version == version && there.is_kept);
        let Some(object) = there.and_then(|there| there.object.as_mut()).filter(|object| !object.is_bare) else { return false };
        object.is_bare = true;
        self.bodies.remove(name);
        self.moved(name);
        true
    }

    pub(super) fn fill(&mut self, name: &ObjectName, found: &Indexed) {
        match self.index.get(name) {
            Some(there) if there.version > found.version || there.outlasts(found) => {}
            Some(there) if there.version == found.version => self.note_kept(name, found.version),
            _ => self.store(name, found.clone(), None, None),
        }
    }

    /// The bucket has that version, of which the engine has no bytes.
    pub(super) fn note_kept(&mut self, name: &ObjectName, version: Version) {
        let there = self.index.get_mut(name).filter(|there| there.version == version && !there.is_kept);
        if let Some(there) = there.filter(|there| there.object.as_ref().is_some_and(|object| object.is_bare)) {
            there.is_kept = true;
            self.moved(name);
        }
    }

    /// Shows what has moved between engine and bucket.
    fn moved(&mut self, name: &ObjectName) {
        let Some(Indexed { version, is_kept, object, .. }) = self.index.get(name) else { return };
        let (version, is_kept) = (*version, *is_kept);
        let is_bare = object.as_ref().is_some_and(|object| object.is_bare);
        self.tell(JournalNews::Moved { name: ObjectName::clone(name), version, is_kept, is_bare });
    }
}
