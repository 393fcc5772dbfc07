//! Revocations of viewers' tokens: of one by its id, or of all that open a part of a namespace and were made before a moment.

use std::collections::{HashMap, HashSet};
use std::mem::discriminant;

use super::claims::ViewerClaims;
use crate::auth::grant::KeyId;
use crate::model::clock::WallTime;
use crate::model::id::Namespace;

/// How many there may be, of all namespaces together: what is more is an affair of the viewer key.
pub const MOST_REVOCATIONS: usize = 100_000;
/// So many of each sort every namespace may have, however many the others have.
const REVOCATION_SHARE: usize = 1_000;

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
    prefixes: RevokedPrefixes,
}

/// Revocations by prefix, in the order of their prefixes.
#[derive(Debug, Default)]
struct RevokedPrefixes(Vec<RevokedPrefix>);

#[derive(Debug)]
struct RevokedPrefix {
    prefix: String,
    issued_before: u64,
    /// The latest of its own and of all prefixes that it begins with.
    latest: u64,
    /// The longest other prefix that it begins with, by its place.
    within: Option<usize>,
}

impl RevokedPrefixes {
    fn new(mut all: Vec<(String, u64)>) -> Self {
        // Of one that is there twice the later is behind the other, and begins with it.
        all.sort_unstable();
        let mut known: Vec<RevokedPrefix> = Vec::with_capacity(all.len());
        for (prefix, issued_before) in all {
            // All between a prefix and what begins with it begin with it as well: so it is the one before, or one that this begins with.
            let mut within = known.len().checked_sub(1);
            while let Some(place) = within.filter(|place| !prefix.starts_with(&*known[*place].prefix)) {
                within = known[place].within;
            }
            let latest = within.map_or(issued_before, |place| known[place].latest.max(issued_before));
            known.push(RevokedPrefix { prefix, issued_before, latest, within });
        }
        Self(known)
    }

    /// Before which moment a token has to be made to be ended for this key, if any is. By what the prefixes are, not by how many: each read of a
    /// viewer asks.
    fn latest(&self, key: &str) -> Option<u64> {
        let mut place = self.0.partition_point(|known| known.prefix.as_str() <= key).checked_sub(1)?;
        let alike = key.bytes().zip(self.0[place].prefix.bytes()).take_while(|(one, other)| one == other).count();
        while self.0[place].prefix.len() > alike {
            place = self.0[place].within?;
        }
        Some(self.0[place].latest)
    }
}

/// Whether one more may be kept beside these.
#[must_use]
pub fn has_room(all: &[Revocation], more: &Revocation) -> bool {
    let is_of_its_share =
        |known: &&Revocation| known.namespace == more.namespace && discriminant(&known.what) == discriminant(&more.what);
    all.len() < MOST_REVOCATIONS || all.iter().filter(is_of_its_share).take(REVOCATION_SHARE).count() < REVOCATION_SHARE
}

impl Revocations {
    pub(super) fn new(all: Vec<Revocation>) -> Self {
        let mut of: HashMap<Namespace, (HashSet<KeyId>, Vec<_>)> = HashMap::new();
        for Revocation { namespace, what, .. } in &all {
            let (ids, prefixes) = of.entry(namespace.clone()).or_default();
            match what {
                RevokedTokens::Id(id) => {
                    ids.insert(id.clone());
                }
                RevokedTokens::Before { prefix, issued_before } => prefixes.push((prefix.clone(), *issued_before)),
            }
        }
        let ready = |(ids, prefixes)| OfNamespace { ids, prefixes: RevokedPrefixes::new(prefixes) };
        let of = of.into_iter().map(|(namespace, found)| (namespace, ready(found))).collect();
        Self { all, of }
    }

    /// Whether a token is revoked, as far as it opens this key.
    pub(super) fn hold(&self, namespace: &Namespace, key: &str, id: &KeyId, claims: &ViewerClaims) -> bool {
        self.of.get(namespace).is_some_and(|here| {
            let issued = claims.issued.unwrap_or(0);
            let is_named = || here.ids.contains(id) || claims.former_id().is_some_and(|former| here.ids.contains(&former));
            !here.ids.is_empty() && is_named() || here.prefixes.latest(key).is_some_and(|before| issued < before)
        })
    }

    /// The second that a token made now says it was made in. Revocations by prefix count in whole seconds and take in all of the one they are
    /// said in: what is made later within it says the next one, which `clock_skew` bears, so that it is not ended by what was said before.
    pub(super) fn issue_time(&self, namespace: &Namespace, opens: &str, now: WallTime) -> u64 {
        let prefixes = self.of.get(namespace).map_or(&[][..], |here| &here.prefixes.0);
        let touch = |prefix: &str| prefix.starts_with(opens) || opens.starts_with(prefix);
        let next = now.seconds() + 1;
        if prefixes.iter().any(|known| known.issued_before == next && touch(&known.prefix)) { next } else { now.seconds() }
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
    let mut extent = RevokedExtent::Nothing;
    for revocation in all.iter().filter(|revocation| revocation.namespace == *namespace) {
        match &revocation.what {
            RevokedTokens::Id(known) if claims.is_of(known) => return RevokedExtent::All,
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
    use proptest::prelude::{prop_assert_eq, proptest};

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
    fn ids_that_begin_alike_end_one_by_one_and_all_by_what_was_said_of_them_before() {
        let live = Namespace::parse("live").unwrap();
        let claims = |id: &str| ViewerClaims { id: id.as_bytes().to_vec(), expires: 10, ..ViewerClaims::default() };
        let [one, other] = ["customer-session-0001", "customer-session-0002"].map(claims);
        let ended = |by: &KeyId, claims: &ViewerClaims| {
            let (at, until) = (WallTime::from_seconds(5), WallTime::from_seconds(10));
            let all = vec![Revocation { namespace: live.clone(), what: RevokedTokens::Id(by.clone()), at, until }];
            let is_all = revoked_extent(&all, &live, "", claims) == RevokedExtent::All;
            let held = Revocations::new(all).hold(&live, "a.ts", &claims.key_id().unwrap(), claims);
            assert_eq!(held, is_all);
            held
        };
        let id = one.key_id().unwrap();
        assert_eq!(KeyId::parse_token(id.as_str()), Some(id.clone()));
        assert!(ended(&id, &one) && !ended(&id, &other));
        let before = KeyId::parse_token(&format!("v-{}", crate::auth::signing::hex(b"customer-session"))).unwrap();
        assert!(ended(&before, &one) && ended(&before, &other) && ended(&before, &claims("customer-session")));
        assert!(!ended(&before, &claims("customer-sessio")));
    }

    proptest! {
        #[test]
        fn of_all_prefixes_that_a_key_begins_with_the_latest_counts(
            prefixes in proptest::collection::vec(("[ab/]{0,5}", 0u64..9), 0..12),
            keys in proptest::collection::vec("[ab/]{0,7}", 1..8),
        ) {
            let all = RevokedPrefixes::new(prefixes.clone());
            for key in keys {
                let begun = prefixes.iter().filter(|(prefix, _)| key.starts_with(prefix.as_str()));
                prop_assert_eq!(all.latest(&key), begun.map(|(_, before)| *before).max(), "{}", key);
            }
        }
    }

    #[test]
    fn what_one_namespace_has_leaves_the_others_their_share() {
        let [one, other] = ["one", "other"].map(|name| Namespace::parse(name).unwrap());
        let revocation = |namespace: &Namespace, what| Revocation {
            namespace: namespace.clone(),
            what,
            at: WallTime::from_seconds(5),
            until: WallTime::from_seconds(10),
        };
        let by_id = |namespace: &Namespace, number: usize| {
            revocation(namespace, RevokedTokens::Id(KeyId::parse(&format!("v-{number:08x}")).unwrap()))
        };
        let by_prefix =
            |namespace: &Namespace| revocation(namespace, RevokedTokens::Before { prefix: "show/".to_owned(), issued_before: 7 });
        let mut all: Vec<_> = (0..MOST_REVOCATIONS - 1).map(|number| by_id(&one, number)).collect();
        assert!(has_room(&all, &by_id(&one, MOST_REVOCATIONS)));
        all.push(by_id(&one, MOST_REVOCATIONS));
        // Who has filled it may still end all at once that open a part.
        assert!(!has_room(&all, &by_id(&one, 0)) && has_room(&all, &by_prefix(&one)) && has_room(&all, &by_id(&other, 0)));
        all.extend((0..REVOCATION_SHARE).map(|number| by_id(&other, number)));
        assert!(!has_room(&all, &by_id(&other, 0)) && has_room(&all, &by_prefix(&other)));
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
