//! The numbers of an MPD's segments as they come, and which of them are left out.
//!
//! In a period the numbers of a template follow each other (ISO/IEC 23009-1 5.3.9.5.3): when one has come here, and later a higher one, those between
//! them should have come, too. What was before the first one nobody here knows, nor what another period counts.

use std::ops::Range;
use std::time::Duration;

use super::numbered::SaidNumbers;
use crate::model::clock::Moment;

/// More than so many have not been lost: the encoder counts otherwise from now on. To be without segments for as long is told otherwise.
const MOST: u64 = 64;

/// The numbers of the segments of a template.
#[derive(Clone, Debug)]
pub(super) struct NumberRun {
    said: SaidNumbers,
    /// The highest one that has come, and when.
    highest: Option<(u64, Moment)>,
    /// Names of its segments may be such of another template: nothing follows from them.
    is_unclear: bool,
}

impl NumberRun {
    pub(super) const fn new(said: SaidNumbers) -> Self {
        Self { said, highest: None, is_unclear: false }
    }

    /// Takes up what a version says.
    pub(super) fn follow(&mut self, said: &SaidNumbers) {
        if !self.said.goes_with(said) {
            self.highest = None;
        }
        self.said = said.clone();
    }

    /// A segment has come; hands over the numbers that it has left out. After `patience` without a higher one what comes counts anew.
    pub(super) fn came(&mut self, number: u64, now: Moment, patience: Duration) -> Range<u64> {
        let Some((highest, at)) = self.highest else {
            self.highest = Some((number, now));
            return 0..0;
        };
        // Behind a later one, or once more.
        if number <= highest && now.since(at) <= patience {
            return 0..0;
        }
        self.highest = Some((number, now));
        let behind = highest.saturating_add(1);
        if number.saturating_sub(behind) > MOST { 0..0 } else { behind..number }
    }

    /// Its names are not its own.
    pub(super) fn blur(&mut self) {
        self.is_unclear = true;
    }

    /// Whether there is a segment with this number, by what is said now.
    pub(super) fn has(&self, number: u64) -> bool {
        !self.is_unclear && self.said.has(number)
    }
}
