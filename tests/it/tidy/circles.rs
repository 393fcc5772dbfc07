//! Which module uses which, read off the sources; and the circles in that.

use std::collections::{BTreeMap, BTreeSet};

/// Where a module stands below the crate's root: `["store", "tier", "queue"]`.
type Place = Vec<String>;

/// The modules and what each brings into scope by a `use`, by the name it has there.
struct House<'a> {
    scopes: BTreeMap<Place, BTreeMap<String, String>>,
    code: Vec<(Place, &'a str, String)>,
}

/// Groups of siblings that use each other in a circle, each as `folder: a, b`. A folder is one with what is below it; what its own
/// `mod.rs` holds belongs to the folder, which its files may use, as it uses them. What is built for tests alone does not count.
pub(super) fn circles(sources: &[(String, String)]) -> Vec<String> {
    let house = House::read(sources);
    let mut uses: BTreeMap<Place, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
    for (place, _, code) in &house.code {
        for path in paths(code).into_iter().map(|(path, _)| path) {
            let Some(used) = house.find(place, &path, 8) else { continue };
            let shared = place.iter().zip(&used).take_while(|(one, other)| one == other).count();
            if let (Some(own), Some(other)) = (place.get(shared), used.get(shared)) {
                let folder = uses.entry(place[..shared].to_vec()).or_default();
                folder.entry(own.clone()).or_default().insert(other.clone());
            }
        }
    }
    let mut found = Vec::new();
    for (folder, uses) in &uses {
        let within = |from: &String| reached(uses, from);
        let mut seen = BTreeSet::new();
        for file in uses.keys() {
            let circle: Vec<&str> =
                within(file).into_iter().filter(|other| within(other).contains(file)).map(String::as_str).collect();
            if !circle.is_empty() && seen.insert(circle.clone()) {
                found.push(format!("{}: {}", folder.join("/"), circle.join(", ")));
            }
        }
    }
    found
}

/// All that is used from there, directly or not.
fn reached<'a>(uses: &'a BTreeMap<String, BTreeSet<String>>, from: &String) -> BTreeSet<&'a String> {
    let mut reached = BTreeSet::new();
    let mut next: Vec<&String> = uses.get(from).into_iter().flatten().collect();
    while let Some(file) = next.pop() {
        if reached.insert(file) {
            next.extend(uses.get(file).into_iter().flatten());
        }
    }
    reached
}

impl<'a> House<'a> {
    fn read(sources: &'a [(String, String)]) -> Self {
        let place = |file: &str| -> Place {
            let path = file.trim_end_matches(".rs").trim_end_matches("/mod");
            path.split('/').filter(|part| *part != "lib").map(str::to_owned).collect()
        };
        let mut code: Vec<_> =
            sources.iter().map(|(file, text)| (place(file), file.as_str(), plain(super::without_tests(text)))).collect();
        let for_tests: Vec<Place> = code
            .iter()
            .flat_map(|(place, _, code)| {
                let lines: Vec<&str> = code.lines().map(str::trim).collect();
                let pairs: Vec<_> = lines.windows(2).map(|pair| (pair[0].to_owned(), pair[1].to_owned())).collect();
                pairs.into_iter().filter(|(above, _)| above.starts_with("#[cfg(") && above.contains("test")).filter_map(
                    |(_, line)| {
                        let name = line.strip_suffix(';')?.rsplit_once("mod ")?.1;
                        Some([place.clone(), vec![name.to_owned()]].concat())
                    },
                )
            })
            .collect();
        code.retain(|(place, ..)| !for_tests.iter().any(|test| place.starts_with(test)));
        let scope = |code: &str| paths(code).into_iter().filter_map(|(path, name)| Some((name?, path))).collect();
        let scopes = code.iter().map(|(place, _, code)| (place.clone(), scope(code))).collect();
        Self { scopes, code }
    }

    /// The module that a path leads to from there, by way of names that others brought into scope; `None`: out of the crate.
    fn find(&self, from: &Place, path: &str, depth: usize) -> Option<Place> {
        let mut parts = path.split("::").peekable();
        let mut at = match *parts.peek()? {
            "crate" => Place::new(),
            "self" | "super" => from.clone(),
            child if self.scopes.contains_key(&[from.clone(), vec![child.to_owned()]].concat()) => from.clone(),
            _ => return None,
        };
        for part in parts {
            match part {
                "crate" | "self" => {}
                "super" => drop(at.pop()),
                name => {
                    let below = [at.clone(), vec![name.to_owned()]].concat();
                    if self.scopes.contains_key(&below) {
                        at = below;
                        continue;
                    }
                    let elsewhere = self.scopes.get(&at).and_then(|scope| scope.get(name));
                    let found = elsewhere.filter(|_| depth > 0).map(|path| self.find(&at, path, depth - 1));
                    // What comes from outside the crate by way of a module of ours is still used from that module.
                    return Some(found.flatten().unwrap_or(at));
                }
            }
        }
        Some(at)
    }
}

/// The code without comments and without what stands in quotes.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if let Some(quoted) = ["'\"'", "'\\\"'", "b'\"'"].into_iter().find(|quoted| rest.starts_with(quoted)) {
            quoted.len()
        } else if let Some(hashes) = rest.strip_prefix('r').map(|raw| raw.len() - raw.trim_start_matches('#').len())
            && rest[1 + hashes..].starts_with('"')
            && !plain.ends_with(|before: char| before.is_ascii_alphanumeric() || before == '_')
        {
            let end = format!("\"{}", "#".repeat(hashes));
            rest[2 + hashes..].find(&end).map_or(rest.len(), |at| 2 + hashes + at + end.len())
        } else if first == '"' {
            let mut escaped = false;
            let end = rest[1..].find(|sign| {
                let ends = sign == '"' && !escaped;
                escaped = sign == '\\' && !escaped;
                ends
            });
            end.map_or(rest.len(), |at| at + 2)
        } else {
            plain.push(first);
            rest = &rest[first.len_utf8()..];
            continue;
        };
        rest = &rest[skipped..];
    }
    plain
}

/// Every path of a `use`, with the name it brings into scope; and every path that begins at the root, here or above.
fn paths(code: &str) -> Vec<(String, Option<String>)> {
    let is_part = |sign: char| sign.is_ascii_alphanumeric() || matches!(sign, '_' | ':');
    let mut found = Vec::new();
    let mut rest = code;
    while let Some(at) = rest.find(|sign: char| sign.is_ascii_alphabetic()) {
        rest = &rest[at..];
        let word = &rest[..rest.find(|sign| !is_part(sign)).unwrap_or(rest.len())];
        rest = &rest[word.len()..];
        // What a type of the form `impl … + use<…>` captures is none.
        if word == "use" && !rest.starts_with('<') {
            let end = rest.find(';').unwrap_or(rest.len());
            let tree: String = rest[..end].split_whitespace().collect::<Vec<_>>().join(" ");
            take_apart("", &tree, &mut found);
            rest = &rest[end..];
        } else if ["crate::", "self::", "super::"].iter().any(|root| word.starts_with(root)) {
            found.push((word.trim_end_matches(':').to_owned(), None));
        }
    }
    found
}

fn take_apart(above: &str, tree: &str, found: &mut Vec<(String, Option<String>)>) {
    let tree = tree.trim();
    if let Some((stem, list)) = tree.split_once('{') {
        let list = list.strip_suffix('}').unwrap_or(list);
        let (mut depth, mut from) = (0_usize, 0);
        for (at, sign) in list.char_indices().chain([(list.len(), ',')]) {
            match sign {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 0 => {
                    take_apart(&format!("{above}{stem}"), &list[from..at.max(from)], found);
                    from = at + 1;
                }
                _ => {}
            }
        }
    } else if !tree.is_empty() {
        let (path, name) = tree.split_once(" as ").map_or((tree, None), |(path, name)| (path, Some(name)));
        let path = format!("{above}{path}");
        let path = path.strip_suffix("::self").unwrap_or(&path).to_owned();
        let last = path.rsplit("::").next().unwrap_or_default().to_owned();
        found.push((path, Some(name.map_or(last, str::to_owned))));
    }
}

#[test]
fn a_circle_is_found_however_it_is_closed() {
    let house = |files: &[(&str, &str)]| {
        let sources: Vec<_> = files.iter().map(|(file, text)| ((*file).to_owned(), (*text).to_owned())).collect();
        circles(&sources)
    };
    let none: [&str; 0] = [];
    // Straight, over three files, in a list, in the middle of code.
    assert_eq!(house(&[("x/mod.rs", ""), ("x/a.rs", "use super::b::B;"), ("x/b.rs", "use super::a::A;")]), ["x: a, b"]);
    let three = [
        ("x/mod.rs", "mod a; mod b; mod c;"),
        ("x/a.rs", "use std::fmt;\nuse super::{\n    b::{B, self},\n    fmt,\n};"),
        ("x/b.rs", "fn f() { crate::x::c::g() }"),
        ("x/c.rs", "pub fn g() -> super::a::A { todo() }"),
        ("x/d.rs", "use super::a::A;"),
    ];
    assert_eq!(house(&three), ["x: a, b, c"]);
    // By way of what the folder brings into scope.
    let folder = "mod a;\nmod b;\npub use a::A as One;\nuse self::b::B;";
    assert_eq!(house(&[("x/mod.rs", folder), ("x/a.rs", "use super::B;"), ("x/b.rs", "use crate::x::One;")]), ["x: a, b"]);
    // Between a folder and a file beside it.
    let beside = [("x/mod.rs", ""), ("x/y/mod.rs", ""), ("x/y/a.rs", "use crate::x::b::B;"), ("x/b.rs", "use super::y::a::A;")];
    assert_eq!(house(&beside), ["x: b, y"]);
    // A folder and its files use each other; so do tests; and words in comments and quotes use nothing.
    let innocent = [
        ("x/mod.rs", "mod a;\nmod b;\n#[cfg(test)]\nmod tests;\npub struct X;\nuse a::A;"),
        ("x/a.rs", "use super::X;\nuse super::b::B;\n"),
        ("x/b.rs", "// use super::a::A;\nfn f() { g(\"use super::a::A;\", r#\"use super::a::A;\"#, '\"') }\nuse super::X;"),
        ("x/tests.rs", "use super::a::A; use super::b::B;"),
        ("x/c.rs", "#[cfg(test)]\nmod tests { use super::super::d::D; }"),
        ("x/d.rs", "use super::c::C;"),
    ];
    assert_eq!(house(&innocent), none);
}
