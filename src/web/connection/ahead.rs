//! What came before: connections of one address in the order in which they were accepted.
//!
//! An encoder that opens a connection for each object (ffmpeg as it comes) sends a segment, hangs up, and sends the playlist that
//! lists it on the next one. Both may be here before the first one's task has had its turn, and the runtime lets the newest go first.
//! So whoever makes a playlist known waits until those ahead of it have done with what has come of them: until then the segment
//! would be listed, and not be there. An upload that waits for its client holds up nothing.
//!
//! Invariant: the wait is bounded, and where nobody is ahead there is none.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep};

use super::state::ConnectionState;
use crate::model::stamp::Stamp;

/// How long is waited at most: a playlist is late by so much where the threads have more to do than they can.
const PATIENCE: Duration = Duration::from_millis(100);
/// For how long a connection that has said nothing is taken for one whose first bytes are about to be read: that is done on other threads,
/// which may be busy.
const AT_FIRST: Duration = Duration::from_millis(20);
/// How many turns all others get before it is looked less often.
const TURNS: u32 = 32;

/// Connections that have said nothing yet, or began with an upload.
#[derive(Debug, Default)]
pub(in crate::web) struct Comers {
    by_address: Mutex<HashMap<IpAddr, Vec<Comer>>>,
}

#[derive(Clone, Debug)]
struct Comer {
    at: Stamp,
    since: Instant,
    state: Arc<ConnectionState>,
}

/// One of them, until this is dropped.
#[derive(Debug)]
pub(super) struct PlaceInLine {
    comers: Arc<Comers>,
    address: IpAddr,
    state: Arc<ConnectionState>,
}

impl Comers {
    /// A connection was accepted then.
    pub(super) fn arrive(self: &Arc<Self>, address: IpAddr, at: Stamp, state: &Arc<ConnectionState>) -> PlaceInLine {
        self.by_address.lock().entry(address).or_default().push(Comer { at, since: Instant::now(), state: Arc::clone(state) });
        PlaceInLine { comers: Arc::clone(self), address, state: Arc::clone(state) }
    }

    /// Waits until those of this address that were accepted before `begun` have done with what had come of them by now. Cancel-safe.
    pub(in crate::web) async fn done(&self, address: IpAddr, begun: Stamp, own: &Arc<ConnectionState>) {
        let mut ahead: Vec<Comer> = match self.by_address.lock().get(&address) {
            Some(all) => all.iter().filter(|one| one.at < begun && !Arc::ptr_eq(&one.state, own)).cloned().collect(),
            None => return,
        };
        if ahead.is_empty() {
            return;
        }
        let end = Instant::now() + PATIENCE;
        let mut turns = 0;
        loop {
            // What has just come is told to its task only after this turn: so there is always one for the others.
            if turns < TURNS {
                yield_now().await;
                turns += 1;
            } else {
                sleep(Duration::from_millis(1)).await;
            }
            ahead.retain(|one| one.state.has_work() || !one.state.has_begun() && one.since.elapsed() < AT_FIRST);
            if ahead.is_empty() || Instant::now() >= end {
                return;
            }
        }
    }
}

impl Drop for PlaceInLine {
    fn drop(&mut self) {
        let mut by_address = self.comers.by_address.lock();
        if let Some(all) = by_address.get_mut(&self.address) {
            all.retain(|one| !Arc::ptr_eq(&one.state, &self.state));
            if all.is_empty() {
                by_address.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::clock::Clock;
    use crate::model::stamp::Stamps;

    const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));

    async fn waits(comers: &Comers, begun: Stamp) -> Duration {
        let from = Instant::now();
        comers.done(ADDRESS, begun, &Arc::default()).await;
        from.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_playlist_waits_for_what_is_ahead_and_here() {
        let (comers, stamps) = (Arc::new(Comers::default()), Stamps::new(Clock::manual()));
        let segment = Arc::new(ConnectionState::default());
        let place = comers.arrive(ADDRESS, stamps.next(), &segment);
        let playlist = stamps.next();
        // Nobody has looked yet what it has to say; then it is read, and then all of it is stored.
        let done = tokio::spawn({
            let segment = Arc::clone(&segment);
            async move {
                sleep(Duration::from_millis(20)).await;
                segment.request_begins();
                sleep(Duration::from_millis(20)).await;
                segment.request_ends();
            }
        });
        let waited = waits(&comers, playlist).await.as_millis();
        assert!((39..45).contains(&waited), "{waited} ms");
        done.await.unwrap();
        assert!(waits(&comers, playlist).await.is_zero());
        drop(place);
        assert!(comers.by_address.lock().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_his_client_or_came_later_holds_up_nobody() {
        let (comers, stamps) = (Arc::new(Comers::default()), Stamps::new(Clock::manual()));
        let first = stamps.next();
        let states: Vec<Arc<ConnectionState>> = (0..3).map(|_| Arc::default()).collect();
        let _places: Vec<PlaceInLine> = states.iter().map(|state| comers.arrive(ADDRESS, stamps.next(), state)).collect();
        let last = stamps.next();
        assert!(waits(&comers, first).await.is_zero(), "all came later");
        // One has said nothing, one is in the middle of its body, one's request is over.
        states[0].set_waiting(true);
        states[1].request_begins();
        states[1].set_waiting(true);
        states[2].request_begins();
        states[2].request_ends();
        let waited = waits(&comers, last).await;
        assert!(waited >= AT_FIRST && waited < AT_FIRST * 2, "it may be about to say something: {waited:?}");
        assert!(waits(&comers, last).await.is_zero());
        states[1].set_waiting(false);
        let waited = waits(&comers, last).await;
        assert!(waited >= PATIENCE && waited < PATIENCE * 2, "one that never ends holds it up for so long: {waited:?}");
    }
}
