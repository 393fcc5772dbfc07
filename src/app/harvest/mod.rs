//! A window of a stream copied to a folder or a bucket, as a recording that needs no server: by the [`command`] from any server, by the
//! [`jobs`] of a running one from itself.
//!
//! [`recording`] is what becomes of playlists, [`source`] where it comes from, [`sink`] where it goes, [`turns`] whose turn it is, [`remembered`] what there was; here
//! is what is copied in which order. Invariants: files appear whole or not at all, so that a harvest that was broken off goes on where it was when it is run
//! again. What names others is written after them, and only when all of them are there. No more than one file is held in memory.

mod command;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod job;
mod jobs;
mod recording;
mod remembered;
mod sink;
mod source;
mod turns;
mod window;

use std::collections::{BTreeSet, HashMap};
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
use self::window::HarvestWindow;
use super::client::Url;
use crate::hls::playlist::{self, Surroundings, Variables, substituted};
use crate::hls::shift::Window;
use crate::store;

pub(super) use self::command::{HarvestRequest, run};
pub(super) use self::jobs::Jobs;
pub(super) use self::remembered::RecordingLog;

/// What is remembered of a harvest, beside what it has copied.
const RECORD: &str = "harvest.json";
/// What a recording's own playlists are called.
const MASTER: &str = "master.m3u8";
const PLAYLIST: &str = "playlist.m3u8";
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
    /// What it writes here, as far as that is known: nothing else is deleted when another one takes its place.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    files: BTreeSet<String>,
}

impl HarvestRecord {
    fn new(playlist: String, asked: &HarvestWindow, window: Window) -> Self {
        Self { playlist, asked: asked.words(), window: window.to_string(), files: BTreeSet::new() }
    }

    /// What it is of, as whoever ordered it would say it.
    fn words(&self) -> String {
        let asked = ["from", "to", "last"].iter().zip(&self.asked);
        let words: String = asked.filter_map(|(word, text)| Some(format!(", {word} {}", text.as_deref()?))).collect();
        format!("{}{words}", self.playlist)
    }

    /// Whether it has written this file, or was about to when it was broken off.
    fn wrote(&self, name: &str) -> bool {
        let draft = name.strip_suffix("part");
        name == RECORD
            || self.files.contains(name)
            || draft.is_some_and(|stem| self.files.range(stem.to_owned()..).next().is_some_and(|file| file.starts_with(stem)))
    }
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
    /// Segments that the recording marks as missing (EXT-X-GAP), and the first stretches of them: in which playlist, and when.
    gaps: AtomicU64,
    gap_times: Mutex<Vec<String>>,
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

    /// What a playlist of the recording marks as missing.
    fn mark(&self, plan: &MediaCopy) {
        let mut times = self.gap_times.lock();
        for gap in &plan.gaps {
            Self::add(&self.gaps, gap.segments);
            if times.len() < NAMED {
                times.push(format!("{}: {gap}", playlist_of(plan)));
            }
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

/// A harvest that has been taken up, or begun.
struct Resumed {
    record: HarvestRecord,
    /// What an earlier one has copied to its place, to be deleted as soon as there is something to copy instead.
    replaced: Vec<String>,
}

/// Takes up the harvest that was begun there, or begins one. `replaces`: it begins anew in any case, in place of what an earlier harvest
/// has copied there, and of nothing else. `may`: whether one of this playlist may be told of, gone on with and replaced.
async fn resume(sink: &Sink, record: HarvestRecord, replaces: bool, may: impl Fn(&str) -> bool) -> anyhow::Result<Resumed> {
    let lengths = sink.lengths().await?;
    // One that has copied nothing, because there was nothing or for want of a right, has not taken its place.
    let is_taken = lengths.keys().any(|name| name != RECORD);
    let place = sink.name("");
    if let Some(text) = sink.read(RECORD).await?.filter(|_| is_taken) {
        let known: HarvestRecord = serde_json::from_slice(&text).with_context(|| format!("{} is damaged", sink.name(RECORD)))?;
        if !may(&known.playlist) {
            bail!("{place} holds another harvest, of what the key of this order does not reach: name another place");
        }
        if !replaces {
            if known.playlist != record.playlist || known.asked != record.asked {
                let is_whole = lengths.contains_key(MASTER) || lengths.contains_key(PLAYLIST);
                let state = if is_whole { "" } else { ", which is not whole" };
                bail!(
                    "{place} holds another harvest: of {}{state}; order the same again to go on with that, replace it (--replace, or \
                     \"replace\": true in an order), which deletes what it has copied, or name another place",
                    known.words()
                );
            }
            return Ok(Resumed { record: known, replaced: Vec::new() });
        }
        if let Some(foreign) = lengths.keys().filter(|name| !known.wrote(name)).min() {
            bail!("{place} holds what no harvest has written there, {foreign} for one: nothing is deleted; name another place");
        }
        // What names others goes first: what is left is not to be taken for a recording.
        let mut replaced: Vec<_> = lengths.into_keys().filter(|name| name != RECORD).collect();
        replaced.sort_by_key(|name| (!name.ends_with(MASTER), !name.ends_with(PLAYLIST)));
        return Ok(Resumed { record, replaced });
    } else if is_taken {
        bail!("{place} is not empty and holds no harvest: name another place");
    }
    sink.write(RECORD, Bytes::from(serde_json::to_vec(&record)?)).await?;
    Ok(Resumed { record, replaced: Vec::new() })
}

struct Harvest {
    source: Source,
    sink: Sink,
    keys: bool,
    counts: Arc<CopyCounts>,
}

impl Harvest {
    /// Copies what the playlist at this URL has in the window of the record, and says the name of the recording's own playlist.
    async fn copy(&self, playlist: &Url, resumed: Resumed) -> anyhow::Result<String> {
        let Resumed { mut record, replaced } = resumed;
        let mut entry = playlist.clone();
        // It is asked for once: what came too late for those who watched belongs into a recording.
        entry.set_query(Some(&format!("{}&late=1", record.window)));
        let text = self.playlist(&entry, None).await?;
        let variables = Variables::of(&text, Surroundings::default());
        let is_multivariant = recording::is_multivariant(&text);
        let mut plans = Vec::new();
        if is_multivariant {
            self.name_left_out(playlist, &text, &entry).await;
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
        // What was there goes now, and not before: a server that is away, a wrong key or name or an empty window cost nobody a recording.
        for name in &replaced {
            self.sink.delete(name).await?;
        }
        plans.iter().for_each(|plan| self.counts.mark(plan));
        let total = plans.iter().map(|plan| plan.pieces.len()).sum::<usize>();
        CopyCounts::add(&self.counts.total, total as u64);
        let pieces = plans.iter().flat_map(|plan| &plan.pieces).map(|piece| piece.path.clone());
        record.files.extend(pieces.chain(plans.iter().map(playlist_of)).chain(master.is_some().then(|| MASTER.to_owned())));
        self.sink.write(RECORD, Bytes::from(serde_json::to_vec(&record)?)).await?;
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
        // Playlists last, and the one that names them all at the very end: what they name is there, and stays there.
        self.sink.settle().await?;
        for plan in plans {
            self.sink.write(&playlist_of(&plan), Bytes::from(plan.text)).await?;
        }
        self.sink.settle().await?;
        let name = if let Some(master) = master {
            self.sink.write(MASTER, Bytes::from(master)).await?;
            self.sink.settle().await?;
            MASTER
        } else {
            PLAYLIST
        };
        Ok(name.to_owned())
    }

    /// Names what the server has left out of the multivariant playlist of the window, and names in that of now.
    async fn name_left_out(&self, playlist: &Url, text: &str, entry: &Url) {
        // Where that is not there, what the window has is all there is.
        let Ok(now) = self.source.newest(playlist).await else { return };
        let bare = |mut url: Url| {
            let words = url.query().unwrap_or_default().split('&');
            let is_window = |word: &&str| ["start=", "end=", "late="].iter().any(|name| word.starts_with(name));
            let query = words.filter(|word| !word.is_empty() && !is_window(word)).collect::<Vec<_>>().join("&");
            url.set_query(Some(&*query).filter(|query| !query.is_empty()));
            url
        };
        let of_window: Vec<Url> = recording::children(text, entry).into_iter().map(bare).collect();
        for url in recording::children(&now, playlist).into_iter().map(bare).filter(|url| !of_window.contains(url)) {
            self.counts.leave_out(format!("{}: nothing of it is in the window", self.source.name(&url)));
        }
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

/// Where the playlist of what is planned goes.
fn playlist_of(plan: &MediaCopy) -> String {
    if plan.folder.is_empty() { PLAYLIST.to_owned() } else { format!("{}/{PLAYLIST}", plan.folder) }
}

/// Why a file is not copied.
enum NotCopied {
    /// It is not there; the next one may be.
    Missing(String),
    /// The next one would not be copied either.
    Broken(anyhow::Error),
}
