//! What the engine looks like, and which nodes it has heard of: asked once, for who looks after them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::told::{array, bytes};
use super::{EngineError, LaneKeys, LaneNumber, ServerAddress, Valkey, Value, pipe, strange, topology, unfit};
use crate::model::clock::{Clock, WallTime};
use crate::store::shared::Node;
use crate::store::shared::roster::{NodeIdentity, faults};

/// Used to that share of what it may, in percent, it is told.
const NEARLY_FULL: u64 = 90;

/// Who has been silent for so long does no harm by what does not fit: signs come twice a second, in each lane.
const SILENT: Duration = Duration::from_secs(2);

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct EngineReport {
    /// All servers that are known.
    pub servers: Vec<ServerReport>,
    /// All nodes that the engine has heard of in the last minute; of processes of one name the one it has heard of last.
    pub nodes: Vec<NodeReport>,
    /// What is not as it has to be, and what to do about it.
    pub faults: Vec<String>,
}

/// A server.
#[derive(Clone, Debug)]
pub struct ServerReport {
    /// Its host and port.
    pub address: String,
    /// What it is and which release of it, as it says.
    pub release: String,
    /// Whether it takes writes.
    pub is_primary: bool,
    /// Bytes that it uses.
    pub used: u64,
    /// Bytes that it may use; 0: there is no limit.
    pub most: u64,
    /// For how many lanes it is the primary.
    pub lanes: usize,
    /// Milliseconds by which its clock is ahead of this machine's, as far as an answer tells.
    pub ahead: i64,
}

/// A node.
#[derive(Clone, Debug)]
pub struct NodeReport {
    /// By what its settings call it.
    pub name: String,
    /// Which Springhead it is.
    pub release: String,
    /// How long ago the engine has heard of it.
    pub silent: Duration,
}

impl Valkey {
    /// Looks at all of it.
    ///
    /// # Errors
    /// Where no server answers.
    pub(in crate::store::shared) async fn examine(&self, lanes: LaneNumber, clock: &Clock) -> Result<EngineReport, EngineError> {
        let (mut report, mut heard, mut primaries) = (EngineReport::default(), BTreeMap::new(), BTreeMap::new());
        for lane in 0..lanes {
            let slot = topology::slot(&self.tag(lane));
            match self.topology.primary(slot).await {
                Ok(primary) => {
                    match self.heard_of(lane, &primary).await {
                        Ok(nodes) => nodes.into_iter().for_each(|(node, silent)| {
                            let least = heard.entry(node).or_insert(silent);
                            *least = silent.min(*least);
                        }),
                        Err(error) => report.faults.push(format!("lane {lane:02}, at {primary}: {error}")),
                    }
                    *primaries.entry(primary).or_insert(0) += 1;
                }
                Err(error) => report.faults.push(format!("lane {lane:02}: {error}")),
            }
        }
        let servers = self.topology.servers().await;
        for server in &servers {
            match self.topology.about(server).await {
                Ok(about) => {
                    let told = server_report(server, &about, primaries.get(server).copied().unwrap_or(0), clock.wall());
                    report.faults.extend(faults_of(&told, &about, self.topology.is_cluster()));
                    report.servers.push(told);
                }
                Err(error) => report.faults.push(format!("{server}: {error}")),
            }
        }
        for (primary, lanes) in &primaries {
            if let Some((there, wanted)) = self.topology.copies_of(primary).await.filter(|(there, wanted)| there < wanted) {
                report.faults.push(format!(
                    "{primary}, which has {lanes} lanes, and its replicas are {there} copies, and [cluster] copies says {wanted}: one failure \
                     more, and nothing is taken in"
                ));
            }
        }
        if report.servers.is_empty() {
            let why = report.faults.pop().unwrap_or_else(|| "no server is named".to_owned());
            return Err(EngineError::Unreachable(why));
        }
        report.faults.extend(node_faults(heard.iter().filter(|(_, silent)| **silent < SILENT).map(|(node, _)| node)));
        report.nodes = heard.into_iter().filter_map(|(node, silent)| node_report(&node, silent)).collect();
        report.nodes.sort_by(|one, other| (&one.name, one.silent).cmp(&(&other.name, other.silent)));
        report.nodes.dedup_by(|one, other| one.name == other.name);
        Ok(report)
    }

    /// The nodes that a lane's primary has heard of, and how long ago.
    async fn heard_of(&self, lane: LaneNumber, primary: &ServerAddress) -> Result<Vec<(Node, Duration)>, EngineError> {
        let keys = LaneKeys { base: format!("{{{}}}:", self.tag(lane)) };
        let mut connection = self.topology.connect(primary).await?;
        let mut asked = pipe();
        asked.cmd("TIME").cmd("HGETALL").arg(keys.of("s"));
        let mut told = connection.send_packed_commands(&asked, 0, 2).await?.into_iter();
        let text = |value: Value| Some(String::from_utf8_lossy(&bytes(value)?).into_owned());
        let texts = |value: Option<Value>| -> Option<Vec<String>> { array(value?)?.into_iter().map(text).collect() };
        let (now, signs) = (texts(told.next()), texts(told.next()));
        let now: u64 = now.and_then(|now| now.first()?.parse().ok()).ok_or_else(|| strange("time"))?;
        let signs = signs.ok_or_else(|| strange("list of its nodes"))?;
        let sign = |pair: &[String]| {
            let at: u64 = pair[1].parse().ok()?;
            Some((Node::from(pair[0].as_str()), Duration::from_millis((now * 1_000).saturating_sub(at))))
        };
        Ok(signs.chunks_exact(2).filter_map(sign).collect())
    }
}

fn server_report(server: &ServerAddress, about: &BTreeMap<String, String>, lanes: usize, now: WallTime) -> ServerReport {
    let text = |name: &str| about.get(name).map(String::as_str).unwrap_or_default();
    let number = |name: &str| text(name).parse().unwrap_or(0);
    let release = match (text("server_name"), text("valkey_version")) {
        (name, "") => format!("{} {}", if name.is_empty() { "redis" } else { name }, text("redis_version")),
        (_, release) => format!("valkey {release}"),
    };
    let (is_primary, used, most) = (text("role") == "master", number("used_memory"), number("maxmemory"));
    // Of one that does not say what time it has nothing is said.
    let showed: u64 = number("server_time_usec") / 1_000;
    let ahead = if showed == 0 { 0 } else { showed.cast_signed().saturating_sub(now.millis().cast_signed()) };
    ServerReport { address: server.to_string(), release, is_primary, used, most, lanes, ahead }
}

fn faults_of(told: &ServerReport, about: &BTreeMap<String, String>, is_cluster: bool) -> Vec<String> {
    let mut faults: Vec<String> = unfit(about, is_cluster).map(str::to_owned).into_iter().collect();
    if told.most == 0 {
        faults.push("its maxmemory is not set: when the machine's memory is used up, the system ends it".to_owned());
    } else if told.used * 100 >= told.most * NEARLY_FULL {
        faults.push(format!("it uses {} % of its maxmemory: at 100 % uploads are refused", told.used * 100 / told.most));
    }
    if !told.is_primary && about.get("master_link_status").is_some_and(|link| link != "up") {
        faults.push("it has lost its primary, and does not follow it".to_owned());
    }
    faults.into_iter().map(|fault| format!("{}: {fault}", told.address)).collect()
}

/// What does not fit together, told once for each two nodes.
fn node_faults<'a>(nodes: impl Iterator<Item = &'a Node>) -> BTreeSet<String> {
    let nodes: BTreeSet<Node> = nodes.cloned().collect();
    let named = |own: &Node| NodeIdentity::read(own).map(|(identity, _)| identity.name).unwrap_or_default();
    nodes
        .iter()
        .flat_map(|own| faults(own, &nodes).into_iter().map(move |fault| format!("node {}: {fault}", named(own))))
        .collect()
}

fn node_report(node: &Node, silent: Duration) -> Option<NodeReport> {
    let (NodeIdentity { name, release, .. }, _) = NodeIdentity::read(node)?;
    Some(NodeReport { name, release, silent })
}
