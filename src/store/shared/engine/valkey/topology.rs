//! Where the engine's servers are, and which of them is a lane's primary: one server by itself, or one of a Valkey Cluster, which elects.
//!
//! Of a cluster every server that is known is asked what it takes the others for. They may differ: a primary that was cut off or frozen
//! goes on taking itself for one. Of several that claim a slot the one with the highest epoch was elected last. Whoever was asked in vain
//! is asked again with the next look; lanes that look at the same time share one.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

use super::told::bytes;
use super::{
    ANSWER, AsyncConnectionConfig, CONNECT, Client, ConnectionAddr, EngineError, IntoConnectionInfo as _, MultiplexedConnection,
    RedisConnectionInfo, RedisError, TlsCertificates, ValkeyAddress, Value, cmd, pipe, strange,
};

/// For so long a look at the cluster is good, and what a server said of itself; and a look at which nobody answered.
const LOOK: Duration = Duration::from_millis(25);
const NOBODY: Duration = Duration::from_millis(250);
/// How long servers may take to say what they know when one has, and when a majority has: a frozen one is not waited for.
const SAYS: Duration = Duration::from_millis(300);
const OTHERS: Duration = Duration::from_millis(20);
/// For so long connections are kept for the next look: while another primary is elected there are many.
const KEPT: Duration = Duration::from_secs(5);
/// What a session has to know of a server, by the sections in which that says it.
const ROLE: [&str; 3] = ["replication", "memory", "cluster"];
/// How many slots a cluster has.
const SLOTS: u16 = 16_384;

/// How an engine is spoken to over TLS.
#[derive(Clone, Debug, Default)]
pub struct EngineTls {
    /// The authorities that are believed, in PEM; else the system's.
    pub authorities: Option<Arc<[u8]>>,
}

/// A server's host and port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerAddress {
    /// Its host.
    pub host: String,
    /// Its port.
    pub port: u16,
}

/// All servers.
pub(super) struct Topology {
    identity: RedisConnectionInfo,
    tls: Option<EngineTls>,
    named: Vec<ServerAddress>,
    /// Of a cluster: how many copies there are to be.
    copies: Option<usize>,
    seen: Mutex<ClusterLook>,
    roles: parking_lot::Mutex<HashMap<ServerAddress, Arc<Mutex<Option<RoleLook>>>>>,
}

/// What a server said of itself, by name.
pub(super) type AboutServer = BTreeMap<String, String>;
/// When that was asked, and what came of it: for all lanes that want to know it at that time.
type RoleLook = (Instant, Result<AboutServer, EngineError>);

/// What was seen at the last look, and the servers that are asked at the next.
#[derive(Default)]
struct ClusterLook {
    at: Option<Instant>,
    known: BTreeSet<ServerAddress>,
    /// How many servers the cluster had when a majority of them answered last.
    members: Option<usize>,
    views: Vec<Vec<ClusterServer>>,
    why_not: Option<String>,
    connections: HashMap<ServerAddress, MultiplexedConnection>,
}

/// A server, as another one sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ClusterServer {
    pub(super) id: String,
    pub(super) address: ServerAddress,
    /// It is the one that was asked.
    is_asked: bool,
    pub(super) is_primary: bool,
    /// Of a replica: whom it follows.
    pub(super) follows: Option<String>,
    epoch: u64,
    pub(super) slots: Vec<RangeInclusive<u16>>,
}

/// A slot's primary, and how many copies there are of it, itself among them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) primary: ServerAddress,
    pub(super) copies: usize,
}

impl std::fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

impl Topology {
    pub(super) fn new(address: &ValkeyAddress) -> Self {
        let mut identity = RedisConnectionInfo::default();
        if let Some(user) = &address.user {
            identity = identity.set_username(user);
        }
        if let Some(password) = &address.password {
            identity = identity.set_password(password);
        }
        let seen = ClusterLook { known: address.servers.iter().cloned().collect(), ..ClusterLook::default() };
        let copies = address.is_cluster.then_some(address.copies);
        let (tls, named) = (address.tls.clone(), address.servers.clone());
        Self { identity, tls, named, copies, seen: Mutex::new(seen), roles: parking_lot::Mutex::default() }
    }

    pub(super) fn is_cluster(&self) -> bool {
        self.copies.is_some()
    }

    /// Connects to a server. Cancel-safe.
    pub(super) async fn connect(&self, server: &ServerAddress) -> Result<MultiplexedConnection, EngineError> {
        let (host, port) = (server.host.clone(), server.port);
        let address = match self.tls {
            Some(_) => ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None },
            None => ConnectionAddr::Tcp(host, port),
        };
        let info = address.into_connection_info()?.set_redis_settings(self.identity.clone());
        let client = match self.tls.as_ref().and_then(|tls| tls.authorities.as_ref()) {
            Some(authorities) => {
                Client::build_with_tls(info, TlsCertificates { client_tls: None, root_cert: Some(authorities.to_vec()) })?
            }
            None => Client::open(info)?,
        };
        let config = AsyncConnectionConfig::new().set_connection_timeout(Some(CONNECT)).set_response_timeout(Some(ANSWER));
        Ok(client.get_multiplexed_async_connection_with_config(&config).await?)
    }

    /// The primary of a slot. Cancel-safe.
    pub(super) async fn primary(&self, slot: u16) -> Result<ServerAddress, EngineError> {
        let Some(copies) = self.copies else {
            return self.named.first().cloned().ok_or_else(|| EngineError::Unfit("no server is named".to_owned()));
        };
        let mut seen = self.seen.lock().await;
        let good = if seen.views.is_empty() { NOBODY } else { LOOK };
        if seen.at.is_none_or(|at| at.elapsed() >= good) {
            self.look(&mut seen).await;
        }
        match owner(&seen.views, slot) {
            // A majority of more than are reckoned with is not one of all.
            Some(owner) if owner.copies > copies => Err(EngineError::Unfit(format!(
                "it keeps {} copies, and [cluster] copies says {copies}: with more than that an answer may rest on too few of them",
                owner.copies
            ))),
            Some(owner) => Ok(owner.primary),
            None => Err(EngineError::Unreachable(match &seen.why_not {
                Some(why) if seen.views.is_empty() => why.clone(),
                _ => format!("no server of the cluster is the primary of slot {slot}"),
            })),
        }
    }

    /// All servers that are known.
    pub(super) async fn servers(&self) -> Vec<ServerAddress> {
        match self.is_cluster() {
            false => self.named.clone(),
            true => {
                let mut seen = self.seen.lock().await;
                self.look(&mut seen).await;
                let listed: BTreeSet<_> = seen.views.iter().flatten().map(|server| server.address.clone()).collect();
                listed.into_iter().collect()
            }
        }
    }

    /// How many copies there are of what a primary has, itself among them, and how many there are to be; nothing of a server by itself.
    pub(super) async fn copies_of(&self, primary: &ServerAddress) -> Option<(usize, usize)> {
        let seen = self.seen.lock().await;
        let slot = seen.views.iter().flatten().find(|server| server.is_primary && server.address == *primary)?.slots.first()?;
        Some((owner(&seen.views, *slot.start())?.copies, self.copies?))
    }

    /// What one of them says of the cluster.
    pub(super) async fn any_view(&self) -> Result<Vec<ClusterServer>, EngineError> {
        if !self.is_cluster() {
            return Err(EngineError::Unfit("it is one server by itself, which has no replicas".to_owned()));
        }
        let mut seen = self.seen.lock().await;
        self.look(&mut seen).await;
        let why = || EngineError::Unreachable(seen.why_not.clone().unwrap_or_else(|| "no server answers".to_owned()));
        seen.views.first().cloned().ok_or_else(why)
    }

    /// Asks all servers that are known, at the same time.
    async fn look(&self, seen: &mut ClusterLook) {
        let (begun, majority) = (Instant::now(), seen.members.unwrap_or(seen.known.len()) / 2 + 1);
        let mut kept = std::mem::take(&mut seen.connections);
        if seen.at.is_none_or(|at| begun - at > KEPT) {
            kept.clear();
        }
        let asked = seen.known.iter().map(|server| {
            let kept = kept.remove(server);
            async move {
                let view = self.view(server, kept).await;
                view.map(|(view, connection)| (server.clone(), view, connection)).map_err(|error| error.to_string())
            }
        });
        let mut asked: FuturesUnordered<_> = asked.collect();
        let silent = seen.known.first().map(|server| format!("the engine can't be reached: {server} does not answer"));
        (seen.views, seen.why_not) = (Vec::new(), silent);
        let mut until = begun + CONNECT + ANSWER;
        while let Ok(Some(view)) = timeout_at(until, asked.next()).await {
            match view {
                Ok((server, view, connection)) => {
                    seen.views.push(view);
                    seen.connections.insert(server, connection);
                    let now = Instant::now();
                    let others = if answered(&seen.views) >= majority { now } else { now.max(begun + SAYS) };
                    until = until.min(others + OTHERS);
                }
                Err(why) => seen.why_not = Some(why),
            }
        }
        drop(asked);
        seen.learn(&self.named, majority);
        seen.at = Some(Instant::now());
    }

    async fn view(
        &self,
        server: &ServerAddress,
        kept: Option<MultiplexedConnection>,
    ) -> Result<(Vec<ClusterServer>, MultiplexedConnection), EngineError> {
        let mut connection = match kept {
            Some(kept) => kept,
            None => self.connect(server).await?,
        };
        let mut asked = cmd("CLUSTER");
        asked.arg("NODES");
        let told = bytes(connection.send_packed_command(&asked).await?).ok_or_else(|| strange("list of its cluster"))?;
        Ok((servers(&String::from_utf8_lossy(&told), &server.host), connection))
    }

    /// What a server says of itself that a session has to know. Cancel-safe.
    pub(super) async fn role(&self, server: &ServerAddress) -> Result<AboutServer, EngineError> {
        let look = Arc::clone(self.roles.lock().entry(server.clone()).or_default());
        let mut look = look.lock().await;
        if let Some((_, told)) = look.as_ref().filter(|(asked, _)| asked.elapsed() < LOOK) {
            return told.clone();
        }
        let asked = Instant::now();
        let told = self.told_by(server, &ROLE).await;
        *look = Some((asked, told.clone()));
        told
    }

    /// All that a server says of itself.
    pub(super) async fn about(&self, server: &ServerAddress) -> Result<AboutServer, EngineError> {
        self.told_by(server, &["everything"]).await
    }

    async fn told_by(&self, server: &ServerAddress, sections: &[&str]) -> Result<AboutServer, EngineError> {
        let mut connection = self.connect(server).await?;
        let mut asked = pipe();
        for section in sections {
            asked.cmd("INFO").arg(section);
        }
        asked.cmd("CONFIG").arg("GET").arg("cluster-*");
        let mut told = connection.send_packed_commands(&asked, 0, asked.len()).await?;
        let config = told.pop();
        let mut about = BTreeMap::new();
        for section in told {
            if let Value::ServerError(error) = section {
                return Err(RedisError::from(error).into());
            }
            let text = bytes(section).ok_or_else(|| strange("information"))?;
            about.extend(pairs(String::from_utf8_lossy(&text).lines().filter_map(|line| line.split_once(':'))));
        }
        // Not every service lets its settings be asked for.
        if let Some(Value::Array(told)) = config {
            let told: Vec<_> =
                told.into_iter().filter_map(bytes).map(|text| String::from_utf8_lossy(&text).into_owned()).collect();
            about.extend(pairs(told.chunks_exact(2).map(|pair| (pair[0].as_str(), pair[1].as_str()))));
        }
        Ok(about)
    }
}

fn pairs<'a>(of: impl Iterator<Item = (&'a str, &'a str)>) -> AboutServer {
    of.map(|(name, value)| (name.to_owned(), value.trim().to_owned())).collect()
}

/// Reads what `CLUSTER NODES` says: a line for each server, of id, address, flags, whom it follows, two times, epoch, link, and slots. A
/// server that does not know its own host was asked at `host`.
pub(super) fn servers(text: &str, host: &str) -> Vec<ClusterServer> {
    let server = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (&id, &address, &flags, &follows, &epoch) =
            (words.first()?, words.get(1)?, words.get(2)?, words.get(3)?, words.get(6)?);
        let (name, port) = address.split('@').next()?.rsplit_once(':')?;
        let flags: BTreeSet<&str> = flags.split(',').collect();
        let port = port.parse().ok().filter(|port| *port != 0)?;
        let name = name.trim_start_matches('[').trim_end_matches(']');
        let name = if name.is_empty() && flags.contains("myself") { host } else { name };
        let slots = words.iter().skip(8).filter_map(|word| {
            let (first, last) = word.split_once('-').unwrap_or((word, word));
            Some(first.parse().ok()?..=last.parse().ok()?)
        });
        (!name.is_empty() && !flags.contains("noaddr")).then(|| ClusterServer {
            id: id.to_owned(),
            address: ServerAddress { host: name.to_owned(), port },
            is_asked: flags.contains("myself"),
            is_primary: flags.contains("master"),
            follows: (follows != "-").then(|| follows.to_owned()),
            epoch: epoch.parse().unwrap_or(0),
            slots: slots.collect(),
        })
    };
    text.lines().filter_map(server).collect()
}

/// How many servers have said what they know: one may be known by two addresses.
fn answered(views: &[Vec<ClusterServer>]) -> usize {
    let asked = |view: &Vec<ClusterServer>| view.iter().find(|server| server.is_asked).map(|server| server.id.clone());
    views.iter().filter_map(asked).collect::<BTreeSet<_>>().len()
}

impl ClusterLook {
    /// Has those asked at the next look of whom this one has told. Where a majority was heard no others: in an address that was a server's
    /// once there may be anybody by now. One that answers alone may have been started anew, and know nobody.
    fn learn(&mut self, named: &[ServerAddress], majority: usize) {
        let told = || self.views.iter().flatten();
        let heard: BTreeSet<_> = told().map(|server| server.address.clone()).collect();
        if answered(&self.views) >= majority {
            self.members = Some(told().map(|server| server.id.as_str()).collect::<BTreeSet<_>>().len());
            self.known = heard.into_iter().chain(named.iter().cloned()).collect();
        } else {
            self.known.extend(heard);
        }
    }
}

/// Who has a slot, by all that was said: of several the one that was elected last.
fn owner(views: &[Vec<ClusterServer>], slot: u16) -> Option<Owner> {
    let claims = |server: &&ClusterServer| server.is_primary && server.slots.iter().any(|slots| slots.contains(&slot));
    let newest = views.iter().flatten().filter(claims).max_by_key(|server| server.epoch)?;
    // By their ids: who has just got another address is told of by both.
    let follow = |server: &&ClusterServer| server.follows.as_ref() == Some(&newest.id);
    let replicas: BTreeSet<_> = views.iter().flatten().filter(follow).map(|server| server.id.as_str()).collect();
    Some(Owner { primary: newest.address.clone(), copies: 1 + replicas.len() })
}

/// The slot of keys with this hash tag: CRC16 (XMODEM) of it, modulo the number of slots.
pub(super) fn slot(tag: &str) -> u16 {
    let step = |crc: u16, bit: u16| if crc & 0x8000 == 0 { crc << 1 | bit } else { (crc << 1 | bit) ^ 0x1021 };
    let bits = tag.bytes().chain([0, 0]).flat_map(|byte| (0..8).rev().map(move |at| u16::from(byte >> at & 1)));
    bits.fold(0, step) % SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(port: u16) -> ServerAddress {
        ServerAddress { host: "127.0.0.1".to_owned(), port }
    }

    #[test]
    fn slots_are_those_of_the_specification() {
        // Of the cluster specification: CRC16 of 123456789 is 0x31C3.
        assert_eq!(slot("123456789"), 0x31C3);
        assert_eq!((slot("foo"), slot("")), (12_182, 0));
    }

    #[test]
    fn of_two_primaries_the_one_elected_last_is_believed() {
        let before = "a 127.0.0.1:1@11 myself,master - 0 0 1 connected 0-99 200\n\
                      b 127.0.0.1:2@12 slave a 0 0 1 connected\n\
                      c 127.0.0.1:3@13,host slave a 0 0 1 connected [55->-x]\n\
                      d :0@0 master,noaddr - 0 0 9 disconnected 0-99\n";
        let after = "a 127.0.0.1:1@11 master,fail - 0 0 1 connected\n\
                     b :2@12 myself,master - 0 0 4 connected 0-99 200\n\
                     c 127.0.0.1:3@13 slave b 0 0 4 connected\n";
        let (before, after) = (servers(before, "127.0.0.1"), servers(after, "127.0.0.1"));
        assert_eq!(before.len(), 3, "{before:?}");
        let first = std::slice::from_ref(&before);
        assert_eq!(owner(first, 200), Some(Owner { primary: at(1), copies: 3 }));
        assert_eq!(owner(first, 150), None);
        for views in [[before.clone(), after.clone()], [after.clone(), before.clone()]] {
            assert_eq!(owner(&views, 50), Some(Owner { primary: at(2), copies: 2 }));
        }
    }

    #[test]
    fn who_has_another_address_is_one_copy_and_what_was_its_own_is_asked_no_more() {
        let view = |of: &str, replica: u16| {
            let lines = [("a", 1, "master -", " 0-99"), ("b", 2, "slave a", ""), ("c", replica, "slave a", "")];
            let line = |(id, port, role, slots): (&str, u16, &str, &str)| {
                let asked = if id == of { "myself," } else { "" };
                format!("{id} 127.0.0.1:{port}@1 {asked}{role} 0 0 1 connected{slots}\n")
            };
            servers(&lines.map(line).concat(), "127.0.0.1")
        };
        // The one has heard of it, the other one has not yet.
        let views = vec![view("a", 4), view("b", 3)];
        assert_eq!(owner(&views, 5), Some(Owner { primary: at(1), copies: 3 }));
        let known = |look: &ClusterLook| look.known.iter().map(|server| server.port).collect::<Vec<_>>();
        let mut look = ClusterLook { known: [at(1), at(2), at(3)].into(), views, ..ClusterLook::default() };
        look.learn(&[at(1)], 2);
        assert_eq!((known(&look), look.members), (vec![1, 2, 3, 4], Some(3)));
        look.views = vec![view("a", 4), view("a", 4)];
        look.learn(&[at(1)], 2);
        assert_eq!(known(&look), [1, 2, 3, 4], "it is one that was asked by two addresses");
        look.views = vec![view("a", 4), view("c", 4)];
        look.learn(&[at(1), at(9)], 2);
        assert_eq!((known(&look), look.members), (vec![1, 2, 4, 9], Some(3)));
        look.views = vec![servers("a 127.0.0.1:1@1 myself,master - 0 0 1 connected\n", "127.0.0.1")];
        look.learn(&[at(1), at(9)], 2);
        assert_eq!(known(&look), [1, 2, 4, 9], "it was started anew");
    }

    #[test]
    fn nothing_of_a_list_that_makes_no_sense_is_believed() {
        for text in ["", "\n", "a", "a b c d e f g h", "a 127.0.0.1:x@1 master - 0 0 1 connected 0-1"] {
            assert_eq!(servers(text, "h"), [], "{text}");
        }
        let odd = servers("a [::1]:7@8 master - 0 0 x connected 5-x 7", "h");
        assert_eq!((odd[0].address.to_string().as_str(), odd[0].epoch, &odd[0].slots[..]), ("[::1]:7", 0, &[7..=7][..]));
    }
}
