//! Objects of a namespace that are known and whose bytes nobody has any more: each version is counted once by a node, when it is asked for, and they are
//! told of together.

use std::collections::HashSet;
use std::time::Duration;

use ahash::RandomState;
use parking_lot::Mutex;

use super::Version;
use crate::model::clock::Moment;
use crate::model::id::Key;

/// So many are remembered.
const MOST: usize = 4_096;
/// How often they are told of.
const EVERY: Duration = Duration::from_secs(30);

/// Those that were asked for.
#[derive(Debug, Default)]
pub(super) struct LostBodies(Mutex<AskedInVain>);

#[derive(Debug, Default)]
struct AskedInVain {
    versions: HashSet<(Key, Version), RandomState>,
    untold: u64,
    told: Option<Moment>,
}

/// What is to be done about one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LostNews {
    /// It has not been asked for before.
    pub(super) is_new: bool,
    /// So many are to be told of.
    pub(super) to_tell: Option<u64>,
}

impl LostBodies {
    /// This version was asked for.
    pub(super) fn add(&self, key: &Key, version: Version, now: Moment) -> LostNews {
        let mut asked = self.0.lock();
        if asked.versions.len() >= MOST {
            asked.versions.clear();
        }
        let is_new = asked.versions.insert((key.clone(), version));
        asked.untold += u64::from(is_new);
        let is_due = asked.untold > 0 && asked.told.is_none_or(|told| now.since(told) >= EVERY);
        let to_tell = is_due.then(|| std::mem::take(&mut asked.untold));
        if is_due {
            asked.told = Some(now);
        }
        LostNews { is_new, to_tell }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::clock::Clock;

    #[test]
    fn each_is_counted_once_and_they_are_told_of_together() {
        let (lost, clock) = (LostBodies::default(), Clock::manual());
        let add = |number: u32| {
            let LostNews { is_new, to_tell } =
                lost.add(&Key::parse(&format!("{number}.ts")).unwrap(), Version::default(), clock.now());
            (is_new, to_tell)
        };
        assert_eq!((add(0), add(0)), ((true, Some(1)), (false, None)));
        assert_eq!((add(1), add(2)), ((true, None), (true, None)));
        clock.advance(EVERY);
        assert_eq!((add(0), add(3)), ((false, Some(2)), (true, None)));
        for number in 0..u32::try_from(MOST).unwrap() * 2 {
            add(number);
        }
        assert!(lost.0.lock().versions.len() <= MOST);
    }
}
