//! How files of the data directory are written: whole or not at all, on stable storage, readable by the directory's owner alone, and
//! belonging to him whoever writes them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, fchown, lchown};
use std::path::{Path, PathBuf};

use crate::auth::signing::random;

/// The file in the data directory that the server which runs on it holds.
pub(super) const LOCK: &str = "lock";
/// Who reads and writes everything, whoever it belongs to.
const ROOT: u32 = 0;

/// Whose files in a folder are to be: its owner's. A folder of root's may be a volume that a server writes in by its group alone, as
/// Kubernetes' `fsGroup` leaves one; there they are that server's, once one has held it.
fn owner_of(folder: &Path) -> io::Result<fs::Metadata> {
    let owner = fs::metadata(folder)?;
    let server = if owner.uid() == ROOT { fs::symlink_metadata(folder.join(LOCK)).ok() } else { None };
    Ok(server.unwrap_or(owner))
}

/// Has what was made as `made` says given to whom files in a folder belong. Where that is root nothing needs to be given.
///
/// # Errors
/// When that is somebody else and this user may give nothing away.
fn hand_over(
    folder: &Path,
    made: &fs::Metadata,
    give: impl FnOnce(Option<u32>, Option<u32>) -> io::Result<()>,
) -> io::Result<()> {
    let owner = owner_of(folder)?;
    if [ROOT, made.uid()].contains(&owner.uid()) {
        return Ok(());
    }
    give(Some(owner.uid()), Some(owner.gid())).map_err(|error| {
        let (uid, place) = (owner.uid(), folder.display());
        io::Error::new(error.kind(), format!("{place} belongs to the user with the id {uid}: run this as that user, or as root"))
    })
}

/// The same of a file that was just made and is open: whatever has its name by now, nothing else is given away.
fn hand_over_file(folder: &Path, file: &File) -> io::Result<()> {
    hand_over(folder, &file.metadata()?, |uid, gid| fchown(file, uid, gid))
}

/// Gives a file that a server has just made to the owner of its folder, as far as that can be done: where root starts a server beside the
/// service's user, that one goes on.
pub(super) fn give(path: &Path, file: &File) {
    let _ = path.parent().map(|folder| hand_over_file(in_place(folder), file));
}

/// Opens a file that is added to, and makes it for the owner of its folder.
pub(super) fn append(path: &Path, mode: u32) -> io::Result<File> {
    let mut options = OpenOptions::new();
    match options.append(true).mode(mode).create_new(true).open(path) {
        Ok(file) => {
            give(path, &file);
            Ok(file)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => options.create_new(false).create(true).open(path),
        failed => failed,
    }
}

/// The folder of a name by itself is the one that the process is in.
fn in_place(folder: &Path) -> &Path {
    if folder.as_os_str().is_empty() { Path::new(".") } else { folder }
}

/// Whether a file that could not be read for this is read as little the next time, as long as it is the same: what is no fault of its own may pass.
pub(super) fn lasts(why: io::ErrorKind) -> bool {
    matches!(why, io::ErrorKind::InvalidData | io::ErrorKind::PermissionDenied | io::ErrorKind::IsADirectory)
}

/// Makes a folder, and those above it that are missing, for the owner of another one. What is there stays whose it is.
pub(super) fn make_folder(owner: &Path, folder: &Path) -> io::Result<()> {
    if in_place(folder).is_dir() {
        return Ok(());
    }
    if !in_place(owner).is_dir() {
        // It is that one which is to be made.
        return fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    }
    if let Some(above) = folder.parent() {
        make_folder(owner, above)?;
    }
    match fs::DirBuilder::new().mode(0o700).create(folder) {
        // Its owner may have put a link there by now: that is given away then, and not what it leads to.
        Ok(()) => hand_over(owner, &fs::symlink_metadata(folder)?, |uid, gid| lchown(folder, uid, gid)),
        // By another process.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => Ok(()),
        failed => failed,
    }
}

/// Writes a file that only its owner can read, whole or not at all, and never over another.
pub(super) fn write_new(path: &Path, text: &str) -> io::Result<()> {
    write(path, text, |_| Ok(()), put_new)
}

/// The same for the owner of a folder.
pub(super) fn keep_new(owner: &Path, path: &Path, text: &str) -> io::Result<()> {
    write(path, text, |file| hand_over_file(owner, file), put_new)
}

/// The same in place of the one there is.
pub(super) fn replace(owner: &Path, path: &Path, text: &str) -> io::Result<()> {
    write(path, text, |file| hand_over_file(owner, file), |draft, path| fs::rename(draft, path))
}

/// Removes a file, for good when this returns.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    fs::remove_file(path)?;
    sync_folder(path);
    Ok(())
}

fn put_new(draft: &Path, path: &Path) -> io::Result<()> {
    // A link fails where a rename would overwrite; some network file systems have none.
    match fs::hard_link(draft, path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists || path.exists() => Err(io::ErrorKind::AlreadyExists.into()),
        Err(_) => fs::rename(draft, path),
        linked => linked,
    }
}

fn write(
    path: &Path,
    text: &str,
    prepare: impl FnOnce(&File) -> io::Result<()>,
    put: impl FnOnce(&Path, &Path) -> io::Result<()>,
) -> io::Result<()> {
    // A random name: process ids are the same in every container that shares a volume.
    let draft: PathBuf = path.with_file_name(format!(".draft-{:032x}", u128::from_le_bytes(random())));
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        prepare(&file)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        put(&draft, path)
    };
    let written = write();
    let _ = fs::remove_file(&draft);
    sync_folder(path);
    written
}

/// Has the name of a file on stable storage, as far as the file system can do that.
fn sync_folder(path: &Path) {
    if let Some(folder) = path.parent() {
        let _ = File::open(folder).and_then(|folder| folder.sync_all());
    }
}
