//! What a node has to have of the others before it answers anybody, when it starts, and before it is ready again where the engine was away: what
//! they have revoked, and what their admin API has made. All of it is in force then, not only written down.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::duties::Duties;
use super::shared_made::SharedMade;
use super::shared_revocations::SharedRevocations;
use super::told_reasons::ToldReasons;

/// How long after one that failed it is tried again.
const AGAIN: Duration = Duration::from_millis(250);

/// What is caught up with. A cheap handle.
#[derive(Clone, Debug)]
pub(super) struct CatchUp {
    pub(super) revocations: SharedRevocations,
    pub(super) made: SharedMade,
}

impl CatchUp {
    /// Asks for all of it once, and puts it in force. Needs the server's loop, or who does its errands. Cancel-safe.
    ///
    /// # Errors
    /// Why not all of it is in force.
    pub(super) async fn once(&self) -> Result<(), String> {
        self.revocations.exchange().await?;
        let made = self.made.exchange_all().await;
        // Who was revoked is refused, whatever a namespace wants.
        self.revocations.put_in_force().await?;
        made
    }

    /// Goes on with it, piece by piece, until `stop`.
    pub(super) fn go_on(&self, duties: &Duties, stop: &CancellationToken) {
        duties.begin("shared-settings", self.made.clone().share(stop.clone()));
        duties.begin("shared-revocations", self.revocations.clone().share(stop.clone()));
    }

    /// Asks for all of it until that succeeds. Why it does not is in the log. Cancel-safe.
    pub(super) async fn whole(&self) {
        let mut reasons = ToldReasons::default();
        while let Err(error) = self.once().await {
            if reasons.is_new(&error) {
                tracing::warn!(error, "waiting for what the other nodes have revoked and made: nothing is answered before");
            }
            tokio::time::sleep(AGAIN).await;
        }
    }
}
