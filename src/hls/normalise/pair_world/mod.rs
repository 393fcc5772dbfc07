//! Two encoders that are made up, their store and their viewers: what becomes of either is said event by event, and what viewers have is held
//! against the rules for playlists at each step.

mod judge;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Write as _;

use super::pair_events::{Comes, Fate, PairEvent, PairManner};
use super::*;
use crate::hls::rules::{self, Breach, Rule};
use crate::hls::texts::media;

const T0: u64 = 1_767_225_600_000;
/// How long each segment is, in milliseconds.
const LENGTH: u64 = 2000;
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
    newest: Option<(SourceVersion, u64, VersionStanding)>,
    list: Option<(String, Continuity)>,
    came: Vec<Option<WallTime>>,
    cursor: Option<u64>,
    out: Option<SideOut>,
}

#[derive(Default)]
pub(super) struct PairWorld {
    now: u64,
    manner: PairManner,
    sides: [SimulatedSide; 2],
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
    again: Option<u64>,
    /// So many segments one after the other were whole from both, and nothing else happened.
    regular: usize,
    /// The side that has cut off a segment just now, to end with it, and the slot: its twin's copy is shown.
    cut_short: Option<(usize, u64)>,
    /// Nothing has happened for a while since the last segments: whose copy is that much later than its own rhythm has it is not waited for.
    is_late: bool,
    /// How the sides stand to each other has been known.
    is_known: bool,
    /// The slots that viewers have been shown, in their order.
    pub(super) shown: Vec<(u64, u64)>,
    /// The name of the last of them.
    newest: String,
    pub(super) switches: usize,
    uris: HashSet<String>,
}

impl PairWorld {
    pub(super) fn new(manner: PairManner) -> Self {
        let side = |run| SimulatedSide { run, ..SimulatedSide::default() };
        Self { now: T0, manner, sides: [side(0), side(1)], runs: 1, ..Self::default() }
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

    fn look(&mut self) {
        let now = WallTime::from_millis(self.now);
        for side in &mut self.sides {
            let Some((version, heard, standing)) = &mut side.newest else { continue };
            let (stored, ever) = (&side.stored, &self.ever);
            let find = |uri: &str| {
                let here = stored.get(uri).map(|(bytes, at)| {
                    let uri = names::tagged(uri, &format!("{bytes:08x}"));
                    let (known, _) = ever[&uri];
                    StoredSegment { uri, at: WallTime::from_millis(*at), begins: known.begins, ticks: known.ticks }
                });
                Named { plain: uri.to_owned(), place: here.map_or(NamedPlace::Absent, NamedPlace::Here) }
            };
            let (heard, standing_now) = (WallTime::from_millis(*heard), *standing);
            let step = ComposeStep {
                version,
                heard,
                standing: standing_now,
                find: &find,
                now,
                end_hold: Some(Duration::ZERO),
                least: 16,
            };
            let before = side.list.as_ref().map(|(text, kept)| (&**text, *kept));
            if let Some(composed) = super::step(before, &step) {
                *standing = composed.standing;
                let again = composed.again.map(|after| self.now + u64::try_from(after.as_millis()).unwrap());
                self.again = self.again.into_iter().chain(again).min();
                side.came = composed.all_came(&side.came);
                side.list = Some((composed.text, composed.continuity));
            }
        }
        let lists = [0, 1].map(|at| self.sides[at].list.as_ref().map(|(text, _)| SourceVersion::read(text).unwrap()));
        let sides = [0, 1].map(|at| PairSide {
            list: lists[at].as_ref(),
            came: &self.sides[at].came,
            next: self.sides[at].cursor,
            window: self.sides[at].newest.as_ref().map_or(0, |(version, ..)| version.length() as u64),
            out: self.sides[at].out,
        });
        let find = |_: Option<usize>, uri: &str, _: Option<&str>| {
            self.ever.get(uri).filter(|_| !self.gone.contains(uri)).map(|(known, _)| *known)
        };
        let step = PairStep {
            sides,
            find: &find,
            now,
            grace: None,
            pin: self.pin,
            back: self.back,
            together: None,
            others: None,
            end_hold: None,
        };
        let before = self.public.as_ref().map(|(text, kept)| (&**text, Continuity::parse(kept).unwrap()));
        let Some(made) = pair_step(before, &step) else { return };
        let again = made.composed.again.map(|after| self.now + u64::try_from(after.as_millis()).unwrap());
        self.again = self.again.into_iter().chain(again).min();
        self.is_known |= made.relation <= Relation::Offset || matches!(self.manner, PairManner::Shifted | PairManner::Foreign);
        self.judge(&made.composed, made.relation);
        self.switches += made.switches.len();
        for at in 0..2 {
            self.sides[at].cursor = made.next[at];
        }
        self.public = Some((made.composed.text, made.composed.continuity.to_string()));
    }

    fn pass(&mut self, millis: u64) {
        let until = self.now + millis;
        while let Some(again) = self.again.filter(|again| *again <= until) {
            self.now = again.max(self.now + 1);
            self.again = None;
            self.look();
        }
        self.now = self.now.max(until);
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
            PairEvent::Freeze(side) if !self.sides[side].is_dead && self.is_known => {
                self.sides[side].missed.get_or_insert_default();
            }
            PairEvent::Freeze(_) => {}
            PairEvent::GoOn(side) => {
                for slot in self.sides[side].missed.take().unwrap_or_default() {
                    self.pass(60);
                    self.make(side, slot, Comes::Whole);
                }
            }
            PairEvent::Begin(side) => self.begin(side),
            PairEvent::End(side) => {
                let own = &mut self.sides[side];
                if !own.lines.is_empty() && !own.is_dead && own.missed.is_none() {
                    (own.is_dead, own.has_end, own.out) = (true, true, Some(SideOut::Ended));
                    self.list(side);
                }
            }
            PairEvent::Delete(side) => {
                let own = &mut self.sides[side];
                if own.newest.take().is_some() {
                    (own.is_dead, own.missed, own.out) = (true, None, Some(SideOut::Deleted));
                    self.look();
                }
            }
            PairEvent::Pause(millis) => {
                self.pass(millis);
                self.is_late = true;
            }
            PairEvent::Pin(pin) => self.pin = pin,
            PairEvent::Reload => {
                for side in &mut self.sides {
                    (side.list, side.cursor) = (None, None);
                    side.came.clear();
                    if let Some((_, _, standing)) = &mut side.newest {
                        *standing = VersionStanding::Believed;
                    }
                }
                self.look();
            }
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
        self.runs += 1;
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
        if own.lines.len() > 5 {
            own.lines.remove(0);
            own.first += 1;
        }
        if matches!(comes, Comes::Whole | Comes::Damaged | Comes::Unlisted) {
            let time = |millis: u64| Some(MediaTime { ticks: millis * 90, scale: 90_000 });
            let known = SideSegment {
                at: WallTime::from_millis(self.now),
                begins: time(begins),
                content: time(content),
                ticks: length * 90,
                shape: 1,
                rank: u8::from(comes == Comes::Damaged),
            };
            let before = own.stored.insert(name.clone(), (bytes, self.now));
            self.makes_way(&name, before);
            let uri = names::tagged(&name, &format!("{bytes:08x}"));
            self.gone.remove(&uri);
            self.ever.insert(uri, (known, slot));
        }
        if comes == Comes::Never {
            // Nor is one of an earlier run there, which would be taken for it.
            let before = self.sides[side].stored.remove(&name);
            self.makes_way(&name, before);
        }
        self.look();
        if comes == Comes::Unlisted {
            self.sides[side].in_a_row = 0;
        } else {
            self.pass(1);
            let ends = self.ends && self.cut_off == Some(side);
            let own = &mut self.sides[side];
            (own.out, own.is_dead, own.has_end) = (ends.then_some(SideOut::Ended), ends, ends);
            own.made = Some(slot).filter(|_| comes == Comes::Whole);
            own.in_a_row = own.made.map_or(0, |_| own.in_a_row + 1);
            self.list(side);
        }
    }

    /// What was stored by a name is there no more: it is kept for viewers, where they have been shown it.
    fn makes_way(&mut self, name: &str, before: Option<(u64, u64)>) {
        let uri = before.map(|(bytes, _)| names::tagged(name, &format!("{bytes:08x}")));
        self.gone.extend(uri.filter(|uri| !self.uris.contains(uri)));
    }

    fn list(&mut self, side: usize) {
        let own = &mut self.sides[side];
        let mut text = format!("#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:{}\n", own.first);
        own.lines.iter().for_each(|line| text.push_str(line));
        let _ = write!(text, "{}", if own.has_end { "#EXT-X-ENDLIST\n" } else { "" });
        own.newest = Some((SourceVersion::read(&text).unwrap(), self.now, VersionStanding::New));
        self.look();
    }
}
