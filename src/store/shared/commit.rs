//! Commits under way at a node: each is sent until one session has taken it to the end, always as the same upload.
//!
//! A commit is answered when a majority of the copies has it and the node's own index too. Without the second a primary that has lost it could
//! not be told of it by the node that has said it is done. The same holds for a refusal: what it rests on is shown by it.

use std::collections::BTreeMap;

use super::{Decision, EngineCall, Node, ObjectName, Precondition, SharedBody, SharedObject, Term, UploadId};

/// What somebody wants committed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Wish {
    /// Of which object.
    pub(super) name: ObjectName,
    /// What has to be so of it.
    pub(super) expected: Precondition,
    /// What it is to be; `None`: it is to be removed.
    pub(super) object: Option<SharedObject>,
    /// Its bytes.
    pub(super) body: SharedBody,
    /// Whether the bucket below is to have it so.
    pub(super) goes_below: bool,
}

/// The commits of one lane at one node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Commits {
    under_way: BTreeMap<UploadId, (Wish, Stand)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Stand {
    /// For a session.
    Waits,
    Sent,
    /// On a majority of the copies; what it rests on came with this commit at the latest.
    Safe(Decision, u64),
}

impl Commits {
    pub(super) fn add(&mut self, upload: UploadId, wish: Wish) {
        self.under_way.insert(upload, (wish, Stand::Waits));
    }

    /// What is to be sent by this node in a session of this term.
    pub(super) fn send(&mut self, term: Term, node: &Node) -> Vec<(UploadId, EngineCall)> {
        let waiting = self.under_way.iter_mut().filter(|(_, (_, stand))| *stand == Stand::Waits);
        waiting
            .map(|(upload, (wish, stand))| {
                *stand = Stand::Sent;
                let Wish { name, expected, object, body, goes_below } = wish.clone();
                let (node, upload) = (Node::clone(node), *upload);
                (upload, EngineCall::Commit { term, node, upload, name, expected, object, body, goes_below })
            })
            .collect()
    }

    /// The engine has decided on it, and a majority of the copies has what it decided.
    pub(super) fn decided(&mut self, upload: UploadId, verdict: Decision, commit: u64) {
        if let Some((_, stand)) = self.under_way.get_mut(&upload) {
            *stand = Stand::Safe(verdict, commit);
        }
    }

    /// What to answer, once the node's index has followed to this commit. It is no longer under way then.
    pub(super) fn take(&mut self, upload: UploadId, followed: Option<u64>) -> Option<Decision> {
        let (_, Stand::Safe(verdict, commit)) = self.under_way.get(&upload)? else { return None };
        let (verdict, is_here) = (*verdict, followed.is_none_or(|followed| *commit <= followed));
        is_here.then(|| {
            self.under_way.remove(&upload);
            verdict
        })
    }

    /// Nobody waits for it any more; it may or may not happen.
    pub(super) fn give_up(&mut self, upload: UploadId) {
        self.under_way.remove(&upload);
    }

    /// The session is over: all of them are sent again in the next.
    pub(super) fn lose(&mut self) {
        for (_, stand) in self.under_way.values_mut() {
            *stand = Stand::Waits;
        }
    }
}
