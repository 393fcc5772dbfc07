//! What spares a restart a request for each object.
//!
//! A listing tells names, lengths and tags, not the fields: 100,000 objects would take 100,000 requests more. So what was put is
//! also noted, with its fields, in pieces below `%index/`, each one object of many lines. The listing remains the truth, the
//! index is only asked for the fields of what is listed, and believed when it is about the same version: the store's own tag is
//! that of the note, and the store's date is within [`NEAR`] of it (the tag alone is often a digest of the body, which may be put
//! again with another time to live). What it does not know costs its request, so a piece that was never written, or is lost,
//! loses nothing.
//!
//! A piece's name says when the last object in it expires; then the piece is removed unread. Small pieces are merged now and
//! then.

use std::time::Duration;

use ahash::AHashMap;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::fields::Fields;
use crate::model::clock::{Moment, WallTime};

/// After this many notes a piece is written,
const FULL: usize = 1_000;
/// or this long after its first.
const OLD: Duration = Duration::from_secs(30);
/// Pieces of fewer notes are small; this many of these are merged into one at most.
const SMALL: usize = 10_000;
/// As many small pieces are let be.
const FEW: usize = 8;
/// How far the store's clock may be from ours; beyond it the index is of no use.
const NEAR: Duration = Duration::from_secs(10);

/// One line of a piece.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Note {
    /// The object's name below the namespace's folder.
    pub(super) name: String,
    /// The tag the store gave this version.
    pub(super) tag: String,
    /// When it was put, in milliseconds since the Unix epoch.
    pub(super) put: u64,
    /// When it expires, the same way.
    pub(super) expires: u64,
    /// Its fields.
    pub(super) fields: Fields,
}

/// What is looked at while a piece is read.
#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow)]
    name: std::borrow::Cow<'a, str>,
    put: u64,
    expires: u64,
}

/// A piece's own name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PieceName {
    /// When the last of its objects expires, in milliseconds since the Unix epoch.
    pub(super) expires: u64,
    /// How many notes it has.
    pub(super) notes: usize,
    /// Tells it from all others.
    pub(super) id: u128,
}

impl PieceName {
    pub(super) fn text(self) -> String {
        format!("{}-{}-{:032x}.json", self.expires, self.notes, self.id)
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.strip_suffix(".json")?.split('-');
        let (expires, notes, id) = (parts.next()?, parts.next()?, parts.next()?);
        let name = Self { expires: expires.parse().ok()?, notes: notes.parse().ok()?, id: u128::from_str_radix(id, 16).ok()? };
        parts.next().is_none().then_some(name)
    }
}

/// Which of these pieces are to become one, if they are enough to be worth it.
pub(super) fn to_merge(mut pieces: Vec<PieceName>) -> Vec<PieceName> {
    pieces.retain(|piece| piece.notes < SMALL);
    if pieces.len() <= FEW {
        return Vec::new();
    }
    // Those that expire together belong together.
    pieces.sort_by_key(|piece| piece.expires);
    let mut notes = 0;
    pieces.retain(|piece| {
        notes += piece.notes;
        notes <= 2 * SMALL
    });
    pieces
}

/// Notes that wait for their piece, the newest for each name.
#[derive(Debug, Default)]
pub(super) struct Pending {
    notes: AHashMap<String, Note>,
    since: Option<Moment>,
}

impl Pending {
    /// Takes a note, and gives all of them back when it is time for a piece.
    pub(super) fn add(&mut self, note: Note, now: Moment) -> Option<Vec<Note>> {
        let since = *self.since.get_or_insert(now);
        self.notes.insert(note.name.clone(), note);
        (self.notes.len() >= FULL || now.since(since) >= OLD).then(|| {
            self.since = None;
            self.notes.drain().map(|(_, note)| note).collect()
        })
    }

    /// Forgets an object.
    pub(super) fn remove(&mut self, name: &str) {
        self.notes.remove(name);
    }

    /// As the piece it would be.
    pub(super) fn lines(&self) -> Bytes {
        lines(self.notes.values())
    }
}

/// A piece of these notes.
pub(super) fn lines<'a>(notes: impl IntoIterator<Item = &'a Note>) -> Bytes {
    let mut text = Vec::new();
    for note in notes {
        // What is made of text and numbers can always be written.
        if serde_json::to_writer(&mut text, note).is_ok() {
            text.push(b'\n');
        }
    }
    text.into()
}

/// All pieces read, the newest note for each name. Notes stay the text they came as until they are asked for.
#[derive(Debug, Default)]
pub(super) struct NoteIndex {
    notes: AHashMap<u64, (u64, Bytes)>,
    hasher: ahash::RandomState,
}

impl NoteIndex {
    /// Takes a piece, but what had expired by then. Lines that can't be read are left out: they cost a request each.
    pub(super) fn add(&mut self, piece: &Bytes, now: WallTime) {
        let mut start = 0;
        for line in piece.split_inclusive(|byte| *byte == b'\n') {
            let end = start + line.len();
            if let Ok(head) = serde_json::from_slice::<Head<'_>>(line)
                && head.expires > now.millis()
            {
                let newest = self.notes.entry(self.hasher.hash_one(&*head.name)).or_default();
                if newest.0 <= head.put {
                    *newest = (head.put, piece.slice(start..end));
                }
            }
            start = end;
        }
    }

    /// The fields of this version, if they were noted.
    pub(super) fn find(&self, name: &str, tag: &str, modified: WallTime) -> Option<Fields> {
        let (put, line) = self.notes.get(&self.hasher.hash_one(name))?;
        let put = WallTime::from_millis(*put);
        // Dates of stores are by the second.
        let near = put.since(modified) <= NEAR && modified.since(put) <= NEAR;
        let note: Note = near.then(|| serde_json::from_slice(line).ok()).flatten()?;
        (note.name == name && note.tag == tag).then_some(note.fields)
    }

    /// All of it, for one piece.
    pub(super) fn merged(&self) -> Vec<Note> {
        self.notes.values().filter_map(|(_, line)| serde_json::from_slice(line).ok()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::clock::Clock;

    fn note(name: &str, tag: &str, put: u64) -> Note {
        let fields = [("kind".to_owned(), tag.to_owned())].into();
        Note { name: name.to_owned(), tag: tag.to_owned(), put, expires: put + 60_000, fields }
    }

    #[test]
    fn a_piece_is_written_when_it_is_full_or_old() {
        let clock = Clock::manual();
        let mut pending = Pending::default();
        for n in 1..FULL {
            assert_eq!(pending.add(note(&format!("{n}.ts"), "a", 5), clock.now()), None);
        }
        assert_eq!(pending.add(note("1.ts", "b", 6), clock.now()), None, "a rewritten one counts once");
        assert_eq!(pending.add(note("0.ts", "a", 5), clock.now()).unwrap().len(), FULL);
        assert!(pending.lines().is_empty());
        assert_eq!(pending.add(note("a.ts", "a", 5), clock.now()), None);
        clock.advance(OLD);
        pending.remove("a.ts");
        assert_eq!(pending.add(note("b.ts", "a", 5), clock.now()), Some(vec![note("b.ts", "a", 5)]));
    }

    #[test]
    fn only_the_version_that_was_noted_is_found() {
        let at = WallTime::from_millis;
        let mut index = NoteIndex::default();
        index.add(&lines(&[note("a.ts", "new", 70_000), note("b.ts", "b", 50_000)]), at(0));
        index.add(&lines(&[note("a.ts", "old", 60_000)]), at(0));
        index.add(&Bytes::from_static(b"{}\nnothing\n{\"name\":\"c.ts\",\"put\":1,\"expires\":99999}\n"), at(0));
        assert_eq!(index.find("a.ts", "new", at(69_000)), Some(note("a.ts", "new", 0).fields));
        assert_eq!(index.find("a.ts", "old", at(60_000)), None, "an older version");
        assert_eq!(index.find("a.ts", "new", at(59_000)), None, "put again before");
        assert_eq!(index.find("a.ts", "new", at(81_000)), None, "put again since");
        assert_eq!(index.find("c.ts", "", at(0)), None);
        assert_eq!(index.merged().len(), 2);
        let mut later = NoteIndex::default();
        later.add(&lines(&index.merged()), at(115_000));
        assert_eq!(later.merged(), [note("a.ts", "new", 70_000)]);
    }

    #[test]
    fn piece_names_read_back_and_small_ones_are_merged() {
        let piece = |n: usize, notes| PieceName { expires: 100 - n as u64, notes, id: n as u128 };
        assert_eq!(PieceName::parse(&piece(3, 7).text()), Some(piece(3, 7)));
        for odd in ["", "1-2.json", "1-2-3", "1-2-3-4.json", "a-2-3.json"] {
            assert_eq!(PieceName::parse(odd), None, "{odd}");
        }
        assert!(to_merge((0..FEW).map(|n| piece(n, 5)).collect()).is_empty());
        let merged = to_merge((0..12).map(|n| piece(n, if n == 5 { SMALL } else { 1_999 })).collect());
        assert_eq!(merged.len(), 10);
        assert!(merged.is_sorted_by_key(|piece| piece.expires) && merged.iter().all(|piece| piece.id != 5));
    }
}
