//! A version of an encoder's -> the public playlist, which takes its place.
//!
//! The state is the public playlist itself, with the few numbers that are kept with it. Here is known beside it only the newest version,
//! for what it lists may come later, or be waited for.
//!
//! Invariant: what a public playlist lists can be read under the name it has there ([`super::named`]), for as long as it is listed and as
//! long again, whatever becomes of the encoder's own name. Where nothing is normalised a request does nothing for it but to see that.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;

use super::OriginError;
use super::apply::{Decided, Put};
use super::decide::Candidate;
use super::legible;
use super::listed::HeardVersion;
use super::live::Understood;
use super::namespace::Hosted;
use super::prepare::Draft;

use crate::hls::coding;
use crate::hls::normalise::{
    self, ComposeStep, Composed, LeftAlone, Named, NamedPlace, SourceVersion, StoredSegment, VersionStanding, names,
};
use crate::hls::playlist::{Media, Playlist};
use crate::hls::uri::{Meant, meant};
use crate::model::conditions::KeptConditions;
use crate::model::continuity::MediaTime;
use crate::model::event::EventKind;
use crate::model::facts::SegmentFacts;
use crate::model::id::{Key, ObjectId};
use crate::model::kind::Kind;
use crate::model::mended::Mended;
use crate::model::meta::etag_digits;
use crate::store::{Body, Entry, Want};

/// Of a long version the last so many segments are waited for.
const WAITED_FOR: usize = 64;

/// What becomes of a version.
#[derive(Debug)]
pub(super) enum TakenUp {
    /// It is stored as it is.
    AsItIs(Draft),
    /// This is stored in its place.
    Composed(Draft),
    /// Nothing yet: nothing that it lists is here.
    Waits,
}

impl Hosted {
    /// Takes up a version of a playlist, and makes the public one of it where playlists of its name are normalised. To be called in its
    /// turn. Cancel-safe.
    ///
    /// # Errors
    /// [`OriginError::Busy`], when the server is about to end.
    pub(super) async fn normalised(
        self: &Arc<Self>,
        object: &ObjectId,
        draft: Draft,
        reach: Option<&str>,
    ) -> Result<TakenUp, OriginError> {
        let is_media = matches!(draft.understood, Some(Understood::Hls(Playlist::Media(_))));
        if self.policy.normalise.is_empty() || !is_media || !self.normalises(&object.key) {
            return Ok(TakenUp::AsItIs(draft));
        }
        let version = match self.version_of(&draft) {
            Ok(version) => Arc::new(version),
            Err(LeftAlone::Empty) => return Ok(TakenUp::Waits),
            Err(left_alone) => {
                self.work.public.forget(&object.key);
                let detail = format!("its playlist is stored as it came, because {}: it is not normalised", left_alone.why());
                self.live.tell(self.hot.clock().both(), &object.key, EventKind::NotNormalised, detail);
                return Ok(TakenUp::AsItIs(draft));
            }
        };
        let Draft { mut outset, understood, .. } = draft;
        // It is composed in clear.
        outset.content_encoding = None;
        let now = self.hot.clock().both();
        let segments = match &understood {
            Some(Understood::Hls(Playlist::Media(media))) => self.keys_of(object, media, WAITED_FOR),
            _ => Vec::new(),
        };
        let heard = HeardVersion {
            version,
            heard: now.wall,
            standing: VersionStanding::New,
            expires: now.moment + outset.ttl,
            outset,
            reach: reach.map(str::to_owned),
            look: 0,
            segments,
        };
        let before = self.public_before(&object.key).await;
        self.work.public.heard(&object.key, heard.clone(), now.moment);
        Ok(self.composed(object, heard, before).await?.map_or(TakenUp::Waits, TakenUp::Composed))
    }

    fn version_of(&self, draft: &Draft) -> Result<SourceVersion, LeftAlone> {
        let said = draft.outset.content_encoding.as_ref().map(HeaderValue::as_bytes);
        let clear = match coding::of(said, &draft.body.bytes) {
            None => draft.body.bytes.to_vec(),
            Some(coding) => legible::unpack(self, coding, &draft.body.bytes).map_err(|_| LeftAlone::Unread)?,
        };
        SourceVersion::read(&String::from_utf8(clear).map_err(|_| LeftAlone::Unread)?)
    }

    /// The public playlist as it is now. Cancel-safe.
    async fn public_before(&self, key: &Key) -> Option<Arc<Entry>> {
        let entry = match self.hot.peek(key) {
            Some(entry) => Some(entry),
            None => self.durable_tier.read(key, |_| Want::Whole).await.ok().flatten().map(|hit| hit.entry),
        };
        entry.filter(|entry| entry.meta.continuity.is_some())
    }

    /// Takes a step with the newest version. `None`: there is nothing to list yet.
    async fn composed(
        self: &Arc<Self>,
        object: &ObjectId,
        heard: HeardVersion,
        before: Option<Arc<Entry>>,
    ) -> Result<Option<Draft>, OriginError> {
        let (hosted, playlist, outset) = (Arc::clone(self), object.clone(), heard.outset.clone());
        let length = before.as_ref().map_or(0, |before| before.body.len()).max(heard.version.length() * 128);
        let work = move || {
            let composed = hosted.step(&playlist, &heard, before.as_deref())?;
            let body = Body::new(composed.text.clone().into_bytes());
            let understood = legible::understood(&hosted, &playlist.key, Kind::Playlist, (&body.bytes, None));
            if let Understood::Hls(Playlist::Media(media)) = &understood {
                hosted.note_listed(&playlist, media, before.as_deref(), heard.outset.ttl);
            }
            Some((composed, body, understood))
        };
        let Some((composed, body, understood)) = self.work.of_writers.work(length, work).await? else { return Ok(None) };
        let Composed { continuity, mended, again, standing, .. } = composed;
        self.tell_mended(&object.key, &mended);
        let look = self.work.public.stands(&object.key, standing);
        if let Some(after) = again {
            self.look_again(&object.key, look, after);
        }
        Ok(Some(Draft { body, outset, understood: Some(understood), facts: None, continuity: Some(Arc::new(continuity)) }))
    }

    fn step(&self, playlist: &ObjectId, heard: &HeardVersion, before: Option<&Entry>) -> Option<Composed> {
        let before =
            before.and_then(|before| Some((std::str::from_utf8(&before.body).ok()?, **before.meta.continuity.as_ref()?)));
        let initialization = heard.version.newest_map().and_then(|uri| self.entry_of(playlist, uri).1?.meta.facts.clone());
        let find = |uri: &str| self.find_named(playlist, uri, initialization.as_deref());
        let (now, standing) = (self.hot.clock().wall(), heard.standing);
        normalise::step(
            before,
            &ComposeStep { version: &heard.version, heard: heard.heard, standing, find: &find, now, end_hold: None },
        )
    }

    /// The object of ours that a URI names, if it does, and its version in memory.
    fn entry_of(&self, playlist: &ObjectId, uri: &str) -> (Option<Key>, Option<Arc<Entry>>) {
        let (object, is_certain) = match meant(playlist, uri) {
            Some(Meant::Ours(object)) => (object, true),
            Some(Meant::Under { object, .. }) => (object, false),
            None => return (None, None),
        };
        if object.namespace != playlist.namespace || !self.normalises(&object.key) {
            return (None, None);
        }
        let entry = self.hot.peek(&object.key);
        // What stands under another host is ours when it is here.
        if is_certain || entry.is_some() { (Some(object.key), entry) } else { (None, None) }
    }

    /// What is known of a URI in a version.
    fn find_named(&self, playlist: &ObjectId, uri: &str, initialization: Option<&SegmentFacts>) -> Named {
        let plain = uri.to_owned();
        let (key, entry) = self.entry_of(playlist, uri);
        if key.is_none() {
            return Named { plain, place: NamedPlace::Elsewhere };
        }
        let tagged = |entry: &Entry| Some(names::tagged(uri, etag_digits(&entry.meta.etag, names::DIGITS)?));
        let Some((entry, uri)) = entry.and_then(|entry| Some((Arc::clone(&entry), tagged(&entry)?))) else {
            return Named { plain, place: NamedPlace::Absent };
        };
        let facts = entry.meta.facts.as_deref().map(|facts| match initialization {
            Some(initialization) => facts.clone().with(initialization),
            None => facts.clone(),
        });
        let lead = facts.as_ref().and_then(SegmentFacts::lead);
        let begins = lead.and_then(|track| Some(MediaTime { ticks: track.first?, scale: track.scale? }));
        let ticks = lead.filter(|track| track.undated == 0).map_or(0, |track| track.duration);
        Named { plain, place: NamedPlace::Here(StoredSegment { uri, at: entry.meta.modified, begins, ticks }) }
    }

    /// The keys that a version names here, as they are written there: its maps and its last segments.
    fn keys_of(&self, playlist: &ObjectId, media: &Media, most: usize) -> Vec<Key> {
        let from = media.segments.len().saturating_sub(most);
        let maps = media.maps.iter().rev().take(4).map(|map| map.uri.as_str());
        let uris = media.segments[from..]
            .iter()
            .map(|segment| segment.uri.as_str())
            .chain(maps)
            .chain(media.keys.iter().map(String::as_str));
        let ours = |uri: &str| match meant(playlist, uri)? {
            Meant::Ours(object) | Meant::Under { object, .. } => (object.namespace == self.name).then_some(object.key),
        };
        uris.filter_map(ours).collect()
    }

    /// Notes what a public playlist lists, and how that came.
    fn note_listed(&self, playlist: &ObjectId, media: &Media, before: Option<&Entry>, ttl: Duration) {
        let listed = self.keys_of(playlist, media, usize::MAX);
        let before = before.map(|before| legible::understood(self, &playlist.key, Kind::Playlist, (&before.body, None)));
        let before = match &before {
            Some(Understood::Hls(Playlist::Media(media))) => self.keys_of(playlist, media, usize::MAX),
            _ => Vec::new(),
        };
        let span: Duration = media.segments.iter().map(|segment| segment.duration).sum();
        let span = span + media.target_duration.unwrap_or_default();
        let now = self.hot.clock().now();
        for name in self.work.public.lists(&listed, &before, (now + ttl, now), span) {
            if let Some((plain, _)) = self.meant_by(&name) {
                self.live.known_as(&plain, &name);
            }
        }
    }

    /// A public playlist has come back from below memory: what it lists is to be kept.
    pub(super) fn adopt(&self, entry: &Entry, understood: &Understood) {
        if let (Some(_), Understood::Hls(Playlist::Media(media))) = (&entry.meta.continuity, understood) {
            let left = entry.meta.expires.since(self.hot.clock().now());
            self.note_listed(&self.object(&entry.key), media, None, left);
        }
    }

    fn look_again(self: &Arc<Self>, playlist: &Key, look: u64, after: Duration) {
        let (hosted, playlist) = (Arc::clone(self), playlist.clone());
        tokio::spawn(async move {
            tokio::time::sleep(after).await;
            if hosted.work.public.is_due(&playlist, look) {
                hosted.compose_again(&playlist).await;
            }
        });
    }

    /// Looks at the newest version of a playlist once more, because something that it lists has come or was waited for long enough.
    pub(super) async fn compose_again(self: &Arc<Self>, playlist: &Key) {
        let _turn = self.live.turn(playlist).await;
        let Some(heard) = self.work.public.version(playlist) else { return };
        let (before, reach) = (self.public_before(playlist).await, heard.reach.clone());
        let body = before.as_ref().map(|before| before.body.clone());
        // Nothing is lost where it fails: the next version says it again.
        let Ok(Some(draft)) = self.composed(&self.object(playlist), heard, before).await else { return };
        if body.is_some_and(|body| body == draft.body.bytes) {
            return;
        }
        let Ok(upload) = self.hot.create(playlist, None, self.hot.stamp()) else { return };
        let candidate = Candidate { upload, conditions: KeptConditions::default(), below: None };
        let what = Put { candidate, draft, took: Duration::ZERO, below: None, reach };
        let _ = Decided { key: playlist, now: self.hot.clock().both(), what }.apply(self).await;
    }

    /// Counts and tells what was done that the encoder did not.
    fn tell_mended(&self, playlist: &Key, mended: &[Mended]) {
        let now = self.hot.clock().both();
        for what in mended {
            self.metrics.count_mended(*what);
            let (kind, detail) = match what {
                Mended::Restart => (
                    EventKind::CounterRestart,
                    "the encoder counts anew: its segments are listed under the numbers that come next, behind a discontinuity",
                ),
                Mended::Hole => (
                    EventKind::SequenceHole,
                    "the encoder has left numbers out, or more than three segments in a row did not come: a discontinuity stands there",
                ),
                Mended::Gap => {
                    (EventKind::Gap, "a segment that is listed has not come and a later one has: it is listed as EXT-X-GAP")
                }
                Mended::Back => (EventKind::SequenceBack, "an older version of the playlist was written: it was passed over"),
                Mended::TwoWriters => (
                    EventKind::TwoWriters,
                    "two encoders write this playlist, and the one that began first is passed over as long as the other goes on: end one \
                     of them, or give each a name of its own",
                ),
                Mended::Length => (
                    EventKind::BrokenPlaylist,
                    "the length of a segment (EXTINF) is no number of seconds: it is listed with the length of its media, or as \
                     EXT-X-GAP where its bytes do not tell",
                ),
                Mended::Long => {
                    (EventKind::WindowLost, "the encoder lists more than 20,000 segments: the oldest are left out of what viewers get")
                }
                // The public playlist says so, and is followed like any other.
                Mended::Target | Mended::Map => continue,
            };
            self.live.tell(now, playlist, kind, detail.to_owned());
        }
    }
}
