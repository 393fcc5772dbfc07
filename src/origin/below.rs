//! The rules of a read past memory.

use std::ops::Range;
use std::sync::Arc;

use http::HeaderValue;

use super::live::{self, Understood};
use super::rate::Claim;
use super::{Found, Origin, OriginError, Place};
use crate::auth::grant::{Action, Grant};
use crate::hls::playlist::Playlist;
use crate::model::id::{Key, ObjectId};
use crate::model::meta::Meta;
use crate::model::range::Ask;
use crate::store::Want;

/// How much of an object a reader asks for.
#[derive(Clone, Copy, Debug)]
pub enum Portion<'a> {
    /// What is known of it (HEAD).
    Nothing,
    /// All of it.
    Whole,
    /// What this `Range` header says.
    Range(&'a [u8]),
}

impl Origin {
    /// Finds an object that [`Origin::get`] did not, where it is kept beside memory. Cancel-safe.
    ///
    /// # Errors
    /// As [`Origin::get`]; and [`OriginError::Unreachable`], when nobody knows.
    pub async fn get_below(&self, grant: &Grant, object: &ObjectId, portion: Portion<'_>) -> Result<Found, OriginError> {
        let place = self.admit(grant, Action::Read, object)?;
        let want = |length: u64| match portion {
            Portion::Nothing => Want::Nothing,
            Portion::Whole => Want::Whole,
            Portion::Range(header) => match usize::try_from(length).map(|length| crate::model::range::parse(header, length)) {
                Ok(Ask::Part(Range { start, end })) => Want::Part(start as u64..end as u64),
                Ok(Ask::Unsatisfiable) => Want::Nothing,
                _ => Want::Whole,
            },
        };
        let hit = place.below.read(&object.key, want).await?.ok_or(OriginError::NotFound)?;
        // The request has been paid for; its bytes are those of somebody who looks back.
        let now = self.inner.clock.now();
        place.rates.read_bytes.take(hit.entry.body.len() as u64, Claim::Second, now).map_err(|retry_after| {
            place.metrics.reads_limited.inc();
            OriginError::RateLimited { retry_after }
        })?;
        let length = usize::try_from(hit.length).unwrap_or(usize::MAX);
        let begin = hit.part.map_or(0, |part| usize::try_from(part.start).unwrap_or(usize::MAX));
        Ok(place.found(hit.entry).read_below(begin, length))
    }

    /// Takes note of playlists and MPDs that have come back into memory, with the time at which they were written: so that after a
    /// restart the streams are known, and one that stood still before it does so after it.
    pub(super) fn hear_returned(&self) {
        for (namespace, place) in self.inner.places.load().iter() {
            let mut returned: Vec<_> = place
                .hot
                .take_returned()
                .into_iter()
                .map(|entry| (live::understand(entry.meta.kind, &entry.body), entry))
                .collect();
            // Those that name others come first.
            returned.sort_by_key(|(understood, _)| !matches!(understood, Understood::Hls(Playlist::Multivariant(_))));
            for (understood, entry) in returned {
                // A newer version was heard meanwhile; this one is put in its place only where there was none.
                if place.live.follows(&entry.key) {
                    continue;
                }
                let object = ObjectId { namespace: namespace.clone(), key: entry.key.clone() };
                let stored = |key: &Key| match place.hot.peek(key) {
                    Some(there) => Some(there.meta.etag.clone()),
                    None => place.below.may_have(key).then(|| HeaderValue::from_static("")),
                };
                let noted = place.live.kept(&object, &understood, (entry.meta.modified, entry.meta.expires), stored);
                place.hot.understood(&entry, noted.liveness);
            }
        }
    }

    /// What is kept beside memory of an object that is not in it: for the conditions of a write.
    pub(super) async fn known_below(place: &Arc<Place>, key: &Key) -> Result<Option<Meta>, OriginError> {
        if !place.below.is_there() || place.hot.peek(key).is_some() {
            return Ok(None);
        }
        let hit = place.below.read(key, |_| Want::Nothing).await?;
        Ok(hit.map(|hit| hit.entry.meta.clone()))
    }
}
