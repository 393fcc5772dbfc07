//! What one copy of a lane holds, and what the engine's functions do to it: the same as the library that is to run in Valkey.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::super::index::REMEMBERED;
use super::super::safeguards::{Safeguard, Safeguards};
use super::super::{
    Decision, EngineCall, EngineTime, HeldObject, Indexed, JournalNews, Journaled, Node, ObjectName, Precondition, Reply,
    SharedBody, SharedObject, TakenTerm, Term, UploadId, Version,
};

/// Who has come, and told what it holds so lately, goes on with that.
const TELLING: EngineTime = 700;

/// A copy's contents.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(in crate::store::shared) struct CopyTables {
    /// Of the term that is in force, and its newest commit.
    newest: Version,
    /// The line of the primary on which that term began.
    line: u32,
    journal: Vec<Journaled>,
    pub(super) index: BTreeMap<ObjectName, Indexed>,
    pub(super) bodies: BTreeMap<ObjectName, (Version, Bytes)>,
    verdicts: BTreeMap<UploadId, (ObjectName, Decision)>,
    members: BTreeMap<Node, CopiedMember>,
    /// How many members have come.
    comings: u64,
    /// When the term began.
    pub(super) began: EngineTime,
    /// Whether none was known where it did.
    is_first: bool,
    /// When a barrier was last answered, and when somebody was last served in terms before.
    served: EngineTime,
    before: EngineTime,
    /// What waits to be in the bucket, or to be removed there, by when it was last looked at.
    pub(super) waiting: BTreeMap<ObjectName, EngineTime>,
    /// Who has claimed what of that.
    pub(super) claims: BTreeMap<ObjectName, CopiedClaim>,
}

/// A claim, as a copy knows it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct CopiedClaim {
    /// Until then it stands, which is its number.
    pub(super) until: EngineTime,
    /// The one before it of the same node stands so long: a request of that may be under way until then.
    pub(super) before: EngineTime,
    /// Whether it is to be put.
    pub(super) is_put: bool,
    pub(super) node: Node,
}

/// A member, as a copy knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct CopiedMember {
    /// To which line it has asserted what it held; 0: to none.
    line: u32,
    /// When it gave its last sign.
    signed: EngineTime,
    /// When it has come, and of which coming it has been told.
    came: u64,
    told: u64,
}

impl CopyTables {
    /// Does what a call asks for.
    pub(in crate::store::shared) fn perform(
        &mut self,
        call: &EngineCall,
        now: EngineTime,
        kept: usize,
        safeguards: Safeguards,
    ) -> Reply {
        let reply = match call {
            EngineCall::Takeover { line, known, floor, node, heard } => {
                self.take_over((*line, *known, *floor), (node, *heard), now)
            }
            EngineCall::Read { after } => self.read(*after),
            EngineCall::Follow { after } => Reply::Steps(self.behind(*after).cloned().collect()),
            EngineCall::Scan => {
                let index = self.index.iter().map(|(name, indexed)| (ObjectName::clone(name), indexed.clone())).collect();
                let done = |(upload, (name, verdict)): (&UploadId, &(ObjectName, Decision))| match verdict {
                    Decision::Done(version) => Some((*upload, ObjectName::clone(name), *version)),
                    Decision::Unexpected | Decision::Absent | Decision::NoRoom => None,
                };
                Reply::Index { at: self.newest, index, uploads: self.verdicts.iter().filter_map(done).collect() }
            }
            EngineCall::Assert { term, .. }
            | EngineCall::Gate { term, .. }
            | EngineCall::Barrier { term, .. }
            | EngineCall::Commit { term, .. }
            | EngineCall::Renew { term, .. }
            | EngineCall::Claim { term, .. }
            | EngineCall::Settle { term, .. }
            | EngineCall::Evict { term, .. }
            | EngineCall::Fill { term, .. }
                if *term != self.newest.term =>
            {
                Reply::OtherTerm
            }
            EngineCall::Assert { node, held, .. } => {
                self.announce(node, now);
                self.members.entry(Node::clone(node)).and_modify(|member| member.signed = now);
                self.assert(held, now, safeguards)
            }
            EngineCall::Gate { node, .. } => {
                let came = self.sign(node, now);
                let is_telling = |member: &CopiedMember| {
                    member.line != self.line && now.checked_sub(member.signed).is_some_and(|since| since < TELLING)
                };
                let are_telling = self.members.values().any(is_telling);
                let shown = |(node, member): (&Node, &CopiedMember)| {
                    (Node::clone(node), if member.told >= came { member.line } else { 0 })
                };
                let members = self.members.iter().map(shown).collect();
                Reply::Gate { commit: self.newest.commit, members, are_telling }
            }
            EngineCall::Barrier { node, .. }
            | EngineCall::Commit { node, .. }
            | EngineCall::Claim { node, .. }
            | EngineCall::Settle { node, .. }
                if !self.is_member(node, safeguards) =>
            {
                Reply::OtherTerm
            }
            // Who asks in this term has asserted to its primary.
            EngineCall::Barrier { node, .. } => {
                self.served = now;
                self.sign(node, now);
                let members = self.members.iter().map(|(node, member)| (Node::clone(node), member.line)).collect();
                Reply::Barrier { commit: self.newest.commit, members }
            }
            EngineCall::Claim { node, times, names, orphans, .. } => {
                let claims = self.claim_all(node, *times, names, *orphans, now, safeguards);
                Reply::Claimed { commit: self.newest.commit, claims }
            }
            EngineCall::Settle { node, name, version, number, end, .. } => {
                self.settle((node, *number), (name, *version), *end, now, safeguards);
                Reply::Renewed { commit: self.newest.commit }
            }
            EngineCall::Evict { names, .. } => {
                let names = names.iter().filter(|(name, version)| self.evict(name, *version));
                let names = names.map(|(name, _)| ObjectName::clone(name)).collect();
                Reply::Evicted { commit: self.newest.commit, names }
            }
            EngineCall::Fill { found, .. } if found.iter().any(|(_, found)| found.version > self.newest) => Reply::OtherTerm,
            EngineCall::Fill { found, .. } => {
                found.iter().for_each(|(name, found)| self.fill(name, found));
                Reply::Renewed { commit: self.newest.commit }
            }
            EngineCall::Commit { upload, name, expected, object, body, goes_below, .. } => {
                let what = (object.as_ref(), body, *goes_below);
                let verdict = self.commit(*upload, name, expected, what, now, safeguards);
                Reply::Committed { verdict, commit: self.newest.commit }
            }
            EngineCall::Renew { lives, .. } => {
                lives.iter().for_each(|(name, version, expires)| self.renew(name, *version, *expires, now));
                Reply::Renewed { commit: self.newest.commit }
            }
            EngineCall::Body { name, part } => Reply::Body(self.bodies.get(name).map(|(version, bytes)| {
                let at = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
                let part = part.as_ref().map_or(0..bytes.len(), |part| at(part.start)..at(part.end));
                (*version, bytes.slice(part))
            })),
        };
        let surplus = self.journal.len().saturating_sub(kept);
        self.journal.drain(..surplus);
        reply
    }

    /// Whether the journal has anything behind that place.
    pub(super) fn has_news(&self, after: Version) -> bool {
        self.behind(after).next().is_some()
    }

    /// What stands for a name.
    pub(in crate::store::shared) fn standing(&self, name: &str) -> Option<&Indexed> {
        self.index.get(name)
    }

    /// Its term, and its newest commit.
    pub(super) fn newest(&self) -> Version {
        self.newest
    }

    /// The line to which a node has last asserted what it held; `None` too, as long as it has not been told that `whom` has come.
    pub(super) fn asserted_to(&self, node: &Node, whom: &Node) -> Option<u32> {
        let came = self.members.get(whom).map_or(0, |member| member.came);
        self.members.get(node).filter(|member| member.told >= came).map(|member| member.line)
    }

    /// Forgets what need not be remembered any more, as far as the bucket has nothing of it.
    pub(super) fn sweep(&mut self, now: EngineTime) {
        let ended = |indexed: &Indexed| indexed.object.as_ref().map_or(indexed.decided, |object| object.expires);
        self.index.retain(|_, indexed| now < ended(indexed).saturating_add(REMEMBERED));
        self.verdicts.clear();
    }

    /// It has been silent for so long that it is no member any more.
    pub(super) fn forget_member(&mut self, node: &Node) {
        self.members.remove(node);
    }

    fn is_member(&self, node: &Node, safeguards: Safeguards) -> bool {
        self.members.get(node).is_some_and(|member| member.line == self.line) || !safeguards.has(Safeguard::Membership)
    }

    /// A sign of life, by which it is told of all who have come; when it has come itself.
    fn sign(&mut self, node: &Node, now: EngineTime) -> u64 {
        let came = self.members.get(node).map(|member| member.came).unwrap_or_else(|| {
            self.comings += 1;
            self.comings
        });
        self.members.insert(Node::clone(node), CopiedMember { line: self.line, signed: now, came, told: self.comings });
        came
    }

    /// A node has come and may have something to tell: whoever comes to the gate waits for it.
    fn announce(&mut self, node: &Node, now: EngineTime) {
        if !self.members.contains_key(node) {
            self.comings += 1;
            self.members.insert(Node::clone(node), CopiedMember { line: 0, signed: now, came: self.comings, told: 0 });
        }
    }

    fn behind(&self, after: Version) -> impl Iterator<Item = &Journaled> {
        self.journal.iter().filter(move |step| step.at.commit > after.commit)
    }

    fn read(&self, after: Version) -> Reply {
        if self.newest != after && !self.journal.iter().any(|step| step.at == after) {
            return Reply::NoSuchPlace;
        }
        Reply::Steps(self.behind(after).cloned().collect())
    }

    fn take_over(
        &mut self,
        (line, known, floor): (u32, Version, u32),
        (node, heard): (&Node, EngineTime),
        now: EngineTime,
    ) -> Reply {
        let is_low = self.newest.term.is_far_below(floor);
        if line != self.line || known.term > self.newest.term || is_low {
            self.is_first = self.newest.term.number == 0;
            self.before = self.before.max(self.served);
            self.began = now;
            let number = self.newest.term.number.max(known.term.number).max(floor) + 1;
            self.newest.term = Term { number, line };
            self.line = line;
            self.go_on_from(known.commit);
        } else if known.commit > self.newest.commit {
            self.go_on_from(known.commit);
        }
        if heard < self.began {
            self.before = self.before.max(heard);
        }
        self.announce(node, now);
        let (newest, began, served) = (self.newest, self.began, self.before);
        Reply::Taken(TakenTerm { newest, now, began, served, is_first: self.is_first })
    }

    fn go_on_from(&mut self, commit: u64) {
        self.newest.commit = self.newest.commit.max(commit) + 1;
        self.journal.push(Journaled { at: self.newest, news: JournalNews::Term });
    }

    fn assert(&mut self, held: &[HeldObject], now: EngineTime, safeguards: Safeguards) -> Reply {
        let mut overtaken = Vec::new();
        for HeldObject { name, indexed, uploads, body, goes_below } in held {
            let otherwise = |(upload, version): &(UploadId, Version)| {
                self.verdicts.get(upload).is_some_and(|(_, verdict)| *verdict != Decision::Done(*version))
            };
            if uploads.iter().any(otherwise) {
                overtaken.push(ObjectName::clone(name));
                continue;
            }
            let there = self.index.get(name).map(|there| there.version);
            if there.is_none_or(|there| there < indexed.version) {
                let upload = uploads.iter().find(|(_, version)| *version == indexed.version).map(|(upload, _)| *upload);
                let mut indexed = indexed.clone();
                if let Some(object) = &mut indexed.object {
                    object.is_bare = true;
                }
                let waits = *goes_below && !indexed.is_kept;
                self.store(name, indexed, upload, None);
                if waits {
                    self.waiting.insert(ObjectName::clone(name), now);
                }
            }
            if indexed.is_kept {
                self.note_kept(name, indexed.version);
            }
            let standing = self.index.get_mut(name).filter(|standing| standing.version == indexed.version);
            if let (Some(standing), Some(body)) = (standing.and_then(|standing| standing.object.as_mut()), body)
                && standing.is_bare
            {
                standing.is_bare = false;
                self.bodies.insert(ObjectName::clone(name), (indexed.version, body.clone()));
            }
            if there.is_none_or(|there| there <= indexed.version) && safeguards.has(Safeguard::Verdicts) {
                for (upload, version) in uploads {
                    self.verdicts.entry(*upload).or_insert((ObjectName::clone(name), Decision::Done(*version)));
                }
            }
        }
        Reply::HasAsserted { overtaken }
    }

    fn commit(
        &mut self,
        upload: UploadId,
        name: &ObjectName,
        expected: &Precondition,
        (object, body, goes_below): (Option<&SharedObject>, &SharedBody, bool),
        now: EngineTime,
        safeguards: Safeguards,
    ) -> Decision {
        if let Some((_, verdict)) = self.verdicts.get(&upload) {
            return *verdict;
        }
        let there = self.index.get(name).and_then(|indexed| indexed.live(now));
        let verdict = if !expected.holds(there.map(|object| object.etag)) {
            Decision::Unexpected
        } else if object.is_none() && there.is_none() && !goes_below {
            Decision::Absent
        } else {
            let version = Version { commit: self.newest.commit + 1, ..self.newest };
            let indexed = Indexed { version, decided: now, is_kept: false, object: object.cloned() };
            self.store(name, indexed, Some(upload), body.travels.then(|| body.bytes.clone()));
            if object.is_some() {
                self.bodies.insert(ObjectName::clone(name), (version, body.bytes.clone()));
            }
            if goes_below {
                self.waiting.insert(ObjectName::clone(name), now);
            }
            if object.is_none() && !safeguards.has(Safeguard::Tombstones) {
                self.index.remove(name);
            }
            Decision::Done(version)
        };
        if matches!(verdict, Decision::Done(_)) || safeguards.has(Safeguard::Refusals) {
            self.verdicts.insert(upload, (ObjectName::clone(name), verdict));
        }
        verdict
    }

    pub(super) fn store(&mut self, name: &ObjectName, indexed: Indexed, upload: Option<UploadId>, body: Option<Bytes>) {
        self.index.insert(ObjectName::clone(name), indexed.clone());
        self.bodies.remove(name);
        self.tell(JournalNews::Object { name: ObjectName::clone(name), indexed, upload, body });
    }

    fn renew(&mut self, name: &ObjectName, version: Version, expires: EngineTime, now: EngineTime) {
        let there = self.index.get_mut(name).filter(|indexed| indexed.version == version);
        let is_kept = there.as_ref().is_some_and(|there| there.is_kept);
        let Some(object) = there.and_then(|indexed| indexed.object.as_mut()).filter(|object| object.expires < expires) else {
            return;
        };
        object.expires = expires;
        if is_kept {
            self.waiting.insert(ObjectName::clone(name), now);
        }
        self.tell(JournalNews::Renewed { name: ObjectName::clone(name), version, expires });
    }

    pub(super) fn tell(&mut self, news: JournalNews) {
        self.newest.commit += 1;
        self.journal.push(Journaled { at: self.newest, news });
    }
}
