//! The first source: whole versions in memory.

use super::super::rate::RateClaim;
use super::{Found, Payment, Reader};
use crate::model::clock::WallTime;
use crate::model::meta::Meta;
use crate::origin::OriginError;

/// The whole version in memory, if there is a live one. Eviction takes note.
pub(super) fn find(reader: Reader<'_>, payment: &mut Payment) -> Result<Option<Found>, OriginError> {
    let hosted = reader.hosted;
    let Some(entry) = hosted.hot.get(&reader.object.key) else { return Ok(None) };
    if hosted.rates.limit_reads() {
        payment.pay(hosted, entry.body.len() as u64, claim(&entry.meta, hosted.hot.clock().wall()))?;
    }
    Ok(Some(Found::new(hosted, entry)))
}

/// Playlists, what players can't start without, and segments of the last minute are the live edge.
fn claim(meta: &Meta, now: WallTime) -> RateClaim {
    let age = now.seconds().saturating_sub(meta.modified.seconds());
    if meta.kind.is_protected() || age < 60 { RateClaim::First } else { RateClaim::Second }
}
