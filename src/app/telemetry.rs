//! Logs: to stderr, from a thread of their own, so that a terminal or pipe that is stuck never holds up a request.

use std::panic::PanicHookInfo;
use std::sync::Arc;

use tracing::level_filters::LevelFilter;
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::Registry;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::settings::{LogFormat, LogLevel};

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
        let lines = tracing_subscriber::fmt::layer().with_writer(writer);
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
