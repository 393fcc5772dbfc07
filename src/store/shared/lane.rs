//! One lane at one node: what it is told, what it asks, and what it may answer.
//!
//! It has no connections: its owner gives each call that [`Lane::poll`] returns to the engine, tells [`Lane::answered`] what came of it, and
//! then looks whether what waits here may go on. Cancel-safe by that: what nobody asks for any more is at most a call too many.

use super::barrier::Barriers;
use super::commit::{Commits, Wish};
use super::errands::{BucketErrand, ErrandNumber, Errands};
use super::index::{Lookup, NameNews, NodeIndex, WHOLE};
use super::members::Members;
use super::safeguards::{Safeguard, Safeguards};
use super::session::{Over, Session};
use super::taken::TakenTerm;
use super::{
    Channel, Decision, EngineAnswer, EngineCall, EngineTime, HeldObject, Indexed, Node, ObjectName, Reply, SharedObject, Term,
    UploadId, Version,
};

/// One lane at one node; `P` is how the engine names a primary.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Lane<P> {
    node: Node,
    /// Copies beside the primary that make a majority with it.
    majority: usize,
    members: Members,
    index: NodeIndex,
    barriers: Barriers,
    commits: Commits,
    session: Option<Session<P>>,
    /// Counts sessions: what comes back from an earlier one is not of this one.
    number: u32,
    is_following: bool,
    /// What is to live longer, and whether that is being asked for.
    renewals: Vec<(ObjectName, Version, EngineTime)>,
    is_renewing: bool,
    errands: Errands,
    /// The number of a term that begins is beyond that.
    floor: u32,
    /// The last term that began for this node without all who were members: what these alone knew may be missing.
    doubted: Option<Term>,
    /// The highest term and the highest commit it has ever been told of.
    known: Version,
    /// What the engine's clock showed when the session's term was taken, and when all was last known here that there was.
    taken: EngineTime,
    heard: EngineTime,
    /// Whether a session has ever been open: who has none knows no other node.
    has_opened: bool,
    safeguards: Safeguards,
}

/// The name that says of a namespace that the index is whole.
pub(super) fn whole(namespace: &str) -> ObjectName {
    ObjectName::from(format!("{WHOLE}{namespace}"))
}

/// A read that waits until it is fresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Fresh {
    /// For this barrier to end.
    Barrier(u64),
    /// For the index to follow as far, in this session.
    Followed { session: u32, commit: u64 },
}

impl<P: Clone> Lane<P> {
    /// `copies`: how many there are, with the primary.
    pub(super) fn new(node: Node, members: Members, copies: usize, safeguards: Safeguards) -> Self {
        Self {
            node,
            majority: copies / 2,
            members,
            index: NodeIndex::default(),
            barriers: Barriers::default(),
            commits: Commits::default(),
            session: None,
            number: 0,
            is_following: false,
            renewals: Vec::new(),
            is_renewing: false,
            errands: Errands::default(),
            floor: 0,
            doubted: None,
            known: Version::default(),
            taken: 0,
            heard: 0,
            has_opened: false,
            safeguards,
        }
    }

    /// Whether it has to be told of a primary.
    #[cfg(test)]
    pub(super) fn needs_primary(&self) -> bool {
        self.session.is_none()
    }

    /// Its session, with its number.
    pub(super) fn session(&self) -> Option<(u32, &Session<P>)> {
        self.session.as_ref().map(|session| (self.number, session))
    }

    /// A primary has been found: begins a session with it.
    pub(super) fn found(&mut self, primary: P, line: u32) {
        self.end_session();
        self.number += 1;
        self.session = Some(Session::new(primary, line));
    }

    /// The session's primary can't be asked any more.
    pub(super) fn end_session(&mut self) {
        self.session = None;
        self.is_following = false;
        // What has to live on is found again with the next segment.
        self.renewals.clear();
        self.is_renewing = false;
        self.members.lose();
        self.barriers.lose();
        self.commits.lose();
        self.errands.lose();
    }

    /// The calls that are to be made now.
    pub(super) fn poll(&mut self) -> Vec<(Channel, EngineCall)> {
        let Some(session) = &mut self.session else { return Vec::new() };
        let mut calls: Vec<_> = session
            .next(&self.node, (self.known, self.floor, self.heard), &self.index)
            .map(|call| (Channel::Control, call))
            .into_iter()
            .collect();
        if session.follows() && !self.is_following {
            self.is_following = true;
            calls.push((Channel::Follow, EngineCall::Follow { after: self.index.at() }));
        }
        if session.is_open() {
            let term = session.began().term;
            if self.barriers.begin() {
                calls.push((Channel::Barrier, EngineCall::Barrier { term, node: Node::clone(&self.node) }));
            }
            if !self.renewals.is_empty() && !self.is_renewing {
                self.is_renewing = true;
                calls.push((Channel::Renewals, EngineCall::Renew { term, lives: std::mem::take(&mut self.renewals) }));
            }
            let errands = self.errands.send(term, &self.node).into_iter();
            calls.extend(errands.map(|(number, call)| (Channel::Errand(number), call)));
            let commits = self.commits.send(term, &self.node).into_iter();
            calls.extend(commits.map(|(upload, call)| (Channel::Commit(upload), call)));
        }
        calls
    }

    /// What came of a call of that session.
    pub(super) fn answered(&mut self, session: u32, channel: Channel, call: &EngineCall, answered: EngineAnswer) {
        if session != self.number || self.session.is_none() {
            return;
        }
        // Where there was no room nothing has happened, on any copy.
        let is_nothing = matches!(answered.reply, Reply::Committed { verdict: Decision::NoRoom, .. });
        let is_on_majority = answered.copies >= self.majority || !self.safeguards.has(Safeguard::Wait);
        let is_safe = !call.is_write() || is_on_majority || is_nothing;
        if !is_safe || self.take(channel, answered).is_err() {
            self.end_session();
        }
    }

    fn take(&mut self, channel: Channel, EngineAnswer { reply, time, .. }: EngineAnswer) -> Result<(), Over> {
        if let Reply::Taken(taken) = &reply {
            self.came_to(*taken);
        }
        let Some(session) = &mut self.session else { return Err(Over) };
        match (channel, reply) {
            (Channel::Control, reply) => {
                let safe = session.answered(reply, &mut self.index, &mut self.members, self.safeguards)?;
                if session.follows() {
                    self.heard = self.taken;
                }
                self.has_opened |= session.is_open();
                self.hear_of(safe);
            }
            (Channel::Follow, Reply::Steps(steps)) => {
                self.is_following = false;
                session.follow(steps, &mut self.index)?;
                self.hear_of(None);
            }
            (Channel::Barrier, Reply::Barrier { commit, members }) => {
                self.members.are(commit, members);
                self.barriers.end(commit);
                self.heard = time;
                self.hear_of(Some(commit));
            }
            (Channel::Renewals, Reply::Renewed { commit }) => {
                self.is_renewing = false;
                self.hear_of(Some(commit));
            }
            (Channel::Errand(number), reply) => {
                let commit = self.errands.done(number, reply).ok_or(Over)?;
                self.hear_of(Some(commit));
            }
            (Channel::Commit(upload), Reply::Committed { verdict: Decision::NoRoom, .. }) => {
                self.commits.decided(upload, Decision::NoRoom, 0);
            }
            (Channel::Commit(upload), Reply::Committed { verdict, commit }) => {
                self.commits.decided(upload, verdict, commit);
                self.hear_of(Some(commit));
            }
            _ => return Err(Over),
        }
        #[cfg(test)]
        if !self.safeguards.has(Safeguard::Tombstones) {
            self.index.forget_removals();
        }
        Ok(())
    }

    /// The session is one of this term.
    fn came_to(&mut self, taken: TakenTerm) {
        self.taken = taken.now;
        self.index.set_outdated(!self.index.is_new() && taken.is_too_late_for(self.heard));
        if !self.has_opened
            && taken.may_have_strangers()
            && let Some(session) = &mut self.session
        {
            session.expect_strangers();
        }
    }

    /// All up to this commit is on a majority of the copies; and nothing that it has heard of may be forgotten by a later term.
    fn hear_of(&mut self, safe: Option<u64>) {
        if let Some(commit) = safe {
            self.barriers.confirm(commit);
            self.index.confirm(commit);
        }
        self.members.followed(self.index.at().commit);
        let session = self.session.as_ref().map(Session::began).unwrap_or_default();
        for heard in [session, self.index.at()] {
            self.known.term = self.known.term.max(heard.term);
            self.known.commit = self.known.commit.max(heard.commit);
        }
    }

    /// Something is to be committed; [`Lane::committed`] tells what became of it.
    pub(super) fn commit(&mut self, upload: UploadId, wish: Wish) {
        self.commits.add(upload, wish);
    }

    /// What to answer to a commit, when that is known.
    pub(super) fn committed(&mut self, upload: UploadId) -> Option<Decision> {
        let followed = self.safeguards.has(Safeguard::OwnIndex).then_some(self.index.told());
        self.commits.take(upload, followed)
    }

    /// Something is to be asked for the sake of the bucket below; [`Lane::run`] tells what came of it.
    pub(super) fn send(&mut self, errand: BucketErrand) -> ErrandNumber {
        self.errands.add(errand)
    }

    /// What came of an errand, when that is known; `None` in that: nobody knows, for the session is over.
    pub(super) fn run(&mut self, number: ErrandNumber) -> Option<Option<Reply>> {
        self.errands.take(number)
    }

    /// Nobody waits for an errand any more.
    pub(super) fn give_up_errand(&mut self, number: ErrandNumber) {
        self.errands.give_up(number);
    }

    /// No term that begins has a lower number; and one has to, where that of the session is far below.
    pub(super) fn set_floor(&mut self, floor: u32) {
        self.floor = self.floor.max(floor);
        if self.session.as_ref().is_some_and(|session| session.began().term.is_far_below(floor)) {
            self.end_session();
        }
    }

    /// There is that version: what is committed from now on is to be newer. Whether that is so already; else another session begins.
    pub(super) fn rise_above(&mut self, version: Version) -> bool {
        self.known.term = self.known.term.max(version.term);
        self.known.commit = self.known.commit.max(version.commit);
        let is_above = self.session.as_ref().is_some_and(|session| session.began().term >= version.term);
        if !is_above {
            self.end_session();
        }
        is_above
    }

    /// Whether all that the bucket of a namespace has is in the index, and nothing may have been lost from it since.
    pub(super) fn is_whole(&self, namespace: &str, now: EngineTime) -> bool {
        let mark = self.index.get(&whole(namespace)).filter(|mark| mark.live(now).is_some());
        mark.is_some_and(|mark| self.doubted.is_none_or(|doubted| mark.version.term >= doubted))
    }

    /// Nobody waits for a commit any more.
    pub(super) fn give_up(&mut self, upload: UploadId) {
        self.commits.give_up(upload);
    }

    /// A read comes. It is served when [`Lane::read`] has an answer.
    pub(super) fn arrive(&mut self) -> Fresh {
        Fresh::Barrier(self.barriers.ticket())
    }

    /// What a read that waits is told, when that is known.
    pub(super) fn read(&mut self, fresh: &mut Fresh, name: &ObjectName, now: EngineTime) -> Option<Option<SharedObject>> {
        if !self.session.as_ref().is_some_and(Session::is_open) {
            return None;
        }
        if let Fresh::Followed { session, .. } = *fresh
            && session != self.number
        {
            *fresh = self.arrive();
        }
        if let Fresh::Barrier(ticket) = *fresh {
            let has_barriers = self.safeguards.has(Safeguard::Barrier);
            let commit = if has_barriers { self.barriers.ended(ticket)? } else { 0 };
            *fresh = Fresh::Followed { session: self.number, commit };
        }
        let Fresh::Followed { commit, .. } = *fresh else { return None };
        if self.index.told() < commit {
            return None;
        }
        match self.index.look(name, now, self.safeguards.has(Safeguard::Confirmed)) {
            Lookup::Sure(object) => Some(object.cloned()),
            Lookup::Unconfirmed => {
                *fresh = self.arrive();
                None
            }
        }
    }

    /// Objects are to live until then at least, where these versions of them still stand.
    pub(super) fn renew(&mut self, lives: impl IntoIterator<Item = (ObjectName, Version, EngineTime)>) {
        self.renewals.extend(lives);
    }

    /// What is known of a name, however fresh.
    pub(super) fn known(&self, name: &str) -> Option<&Indexed> {
        self.index.get(name)
    }

    /// What is known of all names that begin so.
    pub(super) fn below(&self, prefix: &str) -> Vec<(ObjectName, Indexed)> {
        self.index.below(prefix)
    }

    /// Shows what is known of each of these.
    pub(super) fn each_below(&self, prefix: &str, see: impl FnMut(&ObjectName, &Indexed)) {
        self.index.each_below(prefix, see);
    }

    /// What an assertion of that session had no room for.
    pub(super) fn take_back(&mut self, number: u32, held: Vec<HeldObject>) {
        if let Some(session) = self.session.as_mut().filter(|_| number == self.number) {
            session.take_back(held);
        }
    }

    /// Forgets what need not be remembered any more, by what the engine's clock showed last: whatever the node makes of it, the engine has forgotten
    /// it as well. `goes_below`: whether there is a bucket below that is to have it.
    pub(super) fn sweep(&mut self, goes_below: impl Fn(&ObjectName) -> bool) {
        self.index.sweep(self.heard, goes_below);
    }

    /// The next change that whoever keeps the objects is to be told; it is for its caller to say when it has been.
    pub(super) fn next_news(&self) -> Option<&NameNews> {
        self.index.next_news()
    }

    /// That one has been told.
    pub(super) fn news_told(&mut self) {
        self.index.news_told();
    }

    /// A sign of life: a barrier for nobody.
    pub(super) fn sign(&mut self) {
        self.barriers.ticket();
    }

    /// At the gate: see who has come meanwhile.
    pub(super) fn look_at_the_gate(&mut self) {
        if let Some(session) = &mut self.session {
            session.look();
        }
    }

    /// At the gate, when [those it waits for](Session::wait_no_longer) had time enough.
    pub(super) fn wait_no_longer(&mut self) {
        if let Some(session) = &mut self.session
            && session.wait_no_longer()
        {
            self.has_opened = true;
            self.doubted = Some(session.began().term);
        }
    }
}
