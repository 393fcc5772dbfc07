//! `springhead keys`.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde::Serialize;

use super::data_dir::{DataDir, KeyRecord};
use super::kept::write_new;
use super::settings::Settings;
use super::{Failure, complain, exposure, key_label, print};
use crate::auth::grant::{Grant, KeyId, Role, Scope};
use crate::auth::key::{KeyError, KeyRing, KeySpec, Verified};
use crate::auth::secret::Secret;
use crate::model::clock::{Clock, WallTime};
use crate::model::units::parse_duration;

/// What `keys create` is asked for.
#[derive(Clone, Debug)]
pub(super) struct KeyRequest {
    pub(super) namespaces: Vec<String>,
    pub(super) role: Role,
    pub(super) prefix: Option<String>,
    pub(super) edge: bool,
    pub(super) expires: String,
    pub(super) label: Option<String>,
    pub(super) out: Option<PathBuf>,
}

/// A new key and its record, as printed and as written to files.
#[derive(Serialize)]
pub(super) struct NewKey {
    pub(super) api_key: String,
    #[serde(flatten)]
    pub(super) ingest: Option<Ingest>,
    #[serde(flatten)]
    pub(super) record: KeyRecord,
}

impl NewKey {
    fn to_json(&self) -> anyhow::Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }
}

/// What an encoder logs in with that uses Digest, or has no room for a whole key. It ends with its key.
#[derive(Serialize)]
pub(super) struct Ingest {
    #[serde(rename = "ingest_user")]
    pub(super) user: String,
    #[serde(rename = "ingest_password")]
    pub(super) password: String,
}

impl Ingest {
    fn of(ring: &KeyRing, grant: &Grant, signing_key: &str) -> Option<Self> {
        let password = ring.ingest_password(grant, signing_key)?.expose().to_owned();
        Some(Self { user: grant.key_id.to_string(), password })
    }
}

#[derive(Serialize)]
struct Inspected {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(flatten)]
    ingest: Option<Ingest>,
    #[serde(flatten)]
    record: Option<KeyRecord>,
}

/// Makes a key.
pub(super) fn create(settings: &Settings, request: KeyRequest) -> Result<(), Failure> {
    let usage = |message: String| Failure::Usage(format!("error: {message}"));
    let looks_after = request.role.includes(Role::Viewer);
    if request.namespaces.is_empty() && !looks_after {
        return Err(usage("name the namespace the key is for with --namespace NAME, or '*' for all".to_owned()));
    }
    if request.role == Role::Admin && (request.prefix.is_some() || request.namespaces.iter().any(|name| name != "*")) {
        complain(
            "note: an admin key is good for the whole server, whatever --namespace and --prefix say; for one namespace take --role operator",
        );
    }
    // Who looks on in no namespace in particular does so in all.
    let all = (request.namespaces.is_empty() && looks_after && request.role != Role::Admin).then_some("*");
    let names = request.namespaces.iter().map(String::as_str).chain(all);
    let scope = Scope::parse(names).map_err(|error| usage(format!("--namespace: {error}")))?;
    let lifetime = match request.expires.as_str() {
        "never" => None,
        text => Some(parse_duration(text).map_err(|error| usage(format!("--expires: {error}; or write never")))?),
    };
    if lifetime.is_some_and(|lifetime| lifetime < Duration::from_secs(1) || lifetime > Duration::from_secs(100 * 365 * 86_400)) {
        return Err(usage("--expires: takes 1s to 36500d, or never".to_owned()));
    }
    if request.prefix.as_deref().is_some_and(|prefix| prefix.is_empty() || key_label::begins_no_key(prefix)) {
        return Err(usage(
            "--prefix: object keys begin without a slash, and have no \"..\" in them, so a prefix has to as well, and not be empty".to_owned(),
        ));
    }
    if request.edge && request.role != Role::Readonly {
        return Err(usage(
            "--edge: is for readonly keys, of CDNs that check viewers' tokens and of those who watch over the server".to_owned(),
        ));
    }
    if let Some(fault) = request.label.as_deref().and_then(key_label::fault) {
        return Err(usage(format!("--label: {fault}")));
    }
    if request.out.as_deref().is_some_and(Path::exists) {
        return Err(usage("--out: the file exists already; a key is not written over another".to_owned()));
    }
    let data = DataDir::new(&settings.data_dir);
    if data.lacks_signing_key() {
        complain(&format!(
            "note: there was no signing key in {}, so one is made: only a server on this directory takes the new API key",
            settings.data_dir.display()
        ));
    }
    data.create()?;
    let ring = data.key_ring(true)?;
    warn_of_exposure(&data);
    let now = Clock::system().wall();
    let expires = lifetime.map(|lifetime| WallTime::from_seconds(now.seconds() + lifetime.as_secs()));
    let spec = KeySpec { role: request.role, scope, prefix: request.prefix, is_edge: request.edge, expires };
    let key = issue(&data, &ring, spec, now, request.label)?;
    let json = key.to_json()?;
    let id = &key.record.key_id;
    match request.out {
        // It can't be shown a second time.
        None => print(&json).map_err(|_| {
            anyhow::anyhow!("the API key {id} was made, and can't be written to standard output: revoke it and make another")
        })?,
        Some(path) => {
            write_new(&path, &json)
                .with_context(|| format!("the API key {id} was made, but can't be written to {}", path.display()))?;
            print(&format!("{id} written to {}", path.display()))?;
        }
    }
    Ok(())
}

fn warn_of_exposure(data: &DataDir) {
    for exposure in exposure::of(data) {
        complain(&format!("warning: {exposure}"));
    }
}

/// Says which records can't be read: a server knows them as little.
fn complain_of(unread: &[(PathBuf, String)]) {
    for (path, error) in unread {
        complain(&format!("warning: the key record {} is of no use: {error}", path.display()));
    }
}

/// Makes a key and records it.
pub(super) fn issue(
    data: &DataDir,
    ring: &KeyRing,
    spec: KeySpec,
    now: WallTime,
    label: Option<String>,
) -> anyhow::Result<NewKey> {
    let issued = ring.issue(&spec, now)?;
    let record = KeyRecord {
        key_id: issued.key_id.to_string(),
        label,
        namespaces: spec.scope.names(),
        prefix: spec.prefix,
        role: spec.role,
        edge: spec.is_edge,
        issued_at: rfc3339(issued.issued),
        expires_at: spec.expires.map(rfc3339),
        retires_at: None,
    };
    data.record(&record)?;
    let KeySpec { role, scope, is_edge, expires, .. } = spec;
    let grant = Grant { key_id: issued.key_id, role, scope, prefix: record.prefix.clone(), paths: None, is_edge, ends: expires };
    let ingest = Ingest::of(ring, &grant, ring.signer_id());
    Ok(NewKey { api_key: issued.token.expose().to_owned(), ingest, record })
}

/// Writes a new key to a file in the data directory.
pub(super) fn write(data: &DataDir, name: &str, key: &NewKey) -> anyhow::Result<PathBuf> {
    let path = data.path().join(name);
    data.keep_new(&path, &key.to_json()?).with_context(|| format!("can't write {}", path.display()))?;
    Ok(path)
}

/// Lists the keys made here.
pub(super) fn list(settings: &Settings, json: bool) -> Result<(), Failure> {
    let data = DataDir::new(&settings.data_dir);
    let records = data.records()?;
    complain_of(&records.unread);
    if data.has_no_keys() {
        complain(&format!(
            "note: no API key was made in {}{}: is it the right directory? Name the server's with --data-dir or --config",
            settings.data_dir.display(),
            if data.exists() { "" } else { ", and there is no such directory" }
        ));
    }
    let records = records.read;
    let revoked = data.revoked().context("can't read the revocations")?;
    let now = Clock::system().wall();
    let status = |record: &KeyRecord| record.status(&revoked, now);
    if json {
        let lines: Result<Vec<_>, _> = records
            .iter()
            .map(|record| {
                let inspected = Inspected { status: status(record), reason: None, ingest: None, record: Some(record.clone()) };
                serde_json::to_string(&inspected)
            })
            .collect();
        return Ok(print(&lines.context("can't write JSON")?.join("\n"))?);
    }
    let mut rows = vec![["KEY ID", "STATUS", "ROLE", "EXPIRES", "NAMESPACES", "PREFIX", "LABEL"].map(str::to_owned)];
    rows.extend(records.iter().map(|record| {
        [
            record.key_id.clone(),
            status(record).to_owned(),
            record.role.as_str().to_owned(),
            record.ends_at().unwrap_or("never").to_owned(),
            record.namespaces.join(","),
            record.prefix.clone().unwrap_or_else(|| "-".to_owned()),
            record.label.as_deref().map_or_else(|| "-".to_owned(), key_label::shown),
        ]
    }));
    Ok(print(&table(&rows))?)
}

/// Lines up columns.
fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    let line = |row: &[String; N]| {
        let cells: Vec<_> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        cells.join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Says what a key allows. A key that is not good is a failure, so that scripts can ask.
pub(super) fn inspect(settings: &Settings, key_or_file: &str) -> Result<(), Failure> {
    let data = DataDir::new(&settings.data_dir);
    let ring = data.key_ring(false)?;
    let token = read_key(key_or_file)?;
    let inspected = match ring.open_signed(&token) {
        Err(error) => Inspected { status: "refused", reason: Some(error.to_string()), ingest: None, record: None },
        Ok((Verified { grant, issued, expires }, signing_key)) => {
            let revoked = data.revoked().context("can't read the revocations")?;
            let on_record = data.records()?.read.into_iter().find(|record| record.key_id == grant.key_id.as_str());
            let is_on_record = on_record.is_some();
            let record = KeyRecord {
                key_id: grant.key_id.to_string(),
                label: on_record.as_ref().and_then(|record| record.label.clone()),
                namespaces: grant.scope.names(),
                prefix: grant.prefix.clone(),
                role: grant.role,
                edge: grant.is_edge,
                issued_at: rfc3339(issued),
                expires_at: expires.map(rfc3339),
                retires_at: on_record.and_then(|record| record.retires_at),
            };
            let status = record.status(&revoked, Clock::system().wall());
            let reason = match status {
                "revoked" => Some(KeyError::Revoked(grant.key_id.clone()).to_string()),
                "expired" => Some(KeyError::Expired(grant.key_id.clone()).to_string()),
                _ => None,
            };
            // Where the key is not on record its ingest credential is of no use, nor is that of one that has ended.
            let usable = is_on_record && reason.is_none();
            let ingest = if usable { Ingest::of(&ring, &grant, &signing_key) } else { None };
            Inspected { status, reason, ingest, record: Some(record) }
        }
    };
    print(&serde_json::to_string_pretty(&inspected).context("can't write JSON")?)?;
    match inspected.reason {
        None => Ok(()),
        Some(reason) => Err(anyhow::anyhow!("the key is not good: {reason}").into()),
    }
}

/// A key from the command line, from a file or from stdin, bare or as the JSON that `create` prints.
pub(super) fn read_key(key_or_file: &str) -> anyhow::Result<Secret<'static>> {
    let text = if key_or_file == "-" {
        let mut text = String::new();
        std::io::stdin().take(1 << 16).read_to_string(&mut text).context("can't read stdin")?;
        text
    } else if Path::new(key_or_file).is_file() {
        std::fs::read_to_string(key_or_file).with_context(|| format!("can't read {key_or_file}"))?
    } else if key_or_file.contains('/') || key_or_file.ends_with(".json") {
        bail!("there is no file {key_or_file}");
    } else {
        key_or_file.to_owned()
    };
    if !text.trim_start().starts_with('{') {
        return Ok(Secret::new(text.trim().to_owned()));
    }
    let json: serde_json::Value = serde_json::from_str(&text).context("this is not JSON as 'keys create' prints it")?;
    match json.get("api_key").and_then(serde_json::Value::as_str) {
        Some(key) => Ok(Secret::new(key.to_owned())),
        None => bail!("this JSON has no api_key"),
    }
}

/// Ends a key, by its id, itself, or the file it is in. One that has no record here can be ended as well: it may have been made in
/// another data directory with the same signing key.
pub(super) fn revoke(settings: &Settings, key: &str) -> Result<(), Failure> {
    let data = DataDir::new(&settings.data_dir);
    let is_file = Path::new(key).is_file();
    let id = match KeyId::parse(key) {
        Ok(id) if !is_file && key != "-" => id,
        Err(error) if !is_file && !key.starts_with("eyJ") => {
            let hint = "revoke takes a key_id, the key itself or its file; see 'springhead keys list'";
            return Err(Failure::Usage(format!("error: {error}: {hint}")));
        }
        _ => id_of(&data, key)?,
    };
    let place = settings.data_dir.display();
    if !data.exists() {
        return Err(anyhow::anyhow!(
            "there is no data directory {place}, so nothing would heed this: name the server's with --data-dir or --config"
        )
        .into());
    }
    let records = data.records()?;
    if !records.read.iter().any(|record| record.key_id == id.as_str()) {
        // The key itself is proof enough that there is one of its id.
        if key == id.as_str() && !is_made_here(&id) {
            return Err(anyhow::anyhow!(
                "no API key has the id {id}, and none can have: the ids that 'springhead keys create' gives have 16 digits of 0-9 a-f; \
                 nothing is revoked, see 'springhead keys list'"
            )
            .into());
        }
        complain(&format!(
            "warning: no key of the id {id} has a record in {place}: a server on this directory refuses it from now on; is it the right \
             directory, and the right id? See 'springhead keys list'"
        ));
    }
    data.revoke(&id)?;
    Ok(print(&format!("{id} is revoked; a running server refuses it within a second"))?)
}

/// Whether an id has the form of those that [`crate::auth`] makes.
fn is_made_here(id: &KeyId) -> bool {
    id.as_str().len() == 16 && id.as_str().bytes().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
}

/// The id of a key, from the key itself.
fn id_of(data: &DataDir, key_or_file: &str) -> Result<KeyId, Failure> {
    let token = read_key(key_or_file)?;
    let opened = data.key_ring(false)?.open(&token);
    opened.map(|verified| verified.grant.key_id).map_err(|error| {
        Failure::Usage(format!("error: {error}: revoke takes a key_id, the key itself or its file; see 'springhead keys list'"))
    })
}

/// A point in time as RFC 3339 writes it.
pub(super) fn rfc3339(time: WallTime) -> String {
    humantime::format_rfc3339_seconds(time.to_system()).to_string()
}

/// The point in time, in whole seconds, that a text of [`rfc3339`] says.
pub(super) fn from_rfc3339(text: &str) -> Option<WallTime> {
    let since_epoch = humantime::parse_rfc3339(text).ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(WallTime::from_seconds(since_epoch.as_secs()))
}
