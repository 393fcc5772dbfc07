//! What goes on in the background for as long as the server does. One that ends all the same, by a panic or because what it needs is gone, is
//! named: without it the server would look healthy, and nobody would learn that keys are revoked in vain or streams not judged.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt as _;
use tokio_util::sync::CancellationToken;

use crate::web::Web;

/// Where duties are begun. A cheap handle.
#[derive(Clone, Debug)]
pub(super) struct Duties {
    web: Web,
    /// The server is told to end: from then on duties end in order.
    over: CancellationToken,
}

impl Duties {
    pub(super) fn new(web: Web, over: CancellationToken) -> Self {
        Self { web, over }
    }

    /// Begins one, by this name. The names stand in `docs/runbooks/SpringheadDutyEnded.md`.
    pub(super) fn begin<F: Future<Output = ()> + Send + 'static>(&self, name: &'static str, duty: F) {
        tokio::spawn(self.watched(name, duty));
    }

    /// The same for who has it go on by himself. Dropped, it has not ended.
    pub(super) fn watched<F: Future<Output = ()> + Send + 'static>(
        &self,
        name: &'static str,
        duty: F,
    ) -> impl Future<Output = ()> + Send + use<F> {
        let Self { web, over } = self.clone();
        async move {
            // What a panic has left half done is seen by nobody but who holds the same locks, as after a task of its own.
            let _ = AssertUnwindSafe(duty).catch_unwind().await;
            if !over.is_cancelled() {
                tracing::error!(
                    duty = name,
                    "a duty in the background has ended: nobody does it until this server is restarted. If a panic stands before this line, report it"
                );
                web.duty_ended(name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::auth::key::KeyRing;
    use crate::auth::signing::SigningKey;
    use crate::auth::verify::Verifier;
    use crate::metrics::Metrics;
    use crate::model::clock::Clock;
    use crate::origin::Origin;
    use crate::web::{ConnectionLimits, Limits, Timeouts};

    #[tokio::test]
    async fn one_that_ends_is_named_unless_the_server_ends() {
        let (clock, metrics) = (Clock::manual(), Arc::new(Metrics::new()));
        let verifier = Arc::new(Verifier::new(KeyRing::new(&[SigningKey::generate()]).unwrap(), clock.clone()));
        let limits = Limits { timeouts: Timeouts::default(), drain: Duration::ZERO, connections: ConnectionLimits::default() };
        let web = Web::new(Origin::new([], 1, clock, &metrics), verifier, Arc::clone(&metrics), limits, None);
        let over = CancellationToken::new();
        let duties = Duties::new(web.clone(), over.clone());
        let ended = || metrics.housekeeping.duties_ended.get();
        drop(duties.watched("dropped", std::future::pending()));
        assert_eq!((web.trouble().len(), ended()), (0, 0));
        let mistaken = |is_right: bool| async move { assert!(is_right, "a mistake") };
        duties.watched("streams", mistaken(false)).await;
        duties.watched("keys", async {}).await;
        duties.watched("keys", async {}).await;
        let told = web.trouble();
        assert!(told.len() == 2 && told[0].contains("(keys)") && told[1].contains("(streams)"), "{told:?}");
        assert_eq!(ended(), 3);
        over.cancel();
        duties.watched("nodes", async {}).await;
        assert_eq!((web.trouble(), ended()), (told, 3), "that is how it ends");
    }
}
