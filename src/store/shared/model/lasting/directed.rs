//! Orders of events that chance seldom finds.

use super::*;

/// The model does what it is about.
#[test]
fn things_are_acknowledged_in_it() {
    let setting = LastingSetting { without: None };
    let mut world = LastingWorld::new(&setting);
    for is_removal in [false, true] {
        world.now += 20;
        world.commit(0, 0, is_removal, &setting);
        world.claim(0, 0, &setting);
        let id = *world.jobs.keys().next().unwrap();
        while world.jobs.get(&id).is_some_and(|job| job.end.is_none()) {
            world.ask(id);
            world.perform(0, false, &setting);
        }
        world.settle(id, &setting);
    }
    assert_eq!(world.acknowledged[0], world.committed[0].keys().next_back().copied());
    assert!(world.acknowledged[0].is_some() && world.bucket.is_empty());
    assert_eq!(world.check(&setting), Ok(()));
}

/// The newest job asks until it has come to its end.
fn finish(world: &mut LastingWorld, setting: &LastingSetting) {
    let id = *world.jobs.keys().next_back().unwrap();
    while world.jobs[&id].end.is_none() {
        world.ask(id);
        world.perform(world.requests.len() - 1, false, setting);
    }
    world.settle(id, setting);
}

/// The newest job is given up by its node, with a request of it on its way.
fn leave(world: &mut LastingWorld, setting: &LastingSetting) {
    let id = *world.jobs.keys().next_back().unwrap();
    world.ask(id);
    world.give_up(id, false, setting);
}

#[test]
fn a_removal_that_was_given_up_never_takes_away_what_comes_after_a_later_one() {
    let setting = LastingSetting { without: None };
    let mut world = LastingWorld::new(&setting);
    world.now += 20;
    world.commit(0, 0, false, &setting);
    world.claim(0, 0, &setting);
    finish(&mut world, &setting);
    world.commit(0, 0, true, &setting);
    world.claim(0, 0, &setting);
    let id = *world.jobs.keys().next().unwrap();
    world.ask(id);
    world.perform(0, false, &setting);
    leave(&mut world, &setting);
    // The same node again, and that comes to its end.
    world.now += 1;
    world.claim(0, 0, &setting);
    finish(&mut world, &setting);
    assert_eq!(world.acknowledged[0], world.committed[0].keys().next_back().copied());
    world.commit(0, 1, false, &setting);
    world.claim(0, 1, &setting);
    assert!(world.jobs.is_empty(), "what was sent first may be on its way");
    assert!(matches!(&world.requests[..], [LastingRequest { ask: BucketAsk::Delete, .. }]));
    world.perform(0, false, &setting);
    world.now += TIMES.claimed;
    world.claim(0, 1, &setting);
    finish(&mut world, &setting);
    assert_eq!(world.acknowledged[0], world.committed[0].keys().next_back().copied());
    assert_eq!(world.check(&setting), Ok(()));
}

#[test]
fn a_write_that_was_given_up_never_brings_back_what_was_removed_after_a_later_one() {
    let setting = LastingSetting { without: None };
    let mut world = LastingWorld::new(&setting);
    world.now += 20;
    world.commit(0, 0, false, &setting);
    world.claim(0, 0, &setting);
    leave(&mut world, &setting);
    world.now += 1;
    world.commit(0, 0, false, &setting);
    world.claim(0, 0, &setting);
    finish(&mut world, &setting);
    world.commit(0, 0, true, &setting);
    world.claim(0, 0, &setting);
    world.claim(0, 1, &setting);
    assert!(world.jobs.is_empty() && world.requests.len() == 1, "what was sent first may be on its way");
    world.now += TIMES.claimed;
    world.claim(0, 1, &setting);
    finish(&mut world, &setting);
    assert_eq!(world.acknowledged[0], world.committed[0].keys().next_back().copied());
    assert_eq!(world.check(&setting), Ok(()));
}
