//! The engine that several nodes share, as `springhead doctor --cluster` judges it: each server, and which nodes the engine has heard of.

use std::collections::BTreeSet;
use std::time::Duration;

use super::report::{Finding, Report};
use crate::app::client::At;
use crate::app::node_peers::ReachedNode;
use crate::model::units::{Size, Span};
use crate::store::shared::{EngineReport, ServerReport};

/// Nodes give two signs a second in each lane: who has given none for so long is gone, or can't reach the engine.
const SILENT: Duration = Duration::from_secs(2);
/// By so much an engine's clock may differ from this machine's.
const IN_STEP: Duration = Duration::from_secs(1);

/// What to do about a fault, by what its text says.
const CURES: &[(&str, &str)] = &[
    ("maxmemory-policy", "CONFIG SET maxmemory-policy noeviction, and the same in its configuration: until then no node starts"),
    (
        "maxmemory is not set",
        "CONFIG SET maxmemory, and the same in its configuration: 1.3 times what is to be stored, see docs/several-nodes.md",
    ),
    (
        "of its maxmemory",
        "raise its maxmemory, shorten the TTLs, or set shared_capacity of the namespaces, by which what is old makes room",
    ),
    ("replica-migration", "CONFIG SET cluster-allow-replica-migration no on all servers, and the same in their configuration"),
    (
        "[cluster] copies says",
        "start the replica that is missing, or have the cluster forget the one that is too many (CLUSTER FORGET)",
    ),
    ("lost its primary", "look at the network between the two, and at both logs; a replica that does not follow is no copy"),
    ("goes by this node's name", "give each node a [cluster] node of its own, and start it again"),
    ("other signing keys", "copy signing.key and viewer.key from one node to all, and start the others again"),
    ("part of a cluster", "write valkey+cluster:// in [cluster] engine on all nodes"),
    ("one server by itself", "write valkey:// in [cluster] engine on all nodes, or name a cluster"),
];
const USUAL: &str = "is that server up, and reached from here? Its log and 'springhead cluster status' say more";

/// Says what was found. `told`: the nodes that say where they are reached, as far as that is known.
pub(super) fn judge(found: &EngineReport, told: Option<&[ReachedNode]>, report: &mut Report) {
    let primaries = found.servers.iter().filter(|server| server.lanes > 0).count();
    let all: Vec<_> = found
        .servers
        .iter()
        .map(|server| format!("{} ({}, uses {} of {})", server.address, server.release, Size(server.used), most(server.most)))
        .collect();
    report.add(At::Origin, Finding::ok("engine", format!("{primaries} primaries; {}", all.join(", "))));
    for fault in &found.faults {
        report.add(At::Origin, Finding::failure("engine", fault.clone(), cure(fault)));
    }
    let apart = |server: &ServerReport| Duration::from_millis(server.ahead.unsigned_abs());
    for server in found.servers.iter().filter(|server| apart(server) > IN_STEP) {
        let behind = if server.ahead > 0 { "ahead of" } else { "behind" };
        let text = format!("{}'s clock is {:.1} s {behind} this machine's", server.address, apart(server).as_secs_f64());
        let advice = "have NTP set both clocks: after a failover objects would expire by as much too early or too late";
        report.add(At::Origin, Finding::warning("clock", text, advice));
    }
    for node in &found.nodes {
        let (name, silent) = (&node.name, Span(node.silent));
        let finding = if node.silent <= SILENT {
            Finding::ok("member", format!("{name}, springhead {}", node.release))
        } else {
            let advice = "if it was stopped, it is forgotten a minute later. If it runs, it does not reach the engine: its /readyz and its log say why";
            Finding::warning("member", format!("{name} has not been heard of for {silent}"), advice)
        };
        report.add(At::Origin, finding);
    }
    let told = told.map(|told| told.iter().map(|node| node.name.as_str()).collect());
    if let Some(finding) = told.and_then(|told| untold(found, &told)) {
        report.add(At::Origin, finding);
    }
}

/// Nodes that the engine hears of and that tell nobody where they are, so that nobody asks them. `told`: those that tell.
fn untold(found: &EngineReport, told: &BTreeSet<&str>) -> Option<Finding> {
    let living = found.nodes.iter().filter(|node| node.silent <= SILENT).map(|node| node.name.as_str());
    let missing: Vec<_> = living.filter(|name| !told.contains(name)).collect();
    (!missing.is_empty()).then(|| {
        let text = format!("the engine hears of {}, and no other node is told where to reach it", missing.join(", "));
        let advice = "it is asked for nothing here, nor by other nodes, for what grows there: where it listens over TLS alone, [cluster] advertise has to \
                      say where. One that was started this second: ask again";
        Finding::failure("member", text, advice)
    })
}

fn most(bytes: u64) -> String {
    if bytes == 0 { "any".to_owned() } else { Size(bytes).to_string() }
}

fn cure(fault: &str) -> &'static str {
    CURES.iter().find(|(words, _)| fault.contains(words)).map_or(USUAL, |(_, cure)| cure)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::shared::NodeReport;

    #[test]
    fn who_is_heard_of_and_says_not_where_he_is_is_named() {
        let node = |name: &str, millis: u64| NodeReport {
            name: name.to_owned(),
            release: "1.0.0".to_owned(),
            silent: Duration::from_millis(millis),
        };
        let found = EngineReport { nodes: vec![node("a", 100), node("b", 200), node("gone", 9_000)], ..EngineReport::default() };
        assert!(untold(&found, &BTreeSet::from(["a", "b"])).is_none());
        let finding = untold(&found, &BTreeSet::from(["a"])).unwrap();
        assert!(finding.text.starts_with("the engine hears of b,"), "{}", finding.text);
    }

    #[test]
    fn each_fault_has_its_own_cure() {
        for (fault, begins) in [
            (
                "10.0.0.1:6379: its maxmemory-policy has to be noeviction: with any other it throws away what was stored",
                "CONFIG SET maxmemory-policy",
            ),
            (
                "10.0.0.1:6379: its maxmemory is not set: when the machine's memory is used up, the system ends it",
                "CONFIG SET maxmemory,",
            ),
            ("node a: another process goes by this node's name, a: give each a [cluster] node of its own", "give each node"),
            ("10.0.0.1:6379: it is one server by itself, and a cluster was named: write valkey://", "write valkey://"),
            ("lane 03: the engine can't be reached: refused", "is that server up"),
        ] {
            assert!(cure(fault).starts_with(begins), "{fault}");
        }
    }
}
