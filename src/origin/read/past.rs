//! Time shift: a playlist of what was, made from the history of a media playlist and from what can still be read. It is a source of
//! its own, and comes first where a window of time is asked for: it needs nothing of the stored playlist, which may be gone.
//!
//! A long one takes some milliseconds to make. That is done beside the threads that serve, a few at once in each namespace, and once
//! for all who ask for the same.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::{Found, Reader, made};
use crate::auth::grant::{Action, Grant};
use crate::hls::history::{Listed, Stretch};
use crate::hls::playlist::is_unknown;
use crate::hls::shift::{self, CutSpec, Presence, Uncut, Window};
use crate::hls::uri::{self, Meant};
use crate::model::clock::WallTime;
use crate::model::id::{Key, ObjectId};
use crate::model::meta::etag_number;
use crate::origin::cuts::{AskedWindow, Made};
use crate::origin::namespace::Hosted;
use crate::origin::rate::RateClaim;
use crate::origin::{OriginError, Shift};

/// How long caches may keep a playlist that nothing will be added to. Not for ever: its segments may have to make room.
const SETTLED_MAX_AGE: Duration = Duration::from_secs(300);
/// What a segment counts as when it is judged whether a playlist is long, in bytes.
const SEGMENT: usize = 128;
/// How long a reader waits for histories that are still being read after a start.
const PATIENCE: Duration = Duration::from_secs(5);

impl Hosted {
    /// Whether what was listed can still be read. The one place that decides what a playlist of the past lists.
    ///
    /// A name that was listed again stands for what it stood for then as long as its bytes are the same: what loops is whole.
    fn presence(&self, key: &Key, listed: &Listed, successors: &HashMap<u64, Option<u64>>) -> Presence {
        let stands = |etag: Option<u64>| !listed.is_listed_again() || etag.is_some() && etag == listed.etag();
        if let Some(entry) = self.hot.peek(key) {
            return Presence::from(stands(etag_number(&entry.meta.etag)));
        }
        if self.durable_tier.may_have(key) {
            // Its tag there is not known without reading it: it is what was listed last.
            return Presence::from(stands(successors.get(&listed.number).copied().flatten()));
        }
        if self.hot.growing(key).is_some() { Presence::Arriving } else { Presence::Missing }
    }

    /// The same for the holder of a grant.
    fn presence_for(&self, grant: &Grant, playlist: &ObjectId, stretch: &Stretch, listed: &Listed) -> Presence {
        // Where it leads each reader knows for himself: it is not missing.
        if is_unknown(&listed.uri) {
            return Presence::Here;
        }
        // By its own address, or by that which a CDN gives it: it is here or it is not.
        let found = uri::meant(playlist, &listed.uri).map(|meant| match meant {
            Meant::Ours(found) | Meant::Under { object: found, .. } => found,
        });
        let found = found.filter(|found| found.namespace == playlist.namespace);
        // What the reader may not read is as if it were not there: a list of what is would tell him.
        match found.filter(|found| grant.allows(Action::Read, found)) {
            Some(found) => self.presence(&found.key, listed, &stretch.successors),
            None => Presence::Hidden,
        }
    }

    /// When the last segment ends that a media playlist has in a window, if it has any there for the holder of this grant.
    pub(super) fn ends(&self, grant: &Grant, playlist: &ObjectId, window: Window) -> Option<WallTime> {
        let stretch = self.live.stretch(&playlist.key, window.start, window.end)?;
        let is_here =
            |listed: &&Arc<Listed>| !listed.lost && self.presence_for(grant, playlist, &stretch, listed) == Presence::Here;
        stretch.listed.iter().rev().find(is_here).and_then(|_| stretch.listed.last()).map(|last| last.end())
    }

    /// What is in a window for the holder of this grant, made now.
    fn cut(&self, grant: &Grant, object: &ObjectId, asked: CutSpec) -> Result<Made, Uncut> {
        let stretch = self.live.stretch(&object.key, asked.window.start, asked.window.end).ok_or(Uncut::Nothing)?;
        let now = self.hot.clock().wall();
        let presence = |listed: &Listed| self.presence_for(grant, object, &stretch, listed);
        let cut = shift::cut(&stretch, asked, now, presence)?;
        let mut meta = made::describe(self, &object.key, cut.until.since(now));
        meta.target_duration = Some(cut.target);
        Ok(Made { entry: made::playlist(self, &object.key, meta, cut.text.into_bytes()), until: cut.until, settled: cut.settled })
    }
}

/// A media playlist of what it has listed in the window that is asked for and what of that can still be read, dead streams included.
/// `None` when no window is asked for, or no media playlist of this name has been followed: then it may be a multivariant one, whose
/// children are ([`super::view`]). Cancel-safe.
///
/// # Errors
/// [`OriginError::NothingRetained`], [`OriginError::WindowTooLong`], [`OriginError::Starting`] or [`OriginError::RateLimited`].
pub(super) async fn find(reader: Reader<'_>) -> Result<Option<Found>, OriginError> {
    let Reader { hosted, grant, object, spec } = reader;
    let Some(Shift { window, relative: is_relative }) = spec.shift else { return Ok(None) };
    if tokio::time::timeout(PATIENCE, hosted.live.restored()).await.is_err() {
        return Err(OriginError::Starting);
    }
    let Some(between) = hosted.live.span(&object.key, window.start, window.end).await else { return Ok(None) };
    let now = hosted.hot.clock().wall();
    let made = match between {
        None => Err(Uncut::Nothing),
        Some(span) => {
            let (has_start, is_closed) = (window.start.is_some(), window.is_closed(now));
            let is_reached = !span.is_to_the_last || window.end.is_some_and(|end| span.ends >= end);
            let (playlist, prefix) = (object.key.clone(), grant.prefix.clone());
            let asked = AskedWindow { playlist, prefix, span, has_start, is_closed, is_reached, is_relative };
            let length = usize::try_from(span.last.saturating_sub(span.first)).unwrap_or(usize::MAX).saturating_mul(SEGMENT);
            let make = || {
                let (hosted, grant, object) = (Arc::clone(hosted), grant.clone(), object.clone());
                move || {
                    let beside = hosted.live.target_of_renditions(&object.key);
                    hosted.cut(&grant, &object, CutSpec { window, is_relative, beside })
                }
            };
            hosted.work.cuts.get(asked, hosted.hot.clock().now(), hosted.work.of_readers.work(length, make())).await?
        }
    };
    let made = match made {
        Ok(made) => made,
        Err(why) => {
            hosted.take_read_rate(1, 0, RateClaim::Second)?;
            return Err(match why {
                Uncut::Nothing => OriginError::NothingRetained,
                Uncut::TooLong => OriginError::WindowTooLong,
            });
        }
    };
    let left = made.until.since(now);
    let max_age = if made.settled { SETTLED_MAX_AGE.min(left).as_secs() } else { hosted.policy.max_age(&made.entry.meta, left) };
    hosted.take_read_rate(1, made.entry.body.len() as u64, RateClaim::First)?;
    Ok(Some(Found::made(made.entry, left, max_age)))
}
