//! What the tier holds, gone through for those who look after it.

use std::ops::Bound;

use super::Tier;
use crate::model::clock::{Moment, WallTime};
use crate::model::id::Key;
use crate::model::kind::Kind;
use crate::store::page::NameStep;

/// How many are looked at between two times at which others may have the lock.
const AT_ONCE: usize = 64;

/// What is known of an object in the tier without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptBelow {
    /// Bytes of its body.
    pub length: u64,
    /// What it is to a stream.
    pub kind: Kind,
    /// When it was written.
    pub modified: WallTime,
    /// From when on it does not exist.
    pub expires: Moment,
}

impl Tier {
    /// Shows what the index knows and is live, in the order of keys, from this one on, if there is one; `see` says where it goes on. What comes
    /// or goes meanwhile may be shown or not. `see` is called under the index's lock: it has to be quick and may not call back.
    pub fn in_order(&self, from: &str, mut see: impl FnMut(&Key, &KeptBelow) -> NameStep) {
        let now = self.shared.clock.now();
        let mut from = Bound::Included(from.to_owned());
        loop {
            let state = self.shared.state.lock();
            let (mut left, mut next) = (AT_ONCE, None);
            for (key, slot) in state.index.from(from.as_ref().map(String::as_str)) {
                left -= 1;
                match if slot.expires > now { see(key, &KeptBelow::from(slot)) } else { NameStep::Next } {
                    NameStep::Next if left > 0 => continue,
                    NameStep::Next => next = Some(Bound::Excluded(key.as_str().to_owned())),
                    NameStep::From(name) => next = Some(Bound::Included(name)),
                    NameStep::Enough => {}
                }
                break;
            }
            drop(state);
            match next {
                Some(next) => from = next,
                None => return,
            }
        }
    }

    /// What is known of one.
    #[must_use]
    pub fn kept(&self, key: &Key) -> Option<KeptBelow> {
        let state = self.shared.state.lock();
        state.index.get(key).filter(|slot| slot.expires > self.shared.clock.now()).map(KeptBelow::from)
    }

    /// How many objects the tier holds, and their bytes, as they count against its capacity.
    #[must_use]
    pub fn held(&self) -> (u64, u64) {
        let state = self.shared.state.lock();
        (state.index.len() as u64, state.index.bytes())
    }

    /// Whether all that it holds is known.
    #[must_use]
    pub fn knows_all(&self) -> bool {
        self.shared.state.lock().is_complete
    }
}
