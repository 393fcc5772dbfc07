//! How a version stands to what was composed before.

use std::collections::HashSet;
use std::time::Duration;

use super::list::{SegmentLine, SegmentList};
use super::{Named, NamedPlace, names};
use crate::model::clock::WallTime;
use crate::model::continuity::{Continuity, CountedRun};

/// Lengths that are closer are the same, written otherwise.
const SAME: Duration = Duration::from_millis(10);
/// A second writer's next version is at most so many segments further.
const WRITES_ON: u64 = 16;

/// How it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// It goes on; from this of its lines on it is new.
    On { from: usize },
    /// It counts anew, or has left numbers out; from this of its lines on it is new.
    Anew { from: usize, is_hole: bool },
    /// It is older than what is known.
    Back,
    /// It is another encoder's, which wrote before the present one.
    TwoWriters,
}

/// What is judged by what.
#[derive(Clone, Copy)]
pub(super) struct VersionJudge<'a> {
    pub(super) list: &'a SegmentList,
    pub(super) continuity: &'a Continuity,
    pub(super) version: &'a SegmentList,
    /// What is stored of its lines.
    pub(super) named: &'a [Named],
    pub(super) now: WallTime,
    /// It was believed before.
    pub(super) is_believed: bool,
}

impl VersionJudge<'_> {
    pub(super) fn fit(&self) -> Fit {
        let (run, first, end) = (self.continuity.run, self.version.first, self.version.end());
        let common = self.common(run);
        let agrees = common.iter().all(|(line, at)| self.is_same(line, *at, !self.is_believed));
        let on = Fit::On { from: usize::try_from(run.next.saturating_sub(first)).unwrap_or(usize::MAX) };
        let is_anothers = || common.is_empty() && self.continuity.before.is_some_and(|before| self.is_as_it_was(before));
        if agrees && end >= run.next && (!common.is_empty() || first <= run.next) && !is_anothers() {
            return on;
        }
        if let Some(before) = self.continuity.before
            && self.is_second_writers(before)
        {
            return Fit::TwoWriters;
        }
        let from = self.last_public();
        match () {
            () if agrees && end < run.next => {
                if self.is_stored_again() {
                    Fit::Anew { from, is_hole: false }
                } else {
                    Fit::Back
                }
            }
            () if agrees => Fit::Anew { from, is_hole: true },
            // A version that was believed is not judged again by what has been stored since: names are overwritten before a playlist says so.
            () if self.is_believed && !self.is_stored_again() => Fit::Back,
            () => Fit::Anew { from, is_hole: false },
        }
    }

    /// The public lines of a count that the version has numbers for, each with its place in the version.
    fn common(&self, run: CountedRun) -> Vec<(&SegmentLine, usize)> {
        let numbers = self.version.first.max(run.counted)..self.version.end().min(run.next);
        let public = |number: u64| {
            let line = self.list.at(run.first.checked_add(number - run.counted)?)?;
            Some((line, usize::try_from(number - self.version.first).ok()?))
        };
        numbers.filter_map(public).collect()
    }

    /// Whether a line of the version is that public line. By its bytes too, where they are known and that is asked.
    fn is_same(&self, public: &SegmentLine, at: usize, by_bytes: bool) -> bool {
        let (named, line) = (&self.named[at], &self.version.lines[at]);
        let is_its_name = public.uri == named.plain || names::plain(&public.uri) == named.plain;
        let is_as_long = line.is_unmeasured || public.duration.abs_diff(line.duration) <= SAME;
        let is_named_so = is_its_name && is_as_long;
        let has_other_bytes = match &named.place {
            NamedPlace::Here(stored) => by_bytes && !public.gap && stored.uri != public.uri,
            _ => false,
        };
        is_named_so && !has_other_bytes
    }

    /// Whether it is the next version of who wrote before, while the present one goes on.
    fn is_second_writers(&self, before: CountedRun) -> bool {
        let (first, end) = (self.version.first, self.version.end());
        let is_next = first <= before.next && end >= before.next && end - before.next <= WRITES_ON;
        let span = Duration::from_secs(self.list.target) * 3 / 2;
        let goes_on = self.now.since(self.continuity.added) < span;
        is_next && goes_on && self.common(self.until_now(before)).iter().all(|(line, at)| self.is_same(line, *at, false))
    }

    /// Whether it lists lines of that count, and these are what they were then: nothing of it is of the count that came after.
    fn is_as_it_was(&self, before: CountedRun) -> bool {
        let common = self.common(self.until_now(before));
        let is_old = |at: usize| match &self.named[at].place {
            NamedPlace::Here(stored) => stored.at <= self.continuity.since,
            NamedPlace::Absent | NamedPlace::Elsewhere => true,
        };
        !common.is_empty() && common.iter().all(|(line, at)| is_old(*at) && self.is_same(line, *at, true))
    }

    /// That count as far as it is listed: up to where the present one began.
    fn until_now(&self, before: CountedRun) -> CountedRun {
        let listed = self.continuity.run.first.saturating_sub(before.first);
        CountedRun { next: before.next.min(before.counted.saturating_add(listed)), ..before }
    }

    /// Whether any of its segments has been stored since the newest version was heard, and is not what that brought.
    fn is_stored_again(&self) -> bool {
        let since = self.continuity.heard.max(self.continuity.added);
        // Where the clock was set back nothing is known of that.
        let is_since = |at: WallTime| at > since || since > self.now;
        self.named.iter().any(|named| matches!(&named.place, NamedPlace::Here(stored) if is_since(stored.at)))
    }

    /// The place behind the last of its lines that is public already: by its bytes, if they were not stored again since.
    fn last_public(&self) -> usize {
        let public: HashSet<&str> = self.list.lines.iter().map(|line| &*line.uri).collect();
        let is_public = |named: &Named| match &named.place {
            NamedPlace::Here(stored) => stored.at <= self.continuity.added && public.contains(&*stored.uri),
            NamedPlace::Absent => false,
            NamedPlace::Elsewhere => public.contains(&*named.plain),
        };
        self.named.iter().rposition(is_public).map_or(0, |at| at + 1)
    }
}
