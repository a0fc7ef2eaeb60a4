//! The parent: it opens the port, forks everybody, forks anew who dies, and works on requests one after the other ([`super::failover`]).
//!
//! Source: `src/main/pgpool_main.c` (`PgpoolMain`, `reaper`, `exit_handler`). SIGTERM is a smart stop (sessions may end by themselves),
//! SIGINT a fast and SIGQUIT an immediate one. Before anybody is forked it looks for the primary, up to `search_primary_node_timeout`.

use super::config::Mode;
use super::find::{Find, Found};
use super::msg::{Cause, Msg as Say};
use super::note::Note;
use super::shared::Shared;
use super::watchdog::msg::Verdict;
use super::{Role, Setup};
use crate::engine::{Span, SpanRange, Time};
use crate::node::process::{Action, Input, Pid, Signal, Timer};
use crate::proto::{Cx, Msg};
use std::sync::Arc;

/// The port opens.
const T_START: Timer = Timer(0);
/// The search for a primary.
pub(super) const T_FIND: Timer = Timer(1);
/// The first of the timers of forks: one for each process, by its place. (2 to 31 are the failover's.)
const T_FORK: u16 = 32;

/// What the parent is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Phase {
    #[default]
    Off,
    /// It looks for the primary before it forks anybody.
    Starting,
    Running,
    /// A smart stop: it waits for its children.
    Stopping,
}

/// The parent.
#[derive(Clone, Debug)]
pub struct Parent {
    pub(super) setup: Arc<Setup>,
    pub(super) phase: Phase,
    pub(super) find: Find,
    pub(super) failover: super::failover::Failover,
    started: Time,
}

impl Parent {
    /// A parent that has not been started.
    pub fn new(setup: Arc<Setup>) -> Self {
        let find = Find::new(setup.clone(), T_FIND);
        Parent {
            setup,
            phase: Phase::Off,
            find,
            failover: super::failover::Failover::default(),
            started: Time::ZERO,
        }
    }
    /// It has ended.
    pub fn reset(&mut self, shared: &mut Shared) {
        shared.end();
        *self = Parent::new(self.setup.clone());
    }
    /// What it was told.
    pub fn setup(&self) -> &Setup {
        &self.setup
    }
    pub(super) fn draw(range: SpanRange, ctx: &mut Cx<'_>) -> Span {
        Span(range.min.0 + ctx.below(range.max.0 - range.min.0 + 1))
    }

    /// Handles one input.
    pub fn on(&mut self, input: Input<Msg>, ctx: &mut Cx<'_>) {
        match input {
            Input::Start => {
                let wait = Self::draw(self.setup.config.startup_time, ctx);
                ctx.set_timer(T_START, wait);
            }
            Input::Timer(T_START) => self.open(ctx),
            Input::Timer(Timer(t)) if t >= T_FORK => {
                if let Some((_, pid)) = self.setup.processes.get(usize::from(t - T_FORK)) {
                    ctx.act(Action::Spawn(*pid));
                }
            }
            Input::Timer(T_FIND) | Input::Tcp(..) if self.phase == Phase::Starting => {
                let found = self.find.poll(&input, ctx);
                self.looked(found, ctx);
            }
            Input::Signal(Signal::ChildDied(pid)) => self.reap(pid, ctx),
            Input::Signal(Signal::Usr1) if self.phase == Phase::Running => self.work(ctx),
            Input::Signal(Signal::Term) => self.stop(ctx),
            Input::Signal(Signal::Int | Signal::Quit) => {
                for i in 0..self.setup.processes.len() {
                    let (role, pid) = self.setup.processes[i];
                    if role != Role::Parent {
                        ctx.act(Action::Signal(pid, Signal::Quit));
                    }
                }
                ctx.act(Action::Exit(0));
            }
            input => self.failover_input(input, ctx),
        }
    }

    fn open(&mut self, ctx: &mut Cx<'_>) {
        let c = &self.setup.config;
        let (backends, children) = (self.setup.backends.len(), usize::from(c.num_init_children));
        ctx.files.pgpool.begin(backends, children, ctx.me);
        self.started = ctx.now;
        self.phase = Phase::Starting;
        if self.setup.mode.searches() {
            let found = self.find.begin(ctx);
            self.looked(found, ctx);
        } else {
            self.ready(ctx);
        }
    }
    /// The search before the first fork.
    fn looked(&mut self, found: Found, ctx: &mut Cx<'_>) {
        match found {
            Found::Pending => {}
            Found::Primary(node) => {
                ctx.files.pgpool.primary = Some(node);
                let node = super::names(&self.setup, &[node]);
                ctx.note(Note::PrimaryFound { node, took: ctx.now.since(self.started) }.into());
                self.ready(ctx);
                // False primaries are looked for once at the start; after that it is the worker's.
                let wrong = self.find.false_primaries();
                if self.setup.mode == Mode::StreamingReplication && !wrong.is_empty() {
                    super::degenerate(&self.setup.clone(), &wrong, Cause::FalsePrimary, ctx);
                }
            }
            Found::Nobody => {
                let limit = self.setup.config.search_primary_node_timeout;
                if !limit.is_zero() && ctx.now.since(self.started) >= limit {
                    ctx.note(Note::NoPrimary { after: limit }.into());
                    self.ready(ctx);
                } else {
                    self.find.again(ctx);
                }
            }
        }
    }
    /// Everybody is forked.
    fn ready(&mut self, ctx: &mut Cx<'_>) {
        self.phase = Phase::Running;
        let c = &self.setup.config;
        ctx.act(Action::ListenShared(c.port, c.backlog(), c.child_choice));
        for (role, pid) in &self.setup.processes {
            if role.from_the_start() {
                ctx.act(Action::Spawn(*pid));
            }
        }
        ctx.note(Note::Ready { children: c.num_init_children, port: c.port, mode: self.setup.mode }.into());
        self.work(ctx);
    }
    /// A process that it forked has ended.
    fn reap(&mut self, pid: Pid, ctx: &mut Cx<'_>) {
        let Some(i) = self.setup.processes.iter().position(|p| p.1 == pid) else { return };
        let role = self.setup.processes[i].0;
        match self.phase {
            Phase::Off | Phase::Starting => {}
            Phase::Running if role == Role::Watchdog && ctx.files.pgpool.wd.fatal => {
                ctx.note(Note::WatchdogDied.into());
                ctx.act(Action::Signal(ctx.me, Signal::Quit));
            }
            Phase::Running if role.respawned() || role == Role::Watchdog => {
                if role == Role::Watchdog {
                    self.unanswered(ctx);
                }
                if self.failover.busy() {
                    self.failover.died.push(i);
                } else {
                    self.fork_again(i, ctx);
                }
            }
            Phase::Running => {}
            Phase::Stopping => self.maybe_end(ctx),
        }
    }
    /// Nobody answers the requests that a watchdog had when it died: their sockets are closed.
    fn unanswered(&self, ctx: &mut Cx<'_>) {
        for (role, pid) in &self.setup.processes {
            if matches!(role, Role::HealthCheck(_)) {
                let closed = Say::Verdict(Verdict::Cancelled);
                ctx.act(Action::Tell(*pid, Msg::Pgpool(Box::new(closed))));
            }
        }
    }
    /// The process at this place is forked again.
    pub(super) fn fork_again(&self, i: usize, ctx: &mut Cx<'_>) {
        let wait = Self::draw(self.setup.config.fork_time, ctx);
        ctx.set_timer(Timer(T_FORK + i as u16), wait);
    }
    fn stop(&mut self, ctx: &mut Cx<'_>) {
        if self.phase == Phase::Off || self.phase == Phase::Starting {
            ctx.act(Action::Exit(0));
            return;
        }
        self.phase = Phase::Stopping;
        ctx.note(Note::Stopping.into());
        for (role, pid) in &self.setup.processes {
            if matches!(role, Role::Child(_)) {
                ctx.act(Action::Signal(*pid, Signal::Term));
            }
        }
        self.maybe_end(ctx);
    }
    fn maybe_end(&self, ctx: &mut Cx<'_>) {
        if ctx.files.pgpool.children.iter().all(|c| !c.alive) {
            for (role, pid) in &self.setup.processes {
                if !matches!(role, Role::Parent | Role::Child(_)) {
                    ctx.act(Action::Signal(*pid, Signal::Term));
                }
            }
            ctx.act(Action::Exit(0));
        }
    }
    /// Ends children at once, with their sessions; they are forked anew. `only`: those whose reads go to one of these nodes.
    pub(super) fn restart_children(&self, only: Option<&[u8]>, ctx: &mut Cx<'_>) -> u32 {
        let mut cut = 0;
        for (role, pid) in &self.setup.processes {
            let Role::Child(n) = role else { continue };
            let Some(child) = ctx.files.pgpool.children.get(usize::from(*n)) else { continue };
            let uses = |nodes: &[u8]| child.balanced.is_some_and(|b| nodes.contains(&b));
            if !child.alive || only.is_some_and(|nodes| !uses(nodes)) {
                continue;
            }
            cut += u32::from(child.session.is_some());
            ctx.act(Action::Signal(*pid, Signal::Quit));
        }
        cut
    }
}
