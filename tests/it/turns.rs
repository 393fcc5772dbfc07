//! A browser takes a processor by itself: where several play at once beside everything else, they show late what came in time.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

/// So many tests may have a browser at a time.
const BROWSERS: usize = 2;

/// How the names of those tests begin. `tests/report` runs them in a process of their own: who waits here takes no other test's thread.
const NAMED: &str = include_str!("../browsers");

static TAKEN: Mutex<usize> = Mutex::new(0);
static LEFT: Condvar = Condvar::new();

/// The right to start a browser. A test takes it before it starts anything, for encoders that run while it waits are of no use to anybody.
#[derive(Debug)]
pub(crate) struct BrowserTurn(());

fn taken() -> MutexGuard<'static, usize> {
    TAKEN.lock().unwrap_or_else(PoisonError::into_inner)
}

impl BrowserTurn {
    /// Waits for it. Panics in a test that tests/browsers does not name.
    pub(crate) fn wait() -> Self {
        // A thread is called like its test, but where there is one for all of them.
        if let Some(test) = thread::current().name().filter(|name| *name != "main") {
            let is_named = NAMED.lines().any(|begin| !begin.is_empty() && test.starts_with(begin));
            assert!(is_named, "a test that has a browser is named in tests/browsers: name {test} there");
        }
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
