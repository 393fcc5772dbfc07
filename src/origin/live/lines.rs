//! What a version says of each of its last segments, held against what the version before said.
//!
//! A known number is a known segment (RFC 8216 6.2.2): its URI, duration and discontinuity sequence number stay. An origin hears every
//! version, as nobody further out does. Costs in proportion to what is compared, and that is bounded; what is out of order may cost the
//! square of it.

use std::sync::Arc;
use std::time::Duration;

use ahash::RandomState;

use crate::hls::playlist::{Media, Segment};
use crate::model::event::EventKind;

/// How many of its last segments a version is compared by.
const COMPARED: usize = 64;
/// Durations that are closer are the same, written otherwise.
const SAME: Duration = Duration::from_millis(10);

/// A segment as far as versions are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ComparedLine {
    sequence: u64,
    /// Its URI, as players compare it: without the query; and where in the resource it begins.
    name: u64,
    length: Duration,
    pub(super) discontinuities: u64,
}

impl ComparedLine {
    /// Whether a version with these lines lists this segment under this number as well.
    pub(super) fn is_among(&self, lines: &[Self]) -> bool {
        lines.iter().any(|known| (known.sequence, known.name) == (self.sequence, self.name))
    }
}

/// The last segments of a version, oldest first, one number after the other.
pub(super) type ComparedLines = Arc<[ComparedLine]>;

/// How a version goes on from the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Continuation {
    /// By its numbers.
    ByNumber,
    /// It counts otherwise: what is new in it begins with this number, and what was known has this much more to its number.
    Renumbered { from: u64, by: i64 },
    /// From this number on it lists something else than the version before.
    Replaced { from: u64 },
}

/// What comes of a comparison.
#[derive(Debug)]
pub(super) struct Comparison {
    pub(super) continuation: Continuation,
    pub(super) contradictions: Vec<(EventKind, String)>,
}

/// The last segments of a version.
pub(super) fn of(media: &Media) -> ComparedLines {
    // The same for all versions: they are compared with each other, and with nothing that another process has made.
    let hasher = RandomState::with_seeds(1, 2, 3, 4);
    let from = media.segments.len().saturating_sub(COMPARED);
    let breaks = |segments: &[Segment]| segments.iter().filter(|segment| segment.discontinuity).count() as u64;
    let mut discontinuities = media.discontinuity_sequence.saturating_add(breaks(&media.segments[..from]));
    let lines = media.segments[from..].iter().map(|segment| {
        discontinuities = discontinuities.saturating_add(u64::from(segment.discontinuity));
        let uri = segment.uri.bytes().position(|byte| byte == b'?').map_or(&*segment.uri, |query| &segment.uri[..query]);
        ComparedLine {
            sequence: segment.sequence,
            name: hasher.hash_one((uri, segment.range.map_or(0, |range| range.start))),
            length: segment.duration,
            discontinuities,
        }
    });
    lines.collect()
}

/// How long the segments from this number on play.
pub(super) fn duration_since(lines: &[ComparedLine], number: u64) -> Duration {
    let new = lines.iter().rev().take_while(|line| line.sequence >= number);
    new.fold(Duration::ZERO, |sum, line| sum.saturating_add(line.length))
}

/// So many segments have to be of the same lengths in two lists.
const ALIKE: usize = 3;

/// Whether two lists have segments of the same lengths under the same numbers, the last of those that both have.
pub(super) fn are_the_same_lengths(one: &[ComparedLine], other: &[ComparedLine]) -> bool {
    let (Some(last), Some(of_other)) = (one.last(), other.last()) else { return false };
    let last = last.sequence.min(of_other.sequence);
    // Numbers follow each other in a list.
    let up_to = |lines: &'_ [ComparedLine]| lines.iter().rposition(|line| line.sequence <= last).map_or(0, |at| at + 1);
    let (one, other) = (&one[..up_to(one)], &other[..up_to(other)]);
    let is_same = |(one, other): (&ComparedLine, &ComparedLine)| {
        one.sequence == other.sequence && one.length.abs_diff(other.length) <= SAME
    };
    one.len().min(other.len()) >= ALIKE && one.iter().rev().zip(other.iter().rev()).take(ALIKE).all(is_same)
}

/// Holds a version against the one before it. `are_counted`: the version states a discontinuity sequence number.
pub(super) fn compare(before: &[ComparedLine], after: &[ComparedLine], are_counted: bool) -> Comparison {
    let mut contradictions = Vec::new();
    let common = common(before, after);
    let others = common.iter().filter(|(one, other)| one.name != other.name).count();
    let mut continuation = Continuation::ByNumber;
    if (others > 0 || common.is_empty())
        && let Some((from, by)) = renumbered(before, after)
    {
        continuation = Continuation::Renumbered { from, by };
        let detail = format!(
            "the segments of the version before have other numbers now, {by:+}: players lose their place, and hls.js 1.6 and later stop with a \
             fatal error; EXT-X-MEDIA-SEQUENCE has to grow by as many as have left the list"
        );
        return Comparison { continuation, contradictions: vec![(EventKind::SequenceShifted, detail)] };
    }
    if let Some((_, first)) = common.iter().find(|(one, other)| one.name != other.name) {
        contradictions.push((
            EventKind::SegmentChanged,
            format!(
                "segment {} has another URI than in the version before, and so have {} others: hls.js 1.6 and later stop with a fatal error; \
                 are there two encoders on one name?",
                first.sequence,
                others - 1
            ),
        ));
        // Up to the last one that is the same it was corrected afterwards; what follows is somebody else's.
        let from = common.iter().rev().take_while(|(one, other)| one.name != other.name).last();
        if let Some((_, from)) = from {
            continuation = Continuation::Replaced { from: from.sequence };
        }
    } else if let Some((one, other)) = common.iter().find(|(one, other)| one.length.abs_diff(other.length) > SAME) {
        let detail = format!(
            "segment {} had {} ms in the version before and has {} ms now: all that follows moves in players",
            other.sequence,
            one.length.as_millis(),
            other.length.as_millis()
        );
        contradictions.push((EventKind::SegmentChanged, detail));
    }
    let same = common.iter().filter(|(one, other)| one.name == other.name);
    if let Some((one, other)) = same.clone().find(|(one, other)| one.discontinuities != other.discontinuities) {
        let fatal =
            if are_counted { "hls.js 1.6 and later stop with a fatal error" } else { "players may mix up their time lines" };
        let detail = format!(
            "segment {} had the discontinuity sequence number {} and has {} now: {fatal}; EXT-X-DISCONTINUITY-SEQUENCE has to grow by as many \
             discontinuities as have left the list",
            other.sequence, one.discontinuities, other.discontinuities
        );
        contradictions.push((EventKind::DiscontinuityLost, detail));
    }
    Comparison { continuation, contradictions }
}

/// The segments that both have a number for.
fn common<'a>(before: &'a [ComparedLine], after: &'a [ComparedLine]) -> Vec<(&'a ComparedLine, &'a ComparedLine)> {
    let (Some(first), Some(other)) = (before.first(), after.first()) else { return Vec::new() };
    let skip = |by: u64| usize::try_from(by).unwrap_or(usize::MAX);
    let before = before.iter().skip(skip(other.sequence.saturating_sub(first.sequence)));
    before.zip(after.iter().skip(skip(first.sequence.saturating_sub(other.sequence)))).collect()
}

/// The number from which on the version is new, and what was added to those of the version before, if it lists that under other numbers.
fn renumbered(before: &[ComparedLine], after: &[ComparedLine]) -> Option<(u64, i64)> {
    let (first, last) = (after.first()?, before.last()?);
    // A clip that is played again, and says so.
    if first.sequence == last.sequence.saturating_add(1) && first.discontinuities > last.discontinuities {
        return None;
    }
    let at = (0..before.len()).find(|&at| {
        let pairs = before[at..].iter().zip(after);
        pairs.len() >= std::cmp::min(2, after.len())
            && pairs.clone().all(|(one, other)| one.name == other.name && one.length == other.length)
    })?;
    let by = i128::from(first.sequence) - i128::from(before[at].sequence);
    let by = i64::try_from(by).ok().filter(|by| *by != 0)?;
    Some((first.sequence.saturating_add((before.len() - at) as u64), by))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hls::texts;

    fn lines(head: &str, names: &str) -> ComparedLines {
        let listed = names.chars().map(|name| match name {
            '|' => "#EXT-X-DISCONTINUITY\n".to_owned(),
            name => texts::segment(format!("{name}.ts?x={}", names.len())),
        });
        of(&texts::media(&listed.fold(head.to_owned(), |text, line| text + &line)))
    }

    fn told(before: (u64, &str), after: (u64, &str)) -> (Continuation, Vec<&'static str>) {
        let [before, after] = [before, after].map(|(first, names)| lines(&texts::head(first), names));
        let comparison = compare(&before, &after, false);
        (comparison.continuation, comparison.contradictions.iter().map(|(kind, _)| kind.as_str()).collect())
    }

    #[test]
    fn what_goes_on_contradicts_nothing() {
        for (before, after) in [
            ((1, "abcd"), (2, "bcde")),
            ((1, "abcd"), (1, "abcdefgh")),
            ((1, "abcd"), (9, "ijkl")),
            ((1, "abcd"), (4, "d")),
            ((1, "aaaa"), (2, "aaaa")),
            ((1, "abcd"), (2, "bcd|abcd")),
            // The same clip once more, all at once.
            ((1, "abcd"), (5, "|abcd")),
            ((1, ""), (1, "ab")),
            ((7, "ab"), (7, "")),
        ] {
            assert_eq!(told(before, after), (Continuation::ByNumber, vec![]), "{before:?} {after:?}");
        }
    }

    #[test]
    fn lists_are_alike_by_the_last_segments_that_both_have() {
        let list = |first: u64, names: &str| lines(&texts::head(first), names);
        let alike = |one: (u64, &str), other: (u64, &str)| {
            let (one, other) = (list(one.0, one.1), list(other.0, other.1));
            assert_eq!(are_the_same_lengths(&one, &other), are_the_same_lengths(&other, &one));
            are_the_same_lengths(&one, &other)
        };
        assert!(alike((1, "abcd"), (1, "wxyz")) && alike((1, "abcd"), (2, "wxyz")) && alike((1, "abcdefgh"), (1, "abc")));
        assert!(!alike((1, "abcd"), (3, "wxyz")) && !alike((1, "abcd"), (9, "wxyz")) && !alike((1, "ab"), (1, "ab")));
        assert!(!alike((1, ""), (1, "abcd")) && !alike((1, ""), (1, "")));
        let longer = of(&texts::media(&texts::listing(&texts::head(1), "", 1..6).replace("INF:2,\n4", "INF:3,\n4")));
        assert!(!are_the_same_lengths(&longer, &list(1, "abcde")));
        assert!(are_the_same_lengths(&longer, &list(1, "abc")), "what only one has does not count");
    }

    #[test]
    fn each_contradiction_has_its_name() {
        use Continuation::{ByNumber, Renumbered, Replaced};
        for (before, after, continuation, kind) in [
            ((1, "abcd"), (5, "abcd"), Renumbered { from: 9, by: 4 }, "sequence-shifted"),
            ((1, "abcd"), (2, "abcde"), Renumbered { from: 6, by: 1 }, "sequence-shifted"),
            // Without EXT-X-MEDIA-SEQUENCE.
            ((0, "abcd"), (0, "bcde"), Renumbered { from: 3, by: -1 }, "sequence-shifted"),
            ((1, "abcd"), (2, "wxyz"), Replaced { from: 2 }, "segment-changed"),
            ((1, "abcd"), (1, "abxyz"), Replaced { from: 3 }, "segment-changed"),
            ((1, "abcd"), (1, "axcde"), ByNumber, "segment-changed"),
            ((1, "a|bcd"), (2, "bcde"), ByNumber, "discontinuity-lost"),
        ] {
            assert_eq!(told(before, after), (continuation, vec![kind]), "{before:?} {after:?}");
        }
        let before = lines(&texts::head(1), "abc");
        let longer = texts::listing(&texts::head(1), "", []) + "#EXTINF:2,\na.ts\n#EXTINF:3,\nb.ts\n#EXTINF:2,\nc.ts\n";
        let comparison = compare(&before, &of(&texts::media(&longer)), false);
        assert_eq!(comparison.contradictions[0].0, EventKind::SegmentChanged);
        let counted = |number: u64| lines(&format!("{}#EXT-X-DISCONTINUITY-SEQUENCE:{number}\n", texts::head(1)), "abc");
        let comparison = compare(&counted(7), &counted(3), true);
        assert_eq!(comparison.contradictions[0].0, EventKind::DiscontinuityLost);
        assert!(comparison.contradictions[0].1.contains("fatal"));
        assert!(compare(&counted(7), &counted(7), true).contradictions.is_empty());
    }
}
