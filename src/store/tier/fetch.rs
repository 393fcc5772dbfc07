//! Reads past the hot store.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use ahash::RandomState;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use super::index::Slot;
use super::{Shared, Spot, Tier};
use crate::model::clock::{Clock, Moment};
use crate::model::id::Key;
use crate::store::cold::ColdError;
use crate::store::{Entry, StoreError};

/// How long a reader waits for the tier. Players and CDNs give up after ten seconds or more; an answer in time lets them go elsewhere.
const WITHIN: Duration = Duration::from_secs(5);
/// Reads of the tier at a time.
const AT_ONCE: usize = 64;
/// So many failures in a row, and the tier is not asked for a while.
const FAILURES: u32 = 5;
/// For how long.
const REST: Duration = Duration::from_secs(2);
/// A part that is smaller than this is not worth a read of its own: the whole is kept for the next reader.
const WORTH_A_PART: u64 = 256 << 10;

/// What of an object is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Want {
    /// All of it.
    Whole,
    /// These bytes, if the rest can be spared.
    Part(Range<u64>),
    /// What is known of it; no bytes.
    Nothing,
}

/// An object from past the hot store.
#[derive(Clone, Debug)]
pub struct ColdHit {
    /// The object. Its body is the part alone, if there is one.
    pub entry: Arc<Entry>,
    /// The whole length.
    pub length: u64,
    /// Which part of it the body is; `None` when it is all of it.
    pub part: Option<Range<u64>>,
}

type ReadResult = Option<Result<Option<ColdHit>, ()>>;

/// Reads on their way, and how those before went.
#[derive(Debug)]
pub(super) struct Fetch {
    flights: Mutex<HashMap<SharedRead, watch::Receiver<ReadResult>, RandomState>>,
    slots: Semaphore,
    breaker: Mutex<Breaker>,
}

/// A read that others may share: of one version.
type SharedRead = (Key, Option<u64>, Want);

#[derive(Debug, Default)]
struct Breaker {
    failures: u32,
    /// Until when nothing is tried; then one read is, and the others wait for what becomes of it.
    rests_until: Option<Moment>,
}

impl Breaker {
    fn allows(&mut self, now: Moment) -> bool {
        match self.rests_until {
            Some(until) if now < until => false,
            Some(_) => {
                self.rests_until = Some(now + REST);
                true
            }
            None => true,
        }
    }

    fn note(&mut self, is_good: bool, now: Moment) {
        if is_good {
            *self = Self::default();
        } else {
            self.failures += 1;
            if self.failures >= FAILURES {
                self.rests_until = Some(now + REST);
            }
        }
    }
}

impl Fetch {
    pub(super) fn new() -> Self {
        Self { flights: Mutex::default(), slots: Semaphore::new(AT_ONCE), breaker: Mutex::default() }
    }
}

impl Tier {
    /// Finds an object that is not in the hot store; `None` when there is none. `want` is told its length. One read of the tier serves all who want the same.
    /// Cancel-safe.
    ///
    /// # Errors
    /// [`StoreError::Unreachable`], when the tier fails, is too slow, or has failed so often that it is not asked.
    pub async fn read(&self, key: &Key, want: impl FnOnce(u64) -> Want) -> Result<Option<ColdHit>, StoreError> {
        if !*self.shared.is_open.borrow() && timeout(WITHIN, self.opened()).await.is_err() {
            return Err(StoreError::Unreachable);
        }
        self.read_now(key, want).await
    }

    pub(super) async fn read_now(&self, key: &Key, want: impl FnOnce(u64) -> Want) -> Result<Option<ColdHit>, StoreError> {
        let shared = &self.shared;
        let found = shared.state.lock().find(key);
        let slot = match found {
            Spot::Waiting(entry) => {
                let length = entry.body.len() as u64;
                return Ok(Some(ColdHit { entry, length, part: None }));
            }
            Spot::Absent => return Ok(None),
            Spot::There(slot) => Some(slot),
            Spot::Unknown => None,
        };
        let want = match &slot {
            Some(slot) => match want(slot.length) {
                Want::Part(range) if slot.length < WORTH_A_PART || range.end - range.start > slot.length / 2 => Want::Whole,
                want => want,
            },
            None => Want::Whole,
        };
        let is_part = matches!(want, Want::Part(_));
        let hit = self.share(key, slot, want).await?;
        // What the range was made for is not what is there any more.
        if is_part && hit.as_ref().is_some_and(|hit| Some(hit.length) != slot.map(|slot| slot.length)) {
            return self.share(key, slot, Want::Whole).await;
        }
        Ok(hit)
    }

    /// Joins the read of those who want the same, or begins it.
    async fn share(&self, key: &Key, slot: Option<Slot>, want: Want) -> Result<Option<ColdHit>, StoreError> {
        let shared = &self.shared;
        let flight = (key.clone(), slot.map(|slot| slot.version), want);
        let mut outcome = {
            let mut flights = shared.fetch.flights.lock();
            match flights.get(&flight) {
                Some(outcome) => outcome.clone(),
                None => {
                    if !shared.fetch.breaker.lock().allows(shared.clock.now()) {
                        shared.metrics.read_refused.inc();
                        return Err(StoreError::Unreachable);
                    }
                    let (sender, outcome) = watch::channel(None);
                    flights.insert(flight.clone(), outcome.clone());
                    // The journal's word may be out of date; what lies beside the object is not.
                    let expires = slot.filter(|slot| slot.is_certain).map(|slot| slot.expires);
                    tokio::spawn(fly(Arc::clone(shared), flight, expires, sender));
                    outcome
                }
            }
        };
        let outcome = match timeout(WITHIN, outcome.wait_for(Option::is_some)).await {
            Ok(Ok(outcome)) => outcome.clone(),
            _ => None,
        };
        match outcome {
            Some(Ok(hit)) => Ok(hit),
            Some(Err(())) | None => Err(StoreError::Unreachable),
        }
    }
}

/// Makes one read for all who wait, whether or not any of them stays.
async fn fly(shared: Arc<Shared>, flight: SharedRead, expires: Option<Moment>, outcome: watch::Sender<ReadResult>) {
    let (key, version, want) = &flight;
    let mut result = ask(&shared, key, want, expires).await;
    if matches!(result, Err(ColdError::Damaged(_))) {
        // Another process may have been between the steps of a write.
        tokio::time::sleep(Duration::from_millis(50)).await;
        result = ask(&shared, key, want, expires).await;
    }
    let now = shared.clock.now();
    let is_good = matches!(result, Ok(_) | Err(ColdError::Damaged(_)));
    shared.fetch.breaker.lock().note(is_good, now);
    let answer = match result {
        Ok(Some(hit)) => {
            shared.metrics.read.inc();
            let is_live = hit.entry.meta.is_live(now);
            // What another server still writes may be outdated at any moment.
            if is_live
                && hit.part.is_none()
                && shared.is_ours()
                && let Some(hot) = shared.hot.upgrade()
            {
                hot.take_back(&hit.entry, || shared.state.lock().is_still(key, *version));
            }
            Ok(Some(hit).filter(|_| is_live))
        }
        Ok(None) => {
            shared.metrics.read_absent.inc();
            let mut state = shared.state.lock();
            if version.is_some() && state.is_still(key, *version) {
                state.take_out(key);
            }
            Ok(None)
        }
        Err(ref error @ ColdError::Damaged(_)) => {
            let namespace = &shared.namespace;
            tracing::warn!(%namespace, %key, %error, "an object in the durable tier is lost");
            let mut state = shared.state.lock();
            // Whose journal this is not does not clean up either.
            if state.lines.is_some() && state.is_still(key, *version) {
                state.damaged(key);
                shared.wake.notify_one();
            }
            Ok(None)
        }
        Err(error) => {
            shared.metrics.read_failed.inc();
            let namespace = &shared.namespace;
            tracing::debug!(%namespace, %key, %error, "can't read from the durable tier");
            Err(())
        }
    };
    shared.fetch.flights.lock().remove(&flight);
    outcome.send_replace(Some(answer));
}

/// Asks the backend, within the deadline.
async fn ask(shared: &Arc<Shared>, key: &Key, want: &Want, expires: Option<Moment>) -> Result<Option<ColdHit>, ColdError> {
    let Some(cold) = shared.cold.get() else {
        return Err(ColdError::Unavailable("it is not open yet".to_owned()));
    };
    let read = async {
        let _slot = shared.fetch.slots.acquire().await;
        match want {
            Want::Whole => cold.get(key).await,
            Want::Part(range) => cold.get_range(key, range.clone()).await,
            Want::Nothing => Ok(cold.head(key).await?.map(|attributes| (attributes, bytes::Bytes::new()))),
        }
    };
    let read = timeout(WITHIN, read).await.map_err(|_| ColdError::Unavailable("it takes too long".to_owned()))?;
    let Some((attributes, body)) = read? else { return Ok(None) };
    if *want == Want::Whole && !attributes.fits(&body) {
        return Err(ColdError::Damaged("the body is not what was written".to_owned()));
    }
    Ok(Some(hit(key, &attributes, body, want, expires, &shared.clock)))
}

fn hit(
    key: &Key,
    attributes: &crate::store::cold::Attributes,
    body: bytes::Bytes,
    want: &Want,
    expires: Option<Moment>,
    clock: &Clock,
) -> ColdHit {
    let mut meta = attributes.to_meta(clock);
    // What this process wrote or has seen keeps its deadline, however the wall clock is set.
    meta.expires = expires.unwrap_or(meta.expires);
    let part = match want {
        Want::Whole => None,
        Want::Part(range) => Some(range.start..range.start + body.len() as u64),
        Want::Nothing => Some(0..0),
    };
    ColdHit { entry: Arc::new(Entry::returned(key.clone(), body, meta)), length: attributes.length, part }
}
