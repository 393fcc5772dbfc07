//! Which time is asked for: words -> a window that has ended.

use crate::model::clock::WallTime;
use crate::origin::{Window, WindowError, WindowWord, WindowWords};

/// From when and until when, or this much of it up to now; as it was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct HarvestWindow {
    pub(super) start: Option<String>,
    pub(super) end: Option<String>,
    pub(super) last: Option<String>,
}

impl HarvestWindow {
    /// What it means now. Without an end it ends now, so that the window is closed.
    pub(super) fn window(&self, now: WallTime) -> Result<Window, WindowError> {
        let words =
            WindowWords { start: self.start.as_deref(), end: self.end.as_deref(), last: self.last.as_deref(), late: None };
        let asked = words.read(now)?.map(|shift| shift.window).unwrap_or_default();
        let (start, end) = (asked.start, asked.end.unwrap_or(now));
        let wrong = |word, why| Err(WindowError { word, why });
        if end > now {
            return wrong(WindowWord::End, "lies in the future: only what was can be copied");
        }
        if start.is_some_and(|start| start >= end) {
            return wrong(WindowWord::Start, "leaves no time before the end");
        }
        Ok(Window { start, end: Some(end) })
    }

    /// As it is remembered.
    pub(super) fn words(&self) -> Vec<Option<String>> {
        vec![self.start.clone(), self.end.clone(), self.last.clone()]
    }
}

/// Reads a window as it writes itself.
pub(super) fn parse(query: &str) -> Option<Window> {
    let mut window = Window::default();
    for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
        match name {
            "start" => window.start = Some(WallTime::parse(value)?),
            "end" => window.end = Some(WallTime::parse(value)?),
            _ => return None,
        }
    }
    window.end.map(|_| window)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_mean_windows_that_have_ended() {
        let now = WallTime::from_millis(1_767_225_600_000);
        let asked = |start: &str, end: &str, last: &str| {
            let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
            HarvestWindow { start: text(start), end: text(end), last: text(last) }.window(now).map(|window| window.to_string())
        };
        assert_eq!(asked("", "", ""), Ok(format!("end={now}")));
        let hour = WallTime::from_millis(now.millis() - 3_600_000);
        assert_eq!(asked("", "", "1h"), Ok(format!("start={hour}&end={now}")));
        assert_eq!(asked("1767222000", "", ""), asked("", "", "1h"));
        assert_eq!(asked("1767222000.0", "", ""), asked("", "", "1h"), "as a GET reads it");
        for (start, end, last, field) in [
            ("yesterday", "", "", WindowWord::Start),
            ("", "soon", "", WindowWord::End),
            ("", "", "long", WindowWord::Last),
            ("", "1767225601", "", WindowWord::End),
            ("1767225600", "", "", WindowWord::Start),
            ("1767222000", "", "1h", WindowWord::Last),
            ("", "", "0s", WindowWord::Last),
        ] {
            assert_eq!(asked(start, end, last).unwrap_err().word, field, "{start} {end} {last}");
        }
    }

    #[test]
    fn a_window_is_read_as_it_is_written() {
        let (start, end) = (WallTime::from_millis(1_767_222_000_123), WallTime::from_millis(1_767_225_600_000));
        for window in [Window { start: Some(start), end: Some(end) }, Window { start: None, end: Some(end) }] {
            assert_eq!(parse(&window.to_string()), Some(window));
        }
        assert!(parse("").is_none() && parse("start=2026-01-01T00:00:00Z").is_none() && parse("end=x").is_none());
    }
}
