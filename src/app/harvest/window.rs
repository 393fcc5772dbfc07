//! Which time is asked for: words -> a window that has ended.

use crate::hls::shift::Window;
use crate::model::clock::WallTime;
use crate::model::units::parse_duration;

/// From when and until when, or so much of it up to now; as it was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) start: Option<String>,
    pub(super) end: Option<String>,
    pub(super) last: Option<String>,
}

/// Which of the three makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Start,
    End,
    Last,
}

impl Asked {
    /// What it means now. Without an end it ends now, so that the window is closed.
    pub(super) fn window(&self, now: WallTime) -> Result<Window, (Field, &'static str)> {
        let time = |field: Field, text: &Option<String>| match text.as_deref().map(parse_time) {
            Some(None) => Err((field, "takes a time like 2026-01-02T03:04:05Z, or seconds since 1970")),
            time => Ok(time.flatten()),
        };
        let (mut start, end) = (time(Field::Start, &self.start)?, time(Field::End, &self.end)?.unwrap_or(now));
        if let Some(last) = &self.last {
            if self.start.is_some() || self.end.is_some() {
                return Err((Field::Last, "stands alone: take a start and an end, or this"));
            }
            let span = parse_duration(last).map_err(|_| (Field::Last, "takes a duration like 30m"))?;
            let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
            start = Some(WallTime::from_millis(now.millis().saturating_sub(millis)));
        }
        if end > now {
            return Err((Field::End, "lies in the future: only what was can be copied"));
        }
        if start.is_some_and(|start| start >= end) {
            return Err((if self.last.is_some() { Field::Last } else { Field::Start }, "leaves no time before the end"));
        }
        Ok(Window { start, end: Some(end) })
    }

    /// As it is remembered.
    pub(super) fn words(&self) -> Vec<Option<String>> {
        vec![self.start.clone(), self.end.clone(), self.last.clone()]
    }
}

fn parse_time(text: &str) -> Option<WallTime> {
    let seconds = text.parse::<u32>().ok().map(|seconds| WallTime::from_millis(u64::from(seconds) * 1000));
    seconds.or_else(|| WallTime::parse(text))
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
            Asked { start: text(start), end: text(end), last: text(last) }.window(now).map(|window| window.to_string())
        };
        assert_eq!(asked("", "", ""), Ok(format!("end={now}")));
        let hour = WallTime::from_millis(now.millis() - 3_600_000);
        assert_eq!(asked("", "", "1h"), Ok(format!("start={hour}&end={now}")));
        assert_eq!(asked("1767222000", "", ""), asked("", "", "1h"));
        for (start, end, last, field) in [
            ("yesterday", "", "", Field::Start),
            ("", "soon", "", Field::End),
            ("", "", "long", Field::Last),
            ("", "1767225601", "", Field::End),
            ("1767225600", "", "", Field::Start),
            ("1767222000", "", "1h", Field::Last),
            ("", "", "0s", Field::Last),
        ] {
            assert_eq!(asked(start, end, last).unwrap_err().0, field, "{start} {end} {last}");
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
