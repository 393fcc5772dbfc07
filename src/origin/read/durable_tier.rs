//! The second source: what is kept beside memory.

use std::ops::Range;

use super::{Found, Portion, Reader};
use crate::model::id::Key;
use crate::model::meta::Meta;
use crate::model::range::{self, Ask};
use crate::origin::OriginError;
use crate::origin::namespace::Hosted;
use crate::origin::rate::RateClaim;
use crate::store::Want;

/// The version below memory, if there is one. One descent, whatever comes of it. Cancel-safe.
///
/// # Errors
/// [`OriginError::Unreachable`], when nobody knows; [`OriginError::RateLimited`].
pub(super) async fn find(reader: Reader<'_>) -> Result<Option<Found>, OriginError> {
    let hosted = reader.hosted;
    // What is to be rewritten has to be whole.
    let portion = if reader.spec.is_viewed() { Portion::Whole } else { reader.spec.portion };
    let Some(hit) = hosted.durable_tier.read(&reader.object.key, |length| want(portion, length)).await? else { return Ok(None) };
    // The request has been paid for; its bytes are those of somebody who looks back.
    hosted.take_read_rate(0, hit.entry.body.len() as u64, RateClaim::Second)?;
    let length = usize::try_from(hit.length).unwrap_or(usize::MAX);
    let begin = hit.part.map_or(0, |part| usize::try_from(part.start).unwrap_or(usize::MAX));
    Ok(Some(Found::new(hosted, hit.entry, hosted.hot.clock().both()).read_below(begin, length)))
}

/// How much has to be read of an object of this length.
fn want(portion: Portion<'_>, length: u64) -> Want {
    match portion {
        Portion::Nothing => Want::Nothing,
        Portion::Whole => Want::Whole,
        Portion::Range(header) => match usize::try_from(length).map(|length| range::parse(header, length)) {
            Ok(Ask::Part(Range { start, end })) => Want::Part(start as u64..end as u64),
            Ok(Ask::Unsatisfiable) => Want::Nothing,
            _ => Want::Whole,
        },
    }
}

/// What is kept beside memory of an object that is not in it: for the conditions of a write.
pub(in crate::origin) async fn known_in_tier(hosted: &Hosted, key: &Key) -> Result<Option<Meta>, OriginError> {
    if !hosted.durable_tier.is_there() || hosted.hot.peek(key).is_some() {
        return Ok(None);
    }
    let hit = hosted.durable_tier.read(key, |_| Want::Nothing).await?;
    Ok(hit.map(|hit| hit.entry.meta.clone()))
}
