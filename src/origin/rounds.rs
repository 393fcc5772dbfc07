//! What is done in all namespaces again and again. Where it breaks off in one, by a mistake of ours that something there brings out, it ends for
//! no other.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use parking_lot::Mutex;

use crate::model::clock::Moment;
use crate::model::id::Namespace;

/// How long a namespace is passed over in which a round has broken off: each try writes its lines.
pub(super) const REST: Duration = Duration::from_secs(10);

/// The rounds, as they go in one namespace.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    pub(super) look: Round,
    pub(super) sweep: Round,
}

/// One of them.
#[derive(Debug, Default)]
pub(super) struct Round {
    /// It has broken off, and is not tried before.
    rests_until: Mutex<Option<Moment>>,
}

impl Rounds {
    /// What somebody who looks after the server should know, if there is anything.
    pub(super) fn trouble(&self) -> Option<String> {
        let is_broken = [&self.look, &self.sweep].iter().any(|round| round.rests_until.lock().is_some());
        is_broken.then(|| {
            "a mistake of the server's keeps it from looking after a namespace: its streams are not judged, or what has expired stays in memory; \
             the log says which one and where"
                .to_owned()
        })
    }
}

impl Round {
    /// Does a namespace's part of it; `None`, where that breaks off, or has done so a moment ago.
    pub(super) fn go<T>(&self, namespace: &Namespace, now: Moment, part: impl FnOnce() -> T) -> Option<T> {
        if self.rests_until.lock().is_some_and(|until| now < until) {
            return None;
        }
        // As with a request: nothing is seen of what a panic left half done but what the floors below keep by what they drop.
        let done = catch_unwind(AssertUnwindSafe(part)).ok();
        if done.is_none() {
            tracing::error!(
                %namespace,
                seconds = REST.as_secs(),
                "a round through the namespaces broke off in this one, by a mistake of the server's: the line before says where. The others are \
                 looked after; here it is tried again and again. Please report it"
            );
        }
        *self.rests_until.lock() = done.is_none().then(|| now + REST);
        done
    }
}
