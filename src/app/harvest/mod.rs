//! A window of a stream copied to a folder or a bucket, as a recording that needs no server: by the [`command`] from any server, by the
//! [`jobs`] of a running one from itself.
//!
//! [`recording`] is what becomes of playlists, [`source`] where it comes from, [`sink`] where it goes; here is what is copied in which
//! order. Invariants: files appear whole or not at all, so that a harvest that was broken off goes on where it was when it is run
//! again. What names others is written after them, and only when all of them are there. No more than one file is held in memory.

mod command;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod jobs;
mod recording;
mod sink;
mod source;
mod window;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use self::recording::{MediaCopy, Piece};
use self::sink::Sink;
use self::source::{Failed, Source};
use super::client::Url;
use crate::hls::playlist::{self, Surroundings, Variables, substituted};
use crate::store;

pub(super) use self::command::{HarvestRequest, run};
pub(super) use self::jobs::Jobs;

/// What is remembered of a harvest, beside what it has copied.
const RECORD: &str = "harvest.json";
/// How many of the files that are missing are named.
const NAMED: usize = 20;
/// How often a playlist that is about to have its end is asked for, and how long at least and at most: it is twice its target duration.
const ASKED_AGAIN: Duration = Duration::from_millis(500);
const LEAST_PATIENCE: Duration = Duration::from_secs(4);
const MOST_PATIENCE: Duration = Duration::from_secs(30);
/// How long a bucket may take for one file.
const BUCKET_WITHIN: Duration = Duration::from_secs(60);

/// What was asked for and what it meant then: a second run copies the rest of the same.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct HarvestRecord {
    playlist: String,
    asked: Vec<Option<String>>,
    window: String,
}

/// How far a harvest has come. Read from elsewhere while it goes on.
#[derive(Debug, Default)]
struct CopyCounts {
    total: AtomicU64,
    copied: AtomicU64,
    bytes: AtomicU64,
    kept: AtomicU64,
    missing: AtomicU64,
    /// The first of those that are missing, with the reason.
    named: Mutex<Vec<String>>,
    /// The first media playlists that were named and have nothing in the window.
    left_out: Mutex<Vec<String>>,
}

impl CopyCounts {
    fn read(count: &AtomicU64) -> u64 {
        count.load(Ordering::Relaxed)
    }

    fn add(count: &AtomicU64, more: u64) {
        count.fetch_add(more, Ordering::Relaxed);
    }

    /// Files that are done, one way or the other.
    fn done(&self) -> u64 {
        Self::read(&self.copied) + Self::read(&self.kept) + Self::read(&self.missing)
    }

    fn leave_out(&self, what: String) {
        let mut left_out = self.left_out.lock();
        if left_out.len() < NAMED {
            left_out.push(what);
        }
    }

    fn miss(&self, what: String) {
        Self::add(&self.missing, 1);
        let mut named = self.named.lock();
        if named.len() < NAMED {
            named.push(what);
        }
    }
}

/// Opens a place in a bucket. What is allowed there shows when it is used.
fn bucket(location: &store::Location, access: &store::Access) -> anyhow::Result<Sink> {
    let folder = store::Folder::open(location, access, BUCKET_WITHIN)?;
    Ok(Sink::Bucket { folder, url: location.to_string() })
}

/// Takes up the harvest that was begun there, or begins one.
async fn resume(sink: &Sink, record: HarvestRecord) -> anyhow::Result<HarvestRecord> {
    let lengths = sink.lengths().await?;
    // One that has copied nothing, because there was nothing or for want of a right, has not taken its place.
    let is_taken = lengths.keys().any(|name| name != RECORD);
    if let Some(text) = sink.read(RECORD).await?.filter(|_| is_taken) {
        let known: HarvestRecord = serde_json::from_slice(&text).with_context(|| format!("{} is damaged", sink.name(RECORD)))?;
        if known.playlist != record.playlist || known.asked != record.asked {
            bail!("{} holds another harvest: name another place", sink.name(""));
        }
        return Ok(known);
    }
    if is_taken {
        bail!("{} is not empty and holds no harvest: name another place", sink.name(""));
    }
    sink.write(RECORD, Bytes::from(serde_json::to_vec(&record)?)).await?;
    Ok(record)
}

struct Harvest {
    source: Source,
    sink: Sink,
    keys: bool,
    counts: Arc<CopyCounts>,
}

impl Harvest {
    /// Copies what the playlist at `entry` has in a window, and says the name of the recording's own playlist.
    async fn copy(&self, entry: &Url, window: &str) -> anyhow::Result<String> {
        let mut entry = entry.clone();
        entry.set_query(Some(window));
        let text = self.playlist(&entry, None).await?;
        let variables = Variables::of(&text, Surroundings::default());
        let is_multivariant = recording::is_multivariant(&text);
        let mut plans = Vec::new();
        if is_multivariant {
            for (number, url) in recording::children(&text, &entry).into_iter().enumerate() {
                // What another host has may be all there is of it: a second network's copy of what is here is no loss.
                let is_elsewhere = url.origin() != entry.origin();
                match self.read(&url, Some(&variables)).await {
                    Ok(text) if is_elsewhere && !recording::has_end(&text) => {
                        self.counts.leave_out(format!("{}: that host cuts no window", self.source.name(&url)));
                    }
                    Ok(text) => plans.push(self.plan(text, &url, Some(&variables), number.to_string()).await?),
                    Err(failed) if is_elsewhere => self.counts.leave_out(format!("{}: {failed}", self.source.name(&url))),
                    // What was named then and never came, or has nothing in the window, is no loss to what is there.
                    Err(Failed::Missing(why)) => self.counts.leave_out(format!("{}: {why}", self.source.name(&url))),
                    Err(Failed::Broken(why)) => bail!("{}: {why}", self.source.name(&url)),
                }
            }
        } else {
            plans.push(self.plan(text.clone(), &entry, None, String::new()).await?);
        }
        let master = match is_multivariant.then(|| recording::rewrite_multivariant(&text, &entry, &plans, self.keys)) {
            None => None,
            Some(Some(master)) => Some(master),
            Some(None) => {
                let named = self.counts.left_out.lock().join("\n  ");
                bail!("there is nothing to play in this window: of no variant is anything there\n  {named}");
            }
        };
        let total = plans.iter().map(|plan| plan.pieces.len()).sum::<usize>();
        CopyCounts::add(&self.counts.total, total as u64);
        let here = self.sink.lengths().await?;
        for plan in &plans {
            for piece in &plan.pieces {
                match self.piece(piece, &here).await {
                    Ok(()) => {}
                    Err(NotCopied::Missing(why)) => self.counts.miss(format!("{}: {why}", self.source.name(&piece.url))),
                    Err(NotCopied::Broken(error)) => return Err(error),
                }
            }
        }
        let missing = CopyCounts::read(&self.counts.missing);
        if missing > 0 {
            let named = self.counts.named.lock();
            let more = missing.saturating_sub(named.len() as u64);
            let more = if more > 0 { format!("\n  and {more} more") } else { String::new() };
            bail!("{missing} of {total} files are missing; run it again to copy the rest:\n  {}{more}", named.join("\n  "));
        }
        // Playlists last, and the one that names them all at the very end: what they name is there.
        for plan in plans {
            let name = if plan.folder.is_empty() { "playlist.m3u8".to_owned() } else { format!("{}/playlist.m3u8", plan.folder) };
            self.sink.write(&name, Bytes::from(plan.text)).await?;
        }
        let name = if master.is_some() { "master.m3u8" } else { "playlist.m3u8" };
        if let Some(master) = master {
            self.sink.write(name, Bytes::from(master)).await?;
        }
        Ok(name.to_owned())
    }

    /// What is to be copied of a media playlist. One whose end is about to be listed is asked for again: a window that ends now has its
    /// end when what reaches it is there.
    async fn plan(&self, mut text: String, url: &Url, imports: Option<&Variables>, folder: String) -> anyhow::Result<MediaCopy> {
        let target = playlist::target_duration(text.as_bytes()).unwrap_or_default();
        let mut patience = (target * 2).clamp(LEAST_PATIENCE, MOST_PATIENCE);
        while !recording::has_end(&text) && !patience.is_zero() {
            tokio::time::sleep(ASKED_AGAIN).await;
            patience = patience.saturating_sub(ASKED_AGAIN);
            text = self.playlist(url, imports).await?;
        }
        let plan = recording::plan(&text, url, folder, self.keys)?;
        if plan.text.contains(jobs::NOWHERE) {
            bail!(
                "the playlist's content keys are on this server: ask for them with \"keys\": true, or name the server in \"base\""
            );
        }
        Ok(plan)
    }

    async fn playlist(&self, url: &Url, imports: Option<&Variables>) -> anyhow::Result<String> {
        self.read(url, imports).await.map_err(|failed| anyhow::anyhow!("{}: {failed}", self.source.name(url)))
    }

    /// A playlist's text, with its variables as far as they are known from where it was named.
    async fn read(&self, url: &Url, imports: Option<&Variables>) -> Result<String, Failed> {
        let text = self.source.playlist(url).await?;
        Ok(substituted(&text, Surroundings { imports, query: url.query() }).into_owned())
    }

    /// Copies a file, unless it is there in its full length already.
    async fn piece(&self, piece: &Piece, here: &HashMap<String, u64>) -> Result<(), NotCopied> {
        if let Some(present) = here.get(&piece.path) {
            let length = match piece.range {
                Some(range) => Some(range.length),
                None => self.source.length(&piece.url).await,
            };
            if length == Some(*present) {
                CopyCounts::add(&self.counts.kept, 1);
                return Ok(());
            }
        }
        let bytes = match self.source.bytes(&piece.url, piece.range).await {
            Ok(bytes) => bytes,
            Err(Failed::Missing(why)) => return Err(NotCopied::Missing(why)),
            Err(Failed::Broken(why)) => {
                let name = self.source.name(&piece.url);
                return Err(NotCopied::Broken(anyhow::anyhow!("{name}: {why}; run it again to copy the rest")));
            }
        };
        let length = bytes.len() as u64;
        self.sink.write(&piece.path, bytes).await.map_err(NotCopied::Broken)?;
        CopyCounts::add(&self.counts.copied, 1);
        CopyCounts::add(&self.counts.bytes, length);
        Ok(())
    }
}

/// Why a file is not copied.
enum NotCopied {
    /// It is not there; the next one may be.
    Missing(String),
    /// The next one would not be copied either.
    Broken(anyhow::Error),
}
