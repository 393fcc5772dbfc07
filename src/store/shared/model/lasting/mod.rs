//! What was acknowledged as being in the bucket below outlives the engine and all nodes: engine, nodes and bucket, one thing at a time and in any
//! order.
//!
//! The engine is one copy that may come back empty at any moment, or be followed by a copy that has lost what it was told last; nodes die and
//! others come. A request to the bucket is performed at any moment until the claim that allowed it is over, whether or not anybody waits for its
//! answer any more. In the end all of it is lost but the bucket, and what an engine gets back from that is held against what was acknowledged.
//!
//! Of time it knows what the protocol rests on: a request that was given up is over when its claim is.

mod directed;

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::any;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use crate::model::clock::WallTime;
use crate::store::cold::VersionMark;
use crate::store::cold::cloud::{BucketAsk, BucketFound, BucketSaid, BucketState, BucketWrite, BucketWriteEnd};
use crate::store::shared::engine::packed;
use crate::store::shared::memory::CopyTables;
use crate::store::shared::safeguards::{Safeguard, Safeguards};
use crate::store::shared::{
    BucketClaim, ClaimEnd, ClaimTimes, Decision, EngineCall, Indexed, Node, ObjectName, Precondition, Reply, SharedBody,
    SharedObject, Term, UploadId, Version,
};

/// As time goes in this world, by steps of one.
const TIMES: ClaimTimes = ClaimTimes { claimed: 8, orphaned: 0, put_after: 6, removed_after: 9 };
/// A removal is over within that since it was claimed, a write within a claim.
const REMOVED_WITHIN: u64 = 5;
const NAMES: [&str; 2] = ["n/a", "n/b"];
const NODES: [&str; 2] = ["one", "two"];

/// What can be taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LastingRule {
    /// Claims, and that none is granted while those of another term may be in force.
    Claims,
    /// A write goes over what was seen, and nothing else.
    Condition,
    /// Terms begin beyond all that may be in the bucket.
    Floor,
    /// A version is acknowledged when the engine has taken note that the bucket has it; not when it was only sent.
    Settled,
}

/// A job of a node's: one object, from claim to settlement.
#[derive(Clone, Debug)]
struct LastingJob {
    node: usize,
    name: usize,
    indexed: Indexed,
    number: u64,
    write: BucketWrite,
    is_put: bool,
    claimed: u64,
    /// Its request is on its way.
    is_asking: bool,
    end: Option<ClaimEnd>,
}

/// A request at the bucket that nobody waits for any more, or somebody does.
#[derive(Clone, Debug)]
struct LastingRequest {
    job: Option<u64>,
    name: usize,
    ask: BucketAsk,
    version: VersionMark,
    expires: u64,
    decided: u64,
    /// It is performed before that or never.
    until: u64,
}

/// Of each name the version, until when it lives, in which state it is, and when it was decided.
type BucketTable = BTreeMap<usize, (VersionMark, u64, u64, u64)>;

#[derive(Debug, Default)]
struct LastingWorld {
    tables: CopyTables,
    /// A copy that may take its place, as it was some time ago.
    behind: CopyTables,
    bucket: BucketTable,
    states: u64,
    jobs: BTreeMap<u64, LastingJob>,
    requests: Vec<LastingRequest>,
    next: u64,
    now: u64,
    line: u32,
    term: Term,
    /// All that was ever committed, by name: each version, and whether it is a removal.
    committed: Vec<BTreeMap<Version, bool>>,
    /// What was acknowledged as lasting.
    acknowledged: Vec<Option<Version>>,
    story: Vec<String>,
}

struct LastingSetting {
    without: Option<LastingRule>,
}

impl LastingSetting {
    fn has(&self, rule: LastingRule) -> bool {
        self.without != Some(rule)
    }

    fn safeguards(&self) -> Safeguards {
        if self.has(LastingRule::Claims) { Safeguards::default() } else { Safeguards::without(Safeguard::Claims) }
    }
}

fn name(number: usize) -> ObjectName {
    ObjectName::from(NAMES[number])
}

impl LastingWorld {
    fn new(setting: &LastingSetting) -> Self {
        let none = (0..NAMES.len()).map(|_| BTreeMap::new()).collect();
        let mut world = Self { committed: none, acknowledged: vec![None; NAMES.len()], now: 1_000, ..Self::default() };
        world.begin(setting);
        world
    }

    fn call(&mut self, call: &EngineCall, setting: &LastingSetting) -> Reply {
        self.tables.perform(call, self.now, 100, setting.safeguards())
    }

    /// Another term, on a primary that has whatever it has. Nodes are new, and know nothing.
    fn begin(&mut self, setting: &LastingSetting) {
        self.line += 1;
        let floor = if setting.has(LastingRule::Floor) { u32::try_from(self.now).unwrap() } else { 0 };
        let takeover = EngineCall::Takeover {
            line: 1_000 - self.line,
            known: Version::default(),
            floor,
            node: Node::from(NODES[0]),
            heard: 0,
        };
        let Reply::Taken(taken) = self.call(&takeover, setting) else { panic!("it begins no term") };
        self.term = taken.newest.term;
        for node in NODES {
            self.call(&EngineCall::Gate { term: self.term, node: Node::from(node) }, setting);
        }
    }

    fn commit(&mut self, number: usize, node: usize, is_removal: bool, setting: &LastingSetting) {
        self.next += 1;
        let object =
            SharedObject { etag: u128::from(self.next), length: 0, is_bare: false, expires: 1 << 40, described: Bytes::new() };
        let call = EngineCall::Commit {
            term: self.term,
            node: Node::from(NODES[node]),
            upload: UploadId(u128::from(self.next)),
            name: name(number),
            expected: Precondition::Anything,
            object: (!is_removal).then_some(object),
            body: SharedBody::default(),
            goes_below: true,
        };
        if let Reply::Committed { verdict: Decision::Done(version), .. } = self.call(&call, setting) {
            self.committed[number].insert(version, is_removal);
            self.story.push(format!("{} {} is committed, {is_removal}", NAMES[number], version.commit));
        }
    }

    fn claim(&mut self, number: usize, node: usize, setting: &LastingSetting) {
        let (names, claimer) = (vec![name(number)], Node::from(NODES[node]));
        let claim = EngineCall::Claim { term: self.term, node: claimer, times: TIMES, names, orphans: 0 };
        let Reply::Claimed { claims, .. } = self.call(&claim, setting) else { return };
        for BucketClaim { indexed, number: of_claim, .. } in claims {
            let version = VersionMark(packed::version(indexed.version));
            let is_put = indexed.object.is_some();
            let expires = WallTime::from_millis(1);
            let write = if is_put { BucketWrite::put(version, expires, None) } else { BucketWrite::removal(version) };
            self.next += 1;
            self.story.push(format!("{} claims {} {}, {}", NODES[node], NAMES[number], indexed.version.commit, self.next));
            let (claimed, is_asking, end) = (self.now, false, None);
            let job = LastingJob { node, name: number, indexed, number: of_claim, write, is_put, claimed, is_asking, end };
            self.jobs.insert(self.next, job);
        }
    }

    /// A job sends its next request, where it has time enough left.
    fn ask(&mut self, id: u64) {
        let Some(job) = self.jobs.get_mut(&id).filter(|job| !job.is_asking && job.end.is_none()) else { return };
        let until = job.claimed + if job.is_put { TIMES.claimed } else { REMOVED_WITHIN };
        if until < self.now {
            job.end = Some(ClaimEnd::Failed);
            return;
        }
        job.is_asking = true;
        let version = VersionMark(packed::version(job.indexed.version));
        let ask = job.write.next().clone();
        self.story.push(format!("{id} asks {ask:?}"));
        let decided = job.indexed.decided;
        self.requests.push(LastingRequest { job: Some(id), name: job.name, ask, version, expires: 1, decided, until });
    }

    /// The bucket performs a request, and answers, if anybody still listens and nothing is lost on the way.
    fn perform(&mut self, number: usize, is_lost: bool, setting: &LastingSetting) {
        if self.requests.is_empty() {
            return;
        }
        let request = self.requests.remove(number % self.requests.len());
        if request.until < self.now {
            return;
        }
        let there = self.bucket.get(&request.name).copied();
        let state = |at: u64| BucketState { tag: Some(at.to_string()), generation: None };
        let said = match &request.ask {
            BucketAsk::Find => BucketSaid::Found(there.map(|(version, expires, at, _)| BucketFound {
                version,
                expires: WallTime::from_millis(expires),
                state: state(at),
            })),
            BucketAsk::Put(over) => {
                if there.map(|(_, _, at, _)| state(at)) == *over || !setting.has(LastingRule::Condition) {
                    self.states += 1;
                    self.bucket.insert(request.name, (request.version, request.expires, self.states, request.decided));
                    BucketSaid::Put(Some(state(self.states)))
                } else {
                    BucketSaid::Put(None)
                }
            }
            BucketAsk::Delete => {
                self.bucket.remove(&request.name);
                BucketSaid::Deleted
            }
        };
        self.story.push(format!("the bucket does {:?} of {:?}, lost {is_lost}", request.ask, request.job));
        let Some(job) = request.job.filter(|_| !is_lost).and_then(|id| self.jobs.get_mut(&id)) else { return };
        job.is_asking = false;
        job.end = job.write.told(said).map(|end| match (end, job.is_put) {
            (BucketWriteEnd::Made(_), true) => ClaimEnd::Put { expires: 1 << 40 },
            (BucketWriteEnd::Made(_), false) => ClaimEnd::Removed,
            _ => ClaimEnd::Failed,
        });
    }

    /// A job that has come to its end says so at the engine; what that takes note of is acknowledged.
    fn settle(&mut self, id: u64, setting: &LastingSetting) {
        let Some(job) = self.jobs.get(&id).cloned() else { return };
        let is_sent = job.is_asking && !setting.has(LastingRule::Settled);
        let Some(end) = job.end.or(is_sent.then_some(ClaimEnd::Put { expires: 1 << 40 })) else { return };
        self.jobs.remove(&id);
        self.say(&job, end, setting);
        let standing = self.tables.standing(&name(job.name));
        if let Some(kept) = standing.filter(|standing| standing.is_kept).map(|standing| standing.version) {
            let known = &mut self.acknowledged[job.name];
            *known = (*known).max(Some(kept));
            self.story.push(format!("{} {} is acknowledged", NAMES[job.name], kept.commit));
        }
    }

    fn say(&mut self, job: &LastingJob, end: ClaimEnd, setting: &LastingSetting) {
        let (node, of, version) = (Node::from(NODES[job.node]), name(job.name), job.indexed.version);
        let settle = EngineCall::Settle { term: self.term, node, name: of, version, number: job.number, end };
        self.call(&settle, setting);
    }

    /// A job's node gives it up, or dies: what it has sent is performed or not.
    fn give_up(&mut self, id: u64, is_dead: bool, setting: &LastingSetting) {
        let Some(job) = self.jobs.remove(&id).filter(|_| !is_dead) else { return };
        self.say(&job, ClaimEnd::Failed, setting);
        self.story.push(format!("{id} is given up"));
    }

    /// The engine comes back with nothing, or with what a copy had. Nodes assert nothing: those that go on with a job do not know of it yet.
    fn lose_engine(&mut self, is_all: bool, is_with_nodes: bool, setting: &LastingSetting) {
        self.story.push(format!("the engine is lost, all of it {is_all}"));
        self.tables = if is_all { CopyTables::default() } else { self.behind.clone() };
        self.behind = self.tables.clone();
        if is_with_nodes {
            self.jobs.clear();
        }
        self.begin(setting);
        // In a bucket nothing is left of a removal: a copy that had not heard of it, and nobody who could tell, has the object still.
        for number in 0..NAMES.len() {
            let standing = self.tables.standing(&name(number)).map(|standing| standing.version);
            let is_removal = |version: Version| self.committed[number].get(&version) == Some(&true);
            let is_forgotten = |version: &Version| is_removal(*version) && standing.is_some_and(|standing| standing < *version);
            self.acknowledged[number] = self.acknowledged[number].filter(|version| !is_forgotten(version));
        }
    }

    fn fill(&mut self, setting: &LastingSetting) {
        let indexed = |(number, (mark, _, _, decided)): (&usize, &(VersionMark, u64, u64, u64))| {
            let version = packed::read_version(&mark.0).unwrap();
            let object = SharedObject { etag: 0, length: 0, is_bare: true, expires: 1 << 40, described: Bytes::new() };
            (name(*number), Indexed { version, decided: *decided, is_kept: true, object: Some(object) })
        };
        let found: Vec<_> = self.bucket.iter().map(indexed).collect();
        self.call(&EngineCall::Fill { term: self.term, found }, setting);
    }

    /// Everything but the bucket is lost; what is there then is what was acknowledged, or what came after it.
    fn check(&mut self, setting: &LastingSetting) -> Result<(), String> {
        // What is on its way still may come, for as long as it may.
        while !self.requests.is_empty() {
            self.perform(0, true, setting);
        }
        self.tables = CopyTables::default();
        self.now += 100;
        self.begin(setting);
        self.fill(setting);
        for (number, acknowledged) in self.acknowledged.iter().enumerate() {
            let Some(acknowledged) = acknowledged else { continue };
            let there = self.tables.standing(&name(number)).map(|there| there.version);
            let is_fine = match there {
                Some(there) => there >= *acknowledged && self.committed[number].get(&there) == Some(&false),
                // A removal, that or a later one.
                None => self.committed[number].range(*acknowledged..).any(|(_, is_removal)| *is_removal),
            };
            if !is_fine {
                return Err(format!("{}: {acknowledged:?} was acknowledged, and {there:?} is there", NAMES[number]));
            }
        }
        Ok(())
    }
}

fn run(setting: &LastingSetting, choices: &[(u8, u8)]) -> Result<(), String> {
    let mut world = LastingWorld::new(setting);
    for (what, which) in choices {
        let which = usize::from(*which);
        let (number, node) = (which % NAMES.len(), which / NAMES.len() % NODES.len());
        let ids: Vec<u64> = world.jobs.keys().copied().collect();
        let id = ids.get(which % ids.len().max(1)).copied();
        match what % 32 {
            0..4 => world.commit(number, node, false, setting),
            4..6 => world.commit(number, node, true, setting),
            6..12 => world.claim(number, node, setting),
            12..18 => id.into_iter().for_each(|id| world.ask(id)),
            18..23 => world.perform(which, which % 11 == 0, setting),
            23..26 => id.into_iter().for_each(|id| world.settle(id, setting)),
            26 => id.into_iter().for_each(|id| world.give_up(id, which % 5 == 0, setting)),
            27 => world.lose_engine(which % 3 > 0, which % 5 > 1, setting),
            28 => world.behind = world.tables.clone(),
            29 => world.fill(setting),
            _ => {}
        }
        // Time passes now and then, a little or for long.
        world.now += [0, 0, 1, 1, 2, 8][usize::from(what / 32) % 6];
    }
    world.check(setting).map_err(|wrong| format!("{}\n{wrong}", world.story.join("\n")))
}

fn search(without: Option<LastingRule>, cases: u32, shrinks: u32) -> Result<(), String> {
    let cases = std::env::var("SPRINGHEAD_MODEL_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(cases);
    let config = Config { cases, failure_persistence: None, max_shrink_iters: shrinks, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &[23; 32]));
    let setting = LastingSetting { without };
    let found =
        runner.run(&vec((any::<u8>(), any::<u8>()), 0..160), |choices| run(&setting, &choices).map_err(TestCaseError::fail));
    match found {
        Ok(()) => Ok(()),
        Err(TestError::Fail(story, choices)) => Err(format!("{story}\n{choices:?}")),
        Err(TestError::Abort(reason)) => panic!("{reason}"),
    }
}

#[test]
fn what_was_acknowledged_as_lasting_outlives_engine_and_nodes() {
    if let Err(story) = search(None, 15_000, 50_000) {
        panic!("{story}");
    }
}

#[test]
fn without_any_of_these_rules_something_is_lost() {
    for rule in [LastingRule::Claims, LastingRule::Condition, LastingRule::Floor, LastingRule::Settled] {
        let found = search(Some(rule), 200_000, 0);
        assert!(found.is_err(), "without {rule:?} nothing goes wrong");
    }
}
