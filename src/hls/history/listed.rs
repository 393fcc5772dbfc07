//! A segment as a history remembers it.

use std::sync::Arc;
use std::time::Duration;

use crate::hls::playlist::ByteRange;
use crate::model::clock::WallTime;

/// What a segment takes beside its texts, in bytes: itself, its places in the lists, and the allocator's rounding.
const OVERHEAD: usize = 256;
/// The key tags in force together, one for each key format.
pub type Keys = Arc<[Arc<str>]>;

/// A segment as it was listed first.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// It can't be read any more, or never could: EXT-X-GAP, or its name was used again.
    pub lost: bool,
}

impl Listed {
    /// When it ends.
    #[must_use]
    pub fn end(&self) -> WallTime {
        self.at + self.duration
    }

    /// Bytes of memory beside a neighbour with which it may share texts, about. So counted from the one end when it comes and from
    /// the other when it goes, a run of segments counts each text of theirs once.
    pub(super) fn cost(&self, neighbour: Option<&Self>) -> usize {
        let texts =
            self.texts().filter(|text| !neighbour.is_some_and(|other| other.texts().any(|known| Arc::ptr_eq(known, text))));
        let references = self.keys.as_ref().map_or(0, |keys| size_of_val::<[Arc<str>]>(keys));
        OVERHEAD + self.uri.len() + references + texts.map(|text| text.len()).sum::<usize>()
    }

    /// The texts that it may share with others.
    pub fn texts(&self) -> impl Iterator<Item = &Arc<str>> {
        self.map.iter().chain(self.keys.iter().flat_map(|keys| keys.iter()))
    }

    /// The text of what it is a part of, and which part: what tells its bytes from those of others.
    pub(super) fn name(&self) -> (&str, Option<(u64, u64)>) {
        (&self.uri, self.range.map(|range| (range.start, range.length)))
    }
}
