//! Which nodes there are, as far as one of them knows, and whether all have asserted what they hold.
//!
//! What the engine says of members can be lost as anything else there. So whom a node has once heard of it waits for at the gate, until its
//! owner says that [it is gone](Members::are).

use std::collections::{BTreeMap, BTreeSet};

use super::Node;

/// The members of a lane.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Members {
    known: BTreeSet<Node>,
}

impl Members {
    /// Those that a node begins with, itself among them.
    pub(super) fn new(known: impl IntoIterator<Item = Node>) -> Self {
        Self { known: known.into_iter().collect() }
    }

    /// Takes note of those that the engine knows.
    pub(super) fn heard_of(&mut self, members: &BTreeMap<Node, u32>) {
        self.known.extend(members.keys().cloned());
    }

    /// There are no others than these any more.
    pub(super) fn are(&mut self, living: &BTreeSet<Node>) {
        self.known.retain(|node| living.contains(node));
    }

    /// Whether all have asserted what they hold to the primary of this line.
    pub(super) fn have_asserted(&self, members: &BTreeMap<Node, u32>, line: u32) -> bool {
        self.known.iter().all(|node| members.get(node) == Some(&line))
    }
}
