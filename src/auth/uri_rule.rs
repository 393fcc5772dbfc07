//! Rules of a viewer's token for what is asked by its URI, and the paths of a namespace that they open.

use std::sync::Arc;

/// A part of the URI that is asked for, and what it may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UriRule {
    /// Which part.
    pub part: UriPart,
    /// How it is compared.
    pub matching: UriMatch,
    /// One of these is enough.
    pub any_of: Vec<String>,
}

/// A part of a URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UriPart {
    /// The host, without its port.
    Host,
    /// The path as viewers ask for it, decoded.
    Path,
}

/// How a part of a URI is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UriMatch {
    /// It is this.
    Exact,
    /// It begins with this.
    Prefix,
    /// It ends in this.
    Suffix,
    /// It is like this, in which `*` stands for anything and `?` for one character. No claim says so.
    Pattern,
}

impl UriRule {
    /// Whether a text is what the rule says.
    pub(in crate::auth) fn holds(&self, text: &str) -> bool {
        self.any_of.iter().any(|value| match self.matching {
            UriMatch::Exact => text == value,
            UriMatch::Prefix => text.starts_with(value.as_str()),
            UriMatch::Suffix => text.ends_with(value.as_str()),
            UriMatch::Pattern => is_like(value.as_bytes(), text.bytes()),
        })
    }

    /// The same of a path that is given in two parts, and not put together for each rule.
    pub(in crate::auth) fn holds_of_path(&self, base: &str, key: &str) -> bool {
        self.any_of.iter().any(|value| match self.matching {
            UriMatch::Exact => value.strip_prefix(base) == Some(key),
            UriMatch::Prefix => {
                base.starts_with(value.as_str()) || value.strip_prefix(base).is_some_and(|rest| key.starts_with(rest))
            }
            UriMatch::Suffix => false,
            UriMatch::Pattern => is_like(value.as_bytes(), base.bytes().chain(key.bytes())),
        })
    }
}

/// The keys of a namespace that rules for paths open: those of which each rule holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathRules {
    /// What stands before a key in the path as viewers ask for it; a slash at its end.
    base: Box<str>,
    rules: Arc<[UriRule]>,
}

impl PathRules {
    /// Those of these rules that are for paths.
    pub(super) fn new(base: &str, rules: &Arc<[UriRule]>) -> Self {
        Self { base: base.into(), rules: Arc::clone(rules) }
    }

    /// Whether they open this key.
    pub(super) fn open(&self, key: &str) -> bool {
        self.rules.iter().filter(|rule| rule.part == UriPart::Path).all(|rule| rule.holds_of_path(&self.base, key))
    }
}

/// Whether a text is like a pattern: in a time that grows with both, and never with what could be tried.
fn is_like(pattern: &[u8], text: impl Iterator<Item = u8> + Clone) -> bool {
    let (mut at, mut text, mut back) = (0, text, None);
    loop {
        let mut rest = text.clone();
        match (pattern.get(at), rest.next()) {
            (Some(b'*'), _) => {
                at += 1;
                back = Some((at, text.clone()));
            }
            (Some(sign), Some(byte)) if *sign == b'?' || *sign == byte => (at, text) = (at + 1, rest),
            (None, None) => return true,
            // What the last star stands for is one longer.
            _ => {
                let Some((star, mut from)) = back.take() else { return false };
                if from.next().is_none() {
                    return false;
                }
                (at, text) = (star, from.clone());
                back = Some((star, from));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

    #[test]
    fn a_pattern_is_matched_as_a_whole() {
        for (pattern, text, is_it) in [
            ("", "", true),
            ("*", "", true),
            ("?", "", false),
            ("/a/*", "/a/", true),
            ("/a/*", "/a", false),
            ("/a/*.ts", "/a/b.ts/c.ts", true),
            ("/a/*.ts", "/a/b.tss", false),
            ("/?/*b*c", "/x/abcbc", true),
            ("a", "ab", false),
            ("*a*a*a*b", &"a".repeat(2000), false),
        ] {
            assert_eq!(is_like(pattern.as_bytes(), text.bytes()), is_it, "{pattern}");
        }
    }

    #[test]
    fn a_key_is_open_where_each_rule_for_paths_holds() {
        let rule = |part, matching, any_of: &[&str]| UriRule {
            part,
            matching,
            any_of: any_of.iter().map(|text| (*text).to_owned()).collect(),
        };
        let rules = [
            rule(UriPart::Path, UriMatch::Prefix, &["/live/show/", "/live/b/"]),
            rule(UriPart::Path, UriMatch::Pattern, &["*.m3u8", "*.ts"]),
            rule(UriPart::Host, UriMatch::Exact, &["a.example"]),
        ];
        let paths = PathRules::new("/live/", &Arc::from(rules));
        for (key, is_open) in [("show/a.ts", true), ("b/p.m3u8", true), ("c/a.ts", false), ("show/a.key", false), ("show", false)]
        {
            assert_eq!(paths.open(key), is_open, "{key}");
        }
    }

    proptest! {
        #[test]
        fn a_star_stands_for_anything(before in "[ab]{0,4}", between in "[ab]{0,4}", after in "[ab]{0,4}", other in "[ab]{0,12}") {
            let pattern = format!("{before}*{after}");
            let like = format!("{before}{between}{after}");
            prop_assert!(is_like(pattern.as_bytes(), like.bytes()));
            let expected = other.len() >= before.len() + after.len() && other.starts_with(&before) && other.ends_with(&after);
            prop_assert_eq!(is_like(pattern.as_bytes(), other.bytes()), expected);
        }
    }
}
