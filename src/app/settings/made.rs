//! Namespaces that the admin API has made: below the data directory a file for each, `namespaces/NAME.toml`, with the keys of
//! `[namespaces.NAME]`.
//!
//! What a settings file, a flag or a variable declares comes first; one of the same name here is shadowed by it. Without anything
//! declared, and with the folder there, the namespaces are those in it: then the built-in one is not, unless it has a file.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use super::places::SettingPlaces;
use super::{SettingFault, Settings, file};
use crate::model::id::Namespace;

/// The folder below the data directory.
pub(in crate::app) const FOLDER: &str = "namespaces";

/// The ones that were made: whether each is shadowed.
pub(in crate::app) type MadeNamespaces = BTreeMap<Namespace, bool>;

impl Settings {
    /// Reads them below a data directory: these settings' own, unless `data_dir` is another. `is_declared`: a settings file, a flag or a variable
    /// names namespaces.
    pub(super) fn take_made(
        &mut self,
        data_dir: Option<&Path>,
        is_declared: bool,
        places: &mut SettingPlaces,
        faults: &mut Vec<SettingFault>,
    ) -> MadeNamespaces {
        let folder = data_dir.unwrap_or(&self.data_dir).join(FOLDER);
        let mut made = MadeNamespaces::new();
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return made,
            Err(error) => {
                faults.push(SettingFault::unread(&folder, &error));
                return made;
            }
        };
        if !is_declared {
            self.namespaces.clear();
            self.auto.hot_capacity.clear();
        }
        let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
        paths.sort();
        for path in paths {
            let place = path.display().to_string();
            let name = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
            let (name, text) = match (Namespace::parse(name), std::fs::read_to_string(&path)) {
                (Ok(name), Ok(text)) => (name, text),
                (Err(error), _) => {
                    faults.push(SettingFault::new(place, format!("{name:?}: {error}")));
                    continue;
                }
                // Removed between two looks.
                (_, Err(error)) if error.kind() == io::ErrorKind::NotFound => continue,
                (_, Err(error)) => {
                    faults.push(SettingFault::unread(&path, &error));
                    continue;
                }
            };
            let is_shadowed = self.namespaces.contains_key(&name);
            made.insert(name.clone(), is_shadowed);
            if is_shadowed {
                continue;
            }
            places.note(format!("namespaces.{name}"), &place);
            let (policy, is_auto) = file::read_made(&text, &place, &name, places, faults);
            if is_auto {
                self.auto.hot_capacity.insert(name.clone());
            }
            self.namespaces.insert(name, policy);
        }
        made
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Given, Overrides};
    use super::*;
    use std::fs;

    fn load(data_dir: &std::path::Path, more: &[&str]) -> Result<(Settings, MadeNamespaces), String> {
        let given = |name: &str, value: &str| Given { name: name.to_owned(), value: value.to_owned() };
        let overrides = Overrides {
            data_dir: Some(given("--data-dir", data_dir.to_str().unwrap())),
            namespaces: more.iter().map(|name| given("--namespace", name)).collect(),
            ..Overrides::default()
        };
        Settings::load_all(None, &overrides, None)
            .map(|loaded| (loaded.settings, loaded.made))
            .map_err(|faults| faults.to_string())
    }

    #[test]
    fn what_was_made_stands_beside_what_is_declared_and_behind_it() {
        let folder = tempfile::tempdir().unwrap();
        let names = |settings: &Settings| settings.namespaces.keys().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        assert_eq!(names(&load(folder.path(), &[]).unwrap().0), "live-origin");
        let made = folder.path().join(FOLDER);
        fs::create_dir(&made).unwrap();
        assert_eq!(names(&load(folder.path(), &[]).unwrap().0), "", "the built-in one was removed");
        fs::write(made.join("a.toml"), "# made\ndefault_ttl = \"2h\"\n").unwrap();
        fs::write(made.join("b.toml"), "").unwrap();
        fs::write(made.join(".draft"), "x").unwrap();
        let (settings, _) = load(folder.path(), &[]).unwrap();
        assert_eq!(names(&settings), "a b");
        let a = Namespace::parse("a").unwrap();
        assert_eq!(settings.namespaces[&a].default_ttl.as_secs(), 7200);
        let (settings, made_ones) = load(folder.path(), &["a", "c"]).unwrap();
        assert_eq!(names(&settings), "a b c");
        assert_eq!(settings.namespaces[&a].default_ttl.as_secs(), 3600, "the flag's");
        assert!(made_ones[&a] && !made_ones[&Namespace::parse("b").unwrap()]);
        fs::write(made.join("b.toml"), "\nhot_capacity = \"x\"\nother = 1\n").unwrap();
        let faults = load(folder.path(), &[]).unwrap_err();
        assert!(
            faults.contains("b.toml:2: namespaces.b.hot_capacity: ") && faults.contains("b.toml:3: namespaces.b.other: is not"),
            "{faults}"
        );
    }
}
