//! What requests cost at the engine, by its own count of commands: the same for one node as for many, but for what each node that reads has to fetch once.

use std::thread;
use std::time::{Duration, Instant};

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

/// All commands that were sent to it, scripts among them, and how often somebody connected.
fn asked(engine: &Engine) -> [u64; 3] {
    let said = engine.ask("INFO stats").unwrap();
    let figure = |name: &str| said.lines().find_map(|line| line.strip_prefix(name)?.parse().ok()).unwrap_or(0);
    [count(engine, "evalsha"), figure("total_commands_processed:"), figure("total_connections_received:")]
}

/// What nodes ask of these servers while nobody asks anything of them: each of them, in a second.
fn idle(nodes: u32, servers: &[&Engine]) -> [f64; 3] {
    thread::sleep(Duration::from_secs(3));
    let (before, begun) = (servers.iter().map(|server| asked(server)).collect::<Vec<_>>(), Instant::now());
    thread::sleep(Duration::from_secs(4));
    let after: Vec<_> = servers.iter().map(|server| asked(server)).collect();
    let seconds = begun.elapsed().as_secs_f64() * f64::from(nodes);
    std::array::from_fn(|at| {
        let sum: u64 = after.iter().zip(&before).map(|(after, before)| after[at] - before[at]).sum();
        f64::from(u32::try_from(sum).unwrap()) / seconds
    })
}

/// More than that is a mistake, whatever the machine does; less is none.
#[test]
fn nodes_to_whom_nobody_comes_ask_little() {
    let (cluster, shards) = (Cluster::start(2, ""), Cluster::start_on_shards(None, 2));
    let servers: Vec<&Engine> = shards.engine.servers.iter().collect();
    // Both at once: all of it is waiting.
    let (of_one, of_five) = thread::scope(|scope| {
        let of_one = scope.spawn(|| idle(2, &[&cluster.engine]));
        let of_five = idle(2, &servers);
        (of_one.join().unwrap(), of_five)
    });
    let [scripts, commands, connections] = of_one;
    eprintln!("a node that idles: {scripts:.1} scripts, {commands:.1} commands, {connections:.1} connections a second");
    assert!(scripts < 32.0 && connections < 4.0, "{scripts} scripts, {connections} connections");
    let [scripts, commands, connections] = of_five;
    eprintln!(
        "the same on a cluster of five: {scripts:.1} scripts, {commands:.1} commands, {connections:.1} connections a second"
    );
    assert!(scripts < 32.0 && connections < 12.0, "{scripts} scripts, {connections} connections");
}

#[test]
fn scripts_that_the_engine_has_no_more_are_sent_again() {
    let cluster = Cluster::start(1, "");
    let node = &cluster.nodes[0];
    node.store("c/p.m3u8", playlist(0, 4));
    let sessions = node.metric("springhead_cluster_sessions_total");
    let loads = count(&cluster.engine, "script|load");
    assert!(cluster.engine.ask("SCRIPT FLUSH").unwrap().starts_with("+OK"));
    for number in 1..20 {
        node.store("c/p.m3u8", playlist(number, 4));
        assert_eq!(node.get("c/p.m3u8").text(), playlist(number, 4));
    }
    assert_eq!(node.metric("springhead_cluster_sessions_total"), sessions, "nobody had to begin anew");
    let again = count(&cluster.engine, "script|load") - loads;
    // Of each of two, by as many lanes as ask at that moment; no more by each connection.
    assert!((2..=48).contains(&again), "{again} times");
}
