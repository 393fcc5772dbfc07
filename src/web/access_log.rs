//! The access log's queue: requests put lines in, a thread of the floor above takes them out.
//!
//! One buffer that is swapped as a whole, and not a channel: a line costs a copy, and the writer is woken once for a heap of
//! them. The buffer is bounded. When whatever the lines go to is slower than the requests, lines are lost and counted, and no
//! request waits.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

use crate::metrics::Metrics;

/// How many bytes of lines wait to be written, at most: some ten thousand lines.
const WAITING: usize = 4 << 20;

/// Lines on their way out.
#[derive(Debug)]
pub struct AccessLog {
    queue: Mutex<Queue>,
    filled: Condvar,
    metrics: Arc<Metrics>,
}

#[derive(Debug, Default)]
struct Queue {
    text: String,
    closed: bool,
}

thread_local! {
    /// Where a line is put together before the lock is taken.
    static LINE: RefCell<String> = const { RefCell::new(String::new()) };
}

impl AccessLog {
    /// An empty queue.
    #[must_use]
    pub fn new(metrics: Arc<Metrics>) -> Self {
        Self { queue: Mutex::default(), filled: Condvar::new(), metrics }
    }

    /// Puts in what `line` writes, and ends the line.
    pub(super) fn add(&self, line: impl FnOnce(&mut String)) {
        LINE.with_borrow_mut(|text| {
            text.clear();
            line(text);
            text.push('\n');
            let mut queue = self.queue.lock();
            if queue.text.len() + text.len() > WAITING {
                self.metrics.access_log_lines_dropped.inc();
                return;
            }
            let was_empty = queue.text.is_empty();
            queue.text.push_str(text);
            drop(queue);
            if was_empty {
                self.filled.notify_one();
            }
        });
    }

    /// Waits for lines and puts them into `into`, which is empty. Says whether there may be more: once the queue is closed, what
    /// is left comes out, and then nothing.
    #[must_use]
    pub fn take(&self, into: &mut String) -> bool {
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

/// Writes one JSON object, field by field.
pub(super) struct Object<'a> {
    text: &'a mut String,
    begun: bool,
}

impl<'a> Object<'a> {
    pub(super) fn begin(text: &'a mut String) -> Self {
        text.push('{');
        Self { text, begun: false }
    }

    fn name(&mut self, name: &str) {
        if std::mem::replace(&mut self.begun, true) {
            self.text.push(',');
        }
        self.text.push('"');
        self.text.push_str(name);
        self.text.push_str("\":");
    }

    pub(super) fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        quote(self.text, value);
    }

    /// Anything whose form needs no escapes: a time, an address.
    pub(super) fn plain(&mut self, name: &str, value: impl std::fmt::Display) {
        self.name(name);
        // Writing to a String can't fail.
        let _ = write!(self.text, "\"{value}\"");
    }

    pub(super) fn number(&mut self, name: &str, value: impl Into<Option<u64>>) {
        self.name(name);
        match value.into() {
            Some(value) => {
                let _ = write!(self.text, "{value}");
            }
            None => self.text.push_str("null"),
        }
    }

    pub(super) fn truth(&mut self, name: &str, value: bool) {
        self.name(name);
        self.text.push_str(if value { "true" } else { "false" });
    }

    pub(super) fn end(self) {
        self.text.push('}');
    }
}

/// A JSON string (RFC 8259 7).
fn quote(out: &mut String, text: &str) {
    out.push('"');
    let is_special = |c: char| c == '"' || c == '\\' || c.is_control();
    let mut rest = text;
    while let Some(at) = rest.find(is_special) {
        out.push_str(&rest[..at]);
        let mut characters = rest[at..].chars();
        if let Some(special) = characters.next() {
            let _ = match special {
                '"' => out.write_str("\\\""),
                '\\' => out.write_str("\\\\"),
                other => write!(out, "\\u{:04x}", u32::from(other)),
            };
        }
        rest = characters.as_str();
    }
    out.push_str(rest);
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, proptest};

    #[test]
    fn lines_come_out_as_they_went_in_and_the_end_is_told() {
        let log = AccessLog::new(Arc::default());
        log.add(|line| line.push_str("one"));
        log.add(|line| line.push_str("two"));
        let mut text = String::new();
        assert!(log.take(&mut text));
        assert_eq!(text, "one\ntwo\n");
        log.add(|line| line.push_str("three"));
        log.close();
        text.clear();
        assert!(!log.take(&mut text));
        assert_eq!(text, "three\n");
    }

    #[test]
    fn what_nobody_takes_is_lost_and_counted() {
        let metrics = Arc::new(Metrics::new());
        let log = AccessLog::new(Arc::clone(&metrics));
        for _ in 0..50_000 {
            log.add(|line| line.push_str(&"x".repeat(199)));
        }
        let kept = log.queue.lock().text.len();
        assert!(kept <= WAITING && kept > WAITING - 200);
        assert_eq!(metrics.access_log_lines_dropped.get(), 50_000 - kept as u64 / 200);
    }

    proptest! {
        #[test]
        fn every_text_reads_back(value in any::<String>()) {
            let mut text = String::new();
            let mut object = Object::begin(&mut text);
            object.text("a", &value);
            object.number("b", None);
            object.number("c", 7);
            object.plain("d", 1.5);
            object.truth("e", true);
            object.end();
            let read: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(read, serde_json::json!({"a": value, "b": null, "c": 7, "d": "1.5", "e": true}));
        }
    }
}
