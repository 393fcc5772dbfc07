//! How often a lane that has no session tries to begin one, and how often one that has gives a sign of life.
//!
//! Between two tries passes a small part of the time that it has been without one already. So whoever waits for another primary to be
//! elected waits by that part longer at the most, and an engine that is away for minutes is not asked twenty times a second by each lane of
//! each node. What is random in it keeps them from asking all at the same moment.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use tokio::time::Instant;

use super::engine::LaneNumber;

/// How often a node gives a sign of life in each lane, at least. With each it is told who has come to the lane: that has to be before one who comes waits
/// no longer for that at the gate. All lanes of a primary find it silent together, and give their signs in turn.
pub(super) const SIGN: Duration = Duration::from_millis(500);
/// A lane that does not get on for so long stands still, whatever its session says: so long a read waits at the most.
pub(super) const STANDS_STILL: Duration = Duration::from_secs(3);
const _: () = assert!(SIGN.as_millis() * 4 < STANDS_STILL.as_millis());
/// Among so many lanes signs come in turn.
const TURNS: LaneNumber = 12;
/// The part of the time without a session that passes between two tries, and how long that is at least and at most.
const PART: u32 = 50;
const LEAST: Duration = Duration::from_millis(20);
const MOST: Duration = Duration::from_millis(500);
/// A session that stood for so long was one. An engine that is too slow ends others at once, and gets no faster by being asked more often.
const STOOD: Duration = Duration::from_secs(2);

/// Of one lane.
#[derive(Debug, Default)]
pub(super) struct Tries {
    /// Since when it is without a session that stood.
    since: Option<Instant>,
    count: u64,
    random: RandomState,
}

impl Tries {
    /// A try has failed, or a session has ended that was open for so long: how long to wait before the next.
    pub(super) fn failed(&mut self, open: Duration, now: Instant) -> Duration {
        if open >= STOOD {
            (self.since, self.count) = (None, 0);
        }
        self.count += 1;
        let away = now - *self.since.get_or_insert(now);
        let pause = (away / PART).clamp(LEAST, MOST);
        // From a half to one and a half of it.
        let thousandths = u32::try_from(self.random.hash_one(self.count) % 1_000).unwrap_or_default();
        pause / 2 + pause * thousandths / 1_000
    }

    /// Since when it is without one, and how many tries have failed.
    pub(super) fn so_far(&self) -> (Option<Instant>, u64) {
        (self.since, self.count)
    }
}

/// When the next sign is due of a lane that has just given its first one: lanes take turns, so that it is seen soon when a primary says nothing.
pub(super) fn second_sign(lane: LaneNumber, now: Instant) -> Instant {
    now + SIGN * u32::from(lane % TURNS + 1) / u32::from(TURNS)
}

/// How long until a sign is due, where the last that was heard of the primary was asked for so long ago; `None`: it is.
pub(super) fn sign_in(heard: Option<Duration>) -> Option<Duration> {
    heard.and_then(|since| SIGN.checked_sub(since)).filter(|left| !left.is_zero())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// However long it takes, it is noticed by a small part later; and who is away for long is asked seldom.
        #[test]
        fn the_engine_is_found_soon_after_it_is_back(back in 0u64..120_000) {
            let (begun, mut tries) = (Instant::now(), Tries::default());
            let (mut now, mut asked) = (begun, 0);
            let back = Duration::from_millis(back);
            while now - begun < back {
                now += tries.failed(Duration::ZERO, now);
                asked += 1;
            }
            let late = now - begun - back;
            prop_assert!(late <= (back / PART).clamp(LEAST, MOST) * 3 / 2, "{late:?} after {back:?}");
            prop_assert!(asked <= 300 + 4 * back.as_secs(), "{asked} tries in {back:?}");
        }
    }

    #[test]
    fn what_does_not_stand_is_no_session() {
        let (begun, mut tries) = (Instant::now(), Tries::default());
        tries.failed(STOOD, begun);
        let later = begun + Duration::from_secs(60);
        assert!(tries.failed(STOOD / 2, later) >= MOST / 2, "it has been away for a minute");
        assert!(tries.failed(STOOD, later) <= LEAST * 3 / 2);
    }

    #[test]
    fn signs_come_in_turn_and_none_where_something_else_was_asked() {
        let now = Instant::now();
        let due: std::collections::BTreeSet<_> = (0..TURNS).map(|lane| second_sign(lane, now)).collect();
        assert_eq!((due.len(), due.last()), (usize::from(TURNS), Some(&(now + SIGN))));
        assert_eq!((sign_in(None), sign_in(Some(SIGN)), sign_in(Some(SIGN * 3))), (None, None, None));
        assert_eq!(sign_in(Some(SIGN / 4)), Some(SIGN * 3 / 4));
    }
}
