//! A node: it watches, races, works.

use super::Beat;
use super::config::{Conflict, Heartbeat, Race};
use super::note::{Note, Won};
use crate::engine::{Span, SpanRange, Time};
use crate::net::Plane;
use crate::net::addr::{Endpoint, Ip};
use crate::node::process::{Action, Input, NetId, Signal, Timer};
use crate::proto::lvs::note::Names;
use crate::proto::{Cx, Msg, Note as AnyNote};
use crate::say;

const KEEPALIVE: Timer = Timer(0);
const DEAD: Timer = Timer(1);
const RACE: Timer = Timer(2);
const RESOURCE: Timer = Timer(3);
/// How many gratuitous ARPs announce the address.
const GARPS: u32 = 5;

/// The role of a node.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, serde::Serialize)]
pub enum Role {
    /// Just started: it listens for a worker.
    Init,
    /// It watches the worker.
    Idle,
    /// The worker is silent: it waits for its turn in the race.
    Racing,
    /// It has announced that it takes the resource, and listens whether somebody else has.
    Claiming,
    /// It has the resource.
    Worker,
}

/// What moves a node from role to role.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Why {
    /// A heartbeat of a worker.
    Heard,
    /// Nothing for `deadtime` (or `initdead`), or the worker has released the resource.
    Silence,
    /// Its turn in the race.
    Turn,
    /// `claim_wait` is over, or the worker has released the resource to it.
    Unopposed,
    /// A claim, or another worker, that goes first.
    Beaten,
}

/// Every way between roles.
pub const TRANSITIONS: &[(Role, Why, Role)] = &[
    (Role::Init, Why::Heard, Role::Idle),
    (Role::Init, Why::Silence, Role::Racing),
    (Role::Idle, Why::Silence, Role::Racing),
    (Role::Racing, Why::Heard, Role::Idle),
    (Role::Racing, Why::Turn, Role::Claiming),
    (Role::Claiming, Why::Beaten, Role::Idle),
    (Role::Claiming, Why::Unopposed, Role::Worker),
    (Role::Worker, Why::Beaten, Role::Idle),
];

/// A node.
#[derive(Clone, Debug)]
pub struct Node {
    config: Heartbeat,
    names: Names,
    net: NetId,
    own: Ip,
    role: Role,
    worker: Option<Ip>,
    last: Time,
    /// What the present race costs it.
    wait: Span,
    /// It asks a living worker for the resource.
    failback: bool,
    /// The address is to be configured (or taken away) when the resource's time is over.
    wanted: bool,
    /// Somebody waits to hear that it is stopped.
    asked: bool,
    sent: u64,
}

impl Node {
    /// A node with its address, on this network.
    pub fn new(config: Heartbeat, names: Names, net: NetId, own: Ip) -> Self {
        Node {
            config,
            names,
            net,
            own,
            role: Role::Init,
            worker: None,
            last: Time::ZERO,
            wait: Span::ZERO,
            failback: false,
            wanted: false,
            asked: false,
            sent: 0,
        }
    }
    /// What it was before it was started.
    pub fn reset(&mut self) {
        *self = Node::new(self.config.clone(), self.names.clone(), self.net, self.own);
    }
    /// Its role.
    pub fn role(&self) -> Role {
        self.role
    }
    /// The resource.
    pub fn vip(&self) -> Option<Ip> {
        self.config.vip.map(|v| v.ip)
    }
    /// Heartbeats sent.
    pub fn sent(&self) -> u64 {
        self.sent
    }
    /// What it believes, in words.
    pub fn belief(&self) -> String {
        match (self.role, self.worker) {
            (Role::Worker, _) => say!("hb-i-work"),
            (_, Some(ip)) => say!("hb-works", worker = self.names.of(ip)),
            (_, None) => say!("hb-none-works"),
        }
    }

    /// Handles one input.
    pub fn on(&mut self, input: Input<Msg>, cx: &mut Cx<'_>) {
        match input {
            Input::Start => self.start(cx),
            Input::Packet { from, msg: Msg::Heartbeat(beat), .. } if from.ip != self.own => {
                self.heard(from.ip, beat, cx);
            }
            Input::Timer(KEEPALIVE) if self.role == Role::Worker => self.alive(cx),
            Input::Timer(DEAD) => self.silence(cx),
            Input::Timer(RACE) if self.role == Role::Racing => self.turn(cx),
            Input::Timer(RACE) if self.role == Role::Claiming => self.take(cx),
            Input::Timer(RESOURCE) => self.resource(cx),
            Input::Signal(Signal::Term) => self.stop(cx),
            _ => {}
        }
    }

    fn start(&mut self, cx: &mut Cx<'_>) {
        cx.act(Action::Bind(self.config.udpport));
        // What an earlier life has left behind is stopped first.
        self.give_back(cx);
        self.last = cx.now;
        cx.set_timer(DEAD, self.config.initdead);
        note(Note::Watches { initdead: self.config.initdead }, cx);
    }

    // ---- hearing ---------------------------------------------------------------------------------------------------

    fn heard(&mut self, from: Ip, beat: Beat, cx: &mut Cx<'_>) {
        match beat {
            Beat::Alive(priority) | Beat::Claim(priority) => self.rival(from, priority, beat, cx),
            Beat::Release => self.released(from, cx),
        }
    }
    /// Another node works, or is about to.
    fn rival(&mut self, from: Ip, priority: u32, beat: Beat, cx: &mut Cx<'_>) {
        match self.role {
            Role::Worker => self.two_workers(from, priority, beat, cx),
            // A worker that was asked for the resource is heard until it has stopped it.
            Role::Claiming if self.failback && matches!(beat, Beat::Alive(_)) => {
                self.worker = Some(from);
                self.last = cx.now;
            }
            Role::Claiming if self.beats(from, priority) => {}
            role => {
                let new = self.worker != Some(from);
                if matches!(role, Role::Racing | Role::Claiming) {
                    note(Note::Lost { to: self.names.of(from) }, cx);
                    cx.cancel_timer(RACE);
                } else if new {
                    note(Note::Follows { worker: self.names.of(from) }, cx);
                }
                self.failback = false;
                self.follow(from, cx);
                let better = self.config.race == Race::Priority && self.config.priority < priority;
                if role == Role::Init && better && self.config.auto_failback {
                    self.role = Role::Claiming;
                    self.failback = true;
                    self.send(Beat::Claim(self.config.priority), cx);
                }
            }
        }
    }
    fn follow(&mut self, worker: Ip, cx: &mut Cx<'_>) {
        self.role = Role::Idle;
        self.worker = Some(worker);
        self.last = cx.now;
        cx.set_timer(DEAD, self.config.deadtime);
    }
    /// Whether this node goes before another one.
    fn beats(&self, other: Ip, priority: u32) -> bool {
        match self.config.race {
            Race::Priority if self.config.priority != priority => self.config.priority < priority,
            _ => self.own > other,
        }
    }
    fn two_workers(&mut self, from: Ip, priority: u32, beat: Beat, cx: &mut Cx<'_>) {
        let other = self.names.of(from);
        let both = self.config.conflict == Conflict::Nobody && self.config.race != Race::Priority;
        if both || self.beats(from, priority) {
            note(Note::Stays { other, both }, cx);
            if !both {
                self.alive(cx);
                self.announce(cx);
            }
            return;
        }
        // Claims that cross are no request: only an order knows a better node that comes back.
        self.asked = matches!(beat, Beat::Claim(_)) && self.config.race == Race::Priority;
        note(Note::Yields { to: other, failback: self.asked }, cx);
        cx.cancel_timer(KEEPALIVE);
        self.follow(from, cx);
        self.change(false, cx);
    }
    fn released(&mut self, from: Ip, cx: &mut Cx<'_>) {
        if self.worker != Some(from) || self.role == Role::Worker {
            return;
        }
        note(Note::Released { worker: self.names.of(from) }, cx);
        self.worker = None;
        if self.failback && self.role == Role::Claiming {
            self.take(cx);
        } else {
            self.race(cx);
        }
    }

    // ---- racing ----------------------------------------------------------------------------------------------------

    fn silence(&mut self, cx: &mut Cx<'_>) {
        let since = if self.role == Role::Init { self.config.initdead } else { self.config.deadtime };
        match self.role {
            Role::Init | Role::Idle | Role::Claiming => {
                let worker = self.worker.take().map(|w| self.names.of(w));
                note(Note::Silent { worker, last: self.last, deadtime: since }, cx);
                self.failback = false;
                self.race(cx);
            }
            Role::Racing | Role::Worker => {}
        }
    }
    fn race(&mut self, cx: &mut Cx<'_>) {
        cx.cancel_timer(DEAD);
        self.role = Role::Racing;
        self.wait = match self.config.race {
            Race::FirstToAnnounce => Span::ZERO,
            Race::Priority => self.config.stagger.times(u64::from(self.config.priority.saturating_sub(1))),
            Race::RandomBackoff => Span(cx.below(self.config.backoff.0.saturating_add(1))),
        };
        if self.wait.is_zero() { self.turn(cx) } else { cx.set_timer(RACE, self.wait) }
    }
    fn turn(&mut self, cx: &mut Cx<'_>) {
        self.role = Role::Claiming;
        self.send(Beat::Claim(self.config.priority), cx);
        if self.config.claim_wait.is_zero() {
            self.take(cx);
        } else {
            note(Note::Claims { wait: self.config.claim_wait }, cx);
            cx.set_timer(RACE, self.config.claim_wait);
        }
    }
    fn take(&mut self, cx: &mut Cx<'_>) {
        let Some(vip) = self.vip() else { return };
        let won = match self.config.race {
            _ if self.failback => Won::Back,
            Race::FirstToAnnounce => Won::First(self.wait),
            Race::Priority => Won::Place(self.config.priority, self.wait),
            Race::RandomBackoff => Won::Luck(self.wait),
        };
        self.failback = false;
        self.role = Role::Worker;
        self.worker = Some(self.own);
        cx.cancel_timer(DEAD);
        note(Note::Worker { vip, won }, cx);
        self.alive(cx);
        self.change(true, cx);
    }

    // ---- working ---------------------------------------------------------------------------------------------------

    fn alive(&mut self, cx: &mut Cx<'_>) {
        self.send(Beat::Alive(self.config.priority), cx);
        cx.set_timer(KEEPALIVE, self.config.keepalive);
    }
    fn send(&mut self, beat: Beat, cx: &mut Cx<'_>) {
        self.sent += 1;
        let port = self.config.udpport;
        cx.act(Action::Send {
            from: Endpoint::new(self.own, port),
            to: Endpoint::new(self.config.transport.group(), port),
            net: Some(self.net),
            plane: Plane::heartbeat,
            msg: Msg::Heartbeat(beat),
        });
    }
    /// The resource is to be started, or stopped.
    fn change(&mut self, wanted: bool, cx: &mut Cx<'_>) {
        self.wanted = wanted;
        let time = draw(if wanted { self.config.start_time } else { self.config.stop_time }, cx);
        if time.is_zero() { self.resource(cx) } else { cx.set_timer(RESOURCE, time) }
    }
    fn resource(&mut self, cx: &mut Cx<'_>) {
        let Some(vip) = self.config.vip else { return };
        if self.wanted {
            if !cx.addresses().iter().any(|(_, a)| a.ip == vip.ip) {
                cx.act(Action::AddAddress(self.net, vip));
                note(Note::VipUp { vip: vip.ip }, cx);
            }
            self.announce(cx);
        } else {
            self.give_back(cx);
            if std::mem::take(&mut self.asked) {
                self.send(Beat::Release, cx);
            }
        }
    }
    fn announce(&self, cx: &mut Cx<'_>) {
        if let Some(vip) = self.vip() {
            for _ in 0..GARPS {
                cx.act(Action::GratuitousArp(self.net, vip));
            }
        }
    }
    fn give_back(&self, cx: &mut Cx<'_>) {
        if let Some(vip) = self.vip()
            && cx.addresses().iter().any(|(_, a)| a.ip == vip)
        {
            cx.act(Action::RemoveAddress(self.net, vip));
            note(Note::VipDown { vip }, cx);
        }
    }
    fn stop(&mut self, cx: &mut Cx<'_>) {
        let worked = self.role == Role::Worker;
        note(Note::Stopping { worked }, cx);
        self.give_back(cx);
        if worked {
            self.send(Beat::Release, cx);
        }
        cx.act(Action::Exit(0));
    }
}

fn note(note: Note, cx: &mut Cx<'_>) {
    cx.note(AnyNote::Heartbeat(note));
}
fn draw(range: SpanRange, cx: &mut Cx<'_>) -> Span {
    let width = range.max.0.saturating_sub(range.min.0);
    if width == 0 { range.min } else { Span(range.min.0 + cx.below(width + 1)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_role_can_be_reached_and_left() {
        for role in [Role::Init, Role::Idle, Role::Racing, Role::Claiming, Role::Worker] {
            assert!(role == Role::Init || TRANSITIONS.iter().any(|t| t.2 == role), "{role:?}");
            assert!(TRANSITIONS.iter().any(|t| t.0 == role), "{role:?}");
        }
    }
}
