//! Revocations of API keys and of viewers' tokens, which hold on all nodes: what one has in its data directory is told to the others by the
//! engine, and written into theirs, and put in force there.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::data_dir::DataDir;
use super::key_watch::ApiKeysInForce;
use super::told_reasons::ToldReasons;
use super::viewer_revocations::{ListStamp, RevocationList};
use crate::auth::grant::KeyId;
use crate::model::clock::WallTime;
use crate::store::shared::{PooledWords, SharedStore};
use crate::web::Web;

/// How often others are asked: twice that, and what it takes to read the data directory, and a revocation is in force on all nodes.
const EVERY: Duration = Duration::from_millis(200);
/// How often all of what others have is asked for, known or not: what came from a node of an earlier release may not be told else.
const WHOLE: Duration = Duration::from_secs(10);
/// The lists, as the engine names them.
const KEYS: &str = "keys";
const VIEWERS: &str = "viewers";
/// A revoked key is so for good: for as long as the engine can say.
const FOR_GOOD: WallTime = WallTime::from_millis(1 << 53);

/// The revocations of this node, and those of the others.
#[derive(Clone, Debug)]
pub(super) struct SharedRevocations {
    shared: SharedStore,
    data: DataDir,
    keys: ApiKeysInForce,
    list: RevocationList,
    /// Where viewers are refused.
    web: Web,
    seen: Arc<Mutex<SeenRevocations>>,
}

/// What there was at the last exchange, so that only what is new goes to and fro: there may be very many.
#[derive(Debug, Default)]
struct SeenRevocations {
    keys: SeenList<HashSet<KeyId>>,
    viewers: SeenList<ListStamp>,
}

/// Of one list. `S` tells one state of what is in the data directory from another.
#[derive(Debug)]
struct SeenList<S> {
    /// What the engine has, by its mark; and when it told all of it.
    there: HashSet<String>,
    mark: Option<String>,
    told: Option<Instant>,
    here: Option<S>,
}

impl<S> Default for SeenList<S> {
    fn default() -> Self {
        Self { there: HashSet::new(), mark: None, told: None, here: None }
    }
}

impl<S: PartialEq> SeenList<S> {
    /// By which mark it is to be asked what has come.
    fn known(&self) -> Option<&str> {
        self.mark.as_deref().filter(|_| self.told.is_some_and(|at| at.elapsed() < WHOLE))
    }

    /// What the engine says, and the state of what is here. Whether that is anything that is not known yet.
    fn looked(&mut self, said: PooledWords, here: S) -> bool {
        let has_come = said.words.is_some();
        if let Some(words) = said.words {
            (self.there, self.told) = (words.into_iter().collect(), Some(Instant::now()));
        }
        self.mark = Some(said.mark);
        let is_other = self.here.as_ref() != Some(&here);
        self.here = Some(here);
        has_come || is_other
    }

    /// Of those that are here, the ones that the engine lacks; and of those that it has, the ones that are not here.
    fn compare(&self, own: Vec<(String, WallTime)>) -> (Vec<(String, WallTime)>, Vec<String>) {
        let here: HashSet<&str> = own.iter().map(|(word, _)| word.as_str()).collect();
        let news = self.there.iter().filter(|word| !here.contains(word.as_str())).cloned().collect();
        (own.into_iter().filter(|(word, _)| !self.there.contains(word)).collect(), news)
    }
}

impl SharedRevocations {
    /// `web`: where viewers are refused.
    pub(super) fn new(shared: SharedStore, data: DataDir, keys: ApiKeysInForce, list: RevocationList, web: Web) -> Self {
        Self { shared, data, keys, list, web, seen: Arc::default() }
    }

    /// Shares them until `stop`.
    pub(super) async fn share(self, stop: CancellationToken) {
        let mut reasons = ToldReasons::default();
        while !stop.is_cancelled() {
            let told = async { if self.exchange().await? { self.put_in_force().await } else { Ok(()) } };
            match told.await {
                Err(error) if reasons.is_new(&error) => tracing::warn!(
                    error,
                    "revocations are not shared with the other nodes: revoke on each of them until they are again"
                ),
                Ok(()) if reasons.are_over() => tracing::info!("revocations are shared with the other nodes again"),
                _ => {}
            }
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                () = stop.cancelled() => {}
            }
        }
    }

    /// Tells what is in the data directory, and writes there what others have. Says whether that is anything.
    ///
    /// # Errors
    /// Why not all of it is there now.
    pub(super) async fn exchange(&self) -> Result<bool, String> {
        let mut seen = self.seen.lock().await;
        // Where this comes to no end all is asked for anew.
        let mut now = std::mem::take(&mut *seen);
        let told = self.exchange_with(&mut now).await?;
        *seen = now;
        Ok(told)
    }

    async fn exchange_with(&self, seen: &mut SeenRevocations) -> Result<bool, String> {
        let here = |data: &DataDir| anyhow::Ok(data.revoked()?);
        let own = |data: &DataDir| anyhow::Ok(data.revoked()?.iter().map(|id| (id.to_string(), FOR_GOOD)).collect());
        let keys = self.exchange_list(KEYS, &mut seen.keys, &self.data, here, own).await?;
        let mut has_news = !keys.is_empty();
        if has_news {
            let revoke =
                move |data: &DataDir| keys.iter().filter_map(|id| KeyId::parse(id).ok()).try_for_each(|id| data.revoke(&id));
            on_disk(&self.data, revoke).await?;
        }
        let here = |list: &RevocationList| anyhow::Ok(list.stamp());
        let tokens = self.exchange_list(VIEWERS, &mut seen.viewers, &self.list, here, RevocationList::texts).await?;
        if !tokens.is_empty() {
            has_news = true;
            on_disk(&self.list, move |list| list.take(&tokens)).await?;
        }
        Ok(has_news)
    }

    /// Tells a list what it lacks of what is here; what it has and is not here.
    async fn exchange_list<D: Clone + Send + 'static, S: PartialEq + Send + 'static>(
        &self,
        list: &str,
        seen: &mut SeenList<S>,
        of: &D,
        here: impl FnOnce(&D) -> anyhow::Result<S> + Send + 'static,
        own: impl FnOnce(&D) -> anyhow::Result<Vec<(String, WallTime)>> + Send + 'static,
    ) -> Result<Vec<String>, String> {
        let said = self.shared.words(list, seen.known()).await?;
        // Before what it is the state of: what comes in between is found by the next look.
        if !seen.looked(said, on_disk(of, here).await?) {
            return Ok(Vec::new());
        }
        let (lacks, news) = seen.compare(on_disk(of, own).await?);
        if !lacks.is_empty() {
            self.shared.add_words(list, &lacks).await?;
        }
        Ok(news)
    }

    /// Puts in force what is in the data directory of keys and of tokens, without waiting for those who look after it.
    ///
    /// # Errors
    /// When it can't be read.
    pub(super) async fn put_in_force(&self) -> Result<(), String> {
        let web = self.web.clone();
        on_disk(&self.keys, ApiKeysInForce::look).await?;
        on_disk(&self.list, move |list| list.look(&web)).await
    }
}

async fn on_disk<D: Clone + Send + 'static, T: Send + 'static>(
    of: &D,
    work: impl FnOnce(&D) -> anyhow::Result<T> + Send + 'static,
) -> Result<T, String> {
    let of = of.clone();
    match tokio::task::spawn_blocking(move || work(&of)).await {
        Ok(done) => done.map_err(|error| format!("{error:#}")),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_is_neither_told_nor_compared_again() {
        let mut seen = SeenList::default();
        assert_eq!(seen.known(), None);
        let said = |mark: &str, words: Option<&[&str]>| PooledWords {
            mark: mark.to_owned(),
            words: words.map(|words| words.iter().map(|&word| word.to_owned()).collect()),
        };
        let own = |words: &[&str]| words.iter().map(|&word| (word.to_owned(), FOR_GOOD)).collect::<Vec<_>>();
        assert!(seen.looked(said("1", Some(&["theirs", "both"])), 7));
        assert_eq!(seen.compare(own(&["mine", "both"])), (own(&["mine"]), vec!["theirs".to_owned()]));
        assert_eq!(seen.known(), Some("1"));
        assert!(!seen.looked(said("1", None), 7), "as it was, here and there");
        assert!(seen.looked(said("1", None), 8), "another one here");
        assert!(seen.looked(said("", Some(&[])), 8), "an engine that has lost all");
        assert_eq!(seen.compare(own(&["both"])).0, own(&["both"]));
    }
}
