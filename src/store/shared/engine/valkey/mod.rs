//! The engine that is not ours: Valkey or Redis, one server by itself, or a cluster with copies of each lane. Only these files know its
//! client.
//!
//! Each call of a lane that writes is one script, [`springhead1.lua`](self), and happens there at one moment; behind it, on the same
//! connection, a `WAIT`. Connections are single ones and each has one call under way: a `WAIT` or a wait for the journal holds up what
//! is behind it.

mod balance;
mod pool;
mod report;
mod told;
mod topology;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ErrorKind, IntoConnectionInfo, Pipeline, RedisConnectionInfo, RedisError,
    TlsCertificates, Value, cmd, pipe,
};
use tokio::time::timeout;

pub use self::balance::PrimaryMove;
use self::pool::PoolConnection;
pub use self::report::{EngineReport, NodeReport, ServerReport};
use self::told::{answer, array, bytes, index, steps};
use self::topology::Topology;
pub use self::topology::{EngineTls, ServerAddress};
use super::packed;
use super::{Engine, EngineAnswer, EngineCall, EngineError, EngineLink, LaneNumber};
use crate::store::shared::{Decision, HeldObject, Precondition, Reply, SharedBody, Term, Version};

/// The functions. Under each of two headings: the engine refuses what it has no room for, all but what makes room and what readers need.
const LIBRARY: &str = include_str!("springhead1.lua");
const BOUNDED: &str = "#!lua\n";
const ALWAYS: &str = "#!lua flags=allow-oom\n";
/// How long a connection may take, and an answer. Longer than [`WAIT`] and [`BLOCK`].
const CONNECT: Duration = Duration::from_secs(1);
const ANSWER: Duration = Duration::from_millis(1_500);
/// How long an answer may take on which all readers wait, where another server can be elected: a frozen one is given up. Longer than [`WAIT`].
const PATIENCE: Duration = Duration::from_millis(800);
/// For so long a call waits for copies, in milliseconds.
const WAIT: u64 = 400;
/// For so long the journal is waited for in one call, in milliseconds.
const BLOCK: u64 = 500;
/// A longer body is sent ahead of its commit: what a script is given is copied there.
const LONG: usize = 64 << 10;
/// What was sent ahead and never committed is gone after that, in milliseconds.
const STAGED: u64 = 60_000;

/// Where the engine is, and as whom to speak to it.
#[derive(Clone)]
pub struct ValkeyAddress {
    /// Its server; of a cluster some of them, which tell of the others.
    pub servers: Vec<ServerAddress>,
    /// Whether they are a cluster.
    pub is_cluster: bool,
    /// How it is spoken to over TLS, if it is.
    pub tls: Option<EngineTls>,
    /// How many copies of each lane there are, the primary among them.
    pub copies: usize,
    /// As whom, where it has users.
    pub user: Option<String>,
    /// By which password, where it asks for one.
    pub password: Option<Arc<str>>,
    /// What keys begin with.
    pub prefix: String,
}

/// The engine, as it is reached from here.
pub(in crate::store::shared) struct Valkey {
    topology: Topology,
    prefix: String,
    pooled: PoolConnection,
}

/// A connection to it, for one lane.
pub(in crate::store::shared) struct ValkeyLink {
    connection: MultiplexedConnection,
    keys: LaneKeys,
    /// The scripts' names there, once they are loaded.
    scripts: Option<[String; 2]>,
    /// How long readers may wait for its answer.
    patience: Duration,
}

/// The names of a lane's keys.
#[derive(Clone, Debug)]
struct LaneKeys {
    base: String,
}

impl LaneKeys {
    fn of(&self, rest: impl AsRef<[u8]>) -> Vec<u8> {
        [self.base.as_bytes(), rest.as_ref()].concat()
    }
}

impl std::fmt::Debug for ValkeyAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ValkeyAddress").field("servers", &self.servers).finish_non_exhaustive()
    }
}

/// It knows the password.
impl std::fmt::Debug for Valkey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Valkey").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

impl From<RedisError> for EngineError {
    fn from(error: RedisError) -> Self {
        // What it says of a refused password holds no password.
        match error.kind() {
            ErrorKind::AuthenticationFailed | ErrorKind::InvalidClientConfig => Self::Unfit(error.to_string()),
            _ if error.code() == Some("NOPERM") => Self::Unfit(error.to_string()),
            _ => Self::Unreachable(error.to_string()),
        }
    }
}

/// That it said something that is not in the protocol.
fn strange(what: &str) -> EngineError {
    EngineError::Unfit(format!("it gave no {what}"))
}

impl Valkey {
    pub(in crate::store::shared) fn new(address: &ValkeyAddress) -> Self {
        Self { topology: Topology::new(address), prefix: address.prefix.clone(), pooled: PoolConnection::default() }
    }

    /// What all keys of a lane have in common: it puts them into one slot.
    fn tag(&self, lane: LaneNumber) -> String {
        format!("{}:{lane:02}", self.prefix)
    }
}

/// What a server's settings would break; `None`, where they are as they have to be.
fn unfit(about: &BTreeMap<String, String>, is_cluster: bool) -> Option<&'static str> {
    let is = |name: &str, value: &str| about.get(name).is_some_and(|is| is.eq_ignore_ascii_case(value));
    match (is("cluster_enabled", "1"), is_cluster) {
        (true, false) => Some("it is part of a cluster, and one server by itself was named: write valkey+cluster://"),
        (false, true) => Some("it is one server by itself, and a cluster was named: write valkey://"),
        _ if !is("maxmemory_policy", "noeviction") => {
            Some("its maxmemory-policy has to be noeviction: with any other it throws away what was stored")
        }
        _ if is_cluster && is("cluster-allow-replica-migration", "yes") => {
            Some("its cluster-allow-replica-migration has to be no: a copy that moves makes a majority of what is none")
        }
        _ => None,
    }
}

impl Engine for Valkey {
    type Primary = ServerAddress;
    type Link = ValkeyLink;

    async fn find(&self, lane: LaneNumber) -> Result<(ServerAddress, u32), EngineError> {
        let primary = self.topology.primary(topology::slot(&self.tag(lane))).await?;
        // One that is frozen takes connections, and says nothing: another may be elected meanwhile.
        let within = if self.topology.is_cluster() { topology::SAYS } else { CONNECT + ANSWER };
        let told = timeout(within, self.topology.about(&primary)).await;
        let about = told.unwrap_or_else(|_| Err(EngineError::Unreachable(format!("{primary} does not answer"))))?;
        if let Some(fault) = unfit(&about, self.topology.is_cluster()) {
            return Err(EngineError::Unfit(fault.to_owned()));
        }
        if about.get("role").is_none_or(|role| role != "master") {
            return Err(EngineError::Unreachable(format!("{primary} is no primary")));
        }
        let line = about.get("master_replid").and_then(|id| u32::from_str_radix(id.get(..8)?, 16).ok());
        Ok((primary, line.ok_or_else(|| strange("replication id"))?))
    }

    async fn link(&self, lane: LaneNumber, primary: &ServerAddress) -> Result<ValkeyLink, EngineError> {
        let keys = LaneKeys { base: format!("{{{}}}:", self.tag(lane)) };
        let patience = if self.topology.is_cluster() { PATIENCE } else { ANSWER };
        Ok(ValkeyLink { connection: self.topology.connect(primary).await?, keys, scripts: None, patience })
    }
}

impl EngineLink for ValkeyLink {
    async fn call(&mut self, call: &EngineCall, copies: usize) -> Result<EngineAnswer, EngineError> {
        let is_waited_for = matches!(
            call,
            EngineCall::Takeover { .. } | EngineCall::Read { .. } | EngineCall::Gate { .. } | EngineCall::Barrier { .. }
        );
        if !is_waited_for {
            return self.made(call, copies).await;
        }
        let late = || EngineError::Unreachable("it takes too long to answer".to_owned());
        timeout(self.patience, self.made(call, copies)).await.unwrap_or_else(|_| Err(late()))
    }
}

impl ValkeyLink {
    async fn made(&mut self, call: &EngineCall, copies: usize) -> Result<EngineAnswer, EngineError> {
        match call {
            EngineCall::Follow { after } => self.follow(*after).await,
            EngineCall::Scan => self.scan().await,
            EngineCall::Body { name, part } => {
                let name = self.keys.of([b"o:", name.as_bytes()].concat());
                let header = Cmd::clone(cmd("GETRANGE").arg(&name).arg(0).arg(15));
                let mut asked = pipe();
                match part {
                    // GETRANGE takes the last byte too; and from 16 to 15 is none.
                    Some(part) => asked.add_command(header).cmd("GETRANGE").arg(&name).arg(part.start + 16).arg(part.end + 15),
                    None => asked.cmd("GET").arg(&name),
                };
                let mut told = self.ask(&asked).await?.into_iter().filter_map(bytes);
                let (version, body) = match (told.next(), part) {
                    (Some(header), Some(_)) => (header, told.next().unwrap_or_default()),
                    (Some(whole), None) if whole.len() >= 16 => (whole.slice(..16), whole.slice(16..)),
                    _ => return Ok(read(Reply::Body(None))),
                };
                Ok(read(Reply::Body(packed::read_version(&version).map(|version| (version, body)))))
            }
            call => self.script(call, copies).await,
        }
    }

    async fn ask(&mut self, pipeline: &Pipeline) -> Result<Vec<Value>, EngineError> {
        let count = pipeline.len();
        let told = self.connection.send_packed_commands(pipeline, 0, count).await?;
        let failed = told.iter().find_map(|value| match value {
            Value::ServerError(error) => Some(RedisError::from(error.clone())),
            _ => None,
        });
        match failed {
            Some(error) => Err(error.into()),
            None => Ok(told),
        }
    }

    async fn load(&mut self) -> Result<[String; 2], EngineError> {
        if let Some(scripts) = &self.scripts {
            return Ok(scripts.clone());
        }
        let mut asked = pipe();
        for heading in [BOUNDED, ALWAYS] {
            asked.cmd("SCRIPT").arg("LOAD").arg([heading, LIBRARY].concat());
        }
        let told: Vec<_> = self.ask(&asked).await?.into_iter().filter_map(bytes).collect();
        let [bounded, always] = &*told else { return Err(strange("names of scripts")) };
        let name = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
        Ok(self.scripts.insert([name(bounded), name(always)]).clone())
    }

    /// Runs the function of this name, and waits for copies.
    async fn script(&mut self, call: &EngineCall, copies: usize) -> Result<EngineAnswer, EngineError> {
        let mut is_loaded = self.scripts.is_some();
        loop {
            let [bounded, always] = self.load().await?;
            let mut asked = pipe();
            let is_bounded = match call {
                EngineCall::Commit { object, .. } => object.is_some(),
                EngineCall::Assert { held, .. } => held.iter().any(|held| held.body.is_some()),
                _ => false,
            };
            let mut script = cmd("EVALSHA");
            script.arg(if is_bounded { bounded } else { always }).arg(1).arg(self.keys.of("t"));
            if let EngineCall::Commit { upload, body, .. } = call
                && is_long(body)
            {
                let ahead = [&[0; 16][..], &body.bytes].concat();
                let name = self.keys.of([b"b:".as_slice(), &packed::upload(*upload)].concat());
                asked.cmd("SET").arg(name).arg(ahead).arg("PX").arg(STAGED);
            }
            arguments(call, &mut script);
            asked.add_command(script);
            if call.is_write() && copies > 0 {
                asked.cmd("WAIT").arg(copies).arg(WAIT);
            }
            match self.ask(&asked).await {
                Ok(mut told) => {
                    let copies = match (call.is_write() && copies > 0).then(|| told.pop()).flatten() {
                        Some(Value::Int(copies)) => usize::try_from(copies).unwrap_or(0),
                        _ => 0,
                    };
                    let told = told.pop().ok_or_else(|| strange("answer"))?;
                    let (time, reply) = answer(call, told).ok_or_else(|| strange("answer that reads"))?;
                    return Ok(EngineAnswer { reply, copies, time });
                }
                Err(EngineError::Unreachable(said)) if said.contains("NOSCRIPT") && is_loaded => {
                    // It was started anew, or somebody has taken them out.
                    (self.scripts, is_loaded) = (None, false);
                }
                Err(EngineError::Unreachable(said)) if said.contains("OOM") && is_bounded => {
                    let EngineCall::Assert { term, held } = call else {
                        return Ok(read(Reply::Committed { verdict: Decision::NoRoom, commit: 0 }));
                    };
                    // What there is has to be known, for which there is room always; its bytes stay with who has them.
                    let held = held.iter().map(|held| HeldObject { body: None, ..held.clone() }).collect();
                    return Box::pin(self.script(&EngineCall::Assert { term: *term, held }, copies)).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Waits for what is in the journal behind a place.
    async fn follow(&mut self, after: Version) -> Result<EngineAnswer, EngineError> {
        let (journal, after) = (self.keys.of("j"), format!("{}-1", after.commit));
        loop {
            let mut asked = cmd("XREAD");
            asked.arg("COUNT").arg(64).arg("BLOCK").arg(BLOCK).arg("STREAMS").arg(&journal).arg(&after);
            match self.connection.send_packed_command(&asked).await? {
                Value::Nil => {}
                Value::Array(mut streams) => {
                    let stream = streams.pop().and_then(|stream| array(stream)?.pop());
                    let steps = stream.and_then(steps).ok_or_else(|| strange("journal that reads"))?;
                    return Ok(read(Reply::Steps(steps)));
                }
                _ => return Err(strange("journal")),
            }
        }
    }

    /// All of the index, as it is at one moment.
    async fn scan(&mut self) -> Result<EngineAnswer, EngineError> {
        let mut asked = pipe();
        asked.atomic();
        asked.cmd("HMGET").arg(self.keys.of("t")).arg(&["n", "l", "c"]);
        for name in ["i", "u"] {
            asked.cmd("HGETALL").arg(self.keys.of(name));
        }
        let told = self.connection.send_packed_commands(&asked, 4, 1).await?.pop();
        index(told).map(read).ok_or_else(|| strange("index that reads"))
    }
}

/// An answer to what only reads.
fn read(reply: Reply) -> EngineAnswer {
    EngineAnswer { reply, copies: 0, time: 0 }
}

fn is_long(body: &SharedBody) -> bool {
    body.bytes.len() > LONG && !body.travels
}

/// What a function is given: its name, the term, and the rest.
fn arguments(call: &EngineCall, script: &mut Cmd) {
    let term = |term: &Term| packed::version(Version { term: *term, commit: 0 })[..8].to_vec();
    match call {
        EngineCall::Takeover { line, known } => {
            script.arg("takeover").arg("").arg(*line).arg(known.term.number).arg(known.term.line).arg(known.commit);
        }
        EngineCall::Read { after } => {
            script.arg("read").arg("").arg(&packed::version(*after)).arg(after.commit);
        }
        EngineCall::Assert { term: of, held } => {
            script.arg("assert").arg(term(of));
            for held in held {
                script.arg(held.name.as_bytes()).arg(packed::indexed(&held.indexed));
                script.arg(u8::from(held.body.is_some())).arg(held.body.as_deref().unwrap_or_default());
                script.arg(held.uploads.len());
                for (upload, version) in &held.uploads {
                    script.arg(&packed::upload(*upload)).arg(&packed::version(*version));
                }
            }
        }
        EngineCall::Gate { term: of, node } => {
            script.arg("gate").arg(term(of)).arg(node.as_bytes());
        }
        EngineCall::Barrier { term: of, node } => {
            script.arg("barrier").arg(term(of)).arg(node.as_bytes());
        }
        EngineCall::Commit { term: of, node, upload, name, expected, object, body } => {
            script.arg("commit").arg(term(of)).arg(node.as_bytes()).arg(&packed::upload(*upload)).arg(name.as_bytes());
            script.arg(object.as_ref().map(packed::object).unwrap_or_default());
            let (form, given) = if is_long(body) { ("s", &[][..]) } else { ("p", &*body.bytes) };
            script.arg(form).arg(u8::from(body.travels)).arg(given);
            match expected {
                Precondition::Anything => script.arg("anything"),
                Precondition::Absence => script.arg("absence"),
                Precondition::OneOf(tags) => {
                    script.arg("one");
                    tags.iter().for_each(|tag| {
                        script.arg(&tag.to_be_bytes());
                    });
                    script
                }
            };
        }
        EngineCall::Renew { term: of, lives } => {
            script.arg("renew").arg(term(of));
            for (name, version, expires) in lives {
                script.arg(name.as_bytes()).arg(&packed::version(*version)).arg(*expires);
            }
        }
        EngineCall::Follow { .. } | EngineCall::Scan | EngineCall::Body { .. } => {}
    }
}
