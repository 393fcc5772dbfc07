//! The files of one namespace's histories: which there are, and which is written to.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::lines;
use crate::app::kept;
use crate::model::clock::Moment;
use crate::model::seldom::Seldom;

/// A file is not longer; what comes then goes into another.
pub(super) const FILE_BYTES: u64 = 8 << 20;
/// Bytes of the files of one namespace; more, and the oldest goes.
const BYTES: u64 = 256 << 20;
/// A file counts as this much at least, so that there are at most 16,384: a start every few minutes for as long as a segment may live.
const LEAST: u64 = 16 << 10;

/// The files of one namespace, oldest first; the last one is written to once it is open.
#[derive(Debug, Default)]
pub(super) struct NamespaceLog {
    pub(super) files: Vec<Page>,
    pub(super) open: Option<OpenFile>,
    /// Nothing could be written to it, and nothing is tried until then.
    pub(super) rests_until: Moment,
    /// What was told of versions that were not written.
    pub(super) left_out: Seldom,
}

#[derive(Debug)]
pub(super) struct OpenFile {
    pub(super) file: File,
    /// It may end in the middle of a line.
    is_torn: bool,
}

#[derive(Debug)]
pub(super) struct Page {
    pub(super) path: PathBuf,
    pub(super) begun: u64,
    /// When the last segment in it has outlived its time to live.
    pub(super) until: u64,
    pub(super) length: u64,
}

impl NamespaceLog {
    /// Whether this much more can be written to the file that is open.
    pub(super) fn has_room(&self, more: usize) -> bool {
        self.open.is_some() && self.files.last().is_some_and(|page| page.length + more as u64 <= FILE_BYTES)
    }

    /// Begins the next file.
    pub(super) fn begin(&mut self, folder: &Path, now: u64) -> io::Result<()> {
        self.begin_by(folder, now, |path| {
            let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(path)?;
            kept::give(path, &file);
            Ok(file)
        })
    }

    /// The same by whom it is made.
    pub(super) fn begin_by(&mut self, folder: &Path, now: u64, make: impl FnOnce(&Path) -> io::Result<File>) -> io::Result<()> {
        self.open = None;
        self.tidy(now);
        if let Some(owner) = folder.ancestors().find(|above| above.is_dir()) {
            kept::make_folder(owner, folder)?;
        }
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
    pub(super) fn append(&mut self, text: &[u8], until: u64) -> io::Result<()> {
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

    /// Deletes the oldest files, as long as nothing is needed of them or there is no room for another one. Never one before those that
    /// are older: it may say of their playlists that they are gone.
    pub(super) fn tidy(&mut self, now: u64) {
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
pub(super) fn folder(path: &Path) -> io::Result<Vec<PathBuf>> {
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
