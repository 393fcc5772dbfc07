//! Histories of playlists on disk, so that a restart does not end what can be looked back at.
//!
//! `history/<namespace>/<milliseconds>.jsonl`: a line for each segment when it is listed first, or for a playlist that was deleted.
//! Files are only ever appended to, each for an hour or [`files::FILE_BYTES`], and deleted when the last segment in them has outlived its
//! time to live: nothing is rewritten, so that a crash at any moment costs a torn last line, which is passed over. One thread reads
//! what there is at the start, and then writes; nobody waits for it. Not synced line by line: what the system has not written when the
//! power fails is lost. A namespace that comes while the server runs has its own read then.
//!
//! No file is longer than that, nor do those of a namespace take more than 256 MiB: a version with more to write than fits
//! goes on in the next file. Where nothing can be written, on a full disk, no file is begun, so that none of those that are there has to
//! make room for one; what could be written of a line is left behind, torn.

mod files;
mod lines;

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use anyhow::Context as _;
use parking_lot::Mutex;
use tokio::sync::oneshot;

#[cfg(any(test, fuzzing))]
pub(crate) use self::lines::{read_back, written};

use self::files::{NamespaceLog, Page, folder};
use self::lines::LoggedLines;
use crate::metrics::Metrics;
use crate::model::clock::Clock;
use crate::model::id::{Key, Namespace};
use crate::model::seldom::Seldom;
use crate::origin::{HistoryLog, Listed, Origin};

/// One that is older, in milliseconds, is followed by another.
const FILE_AGE: u64 = 3_600_000;
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

/// Brings back what is written in the folder, and has it written on from now. Returns when all of it is there, or after a second; what it returns
/// ends with who writes.
pub(super) async fn start(
    folder: PathBuf,
    origin: &Origin,
    clock: &Clock,
    metrics: &Arc<Metrics>,
) -> anyhow::Result<oneshot::Receiver<()>> {
    let mut writer = HistoryWriter::new(folder, clock.clone(), Arc::clone(metrics));
    let (sender, receiver) = sync_channel(WAITING);
    let waiting = Arc::new(AtomicUsize::new(0));
    let namespaces = origin.keep_histories(Arc::new(Pen::new(sender, &waiting, clock.clone(), Arc::clone(metrics))));
    let (restored, is_restored) = oneshot::channel();
    let (alive, ended) = oneshot::channel();
    let origin = origin.clone();
    let work = move || {
        let _alive: oneshot::Sender<()> = alive;
        writer.restore(&origin);
        for name in &namespaces {
            origin.history_restored(name);
        }
        let _ = restored.send(());
        writer.run(&receiver, &waiting, |writer, opened| writer.reopen(&opened, &origin));
    };
    std::thread::Builder::new().name("history".to_owned()).spawn(work).context("can't start a thread")?;
    if tokio::time::timeout(PATIENCE, is_restored).await.is_err() {
        tracing::info!(
            "the playlists' histories are long, and still being read: windows of the past can be asked for when they are"
        );
    }
    Ok(ended)
}

/// What is to be done, in this order.
#[derive(Debug)]
enum LogErrand {
    Write(LogEntry),
    /// A namespace has come: what was written of one of this name is read.
    Read(Namespace),
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
    sender: SyncSender<LogErrand>,
    /// Segments that wait.
    waiting: Arc<AtomicUsize>,
    clock: Clock,
    metrics: Arc<Metrics>,
    /// Of each namespace of which something was left out, what was told.
    left_out: Mutex<HashMap<Namespace, Seldom>>,
}

impl Pen {
    fn new(sender: SyncSender<LogErrand>, waiting: &Arc<AtomicUsize>, clock: Clock, metrics: Arc<Metrics>) -> Self {
        Self { sender, waiting: Arc::clone(waiting), clock, metrics, left_out: Mutex::default() }
    }

    fn write(&self, namespace: &Namespace, playlist: &Key, listed: Vec<Arc<Listed>>) {
        let count = listed.len();
        let is_room = self.waiting.fetch_add(count, Ordering::Relaxed) < WAITING_SEGMENTS;
        let note = LogEntry { namespace: namespace.clone(), playlist: playlist.clone(), listed };
        if is_room && self.sender.try_send(LogErrand::Write(note)).is_ok() {
            return;
        }
        self.waiting.fetch_sub(count, Ordering::Relaxed);
        if let Some(versions) = self.left_out(namespace) {
            tracing::warn!(
                %namespace,
                versions,
                "the disk is too slow for the playlists' histories: after a restart a part of them is missing"
            );
        }
    }

    /// One version is not written down; how many a line is to tell of now.
    fn left_out(&self, namespace: &Namespace) -> Option<u64> {
        self.metrics.housekeeping.histories_dropped.inc();
        self.left_out.lock().entry(namespace.clone()).or_default().once_more(self.clock.now())
    }
}

impl HistoryLog for Pen {
    fn listed(&self, namespace: &Namespace, playlist: &Key, segments: &[Arc<Listed>]) {
        self.write(namespace, playlist, segments.to_vec());
    }

    fn removed(&self, namespace: &Namespace, playlist: &Key) {
        self.write(namespace, playlist, Vec::new());
    }

    fn opened(&self, namespace: &Namespace) -> bool {
        let is_taken = self.sender.try_send(LogErrand::Read(namespace.clone())).is_ok();
        if !is_taken {
            tracing::warn!(%namespace, "the disk is too slow for the playlists' histories: what is written of this namespace is read at the next start");
        }
        is_taken
    }
}

struct HistoryWriter {
    folder: PathBuf,
    clock: Clock,
    metrics: Arc<Metrics>,
    journals: HashMap<Namespace, NamespaceLog>,
    /// How often a playlist has been begun.
    begun: u64,
}

impl HistoryWriter {
    fn new(folder: PathBuf, clock: Clock, metrics: Arc<Metrics>) -> Self {
        Self { folder, clock, metrics, journals: HashMap::new(), begun: 0 }
    }

    /// `read`: what is to be done for a namespace that has come.
    fn run(mut self, receiver: &Receiver<LogErrand>, waiting: &AtomicUsize, read: impl Fn(&mut Self, Namespace)) {
        // Ends with the server.
        while let Ok(errand) = receiver.recv() {
            match errand {
                LogErrand::Write(note) => self.take(&note, waiting),
                LogErrand::Read(namespace) => read(&mut self, namespace),
            }
        }
    }

    fn take(&mut self, note: &LogEntry, waiting: &AtomicUsize) {
        waiting.fetch_sub(note.listed.len(), Ordering::Relaxed);
        if let Some((versions, error)) = self.write_or_rest(note) {
            let (error, folder) = (error.to_string(), self.folder.display().to_string());
            tracing::warn!(
                namespace = %note.namespace,
                error,
                folder,
                versions,
                "can't write the playlists' histories: what is listed until that can be done again is missing after a restart"
            );
        }
    }

    /// Writes it, unless its namespace rests. What a line is to tell now, where that can't be done: how many versions are not written, and why.
    fn write_or_rest(&mut self, note: &LogEntry) -> Option<(u64, io::Error)> {
        let now = self.clock.now();
        let rests = self.journals.get(&note.namespace).is_some_and(|journal| now < journal.rests_until);
        let error = if rests { None } else { Some(self.write(note).err()?) };
        self.metrics.housekeeping.histories_dropped.inc();
        let journal = self.journals.entry(note.namespace.clone()).or_default();
        journal.left_out.count();
        let error = error?;
        journal.rests_until = now + REST;
        Some((journal.left_out.take(now)?, error))
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
        let mut unread = UnreadHistories::default();
        for path in unread.unless(&self.folder, folder(&self.folder)).unwrap_or_default() {
            let name = path.file_name().and_then(|name| name.to_str());
            if let Some(name) = name.and_then(|name| Namespace::parse(name).ok()) {
                self.restore_one(&name, origin, &mut unread);
            }
        }
        unread.tell();
    }

    /// The same of a namespace that has come while the server runs.
    fn reopen(&mut self, name: &Namespace, origin: &Origin) {
        let mut unread = UnreadHistories::default();
        self.restore_one(name, origin, &mut unread);
        unread.tell();
        origin.history_restored(name);
    }

    fn restore_one(&mut self, name: &Namespace, origin: &Origin, unread: &mut UnreadHistories) {
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
struct UnreadHistories {
    /// Files and folders that can't be, and the first of them with the reason.
    count: usize,
    first: Option<(PathBuf, io::Error)>,
    /// Files that a later version wrote.
    later: usize,
}

impl UnreadHistories {
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

#[cfg(test)]
mod tests {
    use std::fs::{self, OpenOptions};
    use std::io::Write as _;

    use super::files::FILE_BYTES;
    use super::*;
    use crate::hls::history::FoundOut;
    use crate::hls::playlist::ByteRange;
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
            let pen = Pen::new(sender, &waiting, self.clock.clone(), Arc::default());
            notes(&pen);
            drop(pen);
            HistoryWriter::new(self.folder.path().to_owned(), self.clock.clone(), Arc::default()).run(
                &receiver,
                &waiting,
                |_, _| {},
            );
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
        let mut writer = HistoryWriter::new(bench.folder.path().to_owned(), bench.clock.clone(), Arc::default());
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
        let mut writer = HistoryWriter::new(folder.to_owned(), bench.clock.clone(), Arc::default());
        let mut unread = UnreadHistories::default();
        for name in [&Namespace::parse("0.tgz").unwrap(), &a, &b] {
            writer.restore_one(name, &origin, &mut unread);
        }
        let (path, _) = unread.first.unwrap();
        assert_eq!((unread.count, path), (2, stray));
        assert_eq!(writer.journals[&a].files.len(), 2, "it counts, and goes when it is the oldest of too much");
        assert_eq!(writer.journals[&b].files.len(), 1);
    }

    #[tokio::test]
    async fn a_namespace_that_comes_back_has_its_past() {
        let bench = bench();
        let (key, until) = (&bench.key, bench.clock.wall().millis() + 90_000);
        let name = &bench.namespace;
        let rules = || [(name.clone(), NamespacePolicy::default())];
        let origin = Origin::new(rules(), 1 << 30, bench.clock.clone(), &Arc::new(Metrics::new()));
        let (sender, receiver) = sync_channel(9);
        let pen = Pen::new(sender, &Arc::default(), bench.clock.clone(), Arc::default());
        assert_eq!(origin.keep_histories(Arc::new(pen)), std::slice::from_ref(name));
        origin.history_restored(name);
        let mut writer = HistoryWriter::new(bench.folder.path().to_owned(), bench.clock.clone(), Arc::default());
        let listed = vec![Arc::new(listed(1, until))];
        writer.write(&LogEntry { namespace: name.clone(), playlist: key.clone(), listed }).unwrap();
        origin.configure([], 1 << 30);
        assert!(receiver.try_recv().is_err());
        origin.configure(rules(), 1 << 30);
        let Ok(LogErrand::Read(asked)) = receiver.try_recv() else { panic!("it is to be read") };
        assert_eq!((&asked, origin.remembers(name, key)), (name, None), "windows wait for it");
        writer.reopen(&asked, &origin);
        assert_eq!(origin.remembers(name, key), Some(1));
        assert!(receiver.try_recv().is_err(), "and is not written once more");
        origin.configure(rules(), 1 << 30);
        assert!(receiver.try_recv().is_err(), "one that stays has it");
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
        let pen = Pen::new(sender, &waiting, bench.clock.clone(), Arc::default());
        let (folder, clock) = (bench.folder.path().to_owned(), bench.clock.clone());
        let mut writer = HistoryWriter::new(folder, clock, Arc::default());
        let mut write = |number: u64| {
            pen.listed(namespace, key, &[Arc::new(listed(number, now + 90_000))]);
            let LogErrand::Write(note) = receiver.recv().unwrap() else { panic!("it is written") };
            writer.take(&note, &waiting);
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
    fn what_is_left_out_is_told_once_in_a_while_for_each_namespace_and_counted() {
        let bench = bench();
        let (clock, metrics) = (&bench.clock, Arc::new(Metrics::new()));
        let [bad, worse, good] = ["bad", "worse", "good"].map(|name| Namespace::parse(name).unwrap());
        for name in [&bad, &worse] {
            fs::write(bench.folder.path().join(name.as_str()), "in the way").unwrap();
        }
        let mut writer = HistoryWriter::new(bench.folder.path().to_owned(), clock.clone(), Arc::clone(&metrics));
        let mut told = |seconds: u64| {
            let mut told = Vec::new();
            for number in 0..seconds {
                for namespace in [&bad, &good, &worse] {
                    let listed = vec![Arc::new(listed(number, u64::MAX))];
                    let note = LogEntry { namespace: namespace.clone(), playlist: bench.key.clone(), listed };
                    told.extend(writer.write_or_rest(&note).map(|(versions, _)| (namespace.as_str(), versions)));
                }
                clock.advance(Duration::from_secs(1));
            }
            told
        };
        assert_eq!(told(30), [("bad", 1), ("worse", 1)]);
        assert_eq!(told(1), [("bad", 30), ("worse", 30)]);
        assert_eq!(metrics.housekeeping.histories_dropped.get(), 62);
        // A queue that has room for one at a time.
        let (sender, receiver) = sync_channel(1);
        let pen = Pen::new(sender, &Arc::default(), clock.clone(), Arc::clone(&metrics));
        for _ in 0..10 {
            pen.removed(&good, &bench.key);
            pen.removed(&good, &bench.key);
            receiver.try_recv().unwrap();
        }
        assert_eq!(metrics.housekeeping.histories_dropped.get(), 72);
        let mut left_out = pen.left_out.lock();
        assert_eq!(left_out.get_mut(&good).unwrap().take(clock.now()), None);
        clock.advance(Duration::from_secs(30));
        assert_eq!(left_out.get_mut(&good).unwrap().take(clock.now()), Some(9), "of ten in vain the first was told");
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
