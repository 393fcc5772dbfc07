//! What tests need is said, and missed aloud.

use std::fs;
use std::path::Path;

use super::root;
use crate::programs::EVERYWHERE;

/// A test that passes over what it can't do says nothing: what is missing fails it, but for what tests/optional lists.
#[test]
fn tests_start_programs_by_what_fails_without_them() {
    fn check(folder: &Path) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                check(&path);
            } else if path.file_name().is_some_and(|name| name != "programs.rs") {
                let text = fs::read_to_string(&path).unwrap();
                for start in text.split(concat!("Command::", "new(\"")).skip(1) {
                    let name = start.split('"').next().unwrap();
                    assert!(EVERYWHERE.contains(&name), "{} starts {name}: programs::program is for that", path.display());
                }
                assert!(!text.contains(concat!("SKIP", "PED")), "{}: nothing is passed over", path.display());
            }
        }
    }
    check(&root().join("tests/it"));
}

#[test]
fn what_lists_name_is_a_test() {
    let list = |file: &str| fs::read_to_string(root().join("tests").join(file)).unwrap();
    let quick = list("quick").split("needs_more=(").nth(1).unwrap().split("\n)").next().unwrap().to_owned();
    for (file, names) in [("quick", quick), ("browsers", list("browsers")), ("no-accident", list("no-accident"))] {
        let mut found = 0;
        for name in names.lines().filter(|line| !line.starts_with('#')).flat_map(str::split_whitespace) {
            let (module, test) = name.rsplit_once("::").unwrap();
            let place = root().join("tests/it").join(module.replace("::", "/"));
            let text = fs::read_to_string(place.with_extension("rs")).or_else(|_| fs::read_to_string(place.join("mod.rs")));
            let text = text.unwrap_or_else(|error| panic!("tests/{file} names {name}: {error}"));
            assert!(text.contains(&format!("fn {test}")), "tests/{file} names {name}, which is not there");
            found += 1;
        }
        assert!(found > 10, "the list is found: tests/{file}");
    }
}
