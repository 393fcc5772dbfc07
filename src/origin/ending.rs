//! Lists that are about to end: their encoder has said so, and viewers are told a moment later, for it may come back.
//!
//! Who heard its last version does so. Where that one is gone, because a server was begun anew or another node died, nobody writes any more: whoever
//! knows the list goes by that alone. Of two sources every node that knows the list takes its steps in any case.

use std::sync::Arc;
use std::time::Duration;

use super::OriginError;
use super::legible;
use super::listed::ONCE_MORE;
use super::namespace::Hosted;
use super::prepare::Draft;
use super::shared_public::outset;
use super::told::PublicNews;

use crate::hls::normalise::{self, Composed};
use crate::model::id::Key;
use crate::model::kind::Kind;
use crate::store::{Body, Entry};

impl Hosted {
    /// Has the end of a public list seen to that was heard of and not made here, if it is about to end: first after so long. Another look at it that
    /// sleeps does so no more.
    pub(super) fn look_at_end(self: &Arc<Self>, public: &Key, there: &Entry, first: Duration) {
        let is_ending = there.meta.continuity.as_ref().is_some_and(|continuity| continuity.ended.is_some());
        if !is_ending || self.two_sided(public).is_some() {
            return;
        }
        let (hosted, name) = (Arc::clone(self), public.clone());
        let task = tokio::spawn(async move {
            let mut after = first;
            loop {
                tokio::time::sleep(after).await;
                // What is begun is not broken off.
                hosted.work.ends.looks(&name);
                after = match hosted.end_of(&name).await {
                    Ok(None) => return,
                    Ok(Some(again)) => again,
                    Err(_) => ONCE_MORE,
                };
            }
        });
        self.work.ends.put_off(public, task.abort_handle());
    }

    /// Ends a list when its time has come. Hands over after how long that is; `None`: there is nothing to be done any more.
    async fn end_of(self: &Arc<Self>, public: &Key) -> Result<Option<Duration>, OriginError> {
        let _turn = self.live.turn(public).await;
        if self.goes_on(public) {
            return Ok(None);
        }
        let shared = self.durable_tier.shared();
        let there = match shared {
            Some(shared) => Some(self.public_there(shared, public).await?),
            None => None,
        };
        let before = match &there {
            Some(there) => there.composed.clone(),
            None => self.public_before(public).await,
        };
        let Some(before) = before else { return Ok(None) };
        let (hosted, known) = (Arc::clone(self), Arc::clone(&before));
        let work = move || {
            let (text, continuity) = (std::str::from_utf8(&known.body).ok()?, **known.meta.continuity.as_ref()?);
            let now = hosted.composing_time([continuity.added, continuity.heard]);
            let end_hold = hosted.policy.pair_of(known.key.as_str()).and_then(|pair| pair.end_hold);
            let composed = normalise::end((text, continuity), now, end_hold)?;
            let body = Body::new(composed.text.clone().into_bytes());
            let understood = legible::understood(&hosted, &known.key, Kind::Playlist, (&body.bytes, None));
            Some((composed, body, understood))
        };
        let Some((composed, body, understood)) = self.work.of_writers.work(before.body.len(), work).await? else {
            return Ok(None);
        };
        let Composed { continuity, again, .. } = composed;
        if again.is_some() {
            return Ok(again);
        }
        let outset = outset(&before.meta, self.hot.clock().now());
        let (understood, continuity) = (Some(understood), Some(Arc::new(continuity)));
        let draft = Draft { body, outset, understood, facts: None, continuity };
        let is_done = match (shared, there) {
            (Some(shared), Some(there)) => {
                let told = PublicNews::default();
                self.publish_shared(shared, (public, draft), there.expected, &told).await?.is_ok()
            }
            _ => self.publish(public, draft, None).await,
        };
        // Else another one was sooner, or there is no room: what is there then is looked at.
        Ok(if is_done { None } else { Some(ONCE_MORE) })
    }

    /// Whether a version without an end was heard here of what a list is made of: who has heard it sees to the list.
    fn goes_on(&self, public: &Key) -> bool {
        let behind = self.policy.pair_of(public.as_str()).into_iter().flat_map(|pair| pair.behind(public.as_str()));
        let sources = behind.filter_map(|name| Key::parse(&name).ok()).chain([public.clone()]);
        sources.filter_map(|source| self.work.public.version(&source)).any(|heard| !heard.version.is_ended())
    }
}
