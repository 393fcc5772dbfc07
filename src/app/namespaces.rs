//! Namespaces that are made, changed and removed while the server runs: a file each below the data directory, written before it is in
//! force, and put back when it can't be. One writer: all of it goes through the [`Reloader`].

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;

use serde_json::{Map, Value};

use super::kept;
use super::reload::Reloader;
use super::settings::{MADE_FOLDER, SettingChange};
use crate::auth::signing::{hex, sha256};
use crate::model::id::Namespace;
use crate::web::admin::controls::{Condition, ControlRefused, NamespaceChange, NamespaceReport};
use crate::web::problem::code::Code;

/// A change that may be made.
pub(super) struct JudgedChange {
    pub(super) name: Namespace,
    /// How it is.
    pub(super) before: Option<NamespaceReport>,
    /// Its rules, as they are to be written down; `None`: it is to be removed.
    pub(super) text: Option<String>,
}

impl Reloader {
    /// Every namespace.
    pub(super) fn namespaces(&self) -> Vec<NamespaceReport> {
        self.settings.namespaces.keys().map(|name| self.report(name)).collect()
    }

    fn report(&self, name: &Namespace) -> NamespaceReport {
        let of = format!("namespaces.{name}");
        let place = self.places.get(&of).map(str::to_owned);
        let made = self.made.get(name);
        let source = match (&place, made) {
            (_, Some(false)) => "api",
            (Some(place), _) if place.starts_with("--") || place.starts_with("SPRINGHEAD_") => "flag",
            (Some(_), _) => "file",
            (None, _) => "built-in",
        };
        let mut rules = self.settings.rules_of(name);
        // What is changed starts from what was said last, also where that is not in force yet.
        let waiting = self.waiting.iter().filter(|change| change.namespace() == Some(name.as_str()));
        let waiting = waiting.filter_map(|SettingChange { key, to, .. }| {
            let rule = key.replace('"', "").strip_prefix(&format!("{of}."))?.to_owned();
            Some((rule, serde_json::from_str(to.as_deref()?).ok()?))
        });
        let waiting: Vec<(String, Value)> = waiting.collect();
        let pending_restart = waiting.iter().map(|(rule, _)| rule.clone()).collect();
        rules.extend(waiting);
        let said = rules.keys().filter(|key| self.places.get(&format!("{of}.{key}")).is_some()).cloned().collect();
        let version = format!("{source} {}", Value::Object(rules.clone()));
        NamespaceReport {
            name: name.to_string(),
            source,
            place,
            is_changeable: source == "api",
            shadows: made == Some(&true),
            rules,
            said,
            pending_restart,
            etag: format!("\"{}\"", &hex(&sha256(version.as_bytes()))[..32]),
        }
    }

    /// Makes, changes or removes one: how it was, and how it is.
    pub(super) fn change_namespace(
        &mut self,
        name: &str,
        change: &NamespaceChange,
        condition: &Condition,
    ) -> Result<(Option<NamespaceReport>, Option<NamespaceReport>), ControlRefused> {
        let JudgedChange { name, before, text } = self.judge(name, change, condition)?;
        let after = self.put_namespace(&name, text.as_deref()).inspect_err(|ControlRefused { detail, .. }| {
            tracing::error!(namespace = %name, detail, "a namespace can't be changed");
        })?;
        Ok((before, after))
    }

    /// What a change comes to, where it may be made. Nothing is changed by it.
    pub(super) fn judge(
        &self,
        name: &str,
        change: &NamespaceChange,
        condition: &Condition,
    ) -> Result<JudgedChange, ControlRefused> {
        let wrong = |detail: String| ControlRefused::new(Code::BadRequest, detail);
        let name = Namespace::parse(name).map_err(|error| wrong(error.to_string()))?;
        let before = self.report_of(&name);
        allow(before.as_ref(), change, condition)?;
        let text = match change {
            NamespaceChange::Removed => None,
            NamespaceChange::To(rules) => Some(self.written(&name, rules)?),
            NamespaceChange::In(rules) => {
                let Some(before) = &before else {
                    return Err(ControlRefused::new(Code::NotFound, "there is no namespace of this name: PUT makes one"));
                };
                let mut merged = before.rules.clone();
                merged.retain(|key, _| before.said.contains(key));
                for (key, value) in rules {
                    if value.is_null() {
                        merged.remove(key)
                    } else {
                        merged.insert(key.clone(), value.clone())
                    };
                }
                Some(self.written(&name, &merged)?)
            }
        };
        Ok(JudgedChange { name, before, text })
    }

    /// Writes the rules of one down, or removes them, and puts that in force: how it is. Why it can't be is for its caller to tell.
    pub(super) fn put_namespace(
        &mut self,
        name: &Namespace,
        text: Option<&str>,
    ) -> Result<Option<NamespaceReport>, ControlRefused> {
        let folder = self.settings.data_dir.join(MADE_FOLDER);
        let path = folder.join(format!("{name}.toml"));
        let old = fs::read_to_string(&path).ok();
        let put = |text: Option<&str>| match text {
            // Somebody else may have removed it.
            None => kept::remove(&path).or_else(|error| if error.kind() == ErrorKind::NotFound { Ok(()) } else { Err(error) }),
            Some(text) => {
                self.data.make_folder(&folder).map_err(|error| std::io::Error::other(format!("{error:#}")))?;
                self.data.replace(&path, text)
            }
        };
        put(text).map_err(|error| {
            let detail = format!(
                "the data directory can't be written ({error}): nothing is changed; declare it in the settings file instead"
            );
            ControlRefused::new(Code::DeclaredInFile, detail)
        })?;
        // The settings alone: a key file of no use would say no to what is in force by then.
        if let Err(faults) = self.take_settings() {
            // As it was: what is in force did not change.
            let _ = match old {
                Some(old) => self.data.replace(&path, &old),
                None => kept::remove(&path),
            };
            return Err(unreadable(&faults));
        }
        Ok(self.report_of(name))
    }

    /// The rules of those that were made here, by name.
    pub(super) fn made_here(&self) -> Vec<(Namespace, String)> {
        let folder = self.settings.data_dir.join(MADE_FOLDER);
        let text = |name: &Namespace| Some((name.clone(), fs::read_to_string(folder.join(format!("{name}.toml"))).ok()?));
        self.made.keys().filter_map(text).collect()
    }

    /// How one is, if there is one of this name.
    pub(super) fn report_of(&self, name: &Namespace) -> Option<NamespaceReport> {
        self.settings.namespaces.contains_key(name).then(|| self.report(name))
    }

    /// Brings those that were made here to what all nodes have, by name. Rules that this release makes nothing of are left out. What is not so
    /// here is in the log, once.
    ///
    /// # Errors
    /// What else is not so here: it may be, when it is tried again.
    pub(super) fn make_as(&mut self, all: &BTreeMap<Namespace, String>) -> Result<(), String> {
        let folder = self.settings.data_dir.join(MADE_FOLDER);
        let text_of = |name: &Namespace| fs::read_to_string(folder.join(format!("{name}.toml"))).ok();
        let gone: Vec<_> = self.made.keys().filter(|name| !all.contains_key(*name)).map(|name| (name.clone(), None)).collect();
        let new = all.iter().filter(|(name, text)| text_of(name).as_ref() != Some(*text));
        let changes: Vec<_> = gone.into_iter().chain(new.map(|(name, text)| (name.clone(), Some(text.as_str())))).collect();
        let (mut unlike, mut failed) = (Vec::new(), Vec::new());
        for (namespace, text) in changes {
            match self.put_namespace(&namespace, text) {
                Ok(_) => {
                    tracing::info!(%namespace, "a namespace is as the admin API of one of the nodes has made or changed it, or gone");
                }
                Err(ControlRefused { detail, .. }) => {
                    let told = format!("{namespace}: {detail}");
                    if !self.unlike.contains(&told) {
                        tracing::error!(
                            %namespace,
                            detail,
                            "a namespace that the admin API of a node has made, changed or removed is not so here"
                        );
                    }
                    if text.is_none_or(|text| self.settings.faults_of_made(&namespace, text).is_empty()) {
                        failed.push(told.clone());
                    }
                    unlike.push(told);
                }
            }
        }
        self.unlike = unlike;
        if failed.is_empty() {
            Ok(())
        } else {
            Err(format!("namespaces are not as the other nodes have them: {}", failed.join("; ")))
        }
    }

    /// The rules, as they are written down; what they say is wrong is told by its key.
    fn written(&self, name: &Namespace, rules: &Map<String, Value>) -> Result<String, ControlRefused> {
        let mut text = String::from(
            "# Made by the admin API, which changes it; what the settings file says of this namespace comes first.\n",
        );
        for (key, value) in rules {
            if let Some((inner, _)) = value.as_object().and_then(|section| section.iter().next()) {
                let detail = format!(
                    "what is in a section is written with a dot: \"{key}.{inner}\" instead of \"{key}\": {{\"{inner}\": ...}}"
                );
                return Err(ControlRefused::new(Code::BadRequest, detail));
            }
            let is_key = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.'));
            let is_plain = |value: &Value| matches!(value, Value::String(_) | Value::Bool(_) | Value::Number(_));
            let is_value = is_plain(value) || value.as_array().is_some_and(|list| list.iter().all(is_plain));
            if !is_key || !is_value {
                let detail =
                    format!("{key:?} is no rule, or takes another kind of value: GET /v1/namespaces shows those there are");
                return Err(ControlRefused::new(Code::BadRequest, detail));
            }
            // JSON's strings, numbers and lists of strings are TOML's as well, but for one character.
            text.push_str(&format!("{key} = {}\n", value.to_string().replace('\u{7f}', "\\u007F")));
        }
        let faults = self.settings.faults_of_made(name, &text);
        if !faults.is_empty() {
            return Err(ControlRefused::new(Code::BadRequest, faults.join("; ")));
        }
        Ok(text)
    }
}

/// Why nothing is changed where these are the faults of the settings.
pub(super) fn unreadable(faults: &[String]) -> ControlRefused {
    let detail = format!("nothing is changed, for the settings can't be read as they are: {}", faults.join("; "));
    ControlRefused::new(Code::InUse, detail)
}

/// Whether it may be changed so.
fn allow(before: Option<&NamespaceReport>, change: &NamespaceChange, condition: &Condition) -> Result<(), ControlRefused> {
    let refused = |code, detail: String| Err(ControlRefused::new(code, detail));
    let Some(before) = before else {
        return match (change, condition) {
            (NamespaceChange::To(_), Condition::None | Condition::IsNew) => Ok(()),
            (_, Condition::Is(_)) => refused(
                Code::PreconditionFailed,
                "there is no namespace of this name any more: somebody has removed it".to_owned(),
            ),
            _ => refused(Code::NotFound, "there is no namespace of this name: PUT makes one".to_owned()),
        };
    };
    if !before.is_changeable {
        let place = before.place.as_deref().unwrap_or("the program itself");
        let detail = format!("it is declared in {place}: change it there, and reload (POST /v1/reload or SIGHUP)");
        return refused(Code::DeclaredInFile, detail);
    }
    match condition {
        Condition::Is(tags) if tags.iter().any(|tag| *tag == before.etag || tag == "*") => Ok(()),
        Condition::Is(_) => {
            let detail =
                "it has been changed since it was read: read it again, and send what you mean with its new ETag".to_owned();
            refused(Code::PreconditionFailed, detail)
        }
        Condition::IsNew => refused(Code::PreconditionFailed, "there is a namespace of this name already".to_owned()),
        Condition::None => {
            let detail = "it is there already: read it, and send its ETag as If-Match".to_owned();
            refused(Code::ConditionRequired, detail)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use super::super::Failure;
    use super::super::data_dir::DataDir;
    use super::super::settings::{Given, Loaded, Overrides, Settings};
    use super::super::telemetry::Logs;
    use super::*;
    use crate::auth::key::KeyRing;
    use crate::auth::signing::SigningKey;
    use crate::auth::verify::Verifier;
    use crate::metrics::Metrics;
    use crate::model::clock::Clock;
    use crate::origin::Origin;
    use crate::web::{ConnectionLimits, Limits, Timeouts, Web};

    /// A server in this folder, whose settings can't be read while that is so.
    fn reloader(folder: &Path, is_broken: &Arc<AtomicBool>) -> Reloader {
        let given = Given { name: "--data-dir".to_owned(), value: folder.to_str().unwrap().to_owned() };
        let overrides = Overrides { data_dir: Some(given), ..Overrides::default() };
        let is_broken = Arc::clone(is_broken);
        let load = move |made_in: Option<&Path>| {
            if is_broken.load(Ordering::Relaxed) {
                return Err(Failure::Usage("settings.toml:3: no such key".to_owned()));
            }
            Settings::load_all(None, &overrides, made_in).map_err(|faults| Failure::Usage(faults.to_string()))
        };
        let Loaded { settings, places, made, .. } = load(None).unwrap();
        let (clock, metrics) = (Clock::manual(), Arc::new(Metrics::new()));
        let verifier = Arc::new(Verifier::new(KeyRing::new(&[SigningKey::generate()]).unwrap(), clock.clone()));
        let origin = Origin::new([], 1, clock, &metrics);
        let limits = Limits { timeouts: Timeouts::default(), drain: Duration::ZERO, connections: ConnectionLimits::default() };
        let web = Web::new(origin.clone(), Arc::clone(&verifier), metrics, limits, None);
        Reloader {
            load: Box::new(load),
            settings,
            places,
            are_of_empty_file: false,
            made,
            unlike: Vec::new(),
            waiting: Vec::new(),
            origin,
            web,
            logs: Logs::unheard(),
            certificates: <[Arc<tokio::sync::Notify>; 2]>::default(),
            data: DataDir::new(folder),
            verifier,
        }
    }

    #[tokio::test]
    async fn what_can_not_be_put_in_force_now_is_when_it_can() {
        let (folder, is_broken) = (tempfile::tempdir().unwrap(), Arc::new(AtomicBool::new(false)));
        let mut reloader = reloader(folder.path(), &is_broken);
        let name = |name: &str| Namespace::parse(name).unwrap();
        let mut all = BTreeMap::from([(name("x"), "default_ttl = \"2h\"\n".to_owned())]);
        is_broken.store(true, Ordering::Relaxed);
        for _ in 0..2 {
            let refused = reloader.make_as(&all).unwrap_err();
            assert!(refused.contains("x: ") && refused.contains("settings.toml:3: no such key"), "{refused}");
            assert!(reloader.report_of(&name("x")).is_none() && reloader.made_here().is_empty(), "nothing is left of it");
            assert_eq!(reloader.unlike.len(), 1, "told once");
        }
        is_broken.store(false, Ordering::Relaxed);
        // Of a later release: what else there is counts all the same.
        all.insert(name("y"), "of_later = true\n".to_owned());
        assert_eq!(reloader.make_as(&all), Ok(()));
        assert!(reloader.report_of(&name("x")).is_some() && reloader.report_of(&name("y")).is_none());
        assert!(matches!(&*reloader.unlike, [told] if told.starts_with("y: ")), "{:?}", reloader.unlike);
        // Whose file somebody has removed is removed all the same.
        fs::remove_file(folder.path().join(MADE_FOLDER).join("x.toml")).unwrap();
        assert_eq!(reloader.make_as(&BTreeMap::new()), Ok(()));
        assert!(reloader.report_of(&name("x")).is_none() && reloader.unlike.is_empty());
    }
}
