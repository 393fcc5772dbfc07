//! What bounds the search for the key that a Digest proof was made with.
//!
//! A proof names no key unless its user name is a key's id: with any other name each key on record may be the one, and to try them
//! all costs in proportion to their number, for a client that need not know any. So who has proved a key before is remembered by
//! name and address, and tried first; and the keys that are tried for all others are rationed, for each address and for all of them
//! together. Who comes when the ration is used up is asked again, which costs as much as a key that does not read.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;

use parking_lot::Mutex;

use super::grant::KeyId;
use crate::model::clock::{Clock, Moment};

/// Keys that are tried a second, about a microsecond each: for one place of addresses, and for all together.
const PER_PLACE: i64 = 20_000;
const TOGETHER: i64 = 100_000;
/// This many seconds' worth may be used at once.
const BURST: i64 = 2;
/// Addresses are spread over this many places: who floods from one uses up the ration of few others.
const PLACES: usize = 64;

/// How many clients are remembered, and how many keys of each: one encoder has one, several behind one address have some.
const CLIENTS: usize = 4096;
const KEYS: usize = 8;

/// Who it is, by name and address.
type Claimant = (Box<str>, IpAddr);

/// Who proved what, and what is left of the ration.
#[derive(Debug)]
pub(super) struct Search {
    clock: Clock,
    hasher: RandomState,
    proved: Mutex<HashMap<Claimant, Vec<KeyId>>>,
    /// The one for all together comes last.
    left: Mutex<Vec<Allowance>>,
}

#[derive(Clone, Debug)]
struct Allowance {
    left: i64,
    at: Moment,
}

impl Allowance {
    fn grow(&mut self, rate: i64, now: Moment) {
        let millis = i64::try_from(now.since(self.at).as_millis()).unwrap_or(i64::MAX);
        let grown = millis.saturating_mul(rate) / 1000;
        if grown > 0 {
            *self = Self { left: self.left.saturating_add(grown).min(rate * BURST), at: now };
        }
    }
}

impl Search {
    pub(super) fn new(clock: Clock) -> Self {
        let now = clock.now();
        let mut left = vec![Allowance { left: PER_PLACE * BURST, at: now }; PLACES];
        left.push(Allowance { left: TOGETHER * BURST, at: now });
        Self { clock, hasher: RandomState::new(), proved: Mutex::default(), left: Mutex::new(left) }
    }

    /// The keys that a client of this name and address has proved, a few at most.
    pub(super) fn proved(&self, user: &str, peer: IpAddr) -> Vec<KeyId> {
        self.proved.lock().get(&(Box::from(user), peer)).cloned().unwrap_or_default()
    }

    /// A client has proved a key.
    pub(super) fn found(&self, user: &str, peer: IpAddr, key: &KeyId) {
        let mut proved = self.proved.lock();
        if proved.len() >= CLIENTS && !proved.contains_key(&(Box::from(user), peer)) {
            // They are found anew; only who had a right key is here.
            proved.clear();
        }
        let keys = proved.entry((Box::from(user), peer)).or_default();
        if !keys.contains(key) {
            keys.truncate(KEYS - 1);
            keys.insert(0, key.clone());
        }
    }

    /// Whether this many keys may be tried for a client now. What is more than is left is allowed once, and owed.
    pub(super) fn may_try(&self, peer: IpAddr, keys: usize) -> bool {
        let now = self.clock.now();
        let place = usize::try_from(self.hasher.hash_one(peer)).unwrap_or(0) % PLACES;
        let mut left = self.left.lock();
        for (index, rate) in [(place, PER_PLACE), (PLACES, TOGETHER)] {
            left[index].grow(rate, now);
        }
        let allowed = [place, PLACES].iter().all(|&index| left[index].left > 0);
        if allowed {
            // A server with very many keys must not owe for minutes.
            let cost = i64::try_from(keys).unwrap_or(i64::MAX).min(PER_PLACE);
            for index in [place, PLACES] {
                left[index].left -= cost;
            }
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_flood_of_guesses_tries_few_keys() {
        let clock = Clock::manual();
        let search = Search::new(clock.clone());
        let tried =
            |peer: u32, keys: usize| (0..10_000).filter(|_| search.may_try(IpAddr::from(peer.to_be_bytes()), keys)).count();
        assert_eq!(tried(1, 1000), 40, "a burst of two seconds");
        clock.advance(Duration::from_secs(1));
        assert_eq!(tried(1, 1000), 20);
        clock.advance(Duration::from_secs(1));
        assert!((2..2000).map(|peer| tried(peer, 1000)).sum::<usize>() <= 200, "many addresses share one ration");
        clock.advance(Duration::from_secs(60));
        assert_eq!(tried(1, 1_000_000), 2, "more keys than a ration holds can still be tried");
    }

    #[test]
    fn who_has_proved_a_key_is_remembered_within_bounds() {
        let search = Search::new(Clock::manual());
        let (peer, other) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let id = |number: usize| KeyId::parse(&format!("{number:016x}")).unwrap();
        for number in 0..20 {
            search.found("momento", peer, &id(number));
            search.found("momento", peer, &id(number));
        }
        assert_eq!(search.proved("momento", peer).len(), KEYS);
        assert_eq!(search.proved("momento", peer)[0], id(19));
        assert!(search.proved("momento", other).is_empty() && search.proved("other", peer).is_empty());
        for number in 0..10_000 {
            search.found(&number.to_string(), peer, &id(number));
        }
        assert!(search.proved.lock().len() <= CLIENTS);
    }
}
