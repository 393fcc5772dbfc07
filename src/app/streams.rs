//! Looks after the live streams: once a second each is judged, and what has changed is told.

use std::borrow::Cow;
use std::time::Duration;

use super::event_log::EventLog;
use super::fair_queue::by_turns;
use super::webhooks::Webhooks;
use crate::origin::{Event, Origin};
use crate::web::record::shown;

/// How often each live stream is judged.
const EVERY: Duration = Duration::from_secs(1);

/// Goes on until the runtime ends.
pub(super) async fn watch(origin: Origin, webhooks: Webhooks, events: EventLog) {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        for event in by_turns(origin.look().await, |event| &event.namespace) {
            let event = without_keys(event);
            log(&event);
            webhooks.send(&event);
            events.tell(&event);
        }
    }
}

/// The event as it may be told: an API key in a playlist's or segment's name goes to no log and to no other server.
fn without_keys(mut event: Event) -> Event {
    let Event { stream, playlist, detail, .. } = &mut event;
    for text in [stream, detail].into_iter().chain(playlist) {
        if let Cow::Owned(hidden) = shown(text) {
            *text = hidden;
        }
    }
    event
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
