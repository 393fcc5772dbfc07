//! Two sides of one list, in words: what is at hand for a step, and what comes of it.

use std::time::Duration;

use super::apart::WhyApart;
use super::relation::{FindSegment, Relation};
use super::{Composed, FirstBreaks, SourceVersion};
use crate::model::clock::WallTime;
pub use crate::model::continuity::SideOut;
use crate::model::mended::SwitchReason;

/// A side at this moment.
#[derive(Clone, Copy, Debug)]
pub struct PairSide<'a> {
    /// What was [composed](super::step) of its versions; `None`: nothing yet.
    pub list: Option<&'a SourceVersion>,
    /// When a line was added to that last.
    pub added: Option<WallTime>,
    /// When the segments of its newest lines came, the last one's last: as they were listed, for the same bytes may be stored again.
    pub came: &'a [Option<WallTime>],
    /// The number of its first line that public has not taken or passed over, if that is known.
    pub next: Option<u64>,
    /// The most segments that any of its versions has listed.
    pub window: u64,
    /// Whether its encoder has gone, and how.
    pub out: Option<SideOut>,
}

/// What is at hand for a step.
#[derive(Clone, Copy)]
pub struct PairStep<'a> {
    /// Both sides.
    pub sides: [PairSide<'a>; 2],
    /// What is stored of a public name.
    pub find: FindSegment<'a>,
    /// Now.
    pub now: WallTime,
    /// How long the active side's copy is waited for when the twin's is here; `None`: by the rhythm of both.
    pub grace: Option<Duration>,
    /// The side that somebody wants.
    pub pin: Option<usize>,
    /// The side that is preferred and has been well for long enough to be gone back to.
    pub back: Option<usize>,
    /// The side that the other renditions of the stream have gone to.
    pub together: Option<(usize, WallTime)>,
    /// The worst that the sides' segments stand to each other in the other renditions of the stream, of those that tell.
    pub others: Option<Relation>,
    /// How long after the last side's end the list has its own; `None`: three target durations.
    pub end_hold: Option<Duration>,
    /// The number from which a list that begins counts its discontinuities; `None`: by the clock.
    pub breaks: Option<FirstBreaks>,
}

impl std::fmt::Debug for PairStep<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PairStep").field("sides", &self.sides).field("now", &self.now).finish_non_exhaustive()
    }
}

/// Another side is active.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SideSwitch {
    /// The side that is.
    pub to: usize,
    /// Why.
    pub reason: SwitchReason,
    /// The number of the first line that is taken of it as the active one.
    pub number: u64,
}

/// What has come of a step.
#[derive(Clone, Debug, PartialEq)]
pub struct PairComposed {
    /// The list, as of one side.
    pub composed: Composed,
    /// Of each side, the number of its first line that was not taken.
    pub next: [Option<u64>; 2],
    /// How the sides stand to each other; of what tells no times, as the renditions beside it, where those are aligned.
    pub relation: Relation,
    /// Nothing tells when its segments begin: it says nothing of how the sides stand in other renditions.
    pub is_timeless: bool,
    /// Why they are not aligned.
    pub apart: Option<WhyApart>,
    /// The active side.
    pub active: usize,
    /// Lines taken of each side.
    pub taken: [u64; 2],
    /// Those among them that it has lent.
    pub borrowed: [u64; 2],
    /// The changes of the active side.
    pub switches: Vec<SideSwitch>,
    /// When the newest segment of each side was stored.
    pub newest: [Option<WallTime>; 2],
    /// How much later than its twin a segment comes.
    pub skew: Option<Duration>,
    /// Whether each side has all of its last few segments, and sound.
    pub well: [bool; 2],
}
