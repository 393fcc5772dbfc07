//! All that is known of a namespace's streams, under the namespace's lock; and who makes room when there are too many.

use std::time::Duration;

use super::dash::Dash;
use super::event::{EventSubject, Events};
use super::folders::Folders;
use super::numbered::Templates;
use super::places::Places;
use super::rendition::FollowedRendition;
use super::streams::{MasterVersion, StreamTable};
use super::{ByKey, Live};
use crate::model::clock::{Moment, Now, WallTime};
use crate::model::event::EventKind;
use crate::model::id::{Key, Namespace};
use crate::model::liveness::Standing;

/// Playlists and MPDs that are followed in one namespace. For one more, one that has its end or was written longest ago makes room:
/// it is stored and served, and not followed.
pub(super) const FOLLOWED: usize = 4096;
/// Bytes of memory that are kept of all of them, histories apart.
const FOLLOWED_BYTES: usize = 64 << 20;
/// How many segments are looked at between two times at which others may have the lock.
const AT_ONCE: usize = 64;

#[derive(Debug)]
pub(super) struct LiveState {
    pub(super) renditions: ByKey<FollowedRendition>,
    pub(super) manifests: ByKey<Dash>,
    pub(super) streams: StreamTable,
    /// The places of all of these.
    pub(super) places: Places,
    pub(super) folders: Folders,
    pub(super) templates: Templates,
    pub(super) expected: ByKey<Expected>,
    pub(super) events: Events,
    /// Playlists that were asked for and are not here: how often, and when last.
    pub(super) asked: ByKey<(u32, Moment)>,
    /// How many had to make room since it was told, though they had no end, and the last of them.
    pub(super) unfollowed: Option<(u64, Key)>,
    pub(super) unfollowed_told: Option<Moment>,
}

impl Default for LiveState {
    fn default() -> Self {
        Self {
            renditions: ByKey::default(),
            manifests: ByKey::default(),
            streams: StreamTable::default(),
            places: Places::new(FOLLOWED, FOLLOWED_BYTES),
            folders: Folders::default(),
            templates: Templates::default(),
            expected: ByKey::default(),
            events: Events::default(),
            asked: ByKey::default(),
            unfollowed: None,
            unfollowed_told: None,
        }
    }
}

/// The kinds of playlists.
#[derive(Clone, Copy, Debug)]
pub(super) enum Playlists {
    Media,
    Multivariant,
}

/// A name that a playlist lists or announces and that is not here yet.
#[derive(Debug)]
pub(super) struct Expected {
    pub(super) playlist: Key,
    pub(super) since: Moment,
    pub(super) target: Duration,
    pub(super) of: ExpectedAs,
    pub(super) told: bool,
    /// It should be here, and is being uploaded still: it is not known yet whether it comes.
    pub(super) is_coming: bool,
}

/// What is said of such a name. Of several things the last one counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ExpectedAs {
    /// It is announced: until it is there nothing is missing.
    Announced,
    /// It is one of the segments that an MPD counts, and later ones are here.
    Numbered,
    /// It is listed as a part, and is an object of its own.
    Part,
    /// It is listed as a whole segment.
    Segment,
}

impl Expected {
    pub(super) const fn new(playlist: Key, since: Moment, target: Duration, of: ExpectedAs) -> Self {
        Self { playlist, since, target, of, told: false, is_coming: false }
    }

    /// Whether it is a media playlist that says so.
    pub(super) fn is_listed(&self) -> bool {
        self.of != ExpectedAs::Numbered
    }

    /// Whether its absence is a gap.
    pub(super) fn is_missed(&self) -> bool {
        self.of != ExpectedAs::Announced
    }
}

impl LiveState {
    /// Takes up a multivariant playlist; says since when its children have been as they are.
    pub(super) fn multivariant(
        &mut self,
        (namespace, key): (&Namespace, &Key),
        version: MasterVersion<'_>,
        now: Now,
        expires: Moment,
    ) -> WallTime {
        self.let_go_others(key, Playlists::Multivariant);
        self.places.written(key, true, version.bytes());
        let before = self.streams.get(key).and_then(|master| master.fault.clone());
        if let Some(fault) = version.fault.as_ref().filter(|fault| before.as_ref() != Some(fault)) {
            let subject = EventSubject { namespace, stream: key, playlist: key };
            self.events.tell(now, &subject, EventKind::BrokenPlaylist, fault.clone());
        }
        let since = self.streams.follow(key, version, now, expires);
        self.make_room(key);
        since
    }

    /// What a name was before it is followed as this: one that could not be read at first is taken for a media playlist.
    pub(super) fn let_go_others(&mut self, key: &Key, playlists: Playlists) {
        match playlists {
            Playlists::Media => self.streams.remove(key),
            Playlists::Multivariant => self.let_go_rendition(key),
        }
    }

    /// Whether it is followed as anything.
    pub(super) fn follows(&self, key: &Key) -> bool {
        self.renditions.contains_key(key) || self.manifests.contains_key(key) || self.streams.contains(key)
    }

    /// What this was heard of lies in the past: how it stands now is no news.
    pub(super) fn remember_past(&mut self, key: &Key) {
        if let Some(rendition) = self.renditions.get_mut(key) {
            rendition.is_past = true;
        }
        if let Some(dash) = self.manifests.get_mut(key) {
            (dash.is_past, dash.is_unsettled) = (true, dash.are_seen);
        }
    }

    /// A segment of an MPD that was heard of lately had come then.
    fn had_come(&mut self, key: &Key, then: Now) {
        let (naming, is_clear) = self.templates.all_naming(key);
        for (manifest, by) in naming {
            if let Some(dash) = self.manifests.get_mut(manifest).filter(|dash| dash.is_unsettled) {
                dash.came(key, (by, is_clear), then);
            }
        }
    }

    /// Nothing more is known of what had come before `now`.
    fn settle(&mut self, now: Now) {
        for dash in self.manifests.values_mut().filter(|dash| dash.is_unsettled) {
            dash.is_unsettled = false;
            // Of one of which no segment is known any may have come until just now, however long ago it was written.
            if !dash.series.iter().any(|series| series.has_come) {
                dash.pulse.beat(now.moment);
            }
            let unknown = dash.series.iter_mut().filter(|series| !series.has_come);
            unknown.for_each(|series| series.last = now.moment);
        }
    }

    /// What was told to be late or stale has its end with this: it is followed no more.
    pub(super) fn tell_gone(&mut self, namespace: &Namespace, key: &Key, now: Now) {
        let told = self.renditions.get(key).map(|rendition| rendition.told);
        let told = told.or_else(|| self.manifests.get(key).map(|dash| dash.told));
        if matches!(told, Some(Standing::Late | Standing::Stale)) {
            let subject = EventSubject { namespace, stream: self.streams.of(key).unwrap_or(key), playlist: key };
            let detail =
                "it stood still, and its playlist has been deleted or has outlived its time to live: it is over".to_owned();
            self.events.announce(now, &subject, EventKind::Gone, detail);
        }
    }

    /// Lets go of others, as long as there are too many to follow `newest` beside them.
    pub(super) fn make_room(&mut self, newest: &Key) {
        while let Some((key, goes_on)) = self.places.make_room(newest) {
            self.let_go(&key);
            if goes_on {
                let before = self.unfollowed.take().map_or(0, |(count, _)| count);
                if before > 0 {
                    // The first one is counted when it is told.
                    self.events.count(EventKind::Unfollowed);
                }
                self.unfollowed = Some((before + 1, key));
            }
        }
    }

    pub(super) fn let_go(&mut self, key: &Key) {
        self.let_go_rendition(key);
        self.let_go_manifest(key);
        self.streams.remove(key);
        self.places.remove(key);
    }

    pub(super) fn let_go_rendition(&mut self, key: &Key) {
        if self.renditions.remove(key).is_some() {
            self.folders.remove(key);
        }
    }

    pub(super) fn let_go_manifest(&mut self, key: &Key) {
        if let Some(dash) = self.manifests.remove(key) {
            self.templates.remove(key, dash.series.iter().map(|series| &series.numbered));
        }
    }
}

impl Live {
    /// Segments that had come before this process began, oldest first, and when: MPDs that were [kept](Self::kept) are alive as of the last of
    /// theirs. One of which none is among them is taken to be alive as of `now`.
    pub(in crate::origin) fn had_come(&self, segments: &[(Key, Now)], now: Now) {
        for some in segments.chunks(AT_ONCE) {
            let mut state = self.state.lock();
            some.iter().for_each(|(key, then)| state.had_come(key, *then));
        }
        self.state.lock().settle(now);
    }
}

/// How long a name that is listed and not here is worth waiting for. Later it is a gap, and to wait would only slow the player.
pub(super) fn patience(target: Duration) -> Duration {
    target * 3
}
