//! Renditions of one stream that are apart.

use std::collections::HashMap;

use super::Live;
use super::rendition::FollowedRendition;
use super::state::LiveState;
use crate::model::id::Key;
use crate::model::liveness::Standing;

/// By how many target durations renditions may be apart.
const APART: u32 = 3;
/// How many streams, of up to some hundred renditions, are judged between two times at which others may have the lock.
const AT_ONCE: usize = 8;

impl Live {
    /// The renditions that are far behind the foremost one of their stream, and in which words. Of several of these that name a playlist the
    /// first one counts. The lock is taken for a few at a time.
    pub(super) fn drifting(&self, masters: &[Key]) -> HashMap<Key, String> {
        let mut drifting = HashMap::new();
        for some in masters.chunks(AT_ONCE) {
            let state = self.state.lock();
            some.iter().for_each(|master| state.drift(master, &mut drifting));
        }
        drifting
    }
}

impl LiveState {
    fn drift(&self, master: &Key, drifting: &mut HashMap<Key, String>) {
        let alive: Vec<(&Key, &FollowedRendition)> = self
            .streams
            .children(master)
            .iter()
            .filter(|child| child.goes_along())
            .filter_map(|child| Some((&child.key, self.renditions.get(&child.key)?)))
            .filter(|(_, rendition)| rendition.standing == Standing::Live)
            .collect();
        let by_date = alive.iter().all(|(_, rendition)| rendition.edge.is_some());
        let foremost_edge = alive.iter().filter_map(|(_, rendition)| rendition.edge).max();
        let foremost_lag = alive.iter().filter_map(|(_, rendition)| rendition.pace.lag()).min();
        for &(key, rendition) in &alive {
            let behind = if by_date {
                foremost_edge.zip(rendition.edge).map(|(foremost, own)| foremost.since(own))
            } else {
                foremost_lag.zip(rendition.pace.lag()).map(|(foremost, own)| own.saturating_sub(foremost))
            };
            if let Some(behind) = behind.filter(|span| *span > rendition.target * APART) {
                let behind = format!("{:.1} s", behind.as_secs_f64());
                let words = format!("it is {behind} behind the foremost rendition of its stream: players that switch will jump");
                drifting.entry(key.clone()).or_insert(words);
            }
        }
    }
}
