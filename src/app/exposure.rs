//! What others on this machine can do in the data directory that only its owner should: it is said at the start, and by the commands
//! that use the keys. Not refused: volumes are handed out with such modes, and an encoder that is turned away over them helps nobody.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::data_dir::DataDir;
use super::shell::quote;
use super::{viewer_key, viewer_revocations};
use crate::store::Readers;

/// Who may write in a folder beside its owner.
const WRITERS: u32 = 0o022;
/// Who may do anything with a file beside its owner.
const OTHERS: u32 = 0o077;

/// All there is to be said, a line each.
pub(super) fn of(data: &DataDir) -> Vec<String> {
    let path = data.path();
    let mut said = Vec::new();
    for (name, why) in [
        ("", "who can replace what is in it has every key and object"),
        ("keys", "a record that is put there or changed opens namespaces to its ingest password"),
        ("revoked", "who removes a file there makes a revoked API key good again"),
        (viewer_revocations::FILE, "who changes it makes a revoked viewer's token good again"),
    ] {
        let folder = if name.is_empty() { path.to_owned() } else { path.join(name) };
        if let Some(mode) = open_to(&folder, if is_ours_by_group(&folder) { WRITERS & 0o007 } else { WRITERS }) {
            let folder = folder.display().to_string();
            let in_shell = quote(&folder);
            said.push(format!(
                "{folder} has the mode {mode:04o}: other users of this machine can write in it, and {why}; 'chmod go-w {in_shell}' closes it"
            ));
        }
    }
    for (name, why) in [
        ("signing.key", "who has it makes API keys for everything"),
        (viewer_key::FILE, "who has it makes viewers' tokens for everything"),
        ("webhook.secret", "who has it signs webhooks"),
        ("encoder_api_key.json", "there is an API key in it"),
        ("player_api_key.json", "there is an API key in it"),
        ("admin_api_key.json", "there is an API key in it"),
    ] {
        let file = path.join(name);
        if let Some(mode) = open_to(&file, OTHERS) {
            let file = file.display().to_string();
            let in_shell = quote(&file);
            said.push(format!(
                "{file} has the mode {mode:04o}: other users of this machine can read it, and {why}; 'chmod 600 {in_shell}' closes it"
            ));
        }
    }
    let records = data.record_files().filter(|file| open_to(file, OTHERS).is_some()).count();
    if records > 0 {
        let keys = path.join("keys");
        let keys = keys.display().to_string();
        let in_shell = quote(&keys);
        said.push(format!(
            "{records} key records in {keys} are open to other users of this machine: they say what each key allows, and who can write \
             one changes that for its ingest password; 'chmod 600 {in_shell}/*.json' closes them"
        ));
    }
    said
}

/// What keeps those out whom `object_readers` lets in, if anything does: the umask, or a folder above the objects.
pub(super) fn shut(data: &DataDir, readers: Readers) -> Option<String> {
    let (bits, umask, mode) = match readers {
        Readers::Owner => return None,
        Readers::Group => (0o050, "0027", "g+x"),
        Readers::Everyone => (0o055, "0022", "go+x"),
    };
    let name = Readers::ALL.iter().find(|(known, _)| *known == readers).map_or("", |(_, name)| name);
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let own = status.lines().find_map(|line| u32::from_str_radix(line.strip_prefix("Umask:")?.trim(), 8).ok());
    if let Some(own) = own.filter(|own| own & bits != 0) {
        return Some(format!(
            "object_readers is \"{name}\", but the umask of this process is {own:04o}, which keeps them from every object that is written: start \
             it with {umask} (UMask={umask} under systemd)"
        ));
    }
    let folders = [data.path().to_owned(), data.objects()];
    folders.into_iter().find_map(|folder| {
        let mode_of = fs::metadata(&folder).ok()?.mode() & 0o777;
        let folder = folder.display();
        (!mode_of & bits & 0o011 != 0).then(|| {
            format!(
                "object_readers is \"{name}\", but {folder} has the mode {mode_of:04o}, and they get no further: 'chmod {mode} {folder}' opens it \
                 (under systemd StateDirectoryMode= says it too, at each start)"
            )
        })
    })
}

/// Whether it is root's and this process is not: then it is its group that lets this user write there, as on a volume with an `fsGroup`.
fn is_ours_by_group(folder: &Path) -> bool {
    let owner = |path: &Path| fs::metadata(path).map(|place| place.uid());
    matches!((owner(folder), owner(Path::new("/proc/self"))), (Ok(0), Ok(1..)))
}

/// The permissions, where they let in any of these.
fn open_to(path: &Path, whom: u32) -> Option<u32> {
    let mode = fs::metadata(path).ok()?.mode() & 0o777;
    (mode & whom != 0).then_some(mode)
}
