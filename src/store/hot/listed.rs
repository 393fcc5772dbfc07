//! What is in memory, by name: put in, taken out, and gone through in order for those who look after it.
//!
//! The order is kept beside the map, so that a page of it costs what it shows, whatever else is there. A read never sees it; an upload over
//! another leaves it as it is.

use std::ops::Bound;
use std::sync::Arc;

use super::HotNamespace;
use super::entry::Entry;
use super::ledger::Ledger;
use crate::model::clock::Moment;
use crate::store::page::NameStep;

/// How many names are looked at between two times at which a writer may have the lock: some microseconds' worth.
const AT_ONCE: usize = 64;

impl HotNamespace {
    /// Makes a version the one of its name; under the ledger's lock, as the argument proves.
    pub(super) fn put_in(&self, ledger: &mut Ledger, entry: &Arc<Entry>) {
        if self.map.insert(Arc::clone(entry)).is_none() {
            ledger.names.insert(entry.key.clone());
        }
    }

    /// Takes out whatever version there is of a name; under the same lock.
    pub(super) fn take_from(&self, ledger: &mut Ledger, key: &str) -> Option<Arc<Entry>> {
        let found = self.map.remove(key)?;
        ledger.names.remove(key);
        Some(found)
    }

    /// Shows versions that are live, in the order of their names, from this one on, if there is one; `see` says where it goes on. What comes or
    /// goes meanwhile may be shown or not. `see` is called under the ledger's lock: it has to be quick and may not call back.
    pub fn in_order(&self, from: &str, mut see: impl FnMut(&Arc<Entry>) -> NameStep) {
        let now = self.clock.now();
        let mut next = Some(Bound::Included(from.to_owned()));
        while let Some(from) = next {
            next = self.some_in_order(&from, now, &mut see);
        }
    }

    /// The same for so many as one hold of the lock is for; where the next one goes on.
    fn some_in_order(
        &self,
        from: &Bound<String>,
        now: Moment,
        see: &mut impl FnMut(&Arc<Entry>) -> NameStep,
    ) -> Option<Bound<String>> {
        let ledger = self.ledger.lock();
        let start = from.as_ref().map(String::as_str);
        let mut left = AT_ONCE;
        for key in ledger.names.range::<str, _>((start, Bound::Unbounded)) {
            let entry = self.map.get(key.as_str()).filter(|entry| entry.meta.is_live(now));
            left -= 1;
            match entry.map_or(NameStep::Next, |entry| see(&entry)) {
                NameStep::Next if left > 0 => {}
                NameStep::Next => return Some(Bound::Excluded(key.as_str().to_owned())),
                NameStep::From(name) => return Some(Bound::Included(name)),
                NameStep::Enough => return None,
            }
        }
        None
    }

    /// Recounts everything and compares map and ledger.
    ///
    /// # Panics
    /// When an invariant is broken. For tests.
    pub fn validate(&self) {
        let ledger = self.ledger.lock();
        ledger.validate();
        assert_eq!(self.map.len(), ledger.objects(), "map and ledger list the same entries");
        let mut in_map = 0;
        self.map.for_each(|entry| in_map += entry.cost());
        assert!(
            ledger.names.len() == self.map.len() && ledger.names.iter().all(|key| self.map.get(key.as_str()).is_some()),
            "each name is in order once"
        );
        assert_eq!(in_map, ledger.stored, "bytes counted = bytes held");
        assert_eq!(self.uploads.reserved(), ledger.in_flight, "in flight is the sum of what uploads have reserved");
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use bytes::Bytes;
    use proptest::prelude::{Just, prop, prop_oneof, proptest};

    use super::*;
    use crate::store::page::NamePage;
    use crate::store::tests::{key, meta, namespace};

    fn put(hot: &Arc<HotNamespace>, name: &str) {
        hot.take_in(Entry::new(key(name), Bytes::from_static(b"x"), meta(hot)), || true);
    }

    fn page(hot: &HotNamespace, prefix: &str, by_folder: bool, after: &str, limit: usize) -> (Vec<String>, usize) {
        let (mut page, mut looks) = (NamePage::<()>::new(prefix, by_folder, after, limit), 0);
        let begin = page.begin().to_owned();
        hot.in_order(&begin, |entry| {
            looks += 1;
            page.offer(entry.key.as_str(), |_| {})
        });
        (page.end().0.into_keys().collect(), looks)
    }

    #[test]
    fn a_page_looks_at_what_it_shows_however_much_there_is() {
        let hot = namespace();
        hot.set_capacity(64 << 20);
        for number in 0..6_000 {
            put(&hot, &format!("show{}/{number:05}.ts", number % 3));
        }
        let (names, looks) = page(&hot, "", true, "", 10);
        assert_eq!((names, looks), (vec!["show0/".to_owned(), "show1/".to_owned(), "show2/".to_owned()], 3));
        let (names, looks) = page(&hot, "show1/", false, "show1/03001.ts", 200);
        // The one that it begins behind, and the one that says that there are more.
        assert_eq!((names.len(), names[0].as_str(), looks), (200, "show1/03004.ts", 202));
        assert_eq!(page(&hot, "show1/", true, "", 5).1, 6);
        assert_eq!(page(&hot, "show3", false, "", 5), (Vec::new(), 0));
    }

    /// Reads never take that lock, and writers wait for no more than this.
    #[test]
    fn no_hold_of_the_lock_is_for_more_names_than_some_microseconds_take() {
        let hot = namespace();
        hot.set_capacity(64 << 20);
        (0..5_000).for_each(|number| put(&hot, &format!("{number:05}.ts")));
        let (mut holds, mut all) = (0, 0);
        let mut next = Some(Bound::Included(String::new()));
        while let Some(from) = next {
            let mut looked = 0;
            next = hot.some_in_order(&from, hot.clock.now(), &mut |_| {
                looked += 1;
                NameStep::Next
            });
            assert!(looked <= AT_ONCE && hot.ledger.try_lock().is_some(), "a writer has its turn");
            (holds, all) = (holds + 1, all + looked);
        }
        assert_eq!((all, holds), (5_000, 5_000_usize.div_ceil(AT_ONCE)));
    }

    proptest! {
        #[test]
        fn the_order_has_the_names_that_are_there(
            steps in prop::collection::vec((prop_oneof![5 => Just(true), 2 => Just(false)], 0..200_u16), 0..300),
        ) {
            let (hot, mut model) = (namespace(), BTreeSet::new());
            for (is_put, name) in steps {
                let name = format!("{}/{name}", name % 7);
                if is_put {
                    put(&hot, &name);
                    model.insert(name);
                } else {
                    hot.remove(&key(&name), hot.stamp(), hot.clock().now(), |_| true);
                    model.remove(&name);
                }
            }
            hot.validate();
            let (names, _) = page(&hot, "", false, "", 1000);
            assert!(names.iter().eq(&model), "{names:?} {model:?}");
            hot.clock().advance(Duration::from_secs(1 << 40));
            assert_eq!(page(&hot, "", false, "", 1000).1, 0, "what has expired is not shown");
            while hot.sweep() > 0 {}
            hot.validate();
        }
    }
}
