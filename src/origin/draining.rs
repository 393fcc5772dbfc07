//! That the server is about to end: who waits for what is still to come is told to ask elsewhere.

use tokio::sync::watch;

/// Whether it is so, to be looked at and waited for.
#[derive(Clone, Debug)]
pub(super) struct Draining(watch::Sender<bool>);

impl Draining {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(false))
    }

    /// From now on it is so.
    pub(super) fn begin(&self) {
        self.0.send_replace(true);
    }

    /// Waits until it is so. Cancel-safe.
    pub(super) async fn begun(&self) {
        let _ = self.0.subscribe().wait_for(|begun| *begun).await;
    }
}
