//! Revocations of API keys and of viewers' tokens, which hold on all nodes: what one has in its data directory is told to the others by the
//! engine, and written into theirs, where it is put in force as what is revoked there is.

use std::collections::HashSet;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::data_dir::DataDir;
use super::viewer_revocations::RevocationList;
use crate::auth::grant::KeyId;
use crate::model::clock::WallTime;
use crate::store::shared::SharedStore;

/// How often others are asked: twice that, and what it takes to read the data directory, and a revocation is in force on all nodes.
const EVERY: Duration = Duration::from_millis(200);
/// The lists, as the engine names them.
const KEYS: &str = "keys";
const VIEWERS: &str = "viewers";
/// A revoked key is so for good: for as long as the engine can say.
const FOR_GOOD: WallTime = WallTime::from_millis(1 << 53);

/// Shares them until `stop`.
pub(super) async fn share(shared: SharedStore, data: DataDir, list: RevocationList, stop: CancellationToken) {
    let mut trouble = None;
    while !stop.is_cancelled() {
        let told = exchange(&shared, &data, &list).await.err();
        if let Some(error) = told.as_ref().filter(|_| trouble.is_none()) {
            tracing::warn!(error, "revocations are not shared with the other nodes: revoke on each of them until they are again");
        }
        trouble = told;
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = stop.cancelled() => {}
        }
    }
}

async fn exchange(shared: &SharedStore, data: &DataDir, list: &RevocationList) -> Result<(), String> {
    let own: Vec<_> = on_disk(data, |data| Ok(data.revoked()?.iter().map(|id| (id.to_string(), FOR_GOOD)).collect())).await?;
    let new = news(shared.pool(KEYS, &own).await?, &own);
    if !new.is_empty() {
        on_disk(data, move |data| new.iter().filter_map(|id| KeyId::parse(id).ok()).try_for_each(|id| data.revoke(&id))).await?;
    }
    let own = on_disk(list, RevocationList::texts).await?;
    let new = news(shared.pool(VIEWERS, &own).await?, &own);
    if !new.is_empty() {
        on_disk(list, move |list| new.iter().try_for_each(|text| list.take(text))).await?;
    }
    Ok(())
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
