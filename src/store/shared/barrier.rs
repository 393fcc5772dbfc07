//! Barriers: one question to the primary, by which all reads are fresh that came before it was asked.
//!
//! A read takes a ticket, the number of the next barrier that is to begin; the one that is under way began before the read came, and
//! tells it nothing. There is one under way at a time, however many reads wait.

/// The barriers of one lane at one node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Barriers {
    /// How many have begun.
    begun: u64,
    /// The newest that has ended well.
    ended: u64,
    is_under_way: bool,
    /// The newest that somebody waits for.
    wanted: u64,
    /// The newest commit that is known to be on a majority of the copies, in this session.
    confirmed: u64,
}

impl Barriers {
    /// For who comes now: the number of the barrier to wait for.
    pub(super) fn ticket(&mut self) -> u64 {
        self.wanted = self.begun + 1;
        self.wanted
    }

    /// Whether that one has ended, or a later one: then the commit that has to be followed first.
    pub(super) fn ended(&self, ticket: u64) -> Option<u64> {
        (ticket <= self.ended).then_some(self.confirmed)
    }

    /// Begins one, where one is wanted and none is under way.
    pub(super) fn begin(&mut self) -> bool {
        let begins = self.wanted > self.begun && !self.is_under_way;
        if begins {
            self.begun += 1;
            self.is_under_way = true;
        }
        begins
    }

    /// The one under way has ended well.
    pub(super) fn end(&mut self, commit: u64) {
        self.is_under_way = false;
        self.ended = self.begun;
        self.confirm(commit);
    }

    /// All up to this commit is on a majority of the copies.
    pub(super) fn confirm(&mut self, commit: u64) {
        self.confirmed = self.confirmed.max(commit);
    }

    /// The session is over: what was under way has told nothing, and who waits for it waits for the next.
    pub(super) fn lose(&mut self) {
        if self.is_under_way {
            self.is_under_way = false;
            self.wanted = self.wanted.max(self.begun + 1);
        }
        self.confirmed = 0;
    }
}
