//! A page of names: of all keys that are offered, in whatever order, the first so many behind a place. Maps that have no order are gone
//! through once for it, and what is kept meanwhile is a page and no more.

use std::collections::BTreeMap;

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

    /// Takes a key into account; where it has a place on the page, `say` says what is known of it. It may be offered several times.
    pub fn offer(&mut self, key: &str, say: impl FnOnce(&mut Option<T>)) {
        let Some(rest) = key.strip_prefix(&*self.prefix) else { return };
        let slash = if self.by_folder { rest.find('/') } else { None };
        let name = slash.map_or(key, |at| &key[..=self.prefix.len() + at]);
        if name <= &*self.after {
            return;
        }
        if !self.found.contains_key(name) {
            let is_full = self.found.len() >= self.limit;
            if is_full {
                self.has_more = true;
                if self.found.last_key_value().is_none_or(|(last, _)| name > last.as_str()) {
                    return;
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
    }

    /// What was found, in order: keys with what is known of them, folders without; and behind which name the next page begins, where
    /// there is one.
    #[must_use]
    pub fn end(self) -> (BTreeMap<String, Option<T>>, Option<String>) {
        let next = self.found.last_key_value().filter(|_| self.has_more).map(|(last, _)| last.clone());
        (self.found, next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{any, prop, proptest};
    use std::collections::BTreeSet;

    /// All names of a list, page by page.
    fn walk(keys: &[String], prefix: &str, by_folder: bool, limit: usize) -> Vec<(String, Option<usize>)> {
        let (mut all, mut after) = (Vec::new(), String::new());
        loop {
            let mut page = NamePage::new(prefix, by_folder, &after, limit);
            for (number, key) in keys.iter().enumerate() {
                page.offer(key, |known| *known = Some(number));
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
            by_folder in any::<bool>(), limit in 1_usize..6, turn in 0_usize..40,
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
                let found = walk(&keys, prefix, by_folder, limit);
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
