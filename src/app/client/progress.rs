//! What goes on meanwhile, on a terminal only. The only module that knows indicatif.

use std::cell::Cell;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A line on stderr that moves while doctor waits. Nothing at all where stderr is no terminal.
#[derive(Debug)]
pub(in crate::app) struct ProgressLine {
    bar: ProgressBar,
    shown: Cell<bool>,
}

impl ProgressLine {
    pub(in crate::app) fn new(hidden: bool) -> Self {
        // Draws on stderr, and only on a terminal.
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        if hidden {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {wide_bar} {pos}/{len} s") {
            bar.set_style(style);
        }
        Self { bar, shown: Cell::new(false) }
    }

    /// Says what is waited for, and for how long at most.
    pub(in crate::app) fn begin(&self, what: &str, limit: Duration) {
        self.shown.set(true);
        self.bar.reset();
        self.bar.set_length(limit.as_secs());
        self.bar.set_message(what.to_owned());
        self.bar.enable_steady_tick(Duration::from_millis(100));
    }

    /// Says what is done, this many times.
    pub(in crate::app) fn begin_count(&self, what: &str, count: u64) {
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {wide_bar} {pos}/{len}, {eta} left") {
            self.bar.set_style(style);
        }
        self.begin(what, Duration::from_secs(count));
    }

    /// Once more.
    pub(in crate::app) fn step(&self) {
        self.bar.inc(1);
    }

    pub(in crate::app) fn at(&self, elapsed: Duration) {
        self.bar.set_position(elapsed.as_secs());
    }

    pub(in crate::app) fn end(&self) {
        self.shown.set(false);
        self.bar.finish_and_clear();
    }

    /// Writes something else without tearing the line.
    pub(in crate::app) fn aside(&self, write: impl FnOnce()) {
        if self.shown.get() { self.bar.suspend(write) } else { write() }
    }
}
