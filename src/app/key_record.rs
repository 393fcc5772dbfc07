//! What the record of an API key says: which key it is, when it ends, and how it stands.

use std::collections::HashSet;

use super::data_dir::KeyRecord;
use super::keys::from_rfc3339;
use crate::auth::grant::{Grant, KeyId, Scope};
use crate::auth::key::Verified;
use crate::model::clock::WallTime;

impl KeyRecord {
    /// When the key ends, if ever: at the end that it was made with, or, where another has taken its place, when that is to stand alone. Both are
    /// written alike, so that the lesser text is the earlier one.
    pub(super) fn ends_at(&self) -> Option<&str> {
        self.expires_at.as_deref().into_iter().chain(self.retires_at.as_deref()).min()
    }

    /// How the key stands at `now`. One that was replaced and has had its time is as good as revoked, written down or not.
    pub(super) fn status(&self, revoked: &HashSet<KeyId>, now: WallTime) -> &'static str {
        let is_revoked = KeyId::parse(&self.key_id).is_ok_and(|id| revoked.contains(&id));
        let retires = self.retires_at.as_deref().and_then(WallTime::parse);
        match read_record(self.clone()) {
            _ if is_revoked || retires.is_some_and(|end| end <= now) => "revoked",
            Some(key) if key.expires.is_none_or(|end| end > now) => "good",
            _ => "expired",
        }
    }
}

/// What a record says, in the words of [`crate::auth`]. `None` when it does not make sense: a key whose end can't be read is not
/// taken for one without an end.
pub(super) fn read_record(record: KeyRecord) -> Option<Verified> {
    let expires = match record.expires_at.as_deref() {
        Some(text) => Some(from_rfc3339(text)?),
        None => None,
    };
    let grant = Grant {
        key_id: KeyId::parse(&record.key_id).ok()?,
        role: record.role,
        scope: Scope::parse(record.namespaces.iter().map(String::as_str)).ok()?,
        prefix: record.prefix,
        paths: None,
        is_edge: record.edge,
        ends: expires,
    };
    Some(Verified { grant, issued: from_rfc3339(&record.issued_at)?, expires })
}

/// The key of a record's text, for `crate::fuzzing` alone.
#[cfg(any(test, fuzzing))]
pub(crate) fn record_of(text: &str) -> Option<Verified> {
    read_record(serde_json::from_str(text).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::keys::rfc3339;
    use crate::auth::grant::Role;

    #[test]
    fn a_record_that_makes_no_sense_is_no_key() {
        let record = KeyRecord {
            key_id: "0123".to_owned(),
            label: None,
            namespaces: vec!["live".to_owned()],
            prefix: Some("a/".to_owned()),
            role: Role::Readwrite,
            edge: false,
            issued_at: "2026-01-01T00:00:00Z".to_owned(),
            expires_at: Some("2026-01-31T00:00:00Z".to_owned()),
            retires_at: None,
        };
        let read = read_record(record.clone()).unwrap();
        assert_eq!((rfc3339(read.issued), read.expires.map(rfc3339)), (record.issued_at.clone(), record.expires_at.clone()));
        assert_eq!((read.grant.role, read.grant.prefix.as_deref()), (Role::Readwrite, Some("a/")));
        let broken: [fn(&mut KeyRecord); 4] = [
            |record| record.key_id = "../x".to_owned(),
            |record| record.namespaces = vec!["/".to_owned()],
            |record| record.issued_at = "then".to_owned(),
            |record| record.expires_at = Some("some day".to_owned()),
        ];
        for change in broken {
            let mut record = record.clone();
            change(&mut record);
            assert!(read_record(record.clone()).is_none(), "{record:?}");
        }
    }

    #[test]
    fn a_key_ends_at_the_earlier_of_its_two_ends() {
        let record = |expires: Option<&str>, retires: Option<&str>| {
            let mut record: KeyRecord = serde_json::from_str(
                r#"{"key_id": "0123", "label": null, "namespaces": ["a"], "prefix": null, "role": "readonly",
                   "issued_at": "2026-01-01T00:00:00Z", "expires_at": null}"#,
            )
            .unwrap();
            (record.expires_at, record.retires_at) = (expires.map(str::to_owned), retires.map(str::to_owned));
            record
        };
        let (early, late) = ("2026-02-01T00:00:00Z", "2026-10-01T00:00:00Z");
        let (nobody, itself) = (HashSet::new(), HashSet::from([KeyId::parse("0123").unwrap()]));
        for (expires, retires, ends, status) in [
            (None, None, None, "good"),
            (Some(early), None, Some(early), "expired"),
            (Some(late), None, Some(late), "good"),
            (None, Some(early), Some(early), "revoked"),
            (Some(late), Some(early), Some(early), "revoked"),
            (Some(early), Some(late), Some(early), "expired"),
            (None, Some(late), Some(late), "good"),
        ] {
            let (record, now) = (record(expires, retires), WallTime::parse("2026-06-01T00:00:00Z").unwrap());
            assert_eq!((record.ends_at(), record.status(&nobody, now)), (ends, status), "{expires:?} {retires:?}");
            assert_eq!(record.status(&itself, now), "revoked");
        }
    }
}
