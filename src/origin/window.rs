//! Which window of time is asked for, in whatever words: `start` and `end`, or this much of it up to now.

use std::fmt;

use super::Window;
use crate::model::clock::WallTime;
use crate::model::units::parse_duration;

/// The words, as they were written and decoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WindowWords<'a> {
    /// A point in time: RFC 3339, or seconds since the Unix epoch, with or without decimals.
    pub start: Option<&'a str>,
    /// The same.
    pub end: Option<&'a str>,
    /// A duration, up to now. Stands alone.
    pub last: Option<&'a str>,
    /// `1`: with what came too late for those who followed it. Says nothing by itself.
    pub late: Option<&'a str>,
}

/// The window of time that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shift {
    /// The window.
    pub window: Window,
    /// It was counted from now: another moment, another window.
    pub relative: bool,
    /// It is to have what came too late for those who followed it: so it is asked for once.
    pub late: bool,
}

/// Which of the words makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WindowWord {
    /// `start`
    Start,
    /// `end`
    End,
    /// `last`
    Last,
}

/// Why words name no window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowError {
    /// Which of them.
    pub word: WindowWord,
    /// What is wrong with it, to be read after its name.
    pub why: &'static str,
}

impl WindowError {
    pub(crate) const fn new(word: WindowWord, why: &'static str) -> Self {
        Self { word, why }
    }
}

impl fmt::Display for WindowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.word {
            WindowWord::Start => "start",
            WindowWord::End => "end",
            WindowWord::Last => "last",
        };
        write!(f, "{word} {}", self.why)
    }
}

impl WindowWords<'_> {
    /// What they mean now; `None` when there are none. The one reading of such words, for a GET as for a harvest.
    ///
    /// # Errors
    /// [`WindowError`]: the first of them that makes no sense.
    pub fn read(&self, now: WallTime) -> Result<Option<Shift>, WindowError> {
        let window = match (self.start, self.end, self.last) {
            (None, None, None) => return Ok(None),
            (None, None, Some(last)) => {
                let span = parse_duration(last).ok().filter(|span| !span.is_zero());
                let span = span.ok_or(WindowError::new(WindowWord::Last, "takes a duration like 90s, 30m or 2h"))?;
                let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
                Window { start: Some(WallTime::from_millis(now.millis().saturating_sub(millis))), end: Some(now) }
            }
            (_, _, Some(_)) => {
                return Err(WindowError::new(WindowWord::Last, "stands alone: take start and end, or last"));
            }
            (start, end, None) => Window {
                start: start.map(|text| point(WindowWord::Start, text)).transpose()?,
                end: end.map(|text| point(WindowWord::End, text)).transpose()?,
            },
        };
        if let (Some(start), Some(end)) = (window.start, window.end)
            && start >= end
        {
            return Err(WindowError::new(WindowWord::Start, "has to be before end"));
        }
        if window.start.is_some_and(|start| start > now) {
            return Err(WindowError::new(WindowWord::Start, "lies in the future: nothing of that time is there yet"));
        }
        Ok(Some(Shift { window, relative: self.last.is_some(), late: self.late == Some("1") }))
    }
}

/// A point in time: RFC 3339, or seconds since the Unix epoch, with or without decimals.
fn point(word: WindowWord, text: &str) -> Result<WallTime, WindowError> {
    /// The year 5138. In milliseconds the same number was in 1973.
    const LAST: f64 = 1e11;
    let bad = WindowError::new(
        word,
        "takes a point in time like 2026-01-02T03:04:05Z (RFC 3339), or seconds since 1970 like 1767323045",
    );
    if text.bytes().any(|byte| byte.is_ascii_digit()) && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return match text.parse::<f64>() {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive, and its limit is checked")]
            Ok(seconds) if seconds < LAST => Ok(WallTime::from_millis((seconds * 1000.0).round() as u64)),
            Ok(_) => Err(WindowError::new(word, "is too large for seconds since 1970: is it in milliseconds?")),
            Err(_) => Err(bad),
        };
    }
    WallTime::parse(text).ok_or(bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: WallTime = WallTime::from_millis(1_767_384_900_000);

    fn read(start: &str, end: &str, last: &str) -> Result<Option<Shift>, String> {
        let word = |text| Some(text).filter(|text: &&str| !text.is_empty());
        WindowWords { start: word(start), end: word(end), last: word(last), late: None }
            .read(NOW)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn a_point_in_time_has_several_spellings_and_one_meaning() {
        let at = |millis| {
            Ok(Some(Shift {
                window: Window { start: Some(WallTime::from_millis(millis)), end: None },
                relative: false,
                late: false,
            }))
        };
        assert_eq!(read("", "", ""), Ok(None));
        assert_eq!(read("1767384890.5", "", ""), at(1_767_384_890_500));
        assert_eq!(read("1767384890", "", ""), at(1_767_384_890_000));
        assert_eq!(read("2026-01-02T20:14:50.5Z", "", ""), at(1_767_384_890_500));
        assert_eq!(read("2026-01-02T21:14:50.5+01:00", "", ""), at(1_767_384_890_500));
        let minute = Window { start: Some(WallTime::from_millis(NOW.millis() - 60_000)), end: Some(NOW) };
        assert_eq!(read("", "", "1m"), Ok(Some(Shift { window: minute, relative: true, late: false })));
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        for (start, end, last, beginning) in [
            ("yesterday", "", "", "start takes a point"),
            (".", "", "", "start takes a point"),
            ("1.2.3", "", "", "start takes a point"),
            ("", "soon", "", "end takes a point"),
            ("1767384890500", "", "", "start is too large"),
            ("", "", "0s", "last takes a duration"),
            ("", "", "long", "last takes a duration"),
            ("1767384890", "", "1m", "last stands alone"),
            ("1767384890", "1767384890", "", "start has to be before"),
            ("1767384901", "", "", "start lies in the future"),
        ] {
            let error = read(start, end, last).unwrap_err();
            assert!(error.starts_with(beginning), "{start} {end} {last}: {error}");
        }
    }
}
