//! What a public name stands for: a version that its encoder has stored under another one.

use super::{Found, Payment, Reader, durable_tier};
use crate::model::id::ObjectId;
use crate::origin::OriginError;
use crate::origin::rate::RateClaim;

/// In memory.
pub(super) fn in_memory(reader: Reader<'_>, payment: &mut Payment) -> Result<Option<Found>, OriginError> {
    let hosted = reader.hosted;
    let Some(meant) = hosted.meant_by(&reader.object.key) else { return Ok(None) };
    let now = hosted.hot.clock().both();
    let found =
        meant.names.iter().filter_map(|name| hosted.hot.get_at(name, now.moment)).find(|entry| meant.is(&entry.meta.etag));
    let Some(entry) = found else { return Ok(None) };
    let found = Found::new(hosted, entry, now);
    payment.pay(hosted, reader.spec.cost(found.length()), RateClaim::First)?;
    Ok(Some(found))
}

/// Below it. One descent for each name that it may have there. Cancel-safe.
///
/// # Errors
/// Those of the [durable tier](durable_tier::find).
pub(super) async fn below(reader: Reader<'_>) -> Result<Option<Found>, OriginError> {
    let Some(meant) = reader.hosted.meant_by(&reader.object.key) else { return Ok(None) };
    for key in &meant.names {
        // What is in memory has another tag, or it would have been found there.
        if !reader.hosted.durable_tier.may_have(key) || reader.hosted.hot.peek(key).is_some() {
            continue;
        }
        let object = ObjectId { key: key.clone(), namespace: reader.object.namespace.clone() };
        let found = durable_tier::find(Reader { object: &object, ..reader }).await?;
        if let Some(found) = found.filter(|found| meant.is(&found.meta().etag)) {
            return Ok(Some(found));
        }
    }
    Ok(None)
}
