//! An engine in memory, with every fault that a real one has: copies that follow in their own time, elections of whichever copy, a primary
//! that was deposed and does not know it, one that comes back empty, calls that are performed long after their caller has gone.
//!
//! Nothing happens in it by itself. Who drives it lets a call be performed, a copy follow, an answer come, a fault strike, in any order; and
//! asks before each whether it may. `WAIT` is as in Valkey: it counts the copies that follow this primary and have what the call's own
//! connection has written; so a deposed primary, which nobody follows, counts none.

mod claims;
mod engine;
mod tables;

use std::collections::BTreeMap;

pub(super) use self::engine::MemoryEngine;
pub(super) use self::tables::CopyTables;
use super::safeguards::{Safeguard, Safeguards};
use super::{EngineAnswer, EngineCall, EngineTime, Node, Reply};

/// Which copy.
pub(super) type CopyNumber = usize;

/// The copies of one lane, and the calls under way to them; `T` tells calls apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Copies<T: Ord> {
    copies: Vec<EngineCopy>,
    calls: BTreeMap<T, UnderWay>,
    /// How many lines of primaries there have been.
    lines: u32,
    /// Steps that the journal keeps.
    kept: usize,
    safeguards: Safeguards,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct EngineCopy {
    tables: CopyTables,
    role: CopyRole,
    is_up: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum CopyRole {
    /// Or so it believes.
    Primary {
        line: u32,
    },
    Replica {
        of: CopyNumber,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct UnderWay {
    to: CopyNumber,
    call: EngineCall,
    stand: CallProgress,
    /// Its caller has gone; it may still be performed.
    is_orphan: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum CallProgress {
    Sent,
    /// And waits for copies to have it: those that have are set here, a bit each.
    Performed {
        reply: Reply,
        on: u8,
        time: EngineTime,
    },
    /// The connection is gone.
    Reset,
}

impl<T: Ord + Copy> Copies<T> {
    /// So many, the first of which is the primary; empty.
    pub(super) fn new(count: usize, kept: usize, safeguards: Safeguards) -> Self {
        let role = |number| if number == 0 { CopyRole::Primary { line: line(0) } } else { CopyRole::Replica { of: 0 } };
        let copies = (0..count).map(|number| EngineCopy { tables: CopyTables::default(), role: role(number), is_up: true });
        Self { copies: copies.collect(), calls: BTreeMap::new(), lines: 1, kept, safeguards }
    }

    /// Beside the primary, what makes a majority with it.
    fn majority(&self) -> usize {
        if self.safeguards.has(Safeguard::Wait) { self.copies.len() / 2 } else { 0 }
    }

    /// How many there are.
    fn count(&self) -> usize {
        self.copies.len()
    }

    fn line_of(&self, copy: CopyNumber) -> Option<u32> {
        match self.copies[copy] {
            EngineCopy { is_up: true, role: CopyRole::Primary { line }, .. } => Some(line),
            _ => None,
        }
    }

    /// Whether a copy follows that primary.
    pub(super) fn follows(&self, replica: CopyNumber, primary: CopyNumber) -> bool {
        self.copies[replica].is_up && self.copies[replica].role == CopyRole::Replica { of: primary } && self.copies[primary].is_up
    }

    /// The copies that say they are the primary, with their lines.
    pub(super) fn primaries(&self) -> Vec<(CopyNumber, u32)> {
        (0..self.copies.len()).filter_map(|copy| Some((copy, self.line_of(copy)?))).collect()
    }

    // Calls.

    /// A call is sent; its caller has no other under this tag.
    pub(super) fn send(&mut self, tag: T, to: CopyNumber, call: EngineCall) {
        let stand = if self.line_of(to).is_some() { CallProgress::Sent } else { CallProgress::Reset };
        self.calls.insert(tag, UnderWay { to, call, stand, is_orphan: false });
    }

    /// The calls under way.
    pub(super) fn tags(&self) -> Vec<T> {
        self.calls.keys().copied().collect()
    }

    /// Whether a call may be performed now.
    pub(super) fn may_perform(&self, tag: T) -> bool {
        let call = &self.calls[&tag];
        let has_news = match call.call {
            EngineCall::Follow { after } => self.copies[call.to].tables.has_news(after),
            _ => true,
        };
        call.stand == CallProgress::Sent && self.line_of(call.to).is_some() && has_news
    }

    /// The primary does what a call asks for.
    pub(super) fn perform(&mut self, tag: T, now: EngineTime) {
        let Some(call) = self.calls.get_mut(&tag) else { return };
        let copy = &mut self.copies[call.to];
        let CopyRole::Primary { .. } = copy.role else { return };
        let reply = copy.tables.perform(&call.call, now, self.kept, self.safeguards);
        let time = if call.call.is_write() { now } else { 0 };
        call.stand = CallProgress::Performed { reply, on: 0, time };
        if call.is_orphan {
            self.calls.remove(&tag);
        }
    }

    /// Whether the answer to a call may come now.
    pub(super) fn may_answer(&self, tag: T) -> bool {
        let call = &self.calls[&tag];
        match call.stand {
            CallProgress::Performed { on, .. } => !call.call.is_write() || on.count_ones() as usize >= self.majority(),
            CallProgress::Sent | CallProgress::Reset => false,
        }
    }

    /// Whether a call has been performed that only reads.
    pub(super) fn is_answered_reading(&self, tag: T) -> bool {
        self.calls.get(&tag).is_some_and(|call| !call.call.is_write()) && self.may_answer(tag)
    }

    /// It comes.
    pub(super) fn answer(&mut self, tag: T) -> Option<(EngineCall, EngineAnswer)> {
        let call = self.calls.remove(&tag)?;
        let CallProgress::Performed { reply, on, time } = call.stand else { return None };
        Some((call.call, EngineAnswer { reply, copies: on.count_ones() as usize, time }))
    }

    /// Whether a call can come to nothing more: its connection is gone, or too few copies follow its primary.
    pub(super) fn is_hopeless(&self, tag: T) -> bool {
        let call = &self.calls[&tag];
        let following = |copy| self.follows(copy, call.to);
        match call.stand {
            CallProgress::Reset => true,
            // It may hang there: a primary that nobody follows may be a frozen one. Who waits for news does not notice.
            CallProgress::Sent if matches!(call.call, EngineCall::Follow { .. }) => self.line_of(call.to).is_none(),
            CallProgress::Sent => self.line_of(call.to).is_none() || !(0..self.copies.len()).any(following),
            CallProgress::Performed { on, .. } => {
                let may_have = (0..self.copies.len()).filter(|copy| on & (1 << copy) != 0 || following(*copy));
                call.call.is_write() && may_have.count() < self.majority()
            }
        }
    }

    /// Whether a call's connection is gone.
    pub(super) fn is_reset(&self, tag: T) -> bool {
        self.calls[&tag].stand == CallProgress::Reset
    }

    /// The caller goes. What was sent may be performed all the same, at any time.
    pub(super) fn leave(&mut self, tag: T) {
        let Some(call) = self.calls.get_mut(&tag) else { return };
        let has_effect = matches!(
            call.call,
            EngineCall::Commit { .. }
                | EngineCall::Assert { .. }
                | EngineCall::Takeover { .. }
                | EngineCall::Renew { .. }
                | EngineCall::Claim { .. }
                | EngineCall::Settle { .. }
                | EngineCall::Evict { .. }
                | EngineCall::Fill { .. }
        );
        if call.stand == CallProgress::Sent && has_effect {
            call.is_orphan = true;
        } else {
            self.calls.remove(&tag);
        }
    }

    /// Whether a call's caller has gone.
    pub(super) fn is_orphan(&self, tag: T) -> bool {
        self.calls[&tag].is_orphan
    }

    /// Whether all of these nodes have asserted what they hold, as this copy knows: what a question at the gate would tell one of them.
    pub(super) fn have_asserted(&self, copy: CopyNumber, whom: &Node, mut nodes: impl Iterator<Item = Node>) -> bool {
        let line = self.line_of(copy);
        nodes.all(|node| line.is_some() && self.copies[copy].tables.asserted_to(&node, whom) == line)
    }

    /// A node has given no sign for so long that this copy takes it for gone.
    pub(super) fn forget_member(&mut self, copy: CopyNumber, node: &Node) {
        self.copies[copy].tables.forget_member(node);
    }

    /// Every copy forgets what need not be remembered any more.
    pub(super) fn sweep(&mut self, now: EngineTime) {
        self.copies.iter_mut().for_each(|copy| copy.tables.sweep(now));
    }

    // What copies do.

    /// Whether a copy is behind the primary that it follows.
    pub(super) fn is_behind(&self, replica: CopyNumber) -> bool {
        let CopyRole::Replica { of } = self.copies[replica].role else { return false };
        let waits = |call: &UnderWay| {
            call.to == of
                && matches!(call.stand, CallProgress::Performed { on, .. } if on & (1 << replica) == 0 && call.call.is_write())
        };
        self.follows(replica, of) && (self.copies[replica].tables != self.copies[of].tables || self.calls.values().any(waits))
    }

    /// It takes over all that its primary has, and says so.
    pub(super) fn replicate(&mut self, replica: CopyNumber) {
        let CopyRole::Replica { of } = self.copies[replica].role else { return };
        self.copies[replica].tables = self.copies[of].tables.clone();
        for call in self.calls.values_mut().filter(|call| call.to == of) {
            if let CallProgress::Performed { on, .. } = &mut call.stand {
                *on |= 1 << replica;
            }
        }
    }

    // Faults.

    /// A copy dies with all that it holds.
    pub(super) fn kill(&mut self, copy: CopyNumber) {
        self.copies[copy].is_up = false;
        self.copies[copy].tables = CopyTables::default();
        self.reset(copy);
    }

    /// Whether it may be elected.
    pub(super) fn may_elect(&self, copy: CopyNumber) -> bool {
        self.copies[copy].is_up && matches!(self.copies[copy].role, CopyRole::Replica { .. })
    }

    /// Whether no other replica has more: such a one is elected, where replicas can tell each other how much they have.
    pub(super) fn has_most(&self, copy: CopyNumber) -> bool {
        let has = |copy: CopyNumber| self.copies[copy].tables.newest();
        (0..self.copies.len()).filter(|other| self.may_elect(*other)).all(|other| has(other) <= has(copy))
    }

    /// A replica is elected. The other replicas follow it; who was the primary before is told when it [rejoins](Self::rejoin).
    pub(super) fn elect(&mut self, copy: CopyNumber) {
        self.copies[copy].role = CopyRole::Primary { line: line(self.lines) };
        self.lines += 1;
        for (number, other) in self.copies.iter_mut().enumerate() {
            if number != copy && matches!(other.role, CopyRole::Replica { .. }) {
                other.role = CopyRole::Replica { of: copy };
            }
        }
    }

    /// A copy comes back, or hears that another was elected: it follows that one.
    pub(super) fn rejoin(&mut self, copy: CopyNumber, primary: CopyNumber) {
        self.copies[copy].is_up = true;
        self.copies[copy].role = CopyRole::Replica { of: primary };
        self.reset(copy);
    }

    /// A primary is back at once after its death, as the primary and with nothing. Its replicas will follow it in that.
    pub(super) fn restart_empty(&mut self, copy: CopyNumber) {
        self.copies[copy].tables = CopyTables::default();
        self.copies[copy].role = CopyRole::Primary { line: line(self.lines) };
        self.lines += 1;
        self.reset(copy);
    }

    /// Its connections are gone, and what was on them.
    fn reset(&mut self, copy: CopyNumber) {
        self.calls.retain(|_, call| call.to != copy || !call.is_orphan);
        for call in self.calls.values_mut().filter(|call| call.to == copy) {
            call.stand = CallProgress::Reset;
        }
    }
}

/// Later lines have lower numbers: nothing may rest on their order.
fn line(number: u32) -> u32 {
    u32::MAX - number
}
