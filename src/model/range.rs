//! The `Range` header, for one range of bytes (RFC 9110 14.1.2, 14.2).

use std::ops::Range;

/// What a `Range` header asks of a body of known length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// No range that is to be honoured: send the whole body. Several ranges, other units and malformed headers count here, as
    /// RFC 9110 14.2 lets a server ignore them.
    Whole,
    /// These bytes.
    Part(Range<usize>),
    /// Nothing of the body lies in the range: 416.
    Unsatisfiable,
}

/// Reads a `Range` header's value against a body of `length` bytes.
#[must_use]
pub fn parse(header: &[u8], length: usize) -> Ask {
    let Ok(text) = std::str::from_utf8(header) else { return Ask::Whole };
    let Some((unit, set)) = text.split_once('=') else { return Ask::Whole };
    if !unit.trim().eq_ignore_ascii_case("bytes") || set.contains(',') {
        return Ask::Whole;
    }
    let Some((first, last)) = set.trim().split_once('-') else { return Ask::Whole };
    let (first, last) = (first.trim(), last.trim());
    match (number(first), number(last)) {
        // A suffix: the last n bytes.
        (None, Some(n)) if first.is_empty() => match n.min(length) {
            0 if n > 0 => Ask::Whole,
            0 => Ask::Unsatisfiable,
            n => Ask::Part(length - n..length),
        },
        (Some(from), None) if last.is_empty() => bounded(from, usize::MAX, length),
        (Some(from), Some(to)) if from <= to => bounded(from, to, length),
        _ => Ask::Whole,
    }
}

/// The bytes asked for, when that needs no length to know: both ends are given.
#[must_use]
pub fn parse_closed(header: &[u8]) -> Option<Range<usize>> {
    match parse(header, usize::MAX) {
        Ask::Part(part) if part.end < usize::MAX => Some(part),
        _ => None,
    }
}

fn bounded(from: usize, to: usize, length: usize) -> Ask {
    // Of nothing there is nothing to send: to who reads from the beginning on that is the whole, and no error. Players and browsers ask
    // for 0- of everything, and RFC 9110 14.2 lets a server ignore the header.
    if length == 0 && from == 0 {
        return Ask::Whole;
    }
    if from >= length {
        return Ask::Unsatisfiable;
    }
    Ask::Part(from..to.saturating_add(1).min(length))
}

/// A decimal number; one too large for the machine is as good as the largest.
fn number(text: &str) -> Option<usize> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(text.parse().unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, proptest};

    #[test]
    fn ranges_are_read_as_rfc_9110_says() {
        for (header, length, ask) in [
            ("bytes=0-", 10, Ask::Part(0..10)),
            ("bytes=0-0", 10, Ask::Part(0..1)),
            ("bytes=2-5", 10, Ask::Part(2..6)),
            ("bytes=2-500", 10, Ask::Part(2..10)),
            ("bytes=-3", 10, Ask::Part(7..10)),
            ("bytes=-300", 10, Ask::Part(0..10)),
            ("Bytes = 2-5", 10, Ask::Part(2..6)),
            ("bytes=0-99999999999999999999999", 10, Ask::Part(0..10)),
            ("bytes=10-", 10, Ask::Unsatisfiable),
            ("bytes=-0", 10, Ask::Unsatisfiable),
            ("bytes=0-", 0, Ask::Whole),
            ("bytes=0-499", 0, Ask::Whole),
            ("bytes=-5", 0, Ask::Whole),
            ("bytes=-0", 0, Ask::Unsatisfiable),
            ("bytes=1-", 0, Ask::Unsatisfiable),
            ("bytes=99999999999999999999999-", 10, Ask::Unsatisfiable),
            ("bytes=5-2", 10, Ask::Whole),
            ("bytes=0-1,3-4", 10, Ask::Whole),
            ("bytes=", 10, Ask::Whole),
            ("bytes=-", 10, Ask::Whole),
            ("bytes=a-b", 10, Ask::Whole),
            ("bytes=+1-2", 10, Ask::Whole),
            ("seconds=0-1", 10, Ask::Whole),
            ("", 10, Ask::Whole),
        ] {
            assert_eq!(parse(header.as_bytes(), length), ask, "{header} of {length}");
        }
    }

    #[test]
    fn a_closed_range_needs_no_length() {
        assert_eq!(parse_closed(b"bytes=0-0"), Some(0..1));
        assert_eq!(parse_closed(b"bytes=100-199"), Some(100..200));
        for open in ["bytes=0-", "bytes=0-1,5-6", "bytes=5-2", "bytes=0-99999999999999999999999", "lines=0-1", ""] {
            assert_eq!(parse_closed(open.as_bytes()), None, "{open}");
        }
    }

    proptest! {
        #[test]
        fn a_part_is_never_empty_and_never_outside(header in any::<Vec<u8>>(), length in 0usize..2000) {
            if let Ask::Part(part) = parse(&header, length) {
                assert!(part.start < part.end && part.end <= length);
            }
        }

        #[test]
        fn numbers_never_leave_the_body(from in any::<u64>(), to in any::<u64>(), length in 0usize..2000) {
            for header in [format!("bytes={from}-{to}"), format!("bytes={from}-"), format!("bytes=-{to}")] {
                if let Ask::Part(part) = parse(header.as_bytes(), length) {
                    assert!(part.start < part.end && part.end <= length);
                }
            }
        }
    }
}
