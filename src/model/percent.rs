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
        }
        assert_eq!(&*decode_bytes("%ff%41"), b"\xffA");
    }

    proptest! {
        #[test]
        fn what_is_encoded_reads_back(text in any::<String>()) {
            assert_eq!(decode(&encode_path(&text).to_string()).as_deref(), Some(&*text));
        }
    }
}
