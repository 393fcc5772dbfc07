//! How the tier is: what is said of it in the log, at `/readyz` and in the metrics.

use std::sync::atomic::Ordering;

use super::{Shared, Tier};
use crate::model::clock::Moment;
use crate::store::cold::ColdError;

/// What the tier suffers from.
#[derive(Clone, Debug)]
pub(super) struct Trouble {
    pub(super) since: Moment,
    pub(super) what: ColdError,
}

impl Tier {
    /// What somebody who looks after the server should know, if there is anything. No names in it.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        let now = self.shared.clock.now();
        if let Some(trouble) = &*self.shared.health.lock() {
            let why = match &trouble.what {
                ColdError::Full(_) => "there is no space left",
                ColdError::Denied(_) => "access is refused",
                _ => "it fails or can't be reached",
            };
            return Some(format!("a durable tier takes no writes since {} s: {why}", now.since(trouble.since).as_secs()));
        }
        if !self.shared.has_worked.load(Ordering::Relaxed) {
            return Some("a durable tier has not answered yet: nothing is kept there, and what was is not known".to_owned());
        }
        if !self.shared.is_ours() {
            return Some("a durable tier is kept by another server: nothing is written until that one ends".to_owned());
        }
        let state = self.shared.state.lock();
        if state.is_look_failing {
            return Some(
                "a durable tier can't be looked through: until it is known what is there, nothing of it is removed for its age or for \
                 space"
                    .to_owned(),
            );
        }
        if state.later_objects() > 0 {
            return Some(
                "a durable tier has objects of a newer Springhead: they are left alone and answered with 503".to_owned(),
            );
        }
        if let Some(bytes) = state.room.ceiling() {
            return Some(format!(
                "a durable tier has space for {} MiB only, less than durable_capacity: its oldest segments go early",
                bytes >> 20
            ));
        }
        if state.overrun.is_now(now) {
            return Some("a durable tier takes less than is uploaded: writes were given up in the last minute".to_owned());
        }
        let lag = state.lag(now).as_secs();
        (lag >= 10).then(|| format!("a durable tier lags {lag} s behind"))
    }
}

impl Shared {
    /// Notes how a call of the tier went; says so in the log when that has changed.
    pub(super) fn note(&self, result: Result<(), &ColdError>) {
        // A full disk takes a playlist and no segment: it works again when nothing waits that has failed.
        if result.is_ok() && self.health.lock().is_some() && self.state.lock().queue.has_failed() {
            return;
        }
        let mut health = self.health.lock();
        let namespace = &self.namespace;
        match (result, health.as_ref()) {
            (Ok(()), Some(trouble)) => {
                let seconds = self.clock.now().since(trouble.since).as_secs();
                tracing::info!(%namespace, seconds, "the durable tier works again");
                *health = None;
            }
            (
                Err(error @ ColdError::Full(_)),
                None | Some(Trouble { what: ColdError::Unavailable(_) | ColdError::Denied(_), .. }),
            ) => {
                tracing::error!(%namespace, %error, "the durable tier is full: new objects are in memory only until there is space");
                *health = Some(Trouble { since: self.clock.now(), what: error.clone() });
            }
            (Err(error), None) => {
                tracing::warn!(%namespace, %error, "the durable tier fails: new objects are in memory only until it works again");
                *health = Some(Trouble { since: self.clock.now(), what: error.clone() });
            }
            _ => {}
        }
        if result.is_ok() {
            self.has_worked.store(true, Ordering::Relaxed);
        }
        self.metrics.up.set(u64::from(health.is_none() && self.has_worked.load(Ordering::Relaxed)));
    }

    /// Notes that what was told of the way to the tier is over. It says nothing of the tier itself.
    pub(super) fn note_mended(&self, told: &ColdError) {
        let mut health = self.health.lock();
        if let Some(trouble) = health.take_if(|trouble| trouble.what == *told) {
            let seconds = self.clock.now().since(trouble.since).as_secs();
            tracing::info!(namespace = %self.namespace, seconds, "the durable tier works again");
            self.metrics.up.set(u64::from(self.has_worked.load(Ordering::Relaxed)));
        }
    }

    /// Notes that what had failed is not waited for any more, when something else has been made since.
    pub(super) fn note_progress(&self) {
        let since = self.health.lock().as_ref().map(|trouble| trouble.since);
        if since.is_some_and(|since| since < self.progress.last()) {
            self.note(Ok(()));
        }
    }

    /// Says in the log when the space has become less than the capacity, and when it is enough again.
    pub(super) fn note_room(&self) {
        let (ceiling, capacity_bytes) = {
            let state = self.state.lock();
            (state.room.ceiling(), state.options.capacity)
        };
        if self.is_short.swap(ceiling.is_some(), Ordering::Relaxed) == ceiling.is_some() {
            return;
        }
        let namespace = &self.namespace;
        match ceiling {
            Some(budget_bytes) => tracing::warn!(
                %namespace,
                budget_bytes,
                capacity_bytes,
                "the durable tier has less space than durable_capacity: its oldest segments go early; give it more, or a smaller \
                 durable_capacity"
            ),
            None => tracing::info!(%namespace, capacity_bytes, "the durable tier is not short of space any more"),
        }
    }
}
