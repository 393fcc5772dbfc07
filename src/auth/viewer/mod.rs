//! Viewers' tokens: a text that opens a part of one namespace, for reading, for a while, to whoever holds it. Made by a back end or by the
//! command line with a viewer key, and on no record: [`keys`] holds those keys, [`cat`] writes and reads the tokens ([`jwt`] and [`edgeauth`] read those of other forms), [`claims`] is what one
//! says, [`form`] what its bytes may look like; [`spec`] is what a new one is to be, [`known`] are those that were good lately, [`verifier`] is who lets in, [`revoked`] are those that ended before their time, [`refusal`] is why one opens nothing, and [`usage`] is how much one is used.
//!
//! Invariants: what is not understood refuses. A token is judged at each use; what it says is remembered, apart from the API keys that
//! [`super::verify`] remembers, for thousands of viewers would push those few out. Of a token nothing is shown but the id it is revoked by.

mod cat;
mod claims;
mod edgeauth;
mod form;
mod jwt;
mod keys;
mod known;
mod place;
mod refusal;
mod revoked;
mod spec;
mod usage;
mod verifier;

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use self::claims::key;
pub use self::claims::{RenewedBy, TokenRenewal, Unsupported, ViewerClaims};
pub use self::edgeauth::NAMES as EDGE_AUTH_NAMES;
pub use self::keys::{ViewerKeyError, ViewerKeys};
pub use self::place::{Network, ViewerPlace};
pub use self::refusal::{Beyond, ViewerError};
pub use self::revoked::{MOST_REVOCATIONS, Revocation, RevokedExtent, RevokedTokens, has_room, issue_time};
pub use self::spec::{SpecError, ViewerSpec, opens_something};
pub use self::usage::ViewerLimits;
pub use self::verifier::ViewerVerifier;
use super::grant::{Grant, KeyId, Role, Scope};
use super::secret::Secret;
use super::uri_rule::PathRules;
pub use super::uri_rule::{UriMatch, UriPart, UriRule};
use crate::model::clock::WallTime;
use crate::model::id::Namespace;

/// How long a text is at least that is taken for a token.
const SHORTEST: usize = 40;

/// Whether a text has the form of a viewer's token, so that it can be nothing else: the name of an object, say.
#[must_use]
pub fn has_form(text: &str) -> bool {
    let is_inside = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    // To its end, whatever it finds: so the compiler takes many bytes at a time.
    (SHORTEST..=cat::LONGEST).contains(&text.len()) && text.bytes().fold(true, |all, byte| all & is_inside(byte))
}

/// Whether a text is a Common Access Token by its first bytes, whoever has made it.
#[must_use]
pub fn is_cat(text: &str) -> bool {
    has_form(text) && cat::begins_as_one(text)
}

/// Whether a text is one of Akamai's tokens by its MAC's name, bare or as it stands in a path, whoever has made it.
#[must_use]
pub fn is_edge_auth(text: &str) -> bool {
    edgeauth::bare(text).is_some()
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
    /// Where he is, if that is known of viewers.
    pub place: Option<ViewerPlace<'a>>,
    /// By which ways a token that renews itself can be renewed by this.
    pub renews: &'a [RenewedBy],
    /// How much a token may be used, and from where it is.
    pub limits: Option<(&'a ViewerLimits, IpAddr)>,
    /// How long after its end a token still opens it.
    pub grace: Duration,
    /// By how much the clock of who made the token may be ahead.
    pub skew: Duration,
}

impl<'a> ViewerAsked<'a> {
    /// A GET of this, with nothing borne and nothing known of the viewer.
    #[must_use]
    pub fn plain(namespace: &'a Namespace, base: &'a str, key: &'a str) -> Self {
        let (method, grace, skew) = ("GET", Duration::ZERO, Duration::ZERO);
        Self { namespace, base, key, method, host: None, place: None, renews: &[], limits: None, grace, skew }
    }
}

/// A viewer who is let in.
#[derive(Clone, Debug)]
pub struct AdmittedViewer {
    /// What the token allows where it was asked for.
    pub grant: Arc<Grant>,
    /// How long it is good still; nothing in the time after its end.
    pub left: Duration,
    /// He is to go on with one that ends then, in seconds since the Unix epoch, and is handed over so.
    pub renewed: Option<(RenewedBy, u64)>,
}

/// Checks a token's form and that it was made with one of these keys, and reads it.
///
/// # Errors
/// [`ViewerError::Invalid`] or [`ViewerError::Unsupported`].
pub fn open(keys: &ViewerKeys, token: &Secret<'_>) -> Result<ViewerClaims, ViewerError> {
    let text = token.expose();
    if jwt::is_one(text) {
        return if text.len() > cat::LONGEST {
            Err(ViewerError::Invalid("it is longer than 1,400 characters"))
        } else {
            jwt::open(text, keys)
        };
    }
    cat::open(text, keys)
}

/// The same of one of Akamai's tokens, by the keys of any namespace; `path` is that by which a viewer asks, which the MAC of one without a
/// list of paths is made with. `None`: it is none of those.
///
/// # Errors
/// As [`open`]'s.
pub fn open_edge_auth(keys: &ViewerKeys, token: &Secret<'_>, path: &str) -> Option<Result<ViewerClaims, ViewerError>> {
    let bare = edgeauth::bare(token.expose())?;
    let mut opened = Err(ViewerError::Invalid("no key of Akamai's tokens (akamai:NAMESPACE:KEY) is among the viewer keys"));
    for (namespace, key) in keys.all_edge_auth() {
        opened = opened.or_else(|_| edgeauth::open(&bare, key, &ViewerAsked::plain(namespace, "", path)));
    }
    Some(opened)
}

/// Makes a token, with the key that signs. `None` when there is no key, or the token would be too long to be read.
#[must_use]
pub fn seal(keys: &ViewerKeys, claims: &ViewerClaims) -> Option<Secret<'static>> {
    cat::seal(claims, keys.signer()?)
}

/// A token as it stands in a path.
#[must_use]
pub fn in_path<'a>(token: &'a Secret<'_>) -> Cow<'a, str> {
    let text = token.expose();
    if has_form(text) { Cow::Borrowed(text) } else { Cow::Owned(edgeauth::wrapped(text)) }
}

/// A token of whatever claims, for `crate::fuzzing` alone.
#[cfg(any(test, fuzzing))]
pub(crate) fn seal_payload(keys: &ViewerKeys, payload: &[u8]) -> Option<Secret<'static>> {
    cat::seal_payload(payload.to_vec(), keys.signer()?)
}

impl ViewerClaims {
    /// What the token is known by, in logs and to who revokes it.
    #[must_use]
    pub fn key_id(&self) -> Option<KeyId> {
        KeyId::of_token(&self.id)
    }

    /// Whether it is the one of this id, or one of those that were of this id once.
    fn is_of(&self, id: &KeyId) -> bool {
        self.key_id().as_ref() == Some(id) || self.former_id().as_ref() == Some(id)
    }

    /// What it was known by before, where that is something else.
    fn former_id(&self) -> Option<KeyId> {
        KeyId::former_of_token(&self.id)
    }

    /// From when on it is good. Never before it was made: one that says a time to come would outlive what is revoked by a prefix.
    #[must_use]
    pub fn begins(&self) -> Option<u64> {
        self.not_before.max(self.issued)
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
        let (left, renewed) = self.admit(&id, asked, now, is_revoked)?;
        Ok(AdmittedViewer { grant: Arc::new(self.grant(&id, asked)), left, renewed })
    }

    /// Whether the holder is let in: for how long the token is good still, and with which one he is to go on.
    fn admit(
        &self,
        id: &KeyId,
        asked: &ViewerAsked<'_>,
        now: WallTime,
        is_revoked: impl FnOnce(&KeyId) -> bool,
    ) -> Result<(Duration, Option<(RenewedBy, u64)>), ViewerError> {
        let (begins, ends) = (self.begins().map(WallTime::from_seconds), WallTime::from_seconds(self.expires));
        let renewal = self.renewal.filter(|renewal| asked.renews.contains(&renewal.by));
        let renewed = renewal.and_then(|renewal| Some((renewal.by, renewal.next(now, ends)?)));
        if now >= ends + asked.grace && renewed.is_none() {
            return Err(ViewerError::Expired { id: id.clone(), at: ends });
        }
        if let Some(from) = begins.filter(|from| now + asked.skew < *from) {
            return Err(ViewerError::NotYet { id: id.clone(), from });
        }
        if is_revoked(id) {
            return Err(ViewerError::Revoked { id: id.clone() });
        }
        if let Some(beyond) = self.beyond(asked) {
            return Err(ViewerError::Scope { id: id.clone(), beyond });
        }
        self.is_in_place(asked.place, id)?;
        Ok((ends.since(now), renewed))
    }

    /// What it allows in the namespace that is asked, whatever is asked for there.
    fn grant(&self, id: &KeyId, asked: &ViewerAsked<'_>) -> Grant {
        let prefix = self.prefix_below(asked.base);
        Grant {
            key_id: id.clone(),
            role: Role::Readonly,
            scope: Scope::Only(vec![asked.namespace.clone()]),
            prefix: Some(prefix.unwrap_or_default().to_owned()),
            paths: prefix.is_none().then(|| Arc::new(PathRules::new(asked.base, &self.rules))),
            is_edge: false,
            ends: Some(WallTime::from_seconds(self.expires)),
        }
    }

    /// How many texts and networks it holds.
    fn parts(&self) -> usize {
        let some = |list: &Option<Vec<String>>| list.as_ref().map_or(0, Vec::len);
        let rules = self.rules.iter().map(|rule| rule.any_of.len()).sum::<usize>();
        let networks = self.addresses.as_ref().map_or(0, Vec::len);
        self.audience.len() + some(&self.methods) + some(&self.countries) + rules + networks
    }

    /// Whether he is where the token is good. Where nothing is known of that, such a token can't be judged.
    fn is_in_place(&self, place: Option<ViewerPlace<'_>>, id: &KeyId) -> Result<(), ViewerError> {
        let unknown = |key: i64| ViewerError::Unsupported(Unsupported::Claim(Some(key)));
        if let Some(networks) = &self.addresses {
            let place = place.filter(|place| place.knows_address).ok_or(unknown(key::CATNIP))?;
            if !place.address.is_some_and(|address| networks.iter().any(|network| network.contains(address))) {
                return Err(ViewerError::Place { id: id.clone() });
            }
        }
        if let Some(countries) = &self.countries {
            let place = place.filter(|place| place.knows_country).ok_or(unknown(key::CATGEOISO3166))?;
            // A token for a country is good in its subdivisions, and not the other way round.
            let is_in = |country: &String| {
                place.country.is_some_and(|here| {
                    here == country || here.strip_prefix(country.as_str()).is_some_and(|rest| rest.starts_with('-'))
                })
            };
            if !countries.iter().any(is_in) {
                return Err(ViewerError::Place { id: id.clone() });
            }
        }
        Ok(())
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
        let broken = self.rules.iter().find(|rule| match rule.part {
            UriPart::Path => !rule.holds_of_path(asked.base, asked.key),
            UriPart::Host => !asked.host.is_some_and(|host| !host.is_empty() && rule.holds(&host.to_ascii_lowercase())),
        })?;
        Some(if broken.part == UriPart::Path { Beyond::Path } else { Beyond::Host })
    }

    /// How much of what it opens in a namespace is revoked; of one path (`asked`), where that is not empty.
    #[must_use]
    pub fn revoked_extent(&self, all: &[Revocation], namespace: &Namespace, base: &str, asked: &str) -> RevokedExtent {
        let key = asked.strip_prefix(base).filter(|key| !key.is_empty());
        revoked::revoked_extent(all, namespace, key.or(self.prefix_below(base)).unwrap_or_default(), self)
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
    use super::revoked::Revocations;
    use super::*;
    use crate::auth::grant::Action;
    use crate::model::clock::Clock;
    use crate::model::id::{Key, ObjectId};
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    const END: u64 = 1_900_000_000;

    fn claims(paths: &[&str]) -> ViewerClaims {
        ViewerClaims {
            id: b"viewer".to_vec(),
            expires: END,
            audience: vec!["live".to_owned()],
            rules: Arc::new([UriRule {
                part: UriPart::Path,
                matching: UriMatch::Prefix,
                any_of: paths.iter().map(|path| (*path).to_owned()).collect(),
            }]),
            ..ViewerClaims::default()
        }
    }

    fn asked<'a>(namespace: &'a Namespace, key: &'a str) -> ViewerAsked<'a> {
        let (grace, skew) = (Duration::ZERO, Duration::from_secs(30));
        ViewerAsked {
            namespace,
            base: "/cache/live/",
            key,
            method: "GET",
            host: Some("a.example"),
            place: None,
            renews: &[],
            limits: None,
            grace,
            skew,
        }
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
            let claims = ViewerClaims { rules: Arc::new([rule(UriPart::Host, matching, text)]), ..show.clone() };
            let found = beyond(&claims, &ViewerAsked { host, ..inside });
            assert_eq!(found, (!is_good).then_some(Beyond::Host), "{text} {host:?}");
        }
        // Each rule has to hold.
        let both = Arc::new([show.rules[0].clone(), rule(UriPart::Path, UriMatch::Exact, "/cache/live/show/b.ts")]);
        assert_eq!(beyond(&ViewerClaims { rules: both, ..show }, &inside), Some(Beyond::Path));
    }

    #[test]
    fn the_grant_is_no_wider_than_the_token() {
        let live = Namespace::parse("live").unwrap();
        let asked = asked(&live, "show/a.ts");
        let key = |key: &str| ObjectId { namespace: live.clone(), key: Key::parse(key).unwrap() };
        let reads =
            |grant: &Grant| ["show/a.ts", "show/b.ts", "b/a.ts", "c/a.ts"].map(|name| grant.allows(Action::Read, &key(name)));
        for (paths, prefix, opens) in [
            (&["/cache/live/show/"][..], "show/", [true, true, false, false]),
            (&["/cache/live/"], "", [true; 4]),
            (&["/"], "", [true; 4]),
            (&["/cache/live/show/", "/cache/live/b/"], "", [true, true, true, false]),
        ] {
            let grant = judged(&claims(paths), &asked, 0).unwrap();
            assert_eq!((grant.prefix.as_deref(), grant.role, grant.is_edge), (Some(prefix), Role::Readonly, false), "{paths:?}");
            assert_eq!(grant.scope, Scope::Only(vec![live.clone()]));
            assert_eq!(reads(&grant), opens, "{paths:?}");
        }
        let exact = UriRule { part: UriPart::Path, matching: UriMatch::Exact, any_of: vec!["/cache/live/show/a.ts".to_owned()] };
        let grant = judged(&ViewerClaims { rules: Arc::new([exact]), ..claims(&[]) }, &asked, 0).unwrap();
        assert_eq!(reads(&grant), [true, false, false, false]);
    }

    #[test]
    fn a_token_for_a_place_opens_nothing_elsewhere_nor_where_places_are_not_known() {
        let live = Namespace::parse("live").unwrap();
        let inside = asked(&live, "show/a.ts");
        let network = Network::parse("192.0.2.0/24");
        let here = ViewerClaims { addresses: network.map(|network| vec![network]), ..claims(&["/cache/live/"]) };
        let country = ViewerClaims { countries: Some(vec!["AT".to_owned(), "CH-ZH".to_owned()]), ..claims(&["/cache/live/"]) };
        let judge = |claims: &ViewerClaims, place| match judged(claims, &ViewerAsked { place, ..inside }, 0) {
            Ok(_) => "good",
            Err(ViewerError::Place { .. }) => "place",
            Err(ViewerError::Unsupported(_)) => "unsupported",
            Err(other) => panic!("{other:?}"),
        };
        let at =
            |address: &str| Some(ViewerPlace { address: address.parse().ok(), knows_address: true, ..ViewerPlace::default() });
        for (place, expected) in [
            (None, "unsupported"),
            (Some(ViewerPlace::default()), "unsupported"),
            (at("192.0.2.9"), "good"),
            (at("192.0.3.9"), "place"),
            (at(""), "place"),
        ] {
            assert_eq!(judge(&here, place), expected, "{place:?}");
        }
        let of = |country| Some(ViewerPlace { country, knows_country: true, ..ViewerPlace::default() });
        for (place, expected) in [
            (None, "unsupported"),
            (at("192.0.2.9"), "unsupported"),
            (of(Some("AT")), "good"),
            (of(Some("AT-9")), "good"),
            (of(Some("ATX")), "place"),
            (of(Some("CH")), "place"),
            (of(Some("CH-ZH")), "good"),
            (of(None), "place"),
        ] {
            assert_eq!(judge(&country, place), expected, "{place:?}");
        }
    }

    #[test]
    fn a_token_that_renews_itself_does_so_near_its_end_and_until_its_deadline() {
        let live = Namespace::parse("live").unwrap();
        let renewal = Some(TokenRenewal { by: RenewedBy::Redirect, extend: 600, deadline: END + 1000 });
        let claims = ViewerClaims { renewal, ..claims(&["/cache/live/"]) };
        let playlist = ViewerAsked { renews: &[RenewedBy::Header, RenewedBy::Redirect], ..asked(&live, "p.m3u8") };
        let next = |asked: &ViewerAsked<'_>, now: u64| {
            claims.judge(asked, WallTime::from_seconds(now), |_| false).map(|admitted| admitted.renewed.map(|(_, ends)| ends))
        };
        assert_eq!(next(&playlist, END - 601), Ok(None), "there is enough left");
        assert_eq!(next(&playlist, END - 599), Ok(Some(END + 600)));
        assert_eq!(next(&playlist, END + 300), Ok(Some(END + 901)), "a player asks by its first URL for ever");
        assert_eq!(next(&playlist, END + 700), Ok(Some(END + 1000)), "and never past the deadline");
        assert!(next(&playlist, END + 1000).is_err());
        let segment = ViewerAsked { renews: &[RenewedBy::Header], ..playlist };
        assert!(next(&segment, END - 1) == Ok(None) && next(&segment, END).is_err());
        // By a header it is handed over while it is good: who comes later has none to show.
        let renewal = Some(TokenRenewal { by: RenewedBy::Header, extend: 600, deadline: END + 1000 });
        let by_header = ViewerClaims { renewal, ..claims.clone() };
        let next = |now: u64| by_header.judge(&segment, WallTime::from_seconds(now), |_| false).map(|admitted| admitted.renewed);
        assert_eq!(next(END - 601), Ok(None));
        assert_eq!(next(END - 599), Ok(Some((RenewedBy::Header, END + 600))));
        assert!(next(END).is_err());
        let revoked = claims.judge(&playlist, WallTime::from_seconds(END), |_| true);
        assert!(matches!(revoked, Err(ViewerError::Revoked { .. })));
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
        let good = |key: &SigningKey| verifier.judge(&token(key), &asked(&live, "a.ts"), WallTime::from_seconds(0)).is_ok();
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

    /// What is done to a verifier, and what is asked of it.
    #[derive(Clone, Debug)]
    enum Step {
        /// Puts these of three keys in force.
        Keys(u8),
        /// Ends this token, or no more.
        Revoke(Option<usize>),
        /// Ends what was made before, in a part of the namespace.
        Close(u64),
        Wait(u64),
        /// Asks with this token, of which this byte is another than it was, if any: where, for what, with which method.
        Ask(usize, Option<usize>, bool, usize, bool),
    }

    /// These revocations, in force in one of the namespaces.
    fn of(what: &[RevokedTokens]) -> Vec<Revocation> {
        let (namespace, at) = (Namespace::parse("live").unwrap(), WallTime::from_seconds(0));
        let until = WallTime::from_seconds(u64::MAX);
        what.iter().map(|what| Revocation { namespace: namespace.clone(), what: what.clone(), at, until }).collect()
    }

    fn steps() -> impl proptest::strategy::Strategy<Value = Vec<Step>> {
        use proptest::prelude::{Strategy as _, prop_oneof};
        let ask = (0..9usize, proptest::option::weighted(0.2, 0..300usize), any::<bool>(), 0..3usize, any::<bool>());
        let step = prop_oneof![
            1 => (1..8u8).prop_map(Step::Keys),
            1 => proptest::option::of(0..9usize).prop_map(Step::Revoke),
            1 => (0..40u64).prop_map(Step::Close),
            1 => (0..60u64).prop_map(Step::Wait),
            8 => ask.prop_map(|(token, byte, here, key, get)| Step::Ask(token, byte, here, key, get)),
        ];
        proptest::collection::vec(step, 1..60)
    }

    proptest! {
        /// Through a warm memory each verdict is the one that it would be without: over other keys, revocations, the end of a token and
        /// forgeries.
        #[test]
        fn what_is_remembered_changes_no_verdict(steps in steps()) {
            use crate::auth::signing::SigningKey;
            let clock = Clock::manual();
            let all: Vec<_> = (0..3).map(|_| SigningKey::generate()).collect();
            let ring = |which: u8| {
                let chosen = all.iter().enumerate().filter(|(number, _)| which >> number & 1 == 1);
                ViewerKeys::new(&chosen.map(|(_, key)| key.clone()).collect::<Vec<_>>())
            };
            let begin = clock.wall().seconds();
            let tokens: Vec<_> = (0..9usize).map(|number| {
                let path = ["/cache/live/", "/cache/live/show/", "/cache/"][number % 3].to_owned();
                let rule = UriRule { part: UriPart::Path, matching: UriMatch::Prefix, any_of: vec![path] };
                let rules: [Arc<[UriRule]>; 2] = [Arc::new([rule]), Arc::default()];
                let claims = ViewerClaims {
                    id: vec![u8::try_from(number).unwrap(); 8],
                    expires: begin + 40 * (number as u64 + 1),
                    issued: (number % 2 == 0).then_some(begin + number as u64),
                    audience: ["live", "other"][..number % 2 + 1].iter().map(|&name| name.to_owned()).collect(),
                    rules: Arc::clone(&rules[number / 8]),
                    ..ViewerClaims::default()
                };
                (seal(&ring(1 << (number / 3)), &claims).unwrap(), claims.key_id().unwrap())
            }).collect();
            let [live, other] = ["live", "other"].map(|name| Namespace::parse(name).unwrap());
            let verifier = ViewerVerifier::new(ring(7), clock.clone());
            let (mut which, mut revocations) = (7, Vec::new());
            for step in steps {
                match step {
                    Step::Keys(keys) => {
                        which = keys;
                        verifier.replace_keys(ring(keys));
                    }
                    Step::Revoke(None) => revocations.clear(),
                    Step::Revoke(Some(token)) => revocations.push(RevokedTokens::Id(tokens[token].1.clone())),
                    Step::Close(before) => {
                        let issued_before = begin + before;
                        revocations.push(RevokedTokens::Before { prefix: "show/".to_owned(), issued_before });
                    }
                    Step::Wait(seconds) => clock.advance(Duration::from_secs(seconds)),
                    Step::Ask(token, byte, here, key, is_get) => {
                        let mut text = tokens[token].0.expose().to_owned();
                        if let Some(at) = byte.filter(|at| *at < text.len()) {
                            let changed = if text.as_bytes()[at] == b'A' { "B" } else { "A" };
                            text.replace_range(at..=at, changed);
                        }
                        let (namespace, base) = if here { (&live, "/cache/live/") } else { (&other, "/cache/other/") };
                        let key = ["a.ts", "show/a.ts", "show"][key];
                        let plain = ViewerAsked::plain(namespace, base, key);
                        let asked = ViewerAsked { method: if is_get { "GET" } else { "PROPFIND" }, ..plain };
                        let text = Secret::new(text);
                        let judged = verifier.judge(&text, &asked, clock.wall()).map(|(admitted, _)| (Grant::clone(&admitted.grant), admitted.left));
                        let afresh = open(&ring(which), &text).and_then(|claims| {
                            let revoked = Revocations::new(of(&revocations));
                            claims.judge(&asked, clock.wall(), |id| revoked.hold(namespace, key, id, &claims))
                        });
                        let afresh = afresh.map(|admitted| (Grant::clone(&admitted.grant), admitted.left));
                        prop_assert_eq!(judged, afresh);
                        continue;
                    }
                }
                verifier.revoke(of(&revocations));
            }
        }

        #[test]
        fn whatever_is_admitted_lies_below_its_prefix(prefix in "[a-c/]{0,4}", key in "[a-c/]{1,6}", exact in any::<bool>()) {
            let live = Namespace::parse("live").unwrap();
            let matching = if exact { UriMatch::Exact } else { UriMatch::Prefix };
            let path = format!("/cache/live/{prefix}");
            let rules = Arc::new([UriRule { part: UriPart::Path, matching, any_of: vec![path.clone()] }]);
            let claims = ViewerClaims { rules, ..claims(&[]) };
            let grant = judged(&claims, &asked(&live, &key), 0);
            let wanted = format!("/cache/live/{key}");
            prop_assert_eq!(grant.is_ok(), if exact { wanted == path } else { wanted.starts_with(&path) });
            if let Ok(grant) = grant {
                prop_assert!(key.starts_with(grant.prefix.as_deref().unwrap_or_default()) && prefix.len() <= key.len());
                // What it opens of others is what the token opens.
                for other in [prefix.clone(), format!("{prefix}a"), format!("b{prefix}"), "c".to_owned()] {
                    let Ok(other) = Key::parse(&other) else { continue };
                    let is_open = judged(&claims, &asked(&live, other.as_str()), 0).is_ok();
                    prop_assert_eq!(grant.allows(Action::Read, &ObjectId { namespace: live.clone(), key: other }), is_open);
                }
            }
        }
    }
}
