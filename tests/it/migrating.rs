//! Moving here: the page's tables of URLs, asked row by row, and the places in which clients of other origins bring their key.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::harness::Origin;
use crate::wire::Request;

/// What is asked there, what is asked here, and the status of the answer.
type Row = (String, String, u16);

/// Of each section its rows of three.
fn maps() -> Vec<(String, Vec<Row>)> {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/migrating.md")).unwrap();
    let coded = |cell: &str| cell.split('`').nth(1).map(str::to_owned);
    let sections = page.split("\n## From ").skip(1).map(|section| {
        let name = section.lines().next().unwrap().to_owned();
        let rows = section.lines().filter_map(|line| {
            let cells: Vec<&str> = line.strip_prefix('|')?.strip_suffix('|')?.split('|').collect();
            let [there, here, status] = cells[..] else { return None };
            Some((coded(there)?, coded(here)?, coded(status)?.parse().ok()?))
        });
        (name, rows.collect())
    });
    sections.collect()
}

#[test]
fn the_urls_of_other_origins_are_answered_as_the_page_says() {
    let maps = maps();
    let names: Vec<&str> = maps.iter().map(|(name, _)| name.as_str()).collect();
    for wanted in ["MediaStore", "Momento", "nginx", "S3", "MediaPackage"] {
        assert!(names.iter().any(|name| name.contains(wanted)), "{wanted} is not among {names:?}");
    }
    for (from, rows) in maps {
        assert!(rows.len() >= 3, "{from}: {rows:?}");
        // What one origin's rows leave, another's would find.
        let origin = Origin::start();
        for (there, here, status) in rows {
            let (verb, path) = here.split_once(' ').unwrap();
            assert_eq!(there.split_once(' ').unwrap().0, verb, "{from}: the same verb there and here");
            let mut request = Request::new(verb, path).bearer(&origin.encoder);
            if verb == "PUT" {
                request = request.body(if path.contains(".m3u8") { "#EXTM3U\n" } else { "bytes of a segment" });
            }
            let answer = request.send(origin.address);
            assert_eq!(answer.status, status, "{from}: {here}: {}", answer.text());
        }
    }
}

#[test]
fn clients_of_other_origins_bring_their_key_where_they_are_used_to() {
    let origin = Origin::start();
    origin.store("a.ts", "bytes of a segment");
    let (encoder, player) = (&origin.encoder, &origin.player);
    let read = |query: &str| Request::new("GET", origin.path("a.ts") + query);
    let write = || Request::new("PUT", origin.path("b.ts")).body("bytes");
    let basic = |user: &str, key: &str| format!("Basic {}", STANDARD.encode(format!("{user}:{key}")));
    for (from, request, status) in [
        ("Momento", read("").header("Authorization", player), 200),
        ("Momento", read(&format!("?token={player}")), 200),
        ("Momento", write().header("Authorization", encoder), 204),
        ("MediaStore", write().header("Authorization", basic("momento", encoder)), 204),
        ("nginx", write().header("Authorization", basic("encoder", encoder)), 204),
        ("nginx", write().header("Authorization", basic("encoder", player)), 403),
        ("S3", read("").header("Authorization", player), 200),
        ("MediaPackage", read("").header("X-MediaPackage-CDNIdentifier", player), 200),
        ("MediaPackage", read("").header("X-MediaPackage-CDNIdentifier", "another"), 401),
    ] {
        let answer = request.send(origin.address);
        assert_eq!(answer.status, status, "{from}: {}", answer.text());
    }
}
