//! Logs: to stderr, from a thread of their own, so that a terminal or pipe that is stuck never holds up a request.

use std::panic::PanicHookInfo;

use tracing::level_filters::LevelFilter;
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};

use super::settings::{LogFormat, LogLevel};

/// Starts logging. Lines still queued are written when the guard is dropped.
pub(super) fn start(format: LogFormat, level: LogLevel) -> WorkerGuard {
    let (writer, guard) = NonBlockingBuilder::default().lossy(true).thread_name("log").finish(std::io::stderr());
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    };
    // Ours alone: what libraries log of a connection may hold a request's URL, and so a key.
    let ours = tracing_subscriber::filter::Targets::new().with_target("springhead", level);
    use tracing_subscriber::layer::SubscriberExt as _;
    use tracing_subscriber::util::SubscriberInitExt as _;
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
    let registry = tracing_subscriber::registry().with(ours);
    let _ = match format {
        LogFormat::Text => registry.with(lines.with_ansi(false).with_target(false)).try_init(),
        LogFormat::Json => registry.with(lines.json().flatten_event(true).with_current_span(false)).try_init(),
    };
    std::panic::set_hook(Box::new(panicked));
    guard
}

/// A panic's place goes to the log; its message does only where it is handled.
fn panicked(info: &PanicHookInfo<'_>) {
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    tracing::error!(place, "panic");
}
