//! From where public playlists that begin count their discontinuities: those of one stream from one number, as players keep time lines by it (RFC
//! 8216bis 6.2.4). By the clock alone two renditions that begin a moment apart may have two: some players wait for ever then, for the sound of
//! a time line that the picture has not.
//!
//! What the others of its stream list says it, wherever a multivariant playlist names them: after a restart, on another node, and hours later.
//! Encoders write that after the first media playlists: of those what this process remembers, for a minute.

use std::collections::HashMap;
use std::time::Duration;

use ahash::RandomState;
use parking_lot::Mutex;

use crate::hls::normalise::first_breaks;
use crate::model::clock::WallTime;
use crate::model::id::Key;

/// What begins so soon after the first below a prefix belongs together.
const TOGETHER: Duration = Duration::from_secs(60);
/// A step that is taken anew so soon begins the same list: there was no room for it, and the encoder's next version is a segment later.
const SAME: Duration = Duration::from_secs(10);
/// So many playlists begin together at most.
const PLAYLISTS: usize = 4096;

/// Those of a namespace, by the prefix that has them composed.
#[derive(Debug, Default)]
pub(super) struct Beginnings(Mutex<HashMap<String, Beginning, RandomState>>);

#[derive(Debug)]
struct Beginning {
    breaks: u64,
    at: WallTime,
    begun: HashMap<Key, WallTime, RandomState>,
}

impl Beginnings {
    /// The number that a list which begins now is to count from.
    pub(super) fn breaks(&self, prefix: &str, public: &Key, now: WallTime) -> u64 {
        let state = self.0.lock();
        let by_clock = first_breaks(now);
        let Some(beginning) = state.get(prefix).filter(|beginning| now.since(beginning.at) < TOGETHER) else { return by_clock };
        match beginning.begun.get(public) {
            None => beginning.breaks,
            Some(begun) if now.since(*begun) < SAME => beginning.breaks,
            // It was lost: what it showed under that number was another time line.
            Some(_) => by_clock.max(beginning.breaks + 1),
        }
    }

    /// It has begun with that number.
    pub(super) fn begun(&self, prefix: &str, public: &Key, (breaks, now): (u64, WallTime)) {
        let mut state = self.0.lock();
        let new = || Beginning { breaks, at: now, begun: HashMap::default() };
        let beginning = state.entry(prefix.to_owned()).or_insert_with(new);
        if beginning.breaks != breaks || now.since(beginning.at) >= TOGETHER || beginning.begun.len() >= PLAYLISTS {
            *beginning = new();
        }
        beginning.begun.insert(public.clone(), now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_begins_together_counts_from_one_number_and_what_was_lost_from_another() {
        let (beginnings, at) = (Beginnings::default(), |seconds| WallTime::from_seconds(1_767_225_600 + seconds));
        let begin = |prefix: &str, name: &str, seconds: u64| {
            let key = Key::parse(name).unwrap();
            let breaks = beginnings.breaks(prefix, &key, at(seconds));
            beginnings.begun(prefix, &key, (breaks, at(seconds)));
            breaks
        };
        let first = begin("live/", "live/v.m3u8", 15);
        assert_eq!(first, first_breaks(at(15)));
        assert_eq!(begin("live/", "live/a.m3u8", 17), first, "though the clock has another number by then");
        assert_eq!(begin("live/", "live/a.m3u8", 18), first, "the same step once more");
        assert_eq!(begin("other/", "other/a.m3u8", 17), first + 1, "another stream");
        assert_eq!(begin("live/", "live/v.m3u8", 27), first + 1, "it was lost");
        assert_eq!(begin("live/", "live/v.m3u8", 39), first + 2, "and once more");
        assert_eq!(begin("live/", "live/b.m3u8", 200), first_breaks(at(200)));
    }
}
