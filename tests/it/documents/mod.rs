//! The documents say what is there: links lead somewhere, commands, settings, metrics, codes and files that are named exist, and what is
//! no longer so is not said any more. Each check is a function from a text to its faults, tried on a bad text as well.

mod commands;
mod data_dir;
mod keys;
mod markdown;
mod settings;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use springhead::app::Cli;
use springhead::model::event::EventKind;

use self::markdown::{Document, coded};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The fenced blocks of a document in one language.
pub(crate) fn blocks(document: &str, language: &str) -> Vec<String> {
    let blocks = Document::parse(&read(document)).blocks;
    blocks.into_iter().filter(|block| block.language == language).map(|block| block.text).collect()
}

/// The names of files in a folder, by how they end.
fn names(folder: &str, end: &str) -> Vec<String> {
    let entries = fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut found: Vec<String> = entries.filter(|name| name.ends_with(end)).collect();
    found.sort();
    found.into_iter().map(|name| if folder.is_empty() { name } else { format!("{folder}/{name}") }).collect()
}

/// Every document, by its path from the root.
fn documents() -> BTreeMap<String, Document> {
    let paths = ["", "docs", "docs/runbooks", "benches"].into_iter().flat_map(|folder| names(folder, ".md"));
    let documents: BTreeMap<_, _> = paths.map(|path| (path.clone(), Document::parse(&read(&path)))).collect();
    assert!(documents.len() > 15 && documents.contains_key("README.md"), "{:?}", documents.keys());
    documents
}

/// Tries a check on each document.
fn hold(check: impl Fn(&str, &Document) -> Vec<String>) {
    let mut faults = Vec::new();
    for (path, document) in &documents() {
        faults.extend(check(path, document).into_iter().map(|fault| format!("{path}: {fault}")));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Links to files that are not there, and to headings that are not in them.
fn dead_links(path: &str, document: &Document) -> Vec<String> {
    let is_dead = |target: &String| {
        if target.starts_with("https://") {
            return false;
        }
        let (file, anchor) = target.split_once('#').map_or((&**target, None), |(file, anchor)| (file, Some(anchor)));
        let file = if file.is_empty() { root().join(path) } else { root().join(path).parent().unwrap().join(file) };
        match (fs::read_to_string(&file), anchor) {
            (Err(_), None) => !file.exists(),
            (Err(_), Some(_)) => true,
            (Ok(_), None) => false,
            (Ok(text), Some(anchor)) => !Document::parse(&text).anchors().iter().any(|known| known == anchor),
        }
    };
    document.links().into_iter().filter(is_dead).map(|target| format!("dead link: {target}")).collect()
}

#[test]
fn links_between_documents_lead_somewhere() {
    hold(dead_links);
    let bad = "[a](none.md) [b](README.md#two-commands) [c](#none) [d](docs/http.md#no-such) [e](https://x.example/) [f](docs)";
    assert_eq!(dead_links("README.md", &Document::parse(bad)).len(), 3);
}

#[test]
fn every_page_is_in_the_index_and_the_readme_is_one_page() {
    let index = Document::parse(&read("docs/README.md")).links();
    let book = Document::parse(&read("docs/SUMMARY.md")).links();
    for page in names("docs", ".md") {
        let in_book = book.iter().any(|link| Some(&**link) == page.strip_prefix("docs/"));
        assert!(in_book || page == "docs/SUMMARY.md", "docs/SUMMARY.md, the book's table of contents, does not name {page}");
        let name = page.trim_start_matches("docs/");
        assert!(
            matches!(name, "README.md" | "SUMMARY.md") || index.iter().any(|link| link == name),
            "docs/README.md does not name {name}"
        );
    }
    assert!(read("README.md").len() <= 7 << 10, "the README has grown over 7 KB: what it is too long for belongs to docs/");
}

#[test]
fn the_japanese_readme_says_what_the_readme_says() {
    let [english, japanese] = ["README.md", "README.ja.md"].map(|name| Document::parse(&read(name)));
    assert_eq!(japanese.blocks, english.blocks, "what is to be copied is the same");
    let links = |document: &Document| {
        document.links().into_iter().filter(|link| !matches!(&**link, "README.md" | "README.ja.md")).collect::<Vec<_>>()
    };
    assert_eq!(links(&japanese), links(&english), "it leads to the same pages, in the same order");
    for (what, part) in [("headings", "#"), ("rows", "|"), ("points", "- "), ("steps", "1. ")] {
        let count = |document: &Document| document.prose.iter().filter(|line| line.starts_with(part)).count();
        assert_eq!(count(&japanese), count(&english), "as many {what}");
    }
}

#[test]
fn the_changelog_has_this_version_and_what_comes_next() {
    let text = read("CHANGELOG.md");
    let heads: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let at = |name: &str| heads.iter().position(|head| *head == name).unwrap_or_else(|| panic!("no section {name}: {heads:?}"));
    assert!(at("Unreleased") < at(env!("CARGO_PKG_VERSION")), "the newest first");
    for place in ["deploy/helm/springhead/Chart.yaml", "config/openapi.json", "docs/deploying.md"] {
        assert!(read(place).contains(env!("CARGO_PKG_VERSION")), "{place} is of another version");
    }
}

/// Versions with a line that breaks something and no notes on what to do before an upgrade.
fn without_notes(changelog: &str) -> Vec<&str> {
    let versions = changelog.split("\n## ").skip(1).filter(|version| version.contains("\n- **Breaking:**"));
    let lacking = versions.filter(|version| !version.contains("\n### Upgrade notes\n"));
    lacking.filter_map(|version| version.lines().next()).collect()
}

#[test]
fn what_breaks_something_has_notes_for_the_upgrade() {
    let text = read("CHANGELOG.md");
    assert_eq!(without_notes(&text), [""; 0]);
    assert_eq!(without_notes("# C\n\n## 9.9.9\n\n### Changed\n\n- **Breaking:** all of it.\n"), ["9.9.9"]);
}

/// Commands that the program would not take.
fn wrong_commands(_: &str, document: &Document) -> Vec<String> {
    let mut faults = Vec::new();
    for block in &document.blocks {
        let text = match &*block.language {
            "sh" => block.text.clone(),
            // What is typed stands behind the prompt.
            "console" => block.text.lines().filter_map(|line| line.strip_prefix("$ ")).map(|line| format!("{line}\n")).collect(),
            _ => continue,
        };
        for words in commands::commands(&text) {
            let fault = commands::ours(&words).and_then(commands::fault);
            faults.extend(fault.map(|fault| format!("`{}`: {fault}", words.join(" "))));
        }
    }
    for span in document.spans() {
        for words in commands::commands(&span) {
            if words[0] == "springhead" {
                faults.extend(commands::unknown_words(&words[1..]).map(|fault| format!("`{span}`: {fault}")));
            }
        }
        let flag = span.strip_prefix("--").map(|rest| rest.split([' ', '=']).next().unwrap_or_default());
        faults.extend(flag.filter(|flag| !OTHERS.contains(flag) && !commands::is_flag(flag)).map(|flag| format!("no --{flag}")));
    }
    faults
}

/// Flags of other programs that the documents speak of.
const OTHERS: [&str; 12] = [
    "only",
    "no-build",
    "without",
    "also",
    "update",
    "clear-soft-delete",
    "stop-timeout",
    "read-only",
    "cap-drop",
    "locked",
    "release",
    "format",
];

#[test]
fn commands_are_those_the_program_has() {
    hold(wrong_commands);
    let bad = "Say `springhead kees list`, `--lissten`, or `springhead keys list`:\n\n```sh\nspringhead serve --lissten x\n```\n\n\
               ```console\n$ springhead size --keep 5m\nspringhead is no command here\n```\n";
    assert_eq!(wrong_commands("", &Document::parse(bad)).len(), 4);
}

/// The words of a text that begin with `start`, where no name of another kind goes on into them.
fn words_from<'a>(text: &'a str, start: &str) -> Vec<&'a str> {
    let is_inner = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let at = text.match_indices(start).map(|(at, _)| at);
    let alone = at.filter(|&at| !text[..at].ends_with(|c: char| is_inner(c) || matches!(c, '/' | '-' | '.')));
    alone.map(|at| &text[at..at + text[at..].find(|c| !is_inner(c)).unwrap_or(text.len() - at)]).collect()
}

/// Everything that is written in a document.
fn whole(document: &Document) -> String {
    document
        .prose
        .iter()
        .map(String::as_str)
        .chain(document.blocks.iter().map(|block| &*block.text))
        .collect::<Vec<_>>()
        .join("\n")
}

/// Metrics that docs/metrics.md does not explain; that page is held against the server elsewhere (`observability`).
fn unknown_metrics(document: &Document) -> Vec<String> {
    let page = Document::parse(&read("docs/metrics.md"));
    let known: BTreeSet<String> =
        page.rows().iter().filter_map(|cells| coded(&cells[0]).filter(|name| name.contains('_')).map(str::to_owned)).collect();
    assert!(known.len() > 40, "{known:?}");
    let text = whole(document);
    let is_known = |word: &str| {
        let family = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| word.strip_suffix(suffix));
        known.contains(word) || family.is_some_and(|family| known.contains(family))
    };
    words_from(&text, "springhead_").into_iter().filter(|word| !is_known(word)).map(|word| format!("no metric {word}")).collect()
}

#[test]
fn metrics_that_are_named_exist() {
    hold(|_, document| unknown_metrics(document));
    let bad = "`springhead_uploads_totl`, springhead_object_age_seconds_bucket, /medialive/springhead_encoder_key";
    assert_eq!(unknown_metrics(&Document::parse(bad)), ["no metric springhead_uploads_totl"]);
}

#[test]
fn the_metrics_page_has_every_event() {
    let page = Document::parse(&read("docs/metrics.md"));
    let rows = page.rows();
    let told: BTreeSet<&str> = rows.iter().filter(|cells| cells.len() == 2).filter_map(|cells| coded(&cells[0])).collect();
    let known: BTreeSet<&str> = EventKind::ALL.iter().map(|kind| kind.as_str()).collect();
    assert_eq!(told, known);
}

/// Problem codes that docs/http.md does not have: behind a status, or as the reason of a log line. That page is held against the program
/// where the codes are.
fn unknown_codes(document: &Document) -> Vec<String> {
    let page = Document::parse(&read("docs/http.md"));
    let known: BTreeSet<String> =
        page.rows().iter().filter(|cells| cells.len() == 3).filter_map(|cells| coded(&cells[0]).map(str::to_owned)).collect();
    assert!(known.contains("no-credentials"), "{known:?}");
    let text = whole(document);
    let status =
        |before: &str| before.ends_with(|c: char| c.is_ascii_digit()) && !before.ends_with("200") && !before.ends_with("204");
    let behind = text.match_indices(" `").filter(|(at, _)| status(&text[..*at])).map(|(at, found)| &text[at + found.len()..]);
    let reasons = text.match_indices("reason=\"").map(|(at, found)| &text[at + found.len()..]);
    let word = |rest: &str| rest.split(['`', '"']).next().unwrap_or_default().to_owned();
    let is_code = |word: &String| word.contains('-') || matches!(&**word, "stale" | "forbidden" | "internal");
    let named = behind.chain(reasons).map(word).filter(is_code);
    named.filter(|word| !known.contains(word)).map(|word| format!("no code {word}")).collect()
}

#[test]
fn problem_codes_that_are_named_exist() {
    hold(|_, document| unknown_codes(document));
    let bad = "401 `no-credential`, 404 `not-found`, reason=\"to-large\", reason=\"evicted\", 20 `a-b`";
    assert_eq!(unknown_codes(&Document::parse(bad)).len(), 3);
}

/// Routes of the admin listener that no source file has.
fn unknown_routes(document: &Document) -> Vec<String> {
    let sources = ["src/web/admin", "src/web"]
        .into_iter()
        .flat_map(|folder| names(folder, ".rs"))
        // What unit tests ask for may not be there.
        .map(|file| read(&file).split("#[cfg(test)]\nmod tests").next().unwrap_or_default().to_owned())
        .collect::<String>();
    let known: Vec<&str> = sources.split("\"/v1/").skip(1).filter_map(|rest| rest.split(['"', '.']).next()).collect();
    assert!(known.contains(&"streams"), "{known:?}");
    // A name in braces stands for any; the beginning of a route stands for those below it.
    let fits = |route: &str, name: &str| {
        let mut steps = route.split('/');
        name.split('/').all(|step| steps.next().is_some_and(|own| own == step || own.starts_with('{')))
    };
    let text = whole(document);
    let named = text.match_indices("/v1/").map(|(at, found)| &text[at + found.len()..]);
    let named = named.map(|rest| {
        rest[..rest.find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '/' | '-')).unwrap_or(rest.len())]
            .trim_end_matches('/')
    });
    named
        .filter(|name| !name.is_empty() && !known.iter().any(|route| fits(route, name)))
        .map(|name| format!("no /v1/{name}"))
        .collect()
}

#[test]
fn routes_that_are_named_exist() {
    hold(|_, document| unknown_routes(document));
    let bad = "`/v1/nowhere`, `/v1/streams`, `/v1/ingest`, `/v1/…`, /v1/harvest/19b7-0, /v1/ingest/rejected/now";
    assert_eq!(unknown_routes(&Document::parse(bad)), ["no /v1/nowhere", "no /v1/ingest/rejected/now"]);
}

/// Variables of ours that no command reads.
fn unknown_variables(document: &Document) -> Vec<String> {
    let known = Cli::variables();
    let text = whole(document);
    let words = words_from(&text, "SPRINGHEAD_").into_iter();
    let is_known = |word: &str| word == "SPRINGHEAD_" || word.starts_with("SPRINGHEAD_TEST_") || known.contains(word);
    words.filter(|word| !is_known(word)).map(|word| format!("nothing reads {word}")).collect()
}

#[test]
fn variables_that_are_named_are_read() {
    hold(|_, document| unknown_variables(document));
    assert_eq!(
        unknown_variables(&Document::parse("`SPRINGHEAD_LISTN=x`, `SPRINGHEAD_LISTEN`")),
        ["nothing reads SPRINGHEAD_LISTN"]
    );
}

/// Files of this tree that are named and are not there.
fn missing_files(text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    for folder in ["config/", "docs/", "src/", "tests/", "benches/", "fuzz/", ".ci/"] {
        for (at, _) in text.match_indices(folder) {
            if text[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_' | '.' | '}')) {
                continue;
            }
            let rest = &text[at..];
            let end =
                rest.find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '/' | '-' | '_' | '.')).unwrap_or(rest.len());
            let path = rest[..end].trim_end_matches(['.', '/']);
            // 'src/{origin,store}' and 'tests/it/…' name more than one.
            let is_open = rest[end..].starts_with(['{', '*', '…', '<']);
            faults.extend((!is_open && !root().join(path).exists()).then(|| format!("there is no {path}")));
        }
    }
    faults
}

#[test]
fn files_that_are_named_exist() {
    hold(|_, document| missing_files(&whole(document)));
    for end in [".toml", ".yaml", ".service", ".socket", ".json"] {
        for file in names("config", end) {
            assert_eq!(missing_files(&read(&file)), [""; 0], "{file}");
        }
    }
    for file in ["Dockerfile", "Cargo.toml", ".ci/run", "tests/run", "benches/compare"] {
        assert_eq!(missing_files(&read(file)), [""; 0], "{file}");
    }
    let bad = "See config/METRICS.md, docs/nowhere.md#x, src/{a,b}, https://x.example/docs/y, `tests/run` and src/lib.rs.";
    assert_eq!(missing_files(bad), ["there is no config/METRICS.md", "there is no docs/nowhere.md"]);
}

/// What was true once: it crept into recipes and outlived the program that it described.
const RETIRED: [(&str, &str); 8] = [
    ("no second tier", "there is a durable tier below memory"),
    ("only once it is complete", "what is uploaded in chunks is read as it grows"),
    ("asked before it was complete", "such a read is held"),
    ("nothing outlives", "the durable tier does"),
    ("TTL over or Springhead restarted", "a restart loses nothing"),
    ("Type=notify-reload", "systemd before 253 does not know it"),
    ("config/METRICS.md", "it is docs/metrics.md"),
    ("config/MEDIALIVE.md", "it is docs/medialive.md"),
];

fn retired(text: &str) -> Vec<String> {
    // Lines are broken anywhere.
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    RETIRED.iter().filter(|(words, _)| text.contains(words)).map(|(words, now)| format!("says '{words}': {now}")).collect()
}

#[test]
fn nothing_is_said_that_is_no_longer_so() {
    hold(|path, document| if path == "CHANGELOG.md" { Vec::new() } else { retired(&whole(document)) });
    assert_eq!(retired("an object can be read only\n  once it is complete").len(), 1);
}
