//! Whose turn it is when space is short, and what goes for it: the [`room`](super::room) counts, this picks, the
//! [`state`](super::state) removes. All in memory, under the state's lock; the removals themselves are changes like others.

use std::sync::Arc;

use super::index::{OVERHEAD, Slot, cost};
use super::queue::{Change, Turn};
use super::room::RoomVerdict;
use super::state::TierState;
use crate::model::id::Key;
use crate::store::Entry;
use crate::store::cold::ColdError;

impl TierState {
    /// The change whose turn it is, if there is one and there is room for it; else room is made.
    pub(super) fn take(&mut self, all: bool) -> Option<Turn> {
        let now = self.clock.now();
        loop {
            let (key, change) = self.queue.peek(now, all)?;
            let Change::Write(entry) = change else { break };
            let (key, entry) = (key.clone(), Arc::clone(entry));
            match self.room.judge(cost(&entry), self.index.bytes()) {
                RoomVerdict::Go => break,
                // What it waits for may itself be in line.
                RoomVerdict::Wait => return self.queue.take_removal(now, all),
                RoomVerdict::Evict(bytes) if self.evict_for(&entry, bytes) => {}
                RoomVerdict::Evict(_) if self.room.is_busy() => return self.queue.take_removal(now, all),
                // What is there is newer: this would have to go again for it.
                RoomVerdict::Evict(_) if self.is_outdated(&entry) && self.queue.is_spare(&key) => self.give_up(&key),
                RoomVerdict::Evict(_) => break,
            }
        }
        let turn = self.queue.take(now, all)?;
        if let Change::Write(entry) = &turn.change {
            self.room.begin(turn.number, cost(entry));
        }
        Some(turn)
    }

    /// Removes the oldest objects for this one. A segment is not paid for with playlists, nor with newer segments. Says whether
    /// anything was found.
    fn evict_for(&mut self, entry: &Entry, bytes: u64) -> bool {
        let mut freed = 0;
        while freed < bytes && self.may_evict_for(entry) {
            let Some((key, _)) = self.oldest() else { break };
            freed += self.evict(&key);
        }
        freed > 0
    }

    /// What goes first when space is short. What a newer version waits for is not removed: that would be one change of a key too
    /// many.
    pub(super) fn oldest(&self) -> Option<(Key, Slot)> {
        let key = self.index.by_age().find(|key| self.queue.get(key).is_none())?;
        Some((key.clone(), *self.index.get(key)?))
    }

    /// Removes an object for space; says how much that brings.
    pub(super) fn evict(&mut self, key: &Key) -> u64 {
        let Some(slot) = self.index.get(key).copied() else { return 0 };
        self.forget(key);
        self.metrics.evicted.inc();
        self.evicted.push((key.clone(), slot));
        slot.length + OVERHEAD
    }

    fn may_evict_for(&self, entry: &Entry) -> bool {
        // What the journal says may be out of date: nothing is removed on its word.
        self.is_complete
            && self.oldest().is_some_and(|(_, slot)| {
                entry.meta.kind.is_protected() || (!slot.kind.is_protected() && slot.modified <= entry.meta.modified)
            })
    }

    fn is_outdated(&self, entry: &Entry) -> bool {
        !entry.meta.kind.is_protected()
            && self.oldest().is_some_and(|(_, slot)| !slot.kind.is_protected() && slot.modified > entry.meta.modified)
    }

    /// A turn has ended, in whatever way. Says whether it was a write that was alone.
    pub(super) fn ended(&mut self, turn: &Turn) -> bool {
        match &turn.change {
            Change::Write(entry) => self.room.end(turn.number, cost(entry)),
            Change::Remove | Change::Clear => false,
        }
    }

    /// A write found no space. Says whether it is tried again as soon as room has been made for it; else there is none to be
    /// made.
    pub(super) fn full(&mut self, turn: &Turn, entry: &Entry, was_alone: bool) -> bool {
        let now = self.clock.now();
        self.metrics.failed.inc();
        // That what is older than all there finds no space says nothing of what is newer, for which there is something to go.
        let is_outdated = self.is_outdated(entry);
        // How much fits can't be learned while it is not known how much there is.
        if self.is_complete && !is_outdated {
            self.room.full(was_alone, cost(entry), self.index.bytes(), now);
        }
        let fits = self.room.ceiling().is_none_or(|ceiling| cost(entry) <= ceiling);
        if self.is_complete && was_alone && !is_outdated && !self.may_evict_for(entry) {
            self.room.give_up(now);
        }
        let helps = self.is_complete && !self.room.is_in_vain() && fits && !is_outdated;
        if helps {
            self.queue.again(turn, now);
        } else {
            self.queue.retry(turn, now);
        }
        helps
    }

    /// A change could not be made; it is tried again.
    pub(super) fn failed(&mut self, turn: &Turn, error: &ColdError) {
        self.metrics.failed.inc();
        // An answer that does not come says nothing of what was done.
        if matches!((&turn.change, error), (Change::Write(_), ColdError::Unavailable(_))) {
            self.queue.doubt(&turn.key);
        }
        // Nobody waits for what does not go.
        self.room.left(&turn.key);
        self.queue.retry(turn, self.clock.now());
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::time::Duration;

    use bytes::Bytes;
    use http::HeaderValue;
    use proptest::prelude::{any, prop_assert, proptest};

    use super::*;
    use crate::metrics::Metrics;
    use crate::model::clock::Clock;
    use crate::model::id::Namespace;
    use crate::model::kind::Kind;
    use crate::model::meta::Meta;
    use crate::store::Ack;
    use crate::store::tier::Options;

    const LENGTH: u64 = 100_000;
    /// So many objects fit.
    const SPACE: u64 = 12;
    const AT_ONCE: usize = 8;

    /// A disk that somebody else may fill, and the changes that are being made to it.
    struct SmallDisk {
        state: TierState,
        clock: Clock,
        objects: HashMap<Key, u64>,
        others: u64,
        /// Whether it takes no removals.
        is_denied: bool,
        running: Vec<Turn>,
        random: u64,
    }

    impl SmallDisk {
        fn new(random: u64) -> Self {
            let clock = Clock::manual();
            let metrics = Metrics::new().namespace(&Namespace::parse("live").unwrap()).durable;
            let options = Options { ack: Ack::Hot, capacity: 1 << 30, write_behind: 60 * LENGTH };
            let mut state = TierState::new(options, clock.clone(), metrics);
            state.is_complete = true;
            let (objects, running) = (HashMap::new(), Vec::new());
            Self { state, clock, objects, others: 0, is_denied: false, running, random: random | 1 }
        }

        fn pick(&mut self, below: u64) -> u64 {
            self.random ^= self.random << 13;
            self.random ^= self.random >> 7;
            self.random ^= self.random << 17;
            self.random % below
        }

        fn publish(&mut self, number: u64) {
            let meta = Meta::plain(Kind::Segment, HeaderValue::from_static("x"), &self.clock, Duration::from_secs(3600));
            let key = Key::parse(&format!("{number}.ts")).unwrap();
            self.state.published(&Arc::new(Entry::new(key, Bytes::from(vec![0; 100_000]), meta)));
        }

        fn end(&mut self, turn: &Turn) {
            let was_alone = self.state.ended(turn);
            let Change::Write(entry) = &turn.change else {
                if self.is_denied {
                    return self.state.failed(turn, &ColdError::Denied(String::new()));
                }
                self.objects.remove(&turn.key);
                self.state.gone(turn);
                return self.state.sweep_on();
            };
            let used: u64 = self.objects.values().sum::<u64>() + self.others;
            if used + LENGTH <= SPACE * LENGTH + LENGTH / 3 {
                self.objects.insert(turn.key.clone(), LENGTH);
                self.state.written(turn, entry);
            } else {
                self.state.full(turn, entry, was_alone);
            }
        }

        /// So long, in which changes begin and end in whatever order.
        fn run(&mut self, millis: u64) {
            for _ in 0..millis.div_ceil(100) {
                self.clock.advance(Duration::from_millis(100));
                self.state.sweep();
                for _ in 0..40 {
                    while self.running.len() < AT_ONCE
                        && let Some(turn) = self.state.take(false)
                    {
                        self.running.push(turn);
                    }
                    if self.running.is_empty() {
                        break;
                    }
                    let at = self.pick(self.running.len() as u64) as usize;
                    let turn = self.running.swap_remove(at);
                    self.end(&turn);
                }
            }
        }
    }

    /// However much each object takes of what is tried beside, a disk that is free again is found to be so.
    #[test]
    fn the_space_that_another_gives_back_is_used_again() {
        for others in 1..SPACE {
            let mut disk = SmallDisk::new(others);
            disk.others = others * LENGTH;
            for number in 0..40 {
                disk.publish(number);
                disk.run(2000);
            }
            disk.others = 0;
            for number in 40..240 {
                disk.publish(number);
                disk.run(2000);
            }
            let kept = disk.objects.len() as u64;
            assert!(kept >= SPACE - 1, "{kept} of {SPACE}, where another had {others}");
        }
    }

    /// Everything falls due at once, on a disk that makes 400 changes a second or takes no removals at all: what is new has its turn all the
    /// same, and where it can go all that is over is gone as soon as the disk can do it.
    #[test]
    fn what_expires_all_at_once_keeps_nothing_new_waiting() {
        for is_denied in [false, true] {
            let mut disk = SmallDisk::new(7);
            disk.is_denied = is_denied;
            // There is space for everything.
            let slot = |number: u64| {
                let kind = Kind::Segment;
                let (modified, expires) = (disk.clock.wall(), disk.clock.now() + Duration::from_secs(60));
                let key = Key::parse(&format!("old/{number}.ts")).unwrap();
                (key, Slot { length: 0, kind, modified, expires, version: 0, is_certain: true, is_own: true })
            };
            let old: Vec<_> = (0..8000).map(slot).collect();
            old.iter().for_each(|(key, slot)| disk.state.index.insert(key, *slot));
            disk.clock.advance(Duration::from_secs(61));
            let mut most = 0;
            for number in 0..300 {
                disk.publish(number);
                disk.run(100);
                most = most.max(disk.state.queue.len());
                assert!(disk.state.queue.writes().0 <= 1, "{} wait after {number}", disk.state.queue.writes().0);
                // It makes room for the next one.
                disk.objects.clear();
            }
            assert!(most < 1200, "{most} wait");
            let left = old.iter().filter(|(key, _)| disk.state.index.get(key).is_some()).count();
            assert_eq!(left == 0, !is_denied, "{left} are left");
        }
    }

    /// Somebody waits for it, so it is not given up; it makes nobody else wait.
    #[test]
    fn a_write_that_is_older_than_all_there_keeps_no_newer_one_from_its_room() {
        let mut disk = SmallDisk::new(7);
        disk.publish(0);
        let old = Key::parse("0.ts").unwrap();
        let _waiter = disk.state.queue.wait(&old, disk.clock.now()).unwrap();
        disk.clock.advance(Duration::from_secs(1));
        for number in 1..=SPACE {
            let key = Key::parse(&format!("{number}.ts")).unwrap();
            let (modified, expires) = (disk.clock.wall(), disk.clock.now() + Duration::from_secs(3600));
            let (length, kind) = (LENGTH, Kind::Segment);
            disk.state.index.insert(&key, Slot { length, kind, modified, expires, version: 0, is_certain: true, is_own: true });
            disk.objects.insert(key, LENGTH);
        }
        disk.run(10_000);
        for number in 100..110 {
            disk.publish(number);
            disk.run(1000);
            assert!(disk.objects.contains_key(&Key::parse(&format!("{number}.ts")).unwrap()), "{number}");
        }
        assert!(disk.objects.len() as u64 >= SPACE - 2, "{:?}", disk.objects.keys());
    }

    proptest! {
        /// Whatever the order in which writes were tried, once there is space again nothing waits for ever, and what is there is the newest.
        #[test]
        fn what_a_full_disk_has_kept_waiting_ends_once_there_is_space(random in any::<u64>()) {
            let mut disk = SmallDisk::new(random);
            disk.others = 2 * SPACE * LENGTH;
            for number in 0..100 {
                disk.publish(number);
                let wait = disk.pick(1000);
                disk.run(wait);
            }
            disk.others = 0;
            disk.run(60_000);
            prop_assert!(disk.state.queue.is_empty(), "{} wait", disk.state.queue.writes().0);
            for number in 100..130 {
                disk.publish(number);
                disk.run(2000);
            }
            prop_assert!(disk.state.queue.is_empty(), "{} wait", disk.state.queue.writes().0);
            let kept = (110..130).filter(|number| disk.objects.contains_key(&Key::parse(&format!("{number}.ts")).unwrap())).count();
            prop_assert!(kept as u64 >= SPACE - 3, "{kept}: {:?}", disk.objects.keys());
        }
    }
}
