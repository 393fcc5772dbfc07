//! Objects in a bucket that could not be read when it was listed: written by a later release, damaged, or refused each time. They are left alone, and
//! nobody is told that they are not there.
//!
//! Their keys stand in what says of a lane that it has all of the bucket ([`super::lane::whole`]): so all nodes know of them, and they are known
//! for as long as that is. It is a text: a line with how many there are of a later release, and of others; then a key in each.

use bytes::Bytes;

use crate::model::id::Key;
use crate::store::cold::ColdError;

/// So many bytes of keys stand there. Where there are more, nothing is known in that lane of what the index does not have.
const MOST: usize = 32 << 10;
/// Says so in the place of keys, none of which has a control character in it.
const ANY: &str = "\u{1}";

/// Those of one lane, as they are written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct LeftInBucket(Bytes);

/// Those that a listing comes upon.
#[derive(Clone, Debug, Default)]
pub(super) struct FoundUnread {
    /// As many as are written, so that the memory for them has a bound.
    keys: Vec<Key>,
    /// How long all of them are, those that are not kept included.
    bytes: usize,
    later: u64,
    others: u64,
    /// The keys of some are not known.
    has_nameless: bool,
}

impl FoundUnread {
    /// One has been found; `None`: nobody knows its key.
    pub(super) fn add(&mut self, key: Option<Key>, why: &ColdError) {
        *(if matches!(why, ColdError::Later(_)) { &mut self.later } else { &mut self.others }) += 1;
        self.has_nameless |= key.is_none();
        if let Some(key) = key {
            self.bytes += key.as_str().len() + 1;
            if self.bytes <= MOST {
                self.keys.push(key);
            }
        }
    }

    /// How many are of a later release, and how many others there are.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.later, self.others)
    }

    /// One of them, to be named.
    pub(super) fn first(&self) -> Option<&Key> {
        self.keys.first()
    }

    pub(super) fn write(&self) -> LeftInBucket {
        if self.counts() == (0, 0) {
            return LeftInBucket::default();
        }
        let mut text = format!("{} {}", self.later, self.others);
        let is_any = self.has_nameless || self.bytes > MOST;
        for key in self.keys.iter().map(Key::as_str).filter(|_| !is_any).chain(is_any.then_some(ANY)) {
            text.push('\n');
            text.push_str(key);
        }
        LeftInBucket(text.into())
    }
}

impl LeftInBucket {
    /// What was written.
    pub(super) fn read(written: Bytes) -> Self {
        Self(written)
    }

    pub(super) fn written(&self) -> &Bytes {
        &self.0
    }

    fn lines(&self) -> std::str::Lines<'_> {
        std::str::from_utf8(&self.0).unwrap_or_default().lines()
    }

    /// How many are of a later release, and how many others there are.
    pub(super) fn counts(&self) -> (u64, u64) {
        let counts = self.lines().next().and_then(|line| line.split_once(' '));
        counts.map_or((0, 0), |(later, others)| (later.parse().unwrap_or_default(), others.parse().unwrap_or_default()))
    }

    /// Whether this one may be among them.
    pub(super) fn may_have(&self, key: &Key) -> bool {
        self.lines().skip(1).any(|line| line == key.as_str() || line == ANY)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(key: &str) -> Key {
        Key::parse(key).unwrap()
    }

    #[test]
    fn what_is_written_reads_back() {
        let mut found = FoundUnread::default();
        assert!(found.write().written().is_empty(), "as it was before there were any");
        found.add(Some(key("a/1.ts")), &ColdError::Later(String::new()));
        found.add(Some(key("1 0")), &ColdError::Damaged(String::new()));
        found.add(Some(key("é")), &ColdError::Unread(String::new()));
        let read = LeftInBucket::read(found.write().written().clone());
        assert_eq!((read.counts(), found.counts()), ((1, 2), (1, 2)));
        assert!(["a/1.ts", "1 0", "é"].iter().all(|of| read.may_have(&key(of))) && !read.may_have(&key("1 2")));
        // Too many to be named, or one that nobody can name.
        for number in 0..MOST / 8 {
            found.add(Some(key(&format!("{number:08}"))), &ColdError::Unread(String::new()));
        }
        assert!(found.write().may_have(&key("any")) && found.write().written().len() < 32);
        assert!(found.keys.len() < MOST / 8 && found.first() == Some(&key("a/1.ts")), "no more are kept than are of use");
        let mut found = FoundUnread::default();
        found.add(None, &ColdError::Unread(String::new()));
        assert!(found.write().may_have(&key("any")) && found.write().counts() == (0, 1));
    }

    #[test]
    fn of_what_makes_no_sense_nothing_is_left_alone() {
        for written in [&b""[..], b"x", b"1", b"\xff\xff 1\n"] {
            let read = LeftInBucket::read(Bytes::from_static(written));
            assert!(read.counts() == (0, 0) && !read.may_have(&key("any")), "{written:?}");
        }
    }
}
