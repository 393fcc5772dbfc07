//! A playlist as a judge of its own reads it.

use std::collections::{BTreeMap, HashMap};

/// A segment, with all that is in force for it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct JudgedSegment {
    pub(super) uri: String,
    pub(super) length: String,
    pub(super) range: Option<String>,
    pub(super) gap: bool,
    pub(super) date: Option<f64>,
    pub(super) misdated: Option<String>,
    pub(super) discontinuity: u64,
    pub(super) map: Option<String>,
    pub(super) keys: BTreeMap<String, String>,
}

/// A playlist as its lines say.
#[derive(Debug, Default)]
pub(super) struct JudgedList {
    pub(super) head: HashMap<String, Vec<String>>,
    /// Tags of the head that stood behind the first segment.
    pub(super) late: Vec<String>,
    pub(super) first: u64,
    pub(super) entries: Vec<JudgedSegment>,
    pub(super) date_ranges: Vec<String>,
    pub(super) text: String,
}

/// Tags that are said once for the whole list.
const HEAD: [&str; 10] = [
    "EXT-X-VERSION",
    "EXT-X-TARGETDURATION",
    "EXT-X-MEDIA-SEQUENCE",
    "EXT-X-DISCONTINUITY-SEQUENCE",
    "EXT-X-PLAYLIST-TYPE",
    "EXT-X-ENDLIST",
    "EXT-X-I-FRAMES-ONLY",
    "EXT-X-IMAGES-ONLY",
    "EXT-X-INDEPENDENT-SEGMENTS",
    "EXT-X-START",
];

impl JudgedList {
    pub(super) fn read(text: &str) -> Self {
        let mut list = Self { text: text.to_owned(), ..Self::default() };
        let (mut next, mut map, mut keys) = (JudgedSegment::default(), None, BTreeMap::new());
        let mut discontinuity = None;
        for line in text.lines() {
            let (tag, value) = line.strip_prefix('#').map_or(("", line), |tag| tag.split_once(':').unwrap_or((tag, "")));
            if HEAD.contains(&tag) {
                list.head.entry(tag.to_owned()).or_default().push(value.to_owned());
                if tag.ends_with("-SEQUENCE") && !list.entries.is_empty() {
                    list.late.push(tag.to_owned());
                }
                continue;
            }
            match tag {
                "EXTINF" => next.length = value.split(',').next().unwrap_or_default().to_owned(),
                "EXT-X-BYTERANGE" => next.range = Some(value.to_owned()),
                "EXT-X-GAP" => next.gap = true,
                "EXT-X-PROGRAM-DATE-TIME" => {
                    next.date = date(value);
                    next.misdated = next.date.is_none().then(|| value.to_owned());
                }
                "EXT-X-DISCONTINUITY" => {
                    let counted = discontinuity.unwrap_or_else(|| list.number("EXT-X-DISCONTINUITY-SEQUENCE").unwrap_or(0));
                    discontinuity = Some(counted + 1);
                }
                "EXT-X-MAP" => map = Some(value.to_owned()),
                "EXT-X-KEY" if attribute(value, "METHOD") == Some("NONE") => keys.clear(),
                "EXT-X-KEY" => {
                    keys.insert(attribute(value, "KEYFORMAT").unwrap_or("identity").to_owned(), value.to_owned());
                }
                "EXT-X-DATERANGE" => list.date_ranges.push(value.to_owned()),
                "" if !line.trim().is_empty() => {
                    let mut entry = std::mem::take(&mut next);
                    let counted = discontinuity.unwrap_or_else(|| list.number("EXT-X-DISCONTINUITY-SEQUENCE").unwrap_or(0));
                    discontinuity = Some(counted);
                    line.clone_into(&mut entry.uri);
                    (entry.discontinuity, entry.map, entry.keys) = (counted, map.clone(), keys.clone());
                    list.entries.push(entry);
                }
                _ => {}
            }
        }
        list.first = list.number("EXT-X-MEDIA-SEQUENCE").unwrap_or(0);
        list
    }

    pub(super) fn said(&self, tag: &str) -> Option<&str> {
        Some(self.head.get(tag)?.first()?)
    }

    pub(super) fn number(&self, tag: &str) -> Option<u64> {
        self.said(tag)?.trim().parse().ok()
    }

    pub(super) fn end(&self) -> u64 {
        self.first.saturating_add(self.entries.len() as u64)
    }

    pub(super) fn at(&self, number: u64) -> Option<&JudgedSegment> {
        self.entries.get(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }

    pub(super) fn has_dates(&self) -> bool {
        self.entries.iter().any(|entry| entry.date.is_some())
    }

    /// When each segment begins and ends by the dates, as far as these tell, and its discontinuity number.
    pub(super) fn spans(&self) -> Vec<(f64, f64, u64)> {
        let mut at = None;
        let mut spans = Vec::new();
        for entry in &self.entries {
            at = entry.date.or(at);
            let length: f64 = entry.length.parse().unwrap_or(0.0);
            if let Some(begin) = at {
                spans.push((begin, begin + length, entry.discontinuity));
                at = Some(begin + length);
            }
        }
        spans
    }
}

pub(super) fn attribute<'a>(list: &'a str, name: &str) -> Option<&'a str> {
    let mut rest = list;
    while let Some((key, after)) = rest.split_once('=') {
        let (value, next) = match after.strip_prefix('"') {
            Some(quoted) => {
                let (value, next) = quoted.split_once('"')?;
                (value, next.trim_start_matches(','))
            }
            None => after.split_once(',').unwrap_or((after, "")),
        };
        if key.trim() == name {
            return Some(value);
        }
        rest = next;
    }
    None
}

/// Seconds since 1970 of a date in UTC as this program writes it, or with an offset.
pub(super) fn date(text: &str) -> Option<f64> {
    let field = |from: usize, to: usize| text.get(from..to)?.parse::<i64>().ok();
    let (year, month, day) = (field(0, 4)?, field(5, 7)?, field(8, 10)?);
    let clock = field(11, 13)? * 3600 + field(14, 16)? * 60;
    let is_one = (1..=12).contains(&month) && (1..=31).contains(&day) && field(11, 13)? < 24 && field(14, 16)? < 60;
    let rest = text.get(17..).filter(|_| is_one && text.get(10..11) == Some("T"))?;
    let digits = rest.find(|c: char| c != '.' && !c.is_ascii_digit()).unwrap_or(rest.len());
    let seconds = rest[..digits].parse().ok().filter(|seconds: &f64| *seconds < 60.0)?;
    let zone = match rest[digits..].split_at_checked(1) {
        Some((sign @ ("+" | "-"), zone)) => {
            let zone = zone.replace(':', "");
            let minutes = zone.get(..2)?.parse::<i64>().ok()? * 60 + zone.get(2..4).map_or(Some(0), |text| text.parse().ok())?;
            if sign == "+" { minutes * 60 } else { -minutes * 60 }
        }
        _ => 0,
    };
    // Days since 1970 of a date, counted from March on.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1 - 719_468;
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let whole = (days * 86_400 + clock - zone) as f64;
    Some(whole + seconds)
}

/// A number with decimals or without: nothing but digits and a point (4.2).
pub(super) fn plain(text: &str) -> Option<f64> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    text.parse().ok().filter(|_| is_plain)
}
