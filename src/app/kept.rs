//! How files of the data directory are written: whole or not at all, on stable storage, readable by the directory's owner alone, and
//! belonging to him whoever writes them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, fchown};
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

/// Gives what was written to whom files in a folder belong. Where that is root nothing needs to be given.
///
/// # Errors
/// When that is somebody else and this user may give nothing away.
pub(super) fn hand_over(folder: &Path, file: &File) -> io::Result<()> {
    let (owner, ours) = (owner_of(folder)?, file.metadata()?);
    if [ROOT, ours.uid()].contains(&owner.uid()) {
        return Ok(());
    }
    fchown(file, Some(owner.uid()), Some(owner.gid())).map_err(|error| {
        let (uid, place) = (owner.uid(), folder.display());
        io::Error::new(error.kind(), format!("{place} belongs to the user with the id {uid}: run this as that user, or as root"))
    })
}

/// Whether a file that could not be read for this is read as little the next time, as long as it is the same: what is no fault of its own may pass.
pub(super) fn lasts(why: io::ErrorKind) -> bool {
    matches!(why, io::ErrorKind::InvalidData | io::ErrorKind::PermissionDenied | io::ErrorKind::IsADirectory)
}

/// Makes a folder for the owner of another one.
pub(super) fn make_folder(owner: &Path, folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    hand_over(owner, &File::open(folder)?)
}

/// Writes a file that only its owner can read, whole or not at all, and never over another.
pub(super) fn write_new(path: &Path, text: &str) -> io::Result<()> {
    write(path, text, |_| Ok(()), put_new)
}

/// The same for the owner of a folder.
pub(super) fn keep_new(owner: &Path, path: &Path, text: &str) -> io::Result<()> {
    write(path, text, |file| hand_over(owner, file), put_new)
}

/// The same in place of the one there is.
pub(super) fn replace(owner: &Path, path: &Path, text: &str) -> io::Result<()> {
    write(path, text, |file| hand_over(owner, file), |draft, path| fs::rename(draft, path))
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
