//! Multivariant playlists as they were before they named other media playlists: a window of the past has the one of its time.
//!
//! Servers that number their lists anew at each start name others from then on (`chunklist_w123.m3u8`), and what the old ones have listed is in
//! no list that the new multivariant playlist names. Kept in memory, for as long as the process runs; how many, and how long texts, is bounded:
//! the oldest go first.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::hls::coding;
use crate::hls::playlist::{self, Playlist};
use crate::hls::renditions::{self, Choice};
use crate::hls::uri::{Meant, meant};
use crate::model::id::{Key, ObjectId};
use crate::model::kind::Kind;
use crate::store::Entry;

/// Editions of one playlist: an encoder that is started again and again leaves lists of some seconds.
const OF_EACH: usize = 16;
/// Editions of all playlists of a namespace, and bytes of them.
const OF_ALL: usize = 256;
const BYTES: usize = 4 << 20;
/// The longest one that is kept, in bytes.
const LONGEST: usize = 256 << 10;

/// The editions of one namespace's multivariant playlists.
#[derive(Debug, Default)]
pub(super) struct Editions {
    /// The one that was replaced last stands last.
    kept: Mutex<VecDeque<Edition>>,
}

/// A multivariant playlist that was replaced.
#[derive(Debug)]
struct Edition {
    playlist: Key,
    text: Arc<str>,
    /// The media playlists that it names here.
    children: Vec<Key>,
}

impl Editions {
    /// Those of this playlist, oldest first.
    pub(super) fn of(&self, playlist: &Key) -> Vec<Arc<str>> {
        let kept = self.kept.lock();
        kept.iter().filter(|edition| edition.playlist == *playlist).map(|edition| Arc::clone(&edition.text)).collect()
    }

    /// The media playlists that were named together with this one.
    pub(super) fn beside(&self, child: &Key) -> Vec<Key> {
        let kept = self.kept.lock();
        let named = kept.iter().filter(|edition| edition.children.contains(child));
        named.flat_map(|edition| &edition.children).filter(|other| *other != child).cloned().collect()
    }

    /// Forgets those of this playlist: it was deleted.
    pub(super) fn forget(&self, playlist: &Key) {
        self.kept.lock().retain(|edition| edition.playlist != *playlist);
    }

    /// Takes up what a new version has replaced, where that is a multivariant playlist that named what the new one does not name. Of media
    /// playlists, which are most that are replaced, no more than their metadata is looked at; what is very long is not kept.
    pub(super) fn replaced(&self, object: &ObjectId, before: &Entry, now: &Entry) {
        let may_be = |entry: &Entry| {
            let meta = &entry.meta;
            meta.kind == Kind::Playlist && meta.target_duration.is_none() && entry.body.len() <= LONGEST
        };
        if !may_be(before) || !may_be(now) || before.meta.etag == now.meta.etag {
            return;
        }
        let (Some(text), Some(next)) = (text(before), text(now)) else { return };
        let (children, named) = (children(object, &text), children(object, &next));
        if children.iter().any(|child| !named.contains(child)) {
            self.keep(Edition { playlist: object.key.clone(), text: text.into(), children });
        }
    }

    fn keep(&self, edition: Edition) {
        let mut kept = self.kept.lock();
        // One that came back and went again is the newest.
        kept.retain(|known| known.playlist != edition.playlist || known.text != edition.text);
        let playlist = edition.playlist.clone();
        kept.push_back(edition);
        if kept.iter().filter(|known| known.playlist == playlist).count() > OF_EACH
            && let Some(oldest) = kept.iter().position(|known| known.playlist == playlist)
        {
            kept.remove(oldest);
        }
        let mut bytes: usize = kept.iter().map(|known| known.text.len()).sum();
        while kept.len() > OF_ALL || bytes > BYTES {
            let Some(oldest) = kept.pop_front() else { break };
            bytes -= oldest.text.len();
        }
    }
}

/// The text of a multivariant playlist, if it is one.
fn text(entry: &Entry) -> Option<String> {
    let said = entry.meta.content_encoding.as_ref().map(http::HeaderValue::as_bytes);
    let clear = match coding::of(said, &entry.body) {
        Some(coding) => coding::unpack(coding, &entry.body, LONGEST).ok()?,
        None => entry.body.to_vec(),
    };
    let text = String::from_utf8(clear).ok()?;
    matches!(playlist::parse(text.as_bytes()), Ok(Playlist::Multivariant(_))).then_some(text)
}

/// The media playlists of this namespace that a multivariant playlist names.
fn children(object: &ObjectId, text: &str) -> Vec<Key> {
    let mut children = Vec::new();
    let _ = renditions::choose(text, |uri| {
        let child = meant(object, uri).map(|meant| match meant {
            Meant::Ours(found) | Meant::Under { object: found, .. } => found,
        });
        children.extend(child.filter(|child| child.namespace == object.namespace).map(|child| child.key));
        Choice::LeftOut
    });
    children.sort_unstable();
    children.dedup();
    children
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edition(playlist: &str, text: &str) -> Edition {
        let children = vec![Key::parse(&format!("{text}.m3u8")).unwrap(), Key::parse("both.m3u8").unwrap()];
        Edition { playlist: Key::parse(playlist).unwrap(), text: text.into(), children }
    }

    #[test]
    fn the_last_ones_of_each_are_kept() {
        let (editions, master) = (Editions::default(), Key::parse("m.m3u8").unwrap());
        for number in 0..40 {
            editions.keep(edition("m.m3u8", &format!("e{number}")));
            editions.keep(edition(&format!("{number}.m3u8"), "x"));
        }
        assert_eq!(editions.of(&master).len(), OF_EACH);
        editions.keep(edition("m.m3u8", "e30"));
        let kept = editions.of(&master);
        assert_eq!((kept.len(), &*kept[0], &*kept[OF_EACH - 1]), (OF_EACH, "e24", "e30"), "once");
        let beside = editions.beside(&Key::parse("e39.m3u8").unwrap());
        assert_eq!(beside, [Key::parse("both.m3u8").unwrap()]);
        for number in 0..2 * OF_ALL {
            editions.keep(edition(&format!("n{number}.m3u8"), "x"));
        }
        let count = editions.kept.lock().len();
        assert_eq!((count, editions.of(&master).len()), (OF_ALL, 0));
        editions.keep(edition("m.m3u8", &"x".repeat(1000)));
        assert_eq!(editions.of(&master).len(), 1);
        editions.forget(&master);
        assert_eq!(editions.of(&master).len(), 0);
    }
}
