//! How much the tier may hold, when there is less space than its capacity.
//!
//! Nobody asks how large a disk or a quota is: a write that finds no space tells. From then on what fits is the budget, and room is
//! made before each write: the write waits until what was evicted for it is gone, so that no write fails for what is known. Now and
//! then a little more is tried, less often each time in vain; when it fits, the next try comes soon.
//!
//! A pure structure for one thread. Bytes are counted as the index counts them. Invariants: a ceiling is learned only from a write that
//! was alone, as what others had half-written is not known. After a few writes in vain nothing is evicted any more until one succeeds:
//! what fills the disk then is not the tier.

use std::collections::HashMap;
use std::time::Duration;

use ahash::RandomState;

use crate::model::clock::Moment;
use crate::model::id::Key;

/// This many writes in a row find no space although room was made, and making room does not help.
const VAIN: u32 = 4;
/// How long nothing is evicted then, until it is tried once more; twice as long each time in vain, as what fills the disk may grow by all that is given
/// up to it.
const NEXT_TRY: Duration = Duration::from_secs(60);
/// What took the space of a large write that failed may have gone at each try: it counts for so much less.
const FADES: u64 = 4;
/// This part of what fits is left free: for the file system, and for what else the server writes.
const RESERVE: u64 = 32;
/// This part is tried on top.
const STEP: u64 = 16;
/// The first wait for more space, and the longest.
const FIRST_WAIT: Duration = Duration::from_secs(30);
const LONGEST_WAIT: Duration = Duration::from_secs(600);
/// The wait after a try that has succeeded.
const NEXT_WAIT: Duration = Duration::from_secs(1);

/// What is known of the space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Space {
    /// It has always been enough.
    Enough,
    /// This much fits. Where more is tried, by a `step`, `proven` is what it was before.
    Known { ceiling: u64, proven: u64, step: u64, wait: Duration, again: Moment },
}

/// What a write has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RoomVerdict {
    /// It may begin.
    Go,
    /// Something has to end before.
    Wait,
    /// This many bytes have to be evicted before.
    Evict(u64),
}

/// The space, and what is on its way into it and out of it.
#[derive(Debug)]
pub(super) struct Room {
    space: Space,
    /// Since when writes are made one by one: one of several found no space, and only a write that is alone tells how much there
    /// is.
    sole_since: Option<Moment>,
    running: u64,
    running_bytes: u64,
    /// The write that was the only one from its beginning until now.
    alone: Option<u64>,
    leaving: HashMap<Key, u64, RandomState>,
    leaving_bytes: u64,
    /// Writes in a row that found no space, and what the largest of them took: a small one that is made says nothing of the others.
    vain: u32,
    vain_since: Moment,
    need: u64,
    /// What a write takes, of those of late the most.
    usual: u64,
    /// How long it is to the next try now.
    next_try: Duration,
}

impl Default for Room {
    fn default() -> Self {
        Self {
            space: Space::Enough,
            sole_since: None,
            running: 0,
            running_bytes: 0,
            alone: None,
            leaving: HashMap::default(),
            leaving_bytes: 0,
            vain: 0,
            vain_since: Moment::default(),
            need: 0,
            usual: 0,
            next_try: NEXT_TRY,
        }
    }
}

impl Room {
    /// What fits, if that is known to be limited.
    pub(super) fn ceiling(&self) -> Option<u64> {
        match self.space {
            Space::Known { ceiling, .. } => Some(ceiling),
            Space::Enough => None,
        }
    }

    /// Whether making room has not helped.
    pub(super) fn is_in_vain(&self) -> bool {
        self.vain >= VAIN
    }

    /// Whether a write that takes `cost` may begin, when this much is held.
    pub(super) fn judge(&self, cost: u64, held: u64) -> RoomVerdict {
        let when_idle = if self.running == 0 { RoomVerdict::Go } else { RoomVerdict::Wait };
        match self.space {
            _ if self.sole_since.is_some() && self.running > 0 => RoomVerdict::Wait,
            Space::Enough => RoomVerdict::Go,
            // It can only fail, and should do so before everything else has gone for it.
            Space::Known { ceiling, .. } if self.is_in_vain() || cost > ceiling => when_idle,
            Space::Known { ceiling, .. } => {
                let after = held + self.running_bytes + cost;
                if after > ceiling {
                    RoomVerdict::Evict(after - ceiling)
                } else if after + self.leaving_bytes > ceiling {
                    RoomVerdict::Wait
                } else {
                    RoomVerdict::Go
                }
            }
        }
    }

    /// Whether a write need not begin, as there is something that has to end before.
    pub(super) fn is_busy(&self) -> bool {
        self.running > 0 || self.leaving_bytes > 0
    }

    /// A write begins.
    pub(super) fn begin(&mut self, number: u64, cost: u64) {
        self.alone = (self.running == 0).then_some(number);
        self.usual = cost.max(self.usual - self.usual / 8);
        self.running += 1;
        self.running_bytes += cost;
    }

    /// It has ended, in whatever way. Says whether it was alone all the time.
    pub(super) fn end(&mut self, number: u64, cost: u64) -> bool {
        self.running -= 1;
        self.running_bytes -= cost;
        self.alone.take_if(|alone| *alone == number).is_some()
    }

    /// A write that has just ended found no space.
    pub(super) fn full(&mut self, was_alone: bool, cost: u64, held: u64, now: Moment) {
        if !was_alone {
            self.sole_since.get_or_insert(now);
            return;
        }
        self.sole_since = None;
        let wait = match self.space {
            // It was clear before.
            Space::Known { ceiling, .. } if cost > ceiling => return,
            Space::Known { ceiling, proven, wait, .. } if ceiling > proven => (wait * 2).min(LONGEST_WAIT),
            Space::Known { wait, .. } => wait,
            Space::Enough => FIRST_WAIT,
        };
        // However often it fails meanwhile, once in a while making room is tried again.
        if !self.is_in_vain() {
            self.vain_since = now;
        }
        self.need = if self.vain == 0 { cost } else { self.need.max(cost) };
        self.vain += 1;
        // It is somewhere between what is there and what is there with this.
        let fits = held + self.leaving_bytes + self.running_bytes + cost / 2;
        let ceiling = fits - fits / RESERVE;
        self.space = Space::Known { ceiling, proven: ceiling, step: ceiling / STEP + cost, wait, again: now + wait };
    }

    /// Nothing is left to be removed for a write that found no space.
    pub(super) fn give_up(&mut self, now: Moment) {
        if !self.is_in_vain() {
            self.vain_since = now;
        }
        self.vain = self.vain.max(VAIN);
    }

    /// A write has been made; this much is held now.
    pub(super) fn made(&mut self, cost: u64, held: u64) {
        if cost >= self.need {
            // What filled the space has gone: what was known of it is of no use any more.
            if self.is_in_vain() {
                self.forget();
            }
            (self.vain, self.next_try) = (0, NEXT_TRY);
        }
        if let Space::Known { ceiling, .. } = &mut self.space {
            *ceiling = (*ceiling).max(held);
        }
    }

    /// Removing this will bring space.
    pub(super) fn leaves(&mut self, key: &Key, cost: u64) {
        if self.leaving.insert(key.clone(), cost).is_none() {
            self.leaving_bytes += cost;
        }
    }

    /// It has gone, or does not go for now: nothing waits for it any more.
    pub(super) fn left(&mut self, key: &Key) {
        if !self.leaving.is_empty()
            && let Some(cost) = self.leaving.remove(key)
        {
            self.leaving_bytes -= cost;
        }
    }

    /// Tries for more space when it is time. This much is held, and more than `capacity` is not wanted.
    pub(super) fn look(&mut self, held: u64, capacity: u64, now: Moment) {
        if self.sole_since.is_some_and(|since| now.since(since) >= FIRST_WAIT) {
            self.sole_since = None;
        }
        if self.is_in_vain() && now.since(self.vain_since) >= self.next_try {
            (self.vain, self.need) = (VAIN - 1, self.need / FADES);
            self.next_try = (self.next_try * 2).min(LONGEST_WAIT);
        }
        match &mut self.space {
            Space::Known { ceiling, .. } if *ceiling >= capacity => self.forget(),
            Space::Known { ceiling, proven, step, wait, again } if *again <= now => {
                let is_raised = *ceiling > *proven;
                // Filled, or nearly: past what had been left free as well, and the next one would not fit.
                let is_past = held >= *proven + *proven / RESERVE;
                if is_raised && is_past && held + (*step / 4).max(self.usual) >= *ceiling {
                    (*proven, *wait, *again) = (*ceiling, FIRST_WAIT, now + NEXT_WAIT);
                    *step *= 2;
                    *ceiling += *step;
                } else if !is_raised && held + *step >= *ceiling {
                    *again = now + NEXT_WAIT;
                    *ceiling += *step;
                }
            }
            _ => {}
        }
    }

    /// Believes that there is enough again.
    pub(super) fn forget(&mut self) {
        (self.space, self.vain, self.sole_since, self.next_try) = (Space::Enough, 0, None, NEXT_TRY);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;
    use crate::model::clock::Clock;
    use proptest::prelude::{any, prop, proptest};

    fn key(n: u64) -> Key {
        Key::parse(&format!("{n}.ts")).unwrap()
    }

    /// A disk of a size, and a tier that writes to it as the room says. What is held, oldest first, and writes in vain.
    struct Disk {
        room: Room,
        clock: Clock,
        size: u64,
        held: VecDeque<u64>,
        next: u64,
        in_vain: u32,
    }

    impl Disk {
        fn new(size: u64) -> Self {
            Self { room: Room::default(), clock: Clock::manual(), size, held: VecDeque::new(), next: 0, in_vain: 0 }
        }

        fn bytes(&self) -> u64 {
            self.held.iter().sum()
        }

        /// One write, from its first try to its end; `false` when there is no room to be made.
        fn write(&mut self, cost: u64) -> bool {
            loop {
                match self.room.judge(cost, self.bytes()) {
                    RoomVerdict::Go => {}
                    RoomVerdict::Wait => panic!("nothing is under way"),
                    RoomVerdict::Evict(mut over) => {
                        let before = self.held.len();
                        while over > 0
                            && let Some(first) = self.held.pop_front()
                        {
                            self.room.leaves(&key(first), first);
                            over = over.saturating_sub(first);
                            self.room.left(&key(first));
                        }
                        assert!(before > 0, "more than everything is to go");
                        continue;
                    }
                }
                self.next += 1;
                self.room.begin(self.next, cost);
                let was_alone = self.room.end(self.next, cost);
                if self.bytes() + cost <= self.size {
                    self.held.push_back(cost);
                    self.room.made(cost, self.bytes());
                    return true;
                }
                self.in_vain += 1;
                self.room.full(was_alone, cost, self.bytes(), self.clock.now());
                if self.held.is_empty() {
                    self.room.give_up(self.clock.now());
                }
                if self.room.is_in_vain() {
                    return false;
                }
            }
        }

        fn wait(&mut self, span: Duration, capacity: u64) {
            self.clock.advance(span);
            self.room.look(self.bytes(), capacity, self.clock.now());
        }
    }

    #[test]
    fn what_fits_is_learned_from_one_write_and_used_well() {
        let mut disk = Disk::new(1000);
        for _ in 0..200 {
            assert!(disk.write(10));
        }
        assert_eq!(disk.in_vain, 1, "no write fails for what is known");
        assert!(disk.bytes() >= 940, "{}", disk.bytes());
    }

    #[test]
    fn more_is_tried_less_often_and_found_when_it_is_there() {
        let mut disk = Disk::new(1000);
        let mut failed = Vec::new();
        for second in 0..3600u64 {
            let before = disk.in_vain;
            assert!(disk.write(10));
            disk.wait(Duration::from_secs(1), 10_000);
            if disk.in_vain > before {
                failed.push(second);
            }
        }
        assert!((5..=12).contains(&failed.len()), "{failed:?}");
        assert!(failed.windows(2).skip(2).all(|pair| pair[1] - pair[0] >= 30), "{failed:?}");
        disk.size = 20_000;
        for _ in 0..3600u64 {
            assert!(disk.write(10));
            disk.wait(Duration::from_secs(1), 10_000);
        }
        assert_eq!(disk.room.ceiling(), None, "there is enough again");
    }

    #[test]
    fn what_another_fills_is_not_paid_for_with_all_that_is_held() {
        let mut disk = Disk::new(1000);
        while disk.in_vain == 0 {
            disk.write(10);
        }
        let before = disk.bytes();
        // Another program takes what is evicted, and more.
        disk.size = 0;
        for _ in 0..20 {
            assert!(!disk.write(10));
        }
        assert!(disk.bytes() > before / 2, "{} of {before}", disk.bytes());
        disk.size = 1000;
        assert!(disk.write(10) && disk.write(10) && !disk.room.is_in_vain());
    }

    #[test]
    fn a_playlist_that_finds_space_again_is_no_sign_that_a_segment_would() {
        let mut disk = Disk::new(1000);
        while disk.in_vain == 0 {
            disk.write(10);
        }
        // Another program leaves room for a playlist now and then.
        disk.size = 0;
        assert!(!disk.write(10));
        let before = disk.bytes();
        for _ in 0..20 {
            disk.size = 0;
            assert!(!disk.write(10) && !disk.write(1));
            disk.size = disk.bytes() + 1;
            assert!(disk.write(1));
        }
        assert!(disk.bytes() >= before, "{} of {before}", disk.bytes());
        disk.size = 1000;
        assert!(disk.write(10) && !disk.room.is_in_vain());
    }

    #[test]
    fn what_another_goes_on_filling_is_tried_less_and_less_often() {
        let mut disk = Disk::new(10_000);
        while disk.in_vain == 0 {
            disk.write(10);
        }
        let before = disk.bytes();
        disk.size = 0;
        let mut tried = Vec::new();
        for second in 0..3600u64 {
            let held = disk.bytes();
            disk.write(10);
            disk.wait(Duration::from_secs(1), 1 << 30);
            if disk.bytes() < held {
                tried.push(second);
            }
        }
        assert!((5..=12).contains(&tried.len()), "{tried:?}");
        assert!(disk.bytes() > before / 2, "{} of {before}", disk.bytes());
    }

    #[test]
    fn writes_that_are_not_alone_tell_nothing_but_that_it_is_tight() {
        let (mut room, now) = (Room::default(), Clock::manual().now());
        room.begin(1, 10);
        room.begin(2, 10);
        let was_alone = room.end(2, 10);
        room.full(was_alone, 10, 0, now);
        assert_eq!((was_alone, room.ceiling(), room.judge(10, 0)), (false, None, RoomVerdict::Wait));
        assert!(!room.end(1, 10));
        assert_eq!(room.judge(10, 0), RoomVerdict::Go);
        room.begin(3, 10);
        assert!(room.end(3, 10));
        room.full(true, 10, 635, now);
        assert_eq!(room.ceiling(), Some(620));
        assert_eq!(room.judge(10, 640), RoomVerdict::Evict(30));
        room.leaves(&key(1), 40);
        assert_eq!(room.judge(10, 600), RoomVerdict::Wait, "it has to be gone before");
        room.left(&key(1));
        assert_eq!(room.judge(10, 600), RoomVerdict::Go);
        // What would not fit into all of it is tried, but nothing goes for it.
        assert_eq!(room.judge(700, 600), RoomVerdict::Go);
        room.begin(4, 700);
        assert!(room.end(4, 700));
        room.full(true, 700, 600, now);
        assert_eq!(room.ceiling(), Some(620));
        room.forget();
        assert_eq!(room.judge(10, 700), RoomVerdict::Go);
    }

    proptest! {
        #[test]
        fn it_comes_to_terms_with_any_disk(
            sizes in prop::collection::vec(1000u64..100_000, 1..4), costs in prop::collection::vec(1u64..300, 50..300), wait in any::<bool>()
        ) {
            let mut disk = Disk::new(0);
            for size in sizes {
                // Smaller than what is held: as when another program has filled the rest.
                disk.size = size.max(disk.bytes());
                for cost in &costs {
                    assert!(disk.write(*cost));
                    assert!(disk.bytes() <= disk.size);
                    if wait {
                        disk.wait(Duration::from_secs(7), 1 << 30);
                    }
                }
            }
            // However often more was tried, most writes were made at the first try.
            assert!(disk.in_vain as usize <= costs.len(), "{} of {}", disk.in_vain, costs.len());
        }
    }
}
