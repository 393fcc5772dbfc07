//! Whose turn it is to be harvested: so many at a time, and no namespace waits for another's as long as fewer run than may in all.
//!
//! Invariants: of those that wait, a namespace of which none runs comes first, and does not wait for those that have what all share. Of one
//! namespace they run in the order in which they came. So many namespaces as may run in all, each with a long one, keep one more waiting.

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::model::id::Namespace;

/// How many run at a time: each reads and writes as fast as it can, and a live stream comes first.
pub(super) const AT_ONCE: usize = 2;
/// How many run where each is of another namespace: each holds a file in memory, and a short list of them.
const IN_ALL: usize = 8;

#[derive(Debug)]
pub(super) struct HarvestTurns {
    at_once: usize,
    in_all: usize,
    state: Mutex<HarvestsUnderWay>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct HarvestsUnderWay {
    tickets: u64,
    now: Vec<Namespace>,
    /// The first to come is the first.
    waiting: Vec<(u64, Namespace)>,
}

impl HarvestsUnderWay {
    /// Which of those that wait has its turn now.
    fn next(&self, at_once: usize, in_all: usize) -> Option<u64> {
        let is_alone = |(_, namespace): &&(u64, Namespace)| !self.now.contains(namespace);
        let others = || self.waiting.first().filter(|_| self.now.len() < at_once);
        let first = self.waiting.iter().find(is_alone).filter(|_| self.now.len() < in_all);
        first.or_else(others).map(|(ticket, _)| *ticket)
    }
}

/// A turn; it is over when this is dropped.
#[derive(Debug)]
pub(super) struct HarvestTurn<'a> {
    turns: &'a HarvestTurns,
    namespace: Namespace,
}

/// A place among those that wait, given up when it is dropped.
struct WaitingHarvest<'a>(&'a HarvestTurns, u64);

impl Default for HarvestTurns {
    fn default() -> Self {
        Self::new(AT_ONCE, IN_ALL)
    }
}

impl HarvestTurns {
    /// So many at a time, and so many where each is of another namespace.
    pub(super) fn new(at_once: usize, in_all: usize) -> Self {
        Self { at_once, in_all, state: Mutex::default(), changed: Notify::new() }
    }

    /// Waits for a turn. Cancel-safe: who is dropped waits no more.
    pub(super) async fn wait(&self, namespace: &Namespace) -> HarvestTurn<'_> {
        let ticket = {
            let mut state = self.state.lock();
            state.tickets += 1;
            let ticket = state.tickets;
            state.waiting.push((ticket, namespace.clone()));
            ticket
        };
        let place = WaitingHarvest(self, ticket);
        loop {
            // Made before it is looked: what changes in between wakes it.
            let changed = self.changed.notified();
            {
                let mut state = self.state.lock();
                if state.next(self.at_once, self.in_all) == Some(ticket) {
                    state.now.push(namespace.clone());
                    break;
                }
            }
            changed.await;
        }
        drop(place);
        HarvestTurn { turns: self, namespace: namespace.clone() }
    }
}

impl Drop for WaitingHarvest<'_> {
    fn drop(&mut self) {
        let Self(turns, ticket) = self;
        turns.state.lock().waiting.retain(|(waits, _)| waits != ticket);
        turns.changed.notify_waiters();
    }
}

impl Drop for HarvestTurn<'_> {
    fn drop(&mut self) {
        let mut state = self.turns.state.lock();
        if let Some(at) = state.now.iter().position(|namespace| *namespace == self.namespace) {
            state.now.swap_remove(at);
        }
        drop(state);
        self.turns.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn named(name: &str) -> Namespace {
        Namespace::parse(name).unwrap()
    }

    #[tokio::test]
    async fn no_namespace_waits_for_anothers_harvests() {
        let (turns, [a, b]) = (HarvestTurns::default(), ["a", "b"].map(named));
        let (first, second) = (turns.wait(&a).await, turns.wait(&a).await);
        let mut third = Box::pin(turns.wait(&a));
        assert!(third.as_mut().now_or_never().is_none(), "so many at a time");
        // Both may last for hours.
        let other = turns.wait(&b).now_or_never().expect("it has its turn");
        let mut another = Box::pin(turns.wait(&b));
        assert!(another.as_mut().now_or_never().is_none());
        // With one of each left, the first to come is next, and nobody more than may.
        drop(first);
        assert!(third.as_mut().now_or_never().is_none() && another.as_mut().now_or_never().is_none());
        drop(second);
        let third = third.now_or_never().expect("nothing of its namespace runs");
        assert!(another.as_mut().now_or_never().is_none());
        drop((third, other));
        assert!(another.now_or_never().is_some());
        let state = turns.state.lock();
        assert!(state.now.is_empty() && state.waiting.is_empty());
    }

    #[tokio::test]
    async fn who_waits_no_more_is_in_nobodys_way_and_so_many_run_in_all() {
        let turns = HarvestTurns::default();
        let names: Vec<Namespace> = (0..=IN_ALL).map(|number| named(&format!("n{number}"))).collect();
        let mut running = Vec::new();
        for name in &names[..IN_ALL] {
            running.push(turns.wait(name).now_or_never().expect("one of each"));
        }
        let mut given_up = Box::pin(turns.wait(&names[IN_ALL]));
        assert!(given_up.as_mut().now_or_never().is_none());
        let mut next = Box::pin(turns.wait(&names[IN_ALL]));
        assert!(next.as_mut().now_or_never().is_none());
        drop(given_up);
        running.pop();
        assert!(next.now_or_never().is_some());
    }
}
