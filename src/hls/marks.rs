//! Marks of a stream's moments, in the dialects encoders write: which of those that were said before a list's beginning it still needs.
//!
//! | dialect | a break begins | and ends |
//! | --- | --- | --- |
//! | RFC 8216 4.3.2.7 | `EXT-X-DATERANGE` with `SCTE35-OUT` | by its duration or end, or one with `SCTE35-IN` |
//! | Elemental | `EXT-X-CUE-OUT`, with `EXT-OATCLS-SCTE35` above it | `EXT-X-CUE-IN` |
//! | Adobe | `EXT-X-CUE:TYPE="SpliceOut"` | `EXT-X-CUE:TYPE="SpliceIn"` |
//! | SCTE 35 enhanced | `EXT-X-SCTE35` with `CUE-OUT=YES` | one with `CUE-IN=YES` |
//!
//! What a list repeats as its break goes on (`EXT-X-CUE-OUT-CONT`) stays where it is.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::history::Listed;
use super::playlist::attributes::{attributes, seconds};
use crate::model::clock::WallTime;

/// The date ranges among these lines that are not over at that moment, oldest first. One without an end goes on until another of its
/// ID ends it.
pub(super) fn date_ranges<'a>(marked: impl Iterator<Item = &'a Listed>, at: WallTime) -> Vec<Arc<str>> {
    open_date_ranges(marked.flat_map(|listed| listed.tags.iter().flat_map(|tags| tags.iter())), at)
}

/// The same among any lines: of those that never end the newest [few hundred](OPEN).
pub(super) fn open_date_ranges<'a>(lines: impl Iterator<Item = &'a Arc<str>>, at: WallTime) -> Vec<Arc<str>> {
    let mut open: VecDeque<OpenRange<'a>> = VecDeque::new();
    for line in lines.filter(|line| line.starts_with(DATE_RANGE)) {
        let list = &line[DATE_RANGE.len()..];
        let (id, class, begins) = (value(list, "ID"), value(list, "CLASS"), begins(list));
        let is_over = ends(list).is_some_and(|end| end <= at) || value(list, "SCTE35-IN").is_some();
        // One that says so ends where the next one of its class begins (RFC 8216 4.3.2.7).
        if let Some(next) = begins.filter(|next| class.is_some() && *next <= at) {
            let is_next = |known: &OpenRange<'_>| known.id != id && known.begins.is_some_and(|own| own < next);
            open.retain(|known| !(known.ends_on_next && known.class == class && is_next(known)));
        }
        if is_over {
            open.retain(|known| known.id != id);
        } else if !open.iter().any(|known| known.line == line) {
            let ends_on_next = value(list, "END-ON-NEXT") == Some("YES");
            open.push_back(OpenRange { line, id, class, begins, ends_on_next });
            // Each line is held against all of them: a writer says how many there are.
            if open.len() > OPEN {
                open.pop_front();
            }
        }
    }
    open.into_iter().map(|known| Arc::clone(known.line)).collect()
}

/// So many date ranges are known at once that are not over.
const OPEN: usize = 256;

/// A date range that is not over.
struct OpenRange<'a> {
    line: &'a Arc<str>,
    id: Option<&'a str>,
    class: Option<&'a str>,
    begins: Option<WallTime>,
    /// It is over when another one of its class begins.
    ends_on_next: bool,
}

const DATE_RANGE: &str = "#EXT-X-DATERANGE:";

fn value<'a>(list: &'a str, name: &str) -> Option<&'a str> {
    attributes(list).find(|(known, _)| *known == name).map(|(_, value)| value)
}

/// When a date range begins.
fn begins(list: &str) -> Option<WallTime> {
    value(list, "START-DATE").and_then(WallTime::parse)
}

/// When a date range ends, if it says so.
fn ends(list: &str) -> Option<WallTime> {
    let start = begins(list);
    let length = value(list, "DURATION").or_else(|| value(list, "PLANNED-DURATION")).and_then(seconds);
    value(list, "END-DATE").and_then(WallTime::parse).or_else(|| Some(start? + length?))
}

/// The lines that open the break by cues in which the first segment of a list lies; none, where it lies in none or opens it itself.
pub(super) fn opening<'a>(marked: impl Iterator<Item = &'a Listed>, first: &Listed) -> Vec<String> {
    let mut open: Option<&Listed> = None;
    for listed in marked {
        let lines = listed.tags.as_deref().unwrap_or_default();
        if lines.iter().any(|line| is_out(line)) {
            open = Some(listed);
        } else if lines.iter().any(|line| is_in(line)) {
            open = None;
        }
    }
    let own = first.tags.as_deref().unwrap_or_default();
    let Some(open) = open.filter(|_| !own.iter().any(|line| is_out(line) || is_in(line))) else { return Vec::new() };
    let elapsed = first.at.since(open.at);
    let lines = open.tags.as_deref().unwrap_or_default();
    let lengths = || lines.iter().filter(|line| is_out(line)).filter_map(|line| Some((line, length(line)?)));
    if lengths().any(|(_, (_, length))| length <= elapsed) {
        return Vec::new();
    }
    let cues = lines.iter().filter(|line| !line.starts_with(DATE_RANGE) && super::playlist::is_mark(line));
    let left = |line: &Arc<str>| match length(line).filter(|_| is_out(line)) {
        Some((place, length)) => {
            let left = length.saturating_sub(elapsed).as_secs_f64();
            format!("{}{left:.3}{}", &line[..place.start], &line[place.end..])
        }
        None => line.to_string(),
    };
    cues.map(left).collect()
}

fn is_out(line: &str) -> bool {
    let (tag, list) = line.split_once(':').unwrap_or((line, ""));
    match tag {
        "#EXT-X-CUE-OUT" => true,
        "#EXT-X-CUE" => value(list, "TYPE") == Some("SpliceOut"),
        "#EXT-X-SCTE35" => value(list, "CUE-OUT") == Some("YES"),
        _ => false,
    }
}

fn is_in(line: &str) -> bool {
    let (tag, list) = line.split_once(':').unwrap_or((line, ""));
    match tag {
        "#EXT-X-CUE-IN" => true,
        "#EXT-X-CUE" => value(list, "TYPE") == Some("SpliceIn"),
        "#EXT-X-SCTE35" => value(list, "CUE-IN") == Some("YES"),
        _ => false,
    }
}

/// How long the break of a cue is to be, and where in its line that stands: as an attribute or alone.
fn length(line: &str) -> Option<(std::ops::Range<usize>, Duration)> {
    let list = line.find(':')? + 1;
    let place = match line[list..].find("DURATION=") {
        Some(at) => {
            let from = list + at + "DURATION=".len();
            let quote = usize::from(line[from..].starts_with('"'));
            let end = line[from + quote..].find(['"', ',', ' ']).map_or(line.len(), |end| from + quote + end);
            from + quote..end
        }
        None => list..line[list..].find(',').map_or(line.len(), |end| list + end),
    };
    let length = seconds(&line[place.clone()])?;
    Some((place, length))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hls::history::{History, Step};
    use crate::hls::rules;
    use crate::hls::shift::{CutSpec, Presence, Window, cut};
    use crate::hls::texts::media;
    use crate::model::clock::WallTime;

    const T0: u64 = 1_767_225_600_000;

    /// However many a writer opens, each line is held against a few hundred: the time of two goes as their number does.
    #[test]
    fn date_ranges_that_never_end_are_known_up_to_a_number_the_newest_ones() {
        let lines: Vec<Arc<str>> = (0..100_000)
            .map(|id| {
                Arc::from(format!("#EXT-X-DATERANGE:ID=\"{id}\",CLASS=\"c{}\",START-DATE=\"2026-01-01T00:00:00Z\"", id % 7))
            })
            .collect();
        let open = open_date_ranges(lines.iter(), WallTime::from_millis(T0));
        assert_eq!(open, lines[lines.len() - OPEN..]);
    }

    /// Eight two-second segments with these lines above the third, and a window from within the fifth on.
    fn clip(head: &str, third: &str) -> String {
        let mut text =
            format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n{head}#EXT-X-PROGRAM-DATE-TIME:{}\n", WallTime::from_millis(T0));
        for number in 0..8 {
            text += &format!("{}#EXTINF:2,\n{number}.ts\n", if number == 2 { third } else { "" });
        }
        let mut history = History::default();
        let now = WallTime::from_millis(T0 + 16_000);
        history.follow(&media(&text), Step::Unknown, now, |_| WallTime::from_millis(u64::MAX / 2).into());
        let window = Window { start: Some(WallTime::from_millis(T0 + 8_500)), end: None };
        let stretch = history.stretch(window.start, window.end);
        let made = cut(&stretch, CutSpec { window, ..CutSpec::default() }, now, |_| Presence::Here).unwrap().text;
        assert_eq!(rules::alone(&made), vec![], "{made}");
        made
    }

    #[test]
    fn a_clip_within_a_break_opens_it_in_its_dialect() {
        for (said, opens) in [
            ("#EXT-OATCLS-SCTE35:/DAl\n#EXT-X-CUE-OUT:30\n", "#EXT-OATCLS-SCTE35:/DAl\n#EXT-X-CUE-OUT:26.000\n"),
            ("#EXT-X-CUE-OUT:DURATION=30.5\n", "#EXT-X-CUE-OUT:DURATION=26.500\n"),
            ("#EXT-X-CUE-OUT\n", "#EXT-X-CUE-OUT\n"),
            ("#EXT-X-CUE:TYPE=\"SpliceOut\",ID=\"1\",DURATION=30\n", "#EXT-X-CUE:TYPE=\"SpliceOut\",ID=\"1\",DURATION=26.000\n"),
            (
                "#EXT-X-SCTE35:CUE=\"/D\",CUE-OUT=YES,DURATION=\"30\"\n",
                "#EXT-X-SCTE35:CUE=\"/D\",CUE-OUT=YES,DURATION=\"26.000\"\n",
            ),
            (
                "#EXT-X-DATERANGE:ID=\"a\",START-DATE=\"2026-01-01T00:00:04Z\",DURATION=30,SCTE35-OUT=0xFC\n",
                "#EXT-X-DATERANGE:ID=\"a\",START-DATE=\"2026-01-01T00:00:04Z\",DURATION=30,SCTE35-OUT=0xFC\n",
            ),
        ] {
            let made = clip("", said);
            assert!(
                made.contains(&format!("{opens}#EXT-X-PROGRAM-DATE-TIME:2026-01-01T00:00:08.000Z\n#EXTINF:2.000000,\n4.ts\n")),
                "{made}"
            );
        }
    }

    #[test]
    fn what_is_over_is_not_opened() {
        for said in [
            "#EXT-X-CUE-OUT:4\n",
            "#EXT-X-CUE-IN\n",
            "#EXT-X-SPLICEPOINT-SCTE35:/D\n",
            "#EXT-X-DATERANGE:ID=\"a\",START-DATE=\"2026-01-01T00:00:04Z\",DURATION=4\n",
            "#EXT-X-DATERANGE:ID=\"a\",CLASS=\"c\",START-DATE=\"2026-01-01T00:00:04Z\",END-ON-NEXT=YES\n\
             #EXT-X-DATERANGE:ID=\"b\",CLASS=\"c\",START-DATE=\"2026-01-01T00:00:05Z\",DURATION=1\n",
        ] {
            let made = clip("", said);
            assert!(!made.contains("CUE") && !made.contains("SCTE35") && !made.contains("DATERANGE"), "{made}");
        }
    }

    #[test]
    fn what_an_encoder_wrote_stays() {
        let made = clip("#EXT-X-IMAGES-ONLY\n#EXT-X-UNHEARD-OF:1\n#EXT-X-INDEPENDENT-SEGMENTS\n#EXT-X-VERSION:7\n", "");
        for line in ["#EXT-X-IMAGES-ONLY\n", "#EXT-X-UNHEARD-OF:1\n", "#EXT-X-INDEPENDENT-SEGMENTS\n", "#EXT-X-VERSION:7\n"] {
            assert!(made.contains(line), "{line}: {made}");
        }
        assert!(!made.contains("I-FRAMES-ONLY"), "pictures are no key frames");
    }
}
