//! Objects as files: `objects/NAMESPACE/KEY` is an object's bytes under its readable name, `objects/.meta/NAMESPACE/KEY.json` its
//! attributes, and `objects/.new/NAMESPACE/` what is being written. So a web server, rsync or ffmpeg can use the first as it is.
//!
//! Two files and not one with extended attributes: `cp`, `tar`, older NFS and many a backup lose those, and an object without its time
//! to live is of no use. What two files need is that they change as one. A write takes these steps:
//! 1. The body is written to `.new/N.body`, and then the attributes to `.new/N.go`; [`Care::Synced`] syncs each before the next. As soon
//!    as all of `.go` is there the write counts; a crash before that leaves nothing but waste, for a part of it does not read.
//! 2. `.new/N.body` goes to its place, then `.new/N.go` to its. [`Care::Synced`] syncs their folders.
//!
//! After a crash [`Cold::recover`] finishes every `.go` that reads and removes the rest, `.new/N.json` of earlier versions among it, which
//! became `.go` when it was whole. Within the process, a lock keeps readers out of step 2.
//!
//! Invariants: nothing but whole bodies is ever at its place. The attributes are there last and go first: a body alone is waste, and
//! attributes alone are damage.

mod files;
mod names;
mod places;
mod turns;
mod upkeep;

use std::fs::{self, File};
use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ahash::AHashSet;
use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::spawn_blocking;

use self::files::Files;
pub use self::files::Readers;
use self::names::Names;
use self::places::{Place, is_open_to_others};
pub use self::turns::DiskTurns;
use super::{Attributes, Care, Cold, ColdError, Later, ListedObject};
use crate::model::clock::Clock;
use crate::model::id::{Key, Namespace};
use crate::store::folder_owner::FolderOwner;

/// Calls at a time.
const CALLS: usize = 64;
/// Locks that keys share. A reader holds one while it opens two files, a writer while it renames two.
const STRIPES: usize = 64;
/// How old a piece without an owner has to be before it is waste: another process may be about to make it an object.
const SETTLED: Duration = Duration::from_secs(60);
/// How often a write is tried when its folder is removed under it, because the last object in it went.
const TRIES: usize = 4;

/// A namespace's objects in a folder.
#[derive(Debug)]
pub struct Disk {
    inner: Arc<Inner>,
    /// Bounds the threads that a file system which hangs can take: a call keeps its permit for as long as it does.
    calls: Arc<Semaphore>,
    turns: DiskTurns,
}

#[derive(Debug)]
struct Inner {
    bodies: PathBuf,
    attributes: PathBuf,
    staging: PathBuf,
    names: Names,
    /// Who may read bodies; the rest is nobody else's.
    readers: Readers,
    files: Files,
    stripes: Box<[RwLock<()>]>,
    /// Tells what this process writes from what another left.
    process: u64,
    next: AtomicU64,
    /// Folders whose own names are known to outlive a power cut.
    synced: Mutex<AHashSet<PathBuf>>,
    settled: Duration,
}

impl Disk {
    /// Opens the folder of a namespace below `objects`, making it if need be. Blocking; nothing that is there is touched.
    ///
    /// # Errors
    /// [`ColdError::Denied`] and the like, with the folder's name.
    pub fn open(objects: &Path, namespace: &Namespace) -> Result<Self, ColdError> {
        Self::open_for(objects, namespace, Readers::default(), DiskTurns::new(Clock::system()))
    }

    /// The same, with bodies that others may read, and turns that it shares with other namespaces on this disk.
    ///
    /// # Errors
    /// As [`Disk::open`]'s.
    pub fn open_for(objects: &Path, namespace: &Namespace, readers: Readers, turns: DiskTurns) -> Result<Self, ColdError> {
        Inner::open(objects, namespace, readers)
            .map(|inner| Self { inner: Arc::new(inner), calls: Arc::new(Semaphore::new(CALLS)), turns })
            .map_err(|error| cold(&error))
    }

    fn run<T: Send + 'static>(&self, act: impl FnOnce(&Inner) -> io::Result<T> + Send + 'static) -> Later<'_, T> {
        let (inner, calls) = (Arc::clone(&self.inner), Arc::clone(&self.calls));
        Box::pin(async move {
            let permit = calls.acquire_owned().await;
            let result = spawn_blocking(move || {
                let _permit = permit;
                act(&inner)
            })
            .await;
            result.map_err(|_| ColdError::Unavailable("the server is stopping".to_owned()))?.map_err(|error| cold(&error))
        })
    }
}

/// What the file system says, in the words of the seam.
fn cold(error: &io::Error) -> ColdError {
    use io::ErrorKind as Kind;
    if let Some(damaged) = error.get_ref().and_then(|inner| inner.downcast_ref::<ColdError>()) {
        return damaged.clone();
    }
    let text = error.to_string();
    match error.kind() {
        Kind::StorageFull | Kind::QuotaExceeded => ColdError::Full(text),
        Kind::PermissionDenied | Kind::ReadOnlyFilesystem => ColdError::Denied(text),
        Kind::InvalidFilename | Kind::FileTooLarge => ColdError::Unfit(text),
        _ => ColdError::Unavailable(text),
    }
}

fn damaged(what: &str) -> io::Error {
    io::Error::other(ColdError::Damaged(what.to_owned()))
}

/// What is there, or nothing.
fn if_there<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(there) => Ok(Some(there)),
        // A folder on the way may be missing as well, or be a file of another tool.
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(error) => Err(error),
    }
}

impl Inner {
    fn open(objects: &Path, namespace: &Namespace, readers: Readers) -> io::Result<Self> {
        let name = namespace.as_str();
        let [bodies, attributes, staging] =
            [objects.join(name), objects.join(".meta").join(name), objects.join(".new").join(name)];
        let owner = FolderOwner::of(objects);
        for (folder, readers) in [(&bodies, readers), (&attributes, Readers::Owner), (&staging, Readers::Owner)] {
            owner.make_folders(folder, readers.of_folders()).map_err(|error| {
                let why = format!("{}: {error}", folder.display());
                io::Error::new(error.kind(), why)
            })?;
        }
        if is_open_to_others(objects, &bodies, readers) {
            tracing::warn!(
                folder = %objects.display(),
                "others on this machine can read stored objects, content keys among them: close the folder with chmod -R go-rwx, or \
                 say who may read them with object_readers"
            );
        }
        // What is put into these folders is no safer than their own names: they may have been made just now.
        for folder in objects.parent().into_iter().chain([objects, &objects.join(".meta"), &objects.join(".new")]) {
            File::open(folder).and_then(|folder| folder.sync_all())?;
        }
        let process = RandomState::new().hash_one(0);
        let probe = staging.join(format!("{process:016x}-probe.tmp"));
        fs::write(&probe, b"")?;
        let folds_case = staging.join(format!("{process:016x}-PROBE.tmp")).exists();
        fs::remove_file(&probe)?;
        Ok(Self {
            bodies,
            attributes,
            staging,
            names: Names { folds_case },
            readers,
            files: Files::of(owner),
            stripes: (0..STRIPES).map(|_| RwLock::new(())).collect(),
            process,
            next: AtomicU64::new(0),
            synced: Mutex::default(),
            settled: SETTLED,
        })
    }

    fn put(&self, key: &Key, body: &[u8], attributes: &Attributes, care: Care, syncs_body: bool) -> io::Result<()> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let staged = |what: &str| self.staging.join(format!("{:016x}-{number}.{what}", self.process));
        let (new_body, go) = (staged("body"), staged("go"));
        let place = self.place(key);
        let sync = care == Care::Synced;
        let write = || {
            self.files.write(&new_body, body, syncs_body, self.readers)?;
            self.files.write(&go, attributes.to_json(key).as_bytes(), sync, Readers::Owner)?;
            let _writing = self.stripes[place.stripe].write();
            self.settle(&new_body, &go, &place)
        };
        if let Err(error) = write() {
            // It was not acknowledged, so it may go, above all when there is no space; but the attributes first, or a crash would make it
            // count without a body.
            let _ = (self.files.remove(&go), self.files.remove(&new_body));
            return Err(error);
        }
        if sync {
            self.sync_folders(&place.body, &self.bodies)?;
            self.sync_folders(&place.attributes, &self.attributes)?;
        }
        // Under the name of an earlier version there may be an older one; it is not the object any more.
        if let Some(earlier) = self.earlier_place(key) {
            self.delete_at(&earlier)?;
        }
        Ok(())
    }

    fn make_folders(&self, place: &Place) -> io::Result<()> {
        for (file, readers) in [(&place.body, self.readers), (&place.attributes, Readers::Owner)] {
            if let Some(folder) = file.parent()
                && !folder.is_dir()
            {
                self.files.make_folders(folder, readers)?;
            }
        }
        Ok(())
    }

    /// The last step of a write, under the lock, and again after a crash in the middle of it.
    fn settle(&self, body: &Path, go: &Path, place: &Place) -> io::Result<()> {
        for (from, to) in [(body, &place.body), (go, &place.attributes)] {
            let mut tries = 0..TRIES;
            loop {
                let renamed = self.files.rename(from, to);
                // Its folder is not there yet; or it was empty for a moment, and has been removed.
                let retry = matches!(&renamed, Err(error) if error.kind() == io::ErrorKind::NotFound) && tries.next().is_some();
                if !retry {
                    renamed?;
                    break;
                }
                self.make_folders(place)?;
            }
        }
        Ok(())
    }

    /// Syncs a file's folder, and each folder above it that never was.
    fn sync_folders(&self, file: &Path, root: &Path) -> io::Result<()> {
        for (n, folder) in file.ancestors().skip(1).take_while(|folder| folder.starts_with(root)).enumerate() {
            let known = self.synced.lock().contains(folder);
            if n > 0 && known {
                break;
            }
            self.files.sync_folder(folder)?;
            if !known {
                self.synced.lock().insert(folder.to_owned());
            }
        }
        Ok(())
    }

    /// Opens both files of one version.
    fn open_pair(&self, key: &Key) -> io::Result<Option<(Attributes, File)>> {
        let place = self.place_to_read(key);
        let (attributes, body) = {
            let _reading = self.stripes[place.stripe].read();
            let Some(attributes) = if_there(fs::read(&place.attributes))? else { return Ok(None) };
            (attributes, if_there(File::open(&place.body))?)
        };
        let attributes = Self::parse(key, &attributes)?;
        let body = body.ok_or_else(|| damaged("its body is gone"))?;
        if body.metadata()?.len() != attributes.length {
            return Err(damaged("its body has another length"));
        }
        Ok(Some((attributes, body)))
    }

    fn parse(key: &Key, json: &[u8]) -> io::Result<Attributes> {
        let (found, attributes) = Attributes::from_json(json).map_err(io::Error::other)?;
        if found == *key { Ok(attributes) } else { Err(damaged("its attributes are another object's")) }
    }

    fn get(&self, key: &Key, range: Option<Range<u64>>) -> io::Result<Option<(Attributes, Bytes)>> {
        let Some((attributes, mut file)) = self.open_pair(key)? else { return Ok(None) };
        let Range { start, end } = range.unwrap_or(0..attributes.length);
        let length = end.min(attributes.length).saturating_sub(start);
        if start > 0 {
            file.seek(SeekFrom::Start(start))?;
        }
        let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
        file.take(length).read_to_end(&mut bytes)?;
        if bytes.len() as u64 != length {
            return Err(damaged("its body is shorter than its length"));
        }
        Ok(Some((attributes, bytes.into())))
    }

    fn head(&self, key: &Key) -> io::Result<Option<Attributes>> {
        let place = self.place_to_read(key);
        let _reading = self.stripes[place.stripe].read();
        let Some(json) = if_there(fs::read(&place.attributes))? else { return Ok(None) };
        Self::parse(key, &json).map(Some)
    }

    fn delete(&self, key: &Key, care: Care) -> io::Result<()> {
        let place = self.place(key);
        if let Some(earlier) = self.earlier_place(key) {
            self.delete_at(&earlier)?;
        }
        self.delete_at(&place)?;
        if care == Care::Synced
            && let Some(folder) = place.attributes.parent()
        {
            // The folder may have gone with its last object; then the one above it has that to remember.
            let folder = folder.ancestors().find(|folder| folder.is_dir()).unwrap_or(&self.attributes);
            self.files.sync_folder(folder)?;
        }
        Ok(())
    }

    fn delete_at(&self, place: &Place) -> io::Result<()> {
        {
            let _writing = self.stripes[place.stripe].write();
            if_there(self.files.remove(&place.attributes))?;
            if_there(self.files.remove(&place.body))?;
        }
        for (file, root) in [(&place.attributes, &self.attributes), (&place.body, &self.bodies)] {
            let folders = file.ancestors().skip(1).take_while(|folder| folder.starts_with(root) && folder != root);
            for folder in folders {
                // Forgotten before it is removed: whoever makes it again has to sync it again.
                self.synced.lock().remove(folder);
                if !self.files.remove_folder(folder) {
                    break;
                }
            }
        }
        Ok(())
    }
}

impl Cold for Disk {
    fn name(&self) -> &'static str {
        "disk"
    }

    fn put<'a>(&'a self, key: &'a Key, body: Bytes, attributes: &'a Attributes, care: Care) -> Later<'a, ()> {
        let (key, attributes) = (key.clone(), attributes.clone());
        Box::pin(async move {
            let turn = self.turns.next(care, body.len()).await;
            self.run(move |disk| disk.put(&key, &body, &attributes, care, turn.syncs_body())).await
        })
    }

    fn get<'a>(&'a self, key: &'a Key) -> Later<'a, Option<(Attributes, Bytes)>> {
        let key = key.clone();
        self.run(move |disk| disk.get(&key, None))
    }

    fn get_range<'a>(&'a self, key: &'a Key, range: Range<u64>) -> Later<'a, Option<(Attributes, Bytes)>> {
        let key = key.clone();
        self.run(move |disk| disk.get(&key, Some(range)))
    }

    fn head<'a>(&'a self, key: &'a Key) -> Later<'a, Option<Attributes>> {
        let key = key.clone();
        self.run(move |disk| disk.head(&key))
    }

    fn delete<'a>(&'a self, key: &'a Key, care: Care) -> Later<'a, ()> {
        let key = key.clone();
        self.run(move |disk| disk.delete(&key, care))
    }

    fn list(&self) -> mpsc::Receiver<Result<ListedObject, ColdError>> {
        let (sender, receiver) = mpsc::channel(64);
        let inner = Arc::clone(&self.inner);
        spawn_blocking(move || {
            if let Err(error) = inner.list(&sender) {
                let _ = sender.blocking_send(Err(cold(&error)));
            }
        });
        receiver
    }

    fn recover(&self) -> Later<'_, ()> {
        self.run(Inner::recover)
    }

    fn tidy(&self) -> Later<'_, u64> {
        self.run(Inner::tidy)
    }
}

#[cfg(test)]
mod tests;
