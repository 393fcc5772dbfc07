//! A Valkey Cluster with copies of what nodes share, and nodes on it.

use std::time::Duration;

use super::kit::{Cluster, Engine};
use crate::front::free_port;
use crate::harness::eventually;

/// A Valkey Cluster of one shard that has nearly all slots, with two replicas, and of two primaries more: a majority of three elects.
pub(crate) struct Shards {
    pub(crate) servers: Vec<Engine>,
}

/// So many servers are copies of the shard; those after them only vote.
const COPIES: usize = 3;
/// How many servers there are.
const SERVERS: usize = 5;

impl Shards {
    pub(crate) fn start() -> Self {
        let servers: Vec<_> = (0..SERVERS)
            .map(|_| {
                let bus = free_port().to_string();
                let options = [
                    "--cluster-enabled yes --cluster-node-timeout 500 --cluster-require-full-coverage no",
                    "--repl-diskless-sync-delay 0",
                ];
                let options = options.iter().flat_map(|options| options.split(' '));
                let more = ["--cluster-allow-replica-migration", "no", "--repl-diskless-load", "swapdb", "--cluster-port", &bus];
                Engine::start(&options.chain(more).collect::<Vec<_>>())
            })
            .collect();
        let new = Self { servers };
        for (number, server) in new.servers.iter().enumerate() {
            new.tell(number, &format!("CLUSTER SET-CONFIG-EPOCH {}", number + 1));
            let slots = [Some("0 16381"), None, None, Some("16382 16382"), Some("16383 16383")][number];
            if let Some(slots) = slots {
                new.tell(number, &format!("CLUSTER ADDSLOTSRANGE {slots}"));
            }
            if number > 0 {
                let bus = server.options.last().unwrap();
                new.tell(0, &format!("CLUSTER MEET 127.0.0.1 {} {bus}", server.address.port()));
            }
        }
        let own = || new.said(0, "CLUSTER MYID").lines().find(|line| line.len() == 40).map(str::to_owned);
        let id = eventually(Duration::from_secs(20), own).expect("it says who it is");
        for replica in 1..COPIES {
            let follows = || Some(new.said(replica, &format!("CLUSTER REPLICATE {id}"))).filter(|said| said.starts_with("+OK"));
            assert!(eventually(Duration::from_secs(20), follows).is_some(), "{}", new.said(replica, "CLUSTER NODES"));
        }
        assert!(new.is_whole_within(Duration::from_secs(20)), "{}", new.said(0, "CLUSTER NODES"));
        new
    }

    fn said(&self, number: usize, command: &str) -> String {
        self.servers[number].ask(command).unwrap_or_default()
    }

    fn tell(&self, number: usize, command: &str) {
        let said = self.said(number, command);
        assert!(said.starts_with("+OK"), "{command}: {said}");
    }

    /// The copy of the shard that all that can be asked take for its primary.
    pub(crate) fn primary(&self) -> Option<usize> {
        let mut named = (0..SERVERS).filter_map(|number| {
            let said = self.said(number, "CLUSTER NODES");
            let line = said.lines().find(|line| line.contains("master") && line.contains(" 0-16381"))?;
            let port: u16 = line.split([' ', '@']).nth(1)?.rsplit_once(':')?.1.parse().ok()?;
            self.servers.iter().position(|server| server.address.port() == port)
        });
        let first = named.next()?;
        named.all(|other| other == first).then_some(first)
    }

    /// The same, once there is one.
    pub(crate) fn primary_now(&self) -> usize {
        eventually(Duration::from_secs(20), || self.primary()).expect("the shard has a primary")
    }

    /// Whether the shard has its primary and two copies that have all, and every server says that all is well.
    pub(crate) fn is_whole_within(&self, limit: Duration) -> bool {
        let is_whole = || {
            let primary = self.primary()?;
            let said = self.said(primary, "INFO replication");
            let follow = said.matches("state=online").count();
            let well = (0..SERVERS).all(|number| self.said(number, "CLUSTER INFO").contains("cluster_state:ok"));
            (follow == COPIES - 1 && well && said.contains("role:master")).then_some(())
        };
        eventually(limit, is_whole).is_some()
    }

    /// Has a replica take over in good order.
    pub(crate) fn hand_over(&self) {
        let primary = self.primary_now();
        self.tell((primary + 1) % COPIES, "CLUSTER FAILOVER");
    }

    /// A copy of the shard that is not its primary.
    pub(crate) fn replica(&self) -> usize {
        (self.primary_now() + 1) % COPIES
    }
}

impl Cluster<Shards> {
    /// So many nodes that share a Valkey Cluster, which they reach without links.
    pub(crate) fn start_on_shards(without: Option<&'static str>, count: usize) -> Self {
        Self::start_shards(without, "", count)
    }

    /// The same, with `more` settings of the namespace.
    pub(super) fn start_on_shards_with(more: &str, count: usize) -> Self {
        Self::start_shards(None, more, count)
    }

    fn start_shards(without: Option<&'static str>, more: &str, count: usize) -> Self {
        let engine = Shards::start();
        let (folder, environment) = (tempfile::tempdir().unwrap(), Vec::new());
        let mut cluster = Self { nodes: Vec::new(), links: Vec::new(), engine, folder, without, environment };
        for _ in 0..count {
            cluster.join_shards(more);
        }
        cluster
    }

    /// One more.
    pub(super) fn join_shards(&mut self, more: &str) {
        let servers = &self.engine.servers;
        let engine = format!("valkey+cluster://{},{}", servers[1].address, servers[4].address);
        self.add(&engine, more);
    }
}
