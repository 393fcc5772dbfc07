//! What is to be stored of a body that has come whole: the first of the three steps of a write.
//!
//! Nothing that is stored changes by it, and the time at which it is stored is not in it: that comes with the decision.

use std::sync::Arc;

use http::HeaderValue;
use tokio::time::Instant;

use super::OriginError;
use super::legible::Legible;
use super::live::Understood;
use super::namespace::Hosted;
use crate::hls::coding;
use crate::hls::playlist::Playlist;
use crate::model::continuity::Continuity;
use crate::model::facts::SegmentFacts;
use crate::model::id::{Key, ObjectId};
use crate::model::meta::Outset;
use crate::store::{Body, Entry};

/// A version that is ready to be stored.
#[derive(Debug)]
pub(super) struct Draft {
    /// As it is stored: as it came, unless something had to be taken out of it.
    pub(super) body: Body,
    pub(super) outset: Outset,
    /// Of a playlist or MPD: what it says.
    pub(super) understood: Option<Understood>,
    /// Of a segment or an initialisation segment: what its bytes say.
    pub(super) facts: Option<Arc<SegmentFacts>>,
    /// Of a playlist that is composed here: how it goes on.
    pub(super) continuity: Option<Arc<Continuity>>,
}

/// Whether a writer who may write below this prefix may write that.
pub(super) fn reaches(prefix: Option<&str>, key: &Key) -> bool {
    prefix.is_none_or(|prefix| key.as_str().starts_with(prefix))
}

impl Draft {
    /// Whether a composed playlist is this one already: to the byte, with an end that is to come since the same moment, with what is told
    /// of its sources, and with as much known of who wrote it before, by which that one's next version is passed over.
    pub(super) fn is_as(&self, known: &Entry) -> bool {
        let told = |continuity: &Option<Arc<Continuity>>| {
            let continuity = continuity.as_deref()?;
            let seen = continuity.pair.and_then(|pair| pair.seen);
            Some((continuity.ended, continuity.before, seen.map(|seen| seen.sources.map(|source| (source.is_down, source.out)))))
        };
        known.body == self.body.bytes && told(&known.meta.continuity) == told(&self.continuity)
    }

    /// Takes out of a playlist or MPD what is not to be stored, and reads it. Waits where the namespace has a gate, for the segments it
    /// lists and its writer `reach`es; from when its body was `whole`, for versions wait for their turns as well, and of several that list
    /// what never comes each would else be held back for longer than the one before it. Cancel-safe.
    ///
    /// # Errors
    /// [`OriginError::Busy`], when the server is about to end.
    pub(super) async fn prepare(
        hosted: &Arc<Hosted>,
        object: &ObjectId,
        (body, whole): (Body, Instant),
        outset: Outset,
        reach: Option<&str>,
    ) -> Result<Self, OriginError> {
        if !outset.kind.is_rewritten() {
            return Ok(Self { body, outset, understood: None, facts: None, continuity: None });
        }
        // Boxed: what waits for this is as large for a segment.
        Box::pin(Self::understood(hosted, object, (body, whole), outset, reach)).await
    }

    /// The same for a playlist or MPD, which is read.
    async fn understood(
        hosted: &Arc<Hosted>,
        object: &ObjectId,
        (body, whole): (Body, Instant),
        mut outset: Outset,
        reach: Option<&str>,
    ) -> Result<Self, OriginError> {
        let Legible { body, understood, is_in_clear } = understand(hosted, &object.key, body, &outset).await?;
        outset.content_encoding.take_if(|_| is_in_clear);
        if let (Some(gate), Understood::Hls(Playlist::Media(media))) = (hosted.policy.gate, &understood) {
            hosted.gate(object, media, whole + gate, |key| reaches(reach, key)).await;
        }
        Ok(Self { body, outset, understood: Some(understood), facts: None, continuity: None })
    }
}

async fn understand(hosted: &Arc<Hosted>, key: &Key, body: Body, outset: &Outset) -> Result<Legible, OriginError> {
    let (kind, said) = (outset.kind, outset.content_encoding.clone());
    // What it unpacks to may be long.
    let is_packed = coding::of(said.as_ref().map(HeaderValue::as_bytes), &body.bytes).is_some();
    let length = if is_packed { usize::MAX } else { body.bytes.len() };
    let (of, key) = (Arc::clone(hosted), key.clone());
    hosted.work.of_writers.work(length, move || Legible::of(&of, &key, kind, body, said.as_ref())).await
}
