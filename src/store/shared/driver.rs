//! Gives a lane what it has none of: connections, time, and somebody who takes up what it is told.
//!
//! One task for each lane holds its session: it asks what the lane says, tells the lane what came of it, and has each change taken up
//! before anybody is served by it.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, StreamExt as _};
use tokio::sync::watch;
use tokio::time::Instant;

use super::engine::{Engine, EngineError, EngineLink};
use super::handle::LaneHandle;
use super::index::NameNews;
use super::lane::Lane;
use super::links::Links;
use super::pace::{SIGN, Tries, second_sign, sign_in};
use super::roster::NodeRoster;
use super::silence::{Heard, Silence};
use super::taken::STRANGERS;
use super::{Channel, EngineAnswer, EngineCall, Indexed, ObjectName, Reply};
use crate::metrics::ClusterMetrics;
use crate::model::clock::Moment;

/// How long members have to assert what they hold: from when the gate is reached, or from the last that one of them has told.
const GATE: Duration = Duration::from_millis(700);
/// And how long that may go on in all: one that never comes to an end holds up nobody for ever.
const GATE_MOST: Duration = Duration::from_secs(20);
// Else a node comes to a lane unseen: with their signs the others are told of it.
const _: () = assert!(SIGN.as_millis() < GATE.as_millis());
/// How often who waits at the gate looks who has.
const LOOK: Duration = Duration::from_millis(20);
/// After a primary has been silent for too long, what has come from it meanwhile has this much time to be seen, where this process had no processor.
const SEEN: Duration = Duration::from_millis(20);
/// Bytes of bodies in an assertion after which there are no more: long ones hold up the engine.
const LONG_ASSERTION: usize = 4 << 20;
/// How often what need not be remembered is forgotten.
const SWEEP: Duration = Duration::from_secs(1);

/// Who takes up what a lane is told, and has the bodies of objects.
pub(super) trait NewsTaker: Send + Sync {
    /// Takes up a change. They come in order, one after the other.
    fn take(&self, news: NameNews) -> BoxFuture<'_, ()>;
    /// Whether there is a bucket below that is to have what goes by this name.
    fn goes_below(&self, name: &ObjectName) -> bool;
    /// The bytes of that version, where they are at hand.
    fn body(&self, name: &ObjectName, indexed: &Indexed) -> Option<Bytes>;
}

/// What holds a lane's sessions.
pub(super) struct Driver<E: Engine> {
    pub(super) handle: Arc<LaneHandle>,
    pub(super) engine: Arc<E>,
    pub(super) links: Arc<Links<E>>,
    pub(super) taker: Arc<dyn NewsTaker>,
    pub(super) roster: Arc<NodeRoster>,
    pub(super) silence: Arc<Silence<E::Primary>>,
    pub(super) metrics: Arc<ClusterMetrics>,
    /// Copies beside the primary that an answer needs.
    pub(super) copies: usize,
}

/// When what of a session was reached, and why it ended, where that is more than that another one has to begin.
#[derive(Default)]
struct SessionTimes {
    found: Option<Instant>,
    at_gate: Option<Instant>,
    opened: Option<Instant>,
    error: Option<EngineError>,
}

const SILENT: &str = "it takes too long to answer";
const BODILESS: &str = "a body can't be read";

/// Whether readers and writers wait for what comes of it.
fn is_waited_for(call: &EngineCall) -> bool {
    matches!(call, EngineCall::Takeover { .. } | EngineCall::Read { .. } | EngineCall::Gate { .. } | EngineCall::Barrier { .. })
}

/// A primary, and what has been heard of it.
struct Led<P> {
    primary: P,
    heard: Arc<Heard>,
}

/// A call that has been made.
struct Called<L> {
    channel: Channel,
    call: EngineCall,
    asked: Moment,
    came: Result<(L, EngineAnswer), EngineError>,
}

impl<E: Engine> Driver<E> {
    /// Holds one session after the other. Ends when it is dropped.
    pub(super) async fn drive(self) {
        let mut tries = Tries::default();
        loop {
            let mut held = SessionTimes::default();
            if let Err(error) = self.hold(&mut held, &tries).await {
                held.error = Some(error);
            }
            self.handle.lane.lock().end_session();
            self.handle.came.notify_waiters();
            let now = Instant::now();
            let open = held.opened.map_or(Duration::ZERO, |opened| now - opened);
            if held.opened.is_some() {
                let (lane, error) = (self.handle.number, held.error.as_ref().map(ToString::to_string).unwrap_or_default());
                tracing::debug!(lane, error, open_ms = open.as_millis(), "a session with the engine has ended");
            }
            *self.handle.trouble.lock() = held.error;
            tokio::time::sleep(tries.failed(open, now)).await;
        }
    }

    /// Begins a session and holds it until it ends: why it did, where that is more than that another one has to begin.
    async fn hold(&self, held: &mut SessionTimes, tries: &Tries) -> Result<(), EngineError> {
        let handle = &*self.handle;
        let (primary, line) = self.engine.find(handle.number).await?;
        self.links.lead_to(&primary);
        let to = Led { heard: self.silence.of(&primary), primary };
        let mut silent = to.heard.listen();
        self.begin(line);
        let (mut calls, mut came, mut idle) = (FuturesUnordered::new(), VecDeque::new(), Vec::new());
        let found = Instant::now();
        let (mut sign, mut sweep, mut look, mut gate) = (found, found, found, None);
        held.found = Some(found);
        loop {
            while let Some(news) = self.next_news() {
                let taken = self.take_up(news, &mut calls, &mut came, &mut silent).await;
                handle.lane.lock().news_told();
                handle.gets_on();
                handle.came.notify_waiters();
                taken?;
            }
            let now = Instant::now();
            let (session, polled) = {
                let mut lane = handle.lane.lock();
                let Some((session, is_at_gate, is_open)) =
                    lane.session().map(|(number, session)| (number, session.is_at_the_gate(), session.is_open()))
                else {
                    return Ok(());
                };
                let expects = lane.session().is_some_and(|(_, session)| session.expects_strangers());
                let within = if expects { Duration::from_millis(STRANGERS) } else { GATE };
                if !is_at_gate {
                    gate = None;
                } else if now >= *gate.get_or_insert(now + within) {
                    lane.wait_no_longer();
                    if expects && lane.session().is_some_and(|(_, session)| !session.expects_strangers()) {
                        gate = Some(now + GATE);
                    }
                } else if now >= look && lane.session().is_some_and(|(_, session)| session.wants_a_look()) {
                    // Whoever comes meanwhile and waits is no reason to look again at once.
                    look = now + LOOK;
                    lane.look_at_the_gate();
                }
                if is_at_gate {
                    held.at_gate.get_or_insert(now);
                }
                if is_open && held.opened.is_none() {
                    held.opened = Some(now);
                    handle.gets_on();
                    sign = second_sign(handle.number, now);
                    lane.sign();
                } else if is_open && now >= sign {
                    let heard = handle.confirmed().map(|at| handle.clock.own().now().since(at));
                    sign = now
                        + sign_in(heard).unwrap_or_else(|| {
                            lane.sign();
                            SIGN
                        });
                }
                if now >= sweep {
                    lane.sweep(|name| self.taker.goes_below(name));
                    sweep = now + SWEEP;
                }
                (session, lane.poll())
            };
            if held.opened == Some(now) {
                self.tell_of(held, tries);
            }
            handle.came.notify_waiters();
            for (channel, call) in polled {
                calls.push(self.call(&to, idle.pop(), channel, self.with_bodies(session, call)));
            }
            if let Some(called) = came.pop_front() {
                idle.push(self.heard((session, &*to.heard), called, &mut gate, held)?);
                continue;
            }
            let due = if gate.is_some() { look } else { sign.min(sweep) };
            let until = if due > now { due } else { now + LOOK };
            tokio::select! {
                Some(called) = calls.next(), if !calls.is_empty() => idle.push(self.heard((session, &*to.heard), called, &mut gate, held)?),
                Ok(()) = silent.changed() => return Err(EngineError::Unreachable(SILENT.to_owned())),
                () = handle.asks.notified() => {}
                () = tokio::time::sleep_until(until) => {}
            }
        }
    }

    /// Has a change taken up. What is answered meanwhile is kept. Where the session is over it waits for no body any more, and says so. One that
    /// can't be taken up, for a fault of this program, is passed over: all nodes meet it, and it had better not end what they share.
    async fn take_up<C: Future<Output = Called<E::Link>>>(
        &self,
        news: NameNews,
        calls: &mut FuturesUnordered<C>,
        came: &mut VecDeque<Called<E::Link>>,
        silent: &mut watch::Receiver<u64>,
    ) -> Result<(), EngineError> {
        let (lane, name) = (self.handle.number, ObjectName::clone(&news.name));
        let taking = AssertUnwindSafe(self.taker.take(news)).catch_unwind();
        let mut taking = pin!(taking.map(|taken| {
            if taken.is_err() {
                tracing::error!(lane, %name, "a change could not be taken up, for a fault of this program: it is passed over");
            }
        }));
        let over = loop {
            tokio::select! {
                biased;
                () = &mut taking => {
                    let is_over = self.links.are_given_up();
                    return if is_over { Err(EngineError::Unreachable(BODILESS.to_owned())) } else { Ok(()) };
                }
                Some(called) = calls.next(), if !calls.is_empty() => match called.came {
                    Ok(_) => came.push_back(called),
                    Err(error) => break error,
                },
                Ok(()) = silent.changed() => break EngineError::Unreachable(SILENT.to_owned()),
            }
        };
        self.links.give_up();
        taking.await;
        Err(over)
    }

    /// How long it took until a session was open, for who wants to know what a pause was made of.
    fn tell_of(&self, held: &SessionTimes, tries: &Tries) {
        let (Some(opened), (since, tries)) = (held.opened, tries.so_far()) else { return };
        let ago = |at: Option<Instant>| at.map(|at| (opened - at).as_millis());
        let (away_ms, found_ms, gate_ms) = (ago(since), ago(held.found), ago(held.at_gate));
        tracing::debug!(lane = self.handle.number, tries, away_ms, found_ms, gate_ms, "a session with the engine is open");
    }

    fn begin(&self, line: u32) {
        self.handle.lane.lock().found((), line);
    }

    fn next_news(&self) -> Option<NameNews> {
        self.handle.lane.lock().next_news().cloned()
    }

    /// An assertion is sent with what is here of the bodies, which may be no more than so many bytes: what is left is for the next.
    fn with_bodies(&self, session: u32, mut call: EngineCall) -> EngineCall {
        if let EngineCall::Assert { held, .. } = &mut call {
            let (mut bytes, mut count) = (0, 0);
            for held in held.iter_mut() {
                if bytes >= LONG_ASSERTION {
                    break;
                }
                held.goes_below = self.taker.goes_below(&held.name);
                held.body = held.indexed.object.as_ref().and_then(|_| self.taker.body(&held.name, &held.indexed));
                bytes += held.body.as_ref().map_or(0, Bytes::len);
                count += 1;
            }
            let left = held.split_off(count);
            self.handle.lane.lock().take_back(session, left);
        }
        call
    }

    async fn call(&self, to: &Led<E::Primary>, link: Option<E::Link>, channel: Channel, call: EngineCall) -> Called<E::Link> {
        let (asked, begun) = (self.handle.clock.own().now(), Instant::now());
        let came = {
            let mut came = pin!(async {
                let mut link = match link {
                    Some(link) => link,
                    None => self.engine.link(self.handle.number, &to.primary).await?,
                };
                let answered = link.call(&call, self.copies).await?;
                Ok::<_, EngineError>((link, answered))
            });
            let silent = async {
                tokio::time::sleep(self.engine.patience()).await;
                tokio::time::sleep(SEEN).await;
                // One that answers others is there, and slow: it has as long as any answer may take.
                if to.heard.has_answered_since(begun) {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                biased;
                came = &mut came => came,
                () = silent, if is_waited_for(&call) => {
                    to.heard.is_silent();
                    Err(EngineError::Unreachable(SILENT.to_owned()))
                }
            }
        };
        if came.is_ok() {
            to.heard.answered(Instant::now());
        }
        Called { channel, call, asked, came }
    }

    /// Takes an answer up, and hands over the link that it came by. While another one is telling what it holds the gate is waited at on.
    fn heard(
        &self,
        (session, of): (u32, &Heard),
        called: Called<E::Link>,
        gate: &mut Option<Instant>,
        held: &SessionTimes,
    ) -> Result<E::Link, EngineError> {
        let (link, answered) = called.came?;
        if let (Reply::Gate { are_telling: true, .. }, Some(at_gate)) = (&answered.reply, held.at_gate) {
            *gate = gate.map(|until| until.max(Instant::now() + GATE).min(at_gate + GATE_MOST));
        }
        if matches!(called.call, EngineCall::Barrier { .. } | EngineCall::Takeover { .. }) && answered.time > 0 {
            self.handle.clock.told(answered.time, called.asked, of.number());
        }
        self.answered(session, called.channel, &called.call, called.asked, answered);
        Ok(link)
    }

    fn answered(&self, session: u32, channel: Channel, call: &EngineCall, asked: Moment, answered: EngineAnswer) {
        let handle = &*self.handle;
        match (call, &answered.reply) {
            (EngineCall::Barrier { .. }, Reply::Barrier { members, .. }) => {
                let now = handle.clock.own().now();
                self.roster.heard_of(members.keys(), now);
                self.metrics.members.set(members.len() as u64);
                self.metrics.passed_barrier(now.since(asked));
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
            handle.gets_on();
        }
        if channel == Channel::Barrier && is_open {
            *handle.confirmed.lock() = Some(asked);
            handle.gets_on();
            *handle.trouble.lock() = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::pace::STANDS_STILL;
    use super::super::rig::NodeRig;
    use super::*;
    use crate::model::clock::Clock;
    use crate::model::id::{Key, Namespace};

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_a_body_hears_that_the_primary_is_silent() {
        let rig = NodeRig::start(&Clock::manual()).await;
        let (namespace, key) = (Namespace::parse("n").unwrap(), Key::parse("a/p.m3u8").unwrap());
        let (handle, lane, _) = rig.store.place(&namespace, &key);
        let sessions = || handle.lane.lock().session().map(|(number, _)| number);
        let before = sessions().unwrap();
        rig.holds_bodies(true);
        let commits = async {
            for name in ["n/a/p.m3u8", "n/a/q.m3u8", "n/a/r.m3u8"] {
                rig.commit(lane, name, Some(b"#EXTM3U"), NodeRig::described()).await;
            }
        };
        let another = async {
            while rig.bodies_asked() == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            let begun = Instant::now();
            rig.is_silent();
            while sessions().is_none_or(|number| number == before) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            rig.holds_bodies(false);
            begun.elapsed()
        };
        let (within, ()) = tokio::join!(another, commits);
        assert!(within < Duration::from_secs(1), "{within:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_lane_that_nobody_drives_any_more_is_told() {
        let clock = Clock::manual();
        let rig = NodeRig::start(&clock).await;
        let pass = async |time: Duration| {
            for _ in 0..time.as_millis() / 50 {
                clock.advance(Duration::from_millis(50));
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        pass(STANDS_STILL * 3).await;
        assert_eq!(rig.store.trouble(), None, "it gives signs, though nobody asks for anything");
        rig.nobody_drives(3);
        pass(STANDS_STILL).await;
        let trouble = rig.store.trouble();
        assert!(matches!(&trouble, Some((told, false)) if told.contains("part 3 of what the nodes share")), "{trouble:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_that_can_not_be_taken_up_is_passed_over() {
        let rig = NodeRig::start(&Clock::manual()).await;
        let sessions = || rig.store.0.lanes[0].lane.lock().session().map(|(number, _)| number);
        let before = sessions();
        rig.commit(0, "n/panics.ts", Some(b"x"), NodeRig::described()).await;
        rig.commit(0, "n/a.ts", Some(b"x"), NodeRig::described()).await;
        assert!(rig.known(0, "n/a.ts").is_some() && rig.store.trouble().is_none() && sessions() == before);
    }

    static SEGMENT: [u8; 900_000] = [7; 900_000];

    #[tokio::test(start_paused = true)]
    async fn what_a_node_holds_is_told_to_an_engine_that_was_away_for_long_and_what_is_not_here_weighs_nothing() {
        let clock = Clock::manual();
        let rig = NodeRig::start(&clock).await;
        for number in 0..20 {
            rig.commit(0, &format!("n/{number}.ts"), Some(&SEGMENT), NodeRig::described()).await;
        }
        clock.advance(Duration::from_secs(600));
        assert_eq!(rig.comes_back_empty(0).await, [20], "the node has none of the bytes: one call");
        assert!((0..20).all(|number| rig.known(0, &format!("n/{number}.ts")).is_some()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_step_of_the_wall_clock_makes_a_node_forget_nothing() {
        let (clock, of_engine) = (Clock::manual(), Clock::manual());
        let rig = NodeRig::start_apart(&clock, &of_engine).await;
        rig.commit(0, "n/a.ts", Some(b"x"), NodeRig::described()).await;
        for step in [4, -8] {
            clock.set_wall(step * 3_600_000);
            tokio::time::sleep(SWEEP * 3).await;
            assert!(rig.known(0, "n/a.ts").is_some(), "{step}");
            assert_eq!(rig.store.0.clock.now(), of_engine.wall().millis());
        }
    }
}
