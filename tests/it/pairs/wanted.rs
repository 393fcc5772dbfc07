//! What is wanted of a pair: that viewers go back to the source that is preferred, and to know whether two sources are aligned.

use std::thread;
use std::time::Duration;

use super::{PAIR, ScriptedSide, pairs, shows, sides, twins};
use crate::doctor::doctor;
use crate::harness::{NAMESPACE, Origin};
use crate::normalise::Viewer;

/// Not sooner than ten target durations after the last switch, and where that costs nothing.
#[test]
fn viewers_go_back_to_the_preferred_source_when_it_has_been_well_for_long_enough() {
    let folder = tempfile::tempdir().unwrap();
    let slots = twins(folder.path());
    let origin = Origin::start_with_settings(&format!("{PAIR}prefer = \"first\"\nreturn_after = \"2s\"\n"));
    let mut viewer = Viewer::default();
    let [mut a, mut b] = sides([&origin; 2], &slots);
    for slot in 0..6 {
        a.push(slot);
        b.push(slot);
        shows(&origin, &mut viewer, &slots, slot);
    }
    for slot in 6..9 {
        b.push(slot);
        assert_eq!(shows(&origin, &mut viewer, &slots, slot), 1);
    }
    assert_eq!(pairs(&origin)[0]["active"], "b");
    // A is back, and well from then on.
    let mut slot = 9;
    while pairs(&origin)[0]["active"] == "b" {
        assert!(slot < 40, "{:?}", pairs(&origin));
        a.push(slot);
        b.push(slot);
        shows(&origin, &mut viewer, &slots, slot);
        slot += 1;
        thread::sleep(Duration::from_millis(450));
    }
    let stands = &pairs(&origin)[0];
    let last = stands["switches"].as_array().unwrap().last().unwrap();
    assert_eq!((&last["to"], &last["reason"]), (&"a".into(), &"returned".into()), "{stands}");
    let all = viewer.versions.concat();
    assert!(!all.contains("#EXT-X-DISCONTINUITY\n") && !all.contains("EXT-X-GAP"), "{:?}", viewer.versions.last());
    assert_eq!(viewer.shown().len(), slot, "each once: {:?}", viewer.shown());
}

#[test]
fn doctor_says_whether_two_sources_are_aligned_and_why_not() {
    let folder = tempfile::tempdir().unwrap();
    let slots = twins(folder.path());
    let origin = Origin::start();
    // The third one shows what the first has shown twenty segments later.
    for (folder, own, from) in [("live-a/", 0, 0), ("live-b/", 1, 0), ("live-c/", 1, 20)] {
        let mut side = ScriptedSide { origin: &origin, folder, segments: &slots[own], first: 0, next: 0 };
        (from..from + 6).for_each(|slot| side.push(slot));
    }
    let url = format!("http://{}/cache/{NAMESPACE}/live-a/p.m3u8", origin.address);
    let compared = |twin: &str| doctor(&origin.player, &[&url, "--twin", twin, "--watch", "0s"]);
    compared("live-b/p.m3u8").has("origin", "twin", "ok", "aligned", "");
    compared("live-c/p.m3u8").has("origin", "twin", "warning", "their clocks are 20.000 s apart", "viewers get a discontinuity");
    compared("live-d/p.m3u8").has("origin", "twin", "failure", "live-d/p.m3u8", "");
}
