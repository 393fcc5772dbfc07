//! Revocations of API keys and of viewers' tokens, which hold on all nodes: what one has in its data directory is told to the others by the
//! engine, and written into theirs, and put in force there.

use std::collections::HashSet;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::data_dir::DataDir;
use super::key_watch::ApiKeysInForce;
use super::viewer_revocations::RevocationList;
use crate::auth::grant::KeyId;
use crate::model::clock::WallTime;
use crate::store::shared::SharedStore;
use crate::web::Web;

/// How often others are asked: twice that, and what it takes to read the data directory, and a revocation is in force on all nodes.
const EVERY: Duration = Duration::from_millis(200);
/// The lists, as the engine names them.
const KEYS: &str = "keys";
const VIEWERS: &str = "viewers";
/// A revoked key is so for good: for as long as the engine can say.
const FOR_GOOD: WallTime = WallTime::from_millis(1 << 53);

/// The revocations of this node, and those of the others.
#[derive(Clone, Debug)]
pub(super) struct SharedRevocations {
    pub(super) shared: SharedStore,
    pub(super) data: DataDir,
    pub(super) keys: ApiKeysInForce,
    pub(super) list: RevocationList,
    /// Where viewers are refused.
    pub(super) web: Web,
}

impl SharedRevocations {
    /// Shares them until `stop`.
    pub(super) async fn share(self, stop: CancellationToken) {
        let mut trouble = None;
        while !stop.is_cancelled() {
            let told = async { if self.exchange().await? { self.put_in_force().await } else { Ok(()) } };
            let told = told.await.err();
            if let Some(error) = told.as_ref().filter(|_| trouble.is_none()) {
                tracing::warn!(
                    error,
                    "revocations are not shared with the other nodes: revoke on each of them until they are again"
                );
            }
            trouble = told;
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
        let own: Vec<_> =
            on_disk(&self.data, |data| Ok(data.revoked()?.iter().map(|id| (id.to_string(), FOR_GOOD)).collect())).await?;
        let keys = news(self.shared.pool(KEYS, &own).await?, &own);
        let mut has_news = !keys.is_empty();
        if has_news {
            let revoke =
                move |data: &DataDir| keys.iter().filter_map(|id| KeyId::parse(id).ok()).try_for_each(|id| data.revoke(&id));
            on_disk(&self.data, revoke).await?;
        }
        let own = on_disk(&self.list, RevocationList::texts).await?;
        let tokens = news(self.shared.pool(VIEWERS, &own).await?, &own);
        if !tokens.is_empty() {
            has_news = true;
            on_disk(&self.list, move |list| tokens.iter().try_for_each(|text| list.take(text))).await?;
        }
        Ok(has_news)
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

/// Those that are not here.
fn news(all: Vec<String>, own: &[(String, WallTime)]) -> Vec<String> {
    let own: HashSet<&str> = own.iter().map(|(word, _)| word.as_str()).collect();
    all.into_iter().filter(|word| !own.contains(word.as_str())).collect()
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
