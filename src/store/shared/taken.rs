//! What a takeover tells of time: whether a node that was away can still tell what it holds from what was removed meanwhile, and whether there
//! may be others of whom nobody has heard yet.
//!
//! Who removes an object is remembered for [a while](REMEMBERED). Only time in which somebody was served counts: an engine that was away from
//! everybody for an hour, and comes back empty, has removed nothing, and what nodes hold is all there is. It counts by the engine's clock alone: a
//! node's own may have stood still, with the node.

use super::index::REMEMBERED;
use super::{EngineTime, Version};

/// For so long after the first term of all whoever lives has time to come to the engine: what it holds is known to nobody else.
pub(super) const STRANGERS: EngineTime = 2_000;

/// The term that is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::store) struct TakenTerm {
    /// It, and its newest commit.
    pub(super) newest: Version,
    /// What the engine's clock shows.
    pub(super) now: EngineTime,
    /// What it showed when the term began.
    pub(super) began: EngineTime,
    /// And when somebody was last served in terms before, as far as anybody knows who has come to this one.
    pub(super) served: EngineTime,
    /// No term was known where it began: the engine was empty.
    pub(super) is_first: bool,
}

impl TakenTerm {
    /// Whether a node that has last heard of the lane then may hold what was removed, and that been forgotten.
    pub(super) fn is_too_late_for(&self, heard: EngineTime) -> bool {
        let in_term = self.now.saturating_sub(heard.max(self.began));
        let before = if heard < self.began { self.served.saturating_sub(heard) } else { 0 };
        in_term.max(before) > REMEMBERED / 2
    }

    /// Whether there may be nodes that live and have not come yet.
    pub(super) fn may_have_strangers(&self) -> bool {
        self.is_first && self.now.saturating_sub(self.began) < STRANGERS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: EngineTime = 60_000;

    fn taken(now: EngineTime, began: EngineTime, served: EngineTime) -> TakenTerm {
        TakenTerm { newest: Version::default(), now, began, served, is_first: true }
    }

    #[test]
    fn only_time_in_which_somebody_was_served_counts() {
        let heard = 100 * MINUTE;
        // Away from everybody for an hour: nobody knows of more.
        assert!(!taken(160 * MINUTE, 160 * MINUTE, heard).is_too_late_for(heard));
        assert!(!taken(160 * MINUTE, 160 * MINUTE, heard + MINUTE).is_too_late_for(heard));
        // Others were served meanwhile, before that term or in it.
        assert!(taken(160 * MINUTE, 160 * MINUTE, heard + MINUTE + 1).is_too_late_for(heard));
        assert!(taken(160 * MINUTE, 158 * MINUTE, heard).is_too_late_for(heard));
        // In one term, as long as it is.
        assert!(!taken(101 * MINUTE, MINUTE, 0).is_too_late_for(heard));
        assert!(taken(102 * MINUTE, MINUTE, 0).is_too_late_for(heard));
        // By a clock that was set back.
        assert!(!taken(MINUTE, MINUTE, heard).is_too_late_for(heard));
    }

    #[test]
    fn whoever_lives_has_time_to_come_to_an_engine_that_was_empty() {
        let begun = taken(STRANGERS, 1, 0);
        assert!(begun.may_have_strangers() && !taken(STRANGERS, 0, 0).may_have_strangers());
        assert!(!TakenTerm { is_first: false, ..begun }.may_have_strangers());
    }
}
