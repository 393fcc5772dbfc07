//! Revocations of viewers' tokens: of one by its id, or of all that open a part of a namespace and were made before a moment.

use std::collections::{HashMap, HashSet};

use super::claims::ViewerClaims;
use crate::auth::grant::KeyId;
use crate::model::clock::WallTime;
use crate::model::id::Namespace;

/// How many there may be, of all namespaces together: what is more is an affair of the viewer key.
pub const MOST_REVOCATIONS: usize = 100_000;

/// What ended before its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// In which namespace; a token for several is good in the others.
    pub namespace: Namespace,
    /// What.
    pub what: RevokedTokens,
    /// When that was said.
    pub at: WallTime,
    /// From when on it may be forgotten: by then all of them have ended by themselves.
    pub until: WallTime,
}

/// Which tokens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RevokedTokens {
    /// That of this id.
    Id(KeyId),
    /// Those made before this moment, in seconds since the Unix epoch, and those that do not say when, for keys that begin so.
    Before {
        /// What the keys begin with.
        prefix: String,
        /// When.
        issued_before: u64,
    },
}

/// The revocations, ready to be looked up.
#[derive(Debug, Default)]
pub(super) struct Revocations {
    all: Vec<Revocation>,
    of: HashMap<Namespace, OfNamespace>,
}

#[derive(Debug, Default)]
struct OfNamespace {
    ids: HashSet<KeyId>,
    /// Few: a part of a namespace is closed once in a while.
    prefixes: Vec<(String, u64)>,
}

impl Revocations {
    pub(super) fn new(all: Vec<Revocation>) -> Self {
        let mut of: HashMap<Namespace, OfNamespace> = HashMap::new();
        for Revocation { namespace, what, .. } in &all {
            let here = of.entry(namespace.clone()).or_default();
            match what {
                RevokedTokens::Id(id) => {
                    here.ids.insert(id.clone());
                }
                RevokedTokens::Before { prefix, issued_before } => here.prefixes.push((prefix.clone(), *issued_before)),
            }
        }
        Self { all, of }
    }

    /// Whether a token is revoked, as far as it opens this key.
    pub(super) fn hold(&self, namespace: &Namespace, key: &str, id: &KeyId, claims: &ViewerClaims) -> bool {
        self.of.get(namespace).is_some_and(|here| {
            let issued = claims.issued.unwrap_or(0);
            here.ids.contains(id)
                || here.prefixes.iter().any(|(prefix, before)| issued < *before && key.starts_with(prefix.as_str()))
        })
    }

    /// The second that a token made now says it was made in. Revocations by prefix count in whole seconds and take in all of the one they are
    /// said in: what is made later within it says the next one, which `clock_skew` bears, so that it is not ended by what was said before.
    pub(super) fn issue_time(&self, namespace: &Namespace, opens: &str, now: WallTime) -> u64 {
        let prefixes = self.of.get(namespace).map_or(&[][..], |here| &here.prefixes);
        let touch = |prefix: &str| prefix.starts_with(opens) || opens.starts_with(prefix);
        let next = now.seconds() + 1;
        if prefixes.iter().any(|(prefix, before)| *before == next && touch(prefix)) { next } else { now.seconds() }
    }

    pub(super) fn of_namespace(&self, namespace: &Namespace, since: WallTime) -> Vec<Revocation> {
        self.all.iter().filter(|revocation| revocation.namespace == *namespace && revocation.at >= since).cloned().collect()
    }
}

/// [`Revocations::issue_time`], of these.
#[must_use]
pub fn issue_time(all: Vec<Revocation>, namespace: &Namespace, opens: &str, now: WallTime) -> u64 {
    Revocations::new(all).issue_time(namespace, opens, now)
}

/// How much of what a token opens is revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RevokedExtent {
    /// Nothing.
    Nothing,
    /// A part.
    Part,
    /// All.
    All,
}

/// How much is revoked, in one namespace, of a token that opens the keys that begin so.
pub(super) fn revoked_extent(all: &[Revocation], namespace: &Namespace, opens: &str, claims: &ViewerClaims) -> RevokedExtent {
    let (id, mut extent) = (claims.key_id(), RevokedExtent::Nothing);
    for revocation in all.iter().filter(|revocation| revocation.namespace == *namespace) {
        match &revocation.what {
            RevokedTokens::Id(known) if id.as_ref() == Some(known) => return RevokedExtent::All,
            RevokedTokens::Before { prefix, issued_before } if claims.issued.unwrap_or(0) < *issued_before => {
                if opens.starts_with(prefix.as_str()) {
                    return RevokedExtent::All;
                }
                if prefix.starts_with(opens) {
                    extent = RevokedExtent::Part;
                }
            }
            RevokedTokens::Id(_) | RevokedTokens::Before { .. } => {}
        }
    }
    extent
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_revoked_is_so_in_its_namespace_and_no_further() {
        let [live, other] = ["live", "other"].map(|name| Namespace::parse(name).unwrap());
        let claims = |issued| ViewerClaims { id: b"a".to_vec(), expires: 10, issued, ..ViewerClaims::default() };
        let revocation =
            |what| Revocation { namespace: live.clone(), what, at: WallTime::from_seconds(5), until: WallTime::from_seconds(10) };
        let id = claims(None).key_id().unwrap();
        let by_id = Revocations::new(vec![revocation(RevokedTokens::Id(id.clone()))]);
        assert!(by_id.hold(&live, "a.ts", &id, &claims(None)) && !by_id.hold(&other, "a.ts", &id, &claims(None)));
        assert!(!by_id.hold(&live, "a.ts", &KeyId::parse("v-62").unwrap(), &claims(None)));
        let by_prefix =
            Revocations::new(vec![revocation(RevokedTokens::Before { prefix: "show/".to_owned(), issued_before: 100 })]);
        for (key, issued, is_revoked) in [
            ("show/a.ts", Some(99), true),
            ("show/a.ts", Some(100), false),
            ("show/a.ts", None, true),
            ("b/a.ts", Some(1), false),
        ] {
            assert_eq!(by_prefix.hold(&live, key, &id, &claims(issued)), is_revoked, "{key} {issued:?}");
        }
        let told = |since| by_prefix.of_namespace(&live, WallTime::from_seconds(since)).len();
        assert_eq!((told(0), told(5), told(6)), (1, 1, 0));
        for (namespace, opens, issued, extent) in [
            (&live, "show/", Some(99), RevokedExtent::All),
            (&live, "show/a.ts", None, RevokedExtent::All),
            (&live, "", Some(99), RevokedExtent::Part),
            (&live, "show/", Some(100), RevokedExtent::Nothing),
            (&live, "b/", None, RevokedExtent::Nothing),
            (&other, "show/", None, RevokedExtent::Nothing),
        ] {
            assert_eq!(revoked_extent(&by_prefix.all, namespace, opens, &claims(issued)), extent, "{opens} {issued:?}");
        }
        assert_eq!(revoked_extent(&by_id.all, &live, "b/", &claims(Some(99))), RevokedExtent::All);
    }

    #[test]
    fn what_is_made_behind_a_revocation_is_not_ended_by_it() {
        let [live, other] = ["live", "other"].map(|name| Namespace::parse(name).unwrap());
        let what = RevokedTokens::Before { prefix: "show/".to_owned(), issued_before: 100 };
        let (at, until) = (WallTime::from_seconds(99), WallTime::from_seconds(500));
        let all = Revocations::new(vec![Revocation { namespace: live.clone(), what, at, until }]);
        let id = KeyId::parse("v-61").unwrap();
        for (namespace, opens, now, issued) in [
            (&live, "show/", 99_999, 100),
            (&live, "show/a/", 99_000, 100),
            (&live, "", 99_500, 100),
            (&live, "show/", 100_000, 100),
            (&live, "show/", 200_000, 200),
            // What is revoked to come is so: nobody waits for that.
            (&live, "show/", 98_999, 98),
            (&live, "b/", 99_999, 99),
            (&other, "show/", 99_999, 99),
        ] {
            let made = all.issue_time(namespace, opens, WallTime::from_millis(now));
            assert_eq!(made, issued, "{opens} {now}");
            let claims = ViewerClaims { issued: Some(made), ..ViewerClaims::default() };
            assert!(now < 99_000 || !all.hold(namespace, &format!("{opens}a.ts"), &id, &claims));
        }
    }
}
