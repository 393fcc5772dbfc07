//! What may happen next in a world.

use super::{Asker, COPIES, FaultKind, Happening, STRIKE, Setting, World, node};
use crate::store::shared::lane::Lane;
use crate::store::shared::memory::CopyNumber;
use crate::store::shared::model::register::Question;

impl World {
    /// How many sessions the node has had that has had most.
    pub(in crate::store::shared::model) fn sessions(&self) -> u32 {
        self.lanes.iter().filter_map(|lane| lane.session().map(|(number, _)| number)).max().unwrap_or(0)
    }

    /// What may happen next.
    pub(in crate::store::shared::model) fn possible(&self, plan: &Setting) -> Vec<Happening> {
        let mut possible = self.by_itself();
        let is_cut_off = |next: &Happening| self.cut_off.is_some() && next.whose() == self.cut_off;
        if possible.iter().all(is_cut_off) && (0..self.lanes.len()).any(|number| self.is_at_the_gate(number)) {
            possible.push(Happening::Wait);
        }
        let idle = |client: &Asker| client.doing.is_none() && !client.to_ask.is_empty();
        possible.extend((0..self.clients.len()).filter(|number| idle(&self.clients[*number])).map(Happening::Ask));
        if plan.heals
            && let Some((deposed, Some(_))) = self.deposed
        {
            possible.push(Happening::Rejoin(deposed));
        }
        possible.extend(self.dead_replica.filter(|_| plan.heals).map(Happening::Rejoin));
        if self.now < STRIKE
            && plan.clients.iter().flat_map(|(_, asks)| asks).any(|(_, ask)| matches!(ask, Question::Put { is_short: true, .. }))
        {
            possible.push(Happening::Strike);
        }
        if self.faults > 0 && self.is_whole() {
            for kind in &plan.faults {
                let whom = match kind {
                    FaultKind::Death | FaultKind::Split | FaultKind::Emptied => self.primary..self.primary + 1,
                    FaultKind::ReplicaDeath => 0..COPIES,
                    FaultKind::Link | FaultKind::Zone | FaultKind::NodeDeath | FaultKind::Silence => 0..self.lanes.len(),
                    FaultKind::Impatience => 0..self.clients.len(),
                };
                let may = |whom: &usize| match kind {
                    FaultKind::ReplicaDeath => *whom != self.primary,
                    FaultKind::Impatience => self.clients[*whom].doing.is_some(),
                    _ => true,
                };
                possible.extend(whom.filter(may).map(|whom| Happening::Fault(*kind, whom)));
            }
        }
        possible
    }

    /// Whether there is no fault any more, and nothing of the last one is left: the next may come.
    fn is_whole(&self) -> bool {
        let primary = self.copies.primaries().into_iter().find(|(copy, _)| *copy == self.primary);
        let is_open = |lane: &Lane<_>| {
            lane.session().is_some_and(|(_, session)| session.is_open() && Some((session.primary, session.line())) == primary)
        };
        self.deposed.is_none() && self.dead_replica.is_none() && self.lanes.iter().all(is_open)
    }

    /// What happens without anybody doing anything.
    pub(super) fn by_itself(&self) -> Vec<Happening> {
        let mut possible = Vec::new();
        for (number, lane) in self.lanes.iter().enumerate() {
            if lane.needs_primary() {
                let primaries = self.copies.primaries().into_iter().map(|(copy, _)| copy);
                possible.extend(primaries.filter(|copy| self.reaches(number, *copy)).map(|copy| Happening::Find(number, copy)));
            } else if let Some((_, session)) = lane.session()
                && session.wants_a_look()
                && !session.expects_strangers()
                && self.copies.have_asserted(session.primary, &node(number), (0..self.lanes.len()).map(node))
            {
                possible.push(Happening::Look(number));
            }
        }
        for tag in self.copies.tags() {
            if self.copies.may_perform(tag) {
                possible.push(Happening::Perform(tag));
            }
            if self.copies.may_answer(tag) {
                possible.push(Happening::Answer(tag));
            } else if !self.copies.is_orphan(tag) && self.copies.is_hopeless(tag) {
                possible.push(Happening::GiveUp(tag));
            }
        }
        possible.extend((0..COPIES).filter(|copy| self.copies.is_behind(*copy)).map(Happening::Replicate));
        if let Some((deposed, None)) = self.deposed {
            possible.extend((0..COPIES).filter(|copy| *copy != deposed && self.may_elect(*copy)).map(Happening::Elect));
        }
        possible
    }

    fn reaches(&self, node: usize, copy: CopyNumber) -> bool {
        let is_beyond = self.deposed.is_some_and(|(deposed, _)| deposed == copy);
        self.cut_off.is_none_or(|cut_off| (cut_off == node) == is_beyond)
    }

    fn may_elect(&self, copy: CopyNumber) -> bool {
        self.copies.may_elect(copy) && (self.cut_off.is_none() || self.copies.has_most(copy))
    }
}
