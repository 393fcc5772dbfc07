//! Time shift: playlists of what was, made from the histories of media playlists and from what can still be read.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;

use super::{Chronicle, Found, Listed, Origin, OriginError, Place, Window, types};
use crate::auth::grant::{Action, Grant};
use crate::hls::playlist::{self, Playlist};
use crate::hls::{rewrite, shift, uri};
use crate::model::id::{Key, Namespace, ObjectId};
use crate::model::kind::Kind;
use crate::model::meta::{self, Meta};
use crate::store::{Body, Entry};

/// How long caches may keep a playlist that nothing will be added to. Not for ever: its segments may have to make room.
const SETTLED_MAX_AGE: Duration = Duration::from_secs(300);
/// How long caches may keep a multivariant playlist whose children are cut at times that were counted from now.
const RELATIVE_MAX_AGE: u64 = 1;

impl Place {
    /// Whether an object can still be read. The one place that decides what a playlist of the past lists.
    fn retained(&self, key: &Key) -> bool {
        self.hot.peek(key).is_some() || self.below.may_have(key)
    }
}

impl Origin {
    /// A media playlist of what it has listed in a window and what of that can still be read, dead streams included. `None` when no
    /// media playlist of this name has been followed: then it may be a multivariant one, see [`Origin::shift_children`].
    ///
    /// # Errors
    /// [`OriginError::NothingRetained`]; [`OriginError::Forbidden`], [`OriginError::UnknownNamespace`] or
    /// [`OriginError::RateLimited`].
    pub fn shift(&self, grant: &Grant, object: &ObjectId, window: Window) -> Result<Option<Found>, OriginError> {
        let place = self.admit(grant, Action::Read, object)?;
        let Some(stretch) = place.live.stretch(&object.key, window.start, window.end) else { return Ok(None) };
        let now = self.inner.clock.wall();
        let retained = |listed: &Listed| {
            let found = uri::resolve(object, &listed.uri).filter(|found| found.namespace == object.namespace);
            found.is_some_and(|found| place.retained(&found.key))
        };
        let cut = shift::cut(&stretch, window, now, retained);
        let Some(cut) = cut else {
            self.take_read_rate(&place, None, false)?;
            return Err(OriginError::NothingRetained);
        };
        let left = cut.until.since(now);
        let mut meta = self.describe(&object.key, left);
        meta.target_duration = Some(cut.target);
        let max_age = if cut.settled { SETTLED_MAX_AGE.min(left).as_secs() } else { place.policy.max_age(&meta, left) };
        let entry = made(&object.key, meta, cut.text.into_bytes());
        self.take_read_rate(&place, Some(&entry), false)?;
        Ok(Some(Found::made(entry, left, max_age)))
    }

    /// What is known of a playlist that is made now. It has no date by which it could be called unchanged: its tag says so.
    fn describe(&self, key: &Key, left: Duration) -> Meta {
        Meta {
            kind: Kind::Playlist,
            content_type: types::content_type(key, None),
            content_encoding: None,
            cache_control: None,
            etag: HeaderValue::from_static(""),
            last_modified: HeaderValue::from_static(""),
            modified: self.inner.clock.wall(),
            expires: self.inner.clock.now() + left,
            target_duration: None,
            liveness: None,
        }
    }

    /// Has the histories of playlists written down from now on. Once.
    pub fn keep_histories(&self, chronicle: Arc<dyn Chronicle>) {
        let chronicle = self.inner.chronicle.get_or_init(|| chronicle);
        for place in self.inner.places.load().values() {
            place.live.keep_in(chronicle);
        }
    }

    /// Takes up what was written down of a playlist's history, oldest first.
    pub fn restore_history(&self, namespace: &Namespace, playlist: &Key, listed: Vec<Listed>) {
        if let Some(place) = self.inner.places.load().get(namespace) {
            place.live.restore(playlist, listed);
        }
    }

    /// The same multivariant playlist, whose children are asked for this window. `host` is what the reader asked: children
    /// elsewhere stay as they are. `relative`: the window was counted from now.
    ///
    /// # Errors
    /// [`OriginError::NothingRetained`], when it is no multivariant playlist: then there is no history to it.
    pub fn shift_children(
        &self,
        found: &Found,
        object: &ObjectId,
        window: Window,
        relative: bool,
        host: Option<&str>,
    ) -> Result<Found, OriginError> {
        let meta = found.meta();
        let is_multivariant = matches!(playlist::parse(found.body()), Ok(Playlist::Multivariant(_)));
        if !is_multivariant || meta.content_encoding.is_some() {
            return Err(OriginError::NothingRetained);
        }
        let body = rewrite::inherit(Kind::Playlist, found.body(), &window.to_string(), host);
        let max_age = if relative { found.max_age.min(RELATIVE_MAX_AGE) } else { found.max_age };
        let meta = Meta { liveness: meta.liveness.clone(), ..self.describe(&object.key, found.left) };
        Ok(Found::made(made(&object.key, meta, body), found.left, max_age))
    }
}

fn made(key: &Key, meta: Meta, body: Vec<u8>) -> Arc<Entry> {
    let body = Body::new(body);
    let (etag, last_modified) = meta::validators(&meta::etag(body.hash), meta.modified);
    Arc::new(Entry::new(key.clone(), body.bytes, Meta { etag, last_modified, ..meta }))
}
