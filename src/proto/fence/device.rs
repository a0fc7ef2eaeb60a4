//! The device: jobs that take their time, one after the other on each port.

use super::config::{DeviceKind, DeviceMode, FenceDevice};
use super::msg::{Command, Fence, Outcome, PORT};
use super::note::Note;
use crate::engine::{Span, SpanRange, Time};
use crate::net::Plane;
use crate::net::addr::Endpoint;
use crate::node::process::{Action, HostId, Input, NetId, Probe, Signal, Switch, Timer};
use crate::proto::lvs::note::Names;
use crate::proto::{Cx, Msg, Note as AnyNote};
use std::collections::VecDeque;
use std::sync::Arc;

/// How many answers it can give again.
const REMEMBERED: usize = 32;

/// Stands for an operator.
const NOBODY: Endpoint = Endpoint { ip: crate::net::addr::Ip::NONE, port: 0 };

/// A port and what is behind it.
#[derive(Clone, Debug)]
struct Port {
    name: Arc<str>,
    host: HostId,
    /// The networks that a switch shuts.
    nets: Vec<NetId>,
    /// The host is plugged into nothing else.
    only: bool,
    /// What a switch has made of it.
    shut: bool,
    jobs: VecDeque<Job>,
}

/// Where a job is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    /// It waits for the one before, or its first action is under way.
    Acting,
    /// The power is gone; the confirmation is under way.
    Confirming,
    /// A reboot's second half.
    PoweringOn,
}
#[derive(Clone, Debug)]
struct Job {
    from: Endpoint,
    to: Endpoint,
    id: u32,
    command: Command,
    step: Step,
    since: Time,
}

/// A device.
#[derive(Clone, Debug)]
pub struct Device {
    config: FenceDevice,
    names: Names,
    ports: Vec<Port>,
    answered: VecDeque<(Endpoint, u32, Outcome)>,
    /// Jobs that operators gave it.
    by_hand: u32,
    /// What a fault has made of it; a setting of the hardware, which outlives a loss of power.
    mode: DeviceMode,
}

impl Device {
    /// A device with these ports: name, host behind it, and the networks that a switch shuts.
    pub fn new(config: FenceDevice, names: Names, ports: Vec<(Arc<str>, HostId, Vec<NetId>)>) -> Self {
        let port =
            |(name, host, nets)| Port { name, host, nets, only: true, shut: false, jobs: VecDeque::new() };
        let ports = ports.into_iter().map(port).collect();
        let mode = config.mode;
        Device { config, names, ports, answered: VecDeque::new(), by_hand: 0, mode }
    }
    /// What it was before it was started.
    pub fn reset(&mut self) {
        self.answered.clear();
        self.ports.iter_mut().for_each(|p| p.jobs.clear());
    }
    /// A host that is plugged into another device as well.
    pub fn shares(&mut self, host: HostId) {
        self.ports.iter_mut().filter(|p| p.host == host).for_each(|p| p.only = false);
    }
    /// How it works.
    pub fn mode(&self) -> DeviceMode {
        self.mode
    }
    /// It works like this from now on.
    pub fn set_mode(&mut self, mode: DeviceMode) {
        self.mode = mode;
    }
    /// What it is.
    pub fn kind(&self) -> DeviceKind {
        self.config.kind
    }
    /// The host behind a port.
    pub fn behind(&self, port: &str) -> Option<HostId> {
        self.ports.iter().find(|p| *p.name == *port).map(|p| p.host)
    }
    /// The hosts that it can switch.
    pub fn hosts(&self) -> impl Iterator<Item = HostId> + '_ {
        self.ports.iter().map(|p| p.host)
    }

    /// Handles one input.
    pub fn on(&mut self, input: Input<Msg>, cx: &mut Cx<'_>) {
        match input {
            Input::Start => cx.act(Action::Bind(PORT)),
            Input::Packet { from, to, msg: Msg::Fence(m) } => {
                if let Fence::Request { id, command, port } = *m {
                    self.asked(from, to, id, command, &port, cx);
                }
            }
            Input::Call(Msg::Fence(m)) => {
                // An operator at the device itself: nobody waits for an answer.
                if let Fence::Request { command, port, .. } = *m {
                    self.by_hand = self.by_hand.wrapping_add(1);
                    self.asked(NOBODY, NOBODY, self.by_hand, command, &port, cx);
                }
            }
            Input::Timer(Timer(n)) => self.step(usize::from(n), None, cx),
            Input::Exec { tag, ok } => self.step(usize::from(tag), Some(ok == Some(true)), cx),
            Input::Signal(Signal::Term) => cx.act(Action::Exit(0)),
            _ => {}
        }
    }

    fn asked(
        &mut self,
        from: Endpoint,
        to: Endpoint,
        id: u32,
        command: Command,
        name: &str,
        cx: &mut Cx<'_>,
    ) {
        if let Some((.., outcome)) = self.answered.iter().find(|a| a.0 == from && a.1 == id) {
            answer(from, to, id, *outcome, cx);
            return;
        }
        send(from, to, Fence::Accepted { id }, cx);
        let Some(i) = self.ports.iter().position(|p| *p.name == *name) else {
            cx.note(AnyNote::Fence(Note::NoSuchPort { port: name.into() }));
            self.answered.push_back((from, id, Outcome::NoSuchPort));
            answer(from, to, id, Outcome::NoSuchPort, cx);
            return;
        };
        if self.ports[i].jobs.iter().any(|j| j.from == from && j.id == id) {
            return;
        }
        let (who, port) = (self.names.of(from.ip), self.ports[i].name.clone());
        cx.note(AnyNote::Fence(Note::Asked { who, command, port }));
        let job = Job { from, to, id, command, step: Step::Acting, since: cx.now };
        self.ports[i].jobs.push_back(job);
        if self.ports[i].jobs.len() == 1 {
            self.begin(i, cx);
        }
    }

    /// The first job of a port begins.
    fn begin(&mut self, i: usize, cx: &mut Cx<'_>) {
        let Some(job) = self.ports[i].jobs.front_mut() else { return };
        job.since = cx.now;
        let command = job.command;
        if self.mode == DeviceMode::Hangs {
            let port = self.ports[i].name.clone();
            cx.note(AnyNote::Fence(Note::Hangs { command, port }));
            self.ports[i].jobs.pop_front();
            return;
        }
        let c = &self.config;
        match command {
            Command::Off | Command::Reboot => set(i, c.off_time, cx),
            Command::On => set(i, c.on_time, cx),
            Command::Status if c.kind != DeviceKind::Switch => {
                let (host, time) = (self.ports[i].host, c.status_time);
                cx.exec(Probe::Powered(host), time, Span(time.max.0 + 1), i as u16);
            }
            Command::Status | Command::Monitor => set(i, c.status_time, cx),
        }
    }

    /// The time of the first job's present step is over.
    fn step(&mut self, i: usize, powered: Option<bool>, cx: &mut Cx<'_>) {
        let Some(job) = self.ports.get(i).and_then(|p| p.jobs.front()).cloned() else { return };
        let outcome = match (job.command, job.step) {
            (Command::Monitor, _) => Some(Outcome::Done),
            (Command::Status, _) => {
                let on = powered.unwrap_or(!self.ports[i].shut);
                Some(if on { Outcome::IsOn } else { Outcome::IsOff })
            }
            (_, Step::Acting) => self.act(i, &job, cx),
            (Command::Reboot, Step::Confirming) => {
                self.to(i, Step::PoweringOn);
                set(i, self.config.on_time, cx);
                None
            }
            (Command::Reboot, Step::PoweringOn) => {
                self.switch(i, true, &job, cx);
                Some(Outcome::Done)
            }
            _ => Some(Outcome::Done),
        };
        let Some(outcome) = outcome else { return };
        answer(job.from, job.to, job.id, outcome, cx);
        if self.answered.len() == REMEMBERED {
            self.answered.pop_front();
        }
        self.answered.push_back((job.from, job.id, outcome));
        self.ports[i].jobs.pop_front();
        self.begin(i, cx);
    }
    fn to(&mut self, i: usize, step: Step) {
        if let Some(job) = self.ports[i].jobs.front_mut() {
            job.step = step;
        }
    }

    /// The first action of a job: the power goes, or comes.
    fn act(&mut self, i: usize, job: &Job, cx: &mut Cx<'_>) -> Option<Outcome> {
        let (command, port) = (job.command, self.ports[i].name.clone());
        if self.mode == DeviceMode::Fails || chance(self.config.fails.ppb, cx) {
            cx.note(AnyNote::Fence(Note::Failed { command, port }));
            return Some(Outcome::Failed);
        }
        if self.mode == DeviceMode::Lies {
            cx.note(AnyNote::Fence(Note::Lied { command, port }));
            return Some(Outcome::Done);
        }
        self.switch(i, command == Command::On, job, cx);
        self.to(i, Step::Confirming);
        set(i, self.config.confirm_time, cx);
        None
    }
    /// The effect itself.
    fn switch(&mut self, i: usize, on: bool, job: &Job, cx: &mut Cx<'_>) {
        let kind = self.config.kind;
        let (host, port) = (self.ports[i].host, self.ports[i].name.clone());
        let took = cx.now.since(job.since);
        cx.note(AnyNote::Fence(match (on, kind == DeviceKind::Pdu && !self.ports[i].only) {
            (true, _) => Note::On { kind, port, took },
            (false, true) => Note::OneOutlet { port },
            (false, false) => Note::Off { kind, port, took },
        }));
        match kind {
            DeviceKind::Bmc => cx.act(Action::Power(host, if on { Switch::On } else { Switch::Off })),
            DeviceKind::Pdu => cx.act(Action::Power(host, Switch::Outlet(on))),
            DeviceKind::Switch => {
                self.ports[i].shut = !on;
                for net in &self.ports[i].nets {
                    cx.act(Action::Power(host, Switch::Link(*net, on)));
                }
            }
        }
    }
}

fn set(i: usize, range: SpanRange, cx: &mut Cx<'_>) {
    let width = range.max.0.saturating_sub(range.min.0);
    let time = if width == 0 { range.min } else { Span(range.min.0 + cx.below(width + 1)) };
    cx.set_timer(Timer(i as u16), time);
}
fn chance(ppb: u64, cx: &mut Cx<'_>) -> bool {
    ppb > 0 && cx.below(1_000_000_000) < ppb
}
fn send(to: Endpoint, from: Endpoint, msg: Fence, cx: &mut Cx<'_>) {
    if to == NOBODY {
        return;
    }
    cx.act(Action::Send { from, to, net: None, plane: Plane::fencing, msg: Msg::Fence(Box::new(msg)) });
}
fn answer(to: Endpoint, from: Endpoint, id: u32, outcome: Outcome, cx: &mut Cx<'_>) {
    send(to, from, Fence::Answer { id, outcome }, cx);
}
