//! After failovers one machine may have more primaries than others: were it lost, too few would be left to elect. So replicas take over, in good
//! order, until no machine has two more than another that could have one of them.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::topology::ClusterServer;
use super::{EngineError, ServerAddress, Valkey, cmd};

/// How long a replica may take to take over.
const TAKES: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(100);

/// A replica that takes over from its primary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrimaryMove {
    /// The primary.
    pub from: ServerAddress,
    /// The replica.
    pub to: ServerAddress,
}

/// Which are to take over, by what one server says of the cluster.
fn moves(view: &[ClusterServer]) -> Vec<PrimaryMove> {
    let mut primary_of: BTreeMap<&str, &ClusterServer> =
        view.iter().filter(|server| server.is_primary && !server.slots.is_empty()).map(|server| (&*server.id, server)).collect();
    let mut moves = Vec::new();
    loop {
        let mut counts: BTreeMap<&str, usize> = view.iter().map(|server| (&*server.address.host, 0)).collect();
        for primary in primary_of.values() {
            *counts.entry(&primary.address.host).or_default() += 1;
        }
        let count = |server: &ClusterServer| counts.get(&*server.address.host).copied().unwrap_or(0);
        let replicas = view.iter().filter(|server| !server.is_primary);
        let could = replicas.filter_map(|replica| {
            // By its shard, which is called as its primary was.
            let (shard, primary) = primary_of.get_key_value(replica.follows.as_deref()?)?;
            Some((count(primary).checked_sub(count(replica) + 2)?, *shard, *primary, replica))
        });
        let Some((_, shard, primary, replica)) = could.max_by_key(|(gain, ..)| *gain) else { return moves };
        moves.push(PrimaryMove { from: primary.address.clone(), to: replica.address.clone() });
        primary_of.insert(shard, replica);
    }
}

impl Valkey {
    /// Has replicas take over where that is better; hands over which, one after the other as they do.
    ///
    /// # Errors
    /// Where there is no cluster, or one of them does not.
    pub(in crate::store::shared) async fn balance(&self, mut told: impl FnMut(&PrimaryMove)) -> Result<(), EngineError> {
        let view = self.topology.any_view().await?;
        for one in moves(&view) {
            let mut replica = self.topology.connect(&one.to).await?;
            let mut asked = cmd("CLUSTER");
            asked.arg("FAILOVER");
            replica.send_packed_command(&asked).await?;
            let until = Instant::now() + TAKES;
            while self.topology.about(&one.to).await?.get("role").is_none_or(|role| role != "master") {
                if Instant::now() >= until {
                    return Err(EngineError::Unreachable(format!("{} does not take over from {}", one.to, one.from)));
                }
                sleep(LOOK).await;
            }
            told(&one);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::shared::engine::valkey::topology::servers;

    fn plan(text: &str) -> Vec<String> {
        moves(&servers(text, "h")).into_iter().map(|PrimaryMove { from, to }| format!("{from} -> {to}")).collect()
    }

    #[test]
    fn no_machine_keeps_two_primaries_more_than_another() {
        let shard = |id: &str, hosts: [&str; 3], slots: &str| -> String {
            let [primary, one, two] = hosts;
            format!(
                "{id} {primary}:1@2 master - 0 0 1 connected {slots}\n{id}1 {one}:1@2 slave {id} 0 0 1 connected\n{id}2 {two}:1@2 slave {id} 0 0 1 connected\n"
            )
        };
        let even =
            [shard("s", ["a", "b", "c"], "0-5"), shard("t", ["b", "c", "a"], "6-9"), shard("u", ["c", "a", "b"], "10")].concat();
        assert_eq!(plan(&even), [""; 0]);
        let skewed =
            [shard("s", ["a", "b", "c"], "0-5"), shard("t", ["a", "b", "c"], "6-9"), shard("u", ["a", "b", "c"], "10")].concat();
        let told = plan(&skewed);
        assert!(told.len() == 2 && told.iter().all(|one| one.starts_with("a:1 -> ")), "{told:?}");
        assert!(told.iter().any(|one| one.ends_with("b:1")) && told.iter().any(|one| one.ends_with("c:1")), "{told:?}");
        // One more is none too many, and who has no slots is no primary.
        assert_eq!(plan(&[shard("s", ["a", "b", "c"], "0-5"), shard("t", ["a", "a", "a"], "")].concat()), [""; 0]);
        assert_eq!(plan(&shard("s", ["a", "a", "a"], "0-5")), [""; 0]);
    }
}
