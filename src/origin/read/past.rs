//! Time shift: a playlist of what was, made from the history of a media playlist and from what can still be read. It is a source of
//! its own, and comes first where a window of time is asked for: it needs nothing of the stored playlist, which may be gone.

use std::time::Duration;

use super::{Found, Reader, made};
use crate::auth::grant::Action;
use crate::hls::history::Listed;
use crate::hls::{shift, uri};
use crate::model::id::Key;
use crate::origin::OriginError;
use crate::origin::namespace::Hosted;
use crate::origin::rate::Claim;

/// How long caches may keep a playlist that nothing will be added to. Not for ever: its segments may have to make room.
const SETTLED_MAX_AGE: Duration = Duration::from_secs(300);

impl Hosted {
    /// Whether an object can still be read. The one place that decides what a playlist of the past lists.
    fn retained(&self, key: &Key) -> bool {
        self.hot.peek(key).is_some() || self.below.may_have(key)
    }
}

/// A media playlist of what it has listed in the window that is asked for and what of that can still be read, dead streams included.
/// `None` when no window is asked for, or no media playlist of this name has been followed: then it may be a multivariant one, whose
/// children are ([`super::view`]).
///
/// # Errors
/// [`OriginError::NothingRetained`] or [`OriginError::RateLimited`].
pub(super) fn find(reader: Reader<'_>) -> Result<Option<Found>, OriginError> {
    let Reader { hosted, grant, object, spec } = reader;
    let Some(window) = spec.shift.map(|shift| shift.window) else { return Ok(None) };
    let Some(stretch) = hosted.live.stretch(&object.key, window.start, window.end) else { return Ok(None) };
    let now = hosted.hot.clock().wall();
    let retained = |listed: &Listed| {
        let found = uri::resolve(object, &listed.uri).filter(|found| found.namespace == object.namespace);
        // What the reader may not read is as if it were not there: a list of what is would tell him.
        found.is_some_and(|found| grant.allows(Action::Read, &found) && hosted.retained(&found.key))
    };
    let Some(cut) = shift::cut(&stretch, window, now, retained) else {
        hosted.take_read_rate(1, 0, Claim::Second)?;
        return Err(OriginError::NothingRetained);
    };
    let left = cut.until.since(now);
    let mut meta = made::describe(hosted, &object.key, left);
    meta.target_duration = Some(cut.target);
    let max_age = if cut.settled { SETTLED_MAX_AGE.min(left).as_secs() } else { hosted.policy.max_age(&meta, left) };
    let entry = made::playlist(&object.key, meta, cut.text.into_bytes());
    hosted.take_read_rate(1, entry.body.len() as u64, Claim::First)?;
    Ok(Some(Found::made(entry, left, max_age)))
}
