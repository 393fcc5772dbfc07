//! How much a viewer's token is used: a brake on one that was handed on, not a count. What is known of a token is forgotten when there are too
//! many, and with the process.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use ahash::RandomState;
use parking_lot::Mutex;

use crate::auth::grant::KeyId;
use crate::model::clock::Moment;
use crate::model::id::Namespace;

/// How many places the memory is divided into, and how many tokens each one knows: 65,536 in all.
const SHARDS: usize = 16;
const TOKENS_PER_SHARD: usize = 4096;
/// How long a burst may last at the full rate: a player that begins asks for much at once.
const BURST: f64 = 10.0;
/// For how long an address counts after its last request.
const SESSION: Duration = Duration::from_secs(30);

/// What one token may be used for; `None` is without limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ViewerLimits {
    /// Requests a second, over ten seconds.
    pub requests_per_second: Option<u64>,
    /// Bytes a second, over ten seconds, of answers whose length is known when they begin.
    pub bytes_per_second: Option<u64>,
    /// Addresses within thirty seconds; of IPv6 its first 64 bits are one.
    pub sessions: Option<u64>,
}

impl ViewerLimits {
    /// Whether there is none.
    #[must_use]
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// What is known of the tokens that were used lately.
#[derive(Default)]
pub(super) struct ViewerUsage {
    hasher: RandomState,
    shards: [Mutex<UsedTokens>; SHARDS],
}

/// By namespace and token.
type UsedTokens = HashMap<(Namespace, KeyId), Used, RandomState>;

struct Used {
    requests: f64,
    bytes: f64,
    at: Moment,
    addresses: Vec<(IpAddr, Moment)>,
}

impl Used {
    /// Lets the allowances grow.
    #[expect(clippy::cast_precision_loss, reason = "a rate need not be exact beyond 2^53")]
    fn grow(&mut self, limits: &ViewerLimits, now: Moment) {
        let seconds = now.since(self.at).as_secs_f64();
        let grown =
            |left: f64, rate: Option<u64>| rate.map_or(left, |rate| (left + rate as f64 * seconds).min(rate as f64 * BURST));
        (self.requests, self.bytes, self.at) =
            (grown(self.requests, limits.requests_per_second), grown(self.bytes, limits.bytes_per_second), now);
    }
}

impl ViewerUsage {
    /// One more request with a token, from this address.
    ///
    /// # Errors
    /// How long to wait: it is over one of its limits.
    #[expect(clippy::cast_precision_loss, reason = "a rate need not be exact beyond 2^53")]
    pub(super) fn begin(
        &self,
        token: (&Namespace, &KeyId),
        address: IpAddr,
        limits: &ViewerLimits,
        now: Moment,
    ) -> Result<(), Duration> {
        let address = match address.to_canonical() {
            IpAddr::V6(address) => Ipv6Addr::from(u128::from(address) >> 64 << 64).into(),
            address @ IpAddr::V4(_) => address,
        };
        let full = |rate: Option<u64>| rate.map_or(0.0, |rate| rate as f64 * BURST);
        self.with(token, now, |used| {
            let fresh = || Used {
                requests: full(limits.requests_per_second),
                bytes: full(limits.bytes_per_second),
                at: now,
                addresses: Vec::new(),
            };
            let used = used.get_or_insert_with(fresh);
            used.grow(limits, now);
            let wait = |left: f64, rate: Option<u64>| {
                rate.filter(|_| left <= 0.0).map(|rate| Duration::from_secs_f64((-left / rate as f64).clamp(1.0, 60.0)))
            };
            let over = wait(used.requests, limits.requests_per_second).or(wait(used.bytes, limits.bytes_per_second));
            if let Some(wait) = over {
                return Err(wait);
            }
            if let Some(most) = limits.sessions {
                used.addresses.retain(|(_, last)| now.since(*last) < SESSION);
                let count = used.addresses.len() as u64;
                match used.addresses.iter_mut().find(|(known, _)| *known == address) {
                    Some((_, last)) => *last = now,
                    None if count < most => used.addresses.push((address, now)),
                    None => {
                        let first = used.addresses.iter().map(|(_, last)| SESSION.saturating_sub(now.since(*last))).min();
                        return Err(first.unwrap_or(SESSION).max(Duration::from_secs(1)));
                    }
                }
            }
            used.requests -= 1.0;
            Ok(())
        })
    }

    /// So many bytes are answered.
    #[expect(clippy::cast_precision_loss, reason = "a rate need not be exact beyond 2^53")]
    pub(super) fn sent(&self, token: (&Namespace, &KeyId), bytes: u64, now: Moment) {
        self.with(token, now, |used| {
            if let Some(used) = used {
                used.bytes -= bytes as f64;
            }
        });
    }

    fn with<T>(&self, (namespace, id): (&Namespace, &KeyId), now: Moment, use_it: impl FnOnce(&mut Option<Used>) -> T) -> T {
        let place = usize::try_from(self.hasher.hash_one(id)).unwrap_or(0) % SHARDS;
        let mut shard = self.shards[place].lock();
        let key = (namespace.clone(), id.clone());
        let mut used = shard.remove(&key);
        let done = use_it(&mut used);
        if let Some(used) = used {
            if shard.len() >= TOKENS_PER_SHARD {
                shard.retain(|_, used| now.since(used.at) < SESSION);
            }
            if shard.len() >= TOKENS_PER_SHARD {
                shard.clear();
            }
            shard.insert(key, used);
        }
        done
    }
}

impl fmt::Debug for ViewerUsage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ViewerUsage")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::clock::Clock;

    fn token(id: &str) -> (Namespace, KeyId) {
        (Namespace::parse("live").unwrap(), KeyId::parse(id).unwrap())
    }

    #[test]
    fn a_token_that_is_over_its_rate_waits_and_no_other_does() {
        let (clock, usage) = (Clock::manual(), ViewerUsage::default());
        let [one, other] = ["v-01", "v-02"].map(token);
        let limits = ViewerLimits { requests_per_second: Some(5), bytes_per_second: Some(1000), sessions: None };
        let address = IpAddr::from([192, 0, 2, 1]);
        let begin = |token: &(Namespace, KeyId)| usage.begin((&token.0, &token.1), address, &limits, clock.now());
        let passed = (0..100).filter(|_| begin(&one).is_ok()).count();
        assert_eq!(passed, 50, "ten seconds' worth at once");
        assert_eq!(begin(&one), Err(Duration::from_secs(1)));
        assert_eq!(begin(&other), Ok(()));
        clock.advance(Duration::from_secs(2));
        assert_eq!((0..100).filter(|_| begin(&one).is_ok()).count(), 10);
        assert_eq!(begin(&other), Ok(()));
        usage.sent((&other.0, &other.1), 30_000, clock.now());
        assert_eq!(begin(&other), Err(Duration::from_secs(20)), "what is large overdraws");
        clock.advance(Duration::from_secs(21));
        assert_eq!(begin(&other), Ok(()));
    }

    #[test]
    fn a_token_is_used_from_so_many_places_at_once() {
        let (clock, usage) = (Clock::manual(), ViewerUsage::default());
        let one = token("v-01");
        let limits = ViewerLimits { sessions: Some(2), ..ViewerLimits::default() };
        let begin = |address: &str| usage.begin((&one.0, &one.1), address.parse().unwrap(), &limits, clock.now());
        for (address, is_good) in [
            ("192.0.2.1", true),
            ("2001:db8::1", true),
            ("2001:db8::2", true),
            ("::ffff:192.0.2.1", true),
            ("192.0.2.2", false),
            ("2001:db8:0:1::", false),
        ] {
            assert_eq!(begin(address).is_ok(), is_good, "{address}");
        }
        clock.advance(Duration::from_secs(20));
        assert!(begin("192.0.2.1").is_ok());
        assert_eq!(begin("192.0.2.2"), Err(Duration::from_secs(10)), "the other one was here 20 s ago");
        clock.advance(Duration::from_secs(10));
        assert!(begin("192.0.2.2").is_ok() && begin("2001:db8::1").is_err());
    }

    #[test]
    fn the_memory_is_bounded() {
        let (clock, usage) = (Clock::manual(), ViewerUsage::default());
        let limits = ViewerLimits { requests_per_second: Some(1), ..ViewerLimits::default() };
        for number in 0..100_000u32 {
            let (namespace, id) = token(&format!("v-{number:08x}"));
            assert!(usage.begin((&namespace, &id), IpAddr::from([192, 0, 2, 1]), &limits, clock.now()).is_ok());
        }
        let known: usize = usage.shards.iter().map(|shard| shard.lock().len()).sum();
        assert!(known <= SHARDS * TOKENS_PER_SHARD, "{known}");
    }
}
