//! What is known of public playlists with two sources, beside what is stored of them; and of the streams that they belong to.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use ahash::RandomState;
use parking_lot::Mutex;

use super::pair_reports::SwitchReport;
use super::told::PublicNews;
use crate::hls::normalise::{PairComposed, Relation, SideOut, WhyApart};
use crate::model::clock::{Moment, WallTime};
use crate::model::continuity::Continuity;
use crate::model::id::Key;

/// Switches of a playlist that are known.
const SWITCHES: usize = 16;
/// Public playlists with two sources whose memory is kept.
const PLAYLISTS: usize = 4096;

/// What is known in a namespace.
#[derive(Debug, Default)]
pub(super) struct Pairs(Mutex<PairsState>);

#[derive(Debug, Default)]
struct PairsState {
    playlists: HashMap<Key, PairMemory, RandomState>,
    /// What is shown of them beside.
    tallies: HashMap<Key, PairTally, RandomState>,
    ladders: HashMap<Key, Ladder, RandomState>,
    /// Public MPDs whose sources' names do not mean the same.
    apart: HashSet<Key, RandomState>,
    /// By the public prefix: the side that somebody wants, and until when.
    pins: HashMap<String, (usize, Moment), RandomState>,
}

/// A public playlist.
#[derive(Clone, Debug, Default)]
pub(super) struct PairMemory {
    pub(super) sides: [SideMemory; 2],
    /// The public version, by the hash of its bytes, after which the sides go on so; and whether this node has made it. Where nodes share.
    pub(super) after: Option<u128>,
    pub(super) is_own: bool,
    look: u64,
    known: Option<PairKnown>,
    /// Both have ended.
    is_over: bool,
    /// When this process first took a step; and when one of both has come back last, after both had ended.
    begun: Option<WallTime>,
    resumed: Option<WallTime>,
}

/// What has come of the steps of a public playlist, whichever node took them.
#[derive(Clone, Debug, Default)]
struct PairTally {
    lines: [u64; 2],
    borrowed: u64,
    switches: VecDeque<SwitchReport>,
}

/// What was composed of a side's versions.
#[derive(Clone, Debug)]
pub(super) struct SideList {
    pub(super) text: String,
    pub(super) continuity: Continuity,
    /// When the segments of its newest lines came, as they were listed.
    pub(super) came: Vec<Option<WallTime>>,
}

/// A side of it.
#[derive(Clone, Debug, Default)]
pub(super) struct SideMemory {
    pub(super) list: Option<Arc<SideList>>,
    /// The number there of its first line that public has not taken.
    pub(super) next: Option<u64>,
    /// The most segments that a version has listed.
    pub(super) window: u64,
    pub(super) out: Option<SideOut>,
    is_up: Option<bool>,
    /// Since when there has been nothing of it at all, while the other writes.
    missed_since: Option<WallTime>,
    /// Since when it has had all of its segments, and sound.
    well_since: Option<WallTime>,
}

#[derive(Clone, Copy, Debug)]
struct PairKnown {
    relation: Relation,
    apart: Option<WhyApart>,
    active: usize,
    newest: [Option<WallTime>; 2],
    skew: Option<Duration>,
}

/// What two sources' MPDs say of each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ManifestPair {
    /// There is one alone, or it is no MPD.
    One,
    /// Names mean the same in both.
    Alike,
    /// They do not, and why.
    Apart(String),
}

/// The renditions of one stream.
#[derive(Debug, Default)]
struct Ladder {
    /// The side that one of them went to last, and when.
    active: Option<(usize, WallTime)>,
    /// Of each how its sources stand to each other, if its segments tell.
    relations: HashMap<Key, Option<Relation>, RandomState>,
    /// Those whose source is down, by side.
    down: [HashSet<Key, RandomState>; 2],
}

/// What a rendition has to know of the others.
#[derive(Clone, Copy, Debug)]
pub(super) struct LadderKnown {
    pub(super) active: Option<(usize, WallTime)>,
    pub(super) others: Option<Relation>,
    /// Since when all of them have had all of a side's segments, and sound.
    pub(super) well_since: [Option<WallTime>; 2],
}

/// A side by its name.
pub(super) const fn side_name(side: usize) -> &'static str {
    if side == 0 { "a" } else { "b" }
}

impl PairMemory {
    /// Takes note of what has come of a step. Hands over how long it takes until a source is missed of which nothing has come since this
    /// process began: where neither writes nobody else looks again.
    pub(super) fn note(&mut self, made: &PairComposed, now: WallTime) -> Option<Duration> {
        let target = made.composed.text.lines().find_map(|line| line.strip_prefix("#EXT-X-TARGETDURATION:")?.parse().ok());
        let patience = Duration::from_secs(target.unwrap_or(6)) * 5 / 2;
        let was_over = std::mem::replace(&mut self.is_over, made.composed.continuity.ended.is_some());
        if was_over && !self.is_over {
            self.resumed = Some(now);
        }
        let begun = *self.begun.get_or_insert(now);
        let mut missed_in = None::<Duration>;
        for (at, side) in self.sides.iter_mut().enumerate() {
            side.well_since = side.well_since.or(Some(now)).filter(|_| made.well[at]);
            if let Some(newest) = made.newest[at] {
                // While no server was there nothing could come: but of one that had stopped before that is missed.
                let since = if side.is_up == Some(false) { newest } else { newest.max(begun) };
                // Of two that come back one is the first.
                let is_awaited = self.resumed.is_some_and(|resumed| newest < resumed && now.since(resumed) <= patience);
                // One of two that end is the first: it is missed when the other goes on.
                let is_up = side.out != Some(SideOut::Deleted) && now.since(since) <= patience;
                side.is_up = Some(is_up || is_awaited);
                if is_up && newest < begun {
                    let left = patience.saturating_sub(now.since(since)) + Duration::from_millis(1);
                    missed_in = missed_in.into_iter().chain([left]).min();
                }
            } else if side.list.is_none() && now.since(*side.missed_since.get_or_insert(now)) > patience {
                side.is_up = Some(false);
            }
        }
        // What has stopped falls behind: that says nothing of its clock.
        let seen = self.sides.iter().all(|side| side.is_up == Some(true) && side.out.is_none());
        let (relation, apart) = match self.known {
            _ if seen => (made.relation, made.apart),
            Some(known) => (known.relation, known.apart),
            None => (made.relation, None),
        };
        self.known = Some(PairKnown { relation, apart, active: made.active, newest: made.newest, skew: made.skew });
        missed_in
    }

    /// Another node may have gone on with the public playlist, of which this is the newest version now: then where each side goes on is read
    /// from that.
    pub(super) fn goes_on_after(&mut self, newest: Option<u128>) {
        if self.after != newest {
            self.sides.iter_mut().for_each(|side| side.next = None);
            self.is_own = false;
        }
    }
}

impl Pairs {
    /// What is known of a playlist.
    pub(super) fn memory(&self, public: &Key) -> PairMemory {
        self.0.lock().playlists.get(public).cloned().unwrap_or_default()
    }

    /// Whether anything is.
    pub(super) fn is_known(&self, public: &Key) -> bool {
        self.0.lock().playlists.contains_key(public)
    }

    /// Keeps it; hands over the number of the look that is put off from now on.
    pub(super) fn keep(&self, public: &Key, memory: PairMemory) -> u64 {
        let mut state = self.0.lock();
        let look = memory.look + 1;
        if state.playlists.len() >= PLAYLISTS && !state.playlists.contains_key(public) {
            // What is over makes room first, and then what has stood still for longest: viewers of the newest are there.
            let newest = |known: &PairMemory| known.known.and_then(|known| known.newest.into_iter().flatten().max());
            let first = state.playlists.iter().min_by_key(|(_, known)| (!known.is_over, newest(known)));
            if let Some(over) = first.map(|(key, _)| key.clone()) {
                state.playlists.remove(&over);
            }
        }
        state.playlists.insert(public.clone(), PairMemory { look, ..memory });
        look
    }

    /// Adds what has come of a step, here or on another node.
    pub(super) fn count(&self, public: &Key, news: &PublicNews, now: WallTime) {
        let mut state = self.0.lock();
        if state.tallies.len() >= PLAYLISTS && !state.tallies.contains_key(public) {
            return;
        }
        let tally = state.tallies.entry(public.clone()).or_default();
        tally.lines = [0, 1].map(|side| tally.lines[side].saturating_add(news.taken[side]));
        tally.borrowed = tally.borrowed.saturating_add(news.lent[0]).saturating_add(news.lent[1]);
        for switch in &news.switches {
            let (to, reason) = (side_name(switch.to), switch.reason.as_str());
            tally.switches.push_back(SwitchReport { time: now.to_string(), to, reason, sequence: switch.number });
        }
        let over = tally.switches.len().saturating_sub(SWITCHES);
        tally.switches.drain(..over);
    }

    /// The number of the look that is put off.
    pub(super) fn look(&self, public: &Key) -> u64 {
        self.0.lock().playlists.get(public).map_or(0, |memory| memory.look)
    }

    /// Whether that look is still to come.
    pub(super) fn is_due(&self, public: &Key, look: u64) -> bool {
        self.look(public) == look
    }

    /// A side's encoder has deleted its playlist. One that had said before that it is over has ended still: the list has its end by that.
    pub(super) fn deleted(&self, public: &Key, side: usize) {
        if let Some(memory) = self.0.lock().playlists.get_mut(public) {
            memory.sides[side].out.get_or_insert(SideOut::Deleted);
        }
    }

    /// What the other renditions of its stream have done.
    pub(super) fn ladder(&self, stream: &Key, public: &Key) -> LadderKnown {
        let state = self.0.lock();
        let ladder = state.ladders.get(stream);
        let others =
            |ladder: &Ladder| ladder.relations.iter().filter(|(key, _)| *key != public).filter_map(|(_, own)| *own).max();
        let well_since = |side: usize| {
            let since = |public: &Key| state.playlists.get(public)?.sides[side].well_since;
            ladder?.relations.keys().map(since).collect::<Option<Vec<_>>>()?.into_iter().max()
        };
        LadderKnown {
            active: ladder.and_then(|ladder| ladder.active),
            others: ladder.and_then(others),
            well_since: [0, 1].map(well_since),
        }
    }

    /// How the sources of a rendition stand to each other, if its segments tell. It was a stream of its own, where the multivariant playlist has come later.
    pub(super) fn relates(&self, stream: &Key, public: &Key, relation: Option<Relation>) {
        let mut state = self.0.lock();
        let own = if stream == public { None } else { state.ladders.remove(public) };
        let ladder = state.ladders.entry(stream.clone()).or_default();
        if let Some(Ladder { active, down, .. }) = own {
            ladder.active = ladder.active.or(active);
            ladder.down.iter_mut().zip(down).for_each(|(known, down)| known.extend(down));
        }
        ladder.relations.insert(public.clone(), relation);
    }

    /// A rendition has gone to a side: all others follow, but those that have gone anywhere since.
    pub(super) fn switched(&self, stream: &Key, to: usize, at: WallTime) {
        self.0.lock().ladders.entry(stream.clone()).or_default().active = Some((to, at));
    }

    /// Whether a source has been taken for viewers of a stream.
    pub(super) fn is_decided(&self, stream: &Key) -> bool {
        self.0.lock().ladders.get(stream).is_some_and(|ladder| ladder.active.is_some())
    }

    /// Whether a source of a stream has stopped, or is back, since that was asked last: `None`, where nothing has changed.
    pub(super) fn is_up(&self, stream: &Key, public: &Key, side: usize) -> Option<bool> {
        let mut guard = self.0.lock();
        let state = &mut *guard;
        let memory = state.playlists.get(public)?;
        let (is_up, is_over) = (memory.sides[side].is_up?, memory.is_over);
        let down = &mut state.ladders.entry(stream.clone()).or_default().down[side];
        let was_up = down.is_empty();
        if is_up || is_over {
            down.remove(public);
        } else {
            down.insert(public.clone());
        }
        (was_up != down.is_empty() && !is_over).then_some(is_up)
    }

    /// Whether a source of a stream has stopped.
    pub(super) fn is_down(&self, stream: &Key, side: usize) -> bool {
        self.0.lock().ladders.get(stream).is_some_and(|ladder| !ladder.down[side].is_empty())
    }

    /// Of how many streams each source has stopped.
    pub(super) fn down(&self) -> [u64; 2] {
        let state = self.0.lock();
        [0, 1].map(|side| state.ladders.values().filter(|ladder| !ladder.down[side].is_empty()).count() as u64)
    }

    /// The side that somebody wants.
    pub(super) fn pin(&self, prefix: &str, now: Moment) -> Option<usize> {
        self.0.lock().pins.get(prefix).filter(|(_, until)| *until > now).map(|(side, _)| *side)
    }

    /// Wants a side until then, or none any more.
    pub(super) fn want(&self, prefix: &str, pin: Option<(usize, Moment)>) {
        let mut state = self.0.lock();
        match pin {
            Some(pin) => state.pins.insert(prefix.to_owned(), pin),
            None => state.pins.remove(prefix),
        };
    }

    /// Whether the copy of what is not composed is to be that of this side: the one that the stream has gone to, or, where that was before the
    /// server began, the one that its lists are at.
    pub(super) fn is_active(&self, stream: &Key, side: usize) -> bool {
        let state = self.0.lock();
        let is_at = |public: &Key| Some(state.playlists.get(public)?.known?.active);
        let active = state.ladders.get(stream).and_then(|ladder| {
            let lists = || ladder.relations.keys().min().and_then(is_at);
            ladder.active.map(|(side, _)| side).or_else(lists)
        });
        active.unwrap_or(0) == side
    }

    /// What the sources of a public MPD say of each other; hands over whether that is news.
    pub(super) fn apart(&self, public: &Key, compared: &ManifestPair) -> bool {
        let mut state = self.0.lock();
        match compared {
            ManifestPair::One => false,
            ManifestPair::Alike => state.apart.remove(public),
            ManifestPair::Apart(_) => state.apart.len() < PLAYLISTS && state.apart.insert(public.clone()),
        }
    }

    /// The side alone whose names are meant below a prefix, where the other's do not mean the same.
    pub(super) fn only(&self, prefix: &str) -> Option<usize> {
        let state = self.0.lock();
        let public = state.apart.iter().find(|public| public.as_str().starts_with(prefix))?;
        Some(state.ladders.get(public).and_then(|ladder| ladder.active).map_or(0, |(side, _)| side))
    }

    /// The public playlists that are known below a prefix.
    pub(super) fn below(&self, prefix: &str) -> Vec<Key> {
        let state = self.0.lock();
        let mut keys: Vec<Key> = state.playlists.keys().filter(|key| key.as_str().starts_with(prefix)).cloned().collect();
        keys.sort_unstable();
        keys
    }

    /// Lets go of playlists that are there no more. To be called now and then.
    pub(super) fn sweep(&self, is_there: impl Fn(&Key) -> bool) {
        let mut state = self.0.lock();
        state.apart.retain(|public| is_there(public));
        state.tallies.retain(|public, _| is_there(public));
        if state.playlists.is_empty() && state.ladders.is_empty() {
            return;
        }
        state.playlists.retain(|public, _| is_there(public));
        let PairsState { playlists, ladders, .. } = &mut *state;
        ladders.retain(|stream, ladder| {
            ladder.relations.retain(|public, _| playlists.contains_key(public));
            ladder.down.iter_mut().for_each(|down| down.retain(|public| playlists.contains_key(public)));
            !ladder.relations.is_empty() || is_there(stream)
        });
    }
}

mod reported;
mod seen;
#[cfg(test)]
mod tests;
