//! Two encoders that are made up, their store and their viewers: what becomes of either is said event by event, and what viewers have is held
//! against the rules for playlists at each step. Their server may be two nodes, which share what is stored: then each has its own memory.

mod judge;
mod nodes;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write as _;

use self::nodes::SimulatedNode;
use super::pair_events::{Comes, Fate, PairEvent, PairManner};
use super::*;
use crate::hls::rules::{self, Breach, Rule};
use crate::hls::texts::media;

const T0: u64 = 1_767_225_600_000;
/// How long each segment is, in milliseconds.
const LENGTH: u64 = 2000;
/// An encoder lists so many segments.
const MOST: usize = 5;
/// An encoder that has stood still makes up for so many segments at most.
const MISSED: usize = 4;
/// A side that is wanted is active when both have made so many whole segments.
const IN_FORCE: usize = 4;
/// From so many segments after its beginning on an encoder's whole copy of what the other cuts off is waited for.
const SETTLED: u64 = 6;

/// An encoder as its playlist shows it, and what is known of it.
#[derive(Clone, Debug, Default)]
struct SimulatedSide {
    is_dead: bool,
    /// The slots that it has missed since it stands still.
    missed: Option<Vec<u64>>,
    first: u64,
    next: u64,
    lines: Vec<String>,
    run: u64,
    has_end: bool,
    /// The last slot that it has made whole, and listed; and how many it has made so, one after the other.
    made: Option<u64>,
    in_a_row: usize,
    /// The one of which it has made a part, to end with: begun again, it has nothing of that.
    cut: Option<u64>,
    stored: BTreeMap<String, (u64, u64)>,
    /// Its playlist, and when it was stored.
    newest: Option<(Arc<SourceVersion>, u64)>,
    /// The node that it writes to.
    node: usize,
}

impl SimulatedSide {
    /// Whether its playlist lists that.
    fn lists(&self, name: &str) -> bool {
        self.newest.as_ref().is_some_and(|(version, _)| version.names(MOST).any(|listed| listed == name))
    }
}

#[derive(Default)]
pub(super) struct PairWorld {
    now: u64,
    manner: PairManner,
    sides: [SimulatedSide; 2],
    nodes: Vec<SimulatedNode>,
    /// While one node takes a step the others take one, too.
    is_race: bool,
    runs: u64,
    /// The slot that the encoders make next.
    slot: u64,
    /// All that was ever stored, by public name: with the slot.
    pub(super) ever: HashMap<String, (SideSegment, u64)>,
    /// Those among it that can be read no more: written over before viewers were shown them.
    gone: HashSet<String>,
    pub(super) public: Option<(String, String)>,
    pin: Option<usize>,
    /// The side whose segments are shorter than they should be.
    pub(super) cut_off: Option<usize>,
    /// It says with such a one that it is over.
    pub(super) ends: bool,
    /// Both make the same bytes under the same names, in each of their runs.
    pub(super) is_loop: bool,
    /// The side that is preferred and is said to be well.
    pub(super) back: Option<usize>,
    /// Where the other renditions are, as is remembered, and since when.
    pub(super) together: Option<(usize, WallTime)>,
    /// Its segments tell no times.
    pub(super) is_timeless: bool,
    /// How the sides stand to each other in other renditions.
    pub(super) others: Option<Relation>,
    /// The side that promises to begin each segment with a key frame; `None`: neither.
    pub(super) independent: Option<usize>,
    /// So many segments one after the other were whole from both, and nothing else happened.
    regular: usize,
    /// The side that has cut off a segment just now, to end with it, and the slot: its twin's copy is shown.
    cut_short: Option<(usize, u64)>,
    /// Nothing has happened for a while since the last segments: whose copy is that much later than its own rhythm has it is not waited for.
    is_late: bool,
    /// How the sides stand to each other has been known; and since either began: of what one has made before that little is kept.
    is_known: bool,
    is_seen: bool,
    /// The slots that viewers have been shown, in their order.
    pub(super) shown: Vec<(u64, u64)>,
    /// The name of the last of them.
    newest: String,
    pub(super) switches: usize,
    uris: HashSet<String>,
}

impl PairWorld {
    pub(super) fn new(manner: PairManner) -> Self {
        Self::on(1, manner)
    }

    /// On so many nodes.
    pub(super) fn on(nodes: usize, manner: PairManner) -> Self {
        let side = |run| SimulatedSide { run, ..SimulatedSide::default() };
        let nodes = vec![SimulatedNode::default(); nodes];
        Self { now: T0, manner, sides: [side(0), side(1)], nodes, runs: 1, ..Self::default() }
    }

    pub(super) fn time(&self) -> WallTime {
        WallTime::from_millis(self.now)
    }

    /// Where a side's segment begins: by the player's clock and by the content's, in milliseconds.
    fn begins(&self, side: usize, slot: u64) -> (u64, u64) {
        let content = 50_000 + slot * LENGTH;
        match (self.manner, side) {
            (PairManner::AllFromZero, _) => (1000 + self.sides[side].next * LENGTH, 1000 + self.sides[side].next * LENGTH),
            (PairManner::FromZero, _) => (1000 + self.sides[side].next * LENGTH, content),
            (PairManner::Aligned, _) | (_, 0) => (content, content),
            (PairManner::Offset, _) => (content + 7_000_000, content),
            (PairManner::Shifted, _) => (content + 700, content + 700),
            (PairManner::Foreign, _) => (content + 3_000_000 * self.sides[1].run, content + 3_000_000 * self.sides[1].run),
        }
    }

    pub(super) fn take(&mut self, event: PairEvent) {
        if !matches!(event, PairEvent::Segment(_)) {
            (self.regular, self.cut_short) = (0, None);
        }
        match event {
            PairEvent::Segment(fates) => {
                self.segment(fates);
                self.judge_segment(fates);
                self.is_late = false;
            }
            PairEvent::Short(side) if self.is_known => self.short(side),
            PairEvent::Short(_) => {}
            PairEvent::Kill(side) => (self.sides[side].is_dead, self.sides[side].missed) = (true, None),
            // Before four segments are in common nobody knows that they are the same: one that comes two target durations later may be another
            // one, of an encoder that counts from 0.
            PairEvent::Freeze(side) if !self.sides[side].is_dead && self.is_seen => {
                self.sides[side].missed.get_or_insert_default();
            }
            PairEvent::Freeze(_) => {}
            PairEvent::GoOn(side) => {
                let missed = self.sides[side].missed.take().unwrap_or_default();
                // Since it stands still the other one may have begun anew.
                let is_seen = self.is_seen;
                for slot in missed.into_iter().filter(|_| is_seen) {
                    self.pass(60);
                    self.make(side, slot, Comes::Whole);
                }
            }
            PairEvent::Begin(side) => self.begin(side),
            PairEvent::End(side) => {
                let own = &mut self.sides[side];
                if !own.lines.is_empty() && !own.is_dead && own.missed.is_none() {
                    (own.is_dead, own.has_end) = (true, true);
                    self.list(side);
                }
            }
            PairEvent::Delete(side) => {
                let own = &mut self.sides[side];
                if own.newest.take().is_some() {
                    (own.is_dead, own.missed) = (true, None);
                    self.deleted(side);
                }
            }
            PairEvent::Pause(millis) => {
                self.pass(millis);
                self.is_late = true;
            }
            PairEvent::Pin(pin) => self.pin = pin,
            PairEvent::Reload => {
                for node in 0..self.nodes.len() {
                    self.lose(node);
                }
                for node in 0..self.nodes.len() {
                    self.join(node);
                }
            }
            PairEvent::Node(side, node) => self.sides[side].node = node,
            PairEvent::Lose(node) if !self.is_alone() => self.lose(node),
            PairEvent::Lose(_) => {}
            PairEvent::Join(node) => self.join(node),
            PairEvent::Slow(node) => self.slow(node),
            PairEvent::Race => self.is_race = true,
        }
    }

    /// A side is told to end, and does so with the part of a segment that it has.
    fn short(&mut self, side: usize) {
        let is_well = |side: usize| {
            let own = &self.sides[side];
            !own.is_dead && own.missed.is_none() && own.made == Some(self.slot)
        };
        if !is_well(side) {
            return;
        }
        // Of one that has begun, or lost a segment, just now it is not always known in time.
        let is_settled = self.sides.iter().all(|own| own.next > SETTLED) && self.sides[1 - side].in_a_row >= IN_FORCE;
        let has_copy = matches!(self.manner, PairManner::Aligned | PairManner::Offset) && is_well(1 - side) && is_settled;
        (self.cut_off, self.ends) = (Some(side), true);
        self.make(side, self.slot + 1, Comes::Whole);
        (self.cut_off, self.ends) = (None, false);
        self.sides[side].cut = Some(self.slot + 1);
        self.cut_short = Some((side, self.slot + 1)).filter(|_| has_copy && !self.is_late);
    }

    fn begin(&mut self, side: usize) {
        (self.runs, self.is_seen) = (self.runs + 1, false);
        let (own, run) = (&mut self.sides[side], self.runs);
        (own.is_dead, own.missed, own.first, own.next, own.run, own.has_end) = (false, None, 0, 0, run, false);
        (own.made, own.in_a_row) = (None, 0);
        own.lines.clear();
    }

    pub(super) fn segment(&mut self, fates: [Fate; 2]) {
        self.slot += 1;
        self.pass(LENGTH - 700);
        let mut order = [0, 1];
        order.sort_by_key(|side| fates[*side].late);
        let begun = self.now;
        for side in order {
            let Fate { late, comes } = fates[side];
            if self.sides[side].is_dead || self.sides[side].cut == Some(self.slot) {
                continue;
            }
            if let Some(missed) = &mut self.sides[side].missed {
                missed.push(self.slot);
                // The feed waits in a buffer that has an end.
                let over = missed.len().saturating_sub(MISSED);
                missed.drain(..over);
                continue;
            }
            let due = begun + late;
            self.pass(due.saturating_sub(self.now));
            self.make(side, self.slot, comes);
        }
        self.pass((begun + 700).saturating_sub(self.now));
        self.recover();
    }

    /// A side makes a segment.
    fn make(&mut self, side: usize, slot: u64, comes: Comes) {
        let (begins, content) = self.begins(side, slot);
        let length = if self.cut_off == Some(side) { 600 } else { LENGTH };
        let own = &mut self.sides[side];
        let (name, bytes) = (format!("v{}.ts", own.next), side as u64 * 0x1000_0000 + own.run * 0x1000 + own.next);
        let bytes = if self.is_loop { own.next } else { bytes };
        own.next += 1;
        let line = format!("#EXTINF:{}.{:03},\n{name}\n", length / 1000, length % 1000);
        own.lines.push(line);
        if own.lines.len() > MOST {
            own.lines.remove(0);
            own.first += 1;
        }
        if matches!(comes, Comes::Whole | Comes::Damaged | Comes::Unlisted) {
            let time = |millis: u64| Some(MediaTime { ticks: millis * 90, scale: 90_000 }).filter(|_| !self.is_timeless);
            let known = SideSegment {
                at: WallTime::from_millis(self.now),
                begins: time(begins),
                content: time(content),
                ticks: length * 90,
                shape: 1,
                rank: u8::from(comes == Comes::Damaged),
            };
            let before = own.stored.insert(name.clone(), (bytes, self.now));
            self.makes_way(side, &name, before);
            let uri = names::tagged(&name, &format!("{bytes:08x}"));
            self.gone.remove(&uri);
            self.ever.insert(uri, (known, slot));
            self.stored(side, &name);
        } else {
            // Nor is one of an earlier run there, which would be taken for it.
            let before = self.sides[side].stored.remove(&name);
            self.makes_way(side, &name, before);
        }
        if comes == Comes::Unlisted {
            self.sides[side].in_a_row = 0;
        } else {
            self.pass(1);
            let ends = self.ends && self.cut_off == Some(side);
            let own = &mut self.sides[side];
            (own.is_dead, own.has_end) = (ends, ends);
            own.made = Some(slot).filter(|_| comes == Comes::Whole);
            own.in_a_row = own.made.map_or(0, |_| own.in_a_row + 1);
            self.list(side);
        }
    }

    /// What was stored by a name is there no more: it is kept for viewers, where they have been shown it; and by nodes that share where they are
    /// about to be.
    fn makes_way(&mut self, side: usize, name: &str, before: Option<(u64, u64)>) {
        let uri = before.map(|(bytes, _)| names::tagged(name, &format!("{bytes:08x}")));
        let is_listed = self.nodes.len() > 1 && self.sides[side].lists(name);
        self.gone.extend(uri.filter(|uri| !is_listed && !self.uris.contains(uri)));
    }

    fn list(&mut self, side: usize) {
        let own = &mut self.sides[side];
        let mut text = format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:{}\n", own.first);
        text.push_str(if self.independent == Some(side) { "#EXT-X-INDEPENDENT-SEGMENTS\n" } else { "" });
        own.lines.iter().for_each(|line| text.push_str(line));
        let _ = write!(text, "{}", if own.has_end { "#EXT-X-ENDLIST\n" } else { "" });
        own.newest = Some((Arc::new(SourceVersion::read(&text).unwrap()), self.now));
        self.heard(side);
    }
}
