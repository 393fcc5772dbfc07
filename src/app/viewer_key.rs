//! `viewer.key` in the data directory: what viewers' tokens are signed with, one key to a line, in the form of `signing.key` and apart from
//! it, and the public keys of others who sign some. `SPRINGHEAD_VIEWER_KEY` replaces the file.

use std::fs;
use std::io;
use std::path::Path;

use anyhow::{Context as _, bail};

use super::data_dir::DataDir;
use super::settings::Settings;
use crate::auth::signing::SigningKey;
use crate::auth::viewer::{ViewerKeys, ViewerVerifier};
use crate::origin::policy::ViewerMode;

/// The file's name.
pub(super) const FILE: &str = "viewer.key";
/// The variable that replaces it.
pub(super) const VARIABLE: &str = "SPRINGHEAD_VIEWER_KEY";

/// Whether any namespace takes viewers' tokens.
pub(super) fn is_needed(settings: &Settings) -> bool {
    settings.namespaces.values().any(|policy| policy.viewers.mode != ViewerMode::Off)
}

/// Whether [`load`] would find no keys, and make the first one where it may.
pub(super) fn is_missing(data: &DataDir) -> bool {
    std::env::var_os(VARIABLE).is_none() && !data.path().join(FILE).exists()
}

/// Says of each namespace that has a key of Akamai's tokens and does not exist that nothing comes of that. Never the key.
pub(super) fn warn_of_strays(viewers: &ViewerVerifier, settings: &Settings) {
    for namespace in viewers.edge_auth_namespaces().iter().filter(|name| !settings.namespaces.contains_key(*name)) {
        tracing::warn!(
            %namespace,
            "a key of Akamai's tokens is for a namespace that does not exist, so none of them is good: mend its name in the line akamai:NAMESPACE:KEY of \
             {FILE} (or {VARIABLE}), or take the line out, and reload"
        );
    }
}

/// The viewer keys: from the environment, or from the file, which is made when there is none and `make` says so. Else there are none.
///
/// # Errors
/// When they can't be read, or one of them signs API keys too: an edge holds viewer keys, and would make itself API keys.
pub(super) fn load<'a>(
    data: &DataDir,
    signing_keys: impl IntoIterator<Item = &'a str>,
    make: bool,
) -> anyhow::Result<ViewerKeys> {
    let keys = match std::env::var(VARIABLE) {
        Ok(text) => ViewerKeys::parse_all(&text).with_context(|| format!("{VARIABLE} is of no use"))?,
        Err(_) => from_file(data, &data.path().join(FILE), make)?,
    };
    if let Some(fault) = both(&keys, signing_keys) {
        bail!(fault);
    }
    Ok(keys)
}

/// The keys of a file that is named, or those of the data directory.
///
/// # Errors
/// As [`load`]'s.
pub(super) fn named(settings: &Settings, file: Option<&Path>, make: bool) -> anyhow::Result<ViewerKeys> {
    if let Some(file) = file {
        return read(file);
    }
    let data = DataDir::new(&settings.data_dir);
    let signing: Vec<String> = data.key_ring(false).map(|ring| ring.ids().map(str::to_owned).collect()).unwrap_or_default();
    load(&data, signing.iter().map(String::as_str), make)
}

/// What of the keys that a start would read is of no use, each line once and none of it shown; and what will come of nothing.
pub(super) fn check(settings: &Settings) -> (Vec<String>, Vec<String>) {
    let data = DataDir::new(&settings.data_dir);
    let path = data.path().join(FILE);
    let (from, text) = match (std::env::var(VARIABLE), fs::read_to_string(&path)) {
        (Ok(text), _) => (VARIABLE.to_owned(), text),
        (Err(_), Ok(text)) => (path.display().to_string(), text),
        // It is made by a start that needs it.
        (Err(_), Err(error)) if error.kind() == io::ErrorKind::NotFound => return (Vec::new(), Vec::new()),
        // The server may be another user, whose file it is.
        (Err(_), Err(error)) if error.kind() == io::ErrorKind::PermissionDenied => {
            return (Vec::new(), vec![format!("{}: this user can't read it: {error}; can the server's?", path.display())]);
        }
        (Err(_), Err(error)) => return (vec![format!("can't read {}: {error}", path.display())], Vec::new()),
    };
    let mut faults: Vec<_> = ViewerKeys::faults(&text).iter().map(|fault| format!("{from}: {fault}")).collect();
    let Ok(keys) = ViewerKeys::parse_all(&text) else { return (faults, Vec::new()) };
    let ring = data.key_ring(false).ok();
    faults.extend(ring.and_then(|ring| both(&keys, ring.ids())));
    let strays = keys.edge_auth_namespaces().filter(|name| !settings.namespaces.contains_key(*name));
    let warnings = strays.map(|name| {
        format!("{from}: a key of Akamai's tokens is for the namespace {name}, which does not exist: mend its name, or take the line out")
    });
    (faults, warnings.collect())
}

/// That a key signs API keys and viewers' tokens alike, if one does.
fn both<'a>(keys: &ViewerKeys, signing_keys: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let both = signing_keys.into_iter().find(|id| keys.ids().any(|known| known == *id))?;
    Some(format!(
        "the key {both} is a viewer key and a signing key: whoever checks viewers' tokens could make API keys with it; take it out of \
         {FILE} (or {VARIABLE}), and have one made that is for viewers alone"
    ))
}

/// The keys of another file.
fn read(path: &Path) -> anyhow::Result<ViewerKeys> {
    let text = fs::read_to_string(path).with_context(|| format!("can't read {}", path.display()))?;
    ViewerKeys::parse_all(&text).with_context(|| format!("{} is of no use", path.display()))
}

fn from_file(data: &DataDir, path: &Path, make: bool) -> anyhow::Result<ViewerKeys> {
    match fs::read_to_string(path) {
        Ok(text) => return ViewerKeys::parse_all(&text).with_context(|| format!("{} is of no use", path.display())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("can't read {}", path.display())),
    }
    if !make {
        return Ok(ViewerKeys::default());
    }
    data.create()?;
    let key = SigningKey::generate();
    match data.keep_new(path, &format!("{}\n", key.encode())) {
        Ok(()) => Ok(ViewerKeys::new(&[key])),
        // Another process made it first; that one counts.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => from_file(data, path, false),
        Err(error) => Err(error).with_context(|| format!("can't write {}", path.display())),
    }
}
