//! `slurmctld`: the queue, and what becomes of jobs.
//!
//! The other parts of it are in `sched` (which jobs start), `nodes` (who answers) and `ha` (what is saved, and
//! the backup).

use super::Cluster;
use super::config::{Job, SchedulerType, Slurmctld};
use super::msg::{Answer, Ask, CONTROLLER, How, JobId, Launch, Node};
use super::note::{About, Back, Ended, Note, folded};
use super::plan::Why;
use super::rpc::{Calls, Heard, answer, question};
use super::state::{JobRecord, NodeRecord, Reason, Saved, State};
use crate::engine::{SEC, Span, Time};
use crate::node::disk::{End, OnDisk};
use crate::node::process::{Action, ConnId, Input, Signal, Timer};
use crate::proto::{Cx, Msg};
use std::sync::Arc;

/// Jobs are tested against their limits so often.
pub(super) const LIMIT_TEST: Span = Span::secs(30);
/// A job that comes back to the queue is not eligible for so long: the life of its credential (120 s), and a second.
pub(super) const CREDENTIAL: Span = Span::secs(121);
/// A job comes back by itself so often; then it is held.
pub(super) const REQUEUES: u32 = 5;

pub(super) const SCHED: Timer = Timer(0);
pub(super) const PING: Timer = Timer(1);
pub(super) const LIMIT: Timer = Timer(2);
pub(super) const SAVE: Timer = Timer(3);
pub(super) const BACKFILL: Timer = Timer(4);
pub(super) const SLICE: Timer = Timer(5);
pub(super) const BEAT: Timer = Timer(6);
pub(super) const PROBE: Timer = Timer(8);
pub(super) const PERIODIC: Timer = Timer(9);
pub(super) const START: Timer = Timer(10);

/// What a call was for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Tag {
    /// A ping of a round, or a question who it is.
    Ping(u16),
    Launch(JobId, u32, u16),
    Terminate(JobId, u32, u16),
    Suspend,
    Save,
    Beat,
    Load,
    Probe,
    ReadBeat,
    GiveBack,
}

/// What a controller is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// It has not begun.
    Starting,
    /// It stands by.
    Standby,
    /// It takes over: it reads the state.
    Taking,
    /// It is in charge.
    Active,
}

/// A round of pings.
#[derive(Clone, Debug, Default)]
pub(super) struct Round {
    /// Nodes that have not answered yet.
    pub(super) open: u16,
    /// Answers so far: they count from the end of the round.
    pub(super) answers: Vec<(u16, Option<Node>)>,
    /// Nodes without an answer.
    pub(super) silent: Vec<u16>,
}

/// The controller.
#[derive(Clone, Debug)]
pub struct Controller {
    pub(super) config: Slurmctld,
    pub(super) cluster: Cluster,
    /// Its place in the list of controllers.
    pub(super) me: usize,
    pub(super) role: Role,
    pub(super) disk: OnDisk<Option<Arc<Saved>>>,
    pub(super) jobs: Vec<JobRecord>,
    pub(super) nodes: Vec<NodeRecord>,
    pub(super) next: JobId,
    /// Steps on nodes that the controller does not know: they are being ended.
    pub(super) strays: Vec<(JobId, u32, u16)>,
    pub(super) calls: Calls<Tag>,
    pub(super) round: Round,
    /// The second of the last round.
    pub(super) last_round: Option<u64>,
    /// A scheduling pass is due.
    pub(super) wanted: bool,
    pub(super) last_pass: Option<Time>,
    pub(super) not_before: Time,
    /// The row of jobs whose turn it is (`gang`).
    pub(super) turn: u8,
    /// Turns are being taken.
    pub(super) slicing: bool,
    /// When it came into charge: what comes at fixed times counts from then.
    pub(super) began: Time,
    /// Which of these timers are set.
    pub(super) armed: [bool; 10],
    pub(super) dirty: bool,
    /// The backup's last sign of life of the first controller.
    pub(super) sign: Time,
    /// Who asked for the control, and waits for the state to be saved.
    pub(super) claimant: Option<ConnId>,
    /// Nodes of which has been told that they stay DOWN.
    pub(super) told_down: Vec<u16>,
    syncs: u16,
}

impl Controller {
    /// The controller at place `me` of the cluster's list.
    pub fn new(config: Slurmctld, cluster: Cluster, me: usize) -> Self {
        let nodes = vec![NodeRecord::new(); cluster.nodes.len()];
        Controller {
            config,
            cluster,
            me,
            role: Role::Starting,
            disk: OnDisk::new(None),
            jobs: Vec::new(),
            nodes,
            next: 1,
            strays: Vec::new(),
            calls: Calls::new(),
            round: Round::default(),
            last_round: None,
            wanted: false,
            last_pass: None,
            not_before: Time::ZERO,
            turn: 0,
            slicing: false,
            began: Time::ZERO,
            armed: [false; 10],
            dirty: false,
            sign: Time::ZERO,
            claimant: None,
            told_down: Vec::new(),
            syncs: 0,
        }
    }
    /// What an end leaves of it.
    pub fn reset(&mut self, end: End) {
        let mut disk = self.disk.clone();
        disk.ended(end);
        *self = Controller { disk, ..Controller::new(self.config.clone(), self.cluster.clone(), self.me) };
    }
    /// What it is.
    pub fn role(&self) -> Role {
        self.role
    }
    /// The jobs that it knows.
    pub fn jobs(&self) -> &[JobRecord] {
        &self.jobs
    }
    /// The nodes as it sees them, in the order of [`Controller::node_name`].
    pub fn nodes(&self) -> &[NodeRecord] {
        &self.nodes
    }
    /// The name of a node.
    pub fn node_name(&self, node: u16) -> Arc<str> {
        self.cluster.nodes.get(node as usize).map_or_else(|| "?".into(), |n| n.0.clone())
    }

    pub(super) fn tell(note: Note, ctx: &mut Cx<'_>) {
        ctx.note(crate::proto::Note::Batch(Box::new(note)));
    }
    pub(super) fn patience(&self) -> Span {
        self.config.message_timeout + Span::secs(1)
    }
    pub(super) fn find(&self, job: JobId) -> Option<usize> {
        self.jobs.binary_search_by_key(&job, |j| j.id).ok()
    }
    pub(super) fn about(j: &JobRecord) -> About {
        About { job: j.id, name: j.name().into(), nodes: j.spec.nodes }
    }
    pub(super) fn to_node(&self, node: u16) -> Arc<[crate::net::addr::Endpoint]> {
        Arc::from([self.cluster.nodes[node as usize].1])
    }
    pub(super) const fn second(now: Time) -> u64 {
        now.0 / SEC
    }

    /// Handles one input.
    pub fn on(&mut self, input: Input<Msg>, ctx: &mut Cx<'_>) {
        match self.calls.on(input, ctx) {
            Heard::Done(tag, answer) => self.answered(tag, answer, ctx),
            Heard::Other(Input::Start) => {
                let startup = self.config.startup_time;
                let width = startup.max.0 - startup.min.0.min(startup.max.0);
                let draw = if width == 0 { 0 } else { ctx.below(width + 1) };
                let took = startup.min + Span(draw);
                if took.is_zero() { self.begin(ctx) } else { ctx.set_timer(START, took) }
            }
            Heard::Other(Input::Timer(t)) => self.timer(t, ctx),
            Heard::Other(Input::Tcp(conn, news)) => {
                if let Some(ask) = question(conn, news, ctx) {
                    self.asked(conn, ask, ctx);
                }
            }
            Heard::Other(Input::Synced { tag, ok }) => self.disk.synced(tag, ok),
            Heard::Other(Input::Signal(Signal::Term)) => {
                self.save(ctx);
                ctx.act(Action::Exit(0));
            }
            _ => {}
        }
    }
    fn timer(&mut self, t: Timer, ctx: &mut Cx<'_>) {
        match t {
            START => self.begin(ctx),
            PROBE => self.probe(ctx),
            _ if self.role != Role::Active => {}
            SCHED => self.pass(false, ctx),
            PERIODIC => {
                self.armed[PERIODIC.0 as usize] = false;
                self.schedule(ctx);
                self.tick(ctx);
            }
            BACKFILL => {
                self.armed[BACKFILL.0 as usize] = false;
                if ctx.now >= self.not_before {
                    self.pass(true, ctx);
                }
                self.tick(ctx);
            }
            SLICE => self.slice(ctx),
            PING => self.ping_round(ctx),
            LIMIT => self.test_limits(ctx),
            SAVE => self.save(ctx),
            BEAT => self.heartbeat(ctx),
            _ => {}
        }
    }
    fn asked(&mut self, conn: ConnId, ask: Ask, ctx: &mut Cx<'_>) {
        let reply = match ask {
            Ask::Probe if self.role == Role::Active => Answer::Here,
            Ask::GiveBack => return self.give_back(conn, ctx),
            _ if self.role != Role::Active => Answer::Standby,
            Ask::Submit(spec) => Answer::Number(self.submit(spec, ctx)),
            Ask::Register(node) => {
                self.answered_now(node.node, ctx);
                self.registered(&node, ctx);
                Answer::Done
            }
            Ask::Ended { job, launch, how } => {
                self.script_ended(job, launch, how, ctx);
                Answer::Done
            }
            Ask::Clean { job, launch, node } => {
                self.clean(job, launch, node, ctx);
                Answer::Done
            }
            _ => Answer::Done,
        };
        answer(conn, reply, ctx);
    }
    fn answered(&mut self, tag: Tag, answer: Option<Answer>, ctx: &mut Cx<'_>) {
        if self.role != Role::Active {
            self.standby_answered(tag, answer, ctx);
            return;
        }
        match tag {
            Tag::Ping(node) => self.ping_answered(node, answer, ctx),
            Tag::Launch(job, launch, node) => match answer {
                Some(_) => {
                    self.answered_now(node, ctx);
                    if let Some(i) = self.find(job).filter(|i| self.jobs[*i].launch == launch) {
                        self.jobs[i].launching = false;
                        if self.jobs[i].state == State::Suspended {
                            self.tell_turn(i, true, ctx);
                        }
                    }
                }
                None => self.not_launched(job, launch, node, ctx),
            },
            Tag::Terminate(job, launch, node) => match answer {
                Some(Answer::Nothing) => self.clean(job, launch, node, ctx),
                Some(_) => self.answered_now(node, ctx),
                None => self.silent(node, false, ctx),
            },
            _ => {}
        }
    }

    // ---- jobs -------------------------------------------------------------------------------------------------------

    fn submit(&mut self, spec: Arc<Job>, ctx: &mut Cx<'_>) -> JobId {
        let id = self.next;
        self.next += 1;
        let job = JobRecord::new(id, spec, ctx.now);
        Self::tell(
            Note::Submitted { job: Self::about(&job), limit: job.spec.time.map(|_| job.limit()) },
            ctx,
        );
        self.jobs.push(job);
        self.changed(ctx);
        self.schedule(ctx);
        id
    }
    /// Gives a job its nodes and starts its script.
    pub(super) fn start(&mut self, i: usize, nodes: Vec<u16>, why: Why, ctx: &mut Cx<'_>) {
        let head = match why {
            Why::Before(other, _) | Why::Extra(other, _) => self.find(other).map(|o| self.jobs[o].name()),
            _ => None,
        };
        let names: Vec<Arc<str>> = nodes.iter().map(|n| self.node_name(*n)).collect();
        for n in &nodes {
            self.nodes[*n as usize].jobs.push(self.jobs[i].id);
        }
        let j = &mut self.jobs[i];
        j.state = State::Running;
        j.reason = Reason::None;
        j.started = ctx.now;
        j.stood = Span::ZERO;
        j.launch += 1;
        j.signalled = false;
        j.launching = true;
        j.planned = None;
        j.why = why;
        j.nodes.clone_from(&nodes);
        let note = Note::Started {
            job: Self::about(j),
            on: folded(names.iter().map(|n| &**n)).into(),
            list: nodes.clone().into(),
            why,
            head: head.unwrap_or_default().into(),
            launch: j.launch,
            waited: ctx.now.since(j.submitted.max(if j.launch > 1 { j.eligible } else { j.submitted })),
        };
        let (id, number) = (j.id, j.launch);
        let launch = Launch {
            job: id,
            number,
            spec: j.spec.clone(),
            patience: self.config.message_timeout + Span::secs(1),
            nodes: nodes.iter().map(|n| self.cluster.nodes[*n as usize].1).collect(),
        };
        Self::tell(note, ctx);
        let to = self.to_node(nodes[0]);
        let tag = Tag::Launch(id, number, nodes[0]);
        self.calls.ask(to, Ask::Batch(Arc::new(launch)), self.patience(), tag, ctx);
        self.changed(ctx);
    }
    fn not_launched(&mut self, job: JobId, launch: u32, node: u16, ctx: &mut Cx<'_>) {
        self.silent(node, true, ctx);
        let Some(i) = self.find(job) else { return };
        if self.jobs[i].launch == launch && self.jobs[i].on_nodes() {
            let name = self.node_name(node);
            Self::tell(Note::LaunchFailed { job: Self::about(&self.jobs[i]), node: name.clone() }, ctx);
            self.back(i, Back::Launch(name), ctx);
        }
    }
    fn script_ended(&mut self, job: JobId, launch: u32, how: How, ctx: &mut Cx<'_>) {
        let Some(i) = self.find(job) else { return };
        if self.jobs[i].launch != launch || !self.jobs[i].on_nodes() {
            return;
        }
        match how {
            How::Done => self.over(i, State::Completed, ctx),
            How::Failed | How::Signal => self.over(i, State::Failed, ctx),
            How::Requeue => self.back(i, Back::Script, ctx),
        }
    }
    /// A job is over.
    pub(super) fn over(&mut self, i: usize, state: State, ctx: &mut Cx<'_>) {
        let j = &mut self.jobs[i];
        j.state = state;
        j.ended = ctx.now;
        let how = match state {
            State::Completed => Ended::Completed,
            State::Timeout => Ended::Timeout,
            State::NodeFail => Ended::NodeFail,
            _ => Ended::Failed,
        };
        let ran = ctx.now.since(j.started);
        Self::tell(Note::Ended { job: Self::about(j), how, ran }, ctx);
        self.release(i, ctx);
    }
    /// Takes the nodes from a job: each has to say that it has nothing left of it.
    fn release(&mut self, i: usize, ctx: &mut Cx<'_>) {
        let (id, launch) = (self.jobs[i].id, self.jobs[i].launch);
        let nodes = self.jobs[i].nodes.clone();
        for n in nodes {
            if self.nodes[n as usize].down.is_some() {
                self.nodes[n as usize].jobs.retain(|x| *x != id);
                continue;
            }
            self.jobs[i].dirty.push(n);
            self.terminate(id, launch, n, ctx);
        }
        self.changed(ctx);
        self.schedule(ctx);
    }
    pub(super) fn terminate(&mut self, job: JobId, launch: u32, node: u16, ctx: &mut Cx<'_>) {
        let ask = Ask::Terminate(job, launch, self.config.kill_wait);
        let to = self.to_node(node);
        self.calls.ask(to, ask, self.patience(), Tag::Terminate(job, launch, node), ctx);
    }
    fn clean(&mut self, job: JobId, launch: u32, node: u16, ctx: &mut Cx<'_>) {
        self.answered_now(node, ctx);
        self.strays.retain(|s| *s != (job, launch, node));
        let Some(i) = self.find(job) else {
            self.nodes[node as usize].jobs.retain(|x| *x != job);
            return self.schedule(ctx);
        };
        if self.jobs[i].launch == launch && self.jobs[i].on_nodes() {
            return;
        }
        self.jobs[i].dirty.retain(|n| *n != node);
        self.nodes[node as usize].jobs.retain(|x| *x != job);
        self.changed(ctx);
        self.schedule(ctx);
    }
    /// A job goes back to the queue, if it may.
    pub(super) fn back(&mut self, i: usize, why: Back, ctx: &mut Cx<'_>) {
        let may = self.jobs[i].spec.requeue.unwrap_or(self.config.job_requeue);
        if !may {
            let down = matches!(why, Back::NodeDown(_) | Back::Missing(_));
            return self.over(i, if down { State::NodeFail } else { State::Failed }, ctx);
        }
        let j = &mut self.jobs[i];
        j.restarts += 1;
        if !matches!(why, Back::NodeDown(_)) {
            j.counted += 1;
        }
        j.eligible = ctx.now + CREDENTIAL;
        let held = j.counted > REQUEUES;
        j.state = if held { State::Held } else { State::Pending };
        j.reason = if held { Reason::JobHeldAdmin } else { Reason::BeginTime };
        let job = Self::about(j);
        let note = if held {
            Note::Held { job, times: REQUEUES }
        } else {
            Note::Requeued { job, why, restarts: j.restarts, wait: CREDENTIAL }
        };
        Self::tell(note, ctx);
        self.release(i, ctx);
    }
    /// Sets the timers of what comes at fixed times, as long as there is something to do then.
    pub(super) fn tick(&mut self, ctx: &mut Cx<'_>) {
        let waits = self.jobs.iter().any(|j| j.state == State::Pending);
        let limited = |j: &JobRecord| j.on_nodes() && j.spec.time.is_some() || !j.dirty.is_empty();
        let backfill = self.config.scheduler_type == SchedulerType::Backfill && !self.config.gang;
        for (timer, every, wanted) in [
            (PERIODIC, self.config.sched_interval, waits),
            (BACKFILL, self.config.bf_interval, waits && backfill),
            (LIMIT, LIMIT_TEST, !self.strays.is_empty() || self.jobs.iter().any(limited)),
        ] {
            let armed = &mut self.armed[timer.0 as usize];
            if wanted && !*armed {
                *armed = true;
                let since = ctx.now.since(self.began);
                ctx.set_timer(timer, Span(every.0 - since.0 % every.0.max(1)));
            }
        }
    }
    fn test_limits(&mut self, ctx: &mut Cx<'_>) {
        self.armed[LIMIT.0 as usize] = false;
        for i in 0..self.jobs.len() {
            let j = &self.jobs[i];
            let end = j.believed_end() + self.config.over_time_limit;
            if j.state == State::Running && j.spec.time.is_some() && ctx.now > end {
                let note = Note::Limit {
                    job: Self::about(j),
                    limit: j.limit(),
                    over: ctx.now.since(j.believed_end()),
                    grace: self.config.kill_wait,
                };
                Self::tell(note, ctx);
                self.over(i, State::Timeout, ctx);
            }
        }
        // What did not answer before is told again, if its node answers now.
        let again: Vec<(JobId, u32, u16)> = self
            .jobs
            .iter()
            .flat_map(|j| j.dirty.iter().map(|n| (j.id, j.launch, *n)))
            .chain(self.strays.iter().copied())
            .filter(|(.., n)| self.nodes[*n as usize].responding)
            .collect();
        for (job, launch, node) in again {
            if !self.calls.any(|t| *t == Tag::Terminate(job, launch, node)) {
                self.terminate(job, launch, node, ctx);
            }
        }
        self.tick(ctx);
    }

    // ---- saving -----------------------------------------------------------------------------------------------------

    /// Something has changed that is to be saved.
    pub(super) fn changed(&mut self, ctx: &mut Cx<'_>) {
        if !self.dirty {
            self.dirty = true;
            ctx.set_timer(SAVE, self.config.state_save_delay);
        }
        self.tick(ctx);
    }
    fn save(&mut self, ctx: &mut Cx<'_>) {
        if self.role != Role::Active || !self.dirty {
            return;
        }
        self.dirty = false;
        let saved = self.state();
        match self.cluster.nfs.clone() {
            Some(nfs) => self.calls.ask(nfs, Ask::Save(saved), self.patience(), Tag::Save, ctx),
            None => {
                self.disk.write(Some(saved));
                self.syncs = self.syncs.wrapping_add(1);
                self.disk.sync(self.syncs, ctx);
            }
        }
    }
    pub(super) fn state(&self) -> Arc<Saved> {
        Arc::new(Saved { jobs: self.jobs.clone(), nodes: self.nodes.clone(), next: self.next })
    }
    pub(super) fn listen(ctx: &mut Cx<'_>) {
        ctx.act(Action::Listen(CONTROLLER, 4096));
    }
}
