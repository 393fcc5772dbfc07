//! What is told of a source that goes or comes: in other words where the other one is not there either.

use std::time::Duration;

use super::{PAIR, pairs, sides, twins, wait_for_pair};
use crate::durable;
use crate::harness::{Origin, eventually};
use crate::wire::Request;

#[test]
fn what_is_told_of_a_source_says_what_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let slots = twins(folder.path());
    let origin = Origin::start_with_settings(PAIR);
    let [mut a, mut b] = sides([&origin; 2], &slots);
    for slot in 0..6 {
        a.push(slot);
        b.push(slot);
    }
    let deletes = |source: &str| {
        let delete = Request::new("DELETE", origin.path(source)).bearer(&origin.encoder).send(origin.address);
        assert_eq!(delete.status, 204);
    };
    let is_told = |event: &str, words: &str| {
        let told = || origin.log().iter().find(|line| line["event"] == event && line.to_string().contains(words)).map(|_| ());
        assert!(eventually(Duration::from_secs(5), told).is_some(), "{event} {words}: {:?}, {:?}", pairs(&origin), origin.log());
    };
    deletes("live-a/p.m3u8");
    is_told("source-degraded", "source a has stopped: if b does, too, viewers see it");
    deletes("live-b/p.m3u8");
    is_told("source-degraded", "source b has stopped, and a had: viewers get nothing new");
    a.push(6);
    is_told("source-recovered", "source a writes again, and b does not: if a goes, viewers get nothing");
    b.push(6);
    is_told("source-recovered", "source b writes again: either can go now");
    let of = |event: &str| origin.log().iter().filter(|line| line["event"] == event).count();
    assert_eq!((of("source-degraded"), of("source-recovered")), (2, 2), "each once");
}

#[test]
fn that_both_encoders_went_with_the_server_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let slots = twins(folder.path());
    let (mut origin, _settings) = durable::start(&format!("default_ttl = \"1h\"\nack = \"durable\"\n{PAIR}"));
    let [mut a, mut b] = sides([&origin; 2], &slots);
    for slot in 0..6 {
        a.push(slot);
        b.push(slot);
    }
    durable::kill_and_start(&mut origin);
    let are_down = |pair: &serde_json::Value| pair["sources"].as_array().unwrap().iter().all(|source| source["up"] == false);
    wait_for_pair(&origin, "both are missed", are_down);
    let degraded = || origin.log().iter().filter(|line| line["event"] == "source-degraded").count();
    assert!(eventually(Duration::from_secs(5), || (degraded() == 2).then_some(())).is_some(), "{:?}", origin.log());
}
