//! The engine that is not ours: one Valkey or Redis server, as primary and only copy. The only file that knows its client.
//!
//! Each call of a lane that writes is one script, [`springhead1.lua`](self), and happens there at one moment; behind it, on the same
//! connection, a `WAIT`. Connections are single ones and each has one call under way: a `WAIT` or a wait for the journal holds up what
//! is behind it.

mod told;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, IntoConnectionInfo as _, Pipeline, RedisConnectionInfo, RedisError, Value,
};

use self::told::{answer, array, bytes, index, steps};
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
/// For so long a call waits for copies, in milliseconds.
const WAIT: u64 = 400;
/// For so long the journal is waited for in one call, in milliseconds.
const BLOCK: u64 = 500;
/// A longer body is sent ahead of its commit: what a script is given is copied there.
const LONG: usize = 64 << 10;
/// What was sent ahead and never committed is gone after that, in milliseconds.
const STAGED: u64 = 60_000;

/// Where the server is, and as whom to speak to it.
#[derive(Clone)]
pub struct ValkeyAddress {
    /// Its host.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// As whom, where it has users.
    pub user: Option<String>,
    /// By which password, where it asks for one.
    pub password: Option<Arc<str>>,
    /// What keys begin with.
    pub prefix: String,
}

/// One server.
pub(in crate::store::shared) struct Valkey {
    client: Client,
    prefix: String,
}

/// A connection to it, for one lane.
pub(in crate::store::shared) struct ValkeyLink {
    connection: MultiplexedConnection,
    keys: LaneKeys,
    /// The scripts' names there, once they are loaded.
    scripts: Option<[String; 2]>,
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
        f.debug_struct("ValkeyAddress").field("host", &self.host).field("port", &self.port).finish_non_exhaustive()
    }
}

/// Its client knows the password.
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
    /// # Errors
    /// [`EngineError::Unfit`], where the address makes no sense.
    pub(in crate::store::shared) fn new(address: &ValkeyAddress) -> Result<Self, EngineError> {
        let mut identity = RedisConnectionInfo::default();
        if let Some(user) = &address.user {
            identity = identity.set_username(user);
        }
        if let Some(password) = &address.password {
            identity = identity.set_password(password);
        }
        let info = (address.host.as_str(), address.port).into_connection_info()?.set_redis_settings(identity);
        Ok(Self { client: Client::open(info)?, prefix: address.prefix.clone() })
    }

    async fn connect(&self) -> Result<MultiplexedConnection, EngineError> {
        let config = AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT)).set_response_timeout(Some(ANSWER));
        Ok(self.client.get_multiplexed_async_connection_with_config(&config).await?)
    }
}

impl Engine for Valkey {
    /// There is one.
    type Primary = ();
    type Link = ValkeyLink;

    async fn find(&self, _: LaneNumber) -> Result<((), u32), EngineError> {
        let mut connection = self.connect().await?;
        let told = connection.send_packed_command(redis::cmd("INFO").arg("everything")).await?;
        let told = bytes(told).ok_or_else(|| strange("information"))?;
        let told = String::from_utf8_lossy(&told).into_owned();
        let told: BTreeMap<&str, &str> = told.lines().filter_map(|line| line.split_once(':')).collect();
        let is = |name: &str, value: &str| told.get(name).is_some_and(|is| is.eq_ignore_ascii_case(value));
        if is("cluster_enabled", "1") {
            return Err(EngineError::Unfit("it is part of a cluster, and one server by itself was named".to_owned()));
        }
        if !is("role", "master") {
            return Err(EngineError::Unreachable("it is no primary".to_owned()));
        }
        if !is("maxmemory_policy", "noeviction") {
            let message = "its maxmemory-policy has to be noeviction: with any other it throws away what was stored";
            return Err(EngineError::Unfit(message.to_owned()));
        }
        let line = told.get("master_replid").and_then(|id| u32::from_str_radix(id.get(..8)?, 16).ok());
        Ok(((), line.ok_or_else(|| strange("replication id"))?))
    }

    async fn link(&self, lane: LaneNumber, (): &()) -> Result<ValkeyLink, EngineError> {
        let keys = LaneKeys { base: format!("{{{}:{lane:02}}}:", self.prefix) };
        Ok(ValkeyLink { connection: self.connect().await?, keys, scripts: None })
    }
}

impl EngineLink for ValkeyLink {
    async fn call(&mut self, call: &EngineCall, copies: usize) -> Result<EngineAnswer, EngineError> {
        match call {
            EngineCall::Follow { after } => self.follow(*after).await,
            EngineCall::Scan => self.scan().await,
            EngineCall::Body { name, part } => {
                let name = self.keys.of([b"o:", name.as_bytes()].concat());
                let header = Cmd::clone(redis::cmd("GETRANGE").arg(&name).arg(0).arg(15));
                let mut asked = redis::pipe();
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
}

impl ValkeyLink {
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
        let mut asked = redis::pipe();
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
            let mut asked = redis::pipe();
            let is_bounded = match call {
                EngineCall::Commit { object, .. } => object.is_some(),
                EngineCall::Assert { held, .. } => held.iter().any(|held| held.body.is_some()),
                _ => false,
            };
            let mut script = redis::cmd("EVALSHA");
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
            let mut asked = redis::cmd("XREAD");
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
        let mut asked = redis::pipe();
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
        EngineCall::Commit { term: of, upload, name, expected, object, body } => {
            script.arg("commit").arg(term(of)).arg(&packed::upload(*upload)).arg(name.as_bytes());
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
