//! The tier below the hot store: when what is written there, and what is read again.
//!
//! 1. Each upload and removal is noted here in the order in which readers see it ([`state`], told by the hot store), and waits in the
//!    [`queue`] for its turn. What waits is readable.
//! 2. [`flush`] has the changes made ([`make`](mod@make)), several at a time, tries again what fails, and keeps the [`index`] and its [`journal`].
//!    What was [`given_up`] because too much waited gets another turn when there is time ([`again`]).
//!    What has expired or is over the capacity goes by the [`sweep`].
//!    Where there is less space than the capacity, [`room`] learns how much, and [`space`] picks what goes for what is new.
//! 3. [`fetch`] reads past the hot store: one read for all who wait, a deadline, and no read at all while the tier is known to fail.
//! 4. At the start the journal says what is there. Unless the process before stopped in order, that is only a beginning: everything in
//!    the tier is looked at again, and until then what the index does not know is asked for.
//! 5. What the tier gets wrong is set aside and asked for again ([`doubt`]), and what it calls over by a clock that may be wrong is kept
//!    until the clock has been steady ([`clock`]).
//!
//! Invariants: no call here waits for the tier but [`Tier::settled`] and [`Tier::read`]. What a reader finds is the newest version or
//! nothing, never an older one again. Nothing is removed from the tier by guess.

mod again;
mod clock;
mod doubt;
mod fetch;
mod flush;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod given_up;
mod health;
mod index;
mod journal;
mod listed;
mod look;
mod make;
mod open;
mod overrun;
mod queue;
mod room;
mod space;
mod state;
mod sweep;

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use self::fetch::Fetch;
pub use self::fetch::{ColdHit, Want};
use self::health::Trouble;
pub use self::listed::KeptBelow;
use self::queue::{Change, ChangeEnd};
use self::state::{Spot, TierState};
use super::cold::{Cold, ColdError};
use super::hot::Follower;
use super::{Entry, HotNamespace, StoreError};
use crate::metrics::DurableMetrics;
use crate::model::clock::{Clock, Moment, Pulse, WallTime};
use crate::model::id::{Key, Namespace};
use crate::model::seldom::Seldom;

/// When a write is answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ack {
    /// When it is in memory; the tier is written behind.
    #[default]
    Hot,
    /// When it is on stable storage.
    Durable,
}

/// A tier's policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// When a write is answered.
    pub ack: Ack,
    /// Bytes the tier may hold.
    pub capacity: u64,
    /// Bytes that may wait to be written. Past it the segments that have waited longest are given up.
    pub write_behind: u64,
}

/// Makes the backend; blocking. Called until it succeeds.
pub type OpenCold = Arc<dyn Fn() -> Result<Arc<dyn Cold>, ColdError> + Send + Sync>;

/// How long a write is held for the tier under [`Ack::Durable`].
const ACK_WITHIN: Duration = Duration::from_secs(10);

/// One namespace's tier. Dropping the last handle does not stop it; [`Tier::close`] does.
#[derive(Clone, Debug)]
pub struct Tier {
    shared: Arc<Shared>,
}

struct Shared {
    namespace: Namespace,
    open: OpenCold,
    cold: OnceLock<Arc<dyn Cold>>,
    /// Where the journal is.
    journal: PathBuf,
    // Not to be kept alive by its own follower.
    hot: Weak<HotNamespace>,
    state: Mutex<TierState>,
    /// There is something to do.
    wake: Notify,
    fetch: Fetch,
    health: Mutex<Option<Trouble>>,
    /// Whether any call has ever succeeded: until then nobody knows whether the name and the credentials are right.
    has_worked: AtomicBool,
    /// Whether this process is the one that writes there.
    is_ours: AtomicBool,
    /// When a change was last made.
    progress: Pulse,
    /// Whether it was said that there is less space than there should be.
    is_short: AtomicBool,
    /// What was said of objects that it can't hold.
    unfit: Mutex<Seldom>,
    clock: Clock,
    metrics: DurableMetrics,
    is_open: watch::Sender<bool>,
    /// The tier is to come to an end: nothing waits for its time any more.
    drain: CancellationToken,
    ended: CancellationToken,
}

/// Tells the state, as it happens, what happens to the hot store.
struct Ear(Arc<Shared>);

impl Tier {
    /// Begins a tier for a namespace in memory. Returns at once; [`Tier::opened`] tells when what was there is known.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub fn start(
        namespace: Namespace,
        hot: &Arc<HotNamespace>,
        open: OpenCold,
        journal: PathBuf,
        options: Options,
        metrics: DurableMetrics,
    ) -> Self {
        let clock = hot.clock().clone();
        let shared = Arc::new(Shared {
            namespace,
            open,
            cold: OnceLock::new(),
            journal,
            hot: Arc::downgrade(hot),
            state: Mutex::new(TierState::new(options, clock.clone(), metrics.clone())),
            wake: Notify::new(),
            fetch: Fetch::new(),
            health: Mutex::new(None),
            has_worked: AtomicBool::new(false),
            is_ours: AtomicBool::new(true),
            progress: Pulse::new(Moment::default()),
            is_short: AtomicBool::new(false),
            unfit: Mutex::default(),
            clock,
            metrics,
            is_open: watch::Sender::new(false),
            drain: CancellationToken::new(),
            ended: CancellationToken::new(),
        });
        hot.set_follower(Arc::new(Ear(Arc::clone(&shared))));
        tokio::spawn(flush::run(Arc::clone(&shared)));
        Self { shared }
    }

    /// Waits until it is known what the tier holds and the first of it is in memory, or until the tier was found to fail: then the
    /// server starts without it. Cancel-safe.
    pub async fn opened(&self) {
        let mut opened = self.shared.is_open.subscribe();
        // Its sender lives in `shared`.
        let _ = opened.wait_for(|open| *open).await;
    }

    /// Puts another policy in force.
    pub fn set_options(&self, options: Options) {
        self.shared.metrics.capacity_bytes.set(options.capacity);
        {
            let mut state = self.shared.state.lock();
            state.options = options;
            // Whoever reads the settings again may have made space as well.
            state.room.forget();
        }
        self.shared.wake.notify_one();
    }

    /// Waits until the newest change of this key, a write or a removal, is on stable storage, if writes are acknowledged by that; else
    /// returns at once. Cancel-safe.
    ///
    /// # Errors
    /// [`StoreError::NotDurable`], when that takes too long or can't be.
    pub async fn settled(&self, key: &Key, is_write: bool) -> Result<(), StoreError> {
        let waiting = {
            let mut state = self.shared.state.lock();
            if state.options.ack == Ack::Hot {
                return Ok(());
            }
            if is_write && matches!(state.queue.get(key), Some(Change::Remove | Change::Clear)) {
                // It was given up, with what is older; or removed.
                return Err(StoreError::NotDurable);
            }
            let waiting = state.queue.wait(key, self.shared.clock.now());
            if waiting.is_none() {
                // It has been made already; or was given up before anybody could wait for it.
                let is_made = !is_write || state.index.get(key).is_some();
                return if is_made { Ok(()) } else { Err(StoreError::NotDurable) };
            }
            waiting
        };
        self.shared.wake.notify_one();
        let end = match waiting {
            Some(end) => tokio::time::timeout(ACK_WITHIN, end).await.ok().and_then(Result::ok),
            None => None,
        };
        if end == Some(ChangeEnd::Made) { Ok(()) } else { Err(StoreError::NotDurable) }
    }

    /// Whether the tier has an object, or nobody knows.
    #[must_use]
    pub fn may_have(&self, key: &Key) -> bool {
        !matches!(self.shared.state.lock().find(key), Spot::Absent)
    }

    /// Whether the tier has an object, as far as that is known without asking it.
    #[must_use]
    pub fn has(&self, key: &Key) -> bool {
        matches!(self.shared.state.lock().find(key), Spot::There(_) | Spot::Waiting(_))
    }

    /// The segments that were written last, the newest first, so many at most, and when: as far as that is known without asking it.
    #[must_use]
    pub fn newest_segments(&self, count: usize) -> Vec<(Key, WallTime)> {
        self.shared.state.lock().newest_segments(count)
    }

    /// How many writes wait, and their bytes.
    #[must_use]
    pub fn unwritten(&self) -> (usize, u64) {
        self.shared.state.lock().queue.writes()
    }

    /// Writes what waits, as far as that is possible, and ends: when all is written, or when the tier has taken nothing for
    /// ten seconds, for five if it was known to fail. Dropping the future does not stop it.
    pub async fn close(&self) {
        self.shared.drain.cancel();
        self.shared.ended.cancelled().await;
    }
}

impl Shared {
    fn is_ours(&self) -> bool {
        self.is_ours.load(Ordering::Relaxed)
    }
}

impl Follower for Ear {
    fn published(&self, entry: &Arc<Entry>) {
        self.0.state.lock().published(entry);
        self.0.wake.notify_one();
    }

    fn removed(&self, key: &Key) {
        self.0.state.lock().removed(key);
        self.0.wake.notify_one();
    }

    fn keeps(&self, entry: &Entry) -> bool {
        let mut state = self.0.state.lock();
        let is_kept = match state.queue.get(&entry.key) {
            // A newer version, or none: this one is not what a reader misses.
            Some(Change::Write(_)) => true,
            Some(Change::Remove | Change::Clear) => false,
            None => state.index.get(&entry.key).is_some(),
        };
        if !is_kept {
            state.given_up.settle(&entry.key, entry.sequence);
        }
        is_kept
    }
}

impl fmt::Debug for Ear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ear").finish_non_exhaustive()
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tier").field("namespace", &self.namespace).field("cold", &self.cold.get()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
