//! What waits to be handed on, by namespace: each has its turn, and what one has too much of takes no other's place.

use std::collections::{HashMap, VecDeque};

/// Those that wait: so many at most.
#[derive(Debug)]
pub(super) struct FairQueue<T> {
    most: usize,
    count: usize,
    /// Of each namespace that somebody hands on for, the oldest first; empty while the last of them is on its way.
    waiting: HashMap<String, VecDeque<T>>,
}

/// What came of one that was to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Queued {
    /// Whether nobody hands on for this namespace yet: somebody is to begin.
    pub(super) is_first: bool,
    /// Whether one is lost for it, this or another.
    pub(super) is_one_lost: bool,
}

impl<T> FairQueue<T> {
    pub(super) fn new(most: usize) -> Self {
        Self { most, count: 0, waiting: HashMap::new() }
    }

    /// Has one wait. Where as many do as may, the newest of the namespace that has most is lost.
    pub(super) fn push(&mut self, namespace: &str, one: T) -> Queued {
        let is_first = !self.waiting.contains_key(namespace);
        self.waiting.entry(namespace.to_owned()).or_default().push_back(one);
        self.count += 1;
        let is_one_lost = self.count > self.most;
        if is_one_lost && let Some(longest) = self.waiting.values_mut().max_by_key(|of| of.len()) {
            longest.pop_back();
            self.count -= 1;
        }
        Queued { is_first, is_one_lost }
    }

    /// The next one of a namespace; `None` when there is none, and who hands on for it is done.
    pub(super) fn next(&mut self, namespace: &str) -> Option<T> {
        let next = self.waiting.get_mut(namespace).and_then(VecDeque::pop_front);
        match next {
            Some(_) => self.count -= 1,
            None => drop(self.waiting.remove(namespace)),
        }
        next
    }
}

/// The same things, the first of each namespace before the second of any, and so on.
pub(super) fn by_turns<T>(all: Vec<T>, namespace: impl Fn(&T) -> &str) -> Vec<T> {
    let mut counts: HashMap<String, usize> = HashMap::new();
    let mut ranked: Vec<(usize, T)> = Vec::with_capacity(all.len());
    for one in all {
        let count = counts.entry(namespace(&one).to_owned()).or_default();
        *count += 1;
        ranked.push((*count, one));
    }
    ranked.sort_by_key(|(rank, _)| *rank);
    ranked.into_iter().map(|(_, one)| one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_most_loses_what_is_too_much() {
        let mut queue = FairQueue::new(4);
        assert_eq!(queue.push("a", 0), Queued { is_first: true, is_one_lost: false });
        for number in 1..4 {
            assert_eq!(queue.push("a", number), Queued { is_first: false, is_one_lost: false });
        }
        assert_eq!(queue.push("a", 4), Queued { is_first: false, is_one_lost: true });
        assert_eq!(queue.push("b", 10), Queued { is_first: true, is_one_lost: true });
        let rest = |queue: &mut FairQueue<i32>, of: &str| std::iter::from_fn(|| queue.next(of)).collect::<Vec<_>>();
        assert_eq!((rest(&mut queue, "a"), rest(&mut queue, "b")), (vec![0, 1, 2], vec![10]));
        assert_eq!(queue.count, 0);
        // Who hands on is there until he finds nothing.
        assert!(queue.push("a", 1).is_first && queue.next("a") == Some(1) && !queue.push("a", 2).is_first);
    }

    #[test]
    fn each_has_its_turn() {
        let all = vec!["a1", "a2", "a3", "b1", "c1", "c2"];
        assert_eq!(by_turns(all, |one| &one[..1]), ["a1", "b1", "c1", "a2", "c2", "a3"]);
    }
}
