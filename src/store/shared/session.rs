//! A session with one primary: how it begins, until it may be served from.
//!
//! 1. *Taking*: a term begins, unless this primary's has begun. On a majority of the copies, or the session is over.
//! 2. *Reading*: the journal from where the node's index stands. Where that place is in this journal, the primary has lost nothing of what
//!    is here, and has told what is new; else
//! 3. *Scanning*: the index anew, and
//! 4. *Asserting*: what is newer here, removals among it, and what uploads became: an upload that is sent again must not be taken for another one.
//! 5. *Gate*: until all members have come this far. Then the session is open.
//!
//! Any trouble ends a session: there is no way back within it.

use super::index::{NodeIndex, OutOfStep};
use super::members::Members;
use super::safeguards::{Safeguard, Safeguards};
use super::{EngineCall, HeldObject, Journaled, Node, Reply, Version};

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
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Stage {
    Taking,
    Reading,
    Scanning,
    Asserting(Vec<HeldObject>),
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
        Self { primary, line, began: Version::default(), stage: Stage::Taking, is_asking: false }
    }

    /// Its term, and the newest commit when it began; once it has.
    pub(super) fn began(&self) -> Version {
        self.began
    }

    /// The beginning of its primary's replication id.
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

    /// At the gate, when members had time enough: opens without those that are missing.
    pub(super) fn wait_no_longer(&mut self) {
        if self.is_at_the_gate() && !self.is_asking {
            self.stage = Stage::Open;
        }
    }

    /// What to ask next, if anything is to be asked now. `known`: the highest term and the highest commit that this node has ever heard of.
    pub(super) fn next(&mut self, node: &Node, known: Version, index: &NodeIndex) -> Option<EngineCall> {
        if self.is_asking {
            return None;
        }
        let term = self.began.term;
        let call = match &mut self.stage {
            Stage::Taking => EngineCall::Takeover { line: self.line, known },
            Stage::Reading => EngineCall::Read { after: index.at() },
            Stage::Scanning => EngineCall::Scan,
            Stage::Asserting(held) => EngineCall::Assert { term, held: std::mem::take(held) },
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
        match (&self.stage, reply) {
            (Stage::Taking, Reply::Taken(began)) => {
                self.began = began;
                self.stage = if index.is_new() { Stage::Scanning } else { Stage::Reading };
            }
            (Stage::Reading, Reply::Steps(steps)) => {
                self.follow(steps, index)?;
                self.stage = Stage::Gate { asks: true };
            }
            (Stage::Reading, Reply::NoSuchPlace) => self.stage = Stage::Scanning,
            (Stage::Scanning, Reply::Index { at, index: there, uploads }) => {
                let held = index.merge(at, there, uploads);
                let asserts = safeguards.has(Safeguard::Assertion);
                self.stage = if asserts { Stage::Asserting(held) } else { Stage::Gate { asks: true } };
            }
            (Stage::Asserting(_), Reply::HasAsserted { overtaken }) => {
                index.forget(&overtaken);
                // What the engine has of those is not here any more.
                self.stage = if overtaken.is_empty() { Stage::Gate { asks: true } } else { Stage::Scanning };
            }
            (Stage::Gate { .. }, Reply::Gate { commit, members: there }) => {
                members.heard_of(&there);
                if members.have_asserted(&there, self.line) || !safeguards.has(Safeguard::Gate) {
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
