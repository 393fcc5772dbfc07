//! A list that goes on: what is new in a version is appended, what is beyond the window goes.

use std::sync::Arc;
use std::time::Duration;

use super::first::{FirstBreaks, first_breaks};
use super::fit::{Fit, VersionJudge};
use super::list::{SegmentLine, SegmentList, rounded};
use super::ranges::{RANGES, tell_apart};
use super::{ComposeStep, Composed, Named, NamedPlace, VersionStanding, names, uri_of};
use crate::hls::in_force::{is_implied, with_vector};
use crate::hls::marks;
use crate::model::clock::WallTime;
use crate::model::continuity::{Continuity, CountedRun, MediaTime};
use crate::model::mended::Mended;

/// So many missing segments in a row are told as gaps; more are a break.
const MOST_GAPS: usize = 3;
/// How exactly media has to play on where the list did not, in milliseconds: a frame, and what a clock of 90 kHz and audio frames differ by.
const PLAYS_ON_MS: u64 = 60;
/// The most lines of one list.
pub(super) const MOST_LINES: usize = 20_000;
/// And bytes of them, about, the newest line's apart: versions of a few lines each may have megabytes of words before each line, and lists are
/// held whole and read anew at each step.
pub(super) const MOST_BYTES: usize = 8 << 20;

/// A list in the making.
pub(super) struct Composer {
    pub(super) list: SegmentList,
    pub(super) continuity: Continuity,
    /// There was nothing before.
    is_first: bool,
    /// Where it begins, and its newest segment is to have this discontinuity sequence number.
    last_breaks: Option<u64>,
    mended: Vec<Mended>,
    again: Option<Duration>,
    /// When the segments of the lines came that were added.
    came: Vec<Option<WallTime>>,
    is_believed: bool,
    /// The newest date ranges of the list.
    ranges: Vec<String>,
}

impl Composer {
    pub(super) fn on(list: SegmentList, continuity: Continuity) -> Self {
        let ranges = list.lines.iter().rev().flat_map(SegmentLine::date_ranges).take(RANGES).map(str::to_owned).collect();
        Self {
            list,
            continuity,
            is_first: false,
            last_breaks: None,
            mended: Vec::new(),
            again: None,
            came: Vec::new(),
            is_believed: false,
            ranges,
        }
    }

    /// A list that begins now. Its numbers are the seconds of the clock (four a second, where segments are that short): whatever was
    /// listed before and is not known any more, none of them goes back.
    pub(super) fn begin(version: &SegmentList, now: WallTime, breaks: Option<FirstBreaks>) -> Self {
        let is_short = version.lines.iter().any(|line| line.duration < Duration::from_secs(1));
        let first = now.seconds() * if is_short { 4 } else { 1 };
        let list = SegmentList {
            first,
            breaks: if let Some(FirstBreaks::At(breaks)) = breaks { breaks } else { first_breaks(now) },
            lines: Vec::new(),
            others: version.others.clone(),
            ended: false,
            ..*version
        };
        let run = CountedRun { first, counted: version.first, next: version.first };
        let continuity = Continuity {
            run,
            before: None,
            window: 0,
            added: now,
            heard: now,
            since: WallTime::from_millis(0),
            ended: None,
            edge: None,
            pair: None,
        };
        let last_breaks = if let Some(FirstBreaks::UpTo(breaks)) = breaks { Some(breaks) } else { None };
        Self { is_first: true, last_breaks, ..Self::on(list, continuity) }
    }

    fn span(&self) -> Duration {
        Duration::from_secs(self.list.target)
    }

    /// Takes up what is new in a version. `None`: the list would be empty.
    pub(super) fn take(&mut self, version: &SegmentList, named: &[Named], step: &ComposeStep<'_>) -> Option<()> {
        let is_believed = step.standing == VersionStanding::Believed;
        let judged = VersionJudge { list: &self.list, continuity: &self.continuity, version, named, now: step.now, is_believed };
        let fit = if self.is_first { Fit::Anew { from: 0, is_hole: false } } else { judged.fit() };
        match fit {
            Fit::On { from } => {
                self.hear(version, step);
                self.append(version, named, from, Joint::Flush, step);
            }
            Fit::Anew { from, is_hole } => {
                let before = self.continuity;
                if !is_hole && !self.is_first {
                    // What was stored before that is of an earlier run.
                    self.continuity.since = before.added;
                }
                self.append(version, named, from, Joint::Anew { is_hole }, step);
                if !self.came.is_empty() && !self.is_first {
                    self.continuity.before = if is_hole { before.before } else { Some(before.run) };
                    self.mended.push(if is_hole { Mended::Hole } else { Mended::Restart });
                }
                if !self.came.is_empty() {
                    self.hear(version, step);
                } else {
                    self.continuity = before;
                }
            }
            Fit::Back if step.is_new() => self.mended.push(Mended::Back),
            Fit::TwoWriters => {
                let next = version.end();
                self.continuity.before =
                    self.continuity.before.map(|before| CountedRun { next: before.next.max(next), ..before });
                if step.is_new() {
                    self.mended.push(Mended::TwoWriters);
                }
            }
            Fit::Back => {}
        }
        (!self.list.lines.is_empty()).then_some(())
    }

    /// A version is believed.
    fn hear(&mut self, version: &SegmentList, step: &ComposeStep<'_>) {
        self.is_believed = true;
        let continuity = &mut self.continuity;
        continuity.heard = continuity.heard.max(step.heard);
        if version.lines.len() > MOST_LINES && continuity.window < MOST_LINES as u64 {
            self.mended.push(Mended::Long);
        }
        continuity.window = continuity.window.max(version.lines.len().clamp(step.least, MOST_LINES) as u64);
        continuity.ended = version.ended.then(|| continuity.ended.unwrap_or(step.now));
        self.list.version = self.list.version.max(version.version);
        self.list.independent &= version.independent;
    }

    /// Appends what is here of a version from this line on, in order, and what is missing between as gaps.
    fn append(&mut self, version: &SegmentList, named: &[Named], from: usize, mut joint: Joint, step: &ComposeStep<'_>) {
        let (since, waits) = (self.continuity.since, self.span().saturating_sub(step.now.since(step.heard)));
        // Its name is written over soon: a playlist comes before its newest segment with some encoders.
        let is_of_before = |named: &Named| {
            matches!(&named.place, NamedPlace::Here(stored) if stored.at <= since && since <= step.now) && !waits.is_zero()
        };
        let longest = self.span() * 10;
        let is_missing = |at: usize| {
            let is_unmeasured = version.lines[at].is_unmeasured && named[at].lasts(longest).is_none();
            named[at].place == NamedPlace::Absent || is_unmeasured || is_of_before(&named[at])
        };
        if named.iter().skip(from).any(is_of_before) {
            self.look_again(waits);
        }
        let mut at = from;
        while at < version.lines.len() {
            let Some(next) = (at..named.len()).find(|&at| !is_missing(at)) else { break };
            if next > at && !self.list.lines.is_empty() {
                // A later one is here: that before it may be on its way still.
                if let NamedPlace::Here(stored) = &named[next].place {
                    let (waits, waited) = (self.span() / 2, step.now.since(stored.at));
                    if waited < waits {
                        self.look_again(waits - waited);
                        break;
                    }
                }
                if joint == Joint::Flush && next - at <= MOST_GAPS {
                    (at..next).for_each(|at| self.gap(version, named, at));
                } else if joint == Joint::Flush {
                    joint = Joint::Anew { is_hole: true };
                    self.mended.push(Mended::Hole);
                }
            }
            self.line(version, named, next, joint, step);
            joint = Joint::Flush;
            at = next + 1;
        }
    }

    /// Appends a line whose segment is here.
    pub(super) fn line(&mut self, version: &SegmentList, named: &[Named], at: usize, joint: Joint, step: &ComposeStep<'_>) {
        let (mut line, counted, number) = (version.lines[at].clone(), version.first.saturating_add(at as u64), self.list.end());
        if let Some(lasts) = named[at].lasts(self.span() * 10).filter(|_| std::mem::take(&mut line.is_unmeasured)) {
            line.last(lasts);
            self.mended.push(Mended::Length);
        }
        self.note_misdated(&mut line);
        let (came, begins) = match &named[at].place {
            NamedPlace::Here(stored) => {
                line.uri.clone_from(&stored.uri);
                (Some(stored.at), stored.begins.map(|begins| (begins, stored.ticks)))
            }
            _ => {
                line.uri.clone_from(&named[at].plain);
                (None, None)
            }
        };
        line.map = line.map.map(|(map, clear)| (step.mapped(&map), clear));
        line.keys = line.keys.map(|keys| {
            let key = |tag: &Arc<str>| {
                let tag = step.mapped(tag);
                // It means the number that it has at its source.
                if is_implied(&tag) && counted != number { Arc::from(with_vector(&tag, counted)) } else { tag }
            };
            keys.iter().map(key).collect()
        });
        let plays_on = self.continuity.edge.zip(begins).is_some_and(|(edge, (begins, _))| edge.is_near(begins, PLAYS_ON_MS));
        if let Some(last) = self.list.lines.last() {
            let is_other_map = last.map != line.map && last.map.is_some();
            let is_same_name = last.map.as_ref().zip(line.map.as_ref()).is_some_and(|((one, _), (other, _))| {
                let plain = |list: &str| uri_of(list).map(|uri| names::plain(uri).into_owned());
                plain(one) == plain(other)
            });
            if is_other_map && is_same_name && !line.breaks && joint == Joint::Flush {
                line.breaks = true;
                self.mended.push(Mended::Map);
            }
            line.breaks &= !matches!(joint, Joint::Lent | Joint::Beside);
            line.breaks |= !joint.is_unmarked() && (is_other_map || !plays_on);
            let follows = last.ends();
            if line.date.is_none() && !line.breaks {
                line.date = follows;
            } else if line.date.is_none() && self.list.lines.iter().any(|line| line.date.is_some()) {
                // Dates in all or in none: of one that has none, once, by the clock.
                let left: Duration = version.lines[at..].iter().map(|line| line.duration).sum();
                line.date = Some(follows.map_or(step.now - left, |follows| follows.max(step.now - left)));
            }
        }
        let run = &mut self.continuity.run;
        if joint != Joint::Flush || run.next != counted {
            *run = CountedRun { first: number, counted, next: counted };
        }
        run.next = counted.saturating_add(1);
        tell_apart((&self.ranges, number), &version.lines[..at], &mut line);
        self.dates(&mut line, &version.lines[at..], step.now);
        self.continuity.added = self.continuity.added.max(step.now);
        self.continuity.edge = begins.map(|(begins, ticks)| MediaTime { ticks: begins.ticks.saturating_add(ticks), ..begins });
        self.push(line, came);
    }

    /// Appends a gap for a segment that did not come.
    pub(super) fn gap(&mut self, version: &SegmentList, named: &[Named], at: usize) {
        let mut line = version.lines[at].clone();
        line.uri.clone_from(&named[at].plain);
        if !std::mem::replace(&mut line.gap, true) {
            line.words.push_str("#EXT-X-GAP\n");
        }
        if std::mem::take(&mut line.is_unmeasured) {
            self.mended.push(Mended::Length);
        }
        self.note_misdated(&mut line);
        // It needs none, and what is in force stays so.
        let last = self.list.lines.last();
        (line.map, line.keys) = last.map(|last| (last.map.clone(), last.keys.clone())).unwrap_or_default();
        let follows = last.and_then(SegmentLine::ends);
        // Behind a break by the clock, where the list has dates, as any other line.
        let left: Duration = version.lines[at..].iter().map(|line| line.duration).sum();
        let by_clock = follows.map(|follows| follows.max(self.continuity.added - left));
        line.date = line.date.or(if line.breaks { by_clock } else { follows });
        tell_apart((&self.ranges, self.list.end()), &version.lines[..at], &mut line);
        self.dates(&mut line, &version.lines[at..], self.continuity.added);
        self.continuity.run.next = self.continuity.run.next.saturating_add(1);
        let micros = u64::try_from(line.duration.as_micros()).unwrap_or(u64::MAX);
        self.continuity.edge = self.continuity.edge.filter(|_| !line.breaks).map(|edge| edge.plus_micros(micros));
        self.mended.push(Mended::Gap);
        self.push(line, None);
    }

    /// Where there are date ranges, there is a date (RFC 8216 4.3.2.7): where the encoder has none, by the clock, of this line and those of its
    /// version that follow it.
    fn dates(&self, line: &mut SegmentLine, from: &[SegmentLine], now: WallTime) {
        let is_undated = |line: &SegmentLine| line.date.is_none();
        if line.date_ranges().next().is_some() && is_undated(line) && self.list.lines.iter().all(is_undated) {
            let begins = now - from.iter().map(|line| line.duration).sum();
            line.words.insert_str(0, &format!("#EXT-X-PROGRAM-DATE-TIME:{begins}\n"));
            (line.date, line.is_dated) = (Some(begins), true);
        }
    }

    fn note_misdated(&mut self, line: &mut SegmentLine) {
        if std::mem::take(&mut line.is_misdated) {
            self.mended.push(Mended::Date);
        }
    }

    fn push(&mut self, line: SegmentLine, came: Option<WallTime>) {
        let length = rounded(line.duration);
        if length > self.list.target {
            self.list.target = length;
            if !self.is_first {
                self.mended.push(Mended::Target);
            }
        }
        self.ranges.extend(line.date_ranges().map(str::to_owned));
        self.ranges.drain(..self.ranges.len().saturating_sub(RANGES));
        self.list.lines.push(line);
        self.list.ended = false;
        self.came.push(came);
    }

    pub(super) fn look_again(&mut self, after: Duration) {
        self.again = Some(self.again.map_or(after, |again| again.min(after)));
    }

    /// Lets go of what is beyond the window, and ends the list when its time has come. `is_over`: nothing that was heard since says that it goes on.
    pub(super) fn finish(mut self, is_over: bool, (now, end_hold): (WallTime, Option<Duration>)) -> Composed {
        self.trim();
        if let Some(last) = self.last_breaks {
            let breaks = self.list.lines.iter().filter(|line| line.breaks).count();
            self.list.breaks = last.saturating_sub(breaks as u64);
        }
        if let Some(ended) = self.continuity.ended.filter(|_| is_over && !self.list.ended) {
            let (hold, since) = (end_hold.unwrap_or(self.span() * 3), now.since(ended));
            if since >= hold {
                self.list.ended = true;
            } else {
                self.look_again(hold - since);
            }
        }
        let standing = if self.is_believed { VersionStanding::Believed } else { VersionStanding::PassedOver };
        let Self { list, continuity, mended, again, came, .. } = self;
        Composed { text: list.text(), continuity, mended, again, came, standing }
    }

    /// Drops the oldest lines: as many stay as the longest version had, and three target durations (RFC 8216 6.2.2).
    fn trim(&mut self) {
        let least = self.span() * 3;
        let mut left = self.list.duration();
        let window = usize::try_from(self.continuity.window).unwrap_or(MOST_LINES).clamp(1, MOST_LINES);
        let is_over = |count: usize, line: &SegmentLine, left: Duration| {
            count > window && left.saturating_sub(line.duration) >= least || count > MOST_LINES
        };
        let mut bytes = self.list.lines.iter().map(SegmentLine::bytes).sum::<usize>();
        let (mut dropped, mut is_cut) = (0, false);
        while let Some(line) = self.list.lines.get(dropped) {
            let count = self.list.lines.len() - dropped;
            let is_too_long = bytes > MOST_BYTES && count > 1;
            if !is_over(count, line, left) && !is_too_long {
                break;
            }
            is_cut |= is_too_long;
            left -= line.duration;
            bytes -= line.bytes();
            dropped += 1;
        }
        if dropped == 0 {
            return;
        }
        self.mended.extend(is_cut.then_some(Mended::Long));
        let rest = self.list.lines.split_off(dropped);
        let gone = std::mem::replace(&mut self.list.lines, rest);
        self.list.first += gone.len() as u64;
        // Of the first line its own break is counted as well: it stands there no more.
        let breaks = gone[1..].iter().chain(self.list.lines.first()).filter(|line| line.breaks).count();
        self.list.breaks += breaks as u64;
        if let Some(first) = self.list.lines.first_mut() {
            first.breaks = false;
            let begins = first.date;
            let ranges: Vec<Arc<str>> = gone.iter().flat_map(SegmentLine::date_ranges).map(Arc::from).collect();
            let open = marks::open_date_ranges(ranges.iter(), begins.unwrap_or(WallTime::from_millis(0)));
            let known = first.words.clone();
            // Of those that never end not all that there ever were, or the list would grow for as long as it lives: the newest.
            let open = open[open.len().saturating_sub(RANGES)..].iter().filter(|range| !known.contains(&***range));
            let open = open.fold(String::new(), |text, range| text + range + "\n");
            first.words.insert_str(0, &open);
        }
    }
}

/// How a line joins on to the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Joint {
    /// As it does at its source.
    Flush,
    /// It begins a count of its own.
    Anew {
        /// The source has left numbers out, and counts on.
        is_hole: bool,
    },
    /// It is of another source than the one before it, or not the next one there: whether it plays on tell its bytes.
    Lent,
    /// The same of what tells no times, beside renditions that play on there.
    Beside,
}

impl Joint {
    /// Whether nothing but its source puts a mark before it.
    fn is_unmarked(self) -> bool {
        matches!(self, Self::Flush | Self::Beside)
    }
}
