//! What concerns the bucket below and comes too seldom by chance.

use super::*;
use crate::store::shared::HeldObject;

const FAR: u64 = 1 << 42;

fn name() -> ObjectName {
    ObjectName::from("n/a.ts")
}

fn object() -> SharedObject {
    SharedObject { etag: 1, length: 8, is_bare: false, expires: FAR, described: Bytes::new() }
}

fn version(commit: u64) -> Version {
    Version { term: Term { number: 1, line: 1 }, commit }
}

fn assert(is_kept: bool, body: Option<Bytes>) -> CallPlan {
    let indexed = Indexed { version: version(1), decided: 0, is_kept, object: Some(object()) };
    let held = HeldObject { name: name(), indexed, uploads: Vec::new(), body, goes_below: true };
    CallPlan::InTerm(EngineCall::Assert { term: Term::default(), node: Node::from("one"), held: vec![held] })
}

/// Both do it alike; and what the one in memory has of the name then.
async fn stands(server: &ValkeyServer, prefix: &str, calls: Vec<CallPlan>) -> Indexed {
    let reference = MemoryEngine::new(1, Clock::system());
    compare(&server.engine(prefix).await, &reference, calls).await;
    let mut link = reference.link(LANE, &0).await.unwrap();
    let Reply::Index { index, .. } = link.call(&EngineCall::Scan, 0).await.unwrap().reply else { panic!("no index") };
    index.into_iter().find_map(|(of, indexed)| (of == name()).then_some(indexed)).expect("it stands")
}

#[tokio::test]
async fn of_nodes_that_assert_the_same_version_the_one_counts_that_knows_of_the_bucket() {
    let server = ValkeyServer::start(&[]);
    let known = stands(&server, "asserted", vec![assert(false, None), assert(true, None)]).await;
    assert!(known.is_cold(), "{known:?}");
    let known = stands(&server, "body", vec![assert(false, None), assert(true, Some(Bytes::from_static(b"asserted")))]).await;
    assert!(known.is_kept && !known.is_cold(), "{known:?}");
}

#[tokio::test]
async fn a_claim_that_is_over_frees_the_name_when_those_before_it_are() {
    let server = ValkeyServer::start(&[]);
    let (term, claimed) = (Term::default(), 60_000);
    let times = ClaimTimes { claimed, orphaned: 0, put_after: 0, removed_after: 0 };
    let commit = |upload: u128, is_removal: bool| {
        let (node, upload, expected) = (Node::from("one"), UploadId(upload), Precondition::Anything);
        let (object, body) = ((!is_removal).then(object), SharedBody::default());
        CallPlan::InTerm(EngineCall::Commit { term, node, upload, name: name(), expected, object, body, goes_below: true })
    };
    let claim =
        |node: &str| CallPlan::InTerm(EngineCall::Claim { term, node: Node::from(node), times, names: vec![name()], orphans: 0 });
    let settle = |node: &str, end: ClaimEnd| {
        let (node, version) = (Node::from(node), Version::default());
        CallPlan::InTerm(EngineCall::Settle { term, node, name: name(), version, number: 0, end })
    };
    let gate = CallPlan::InTerm(EngineCall::Gate { term, node: Node::from("two") });
    let removal = || vec![commit(2, true), claim("two"), settle("two", ClaimEnd::Removed)];
    let put = || vec![commit(1, false), claim("one"), settle("one", ClaimEnd::Put { expires: FAR })];
    let once = [vec![gate.clone()], put(), removal()].concat();
    assert!(stands(&server, "once", once).await.is_kept, "it is removed by the other");
    let failed = vec![claim("one"), settle("one", ClaimEnd::Failed)];
    let twice = [vec![gate, commit(1, false)], failed, put(), removal()].concat();
    assert!(!stands(&server, "twice", twice).await.is_kept, "nobody else may yet");
}

#[tokio::test]
async fn what_was_stored_before_there_was_a_bucket_outlasts_what_an_earlier_engine_has_left_there() {
    let server = ValkeyServer::start(&[]);
    let (floor, now) = (1_700_000_000, Clock::system().wall().millis());
    let commit = || {
        let (term, node, upload, expected) = (Term::default(), Node::from("one"), UploadId(1), Precondition::Anything);
        let (object, body) = (Some(object()), SharedBody::default());
        CallPlan::InTerm(EngineCall::Commit { term, node, upload, name: name(), expected, object, body, goes_below: false })
    };
    let takeover = CallPlan::Call(takeover(1, floor));
    let fill = |number: u32, decided: u64| {
        let version = Version { term: Term { number, line: 9 }, commit: 70 };
        let object = Some(SharedObject { is_bare: true, ..object() });
        let found = vec![(name(), Indexed { version, decided, is_kept: true, object })];
        CallPlan::InTerm(EngineCall::Fill { term: Term::default(), found })
    };
    let (older, later) = (now - 3_600_000, now + 3_600_000);
    let known = stands(&server, "older", vec![commit(), takeover.clone(), fill(floor, older)]).await;
    assert!(!known.is_kept && known.version.term.number == 1, "{known:?}");
    let known = stands(&server, "later", vec![commit(), takeover, fill(floor, later)]).await;
    assert!(known.is_cold() && known.version.term.number == floor, "{known:?}");
}
