//! Playlists that are made for a reader and stored nowhere.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;

use crate::model::id::Key;
use crate::model::kind::Kind;
use crate::model::meta::{self, Meta};
use crate::model::rendering::Rendering;
use crate::origin::namespace::Hosted;
use crate::origin::types;
use crate::store::{Body, Entry};

/// What is known of a playlist that is made now, as far as its body does not say it ([`playlist`] adds that).
pub(super) fn describe(hosted: &Hosted, key: &Key, left: Duration) -> Meta {
    let clock = hosted.hot.clock();
    let content_type = types::content_type(key, None);
    Meta {
        kind: Kind::Playlist,
        rendering: Rendering::of(&content_type),
        content_type,
        content_encoding: None,
        cache_control: None,
        etag: HeaderValue::from_static(""),
        last_modified: HeaderValue::from_static(""),
        modified: clock.wall(),
        expires: clock.now() + left,
        target_duration: None,
        liveness: None,
    }
}

/// A version of this body.
pub(super) fn playlist(key: &Key, meta: Meta, body: Vec<u8>) -> Arc<Entry> {
    let body = Body::new(body);
    let (etag, last_modified) = meta::validators(&meta::etag(body.hash), meta.modified);
    Arc::new(Entry::new(key.clone(), body.bytes, Meta { etag, last_modified, ..meta }))
}
