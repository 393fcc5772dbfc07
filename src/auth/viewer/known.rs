//! The tokens that were good lately, each with what it says: a player sends the same one with every request, and to check its MAC or signature
//! and to read it costs as much as all else of a read.
//!
//! Invariants: nothing is kept but what keys in force have made, so nobody fills the memory with guesses; it is of one set of keys and goes
//! with them; and what is kept is what a token says, never a verdict: whether that is enough for what is asked, here and now, is judged at each
//! use. It is bounded in number and in what one may say. Found by a hash of the whole text under a secret of this process, which has to be the same
//! before the texts are compared: how long that takes tells nothing of what is kept to who does not have it.

use std::sync::{Arc, OnceLock};

use ahash::RandomState;
use arc_swap::{ArcSwapOption, Guard};

use super::claims::ViewerClaims;
use super::{AdmittedViewer, ViewerAsked, ViewerError};
use crate::auth::grant::{Grant, KeyId, Scope};
use crate::auth::secret::Secret;
use crate::model::clock::WallTime;

/// How many places there are, and how many tokens may lie in each: 8,192 in all. A token of 300 characters takes about a KiB, the dearest four.
const SETS: usize = 2048;
const PER_SET: usize = 4;
/// How many texts and networks the claims of one that is kept hold at most. Those that say more are read at each use.
const MOST_PARTS: usize = 32;

/// A token that was found to be made with a key in force, and what it says.
#[derive(Debug)]
pub(super) struct OpenedToken {
    hash: u64,
    text: Secret<'static>,
    pub(super) claims: ViewerClaims,
    id: KeyId,
    /// What it allows where it was used first, and how viewers' paths begin there.
    grant: OnceLock<(Box<str>, Arc<Grant>)>,
}

/// The memory. Read without a lock, and without a write to anything that threads share.
pub(super) struct KnownTokens {
    hasher: RandomState,
    places: Box<[ArcSwapOption<OpenedToken>]>,
}

impl OpenedToken {
    /// One that is not looked for by its text.
    ///
    /// # Errors
    /// [`ViewerError::Invalid`]: nobody could end it.
    pub(super) fn new(claims: ViewerClaims) -> Result<Self, ViewerError> {
        let id = claims.key_id().ok_or(ViewerError::Invalid("its id is none"))?;
        Ok(Self { hash: 0, text: Secret::new(""), claims, id, grant: OnceLock::new() })
    }

    /// Lets the holder in, or not, as [`ViewerClaims::judge`] does.
    ///
    /// # Errors
    /// As there.
    pub(super) fn judge(
        &self,
        asked: &ViewerAsked<'_>,
        now: WallTime,
        is_revoked: impl FnOnce(&KeyId) -> bool,
    ) -> Result<AdmittedViewer, ViewerError> {
        let (left, renewed) = self.claims.admit(&self.id, asked, now, is_revoked)?;
        Ok(AdmittedViewer { grant: self.grant(asked), left, renewed })
    }

    /// What it allows where it is used. Made once: that is the same for all of a namespace.
    fn grant(&self, asked: &ViewerAsked<'_>) -> Arc<Grant> {
        if let Some((base, grant)) = self.grant.get()
            && **base == *asked.base
            && matches!(&grant.scope, Scope::Only(names) if names.first() == Some(asked.namespace))
        {
            return Arc::clone(grant);
        }
        let grant = Arc::new(self.claims.grant(&self.id, asked));
        let _ = self.grant.set((asked.base.into(), Arc::clone(&grant)));
        grant
    }
}

impl KnownTokens {
    pub(super) fn new() -> Self {
        Self { hasher: RandomState::new(), places: (0..SETS * PER_SET).map(|_| ArcSwapOption::empty()).collect() }
    }

    /// What a text was found to be.
    pub(super) fn find(&self, text: &str) -> Option<Guard<Option<Arc<OpenedToken>>>> {
        let hash = self.hasher.hash_one(text);
        let is_it = |known: &Arc<OpenedToken>| known.hash == hash && known.text.expose() == text;
        self.set(hash).iter().map(ArcSwapOption::load).find(|known| known.as_ref().is_some_and(is_it))
    }

    /// Keeps what a text was found to be, in the place of another one if there is none left.
    pub(super) fn keep(&self, text: &str, token: OpenedToken) -> Arc<OpenedToken> {
        let hash = self.hasher.hash_one(text);
        if token.claims.parts() > MOST_PARTS {
            return Arc::new(token);
        }
        let token = Arc::new(OpenedToken { hash, text: Secret::new(text.to_owned()), ..token });
        let set = self.set(hash);
        let (_, other) = split(hash);
        if let Some(place) = set.iter().find(|place| place.load().is_none()).or(set.get(other)) {
            place.store(Some(Arc::clone(&token)));
        }
        token
    }

    fn set(&self, hash: u64) -> &[ArcSwapOption<OpenedToken>] {
        let begin = split(hash).0 * PER_SET;
        self.places.get(begin..begin + PER_SET).unwrap_or_default()
    }
}

/// In which set a hash lies, and which one of it makes room.
fn split(hash: u64) -> (usize, usize) {
    let number = usize::try_from(hash & 0xffff_ffff).unwrap_or(0);
    (number % SETS, number / SETS % PER_SET)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::Namespace;

    fn token(id: &str, audience: usize) -> OpenedToken {
        let audience = (0..audience).map(|number| format!("n{number}")).collect();
        OpenedToken::new(ViewerClaims { id: id.as_bytes().to_vec(), expires: 10, audience, ..ViewerClaims::default() }).unwrap()
    }

    #[test]
    fn what_is_kept_is_found_by_all_of_its_text_and_in_bounded_number() {
        let known = KnownTokens::new();
        assert!(known.find("a").is_none());
        known.keep("a", token("id", 1));
        assert_eq!(known.find("a").as_deref().and_then(Option::as_ref).map(|found| found.id.as_str()), Some("v-6964"));
        assert!(known.find("ab").is_none() && known.find("").is_none());
        for number in 0..40_000 {
            known.keep(&number.to_string(), token("id", 1));
            assert!(known.find(&number.to_string()).is_some(), "the newest is there");
        }
        let kept = known.places.iter().filter(|place| place.load().is_some()).count();
        assert!(kept > SETS * PER_SET * 9 / 10 && kept <= SETS * PER_SET, "{kept}");
        known.keep("long", token("id", MOST_PARTS + 1));
        assert!(known.find("long").is_none());
    }

    #[test]
    fn a_grant_is_made_anew_where_another_is_due() {
        let [one, other] = ["n0", "n1"].map(|name| Namespace::parse(name).unwrap());
        let token = token("id", 2);
        let grant = |namespace: &Namespace, base: &str| {
            let asked = ViewerAsked::plain(namespace, base, "a.ts");
            token.judge(&asked, WallTime::from_seconds(1), |_| false).unwrap().grant
        };
        let first = grant(&one, "/cache/n0/");
        assert!(Arc::ptr_eq(&first, &grant(&one, "/cache/n0/")));
        assert_eq!(grant(&other, "/cache/n1/").scope, Scope::Only(vec![other.clone()]));
        assert_eq!(*grant(&one, "/live/"), *first);
    }
}
