//! Durations as XML Schema writes them, in MPDs.

use std::time::Duration;

/// The longest duration that is believed: ten years.
pub(super) const MAX_SECONDS: f64 = 3652.0 * 86_400.0;

/// A duration (XML Schema 3.2.6) of days, hours, minutes and seconds; years and months, which no encoder writes but as zero, are
/// taken as 365 and 30 days.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim().strip_prefix('P')?;
    let (mut seconds, mut in_time, mut any) = (0.0, false, false);
    while !rest.is_empty() {
        if let Some(time) = rest.strip_prefix('T').filter(|_| !in_time) {
            (rest, in_time) = (time, true);
            continue;
        }
        let end = rest.find(|sign: char| !sign.is_ascii_digit() && sign != '.')?;
        let number: f64 = rest[..end].parse().ok()?;
        let unit = match (rest.as_bytes()[end], in_time) {
            (b'Y', false) => 365.0 * 86_400.0,
            (b'M', false) => 30.0 * 86_400.0,
            (b'W', false) => 7.0 * 86_400.0,
            (b'D', false) => 86_400.0,
            (b'H', true) => 3600.0,
            (b'M', true) => 60.0,
            (b'S', true) => 1.0,
            _ => return None,
        };
        seconds += number * unit;
        any = true;
        rest = &rest[end + 1..];
    }
    (any && seconds <= MAX_SECONDS).then(|| Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, proptest};

    #[test]
    fn durations_read() {
        for (text, seconds) in [
            ("PT2S", Some(2.0)),
            ("PT0H1M30.5S", Some(90.5)),
            ("P0Y0M0DT0H0M4.000S", Some(4.0)),
            ("P1DT1H", Some(90_000.0)),
            ("P1M", Some(2_592_000.0)),
            ("P", None),
            ("PT", None),
            ("2S", None),
            ("-PT2S", None),
            ("PT2", None),
            ("P2S", None),
            ("PT.S", None),
            ("PTTS", None),
            ("P99999999999Y", None),
            ("PT\u{e4}S", None),
        ] {
            assert_eq!(duration(text), seconds.map(Duration::from_secs_f64), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>(), like in "P[0-9.YMWDTHS]*") {
            let _ = (duration(&text), duration(&like));
        }
    }
}
