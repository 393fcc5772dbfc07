//! What EXT-X-DEFINE says (RFC 8216bis 4.4.2.3), as far as a credential may stand in it.
//!
//! A variable is a name for a text that all who read the playlist can read. It is a credential by its own name, by what it holds, or because
//! a URI has it as the value of a parameter that is one. A reference to it says nothing by itself and stays.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashSet;
use std::ops::Range;

use super::parameters::{Parameter, form, strip_uri, without_parameters};
use super::playlist::attributes::attributes;
use super::playlist::is_reference;

const TAG: &str = "#EXT-X-DEFINE:";
/// There is to be one: of more than these nobody takes the last.
const NAMES: usize = 4;

/// The variables that URIs have as credentials.
#[derive(Debug, Default)]
pub(super) struct Definitions {
    credentials: HashSet<String>,
}

impl Definitions {
    /// Whether a playlist has any.
    pub(super) fn are_in(bytes: &[u8]) -> bool {
        // What is not UTF-8 is looked at line by line.
        std::str::from_utf8(bytes).map_or(true, |text| text.contains(TAG))
    }

    /// Whether a line is one.
    pub(super) fn is_one(line: &str) -> bool {
        line.starts_with(TAG)
    }

    /// Takes note of the variables that a URI has as the value of a parameter which is dropped, if it says anything.
    pub(super) fn referred_to_by(&mut self, uri: &str, drop: &impl Fn(&Parameter<'_>) -> bool) {
        if !uri.contains("{$") {
            return;
        }
        let credentials = RefCell::new(&mut self.credentials);
        let note = |parameter: &Parameter<'_>| {
            let Some(variable) = parameter.value.strip_prefix("{$").and_then(|name| name.strip_suffix('}')) else { return false };
            let said = Parameter { value: Cow::Borrowed("x"), is_definition: true, ..parameter.clone() };
            if is_reference(&parameter.value) && drop(&said) {
                credentials.borrow_mut().insert(variable.to_owned());
            }
            false
        };
        let _ = strip_uri(uri, false, &note);
    }

    /// The values in a definition's line: where each stands, and what is left of it, if something of it is to be dropped.
    pub(super) fn values(
        &self,
        line: &str,
        users: bool,
        drop: &impl Fn(&Parameter<'_>) -> bool,
    ) -> Vec<(Range<usize>, Option<String>)> {
        let list = &line[TAG.len()..];
        let names = attributes(list).filter(|(attribute, _)| *attribute == "NAME").map(|(_, name)| name);
        let names: Vec<&str> = names.take(NAMES).collect();
        let is_secret = |value: &str| {
            let is = |name: &str| {
                drop(&Parameter { name: Cow::Borrowed(name), value: form(value), elsewhere: false, is_definition: true })
            };
            let is_credential = |name: &str| self.credentials.contains(name) && !value.is_empty() && !is_reference(value);
            names.is_empty() && is("") || names.iter().any(|name| is(name) || is_credential(name))
        };
        let left = |value: &str| {
            let uri = strip_uri(value, users, drop).map_or(Cow::Borrowed(value), Cow::Owned);
            // It may be a part of a query as well.
            let query = ["?", &uri].concat();
            let uri = match without_parameters(&query, false, drop) {
                Cow::Owned(left) if !uri.contains('?') => Cow::Owned(left.trim_start_matches('?').to_owned()),
                _ => uri,
            };
            let left = if is_secret(&uri) { Cow::Borrowed("") } else { uri };
            (left != value).then(|| left.into_owned())
        };
        let place = |text: &str| {
            // A value is a part of its line: that is where it stands.
            let at = text.as_ptr().addr() - line.as_ptr().addr();
            at..at + text.len()
        };
        let values = attributes(list).filter(|(attribute, _)| *attribute == "VALUE");
        values.map(|(_, value)| (place(value), left(value))).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert_eq, proptest};

    use super::super::rewrite::strip;
    use super::*;
    use crate::model::kind::Kind;

    fn credential(parameter: &Parameter<'_>) -> bool {
        let is_named = parameter.name == "_gda_" || parameter.name == "token" && !parameter.elsewhere;
        is_named && !parameter.value.is_empty() && !is_reference(&parameter.value)
            || parameter.value.contains("KEY")
            || parameter.name == "role" && !parameter.is_definition
    }

    fn stripped(text: &str) -> Option<String> {
        strip(Kind::Playlist, text.as_bytes(), true, credential).map(|bytes| String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn what_a_variable_stands_for_is_no_hiding_place() {
        for (said, left) in [
            // By what it holds.
            ("NAME=\"k\",VALUE=\"KEY\"", "NAME=\"k\",VALUE=\"\""),
            ("NAME=\"k\",VALUE=KEY", "NAME=\"k\",VALUE="),
            ("VALUE=\"KEY\",NAME=\"k\"", "VALUE=\"\",NAME=\"k\""),
            ("VALUE=\"KEY\"", "VALUE=\"\""),
            ("NAME=\"k\",VALUE=\"media/KEY/1M\"", "NAME=\"k\",VALUE=\"\""),
            ("NAME=\"k\",VALUE=\"https://h/cache/a?x=1&y=KEY\"", "NAME=\"k\",VALUE=\"https://h/cache/a?x=1\""),
            ("NAME=\"k\",VALUE=\"https://u:p@h/a\"", "NAME=\"k\",VALUE=\"https://h/a\""),
            // As a part of a query.
            ("NAME=\"k\",VALUE=\"x=1&token=abc\"", "NAME=\"k\",VALUE=\"x=1\""),
            ("NAME=\"k\",VALUE=\"role=hd\"", "NAME=\"k\",VALUE=\"\""),
            // By its name.
            ("NAME=\"token\",VALUE=\"abc\"", "NAME=\"token\",VALUE=\"\""),
            ("NAME=\"_gda_\",VALUE=\"exp=1~hmac=2\"", "NAME=\"_gda_\",VALUE=\"\""),
            // By what it is for; as the value of another server's it stays.
            ("NAME=\"of_us\",VALUE=\"abc\"", "NAME=\"of_us\",VALUE=\"\""),
            ("NAME=\"of_keys\",VALUE=\"abc\"", "NAME=\"of_keys\",VALUE=\"abc\""),
            ("NAME=\"role\",VALUE=\"abc\"", "NAME=\"role\",VALUE=\"abc\""),
            ("NAME=\"path\",VALUE=\"media/1M\"", "NAME=\"path\",VALUE=\"media/1M\""),
            ("QUERYPARAM=\"token\"", "QUERYPARAM=\"token\""),
            ("IMPORT=\"token\"", "IMPORT=\"token\""),
        ] {
            let text = |said: &str| {
                format!(
                    "#EXTM3U\r\n#EXT-X-DEFINE:{said}\r\n#EXTINF:2,\n{{$path}}/a.ts?token={{$token}}&token={{$of_us}}&x={{$of_us}}&role={{$role}}\n\
                     #EXT-X-KEY:METHOD=AES-128,URI=\"https://keys.example/k?token={{$of_keys}}\"\n"
                )
            };
            let expected = (said != left).then(|| text(left));
            // The parameter `role` itself is for us alone, and is taken out with its reference.
            let expected = Some(expected.unwrap_or_else(|| text(said)).replace("&role={$role}", ""));
            assert_eq!(stripped(&text(said)), expected, "{said}");
        }
        // Without any other sign of a credential, too.
        let alone = |value: &str| format!("#EXTM3U\n#EXT-X-DEFINE:NAME=\"k\",VALUE=\"{value}\"\n");
        assert_eq!((stripped(&alone("KEY")), stripped(&alone("a"))), (Some(alone("")), None));
    }

    proptest! {
        #[test]
        fn nothing_is_left_to_take_out(
            text in "(#EXT-X-DEFINE:|NAME=|VALUE=|QUERYPARAM=|token|KEY|a|\"|,|=|\\?|&|/|//|@|:|#|\\{\\$|\\}| |\n|\r|\u{e4})*"
        ) {
            let text = format!("#EXT-X-DEFINE:{text}\n{text}");
            if let Some(once) = stripped(&text) {
                prop_assert_eq!(stripped(&once), None, "{:?}", once);
            }
        }
    }
}
