//! Keys as the admin API makes, lists, ends and replaces them: the same records and revocations that `springhead keys` writes, which a
//! running server takes up within a second.

use std::time::Duration;

use super::data_dir::{DataDir, KeyRecord};
use super::key_label;
use super::key_record::read_record;
use super::key_watch::ApiKeysInForce;
use super::keys::{Ingest, NewKey, issue, rfc3339};
use crate::auth::grant::{KeyId, Role, Scope};
use crate::auth::key::KeySpec;
use crate::model::clock::{Clock, WallTime};
use crate::model::units::parse_duration;
use crate::web::admin::controls::{ControlRefused, KeyOrder, KeyReport, NewKeyReport, RotateOrder};
use crate::web::problem::code::Code;

/// How long a key is good when nothing is said.
const USUAL: &str = "30d";
const LONGEST: Duration = Duration::from_secs(100 * 365 * 86_400);
/// How long a rotated key may go on beside the new one.
const LONGEST_OVERLAP: Duration = Duration::from_secs(90 * 86_400);

fn wrong(detail: impl Into<String>) -> ControlRefused {
    ControlRefused::new(Code::BadRequest, detail)
}

fn failed(error: &anyhow::Error) -> ControlRefused {
    ControlRefused::new(Code::Internal, format!("the data directory can't be read or written: {error:#}"))
}

/// All on record, oldest first.
pub(super) fn list(data: &DataDir) -> Result<Vec<KeyReport>, ControlRefused> {
    let records = data.records().map_err(|error| failed(&error))?;
    let revoked = data.revoked().map_err(|error| failed(&error.into()))?;
    let now = Clock::system().wall();
    let report = |record: KeyRecord| KeyReport {
        status: record.status(&revoked, now),
        key_id: record.key_id,
        role: record.role.as_str(),
        namespaces: record.namespaces,
        prefix: record.prefix,
        label: record.label,
        issued_at: record.issued_at,
        expires_at: record.expires_at,
        retires_at: record.retires_at,
    };
    Ok(records.read.into_iter().map(report).collect())
}

fn find(data: &DataDir, key_id: &str) -> Result<KeyReport, ControlRefused> {
    let found = list(data)?.into_iter().find(|key| key.key_id == key_id);
    found.ok_or_else(|| {
        ControlRefused::new(Code::NotFound, "no key of this id is on record here: GET /v1/keys has those that are")
    })
}

fn lifetime(text: &str) -> Result<Option<Duration>, ControlRefused> {
    if text == "never" {
        return Ok(None);
    }
    let lifetime = parse_duration(text).map_err(|error| wrong(format!("\"expires\": {error}; or write never")))?;
    if lifetime < Duration::from_secs(1) || lifetime > LONGEST {
        return Err(wrong("\"expires\" is a duration from 1s to 36500d, or never"));
    }
    Ok(Some(lifetime))
}

/// Makes one.
pub(super) fn make(data: &DataDir, order: KeyOrder) -> Result<NewKeyReport, ControlRefused> {
    let role =
        Role::parse(&order.role).ok_or_else(|| wrong("\"role\" is readonly, readwrite, vendor, viewer, operator or admin"))?;
    let names = order.namespaces.unwrap_or_default();
    let looks_after = role.includes(Role::Viewer);
    if names.is_empty() && !looks_after {
        return Err(wrong("\"namespaces\" names the namespaces that the key is for, or * for all"));
    }
    if role == Role::Admin && names.iter().any(|name| name != "*") {
        return Err(wrong(
            "\"namespaces\": an admin key is good for the whole server; for one namespace make an operator's or a viewer's",
        ));
    }
    let all = (names.is_empty() && looks_after && role != Role::Admin).then_some("*");
    let scope =
        Scope::parse(names.iter().map(String::as_str).chain(all)).map_err(|error| wrong(format!("\"namespaces\": {error}")))?;
    let prefix = order.prefix;
    // An empty one is more likely a variable that was not set than a key for everything.
    if prefix.as_deref().is_some_and(|prefix| prefix.is_empty() || key_label::begins_no_key(prefix)) {
        return Err(wrong(
            "\"prefix\": object keys begin without a slash and have no \"..\" in them, so a prefix has to as well, and not be empty: leave it out \
             for a key of all object keys",
        ));
    }
    let lifetime = lifetime(order.expires.as_deref().unwrap_or(USUAL))?;
    let is_edge = order.edge.unwrap_or(false);
    if is_edge && role != Role::Readonly {
        return Err(wrong(
            "\"edge\" is for readonly keys, of CDNs that check viewers' tokens and of those who watch over the server",
        ));
    }
    if let Some(fault) = order.label.as_deref().and_then(key_label::fault) {
        return Err(wrong(format!("\"label\": {fault}")));
    }
    new(data, role, scope, prefix, is_edge, lifetime, order.label)
}

fn new(
    data: &DataDir,
    role: Role,
    scope: Scope,
    prefix: Option<String>,
    is_edge: bool,
    lifetime: Option<Duration>,
    label: Option<String>,
) -> Result<NewKeyReport, ControlRefused> {
    let ring = data.key_ring(false).map_err(|error| failed(&error))?;
    let now = Clock::system().wall();
    let expires = lifetime.map(|lifetime| WallTime::from_seconds(now.seconds() + lifetime.as_secs()));
    let spec = KeySpec { role, scope, prefix, is_edge, expires };
    let NewKey { api_key, ingest, record } = issue(data, &ring, spec, now, label).map_err(|error| failed(&error))?;
    let (ingest_user, ingest_password) = ingest.map_or((None, None), |Ingest { user, password }| (Some(user), Some(password)));
    Ok(NewKeyReport { api_key, ingest_user, ingest_password, key: find(data, &record.key_id)?, unknown_namespaces: Vec::new() })
}

/// Ends one.
pub(super) fn revoke(data: &DataDir, key_id: &str) -> Result<KeyReport, ControlRefused> {
    let key = find(data, key_id)?;
    let id = KeyId::parse(key_id).map_err(|error| wrong(error.to_string()))?;
    data.revoke(&id).map_err(|error| failed(&error))?;
    Ok(KeyReport { status: "revoked", ..key })
}

/// Has what was revoked refused from now on.
pub(super) fn put_in_force(keys: &ApiKeysInForce) -> Result<(), ControlRefused> {
    keys.look().map_err(|error| {
        let detail = format!(
            "the key is written down as revoked, and this server can't read that at the moment, so it may be let in still. Send this again, until \
             it is answered 200: {error:#}"
        );
        ControlRefused::new(Code::KeyUnread, detail)
    })
}

/// Makes another like it, for as long as that one was made for, and writes down when the old one ends.
pub(super) fn rotate(data: &DataDir, key_id: &str, order: &RotateOrder) -> Result<NewKeyReport, ControlRefused> {
    let overlap = parse_duration(&order.overlap).map_err(|error| wrong(format!("\"overlap\": {error}")))?;
    if overlap > LONGEST_OVERLAP {
        return Err(wrong("\"overlap\" is 90d at most"));
    }
    let old = find(data, key_id)?;
    if old.status != "good" || old.retires_at.is_some() {
        return Err(ControlRefused::new(Code::InUse, "it is not good any more, or about to end already: make a new one"));
    }
    let record = data.record_of(key_id).map_err(|error| failed(&error))?;
    let key = read_record(record.clone()).ok_or_else(|| wrong("its record makes no sense"))?;
    let lifetime = key.expires.map(|end| end.since(key.issued));
    let made = new(data, key.grant.role, key.grant.scope, key.grant.prefix, key.grant.is_edge, lifetime, record.label.clone())?;
    let retires = WallTime::from_seconds(Clock::system().wall().seconds() + overlap.as_secs());
    // It does not become good for longer by that.
    let retires = key.expires.map_or(retires, |end| end.min(retires));
    data.put_record(&KeyRecord { retires_at: Some(rfc3339(retires)), ..record }).map_err(|error| failed(&error))?;
    Ok(made)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::Arc;

    use super::*;
    use crate::app::key_watch::KeyWatch;
    use crate::auth::verify::Verifier;
    use crate::metrics::Metrics;

    #[test]
    fn what_is_not_refused_yet_is_not_said_to_be() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataDir::new(folder.path());
        data.create().unwrap();
        let clock = Clock::system();
        let verifier = Arc::new(Verifier::new(data.key_ring(true).unwrap(), clock.clone()));
        let keys = KeyWatch::begin(data.clone(), verifier, Arc::new(Metrics::new()), clock).unwrap().in_force();
        let order = |label: &str| KeyOrder {
            role: "readonly".to_owned(),
            namespaces: Some(vec!["n".to_owned()]),
            prefix: None,
            expires: None,
            label: Some(label.to_owned()),
            edge: None,
        };
        let made = make(&data, order("a")).unwrap();
        assert_eq!(revoke(&data, &made.key.key_id).unwrap().status, "revoked");
        let (records, aside) = (folder.path().join("keys"), folder.path().join("aside"));
        fs::rename(&records, &aside).unwrap();
        fs::write(&records, "").unwrap();
        let refused = put_in_force(&keys).unwrap_err();
        assert!(refused.code == Code::KeyUnread && refused.detail.contains("again"), "{refused:?}");
        fs::remove_file(&records).unwrap();
        fs::rename(&aside, &records).unwrap();
        put_in_force(&keys).unwrap();
    }
}
