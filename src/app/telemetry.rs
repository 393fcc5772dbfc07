//! Logs: to stderr, from a thread of their own, so that a terminal or pipe that is stuck never holds up a request.

use std::borrow::Cow;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::panic::PanicHookInfo;
use std::sync::Arc;

use tracing::level_filters::LevelFilter;
use tracing::{Level, Metadata};
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::Registry;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::settings::{LogFormat, LogLevel};
use crate::web::record::shown_line;

/// Logging, while this or a clone of it lives: lines still queued are written when the last one is dropped.
#[derive(Clone)]
pub(super) struct Logs {
    _guard: Arc<WorkerGuard>,
    level: reload::Handle<Targets, Registry>,
}

impl Logs {
    /// Starts logging.
    pub(super) fn start(format: LogFormat, level: LogLevel) -> Self {
        let (writer, guard) = NonBlockingBuilder::default().lossy(true).thread_name("log").finish(std::io::stderr());
        let (ours, level) = reload::Layer::new(targets(level));
        let lines = tracing_subscriber::fmt::layer().with_writer(LogLines { writer, to_journal: is_journal() });
        let registry = tracing_subscriber::registry().with(ours);
        let _ = match format {
            LogFormat::Text => registry.with(lines.with_ansi(false).with_target(false)).try_init(),
            LogFormat::Json => registry.with(lines.json().flatten_event(true).with_current_span(false)).try_init(),
        };
        std::panic::set_hook(Box::new(panicked));
        Self { _guard: Arc::new(guard), level }
    }

    /// Changes which lines there are.
    pub(super) fn set_level(&self, level: LogLevel) {
        // It fails only when logging has ended.
        let _ = self.level.reload(targets(level));
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
    fn no_line_has_a_key_in_it() {
        let key = "eyJhbGciOiJIUzI1NiIsImtpZCI6IjEifQ.eyJqdGkiOiJrMSIsInNjb3BlIjoiKiJ9.c2lnbmF0dXJlLXRoYXQtaXMtbG9uZw";
        let line =
            format!("{{\"level\":\"WARN\",\"message\":\"a durable tier does not take an object\",\"key\":\"live/{key}.ts\"}}\n");
        let told = told(line.as_bytes());
        assert_eq!(String::from_utf8_lossy(&told), line.replace(&format!("{key}.ts"), "(hidden)"));
        assert!(matches!(super::told(b"nothing to hide\n"), Cow::Borrowed(b"nothing to hide\n")));
    }
}
