//! Whose the files are to be that are made in a folder: its owner's, also where root makes them. A server that root has started beside the
//! service's user would else leave that one objects that it can neither read nor remove.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, fchown, lchown};
use std::path::Path;

const ROOT: u32 = 0;

/// User and group, where they are others than this process's and it may give things away.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FolderOwner(Option<(u32, u32)>);

impl FolderOwner {
    /// That of a folder, or of what there is of its path. Where it can't be found out what is made is its maker's, as ever.
    pub(super) fn of(folder: &Path) -> Self {
        let is_root = fs::metadata("/proc/self").is_ok_and(|process| process.uid() == ROOT);
        let owner = folder.ancestors().find_map(|folder| fs::metadata(folder).ok()).filter(|_| is_root);
        Self(owner.filter(|owner| owner.uid() != ROOT).map(|owner| (owner.uid(), owner.gid())))
    }

    /// Makes a folder and those above it that are missing. What is there stays whose it is.
    pub(super) fn make_folders(self, path: &Path, mode: u32) -> io::Result<()> {
        let Some((uid, gid)) = self.0 else { return DirBuilder::new().recursive(true).mode(mode).create(path) };
        if path.is_dir() {
            return Ok(());
        }
        if let Some(above) = path.parent().filter(|above| !above.as_os_str().is_empty()) {
            self.make_folders(above, mode)?;
        }
        match DirBuilder::new().mode(mode).create(path) {
            // Its owner may have put a link there by now: that is given away then, and not what it leads to.
            Ok(()) => {
                // As far as it can be done: some network mounts let nobody give anything away, and are written to all the same.
                let _ = lchown(path, Some(uid), Some(gid));
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
            failed => failed,
        }
    }

    /// Makes a file that is not there yet, in place of what an earlier try may have left: a link that lies there instead is not followed.
    pub(super) fn make_file(self, path: &Path, options: &OpenOptions) -> io::Result<File> {
        let file = options.clone().create_new(true).open(path)?;
        if let Some((uid, gid)) = self.0 {
            let _ = fchown(&file, Some(uid), Some(gid));
        }
        Ok(file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_root_makes_in_somebodys_folder_is_his_and_what_was_there_stays() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("data");
        fs::create_dir_all(folder.join("old")).unwrap();
        let options = |options: &mut OpenOptions| options.write(true).clone();
        let make = |owner: FolderOwner, name: &str| {
            owner.make_folders(&folder.join("new/inner"), 0o700).unwrap();
            owner.make_file(&folder.join(name), &options(&mut OpenOptions::new())).map(drop)
        };
        make(FolderOwner::of(&folder.join("not/there")), "own").unwrap();
        let uid = |name: &str| fs::symlink_metadata(folder.join(name)).unwrap().uid();
        assert_eq!(["new", "new/inner", "own"].map(uid), [uid("old"); 3], "nobody else's");
        fs::remove_dir_all(folder.join("new")).unwrap();
        if fchown(File::open(&folder).unwrap(), Some(65_534), Some(65_534)).is_err() {
            eprintln!("only root gives files away: nothing more to see for this user");
            return;
        }
        let owner = FolderOwner::of(&folder.join("not/there"));
        make(owner, "given").unwrap();
        assert_eq!(["new", "new/inner", "given"].map(uid), [65_534; 3]);
        assert_eq!(["old", "own"].map(uid), [ROOT; 2]);
        std::os::unix::fs::symlink(folder.join("own"), folder.join("link")).unwrap();
        assert_eq!(make(owner, "link").unwrap_err().kind(), io::ErrorKind::AlreadyExists, "no link is followed");
        assert_eq!(uid("own"), ROOT);
    }
}
