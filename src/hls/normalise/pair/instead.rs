//! What is listed in place of a line of the active side that is damaged or cut off, and how long that is waited for.

use std::time::Duration;

use super::PairDesk;
use crate::hls::normalise::agree::in_common;
use crate::hls::normalise::relation::{JOINS, NEAR, Relation, SideClock};

impl PairDesk<'_, '_> {
    /// Takes the twin's copy of a line of the active side, if there is a better one. `Some(false)`: one may come. `None`: it is taken as it is.
    ///
    /// Where players see other clocks, or fewer segments are the same than tell that one stands for the other, the twin can't lend: it takes over,
    /// if the active side is out.
    pub(super) fn take_instead(&mut self, (active, at): (usize, usize), lent: Option<usize>) -> Option<bool> {
        let (rank, twin) = (self.rank(active, at), 1 - active);
        let is_out = self.step.sides[active].out.is_some();
        if rank == 0 || !self.is_aligned() && !is_out {
            return None;
        }
        let takes_over = !self.is_aligned() && (self.relation == Relation::Offset || self.is_alike());
        if !self.is_aligned() && !takes_over {
            return None;
        }
        match if takes_over { self.continues(twin) } else { lent } {
            Some(copy) if self.rank(twin, copy) < rank => {
                if takes_over {
                    let reason = self.reason(active);
                    self.switch(twin, reason);
                    self.take(twin, copy);
                } else {
                    self.lend(twin, copy);
                }
                self.pass(active, at);
                Some(true)
            }
            Some(_) => None,
            None if self.step.sides[twin].out.is_none() && self.is_up(twin) => {
                let came = self.sides[active].came(at).unwrap_or(self.step.now);
                // Behind a side that is out nothing of its own is in a hurry.
                let late = if is_out { self.span() } else { self.grace() };
                // One that is short is early by what it lacks.
                let wait = late + self.sides[active].lacks(at).min(self.span());
                (!self.has_passed(came, wait)).then_some(false)
            }
            None => None,
        }
    }

    /// The place of a gap of the twin's that comes next in public, where the active side has left out what the twin has behind that, too.
    pub(super) fn gap_before(&mut self, (active, at): (usize, usize), twin: usize) -> Option<usize> {
        if !self.is_aligned() || self.is_next(active, at) {
            return None;
        }
        let gap = self.next_of(twin).filter(|gap| !self.sides[twin].is_here(*gap) && self.is_next(twin, *gap))?;
        let lines = &self.sides[twin];
        let copy = (gap..lines.version.lines.len()).find(|at| lines.is_here(*at))?;
        let after = self.sides[active].at(at)?.after(lines.at(copy)?, SideClock::Player)?;
        (after >= -JOINS).then_some(gap)
    }

    /// Whether some of the newest segments of both are the same, and nothing says that the others are not: one of them has begun just now.
    fn is_alike(&self) -> bool {
        let reach = i64::try_from((self.span() * NEAR).as_micros()).unwrap_or(i64::MAX);
        let [one, other] = &self.sides;
        self.relation != Relation::Foreign
            && in_common(&one.times, &other.times, self.clock, reach).is_some_and(|common| common > 0)
    }

    /// How long the active side's segment is waited for, which has not come, when its twin has a copy. One that is cut off is early by what it lacks,
    /// and the active side's has that: behind the last one of a twin that is over nothing is in a hurry.
    pub(super) fn wait_for_own(&self, (twin, copy): (usize, usize)) -> Duration {
        let lacks = self.sides[twin].lacks(copy).min(self.span());
        let late = match self.step.sides[twin].out {
            Some(_) if !lacks.is_zero() => self.span(),
            _ if self.standing.lent > 0 => Duration::ZERO,
            _ => self.grace(),
        };
        late + lacks
    }

    /// The next line of a side, if it is here and begins where public ends by the clock that both go by.
    fn continues(&mut self, side: usize) -> Option<usize> {
        let at = self.next_of(side)?;
        let line = self.sides[side].at(at).filter(|_| self.sides[side].is_here(at))?;
        line.follows(self.public.last()?, self.clock).then_some(at)
    }

    /// Whether the twin's copy of a line that the active side listed last, and that never came, may come yet: that is worth a target duration, and
    /// no more lines wait behind it.
    pub(super) fn awaits_copy(&mut self, active: usize) -> bool {
        let twin = 1 - active;
        let is_out = |side: usize| self.step.sides[side].out.is_some();
        if !self.is_aligned() || !is_out(active) || is_out(twin) || !self.is_up(twin) {
            return false;
        }
        let last = self.composer.list.lines.last().map_or(Duration::ZERO, |line| line.duration);
        let wait = last + self.span();
        !self.has_passed(self.composer.continuity.added, wait)
    }
}
