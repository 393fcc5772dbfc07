//! The question of HTTP Digest: nonces, which say when they were asked, and prove that it was this server who did.
//!
//! Nothing is kept of a nonce when it is made, so it survives a restart, and asking costs nobody memory. It is good for a while,
//! and then for as long as the client that answered it goes on using it: an encoder whose upload is refused in the middle can't
//! always send it again, and some (ffmpeg on a persistent connection) never read the answer that tells them to. That part is
//! kept, for few: only right answers get there, and only those that have used one nonce for long.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::Mutex;

use super::key::KeyRing;
use super::signing::{random, same};
use crate::model::clock::{Clock, Moment};

/// How long a nonce is good, from its making or from its last use.
const GOOD: Duration = Duration::from_secs(300);
/// How far ahead of ours the clock of another server may be that shares the signing key.
const SKEW: u64 = 60;
/// How many nonces in use are remembered.
const IN_USE: usize = 1024;

const TIME: usize = 8;
/// The time, and bytes that make it this client's alone.
const NAMED: usize = TIME + 6;
const TAG: usize = 16;
/// A nonce as text: base64 has four characters for three bytes.
const TEXT: usize = (NAMED + TAG) / 3 * 4;

/// Makes nonces and knows which ones are good.
#[derive(Debug)]
pub(super) struct Nonces {
    clock: Clock,
    in_use: Mutex<HashMap<(Box<str>, IpAddr), Moment>>,
}

/// How far a nonce is from its end.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Age {
    /// Good for a while.
    Young,
    /// Good, but not for much longer.
    Ageing,
    /// Good for nobody but a client that goes on using it; or not ours at all.
    Old,
}

impl Nonces {
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, in_use: Mutex::default() }
    }

    pub(super) fn make(&self, ring: &KeyRing) -> String {
        let mut bytes = [0; NAMED + TAG];
        bytes[..TIME].copy_from_slice(&self.clock.wall().seconds().to_be_bytes());
        bytes[TIME..NAMED].copy_from_slice(&random::<{ NAMED - TIME }>());
        let tag = ring.nonce_tag(&bytes[..NAMED]);
        bytes[NAMED..].copy_from_slice(&tag[..TAG]);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Looks at a nonce before anything else is done for who sends it: `None`, when no answer to it can be good. Costs the same
    /// whatever it is, and nothing to speak of: a comparison of lengths, or one tag for each signing key.
    pub(super) fn look(&self, ring: &KeyRing, nonce: &str, user: IpAddr) -> Option<Age> {
        let age = self.age(ring, nonce);
        (age != Age::Old || self.is_in_use(nonce, user)).then_some(age)
    }

    fn is_in_use(&self, nonce: &str, user: IpAddr) -> bool {
        let now = self.clock.now();
        nonce.len() == TEXT && self.in_use.lock().get(&(Box::from(nonce), user)).is_some_and(|used| now.since(*used) < GOOD)
    }

    /// Whether a nonce of this age that was answered rightly is still good. If so, it is in use from now on.
    pub(super) fn accept(&self, age: Age, nonce: &str, user: IpAddr) -> bool {
        // Most are answered once or a few times and never seen again.
        if age == Age::Young {
            return true;
        }
        let now = self.clock.now();
        let mut in_use = self.in_use.lock();
        let place = (Box::from(nonce), user);
        if let Some(used) = in_use.get_mut(&place) {
            let good = now.since(*used) < GOOD;
            if good {
                *used = now;
            }
            return good || age == Age::Ageing;
        }
        if age == Age::Old {
            return false;
        }
        if in_use.len() >= IN_USE {
            in_use.retain(|_, used| now.since(*used) < GOOD);
        }
        // Full of others: this one will be asked anew, that is all.
        if in_use.len() < IN_USE {
            in_use.insert(place, now);
        }
        true
    }

    fn age(&self, ring: &KeyRing, nonce: &str) -> Age {
        let text = Some(nonce).filter(|nonce| nonce.len() == TEXT);
        let decoded = text.and_then(|nonce| URL_SAFE_NO_PAD.decode(nonce).ok()).filter(|bytes| bytes.len() == NAMED + TAG);
        let Some(bytes) = decoded else { return Age::Old };
        let (named, tag) = bytes.split_at(NAMED);
        let made = named.first_chunk::<TIME>().map_or(0, |time| u64::from_be_bytes(*time));
        let now = self.clock.wall().seconds();
        let ours = ring.nonce_tags(named).any(|expected| same(&expected[..TAG], tag));
        match now.saturating_sub(made) {
            _ if !ours || made > now.saturating_add(SKEW) => Age::Old,
            age if age < GOOD.as_secs() / 2 => Age::Young,
            age if age < GOOD.as_secs() => Age::Ageing,
            _ => Age::Old,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::signing::SigningKey;

    const ONE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
    const OTHER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));

    impl Nonces {
        fn is_good(&self, ring: &KeyRing, nonce: &str, user: IpAddr) -> bool {
            self.look(ring, nonce, user).is_some_and(|age| self.accept(age, nonce, user))
        }
    }

    fn bench() -> (Clock, Nonces, KeyRing) {
        let clock = Clock::manual();
        (clock.clone(), Nonces::new(clock), KeyRing::new(&[SigningKey::generate()]).unwrap())
    }

    #[test]
    fn a_nonce_is_good_for_a_while_on_any_server_that_shares_the_key() {
        let (clock, nonces, ring) = bench();
        let nonce = nonces.make(&ring);
        assert_ne!(nonce, nonces.make(&ring), "each client has its own");
        for _ in 0..GOOD.as_secs() {
            // A server that has just started.
            assert!(Nonces::new(clock.clone()).is_good(&ring, &nonce, ONE));
            clock.advance(Duration::from_secs(1));
        }
        assert!(!Nonces::new(clock.clone()).is_good(&ring, &nonce, ONE));
        assert!(!nonces.is_good(&ring, &nonce, ONE), "nobody used it");
    }

    #[test]
    fn a_nonce_in_use_stays_good_for_its_user_alone() {
        let (clock, nonces, ring) = bench();
        let nonce = nonces.make(&ring);
        for _ in 0..1000 {
            assert!(nonces.is_good(&ring, &nonce, ONE));
            clock.advance(GOOD / 2);
        }
        assert!(!nonces.is_good(&ring, &nonce, OTHER));
        assert!(nonces.is_good(&ring, &nonce, ONE));
        clock.advance(GOOD);
        assert!(!nonces.is_good(&ring, &nonce, ONE), "until it pauses for too long");
        assert!(!nonces.is_good(&ring, &nonce, ONE), "and that does not wake it up");
    }

    #[test]
    fn what_is_made_up_or_from_the_future_is_not_good() {
        let (_clock, nonces, ring) = bench();
        let nonce = nonces.make(&ring);
        let mut bytes = URL_SAFE_NO_PAD.decode(&nonce).unwrap();
        for place in 0..bytes.len() {
            bytes[place] ^= 1;
            assert!(!nonces.is_good(&ring, &URL_SAFE_NO_PAD.encode(&bytes), ONE), "byte {place}");
            bytes[place] ^= 1;
        }
        let longer = format!("{nonce}AA");
        for text in ["", "x", &nonce[1..], &longer, "ü"] {
            assert!(!nonces.is_good(&ring, text, ONE), "{text}");
        }
        let foreign = nonces.make(&KeyRing::new(&[SigningKey::generate()]).unwrap());
        assert!(!nonces.is_good(&ring, &foreign, ONE));
        for (ahead, good) in [(SKEW, true), (SKEW + 1, false)] {
            let other = Clock::manual();
            other.advance(Duration::from_secs(ahead));
            assert_eq!(nonces.is_good(&ring, &Nonces::new(other).make(&ring), ONE), good);
        }
    }

    #[test]
    fn memory_is_bounded_and_comes_back() {
        let (clock, nonces, ring) = bench();
        let many: Vec<String> = (0..IN_USE + 50).map(|_| nonces.make(&ring)).collect();
        assert!(many.iter().all(|nonce| nonces.is_good(&ring, nonce, ONE)));
        assert!(nonces.in_use.lock().is_empty(), "a young one is not remembered");
        clock.advance(GOOD / 2);
        assert!(many.iter().all(|nonce| nonces.is_good(&ring, nonce, ONE)), "also those for which there is no room");
        assert_eq!(nonces.in_use.lock().len(), IN_USE);
        let nonce = nonces.make(&ring);
        clock.advance(GOOD - Duration::from_secs(1));
        assert!(nonces.is_good(&ring, &nonce, ONE));
        clock.advance(Duration::from_secs(1));
        assert!(!nonces.is_good(&ring, &nonce, ONE), "there was no room for it");
        let nonce = nonces.make(&ring);
        clock.advance(GOOD / 2);
        assert!(nonces.is_good(&ring, &nonce, ONE));
        assert_eq!(nonces.in_use.lock().len(), 1, "those that are no longer used made room");
    }
}
