//! A playlist that stays legal whatever its encoder does.
//!
//! An encoder that restarts counts from 0 again, reuses names, lets its target duration wander, and loses segments: each of these
//! stops players for good (RFC 8216 6.2.1, 6.2.2). Here the versions it writes become one list that only grows at its end and goes at
//! its front. A pure step: what was composed before, a version, what is stored of it and the time -> what is composed now. Nothing is
//! remembered between steps but the composed playlist and its [`Continuity`], which are kept together.
//!
//! | file | duty |
//! | --- | --- |
//! | [`blocks`] | a playlist cut into pieces whose join it is |
//! | [`list`] | its lines, each with all that is in force for it |
//! | [`composer`] | a list that goes on |
//! | [`first`] | from which numbers a list that begins counts |
//! | [`fit`] | how a version stands to what was composed before |
//! | [`left`] | why a version is left as it came |
//! | [`sound`] | what means nothing, and what stands in its place |
//! | [`ranges`] | date ranges, each ID for one moment |
//! | [`names`] | what a segment is called in public |
//! | [`pair`] | of two lists, which one's line comes next |
//! | [`relation`] | their lines with their times |
//! | [`agree`] | how two lists stand to each other, by their newest segments |
//! | [`apart`] | why they are not aligned, for who has to mend it |
//! | [`sides`] | the words of both |
//!
//! Invariants: a line that has been served never changes. The target duration never falls, no number goes back. What is listed was here
//! when it was listed, or is a gap.

mod agree;
mod apart;
mod blocks;
mod composer;
mod first;
mod fit;
mod left;
mod list;
pub mod names;
mod pair;
#[cfg(test)]
mod pair_events;
#[cfg(test)]
mod pair_table;
#[cfg(test)]
mod pair_tests;
#[cfg(test)]
mod pair_world;
mod ranges;
mod relation;
#[cfg(test)]
mod relation_tests;
mod sides;
mod sound;
#[cfg(test)]
mod table;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

pub use self::apart::{WhyApart, stands};
#[cfg(any(test, fuzzing))]
pub(crate) use self::blocks::cut;
use self::composer::Composer;
pub use self::first::{FirstBreaks, first_breaks};
pub use self::left::LeftAlone;
use self::list::{SegmentLine, SegmentList};
pub use self::pair::pair_step;
use self::relation::LOOKED_AT;
pub use self::relation::{FindSegment, Relation, SideSegment};
pub use self::sides::{PairComposed, PairSide, PairStep, SideOut, SideSwitch};
use super::playlist::attributes::quoted_uris;
use crate::model::clock::WallTime;
use crate::model::continuity::{Continuity, MediaTime};
use crate::model::mended::Mended;

/// No segment is taken for too long that is no longer than that.
const LONG: Duration = Duration::from_secs(60);

/// What the store knows of a URI in a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// What it is called in public, without its tag.
    pub plain: String,
    /// Where it is.
    pub place: NamedPlace,
}

impl Named {
    /// How long its media lasts, if its bytes tell, and no longer than this or a minute: a clock has jumped there.
    fn lasts(&self, longest: Duration) -> Option<Duration> {
        let NamedPlace::Here(StoredSegment { begins: Some(begins), ticks, .. }) = &self.place else { return None };
        let micros = u128::from(*ticks) * 1_000_000 / u128::from(begins.scale.max(1));
        Some(Duration::from_micros(u64::try_from(micros).ok()?)).filter(|lasts| !lasts.is_zero() && *lasts <= longest.max(LONG))
    }
}

/// Where a named object is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamedPlace {
    /// Here.
    Here(StoredSegment),
    /// It should be here, and is not.
    Absent,
    /// On some other server.
    Elsewhere,
}

/// A segment that is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredSegment {
    /// What it is called in public, with its tag.
    pub uri: String,
    /// When it was stored.
    pub at: WallTime,
    /// Where its media begins and how long it is, in ticks, if its bytes tell.
    pub begins: Option<MediaTime>,
    /// The same.
    pub ticks: u64,
}

/// A version that an encoder has written.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceVersion(SegmentList);

impl SourceVersion {
    /// Reads one.
    ///
    /// # Errors
    /// [`LeftAlone`].
    pub fn read(text: &str) -> Result<Self, LeftAlone> {
        SegmentList::read_encoders(text).map(Self)
    }

    /// Reads one that was [composed](step).
    ///
    /// # Errors
    /// [`LeftAlone`].
    pub fn read_composed(text: &str) -> Result<Self, LeftAlone> {
        SegmentList::read(text).map(Self)
    }

    /// Reads one of type VOD as the last version of a live list: it has its end, and under its number what `before` has listed last.
    /// What lies before that version's first segment is left out.
    ///
    /// # Errors
    /// [`LeftAlone`]: of type VOD, too, where it is something else.
    pub fn read_last(text: &str, before: &Self) -> Result<Self, LeftAlone> {
        let (before, mut list) = (&before.0, SegmentList::read_typed(text)?);
        let goes_on = before.lines.last().zip(before.end().checked_sub(1).and_then(|last| list.at(last)));
        if !list.ended || goes_on.is_none_or(|(known, own)| known.uri != own.uri) {
            return Err(LeftAlone::Vod);
        }
        let over = before.first.saturating_sub(list.first);
        list.lines.drain(..usize::try_from(over).map_err(|_| LeftAlone::Vod)?);
        list.first += over;
        Ok(Self(list))
    }

    /// The map of its newest segment, as it is written.
    #[must_use]
    pub fn newest_map(&self) -> Option<&str> {
        self.0.lines.last().and_then(SegmentLine::map_uri)
    }

    /// What its last few lines name: segments and their maps.
    pub fn names(&self, most: usize) -> impl Iterator<Item = &str> {
        let lines = &self.0.lines[self.0.lines.len().saturating_sub(most)..];
        lines.iter().flat_map(|line| [Some(line.uri.as_str()), line.map_uri()]).flatten()
    }

    /// Whether it has its end.
    #[must_use]
    pub const fn is_ended(&self) -> bool {
        self.0.ended
    }

    /// How many segments it lists.
    #[must_use]
    pub fn length(&self) -> usize {
        self.0.lines.len()
    }

    /// Its target duration.
    #[must_use]
    pub const fn target(&self) -> Duration {
        Duration::from_secs(self.0.target)
    }
}

/// What is at hand for a step.
#[derive(Clone, Copy)]
pub struct ComposeStep<'a> {
    /// The version.
    pub version: &'a SourceVersion,
    /// When it was written.
    pub heard: WallTime,
    /// What has come of it so far.
    pub standing: VersionStanding,
    /// What is stored of a URI in it.
    pub find: &'a dyn Fn(&str) -> Named,
    /// Now.
    pub now: WallTime,
    /// How long after the encoder's end the list has its own; `None`: three target durations.
    pub end_hold: Option<Duration>,
    /// So many lines stay at least, where there have been as many.
    pub least: usize,
    /// The number from which a list that begins counts its discontinuities; `None`: by the clock.
    pub breaks: Option<FirstBreaks>,
}

/// What has come of a version so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VersionStanding {
    /// Nothing: it has just been written.
    New,
    /// It was passed over. It may be understood when more has come.
    PassedOver,
    /// It was believed. It is not judged once more by what has been stored since: names are written over before a playlist says so.
    Believed,
}

/// What has come of a step.
#[derive(Clone, Debug, PartialEq)]
pub struct Composed {
    /// The playlist.
    pub text: String,
    /// How it goes on.
    pub continuity: Continuity,
    /// What was done that the encoder did not.
    pub mended: Vec<Mended>,
    /// After this long it is to be looked at again, unless something happens before.
    pub again: Option<Duration>,
    /// When the segments of the lines came that were added: of each line, if it has one and that is known.
    pub came: Vec<Option<WallTime>>,
    /// What has come of the version.
    pub standing: VersionStanding,
}

impl Composed {
    /// When the segments of its newest lines came, the last one's last; `before`: those of the list before.
    #[must_use]
    pub fn all_came(&self, before: &[Option<WallTime>]) -> Vec<Option<WallTime>> {
        let all = before.iter().chain(&self.came).copied();
        all.skip((before.len() + self.came.len()).saturating_sub(LOOKED_AT)).collect()
    }
}

/// Takes a step. `before` is what was composed before, if it is still there. `None`: there is nothing to be listed yet.
#[must_use]
pub fn step(before: Option<(&str, Continuity)>, step: &ComposeStep<'_>) -> Option<Composed> {
    let version = &step.version.0;
    let mut named: Vec<Named> = version.lines.iter().map(|line| step.named(line)).collect();
    let known = before.and_then(|(text, continuity)| Some((SegmentList::read(text).ok()?, continuity)));
    // What was made of it is lost.
    let is_again = known.is_none() && step.standing == VersionStanding::Believed;
    // Nor was that of one which has been passed over till now.
    if is_again || step.standing == VersionStanding::PassedOver {
        leave_out_what_was_overwritten(&mut named, step.heard);
    }
    let mut composer = match known {
        Some((list, continuity)) => Composer::on(list, continuity),
        None => Composer::begin(version, step.now, step.breaks),
    };
    composer.take(version, &named, step)?;
    let mut composed = composer.finish(version.ended, (step.now, step.end_hold));
    if is_again {
        let newest = composed.came.iter().flatten().fold(step.heard, |newest, came| newest.max(*came));
        (composed.continuity.heard, composed.continuity.added) = (step.heard, newest.min(step.now));
    }
    Some(composed)
}

/// The end of a list whose encoder has said that it is over, by the list alone: who heard that version may be gone. Where its time has not come
/// yet it is the list as it was, with when to look [again](Composed::again). `None`: it has its end, or goes on.
#[must_use]
pub fn end((text, continuity): (&str, Continuity), now: WallTime, end_hold: Option<Duration>) -> Option<Composed> {
    continuity.ended?;
    let list = SegmentList::read(text).ok().filter(|list| !list.ended)?;
    Some(Composer::on(list, continuity).finish(true, (now, end_hold)))
}

/// A name that has been written over since its version was heard stands for another segment than that line meant: an encoder that began again
/// has stored it, and has not listed it yet. The next one to come is no such name: all that stand before it in the version have come before.
fn leave_out_what_was_overwritten(named: &mut [Named], heard: WallTime) {
    let mut earliest = WallTime::from_millis(u64::MAX);
    for named in named.iter_mut().rev() {
        let NamedPlace::Here(StoredSegment { at, .. }) = named.place else { continue };
        if at > heard && at > earliest {
            named.place = NamedPlace::Absent;
        } else {
            earliest = earliest.min(at);
        }
    }
}

impl std::fmt::Debug for ComposeStep<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ComposeStep").field("heard", &self.heard).field("standing", &self.standing).finish_non_exhaustive()
    }
}

impl ComposeStep<'_> {
    fn is_new(&self) -> bool {
        self.standing == VersionStanding::New
    }

    /// What is stored of a line. It is here when its map is, too; one that is a gap needs nothing.
    fn named(&self, line: &SegmentLine) -> Named {
        let named = (self.find)(&line.uri);
        if line.gap {
            return Named { place: NamedPlace::Elsewhere, ..named };
        }
        let map = line.map.as_ref().and_then(|(map, _)| uri_of(map));
        let lacks_map = map.is_some_and(|uri| (self.find)(uri).place == NamedPlace::Absent);
        if lacks_map && named.place != NamedPlace::Elsewhere { Named { place: NamedPlace::Absent, ..named } } else { named }
    }

    /// An attribute list with its URI as it is called in public.
    fn mapped(&self, list: &Arc<str>) -> Arc<str> {
        let Some(uri) = uri_of(list) else { return Arc::clone(list) };
        let named = (self.find)(uri);
        let public = match named.place {
            NamedPlace::Here(stored) => stored.uri,
            NamedPlace::Absent => named.plain,
            NamedPlace::Elsewhere => return Arc::clone(list),
        };
        let at = uri.as_ptr() as usize - list.as_ptr() as usize;
        Arc::from([&list[..at], &public, &list[at + uri.len()..]].concat())
    }
}

/// The URI of an attribute list.
fn uri_of(list: &str) -> Option<&str> {
    let tagged = format!("#:{list}");
    let place = quoted_uris(&tagged).next()?;
    list.get(place.start - 2..place.end - 2)
}
