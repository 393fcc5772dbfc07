//! The engine's clock, as this node reckons it: what was decided when, and what expires, is told by that one on every node.
//!
//! An answer says what it showed somewhere between question and answer. Of the last answers the one that took least time is believed: it is
//! wrong by half of that at most. It is held against this process's moments, so that a step of the machine's wall clock changes nothing.
//!
//! An engine of several servers has as many clocks. Where one of them is off by far it goes by what most of them show, and not to and fro.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use ahash::RandomState;
use parking_lot::Mutex;

use super::EngineTime;
use crate::model::clock::{Clock, Moment, Now, WallTime};

/// A better answer is not waited for any longer.
const BELIEVED: Duration = Duration::from_secs(10);
/// An answer that contradicts what is believed by more than this many milliseconds is believed at once, however long it took: the engine's clock was set, or
/// this process stood still and its moments with it. But not where no more servers say so than say what is believed: then it is that server
/// whose clock is wrong.
const SET: i64 = 1_000;
/// For so long it counts what a server has said. Each that is there is asked more often.
const COUNTS: Duration = Duration::from_secs(2);
/// For so long it is told that a server was found to be wrong.
const TOLD: Duration = Duration::from_secs(60);

/// The engine's clock.
#[derive(Debug)]
pub(super) struct EngineClock {
    clock: Clock,
    /// Milliseconds by which it is ahead of this process's moments. By the wall clock, until an answer tells.
    ahead: AtomicI64,
    heard: Mutex<HeardTimes>,
}

/// What was heard of it.
#[derive(Debug, Default)]
struct HeardTimes {
    /// How long the answer took that is believed, and when it came.
    best: Option<(Duration, Moment)>,
    /// What each server has said last, by its number.
    said: HashMap<u64, SaidTime, RandomState>,
    /// When one was last found to be wrong.
    wrong: Option<Moment>,
}

/// By how much a server's clock is ahead of this process's moments, in milliseconds: something between these two.
#[derive(Clone, Copy, Debug)]
struct SaidTime {
    least: i64,
    most: i64,
    at: Moment,
}

impl SaidTime {
    /// Whether the engine may be that much ahead, as far as this one knows.
    fn allows(self, ahead: i64) -> bool {
        (self.least.saturating_sub(SET)..=self.most.saturating_add(SET)).contains(&ahead)
    }
}

/// Since before all moments.
fn millis(moment: Moment) -> u64 {
    u64::try_from(moment.since(Moment::default()).as_millis()).unwrap_or(u64::MAX)
}

impl EngineClock {
    pub(super) fn new(clock: Clock) -> Self {
        let ahead = clock.wall().millis().cast_signed() - millis(clock.now()).cast_signed();
        Self { clock, ahead: AtomicI64::new(ahead), heard: Mutex::default() }
    }

    /// This machine's.
    pub(super) fn own(&self) -> &Clock {
        &self.clock
    }

    /// Takes note of what an answer said that was asked for at `asked`, of the server with this number.
    pub(super) fn told(&self, showed: EngineTime, asked: Moment, server: u64) {
        let now = self.clock.now();
        let took = now.since(asked);
        let ahead_of = |moment: Moment| showed.cast_signed().saturating_sub(millis(moment).cast_signed());
        let (ahead, said) = (ahead_of(asked + took / 2), SaidTime { least: ahead_of(now), most: ahead_of(asked), at: now });
        let mut heard = self.heard.lock();
        heard.said.retain(|_, said| now.since(said.at) < COUNTS);
        heard.said.insert(server, said);
        let believed = self.ahead.load(Ordering::Relaxed);
        if let Some((least, at)) = heard.best {
            if said.allows(believed) {
                if took > least && now.since(at) < BELIEVED {
                    return;
                }
            } else {
                let allow = |ahead: i64| heard.said.values().filter(|said| said.allows(ahead)).count();
                if allow(ahead) <= allow(believed) {
                    heard.wrong = Some(now);
                    return;
                }
                // Those that said so first were right.
                heard.wrong = None;
            }
        }
        heard.best = Some((took, now));
        self.ahead.store(ahead, Ordering::Relaxed);
    }

    /// What does not fit together, in words for who looks after the engine.
    pub(super) fn fault(&self) -> Option<String> {
        let wrong = self.heard.lock().wrong?;
        let is_told = self.clock.now().since(wrong) < TOLD;
        is_told.then(|| {
            "the clocks of the engine's servers differ by more than a second: set them right, by NTP. What expires, and lists that wait, go by \
             what most of them show"
                .to_owned()
        })
    }

    /// What it shows now.
    pub(super) fn now(&self) -> EngineTime {
        self.at(self.clock.now())
    }

    /// The moment here at which it showed that.
    pub(super) fn moment(&self, showed: EngineTime) -> Moment {
        let since = showed.saturating_add_signed(-self.ahead.load(Ordering::Relaxed));
        Moment::default() + Duration::from_millis(since)
    }

    /// What it shows at that moment.
    pub(super) fn at(&self, moment: Moment) -> EngineTime {
        millis(moment).saturating_add_signed(self.ahead.load(Ordering::Relaxed))
    }

    /// What it shows when this machine's shows that.
    pub(super) fn of_wall(&self, wall: WallTime) -> EngineTime {
        self.at(self.clock.moment_of(wall))
    }

    /// The instant at which it showed that: dates are the engine's, the same on every node.
    pub(super) fn instant(&self, showed: EngineTime, is_past: bool) -> Now {
        Now { moment: self.moment(showed), wall: WallTime::from_millis(showed), is_past }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;

    #[test]
    fn the_quickest_answer_is_believed() {
        let clock = Clock::manual();
        let engine = EngineClock::new(clock.clone());
        let asks = || (clock.now(), clock.wall().millis());
        let (asked, showed) = asks();
        clock.advance(Duration::from_millis(10));
        engine.told(showed + 5_005, asked, 0);
        assert_eq!(engine.now(), clock.wall().millis() + 5_000);
        let (asked, showed) = asks();
        clock.advance(Duration::from_millis(500));
        engine.told(showed + 5_499, asked, 0);
        assert_eq!(engine.now(), clock.wall().millis() + 5_000, "that one took long");
        let moment = clock.now() + Duration::from_secs(7);
        assert_eq!(engine.moment(engine.at(moment)), moment);
        clock.advance(BELIEVED);
        let (asked, showed) = asks();
        clock.advance(Duration::from_millis(500));
        engine.told(showed + 4_750, asked, 0);
        assert_eq!(engine.now(), clock.wall().millis() + 4_500, "the quick one is old by now");
    }

    #[test]
    fn a_step_of_the_wall_clock_changes_nothing() {
        let clock = Clock::manual();
        let engine = EngineClock::new(clock.clone());
        let begun = engine.now();
        assert_eq!(begun, clock.wall().millis(), "nobody has told anything yet");
        clock.set_wall(HOUR);
        clock.advance(Duration::from_millis(10));
        assert_eq!(engine.now(), begun + 10);
        // It is set back while an answer is on its way.
        let asked = clock.now();
        clock.set_wall(-2 * HOUR);
        clock.advance(Duration::from_millis(2));
        engine.told(begun + 11, asked, 0);
        assert_eq!(engine.now(), begun + 12);
        assert_eq!(engine.at(clock.now() + Duration::from_secs(60)), begun + 60_012);
        let until = clock.wall() + Duration::from_secs(60);
        assert_eq!(engine.of_wall(until), begun + 60_012, "a minute from now, by whichever clock");
    }

    #[test]
    fn an_answer_that_contradicts_the_quickest_one_is_believed_at_once() {
        let clock = Clock::manual();
        let engine = EngineClock::new(clock.clone());
        let begun = engine.now();
        engine.told(begun, clock.now(), 0);
        // This process stood still for an hour, and its moments with it.
        let asked = clock.now();
        clock.advance(Duration::from_millis(20));
        engine.told(begun + 3_600_010, asked, 0);
        assert_eq!(engine.now(), begun + 3_600_020);
    }

    /// Servers that all show this, each asked for its time; what the engine shows then.
    fn ask(engine: &EngineClock, ahead: &[u64]) -> EngineTime {
        for (server, ahead) in (0..).zip(ahead) {
            let asked = engine.own().now();
            let shows = engine.own().wall().millis() + ahead;
            engine.told(shows, asked, server);
        }
        engine.now() - engine.own().wall().millis()
    }

    #[test]
    fn a_server_whose_clock_is_off_moves_nothing() {
        let clock = Clock::manual();
        let engine = EngineClock::new(clock.clone());
        for _ in 0..100 {
            clock.advance(Duration::from_millis(500));
            let shown = ask(&engine, &[0, 1_500]);
            assert_eq!(shown, 0, "of two nobody knows, so it stays");
        }
        assert!(engine.fault().is_some_and(|fault| fault.contains("NTP")));
        clock.advance(TOLD);
        assert_eq!((ask(&engine, &[0, 20]), engine.fault()), (20, None));
        // The first that answers a node may be that one.
        let engine = EngineClock::new(clock.clone());
        for _ in 0..100 {
            assert_eq!(ask(&engine, &[1_500, 0, 0]), 0);
            clock.advance(Duration::from_millis(500));
        }
        // It is the only one that is left.
        clock.advance(COUNTS);
        assert_eq!(ask(&engine, &[1_500]), 1_500);
    }

    #[test]
    fn what_all_servers_contradict_is_believed_no_more_as_soon_as_most_have_said_so() {
        let clock = Clock::manual();
        let engine = EngineClock::new(clock.clone());
        assert_eq!(ask(&engine, &[0, 3, 7]), 7, "what took no longer is newer");
        // This process stood still.
        clock.advance(Duration::from_millis(10));
        assert_eq!(ask(&engine, &[3_600_000]), 7);
        assert_eq!(ask(&engine, &[3_600_000, 3_600_000]), 3_600_000);
        assert_eq!((ask(&engine, &[3_600_000, 3_600_000, 3_600_000]), engine.fault()), (3_600_000, None));
    }
}
