//! Where a harvest writes to: a folder of this machine, or one in a bucket.
//!
//! Invariants: a file appears whole or not at all, a power cut included. Nothing is written outside of the folder: a name below it that is a symbolic link is
//! refused, not followed.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use bytes::Bytes;

use crate::origin::type_of_name;
use crate::store;

/// Where to.
#[derive(Clone, Debug)]
pub(super) enum Sink {
    Folder(LocalFolder),
    Bucket { folder: store::Folder, url: String },
}

/// A folder, and one below it that is made when it is needed.
#[derive(Clone, Debug)]
pub(super) struct LocalFolder {
    root: PathBuf,
    below: String,
}

impl LocalFolder {
    /// `below`: parts with slashes between them, none of them `..`; may be empty.
    pub(super) fn new(root: &Path, below: &str) -> Self {
        Self { root: root.to_owned(), below: below.to_owned() }
    }

    fn path(&self) -> PathBuf {
        if self.below.is_empty() { self.root.clone() } else { self.root.join(&self.below) }
    }

    /// Whether what there is already of the way to it are folders, and no links.
    pub(super) fn check(&self) -> io::Result<()> {
        walk(&self.root, &self.below, |path| match fs::symlink_metadata(path) {
            Ok(metadata) if metadata.is_dir() => Ok(true),
            Ok(_) => Err(no_folder(path)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        })
    }

    /// Makes what is missing of the way to a file, and says its path.
    fn prepare(&self, name: &str) -> io::Result<PathBuf> {
        fs::create_dir_all(&self.root)?;
        let folders = name.rsplit_once('/').map_or("", |(folders, _)| folders);
        let way = [&*self.below, folders].iter().filter(|part| !part.is_empty()).copied().collect::<Vec<_>>().join("/");
        walk(&self.root, &way, |path| match fs::create_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if fs::symlink_metadata(path)?.is_dir() {
                    Ok(true)
                } else {
                    Err(no_folder(path))
                }
            }
            made => made.map(|()| true),
        })?;
        Ok(self.path().join(name))
    }

    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let path = self.prepare(name)?;
        let draft = path.with_extension("part");
        // Made anew: what lies there under this name may be a link.
        match fs::remove_file(&draft) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).open(&draft)?;
        file.write_all(bytes)?;
        // Before it has its name: what has that after a power cut is taken for whole.
        file.sync_all()?;
        fs::rename(&draft, &path)
    }

    /// Has the names of all that is there on stable storage.
    fn settle(&self) -> io::Result<()> {
        let own = self.path();
        for entry in fs::read_dir(&own)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                sync_folder(&entry.path())?;
            }
        }
        // And of the folders that may have been made on the way there.
        let way = self.below.split('/').count() + 2;
        own.ancestors().take(way).try_for_each(sync_folder)
    }

    fn delete(&self, name: &str) -> io::Result<()> {
        self.check()?;
        match fs::remove_file(self.path().join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// A file of it, whole. No link is followed, and no name leads out of the folder.
    pub(super) fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        let is_plain = |part: &str| {
            !part.starts_with('.')
                && !part.is_empty()
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        };
        if !name.split('/').all(is_plain) {
            return Err(io::ErrorKind::NotFound.into());
        }
        self.check()?;
        let path = self.path();
        walk(&path, name.rsplit_once('/').map_or("", |(folders, _)| folders), |path| {
            if fs::symlink_metadata(path)?.is_dir() { Ok(true) } else { Err(io::ErrorKind::NotFound.into()) }
        })?;
        let path = path.join(name);
        if fs::symlink_metadata(&path)?.is_file() { fs::read(path) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    /// How long each file is, by its name; what is no file has no length that one has.
    pub(super) fn lengths(&self) -> io::Result<HashMap<String, u64>> {
        let (mut lengths, mut folders) = (HashMap::new(), vec![String::new()]);
        while let Some(folder) = folders.pop() {
            let entries = match fs::read_dir(self.path().join(&folder)) {
                Ok(entries) => entries,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            for entry in entries {
                let entry = entry?;
                // What has another name was not written here.
                let name = format!("{folder}{}", entry.file_name().to_string_lossy());
                let metadata = entry.metadata()?;
                if metadata.is_dir() && folder.is_empty() {
                    folders.push(format!("{name}/"));
                } else {
                    lengths.insert(name, if metadata.is_file() { metadata.len() } else { u64::MAX });
                }
            }
        }
        Ok(lengths)
    }
}

/// Goes down from a folder, as long as `step` says so.
fn walk(root: &Path, way: &str, step: impl Fn(&Path) -> io::Result<bool>) -> io::Result<()> {
    let mut path = root.to_owned();
    for part in way.split('/').filter(|part| !part.is_empty()) {
        path.push(part);
        if !step(&path)? {
            break;
        }
    }
    Ok(())
}

/// As far as the file system can do that, and lets this user.
fn sync_folder(path: &Path) -> io::Result<()> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    match File::open(path).and_then(|folder| folder.sync_all()) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => Ok(()),
        synced => synced,
    }
}

fn no_folder(path: &Path) -> io::Error {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    io::Error::new(io::ErrorKind::NotADirectory, format!("'{name}' is a link or a file, not a folder"))
}

impl Sink {
    /// The length of each file that is there, by its name.
    pub(super) async fn lengths(&self) -> anyhow::Result<HashMap<String, u64>> {
        match self {
            Self::Folder(folder) => {
                let folder = folder.clone();
                blocking(move || folder.lengths()).await
            }
            Self::Bucket { folder, .. } => Ok(folder.lengths().await?),
        }
        .with_context(|| format!("can't look into {}", self.name("")))
    }

    /// Reads a small file, if it is there.
    pub(super) async fn read(&self, name: &str) -> anyhow::Result<Option<Bytes>> {
        match self {
            Self::Folder(folder) => {
                let path = folder.path().join(name);
                let read = blocking(move || match fs::read(&path) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                    read => read.map(Some),
                });
                Ok(read.await?.map(Bytes::from))
            }
            Self::Bucket { folder, .. } => Ok(folder.get(name).await?),
        }
    }

    /// Writes a file whole or not at all, also when it is dropped.
    pub(super) async fn write(&self, name: &str, bytes: Bytes) -> anyhow::Result<()> {
        let written = match self {
            Self::Folder(folder) => {
                let (folder, file) = (folder.clone(), name.to_owned());
                blocking(move || folder.write(&file, &bytes)).await
            }
            Self::Bucket { folder, .. } => folder.put(name, bytes, type_of_name(name)).await.map_err(anyhow::Error::from),
        };
        written.with_context(|| format!("can't write {}", self.name(name)))
    }

    /// Has all that was written outlive a power cut: the bytes do as soon as they are written, their names when this returns.
    pub(super) async fn settle(&self) -> anyhow::Result<()> {
        match self {
            Self::Folder(folder) => {
                let folder = folder.clone();
                blocking(move || folder.settle()).await.with_context(|| format!("can't write {} for good", self.name("")))
            }
            Self::Bucket { .. } => Ok(()),
        }
    }

    /// Takes a file away, one of those that [`Self::lengths`] has named; it is no error when there is none any more.
    pub(super) async fn delete(&self, name: &str) -> anyhow::Result<()> {
        let deleted = match self {
            Self::Folder(folder) => {
                let (folder, file) = (folder.clone(), name.to_owned());
                blocking(move || folder.delete(&file)).await
            }
            Self::Bucket { folder, .. } => folder.delete(name).await.map_err(anyhow::Error::from),
        };
        deleted.with_context(|| format!("can't delete {}", self.name(name)))
    }

    /// What a file is called in a message; the folder itself, without a name.
    pub(super) fn name(&self, name: &str) -> String {
        match self {
            Self::Folder(folder) if name.is_empty() => folder.path().display().to_string(),
            Self::Folder(folder) => folder.path().join(name).display().to_string(),
            Self::Bucket { url, .. } if name.is_empty() => url.clone(),
            Self::Bucket { url, .. } => format!("{url}/{name}"),
        }
    }
}

/// Beside the runtime: a slow disk must not hold up who watches.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> anyhow::Result<T> {
    Ok(tokio::task::spawn_blocking(work).await.context("the process ends")??)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_nowhere() {
        let (root, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let link = |name: &str| std::os::unix::fs::symlink(outside.path(), root.path().join(name)).unwrap();
        let folder = |below: &str| LocalFolder::new(root.path(), below);
        link("out");
        for below in ["out", "out/a"] {
            assert!(folder(below).check().is_err() && folder(below).write("a.ts", b"x").is_err(), "{below}");
        }
        folder("a/b").check().unwrap();
        folder("a/b").write("0/s.ts", b"one").unwrap();
        folder("a/b").check().unwrap();
        // A link in place of a folder, of a draft, and of a file.
        link("a/b/1");
        assert!(folder("a/b").write("1/s.ts", b"x").is_err());
        let target = outside.path().join("target");
        for name in ["a/b/0/t.part", "a/b/0/t.ts"] {
            std::os::unix::fs::symlink(&target, root.path().join(name)).unwrap();
        }
        folder("a/b").write("0/t.ts", b"two").unwrap();
        assert!(!target.exists() && fs::read_dir(outside.path()).unwrap().next().is_none());
        assert_eq!(fs::read(root.path().join("a/b/0/t.ts")).unwrap(), b"two");
        let lengths = folder("a/b").lengths().unwrap();
        assert_eq!(folder("a/b").read("0/s.ts").unwrap(), b"one");
        std::os::unix::fs::symlink(root.path().join("a/b/0/s.ts"), root.path().join("a/b/0/link.ts")).unwrap();
        for name in
            ["0/link.ts", "1/s.ts", "../b/0/s.ts", "0/../0/s.ts", "/etc/passwd", "0//s.ts", "", "0", ".", "0/.s", "none.ts"]
        {
            assert!(folder("a/b").read(name).is_err(), "{name}");
        }
        assert!(folder("out").read("x").is_err());
        fs::remove_file(root.path().join("a/b/0/link.ts")).unwrap();
        assert_eq!((lengths["0/s.ts"], lengths["0/t.ts"], lengths["1"], lengths.len()), (3, 3, u64::MAX, 3));
    }
}
