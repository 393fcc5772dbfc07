//! What the tier is to be told: the newest change of each key that it does not have yet.
//!
//! A pure structure for one thread. A change of a key takes the place of one that waits; one that is being made is let finish, and the
//! newer one comes after it. So the tier never has two callers for a key, and a playlist that is rewritten faster than it can be
//! written costs one write.
//!
//! Invariants: `bytes` is the sum of the bodies that wait or are being written. A key is in the order of turns, or being made, or both
//! absent from here.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use ahash::RandomState;
use tokio::sync::oneshot;

use crate::model::clock::Moment;
use crate::model::id::Key;
use crate::store::Entry;

/// The wait after a first failure; it doubles with each one.
const FIRST_WAIT: Duration = Duration::from_millis(250);
/// So many removals go before writes whose turn has come; more of them only when none has, or one waits for their space.
const REMOVALS_BESIDE: usize = 4;
/// The longest wait between two tries.
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// One change.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Write(Arc<Entry>),
    Remove,
    /// The same on the journal's word alone: what is there is looked at first, and may be another version's to remove.
    Clear,
}

impl Change {
    fn is_write(&self) -> bool {
        matches!(self, Self::Write(_))
    }

    fn bytes(&self) -> u64 {
        match self {
            Self::Write(entry) => entry.body.len() as u64,
            Self::Remove | Self::Clear => 0,
        }
    }
}

/// How a change ended, for those who wait for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ChangeEnd {
    Made,
    /// It will not be made: there was no room to keep it waiting, or the tier can't hold such an object.
    GivenUp,
}

#[derive(Debug)]
struct WaitingChange {
    change: Change,
    /// Tells this change from a newer one of the key.
    number: u64,
    since: Moment,
    /// When its turn comes.
    due: Moment,
    tries: u32,
    /// Whether a write of this key has failed in a way that does not say that it was not made.
    is_in_doubt: bool,
    /// The number of the change that is being made now.
    running: Option<u64>,
    waiters: Vec<oneshot::Sender<ChangeEnd>>,
}

impl WaitingChange {
    fn is_spare(&self) -> bool {
        self.running.is_none() && self.waiters.iter().all(oneshot::Sender::is_closed)
    }
}

/// When a change's turn comes, its number, and whose it is.
type TurnPlace = (Moment, u64, Key);

/// The order of turns of what is not being made.
#[derive(Debug, Default)]
struct TurnOrder {
    writes: BTreeSet<TurnPlace>,
    removals: BTreeSet<TurnPlace>,
    /// Removals among them that were tried in vain.
    failed: usize,
}

impl TurnOrder {
    fn insert(&mut self, waiting: &WaitingChange, key: &Key) {
        let place = (waiting.due, waiting.number, key.clone());
        if waiting.change.is_write() {
            self.writes.insert(place);
        } else {
            self.removals.insert(place);
            self.failed += usize::from(waiting.tries > 0);
        }
    }

    fn remove(&mut self, waiting: &WaitingChange, key: &Key) {
        let place = (waiting.due, waiting.number, key.clone());
        if waiting.change.is_write() {
            self.writes.remove(&place);
        } else if self.removals.remove(&place) {
            self.failed -= usize::from(waiting.tries > 0);
        }
    }
}

/// The queue.
#[derive(Debug, Default)]
pub(super) struct Queue {
    changes: HashMap<Key, WaitingChange, RandomState>,
    turns: TurnOrder,
    /// Removals that are being made.
    removing: usize,
    since: BTreeSet<(Moment, Key)>,
    bytes: u64,
    next: u64,
}

/// A change whose turn it is.
#[derive(Clone, Debug)]
pub(super) struct Turn {
    pub(super) key: Key,
    pub(super) change: Change,
    pub(super) number: u64,
}

impl Queue {
    /// The change that a key waits for.
    pub(super) fn get(&self, key: &Key) -> Option<&Change> {
        self.changes.get(key).map(|waiting| &waiting.change)
    }

    pub(super) fn len(&self) -> usize {
        self.changes.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Since when the oldest one waits.
    pub(super) fn oldest(&self) -> Option<Moment> {
        self.since.first().map(|(since, _)| *since)
    }

    /// Puts a change in line, in place of one of the same key; says whether there was one. Its turn comes at `due`.
    pub(super) fn push(&mut self, key: &Key, change: Change, now: Moment, due: Moment) -> bool {
        self.next += 1;
        let number = self.next;
        self.bytes += change.bytes();
        if let Some(waiting) = self.changes.get_mut(key) {
            // The body that is being written stays until it is.
            if waiting.running != Some(waiting.number) {
                self.bytes -= waiting.change.bytes();
            }
            if waiting.running.is_none() {
                self.turns.remove(waiting, key);
            }
            // A playlist that is rewritten all the time must not wait for ever, and a change that has failed keeps its distance.
            let due = if waiting.tries > 0 { waiting.due.max(due) } else { waiting.due.min(due).max(now) };
            (waiting.change, waiting.number, waiting.due) = (change, number, due);
            if waiting.running.is_none() {
                self.turns.insert(waiting, key);
            }
            return true;
        }
        let (tries, is_in_doubt, running, waiters) = (0, false, None, Vec::new());
        let waiting = WaitingChange { change, number, since: now, due, tries, is_in_doubt, running, waiters };
        self.turns.insert(&waiting, key);
        self.changes.insert(key.clone(), waiting);
        self.since.insert((now, key.clone()));
        false
    }

    /// Has a change told its end, if one of this key waits. Its turn comes at once.
    pub(super) fn wait(&mut self, key: &Key, now: Moment) -> Option<oneshot::Receiver<ChangeEnd>> {
        let waiting = self.changes.get_mut(key)?;
        let (sender, receiver) = oneshot::channel();
        waiting.waiters.push(sender);
        if waiting.running.is_none() && waiting.tries == 0 && waiting.due > now {
            self.turns.remove(waiting, key);
            waiting.due = now;
            self.turns.insert(waiting, key);
        }
        Some(receiver)
    }

    /// The change whose turn it is, if there is one. With `all` the wait of those that have not failed is over.
    pub(super) fn take(&mut self, now: Moment, all: bool) -> Option<Turn> {
        let place = self.first(now, all)?.clone();
        self.begin(place)
    }

    /// The removal whose turn it is, whatever else waits.
    pub(super) fn take_removal(&mut self, now: Moment, all: bool) -> Option<Turn> {
        let place = self.due(&self.turns.removals, now, all)?.clone();
        self.begin(place)
    }

    fn begin(&mut self, (_, number, key): TurnPlace) -> Option<Turn> {
        let waiting = self.changes.get_mut(&key)?;
        self.turns.remove(waiting, &key);
        waiting.running = Some(number);
        self.removing += usize::from(!waiting.change.is_write());
        Some(Turn { change: waiting.change.clone(), key, number })
    }

    /// The change that [`Queue::take`] would take.
    pub(super) fn peek(&self, now: Moment, all: bool) -> Option<(&Key, &Change)> {
        let (_, _, key) = self.first(now, all)?;
        Some((key, &self.changes.get(key)?.change))
    }

    fn first(&self, now: Moment, all: bool) -> Option<&TurnPlace> {
        let [write, removal] = [&self.turns.writes, &self.turns.removals].map(|turns| self.due(turns, now, all));
        removal.filter(|_| write.is_none() || self.removing < REMOVALS_BESIDE).or(write)
    }

    fn due<'a>(&self, turns: &'a BTreeSet<TurnPlace>, now: Moment, all: bool) -> Option<&'a TurnPlace> {
        let has_failed = |key: &Key| self.changes.get(key).is_some_and(|waiting| waiting.tries > 0);
        let is_due = |(due, _, key): &&TurnPlace| *due <= now || (all && !has_failed(key));
        if all { turns.iter().find(is_due) } else { turns.first().filter(is_due) }
    }

    /// How many removals wait that were not tried yet, and how many that were tried in vain.
    pub(super) fn removals(&self) -> (usize, usize) {
        (self.turns.removals.len() - self.turns.failed, self.turns.failed)
    }

    /// Whether a change waits that was tried in vain.
    pub(super) fn has_failed(&self) -> bool {
        self.changes.values().any(|waiting| waiting.tries > 0)
    }

    /// The change was made, or never will be; says whether a newer one of the key has come meanwhile.
    pub(super) fn end(&mut self, turn: &Turn, end: ChangeEnd, now: Moment) -> bool {
        self.bytes -= turn.change.bytes();
        self.removing -= usize::from(!turn.change.is_write());
        let Some(waiting) = self.changes.get_mut(&turn.key) else { return false };
        waiting.running = None;
        if waiting.number == turn.number {
            if let Some(waiting) = self.changes.remove(&turn.key) {
                self.since.remove(&(waiting.since, turn.key.clone()));
                waiting.waiters.into_iter().for_each(|waiter| _ = waiter.send(end));
            }
            return false;
        }
        self.since.remove(&(waiting.since, turn.key.clone()));
        (waiting.tries, waiting.since) = (0, now);
        waiting.is_in_doubt &= end != ChangeEnd::Made;
        self.since.insert((now, turn.key.clone()));
        waiting.due = if waiting.waiters.is_empty() { waiting.due } else { now };
        self.turns.insert(waiting, &turn.key);
        true
    }

    /// The change was tried in vain: it, or a newer one of its key, gets another turn later.
    pub(super) fn retry(&mut self, turn: &Turn, now: Moment) {
        self.put_back(turn, |waiting| {
            waiting.due = now + (FIRST_WAIT * 2u32.saturating_pow(waiting.tries.min(16))).min(LONGEST_WAIT);
            waiting.tries += 1;
        });
    }

    /// A write has failed, and may have been made all the same.
    pub(super) fn doubt(&mut self, key: &Key) {
        if let Some(waiting) = self.changes.get_mut(key) {
            waiting.is_in_doubt = true;
        }
    }

    /// Whether a write of this key that was given up, or is about to be, may have been made.
    pub(super) fn is_in_doubt(&self, key: &Key) -> bool {
        self.changes.get(key).is_some_and(|waiting| waiting.is_in_doubt)
    }

    /// The change was not made, and gets its next turn at once.
    pub(super) fn again(&mut self, turn: &Turn, now: Moment) {
        self.put_back(turn, |waiting| waiting.due = now);
    }

    fn put_back(&mut self, turn: &Turn, when: impl FnOnce(&mut WaitingChange)) {
        self.removing -= usize::from(!turn.change.is_write());
        let Some(waiting) = self.changes.get_mut(&turn.key) else { return };
        if waiting.number != turn.number {
            self.bytes -= turn.change.bytes();
        }
        waiting.running = None;
        when(waiting);
        self.turns.insert(waiting, &turn.key);
    }

    /// Those that have failed get their turn now.
    pub(super) fn hurry(&mut self, now: Moment) {
        for (key, waiting) in self.changes.iter_mut().filter(|(_, waiting)| waiting.running.is_none() && waiting.due > now) {
            self.turns.remove(waiting, key);
            (waiting.due, waiting.tries) = (now, waiting.tries.min(1));
            self.turns.insert(waiting, key);
        }
    }

    /// How many writes wait or are being made, and their bytes.
    pub(super) fn writes(&self) -> (usize, u64) {
        let writes = self.changes.values().filter(|waiting| matches!(waiting.change, Change::Write(_)));
        writes.fold((0, 0), |(count, bytes), waiting| (count + 1, bytes + waiting.change.bytes()))
    }

    /// Whether nobody waits for a change and it is not being made.
    pub(super) fn is_spare(&self, key: &Key) -> bool {
        self.changes.get(key).is_some_and(WaitingChange::is_spare)
    }

    /// Names what should be given up for the queue to come back under `limit` bytes: the writes that have waited longest, segments
    /// first; never one that is being made or that somebody waits for.
    pub(super) fn over(&self, limit: u64) -> Vec<Key> {
        let mut over = self.bytes.saturating_sub(limit);
        let mut named = Vec::new();
        for protected in [false, true] {
            for (_, key) in &self.since {
                if over == 0 {
                    return named;
                }
                let Some(waiting) = self.changes.get(key) else { continue };
                let Change::Write(entry) = &waiting.change else { continue };
                if entry.meta.kind.is_protected() == protected && waiting.is_spare() {
                    over = over.saturating_sub(waiting.change.bytes());
                    named.push(key.clone());
                }
            }
        }
        named
    }

    /// Takes a change out of the line, unless it is being made.
    pub(super) fn give_up(&mut self, key: &Key) {
        if self.changes.get(key).is_some_and(|waiting| waiting.running.is_none())
            && let Some(waiting) = self.changes.remove(key)
        {
            self.bytes -= waiting.change.bytes();
            self.turns.remove(&waiting, key);
            self.since.remove(&(waiting.since, key.clone()));
            waiting.waiters.into_iter().for_each(|waiter| _ = waiter.send(ChangeEnd::GivenUp));
        }
    }

    #[cfg(test)]
    fn validate(&self, running: &[Turn]) {
        let waiting = self.changes.values().filter(|waiting| waiting.running != Some(waiting.number));
        let waiting: u64 = waiting.map(|waiting| waiting.change.bytes()).sum();
        let being_made: u64 = running.iter().map(|turn| turn.change.bytes()).sum();
        assert_eq!(self.bytes, waiting + being_made, "bytes are the sum of their parts");
        assert_eq!(self.changes.len(), self.since.len());
        let lined_up = |is_it: &dyn Fn(&WaitingChange) -> bool| {
            self.changes.values().filter(|waiting| waiting.running.is_none() && is_it(waiting)).count()
        };
        assert_eq!(lined_up(&|waiting| waiting.change.is_write()), self.turns.writes.len());
        assert_eq!(lined_up(&|waiting| !waiting.change.is_write()), self.turns.removals.len());
        assert_eq!(lined_up(&|waiting| !waiting.change.is_write() && waiting.tries > 0), self.turns.failed);
        assert_eq!(running.iter().filter(|turn| !turn.change.is_write()).count(), self.removing);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bytes::Bytes;
    use http::HeaderValue;
    use proptest::prelude::{any, prop, proptest};

    use super::*;
    use crate::model::clock::Clock;
    use crate::model::kind::Kind;
    use crate::model::meta::Meta;

    fn entry(key: &Key, length: usize, kind: Kind) -> Arc<Entry> {
        let meta = Meta::plain(kind, HeaderValue::from_static("x"), &Clock::manual(), Duration::ZERO);
        Arc::new(Entry::new(key.clone(), Bytes::from(vec![0; length]), meta))
    }

    fn key(n: u8) -> Key {
        Key::parse(&format!("k{n}")).unwrap()
    }

    proptest! {
        /// The tier, told by the queue, ends up with the last change of each key, and never has two callers for one.
        #[test]
        fn the_last_change_of_each_key_is_made(
            steps in prop::collection::vec((0u8..5, 0u8..6, 0usize..50, any::<bool>()), 0..80)
        ) {
            let clock = Clock::manual();
            let mut queue = Queue::default();
            let (mut wanted, mut made) = (BTreeMap::new(), BTreeMap::new());
            let mut running: Vec<Turn> = Vec::new();
            let make = |queue: &mut Queue, made: &mut BTreeMap<Key, Option<usize>>, turn: Turn| {
                let what = match &turn.change {
                    Change::Write(entry) => Some(entry.body.len()),
                    Change::Remove | Change::Clear => None,
                };
                made.insert(turn.key.clone(), what);
                queue.end(&turn, ChangeEnd::Made, clock.now());
            };
            for (what, name, length, is_soon) in steps {
                let name = key(name);
                let due = clock.now() + Duration::from_secs(if is_soon { 0 } else { 5 });
                match what {
                    0 | 1 => {
                        let kind = if length % 2 == 0 { Kind::Playlist } else { Kind::Segment };
                        queue.push(&name, Change::Write(entry(&name, length, kind)), clock.now(), due);
                        wanted.insert(name, Some(length));
                    }
                    2 => {
                        queue.push(&name, Change::Remove, clock.now(), due);
                        wanted.insert(name, None);
                    }
                    3 => {
                        if let Some(turn) = queue.take(clock.now(), false) {
                            assert!(running.iter().all(|other| other.key != turn.key), "two callers for a key");
                            running.push(turn);
                        }
                    }
                    _ => {
                        if let Some(turn) = running.pop() {
                            if is_soon { make(&mut queue, &mut made, turn) } else { queue.retry(&turn, clock.now()) }
                        }
                    }
                }
                clock.advance(Duration::from_millis(500));
                queue.validate(&running);
            }
            for turn in std::mem::take(&mut running) {
                make(&mut queue, &mut made, turn);
            }
            // What has failed keeps its distance even at the end.
            clock.advance(LONGEST_WAIT);
            while let Some(turn) = queue.take(clock.now(), true) {
                make(&mut queue, &mut made, turn);
                queue.validate(&running);
            }
            assert!(queue.is_empty() && queue.bytes() == 0 && queue.oldest().is_none());
            assert_eq!(made, wanted);
        }
    }

    #[test]
    fn what_fails_waits_longer_each_time_and_newer_versions_wait_with_it() {
        let clock = Clock::manual();
        let mut queue = Queue::default();
        queue.push(&key(1), Change::Write(entry(&key(1), 10, Kind::Playlist)), clock.now(), clock.now());
        for wait in [250, 500, 1000, 2000, 4000, 8000, 10_000, 10_000] {
            let turn = queue.take(clock.now(), false).expect("its turn has come");
            queue.retry(&turn, clock.now());
            queue.push(&key(1), Change::Write(entry(&key(1), 11, Kind::Playlist)), clock.now(), clock.now());
            clock.advance(Duration::from_millis(wait - 1));
            assert!(queue.take(clock.now(), false).is_none(), "before {wait} ms");
            clock.advance(Duration::from_millis(1));
        }
        assert_eq!(queue.bytes(), 11);
    }

    #[test]
    fn the_oldest_segments_are_given_up_first_and_what_is_awaited_never() {
        let clock = Clock::manual();
        let mut queue = Queue::default();
        for (n, kind) in [(0, Kind::Playlist), (1, Kind::Segment), (2, Kind::Segment), (3, Kind::Segment), (4, Kind::Segment)] {
            queue.push(&key(n), Change::Write(entry(&key(n), 10, kind)), clock.now(), clock.now());
            clock.advance(Duration::from_millis(1));
        }
        let mut end = queue.wait(&key(1), clock.now()).unwrap();
        assert_eq!(queue.over(50), []);
        assert_eq!(queue.over(35), [key(2), key(3)]);
        assert_eq!(queue.over(0), [key(2), key(3), key(4), key(0)]);
        for key in queue.over(35) {
            queue.give_up(&key);
        }
        assert_eq!((queue.len(), queue.bytes()), (3, 30));
        assert!(end.try_recv().is_err(), "nobody was told");
        let turn = queue.take(clock.now(), false).unwrap();
        assert_eq!(turn.key, key(0));
        let turn = queue.take(clock.now(), false).unwrap();
        queue.give_up(&turn.key);
        queue.end(&turn, ChangeEnd::Made, clock.now());
        assert_eq!(end.try_recv(), Ok(ChangeEnd::Made));
    }
}
