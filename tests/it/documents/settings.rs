//! The settings that documents name: those of the shipped file, with its defaults.

use std::collections::{BTreeMap, BTreeSet};

use springhead::app::Cli;

use super::markdown::{Document, coded};
use super::{hold, read};

/// What the names of variables begin with that are settings.
const VARIABLES: &str = "SPRINGHEAD_";

/// The settings as shipped: section, key and default.
fn shipped() -> BTreeMap<(String, String), String> {
    let mut section = String::new();
    let mut settings = BTreeMap::new();
    // Tables of which there may be none are shown as comments.
    let mut is_shown = false;
    for line in read("config/springhead.toml").lines() {
        is_shown = line.starts_with("# [[") || is_shown && line.starts_with("# ");
        let line = if is_shown { &line[2..] } else { line };
        if line.starts_with('#') {
            continue;
        }
        if let Some(name) = line.strip_prefix("[[").and_then(|rest| rest.strip_suffix("]]")) {
            name.replace(".live-origin", ".NAME").clone_into(&mut section);
        } else if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            name.replace(".live-origin", ".NAME").clone_into(&mut section);
        } else if let Some((key, value)) = line.split_once(" = ") {
            settings.insert((section.clone(), key.to_owned()), value.to_owned());
        }
    }
    assert!(settings.len() > 40, "{settings:?}");
    settings
}

/// What the settings page has and the shipped file does not, and the other way round; a default is a part of it.
fn wrong_settings(page: &Document) -> Vec<String> {
    let mut section = String::new();
    let mut told = BTreeMap::new();
    for cells in page.rows() {
        let [key, default, ..] = &cells[..] else { continue };
        if let Some(name) = key.strip_prefix("**").and_then(|rest| rest.strip_suffix("**")) {
            section = coded(name).map_or_else(String::new, |name| name.trim_matches(['[', ']']).to_owned());
        } else if let Some(key) = coded(key).filter(|key| !key.starts_with(VARIABLES)) {
            told.insert((section.clone(), key.to_owned()), coded(default).unwrap_or_default().to_owned());
        }
    }
    let shipped = shipped();
    let missing = shipped.iter().filter(|(key, _)| !told.contains_key(key)).map(|(key, _)| format!("{key:?} is missing"));
    let wrong = told.iter().filter_map(|(key, default)| match shipped.get(key) {
        None => Some(format!("there is no {key:?}")),
        Some(real) if real.trim_matches('"') != default => Some(format!("{key:?} is {real} as shipped, not {default}")),
        Some(_) => None,
    });
    missing.chain(wrong).collect()
}

#[test]
fn the_settings_page_has_every_setting_with_its_default() {
    let page = read("docs/settings.md");
    assert_eq!(wrong_settings(&Document::parse(&page)), [""; 0]);
    let bad = page.replace("| `hold` |", "| `holt` |").replace("| `16384` |", "| `16385` |");
    assert_eq!(wrong_settings(&Document::parse(&bad)).len(), 3);
}

/// The variables that the settings page has and nothing reads, and those that are read and it does not have.
fn wrong_variables(page: &Document) -> Vec<String> {
    let rows = page.rows();
    let named = rows.iter().filter_map(|cells| coded(&cells[0])).filter(|name| name.starts_with(VARIABLES));
    let named: BTreeSet<String> = named.map(str::to_owned).collect();
    named.symmetric_difference(&Cli::variables()).cloned().collect()
}

#[test]
fn the_settings_page_has_every_variable_that_is_read() {
    let page = read("docs/settings.md");
    assert_eq!(wrong_variables(&Document::parse(&page)), [""; 0]);
    let bad = page.replace("| `SPRINGHEAD_LISTEN` |", "| `SPRINGHEAD_LISTN` |");
    assert_eq!(wrong_variables(&Document::parse(&bad)), ["SPRINGHEAD_LISTEN", "SPRINGHEAD_LISTN"]);
}

/// Settings that are named and do not exist: in TOML blocks, as `section.key`, or as `key = value`.
fn unknown_settings(_: &str, document: &Document) -> Vec<String> {
    let shipped = shipped();
    let is_known = |section: &str, key: &str| shipped.contains_key(&(section.to_owned(), key.to_owned()));
    let mut faults = Vec::new();
    for block in document.blocks.iter().filter(|block| block.language == "toml") {
        let table: toml::Table = block.text.parse().unwrap_or_else(|error| panic!("{error}:\n{}", block.text));
        for (section, value) in &table {
            let tables = match value {
                toml::Value::Table(names) if section == "namespaces" => {
                    names.values().map(|inner| ("namespaces.NAME", inner)).collect()
                }
                toml::Value::Table(_) => vec![(&**section, value)],
                _ => {
                    faults.extend((!is_known("", section)).then(|| section.clone()));
                    continue;
                }
            };
            for (section, inner) in tables {
                for (key, value) in inner.as_table().into_iter().flatten() {
                    // A section within one, or several.
                    let inner = format!("{section}.{key}");
                    let tables = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
                    let keys: Vec<_> = tables.iter().filter_map(toml::Value::as_table).flat_map(toml::Table::keys).collect();
                    let is_section = !keys.is_empty() && shipped.keys().any(|(known, _)| *known == inner);
                    faults.extend((!is_section && !is_known(section, key)).then(|| format!("[{section}] {key}")));
                    let unknown = keys.into_iter().filter(|key| is_section && !is_known(&inner, key));
                    faults.extend(unknown.map(|key| format!("[{inner}] {key}")));
                }
            }
        }
    }
    let sections: BTreeSet<&str> = shipped.keys().map(|(section, _)| &**section).collect();
    for span in document.spans() {
        let is_word = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        let path = span.split_once(" = ").map_or(&*span, |(key, _)| key);
        let known = match path.split_once('.') {
            // Some sections have the names of files, too.
            Some((section, key)) if is_word(section) && sections.contains(section) && is_word(key) && key != "json" => {
                is_known(section, key)
            }
            None if path != span && is_word(path) => shipped.keys().any(|(_, key)| key == path),
            _ => true,
        };
        faults.extend((!known).then_some(span));
    }
    faults
}

#[test]
fn settings_that_are_named_exist() {
    hold(unknown_settings);
    let bad = "`timeouts.keep_alife`, `timeouts.keep_alive`, `durabel = \"off\"`, `durable = \"off\"`, `harvest.json`\n\n\
               ```toml\nlisten = []\nlissten = []\n[tls]\ncert = \"\"\n[namespaces.a]\nttl = \"1h\"\nhold = \"off\"\n[namespaces.a.viewers]\nmode = \"off\"\nmod = 1\n\
               [namespaces.a.viewer]\nmode = \"off\"\n```\n";
    let faults = unknown_settings("", &Document::parse(bad));
    assert_eq!(faults.len(), 7, "{faults:?}");
}
