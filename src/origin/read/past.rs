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
use crate::hls::history::Listed;
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
/// What a segment counts as when it is judged whether a playlist is long, in bytes: so that a thousand of them, which take the better part of a
/// millisecond, are the most that is done beside serving.
const SEGMENT: usize = 256;
/// How long a reader waits for histories that are still being read after a start.
const PATIENCE: Duration = Duration::from_secs(5);

/// More segments than may be looked at where that would hold up others.
#[derive(Clone, Copy, Debug)]
pub(super) struct TooFar;

impl Hosted {
    /// Whether what was listed can still be read. The one place that decides what a playlist of the past lists.
    ///
    /// A name that was listed again stands for what it stood for then as long as its bytes are the same: what loops is whole.
    fn presence(&self, key: &Key, listed: &Listed, successors: &HashMap<u64, Option<u64>>) -> Presence {
        let stands = |etag: Option<u64>| !listed.is_listed_again() || etag.is_some() && etag == listed.etag();
        if let Some(entry) = self.peek_named(key, self.hot.clock().now()) {
            return Presence::from(stands(etag_number(&entry.meta.etag)));
        }
        if self.may_have_below(key) {
            // Its tag there is not known without reading it: it is what was listed last.
            return Presence::from(stands(successors.get(&listed.number).copied().flatten()));
        }
        if self.hot.growing(key).is_some() { Presence::Arriving } else { Presence::Missing }
    }

    /// The same for the holder of a grant.
    fn presence_for(
        &self,
        grant: &Grant,
        playlist: &ObjectId,
        successors: &HashMap<u64, Option<u64>>,
        listed: &Listed,
    ) -> Presence {
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
            Some(found) => self.presence(&found.key, listed, successors),
            None => Presence::Hidden,
        }
    }

    /// Between which moments a media playlist lists something in a window, if the holder of this grant can read any of that. Looks
    /// from the end on, as a rule no further than at the last segment; `budget` is how many may be looked at, and what is left of it.
    ///
    /// # Errors
    /// [`TooFar`].
    pub(super) fn reach(
        &self,
        grant: &Grant,
        playlist: &ObjectId,
        window: Window,
        budget: &mut usize,
    ) -> Result<Option<(WallTime, WallTime)>, TooFar> {
        let (mut before, mut count) = (u64::MAX, 4);
        loop {
            let Some((span, tail)) = self.live.tail(&playlist.key, (window.start, window.end), before, count) else {
                return Ok(None);
            };
            let is_here = |listed: &Arc<Listed>| {
                !listed.lost && self.presence_for(grant, playlist, &tail.successors, listed) == Presence::Here
            };
            if tail.listed.iter().any(is_here) {
                return Ok(Some((span.begins, span.ends)));
            }
            let Some(oldest) = tail.listed.last() else { return Ok(None) };
            *budget = budget.checked_sub(tail.listed.len()).ok_or(TooFar)?;
            (before, count) = (oldest.number, count * 4);
        }
    }

    /// What is in a window for the holder of this grant, made now.
    fn cut(&self, grant: &Grant, object: &ObjectId, asked: CutSpec) -> Result<Made, Uncut> {
        let stretch = self.live.stretch(&object.key, asked.window.start, asked.window.end).ok_or(Uncut::Nothing)?;
        let now = self.hot.clock().wall();
        let presence = |listed: &Listed| self.presence_for(grant, object, &stretch.successors, listed);
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
    let Some(Shift { window, relative: is_relative, late: has_late }) = spec.shift else { return Ok(None) };
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
            let (playlist, prefix, paths) = (object.key.clone(), grant.prefix.clone(), grant.paths.clone());
            let end = window.end.filter(|end| span.heard.is_some_and(|heard| heard >= *end));
            let asked =
                AskedWindow { playlist, prefix, paths, span, has_start, is_closed, is_reached, is_relative, has_late, end };
            let length = usize::try_from(span.last.saturating_sub(span.first)).unwrap_or(usize::MAX).saturating_mul(SEGMENT);
            let make = || {
                let (hosted, grant, object) = (Arc::clone(hosted), grant.clone(), object.clone());
                move || {
                    let once = hosted.work.editions.beside(&object.key);
                    let beside = hosted.live.target_of_renditions(&object.key, &once);
                    hosted.cut(&grant, &object, CutSpec { window, is_relative, has_late, beside })
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
    hosted.take_read_rate(1, reader.spec.cost(made.entry.body.len()), RateClaim::First)?;
    Ok(Some(Found::made(made.entry, left, max_age)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::grant::{KeyId, Role, Scope};
    use crate::hls::texts;
    use crate::metrics::Metrics;
    use crate::model::clock::Clock;
    use crate::model::id::Namespace;
    use crate::origin::policy::NamespacePolicy;
    use crate::origin::{Origin, PutSpec};

    /// Whether there is anything in a window is seen from its end, however long it is: a multivariant playlist asks that of each it names.
    #[tokio::test]
    async fn a_long_window_is_looked_at_from_its_end() {
        let name = Namespace::parse("one").unwrap();
        let origin =
            Origin::new([(name.clone(), NamespacePolicy::default())], 1 << 30, Clock::manual(), &Arc::new(Metrics::new()));
        let grant = Grant {
            key_id: KeyId::parse("k").unwrap(),
            role: Role::Readwrite,
            scope: Scope::Every,
            prefix: None,
            paths: None,
            is_edge: false,
            ends: None,
        };
        let object = |key: &str| ObjectId { namespace: name.clone(), key: Key::parse(key).unwrap() };
        let handle = origin.namespace(&name);
        let put = async |key: &str, body: String| {
            let mut upload = handle.put(&grant, &object(key), origin.stamp(), PutSpec::default()).await.unwrap();
            upload.write(body.into()).unwrap();
            upload.commit().await.unwrap();
        };
        put("p.m3u8", texts::listing(texts::HEAD, "s", 0..5000)).await;
        let hosted = handle.admit(&grant, Action::Read, &object("p.m3u8")).unwrap();
        let reach = |mut budget: usize| hosted.reach(&grant, &object("p.m3u8"), Window::default(), &mut budget);
        assert!(matches!(reach(4999), Err(TooFar)) && matches!(reach(5000), Ok(None)), "nothing of it is there");
        put("s4990.ts", "media".to_owned()).await;
        assert!(matches!(reach(4), Ok(Some(_))), "the first look passes over four");
        put("s4999.ts", "media".to_owned()).await;
        let (begins, ends) = reach(0).unwrap().unwrap();
        assert_eq!(ends.since(begins), Duration::from_secs(10_000));
    }
}
