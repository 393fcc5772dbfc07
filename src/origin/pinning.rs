//! Which source of a pair somebody wants viewers to get, and until when. Where nodes share, all of them know it, by a text at the engine.

use std::time::Duration;

use super::namespace::Hosted;
use super::{Origin, OriginError};
use crate::model::clock::WallTime;
use crate::model::id::Namespace;
use crate::store::shared::SharedNamespace;

/// So often a text is changed anew, where others change it meanwhile.
const TRIES: usize = 8;

/// The name of the text.
fn text_name(hosted: &Hosted, prefix: &str) -> String {
    format!("pin/{}/{prefix}", hosted.name)
}

impl Origin {
    /// Has viewers of a pair get this source for so long, or whichever is well again. `false`: there is no such pair with two sources.
    /// Cancel-safe.
    ///
    /// # Errors
    /// [`OriginError::Unshared`]: it may or may not have happened. [`OriginError::EngineFull`] or [`OriginError::Busy`]: it has not.
    pub async fn pin(
        &self,
        namespace: &Namespace,
        public: &str,
        side: Option<usize>,
        span: Duration,
    ) -> Result<bool, OriginError> {
        let Some(hosted) = self.inner.namespaces.load().get(namespace).cloned() else { return Ok(false) };
        if !hosted.policy.pairs.iter().any(|pair| pair.public == public && pair.sources.len() == 2) {
            return Ok(false);
        }
        match hosted.durable_tier.shared() {
            Some(shared) => hosted.pin_on_all(shared, public, side, span).await?,
            None => hosted.work.pairs.want(public, side.map(|side| (side, hosted.hot.clock().now() + span))),
        }
        for playlist in hosted.work.pairs.below(public) {
            hosted.compose_pair(&playlist).await;
        }
        Ok(true)
    }
}

impl Hosted {
    /// The side that somebody wants below a public prefix.
    pub(super) fn pinned(&self, prefix: &str) -> Option<usize> {
        let Some(shared) = self.durable_tier.shared() else { return self.work.pairs.pin(prefix, self.hot.clock().now()) };
        let text = shared.store.text(&text_name(self, prefix))?;
        let (side, until) = text.split_once(' ')?;
        let until = WallTime::from_millis(until.parse().ok()?);
        side.parse().ok().filter(|side| *side < 2 && until > shared.store.wall())
    }

    async fn pin_on_all(
        &self,
        shared: &SharedNamespace,
        prefix: &str,
        side: Option<usize>,
        span: Duration,
    ) -> Result<(), OriginError> {
        let (store, name) = (&shared.store, text_name(self, prefix));
        for _ in 0..TRIES {
            store.fresh_text(&name).await?;
            let before = store.text(&name);
            let after = side.map(|side| format!("{side} {}", (store.wall() + span).millis()));
            if before == after {
                return Ok(());
            }
            if store.change_text(&name, before.as_deref(), after.as_deref()).await? {
                return Ok(());
            }
        }
        Err(OriginError::Busy)
    }
}
