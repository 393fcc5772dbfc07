//! Brings back the memory of expired objects.

use std::time::Duration;

use crate::origin::Origin;

/// How often expired objects are looked for: memory comes back within a second of expiry, the allocator's own delay included, unless a great
/// many fall due at once.
const EVERY: Duration = Duration::from_millis(200);

/// Goes on until the runtime ends.
pub(super) async fn watch(origin: Origin) {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        origin.sweep().await;
    }
}
