//! Removals by those who look after a namespace, of one object and of many. What is removed here goes whatever the namespace keeps of what
//! encoders delete.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Serialize;

use super::apply::Decided;
use super::decide::Deletion;
use super::listing::outside;
use super::namespace::Hosted;
use super::{Origin, OriginError, shared};
use crate::auth::grant::{Action, Grant};
use crate::model::clock::WallTime;
use crate::model::conditions::{Conditions, KeptConditions};
use crate::model::id::{Key, Namespace, ObjectId};
use crate::model::meta;
use crate::model::stamp::Stamp;
use crate::store::NameStep;
use crate::store::shared::SharedNamespace;

/// What a removal of many has done, or would do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Purged {
    /// Objects.
    pub objects: u64,
    /// Bytes of their bodies.
    pub bytes: u64,
}

impl Purged {
    /// Of objects of these lengths.
    fn of(lengths: impl Iterator<Item = u64>) -> Self {
        lengths.fold(Self::default(), |sum, length| Self { objects: sum.objects + 1, bytes: sum.bytes + length })
    }
}

impl Origin {
    /// Removes one object, and waits until that is as safe as the namespace's settings ask for.
    ///
    /// # Errors
    /// [`OriginError::Forbidden`], [`OriginError::UnknownNamespace`] or [`OriginError::NotDurable`].
    pub async fn discard(&self, grant: &Grant, object: &ObjectId) -> Result<(), OriginError> {
        let hosted = self.seen(grant, &object.namespace)?;
        if !grant.allows(Action::Write, object) {
            return Err(OriginError::Forbidden);
        }
        if let Some(shared) = hosted.durable_tier.shared() {
            shared::remove(&hosted, shared, &object.key, self.stamp(), &KeptConditions::default()).await?;
        } else {
            self.take_away(&hosted, &object.key, self.stamp());
        }
        hosted.durable_tier.settled(&object.key, false).await?;
        Ok(())
    }

    /// How many objects begin with this.
    ///
    /// # Errors
    /// As [`Self::purge`].
    pub async fn count(&self, grant: &Grant, namespace: &Namespace, prefix: &str) -> Result<Purged, OriginError> {
        let hosted = self.seen(grant, namespace)?;
        let (prefix, own) = (prefix.to_owned(), grant.prefix.clone());
        let counted = self.elsewhere(move |_| Purged::of(keys_below(&hosted, &prefix, own.as_deref()).into_values())).await;
        counted.ok_or(OriginError::Busy)
    }

    /// Removes all objects whose keys begin with this, and says what was removed. What is uploaded meanwhile stays: what has come since this
    /// began; where nodes share, what is not the version that was there then.
    ///
    /// # Errors
    /// [`OriginError::Forbidden`], [`OriginError::UnknownNamespace`] or [`OriginError::NotDurable`].
    pub async fn purge(&self, grant: &Grant, namespace: &Namespace, prefix: &str) -> Result<Purged, OriginError> {
        let hosted = self.seen(grant, namespace)?;
        let (prefix, own, there) = (prefix.to_owned(), grant.prefix.clone(), Arc::clone(&hosted));
        let found = self.elsewhere(move |origin| {
            let mut found = origin.look_below(&there, &prefix, own.as_deref());
            if there.durable_tier.shared().is_none() {
                found.objects.retain(|key, _| origin.take_away(&there, key, found.begun));
            }
            found
        });
        let PurgeFinds { begun, mut objects } = found.await.ok_or(OriginError::Busy)?;
        if let Some(shared) = hosted.durable_tier.shared() {
            let mut stays = Vec::new();
            for (key, (_, version)) in &objects {
                if !remove_version(&hosted, shared, key, begun, *version).await? {
                    stays.push(key.clone());
                }
            }
            for key in &stays {
                objects.remove(key);
            }
        }
        for key in objects.keys() {
            hosted.durable_tier.settled(key, false).await?;
        }
        Ok(Purged::of(objects.into_values().map(|(length, _)| length)))
    }

    /// Looks for what a removal of many is to remove.
    fn look_below(&self, hosted: &Hosted, prefix: &str, own: Option<&str>) -> PurgeFinds {
        // First: what is found may be written anew by the time its turn comes.
        let begun = self.stamp();
        let found = keys_below(hosted, prefix, own).into_iter();
        let objects = found.map(|(key, length)| {
            let version = hosted.durable_tier.shared().and_then(|shared| known_version(shared, &key));
            (key, (length, version))
        });
        PurgeFinds { begun, objects: objects.collect() }
    }

    /// Removes an object, unless it was begun later than this; says whether that is so.
    fn take_away(&self, hosted: &Hosted, key: &Key, begun: Stamp) -> bool {
        // There is no condition that could fail.
        Decided { key, now: hosted.hot.clock().both(), what: Deletion::of_anything(begun) }.apply(hosted).unwrap_or(false)
    }
}

/// How long each object is that begins with both of these.
fn keys_below(hosted: &Hosted, prefix: &str, own: Option<&str>) -> HashMap<Key, u64> {
    let mut keys = HashMap::new();
    let now = hosted.hot.clock().now();
    let mut add = |key: &Key, length: u64| {
        if let Some(step) = outside(key.as_str(), Some(prefix)).or_else(|| outside(key.as_str(), own)) {
            return step;
        }
        keys.entry(key.clone()).or_insert(length);
        NameStep::Next
    };
    hosted.hot.in_order(prefix, |entry| add(&entry.key, entry.body.len() as u64));
    hosted.durable_tier.in_order(prefix, |key, kept| if kept.expires > now { add(key, kept.length) } else { NameStep::Next });
    keys
}

/// What tells a version that nodes share: its bytes, and when it was decided.
type PurgeMark = (u128, WallTime);

/// What a removal of many has found.
struct PurgeFinds {
    /// When it began.
    begun: Stamp,
    /// How long each object is, and which version it is, where nodes share.
    objects: HashMap<Key, (u64, Option<PurgeMark>)>,
}

fn known_version(shared: &SharedNamespace, key: &Key) -> Option<PurgeMark> {
    shared.known(key).map(|known| (known.hash, known.meta.modified))
}

/// Has an object removed, where nodes share it, as long as it is this version; says whether it was. What other nodes take has no stamp here.
async fn remove_version(
    hosted: &Arc<Hosted>,
    shared: &SharedNamespace,
    key: &Key,
    begun: Stamp,
    version: Option<PurgeMark>,
) -> Result<bool, OriginError> {
    let Some((hash, _)) = version else {
        return shared::remove(hosted, shared, key, begun, &KeptConditions::default()).await;
    };
    // The same bytes may have been uploaded again.
    if known_version(shared, key) != version {
        return Ok(false);
    }
    let etag = meta::etag(hash);
    let is_it = Conditions { if_match: Some(etag.as_bytes()), ..Conditions::default() };
    match shared::remove(hosted, shared, key, begun, &is_it.into()).await {
        Err(OriginError::Precondition) => Ok(false),
        outcome => outcome,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::grant::{KeyId, Role, Scope};
    use crate::metrics::Metrics;
    use crate::model::clock::Clock;
    use crate::origin::policy::NamespacePolicy;
    use crate::origin::{NamespaceHandle, PutSpec};

    async fn put(namespace: &NamespaceHandle, grant: &Grant, object: &ObjectId, begun: Stamp) {
        let mut upload = namespace.put(grant, object, begun, PutSpec::default()).await.unwrap();
        upload.write("it".into()).unwrap();
        upload.commit().await.unwrap();
    }

    #[tokio::test]
    async fn what_is_uploaded_while_many_are_removed_stays() {
        let name = Namespace::parse("n").unwrap();
        let policies = [(name.clone(), NamespacePolicy::default())];
        let origin = Origin::new(policies, 1 << 20, Clock::manual(), &Arc::new(Metrics::new()));
        let (namespace, key_id) = (origin.namespace(&name), KeyId::parse("k").unwrap());
        let grant =
            Grant { key_id, role: Role::Readwrite, scope: Scope::Every, prefix: None, paths: None, is_edge: false, ends: None };
        let object = |key: &str| ObjectId { namespace: name.clone(), key: Key::parse(key).unwrap() };
        let old = ["live/1.ts", "live/init.mp4", "live/p.m3u8"].map(object);
        for object in &old {
            put(&namespace, &grant, object, origin.stamp()).await;
        }
        let hosted = origin.inner.namespaces.load().get(&name).cloned().unwrap();
        let found = origin.look_below(&hosted, "live/", None);
        assert_eq!(found.objects.len(), 3);
        // The encoder begins anew between the look and the removal.
        put(&namespace, &grant, &old[1], origin.stamp()).await;
        let gone: Vec<&str> =
            found.objects.keys().filter(|key| origin.take_away(&hosted, key, found.begun)).map(Key::as_str).collect();
        assert_eq!(gone.len(), 2, "{gone:?}");
        assert!(hosted.hot.peek(&old[1].key).is_some());
        assert_eq!(origin.purge(&grant, &name, "live/").await, Ok(Purged { objects: 1, bytes: 2 }));
        assert!(hosted.hot.peek(&old[1].key).is_none());
    }
}
