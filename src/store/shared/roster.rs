//! Which nodes there are and what each says of itself: for people, who see what does not fit together.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use parking_lot::Mutex;

use super::Node;
use crate::model::clock::Moment;
use crate::store::hash;

/// A node that the engine has not named for so long beside others is gone.
const GONE: Duration = Duration::from_secs(2);
/// Who has been named for less long may be gone without the engine knowing it yet: a process that was killed is named a little longer, beside
/// the one that was started in its place.
pub(super) const SURE: Duration = Duration::from_secs(4);

/// What a node says of itself. In the engine it stands as one text, and is the node's name there: each process is a member of its own,
/// for what one of them has asserted says nothing of another one of the same name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodeIdentity {
    /// What its settings call it. No spaces.
    pub(super) name: String,
    /// Which Springhead it is.
    pub(super) release: String,
    /// Of its signing keys and its keys for viewers' tokens: the same where those are.
    keys: String,
}

impl NodeIdentity {
    /// `keys`: the ids of all keys by which it knows what was signed.
    #[must_use]
    pub fn new(name: &str, release: &str, mut keys: Vec<&str>) -> Self {
        keys.sort_unstable();
        let keys = format!("{:016x}", hash::of_part(keys.join(" ").as_bytes()));
        Self { name: name.to_owned(), release: release.to_owned(), keys }
    }

    pub(super) fn to_node(&self, process: u64) -> Node {
        Node::from(format!("{} {process:016x} {} {}", self.name, self.release, self.keys))
    }

    /// Reads what a node says of itself; the process as it is written.
    pub(super) fn read(node: &str) -> Option<(Self, &str)> {
        let mut words = node.split(' ');
        let (name, process, release, keys) = (words.next()?, words.next()?, words.next()?, words.next()?);
        let own = Self { name: name.to_owned(), release: release.to_owned(), keys: keys.to_owned() };
        words.next().is_none().then_some((own, process))
    }
}

/// All nodes, as one of them has heard of them.
#[derive(Debug)]
pub(super) struct NodeRoster {
    own: Node,
    /// When the engine has first and last named them.
    named: Mutex<BTreeMap<Node, (Moment, Moment)>>,
}

impl NodeRoster {
    pub(super) fn new(own: &Node) -> Self {
        Self { own: Node::clone(own), named: Mutex::default() }
    }

    /// The engine has named these.
    pub(super) fn heard_of<'a>(&self, nodes: impl IntoIterator<Item = &'a Node>, now: Moment) {
        let mut named = self.named.lock();
        for node in nodes {
            named.entry(Node::clone(node)).or_insert((now, now)).1 = now;
        }
    }

    /// Those that are there for sure. While the engine names nobody, nobody goes.
    fn living(&self) -> BTreeSet<Node> {
        let mut named = self.named.lock();
        if let Some(newest) = named.values().map(|(_, last)| *last).max() {
            named.retain(|_, (_, last)| newest.since(*last) < GONE);
        }
        let sure = named.iter().filter(|(_, (first, last))| last.since(*first) >= SURE);
        sure.map(|(node, _)| Node::clone(node)).chain([Node::clone(&self.own)]).collect()
    }

    /// What does not fit together, in words for who looks after the nodes.
    pub(super) fn faults(&self) -> Vec<String> {
        faults(&self.own, &self.living())
    }
}

/// What does not fit together among nodes, as one of them sees it.
pub(super) fn faults(own: &str, nodes: &BTreeSet<Node>) -> Vec<String> {
    let Some((own, process)) = NodeIdentity::read(own) else { return Vec::new() };
    let mut faults = BTreeSet::new();
    for (other, of) in nodes.iter().filter_map(|node| NodeIdentity::read(node)) {
        if of == process {
            continue;
        }
        if other.name == own.name {
            faults
                .insert(format!("another process goes by this node's name, {}: give each a [cluster] node of its own", own.name));
        } else if other.keys != own.keys {
            faults.insert(format!(
                "node {} has other signing keys or viewer keys than this one: what one of them signed the other refuses. Copy signing.key and \
                 viewer.key",
                other.name
            ));
        }
    }
    faults.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::clock::Clock;

    fn node(name: &str, process: u64, keys: &str) -> Node {
        NodeIdentity { name: name.to_owned(), release: "0.9.0".to_owned(), keys: keys.to_owned() }.to_node(process)
    }

    #[test]
    fn what_a_node_says_of_itself_reads_back() {
        let (own, process) = NodeIdentity::read("a 00000000000000ff 0.9.0 k1").unwrap();
        assert_eq!((own.to_node(255).as_ref(), process), ("a 00000000000000ff 0.9.0 k1", "00000000000000ff"));
        for wrong in ["", "a", "a b c", "a b c d e"] {
            assert_eq!(NodeIdentity::read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn names_that_are_two_and_keys_that_differ_are_told() {
        let own = node("a", 1, "k");
        let told = |others: &[Node]| faults(&own, &others.iter().cloned().chain([Node::clone(&own)]).collect());
        assert_eq!(told(&[node("b", 2, "k")]), [""; 0]);
        assert!(told(&[node("a", 2, "k")])[0].contains("this node's name, a"));
        assert!(told(&[node("b", 2, "other")])[0].contains("node b has other signing keys"));
    }

    #[test]
    fn who_is_named_no_more_is_gone_while_others_are() {
        let clock = Clock::manual();
        let (own, other) = (node("a", 1, "k"), node("b", 2, "k"));
        let roster = NodeRoster::new(&own);
        roster.heard_of([&own, &other], clock.now());
        clock.advance(SURE - Duration::from_millis(1));
        roster.heard_of([&own, &other], clock.now());
        assert_eq!(roster.living().len(), 1, "it may have been killed meanwhile");
        clock.advance(Duration::from_millis(1));
        roster.heard_of([&own, &other], clock.now());
        clock.advance(GONE);
        assert_eq!(roster.living().len(), 2, "the engine names nobody");
        roster.heard_of([&own], clock.now());
        assert_eq!(roster.living(), BTreeSet::from([own]));
    }
}
