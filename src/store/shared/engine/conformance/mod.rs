//! What holds for every engine: what it answers is what the one in memory answers, whatever it is asked.
//!
//! The real one is started from the program that `SPRINGHEAD_TEST_VALKEY` names; `tests/run` installs it.

mod below;
mod clocks;
mod members;
mod words;

use std::collections::{BTreeMap, VecDeque};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::asked::{CallPlan, asked, in_term};
use super::valkey::{ServerAddress, Valkey, ValkeyAddress};
use super::{Engine, EngineError, EngineLink};
use crate::model::clock::Clock;
use crate::store::shared::lane::whole;
use crate::store::shared::memory::MemoryEngine;
use crate::store::shared::{
    BucketClaim, ClaimEnd, ClaimTimes, Decision, EngineAnswer, EngineCall, Indexed, JournalNews, Journaled, Node, ObjectName,
    Precondition, Reply, SharedBody, SharedObject, TakenTerm, Term, UploadId, Version,
};

/// Sequences of calls that are tried; more with `SPRINGHEAD_MODEL_CASES`.
const CASES: usize = 300;
/// The one lane of these tests.
const LANE: u16 = 3;

/// A server that ends with the test.
struct ValkeyServer {
    child: Child,
    address: ValkeyAddress,
    _folder: tempfile::TempDir,
}

impl ValkeyServer {
    fn start(options: &[&str]) -> Self {
        let program = std::env::var_os("SPRINGHEAD_TEST_VALKEY")
            .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-tools/valkey-server"), PathBuf::from);
        assert!(program.exists(), "{} is not there: tests/run installs it", program.display());
        let folder = tempfile::tempdir().unwrap();
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let mut command = Command::new(program);
        command.arg("--port").arg(port.to_string()).args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
        let child = command.args(options).current_dir(&folder).stdout(Stdio::null()).spawn().unwrap();
        let servers = vec![ServerAddress { host: "127.0.0.1".to_owned(), port }];
        let address = ValkeyAddress {
            servers,
            is_cluster: false,
            tls: None,
            copies: 1,
            user: None,
            password: None,
            prefix: "sh".to_owned(),
        };
        Self { child, address, _folder: folder }
    }

    /// The engine, once it answers; with keys of its own.
    async fn engine(&self, prefix: &str) -> Valkey {
        let engine = Valkey::new(&ValkeyAddress { prefix: prefix.to_owned(), ..self.address.clone() });
        for _ in 0..200 {
            match engine.find(LANE).await {
                Err(EngineError::Unreachable(_)) => tokio::time::sleep(Duration::from_millis(25)).await,
                _ => return engine,
            }
        }
        panic!("it does not answer: {:?}", engine.find(LANE).await);
    }
}

impl Drop for ValkeyServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The node that commits, with nothing that it has heard of.
fn takeover(line: u32, floor: u32) -> EngineCall {
    EngineCall::Takeover { line, known: Version::default(), floor, node: Node::from("one"), heard: 0 }
}

/// Without what differs by nature: what two clocks showed.
fn timeless(mut answered: EngineAnswer) -> EngineAnswer {
    let indexed = |indexed: &mut Indexed| indexed.decided = 0;
    match &mut answered.reply {
        Reply::Steps(steps) => {
            for Journaled { news, .. } in steps {
                if let JournalNews::Object { indexed: of, .. } = news {
                    indexed(of);
                }
            }
        }
        Reply::Taken(taken) => {
            let is_clocks = taken.served.abs_diff(taken.now) < 600_000;
            *taken = TakenTerm { now: 0, began: 0, served: if is_clocks { 1 } else { taken.served }, ..*taken };
        }
        Reply::Gate { are_telling, .. } => *are_telling = false,
        Reply::Claimed { claims, .. } => {
            claims.iter_mut().for_each(|claim| (claim.indexed.decided, claim.number) = (0, 0));
            claims.sort_by(|one, other| one.name.cmp(&other.name));
        }
        Reply::Index { index, uploads, .. } => {
            index.iter_mut().for_each(|(_, of)| indexed(of));
            index.sort_by(|one, other| one.0.cmp(&other.0));
            uploads.sort();
        }
        _ => {}
    }
    EngineAnswer { time: 0, copies: 0, ..answered }
}

/// The numbers of claims that an engine has granted: these differ as its clock does.
#[derive(Default)]
struct ClaimNumbers(BTreeMap<ObjectName, u64>);

impl ClaimNumbers {
    /// A plan says which claim: 0 the last one, 1 one before that, 2 none that there was.
    fn in_call(&self, mut call: EngineCall) -> EngineCall {
        if let EngineCall::Settle { name, number, .. } = &mut call {
            let last = self.0.get(name).copied().unwrap_or_default();
            *number = [last, last.saturating_sub(1), last + 1][usize::try_from(*number).unwrap().min(2)];
        }
        call
    }

    fn told(&mut self, reply: &Reply) {
        if let Reply::Claimed { claims, .. } = reply {
            self.0.extend(claims.iter().map(|claim| (ObjectName::clone(&claim.name), claim.number)));
        }
    }
}

/// Asks both the same things; each time they answer the same.
async fn compare(real: &impl Engine, reference: &MemoryEngine, calls: Vec<CallPlan>) {
    let (primary, _) = real.find(LANE).await.unwrap();
    let mut real = real.link(LANE, &primary).await.unwrap();
    let mut reference = reference.link(LANE, &0).await.unwrap();
    let (mut term, mut newest, mut story) = (Term::default(), Vec::new(), Vec::new());
    let (mut of_real, mut of_reference) = (ClaimNumbers::default(), ClaimNumbers::default());
    let first = takeover(1, 0);
    let all = EngineCall::Follow { after: Version::default() };
    let mut calls: VecDeque<_> =
        [CallPlan::Call(first)].into_iter().chain(calls).chain([CallPlan::Call(EngineCall::Scan), CallPlan::Call(all)]).collect();
    while let Some(call) = calls.pop_front() {
        let call = match call {
            CallPlan::Call(call) => call,
            CallPlan::InTerm(call) => in_term(call, term, &newest),
        };
        let expected = reference.call(&of_reference.in_call(call.clone()), 0).await.unwrap();
        let told = real.call(&of_real.in_call(call.clone()), 0).await.unwrap();
        of_reference.told(&expected.reply);
        of_real.told(&told.reply);
        let (expected, mut told) = (timeless(expected), timeless(told));
        if matches!(call, EngineCall::Follow { .. }) {
            // It comes in parts.
            while let (Reply::Steps(steps), Reply::Steps(of)) = (&mut told.reply, &expected.reply)
                && steps.len() < of.len()
            {
                let after = steps.last().unwrap().at;
                let more = timeless(real.call(&EngineCall::Follow { after }, 0).await.unwrap());
                let Reply::Steps(more) = more.reply else { panic!("{more:?}") };
                steps.extend(more);
            }
        }
        story.push(format!("{call:?}"));
        assert_eq!(told, expected, "after\n{}", story.join("\n"));
        match (&call, &expected.reply) {
            (_, Reply::Taken(taken)) => {
                term = taken.newest.term;
                // Nobody else commits anything in it.
                calls.push_front(CallPlan::InTerm(EngineCall::Gate { term, node: Node::from("one") }));
            }
            (EngineCall::Commit { name, .. }, Reply::Committed { verdict: Decision::Done(version), .. }) => {
                newest.push((ObjectName::clone(name), *version));
            }
            _ => {}
        }
    }
}

#[tokio::test]
async fn valkey_answers_as_the_engine_in_memory_does() {
    let server = ValkeyServer::start(&[]);
    let clock = Clock::system();
    let cases = std::env::var("SPRINGHEAD_MODEL_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(CASES);
    let mut runner = TestRunner::new_with_rng(Config::default(), TestRng::from_seed(RngAlgorithm::ChaCha, &[15; 32]));
    for case in 0..cases {
        let now = clock.wall().millis();
        let calls = vec(asked(now), 1..40).new_tree(&mut runner).unwrap().current();
        let real = server.engine(&format!("case{case}")).await;
        compare(&real, &MemoryEngine::new(1, clock.clone()), calls).await;
    }
}

#[tokio::test]
async fn what_waits_for_the_journal_is_told_as_it_comes() {
    let server = ValkeyServer::start(&[]);
    let clock = Clock::system();
    tell(&server.engine("follow").await, &clock).await;
    tell(&MemoryEngine::new(3, clock.clone()), &clock).await;
}

async fn tell(engine: &impl Engine, clock: &Clock) {
    let (primary, line) = engine.find(LANE).await.unwrap();
    let mut link = engine.link(LANE, &primary).await.unwrap();
    let taken = link.call(&takeover(line, 0), 0).await.unwrap();
    let Reply::Taken(TakenTerm { newest: began, .. }) = taken.reply else { panic!("{taken:?}") };
    let node = Node::from("one");
    link.call(&EngineCall::Gate { term: began.term, node: Node::clone(&node) }, 0).await.unwrap();
    let mut follower = engine.link(LANE, &primary).await.unwrap();
    let follow = tokio::spawn(async move { follower.call(&EngineCall::Follow { after: began }, 0).await });
    tokio::task::yield_now().await;
    let object =
        SharedObject { etag: 1, length: 5, is_bare: false, expires: clock.wall().millis() + 60_000, described: Bytes::new() };
    let (upload, name) = (UploadId(1), ObjectName::from("n/p.m3u8"));
    let body = SharedBody { bytes: Bytes::from_static(b"lines"), travels: true };
    let commit = EngineCall::Commit {
        term: began.term,
        node,
        upload,
        name: ObjectName::clone(&name),
        expected: Precondition::Absence,
        object: Some(object.clone()),
        body,
        goes_below: false,
    };
    let answered = link.call(&commit, 0).await.unwrap();
    let version = Version { commit: began.commit + 1, ..began };
    assert_eq!(answered.reply, Reply::Committed { verdict: Decision::Done(version), commit: version.commit });
    let Reply::Steps(steps) = follow.await.unwrap().unwrap().reply else { panic!("no steps") };
    let [Journaled { at, news: JournalNews::Object { name: of, indexed, upload: by, body } }] = &*steps else {
        panic!("{steps:?}")
    };
    assert_eq!((*at, of, indexed.version, *by, body.as_deref()), (version, &name, version, Some(upload), Some(&b"lines"[..])));
    assert!(indexed.decided.abs_diff(clock.wall().millis()) < 5_000, "as of the engine's clock");
}

/// By the clock of the real one, to which it is said that a name is due.
#[tokio::test]
async fn what_the_bucket_has_is_forgotten_when_the_bucket_is_rid_of_it() {
    let server = ValkeyServer::start(&[]);
    let engine = server.engine("due").await;
    let mut link = engine.link(LANE, &server.address.servers[0]).await.unwrap();
    let taken = link.call(&takeover(1, 6), 0).await.unwrap();
    let Reply::Taken(TakenTerm { newest: Version { term, .. }, .. }) = taken.reply else { panic!("{taken:?}") };
    assert_eq!(term.number, 7, "beyond the floor");
    let node = Node::from("one");
    link.call(&EngineCall::Gate { term, node: Node::clone(&node) }, 0).await.unwrap();
    let expires = Clock::system().wall().millis() + 60_000;
    let times = ClaimTimes { claimed: 60_000, orphaned: 0, put_after: 0, removed_after: 0 };
    for (number, goes_below) in [(0u128, false), (1, true)] {
        let object = SharedObject { etag: 1, length: 0, is_bare: false, expires, described: Bytes::new() };
        let (node, expected, body) = (Node::clone(&node), Precondition::Anything, SharedBody::default());
        let (upload, name) = (UploadId(number), ObjectName::from(format!("n/{number}")));
        let commit = EngineCall::Commit { term, node, upload, name, expected, object: Some(object), body, goes_below };
        link.call(&commit, 0).await.unwrap();
    }
    let claim = EngineCall::Claim { term, node: Node::clone(&node), times, names: Vec::new(), orphans: 9 };
    let Reply::Claimed { claims, .. } = link.call(&claim, 0).await.unwrap().reply else { panic!("no claims") };
    let [BucketClaim { name, indexed, number }] = &*claims else { panic!("{claims:?}") };
    let (name, version, number, end) = (ObjectName::clone(name), indexed.version, *number, ClaimEnd::Put { expires });
    let settle = EngineCall::Settle { term, node: Node::clone(&node), name: ObjectName::clone(&name), version, number, end };
    link.call(&settle, 0).await.unwrap();
    let mut stream = TcpStream::connect(("127.0.0.1", server.address.servers[0].port)).unwrap();
    write!(stream, "ZADD {{due:03}}:d 1 n/0 1 n/1\r\nQUIT\r\n").unwrap();
    stream.read_to_string(&mut String::new()).unwrap();
    link.call(&EngineCall::Barrier { term, node: Node::clone(&node) }, 0).await.unwrap();
    let Reply::Index { index, .. } = link.call(&EngineCall::Scan, 0).await.unwrap().reply else { panic!("no index") };
    assert_eq!(index.iter().map(|(name, kept)| (&**name, kept.is_kept)).collect::<Vec<_>>(), [("n/1", true)]);
    let Reply::Claimed { claims, .. } = link.call(&claim, 0).await.unwrap().reply else { panic!("no claims") };
    assert!(matches!(&*claims, [claim] if claim.name == name), "it waits to be removed there: {claims:?}");
}

#[tokio::test]
async fn a_server_that_has_no_room_says_so_and_goes_on_for_readers() {
    let server = ValkeyServer::start(&["--maxmemory", "3mb"]);
    let engine = server.engine("full").await;
    let mut link = engine.link(LANE, &server.address.servers[0]).await.unwrap();
    let taken = link.call(&takeover(1, 0), 0).await.unwrap();
    let Reply::Taken(TakenTerm { newest: Version { term, .. }, .. }) = taken.reply else { panic!("{taken:?}") };
    let node = Node::from("one");
    link.call(&EngineCall::Gate { term, node: Node::clone(&node) }, 0).await.unwrap();
    let expires = Clock::system().wall().millis() + 60_000;
    let commit = |upload: u128, name: String, body: Vec<u8>| {
        let length = body.len() as u64;
        let object = Some(SharedObject { etag: 1, length, is_bare: false, expires, described: Bytes::new() });
        let body = SharedBody { bytes: Bytes::from(body), travels: false };
        let (upload, name, expected, node) =
            (UploadId(upload), ObjectName::from(name), Precondition::Anything, Node::clone(&node));
        EngineCall::Commit { term, node, upload, name, expected, object, body, goes_below: false }
    };
    let mut stored = 0;
    let refused = loop {
        match link.call(&commit(stored, format!("n/{stored}"), vec![7; 200_000]), 0).await.unwrap().reply {
            Reply::Committed { verdict: Decision::Done(_), .. } => stored += 1,
            reply => break reply,
        }
        assert!(stored < 100, "it takes everything");
    };
    let no_room = Reply::Committed { verdict: Decision::NoRoom, commit: 0 };
    assert_eq!(refused, no_room);
    // Nothing has come of it, nor of what would take the place of another; and what an earlier try has done is told.
    let Reply::Index { at, index: before, .. } = link.call(&EngineCall::Scan, 0).await.unwrap().reply else { panic!("no index") };
    assert_eq!(before.len() as u128, stored);
    let over = link.call(&commit(100, "n/0".to_owned(), vec![8; 300_000]), 0).await.unwrap().reply;
    assert_eq!(over, no_room);
    let body = link.call(&EngineCall::Body { name: ObjectName::from("n/0"), part: None }, 0).await.unwrap().reply;
    assert!(matches!(&body, Reply::Body(Some((_, bytes))) if *bytes == vec![7; 200_000]), "it stands as it was");
    let again = link.call(&commit(0, "n/0".to_owned(), vec![7; 200_000]), 0).await.unwrap().reply;
    assert!(
        matches!(again, Reply::Committed { verdict: Decision::Done(version), .. } if version.commit <= at.commit),
        "{again:?}"
    );
    // That all is known that the bucket has is said all the same.
    let said = link.call(&commit(1 << 64, whole("n").to_string(), Vec::new()), 0).await.unwrap().reply;
    assert!(matches!(said, Reply::Committed { verdict: Decision::Done(_), .. }), "{said:?}");
    let barrier = link.call(&EngineCall::Barrier { term, node: Node::from("one") }, 0).await.unwrap();
    assert!(matches!(barrier.reply, Reply::Barrier { .. }), "{barrier:?}");
    let body = link.call(&EngineCall::Body { name: ObjectName::from("n/0"), part: Some(10..20) }, 0).await.unwrap();
    assert!(matches!(body.reply, Reply::Body(Some((_, bytes))) if *bytes == [7; 10]));
}

#[tokio::test]
async fn a_server_that_is_not_as_it_has_to_be_is_refused_with_the_reason() {
    let evicts = ValkeyServer::start(&["--maxmemory-policy", "allkeys-lru"]);
    let Err(EngineError::Unfit(said)) = evicts.engine("x").await.find(LANE).await else { panic!("it is taken") };
    assert!(said.contains("noeviction"), "{said}");
    let closed = ValkeyServer::start(&["--requirepass", "of-the-engine"]);
    let unnamed = closed.engine("x").await;
    let Err(EngineError::Unfit(said)) = unnamed.find(LANE).await else { panic!("it lets anybody in") };
    assert!(!said.contains("of-the-engine"), "{said}");
    let wrong = Valkey::new(&ValkeyAddress { password: Some(Arc::from("not-this-one")), ..closed.address.clone() });
    let Err(EngineError::Unfit(said)) = wrong.find(LANE).await else { panic!("it takes any password") };
    assert!(!said.contains("not-this-one"), "{said}");
    let right = Valkey::new(&ValkeyAddress { password: Some(Arc::from("of-the-engine")), ..closed.address.clone() });
    assert!(right.find(LANE).await.is_ok());
}
