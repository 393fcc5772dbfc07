//! A page of names: of all keys that are offered, in whatever order, the first so many behind a place. What has an order is asked for no
//! more than that: each offer is answered with where to go on.

use std::collections::BTreeMap;

/// Where to go on, for who goes through keys in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NameStep {
    /// At the next key.
    Next,
    /// At the first key that is not less than this.
    From(String),
    /// Nowhere: what comes behind is not asked for.
    Enough,
}

/// The page.
#[derive(Debug)]
pub struct NamePage<T> {
    prefix: String,
    by_folder: bool,
    after: String,
    limit: usize,
    found: BTreeMap<String, Option<T>>,
    has_more: bool,
}

impl<T> NamePage<T> {
    /// Of keys that begin with `prefix`, those behind `after`, `limit` at most. `by_folder`: what has a slash behind the prefix is one name, up
    /// to and with that slash.
    #[must_use]
    pub fn new(prefix: &str, by_folder: bool, after: &str, limit: usize) -> Self {
        let (prefix, after) = (prefix.to_owned(), after.to_owned());
        Self { prefix, by_folder, after, limit, found: BTreeMap::new(), has_more: false }
    }

    /// The first key that may be on it.
    #[must_use]
    pub fn begin(&self) -> &str {
        self.prefix.as_str().max(&self.after)
    }

    /// Takes a key into account; where it has a place on the page, `say` says what is known of it. It may be offered several times.
    pub fn offer(&mut self, key: &str, say: impl FnOnce(&mut Option<T>)) -> NameStep {
        let Some(rest) = key.strip_prefix(&*self.prefix) else {
            return if key < &*self.prefix { NameStep::From(self.prefix.clone()) } else { NameStep::Enough };
        };
        let slash = if self.by_folder { rest.find('/') } else { None };
        let name = slash.map_or(key, |at| &key[..=self.prefix.len() + at]);
        // What is in a folder is one name: the next one is behind all of it.
        let step = || slash.map_or(NameStep::Next, |_| NameStep::From(behind(name)));
        if name <= &*self.after {
            return step();
        }
        if !self.found.contains_key(name) {
            let is_full = self.found.len() >= self.limit;
            if is_full {
                self.has_more = true;
                if self.found.last_key_value().is_none_or(|(last, _)| name > last.as_str()) {
                    return NameStep::Enough;
                }
                self.found.pop_last();
            }
            self.found.insert(name.to_owned(), None);
        }
        if slash.is_none()
            && let Some(known) = self.found.get_mut(name)
        {
            say(known);
        }
        step()
    }

    /// What was found, in order: keys with what is known of them, folders without; and behind which name the next page begins, where
    /// there is one.
    #[must_use]
    pub fn end(self) -> (BTreeMap<String, Option<T>>, Option<String>) {
        let next = self.found.last_key_value().filter(|_| self.has_more).map(|(last, _)| last.clone());
        (self.found, next)
    }
}

/// The least text that is greater than all that begin with this folder, which ends in a slash.
fn behind(folder: &str) -> String {
    // In the order of texts the nought follows the slash.
    format!("{}0", folder.strip_suffix('/').unwrap_or(folder))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop, proptest};
    use std::collections::BTreeSet;

    /// All names of a list, page by page: all of it offered for each, or as the page leads through their order.
    fn walk(keys: &[String], prefix: &str, by_folder: bool, limit: usize, in_order: bool) -> Vec<(String, Option<usize>)> {
        let (mut all, mut after) = (Vec::new(), String::new());
        let number = |key: &String| keys.iter().position(|known| known == key);
        loop {
            let mut page = NamePage::new(prefix, by_folder, &after, limit);
            if in_order {
                let sorted: BTreeSet<&String> = keys.iter().collect();
                let (mut from, mut looks) = (page.begin().to_owned(), 0);
                while let Some(key) = sorted.range::<String, _>(&from..).next() {
                    looks += 1;
                    match page.offer(key, |known| *known = number(key)) {
                        NameStep::Next => from = format!("{key}\0"),
                        NameStep::From(next) => from = next,
                        NameStep::Enough => break,
                    }
                }
                assert!(looks <= limit + 2, "the page, what stands at its beginning, and what is behind it");
            } else {
                for key in keys {
                    page.offer(key, |known| *known = number(key));
                }
            }
            let (found, next) = page.end();
            assert!(found.len() <= limit && (next.is_none() || found.len() == limit));
            all.extend(found);
            match next {
                Some(next) => after = next,
                None => return all,
            }
        }
    }

    proptest! {
        #[test]
        fn pages_together_are_all_names_once_and_in_order(
            keys in prop::collection::btree_set("[ab]{1,2}(/[ab]{1,2}){0,2}", 0..40),
            by_folder in any::<bool>(), in_order in any::<bool>(), limit in 1_usize..6, turn in 0_usize..40,
        ) {
            let mut keys: Vec<String> = keys.into_iter().collect();
            let (count, turn) = (keys.len().max(1), turn % keys.len().max(1));
            if count > 1 {
                keys.rotate_left(turn);
            }
            for prefix in ["", "a", "a/", "b/a"] {
                let of_prefix = keys.iter().filter(|key| key.starts_with(prefix));
                let named = of_prefix.map(|key| match key[prefix.len()..].find('/').filter(|_| by_folder) {
                    Some(at) => key[..=prefix.len() + at].to_owned(),
                    None => key.clone(),
                });
                let expected: BTreeSet<String> = named.collect();
                let found = walk(&keys, prefix, by_folder, limit, in_order);
                let names: Vec<&String> = found.iter().map(|(name, _)| name).collect();
                assert_eq!(names, expected.iter().collect::<Vec<_>>());
                for (name, number) in &found {
                    let expected = keys.iter().position(|key| key == name && !(by_folder && name.ends_with('/')));
                    assert_eq!(*number, expected, "{name}");
                }
            }
        }
    }
}
