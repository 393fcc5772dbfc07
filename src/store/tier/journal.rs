//! The index on disk, so that a start need not look at every object.
//!
//! A folder of logs, read in the order of their numbers; one line for each object that was written or removed. It is a copy: the truth
//! is what lies beside each object. So nothing here is synced, a line may be missing after a crash, and only a log that ends with
//! the mark of an orderly stop is believed without looking at the objects again. A log says in its first line which form it has (`=1`;
//! those of before that was written down have no such line), and one of a later form is left as it is: it may be needed again.
//!
//! Invariant: who holds the folder's lock is the only one who writes to it, or to the namespace's objects for tidiness' sake.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufRead as _, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use super::index::Slot;
use crate::model::clock::{Clock, WallTime};
use crate::model::id::Key;
use crate::model::kind::Kind;
use crate::store::folder_owner::FolderOwner;

/// The form of a log, and what its first line begins with.
const FORM: u64 = 1;
const FORM_SIGN: char = '=';
/// Begins a line that says what the wall clock showed when those before it were written, in milliseconds since 1970.
const CLOCK: &str = "@\t";
/// The last line of an orderly stop.
const END: &str = ".";
/// The first line of a log that replaces all before it.
const ANEW: &str = "!";
/// What becomes such a log when all of it is there.
const DRAFT: &str = "draft";

/// What a line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// The object is there.
    Written(Key, Slot),
    /// It is not there any more.
    Removed(Key),
}

/// The folder, held by this process.
#[derive(Debug)]
pub(super) struct Journal {
    folder: PathBuf,
    log: File,
    number: u64,
    /// Lines in all logs together, nearly.
    lines: u64,
    /// Logs that a later version wrote.
    later: Vec<u64>,
    /// What the wall clock showed when something was written last.
    wall: Option<WallTime>,
    /// Whose what is made here is to be.
    owner: FolderOwner,
    _lock: File,
}

/// The lines of changes, to be written when there is time.
#[derive(Debug, Default)]
pub(super) struct Lines {
    text: String,
    count: u64,
    wall: Option<WallTime>,
}

impl Lines {
    pub(super) fn written(&mut self, key: &Key, slot: &Slot, clock: &Clock) {
        let (length, modified) = (slot.length, slot.modified.millis());
        let expires = clock.wall_of_deadline(slot.modified, slot.expires).millis();
        // Keys have no control characters: a tab ends a field and a newline ends a line. Writing to a String can't fail.
        let _ = writeln!(self.text, "+\t{length}\t{modified}\t{expires}\t{}\t{key}", letter(slot.kind));
        self.wall = Some(clock.wall());
        self.count += 1;
    }

    pub(super) fn removed(&mut self, key: &Key) {
        let _ = writeln!(self.text, "-\t{key}");
        self.count += 1;
    }

    /// What is to be written.
    #[cfg(any(test, fuzzing))]
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }
}

fn letter(kind: Kind) -> char {
    match kind {
        Kind::Playlist => 'p',
        Kind::Manifest => 'm',
        Kind::Initialization => 'i',
        Kind::Segment => 's',
    }
}

/// Reads a line; `None` when it makes no sense.
pub(super) fn parse(line: &str, clock: &Clock) -> Option<Line> {
    let (sign, rest) = line.split_once('\t')?;
    match sign {
        "-" => Some(Line::Removed(Key::parse(rest).ok()?)),
        "+" => {
            let mut fields = rest.splitn(5, '\t');
            let mut number = || fields.next()?.parse::<u64>().ok();
            let (length, modified, expires) = (number()?, number()?, number()?);
            let kind = fields.next()?;
            let kind = Kind::ALL.into_iter().find(|known| kind.chars().eq([letter(*known)]))?;
            let key = Key::parse(fields.next()?).ok()?;
            let modified = WallTime::from_millis(modified);
            let expires = clock.deadline_of(modified, WallTime::from_millis(expires));
            Some(Line::Written(key, Slot { length, kind, modified, expires, version: 0, is_certain: false, is_own: false }))
        }
        _ => None,
    }
}

fn log_path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:012}.log"))
}

/// Begins a log.
fn open_log(folder: &Path, number: u64, owner: FolderOwner) -> io::Result<File> {
    let mut log = owner.make_file(&log_path(folder, number), OpenOptions::new().append(true))?;
    // A full disk is no reason to have no log: without this line it is of the first form.
    if writeln!(log, "{FORM_SIGN}{FORM}").is_err() {
        log.set_len(0)?;
    }
    Ok(log)
}

/// What a line says of the wall clock, if it is one that does.
fn clock_line(line: &str) -> Option<WallTime> {
    line.strip_prefix(CLOCK)?.parse().ok().map(WallTime::from_millis)
}

/// What a first line says of the form, if it is one that does.
fn form(line: &str) -> Option<u64> {
    line.strip_prefix(FORM_SIGN)?.parse().ok()
}

/// The logs' numbers, in their order.
fn logs(folder: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        numbers.extend(name.to_str().and_then(|name| name.strip_suffix(".log")).and_then(|name| name.parse::<u64>().ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

impl Journal {
    /// Takes hold of the folder, unless another process has it. Blocking, as everything here.
    pub(super) fn claim(folder: &Path) -> io::Result<Option<Self>> {
        let owner = FolderOwner::of(folder);
        owner.make_folders(folder, 0o700)?;
        let (path, mut options) = (folder.join("lock"), OpenOptions::new());
        let lock = match owner.make_file(&path, options.append(true)) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => options.create(true).open(&path),
            made => made,
        };
        let lock = lock?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            // Some file systems have no locks; who shares such a folder between processes is on their own.
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {}
            Err(TryLockError::Error(error)) => return Err(error),
        }
        let number = logs(folder)?.last().map_or(1, |last| last + 1);
        let log = open_log(folder, number, owner)?;
        Ok(Some(Self { folder: folder.to_owned(), log, number, lines: 0, later: Vec::new(), wall: None, owner, _lock: lock }))
    }

    /// Whether [`Journal::read`] has found a log of a later form.
    pub(super) fn has_later(&self) -> bool {
        !self.later.is_empty()
    }

    /// What the wall clock showed when the processes before wrote something last, as far as [`Journal::read`] has found.
    pub(super) fn last_wall(&self) -> Option<WallTime> {
        self.wall
    }

    /// Shows what the processes before wrote, in order. Says whether it is all: whether the last of them stopped in order, no line is
    /// damaged, and no log is in a later form that nothing after it replaces. What the disk can't read is damage.
    pub(super) fn read(&mut self, clock: &Clock, mut see: impl FnMut(Option<Line>)) -> io::Result<bool> {
        let (mut is_all, mut is_passed_over) = (false, false);
        for number in logs(&self.folder)?.into_iter().filter(|number| *number < self.number) {
            let Ok(log) = File::open(log_path(&self.folder, number)) else { return Ok(false) };
            let mut reader = BufReader::with_capacity(1 << 16, log);
            let (mut line, mut is_first) = (Vec::new(), true);
            // An empty log is that of a process that wrote nothing: what held before it holds no more, as it may have died.
            is_all = false;
            loop {
                match reader.read_until(b'\n', &mut line) {
                    Ok(0) => break,
                    Ok(_) => {}
                    Err(_) => return Ok(false),
                }
                let text = std::str::from_utf8(&line).ok().and_then(|line| line.strip_suffix('\n'));
                if std::mem::take(&mut is_first)
                    && let Some(form) = text.and_then(form)
                {
                    if form > FORM {
                        self.later.push(number);
                        is_passed_over = true;
                        break;
                    }
                    line.clear();
                    continue;
                }
                is_all = match text {
                    Some(END) => true,
                    Some(ANEW) => {
                        see(None);
                        is_passed_over = false;
                        false
                    }
                    Some(text) if let Some(wall) = clock_line(text) => {
                        self.wall = Some(wall);
                        false
                    }
                    Some(text) => {
                        let read = parse(text, clock);
                        let is_damaged = read.is_none();
                        self.lines += 1;
                        if !is_damaged {
                            see(read);
                        }
                        if is_damaged {
                            // Nothing after it is believed to be all, either.
                            return Ok(false);
                        }
                        false
                    }
                    None => return Ok(false),
                };
                line.clear();
            }
        }
        Ok(is_all && !is_passed_over)
    }

    /// Writes what has changed.
    pub(super) fn write(&mut self, lines: &Lines) -> io::Result<()> {
        self.lines += lines.count;
        let before = self.log.metadata()?.len();
        self.wall = lines.wall.or(self.wall);
        let clock = lines.wall.map(|wall| format!("{CLOCK}{}\n", wall.millis())).unwrap_or_default();
        let written = self.log.write_all([&*lines.text, &*clock].concat().as_bytes());
        if written.is_err() {
            // On a full disk half a line may be there: everything after it would be lost with it.
            let _ = self.log.set_len(before);
        }
        written
    }

    /// Says that nothing is missing. Nothing may be written after it.
    pub(super) fn end(&mut self) -> io::Result<()> {
        self.log.write_all(format!("{END}\n").as_bytes())
    }

    /// Whether so much of it is history that it should be written anew, when it describes so many objects.
    pub(super) fn is_long(&self, objects: usize) -> bool {
        self.lines > 10_000 + 3 * objects as u64
    }

    /// Begins a new log and makes one of all before it. The lines are merged from the files and not from the index, which would
    /// have to be held still for that long. Where that fails all is as it was, and it is not long again for a while.
    pub(super) fn compact(&mut self) -> io::Result<()> {
        let done = self.merge();
        if done.is_err() {
            // On a full disk it would take what little there is.
            let _ = fs::remove_file(self.folder.join(DRAFT));
            self.lines = 0;
        }
        done
    }

    fn merge(&mut self) -> io::Result<()> {
        let next = self.number + 1;
        let log = open_log(&self.folder, next, self.owner)?;
        let last = std::mem::replace(&mut self.number, next);
        self.log = log;
        let is_ours = |number: &u64| *number <= last && !self.later.contains(number);
        let older: Vec<u64> = logs(&self.folder)?.into_iter().filter(is_ours).collect();
        let (mut live, mut count): (HashMap<String, (u64, String), ahash::RandomState>, u64) = Default::default();
        for number in &older {
            for line in BufReader::new(File::open(log_path(&self.folder, *number))?).lines() {
                let line = match line {
                    Ok(line) => line,
                    Err(error) if error.kind() == io::ErrorKind::InvalidData => break,
                    // What the disk can't read now would be missing.
                    Err(error) => return Err(error),
                };
                let key = line.rsplit('\t').next().unwrap_or_default().to_owned();
                count += 1;
                match line.as_bytes().first() {
                    Some(b'+') => drop(live.insert(key, (count, line))),
                    Some(b'-') => drop(live.remove(&key)),
                    Some(b'!') => live.clear(),
                    _ => {}
                }
            }
        }
        let draft = self.folder.join(DRAFT);
        // What a rewrite that broke off has left.
        let _ = fs::remove_file(&draft);
        let mut writer = BufWriter::new(self.owner.make_file(&draft, OpenOptions::new().write(true))?);
        writeln!(writer, "{FORM_SIGN}{FORM}\n{ANEW}")?;
        // As they were written they are nearly in the orders that the next start makes of them.
        let mut lines: Vec<_> = live.into_values().collect();
        lines.sort_unstable();
        for (_, line) in &lines {
            writeln!(writer, "{line}")?;
        }
        if let Some(wall) = self.wall {
            writeln!(writer, "{CLOCK}{}", wall.millis())?;
        }
        writer.into_inner().map_err(io::IntoInnerError::into_error)?;
        self.lines = lines.len() as u64;
        fs::rename(&draft, log_path(&self.folder, last))?;
        for number in older.into_iter().filter(|number| *number != last) {
            fs::remove_file(log_path(&self.folder, number))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::*;
    use proptest::prelude::{any, prop, proptest};

    fn read(folder: &Path, clock: &Clock) -> (BTreeMap<Key, u64>, bool) {
        let mut journal = Journal::claim(folder).unwrap().expect("nobody holds it");
        let mut found = BTreeMap::new();
        let is_all = journal
            .read(clock, |line| match line {
                None => found.clear(),
                Some(Line::Written(key, slot)) => drop(found.insert(key, slot.length)),
                Some(Line::Removed(key)) => drop(found.remove(&key)),
            })
            .unwrap();
        (found, is_all)
    }

    fn slot(length: u64, clock: &Clock) -> Slot {
        let expires = clock.now() + Duration::from_secs(60);
        Slot { length, kind: Kind::Manifest, modified: clock.wall(), expires, version: 0, is_certain: false, is_own: false }
    }

    #[test]
    fn one_process_holds_it() {
        let folder = tempfile::tempdir().unwrap();
        let first = Journal::claim(folder.path()).unwrap();
        assert!(first.is_some());
        assert!(Journal::claim(folder.path()).unwrap().is_none());
        drop(first);
        assert!(Journal::claim(folder.path()).unwrap().is_some());
    }

    #[test]
    fn a_line_reads_back() {
        let clock = Clock::manual();
        clock.advance(Duration::from_secs(5));
        for key in ["a b/c.ts", "日本語", "+"] {
            let (key, mut lines) = (Key::parse(key).unwrap(), Lines::default());
            lines.written(&key, &slot(7, &clock), &clock);
            assert_eq!(parse(lines.text.trim_end_matches('\n'), &clock), Some(Line::Written(key, slot(7, &clock))));
        }
        for line in ["", "+", "+\t1\t2\t3\ts\t", "+\t1\t2\t3\tx\ta", "-\t", "*\ta", "+\t1\t2\ts\ta"] {
            assert_eq!(parse(line, &clock), None, "{line:?}");
        }
    }

    #[test]
    fn only_an_orderly_stop_is_believed() {
        let (folder, clock) = (tempfile::tempdir().unwrap(), Clock::manual());
        assert_eq!(read(folder.path(), &clock), (BTreeMap::new(), false), "nothing was ever written");
        let key = Key::parse("a").unwrap();
        let write = |end: bool| {
            let mut journal = Journal::claim(folder.path()).unwrap().unwrap();
            let mut lines = Lines::default();
            lines.written(&key, &slot(1, &clock), &clock);
            journal.write(&lines).unwrap();
            if end {
                journal.end().unwrap();
            }
            journal.number
        };
        write(true);
        assert_eq!(read(folder.path(), &clock), (BTreeMap::from([(key.clone(), 1)]), true));
        assert!(!read(folder.path(), &clock).1, "the process that read it has not stopped in order");
        write(true);
        write(false);
        assert!(!read(folder.path(), &clock).1);
        let last = write(true);
        let path = log_path(folder.path(), last);
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replace('+', "%")).unwrap();
        assert!(!read(folder.path(), &clock).1, "damage is seen");
    }

    #[test]
    fn a_log_of_a_later_form_is_left_alone_and_no_damage() {
        let (folder, clock) = (tempfile::tempdir().unwrap(), Clock::manual());
        let keys = ["a", "b", "c"].map(|name| Key::parse(name).unwrap());
        let line = |key: &Key| {
            let mut lines = Lines::default();
            lines.written(key, &slot(1, &clock), &clock);
            lines
        };
        // Without a first line, as it was once.
        fs::write(log_path(folder.path(), 1), format!("{}{END}\n", line(&keys[0]).text)).unwrap();
        assert_eq!(read(folder.path(), &clock), (BTreeMap::from([(keys[0].clone(), 1)]), true));
        let later = format!("=2\n+\tof another kind\n{}{END}\n", line(&keys[1]).text);
        let path = log_path(folder.path(), 7);
        fs::write(&path, &later).unwrap();
        let mut journal = Journal::claim(folder.path()).unwrap().unwrap();
        let mut found = Vec::new();
        assert!(!journal.read(&clock, |line| found.push(line)).unwrap(), "what it says is not known");
        assert!(journal.has_later() && found.len() == 1, "what is before it is shown: {found:?}");
        journal.write(&line(&keys[2])).unwrap();
        journal.end().unwrap();
        drop(journal);
        let both = BTreeMap::from([(keys[0].clone(), 1), (keys[2].clone(), 1)]);
        assert_eq!(read(folder.path(), &clock), (both.clone(), false), "nor at the start after that");
        let mut journal = Journal::claim(folder.path()).unwrap().unwrap();
        journal.read(&clock, |_| ()).unwrap();
        journal.compact().unwrap();
        journal.end().unwrap();
        drop(journal);
        assert_eq!(read(folder.path(), &clock), (both, true), "what was written anew replaces it");
        assert_eq!(fs::read_to_string(&path).unwrap(), later);
    }

    /// A folder where a log should be stands for a log that the disk can't read.
    #[test]
    fn a_log_that_cannot_be_read_is_damage_and_is_not_written_anew_without_it() {
        let (folder, clock) = (tempfile::tempdir().unwrap(), Clock::manual());
        fs::create_dir(log_path(folder.path(), 1)).unwrap();
        let key = Key::parse("a").unwrap();
        for _ in 0..2 {
            assert!(!read(folder.path(), &clock).1);
            let mut journal = Journal::claim(folder.path()).unwrap().unwrap();
            let mut lines = Lines::default();
            lines.written(&key, &slot(1, &clock), &clock);
            lines.count = 20_000;
            journal.write(&lines).unwrap();
            assert!(journal.is_long(1));
            journal.compact().unwrap_err();
            assert!(!journal.is_long(1), "it is not tried again at once");
            assert!(!folder.path().join(DRAFT).exists());
        }
        fs::remove_dir(log_path(folder.path(), 1)).unwrap();
        assert_eq!(read(folder.path(), &clock).0, BTreeMap::from([(key, 1)]), "nothing of it is lost");
    }

    proptest! {
        #[test]
        fn it_says_what_was_written_however_often_it_is_compacted(
            steps in prop::collection::vec((0u8..6, any::<bool>(), 0u64..100, 0u8..10), 0..60), cut in 0usize..60
        ) {
            let (folder, clock) = (tempfile::tempdir().unwrap(), Clock::manual());
            let mut journal = Journal::claim(folder.path()).unwrap().unwrap();
            let mut model = BTreeMap::new();
            for (n, (name, is_written, length, what)) in steps.into_iter().enumerate() {
                let (key, mut lines) = (Key::parse(&format!("k {name}")).unwrap(), Lines::default());
                if is_written {
                    lines.written(&key, &slot(length, &clock), &clock);
                    model.insert(key, length);
                } else {
                    lines.removed(&key);
                    model.remove(&key);
                }
                journal.write(&lines).unwrap();
                match what {
                    0 => journal.compact().unwrap(),
                    1 => {
                        drop(journal);
                        journal = Journal::claim(folder.path()).unwrap().unwrap();
                    }
                    _ => {}
                }
                if n == cut {
                    break;
                }
            }
            journal.end().unwrap();
            drop(journal);
            assert_eq!(read(folder.path(), &clock), (model, true));
        }
    }
}
