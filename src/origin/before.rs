//! What a name stood for before it is written: whoever kept that plays something else than what comes now.
//!
//! A version in memory is compared when it makes way for the new one. One that is below memory alone, as all of them are after a restart,
//! is asked for while the body is still coming, and waited for no longer than a moment: the live edge does not stand still for a warning.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use super::live::Predecessor;
use super::namespace::Hosted;
use crate::model::id::Key;
use crate::model::initialization::declares_the_same;
use crate::model::kind::Kind;
use crate::store::{Entry, Want};

/// How long a commit waits for what is below memory.
const PATIENCE: Duration = Duration::from_millis(100);

/// The version below memory, as far as it is known by then. Dropped, it is not asked for any more.
#[derive(Debug)]
pub(super) struct VersionBelow(Option<JoinHandle<Option<Arc<Entry>>>>);

impl VersionBelow {
    /// Asks for it, where memory has none. Of an initialisation segment all of it is needed, of others their validator.
    pub(super) fn ask(hosted: &Arc<Hosted>, key: &Key, kind: Kind) -> Self {
        if kind.is_rewritten() || !hosted.durable_tier.is_there() || hosted.hot.holds(key) || !hosted.durable_tier.has(key) {
            return Self(None);
        }
        // Of which kind it is, the tier knows: most names do not tell an initialisation segment.
        let is_initialization = hosted.durable_tier.kept(key).is_some_and(|kept| kept.kind == Kind::Initialization);
        let (hosted, key) = (Arc::clone(hosted), key.clone());
        Self(Some(tokio::spawn(async move {
            let want = |_| if is_initialization { Want::Whole } else { Want::Nothing };
            hosted.durable_tier.read(&key, want).await.ok().flatten().map(|hit| hit.entry)
        })))
    }

    /// What there is of it by now. Cancel-safe.
    pub(super) async fn known(&mut self) -> Option<Arc<Entry>> {
        tokio::time::timeout(PATIENCE, self.0.as_mut()?).await.ok()?.ok()?
    }
}

impl Drop for VersionBelow {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

/// What the new version of a name takes the place of.
pub(super) fn predecessor(before: Option<&Entry>, now: &Entry) -> Predecessor {
    match before {
        None => Predecessor::None,
        Some(before) if is_other_media(before, now) => Predecessor::OtherMedia,
        Some(_) => Predecessor::SameMedia,
    }
}

fn is_other_media(before: &Entry, now: &Entry) -> bool {
    let is_initialization = [before, now].iter().all(|entry| entry.meta.kind == Kind::Initialization);
    before.meta.etag != now.meta.etag && !(is_initialization && declares_the_same(&before.body, &now.body))
}
