//! What a viewer's token says, whatever its form: the claims of CTA-5007 (Common Access Token) that are understood here, and the names
//! of those that are not. A restriction that is not understood refuses: ignored, it would widen what the token allows.

use std::fmt;

use super::place::Network;
use crate::auth::secret::Secret;
use crate::model::clock::WallTime;

/// Claim keys, as they are registered (IANA, CBOR Web Token claims).
pub(super) mod key {
    pub(in crate::auth) const ISS: i64 = 1;
    pub(in crate::auth) const SUB: i64 = 2;
    pub(in crate::auth) const AUD: i64 = 3;
    pub(in crate::auth) const EXP: i64 = 4;
    pub(in crate::auth) const NBF: i64 = 5;
    pub(in crate::auth) const IAT: i64 = 6;
    pub(in crate::auth) const CTI: i64 = 7;
    pub(in crate::auth) const CATREPLAY: i64 = 308;
    pub(in crate::auth) const CATV: i64 = 310;
    pub(in crate::auth) const CATNIP: i64 = 311;
    pub(in crate::auth) const CATU: i64 = 312;
    pub(in crate::auth) const CATM: i64 = 313;
    pub(in crate::auth) const CATGEOISO3166: i64 = 316;
    pub(in crate::auth) const CATR: i64 = 323;
}

/// The names of all that are registered for such tokens.
const NAMES: [(i64, &str); 26] = [
    (1, "iss"),
    (2, "sub"),
    (3, "aud"),
    (4, "exp"),
    (5, "nbf"),
    (6, "iat"),
    (7, "cti"),
    (8, "cnf"),
    (282, "geohash"),
    (308, "catreplay"),
    (309, "catpor"),
    (310, "catv"),
    (311, "catnip"),
    (312, "catu"),
    (313, "catm"),
    (314, "catalpn"),
    (315, "cath"),
    (316, "catgeoiso3166"),
    (317, "catgeocoord"),
    (318, "catgeoalt"),
    (319, "cattpk"),
    (320, "catifdata"),
    (321, "catdpop"),
    (322, "catif"),
    (323, "catr"),
    (324, "cattprint"),
];

/// Those that a cloud vendor's page has instead, and that projects copied from there: nobody else reads them.
const UNREGISTERED: std::ops::RangeInclusive<i64> = 401..=404;

/// What a token says. Times are seconds since the Unix epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ViewerClaims {
    /// What it is revoked by (`cti`).
    pub id: Vec<u8>,
    /// When it ends (`exp`).
    pub expires: u64,
    /// From when on it is good (`nbf`).
    pub not_before: Option<u64>,
    /// When it was made (`iat`).
    pub issued: Option<u64>,
    /// Who made it (`iss`).
    pub issuer: Option<String>,
    /// Who holds it (`sub`): nobody's business but its maker's.
    pub subject: Option<Secret<'static>>,
    /// The namespaces it is for (`aud`).
    pub audience: Vec<String>,
    /// What it is for, of these: each of them has to hold (`catu`).
    pub rules: Vec<UriRule>,
    /// What may be done with that (`catm`); `None`: GET and HEAD.
    pub methods: Option<Vec<String>>,
    /// The addresses from which it is good (`catnip`).
    pub addresses: Option<Vec<Network>>,
    /// The countries, or their subdivisions, in which it is good (`catgeoiso3166`).
    pub countries: Option<Vec<String>>,
    /// How it is renewed (`catr`).
    pub renewal: Option<TokenRenewal>,
}

/// A token that comes to its end is made anew on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenRenewal {
    /// How the next one is handed over.
    pub by: RenewedBy,
    /// What is added to its end, in seconds: the next one is made when less is left.
    pub extend: u64,
    /// Until when, in seconds since the Unix epoch.
    pub deadline: u64,
}

/// How the next token is handed over (`catr`, its type).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RenewedBy {
    /// In a header of the answer, for apps with a loader of their own.
    Header = 2,
    /// By a redirect of a playlist to the same with the other token, for players that know nothing of it.
    Redirect = 3,
}

impl TokenRenewal {
    /// By its type. Those that are not done here are no restriction, and passed over.
    pub(super) fn of(kind: Option<u64>, extend: Option<u64>, deadline: Option<u64>) -> Option<Self> {
        let by = match kind? {
            2 => RenewedBy::Header,
            3 => RenewedBy::Redirect,
            _ => return None,
        };
        let (extend, deadline) = (extend?, deadline?);
        (extend > 0).then_some(Self { by, extend, deadline })
    }

    /// When the next one ends, if it is time for that: less is left than is added, and the deadline is not past.
    pub(super) fn next(self, now: WallTime, ends: WallTime) -> Option<u64> {
        // Added to what is left, or the next one would be due at once.
        let next = ends.seconds().max(now.seconds() + 1).saturating_add(self.extend).min(self.deadline);
        let is_due = ends.since(now).as_secs() < self.extend && now.seconds() < self.deadline;
        // A player that reloads its first URL for ever comes with one that has ended; a loader of its own has the next one by then.
        let is_late = self.by == RenewedBy::Header && now >= ends;
        (is_due && !is_late && WallTime::from_seconds(next) > ends).then_some(next)
    }
}

/// A part of the URI that is asked for, and what it may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UriRule {
    /// Which part.
    pub part: UriPart,
    /// How it is compared.
    pub matching: UriMatch,
    /// One of these is enough.
    pub any_of: Vec<String>,
}

/// A part of a URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UriPart {
    /// The host, without its port.
    Host,
    /// The path as viewers ask for it, decoded.
    Path,
}

/// How a part of a URI is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UriMatch {
    /// It is this.
    Exact,
    /// It begins with this.
    Prefix,
    /// It ends in this.
    Suffix,
    /// It is like this, in which `*` stands for anything and `?` for one character. No claim says so.
    Pattern,
}

impl UriRule {
    /// Whether a text is what the rule says.
    pub(super) fn holds(&self, text: &str) -> bool {
        self.any_of.iter().any(|value| match self.matching {
            UriMatch::Exact => text == value,
            UriMatch::Prefix => text.starts_with(value.as_str()),
            UriMatch::Suffix => text.ends_with(value.as_str()),
            UriMatch::Pattern => is_like(value.as_bytes(), text.bytes()),
        })
    }

    /// The same of a path that is given in two parts, and not put together for each rule.
    pub(super) fn holds_of_path(&self, base: &str, key: &str) -> bool {
        self.any_of.iter().any(|value| match self.matching {
            UriMatch::Exact => value.strip_prefix(base) == Some(key),
            UriMatch::Prefix => {
                base.starts_with(value.as_str()) || value.strip_prefix(base).is_some_and(|rest| key.starts_with(rest))
            }
            UriMatch::Suffix => false,
            UriMatch::Pattern => is_like(value.as_bytes(), base.bytes().chain(key.bytes())),
        })
    }
}

/// Whether a text is like a pattern: in a time that grows with both, and never with what could be tried.
fn is_like(pattern: &[u8], text: impl Iterator<Item = u8> + Clone) -> bool {
    let (mut at, mut text, mut back) = (0, text, None);
    loop {
        let mut rest = text.clone();
        match (pattern.get(at), rest.next()) {
            (Some(b'*'), _) => {
                at += 1;
                back = Some((at, text.clone()));
            }
            (Some(sign), Some(byte)) if *sign == b'?' || *sign == byte => (at, text) = (at + 1, rest),
            (None, None) => return true,
            // What the last star stands for is one longer.
            _ => {
                let Some((star, mut from)) = back.take() else { return false };
                if from.next().is_none() {
                    return false;
                }
                (at, text) = (star, from.clone());
                back = Some((star, from));
            }
        }
    }
}

/// What of a good token is not understood here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unsupported {
    /// A claim of this key, or of a name instead of a key.
    Claim(Option<i64>),
    /// A value of this claim.
    Value(i64),
    /// This claim is missing, and no token is taken without it.
    Missing(i64),
    /// It is no Common Access Token.
    Form,
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = |key: &i64| NAMES.iter().find(|(known, _)| known == key).map_or("claim", |(_, name)| *name);
        match self {
            Self::Claim(None) => f.write_str("a claim that has a name and no number is not evaluated here"),
            Self::Claim(Some(key)) if UNREGISTERED.contains(key) => write!(
                f,
                "claim {key} is not registered: for catu, catnip, catm and catr the keys are 312, 311, 313 and 323 (CTA-5007)"
            ),
            Self::Claim(Some(key)) => write!(f, "{} ({key}) is not evaluated here", named(key)),
            Self::Value(key) => write!(f, "{} ({key}) has a value that is not evaluated here", named(key)),
            Self::Missing(key) => write!(f, "{} ({key}) is missing", named(key)),
            Self::Form => f.write_str("this is no Common Access Token (CTA-5007)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

    #[test]
    fn a_pattern_is_matched_as_a_whole() {
        for (pattern, text, is_it) in [
            ("", "", true),
            ("*", "", true),
            ("?", "", false),
            ("/a/*", "/a/", true),
            ("/a/*", "/a", false),
            ("/a/*.ts", "/a/b.ts/c.ts", true),
            ("/a/*.ts", "/a/b.tss", false),
            ("/?/*b*c", "/x/abcbc", true),
            ("a", "ab", false),
            ("*a*a*a*b", &"a".repeat(2000), false),
        ] {
            assert_eq!(is_like(pattern.as_bytes(), text.bytes()), is_it, "{pattern}");
        }
    }

    proptest! {
        #[test]
        fn a_star_stands_for_anything(before in "[ab]{0,4}", between in "[ab]{0,4}", after in "[ab]{0,4}", other in "[ab]{0,12}") {
            let pattern = format!("{before}*{after}");
            let like = format!("{before}{between}{after}");
            prop_assert!(is_like(pattern.as_bytes(), like.bytes()));
            let expected = other.len() >= before.len() + after.len() && other.starts_with(&before) && other.ends_with(&after);
            prop_assert_eq!(is_like(pattern.as_bytes(), other.bytes()), expected);
        }
    }
}
