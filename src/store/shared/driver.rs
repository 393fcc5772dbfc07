//! Gives a lane what it has none of: connections, time, and somebody who takes up what it is told.
//!
//! One task for each lane holds its session: it asks what the lane says, tells the lane what came of it, and has each change taken up
//! before anybody is served by it. Who waits for the lane looks again each time that something has come.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::commit::Wish;
use super::engine::{Engine, EngineError, EngineLink, LaneNumber};
use super::index::{NameNews, REMEMBERED};
use super::lane::{Fresh, Lane};
use super::links::Links;
use super::roster::NodeRoster;
use super::time::EngineClock;
use super::{Channel, Decision, EngineAnswer, EngineCall, EngineTime, Indexed, ObjectName, Reply, UploadId, Version};
use crate::metrics::ClusterMetrics;
use crate::model::clock::{Moment, WallTime};

/// How often a node gives a sign of life, at least: the engine tells by it who is a member, and of those who come with it.
const SIGN: Duration = Duration::from_millis(250);
/// How long members have to assert what they hold.
const GATE: Duration = Duration::from_millis(700);
/// How often who waits at the gate looks who has.
const LOOK: Duration = Duration::from_millis(20);
/// Between two tries to begin a session: a part of what everybody waits for while another primary is elected.
const PAUSE: Duration = Duration::from_millis(50);
/// How often what need not be remembered is forgotten.
const SWEEP: Duration = Duration::from_secs(1);

/// Who takes up what a lane is told, and has the bodies of objects.
pub(super) trait NewsTaker: Send + Sync {
    /// Takes up a change. They come in order, one after the other.
    fn take(&self, news: NameNews) -> BoxFuture<'_, ()>;
    /// The bytes of that version, where they are at hand.
    fn body(&self, name: &ObjectName, indexed: &Indexed) -> Option<Bytes>;
}

/// A lane, for those who read and write by it.
#[derive(Debug)]
pub(super) struct LaneHandle {
    pub(super) number: LaneNumber,
    lane: Mutex<Lane<()>>,
    clock: Arc<EngineClock>,
    /// Something is to be asked.
    asks: Notify,
    /// Something has come that somebody may wait for.
    came: Notify,
    /// When the last barrier ended.
    confirmed: Mutex<Option<Moment>>,
    /// Why there is no session, as far as that is known.
    trouble: Mutex<Option<EngineError>>,
}

/// A commit that somebody waits for; given up when this is dropped.
struct AwaitedCommit<'a> {
    handle: &'a LaneHandle,
    upload: UploadId,
}

impl Drop for AwaitedCommit<'_> {
    fn drop(&mut self) {
        self.handle.lane.lock().give_up(self.upload);
    }
}

impl LaneHandle {
    pub(super) fn new(number: LaneNumber, lane: Lane<()>, clock: Arc<EngineClock>) -> Self {
        Self {
            number,
            lane: Mutex::new(lane),
            clock,
            asks: Notify::new(),
            came: Notify::new(),
            confirmed: Mutex::default(),
            trouble: Mutex::default(),
        }
    }

    /// Waits until what is known here of a name is as new as all that was answered before, on whichever node. For as long as it takes.
    /// Cancel-safe.
    pub(super) async fn fresh(&self, name: &ObjectName) {
        let mut fresh = self.lane.lock().arrive();
        self.asks.notify_one();
        self.until(|lane| {
            let before = fresh;
            let is_fresh = lane.read(&mut fresh, name, self.clock.now()).is_some();
            if fresh != before && matches!(fresh, Fresh::Barrier(_)) {
                self.asks.notify_one();
            }
            is_fresh.then_some(())
        })
        .await;
    }

    /// Has something committed, and waits for what becomes of it, and until that has been taken up here. Dropped, it may or may not happen.
    pub(super) async fn commit(&self, upload: UploadId, wish: Wish) -> Decision {
        let waiting = AwaitedCommit { handle: self, upload };
        self.lane.lock().commit(upload, wish);
        self.asks.notify_one();
        self.until(|lane| lane.committed(waiting.upload)).await
    }

    /// Lets objects live longer, where the engine is there now.
    pub(super) fn renew(&self, lives: impl IntoIterator<Item = (ObjectName, Version, EngineTime)>) {
        self.lane.lock().renew(lives);
        self.asks.notify_one();
    }

    /// Waits until there is a session. Cancel-safe.
    pub(super) async fn opened(&self) {
        self.until(|lane| lane.session().is_some_and(|(_, session)| session.is_open()).then_some(())).await;
    }

    /// Whether there is a session; else why not, as far as that is known.
    pub(super) fn stands(&self) -> Result<(), Option<EngineError>> {
        if self.lane.lock().session().is_some_and(|(_, session)| session.is_open()) {
            Ok(())
        } else {
            Err(self.trouble.lock().clone())
        }
    }

    /// When the last barrier ended: all that was answered before it began is known here.
    pub(super) fn confirmed(&self) -> Option<Moment> {
        *self.confirmed.lock()
    }

    /// What is known of all names that begin so.
    pub(super) fn below(&self, prefix: &str) -> Vec<(ObjectName, Indexed)> {
        self.lane.lock().below(prefix)
    }

    /// Shows what is known of each of these.
    pub(super) fn each_below(&self, prefix: &str, see: impl FnMut(&ObjectName, &Indexed)) {
        self.lane.lock().each_below(prefix, see);
    }

    /// What is known of a name.
    pub(super) fn known(&self, name: &str) -> Option<Indexed> {
        self.lane.lock().known(name).cloned()
    }

    /// Asks the same each time that something has come, until there is an answer.
    async fn until<T>(&self, mut answer: impl FnMut(&mut Lane<()>) -> Option<T>) -> T {
        loop {
            let mut came = pin!(self.came.notified());
            came.as_mut().enable();
            if let Some(answer) = answer(&mut self.lane.lock()) {
                return answer;
            }
            came.await;
        }
    }
}

/// What holds a lane's sessions.
pub(super) struct Driver<E: Engine> {
    pub(super) handle: Arc<LaneHandle>,
    pub(super) engine: Arc<E>,
    pub(super) links: Arc<Links<E>>,
    pub(super) taker: Arc<dyn NewsTaker>,
    pub(super) roster: Arc<NodeRoster>,
    pub(super) metrics: Arc<ClusterMetrics>,
    /// Copies beside the primary that an answer needs.
    pub(super) copies: usize,
}

/// A call that has been made.
struct Called<L> {
    channel: Channel,
    call: EngineCall,
    asked: WallTime,
    came: Result<(L, EngineAnswer), EngineError>,
}

impl<E: Engine> Driver<E> {
    /// Holds one session after the other. Ends when it is dropped.
    pub(super) async fn drive(self) {
        loop {
            let error = self.hold().await;
            *self.handle.trouble.lock() = error;
            self.handle.lane.lock().end_session();
            self.handle.came.notify_waiters();
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Begins a session and holds it until it ends: why it did, where that is more than that another one has to begin.
    async fn hold(&self) -> Option<EngineError> {
        let handle = &*self.handle;
        let (primary, line) = match self.engine.find(handle.number).await {
            Ok(found) => found,
            Err(error) => return Some(error),
        };
        self.links.lead_to(&primary);
        self.begin(line);
        let (mut calls, mut idle) = (FuturesUnordered::new(), Vec::new());
        let (mut sign, mut sweep, mut gate) = (Instant::now(), Instant::now(), None);
        loop {
            while let Some(news) = self.next_news() {
                self.taker.take(news).await;
                handle.lane.lock().news_told();
                handle.came.notify_waiters();
            }
            let now = Instant::now();
            let (session, polled) = {
                let mut lane = handle.lane.lock();
                let (session, is_at_gate) = lane.session().map(|(number, session)| (number, session.is_at_the_gate()))?;
                if !is_at_gate {
                    gate = None;
                } else if now >= *gate.get_or_insert(now + GATE) {
                    lane.wait_no_longer();
                } else if lane.session().is_some_and(|(_, session)| session.wants_a_look()) {
                    lane.look_at_the_gate();
                }
                if now >= sign {
                    lane.sign();
                    sign = now + SIGN;
                }
                if now >= sweep {
                    lane.sweep(handle.clock.now());
                    sweep = now + SWEEP;
                }
                (session, lane.poll())
            };
            handle.came.notify_waiters();
            for (channel, call) in polled {
                calls.push(self.call(&primary, idle.pop(), channel, self.with_bodies(call)));
            }
            let pause = if gate.is_some() { LOOK } else { SIGN };
            tokio::select! {
                Some(called) = calls.next(), if !calls.is_empty() => match called.came {
                    Ok((link, answered)) => {
                        idle.push(link);
                        self.answered(session, called.channel, &called.call, called.asked, answered);
                    }
                    Err(error) => return Some(error),
                },
                () = handle.asks.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    fn begin(&self, line: u32) {
        let mut lane = self.handle.lane.lock();
        lane.found((), line);
        // Whoever was away for so long can't tell what he holds from what was removed meanwhile.
        let now = self.handle.clock.own().now();
        if self.handle.confirmed().is_some_and(|at| now.since(at) > Duration::from_millis(REMEMBERED / 2)) {
            lane.is_outdated();
        }
    }

    fn next_news(&self) -> Option<NameNews> {
        self.handle.lane.lock().next_news().cloned()
    }

    /// An assertion is sent with what is here of the bodies.
    fn with_bodies(&self, mut call: EngineCall) -> EngineCall {
        if let EngineCall::Assert { held, .. } = &mut call {
            for held in held.iter_mut().filter(|held| held.indexed.object.is_some()) {
                held.body = self.taker.body(&held.name, &held.indexed);
            }
        }
        call
    }

    async fn call(&self, primary: &E::Primary, link: Option<E::Link>, channel: Channel, call: EngineCall) -> Called<E::Link> {
        let asked = self.handle.clock.own().wall();
        let came = async {
            let mut link = match link {
                Some(link) => link,
                None => self.engine.link(self.handle.number, primary).await?,
            };
            let answered = link.call(&call, self.copies).await?;
            Ok((link, answered))
        };
        let came = came.await;
        Called { channel, call, asked, came }
    }

    fn answered(&self, session: u32, channel: Channel, call: &EngineCall, asked: WallTime, answered: EngineAnswer) {
        let handle = &*self.handle;
        if matches!(call, EngineCall::Barrier { .. } | EngineCall::Takeover { .. }) && answered.time > 0 {
            handle.clock.told(answered.time, asked);
        }
        let began = handle.clock.own().moment_of(asked);
        match (call, &answered.reply) {
            (EngineCall::Barrier { .. }, Reply::Barrier { members, .. }) => {
                let now = handle.clock.own().now();
                self.roster.heard_of(members.keys(), now);
                self.metrics.members.set(members.len() as u64);
                self.metrics.passed_barrier(now.since(began));
            }
            (EngineCall::Assert { held, .. }, Reply::HasAsserted { .. }) => {
                self.metrics.asserted.inc_by(held.len() as u64);
            }
            _ => {}
        }
        let is_open = |lane: &Lane<()>| lane.session().is_some_and(|(_, session)| session.is_open());
        let (was_open, is_open) = {
            let mut lane = handle.lane.lock();
            let was_open = is_open(&lane);
            lane.answered(session, channel, call, answered);
            (was_open, is_open(&lane))
        };
        if is_open && !was_open {
            self.metrics.sessions.inc();
        }
        if channel == Channel::Barrier && is_open {
            *handle.confirmed.lock() = Some(began);
            *handle.trouble.lock() = None;
        }
    }
}
