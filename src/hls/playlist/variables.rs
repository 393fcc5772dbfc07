//! Variables (RFC 8216bis 4.3): what EXT-X-DEFINE gives a name stands for the name behind it.
//!
//! What a playlist says itself is known to all who read it. What it takes from the multivariant playlist (IMPORT) or from the URL it was
//! had by (QUERYPARAM) is known to those who know these: to the others such a reference stays as it is written, and is no name of anything.

use std::borrow::Cow;
use std::collections::HashMap;

use super::attributes::attributes;
use super::lines::{lines, tag};
use crate::model::percent;

/// As many variables as anybody defines, and many more.
const MOST: usize = 256;
/// The longest value, in bytes: a URL with what is signed into it.
const LONGEST: usize = 4096;
/// What is made of a text is no larger than so many of it, and this: a few bytes may stand for a long value again and again.
const LARGEST: (usize, usize) = (4, 64 << 10);

/// What surrounds a playlist, as far as its variables come from there.
#[derive(Clone, Copy, Debug, Default)]
pub struct Surroundings<'a> {
    /// What the multivariant playlist defines that names it.
    pub imports: Option<&'a Variables>,
    /// The query of the URL it was had by, as it is written.
    pub query: Option<&'a str>,
}

/// The variables of a playlist whose values are known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Variables {
    values: HashMap<String, String>,
}

impl Variables {
    /// Those that a playlist defines. What it defines twice it does not define: who reads it in which way nobody knows.
    #[must_use]
    pub fn of(text: &str, surroundings: Surroundings<'_>) -> Self {
        let mut values: HashMap<String, Option<String>> = HashMap::new();
        for (_, line) in lines(text) {
            let Some(("-X-DEFINE", list)) = tag(line) else { continue };
            let Some((name, value)) = defined(list, surroundings).filter(|(name, _)| is_name(name)) else { continue };
            if values.len() < MOST || values.contains_key(name) {
                values.entry(name.to_owned()).and_modify(|known| *known = None).or_insert(value);
            }
        }
        let is_plain = |value: &String| value.len() <= LONGEST && !value.contains(|c: char| c == '"' || c.is_control());
        let values = values.into_iter().filter_map(|(name, value)| Some((name, value.filter(is_plain)?))).collect();
        Self { values }
    }

    /// The text with what is known in place of its references.
    #[must_use]
    pub fn apply<'a>(&self, text: &'a str) -> Cow<'a, str> {
        if self.values.is_empty() || !text.contains("{$") {
            return Cow::Borrowed(text);
        }
        let most = text.len() * LARGEST.0 + LARGEST.1;
        let (mut made, mut rest) = (String::new(), text);
        while let Some(open) = rest.find("{$") {
            let behind = &rest[open + 2..];
            // No name has a brace in it, so that each byte is looked at once, whatever never ends.
            let end = behind.bytes().position(|byte| !is_of_name(byte)).unwrap_or(behind.len());
            let value = behind[end..].starts_with('}').then(|| self.values.get(&behind[..end])).flatten();
            made.push_str(&rest[..open]);
            match value {
                Some(value) if made.len() + value.len() + rest.len() <= most => {
                    made.push_str(value);
                    rest = &behind[end + 1..];
                }
                // The next one may begin within what looks like a reference.
                _ => {
                    made.push_str("{$");
                    rest = behind;
                }
            }
        }
        made.push_str(rest);
        Cow::Owned(made)
    }

    /// Bytes of memory, about.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.values.iter().map(|(name, value)| name.len() + value.len() + 64).sum()
    }
}

/// A playlist's text with what is known in place of all references. Its definitions stay where they are.
#[must_use]
pub fn substituted<'a>(text: &'a str, surroundings: Surroundings<'_>) -> Cow<'a, str> {
    // Most playlists have none.
    if !text.contains("{$") {
        return Cow::Borrowed(text);
    }
    let variables = Variables::of(text, surroundings);
    variables.apply(text)
}

/// Whether a URI says by a variable where it leads, so that this can't be known here. What its query says is another matter.
#[must_use]
pub fn is_unknown(uri: &str) -> bool {
    uri.contains("{$") && uri.split(['?', '#']).next().is_some_and(|path| path.contains("{$"))
}

/// Whether a value is a reference to a variable, and nothing else.
#[must_use]
pub fn is_reference(value: &str) -> bool {
    value.strip_prefix("{$").and_then(|name| name.strip_suffix('}')).is_some_and(is_name)
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_of_name)
}

const fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

/// The name that a definition gives, and the value, if it is known.
fn defined<'a>(list: &'a str, surroundings: Surroundings<'_>) -> Option<(&'a str, Option<String>)> {
    let (mut name, mut value) = (None, None);
    for (attribute, said) in attributes(list) {
        match attribute {
            "NAME" => name = Some(said),
            "VALUE" => value = Some(said.to_owned()),
            "IMPORT" => return Some((said, surroundings.imports.and_then(|outer| outer.values.get(said).cloned()))),
            "QUERYPARAM" => return Some((said, surroundings.query.and_then(|query| parameter(query, said)))),
            _ => {}
        }
    }
    Some((name?, Some(value?)))
}

/// The value of a query's first parameter of this name.
fn parameter(query: &str, name: &str) -> Option<String> {
    let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let value =
        pairs.filter(|(known, _)| percent::decode(known).is_some_and(|known| known == name)).map(|(_, value)| value).next()?;
    Some(percent::decode(value)?.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    const TEXT: &str = "#EXTM3U\n#EXT-X-DEFINE:NAME=\"path\",VALUE=\"media/1M\"\n#EXT-X-DEFINE:IMPORT=\"host\"\n#EXT-X-DEFINE:QUERYPARAM=\"token\"\n\
                        #EXT-X-DEFINE:NAME=\"twice\",VALUE=\"a\"\n#EXT-X-DEFINE:NAME=\"twice\",VALUE=\"b\"\n";

    #[test]
    fn what_is_known_stands_for_its_name() {
        let imports = Variables::of("#EXT-X-DEFINE:NAME=\"host\",VALUE=\"https://h\"", Surroundings::default());
        let all = Surroundings { imports: Some(&imports), query: Some("x=1&token=a%20b&token=c") };
        for (line, alone, within) in [
            ("{$path}/s.ts", "media/1M/s.ts", "media/1M/s.ts"),
            ("{$host}/{$path}/s.ts?t={$token}", "{$host}/media/1M/s.ts?t={$token}", "https://h/media/1M/s.ts?t=a b"),
            ("#EXT-X-MAP:URI=\"{$path}/i.mp4\"", "#EXT-X-MAP:URI=\"media/1M/i.mp4\"", "#EXT-X-MAP:URI=\"media/1M/i.mp4\""),
            (
                "{$twice}{$none}{$}{$pa{$path}{$path",
                "{$twice}{$none}{$}{$pamedia/1M{$path",
                "{$twice}{$none}{$}{$pamedia/1M{$path",
            ),
        ] {
            let text = format!("{TEXT}{line}\n");
            assert_eq!(substituted(&text, Surroundings::default()), format!("{TEXT}{alone}\n"));
            assert_eq!(substituted(&text, all), format!("{TEXT}{within}\n"));
        }
        assert!(matches!(substituted(TEXT, all), Cow::Borrowed(_)));
        for query in ["token=%22", "token=%0a", "token=%ff", "tok=1", ""] {
            let variables = Variables::of(TEXT, Surroundings { imports: None, query: Some(query) });
            assert_eq!(variables.apply("{$token}"), "{$token}", "{query}");
        }
    }

    #[test]
    fn what_leads_somewhere_unknown_is_told_from_what_says_something_unknown() {
        for (uri, expected) in
            [("{$a}/s.ts", true), ("s{$a}.ts?x", true), ("s.ts?t={$a}", false), ("s.ts#{$a}", false), ("s.ts", false)]
        {
            assert_eq!(is_unknown(uri), expected, "{uri}");
        }
        for (value, expected) in
            [("{$token}", true), ("{$a-b_1}", true), ("{$}", false), ("x{$a}", false), ("{$a}x", false), ("{$a.b}", false)]
        {
            assert_eq!(is_reference(value), expected, "{value}");
        }
    }

    #[test]
    fn a_few_bytes_do_not_become_many() {
        let text = format!("#EXT-X-DEFINE:NAME=\"a\",VALUE=\"{}\"\n{}", "x".repeat(LONGEST), "{$a}\n".repeat(100_000));
        assert!(substituted(&text, Surroundings::default()).len() <= text.len() * LARGEST.0 + LARGEST.1);
    }

    proptest! {
        #[test]
        fn no_text_panics_and_none_grows_without_bound(text in "(#EXT-X-DEFINE:|NAME=|VALUE=|\"|a|\\{\\$a\\}|\\{\\$|\\}|,|\n|\u{e4})*") {
            let made = substituted(&text, Surroundings::default());
            prop_assert!(made.len() <= text.len() * LARGEST.0 + LARGEST.1);
            prop_assert_eq!(made.matches('\n').count(), text.matches('\n').count());
        }

        #[test]
        fn no_string_panics(text in any::<String>()) {
            let _ = (substituted(&text, Surroundings::default()), is_unknown(&text), is_reference(&text));
        }
    }
}
