//! `springhead doctor --cluster`: of good nodes it finds nothing wrong, and of others what is, each time with what to do.

use std::time::Duration;

use serde_json::Value;

use super::kit::{Cluster, settings};
use super::playlist;
use crate::harness::{Origin, eventually};

/// Walks all nodes from beside one.
fn walk(cluster: &Cluster, more: &[&str]) -> Value {
    let config = cluster.config(0);
    let said = cluster.nodes[0].run(&[&["doctor", "--cluster", "--json", "--config", &config], more].concat());
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    let told: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("no JSON: {text} {said:?}"));
    assert_eq!(said.status.code(), Some(i32::from(told["healthy"] == false)), "{told:#}");
    for step in told["steps"].as_array().unwrap().iter().filter(|step| step["verdict"] != "ok") {
        assert!(step["advice"].as_str().is_some_and(|advice| advice.len() > 15), "what to do is said: {step}");
    }
    told
}

fn has(told: &Value, step: &str, verdict: &str, finding: &str) -> bool {
    let steps = told["steps"].as_array().unwrap();
    let is =
        |made: &Value| made["step"] == step && made["verdict"] == verdict && made["finding"].as_str().unwrap().contains(finding);
    steps.iter().any(is)
}

/// Walks until that is found: nodes tell where they are once a second.
fn finds(cluster: &Cluster, more: &[&str], found: &[(&str, &str, &str)]) -> Value {
    let mut last = Value::Null;
    let all = eventually(Duration::from_secs(30), || {
        last = walk(cluster, more);
        found.iter().all(|(step, verdict, finding)| has(&last, step, verdict, finding)).then_some(())
    });
    assert!(all.is_some(), "{found:?} in {last:#}");
    last
}

#[test]
fn all_nodes_are_walked_and_what_is_not_alike_is_named() {
    let mut cluster = Cluster::start(2, "");
    cluster.engine.ask("CONFIG SET maxmemory 200mb").unwrap();
    cluster.nodes[0].store("w/p.m3u8", playlist(0, 3));
    let told = finds(
        &cluster,
        &["--write"],
        &[
            ("engine", "ok", "1 primaries"),
            ("member", "ok", "node-1"),
            ("clock", "ok", "of 2 nodes"),
            ("version", "ok", env!("CARGO_PKG_VERSION")),
            ("settings", "ok", "by the same rules"),
            ("streams", "ok", "1 playlists, known to all"),
            ("fresh", "ok", "read through all nodes"),
            ("write", "ok", "stored through each of 2 nodes"),
        ],
    );
    assert!(told["healthy"] == true && told["warnings"] == 0, "{told:#}");
    // One with other rules, and one with keys of its own.
    cluster.join("default_ttl = \"7m\"\nhot_capacity = \"300MiB\"\n");
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("stranger.toml");
    std::fs::write(&config, settings(&format!("valkey://{}", cluster.engine.address), "stranger", "")).unwrap();
    let _stranger = Origin::start_with(&["--config", config.to_str().unwrap()]);
    cluster.engine.ask("CONFIG SET maxmemory 0").unwrap();
    let told = finds(
        &cluster,
        &[],
        &[
            ("settings", "failure", "live-origin.default_ttl is \"1h\" at node-0 and \"7m\" at node-2"),
            ("reached", "failure", "has it the same signing.key?"),
            ("engine", "failure", "node stranger"),
            ("engine", "failure", "maxmemory is not set"),
        ],
    );
    assert!(!told.to_string().contains("hot_capacity is"), "that is each node's own: {told:#}");
    // One that is gone.
    cluster.nodes[1].signal("KILL");
    let _ = cluster.nodes[1].wait();
    finds(&cluster, &[], &[("reached", "failure", "no connection")]);
    finds(&cluster, &[], &[("member", "warning", "node-1 has not been heard of for")]);
}

#[test]
fn by_itself_there_is_nothing_to_walk() {
    let origin = Origin::start();
    let said = origin.run(&["doctor", "--cluster"]);
    assert_eq!(said.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&said.stderr).contains("the settings name no engine"), "{said:?}");
}
