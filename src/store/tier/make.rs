//! One change, from its turn to its end.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::queue::{Change, Turn};
use super::{Ack, Shared};
use crate::store::cold::{Attributes, Care, Cold, ColdError};

/// How long a change may take before the tier is said to fail.
const SLOW: Duration = Duration::from_secs(10);

/// Makes one change.
pub(super) async fn make(shared: Arc<Shared>, cold: Arc<dyn Cold>, turn: Turn) {
    let care = match shared.state.lock().options.ack {
        Ack::Hot => Care::Buffered,
        Ack::Durable => Care::Synced,
    };
    let written = match &turn.change {
        // A write of what has expired while it waited is a removal.
        Change::Write(entry) if entry.meta.is_live(shared.clock.now()) => Some(entry),
        _ => None,
    };
    let mut change = pin!(async {
        match written {
            Some(entry) => {
                let attributes = Attributes::of(&entry.body, &entry.meta, &shared.clock);
                cold.put(&turn.key, entry.body.clone(), &attributes, care).await
            }
            None if matches!(turn.change, Change::Clear) && matches!(cold.head(&turn.key).await, Err(ColdError::Later(_))) => {
                shared.state.lock().is_later(&turn.key);
                Ok(())
            }
            None => cold.delete(&turn.key, care).await,
        }
    });
    // A disk that hangs gives no answer for as long as it does. The change is let go on: nobody knows what comes of it.
    let result = if let Ok(result) = timeout(SLOW, &mut change).await {
        result
    } else {
        shared.note(Err(&ColdError::Unavailable(format!("it has not answered for {} s", SLOW.as_secs()))));
        change.await
    };
    let mut state = shared.state.lock();
    let was_alone = state.ended(&turn);
    let mut is_making_room = false;
    match (&result, written) {
        (Ok(()), Some(entry)) => {
            state.written(&turn, entry);
            shared.metrics.written.inc();
        }
        (Ok(()), None) => {
            state.gone(&turn);
            // What has not been begun at the end is left to the next start.
            if !shared.drain.is_cancelled() {
                state.sweep_on();
            }
        }
        (Err(ColdError::Unfit(_)), _) => state.unfit(&turn),
        (Err(ColdError::Full(_)), Some(entry)) => is_making_room = state.full(&turn, entry, was_alone),
        (Err(error), _) => state.failed(&turn, error),
    }
    drop(state);
    if result.is_ok() {
        shared.progress.beat(shared.clock.now());
    }
    match &result {
        Err(_) if is_making_room => {}
        Err(error @ ColdError::Unfit(_)) => {
            let namespace = &shared.namespace;
            let told = shared.unfit.lock().once_more(shared.clock.now());
            if let Some(objects) = told {
                tracing::warn!(
                    %namespace,
                    key = %turn.key,
                    objects,
                    %error,
                    "objects, this one the last, are in memory only: the durable tier can't hold them"
                );
            }
        }
        result => shared.note(result.as_ref().copied()),
    }
    shared.wake.notify_one();
}
