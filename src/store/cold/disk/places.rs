//! Where the files of an object are, and who can get at them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::files::Readers;
use super::{Inner, STRIPES};
use crate::model::id::Key;

/// The files of an object.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) body: PathBuf,
    pub(super) attributes: PathBuf,
    pub(super) stripe: usize,
}

impl Inner {
    pub(super) fn place(&self, key: &Key) -> Place {
        self.place_at(&self.names.path(key))
    }

    /// The files of the object whose body is at this path below the namespace's folder.
    pub(super) fn place_at(&self, path: &Path) -> Place {
        let mut attributes = self.attributes.join(path).into_os_string();
        attributes.push(".json");
        let stripe = ahash::RandomState::with_seeds(1, 2, 3, 4).hash_one(path);
        Place {
            body: self.bodies.join(path),
            attributes: attributes.into(),
            stripe: usize::try_from(stripe % STRIPES as u64).unwrap_or(0),
        }
    }

    /// Where an earlier version would have put it, if that is somewhere else and there is something.
    pub(super) fn earlier_place(&self, key: &Key) -> Option<Place> {
        let place = self.place_at(&self.names.earlier_path(key)?);
        place.attributes.exists().then_some(place)
    }

    /// Where it is to be read: a newer version is always at its own place.
    pub(super) fn place_to_read(&self, key: &Key) -> Place {
        let place = self.place(key);
        match self.earlier_place(key) {
            Some(earlier) if !place.attributes.exists() => earlier,
            _ => place,
        }
    }
}

/// Whether more than these readers can get at bodies: an earlier version, or somebody by hand, may have opened every folder on the way.
pub(super) fn is_open_to_others(objects: &Path, bodies: &Path, readers: Readers) -> bool {
    let open = |folder: &Path| fs::metadata(folder).map_or(0, |found| readers.too_many(found.permissions().mode()));
    let way = objects.parent().into_iter().chain([objects, bodies]);
    way.map(open).fold(0o011, |open, folder| open & folder) != 0
}
