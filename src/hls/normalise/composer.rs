//! A list that goes on: what is new in a version is appended, what is beyond the window goes.

use std::sync::Arc;
use std::time::Duration;

use super::fit::{Fit, VersionJudge};
use super::list::{SegmentLine, SegmentList, rounded};
use super::{ComposeStep, Composed, Named, NamedPlace, VersionStanding, names, uri_of};
use crate::hls::in_force::{is_implied, with_vector};
use crate::hls::marks;
use crate::hls::playlist::attributes::attributes;
use crate::model::clock::WallTime;
use crate::model::continuity::{Continuity, CountedRun, MediaTime};
use crate::model::mended::Mended;

/// So many missing segments in a row are told as gaps; more are a break.
const MOST_GAPS: usize = 3;
/// How exactly media has to play on where the list did not, in milliseconds: a frame, and what a clock of 90 kHz and audio frames differ by.
const PLAYS_ON_MS: u64 = 60;
/// A list that begins counts its discontinuities from a number below this, another one every so many seconds: players keep time lines by it,
/// so that none may stand for two in one show. It has to be small: hls.js 1.7 goes over all numbers below it, again and again.
const FIRST_BREAKS: u64 = 4096;
const SECONDS_TO_A_BREAK: u64 = 16;
/// So many date ranges are known apart, and a change of one is looked for in so many lines before the one that is appended.
const RANGES: usize = 32;
const LINES_WITH_CHANGES: usize = 8;
/// The most lines of one list.
pub(super) const MOST_LINES: usize = 20_000;

/// A list in the making.
pub(super) struct Composer {
    pub(super) list: SegmentList,
    pub(super) continuity: Continuity,
    /// There was nothing before.
    is_first: bool,
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
        Self { list, continuity, is_first: false, mended: Vec::new(), again: None, came: Vec::new(), is_believed: false, ranges }
    }

    /// A list that begins now. Its numbers are the seconds of the clock (four a second, where segments are that short): whatever was
    /// listed before and is not known any more, none of them goes back.
    pub(super) fn begin(version: &SegmentList, now: WallTime) -> Self {
        let is_short = version.lines.iter().any(|line| line.duration < Duration::from_secs(1));
        let first = now.seconds() * if is_short { 4 } else { 1 };
        let list = SegmentList {
            first,
            breaks: now.seconds() / SECONDS_TO_A_BREAK % FIRST_BREAKS,
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
        Self { is_first: true, ..Self::on(list, continuity) }
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
        let is_missing = |at: usize| {
            let is_unmeasured = version.lines[at].is_unmeasured && named[at].lasts().is_none();
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
        if let Some(lasts) = named[at].lasts().filter(|_| std::mem::take(&mut line.is_unmeasured)) {
            line.last(lasts);
            self.mended.push(Mended::Length);
        }
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
            line.breaks &= joint != Joint::Lent;
            line.breaks |= joint != Joint::Flush && (is_other_map || !plays_on);
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
        self.tell_apart(&version.lines[..at], &mut line);
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
        // It needs none, and what is in force stays so.
        let last = self.list.lines.last();
        (line.map, line.keys) = last.map(|last| (last.map.clone(), last.keys.clone())).unwrap_or_default();
        line.date = line.date.or_else(|| last.filter(|_| !line.breaks).and_then(SegmentLine::ends));
        self.tell_apart(&version.lines[..at], &mut line);
        self.continuity.run.next = self.continuity.run.next.saturating_add(1);
        let micros = u64::try_from(line.duration.as_micros()).unwrap_or(u64::MAX);
        self.continuity.edge = self.continuity.edge.filter(|_| !line.breaks).map(|edge| edge.plus_micros(micros));
        self.mended.push(Mended::Gap);
        self.push(line, None);
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

    /// Date ranges of a line that is to be appended after these of its version. One whose ID stands for another moment in the list gets an
    /// ID of its own: none is used twice (RFC 8216bis 6.2.1). One that the encoder has changed in a line that is public already goes with
    /// this line (4.4.5.1).
    fn tell_apart(&self, before: &[SegmentLine], line: &mut SegmentLine) {
        let before = &before[before.len().saturating_sub(LINES_WITH_CHANGES)..];
        let public = || self.ranges.iter().map(String::as_str);
        let own_id = |text: &str| {
            let id = said(text, "ID")?;
            let is_other = |known: &str| said(known, "ID") == Some(id) && moment(known) != moment(text);
            let is_named_before =
                |known: &&str| moment(known) == moment(text) && said(known, "ID").is_some_and(|own| is_made_of(own, id));
            let new = public().find(is_named_before).and_then(|known| said(known, "ID")).map(str::to_owned);
            let new = new.or_else(|| public().any(is_other).then(|| format!("{id}~{}", self.list.end())))?;
            Some(text.replacen(&format!("ID=\"{id}\""), &format!("ID=\"{new}\""), 1))
        };
        let renamed: Vec<_> = line.date_ranges().take(RANGES).filter_map(|text| Some((text.to_owned(), own_id(text)?))).collect();
        for (old, new) in renamed {
            line.words = line.words.replace(&old, &new);
        }
        let mut carried = String::new();
        for text in before.iter().flat_map(SegmentLine::date_ranges).take(RANGES) {
            let text = own_id(text).unwrap_or_else(|| text.to_owned());
            let is_known = public().chain(line.date_ranges().take(RANGES)).any(|known| known == text);
            if !is_known && !carried.lines().any(|known| known == text) {
                carried.push_str(&text);
                carried.push('\n');
            }
        }
        line.words.insert_str(0, &carried);
    }

    pub(super) fn look_again(&mut self, after: Duration) {
        self.again = Some(self.again.map_or(after, |again| again.min(after)));
    }

    /// Lets go of what is beyond the window, and ends the list when its time has come.
    pub(super) fn finish(mut self, version: &SegmentList, step: &ComposeStep<'_>) -> Composed {
        self.trim();
        if let Some(ended) = self.continuity.ended.filter(|_| version.ended && !self.list.ended) {
            let (hold, since) = (step.end_hold.unwrap_or(self.span() * 3), step.now.since(ended));
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
        let mut dropped = 0;
        while let Some(line) = self.list.lines.get(dropped)
            && is_over(self.list.lines.len() - dropped, line, left)
        {
            left -= line.duration;
            dropped += 1;
        }
        if dropped == 0 {
            return;
        }
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
            let open = open.iter().filter(|range| !known.contains(&***range));
            let open = open.fold(String::new(), |text, range| text + range + "\n");
            first.words.insert_str(0, &open);
        }
    }
}

/// What a date range says under this name.
fn said<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    let (_, list) = line.split_once(':')?;
    attributes(list).find(|(known, _)| *known == name).map(|(_, value)| value)
}

/// Whether an ID is this one told apart.
fn is_made_of(own: &str, id: &str) -> bool {
    own.strip_prefix(id).is_some_and(|rest| rest.starts_with('~'))
}

/// When a date range begins.
fn moment(line: &str) -> Option<WallTime> {
    WallTime::parse(said(line, "START-DATE")?)
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
}
