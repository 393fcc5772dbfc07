//! Histories of playlists on disk, so that a restart does not end what can be looked back at.
//!
//! `history/<namespace>/<milliseconds>.jsonl`: a line for each segment when it is listed first, or for a playlist that was deleted.
//! Files are only ever appended to, each for an hour or [`FILE_BYTES`], and deleted when the last segment in them has outlived its
//! time to live: nothing is rewritten, so that a crash at any moment costs a torn last line, which is passed over. One thread writes;
//! nobody waits for it. Not synced line by line: what the system has not written when the power fails is lost.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::hls::playlist::ByteRange;
use crate::model::clock::{Clock, WallTime};
use crate::model::id::{Key, Namespace};
use crate::origin::{Chronicle, Listed, Origin};

/// A file that is larger is followed by another.
const FILE_BYTES: u64 = 8 << 20;
/// So is one that is older, in milliseconds.
const FILE_AGE: u64 = 3_600_000;
/// Files of one namespace; one more, and the oldest goes.
const FILES: usize = 32;
/// Versions of playlists that wait to be written down.
const WAITING: usize = 4096;
/// A line that is longer was not written here: three texts of 4 KiB and a key of 1, of which JSON makes six times as much at worst.
const LONGEST_LINE: u64 = 96 << 10;

/// A line: a segment, or, without one, the playlist's end.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    playlist: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    segment: Option<Segment>,
}

/// Times are in milliseconds since 1970, the duration in microseconds.
#[derive(Debug, Serialize, Deserialize)]
struct Segment {
    number: u64,
    sequence: u64,
    discontinuities: u64,
    uri: String,
    duration: u64,
    at: u64,
    until: u64,
    #[serde(default, skip_serializing_if = "is_false")]
    dated: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    discontinuity: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    lost: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    clear_map: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    map: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    keys: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    range: Option<(u64, u64)>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the library asks for a reference")]
const fn is_false(truth: &bool) -> bool {
    !*truth
}

impl From<&Listed> for Segment {
    fn from(listed: &Listed) -> Self {
        Self {
            number: listed.number,
            sequence: listed.sequence,
            discontinuities: listed.discontinuities,
            uri: listed.uri.to_string(),
            duration: u64::try_from(listed.duration.as_micros()).unwrap_or(u64::MAX),
            at: listed.at.millis(),
            until: listed.until.millis(),
            dated: listed.dated,
            discontinuity: listed.discontinuity,
            lost: listed.lost,
            clear_map: listed.clear_map,
            map: listed.map.as_deref().map(str::to_owned),
            keys: listed.keys.as_ref().map(|keys| keys.join("\n")),
            range: listed.range.map(|range| (range.start, range.length)),
        }
    }
}

impl From<Segment> for Listed {
    fn from(segment: Segment) -> Self {
        Self {
            number: segment.number,
            sequence: segment.sequence,
            discontinuities: segment.discontinuities,
            uri: segment.uri.into(),
            duration: Duration::from_micros(segment.duration),
            at: WallTime::from_millis(segment.at),
            until: WallTime::from_millis(segment.until),
            dated: segment.dated,
            discontinuity: segment.discontinuity,
            lost: segment.lost,
            clear_map: segment.clear_map,
            map: segment.map.map(Arc::from),
            keys: segment.keys.map(|keys| keys.split('\n').map(Arc::from).collect()),
            range: segment.range.map(|(start, length)| ByteRange { start, length }),
        }
    }
}

/// Brings back what is written in the folder, and has it written on from now.
pub(super) fn start(folder: PathBuf, origin: &Origin, clock: &Clock) -> anyhow::Result<()> {
    let mut writer = Writer { folder, clock: clock.clone(), journals: HashMap::new(), in_trouble: false };
    if let Err(error) = writer.restore(origin) {
        let error = error.to_string();
        tracing::warn!(error, "can't read all of the playlists' histories: what is missing can't be looked back at");
    }
    let (sender, receiver) = sync_channel(WAITING);
    std::thread::Builder::new()
        .name("history".to_owned())
        .spawn(move || writer.run(&receiver))
        .context("can't start a thread")?;
    origin.keep_histories(Arc::new(Pen(sender)));
    Ok(())
}

/// What is to be written down.
#[derive(Debug)]
struct Note {
    namespace: Namespace,
    lines: Vec<u8>,
    until: u64,
}

#[derive(Debug)]
struct Pen(SyncSender<Note>);

impl Pen {
    fn write(&self, namespace: &Namespace, lines: Vec<u8>, until: u64) {
        if let Err(TrySendError::Full(_)) = self.0.try_send(Note { namespace: namespace.clone(), lines, until }) {
            tracing::warn!(%namespace, "the disk is too slow for the playlists' histories: after a restart a part of them is missing");
        }
    }
}

impl Chronicle for Pen {
    fn listed(&self, namespace: &Namespace, playlist: &Key, segments: &[Arc<Listed>]) {
        let until = segments.iter().map(|listed| listed.until.millis()).max().unwrap_or(0);
        self.write(namespace, to_lines(playlist, segments), until);
    }

    fn removed(&self, namespace: &Namespace, playlist: &Key) {
        let mut text = Vec::new();
        add_line(&mut text, &Line { playlist: playlist.to_string(), segment: None });
        self.write(namespace, text, 0);
    }
}

/// The lines of segments of one playlist.
fn to_lines(playlist: &Key, segments: &[Arc<Listed>]) -> Vec<u8> {
    let mut text = Vec::new();
    for listed in segments {
        add_line(&mut text, &Line { playlist: playlist.to_string(), segment: Some(Segment::from(&**listed)) });
    }
    text
}

fn add_line(text: &mut Vec<u8>, line: &Line) {
    if serde_json::to_writer(&mut *text, line).is_ok() {
        text.push(b'\n');
    }
}

/// What is written, for `crate::fuzzing`.
#[cfg(any(test, fuzzing))]
pub(crate) fn written(playlist: &Key, segments: &[Arc<Listed>]) -> Vec<u8> {
    to_lines(playlist, segments)
}

/// What is read back of such lines at some time, for `crate::fuzzing`.
#[cfg(any(test, fuzzing))]
pub(crate) fn read_back(lines: &[u8], now: u64) -> HashMap<Key, Vec<Listed>> {
    let mut histories = HashMap::new();
    let until = read_lines(lines, now, &mut histories);
    assert!(until.is_ok_and(|until| histories.values().flatten().all(|listed: &Listed| listed.until.millis() <= until)));
    histories
}

/// The files of one namespace, oldest first; the last one is written to once it is open.
#[derive(Debug, Default)]
struct Journal {
    files: Vec<Page>,
    open: Option<(File, u64)>,
}

#[derive(Debug)]
struct Page {
    path: PathBuf,
    begun: u64,
    /// When the last segment in it has outlived its time to live.
    until: u64,
}

struct Writer {
    folder: PathBuf,
    clock: Clock,
    journals: HashMap<Namespace, Journal>,
    in_trouble: bool,
}

impl Writer {
    fn run(mut self, receiver: &Receiver<Note>) {
        // Ends with the server.
        while let Ok(note) = receiver.recv() {
            match self.write(&note) {
                Ok(()) => self.in_trouble = false,
                Err(error) if !self.in_trouble => {
                    let error = error.to_string();
                    let folder = self.folder.display().to_string();
                    tracing::warn!(error, folder, "can't write the playlists' histories: after a restart they are missing");
                    self.in_trouble = true;
                    self.journals.entry(note.namespace).or_default().open = None;
                }
                Err(_) => self.journals.entry(note.namespace).or_default().open = None,
            }
        }
    }

    fn write(&mut self, note: &Note) -> io::Result<()> {
        let now = self.clock.wall().millis();
        let journal = self.journals.entry(note.namespace.clone()).or_default();
        let is_full = journal.open.as_ref().is_some_and(|(_, length)| *length >= FILE_BYTES)
            || journal.files.last().is_some_and(|page| now.saturating_sub(page.begun) >= FILE_AGE);
        if is_full {
            journal.open = None;
        }
        if journal.open.is_none() {
            journal.tidy(now);
            let folder = self.folder.join(note.namespace.as_str());
            fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
            // Later than all before it, whatever the clock says.
            let begun = journal.files.last().map_or(now, |last| now.max(last.begun + 1));
            let path = folder.join(format!("{begun:013}.jsonl"));
            let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(&path)?;
            journal.files.push(Page { path, begun, until: 0 });
            journal.open = Some((file, 0));
        }
        if let (Some((file, length)), Some(page)) = (&mut journal.open, journal.files.last_mut()) {
            file.write_all(&note.lines)?;
            *length += note.lines.len() as u64;
            page.until = page.until.max(note.until);
        }
        Ok(())
    }

    fn restore(&mut self, origin: &Origin) -> io::Result<()> {
        let now = self.clock.wall().millis();
        for namespace in folder(&self.folder)? {
            let Some(name) = namespace.file_name().and_then(|name| name.to_str()).and_then(|name| Namespace::parse(name).ok())
            else {
                continue;
            };
            let mut journal = Journal::default();
            let mut histories: HashMap<Key, Vec<Listed>> = HashMap::new();
            for path in folder(&namespace)? {
                let stem = path.file_stem().and_then(|stem| stem.to_str());
                let Some(begun) = stem.and_then(|stem| stem.parse().ok()) else { continue };
                let until = read(&path, now, &mut histories)?;
                journal.files.push(Page { path, begun, until });
            }
            journal.tidy(now);
            self.journals.insert(name.clone(), journal);
            for (playlist, listed) in histories {
                origin.restore_history(&name, &playlist, listed);
            }
        }
        Ok(())
    }
}

impl Journal {
    /// Deletes the oldest files, as long as nothing is needed of them. Never one before those that are older: it may say of their
    /// playlists that they are gone.
    fn tidy(&mut self, now: u64) {
        let mut surplus = (self.files.len() + 1).saturating_sub(FILES);
        let needed = |page: &Page| {
            let needed = surplus == 0 && page.until > now;
            surplus = surplus.saturating_sub(1);
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

/// Reads a file; says when the last segment in it has outlived its time to live.
fn read(path: &Path, now: u64, histories: &mut HashMap<Key, Vec<Listed>>) -> io::Result<u64> {
    read_lines(BufReader::new(File::open(path)?), now, histories)
}

/// The same of its bytes. A line that is none is passed over.
fn read_lines(mut reader: impl BufRead, now: u64, histories: &mut HashMap<Key, Vec<Listed>>) -> io::Result<u64> {
    use io::Read as _;
    let (mut line, mut until) = (Vec::new(), 0);
    while (&mut reader).take(LONGEST_LINE).read_until(b'\n', &mut line)? > 0 {
        if let Ok(Line { playlist, segment }) = serde_json::from_slice::<Line>(&line)
            && let Ok(key) = Key::parse(&playlist)
        {
            match segment {
                Some(segment) => {
                    until = until.max(segment.until);
                    if segment.until > now {
                        histories.entry(key).or_default().push(segment.into());
                    }
                }
                None => drop(histories.remove(&key)),
            }
        }
        line.clear();
    }
    Ok(until)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(sequence: u64, until: u64) -> Listed {
        Listed {
            number: sequence,
            sequence,
            discontinuities: 3,
            uri: format!("{sequence}.ts").into(),
            duration: Duration::from_micros(2_002_000),
            at: WallTime::from_millis(1_000_000),
            dated: true,
            discontinuity: true,
            map: Some(Arc::from("URI=\"i.mp4\"")),
            clear_map: true,
            keys: Some(["METHOD=AES-128,URI=\"k\"", "METHOD=SAMPLE-AES,URI=\"l\""].map(Arc::from).into()),
            range: Some(ByteRange { start: 1, length: 2 }),
            until: WallTime::from_millis(until),
            lost: false,
        }
    }

    #[test]
    fn what_is_written_is_read_and_what_is_torn_is_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let (clock, namespace, key) = (Clock::manual(), Namespace::parse("live").unwrap(), Key::parse("a/p.m3u8").unwrap());
        let now = clock.wall().millis();
        let (sender, receiver) = sync_channel(9);
        let pen = Pen(sender);
        pen.listed(&namespace, &key, &[Arc::new(listed(1, now + 5000)), Arc::new(listed(2, now + 9000))]);
        pen.removed(&namespace, &Key::parse("b.m3u8").unwrap());
        pen.listed(&namespace, &key, &[Arc::new(listed(3, now + 9000))]);
        drop(pen);
        let writer =
            || Writer { folder: folder.path().to_owned(), clock: clock.clone(), journals: HashMap::new(), in_trouble: false };
        writer().run(&receiver);
        let [path] = &super::folder(&folder.path().join("live")).unwrap()[..] else { panic!("one file") };
        let torn = fs::read_to_string(path).unwrap() + "{\"playlist\":\"a/p.m3u8\",\"segment\":{\"numb";
        fs::write(path, torn).unwrap();
        let mut histories = HashMap::new();
        assert_eq!(read(path, now + 6000, &mut histories).unwrap(), now + 9000);
        assert_eq!(histories.remove(&key), Some(vec![listed(2, now + 9000), listed(3, now + 9000)]));
        let mut journal = Journal { files: vec![Page { path: path.clone(), begun: 1, until: now + 9000 }], open: None };
        journal.tidy(now + 8999);
        assert!(path.exists());
        journal.tidy(now + 9000);
        assert!(!path.exists(), "nothing in it is needed");
    }
}
