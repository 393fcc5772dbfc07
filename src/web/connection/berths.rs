//! A listener of few places, where a crowd that says nothing shuts nobody out: when they are all taken, the next client has that of
//! one who is not being served. One that has never asked for anything goes first, and of those the one that came first.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::admission::Permit;
use super::state::ConnectionState;

/// The places that are taken, in the order in which they were.
#[derive(Debug, Default)]
pub(in crate::web) struct Berths {
    taken: Mutex<Vec<BerthTaken>>,
}

#[derive(Debug)]
struct BerthTaken {
    state: Arc<ConnectionState>,
    /// Free again as soon as the place is given away, whenever the connection has noticed.
    _permit: Option<Permit>,
    given_away: CancellationToken,
}

/// One of them, until this is dropped.
#[derive(Debug)]
pub(in crate::web) struct Berth {
    berths: Arc<Berths>,
    state: Arc<ConnectionState>,
    given_away: CancellationToken,
}

/// What an open connection holds as long as it is open.
#[derive(Debug)]
pub(in crate::web) enum Held {
    /// A permit, for good.
    Permit(Permit),
    /// A place that may be given to another.
    Berth(Berth),
}

impl Held {
    /// Whether it is one of the places that are there for uploads alone.
    pub(super) fn is_for_upload(&self) -> bool {
        matches!(self, Self::Permit(permit) if permit.is_for_upload)
    }

    /// Waits until the place has been given to another. Cancel-safe.
    pub(super) async fn given_away(&self) {
        match self {
            Self::Permit(_) => std::future::pending().await,
            Self::Berth(berth) => berth.given_away.cancelled().await,
        }
    }
}

impl Berths {
    /// Takes a place for this connection; where `most` are taken, one is given away for it, if there is one to give. Says whether so
    /// many were.
    pub(in crate::web) fn take(
        self: &Arc<Self>,
        state: &Arc<ConnectionState>,
        permit: Option<Permit>,
        most: usize,
    ) -> (Berth, bool) {
        let mut taken = self.taken.lock();
        let is_full = taken.len() >= most;
        if is_full {
            let idle = taken.iter().enumerate().filter(|(_, taken)| !taken.state.is_served());
            let victim = idle.min_by_key(|(at, taken)| (taken.state.has_begun(), *at)).map(|(at, _)| at);
            if let Some(at) = victim {
                taken.remove(at).given_away.cancel();
            }
        }
        let given_away = CancellationToken::new();
        taken.push(BerthTaken { state: Arc::clone(state), _permit: permit, given_away: given_away.clone() });
        (Berth { berths: Arc::clone(self), state: Arc::clone(state), given_away }, is_full)
    }
}

impl Drop for Berth {
    fn drop(&mut self) {
        self.berths.taken.lock().retain(|taken| !Arc::ptr_eq(&taken.state, &self.state));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_who_has_said_nothing_is_given_away_first_and_never_that_of_who_is_served() {
        let berths = Arc::new(Berths::default());
        let states: Vec<Arc<ConnectionState>> = (0..5).map(|_| Arc::default()).collect();
        let take = |n: usize| berths.take(&states[n], None, 3);
        let held: Vec<Berth> = (0..3).map(|n| take(n).0).collect();
        let lost = || held.iter().map(|berth| berth.given_away.is_cancelled()).collect::<Vec<_>>();
        // The first is served, the second was, the third has said nothing.
        states[0].request_begins();
        states[1].request_begins();
        states[1].request_ends();
        let (fourth, was_full) = take(3);
        assert_eq!((was_full, lost()), (true, vec![false, false, true]));
        states[3].request_begins();
        let (fifth, _) = take(4);
        assert_eq!(lost(), [false, true, true]);
        states[4].request_begins();
        assert_eq!(berths.taken.lock().len(), 3);
        // All are served: one more is there beside them.
        let more: Arc<ConnectionState> = Arc::default();
        let (_more, was_full) = berths.take(&more, None, 3);
        assert!(was_full && !fourth.given_away.is_cancelled() && !fifth.given_away.is_cancelled());
        drop((held, fourth, fifth));
        assert_eq!(berths.taken.lock().len(), 1);
    }
}
