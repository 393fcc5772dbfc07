//! The date ranges of a playlist that offers delta updates without them: since when each is in it, and which have left it lately.
//!
//! An update tells both by the time of the request (RFC 8216bis 6.2.5.1): a player knows what has been there for longer than the skip
//! boundary, and may not have heard of what has left since.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use crate::hls::playlist::Media;
use crate::hls::skip::{KnownDateRanges, date_range};
use crate::model::clock::Moment;

/// So many of one playlist are known. Of one with more none is left out.
const MOST: usize = 2048;

/// The lines of a version, and what they are called.
#[derive(Debug, Default)]
pub(super) struct ListedDateRanges {
    boundary: Duration,
    lines: Vec<(u64, Box<str>)>,
}

impl ListedDateRanges {
    /// Those of a playlist that offers updates without them; `None`: it does not, or there are too many.
    pub(super) fn of(media: &Media) -> Option<Self> {
        let boundary = media.server_control.can_skip_until.filter(|_| media.server_control.can_skip_date_ranges)?;
        let lines = media.verbatim.others.iter().filter_map(|line| date_range(line));
        let lines: Vec<_> = lines.map(|(line, name)| (line, name.into())).take(MOST + 1).collect();
        (lines.len() <= MOST).then_some(Self { boundary, lines })
    }

    /// Bytes of memory that are kept of it, about.
    pub(super) fn bytes(&self) -> usize {
        self.lines.iter().map(|(_, name)| 2 * super::NAME_BYTES + name.len()).sum()
    }
}

/// What is known of those of one playlist.
#[derive(Debug, Default)]
pub(super) struct DateRanges {
    /// Since when all is known.
    since: Option<Moment>,
    boundary: Duration,
    lines: HashMap<u64, Moment>,
    names: HashSet<Box<str>>,
    removed: Vec<(Box<str>, Moment)>,
}

impl DateRanges {
    /// Takes up a version.
    pub(super) fn follow(&mut self, listed: Option<&ListedDateRanges>, now: Moment) {
        let Some(listed) = listed else {
            *self = Self::default();
            return;
        };
        self.since.get_or_insert(now);
        self.boundary = listed.boundary;
        let known = std::mem::take(&mut self.lines);
        self.lines = listed.lines.iter().map(|(line, _)| (*line, known.get(line).copied().unwrap_or(now))).collect();
        let before = std::mem::take(&mut self.names);
        self.names = listed.lines.iter().map(|(_, name)| name.clone()).collect();
        self.removed.retain(|(name, at)| now.since(*at) <= listed.boundary && !self.names.contains(name));
        self.removed.extend(before.into_iter().filter(|name| !self.names.contains(name)).map(|name| (name, now)));
        // Within one boundary no more may leave than may be in it.
        self.removed.drain(..self.removed.len().saturating_sub(MOST));
    }

    /// What a player knows of them that has heard of the playlist within half the boundary (RFC 8216bis 6.3.7); `None`: it has not been
    /// followed for long enough to say.
    pub(super) fn known(&self, now: Moment) -> Option<KnownDateRanges> {
        let is_within = |at: Moment| now.since(at) <= self.boundary;
        if self.since.is_none_or(is_within) {
            return None;
        }
        let lines = self.lines.iter().filter(|(_, since)| !is_within(**since)).map(|(line, _)| *line).collect();
        let removed = self.removed.iter().filter(|(_, at)| is_within(*at)).map(|(name, _)| name.clone()).collect();
        Some(KnownDateRanges { lines, removed })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hls::texts;
    use crate::model::clock::Clock;
    use proptest::prelude::{any, prop, prop_assert, prop_assert_eq, proptest};

    fn media(ranges: &[String]) -> Media {
        let control = "#EXT-X-SERVER-CONTROL:CAN-SKIP-UNTIL=12,CAN-SKIP-DATERANGES=YES\n";
        texts::media(&texts::listing(&format!("{}{control}{}", texts::head(1), ranges.concat()), "", 1..4))
    }

    fn range(name: u8, more: &str) -> String {
        format!("#EXT-X-DATERANGE:ID=\"{name}\",START-DATE=\"2026-01-02T20:00:00Z\"{more}\n")
    }

    fn line(text: &str) -> u64 {
        date_range(text.trim_end()).unwrap().0
    }

    #[test]
    fn only_what_is_offered_is_known_and_no_more_than_can_be() {
        let many: Vec<_> = (0..=MOST).map(|number| range(0, &format!(",X-N=\"{number}\""))).collect();
        assert!(ListedDateRanges::of(&media(&many)).is_none());
        assert!(ListedDateRanges::of(&media(&many[1..])).is_some());
        let text = texts::listing(&texts::head(1), "", 1..4);
        assert!(ListedDateRanges::of(&texts::media(&text)).is_none());
    }

    proptest! {
        /// Against what versions say at each second, with the whole of them kept.
        #[test]
        fn what_is_known_is_what_stood_there(versions in prop::collection::vec(prop::collection::vec((0..6_u8, any::<bool>()), 0..6), 14..40)) {
            let (clock, mut ranges) = (Clock::manual(), DateRanges::default());
            let text = |(name, is_other): &(u8, bool)| range(*name, if *is_other { ",DURATION=5" } else { "" });
            let texts: Vec<Vec<String>> = versions.iter().map(|version| version.iter().map(text).collect()).collect();
            for (at, version) in texts.iter().enumerate() {
                let listed = ListedDateRanges::of(&media(version));
                ranges.follow(listed.as_ref(), clock.now());
                let known = ranges.known(clock.now());
                prop_assert_eq!(known.is_some(), at > 12);
                if let Some(known) = known {
                    let long: HashSet<u64> = version.iter().filter(|line| texts[at - 13..at].iter().all(|before| before.contains(line)))
                        .map(|text| line(text)).collect();
                    prop_assert_eq!(&known.lines, &long);
                    let name = |text: &String| text.split('"').nth(1).unwrap().to_owned();
                    let now: HashSet<String> = version.iter().map(name).collect();
                    let lately: HashSet<String> = texts[at - 13..at].iter().flatten().map(name).filter(|name| !now.contains(name)).collect();
                    let removed: HashSet<String> = known.removed.iter().map(ToString::to_string).collect();
                    prop_assert_eq!(&removed, &lately);
                    prop_assert!(known.removed.len() == removed.len(), "each once");
                }
                clock.advance(Duration::from_secs(1));
            }
        }
    }
}
