//! What is known of the sources is kept with what is public: a server that was killed tells the same of them, and of one fault nothing twice.

use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::{PAIR, pairs, sides, twins};
use crate::durable;
use crate::harness::{Origin, eventually};
use crate::wire::Request;

/// What is told of a pair, but for what is counted from the beginning of the process.
fn stands(origin: &Origin) -> Option<Value> {
    let mut pair = pairs(origin).into_iter().next()?;
    let all = pair.as_object_mut().unwrap();
    for since_the_beginning in ["borrowed", "switches", "skew_seconds", "apart"] {
        all.remove(since_the_beginning);
    }
    for source in all["sources"].as_array_mut().unwrap() {
        source.as_object_mut().unwrap().remove("lines");
    }
    Some(pair)
}

fn told(origin: &Origin, event: &str) -> usize {
    origin.log().iter().filter(|line| line["event"] == event).count()
}

fn down(origin: &Origin) -> f64 {
    origin.metric("springhead_pair_sources_down{namespace=\"live-origin\"")
}

#[test]
fn a_server_that_was_killed_knows_who_had_stopped_before_anybody_writes_and_tells_it_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let slots = twins(folder.path());
    let (mut origin, _folder) = durable::start(&format!("default_ttl = \"1h\"\n{PAIR}"));
    let mut slot = 0;
    let written = {
        let [mut a, mut b] = sides([&origin; 2], &slots);
        for _ in 0..6 {
            a.push(slot);
            b.push(slot);
            slot += 1;
        }
        // A stops.
        while pairs(&origin)[0]["sources"][0]["up"] == true {
            assert!(slot < 30, "{:?}", pairs(&origin));
            b.push(slot);
            slot += 1;
            thread::sleep(Duration::from_millis(900));
        }
        b.next
    };
    let is_told = || (told(&origin, "source-degraded") == 1 && down(&origin) == 1.0).then_some(());
    assert!(eventually(Duration::from_secs(5), is_told).is_some(), "{:?}", pairs(&origin));
    let before = stands(&origin).unwrap();
    assert_eq!((&before["active"], &before["relation"]), (&"b".into(), &"aligned".into()), "{before}");
    durable::kill_and_start(&mut origin);
    let is_known = || (stands(&origin).as_ref() == Some(&before) && down(&origin) == 1.0).then_some(());
    assert!(eventually(Duration::from_secs(10), is_known).is_some(), "{:?} after {before}", stands(&origin));
    // B goes on, and says then that it is over.
    {
        let [_, mut b] = sides([&origin; 2], &slots);
        b.next = written;
        for _ in 0..3 {
            b.push(slot);
            slot += 1;
        }
    }
    assert_eq!((told(&origin, "source-degraded"), told(&origin, "source-recovered")), (0, 0), "it was told before");
    let delete = Request::new("DELETE", origin.path("live-b/p.m3u8")).bearer(&origin.encoder).send(origin.address);
    assert_eq!(delete.status, 204);
    let is_out = || (pairs(&origin)[0]["sources"][1]["out"] == "deleted" && down(&origin) == 2.0).then_some(());
    assert!(eventually(Duration::from_secs(5), is_out).is_some(), "{:?}", pairs(&origin));
    let before = stands(&origin).unwrap();
    durable::kill_and_start(&mut origin);
    let is_known = || (stands(&origin).as_ref() == Some(&before) && down(&origin) == 2.0).then_some(());
    assert!(eventually(Duration::from_secs(10), is_known).is_some(), "{:?} after {before}", stands(&origin));
    // A is back.
    {
        let [mut a, _] = sides([&origin; 2], &slots);
        for _ in 0..3 {
            a.push(slot);
            slot += 1;
        }
    }
    let is_back = || (told(&origin, "source-recovered") == 1 && told(&origin, "source-degraded") == 0).then_some(());
    assert!(eventually(Duration::from_secs(10), is_back).is_some(), "{:?}", pairs(&origin));
}
