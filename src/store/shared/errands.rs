//! What a lane asks for the sake of the bucket below: each once, and not again. Who asked hears that nobody knows when the session is over
//! before there was an answer, and asks anew by what stands then.

use std::collections::BTreeMap;

use super::{ClaimEnd, ClaimTimes, EngineCall, EngineTime, Indexed, Node, ObjectName, Reply, Term, Version};

/// Tells errands apart.
pub(super) type ErrandNumber = u64;

/// Something to be asked; the calls that it becomes say what each means.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum BucketErrand {
    Claim { times: ClaimTimes, names: Vec<ObjectName>, orphans: u64 },
    Settle { name: ObjectName, version: Version, number: EngineTime, end: ClaimEnd },
    Evict { names: Vec<(ObjectName, Version)> },
    Fill { found: Vec<(ObjectName, Indexed)> },
}

/// Those of one lane at one node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Errands {
    next: ErrandNumber,
    under_way: BTreeMap<ErrandNumber, ErrandStand>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum ErrandStand {
    /// For a session.
    Waits(BucketErrand),
    Sent,
    Over(Option<Reply>),
}

impl Errands {
    pub(super) fn add(&mut self, errand: BucketErrand) -> ErrandNumber {
        self.next += 1;
        self.under_way.insert(self.next, ErrandStand::Waits(errand));
        self.next
    }

    /// What is to be asked by this node in a session of this term.
    pub(super) fn send(&mut self, term: Term, node: &Node) -> Vec<(ErrandNumber, EngineCall)> {
        let mut calls = Vec::new();
        for (number, stand) in &mut self.under_way {
            let ErrandStand::Waits(_) = stand else { continue };
            let ErrandStand::Waits(errand) = std::mem::replace(stand, ErrandStand::Sent) else { continue };
            let node = Node::clone(node);
            let call = match errand {
                BucketErrand::Claim { times, names, orphans } => EngineCall::Claim { term, node, times, names, orphans },
                BucketErrand::Settle { name, version, number, end } => {
                    EngineCall::Settle { term, node, name, version, number, end }
                }
                BucketErrand::Evict { names } => EngineCall::Evict { term, names },
                BucketErrand::Fill { found } => EngineCall::Fill { term, found },
            };
            calls.push((*number, call));
        }
        calls
    }

    /// The engine has answered; the newest commit by that. `None`: it was no answer to any.
    pub(super) fn done(&mut self, number: ErrandNumber, reply: Reply) -> Option<u64> {
        let (Reply::Renewed { commit } | Reply::Claimed { commit, .. } | Reply::Evicted { commit, .. }) = reply else {
            return None;
        };
        if let Some(stand) = self.under_way.get_mut(&number) {
            *stand = ErrandStand::Over(Some(reply));
        }
        Some(commit)
    }

    /// What came of one, when it is over.
    pub(super) fn take(&mut self, number: ErrandNumber) -> Option<Option<Reply>> {
        match self.under_way.get(&number) {
            Some(ErrandStand::Waits(_) | ErrandStand::Sent) => None,
            Some(ErrandStand::Over(_)) | None => match self.under_way.remove(&number) {
                Some(ErrandStand::Over(reply)) => Some(reply),
                _ => Some(None),
            },
        }
    }

    /// Nobody waits for it any more.
    pub(super) fn give_up(&mut self, number: ErrandNumber) {
        self.under_way.remove(&number);
    }

    /// The session is over: what was asked in it is told nothing more.
    pub(super) fn lose(&mut self) {
        for stand in self.under_way.values_mut().filter(|stand| matches!(stand, ErrandStand::Sent)) {
            *stand = ErrandStand::Over(None);
        }
    }
}
