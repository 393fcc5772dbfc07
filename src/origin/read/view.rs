//! The views: what is laid over an object that was found, by what the reader asked for and what the namespace's rules say.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;

use super::past::TooFar;
use super::{Found, Read, ReadSpec, Reader, made};
use crate::auth::grant::Grant;
use crate::auth::secret::Secret;
use crate::hls::playlist::{self, Playlist, is_unknown};
use crate::hls::renditions::{self, Choice};
use crate::hls::uri::{self, Meant};
use crate::hls::{coding, rewrite, skip};
use crate::model::clock::WallTime;
use crate::model::id::{Key, ObjectId};
use crate::model::kind::Kind;
use crate::model::meta::Meta;
use crate::origin::cuts::{AskedClear, AskedDelta};
use crate::origin::namespace::Hosted;
use crate::origin::policy::OnStale;
use crate::origin::{OriginError, Shift, legible};

/// How long caches may keep a multivariant playlist whose children are cut at times that were counted from now.
const RELATIVE_MAX_AGE: u64 = 1;
/// A rendition that ends this long before another one stands still, and is not waited for.
const STANDS_STILL: Duration = Duration::from_secs(30);
/// So many segments are looked at where that is asked for; what takes more is done elsewhere.
const LOOKED_AT_HERE: usize = 512;
/// The longest multivariant playlist that is made, in bytes.
const MAX_MADE: usize = 16 << 20;

/// Whether there is a view to be laid over it, beside that which [may refuse it](refuse_stale).
pub(super) fn concern(spec: &ReadSpec<'_>, found: &Found) -> bool {
    spec.shift.is_some() || spec.skips || spec.inherit.is_some() || found.meta().content_encoding.is_some()
}

/// Lays all views over what was found, in their order. Each leaves what it does not concern as it is. Cancel-safe.
///
/// # Errors
/// Those of each.
pub(super) async fn all(reader: Reader<'_>, found: Found) -> Result<Read, OriginError> {
    refuse_stale(reader, &found)?;
    let found = unpacked(reader, found).await?;
    let found = shifted(reader, found).await?;
    let found = updated(reader, found).await?;
    let found = inherited(reader, found).await?;
    Ok(Read::Whole(found))
}

/// Refuses the playlist of a stream that has stood still, where the namespace wants that to be told.
///
/// # Errors
/// [`OriginError::Stale`].
pub(super) fn refuse_stale(reader: Reader<'_>, found: &Found) -> Result<(), OriginError> {
    let policy = &reader.hosted.policy;
    if policy.on_stale != OnStale::NotFound {
        return Ok(());
    }
    let periods = policy.limits.stale_after;
    let liveness = found.meta().liveness.as_ref();
    if liveness.is_some_and(|liveness| liveness.is_stale(reader.hosted.hot.clock().now(), periods)) {
        return Err(OriginError::Stale { periods });
    }
    Ok(())
}

/// A playlist or MPD that is stored compressed, in clear for who does not take it as it is: who has not said so, or wants something else
/// made of it. Unpacked once for all who ask for that of a version. Cancel-safe.
///
/// # Errors
/// [`OriginError::Busy`], when the server is about to end.
async fn unpacked(reader: Reader<'_>, found: Found) -> Result<Found, OriginError> {
    let meta = found.meta();
    let Some(said) = meta.content_encoding.as_ref().filter(|_| meta.kind.is_rewritten()) else { return Ok(found) };
    let spec = reader.spec;
    let is_taken =
        spec.shift.is_none() && spec.inherit.is_none() && !spec.skips && coding::is_taken(spec.codings, said.as_bytes());
    let coding = coding::of(Some(said.as_bytes()), found.body());
    let Some(coding) = coding.filter(|_| !is_taken && found.is_whole()) else { return Ok(found.varying()) };
    let (hosted, key) = (reader.hosted, reader.object.key.clone());
    let asked = AskedClear { playlist: key.clone(), etag: meta.etag.clone(), coding };
    let (shared, body, of_clear) = (Arc::clone(hosted), found.body().clone(), Meta { content_encoding: None, ..meta.clone() });
    let work = move || {
        let clear = legible::unpack(&shared, coding, &body).ok()?;
        Some(made::playlist(&shared, &key, of_clear, clear))
    };
    // What it unpacks to may be long.
    let make = hosted.work.of_unpackers.work(usize::MAX, work);
    let made = hosted.work.clears.get(asked, hosted.hot.clock().now(), make).await?;
    let Some(entry) = made else { return Ok(found.varying()) };
    Ok(Found::made(entry, found.left, found.max_age).varying())
}

/// Where a window of time is asked for: the multivariant playlist of that time, whose media playlists are asked for that window. Those
/// that have nothing in it are not named: a player that is told of one and gets a 404 may stop. Cancel-safe.
///
/// # Errors
/// [`OriginError::NothingRetained`], when it is no multivariant playlist: then there is no history to it; or when nothing of it is there.
async fn shifted(reader: Reader<'_>, found: Found) -> Result<Found, OriginError> {
    let Some(shift) = reader.spec.shift else { return Ok(found) };
    let meta = found.meta();
    let (hosted, grant, object) = (Arc::clone(reader.hosted), reader.grant.clone(), reader.object.clone());
    let body = found.body().clone();
    let work = move |budget: usize| {
        let text = std::str::from_utf8(&body).ok().filter(|_| matches!(playlist::parse(&body), Ok(Playlist::Multivariant(_))));
        text.map_or(Ok(None), |text| {
            PastMultivariant { hosted: &hosted, grant: &grant, object: &object, shift, budget }.make(text)
        })
    };
    let (heavy, again) = (&reader.hosted.work.of_readers, work.clone());
    let made = match heavy.work(found.body().len(), move || work(LOOKED_AT_HERE)).await? {
        Ok(made) => made,
        // Of much that was listed nothing is there: that takes long to see.
        Err(TooFar) => heavy.work(usize::MAX, move || again(usize::MAX)).await?.unwrap_or_default(),
    };
    let body = made.ok_or(OriginError::NothingRetained)?;
    let max_age = if shift.relative { found.max_age.min(RELATIVE_MAX_AGE) } else { found.max_age };
    let meta = Meta { liveness: meta.liveness.clone(), ..made::describe(reader.hosted, &reader.object.key, found.left) };
    Ok(Found::made(made::playlist(reader.hosted, &reader.object.key, meta, body.into_bytes()), found.left, max_age))
}

/// A multivariant playlist of a window, in the making.
struct PastMultivariant<'a> {
    hosted: &'a Hosted,
    grant: &'a Grant,
    object: &'a ObjectId,
    shift: Shift,
    /// How many segments may still be looked at.
    budget: usize,
}

/// Between which moments each media playlist lists something in the window, if there is something.
type Reaches = HashMap<Key, Option<(WallTime, WallTime)>>;

impl PastMultivariant<'_> {
    /// The playlist with what there is of it in the window; `None`: nothing. `newest` is what it is now.
    fn make(&mut self, newest: &str) -> Result<Option<String>, TooFar> {
        let (mut text, mut known) = (Arc::from(newest), Reaches::new());
        let editions = self.hosted.work.editions.of(&self.object.key);
        if !editions.is_empty() {
            // That which has most of what was then; what grows is what it is now, as long as there is anything of that.
            let grows = !self.shift.window.is_closed(self.hosted.hot.clock().wall());
            let mut most = self.length(newest, &mut known)?;
            for edition in editions.into_iter().rev() {
                let length = self.length(&edition, &mut known)?;
                if length > most && (most.is_zero() || !grows) {
                    (text, most) = (edition, length);
                }
            }
        }
        self.look_up(&text, &mut known)?;
        Ok(self.named(&text, &known))
    }

    fn child(&self, uri: &str) -> Option<Key> {
        let child = uri::meant(self.object, uri).map(|meant| match meant {
            Meant::Ours(found) | Meant::Under { object: found, .. } => found,
        });
        child.filter(|child| child.namespace == self.object.namespace).map(|child| child.key)
    }

    /// Looks up what is not known yet of what is named.
    fn look_up(&mut self, text: &str, known: &mut Reaches) -> Result<(), TooFar> {
        let mut children = Vec::new();
        let _ = renditions::choose(text, |uri| {
            children.extend(self.child(uri));
            Choice::LeftOut
        });
        for key in children {
            if !known.contains_key(&key) {
                let child = ObjectId { namespace: self.object.namespace.clone(), key };
                let reach = self.hosted.reach(self.grant, &child, self.shift.window, &mut self.budget)?;
                known.insert(child.key, reach);
            }
        }
        Ok(())
    }

    /// How much of the window the media playlists have that are named there: that of them which has most.
    fn length(&mut self, text: &str, known: &mut Reaches) -> Result<Duration, TooFar> {
        self.look_up(text, known)?;
        let mut most = Duration::ZERO;
        let _ = renditions::choose(text, |uri| {
            let reach = self.child(uri).and_then(|child| *known.get(&child)?);
            most = most.max(reach.map_or(Duration::ZERO, |(begins, ends)| ends.since(begins)));
            Choice::LeftOut
        });
        Ok(most)
    }

    /// The playlist with its media playlists asked for the window.
    fn named(&self, text: &str, known: &Reaches) -> Option<String> {
        let ends = |uri: &str| Some((*known.get(&self.child(uri)?)?)?.1);
        let Shift { mut window, relative, late } = self.shift;
        // All that was counted from now has one end, which all have reached but those that stand still: it is there at once.
        if relative {
            let mut all = Vec::new();
            let _ = renditions::choose(text, |uri| {
                all.extend(ends(uri));
                Choice::LeftOut
            });
            let newest = all.iter().max().copied()?;
            let reached = all.into_iter().filter(|end| newest.since(*end) <= STANDS_STILL).min();
            window.end = window.end.min(reached.filter(|end| window.start.is_none_or(|start| *end > start))).or(window.end);
        }
        let query = format!("{window}{}", if relative || late { "&late=1" } else { "" });
        let asked = |uri: &str| {
            let (before, fragment) = uri.split_at(uri.find('#').unwrap_or(uri.len()));
            let joint = match before.find('?') {
                None => "?",
                Some(at) if at + 1 == before.len() => "",
                Some(_) => "&",
            };
            Choice::Named([before, joint, &query, fragment].concat())
        };
        // What is called by a variable is known to who asks, and not here (RFC 8216bis 4.3).
        let choice = |uri: &str| if is_unknown(uri) || ends(uri).is_some() { asked(uri) } else { Choice::LeftOut };
        renditions::choose(text, choice).map(|chosen| chosen.text).filter(|text| text.len() <= MAX_MADE)
    }
}

/// Where the reader asks for a delta update, and the packager offers them: the playlist without what lies beyond its skip boundary. Made
/// once for all who ask for that of a version. Cancel-safe.
///
/// # Errors
/// [`OriginError::Busy`], when the server is about to end.
async fn updated(reader: Reader<'_>, found: Found) -> Result<Found, OriginError> {
    let meta = found.meta();
    if !reader.spec.skips || reader.spec.shift.is_some() || meta.kind != Kind::Playlist || meta.content_encoding.is_some() {
        return Ok(found);
    }
    let hosted = reader.hosted;
    let skips_date_ranges = reader.spec.skips_date_ranges;
    let asked = AskedDelta { playlist: reader.object.key.clone(), etag: meta.etag.clone(), skips_date_ranges };
    let (key, body, of_whole) = (reader.object.key.clone(), found.body().clone(), meta.clone());
    let shared = Arc::clone(hosted);
    let now = hosted.hot.clock().now();
    let work = move || {
        let Ok(Playlist::Media(media)) = playlist::parse(&body) else { return None };
        let known = if skips_date_ranges && media.server_control.can_skip_date_ranges {
            // Who can't be told what he knows gets the whole.
            Some(shared.live.known_date_ranges(now, &key)?)
        } else {
            None
        };
        skip::delta(&body, known.as_ref()).map(|update| made::playlist(&shared, &key, of_whole, update))
    };
    let make = hosted.work.of_readers.work(found.body().len(), work);
    let made = hosted.work.deltas.get(asked, now, make).await?;
    Ok(made.map_or(found.clone(), |update| Found::made(update, found.left, found.max_age)))
}

/// Where the children are to inherit a key: the playlist or manifest with it, if it is one in clear. That is another representation
/// than the stored one, of no use to anybody else. Cancel-safe.
///
/// # Errors
/// [`OriginError::InheritTooLong`]; [`OriginError::Busy`], when the server is about to end.
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
    let body = reader.hosted.work.of_readers.work(found.body().len(), work).await?.ok_or(OriginError::InheritTooLong)?;
    let entry = made::playlist(reader.hosted, &reader.object.key, meta.clone(), body);
    Ok(Found::made(entry, found.left, found.max_age).personal())
}
