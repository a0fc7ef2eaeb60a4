//! Patroni as a process: its state, its threads, and what becomes of an input.
//!
//! Source: `__main__.py`, `ha.py`, `async_executor.py`, `postgresql/__init__.py` of Patroni 4.1.5.
//!
//! **Not modelled:** standby clusters, Citus, permanent and logical slots, custom bootstrap, the archive, backup labels, REST access
//! control, configuration of PostgreSQL's own parameters.

use super::callback::Caller;
use super::config::{Dynamic, Patroni, Timing};
use super::dcs::{self, Client, Cluster, ConsulOptions};
use super::fetch::Fetches;
use super::flow::{
    DcsQueue, EXEC, Flow, Frame, HA, Op, REST, REST_THREADS, Raised, Ready, Thread, Value, Waiting,
};
use super::follow::Rewind;
use super::guard::Guard;
use super::note::Note;
use super::serve::Server as RestServer;
use super::sql::{CONNECT_TIMEOUT, Failed, Once, Session};
use super::state::{Role, State};
use super::sync::SyncHandler;
use super::{cycle, server};
use crate::engine::{Span, SpanRange, Time};
use crate::net::Plane;
use crate::net::addr::{Endpoint, Ip};
use crate::node::process::{Action, Input, NetId, Pid, Signal, Tcp, TcpOptions, Timer};
use crate::proto::postgres::config::SynchronousCommit;
use crate::proto::postgres::data::Status;
use crate::proto::postgres::msg::{SqlState, Wal};
use crate::proto::{Cx, Msg, postgres};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::task::Poll;

/// Where the DCS is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Dcs {
    /// The client ports of etcd's members.
    Etcd(Vec<Endpoint>),
    /// The HTTP port of the host's own Consul agent.
    Consul(Endpoint),
}

/// What a Patroni is given beside its configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Setup {
    /// Its name: that of its host.
    pub name: Arc<str>,
    /// Its own address.
    pub ip: Ip,
    /// The server that it manages.
    pub postgres: Pid,
    /// The DCS.
    pub dcs: Dcs,
    /// All members of the cluster, itself among them, in the order of their names: name and address.
    pub members: Vec<(Arc<str>, Ip)>,
    /// The network on which the callbacks put the virtual address.
    pub vip_net: Option<NetId>,
    /// The DNS server that the callbacks tell.
    pub dns_server: Option<Endpoint>,
    /// `synchronous_commit` of its PostgreSQL.
    pub synchronous_commit: SynchronousCommit,
}

/// Timers of the process's own.
pub(super) const T_HEARTBEAT: Timer = Timer(0);
pub(super) const T_REST_SQL: Timer = Timer(1);
pub(super) const T_CALLBACK: Timer = Timer(2);
pub(super) const T_REST: Timer = Timer(3);
/// The first timer of the DCS client.
const T_DCS: u16 = 8;
/// The first timer of the threads, and how many each has.
const T_THREADS: u16 = 64;
const TIMERS: u16 = 32;
/// `psutil` looks whether a process is gone after 0.1 ms, 0.2 ms, ... up to 40 ms.
const END_POLL: (Span, Span) = (Span::us(100), Span::ms(40));

/// What the background does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Task {
    Bootstrap,
    PostBootstrap,
    Clone,
    Promote,
    Restart,
    StartingPrimary,
    RestartingAfterFailure,
    StartingAfterDemotion,
    DemoteGraceful,
    CrashRecovery,
    Rewind,
    Reinitialize,
    ChangingConninfo,
}

/// What a leader that lost the DCS said last.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct FailsafeRecord {
    pub(super) last_update: i64,
    pub(super) name: Option<Arc<str>>,
    pub(super) ip: Option<Ip>,
}

/// Patroni.
#[derive(Clone, Debug)]
pub struct Agent {
    pub(super) config: Patroni,
    pub(super) setup: Setup,
    /// Where its REST interface and its PostgreSQL are, as members tell each other.
    pub(super) api_url: Arc<str>,
    pub(super) conn_url: Arc<str>,
    /// The configuration in force.
    pub(super) dynamic: Dynamic,
    // ---- threads
    pub(super) threads: Vec<Thread>,
    /// Threads that can go on, and with what.
    ready: VecDeque<(usize, Result<Value, Raised>)>,
    /// Counts questions on the HA loop's session.
    asked: u16,
    /// The nap is over, whether by something that woke it, and the loop has not yet gone on.
    woken: Option<bool>,
    /// Another thread's call has interrupted the nap.
    resume_nap: bool,
    pub(super) dcs: Client,
    dcs_for: Option<usize>,
    dcs_queue: DcsQueue,
    /// Who holds the executor's lock.
    lock: Option<usize>,
    /// The long action in the background.
    pub(super) task: Option<Task>,
    pub(super) task_cancelled: bool,
    /// What the pre-promote script gave (`_async_response`), or that the promotion is called off.
    pub(super) response: Option<bool>,
    pub(super) response_cancelled: bool,
    /// Until then the HA loop naps, and the version of the leader key that it watches.
    nap: (Time, Option<dcs::Version>),
    pub(super) terminating: bool,
    pub(super) rest_closed: bool,
    // ---- `Ha`
    pub(super) cluster: Option<Arc<Cluster>>,
    pub(super) old_cluster: Option<Arc<Cluster>>,
    /// Until then it believes to be leader, by the wall clock.
    pub(super) leader_expiry: i64,
    pub(super) next_run: i64,
    pub(super) cycle_began: Time,
    pub(super) failsafe: FailsafeRecord,
    pub(super) was_paused: bool,
    pub(super) promote_timestamp: i64,
    pub(super) leader_timeline: Option<u32>,
    pub(super) recovering: bool,
    pub(super) bootstrapping: bool,
    pub(super) crash_recovery_started: Option<i64>,
    pub(super) start_timeout: Option<Span>,
    pub(super) last_wal_lsn: Option<u64>,
    pub(super) last_timeline: Option<u32>,
    pub(super) disable_sync: u32,
    pub(super) released_leader_key: Option<i64>,
    pub(super) scheduled_restart: Option<super::rest::Restart>,
    pub(super) guard: Guard,
    pub(super) rewind: Rewind,
    pub(super) sync: SyncHandler,
    /// When the slots of members were seen in use last.
    pub(super) retain_slots: BTreeMap<Arc<str>, i64>,
    // ---- `Postgresql`
    pub(super) role: Role,
    pub(super) state: State,
    pub(super) state_since: i64,
    pub(super) cb_called: bool,
    pub(super) cb_pending: Option<super::callback::Event>,
    /// What the HA loop asked PostgreSQL in this cycle.
    pub(super) info: Option<Arc<Status>>,
    pub(super) info_failed: bool,
    pub(super) heartbeat: Session,
    pub(super) caller: Caller,
    /// The port for DNS answers is open.
    pub(super) bound: bool,
    pub(super) rest: RestServer,
    // ---- what was told
    pub(super) told: super::note::Told,
}

impl Agent {
    /// A Patroni.
    pub fn new(config: Patroni, setup: Setup) -> Self {
        let dynamic = Dynamic::of(&config);
        let local = Endpoint::new(setup.ip, postgres::PORT);
        let timing = dcs_timing(dynamic.timing);
        let api_url = format!("http://{}:{}/patroni", setup.ip, super::REST_PORT).into();
        let conn_url = format!("postgres://{}:{}/postgres", setup.ip, postgres::PORT).into();
        let dcs = Client::new(
            &dcs::Setup {
                dcs: setup.dcs.clone(),
                namespace: "service".into(),
                scope: config.scope.as_str().into(),
                name: setup.name.clone(),
                consul: ConsulOptions::from(&config.consul),
                first_timer: T_DCS,
            },
            timing,
        );
        Agent {
            api_url,
            conn_url,
            dynamic,
            threads: vec![Thread::default(); REST + REST_THREADS],
            ready: VecDeque::new(),
            asked: 0,
            woken: None,
            resume_nap: false,
            dcs,
            dcs_for: None,
            dcs_queue: DcsQueue::new(),
            lock: None,
            task: None,
            task_cancelled: false,
            response: None,
            response_cancelled: false,
            nap: (Time::ZERO, None),
            terminating: false,
            rest_closed: false,
            cluster: None,
            old_cluster: None,
            leader_expiry: 0,
            next_run: 0,
            cycle_began: Time::ZERO,
            failsafe: FailsafeRecord::default(),
            was_paused: false,
            promote_timestamp: 0,
            leader_timeline: None,
            recovering: false,
            bootstrapping: false,
            crash_recovery_started: None,
            start_timeout: None,
            last_wal_lsn: None,
            last_timeline: None,
            disable_sync: 0,
            released_leader_key: None,
            scheduled_restart: None,
            guard: Guard::default(),
            rewind: Rewind::default(),
            sync: SyncHandler::default(),
            retain_slots: BTreeMap::new(),
            role: Role::Uninitialized,
            state: State::Stopped,
            state_since: 0,
            cb_called: false,
            cb_pending: None,
            info: None,
            info_failed: false,
            heartbeat: Session::new(local, T_HEARTBEAT),
            caller: Caller::default(),
            bound: false,
            rest: RestServer::new(local),
            told: super::note::Told::default(),
            config,
            setup,
        }
    }
    /// What it was before it was started.
    pub fn reset(&mut self) {
        *self = Agent::new(self.config.clone(), self.setup.clone());
    }

    // ---- for whoever judges a run --------------------------------------------------------------------------------------

    /// Its name.
    pub fn name(&self) -> &str {
        &self.setup.name
    }
    /// Whether it believes to hold the lock at this moment of its host's wall clock.
    pub fn believes_leader(&self, wall_clock: i64) -> bool {
        self.leader_expiry > wall_clock
    }
    /// Until when it believes so, in nanoseconds of its host's wall clock; 0: it does not.
    pub fn leader_expiry(&self) -> i64 {
        self.leader_expiry
    }
    /// The role that it thinks its PostgreSQL has.
    pub fn role(&self) -> Role {
        self.role
    }
    /// The state that it thinks its PostgreSQL is in.
    pub fn state(&self) -> State {
        self.state
    }
    /// Whether its watchdog counts.
    pub fn watchdog_runs(&self) -> bool {
        self.guard.running()
    }
    /// Whether the cluster is paused, as far as it knows.
    pub fn paused(&self) -> bool {
        self.dynamic.pause
    }
    /// The cluster as it knows it.
    pub fn cluster(&self) -> Option<&Cluster> {
        self.cluster.as_deref()
    }
    /// When its last cycle began, by its host's monotonic clock.
    pub fn cycle_began(&self) -> Time {
        self.cycle_began
    }
    /// Whether a leader that lost the DCS said less than `ttl` ago that it goes on.
    pub fn failsafe_active(&self, wall_clock: i64) -> bool {
        self.failsafe.last_update != 0 && self.failsafe.last_update + self.ttl() > wall_clock
    }

    // ---- small things that all parts use -------------------------------------------------------------------------------

    pub(super) fn me(&self) -> &str {
        &self.setup.name
    }
    pub(super) fn ttl(&self) -> i64 {
        ns(self.dcs.ttl())
    }
    pub(super) fn is_paused(&self) -> bool {
        self.dynamic.pause
    }
    /// `is_running`: the process exists.
    pub(super) fn running(&self, ctx: &Cx<'_>) -> bool {
        ctx.files.pg.postmaster.is_some()
    }
    pub(super) fn set_state(&mut self, state: State, ctx: &Cx<'_>) {
        self.state = state;
        self.state_since = ctx.wall_clock;
    }
    pub(super) fn is_starting(&self) -> bool {
        self.state == State::Starting
    }
    pub(super) fn time_in_state(&self, ctx: &Cx<'_>) -> Span {
        Span(u64::try_from(ctx.wall_clock - self.state_since).unwrap_or(0))
    }
    /// `has_lock`: the view names this member.
    pub(super) fn has_lock(&self) -> bool {
        self.cluster.as_ref().is_some_and(|c| c.leader_name() == Some(self.me()))
    }
    pub(super) fn is_unlocked(&self) -> bool {
        self.cluster.as_ref().is_none_or(|c| c.is_unlocked())
    }
    pub(super) fn is_leader(&self, ctx: &Cx<'_>) -> bool {
        self.leader_expiry > ctx.wall_clock
    }
    pub(super) fn set_is_leader(&mut self, yes: bool, ctx: &Cx<'_>) {
        self.leader_expiry = if yes { ctx.wall_clock + self.ttl() } else { 0 };
        if !yes {
            self.promote_timestamp = 0;
        }
    }
    /// `/failover`, if it asks for something.
    pub(super) fn failover(&self) -> Option<&dcs::cluster::Failover> {
        self.cluster.as_ref()?.failover.as_ref().filter(|f| !f.is_empty())
    }
    /// Draws from a range.
    pub(super) fn draw(ctx: &mut Cx<'_>, range: SpanRange) -> Span {
        let width = range.max.0.saturating_sub(range.min.0);
        if width == 0 { range.min } else { Span(range.min.0 + ctx.below(width + 1)) }
    }
    pub(super) fn note(&self, note: Note, ctx: &mut Cx<'_>) {
        ctx.note(crate::proto::Note::Patroni(note));
    }
    /// `wakeup`: ends the nap.
    pub(super) fn wakeup(&mut self, ctx: &mut Cx<'_>) {
        if let Poll::Ready(result) = self.dcs.wake(ctx) {
            self.woken = Some(is_woken(result));
        }
    }
    /// Starts a long action in the background. `false`: one is under way.
    pub(super) fn background(&mut self, task: Task, frame: Frame) -> bool {
        if self.task.is_some() {
            return false;
        }
        self.task = Some(task);
        self.task_cancelled = false;
        self.spawn(EXEC, Frame::Server(server::At::Task(Box::new(frame))));
        true
    }
    /// Runs something on a thread that has nothing to do.
    pub(super) fn spawn(&mut self, thread: usize, frame: Frame) {
        self.threads[thread].stack = vec![frame];
        self.ready.push_back((thread, Ok(Value::Nothing)));
    }
    /// A thread of the REST interface that is free.
    pub(super) fn rest_thread(&self) -> Option<usize> {
        (REST..REST + REST_THREADS).find(|t| self.threads[*t].idle())
    }

    // ---- inputs --------------------------------------------------------------------------------------------------------

    /// Handles one input.
    pub fn on(&mut self, input: Input<Msg>, ctx: &mut Cx<'_>) {
        match &input {
            Input::Start => self.start(ctx),
            Input::Signal(Signal::Term) => self.terminate(ctx),
            Input::Signal(Signal::Thread(_, hangs)) => self.hang(*hangs, ctx),
            Input::Signal(_) | Input::Carrier(..) | Input::Exec { .. } | Input::Synced { .. } => {}
            Input::Packet { .. } => {
                self.caller_input(&input, ctx);
            }
            Input::Call(msg) => self.rest_call(msg, ctx),
            Input::Timer(_) | Input::Tcp(..) => self.dispatch(&input, ctx),
        }
        self.run_all(ctx);
    }
    fn run_all(&mut self, ctx: &mut Cx<'_>) {
        loop {
            if let Some(woken) = self.woken.take() {
                if matches!(self.threads[HA].waiting, Waiting::Watch) {
                    self.finish(HA, Ok(Value::Bool(woken)), ctx);
                }
            } else if std::mem::take(&mut self.resume_nap) {
                self.next_dcs(ctx);
            } else if let Some((t, result)) = self.ready.pop_front() {
                self.finish(t, result, ctx);
            } else {
                return;
            }
        }
    }
    fn start(&mut self, ctx: &Cx<'_>) {
        self.next_run = ctx.wall_clock;
        self.spawn(HA, Frame::Cycle(cycle::At::Starting));
    }
    fn hang(&mut self, hangs: bool, ctx: &mut Cx<'_>) {
        self.threads[HA].hung = hangs;
        if !hangs && let Some(result) = self.threads[HA].ready.take() {
            self.run(HA, result, ctx);
        }
    }
    /// SIGTERM: the main thread leaves what it does by an exception; a call that blocks is interrupted.
    fn terminate(&mut self, ctx: &mut Cx<'_>) {
        if !std::mem::replace(&mut self.terminating, true) {
            self.interrupt(HA, ctx);
            self.ready.push_back((HA, Err(Raised::Exit)));
        }
    }

    /// Hands an input to whoever waits for it.
    fn dispatch(&mut self, input: &Input<Msg>, ctx: &mut Cx<'_>) {
        if self.rest_input(input, ctx) || self.caller_input(input, ctx) {
            return;
        }
        if self.heartbeat.on(input, ctx) {
            self.heartbeat_answers();
            return;
        }
        for t in 0..self.threads.len() {
            if self.thread_input(t, input, ctx) {
                return;
            }
        }
        self.dcs_input(input, ctx);
    }
    /// Hands out what came back on the HA loop's session.
    pub(super) fn heartbeat_answers(&mut self) {
        while let Some((tag, answer)) = self.heartbeat.answer() {
            let waits = |t: &Thread| matches!(t.waiting, Waiting::Query(n) if n == tag);
            if let Some(t) = self.threads.iter().position(waits) {
                self.threads[t].waiting = Waiting::Nothing;
                self.ready.push_back((t, answer.map(Value::Answer).map_err(Raised::Postgres)));
            }
        }
    }
    fn dcs_input(&mut self, input: &Input<Msg>, ctx: &mut Cx<'_>) {
        if let Poll::Ready(result) = self.dcs.poll(input, ctx) {
            match self.dcs_for.take() {
                Some(t) => {
                    self.finish(t, dcs_value(result), ctx);
                    self.next_dcs(ctx);
                }
                // The call was the nap.
                None => self.woken = Some(is_woken(result)),
            }
        }
    }
    /// Begins what waits for the client; if nothing does, a nap that was interrupted goes on.
    fn next_dcs(&mut self, ctx: &mut Cx<'_>) {
        while self.dcs_for.is_none()
            && let Some((t, op)) = self.dcs_queue.pop_front()
        {
            if let Some(result) = self.begin_dcs(t, op, ctx) {
                self.finish(t, result, ctx);
            }
        }
        if self.dcs_for.is_none() && matches!(self.threads[HA].waiting, Waiting::Watch) && !self.dcs.busy() {
            self.begin_watch(ctx);
        }
    }
    fn begin_watch(&mut self, ctx: &mut Cx<'_>) {
        let (until, version) = self.nap;
        let watch = dcs::Op::Watch(version, until.since(ctx.now));
        if let Poll::Ready(result) = self.dcs.begin(watch, ctx) {
            self.woken = Some(is_woken(result));
        }
    }
    fn begin_dcs(&mut self, t: usize, op: dcs::Op, ctx: &mut Cx<'_>) -> Option<Result<Value, Raised>> {
        if self.dcs_for.is_some() {
            self.dcs_queue.push_back((t, op));
            return None;
        }
        match self.dcs.begin(op, ctx) {
            Poll::Ready(result) => {
                if t != HA {
                    // A nap was interrupted.
                    self.resume_nap = true;
                }
                Some(dcs_value(result))
            }
            Poll::Pending => {
                self.dcs_for = Some(t);
                None
            }
        }
    }

    /// What an input is to what a thread waits for.
    fn thread_input(&mut self, t: usize, input: &Input<Msg>, ctx: &mut Cx<'_>) -> bool {
        let own = timer(t, 0);
        let result = match &mut self.threads[t].waiting {
            Waiting::Nothing | Waiting::Lock | Waiting::Dcs | Waiting::Query(_) => return false,
            Waiting::Once(once, probe) => {
                let probe = *probe;
                let Some(answer) = once.on(input, ctx) else {
                    return matches!(input, Input::Timer(t) if *t == own);
                };
                if probe {
                    Ok(Value::Ready(match answer {
                        Ok(_) | Err(Failed::Fatal(SqlState::TooManyConnections)) => Ready::Running,
                        Err(Failed::Fatal(_)) => Ready::Reject,
                        Err(_) => Ready::NoResponse,
                    }))
                } else {
                    answer.map(Value::Answer).map_err(Raised::Postgres)
                }
            }
            Waiting::Identify(conn) => {
                let conn = *conn;
                let identity = match input {
                    Input::Tcp(c, Tcp::Connected) if *c == conn => {
                        ctx.act(Action::TcpSend(conn, Msg::Wal(Box::new(Wal::Identify))));
                        return true;
                    }
                    Input::Tcp(c, Tcp::Data(Msg::Wal(wal))) if *c == conn => match &**wal {
                        Wal::Identity(identity) => Some(identity.clone()),
                        _ => None,
                    },
                    Input::Tcp(c, _) if *c == conn => None,
                    Input::Timer(t) if *t == own => None,
                    _ => return false,
                };
                ctx.act(Action::Close(conn));
                ctx.cancel_timer(own);
                Ok(Value::Identity(identity))
            }
            Waiting::Fetch(fetches) => match fetches.on(input, ctx) {
                Some(said) => Ok(Value::Said(said)),
                None => return false,
            },
            Waiting::Sleep => match input {
                Input::Timer(t) if *t == own => Ok(Value::Nothing),
                _ => return false,
            },
            Waiting::End(deadline, poll) => match input {
                Input::Timer(t) if *t == own => {
                    let gone = ctx.files.pg.postmaster.is_none();
                    let late = deadline.is_some_and(|d| ctx.now >= d);
                    if !gone && !late {
                        let wait = *poll;
                        *poll = poll.times(2).min(END_POLL.1);
                        ctx.set_timer(own, wait);
                        return true;
                    }
                    Ok(Value::Bool(gone))
                }
                _ => return false,
            },
            Waiting::Watch => return false,
        };
        self.finish(t, result, ctx);
        true
    }

    // ---- threads -------------------------------------------------------------------------------------------------------

    /// What a thread waited for is there.
    fn finish(&mut self, t: usize, result: Result<Value, Raised>, ctx: &mut Cx<'_>) {
        self.threads[t].waiting = Waiting::Nothing;
        if self.threads[t].hung {
            self.threads[t].ready = Some(result);
        } else {
            self.run(t, result, ctx);
        }
    }
    /// Lets a thread run until it blocks or ends.
    fn run(&mut self, t: usize, mut result: Result<Value, Raised>, ctx: &mut Cx<'_>) {
        loop {
            let value = match result {
                Ok(value) => value,
                Err(raised) => {
                    // The innermost frame that catches it goes on.
                    loop {
                        match self.threads[t].stack.last() {
                            None => {
                                if t == HA && raised == Raised::Exit {
                                    ctx.act(Action::Exit(1));
                                }
                                return;
                            }
                            Some(f) if f.catches(raised) => break,
                            Some(_) => {
                                self.threads[t].stack.pop();
                            }
                        }
                    }
                    Value::Error(raised)
                }
            };
            let Some(frame) = self.threads[t].stack.pop() else { return };
            match self.piece(t, frame, value, ctx) {
                Flow::Go(frame) => {
                    self.threads[t].stack.push(frame);
                    result = Ok(Value::Nothing);
                }
                Flow::Call(function, then) => {
                    self.threads[t].stack.push(then);
                    self.threads[t].stack.push(function);
                    result = Ok(Value::Nothing);
                }
                Flow::Return(value) => result = Ok(value),
                Flow::Raise(raised) => result = Err(raised),
                Flow::Do(op, then) => {
                    self.threads[t].stack.push(then);
                    match self.begin(t, op, ctx) {
                        Some(r) => result = r,
                        None => return,
                    }
                }
            }
        }
    }
    fn piece(&mut self, t: usize, frame: Frame, value: Value, ctx: &mut Cx<'_>) -> Flow {
        match frame {
            Frame::Cycle(at) => self.cycle(at, value, ctx),
            Frame::Member(at) => self.member(t, at, value, ctx),
            Frame::Race(at) => self.race(at, value, ctx),
            Frame::Manual(at) => self.manual(at, value, ctx),
            Frame::Follow(at) => self.follow(at, value, ctx),
            Frame::Server(at) => self.server(at, value, ctx),
            Frame::Demote(at) => self.demote(at, value, ctx),
            Frame::Sync(at) => self.synchronous(at, value, ctx),
            Frame::Serve(at) => self.serve(at, value, ctx),
            Frame::Slots(at) => self.slots(at, value, ctx),
        }
    }
    /// Begins what may block; a result means that it did not.
    fn begin(&mut self, t: usize, op: Op, ctx: &mut Cx<'_>) -> Option<Result<Value, Raised>> {
        let own = timer(t, 0);
        let local = Endpoint::new(self.setup.ip, postgres::PORT);
        let waiting = match op {
            Op::Dcs(op) => {
                if let Some(result) = self.begin_dcs(t, op, ctx) {
                    return Some(result);
                }
                Waiting::Dcs
            }
            Op::Lock => {
                if self.lock.is_none() || self.lock == Some(t) {
                    self.lock = Some(t);
                    return Some(Ok(Value::Nothing));
                }
                Waiting::Lock
            }
            Op::Query(statement) => {
                self.asked = self.asked.wrapping_add(1);
                self.heartbeat.ask(self.asked, statement, ctx);
                self.threads[t].waiting = Waiting::Query(self.asked);
                // A broken session says so at once.
                self.heartbeat_answers();
                return None;
            }
            Op::Once(to, statement) => {
                Waiting::Once(Once::new(to, Some(statement), CONNECT_TIMEOUT, own, ctx), false)
            }
            Op::IsReady => Waiting::Once(Once::new(local, None, CONNECT_TIMEOUT, own, ctx), true),
            Op::Identify(ip) => {
                let to = Endpoint::new(ip, postgres::PORT);
                let conn = ctx.connect(to, Plane::replication, TcpOptions::default());
                ctx.set_timer(own, CONNECT_TIMEOUT);
                Waiting::Identify(conn)
            }
            Op::Fetch(ask, members) => {
                let width = self.config.thread_pool_size.max(5);
                let mut fetches = Fetches::new(ask, &members, width, own.0 + 1, ctx);
                if let Some(said) = fetches.finished() {
                    return Some(Ok(Value::Said(said)));
                }
                Waiting::Fetch(fetches)
            }
            Op::Sleep(span) => {
                if span.is_zero() {
                    return Some(Ok(Value::Nothing));
                }
                ctx.set_timer(own, span);
                Waiting::Sleep
            }
            Op::End(timeout) => {
                if ctx.files.pg.postmaster.is_none() {
                    return Some(Ok(Value::Bool(true)));
                }
                ctx.set_timer(own, END_POLL.0);
                Waiting::End(timeout.map(|d: Span| ctx.now + d), END_POLL.0.times(2))
            }
            Op::Watch(nap) => {
                let leader = self.cluster.as_ref().and_then(|c| c.leader.as_ref()).map(|l| l.version);
                let blind = self.task.is_some() || self.is_unlocked() || self.has_lock();
                self.nap = (ctx.now + nap, if blind { None } else { leader });
                self.threads[t].waiting = Waiting::Watch;
                if self.dcs_for.is_none() {
                    self.begin_watch(ctx);
                }
                return None;
            }
        };
        self.threads[t].waiting = waiting;
        None
    }
    /// Gives the executor's lock back.
    pub(super) fn unlock(&mut self, t: usize) {
        if self.lock != Some(t) {
            return;
        }
        self.lock = None;
        if let Some(next) =
            (0..self.threads.len()).find(|n| matches!(self.threads[*n].waiting, Waiting::Lock))
        {
            self.lock = Some(next);
            self.threads[next].waiting = Waiting::Nothing;
            self.ready.push_back((next, Ok(Value::Nothing)));
        }
    }
    /// A thread does not wait any longer.
    fn interrupt(&mut self, t: usize, ctx: &mut Cx<'_>) {
        match std::mem::take(&mut self.threads[t].waiting) {
            Waiting::Once(once, _) => once.drop(ctx),
            Waiting::Identify(conn) => ctx.act(Action::Close(conn)),
            Waiting::Fetch(fetches) => fetches.drop(ctx),
            _ => {}
        }
        ctx.cancel_timer(timer(t, 0));
        self.dcs_queue.retain(|(n, _)| *n != t);
        if self.dcs_for == Some(t) {
            // The next call makes the client forget this one.
            self.dcs_for = None;
            self.resume_nap = true;
        }
        self.ready.retain(|(n, _)| *n != t);
    }
    /// Forgets what a thread was doing.
    pub(super) fn abandon(&mut self, t: usize, ctx: &mut Cx<'_>) {
        self.interrupt(t, ctx);
        self.threads[t].stack.clear();
        self.unlock(t);
    }
}

/// The n-th timer of a thread.
fn timer(t: usize, n: u16) -> Timer {
    Timer(T_THREADS + t as u16 * TIMERS + n)
}
/// Nanoseconds of a span, with a sign.
pub(super) fn ns(d: Span) -> i64 {
    i64::try_from(d.0).unwrap_or(i64::MAX)
}
fn dcs_value(result: dcs::Result) -> Result<Value, Raised> {
    match result {
        Ok(dcs::Reply::Cluster(cluster)) => Ok(Value::Cluster(cluster)),
        Ok(dcs::Reply::Done(yes) | dcs::Reply::Woken(yes)) => Ok(Value::Bool(yes)),
        Ok(dcs::Reply::Sync(sync)) => Ok(Value::Sync(sync)),
        Err(_) => Err(Raised::Dcs),
    }
}
/// Whether something woke the loop.
fn is_woken(result: dcs::Result) -> bool {
    result == Ok(dcs::Reply::Woken(true))
}
/// The times as the DCS client wants them.
pub(super) fn dcs_timing(t: Timing) -> dcs::Timing {
    dcs::Timing { ttl: t.ttl, loop_wait: t.loop_wait, retry_timeout: t.retry_timeout }
}
