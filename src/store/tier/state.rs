//! What is decided about a tier: what it holds, what it is to be told, what a reader finds where. A pure structure; the lock around it
//! is [`super`]'s.
//!
//! Invariants: a key that is on its way to being removed is absent, whatever the index says. A version that could not be kept waiting
//! takes the older one in the tier with it: a name never goes back to an older version.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use ahash::RandomState;

use super::clock::Steadiness;
use super::doubt::Doubts;
use super::given_up::GivenUp;
use super::index::{Index, OVERHEAD, Slot, cost};
use super::journal::Lines;
use super::overrun::Overrun;
use super::queue::{Change, ChangeEnd, Queue, Turn};
use super::room::Room;
use super::{Ack, Options};
use crate::metrics::DurableMetrics;
use crate::model::clock::{Clock, Moment, WallTime};
use crate::model::id::Key;
use crate::store::Entry;
use crate::store::cold::Attributes;

/// How often a playlist of an encoder's is written, at most: what is rewritten every second or two need not be on disk for each of them.
const REWRITE_EVERY: Duration = Duration::from_secs(1);

/// Where an object is found, past the hot store.
#[derive(Clone, Debug)]
pub(super) enum Spot {
    /// It waits to be written.
    Waiting(Arc<Entry>),
    /// The tier has it.
    There(Slot),
    /// Nobody has it.
    Absent,
    /// The tier has to be asked: what it holds is not known yet.
    Unknown,
}

#[derive(Debug)]
pub(super) struct TierState {
    pub(super) index: Index,
    pub(super) queue: Queue,
    pub(super) options: Options,
    /// Whether the index names everything the tier holds.
    pub(super) is_complete: bool,
    /// Whether it was looked at in vain.
    pub(super) is_look_failing: bool,
    /// What the tier has given a wrong answer about.
    pub(super) doubts: Doubts,
    /// How many objects of a later version's form a look at everything has found, and how many have been met since.
    later: (u64, u64),
    /// Whether there may be objects that the index can't name: then the tier is asked for what is not in it, and the next start looks
    /// at everything again.
    is_unsure: bool,
    /// Whether there is more to be removed than was put in line.
    pub(super) is_sweeping: bool,
    pub(super) steadiness: Steadiness,
    /// For the journal; nobody keeps it while another process holds it.
    pub(super) lines: Option<Lines>,
    /// What was given up because too much waited.
    pub(super) given_up: GivenUp,
    /// And what there is to tell of it.
    pub(super) overrun: Overrun,
    /// What was removed for space since somebody looked.
    pub(super) evicted: Vec<(Key, Slot)>,
    pub(super) room: Room,
    rewritten: HashMap<Key, Moment, RandomState>,
    pub(super) clock: Clock,
    pub(super) metrics: DurableMetrics,
}

impl TierState {
    pub(super) fn new(options: Options, clock: Clock, metrics: DurableMetrics) -> Self {
        metrics.capacity_bytes.set(options.capacity);
        metrics.budget_bytes.set(options.capacity);
        Self {
            index: Index::default(),
            queue: Queue::default(),
            options,
            is_complete: false,
            is_look_failing: false,
            doubts: Doubts::default(),
            later: (0, 0),
            is_unsure: false,
            is_sweeping: false,
            steadiness: Steadiness::new(&clock),
            lines: None,
            given_up: GivenUp::default(),
            overrun: Overrun::default(),
            evicted: Vec::new(),
            room: Room::default(),
            rewritten: HashMap::default(),
            clock,
            metrics,
        }
    }

    /// A version was uploaded.
    pub(super) fn published(&mut self, entry: &Arc<Entry>) {
        let (key, now) = (&entry.key, self.clock.now());
        self.given_up.strike(key);
        let due = match self.rewritten.get(key) {
            // What goes on by its own last version has to find it: a list that was shown and is lost would begin again before it.
            Some(last) if self.options.ack == Ack::Hot && entry.meta.continuity.is_none() => *last + REWRITE_EVERY,
            _ => now,
        };
        if self.queue.push(key, Change::Write(Arc::clone(entry)), now, due.max(now)) {
            self.metrics.coalesced.inc();
            // The write is in place of the removal, and must not wait for it.
            self.room.left(key);
        }
        let limit = self.options.write_behind;
        if self.queue.bytes() > limit {
            // Well below it, so that the next upload need not search again.
            for key in self.queue.over(limit - limit / 8) {
                if let Some(Change::Write(entry)) = self.queue.get(&key) {
                    self.given_up.add(&key, entry.sequence);
                }
                self.give_up(&key);
            }
        }
        self.metrics.waiting_changes.set(self.queue.len() as u64);
    }

    /// The object was removed.
    pub(super) fn removed(&mut self, key: &Key) {
        self.given_up.strike(key);
        let may_be_there = !self.knows_all() || self.index.get(key).is_some() || self.queue.get(key).is_some();
        self.take_out(key);
        if may_be_there {
            let now = self.clock.now();
            self.queue.push(key, Change::Remove, now, now);
            self.metrics.waiting_changes.set(self.queue.len() as u64);
        }
    }

    /// Has the tier rid of what it may hold of a version that is not kept, and of those before it: also where a try of it has failed and may
    /// have been made, and where it is not known yet what is there.
    fn forget_all_of(&mut self, key: &Key, is_in_doubt: bool) {
        self.forget(key);
        if (is_in_doubt || !self.knows_all()) && self.queue.get(key).is_none() && self.may_remove_more() {
            let now = self.clock.now();
            self.queue.push(key, Change::Remove, now, now);
        }
    }

    /// Has the tier rid of what it holds under this key, unless something newer waits.
    pub(super) fn forget(&mut self, key: &Key) {
        if let Some(slot) = self.take_out(key)
            && self.queue.get(key).is_none()
        {
            let change = if slot.is_certain { Change::Remove } else { Change::Clear };
            let now = self.clock.now();
            self.queue.push(key, change, now, now);
            self.room.leaves(key, slot.length + OVERHEAD);
        }
    }

    /// Strikes a key off the index.
    pub(super) fn take_out(&mut self, key: &Key) -> Option<Slot> {
        self.doubts.settle(key);
        let slot = self.index.remove(key)?;
        if let Some(lines) = &mut self.lines {
            lines.removed(key);
        }
        Some(slot)
    }

    fn put_in(&mut self, key: &Key, slot: Slot) {
        if let Some(lines) = &mut self.lines {
            lines.written(key, &slot, &self.clock);
        }
        self.doubts.settle(key);
        self.index.insert(key, slot);
    }

    /// Where a reader finds the object.
    pub(super) fn find(&self, key: &Key) -> Spot {
        let now = self.clock.now();
        match (self.queue.get(key), self.index.get(key)) {
            (Some(Change::Write(entry)), _) if entry.meta.is_live(now) => Spot::Waiting(Arc::clone(entry)),
            (Some(_), _) => Spot::Absent,
            (None, Some(slot)) if now < slot.expires => Spot::There(*slot),
            (None, Some(slot)) if slot.is_certain || self.is_complete => Spot::Absent,
            (None, None) if self.knows_all() => Spot::Absent,
            (None, _) => Spot::Unknown,
        }
    }

    /// Whether this is what a reader who found the object there should be given still.
    pub(super) fn is_still(&self, key: &Key, found: Option<u64>) -> bool {
        self.queue.get(key).is_none()
            && match (found, self.index.get(key)) {
                (Some(version), Some(slot)) => slot.version == version,
                (None, slot) => slot.is_none_or(|slot| !slot.is_certain),
                (Some(_), None) => false,
            }
    }

    /// A version has been written.
    pub(super) fn written(&mut self, turn: &Turn, entry: &Entry) {
        let now = self.clock.now();
        let meta = &entry.meta;
        let slot = Slot {
            length: entry.body.len() as u64,
            kind: meta.kind,
            modified: meta.modified,
            expires: meta.expires,
            version: 0,
            is_certain: true,
            is_own: true,
        };
        self.put_in(&turn.key, slot);
        self.room.left(&turn.key);
        self.room.made(cost(entry), self.index.bytes());
        if meta.kind.is_rewritten() {
            if self.rewritten.len() > 10_000 {
                self.rewritten.retain(|_, last| now.since(*last) < REWRITE_EVERY);
            }
            self.rewritten.insert(turn.key.clone(), now);
        }
        self.queue.end(turn, ChangeEnd::Made, now);
    }

    /// A removal has been made, or a write was of no use any more.
    pub(super) fn gone(&mut self, turn: &Turn) {
        self.take_out(&turn.key);
        self.room.left(&turn.key);
        self.queue.end(turn, ChangeEnd::Made, self.clock.now());
    }

    /// The tier can't hold this version, ever.
    pub(super) fn unfit(&mut self, turn: &Turn) {
        let is_in_doubt = self.queue.is_in_doubt(&turn.key);
        self.queue.end(turn, ChangeEnd::GivenUp, self.clock.now());
        self.metrics.given_up.inc();
        self.forget_all_of(&turn.key, is_in_doubt);
    }

    /// The tier has given a right answer about it.
    pub(super) fn is_right(&mut self, key: &Key) {
        self.doubts.settle(key);
    }

    /// The tier has said often enough that it has no such object. Nothing more is known of it than that.
    pub(super) fn is_missing(&mut self, key: &Key) {
        self.is_unsure = true;
        self.take_out(key);
    }

    /// What is there is in a later version's form: it is nobody's here to remove, for age or for space. Says whether it is the first.
    pub(super) fn is_later(&mut self, key: &Key) -> bool {
        let is_first = self.later == (0, 0);
        if self.take_out(key).is_some() || self.later.1 == 0 {
            self.later.1 += 1;
        }
        self.is_unsure = true;
        is_first
    }

    /// How many objects in a later version's form are known.
    pub(super) fn later_objects(&self) -> u64 {
        self.later.0.max(self.later.1)
    }

    /// Whether what the index does not name is not there.
    pub(super) fn knows_all(&self) -> bool {
        self.is_complete && !self.is_unsure
    }

    /// An object was found in the tier that the index may not know. Says whether it is news.
    pub(super) fn found(&mut self, key: &Key, attributes: &Attributes) -> bool {
        if self.queue.get(key).is_some() || self.index.get(key).is_some_and(|slot| slot.is_certain) {
            return false;
        }
        let slot = Slot {
            length: attributes.length,
            kind: attributes.kind,
            modified: attributes.modified,
            expires: self.clock.deadline_of(attributes.modified, attributes.expires),
            version: 0,
            is_certain: true,
            is_own: false,
        };
        // A deadline reads back some milliseconds off: both clocks move between two looks at them.
        let is_near = |one: Moment, other: Moment| one.since(other) + other.since(one) < Duration::from_secs(1);
        let is_same = |known: &Slot| {
            (known.length, known.kind, known.modified) == (slot.length, slot.kind, slot.modified)
                && is_near(known.expires, slot.expires)
        };
        if self.index.get(key).is_some_and(is_same) {
            self.index.make_certain(key);
            return false;
        }
        self.put_in(key, slot);
        true
    }

    /// Everything in the tier has been seen: what was not is not there. Among it were this many objects in a later version's form, and so
    /// many that could not be read. Of those that are named here the journal's word holds.
    pub(super) fn complete(&mut self, later: u64, unreadable: u64, unread: &HashSet<Key>) {
        self.later.0 = later;
        self.is_unsure |= later + unreadable > 0;
        for key in self.index.uncertain().into_iter().filter(|key| !unread.contains(key)) {
            self.take_out(&key);
        }
        (self.is_complete, self.is_look_failing) = (true, false);
    }

    /// Gives up the version that waits under this key, and rids the tier of the older one.
    pub(super) fn give_up(&mut self, key: &Key) {
        let is_in_doubt = self.queue.is_in_doubt(key);
        self.queue.give_up(key);
        self.metrics.given_up.inc();
        self.forget_all_of(key, is_in_doubt);
        self.overrun.count(self.clock.now());
    }

    /// The segments that were written last, the newest first, and when.
    pub(super) fn newest_segments(&self, count: usize) -> Vec<(Key, WallTime)> {
        self.index.newest_segments().take(count).map(|(key, written)| (key.clone(), written)).collect()
    }

    /// What the tier may hold: its capacity, or what fits.
    pub(super) fn budget(&self) -> u64 {
        self.room.ceiling().map_or(self.options.capacity, |ceiling| ceiling.min(self.options.capacity))
    }

    /// Shows the figures.
    pub(super) fn show(&self) {
        let now = self.clock.now();
        let metrics = &self.metrics;
        metrics.stored_bytes.set(self.index.bytes());
        metrics.stored_objects.set(self.index.len() as u64);
        metrics.budget_bytes.set(self.budget());
        metrics.waiting_bytes.set(self.queue.bytes());
        metrics.waiting_changes.set(self.queue.len() as u64);
        metrics.doubtful_objects.set(self.doubts.len() as u64);
        metrics.later_objects.set(self.later_objects());
        metrics.lag_seconds.set(self.lag(now).as_secs_f64());
    }

    /// For how long the oldest change has waited.
    pub(super) fn lag(&self, now: Moment) -> Duration {
        self.queue.oldest().map_or(Duration::ZERO, |since| now.since(since))
    }

    /// Playlists, manifests and initialisation segments to have in memory before the first reader comes: the newest, up to this many
    /// bytes.
    pub(super) fn first_wanted(&self, mut bytes: u64) -> Vec<Key> {
        let now = self.clock.now();
        let fits = |key: &&Key| {
            let Some(slot) = self.index.get(key).filter(|slot| now < slot.expires) else { return false };
            bytes = bytes.saturating_sub(slot.length + OVERHEAD);
            bytes > 0
        };
        self.index.protected().filter(fits).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::HeaderValue;

    use super::*;
    use crate::metrics::Metrics;
    use crate::model::continuity::Continuity;
    use crate::model::id::Namespace;
    use crate::model::kind::Kind;
    use crate::model::meta::Meta;
    use crate::store::cold::ColdError;

    fn segment(clock: &Clock, key: &Key) -> Arc<Entry> {
        let meta = Meta::plain(Kind::Segment, HeaderValue::from_static("x"), clock, Duration::from_secs(60));
        Arc::new(Entry::new(key.clone(), Bytes::from_static(b"newer"), meta))
    }

    fn state(clock: &Clock) -> TierState {
        let metrics = Metrics::new().namespace(&Namespace::parse("live").unwrap()).durable;
        TierState::new(Options { ack: Ack::Hot, capacity: 1 << 30, write_behind: 1 << 20 }, clock.clone(), metrics)
    }

    /// The name of a segment is used again, and what is there under it is not in the index: not looked at yet, or put there by a try that
    /// was answered too late.
    #[test]
    fn what_is_given_up_takes_an_older_version_with_it_that_the_index_does_not_know() {
        let (clock, key) = (Clock::manual(), Key::parse("seg5.ts").unwrap());
        let entry = segment(&clock, &key);
        let late = || ColdError::Unavailable("no answer in time".to_owned());
        let refused = || ColdError::Denied("no".to_owned());
        // Whether everything is known, how it was tried, and whether something of it may be there.
        for (is_complete, error, may_be_there) in
            [(false, None, true), (true, None, false), (true, Some(late()), true), (true, Some(refused()), false)]
        {
            for is_unfit in [false, true] {
                let mut state = state(&clock);
                state.is_complete = is_complete;
                state.published(&entry);
                if let Some(error) = &error {
                    let turn = state.take(true).unwrap();
                    state.ended(&turn);
                    state.failed(&turn, error);
                    clock.advance(Duration::from_secs(1));
                }
                if is_unfit {
                    let turn = state.take(true).unwrap();
                    state.ended(&turn);
                    state.unfit(&turn);
                } else {
                    state.give_up(&key);
                }
                assert!(matches!(state.find(&key), Spot::Absent), "{is_complete} {error:?} {is_unfit}");
                let turn = state.take(true);
                assert_eq!(turn.is_some(), may_be_there, "{is_complete} {error:?} {is_unfit}");
                if let Some(turn) = turn {
                    assert!(matches!(turn.change, Change::Remove));
                    state.gone(&turn);
                }
                assert!(state.queue.is_empty());
            }
        }
    }

    #[test]
    fn what_could_not_be_read_is_removed_when_somebody_says_so() {
        let (clock, key) = (Clock::manual(), Key::parse("seg5.ts").unwrap());
        let mut state = state(&clock);
        state.complete(0, 1, &HashSet::new());
        state.removed(&key);
        assert!(matches!(state.take(false).unwrap().change, Change::Remove));
    }

    /// A kill of the process a moment after two versions loses the second of an encoder's, which it writes again, and none of those that are
    /// this server's own memory.
    #[test]
    fn a_playlist_that_goes_on_by_its_last_version_is_written_each_time() {
        let (clock, key) = (Clock::manual(), Key::parse("p.m3u8").unwrap());
        let continuity = Continuity::parse("r1.0.1,w4,a1,h1,s1").map(Arc::new);
        for continuity in [None, continuity] {
            let is_composed = continuity.is_some();
            let mut state = state(&clock);
            let meta = Meta::plain(Kind::Playlist, HeaderValue::from_static("x"), &clock, Duration::from_secs(60));
            let entry = Arc::new(Entry::new(key.clone(), Bytes::from_static(b"a"), Meta { continuity, ..meta }));
            state.published(&entry);
            let turn = state.queue.take(clock.now(), false).unwrap();
            state.written(&turn, &entry);
            state.published(&entry);
            assert_eq!(state.queue.take(clock.now(), false).is_some(), is_composed);
        }
    }
}
