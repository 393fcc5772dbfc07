//! Objects about which the tier has given an answer that can't be right: other bytes than were written, or none at all.
//!
//! A proxy, a network, a cache on the way or a failing disk may do that once and never again, so one answer decides nothing. The
//! object is set aside: whoever wants it is told to come back, the tier is asked again after seconds and then after minutes, and
//! only what it has got wrong each time is called lost. Even then nothing is removed, and the tier goes on being asked.

use std::collections::HashMap;
use std::time::Duration;

use ahash::RandomState;

use crate::model::clock::Moment;
use crate::model::id::Key;

/// How long it is to each next question.
const WAITS: [Duration; 4] = [Duration::from_secs(2), Duration::from_secs(10), Duration::from_secs(60), Duration::from_secs(300)];
/// And between those after that.
const LATER: Duration = Duration::from_secs(600);

/// What to do for a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Advice {
    /// Ask the tier.
    Ask,
    /// Nobody knows: tell him to come back.
    Wait,
    /// It is lost.
    Lost,
}

#[derive(Clone, Copy, Debug)]
struct Doubt {
    /// How many answers in a row were wrong.
    wrong: usize,
    next: Moment,
}

/// Those objects.
#[derive(Debug, Default)]
pub(super) struct Doubts(HashMap<Key, Doubt, RandomState>);

impl Doubts {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// What to do for a reader. When it is time to ask again, one is told to, and the others wait for what becomes of that.
    pub(super) fn advise(&mut self, key: &Key, now: Moment) -> Advice {
        let Some(doubt) = self.0.get_mut(key) else { return Advice::Ask };
        if now >= doubt.next {
            doubt.next = now + wait(doubt.wrong);
            return Advice::Ask;
        }
        if doubt.wrong > WAITS.len() { Advice::Lost } else { Advice::Wait }
    }

    /// A wrong answer has come. Says how many that were.
    pub(super) fn wrong(&mut self, key: &Key, now: Moment) -> usize {
        let doubt = self.0.entry(key.clone()).or_insert(Doubt { wrong: 0, next: now });
        doubt.wrong += 1;
        doubt.next = now + wait(doubt.wrong);
        doubt.wrong
    }

    /// Whether this many wrong answers are enough.
    pub(super) const fn is_enough(wrong: usize) -> bool {
        wrong > WAITS.len()
    }

    /// A right answer has come, or there is another version: nothing is in doubt any more. Says whether anything was.
    pub(super) fn settle(&mut self, key: &Key) -> bool {
        !self.0.is_empty() && self.0.remove(key).is_some()
    }

    /// Some of those to ask about now.
    pub(super) fn due(&self, now: Moment, limit: usize) -> Vec<Key> {
        self.0.iter().filter(|(_, doubt)| now >= doubt.next).take(limit).map(|(key, _)| key.clone()).collect()
    }
}

fn wait(wrong: usize) -> Duration {
    wrong.checked_sub(1).and_then(|nth| WAITS.get(nth)).copied().unwrap_or(LATER)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::clock::Clock;

    #[test]
    fn it_takes_minutes_of_wrong_answers_to_call_an_object_lost() {
        let (clock, key, mut doubts) = (Clock::manual(), Key::parse("a").unwrap(), Doubts::default());
        assert_eq!(doubts.advise(&key, clock.now()), Advice::Ask);
        let begun = clock.now();
        for nth in 1.. {
            let wrong = doubts.wrong(&key, clock.now());
            assert_eq!((wrong, doubts.due(clock.now(), 9)), (nth, vec![]));
            if Doubts::is_enough(wrong) {
                break;
            }
            assert_eq!(doubts.advise(&key, clock.now()), Advice::Wait);
            clock.advance(wait(wrong));
            assert_eq!(doubts.due(clock.now(), 9), std::slice::from_ref(&key));
            assert_eq!(doubts.advise(&key, clock.now()), Advice::Ask);
            assert_eq!(doubts.advise(&key, clock.now()), Advice::Wait, "one asks at a time");
        }
        assert!(clock.now().since(begun) > Duration::from_secs(360));
        assert_eq!(doubts.advise(&key, clock.now()), Advice::Lost);
        clock.advance(LATER);
        assert_eq!(doubts.advise(&key, clock.now()), Advice::Ask, "it is asked for all that");
        assert_eq!(doubts.advise(&key, clock.now()), Advice::Lost);
        assert!(doubts.settle(&key) && !doubts.settle(&key));
        assert_eq!(doubts.advise(&key, clock.now()), Advice::Ask);
    }
}
