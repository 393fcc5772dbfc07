//! Looks at everything the tier holds: at a start without a journal that is believed, and at what may have changed since.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::sleep;

use super::Shared;
use crate::model::id::Key;
use crate::store::cold::{Attributes, Cold, ColdError, ListedObject};

/// How many objects are looked at at a time.
const AT_ONCE: usize = 32;
/// How long it is to the next try.
const AGAIN: Duration = Duration::from_secs(10);
/// How often it is tried again for the sake of single objects that can't be looked at.
const PATIENCE: u32 = 2;
/// So many of them are few at any rate.
const FEW: u64 = 100;

/// Compares the index with everything the tier holds; at the end the index is complete, and waste is removed.
pub(super) async fn look_at_everything(shared: Arc<Shared>, cold: Arc<dyn Cold>) {
    let namespace = &shared.namespace;
    let mut tries = 0;
    loop {
        let begun = shared.clock.now();
        tries += 1;
        match look(&shared, &cold).await.and_then(|seen| seen.or_again(tries)) {
            Ok(LookedAt { news, later, unreadable, refused, .. }) => {
                let unreadable = unreadable + refused.len() as u64;
                shared.state.lock().complete(later, unreadable, &refused.keys);
                let milliseconds = u64::try_from(shared.clock.now().since(begun).as_millis()).unwrap_or(u64::MAX);
                tracing::info!(%namespace, news, milliseconds, "everything in the durable tier is known");
                if later > 0 {
                    tracing::warn!(
                        %namespace,
                        objects = later,
                        "a newer Springhead wrote objects that this one can't read: they are left alone and answered with 503; run the \
                         newer one again to serve them"
                    );
                }
                if unreadable > 0 {
                    tracing::warn!(%namespace, objects = unreadable, "there are objects in the durable tier that can't be read now");
                }
                break;
            }
            Err(error) => {
                shared.state.lock().is_look_failing = true;
                // Of a tier that is known to fail it is no news.
                if shared.health.lock().is_none() {
                    tracing::warn!(%namespace, %error, "can't look through the durable tier; it is tried again");
                }
                tokio::select! {
                    () = sleep(AGAIN) => {}
                    () = shared.drain.cancelled() => return,
                }
            }
        }
    }
    match cold.tidy().await {
        Ok(0) => {}
        Ok(removed) => {
            shared.metrics.orphans.inc_by(removed);
            tracing::info!(%namespace, removed, "removed what belonged to no object");
        }
        Err(error) => tracing::warn!(%namespace, %error, "can't remove what belongs to no object"),
    }
}

/// What a look at everything has found.
#[derive(Clone, Debug, Default)]
struct LookedAt {
    /// Objects that could be looked at.
    good: u64,
    /// Those among them that the journal did not have.
    news: u64,
    /// Objects of a later version's form.
    later: u64,
    /// Objects whose attributes made no sense.
    unreadable: u64,
    refused: UnseenObjects,
}

/// Objects that could not be looked at, for a reason that may pass.
#[derive(Clone, Debug, Default)]
struct UnseenObjects {
    keys: HashSet<Key>,
    /// Those whose keys nobody knows.
    nameless: u64,
    why: Option<ColdError>,
}

impl UnseenObjects {
    fn len(&self) -> usize {
        self.keys.len() + usize::try_from(self.nameless).unwrap_or(usize::MAX)
    }
}

impl LookedAt {
    fn is_worth_it(&self) -> Result<(), ColdError> {
        let is_believed = is_believed(self.good, self.refused.len() as u64);
        self.refused.why.clone().filter(|_| !is_believed).map_or(Ok(()), Err)
    }

    /// Takes a few objects that can't be looked at for what can't be helped, after some tries: while it is not known what there is, nothing is
    /// removed.
    fn or_again(self, tries: u32) -> Result<Self, ColdError> {
        match &self.refused.why {
            Some(why) if tries <= PATIENCE => Err(why.clone()),
            _ => Ok(self),
        }
    }
}

/// Whether a look is worth something that has found so many: where those that can't be looked at are most of what there is, it is not they that
/// are at fault.
pub(super) fn is_believed(good: u64, refused: u64) -> bool {
    refused <= good.max(FEW)
}

/// A look that is under way.
struct TierLook<'a> {
    shared: &'a Shared,
    cold: &'a Arc<dyn Cold>,
    heads: JoinSet<(Key, Result<Option<Attributes>, ColdError>)>,
    seen: LookedAt,
    /// What was named by the listing and could not be read.
    unread: HashSet<Key>,
}

impl TierLook<'_> {
    /// Takes note of what there is of an object.
    fn note(&mut self, key: Option<&Key>, result: Result<Option<Attributes>, ColdError>) -> Result<(), ColdError> {
        if let (Some(key), Err(_)) = (key, &result) {
            self.unread.insert(key.clone());
        }
        match (key, result) {
            (Some(key), Ok(Some(attributes))) => {
                self.seen.good += 1;
                self.seen.news += u64::from(self.shared.state.lock().found(key, &attributes));
            }
            (_, Ok(_)) => {}
            (_, Err(ColdError::Damaged(_))) => self.seen.unreadable += 1,
            (_, Err(ColdError::Later(_))) => self.seen.later += 1,
            (Some(key), Err(error)) => {
                self.seen.refused.keys.insert(key.clone());
                self.seen.refused.why.get_or_insert(error);
                return self.seen.is_worth_it();
            }
            (None, Err(error @ ColdError::Unread(_))) => {
                self.seen.refused.nameless += 1;
                self.seen.refused.why.get_or_insert(error);
                return self.seen.is_worth_it();
            }
            // The listing has not come to its end.
            (None, Err(error)) => return Err(error),
        }
        Ok(())
    }

    /// Asks for an object's attributes, beside others.
    async fn ask(&mut self, key: Key) -> Result<(), ColdError> {
        if self.heads.len() >= AT_ONCE {
            self.hear().await?;
        }
        let cold = Arc::clone(self.cold);
        self.heads.spawn(async move {
            let result = cold.head(&key).await;
            (key, result)
        });
        Ok(())
    }

    /// Waits for an answer, if one is to come.
    async fn hear(&mut self) -> Result<bool, ColdError> {
        let Some(answer) = self.heads.join_next().await else { return Ok(false) };
        let (key, result) = answer.map_err(|error| ColdError::Unavailable(error.to_string()))?;
        self.note(Some(&key), result).map(|()| true)
    }
}

async fn look(shared: &Shared, cold: &Arc<dyn Cold>) -> Result<LookedAt, ColdError> {
    let mut list = cold.list();
    let mut look = TierLook { shared, cold, heads: JoinSet::new(), seen: LookedAt::default(), unread: HashSet::new() };
    while let Some(listed) = list.recv().await {
        match listed {
            Ok(ListedObject { key, attributes: None }) => look.ask(key).await?,
            Ok(ListedObject { key, attributes: Some(attributes) }) => look.note(Some(&key), attributes.map(Some))?,
            Err(error) => look.note(None, Err(error))?,
        }
    }
    while look.hear().await? {}
    // A listing may leave out what is there: what the journal named is asked for by its name before it is taken for gone.
    let unseen = shared.state.lock().index.uncertain();
    for key in unseen.into_iter().filter(|key| !look.unread.contains(key)).collect::<Vec<_>>() {
        look.ask(key).await?;
    }
    while look.hear().await? {}
    Ok(look.seen)
}
