//! Work on long texts: beside the threads that serve, and little of it at once.
//!
//! To read or rewrite a playlist of some thousand lines takes a millisecond, and is done where it comes up. One of ten megabytes takes
//! a thread for a good part of a second: nobody else's reads and uploads wait for that, and of one namespace only a few take processors
//! from the others.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::OriginError;

/// Texts that are longer are worked on elsewhere.
const LONG: usize = 256 << 10;
/// This many at once in each namespace. The others wait for their turn.
const AT_ONCE: usize = 2;

/// The long work of the readers, or of the writers, of one namespace.
#[derive(Clone, Debug)]
pub(super) struct Heavy(Arc<Semaphore>);

impl Default for Heavy {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
    }
}

impl Heavy {
    /// Whether work on a text of this length is done elsewhere.
    pub(super) const fn is_long(length: usize) -> bool {
        length > LONG
    }

    /// Does work on a text of this length: at once, or elsewhere, when it is long. Dropped, it goes on to its end and nobody hears of
    /// that.
    ///
    /// # Errors
    /// [`OriginError::Busy`], when the server is about to end.
    pub(super) async fn work<T: Send + 'static>(
        &self,
        length: usize,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, OriginError> {
        if !Self::is_long(length) {
            return Ok(work());
        }
        let permit = Arc::clone(&self.0).acquire_owned().await.map_err(|_| OriginError::Busy)?;
        let done = tokio::task::spawn_blocking(move || {
            let done = work();
            drop(permit);
            done
        });
        match done.await {
            Ok(done) => Ok(done),
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(_) => Err(OriginError::Busy),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn long_work_holds_up_nobody_and_little_of_it_is_done_at_once() {
        let heavy = Heavy::default();
        let at_work = Arc::new(AtomicUsize::new(0));
        let (go_on, may_go_on) = mpsc::channel::<()>();
        let may_go_on = Arc::new(parking_lot::Mutex::new(may_go_on));
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..5 {
            let (heavy, at_work, may_go_on) = (heavy.clone(), Arc::clone(&at_work), Arc::clone(&may_go_on));
            tasks.spawn(async move {
                heavy
                    .work(LONG + 1, move || {
                        let before = at_work.fetch_add(1, Ordering::SeqCst);
                        let _ = may_go_on.lock().recv();
                        at_work.fetch_sub(1, Ordering::SeqCst);
                        before
                    })
                    .await
            });
        }
        while at_work.load(Ordering::SeqCst) < AT_ONCE {
            tokio::task::yield_now().await;
        }
        // This runtime has one thread: short work is done on it all the same.
        assert_eq!(heavy.work(LONG, || 7).await, Ok(7));
        assert_eq!(Heavy::default().work(LONG + 1, || 8).await, Ok(8), "another namespace's");
        (0..5).for_each(|_| go_on.send(()).unwrap());
        while let Some(before) = tasks.join_next().await {
            assert!(before.unwrap().unwrap() < AT_ONCE);
        }
    }

    #[tokio::test]
    #[should_panic(expected = "a bug")]
    async fn what_panics_elsewhere_panics_here() {
        let _ = Heavy::default().work(LONG + 1, || panic!("a bug")).await;
    }
}
