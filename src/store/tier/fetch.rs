//! Reads past the hot store.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use ahash::RandomState;
use parking_lot::Mutex;
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use super::doubt::{Advice, Doubts};
use super::index::Slot;
use super::{Shared, Spot, Tier};
use crate::model::clock::Moment;
use crate::model::id::Key;
use crate::store::cold::{ColdError, blocks};
use crate::store::{Entry, StoreError};

/// How long a reader waits for the tier. Players and CDNs give up after ten seconds or more; an answer in time lets them go elsewhere.
const WITHIN: Duration = Duration::from_secs(5);
/// Reads of the tier at a time.
const AT_ONCE: usize = 64;
/// This many failures in a row, and the tier is not asked for a while.
const FAILURES: u32 = 5;
/// For how long.
const REST: Duration = Duration::from_secs(2);
/// What of an object is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Want {
    /// All of it.
    Whole,
    /// These bytes, if the rest can be spared. What is read around them, to check them, comes with them.
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
        let (found, advice) = {
            let mut state = shared.state.lock();
            (state.find(key), state.doubts.advise(key, shared.clock.now()))
        };
        let slot = match found {
            Spot::Waiting(entry) => {
                let length = entry.body.len() as u64;
                return Ok(Some(ColdHit { entry, length, part: None }));
            }
            Spot::Absent => return Ok(None),
            _ if advice == Advice::Lost => return Ok(None),
            _ if advice == Advice::Wait => {
                shared.metrics.read_refused.inc();
                return Err(StoreError::Unreachable);
            }
            Spot::There(slot) => Some(slot),
            Spot::Unknown => None,
        };
        let want = match &slot {
            Some(slot) => match want(slot.length) {
                Want::Part(range) => {
                    let range = blocks::align(&range, slot.length);
                    // Of a short one, the whole is kept for the next reader.
                    let is_worth_it = slot.length >= blocks::SHORTEST && range.end - range.start <= slot.length / 2;
                    if is_worth_it { Want::Part(range) } else { Want::Whole }
                }
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
                    tokio::spawn(fly(Arc::clone(shared), flight, slot, sender));
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
async fn fly(shared: Arc<Shared>, flight: SharedRead, slot: Option<Slot>, outcome: watch::Sender<ReadResult>) {
    let (key, version, want) = &flight;
    let mut result = ask(&shared, key, want, slot).await;
    if matches!(result, Err(ColdError::Damaged(_))) {
        // Another process may have been between the steps of a write.
        tokio::time::sleep(Duration::from_millis(50)).await;
        result = ask(&shared, key, want, slot).await;
    }
    let now = shared.clock.now();
    let is_good = matches!(result, Ok(_) | Err(ColdError::Damaged(_) | ColdError::Later(_)));
    shared.fetch.breaker.lock().note(is_good, now);
    let answer = match result {
        Ok(Some(hit)) => {
            shared.metrics.read.inc();
            shared.state.lock().is_right(key);
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
            if version.is_none() || !state.is_still(key, *version) {
                // Nothing is known of it: that it is not there is no wrong answer.
                if version.is_none() {
                    state.is_right(key);
                }
                Ok(None)
            } else if shared.is_ours() && (state.is_complete || slot.is_some_and(|slot| slot.is_certain)) {
                // It was put there, and nobody but us removes anything.
                let wrong = state.doubts.wrong(key, now);
                if Doubts::is_enough(wrong) {
                    state.is_missing(key);
                }
                drop(state);
                in_doubt(&shared, key, wrong, "the durable tier says that it has no such object")
            } else {
                state.take_out(key);
                Ok(None)
            }
        }
        Err(ColdError::Damaged(ref what)) => {
            let mut state = shared.state.lock();
            if state.is_still(key, *version) {
                let wrong = state.doubts.wrong(key, now);
                drop(state);
                in_doubt(&shared, key, wrong, what)
            } else {
                Err(())
            }
        }
        Err(ColdError::Later(ref what)) => {
            let is_news = shared.state.lock().is_later(key);
            if is_news {
                let namespace = &shared.namespace;
                tracing::warn!(
                    %namespace,
                    %key,
                    what,
                    "a newer Springhead wrote an object that this one can't read: it is left alone and answered with 503, as all of \
                     its kind; run the newer one again to serve them"
                );
            }
            Err(())
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

/// Says in the log what is thought of a wrong answer, and what a reader is told.
fn in_doubt(shared: &Shared, key: &Key, wrong: usize, what: &str) -> Result<Option<ColdHit>, ()> {
    let namespace = &shared.namespace;
    if wrong == 1 {
        tracing::warn!(%namespace, %key, what, "a wrong answer from the durable tier: the object is set aside and asked for again");
    }
    if !Doubts::is_enough(wrong) {
        return Err(());
    }
    if !Doubts::is_enough(wrong - 1) {
        shared.metrics.lost_damaged.inc();
        tracing::warn!(%namespace, %key, what, "an object in the durable tier is lost; what is there of it is left until its time is over");
    }
    Ok(None)
}

/// Asks the backend, within the deadline.
async fn ask(shared: &Arc<Shared>, key: &Key, want: &Want, slot: Option<Slot>) -> Result<Option<ColdHit>, ColdError> {
    let Some(cold) = shared.cold.get() else {
        return Err(ColdError::Unavailable("it is not open yet".to_owned()));
    };
    let read = async {
        let _slot = shared.fetch.slots.acquire().await;
        let wrong = || ColdError::Damaged("the bytes are not those that were written".to_owned());
        if let Want::Part(range) = want {
            let Some((attributes, part)) = cold.get_range(key, range.clone()).await? else { return Ok(None) };
            match attributes.blocks.check(attributes.length, range.start, &part) {
                Some(true) => return Ok(Some((attributes, part, want))),
                Some(false) => return Err(wrong()),
                // Of what was written before there were hashes of parts, only the whole can be checked.
                None => {}
            }
        }
        if *want == Want::Nothing {
            return Ok(cold.head(key).await?.map(|attributes| (attributes, bytes::Bytes::new(), want)));
        }
        let Some((attributes, body)) = cold.get(key).await? else { return Ok(None) };
        if attributes.fits(&body) { Ok(Some((attributes, body, &Want::Whole))) } else { Err(wrong()) }
    };
    let read = timeout(WITHIN, read).await.map_err(|_| ColdError::Unavailable("it takes too long".to_owned()))?;
    let Some((attributes, body, got)) = read? else { return Ok(None) };
    // The journal's word may be out of date; what lies beside the object is not.
    let known = slot.filter(|slot| slot.is_certain);
    if shared.is_ours() && known.is_some_and(|slot| attributes.modified < slot.modified) {
        return Err(ColdError::Damaged("it is an older version".to_owned()));
    }
    Ok(Some(hit(shared, key, &attributes, body, got, known.map(|slot| slot.expires))))
}

fn hit(
    shared: &Shared,
    key: &Key,
    attributes: &crate::store::cold::Attributes,
    body: bytes::Bytes,
    want: &Want,
    expires: Option<Moment>,
) -> ColdHit {
    let mut meta = attributes.to_meta(&shared.clock);
    // What this process wrote or has seen keeps its deadline, however the wall clock is set.
    meta.expires = expires.unwrap_or(meta.expires);
    let part = match want {
        Want::Whole => None,
        Want::Part(range) => Some(range.start..range.start + body.len() as u64),
        Want::Nothing => Some(0..0),
    };
    // It may never be in memory but for those who read it.
    let (body, kept) = match shared.hot.upgrade() {
        Some(hot) => {
            let (body, kept) = hot.lend(body);
            (body, Some(kept))
        }
        None => (body, None),
    };
    let entry = Entry::reloaded(key.clone(), body, meta).kept_by(kept);
    ColdHit { entry: Arc::new(entry), length: attributes.length, part }
}
