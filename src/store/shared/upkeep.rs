//! What who looks after an engine has of it, without sharing anything.

use super::engine::valkey::{EngineReport, PrimaryMove, Valkey, ValkeyAddress};
use super::share::LANES;
use crate::model::clock::Clock;

/// Looks at the engine and at what it says of its nodes, once; and at its clocks, beside this one.
///
/// # Errors
/// Why it can't be looked at.
pub async fn examine(address: &ValkeyAddress, clock: &Clock) -> Result<EngineReport, String> {
    Valkey::new(address).examine(LANES, clock).await.map_err(|error| error.to_string())
}

/// Has replicas of the engine take over until its primaries are spread over the machines; tells which, each when it has.
///
/// # Errors
/// Why they do not.
pub async fn balance(address: &ValkeyAddress, told: impl FnMut(&PrimaryMove)) -> Result<(), String> {
    Valkey::new(address).balance(told).await.map_err(|error| error.to_string())
}

/// Reads a list that all nodes know, once.
///
/// # Errors
/// Why it can't be read.
pub async fn pooled(address: &ValkeyAddress, list: &str) -> Result<Vec<String>, String> {
    Valkey::new(address).pool(list, &[]).await.map_err(|error| error.to_string())
}
