//! Work that goes on when the one who asked for it is gone.
//!
//! As long as the caller waits, the work is done in his task. For an upload that is the connection's own: body and connection
//! then need not wake each other across threads for each chunk, which is a good part of what an upload in chunks costs beyond one
//! of known length. Only when the caller gives up is the rest done in a task of its own.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TrackedFuture;

/// The work. Dropping it does not end it, unless the runtime itself is ending.
pub(in crate::web) struct Detached<F: Future<Output: Send> + Send + 'static> {
    work: Option<Pin<Box<TrackedFuture<F>>>>,
}

impl<F: Future<Output: Send> + Send + 'static> Detached<F> {
    /// Begins nothing yet. The tracker counts the work until it is done, wherever that is.
    pub(in crate::web) fn new(tracker: &TaskTracker, work: F) -> Self {
        Self { work: Some(Box::pin(tracker.track_future(work))) }
    }
}

impl<F: Future<Output: Send> + Send + 'static> Future for Detached<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        // Taken out, so that work which panics is not begun again.
        let Some(mut work) = self.work.take() else { return Poll::Pending };
        let polled = work.as_mut().poll(cx);
        if polled.is_pending() {
            self.work = Some(work);
        }
        polled
    }
}

impl<F: Future<Output: Send> + Send + 'static> Drop for Detached<F> {
    fn drop(&mut self) {
        if let Some(work) = self.work.take()
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(work);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::AssertUnwindSafe;
    use std::panic::catch_unwind;
    use std::task::Waker;
    use std::time::Duration;
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn it_goes_on_without_its_caller() {
        let tracker = TaskTracker::new();
        let (go_on, gone_on) = oneshot::channel::<()>();
        let (done, was_done) = oneshot::channel();
        let mut work = Box::pin(Detached::new(&tracker, async move {
            gone_on.await.unwrap();
            done.send(()).unwrap();
        }));
        assert!(work.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        drop(work);
        assert_eq!(tracker.len(), 1, "it is still counted");
        go_on.send(()).unwrap();
        was_done.await.unwrap();
        tracker.close();
        tokio::time::timeout(Duration::from_secs(10), tracker.wait()).await.unwrap();
    }

    #[tokio::test]
    async fn it_is_done_once() {
        let tracker = TaskTracker::new();
        assert_eq!(Detached::new(&tracker, async { 7 }).await, 7);
        let mut panics = Box::pin(Detached::new(&tracker, async {
            if true {
                panic!("a bug");
            }
        }));
        let polled = catch_unwind(AssertUnwindSafe(|| panics.as_mut().poll(&mut Context::from_waker(Waker::noop()))));
        assert!(polled.is_err());
        drop(panics);
        assert_eq!(tracker.len(), 0, "what panicked does not go on");
    }
}
