//! Playlists that are made for a reader and stored nowhere.

use std::sync::Arc;
use std::time::Duration;

use crate::model::id::Key;
use crate::model::kind::Kind;
use crate::model::meta::{self, Meta};
use crate::origin::namespace::Hosted;
use crate::origin::types;
use crate::store::{Body, Entry};

/// What is known of a playlist that is made now, as far as its body does not say it ([`playlist`] adds that).
pub(super) fn describe(hosted: &Hosted, key: &Key, left: Duration) -> Meta {
    Meta::plain(Kind::Playlist, types::content_type(key, None), hosted.hot.clock(), left)
}

/// A version of this body. What slow readers hold of it counts as what is gone. Its date tells it from no other: another may have been made of
/// what came in the same second, or of what was there before a restart.
pub(super) fn playlist(hosted: &Hosted, key: &Key, meta: Meta, body: Vec<u8>) -> Arc<Entry> {
    let body = Body::new(body);
    let (etag, last_modified) = meta::validators(&meta::etag(body.hash), meta.modified);
    Arc::new(hosted.hot.made(key.clone(), body.bytes, Meta { etag, last_modified, ..meta }).of_unknown_past())
}
