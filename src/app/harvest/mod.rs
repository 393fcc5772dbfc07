//! A window of a stream copied to a folder or a bucket, as a recording that needs no server: by the [`command`] from any server, by the
//! [`jobs`] of a running one from itself.
//!
//! [`recording`] is what becomes of playlists, [`planned`] and [`record`] what is remembered of it beside the files, [`source`] where it comes
//! from, [`sink`] where it goes, [`turns`] whose turn it is, [`remembered`] what there was; here is what is copied in which order.
//! Invariants: files appear whole or not at all, so that a harvest that was broken off goes on where it was when it is run again. What was
//! planned stays planned: however little the source has by then, nothing that was copied is lost to the recording. What names others is written
//! after them, and only when all of them are there. No more than one file is held in memory.

mod command;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod job;
mod jobs;
mod planned;
mod record;
mod recording;
mod remembered;
mod sink;
mod source;
#[cfg(test)]
mod tests;
mod turns;
mod window;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use parking_lot::Mutex;

use self::planned::{FinishedPlaylists, PlannedPiece, RecordingPlan, Whereabouts};
use self::record::{HarvestRecord, Resumed, resume};
use self::recording::{MediaCopy, Piece};
use self::sink::Sink;
use self::source::{Failed, Source};
use super::client::Url;
use crate::hls::playlist::{self, Surroundings, Variables, substituted};
use crate::store;

pub(super) use self::command::{HarvestRequest, run};
pub(super) use self::jobs::Jobs;
pub(super) use self::remembered::RecordingLog;

/// What is remembered of a harvest, beside what it has copied.
const RECORD: &str = "harvest.json";
/// What a recording's own playlists are called.
const MASTER: &str = "master.m3u8";
const PLAYLIST: &str = "playlist.m3u8";
/// Stands for this server where nobody has said how it is reached. No host has this name (RFC 6761 6.4).
const NOWHERE: &str = "http://springhead.invalid/";
/// How many of the files that are missing are named.
const NAMED: usize = 20;
/// How often a playlist that is about to have its end is asked for, and how long at least and at most: it is twice its target duration.
const ASKED_AGAIN: Duration = Duration::from_millis(500);
const LEAST_PATIENCE: Duration = Duration::from_secs(4);
const MOST_PATIENCE: Duration = Duration::from_secs(30);
/// How long a bucket may take for one file.
const BUCKET_WITHIN: Duration = Duration::from_secs(60);

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
    fn mark(&self, name: &str, text: &str) {
        let mut times = self.gap_times.lock();
        for gap in recording::gaps(text) {
            Self::add(&self.gaps, gap.segments);
            if times.len() < NAMED {
                times.push(format!("{name}: {gap}"));
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

struct Harvest {
    source: Source,
    sink: Sink,
    keys: bool,
    counts: Arc<CopyCounts>,
}

impl Harvest {
    /// Copies what the playlist at this URL has in the window of the record, or the rest of what was planned for it before, and says the
    /// name of the recording's own playlist.
    async fn copy(&self, playlist: &Url, resumed: Resumed) -> anyhow::Result<String> {
        let Resumed { mut record, replaced } = resumed;
        let known = record.plan.take();
        if known.as_ref().is_some_and(|known| known.keys != self.keys) {
            let (was, place) = (if self.keys { "without" } else { "with" }, self.sink.name(""));
            bail!("the harvest in {place} was begun {was} content keys: order it like that again, or replace it");
        }
        let here = self.sink.lengths().await?;
        let (plan, whereabouts, here) = match (known, self.listed(playlist, &record.window).await?) {
            // What the source has lost since is no less of the recording.
            (Some(known), listed) => (known, listed.map(|(_, whereabouts)| whereabouts).unwrap_or_default(), here),
            (None, Ok((mut plan, whereabouts))) => {
                if replaced.is_empty() {
                    self.check_reach(&plan, &here).await?;
                }
                plan.left_out.clone_from(&self.counts.left_out.lock());
                // What was there goes now, and not before: a server that is away, a wrong key or name or an empty window cost nobody a
                // recording.
                for name in &replaced {
                    self.sink.delete(name).await?;
                }
                record.files.extend(plan.files());
                record.plan = Some(plan);
                self.sink.write(RECORD, Bytes::from(serde_json::to_vec(&record)?)).await?;
                // Of what was not planned by this, nobody knows what it is.
                (record.plan.take().unwrap_or_default(), whereabouts, HashMap::new())
            }
            (None, Err(why)) => bail!(why),
        };
        self.counts.left_out.lock().clone_from(&plan.left_out);
        CopyCounts::add(&self.counts.total, plan.pieces().count() as u64);
        let mut gone = HashSet::new();
        for piece in plan.pieces() {
            let present = here.get(&piece.path).copied().filter(|length| *length != u64::MAX && piece.fits(*length));
            match self.piece(piece, whereabouts.of(piece), present).await {
                Ok(()) => {}
                Err(NotCopied::Gone) if whereabouts.is_unknown(piece) => {
                    self.counts.miss(format!("{}: the playlist that listed it could not be read", piece.path));
                }
                Err(NotCopied::Missing(why)) => self.counts.miss(why),
                Err(NotCopied::Gone) => {
                    self.counts.total.fetch_sub(1, Ordering::Relaxed);
                    gone.insert(&*piece.path);
                }
                Err(NotCopied::Broken(error)) => return Err(error),
            }
        }
        let Some(finished) = plan.finished(&gone) else {
            bail!("there is nothing to play: the source has none of it any more, and nothing of it is here");
        };
        finished.media.iter().for_each(|(name, text)| self.counts.mark(name, text));
        finished.left_out.iter().for_each(|name| self.counts.leave_out(format!("{name}: nothing of it is to be had any more")));
        self.check_whole()?;
        self.write_playlists(finished).await
    }

    /// What the source has in the window, and where. Or, within, why that is nothing.
    async fn listed(&self, playlist: &Url, window: &str) -> anyhow::Result<Result<(RecordingPlan, Whereabouts), String>> {
        let mut entry = playlist.clone();
        // It is asked for once: what came too late for those who watched belongs into a recording.
        entry.set_query(Some(&format!("{window}&late=1")));
        let text = match self.read(&entry, None).await {
            Ok(text) => text,
            Err(Failed::Missing(why)) => return Ok(Err(format!("{}: {why}", self.source.name(&entry)))),
            Err(failed) => bail!("{}: {failed}", self.source.name(&entry)),
        };
        let variables = Variables::of(&text, Surroundings::default());
        if !recording::is_multivariant(&text) {
            let copy = self.plan(text, &entry, None, String::new()).await?;
            return Ok(Ok(RecordingPlan::new(vec![copy], None, &entry, self.keys)));
        }
        let (mut copies, mut unread) = (Vec::new(), Vec::new());
        self.name_left_out(playlist, &text, &entry).await;
        for (number, url) in recording::children(&text, &entry).into_iter().enumerate() {
            // What another host has may be all there is of it: a second network's copy of what is here is no loss.
            let is_elsewhere = url.origin() != entry.origin();
            match self.read(&url, Some(&variables)).await {
                Ok(text) if is_elsewhere && !recording::has_end(&text) => {
                    self.counts.leave_out(format!("{}: that host cuts no window", self.source.name(&url)));
                    unread.push(url);
                }
                Ok(text) => copies.push(self.plan(text, &url, Some(&variables), number.to_string()).await?),
                // What was named then and never came, or has nothing in the window, is no loss to what is there.
                Err(Failed::Missing(why)) => self.counts.leave_out(format!("{}: {why}", self.source.name(&url))),
                Err(Failed::Broken(why)) if !is_elsewhere => bail!("{}: {why}", self.source.name(&url)),
                Err(failed) => {
                    self.counts.leave_out(format!("{}: {failed}", self.source.name(&url)));
                    unread.push(url);
                }
            }
        }
        if let Some(master) = recording::rewrite_multivariant(&text, &entry, &copies, self.keys) {
            let (plan, mut whereabouts) = RecordingPlan::new(copies, Some(master), &entry, self.keys);
            whereabouts.unread = unread;
            return Ok(Ok((plan, whereabouts)));
        }
        let named = self.counts.left_out.lock().join("\n  ");
        let why = format!("there is nothing to play in this window: of no variant is anything there\n  {named}");
        // What can't be read may have all of it.
        if unread.is_empty() { Ok(Err(why)) } else { bail!(why) }
    }

    /// Whether what is planned is no less than what a version has copied there that did not write its plan down.
    async fn check_reach(&self, plan: &RecordingPlan, here: &HashMap<String, u64>) -> anyhow::Result<()> {
        let is_media = |name: &str| name == PLAYLIST || name.strip_suffix(PLAYLIST).is_some_and(|folder| folder.ends_with('/'));
        let mut before = 0;
        for (name, _) in here.iter().filter(|(name, length)| is_media(name) && **length != u64::MAX) {
            let text = self.sink.read(name).await?.unwrap_or_default();
            before += recording::segments(&String::from_utf8_lossy(&text));
        }
        let now: usize = plan.texts().map(recording::segments).sum();
        if now < before {
            bail!(
                "{} holds {before} segments, and {now} of them are to be had now: it is left as it is; name another place",
                self.sink.name("")
            );
        }
        Ok(())
    }

    /// Whether all is there that the source lists.
    fn check_whole(&self) -> anyhow::Result<()> {
        let (missing, total) = (CopyCounts::read(&self.counts.missing), CopyCounts::read(&self.counts.total));
        if missing == 0 {
            return Ok(());
        }
        let named = self.counts.named.lock();
        let more = missing.saturating_sub(named.len() as u64);
        let more = if more > 0 { format!("\n  and {more} more") } else { String::new() };
        bail!("{missing} of {total} files are missing; run it again to copy the rest:\n  {}{more}", named.join("\n  "));
    }

    /// Playlists last, and the one that names them all at the very end: what they name is there, and stays there.
    async fn write_playlists(&self, finished: FinishedPlaylists) -> anyhow::Result<String> {
        let FinishedPlaylists { mut media, master, .. } = finished;
        let last = master.map(|text| (MASTER.to_owned(), text)).or_else(|| media.pop());
        for (name, text) in media {
            self.sink.write(&name, Bytes::from(text)).await?;
        }
        let (name, text) = last.context("there is no playlist")?;
        self.sink.settle().await?;
        self.sink.write(&name, Bytes::from(text)).await?;
        self.sink.settle().await?;
        Ok(name)
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
        if plan.text.contains(NOWHERE) {
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

    /// Copies a file from where it is listed, unless it is there in its full length already. `present`: the length of what is there that may
    /// be it.
    async fn piece(&self, piece: &PlannedPiece, listed: Option<&Piece>, present: Option<u64>) -> Result<(), NotCopied> {
        let keep = || -> Result<(), NotCopied> {
            CopyCounts::add(&self.counts.kept, 1);
            Ok(())
        };
        // What lies under its name at the source by now may be something else. What is here is whole, or it would not be here.
        let Some(Piece { url, range, .. }) = listed else { return if present.is_some() { keep() } else { Err(NotCopied::Gone) } };
        let expected = match (present, range) {
            (None, _) => None,
            (Some(_), Some(range)) => Some(range.length),
            (Some(_), None) => self.source.length(url).await,
        };
        if expected.is_some() && expected == present {
            return keep();
        }
        let bytes = match self.source.bytes(url, *range).await {
            Ok(bytes) => bytes,
            Err(Failed::Missing(_)) if present.is_some() && expected.is_none() => return keep(),
            Err(Failed::Missing(why) | Failed::Foreign(why)) => {
                return Err(NotCopied::Missing(format!("{}: {why}", self.source.name(url))));
            }
            Err(Failed::Broken(why)) => {
                let name = self.source.name(url);
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
    /// The source lists it no more.
    Gone,
    /// The next one would not be copied either.
    Broken(anyhow::Error),
}
