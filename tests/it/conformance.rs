//! What redbot, which knows HTTP and nothing of us, says of our answers. By itself it asks for each again: with If-None-Match,
//! with If-Modified-Since and for a part.

use std::collections::BTreeSet;
use std::thread;

use crate::harness::{Origin, bytes};
use crate::programs::{kept, limited};

/// A note of redbot's, as `LEVEL ID`, and what it says.
type Notes = Vec<(String, String)>;

/// What it warns of and we leave as it is. It asks with the key in the URL, where `public` is not needed; CDNs send it in
/// Authorization, where it is (RFC 9111 3.5). And its guess of a body's type knows no video type at all.
const NOT_OURS: [&str; 2] = ["WARN STORE_PUBLIC_UNNECESSARY", "WARN CONTENT_TYPE_MISMATCH"];

fn ask(url: &str) -> (u64, Notes) {
    let redbot = kept("SPRINGHEAD_TEST_REDBOT", "python/bin/redbot");
    let output = limited(40, redbot).args(["-o", "har", url]).output().unwrap();
    let har: serde_json::Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|_| panic!("redbot fails: {}", String::from_utf8_lossy(&output.stderr)));
    let entry = &har["log"]["entries"][0];
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let note =
        |note: &serde_json::Value| (format!("{} {}", text(&note["level"]), text(&note["note_id"])), text(&note["summary"]));
    let notes = entry["_red_messages"].as_array().expect("notes").iter().map(note).collect();
    (entry["response"]["status"].as_u64().unwrap(), notes)
}

#[test]
fn redbot_finds_nothing_to_mend() {
    let origin = Origin::start();
    let segment = bytes(1, 100_000);
    origin.store("a.ts", segment);
    let lines: String = (0..50).map(|n| format!("#EXTINF:2.0,\nplaylist_480p30_{n:05}.ts\n")).collect();
    origin.store("a.m3u8", format!("#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:0\n{lines}"));
    let object: &[&str] =
        &["GOOD CL_CORRECT", "GOOD DATE_CORRECT", "GOOD FRESHNESS_FRESH", "GOOD INM_304", "GOOD IMS_304", "GOOD RANGE_CORRECT"];
    let error: &[&str] = &["GOOD CL_CORRECT", "GOOD DATE_CORRECT"];
    let (good, bad) = (&origin.player, "bad");
    let asked = [
        ("a.ts", good.as_str(), 200, object),
        ("a.m3u8", good, 200, object),
        ("none.ts", good, 404, error),
        ("a.ts", bad, 401, error),
    ];
    thread::scope(|scope| {
        for (name, key, status, expected) in asked {
            let url = format!("http://{}{}?token={key}", origin.address, origin.path(name));
            scope.spawn(move || {
                let (answered, notes) = ask(&url);
                assert_eq!(answered, status, "{name}");
                let to_mend = |note: &str| !note.starts_with("GOOD ") && !note.starts_with("INFO ") && !NOT_OURS.contains(&note);
                let to_mend: Vec<_> = notes.iter().filter(|(level, _)| to_mend(level)).collect();
                assert!(to_mend.is_empty(), "{name} {status}: {to_mend:#?}");
                let said: BTreeSet<&str> = notes.iter().map(|(level, _)| level.as_str()).collect();
                for note in expected {
                    assert!(said.contains(note), "{name} {status}: no {note} among {said:?}");
                }
            });
        }
    });
}
