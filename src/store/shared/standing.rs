//! How sharing goes: whether the engine answers, which nodes there are and how they are asked, and whether all is known that there is.

use std::sync::Arc;

use futures_util::future::join_all;
use tokio::time::timeout;

use super::ObjectName;
use super::engine::EngineError;
use super::peers::Peers;
use super::share::{FRESH_WITHIN, SharedStore};
use crate::store::StoreError;

impl SharedStore {
    /// Waits until everything is known that there is. Cancel-safe.
    pub async fn opened(&self) {
        for lane in &self.0.lanes {
            lane.opened().await;
        }
    }

    /// Why nothing can be shared now, if it can't. `true`: it is for somebody to do something about it.
    #[must_use]
    pub fn trouble(&self) -> Option<(String, bool)> {
        let troubles = self.0.lanes.iter().filter_map(|lane| lane.stands().err());
        let mut told: Vec<_> = troubles
            .map(|trouble| match trouble {
                Some(error) => (error.to_string(), matches!(error, EngineError::Unfit(_))),
                None => ("the engine is being asked".to_owned(), false),
            })
            .collect();
        told.sort_by_key(|(_, is_unfit)| *is_unfit);
        told.pop()
    }

    /// Says how other nodes are asked. Once.
    pub fn ask_by(&self, peers: Arc<dyn Peers>) {
        let _ = self.0.peers.set(peers);
    }

    /// By whom other nodes are asked, if they are.
    #[must_use]
    pub fn peers(&self) -> Option<&Arc<dyn Peers>> {
        self.0.peers.get()
    }

    /// How many nodes the engine takes for alive, as far as that is known here: this one at least.
    #[must_use]
    pub fn members(&self) -> u64 {
        self.0.metrics.members.get().max(1)
    }

    /// What does not fit together among the nodes and the engine's servers, for who looks after them.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        self.0.roster.faults().into_iter().chain(self.0.clock.fault()).collect()
    }

    /// Waits until what is known here of all objects is all that was answered before, on whichever node. Cancel-safe.
    ///
    /// # Errors
    /// [`StoreError::Unshared`].
    pub async fn all_fresh(&self) -> Result<(), StoreError> {
        // Of no name in particular.
        let none = ObjectName::from("");
        let all = join_all(self.0.lanes.iter().map(|lane| lane.fresh(&none)));
        timeout(FRESH_WITHIN, all).await.map(drop).map_err(|_| StoreError::Unshared)
    }
}
