//! The house is put together here: settings become parts, commands become calls.
//!
//! Invariants: this floor is the only reader of the environment and of files. Settings are checked, all of them, before a port is
//! bound. Results go to stdout, logs and complaints to stderr; exit status 0 is done, 1 failed, 2 wrong usage or settings.

mod access_log;
mod args;
mod buckets;
mod catch_up;
mod certificates;
mod check;
mod cli;
mod client;
mod cluster;
mod cluster_status;
mod console;
mod controls;
mod data_dir;
mod demo;
mod doctor;
mod doors;
mod duties;
mod event_log;
mod exposure;
mod fair_queue;
mod generate;
mod harvest;
mod health;
mod history_log;
mod kept;
mod key_desk;
mod key_label;
mod key_record;
mod key_watch;
mod keys;
mod listeners;
mod machine;
mod namespaces;
mod node_peers;
mod place;
mod reload;
mod resources;
mod serve;
mod settings;
mod shared_made;
mod shared_revocations;
mod shell;
mod signals;
mod size;
mod stamp;
mod streams;
mod supervisor;
mod sweep;
mod take_over;
mod telemetry;
mod tickets;
mod token;
mod token_report;
mod told_reasons;
mod traces;
mod variables;
mod viewer_key;
mod viewer_revocations;
mod webhooks;
mod welcome;

use std::process::ExitCode;

use anyhow::Context as _;

pub use cli::Cli;
#[cfg(any(test, fuzzing))]
pub(crate) use doctor::look;
#[cfg(any(test, fuzzing))]
pub(crate) use harvest::fuzzing as harvests;
#[cfg(any(test, fuzzing))]
pub(crate) use history_log::{read_back, written};
#[cfg(any(test, fuzzing))]
pub(crate) use key_record::record_of;
#[cfg(any(test, fuzzing))]
pub(crate) use settings::read_text as read_settings;
pub use settings::{Auto, LogFormat, LogLevel, Settings, TlsSettings};

/// How a command ends when it does not succeed.
#[derive(Debug)]
pub enum Failure {
    /// It was asked for something that makes no sense; nothing was begun. Exit status 2.
    Usage(String),
    /// It was begun and failed. Exit status 1.
    Failed(anyhow::Error),
    /// The same, and the log says how.
    Told,
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Failed(error)
    }
}

/// Runs the command that the process was started with.
#[must_use]
pub fn run() -> ExitCode {
    let failure = match cli::parse() {
        Ok(command) => match cli::execute(command) {
            Ok(()) => return ExitCode::SUCCESS,
            Err(failure) => failure,
        },
        Err(exit) => return exit,
    };
    match failure {
        Failure::Usage(message) => {
            complain(&message);
            ExitCode::from(2)
        }
        Failure::Failed(error) => {
            complain(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
        Failure::Told => ExitCode::FAILURE,
    }
}

/// Says to stderr what went wrong, or might. With nobody there to read it, it is not said.
fn complain(message: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr().lock(), "{}", message.trim_end());
}

/// Writes a result to stdout.
///
/// # Errors
/// When it can't be written there: a command whose result is lost has failed.
fn print(result: &str) -> anyhow::Result<()> {
    use std::io::Write as _;
    let mut stdout = std::io::stdout().lock();
    let written = writeln!(stdout, "{}", result.trim_end()).and_then(|()| stdout.flush());
    written.context("can't write the result to standard output")
}
