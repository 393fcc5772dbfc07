//! Which primary says nothing any more: found out by one lane, and true for all that it has.
//!
//! A primary that is killed breaks its connections off, one that is frozen or cut off does not. A lane that has waited for too long for an
//! answer looks whether any other has had one meanwhile: if so the primary is there, and slow; if not all lanes look for another.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;

/// What lanes of one node have heard of their primaries.
#[derive(Debug)]
pub(super) struct Silence<P> {
    epoch: Instant,
    of: Mutex<HashMap<P, Arc<Heard>>>,
    /// How many there have been.
    count: AtomicU64,
}

/// Of one of these.
#[derive(Debug)]
pub(super) struct Heard {
    /// No other one has it.
    number: u64,
    epoch: Instant,
    /// When somebody had an answer, in milliseconds since `epoch`.
    last: AtomicU64,
    /// Counts how often it was found silent.
    lost: watch::Sender<u64>,
}

impl<P: Clone + Eq + Hash> Silence<P> {
    pub(super) fn new() -> Self {
        Self { epoch: Instant::now(), of: Mutex::default(), count: AtomicU64::new(0) }
    }

    pub(super) fn of(&self, primary: &P) -> Arc<Heard> {
        let mut of = self.of.lock();
        if let Some(heard) = of.get(primary) {
            return Arc::clone(heard);
        }
        // Where addresses change with each start of an engine there would be more and more.
        of.retain(|_, heard| Arc::strong_count(heard) > 1);
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let heard = Arc::new(Heard { number, epoch: self.epoch, last: AtomicU64::new(0), lost: watch::Sender::new(0) });
        of.insert(primary.clone(), Arc::clone(&heard));
        heard
    }
}

impl Heard {
    fn millis(&self, at: Instant) -> u64 {
        u64::try_from((at - self.epoch).as_millis()).unwrap_or(u64::MAX)
    }

    /// What it is told apart by.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// It has answered.
    pub(super) fn answered(&self, now: Instant) {
        self.last.fetch_max(self.millis(now), Ordering::Relaxed);
    }

    /// Whether it has answered anybody after that.
    pub(super) fn has_answered_since(&self, then: Instant) -> bool {
        self.last.load(Ordering::Relaxed) > self.millis(then)
    }

    /// It is silent: all that listen are told.
    pub(super) fn is_silent(&self) {
        self.lost.send_modify(|count| *count += 1);
    }

    /// For who wants to be told, from now on.
    pub(super) fn listen(&self) -> watch::Receiver<u64> {
        self.lost.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn one_that_answers_anybody_is_there_and_of_one_that_does_not_all_are_told() {
        let (silence, second) = (Silence::new(), Duration::from_secs(1));
        let (one, other) = (silence.of(&"a"), silence.of(&"b"));
        let begun = silence.epoch;
        assert!(!one.has_answered_since(begun));
        silence.of(&"a").answered(begun + second);
        assert!(one.has_answered_since(begun) && !one.has_answered_since(begun + second));
        one.answered(begun);
        assert!(one.has_answered_since(begun), "answers may be noted late");
        assert!(!other.has_answered_since(begun), "another primary");
        assert!(one.number() == silence.of(&"a").number() && one.number() != other.number());
        drop(silence.of(&"gone"));
        assert_eq!((silence.of(&"c").millis(begun), silence.of.lock().len()), (0, 3), "nobody has to do with it any more");
        let (before, elsewhere) = (one.listen(), other.listen());
        one.is_silent();
        assert!(before.has_changed().unwrap() && !one.listen().has_changed().unwrap() && !elsewhere.has_changed().unwrap());
    }
}
