//! Has the changes made that wait, and keeps the books.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::timeout;

use super::fetch::Want;
use super::index::{Index, Journalled};
use super::journal::{Journal, Line, Lines};
use super::look::look_at_everything;
use super::make::make;
use super::{Shared, Tier, open};
use crate::model::clock::Moment;
use crate::model::id::Key;
use crate::store::cold::{Cold, ColdError};

/// Changes made at a time: enough for 32 a second when each takes half of one.
const AT_ONCE: usize = 16;
/// How often the books are looked at.
const TICK: Duration = Duration::from_millis(100);
/// How many of those that were given up are looked at each time.
const SPARED_BATCH: usize = 256;
/// How long the start waits for what readers want first.
const FIRST_WITHIN: Duration = Duration::from_millis(700);
/// How many objects are read at a time.
const READS_AT_ONCE: usize = 32;
/// How often what the process before left half-done is tried again, once a second, before writing goes on without that.
const RECOVERIES: u32 = 5;
/// How long a tier that is known to fail may take for one more change when the server stops, and how long any other.
const LAST_CHANCE: Duration = Duration::from_secs(5);
const LAST_WAIT: Duration = Duration::from_secs(10);

/// The tier's task: from its beginning to its end.
pub(super) async fn run(shared: Arc<Shared>) {
    let _ended = shared.ended.clone().drop_guard();
    let Some(cold) = open::open(&shared).await else {
        say_what_is_lost(&shared);
        return;
    };
    let mut keeper =
        JournalKeeper { shared: Arc::clone(&shared), cold, journal: None, is_whole: true, told: None, stage: KeeperStage::No };
    keeper.take_journal().await;
    shared.is_open.send_replace(true);
    keeper.keep().await;
    say_what_is_lost(&shared);
}

/// What waited is not written any more.
fn say_what_is_lost(shared: &Shared) {
    let (objects, bytes) = shared.state.lock().queue.writes();
    if objects > 0 {
        let namespace = &shared.namespace;
        let why = match &*shared.health.lock() {
            Some(trouble) => trouble.what.to_string(),
            None if !shared.is_ours() => "another server keeps it".to_owned(),
            None => format!("it has taken nothing for {} s", LAST_WAIT.as_secs()),
        };
        tracing::warn!(%namespace, objects, bytes, why, "stopping without a durable tier that works: what waited for it is not kept");
    }
}

struct JournalKeeper {
    shared: Arc<Shared>,
    cold: Arc<dyn Cold>,
    journal: Option<Journal>,
    /// Whether every line has been written.
    is_whole: bool,
    /// What was noted of the journal's folder, or of what the process before left half-done.
    told: Option<ColdError>,
    stage: KeeperStage,
}

/// Whether the tier may be written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KeeperStage {
    No,
    /// The journal is there. What the process before left half-done has been tried so often in vain, and it said that it had stopped in
    /// order.
    Recovering {
        tries: u32,
        is_all: bool,
    },
    Yes,
}

impl JournalKeeper {
    /// Takes hold of the journal, unless another process has it, and of what it says.
    async fn take_journal(&mut self) {
        let (folder, clock) = (self.shared.journal.clone(), self.shared.clock.clone());
        let shared = Arc::clone(&self.shared);
        let read = spawn_blocking(move || -> std::io::Result<Option<(Journal, bool)>> {
            let Some(mut journal) = Journal::claim(&folder)? else { return Ok(None) };
            let mut said = Journalled::default();
            let is_all = journal.read(&clock, |line| match line {
                None => said = Journalled::default(),
                Some(Line::Written(key, slot)) => said.insert(key, slot),
                Some(Line::Removed(key)) => said.remove(&key),
            })?;
            let index = Index::of(said);
            let mut state = shared.state.lock();
            if state.index.len() == 0 {
                state.index = index;
                state.steadiness.follow(journal.last_wall());
            }
            state.lines = Some(Lines::default());
            Ok(Some((journal, is_all)))
        });
        let (journal, is_all) = match read.await {
            Ok(Ok(Some(read))) => read,
            // The process before is still there: nothing is written until it has ended, so that no object has two writers.
            Ok(Ok(None)) => {
                if self.shared.is_ours() {
                    let namespace = &self.shared.namespace;
                    tracing::info!(%namespace, "another server keeps the durable tier: this one takes it over when that one ends");
                    self.shared.is_ours.store(false, Ordering::Relaxed);
                }
                return;
            }
            Err(_) => return,
            // It goes without one.
            Ok(Err(error)) => {
                self.shared.is_ours.store(true, Ordering::Relaxed);
                self.tell(ColdError::Unavailable(format!("its journal: {error}")));
                self.stage = KeeperStage::Yes;
                return;
            }
        };
        self.journal = Some(journal);
        self.shared.is_ours.store(true, Ordering::Relaxed);
        // What was written without a journal is in none.
        let is_first = self.stage == KeeperStage::No;
        self.is_whole &= is_first;
        self.stage = KeeperStage::Recovering { tries: 0, is_all: is_all && is_first };
        self.recover().await;
    }

    /// Finishes what the process before left half-done. Until that is done nothing is written, or it would be put over what is newer; but
    /// where it can't be done, writing goes on without it after some tries.
    async fn recover(&mut self) {
        let KeeperStage::Recovering { tries, is_all } = self.stage else { return };
        let recovered = self.cold.recover().await;
        match recovered {
            Ok(()) => {
                if let Some(told) = self.told.take() {
                    self.shared.note_mended(&told);
                }
            }
            Err(error) => {
                self.tell(error);
                if tries < RECOVERIES {
                    self.stage = KeeperStage::Recovering { tries: tries + 1, is_all };
                    return;
                }
            }
        }
        self.stage = KeeperStage::Yes;
        self.begin(is_all).await;
    }

    fn tell(&mut self, error: ColdError) {
        self.shared.note(Err(&error));
        // Of what fails in more than one way the first is what is told.
        if self.told.is_none() || self.shared.health.lock().as_ref().is_some_and(|trouble| trouble.what == error) {
            self.told = Some(error);
        }
    }

    /// Begins with what the journal said, which may be all there is.
    async fn begin(&self, is_all: bool) {
        let objects = self.shared.state.lock().index.len();
        let namespace = &self.shared.namespace;
        if self.journal.as_ref().is_some_and(Journal::has_later) {
            tracing::warn!(
                %namespace,
                "a newer Springhead has kept the journal of a durable tier: it is left as it is, and the tier is looked at instead"
            );
        }
        if self.shared.has_worked.load(Ordering::Relaxed) {
            tracing::info!(%namespace, objects, in_order = is_all, tier = self.cold.name(), "the durable tier is open");
        }
        if is_all {
            self.shared.state.lock().is_complete = true;
        } else {
            tokio::spawn(look_at_everything(Arc::clone(&self.shared), Arc::clone(&self.cold)));
        }
        self.read_first().await;
    }

    /// Brings into memory what players ask for first, within bounds.
    async fn read_first(&self) {
        let Some(room) = self.shared.hot.upgrade().map(|hot| hot.usage().capacity / 4) else { return };
        let keys = self.shared.state.lock().first_wanted(room);
        let tier = Tier { shared: Arc::clone(&self.shared) };
        let read = async {
            let mut reads = JoinSet::new();
            for key in keys {
                if reads.len() >= READS_AT_ONCE {
                    reads.join_next().await;
                }
                let tier = tier.clone();
                reads.spawn(async move { drop(tier.read_now(&key, |_| Want::Whole).await) });
            }
            while reads.join_next().await.is_some() {}
        };
        // What does not come in time is read when it is asked for.
        let _ = timeout(FIRST_WITHIN, read).await;
    }

    /// Makes changes as their turns come, until the end.
    async fn keep(mut self) {
        let mut running = JoinSet::new();
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut ticks = 0u64;
        let mut drain = None;
        loop {
            let is_draining = self.shared.drain.is_cancelled();
            if is_draining {
                self.shared.look_at_given_up(usize::MAX, true);
            }
            while self.stage == KeeperStage::Yes && self.shared.is_ours() && running.len() < AT_ONCE {
                let turn = self.shared.state.lock().take(is_draining);
                let Some(turn) = turn else { break };
                running.spawn(make(Arc::clone(&self.shared), Arc::clone(&self.cold), turn));
            }
            if is_draining && (self.shared.state.lock().queue.is_empty() || self.is_past_hope(&mut drain)) {
                break;
            }
            tokio::select! {
                _ = running.join_next(), if !running.is_empty() => {}
                () = self.shared.wake.notified(), if running.len() < AT_ONCE => {}
                () = self.shared.drain.cancelled(), if !is_draining => {}
                _ = tick.tick() => {
                    ticks += 1;
                    self.look_after_books(ticks).await;
                }
            }
        }
        self.write_journal().await;
        let is_done = {
            let state = self.shared.state.lock();
            state.queue.is_empty() && state.knows_all()
        };
        if let Some(mut journal) = self.journal.take()
            && self.is_whole
            && is_done
        {
            let _ = spawn_blocking(move || journal.end()).await;
        }
    }

    /// Whether the tier has taken nothing for so long that waiting for it helps nobody. What has failed is tried again first.
    fn is_past_hope(&self, drain: &mut Option<Moment>) -> bool {
        let shared = &self.shared;
        let now = shared.clock.now();
        let begun = *drain.get_or_insert_with(|| {
            shared.state.lock().queue.hurry(now);
            shared.wake.notify_one();
            now
        });
        let patience = if shared.is_ours() && shared.health.lock().is_none() { LAST_WAIT } else { LAST_CHANCE };
        now.since(begun.max(shared.progress.last())) >= patience
    }

    async fn look_after_books(&mut self, ticks: u64) {
        let now = self.shared.clock.now();
        let (evicted, overrun) = {
            let mut state = self.shared.state.lock();
            if !self.shared.drain.is_cancelled() {
                state.sweep();
            }
            state.show();
            (std::mem::take(&mut state.evicted), state.overrun.take(now))
        };
        if let Some(writes) = overrun {
            tracing::warn!(
                namespace = %self.shared.namespace, writes,
                "more is uploaded than the durable tier takes: writes were given up, and what leaves memory of them is lost; give it a \
                 faster disk or bucket, or the namespace a larger hot_capacity"
            );
        }
        self.shared.note_room();
        self.shared.note_progress();
        self.ask_again();
        // What is in memory still is lost when it leaves it; the hot store asks then.
        let is_lost = |key: &Key| self.shared.hot.upgrade().is_none_or(|hot| hot.peek(key).is_none());
        self.shared.look_at_given_up(SPARED_BATCH, false);
        for (key, slot) in evicted {
            if now < slot.expires && is_lost(&key) {
                self.shared.metrics.lost_capacity.inc();
            }
        }
        if self.journal.is_none() {
            // One who waits for another to end is quick: the next may be started soon, and would get what this one waits for.
            if ticks.is_multiple_of(10) || !self.shared.is_ours() {
                self.take_journal().await;
            }
            return;
        }
        if ticks.is_multiple_of(10) {
            self.recover().await;
        }
        self.write_journal().await;
        let objects = self.shared.state.lock().index.len();
        if ticks.is_multiple_of(50)
            && let Some(mut journal) = self.journal.take_if(|journal| journal.is_long(objects))
            && let Ok((journal, done)) = spawn_blocking(move || {
                let done = journal.compact();
                (journal, done)
            })
            .await
        {
            self.note_journal(done);
            self.journal = Some(journal);
        }
    }

    /// Asks for what is in doubt, whether or not anybody else does.
    fn ask_again(&self) {
        let due = self.shared.state.lock().doubts.due(self.shared.clock.now(), READS_AT_ONCE / 8);
        for key in due {
            let tier = Tier { shared: Arc::clone(&self.shared) };
            tokio::spawn(async move { drop(tier.read_now(&key, |_| Want::Whole).await) });
        }
    }

    async fn write_journal(&mut self) {
        let lines = self.shared.state.lock().lines.as_mut().filter(|lines| !lines.is_empty()).map(std::mem::take);
        let Some(lines) = lines else { return };
        let Some(mut journal) = self.journal.take() else { return };
        // A line that is lost costs a look at everything at the next start.
        if let Ok((journal, done)) = spawn_blocking(move || {
            let done = journal.write(&lines);
            (journal, done)
        })
        .await
        {
            self.note_journal(done);
            self.journal = Some(journal);
        }
    }

    /// Says once that the journal lacks something.
    fn note_journal(&mut self, done: std::io::Result<()>) {
        if let Err(error) = done
            && std::mem::replace(&mut self.is_whole, false)
        {
            let (namespace, folder) = (&self.shared.namespace, self.shared.journal.display().to_string());
            tracing::warn!(
                %namespace,
                %error,
                folder,
                "the journal of a durable tier could not be written: the next start looks at all that is there, which takes its time"
            );
        }
    }
}
