//! Names of types: one name, one thing.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

/// A name for two things costs every reader a look; more than these few are not borne.
const LIMIT: usize = 10;

/// The names of types that are defined in more than one file, with the files. Associated types and what is built for tests alone do not
/// count.
fn doubled(sources: &[(String, String)]) -> BTreeMap<String, Vec<String>> {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (file, text) in sources.iter().filter(|(file, _)| !file.ends_with("/tests.rs")) {
        let lines = super::without_tests(text).lines();
        let names: BTreeSet<&str> = lines.filter_map(defined).collect();
        for name in names {
            places.entry(name.to_owned()).or_default().push(file.clone());
        }
    }
    places.retain(|_, files| files.len() > 1);
    places
}

/// The name of the type that a line begins to define.
fn defined(line: &str) -> Option<&str> {
    let is_outermost = !line.starts_with(' ');
    let mut rest = line.trim_start();
    if let Some(public) = rest.strip_prefix("pub") {
        rest = public.trim_start();
        rest = rest.strip_prefix('(').and_then(|inner| inner.split_once(')')).map_or(rest, |(_, after)| after.trim_start());
    }
    let (word, rest) = rest.split_once(' ')?;
    let is_type = matches!(word, "struct" | "enum" | "trait" | "union") || (word == "type" && is_outermost);
    let name = rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next()?;
    (is_type && name.starts_with(|c: char| c.is_ascii_uppercase())).then_some(name)
}

/// The rows of a table of the map, by the heading it stands under: the first cell without its quotes, and the last.
fn rows(map: &str, heading: &str) -> Vec<(String, String)> {
    let section = map.split(&format!("//! # {heading}\n")).nth(1).unwrap_or_default();
    let section = section.split("\n//! # ").next().unwrap_or_default();
    let rows = section.lines().filter_map(|line| line.strip_prefix("//! | ")).filter(|row| !row.starts_with("---"));
    let cells = rows.map(|row| row.trim_end_matches(" |").split(" | ").map(str::to_owned).collect::<Vec<_>>());
    cells.skip(1).map(|cells| (cells[0].trim_matches('`').to_owned(), cells.last().cloned().unwrap_or_default())).collect()
}

fn map() -> String {
    fs::read_to_string(super::root().join("src/lib.rs")).unwrap()
}

/// The map says why, for the few names that stand for two things; and none of them is a matter of the past.
#[test]
fn a_types_name_stands_for_one_thing() {
    let doubled = doubled(&super::sources());
    let reasons: BTreeMap<String, String> = rows(&map(), "Names that stand for two things").into_iter().collect();
    let known: BTreeSet<&String> = reasons.keys().collect();
    assert_eq!(doubled.keys().collect::<BTreeSet<_>>(), known, "{doubled:#?}");
    assert!(reasons.values().all(|reason| reason.len() > 20), "each has its reason: {reasons:#?}");
    assert!(doubled.len() < LIMIT, "{doubled:#?}");

    let source = |file: &str, text: &str| (file.to_owned(), text.to_owned());
    let made_up = [
        source(
            "a.rs",
            "pub(in crate::app) struct One<T> {\n}\npub enum Two {}\nimpl X for Y {\n    type Output = u8;\n}\ntype Three = u8;",
        ),
        source(
            "b.rs",
            "struct One;\n    type Output = u8;\n// struct Two\ntrait Three {}\n#[cfg(test)]\nmod tests {\n    struct Two;\n}",
        ),
        source("c/tests.rs", "struct Two;"),
    ];
    assert_eq!(self::doubled(&made_up).keys().collect::<Vec<_>>(), ["One", "Three"]);
}

#[test]
fn the_map_says_what_its_words_mean() {
    let words = rows(&map(), "Words");
    assert!((18..=24).contains(&words.len()), "{words:#?}");
    let names: BTreeSet<_> = words.iter().map(|(word, _)| word).collect();
    assert!(names.len() == words.len() && words.iter().all(|(_, meaning)| meaning.len() > 20), "{words:#?}");
}
