//! Which values of tags mean something: said once, for the reader, which tells who runs the encoder, and for who makes lists of it.

use std::time::Duration;

use super::attributes::{attributes, byte_range};
use super::words::Media;
use crate::model::clock::WallTime;

/// No segment is taken for too long that is no longer than that.
const SHORT: Duration = Duration::from_secs(60);
/// One that is longer may be so many times as long as the others.
const TIMES: u32 = 10;
/// None is longer than that, whatever the others are.
const MOST: Duration = Duration::from_secs(15 * 60);
/// How many hexadecimal digits a number of 128 bits has (RFC 8216 4.3.2.4).
const VECTOR: usize = 32;

/// The longest that a segment of this list may be said to be: more is what an encoder writes whose clock has jumped.
pub(in crate::hls) fn longest(media: &Media) -> Duration {
    let most = media.segments.iter().map(|segment| segment.duration).max().unwrap_or_default();
    if most <= SHORT {
        return SHORT;
    }
    let mut lengths: Vec<_> = media.segments.iter().map(|segment| segment.duration).filter(|length| !length.is_zero()).collect();
    lengths.sort_unstable();
    let usual = lengths.get((lengths.len().max(1) - 1) / 2).copied().unwrap_or_default();
    (usual * TIMES).clamp(SHORT, MOST)
}

/// Whether a segment of this list is said to be longer than that. Of most nothing more is looked at.
pub(in crate::hls) fn is_far_too_long(length: Duration, media: &Media) -> bool {
    length > SHORT && length > longest(media)
}

/// Whether a text is a number with decimals or without, as attributes have it (RFC 8216 4.2): finite, and not below zero.
pub(in crate::hls) fn is_decimal(text: &str) -> bool {
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    digits > 0 && text.len() - digits <= 1 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
}

/// An initialisation vector with all of its digits; `None`: it is no number of 128 bits. One with fewer digits means the same, and Shaka
/// Player ends with a fatal error there.
pub(in crate::hls) fn vector(text: &str) -> Option<String> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"))?;
    let is_one = (1..=VECTOR).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_one.then(|| format!("0x{digits:0>VECTOR$}"))
}

/// The first attribute of a key tag that is not there or means nothing (RFC 8216 4.3.2.4).
pub(in crate::hls) fn unsound_of_key(list: &str) -> Option<&'static str> {
    let (mut method, mut uri, mut is_vector) = (None, None, true);
    for (name, value) in attributes(list) {
        match name {
            "METHOD" => method = Some(value),
            "URI" => uri = Some(value),
            "IV" => is_vector = vector(value).is_some(),
            _ => {}
        }
    }
    match method.filter(|method| !method.is_empty()) {
        None => Some("METHOD"),
        Some("NONE") => None,
        Some(_) if uri.is_none_or(str::is_empty) => Some("URI"),
        Some(_) => (!is_vector).then_some("IV"),
    }
}

/// Whether the byte range of a map, if it has one, can be asked for (RFC 8216 4.3.2.5).
pub(in crate::hls) fn is_sound_map(list: &str) -> bool {
    let is_range = |value: &str| byte_range(value).is_some_and(|(length, _)| length > 0);
    attributes(list).filter(|(name, _)| *name == "BYTERANGE").all(|(_, value)| is_range(value))
}

/// The attributes of a date range that mean nothing, and an ID that is not there (RFC 8216 4.3.2.7). One without a START-DATE is left to say
/// more of another: the RFC's own example does (8.10).
pub(in crate::hls) fn unsound_of_date_range(list: &str) -> Vec<&'static str> {
    let (mut unsound, mut has_id, mut start, mut end) = (Vec::new(), false, None, None);
    for (name, value) in attributes(list) {
        match name {
            "ID" => has_id = !value.is_empty(),
            "START-DATE" => start = Some(WallTime::parse(value)),
            "END-DATE" => end = Some(WallTime::parse(value)),
            "DURATION" if !is_decimal(value) => unsound.push("DURATION"),
            "PLANNED-DURATION" if !is_decimal(value) => unsound.push("PLANNED-DURATION"),
            _ => {}
        }
    }
    if !has_id {
        unsound.push("ID");
    }
    if start == Some(None) {
        unsound.push("START-DATE");
    }
    if let Some(end) = end
        && end.is_none_or(|end| start.flatten().is_some_and(|start| end < start))
    {
        unsound.push("END-DATE");
    }
    unsound
}

/// Whether a player can begin where EXT-X-START says (RFC 8216 4.3.5.2): Shaka Player begins nowhere else.
pub(in crate::hls) fn is_sound_start(list: &str) -> bool {
    let offset = attributes(list).find(|(name, _)| *name == "TIME-OFFSET").map(|(_, value)| value);
    offset.is_some_and(|offset| is_decimal(offset.strip_prefix('-').unwrap_or(offset)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hls::texts::media;
    use proptest::prelude::{any, proptest};

    #[test]
    fn a_segment_that_is_many_times_as_long_as_the_others_is_not_believed() {
        let longest = |lengths: &[&str]| {
            let lines: String = lengths.iter().map(|length| format!("#EXTINF:{length},\na\n")).collect();
            longest(&media(&format!("#EXTM3U\n{lines}"))).as_secs()
        };
        for (lengths, expected) in [
            (&["2", "2", "3600"][..], 60),
            (&["2", "3600"], 60),
            (&["0", "2", "59.9"], 60),
            (&["10", "10", "99"], 100),
            (&["20", "3600", "25"], 250),
            // Of one alone nothing else is known.
            (&["80"], 800),
            (&["3600"], 900),
            (&["0"], 60),
            (&[], 60),
        ] {
            assert_eq!(longest(lengths), expected, "{lengths:?}");
        }
    }

    #[test]
    fn vectors_are_numbers_of_128_bits() {
        assert_eq!(vector("0x1").as_deref(), Some("0x00000000000000000000000000000001"));
        assert_eq!(vector("0Xab").as_deref(), Some("0x000000000000000000000000000000ab"));
        let whole = format!("0x{}", "f".repeat(32));
        assert_eq!(vector(&whole), Some(whole.clone()));
        for bad in ["", "0x", "1", "0xg", "0x-1", &format!("{whole}0"), "é"] {
            assert_eq!(vector(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_means_nothing_is_named() {
        for (list, expected) in [
            ("METHOD=AES-128,URI=\"k\"", None),
            ("METHOD=NONE", None),
            ("METHOD=AES-128,URI=\"k\",IV=0x1", None),
            ("URI=\"k\"", Some("METHOD")),
            ("METHOD=,URI=\"k\"", Some("METHOD")),
            ("METHOD=AES-128", Some("URI")),
            ("METHOD=AES-128,URI=\"\"", Some("URI")),
            ("METHOD=AES-128,URI=\"k\",IV=1", Some("IV")),
        ] {
            assert_eq!(unsound_of_key(list), expected, "{list}");
        }
        for (list, is_sound) in [
            ("URI=\"i\"", true),
            ("URI=\"i\",BYTERANGE=\"7@0\"", true),
            ("URI=\"i\",BYTERANGE=\"7\"", true),
            ("URI=\"i\",BYTERANGE=\"0@7\"", false),
            ("URI=\"i\",BYTERANGE=\"7@18446744073709551615\"", false),
            ("URI=\"i\",BYTERANGE=\"18446744073709551616@0\"", false),
            ("URI=\"i\",BYTERANGE=\"\"", false),
        ] {
            assert_eq!(is_sound_map(list), is_sound, "{list}");
        }
        const START: &str = "ID=\"a\",START-DATE=\"2026-01-01T00:00:02Z\"";
        for (more, expected) in [
            (",DURATION=100000.5,PLANNED-DURATION=0,END-DATE=\"2026-01-01T00:00:02Z\"", &[][..]),
            (",DURATION=-1", &["DURATION"]),
            (",DURATION=nan,PLANNED-DURATION=1e3", &["DURATION", "PLANNED-DURATION"]),
            (",END-DATE=\"2026-01-01T00:00:01Z\"", &["END-DATE"]),
            (",END-DATE=\"soon\"", &["END-DATE"]),
        ] {
            assert_eq!(unsound_of_date_range(&format!("{START}{more}")), expected, "{more}");
        }
        assert_eq!(unsound_of_date_range("ID=\"a\",SCTE35-IN=0xFC"), [""; 0], "it says more of another");
        assert_eq!(unsound_of_date_range("ID=\"\",START-DATE=\"2026-13-01T00:00:02Z\""), ["ID", "START-DATE"]);
        for (list, is_sound) in [("TIME-OFFSET=-4.5", true), ("TIME-OFFSET=0", true), ("TIME-OFFSET=--1", false), ("", false)] {
            assert_eq!(is_sound_start(list), is_sound, "{list}");
        }
        for (text, expected) in
            [("1", true), ("1.", true), (".5", true), (".", false), ("1.2.3", false), ("-1", false), ("", false)]
        {
            assert_eq!(is_decimal(text), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in any::<String>()) {
            let _ = (is_decimal(&text), vector(&text), unsound_of_key(&text), is_sound_map(&text));
            let _ = (unsound_of_date_range(&text), is_sound_start(&text));
        }
    }
}
