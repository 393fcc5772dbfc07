//! The file operations that change something, one by one: so that a test can stop the disk after any of them, as a crash would.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use crate::store::folder_owner::FolderOwner;

/// Who may read objects on the disk. The process's umask may leave fewer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Readers {
    /// The server's own user: content keys are among them.
    #[default]
    Owner,
    /// Its group as well, such as a web server's.
    Group,
    /// Everyone on the machine.
    Everyone,
}

impl Readers {
    /// All of them, by their names.
    pub const ALL: [(Self, &'static str); 3] = [(Self::Owner, "owner"), (Self::Group, "group"), (Self::Everyone, "everyone")];

    fn of_files(self) -> u32 {
        match self {
            Self::Owner => 0o600,
            Self::Group => 0o640,
            Self::Everyone => 0o644,
        }
    }

    pub(super) fn of_folders(self) -> u32 {
        match self {
            Self::Owner => 0o700,
            Self::Group => 0o750,
            Self::Everyone => 0o755,
        }
    }

    /// Which of these permissions let in others than were meant.
    pub(super) fn too_many(self, mode: u32) -> u32 {
        mode & 0o077 & !self.of_folders()
    }
}

/// The file system, as far as it is written to.
#[derive(Debug, Default)]
pub(super) struct Files {
    owner: FolderOwner,
    #[cfg(test)]
    pub(super) fuse: tests::Fuse,
}

impl Files {
    /// Whose what is made is to be.
    pub(super) fn of(owner: FolderOwner) -> Self {
        Self {
            owner,
            #[cfg(test)]
            fuse: tests::Fuse::default(),
        }
    }

    /// Writes a new file, for these to read.
    pub(super) fn write(&self, path: &Path, bytes: &[u8], sync: bool, readers: Readers) -> io::Result<()> {
        self.step()?;
        let mut file = self.owner.make_file(path, OpenOptions::new().write(true).mode(readers.of_files()))?;
        self.fill(&mut file, bytes)?;
        if sync { file.sync_all() } else { Ok(()) }
    }

    pub(super) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step()?;
        fs::rename(from, to)
    }

    /// Removes a file; says whether there was one.
    pub(super) fn remove(&self, path: &Path) -> io::Result<bool> {
        self.step()?;
        match fs::remove_file(path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    pub(super) fn make_folders(&self, path: &Path, readers: Readers) -> io::Result<()> {
        self.step()?;
        self.owner.make_folders(path, readers.of_folders())
    }

    /// Removes a folder if it is empty; says whether it was.
    pub(super) fn remove_folder(&self, path: &Path) -> bool {
        self.step().is_ok() && fs::remove_dir(path).is_ok()
    }

    /// Makes the names in a folder outlive a power cut.
    pub(super) fn sync_folder(&self, path: &Path) -> io::Result<()> {
        self.step()?;
        File::open(path)?.sync_all()
    }

    #[cfg(not(test))]
    #[expect(clippy::unused_self, reason = "a test stops here")]
    fn fill(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        file.write_all(bytes)
    }

    /// A crash may leave any part of it.
    #[cfg(test)]
    fn fill(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        let (half, rest) = bytes.split_at(bytes.len() / 2);
        file.write_all(half)?;
        self.step()?;
        file.write_all(rest)
    }

    #[cfg(not(test))]
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "a test stops here")]
    fn step(&self) -> io::Result<()> {
        Ok(())
    }

    #[cfg(test)]
    fn step(&self) -> io::Result<()> {
        self.fuse.step()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::io;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// Lets this many operations happen, and then none: what is on disk stays as it is, as after a `kill -9`.
    #[derive(Debug)]
    pub(in super::super) struct Fuse(AtomicU64);

    impl Default for Fuse {
        fn default() -> Self {
            Self(AtomicU64::new(u64::MAX))
        }
    }

    impl Fuse {
        pub(in super::super) fn burn_after(&self, steps: u64) {
            self.0.store(steps, Ordering::SeqCst);
        }

        pub(super) fn step(&self) -> io::Result<()> {
            let left = self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
            left.map(|_| ()).map_err(|_| io::Error::other("the process has crashed"))
        }
    }
}
