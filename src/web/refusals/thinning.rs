//! Thins out lines about refusals, so that nobody can flood the log: of each kind of refusal the first ones are told, and then how many
//! more there were, once in a while.
//!
//! Of a kind are those from one network, for one reason, of one key, and all reads or all writes. Invariant: what is kept is bounded,
//! and so are the lines in a second, whoever asks from wherever.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::time::Duration;

use parking_lot::Mutex;

use crate::auth::grant::KeyId;
use crate::model::clock::{Clock, Moment};
use crate::web::problem::code::Code;

/// How often it is told how many more there were.
pub(super) const INTERVAL: Duration = Duration::from_secs(60);
/// After this long without one it is told in full again.
const QUIET: Duration = Duration::from_secs(600);
/// How many kinds are remembered.
const ALIKE: usize = 1024;
/// How many lines there may be in a second, of all kinds.
const LINES: u32 = 50;

/// What refusals have in common that are told of together. The network is nobody's where too many come at once.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::web) struct Alike {
    pub(super) network: Option<IpAddr>,
    pub(super) code: Code,
    pub(super) key_id: Option<KeyId>,
    pub(super) is_read: bool,
}

/// What lines are thinned out by.
pub(in crate::web) trait ThinnedKind: Clone + Eq + Hash {
    /// The same of anybody, where too many come at once.
    fn of_anybody(self) -> Self;
}

impl ThinnedKind for Alike {
    fn of_anybody(self) -> Self {
        Self { network: None, key_id: None, ..self }
    }
}

/// What to do about one more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Told<K = Alike> {
    /// Write a line.
    Line,
    /// Write none now, and after [`INTERVAL`] how many there were.
    Later(K),
    /// It is counted, and will be told with others.
    Counted,
}

/// Knows what has been told.
#[derive(Debug)]
pub(in crate::web) struct Thinning<K = Alike> {
    clock: Clock,
    seen: Mutex<SeenKinds<K>>,
}

#[derive(Debug)]
struct SeenKinds<K> {
    kinds: HashMap<K, KindCount>,
    second: Option<Moment>,
    lines: u32,
}

#[derive(Debug)]
struct KindCount {
    /// How many more are told one by one.
    left: u32,
    untold: u64,
    last: Moment,
}

impl<K: ThinnedKind> Thinning<K> {
    pub(in crate::web) fn new(clock: Clock) -> Self {
        Self { clock, seen: Mutex::new(SeenKinds { kinds: HashMap::new(), second: None, lines: 0 }) }
    }

    /// One more. `first`: how many of its kind are told one by one.
    pub(super) fn one_more(&self, kind: K, first: u32) -> Told<K> {
        let now = self.clock.now();
        let mut seen = self.seen.lock();
        let SeenKinds { kinds, second, lines } = &mut *seen;
        if second.is_none_or(|second| now.since(second) >= Duration::from_secs(1)) {
            (*second, *lines) = (Some(now), 0);
        }
        if kinds.len() >= ALIKE && !kinds.contains_key(&kind) {
            kinds.retain(|_, state| state.untold > 0 || now.since(state.last) < INTERVAL);
        }
        // Too many at once, or too many kinds: then nobody has an allowance of his own.
        let is_crowded = *lines >= LINES || kinds.len() >= ALIKE && !kinds.contains_key(&kind);
        let (kind, first) = if is_crowded { (kind.of_anybody(), 0) } else { (kind, first) };
        let state = kinds.entry(kind.clone()).or_insert(KindCount { left: first, untold: 0, last: now });
        if now.since(state.last) >= QUIET {
            state.left = first;
        }
        state.last = now;
        if state.left > 0 {
            state.left -= 1;
            *lines += 1;
            return Told::Line;
        }
        state.untold += 1;
        if state.untold == 1 { Told::Later(kind) } else { Told::Counted }
    }

    /// How many have not been told of this kind; now they are.
    pub(super) fn untold(&self, kind: &K) -> u64 {
        self.seen.lock().kinds.get_mut(kind).map_or(0, |state| std::mem::take(&mut state.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(number: u32, code: Code) -> Alike {
        Alike { network: Some(IpAddr::from(number.to_be_bytes())), code, key_id: None, is_read: false }
    }

    #[test]
    fn the_first_are_told_and_then_how_many_more() {
        let clock = Clock::manual();
        let thinning = Thinning::new(clock.clone());
        let bad = kind(1, Code::BadCredentials);
        let mut lines = 0;
        for _ in 0..20 {
            clock.advance(Duration::from_secs(1));
            lines += u32::from(thinning.one_more(bad.clone(), 5) == Told::Line);
        }
        assert_eq!((lines, thinning.untold(&bad), thinning.untold(&bad)), (5, 15, 0));
        assert_eq!(thinning.one_more(kind(1, Code::Forbidden), 5), Told::Line, "another reason");
        assert_eq!(thinning.one_more(kind(2, Code::BadCredentials), 5), Told::Line, "another client");
        assert_eq!(thinning.one_more(bad.clone(), 5), Told::Later(bad.clone()));
        assert_eq!(thinning.one_more(bad.clone(), 5), Told::Counted);
        clock.advance(QUIET);
        assert_eq!(thinning.one_more(bad, 5), Told::Line, "after a long silence it is news");
    }

    #[test]
    fn a_flood_from_everywhere_is_bounded_in_lines_and_in_memory() {
        let clock = Clock::manual();
        let thinning = Thinning::new(clock.clone());
        let mut lines = 0;
        for number in 0..100_000 {
            lines += u32::from(thinning.one_more(kind(number, Code::BadRequest), 20) == Told::Line);
        }
        assert_eq!(lines, LINES);
        let everybody = Alike { network: None, ..kind(0, Code::BadRequest) };
        assert_eq!(thinning.untold(&everybody), 100_000 - u64::from(LINES));
        for number in 0..100_000 {
            clock.advance(Duration::from_millis(100));
            let _ = thinning.one_more(kind(number, Code::BadRequest), 20);
        }
        assert!(thinning.seen.lock().kinds.len() <= ALIKE + 1);
    }
}
