//! Delta updates: a media playlist without what a player has of it already (RFC 8216bis 6.2.5.1).

use std::borrow::Cow;
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::Duration;

use super::playlist::attributes::attributes;
use super::playlist::{self, Media, Playlist, Segment, tag};

/// The protocol version of EXT-X-SKIP (RFC 8216bis 8).
const VERSION: u64 = 9;
/// The same where it stands for date ranges as well.
const VERSION_WITH_DATE_RANGES: u64 = 10;
/// More key formats than anybody offers at once.
const KEY_FORMATS: usize = 8;

/// What a player knows of a playlist's date ranges (RFC 8216bis 6.2.5.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownDateRanges {
    /// The lines that have been in it for longer than its skip boundary, as [`date_range`] has them.
    pub lines: HashSet<u64>,
    /// The names of those that have left it since.
    pub removed: Vec<Box<str>>,
}

/// A line with a date range, as one number, and its name; `None`: it is another one. The same text is the same number in each process.
#[must_use]
pub fn date_range(line: &str) -> Option<(u64, &str)> {
    let (_, list) = tag(line).filter(|(tag, _)| *tag == "-X-DATERANGE")?;
    let name = attributes(list).find(|(name, _)| *name == "ID").map_or("", |(_, name)| name);
    let mut hasher = DefaultHasher::new();
    line.hash(&mut hasher);
    Some((hasher.finish(), name))
}

/// The playlist with EXT-X-SKIP in place of the segments that lie wholly beyond its skip boundary, and of their tags. `None`: it offers
/// no such thing, or there is nothing to leave out; then it is to be sent as it is.
///
/// What is not skipped stays as it was written. What skipped tags have set for the segments behind them is said once more in front of
/// the first of those, so that nothing depends on what a player has kept: its initialisation segment and keys, its date, and where its
/// byte range begins. Date ranges stay, but those that are `known` where that is said.
#[must_use]
pub fn delta(bytes: &[u8], known: Option<&KnownDateRanges>) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(bytes).ok()?;
    let Ok(Playlist::Media(media)) = playlist::parse(bytes) else { return None };
    let skipped = skippable(&media);
    let first = media.segments.get(skipped).filter(|_| skipped > 0)?;
    let lines: Vec<PlaylistLine<'_>> = text.split_inclusive('\n').map(PlaylistLine::read).collect();
    let head = lines.iter().position(|line| line.is_uri() || line.is_of_segment()).unwrap_or(0);
    let cut = lines.iter().enumerate().filter(|(_, line)| line.is_uri()).nth(skipped - 1)?.0 + 1;

    let end = if text.lines().next().is_some_and(|line| text[line.len()..].starts_with("\r\n")) { "\r\n" } else { "\n" };
    let mut made = String::with_capacity(text.len() / 2 + 256);
    let least = known.map_or(VERSION, |_| VERSION_WITH_DATE_RANGES);
    let stays = |line: &PlaylistLine<'_>| {
        known.is_none_or(|known| date_range(line.text).is_none_or(|(it, _)| !known.lines.contains(&it)))
    };
    let has_version = lines.iter().any(|line| line.tag == Some("-X-VERSION"));
    for line in &lines[..head] {
        match line.tag {
            Some("-X-VERSION") => {
                let version = line.value.trim().parse().unwrap_or(0).max(least);
                made.extend(["#EXT-X-VERSION:", &version.to_string(), end]);
            }
            _ if stays(line) => made.push_str(line.raw),
            _ => {}
        }
        if !has_version && line.tag == Some("M3U") {
            made.extend(["#EXT-X-VERSION:", &least.to_string(), end]);
        }
    }
    let mut carried = CarriedTags::default();
    for line in &lines[head..cut] {
        if line.stays() && stays(line) {
            made.push_str(line.raw);
        }
        carried.take(line);
    }
    made.extend(["#EXT-X-SKIP:SKIPPED-SEGMENTS=", &skipped.to_string()]);
    if let Some(known) = known {
        let there: HashSet<&str> = lines.iter().filter_map(|line| date_range(line.text)).map(|(_, name)| name).collect();
        let removed: Vec<&str> = known.removed.iter().map(|name| &**name).filter(|name| !there.contains(name)).collect();
        made.extend([",RECENTLY-REMOVED-DATERANGES=\"", &removed.join("\t"), "\""]);
    }
    made.push_str(end);
    for tag in carried.tags() {
        made.extend([&*tag, end]);
    }
    if let Some(date) = date(&media, skipped) {
        made.extend(["#EXT-X-PROGRAM-DATE-TIME:", &date, end]);
    }
    let (mut is_first, mut has_part) = (true, false);
    for line in &lines[cut..] {
        let complete = if is_first { with_offset(line, first, &mut has_part) } else { None };
        match complete {
            Some(complete) => made.extend([&*complete, end]),
            None if !stays(line) => {}
            None => made.push_str(line.raw),
        }
        is_first &= !line.is_uri();
    }
    Some(made.into_bytes())
}

/// How many segments, the oldest, lie wholly beyond the skip boundary.
fn skippable(media: &Media) -> usize {
    let Some(boundary) = media.server_control.can_skip_until.filter(|_| !media.ended && media.skipped == 0) else { return 0 };
    let mut behind = Duration::ZERO;
    for (index, segment) in media.segments.iter().enumerate().rev() {
        if behind >= boundary {
            return index + 1;
        }
        behind = behind.saturating_add(segment.duration);
    }
    0
}

/// When the first segment that is left begins, where that follows from what is skipped and its own tags don't say it.
fn date(media: &Media, skipped: usize) -> Option<String> {
    let first = media.segments.get(skipped)?;
    if first.program_date_time.is_some() || first.discontinuity {
        return None;
    }
    let mut since = Duration::ZERO;
    for segment in media.segments[..skipped].iter().rev() {
        since = since.saturating_add(segment.duration);
        if let Some(date) = segment.program_date_time {
            return Some((date + since).to_string());
        }
        // Behind a break a date can't be counted on.
        if segment.discontinuity {
            return None;
        }
    }
    None
}

/// A line of the first segment that is left, with the offset which it leaves to a line that was skipped; `None`: it leaves none.
fn with_offset(line: &PlaylistLine<'_>, segment: &Segment, has_part: &mut bool) -> Option<String> {
    match line.tag {
        Some("-X-BYTERANGE") if !line.value.contains('@') => {
            let range = segment.range?;
            Some(format!("#EXT-X-BYTERANGE:{}@{}", range.length, range.start))
        }
        Some("-X-PART") if !std::mem::replace(has_part, true) => {
            let (_, range) =
                attributes(line.value).find(|(name, _)| *name == "BYTERANGE").filter(|(_, range)| !range.contains('@'))?;
            let start = segment.parts.first()?.range?.start;
            let said = format!("BYTERANGE=\"{range}\"");
            Some(line.text.replacen(&said, &format!("BYTERANGE=\"{}@{start}\"", range.trim()), 1))
        }
        _ => None,
    }
}

/// A line as it is written, and as it is read.
struct PlaylistLine<'a> {
    raw: &'a str,
    text: &'a str,
    tag: Option<&'a str>,
    value: &'a str,
}

impl<'a> PlaylistLine<'a> {
    fn read(raw: &'a str) -> Self {
        let text = raw.trim_start_matches('\u{feff}').trim_ascii();
        let (tag, value) = tag(text).map_or((None, ""), |(tag, value)| (Some(tag), value));
        Self { raw, text, tag, value }
    }

    fn is_uri(&self) -> bool {
        self.tag.is_none() && !self.text.is_empty() && !self.text.starts_with('#')
    }

    /// A media segment tag (RFC 8216bis 4.4.4).
    fn is_of_segment(&self) -> bool {
        let Some(tag) = self.tag else { return false };
        matches!(
            tag,
            "INF"
                | "-X-BYTERANGE"
                | "-X-DISCONTINUITY"
                | "-X-KEY"
                | "-X-MAP"
                | "-X-PROGRAM-DATE-TIME"
                | "-X-GAP"
                | "-X-BITRATE"
                | "-X-PART"
        )
    }

    /// A tag of the whole playlist, or one about a time and not about a segment, wherever it stands (RFC 8216bis 4.4.2, 4.4.3, 4.4.5).
    fn stays(&self) -> bool {
        let Some(tag) = self.tag else { return false };
        matches!(
            tag,
            "-X-TARGETDURATION"
                | "-X-MEDIA-SEQUENCE"
                | "-X-DISCONTINUITY-SEQUENCE"
                | "-X-PLAYLIST-TYPE"
                | "-X-I-FRAMES-ONLY"
                | "-X-IMAGES-ONLY"
                | "-X-PART-INF"
                | "-X-SERVER-CONTROL"
                | "-X-INDEPENDENT-SEGMENTS"
                | "-X-START"
                | "-X-DEFINE"
                | "-X-DATERANGE"
                | "-X-PRELOAD-HINT"
                | "-X-RENDITION-REPORT"
        )
    }
}

/// What tags have set for all segments behind them.
#[derive(Default)]
struct CarriedTags<'a> {
    /// The key tags, by their formats.
    keys: Vec<(&'a str, &'a str)>,
    /// The initialisation segment, and the keys it was named under, which may encrypt it (RFC 8216bis 4.4.4.5).
    map: Option<(&'a str, Vec<(&'a str, &'a str)>)>,
    bitrate: Option<&'a str>,
}

impl<'a> CarriedTags<'a> {
    fn take(&mut self, line: &PlaylistLine<'a>) {
        match line.tag {
            Some("-X-MAP") => self.map = Some((line.text, self.keys.clone())),
            Some("-X-BITRATE") => self.bitrate = Some(line.text),
            Some("-X-KEY") => {
                let of = |name| attributes(line.value).find(|(known, _)| *known == name).map(|(_, value)| value);
                if of("METHOD") == Some("NONE") {
                    self.keys.clear();
                    return;
                }
                let format = of("KEYFORMAT").unwrap_or("identity");
                self.keys.retain(|(known, _)| *known != format);
                self.keys.truncate(KEY_FORMATS - 1);
                self.keys.push((format, line.text));
            }
            _ => {}
        }
    }

    /// The tags that set the same.
    fn tags(self) -> Vec<Cow<'a, str>> {
        let mut tags: Vec<Cow<'a, str>> = Vec::new();
        let mut under = Vec::new();
        if let Some((map, keys)) = self.map {
            tags.extend(keys.iter().map(|(_, key)| Cow::Borrowed(*key)));
            tags.push(map.into());
            under = keys;
        }
        if under != self.keys {
            if !under.is_empty() {
                tags.push("#EXT-X-KEY:METHOD=NONE".into());
            }
            tags.extend(self.keys.iter().map(|(_, key)| Cow::Borrowed(*key)));
        }
        tags.extend(self.bitrate.map(Cow::Borrowed));
        tags
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{Strategy, any, prop, prop_assert_eq, proptest};

    const HEAD: &str = "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:2\n#EXT-X-SERVER-CONTROL:CAN-SKIP-UNTIL=12\n#EXT-X-MEDIA-SEQUENCE:100\n";

    fn of(text: &str) -> Option<String> {
        delta(text.as_bytes(), None).map(|made| String::from_utf8(made).unwrap())
    }

    fn media(text: &str) -> Media {
        let Ok(Playlist::Media(media)) = playlist::parse(text.as_bytes()) else { panic!("{text}") };
        media
    }

    fn segments(range: std::ops::Range<u64>) -> String {
        range.map(|n| format!("#EXTINF:2,\ns{n}.m4s\n")).collect()
    }

    #[test]
    fn what_lies_beyond_the_boundary_is_left_out() {
        let whole = HEAD.to_owned() + &segments(100..140);
        let expected = HEAD.replace("VERSION:6", "VERSION:9") + "#EXT-X-SKIP:SKIPPED-SEGMENTS=34\n" + &segments(134..140);
        assert_eq!(of(&whole), Some(expected));
        assert_eq!(of(&whole.replace('\n', "\r\n")).map(|made| made.matches("\r\n").count()), Some(6 + 12));
        // Newer versions stay, and one that is not stated is.
        assert!(of(&whole.replace("VERSION:6", "VERSION:11")).unwrap().contains("VERSION:11\n"));
        assert!(of(&whole.replace("#EXT-X-VERSION:6\n", "")).unwrap().starts_with("#EXTM3U\n#EXT-X-VERSION:9\n"));
    }

    #[test]
    fn who_can_get_no_delta_gets_the_whole() {
        let whole = HEAD.to_owned() + &segments(100..140);
        for text in [
            whole.replace("CAN-SKIP-UNTIL=12", "CAN-BLOCK-RELOAD=YES"),
            whole.clone() + "#EXT-X-ENDLIST\n",
            HEAD.to_owned() + &segments(100..106),
            HEAD.to_owned(),
            whole.replace("CAN-SKIP-UNTIL=12", "CAN-SKIP-UNTIL=90"),
            whole.replace("#EXTINF:2,\ns100.m4s\n", "#EXT-X-SKIP:SKIPPED-SEGMENTS=1\n"),
            "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\na.m3u8\n".to_owned(),
            "no playlist".to_owned(),
        ] {
            assert_eq!(of(&text), None, "{text}");
        }
    }

    #[test]
    fn date_ranges_that_are_known_are_left_out_wherever_they_stand() {
        let range = |name: &str| format!("#EXT-X-DATERANGE:ID=\"{name}\",START-DATE=\"2026-01-02T20:00:02Z\"\n");
        let [head, skipped, kept, new] = ["head", "skipped", "kept", "new"].map(range);
        let whole =
            HEAD.to_owned() + &head + &segments(100..110) + &skipped + &segments(110..138) + &kept + &new + &segments(138..140);
        let known = |names: &[&String]| KnownDateRanges {
            lines: names.iter().map(|line| date_range(line.trim_end()).unwrap().0).collect(),
            removed: vec!["gone".into(), "new".into(), "other".into()],
        };
        let made = |known: &KnownDateRanges| String::from_utf8(delta(whole.as_bytes(), Some(known)).unwrap()).unwrap();
        let begins = HEAD.replace("VERSION:6", "VERSION:10");
        let skip = "#EXT-X-SKIP:SKIPPED-SEGMENTS=34,RECENTLY-REMOVED-DATERANGES=\"gone\tother\"\n";
        let expected = begins.clone() + skip + &segments(134..138) + &new + &segments(138..140);
        assert_eq!(made(&known(&[&head, &skipped, &kept])), expected, "and what is there was not removed");
        let expected = begins + &head + &skipped + skip + &segments(134..138) + &kept + &new + &segments(138..140);
        assert_eq!(made(&known(&[])), expected);
        assert!(made(&KnownDateRanges::default()).contains("RECENTLY-REMOVED-DATERANGES=\"\"\n"), "it may be empty, and is said");
    }

    #[test]
    fn what_was_set_is_said_again_and_what_is_no_segments_stays() {
        let old = "#EXT-X-MAP:URI=\"clear.mp4\"\n#EXT-X-BITRATE:900\n#EXT-X-KEY:METHOD=AES-128,URI=\"k1\"\n#EXT-X-MAP:URI=\"i1.mp4\"\n\
                   #EXT-X-PROGRAM-DATE-TIME:2026-01-02T20:00:00.5Z\n#EXTINF:2,\n#EXT-X-CUE-OUT:30\n0.m4s\n\
                   #EXT-X-DATERANGE:ID=\"ad\",START-DATE=\"2026-01-02T20:00:02Z\"\n# a comment\n#EXTINF:2,\n1.m4s\n\
                   #EXT-X-KEY:METHOD=AES-128,URI=\"k2\"\n#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"skd://k\",KEYFORMAT=\"com.apple\"\n\
                   #EXTINF:2,\n#EXT-X-BYTERANGE:100@0\nall.m4s\n";
        let new = "#EXTINF:2,\n#EXT-X-BYTERANGE:50\nall.m4s\n#EXTINF:4,\n#EXT-X-BYTERANGE:60\nall.m4s\n#EXTINF:4,\nlast.m4s\n\
                   #EXT-X-PART:DURATION=0.5,URI=\"p.m4s\"\n#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"q.m4s\"\n";
        let head = HEAD.replace("VERSION:6", "VERSION:9").replace("=12", "=10");
        let expected = head
            + "#EXT-X-DATERANGE:ID=\"ad\",START-DATE=\"2026-01-02T20:00:02Z\"\n#EXT-X-SKIP:SKIPPED-SEGMENTS=3\n\
               #EXT-X-KEY:METHOD=AES-128,URI=\"k1\"\n#EXT-X-MAP:URI=\"i1.mp4\"\n#EXT-X-KEY:METHOD=NONE\n\
               #EXT-X-KEY:METHOD=AES-128,URI=\"k2\"\n#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"skd://k\",KEYFORMAT=\"com.apple\"\n\
               #EXT-X-BITRATE:900\n#EXT-X-PROGRAM-DATE-TIME:2026-01-02T20:00:06.500Z\n"
            + &new.replacen("#EXT-X-BYTERANGE:50\n", "#EXT-X-BYTERANGE:50@100\n", 1);
        assert_eq!(of(&(HEAD.replace("=12", "=10") + old + new)), Some(expected));
    }

    /// A segment's lines: whether a part, a break, a date, another map, another key, or no key come before it, and its range.
    fn segment() -> impl Strategy<Value = (Vec<u8>, u8)> {
        (prop::collection::vec(0..9u8, 0..3), 1..4u8)
    }

    /// What a player makes of a delta update: the version before without what has gone since, and what the update lists behind that.
    fn merge(whole: &Media, update: &Media) -> Vec<Segment> {
        let skipped = usize::try_from(update.skipped).unwrap();
        let plain = |from: &Media, segment: &Segment| {
            let uris = format!(
                "{} {:?} {:?} {:?}",
                segment.uri,
                segment.map.map(|map| from.verbatim.maps[map].clone()),
                segment.key.map(|key| from.keys[key].clone()),
                segment.protection.map(|all| from.verbatim.protections[all]
                    .iter()
                    .map(|&key| &from.verbatim.keys[key])
                    .collect::<std::collections::BTreeSet<_>>()),
            );
            Segment { uri: uris, map: None, key: None, protection: None, program_date_time: None, ..segment.clone() }
        };
        let old = whole.segments[..skipped].iter().map(|segment| plain(whole, segment));
        old.chain(update.segments.iter().map(|segment| plain(update, segment))).collect()
    }

    /// The date of each segment, as players count it on.
    fn dates(media: &Media) -> Vec<Option<String>> {
        let mut known = None;
        let mut all = Vec::new();
        for segment in &media.segments {
            known = segment.program_date_time.or(known.filter(|_| !segment.discontinuity));
            all.push(known.map(|date| date.to_string()));
            known = known.map(|date| date + segment.duration);
        }
        all
    }

    proptest! {
        #[test]
        fn an_update_and_the_version_before_make_the_whole(
            list in prop::collection::vec(segment(), 8..40),
            until in 4..20u64,
        ) {
            let mut text = HEAD.replace("CAN-SKIP-UNTIL=12", &format!("CAN-SKIP-UNTIL={until}"));
            text += "#EXT-X-MAP:URI=\"i0.mp4\"\n";
            for (n, (tags, duration)) in list.iter().enumerate() {
                for tag in tags {
                    text += &match tag {
                        0 => format!("#EXT-X-PART:DURATION=1,URI=\"p{n}.m4s\"\n"),
                        1 => "#EXT-X-DISCONTINUITY\n".to_owned(),
                        2 => format!("#EXT-X-PROGRAM-DATE-TIME:2026-01-02T20:{:02}:{:02}.250Z\n", n / 60, n % 60),
                        3 => format!("#EXT-X-MAP:URI=\"i{n}.mp4\",BYTERANGE=\"9@{n}\"\n"),
                        4 => format!("#EXT-X-KEY:METHOD=AES-128,URI=\"k{n}\"\n"),
                        5 => "#EXT-X-KEY:METHOD=NONE\n".to_owned(),
                        6 => format!("#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"skd://{n}\",KEYFORMAT=\"f\"\n"),
                        7 => format!("#EXT-X-BYTERANGE:{}{}\n", n + 1, if n == 0 { "@7" } else { "" }),
                        _ => format!("#EXT-X-PART:DURATION=1,URI=\"all.m4s\",BYTERANGE=\"{}{}\"\n", n + 3, if n % 3 == 0 { "@9" } else { "" }),
                    };
                }
                let uri = if tags.contains(&7) { "all.m4s".to_owned() } else { format!("{n}.m4s") };
                text += &format!("#EXTINF:{duration},\n{uri}\n");
            }
            let whole = media(&text);
            let beyond: u64 = list.iter().skip(1).map(|(_, duration)| u64::from(*duration)).sum();
            let Some(made) = of(&text) else {
                prop_assert_eq!(beyond < until, true, "the first one is within the boundary");
                return Ok(());
            };
            let update = media(&made);
            let kept: u64 = list.iter().skip(usize::try_from(update.skipped).unwrap()).map(|(_, duration)| u64::from(*duration)).sum();
            let more = u64::from(list[usize::try_from(update.skipped).unwrap()].1);
            prop_assert_eq!((kept >= until, kept - more < until), (true, true), "no more and no less than the boundary");
            let all: Vec<_> = merge(&whole, &whole);
            prop_assert_eq!(merge(&whole, &update), all, "{}", made);
            prop_assert_eq!(&dates(&whole)[usize::try_from(update.skipped).unwrap()..], dates(&update), "{}", made);
            prop_assert_eq!((update.media_sequence, &update.parts), (whole.media_sequence, &whole.parts));
            prop_assert_eq!(delta(made.as_bytes(), None), None, "there is no delta of a delta");
        }

        #[test]
        fn no_bytes_panic(bytes in any::<Vec<u8>>()) {
            let _ = delta(&bytes, Some(&KnownDateRanges::default()));
        }

        #[test]
        fn no_lines_panic(text in "(#EXTM3U\n|#EXT-X-SERVER-CONTROL:CAN-SKIP-UNTIL=2\n|#EXTINF:2,\n|a.ts\n|#EXT-X-KEY:METHOD=NONE\n|#EXT-X-BYTERANGE:5\n|#EXT-X-VERSION:x\n|\u{feff}|\r|#EXT-X-MAP:URI=\"i\"\n)*") {
            let _ = delta(text.as_bytes(), None);
        }
    }
}
