//! The admin API as its description has it: what was written by nobody but machines that have read it gets on with the server.

use std::fs;
use std::io::Write as _;
use std::process::{Output, Stdio};
use std::thread;

use serde_json::{Value, json};

use crate::harness::Origin;
use crate::programs::{kept, limited};
use crate::wire::Request;

const DESCRIPTION: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/config/openapi.json");

/// A program that reads descriptions.
fn tool(seconds: u32, name: &str) -> std::process::Command {
    let tools = kept("SPRINGHEAD_TEST_API", "api");
    let mut command = limited(seconds, tools.join("bin").join(name));
    // Some of them start others that stand beside them.
    let path = std::env::var("PATH").unwrap_or_default();
    command.env("PATH", format!("{}:{path}", tools.join("bin").display()));
    command
}

fn said(output: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn origin() -> (Origin, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let settings = format!(
        "[harvest]\nfolder = \"{}\"\n[namespaces.live-origin]\n[namespaces.live-origin.viewers]\nmode = \"edge\"\n",
        folder.path().join("recordings").display()
    );
    let file = folder.path().join("settings.toml");
    fs::write(&file, settings).unwrap();
    let origin = Origin::start_with(&["--config", file.to_str().unwrap()]);
    origin.store("show/0.ts", vec![0x47; 188]);
    origin.store("show/a.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n0.ts\n");
    (origin, folder)
}

/// Sends what the description allows and what it does not, and compares each answer with what it says: no 5xx, no status, type or body
/// that is not in it, nothing that is answered without the key it takes.
fn fuzz(origin: &Origin, credentials: [&str; 2], not_checked: &str, examples: u32) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let known = "[parameters]\n\"query.namespace\" = \"live-origin\"\n\"path.namespace\" = \"live-origin\"\n\"query.key\" = \
                 \"show/a.m3u8\"\n\"path.key\" = \"show/a.m3u8\"\n";
    fs::write(folder.path().join("schemathesis.toml"), known).unwrap();
    let mut command = tool(250, "schemathesis");
    command.current_dir(folder.path()).arg("run").arg(DESCRIPTION).args(["--url", &format!("http://{}", origin.admin)]);
    for header in credentials.iter().filter(|header| !header.is_empty()) {
        command.args(["--header", header]);
    }
    // That a schema allows what the server still finds wrong with a text is no fault: JSON Schema can't say all of it.
    command.args(["--checks", "all", "--exclude-checks", &format!("positive_data_acceptance{not_checked}")]);
    // These end the server, the session that all others need, or never.
    command.args(["--exclude-path-regex", "^/v1/(drain|events/live)$", "--exclude-operation-id", "delete_v1_session"]);
    command.args(["--seed", "16", "--max-examples", &examples.to_string(), "--generation-database", "none", "--no-color"]);
    command.args(["--request-timeout", "10", "--warnings", "off"]);
    command.output().unwrap()
}

#[test]
fn every_answer_to_a_fuzzer_is_one_that_is_described() {
    let ((origin, _folder), (looked_at, _its_folder)) = (origin(), origin());
    let (viewer, _) = looked_at.make_key(&["--role", "viewer"]);
    let printed = origin.run(&["console"]);
    let link = String::from_utf8(printed.stdout).unwrap();
    let ticket = link.lines().next().unwrap().split('=').nth(1).unwrap();
    let sign_in = Request::new("POST", "/v1/session").header("Content-Type", "application/json");
    let signed_in = sign_in.body(json!({ "ticket": ticket }).to_string()).send(origin.admin);
    let cookie = signed_in.header("set-cookie").split(';').next().unwrap().to_owned();
    // By the session: who fuzzes as an administrator ends whatever key he finds, the one that he came with, too.
    let (cookie, site) = (format!("Cookie: {cookie}"), "Sec-Fetch-Site: same-origin");
    let key = format!("Authorization: Bearer {viewer}");
    let judge = |origin: &Origin, credentials: [&str; 2], not_checked: &str, examples: u32| {
        let output = fuzz(origin, credentials, not_checked, examples);
        let text = said(&output);
        assert!(output.status.success(), "{text}");
        let generated = text.lines().find_map(|line| line.trim_start().split_once(" generated")?.0.parse::<u32>().ok());
        assert!(generated >= Some(200), "{text}");
    };
    thread::scope(|scope| {
        // A cookie it can't leave out, so whether it can do without is tried with a key, which changes nothing.
        scope.spawn(|| judge(&looked_at, [&*key, ""], "", 5));
        judge(&origin, [&*cookie, site], ",ignored_auth", 10);
    });
    let (name, value) = cookie.split_once(": ").unwrap();
    let who = Request::new("GET", "/v1/session").header(name, value.to_owned()).header("Sec-Fetch-Site", "same-origin");
    let who: Value = serde_json::from_slice(&who.send(origin.admin).body).unwrap();
    assert_eq!(who["role"], "admin", "until the end he was who he said");
}

#[test]
fn a_client_that_was_generated_from_it_looks_after_the_server() {
    let (origin, _folder) = origin();
    let place = tempfile::tempdir().unwrap();
    let package = place.path().join("client");
    let generated = tool(60, "openapi-python-client")
        .args(["generate", "--meta", "none", "--path", DESCRIPTION, "--output-path"])
        .arg(&package)
        .output()
        .unwrap();
    assert!(generated.status.success(), "{}", said(&generated));
    let mut python = tool(60, "python3")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/console/client.py"))
        .arg(place.path())
        .arg(origin.admin.to_string())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    python.stdin.take().unwrap().write_all(origin.administrator.as_bytes()).unwrap();
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let steps: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(steps["namespace"], json!(["made-by-client", "api", "5m"]));
    assert_eq!(steps["key"].as_array().unwrap()[..3], [json!("readwrite"), json!("good"), json!("made by a client")]);
    assert!(steps["key"][3].as_str().unwrap().len() > 100 && steps["revoked"] == "revoked", "{steps}");
    assert_eq!(steps["objects"], json!([["show/0.ts"], "show/0.ts"]));
    assert!(steps["trouble_count"].is_u64() && steps["removed"] == 204, "{steps}");
    assert_eq!(steps["absent"], json!([404, "urn:springhead:problem:not-found"]));
}
