//! Who holds the viewer keys in force and what was revoked, and lets viewers in by them: see [`super`] for what a token is.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::known::{KnownTokens, OpenedToken};
use super::revoked::{Revocation, Revocations};
use super::usage::ViewerUsage;
use super::{AdmittedViewer, Unsupported, ViewerAsked, ViewerClaims, ViewerError, ViewerKeys, edgeauth, open, seal};
use crate::auth::grant::{Grant, Scope};
use crate::auth::secret::Secret;
use crate::model::clock::{Clock, WallTime};
use crate::model::id::Namespace;

/// Tells good tokens from bad ones.
pub struct ViewerVerifier {
    clock: Clock,
    keys: ArcSwap<ViewerKeysInForce>,
    revoked: ArcSwap<Revocations>,
    usage: ViewerUsage,
}

/// Viewer keys, and the tokens that were found to be made with them: other keys begin with none.
struct ViewerKeysInForce {
    keys: ViewerKeys,
    known: KnownTokens,
}

impl ViewerKeysInForce {
    fn new(keys: ViewerKeys) -> Self {
        Self { keys, known: KnownTokens::new() }
    }
}

impl ViewerVerifier {
    /// One for these keys.
    #[must_use]
    pub fn new(keys: ViewerKeys, clock: Clock) -> Self {
        let keys = ArcSwap::from_pointee(ViewerKeysInForce::new(keys));
        Self { clock, keys, revoked: ArcSwap::default(), usage: ViewerUsage::default() }
    }

    /// Puts other keys in force; when this returns, no token of another one is good.
    pub fn replace_keys(&self, keys: ViewerKeys) {
        self.keys.store(Arc::new(ViewerKeysInForce::new(keys)));
    }

    /// Puts these revocations in force; when this returns, no token that they name is good.
    pub fn revoke(&self, all: Vec<Revocation>) {
        self.revoked.store(Arc::new(Revocations::new(all)));
    }

    /// What has been revoked in a namespace since then.
    #[must_use]
    pub fn revocations(&self, namespace: &Namespace, since: WallTime) -> Vec<Revocation> {
        self.revoked.load().of_namespace(namespace, since)
    }

    /// The second that a token made now for keys that begin so says it was made in: one that no revocation of before ends.
    #[must_use]
    pub fn issue_time(&self, namespace: &Namespace, opens: &str, now: WallTime) -> u64 {
        self.revoked.load().issue_time(namespace, opens, now)
    }

    /// Makes a token, with the key that signs. `None` when there is no key, or the token would be too long to be read.
    #[must_use]
    pub fn seal(&self, claims: &ViewerClaims) -> Option<Secret<'static>> {
        seal(&self.keys.load().keys, claims)
    }

    /// The ids of the keys in force, the one that signs first.
    #[must_use]
    pub fn key_ids(&self) -> Vec<String> {
        self.keys.load().keys.ids().map(str::to_owned).collect()
    }

    /// Lets the holder of a token in, or not, at this time; beside that, the token that he is to go on with, if that is another one.
    ///
    /// # Errors
    /// [`ViewerError`] says why not. What is not understood comes before what is past, and that before what is elsewhere.
    pub fn judge(
        &self,
        token: &Secret<'_>,
        asked: &ViewerAsked<'_>,
        now: WallTime,
    ) -> Result<(AdmittedViewer, Option<Secret<'static>>), ViewerError> {
        let (in_force, text) = (self.keys.load(), token.expose());
        if let Some(known) = in_force.known.find(text)
            && let Some(known) = &*known
        {
            return self.judge_opened(known, asked, now);
        }
        match edgeauth::bare(text) {
            None => {
                let opened = OpenedToken::new(open(&in_force.keys, token)?)?;
                self.judge_opened(&in_force.known.keep(text, opened), asked, now)
            }
            // What such a one is for is a part of what was authenticated: it is read for what is asked.
            Some(bare) => {
                let not_taken = Err(ViewerError::Unsupported(Unsupported::Form));
                let keys = in_force.keys.edge_auth(asked.namespace);
                let claims = keys.fold(not_taken, |known, key| known.or_else(|_| edgeauth::open(&bare, key, asked)))?;
                self.judge_opened(&OpenedToken::new(claims)?, asked, now)
            }
        }
    }

    /// What is judged at each use of a token, however well it is known.
    fn judge_opened(
        &self,
        token: &OpenedToken,
        asked: &ViewerAsked<'_>,
        now: WallTime,
    ) -> Result<(AdmittedViewer, Option<Secret<'static>>), ViewerError> {
        let (revoked, claims) = (self.revoked.load(), &token.claims);
        let admitted = token.judge(asked, now, |id| revoked.hold(asked.namespace, asked.key, id, claims))?;
        let next = admitted.renewed.and_then(|(_, expires)| self.seal(&ViewerClaims { expires, ..claims.clone() }));
        let ends = WallTime::from_seconds(claims.expires);
        // What opens is the one to go on with. Where there is none, for it would be too long, this one has ended.
        if admitted.renewed.is_some() && next.is_none() && now >= ends + asked.grace {
            return Err(ViewerError::Expired { id: admitted.grant.key_id.clone(), at: ends });
        }
        if let Some((limits, address)) = asked.limits {
            let id = &admitted.grant.key_id;
            let begun = self.usage.begin((asked.namespace, id), address, limits, self.clock.now());
            begun.map_err(|wait| ViewerError::Limit { id: id.clone(), wait })?;
        }
        Ok((admitted, next))
    }

    /// So many bytes are answered to who has this grant by a token whose use is limited.
    pub fn sent(&self, grant: &Grant, bytes: u64) {
        if let Scope::Only(names) = &grant.scope
            && let [namespace] = &names[..]
        {
            self.usage.sent((namespace, &grant.key_id), bytes, self.clock.now());
        }
    }

    /// The namespaces that have a key of Akamai's tokens, each once.
    #[must_use]
    pub fn edge_auth_namespaces(&self) -> BTreeSet<Namespace> {
        self.keys.load().keys.edge_auth_namespaces().cloned().collect()
    }

    /// Whether Akamai's tokens are taken for a namespace.
    #[must_use]
    pub fn takes_edge_auth(&self, namespace: &Namespace) -> bool {
        self.keys.load().keys.edge_auth(namespace).next().is_some()
    }
}

impl fmt::Debug for ViewerVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ViewerVerifier").field("keys", &self.keys.load().keys).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::signing::SigningKey;
    use crate::auth::viewer::{RenewedBy, TokenRenewal};

    #[test]
    fn a_token_that_nobody_can_write_anew_ends_at_its_end() {
        let live = Namespace::parse("live").unwrap();
        let token = OpenedToken::new(ViewerClaims {
            id: b"a".to_vec(),
            expires: 1000,
            audience: vec!["live".to_owned()],
            renewal: Some(TokenRenewal { by: RenewedBy::Redirect, extend: 600, deadline: 2000 }),
            ..ViewerClaims::default()
        });
        let token = token.unwrap();
        let asked = ViewerAsked { renews: &[RenewedBy::Redirect], ..ViewerAsked::plain(&live, "/cache/live/", "p.m3u8") };
        let signer = [SigningKey::generate()];
        for (keys, now, expected) in
            [(&[][..], 999, Some(false)), (&[], 1000, None), (&signer, 999, Some(true)), (&signer, 1000, Some(true))]
        {
            let verifier = ViewerVerifier::new(ViewerKeys::new(keys), Clock::manual());
            let judged = verifier.judge_opened(&token, &asked, WallTime::from_seconds(now));
            assert_eq!(judged.map(|(_, next)| next.is_some()).ok(), expected, "at {now} with {} keys", keys.len());
        }
    }
}
