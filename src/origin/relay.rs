//! Objects that grow on another node, where several share: asked for there once for all who read them here, and read here as an upload that came
//! here would be. It does not become the object by that: what has become of it the engine's journal tells.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use tokio::time::timeout;

use super::namespace::Hosted;
use super::relays::Relaying;
use crate::model::id::Key;
use crate::model::kind::Kind;
use crate::model::meta::Outset;
use crate::store::shared::{PeerBody, Peers};

/// How long a reader waits until others have said that they have nothing. Who expects the object, as they may too, goes on waiting.
const FIRST: Duration = Duration::from_millis(150);
/// How long others are waited for in all: longer than anybody holds a read.
const LONGEST: Duration = Duration::from_secs(35);

impl Hosted {
    /// Asks other nodes for an object that is not here; whether it grows on one of them, and so here from now on. What they say only later is
    /// told to who waits for the name. Cancel-safe: it is asked for all the same.
    pub(super) async fn grows_elsewhere(self: &Arc<Self>, key: &Key) -> bool {
        let Some(peers) = self.durable_tier.shared().and_then(|shared| shared.store.peers()) else { return false };
        let Some((mut known, asks)) = self.work.relays.join(key) else { return false };
        if let Some(asks) = asks {
            tokio::spawn(relay(Arc::clone(self), asks, Arc::clone(peers)));
        }
        // Nothing is ever sent: it ends.
        let _ = timeout(FIRST, known.changed()).await;
        self.hot.growing(key).is_some()
    }
}

/// Asks, and fetches what there is.
async fn relay(hosted: Arc<Hosted>, mut asks: Relaying, peers: Arc<dyn Peers>) {
    let key = asks.key.clone();
    let Ok(Some(body)) = timeout(LONGEST, peers.growing(&hosted.name, &key)).await else { return };
    let PeerBody { content_type, content_encoding, cache_control, mut pieces } = body;
    let Ok(mut upload) = hosted.hot.create(&key, None, hosted.hot.stamp()) else { return };
    let plain = Outset::plain(Kind::of(&key, b""), content_type, hosted.policy.default_ttl);
    upload.readable_as(Outset { content_encoding, cache_control, ..plain });
    while let Some(piece) = pieces.next().await {
        // Dropped, the upload is one that broke off: so it is for who reads it here.
        let Ok(piece) = piece else { return };
        if upload.write(piece).is_err() {
            return;
        }
        asks.known.take();
    }
    // It has been decided there; here it is known when the journal has been followed so far.
    let _ = hosted.fresh(&key, false).await;
    upload.end_elsewhere();
}
