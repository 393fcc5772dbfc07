//! A way to the readers of what comes back from a bucket, for `crate::fuzzing` alone.

use bytes::Bytes;

use super::fields::{from_fields, to_fields};
use super::index::{NoteIndex, PieceName, lines};
use super::names::{is_long, key_of, name_of};
use crate::model::clock::WallTime;
use crate::model::id::Key;

/// The key that a name leads to, and the name that key goes by.
pub(crate) fn named(name: &str) -> Option<(Key, String)> {
    let key = key_of(name)?;
    let again = name_of(&key);
    Some((key, again))
}

/// The key that this one's own name leads to; `None` where the name says nothing of it.
pub(crate) fn way_back(key: &Key) -> Option<Option<Key>> {
    let name = name_of(key);
    (!is_long(&name)).then(|| key_of(&name))
}

/// Whether what fields say is said again by the fields that are made of it. `None` where they say nothing, or too much.
pub(crate) fn fields_read_back<'a>(fields: impl Iterator<Item = (&'a str, &'a str)>) -> Option<bool> {
    let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let (key, attributes) = from_fields(&fields, 7).ok()??;
    let again = to_fields(&attributes, key.as_ref()).ok()?;
    Some(from_fields(&again, 7).ok().flatten() == Some((key, attributes)))
}

/// The name of a piece of the index, as it is written again.
pub(crate) fn piece_again(name: &str) -> Option<String> {
    Some(PieceName::parse(name)?.text())
}

/// A piece of the index, as it is written when it is merged: at once, and again after that.
pub(crate) fn merged(piece: &[u8]) -> (Bytes, Bytes) {
    let merge = |piece: &Bytes| {
        let mut index = NoteIndex::default();
        index.add(piece, WallTime::from_millis(0));
        let mut notes = index.merged();
        notes.sort_by(|one, other| one.name.cmp(&other.name));
        lines(&notes)
    };
    let once = merge(&Bytes::copy_from_slice(piece));
    let twice = merge(&once);
    (once, twice)
}
