//! Two sources -> one public playlist. Each side's versions are composed to a list of its own, which is known here alone; of both comes, line
//! by line, the public one ([`normalise::pair_step`]), which is stored and its own memory.
//!
//! The renditions of a stream go to the other side together: where one has gone, the others follow with their next line.
//!
//! Invariant: the lists of the sides may be lost at any time. Where each goes on in public is read from that, then.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::OriginError;
use super::legible;
use super::listed::{HeardVersion, LATER, ONCE_MORE, listed_step};
use super::live::Understood;
use super::looks::LooksFor;
use super::namespace::Hosted;
use super::pairs::{LadderKnown, PairMemory, SideList};
use super::policy::PairPolicy;
use super::prepare::Draft;
use super::shared_public::outset;
use super::told::PublicNews;
use super::uris::Origins;

use crate::hls::normalise::{
    self, ComposeStep, Composed, Named, NamedPlace, PairComposed, PairSide, PairStep, SideOut, SideSegment, SourceVersion,
    VersionStanding,
};
use crate::hls::playlist::Playlist;
use crate::hls::uri::resolve;
use crate::model::clock::WallTime;
use crate::model::facts::{Defect, SegmentFacts};
use crate::model::id::{Key, ObjectId};
use crate::model::kind::Kind;
use crate::model::mended::Mended;
use crate::store::{Body, Entry};

/// Of so many lines of a list what is below memory is known.
const LOOKED_BELOW: usize = 32;
/// So many lines of a side are known at least, to see how it stands to the other.
const LEAST_LINES: usize = 16;
/// So often a step is taken anew, where other nodes take one in between.
const TRIES: usize = 8;

/// What is at hand of a side.
#[derive(Clone, Debug)]
struct SideVersion {
    source: ObjectId,
    heard: Option<HeardVersion>,
    /// As it is stored, where nothing was heard since the server began.
    kept: Option<Arc<Entry>>,
}

/// What has come of a step.
struct PairMade {
    made: PairComposed,
    memory: PairMemory,
    body: Body,
    understood: Understood,
    mended: [Vec<Mended>; 2],
    standings: [Option<VersionStanding>; 2],
    again: Option<Duration>,
    now: WallTime,
}

impl Hosted {
    /// The public stream with two sources that a public name belongs to.
    pub(super) fn two_sided(&self, public: &Key) -> Option<&PairPolicy> {
        self.policy.pair_of(public.as_str()).filter(|pair| pair.sources.len() == 2)
    }

    /// An object has been removed: it may be what a side goes by. Cancel-safe.
    pub(super) async fn source_removed(self: &Arc<Self>, key: &Key) {
        if !self.policy.pairs.is_empty() && Kind::of(key, &[]).is_rewritten() {
            Box::pin(self.side_deleted(key)).await;
        }
    }

    /// A side's encoder has deleted its playlist: it is out now. Cancel-safe.
    pub(super) async fn side_deleted(self: &Arc<Self>, source: &Key) {
        let Some(public) = self.public_of(source) else { return };
        if self.two_sided(&public).is_none() {
            // Its newest version is gone with it: one that was over, and waits for its end, has that all the same.
            let there = self.public_before(&public).await;
            return there.iter().for_each(|there| self.look_at_end(&public, there, Duration::ZERO));
        }
        let Some(side) = self.side_of(source) else { return };
        if self.work.pairs.is_known(&public) {
            let Some(turn) = self.public_turn(&public).await else { return self.look_later(source, LooksFor::Removal) };
            self.work.pairs.deleted(&public, side);
            drop(turn);
            Box::pin(self.compose_pair(&public)).await;
        }
    }

    /// Which of a pair's sources a name belongs to.
    pub(super) fn side_of(&self, source: &Key) -> Option<usize> {
        self.policy.pairs.iter().find_map(|pair| pair.public_of(source.as_str())).map(|(side, _)| side)
    }

    /// Takes the next step of a public playlist with two sources. Cancel-safe.
    pub(super) async fn compose_pair(self: &Arc<Self>, public: &Key) {
        let once_more = || self.look_at_pair(public, self.work.pairs.look(public), ONCE_MORE);
        let Some(_turn) = self.public_turn(public).await else { return once_more() };
        let Some(pair) = self.two_sided(public).cloned() else { return };
        let names: Vec<Key> = pair.behind(public.as_str()).filter_map(|name| Key::parse(&name).ok()).collect();
        let Ok(sources) = <[Key; 2]>::try_from(names) else { return };
        for _ in 0..TRIES {
            match self.pair_tried(public, &pair, &sources).await {
                Ok(true) => return,
                Ok(false) => {}
                Err(_) => break,
            }
        }
        // The next version says it again; but there may be none, as where a list is about to end.
        once_more();
    }

    /// Takes a step then, unless one is taken before.
    pub(super) fn look_at_pair(self: &Arc<Self>, public: &Key, look: u64, after: Duration) {
        let (hosted, name) = (Arc::clone(self), public.clone());
        let task = tokio::spawn(async move {
            tokio::time::sleep(after).await;
            if hosted.work.pairs.is_due(&name, look) {
                hosted.work.looks.looks(&name);
                hosted.compose_pair_boxed(&name).await;
            }
        });
        self.work.looks.put_off(public, task.abort_handle());
    }

    /// Takes a step of what is there now. `false`: another node has taken one in between.
    async fn pair_tried(self: &Arc<Self>, public: &Key, pair: &PairPolicy, sources: &[Key; 2]) -> Result<bool, OriginError> {
        let shared = self.durable_tier.shared();
        let there = match shared {
            Some(shared) => Some(self.public_there(shared, public).await?),
            None => None,
        };
        let mut memory = self.work.pairs.memory(public);
        let before = match &there {
            Some(there) => {
                memory.goes_on_after(there.hash);
                there.composed.clone()
            }
            None => self.public_before(public).await,
        };
        let sides = [0, 1].map(|at| {
            let (source, own) = (sources[at].clone(), &memory.sides[at]);
            let heard = self.work.public.version(&source);
            let is_unknown = heard.is_none() && own.list.is_none() && own.out != Some(SideOut::Deleted);
            let kept = if is_unknown { self.hot.peek(&source) } else { None };
            SideVersion { source: self.object(&source), heard, kept }
        });
        let newest = sides.iter().filter_map(|side| side.heard.as_ref()).max_by_key(|heard| heard.heard);
        // Where nothing was heard since the server began: what is public lives no longer by that.
        let kept = || before.as_ref().map(|before| outset(&before.meta, self.hot.clock().now()));
        let Some(outset) = newest.map(|heard| heard.outset.clone()).or_else(kept) else { return Ok(true) };
        self.look_below_pair(public, &sides, &memory, before.as_deref()).await;
        let known = before.clone();
        let length = known.as_ref().map_or(0, |known| known.body.len()) + 8192;
        let stream = self.live.stream_of(public);
        let (ladder, pin) = (self.work.pairs.ladder(&stream, public), self.pinned(&pair.public));
        let (hosted, key, of, pair, ttl) = (Arc::clone(self), public.clone(), sides.clone(), pair.clone(), outset.ttl);
        let work = move || {
            let input = PairInput { public: &key, sides: &of, pair: &pair, pin, ladder };
            let lists = |made: &PairMade| match &made.understood {
                Understood::Hls(Playlist::Media(media)) => {
                    hosted.note_listed(&hosted.object(&key), media, before.as_deref(), ttl)
                }
                _ => true,
            };
            listed_step(|| hosted.pair_step(&input, memory.clone(), before.as_deref()), lists)
        };
        let Some(done) = self.work.of_writers.work(length, work).await? else { return Ok(true) };
        let PairMade { mut made, mut memory, body: new, understood, mended, standings, again, now } = done;
        let again = again.into_iter().chain(memory.note(&made, now)).min();
        if let Some(standing) = &mut made.composed.continuity.pair {
            standing.seen = memory.seen();
        }
        let continuity = Some(Arc::new(made.composed.continuity));
        let draft = Draft { body: new, outset, understood: Some(understood), facts: None, continuity };
        let is_same = known.is_some_and(|known| draft.is_as(&known));
        if let (Some(shared), Some(there)) = (shared, there) {
            if is_same {
                // A switch comes with the first line of the other side: so none is told that is not in force.
                made.switches.clear();
                memory.after = there.hash;
            } else {
                let (hash, told) = (draft.body.hash, PublicNews::of(&made));
                let published = self.publish_shared(shared, (public, draft), there.expected, &told).await?;
                if published.is_err() {
                    return Ok(false);
                }
                (memory.after, memory.is_own) = (Some(hash), true);
            }
            self.tell_step(public, &stream, (&sides, &mended, standings), memory, &made, (again, now));
        } else {
            // Nothing is taken for listed, nor told, that is not in force.
            let is_over = is_same && made.switches.is_empty();
            if !is_over && !self.publish(public, draft, None).await {
                return Err(OriginError::Busy);
            }
            self.tell_step(public, &stream, (&sides, &mended, standings), memory, &made, (again, now));
        }
        Ok(true)
    }

    /// What has come of a step is told and remembered, and what it has put off is done then.
    fn tell_step(
        self: &Arc<Self>,
        public: &Key,
        stream: &Key,
        (sides, mended, standings): (&[SideVersion; 2], &[Vec<Mended>; 2], [Option<VersionStanding>; 2]),
        memory: PairMemory,
        made: &PairComposed,
        (again, now): (Option<Duration>, WallTime),
    ) {
        for ((side, mended), standing) in sides.iter().zip(mended).zip(standings) {
            self.tell_mended(&side.source.key, true, mended);
            if let Some((standing, heard)) = standing.zip(side.heard.as_ref()) {
                self.work.public.stands(&side.source.key, &heard.version, standing);
            }
        }
        self.tell_raised(public, &made.composed.mended);
        // Where another node has taken the last step, it looks first.
        let put_off = if memory.is_own || self.durable_tier.shared().is_none() { Duration::ZERO } else { LATER };
        let look = self.work.pairs.keep(public, memory);
        self.tell_pair(public, stream, made, now);
        if let Some(after) = again {
            self.look_at_pair(public, look, after + put_off);
        }
    }

    /// Has what the sides list known, as far as it is below memory; and what is public, where a side is found by that.
    async fn look_below_pair(&self, public: &Key, sides: &[SideVersion; 2], memory: &PairMemory, before: Option<&Entry>) {
        if !self.durable_tier.is_there() {
            return;
        }
        for side in sides {
            let Some((version, ..)) = side.version() else { continue };
            self.look_below(self.keys_in(&side.source, &version)).await;
        }
        let is_new = memory.sides.iter().any(|side| side.list.is_none());
        let text = before.filter(|_| is_new).and_then(|before| std::str::from_utf8(&before.body).ok());
        if let Some(version) = text.and_then(|text| SourceVersion::read_composed(text).ok()) {
            let listed = self.keys_in(&self.object(public), &version);
            let meant = listed.iter().filter_map(|name| self.meant_by(name)).flat_map(|meant| meant.names);
            self.look_below(meant.chain(listed.iter().cloned()).collect::<Vec<_>>()).await;
        }
    }

    /// The newest of what a version names here.
    fn keys_in(&self, playlist: &ObjectId, version: &SourceVersion) -> Vec<Key> {
        let named = version.names(LOOKED_BELOW).filter_map(|uri| resolve(playlist, uri));
        named.filter(|object| object.namespace == self.name).map(|object| object.key).collect()
    }

    /// The same, boxed: it comes back to itself by what it puts off.
    fn compose_pair_boxed<'a>(self: &'a Arc<Self>, public: &'a Key) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(self.compose_pair(public))
    }

    fn pair_step(&self, input: &PairInput<'_>, mut memory: PairMemory, before: Option<&Entry>) -> Option<PairMade> {
        let kept =
            before.and_then(|before| before.meta.continuity.as_ref()).into_iter().flat_map(|kept| [kept.added, kept.heard]);
        let lists = memory.sides.iter().filter_map(|side| side.list.as_ref());
        let lists = lists.flat_map(|list| [list.continuity.added, list.continuity.heard]);
        let heard = input.sides.iter().filter_map(|side| side.heard.as_ref()).map(|heard| heard.heard);
        let now = self.composing_time(kept.chain(lists).chain(heard));
        let public = self.object(input.public);
        let (mut mended, mut standings, mut again) = ([Vec::new(), Vec::new()], [None, None], None::<Duration>);
        for (at, side) in input.sides.iter().enumerate() {
            let Some((version, heard, standing)) = side.version() else { continue };
            let own = &mut memory.sides[at];
            own.window = own.window.max(version.length() as u64);
            own.out = if version.is_ended() {
                Some(SideOut::Ended)
            } else {
                own.out.filter(|out| *out == SideOut::Deleted && side.heard.is_none())
            };
            let origins = Origins { source: side.source.clone(), public: public.clone() };
            let Some(composed) = self.side_step(&origins, (&version, heard, standing), own.list.as_deref(), now) else {
                continue;
            };
            let came = composed.all_came(own.list.as_ref().map_or(&[], |list| &list.came));
            let Composed { text, continuity, mended: done, again: after, standing, .. } = composed;
            again = again.into_iter().chain(after).min();
            (own.list, mended[at], standings[at]) = (Some(Arc::new(SideList { text, continuity, came })), done, Some(standing));
        }
        let lists = [0, 1].map(|at| SourceVersion::read_composed(&memory.sides[at].list.as_ref()?.text).ok());
        let sides = [0, 1].map(|at| {
            let own = &memory.sides[at];
            let came = own.list.as_ref().map_or(&[][..], |list| &list.came);
            let added = own.list.as_ref().map(|list| list.continuity.added);
            PairSide { list: lists[at].as_ref(), added, came, next: own.next, window: own.window, out: own.out }
        });
        let initializations = HashMap::<Key, Option<Arc<SegmentFacts>>>::new();
        let initializations = parking_lot::Mutex::new(initializations);
        let find = |side: Option<usize>, uri: &str, map: Option<&str>| {
            let facts = |uri: &str| {
                let key = resolve(&public, uri)?.key;
                let found = || self.known_named(&key, side, self.hot.clock().now()).and_then(|entry| entry.meta.facts.clone());
                initializations.lock().entry(key.clone()).or_insert_with(found).clone()
            };
            self.side_segment(&resolve(&public, uri)?.key, side, map.and_then(facts).as_deref())
        };
        let LadderKnown { active, others, well_since } = input.ladder;
        let is_well = |side: &usize| well_since[*side].is_some_and(|since| now.since(since) >= input.pair.return_after);
        let known = before.and_then(|before| Some((std::str::from_utf8(&before.body).ok()?, **before.meta.continuity.as_ref()?)));
        let breaks = known.is_none().then(|| self.breaks_of(input.public, now));
        let step = PairStep {
            sides,
            find: &find,
            now,
            grace: input.pair.grace,
            pin: input.pin,
            back: input.pair.prefers_first.then_some(0).filter(is_well),
            together: active,
            others,
            end_hold: input.pair.end_hold,
            breaks,
        };
        let made = normalise::pair_step(known, &step)?;
        if let Some(breaks) = breaks {
            self.begun_with(input.public, breaks, now);
        }
        for at in 0..2 {
            memory.sides[at].next = made.next[at];
        }
        let again = again.into_iter().chain(made.composed.again).min();
        let body = Body::new(made.composed.text.clone().into_bytes());
        let understood = legible::understood(self, input.public, Kind::Playlist, (&body.bytes, None));
        Some(PairMade { made, memory, body, understood, mended, standings, again, now })
    }

    /// Takes a step of one side.
    fn side_step(
        &self,
        origins: &Origins,
        (version, heard, standing): (&SourceVersion, WallTime, VersionStanding),
        before: Option<&SideList>,
        now: WallTime,
    ) -> Option<Composed> {
        let initialization = version.newest_map().and_then(|uri| self.facts_of(&origins.source, uri));
        let find = |uri: &str| {
            let named = self.find_named(origins, uri, initialization.as_deref());
            // What no player can do anything with is as if it were not here.
            let is_unfit =
                named.place != NamedPlace::Absent && self.facts_of(&origins.source, uri).is_some_and(|facts| is_unfit(&facts));
            if is_unfit { Named { place: NamedPlace::Absent, ..named } } else { named }
        };
        let before = before.map(|list| (&*list.text, list.continuity));
        let step = ComposeStep {
            version,
            heard,
            standing,
            find: &find,
            now,
            end_hold: Some(Duration::ZERO),
            least: LEAST_LINES,
            breaks: None,
        };
        normalise::step(before, &step)
    }

    /// What is stored of a public name; of a side by itself what that has stored, if it has.
    fn side_segment(&self, key: &Key, side: Option<usize>, initialization: Option<&SegmentFacts>) -> Option<SideSegment> {
        let entry = self.known_named(key, side, self.hot.clock().now())?;
        let at = entry.meta.modified;
        let Some(facts) = entry.meta.facts.as_deref() else { return Some(SideSegment { at, ..SideSegment::default() }) };
        Some(match initialization {
            Some(initialization) => SideSegment::of(&facts.clone().with(initialization), at),
            None => SideSegment::of(facts, at),
        })
    }
}

/// What a step is taken with.
struct PairInput<'a> {
    public: &'a Key,
    sides: &'a [SideVersion; 2],
    pair: &'a PairPolicy,
    pin: Option<usize>,
    ladder: LadderKnown,
}

impl SideVersion {
    fn version(&self) -> Option<(Arc<SourceVersion>, WallTime, VersionStanding)> {
        if let Some(heard) = &self.heard {
            return Some((Arc::clone(&heard.version), heard.heard, heard.standing));
        }
        let kept = self.kept.as_ref()?;
        let version = SourceVersion::read(std::str::from_utf8(&kept.body).ok()?).ok()?;
        Some((Arc::new(version), kept.meta.modified, VersionStanding::Believed))
    }
}

fn is_unfit(facts: &SegmentFacts) -> bool {
    [Defect::Empty, Defect::NoMedia, Defect::NoTables, Defect::Truncated].into_iter().any(|defect| facts.defects.contains(defect))
}
