//! One server for each data directory, or, where that is asked for, one that follows the other: it takes up what that one makes of
//! namespaces, and is the one when it has ended.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use tokio::sync::Notify;

use super::data_dir::{DataDir, FileStamp};
use super::settings::MADE_FOLDER;

/// How often a server that takes over asks whether the one before has ended, and looks at what it has made.
const EVERY: Duration = Duration::from_millis(500);

/// Sees to it that the data directory has one server, or, where that is asked for, that this one follows the one there is. What it returns is
/// rung whenever that one may have made, changed or removed a namespace, and once when it has ended.
///
/// # Errors
/// When there is another one, and this one is not to follow it.
pub(super) fn hold(data: &DataDir, reuse_port: bool) -> anyhow::Result<Arc<Notify>> {
    let held = data.hold()?;
    if held.is_none() && !reuse_port {
        bail!(
            "another server uses the data directory {}: stop it first, or give this one a directory of its own with --data-dir; \
             reuse_port = true lets a new server start beside the old one, to take over when that one ends",
            data.path().display()
        );
    }
    if held.is_none() {
        tracing::info!("another server uses the data directory: what it keeps there is taken over when it ends");
    }
    let (data, made) = (data.clone(), Arc::new(Notify::new()));
    let told = Arc::clone(&made);
    tokio::spawn(async move {
        let (folder, mut held) = (data.path().join(MADE_FOLDER), held);
        // The settings were read before there was a look: the first one counts as a change.
        let mut seen = None;
        let mut fault = String::new();
        while held.is_none() {
            tokio::time::sleep(EVERY).await;
            match data.hold() {
                Ok(now) => held = now,
                Err(error) => tell(&mut fault, format!("{error:#}")),
            }
            let now = Some(stamps(&folder));
            if held.is_some() || seen != now {
                seen = now;
                told.notify_one();
            }
        }
        std::future::pending::<()>().await;
        drop(held);
    });
    Ok(made)
}

/// Says why it can't be told whether the other one has ended, where that is news.
fn tell(told: &mut String, error: String) {
    if *told != error {
        tracing::warn!(
            error,
            "it can't be asked whether the other server has ended: what it keeps is not taken over until that is mended"
        );
        *told = error;
    }
}

/// The files of a folder as they are now; of one that can't be read none. Drafts that are being written are left out.
fn stamps(folder: &Path) -> BTreeSet<FileStamp> {
    let is_made = |name: &OsString| Path::new(name).extension().is_some_and(|extension| extension == "toml");
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok).filter(|entry| is_made(&entry.file_name()));
    let stamp = |entry: fs::DirEntry| {
        let metadata = entry.metadata().ok()?;
        Some((entry.file_name(), metadata.len(), (metadata.ctime(), metadata.ctime_nsec())))
    };
    entries.filter_map(stamp).collect()
}
