//! What viewers may still ask for and is about to make way, where nodes share: kept at the engine under its public name, before what takes its
//! place is decided. So there is no moment in which it is nowhere, whichever node is asked.
//!
//! What makes way is then decided on condition that it is the version which was looked at: of what another node stores in between, that is
//! looked at as well.

use std::time::Duration;

use super::OriginError;
use super::namespace::Hosted;
use crate::hls::normalise::names;
use crate::model::clock::Moment;
use crate::model::id::Key;
use crate::model::kind::Kind;
use crate::model::meta::etag_digits;
use crate::store::shared::{
    COMMIT_WITHIN, DescribedShared, ExpectedShared, KnownShared, NewVersion, Replaces, SharedNamespace, SharedOutcome,
};

/// Has what is about to make way for a version with this hash, or for none, kept where a public playlist lists it, or is about to. Hands over what
/// there was: `None`, where that is not asked. Cancel-safe.
///
/// # Errors
/// [`OriginError::Unshared`]; [`OriginError::EngineFull`]. Nothing has made way.
pub(super) async fn kept(
    hosted: &Hosted,
    shared: &SharedNamespace,
    key: &Key,
    new: Option<u128>,
) -> Result<Option<ExpectedShared>, OriginError> {
    let public = if Kind::of(key, &[]).is_rewritten() { None } else { hosted.public_of(key) };
    let Some(public) = public else { return Ok(None) };
    let known = || shared.store.known(&hosted.name, key).filter(|known| Some(known.hash) != new);
    let there = |known: Option<&KnownShared>| known.map(|known| ExpectedShared::Bytes(known.hash));
    if known().is_none() {
        let same = shared.store.known(&hosted.name, key);
        return Ok(Some(there(same.as_ref()).unwrap_or(ExpectedShared::Nothing)));
    }
    // Another node may have listed it just now.
    hosted.fresh(&public, false).await?;
    let Some(known) = known() else { return Ok(Some(ExpectedShared::Nothing)) };
    let expected = there(Some(&known));
    let tagged = etag_digits(&known.meta.etag, names::DIGITS).map(|tag| names::tagged(public.as_str(), tag));
    let Some(tagged) = tagged.and_then(|tagged| Key::parse(&tagged).ok()) else { return Ok(expected) };
    let (now, lives) = (hosted.hot.clock().now(), known.meta.expires);
    let listed = hosted.work.public.listed_until(&tagged, now);
    // One that the newest version of its encoder's lists may be taken into the public one at this moment.
    let Some(until) = listed.or_else(|| hosted.work.public.listing(key).map(|_| lives)) else { return Ok(expected) };
    if shared.store.has(&hosted.name, &tagged) {
        return Ok(expected);
    }
    // What an encoder deletes it does not want to be looked back at.
    let until = if new.is_some() { lives } else { lives.min(until) };
    match keep_until(hosted, shared, (key, &tagged), known, until).await? {
        SharedOutcome::NoRoom if new.is_some() => Err(OriginError::EngineFull),
        // Room is made by removals above all.
        SharedOutcome::Done | SharedOutcome::Unexpected | SharedOutcome::NoRoom => Ok(expected),
    }
}

async fn keep_until(
    hosted: &Hosted,
    shared: &SharedNamespace,
    (key, tagged): (&Key, &Key),
    known: KnownShared,
    until: Moment,
) -> Result<SharedOutcome, OriginError> {
    let here = hosted.hot.peek(key).filter(|entry| entry.meta.etag == known.meta.etag).map(|entry| entry.body.clone());
    let body = match here {
        Some(body) => Some(body),
        None => shared.store.body((&hosted.name, key), &known, None).await?,
    };
    // It is there no more: what has taken its place meanwhile is not what is expected.
    let Some(body) = body else { return Ok(SharedOutcome::Unexpected) };
    let (hash, meta) = (known.hash, known.meta);
    let described = DescribedShared {
        kind: meta.kind,
        content_type: meta.content_type,
        content_encoding: meta.content_encoding,
        cache_control: meta.cache_control,
        target_duration: meta.target_duration,
        facts: meta.facts,
        took: Duration::ZERO,
        replaces: Replaces::Nothing,
        continuity: None,
        told: None,
        stored: Some(meta.modified),
    };
    let new = NewVersion { body, hash, expires: until, described };
    let (store, place) = (&shared.store, (&hosted.name, tagged));
    Ok(store.commit(place, store.upload(), ExpectedShared::Anything, Some(new), COMMIT_WITHIN).await?)
}
