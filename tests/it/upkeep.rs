//! What an operator has to be told in time, and what is to be seen of it: keys that come, go and end.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use serde_json::Value;

use crate::harness::{NAMESPACE, Origin, eventually};

/// The log line with this message about this key.
fn line_about(origin: &Origin, message: &str, key_id: &str) -> Value {
    let find = || origin.log().into_iter().find(|line| line["message"] == message && line["key_id"] == key_id);
    eventually(Duration::from_secs(10), find).unwrap_or_else(|| panic!("no line {message:?} about {key_id}: {:#?}", origin.log()))
}

#[test]
fn a_key_that_ends_is_announced_and_what_starts_or_stops_to_be_refused_is_a_line() {
    let mut origin = Origin::start();
    let make = |expires: &str, label: &str| {
        let arguments = ["--namespace", NAMESPACE, "--role", "readwrite", "--expires", expires, "--label", label];
        origin.make_key(&arguments).1
    };
    let (soon, later, brief) = (make("13d", "encoder 7"), make("15d", "encoder 8"), make("3s", "encoder 9"));
    let said = line_about(&origin, "an API key is on record: it is good from now on", &soon);
    assert_eq!(said["label"], "encoder 7");
    let message = "an API key ends soon: make another with 'springhead keys create' and give it to whoever uses this one";
    let said = line_about(&origin, message, &soon);
    assert_eq!((&said["level"], &said["label"], &said["role"]), (&"WARN".into(), &"encoder 7".into(), &"readwrite".into()));
    line_about(&origin, "an API key has ended: it is refused", &brief);
    assert!(!origin.log().iter().any(|line| line["message"] == message && line["key_id"] == later), "it is too early for that");
    for id in [&soon, &later] {
        let series = format!("springhead_api_key_expiry_timestamp_seconds{{key_id=\"{id}\"}}");
        assert!(origin.metric(&series) > 1.7e9, "{series}");
    }

    assert!(origin.run(&["keys", "revoke", &soon]).status.success());
    let said = line_about(&origin, "an API key is refused from now on: it was revoked", &soon);
    assert_eq!(said["label"], "encoder 7");
    let series = format!("springhead_api_key_expiry_timestamp_seconds{{key_id=\"{soon}\"}}");
    let gone = || (origin.metric(&series) < 1.0).then_some(());
    assert!(eventually(Duration::from_secs(5), gone).is_some(), "the end of a key that has ended by other means alarms nobody");
    fs::remove_file(origin.data_dir().join("revoked").join(&soon)).unwrap();
    line_about(&origin, "an API key is good again: its revocation is gone from the data directory", &soon);

    // At a start what is so already is no news, but for what ends.
    origin.stop();
    origin.launch();
    line_about(&origin, message, &soon);
    assert!(!origin.log().iter().any(|line| line["message"].as_str().unwrap().contains("on record")));
}

#[test]
fn a_record_that_cannot_be_read_is_named() {
    let origin = Origin::start();
    let record = origin.data_dir().join("keys/0123.json");
    fs::write(&record, "{\"key_id\": 7}").unwrap();
    let message = "a key record can't be read: its key's ingest password and Digest are refused until this is mended";
    let said = origin.wait_for_log(message);
    assert!(said["level"] == "WARN" && said["file"].as_str().unwrap().ends_with("keys/0123.json"), "{said}");
    let listed = origin.run(&["keys", "list"]);
    assert!(listed.status.success() && String::from_utf8_lossy(&listed.stderr).contains("keys/0123.json"), "{listed:?}");
}

#[test]
fn a_signing_key_that_others_can_read_is_warned_of() {
    let mut origin = Origin::start();
    let exposed = |origin: &Origin| origin.log().iter().any(|line| line["message"].as_str().unwrap().contains("can read it"));
    assert!(!exposed(&origin));
    origin.stop();
    let file = origin.data_dir().join("signing.key");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    origin.launch();
    assert!(exposed(&origin));
    let made = origin.run(&["keys", "create", "--namespace", "a", "--role", "readonly"]);
    assert!(made.status.success() && String::from_utf8_lossy(&made.stderr).contains("chmod 600"), "{made:?}");
}
