//! What a viewer's token says, whatever its form: the claims of CTA-5007 (Common Access Token) that are understood here, and the names
//! of those that are not. A restriction that is not understood refuses: ignored, it would widen what the token allows.

use std::fmt;
use std::sync::Arc;

use super::place::Network;
use crate::auth::secret::Secret;
use crate::auth::uri_rule::UriRule;
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
    pub rules: Arc<[UriRule]>,
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
