//! A segment as a history remembers it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::hls::playlist::ByteRange;
use crate::model::clock::WallTime;

/// What a segment takes beside its texts, in bytes: itself, its places in the lists, and the allocator's rounding.
const OVERHEAD: usize = 320;
/// The key tags in force together, one for each key format; or other tags of one segment.
pub type Keys = Arc<[Arc<str>]>;

/// What is known of a segment's bytes when it is listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredBytes {
    /// When they outlive their time to live.
    pub until: WallTime,
    /// What tells them from others of that name; `None`: they are not there yet.
    pub etag: Option<u64>,
}

impl From<WallTime> for StoredBytes {
    fn from(until: WallTime) -> Self {
        Self { until, etag: None }
    }
}

/// What is found out of a listed segment later on.
#[derive(Debug, Default)]
pub struct FoundOut {
    etag: OnceLock<u64>,
    is_listed_again: AtomicBool,
    is_passed_over: AtomicBool,
    /// The end of a window of which it was told to be the last, in milliseconds since 1970; 0: of none.
    last_until: AtomicU64,
}

impl Clone for FoundOut {
    fn clone(&self) -> Self {
        let copy = |flag: &AtomicBool| AtomicBool::new(flag.load(Ordering::Relaxed));
        Self {
            etag: self.etag.clone(),
            is_listed_again: copy(&self.is_listed_again),
            is_passed_over: copy(&self.is_passed_over),
            last_until: AtomicU64::new(self.last_until.load(Ordering::Relaxed)),
        }
    }
}

/// A segment as it was listed first.
#[derive(Clone, Debug)]
pub struct Listed {
    /// Its number in the history, which begins with a media sequence number and never goes back.
    pub number: u64,
    /// Its media sequence number in the playlist.
    pub sequence: u64,
    /// The discontinuity sequence number.
    pub discontinuities: u64,
    /// Where it is, as it was written.
    pub uri: Box<str>,
    /// How long it plays.
    pub duration: Duration,
    /// When it begins: by EXT-X-PROGRAM-DATE-TIME, or else by our clock when it was listed.
    pub at: WallTime,
    /// Whether the playlist itself said when.
    pub dated: bool,
    /// Whether that was counted on from where it did (RFC 8216 6.3.3). Neither: it was guessed, and is stated to nobody.
    pub counted: bool,
    /// It does not go on from the segment before it.
    pub discontinuity: bool,
    /// The attributes of EXT-X-MAP, as written.
    pub map: Option<Arc<str>>,
    /// The map is in clear.
    pub clear_map: bool,
    /// The attributes of each EXT-X-KEY in force, as written. Each text is held once for all the segments it is for.
    pub keys: Option<Keys>,
    /// The bytes of the resource that are it; `None`: all.
    pub range: Option<ByteRange>,
    /// When it will have outlived its time to live.
    pub until: WallTime,
    /// When it was listed; `None`: before this process began.
    pub heard: Option<WallTime>,
    /// It never could be read: EXT-X-GAP, or nobody was told of it.
    pub lost: bool,
    /// The target duration that was stated when it was listed, in seconds; zero: none.
    pub target: u64,
    /// The lines above it that say nothing to an origin, as written: date ranges, cues, tiles, what is not known.
    pub tags: Option<Keys>,
    /// What was found out of it since.
    pub found_out: FoundOut,
}

/// When it was heard and what was found out since make no other segment of it.
impl PartialEq for Listed {
    fn eq(&self, other: &Self) -> bool {
        let all =
            |listed: &Self| (listed.number, listed.sequence, listed.discontinuities, listed.duration, listed.at, listed.until);
        let flags = |listed: &Self| [listed.dated, listed.counted, listed.discontinuity, listed.clear_map, listed.lost];
        all(self) == all(other)
            && flags(self) == flags(other)
            && (&self.uri, self.range, self.target) == (&other.uri, other.range, other.target)
            && (&self.map, &self.keys, &self.tags) == (&other.map, &other.keys, &other.tags)
    }
}

impl Listed {
    /// When it ends.
    #[must_use]
    pub fn end(&self) -> WallTime {
        self.at + self.duration
    }

    /// What told its bytes from others of that name, when they were there: another version of them is not what was listed.
    #[must_use]
    pub fn etag(&self) -> Option<u64> {
        self.found_out.etag.get().copied()
    }

    /// Notes that; the first one stands.
    pub fn note_etag(&self, etag: u64) {
        let _ = self.found_out.etag.set(etag);
    }

    /// Whether its name was listed again later: then it may stand for other bytes now.
    #[must_use]
    pub fn is_listed_again(&self) -> bool {
        self.found_out.is_listed_again.load(Ordering::Relaxed)
    }

    pub(super) fn note_listed_again(&self) {
        self.found_out.is_listed_again.store(true, Ordering::Relaxed);
    }

    /// Whether somebody who follows the stream has been told that there is nothing of it: then that stays so (RFC 8216 6.2.1).
    #[must_use]
    pub fn is_passed_over(&self) -> bool {
        self.found_out.is_passed_over.load(Ordering::Relaxed)
    }

    /// Notes that.
    pub fn pass_over(&self) {
        self.found_out.is_passed_over.store(true, Ordering::Relaxed);
    }

    /// Whether somebody has been told that a window until then ends with it, so that nothing is added to that any more.
    #[must_use]
    pub fn is_last_until(&self, end: WallTime) -> bool {
        self.found_out.last_until.load(Ordering::Relaxed) == end.millis()
    }

    /// Notes that; of several windows the first one stands.
    pub fn note_last_until(&self, end: WallTime) {
        let _ = self.found_out.last_until.compare_exchange(0, end.millis(), Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Bytes of memory beside a neighbour with which it may share texts, about. So counted from the one end when it comes and from
    /// the other when it goes, a run of segments counts each text of theirs once.
    pub(super) fn cost(&self, neighbour: Option<&Self>) -> usize {
        let texts =
            self.texts().filter(|text| !neighbour.is_some_and(|other| other.texts().any(|known| Arc::ptr_eq(known, text))));
        let references: usize = self.keys.iter().chain(&self.tags).map(|texts| size_of_val::<[Arc<str>]>(texts)).sum();
        OVERHEAD + self.uri.len() + references + texts.map(|text| text.len()).sum::<usize>()
    }

    /// The texts that it may share with others.
    pub fn texts(&self) -> impl Iterator<Item = &Arc<str>> {
        self.map.iter().chain(self.keys.iter().chain(&self.tags).flat_map(|texts| texts.iter()))
    }

    /// The text of what it is a part of, and which part: what tells its bytes from those of others.
    pub(super) fn name(&self) -> (&str, Option<(u64, u64)>) {
        (&self.uri, self.range.map(|range| (range.start, range.length)))
    }
}
