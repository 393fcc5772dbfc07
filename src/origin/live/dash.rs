//! One MPD, followed from version to version as far as its health needs.
//!
//! It lives by its segments: by those that come under the names its templates give, or by those it lists. Where neither can be seen from
//! here, because they or those of one of its periods lead elsewhere, it lives by being written anew; and where it does not say that it is,
//! nothing is known of it, and it is not judged.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;

use super::left_out::NumberRun;
use super::names::ListedNames;
use super::numbered::{Numbered, NumberedTemplate, OLDER, period_bit};
use crate::hls::fault;
use crate::hls::mpd::Manifest;
use crate::model::clock::{Moment, Now, Pulse, WallTime};
use crate::model::event::EventKind;
use crate::model::id::Key;
use crate::model::liveness::{Standing, StandstillLimits};

/// How long a segment is taken to be where an MPD does not say.
const USUAL: Duration = Duration::from_secs(2);
/// The same where it can't be read.
const UNREAD: Duration = Duration::from_secs(10);
/// No segment counts as shorter: who makes shorter ones is not asked for them more often than that.
const SHORTEST: Duration = Duration::from_millis(500);
/// Initialisation segments of one MPD, the last of them: its last period is where it is live.
const NEEDS: usize = 1024;
/// After so many segments' time without any it has stood still, and all of it begins anew.
const STOOD_STILL: u32 = 3;
/// While its segments come, what an MPD needs is kept alive anew after this at the earliest.
const RENEWED_AFTER: Duration = Duration::from_secs(1);

/// An MPD, followed as far as its health needs.
#[derive(Debug)]
pub(super) struct Dash {
    pub(super) pulse: Arc<Pulse>,
    pub(super) period: Duration,
    pub(super) dynamic: bool,
    pub(super) updated: WallTime,
    pub(super) written: Moment,
    pub(super) expires: Moment,
    pub(super) needs: Vec<Key>,
    pub(super) standing: Standing,
    pub(super) told: Standing,
    pub(super) late_told: Option<Moment>,
    pub(super) last: Option<Key>,
    /// The names of its segments, where they are made of templates and it is live.
    pub(super) series: Vec<Series>,
    /// Segments that come are known by some of these names.
    pub(super) are_seen: bool,
    /// Neither its segments nor that it is written say that it goes on: it may stand as it is.
    may_stand: bool,
    /// When it begins, by what it says.
    starts: Option<WallTime>,
    /// Segments have come before that: by its clock it has begun.
    is_early: bool,
    /// When it ends, by what it says; and that is not to be changed any more.
    ends: Option<WallTime>,
    is_settled: bool,
    /// What shows that it goes on, where that is not its segments.
    sign: Option<u64>,
    /// The entity tag of the version that was written last.
    etag: Option<HeaderValue>,
    /// What is wrong with that one; or why it can't be read.
    pub(super) fault: Option<String>,
    /// Since when an initialisation segment is missed.
    pub(super) absent_since: Option<Moment>,
    /// Troubles that last.
    pub(super) troubles: Vec<EventKind>,
    /// It was heard before this process began: how it stands is not told before it changes.
    pub(super) is_past: bool,
    /// It was heard so, and which of its segments had come is still to be said.
    pub(super) is_unsettled: bool,
    renewed: Option<Moment>,
    /// Names of its segments that came again with other bytes.
    pub(super) names_reused: u64,
    /// Segments that it counts and that did not come.
    pub(super) gaps: u64,
}

/// The segments of a template.
#[derive(Clone, Debug)]
pub(super) struct Series {
    pub(super) numbered: Arc<Numbered>,
    /// How long one is.
    pub(super) segment: Option<Duration>,
    /// In which periods they are, a bit each.
    pub(super) periods: u64,
    /// They are known by their names when they come.
    pub(super) is_seen: bool,
    /// When the last one came, or since when it is known.
    pub(super) last: Moment,
    pub(super) has_come: bool,
    /// Which of them have come, where they are numbered.
    pub(super) run: NumberRun,
}

/// What follows from a segment that has come.
#[derive(Debug, Default)]
pub(super) struct SegmentNews {
    /// What the MPD needs is to be kept alive anew.
    pub(super) renews: bool,
    /// The numbers that it has left out, and how long a segment is.
    pub(super) left_out: (Range<u64>, Duration),
}

/// What following needs of a version of an MPD: made of it before any lock is taken, and bounded, whatever it says.
#[derive(Debug)]
pub(super) struct Sketch {
    pub(super) period: Duration,
    /// How often it is written anew, if it is said.
    rewritten: Option<Duration>,
    pub(super) dynamic: bool,
    pub(super) needs: Vec<Key>,
    pub(super) named: Vec<NumberedTemplate>,
    /// The periods in which there is anything.
    periods: u64,
    starts: Option<WallTime>,
    ends: Option<WallTime>,
    is_settled: bool,
    /// The segments that it lists last, as one number.
    listed: Option<u64>,
    etag: HeaderValue,
    /// What is wrong with it, though it reads.
    pub(super) fault: Option<String>,
}

impl Sketch {
    pub(super) fn of(names: &ListedNames<'_>, manifest: &Manifest, etag: &HeaderValue) -> Self {
        let needs = manifest.initializations.iter().rev().filter_map(|uri| names.key(uri)).take(NEEDS).collect();
        // What comes most often is what is missed first; but one period may have longer segments than another.
        let of_periods = manifest.representations.chunk_by(|one, other| one.period == other.period);
        let shortest = of_periods.filter_map(|of_one| of_one.iter().filter_map(|one| one.segment).min()).max();
        let period = shortest.or(manifest.max_segment_duration).or(manifest.minimum_update_period);
        let period = period.filter(|period| !period.is_zero()).map_or(USUAL, |period| period.max(SHORTEST));
        let named = if manifest.dynamic { Numbered::of(names, manifest) } else { Vec::new() };
        let mut listed = DefaultHasher::new();
        let newest = manifest.representations.iter().filter_map(|one| one.newest.as_ref());
        let count = newest.map(|newest| newest.hash(&mut listed)).count();
        Self {
            period,
            rewritten: manifest.minimum_update_period.filter(|period| !period.is_zero()),
            dynamic: manifest.dynamic,
            needs,
            named,
            periods: manifest.representations.iter().fold(0, |all, one| all | period_bit(manifest, one.period)),
            starts: manifest.availability_start,
            ends: length_ends(manifest).into_iter().chain(manifest.availability_end).min(),
            is_settled: length_ends(manifest).is_some(),
            listed: (count > 0).then(|| listed.finish()),
            etag: etag.clone(),
            fault: fault::words(&manifest.faults),
        }
    }

    /// Bytes of memory that are kept of it, about.
    pub(super) fn bytes(&self) -> usize {
        let names = self.needs.iter().map(|name| super::NAME_BYTES + name.as_str().len());
        names.chain(self.named.iter().map(|template| template.numbered.bytes())).sum()
    }
}

/// When it ends by its length, if it is not to be changed any more: then that is what it says (ISO/IEC 23009-1 5.3.1.2).
fn length_ends(manifest: &Manifest) -> Option<WallTime> {
    let is_settled = manifest.minimum_update_period.is_none();
    let length = manifest.presentation_duration.filter(|_| is_settled);
    manifest.availability_start.zip(length).map(|(start, length)| start + length)
}

impl Dash {
    pub(super) fn new(now: Now, expires: Moment) -> Self {
        Self {
            pulse: Arc::new(Pulse::new(now.moment)),
            period: USUAL,
            dynamic: true,
            updated: now.wall,
            written: now.moment,
            expires,
            needs: Vec::new(),
            standing: Standing::Live,
            told: Standing::Live,
            late_told: None,
            last: None,
            series: Vec::new(),
            are_seen: false,
            may_stand: false,
            starts: None,
            is_early: false,
            ends: None,
            is_settled: false,
            sign: None,
            etag: None,
            fault: None,
            absent_since: None,
            troubles: Vec::new(),
            is_past: false,
            is_unsettled: false,
            renewed: None,
            names_reused: 0,
            gaps: 0,
        }
    }

    /// Takes up a version.
    pub(super) fn follow(&mut self, version: &Sketch, now: Now) {
        let seen = self.series.iter().filter(|series| series.is_seen).fold(0, |all, series| all | series.periods);
        let lists = version.listed.filter(|_| seen == 0);
        let is_seen_whole = version.periods & !seen == 0 && seen != 0;
        let (period, sign) = if is_seen_whole || lists.is_some() {
            (version.period, lists)
        } else {
            let mut written = DefaultHasher::new();
            version.etag.hash(&mut written);
            (version.period.max(version.rewritten.unwrap_or_default()), Some(written.finish()))
        };
        self.may_stand = !is_seen_whole && lists.is_none() && version.rewritten.is_none();
        (self.ends, self.is_settled) = (version.ends, version.is_settled);
        self.expect_start(version.starts, now);
        if self.sign.is_some() && sign.is_some() && self.sign != sign {
            self.pulse.beat(now.moment);
            self.updated = now.wall;
        }
        (self.sign, self.period, self.dynamic) = (sign, period, version.dynamic);
        (self.written, self.needs) = (now.moment, version.needs.clone());
        (self.etag, self.fault) = (Some(version.etag.clone()), version.fault.clone());
    }

    /// Nothing is due before it begins. One that said so and begins earlier is due from then on.
    fn expect_start(&mut self, starts: Option<WallTime>, now: Now) {
        let waits = |starts: Option<WallTime>, is_early: bool| starts.filter(|starts| *starts > now.wall && !is_early);
        let has_waited = waits(self.starts, self.is_early).is_some();
        self.is_early &= self.starts == starts;
        self.starts = starts;
        match waits(starts, self.is_early) {
            Some(starts) => self.pulse.set(now.moment + starts.since(now.wall)),
            None if has_waited => self.pulse.set(now.moment),
            None => {}
        }
    }

    /// A version that can't be read: if it is another than the one before, the encoder is alive.
    pub(super) fn unread(&mut self, etag: &HeaderValue, now: Now) {
        if self.etag.is_none() {
            self.period = UNREAD;
        }
        if self.etag.as_ref().is_some_and(|before| before != etag) {
            self.pulse.beat(now.moment);
            self.updated = now.wall;
        }
        (self.written, self.etag) = (now.moment, Some(etag.clone()));
    }

    /// One of its segments has come, by the name of this template; `is_clear`: it is that of no other one.
    pub(super) fn came(&mut self, key: &Key, (by, is_clear): (&Arc<Numbered>, bool), now: Now) -> SegmentNews {
        if !self.dynamic || self.needs.contains(key) {
            return SegmentNews::default();
        }
        let mut left_out = 0..0;
        if now.moment.since(self.pulse.last()) > self.period * STOOD_STILL {
            // All of it stood still, and the one comes a moment before the other.
            self.series.iter_mut().for_each(|series| series.last = now.moment);
        }
        if !self.is_early && self.starts.is_some_and(|starts| starts > now.wall) {
            self.is_early = true;
            self.pulse.set(now.moment);
        }
        self.pulse.beat(now.moment);
        (self.updated, self.last) = (now.wall, Some(key.clone()));
        let mut length = self.period;
        if let Some(series) = self.series.iter_mut().find(|series| Arc::ptr_eq(&series.numbered, by)) {
            (series.last, series.has_come) = (now.moment, true);
            length = length.max(series.segment.unwrap_or_default());
            if !is_clear {
                series.run.blur();
            }
            // All of it stood still, and that was told.
            let was_told = matches!(self.told, Standing::Stale | Standing::Ended);
            let number = series.numbered.number(key);
            let behind = number.map(|number| series.run.came(number, now.moment, length.saturating_mul(STOOD_STILL)));
            left_out = behind.filter(|_| !was_told).unwrap_or_default();
        }
        let is_due = self.renewed.is_none_or(|renewed| now.moment.since(renewed) >= RENEWED_AFTER);
        if is_due {
            self.renewed = Some(now.moment);
        }
        SegmentNews { renews: is_due, left_out: (left_out, length) }
    }

    /// Whether this is one of its segments, by its numbers.
    pub(super) fn counts(&self, key: &Key) -> bool {
        self.series.iter().any(|series| series.numbered.number(key).is_some_and(|number| series.run.has(number)))
    }

    /// How often something new is due; `None`: it can't go stale.
    pub(super) fn due(&self) -> Option<Duration> {
        (self.dynamic && !self.may_stand && !self.is_settled).then_some(self.period)
    }

    /// When it ends, by what it says.
    pub(super) fn ends_at(&self, now: Now) -> Option<Moment> {
        self.ends.map(|ends| now.moment + ends.since(now.wall))
    }

    /// It has its end, by what it says.
    pub(super) fn has_ended(&self, now: Now) -> bool {
        let is_over = self.ends.is_some_and(|ends| now.wall >= ends);
        !self.dynamic || is_over && now.moment.since(self.pulse.last()) > self.period
    }

    /// How it stands now.
    pub(super) fn stands(&self, now: Now, limits: StandstillLimits) -> Standing {
        match () {
            () if self.has_ended(now) => Standing::Ended,
            () if self.may_stand => Standing::Live,
            () => limits.standing(now.moment.since(self.pulse.last()), self.period),
        }
    }

    /// A series of which nothing comes though it should: since it was due, others have come of periods that it is in as well. By the time
    /// alone nobody knows which period is on.
    pub(super) fn silent(&self, is_due: impl Fn(&Series) -> Duration) -> Option<&Series> {
        self.series.iter().filter(|series| series.is_seen).find(|silent| {
            let due = is_due(silent);
            let goes_on = |other: &Series| other.has_come && other.last.since(silent.last) > due;
            let is_of_its_periods = |other: &Series| other.periods & (OLDER | !silent.periods) == 0;
            self.series.iter().any(|other| goes_on(other) && is_of_its_periods(other))
        })
    }
}
