//! A connection to one server, for one lane: what its calls are there, and how long each may take.

use std::ops::Range;
use std::sync::OnceLock;

use bytes::Bytes;

use super::told::{answer, array, bytes, index, steps};
use super::{
    ANSWER, Arc, Cmd, Duration, EngineAnswer, EngineCall, EngineError, EngineLink, LaneKeys, MultiplexedConnection, Pipeline,
    RedisError, Value, cmd, packed, pipe, strange,
};
use crate::store::shared::index::WHOLE as WHOLE_NAMESPACE;
use crate::store::shared::{ClaimEnd, HeldObject, ObjectName, Precondition, Reply, SharedBody, Term, Version};

/// The functions. Under each of two headings: the engine refuses what it has no room for, all but what makes room and what readers need.
const LIBRARY: &str = include_str!("springhead1.lua");
const BOUNDED: &str = "#!lua\n";
const ALWAYS: &str = "#!lua flags=allow-oom\n";
/// How often a call waits for copies, and for how many milliseconds.
const WAIT: (usize, u64) = (1, 400);
/// The same of the first call to a primary, which may just have been elected: a replica that comes to it meanwhile is asked how far it is with the
/// next.
const WAIT_FIRST: (usize, u64) = (3, 100);
/// For so long the journal is waited for in one call, in milliseconds.
const BLOCK: u64 = 1_000;
/// How long it may take to read a whole index, where all lanes do at the same time; and to write the bodies that one call holds.
const WHOLE: Duration = Duration::from_secs(15);
const BODIES: Duration = Duration::from_secs(4);
/// A longer body is sent ahead of its commit: what a script is given is copied there.
const LONG: usize = 64 << 10;
/// What was sent ahead and never committed is gone after that, in milliseconds.
const STAGED: u64 = 60_000;

/// The scripts' names, once they are known: by what stands in them, so they are the same at all servers.
pub(super) type ScriptNames = OnceLock<[String; 2]>;

/// A connection to it, for one lane.
pub(in crate::store::shared) struct ValkeyLink {
    connection: MultiplexedConnection,
    keys: LaneKeys,
    scripts: Arc<ScriptNames>,
}

impl EngineLink for ValkeyLink {
    async fn call(&mut self, call: &EngineCall, copies: usize) -> Result<EngineAnswer, EngineError> {
        self.connection.set_response_timeout(match call {
            EngineCall::Scan => WHOLE,
            EngineCall::Assert { .. } => BODIES,
            _ => ANSWER,
        });
        match call {
            EngineCall::Follow { after } => self.follow(*after).await,
            EngineCall::Scan => self.scan().await,
            EngineCall::Body { name, part } => self.body(name, part.as_ref()).await,
            call => self.script(call, copies).await,
        }
    }
}

impl ValkeyLink {
    pub(super) fn new(connection: MultiplexedConnection, keys: LaneKeys, scripts: Arc<ScriptNames>) -> Self {
        Self { connection, keys, scripts }
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

    /// Has the server know the scripts.
    async fn load(&mut self) -> Result<(), EngineError> {
        let mut asked = pipe();
        for heading in [BOUNDED, ALWAYS] {
            asked.cmd("SCRIPT").arg("LOAD").arg([heading, LIBRARY].concat());
        }
        let told: Vec<_> = self.ask(&asked).await?.into_iter().filter_map(bytes).collect();
        let [bounded, always] = &*told else { return Err(strange("names of scripts")) };
        let name = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
        let _ = self.scripts.set([name(bounded), name(always)]);
        Ok(())
    }

    /// Runs the function of this name, and waits for copies.
    async fn script(&mut self, call: &EngineCall, copies: usize) -> Result<EngineAnswer, EngineError> {
        let mut may_lack_them = self.scripts.get().is_some();
        if !may_lack_them {
            self.load().await?;
        }
        let names = Arc::clone(&self.scripts);
        let [bounded, always] = names.get().ok_or_else(|| strange("names of scripts"))?;
        let (waits, within) = match call {
            call if !call.is_write() || copies == 0 => (0, 0),
            EngineCall::Takeover { .. } => WAIT_FIRST,
            _ => WAIT,
        };
        let mut has_room = true;
        loop {
            let mut asked = pipe();
            let is_bounded = match call {
                // That the index is whole is said by what has no bytes: else the bucket would be listed over and over.
                EngineCall::Commit { object, name, .. } => object.is_some() && has_room && !name.starts_with(WHOLE_NAMESPACE),
                EngineCall::Assert { held, .. } => held.iter().any(|held| held.body.is_some()),
                _ => false,
            };
            let mut script = cmd("EVALSHA");
            script.arg(if is_bounded { bounded } else { always }).arg(1).arg(self.keys.of("t"));
            if let EngineCall::Commit { upload, body, .. } = call
                && has_room
                && is_long(body)
            {
                let ahead = [&[0; 16][..], &body.bytes].concat();
                let name = self.keys.of([b"b:".as_slice(), &packed::upload(*upload)].concat());
                asked.cmd("SET").arg(name).arg(ahead).arg("PX").arg(STAGED);
            }
            arguments(call, has_room, &mut script);
            asked.add_command(script);
            for _ in 0..waits {
                asked.cmd("WAIT").arg(copies).arg(within);
            }
            match self.ask(&asked).await {
                Ok(mut told) => {
                    let mut copies = 0;
                    for _ in 0..waits {
                        copies = match told.pop() {
                            Some(Value::Int(there)) => copies.max(usize::try_from(there).unwrap_or(0)),
                            _ => copies,
                        };
                    }
                    let told = told.pop().ok_or_else(|| strange("answer"))?;
                    let (time, reply) = answer(call, told).ok_or_else(|| strange("answer that reads"))?;
                    return Ok(EngineAnswer { reply, copies, time });
                }
                Err(EngineError::Unreachable(said)) if lacks_scripts(&said) && may_lack_them => {
                    // It is another one or was started anew, or somebody has taken them out.
                    may_lack_them = false;
                    self.load().await?;
                }
                Err(EngineError::Unreachable(said)) if said.contains("OOM") && is_bounded => {
                    let EngineCall::Assert { term, node, held } = call else {
                        // It may have been committed by an earlier try, of which no answer came. That is asked for without the bytes.
                        has_room = false;
                        continue;
                    };
                    // What there is has to be known, for which there is room always; its bytes stay with who has them.
                    let held = held.iter().map(|held| HeldObject { body: None, ..held.clone() }).collect();
                    let call = EngineCall::Assert { term: *term, node: Arc::clone(node), held };
                    return Box::pin(self.script(&call, copies)).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// A version and its bytes, or a part of them, as they are at one moment.
    async fn body(&mut self, name: &ObjectName, part: Option<&Range<u64>>) -> Result<EngineAnswer, EngineError> {
        let name = self.keys.of([b"o:", name.as_bytes()].concat());
        let mut asked = pipe();
        let (version, body) = match part {
            None => {
                let whole = self.ask(asked.cmd("GET").arg(&name)).await?.into_iter().find_map(bytes);
                let Some(whole) = whole.filter(|whole| whole.len() >= 16) else { return Ok(read(Reply::Body(None))) };
                (whole.slice(..16), whole.slice(16..))
            }
            Some(part) => {
                asked.atomic().cmd("GETRANGE").arg(&name).arg(0).arg(15);
                // It takes the last byte too; and from 16 to 15 is none.
                asked.cmd("GETRANGE").arg(&name).arg(part.start + 16).arg(part.end + 15);
                let mut told = match self.connection.send_packed_commands(&asked, 3, 1).await?.pop() {
                    Some(Value::ServerError(error)) => return Err(RedisError::from(error).into()),
                    told => told.and_then(array).ok_or_else(|| strange("bytes"))?.into_iter().filter_map(bytes),
                };
                (told.next().unwrap_or_default(), told.next().unwrap_or_default())
            }
        };
        Ok(read(Reply::Body(packed::read_version(&version).map(|version| (version, body)))))
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
                // The server is the primary no more.
                Value::ServerError(error) => return Err(RedisError::from(error).into()),
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

/// As the server says it, or the client.
fn lacks_scripts(said: &str) -> bool {
    said.contains("NOSCRIPT") || said.contains("NoScript")
}

/// An answer to what only reads.
fn read(reply: Reply) -> EngineAnswer {
    EngineAnswer { reply, copies: 0, time: 0 }
}

fn is_long(body: &SharedBody) -> bool {
    body.bytes.len() > LONG && !body.travels
}

/// What a function is given: its name, the term, and the rest. Without room a commit goes without its bytes, as if they had been sent ahead.
fn arguments(call: &EngineCall, has_room: bool, script: &mut Cmd) {
    let term = |term: &Term| packed::version(Version { term: *term, commit: 0 })[..8].to_vec();
    match call {
        EngineCall::Takeover { line, known, floor, node, heard } => {
            script.arg("takeover").arg("").arg(*line).arg(known.term.number).arg(known.term.line).arg(known.commit).arg(*floor);
            script.arg(node.as_bytes()).arg(*heard);
        }
        EngineCall::Read { after } => {
            script.arg("read").arg("").arg(&packed::version(*after)).arg(after.commit);
        }
        EngineCall::Assert { term: of, node, held } => {
            script.arg("assert").arg(term(of)).arg(node.as_bytes());
            for held in held {
                script.arg(held.name.as_bytes()).arg(packed::indexed(&held.indexed));
                script.arg(u8::from(held.body.is_some())).arg(held.body.as_deref().unwrap_or_default());
                script.arg(held.uploads.len()).arg(u8::from(held.goes_below));
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
        EngineCall::Commit { term: of, node, upload, name, expected, object, body, goes_below } => {
            script.arg("commit").arg(term(of)).arg(node.as_bytes()).arg(&packed::upload(*upload)).arg(name.as_bytes());
            script.arg(object.as_ref().map(packed::object).unwrap_or_default());
            let (form, given) = if is_long(body) || !has_room { ("s", &[][..]) } else { ("p", &*body.bytes) };
            script.arg(form).arg(u8::from(body.travels)).arg(given).arg(u8::from(*goes_below));
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
        EngineCall::Claim { term: of, node, times, names, orphans } => {
            script.arg("claim").arg(term(of)).arg(node.as_bytes()).arg(times.claimed).arg(times.orphaned);
            script.arg(times.put_after).arg(times.removed_after).arg(*orphans);
            names.iter().for_each(|name| {
                script.arg(name.as_bytes());
            });
        }
        EngineCall::Settle { term: of, node, name, version, number, end } => {
            script.arg("settle").arg(term(of)).arg(node.as_bytes()).arg(name.as_bytes()).arg(&packed::version(*version));
            script.arg(*number);
            match end {
                ClaimEnd::Put { expires } => script.arg("p").arg(*expires),
                ClaimEnd::Removed => script.arg("r").arg(0),
                ClaimEnd::Failed => script.arg("f").arg(0),
                ClaimEnd::Missing => script.arg("m").arg(0),
                ClaimEnd::Unfit => script.arg("u").arg(0),
            };
        }
        EngineCall::Evict { term: of, names } => {
            script.arg("evict").arg(term(of));
            for (name, version) in names {
                script.arg(name.as_bytes()).arg(&packed::version(*version));
            }
        }
        EngineCall::Fill { term: of, found } => {
            script.arg("fill").arg(term(of));
            for (name, indexed) in found {
                script.arg(name.as_bytes()).arg(packed::indexed(indexed));
            }
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
