//! Where each side goes on: behind what of it was listed, or passed over because viewers had its time already.

use super::PairDesk;
use crate::hls::normalise::agree::relation;
use crate::hls::normalise::relation::{AHEAD, LOOKED_AT, NEAR, Relation, SAME_LENGTH, SideClock, TimedLine};
use crate::model::clock::WallTime;

impl PairDesk<'_, '_> {
    /// Where a side goes on: where it stood, or behind the last of its lines that is public.
    pub(super) fn first_of(&mut self, side: usize) -> Option<usize> {
        let list = self.sides[side].version;
        let is_public =
            |uri: &str| self.composer.list.lines.iter().rev().take(LOOKED_AT).any(|line| !line.gap && line.uri == uri);
        if let Some(next) = self.step.sides[side].next {
            let next = usize::try_from(next.saturating_sub(list.first)).unwrap_or(usize::MAX);
            // Another node may have listed it before it was in this one's list of the side.
            let is_shown = |at: &usize| is_public(&list.lines[*at].uri) && self.has_passed_by(side, *at);
            let next = (next..list.lines.len()).rev().find(is_shown).map_or(next, |at| at + 1);
            let is_last = next > 0
                && self.composer.list.lines.last().zip(list.lines.get(next - 1)).is_some_and(|(one, own)| one.uri == own.uri);
            if is_last {
                self.ends_with(side, next - 1);
            }
            return Some(next);
        }
        let public = list.lines.iter().rposition(|line| !line.gap && is_public(&line.uri));
        if let Some(at) = public.max(self.passed(side)) {
            if self.composer.list.lines.last().is_some_and(|line| line.uri == list.lines[at].uri) {
                self.ends_with(side, at);
            }
            return Some(at + 1);
        }
        let Some(end) = self.public.last() else { return Some(0) };
        // By the clock, where that is the same.
        let reach = i64::try_from((self.span() * AHEAD).as_micros()).unwrap_or(i64::MAX);
        let lines = &self.sides[side];
        let clock = if self.relation == Relation::Foreign { SideClock::Player } else { self.clock };
        let goes_on = |line: &TimedLine| line.after(end, clock).is_some_and(|after| after.abs() <= reach);
        if lines.times.last().is_some_and(goes_on) {
            // Of what can be read no more the time may not be known.
            let is_next = |line: &TimedLine| line.after(end, clock).is_some() && !line.is_within(end, clock);
            return Some(lines.from + lines.times.iter().position(is_next).unwrap_or(lines.times.len()));
        }
        Some(if side == self.standing.active { 0 } else { list.lines.len() })
    }

    /// The newest public line is that one of a side: of the active one, where it is of both, whose segments may have the same bytes.
    fn ends_with(&mut self, side: usize, at: usize) {
        if self.last.is_none() || side == self.standing.active {
            self.last = Some((side, at));
        }
    }

    /// The next line of a side: what public has the time of already is passed over, where both go by one clock.
    pub(super) fn next_of(&mut self, side: usize) -> Option<usize> {
        let mut at = self.next[side]?;
        // The other side may be known by nothing but what is public.
        let by = match self.relation {
            Relation::Foreign => relation(&self.sides[side].times, &self.public, self.span() * NEAR),
            known => (known, self.clock),
        };
        let tells = by.0 <= Relation::Offset || self.relation == Relation::Shifted;
        let end = self.public.last().filter(|_| tells).copied();
        let is_past = |at: usize| {
            let Some((end, line)) = end.zip(self.sides[side].at(at).copied()) else { return false };
            // Of what is public already a damaged copy may begin or end elsewhere.
            let is_damaged_copy = self.is_aligned() && self.sides[side].rank(at) > 0 && line.is_over(&end, self.span());
            // And of one that is public with a part of it, the whole has come too late.
            let is_longer = by.0 == Relation::Aligned && line.micros > end.micros + SAME_LENGTH;
            let is_copy = (self.is_aligned() || is_longer) && line.begins_with(&end, SideClock::Player);
            line.is_past(&end, by, self.span()) || is_damaged_copy || is_copy
        };
        let mut past = Vec::new();
        while is_past(at) || self.sides[side].is_gone(at) {
            past.extend(Some(at).filter(|at| is_past(*at)));
            at += 1;
        }
        past.into_iter().for_each(|at| self.pass(side, at));
        self.next[side] = Some(at);
        (at < self.sides[side].version.lines.len()).then_some(at)
    }

    /// The place of the newest line of a side that is behind viewers: by when it came, for of what has left the public list no more is known.
    fn passed(&self, side: usize) -> Option<usize> {
        (0..self.sides[side].version.lines.len()).rev().find(|at| self.has_passed_by(side, *at))
    }

    /// Whether a line of a side came no later than the newest that is behind viewers.
    fn has_passed_by(&self, side: usize, at: usize) -> bool {
        let passed = self.standing.passed[side];
        // Where the clock was set back nothing is known of that.
        let is_known = passed > WallTime::default() && passed <= self.step.now;
        is_known && self.sides[side].came(at).is_some_and(|came| came <= passed)
    }

    /// A line of a side is behind viewers, taken or passed over.
    pub(super) fn pass(&mut self, side: usize, at: usize) {
        self.next[side] = Some(at + 1);
        if let Some(came) = self.sides[side].came(at) {
            let passed = &mut self.standing.passed[side];
            *passed = came.max(*passed);
        }
    }
}
