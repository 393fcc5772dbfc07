//! What the tier holds, gone through for those who look after it.

use super::Tier;
use crate::model::clock::{Moment, WallTime};
use crate::model::id::Key;
use crate::model::kind::Kind;

/// How many are looked at between two times at which others may have the lock.
const AT_ONCE: usize = 512;

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
    /// Shows each object that the index knows, by class and age. What comes or goes meanwhile may be shown or not.
    pub fn each(&self, mut see: impl FnMut(&Key, &KeptBelow)) {
        for is_protected in [false, true] {
            let mut after = None;
            loop {
                let some = self.shared.state.lock().index.behind(is_protected, after, AT_ONCE);
                let Some((last, ..)) = some.last() else { break };
                after = Some(*last);
                for (_, key, kept) in &some {
                    see(key, kept);
                }
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
