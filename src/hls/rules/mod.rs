//! The rules for playlists that a server makes (RFC 8216 4.3 and 6.2, and the draft that follows it), as a judge of its own: it shares no
//! reader with the program, so that what one misreads the other does not.
//!
//! For tests alone, those beside the code as those from outside.

mod reading;

use std::fmt;

use self::reading::{JudgedList, JudgedSegment, attribute, date, plain};

/// Which rule is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// The first line is EXTM3U, without anything before it (4.1, 4.3.1.1).
    Begins,
    /// Tags of the head stand once (4.3.3), and the numbers, which are some, before the first segment (4.3.3.2, 4.3.3.3).
    Head,
    /// A target duration, and each segment's length within it when rounded (4.3.3.1).
    Target,
    /// Each segment has its length, and lasts for some time (4.3.2.1).
    Length,
    /// Byte ranges of segments and maps are some, and can be counted (4.3.2.2, 4.3.2.5).
    Range,
    /// Dates are dates (4.3.2.6).
    Date,
    /// Keys say how and where, and vectors are numbers of 128 bits (4.3.2.4).
    Key,
    /// What is written asks for the version that is stated (7).
    Version,
    /// A date range has what it must have, and one ID says one thing (4.3.2.7); where there are any, there are dates.
    DateRange,
    /// The target duration does not change (6.2.1).
    TargetChanged,
    /// Numbers never go back, and what went at the front was counted (6.2.2).
    Sequence,
    /// A segment's discontinuity number stays what it was (6.2.2).
    DiscontinuitySequence,
    /// What was published stays as it was: URI, length, range, gap, date, map and keys (6.2.1).
    Published,
    /// Segments go at the front only (6.2.2).
    Removed,
    /// The type stays, EVENT only grows, and VOD or what has its end does not change (4.3.3.5, 6.2.1).
    Kind,
    /// What is said once for the whole list stays said.
    HeadChanged,
    /// All renditions have the same target duration (6.2.4).
    TargetsDiffer,
    /// Matching content has matching discontinuity numbers (6.2.4).
    DiscontinuitiesDiffer,
    /// Dates in all renditions or in none (6.2.4).
    DatesDiffer,
    /// The same date ranges in all renditions (6.2.4).
    DateRangesDiffer,
    /// All have their end, or none.
    EndsDiffer,
}

/// A rule that is broken, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Breach {
    /// Which.
    pub(crate) rule: Rule,
    /// What is there, for who reads the failure.
    pub(crate) detail: String,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.rule, self.detail)
    }
}

fn breach(rule: Rule, detail: impl Into<String>) -> Breach {
    Breach { rule, detail: detail.into() }
}

/// What is wrong with the values of a segment's tags.
fn values(entry: &JudgedSegment) -> Vec<Breach> {
    let mut breaches = Vec::new();
    let is_range = |range: &str| {
        let (length, first) = range.split_once('@').unwrap_or((range, "0"));
        let numbers = length.parse::<u64>().ok().zip(first.parse::<u64>().ok());
        numbers.is_some_and(|(length, first)| length > 0 && first.checked_add(length).is_some())
    };
    let of_map = entry.map.as_deref().and_then(|map| attribute(map, "BYTERANGE"));
    breaches.extend(
        entry.range.as_deref().into_iter().chain(of_map).filter(|range| !is_range(range)).map(|range| breach(Rule::Range, range)),
    );
    breaches.extend(entry.misdated.as_ref().map(|date| breach(Rule::Date, date)));
    let is_vector = |iv: &str| {
        let digits = iv.strip_prefix("0x").or_else(|| iv.strip_prefix("0X")).unwrap_or_default();
        (1..=32).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    for key in entry.keys.values() {
        let is_whole = ["METHOD", "URI"].into_iter().all(|name| attribute(key, name).is_some_and(|value| !value.is_empty()));
        if !is_whole || !attribute(key, "IV").is_none_or(is_vector) {
            breaches.push(breach(Rule::Key, key));
        }
    }
    breaches
}

/// What is wrong with one playlist by itself.
pub(crate) fn alone(text: &str) -> Vec<Breach> {
    let (list, mut breaches) = (JudgedList::read(text), Vec::new());
    if text.lines().next() != Some("#EXTM3U") {
        breaches.push(breach(Rule::Begins, text.lines().next().unwrap_or_default()));
    }
    for (tag, values) in list.head.iter().filter(|(_, values)| values.len() > 1) {
        breaches.push(breach(Rule::Head, format!("{tag} {} times", values.len())));
    }
    breaches.extend(list.late.iter().map(|tag| breach(Rule::Head, format!("{tag} behind the first segment"))));
    let target = list.number("EXT-X-TARGETDURATION").filter(|target| *target > 0);
    if target.is_none() {
        breaches.push(breach(Rule::Target, "none is stated"));
    }
    for entry in &list.entries {
        match plain(&entry.length).filter(|length| *length > 0.0) {
            Some(length) => {
                #[expect(clippy::cast_precision_loss, reason = "a few seconds")]
                let is_longer = target.is_some_and(|target| length.round() > target as f64);
                if is_longer {
                    breaches.push(breach(Rule::Target, format!("{} is {length} s, and the target {target:?}", entry.uri)));
                }
            }
            None => breaches.push(breach(Rule::Length, format!("{} has none: {:?}", entry.uri, entry.length))),
        }
        breaches.extend(values(entry));
    }
    for tag in ["EXT-X-MEDIA-SEQUENCE", "EXT-X-DISCONTINUITY-SEQUENCE"] {
        let is_one = list.said(tag).is_none_or(|_| list.number(tag).is_some_and(|first| first < 1 << 63));
        if !is_one {
            breaches.push(breach(Rule::Head, format!("{tag}: {:?}", list.said(tag))));
        }
    }
    let mut needed = 1;
    let mut need = |version: u64, is: bool| needed = if is { needed.max(version) } else { needed };
    need(2, list.entries.iter().any(|entry| entry.keys.values().any(|key| attribute(key, "IV").is_some())));
    need(3, list.entries.iter().any(|entry| entry.length.contains('.')));
    need(4, list.entries.iter().any(|entry| entry.range.is_some()) || list.said("EXT-X-I-FRAMES-ONLY").is_some());
    need(5, list.entries.iter().any(|entry| entry.keys.values().any(|key| attribute(key, "KEYFORMAT").is_some())));
    need(if list.said("EXT-X-I-FRAMES-ONLY").is_some() { 5 } else { 6 }, list.entries.iter().any(|entry| entry.map.is_some()));
    if list.number("EXT-X-VERSION").unwrap_or(1) < needed {
        breaches.push(breach(Rule::Version, format!("{:?} where {needed} is needed", list.said("EXT-X-VERSION"))));
    }
    if list.end() > list.first && !list.date_ranges.is_empty() && !list.has_dates() {
        breaches.push(breach(Rule::DateRange, "date ranges without a date"));
    }
    for (index, range) in list.date_ranges.iter().enumerate() {
        let id = attribute(range, "ID");
        if id.is_none() || attribute(range, "START-DATE").is_none() {
            breaches.push(breach(Rule::DateRange, format!("without ID or START-DATE: {range}")));
        }
        let is_date = |name| attribute(range, name).is_none_or(|value| date(value).is_some());
        let is_length = |name| attribute(range, name).is_none_or(|value| plain(value).is_some());
        let is_sound =
            ["START-DATE", "END-DATE"].into_iter().all(is_date) && ["DURATION", "PLANNED-DURATION"].into_iter().all(is_length);
        let at = |name| attribute(range, name).and_then(date);
        let is_over_first = at("START-DATE").zip(at("END-DATE")).is_some_and(|(start, end)| end < start);
        if !is_sound || is_over_first {
            breaches.push(breach(Rule::DateRange, format!("what it says is no time: {range}")));
        }
        // Of one ID, what both say is the same (6.2.1 of the draft).
        for other in list.date_ranges[..index].iter().filter(|other| attribute(other, "ID") == id) {
            for name in
                ["CLASS", "START-DATE", "END-DATE", "DURATION", "PLANNED-DURATION", "SCTE35-OUT", "SCTE35-IN", "SCTE35-CMD"]
            {
                if let (Some(one), Some(two)) = (attribute(other, name), attribute(range, name))
                    && one != two
                {
                    breaches.push(breach(Rule::DateRange, format!("{id:?} says {one} and {two}")));
                }
            }
        }
    }
    breaches
}

/// What is wrong with a version of a playlist after the one before it.
pub(crate) fn after(before: &str, now: &str) -> Vec<Breach> {
    let (old, new, mut breaches) = (JudgedList::read(before), JudgedList::read(now), Vec::new());
    for tag in ["EXT-X-TARGETDURATION", "EXT-X-PLAYLIST-TYPE", "EXT-X-VERSION", "EXT-X-START", "EXT-X-INDEPENDENT-SEGMENTS"] {
        if old.said(tag) != new.said(tag) {
            let rule = match tag {
                "EXT-X-TARGETDURATION" => Rule::TargetChanged,
                "EXT-X-PLAYLIST-TYPE" => Rule::Kind,
                _ => Rule::HeadChanged,
            };
            breaches.push(breach(rule, format!("{tag}: {:?} became {:?}", old.said(tag), new.said(tag))));
        }
    }
    let had_end = old.said("EXT-X-ENDLIST").is_some();
    if (had_end || old.said("EXT-X-PLAYLIST-TYPE") == Some("VOD")) && old.text != new.text {
        breaches.push(breach(Rule::Kind, "it had its end, and changed"));
    }
    if new.first < old.first {
        breaches.push(breach(Rule::Sequence, format!("{} became {}", old.first, new.first)));
    }
    if old.said("EXT-X-PLAYLIST-TYPE") == Some("EVENT") && new.first != old.first {
        breaches.push(breach(Rule::Kind, format!("an event lost its beginning: {} became {}", old.first, new.first)));
    }
    if new.end() < old.end() {
        breaches.push(breach(Rule::Removed, format!("it went to {}, and goes to {}", old.end(), new.end())));
    }
    for number in old.first.max(new.first)..old.end().min(new.end()) {
        let (Some(was), Some(is)) = (old.at(number), new.at(number)) else { continue };
        if was.discontinuity != is.discontinuity {
            let detail = format!("{number} ({}): {} became {}", was.uri, was.discontinuity, is.discontinuity);
            breaches.push(breach(Rule::DiscontinuitySequence, detail));
        }
        // The first of a list may state a date that followed from one before it.
        let dates = was.date.zip(is.date);
        let mut stays = JudgedSegment { date: None, discontinuity: 0, ..was.clone() };
        let mut found = JudgedSegment { date: None, discontinuity: 0, ..is.clone() };
        if let Some((was, is)) = dates {
            (stays.date, found.date) = (Some(was), Some(is));
        }
        if stays != found {
            breaches.push(breach(Rule::Published, format!("{number}: {stays:?} became {found:?}")));
        }
    }
    breaches
}

/// How far one rendition's segment has to be within another's before both are taken for the same content, in seconds: cuts of sound and
/// picture differ by some frames.
const OVERLAP: f64 = 0.25;

/// What does not match across the renditions of one multivariant playlist; each with its name.
pub(crate) fn across(renditions: &[(&str, &str)]) -> Vec<Breach> {
    let lists: Vec<_> = renditions.iter().map(|(name, text)| (*name, JudgedList::read(text))).collect();
    let Some(((first, one), rest)) = lists.split_first() else { return Vec::new() };
    let mut breaches = Vec::new();
    for (name, other) in rest {
        let mut differ = |rule, one: String, other: String| {
            if one != other {
                breaches.push(breach(rule, format!("{first}: {one}, {name}: {other}")));
            }
        };
        let target = |list: &JudgedList| format!("{:?}", list.said("EXT-X-TARGETDURATION"));
        differ(Rule::TargetsDiffer, target(one), target(other));
        differ(Rule::DatesDiffer, one.has_dates().to_string(), other.has_dates().to_string());
        differ(
            Rule::EndsDiffer,
            one.head.contains_key("EXT-X-ENDLIST").to_string(),
            other.head.contains_key("EXT-X-ENDLIST").to_string(),
        );
        let ranges = |list: &JudgedList| {
            let mut ids: Vec<_> = list.date_ranges.iter().filter_map(|range| attribute(range, "ID")).collect();
            ids.sort_unstable();
            ids.dedup();
            format!("{ids:?}")
        };
        differ(Rule::DateRangesDiffer, ranges(one), ranges(other));
        let spans = other.spans();
        for (begin, end, number) in one.spans() {
            // The same moment by the dates; runs that were dated alike by mistake have none that matches alone.
            let mut same = spans.iter().filter(|(from, to, _)| to.min(end) - from.max(begin) > OVERLAP).peekable();
            if same.peek().is_some() && !same.any(|(.., other)| *other == number) {
                breaches.push(breach(Rule::DiscontinuitiesDiffer, format!("at {begin}: {number} in {first}, another in {name}")));
            }
        }
    }
    breaches
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:7\n#EXT-X-DISCONTINUITY-SEQUENCE:3\n\
                        #EXT-X-MAP:URI=\"i.mp4\"\n#EXT-X-KEY:METHOD=AES-128,URI=\"k\",IV=0x1\n\
                        #EXT-X-DATERANGE:ID=\"a\",START-DATE=\"2026-01-01T00:00:01Z\",PLANNED-DURATION=4\n\
                        #EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:00.000Z\n#EXTINF:2.0,\n7.m4s\n#EXTINF:2.0,\n8.m4s\n\
                        #EXT-X-DISCONTINUITY\n#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:01:00.000Z\n#EXTINF:2.4,\n9.m4s\n";

    fn rules(breaches: &[Breach]) -> Vec<Rule> {
        let mut rules: Vec<_> = breaches.iter().map(|breach| breach.rule).collect();
        rules.dedup();
        rules
    }

    #[test]
    fn dates_are_read() {
        assert_eq!(date("2026-01-01T00:00:00Z"), Some(1_767_225_600.0));
        assert_eq!(date("2026-01-01T01:00:00.5+01:00"), Some(1_767_225_600.5));
        assert_eq!(date("2024-02-29T12:00:00-0030"), Some(1_709_209_800.0));
        assert_eq!(date("soon"), None);
    }

    #[test]
    fn a_good_list_is_good_and_each_rule_can_be_broken() {
        assert_eq!(alone(GOOD), []);
        for (rule, from, to) in [
            (Rule::Begins, "#EXTM3U\n", "\n#EXTM3U\n"),
            (Rule::Begins, "#EXTM3U\n", "\u{feff}#EXTM3U\n"),
            (Rule::Head, "#EXT-X-MEDIA-SEQUENCE:7\n", "#EXT-X-MEDIA-SEQUENCE:7\n#EXT-X-MEDIA-SEQUENCE:7\n"),
            (Rule::Head, "#EXTINF:2.0,\n8", "#EXT-X-DISCONTINUITY-SEQUENCE:3\n#EXTINF:2.0,\n8"),
            (Rule::Target, "#EXT-X-TARGETDURATION:2\n", ""),
            (Rule::Target, "#EXTINF:2.4,", "#EXTINF:2.5,"),
            (Rule::Length, "#EXTINF:2.4,\n", ""),
            (Rule::Length, "#EXTINF:2.4,", "#EXTINF:0,"),
            (Rule::Length, "#EXTINF:2.4,", "#EXTINF:-2,"),
            (Rule::Length, "#EXTINF:2.4,", "#EXTINF:NaN,"),
            (Rule::Length, "#EXTINF:2.4,", "#EXTINF:1e0,"),
            (Rule::Target, "#EXTINF:2.4,", "#EXTINF:40000,"),
            (Rule::Target, "TARGETDURATION:2", "TARGETDURATION:0"),
            (Rule::Head, "SEQUENCE:7", "SEQUENCE:18446744073709551616"),
            (Rule::Head, "DISCONTINUITY-SEQUENCE:3", "DISCONTINUITY-SEQUENCE:-3"),
            (Rule::Date, "00:01:00.000Z", "00:61:00.000Z"),
            (Rule::Date, "2026-01-01T00:01:00.000Z", "soon"),
            (Rule::Range, "#EXTINF:2.4,", "#EXT-X-BYTERANGE:18446744073709551616@0\n#EXTINF:2.4,"),
            (Rule::Range, "#EXTINF:2.4,", "#EXT-X-BYTERANGE:2@18446744073709551615\n#EXTINF:2.4,"),
            (Rule::Range, "#EXTINF:2.4,", "#EXT-X-BYTERANGE:\n#EXTINF:2.4,"),
            (Rule::Range, "URI=\"i.mp4\"", "URI=\"i.mp4\",BYTERANGE=\"0@0\""),
            (Rule::Key, "IV=0x1", "IV=0x"),
            (Rule::Key, "IV=0x1", "IV=0x123456789012345678901234567890123"),
            (Rule::Key, "METHOD=AES-128,", ""),
            (Rule::Key, ",URI=\"k\"", ""),
            (Rule::DateRange, "PLANNED-DURATION=4", "PLANNED-DURATION=-4"),
            (Rule::DateRange, "PLANNED-DURATION=4", "END-DATE=\"2026-01-01T00:00:00Z\""),
            (Rule::DateRange, "PLANNED-DURATION=4", "END-DATE=\"soon\""),
            (Rule::Version, "#EXT-X-VERSION:6", "#EXT-X-VERSION:5"),
            (Rule::DateRange, "ID=\"a\",", ""),
            (
                Rule::DateRange,
                "#EXT-X-DATERANGE:",
                "#EXT-X-DATERANGE:ID=\"a\",START-DATE=\"2026-01-01T00:00:02Z\"\n#EXT-X-DATERANGE:",
            ),
        ] {
            let broken = GOOD.replacen(from, to, 1);
            assert_ne!(broken, GOOD, "{from}");
            assert_eq!(rules(&alone(&broken))[0], rule, "{to:?}: {:?}", alone(&broken));
        }
        let undated: String = GOOD.lines().filter(|line| !line.contains("DATE-TIME")).map(|line| format!("{line}\n")).collect();
        assert_eq!(rules(&alone(&undated)), [Rule::DateRange]);
    }

    /// One segment went, one came, and what was in force still is.
    const LATER: &str = "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:8\n#EXT-X-DISCONTINUITY-SEQUENCE:3\n\
                         #EXT-X-MAP:URI=\"i.mp4\"\n#EXT-X-KEY:METHOD=AES-128,URI=\"k\",IV=0x1\n\
                         #EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:02.000Z\n#EXTINF:2.0,\n8.m4s\n\
                         #EXT-X-DISCONTINUITY\n#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:01:00.000Z\n#EXTINF:2.4,\n9.m4s\n\
                         #EXT-X-GAP\n#EXTINF:2.0,\n10.m4s\n";

    #[test]
    fn a_list_may_go_on_and_each_rule_of_that_can_be_broken() {
        assert_eq!(after(GOOD, GOOD), []);
        assert_eq!(after(GOOD, LATER), []);
        assert_eq!(after(GOOD, &LATER.replace("#EXT-X-GAP\n", "#EXT-X-DISCONTINUITY\n")), [], "what is new may be anything");
        // Both go: the tag is counted.
        let gone = "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:9\n#EXT-X-DISCONTINUITY-SEQUENCE:4\n\
                    #EXT-X-MAP:URI=\"i.mp4\"\n#EXT-X-KEY:METHOD=AES-128,URI=\"k\",IV=0x1\n#EXTINF:2.4,\n9.m4s\n";
        assert_eq!(after(GOOD, gone), []);
        assert_eq!(rules(&after(GOOD, &gone.replace("SEQUENCE:4", "SEQUENCE:3"))), [Rule::DiscontinuitySequence]);
        for (rule, from, to) in [
            (Rule::TargetChanged, "TARGETDURATION:2", "TARGETDURATION:3"),
            (Rule::Kind, "#EXT-X-VERSION", "#EXT-X-PLAYLIST-TYPE:EVENT\n#EXT-X-VERSION"),
            (Rule::HeadChanged, "#EXT-X-VERSION:6", "#EXT-X-VERSION:7"),
            (Rule::HeadChanged, "#EXT-X-VERSION", "#EXT-X-START:TIME-OFFSET=0\n#EXT-X-VERSION"),
            (Rule::Published, "#EXTINF:2.0,\n8.m4s", "#EXTINF:2.0,\ngap"),
            (Rule::Published, "#EXTINF:2.0,\n8.m4s", "#EXT-X-GAP\n#EXTINF:2.0,\n8.m4s"),
            (Rule::Published, "#EXTINF:2.0,\n8.m4s", "#EXTINF:1.9,\n8.m4s"),
            (Rule::Published, "#EXTINF:2.0,\n8.m4s", "#EXT-X-BYTERANGE:1@0\n#EXTINF:2.0,\n8.m4s"),
            (Rule::Published, "00:01:00.000Z", "00:01:01.000Z"),
            (Rule::Published, "URI=\"k\"", "URI=\"l\""),
            (Rule::Published, "URI=\"i.mp4\"", "URI=\"j.mp4\""),
            (Rule::DiscontinuitySequence, "#EXT-X-DISCONTINUITY\n", ""),
        ] {
            let broken = LATER.replacen(from, to, 1);
            assert_ne!(broken, LATER, "{from}");
            assert_eq!(rules(&after(GOOD, &broken)), [rule], "{to:?}: {:?}", after(GOOD, &broken));
        }
        assert!(rules(&after(LATER, GOOD)).contains(&Rule::Sequence));
        let shorter = LATER.replace("#EXT-X-GAP\n#EXTINF:2.0,\n10.m4s\n", "");
        assert_eq!(rules(&after(LATER, &shorter)), [Rule::Removed]);
        let moved = LATER.replace("MEDIA-SEQUENCE:8", "MEDIA-SEQUENCE:9");
        assert!(rules(&after(LATER, &moved)).contains(&Rule::Published), "the same under other numbers");
        let event = |text: &str| text.replace("#EXT-X-TARGET", "#EXT-X-PLAYLIST-TYPE:EVENT\n#EXT-X-TARGET");
        assert_eq!(rules(&after(&event(GOOD), &event(LATER))), [Rule::Kind], "an event loses nothing");
        let ended = format!("{GOOD}#EXT-X-ENDLIST\n");
        assert_eq!((after(GOOD, &ended), rules(&after(&ended, GOOD))), (vec![], vec![Rule::Kind]));
    }

    #[test]
    fn renditions_match_and_each_rule_of_that_can_be_broken() {
        let sound = GOOD.replace("m4s", "m4a").replace("MEDIA-SEQUENCE:7", "MEDIA-SEQUENCE:100").replace(":00.000Z", ":00.040Z");
        assert_eq!(across(&[("v", GOOD), ("a", &sound)]), []);
        for (rule, from, to) in [
            (Rule::TargetsDiffer, "TARGETDURATION:2", "TARGETDURATION:3"),
            (Rule::DiscontinuitiesDiffer, "#EXT-X-DISCONTINUITY\n", ""),
            (Rule::DiscontinuitiesDiffer, "DISCONTINUITY-SEQUENCE:3", "DISCONTINUITY-SEQUENCE:4"),
            (Rule::DateRangesDiffer, "ID=\"a\"", "ID=\"b\""),
            (Rule::EndsDiffer, "#EXT-X-VERSION", "#EXT-X-ENDLIST\n#EXT-X-VERSION"),
        ] {
            let broken = sound.replacen(from, to, 1);
            assert_eq!(rules(&across(&[("v", GOOD), ("a", &broken)])), [rule], "{to:?}");
        }
        let undated: String = sound.lines().filter(|line| !line.contains("DATE-TIME")).map(|line| format!("{line}\n")).collect();
        assert_eq!(rules(&across(&[("v", GOOD), ("a", &undated)])), [Rule::DatesDiffer]);
    }
}
