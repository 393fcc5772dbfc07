//! Cases of time, of which the model knows too little to come upon them by itself.

use super::*;

const MINUTE: EngineTime = 60_000;

/// Each client asks one thing of one object, at a node.
fn world(asks: Vec<(usize, Question)>) -> (World, Setting) {
    let plan = Setting {
        clients: asks.into_iter().map(|(node, ask)| (node, vec![(0, ask)])).collect(),
        faults: Vec::new(),
        fault_count: 9,
        journal: 1,
        is_coarse: true,
        heals: false,
        safeguards: Safeguards::default(),
        forgotten: None,
    };
    (World::new(&plan), plan)
}

impl World {
    fn asks(&mut self, client: usize, plan: &Setting, held_up: Option<usize>) {
        *self = self.clone().after(&Happening::Ask(client), plan);
        self.rest(plan, held_up);
    }

    fn is_open(&self, number: usize) -> bool {
        self.lanes[number].session().is_some_and(|(_, session)| session.is_open())
    }

    /// A sign of all nodes but one, by which they know what time it is; and what they need not remember any more they forget, as the engine does.
    fn goes_on(&mut self, plan: &Setting, held_up: Option<usize>) {
        for (number, lane) in self.lanes.iter_mut().enumerate() {
            if Some(number) != held_up {
                lane.sign();
            }
        }
        self.go_on();
        self.rest(plan, held_up);
        for (number, lane) in self.lanes.iter_mut().enumerate() {
            if Some(number) != held_up {
                lane.sweep(|_| false);
            }
        }
        self.copies.sweep(self.now);
    }

    fn is_well(&self) {
        assert!(self.is_done() && self.is_linearizable(), "{self:#?}");
    }
}

const PUT: Question = Question::Put { value: 1, is_short: false };

#[test]
fn an_engine_that_was_away_for_long_and_lost_everything_is_told_it() {
    let (mut world, plan) = world(vec![(0, PUT), (0, Question::Get), (1, Question::Get)]);
    world.asks(0, &plan, None);
    world.now += 100 * MINUTE;
    world.strike(FaultKind::Emptied, world.primary, &plan);
    world.go_on();
    // One of them is late, and finds what the other has told, or committed.
    world.rest(&plan, Some(1));
    world.rest(&plan, None);
    assert!(world.is_open(0) && world.is_open(1));
    world.asks(1, &plan, None);
    world.asks(2, &plan, None);
    world.is_well();
}

#[test]
fn a_node_that_stood_still_while_others_went_on_raises_no_dead() {
    let (mut world, plan) = world(vec![(0, PUT), (0, Question::Delete), (0, Question::Get), (1, Question::Get)]);
    world.asks(0, &plan, None);
    world.goes_on(&plan, None);
    // It stands still, its clock with it; at the engine it is gone soon.
    (0..COPIES).for_each(|copy| world.copies.forget_member(copy, &node(1)));
    world.asks(1, &plan, Some(1));
    for _ in 0..4 {
        world.now += MINUTE;
        world.goes_on(&plan, Some(1));
    }
    assert!(world.lanes[0].known("a").is_none(), "that it was removed is forgotten by all but one");
    assert!(world.lanes[1].known("a").is_some());
    world.lanes[1].end_session();
    world.go_on();
    world.rest(&plan, None);
    assert!(world.is_open(0) && world.is_open(1));
    world.asks(2, &plan, None);
    world.asks(3, &plan, None);
    world.is_well();
}

#[test]
fn who_knows_nobody_at_an_empty_engine_waits_for_who_lives() {
    let (mut world, plan) = world(vec![(1, PUT), (0, Question::Get)]);
    world.asks(0, &plan, None);
    // A machine with a node and the engine is started anew: the node knows nobody.
    let (now, primary) = (world.now + 100 * MINUTE, world.primary);
    world.now = now;
    world.strike(FaultKind::NodeDeath, 0, &plan);
    world.lanes[0] = Lane::new(node(0), Members::new([node(0)]), COPIES, plan.safeguards);
    world.strike(FaultKind::Emptied, primary, &plan);
    world = world.after(&Happening::Find(0, primary), &plan);
    while let Some(next) = world.by_itself().into_iter().find(|next| next.whose() == Some(0)) {
        world = world.after(&next, &plan);
    }
    assert!(world.is_at_the_gate(0), "it waits");
    // The other one comes, and has told nothing yet when time is up: by then it is known.
    world = world.after(&Happening::Ask(1), &plan);
    world.rest(&plan, None);
    assert!(world.is_open(0) && world.is_open(1));
    world.is_well();
    // By itself it opens when time is up.
    world.strike(FaultKind::NodeDeath, 0, &plan);
    world.lanes[0] = Lane::new(node(0), Members::new([node(0)]), COPIES, plan.safeguards);
    world.strike(FaultKind::Emptied, primary, &plan);
    world = world.after(&Happening::Find(0, primary), &plan);
    world.rest(&plan, Some(1));
    assert!(world.is_open(0));
}
