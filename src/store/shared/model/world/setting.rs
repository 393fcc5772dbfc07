//! What a world begins with, and what may happen in it.

use crate::store::shared::Channel;
use crate::store::shared::memory::CopyNumber;
use crate::store::shared::model::register::Question;
use crate::store::shared::safeguards::Safeguards;

/// A world to begin with.
#[derive(Clone, Debug)]
pub(in crate::store::shared::model) struct Setting {
    /// Each client's node, and what it asks, one after the other: a key and a question.
    pub(in crate::store::shared::model) clients: Vec<(usize, Vec<(usize, Question)>)>,
    /// What may happen.
    pub(in crate::store::shared::model) faults: Vec<FaultKind>,
    /// How often anything of that.
    pub(in crate::store::shared::model) fault_count: u8,
    /// Steps that the journal keeps.
    pub(in crate::store::shared::model) journal: usize,
    /// Whether nothing comes between a reading at the engine and its answer, nor between the steps by which a session begins; and who loses
    /// a connection knows it at once. So there are far fewer orders to be looked at.
    pub(in crate::store::shared::model) is_coarse: bool,
    /// Whether what is cut off or dead may come back.
    pub(in crate::store::shared::model) heals: bool,
    pub(in crate::store::shared::model) safeguards: Safeguards,
    /// A node that the engine takes for gone when all begins, which it is not; the others have heard that.
    pub(in crate::store::shared::model) forgotten: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::store::shared::model) enum FaultKind {
    /// The primary dies; any other copy is elected.
    Death,
    /// The primary is cut off from its copies, or frozen, and goes on as if nothing were; any other copy is elected.
    Split,
    /// The primary dies and is back at once, the primary still, with nothing.
    Emptied,
    /// A replica dies.
    ReplicaDeath,
    /// A node's connections are gone, answers with them.
    Link,
    /// The primary and a node are cut off from all others, not from each other. Of the other copies one is elected that has most.
    Zone,
    /// A node dies and is there again, knowing nothing.
    NodeDeath,
    /// The engine has not heard of a node for so long that it takes it for gone. It is not: it was held up.
    Silence,
    /// A client is told that it took too long, or tires of waiting. What it asked may have happened, or happen yet.
    Impatience,
}

/// Calls are told apart by node, which life of it, session and connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::store::shared::model) struct Tag {
    pub(in crate::store::shared::model) node: usize,
    pub(in crate::store::shared::model) life: u8,
    pub(in crate::store::shared::model) session: u32,
    pub(in crate::store::shared::model) channel: Channel,
}

/// What may happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::store::shared::model) enum Happening {
    /// A client asks.
    Ask(usize),
    /// A node finds a copy that says it is the primary.
    Find(usize, CopyNumber),
    Perform(Tag),
    Answer(Tag),
    /// A node gives a call up that can come to nothing.
    GiveUp(Tag),
    /// A node at the gate asks again.
    Look(usize),
    Replicate(CopyNumber),
    Elect(CopyNumber),
    /// A copy that was the primary hears of the one elected, or is started again.
    Rejoin(CopyNumber),
    /// Nothing has happened for as long as the gate waits.
    Wait,
    /// What is to expire expires.
    Strike,
    Fault(FaultKind, usize),
}

impl FaultKind {
    /// Every one.
    pub(in crate::store::shared::model) const ALL: [Self; 9] = [
        Self::Death,
        Self::Split,
        Self::Emptied,
        Self::ReplicaDeath,
        Self::Link,
        Self::Zone,
        Self::NodeDeath,
        Self::Silence,
        Self::Impatience,
    ];
}

impl Happening {
    /// The node whose doing it is.
    pub(in crate::store::shared::model) fn whose(&self) -> Option<usize> {
        match self {
            Self::Find(node, _) | Self::Look(node) => Some(*node),
            Self::Perform(tag) | Self::Answer(tag) | Self::GiveUp(tag) => Some(tag.node),
            _ => None,
        }
    }
}
