//! From which numbers a list that begins counts its discontinuities.

use crate::model::clock::WallTime;

/// A list that begins counts its discontinuities from a number below this, another one every so many seconds: players keep time lines by it,
/// so that none may stand for two in one show. It has to be small: hls.js 1.7 goes over all numbers below it, again and again.
const FIRST_BREAKS: u64 = 4096;
const SECONDS_TO_A_BREAK: u64 = 16;

/// The number from which a list that begins counts its discontinuities, by the clock.
#[must_use]
pub fn first_breaks(now: WallTime) -> u64 {
    now.seconds() / SECONDS_TO_A_BREAK % FIRST_BREAKS
}

/// From which number a list that begins counts its discontinuities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstBreaks {
    /// From this one.
    At(u64),
    /// So that its newest segment has this one: other lists of its stream have that there, and matching content has matching numbers (RFC 8216bis
    /// 6.2.4).
    UpTo(u64),
}
