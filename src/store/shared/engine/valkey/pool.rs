//! Words that all nodes know: what one adds is told to every one, until it is over. Beside the lanes, for what is no object.
//!
//! Nobody waits for copies here: whoever has a word looks again and again whether it is there, and adds it where it is not, so that what the
//! engine has lost is there again. What is told is [marked](PooledWords::mark), so that who knows it already is told no more than that.

use super::told::{array, bytes, text};
use super::{
    Duration, EngineError, Instant, LaneKeys, MultiplexedConnection, RedisError, ServerAddress, Valkey, Value, cmd, strange,
    topology,
};
use crate::store::shared::EngineTime;

/// The lane whose primary keeps them.
const LANE: u16 = 0;
/// For so long it is taken for the primary, as long as it answers: all servers of a cluster are asked who is. One that is no more says so.
const GOOD: Duration = Duration::from_secs(2);
/// What adds and tells them, at one moment.
const SCRIPT: &str = include_str!("pool.lua");
/// So many are added with one call: a server does nothing else meanwhile.
const AT_ONCE: usize = 1_000;
/// What is no mark: who knows it is told all words; and who knows nothing and wants to.
const ALL: &str = "all";
const NONE: &str = "";

/// What is told of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PooledWords {
    /// As long as it is the same nothing has come to the list.
    pub mark: String,
    /// All that are in it and not over; `None`: what the asker knows by its mark.
    pub words: Option<Vec<String>>,
}

impl Valkey {
    /// Adds words to a list, each until a time, and tells all that are in it and not over.
    pub(in crate::store::shared) async fn pool(
        &self,
        list: &str,
        own: &[(String, EngineTime)],
    ) -> Result<Vec<String>, EngineError> {
        Ok(self.exchange_words(list, ALL, own).await?.words.unwrap_or_default())
    }

    /// Adds words to a list, each until a time.
    pub(in crate::store::shared) async fn add_words(&self, list: &str, own: &[(String, EngineTime)]) -> Result<(), EngineError> {
        self.exchange_words(list, NONE, own).await.map(drop)
    }

    /// Tells all words of a list that are not over, where that is not what is known by this mark.
    pub(in crate::store::shared) async fn words(&self, list: &str, known: Option<&str>) -> Result<PooledWords, EngineError> {
        // That of a list in which there was nothing yet.
        self.exchange_words(list, known.filter(|mark| *mark != NONE).unwrap_or(ALL), &[]).await
    }

    async fn exchange_words(&self, list: &str, known: &str, own: &[(String, EngineTime)]) -> Result<PooledWords, EngineError> {
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
        let keys = LaneKeys { base: format!("{{{}}}:", self.tag(LANE)) };
        let (first, last) = own.split_at(own.len().saturating_sub(1) / AT_ONCE * AT_ONCE);
        for some in first.chunks(AT_ONCE) {
            ask(&mut connection, &keys, list, NONE, some).await?;
        }
        let told = ask(&mut connection, &keys, list, known, last).await?;
        *kept = Some((looked, primary, connection));
        Ok(told)
    }
}

/// A connection that is kept for the next look, and when it was looked where the primary is.
pub(super) type PoolConnection = tokio::sync::Mutex<Option<(Instant, ServerAddress, MultiplexedConnection)>>;

async fn ask(
    connection: &mut MultiplexedConnection,
    keys: &LaneKeys,
    list: &str,
    known: &str,
    own: &[(String, EngineTime)],
) -> Result<PooledWords, EngineError> {
    let mut asked = cmd("EVAL");
    asked.arg(SCRIPT).arg(2).arg(keys.of(format!("p:{list}"))).arg(keys.of(format!("m:{list}"))).arg(known);
    own.iter().for_each(|(word, until)| {
        asked.arg(*until).arg(word);
    });
    let told = match connection.send_packed_command(&asked).await? {
        Value::ServerError(error) => return Err(RedisError::from(error).into()),
        told => array(told).ok_or_else(|| strange("list"))?,
    };
    let mut told = told.into_iter();
    let mark = told.next().and_then(text).ok_or_else(|| strange("list"))?;
    let words = told.next().map(|words| {
        let words = array(words).ok_or_else(|| strange("list"))?.into_iter().filter_map(bytes);
        Ok::<_, EngineError>(words.map(|word| String::from_utf8_lossy(&word).into_owned()).collect())
    });
    Ok(PooledWords { mark, words: words.transpose()? })
}
