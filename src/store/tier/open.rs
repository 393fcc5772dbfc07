//! The way to the backend: made until there is one, and asked until it has answered once. Before that nobody knows whether its name and
//! the credentials are right, so the tier counts as failing.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::{sleep, timeout};

use super::Shared;
use crate::store::cold::Cold;

/// How often what failed at the start is tried again.
const AGAIN: Duration = Duration::from_secs(1);
/// How long the start waits for the first answer.
const FIRST_ANSWER: Duration = Duration::from_secs(1);

/// Makes the backend, again and again if need be. `None` when the server stops before that.
pub(super) async fn open(shared: &Arc<Shared>) -> Option<Arc<dyn Cold>> {
    loop {
        let open = Arc::clone(&shared.open);
        let error = match spawn_blocking(move || open()).await {
            Ok(Ok(cold)) => {
                let cold = Arc::clone(shared.cold.get_or_init(|| cold));
                match timeout(FIRST_ANSWER, cold.probe()).await {
                    Ok(Ok(())) => shared.note(Ok(())),
                    asked => {
                        if let Ok(Err(error)) = asked {
                            shared.note(Err(&error));
                        }
                        tokio::spawn(prove(Arc::clone(shared), Arc::clone(&cold)));
                    }
                }
                return Some(cold);
            }
            Ok(Err(error)) => error,
            Err(_) => return None,
        };
        shared.note(Err(&error));
        shared.is_open.send_replace(true);
        tokio::select! {
            () = sleep(AGAIN) => {}
            () = shared.drain.cancelled() => return None,
        }
    }
}

/// Asks until the tier has answered once, or a change was made there. It counts as failing until then.
async fn prove(shared: Arc<Shared>, cold: Arc<dyn Cold>) {
    while !shared.has_worked.load(Ordering::Relaxed) {
        let result = cold.probe().await;
        if shared.has_worked.load(Ordering::Relaxed) {
            return;
        }
        shared.note(result.as_ref().copied());
        tokio::select! {
            () = sleep(AGAIN) => {}
            () = shared.drain.cancelled() => return,
        }
    }
}
