//! The table of what the command line shows of keys, against what it shows.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

use serde_json::Value;

use super::markdown::{Document, coded};
use super::read;
use crate::harness::BINARY;

const COMMANDS: [&str; 3] = ["create", "list", "inspect"];

type Fields = BTreeMap<String, BTreeSet<String>>;

/// Which commands the page says to show which field.
fn told(page: &Document) -> Fields {
    let rows = page.rows();
    let rows = rows.iter().skip_while(|cells| cells[..2] != ["field", "shown by"]).skip(1);
    let field = |cells: &Vec<String>| {
        let shown: BTreeSet<_> = cells[1].split('`').skip(1).step_by(2).map(str::to_owned).collect();
        let is_row = !shown.is_empty() && shown.iter().all(|name| COMMANDS.contains(&&**name));
        Some((coded(&cells[0])?.to_owned(), shown)).filter(|_| is_row)
    };
    rows.map_while(field).collect()
}

/// Which fields they show: of a key with all of them, and of one that is no more.
fn shown() -> Fields {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().to_str().unwrap();
    let run = |arguments: &[&str]| {
        let output = Command::new(BINARY).arg("keys").args(arguments).args(["--data-dir", data]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let made = run(&["create", "--namespace", "a", "--role", "readwrite"]);
    let key: Value = serde_json::from_str(&made).unwrap();
    let key = key["api_key"].as_str().unwrap();
    let mut said = vec![("create", made.clone()), ("inspect", run(&["inspect", key])), ("list", run(&["list", "--json"]))];
    let edge = run(&["create", "--namespace", "a", "--role", "readonly", "--edge"]);
    let edge_key: Value = serde_json::from_str(&edge).unwrap();
    said.push(("inspect", run(&["inspect", edge_key["api_key"].as_str().unwrap()])));
    // Another one has taken its place, as the admin API notes it.
    let record = folder.path().join(format!("keys/{}.json", edge_key["key_id"].as_str().unwrap()));
    let mut retired: Value = serde_json::from_str(&fs::read_to_string(&record).unwrap()).unwrap();
    retired["retires_at"] = retired["expires_at"].clone();
    fs::write(&record, retired.to_string()).unwrap();
    said.push(("inspect", run(&["inspect", edge_key["api_key"].as_str().unwrap()])));
    let lines = run(&["list", "--json"]);
    said.extend(lines.lines().map(|line| ("list", line.to_owned())));
    said.push(("create", edge));
    run(&["revoke", key]);
    said.push(("inspect", run(&["inspect", key])));
    let mut fields = Fields::new();
    for (command, text) in said {
        let Value::Object(object) = serde_json::from_str(&text).unwrap() else { panic!("{text}") };
        for (field, _) in object {
            fields.entry(field).or_default().insert(command.to_owned());
        }
    }
    fields
}

#[test]
fn the_keys_page_has_every_field_and_who_shows_it() {
    let (page, shown) = (read("docs/keys.md"), shown());
    assert_eq!(told(&Document::parse(&page)), shown);
    let bad = page.replace("| `reason` | `inspect` |", "| `reason` | `list` |");
    assert_ne!(told(&Document::parse(&bad)), shown);
    assert!(told(&Document::parse(&page.replace("| `label` |", "| `name` |"))).contains_key("name"));
}
