//! What the URIs of a playlist name here, and what viewers call that in the playlist that is composed of it.

use std::fmt::Write as _;
use std::sync::Arc;

use super::namespace::Hosted;

use crate::hls::normalise::{Named, NamedPlace, StoredSegment, names};
use crate::hls::playlist::Media;
use crate::hls::uri::{Meant, meant, resolve};
use crate::model::continuity::MediaTime;
use crate::model::facts::SegmentFacts;
use crate::model::id::{Key, ObjectId};
use crate::model::meta::etag_digits;
use crate::model::percent::encode_path;
use crate::store::Entry;

/// A playlist of a source's and the public one that is made of it: the same, where that is done in place.
#[derive(Clone, Debug)]
pub(super) struct Origins {
    pub(super) source: ObjectId,
    pub(super) public: ObjectId,
}

impl Origins {
    /// What a URI of the source's playlist is in the public one, where it names that. As it is written, as far as that means the same there;
    /// else relative to the public playlist, by which CDNs and viewers know nothing of where they are.
    pub(super) fn public_uri(&self, uri: &str, named: &Key) -> String {
        if self.source == self.public || resolve(&self.public, uri).is_some_and(|object| object.key == *named) {
            return uri.to_owned();
        }
        let rest = uri.find(['?', '#']).map_or("", |at| &uri[at..]);
        relative(&self.public.key, named) + rest
    }
}

/// A key as a reference that is relative to another (RFC 3986 4.2).
fn relative(from: &Key, to: &Key) -> String {
    let folders: Vec<&str> = from.as_str().split('/').collect();
    let path: Vec<&str> = to.as_str().split('/').collect();
    let most = folders.len().min(path.len()) - 1;
    let common = folders.iter().zip(&path).take(most).take_while(|(one, other)| one == other).count();
    let mut text = "../".repeat(folders.len() - 1 - common);
    let rest = path[common..].join("/");
    if text.is_empty() && path[common].contains(':') {
        // Its first part would be read as a scheme.
        text.push_str("./");
    }
    let _ = write!(text, "{}", encode_path(&rest));
    text
}

impl Hosted {
    /// What a URI names, if that is ours: its key as it is written, what viewers call it, and what is known of its version.
    fn named(&self, playlist: &ObjectId, uri: &str) -> Option<(Key, Option<Arc<Entry>>)> {
        let (object, is_certain) = match meant(playlist, uri)? {
            Meant::Ours(object) => (object, true),
            Meant::Under { object, .. } => (object, false),
        };
        if object.namespace != playlist.namespace {
            return None;
        }
        let public = self.public_of(&object.key)?;
        let entry = self.known_at(&object.key, self.hot.clock().now());
        // What stands under another host is ours when it is here.
        (is_certain || entry.is_some()).then_some((public, entry))
    }

    /// The facts of what a URI names.
    pub(super) fn facts_of(&self, playlist: &ObjectId, uri: &str) -> Option<Arc<SegmentFacts>> {
        self.named(playlist, uri)?.1?.meta.facts.clone()
    }

    /// What is known of a URI in a version of the source's.
    pub(super) fn find_named(&self, origins: &Origins, uri: &str, initialization: Option<&SegmentFacts>) -> Named {
        let Some((public, entry)) = self.named(&origins.source, uri) else {
            return Named { plain: uri.to_owned(), place: NamedPlace::Elsewhere };
        };
        let plain = origins.public_uri(uri, &public);
        let tagged = |entry: &Entry| Some(names::tagged(&plain, etag_digits(&entry.meta.etag, names::DIGITS)?));
        let Some((entry, uri)) = entry.and_then(|entry| Some((Arc::clone(&entry), tagged(&entry)?))) else {
            return Named { plain, place: NamedPlace::Absent };
        };
        let facts = entry.meta.facts.as_deref().map(|facts| match initialization {
            Some(initialization) => facts.clone().with(initialization),
            None => facts.clone(),
        });
        let lead = facts.as_ref().and_then(SegmentFacts::lead);
        let begins = lead.and_then(|track| Some(MediaTime { ticks: track.first?, scale: track.scale? }));
        let ticks = lead.filter(|track| track.undated == 0).map_or(0, |track| track.duration);
        Named { plain, place: NamedPlace::Here(StoredSegment { uri, at: entry.meta.modified, begins, ticks }) }
    }

    /// The keys that a playlist names here, as they are written there: its maps and its last segments.
    pub(super) fn keys_of(&self, playlist: &ObjectId, media: &Media, most: usize) -> Vec<Key> {
        let from = media.segments.len().saturating_sub(most);
        let maps = media.maps.iter().rev().take(4).map(|map| map.uri.as_str());
        let uris = media.segments[from..]
            .iter()
            .map(|segment| segment.uri.as_str())
            .chain(maps)
            .chain(media.keys.iter().map(String::as_str));
        let ours = |uri: &str| match meant(playlist, uri)? {
            Meant::Ours(object) | Meant::Under { object, .. } => (object.namespace == self.name).then_some(object.key),
        };
        uris.filter_map(ours).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::Namespace;

    fn object(key: &str) -> ObjectId {
        ObjectId { namespace: Namespace::parse("live").unwrap(), key: Key::parse(key).unwrap() }
    }

    #[test]
    fn a_uri_stays_as_it_is_where_it_means_the_same_and_is_relative_else() {
        for (source, public, uri, named, is) in [
            ("a/p.m3u8", "live/p.m3u8", "v 1.ts?x", "live/v 1.ts", "v 1.ts?x"),
            ("a/p.m3u8", "live/p.m3u8", "hd/v.ts", "live/hd/v.ts", "hd/v.ts"),
            ("a/hd/p.m3u8", "live/hd/p.m3u8", "../v.ts", "live/v.ts", "../v.ts"),
            ("a/p.m3u8", "live/p.m3u8", "/cache/live/a/v.ts", "live/v.ts", "v.ts"),
            ("a/p.m3u8", "live/p.m3u8", "https://x.example/cache/live/a/hd/v.ts?q", "live/hd/v.ts", "hd/v.ts?q"),
            ("in/a-p.m3u8", "in/p.m3u8", "a-v%201.ts", "in/v 1.ts", "v%201.ts"),
            ("a-p.m3u8", "x/y/p.m3u8", "a-v.ts", "x/y/v.ts", "v.ts"),
            ("in/a/hd/p.m3u8", "live/hd/p.m3u8", "/cache/live/in/a/sd/v.ts", "live/sd/v.ts", "../sd/v.ts"),
            ("in/a-1.m3u8", "1.m3u8", "a-b:c.ts", "b:c.ts", "./b:c.ts"),
        ] {
            let origins = Origins { source: object(source), public: object(public) };
            let made = origins.public_uri(uri, &object(named).key);
            assert_eq!(made, is, "{uri}");
            assert_eq!(resolve(&origins.public, &made), Some(object(named)), "{uri}");
        }
    }
}
