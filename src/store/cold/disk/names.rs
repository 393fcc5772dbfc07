//! Key -> path. Ordinary keys keep their names; the rest is escaped so that no two keys share a path.
//!
//! - `%` and what some file systems refuse is written `%XX`, as in a URL. Where the file system does not tell `A` from `a`, capitals
//!   and everything beyond ASCII are too.
//! - A key may be both an object and a folder of others (`a` and `a/b`), a path may not. Files have a dot in their names, folders
//!   have none: so it is for nearly every encoder. A file without one, and a folder with one, has a `%` at its end.
//! - A segment that would be longer than file systems take is cut, and told apart by its hash.
//! - A key of many folders goes by its hash, below `%long`: each folder takes a block and an inode, and a key of one byte and five
//!   hundred folders would take megabytes that nobody counts.
//!
//! The way back is not needed: the attributes hold the key.

use std::path::PathBuf;

use crate::model::id::Key;
use crate::store::cold::DEEPEST;
use crate::store::hash;

/// The longest segment that keeps its name, in bytes: 255 is what file systems take, and the attributes' file adds to it.
const LONGEST: usize = 200;
/// How much of a longer one is kept to be recognised.
const KEPT: usize = 120;
/// The longest path that keeps its folders, in bytes.
const LONGEST_PATH: usize = 640;
/// Where the others are. No escape looks like this.
const LONG: &str = "%long";

/// How names are made on one file system.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Names {
    /// The file system does not tell `A` from `a`.
    pub(super) folds_case: bool,
}

impl Names {
    /// The path of an object's body, from the namespace's folder.
    pub(super) fn path(self, key: &Key) -> PathBuf {
        if key.as_str().split('/').count() <= DEEPEST {
            let path = self.whole_path(key);
            if path.as_os_str().len() <= LONGEST_PATH {
                return path;
            }
        }
        PathBuf::from(LONG).join(format!("{:032x}.bin", hash::of_body(key.as_str().as_bytes())))
    }

    /// The path that an earlier version would have given it, where that was another.
    pub(super) fn earlier_path(self, key: &Key) -> Option<PathBuf> {
        // A short key has few folders, and a short path: this is asked at each look.
        if key.as_str().len() < 2 * DEEPEST {
            return None;
        }
        let path = self.whole_path(key);
        (path != self.path(key)).then_some(path)
    }

    fn whole_path(self, key: &Key) -> PathBuf {
        let mut segments = key.as_str().split('/').peekable();
        let mut path = PathBuf::new();
        while let Some(segment) = segments.next() {
            path.push(self.segment(segment, segments.peek().is_none()));
        }
        path
    }

    fn segment(self, segment: &str, is_file: bool) -> String {
        let mut name = String::with_capacity(segment.len() + 1);
        for (at, c) in segment.char_indices() {
            // Windows and the protocols that go with it drop a dot or a space at the end.
            let is_last = at + c.len_utf8() == segment.len();
            let refused =
                matches!(c, '%' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|') || (is_last && matches!(c, '.' | ' '));
            if refused || (self.folds_case && (c.is_ascii_uppercase() || !c.is_ascii())) {
                let mut bytes = [0; 4];
                name.extend(c.encode_utf8(&mut bytes).bytes().map(|byte| format!("%{byte:02x}")));
            } else {
                name.push(c);
            }
        }
        if name.len() > LONGEST {
            let end = (0..=KEPT).rev().find(|&end| name.is_char_boundary(end)).unwrap_or(0);
            name.truncate(end);
            // No escape looks like this.
            name.push_str(&format!("%~{:032x}", hash::of_body(segment.as_bytes())));
        }
        if name.contains('.') != is_file {
            name.push('%');
        }
        name
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use proptest::prelude::{any, prop, proptest};

    fn path(key: &str) -> String {
        Names::default().path(&Key::parse(key).unwrap()).to_str().unwrap().to_owned()
    }

    #[test]
    fn ordinary_names_stay() {
        for key in ["live/channel1/seg_00001.ts", "playlist.m3u8", "a/b-c/d e.m4s", "日本語/é.ts", ".hidden"] {
            assert_eq!(path(key), key);
        }
        for (key, expected) in [
            ("a", "a%"),
            ("a/b.ts", "a/b.ts"),
            ("a.b/c.ts", "a.b%/c.ts"),
            ("100%.ts", "100%25.ts"),
            ("a?b=c:d.ts", "a%3fb=c%3ad.ts"),
            ("a/...", "a/..%2e"),
        ] {
            assert_eq!(path(key), expected);
        }
        let deep = format!("{}f.ts", "d/".repeat(DEEPEST - 1));
        assert_eq!(path(&deep), deep);
        for long in [format!("{}f.ts", "d/".repeat(DEEPEST)), ("x".repeat(190) + "/").repeat(4) + "a.ts"] {
            let (key, names) = (Key::parse(&long).unwrap(), Names::default());
            assert!(path(&long).starts_with("%long/") && path(&long).len() == 42, "{long}");
            assert_eq!(names.earlier_path(&key), Some(names.whole_path(&key)));
        }
        assert_eq!(Names::default().earlier_path(&Key::parse(&deep).unwrap()), None);
        assert!(!path("%long/a.bin").starts_with("%long/"));
        assert_eq!(Names { folds_case: true }.path(&Key::parse("Aé.ts").unwrap()).to_str(), Some("%41%c3%a9.ts"));
    }

    proptest! {
        #[test]
        fn no_two_keys_share_a_path_and_no_file_is_a_folder(
            keys in prop::collection::hash_set("([aA.%~é]{1,3}/){0,2}([aA.%~2é]{1,4}|x{198,204}|%{65,69})|(d/){14,18}[a-c]|(x{150}/){3,5}a", 2..40),
            folds_case in any::<bool>(),
        ) {
            let names = Names { folds_case };
            let mut files = HashMap::new();
            let mut folders = HashMap::new();
            for key in keys.iter().filter_map(|key| Key::parse(key).ok()) {
                let path = names.path(&key);
                assert!(path.iter().all(|segment| segment.len() <= 250), "{path:?}");
                for folder in path.ancestors().skip(1) {
                    folders.insert(folder.to_owned(), key.clone());
                }
                let same = if folds_case { path.to_str().unwrap().to_lowercase().into() } else { path };
                if let Some(other) = files.insert(same, key.clone()) {
                    panic!("{key:?} and {other:?} share a path");
                }
            }
            for file in files.keys() {
                assert!(!folders.contains_key(file), "{file:?} is a folder of {:?}", folders[file]);
            }
        }
    }
}
