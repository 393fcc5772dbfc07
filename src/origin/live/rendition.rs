//! One media playlist, followed from version to version.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;

use super::arrivals::Arrivals;
use super::clock_offset::ClockOffset;
use super::date_ranges::DateRanges;
use super::grown::ListedWhole;
use super::lines::{ComparedLines, Continuation};
use super::outline::{AnnouncedName, KnownVersion, Outline, RECENT};
use super::pace::Pace;
use super::segment::{Arrival, ListedSegment};
use crate::hls::fault::Wrong;
use crate::hls::history::Step;
use crate::model::clock::{Moment, Now, Pulse, WallTime};
use crate::model::event::EventKind;
use crate::model::id::Key;
use crate::model::liveness::{Standing, StandstillLimits};

/// What a target duration is taken for until a playlist has stated one.
const USUAL: Duration = Duration::from_secs(2);
/// The same where the playlist can't be read.
const UNREAD: Duration = Duration::from_secs(10);

/// What is known of a media playlist.
#[derive(Debug)]
pub(super) struct FollowedRendition {
    /// The longest target duration that was stated with one of the last segments: how long the next one may take.
    pub(super) target: Duration,
    /// The target duration that was stated last.
    pub(super) stated: Option<Duration>,
    pub(super) media_sequence: u64,
    /// What the newest version says of its last segments.
    pub(super) lines: ComparedLines,
    /// The entity tag of the version that was written last.
    etag: Option<HeaderValue>,
    /// That one could not be read.
    pub(super) is_unread: bool,
    /// It is of type EVENT.
    pub(super) is_event: bool,
    /// Its date ranges, where it offers updates without them.
    pub(super) date_ranges: DateRanges,
    /// All that it lists, if so.
    whole: Option<ListedWhole>,
    /// The media sequence number that the next whole segment will have.
    pub(super) next: u64,
    /// The partial segments of that next one that are there already.
    pub(super) parts: u64,
    /// How many partial segments the last whole ones had, by media sequence number.
    pub(super) whole_parts: VecDeque<(u64, u64)>,
    pub(super) part_target: Option<Duration>,
    pub(super) blocks: bool,
    pub(super) ended: bool,
    pub(super) pulse: Arc<Pulse>,
    /// When the last new segment was listed.
    pub(super) updated: WallTime,
    /// When the playlist was written last.
    pub(super) written: Moment,
    /// When the newest version was written: what is known of the stream is what that one says.
    pub(super) heard: Moment,
    pub(super) expires: Moment,
    pub(super) recent: VecDeque<ListedSegment>,
    /// The oldest segment it lists, and its number.
    pub(super) oldest: Option<(u64, Key)>,
    /// What has lower numbers than this was listed before it was followed, and is not known to have been here.
    pub(super) known_from: u64,
    /// When the version was written of which the oldest segment was first missed, as long as it is.
    pub(super) missed: Option<Moment>,
    /// A URI in it that leaves out a viewer's token in its own path.
    pub(super) away: Option<String>,
    /// Initialisation segments and content keys.
    pub(super) needs: Vec<Key>,
    /// The first of these are the initialisation segments, the newest one first.
    pub(super) maps: usize,
    /// Since when one of them is missed, and one of the keys.
    pub(super) absent_since: [Option<Moment>; 2],
    /// It was heard before this process began: how it stands is not told before it changes.
    pub(super) is_past: bool,
    /// Since when it is followed, or its encoder counts as it does.
    pub(super) begun: Moment,
    /// Since when it looks like a rendition of a stream whose multivariant playlist is not here.
    pub(super) alike_since: Option<Moment>,
    /// When anything was listed last that there is to play: no gap.
    media_listed: Moment,
    /// It was read, or another one of that stream was.
    pub(super) is_read: bool,
    /// Listed segments that never came, the last of them.
    pub(super) lost: VecDeque<Key>,
    /// How far what it lists reaches, against how long it has been listed.
    pub(super) pace: Pace,
    /// What it announces or lists in part, and waits for.
    pub(super) announced: Vec<AnnouncedName>,
    /// When the last segment ends, by EXT-X-PROGRAM-DATE-TIME.
    pub(super) edge: Option<WallTime>,
    /// How far our clock was past that end when it was listed.
    pub(super) clock_offset: ClockOffset,
    pub(super) standing: Standing,
    pub(super) told: Standing,
    pub(super) late_told: Option<Moment>,
    /// Troubles that last.
    pub(super) troubles: Vec<EventKind>,
    pub(super) counts: Counts,
    /// What is wrong with the version written last, in words; and where it could be read, which kinds of faults these are.
    pub(super) fault: Option<String>,
    pub(super) wrong: Vec<Wrong>,
}

/// What happened to it so far.
#[derive(Clone, Copy, Debug, Default, serde::Serialize)]
pub struct Counts {
    /// Segments, and parts of them, that were listed and did not come; of an MPD those that it counts.
    pub gaps: u64,
    /// Starts of a new count.
    pub counter_restarts: u64,
    /// Segment names that came again with other bytes.
    pub names_reused: u64,
    /// Older versions written over newer ones.
    pub sequence_back: u64,
    /// What versions said against the ones before them.
    pub contradictions: u64,
}

/// What a new version of the playlist brings.
#[derive(Debug)]
pub(super) struct News {
    /// How it stands to the one before it.
    pub(super) step: Step,
    /// Newly listed whole segments.
    pub(super) segments: Vec<ListedSegment>,
    pub(super) events: Vec<(EventKind, String)>,
    /// Whether anything a player waits for is new.
    pub(super) is_new: bool,
}

impl News {
    const fn new(step: Step) -> Self {
        Self { step, segments: Vec::new(), events: Vec::new(), is_new: false }
    }
}

impl FollowedRendition {
    pub(super) fn new(now: Now, expires: Moment) -> Self {
        Self {
            target: USUAL,
            stated: None,
            media_sequence: 0,
            lines: ComparedLines::default(),
            etag: None,
            is_unread: false,
            is_event: false,
            date_ranges: DateRanges::default(),
            whole: None,
            next: 0,
            parts: 0,
            whole_parts: VecDeque::new(),
            part_target: None,
            blocks: false,
            ended: false,
            pulse: Arc::new(Pulse::new(now.moment)),
            updated: now.wall,
            written: now.moment,
            heard: now.moment,
            expires,
            recent: VecDeque::new(),
            oldest: None,
            known_from: 0,
            missed: None,
            away: None,
            needs: Vec::new(),
            maps: 0,
            absent_since: [None; 2],
            is_past: false,
            begun: now.moment,
            alike_since: None,
            media_listed: now.moment,
            is_read: false,
            lost: VecDeque::new(),
            pace: Pace::default(),
            announced: Vec::new(),
            edge: None,
            clock_offset: ClockOffset::default(),
            standing: Standing::Live,
            told: Standing::Live,
            late_told: None,
            troubles: Vec::new(),
            counts: Counts::default(),
            fault: None,
            wrong: Vec::new(),
        }
    }

    /// Takes up a new version. `stored` tells the entity tag of what is stored under a key now.
    pub(super) fn follow(
        &mut self,
        version: &Outline,
        now: Now,
        first: bool,
        stored: impl Fn(&Key) -> Option<HeaderValue>,
        arrivals: &Arrivals,
    ) -> News {
        let mut news = News::new(if first { Step::Unknown } else { Step::On });
        let next = version.next;
        let mut known = if first { 0 } else { self.next };
        match version.comparison.continuation {
            _ if first => {}
            // Nothing of it can be told: what was known stands.
            _ if version.is_blank => {
                news.step = Step::Back;
                news.is_new = self.is_rewritten(&version.etag);
            }
            Continuation::Renumbered { from, by } if next >= self.next || !self.are_stored_again(version, arrivals) => {
                self.recent.iter_mut().for_each(|listed| listed.sequence = listed.sequence.saturating_add_signed(by));
                self.known_from = self.known_from.saturating_add_signed(by);
                news.step = Step::From { sequence: from, breaks: false };
                (known, news.is_new) = (from, next > from);
                news.events = self.contradictions(version);
            }
            _ if next < self.next => {
                let (kind, detail) = self.step_back(version, stored, arrivals);
                news.is_new = kind == EventKind::CounterRestart;
                news.step = if news.is_new { Step::Anew } else { Step::Back };
                known = if news.is_new { 0 } else { known };
                news.events.push((kind, detail));
            }
            Continuation::Replaced { from } => {
                self.recent.retain(|listed| listed.sequence < from);
                news.step = Step::From { sequence: from, breaks: true };
                (known, news.is_new) = (from, true);
                news.events = self.contradictions(version);
            }
            _ => {
                news.is_new = next > self.next;
                news.events = self.contradictions(version);
            }
        }
        news.segments = version.tail.iter().filter(|listed| listed.sequence >= known).cloned().collect();
        news.is_new |= first || (next == self.next && version.parts > self.parts) || version.has_end != self.ended;
        self.is_unread = version.is_blank;
        if version.is_blank && version.target.or(self.stated).is_none() {
            self.target = UNREAD;
        }
        self.etag = Some(version.etag.clone());
        if first || news.step == Step::Anew || !version.has_decimals {
            self.pace = Pace::begun();
        } else if news.step != Step::Back {
            let hole = version.media_sequence.saturating_sub(self.next);
            self.pace.go_on(now.moment, version.listed_since(known), self.target, hole);
        }
        if news.step == Step::Anew {
            (self.begun, self.known_from) = (now.moment, 0);
        }
        if news.step != Step::Back {
            self.take_over(version, now);
        }
        if news.is_new {
            self.updated = now.wall;
            self.pulse.beat(now.moment);
            // What a reader does not understand may be anything.
            if version.has_new_media || version.is_blank {
                self.media_listed = now.moment;
            }
        }
        news
    }

    /// A version that can't be read: what was known stands, and if it is another than the one before, the encoder is alive.
    pub(super) fn unread(&mut self, etag: &HeaderValue, now: Now) {
        if self.stated.is_none() {
            self.target = UNREAD;
        }
        if self.is_rewritten(etag) {
            self.updated = now.wall;
            self.pulse.beat(now.moment);
            self.media_listed = now.moment;
        }
        (self.is_unread, self.etag) = (true, Some(etag.clone()));
        self.wrong.clear();
    }

    fn is_rewritten(&self, etag: &HeaderValue) -> bool {
        self.etag.as_ref().is_some_and(|before| before != etag)
    }

    /// What the next version is held against.
    pub(super) fn known(&self) -> KnownVersion {
        KnownVersion { next: self.next, lines: Arc::clone(&self.lines), whole: self.whole }
    }

    fn take_over(&mut self, version: &Outline, now: Now) {
        self.heard = now.moment;
        self.stated = version.target.or(self.stated);
        // ffmpeg states the longest segment of those that it lists now: the next one may be as long as one that has left the list.
        let with_recent = self.recent.iter().map(|listed| listed.target).max().unwrap_or_default();
        self.target = self.stated.unwrap_or(self.target).max(with_recent);
        self.date_ranges.follow(version.date_ranges.as_ref(), now.moment);
        (self.is_event, self.whole) = (version.is_event, version.whole);
        self.lines = Arc::clone(&version.lines);
        self.media_sequence = version.media_sequence;
        (self.next, self.parts) = (version.next, version.parts);
        self.whole_parts.clone_from(&version.whole_parts);
        self.part_target = version.part_target;
        (self.blocks, self.ended) = (version.blocks, version.ended);
        self.needs.clone_from(&version.needs);
        self.away.clone_from(&version.away);
        self.maps = version.maps;
        self.oldest.clone_from(&version.oldest);
        self.edge = version.edge;
        self.clock_offset.note(now.wall, version.edge);
    }

    /// Keeps newly listed segments in mind.
    pub(super) fn remember(&mut self, segments: Vec<ListedSegment>) {
        self.recent.extend(segments);
        let surplus = self.recent.len().saturating_sub(RECENT);
        self.recent.drain(..surplus);
    }

    /// A segment that was listed before has come.
    pub(super) fn arrived(&mut self, key: &Key, arrival: &Arrival) {
        if let Some(listed) = self.recent.iter_mut().rev().find(|listed| listed.key == *key) {
            listed.arrived = Some(arrival.clone());
        }
    }

    /// A listed segment has not come.
    pub(super) fn lose(&mut self, key: &Key) {
        self.lost.push_back(key.clone());
        if self.lost.len() > RECENT {
            self.lost.pop_front();
        }
    }

    /// Whether it lists a segment still that has not come: players stop there, or find nothing to begin with.
    pub(super) fn lists_what_is_lost(&self) -> bool {
        let is_lost = |listed: &ListedSegment| listed.arrived.is_none() && self.lost.contains(&listed.key);
        !self.lost.is_empty() && self.recent.iter().any(|listed| listed.sequence >= self.media_sequence && is_lost(listed))
    }

    /// For how long it has grown by gaps alone (EXT-X-GAP), where that is as long as what makes one stale of which nothing comes.
    pub(super) fn gaps_alone(&self, stale_after: u32) -> Option<Duration> {
        let goes_on = matches!(self.standing, Standing::Live | Standing::Late);
        let grown = self.pulse.last().since(self.media_listed);
        (goes_on && grown > self.target.saturating_mul(stale_after)).then_some(grown)
    }

    /// How it stands now.
    pub(super) fn stands(&self, now: Moment, limits: StandstillLimits) -> Standing {
        if self.ended { Standing::Ended } else { limits.standing(now.since(self.pulse.last()), self.target) }
    }

    /// Bits a second over the segments kept in mind that have come.
    pub(super) fn bitrate(&self) -> Option<u64> {
        let (mut bits, mut seconds, mut count) = (0.0, 0.0, 0);
        for listed in self.recent.iter().filter(|listed| !listed.ranged) {
            if let Some(arrival) = &listed.arrived {
                #[expect(clippy::cast_precision_loss, reason = "segments are small")]
                let length = arrival.bytes as f64;
                (bits, seconds, count) = (bits + length * 8.0, seconds + listed.duration.as_secs_f64(), count + 1);
            }
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate is a positive whole number")]
        (count >= 3 && seconds > 0.0).then(|| (bits / seconds) as u64)
    }

    /// When the newest of the segments listed came.
    pub(super) fn last_arrival(&self) -> Option<Moment> {
        self.recent.iter().rev().find_map(|listed| Some(listed.arrived.as_ref()?.at))
    }

    /// Upload time over duration, of the last three segments that have come.
    pub(super) fn upload_ratio(&self) -> Option<f64> {
        let timed = self.recent.iter().rev().filter_map(|listed| {
            let took = listed.arrived.as_ref()?.took?;
            (!listed.duration.is_zero()).then(|| took.as_secs_f64() / listed.duration.as_secs_f64())
        });
        let last: Vec<f64> = timed.take(3).collect();
        #[expect(clippy::cast_precision_loss, reason = "three at most")]
        (!last.is_empty()).then(|| last.iter().sum::<f64>() / last.len() as f64)
    }

    /// How far the encoder's clock has moved against ours, in milliseconds, when that is too far; or how far its segments lie in our future.
    pub(super) fn clock_trouble(&self) -> Option<i64> {
        self.clock_offset.trouble_ms(self.target, self.standing == Standing::Live)
    }
}
