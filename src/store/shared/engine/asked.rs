//! What engines are asked in tests: any call about few names, at any moment.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof};

use crate::store::shared::{
    ClaimEnd, ClaimTimes, EngineCall, HeldObject, Indexed, Node, ObjectName, Precondition, SharedBody, SharedObject, Term,
    UploadId, Version,
};

/// A call, with its term and times still open.
#[derive(Clone, Debug)]
pub(super) enum CallPlan {
    Call(EngineCall),
    /// One in the term that is in force.
    InTerm(EngineCall),
}

fn name() -> impl Strategy<Value = ObjectName> {
    prop_oneof![Just("n/a.m3u8"), Just("n/\u{e9} b.ts"), Just("m/c")].prop_map(ObjectName::from)
}

fn version() -> impl Strategy<Value = Version> {
    let term = (0u32..4, 0u32..4).prop_map(|(number, line)| Term { number, line });
    (term, 0u64..24).prop_map(|(term, commit)| Version { term, commit })
}

fn upload() -> impl Strategy<Value = UploadId> {
    (0u128..9).prop_map(|number| UploadId(number << 100 | 7))
}

/// Expiries are told from now on, in minutes; a body outlives its object by seconds, and so does what has just expired.
fn object(now: u64) -> impl Strategy<Value = SharedObject> {
    let expires = prop_oneof![3 => Just(now + 3_600_000), 1 => Just(now - 500), 1 => Just(now + 7_200_000)];
    (0u128..4, expires, any::<[u8; 3]>()).prop_map(|(etag, expires, described)| SharedObject {
        etag: etag << 64,
        length: 5,
        is_bare: false,
        expires,
        described: Bytes::copy_from_slice(&described),
    })
}

fn expected() -> impl Strategy<Value = Precondition> {
    let one_of = vec((0u128..4).prop_map(|tag| tag << 64), 0..3).prop_map(Precondition::OneOf);
    prop_oneof![3 => Just(Precondition::Anything), 1 => Just(Precondition::Absence), 2 => one_of]
}

pub(super) fn asked(now: u64) -> impl Strategy<Value = CallPlan> {
    let term = Term::default();
    let body = (prop_oneof![Just(0usize), Just(5), Just(70_000)], any::<bool>());
    let node = || prop_oneof![3 => Just("one"), 1 => Just("two")].prop_map(Node::from);
    let what = (proptest::option::weighted(0.8, object(now)), body, any::<bool>());
    let commit = (node(), upload(), name(), expected(), what).prop_map(
        move |(node, upload, name, expected, (object, body, goes_below))| {
            let (length, travels) = body;
            let bytes = Bytes::from(vec![b'x'; if object.is_some() { length } else { 0 }]);
            let object = object.map(|object| SharedObject { length: length as u64, ..object });
            let body = SharedBody { travels: travels && length < 70_000 && object.is_some(), bytes };
            EngineCall::Commit { term, node, upload, name, expected, object, body, goes_below }
        },
    );
    let bits = any::<(bool, bool, bool)>();
    let held = (name(), version(), proptest::option::weighted(0.7, object(now)), vec((upload(), version()), 0..3), bits);
    let held = held.prop_map(move |(name, version, object, uploads, (has_body, is_kept, goes_below))| {
        let body = (has_body && object.is_some()).then(|| Bytes::from_static(b"asserted"));
        HeldObject { name, indexed: Indexed { version, decided: now, is_kept, object }, uploads, body, goes_below }
    });
    let assert = (node(), vec(held, 0..4)).prop_map(move |(node, held)| EngineCall::Assert { term, node, held });
    let lives = (name(), version(), Just(now + 9_000_000));
    let renew = vec(lives, 0..3).prop_map(move |lives| EngineCall::Renew { term, lives });
    let span = || prop_oneof![2 => Just(0u64), 1 => Just(1_000_000_000)];
    let times = (span(), span(), span(), span()).prop_map(|(claimed, orphaned, put_after, removed_after)| ClaimTimes {
        claimed,
        orphaned,
        put_after,
        removed_after,
    });
    let claim = (node(), times, vec(name(), 0..3), prop_oneof![Just(0u64), Just(1_000)]);
    let claim = claim.prop_map(move |(node, times, names, orphans)| EngineCall::Claim { term, node, times, names, orphans });
    let end = prop_oneof![
        4 => Just(ClaimEnd::Put { expires: now + 7_200_000 }),
        1 => Just(ClaimEnd::Put { expires: now }),
        3 => Just(ClaimEnd::Removed),
        1 => Just(ClaimEnd::Failed),
        1 => Just(ClaimEnd::Missing),
        1 => Just(ClaimEnd::Unfit),
    ];
    // By which it was claimed is known when it has been: see `compare`.
    let settle = (node(), name(), prop_oneof![4 => Just(0u64), 1 => Just(1), 1 => Just(2)], end);
    let settle = settle.prop_map(move |(node, name, number, end)| {
        let version = Version::default();
        EngineCall::Settle { term, node, name, version, number, end }
    });
    let evict = vec(name(), 0..3).prop_map(move |names| EngineCall::Evict {
        term,
        names: names.into_iter().map(|name| (name, Version::default())).collect(),
    });
    let found = (name(), version(), object(now)).prop_map(move |(name, version, object)| {
        let object = Some(SharedObject { is_bare: true, ..object });
        (name, Indexed { version, decided: now, is_kept: true, object })
    });
    let fill = vec(found, 0..3).prop_map(move |found| EngineCall::Fill { term, found });
    let in_term = prop_oneof![
        8 => commit,
        4 => claim,
        4 => settle,
        2 => evict,
        1 => fill,
        2 => assert,
        2 => renew,
        1 => node().prop_map(move |node| EngineCall::Gate { term, node }),
        1 => node().prop_map(move |node| EngineCall::Barrier { term, node }),
    ];
    let part = proptest::option::of((0u64..4, 0u64..9).prop_map(|(start, length)| start..start + length));
    // Long ago, or to come: all between is the clock's.
    let heard = prop_oneof![Just(0), Just(now - 3_600_000), Just(now - 1_800_000), Just(now + 3_600_000)];
    let takeover = (0u32..4, version(), prop_oneof![3 => 0u32..9, 1 => 20u32..40], node(), heard);
    let takeover =
        takeover.prop_map(|(line, known, floor, node, heard)| EngineCall::Takeover { line, known, floor, node, heard });
    let other = prop_oneof![
        1 => takeover,
        1 => version().prop_map(|after| EngineCall::Read { after }),
        1 => Just(EngineCall::Scan),
        2 => (name(), part).prop_map(|(name, part)| EngineCall::Body { name, part }),
    ];
    prop_oneof![6 => in_term.clone().prop_map(CallPlan::InTerm), 1 => in_term.prop_map(CallPlan::Call), 3 => other.prop_map(CallPlan::Call)]
}

/// The call in this term; and about a version that is there, where it has to be.
pub(super) fn in_term(call: EngineCall, now: Term, newest: &[(ObjectName, Version)]) -> EngineCall {
    let standing = |name: &ObjectName| newest.iter().rev().find(|(of, _)| of == name).map_or(Version::default(), |(_, of)| *of);
    match call {
        EngineCall::Commit { node, upload, name, expected, object, body, goes_below, .. } => {
            EngineCall::Commit { term: now, node, upload, name, expected, object, body, goes_below }
        }
        EngineCall::Claim { node, times, names, orphans, .. } => EngineCall::Claim { term: now, node, times, names, orphans },
        EngineCall::Settle { node, name, number, end, .. } => {
            let version = standing(&name);
            EngineCall::Settle { term: now, node, name, version, number, end }
        }
        EngineCall::Evict { names, .. } => {
            let names = names.into_iter().map(|(name, _)| (ObjectName::clone(&name), standing(&name))).collect();
            EngineCall::Evict { term: now, names }
        }
        EngineCall::Fill { found, .. } => EngineCall::Fill { term: now, found },
        EngineCall::Assert { node, held, .. } => EngineCall::Assert { term: now, node, held },
        EngineCall::Gate { node, .. } => EngineCall::Gate { term: now, node },
        EngineCall::Barrier { node, .. } => EngineCall::Barrier { term: now, node },
        EngineCall::Renew { lives, .. } => {
            let of = |(name, version, expires): (ObjectName, Version, u64)| {
                let standing = newest.iter().rev().find(|(of, _)| *of == name).map_or(version, |(_, version)| *version);
                (name, standing, expires)
            };
            EngineCall::Renew { term: now, lives: lives.into_iter().map(of).collect() }
        }
        other => other,
    }
}
