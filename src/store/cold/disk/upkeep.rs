//! What goes through all files of a namespace: to list them, to finish what a crash left half-done, to find waste.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tokio::sync::mpsc;

use super::places::Place;
use super::{Inner, if_there};
use crate::store::cold::{Attributes, ColdError, ListedObject};

/// Whether there is certainly no such file: one that can't be looked at now may be there.
fn is_absent(path: &Path) -> bool {
    matches!(path.try_exists(), Ok(false))
}

/// Whether attributes are certainly nobody's, or those of a body that is certainly gone. What says that is read twice: a disk may be
/// wrong once.
fn are_of_no_use(place: &Place) -> bool {
    let read = || fs::read(&place.attributes).ok();
    let Some(json) = read() else { return false };
    let is_of_no_use = match Attributes::from_json(&json) {
        Ok(_) => is_absent(&place.body),
        Err(error) => matches!(error, ColdError::Damaged(_)),
    };
    is_of_no_use && read() == Some(json)
}

impl Inner {
    /// Shows each file below a folder, by its path from there, until told to stop.
    pub(super) fn walk(root: &Path, folder: &Path, see: &mut dyn FnMut(&Path) -> bool) -> io::Result<bool> {
        for entry in if_there(fs::read_dir(folder))?.into_iter().flatten() {
            let entry = entry?;
            let path = entry.path();
            let go_on = match entry.file_type()? {
                kind if kind.is_dir() => Self::walk(root, &path, see)?,
                // Another tool's links and sockets are not ours.
                kind if kind.is_file() => path.strip_prefix(root).map_or(true, &mut *see),
                _ => true,
            };
            if !go_on {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The path of an object's body, from the path of its attributes.
    fn body_path(attributes: &Path) -> Option<PathBuf> {
        attributes.to_str()?.strip_suffix(".json").map(PathBuf::from)
    }

    pub(super) fn list(&self, found: &mpsc::Sender<Result<ListedObject, ColdError>>) -> io::Result<()> {
        Self::walk(&self.attributes, &self.attributes, &mut |path| {
            let listed = match if_there(fs::read(self.attributes.join(path))) {
                Ok(None) => return true,
                Ok(Some(json)) => {
                    Attributes::from_json(&json).map(|(key, attributes)| ListedObject { key, attributes: Some(Ok(attributes)) })
                }
                // One that the disk can't read now, or that somebody has closed to us.
                Err(error) => Err(ColdError::Unread(error.to_string())),
            };
            found.blocking_send(listed).is_ok()
        })?;
        Ok(())
    }

    /// Goes on past what can't be finished now, and says so at the end.
    pub(super) fn recover(&self) -> io::Result<()> {
        let own = format!("{:016x}-", self.process);
        let mut left: Vec<PathBuf> = Vec::new();
        for entry in fs::read_dir(&self.staging)? {
            let entry = entry?;
            if !entry.file_name().to_string_lossy().starts_with(&own) {
                left.push(entry.path());
            }
        }
        // In the order they were written, as far as it matters: a process has one write per key at a time.
        left.sort();
        let (done, mut waste): (Vec<_>, Vec<_>) =
            left.into_iter().partition(|path| path.extension().is_some_and(|end| end == "go"));
        // What has another ending is another version's.
        waste.retain(|path| path.extension().is_some_and(|end| ["body", "json", "tmp"].iter().any(|own| end == *own)));
        let mut failed = None;
        for go in done {
            let body = go.with_extension("body");
            match self.finish(&go, &body) {
                Ok(true) => {}
                // It is still to be finished, here or by the version that wrote it.
                Ok(false) => waste.retain(|path| *path != body),
                Err(error) => {
                    waste.retain(|path| *path != body);
                    failed.get_or_insert(error);
                }
            }
        }
        for path in waste {
            if let Err(error) = self.files.remove(&path) {
                failed.get_or_insert(error);
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// Finishes the write that these attributes stand for, unless there is something newer: it may have been left here long ago. Says whether
    /// its body is not needed here any more.
    fn finish(&self, go: &Path, body: &Path) -> io::Result<bool> {
        let (key, attributes) = match Attributes::from_json(&fs::read(go)?) {
            Ok(read) => read,
            // For the version that wrote it.
            Err(ColdError::Later(_)) => return Ok(false),
            // After a power cut the name may be there and the content not: that was not acknowledged as synced.
            Err(_) => return self.files.remove(go).map(|_| true),
        };
        let place = self.place(&key);
        self.make_folders(&place)?;
        let staged = if_there(fs::metadata(body))?.map(|found| found.len());
        let _writing = self.stripes[place.stripe].write();
        let there = if_there(fs::read(&place.attributes))?.and_then(|json| Attributes::from_json(&json).ok());
        if there.is_some_and(|(_, there)| there.modified > attributes.modified) {
            return self.files.remove(go).map(|_| true);
        }
        let placed = if_there(fs::metadata(&place.body))?.map(|found| found.len());
        match staged {
            Some(length) if length == attributes.length => self.settle(body, go, &place)?,
            None if placed == Some(attributes.length) => self.files.rename(go, &place.attributes)?,
            _ => drop(self.files.remove(go)?),
        }
        Ok(true)
    }

    pub(super) fn tidy(&self) -> io::Result<u64> {
        let settled = |path: &Path| {
            let age = fs::metadata(path).and_then(|found| found.modified()).ok().and_then(|at| at.elapsed().ok());
            age.is_some_and(|age| age >= self.settled)
        };
        let mut removed = 0;
        let mut remove = |path: &Path, is_waste: &dyn Fn(&Place) -> bool| {
            let place = self.place_at(path);
            // Looked at again under the lock: a write may have been in between.
            let still = {
                let _reading = self.stripes[place.stripe].read();
                is_waste(&place)
            };
            if still && self.delete_at(&place).is_ok() {
                removed += 1;
            }
        };
        Self::walk(&self.bodies, &self.bodies, &mut |path| {
            let waste = |place: &Place| settled(&place.body) && is_absent(&place.attributes);
            if waste(&self.place_at(path)) {
                remove(path, &waste);
            }
            true
        })?;
        Self::walk(&self.attributes, &self.attributes, &mut |path| {
            let waste = |place: &Place| settled(&place.attributes) && are_of_no_use(place);
            if let Some(path) = Self::body_path(path)
                && waste(&self.place_at(&path))
            {
                remove(&path, &waste);
            }
            true
        })?;
        Ok(removed)
    }
}
