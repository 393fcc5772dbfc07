//! Lists that only grow (EXT-X-PLAYLIST-TYPE EVENT): whether all that a version before listed still stands as it was.
//!
//! The last segments of any list are compared one by one. Of a list that may be hours long the rest is known as one number: it says that
//! something is another than before, and not what.

use ahash::RandomState;

use crate::hls::playlist::{Media, PlaylistType, Segment};

/// All of a version that was heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ListedWhole {
    first: u64,
    count: usize,
    hash: u64,
}

/// Of a list that only grows: all of it as one number; and whether what the version `before` listed is another here, though it begins
/// where that began. Costs in proportion to what it lists.
pub(super) fn grown(media: &Media, before: Option<ListedWhole>) -> (Option<ListedWhole>, bool) {
    if media.playlist_type != Some(PlaylistType::Event) || media.skipped > 0 {
        return (None, false);
    }
    let before = before.filter(|before| before.first == media.media_sequence && before.count <= media.segments.len());
    // The same for all versions, as those that are compared one by one.
    let hasher = RandomState::with_seeds(1, 2, 3, 4);
    let (mut hash, mut is_other) = (0, false);
    for (index, segment) in media.segments.iter().enumerate() {
        is_other |= before.is_some_and(|before| before.count == index && before.hash != hash);
        hash = hasher.hash_one((hash, line(media, segment)));
    }
    let count = media.segments.len();
    is_other |= before.is_some_and(|before| before.count == count && before.hash != hash);
    (Some(ListedWhole { first: media.media_sequence, count, hash }), is_other)
}

/// What may not change of a segment (RFC 8216bis 6.2.1): parts go, and queries are for one reader.
fn line<'a>(media: &'a Media, segment: &'a Segment) -> impl std::hash::Hash + 'a {
    let plain = |uri: &'a str| uri.split('?').next();
    let map = segment.map.and_then(|map| media.maps.get(map));
    let key = segment.key.and_then(|key| media.keys.get(key));
    (
        plain(&segment.uri),
        segment.range.map(|range| (range.start, range.length)),
        segment.duration.as_millis(),
        segment.discontinuity,
        segment.program_date_time.map(|date| date.millis()),
        map.map(|map| plain(&map.uri)),
        key.map(|key| plain(key)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hls::texts;
    use proptest::prelude::{any, prop, prop_assert_eq, proptest};

    const EVENT: &str = "#EXT-X-PLAYLIST-TYPE:EVENT\n";

    fn event(lines: &[String]) -> Media {
        texts::media(&(texts::head(7) + EVENT + &lines.concat()))
    }

    fn lines(count: usize) -> Vec<String> {
        (0..count).map(|number| texts::segment(format!("{number}.ts"))).collect()
    }

    #[test]
    fn only_what_only_grows_is_judged() {
        let live = texts::media(&texts::listing(&texts::head(1), "", 1..9));
        assert_eq!(grown(&live, None), (None, false));
        let (whole, _) = grown(&event(&lines(4)), None);
        let later = texts::media(&texts::listing(&(texts::head(8) + EVENT), "", 1..9));
        assert!(!grown(&later, whole).1, "what has left at its front is told otherwise");
        assert!(!grown(&event(&lines(3)), whole).1, "and so is what has become shorter");
    }

    proptest! {
        #[test]
        fn a_change_is_seen_wherever_it_is_and_growth_is_none(
            count in 1..200_usize,
            more in 0..5_usize,
            at in any::<prop::sample::Index>(),
            what in 0..6_u8,
        ) {
            let before = lines(count);
            let (whole, _) = grown(&event(&before), None);
            let mut after = lines(count + more);
            prop_assert_eq!(grown(&event(&after), whole).1, false);
            let at = at.index(count);
            let other = match what {
                0 => before[at].replace(".ts", ".mp4"),
                1 => before[at].replace("INF:2", "INF:1"),
                2 => format!("#EXT-X-DISCONTINUITY\n{}", before[at]),
                3 => format!("#EXT-X-PROGRAM-DATE-TIME:2026-01-02T03:04:05Z\n{}", before[at]),
                4 => format!("#EXT-X-MAP:URI=\"i.mp4\"\n{}", before[at]),
                // What is said to one reader, and parts, may change.
                _ => format!("#EXT-X-PART:DURATION=1,URI=\"p\"\n{}", before[at].replace(".ts", ".ts?x=1")),
            };
            after[at] = other;
            prop_assert_eq!(grown(&event(&after), whole).1, what < 5);
            after.remove(at);
            prop_assert_eq!(grown(&event(&after), whole).1, after.len() >= count);
        }
    }
}
