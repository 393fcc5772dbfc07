//! An HTTP/2 stream's answer, with a clock on it.
//!
//! Streams share a connection's bytes, so [`super::timed`] sees only whether any of them moves: a client that takes one
//! answer and opens no window for another would keep that one, and the object below it, for as long as it likes. The HTTP library
//! has no limit on that. But it asks an answer's body for its next piece only when the one before has found room in the client's
//! window, and it runs each stream in a future of its own. So the future is run by [`timed`]: when the body has not been asked for
//! a whole time limit, the future is dropped, which resets that stream (RFC 9113 5.4.2) and leaves the others alone.

use std::cell::Cell;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::late;
use super::slow::Slow;

/// What a stream's body did when it was asked last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LastPoll {
    /// Nobody asked.
    No,
    /// It gave a piece, which is there, of this length: now it is the client's turn.
    Gave(usize, usize),
    /// It has nothing yet: that is not the client's fault.
    Starved,
}

thread_local! {
    /// Set by a body below the future that is being polled on this thread, read as soon as that poll is over.
    static ASKED: Cell<LastPoll> = const { Cell::new(LastPoll::No) };
}

/// A body has been asked for a piece. `gave`: and had one, which is there, of this length.
pub(super) fn asked(gave: Option<(usize, usize)>) {
    ASKED.set(gave.map_or(LastPoll::Starved, |(address, length)| LastPoll::Gave(address, length)));
}

/// Runs a stream's future to its end, or until its client has taken nothing of its answer for `limit`; says whether it ended by
/// itself. A stream without an answer yet is not timed here. Cancel-safe: dropping it drops the stream's future.
pub(super) async fn timed<F: Future>(future: F, limit: Duration) -> bool {
    let mut future = pin!(future);
    let (mut since, mut looked_again) = (None, false);
    let (mut slow, mut given) = (None::<Slow>, 0);
    let mut timer = pin!(None);
    std::future::poll_fn(|cx| {
        ASKED.set(LastPoll::No);
        if future.as_mut().poll(cx).is_ready() {
            return Poll::Ready(true);
        }
        match ASKED.replace(LastPoll::No) {
            LastPoll::No => {}
            LastPoll::Gave(address, length) => {
                // What was given before has been taken by now.
                slow.get_or_insert_with(|| Slow::begin(given, address)).at(address);
                given += length as u64;
                since = Some(Instant::now());
                looked_again = false;
            }
            LastPoll::Starved => since = None,
        }
        let Some(idle) = since.map(|since| since + limit) else { return Poll::Pending };
        let mut deadline = slow.map_or(idle, |slow| slow.next_look().min(idle));
        if timer.is_none() {
            timer.set(Some(sleep_until(deadline)));
        }
        // The deadline moves with each piece, the timer only when it has come too early.
        while let Some(running) = timer.as_mut().as_pin_mut() {
            if running.as_ref().deadline() > deadline {
                timer.set(Some(sleep_until(deadline)));
                continue;
            }
            if running.poll(cx).is_pending() {
                break;
            }
            if Instant::now() < deadline {
                timer.set(Some(sleep_until(deadline)));
            } else if deadline < idle
                && let Some(slow) = &mut slow
            {
                if slow.look(given) {
                    return Poll::Ready(false);
                }
                deadline = slow.next_look().min(idle);
                timer.set(Some(sleep_until(deadline)));
            } else if let Some(until) = late::another_look(deadline).filter(|_| !looked_again) {
                looked_again = true;
                since = Some(until - limit);
                timer.set(Some(sleep_until(until)));
            } else {
                return Poll::Ready(false);
            }
        }
        Poll::Pending
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    /// A stream whose body is asked at these seconds, and ends at the last.
    async fn stream(pieces: &[(u64, bool)], end: u64) {
        let begun = Instant::now();
        for &(at, gave) in pieces {
            sleep_until(begun + Duration::from_secs(at)).await;
            asked(gave.then_some((0, 1)));
        }
        sleep_until(begun + Duration::from_secs(end)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_ends_when_its_client_takes_nothing_for_too_long() {
        let begun = Instant::now();
        assert!(!timed(stream(&[(1, true), (20, true)], 1000), LIMIT).await);
        assert_eq!(begun.elapsed().as_secs(), 50, "each piece starts the limit anew");
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_client_is_served_to_the_end() {
        let pieces: Vec<_> = (1..10).map(|n| (n * 29, true)).collect();
        assert!(timed(stream(&pieces, 280), LIMIT).await);
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_for_a_handler_or_for_bytes_to_send_is_not_the_clients_fault() {
        assert!(timed(stream(&[], 1000), LIMIT).await);
        assert!(timed(stream(&[(1, true), (5, false)], 1000), LIMIT).await);
    }
}
