//! What requests cost at the engine, by its own count of commands: the same for one node as for many, but for what each node that reads has to fetch once.

use super::kit::{Cluster, Engine};
use super::playlist;
use crate::harness::bytes;

/// How often the engine has done this, within scripts or not.
pub(super) fn count(engine: &Engine, command: &str) -> u64 {
    let said = engine.ask("INFO commandstats").unwrap();
    let line = said.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")).map(str::to_owned));
    line.map_or(0, |line| line.split(',').next().unwrap().parse().unwrap())
}

#[test]
fn requests_cost_the_same_at_the_engine_whatever_nodes_there_are() {
    for nodes in [1, 3] {
        let cluster = Cluster::start(nodes, "");
        let [first, last] = [&cluster.nodes[0], &cluster.nodes[nodes - 1]];
        let commands = ["xadd", "set", "setrange", "rename", "get"];
        let during = |work: &dyn Fn()| {
            let before = commands.map(|command| count(&cluster.engine, command));
            work();
            let after = commands.map(|command| count(&cluster.engine, command));
            std::array::from_fn::<u64, 5, _>(|at| after[at] - before[at])
        };
        let segment = |number: u64| format!("c/segment-{number}.ts");
        // A step of the journal each, and a body: at once what is short, ahead of its commit what is long.
        let puts = during(&|| (0..20).for_each(|number| first.store("c/p.m3u8", playlist(number, 4))));
        assert_eq!(puts, [20, 20, 0, 0, 0], "{nodes} nodes");
        let puts = during(&|| (0..20).for_each(|number| first.store(&segment(number), bytes(number, 100_000))));
        assert_eq!(puts, [20, 20, 20, 20, 0], "{nodes} nodes");
        // A playlist has come with the journal; a segment is fetched once where it was not taken.
        let reads = during(&|| (0..50).for_each(|_| assert_eq!(last.get("c/p.m3u8").status, 200)));
        assert_eq!(reads, [0; 5], "{nodes} nodes");
        let reads = during(&|| (0..60).for_each(|number| assert_eq!(last.get(&segment(number % 20)).body.len(), 100_000)));
        assert_eq!(reads, [0, 0, 0, 0, if nodes == 1 { 0 } else { 20 }], "{nodes} nodes");
        let reads = during(&|| (0..50).for_each(|number| assert_eq!(last.get(&format!("c/none-{number}.ts")).status, 404)));
        assert_eq!(reads, [0; 5], "a name that is nowhere, {nodes} nodes");
    }
}
