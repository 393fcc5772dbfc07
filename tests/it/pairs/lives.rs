//! Lives of pairs of real encoders: whatever becomes of the one that viewers get, they are shown each frame once, in order, and in time; or, where
//! the two have nothing in common that tells, all but a part of a segment.
//!
//! `tests/run` walks a short life of each kind. `tests/soak pairs` walks random ones, as long as is wanted: `SPRINGHEAD_TEST_FATES` is how many
//! things happen in one, and `SPRINGHEAD_TEST_SEED` which.

use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::encoders::{LivePair, PairClocks, RATE, signal};
use super::shown::{Shown, answered, held, jumps};
use super::{PAIR, pairs, pin};
use crate::harness::{Origin, Process};
use crate::wire::Request;

/// What becomes of the encoder that viewers get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum EncoderFate {
    /// It is killed, and begins again from 0, over its own names.
    Killed,
    /// It stands still for so many tenths of a segment, and goes on where it was.
    Frozen(u32),
    /// It is told to end, says so in its playlist, and begins again.
    Ended,
    /// It is killed, and its playlist is deleted, as encoders do that lose their input.
    Deleted,
    /// Both are killed, and are away for two target durations.
    BothKilled,
    /// It stays well: somebody wants the other one for a while.
    Pinned,
}

const ALL: [EncoderFate; 7] = [
    EncoderFate::Killed,
    EncoderFate::Frozen(15),
    EncoderFate::Frozen(50),
    EncoderFate::Ended,
    EncoderFate::Deleted,
    EncoderFate::BothKilled,
    EncoderFate::Pinned,
];

fn from_environment(name: &str) -> Option<usize> {
    std::env::var(name).ok()?.parse().ok()
}

/// These, or as many of all as the environment says.
fn fates(usual: &[EncoderFate], seed: usize) -> Vec<EncoderFate> {
    let Some(count) = from_environment("SPRINGHEAD_TEST_FATES") else { return usual.to_vec() };
    let mut state = (from_environment("SPRINGHEAD_TEST_SEED").unwrap_or(1) + seed * 7919) as u64;
    let mut next = || {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        ALL[usize::try_from(state % ALL.len() as u64).unwrap()]
    };
    (0..count).map(|_| next()).collect()
}

struct PairLife {
    origin: Origin,
    live: LivePair,
    clocks: PairClocks,
    encoders: [Option<Process>; 2],
    shown: Shown,
}

impl PairLife {
    fn begin(clocks: PairClocks) -> Self {
        let (origin, live) = (Origin::start_with_settings(PAIR), LivePair::start(clocks));
        let a = live.encoder(&origin, 0);
        super::wait_for_pair(&origin, "a public playlist", |_| true);
        // Not from the same frame on: those that count from 0 would have one clock.
        thread::sleep(Duration::from_millis(700));
        let b = live.encoder(&origin, 1);
        let mut life = Self { origin, live, clocks, encoders: [Some(a), Some(b)], shown: Shown::new("live/p.m3u8") };
        life.is_well();
        life
    }

    fn stands(&self) -> Value {
        pairs(&self.origin)[0].clone()
    }

    /// The side that viewers get.
    fn active(&self) -> usize {
        usize::from(self.stands()["active"] == "b")
    }

    /// Looks until both are pushed and known for what they are.
    fn is_well(&mut self) {
        let relation = match self.clocks {
            PairClocks::Aligned => "aligned",
            PairClocks::Offset => "offset",
            PairClocks::Shifted => "shifted",
            PairClocks::Foreign => "foreign",
        };
        let Self { origin, shown, .. } = self;
        shown.until(origin, "both are pushed", || {
            let stands = &pairs(origin)[0];
            stands["relation"] == relation && stands["sources"].as_array().unwrap().iter().all(|source| source["up"] == true)
        });
        self.shown.watch(&self.origin, Duration::from_secs(1));
    }

    fn goes_to(&mut self, side: usize) {
        let Self { origin, shown, .. } = self;
        let name = ["a", "b"][side];
        shown.until(origin, "the other one is shown", || pairs(origin)[0]["active"] == name);
    }

    fn watch(&mut self, tenths: u32) {
        self.shown.watch(&self.origin, Duration::from_millis(u64::from(tenths) * 100));
    }

    fn begin_again(&mut self, side: usize) {
        let newest = |stands: &Value| stands["sources"][side]["newest"].clone();
        let before = newest(&self.stands());
        self.encoders[side] = Some(self.live.encoder(&self.origin, side));
        // What is said of both before is of its last run.
        let Self { origin, shown, .. } = self;
        shown.until(origin, "the new run is pushed", || newest(&pairs(origin)[0]) != before);
        self.is_well();
    }

    fn meets(&mut self, fate: EncoderFate) {
        let active = self.active();
        match fate {
            EncoderFate::Killed => {
                self.encoders[active] = None;
                self.goes_to(1 - active);
                self.begin_again(active);
            }
            EncoderFate::Frozen(tenths) => {
                signal(self.encoders[active].as_ref().unwrap(), "STOP");
                self.watch(tenths);
                signal(self.encoders[active].as_ref().unwrap(), "CONT");
                self.watch(20);
                self.is_well();
            }
            EncoderFate::Ended => {
                signal(self.encoders[active].as_ref().unwrap(), "TERM");
                self.goes_to(1 - active);
                self.watch(20);
                self.begin_again(active);
            }
            EncoderFate::Deleted => {
                self.encoders[active] = None;
                let delete = Request::new("DELETE", self.origin.path(["live-a/p.m3u8", "live-b/p.m3u8"][active]));
                assert_eq!(delete.bearer(&self.origin.encoder).send(self.origin.address).status, 204);
                self.goes_to(1 - active);
                self.watch(20);
                self.begin_again(active);
            }
            EncoderFate::BothKilled => {
                self.encoders = [None, None];
                self.watch(20);
                self.encoders[active] = Some(self.live.encoder(&self.origin, active));
                self.watch(25);
                self.encoders[1 - active] = Some(self.live.encoder(&self.origin, 1 - active));
                self.watch(30);
                self.is_well();
            }
            EncoderFate::Pinned => {
                pin(&self.origin, Some(["a", "b"][1 - active]));
                self.goes_to(1 - active);
                self.watch(20);
                pin(&self.origin, None);
                self.watch(20);
            }
        }
        self.watch(10);
    }
}

/// Walks a life, and holds what viewers were shown against what they should have been.
fn live_through(clocks: PairClocks, usual: &[EncoderFate]) {
    let mut life = PairLife::begin(clocks);
    let all = fates(usual, clocks as usize);
    for fate in all.iter().copied() {
        let (from, active, since) = (life.shown.len() - 1, life.active(), answered(&life.origin));
        life.meets(fate);
        let (lateness, frames) = (life.shown.lateness(from), life.shown.frames(from));
        let jumps = jumps(&frames);
        let seen = life.shown.viewer.versions.last();
        let switched = life.active() != active;
        eprintln!("pairs: {clocks:?}, {fate:?}: {} frames, {lateness:.2} s late, jumps {jumps:?}", frames.len());
        let told = || {
            format!("{clocks:?} {fate:?}: {jumps:?}, {lateness:.2} s late, switched {switched}, {:?}, {seen:?}", life.stands())
        };
        assert!(frames.len() > 20, "{}", told());
        if fate == EncoderFate::BothKilled {
            // What nobody made is missing. Of two that have nothing in common a part of a segment may come again.
            let again = if matches!(clocks, PairClocks::Aligned | PairClocks::Offset) { 0 } else { RATE };
            assert!(jumps.len() <= 2 && jumps.iter().all(|(before, next)| next + again > *before), "{}", told());
            continue;
        }
        // Players are three target durations behind. Beside other tests the one that lives may be late itself; what the origin holds of it, or of
        // the public list, is not its own.
        let (own, held) = (life.shown.lateness_of(1 - active, from), held(&life.origin, 1 - active, since));
        assert!(lateness <= 2.0 + own && held <= 2.0, "{own:.2} s late itself, held for {held:.2} s: {}", told());
        match clocks {
            PairClocks::Aligned | PairClocks::Offset => assert!(jumps.is_empty(), "{}", told()),
            PairClocks::Shifted | PairClocks::Foreign => {
                assert!(jumps.len() <= 2, "{}", told());
                assert!(jumps.iter().all(|(before, next)| next.abs_diff(before + 1) < RATE), "{}", told());
            }
        }
    }
    let marks = life.shown.viewer.versions.concat().contains("#EXT-X-DISCONTINUITY\n");
    // What was made while both were away is missing.
    let is_whole = clocks == PairClocks::Aligned && !all.contains(&EncoderFate::BothKilled);
    assert!(!is_whole || !marks, "{:?}", life.shown.viewer.versions.last());
}

#[test]
fn a_life_with_aligned_encoders() {
    live_through(PairClocks::Aligned, &[EncoderFate::Frozen(15), EncoderFate::Ended, EncoderFate::Frozen(50)]);
}

#[test]
fn a_life_with_encoders_whose_players_see_other_clocks() {
    live_through(PairClocks::Offset, &[EncoderFate::Killed, EncoderFate::Frozen(50)]);
}

#[test]
fn a_life_with_encoders_that_cut_elsewhere() {
    live_through(PairClocks::Shifted, &[EncoderFate::Killed, EncoderFate::Ended]);
}

#[test]
fn a_life_with_encoders_that_have_nothing_in_common() {
    live_through(PairClocks::Foreign, &[EncoderFate::Killed, EncoderFate::BothKilled]);
}
