//! Attribute lists (RFC 8216 4.2), read as they are written in the field: blanks around commas, lists without an end.

use std::ops::Range;
use std::time::Duration;

/// The longest duration that is believed: a day.
const MAX: Duration = Duration::from_secs(86_400);

/// The names and values of an attribute list; quotes are taken off.
pub(in crate::hls) fn attributes(list: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = list;
    std::iter::from_fn(move || {
        loop {
            rest = rest.trim_start_matches([' ', '\t', ',']);
            if rest.is_empty() {
                return None;
            }
            let end = rest.find(['=', ',']).unwrap_or(rest.len());
            let name = rest[..end].trim_end();
            if !rest[end..].starts_with('=') {
                // A word without a value.
                rest = &rest[end..];
                continue;
            }
            rest = rest[end + 1..].trim_start();
            let value = if let Some(quoted) = rest.strip_prefix('"') {
                let (value, after) = quoted.split_once('"').unwrap_or((quoted, ""));
                rest = &after[after.find(',').unwrap_or(after.len())..];
                value
            } else {
                let (value, after) = rest.split_once(',').unwrap_or((rest, ""));
                rest = after;
                value.trim_end()
            };
            return Some((name, value));
        }
    })
}

/// The places of the URIs in a tag's line: the quoted values of attributes named URI, or something-URI.
pub(in crate::hls) fn quoted_uris(line: &str) -> impl Iterator<Item = Range<usize>> {
    let mut from = line.find(':').map_or(line.len(), |at| at + 1);
    std::iter::from_fn(move || {
        loop {
            let open = from + line[from..].find('"')?;
            let close = open + 1 + line[open + 1..].find('"')?;
            let name = line[from..open].trim_end().strip_suffix('=').map(str::trim_end);
            let name = name.and_then(|name| name.rsplit([',', ' ', '\t', '=']).next()).unwrap_or_default();
            from = close + 1;
            if name == "URI" || name.ends_with("-URI") {
                return Some(open + 1..close);
            }
        }
    })
}

/// A whole number.
pub(in crate::hls) fn number(text: &str) -> Option<u64> {
    let text = text.trim();
    // The library takes a sign as well.
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// Seconds, with or without decimals; no signs, exponents or words. Kept to the nanosecond.
pub(in crate::hls) fn seconds(text: &str) -> Option<Duration> {
    let text = text.trim_ascii().as_bytes();
    let (mut whole, mut nanos, mut unit, mut digits) = (0_u64, 0_u32, 1_000_000_000_u32, 0);
    let mut bytes = text.iter();
    for byte in bytes.by_ref().take_while(|&&byte| byte != b'.') {
        whole = whole.checked_mul(10)?.checked_add(u64::from(byte.is_ascii_digit().then(|| byte - b'0')?))?;
        digits += 1;
    }
    for byte in bytes {
        unit /= 10;
        nanos += u32::from(byte.is_ascii_digit().then(|| byte - b'0')?) * unit;
        digits += 1;
    }
    let seconds = Duration::new(whole, nanos);
    (digits > 0 && seconds <= MAX).then_some(seconds)
}

/// Whether an enumerated value is YES.
pub(super) fn yes(text: &str) -> bool {
    text.eq_ignore_ascii_case("yes")
}

/// `length[@start]`.
pub(super) fn byte_range(text: &str) -> Option<(u64, Option<u64>)> {
    let (length, start) = match text.split_once('@') {
        Some((length, start)) => (number(length)?, Some(number(start)?)),
        None => (number(text)?, None),
    };
    // The end has to be a number too.
    start.unwrap_or(0).checked_add(length)?;
    Some((length, start))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, proptest};

    #[test]
    fn lists_read_as_they_are_written() {
        for (list, expected) in [
            ("BANDWIDTH=1,CODECS=\"a,b\",X=y", &[("BANDWIDTH", "1"), ("CODECS", "a,b"), ("X", "y")][..]),
            (" A = 1 , B = \"c d\" ,", &[("A", "1"), ("B", "c d")]),
            ("WORD,A=1", &[("A", "1")]),
            ("A=\"open", &[("A", "open")]),
            ("A=\"\"junk,B=2", &[("A", ""), ("B", "2")]),
            ("A=,B=2", &[("A", ""), ("B", "2")]),
            ("URI=\"a?b=c\"", &[("URI", "a?b=c")]),
            ("=1", &[("", "1")]),
            ("", &[]),
        ] {
            assert_eq!(attributes(list).collect::<Vec<_>>(), expected, "{list}");
        }
    }

    #[test]
    fn numbers_are_plain() {
        assert_eq!(number(" 12 "), Some(12));
        assert_eq!(byte_range("10@20"), Some((10, Some(20))));
        assert_eq!(byte_range("10"), Some((10, None)));
        for (text, nanos) in
            [("2.5", 2_500_000_000), ("2", 2_000_000_000), (" 0.0000000019 ", 1), (".5", 500_000_000), ("3.", 3_000_000_000)]
        {
            assert_eq!(seconds(text), Some(Duration::from_nanos(nanos)), "{text}");
        }
        for bad in ["", "+1", "-1", "1e3", "inf", "NaN", "99999999999999999999", "86400.5"] {
            assert!(number(bad).is_none() && byte_range(bad).is_none(), "{bad}");
        }
        for bad in ["", "+1", "-1", "1e3", "inf", "NaN", "99999999999999999999", "86400.5", ".", "1.2.3"] {
            assert_eq!(seconds(bad), None, "{bad}");
        }
        assert_eq!(byte_range("18446744073709551615@1"), None);
    }

    proptest! {
        #[test]
        fn no_list_panics(list in any::<String>()) {
            let _ = attributes(&list).count();
            let _ = (number(&list), seconds(&list), byte_range(&list));
        }

        #[test]
        fn no_list_of_its_own_signs_panics(list in "[A-C=\", 0-9@]*") {
            let _ = attributes(&list).count();
        }
    }
}
