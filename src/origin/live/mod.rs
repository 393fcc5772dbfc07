//! What a namespace knows of the live streams in it.
//!
//! Every playlist is read when it is stored, every segment is noted when it comes. From that follow: which missing names are
//! worth waiting for ([`Live::awaits`]), what must not expire while it is needed ([`Noted::needs`]), what is stale
//! ([`Liveness`]), and how each stream is ([`Live::look`], [`Live::report`]).
//!
//! One lock per namespace, taken by writes, by reads that miss, and once a second by the look-round; never by a read that finds
//! what it asks for, never across an await.
//!
//! Invariant: every list here is bounded, whatever encoders write.

mod arrivals;
mod blocking;
mod event;
mod follow;
mod histories;
mod look;
mod numbered;
mod rendition;
mod report;
mod streams;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use ahash::RandomState;
use http::HeaderValue;
use parking_lot::Mutex;

pub use self::event::Event;
pub use self::histories::Chronicle;
pub use self::report::{RenditionReport, StreamReport};

use self::arrivals::Arrivals;
use self::event::{Events, Now};
use self::histories::Histories;
use self::numbered::Numbered;
use self::rendition::{Arrival, Rendition};
use self::streams::Streams;
use crate::hls::history::{Listed, Stretch};
use crate::hls::mpd::Manifest;
use crate::hls::playlist::{Media, Playlist};
use crate::hls::uri;
use crate::metrics::NamespaceMetrics;
use crate::model::clock::{Clock, Moment, Pulse, WallTime};
use crate::model::extension::Extension;
use crate::model::id::{Key, Namespace, ObjectId};
use crate::model::kind::Kind;
use crate::model::liveness::{Liveness, Standing};

/// Playlists and MPDs that are followed in one namespace; what comes beyond is stored and served, and not followed.
const FOLLOWED: usize = 4096;
/// Names that are waited for in one namespace.
const EXPECTED: usize = 4096;
/// Of a playlist seen for the first time, so many of its last segments are expected: what is older may never have been here.
const EXPECTED_AT_FIRST: usize = 3;

/// How long a media playlist that a new multivariant one names is waited for: some encoders write that first.
const CHILD_PATIENCE: Duration = Duration::from_secs(2);

type Map<V> = HashMap<Key, V, RandomState>;

/// The streams of one namespace.
#[derive(Debug)]
pub(super) struct Live {
    namespace: Namespace,
    clock: Clock,
    metrics: NamespaceMetrics,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    renditions: Map<Rendition>,
    manifests: Map<Dash>,
    streams: Streams,
    arrivals: Arrivals,
    expected: Map<Expected>,
    histories: Histories,
    events: Events,
}

/// An MPD, followed as far as its health needs.
#[derive(Debug)]
struct Dash {
    pulse: Arc<Pulse>,
    period: Duration,
    dynamic: bool,
    updated: WallTime,
    written: Moment,
    expires: Moment,
    needs: Vec<Key>,
    standing: Standing,
    told: Standing,
    late_told: Option<Moment>,
    last: Option<Key>,
    /// The names of its segments, where they are numbered.
    numbered: Vec<Numbered>,
}

/// A name that a playlist lists or announces and that is not here yet.
#[derive(Debug)]
struct Expected {
    playlist: Key,
    since: Moment,
    target: Duration,
    /// Listed as a whole segment, so that its absence is a gap.
    listed: bool,
    told: bool,
}

/// What a playlist that is being stored brings.
#[derive(Debug)]
pub(super) struct Noted {
    /// For its readers.
    pub(super) liveness: Arc<Liveness>,
    /// What has to live as long as it does: the multivariant playlists that name it, its initialisation segments and keys.
    pub(super) needs: Vec<Key>,
}

/// What to do with a request for a playlist that does not exist yet (RFC 8216bis 6.2.5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reload {
    /// Answer with what there is.
    Answer,
    /// Wait for it, at most so long.
    Wait(Duration),
    /// It is too far ahead.
    TooFar,
}

/// What the playlist was understood as.
#[derive(Debug)]
pub(super) enum Understood {
    Hls(Playlist),
    Dash(Manifest),
    /// Not at all, and why.
    Broken(String),
}

impl Live {
    pub(super) fn new(namespace: Namespace, clock: Clock, metrics: NamespaceMetrics) -> Self {
        Self { namespace, clock, metrics, state: Mutex::default() }
    }

    fn now(&self) -> Now {
        Now { moment: self.clock.now(), wall: self.clock.wall() }
    }

    /// Notes a playlist or MPD that is about to be stored and will live until `expires`. `stored` tells the entity tag of what
    /// is stored under a key now.
    pub(super) fn playlist(
        &self,
        object: &ObjectId,
        understood: &Understood,
        expires: Moment,
        stored: impl Fn(&Key) -> Option<HeaderValue>,
    ) -> Noted {
        self.playlist_of(self.now(), object, understood, expires, stored)
    }

    /// Notes a playlist or MPD that has been kept since it was `written`, before this process began: as it would have been then.
    pub(super) fn kept(
        &self,
        object: &ObjectId,
        understood: &Understood,
        (written, expires): (WallTime, Moment),
        stored: impl Fn(&Key) -> Option<HeaderValue>,
    ) -> Noted {
        let now = Now { moment: self.clock.moment_of(written), wall: written };
        self.playlist_of(now, object, understood, expires, stored)
    }

    fn playlist_of(
        &self,
        now: Now,
        object: &ObjectId,
        understood: &Understood,
        expires: Moment,
        stored: impl Fn(&Key) -> Option<HeaderValue>,
    ) -> Noted {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let known = state.renditions.contains_key(&object.key) || state.manifests.contains_key(&object.key);
        let followed = state.renditions.len() + state.manifests.len() + state.streams.len();
        if !known && followed >= FOLLOWED {
            return Noted::unfollowed(understood, now);
        }
        match understood {
            Understood::Hls(Playlist::Multivariant(multivariant)) => {
                let since = state.streams.follow(object, multivariant, now, expires);
                Noted {
                    liveness: Arc::new(Liveness::new(Arc::new(Pulse::new(now.moment)), None, None, since)),
                    needs: Vec::new(),
                }
            }
            Understood::Hls(Playlist::Media(media)) => state.media(&self.namespace, object, media, now, expires, stored),
            Understood::Dash(manifest) => state.mpd(&self.namespace, object, manifest, now, expires),
            Understood::Broken(fault) => state.broken(&self.namespace, object, fault, now, expires),
        }
    }

    /// The segments that this version of a media playlist lists for the first time and that are not `here`.
    pub(super) fn missing(&self, object: &ObjectId, media: &Media, here: impl Fn(&Key) -> bool) -> Vec<Key> {
        let next = self.state.lock().renditions.get(&object.key).map(|rendition| rendition.next);
        let fresh = media.segments.iter().rev().take_while(|segment| next.is_none_or(|next| segment.sequence >= next));
        let fresh = fresh.take(EXPECTED_AT_FIRST).filter(|segment| !segment.gap);
        let keys =
            fresh.filter_map(|segment| uri::resolve(object, &segment.uri)).filter(|found| found.namespace == object.namespace);
        keys.map(|found| found.key).filter(|key| !here(key)).collect()
    }

    /// Whether a playlist or MPD is followed.
    pub(super) fn follows(&self, key: &Key) -> bool {
        let state = self.state.lock();
        state.renditions.contains_key(key) || state.manifests.contains_key(key)
    }

    /// Notes a segment that has been stored. `replaced` is the entity tag of the live version it took the place of.
    pub(super) fn segment(
        &self,
        key: &Key,
        (etag, expires): (HeaderValue, Moment),
        bytes: u64,
        took: Duration,
        replaced: Option<&HeaderValue>,
    ) {
        let now = self.now();
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let is_reused = replaced.is_some_and(|old| *old != etag);
        let arrival = Arrival { at: now.moment, bytes, took: Some(took), etag, expires };
        if let Some(expected) = state.expected.remove(key)
            && let Some(rendition) = state.renditions.get_mut(&expected.playlist)
        {
            rendition.arrived(key, &arrival);
        }
        for (manifest, dash) in &mut state.manifests {
            if is_beside(key, manifest) && is_media(key) {
                dash.pulse.beat(now.moment);
                (dash.updated, dash.last) = (now.wall, Some(key.clone()));
            }
        }
        if is_reused && is_media(key) {
            state.reused(&self.namespace, key, now);
        }
        state.arrivals.put(key, arrival);
    }

    /// Notes that a multivariant playlist lives longer.
    pub(super) fn renewed(&self, key: &Key, expires: Moment) {
        self.state.lock().streams.lives_until(key, expires);
    }

    /// Forgets a playlist that was deleted, and its past.
    pub(super) fn removed(&self, key: &Key) {
        let mut state = self.state.lock();
        state.renditions.remove(key);
        state.manifests.remove(key);
        state.streams.remove(key);
        state.histories.remove(&self.namespace, key);
    }

    /// What a media playlist has listed between two moments; `None` when it has no history.
    pub(super) fn stretch(&self, key: &Key, start: Option<WallTime>, end: Option<WallTime>) -> Option<Stretch> {
        self.state.lock().histories.stretch(key, start, end)
    }

    /// Has histories written down from now on.
    pub(super) fn keep_in(&self, chronicle: &Arc<dyn Chronicle>) {
        let _ = self.state.lock().histories.chronicle.set(Arc::clone(chronicle));
    }

    /// Takes up what was written down of a history, oldest first.
    pub(super) fn restore(&self, key: &Key, listed: Vec<Listed>) {
        self.state.lock().histories.restore(key, listed);
    }

    /// For a missing name that is worth waiting for: the target duration of the playlist that lists or announces it.
    pub(super) fn awaits(&self, key: &Key) -> Option<Duration> {
        let now = self.clock.now();
        let state = self.state.lock();
        let Some(expected) = state.expected.get(key) else {
            return state.streams.is_newly_named(key, self.clock.wall()).then_some(CHILD_PATIENCE * 2);
        };
        (now.since(expected.since) <= patience(expected.target)).then_some(expected.target)
    }

    /// The segment before this one, and how long a segment is, when a live MPD numbers them.
    pub(super) fn previous(&self, key: &Key) -> Option<(Key, Duration)> {
        let state = self.state.lock();
        let mut live = state.manifests.values().filter(|dash| dash.dynamic);
        live.find_map(|dash| dash.numbered.iter().find_map(|names| Some((names.previous(key)?, dash.period))))
    }

    /// The target duration of the stream that a segment seems to belong to: of a playlist in its folder.
    pub(super) fn target_near(&self, key: &Key) -> Option<Duration> {
        let state = self.state.lock();
        state.renditions.iter().find(|(playlist, _)| is_beside(key, playlist)).map(|(_, rendition)| rendition.target)
    }

    /// What to do with a request for a playlist that has this segment, or this part of it.
    pub(super) fn reload(&self, key: &Key, msn: u64, part: Option<u64>) -> Reload {
        let state = self.state.lock();
        match state.renditions.get(key) {
            Some(rendition) if rendition.blocks && !rendition.ended => {
                if rendition.has(msn, part) {
                    Reload::Answer
                } else if rendition.is_too_far(msn, part) {
                    Reload::TooFar
                } else {
                    Reload::Wait(rendition.target * 3)
                }
            }
            _ => Reload::Answer,
        }
    }
}

impl Noted {
    /// One more than is followed: readers are told what it says of itself.
    fn unfollowed(understood: &Understood, now: Now) -> Self {
        let last = match understood {
            Understood::Hls(Playlist::Media(media)) => media.last_sequence(),
            _ => None,
        };
        Self { liveness: Arc::new(Liveness::new(Arc::new(Pulse::new(now.moment)), None, last, now.wall)), needs: Vec::new() }
    }
}

/// Reads a playlist or MPD.
pub(super) fn understand(kind: Kind, body: &[u8]) -> Understood {
    match kind {
        Kind::Manifest => match crate::hls::mpd::parse(body) {
            Ok(manifest) => Understood::Dash(manifest),
            Err(fault) => Understood::Broken(fault.to_string()),
        },
        _ => match crate::hls::playlist::parse(body) {
            Ok(playlist) => Understood::Hls(playlist),
            Err(fault) => Understood::Broken(fault.to_string()),
        },
    }
}

/// How long a name that is listed and not here is worth waiting for. Later it is a gap, and to wait would only slow the player.
fn patience(target: Duration) -> Duration {
    target * 3
}

/// Whether an object lies in the folder of a playlist, or below it.
fn is_beside(key: &Key, playlist: &Key) -> bool {
    let folder = playlist.as_str().rfind('/').map_or("", |slash| &playlist.as_str()[..=slash]);
    key.as_str().starts_with(folder)
}

/// Whether a name is that of a media segment: pictures and the like are rewritten rightly.
fn is_media(key: &Key) -> bool {
    Extension::of(&key.extension()).format.is_media()
}
