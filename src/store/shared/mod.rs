//! What several nodes share: one order of commits for every lane, kept by an engine that is not ours.
//!
//! The engine, Valkey, holds an index, a journal and the bodies on a primary and its replicas. It copies from one to the others in its own
//! time and may elect any of them: alone it is not consistent. What makes it so is here, for one lane and one node a `Lane`: a machine
//! without input or output that is told what the engine answered and says what to ask it next. Four rules carry it:
//!
//! 1. What is answered was on a majority of the copies: each write is followed by a `WAIT` on its own connection ([`EngineAnswer::copies`]).
//! 2. A read is served when a [`barrier`] that began after it has ended, and the node's [`index`] has followed that far.
//! 3. After a change of primary each node [asserts](session) again what it holds and the new primary has lost.
//! 4. Nobody serves from a new primary before all [`members`] have done so: the gate.
//!
//! Invariants: linearizable for each key, and an older version is never told after a newer one, whatever single fault there is. A
//! [`Version`] is of one commit and no other, on whatever primary. Nothing here reads a clock; the engine's is used for expiry alone.
//!
//! A [driver] gives each lane its connections, and a [`SharedStore`] has all lanes of a node. There are two [engines](engine): Valkey, a
//! server by itself or a cluster of them; and one in memory, with which a model shows what these rules are good for and that none can be spared, and against
//! which the other is held. Beside objects there are [texts]. What still grows on another node is asked of [that one](peers). What all nodes may store together is their [budget].
//! What a bucket has and nobody can read is [left alone](left_alone).

mod barrier;
mod below;
mod bodies;
mod bucket;
mod budget;
mod changes;
mod commit;
mod described;
mod driver;
mod engine;
mod errands;
mod fill;
mod handle;
mod index;
mod keep;
mod lane;
mod left_alone;
mod links;
mod lost;
mod members;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod model;
mod own_writes;
mod pace;
mod peers;
#[cfg(test)]
mod rig;
mod room;
mod roster;
mod safeguards;
mod session;
mod share;
mod silence;
mod standing;
mod taken;
mod texts;
mod time;
mod upkeep;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

pub use self::below::SharedNamespace;
pub(in crate::store) use self::bucket::{BucketPlace, OpenBucket};
pub use self::changes::{KnownShared, SharedChange, SharedFollower, SharedNews, SharedVersion, UploadNumber};
pub use self::described::{DescribedShared, Replaces};
pub use self::engine::valkey::{
    EngineReport, EngineTls, NodeReport, PooledWords, PrimaryMove, ServerAddress, ServerReport, ValkeyAddress,
};
pub use self::peers::{PeerBody, Peers};
pub use self::roster::NodeIdentity;
pub use self::share::{COMMIT_WITHIN, ExpectedShared, Freshness, NewVersion, SharedOutcome, SharedStore};
use self::taken::TakenTerm;
pub use self::upkeep::{balance, examine, pooled};

/// A time in which one primary orders the commits of a lane. Ordered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Term {
    /// One more than that of any term its first node knew.
    number: u32,
    /// The beginning of the primary's replication id: two primaries that know nothing of each other may come to the same number, and what
    /// they commit is to differ in version all the same.
    line: u32,
}

impl Term {
    /// Whether it has begun where this floor was not known: floors are seconds since 1970, and so are the numbers of terms that begin
    /// beyond one.
    fn is_far_below(self, floor: u32) -> bool {
        u64::from(self.number) * 2 < u64::from(floor)
    }
}

/// Which commit of a lane: of an object, what tells its versions apart and orders them; of the journal, a place in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Version {
    term: Term,
    /// Counts commits, through all terms.
    commit: u64,
}

/// A namespace and a key in it, as the engine's index names an object.
type ObjectName = Arc<str>;
/// A node: one process, and [what it says of itself](NodeIdentity).
type Node = Arc<str>;
/// Milliseconds since 1970 by the engine's clock.
type EngineTime = u64;

/// An upload, everywhere and for ever: what makes a commit that is sent again the same commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct UploadId(u128);

/// A version of an object as the engine keeps it, without its bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct SharedObject {
    /// The hash of its bytes, which is its entity tag.
    etag: u128,
    /// How many these are.
    length: u64,
    /// Its bytes are not at the engine: whoever asserted it had them no more. Whoever has them still asserts them too.
    is_bare: bool,
    /// From then on it does not exist.
    expires: EngineTime,
    /// What else readers are told of it: no matter of the engine's.
    described: Bytes,
}

/// What an index knows of a name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Indexed {
    version: Version,
    /// When it was committed, by the engine's clock: what follows from it is as of then, on every node.
    decided: EngineTime,
    /// The bucket below has it so: this version, or of a removal nothing.
    is_kept: bool,
    /// `None`: it was removed. That is kept for as long as anybody might still hold an older version.
    object: Option<SharedObject>,
}

/// What a write asks of the version that is there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Precondition {
    /// Nothing.
    Anything,
    /// That there is none.
    Absence,
    /// That there is one, with one of these tags.
    OneOf(Vec<u128>),
}

/// What the engine has made of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Decision {
    /// It is this version.
    Done(Version),
    /// What it expects is not so. Final: whatever of it may still be on its way changes nothing.
    Unexpected,
    /// It removes what is not there.
    Absent,
    /// The engine's memory is full. Nothing has happened, and nothing will: it is not remembered either.
    NoRoom,
}

/// A step of the journal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Journaled {
    at: Version,
    news: JournalNews,
}

/// What a step of the journal says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum JournalNews {
    /// A term begins, or the count of commits goes on from a higher one.
    Term,
    /// A name has got another version: by a commit, or by an assertion. It carries its own version, which in the second case is not the
    /// step's. So do the bytes, where whoever committed it [said so](SharedBody::travels).
    Object { name: ObjectName, indexed: Indexed, upload: Option<UploadId>, body: Option<Bytes> },
    /// That version of a name lives longer.
    Renewed { name: ObjectName, version: Version, expires: EngineTime },
    /// Whether the bucket below has that version of a name, and whether the engine has its bytes.
    Moved { name: ObjectName, version: Version, is_kept: bool, is_bare: bool },
}

/// The bytes of an object that is committed.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct SharedBody {
    bytes: Bytes,
    /// Whether they go with the journal, so that each node has them at once. Others are fetched when somebody asks for them.
    travels: bool,
}

/// What a node knows of a name and asserts to a primary.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct HeldObject {
    name: ObjectName,
    indexed: Indexed,
    /// The uploads by which the name got this version and earlier ones. Believed only where this version stands: where it came too late,
    /// another commit has been judged as if they had not been.
    uploads: Vec<(UploadId, Version)>,
    /// Its bytes, where the node has them.
    body: Option<Bytes>,
    /// Whether there is a bucket below that is to have it.
    goes_below: bool,
}

/// How long what concerns the bucket below lasts, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct ClaimTimes {
    /// What is claimed is nobody else's for so long: whoever claims has no request under way at the bucket after that.
    claimed: u64,
    /// What has waited for so long without being claimed is whoever's.
    orphaned: u64,
    /// When a term begins claims of the one before may be lost: for so long nothing is put, and nothing removed.
    put_after: u64,
    removed_after: u64,
}

/// How long what can't be brought to the bucket, as nobody has its bytes, is let be, in milliseconds; beside the time after which anything is
/// whoever's.
#[cfg(test)]
const AWAY: EngineTime = 120_000;

/// What a node has claimed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct BucketClaim {
    name: ObjectName,
    /// As it stands.
    indexed: Indexed,
    /// Which claim of that name: until when it stands, as the engine's clock has it. A later one of the same node has a higher one.
    number: EngineTime,
}

/// How it went with what a node had claimed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum ClaimEnd {
    /// The bucket has that version, which lives until then at least.
    Put { expires: EngineTime },
    /// The bucket has nothing of it any more.
    Removed,
    /// It is to be tried again. A request may still be under way.
    Failed,
    /// Nobody has its bytes, as far as the node can tell. It is to be tried again in a while.
    Missing,
    /// The bucket will never take it.
    Unfit,
}

/// What a node asks of a primary: each is one function of the engine's library, and happens there at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum EngineCall {
    /// Begins a term, unless this primary's has begun, is not behind what the caller knows, and is not [far below](Term::is_far_below) `floor`.
    /// One that begins has a number beyond that. The node is announced: a gate waits for it from then on, as long as it tells something.
    /// `heard`: what the engine's clock showed when it last had all there was.
    Takeover { line: u32, known: Version, floor: u32, node: Node, heard: EngineTime },
    /// The journal behind a place in it.
    Read { after: Version },
    /// The same, once there is something.
    Follow { after: Version },
    /// All of the index.
    Scan,
    /// Stores what is newer than what is there; a sign of a node that tells what it holds.
    Assert { term: Term, node: Node, held: Vec<HeldObject> },
    /// Says that this node has asserted what it held, and asks who has: it is a member from then on.
    Gate { term: Term, node: Node },
    /// Asks for the newest commit, and who the members are; a sign of life of this node. Refused as [`EngineCall::Commit`] is.
    Barrier { term: Term, node: Node },
    /// Makes an object's next version, `None` its removal; or tells again what it made of this upload. Refused to who is no member any more, as
    /// if the term were another one. What `goes_below` waits to be in the bucket from then on; the removal of what is not here too, for the
    /// bucket may have it.
    Commit {
        term: Term,
        node: Node,
        upload: UploadId,
        name: ObjectName,
        expected: Precondition,
        object: Option<SharedObject>,
        body: SharedBody,
        goes_below: bool,
    },
    /// Claims these of what waits to be in the bucket, or to be removed there, and so many of what has waited long: for this node alone.
    Claim { term: Term, node: Node, times: ClaimTimes, names: Vec<ObjectName>, orphans: u64 },
    /// Says how it went with the claim of that number.
    Settle { term: Term, node: Node, name: ObjectName, version: Version, number: EngineTime, end: ClaimEnd },
    /// Gives back the engine's memory for the bytes of these versions, as far as the bucket has them.
    Evict { term: Term, names: Vec<(ObjectName, Version)> },
    /// Takes note of what the bucket has, where nothing newer is known, and nothing that [outlasts](Indexed::outlasts) it.
    Fill { term: Term, found: Vec<(ObjectName, Indexed)> },
    /// Lets these versions live until then at least, where they still stand.
    Renew { term: Term, lives: Vec<(ObjectName, Version, EngineTime)> },
    /// The bytes of an object, or a part of them.
    Body { name: ObjectName, part: Option<Range<u64>> },
}

impl EngineCall {
    /// Whether it changes anything at the engine, and so whether `WAIT` means anything after it. Each function that is one writes in any
    /// case: `WAIT` after a call that wrote nothing returns at once.
    fn is_write(&self) -> bool {
        !matches!(self, Self::Read { .. } | Self::Follow { .. } | Self::Scan | Self::Body { .. })
    }
}

/// What a primary says to it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Reply {
    /// To a takeover: the term that is in force.
    Taken(TakenTerm),
    /// To a reading: all there is, in order.
    Steps(Vec<Journaled>),
    /// To a reading: that place is not in this journal. It was cut off at its beginning, or it is another primary's.
    NoSuchPlace,
    /// To a scan: the index and what uploads became, and the newest commit in it.
    Index { at: Version, index: Vec<(ObjectName, Indexed)>, uploads: Vec<(UploadId, ObjectName, Version)> },
    /// To an assertion: the names in it that another history has overtaken, as an upload of theirs was judged otherwise in this one.
    HasAsserted { overtaken: Vec<ObjectName> },
    /// To the gate: the newest commit, and for each member the line of the primary to which it has last asserted what it held; another line, as
    /// long as it has not been told that this one has come. And whether any that is missing has told something a moment ago.
    Gate { commit: u64, members: BTreeMap<Node, u32>, are_telling: bool },
    /// To a barrier: the newest commit.
    Barrier { commit: u64, members: BTreeMap<Node, u32> },
    /// To a commit: what was made of it, and the newest commit.
    Committed { verdict: Decision, commit: u64 },
    /// To a renewal, and to what concerns the bucket below: the newest commit.
    Renewed { commit: u64 },
    /// To a claim: what was claimed, and the newest commit.
    Claimed { commit: u64, claims: Vec<BucketClaim> },
    /// To an eviction: what has gone, and the newest commit.
    Evicted { commit: u64, names: Vec<ObjectName> },
    /// To a question for bytes: them, and of which version they are; `None`: there are none.
    Body(Option<(Version, Bytes)>),
    /// The caller's term is not this primary's.
    OtherTerm,
}

/// A reply, and on how many copies beside the primary all it rests on was when `WAIT` ended. After a reading: 0.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct EngineAnswer {
    reply: Reply,
    copies: usize,
    /// What the engine's clock showed. After a reading: 0.
    time: EngineTime,
}

/// Which of a node's connections to a primary. No two calls share one at a time: `WAIT` holds up a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Channel {
    /// For what begins a session.
    Control,
    /// For the journal.
    Follow,
    /// For barriers.
    Barrier,
    /// For one commit, out of a pool.
    Commit(UploadId),
    /// For renewals.
    Renewals,
    /// For what concerns the bucket below, by the errand's number.
    Errand(u64),
}

impl std::fmt::Debug for SharedBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SharedBody").field("length", &self.bytes.len()).field("travels", &self.travels).finish()
    }
}

impl Precondition {
    /// Whether it is so of the version that is there, by its tag: what the engine's own functions judge.
    #[cfg(test)]
    fn holds(&self, tag: Option<u128>) -> bool {
        match self {
            Self::Anything => true,
            Self::Absence => tag.is_none(),
            Self::OneOf(tags) => tag.is_some_and(|tag| tags.contains(&tag)),
        }
    }
}

impl Indexed {
    /// Its bytes are in the bucket alone.
    fn is_cold(&self) -> bool {
        self.is_kept && self.object.as_ref().is_some_and(|object| object.is_bare)
    }

    /// It was committed without a floor, by an earlier release before there was a bucket, and later than what an earlier engine has left there: that does not take its place, as
    /// long as the bucket does not have this one.
    fn outlasts(&self, found: &Self) -> bool {
        self.version.term.is_far_below(found.version.term.number) && !self.is_kept && self.decided > found.decided
    }

    /// The object, as long as it exists.
    fn live(&self, now: EngineTime) -> Option<&SharedObject> {
        self.object.as_ref().filter(|object| now < object.expires)
    }
}
