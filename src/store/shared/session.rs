//! A session with one primary: how it begins, until it may be served from.
//!
//! 1. *Taking*: a term begins, unless this primary's has begun. On a majority of the copies, or the session is over.
//! 2. *Reading*: the journal from where the node's index stands. Where that place is in this journal, the primary has lost nothing of what
//!    is here, and has told what is new; else
//! 3. *Scanning*: the index anew, and
//! 4. *Asserting*: what is newer here, removals among it, and what uploads became: an upload that is sent again must not be taken for another one.
//! 5. *Gate*: until all members have come this far. Then the session is open. A node that knows nobody, at an engine that was empty, waits first
//!    for whoever may live: see [`super::taken`].
//!
//! Any trouble ends a session: there is no way back within it.

use std::collections::VecDeque;

use super::index::{NodeIndex, OutOfStep};
use super::members::Members;
use super::safeguards::{Safeguard, Safeguards};
use super::{EngineCall, EngineTime, HeldObject, Journaled, Node, Reply, Version};

/// Names in one call: many hold up the engine.
const MOST_ASSERTED: usize = 256;

/// A session with the primary `P`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Session<P> {
    /// The primary, as the engine names it.
    pub(super) primary: P,
    /// The beginning of its replication id.
    line: u32,
    /// Its term, and the newest commit when the session began.
    began: Version,
    stage: Stage,
    /// Whether a call is under way that belongs to its beginning.
    is_asking: bool,
    /// Whether it waits at the gate for nodes of which nobody has heard yet.
    expects_strangers: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Stage {
    Taking,
    Reading,
    Scanning,
    /// A part at a time: `left` is what comes after. Where something was overtaken the index is looked at anew in the end.
    Asserting {
        left: VecDeque<HeldObject>,
        is_overtaken: bool,
    },
    /// Asked anew each time that [`Session::look`] says so.
    Gate {
        asks: bool,
    },
    Open,
}

/// The session is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Over;

impl From<OutOfStep> for Over {
    fn from(_: OutOfStep) -> Self {
        Self
    }
}

impl<P> Session<P> {
    pub(super) fn new(primary: P, line: u32) -> Self {
        Self { primary, line, began: Version::default(), stage: Stage::Taking, is_asking: false, expects_strangers: false }
    }

    /// Its term, and the newest commit when it began; once it has.
    pub(super) fn began(&self) -> Version {
        self.began
    }

    /// The beginning of its primary's replication id.
    #[cfg(test)]
    pub(super) fn line(&self) -> u32 {
        self.line
    }

    /// Whether it may be served from.
    pub(super) fn is_open(&self) -> bool {
        self.stage == Stage::Open
    }

    /// Whether the journal is to be followed step by step from here on.
    pub(super) fn follows(&self) -> bool {
        matches!(self.stage, Stage::Gate { .. } | Stage::Open)
    }

    /// Whether it waits for other members.
    pub(super) fn is_at_the_gate(&self) -> bool {
        matches!(self.stage, Stage::Gate { .. })
    }

    /// Whether it is at the gate and does not ask.
    pub(super) fn wants_a_look(&self) -> bool {
        self.stage == Stage::Gate { asks: false } && !self.is_asking
    }

    /// At the gate: asks again.
    pub(super) fn look(&mut self) {
        if let Stage::Gate { asks } = &mut self.stage {
            *asks = true;
        }
    }

    /// There may be nodes that live, hold something, and have not come yet: it does not open before they had time to.
    pub(super) fn expect_strangers(&mut self) {
        self.expects_strangers = true;
    }

    /// Whether it waits for those.
    pub(super) fn expects_strangers(&self) -> bool {
        self.expects_strangers
    }

    /// At the gate, when those it waits for had time enough. Where they were strangers, whoever is known by now has time from then on; else it opens
    /// without those that are missing: whether it does.
    pub(super) fn wait_no_longer(&mut self) -> bool {
        if !self.is_at_the_gate() || self.is_asking {
            return false;
        }
        if std::mem::take(&mut self.expects_strangers) {
            self.look();
            return false;
        }
        self.stage = Stage::Open;
        true
    }

    /// What the last assertion had no room for.
    pub(super) fn take_back(&mut self, held: Vec<HeldObject>) {
        if let Stage::Asserting { left, .. } = &mut self.stage {
            held.into_iter().rev().for_each(|held| left.push_front(held));
        }
    }

    /// What to ask next, if anything is to be asked now. `known`: the highest term and the highest commit that this node has ever heard of;
    /// `floor`: below which no number of a term is taken; `heard`: what the engine's clock showed when it last had all there was.
    pub(super) fn next(
        &mut self,
        node: &Node,
        (known, floor, heard): (Version, u32, EngineTime),
        index: &NodeIndex,
    ) -> Option<EngineCall> {
        if self.is_asking {
            return None;
        }
        let term = self.began.term;
        let call = match &mut self.stage {
            Stage::Taking => EngineCall::Takeover { line: self.line, known, floor, node: Node::clone(node), heard },
            Stage::Reading => EngineCall::Read { after: index.at() },
            Stage::Scanning => EngineCall::Scan,
            Stage::Asserting { left, .. } => {
                let count = left.len().min(MOST_ASSERTED);
                EngineCall::Assert { term, node: Node::clone(node), held: left.drain(..count).collect() }
            }
            Stage::Gate { asks: asks @ true } => {
                *asks = false;
                EngineCall::Gate { term, node: Node::clone(node) }
            }
            Stage::Gate { asks: false } | Stage::Open => return None,
        };
        self.is_asking = true;
        Some(call)
    }

    /// What the primary said to that; the newest commit that is known to be on a majority of the copies by it, if any is. That a
    /// majority has what a reply rests on is the caller's to see to.
    pub(super) fn answered(
        &mut self,
        reply: Reply,
        index: &mut NodeIndex,
        members: &mut Members,
        safeguards: Safeguards,
    ) -> Result<Option<u64>, Over> {
        self.is_asking = false;
        match (&mut self.stage, reply) {
            (Stage::Taking, Reply::Taken(taken)) => {
                self.began = taken.newest;
                self.stage = if index.is_new() { Stage::Scanning } else { Stage::Reading };
            }
            (Stage::Reading, Reply::Steps(steps)) => {
                self.follow(steps, index)?;
                self.stage = Stage::Gate { asks: true };
            }
            (Stage::Reading, Reply::NoSuchPlace) => self.stage = Stage::Scanning,
            (Stage::Scanning, Reply::Index { at, index: there, uploads }) => {
                let held = VecDeque::from(index.merge(at, there, uploads));
                let asserts = safeguards.has(Safeguard::Assertion);
                self.stage =
                    if asserts { Stage::Asserting { left: held, is_overtaken: false } } else { Stage::Gate { asks: true } };
            }
            (Stage::Asserting { left, is_overtaken }, Reply::HasAsserted { overtaken }) => {
                *is_overtaken |= !overtaken.is_empty();
                index.forget(&overtaken.into_iter().collect());
                match (left.is_empty(), *is_overtaken) {
                    (false, _) => {}
                    // What the engine has of those is not here any more.
                    (true, true) => self.stage = Stage::Scanning,
                    (true, false) => self.stage = Stage::Gate { asks: true },
                }
            }
            (Stage::Gate { .. }, Reply::Gate { commit, members: there, .. }) => {
                members.heard_of(&there);
                let are_here = !self.expects_strangers && members.have_asserted(&there, self.line);
                if are_here || !safeguards.has(Safeguard::Gate) {
                    self.stage = Stage::Open;
                }
                return Ok(Some(commit));
            }
            _ => return Err(Over),
        }
        Ok(None)
    }

    /// Follows steps of the journal.
    pub(super) fn follow(&self, steps: Vec<Journaled>, index: &mut NodeIndex) -> Result<(), Over> {
        steps.into_iter().try_for_each(|step| index.apply(step, self.began).map_err(Over::from))
    }
}
