//! How a version of a playlist is taken up: what is new in it, when that begins, and how it goes with what other renditions have.

use std::hash::BuildHasher as _;
use std::sync::Arc;
use std::time::Duration;

use super::listed::{FoundOut, Listed, StoredBytes};
use super::texts::{DATE_RANGE, MAX_TEXT, Texts, tags_of};
use super::{History, MAX_SEGMENTS, NO_URI, Step, millis, rounded_up};
use crate::hls::playlist::{Media, PlaylistType, Segment};
use crate::model::clock::WallTime;

/// How far the time of a segment that has none may be from the end of the one before it, in milliseconds, beside two target
/// durations. Uploads come in fits and starts; what is further off did not follow at once.
const STEADY_MS: u64 = 3_000;
/// How far the cuts of renditions may be from each other at the same place: sound is cut where its frames end.
const CUTS_DIFFER: Duration = Duration::from_millis(250);
/// So many segments that no version was heard to list are counted as missing; a longer hole is a new beginning. The first number is believed
/// of dates alone, the second one where as much time has gone by here too: some hours.
const MAX_UNHEARD: u64 = 256;
const MAX_UNHEARD_LONG: u64 = 8192;
/// So many discontinuities more than before are taken from what the playlist or another rendition says.
const MAX_BREAKS: u64 = 64;
/// So many of the last segments are looked at again for bytes that have come since they were listed.
const LOOKED_AT_AGAIN: usize = 16;
/// So many tags of the whole list are remembered.
const HEAD_TAGS: usize = 16;

/// Where a rendition begins or goes on, as the others are asked for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Juncture {
    /// When that is, in the time of the stream, if dates tell.
    pub begins: Option<WallTime>,
    /// It does not play on from what was before it.
    pub breaks: bool,
    /// When this rendition was heard last before.
    pub since: Option<WallTime>,
}

impl History {
    /// Takes up a version of the playlist; hands over what is new. `stored` tells of a URI what is known of its bytes.
    pub fn follow(&mut self, media: &Media, step: Step, now: WallTime, stored: impl Fn(&str) -> StoredBytes) -> Vec<Arc<Listed>> {
        self.follow_beside(media, step, now, stored, |_| None)
    }

    /// The same of one of several renditions. `beside` tells which discontinuity number the others have there ([`Self::goes_with`]): matching content has matching numbers (RFC 8216 6.2.4), also where one rendition
    /// was silent, or came later.
    pub fn follow_beside(
        &mut self,
        media: &Media,
        step: Step,
        now: WallTime,
        stored: impl Fn(&str) -> StoredBytes,
        beside: impl Fn(Juncture) -> Option<u64>,
    ) -> Vec<Arc<Listed>> {
        let since = self.listed.back().and_then(|last| last.heard);
        let at = |begins: Option<WallTime>, breaks: bool| Juncture { begins, breaks, since };
        let step = match step {
            Step::Unknown if self.ends_with(media) => Step::On,
            Step::Unknown => self.judge(media),
            Step::UnknownAndNew if self.judge(media) == Step::On => Step::On,
            Step::UnknownAndNew => Step::Anew,
            known => known,
        };
        if step == Step::Back {
            return Vec::new();
        }
        self.ended = media.ended || media.playlist_type == Some(PlaylistType::Vod);
        self.take_head(media);
        let next = match step {
            Step::On => self.listed.back().map(|last| last.sequence.saturating_add(1)),
            Step::From { sequence, .. } => Some(sequence),
            _ => None,
        };
        let fresh = media.segments.iter().position(|segment| next.is_none_or(|next| segment.sequence >= next));
        let seen = fresh.unwrap_or(media.segments.len());
        if step == Step::On {
            self.look_again(&media.segments[..seen], &stored);
        }
        let Some(fresh) = fresh else {
            self.say_nothing_of_nothing();
            return Vec::new();
        };
        let fresh = fresh.max(media.segments.len().saturating_sub(MAX_SEGMENTS));
        let mut left: Duration = media.segments[fresh..].iter().map(|segment| segment.duration).sum();
        let mut new = Vec::with_capacity(media.segments.len() - fresh);
        let tags = media.segments[..fresh].iter().filter(|segment| segment.discontinuity).count() as u64;
        let mut told = told(&media.segments[..fresh]);
        let mut texts = Texts::new(media, self.listed.back());
        // What the encoder has counted before the first new one.
        let counted = media.discontinuity_sequence.saturating_add(tags);
        let mut crossed = 0;
        if step == Step::On {
            let begins = media.segments[fresh].program_date_time.or(told);
            let unheard = self.unheard(&media.segments[fresh], begins, now, left, &beside);
            if !unheard.is_empty() {
                // What broke in the meantime stands in no list any more, but the encoder and the others have counted it.
                let (before, breaks) =
                    (self.listed.back().map_or(0, |last| last.discontinuities), media.segments[fresh].discontinuity);
                let by_encoder = self.stated.map_or(0, |stated| counted.saturating_sub(stated));
                let by_others = beside(at(begins, breaks)).map_or(0, |number| number.saturating_sub(before + u64::from(breaks)));
                crossed = by_encoder.max(by_others).min(MAX_BREAKS);
                let to = before.saturating_add(crossed);
                let within = |mut listed: Listed| {
                    listed.discontinuities = listed.discontinuities.min(to);
                    listed
                };
                new.extend(unheard.into_iter().map(|listed| self.push(within(listed))));
                crossed = to.saturating_sub(self.listed.back().map_or(0, |last| last.discontinuities));
            }
        }
        let others = &media.verbatim.others;
        // All that the playlist breaks within itself is counted on from its first new segment.
        let mut base = counted;
        if self.listed.is_empty() {
            let begins = media.segments[fresh].program_date_time.or(told);
            let first = media.segments[fresh].discontinuity;
            base = base.max(beside(at(begins, false)).map_or(0, |number| number.saturating_sub(u64::from(first))));
        }
        // A date range that is new and stands with what is not: it was said of what is to come.
        let mut late: Vec<_> = others[..media.segments[fresh].others.start]
            .iter()
            .filter(|line| line.starts_with(DATE_RANGE) && !self.knows(line))
            .collect();
        for (index, segment) in media.segments.iter().enumerate().skip(fresh) {
            told = segment.program_date_time.or(told);
            let before = self.listed.back();
            let breaks = index == fresh
                && before.is_some_and(|last| match step {
                    Step::Anew => true,
                    Step::From { breaks, .. } => breaks,
                    _ => last.sequence.saturating_add(1) != segment.sequence,
                });
            let crossed = if index == fresh { crossed } else { 0 };
            let discontinuity = segment.discontinuity || breaks || crossed > 0;
            let number = match before {
                Some(last) if breaks => {
                    let next = last.discontinuities.saturating_add(1);
                    next.max(beside(at(told, true)).unwrap_or(0)).min(next.saturating_add(MAX_BREAKS))
                }
                Some(last) => last.discontinuities.saturating_add(crossed + u64::from(segment.discontinuity)),
                None => base.saturating_add(u64::from(segment.discontinuity)),
            };
            if discontinuity && before.is_some() {
                self.broke = Some(now);
            }
            let before = self.listed.back();
            let (map, keys) = (texts.map(segment), texts.keys(segment));
            let is_too_long = map == Some(None) || keys == Some(None) || segment.uri.len() > MAX_TEXT;
            let (begins, counts_on) = self.begins(discontinuity, now, left);
            let StoredBytes { until, etag } = stored(&segment.uri);
            let lines = late.drain(..).chain(&others[segment.others.clone()]);
            let listed = Listed {
                number: before.map_or(segment.sequence, |last| last.number.saturating_add(1)),
                sequence: segment.sequence,
                discontinuities: number,
                uri: if segment.uri.len() > MAX_TEXT { Box::from(NO_URI) } else { Box::from(&*segment.uri) },
                duration: segment.duration,
                at: told.unwrap_or(begins),
                dated: segment.program_date_time.is_some(),
                counted: told.is_some() || counts_on,
                discontinuity,
                map: map.flatten(),
                clear_map: segment.clear_map,
                keys: keys.flatten(),
                range: segment.range,
                until,
                heard: Some(now),
                lost: segment.gap || is_too_long,
                target: rounded_up(media.target_duration.unwrap_or_default()),
                tags: tags_of(lines, |line| self.knows(line)),
                found_out: FoundOut::default(),
            };
            if let Some(etag) = etag {
                listed.note_etag(etag);
            }
            left = left.saturating_sub(segment.duration);
            told = told.map(|at| at + segment.duration);
            new.push(self.push(listed));
        }
        let breaks = media.segments[fresh..].iter().filter(|segment| segment.discontinuity).count() as u64;
        self.stated = Some(counted.saturating_add(breaks));
        new
    }

    /// Which discontinuity number another rendition has for what begins there and was heard now: that of this one at that time, by their
    /// dates; else what comes after its last one, whose own break may have been heard already.
    #[must_use]
    pub fn goes_with(&self, other: Juncture, now: WallTime) -> Option<u64> {
        let Juncture { begins, breaks, since } = other;
        let last = self.listed.back()?;
        let begins = begins.filter(|_| last.dated || last.counted).map(|begins| begins + CUTS_DIFFER);
        if let Some(same) = begins.and_then(|begins| self.at_moment(begins)) {
            return Some(same.discontinuities);
        }
        let just_now = Duration::from_secs(self.head.target.max(1)).saturating_mul(3);
        // What lies beyond all that was heard here can be no break that was. Without dates it is one that the other has not heard of, if
        // there is such a one.
        let is_same = |broke: WallTime| since.is_some_and(|since| broke > since) || now.since(broke) <= just_now;
        let has_broken = begins.is_none() && self.broke.is_some_and(is_same);
        Some(last.discontinuities.saturating_add(u64::from(breaks && !has_broken)))
    }

    /// Takes up what a version says of the whole list.
    fn take_head(&mut self, media: &Media) {
        let is_first = !std::mem::replace(&mut self.has_head, true) || self.listed.is_empty();
        let head = &mut self.head;
        (head.i_frames_only, head.images_only) = (media.i_frames_only && !media.images_only, media.images_only);
        head.independent = media.independent && (is_first || head.independent);
        head.version = head.version.max(media.version);
        head.target = head.target.max(rounded_up(media.target_duration.unwrap_or_default()));
        let others = &media.verbatim.others[..media.verbatim.in_head];
        let fits = others.iter().filter(|line| line.len() <= MAX_TEXT).take(HEAD_TAGS);
        if !fits.clone().eq(head.others.iter().map(|known| &**known)) {
            head.others = fits.map(|line| Arc::from(&**line)).collect();
            self.count_said();
        }
    }

    /// Looks for the bytes of the last segments that had none when they were listed.
    fn look_again(&self, seen: &[Segment], stored: impl Fn(&str) -> StoredBytes) {
        let Some(last) = self.listed.back() else { return };
        for segment in seen.iter().rev().take(LOOKED_AT_AGAIN) {
            let back = last.sequence.checked_sub(segment.sequence).and_then(|back| usize::try_from(back).ok());
            let known =
                back.and_then(|back| self.listed.len().checked_sub(back.checked_add(1)?)).and_then(|at| self.listed.get(at));
            let Some(known) = known.filter(|known| *known.uri == *segment.uri && known.etag().is_none()) else { continue };
            if let Some(etag) = stored(&segment.uri).etag {
                known.note_etag(etag);
            }
        }
    }

    /// What lies between the last segment and one whose number leaves a hole, if the encoder went on meanwhile and a version was not
    /// heard: as much time has gone by as these played. One that jumps ahead otherwise has begun anew (RFC 8216 6.2.2 allows no hole).
    /// `left` is how long the new ones play. By dates, each has the discontinuity number that the others have at its time.
    fn unheard(
        &self,
        next: &Segment,
        begins: Option<WallTime>,
        now: WallTime,
        left: Duration,
        beside: impl Fn(Juncture) -> Option<u64>,
    ) -> Vec<Listed> {
        let Some(last) = self.listed.back() else { return Vec::new() };
        let count = next.sequence.saturating_sub(last.sequence.saturating_add(1));
        let usual = millis(last.duration).saturating_mul(count);
        // Before this process began: what has no date begins by the clock that heard it.
        let heard = last.heard.unwrap_or_else(|| last.end());
        // No more are made of a few words than time has made room for.
        let has_gone_by = || millis(now.since(heard)) >= usual / 2;
        let is_believed = count <= MAX_UNHEARD || count <= MAX_UNHEARD_LONG && usual >= count * 100 && has_gone_by();
        if count == 0 || !is_believed || last.duration.is_zero() {
            return Vec::new();
        }
        let dated = begins.filter(|_| last.dated || last.counted);
        let between = dated.map(|begins| begins.millis().saturating_sub(last.end().millis()));
        let went_on = match between {
            Some(between) => between.abs_diff(usual) <= (usual / 4).max(millis(last.duration)) && between > 0,
            None => {
                let usual = usual.saturating_add(millis(left));
                millis(now.since(heard)).abs_diff(usual) <= (usual / 4).saturating_add(millis(last.duration))
            }
        };
        if !went_on {
            return Vec::new();
        }
        let each = Duration::from_millis(between.unwrap_or(usual) / count).min(Duration::from_secs(self.head.target.max(1)));
        let (mut discontinuities, is_dated) = (last.discontinuities, begins.is_some() && (last.dated || last.counted));
        let one = |count: u64| {
            let at = last.end() + each.saturating_mul(u32::try_from(count - 1).unwrap_or(u32::MAX));
            let there = if is_dated { beside(Juncture { begins: Some(at), breaks: false, since: None }).unwrap_or(0) } else { 0 };
            let before = discontinuities;
            discontinuities = before.max(there);
            Listed {
                number: last.number.saturating_add(count),
                sequence: last.sequence.saturating_add(count),
                discontinuities,
                uri: Box::from(NO_URI),
                duration: each,
                at,
                dated: false,
                discontinuity: discontinuities > before,
                range: None,
                heard: Some(now),
                lost: true,
                tags: None,
                found_out: FoundOut::default(),
                ..Listed::clone(last)
            }
        };
        (1..=count).map(one).collect()
    }

    /// Whether a date range was written down.
    fn knows(&self, line: &str) -> bool {
        self.date_ranges.iter().any(|known| **known == *line)
    }

    /// Whether this is the version that the history ends with. Where that was written down, its head and its end were not.
    fn ends_with(&self, media: &Media) -> bool {
        let (Some(last), Some(newest)) = (self.listed.back(), media.segments.last()) else { return false };
        newest.sequence == last.sequence && *newest.uri == *last.uri
    }

    /// Whether a version goes on from what is here. What both list under the same number is then the same segment.
    fn judge(&self, media: &Media) -> Step {
        let (Some(last), Some(newest)) = (self.listed.back(), media.segments.last()) else { return Step::On };
        if newest.sequence > last.sequence {
            let known = media.segments.iter().find(|segment| segment.sequence == last.sequence);
            return if known.is_none_or(|known| *known.uri == *last.uri) { Step::On } else { Step::Anew };
        }
        let same = |known: &Arc<Listed>| known.sequence == newest.sequence && *known.uri == *newest.uri;
        // Where it stands if the count has not begun anew since; and where its name was listed last.
        let by_count = usize::try_from(last.sequence - newest.sequence).ok();
        let by_count =
            by_count.and_then(|back| self.listed.len().checked_sub(back.checked_add(1)?)).and_then(|at| self.listed.get(at));
        let name = (&*newest.uri, newest.range.map(|range| (range.start, range.length)));
        let by_name = self.names.get(&self.hasher.hash_one(name)).and_then(|&place| self.at(place));
        if by_count.into_iter().chain(by_name).any(same) { Step::Back } else { Step::Anew }
    }

    /// When a segment begins of which the playlist does not tell, and whether that is counted on from where it did. `left` is how long
    /// it and those behind it play.
    fn begins(&self, discontinuity: bool, now: WallTime, left: Duration) -> (WallTime, bool) {
        let by_clock = now - left;
        let Some(last) = self.listed.back() else { return (by_clock, false) };
        let follows = last.end();
        if discontinuity {
            return (by_clock, false);
        }
        let tolerance = STEADY_MS.saturating_add(self.head.target.saturating_mul(2_000));
        let is_near = |moment: WallTime| moment.millis().abs_diff(by_clock.millis()) <= tolerance;
        // A clock that told when may be far from this one: then it counts that as much time has gone by here.
        let is_told = last.dated || last.counted;
        let steady = is_near(follows) || is_told && last.heard.is_some_and(is_near);
        if steady { (follows, is_told) } else { (by_clock, false) }
    }
}

/// When the segment after these begins: a playlist that says when once means it of all that follows (RFC 8216 6.3.3).
fn told(segments: &[Segment]) -> Option<WallTime> {
    let mut after = Duration::ZERO;
    for segment in segments.iter().rev() {
        after = after.saturating_add(segment.duration);
        if let Some(date) = segment.program_date_time {
            return Some(date + after);
        }
    }
    None
}
