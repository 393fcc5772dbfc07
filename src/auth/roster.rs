//! The keys on record, and the passwords they can be known by.
//!
//! A proof by HTTP Digest, or a short password, does not carry the grant as a token does, so who wants to judge one has to know
//! whose it may be. Two kinds of password are known for each key: its ingest password, with its id as the user name; and its
//! token, which is made again from the record, with any user name: people enter `momento` and the key, and it is their client
//! that then chooses Digest over Basic.

use std::collections::HashMap;
use std::sync::Arc;

use super::digest::Proof;
use super::grant::{Grant, KeyId, Role};
use super::key::{KeyRing, Verified};
use super::secret::Secret;
use super::signing::same;

/// The keys on record.
#[derive(Default)]
pub(super) struct Roster {
    keys: HashMap<KeyId, Enrolled>,
}

/// One of them.
pub(super) struct Enrolled {
    pub(super) grant: Arc<Grant>,
    pub(super) key: Verified,
    /// None but for writing: readers have no need of a second name.
    ingest: Vec<Secret<'static>>,
    tokens: Vec<Secret<'static>>,
}

impl Roster {
    pub(super) fn new(ring: &KeyRing, keys: impl IntoIterator<Item = Verified>) -> Self {
        let enroll = |key: Verified| {
            let id = key.grant.key_id.clone();
            let ingest = if key.grant.role == Role::Readwrite { ring.ingest_passwords(&id) } else { Vec::new() };
            (id, Enrolled { grant: Arc::new(key.grant.clone()), tokens: ring.tokens(&key), ingest, key })
        };
        Self { keys: keys.into_iter().map(enroll).collect() }
    }

    /// The same keys under other signing keys.
    pub(super) fn under(&self, ring: &KeyRing) -> Self {
        Self::new(ring, self.keys.values().map(|enrolled| enrolled.key.clone()))
    }

    /// The key of this id that may be known by a short password, and whether this is it.
    pub(super) fn by_password(&self, user: &str, password: &Secret<'_>) -> Option<(&Enrolled, bool)> {
        let enrolled = self.by_id(user).filter(|enrolled| !enrolled.ingest.is_empty())?;
        let fits = enrolled.ingest.iter().any(|known| same(known.expose().as_bytes(), password.expose().as_bytes()));
        Some((enrolled, fits))
    }

    /// How many they are.
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// The key whose holder made this proof, of the one with the user name as its id and of those that this user has proved before:
    /// few, however many are on record.
    pub(super) fn by_named_proof(&self, user: &str, proved: &[KeyId], proof: &Proof) -> Option<&Enrolled> {
        let by_id = self.by_id(user);
        let ingest = by_id.filter(|enrolled| enrolled.ingest.iter().any(|password| proof.is_of(password)));
        let tokens = || by_id.into_iter().chain(proved.iter().filter_map(|id| self.keys.get(id)));
        ingest.or_else(|| tokens().find(|enrolled| enrolled.tokens.iter().any(|token| proof.is_of(token))))
    }

    /// The same of all on record, whatever the user name. Each of their tokens is tried, about a microsecond each: see
    /// [`Search::may_try`](super::search::Search::may_try).
    pub(super) fn by_proof(&self, proof: &Proof) -> Option<&Enrolled> {
        self.keys.values().find(|enrolled| enrolled.tokens.iter().any(|token| proof.is_of(token)))
    }

    fn by_id(&self, user: &str) -> Option<&Enrolled> {
        self.keys.get(&KeyId::parse(user).ok()?)
    }
}
