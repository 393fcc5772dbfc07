//! Logs: to stderr, from a thread of their own, so that a terminal or pipe that is stuck never holds up a request.

use std::borrow::Cow;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::panic::PanicHookInfo;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tracing::level_filters::LevelFilter;
use tracing::{Level, Metadata};
use tracing_appender::non_blocking::{ErrorCounter, NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::Registry;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::settings::{LogFormat, LogLevel};
use crate::metrics::Metrics;
use crate::web::record::shown_line;

/// How often it is looked for lines that are lost, and how many looks are to find none before they are told of: a line more would be lost, too.
const EVERY: Duration = Duration::from_secs(1);
const QUIET: u32 = 10;

/// Logging, while this or a clone of it lives: lines still queued are written when the last one is dropped.
#[derive(Clone)]
pub(super) struct Logs {
    _guard: Arc<WorkerGuard>,
    level: reload::Handle<Targets, Registry>,
    lost: LostLines,
}

impl Logs {
    /// Starts logging.
    pub(super) fn start(format: LogFormat, level: LogLevel) -> Self {
        let failed = Arc::new(AtomicUsize::new(0));
        let stderr = CountedStderr { failed: Arc::clone(&failed) };
        let (writer, guard) = NonBlockingBuilder::default().lossy(true).thread_name("log").finish(stderr);
        let lost = LostLines { dropped: writer.error_counter(), failed };
        let (ours, level) = reload::Layer::new(targets(level));
        let lines = tracing_subscriber::fmt::layer().with_writer(LogLines { writer, to_journal: is_journal() });
        let registry = tracing_subscriber::registry().with(ours);
        let _ = match format {
            LogFormat::Text => registry.with(lines.with_ansi(false).with_target(false)).try_init(),
            LogFormat::Json => registry.with(lines.json().flatten_event(true).with_current_span(false)).try_init(),
        };
        std::panic::set_hook(Box::new(panicked));
        Self { _guard: Arc::new(guard), level, lost }
    }

    /// Logging that nobody hears.
    #[cfg(test)]
    pub(super) fn unheard() -> Self {
        let (writer, guard) = NonBlockingBuilder::default().finish(io::sink());
        let lost = LostLines { dropped: writer.error_counter(), failed: Arc::default() };
        let (_, level) = reload::Layer::new(targets(LogLevel::Error));
        Self { _guard: Arc::new(guard), level, lost }
    }

    /// Changes which lines there are.
    pub(super) fn set_level(&self, level: LogLevel) {
        // It fails only when logging has ended.
        let _ = self.level.reload(targets(level));
    }

    /// What is known of the lines that nobody can have.
    pub(super) fn lost(&self) -> LostLines {
        self.lost.clone()
    }
}

/// Stderr, for the thread that writes there and says nothing of what fails.
struct CountedStderr {
    failed: Arc<AtomicUsize>,
}

impl io::Write for CountedStderr {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let written = io::stderr().lock().write_all(line);
        if written.is_err() {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
        written.map(|()| line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// How many lines of the log are lost: what reads them was so slow that too many waited, or they could not be written. A cheap handle.
#[derive(Clone, Debug)]
pub(super) struct LostLines {
    dropped: ErrorCounter,
    failed: Arc<AtomicUsize>,
}

impl LostLines {
    /// Counts them, and says how many they were when no more are. Goes on until the runtime ends.
    pub(super) async fn watch(self, metrics: Arc<Metrics>) {
        let (mut seen, mut ticks) = (LossesSeen::default(), tokio::time::interval(EVERY));
        loop {
            ticks.tick().await;
            let (new, told) = seen.look(self.dropped.dropped_lines() + self.failed.load(Ordering::Relaxed));
            metrics.housekeeping.log_lines_dropped.inc_by(new as u64);
            if let Some(lines) = told {
                tracing::warn!(
                    lines,
                    "lines of this log are lost: what reads stderr was too slow, or it could not be written to"
                );
            }
        }
    }
}

/// What has been counted of them.
#[derive(Debug, Default)]
struct LossesSeen {
    all: usize,
    untold: usize,
    /// So many looks have found none since.
    quiet: u32,
}

impl LossesSeen {
    /// Takes up how many there have been in all: how many are new, and how many a line is to tell of now.
    fn look(&mut self, all: usize) -> (usize, Option<usize>) {
        let new = all.saturating_sub(self.all);
        self.all = all;
        self.untold += new;
        self.quiet = if new > 0 { 0 } else { self.quiet.saturating_add(1) };
        let is_due = self.untold > 0 && self.quiet >= QUIET;
        (new, is_due.then(|| std::mem::take(&mut self.untold)))
    }
}

/// Makes what a line is written to.
struct LogLines {
    writer: NonBlocking,
    to_journal: bool,
}

/// What one line is written to, in one piece, with its priority before it where the journal reads that (sd-daemon(3)).
struct LogLine {
    writer: NonBlocking,
    priority: &'static str,
}

impl<'a> MakeWriter<'a> for LogLines {
    type Writer = LogLine;

    fn make_writer(&'a self) -> LogLine {
        LogLine { writer: self.writer.clone(), priority: "" }
    }

    fn make_writer_for(&'a self, meta: &Metadata<'_>) -> LogLine {
        let priority = if self.to_journal { priority(*meta.level()) } else { "" };
        LogLine { writer: self.writer.clone(), priority }
    }
}

impl io::Write for LogLine {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let told = told(line);
        if self.priority.is_empty() {
            self.writer.write_all(&told)?;
        } else {
            self.writer.write_all(&[self.priority.as_bytes(), &told].concat())?;
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

/// A line without any key in it: all floors log, and those below know of names, and of keys that stand in them, nothing.
fn told(line: &[u8]) -> Cow<'_, [u8]> {
    match std::str::from_utf8(line).map(shown_line) {
        Ok(Cow::Owned(hidden)) => Cow::Owned(hidden.into_bytes()),
        Ok(Cow::Borrowed(_)) | Err(_) => Cow::Borrowed(line),
    }
}

/// A level as syslog numbers it.
fn priority(level: Level) -> &'static str {
    match level {
        Level::ERROR => "<3>",
        Level::WARN => "<4>",
        Level::INFO => "<6>",
        Level::DEBUG | Level::TRACE => "<7>",
    }
}

/// Whether stderr goes to the journal: it is then the socket that `JOURNAL_STREAM` names (systemd.exec(5)). The variable alone is
/// inherited by whoever sends stderr elsewhere.
fn is_journal() -> bool {
    let named = std::env::var("JOURNAL_STREAM").ok();
    let stderr = std::fs::metadata("/proc/self/fd/2").map(|meta| format!("{}:{}", meta.dev(), meta.ino())).ok();
    named.is_some() && named == stderr
}

/// Ours alone: what libraries log of a connection may hold a request's URL, and so a key.
fn targets(level: LogLevel) -> Targets {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    };
    Targets::new().with_target("springhead", level)
}

/// A panic's place goes to the log; its message does only where it is handled.
fn panicked(info: &PanicHookInfo<'_>) {
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    tracing::error!(place, "panic");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_lines_are_counted_at_once_and_told_when_no_more_are() {
        let mut seen = LossesSeen::default();
        assert_eq!(seen.look(0), (0, None));
        assert_eq!((seen.look(5), seen.look(5), seen.look(7)), ((5, None), (0, None), (2, None)));
        let told: Vec<_> = (0..2 * QUIET).map(|_| seen.look(7)).collect();
        let due = QUIET as usize - 1;
        assert_eq!(told.iter().position(|look| *look == (0, Some(7))), Some(due));
        assert!(told[due + 1..].iter().all(|look| *look == (0, None)), "once");
    }

    #[test]
    fn no_line_has_a_key_in_it() {
        let key = "eyJhbGciOiJIUzI1NiIsImtpZCI6IjEifQ.eyJqdGkiOiJrMSIsInNjb3BlIjoiKiJ9.c2lnbmF0dXJlLXRoYXQtaXMtbG9uZw";
        let line =
            format!("{{\"level\":\"WARN\",\"message\":\"a durable tier does not take an object\",\"key\":\"live/{key}.ts\"}}\n");
        let told = told(line.as_bytes());
        assert_eq!(String::from_utf8_lossy(&told), line.replace(&format!("{key}.ts"), "(hidden)"));
        assert!(matches!(super::told(b"nothing to hide\n"), Cow::Borrowed(b"nothing to hide\n")));
    }
}
