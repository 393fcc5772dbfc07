//! What a lane is told, in the words of the house: a change of an object, for whoever keeps objects to take up.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::sync::Notify;

use super::budget::SharedBudgets;
use super::described::DescribedShared;
use super::driver::NewsTaker;
use super::index::{NameChange, NameNews, WHOLE};
use super::time::EngineClock;
use super::{Indexed, ObjectName, Version};
use crate::model::clock::{Moment, Now, WallTime};
use crate::model::id::{Key, Namespace};
use crate::model::meta::{self, Meta};
use crate::model::rendering::Rendering;

/// A version that is known here, with or without its bytes.
#[derive(Clone, Debug)]
pub struct KnownShared {
    /// What readers are told of it.
    pub meta: Meta,
    /// How long it is.
    pub length: u64,
    /// The hash of its bytes.
    pub hash: u128,
    pub(super) version: Version,
    /// The bucket below has it, and has its bytes alone.
    pub(super) is_kept: bool,
    pub(super) is_cold: bool,
}

impl KnownShared {
    /// Whether its bytes are in the bucket below alone.
    #[must_use]
    pub const fn is_cold(&self) -> bool {
        self.is_cold
    }
}

/// A change of an object, for every node to take up.
#[derive(Debug)]
pub struct SharedChange {
    /// In which namespace.
    pub namespace: Namespace,
    /// Of which object.
    pub key: Key,
    /// When it was decided.
    pub now: Now,
    /// What it is.
    pub what: SharedNews,
}

/// A version that somebody has made the object.
#[derive(Debug)]
pub struct SharedVersion {
    /// What is known of it.
    pub known: KnownShared,
    /// And of how it came.
    pub described: DescribedShared,
    /// Its bytes, where they came with it.
    pub body: Option<Bytes>,
    /// The upload that brought it.
    pub upload: Option<UploadNumber>,
    /// It was there before this node looked.
    pub is_old: bool,
}

/// What has changed.
#[derive(Debug)]
pub enum SharedNews {
    /// It has another version.
    Version(Box<SharedVersion>),
    /// It was removed.
    Removed,
    /// It lives until then at least.
    Renewed(Moment),
    /// Nothing is known of it any more.
    Forgotten,
}

/// An upload, everywhere and for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UploadNumber(pub(super) u128);

/// Who takes up what changes.
pub trait SharedFollower: std::fmt::Debug + Send + Sync {
    /// Takes up a change. Those of one object come in order, one after the other.
    fn take(&self, change: SharedChange) -> BoxFuture<'_, ()>;
    /// The bytes of an object, where those of this hash are in memory.
    fn body(&self, namespace: &Namespace, key: &Key, hash: u128) -> Option<Bytes>;
}

/// What is known of a version; `None`, where another release has described it in a way that makes no sense here.
pub(super) fn known(indexed: &Indexed, clock: &EngineClock) -> Option<(KnownShared, DescribedShared)> {
    let object = indexed.object.as_ref()?;
    let described = DescribedShared::read(&object.described)?;
    let modified = described.stored.unwrap_or(WallTime::from_millis(indexed.decided));
    let (etag, last_modified) = meta::validators(&meta::etag(object.etag), modified);
    let meta = Meta {
        kind: described.kind,
        rendering: Rendering::of(&described.content_type),
        content_type: described.content_type.clone(),
        content_encoding: described.content_encoding.clone(),
        cache_control: described.cache_control.clone(),
        etag,
        last_modified,
        modified,
        expires: clock.moment(object.expires),
        target_duration: described.target_duration,
        facts: described.facts.clone(),
        continuity: described.continuity.clone(),
        liveness: None,
    };
    let (version, is_kept, is_cold) = (indexed.version, indexed.is_kept, indexed.is_cold());
    Some((KnownShared { meta, length: object.length, hash: object.etag, version, is_kept, is_cold }, described))
}

/// What the names of [texts](super::texts) begin with. No namespace is called so.
pub(super) const MARK: char = '%';

/// Tells a follower, in his words, what a lane is told.
pub(super) struct Teller {
    pub(super) clock: Arc<EngineClock>,
    pub(super) follower: Arc<dyn SharedFollower>,
    /// To be told when a text has changed.
    pub(super) text_news: Arc<Notify>,
    pub(super) budgets: Arc<SharedBudgets>,
    pub(super) goes_below: Arc<dyn Fn(&str) -> bool + Send + Sync>,
}

/// What an object's name says.
pub(super) struct SharedName {
    pub(super) namespace: Namespace,
    pub(super) key: Key,
}

impl SharedName {
    pub(super) fn read(name: &str) -> Option<Self> {
        let (namespace, key) = name.split_once('/')?;
        Some(Self { namespace: Namespace::parse(namespace).ok()?, key: Key::parse(key).ok()? })
    }
}

impl NewsTaker for Teller {
    fn take(&self, news: NameNews) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            if news.name.starts_with(MARK) {
                self.text_news.notify_one();
                return;
            }
            let Some(SharedName { namespace, key }) = SharedName::read(&news.name) else { return };
            let clock = &self.clock;
            let (decided, what) = match news.what {
                NameChange::Version { indexed, upload, body, is_old } => {
                    if let Some(object) = indexed.object.as_ref().filter(|_| !indexed.is_cold()) {
                        self.budgets.stored(&news.name, object);
                    }
                    let upload = upload.map(|upload| UploadNumber(upload.0));
                    let what = match known(&indexed, clock) {
                        Some((known, described)) => {
                            SharedNews::Version(Box::new(SharedVersion { known, described, body, upload, is_old }))
                        }
                        None if indexed.object.is_none() => SharedNews::Removed,
                        None => SharedNews::Forgotten,
                    };
                    (indexed.decided, what)
                }
                NameChange::Renewed { expires, .. } => (clock.now(), SharedNews::Renewed(clock.moment(expires))),
                NameChange::Forgotten => (clock.now(), SharedNews::Forgotten),
            };
            let now = clock.instant(decided, false);
            self.follower.take(SharedChange { namespace, key, now, what }).await;
        })
    }

    fn goes_below(&self, name: &ObjectName) -> bool {
        (self.goes_below)(name)
    }

    fn body(&self, name: &ObjectName, indexed: &Indexed) -> Option<Bytes> {
        if name.starts_with([MARK, WHOLE]) {
            return Some(Bytes::new());
        }
        let SharedName { namespace, key } = SharedName::read(name)?;
        self.follower.body(&namespace, &key, indexed.object.as_ref()?.etag)
    }
}
