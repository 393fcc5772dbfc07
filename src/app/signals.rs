//! The signals that are listened for, and what each is for.

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The signals that are listened for.
#[derive(Debug)]
pub(super) struct Signals {
    /// Ends the server.
    pub(super) end: StopSignals,
    /// Reloads the settings.
    pub(super) hang_up: Signal,
}

/// What tells the server to end: SIGTERM, or SIGINT.
#[derive(Debug)]
pub(super) struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Listens for them from now on, and has those that do nothing here say so.
    ///
    /// # Errors
    /// When the system does not let this process listen.
    pub(super) fn listen() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("can't listen for signals");
        // Some send these to have a log reopened, and without a handler they end the process on the spot.
        tokio::spawn(shrug(listen(SignalKind::user_defined1())?, "SIGUSR1"));
        tokio::spawn(shrug(listen(SignalKind::user_defined2())?, "SIGUSR2"));
        let end = StopSignals { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? };
        Ok(Self { end, hang_up: listen(SignalKind::hangup())? })
    }
}

impl StopSignals {
    /// Waits to be told. Cancel-safe.
    pub(super) async fn told(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Says of each signal to reload that there is nobody to do it any more, for ever. Cancel-safe.
pub(super) async fn too_late(hang_up: &mut Signal) {
    while hang_up.recv().await.is_some() {
        tracing::warn!("SIGHUP comes too late: nothing is read again, for the server is about to end");
    }
    std::future::pending::<()>().await;
}

/// Says that a signal does nothing here, so that whoever sends it looks for what does.
async fn shrug(mut signal: Signal, name: &'static str) {
    while signal.recv().await.is_some() {
        tracing::info!(
            signal = name,
            "this signal does nothing here: SIGHUP reloads the settings, and a log file that was moved away is followed by a new one"
        );
    }
}
