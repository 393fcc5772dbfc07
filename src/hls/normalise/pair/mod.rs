//! Two encoders, one list: of which side the next line is.
//!
//! Each side is a list of its own already, that goes on ([`super::step`]): lines are only appended to it. Here is decided, line by line,
//! which of them comes next in public. A pure step, as that of one side: what was composed before, both lists, what is stored of them and
//! the time -> what is composed now.
//!
//! *Active* is the side whose lines are taken as long as they come. The other, its twin, *lends* single segments where both are aligned,
//! and takes over where the active one is out: then without any mark where they are aligned, else behind a discontinuity.
//!
//! | file | duty |
//! | --- | --- |
//! | here | line by line |
//! | [`place`] | where each side goes on |
//! | [`instead`] | what is listed in place of a line that is damaged or cut off |
//! | [`takeover`] | with which line another side goes on |
//!
//! Invariants: those of one side. No segment stands in the list twice, and none that a sound copy was in time for is left out.

mod instead;
mod place;
mod takeover;

use std::time::Duration;

use super::agree::relation;
use super::apart::apart;
use super::composer::{Composer, Joint};
use super::list::SegmentList;
use super::relation::{AHEAD, IN_COMMON, JOINS, NEAR, Relation, SideClock, SideLines, TimedLine, skew, timed};
use super::sides::{PairComposed, PairSide, PairStep, SideOut, SideSwitch};
use super::{ComposeStep, Named, NamedPlace, SourceVersion, VersionStanding};
use crate::model::clock::WallTime;
use crate::model::continuity::{Continuity, PairStanding};
use crate::model::mended::SwitchReason;

/// So long the active side's copy is waited for at least when the twin's is here.
const LEAST_GRACE: Duration = Duration::from_millis(50);
/// A source of which nothing has come for so long, or for as many target durations as lie between two switches, does not hold up the end of the
/// other.
const GONE: Duration = Duration::from_secs(60);
/// Two switches are so many target durations apart, unless the active side is out.
const CALM: u32 = 10;

/// Takes a step. `None`: there is nothing to be listed yet.
#[must_use]
pub fn pair_step(before: Option<(&str, Continuity)>, step: &PairStep<'_>) -> Option<PairComposed> {
    let known = before.and_then(|(text, continuity)| Some((SegmentList::read(text).ok()?, continuity)));
    let empty = SegmentList::empty();
    let list_of = |side: usize| step.sides[side].list.map_or(&empty, |version| &version.0);
    let first = step.pin.filter(|pin| !list_of(*pin).lines.is_empty());
    let first = first.or_else(|| (0..2).find(|side| !list_of(*side).lines.is_empty()));
    // Two nodes may each remember another switch as the last one: what is newer in the list itself is the truth, or it would go to and fro.
    let gone = known.as_ref().and_then(|(_, continuity)| Some(continuity.pair?.switched));
    let together = step.together.filter(|(_, since)| gone.is_none_or(|gone| *since >= gone)).map(|(side, _)| side);
    let (composer, standing) = match known {
        Some((list, continuity)) => {
            let (switched, passed) = (continuity.added, [WallTime::default(); 2]);
            let standing = continuity.pair.unwrap_or(PairStanding { active: 0, lent: 0, switched, passed, seen: None });
            (Composer::on(list, continuity), standing)
        }
        None => {
            let active = first?;
            let (switched, passed) = (WallTime::default(), [WallTime::default(); 2]);
            let mut composer = Composer::begin(list_of(active), step.now, step.breaks);
            // What one source can't promise of its segments the list of both can't; later on it may not change (RFC 8216 6.2.1).
            composer.list.independent &= (0..2).all(|side| list_of(side).lines.is_empty() || list_of(side).independent);
            (composer, PairStanding { active, lent: 0, switched, passed, seen: None })
        }
    };
    let sides = [0, 1].map(|side| SideLines::of(list_of(side), side, step.sides[side].came, step.find));
    let span = Duration::from_secs(composer.list.target.max(1));
    let (own, clock) = relation(&sides[0].times, &sides[1].times, span * NEAR);
    let is_timeless = sides.iter().all(SideLines::is_timeless);
    let relation = step.others.filter(|_| !is_timeless).map_or(own, |others| own.max(others));
    let is_beside = is_timeless && step.others == Some(Relation::Aligned);
    let mut desk = PairDesk {
        step,
        composer,
        standing,
        sides,
        relation,
        clock,
        is_timeless,
        is_beside,
        together,
        public: Vec::new(),
        next: [None; 2],
        last: None,
        made: StepsMade::default(),
    };
    desk.public = timed(&desk.composer.list, None, step.find).1;
    desk.next = [0, 1].map(|side| desk.first_of(side));
    desk.run();
    desk.finish(own)
}

/// What a step has done so far.
#[derive(Default)]
struct StepsMade {
    taken: [u64; 2],
    borrowed: [u64; 2],
    switches: Vec<SideSwitch>,
}

struct PairDesk<'a, 's> {
    step: &'s PairStep<'a>,
    composer: Composer,
    standing: PairStanding,
    sides: [SideLines<'s>; 2],
    relation: Relation,
    clock: SideClock,
    /// Nothing tells when its segments begin.
    is_timeless: bool,
    /// So it is, and the renditions beside it go from side to side without a mark: a mark in this one alone would be another time line than theirs.
    is_beside: bool,
    /// The side that the others of the stream have gone to since this one went anywhere.
    together: Option<usize>,
    /// The newest public lines.
    public: Vec<TimedLine>,
    /// Of each side, the place of the first line that was not taken or passed over.
    next: [Option<usize>; 2],
    /// The side and place of the line that was taken last, if that is known.
    last: Option<(usize, usize)>,
    made: StepsMade,
}

impl PairDesk<'_, '_> {
    fn span(&self) -> Duration {
        Duration::from_secs(self.composer.list.target.max(1))
    }

    fn is_aligned(&self) -> bool {
        self.relation == Relation::Aligned
    }

    /// Whether a line is what comes next in public, by the clock that players see.
    fn is_next(&self, side: usize, at: usize) -> bool {
        let line = self.sides[side].at(at);
        line.zip(self.public.last()).is_some_and(|(line, end)| line.follows(end, SideClock::Player))
    }

    /// Whether a line of a side lies between what is public and a line of the other side, by the clock that players see.
    fn is_sooner(&self, (side, at): (usize, usize), (other, its): (usize, usize)) -> bool {
        let (line, its) = (self.sides[side].at(at), self.sides[other].at(its));
        let begins_behind = |line: &TimedLine, before: &TimedLine| {
            let reach = i64::try_from((self.span() * AHEAD).as_micros()).unwrap_or(i64::MAX);
            line.after(before, SideClock::Player).is_some_and(|after| (-JOINS..=reach).contains(&after))
        };
        let end = self.public.last();
        line.zip(end).is_some_and(|(line, end)| begins_behind(line, end))
            && line.zip(its).is_some_and(|(line, its)| begins_behind(its, line))
    }

    /// Takes a line of a side.
    fn take(&mut self, side: usize, at: usize) {
        let is_flush = at.checked_sub(1).map(|before| (side, before)) == self.last && at > 0;
        let joint = match is_flush {
            true => Joint::Flush,
            false if self.is_beside => Joint::Beside,
            false => Joint::Lent,
        };
        let lines = &self.sides[side];
        let find = |uri: &str| Named { plain: uri.to_owned(), place: NamedPlace::Elsewhere };
        let version = SourceVersion(SegmentList::empty());
        let compose = compose_step(&version, &find, self.step);
        if lines.is_here(at) {
            self.composer.line(lines.version, &lines.named, at, joint, &compose);
            self.made.taken[side] += 1;
        } else {
            self.composer.gap(lines.version, &lines.named, at);
        }
        if let Some(line) = lines.at(at) {
            self.public.push(*line);
        }
        self.pass(side, at);
        self.last = Some((side, at));
    }

    fn switch(&mut self, to: usize, reason: SwitchReason) {
        self.standing = PairStanding { active: to, lent: 0, switched: self.step.now, ..self.standing };
        self.made.switches.push(SideSwitch { to, reason, number: self.composer.list.end() });
    }

    fn reason(&self, side: usize) -> SwitchReason {
        match self.step.sides[side].out {
            Some(SideOut::Ended) => SwitchReason::Ended,
            Some(SideOut::Deleted) => SwitchReason::Deleted,
            None => SwitchReason::Stalled,
        }
    }

    /// How bad a line is: of one that is shorter than those before it an encoder may have made no more, because it was told to end.
    fn rank(&self, side: usize, at: usize) -> u8 {
        self.sides[side].rank(at).max(u8::from(!self.sides[side].lacks(at).is_zero()))
    }

    /// How long the active side's copy is waited for.
    fn grace(&self) -> Duration {
        let rhythm = || {
            let apart = skew(&self.sides[0].times, &self.sides[1].times, SideClock::Player).unwrap_or_default();
            (apart * 3 / 2).clamp(LEAST_GRACE, (self.span() / 4).max(LEAST_GRACE))
        };
        self.step.grace.unwrap_or_else(rhythm)
    }

    /// Whether so long has passed since; else it is looked at again then.
    fn has_passed(&mut self, since: WallTime, wait: Duration) -> bool {
        let passed = self.step.now.since(since);
        if passed < wait {
            self.composer.look_again(wait - passed);
        }
        passed >= wait
    }

    fn run(&mut self) {
        let wanted = self.step.pin.map(|pin| (pin, SwitchReason::Pinned));
        let wanted = wanted.or(self.together.map(|side| (side, SwitchReason::Together)));
        if let Some((to, reason)) = wanted.filter(|(to, _)| *to != self.standing.active) {
            self.go_to(to, reason);
            if to != self.standing.active && self.is_worth_waiting(to) {
                return;
            }
        } else if self.step.pin.is_none() {
            self.go_back();
        }
        let most = self.sides.iter().map(|side| side.version.lines.len()).sum::<usize>() + 1;
        for _ in 0..most {
            if !self.advance() {
                break;
            }
        }
    }

    /// Appends a line, if there is one to be appended now.
    fn advance(&mut self) -> bool {
        let active = self.standing.active;
        let twin = 1 - active;
        let (own, copy) = (self.next_of(active), self.next_of(twin));
        let copy = copy.filter(|at| self.is_aligned() && self.sides[twin].is_here(*at));
        let lent = copy.filter(|at| self.is_next(twin, *at));
        if let Some(at) = own.filter(|at| self.sides[active].is_here(*at)) {
            // It has left something out that the twin has, or some of it.
            let sooner = copy.filter(|copy| self.is_sooner((twin, *copy), (active, at)));
            if let Some(copy) = lent.filter(|_| !self.is_next(active, at)).or(sooner) {
                self.lend(twin, copy);
                return true;
            }
            if let Some(gap) = self.gap_before((active, at), twin) {
                self.take(twin, gap);
                return true;
            }
            if let Some(is_done) = self.take_instead((active, at), lent) {
                return is_done;
            }
            self.take(active, at);
            self.standing.lent = 0;
            return true;
        }
        if let Some(copy) = lent {
            // Not here: the active side's may be on its way, unless it did not come in time before.
            let is_out = self.step.sides[active].out.is_some();
            let wait = if own.is_some() || is_out { Duration::ZERO } else { self.wait_for_own((twin, copy)) };
            let came = self.sides[twin].came(copy).unwrap_or(self.step.now);
            if !self.has_passed(came, wait) {
                return false;
            }
            self.lend(twin, copy);
            if let Some(gap) = own {
                self.next[active] = Some(gap + 1);
            }
            let is_silent = self.is_silent(active);
            let is_calm = is_silent || self.step.now.since(self.standing.switched) >= self.span() * CALM;
            let is_pinned = self.step.pin == Some(active) && !is_silent;
            if is_out || self.standing.lent >= 2 && is_calm && !is_pinned {
                let reason = self.reason(active);
                self.switch(twin, reason);
            }
            return true;
        }
        if let Some(gap) = own {
            if self.awaits_copy(active) {
                return false;
            }
            self.take(active, gap);
            return true;
        }
        self.take_over(active, twin)
    }

    fn lend(&mut self, side: usize, at: usize) {
        self.take(side, at);
        self.made.borrowed[side] += 1;
        self.standing.lent = self.standing.lent.saturating_add(1);
    }

    /// Whether nothing of a side has come for longer than it is waited for, wanted or not.
    fn is_silent(&self, side: usize) -> bool {
        self.last_heard(side).is_some_and(|came| self.step.now.since(came) >= self.span() * 4)
    }

    /// When something of a side came last. Of segments that have expired or made room since, or that lie elsewhere, nothing is known but when
    /// their lines were added.
    fn last_heard(&self, side: usize) -> Option<WallTime> {
        self.sides[side].newest().or(self.step.sides[side].added)
    }

    /// Whether nothing more is to come of a side, where the other one has ended.
    fn is_over(&mut self, side: usize) -> bool {
        let PairSide { out, list, .. } = &self.step.sides[side];
        if out.is_some() || list.is_none() {
            return true;
        }
        // An encoder that was killed tells nobody that it is over.
        let gone = (self.span() * CALM).max(GONE);
        self.last_heard(side).is_some_and(|came| self.has_passed(came, gone))
    }

    /// Whether segments of a side have come of late.
    fn is_up(&self, side: usize) -> bool {
        self.sides[side].newest().is_some_and(|came| self.step.now.since(came) <= self.span() * 2)
    }

    /// Whether a side has neither lost nor damaged one of its last few segments.
    fn is_well(&self, side: usize) -> bool {
        let (lines, known) = (&self.sides[side], self.sides[side].version.lines.len());
        let is_sound = |at: usize| lines.is_here(at) && lines.rank(at) == 0;
        known >= IN_COMMON && (known - IN_COMMON..known).all(is_sound) && self.is_up(side) && self.step.sides[side].out.is_none()
    }

    fn finish(mut self, own: Relation) -> Option<PairComposed> {
        if self.composer.list.lines.is_empty() {
            return None;
        }
        let has_end = self.step.sides.iter().any(|side| side.out == Some(SideOut::Ended));
        let is_ended = has_end && [0, 1].into_iter().all(|side| self.is_over(side));
        let continuity = &mut self.composer.continuity;
        continuity.ended = is_ended.then(|| continuity.ended.unwrap_or(self.step.now));
        continuity.window = self.step.sides.iter().map(|side| side.window).fold(continuity.window, u64::max);
        continuity.heard = self.step.now;
        continuity.pair = Some(self.standing);
        let next = [0, 1].map(|side| {
            let list = self.sides[side].version;
            let at = self.next[side].filter(|_| self.step.sides[side].list.is_some())?;
            Some(list.first.saturating_add(at as u64))
        });
        let (newest, skew) =
            ([0, 1].map(|side| self.sides[side].newest()), skew(&self.sides[0].times, &self.sides[1].times, self.clock));
        let well = [0, 1].map(|side| self.is_well(side));
        let apart = apart(&self.sides[0].times, &self.sides[1].times, (own, self.clock), self.span() * NEAR);
        let (relation, apart) = if self.is_beside { (Relation::Aligned, None) } else { (own, apart) };
        let is_timeless = self.is_timeless;
        let Self { step, composer, standing, made, .. } = self;
        let composed = composer.finish(is_ended, (step.now, step.end_hold));
        let StepsMade { taken, borrowed, switches } = made;
        Some(PairComposed {
            composed,
            next,
            relation,
            is_timeless,
            apart,
            active: standing.active,
            taken,
            borrowed,
            switches,
            newest,
            skew,
            well,
        })
    }
}

/// The names in a side's list are public ones already: nothing is to be found.
fn compose_step<'a>(version: &'a SourceVersion, find: &'a dyn Fn(&str) -> Named, step: &PairStep<'_>) -> ComposeStep<'a> {
    let (now, end_hold) = (step.now, step.end_hold);
    ComposeStep { version, heard: now, standing: VersionStanding::Believed, find, now, end_hold, least: 0, breaks: None }
}
