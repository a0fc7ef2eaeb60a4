//! The follow-primary process: it runs `follow_primary_command` for every node that is down after the primary's failover, one after the other,
//! and ends.
//!
//! Source: `fork_follow_child`, `exec_follow_primary_command` in `src/main/pgpool_main.c`, `follow_primary.sh` of the samples. The parent has
//! detached all nodes but the new primary. The process locks the standby pgpools' workers (by the watchdog), takes the lock on asking
//! ([`super::shared::Shared::asking`]), and holds it while the command runs, so that no worker looks at delays or false primaries and no search
//! looks for a primary. The command is what the shipped script does: a node whose server does not answer `pg_isready` is left as it
//! is; else CHECKPOINT on the new primary (`pg_rewind` believes its control file), and over ssh a fast stop, `pg_rewind` (or a base backup),
//! a start as a standby of the new primary; then `pcp_attach_node`. What fails leaves the node detached. **A process that is killed leaves the
//! lock taken**, as the product does: from then on no worker of this pgpool looks, and a search finds whoever was primary. So it is with a
//! primary that dies while the command runs: the search "finds" the dead one, and all nodes are detached.
//!
//! **Not modelled:** other scripts, a leader that vanishes with the lock on standbys (they give it back when they join the next one).

use super::call::{Ask, Call, Got};
use super::config::Follow;
use super::msg::{Job, Msg as Say, Pcp};
use super::note::{FollowStep, Note};
use super::parent::Parent;
use super::shared::{Order, Status};
use super::{Role, Setup, names};
use crate::engine::{Span, Time};
use crate::node::process::{Action, Input, Signal, Timer};
use crate::proto::postgres::msg::Statement;
use crate::proto::{Cx, Msg};
use std::sync::Arc;

/// The command's own process time, and the sleep before the lock is tried again.
const T_STEP: Timer = Timer(0);
const T_CALL: Timer = Timer(1);
/// The sleep before the lock is tried again.
const LOCK: Span = Span::secs(1);
/// `pg_isready`'s own limit.
const READY: Span = Span::secs(3);
/// ssh and psql have no limit of their own: the kernel's SYN retries end it.
const CONNECT: Span = Span::secs(130);

#[derive(Clone, Debug, Default)]
enum Step {
    #[default]
    Idle,
    Lock,
    /// The command has been forked.
    Command,
    Ready(Call),
    Ssh(Call),
    Checkpoint(Call),
    Job(Call),
}

/// The process.
#[derive(Clone, Debug)]
pub struct FollowPrimary {
    setup: Arc<Setup>,
    order: Option<Order>,
    node: u8,
    since: Time,
    step: Step,
}
impl FollowPrimary {
    /// One that has not been forked.
    pub fn new(setup: Arc<Setup>) -> Self {
        FollowPrimary { setup, order: None, node: 0, since: Time::ZERO, step: Step::Idle }
    }
    /// It has ended.
    pub fn reset(&mut self) {
        *self = FollowPrimary::new(self.setup.clone());
    }
    /// Handles one input.
    pub fn on(&mut self, input: Input<Msg>, ctx: &mut Cx<'_>) {
        match &input {
            Input::Start => self.begin(ctx),
            Input::Signal(Signal::Term | Signal::Int | Signal::Quit) => ctx.act(Action::Exit(0)),
            Input::Timer(T_STEP) => match self.step {
                Step::Lock => self.lock(ctx),
                Step::Command => self.command(ctx),
                _ => {}
            },
            _ => {
                let (Step::Ready(c) | Step::Ssh(c) | Step::Checkpoint(c) | Step::Job(c)) = &mut self.step
                else {
                    return;
                };
                if let Some(got) = c.on(&input, ctx) {
                    self.got(&got, ctx);
                }
            }
        }
    }
    fn begin(&mut self, ctx: &mut Cx<'_>) {
        self.order = ctx.files.pgpool.follow.pop_front();
        if self.order.is_none() {
            return ctx.act(Action::Exit(0));
        }
        self.lock_standbys(true, ctx);
        self.lock(ctx);
    }
    fn lock_standbys(&self, takes: bool, ctx: &mut Cx<'_>) {
        if let Some(pid) = self.setup.pid(Role::Watchdog) {
            ctx.act(Action::Tell(pid, Msg::Pgpool(Box::new(Say::FollowLock(takes)))));
        }
    }
    fn lock(&mut self, ctx: &mut Cx<'_>) {
        if !ctx.files.pgpool.lock() {
            self.step = Step::Lock;
            return ctx.set_timer(T_STEP, LOCK);
        }
        ctx.files.pgpool.following = self.order.map(|o| o.primary);
        self.next(0, ctx);
    }
    /// The next node that is down.
    fn next(&mut self, from: u8, ctx: &mut Cx<'_>) {
        let down =
            |n: &u8| ctx.files.pgpool.backends.get(usize::from(*n)).is_some_and(|b| b.status == Status::Down);
        match (from..self.setup.backends.len() as u8).find(down) {
            Some(n) => {
                self.node = n;
                self.since = ctx.now;
                self.tell(FollowStep::Begins, ctx);
                self.step = Step::Command;
                let takes = Parent::draw(self.setup.config.command_time, ctx);
                ctx.set_timer(T_STEP, takes);
            }
            None => self.over(ctx),
        }
    }
    fn over(&mut self, ctx: &mut Cx<'_>) {
        ctx.files.pgpool.following = None;
        ctx.files.pgpool.unlock();
        self.lock_standbys(false, ctx);
        self.step = Step::Idle;
        // Another failover has forked another process meanwhile, which waits for the lock.
        if ctx.files.pgpool.follow.is_empty() { ctx.act(Action::Exit(0)) } else { self.begin(ctx) }
    }
    fn tell(&self, step: FollowStep, ctx: &mut Cx<'_>) {
        let name = |n: u8| names(&self.setup, &[n]);
        let primary = self.order.map(|o| name(o.primary)).unwrap_or_default();
        let old = self.order.and_then(|o| o.old_primary).map_or_else(|| "-1".into(), name);
        let took = ctx.now.since(self.since);
        ctx.note(Note::Follow { node: name(self.node), primary, old, step, took }.into());
    }
    fn call(&self, node: u8, ask: Ask, limit: Span, ctx: &mut Cx<'_>) -> Option<Call> {
        let b = self.setup.backends.get(usize::from(node))?;
        Some(Call::new(b.ip, ask, limit, T_CALL, ctx))
    }
    fn command(&mut self, ctx: &mut Cx<'_>) {
        self.step = self.call(self.node, Ask::Ready, READY, ctx).map_or(Step::Idle, Step::Ready);
    }
    fn got(&mut self, got: &Got, ctx: &mut Cx<'_>) {
        let Some(order) = self.order else { return };
        match (std::mem::take(&mut self.step), got) {
            (Step::Ready(_), Got::Ready) => {
                let call = self.call(order.primary, Ask::Job(Job::Test), CONNECT, ctx);
                self.step = call.map_or(Step::Idle, Step::Ssh);
            }
            (Step::Ready(_), _) => self.done(FollowStep::Skipped, ctx),
            (Step::Ssh(_), Got::Job)
                if self.setup.config.follow() == Some(Follow::RewindWithoutCheckpoint) =>
            {
                self.job(order, ctx);
            }
            (Step::Ssh(_), Got::Job) => {
                let call = self.call(order.primary, Ask::Sql(Statement::Checkpoint), CONNECT, ctx);
                self.step = call.map_or(Step::Idle, Step::Checkpoint);
            }
            // Whether the CHECKPOINT was done the script does not ask.
            (Step::Checkpoint(_), _) => self.job(order, ctx),
            (Step::Job(_), Got::Job) => {
                if let Some(pid) = self.setup.pid(Role::Pcp) {
                    ctx.act(Action::Tell(pid, Msg::Pgpool(Box::new(Say::Pcp(Pcp::Attach(self.node))))));
                }
                self.done(FollowStep::Attaches, ctx);
            }
            _ => self.done(FollowStep::Failed, ctx),
        }
    }
    fn job(&mut self, order: Order, ctx: &mut Cx<'_>) {
        let Some(primary) = self.setup.backends.get(usize::from(order.primary)).map(|b| b.ip) else { return };
        let backup = self.setup.config.follow() == Some(Follow::BaseBackup);
        let call = self.call(self.node, Ask::Job(Job::Follow { primary, backup }), CONNECT, ctx);
        self.step = call.map_or(Step::Idle, Step::Job);
    }
    fn done(&mut self, step: FollowStep, ctx: &mut Cx<'_>) {
        self.tell(step, ctx);
        self.next(self.node + 1, ctx);
    }
}
