//! Random lives of two encoders, held against the rules for playlists: whatever becomes of either, viewers' list is legal and goes on.

use proptest::collection::vec;
use proptest::prelude::{Just, ProptestConfig, Strategy, prop_oneof, proptest};

use super::pair_events::{Comes, Fate, PairEvent, PairManner};
use super::pair_world::PairWorld;

fn event() -> impl Strategy<Value = PairEvent> {
    let comes = prop_oneof![
        30 => Just(Comes::Whole),
        1 => Just(Comes::Damaged),
        1 => Just(Comes::Never),
        1 => Just(Comes::Unlisted),
    ];
    let fate = (0_u64..300, comes).prop_map(|(late, comes)| Fate { late, comes });
    prop_oneof![
        30 => [fate.clone(), fate].prop_map(PairEvent::Segment),
        1 => (0_usize..2).prop_map(PairEvent::Kill),
        3 => (0_usize..2).prop_map(PairEvent::Begin),
        1 => (0_usize..2).prop_map(PairEvent::End),
        1 => (0_usize..2).prop_map(PairEvent::Short),
        1 => (0_usize..2).prop_map(PairEvent::Delete),
        1 => (100_u64..5000).prop_map(PairEvent::Pause),
        1 => proptest::option::of(0_usize..2).prop_map(PairEvent::Pin),
        1 => Just(PairEvent::Reload),
        1 => (0_usize..2).prop_map(PairEvent::Freeze),
        1 => (0_usize..2).prop_map(PairEvent::GoOn),
    ]
}

/// What becomes of nodes that share, too.
fn shared_event() -> impl Strategy<Value = PairEvent> {
    prop_oneof![
        40 => event(),
        3 => (0_usize..2, 0_usize..2).prop_map(|(side, node)| PairEvent::Node(side, node)),
        1 => (0_usize..2).prop_map(PairEvent::Lose),
        2 => (0_usize..2).prop_map(PairEvent::Join),
        1 => (0_usize..2).prop_map(PairEvent::Slow),
        2 => Just(PairEvent::Race),
    ]
}

/// Ten thousand lives take minutes where nothing is optimised: `SPRINGHEAD_TEST_LIVES` asks for as many.
fn lives() -> u32 {
    std::env::var("SPRINGHEAD_TEST_LIVES").ok().and_then(|lives| lives.parse().ok()).unwrap_or(200)
}

/// Walks a life, at the end of which one side is well for a while. It is that of two nodes, where anything becomes of either.
fn walk(manner: PairManner, events: Vec<PairEvent>, last: usize) {
    let mut world = PairWorld::on(if events.iter().any(|event| event.is_shared()) { 2 } else { 1 }, manner);
    for event in events {
        world.take(event);
    }
    world.settles(last);
}

/// Lives that something was wrong with once.
const KEPT: &[(PairManner, &str, usize)] = &[
    (PairManner::Aligned, "w119/w begin:0 w/w u/w pause:1733 begin:0 w/w267 n/w", 0),
    (PairManner::Aligned, "9*w/w begin:1 delete:0 w/w w/n w/w", 0),
    (PairManner::Aligned, "pin:1 2*w/w n/w w/n 2*w/w w/u reload w204/w", 0),
    (PairManner::Aligned, "6*w/w d57/w delete:1 reload", 0),
    (PairManner::AllFromZero, "9*w/w w/w40 begin:0 w/w", 0),
    (PairManner::AllFromZero, "15*w/w begin:0 3*w/w w/w30 w11/w w/w begin:0 begin:1 w12/w pause:4000", 0),
    (PairManner::Aligned, "n/w 2*w/w begin:1 w/w w/d delete:0 reload", 0),
    (PairManner::Aligned, "w100/w end:1 begin:0 w/w", 0),
    (PairManner::Aligned, "4*w/w delete:0 begin:0 end:1 w/w short:0 pause:4700", 1),
    (PairManner::Offset, "5*w/w freeze:0 2*w/w kill:1 pin:0 w/w go:0", 0),
    (PairManner::Aligned, "9*w/w end:1 w/w kill:0 pin:0 w/w begin:1 w/w", 0),
    (PairManner::Aligned, "pin:1 w40/w w/w w/w w/w kill:1 n/w w/w begin:1 w/w", 0),
    (PairManner::Offset, "w10/w w/u w/w w11/w kill:0 begin:1 w/w begin:1 w/w", 0),
    (PairManner::AllFromZero, "lose:1 kill:1 w/w begin:0 w/w join:1 race begin:0 w/w w/w", 0),
    (PairManner::Aligned, "w14/w 3*w/w short:0 delete:0 w/w short:1 begin:0 w/w end:0 5*w/w node:0.0 w/w", 0),
    (PairManner::Offset, "4*w/w w/n w/w short:0 w/w kill:1 6*w/w begin:1 w/w", 0),
    (PairManner::Offset, "w/w n/w w/w w28/w w25/w w60/w kill:1 w/w reload w/w", 0),
    (PairManner::Aligned, "6*w/w pin:1 kill:1 w/w begin:1 w/w node:0.0", 0),
    (PairManner::Aligned, "2*w/w delete:1 w/w begin:0 w/w begin:0 w/w n/w w59/w begin:0 2*w/w begin:0 w/w", 0),
    (PairManner::Aligned, "4*w/w short:1 2*u/w delete:1 reload w/w", 0),
    (PairManner::Aligned, "begin:0 w166/w w/w w/w w/w short:1 node:1.1 delete:1", 1),
    (PairManner::Aligned, "3*w/w begin:1 w/w freeze:0 w/w w/w w/n pause:3240 w/w go:0 node:0.0", 0),
];

#[test]
fn lives_that_went_wrong_once_go_well() {
    for (manner, words, last) in KEPT {
        walk(*manner, PairEvent::life(words), *last);
    }
}

fn manner() -> impl Strategy<Value = PairManner> {
    prop_oneof![
        3 => Just(PairManner::Aligned),
        1 => Just(PairManner::Offset),
        1 => Just(PairManner::Shifted),
        1 => Just(PairManner::Foreign),
        1 => Just(PairManner::FromZero),
        1 => Just(PairManner::AllFromZero),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(lives()) })]

    #[test]
    fn whatever_becomes_of_either_encoder_the_list_is_legal_and_goes_on(
        (manner, events, last) in (manner(), vec(event(), 1..50), 0_usize..2),
    ) {
        walk(manner, events, last);
    }

    #[test]
    fn whichever_of_two_nodes_does_what_is_to_be_done_the_list_is_legal_and_goes_on(
        (manner, events, last) in (manner(), vec(shared_event(), 1..50), 0_usize..2),
    ) {
        walk(manner, events, last);
    }
}
