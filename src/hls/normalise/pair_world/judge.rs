//! What viewers of two encoders should have been shown, held against what they were.

use super::*;

impl PairWorld {
    pub(super) fn judge(&mut self, composed: &Composed, relation: Relation) {
        let before = self.public.as_ref().map_or("", |(text, _)| text);
        let context = || format!("{}\nafter\n{before}", composed.text);
        let alone: Vec<Breach> = rules::alone(&composed.text);
        assert!(alone.is_empty(), "{alone:?} in\n{}", context());
        if !before.is_empty() {
            let had_end = before.contains("#EXT-X-ENDLIST");
            let after: Vec<Breach> = rules::after(before, &composed.text)
                .into_iter()
                .filter(|breach| !(breach.rule == Rule::Kind && had_end))
                .collect();
            assert!(after.is_empty(), "{after:?} in\n{}", context());
        }
        let list = media(&composed.text);
        for segment in &list.segments {
            if segment.gap {
                continue;
            }
            let (_, slot) =
                self.ever.get(&segment.uri).unwrap_or_else(|| panic!("{} was never here: {}", segment.uri, context()));
            if self.shown.last().is_none_or(|(number, _)| segment.sequence > *number) {
                assert!(!self.gone.contains(&segment.uri), "{} is listed, and nowhere: {}", segment.uri, context());
                assert!(self.uris.insert(segment.uri.clone()) || self.is_loop, "{} is shown twice: {}", segment.uri, context());
                if matches!(self.manner, PairManner::Aligned | PairManner::Offset) {
                    let is_next = self.shown.iter().all(|(_, shown)| shown < slot);
                    assert!(is_next, "slot {slot} is shown twice, or too late: {}", context());
                    let lost = self.lost((segment.sequence, *slot), &segment.uri, relation);
                    assert!(lost.is_empty(), "{lost:?} are lost: {}", context());
                }
                let left_out = self.left_out(segment.sequence, &segment.uri, relation);
                assert!(left_out.is_empty(), "{left_out:?} are left out before {}: {}", segment.uri, context());
                self.shown.push((segment.sequence, *slot));
                self.newest.clone_from(&segment.uri);
            }
        }
    }

    /// The slots before this one that viewers are not shown, though they could have been: by either side, where one stands for the other; by
    /// the other one, where that takes over.
    fn lost(&self, (number, slot): (u64, u64), uri: &str, relation: Relation) -> Vec<u64> {
        let Some((last, before)) = self.shown.last().copied().filter(|_| relation <= Relation::Offset) else { return Vec::new() };
        let (to, is_other) = (side_of(uri), side_of(&self.newest) != side_of(uri));
        let is_asked = |side: usize| relation == Relation::Aligned || is_other && side == to;
        // Gaps stand for what did not come in time.
        if slot.checked_sub(before) == Some(number - last) {
            return Vec::new();
        }
        let segments =
            (0..2).filter(|side| is_asked(*side)).flat_map(|side| self.lists_of(side)).flat_map(|text| media(text).segments);
        // Nor is what has been written over before anybody was shown it.
        let here = segments.filter(|segment| !segment.gap && !self.gone.contains(&segment.uri));
        let slots = here.filter_map(|segment| Some(self.ever.get(&segment.uri)?.1));
        slots.filter(|own| (before + 1..slot).contains(own)).collect()
    }

    /// When the content of a public name begins and ends, in milliseconds.
    fn content(&self, uri: &str) -> (u64, u64) {
        let (known, _) = self.ever[uri];
        let begins = known.content.map_or(0, |at| at.ticks / 90);
        (begins, begins + known.ticks / 90)
    }

    /// The segments of a side that takes over which would have gone between the line before and its first one, where it is cut elsewhere: less than
    /// one is left out.
    fn left_out(&self, number: u64, uri: &str, relation: Relation) -> Vec<String> {
        let is_asked = self.manner == PairManner::Shifted && relation <= Relation::Shifted;
        let follows = self.shown.last().is_some_and(|(last, _)| last + 1 == number);
        if !is_asked || !follows || side_of(uri) == side_of(&self.newest) {
            return Vec::new();
        }
        let ((_, end), (begin, _)) = (self.content(&self.newest), self.content(uri));
        let own = self.lists_of(side_of(uri)).flat_map(|text| media(text).segments);
        let is_between = |uri: &String| {
            let (from, to) = self.content(uri);
            from + 30 >= end && to <= begin + 30
        };
        let here = own.filter(|own| !own.gap && !self.gone.contains(&own.uri)).map(|own| own.uri);
        here.filter(is_between).collect()
    }

    /// Holds what both have made since somebody wanted a side, or since one was cut off, against what came of that.
    pub(super) fn judge_segment(&mut self, fates: [Fate; 2]) {
        let is_well = |side: usize| {
            let own = &self.sides[side];
            fates[side].comes == Comes::Whole && !own.is_dead && own.missed.is_none()
        };
        self.regular = if is_well(0) && is_well(1) { self.regular + 1 } else { 0 };
        let (text, kept) = self.public.as_ref().map_or(("", ""), |(text, kept)| (text, kept));
        // Where no clock tells how they stand to each other, it takes longer to see.
        let in_force = if self.manner == PairManner::AllFromZero { 2 * IN_FORCE } else { IN_FORCE };
        if let Some(pin) = self.pin.filter(|_| self.regular >= in_force) {
            let active = Continuity::parse(kept).and_then(|kept| kept.pair).map(|pair| pair.active);
            assert_eq!(active, Some(pin), "the pin is in force after {in_force} segments: {text}");
        }
        if let Some((side, slot)) = self.cut_short.take().filter(|(side, _)| is_well(1 - side)) {
            let is_its = |uri: &&String| self.ever[*uri].1 == slot && self.ever[*uri].0.ticks == LENGTH * 90;
            assert!(
                self.uris.iter().any(|uri| is_its(&uri)),
                "the copy of slot {slot}, which {side} has cut off, is not shown: {text}"
            );
        }
    }

    /// When one of both is well for a while, viewers have what it makes.
    pub(in crate::hls::normalise) fn settles(&mut self, side: usize) {
        self.pin = None;
        self.take(PairEvent::Kill(1 - side));
        self.take(PairEvent::GoOn(side));
        if self.sides[side].is_dead {
            self.begin(side);
        }
        let (shown, first) = (self.shown.len(), self.slot + 1);
        for _ in 0..10 {
            self.segment([Fate { late: 0, comes: Comes::Whole }; 2]);
        }
        let (text, _) = self.public.as_ref().unwrap();
        assert_eq!(self.shown.last().map(|(_, slot)| *slot), Some(self.slot), "the live edge goes on: {text}");
        if self.manner == PairManner::Aligned {
            let shown: Vec<u64> = self.shown[shown..].iter().map(|(_, slot)| *slot).filter(|slot| *slot >= first).collect();
            assert!(shown.windows(2).all(|two| two[1] == two[0] + 1), "{shown:?} in {text}");
        }
    }
}

/// The side that has made what has this public name.
fn side_of(uri: &str) -> usize {
    usize::from(names::tag(uri).is_some_and(|tag| tag.starts_with('1')))
}
