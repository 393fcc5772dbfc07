//! Checks what clients were told: a read says what was answered before it began, or something newer, never less than an earlier read, and
//! nothing that was removed or has expired.
//!
//! All notes are by one clock. Of each object versions are counted, by its one writer, or by several who each write under the condition
//! that the one before still stands; a removal counts as a version.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How exact expiry is: as clocks are.
const ABOUT: Duration = Duration::from_millis(250);

/// What somebody asked and was told.
#[derive(Clone, Debug)]
pub(super) struct Note {
    pub(super) object: usize,
    pub(super) node: usize,
    pub(super) begun: Instant,
    pub(super) ended: Instant,
    pub(super) what: Saying,
}

/// A version, and who wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) count: u64,
    pub(super) writer: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) of: Counted,
    pub(super) is_removal: bool,
    /// For how long it is there.
    pub(super) lives: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Saying {
    /// It wrote this, and was told that it is so.
    Written(Written),
    /// It wrote this, and was told nothing, or that nobody knows.
    MayBeWritten(Written),
    /// It read this.
    Read(Counted),
    /// It was told that there is nothing.
    ReadNothing,
}

impl Note {
    fn written(&self) -> Option<&Written> {
        match &self.what {
            Saying::Written(written) | Saying::MayBeWritten(written) => Some(written),
            Saying::Read(_) | Saying::ReadNothing => None,
        }
    }
}

/// What is wrong with what was told.
pub(super) fn faults_of(notes: &[Note]) -> Vec<String> {
    let mut by_object: BTreeMap<usize, Vec<&Note>> = BTreeMap::new();
    for note in notes {
        by_object.entry(note.object).or_default().push(note);
    }
    by_object.values().flat_map(|notes| faults_of_one(notes)).collect()
}

fn faults_of_one(notes: &[&Note]) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut done: BTreeMap<u64, Counted> = BTreeMap::new();
    for note in notes {
        if let Saying::Written(Written { of, .. }) = note.what
            && let Some(other) = done.insert(of.count, of)
        {
            wrong.push(format!("two were told that theirs is version {}: {other:?}, {note:?}", of.count));
        }
    }
    let mut writes: Vec<_> = notes.iter().copied().filter(|note| note.written().is_some()).collect();
    writes.sort_by_key(|note| note.begun);
    // In the order in which they ended, what is the highest that a later one has to know.
    let mut ended = notes.to_vec();
    ended.sort_by_key(|note| note.ended);
    let mut begun = notes.to_vec();
    begun.sort_by_key(|note| note.begun);
    let (mut next, mut at_least) = (0, 0);
    for read in begun {
        while ended.get(next).is_some_and(|before| before.ended < read.begun) {
            match ended[next].what {
                Saying::Written(Written { of, .. }) | Saying::Read(of) => at_least = at_least.max(of.count),
                _ => {}
            }
            next += 1;
        }
        let before = &writes[..writes.partition_point(|write| write.begun < read.ended)];
        let counted = |write: &&&Note| write.written().map_or(0, |written| written.of.count);
        match read.what {
            Saying::Read(of) => {
                if of.count < at_least {
                    wrong.push(format!("node {} tells an older one than was told, after {at_least}: {read:?}", read.node));
                }
                if !before.iter().any(|write| write.written().is_some_and(|written| written.of == of && !written.is_removal)) {
                    wrong.push(format!("node {} tells one that nobody had written: {read:?}", read.node));
                }
                if done.get(&of.count).is_some_and(|other| *other != of) {
                    wrong.push(format!("node {} tells one that was refused: {read:?}", read.node));
                }
                let is_over = |write: &&&Note| {
                    let lives = write.written().filter(|written| written.of == of).and_then(|written| written.lives);
                    lives.is_some_and(|lives| read.begun > write.ended + lives + ABOUT)
                };
                if before.iter().any(|write| is_over(&write)) {
                    wrong.push(format!("node {} tells one that has expired: {read:?}", read.node));
                }
            }
            Saying::ReadNothing if at_least > 0 => {
                let may_be_gone = |write: &&Note| {
                    let Some(written) = write.written() else { return false };
                    written.is_removal || written.lives.is_some_and(|lives| read.ended + ABOUT > write.begun + lives)
                };
                // What is known of last may be gone, or something newer may have come and gone.
                if !before.iter().filter(|write| counted(write) >= at_least).any(may_be_gone) {
                    wrong.push(format!("node {} tells of nothing after {at_least}: {read:?}", read.node));
                }
            }
            _ => {}
        }
    }
    wrong
}

#[test]
fn the_checker_sees_what_is_wrong() {
    let start = Instant::now();
    let at = |millis: u64| start + Duration::from_millis(millis);
    let note = |begun, ended, what| Note { object: 0, node: 0, begun: at(begun), ended: at(ended), what };
    let of = |count| Counted { count, writer: 1 };
    let write = |count| Written { of: of(count), is_removal: false, lives: None };
    let (read, nothing) = (|count| Saying::Read(of(count)), Saying::ReadNothing);
    let good = [note(0, 5, Saying::Written(write(1))), note(4, 9, nothing), note(10, 12, read(1))];
    let with = |more: &[Note]| faults_of(&[&good[..], more].concat()).len();
    assert_eq!(faults_of(&[]), [""; 0]);
    assert_eq!(with(&[]), 0, "it began before that was answered");
    assert_eq!(with(&[note(11, 13, nothing)]), 1);
    let second = note(20, 22, Saying::Written(write(2)));
    assert_eq!(with(&[second.clone(), note(23, 24, read(1))]), 1);
    assert_eq!(with(&[second.clone(), note(21, 24, read(1))]), 0);
    let unknown = note(20, 30, Saying::MayBeWritten(write(2)));
    assert_eq!(with(&[unknown.clone(), note(21, 22, read(2)), note(23, 24, read(1))]), 1);
    assert_eq!(with(&[unknown, note(21, 22, read(1)), note(33, 34, read(1))]), 0);
    assert_eq!(with(&[note(20, 22, read(7))]), 1);
    // Removals.
    let removal = note(20, 22, Saying::Written(Written { is_removal: true, ..write(2) }));
    assert_eq!(with(&[removal.clone(), note(21, 23, nothing), note(21, 22, read(1)), note(24, 25, nothing)]), 0);
    assert_eq!(with(&[removal.clone(), note(24, 25, read(1))]), 1);
    assert_eq!(with(&[removal, note(26, 27, Saying::Written(write(3))), note(28, 29, nothing)]), 1);
    // What expires.
    let short = note(20, 22, Saying::Written(Written { lives: Some(Duration::from_secs(1)), ..write(2) }));
    assert_eq!(with(&[short.clone(), note(1_010, 1_030, nothing), note(1_000, 1_005, read(2))]), 0);
    assert_eq!(with(&[short.clone(), note(500, 510, nothing)]), 1);
    assert_eq!(with(&[short, note(1_500, 1_510, read(2))]), 1);
    // Two who were both told that they were the first.
    let other = Counted { count: 2, writer: 2 };
    let twice = note(21, 23, Saying::Written(Written { of: other, ..write(2) }));
    assert_eq!(with(&[second.clone(), twice]), 1);
    let refused = note(21, 23, Saying::MayBeWritten(Written { of: other, ..write(2) }));
    assert_eq!(with(&[second, refused, note(24, 25, Saying::Read(other))]), 1);
}
