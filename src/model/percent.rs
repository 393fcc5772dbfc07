//! Percent-encoding (RFC 3986 2.1). An escape that is none stands for itself. The only module that knows percent-encoding.

use std::borrow::Cow;
use std::fmt::Display;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// What stands in a path as it is (RFC 3986 3.3), slashes included.
const PATH: AsciiSet = NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/')
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b';')
    .remove(b'=')
    .remove(b':')
    .remove(b'@');

/// Decodes once; `None` when what comes out is not UTF-8.
#[must_use]
pub fn decode(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('%') {
        return Some(Cow::Borrowed(text));
    }
    percent_decode_str(text).decode_utf8().ok()
}

/// Whether every `%` begins an escape: otherwise two spellings decode to one text, `%zz` and `%25zz`.
#[must_use]
pub fn is_sound(text: &str) -> bool {
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|byte| *byte == b'%') {
        let [_, high, low, ..] = &rest[at..] else { return false };
        if !(high.is_ascii_hexdigit() && low.is_ascii_hexdigit()) {
            return false;
        }
        rest = &rest[at + 3..];
    }
    true
}

/// Decodes once, to whatever bytes come out.
#[must_use]
pub fn decode_bytes(text: &str) -> Cow<'_, [u8]> {
    percent_decode_str(text).into()
}

/// Encodes what can't stand in a path as it is; slashes stay.
pub fn encode_path(text: &str) -> impl Display {
    utf8_percent_encode(text, &PATH)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, proptest};

    #[test]
    fn it_is_decoded_once_and_what_is_no_escape_stays() {
        for (text, decoded) in [
            ("a%2Fb%2fc", Some("a/b/c")),
            ("%2541", Some("%41")),
            ("%", Some("%")),
            ("%4", Some("%4")),
            ("%zz%", Some("%zz%")),
            ("%E2%82%AC", Some("\u{20ac}")),
            ("%ff", None),
        ] {
            assert_eq!(decode(text).as_deref(), decoded, "{text}");
            assert_eq!(is_sound(text), !matches!(text, "%" | "%4" | "%zz%"), "{text}");
        }
        assert_eq!(&*decode_bytes("%ff%41"), b"\xffA");
    }

    proptest! {
        #[test]
        fn what_is_encoded_reads_back(text in any::<String>()) {
            let encoded = encode_path(&text).to_string();
            assert_eq!(decode(&encoded).as_deref(), Some(&*text));
            assert!(is_sound(&encoded));
        }
    }
}
