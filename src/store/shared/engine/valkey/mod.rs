//! The engine that is not ours: Valkey or Redis, one server by itself, or a cluster with copies of each lane. Only these files know its
//! client.
//!
//! Each call of a lane that writes is one script, [`springhead1.lua`](self), and happens there at one moment; behind it, on the same
//! connection, a `WAIT`. Connections are single ones and each has one call under way: a `WAIT` or a wait for the journal holds up what
//! is behind it.

mod balance;
mod link;
mod pool;
mod report;
mod told;
mod topology;

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ErrorKind, IntoConnectionInfo, Pipeline, RedisConnectionInfo, RedisError,
    TlsCertificates, Value, cmd, pipe,
};
use tokio::time::{Instant, timeout};

pub use self::balance::PrimaryMove;
use self::link::{ScriptNames, ValkeyLink};
use self::pool::PoolConnection;
pub use self::pool::PooledWords;
pub use self::report::{EngineReport, NodeReport, ServerReport};
use self::topology::Topology;
pub use self::topology::{EngineTls, ServerAddress};
use super::packed;
use super::{Engine, EngineAnswer, EngineCall, EngineError, EngineLink, LaneNumber};

/// How long a connection may take, and an answer. Longer than what is waited for within one.
const CONNECT: Duration = Duration::from_secs(1);
const ANSWER: Duration = Duration::from_millis(1_500);
/// How long nobody may have an answer before the server is given up, one by itself, and one in whose place another can be elected. Longer than
/// copies are waited for.
const PATIENCE_WITH_ONE: Duration = Duration::from_millis(1_200);
const PATIENCE: Duration = Duration::from_millis(800);
/// How often it is looked whether another primary has been elected, while one says nothing of itself.
const ANOTHER: Duration = Duration::from_millis(100);

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
    /// The scripts' names, which are the same at all servers.
    scripts: Arc<ScriptNames>,
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
            _ if matches!(error.code(), Some("NOPERM" | "NOAUTH" | "WRONGPASS")) => Self::Unfit(error.to_string()),
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
        let topology = Topology::new(address);
        Self { topology, prefix: address.prefix.clone(), pooled: PoolConnection::default(), scripts: Arc::default() }
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

    fn patience(&self) -> Duration {
        if self.topology.is_cluster() { PATIENCE } else { PATIENCE_WITH_ONE }
    }

    async fn find(&self, lane: LaneNumber) -> Result<(ServerAddress, u32), EngineError> {
        let (slot, begun) = (topology::slot(&self.tag(lane)), Instant::now());
        let primary = self.topology.primary(slot).await?;
        let about = {
            let mut told = pin!(self.topology.role(&primary));
            loop {
                if let Ok(told) = timeout(ANOTHER, &mut told).await {
                    break told?;
                }
                // One that is frozen takes connections, and says nothing: it is waited for, for it may be slow, until another is elected.
                if begun.elapsed() > CONNECT + ANSWER || self.topology.primary(slot).await? != primary {
                    return Err(EngineError::Unreachable(format!("{primary} does not answer")));
                }
            }
        };
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
        Ok(ValkeyLink::new(self.topology.connect(primary).await?, keys, Arc::clone(&self.scripts)))
    }
}
