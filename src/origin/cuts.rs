//! The last playlists that were made for readers, of the past, of what is new and of what is stored compressed: the same one is made once
//! for all who ask at about the same time.
//!
//! A window is rounded to the segments that lie in it, so that windows which differ and list the same are the same. Who asks for one
//! that is being made waits for it. How many are kept, and how long, is bounded.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use parking_lot::Mutex;

use super::OriginError;
use crate::auth::grant::PathRules;
use crate::hls::coding::Coding;
use crate::hls::history::SegmentSpan;
use crate::hls::shift::Uncut;
use crate::model::clock::{Moment, WallTime};
use crate::model::id::Key;
use crate::store::Entry;

/// How long one is good: by then segments may have gone, though none has come.
const GOOD: Duration = Duration::from_secs(1);
/// How many are kept.
const KEPT: usize = 32;
/// Bytes of all of them.
const BYTES: usize = 32 << 20;

/// What is asked for, as far as the playlist depends on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AskedWindow {
    pub(super) playlist: Key,
    /// What the reader may read: what lies elsewhere is not there for him.
    pub(super) prefix: Option<String>,
    pub(super) paths: Option<Arc<PathRules>>,
    pub(super) span: SegmentSpan,
    /// It has a beginning of its own.
    pub(super) has_start: bool,
    /// It has an end, and that is over.
    pub(super) is_closed: bool,
    /// What was listed goes to that end or beyond it.
    pub(super) is_reached: bool,
    /// It was counted from now.
    pub(super) is_relative: bool,
    /// It has what came late.
    pub(super) has_late: bool,
    /// Its end, where something was listed after that: what of it is in the window depends on what was told of that very end.
    pub(super) end: Option<WallTime>,
}

/// A playlist that was made.
#[derive(Clone, Debug)]
pub(super) struct Made {
    pub(super) entry: Arc<Entry>,
    /// When the first of its segments has outlived its time to live.
    pub(super) until: WallTime,
    /// Nothing will be added to it.
    pub(super) settled: bool,
}

type CutOutcome = Result<Made, Uncut>;

/// What is new in a version of a playlist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AskedDelta {
    pub(super) playlist: Key,
    pub(super) etag: HeaderValue,
    /// Without the date ranges that a player knows.
    pub(super) skips_date_ranges: bool,
}

/// A version of a playlist or MPD that is stored in this coding, in clear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AskedClear {
    pub(super) playlist: Key,
    pub(super) etag: HeaderValue,
    pub(super) coding: Coding,
}

/// The windows of one namespace.
pub(super) type Cuts = Makings<AskedWindow, CutOutcome>;
/// The delta updates of one namespace; `None`: it has come out that the playlist offers none.
pub(super) type Deltas = Makings<AskedDelta, Option<Arc<Entry>>>;
/// What is stored compressed in one namespace, in clear; `None`: it can't be unpacked.
pub(super) type Clears = Makings<AskedClear, Option<Arc<Entry>>>;

/// What comes of making a playlist.
pub(super) trait MakingOutcome: Clone {
    /// The bytes of the playlist.
    fn bytes(&self) -> usize;
}

impl MakingOutcome for CutOutcome {
    fn bytes(&self) -> usize {
        self.as_ref().map_or(0, |made| made.entry.body.len())
    }
}

impl MakingOutcome for Option<Arc<Entry>> {
    fn bytes(&self) -> usize {
        self.as_ref().map_or(0, |entry| entry.body.len())
    }
}

/// Those of one kind, in one namespace.
#[derive(Debug)]
pub(super) struct Makings<A, T> {
    slots: Mutex<VecDeque<(A, Arc<MakingSlot<T>>)>>,
}

#[derive(Debug)]
struct MakingSlot<T> {
    /// Held while it is being made.
    made: tokio::sync::Mutex<Option<(Moment, T)>>,
}

impl<T> Default for MakingSlot<T> {
    fn default() -> Self {
        Self { made: tokio::sync::Mutex::new(None) }
    }
}

impl<A, T> Default for Makings<A, T> {
    fn default() -> Self {
        Self { slots: Mutex::default() }
    }
}

impl<T: MakingOutcome> MakingSlot<T> {
    fn bytes(&self) -> usize {
        let made = self.made.try_lock();
        made.ok().and_then(|made| Some(made.as_ref()?.1.bytes())).unwrap_or(0)
    }
}

impl<A: PartialEq, T: MakingOutcome> Makings<A, T> {
    /// The one that is asked for, made now if it has to be. Cancel-safe: who waited for one that is not made after all makes it.
    pub(super) async fn get(
        &self,
        asked: A,
        now: Moment,
        make: impl Future<Output = Result<T, OriginError>>,
    ) -> Result<T, OriginError> {
        let slot = self.slot(asked);
        let mut made = slot.made.lock().await;
        if let Some((at, outcome)) = made.as_ref()
            && now.since(*at) < GOOD
        {
            return Ok(outcome.clone());
        }
        let outcome = make.await?;
        *made = Some((now, outcome.clone()));
        drop(made);
        self.stay_within();
        Ok(outcome)
    }

    /// What is asked for last goes last.
    fn slot(&self, asked: A) -> Arc<MakingSlot<T>> {
        let mut slots = self.slots.lock();
        let known = slots.iter().position(|(known, _)| *known == asked).and_then(|at| slots.remove(at));
        let (asked, slot) = known.unwrap_or_else(|| (asked, Arc::default()));
        slots.push_back((asked, Arc::clone(&slot)));
        if slots.len() > KEPT {
            slots.pop_front();
        }
        slot
    }

    fn stay_within(&self) {
        let mut slots = self.slots.lock();
        let mut bytes: usize = slots.iter().map(|(_, slot)| slot.bytes()).sum();
        while bytes > BYTES
            && let Some((_, slot)) = slots.pop_front()
        {
            bytes -= slot.bytes().min(bytes);
        }
    }

    /// Forgets all: something they list was taken away.
    pub(super) fn clear(&self) {
        self.slots.lock().clear();
    }

    /// Forgets those that are not good any more: nobody has to ask for memory to come back.
    pub(super) fn forget_old(&self, now: Moment) {
        let is_good = |slot: &MakingSlot<T>| match slot.made.try_lock() {
            Ok(made) => made.as_ref().is_some_and(|(at, _)| now.since(*at) < GOOD),
            Err(_) => true,
        };
        self.slots.lock().retain(|(_, slot)| is_good(slot));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::model::clock::Clock;

    fn asked(first: u64) -> AskedWindow {
        let span = SegmentSpan {
            first,
            last: 9,
            begins: WallTime::from_millis(0),
            heard: None,
            listed: 9,
            ends: WallTime::from_millis(0),
            is_to_the_last: true,
        };
        AskedWindow {
            playlist: Key::parse("a.m3u8").unwrap(),
            prefix: None,
            paths: None,
            span,
            has_start: true,
            is_closed: false,
            is_reached: false,
            is_relative: false,
            has_late: false,
            end: None,
        }
    }

    #[tokio::test]
    async fn one_is_made_for_all_who_ask() {
        let (cuts, clock, count) = (Cuts::default(), Clock::manual(), AtomicUsize::new(0));
        let make = async || {
            count.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
            Ok(Err(Uncut::Nothing))
        };
        let get = |first| cuts.get(asked(first), clock.now(), make());
        let (one, other, third) = tokio::join!(get(1), get(1), get(2));
        assert!([one, other, third].iter().all(|outcome| matches!(outcome, Ok(Err(Uncut::Nothing)))));
        assert_eq!(count.load(Ordering::Relaxed), 2);
        clock.advance(GOOD);
        let _ = get(1).await;
        assert_eq!(count.load(Ordering::Relaxed), 3);
        for first in 0..100 {
            let _ = get(first).await;
        }
        assert_eq!(cuts.slots.lock().len(), KEPT);
        cuts.forget_old(clock.now());
        assert_eq!(cuts.slots.lock().len(), KEPT);
        clock.advance(GOOD);
        cuts.forget_old(clock.now());
        assert_eq!(cuts.slots.lock().len(), 0);
    }
}
