//! What is wrong with settings, and what differs between two of them.

use std::path::Path;
use std::{fmt, io};

use anyhow::anyhow;

use crate::app::Failure;

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::app) struct SettingFault {
    pub(in crate::app) place: String,
    pub(in crate::app) message: String,
    /// It is no setting that is wrong: a file or folder of the data directory can't be read, which a restart may find mended.
    is_of_folder: bool,
}

impl SettingFault {
    pub(in crate::app) fn new(place: impl Into<String>, message: impl fmt::Display) -> Self {
        Self { place: place.into(), message: message.to_string(), is_of_folder: false }
    }

    /// A file or folder of the data directory can't be read.
    pub(super) fn unread(path: &Path, error: &io::Error) -> Self {
        let message = format!("can't be read: {error}; the data directory and what is in it has to be this user's");
        Self { is_of_folder: true, ..Self::new(path.display().to_string(), message) }
    }
}

/// A setting that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::app) struct SettingChange {
    pub(in crate::app) key: String,
    pub(in crate::app) from: Option<String>,
    pub(in crate::app) to: Option<String>,
}

impl SettingChange {
    /// As it may be logged: the addresses of webhooks may hold secrets.
    pub(in crate::app) fn masked(self) -> Self {
        if !self.key.starts_with("webhooks.") {
            return self;
        }
        let masked = |value: Option<String>| value.map(|_| "(not shown)".to_owned());
        Self { from: masked(self.from), to: masked(self.to), key: self.key }
    }

    /// The namespace it is a setting of, if it is one.
    pub(in crate::app) fn namespace(&self) -> Option<&str> {
        // A name with a dot in it is quoted; a quote is in none.
        let (name, _) = self.key.strip_prefix("namespaces.")?.rsplit_once('.')?;
        let name = name.strip_suffix(".viewers").unwrap_or(name);
        Some(name.trim_matches('"'))
    }

    /// Whether a running server takes it up; the rest waits for the next start.
    pub(in crate::app) fn is_live(&self) -> bool {
        ["log_level", "drain_delay", "drain_timeout", "max_in_flight"].contains(&&*self.key)
            || self.key.starts_with("timeouts.")
            || self.key.starts_with("connections.")
            // Where a namespace that is in use keeps its objects is settled when it is opened.
            || (self.key.starts_with("namespaces.") && !(self.key.ends_with(".durable") && self.from.is_some() && self.to.is_some()))
    }
}

/// Everything that is wrong.
#[derive(Clone, Debug)]
pub(in crate::app) struct SettingFaults(pub(in crate::app) Vec<SettingFault>);

impl SettingFaults {
    /// How a command ends by them: as one that was used wrongly, unless no setting is wrong and only what is on the disk.
    pub(in crate::app) fn into_failure(self) -> Failure {
        if !self.0.iter().all(|fault| fault.is_of_folder) {
            return Failure::Usage(self.to_string());
        }
        let said: Vec<_> = self.0.iter().map(|SettingFault { place, message, .. }| format!("{place}: {message}")).collect();
        Failure::Failed(anyhow!(said.join("\n")))
    }
}

impl fmt::Display for SettingFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for SettingFault { place, message, .. } in &self.0 {
            writeln!(f, "{place}: {message}")?;
        }
        let count = self.0.len();
        write!(f, "{count} fault{} in the settings", if count == 1 { "" } else { "s" })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::app::settings::{Settings, render};

    /// What the page says that a running server takes up, against what one does.
    #[test]
    fn the_settings_page_names_what_needs_no_restart() {
        let page = include_str!("../../../docs/settings.md");
        let told = page.lines().find(|line| line.starts_with("On SIGHUP a running server takes up ")).unwrap();
        let (told, but) = told.split_once(" but ").unwrap();
        let spans = |text: &str| text.split('`').skip(1).step_by(2).map(str::to_owned).collect::<BTreeSet<_>>();
        let (told, but) = (spans(told), spans(but));
        for (key, value) in render::values(&Settings::default()) {
            let (section, name) = key.rsplit_once('.').unwrap_or(("", &key));
            let section = if section.starts_with("namespaces.") { "namespaces.NAME" } else { section };
            let is_told = if section.is_empty() { told.contains(name) } else { told.contains(&format!("[{section}]")) };
            let is_told = is_told && !(section == "namespaces.NAME" && but.contains(name));
            let change = SettingChange { key: key.clone(), from: Some(value), to: Some("another".to_owned()) };
            assert_eq!(change.is_live(), is_told, "{key}");
        }
        assert!(told.len() > 4 && but.len() == 1, "{told:?} {but:?}");
    }
}
