//! Random worlds in random orders: much that happens, and fault after fault.

use std::cell::Cell;

use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::sample::subsequence;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use super::register::Question;
use super::world::{FaultKind, Happening, Setting, World};
use crate::store::shared::safeguards::{Safeguard, Safeguards};

/// In so many steps everything comes to its end, where what is cut off comes back.
const MOST_STEPS: usize = 5_000;

/// More worlds by `SPRINGHEAD_MODEL_CASES`; always the same ones first.
fn runner(cases: u32, shrinks: u32) -> TestRunner {
    let cases = std::env::var("SPRINGHEAD_MODEL_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(cases);
    let config = Config { cases, failure_persistence: None, max_shrink_iters: shrinks, ..Config::default() };
    TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &[14; 32]))
}

fn ask() -> impl Strategy<Value = (usize, Question)> {
    let key = prop_oneof![4 => Just(0_usize), 1 => Just(1)];
    let ask = prop_oneof![
        4 => Just(Question::Get),
        3 => any::<bool>().prop_map(|is_short| Question::Put { value: 0, is_short }),
        1 => Just(Question::PutIfAbsent { value: 0 }),
        1 => (0_u8..8).prop_map(|there| Question::PutIf { there, value: 0 }),
        2 => Just(Question::Delete),
    ];
    (key, ask)
}

/// Clients on two nodes, and three copies; in which order it happens is a choice each time.
fn worlds() -> impl Strategy<Value = (Setting, Vec<u16>)> {
    let clients = vec((0_usize..2, vec(ask(), 1..6)), 2..5);
    let faults = subsequence(FaultKind::ALL.to_vec(), 1..=FaultKind::ALL.len());
    let plan = (clients, faults, 0_u8..4, 1_usize..8, any::<bool>());
    let plan = plan.prop_map(|(mut clients, faults, fault_count, journal, is_coarse)| {
        clients[0].0 = 0;
        clients[1].0 = 1;
        // Each value is written once.
        let mut values = 0..;
        for (_, ask) in clients.iter_mut().flat_map(|(_, asks)| asks) {
            if let Question::Put { value, .. } | Question::PutIfAbsent { value } | Question::PutIf { value, .. } = ask {
                *value = values.next().unwrap_or_default();
            }
        }
        let safeguards = Safeguards::default();
        Setting { clients, faults, fault_count, journal, is_coarse, heals: true, safeguards, forgotten: None }
    });
    (plan, vec(any::<u16>(), 0..600))
}

/// What went wrong, told by what happened.
fn run(plan: &Setting, choices: &[u16]) -> Result<(), Vec<String>> {
    let mut world = World::new(plan);
    let mut story = Vec::new();
    for choice in choices {
        let possible = world.possible(plan);
        let Some(next) = possible.get(usize::from(*choice) % possible.len().max(1)) else { break };
        story.push(format!("{next:?}"));
        world = world.after(next, plan);
        if !world.is_linearizable() {
            return Err(story);
        }
    }
    // Then no more faults: all goes its way. Where nothing heals, some of it goes round for ever.
    for step in 0..if plan.heals { MOST_STEPS } else { 100 } {
        let mut possible = world.possible(plan);
        possible.retain(|next| !matches!(next, Happening::Fault(..) | Happening::Strike));
        let heals = possible.iter().find(|next| matches!(next, Happening::Rejoin(_)));
        let Some(next) = heals.or_else(|| possible.get(step % possible.len().max(1))) else { break };
        story.push(format!("{next:?}"));
        world = world.after(next, plan);
        if !world.is_linearizable() {
            return Err(story);
        }
    }
    if plan.heals && !world.is_done() {
        story.push("and somebody is told nothing".to_owned());
        return Err(story);
    }
    Ok(())
}

/// The first of so many worlds in which something goes wrong: how many were looked at, and what happened in it.
fn search(worlds: impl Strategy<Value = (Setting, Vec<u16>)>, cases: u32, shrinks: u32) -> Result<(), (u32, String)> {
    let looked_at = Cell::new(0);
    let found = runner(cases, shrinks).run(&worlds, |(plan, choices)| {
        looked_at.set(looked_at.get() + 1);
        run(&plan, &choices).map_err(|story| TestCaseError::fail(story.join("\n")))
    });
    match found {
        Ok(()) => Ok(()),
        Err(TestError::Fail(story, (plan, _))) => Err((looked_at.get(), format!("{plan:#?}\n{story}"))),
        Err(TestError::Abort(reason)) => panic!("{reason}"),
    }
}

#[test]
fn what_is_told_is_linearizable_whatever_happens() {
    if let Err((_, story)) = search(worlds(), 600, 20_000) {
        panic!("{story}");
    }
}

/// Clients, each with its node and what it asks.
type NodeClients = Vec<(usize, Vec<Question>)>;

/// For whom a safeguard is there: clients, each at a node, against which fault, and with how long a journal.
fn who_needs(safeguard: Safeguard) -> (FaultKind, usize, NodeClients) {
    let (get, put) = (|| Question::Get, |value| Question::Put { value, is_short: false });
    match safeguard {
        Safeguard::Wait => (FaultKind::Split, 8, vec![(0, vec![put(1)]), (1, vec![get()])]),
        Safeguard::Gate | Safeguard::Assertion => (FaultKind::Death, 8, vec![(0, vec![put(1)]), (1, vec![get()])]),
        Safeguard::Confirmed => (FaultKind::Zone, 8, vec![(0, vec![get()]), (1, vec![put(1)]), (1, vec![get()])]),
        Safeguard::Tombstones => (FaultKind::Link, 1, vec![(0, vec![put(1), Question::Delete, get()]), (1, vec![get()])]),
        Safeguard::Barrier => (FaultKind::Link, 8, vec![(0, vec![put(1)]), (1, vec![get()])]),
        Safeguard::OwnIndex => (FaultKind::Death, 8, vec![(0, vec![put(1), get()]), (1, Vec::new())]),
        Safeguard::Verdicts => (FaultKind::Death, 8, vec![(0, vec![put(1)]), (1, vec![get(), put(2), get()])]),
        Safeguard::Refusals => {
            let if_absent = vec![Question::PutIfAbsent { value: 1 }];
            (FaultKind::Link, 8, vec![(0, if_absent), (1, vec![put(2), Question::Delete, get()])])
        }
        // Of the bucket below: another model's.
        Safeguard::Claims => (FaultKind::Link, 8, Vec::new()),
        // Of the first node, which the engine takes for gone.
        Safeguard::Membership => (FaultKind::Death, 8, vec![(0, vec![put(1)]), (1, vec![get()])]),
    }
}

#[test]
fn no_safeguard_can_be_spared() {
    for safeguard in Safeguard::ALL {
        let (fault, journal, clients) = who_needs(safeguard);
        let on_one_key = |asks: Vec<Question>| asks.into_iter().map(|ask| (0, ask)).collect();
        let clients = clients.into_iter().map(|(node, asks)| (node, on_one_key(asks))).collect();
        let safeguards = Safeguards::without(safeguard);
        let forgotten = (safeguard == Safeguard::Membership).then_some(0);
        let (faults, fault_count) = (vec![fault], 1);
        let plan = Setting { clients, faults, fault_count, journal, is_coarse: true, heals: false, safeguards, forgotten };
        let found = search((Just(plan), vec(any::<u16>(), 60)), 10_000, 0);
        let Err((looked_at, story)) = found else { panic!("without {safeguard:?} nothing goes wrong") };
        println!("without {safeguard:?}, in the {looked_at}th world:\n{story}");
    }
}
