//! The data directory: signing keys, records of the API keys made here, revocations, and objects.
//!
//! - `signing.key`: one signing key to a line, readable by its owner alone. `SPRINGHEAD_SIGNING_KEY` replaces it.
//! - `keys/<key_id>.json`: what a key allows, without the key. A running server knows its keys by these where a request does not
//!   carry a whole key: see [`crate::auth`].
//! - `viewer.key`: the keys of viewers' tokens; see [`super::viewer_key`].
//! - `viewer_revocations.json`: which of those ended before their time, and `viewer_revocations.lock`; see [`super::viewer_revocations`].
//! - `webhook.secret`: what webhooks are signed with, made when the settings name a first one.
//! - `revoked/<key_id>`: an empty file for each revoked key. One file each, so that a command and a server, or two commands,
//!   never write the same one, and so that nothing is half-written after a crash.
//! - `lock`: held by the server that runs on the directory; `listening`: where that listens, for `springhead health`: in clear, then for admins.
//! - `objects/`: what namespaces keep on disk, as [`crate::store`] alone knows; `history/`: what playlists have listed ([`super::history_log`]).
//! - `tickets/<hash>`: an empty file for each printed link that signs in at the console: who can make one may do everything anyway. The
//!   hash is that of the ticket, so that who reads the folder can't follow a link. The server removes it as it is followed.
//! - `audit/`: who changed what by the admin API; `events/`: what has happened to streams.
//! - `harvests/`: which recordings were ordered; `format.json`: the form of all this, see [`super::stamp`].
//! - `namespaces/NAME.toml`: the rules of a namespace that the admin API has made; see [`super::namespaces`].
//!
//! Invariant: files here belong to the directory's owner, whoever writes them; where that is root, to the server's user. A key that root
//! makes beside the service's user works.

use std::collections::{BTreeSet, HashSet};
use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};

use super::kept;
use crate::auth::grant::{KeyId, Role};
use crate::auth::key::KeyRing;
use crate::auth::signing::{SigningKey, random};

/// The line that says so, where it is written down where a server listens.
const ADMIN_HAS_TLS: &str = "admin over TLS";
/// The variable that replaces `signing.key`.
pub(super) const SIGNING_KEY_VARIABLE: &str = "SPRINGHEAD_SIGNING_KEY";

/// A file's name, size, and when it was last changed, its owner and mode included: seconds and nanoseconds.
pub(super) type FileStamp = (OsString, u64, (i64, i64));

/// The directory.
#[derive(Clone, Debug)]
pub(super) struct DataDir {
    path: PathBuf,
}

/// What is kept of a key, and what `keys create` prints, the key itself apart.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct KeyRecord {
    pub(super) key_id: String,
    pub(super) label: Option<String>,
    pub(super) namespaces: Vec<String>,
    pub(super) prefix: Option<String>,
    pub(super) role: Role,
    /// Left out where it is not, so that records of other keys stay as they were.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) edge: bool,
    pub(super) issued_at: String,
    pub(super) expires_at: Option<String>,
    /// When a key that was replaced by another one ends, before its time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) retires_at: Option<String>,
}

/// The form of key records. Those of before it was written down have none.
const RECORD_FORMAT: u32 = 1;

/// A record as it is kept.
#[derive(Serialize)]
struct RecordFile<'a> {
    format: u32,
    #[serde(flatten)]
    record: &'a KeyRecord,
}

#[derive(Deserialize)]
struct RecordForm {
    #[serde(default)]
    format: u32,
}

/// What was found among the records.
#[derive(Clone, Debug, Default)]
pub(super) struct Records {
    /// Oldest first.
    pub(super) read: Vec<KeyRecord>,
    /// Files of no use, and why.
    pub(super) unread: Vec<(PathBuf, String)>,
    /// Whether some of these may be read the next time as they are: it was no fault of theirs.
    pub(super) may_pass: bool,
}

impl DataDir {
    /// Names the directory; nothing is touched yet.
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// Makes the directory and those in it, if need be.
    pub(super) fn create(&self) -> anyhow::Result<()> {
        for directory in [self.path.clone(), self.keys(), self.revocations()] {
            kept::make_folder(&self.path, &directory).with_context(|| {
                format!(
                    "can't make the data directory {}: give one that this user can write to with --data-dir or SPRINGHEAD_DATA_DIR \
                     (in the container image that user has the id 65532)",
                    self.path.display(),
                )
            })?;
        }
        Ok(())
    }

    /// Whether there is such a directory.
    pub(super) fn exists(&self) -> bool {
        self.path.is_dir()
    }

    /// Takes the directory for this server alone, as long as the file is open, also past a kill. `None` when another server has it.
    pub(super) fn hold(&self) -> anyhow::Result<Option<File>> {
        let path = self.path.join(kept::LOCK);
        let file = kept::append(&path, 0o600).with_context(|| format!("can't write {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            // Some file systems have no locks; who shares such a directory is on their own.
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => Ok(Some(file)),
            Err(TryLockError::Error(error)) => Err(error).with_context(|| format!("can't lock {}", path.display())),
        }
    }

    /// Writes down where the server listens, in the order in which it is best asked for its health; and whether the last one, the admin
    /// listener, speaks TLS.
    pub(super) fn listens(&self, addresses: &[SocketAddr], admin_has_tls: bool) -> io::Result<()> {
        let (path, draft) =
            (self.path.join("listening"), self.path.join(format!(".draft-{:032x}", u128::from_le_bytes(random()))));
        let mut lines: String = addresses.iter().map(|address| format!("{address}\n")).collect();
        if admin_has_tls {
            // Who reads addresses alone passes it over.
            lines.push_str(ADMIN_HAS_TLS);
            lines.push('\n');
        }
        let write = || {
            let mut file = File::create_new(&draft)?;
            kept::give(&draft, &file);
            file.write_all(lines.as_bytes())?;
            fs::rename(&draft, path)
        };
        let written = write();
        let _ = fs::remove_file(&draft);
        written
    }

    /// Where the server on this directory listens, or did last; empty where that is not known.
    pub(super) fn listening(&self) -> Vec<SocketAddr> {
        let text = fs::read_to_string(self.path.join("listening")).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    }

    /// Whether the admin listener of that server speaks TLS.
    pub(super) fn admin_has_tls(&self) -> bool {
        let text = fs::read_to_string(self.path.join("listening")).unwrap_or_default();
        text.lines().any(|line| line == ADMIN_HAS_TLS)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Where namespaces keep their objects.
    pub(super) fn objects(&self) -> PathBuf {
        self.path.join("objects")
    }

    /// Where the histories of playlists are kept.
    pub(super) fn histories(&self) -> PathBuf {
        self.path.join("history")
    }

    /// Where it is written down who changed what.
    pub(super) fn audit(&self) -> PathBuf {
        self.path.join("audit")
    }

    /// Makes a folder for the owner alone.
    pub(super) fn make_folder(&self, folder: &Path) -> anyhow::Result<()> {
        kept::make_folder(&self.path, folder).with_context(|| format!("can't make {}", folder.display()))
    }

    /// Where it is written down what has happened to streams.
    pub(super) fn events(&self) -> PathBuf {
        self.path.join("events")
    }

    /// The record of one key.
    pub(super) fn record_of(&self, key_id: &str) -> anyhow::Result<KeyRecord> {
        let path = self.keys().join(format!("{key_id}.json"));
        read_record(&path)
            .map_err(|(_, error)| anyhow::anyhow!("{error}"))
            .with_context(|| format!("can't read {}", path.display()))
    }

    /// Puts a record in place of the one there is.
    pub(super) fn put_record(&self, record: &KeyRecord) -> anyhow::Result<()> {
        let path = self.keys().join(format!("{}.json", record.key_id));
        let text = serde_json::to_string_pretty(&RecordFile { format: RECORD_FORMAT, record })?;
        self.replace(&path, &format!("{text}\n")).with_context(|| format!("can't write {}", path.display()))
    }

    fn keys(&self) -> PathBuf {
        self.path.join("keys")
    }

    fn revocations(&self) -> PathBuf {
        self.path.join("revoked")
    }

    fn signing_key(&self) -> PathBuf {
        self.path.join("signing.key")
    }

    /// Whether [`DataDir::key_ring`] would make the first signing key of this directory.
    pub(super) fn lacks_signing_key(&self) -> bool {
        std::env::var_os(SIGNING_KEY_VARIABLE).is_none() && !self.signing_key().exists()
    }

    /// The signing keys: from the environment, or from the file, which is made when there is none and `make` allows it.
    pub(super) fn key_ring(&self, make: bool) -> anyhow::Result<KeyRing> {
        let keys = match std::env::var(SIGNING_KEY_VARIABLE) {
            Ok(text) => SigningKey::parse_all(&text).with_context(|| format!("{SIGNING_KEY_VARIABLE} is of no use"))?,
            Err(_) => self.signing_keys_from_file(make)?,
        };
        KeyRing::new(&keys).context("there is no signing key")
    }

    /// What webhooks are signed with; made when there is none.
    pub(super) fn webhook_secret(&self) -> anyhow::Result<String> {
        let path = self.path.join("webhook.secret");
        if !path.exists() {
            let secret = SigningKey::generate().encode();
            self.keep_new(&path, &format!("{secret}\n"))?;
            tracing::info!(file = %path.display(), "made the secret that webhooks are signed with");
        }
        let text = fs::read_to_string(&path).with_context(|| format!("can't read {}", path.display()))?;
        let secret = text.trim_end().to_owned();
        if secret.len() < 16 {
            bail!(
                "{} is too short to sign webhooks with: it takes 16 characters; delete it, and a new one is made",
                path.display()
            );
        }
        Ok(secret)
    }

    fn signing_keys_from_file(&self, make: bool) -> anyhow::Result<Vec<SigningKey>> {
        let path = self.signing_key();
        match fs::read_to_string(&path) {
            Ok(text) => {
                return SigningKey::parse_all(&text).with_context(|| format!("{} is of no use", path.display()));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("can't read {}", path.display())),
        }
        if !make {
            bail!(
                "there is no signing key in {}: name the server's data directory with --data-dir, or start the server once",
                self.path.display()
            );
        }
        self.create()?;
        let key = SigningKey::generate();
        match self.keep_new(&path, &format!("{}\n", key.encode())) {
            Ok(()) => Ok(vec![key]),
            // Another process made it first; that one counts.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => self.signing_keys_from_file(false),
            Err(error) => Err(error).with_context(|| format!("can't write {}", path.display())),
        }
    }

    /// Whether no key has ever been made here.
    pub(super) fn has_no_keys(&self) -> bool {
        fs::read_dir(self.keys()).map_or(true, |mut entries| entries.next().is_none())
    }

    pub(super) fn record(&self, record: &KeyRecord) -> anyhow::Result<()> {
        self.create()?;
        let path = self.keys().join(format!("{}.json", record.key_id));
        let text = serde_json::to_string_pretty(&RecordFile { format: RECORD_FORMAT, record })?;
        self.keep_new(&path, &format!("{text}\n")).with_context(|| format!("can't write {}", path.display()))
    }

    /// What tells one state of the records from another, without reading them: their names, sizes and times of change.
    pub(super) fn records_stamp(&self) -> io::Result<BTreeSet<FileStamp>> {
        let mut stamps = BTreeSet::new();
        match fs::read_dir(self.keys()) {
            Ok(entries) => {
                for entry in entries {
                    let entry = entry?;
                    // One that is gone by now is a change that the next look finds.
                    let Ok(metadata) = entry.metadata() else { continue };
                    stamps.insert((entry.file_name(), metadata.len(), (metadata.ctime(), metadata.ctime_nsec())));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        Ok(stamps)
    }

    /// The files of the records. Drafts that are being written at this moment are none.
    pub(super) fn record_files(&self) -> impl Iterator<Item = PathBuf> {
        let entries = fs::read_dir(self.keys()).into_iter().flatten();
        entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.extension().is_some_and(|end| end == "json"))
    }

    /// All records.
    pub(super) fn records(&self) -> anyhow::Result<Records> {
        let mut records = Records::default();
        match fs::read_dir(self.keys()) {
            Ok(_) => {
                for path in self.record_files() {
                    match read_record(&path) {
                        Ok(record) => records.read.push(record),
                        // Gone between two looks.
                        Err((io::ErrorKind::NotFound, _)) => {}
                        Err((kind, error)) => {
                            records.may_pass |= !kept::lasts(kind);
                            records.unread.push((path, error));
                        }
                    }
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("can't read {}", self.keys().display())),
        }
        records.read.sort_by(|one: &KeyRecord, other| (&one.issued_at, &one.key_id).cmp(&(&other.issued_at, &other.key_id)));
        Ok(records)
    }

    pub(super) fn revoke(&self, key_id: &KeyId) -> anyhow::Result<()> {
        self.create()?;
        let path = self.revocations().join(key_id.as_str());
        match self.keep_new(&path, "") {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                Err(error).with_context(|| format!("can't write {}", path.display()))
            }
            _ => Ok(()),
        }
    }

    /// The revoked keys.
    pub(super) fn revoked(&self) -> io::Result<HashSet<KeyId>> {
        let mut ids = HashSet::new();
        match fs::read_dir(self.revocations()) {
            Ok(entries) => {
                for entry in entries {
                    ids.extend(entry?.file_name().to_str().and_then(|name| KeyId::parse(name).ok()));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        Ok(ids)
    }

    /// Writes a file of this directory, whole or not at all, and never over another, for the directory's owner.
    pub(super) fn keep_new(&self, path: &Path, text: &str) -> io::Result<()> {
        kept::keep_new(&self.path, path, text)
    }

    /// The same in place of the one there is.
    pub(super) fn replace(&self, path: &Path, text: &str) -> io::Result<()> {
        kept::replace(&self.path, path, text)
    }
}

/// Reads a record. One under another name than its key's is none: of two for one key nobody could say which holds.
fn read_record(path: &Path) -> Result<KeyRecord, (io::ErrorKind, String)> {
    let no_record = |why: String| (io::ErrorKind::InvalidData, why);
    let text = fs::read_to_string(path).map_err(|error| (error.kind(), error.to_string()))?;
    // Before anything else of it: what a later form means by a field is not known here.
    let RecordForm { format } = serde_json::from_str(&text).map_err(|error| no_record(error.to_string()))?;
    if format > RECORD_FORMAT {
        return Err(no_record(format!(
            "a newer Springhead wrote it, in form {format}: it is left as it is, and good again when that one runs"
        )));
    }
    let record: KeyRecord = serde_json::from_str(&text).map_err(|error| no_record(error.to_string()))?;
    let name = format!("{}.json", record.key_id);
    if path.file_name().is_some_and(|found| *found == *name) {
        return Ok(record);
    }
    Err(no_record(format!("the record of that key is {name}, and no other file is: remove this one")))
}
