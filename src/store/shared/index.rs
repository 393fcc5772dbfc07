//! What a node knows of a lane: a copy of the engine's index, kept by following its journal.
//!
//! Invariant: of each name it has the newest version that it has ever been told of, whatever primary it came from. So what a primary
//! has lost is still here, until it is asserted.

use std::collections::BTreeMap;

use super::{EngineTime, HeldObject, Indexed, JournalNews, Journaled, ObjectName, SharedObject, UploadId, Version};

/// The index of one lane at one node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct NodeIndex {
    names: BTreeMap<ObjectName, Indexed>,
    /// What uploads became, for as long as they may be sent again.
    uploads: BTreeMap<UploadId, (ObjectName, Version)>,
    /// How far it has followed the journal.
    at: Version,
    /// What came last, by the commit it came with, as long as that is not known to be on a majority of the copies.
    unconfirmed: BTreeMap<ObjectName, u64>,
}

/// That a step of the journal is missing, or that somebody else's term has begun: only a new session can tell what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OutOfStep;

/// What a read finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Lookup<'a> {
    /// What there is, or that there is nothing.
    Sure(Option<&'a SharedObject>),
    /// It came after the last barrier that has ended.
    Unconfirmed,
}

impl NodeIndex {
    /// How far it has followed.
    pub(super) fn at(&self) -> Version {
        self.at
    }

    /// Whether it has never followed anything.
    pub(super) fn is_new(&self) -> bool {
        self.at == Version::default()
    }

    /// Follows a step of the journal, in a session of this term.
    pub(super) fn apply(&mut self, step: Journaled, session: Version) -> Result<(), OutOfStep> {
        match step.news {
            JournalNews::Term if step.at.term == session.term || step.at.commit < session.commit => {}
            JournalNews::Object { .. } if step.at.commit == self.at.commit + 1 => {}
            JournalNews::Term | JournalNews::Object { .. } => return Err(OutOfStep),
        }
        self.at = step.at;
        if let JournalNews::Object { name, indexed, upload } = step.news {
            if let Some(upload) = upload {
                self.uploads.insert(upload, (ObjectName::clone(&name), indexed.version));
            }
            if self.take(&name, indexed) {
                self.unconfirmed.insert(name, step.at.commit);
            }
        }
        Ok(())
    }

    /// Takes a version that is newer than the one it has; whether it was.
    fn take(&mut self, name: &ObjectName, indexed: Indexed) -> bool {
        let is_newer = self.names.get(name).is_none_or(|there| there.version < indexed.version);
        if is_newer {
            self.names.insert(ObjectName::clone(name), indexed);
        }
        is_newer
    }

    /// Takes over the engine's index as it was at a commit; what that has lost of what is here.
    pub(super) fn merge(
        &mut self,
        at: Version,
        index: Vec<(ObjectName, Indexed)>,
        uploads: Vec<(UploadId, ObjectName, Version)>,
    ) -> Vec<HeldObject> {
        let there: BTreeMap<ObjectName, Version> =
            index.iter().map(|(name, indexed)| (ObjectName::clone(name), indexed.version)).collect();
        let uploads: BTreeMap<_, _> = uploads.into_iter().map(|(upload, name, version)| (upload, (name, version))).collect();
        let mut held = Vec::new();
        for (name, here) in &self.names {
            let lost = self.uploads.iter().filter(|(upload, (of, _))| of == name && !uploads.contains_key(*upload));
            let lost: Vec<_> = lost.map(|(upload, (_, version))| (*upload, *version)).collect();
            let is_lost = match there.get(name) {
                Some(there) => *there < here.version || *there == here.version && !lost.is_empty(),
                None => true,
            };
            if is_lost {
                held.push(HeldObject { name: ObjectName::clone(name), indexed: here.clone(), uploads: lost });
            }
        }
        for (name, indexed) in index {
            self.take(&name, indexed);
        }
        // Others of which the engine knows nothing have been overtaken: who sends them again is judged anew.
        let is_held = |upload: &UploadId| held.iter().any(|held| held.uploads.iter().any(|(other, _)| other == upload));
        self.uploads.retain(|upload, _| is_held(upload));
        self.uploads.extend(uploads);
        self.at = at;
        held
    }

    /// Forgets what it knows of names: the engine goes by another history.
    pub(super) fn forget(&mut self, names: &[ObjectName]) {
        self.names.retain(|name, _| !names.contains(name));
        self.uploads.retain(|_, (name, _)| !names.contains(name));
    }

    /// All up to this commit is on a majority of the copies.
    pub(super) fn confirm(&mut self, commit: u64) {
        self.unconfirmed.retain(|_, came| *came > commit);
    }

    /// Looks a name up.
    pub(super) fn look(&self, name: &ObjectName, now: EngineTime, only_confirmed: bool) -> Lookup<'_> {
        if only_confirmed && self.unconfirmed.contains_key(name) {
            return Lookup::Unconfirmed;
        }
        Lookup::Sure(self.names.get(name).and_then(|indexed| indexed.live(now)))
    }

    /// Forgets that a name was removed: what a test without tombstones does.
    #[cfg(test)]
    pub(super) fn forget_removals(&mut self) {
        self.names.retain(|_, indexed| indexed.object.is_some());
    }
}
