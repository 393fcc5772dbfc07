//! What a node knows of a lane: a copy of the engine's index, kept by following its journal.
//!
//! Invariant: of each name it has the newest version that it has ever been told of, whatever primary it came from. So what a primary
//! has lost is still here, until it is asserted.
//!
//! Whoever keeps the objects themselves is told of each change, in order: a read is fresh when he has taken it up, not before.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;

use super::{EngineTime, HeldObject, Indexed, JournalNews, Journaled, ObjectName, SharedObject, UploadId, Version};

/// For so long it is remembered that something was removed, or that it has expired, in milliseconds; by the engine too. Whoever was away for
/// more than half of it can't tell what he holds from what was removed meanwhile.
pub(super) const REMEMBERED: u64 = 120_000;

/// What the names begin with that say of a namespace, named behind it, that all which its bucket has is in the index. No namespace is called so.
pub(super) const WHOLE: char = '&';

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
    /// What has changed and is to be told.
    news: VecDeque<NameNews>,
    swept: Sweep,
    /// Others were served for so long meanwhile that removals may be forgotten: what the engine has is what there is. Of the versions that stand
    /// there what is here of their bytes is good.
    is_outdated: bool,
}

/// When uploads were swept, and how far the journal had been followed then, and the time before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Sweep {
    at: EngineTime,
    before: u64,
    now: u64,
}

/// A change of what a node knows of a name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct NameNews {
    pub(super) name: ObjectName,
    /// It came with this commit.
    pub(super) commit: u64,
    pub(super) what: NameChange,
}

/// What has changed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum NameChange {
    /// It has another version. `upload` made it, where that is known; `is_old`: it was there before this node looked.
    Version { indexed: Indexed, upload: Option<UploadId>, body: Option<Bytes>, is_old: bool },
    /// The version that is there lives longer.
    Renewed { version: Version, expires: EngineTime },
    /// Nothing is known of it any more.
    Forgotten,
}

/// That a step of the journal is missing, or that somebody else's term has begun: only a new session can tell what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OutOfStep;

/// What has become of the version that is here, while the journal was not followed: it may have moved to the bucket, which holds for good,
/// and live longer; until when, if so.
fn catch_up(here: &mut Indexed, there: &Indexed) -> Option<EngineTime> {
    if here.version != there.version {
        return None;
    }
    here.is_kept |= there.is_kept;
    let (here, there) = (here.object.as_mut()?, there.object.as_ref()?);
    here.is_bare = there.is_bare;
    (here.expires < there.expires).then(|| {
        here.expires = there.expires;
        there.expires
    })
}

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

    /// How far whoever keeps the objects has been told of all there is.
    pub(super) fn told(&self) -> u64 {
        self.news.front().map_or(self.at.commit, |news| self.at.commit.min(news.commit.saturating_sub(1)))
    }

    /// The next change to be told.
    pub(super) fn next_news(&self) -> Option<&NameNews> {
        self.news.front()
    }

    /// That one has been.
    pub(super) fn news_told(&mut self) {
        self.news.pop_front();
    }

    /// Whether what is here may have been removed long ago.
    pub(super) fn set_outdated(&mut self, is_outdated: bool) {
        self.is_outdated = is_outdated;
    }

    /// Follows a step of the journal, in a session of this term.
    pub(super) fn apply(&mut self, step: Journaled, session: Version) -> Result<(), OutOfStep> {
        let is_next = step.at.commit == self.at.commit + 1;
        match step.news {
            JournalNews::Term if step.at.term == session.term || step.at.commit < session.commit => {}
            JournalNews::Term => return Err(OutOfStep),
            JournalNews::Object { .. } | JournalNews::Renewed { .. } | JournalNews::Moved { .. } if is_next => {}
            JournalNews::Object { .. } | JournalNews::Renewed { .. } | JournalNews::Moved { .. } => return Err(OutOfStep),
        }
        self.at = step.at;
        match step.news {
            JournalNews::Term => {}
            JournalNews::Object { name, indexed, upload, body } => {
                if let Some(upload) = upload {
                    self.uploads.insert(upload, (ObjectName::clone(&name), indexed.version));
                }
                if self.take(&name, &indexed) {
                    // What is in the bucket alone was found there: it is no news.
                    let is_old = indexed.is_cold();
                    let what = NameChange::Version { indexed, upload, body, is_old };
                    self.tell(&name, what);
                    self.unconfirmed.insert(name, step.at.commit);
                }
            }
            JournalNews::Renewed { name, version, expires } => {
                let there = self.names.get_mut(&name).filter(|there| there.version == version);
                if let Some(object) = there.and_then(|there| there.object.as_mut()) {
                    object.expires = object.expires.max(expires);
                    self.tell(&name, NameChange::Renewed { version, expires });
                }
            }
            JournalNews::Moved { name, version, is_kept, is_bare } => {
                if let Some(there) = self.names.get_mut(&name).filter(|there| there.version == version) {
                    there.is_kept = is_kept;
                    if let Some(object) = &mut there.object {
                        object.is_bare = is_bare;
                    }
                }
            }
        }
        Ok(())
    }

    /// Takes a version that is newer than the one it has; whether it was.
    fn take(&mut self, name: &ObjectName, indexed: &Indexed) -> bool {
        let is_newer = self.names.get(name).is_none_or(|there| there.version < indexed.version);
        if is_newer {
            self.names.insert(ObjectName::clone(name), indexed.clone());
        }
        is_newer
    }

    fn tell(&mut self, name: &ObjectName, what: NameChange) {
        self.news.push_back(NameNews { name: ObjectName::clone(name), commit: self.at.commit, what });
    }

    /// Takes over the engine's index as it was at a commit; what that has lost of what is here.
    pub(super) fn merge(
        &mut self,
        at: Version,
        index: Vec<(ObjectName, Indexed)>,
        uploads: Vec<(UploadId, ObjectName, Version)>,
    ) -> Vec<HeldObject> {
        self.at = at;
        let is_bare = |indexed: &Indexed| !indexed.is_kept && indexed.object.as_ref().is_some_and(|object| object.is_bare);
        let there: BTreeMap<ObjectName, (Version, bool)> =
            index.iter().map(|(name, indexed)| (ObjectName::clone(name), (indexed.version, is_bare(indexed)))).collect();
        if std::mem::take(&mut self.is_outdated) {
            let stands =
                |(name, here): &(&ObjectName, &Indexed)| there.get(*name).is_some_and(|(there, _)| *there == here.version);
            // Whether a lane is whole it can't say in any case.
            let goes = |of: &(&ObjectName, &Indexed)| of.0.starts_with(WHOLE) || !stands(of);
            let names: BTreeSet<_> = self.names.iter().filter(goes).map(|(name, _)| ObjectName::clone(name)).collect();
            self.forget(&names);
        }
        let uploads: BTreeMap<_, _> = uploads.into_iter().map(|(upload, name, version)| (upload, (name, version))).collect();
        let mut lost: BTreeMap<&ObjectName, Vec<(UploadId, Version)>> = BTreeMap::new();
        for (upload, (name, version)) in self.uploads.iter().filter(|(upload, _)| !uploads.contains_key(*upload)) {
            lost.entry(name).or_default().push((*upload, *version));
        }
        let mut held = Vec::new();
        for (name, here) in &self.names {
            let lost = lost.remove(name).unwrap_or_default();
            let is_lost = match there.get(name) {
                Some((there, is_bare)) => *there < here.version || *there == here.version && (*is_bare || !lost.is_empty()),
                None => true,
            };
            if is_lost {
                let (name, indexed) = (ObjectName::clone(name), here.clone());
                held.push(HeldObject { name, indexed, uploads: lost, body: None, goes_below: false });
            }
        }
        // That all is there is said when it is.
        held.sort_by_key(|held| held.name.starts_with(WHOLE));
        for (name, indexed) in index {
            if self.take(&name, &indexed) {
                self.tell(&name, NameChange::Version { indexed, upload: None, body: None, is_old: true });
            } else if let Some(expires) = self.names.get_mut(&name).and_then(|here| catch_up(here, &indexed)) {
                self.tell(&name, NameChange::Renewed { version: indexed.version, expires });
            }
        }
        // Others of which the engine knows nothing have been overtaken: who sends them again is judged anew.
        let is_held: BTreeSet<UploadId> = held.iter().flat_map(|held| &held.uploads).map(|(upload, _)| *upload).collect();
        self.uploads.retain(|upload, _| is_held.contains(upload));
        self.uploads.extend(uploads);
        held
    }

    /// Forgets what it knows of names: the engine goes by another history.
    pub(super) fn forget(&mut self, names: &BTreeSet<ObjectName>) {
        names.iter().for_each(|name| self.tell(name, NameChange::Forgotten));
        self.names.retain(|name, _| !names.contains(name));
        self.uploads.retain(|_, (name, _)| !names.contains(name));
    }

    /// All up to this commit is on a majority of the copies.
    pub(super) fn confirm(&mut self, commit: u64) {
        self.unconfirmed.retain(|_, came| *came > commit);
    }

    /// Forgets what need not be [remembered](REMEMBERED) any more; a removal that the bucket below is to hear of, when it has.
    pub(super) fn sweep(&mut self, now: EngineTime, goes_below: impl Fn(&ObjectName) -> bool) {
        self.names.retain(|name, indexed| {
            let ended = indexed.object.as_ref().map_or(indexed.decided, |object| object.expires);
            now < ended.saturating_add(REMEMBERED) || indexed.object.is_none() && !indexed.is_kept && goes_below(name)
        });
        // What became of uploads is remembered for as long again, at the most: by commits, which have no time of their own.
        let Sweep { at, before, now: until } = self.swept;
        if now.abs_diff(at) >= REMEMBERED {
            self.uploads.retain(|_, (_, version)| version.commit > before);
            self.swept = Sweep { at: now, before: until, now: self.at.commit };
        }
    }

    /// What is known of all names that begin so.
    pub(super) fn below(&self, prefix: &str) -> Vec<(ObjectName, Indexed)> {
        let mut all = Vec::new();
        self.each_below(prefix, |name, indexed| all.push((ObjectName::clone(name), indexed.clone())));
        all
    }

    /// Shows what is known of each of these.
    pub(super) fn each_below(&self, prefix: &str, mut see: impl FnMut(&ObjectName, &Indexed)) {
        let from = self.names.range(ObjectName::from(prefix)..).take_while(|(name, _)| name.starts_with(prefix));
        from.for_each(|(name, indexed)| see(name, indexed));
    }

    /// What is known of a name.
    pub(super) fn get(&self, name: &str) -> Option<&Indexed> {
        self.names.get(name)
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

#[cfg(test)]
mod tests {
    use super::super::Term;
    use super::*;

    fn version(commit: u64) -> Version {
        Version { term: Term { number: 1, line: 1 }, commit }
    }

    fn indexed(commit: u64, expires: EngineTime, is_kept: bool, is_bare: bool) -> Indexed {
        let object = SharedObject { etag: 1, length: 5, is_bare, expires, described: Bytes::new() };
        Indexed { version: version(commit), decided: 0, is_kept, object: Some(object) }
    }

    #[test]
    fn what_has_become_of_a_version_is_caught_up_with_where_the_journal_was_cut_off() {
        let (mut index, name) = (NodeIndex::default(), ObjectName::from("n/a"));
        index.merge(version(1), vec![(ObjectName::clone(&name), indexed(1, 100, false, false))], Vec::new());
        index.news_told();
        // It has moved to the bucket, and been renewed.
        let held = index.merge(version(50), vec![(ObjectName::clone(&name), indexed(1, 200, true, true))], Vec::new());
        assert_eq!((held, index.get("n/a")), (Vec::new(), Some(&indexed(1, 200, true, true))));
        let renewed = NameChange::Renewed { version: version(1), expires: 200 };
        assert_eq!(index.next_news(), Some(&NameNews { name: ObjectName::clone(&name), commit: 50, what: renewed }));
        index.news_told();
        // A primary that has not heard of either, and has the bytes still.
        let held = index.merge(version(51), vec![(ObjectName::clone(&name), indexed(1, 100, false, false))], Vec::new());
        assert_eq!((held, index.get("n/a")), (Vec::new(), Some(&indexed(1, 200, true, false))));
        assert_eq!(index.next_news(), None);
    }

    #[test]
    fn of_a_node_that_is_outdated_what_the_engine_has_live_is_good() {
        let (mut index, names) = (NodeIndex::default(), ["n/a", "n/b", "n/c", "n/d"].map(ObjectName::from));
        let here = (1..).zip(&names).map(|(commit, name)| (ObjectName::clone(name), indexed(commit, 100, false, false)));
        index.merge(version(4), here.collect(), Vec::new());
        (0..4).for_each(|_| index.news_told());
        index.set_outdated(true);
        // Of the first the engine lacks the bytes, the second it has replaced, the third is from before and the last it has forgotten.
        let [a, b, c, _] = &names;
        let there = [(a, indexed(1, 100, false, true)), (b, indexed(9, 100, false, false)), (c, indexed(2, 100, false, false))];
        let there = there.map(|(name, indexed)| (ObjectName::clone(name), indexed)).into();
        let held = index.merge(version(9), there, Vec::new());
        assert_eq!(held.iter().map(|held| &*held.name).collect::<Vec<_>>(), ["n/a"], "whose bytes may be here");
        let known = ["n/a", "n/b", "n/c", "n/d"].map(|name| index.get(name).map(|known| known.version.commit));
        assert_eq!(known, [Some(1), Some(9), Some(2), None]);
        let forgotten = |news: &NameNews| (news.what == NameChange::Forgotten).then(|| news.name.to_string());
        assert_eq!(index.news.iter().filter_map(forgotten).collect::<Vec<_>>(), ["n/b", "n/c", "n/d"]);
    }

    #[test]
    fn a_removal_is_remembered_until_the_bucket_has_heard_of_it() {
        let (mut index, session) = (NodeIndex::default(), version(0));
        let removal = Indexed { version: version(1), decided: 0, is_kept: false, object: None };
        for (commit, name) in [(1, "n/a"), (2, "m/b")] {
            let indexed = Indexed { version: version(commit), ..removal.clone() };
            let news = JournalNews::Object { name: name.into(), indexed, upload: None, body: None };
            index.apply(Journaled { at: version(commit), news }, session).unwrap();
        }
        let goes_below = |name: &ObjectName| name.starts_with("n/");
        index.sweep(REMEMBERED + 1, goes_below);
        assert_eq!((index.get("n/a"), index.get("m/b")), (Some(&removal), None));
        let news = JournalNews::Moved { name: "n/a".into(), version: version(1), is_kept: true, is_bare: false };
        index.apply(Journaled { at: version(3), news }, session).unwrap();
        index.sweep(REMEMBERED + 1, goes_below);
        assert_eq!(index.get("n/a"), None);
    }
}
