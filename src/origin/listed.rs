//! Which names public playlists list, or listed lately; and the newest version of each, as long as something in it is waited for.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use ahash::RandomState;
use parking_lot::Mutex;

use crate::hls::normalise::{SourceVersion, VersionStanding};
use crate::model::clock::{Moment, WallTime};
use crate::model::id::Key;
use crate::model::meta::Outset;
use crate::store::Entry;

/// Playlists whose newest version is known: as many as are followed.
const PLAYLISTS: usize = 4096;

/// So many composed playlists that were deleted are known, none longer than that in bytes.
const REMOVED: usize = 64;
const REMOVED_LENGTH: usize = 256 << 10;

/// So long after another node has stored something this one goes on with what is made of it, if that one has not: it may have died in between.
pub(super) const LATER: Duration = Duration::from_millis(250);
/// How long after a step that could not be taken, because there was no room or the engine did not answer, it is tried again.
pub(super) const ONCE_MORE: Duration = Duration::from_secs(1);

/// So often a step is taken anew whose segments have made way before it listed them.
const TRIES: usize = 4;

/// What is known in a namespace.
#[derive(Debug, Default)]
pub(super) struct Public(Mutex<PublicState>);

#[derive(Debug, Default)]
struct PublicState {
    versions: HashMap<Key, HeardVersion, RandomState>,
    /// The playlist whose newest version lists a segment.
    listing: HashMap<Key, Key, RandomState>,
    /// Until when a public name has to be kept.
    names: HashMap<Key, KeptName, RandomState>,
    /// What was composed in place and deleted, until its TTL: what is written there again goes on with it.
    removed: HashMap<Key, Arc<Entry>, RandomState>,
    /// What is to be looked at in a moment, because of what other nodes have stored.
    put_off: HashSet<Key, RandomState>,
    /// Playlists that are composed in place, of which there is nothing yet because nothing that they list is here: when that is told, or that it was.
    awaited: HashMap<Key, Option<Moment>, RandomState>,
}

/// How long a public name has to be kept.
#[derive(Clone, Copy, Debug)]
enum KeptName {
    /// It is listed, in a playlist that lives until then; and for so long after it has left the list.
    Listed(Moment, Duration),
    /// It has left, and is kept until then.
    Left(Moment),
}

/// The newest version of a playlist that an encoder has written.
#[derive(Clone, Debug)]
pub(super) struct HeardVersion {
    /// The playlist that is made of it.
    pub(super) public: Key,
    pub(super) version: Arc<SourceVersion>,
    pub(super) heard: WallTime,
    pub(super) standing: VersionStanding,
    /// What its writer said of it.
    pub(super) outset: Outset,
    /// Where its writer may write.
    pub(super) reach: Option<String>,
    pub(super) expires: Moment,
    /// Which of the looks at it that were put off is still to come.
    pub(super) look: u64,
    /// The segments that it lists.
    pub(super) segments: Vec<Key>,
    /// It came to another node, which goes on with it at once: here it is looked at a moment later.
    pub(super) is_others: bool,
}

impl Public {
    /// A version has been written.
    pub(super) fn heard(&self, playlist: &Key, version: HeardVersion, now: Moment) {
        let mut state = self.0.lock();
        state.forget(playlist);
        state.removed.remove(playlist);
        if state.versions.len() >= PLAYLISTS {
            state.sweep(now);
        }
        if state.versions.len() >= PLAYLISTS {
            state.make_room();
        }
        for segment in &version.segments {
            state.listing.insert(segment.clone(), playlist.clone());
        }
        state.versions.insert(playlist.clone(), version);
    }

    /// Nothing that a playlist lists is here, and nothing was before: that is worth telling then, if it stays so.
    pub(super) fn awaits(&self, playlist: &Key, until: Moment) {
        let mut state = self.0.lock();
        if state.awaited.len() < PLAYLISTS {
            state.awaited.entry(playlist.clone()).or_insert(Some(until));
        }
    }

    /// There is something of it, or it is gone.
    pub(super) fn has_come(&self, playlist: &Key) {
        self.0.lock().awaited.remove(playlist);
    }

    /// Those of which nothing has come for too long, each once, with their newest version.
    pub(super) fn overdue(&self, now: Moment) -> Vec<(Key, Arc<SourceVersion>)> {
        let mut state = self.0.lock();
        let PublicState { awaited, versions, .. } = &mut *state;
        awaited.retain(|playlist, _| versions.contains_key(playlist));
        let overdue = awaited.iter_mut().filter_map(|(playlist, until)| {
            until.take_if(|until| *until <= now)?;
            Some((playlist.clone(), Arc::clone(&versions.get(playlist)?.version)))
        });
        overdue.collect()
    }

    /// The newest version.
    pub(super) fn version(&self, playlist: &Key) -> Option<HeardVersion> {
        self.0.lock().versions.get(playlist).cloned()
    }

    /// What has come of a version, if it is the newest still: of one that was written while a step was taken nothing has. Hands over the number of
    /// the look that is put off from now on.
    pub(super) fn stands(&self, playlist: &Key, of: &Arc<SourceVersion>, standing: VersionStanding) -> u64 {
        let mut state = self.0.lock();
        let Some(version) = state.versions.get_mut(playlist) else { return 0 };
        if !Arc::ptr_eq(&version.version, of) {
            return version.look;
        }
        (version.standing, version.look) = (standing, version.look + 1);
        version.look
    }

    /// Whether that look is still to come.
    pub(super) fn is_due(&self, playlist: &Key, look: u64) -> bool {
        self.0.lock().versions.get(playlist).is_some_and(|version| version.look == look)
    }

    /// The playlist whose newest version lists this segment, which has just been stored.
    pub(super) fn listing(&self, segment: &Key) -> Option<Key> {
        self.0.lock().listing.get(segment).cloned()
    }

    /// A public playlist that lives until then lists these names now, and those before; hands over which are new.
    pub(super) fn lists(&self, names: &[Key], before: &[Key], (expires, now): (Moment, Moment), span: Duration) -> Vec<Key> {
        let mut state = self.0.lock();
        let listed: HashSet<&Key> = names.iter().collect();
        // RFC 8216 6.2.2: its own length and that of the longest list that had it.
        for gone in before.iter().filter(|name| !listed.contains(name)) {
            state.names.insert(gone.clone(), KeptName::Left(now + span * 2));
        }
        let mut new = Vec::new();
        for name in names {
            let known = state.names.insert(name.clone(), KeptName::Listed(expires, span * 2));
            if !matches!(known, Some(KeptName::Listed(..))) {
                new.push(name.clone());
            }
        }
        new
    }

    /// Until when a name has to be kept that is taken away now; `None`: no public playlist has it.
    pub(super) fn listed_until(&self, name: &Key, now: Moment) -> Option<Moment> {
        match *self.0.lock().names.get(name)? {
            KeptName::Listed(expires, span) => Some(now + span * 2).filter(|_| expires > now),
            KeptName::Left(until) => Some(until).filter(|until| *until > now),
        }
    }

    /// A look at this name is put off; whether there is none yet that is.
    pub(super) fn puts_off(&self, key: &Key) -> bool {
        self.0.lock().put_off.insert(key.clone())
    }

    /// It is taken now: what comes from now on wants another one.
    pub(super) fn looks_now(&self, key: &Key) {
        self.0.lock().put_off.remove(key);
    }

    /// A playlist was removed.
    pub(super) fn forget(&self, playlist: &Key) {
        self.0.lock().forget(playlist);
    }

    /// A playlist that was composed in place was deleted.
    pub(super) fn removed(&self, composed: Arc<Entry>, now: Moment) {
        let mut state = self.0.lock();
        state.removed.retain(|_, removed| removed.meta.expires > now);
        if composed.body.len() <= REMOVED_LENGTH && state.removed.len() < REMOVED {
            state.removed.insert(composed.key.clone(), composed);
        }
    }

    /// What was composed under this name before it was deleted.
    pub(super) fn before_removal(&self, playlist: &Key, now: Moment) -> Option<Arc<Entry>> {
        self.0.lock().removed.get(playlist).filter(|removed| removed.meta.expires > now).cloned()
    }

    /// Lets go of what is over. To be called now and then.
    pub(super) fn sweep(&self, now: Moment) {
        self.0.lock().sweep(now);
    }
}

impl PublicState {
    fn forget(&mut self, playlist: &Key) {
        for segment in self.versions.remove(playlist).map(|version| version.segments).unwrap_or_default() {
            if self.listing.get(&segment) == Some(playlist) {
                self.listing.remove(&segment);
            }
        }
    }

    /// What has its end makes room first, and then what was written longest ago: so it is with streams that are followed.
    fn make_room(&mut self) {
        let first = self.versions.iter().min_by_key(|(_, version)| (!version.version.is_ended(), version.heard));
        if let Some(over) = first.map(|(key, _)| key.clone()) {
            self.forget(&over);
        }
    }

    fn sweep(&mut self, now: Moment) {
        self.removed.retain(|_, removed| removed.meta.expires > now);
        if self.versions.is_empty() && self.names.is_empty() {
            return;
        }
        let over = self.versions.iter().filter(|(_, version)| version.expires <= now).map(|(key, _)| key.clone());
        for playlist in over.collect::<Vec<_>>() {
            self.forget(&playlist);
        }
        self.names.retain(|_, kept| match kept {
            KeptName::Listed(expires, _) => *expires > now,
            KeptName::Left(until) => *until > now,
        });
    }
}

/// Takes a step, and lists what has come of it: anew, where something of that has made way in between, for encoders write over their names at any
/// time.
pub(super) fn listed_step<S>(take: impl Fn() -> Option<S>, lists: impl Fn(&S) -> bool) -> Option<S> {
    for _ in 1..TRIES {
        let step = take()?;
        if lists(&step) {
            return Some(step);
        }
    }
    take().inspect(|step| _ = lists(step))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::hls::texts;
    use crate::model::clock::Clock;
    use crate::model::kind::Kind;

    /// A stream that begins when as many others are known is waited for all the same: what is over makes room, or what stands still.
    #[test]
    fn the_newest_of_too_many_playlists_is_known() {
        let (public, clock) = (Public::default(), Clock::manual());
        let heard = |name: &str, text: &str| {
            clock.advance(Duration::from_millis(1));
            let key = Key::parse(name).unwrap();
            let outset = Outset::plain(Kind::Playlist, HeaderValue::from_static("x"), Duration::from_secs(3600));
            let version = HeardVersion {
                public: key.clone(),
                version: Arc::new(SourceVersion::read(text).unwrap()),
                heard: clock.wall(),
                standing: VersionStanding::New,
                expires: clock.now() + outset.ttl,
                outset,
                reach: None,
                look: 0,
                segments: vec![Key::parse(&format!("{name}.ts")).unwrap()],
                is_others: false,
            };
            public.heard(&key, version, clock.now());
        };
        let ended = texts::ONE.to_owned() + "#EXT-X-ENDLIST\n";
        heard("first", texts::ONE);
        heard("over", &ended);
        for number in 2..PLAYLISTS {
            heard(&format!("{number}"), texts::ONE);
        }
        let is_known = |name: &str| {
            let (list, segment) = (Key::parse(name).unwrap(), Key::parse(&format!("{name}.ts")).unwrap());
            assert_eq!(public.version(&list).is_some(), public.listing(&segment).is_some());
            public.version(&list).is_some()
        };
        heard("new", texts::ONE);
        assert_eq!(["first", "over", "new"].map(is_known), [true, false, true]);
        heard("newer", texts::ONE);
        assert_eq!(["first", "2", "new", "newer"].map(is_known), [false, true, true, true]);
    }
}
