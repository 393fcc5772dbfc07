//! A window of a stream copied to a folder or a bucket, as a recording that needs no server: by the [`command`] from any server, by the
//! [`jobs`] of a running one from itself.
//!
//! [`listing`] is what a window has, [`recording`] what becomes of its playlists, [`planned`] and [`record`] what is remembered of it beside the
//! files, [`whereabouts`] where these are to be had, [`source`] where they come from, [`sink`] where they go, [`turns`] whose turn it is, [`room`]
//! how much may be remembered, [`remembered`] what there was; here is what is copied in which order.
//! Invariants: files appear whole or not at all, so that a harvest that was broken off goes on where it was when it is run again. What was
//! planned stays planned: however little the source has by then, nothing that was copied is lost to the recording. What names others is written
//! after them, and only when all of them are there. Of the media no more than one file is held in memory; what is done with lists, which may be
//! long, is done beside the runtime.

mod command;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod job;
mod jobs;
mod listing;
mod planned;
mod record;
mod recording;
mod remembered;
mod room;
mod sink;
mod source;
#[cfg(test)]
mod tests;
mod turns;
mod whereabouts;
mod window;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use parking_lot::Mutex;

use self::planned::{FinishedPlaylists, MadePlan, PlannedPiece, RecordingPlan};
use self::record::{HarvestRecord, Resumed, resume};
use self::room::ListRoom;
use self::sink::Sink;
use self::source::{Failed, Source};
use self::whereabouts::{PieceSource, Whereabouts};
use super::client::Url;
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
    /// The first media playlists that were named and have nothing in the window, or were not to be had.
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

/// What is to be copied, and what of it is there.
struct PreparedHarvest {
    plan: RecordingPlan,
    whereabouts: Whereabouts,
    /// How long the files are that are there and may be of it.
    here: HashMap<String, u64>,
}

/// Does work on what may be long, beside the runtime. Dropped, it goes on to its end, and nobody hears of that.
async fn aside<T: Send + 'static>(work: impl FnOnce() -> anyhow::Result<T> + Send + 'static) -> anyhow::Result<T> {
    tokio::task::spawn_blocking(work).await.context("the process ends")?
}

impl Harvest {
    /// Plans to copy what the playlist at this URL has in the window of the record, or finds the rest of what was planned for it before. From here
    /// on the place is this harvest's, and it is known how many files there are.
    async fn prepare(&self, playlist: &Url, resumed: Resumed, room: &mut ListRoom<'_>) -> anyhow::Result<PreparedHarvest> {
        let Resumed { mut record, replaced } = resumed;
        let known = record.plan.take();
        if known.as_ref().is_some_and(|known| known.keys != self.keys) {
            let (was, place) = (if self.keys { "without" } else { "with" }, self.sink.name(""));
            bail!("the harvest in {place} was begun {was} content keys: order it like that again, or replace it");
        }
        let is_known = known.is_some();
        let listing = match self.listed(playlist, &record.window, room).await? {
            Ok(listing) => Some(listing),
            // What the source has lost since is no less of the recording.
            Err(_) if is_known => None,
            Err(why) => bail!(why),
        };
        let keys = self.keys;
        let MadePlan { mut plan, whereabouts, is_new } = aside(move || planned::made(known, listing, keys)).await?;
        let mut here = self.sink.lengths().await?;
        if !is_known && replaced.is_empty() {
            plan = self.check_reach(plan, &here).await?;
        }
        if is_new {
            // What was there goes now, and not before: a server that is away, a wrong key or name or an empty window cost nobody a
            // recording.
            for name in &replaced {
                self.sink.delete(name).await?;
            }
            plan = self.write_down(record, plan).await?;
        }
        if !is_known {
            // Of what was not planned by this, nobody knows what it is.
            here = HashMap::new();
        }
        *self.counts.left_out.lock() = plan.left_out().take(NAMED).cloned().collect();
        CopyCounts::add(&self.counts.total, plan.pieces().count() as u64);
        Ok(PreparedHarvest { plan, whereabouts, here })
    }

    /// Has the plan remembered beside what is copied by it.
    async fn write_down(&self, mut record: HarvestRecord, plan: RecordingPlan) -> anyhow::Result<RecordingPlan> {
        let written = aside(move || {
            record.files.extend(plan.files());
            record.plan = Some(plan);
            let json = serde_json::to_vec(&record)?;
            Ok((record.plan.take().unwrap_or_default(), json))
        });
        let (plan, json) = written.await?;
        self.sink.write(RECORD, Bytes::from(json)).await?;
        Ok(plan)
    }

    /// Copies what is to be copied, and says the name of the recording's own playlist.
    async fn copy(&self, prepared: PreparedHarvest) -> anyhow::Result<String> {
        let PreparedHarvest { plan, whereabouts, here } = prepared;
        let mut gone = Vec::new();
        for media in &plan.media {
            for piece in &media.pieces {
                let present = here.get(&piece.path).copied().filter(|length| *length != u64::MAX && piece.fits(*length));
                match self.piece(piece, whereabouts.find(&piece.from, piece.range), present).await {
                    Ok(()) => {}
                    Err(NotCopied::Gone) if whereabouts.is_unread(&media.from) => {
                        self.counts.miss(format!("{}: the playlist that listed it could not be read", piece.path));
                    }
                    Err(NotCopied::Missing(why)) => self.counts.miss(why),
                    Err(NotCopied::Gone) => {
                        self.counts.total.fetch_sub(1, Ordering::Relaxed);
                        gone.push(piece.path.clone());
                    }
                    Err(NotCopied::Broken(error)) => return Err(error),
                }
            }
        }
        drop((whereabouts, here));
        let counts = Arc::clone(&self.counts);
        let finished = aside(move || {
            let finished = plan.finished(&gone.iter().map(|path| &**path).collect());
            let finished =
                finished.context("there is nothing to play: the source has none of it any more, and nothing of it is here")?;
            finished.media.iter().for_each(|(name, text)| counts.mark(name, text));
            Ok(finished)
        });
        let finished = finished.await?;
        finished.left_out.iter().for_each(|name| self.counts.leave_out(format!("{name}: nothing of it is to be had any more")));
        self.check_whole()?;
        self.write_playlists(finished).await
    }

    /// Whether what is planned is no less than what a version has copied there that did not write its plan down.
    async fn check_reach(&self, plan: RecordingPlan, here: &HashMap<String, u64>) -> anyhow::Result<RecordingPlan> {
        let is_media = |name: &str| name == PLAYLIST || name.strip_suffix(PLAYLIST).is_some_and(|folder| folder.ends_with('/'));
        let mut before = 0;
        for (name, _) in here.iter().filter(|(name, length)| is_media(name) && **length != u64::MAX) {
            let text = self.sink.read(name).await?.unwrap_or_default();
            before += aside(move || Ok(recording::segments(&String::from_utf8_lossy(&text)))).await?;
        }
        if before == 0 {
            return Ok(plan);
        }
        let (plan, now) = aside(move || {
            let now: usize = plan.texts().map(recording::segments).sum();
            Ok((plan, now))
        })
        .await?;
        if now < before {
            bail!(
                "{} holds {before} segments, and {now} of them are to be had now: it is left as it is; name another place",
                self.sink.name("")
            );
        }
        Ok(plan)
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

    /// Copies a file from where it is listed, unless it is there in its full length already. `present`: the length of what is there that may
    /// be it.
    async fn piece(&self, piece: &PlannedPiece, listed: Option<&PieceSource>, present: Option<u64>) -> Result<(), NotCopied> {
        let keep = || -> Result<(), NotCopied> {
            CopyCounts::add(&self.counts.kept, 1);
            Ok(())
        };
        // What lies under its name at the source by now may be something else. What is here is whole, or it would not be here.
        let Some(PieceSource { url, range }) = listed else {
            return if present.is_some() { keep() } else { Err(NotCopied::Gone) };
        };
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
