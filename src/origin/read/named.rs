//! What a public name stands for: a version that its encoder has stored under another one.

use super::{Found, Payment, Reader, durable_tier};
use crate::model::id::ObjectId;
use crate::origin::OriginError;
use crate::origin::named::has_tag;
use crate::origin::rate::RateClaim;

/// In memory.
pub(super) fn in_memory(reader: Reader<'_>, payment: &mut Payment) -> Result<Option<Found>, OriginError> {
    let hosted = reader.hosted;
    let Some((plain, tag)) = hosted.meant_by(&reader.object.key) else { return Ok(None) };
    let now = hosted.hot.clock().now();
    let Some(entry) = hosted.hot.get_at(&plain, now).filter(|entry| has_tag(&entry.meta.etag, tag)) else { return Ok(None) };
    let found = Found::new(hosted, entry, now);
    payment.pay(hosted, found.length() as u64, RateClaim::First)?;
    Ok(Some(found))
}

/// Below it. One descent, whatever comes of it. Cancel-safe.
///
/// # Errors
/// Those of the [durable tier](durable_tier::find).
pub(super) async fn below(reader: Reader<'_>) -> Result<Option<Found>, OriginError> {
    let Some((key, tag)) = reader.hosted.meant_by(&reader.object.key) else { return Ok(None) };
    // What is in memory has another tag, or it would have been found there.
    if !reader.hosted.durable_tier.may_have(&key) || reader.hosted.hot.peek(&key).is_some() {
        return Ok(None);
    }
    let object = ObjectId { key, namespace: reader.object.namespace.clone() };
    let found = durable_tier::find(Reader { object: &object, ..reader }).await?;
    Ok(found.filter(|found| has_tag(&found.meta().etag, tag)))
}
