//! A browser takes a processor by itself: where several play at once beside everything else, they show late what came in time.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// So many tests may have a browser at a time.
const BROWSERS: usize = 2;

static TAKEN: Mutex<usize> = Mutex::new(0);
static LEFT: Condvar = Condvar::new();

/// The right to start a browser. A test takes it before it starts anything, for encoders that run while it waits are of no use to anybody.
#[derive(Debug)]
pub(crate) struct BrowserTurn(());

fn taken() -> MutexGuard<'static, usize> {
    TAKEN.lock().unwrap_or_else(PoisonError::into_inner)
}

impl BrowserTurn {
    pub(crate) fn wait() -> Self {
        let mut taken = LEFT.wait_while(taken(), |taken| *taken >= BROWSERS).unwrap_or_else(PoisonError::into_inner);
        *taken += 1;
        Self(())
    }
}

impl Drop for BrowserTurn {
    fn drop(&mut self) {
        *taken() -= 1;
        LEFT.notify_one();
    }
}
