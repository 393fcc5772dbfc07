//! Key <-> name in the bucket, from the namespace's folder. Ordinary keys keep their names; the way back needs no request, so
//! that a listing names the objects by itself.
//!
//! S3 takes nearly any name, its many imitations do not: those that keep files on a disk can't have `a` beside `a/b`, nor
//! segments over 255 bytes; Azure reads `\` as `/`, and drops dots at a segment's end. So:
//! - `%`, `\`, a dot or a space at a segment's end, and what XML can't say in a listing, are written `%xx`.
//! - Files have a dot in their names, folders have none. A file without one, and a folder with one, has a `%` at its end.
//! - A key with a segment, a depth or a length that some store refuses goes by its hash, below `%long/`. Its fields hold the key.

use crate::model::id::Key;
use crate::store::hash;

/// The longest segment that keeps its name, in bytes: file systems take 255.
const LONGEST_SEGMENT: usize = 240;
/// The longest whole name: with the longest prefix and namespace it stays below the 1,024 bytes that S3 and Google take.
const LONGEST: usize = 640;
/// The most segments: Azure takes 254, the prefix's included.
const DEEPEST: usize = 100;
/// Where the long ones are. No escape looks like this, nor like the index's folder.
const LONG: &str = "%long/";
/// The folder of the index.
pub(super) const INDEX: &str = "%index";

/// The name of an object.
pub(super) fn name_of(key: &Key) -> String {
    let mut name = String::with_capacity(key.as_str().len() + 4);
    let mut segments = key.as_str().split('/').peekable();
    let mut fits = true;
    let mut depth = 0;
    while let Some(segment) = segments.next() {
        let start = name.len();
        let is_file = segments.peek().is_none();
        escape(segment, &mut name);
        if name[start..].contains('.') != is_file {
            name.push('%');
        }
        fits &= name.len() - start <= LONGEST_SEGMENT;
        depth += 1;
        if !is_file {
            name.push('/');
        }
    }
    if fits && depth <= DEEPEST && name.len() <= LONGEST {
        name
    } else {
        format!("{LONG}{:032x}.bin", hash::of_body(key.as_str().as_bytes()))
    }
}

/// The key of an object that goes by it; `None` for long ones and for what was put there by others.
pub(super) fn key_of(name: &str) -> Option<Key> {
    let mut text = Vec::with_capacity(name.len());
    for (n, segment) in name.split('/').enumerate() {
        if n > 0 {
            text.push(b'/');
        }
        let mut rest = segment.as_bytes();
        while let [first, behind @ ..] = rest {
            rest = behind;
            if *first != b'%' {
                text.push(*first);
            } else if let [high, low, behind @ ..] = rest {
                text.push(u8::from_str_radix(std::str::from_utf8(&[*high, *low]).ok()?, 16).ok()?);
                rest = behind;
            } else if !rest.is_empty() {
                return None;
            }
        }
    }
    // Only what is written this way is ours: no two names are one key.
    Key::parse(&String::from_utf8(text).ok()?).ok().filter(|key| name_of(key) == name)
}

/// Whether this name says nothing of its key.
pub(super) fn is_long(name: &str) -> bool {
    name.starts_with(LONG)
}

fn escape(segment: &str, name: &mut String) {
    for (at, c) in segment.char_indices() {
        let is_last = at + c.len_utf8() == segment.len();
        let refused =
            matches!(c, '%' | '\\' | '\u{fffe}' | '\u{ffff}') || (is_last && matches!(c, '.' | ' ' | '\u{a0}' | '\u{3000}'));
        if refused {
            let mut bytes = [0; 4];
            for byte in c.encode_utf8(&mut bytes).bytes() {
                name.push('%');
                name.extend([byte >> 4, byte & 15].map(|half| char::from_digit(half.into(), 16).unwrap_or('0')));
            }
        } else {
            name.push(c);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{prop_assert, prop_assert_eq, prop_assume, proptest};

    fn name(text: &str) -> String {
        name_of(&Key::parse(text).unwrap())
    }

    #[test]
    fn ordinary_keys_keep_their_names() {
        for text in ["playlist.m3u8", "live/channel 1/seg_00001.ts", "日本語/😀.ts", ".hidden", "a+b&c=d.ts", "~/x.y"] {
            assert_eq!(name(text), text);
        }
        for (text, expected) in [
            ("a", "a%"),
            ("a/b", "a/b%"),
            ("a.ts/b.ts", "a.ts%/b.ts"),
            ("a%", "a%25%"),
            ("...", "..%2e"),
            (" ", "%20%"),
            ("a\\b", "a%5cb%"),
            ("v1./x.ts", "v1%2e/x.ts"),
        ] {
            assert_eq!(name(text), expected);
        }
    }

    #[test]
    fn what_some_store_refuses_goes_by_its_hash() {
        for text in [&*"x".repeat(241), &"d/".repeat(100).to_string().add_file(), &"long/".repeat(130).add_file()] {
            let name = name(text);
            assert!(is_long(&name) && name.len() == 42, "{name}");
            assert_eq!(key_of(&name), None);
        }
        assert!(!is_long(&name("%long/a.bin")));
        assert_ne!(name("%index/a.json"), "%index/a.json");
        for foreign in ["a", "a/b", "a.ts/b.ts", "a%2E.ts", "a%2", "%zz.ts", "%index/1.json", "", "a//b.ts", "%41.ts", "%ff.ts"] {
            assert_eq!(key_of(foreign), None, "{foreign}");
        }
    }

    trait AddFile {
        fn add_file(&self) -> String;
    }

    impl AddFile for String {
        fn add_file(&self) -> String {
            format!("{self}f.ts")
        }
    }

    proptest! {
        #[test]
        fn the_way_back_leads_to_the_key(text in "[^\\p{Cc}]{1,60}|[ab./%\\\\ 2e]{1,12}") {
            let Ok(key) = Key::parse(&text) else { return Ok(()) };
            let name = name_of(&key);
            prop_assume!(!is_long(&name));
            prop_assert_eq!(key_of(&name), Some(key));
            prop_assert!(name.split('/').all(|segment| !segment.is_empty() && !segment.ends_with(['.', ' '])));
        }

        #[test]
        fn no_name_panics(name in ".{0,60}") {
            let _ = key_of(&name);
        }
    }
}
