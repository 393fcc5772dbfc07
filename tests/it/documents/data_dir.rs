//! The table of what the data directory holds, and what of it to have a copy of, against what a server in full use leaves there.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use super::markdown::Document;
use super::read;
use crate::harness::{NAMESPACE, Origin, eventually};

/// What the page has, by the names at the top of the directory.
fn told(page: &Document) -> BTreeSet<String> {
    let rows = page.rows();
    let rows = rows.iter().skip_while(|cells| cells[1..] != ["what it is", "without it"]).skip(1);
    let rows = rows.take_while(|cells| cells.len() == 3 && cells[0].starts_with('`'));
    let names = rows.flat_map(|cells| cells[0].split('`').skip(1).step_by(2));
    names.map(|name| name.trim_end_matches('/').to_owned()).filter(|name| !name.contains('/')).collect()
}

/// What is there.
fn left() -> BTreeSet<String> {
    // Nobody is there; what the webhooks are signed with is made all the same.
    let origin = Origin::start_with_settings("[webhooks]\nurls = [\"http://127.0.0.1:1/\"]\n");
    origin.store("a.ts", "x");
    origin.store("a.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\na.ts\n");
    let run = |arguments: &[&str]| {
        let output = origin.run(arguments);
        assert!(output.status.success(), "{output:?}");
        output.stdout
    };
    let made: serde_json::Value = serde_json::from_slice(&run(&["token", "viewer", "--namespace", NAMESPACE])).unwrap();
    run(&["token", "revoke", made["token_id"].as_str().unwrap(), "--namespace", NAMESPACE]);
    run(&["console"]);
    let has_history = || origin.data_dir().join("history").is_dir().then_some(());
    assert!(eventually(Duration::from_secs(20), has_history).is_some());
    let names = fs::read_dir(origin.data_dir()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    // Of the keys of the first start one stands for all. What is being written has another name at the next moment.
    let names = names.filter(|name| !name.starts_with(".draft-"));
    names.map(|name| if name.ends_with("_api_key.json") { "encoder_api_key.json".to_owned() } else { name }).collect()
}

#[test]
fn the_table_of_what_to_keep_has_all_that_a_server_leaves() {
    let (page, left) = (read("docs/operating.md"), left());
    assert_eq!(told(&Document::parse(&page)), left);
    let bad = page.replace("| `viewer.key` |", "| `viewers.key` |");
    assert_ne!(told(&Document::parse(&bad)), left);
}
