//! `sbd` on a node: the inquisitor and its servants.

use super::config::Sbd;
use super::note::{Note, Sick};
use super::{Io, PORT, Slot};
use crate::engine::{Span, SpanRange, Time};
use crate::net::Plane;
use crate::net::addr::{Endpoint, Ip};
use crate::node::process::{Action, Input, Probe, Signal, Switch, Timer, Watchdog};
use crate::proto::corosync::api::{Client, Event, News};
use crate::proto::fence::msg::{Command, Fence, Outcome, PORT as FENCE};
use crate::proto::{Cx, Msg, Note as AnyNote};
use std::sync::Arc;

const LOOP: Timer = Timer(0);
const WRITE: Timer = Timer(1);
const MSGWAIT: Timer = Timer(2);
const CONNECT: Timer = Timer(3);
/// The port from which disks are asked.
const ASK: u16 = 50_860;
/// `sbd` tries to reach Corosync again after this.
const AGAIN: Span = Span::secs(1);
/// The process without which Pacemaker is not well.
const PACEMAKER: [&str; 2] = ["pacemakerd", "pacemaker-based"];

/// Stands for an operator.
const NOBODY: Endpoint = Endpoint { ip: Ip::NONE, port: 0 };

/// What `sbd` knows of its place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Setup {
    /// The name of the own node.
    pub node: Arc<str>,
    /// The names of its disks, and where they are.
    pub disks: Vec<(Arc<str>, Ip)>,
    /// The watchdog's timeout.
    pub watchdog: Span,
    /// How often everything is looked at.
    pub every: Span,
    /// `msgwait` of the disks.
    pub msgwait: Span,
    /// The host runs Corosync.
    pub corosync: bool,
    /// The host runs Pacemaker, and `sbd` looks after it.
    pub pacemaker: bool,
    /// Alone is not quorate: `two_node`, or a quorum device whose `sync_timeout` is longer than the watchdog.
    pub distrusts_alone: bool,
    /// `no-quorum-policy=ignore`: nobody looks at quorum.
    pub ignores_quorum: bool,
}

/// A disk as its servant sees it.
#[derive(Clone, Debug)]
struct DiskState {
    last: Option<Time>,
    asked: u32,
    lost: bool,
}

/// A message for another node, being written or waited for.
#[derive(Clone, Debug)]
struct Job {
    from: Endpoint,
    to: Endpoint,
    id: u32,
    node: Arc<str>,
    slot: Slot,
    /// The numbers of the writes, by disk; zero once it is done.
    writes: Vec<u32>,
    done: usize,
    waiting: bool,
}

/// `sbd`.
#[derive(Clone, Debug)]
pub struct Daemon {
    config: Sbd,
    setup: Setup,
    corosync: Client,
    /// Quorate, and how many nodes there are, as Corosync said last.
    cluster: Option<(bool, usize)>,
    /// The cluster has been well since the start: before that it is on its way up, and nothing is held against it.
    seen: bool,
    pacemaker: bool,
    disks: Vec<DiskState>,
    feeding: bool,
    survives: bool,
    job: Option<Job>,
    answered: Option<(Endpoint, u32, Outcome)>,
    next: u32,
}

impl Daemon {
    /// `sbd` with this configuration, in this place.
    pub fn new(config: Sbd, setup: Setup) -> Self {
        let disk = DiskState { last: None, asked: 0, lost: false };
        Daemon {
            disks: vec![disk; setup.disks.len()],
            config,
            setup,
            corosync: Client::default(),
            cluster: None,
            seen: false,
            pacemaker: true,
            feeding: false,
            survives: false,
            job: None,
            answered: None,
            next: 0,
        }
    }
    /// What it was before it was started.
    pub fn reset(&mut self) {
        *self = Daemon::new(self.config.clone(), self.setup.clone());
    }
    /// Whether it feeds the watchdog.
    pub fn feeds(&self) -> bool {
        self.feeding
    }

    /// Handles one input.
    pub fn on(&mut self, input: Input<Msg>, cx: &mut Cx<'_>) {
        if let Some(news) = self.corosync.on(&input, cx) {
            return self.news(&news, cx);
        }
        match input {
            Input::Start => self.start(cx),
            Input::Timer(LOOP) => self.look(cx),
            Input::Timer(CONNECT) => self.corosync.connect(cx),
            Input::Timer(WRITE) => self.write_timed_out(cx),
            Input::Timer(MSGWAIT) => self.msgwait_over(cx),
            Input::Exec { tag: 0, ok } => self.pacemaker = ok == Some(true),
            Input::Exec { tag: 1, ok } => self.pacemaker &= ok == Some(true),
            Input::Packet { msg: Msg::Sbd(io), .. } => {
                if let Io::Done { id, slot } = *io {
                    self.done(id, slot, cx);
                }
            }
            Input::Packet { from, to, msg: Msg::Fence(m) } => self.asked(from, to, &m, cx),
            Input::Call(Msg::Fence(m)) => {
                self.answered = None;
                self.asked(NOBODY, NOBODY, &m, cx);
            }
            Input::Signal(Signal::Term) => {
                note(Note::Stopping, cx);
                cx.act(Action::Watchdog(Watchdog::Disarm));
                cx.act(Action::Exit(0));
            }
            _ => {}
        }
    }

    fn start(&mut self, cx: &mut Cx<'_>) {
        cx.act(Action::Bind(ASK));
        cx.act(Action::Bind(FENCE));
        cx.act(Action::Watchdog(Watchdog::Arm(self.setup.watchdog)));
        self.feeding = true;
        note(Note::Started { disks: self.disks.len(), watchdog: self.setup.watchdog }, cx);
        // It takes its slots, and clears what an earlier life was told.
        for i in 0..self.disks.len() {
            self.disks[i].last = Some(cx.now);
            let node = self.setup.node.clone();
            self.send(i, |id| Io::Write { id, node, slot: Slot::Clear }, cx);
        }
        if self.setup.corosync {
            self.corosync.connect(cx);
        }
        // The loops of different nodes have nothing to do with each other.
        let phase = Span(cx.below(self.setup.every.0.max(1)) + 1);
        cx.set_timer(LOOP, phase);
    }

    // ---- the cluster -----------------------------------------------------------------------------------------------

    fn news(&mut self, news: &News, cx: &mut Cx<'_>) {
        match news {
            News::Connected(_) => self.corosync.track(cx),
            News::Event(Event::Quorum(q)) => {
                self.cluster = Some((q.quorate, q.members.len()));
                let alone = self.setup.distrusts_alone && q.members.len() < 2;
                self.seen |= q.quorate && !alone || self.setup.ignores_quorum;
            }
            News::Event(_) => {}
            News::Lost => {
                // Before the first contact the cluster is on its way up; later a lost Corosync is an illness.
                if self.cluster.is_some() {
                    self.cluster = Some((false, 0));
                }
                cx.set_timer(CONNECT, AGAIN);
            }
        }
    }
    /// What is wrong with the cluster here. Before it was well for the first time nothing is: it is still to start.
    fn sick(&self) -> Option<Sick> {
        if self.setup.corosync
            && self.seen
            && let Some((quorate, members)) = self.cluster
        {
            if members == 0 {
                return Some(Sick::NoCorosync);
            }
            if !self.setup.ignores_quorum {
                if !quorate {
                    return Some(Sick::Quorum);
                }
                if self.setup.distrusts_alone && members == 1 {
                    return Some(Sick::Alone);
                }
            }
            if self.setup.pacemaker && !self.pacemaker {
                return Some(Sick::NoPacemaker);
            }
        }
        None
    }

    // ---- the inquisitor --------------------------------------------------------------------------------------------

    fn look(&mut self, cx: &mut Cx<'_>) {
        cx.set_timer(LOOP, self.setup.every);
        if self.setup.pacemaker {
            for (tag, name) in PACEMAKER.iter().enumerate() {
                let quick = SpanRange::exactly(Span::ms(1 + tag as u64));
                cx.exec(Probe::Running((*name).to_owned()), quick, Span::secs(1), tag as u16);
            }
        }
        self.judge(cx);
        for i in 0..self.disks.len() {
            let node = self.setup.node.clone();
            self.send(i, |id| Io::Read { id, node }, cx);
        }
    }
    /// Whether the watchdog is fed.
    fn judge(&mut self, cx: &mut Cx<'_>) {
        let late = self.config.timeout_io + self.setup.every;
        let mut good = 0;
        for i in 0..self.disks.len() {
            let last = self.disks[i].last.unwrap_or(Time::ZERO);
            let lost = cx.now.since(last) >= late;
            if lost != self.disks[i].lost {
                self.disks[i].lost = lost;
                let disk = self.setup.disks[i].0.clone();
                note(if lost { Note::DiskLost { disk, last } } else { Note::DiskBack { disk } }, cx);
            }
            good += usize::from(!lost);
        }
        let all = self.disks.len();
        let reads = all > 0 && if all > 2 { good > all / 2 } else { good > 0 };
        let sick = self.sick();
        // Without a cluster there is nothing that the disks could be replaced by.
        let well = sick.is_none() && self.setup.corosync && (all == 0 || self.seen);
        let survives = all > 0 && !reads && well;
        if survives && !self.survives {
            note(Note::Survives, cx);
        }
        self.survives = survives;
        let fed = reads || well;
        if fed {
            if !self.feeding {
                note(Note::FeedsAgain, cx);
            }
            cx.act(Action::Watchdog(Watchdog::Feed));
        } else if self.feeding {
            note(Note::StopsFeeding { why: sick, disks: all > 0, timeout: self.setup.watchdog }, cx);
        }
        self.feeding = fed;
    }

    // ---- the disks -------------------------------------------------------------------------------------------------

    fn send(&mut self, disk: usize, io: impl FnOnce(u32) -> Io, cx: &mut Cx<'_>) -> u32 {
        self.next += 1;
        let id = self.next;
        let io = io(id);
        if matches!(io, Io::Read { .. }) {
            self.disks[disk].asked = id;
        }
        let (from, to) = (Endpoint::new(Ip::NONE, ASK), Endpoint::new(self.setup.disks[disk].1, PORT));
        cx.act(Action::Send { from, to, net: None, plane: Plane::storage, msg: Msg::Sbd(Box::new(io)) });
        id
    }
    fn done(&mut self, id: u32, slot: Slot, cx: &mut Cx<'_>) {
        if let Some(i) = self.disks.iter().position(|d| d.asked == id) {
            self.disks[i].last = Some(cx.now);
            if slot != Slot::Clear {
                let disk = self.setup.disks[i].0.clone();
                note(Note::Pill { slot, disk }, cx);
                let switch = if slot == Slot::Off { Switch::Off } else { Switch::Reset };
                cx.act(Action::Power(cx.host, switch));
            }
            return;
        }
        let Some(job) = &mut self.job else { return };
        if let Some(w) = job.writes.iter_mut().find(|w| **w == id) {
            *w = 0;
            job.done += 1;
            let needed = self.disks.len() / 2 + 1;
            if job.done == needed && !job.waiting {
                job.waiting = true;
                let (node, slot, disks) = (job.node.clone(), job.slot, job.done);
                let (of, msgwait) = (self.disks.len(), self.setup.msgwait);
                note(Note::Written { node, slot, disks, of, msgwait }, cx);
                cx.cancel_timer(WRITE);
                cx.set_timer(MSGWAIT, msgwait);
            }
        }
    }

    // ---- as a fence device -----------------------------------------------------------------------------------------

    fn asked(&mut self, from: Endpoint, to: Endpoint, m: &Fence, cx: &mut Cx<'_>) {
        let Fence::Request { id, command, port } = m else { return };
        if let Some((.., outcome)) = self.answered.filter(|a| a.0 == from && a.1 == *id) {
            return say_fence(from, to, Fence::Answer { id: *id, outcome }, cx);
        }
        say_fence(from, to, Fence::Accepted { id: *id }, cx);
        if self.job.is_some() {
            return;
        }
        let good = self.disks.iter().filter(|d| !d.lost).count();
        let slot = match command {
            Command::Off => Slot::Off,
            Command::Reboot => Slot::Reset,
            Command::On => Slot::Clear,
            Command::Status | Command::Monitor => {
                let outcome = if good > 0 { Outcome::Done } else { Outcome::Failed };
                return self.answer(from, to, *id, outcome, cx);
            }
        };
        let mut writes = Vec::with_capacity(self.disks.len());
        for i in 0..self.disks.len() {
            let node = port.clone();
            writes.push(self.send(i, |id| Io::Write { id, node, slot }, cx));
        }
        self.job = Some(Job { from, to, id: *id, node: port.clone(), slot, writes, done: 0, waiting: false });
        cx.set_timer(WRITE, self.config.timeout_io);
    }
    fn answer(&mut self, from: Endpoint, to: Endpoint, id: u32, outcome: Outcome, cx: &mut Cx<'_>) {
        self.answered = Some((from, id, outcome));
        say_fence(from, to, Fence::Answer { id, outcome }, cx);
    }
    fn write_timed_out(&mut self, cx: &mut Cx<'_>) {
        let Some(job) = self.job.take() else { return };
        note(Note::NotWritten { node: job.node, disks: job.done, of: self.disks.len() }, cx);
        self.answer(job.from, job.to, job.id, Outcome::Failed, cx);
    }
    fn msgwait_over(&mut self, cx: &mut Cx<'_>) {
        let Some(job) = self.job.take() else { return };
        note(Note::Dead { node: job.node, msgwait: self.setup.msgwait }, cx);
        self.answer(job.from, job.to, job.id, Outcome::Done, cx);
    }
}

fn note(note: Note, cx: &mut Cx<'_>) {
    cx.note(AnyNote::Sbd(Box::new(note)));
}
fn say_fence(to: Endpoint, from: Endpoint, msg: Fence, cx: &mut Cx<'_>) {
    if to == NOBODY {
        return;
    }
    cx.act(Action::Send { from, to, net: None, plane: Plane::fencing, msg: Msg::Fence(Box::new(msg)) });
}
