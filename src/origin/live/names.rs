//! What the URIs of one playlist name here: by their own address, or by the one that a CDN gives them.
//!
//! Where a CDN's root is the namespace, encoders write absolute URIs, or such from the root, without `/cache/` (MediaLive's base URLs,
//! `-hls_base_url`). Whether a host is such a CDN or somebody else's, nobody says: it is one when any of what stands under it in this version
//! is here, or was. Then all that stands under it is, and what is not here is missing.

use crate::hls::playlist::{Media, Segment};
use crate::hls::uri::{Meant, meant};
use crate::model::id::{Key, ObjectId};

/// This many of a playlist's URIs are looked at, the newest.
const LOOKED_AT: usize = 64;
/// More hosts than anybody names in one playlist.
const HOSTS: usize = 8;

/// The names in one version of a playlist or MPD.
#[derive(Debug)]
pub(super) struct ListedNames<'a> {
    playlist: &'a ObjectId,
    /// Hosts whose root is the namespace.
    ours: Vec<&'a str>,
    /// A URI of what is here by which a player leaves what stands before the key in the playlist's own path, as a viewer's token does.
    away: Option<&'a str>,
}

impl<'a> ListedNames<'a> {
    /// Those of a playlist with these URIs, the newest first.
    pub(super) fn of(playlist: &'a ObjectId, uris: impl Iterator<Item = &'a str>, is_here: impl Fn(&Key) -> bool) -> Self {
        let (mut ours, mut away): (Vec<&'a str>, _) = (Vec::new(), None);
        for uri in uris.take(LOOKED_AT).filter(|uri| leads_away(uri)) {
            match meant(playlist, uri) {
                Some(Meant::Under { host, object })
                    if ours.len() < HOSTS
                        && !ours.iter().any(|known| known.eq_ignore_ascii_case(host))
                        && is_here(&object.key) =>
                {
                    ours.push(host);
                    away = away.or(Some(uri));
                }
                Some(Meant::Ours(object)) if object.namespace == playlist.namespace => away = away.or(Some(uri)),
                _ => {}
            }
        }
        Self { playlist, ours, away }
    }

    /// A URI of what is here that is absolute or begins at the root: a relative one keeps what stands before the key.
    pub(super) fn away(&self) -> Option<&'a str> {
        self.away
    }

    /// Those of a media playlist.
    pub(super) fn of_media(playlist: &'a ObjectId, media: &'a Media, is_here: impl Fn(&Key) -> bool) -> Self {
        let segment = |segment: &'a Segment| segment.uri.as_str();
        let maps = media.maps.iter().rev().take(4).map(|map| map.uri.as_str());
        Self::of(playlist, maps.chain(media.segments.iter().rev().map(segment)), is_here)
    }

    /// The key in the playlist's namespace that a URI names.
    pub(super) fn key(&self, uri: &str) -> Option<Key> {
        let object = match meant(self.playlist, uri)? {
            Meant::Ours(object) => object,
            Meant::Under { host, object } => self.ours.iter().any(|known| known.eq_ignore_ascii_case(host)).then_some(object)?,
        };
        (object.namespace == self.playlist.namespace).then_some(object.key)
    }
}

/// Whether a URI may name a host or begin at the root. Almost none does, and this is asked of each.
fn leads_away(uri: &str) -> bool {
    uri.starts_with('/') || uri.bytes().take(8).any(|byte| byte == b':')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::Namespace;

    #[test]
    fn what_stands_under_a_host_of_ours_is_ours() {
        let playlist = ObjectId { namespace: Namespace::parse("n").unwrap(), key: Key::parse("live/a.m3u8").unwrap() };
        let uris = ["https://CDN.example/live/2.ts", "https://cdn.example/live/1.ts", "https://other.example/live/9.ts", "b.ts"];
        let names = ListedNames::of(&playlist, uris.into_iter(), |key| key.as_str() == "live/1.ts");
        let key = |uri: &str| names.key(uri).map(|key| key.to_string());
        assert_eq!(key("https://cdn.example/live/never.ts"), Some("live/never.ts".to_owned()), "missing, and ours");
        assert_eq!(key("b.ts"), Some("live/b.ts".to_owned()));
        assert_eq!(names.away(), Some(uris[1]));
        for (uri, is_away) in [
            ("/cache/n/live/1.ts", true),
            ("b.ts", false),
            ("../b.ts", false),
            ("https://other.example/k", false),
            ("/cache/m/1.ts", false),
        ] {
            assert_eq!(ListedNames::of(&playlist, [uri].into_iter(), |_| false).away().is_some(), is_away, "{uri}");
        }
        for other in ["https://other.example/live/1.ts", "/live/1.ts", "https://cdn.example:444/live/1.ts", "/cache/m/1.ts"] {
            assert_eq!(key(other), None, "{other}");
        }
    }
}
