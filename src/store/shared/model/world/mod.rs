//! All there is: copies, nodes, clients with what they are about to ask, and one fault at a time.

mod directed;
mod next;
mod setting;

use std::sync::Arc;

use bytes::Bytes;

use self::setting::Tag;
pub(super) use self::setting::{FaultKind, Happening, Setting};
use super::register::{Possible, Question, Saying};
use crate::store::shared::commit::Wish;
use crate::store::shared::lane::{Fresh, Lane};
use crate::store::shared::members::Members;
use crate::store::shared::memory::{Copies, CopyNumber};
use crate::store::shared::safeguards::Safeguards;
use crate::store::shared::{Channel, Decision, EngineTime, Node, ObjectName, Precondition, SharedBody, SharedObject, UploadId};

/// When it is settled how all begins, longer than [strangers](crate::store::shared::taken::STRANGERS) are waited for; and until when nothing has expired.
const SETTLED: EngineTime = 3_000;
const STRIKE: EngineTime = SETTLED + 1;
const COPIES: usize = 3;
/// Asks for what the clock does.
const CLOCK: u8 = 100;
/// The first of those who ask under another name, because nobody will ever tell them.
const NOBODY: u8 = 101;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Asker {
    number: u8,
    node: usize,
    /// Still to be asked, the next one last.
    to_ask: Vec<(usize, Question)>,
    doing: Option<(usize, Doing)>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Doing {
    Commit(UploadId),
    Read(Fresh),
}

/// All there is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct World {
    copies: Copies<Tag>,
    lanes: Vec<Lane<CopyNumber>>,
    /// How often each node has died.
    lives: Vec<u8>,
    clients: Vec<Asker>,
    objects: Vec<Possible>,
    now: EngineTime,
    uploads: u8,
    nobodies: u8,
    faults: u8,
    /// The copy that is no longer the primary, and the one elected in its place, once there is one.
    deposed: Option<(CopyNumber, Option<CopyNumber>)>,
    dead_replica: Option<CopyNumber>,
    /// The node that reaches no copy but the deposed one, and is not reached by others.
    cut_off: Option<usize>,
    primary: CopyNumber,
    /// Whether open nodes have given a sign since somebody came to the gate.
    have_signed: bool,
}

fn name(key: usize) -> ObjectName {
    Arc::from(["a", "b"][key])
}

fn node(number: usize) -> Node {
    Arc::from(["one", "two", "three"][number])
}

fn lane(number: usize, of: usize, safeguards: Safeguards) -> Lane<CopyNumber> {
    Lane::new(node(number), Members::new((0..of).map(node)), COPIES, safeguards)
}

impl World {
    pub(super) fn new(plan: &Setting) -> Self {
        let nodes = plan.clients.iter().map(|(node, _)| node + 1).max().unwrap_or(0);
        let lanes = (0..nodes).map(|number| lane(number, nodes, plan.safeguards)).collect();
        let client = |(number, (node, to_ask)): (u8, &(usize, Vec<_>))| {
            let to_ask = to_ask.iter().rev().cloned().collect();
            Asker { number, node: *node, to_ask, doing: None }
        };
        let mut world = Self {
            copies: Copies::new(COPIES, plan.journal, plan.safeguards),
            lanes,
            lives: vec![0; nodes],
            clients: (0..).zip(&plan.clients).map(client).collect(),
            objects: vec![Possible::default(); 2],
            now: 0,
            uploads: 0,
            nobodies: 0,
            faults: plan.fault_count,
            deposed: None,
            dead_replica: None,
            cut_off: None,
            primary: 0,
            have_signed: false,
        };
        world.settle_in();
        world.now = SETTLED;
        world.lanes.iter_mut().for_each(Lane::sign);
        world.go_on();
        world.settle_in();
        if let Some(gone) = plan.forgotten {
            (0..COPIES).for_each(|copy| world.copies.forget_member(copy, &node(gone)));
            world.lanes.iter_mut().enumerate().filter(|(number, _)| *number != gone).for_each(|(_, lane)| lane.sign());
            world.go_on();
            world.settle_in();
        }
        world
    }

    /// Everybody has a session, and nothing is under way: how it is before anything happens.
    fn settle_in(&mut self) {
        let plan = Setting {
            clients: Vec::new(),
            faults: Vec::new(),
            fault_count: 0,
            journal: 0,
            is_coarse: false,
            heals: false,
            safeguards: Safeguards::default(),
            forgotten: None,
        };
        self.rest(&plan, None);
    }

    /// All that happens without anybody doing anything has happened, but what one node that is held up would do.
    fn rest(&mut self, plan: &Setting, held_up: Option<usize>) {
        for _ in 0..400 {
            let by_itself = self.by_itself().into_iter().find(|next| held_up.is_none() || next.whose() != held_up);
            let waits = (0..self.lanes.len()).any(|number| Some(number) != held_up && self.is_at_the_gate(number));
            let Some(next) = by_itself.or(waits.then_some(Happening::Wait)) else { return };
            *self = self.clone().after(&next, plan);
        }
        panic!("it does not settle: {self:#?}");
    }

    fn is_at_the_gate(&self, number: usize) -> bool {
        self.lanes[number].session().is_some_and(|(_, session)| session.is_at_the_gate())
    }

    /// Whether what was told is what one register for each key could have said.
    pub(super) fn is_linearizable(&self) -> bool {
        self.objects.iter().all(Possible::is_any)
    }

    /// Whether all that was asked has been told.
    pub(super) fn is_done(&self) -> bool {
        self.clients.iter().all(|client| client.to_ask.is_empty() && client.doing.is_none())
    }

    /// The world after that.
    pub(super) fn after(mut self, happening: &Happening, plan: &Setting) -> Self {
        match *happening {
            Happening::Ask(client) => self.ask(client),
            Happening::Find(number, copy) => {
                let line = self.copies.primaries().into_iter().find(|(primary, _)| *primary == copy).map_or(0, |(_, line)| line);
                self.lanes[number].found(copy, line);
                self.have_signed = false;
                self.begin_session(number, plan);
            }
            Happening::Perform(tag) => {
                self.copies.perform(tag, self.now);
                if plan.is_coarse && self.copies.is_answered_reading(tag) {
                    self.answer(tag);
                }
            }
            Happening::Answer(tag) => self.answer(tag),
            Happening::GiveUp(tag) => {
                self.copies.leave(tag);
                self.lanes[tag.node].end_session();
            }
            Happening::Look(number) => {
                self.lanes[number].look_at_the_gate();
                self.begin_session(number, plan);
            }
            Happening::Replicate(copy) => self.copies.replicate(copy),
            Happening::Elect(copy) => {
                self.copies.elect(copy);
                self.primary = copy;
                self.deposed = self.deposed.map(|(deposed, _)| (deposed, Some(copy)));
            }
            Happening::Rejoin(copy) => {
                self.copies.rejoin(copy, self.primary);
                self.deposed = self.deposed.filter(|(deposed, _)| *deposed != copy);
                self.cut_off = None;
                self.dead_replica = self.dead_replica.filter(|dead| *dead != copy);
            }
            Happening::Wait => {
                if self.have_signed {
                    self.lanes.iter_mut().for_each(Lane::wait_no_longer);
                } else {
                    self.lanes.iter_mut().for_each(Lane::sign);
                }
                self.have_signed = !self.have_signed;
            }
            Happening::Strike => {
                self.now = STRIKE;
                for object in &mut self.objects {
                    object.asked(CLOCK, Question::Strike);
                    object.told(CLOCK, Saying::Done);
                }
            }
            Happening::Fault(kind, whom) => self.strike(kind, whom, plan),
        }
        self.go_on();
        if plan.is_coarse {
            for tag in self.copies.tags() {
                if self.copies.is_reset(tag) {
                    self.lanes[tag.node].end_session();
                }
            }
            self.go_on();
        }
        self
    }

    /// In a coarse world: goes through all the steps by which a session begins.
    fn begin_session(&mut self, number: usize, plan: &Setting) {
        if !plan.is_coarse {
            return;
        }
        loop {
            self.go_on();
            let Some((session, primary)) = self.lanes[number].session().map(|(session, at)| (session, at.primary)) else {
                return;
            };
            let tag = Tag { node: number, life: self.lives[number], session, channel: Channel::Control };
            if !self.copies.tags().contains(&tag) {
                return;
            }
            self.copies.perform(tag, self.now);
            for copy in 0..COPIES {
                if self.copies.follows(copy, primary) {
                    self.copies.replicate(copy);
                }
            }
            if self.copies.may_answer(tag) {
                self.answer(tag);
            } else {
                self.lanes[number].end_session();
            }
        }
    }

    fn strike(&mut self, kind: FaultKind, whom: usize, plan: &Setting) {
        self.faults -= 1;
        match kind {
            FaultKind::Death => {
                self.copies.kill(whom);
                self.deposed = Some((whom, None));
            }
            FaultKind::Split => self.deposed = Some((whom, None)),
            FaultKind::Emptied => self.copies.restart_empty(whom),
            FaultKind::ReplicaDeath => {
                self.copies.kill(whom);
                self.dead_replica = Some(whom);
            }
            FaultKind::Zone => {
                self.deposed = Some((self.primary, None));
                self.cut_off = Some(whom);
                let others = |(number, lane)| (number != whom).then_some(lane);
                self.lanes.iter_mut().enumerate().filter_map(others).for_each(Lane::end_session);
            }
            FaultKind::Link => self.lanes[whom].end_session(),
            FaultKind::Silence => self.copies.forget_member(self.primary, &node(whom)),
            FaultKind::NodeDeath => {
                self.lanes[whom] = lane(whom, self.lanes.len(), plan.safeguards);
                self.lives[whom] += 1;
                for client in 0..self.clients.len() {
                    if self.clients[client].node == whom {
                        self.never_tell(client);
                    }
                }
            }
            FaultKind::Impatience => {
                if let Some((_, Doing::Commit(upload))) = self.clients[whom].doing {
                    self.lanes[self.clients[whom].node].give_up(upload);
                }
                self.never_tell(whom);
            }
        }
    }

    /// What a client has asked may have happened, or happen yet. It asks the next thing.
    fn never_tell(&mut self, client: usize) {
        let client = &mut self.clients[client];
        if let Some((key, _)) = client.doing.take() {
            self.objects[key].never_told(client.number, NOBODY + self.nobodies);
            self.nobodies += 1;
        }
    }

    fn answer(&mut self, tag: Tag) {
        if let Some((call, answered)) = self.copies.answer(tag) {
            self.lanes[tag.node].answered(tag.session, tag.channel, &call, answered);
        }
    }

    fn ask(&mut self, number: usize) {
        let client = &mut self.clients[number];
        let Some((key, ask)) = client.to_ask.pop() else { return };
        let lane = &mut self.lanes[client.node];
        let object = |value: u8, is_short| {
            let expires = if is_short { STRIKE } else { EngineTime::MAX };
            Some(SharedObject { etag: u128::from(value), length: 0, is_bare: false, expires, described: Bytes::new() })
        };
        let (expected, object) = match ask {
            Question::Get => {
                client.doing = Some((key, Doing::Read(lane.arrive())));
                self.objects[key].asked(client.number, ask);
                return;
            }
            Question::Put { value, is_short } => (Precondition::Anything, object(value, is_short)),
            Question::PutIfAbsent { value } => (Precondition::Absence, object(value, false)),
            Question::PutIf { there, value } => (Precondition::OneOf(vec![u128::from(there)]), object(value, false)),
            Question::Delete | Question::Strike => (Precondition::Anything, None),
        };
        let upload = UploadId(u128::from(self.uploads));
        self.uploads += 1;
        lane.commit(upload, Wish { name: name(key), expected, object, body: SharedBody::default(), goes_below: false });
        client.doing = Some((key, Doing::Commit(upload)));
        self.objects[key].asked(client.number, ask);
    }

    /// What nodes do at once: they call, and they answer whom they can.
    fn go_on(&mut self) {
        // Here nobody keeps more than the index.
        for lane in &mut self.lanes {
            while lane.next_news().is_some() {
                lane.news_told();
            }
        }
        for client in &mut self.clients {
            let lane = &mut self.lanes[client.node];
            let Some((key, doing)) = &mut client.doing else { continue };
            let told = match doing {
                Doing::Commit(upload) => lane.committed(*upload).map(|verdict| match verdict {
                    Decision::Done(_) => Saying::Done,
                    Decision::Unexpected => Saying::Unexpected,
                    Decision::Absent => Saying::Absent,
                    Decision::NoRoom => unreachable!("memory has room"),
                }),
                Doing::Read(fresh) => {
                    let read = lane.read(fresh, &name(*key), self.now);
                    let value = |object: SharedObject| u8::try_from(object.etag).unwrap_or(u8::MAX);
                    read.map(|object| Saying::Value(object.map(value)))
                }
            };
            if let Some(told) = told {
                self.objects[*key].told(client.number, told);
                client.doing = None;
            }
        }
        for (number, lane) in self.lanes.iter_mut().enumerate() {
            let (life, session) = (self.lives[number], lane.session().map(|(session, _)| session));
            for tag in self.copies.tags() {
                let is_now = tag.life == life && Some(tag.session) == session;
                if tag.node == number && !is_now && !self.copies.is_orphan(tag) {
                    self.copies.leave(tag);
                }
            }
            let calls = lane.poll();
            let Some((session, primary)) = lane.session().map(|(session, at)| (session, at.primary)) else { continue };
            for (channel, call) in calls {
                self.copies.send(Tag { node: number, life, session, channel }, primary, call);
            }
        }
    }
}
