//! What a segment is called in public: its name carries its content, so that a name never means two things.
//!
//! `v_00012.ts` with the entity tag `"1f3a9c0e…"` is `v_00012~1f3a9c0e.ts`: the first eight digits of the tag stand between the stem and
//! the extension. An encoder that uses a name again has written its bytes before a playlist says so, and caches keep names for an hour.

use std::borrow::Cow;

/// The digits of an entity tag that stand in a name.
pub const DIGITS: usize = 8;

/// Where a tag stands in a name, and the name begins. Names have no tag that have no such digits behind a `~` at the end of their stem.
fn place(path: &str) -> Option<usize> {
    let name = path.rfind('/').map_or(0, |at| at + 1);
    let stem = path[name..].rfind('.').filter(|at| *at > 0).map_or(path.len(), |at| name + at);
    let at = stem.checked_sub(DIGITS + 1).filter(|at| *at >= name)?;
    let is_tag = path.as_bytes()[at] == b'~' && path.as_bytes()[at + 1..stem].iter().all(|byte| is_digit(*byte));
    is_tag.then_some(at)
}

fn is_digit(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'a'..=b'f')
}

/// The path of a URI: without query and fragment.
fn path(uri: &str) -> &str {
    uri.split(['?', '#']).next().unwrap_or_default()
}

/// A URI or key with the tag of what it names.
#[must_use]
pub fn tagged(uri: &str, digits: &str) -> String {
    let path = path(uri);
    let name = path.rfind('/').map_or(0, |at| at + 1);
    let at = path[name..].rfind('.').filter(|at| *at > 0).map_or(path.len(), |at| name + at);
    [&uri[..at], "~", digits, &uri[at..]].concat()
}

/// A key or URI without its tag, if it has one.
#[must_use]
pub fn plain(uri: &str) -> Cow<'_, str> {
    match place(path(uri)) {
        Some(at) => Cow::Owned([&uri[..at], &uri[at + 1 + DIGITS..]].concat()),
        None => Cow::Borrowed(uri),
    }
}

/// The tag in a key or URI.
#[must_use]
pub fn tag(uri: &str) -> Option<&str> {
    let at = place(path(uri))?;
    Some(&uri[at + 1..at + 1 + DIGITS])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{prop_assert_eq, proptest};

    #[test]
    fn a_tag_stands_before_the_extension() {
        for (plain_name, name) in [
            ("v_00012.ts", "v_00012~1f3a9c0e.ts"),
            ("a.b/v", "a.b/v~1f3a9c0e"),
            ("../v.m4s?x=.y#z", "../v~1f3a9c0e.m4s?x=.y#z"),
            (".ts", ".ts~1f3a9c0e"),
            ("v~1f3a9c0e.ts", "v~1f3a9c0e~1f3a9c0e.ts"),
        ] {
            assert_eq!(tagged(plain_name, "1f3a9c0e"), name);
            assert_eq!((plain(name), tag(name)), (plain_name.into(), Some("1f3a9c0e")));
        }
        for name in ["v.ts", "v~1f3a9c0.ts", "v~1F3A9C0E.ts", "v~1f3a9c0e/a.ts", "v.ts?x~1f3a9c0e", "~.ts", "é~é", ""] {
            assert_eq!((plain(name), tag(name)), (name.into(), None));
        }
    }

    proptest! {
        #[test]
        fn every_name_can_be_tagged(name in "[a-z./~?#é0-9]{0,20}", digits in "[0-9a-f]{8}") {
            let public = tagged(&name, &digits);
            prop_assert_eq!(tag(&public), Some(&*digits));
            prop_assert_eq!(plain(&public), name);
        }
    }
}
