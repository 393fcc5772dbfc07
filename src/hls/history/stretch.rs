//! A part of a history: what lies between two moments.

use std::collections::HashMap;
use std::hash::BuildHasher as _;
use std::sync::Arc;

use super::listed::Listed;
use super::{History, ListHead};
use crate::model::clock::WallTime;

/// Where time has gone back often, so many of the last parts in which it goes on are looked at for a moment.
const PARTS: usize = 8;

/// A part of a history, to be looked at without holding it.
#[derive(Clone, Debug)]
pub struct Stretch {
    /// The segments that lie in it, wholly or in part.
    pub listed: Vec<Arc<Listed>>,
    /// Those before it, oldest first, whose tags begin or end something that it may lie in.
    pub marked: Vec<Arc<Listed>>,
    /// Of those whose name was listed again, by their number: what tells the bytes of the last listing from others.
    pub successors: HashMap<u64, Option<u64>>,
    /// What is said of the whole.
    pub head: ListHead,
    /// The playlist has its end.
    pub ended: bool,
    /// Something of its beginning was forgotten already, and more of it will be.
    pub is_cut_short: bool,
    /// It goes to the last segment there is.
    pub is_to_the_last: bool,
    /// When this process took up what was listed before it began: until then nothing could be heard of what follows.
    pub taken_up: Option<WallTime>,
}

/// The last segments of a part of a history, to be looked at without holding it.
#[derive(Clone, Debug, Default)]
pub struct Tail {
    /// Newest first.
    pub listed: Vec<Arc<Listed>>,
    /// As in [`Stretch`].
    pub successors: HashMap<u64, Option<u64>>,
}

/// Which segments lie between two moments, in numbers: what a window is rounded to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentSpan {
    /// The number of the first one.
    pub first: u64,
    /// The number of the last one.
    pub last: u64,
    /// When the first one begins.
    pub begins: WallTime,
    /// When the last one was listed; `None`: before this process began.
    pub heard: Option<WallTime>,
    /// How many have been listed since the beginning of the history: with another one it is another history.
    pub listed: u64,
    /// When the last one ends.
    pub ends: WallTime,
    /// There is no later one.
    pub is_to_the_last: bool,
}

impl History {
    /// The segments between two moments.
    #[must_use]
    pub fn stretch(&self, start: Option<WallTime>, end: Option<WallTime>) -> Stretch {
        let listed: Vec<_> = self.between(start, end).cloned().collect();
        let number = |listed: Option<&Arc<Listed>>| listed.map(|listed| listed.number);
        let first = listed.first().map_or(0, |first| first.number);
        Stretch {
            is_cut_short: self.has_forgotten && number(listed.first()) == number(self.listed.front()),
            is_to_the_last: number(listed.last()) == number(self.listed.back()),
            marked: self.marked.iter().filter(|marked| marked.number < first).cloned().collect(),
            successors: self.successors(&listed),
            listed,
            head: self.head.clone(),
            ended: self.ended,
            taken_up: self.taken_up,
        }
    }

    /// The last of them before this number, so many at most. Costs in proportion to that, unless time goes back somewhere.
    #[must_use]
    pub fn tail(&self, start: Option<WallTime>, end: Option<WallTime>, before: u64, count: usize) -> Tail {
        let listed: Vec<_> = self.between_before(start, end, before).rev().take(count).cloned().collect();
        Tail { successors: self.successors(&listed), listed }
    }

    /// Of those whose name was listed again, what tells the bytes of the last listing from others.
    fn successors(&self, listed: &[Arc<Listed>]) -> HashMap<u64, Option<u64>> {
        let again = listed.iter().filter(|listed| listed.is_listed_again());
        let newest = |listed: &Arc<Listed>| self.at(*self.names.get(&self.hasher.hash_one(listed.name()))?);
        again.map(|listed| (listed.number, newest(listed).and_then(|newest| newest.etag()))).collect()
    }

    /// Which these are; `None`, when there are none.
    #[must_use]
    pub fn span(&self, start: Option<WallTime>, end: Option<WallTime>) -> Option<SegmentSpan> {
        let mut between = self.between(start, end);
        let first = between.next()?;
        let last = between.next_back().unwrap_or(first);
        Some(SegmentSpan {
            first: first.number,
            last: last.number,
            begins: first.at,
            heard: last.heard,
            listed: self.forgotten + self.listed.len() as u64,
            ends: last.end(),
            is_to_the_last: Some(last.number) == self.listed.back().map(|last| last.number),
        })
    }

    /// What was listed of a moment, the last time that time went through it. Looked up by halves, whichever way time goes.
    pub(super) fn at_moment(&self, moment: WallTime) -> Option<&Arc<Listed>> {
        let index = |place: &u64| usize::try_from(place.saturating_sub(self.forgotten)).unwrap_or(usize::MAX);
        let mut to = self.listed.len();
        for from in self.backwards.iter().rev().map(index).chain([0]).take(PARTS) {
            let (mut low, mut high) = (from, to);
            while low < high {
                let middle = low.midpoint(high);
                if self.listed[middle].end() > moment {
                    high = middle;
                } else {
                    low = middle + 1;
                }
            }
            // The first that ends after it.
            if low < to && self.listed[low].at <= moment {
                return Some(&self.listed[low]);
            }
            to = from;
        }
        None
    }

    /// The segments between two moments: looked up where time goes on from each to the next, as it nearly always does; else looked for.
    fn between(&self, start: Option<WallTime>, end: Option<WallTime>) -> impl DoubleEndedIterator<Item = &Arc<Listed>> {
        self.between_before(start, end, u64::MAX)
    }

    /// The same of those before this number.
    fn between_before(
        &self,
        start: Option<WallTime>,
        end: Option<WallTime>,
        before: u64,
    ) -> impl DoubleEndedIterator<Item = &Arc<Listed>> {
        let oldest = self.listed.front().map_or(0, |oldest| oldest.number);
        let below = usize::try_from(before.saturating_sub(oldest)).unwrap_or(usize::MAX);
        let is_after = move |listed: &Arc<Listed>| start.is_none_or(|start| listed.end() > start);
        let is_before = move |listed: &Arc<Listed>| end.is_none_or(|end| listed.at < end);
        let (from, to) = if self.backwards.is_empty() {
            let from = self.listed.partition_point(|listed| !is_after(listed));
            (from, self.listed.partition_point(is_before).max(from))
        } else {
            // From the first that lies between to the last, and all that is listed among them: a list without them would leave segments out
            // and not say so. Times that were guessed go back where a list is pushed faster than it plays.
            let lies_between = |listed: &Arc<Listed>| is_after(listed) && is_before(listed);
            let from = self.listed.iter().position(lies_between).unwrap_or(self.listed.len());
            (from, self.listed.iter().rposition(lies_between).map_or(from, |last| last + 1))
        };
        // Numbers are consecutive.
        let to = to.min(below);
        self.listed.range(from.min(to)..to)
    }
}
