//! The access log's queue: requests put lines in, a thread of the floor above takes them out.
//!
//! One buffer that is swapped as a whole, and not a channel: a line costs a copy, and the writer is woken once for a heap of
//! them. The buffer is bounded. When whatever the lines go to is slower than the requests, lines are lost and counted, and no
//! request waits.

use std::cell::RefCell;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

use crate::metrics::Metrics;

/// How many bytes of lines wait to be written, at most: some ten thousand lines.
const WAITING: usize = 4 << 20;

/// Lines on their way out.
#[derive(Debug)]
pub struct AccessLog {
    queue: Mutex<PendingLines>,
    filled: Condvar,
    metrics: Arc<Metrics>,
}

#[derive(Debug, Default)]
struct PendingLines {
    text: Vec<u8>,
    closed: bool,
}

thread_local! {
    /// Where a line is put together before the lock is taken.
    static LINE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl AccessLog {
    /// An empty queue.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { queue: Mutex::default(), filled: Condvar::new(), metrics }
    }

    /// Puts in what `line` writes, and ends the line.
    pub(super) fn add(&self, line: impl FnOnce(&mut Vec<u8>)) {
        LINE.with_borrow_mut(|text| {
            text.clear();
            line(text);
            text.push(b'\n');
            let mut queue = self.queue.lock();
            if queue.text.len() + text.len() > WAITING {
                self.metrics.housekeeping.access_log_lines_dropped.inc();
                return;
            }
            let was_empty = queue.text.is_empty();
            queue.text.extend_from_slice(text);
            drop(queue);
            if was_empty {
                self.filled.notify_one();
            }
        });
    }

    /// Waits for lines and puts them into `into`, which is empty. Says whether there may be more: once the queue is closed, what
    /// is left comes out, and then nothing.
    #[must_use]
    pub fn take(&self, into: &mut Vec<u8>) -> bool {
        let mut queue = self.queue.lock();
        while queue.text.is_empty() && !queue.closed {
            self.filled.wait(&mut queue);
        }
        std::mem::swap(&mut queue.text, into);
        !queue.closed
    }

    /// Lets the writer end.
    pub fn close(&self) {
        self.queue.lock().closed = true;
        self.filled.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_out_as_they_went_in_and_the_end_is_told() {
        let log = AccessLog::new(Arc::default());
        log.add(|line| line.extend_from_slice(b"one"));
        log.add(|line| line.extend_from_slice(b"two"));
        let mut text = Vec::new();
        assert!(log.take(&mut text));
        assert_eq!(text, b"one\ntwo\n");
        log.add(|line| line.extend_from_slice(b"three"));
        log.close();
        text.clear();
        assert!(!log.take(&mut text));
        assert_eq!(text, b"three\n");
    }

    #[test]
    fn what_nobody_takes_is_lost_and_counted() {
        let metrics = Arc::new(Metrics::new());
        let log = AccessLog::new(Arc::clone(&metrics));
        for _ in 0..50_000 {
            log.add(|line| line.extend_from_slice(&[b'x'; 199]));
        }
        let kept = log.queue.lock().text.len();
        assert!(kept <= WAITING && kept > WAITING - 200);
        assert_eq!(metrics.housekeeping.access_log_lines_dropped.get(), 50_000 - kept as u64 / 200);
    }
}
