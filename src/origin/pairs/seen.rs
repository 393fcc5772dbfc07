//! How the sources of a public playlist were seen last, as it is kept with that: a server that begins, or another node, tells the same of them, and
//! of a fault that was told nothing once more.

use super::{PLAYLISTS, PairKnown, PairMemory, Pairs};
use crate::hls::normalise::Relation;
use crate::model::clock::WallTime;
use crate::model::continuity::{Continuity, PairSeen, SourceSeen};
use crate::model::id::Key;

impl PairMemory {
    /// How its sources stand now, as it is kept.
    pub(in crate::origin) fn seen(&self) -> Option<PairSeen> {
        let known = self.known?;
        let source = |at: usize| {
            let (side, newest) = (&self.sides[at], known.newest[at].unwrap_or_default());
            SourceSeen { is_down: side.is_up == Some(false), out: side.out, newest }
        };
        let relation = Relation::ALL.iter().position(|relation| *relation == known.relation)?;
        Some(PairSeen { relation: u8::try_from(relation).ok()?, sources: [0, 1].map(source) })
    }

    /// As it was when it was kept.
    fn of(continuity: &Continuity) -> Option<(Self, Relation)> {
        let standing = continuity.pair?;
        let PairSeen { relation, sources } = standing.seen?;
        let relation = *Relation::ALL.get(usize::from(relation))?;
        let newest = sources.map(|source| Some(source.newest).filter(|newest| *newest > WallTime::default()));
        let mut memory = Self { is_over: continuity.ended.is_some(), ..Self::default() };
        for (at, side) in memory.sides.iter_mut().enumerate() {
            side.out = sources[at].out;
            side.is_up = if sources[at].is_down { Some(false) } else { newest[at].map(|_| true) };
        }
        memory.known = Some(PairKnown { relation, apart: None, active: standing.active, newest, skew: None });
        Some((memory, relation))
    }
}

impl Pairs {
    /// Takes what was kept with a public playlist for what is known of it, where nothing is.
    pub(in crate::origin) fn adopt(&self, stream: &Key, public: &Key, continuity: &Continuity) {
        let mut guard = self.0.lock();
        let state = &mut *guard;
        if state.playlists.contains_key(public) || state.playlists.len() >= PLAYLISTS {
            return;
        }
        let Some((memory, relation)) = PairMemory::of(continuity) else { return };
        let ladder = state.ladders.entry(stream.clone()).or_default();
        ladder.relations.insert(public.clone(), Some(relation));
        // The others go where that one was that has gone anywhere last.
        let gone = continuity.pair.map(|pair| (pair.active, pair.switched)).filter(|(_, at)| *at > WallTime::default());
        if let Some((side, at)) = gone.filter(|(_, at)| ladder.active.is_none_or(|(_, known)| *at > known)) {
            ladder.active = Some((side, at));
        }
        for (down, side) in ladder.down.iter_mut().zip(&memory.sides) {
            if side.is_up == Some(false) && !memory.is_over {
                down.insert(public.clone());
            }
        }
        state.playlists.insert(public.clone(), memory);
    }
}
