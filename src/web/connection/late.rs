//! Timers that fire late.
//!
//! A process that was stopped for a while (a virtual machine that is moved, a debugger, `SIGSTOP`) finds its timers over when it goes
//! on, and what came meanwhile unread: its runtime learns of timers and sockets apart, and may tell of the timers first. A client is
//! not given up for that: when a timer fires long after its time, there is one more look before it counts.

use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::error::Elapsed;
use tokio::time::{Instant, Sleep, sleep_until, timeout, timeout_at};

/// How late a timer may be and still count at once: far more than a busy machine's delays.
const LATE: Duration = Duration::from_millis(500);
/// How long the other look lasts: a turn of the runtime, with time to spare.
const ANOTHER_LOOK: Duration = Duration::from_millis(250);

/// Until when to look once more, if a timer that was set to `deadline` fires now, and now is late.
pub(super) fn another_look(deadline: Instant) -> Option<Instant> {
    let now = Instant::now();
    (now.saturating_duration_since(deadline) > LATE).then(|| now + ANOTHER_LOOK)
}

/// Waits for a future until a deadline, and a little longer when the deadline is noticed late. Cancel-safe as far as the future is.
///
/// # Errors
/// When the time is over.
pub(super) async fn until<F: Future>(deadline: Instant, future: F) -> Result<F::Output, Elapsed> {
    let mut future = pin!(future);
    match timeout_at(deadline, future.as_mut()).await {
        Err(_) if another_look(deadline).is_some() => timeout(ANOTHER_LOOK, future).await,
        done => done,
    }
}

/// One timer for deadlines that move all the time: on a busy connection they move with every request, and most never come.
#[derive(Debug, Default)]
pub(in crate::web) struct Alarm {
    timer: Option<Pin<Box<Sleep>>>,
    /// The deadline that was noticed late, and until when there is another look.
    late: Option<(Instant, Instant)>,
}

impl Alarm {
    /// Whether the deadline has passed, and not only just been noticed; if not, the task is woken when it does. The timer is set anew
    /// only when it would come too late.
    pub(in crate::web) fn passed(&mut self, asked: Instant, cx: &mut Context<'_>) -> bool {
        let mut deadline = match self.late {
            Some((late, until)) if late == asked => until,
            _ => asked,
        };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        loop {
            if timer.as_mut().poll(cx) == Poll::Pending {
                if timer.deadline() <= deadline {
                    return false;
                }
            } else if Instant::now() >= deadline {
                match another_look(asked) {
                    Some(until) if deadline == asked => {
                        self.late = Some((asked, until));
                        deadline = until;
                    }
                    _ => return true,
                }
            }
            timer.as_mut().reset(deadline);
        }
    }

    /// The task goes on in another runtime: the timer is made there when it is needed.
    pub(super) fn settle(&mut self) {
        self.timer = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;
    use tokio::time::{advance, sleep};

    #[tokio::test(start_paused = true)]
    async fn a_timer_that_fires_in_time_counts_at_once() {
        let begun = Instant::now();
        assert!(until(begun + Duration::from_secs(3), std::future::pending::<()>()).await.is_err());
        assert!(begun.elapsed() < Duration::from_millis(3_100), "{:?}", begun.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn what_came_while_the_process_stood_still_is_looked_at() {
        let (sender, receiver) = oneshot::channel();
        let waiting = tokio::spawn(until(Instant::now() + Duration::from_secs(3), receiver));
        tokio::task::yield_now().await;
        // All of it passes at once, and what was sent meanwhile is told only after the timers.
        advance(Duration::from_secs(7)).await;
        tokio::spawn(async move {
            sleep(Duration::from_millis(50)).await;
            let _ = sender.send(());
        });
        assert!(waiting.await.unwrap().is_ok());

        let (_silent, receiver) = oneshot::channel::<()>();
        let waiting = tokio::spawn(until(Instant::now() + Duration::from_secs(3), receiver));
        tokio::task::yield_now().await;
        advance(Duration::from_secs(7)).await;
        assert!(waiting.await.unwrap().is_err(), "one more look, and no more");
    }
}
