//! What goes on meanwhile, on a terminal only. The only module that knows indicatif.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A line on stderr that moves while doctor waits. Nothing at all where stderr is no terminal.
#[derive(Debug)]
pub(super) struct Progress(ProgressBar);

impl Progress {
    pub(super) fn new(hidden: bool) -> Self {
        // Draws on stderr, and only on a terminal.
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        if hidden {
            bar.set_draw_target(ProgressDrawTarget::hidden());
        }
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {wide_bar} {pos}/{len} s") {
            bar.set_style(style);
        }
        Self(bar)
    }

    /// Says what is waited for, and for how long at most.
    pub(super) fn begin(&self, what: &str, limit: Duration) {
        self.0.reset();
        self.0.set_length(limit.as_secs());
        self.0.set_message(what.to_owned());
        self.0.enable_steady_tick(Duration::from_millis(100));
    }

    pub(super) fn at(&self, elapsed: Duration) {
        self.0.set_position(elapsed.as_secs());
    }

    pub(super) fn end(&self) {
        self.0.finish_and_clear();
    }

    /// Writes something else without tearing the line.
    pub(super) fn aside(&self, write: impl FnOnce()) {
        self.0.suspend(write);
    }
}
