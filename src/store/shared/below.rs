//! What nodes share as what is below a namespace's memory: a read that memory can't answer ends here.

use std::ops::Range;
use std::sync::{Arc, Weak};

use bytes::Bytes;

use super::changes::KnownShared;
use super::share::SharedStore;
use crate::model::clock::Moment;
use crate::model::id::{Key, Namespace};
use crate::store::hot::Follower;
use crate::store::{ColdHit, Entry, HotNamespace, KeptBelow, StoreError, Want};

/// A part of a body is fetched by itself where the whole is longer than this, in bytes: else the whole is there for the next reader.
const LONG: u64 = 256 << 10;
/// So often a read looks again where what it was about to fetch has been replaced.
const TRIES: usize = 3;

/// A namespace that nodes share. A cheap handle.
#[derive(Clone, Debug)]
pub struct SharedNamespace {
    /// All that is shared.
    pub store: SharedStore,
    name: Namespace,
    hot: Weak<HotNamespace>,
}

/// Tells a hot store that what leaves it is not lost.
#[derive(Debug)]
struct KeptElsewhere {
    store: SharedStore,
    name: Namespace,
}

impl Follower for KeptElsewhere {
    fn published(&self, _: &Arc<Entry>) {}

    fn removed(&self, _: &Key) {}

    fn keeps(&self, entry: &Entry) -> bool {
        self.store.has(&self.name, &entry.key)
    }
}

impl SharedNamespace {
    pub(in crate::store) fn new(store: &SharedStore, name: &Namespace, hot: &Arc<HotNamespace>) -> Self {
        hot.set_follower(Arc::new(KeptElsewhere { store: store.clone(), name: name.clone() }));
        Self { store: store.clone(), name: name.clone(), hot: Arc::downgrade(hot) }
    }

    /// Whether there is a live version, as far as is known here.
    pub(in crate::store) fn has(&self, key: &Key) -> bool {
        self.store.has(&self.name, key)
    }

    /// Finds an object that is not in memory, as [`crate::store::DurableTier::read`] does. Cancel-safe.
    pub(in crate::store) async fn read(&self, key: &Key, want: impl FnOnce(u64) -> Want) -> Result<Option<ColdHit>, StoreError> {
        let Some(mut known) = self.store.known(&self.name, key) else { return Ok(None) };
        let mut want = want(known.length);
        for _ in 0..TRIES {
            if let Some(hit) = self.hit(key, &known, &want).await? {
                return Ok(Some(hit));
            }
            // Something newer may have come meanwhile; of which a part that was asked for may be another one.
            let Some(next) = self.store.known(&self.name, key) else { return Ok(None) };
            if next.length != known.length && matches!(want, Want::Part(_)) {
                want = Want::Whole;
            }
            known = next;
        }
        // It is known, and nobody has its bytes.
        Err(StoreError::Unshared)
    }

    async fn hit(&self, key: &Key, known: &KnownShared, want: &Want) -> Result<Option<ColdHit>, StoreError> {
        let length = known.length;
        let part: Option<Range<u64>> = match want {
            Want::Nothing => {
                let entry = Arc::new(Entry::new(key.clone(), Bytes::new(), known.meta.clone()).of_unknown_past());
                return Ok(Some(ColdHit { entry, length, part: None }));
            }
            Want::Part(part) if length > LONG && (part.end - part.start) * 2 <= length => Some(part.clone()),
            Want::Part(_) | Want::Whole => None,
        };
        let Some(body) = self.store.body((&self.name, key), known, part.clone()).await? else { return Ok(None) };
        let (hot, meta) = (self.hot.upgrade(), known.meta.clone());
        let entry = match (&part, &hot) {
            (None, Some(hot)) => hot.made(key.clone(), body, meta),
            _ => Entry::new(key.clone(), body, meta),
        };
        let entry = match (&part, hot) {
            (None, Some(hot)) => hot.take_in(entry, || self.store.stands(&self.name, key, known)).entry,
            _ => Arc::new(entry),
        };
        Ok(Some(ColdHit { entry, length, part }))
    }

    /// Shows each object that is known here.
    pub(in crate::store) fn each(&self, mut see: impl FnMut(&Key, &KeptBelow)) {
        for (key, known) in self.store.all(&self.name) {
            see(&key, &kept(&known));
        }
    }

    /// What is known of one.
    pub(in crate::store) fn kept(&self, key: &Key) -> Option<KeptBelow> {
        self.known(key).as_ref().map(kept)
    }

    /// The live version of an object, as far as it is known here.
    #[must_use]
    pub fn known(&self, key: &Key) -> Option<KnownShared> {
        self.store.known(&self.name, key)
    }

    /// Lets objects live until then at least.
    pub fn renew<'a>(&self, keys: impl IntoIterator<Item = &'a Key>, until: Moment) {
        self.store.renew(&self.name, keys, until);
    }
}

fn kept(known: &KnownShared) -> KeptBelow {
    let meta = &known.meta;
    KeptBelow { length: known.length, kind: meta.kind, modified: meta.modified, expires: meta.expires }
}
