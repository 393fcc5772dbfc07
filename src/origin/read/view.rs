//! The views: what is laid over an object that was found, by what the reader asked for and what the namespace's rules say.

use std::sync::Arc;

use http::HeaderValue;

use super::{Found, Reader, made};
use crate::auth::secret::Secret;
use crate::hls::playlist::{self, Playlist};
use crate::hls::{coding, rewrite, skip};
use crate::model::kind::Kind;
use crate::model::meta::Meta;
use crate::origin::cuts::AskedDelta;
use crate::origin::policy::OnStale;
use crate::origin::{OriginError, legible};

/// How long caches may keep a multivariant playlist whose children are cut at times that were counted from now.
const RELATIVE_MAX_AGE: u64 = 1;

/// Refuses the playlist of a stream that has stood still, where the namespace wants that to be told.
///
/// # Errors
/// [`OriginError::Stale`].
pub(super) fn refuse_stale(reader: Reader<'_>, found: &Found) -> Result<(), OriginError> {
    let policy = &reader.hosted.policy;
    if policy.on_stale != OnStale::NotFound {
        return Ok(());
    }
    let periods = policy.stale_after;
    let liveness = found.meta().liveness.as_ref();
    if liveness.is_some_and(|liveness| liveness.is_stale(reader.hosted.hot.clock().now(), periods)) {
        return Err(OriginError::Stale { periods });
    }
    Ok(())
}

/// A playlist or MPD that is stored compressed, in clear for who does not take it as it is: who has not said so, or wants something else
/// made of it. Cancel-safe.
///
/// # Errors
/// [`OriginError::Busy`], when the server is about to end.
pub(super) async fn unpacked(reader: Reader<'_>, found: Found) -> Result<Found, OriginError> {
    let meta = found.meta();
    let Some(said) = meta.content_encoding.as_ref().filter(|_| meta.kind.is_rewritten()) else { return Ok(found) };
    let spec = reader.spec;
    let is_taken =
        spec.shift.is_none() && spec.inherit.is_none() && !spec.skips && coding::is_taken(spec.codings, said.as_bytes());
    let coding = coding::of(Some(said.as_bytes()), found.body());
    let Some(coding) = coding.filter(|_| !is_taken && found.is_whole()) else { return Ok(found.varying()) };
    let (hosted, body) = (Arc::clone(reader.hosted), found.body().clone());
    // What it unpacks to may be long.
    let work = move || legible::unpack(&hosted, coding, &body).ok();
    let Some(clear) = reader.hosted.work.of_readers.work(usize::MAX, work).await? else { return Ok(found.varying()) };
    let meta = Meta { content_encoding: None, ..meta.clone() };
    let entry = made::playlist(&reader.object.key, meta, clear);
    Ok(Found::made(entry, found.left, found.max_age).varying())
}

/// Where a window of time is asked for: the same multivariant playlist, whose children are asked for that window. Cancel-safe.
///
/// # Errors
/// [`OriginError::NothingRetained`], when it is no multivariant playlist: then there is no history to it.
pub(super) async fn shifted(reader: Reader<'_>, found: Found) -> Result<Found, OriginError> {
    let Some(shift) = reader.spec.shift else { return Ok(found) };
    let meta = found.meta();
    let (window, host, body) = (shift.window.to_string(), reader.spec.host.map(str::to_owned), found.body().clone());
    let work = move || {
        let is_multivariant = matches!(playlist::parse(&body), Ok(Playlist::Multivariant(_)));
        is_multivariant.then(|| rewrite::inherit(Kind::Playlist, &body, &window, host.as_deref()))
    };
    let rewritten = reader.hosted.work.of_readers.work(found.body().len(), work).await?;
    let body = rewritten.ok_or(OriginError::NothingRetained)?;
    let max_age = if shift.relative { found.max_age.min(RELATIVE_MAX_AGE) } else { found.max_age };
    let meta = Meta { liveness: meta.liveness.clone(), ..made::describe(reader.hosted, &reader.object.key, found.left) };
    Ok(Found::made(made::playlist(&reader.object.key, meta, body), found.left, max_age))
}

/// Where the reader asks for a delta update, and the packager offers them: the playlist without what lies beyond its skip boundary. Made
/// once for all who ask for that of a version. Cancel-safe.
///
/// # Errors
/// [`OriginError::Busy`], when the server is about to end.
pub(super) async fn updated(reader: Reader<'_>, found: Found) -> Result<Found, OriginError> {
    let meta = found.meta();
    if !reader.spec.skips || reader.spec.shift.is_some() || meta.kind != Kind::Playlist || meta.content_encoding.is_some() {
        return Ok(found);
    }
    let hosted = reader.hosted;
    let asked = AskedDelta { playlist: reader.object.key.clone(), etag: meta.etag.clone() };
    let (key, body, of_whole) = (reader.object.key.clone(), found.body().clone(), meta.clone());
    let work = move || skip::delta(&body).map(|update| made::playlist(&key, of_whole, update));
    let make = hosted.work.of_readers.work(found.body().len(), work);
    let made = hosted.work.deltas.get(asked, hosted.hot.clock().now(), make).await?;
    Ok(made.map_or(found.clone(), |update| Found::made(update, found.left, found.max_age)))
}

/// Where the children are to inherit a key: the playlist or manifest with it, if it is one in clear. That is another representation
/// than the stored one, of no use to anybody else. Cancel-safe.
///
/// # Errors
/// [`OriginError::Busy`], when the server is about to end.
pub(super) async fn inherited(reader: Reader<'_>, found: Found) -> Result<Found, OriginError> {
    let Some(query) = reader.spec.inherit else { return Ok(found) };
    let meta = found.meta();
    if !meta.kind.is_rewritten() || coding::of(meta.content_encoding.as_ref().map(HeaderValue::as_bytes), found.body()).is_some()
    {
        return Ok(found);
    }
    let (query, host) = (Secret::new(query.expose().to_owned()), reader.spec.host.map(str::to_owned));
    let (kind, body) = (meta.kind, found.body().clone());
    let work = move || rewrite::inherit(kind, &body, query.expose(), host.as_deref());
    let body = reader.hosted.work.of_readers.work(found.body().len(), work).await?;
    let entry = made::playlist(&reader.object.key, meta.clone(), body);
    Ok(Found::made(entry, found.left, found.max_age).personal())
}
