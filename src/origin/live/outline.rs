//! What following needs of a media playlist, made of it before any lock is taken.
//!
//! Making it costs in proportion to the playlist. What is made is bounded, whatever the playlist lists: so is then all that is done
//! with it under the namespace's lock.

use std::collections::VecDeque;
use std::time::Duration;

use http::HeaderValue;

use super::date_ranges::ListedDateRanges;
use super::grown::{ListedWhole, grown};
use super::lines::{self, ComparedLines, Comparison, Continuation};
use super::names::ListedNames;
use super::segment::ListedSegment;
use crate::hls::fault::Fault;
use crate::hls::playlist::{Media, PlaylistType};
use crate::model::clock::WallTime;
use crate::model::id::Key;

/// How many of its last segments are kept in mind.
pub(super) const RECENT: usize = 64;
/// Objects that are announced or listed in part, the last of them: more than ten segments of as many parts as anybody makes.
const ANNOUNCED: usize = 256;
/// Initialisation segments and content keys of one playlist, the last of them: what is older goes with its own time to live.
const NEEDS: usize = 1024;
/// Of this many whole segments the number of parts is known.
const WITH_PARTS: usize = 4;

/// What the next version is held against.
#[derive(Clone, Debug)]
pub(super) struct KnownVersion {
    /// The number that it was waiting for.
    pub(super) next: u64,
    /// Its last segments.
    pub(super) lines: ComparedLines,
    /// All of them, where it only grows.
    pub(super) whole: Option<ListedWhole>,
}

/// What is about to be there, or is there in part.
#[derive(Debug)]
pub(super) struct AnnouncedName {
    pub(super) key: Key,
    /// It is listed as a part, and is an object of its own.
    pub(super) is_part: bool,
}

/// A version of a media playlist.
#[derive(Debug)]
pub(super) struct Outline {
    pub(super) target: Option<Duration>,
    /// It was composed here: what is done to it is told as it is done.
    pub(super) is_composed: bool,
    pub(super) media_sequence: u64,
    /// The media sequence number that the next whole segment will have.
    pub(super) next: u64,
    /// The partial segments of that next one that are there already.
    pub(super) parts: u64,
    /// How many partial segments the last whole ones had, by media sequence number.
    pub(super) whole_parts: VecDeque<(u64, u64)>,
    pub(super) part_target: Option<Duration>,
    pub(super) blocks: bool,
    /// It says that it has its end.
    pub(super) has_end: bool,
    /// The same, or it is of a type that never changes.
    pub(super) ended: bool,
    /// Its last segments of this namespace that are no gaps, oldest first: of a version that goes on, those that are new in it.
    pub(super) tail: Vec<ListedSegment>,
    pub(super) lists_segments: bool,
    /// Of what is new in it, or of the parts behind, there is any to play.
    pub(super) has_new_media: bool,
    /// The oldest segment it lists, and its number.
    pub(super) oldest: Option<(u64, Key)>,
    /// Initialisation segments and content keys.
    pub(super) needs: Vec<Key>,
    /// The first of these are the initialisation segments, the newest one first.
    pub(super) maps: usize,
    /// Partial segments and preload hints.
    pub(super) announced: Vec<AnnouncedName>,
    /// When the last segment ends, by EXT-X-PROGRAM-DATE-TIME.
    pub(super) edge: Option<WallTime>,
    /// What it says of its last segments, and how that stands to what the version before said.
    pub(super) lines: ComparedLines,
    pub(super) comparison: Comparison,
    /// It states lengths with decimals: what they come to is how far it reaches.
    pub(super) has_decimals: bool,
    pub(super) date_ranges: Option<ListedDateRanges>,
    pub(super) is_event: bool,
    /// All that it lists, where it only grows; and whether what the version before listed is another here.
    pub(super) whole: Option<ListedWhole>,
    pub(super) is_other_within: bool,
    /// It lists nothing at all, and has not its end: so it is with what a reader does not understand, too.
    pub(super) is_blank: bool,
    pub(super) etag: HeaderValue,
    /// What is wrong with it.
    pub(super) faults: Vec<Fault>,
    /// A URI in it that leaves out a viewer's token in its own path.
    pub(super) away: Option<String>,
}

impl Outline {
    /// `known` is of the version before: what is older in one that goes on has been looked at, and to look up its names again is most of
    /// what a playlist would cost.
    pub(super) fn of(names: &ListedNames<'_>, media: &Media, known: Option<KnownVersion>, etag: &HeaderValue) -> Self {
        let next = media.last_sequence().map_or(media.media_sequence, |last| last.saturating_add(1));
        let lines = lines::of(media);
        let before = known.as_ref().map(|known| &*known.lines).unwrap_or_default();
        let (whole, is_other_within) = grown(media, known.as_ref().and_then(|known| known.whole));
        let comparison = lines::compare(before, &lines, media.discontinuity_sequence > 0);
        let known = known.map(|known| known.next).filter(|known| next >= *known).unwrap_or(0);
        let known = match comparison.continuation {
            Continuation::ByNumber => known,
            Continuation::Renumbered { from, .. } | Continuation::Replaced { from } => known.min(from),
        };
        let here = |uri: &str| names.key(uri);
        let segments = media.segments.iter().rev();
        let news = segments.clone().take_while(|segment| segment.sequence >= known);
        let has_new_media = news.clone().any(|segment| !segment.gap) || media.parts.iter().any(|part| !part.gap);
        let listed = news.filter(|segment| !segment.gap).filter_map(|segment| {
            Some(ListedSegment {
                sequence: segment.sequence,
                key: here(&segment.uri)?,
                duration: segment.duration,
                target: media.target_duration.unwrap_or_default(),
                arrived: None,
                ranged: segment.range.is_some(),
            })
        });
        let mut tail: Vec<_> = listed.take(RECENT).collect();
        tail.reverse();
        let hints = media.preload_hints.iter().rev().map(|hint| (&hint.uri, false));
        let parts = media.parts.iter().rev().chain(segments.clone().take(3).flat_map(|segment| segment.parts.iter().rev()));
        let parts = parts.filter(|part| !part.gap).map(|part| (&part.uri, part.range.is_none()));
        let announced = hints.chain(parts).filter_map(|(uri, is_part)| Some(AnnouncedName { key: here(uri)?, is_part }));
        let mut announced: Vec<_> = announced.take(ANNOUNCED).collect();
        announced.reverse();
        announced.dedup_by(|later, first| later.key == first.key);
        let keys = media.keys.iter().rev().filter_map(|uri| here(uri));
        let maps = media.maps.iter().rev().filter_map(|map| here(&map.uri));
        let mut needs: Vec<_> = maps.take(NEEDS / 2).collect();
        needs.dedup();
        let maps = needs.len();
        needs.extend(keys.take(NEEDS / 2));
        needs.dedup();
        Self {
            target: media.target_duration,
            is_composed: false,
            media_sequence: media.media_sequence,
            next,
            parts: media.parts.len() as u64,
            whole_parts: segments.take(WITH_PARTS).map(|segment| (segment.sequence, segment.parts.len() as u64)).collect(),
            part_target: media.part_target,
            blocks: media.server_control.can_block_reload,
            has_end: media.ended,
            ended: media.ended || media.playlist_type == Some(PlaylistType::Vod),
            lists_segments: !media.segments.is_empty(),
            has_new_media,
            oldest: (media.segments.iter().find(|segment| !segment.gap))
                .and_then(|segment| Some((segment.sequence, here(&segment.uri)?))),
            tail,
            needs,
            maps,
            announced,
            edge: edge(media),
            lines,
            comparison,
            has_decimals: media.has_decimals,
            is_blank: media.segments.is_empty() && media.parts.is_empty() && media.skipped == 0 && !media.ended,
            etag: etag.clone(),
            date_ranges: ListedDateRanges::of(media),
            is_event: media.playlist_type == Some(PlaylistType::Event),
            whole,
            is_other_within,
            faults: media.faults.clone(),
            away: names.away().map(|uri| uri.split(['?', '#']).next().unwrap_or_default().to_owned()),
        }
    }

    /// How long the segments from this number on play, of those that are compared.
    pub(super) fn listed_since(&self, number: u64) -> Duration {
        lines::duration_since(&self.lines, number)
    }

    /// Bytes of memory that are kept of it, about.
    pub(super) fn bytes(&self) -> usize {
        let names = self.tail.iter().map(|listed| &listed.key).chain(self.oldest.iter().map(|(_, key)| key));
        let names = names.chain(&self.needs).chain(self.announced.iter().map(|name| &name.key));
        let names: usize = names.map(|name| super::NAME_BYTES + name.as_str().len()).sum();
        names + self.date_ranges.as_ref().map_or(0, ListedDateRanges::bytes)
    }
}

/// When the last segment ends: the last EXT-X-PROGRAM-DATE-TIME and the durations from there on.
fn edge(media: &Media) -> Option<WallTime> {
    let mut after = Duration::ZERO;
    for segment in media.segments.iter().rev() {
        after = after.saturating_add(segment.duration);
        if let Some(date) = segment.program_date_time {
            return Some(date + after);
        }
    }
    None
}
