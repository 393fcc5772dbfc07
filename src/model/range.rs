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

/// The largest number that all clients can count to, 2^53-1: as the last byte of a range it stands for all that will come
/// (RFC 8673 2).
pub const ENDLESS: usize = (1 << 53) - 1;

/// What a `Range` header asks of a body whose length is not known yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AskAhead {
    /// These bytes: both ends are given.
    Part(Range<usize>),
    /// What there is and will be from this byte on: without an end, or with [one that stands for none](ENDLESS).
    From(usize),
}

/// What a header says, before anything is known of the body.
enum Said {
    /// From this byte to that one, which counts.
    Between(usize, usize),
    /// From this byte on.
    From(usize),
    /// So many bytes at the end.
    Last(usize),
}

/// Reads a `Range` header's value against a body of `length` bytes. It is looked at once, and nothing of it is kept.
#[must_use]
pub fn parse(header: &[u8], length: usize) -> Ask {
    match read(header) {
        Some(Said::Last(n)) => match n.min(length) {
            0 if n > 0 => Ask::Whole,
            0 => Ask::Unsatisfiable,
            n => Ask::Part(length - n..length),
        },
        Some(Said::From(from)) => bounded(from, usize::MAX, length),
        Some(Said::Between(from, to)) => bounded(from, to, length),
        None => Ask::Whole,
    }
}

/// Reads a `Range` header's value, when that needs no length. `None`: no range that is to be honoured.
#[must_use]
pub fn parse_ahead(header: &[u8]) -> Option<AskAhead> {
    match read(header)? {
        Said::Between(from, to) if to < ENDLESS => Some(AskAhead::Part(from..to + 1)),
        Said::Between(from, _) | Said::From(from) => Some(AskAhead::From(from)),
        // It counts from an end that is not known.
        Said::Last(_) => None,
    }
}

/// `None`: nothing that is to be honoured.
fn read(header: &[u8]) -> Option<Said> {
    let (unit, set) = std::str::from_utf8(header).ok()?.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") || set.contains(',') {
        return None;
    }
    let (first, last) = set.trim().split_once('-')?;
    let (first, last) = (first.trim(), last.trim());
    match (number(first), number(last)) {
        (None, Some(n)) if first.is_empty() => Some(Said::Last(n)),
        (Some(from), None) if last.is_empty() => Some(Said::From(from)),
        (Some(from), Some(to)) if from <= to => Some(Said::Between(from, to)),
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
    fn a_range_that_counts_from_the_beginning_needs_no_length() {
        for (header, ask) in [
            ("bytes=0-0", AskAhead::Part(0..1)),
            ("bytes=100-199", AskAhead::Part(100..200)),
            ("bytes=7-9007199254740990", AskAhead::Part(7..9_007_199_254_740_991)),
            ("bytes=7-9007199254740991", AskAhead::From(7)),
            ("bytes=7-9007199254740992", AskAhead::From(7)),
            ("bytes=0-99999999999999999999999", AskAhead::From(0)),
            ("bytes=0-", AskAhead::From(0)),
            ("Bytes = 5 - ", AskAhead::From(5)),
        ] {
            assert_eq!(parse_ahead(header.as_bytes()), Some(ask), "{header}");
        }
        for none in ["bytes=-5", "bytes= -99999999999999999999999", "bytes=-0", "bytes=0-1,5-6", "bytes=5-2", "lines=0-1", ""] {
            assert_eq!(parse_ahead(none.as_bytes()), None, "{none}");
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
