//! Which nodes there are, as far as one of them knows, and whether all have asserted what they hold.
//!
//! Who the members are is the engine's to say. It takes who is silent for one no more, and refuses then what that one commits and asks,
//! until it has come through the gate again; which opens to it when all others have been told of it. What the engine says can be lost as
//! anything else there. So whom a node has once heard of it waits for at the gate, until a majority of the copies has it that he is
//! [no member](Members::are), and all is here that he can have been answered before: then there is nothing to wait for.

use std::collections::{BTreeMap, BTreeSet};

use super::Node;

/// The members of a lane.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Members {
    known: BTreeSet<Node>,
    /// Who they are, as of a commit to which the journal has not been followed yet.
    named: Option<(u64, BTreeSet<Node>)>,
}

impl Members {
    /// Those that a node begins with, itself among them.
    pub(super) fn new(known: impl IntoIterator<Item = Node>) -> Self {
        Self { known: known.into_iter().collect(), named: None }
    }

    /// Takes note of those that the engine knows.
    pub(super) fn heard_of(&mut self, members: &BTreeMap<Node, u32>) {
        self.known.extend(members.keys().cloned());
    }

    /// They are these, by a majority of the copies, as of this commit.
    pub(super) fn are(&mut self, commit: u64, members: BTreeMap<Node, u32>) {
        self.heard_of(&members);
        self.named = (members.len() < self.known.len()).then(|| (commit, members.into_keys().collect()));
    }

    /// The journal has been followed to this commit.
    pub(super) fn followed(&mut self, to: u64) {
        if let Some((_, members)) = self.named.take_if(|(commit, _)| *commit <= to) {
            self.known = members;
        }
    }

    /// The session is over.
    pub(super) fn lose(&mut self) {
        self.named = None;
    }

    /// Whether all have asserted what they hold to the primary of this line.
    pub(super) fn have_asserted(&self, members: &BTreeMap<Node, u32>, line: u32) -> bool {
        self.known.iter().all(|node| members.get(node) == Some(&line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_a_member_no_more_is_waited_for_until_all_is_here_that_he_was_answered() {
        let of = |names: &[&str]| -> BTreeMap<Node, u32> { names.iter().map(|name| (Node::from(*name), 7)).collect() };
        let mut members = Members::new([Node::from("a")]);
        members.heard_of(&of(&["a", "b"]));
        assert!(members.have_asserted(&of(&["a", "b"]), 7) && !members.have_asserted(&of(&["a"]), 7));
        members.are(12, of(&["a"]));
        members.followed(11);
        assert!(!members.have_asserted(&of(&["a"]), 7), "what b was answered may not be here");
        members.lose();
        members.followed(12);
        assert!(!members.have_asserted(&of(&["a"]), 7), "nor will it be, by the session that has ended");
        members.are(12, of(&["a", "c"]));
        members.followed(12);
        assert!(members.have_asserted(&of(&["a", "c"]), 7));
        assert!(!members.have_asserted(&of(&["a"]), 7) && !members.have_asserted(&of(&["a", "c"]), 8));
    }
}
