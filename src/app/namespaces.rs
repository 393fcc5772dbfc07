//! Namespaces that are made, changed and removed while the server runs: a file each below the data directory, written before it is in
//! force, and put back when it can't be. One writer: all of it goes through the [`Reloader`].

use std::fs;

use serde_json::{Map, Value};

use super::kept;
use super::reload::Reloader;
use super::settings::{MADE_FOLDER, Settings};
use crate::auth::signing::{hex, sha256};
use crate::model::id::Namespace;
use crate::web::admin::controls::{Condition, ControlRefused, NamespaceChange, NamespaceReport};
use crate::web::problem::code::Code;

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
        let rules = self.settings.rules_of(name);
        let said = rules.keys().filter(|key| self.places.get(&format!("{of}.{key}")).is_some()).cloned().collect();
        let waiting = self.waiting.iter().filter(|change| change.namespace() == Some(name.as_str()));
        let pending_restart =
            waiting.filter_map(|change| change.key.strip_prefix(&format!("{of}.")).map(str::to_owned)).collect();
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
        let wrong = |detail: String| ControlRefused::new(Code::BadRequest, detail);
        let name = Namespace::parse(name).map_err(|error| wrong(error.to_string()))?;
        let before = self.settings.namespaces.contains_key(&name).then(|| self.report(&name));
        allow(before.as_ref(), change, condition)?;
        let path = self.settings.data_dir.join(MADE_FOLDER).join(format!("{name}.toml"));
        let old = fs::read_to_string(&path).ok();
        let written = match change {
            NamespaceChange::Removed => kept::remove(&path),
            NamespaceChange::To(rules) => self.write_rules(&name, rules)?,
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
                self.write_rules(&name, &merged)?
            }
        };
        written.map_err(|error| {
            let detail = format!(
                "the data directory can't be written ({error}): nothing is changed; declare it in the settings file instead"
            );
            ControlRefused::new(Code::DeclaredInFile, detail)
        })?;
        if let Err(faults) = self.reload() {
            // As it was: what is in force did not change.
            let _ = match old {
                Some(old) => self.data.replace(&path, &old),
                None => kept::remove(&path),
            };
            let detail = format!("nothing is changed, for the settings can't be read as they are: {}", faults.join("; "));
            return Err(ControlRefused::new(Code::InUse, detail));
        }
        let after = self.settings.namespaces.contains_key(&name).then(|| self.report(&name));
        Ok((before, after))
    }

    /// Writes the rules down; what they say is wrong is told by its key.
    fn write_rules(&self, name: &Namespace, rules: &Map<String, Value>) -> Result<std::io::Result<()>, ControlRefused> {
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
        let faults = Settings::faults_of_made(name, &text, self.settings.max_in_flight);
        if !faults.is_empty() {
            return Err(ControlRefused::new(Code::BadRequest, faults.join("; ")));
        }
        let folder = self.settings.data_dir.join(MADE_FOLDER);
        if let Err(error) = self.data.make_folder(&folder) {
            return Ok(Err(std::io::Error::other(format!("{error:#}"))));
        }
        Ok(self.data.replace(&folder.join(format!("{name}.toml")), &text))
    }
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
