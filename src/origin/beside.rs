//! What comes of a source's playlist in public, beside it: a list that goes on, or the same with public names.

use std::sync::Arc;

use super::OriginError;
use super::legible;
use super::listed::HeardVersion;
use super::live::{PlaylistTurn, Understood};
use super::looks::LooksFor;
use super::namespace::Hosted;
use super::pairs::ManifestPair;
use super::prepare::Draft;
use super::uris::Origins;

use crate::hls::playlist::Playlist;
use crate::hls::rewrite::mapped;
use crate::hls::uri::resolve;
use crate::model::id::{Key, ObjectId};
use crate::store::Body;

/// What becomes of a version.
#[derive(Debug)]
pub(super) enum TakenUp {
    /// It is stored as it is.
    AsItIs(Draft),
    /// This is stored in its place.
    Composed(Draft),
    /// Nothing yet: nothing that it lists is here.
    Waits,
    /// It is stored as it is, and when it is, this is to come of it.
    Beside(Draft, Box<PublishedBeside>),
}

/// What comes of a source's playlist in public.
#[derive(Debug)]
pub(super) enum PublishedBeside {
    /// A list that goes on.
    Version(Box<HeardVersion>),
    /// The same for viewers: a multivariant playlist, an MPD, or what can't be composed.
    Copy(Key, Box<Draft>, ManifestPair),
}

impl Hosted {
    /// A source's playlist as viewers get it, that is not composed.
    pub(super) async fn copied(self: &Arc<Self>, object: &ObjectId, public: Key, draft: Draft) -> Result<TakenUp, OriginError> {
        let Some(understood) = &draft.understood else { return Ok(TakenUp::AsItIs(draft)) };
        if matches!(understood, Understood::Broken(_)) {
            return Ok(TakenUp::AsItIs(draft));
        }
        let (hosted, origins) = (Arc::clone(self), Origins { source: object.clone(), public: self.object(&public) });
        let (body, kind, said) = (draft.body.clone(), draft.outset.kind, draft.outset.content_encoding.clone());
        let work = move || {
            let public_uri = |uri: &str| {
                let named = resolve(&origins.source, uri).filter(|named| named.namespace == origins.source.namespace)?;
                let made = origins.public_uri(uri, &hosted.public_of(&named.key)?);
                (made != uri).then_some(made)
            };
            let mapped = mapped(kind, &body.bytes, public_uri).filter(|_| said.is_none());
            let body = mapped.map_or(body, Body::new);
            let understood = legible::understood(&hosted, &origins.public.key, kind, (&body.bytes, said.as_ref()));
            let compared = hosted.compared(&origins.source.key, &origins.public.key, &understood);
            (body, understood, compared)
        };
        let (body, understood, compared) = self.work.of_writers.work(draft.body.bytes.len(), work).await?;
        let outset = draft.outset.clone();
        let copy = Draft { body, outset, understood: Some(understood), facts: None, continuity: None };
        Ok(TakenUp::Beside(draft, Box::new(PublishedBeside::Copy(public, Box::new(copy), compared))))
    }

    /// A source's playlist has been stored: makes of it what viewers get. `turn`: the playlist's own.
    pub(super) async fn publish_beside(self: &Arc<Self>, source: &Key, beside: PublishedBeside, turn: Option<PlaylistTurn>) {
        match beside {
            PublishedBeside::Version(heard) => {
                // Where nodes share it has been heard as it was decided, by all of them.
                if self.durable_tier.shared().is_none() {
                    self.work.public.heard(source, *heard, self.hot.clock().now());
                }
                drop(turn);
                self.compose_again(source).await;
            }
            PublishedBeside::Copy(public, draft, compared) => {
                let Some(_turn) = self.public_turn(&public).await else { return self.look_later(source, LooksFor::Copy) };
                drop(turn);
                self.show_copy((source, &public), *draft, &compared, false).await;
            }
        }
    }

    /// Makes a copy of what a source has stored what viewers get. To be called in the turn of the public name. Where there is no room for it now it is
    /// tried again, until there is or the source has something else: of what is written once no next version says it. `is_look`: it was tried
    /// before, here or by another node.
    pub(super) async fn show_copy(self: &Arc<Self>, of: (&Key, &Key), draft: Draft, compared: &ManifestPair, is_look: bool) {
        let is_done = match self.durable_tier.shared() {
            Some(shared) => self.publish_copy(shared, of, draft, compared, is_look).await.is_ok(),
            None => self.copy_alone(of, draft, compared, is_look).await,
        };
        if !is_done {
            self.look_later(of.0, LooksFor::CopyOnceMore);
        }
    }

    /// The same on a server by itself; `false`, where there was no room for it.
    async fn copy_alone(
        self: &Arc<Self>,
        (source, public): (&Key, &Key),
        draft: Draft,
        compared: &ManifestPair,
        is_look: bool,
    ) -> bool {
        // The other source's may have been composed meanwhile.
        let is_media = matches!(draft.understood, Some(Understood::Hls(Playlist::Media(_))));
        if is_media && self.public_before(public).await.is_some() {
            return true;
        }
        self.work.public.forget(source);
        let is_there = || self.hot.peek(public).is_some_and(|there| there.body == draft.body.bytes);
        if !self.is_shown(public, source, draft.understood.as_ref(), compared) || is_look && is_there() {
            return true;
        }
        self.publish(public, draft, None).await
    }
}
