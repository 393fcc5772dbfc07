//! A write by one of several nodes to a bucket that they share, so that the newest version stays, whoever writes in whatever order.
//!
//! A bucket takes a PUT under a condition: that there is nothing yet, or that what is there is still in the state that was seen. So a
//! version goes over what was there when it was looked at, and nothing else; where something else has come, it is looked again, and what is
//! newer stays. An answer that was lost is found that way too: what is there is then this version itself.
//!
//! A removal has no condition, for few stores know one: that nothing newer comes while it is under way is its caller's to see to.
//!
//! Nothing is asked here: the caller asks what [`BucketWrite::next`] says, and tells what was said.

use super::bucket::BucketState;
use crate::model::clock::WallTime;
use crate::store::cold::VersionMark;

/// So often what is there may have changed since it was looked at.
const TRIES: usize = 8;

/// What is at a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketFound {
    /// Which version.
    pub version: VersionMark,
    /// Until when it lives: a version that lives longer is written over itself.
    pub expires: WallTime,
    /// In which state.
    pub state: BucketState,
}

/// What to ask the bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BucketAsk {
    /// What there is.
    Find,
    /// To take the version, over what is in this state; `None`: where there is nothing.
    Put(Option<BucketState>),
    /// To remove what there is.
    Delete,
}

/// What it said to that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BucketSaid {
    /// What there is, if anything.
    Found(Option<BucketFound>),
    /// It has taken it, and is in this state; `None`: it was in another one than that.
    Put(Option<BucketState>),
    /// It has removed it.
    Deleted,
}

/// How a write ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BucketWriteEnd {
    /// What is there is this version, in that state, or for a removal nothing.
    Made(Option<BucketState>),
    /// What is there is newer.
    Overtaken,
    /// Others come in between all the time.
    Unsettled,
}

/// A write or a removal under way.
#[derive(Clone, Debug)]
pub struct BucketWrite {
    version: VersionMark,
    /// Of a removal: none.
    expires: Option<WallTime>,
    next: BucketAsk,
    tries: usize,
}

impl BucketWrite {
    /// A version is to be there, until it expires. `over`: what is believed to be there, in which state; nothing costs no more than that.
    #[must_use]
    pub const fn put(version: VersionMark, expires: WallTime, over: Option<BucketState>) -> Self {
        Self { version, expires: Some(expires), next: BucketAsk::Put(over), tries: 0 }
    }

    /// Nothing is to be there, as of this version.
    #[must_use]
    pub const fn removal(version: VersionMark) -> Self {
        Self { version, expires: None, next: BucketAsk::Find, tries: 0 }
    }

    /// What to ask now.
    #[must_use]
    pub const fn next(&self) -> &BucketAsk {
        &self.next
    }

    /// Takes what was said to that; how the write ends, when it does.
    pub fn told(&mut self, said: BucketSaid) -> Option<BucketWriteEnd> {
        match (said, self.expires) {
            (BucketSaid::Deleted, _) | (BucketSaid::Found(None), None) => Some(BucketWriteEnd::Made(None)),
            (BucketSaid::Put(Some(state)), _) => Some(BucketWriteEnd::Made(Some(state))),
            (BucketSaid::Found(Some(found)), _) if found.version > self.version => Some(BucketWriteEnd::Overtaken),
            (BucketSaid::Found(Some(found)), Some(expires)) if found.version == self.version && found.expires >= expires => {
                Some(BucketWriteEnd::Made(Some(found.state)))
            }
            (BucketSaid::Found(Some(_)), None) => self.go_on(BucketAsk::Delete),
            (BucketSaid::Found(found), Some(_)) => self.go_on(BucketAsk::Put(found.map(|found| found.state))),
            (BucketSaid::Put(None), _) => {
                self.tries += 1;
                if self.tries >= TRIES { Some(BucketWriteEnd::Unsettled) } else { self.go_on(BucketAsk::Find) }
            }
        }
    }

    fn go_on(&mut self, next: BucketAsk) -> Option<BucketWriteEnd> {
        self.next = next;
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::{Just, any, prop_assert, prop_assert_eq, prop_oneof, proptest};

    use super::*;

    fn mark(number: u8) -> VersionMark {
        VersionMark([number; 16])
    }

    /// A bucket with one name, as plain as can be.
    #[derive(Default)]
    struct PlainBucket {
        there: Option<(VersionMark, WallTime, u64)>,
        states: u64,
        /// Every version that was ever there, in turn.
        seen: Vec<VersionMark>,
    }

    fn state(number: u64) -> BucketState {
        BucketState { tag: Some(number.to_string()), generation: None }
    }

    impl PlainBucket {
        fn say(&mut self, write: &BucketWrite) -> BucketSaid {
            match write.next() {
                BucketAsk::Find => {
                    BucketSaid::Found(self.there.map(|(version, expires, at)| BucketFound { version, expires, state: state(at) }))
                }
                BucketAsk::Put(over) => {
                    if self.there.map(|(_, _, at)| state(at)) != *over {
                        return BucketSaid::Put(None);
                    }
                    self.states += 1;
                    self.seen.push(write.version);
                    self.there = Some((write.version, write.expires.unwrap(), self.states));
                    BucketSaid::Put(Some(state(self.states)))
                }
                BucketAsk::Delete => {
                    self.there = None;
                    BucketSaid::Deleted
                }
            }
        }
    }

    proptest! {
        /// Writers in any order, any of whose answers may be lost: then he begins anew.
        #[test]
        fn the_newest_version_stays(
            versions in vec((1u8..6, 1u64..4), 1..5),
            steps in vec((any::<u8>(), prop_oneof![3 => Just(false), 1 => Just(true)]), 0..60),
        ) {
            let begin = |(version, expires): (u8, u64)| {
                BucketWrite::put(mark(version), WallTime::from_millis(expires), None)
            };
            let mut bucket = PlainBucket::default();
            let mut writers: Vec<_> = versions.iter().map(|of| (*of, begin(*of), None)).collect();
            let mut rest = std::iter::successors(Some(0u8), |turn| Some(turn.wrapping_add(1))).map(|turn| (turn, false));
            let mut steps = steps.into_iter();
            while writers.iter().any(|(_, _, end)| end.is_none()) {
                let (turn, is_lost) = steps.next().or_else(|| rest.next()).unwrap();
                let count = writers.len();
                let (of, writer, end) = &mut writers[usize::from(turn) % count];
                if end.is_some() {
                    continue;
                }
                let said = bucket.say(writer);
                if is_lost {
                    *writer = begin(*of);
                } else {
                    *end = writer.told(said);
                    if *end == Some(BucketWriteEnd::Unsettled) {
                        (*writer, *end) = (begin(*of), None);
                    }
                }
            }
            prop_assert!(bucket.seen.is_sorted(), "an older one came after a newer one: {:?}", bucket.seen);
            let newest = versions.iter().max().unwrap();
            let (version, expires, _) = bucket.there.unwrap();
            prop_assert_eq!((version, expires), (mark(newest.0), WallTime::from_millis(newest.1)));
        }

        #[test]
        fn a_removal_leaves_what_is_newer(there in proptest::option::of(0u8..6), removed in 0u8..6) {
            let there_then = there.map(|there| (mark(there), WallTime::from_millis(1), 1));
            let mut bucket = PlainBucket { there: there_then, ..PlainBucket::default() };
            let mut removal = BucketWrite::removal(mark(removed));
            let end = loop {
                let said = bucket.say(&removal);
                if let Some(end) = removal.told(said) {
                    break end;
                }
            };
            let is_newer = there.is_some_and(|there| there > removed);
            prop_assert_eq!(bucket.there.is_some(), is_newer);
            prop_assert_eq!(end, if is_newer { BucketWriteEnd::Overtaken } else { BucketWriteEnd::Made(None) });
        }
    }
}
