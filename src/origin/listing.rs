//! What is stored, by name: pages of objects for those who look after a namespace.
//!
//! Invariants: no lock is held for longer than over a part of what is there, and one listing of a namespace goes on at a time: those who
//! look wait, and those who stream do not.

use std::sync::Arc;

use http::HeaderValue;
use serde::Serialize;

use super::live::RenditionTimeline;
use super::namespace::Hosted;
use super::{Origin, OriginError};
use crate::auth::grant::{Action, Grant};
use crate::model::id::{Key, Namespace, ObjectId};
use crate::store::{Entry, KeptBelow, NamePage, NameStep};

/// What is asked for.
#[derive(Clone, Debug)]
pub struct ListingSpec {
    /// What the keys begin with.
    pub prefix: String,
    /// What has a slash behind the prefix is a folder.
    pub by_folder: bool,
    /// The name behind which it begins.
    pub after: String,
    /// So many names at most.
    pub limit: usize,
}

/// A page of objects.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ObjectListing {
    /// The objects, in the order of their keys.
    pub objects: Vec<ObjectSummary>,
    /// The folders, each with the slash at its end.
    pub folders: Vec<String>,
    /// Where the next page begins; null on the last one.
    pub next: Option<String>,
    /// Whether all that the durable tier holds is known: it is not, while a start is looking at it.
    pub is_complete: bool,
}

/// An object, as far as that is known without reading it.
#[derive(Clone, Debug, Serialize)]
pub struct ObjectSummary {
    /// Its key.
    pub key: String,
    /// Bytes of its body.
    pub length: u64,
    /// What it is to a stream: playlist, manifest, initialization or segment.
    pub kind: &'static str,
    /// When it was stored, RFC 3339.
    pub modified: String,
    /// Until when it lives, RFC 3339.
    pub expires: String,
    /// Its media type, where it is in memory.
    pub content_type: Option<String>,
    /// Its entity tag, where it is in memory.
    pub etag: Option<String>,
    /// Whether it is in memory.
    pub in_memory: bool,
    /// Whether it is in the durable tier.
    pub in_tier: bool,
}

/// What a namespace holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct NamespaceUsage {
    /// Bytes for objects and uploads together.
    pub hot_capacity: u64,
    /// Bytes of whole objects in memory, with keys and overhead.
    pub hot_stored: u64,
    /// Bytes of uploads in flight.
    pub uploading: u64,
    /// Bytes of bodies that are no object any more, which readers hold.
    pub pinned: u64,
    /// Objects in memory.
    pub hot_objects: u64,
    /// Bytes in the durable tier.
    pub durable_stored: u64,
    /// Objects there.
    pub durable_objects: u64,
    /// Writes that wait for the tier.
    pub unwritten: u64,
}

impl Origin {
    /// A page of the objects of a namespace, memory and the tier below it together; where nodes share it, all that was answered before is in it, by
    /// whichever node.
    ///
    /// # Errors
    /// [`OriginError::Forbidden`], [`OriginError::UnknownNamespace`] or [`OriginError::Unshared`].
    pub async fn list(&self, grant: &Grant, namespace: &Namespace, spec: ListingSpec) -> Result<ObjectListing, OriginError> {
        let hosted = self.seen(grant, namespace)?;
        if let Some(shared) = hosted.durable_tier.shared() {
            shared.store.all_fresh().await?;
        }
        let turn = Arc::clone(&hosted.work.listing).lock_owned().await;
        let own = grant.prefix.clone();
        let listed = self
            .elsewhere(move |_| {
                let listed = list(&hosted, &spec, own.as_deref());
                drop(turn);
                listed
            })
            .await;
        listed.ok_or(OriginError::Busy)
    }

    /// An object, where it is there, without reading it.
    ///
    /// # Errors
    /// [`OriginError::Forbidden`], [`OriginError::UnknownNamespace`] or [`OriginError::NotFound`].
    pub fn describe(&self, grant: &Grant, object: &ObjectId) -> Result<ObjectSummary, OriginError> {
        let hosted = self.seen(grant, &object.namespace)?;
        if !grant.allows(Action::Read, object) {
            return Err(OriginError::Forbidden);
        }
        let mut known = None;
        if let Some(entry) = hosted.hot.peek(&object.key) {
            known = Some(ObjectSummary::hot(&hosted, &entry));
        }
        if let Some(below) = hosted.durable_tier.kept(&object.key) {
            ObjectSummary::below(&mut known, &hosted, object.key.as_str(), &below);
        }
        known.ok_or(OriginError::NotFound)
    }

    /// What each namespace holds, in the order of their names.
    #[must_use]
    pub fn usage(&self) -> Vec<(Namespace, NamespaceUsage)> {
        let namespaces = self.inner.namespaces.load();
        let mut usage: Vec<_> = namespaces.iter().map(|(name, hosted)| (name.clone(), hosted.usage())).collect();
        usage.sort_by(|(one, _), (other, _)| one.cmp(other));
        usage
    }

    /// The last segments of an HLS stream, rendition by rendition; `None` when there is no such stream.
    #[must_use]
    pub fn timeline(&self, namespace: &Namespace, stream: &Key) -> Option<Vec<RenditionTimeline>> {
        let hosted = self.inner.namespaces.load().get(namespace).cloned()?;
        hosted.live.timeline(stream, &self.inner.clock, |key| hosted.has(key))
    }

    pub(super) fn seen(&self, grant: &Grant, namespace: &Namespace) -> Result<Arc<Hosted>, OriginError> {
        if !grant.sees(namespace) {
            return Err(OriginError::Forbidden);
        }
        self.inner.namespaces.load().get(namespace).cloned().ok_or(OriginError::UnknownNamespace)
    }
}

/// What was found under a name.
#[derive(Default)]
struct FoundObject {
    hot: Option<Arc<Entry>>,
    below: Option<KeptBelow>,
}

/// Where to go on behind a key that does not begin as all have to.
pub(super) fn outside(key: &str, prefix: Option<&str>) -> Option<NameStep> {
    let prefix = prefix.filter(|prefix| !key.starts_with(prefix))?;
    Some(if key < prefix { NameStep::From(prefix.to_owned()) } else { NameStep::Enough })
}

fn list(hosted: &Hosted, spec: &ListingSpec, own: Option<&str>) -> ObjectListing {
    let mut page = NamePage::<FoundObject>::new(&spec.prefix, spec.by_folder, &spec.after, spec.limit);
    let begin = page.begin().to_owned();
    let now = hosted.hot.clock().now();
    hosted.hot.in_order(&begin, |entry| {
        let key = entry.key.as_str();
        outside(key, own).unwrap_or_else(|| page.offer(key, |found| found.get_or_insert_default().hot = Some(Arc::clone(entry))))
    });
    hosted.durable_tier.in_order(&begin, |key, kept| {
        if kept.expires <= now {
            return NameStep::Next;
        }
        let key = key.as_str();
        outside(key, own).unwrap_or_else(|| page.offer(key, |found| found.get_or_insert_default().below = Some(*kept)))
    });
    let (found, next) = page.end();
    let mut listing = ObjectListing { next, is_complete: hosted.durable_tier.knows_all(), ..ObjectListing::default() };
    for (name, found) in found {
        let Some(FoundObject { hot, below }) = found else {
            listing.folders.push(name);
            continue;
        };
        let mut known = hot.map(|entry| ObjectSummary::hot(hosted, &entry));
        if let Some(kept) = below {
            ObjectSummary::below(&mut known, hosted, &name, &kept);
        }
        listing.objects.extend(known);
    }
    listing
}

impl ObjectSummary {
    fn hot(hosted: &Hosted, entry: &Entry) -> Self {
        let meta = &entry.meta;
        let text = |value: &HeaderValue| Some(String::from_utf8_lossy(value.as_bytes()).into_owned());
        Self {
            key: entry.key.to_string(),
            length: entry.body.len() as u64,
            kind: meta.kind.as_str(),
            modified: meta.modified.to_string(),
            expires: hosted.hot.clock().wall_of(meta.expires).to_string(),
            content_type: text(&meta.content_type),
            etag: text(&meta.etag),
            in_memory: true,
            in_tier: false,
        }
    }

    /// Adds what the tier knows of it.
    fn below(known: &mut Option<Self>, hosted: &Hosted, key: &str, kept: &KeptBelow) {
        let object = known.get_or_insert_with(|| Self {
            key: key.to_owned(),
            length: kept.length,
            kind: kept.kind.as_str(),
            modified: kept.modified.to_string(),
            expires: hosted.hot.clock().wall_of(kept.expires).to_string(),
            content_type: None,
            etag: None,
            in_memory: false,
            in_tier: true,
        });
        object.in_tier = true;
    }
}

impl Hosted {
    fn usage(&self) -> NamespaceUsage {
        let hot = self.hot.usage();
        let (durable_objects, durable_stored) = self.durable_tier.held();
        NamespaceUsage {
            hot_capacity: hot.capacity,
            hot_stored: hot.stored,
            uploading: hot.in_flight,
            pinned: hot.pinned,
            hot_objects: hot.objects as u64,
            durable_stored,
            durable_objects,
            unwritten: self.durable_tier.unwritten().0 as u64,
        }
    }
}
