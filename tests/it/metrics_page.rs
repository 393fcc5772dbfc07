//! What docs/metrics.md tells of metrics, against what a server shows and what tests ask for.

use std::collections::BTreeSet;

const PAGE: &str = include_str!("../../docs/metrics.md");
/// Where the codes of problems are, by which some are counted.
const CODES: &str = include_str!("../../docs/http.md");
/// Labels whose values stand on one of these pages.
const WORDS: [&str; 5] = ["reason", "outcome", "what", "limit", "direction"];

/// What a page tells of a metric: its name, its type and its labels.
pub(crate) struct ToldMetric<'a> {
    pub(crate) name: &'a str,
    pub(crate) kind: &'a str,
    pub(crate) labels: BTreeSet<&'a str>,
}

/// All that a page tells of.
pub(crate) fn rows(page: &str) -> impl Iterator<Item = ToldMetric<'_>> {
    page.lines().filter(|line| line.starts_with("| `springhead_") || line.starts_with("| `process_")).map(|row| {
        let cells: Vec<&str> = row.split('|').skip(1).map(str::trim).collect();
        ToldMetric { name: cells[0].trim_matches('`'), kind: cells[1], labels: cells[2].split('`').skip(1).step_by(2).collect() }
    })
}

/// The labels of a metric's first series; `None` where there is none.
pub(crate) fn labels_of<'a>(name: &str, shown: &'a str) -> Option<BTreeSet<&'a str>> {
    // Of a histogram any series will do; its own label, le, is not told.
    let series = shown.lines().find(|line| {
        let rest = line.strip_prefix(name).map(|rest| rest.strip_prefix("_bucket").unwrap_or(rest));
        rest.is_some_and(|rest| rest.starts_with(['{', ' ']))
    })?;
    let list = series.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map_or("", |(list, _)| list);
    let names = list.split("\",").filter_map(|label| label.split_once("=\"")).map(|(name, _)| name);
    Some(names.filter(|name| *name != "le").collect())
}

/// Of which metrics a page and a server tell other labels: a line each.
pub(crate) fn wrong_labels(page: &str, shown: &str) -> Vec<String> {
    let wrong = rows(page).filter_map(|ToldMetric { name, labels: told, .. }| {
        let labels = labels_of(name, shown).filter(|labels| *labels != told)?;
        Some(format!("{name} has the labels {labels:?}, not {told:?}"))
    });
    wrong.collect()
}

/// The same of the page that is delivered.
pub(crate) fn wrong_labels_of(shown: &str) -> Vec<String> {
    wrong_labels(PAGE, shown)
}

/// Ends a test that asks for what is not there: that counts as 0, and a name, a label or a word that is misspelt would be 0 for ever.
pub(crate) fn assert_told(name: &str, wanted: &[String]) {
    let known = ["_sum", "_count", "_bucket"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name);
    let told = rows(PAGE).find(|told| told.name == known).unwrap_or_else(|| panic!("{name} is no metric of docs/metrics.md"));
    for (label, value) in wanted.iter().filter_map(|label| label.split_once('=')) {
        assert!(told.labels.contains(label), "{name} has no label {label} in docs/metrics.md");
        let word = format!("`{}`", value.trim_matches('"'));
        let is_told = !WORDS.contains(&label) || PAGE.contains(&word) || CODES.contains(&word);
        assert!(is_told, "{name}: {word} stands neither in docs/metrics.md nor in docs/http.md");
    }
}
