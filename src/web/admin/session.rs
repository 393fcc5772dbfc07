//! Who is signed in at the console: a session is a random id in a cookie, looked up here.
//!
//! Invariants: of an id only its hash is kept, so that what is in memory opens nothing. A session is good as long as the key that it was
//! opened with, a day at most, and ends eight hours after it was last used. A restart ends all. Cookies know no ports, and a page that
//! was stored on the data listener could set some that reach this one (RFC 6265 8.5, 8.6): so among several of the name any good one
//! counts, and nothing else is read from cookies.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::http::header::COOKIE;
use axum::http::{HeaderMap, HeaderValue};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::Mutex;

use crate::auth::grant::{Grant, KeyId, Role, Scope};
use crate::auth::secret::Secret;
use crate::auth::signing::{random, random_id, sha256};
use crate::auth::verify::Verifier;
use crate::model::clock::{Clock, Moment};
use crate::web::connection::admission::network;

/// How long a session lasts that nobody uses.
const IDLE: Duration = Duration::from_secs(8 * 3600);
/// And at most.
const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// How many there are at most; the one that was not used for the longest time makes room.
const MOST: usize = 1000;
/// So many failed sign-ins from one network are borne within [`WITHIN`].
const FAILURES: u32 = 10;
const WITHIN: Duration = Duration::from_secs(60);
/// How many networks are remembered for that.
const NETWORKS: usize = 10_000;

/// All sessions.
#[derive(Debug)]
pub(super) struct Sessions {
    clock: Clock,
    /// The cookie's name.
    cookie: String,
    /// Whether the listener speaks TLS: then no cookie of it goes anywhere in clear, and nobody else of the host can set one of the name
    /// (RFC 6265bis 4.1.3.2).
    is_secure: bool,
    live: Mutex<HashMap<[u8; 32], OpenSession>>,
    failures: Mutex<HashMap<IpAddr, (Moment, u32)>>,
}

#[derive(Debug)]
struct OpenSession {
    opened_with: OpenedWith,
    opened: Moment,
    used: Moment,
}

/// What a session was opened with.
#[derive(Clone, Debug)]
pub(super) enum OpenedWith {
    /// An API key: it is judged anew at each request, as it may have ended or been revoked.
    Key(Secret<'static>),
    /// A link that was printed on the server itself.
    Ticket(Arc<Grant>),
}

impl OpenedWith {
    /// By a link: who reads the data directory may do everything.
    pub(super) fn ticket() -> Self {
        let id = format!("link-{}", random_id());
        let key_id = KeyId::parse(&id).or_else(|_| KeyId::parse("link"));
        match key_id {
            Ok(key_id) => Self::Ticket(Arc::new(Grant {
                key_id,
                role: Role::Admin,
                scope: Scope::Only(Vec::new()),
                prefix: None,
                paths: None,
                is_edge: false,
                ends: None,
            })),
            // No name, no session: an empty key is never good.
            Err(_) => Self::Key(Secret::new("")),
        }
    }

    pub(super) fn grant(&self, verifier: &Verifier) -> Option<Arc<Grant>> {
        match self {
            Self::Key(key) => verifier.verify(key).ok().filter(|grant| grant.role.includes(Role::Viewer)),
            Self::Ticket(grant) => Some(Arc::clone(grant)),
        }
    }
}

impl Sessions {
    /// `port`: the listener's, so that two servers of one host do not sign each other's visitors out.
    pub(super) fn new(clock: Clock, port: u16, is_secure: bool) -> Self {
        let cookie = format!("{}springhead-session-{port}", if is_secure { "__Host-" } else { "" });
        Self { clock, cookie, is_secure, live: Mutex::default(), failures: Mutex::default() }
    }

    /// Opens one; the cookie that carries it.
    pub(super) fn open(&self, opened_with: OpenedWith) -> Option<HeaderValue> {
        let id = URL_SAFE_NO_PAD.encode(random::<32>());
        let now = self.clock.now();
        let mut live = self.live.lock();
        live.retain(|_, session| session.is_live(now));
        if live.len() >= MOST {
            let oldest = live.iter().min_by_key(|(_, session)| session.used).map(|(id, _)| *id);
            oldest.and_then(|id| live.remove(&id));
        }
        live.insert(sha256(id.as_bytes()), OpenSession { opened_with, opened: now, used: now });
        self.set_cookie(&id, None)
    }

    /// Who is signed in by the cookies of a request.
    pub(super) fn find(&self, headers: &HeaderMap, verifier: &Verifier) -> Option<Arc<Grant>> {
        let now = self.clock.now();
        self.ids(headers).find_map(|id| {
            let opened_with = {
                let mut live = self.live.lock();
                let session = live.get_mut(&id).filter(|session| session.is_live(now))?;
                session.used = now;
                session.opened_with.clone()
            };
            let grant = opened_with.grant(verifier);
            if grant.is_none() {
                self.live.lock().remove(&id);
            }
            grant
        })
    }

    /// Whether such a request's session is still good; that is no use of it.
    pub(super) fn holds(&self, headers: &HeaderMap, verifier: &Verifier) -> bool {
        let now = self.clock.now();
        self.ids(headers).any(|id| {
            let opened_with = self.live.lock().get(&id).filter(|session| session.is_live(now)).map(|one| one.opened_with.clone());
            opened_with.is_some_and(|with| with.grant(verifier).is_some())
        })
    }

    /// Whether a request brings the name of a session, be it good or not.
    pub(super) fn is_named(&self, headers: &HeaderMap) -> bool {
        self.ids(headers).next().is_some()
    }

    /// Ends those that a request names; the cookie that takes the name back.
    pub(super) fn close(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let ids: Vec<_> = self.ids(headers).collect();
        let mut live = self.live.lock();
        for id in ids {
            live.remove(&id);
        }
        self.set_cookie("", Some(0))
    }

    fn ids(&self, headers: &HeaderMap) -> impl Iterator<Item = [u8; 32]> {
        let pairs = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(';'));
        let ids = pairs.filter_map(|pair| pair.split_once('=')).filter(|(name, _)| name.trim() == self.cookie);
        // One client has one; a page elsewhere may have set more.
        ids.take(8).map(|(_, id)| sha256(id.trim().as_bytes()))
    }

    /// No script reads it, no other site's page sends it along, and no path but all has it.
    fn set_cookie(&self, id: &str, lasts: Option<u64>) -> Option<HeaderValue> {
        let ends = lasts.map_or_else(String::new, |seconds| format!("; Max-Age={seconds}"));
        let secure = if self.is_secure { "; Secure" } else { "" };
        let mut value =
            HeaderValue::try_from(format!("{}={id}; Path=/; HttpOnly; SameSite=Strict{secure}{ends}", self.cookie)).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// Whether somebody at this address may try to sign in.
    pub(super) fn may_try(&self, peer: IpAddr) -> bool {
        let now = self.clock.now();
        let failures = self.failures.lock();
        failures.get(&network(peer)).is_none_or(|(since, count)| now.since(*since) >= WITHIN || *count < FAILURES)
    }

    /// A sign-in failed.
    pub(super) fn failed(&self, peer: IpAddr) {
        let now = self.clock.now();
        let mut failures = self.failures.lock();
        if failures.len() >= NETWORKS {
            failures.retain(|_, (since, _)| now.since(*since) < WITHIN);
        }
        // From more networks at once than are remembered: a brake and no lock, for keys can't be guessed.
        if failures.len() >= NETWORKS && !failures.contains_key(&network(peer)) {
            return;
        }
        let (since, count) = failures.entry(network(peer)).or_insert((now, 0));
        if now.since(*since) >= WITHIN {
            (*since, *count) = (now, 0);
        }
        *count += 1;
    }
}

impl OpenSession {
    fn is_live(&self, now: Moment) -> bool {
        now.since(self.used) < IDLE && now.since(self.opened) < LONGEST
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::key::{KeyRing, KeySpec};
    use crate::auth::signing::SigningKey;
    use std::collections::HashSet;

    struct Bench {
        clock: Clock,
        ring: KeyRing,
        verifier: Verifier,
        sessions: Sessions,
    }

    fn bench() -> Bench {
        let clock = Clock::manual();
        let keys = [SigningKey::generate()];
        let verifier = Verifier::new(KeyRing::new(&keys).unwrap(), clock.clone());
        Bench { ring: KeyRing::new(&keys).unwrap(), verifier, sessions: Sessions::new(clock.clone(), 8081, false), clock }
    }

    impl Bench {
        fn key(&self, role: Role, lives: Option<u64>) -> (OpenedWith, KeyId) {
            let expires = lives.map(|seconds| crate::model::clock::WallTime::from_seconds(self.clock.wall().seconds() + seconds));
            let scope = Scope::parse(["live"]).unwrap();
            let issued =
                self.ring.issue(&KeySpec { role, scope, prefix: None, is_edge: false, expires }, self.clock.wall()).unwrap();
            (OpenedWith::Key(issued.token), issued.key_id)
        }

        /// The cookie as a browser sends it back.
        fn opened(&self, with: OpenedWith) -> HeaderMap {
            let cookie = self.sessions.open(with).unwrap();
            let pair = cookie.to_str().unwrap().split(';').next().unwrap().to_owned();
            let mut headers = HeaderMap::new();
            headers.insert(COOKIE, format!("a=b; springhead-session-8081=foreign; {pair}").parse().unwrap());
            headers
        }

        fn is_in(&self, headers: &HeaderMap) -> bool {
            self.sessions.find(headers, &self.verifier).is_some()
        }
    }

    #[test]
    fn a_session_ends_with_its_key_its_use_its_day_and_when_it_is_closed() {
        let bench = bench();
        let (with, id) = bench.key(Role::Viewer, None);
        let revoked = bench.opened(with);
        let holds = |headers: &HeaderMap| bench.sessions.holds(headers, &bench.verifier);
        assert!(bench.is_in(&revoked) && holds(&revoked));
        bench.verifier.revoke(HashSet::from([id]));
        assert!(!holds(&revoked) && !bench.is_in(&revoked));
        let short = bench.opened(bench.key(Role::Admin, Some(60)).0);
        let ticket = bench.opened(OpenedWith::ticket());
        bench.clock.advance(Duration::from_secs(61));
        assert!(!bench.is_in(&short) && bench.is_in(&ticket));
        let idle = bench.opened(OpenedWith::ticket());
        for _ in 0..3 {
            bench.clock.advance(IDLE - Duration::from_secs(100));
            assert!(bench.is_in(&ticket), "used, and younger than a day");
            let _ = holds(&idle);
        }
        assert!(!bench.is_in(&idle), "who only listens does not use it");
        bench.clock.advance(Duration::from_secs(600));
        assert!(!bench.is_in(&ticket), "a day is over");
        let closed = bench.opened(OpenedWith::ticket());
        let cookie = bench.sessions.close(&closed).unwrap();
        assert!(cookie.to_str().unwrap().contains("Max-Age=0") && !bench.is_in(&closed));
        assert!(!bench.is_in(&bench.opened(bench.key(Role::Readwrite, None).0)), "an encoder looks after nothing");
        assert!(!bench.is_in(&HeaderMap::new()) && !bench.sessions.is_named(&HeaderMap::new()));
    }

    #[test]
    fn what_is_kept_names_no_session_and_there_are_so_many_at_most() {
        let bench = bench();
        let first = bench.opened(OpenedWith::ticket());
        for _ in 0..MOST {
            bench.clock.advance(Duration::from_millis(1));
            bench.opened(OpenedWith::ticket());
        }
        assert!(!bench.is_in(&first));
        assert_eq!(bench.sessions.live.lock().len(), MOST);
        let cookie = bench.sessions.open(OpenedWith::ticket()).unwrap();
        assert!(cookie.is_sensitive());
        let cookie = cookie.to_str().unwrap().to_owned();
        for part in ["Path=/", "HttpOnly", "SameSite=Strict"] {
            assert!(cookie.contains(part), "{cookie}");
        }
        let id = cookie.split(['=', ';']).nth(1).unwrap();
        assert!(id.len() == 43 && !format!("{:?}", bench.sessions).contains(id));
    }

    #[test]
    fn ten_failures_a_minute_are_borne() {
        let bench = bench();
        let (one, other): (IpAddr, IpAddr) = ("2001:db8::1".parse().unwrap(), "192.0.2.1".parse().unwrap());
        for _ in 0..FAILURES {
            assert!(bench.sessions.may_try(one));
            bench.sessions.failed("2001:db8::2".parse().unwrap());
        }
        assert!(!bench.sessions.may_try(one) && bench.sessions.may_try(other));
        bench.clock.advance(WITHIN);
        assert!(bench.sessions.may_try(one));
        for at in 0..NETWORKS + 10 {
            bench.sessions.failed(IpAddr::from(u32::try_from(at << 8).unwrap().to_be_bytes()));
        }
        assert_eq!(bench.sessions.failures.lock().len(), NETWORKS);
    }
}
