//! Viewers' tokens: a text that opens a part of one namespace, for reading, for a while, to whoever holds it. Made by a back end or by the
//! command line with a viewer key, and never kept: [`keys`] holds those keys, [`cat`] writes and reads the tokens, [`claims`] is what one
//! says, [`form`] what its bytes may look like; [`spec`] is what a new one is to be, and [`revoked`] are those that ended before their time.
//!
//! Invariants: what is not understood refuses. A token is judged at each use and remembered nowhere: thousands of viewers would push out
//! the few API keys that [`super::verify`] remembers. Of a token nothing is shown but the id it is revoked by.

mod cat;
mod claims;
mod form;
mod keys;
mod revoked;
mod spec;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use thiserror::Error;

pub use self::claims::{Unsupported, UriMatch, UriPart, UriRule, ViewerClaims};
pub use self::keys::ViewerKeys;
use self::revoked::Revocations;
pub use self::revoked::{MOST_REVOCATIONS, Revocation, RevokedTokens};
pub use self::spec::{SpecError, ViewerSpec};
use super::grant::{Grant, KeyId, Role, Scope};
use super::secret::Secret;
use super::signing::hex;
use crate::model::clock::{Clock, WallTime};
use crate::model::id::Namespace;

/// How long a text is at least that is taken for a token.
const SHORTEST: usize = 40;
/// How much of its id names it.
const NAMED_BY: usize = 16;

/// Whether a text has the form of a viewer's token, so that it can be nothing else: the name of an object, say.
#[must_use]
pub fn has_form(text: &str) -> bool {
    let is_inside = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (SHORTEST..=cat::LONGEST).contains(&text.len()) && text.bytes().all(is_inside)
}

/// Why a token does not open what is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ViewerError {
    /// It is none, or not of ours. Which of the two, and why, is for the log.
    #[error("{0}")]
    Invalid(&'static str),
    /// It says what is not understood here.
    #[error("{0}")]
    Unsupported(Unsupported),
    /// Past its end.
    #[error("it has ended")]
    Expired {
        /// Which token it is.
        id: KeyId,
        /// When it ended.
        at: WallTime,
    },
    /// Its time has not begun.
    #[error("its time has not begun")]
    NotYet {
        /// Which token it is.
        id: KeyId,
        /// When it begins.
        from: WallTime,
    },
    /// Revoked, by its id or with others.
    #[error("it has been revoked")]
    Revoked {
        /// Which token it is.
        id: KeyId,
    },
    /// It is for something else.
    #[error("it is for another {beyond}")]
    Scope {
        /// Which token it is.
        id: KeyId,
        /// What differs.
        beyond: Beyond,
    },
}

/// What a token is not for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beyond {
    /// The namespace (`aud`).
    Namespace,
    /// The host (`catu`).
    Host,
    /// The path (`catu`).
    Path,
    /// The method (`catm`).
    Method,
}

impl fmt::Display for Beyond {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Namespace => "namespace",
            Self::Host => "host",
            Self::Path => "path",
            Self::Method => "method",
        })
    }
}

impl ViewerError {
    /// Which token it is, where it was made with one of our keys.
    #[must_use]
    pub fn key_id(&self) -> Option<&KeyId> {
        match self {
            Self::Invalid(_) | Self::Unsupported(_) => None,
            Self::Expired { id, .. } | Self::NotYet { id, .. } | Self::Revoked { id } | Self::Scope { id, .. } => Some(id),
        }
    }
}

/// What a viewer asks for.
#[derive(Clone, Copy, Debug)]
pub struct ViewerAsked<'a> {
    /// Where it is.
    pub namespace: &'a Namespace,
    /// What stands before the key in the path as viewers ask for it; a slash at its end.
    pub base: &'a str,
    /// The object's key, or what the keys of a folder begin with.
    pub key: &'a str,
    /// The request's method.
    pub method: &'a str,
    /// The host that was asked, without its port.
    pub host: Option<&'a str>,
    /// How long after its end a token still opens it.
    pub grace: Duration,
    /// By how much the clock of who made the token may be ahead.
    pub skew: Duration,
}

/// A viewer who is let in.
#[derive(Clone, Debug)]
pub struct AdmittedViewer {
    /// What the token allows of what was asked for.
    pub grant: Arc<Grant>,
    /// How long it is good still; nothing in the time after its end.
    pub left: Duration,
}

/// Tells good tokens from bad ones.
pub struct ViewerVerifier {
    clock: Clock,
    keys: ArcSwap<ViewerKeys>,
    revoked: ArcSwap<Revocations>,
}

impl ViewerVerifier {
    /// One for these keys.
    #[must_use]
    pub fn new(keys: ViewerKeys, clock: Clock) -> Self {
        Self { clock, keys: ArcSwap::from_pointee(keys), revoked: ArcSwap::default() }
    }

    /// Puts other keys in force; when this returns, no token of another one is good.
    pub fn replace_keys(&self, keys: ViewerKeys) {
        self.keys.store(Arc::new(keys));
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

    /// Makes a token, with the key that signs. `None` when there is no key, or the token would be too long to be read.
    #[must_use]
    pub fn seal(&self, claims: &ViewerClaims) -> Option<Secret<'static>> {
        seal(&self.keys.load(), claims)
    }

    /// The ids of the keys in force, the one that signs first.
    #[must_use]
    pub fn key_ids(&self) -> Vec<String> {
        self.keys.load().ids().map(str::to_owned).collect()
    }

    /// Lets the holder of a token in, or not.
    ///
    /// # Errors
    /// [`ViewerError`] says why not. What is not understood comes before what is past, and that before what is elsewhere.
    pub fn judge(&self, token: &Secret<'_>, asked: &ViewerAsked<'_>) -> Result<AdmittedViewer, ViewerError> {
        let claims = open(&self.keys.load(), token)?;
        let revoked = self.revoked.load();
        claims.judge(asked, self.clock.wall(), |id| revoked.hold(asked.namespace, asked.key, id, &claims))
    }
}

impl fmt::Debug for ViewerVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ViewerVerifier").field("keys", &self.keys.load()).finish_non_exhaustive()
    }
}

/// Checks a token's form and that it was made with one of these keys, and reads it.
///
/// # Errors
/// [`ViewerError::Invalid`] or [`ViewerError::Unsupported`].
pub fn open(keys: &ViewerKeys, token: &Secret<'_>) -> Result<ViewerClaims, ViewerError> {
    let text = token.expose();
    if text.contains('.') {
        return Err(ViewerError::Unsupported(Unsupported::Form));
    }
    cat::open(text, keys)
}

/// Makes a token, with the key that signs. `None` when there is no key, or the token would be too long to be read.
#[must_use]
pub fn seal(keys: &ViewerKeys, claims: &ViewerClaims) -> Option<Secret<'static>> {
    cat::seal(claims, keys.signer()?)
}

/// A token of whatever claims, for `crate::fuzzing` alone.
#[cfg(any(test, fuzzing))]
pub(crate) fn seal_payload(keys: &ViewerKeys, payload: &[u8]) -> Option<Secret<'static>> {
    cat::seal_payload(payload.to_vec(), keys.signer()?)
}

impl ViewerClaims {
    /// What the token is known by, in logs and to who revokes it: the beginning of its id.
    #[must_use]
    pub fn key_id(&self) -> Option<KeyId> {
        KeyId::parse(&format!("v-{}", hex(&self.id[..self.id.len().min(NAMED_BY)]))).ok()
    }

    /// Lets the holder in, or not: see [`ViewerVerifier::judge`].
    ///
    /// # Errors
    /// [`ViewerError`] says why not.
    pub fn judge(
        &self,
        asked: &ViewerAsked<'_>,
        now: WallTime,
        is_revoked: impl FnOnce(&KeyId) -> bool,
    ) -> Result<AdmittedViewer, ViewerError> {
        let id = self.key_id().ok_or(ViewerError::Invalid("its id is none"))?;
        let (begins, ends) = (self.not_before.map(WallTime::from_seconds), WallTime::from_seconds(self.expires));
        if now >= ends + asked.grace {
            return Err(ViewerError::Expired { id, at: ends });
        }
        if let Some(from) = begins.filter(|from| now + asked.skew < *from) {
            return Err(ViewerError::NotYet { id, from });
        }
        if is_revoked(&id) {
            return Err(ViewerError::Revoked { id });
        }
        if let Some(beyond) = self.beyond(asked) {
            return Err(ViewerError::Scope { id, beyond });
        }
        let grant = Grant {
            key_id: id,
            role: Role::Readonly,
            scope: Scope::Only(vec![asked.namespace.clone()]),
            // Where the path is not said by one prefix, the grant is for nothing but what was judged.
            prefix: Some(self.prefix_below(asked.base).unwrap_or(asked.key).to_owned()),
            is_edge: false,
            ends: Some(ends),
        };
        Ok(AdmittedViewer { grant: Arc::new(grant), left: ends.since(now) })
    }

    /// What the token is not for.
    fn beyond(&self, asked: &ViewerAsked<'_>) -> Option<Beyond> {
        if !self.audience.iter().any(|name| name == asked.namespace.as_str()) {
            return Some(Beyond::Namespace);
        }
        let may = match &self.methods {
            Some(methods) => methods.iter().any(|method| method == asked.method),
            None => matches!(asked.method, "GET" | "HEAD"),
        };
        if !may {
            return Some(Beyond::Method);
        }
        let path = [asked.base, asked.key].concat();
        let host = asked.host.map(str::to_ascii_lowercase).unwrap_or_default();
        let broken = self.rules.iter().find(|rule| match rule.part {
            UriPart::Path => !rule.holds(&path),
            UriPart::Host => host.is_empty() || !rule.holds(&host),
        })?;
        Some(if broken.part == UriPart::Path { Beyond::Path } else { Beyond::Host })
    }

    /// The key part of its path, where that is said by one prefix. A token without a path is for all of its namespace.
    fn prefix_below(&self, base: &str) -> Option<&str> {
        let mut rules = self.rules.iter().filter(|rule| rule.part == UriPart::Path);
        match (rules.next(), rules.next()) {
            (None, _) => Some(""),
            (Some(UriRule { matching: UriMatch::Prefix, any_of, .. }), None) => match &any_of[..] {
                [prefix] if base.starts_with(prefix.as_str()) => Some(""),
                [prefix] => prefix.strip_prefix(base),
                _ => None,
            },
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    const END: u64 = 1_900_000_000;

    fn claims(paths: &[&str]) -> ViewerClaims {
        ViewerClaims {
            id: b"viewer".to_vec(),
            expires: END,
            not_before: None,
            issued: None,
            issuer: None,
            subject: None,
            audience: vec!["live".to_owned()],
            rules: vec![UriRule {
                part: UriPart::Path,
                matching: UriMatch::Prefix,
                any_of: paths.iter().map(|path| (*path).to_owned()).collect(),
            }],
            methods: None,
        }
    }

    fn asked<'a>(namespace: &'a Namespace, key: &'a str) -> ViewerAsked<'a> {
        let (grace, skew) = (Duration::ZERO, Duration::from_secs(30));
        ViewerAsked { namespace, base: "/cache/live/", key, method: "GET", host: Some("a.example"), grace, skew }
    }

    fn judged(claims: &ViewerClaims, asked: &ViewerAsked<'_>, now: u64) -> Result<Grant, ViewerError> {
        claims.judge(asked, WallTime::from_millis(now), |_| false).map(|admitted| Grant::clone(&admitted.grant))
    }

    #[test]
    fn a_token_ends_to_the_millisecond_and_then_lets_what_was_listed_play_out() {
        let live = Namespace::parse("live").unwrap();
        let (claims, mut asked) = (claims(&["/cache/live/"]), asked(&live, "a.ts"));
        let id = KeyId::parse("v-766965776572").unwrap();
        let expired = Err(ViewerError::Expired { id: id.clone(), at: WallTime::from_seconds(END) });
        assert!(judged(&claims, &asked, END * 1000 - 1).is_ok());
        assert_eq!(judged(&claims, &asked, END * 1000), expired);
        asked.grace = Duration::from_secs(60);
        assert!(judged(&claims, &asked, (END + 60) * 1000 - 1).is_ok());
        assert_eq!(judged(&claims, &asked, (END + 60) * 1000), expired);
        let left = |now: u64| claims.judge(&asked, WallTime::from_seconds(now), |_| false).unwrap().left.as_secs();
        assert_eq!((left(END - 90), left(END), left(END + 59)), (90, 0, 0));

        let claims = ViewerClaims { not_before: Some(END - 100), ..claims };
        assert_eq!(
            judged(&claims, &asked, (END - 130) * 1000 - 1),
            Err(ViewerError::NotYet { id, from: WallTime::from_seconds(END - 100) })
        );
        assert!(judged(&claims, &asked, (END - 130) * 1000).is_ok());
    }

    #[test]
    fn a_token_is_for_what_it_says_and_for_nothing_else() {
        let [live, other] = ["live", "other"].map(|name| Namespace::parse(name).unwrap());
        let now = (END - 10) * 1000;
        let beyond = |claims: &ViewerClaims, asked: &ViewerAsked<'_>| match judged(claims, asked, now) {
            Ok(_) => None,
            Err(ViewerError::Scope { beyond, .. }) => Some(beyond),
            Err(other) => panic!("{other:?}"),
        };
        let show = claims(&["/cache/live/show/"]);
        let inside = asked(&live, "show/a.ts");
        assert_eq!(beyond(&show, &inside), None);
        assert_eq!(beyond(&show, &ViewerAsked { method: "HEAD", ..inside }), None);
        assert_eq!(beyond(&show, &ViewerAsked { method: "PROPFIND", ..inside }), Some(Beyond::Method));
        assert_eq!(beyond(&show, &ViewerAsked { key: "showdown/a.ts", ..inside }), Some(Beyond::Path));
        assert_eq!(beyond(&show, &ViewerAsked { key: "show", ..inside }), Some(Beyond::Path));
        assert_eq!(beyond(&show, &ViewerAsked { base: "/", ..inside }), Some(Beyond::Path));
        assert_eq!(beyond(&show, &ViewerAsked { namespace: &other, ..inside }), Some(Beyond::Namespace));
        assert_eq!(beyond(&ViewerClaims { audience: Vec::new(), ..show.clone() }, &inside), Some(Beyond::Namespace));
        let several = ViewerClaims { audience: vec!["other".to_owned(), "live".to_owned()], ..show.clone() };
        assert_eq!(beyond(&several, &inside), None);
        let heads = ViewerClaims { methods: Some(vec!["HEAD".to_owned()]), ..show.clone() };
        assert_eq!(beyond(&heads, &inside), Some(Beyond::Method));

        let rule = |part, matching, text: &str| UriRule { part, matching, any_of: vec![text.to_owned()] };
        for (matching, text, host, is_good) in [
            (UriMatch::Exact, "a.example", Some("A.Example"), true),
            (UriMatch::Exact, "b.example", Some("a.example"), false),
            (UriMatch::Suffix, ".example", Some("a.example"), true),
            (UriMatch::Suffix, "", None, false),
        ] {
            let claims = ViewerClaims { rules: vec![rule(UriPart::Host, matching, text)], ..show.clone() };
            let found = beyond(&claims, &ViewerAsked { host, ..inside });
            assert_eq!(found, (!is_good).then_some(Beyond::Host), "{text} {host:?}");
        }
        // Each rule has to hold.
        let both = vec![show.rules[0].clone(), rule(UriPart::Path, UriMatch::Exact, "/cache/live/show/b.ts")];
        assert_eq!(beyond(&ViewerClaims { rules: both, ..show }, &inside), Some(Beyond::Path));
    }

    #[test]
    fn the_grant_is_no_wider_than_the_token() {
        let live = Namespace::parse("live").unwrap();
        let asked = asked(&live, "show/a.ts");
        for (paths, prefix) in [
            (&["/cache/live/show/"][..], "show/"),
            (&["/cache/live/"], ""),
            (&["/"], ""),
            (&["/cache/live/show/", "/cache/live/b/"], "show/a.ts"),
        ] {
            let grant = judged(&claims(paths), &asked, 0).unwrap();
            assert_eq!((grant.prefix.as_deref(), grant.role, grant.is_edge), (Some(prefix), Role::Readonly, false), "{paths:?}");
            assert_eq!(grant.scope, Scope::Only(vec![live.clone()]));
        }
        let exact = UriRule { part: UriPart::Path, matching: UriMatch::Exact, any_of: vec!["/cache/live/show/a.ts".to_owned()] };
        let grant = judged(&ViewerClaims { rules: vec![exact], ..claims(&[]) }, &asked, 0).unwrap();
        assert_eq!(grant.prefix.as_deref(), Some("show/a.ts"));
    }

    #[test]
    fn what_has_the_form_of_a_token_is_long_and_plain() {
        for (text, is_token) in [
            ("a".repeat(40), true),
            ("a".repeat(39), false),
            ("a".repeat(1400), true),
            ("a".repeat(1401), false),
            (format!("{}.-_Z9", "a".repeat(40)), true),
            (format!("{}=", "a".repeat(40)), false),
            (format!("{}/", "a".repeat(40)), false),
        ] {
            assert_eq!(has_form(&text), is_token, "{text}");
        }
    }

    #[test]
    fn keys_are_changed_without_a_token_that_is_refused() {
        use crate::auth::signing::SigningKey;
        let live = Namespace::parse("live").unwrap();
        let [old, new] = [SigningKey::generate(), SigningKey::generate()];
        let ring = |keys: &[&SigningKey]| ViewerKeys::new(&keys.iter().map(|&key| key.clone()).collect::<Vec<_>>());
        let token = |key: &SigningKey| seal(&ring(&[key]), &claims(&["/cache/live/"])).unwrap();
        let verifier = ViewerVerifier::new(ring(&[&old]), Clock::manual());
        let good = |key: &SigningKey| verifier.judge(&token(key), &asked(&live, "a.ts")).is_ok();
        assert!(good(&old) && !good(&new));
        for keys in [&[&old, &new], &[&new, &old]] {
            verifier.replace_keys(ring(keys));
            assert!(good(&old) && good(&new));
            assert_eq!(verifier.key_ids()[0], keys[0].id());
        }
        verifier.replace_keys(ring(&[&new]));
        assert!(!good(&old) && good(&new));
        assert!(!format!("{verifier:?}").contains(&new.encode()));
    }

    proptest! {
        #[test]
        fn whatever_is_admitted_lies_below_its_prefix(prefix in "[a-c/]{0,4}", key in "[a-c/]{1,6}", exact in any::<bool>()) {
            let live = Namespace::parse("live").unwrap();
            let matching = if exact { UriMatch::Exact } else { UriMatch::Prefix };
            let path = format!("/cache/live/{prefix}");
            let rules = vec![UriRule { part: UriPart::Path, matching, any_of: vec![path.clone()] }];
            let grant = judged(&ViewerClaims { rules, ..claims(&[]) }, &asked(&live, &key), 0);
            let wanted = format!("/cache/live/{key}");
            prop_assert_eq!(grant.is_ok(), if exact { wanted == path } else { wanted.starts_with(&path) });
            if let Ok(grant) = grant {
                prop_assert!(key.starts_with(&grant.prefix.unwrap_or_default()) && prefix.len() <= key.len());
            }
        }
    }
}
