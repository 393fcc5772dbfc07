//! Verification with a memory.
//!
//! A CDN sends the same key with every request. Its signature is checked once and the verdict kept; from then on a check is one
//! hash look-up and two comparisons. The memory is bounded and holds only keys that were good, so nobody can fill it with
//! guesses.
//!
//! Invariant: a kept verdict is used only within the epoch it was reached in. Every change of the revocation list, of the
//! signing keys or of the keys on record begins a new epoch after the change is in place, and a verdict takes the epoch it read
//! before it looked at any of them. Expiry is compared at each use. Verdicts on passwords and proofs are not kept at all.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ahash::RandomState;
use arc_swap::{ArcSwap, ArcSwapOption};
use parking_lot::Mutex;

use super::digest::{Answer, DigestRequest};
use super::grant::{Grant, KeyId};
use super::key::{KeyError, KeyRing, Verified};
use super::nonce::Nonces;
use super::roster::{Enrolled, Roster};
use super::search::Search;
use super::secret::Secret;
use crate::model::clock::{Clock, WallTime};

/// How many places the memory is divided into, and how many keys each one keeps.
const SHARDS: usize = 64;
const KEYS_PER_SHARD: usize = 64;

/// Tells good keys from bad ones.
pub struct Verifier {
    clock: Clock,
    ring: ArcSwap<KeyRing>,
    revoked: ArcSwap<HashSet<KeyId>>,
    roster: ArcSwap<Roster>,
    /// The keys whose records can't be read.
    unread: ArcSwap<HashSet<KeyId>>,
    // Held while the signing keys or the roster, which is made from them, change.
    changing: Mutex<()>,
    nonces: Nonces,
    search: Search,
    epoch: AtomicU64,
    hasher: RandomState,
    // Copied on write: reads, of which there are thousands for each write, take no lock and share no counter.
    memory: Box<[ArcSwap<Shard>]>,
}

type Shard = HashMap<Arc<str>, Arc<KeptVerdict>, RandomState>;

struct KeptVerdict {
    text: Arc<str>,
    grant: Arc<Grant>,
    expires: Option<WallTime>,
    epoch: u64,
}

/// The key that a connection has come with, for its next requests: neither looked up again, nor with a count that other connections change.
#[derive(Default)]
pub struct FamiliarKey(ArcSwapOption<KnownKey>);

struct KnownKey {
    hash: u64,
    kept: Arc<KeptVerdict>,
    /// This connection's own.
    grant: Arc<Grant>,
}

impl Verifier {
    /// A verifier for these signing keys, with nothing revoked yet.
    #[must_use]
    pub fn new(ring: KeyRing, clock: Clock) -> Self {
        let hasher = RandomState::new();
        let shard = || ArcSwap::from_pointee(HashMap::with_hasher(hasher.clone()));
        Self {
            nonces: Nonces::new(clock.clone()),
            search: Search::new(clock.clone()),
            clock,
            ring: ArcSwap::from_pointee(ring),
            revoked: ArcSwap::default(),
            roster: ArcSwap::default(),
            unread: ArcSwap::default(),
            changing: Mutex::default(),
            epoch: AtomicU64::new(0),
            memory: (0..SHARDS).map(|_| shard()).collect(),
            hasher,
        }
    }

    /// What the holder of this key may do.
    ///
    /// # Errors
    /// Why the key is not good.
    pub fn verify(&self, token: &Secret<'_>) -> Result<Arc<Grant>, KeyError> {
        let kept = self.judge(token, self.epoch.load(Ordering::SeqCst))?;
        in_time(kept.expires, &kept.grant, self.clock.wall()).map(|()| Arc::clone(&kept.grant))
    }

    /// The same at this time, of a key that comes with many requests of one connection. Of several it is the first that is familiar, for as
    /// long as it is in force.
    ///
    /// # Errors
    /// As of [`Self::verify`].
    pub fn verify_again(&self, token: &Secret<'_>, familiar: &FamiliarKey, now: WallTime) -> Result<Arc<Grant>, KeyError> {
        let epoch = self.epoch.load(Ordering::SeqCst);
        // Compared first: how long it takes to compare the texts tells nothing to who does not have the key.
        let hash = self.hasher.hash_one(token.expose());
        let known = familiar.0.load();
        let known = known.as_ref().filter(|known| known.kept.epoch == epoch);
        if let Some(known) = known
            && known.hash == hash
            && *known.kept.text == *token.expose()
        {
            return in_time(known.kept.expires, &known.grant, now).map(|()| Arc::clone(&known.grant));
        }
        let kept = self.judge(token, epoch)?;
        in_time(kept.expires, &kept.grant, now)?;
        let grant = if known.is_none() { Arc::new(Grant::clone(&kept.grant)) } else { Arc::clone(&kept.grant) };
        if known.is_none() {
            familiar.0.store(Some(Arc::new(KnownKey { hash, kept, grant: Arc::clone(&grant) })));
        }
        Ok(grant)
    }

    /// The verdict on a key: the one that is remembered from this epoch, or a new one. Whether it has ended is for who asks.
    fn judge(&self, token: &Secret<'_>, epoch: u64) -> Result<Arc<KeptVerdict>, KeyError> {
        let text = token.expose();
        // A key ends in its signature: the tail of it is spread as well as all of it.
        let tail = &text.as_bytes()[text.len().saturating_sub(8)..];
        let shard = &self.memory[usize::try_from(self.hasher.hash_one(tail)).unwrap_or(0) % SHARDS];
        if let Some(kept) = shard.load().get(text)
            && kept.epoch == epoch
        {
            return Ok(Arc::clone(kept));
        }
        let Verified { grant, expires, .. } = self.ring.load().open(token)?;
        if self.revoked.load().contains(&grant.key_id) {
            return Err(KeyError::Revoked(grant.key_id));
        }
        in_time(expires, &grant, self.clock.wall())?;
        let kept = Arc::new(KeptVerdict { text: text.into(), grant: Arc::new(grant), expires, epoch });
        shard.rcu(|old| {
            let mut new = if old.len() >= KEYS_PER_SHARD { HashMap::with_hasher(self.hasher.clone()) } else { Shard::clone(old) };
            new.insert(Arc::clone(&kept.text), Arc::clone(&kept));
            new
        });
        Ok(kept)
    }

    /// What the holder may do who sent a user name and a password: an API key with any name, or a key's id and its ingest
    /// password.
    ///
    /// # Errors
    /// Why neither is good.
    pub fn verify_password(&self, user: &str, password: &Secret<'_>) -> Result<Arc<Grant>, KeyError> {
        match self.verify(password) {
            Err(KeyError::Malformed) => {}
            verdict => return verdict,
        }
        match self.roster.load().by_password(user, password) {
            Some((key, true)) => self.in_force(key),
            Some((_, false)) => Err(KeyError::IngestPassword),
            None if self.is_unread(user) => Err(KeyError::UnreadRecord),
            None => Err(KeyError::Malformed),
        }
    }

    /// A new nonce for a Digest challenge.
    #[must_use]
    pub fn nonce(&self) -> String {
        self.nonces.make(&self.ring.load())
    }

    /// What the holder may do who answered a Digest challenge.
    ///
    /// # Errors
    /// Why the answer is not good; [`KeyError::StaleNonce`] when it is worth another try: its nonce is not good any more or never
    /// was, or too many answers are being judged.
    pub fn verify_digest(&self, answer: &Answer<'_>, asked: &DigestRequest<'_>) -> Result<Arc<Grant>, KeyError> {
        // First of all, for it is the one thing that a stranger can't make up, and costs next to nothing to look at.
        let age = self.nonces.look(&self.ring.load(), &answer.nonce, asked.peer).ok_or(KeyError::StaleNonce)?;
        if !answer.is_for(asked) {
            return Err(KeyError::DigestElsewhere);
        }
        let roster = self.roster.load();
        let proof = answer.proof(asked);
        let named = roster.by_named_proof(&answer.user, &self.search.proved(&answer.user, asked.peer), &proof);
        let key = match named {
            Some(key) => key,
            None if self.is_unread(&answer.user) => return Err(KeyError::UnreadRecord),
            None if !self.search.may_try(asked.peer, roster.len()) => return Err(KeyError::StaleNonce),
            None => roster.by_proof(&proof).ok_or(KeyError::UnknownDigest)?,
        };
        let grant = self.in_force(key)?;
        if !self.nonces.accept(age, &answer.nonce, asked.peer) {
            return Err(KeyError::StaleNonce);
        }
        if named.is_none() {
            self.search.found(&answer.user, asked.peer, &key.grant.key_id);
        }
        Ok(grant)
    }

    fn in_force(&self, key: &Enrolled) -> Result<Arc<Grant>, KeyError> {
        if self.revoked.load().contains(&key.grant.key_id) {
            return Err(KeyError::Revoked(key.grant.key_id.clone()));
        }
        in_time(key.key.expires, &key.grant, self.clock.wall()).map(|()| Arc::clone(&key.grant))
    }

    /// Whether a key is on the revocation list.
    #[must_use]
    pub fn is_revoked(&self, id: &KeyId) -> bool {
        self.revoked.load().contains(id)
    }

    /// Puts a new revocation list in force; when this returns, no key on it is accepted any more.
    pub fn revoke(&self, ids: HashSet<KeyId>) {
        self.revoked.store(Arc::new(ids));
        self.epoch.fetch_add(1, Ordering::SeqCst);
    }

    /// Puts the keys on record in force; when this returns, no password of any other key is accepted any more. Tokens need no
    /// record.
    pub fn enroll(&self, keys: impl IntoIterator<Item = Verified>) {
        let _changing = self.changing.lock();
        self.roster.store(Arc::new(Roster::new(&self.ring.load(), keys)));
        self.epoch.fetch_add(1, Ordering::SeqCst);
    }

    /// These keys are on record, and their records can't be read: who comes with one's id and a password is told that nobody knows.
    pub fn know_unread(&self, ids: HashSet<KeyId>) {
        self.unread.store(Arc::new(ids));
    }

    /// Whether a user name is the id of such a key, and one that has not been revoked.
    fn is_unread(&self, user: &str) -> bool {
        let unread = self.unread.load();
        !unread.is_empty() && KeyId::parse(user).is_ok_and(|id| unread.contains(&id) && !self.revoked.load().contains(&id))
    }

    /// The ids of the signing keys in force, the one that signs first.
    #[must_use]
    pub fn signing_keys(&self) -> Vec<String> {
        self.ring.load().ids().map(str::to_owned).collect()
    }

    /// Puts new signing keys in force; when this returns, no key of another one is accepted any more.
    pub fn replace_ring(&self, ring: KeyRing) {
        let _changing = self.changing.lock();
        self.roster.store(Arc::new(self.roster.load().under(&ring)));
        self.ring.store(Arc::new(ring));
        self.epoch.fetch_add(1, Ordering::SeqCst);
    }
}

/// Whether a key has not ended.
fn in_time(expires: Option<WallTime>, grant: &Grant, now: WallTime) -> Result<(), KeyError> {
    match expires {
        Some(end) if now >= end => Err(KeyError::Expired(grant.key_id.clone())),
        _ => Ok(()),
    }
}

impl fmt::Debug for FamiliarKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FamiliarKey")
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verifier").field("ring", &self.ring.load()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::grant::{Role, Scope};
    use crate::auth::key::{Issued, KeySpec};
    use crate::auth::signing::SigningKey;
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use std::net::IpAddr;
    use std::time::Duration;

    struct Bench {
        clock: Clock,
        keys: Vec<SigningKey>,
        verifier: Verifier,
    }

    fn bench() -> Bench {
        let clock = Clock::manual();
        let keys = vec![SigningKey::generate(), SigningKey::generate()];
        let verifier = Verifier::new(KeyRing::new(&keys).unwrap(), clock.clone());
        Bench { clock, keys, verifier }
    }

    impl Bench {
        fn issue(&self, signer: &SigningKey, ttl: Option<Duration>) -> Issued {
            let expires = ttl.map(|ttl| WallTime::from_seconds(self.clock.wall().seconds() + ttl.as_secs()));
            let scope = Scope::parse(["live"]).unwrap();
            let spec = KeySpec { role: Role::Readonly, scope, prefix: Some("a/".to_owned()), is_edge: false, expires };
            KeyRing::new(std::slice::from_ref(signer)).unwrap().issue(&spec, self.clock.wall()).unwrap()
        }
    }

    #[test]
    fn a_key_of_any_signing_key_is_good_and_says_what_it_was_made_for() {
        let bench = bench();
        for signer in &bench.keys {
            let issued = bench.issue(signer, None);
            for _cold_then_warm in 0..2 {
                let grant = bench.verifier.verify(&issued.token).unwrap();
                assert_eq!(grant.key_id, issued.key_id);
                assert_eq!(grant.role, Role::Readonly);
                assert_eq!(grant.prefix.as_deref(), Some("a/"));
            }
        }
    }

    #[test]
    fn a_warm_key_ends_at_its_expiry_to_the_second() {
        let bench = bench();
        let issued = bench.issue(&bench.keys[0], Some(Duration::from_secs(60)));
        assert!(bench.verifier.verify(&issued.token).is_ok());
        bench.clock.advance(Duration::from_millis(59_999));
        assert!(bench.verifier.verify(&issued.token).is_ok());
        bench.clock.advance(Duration::from_millis(1));
        assert_eq!(bench.verifier.verify(&issued.token), Err(KeyError::Expired(issued.key_id)));
    }

    #[test]
    fn a_warm_key_ends_when_it_is_revoked_or_its_signing_key_goes() {
        let bench = bench();
        let [first, second] = [0, 1].map(|n: usize| bench.issue(&bench.keys[n], None));
        assert!(bench.verifier.verify(&first.token).is_ok());
        assert!(bench.verifier.verify(&second.token).is_ok());
        bench.verifier.revoke(HashSet::from([first.key_id.clone()]));
        assert_eq!(bench.verifier.verify(&first.token), Err(KeyError::Revoked(first.key_id.clone())));
        assert!(bench.verifier.verify(&second.token).is_ok());
        bench.verifier.replace_ring(KeyRing::new(&bench.keys[..1]).unwrap());
        assert_eq!(bench.verifier.verify(&first.token), Err(KeyError::Revoked(first.key_id.clone())));
        assert_eq!(bench.verifier.verify(&second.token), Err(KeyError::UnknownSigningKey));
    }

    #[test]
    fn a_familiar_key_is_judged_as_any_other() {
        let bench = bench();
        let familiar = FamiliarKey::default();
        let again = |issued: &Issued| {
            let verdict = bench.verifier.verify_again(&issued.token, &familiar, bench.clock.wall());
            assert_eq!(verdict, bench.verifier.verify(&issued.token));
            verdict.map(|grant| grant.key_id.clone())
        };
        let ends = bench.issue(&bench.keys[0], Some(Duration::from_secs(60)));
        let [lasting, other] = [0, 1].map(|n: usize| bench.issue(&bench.keys[n], None));
        let forged = Issued {
            token: Secret::new(format!("{}x", lasting.token.expose())),
            key_id: lasting.key_id.clone(),
            ..lasting.clone()
        };
        for _ in 0..2 {
            for key in [&ends, &lasting, &other] {
                assert_eq!(again(key).as_ref(), Ok(&key.key_id));
            }
            assert!(again(&forged).is_err());
        }
        // Two connections with one key have no count in common.
        let (one, other_one) = (FamiliarKey::default(), FamiliarKey::default());
        let grants = [&one, &other_one, &one]
            .map(|familiar| bench.verifier.verify_again(&lasting.token, familiar, bench.clock.wall()).unwrap());
        assert!(!Arc::ptr_eq(&grants[0], &grants[1]) && Arc::ptr_eq(&grants[0], &grants[2]));
        bench.clock.advance(Duration::from_millis(59_999));
        assert!(again(&ends).is_ok());
        bench.clock.advance(Duration::from_millis(1));
        assert_eq!(again(&ends), Err(KeyError::Expired(ends.key_id.clone())));
        bench.verifier.revoke(HashSet::from([lasting.key_id.clone()]));
        assert_eq!(again(&lasting), Err(KeyError::Revoked(lasting.key_id.clone())));
        assert!(again(&other).is_ok() && again(&other).is_ok());
        bench.verifier.replace_ring(KeyRing::new(&bench.keys[..1]).unwrap());
        assert_eq!(again(&other), Err(KeyError::UnknownSigningKey));
    }

    const PUT: DigestRequest<'_> =
        DigestRequest { method: "PUT", path: "/cache/live/a/1.ts", query: None, peer: IpAddr::V4(std::net::Ipv4Addr::LOCALHOST) };

    impl Bench {
        /// A key as it goes on record.
        fn record(&self, signer: &SigningKey, role: Role, ttl: Option<Duration>) -> (Issued, Verified) {
            let expires = ttl.map(|ttl| WallTime::from_seconds(self.clock.wall().seconds() + ttl.as_secs()));
            let spec = KeySpec { role, scope: Scope::parse(["live"]).unwrap(), prefix: None, is_edge: false, expires };
            let ring = KeyRing::new(std::slice::from_ref(signer)).unwrap();
            let issued = ring.issue(&spec, self.clock.wall()).unwrap();
            let record = ring.open(&issued.token).unwrap();
            (issued, record)
        }

        /// Answers a challenge with this name and password.
        fn digest(&self, user: &str, password: &str, nonce: &str, asked: &DigestRequest<'_>) -> Result<Arc<Grant>, KeyError> {
            let unsigned =
                |response: &str| format!("username=\"{user}\", nonce=\"{nonce}\", uri=\"{}\", response=\"{response}\"", PUT.path);
            let md5 = Answer::parse(&unsigned("-")).unwrap().proof(&PUT).expected(&Secret::new(password.to_owned()));
            self.verifier.verify_digest(&Answer::parse(&unsigned(&md5)).unwrap(), asked)
        }
    }

    #[test]
    fn a_key_on_record_is_known_by_its_passwords_and_ends_with_its_key() {
        let bench = bench();
        let signer = &bench.keys[1];
        let (token, writer) = bench.record(signer, Role::Readwrite, Some(Duration::from_secs(60)));
        let (_, reader) = bench.record(signer, Role::Readonly, None);
        let id = writer.grant.key_id.as_str();
        let ring = KeyRing::new(&bench.keys).unwrap();
        let password = ring.ingest_password(&writer.grant, signer.id()).unwrap();
        let basic = |user: &str, password: &str| {
            bench.verifier.verify_password(user, &Secret::new(password.to_owned())).map(|grant| grant.key_id.clone())
        };
        let digest = |user: &str, password: &str| {
            bench.digest(user, password, &bench.verifier.nonce(), &PUT).map(|grant| grant.key_id.clone())
        };
        let (password, token) = (password.expose(), token.token.expose());
        assert_eq!(basic(id, password), Err(KeyError::Malformed), "not on record");
        assert_eq!(digest(id, password), Err(KeyError::UnknownDigest));
        assert!(basic("momento", token).is_ok(), "a token needs no record");

        bench.verifier.enroll([writer.clone(), reader.clone()]);
        for (user, password) in [(id, password), ("momento", token), (id, token), ("", token)] {
            assert_eq!(basic(user, password).as_ref(), Ok(&writer.grant.key_id), "{user}");
            assert_eq!(digest(user, password).as_ref(), Ok(&writer.grant.key_id), "{user}");
        }
        let of_reader = ring.ingest_passwords(&reader.grant.key_id);
        for (user, password, with_basic) in [
            (id, "wrong", KeyError::IngestPassword),
            ("momento", password, KeyError::Malformed),
            (reader.grant.key_id.as_str(), of_reader[1].expose(), KeyError::Malformed),
        ] {
            assert_eq!(basic(user, password), Err(with_basic), "{user}");
            assert_eq!(digest(user, password), Err(KeyError::UnknownDigest), "{user}");
        }

        bench.clock.advance(Duration::from_secs(60));
        let expired = || Err(KeyError::Expired(writer.grant.key_id.clone()));
        assert_eq!((basic(id, password), digest(id, password)), (expired(), expired()));
        bench.verifier.revoke(HashSet::from([writer.grant.key_id.clone()]));
        let revoked = || Err(KeyError::Revoked(writer.grant.key_id.clone()));
        assert_eq!((basic(id, password), digest(id, password)), (revoked(), revoked()));
        bench.verifier.revoke(HashSet::new());
        bench.verifier.replace_ring(KeyRing::new(&bench.keys[..1]).unwrap());
        assert_eq!((basic(id, password), digest(id, password)), (Err(KeyError::IngestPassword), Err(KeyError::UnknownDigest)));
        bench.verifier.replace_ring(ring);
        bench.verifier.enroll([reader]);
        assert_eq!((basic(id, password), digest(id, password)), (Err(KeyError::Malformed), Err(KeyError::UnknownDigest)));
    }

    #[test]
    fn a_proof_is_good_for_one_request_and_a_while() {
        let bench = bench();
        let (issued, writer) = bench.record(&bench.keys[0], Role::Readwrite, None);
        bench.verifier.enroll([writer]);
        let token = issued.token.expose();
        let nonce = bench.verifier.nonce();
        let digest = |password: &str, asked: &DigestRequest<'_>| bench.digest("momento", password, &nonce, asked).map(|_| ());
        assert_eq!(digest(token, &PUT), Ok(()));
        assert_eq!(digest(token, &PUT), Ok(()), "nonce counts are not watched");
        assert_eq!(digest(token, &DigestRequest { method: "DELETE", ..PUT }), Err(KeyError::UnknownDigest));
        assert_eq!(digest(token, &DigestRequest { path: "/cache/live/a/2.ts", ..PUT }), Err(KeyError::DigestElsewhere));
        bench.clock.advance(Duration::from_secs(300));
        for password in [token, "wrong"] {
            assert_eq!(digest(password, &PUT), Err(KeyError::StaleNonce), "asked anew before anything is held against it");
        }
    }

    #[test]
    fn guesses_try_few_keys_and_hold_up_nobody_who_is_known() {
        let bench = bench();
        let (issued, writer) = bench.record(&bench.keys[0], Role::Readwrite, None);
        bench.verifier.enroll((0..500).map(|_| bench.record(&bench.keys[0], Role::Readwrite, None).1).chain([writer]));
        let nonce = bench.verifier.nonce();
        let digest = |password: &str, asked: &DigestRequest<'_>| bench.digest("momento", password, &nonce, asked).map(|_| ());
        assert_eq!(digest(issued.token.expose(), &PUT), Ok(()));
        let guesses: Vec<_> = (0..300).map(|_| digest("wrong", &PUT)).collect();
        assert_eq!(guesses[0], Err(KeyError::UnknownDigest));
        assert_eq!(guesses[299], Err(KeyError::StaleNonce), "not judged any more");
        assert_eq!(digest(issued.token.expose(), &PUT), Ok(()), "it is known here");
        bench.clock.advance(Duration::from_secs(1));
        assert_eq!(digest("wrong", &PUT), Err(KeyError::UnknownDigest));
    }

    #[test]
    fn forgeries_are_told_apart_and_refused() {
        let bench = bench();
        let token = bench.issue(&bench.keys[0], None).token;
        let parts: Vec<&str> = token.expose().split('.').collect();
        let verify = |text: String| bench.verifier.verify(&Secret::new(text)).unwrap_err();
        let encode = |json: &str| URL_SAFE_NO_PAD.encode(json);

        let foreign = bench.issue(&SigningKey::generate(), None).token;
        assert_eq!(bench.verifier.verify(&foreign).unwrap_err(), KeyError::UnknownSigningKey);

        let kid = bench.keys[0].id();
        for algorithm in ["none", "HS384", "RS256"] {
            let header = encode(&format!(r#"{{"typ":"JWT","alg":"{algorithm}","kid":"{kid}"}}"#));
            for signature in ["", parts[2]] {
                let error = verify(format!("{header}.{}.{signature}", parts[1]));
                assert!(matches!(error, KeyError::Malformed | KeyError::BadSignature), "{algorithm}: {error:?}");
            }
        }
        let raised = encode(r#"{"jti":"x","role":"admin","ns":["*"],"iat":0}"#);
        assert_eq!(verify(format!("{}.{raised}.{}", parts[0], parts[2])), KeyError::BadSignature);
        assert_eq!(verify(format!("{}.{}.{}", parts[0], parts[1], &parts[2][1..])), KeyError::BadSignature);
        for junk in ["", "x", "a.b.c", "momento", &".".repeat(9), &"a".repeat(5000)] {
            assert_eq!(verify(junk.to_owned()), KeyError::Malformed, "{junk}");
        }
    }

    #[test]
    fn more_keys_than_the_memory_holds_are_still_good() {
        let bench = bench();
        let tokens: Vec<_> = (0..SHARDS * KEYS_PER_SHARD / 2 + 500).map(|_| bench.issue(&bench.keys[0], None).token).collect();
        for token in tokens.iter().chain(&tokens) {
            assert!(bench.verifier.verify(token).is_ok());
        }
        assert!(bench.verifier.memory.iter().all(|shard| shard.load().len() <= KEYS_PER_SHARD));
    }
}
