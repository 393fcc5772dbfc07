//! What lies in which folder: to find the playlists beside a segment without a look at all of them.

use std::collections::{BTreeSet, HashMap};

use ahash::RandomState;

use crate::model::id::Key;

/// How many folders up a playlist is looked for: more than anybody nests.
const UP: usize = 32;
/// This many are beside a segment at most; of more the first ones are taken.
const BESIDE: usize = 64;

/// Playlists, or MPDs, by their folders.
#[derive(Debug, Default)]
pub(super) struct Folders {
    by_folder: HashMap<Box<str>, BTreeSet<Key>, RandomState>,
}

impl Folders {
    pub(super) fn add(&mut self, playlist: &Key) {
        if let Some(names) = self.by_folder.get_mut(folder(playlist.as_str())) {
            names.insert(playlist.clone());
        } else {
            self.by_folder.insert(folder(playlist.as_str()).into(), BTreeSet::from([playlist.clone()]));
        }
    }

    pub(super) fn remove(&mut self, playlist: &Key) {
        let name = folder(playlist.as_str());
        if let Some(names) = self.by_folder.get_mut(name) {
            names.remove(playlist);
            if names.is_empty() {
                self.by_folder.remove(name);
            }
        }
    }

    /// Those in the folder of an object, and in the folders around it; the nearest ones first.
    pub(super) fn beside<'a>(&'a self, object: &'a Key) -> impl Iterator<Item = &'a Key> {
        let first = folder(object.as_str());
        let up = std::iter::successors(Some(first), |name| Some(folder(name.strip_suffix('/')?)));
        up.take(UP).filter_map(|name| self.by_folder.get(name)).flatten().take(BESIDE)
    }
}

/// The folder that a name lies in, with the slash at its end.
fn folder(name: &str) -> &str {
    name.rfind('/').map_or("", |slash| &name[..=slash])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_ones_come_first_and_what_is_removed_leaves_nothing() {
        let mut folders = Folders::default();
        let names = ["top.m3u8", "a/one.m3u8", "a/b/two.m3u8", "a/c/three.m3u8"].map(|name| Key::parse(name).unwrap());
        names.iter().for_each(|name| folders.add(name));
        let beside = |object: &str| folders.beside(&Key::parse(object).unwrap()).map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(beside("a/b/1.ts"), ["a/b/two.m3u8", "a/one.m3u8", "top.m3u8"]);
        assert_eq!(beside("a/d/e/1.ts"), ["a/one.m3u8", "top.m3u8"]);
        assert_eq!(beside("1.ts"), ["top.m3u8"]);
        assert_eq!(beside(&format!("{}1.ts", "x/".repeat(400))), [""; 0], "from far below nothing is looked for");
        names.iter().for_each(|name| folders.remove(name));
        assert!(folders.by_folder.is_empty());
    }
}
