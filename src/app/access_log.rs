//! Where access log lines go: stderr, or a file that is changed for a new one when it is full.
//!
//! A thread takes all lines that have come in the last moment and writes them in one piece. It looks at the file's name each
//! time, so that a file which something else has moved away, like logrotate, is followed by a new one.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use anyhow::Context as _;

use super::kept;
use super::settings::{AccessLogOutput, AccessLogSettings};
use crate::metrics::Metrics;
use crate::web::record::access_log::AccessLog;

/// How long lines are gathered before they are written: long enough that a busy server wakes this thread rarely, short enough
/// that what has gathered stays in the processor's cache.
const GATHER: Duration = Duration::from_millis(10);
/// How long the last lines are waited for when the server ends: whoever reads them may be stuck, and the server ends all the same.
const LAST: Duration = Duration::from_secs(1);

/// The running log. Lines still queued are written when it is dropped, if that does not take too long.
#[derive(Debug)]
pub(super) struct LogWriter {
    pub(super) log: Arc<AccessLog>,
    /// Its sender lives as long as the thread that writes.
    ended: Receiver<()>,
}

/// Starts it, unless it is off.
pub(super) fn start(settings: &AccessLogSettings, metrics: &Arc<Metrics>) -> anyhow::Result<Option<LogWriter>> {
    let mut sink = match &settings.output {
        AccessLogOutput::Off => return Ok(None),
        AccessLogOutput::Stderr => LogSink::Stderr,
        AccessLogOutput::File(path) => {
            let file = Rotated::open(path, settings.rotate_size, settings.keep);
            LogSink::File(file.with_context(|| format!("can't write the access log {}", path.display()))?)
        }
    };
    let log = Arc::new(AccessLog::new(Arc::clone(metrics)));
    let (queue, metrics) = (Arc::clone(&log), Arc::clone(metrics));
    let (alive, ended) = channel();
    let run = move || {
        let _alive: std::sync::mpsc::Sender<()> = alive;
        let mut lines = Vec::new();
        let mut trouble = false;
        loop {
            lines.clear();
            let more = queue.take(&mut lines);
            let count = lines.iter().filter(|&&byte| byte == b'\n').count() as u64;
            match sink.write(&lines) {
                Ok(()) => {
                    trouble = false;
                    metrics.housekeeping.access_log_lines.inc_by(count);
                }
                Err(error) => {
                    metrics.housekeeping.access_log_lines_dropped.inc_by(count);
                    if !std::mem::replace(&mut trouble, true) {
                        tracing::error!(%error, "can't write the access log: its lines are lost until this is mended");
                    }
                }
            }
            if !more {
                break;
            }
            std::thread::sleep(GATHER);
        }
    };
    std::thread::Builder::new().name("access-log".to_owned()).spawn(run).context("can't start a thread")?;
    Ok(Some(LogWriter { log, ended }))
}

impl Drop for LogWriter {
    fn drop(&mut self) {
        self.log.close();
        // Nothing is sent: it ends when the thread does, or when the time is up.
        let _ = self.ended.recv_timeout(LAST);
    }
}

#[derive(Debug)]
enum LogSink {
    Stderr,
    File(Rotated),
}

impl LogSink {
    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        match self {
            // In one go under its lock, so that no other log's line comes in between.
            Self::Stderr => io::stderr().lock().write_all(lines),
            Self::File(file) => file.write(lines),
        }
    }
}

/// A file, and the older ones it has been: `access.log`, `access.log.1`, `access.log.2`, the last the oldest.
#[derive(Debug)]
pub(super) struct Rotated {
    path: PathBuf,
    limit: u64,
    keep: u64,
    file: File,
    size: u64,
    /// It may end in the middle of a line: what is added is to be none of that.
    is_torn: bool,
    /// Whether it was told that one of the files can't be read.
    is_unread_told: bool,
}

impl Rotated {
    /// Opens it, to be added to; it is changed for a new one before it is larger than `limit` bytes, and `keep` older ones stay.
    pub(super) fn open(path: &Path, limit: u64, keep: u64) -> io::Result<Self> {
        let (file, size, is_torn) = open(path)?;
        Ok(Self { path: path.to_owned(), limit, keep, file, size, is_torn, is_unread_told: false })
    }

    /// Adds whole lines. Of what fails a part may stand there, as a line of its own.
    pub(super) fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        self.follow()?;
        let mut rest = lines;
        while !rest.is_empty() {
            let held = self.size + u64::from(self.is_torn);
            let space = usize::try_from(self.limit.saturating_sub(held)).unwrap_or(usize::MAX);
            let fits = if rest.len() <= space {
                rest.len()
            } else {
                let whole = rest[..space].iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
                if whole == 0 && self.size == 0 {
                    // One line that is longer than a file may be.
                    rest.iter().position(|&byte| byte == b'\n').map_or(rest.len(), |at| at + 1)
                } else {
                    whole
                }
            };
            if fits > 0 {
                self.add(&rest[..fits])?;
            }
            rest = &rest[fits..];
            if !rest.is_empty() {
                self.rotate()?;
            }
        }
        Ok(())
    }

    fn add(&mut self, lines: &[u8]) -> io::Result<()> {
        if self.is_torn {
            self.file.write_all(b"\n")?;
            (self.is_torn, self.size) = (false, self.size + 1);
        }
        let written = self.file.write_all(lines);
        if written.is_ok() {
            self.size += lines.len() as u64;
        } else {
            // A full disk may have taken a part of it.
            self.is_torn = !self.file.metadata().is_ok_and(|now| now.len() == self.size);
        }
        written
    }

    /// The last lines of all files, the newest first. A line that is torn is one of them, what is no text in it apart. A file that can't be read is
    /// left out, which is told once.
    pub(super) fn last_lines(&mut self, limit: usize) -> Vec<String> {
        let mut lines = Vec::new();
        for number in 0..=self.keep {
            let path = if number == 0 { self.path.clone() } else { self.numbered(number) };
            let read = match fs::read(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    if !std::mem::replace(&mut self.is_unread_told, true) {
                        let path = path.display().to_string();
                        tracing::warn!(%error, path, "can't read a log: what it says is not shown. Make it readable, or take it away");
                    }
                    continue;
                }
                read => read.unwrap_or_default(),
            };
            let text = String::from_utf8_lossy(&read);
            lines.extend(text.lines().rev().take(limit - lines.len()).map(str::to_owned));
            if lines.len() == limit {
                break;
            }
        }
        lines
    }

    /// Waits until what was written is on stable storage.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn numbered(&self, number: u64) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{number}"));
        name.into()
    }

    fn rotate(&mut self) -> io::Result<()> {
        if self.keep == 0 {
            fs::remove_file(&self.path)?;
        }
        for number in (0..self.keep).rev() {
            let from = if number == 0 { self.path.clone() } else { self.numbered(number) };
            match fs::rename(from, self.numbered(number + 1)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        (self.file, self.size, self.is_torn) = open(&self.path)?;
        Ok(())
    }

    /// Opens the file anew when its name belongs to another one now, or to none.
    fn follow(&mut self) -> io::Result<()> {
        let ours = self.file.metadata()?;
        let same = fs::metadata(&self.path).is_ok_and(|named| (named.dev(), named.ino()) == (ours.dev(), ours.ino()));
        // With what was written of one that failed.
        self.size = ours.len();
        if !same {
            (self.file, self.size, self.is_torn) = open(&self.path)?;
        }
        Ok(())
    }
}

/// The file, its size, and whether it ends in the middle of a line.
fn open(path: &Path) -> io::Result<(File, u64, bool)> {
    // Who asked for what is nobody's business but the operator's.
    let file = kept::append(path, 0o640)?;
    let size = file.metadata()?.len();
    let mut last = [b'\n'];
    if let Some(at) = size.checked_sub(1) {
        // Where that can't be read it is taken to be whole: a line that was written is, nearly always.
        let _ = File::open(path).and_then(|file| file.read_exact_at(&mut last, at));
    }
    Ok((file, size, last != [b'\n']))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(number: u32) -> String {
        format!("line {number:04}\n")
    }

    #[test]
    fn full_files_move_up_and_the_oldest_goes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.log");
        fs::write(&path, line(0)).unwrap();
        // Three lines of ten bytes to a file.
        let mut log = Rotated::open(&path, 35, 2).unwrap();
        for number in 1..8 {
            log.write(line(number).as_bytes()).unwrap();
        }
        log.write((8..15).map(line).collect::<String>().as_bytes()).unwrap();
        log.write(&[b'x'; 99]).unwrap();
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!(read("access.log"), "x".repeat(99), "a line is not cut, and what is there is added to");
        assert_eq!(log.last_lines(3), ["x".repeat(99).as_str(), line(14).trim_end(), line(13).trim_end()]);
        assert_eq!(log.last_lines(100).len(), 7);
        assert_eq!(read("access.log.1"), (12..15).map(line).collect::<String>());
        assert_eq!(read("access.log.2"), (9..12).map(line).collect::<String>());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
    }

    #[test]
    fn what_follows_a_torn_line_is_a_line_and_nothing_before_it_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.jsonl");
        // Cut within a character of two bytes, by a process that is gone.
        let torn = [line(1).as_bytes(), b"{\"a\":\"\xc3"].concat();
        fs::write(&path, &torn).unwrap();
        let mut log = Rotated::open(&path, 1 << 20, 1).unwrap();
        log.write(line(2).as_bytes()).unwrap();
        log.write(line(3).as_bytes()).unwrap();
        assert_eq!(log.last_lines(9), ["line 0003", "line 0002", "{\"a\":\"\u{fffd}", "line 0001"]);
        // The same of this process, on a disk that is full for a while.
        let file = std::mem::replace(&mut log.file, File::options().write(true).open("/dev/full").unwrap());
        assert!(log.add(line(4).as_bytes()).is_err() && log.add(line(5).as_bytes()).is_err());
        log.file = file;
        log.file.write_all(b"line").unwrap();
        log.write(line(6).as_bytes()).unwrap();
        assert_eq!(log.last_lines(3), ["line 0006", "line", "line 0003"]);
        // What can't be read leaves out nothing else.
        fs::create_dir(folder.path().join("audit.jsonl.1")).unwrap();
        assert_eq!(log.last_lines(9).len(), 6);
        assert_eq!(log.size, fs::metadata(&path).unwrap().len(), "with what failed");
    }

    #[test]
    fn a_file_that_was_moved_away_is_followed_by_a_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.log");
        let mut log = Rotated::open(&path, 1 << 20, 1).unwrap();
        log.write(line(1).as_bytes()).unwrap();
        fs::rename(&path, folder.path().join("moved")).unwrap();
        log.write(line(2).as_bytes()).unwrap();
        fs::remove_file(&path).unwrap();
        log.write(line(3).as_bytes()).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), line(3));
        assert_eq!(fs::read_to_string(folder.path().join("moved")).unwrap(), line(1));
    }
}
