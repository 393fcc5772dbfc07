//! What a namespace knows of the live streams in it.
//!
//! Every playlist is read when it is stored, every segment is noted when it comes. From that follow: which missing names are
//! worth waiting for ([`Live::awaits`]), what must not expire while it is needed ([`Noted::needs`]), what is stale
//! ([`Liveness`]), and how each stream is ([`Live::look`], [`Live::report`]).
//!
//! One lock per namespace, taken by writes, by reads that miss, and once a second by the look-round; never by a read that finds
//! what it asks for, never across an await. What is done under it is bounded, whatever encoders write: a playlist is read, and what
//! following needs of it is made, before it is taken; histories have locks of their own. That the versions of one playlist are
//! taken up in their order is the turns' duty.
//!
//! No clock is read here: every call brings its time, a change the one at which it was decided. The same changes with the same times
//! make the same streams and histories, on whichever node and however late they are applied.
//!
//! Invariant: every list here is bounded, whatever encoders write.

mod absent;
mod arrivals;
mod blocking;
mod clock_offset;
mod dash;
mod date_ranges;
mod drifting;
mod event;
mod folders;
mod follow;
mod gaps;
mod gated;
mod grown;
mod histories;
mod judging;
mod known;
mod left_out;
mod lines;
mod look;
mod names;
mod numbered;
mod orphans;
mod outline;
mod pace;
mod places;
mod public;
mod rendition;
mod report;
mod segment;
mod state;
mod streams;
#[cfg(test)]
mod tests;
mod timeline;
mod turns;
mod understood;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use ahash::RandomState;
use http::HeaderValue;
use parking_lot::Mutex;

pub use self::event::Event;
pub use self::histories::HistoryLog;
pub use self::known::FactsReport;
pub use self::report::{RenditionReport, StreamReport};
pub use self::timeline::{RenditionTimeline, SegmentTile};

#[cfg(any(test, fuzzing))]
pub(super) use self::numbered::found_by;
pub(super) use self::understood::{Understood, understand};

use self::arrivals::Arrivals;
use self::dash::Sketch;
use self::histories::Histories;
use self::names::ListedNames;
pub(super) use self::orphans::Readership;
use self::outline::Outline;
use self::rendition::FollowedRendition;
use self::segment::Arrival;
use self::state::{Expected, LiveState, patience};
use self::streams::MasterVersion;
pub(super) use self::turns::PlaylistTurn;
use self::turns::Turns;
use crate::hls::history::{Listed, SegmentSpan, StoredBytes, Stretch, Tail};
use crate::hls::playlist::{Playlist, Variables};
use crate::hls::skip::KnownDateRanges;
use crate::metrics::NamespaceMetrics;
use crate::model::clock::{Moment, Now, Pulse, WallTime};
use crate::model::extension::Extension;
use crate::model::id::{Key, Namespace, ObjectId};
use crate::model::liveness::Liveness;
use crate::model::meta::etag_number;

/// What a name takes beside its text, in bytes.
const NAME_BYTES: usize = 48;
/// How long a media playlist that a new multivariant one names is waited for: some encoders write that first.
const CHILD_PATIENCE: Duration = Duration::from_secs(2);

/// How many initialisation segments of an MPD are looked at to know a CDN's names.
const MOST_LOOKED_AT: usize = 32;
/// No blocking reload waits longer, whatever target duration a playlist states: players ask again, and who waits costs a connection.
const LONGEST_RELOAD: Duration = Duration::from_secs(30);

type ByKey<V> = HashMap<Key, V, RandomState>;

/// The streams of one namespace.
#[derive(Debug)]
pub(super) struct Live {
    namespace: Namespace,
    metrics: NamespaceMetrics,
    state: Mutex<LiveState>,
    /// The lock of this one may be taken under that of the state.
    arrivals: Mutex<Arrivals>,
    histories: Histories,
    turns: Turns,
}

/// What a playlist that is being stored brings.
#[derive(Debug)]
pub(super) struct Noted {
    /// For its readers.
    pub(super) liveness: Arc<Liveness>,
    /// What has to live as long as it does: the multivariant playlists that name it, its initialisation segments and keys.
    pub(super) needs: Vec<Key>,
}

/// What a name stood for when it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Predecessor {
    /// Nothing that is known of.
    None,
    /// The same: it was stored again.
    SameMedia,
    /// Something else: who kept that plays it still.
    OtherMedia,
}

/// What to do with a request for a playlist that does not exist yet (RFC 8216bis 6.2.5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reload {
    /// Answer with what there is.
    Answer,
    /// Wait for it, at most this long.
    Wait(Duration),
    /// It is too far ahead.
    TooFar,
}

impl Live {
    pub(super) fn new(namespace: Namespace, metrics: NamespaceMetrics) -> Self {
        let histories = Histories::new(namespace.clone());
        Self { namespace, metrics, state: Mutex::default(), arrivals: Mutex::default(), histories, turns: Turns::default() }
    }

    /// Notes a playlist or MPD that is about to be stored with this entity tag and will live until `expires`. `stored` tells the entity tag of what
    /// is stored under a key now.
    pub(super) fn playlist(
        &self,
        now: Now,
        object: &ObjectId,
        understood: &Understood,
        (etag, expires, is_composed): (&HeaderValue, Moment, bool),
        stored: impl Fn(&Key) -> Option<HeaderValue>,
    ) -> Noted {
        let (namespace, key) = (&self.namespace, &object.key);
        match understood {
            Understood::Hls(Playlist::Multivariant(multivariant)) => {
                let version = MasterVersion::of(object, multivariant);
                let since = self.state.lock().multivariant((namespace, key), version, now, expires);
                let liveness = Liveness::new(Arc::new(Pulse::new(now.moment)), None, None, since);
                Noted { liveness: Arc::new(liveness), needs: Vec::new() }
            }
            Understood::Hls(Playlist::Media(media)) => {
                let known = self.state.lock().renditions.get(key).map(FollowedRendition::known);
                let names =
                    ListedNames::of_media(object, media, |key| stored(key).is_some() || self.arrivals.lock().get(key).is_some());
                let version = Outline { is_composed, ..Outline::of(&names, media, known, etag) };
                let (noted, step) = {
                    let mut state = self.state.lock();
                    state.media((namespace, key), version, now, expires, &mut self.arrivals.lock(), &stored)
                };
                let known = |uri: &str| {
                    let found = names.key(uri);
                    let arrivals = self.arrivals.lock();
                    let arrived = found.as_ref().and_then(|key| arrivals.get(key));
                    let left = arrived.map_or(expires, |arrival| arrival.expires.max(expires)).since(now.moment);
                    drop(arrivals);
                    StoredBytes { until: now.wall + left, etag: found.and_then(|key| etag_number(&stored(&key)?)) }
                };
                let renditions = || self.state.lock().streams.renditions(key);
                self.histories.follow(key, media, step, now.wall, known, renditions);
                noted
            }
            Understood::Dash(manifest) => {
                let initializations = manifest.initializations.iter().rev().map(String::as_str);
                let listed = manifest.representations.iter().rev().filter_map(|one| one.newest.as_deref());
                let names =
                    ListedNames::of(object, initializations.take(MOST_LOOKED_AT).chain(listed), |key| stored(key).is_some());
                let version = Sketch::of(&names, manifest, etag);
                self.state.lock().mpd((namespace, key), version, now, expires)
            }
            Understood::Broken(fault) => self.state.lock().broken((namespace, key), fault, now, (etag, expires)),
        }
    }

    /// Notes a playlist or MPD that has been kept since it was `written`, before this process began: as it would have been then. What had
    /// come of MPDs is [said](Self::had_come) next.
    pub(super) fn kept(
        &self,
        written: Now,
        object: &ObjectId,
        understood: &Understood,
        (etag, expires): (&HeaderValue, Moment),
        stored: impl Fn(&Key) -> Option<HeaderValue>,
    ) -> Noted {
        let noted = self.playlist(written, object, understood, (etag, expires, false), stored);
        self.state.lock().remember_past(&object.key);
        noted
    }

    /// Waits until the versions of this playlist that came before have been taken up. Cancel-safe.
    pub(super) async fn turn(&self, key: &Key) -> PlaylistTurn {
        self.turns.take(key).await
    }

    /// What the multivariant playlist defines that names this playlist.
    pub(super) fn imports(&self, key: &Key) -> Option<Arc<Variables>> {
        self.state.lock().streams.variables(key)
    }

    /// Whether a playlist or MPD is followed.
    pub(super) fn follows(&self, key: &Key) -> bool {
        let state = self.state.lock();
        state.renditions.contains_key(key) || state.manifests.contains_key(key)
    }

    /// Notes a segment that has been stored in place of that. Hands over what is to live as long as it does.
    pub(super) fn segment(
        &self,
        now: Now,
        key: &Key,
        (etag, expires): (HeaderValue, Moment),
        bytes: u64,
        took: Duration,
        predecessor: Predecessor,
    ) -> Vec<Key> {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        let arrival =
            Arrival { at: now.moment, bytes, took: Some(took), etag, expires, is_again: predecessor != Predecessor::None };
        let listed_by = state.expected.remove(key).filter(Expected::is_listed).map(|expected| expected.playlist);
        if let Some(rendition) = listed_by.as_ref().and_then(|playlist| state.renditions.get_mut(playlist)) {
            rendition.arrived(key, &arrival);
        }
        let mut arrivals = self.arrivals.lock();
        let needs = state.came(key, now, arrival.expires, &arrivals);
        if predecessor == Predecessor::OtherMedia && is_media(key) {
            state.reused(&self.namespace, key, arrivals.listed_by(key), now);
        }
        arrivals.put(key, arrival, listed_by);
        needs
    }

    /// Notes that a multivariant playlist lives longer.
    pub(super) fn renewed(&self, key: &Key, expires: Moment) {
        self.state.lock().streams.lives_until(key, expires);
    }

    /// Forgets what was noted last of a playlist: it is not stored. Its past stays.
    pub(super) fn unnoted(&self, key: &Key) {
        self.state.lock().let_go(key);
    }

    /// Forgets a playlist that was deleted, and its past.
    pub(super) fn removed(&self, now: Now, key: &Key) {
        {
            let mut state = self.state.lock();
            state.tell_gone(&self.namespace, key, now);
            state.let_go(key);
        }
        self.histories.remove(key);
    }

    /// What a media playlist has listed between two moments; `None` when it has no history.
    pub(super) fn stretch(&self, key: &Key, start: Option<WallTime>, end: Option<WallTime>) -> Option<Stretch> {
        self.histories.stretch(key, start, end)
    }

    /// Which segments lie between two moments, and the last of them before this number; nothing, where there are none.
    pub(super) fn tail(
        &self,
        key: &Key,
        span: (Option<WallTime>, Option<WallTime>),
        before: u64,
        count: usize,
    ) -> Option<(SegmentSpan, Tail)> {
        self.histories.tail(key, span, before, count)
    }

    /// The largest target duration of the renditions of its stream and of these, in seconds.
    pub(super) fn target_of_renditions(&self, key: &Key, and_of: &[Key]) -> u64 {
        let renditions = self.state.lock().streams.renditions(key);
        self.histories.target(&renditions).max(self.histories.target(and_of))
    }

    /// Which segments lie between two moments, if any; `None` when the playlist has no history. Cancel-safe.
    pub(super) async fn span(&self, key: &Key, start: Option<WallTime>, end: Option<WallTime>) -> Option<Option<SegmentSpan>> {
        self.histories.span(key, start, end).await
    }

    /// Has histories written down from now on. `is_restoring`: what was written down before is still to be taken up.
    pub(super) fn keep_in(&self, history_log: &Arc<dyn HistoryLog>, is_restoring: bool) {
        self.histories.keep_in(history_log, is_restoring);
    }

    /// Takes up what was written down of a history, oldest first.
    pub(super) fn restore(&self, key: &Key, listed: Vec<Listed>, now: WallTime) {
        self.histories.restore(key, listed, now);
    }

    /// Whether what was written down before is still to be taken up.
    pub(super) fn is_restoring(&self) -> bool {
        self.histories.is_restoring()
    }

    /// All that was written down of histories has been taken up.
    pub(super) fn end_restoring(&self) {
        self.histories.restored();
    }

    /// Waits for that. Cancel-safe.
    pub(super) async fn restored(&self) {
        self.histories.wait_for_restored().await;
    }

    /// For a missing name that is worth waiting for: the target duration of the playlist that lists or announces it.
    pub(super) fn awaits(&self, now: Now, key: &Key) -> Option<Duration> {
        let mut state = self.state.lock();
        let Some(expected) = state.expected.get(key) else {
            let is_newly_named = state.streams.is_newly_named(key, now.wall);
            state.asked_for(key, now.moment);
            return is_newly_named.then_some(CHILD_PATIENCE * 2);
        };
        (now.moment.since(expected.since) <= patience(expected.target)).then_some(expected.target)
    }

    /// The segment before this one, and how long a segment is, when a live MPD numbers them.
    pub(super) fn previous(&self, key: &Key) -> Option<(Key, Duration)> {
        let state = self.state.lock();
        let (previous, manifest) = state.templates.previous(key)?;
        Some((previous, state.manifests.get(manifest)?.period))
    }

    /// The target duration of the stream that a segment seems to belong to: of the nearest playlist in its folder or above it.
    pub(super) fn target_near(&self, key: &Key) -> Option<Duration> {
        let state = self.state.lock();
        let nearest = state.folders.beside(key).next()?;
        Some(state.renditions.get(nearest)?.target)
    }

    /// What players know of the date ranges of a playlist; `None`: that can't be told. It holds for any version about as old as the newest:
    /// what is not known stays in it, and what is in it has not left.
    pub(super) fn known_date_ranges(&self, now: Moment, key: &Key) -> Option<KnownDateRanges> {
        self.state.lock().renditions.get(key)?.date_ranges.known(now)
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
                    Reload::Wait(std::cmp::min(rendition.target * 3, LONGEST_RELOAD))
                }
            }
            _ => Reload::Answer,
        }
    }
}

/// Whether a name is that of a media segment: pictures and the like are rewritten rightly.
fn is_media(key: &Key) -> bool {
    Extension::of(&key.extension()).format.is_media()
}
