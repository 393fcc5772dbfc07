//! The console: a page of plain modules, built into the program with the libraries it uses. It is only a client of `/v1`.
//!
//! Invariants: nothing of it is made from what a client sent, and it holds nothing of this server. It asks no other host for anything, and
//! the browser is told so (CSP): no script but its own, none inline but the map of imports, by its hash; shown in no frame. What belongs
//! to one version has that version in its address, so that it is kept for good and never mixed with another's.

use std::sync::LazyLock;

use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::json;

use crate::auth::signing::{hex, sha256};

macro_rules! files {
    ($($name:literal)*) => {
        /// Every file, by its name.
        const FILES: &[(&str, &[u8])] = &[$(($name, include_bytes!(concat!("console/", $name))),)*];
    };
}

files! {
    "app.css" "app.js" "api.js" "chart.js" "commands.js" "icon.svg" "player.js" "text.js" "ui.js"
    "lang/en.js" "lang/ja.js"
    "screens/events.js" "screens/ingest.js" "screens/keys.js" "screens/namespaces.js" "screens/objects.js" "screens/overview.js"
    "screens/recordings.js" "screens/settings.js" "screens/start.js" "screens/stream.js" "screens/streams.js"
    "vendor/MANIFEST" "vendor/LICENSE-hls.js" "vendor/LICENSE-htm" "vendor/LICENSE-preact" "vendor/LICENSE-uplot"
    "vendor/hls.min.mjs" "vendor/hls.worker.js" "vendor/hooks.mjs" "vendor/htm.mjs" "vendor/preact.mjs" "vendor/uPlot.esm.js"
    "vendor/uPlot.min.css"
}

const INDEX: &str = include_str!("console/index.html");
const PLACE: &str = "/console/";

/// What is made once.
struct Console {
    /// Where the files of this version are, a slash at its end.
    base: String,
    index: Bytes,
    policy: HeaderValue,
}

static CONSOLE: LazyLock<Console> = LazyLock::new(|| {
    let all: Vec<u8> = FILES.iter().flat_map(|(name, body)| [name.as_bytes(), &sha256(body)[..]].concat()).collect();
    let base = format!("{PLACE}{}/", &hex(&sha256(&[&all, INDEX.as_bytes()].concat()))[..16]);
    let vendor = |name: &str| format!("{base}vendor/{name}");
    // The libraries name each other by their bare names.
    let imports = json!({ "imports": {
        "htm": vendor("htm.mjs"), "preact": vendor("preact.mjs"), "preact/hooks": vendor("hooks.mjs"),
    }})
    .to_string();
    let hash = STANDARD.encode(sha256(imports.as_bytes()));
    // All that the first screen needs is asked for at once, and not as one module names the next.
    let preload: Vec<_> = FILES.iter().map(|(name, _)| *name).filter(|name| is_needed_first(name)).map(preload(&base)).collect();
    let index = INDEX.replace("{base}", base.trim_end_matches('/')).replace("{importmap}", &imports);
    let index = index.replace("{preload}", &preload.join("\n"));
    let policy = format!(
        "default-src 'none'; script-src 'self' 'sha256-{hash}'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
         media-src 'self' blob:; worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    );
    let policy = HeaderValue::try_from(policy).unwrap_or(HeaderValue::from_static("default-src 'none'"));
    Console { base, index: index.into(), policy }
});

/// Whether a file is a module that is loaded with the page. The libraries that play and draw come when there is something to be played or
/// drawn: they are nine tenths of all.
fn is_needed_first(name: &str) -> bool {
    let is_module = name.ends_with(".js") && !name.starts_with("vendor/") || name.ends_with(".mjs");
    is_module && name != "vendor/hls.min.mjs"
}

fn preload(base: &str) -> impl Fn(&str) -> String {
    move |name| format!("<link rel=\"modulepreload\" href=\"{base}{name}\">")
}

/// What is shown at a path, if anything is.
pub(super) fn find(path: &str) -> Option<Response> {
    let console = &*CONSOLE;
    if path == "/" {
        return Some(answer(Body::from(console.index.clone()), "text/html; charset=utf-8", "no-store"));
    }
    let name = path.strip_prefix(&*console.base)?;
    let (_, body) = FILES.iter().find(|(known, _)| *known == name)?;
    let kind = match name.rsplit('.').next() {
        Some("js" | "mjs") if !name.contains("LICENSE") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "text/plain; charset=utf-8",
    };
    Some(answer(Body::from(Bytes::from_static(body)), kind, "public, max-age=31536000, immutable"))
}

fn answer(body: Body, kind: &'static str, cached: &'static str) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(cached));
    headers.insert(CONTENT_SECURITY_POLICY, CONSOLE.policy.clone());
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    for name in ["cross-origin-opener-policy", "cross-origin-resource-policy"] {
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static("same-origin"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    fn below(folder: &Path, from: &Path, names: &mut BTreeSet<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                below(&path, from, names);
            } else {
                names.insert(path.strip_prefix(from).unwrap().to_str().unwrap().to_owned());
            }
        }
    }

    fn text(name: &str) -> &'static str {
        let (_, body) = FILES.iter().find(|(known, _)| *known == name).unwrap_or_else(|| panic!("{name}"));
        std::str::from_utf8(body).unwrap()
    }

    #[test]
    fn every_file_of_the_console_is_built_in_and_reached() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/web/admin/console");
        let mut there = BTreeSet::new();
        below(&folder, &folder, &mut there);
        assert!(there.remove("index.html"));
        assert_eq!(there, FILES.iter().map(|(name, _)| (*name).to_owned()).collect());
        for name in ["app.js", "vendor/hls.min.mjs", "vendor/LICENSE-hls.js"] {
            let response = find(&format!("{}{name}", CONSOLE.base)).unwrap();
            assert!(response.headers()[CACHE_CONTROL].to_str().unwrap().contains("immutable"));
        }
        assert!(find("/console/0/app.js").is_none() && find("/console/").is_none() && find("/v1").is_none());
        let index = find("/").unwrap();
        assert_eq!(index.headers()[CACHE_CONTROL], "no-store");
        let policy = index.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"), "{policy}");
        let page = std::str::from_utf8(&CONSOLE.index).unwrap();
        assert!(!page.contains("{base}") && !page.contains("{importmap}"));
    }

    #[test]
    fn the_libraries_are_those_that_were_released_with_their_licences() {
        let mut listed = BTreeSet::new();
        for line in text("vendor/MANIFEST").lines().filter(|line| !line.starts_with('#')) {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [sum, name, package, version, licence] = words[..] else { panic!("{line}") };
            let file = format!("vendor/{name}");
            assert_eq!(hex(&sha256(text(&file).as_bytes())), sum, "{name} of {package} {version} was edited");
            assert!(text(&format!("vendor/LICENSE-{package}")).len() > 500 && ["MIT", "Apache-2.0"].contains(&licence), "{line}");
            listed.insert(file);
        }
        let is_library = |name: &&str| name.starts_with("vendor/") && !name.contains("LICENSE") && !name.contains("MANIFEST");
        let there: BTreeSet<String> = FILES.iter().map(|(name, _)| *name).filter(is_library).map(str::to_owned).collect();
        assert_eq!(listed, there);
    }

    /// The names of texts in a file of a language.
    fn texts(language: &str) -> BTreeSet<&'static str> {
        let lines = text(language).lines().filter_map(|line| line.trim().strip_prefix('"')?.split_once("\": "));
        lines.map(|(name, _)| name).collect()
    }

    #[test]
    fn each_text_is_there_in_both_languages_and_all_that_are_used_are_there() {
        let (english, japanese) = (texts("lang/en.js"), texts("lang/ja.js"));
        assert_eq!(english, japanese);
        assert!(english.len() > 200);
        for (name, _) in FILES.iter().filter(|(name, _)| !name.starts_with("vendor/") && name.ends_with(".js")) {
            let text = text(name);
            for (at, call) in text.match_indices("t(\"").filter(|(at, _)| !text[..*at].ends_with(char::is_alphanumeric)) {
                let used = text[at + call.len()..].split('"').next().unwrap();
                assert!(english.contains(used), "{name} uses {used:?}");
            }
        }
        for event in crate::model::event::EventKind::ALL {
            let name = event.as_str();
            assert!(
                english.contains(&*format!("event.{name}")),
                "the console's texts (src/web/admin/console/lang) lack event.{name}"
            );
            assert!(
                !event.is_trouble() || english.contains(&*format!("advice.{name}")),
                "the console's texts lack advice.{name}"
            );
        }
    }

    /// What a module names at its top, and what these name.
    fn reached(name: &str, found: &mut BTreeSet<String>) {
        if !found.insert(name.to_owned()) || name.starts_with("vendor/") {
            return;
        }
        for (_, rest) in
            text(name).lines().filter(|line| line.starts_with("import ")).filter_map(|line| line.split_once(" from \""))
        {
            let named = rest.trim_end_matches("\";");
            let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
            let next = match named.split_once("./") {
                Some(("", below)) if folder.is_empty() => below.to_owned(),
                Some(("", below)) => format!("{folder}/{below}"),
                Some((".", above)) => above.to_owned(),
                _ => match named {
                    "preact/hooks" => "vendor/hooks.mjs".to_owned(),
                    library => format!("vendor/{library}.mjs"),
                },
            };
            reached(&next, found);
        }
    }

    #[test]
    fn the_first_screen_waits_for_no_library_that_plays_or_draws_and_all_else_is_asked_for_at_once() {
        let mut first = BTreeSet::new();
        reached("app.js", &mut first);
        let preloaded: BTreeSet<String> =
            FILES.iter().map(|(name, _)| (*name).to_owned()).filter(|name| is_needed_first(name)).collect();
        assert_eq!(first, preloaded);
        let size: usize = first.iter().map(|name| text(name).len()).sum();
        assert!(size < 250_000, "{size} bytes are read before anything is shown");
        let index = std::str::from_utf8(&CONSOLE.index).unwrap();
        assert!(first.iter().all(|name| index.contains(&format!("modulepreload\" href=\"{}{name}\"", CONSOLE.base))), "{index}");
    }

    #[test]
    fn nothing_of_it_is_written_inline_or_asked_of_another_host() {
        for (name, _) in FILES.iter().filter(|(name, _)| !name.starts_with("vendor/")) {
            let text = text(name);
            for word in ["innerHTML", "dangerouslySetInnerHTML", "eval(", "https://", "style=\""] {
                assert!(!text.contains(word), "{name} has {word}");
            }
        }
    }
}
