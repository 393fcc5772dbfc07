//! With which line another side goes on: where that costs nothing, or as little as can be.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::super::agree::relation;
use super::super::relation::{AHEAD, JOINS, NEAR, Relation, SAME_LENGTH, SideClock, TimedLine};
use super::{CALM, PairDesk};
use crate::model::clock::WallTime;
use crate::model::mended::SwitchReason;

impl PairDesk<'_, '_> {
    /// Goes to a side that is wanted, where that costs no more than it must.
    pub(super) fn go_to(&mut self, to: usize, reason: SwitchReason) {
        if self.step.sides[to].out.is_some() || !self.is_up(to) {
            return;
        }
        if self.is_aligned() {
            self.switch(to, reason);
        } else if let Some(at) = self.entry(to).or_else(|| self.entry_of_late(to)) {
            self.switch(to, reason);
            self.take(to, at);
        }
    }

    /// Whether a side that is wanted goes on soon with what costs less than what it has now. The active side's next line waits for that.
    ///
    /// Of one that has nothing in common with public its newest line came just after public ended, so that its next one has what comes then. One
    /// that goes by the same clock has to have a line that begins where public ends or after: as long as the active side's next one is listed
    /// first, each time, it never has.
    pub(super) fn is_worth_waiting(&mut self, to: usize) -> bool {
        let Some((newest, came, length)) = self.comes_regularly(to) else { return false };
        let is_awaited = match self.relation {
            Relation::Aligned => false,
            Relation::Offset | Relation::Shifted if !self.is_far_behind(to) => {
                self.catches_up(to).is_some_and(|at| at <= self.latest())
            }
            Relation::Offset | Relation::Shifted | Relation::Foreign => {
                came >= self.composer.continuity.added && !self.is_since_end(to, newest)
            }
        };
        is_awaited && !self.has_passed(came, length * 3 / 2)
    }

    /// Of a side that is up its newest line, when that came and how long it is.
    fn comes_regularly(&self, side: usize) -> Option<(usize, WallTime, Duration)> {
        let lines = &self.sides[side];
        let newest = lines.version.lines.len().checked_sub(1)?;
        let came = lines.came(newest).filter(|_| self.step.sides[side].out.is_none() && self.is_up(side))?;
        Some((newest, came, lines.version.lines[newest].duration))
    }

    /// When the first line of a side comes that begins where public ends or after, if it goes on as it does.
    fn catches_up(&self, side: usize) -> Option<WallTime> {
        let (newest, came, length) = self.comes_regularly(side)?;
        let line = self.sides[side].at(newest)?;
        let ahead = line.after(self.public.last()?, self.clock)?.saturating_add(line.micros);
        let behind = ahead.saturating_neg().saturating_sub(JOINS);
        let micros = u64::try_from(length.as_micros()).ok().filter(|micros| *micros > 0)?;
        let more = u64::try_from(behind).unwrap_or(0).div_ceil(micros) + 1;
        Some(came + length * u32::try_from(more).ok()?)
    }

    /// When the next public line has to come at the latest: players are three target durations behind.
    fn latest(&self) -> WallTime {
        let last = self.composer.list.lines.last().map_or(Duration::ZERO, |line| line.duration);
        self.composer.continuity.added + last + self.span() * 2
    }

    /// Whether a side is so far behind public, by a clock that both go by, that viewers can't wait for it. One that makes up for what it has missed
    /// is waited for: its lines come faster than they play.
    fn is_far_behind(&self, side: usize) -> bool {
        let Some((newest, ..)) = self.comes_regularly(side) else { return false };
        let lines = &self.sides[side];
        let comes_as_it_plays = |at: usize| {
            let came = lines.came(at).zip(lines.came(at.checked_sub(1)?));
            let length = lines.version.lines[at].duration;
            // Behind a pause more may come at once.
            came.map(|(came, before)| came.since(before)).map(|apart| apart * 2 > length && apart < length * 2)
        };
        let is_steady = || (0..3).all(|back| newest.checked_sub(back).and_then(comes_as_it_plays) == Some(true));
        self.catches_up(side).is_some_and(|at| at > self.latest()) && is_steady()
    }

    /// The line of a side that is far behind: it came since public ended, and what lies between is shown again.
    fn entry_of_late(&self, side: usize) -> Option<usize> {
        let is_by_clock = matches!(self.relation, Relation::Offset | Relation::Shifted);
        let (newest, ..) = self.comes_regularly(side).filter(|_| is_by_clock && self.is_far_behind(side))?;
        (self.sides[side].is_here(newest) && self.is_since_end(side, newest)).then_some(newest)
    }

    /// Goes back to the side that is preferred and has been well for long enough, where that costs nothing.
    pub(super) fn go_back(&mut self) {
        let is_calm = self.step.now.since(self.standing.switched) >= self.span() * CALM;
        if let Some(to) = self.step.back.filter(|to| *to != self.standing.active && self.is_aligned() && is_calm) {
            self.go_to(to, SwitchReason::Returned);
        }
    }

    /// The active side has nothing, and the twin can't lend: it takes over, when it is time.
    pub(super) fn take_over(&mut self, active: usize, twin: usize) -> bool {
        if self.step.sides[twin].out.is_some() && self.next_of(twin).is_none() || self.sides[twin].version.lines.is_empty() {
            return false;
        }
        let is_out = self.step.sides[active].out.is_some();
        let last = self.composer.list.lines.last().map_or(self.span(), |line| line.duration);
        let patience = if self.step.pin == Some(active) { self.span() * 3 } else { self.span() };
        if !is_out && !self.is_silent(active) && !self.has_passed(self.composer.continuity.added, last + patience) {
            return false;
        }
        let Some(at) = self.entry(twin) else { return false };
        let reason = self.reason(active);
        self.switch(twin, reason);
        self.take(twin, at);
        true
    }

    /// The line of a side that public can go on with: the first that begins where public ends, or after, by a clock that both go by; else
    /// the newest; of one that has nothing in common with public the first that came since that ended.
    fn entry(&self, side: usize) -> Option<usize> {
        let lines = &self.sides[side];
        // Where it stands is known when it has been public, or passed over, before.
        let is_behind = self.standing.passed[side] > WallTime::default();
        let from = self.next[side].filter(|_| is_behind).map_or(lines.from, |next| next.max(lines.from));
        // Encoders that count from 0 have the same times again and again: what fits by the clock and is old is of the past, where no more than
        // that fits.
        let ended = self.public.last().and_then(|line| Some(line.known?.at));
        let is_old = |at: usize| lines.came(at).zip(ended).is_some_and(|(came, ended)| ended.since(came) > self.span() * 2);
        let is_new = |at: &usize| lines.is_here(*at) && (self.relation <= Relation::Offset || !is_old(*at));
        let all = || (from..lines.version.lines.len()).filter(is_new);
        let Some(end) = self.public.last() else { return all().next_back() };
        let reach = i64::try_from((self.span() * AHEAD).as_micros()).unwrap_or(i64::MAX);
        // It may play on as if nothing were, however little is known of both.
        if let Some(at) = all().find(|at| lines.at(*at).is_some_and(|line| line.follows(end, SideClock::Player))) {
            return Some(at);
        }
        let late = self.step.now.since(self.composer.continuity.added);
        // Of the other side there may be nothing any more but what is public.
        let (relation, clock) = match self.relation {
            Relation::Foreign => relation(&lines.times, &self.public, self.span() * NEAR),
            known => (known, self.clock),
        };
        if relation != Relation::Foreign {
            let is_within = |at: usize, reach: RangeInclusive<i64>| {
                lines.at(at).and_then(|line| line.after(end, clock)).is_some_and(|after| reach.contains(&after))
            };
            if let Some(at) = all().find(|at| is_within(*at, -JOINS..=reach)) {
                return Some(at);
            }
            // What is not here yet is worth waiting for.
            if late < self.span() * 4 && all().any(|at| is_within(at, -reach..=-JOINS)) {
                return None;
            }
        }
        // Of what is public with a part of it the whole has come too late, however long there has been nothing else.
        let is_copy = |at: &usize| lines.at(*at).is_some_and(|line| line.begins_as(end, clock));
        if relation == Relation::Foreign {
            // Encoders that count from 0 have the same times for other pictures: one that is no longer is another one.
            let is_whole = |at: &usize| {
                let begins = |line: &TimedLine| line.begins_as(end, clock) || line.begins_with(end, SideClock::Content);
                lines.at(*at).is_some_and(|line| begins(line) && line.micros > end.micros + SAME_LENGTH)
            };
            return all().find(|at| self.is_since_end(side, *at) && !is_whole(at));
        }
        let newest = all().next_back().filter(|at| !is_copy(at))?;
        // By one clock, what lies in the past may be in the list by the other side's name: only what came long after is new.
        let is_since = lines.came(newest).is_none_or(|came| came >= self.composer.continuity.added + self.span() * 2);
        is_since.then_some(newest)
    }

    /// Of a side that has nothing in common with what is public nobody knows what of a line was shown before but by when it came: of one that
    /// came when public ended, all; of one that came when the next would have, nothing.
    fn is_since_end(&self, side: usize, at: usize) -> bool {
        let lines = &self.sides[side];
        let half = lines.version.lines[at].duration / 2;
        lines.came(at).is_none_or(|came| came >= self.composer.continuity.added + half)
    }
}
