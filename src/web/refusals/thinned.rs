//! Lines that would flood the log: the first of a kind from one place is written, and then one in a while that says how many there were.
//!
//! Whoever can connect can be refused as often as it likes. A figure counts each; the log tells of the first and goes on telling that
//! it has not ended.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use parking_lot::Mutex;

use crate::model::clock::{Clock, Moment};
use crate::web::connection::admission::network;

/// How long after a line no other of its kind is written.
const QUIET: Duration = Duration::from_secs(30);
/// How many kinds of how many places are remembered. When there are more, those that have been quiet go; a flood from more places
/// than that is told as one.
const REMEMBERED: usize = 1024;

/// What has been told lately, by the network it was told of and its reason.
#[derive(Debug)]
pub(in crate::web) struct Thinned {
    clock: Clock,
    told: Mutex<HashMap<(Option<IpAddr>, &'static str), Told>>,
}

#[derive(Debug)]
struct Told {
    at: Moment,
    since: u64,
}

impl Thinned {
    pub(in crate::web) fn new(clock: Clock) -> Self {
        Self { clock, told: Mutex::default() }
    }

    /// Whether to write a line now: then how many like it were not written since the last one.
    pub(in crate::web) fn speaks(&self, peer: IpAddr, reason: &'static str) -> Option<u64> {
        let now = self.clock.now();
        let mut told = self.told.lock();
        let mut place = (Some(network(peer)), reason);
        if told.len() >= REMEMBERED && !told.contains_key(&place) {
            told.retain(|_, told| now < told.at + QUIET);
            if told.len() >= REMEMBERED {
                place.0 = None;
            }
        }
        match told.get_mut(&place) {
            Some(last) if now < last.at + QUIET => {
                last.since += 1;
                None
            }
            Some(last) => {
                last.at = now;
                Some(std::mem::take(&mut last.since))
            }
            None => {
                told.insert(place, Told { at: now, since: 0 });
                Some(0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(n: u32) -> IpAddr {
        std::net::Ipv4Addr::from(n).into()
    }

    #[test]
    fn the_first_is_told_and_then_how_many() {
        let clock = Clock::manual();
        let thinned = Thinned::new(clock.clone());
        assert_eq!(thinned.speaks(place(1), "a"), Some(0));
        for _ in 0..7 {
            assert_eq!(thinned.speaks(place(1), "a"), None);
        }
        assert_eq!(thinned.speaks(place(1), "b"), Some(0), "another reason");
        assert_eq!(thinned.speaks(place(2), "a"), Some(0), "another place");
        clock.advance(QUIET);
        assert_eq!(thinned.speaks(place(1), "a"), Some(7));
        assert_eq!(thinned.speaks(place(1), "a"), None);
        let network: Vec<IpAddr> = ["2001:db8::1", "2001:db8::2"].iter().map(|text| text.parse().unwrap()).collect();
        assert_eq!(thinned.speaks(network[0], "a"), Some(0));
        assert_eq!(thinned.speaks(network[1], "a"), None, "one network, many addresses");
    }

    #[test]
    fn a_flood_from_everywhere_is_bounded_and_told_as_one() {
        let clock = Clock::manual();
        let thinned = Thinned::new(clock.clone());
        let lines = (0..50_000).filter(|n| thinned.speaks(place(*n), "a").is_some()).count();
        assert!(lines <= REMEMBERED + 1, "{lines}");
        assert!(thinned.told.lock().len() <= REMEMBERED + 1);
        clock.advance(QUIET);
        assert!(thinned.speaks(place(60_000), "a").is_some(), "those that have been quiet have made room");
    }
}
