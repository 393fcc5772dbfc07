//! The server of a made-up world: one, or two nodes that share what is stored. What each of them has in mind, and when it looks.
//!
//! What is stored all of them know at once. The node that took an upload looks then, the others a moment later. A step is taken of the public
//! version that is there, on condition that it still is.

use super::*;
use crate::hls::normalise::relation::IN_COMMON;
use crate::model::continuity::{PairSeen, SourceSeen};

/// So many milliseconds after another node has stored something a node looks whether that has gone on.
const LATER: u64 = 250;
/// A slow one is so much later than that, for so many segments.
const SLOW: (u64, usize) = (1900, 3);
/// So often a step is taken anew.
const TRIES: usize = 8;

/// A node's memory.
#[derive(Clone, Debug, Default)]
pub(super) struct SimulatedNode {
    is_dead: bool,
    slow: usize,
    sides: [NodeSide; 2],
    /// The public version after which the sides go on so, and whether it has made that.
    after: Option<String>,
    is_own: bool,
    /// When it looks, because of what it has put off, and because of what came to another one.
    again: Option<u64>,
    later: Option<u64>,
}

/// What it has in mind of a side.
#[derive(Clone, Debug, Default)]
struct NodeSide {
    newest: Option<(Arc<SourceVersion>, u64, VersionStanding)>,
    list: Option<(String, Continuity)>,
    came: Vec<Option<WallTime>>,
    cursor: Option<u64>,
    window: u64,
    out: Option<SideOut>,
}

impl SimulatedNode {
    fn lateness(&self) -> u64 {
        if self.slow > 0 { SLOW.0 } else { LATER }
    }

    /// As a node does where another one may have gone on.
    fn goes_on_after(&mut self, public: Option<&str>) {
        if self.after.as_deref() != public {
            self.sides.iter_mut().for_each(|side| side.cursor = None);
            self.is_own = false;
        }
    }
}

impl PairWorld {
    pub(super) fn is_alone(&self) -> bool {
        self.nodes.iter().filter(|node| !node.is_dead).count() < 2
    }

    /// What each node has composed of a side.
    pub(super) fn lists_of(&self, side: usize) -> impl Iterator<Item = &str> {
        self.nodes.iter().filter_map(move |node| Some(node.sides[side].list.as_ref()?.0.as_str()))
    }

    /// A node's memory is gone.
    pub(super) fn lose(&mut self, node: usize) {
        self.nodes[node] = SimulatedNode { is_dead: true, ..SimulatedNode::default() };
    }

    /// A node that has died begins again, with what is stored.
    pub(super) fn join(&mut self, at: usize) {
        if self.nodes.get(at).is_none_or(|node| !node.is_dead) {
            return;
        }
        let kept = self.public.as_ref().and_then(|(_, kept)| Continuity::parse(kept)?.pair?.seen);
        let mut node = SimulatedNode::default();
        for (side, own) in node.sides.iter_mut().enumerate() {
            own.out = kept.and_then(|seen| seen.sources[side].out);
            own.newest =
                self.sides[side].newest.as_ref().map(|(version, heard)| (Arc::clone(version), *heard, VersionStanding::Believed));
        }
        self.nodes[at] = node;
        self.look(at);
    }

    pub(super) fn slow(&mut self, node: usize) {
        self.nodes.iter_mut().skip(node).take(1).for_each(|node| node.slow = SLOW.1);
    }

    /// A segment's time has passed.
    pub(super) fn recover(&mut self) {
        self.is_race = false;
        self.nodes.iter_mut().for_each(|node| node.slow = node.slow.saturating_sub(1));
    }

    pub(super) fn pass(&mut self, millis: u64) {
        let until = self.now + millis;
        let due = |(at, node): (usize, &SimulatedNode)| Some((node.again.into_iter().chain(node.later).min()?, at));
        while let Some((time, at)) = self.nodes.iter().enumerate().filter_map(due).min().filter(|(time, _)| *time <= until) {
            self.now = time.max(self.now + 1);
            let node = &mut self.nodes[at];
            node.again = node.again.filter(|again| *again != time);
            node.later = node.later.filter(|later| *later != time);
            self.look(at);
        }
        self.now = self.now.max(until);
    }

    /// A side's encoder has written its playlist.
    pub(super) fn heard(&mut self, side: usize) {
        let Some((version, at)) = self.sides[side].newest.clone() else { return };
        for node in self.nodes.iter_mut().filter(|node| !node.is_dead) {
            node.sides[side].newest = Some((Arc::clone(&version), at, VersionStanding::New));
        }
        self.look_all(side);
    }

    /// A side's encoder has stored a segment: who waits for it looks.
    pub(super) fn stored(&mut self, side: usize, name: &str) {
        if self.sides[side].lists(name) {
            self.look_all(side);
        }
    }

    /// A side's encoder has deleted its playlist. All nodes had looked at its last version by then: who had not knows nothing of that.
    pub(super) fn deleted(&mut self, side: usize) {
        for node in 0..self.nodes.len() {
            if self.nodes[node].later.take().is_some() {
                self.look(node);
            }
        }
        for node in self.nodes.iter_mut().filter(|node| !node.is_dead) {
            (node.sides[side].newest, node.sides[side].out) = (None, Some(SideOut::Deleted));
        }
        self.look_all(side);
    }

    /// Something came of a side.
    fn look_all(&mut self, side: usize) {
        let to = self.sides[side].node.min(self.nodes.len() - 1);
        let taker = if self.nodes[to].is_dead { 1 - to } else { to };
        let now = self.now;
        for (_, node) in self.nodes.iter_mut().enumerate().filter(|(at, node)| *at != taker && !node.is_dead) {
            node.later = node.later.or(Some(now + node.lateness()));
        }
        self.look(taker);
    }

    fn look(&mut self, at: usize) {
        let is_done = (0..TRIES).any(|_| self.tries(at));
        assert!(is_done, "a step is taken anew for ever");
    }

    /// Takes a step of what is there now. `false`: another node has taken one in between.
    fn tries(&mut self, at: usize) -> bool {
        let mut node = self.nodes[at].clone();
        let before = self.public.clone();
        let is_shared = self.nodes.len() > 1;
        if is_shared {
            node.goes_on_after(before.as_ref().map(|(text, _)| &**text));
        }
        let mut again = self.compose_sides(&mut node);
        let Some(mut made) = self.pair_step_of(&node) else { return true };
        if std::mem::take(&mut self.is_race) {
            let others: Vec<usize> = (0..self.nodes.len()).filter(|other| *other != at && !self.nodes[*other].is_dead).collect();
            others.into_iter().for_each(|other| self.look(other));
            self.is_race = true;
        }
        let put_off = |after: Duration| u64::try_from(after.as_millis()).unwrap();
        again = again.into_iter().chain(made.composed.again.map(put_off)).min();
        if let Some(standing) = &mut made.composed.continuity.pair {
            let source = |side: usize| SourceSeen { out: node.sides[side].out, ..SourceSeen::default() };
            standing.seen = Some(PairSeen { relation: 0, sources: [source(0), source(1)] });
        }
        let told = |continuity: &Continuity| (continuity.ended, continuity.pair.and_then(|pair| pair.seen));
        let is_same = before.as_ref().is_some_and(|(text, kept)| {
            *text == made.composed.text && told(&Continuity::parse(kept).unwrap()) == told(&made.composed.continuity)
        });
        let is_over = is_same && (is_shared || made.switches.is_empty());
        if is_shared && !is_over && self.public.as_ref().map(|(text, _)| text) != before.as_ref().map(|(text, _)| text) {
            return false;
        }
        node.sides.iter_mut().zip(made.next).for_each(|(side, next)| side.cursor = next);
        node.after = if is_over { before.map(|(text, _)| text) } else { Some(made.composed.text.clone()) };
        node.is_own |= !is_over;
        let late = if node.is_own || !is_shared { 0 } else { node.lateness() };
        node.again = again.map(|after| self.now + after + late);
        self.nodes[at] = node;
        let is_known = made.relation <= Relation::Offset || matches!(self.manner, PairManner::Shifted | PairManner::Foreign);
        self.is_known |= is_known;
        self.is_seen |= is_known && self.sides.iter().all(|side| side.next >= IN_COMMON as u64);
        if !is_over {
            self.judge(&made.composed, made.relation);
            self.switches += made.switches.len();
            self.public = Some((made.composed.text, made.composed.continuity.to_string()));
        }
        true
    }

    /// Composes each side's own list; hands over after how many milliseconds that is to be done again.
    fn compose_sides(&self, node: &mut SimulatedNode) -> Option<u64> {
        let (now, mut again) = (WallTime::from_millis(self.now), None);
        for (known, side) in node.sides.iter_mut().zip(&self.sides) {
            let Some((version, heard, standing)) = &mut known.newest else { continue };
            known.window = known.window.max(version.length() as u64);
            known.out = version.is_ended().then_some(SideOut::Ended);
            let find = |uri: &str| {
                let here = side.stored.get(uri).map(|(bytes, at)| {
                    let uri = names::tagged(uri, &format!("{bytes:08x}"));
                    let (known, _) = self.ever[&uri];
                    StoredSegment { uri, at: WallTime::from_millis(*at), begins: known.begins, ticks: known.ticks }
                });
                Named { plain: uri.to_owned(), place: here.map_or(NamedPlace::Absent, NamedPlace::Here) }
            };
            let (heard, standing_now) = (WallTime::from_millis(*heard), *standing);
            let end_hold = Some(Duration::ZERO);
            let step =
                ComposeStep { version, heard, standing: standing_now, find: &find, now, end_hold, least: 16, breaks: None };
            let before = known.list.as_ref().map(|(text, kept)| (&**text, *kept));
            if let Some(composed) = super::super::step(before, &step) {
                *standing = composed.standing;
                let after = composed.again.map(|after| u64::try_from(after.as_millis()).unwrap());
                again = again.into_iter().chain(after).min();
                known.came = composed.all_came(&known.came);
                known.list = Some((composed.text, composed.continuity));
            }
        }
        again
    }

    fn pair_step_of(&self, node: &SimulatedNode) -> Option<PairComposed> {
        let lists = [0, 1].map(|at| node.sides[at].list.as_ref().map(|(text, _)| SourceVersion::read_composed(text).unwrap()));
        let sides = [0, 1].map(|at| {
            let own = &node.sides[at];
            let added = own.list.as_ref().map(|(_, continuity)| continuity.added);
            PairSide { list: lists[at].as_ref(), added, came: &own.came, next: own.cursor, window: own.window, out: own.out }
        });
        let find = |_: Option<usize>, uri: &str, _: Option<&str>| {
            self.ever.get(uri).filter(|_| !self.gone.contains(uri)).map(|(known, _)| *known)
        };
        let step = PairStep {
            sides,
            find: &find,
            now: WallTime::from_millis(self.now),
            grace: None,
            pin: self.pin,
            back: self.back,
            together: self.together,
            others: self.others,
            end_hold: None,
            breaks: None,
        };
        let before = self.public.as_ref().map(|(text, kept)| (&**text, Continuity::parse(kept).unwrap()));
        pair_step(before, &step)
    }
}
