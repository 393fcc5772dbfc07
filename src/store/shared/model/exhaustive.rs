//! Small worlds, in every order there is.

use stateright::{Checker, HasDiscoveries, Model, Property};

use super::register::Question;
use super::world::{FaultKind, Happening, Setting, World};
use crate::store::shared::safeguards::{Safeguard, Safeguards};

/// Sessions that a node may have: what comes after is the same once more.
const MOST_SESSIONS: u32 = 3;

impl Model for Setting {
    type State = World;
    type Action = Happening;

    fn init_states(&self) -> Vec<World> {
        vec![World::new(self)]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Happening>) {
        if world.is_linearizable() {
            actions.extend(world.possible(self));
        }
    }

    fn next_state(&self, world: &World, happening: Happening) -> Option<World> {
        Some(world.clone().after(&happening, self))
    }

    fn within_boundary(&self, world: &World) -> bool {
        world.sessions() <= MOST_SESSIONS
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("linearizable", |_, world: &World| world.is_linearizable()),
            Property::sometimes("all is told", |_, world: &World| world.is_done()),
        ]
    }
}

/// Two nodes, at each of which a client asks of one object, and one fault at any moment.
fn plan(asks: [Vec<Question>; 2], fault: FaultKind, safeguards: Safeguards) -> Setting {
    let on_one_key = |asks: Vec<Question>| asks.into_iter().map(|ask| (0, ask)).collect();
    let clients = asks.into_iter().enumerate().map(|(node, asks)| (node, on_one_key(asks))).collect();
    Setting {
        clients,
        faults: vec![fault],
        fault_count: 1,
        journal: 8,
        is_coarse: true,
        heals: false,
        safeguards,
        forgotten: None,
    }
}

fn put(value: u8) -> Question {
    Question::Put { value, is_short: false }
}

/// How many states were looked at, and by which steps what was told came not to be linearizable, if it did.
fn look_at_all(plan: Setting) -> (usize, Option<Vec<Happening>>) {
    let checker = plan.checker().threads(1).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    let found = checker.discovery("linearizable").map(stateright::Path::into_actions);
    assert!(found.is_some() || checker.discovery("all is told").is_some(), "nobody is told anything");
    (checker.unique_state_count(), found)
}

/// All of what is small enough; more with `SPRINGHEAD_MODEL_DEEP` set, for some minutes.
#[test]
fn a_small_world_is_linearizable_in_every_order() {
    use FaultKind::{Death, Emptied, Link, NodeDeath, ReplicaDeath, Split, Zone};
    let put_and_get = [vec![put(1)], vec![Question::Get]];
    let mut plans: Vec<_> = [Death, Emptied, ReplicaDeath, Link, NodeDeath].map(|fault| (put_and_get.clone(), fault)).into();
    if std::env::var_os("SPRINGHEAD_MODEL_DEEP").is_some() {
        plans.extend([Split, Zone].map(|fault| (put_and_get.clone(), fault)));
        for asks in
            [[vec![put(1), Question::Delete], vec![Question::Get]], [vec![put(1)], vec![Question::PutIfAbsent { value: 2 }]]]
        {
            plans.extend([Death, Emptied, Link, NodeDeath].map(|fault| (asks.clone(), fault)));
        }
    }
    for (asks, fault) in plans {
        let (states, found) = look_at_all(plan(asks.clone(), fault, Safeguards::default()));
        assert_eq!(found, None, "{asks:?} {fault:?}");
        println!("{asks:?} {fault:?}: {states} states");
        assert!(states > 1_000, "{asks:?} {fault:?}: {states} states are too few to be all");
    }
}

/// The node that writes was held up, and the engine takes it for gone; the other does not wait for it any more.
#[test]
fn who_is_taken_for_gone_is_not_waited_for_and_commits_nothing_that_is_lost() {
    let asks = || [vec![put(1)], vec![Question::Get]];
    let of = |safeguards| Setting { forgotten: Some(0), ..plan(asks(), FaultKind::Death, safeguards) };
    let (states, found) = look_at_all(of(Safeguards::default()));
    assert!(found.is_none() && states > 1_000, "{found:?}, {states} states");
    assert!(look_at_all(of(Safeguards::without(Safeguard::Membership))).1.is_some());
}

#[test]
fn in_a_small_world_too_safeguards_are_needed() {
    for safeguard in [Safeguard::Gate, Safeguard::Assertion] {
        let (_, found) = look_at_all(plan([vec![put(1)], vec![Question::Get]], FaultKind::Death, Safeguards::without(safeguard)));
        assert!(found.is_some(), "without {safeguard:?}");
    }
}
