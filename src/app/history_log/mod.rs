//! Histories of playlists on disk, so that a restart does not end what can be looked back at.
//!
//! `history/<namespace>/<milliseconds>.jsonl`: a line for each segment when it is listed first, or for a playlist that was deleted.
//! Files are only ever appended to, each for an hour or [`FILE_BYTES`], and deleted when the last segment in them has outlived its
//! time to live: nothing is rewritten, so that a crash at any moment costs a torn last line, which is passed over. One thread reads
//! what there is at the start, and then writes; nobody waits for it. Not synced line by line: what the system has not written when the
//! power fails is lost.
//!
//! No file is longer than [`FILE_BYTES`], nor do those of a namespace take more than [`BYTES`]: a version with more to write than fits
//! goes on in the next file. Where nothing can be written, on a full disk, no file is begun, so that none of those that are there has to
//! make room for one; what could be written of a line is left behind, torn.

mod lines;

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::oneshot;

#[cfg(any(test, fuzzing))]
pub(crate) use self::lines::{read_back, written};

use self::lines::LoggedLines;
use crate::model::clock::{Clock, Moment};
use crate::model::id::{Key, Namespace};
use crate::origin::{HistoryLog, Listed, Origin};

/// A file is not longer; what comes then goes into another.
const FILE_BYTES: u64 = 8 << 20;
/// One that is older, in milliseconds, is followed by another.
const FILE_AGE: u64 = 3_600_000;
/// Bytes of the files of one namespace; more, and the oldest goes.
const BYTES: u64 = 256 << 20;
/// A file counts as this much at least, so that there are at most 16,384: a start every few minutes for as long as a segment may live.
const LEAST: u64 = 16 << 10;
/// Versions of playlists that wait to be written down, and segments of all of them.
const WAITING: usize = 4096;
const WAITING_SEGMENTS: usize = 400_000;
/// This much is written at once.
const AT_ONCE: usize = 256 << 10;
/// A namespace whose histories can't be written rests so long, and what it lists meanwhile is not written down.
const REST: Duration = Duration::from_secs(1);
/// How long a start waits for what was written down. What takes longer is read while the server serves: windows of the past wait for
/// it, and nothing else.
const PATIENCE: Duration = Duration::from_secs(1);

/// Brings back what is written in the folder, and has it written on from now. Returns when all of it is there, or after a second.
pub(super) async fn start(folder: PathBuf, origin: &Origin, clock: &Clock) -> anyhow::Result<()> {
    let mut writer = HistoryWriter::new(folder, clock.clone());
    let (sender, receiver) = sync_channel(WAITING);
    let waiting = Arc::new(AtomicUsize::new(0));
    origin.keep_histories(Arc::new(Pen { sender, waiting: Arc::clone(&waiting), in_trouble: AtomicBool::new(false) }));
    let (restored, is_restored) = oneshot::channel();
    let origin = origin.clone();
    let work = move || {
        writer.restore(&origin);
        origin.histories_restored();
        let _ = restored.send(());
        writer.run(&receiver, &waiting);
    };
    std::thread::Builder::new().name("history".to_owned()).spawn(work).context("can't start a thread")?;
    if tokio::time::timeout(PATIENCE, is_restored).await.is_err() {
        tracing::info!(
            "the playlists' histories are long, and still being read: windows of the past can be asked for when they are"
        );
    }
    Ok(())
}

/// What is to be written down: segments that were listed, or, without any, the playlist's end.
#[derive(Debug)]
struct LogEntry {
    namespace: Namespace,
    playlist: Key,
    listed: Vec<Arc<Listed>>,
}

/// Hands over what is to be written. The text of it is made by who writes it.
#[derive(Debug)]
struct Pen {
    sender: SyncSender<LogEntry>,
    /// Segments that wait.
    waiting: Arc<AtomicUsize>,
    in_trouble: AtomicBool,
}

impl Pen {
    fn write(&self, namespace: &Namespace, playlist: &Key, listed: Vec<Arc<Listed>>) {
        let count = listed.len();
        let is_room = self.waiting.fetch_add(count, Ordering::Relaxed) < WAITING_SEGMENTS;
        let note = LogEntry { namespace: namespace.clone(), playlist: playlist.clone(), listed };
        if is_room && self.sender.try_send(note).is_ok() {
            self.in_trouble.store(false, Ordering::Relaxed);
            return;
        }
        self.waiting.fetch_sub(count, Ordering::Relaxed);
        if !self.in_trouble.swap(true, Ordering::Relaxed) {
            tracing::warn!(%namespace, "the disk is too slow for the playlists' histories: after a restart a part of them is missing");
        }
    }
}

impl HistoryLog for Pen {
    fn listed(&self, namespace: &Namespace, playlist: &Key, segments: &[Arc<Listed>]) {
        self.write(namespace, playlist, segments.to_vec());
    }

    fn removed(&self, namespace: &Namespace, playlist: &Key) {
        self.write(namespace, playlist, Vec::new());
    }
}

/// The files of one namespace, oldest first; the last one is written to once it is open.
#[derive(Debug, Default)]
struct NamespaceLog {
    files: Vec<Page>,
    open: Option<OpenFile>,
    /// Nothing could be written to it, and nothing is tried until then.
    rests_until: Moment,
}

#[derive(Debug)]
struct OpenFile {
    file: File,
    /// It may end in the middle of a line.
    is_torn: bool,
}

#[derive(Debug)]
struct Page {
    path: PathBuf,
    begun: u64,
    /// When the last segment in it has outlived its time to live.
    until: u64,
    length: u64,
}

struct HistoryWriter {
    folder: PathBuf,
    clock: Clock,
    journals: HashMap<Namespace, NamespaceLog>,
    in_trouble: bool,
    /// How often a playlist has been begun.
    begun: u64,
}

impl HistoryWriter {
    fn new(folder: PathBuf, clock: Clock) -> Self {
        Self { folder, clock, journals: HashMap::new(), in_trouble: false, begun: 0 }
    }

    fn run(mut self, receiver: &Receiver<LogEntry>, waiting: &AtomicUsize) {
        // Ends with the server.
        while let Ok(note) = receiver.recv() {
            self.take(&note, waiting);
        }
    }

    fn take(&mut self, note: &LogEntry, waiting: &AtomicUsize) {
        waiting.fetch_sub(note.listed.len(), Ordering::Relaxed);
        let now = self.clock.now();
        if self.journals.get(&note.namespace).is_some_and(|journal| now < journal.rests_until) {
            return;
        }
        let Err(error) = self.write(note) else {
            self.in_trouble = false;
            return;
        };
        self.journals.entry(note.namespace.clone()).or_default().rests_until = now + REST;
        if !std::mem::replace(&mut self.in_trouble, true) {
            let (error, folder) = (error.to_string(), self.folder.display().to_string());
            tracing::warn!(
                error,
                folder,
                "can't write the playlists' histories: what is listed until that can be done again is missing after a restart"
            );
        }
    }

    fn write(&mut self, note: &LogEntry) -> io::Result<()> {
        let now = self.clock.wall().millis();
        let folder = self.folder.join(note.namespace.as_str());
        let journal = self.journals.entry(note.namespace.clone()).or_default();
        if journal.files.last().is_some_and(|page| now.saturating_sub(page.begun) >= FILE_AGE) {
            journal.open = None;
        }
        if note.listed.is_empty() {
            let text = lines::removed(&note.playlist);
            if !journal.has_room(text.len()) {
                journal.begin(&folder, now)?;
            }
            return journal.append(&text, 0);
        }
        let mut begin = || {
            self.begun += 1;
            LoggedLines::new(&note.playlist, self.begun)
        };
        let (mut lines, mut text, mut until) = (begin(), Vec::new(), 0);
        for listed in &note.listed {
            let mut next = lines.of(listed);
            if !journal.has_room(text.len() + next.len()) {
                if !text.is_empty() {
                    journal.append(&text, until)?;
                    text.clear();
                }
                journal.begin(&folder, now)?;
                // In another file nothing can refer to this one.
                lines = begin();
                next = lines.of(listed);
            }
            text.append(&mut next);
            until = until.max(listed.until.millis());
            if text.len() >= AT_ONCE {
                journal.append(&text, until)?;
                text.clear();
            }
        }
        journal.append(&text, until)
    }

    /// Reads what is written of all namespaces, and hands it over.
    fn restore(&mut self, origin: &Origin) {
        let mut unread = Unread::default();
        for path in unread.unless(&self.folder, folder(&self.folder)).unwrap_or_default() {
            let name = path.file_name().and_then(|name| name.to_str());
            if let Some(name) = name.and_then(|name| Namespace::parse(name).ok()) {
                self.restore_one(&name, origin, &mut unread);
            }
        }
        unread.tell();
    }

    fn restore_one(&mut self, name: &Namespace, origin: &Origin, unread: &mut Unread) {
        let now = self.clock.wall().millis();
        let (mut journal, mut histories) = (NamespaceLog::default(), HashMap::new());
        let at = self.folder.join(name.as_str());
        for path in unread.unless(&at, folder(&at)).unwrap_or_default() {
            let stem = path.file_stem().and_then(|stem| stem.to_str());
            let Some(begun) = stem.and_then(|stem| stem.parse().ok()) else { continue };
            let written = File::open(&path).and_then(|file| lines::read(BufReader::new(file), now, &mut histories));
            // What is needed of one that can't be read is not known. It is one of those that are there all the same.
            let until = unread.unless(&path, written).map_or(u64::MAX, |written| {
                unread.later += usize::from(written.is_later);
                written.until
            });
            let length = path.metadata().map_or(0, |metadata| metadata.len());
            journal.files.push(Page { path, begun, until, length });
        }
        journal.tidy(now);
        self.journals.insert(name.clone(), journal);
        for (playlist, listed) in histories {
            origin.restore_history(name, &playlist, listed);
        }
    }
}

/// What was not read.
#[derive(Debug, Default)]
struct Unread {
    /// Files and folders that can't be, and the first of them with the reason.
    count: usize,
    first: Option<(PathBuf, io::Error)>,
    /// Files that a later version wrote.
    later: usize,
}

impl Unread {
    /// What was read there, unless it can't be: that is noted, and the others are read.
    fn unless<T>(&mut self, path: &Path, read: io::Result<T>) -> Option<T> {
        let error = match read {
            Ok(read) => return Some(read),
            Err(error) => error,
        };
        self.count += 1;
        self.first.get_or_insert_with(|| (path.to_owned(), error));
        None
    }

    fn tell(&self) {
        if let Some((path, error)) = &self.first {
            let (path, error) = (path.display().to_string(), error.to_string());
            tracing::warn!(
                error,
                path,
                count = self.count,
                "can't read all of the playlists' histories: what is written there can't be looked back at. Make it readable and \
                 restart, or take it away"
            );
        }
        if self.later > 0 {
            tracing::warn!(
                files = self.later,
                "histories of playlists were written by a later version of Springhead: they are left as they are, and what they list \
                 can't be looked back at with this one"
            );
        }
    }
}

impl NamespaceLog {
    /// Whether this much more can be written to the file that is open.
    fn has_room(&self, more: usize) -> bool {
        self.open.is_some() && self.files.last().is_some_and(|page| page.length + more as u64 <= FILE_BYTES)
    }

    /// Begins the next file.
    fn begin(&mut self, folder: &Path, now: u64) -> io::Result<()> {
        self.begin_by(folder, now, |path| OpenOptions::new().append(true).create_new(true).mode(0o600).open(path))
    }

    /// The same by whom it is made.
    fn begin_by(&mut self, folder: &Path, now: u64, make: impl FnOnce(&Path) -> io::Result<File>) -> io::Result<()> {
        self.open = None;
        self.tidy(now);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        // Later than all before it, whatever the clock says.
        let begun = self.files.last().map_or(now, |last| now.max(last.begun + 1));
        let path = folder.join(format!("{begun:013}.jsonl"));
        let mut file = make(&path)?;
        let first = lines::first();
        if let Err(error) = file.write_all(&first) {
            // A disk that is full has room for names. One more of them each time would soon be all that is kept.
            let _ = fs::remove_file(&path);
            return Err(error);
        }
        self.files.push(Page { path, begun, until: 0, length: first.len() as u64 });
        self.open = Some(OpenFile { file, is_torn: false });
        Ok(())
    }

    /// Writes to the file that is open. `until`: when the last segment in the text has outlived its time to live.
    fn append(&mut self, text: &[u8], until: u64) -> io::Result<()> {
        if let (Some(open), Some(page)) = (&mut self.open, self.files.last_mut()) {
            // Of what fails a part may have been written.
            page.until = page.until.max(until);
            page.length += text.len() as u64;
            if open.is_torn {
                open.file.write_all(b"\n")?;
            }
            open.is_torn = true;
            open.file.write_all(text)?;
            open.is_torn = false;
        }
        Ok(())
    }

    /// Deletes the oldest files, as long as nothing is needed of them or there is no room for another one. Never one before those that are older: it may say of their
    /// playlists that they are gone.
    fn tidy(&mut self, now: u64) {
        let counted = |page: &Page| page.length.max(LEAST);
        let mut bytes = self.files.iter().map(counted).fold(FILE_BYTES, u64::saturating_add);
        let needed = |page: &Page| {
            let needed = bytes <= BYTES && page.until > now;
            bytes = bytes.saturating_sub(counted(page));
            needed
        };
        let old = self.files.iter().position(needed).unwrap_or(self.files.len());
        for page in self.files.drain(..old) {
            // One that stays is read once more, and tried again after the next start.
            let _ = fs::remove_file(&page.path);
        }
    }
}

/// What is in a folder, in the order of names; nothing when there is none.
fn folder(path: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    match fs::read_dir(path) {
        Ok(entries) => {
            for entry in entries {
                paths.push(entry?.path());
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    paths.sort();
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hls::history::FoundOut;
    use crate::hls::playlist::ByteRange;
    use crate::metrics::Metrics;
    use crate::model::clock::WallTime;
    use crate::origin::policy::NamespacePolicy;

    fn listed(sequence: u64, until: u64) -> Listed {
        Listed {
            number: sequence,
            sequence,
            discontinuities: 3,
            uri: format!("{sequence}.ts").into(),
            duration: Duration::from_micros(2_002_000),
            at: WallTime::from_millis(1_000_000),
            dated: true,
            counted: true,
            discontinuity: true,
            map: Some(Arc::from("URI=\"i.mp4\"")),
            clear_map: true,
            keys: Some(["METHOD=AES-128,URI=\"k\"", "METHOD=SAMPLE-AES,URI=\"l\""].map(Arc::from).into()),
            range: Some(ByteRange { start: 1, length: 2 }),
            until: WallTime::from_millis(until),
            heard: None,
            lost: false,
            target: 3,
            tags: Some(["#EXT-X-CUE-OUT:30"].map(Arc::from).into()),
            found_out: FoundOut::default(),
        }
    }

    fn files(folder: &Path) -> Vec<PathBuf> {
        super::folder(&folder.join("live")).unwrap()
    }

    fn read(paths: &[PathBuf], now: u64) -> (HashMap<Key, Vec<Listed>>, u64) {
        let (mut histories, mut until) = (HashMap::new(), 0);
        for path in paths {
            until = until.max(lines::read(BufReader::new(File::open(path).unwrap()), now, &mut histories).unwrap().until);
        }
        (histories, until)
    }

    struct Bench {
        folder: tempfile::TempDir,
        clock: Clock,
        namespace: Namespace,
        key: Key,
    }

    fn bench() -> Bench {
        let (namespace, key) = (Namespace::parse("live").unwrap(), Key::parse("a/p.m3u8").unwrap());
        Bench { folder: tempfile::tempdir().unwrap(), clock: Clock::manual(), namespace, key }
    }

    impl Bench {
        fn write(&self, notes: impl FnOnce(&Pen)) {
            let (sender, receiver) = sync_channel(9);
            let waiting = Arc::new(AtomicUsize::new(0));
            let pen = Pen { sender, waiting: Arc::clone(&waiting), in_trouble: AtomicBool::new(false) };
            notes(&pen);
            drop(pen);
            HistoryWriter::new(self.folder.path().to_owned(), self.clock.clone()).run(&receiver, &waiting);
            assert_eq!(waiting.load(Ordering::Relaxed), 0);
        }
    }

    #[test]
    fn what_is_written_is_read_and_what_is_torn_is_passed_over() {
        let bench = bench();
        let (namespace, key, now) = (&bench.namespace, &bench.key, bench.clock.wall().millis());
        bench.write(|pen| {
            pen.listed(namespace, key, &[Arc::new(listed(1, now + 5000)), Arc::new(listed(2, now + 9000))]);
            pen.removed(namespace, &Key::parse("b.m3u8").unwrap());
            pen.listed(namespace, key, &[Arc::new(listed(3, now + 9000))]);
        });
        let paths = files(bench.folder.path());
        let [path] = &paths[..] else { panic!("one file") };
        let torn = fs::read_to_string(path).unwrap() + "{\"of\":2,\"segment\":{\"numb";
        fs::write(path, torn).unwrap();
        let (mut histories, until) = read(&paths, now + 6000);
        assert_eq!(until, now + 9000);
        assert_eq!(histories.remove(key), Some(vec![listed(2, now + 9000), listed(3, now + 9000)]));
        let mut journal = NamespaceLog {
            files: vec![Page { path: path.clone(), begun: 1, until: now + 9000, length: 9 }],
            ..NamespaceLog::default()
        };
        journal.tidy(now + 8999);
        assert!(path.exists());
        journal.tidy(now + 9000);
        assert!(!path.exists(), "nothing in it is needed");
    }

    #[test]
    fn all_is_kept_until_its_time_is_over_or_there_is_too_much_of_it() {
        let bench = bench();
        let (namespace, key, begun) = (&bench.namespace, &bench.key, bench.clock.wall().millis());
        let day = 86_400_000;
        let mut writer = HistoryWriter::new(bench.folder.path().to_owned(), bench.clock.clone());
        for hour in 0..40 {
            let listed = vec![Arc::new(listed(hour, begun + 14 * day))];
            writer.write(&LogEntry { namespace: namespace.clone(), playlist: key.clone(), listed }).unwrap();
            bench.clock.advance(Duration::from_secs(3600));
        }
        let paths = files(bench.folder.path());
        assert_eq!(read(&paths, bench.clock.wall().millis()).0[key].len(), 40);
        let page =
            |number: u64, length: u64| Page { path: format!("none/{number}").into(), begun: number, until: begun + day, length };
        for (length, kept) in [(FILE_BYTES, 31), (1, 16_384 - 512)] {
            let files = (0..20_000).map(|number| page(number, length)).collect();
            let mut journal = NamespaceLog { files, ..NamespaceLog::default() };
            journal.tidy(begun);
            assert_eq!(journal.files.len(), kept, "256 MiB with the one that is to come");
            assert_eq!(journal.files.last().map(|page| page.begun), Some(19_999));
        }
    }

    #[tokio::test]
    async fn what_cannot_be_read_keeps_nothing_else_from_being_read() {
        let bench = bench();
        let (key, until) = (&bench.key, bench.clock.wall().millis() + 90_000);
        let [a, b] = ["a", "b"].map(|name| Namespace::parse(name).unwrap());
        bench.write(|pen| {
            pen.listed(&a, key, &[Arc::new(listed(1, until))]);
            pen.listed(&b, key, &[Arc::new(listed(2, until))]);
        });
        let folder = bench.folder.path();
        let (first, stray) = (folder.join("a/0.jsonl"), folder.join("0.tgz"));
        fs::create_dir(&first).unwrap();
        fs::write(&stray, "").unwrap();
        let rules = [&a, &b].map(|name| (name.clone(), NamespacePolicy::default()));
        let origin = Origin::new(rules, 1 << 30, bench.clock.clone(), &Arc::new(Metrics::new()));
        let mut writer = HistoryWriter::new(folder.to_owned(), bench.clock.clone());
        let mut unread = Unread::default();
        for name in [&Namespace::parse("0.tgz").unwrap(), &a, &b] {
            writer.restore_one(name, &origin, &mut unread);
        }
        let (path, _) = unread.first.unwrap();
        assert_eq!((unread.count, path), (2, stray));
        assert_eq!(writer.journals[&a].files.len(), 2, "it counts, and goes when it is the oldest of too much");
        assert_eq!(writer.journals[&b].files.len(), 1);
    }

    #[test]
    fn a_full_disk_takes_nothing_of_what_is_kept() {
        let bench = bench();
        let (folder, now) = (bench.folder.path().join("live"), bench.clock.wall().millis());
        fs::create_dir(&folder).unwrap();
        let full = || OpenOptions::new().write(true).open("/dev/full");
        let mut journal = NamespaceLog::default();
        for begun in 0..31 {
            let path = folder.join(format!("{begun:013}.jsonl"));
            fs::write(&path, "kept").unwrap();
            journal.files.push(Page { path, begun, until: now + 9000, length: 4 });
        }
        let kept = files(bench.folder.path());
        for _ in 0..100 {
            let begun = journal.begin_by(&folder, now, |path| File::create_new(path).and_then(|_| full()));
            assert!(begun.is_err() && journal.open.is_none());
        }
        assert_eq!(files(bench.folder.path()), kept, "none has gone, none has come");
        // What was begun before is gone on with when there is room, whatever of a line was written.
        journal.begin(&folder, now).unwrap();
        let mut lines = LoggedLines::new(&bench.key, 1);
        let text = lines.of(&listed(1, now + 9000));
        let mut open = journal.open.take().unwrap();
        open.file.write_all(&text[..text.len() - 9]).unwrap();
        let file = std::mem::replace(&mut open.file, full().unwrap());
        journal.open = Some(open);
        assert!(journal.append(&text, now + 9000).is_err());
        journal.open.as_mut().unwrap().file = file;
        journal.append(&LoggedLines::new(&bench.key, 2).of(&listed(2, now + 9000)), now + 9000).unwrap();
        let (mut histories, _) = read(&files(bench.folder.path())[31..], now);
        assert_eq!(histories.remove(&bench.key), Some(vec![listed(2, now + 9000)]));
    }

    #[test]
    fn what_cannot_be_written_is_not_tried_again_at_once() {
        let bench = bench();
        let (namespace, key, now) = (&bench.namespace, &bench.key, bench.clock.wall().millis());
        let in_the_way = bench.folder.path().join("live");
        fs::write(&in_the_way, "").unwrap();
        let (sender, receiver) = sync_channel(9);
        let waiting = Arc::new(AtomicUsize::new(0));
        let pen = Pen { sender, waiting: Arc::clone(&waiting), in_trouble: AtomicBool::new(false) };
        let (folder, clock) = (bench.folder.path().to_owned(), bench.clock.clone());
        let mut writer = HistoryWriter::new(folder, clock);
        let mut write = |number: u64| {
            pen.listed(namespace, key, &[Arc::new(listed(number, now + 90_000))]);
            writer.take(&receiver.recv().unwrap(), &waiting);
        };
        write(1);
        fs::remove_file(&in_the_way).unwrap();
        write(2);
        assert!(!in_the_way.exists(), "it rests");
        bench.clock.advance(REST);
        write(3);
        let (mut histories, _) = read(&files(bench.folder.path()), now);
        assert_eq!(histories.remove(key), Some(vec![listed(3, now + 90_000)]));
    }

    #[test]
    fn what_was_written_by_the_version_before_is_read_and_what_a_later_one_wrote_is_left() {
        let bench = bench();
        let now = bench.clock.wall().millis();
        let segment = |number: u64| {
            format!(
                "{{\"playlist\":\"a/p.m3u8\",\"segment\":{{\"number\":{number},\"sequence\":{number},\"discontinuities\":3,\"uri\":\"{number}.ts\",\
                 \"duration\":2002000,\"at\":1000000,\"until\":{},\"dated\":true,\"discontinuity\":true,\"clear_map\":true,\
                 \"map\":\"URI=\\\"i.mp4\\\"\",\"keys\":\"METHOD=AES-128,URI=\\\"k\\\"\\nMETHOD=SAMPLE-AES,URI=\\\"l\\\"\",\"range\":[1,2]}}}}\n",
                now + 9000
            )
        };
        let read = |text: String| {
            let mut histories = HashMap::new();
            let written = lines::read(text.as_bytes(), now, &mut histories).unwrap();
            (histories.remove(&bench.key).unwrap_or_default(), written)
        };
        let end = "{\"playlist\":\"a/p.m3u8\"}\n";
        let listed = |number| Listed { counted: false, target: 0, tags: None, ..listed(number, now + 9000) };
        assert_eq!(read(segment(1) + &segment(2)).0, [listed(1), listed(2)]);
        assert_eq!(read(segment(1) + end + &segment(2)).0, [listed(2)]);
        let (none, written) = read("{\"format\":3}\n".to_owned() + &segment(1));
        assert!(none.is_empty() && written.is_later && written.until == u64::MAX, "it is never thought to be needed no more");
    }

    #[test]
    fn texts_in_force_are_written_once_and_no_file_is_longer_than_it_may_be() {
        let bench = bench();
        let (namespace, now) = (&bench.namespace, bench.clock.wall().millis());
        let name = Key::parse(&"n".repeat(900)).unwrap();
        let long: Vec<Arc<str>> = (0..6).map(|key| Arc::from(format!("{key}{}", "y".repeat(500)))).collect();
        let all: Vec<_> = (0..60_000_u64)
            .map(|number| {
                let own = Arc::from(format!("METHOD=SAMPLE-AES,URI=\"{number}\""));
                let keys = long.iter().cloned().chain([own]).collect();
                Arc::new(Listed { keys: Some(keys), tags: None, ..listed(number, now + 9000) })
            })
            .collect();
        bench.write(|pen| pen.listed(namespace, &name, &all));
        let paths = files(bench.folder.path());
        let lengths: Vec<u64> = paths.iter().map(|path| path.metadata().unwrap().len()).collect();
        assert!(lengths.len() > 1 && lengths.iter().all(|length| *length <= FILE_BYTES), "{lengths:?}");
        assert!(lengths.iter().sum::<u64>() < 400 * 60_000, "{lengths:?}: what is written is in proportion to what changes");
        let (histories, _) = read(&paths, now);
        assert!(histories[&name].iter().eq(all.iter().map(|listed| &**listed)), "each file can be read by itself");
    }
}
