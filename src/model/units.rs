//! Sizes and durations as people write them: `200MiB`, `10MB`, `1h`, `2.5s`.

use std::fmt;
use std::time::Duration;

use thiserror::Error;

/// What is wrong with a size or duration, as a sentence that says how to write it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0:?} is not {1}")]
pub struct UnitError(String, &'static str);

const SIZE_HELP: &str = "a size; write it like 200MiB, 1GiB or 10MB (KiB MiB GiB TiB are powers of 1024, kB MB GB TB of 1000)";
const DURATION_HELP: &str = "a duration; write it like 1h, 30d, 90s, 2.5s or 500ms";
const BITRATE_HELP: &str = "a bitrate; write it like 2500k or 2.5M (bits per second)";

/// Reads a number of bytes.
///
/// # Errors
/// The text is not a number with one of the units, or is not a whole number of bytes.
pub fn parse_size(text: &str) -> Result<u64, UnitError> {
    let error = || UnitError(text.to_owned(), SIZE_HELP);
    let (number, unit) = split(text);
    let factor: u64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        _ => return Err(error()),
    };
    scaled(number, factor).ok_or_else(error)
}

/// Reads a length of time, to the millisecond.
///
/// # Errors
/// The text is not a number with one of the units.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    let error = || UnitError(text.to_owned(), DURATION_HELP);
    let (number, unit) = split(text);
    let millis: u64 = match unit.to_ascii_lowercase().as_str() {
        "ms" => 1,
        "s" | "sec" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        "w" => 604_800_000,
        _ => return Err(error()),
    };
    scaled(number, millis).map(Duration::from_millis).ok_or_else(error)
}

/// Reads a bitrate, in bits per second.
///
/// # Errors
/// The text is not a number with one of the units.
pub fn parse_bitrate(text: &str) -> Result<u64, UnitError> {
    let error = || UnitError(text.to_owned(), BITRATE_HELP);
    let (number, unit) = split(text);
    let factor: u64 = match unit.to_ascii_lowercase().as_str() {
        "" | "bps" => 1,
        "k" | "kbps" => 1_000,
        "m" | "mbps" => 1_000_000,
        _ => return Err(error()),
    };
    scaled(number, factor).ok_or_else(error)
}

fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    (&text[..end], text[end..].trim_start())
}

/// `number` (with up to nine decimals) times `factor`, exact; `None` when it is no number, no whole result, or too large.
fn scaled(number: &str, factor: u64) -> Option<u64> {
    let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || decimals.len() > 9 || !decimals.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let whole = whole.parse::<u64>().ok()?.checked_mul(factor)?;
    if decimals.is_empty() {
        return if number.ends_with('.') { None } else { Some(whole) };
    }
    let parts = u128::from(decimals.parse::<u64>().ok()?) * u128::from(factor);
    let unit = 10u128.pow(u32::try_from(decimals.len()).ok()?);
    // Half a byte or a tenth of a millisecond can't be kept; it is cut off.
    whole.checked_add(u64::try_from(parts / unit).ok()?)
}

/// A number of bytes, shown with the largest unit that keeps it exact, so that it reads back as the same number.
#[derive(Clone, Copy, Debug)]
pub struct Size(pub u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
        match units.iter().find(|(shift, _)| self.0 != 0 && self.0.trailing_zeros() >= *shift) {
            Some((shift, unit)) => write!(f, "{}{unit}", self.0 >> shift),
            None => write!(f, "{}B", self.0),
        }
    }
}

/// A length of time, shown with the largest unit that keeps it exact, so that it reads back as the same length.
#[derive(Clone, Copy, Debug)]
pub struct Span(pub Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
        match units.iter().find(|(unit, _)| millis != 0 && millis.is_multiple_of(*unit)) {
            Some((unit, name)) => write!(f, "{}{name}", millis / unit),
            None => write!(f, "{millis}ms"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, proptest};

    #[test]
    fn sizes_read_as_written() {
        for (text, bytes) in [
            ("0", 0),
            ("10485760", 10 << 20),
            ("200MiB", 200 << 20),
            ("10MB", 10_000_000),
            ("1.5GiB", 3 << 29),
            ("1 GiB", 1 << 30),
            ("64k", 64 << 10),
            ("7B", 7),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for text in ["", "MiB", "20 zigs", "-1", "1e3", "1.", ".5", "1.2.3", "99999999999TiB"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_read_as_written() {
        for (text, millis) in [("1h", 3_600_000), ("2.5s", 2_500), ("30d", 2_592_000_000), ("500ms", 500), ("1.0005s", 1_000)] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "h", "10", "1y", "-1s", "1h30m"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn bitrates_read_as_written() {
        assert_eq!(parse_bitrate("2500k"), Ok(2_500_000));
        assert_eq!(parse_bitrate("1.5M"), Ok(1_500_000));
        assert_eq!(parse_bitrate("750000"), Ok(750_000));
        assert!(parse_bitrate("fast").is_err());
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(number in any::<u64>(), shift in 0u32..50) {
            let bytes = number << shift;
            assert_eq!(parse_size(&Size(bytes).to_string()), Ok(bytes));
            let span = Duration::from_millis(number >> 20);
            assert_eq!(parse_duration(&Span(span).to_string()), Ok(span));
        }

        #[test]
        fn no_text_panics(text in ".*") {
            let _ = (parse_size(&text), parse_duration(&text), parse_bitrate(&text));
        }
    }
}
