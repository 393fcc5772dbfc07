//! What an MPD says (ISO/IEC 23009-1): of itself, and of its representations, each with what it has from the elements around it.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use super::address::{AddressRoom, MAX_URI, fill, join, seat};
use super::fault::Fault;
use super::xsd::{MAX_SECONDS, duration};
use crate::model::clock::WallTime;

/// A manifest.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Manifest {
    /// It will change: `type="dynamic"`.
    pub dynamic: bool,
    /// When the presentation began, or begins.
    pub availability_start: Option<WallTime>,
    /// When nothing of it is available any more.
    pub availability_end: Option<WallTime>,
    /// How long it is, if that is known by now.
    pub presentation_duration: Option<Duration>,
    /// When this version was made.
    pub publish_time: Option<WallTime>,
    /// How often players ask for a new version.
    pub minimum_update_period: Option<Duration>,
    /// How far back players may go.
    pub time_shift_buffer_depth: Option<Duration>,
    /// The longest segment.
    pub max_segment_duration: Option<Duration>,
    /// The initialisation segments, each once: URIs relative to the manifest, with every base URL and identifier put in.
    pub initializations: Vec<String>,
    /// The representations of all periods, in their order.
    pub representations: Vec<Representation>,
    /// What is wrong with it, though it reads.
    pub faults: Vec<Fault>,
}

/// One encoding of a content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Representation {
    /// Its identifier.
    pub id: Arc<str>,
    /// The rate announced, in bits a second.
    pub bandwidth: Option<u64>,
    /// The codecs (RFC 6381), its own or its adaptation set's.
    pub codecs: Option<Arc<str>>,
    /// The template of its segments' URIs, relative to the manifest; `$Number$` and `$Time$` are left in it. The same text for all
    /// that have the same one.
    pub media: Option<Arc<str>>,
    /// How long a segment is, the longest of those listed: `@duration`, or `S@d` of the timeline (ISO/IEC 23009-1 5.3.9.2, 5.3.9.6).
    pub segment: Option<Duration>,
    /// The last segment of a list, for those that are not made of a template, relative to the manifest.
    pub newest: Option<String>,
    /// The period it is in, counted from 0.
    pub period: usize,
    /// How the segments of a template are called.
    pub numbering: Numbering,
}

/// How the segments of a template are numbered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Numbering {
    /// The number of the first one.
    first: u64,
    /// Those that are listed, where they are.
    timeline: Option<ListedTimes>,
    /// When the period begins, after the presentation does, if that is said.
    period_start: Option<Duration>,
}

impl Numbering {
    /// What the count begins with, and when.
    pub(super) const fn start(&self) -> (u64, Option<Duration>) {
        (self.first, self.period_start)
    }

    /// When the period begins that they are counted in, after the presentation does, if that is said.
    #[must_use]
    pub const fn period_start(&self) -> Option<Duration> {
        self.period_start
    }

    /// The numbers of the segments that there are, by what is said: where they are not listed, none is the last one.
    #[must_use]
    pub fn numbers(&self) -> Range<u64> {
        self.first..self.timeline.map_or(u64::MAX, |listed| self.first.saturating_add(listed.count))
    }

    /// Whether its segments are listed.
    pub(super) const fn is_listed(&self) -> bool {
        self.timeline.is_some()
    }

    /// How long the last one is, in ticks, where they are.
    pub(super) fn ticks(&self) -> Option<u64> {
        self.timeline.map(|listed| listed.ends - listed.last)
    }
}

/// The segments that a timeline lists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct ListedTimes {
    count: u64,
    /// When the last one begins, and when it ends, in ticks.
    last: u64,
    ends: u64,
}

impl ListedTimes {
    /// With these behind it; `None`: how many they are is not said.
    fn with(self, run: RunOfSegments) -> Option<Self> {
        let (more, each) = (u64::try_from(run.repeats).ok()?, run.each?);
        let begins = run.begins.unwrap_or(self.ends);
        let last = begins.checked_add(each.checked_mul(more)?)?;
        Some(Self { count: self.count.checked_add(more)?.checked_add(1)?, last, ends: last.checked_add(each)? })
    }
}

impl Representation {
    /// The name of its newest segment at that time, relative to the manifest: by the list or timeline that it has, else by the clock
    /// (ISO/IEC 23009-1 5.3.9.5.3). `None`: that can't be told, or there is none yet.
    #[must_use]
    pub fn newest_at(&self, manifest: &Manifest, now: WallTime) -> Option<String> {
        if let Some(newest) = &self.newest {
            return Some(newest.clone());
        }
        let template = self.media.as_deref()?;
        let (nth, time) = match self.numbering.timeline {
            Some(timeline) => (timeline.count.checked_sub(1)?, Some(timeline.last)),
            None => {
                let length = self.segment.filter(|length| !length.is_zero())?;
                let begins = manifest.availability_start? + self.numbering.period_start?;
                let whole = now.since(begins).as_nanos() / length.as_nanos();
                (u64::try_from(whole).ok()?.checked_sub(1)?, None)
            }
        };
        seat(template, self.numbering.first.checked_add(nth)?, time)
    }
}

impl Manifest {
    /// Takes up an attribute of the MPD element.
    pub(super) fn head(&mut self, name: &str, value: &str) {
        match name {
            "type" => self.dynamic = value == "dynamic",
            "availabilityStartTime" => self.availability_start = WallTime::parse(value),
            "availabilityEndTime" => self.availability_end = WallTime::parse(value),
            "mediaPresentationDuration" => self.presentation_duration = duration(value),
            "publishTime" => self.publish_time = WallTime::parse(value),
            "minimumUpdatePeriod" => self.minimum_update_period = duration(value),
            "timeShiftBufferDepth" => self.time_shift_buffer_depth = duration(value),
            "maxSegmentDuration" => self.max_segment_duration = duration(value),
            _ => {}
        }
    }
}

/// What is in force within an element: its own, and what it has from those around it. Texts are shared with those, for elements are
/// many and short.
#[derive(Clone, Debug, Default)]
pub(super) struct Inherited {
    base: Arc<str>,
    pub(super) has_base: bool,
    initialization: Option<Arc<str>>,
    media: Option<Arc<str>>,
    id: Arc<str>,
    bandwidth: Option<u64>,
    codecs: Option<Arc<str>>,
    pub(super) period: usize,
    /// When that begins, after the presentation does.
    start: Option<Duration>,
    /// Of these a second is made.
    timescale: Option<u64>,
    /// How many of them a segment lasts.
    ticks: Option<u64>,
    /// The same of the longest one that a timeline lists.
    longest: Option<u64>,
    /// The last one of a list, as it is written.
    newest: String,
    first_number: Option<u64>,
    timeline: Option<ListedTimes>,
    run: RunOfSegments,
}

/// Segments of one length, one after the other (ISO/IEC 23009-1 5.3.9.6).
#[derive(Clone, Copy, Debug, Default)]
struct RunOfSegments {
    begins: Option<u64>,
    each: Option<u64>,
    /// How many more there are; below zero: until the next run or the end of the period.
    repeats: i64,
}

impl Inherited {
    /// Takes up an attribute of a period, adaptation set or representation.
    pub(super) fn open(&mut self, name: &str, value: &str) {
        match name {
            "id" if value.len() <= MAX_URI => self.id = value.into(),
            "bandwidth" => self.bandwidth = value.parse().ok(),
            "codecs" if value.len() <= MAX_URI => self.codecs = Some(value.into()),
            // Of a period alone.
            "start" => self.start = duration(value),
            _ => {}
        }
    }

    /// An element begins that tells of segments: where they are, and how long.
    pub(super) fn segments(&mut self, element: &str) {
        match element {
            "SegmentTimeline" => (self.longest, self.timeline) = (None, Some(ListedTimes::default())),
            "S" => self.run = RunOfSegments::default(),
            _ => {}
        }
    }

    /// Takes up one of its attributes.
    pub(super) fn attribute(&mut self, element: &str, name: &str, value: &str) {
        let uri = || Some(value).filter(|uri| uri.len() <= MAX_URI);
        match (element, name) {
            ("SegmentTemplate", "initialization") | ("Initialization", "sourceURL") => {
                self.initialization = uri().map(Arc::from);
            }
            ("SegmentTemplate", "media") => self.media = uri().map(Arc::from),
            ("SegmentURL", "media") => {
                self.newest.clear();
                self.newest.push_str(uri().unwrap_or_default());
            }
            ("SegmentTemplate" | "SegmentList", "timescale") => self.timescale = value.parse().ok(),
            ("SegmentTemplate" | "SegmentList", "duration") => self.ticks = value.parse().ok(),
            ("SegmentTemplate", "startNumber") => self.first_number = value.parse().ok(),
            ("S", "d") => {
                self.run.each = value.parse().ok();
                self.longest = self.longest.max(self.run.each);
            }
            ("S", "t") => self.run.begins = value.parse().ok(),
            ("S", "r") => self.run.repeats = value.parse().unwrap_or(-1),
            _ => {}
        }
    }

    /// All of its attributes have been taken up.
    pub(super) fn segments_end(&mut self, element: &str) {
        if element == "S" {
            self.timeline = self.timeline.and_then(|timeline| timeline.with(self.run));
        }
    }

    /// How long a segment is.
    fn segment(&self) -> Option<Duration> {
        let timescale = self.timescale.unwrap_or(1);
        #[expect(clippy::cast_precision_loss, reason = "to a few nanoseconds is exact enough")]
        let seconds = self.longest.or(self.ticks)? as f64 / timescale as f64;
        (seconds > 0.0 && seconds <= MAX_SECONDS).then(|| Duration::from_secs_f64(seconds))
    }

    pub(super) fn set_base(&mut self, base: &str) {
        if !std::mem::replace(&mut self.has_base, true)
            && let Some(base) = join(&self.base, base)
        {
            self.base = base.into();
        }
    }

    fn newest(&self, room: &mut AddressRoom) -> Option<String> {
        let newest = Some(&self.newest).filter(|newest| !newest.is_empty())?;
        join(&self.base, newest).filter(|newest| room.take(newest.len()))
    }

    /// A representation has ended. `room`: this many bytes of addresses may be kept still.
    pub(super) fn close(self, manifest: &mut Manifest, room: &mut AddressRoom) {
        let representation = Representation {
            id: Arc::clone(&self.id),
            bandwidth: self.bandwidth,
            codecs: self.codecs.clone(),
            media: None,
            segment: self.segment(),
            newest: self.newest(room),
            period: self.period,
            numbering: Numbering {
                first: self.first_number.unwrap_or(1),
                timeline: self.timeline,
                // The first one begins with the presentation; of others nobody has said.
                period_start: self.start.or((self.period == 0).then_some(Duration::ZERO)),
            },
        };
        // Most have what the one before them had, and it says nothing of themselves: then it is not made again.
        let of = [Some(&self.base), self.initialization.as_ref(), self.media.as_ref()].map(|text| text.cloned());
        let names_itself = |uri: &Arc<str>| uri.contains("$RepresentationID") || uri.contains("$Bandwidth");
        let same = |(one, other): (&Option<Arc<str>>, &Option<Arc<str>>)| match (one, other) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (one, other) => one.is_none() && other.is_none(),
        };
        if room.last.as_ref().is_some_and(|last| last.iter().zip(&of).all(same))
            && let Some(last) = manifest.representations.last()
        {
            let media = last.media.clone();
            manifest.representations.push(Representation { media, ..representation });
            return;
        }
        let is_same_for_all = !self.initialization.iter().chain(&self.media).any(names_itself);
        room.last = is_same_for_all.then_some(of);
        let bandwidth = self.bandwidth.unwrap_or_default();
        let address = |uri: &Option<Arc<str>>| {
            uri.as_ref().and_then(|uri| join(&self.base, &fill(uri, &self.id, bandwidth))).filter(|uri| uri.len() <= MAX_URI)
        };
        let initialization = address(&self.initialization);
        // Periods repeat their representations.
        if let Some(initialization) = initialization
            && !manifest.initializations.iter().rev().take(64).any(|known| *known == initialization)
            && room.take(initialization.len())
        {
            manifest.initializations.push(initialization);
        }
        let last = manifest.representations.last().and_then(|last| last.media.as_ref());
        let media = address(&self.media).and_then(|media| match last.filter(|last| ***last == *media) {
            Some(last) => Some(Arc::clone(last)),
            None => room.take(media.len()).then(|| media.into()),
        });
        manifest.representations.push(Representation { media, ..representation });
    }
}

#[cfg(test)]
mod tests {
    use super::super::mpd::parse;
    use super::*;

    #[test]
    fn segments_have_numbers() {
        let numbers = |attributes: &str, inside: &str| {
            let text = format!(
                "<MPD><Period><AdaptationSet><SegmentTemplate media='$Number$' {attributes}>{inside}</SegmentTemplate><Representation/>\
                 </AdaptationSet></Period></MPD>"
            );
            parse(text.as_bytes()).unwrap().representations[0].numbering.numbers()
        };
        assert_eq!(numbers("duration='2'", ""), 1..u64::MAX);
        assert_eq!(numbers("duration='2' startNumber='0'", ""), 0..u64::MAX);
        assert_eq!(numbers("startNumber='7'", "<SegmentTimeline><S t='0' d='2' r='3'/><S d='1'/></SegmentTimeline>"), 7..12);
        assert_eq!(numbers("", "<SegmentTimeline></SegmentTimeline>"), 1..1);
        assert_eq!(
            numbers("", "<SegmentTimeline><S t='0' d='2' r='-1'/></SegmentTimeline>"),
            1..u64::MAX,
            "until something ends it"
        );
        let last = u64::MAX.to_string();
        assert_eq!(
            numbers(&format!("startNumber='{last}'"), "<SegmentTimeline><S d='2' r='3'/></SegmentTimeline>"),
            u64::MAX..u64::MAX
        );
    }

    #[test]
    fn the_newest_segment_has_a_name() {
        let newest = |template: &str, more: &str| {
            let text = format!(
                "<MPD type='dynamic' availabilityStartTime='2026-01-02T20:00:00Z'><Period start='PT10S'><AdaptationSet>\
                 <SegmentTemplate timescale='1000' {template}>{more}</SegmentTemplate><Representation id='v'/></AdaptationSet></Period></MPD>"
            );
            let manifest = parse(text.as_bytes()).unwrap();
            manifest.representations[0].newest_at(&manifest, WallTime::parse("2026-01-02T20:00:31Z").unwrap())
        };
        let timeline = |more: &str| format!("<SegmentTimeline>{more}</SegmentTimeline>");
        for (template, more, name) in [
            // Ten of two seconds have ended, and half of the next one has.
            ("duration='2000' media='$RepresentationID$-$Number$.m4s'", String::new(), Some("v-10.m4s")),
            ("duration='2000' startNumber='100' media='$Number%05d$.m4s'", String::new(), Some("00109.m4s")),
            ("duration='2000' startNumber='0' media='$Number$/$Number$.m4s'", String::new(), Some("9/9.m4s")),
            ("duration='30000' media='$Number$.m4s'", String::new(), None),
            ("duration='0' media='$Number$.m4s'", String::new(), None),
            ("media='$Number$.m4s'", String::new(), None),
            (
                "startNumber='7' media='$Number$-$Time%08d$.m4s'",
                timeline("<S t='500' d='2000' r='2'/><S d='1000'/>"),
                Some("10-00006500.m4s"),
            ),
            ("media='$Time$.m4s'", timeline("<S t='500' d='2000'/><S t='9000' d='2000' r='1'/>"), Some("11000.m4s")),
            ("media='$Time$.m4s'", timeline("<S t='500' d='2000' r='-1'/>"), None),
            ("media='$Time$.m4s'", timeline("<S t='18446744073709551615' d='2000'/>"), None),
            ("media='$Time$.m4s'", timeline(""), None),
            ("duration='2000' media='$Time$.m4s'", String::new(), None),
            ("duration='2000' media='$SubNumber$.m4s'", String::new(), None),
        ] {
            assert_eq!(newest(template, &more).as_deref(), name, "{template} {more}");
        }
    }
}
