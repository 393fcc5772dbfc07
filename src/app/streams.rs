//! Looks after the live streams: once a second each is judged, and what has changed is told.

use std::time::Duration;

use super::webhooks::Webhooks;
use crate::origin::{Event, Origin};

/// How often each live stream is judged.
const EVERY: Duration = Duration::from_secs(1);

/// Goes on until the runtime ends.
pub(super) async fn watch(origin: Origin, webhooks: Webhooks) {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        for event in origin.look().await {
            log(&event);
            webhooks.send(&event);
        }
    }
}

fn log(event: &Event) {
    let Event { namespace, stream, event: what, detail, .. } = event;
    let playlist = event.playlist.as_ref().unwrap_or(stream);
    if event.trouble {
        tracing::warn!(namespace, stream, playlist, event = what, detail, "stream");
    } else {
        tracing::info!(namespace, stream, playlist, event = what, detail, "stream");
    }
}
