//! What the holder of a verified key may do.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::signing::{hex, sha256};
pub use super::uri_rule::PathRules;
use crate::model::clock::WallTime;
use crate::model::id::{Collection, IdError, Key, Namespace, ObjectId};

/// What a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Reads objects: for players, CDNs and people.
    Readonly,
    /// Reads, writes and deletes objects: for encoders, which read back what they wrote.
    Readwrite,
    /// Looks on: sees on the admin listener how the server and its streams are, in the namespaces it is for.
    Viewer,
    /// Looks after streams: that, and orders recordings and removes objects there.
    Operator,
    /// Looks after the server: that in all namespaces, and changes namespaces, keys and settings.
    Admin,
    /// Has viewers' tokens made and ended by the admin API, and does nothing else.
    Vendor,
    /// Is another node of this origin: is told by the data listener what this one alone knows, and does nothing else. Nobody makes such a key but a
    /// node, or a command beside one, and none is on record.
    Node,
}

/// What is asked of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// GET, HEAD and PROPFIND.
    Read,
    /// PUT, POST, DELETE and MKCOL.
    Write,
}

/// The namespaces a key reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All of them, future ones included; written `*`.
    Every,
    /// These.
    Only(Vec<Namespace>),
}

/// The public name of a key: what it is revoked by and what a log may show.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(String);

/// A text that can't name a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a key id has 1 to 64 characters of a-z A-Z 0-9 - _")]
pub struct KeyIdError;

/// What a verified key allows. Nothing in [`crate::origin`] can be called without one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Which key it is.
    pub key_id: KeyId,
    /// What it is for.
    pub role: Role,
    /// Where it is good.
    pub scope: Scope,
    /// If set: only keys that begin with this.
    pub prefix: Option<String>,
    /// If set: only keys that these open, too. So a viewer's token has it that names several paths, or one that is no prefix.
    pub paths: Option<Arc<PathRules>>,
    /// Whether its holder checks viewers' tokens itself, as a CDN does, and so reads without one.
    pub is_edge: bool,
    /// When it ends, if ever.
    pub ends: Option<WallTime>,
}

impl Grant {
    /// Whether the holder may do this to that object.
    #[must_use]
    pub fn allows(&self, action: Action, object: &ObjectId) -> bool {
        self.may(action) && self.sees(&object.namespace) && self.covers(&object.key)
    }

    /// Whether the holder may do this to some object that is or could be in there.
    #[must_use]
    pub fn allows_in(&self, action: Action, collection: &Collection) -> bool {
        self.may(action) && self.sees(&collection.namespace) && self.meets(collection.prefix.as_str())
    }

    /// Whether some of the keys that begin so are or could be the holder's.
    #[must_use]
    pub fn meets(&self, beginning: &str) -> bool {
        self.prefix.as_deref().is_none_or(|prefix| beginning.starts_with(prefix) || prefix.starts_with(beginning))
            && self.paths.as_deref().is_none_or(|paths| paths.open(beginning))
    }

    /// Whether it reads where viewers need tokens: what encoders read back, and what an edge has checked.
    #[must_use]
    pub fn reads_without_token(&self) -> bool {
        self.role == Role::Readwrite || self.role == Role::Readonly && self.is_edge
    }

    /// Whether it has viewers' tokens of this namespace made and ended.
    #[must_use]
    pub fn vends(&self, namespace: &Namespace) -> bool {
        self.role == Role::Admin || self.role == Role::Vendor && self.sees(namespace)
    }

    fn may(&self, action: Action) -> bool {
        match (self.role, action) {
            (Role::Readonly | Role::Readwrite, Action::Read) | (Role::Readwrite, Action::Write) => true,
            (Role::Readonly, Action::Write) | (Role::Viewer | Role::Operator | Role::Admin | Role::Vendor | Role::Node, _) => {
                false
            }
        }
    }

    /// Whether the holder may know that the namespace exists.
    #[must_use]
    pub fn sees(&self, namespace: &Namespace) -> bool {
        match &self.scope {
            Scope::Every => true,
            Scope::Only(list) => list.contains(namespace),
        }
    }

    /// Whether the holder looks after this namespace, or looks on.
    #[must_use]
    pub fn oversees(&self, namespace: &Namespace) -> bool {
        self.role == Role::Admin || self.role.includes(Role::Viewer) && self.sees(namespace)
    }

    /// Whether the holder looks after what has this key there, or looks on: a stream or a recording of one, by its playlist; a refused upload.
    #[must_use]
    pub fn oversees_key(&self, namespace: &Namespace, key: &str) -> bool {
        self.oversees(namespace) && self.prefix.as_deref().is_none_or(|prefix| key.starts_with(prefix))
    }

    /// Whether the holder looks after all there is, or looks on.
    #[must_use]
    pub fn oversees_all(&self) -> bool {
        self.role == Role::Admin || self.role.includes(Role::Viewer) && self.scope == Scope::Every && self.prefix.is_none()
    }

    /// What who looks after this namespace does there with an object, as one of those who use it would: looking on allows to read,
    /// operating to write. An object key's prefix holds here as well.
    #[must_use]
    pub fn in_person(&self, action: Action, namespace: &Namespace) -> Option<Self> {
        let (needed, role) = match action {
            Action::Read => (Role::Viewer, Role::Readonly),
            Action::Write => (Role::Operator, Role::Readwrite),
        };
        let may = self.role.includes(needed) && self.oversees(namespace);
        may.then(|| Self { role, scope: Scope::Only(vec![namespace.clone()]), ..self.clone() })
    }

    fn covers(&self, key: &Key) -> bool {
        self.prefix.as_deref().is_none_or(|prefix| key.as_str().starts_with(prefix))
            && self.paths.as_deref().is_none_or(|paths| paths.open(key.as_str()))
    }
}

impl Scope {
    /// Reads namespace names, each once however often it is there; a `*` among them means every one.
    ///
    /// # Errors
    /// The first name that is none.
    pub fn parse<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, IdError> {
        let mut list = Vec::new();
        let mut every = false;
        for name in names {
            if name == "*" {
                every = true;
            } else {
                let namespace = Namespace::parse(name)?;
                if !list.contains(&namespace) {
                    list.push(namespace);
                }
            }
        }
        Ok(if every { Self::Every } else { Self::Only(list) })
    }

    /// The names, as [`Scope::parse`] reads them.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        match self {
            Self::Every => vec!["*".to_owned()],
            Self::Only(list) => list.iter().map(ToString::to_string).collect(),
        }
    }
}

impl KeyId {
    /// Checks a key id and takes it.
    ///
    /// # Errors
    /// The text has another alphabet or length, so that it could not stand in a file name or a log.
    pub fn parse(text: &str) -> Result<Self, KeyIdError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if text.is_empty() || text.len() > 64 || !text.bytes().all(allowed) {
            return Err(KeyIdError);
        }
        Ok(Self(text.to_owned()))
    }

    /// The id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// That of a viewer's token: its own id, or what stands for all of one that is longer. By their first bytes alone many would be one:
    /// a running number stands at the end, and a UUID of version 7 as a text begins with the time.
    pub(super) fn of_token(id: &[u8]) -> Option<Self> {
        let of = |bytes: &[u8]| Self(["v-", &hex(bytes)].concat());
        match id.len() {
            0 => None,
            1..=Self::OF_TOKEN => Some(of(id)),
            _ => sha256(id).get(..Self::OF_TOKEN).map(of),
        }
    }

    /// What 0.2.0 and before it knew a token with a longer id by, and what revocations of then name.
    pub(super) fn former_of_token(id: &[u8]) -> Option<Self> {
        if id.len() > Self::OF_TOKEN { Self::of_token(&id[..Self::OF_TOKEN]) } else { None }
    }

    /// The same as it is written. `None` for what no token can have: who ends that has ended nothing.
    #[must_use]
    pub fn parse_token(text: &str) -> Option<Self> {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let digits = text.strip_prefix("v-").filter(|digits| digits.len() % 2 == 0 && digits.bytes().all(is_digit))?;
        (1..=Self::OF_TOKEN).contains(&(digits.len() / 2)).then(|| Self(text.to_owned()))
    }

    /// How many bytes a token is known by.
    const OF_TOKEN: usize = 16;
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Role {
    /// Its name, as it is typed and shown.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Readonly => "readonly",
            Self::Readwrite => "readwrite",
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
            Self::Vendor => "vendor",
            Self::Node => "node",
        }
    }

    /// The role of this name, among those that keys are made for.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Readonly, Self::Readwrite, Self::Vendor, Self::Viewer, Self::Operator, Self::Admin]
            .into_iter()
            .find(|role| role.as_str() == name)
    }

    /// Whether who looks after the server in this role may do what takes the other one. The roles of those who use objects include none
    /// and are in none.
    #[must_use]
    pub const fn includes(self, needed: Self) -> bool {
        const fn rank(role: Role) -> u8 {
            match role {
                Role::Readonly | Role::Readwrite | Role::Vendor | Role::Node => 0,
                Role::Viewer => 1,
                Role::Operator => 2,
                Role::Admin => 3,
            }
        }
        rank(needed) > 0 && rank(self) >= rank(needed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(role: Role, scope: &[&str], prefix: Option<&str>) -> Grant {
        let scope = Scope::parse(scope.iter().copied()).unwrap();
        Grant {
            key_id: KeyId::parse("k1").unwrap(),
            role,
            scope,
            prefix: prefix.map(str::to_owned),
            paths: None,
            is_edge: false,
            ends: None,
        }
    }

    fn object(namespace: &str, key: &str) -> ObjectId {
        ObjectId { namespace: Namespace::parse(namespace).unwrap(), key: Key::parse(key).unwrap() }
    }

    #[test]
    fn a_scope_has_each_namespace_once() {
        assert_eq!(Scope::parse(["b", "a", "b", "a"]).unwrap().names(), ["b", "a"]);
        assert_eq!(Scope::parse(["a", "*", "a"]).unwrap(), Scope::Every);
        assert!(Scope::parse(["a", "/"]).is_err());
    }

    #[test]
    fn a_role_limits_the_verb() {
        let object = object("live", "a.ts");
        for (role, read, write) in [
            (Role::Readonly, true, false),
            (Role::Readwrite, true, true),
            (Role::Viewer, false, false),
            (Role::Operator, false, false),
            (Role::Admin, false, false),
        ] {
            let grant = grant(role, &["live"], None);
            assert_eq!(grant.allows(Action::Read, &object), read, "{role:?}");
            assert_eq!(grant.allows(Action::Write, &object), write, "{role:?}");
        }
    }

    #[test]
    fn a_scope_and_a_prefix_limit_the_place() {
        let both = grant(Role::Readwrite, &["one", "two"], Some("show/"));
        assert!(both.allows(Action::Write, &object("one", "show/a.ts")));
        assert!(both.allows(Action::Read, &object("two", "show/a.ts")));
        assert!(!both.allows(Action::Read, &object("three", "show/a.ts")));
        assert!(!both.allows(Action::Read, &object("one", "other/a.ts")));
        assert!(!both.allows(Action::Read, &object("one", "show")));
        for (path, expected) in [("", true), ("show/", true), ("show/a/", true), ("other/", false), ("shows/", false)] {
            let collection = |namespace| Collection::parse(Namespace::parse(namespace).unwrap(), path).unwrap();
            assert_eq!(both.allows_in(Action::Write, &collection("one")), expected, "{path}");
            assert!(!both.allows_in(Action::Read, &collection("three")));
            assert!(!grant(Role::Readonly, &["*"], None).allows_in(Action::Write, &collection("one")));
        }
        let every = grant(Role::Readonly, &["one", "*"], None);
        assert!(every.allows(Action::Read, &object("not-made-yet", "a.ts")));
    }

    #[test]
    fn who_looks_after_a_namespace_reads_there_and_removes_by_his_role() {
        let (live, other) = (Namespace::parse("live").unwrap(), Namespace::parse("other").unwrap());
        for (role, sees, reads, writes) in [
            (Role::Readonly, false, false, false),
            (Role::Readwrite, false, false, false),
            (Role::Vendor, false, false, false),
            (Role::Viewer, true, true, false),
            (Role::Operator, true, true, true),
            (Role::Admin, true, true, true),
        ] {
            let grant = grant(role, &["live"], Some("show/"));
            assert_eq!(grant.oversees(&live), sees, "{role:?}");
            assert_eq!(
                ["show/a.m3u8", "other/a.m3u8", ""].map(|key| grant.oversees_key(&live, key)),
                [sees, false, false],
                "{role:?}"
            );
            assert_eq!(grant.oversees(&other), role == Role::Admin, "{role:?}");
            let may = |action, namespace: &Namespace| {
                let key = object(namespace.as_str(), "show/a.ts");
                grant.in_person(action, namespace).is_some_and(|grant| grant.allows(action, &key))
            };
            assert_eq!((may(Action::Read, &live), may(Action::Write, &live)), (reads, writes), "{role:?}");
            assert_eq!(may(Action::Write, &other), role == Role::Admin, "{role:?}");
            assert!(
                !grant.in_person(Action::Read, &live).is_some_and(|grant| grant.allows(Action::Read, &object("live", "b.ts")))
            );
            assert_eq!(Role::parse(role.as_str()), Some(role));
        }
        let roles = [Role::Readonly, Role::Readwrite, Role::Viewer, Role::Operator, Role::Admin];
        let included = |role: Role| roles.iter().filter(|needed| role.includes(**needed)).count();
        assert_eq!(roles.map(included), [0, 0, 1, 2, 3]);
    }
}
