//! What a version waits for where playlists are held back until what they list is here.

use super::{Scene, key};
use crate::hls::texts::{self, head, listing};
use crate::model::id::{Namespace, ObjectId};

const P: &str = "a/p.m3u8";

fn missing(scene: &Scene, text: &str) -> Vec<String> {
    let object = ObjectId { namespace: Namespace::parse("live").unwrap(), key: key(P) };
    let missing = scene.live.missing(&object, &texts::media(text), |key| scene.stored.contains_key(key));
    missing.iter().map(|key| key.as_str().trim_start_matches("a/").to_owned()).collect()
}

#[test]
fn what_is_new_in_a_version_is_waited_for_and_of_an_encoder_that_begins_anew_its_last_segments() {
    let mut scene = Scene::new();
    let list = |first: u64, before: &str, names: std::ops::Range<u64>| listing(&head(first), before, names);
    assert_eq!(missing(&scene, &list(96, "s", 96..104)), ["s103.ts", "s102.ts", "s101.ts"], "seen for the first time");
    scene.playlist(P, &list(100, "s", 100..104));
    assert_eq!(missing(&scene, &list(100, "s", 100..104)), [""; 0], "written once more");
    assert_eq!(missing(&scene, &list(99, "s", 99..103)), [""; 0], "an older version");
    assert_eq!(missing(&scene, &list(101, "s", 101..105)), ["s104.ts"]);
    assert_eq!(missing(&scene, &list(0, "s", 0..2)), ["s1.ts", "s0.ts"], "it counts anew");
    assert_eq!(missing(&scene, &list(100, "t", 0..4)), ["t3.ts", "t2.ts", "t1.ts"], "other names under known numbers");
    assert_eq!(missing(&scene, &list(102, "t", 0..4)), ["t3.ts", "t2.ts", "t1.ts"], "and under some that are new");
    scene.stored.insert(key("a/s0.ts"), http::HeaderValue::from_static("\"0\""));
    assert_eq!(missing(&scene, &list(0, "s", 0..2)), ["s1.ts"]);
}
