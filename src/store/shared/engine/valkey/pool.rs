//! Words that all nodes know: what one adds is told to every one, until it is over. Beside the lanes, for what is no object.
//!
//! Nobody waits for copies here: whoever has a word adds it again with each look, so that what the engine has lost is there again.

use super::told::{array, bytes};
use super::{
    Duration, EngineError, Instant, LaneKeys, MultiplexedConnection, ServerAddress, Valkey, Value, pipe, strange, topology,
};
use crate::store::shared::EngineTime;

/// The lane whose primary keeps them.
const LANE: u16 = 0;
/// For so long it is taken for the primary, as long as it answers: all servers of a cluster are asked who is. One that is no more says so.
const GOOD: Duration = Duration::from_secs(2);

impl Valkey {
    /// Adds words to a list, each until a time, and tells all that are in it and not over.
    pub(in crate::store::shared) async fn pool(
        &self,
        list: &str,
        own: &[(String, EngineTime)],
    ) -> Result<Vec<String>, EngineError> {
        let mut kept = self.pooled.lock().await;
        let (looked, primary, mut connection) = match kept.take() {
            Some(kept) if kept.0.elapsed() < GOOD => kept,
            before => {
                let (now, primary) = (Instant::now(), self.topology.primary(topology::slot(&self.tag(LANE))).await?);
                match before.filter(|(_, to, _)| *to == primary) {
                    Some((_, _, connection)) => (now, primary, connection),
                    None => (now, primary.clone(), self.topology.connect(&primary).await?),
                }
            }
        };
        let all = ask(&mut connection, &LaneKeys { base: format!("{{{}}}:", self.tag(LANE)) }, list, own).await?;
        *kept = Some((looked, primary, connection));
        Ok(all)
    }
}

/// A connection that is kept for the next look, and when it was looked where the primary is.
pub(super) type PoolConnection = tokio::sync::Mutex<Option<(Instant, ServerAddress, MultiplexedConnection)>>;

async fn ask(
    connection: &mut MultiplexedConnection,
    keys: &LaneKeys,
    list: &str,
    own: &[(String, EngineTime)],
) -> Result<Vec<String>, EngineError> {
    let name = keys.of(format!("p:{list}"));
    let mut asked = pipe();
    if !own.is_empty() {
        let add = asked.cmd("ZADD").arg(&name);
        own.iter().for_each(|(word, until)| {
            add.arg(*until).arg(word);
        });
    }
    asked.cmd("TIME");
    let count = asked.len();
    let told = connection.send_packed_commands(&asked, 0, count).await?;
    let failed = told.iter().find(|value| matches!(value, Value::ServerError(_)));
    if let Some(Value::ServerError(error)) = failed {
        return Err(EngineError::Unreachable(format!("{error:?}")));
    }
    let seconds = told.into_iter().next_back().and_then(array).and_then(|time| bytes(time.into_iter().next()?));
    let seconds = seconds.and_then(|text| std::str::from_utf8(&text).ok()?.parse::<u64>().ok()).ok_or_else(|| strange("time"))?;
    let mut asked = pipe();
    asked.cmd("ZREMRANGEBYSCORE").arg(&name).arg("-inf").arg(seconds * 1_000);
    asked.cmd("ZRANGE").arg(&name).arg(0).arg(-1);
    let all = connection.send_packed_commands(&asked, 0, 2).await?.pop().and_then(array).ok_or_else(|| strange("list"))?;
    Ok(all.into_iter().filter_map(bytes).map(|word| String::from_utf8_lossy(&word).into_owned()).collect())
}
