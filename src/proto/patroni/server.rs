//! What Patroni does to its PostgreSQL: start, stop, restart, promote, follow; and the long actions in the background around it.
//!
//! Source: `postgresql/__init__.py` (`start`, `_do_stop`, `restart`, `follow`, `promote`, `check_startup_state_changed`),
//! `postgresql/rewind.py` (`execute`, `ensure_clean_shutdown`), `postgresql/bootstrap.py`, `async_executor.py`.

use super::callback::Event;
use super::demote::Kind;
use super::flow::{EXEC, Flow, Frame, Op, Raised, Ready, Value};
use super::follow::RewindState;
use super::note::Note;
use super::process::{Agent, Task};
use super::rest::Restart;
use super::state::{Role, State};
use super::{demote, follow};
use crate::engine::{Span, Time};
use crate::net::addr::{Endpoint, Ip};
use crate::node::process::{Action, Signal};
use crate::proto::postgres::data::{Checkpoint, Conninfo, DbState, Identity};
use crate::proto::postgres::msg::{Answer, Statement};
use crate::proto::postgres::rewind::Plan;
use crate::proto::{Cx, postgres};
use std::sync::Arc;

/// `STOP_POLLING_INTERVAL`, and the interval of every `polling_loop`.
const POLL: Span = Span::secs(1);
/// How long `pg_ctl` and its like need at least.
const MOMENT: Span = Span::ms(2);

/// How the server is stopped.
#[derive(Clone, Debug, Default)]
pub(super) struct StopArgs {
    /// SIGQUIT instead of SIGINT.
    pub(super) immediate: bool,
    /// A checkpoint comes first.
    pub(super) checkpoint: bool,
    /// The watchdog ends when no user can get a commit confirmed any more.
    pub(super) safepoint: bool,
    /// The lock is handed over as soon as the server has written its last checkpoint.
    pub(super) release: Option<Kind>,
    /// After so long it is made harder.
    pub(super) timeout: Option<Span>,
    /// Part of a restart.
    pub(super) block_callbacks: bool,
}
/// How it is started.
#[derive(Clone, Copy, Debug)]
pub(super) struct StartArgs {
    pub(super) role: Option<Role>,
    pub(super) timeout: Option<Span>,
    pub(super) block_callbacks: bool,
}
/// How it follows.
#[derive(Clone, Debug)]
pub(super) struct FollowArgs {
    /// Whom; nobody: it stands still.
    pub(super) node: Option<Ip>,
    pub(super) timeout: Option<Span>,
    /// A reload is enough.
    pub(super) reload: bool,
}

/// Pieces.
#[derive(Clone, Debug)]
pub(super) enum At {
    // A background action, from its beginning to its end.
    Task(Box<Frame>),
    TaskLocked(Box<Frame>),
    TaskRan,
    TaskOver(bool),
    // `check_startup_state_changed`
    CheckStartup,
    CheckedStartup,
    // `start`
    Start(StartArgs),
    StartSpawn(StartArgs),
    PortOpen(StartArgs, Time),
    PortSaid(StartArgs, Time),
    WaitStartup(StartArgs),
    WaitedStartup(StartArgs),
    // `stop`
    Stop(StopArgs),
    StopSignal(StopArgs),
    StopPing(StopArgs),
    StopPinged(StopArgs),
    StopWait(StopArgs, Time),
    StopHandOver(StopArgs, Kind),
    StopHandOverJudged(StopArgs, Kind),
    StopHandOverDone(StopArgs),
    StopEnd(StopArgs),
    StopHarder(StopArgs),
    Stopped(StopArgs),
    // `restart`
    Restart(StartArgs),
    RestartStopped(StartArgs),
    Restarted,
    // `follow`
    Follow(FollowArgs),
    Followed(bool),
    // `promote`
    Promote,
    PrePromoted(bool),
    PromoteSignal,
    PromoteWait(Time),
    // `bootstrap`, clone, crash recovery, rewind, reinitialise
    Bootstrap,
    BootstrapStart,
    PostBootstrap,
    PostBootstrapped,
    Clone(Ip),
    CloneIdentified(Ip),
    CloneCopied(Ip),
    CloneFollow,
    CrashRecovery,
    CrashRecovered,
    Rewind(Arc<str>, Ip),
    RewindStopped(Arc<str>, Ip),
    RewindLeader(Arc<str>, Ip),
    RewindIdentified(Arc<str>),
    RewindRan(Option<(Arc<Identity>, Checkpoint)>, Arc<str>),
    Reinitialize(bool),
    ReinitializeStopped(bool),
    // `CHECKPOINT` after a promotion
    Checkpoint,
    Checkpointed,
}
impl At {
    /// Whether the piece has an `except` for it.
    pub(super) fn catches(&self, raised: Raised) -> bool {
        match self {
            At::TaskRan => raised != Raised::Exit,
            At::StopSignal(_)
            | At::StopPinged(_)
            | At::RewindIdentified(..)
            | At::RewindLeader(..)
            | At::Checkpointed => matches!(raised, Raised::Postgres(_)),
            At::StopHandOverDone(_) => raised == Raised::Dcs,
            _ => false,
        }
    }
}
fn go(at: At) -> Frame {
    Frame::Server(at)
}

impl Agent {
    pub(super) fn server(&mut self, at: At, value: Value, ctx: &mut Cx<'_>) -> Flow {
        match at {
            // ---- a background action -----------------------------------------------------------------------------------
            At::Task(frame) => Flow::Do(Op::Lock, go(At::TaskLocked(frame))),
            At::TaskLocked(frame) => {
                self.unlock(EXEC);
                if self.task_cancelled {
                    return Flow::Do(Op::Lock, go(At::TaskOver(false)));
                }
                Flow::Call(*frame, go(At::TaskRan))
            }
            At::TaskRan => {
                let wake = matches!(value, Value::Bool(_));
                Flow::Do(Op::Lock, go(At::TaskOver(wake)))
            }
            At::TaskOver(wake) => {
                self.task = None;
                self.task_cancelled = false;
                self.unlock(EXEC);
                if wake {
                    self.wakeup(ctx);
                }
                Flow::done()
            }

            // ---- start -------------------------------------------------------------------------------------------------
            At::CheckStartup => Flow::Do(Op::IsReady, go(At::CheckedStartup)),
            At::CheckedStartup => {
                let Value::Ready(ready) = value else { return Flow::bool(false) };
                match ready {
                    Ready::Reject => Flow::bool(false),
                    Ready::NoResponse => {
                        let gone = !self.running(ctx);
                        if gone {
                            self.set_state(State::StartFailed, ctx);
                        }
                        Flow::bool(gone)
                    }
                    Ready::Running => {
                        self.set_state(State::Running, ctx);
                        let event = self.cb_pending.take().unwrap_or(Event::Start);
                        self.call(event, ctx);
                        Flow::bool(true)
                    }
                }
            }
            At::Start(args) => {
                self.heartbeat.close(ctx);
                self.heartbeat_answers();
                self.rest.close_session(ctx);
                self.rest_answers(ctx);
                if self.running(ctx) {
                    self.set_state(State::Starting, ctx);
                    return Flow::bool(true);
                }
                if !args.block_callbacks {
                    self.cb_pending = Some(Event::Start);
                }
                let standby = ctx.files.pg.conf.standby_signal;
                self.role = args.role.unwrap_or(if standby { Role::Replica } else { Role::Primary });
                self.set_state(State::Starting, ctx);
                let helper = Self::draw(ctx, self.config.postmaster_start_time);
                Flow::Do(Op::Sleep(helper), go(At::StartSpawn(args)))
            }
            At::StartSpawn(args) => {
                if self.task_cancelled {
                    return Flow::bool(false);
                }
                ctx.act(Action::Spawn(self.setup.postgres));
                let timeout = args.timeout.unwrap_or(self.config.pg_ctl_timeout);
                Flow::Do(Op::Sleep(MOMENT), go(At::PortOpen(args, ctx.now + timeout)))
            }
            At::PortOpen(args, deadline) => {
                if self.task_cancelled {
                    return Flow::bool(false);
                }
                if !self.running(ctx) {
                    self.set_state(State::StartFailed, ctx);
                    return Flow::bool(false);
                }
                Flow::Do(Op::IsReady, go(At::PortSaid(args, deadline)))
            }
            At::PortSaid(args, deadline) => {
                if !matches!(value, Value::Ready(Ready::NoResponse)) {
                    return Flow::Go(go(At::WaitStartup(args)));
                }
                if ctx.now + POLL >= deadline {
                    return Flow::bool(false);
                }
                Flow::Do(Op::Sleep(POLL), go(At::PortOpen(args, deadline)))
            }
            At::WaitStartup(args) => Flow::Call(go(At::CheckStartup), go(At::WaitedStartup(args))),
            At::WaitedStartup(args) => {
                if value.yes() {
                    return Flow::bool(self.state == State::Running);
                }
                let timeout = args.timeout.unwrap_or(self.config.pg_ctl_timeout);
                if self.task_cancelled || self.time_in_state(ctx) > timeout {
                    return if args.timeout.is_some() { Flow::bool(false) } else { Flow::done() };
                }
                Flow::Do(Op::Sleep(POLL), go(At::WaitStartup(args)))
            }

            // ---- stop --------------------------------------------------------------------------------------------------
            At::Stop(args) => {
                if !self.running(ctx) {
                    if args.safepoint {
                        self.disable_watchdog(ctx);
                    }
                    if !args.block_callbacks {
                        self.set_state(State::Stopped, ctx);
                    }
                    return Flow::bool(true);
                }
                if args.checkpoint && !self.is_starting() {
                    let local = Endpoint::new(self.setup.ip, postgres::PORT);
                    return Flow::Do(Op::Once(local, Statement::Checkpoint), go(At::StopSignal(args)));
                }
                Flow::Go(go(At::StopSignal(args)))
            }
            At::StopSignal(args) => {
                if !args.block_callbacks {
                    self.set_state(State::Stopping, ctx);
                }
                let signal = if args.immediate { Signal::Quit } else { Signal::Int };
                ctx.act(Action::Signal(self.setup.postgres, signal));
                // The loop asks `SELECT 1` once a second until its session is gone. The first one overtakes the signal.
                if self.heartbeat.ready() {
                    return Flow::Do(Op::Sleep(POLL), go(At::StopPing(args)));
                }
                Flow::Do(Op::Sleep(MOMENT), go(At::StopPing(args)))
            }
            At::StopPing(args) => {
                if !self.running(ctx) {
                    return Flow::Go(go(At::StopPinged(args)));
                }
                Flow::Do(Op::Query(Statement::IsInRecovery), go(At::StopPinged(args)))
            }
            At::StopPinged(args) => {
                if matches!(value, Value::Answer(_)) {
                    return Flow::Do(Op::Sleep(POLL), go(At::StopPing(args)));
                }
                // No session is left: no user gets a commit confirmed any more.
                if args.safepoint {
                    self.disable_watchdog(ctx);
                }
                Flow::Go(go(At::StopWait(args, ctx.now)))
            }
            At::StopWait(args, since) => {
                let Some(kind) = args.release.filter(|_| !args.immediate) else {
                    return Flow::Go(go(At::StopEnd(args)));
                };
                if !self.running(ctx) {
                    return Flow::Go(go(At::StopEnd(args)));
                }
                match ctx.files.pg.control.state {
                    DbState::ShutDown => Flow::Do(Op::Sleep(POLL), go(At::StopHandOver(args, kind))),
                    DbState::ShutDownInRecovery => Flow::Go(go(At::StopEnd(args))),
                    _ if args.timeout.is_some_and(|t| ctx.now >= since + t) => {
                        let args = StopArgs { timeout: Some(Span::ZERO), ..args };
                        Flow::Go(go(At::StopEnd(args)))
                    }
                    _ => Flow::Do(Op::Sleep(POLL), go(At::StopWait(args, since))),
                }
            }
            At::StopHandOver(args, kind) => {
                let lsn = Some(super::member::bytes(ctx.files.pg.control.checkpoint.lsn));
                Flow::Call(
                    Frame::Manual(super::manual::At::FailoverPossible { lsn, exclude: false }),
                    go(At::StopHandOverJudged(args, kind)),
                )
            }
            At::StopHandOverJudged(args, kind) => {
                let fit = value.yes();
                let hand_over = demote::At::HandOver(kind, fit);
                Flow::Call(Frame::Demote(hand_over), go(At::StopHandOverDone(args)))
            }
            At::StopHandOverDone(args) => Flow::Go(go(At::StopEnd(args))),
            At::StopEnd(args) => Flow::Do(Op::End(args.timeout), go(At::StopHarder(args))),
            At::StopHarder(args) => {
                if value.yes() {
                    return Flow::Go(go(At::Stopped(args)));
                }
                // It took too long: immediate, then SIGKILL.
                let next = if args.immediate {
                    ctx.act(Action::Signal(self.setup.postgres, Signal::Kill));
                    StopArgs { timeout: None, ..args }
                } else {
                    ctx.act(Action::Signal(self.setup.postgres, Signal::Quit));
                    let timeout = self.primary_stop_timeout();
                    StopArgs { immediate: true, timeout, ..args }
                };
                self.note(Note::StopHarder { kill: next.timeout.is_none() }, ctx);
                Flow::Go(go(At::StopEnd(next)))
            }
            At::Stopped(args) => {
                if args.safepoint {
                    self.disable_watchdog(ctx);
                }
                if !args.block_callbacks {
                    self.set_state(State::Stopped, ctx);
                    self.call(Event::Stop, ctx);
                }
                Flow::bool(true)
            }

            // ---- restart, follow ---------------------------------------------------------------------------------------
            At::Restart(args) => {
                self.set_state(State::Restarting, ctx);
                if !args.block_callbacks {
                    self.cb_pending = Some(Event::Restart);
                }
                let stop = StopArgs { checkpoint: true, block_callbacks: true, ..StopArgs::default() };
                Flow::Call(go(At::Stop(stop)), go(At::RestartStopped(args)))
            }
            At::RestartStopped(args) => {
                if !value.yes() {
                    return Flow::Go(go(At::Restarted));
                }
                let args = StartArgs { block_callbacks: true, ..args };
                Flow::Call(go(At::Start(args)), go(At::Restarted))
            }
            At::Restarted => {
                if !value.yes() && !self.is_starting() {
                    self.set_state(State::RestartFailed, ctx);
                }
                Flow::Return(value)
            }
            At::Follow(args) => {
                let conninfo = args.node.map(|ip| self.conninfo(ip));
                ctx.files.pg.conf.primary_conninfo = conninfo;
                ctx.files.pg.conf.standby_signal = true;
                let change_role = self.cb_called && matches!(self.role, Role::Primary | Role::Demoted);
                if change_role {
                    self.cb_pending = Some(Event::Noop);
                }
                let start = StartArgs {
                    role: Some(Role::Replica),
                    timeout: args.timeout,
                    block_callbacks: change_role,
                };
                if !self.running(ctx) {
                    return Flow::Call(go(At::Start(start)), go(At::Followed(change_role)));
                }
                if !args.reload {
                    let start = StartArgs { timeout: None, ..start };
                    return Flow::Call(go(At::Restart(start)), go(At::Followed(change_role)));
                }
                ctx.act(Action::Signal(self.setup.postgres, Signal::Hup));
                if change_role {
                    self.role = Role::Replica;
                }
                Flow::Go(go(At::Followed(change_role)))
            }
            At::Followed(change_role) => {
                if change_role {
                    self.call(Event::RoleChange, ctx);
                }
                match value {
                    Value::Bool(false) => Flow::done(),
                    value => Flow::Return(value),
                }
            }

            // ---- promote -----------------------------------------------------------------------------------------------
            At::Promote => {
                if matches!(self.role, Role::Promoted | Role::Primary) {
                    return Flow::bool(true);
                }
                match self.config.pre_promote {
                    Some(script) => {
                        let run = Self::draw(ctx, script.run_time);
                        Flow::Do(Op::Sleep(run), go(At::PrePromoted(script.ok)))
                    }
                    None => Flow::Go(go(At::PrePromoted(true))),
                }
            }
            At::PrePromoted(ok) => {
                if self.response_cancelled {
                    return Flow::bool(false);
                }
                self.response = Some(ok);
                if !ok || self.task_cancelled {
                    return Flow::bool(false);
                }
                self.rewind.state = RewindState::Initial;
                let took = Self::draw(ctx, self.config.promote_time);
                Flow::Do(Op::Sleep(took), go(At::PromoteSignal))
            }
            At::PromoteSignal => {
                ctx.files.pg.promote_signal = true;
                ctx.act(Action::Signal(self.setup.postgres, Signal::Usr1));
                self.role = Role::Promoted;
                self.call(Event::RoleChange, ctx);
                let until = ctx.now + self.dynamic.timing.loop_wait;
                Flow::Do(Op::Sleep(MOMENT), go(At::PromoteWait(until)))
            }
            At::PromoteWait(until) => {
                if ctx.files.pg.control.state == DbState::InProduction && self.running(ctx) {
                    self.role = Role::Primary;
                    return Flow::bool(true);
                }
                if ctx.now + POLL >= until {
                    return Flow::done();
                }
                Flow::Do(Op::Sleep(POLL), go(At::PromoteWait(until)))
            }

            // ---- a data directory --------------------------------------------------------------------------------------
            At::Bootstrap => {
                self.set_state(State::InitializingNewCluster, ctx);
                let took = Self::draw(ctx, self.config.bootstrap_time);
                Flow::Do(Op::Sleep(took), go(At::BootstrapStart))
            }
            At::BootstrapStart => {
                // The identifier is made of the time and the process number; here of the host, and never 0.
                let host = u64::from(ctx.host.0) + 1;
                ctx.files.pg.initdb(7_000_000_000_000_000_000 + host);
                ctx.files.pg.conf.standby_signal = false;
                ctx.files.pg.conf.primary_conninfo = None;
                let start = StartArgs { role: Some(Role::Replica), timeout: None, block_callbacks: false };
                Flow::Go(go(At::Start(start)))
            }
            At::PostBootstrap => Flow::Do(Op::Sleep(Span::ms(50)), go(At::PostBootstrapped)),
            At::PostBootstrapped => {
                self.response = Some(true);
                Flow::bool(true)
            }
            At::Clone(ip) => {
                self.rewind.state = RewindState::Initial;
                self.set_state(State::CreatingReplica, ctx);
                Flow::Do(Op::Identify(ip), go(At::CloneIdentified(ip)))
            }
            At::CloneIdentified(ip) => {
                let Value::Identity(Some(source)) = value else {
                    self.set_state(State::Stopped, ctx);
                    return Flow::done();
                };
                let took = ctx.files.pg.base_backup_takes(&source);
                ctx.files.pg.base_backup_begins();
                Flow::Do(Op::Sleep(took), go(At::CloneCopied(ip)))
            }
            At::CloneCopied(ip) => {
                // The backup is whole if its source is still there at the end.
                Flow::Do(Op::Identify(ip), go(At::CloneFollow))
            }
            At::CloneFollow => {
                let Value::Identity(Some(identity)) = value else {
                    ctx.files.pg.remove();
                    self.set_state(State::Stopped, ctx);
                    return Flow::done();
                };
                ctx.files.pg.base_backup(&identity);
                self.note(Note::Cloned, ctx);
                let node = self.node_to_follow().and_then(|n| n.1);
                let args = FollowArgs { node, timeout: None, reload: false };
                Flow::Go(go(At::Follow(args)))
            }
            At::CrashRecovery => {
                ctx.files.pg.conf.standby_signal = false;
                let took = ctx.files.pg.recovery_takes();
                Flow::Do(Op::Sleep(took), go(At::CrashRecovered))
            }
            At::CrashRecovered => {
                ctx.files.pg.single_user_recovery();
                Flow::bool(true)
            }
            At::Rewind(name, ip) => {
                if self.running(ctx) {
                    let stop = StopArgs::default();
                    return Flow::Call(go(At::Stop(stop)), go(At::RewindStopped(name, ip)));
                }
                Flow::Go(go(At::RewindStopped(name, ip)))
            }
            At::RewindStopped(name, ip) => {
                let leader = Endpoint::new(ip, postgres::PORT);
                Flow::Do(Op::Once(leader, Statement::IsInRecovery), go(At::RewindLeader(name, ip)))
            }
            At::RewindLeader(name, ip) => match value {
                Value::Answer(Answer::InRecovery(false)) => {
                    Flow::Do(Op::Identify(ip), go(At::RewindIdentified(name)))
                }
                _ => Flow::done(),
            },
            At::RewindIdentified(name) => {
                let Value::Identity(Some(identity)) = value else { return Flow::bool(false) };
                if identity.checkpoint.timeline != identity.timeline {
                    self.note(Note::RewindWaits { leader: name }, ctx);
                    return Flow::done();
                }
                match ctx.files.pg.rewind_plan(&identity) {
                    Ok(Plan::Copy { common, takes, .. }) => {
                        self.note(Note::Rewinding { from: name.clone() }, ctx);
                        ctx.files.pg.rewind_begins();
                        Flow::Do(Op::Sleep(takes), go(At::RewindRan(Some((identity, common)), name)))
                    }
                    Ok(Plan::Nothing) => {
                        self.rewind.state = RewindState::Success;
                        Flow::bool(false)
                    }
                    Err(_) => Flow::Go(go(At::RewindRan(None, name))),
                }
            }
            At::RewindRan(done, name) => {
                let ok = done.is_some();
                if let Some((identity, common)) = done {
                    ctx.files.pg.rewind(&identity, common);
                }
                self.rewind.state = if ok { RewindState::Success } else { RewindState::Failed };
                self.note(Note::Rewound { from: name, ok }, ctx);
                let remove = self.config.remove_data_directory_on_rewind_failure
                    || self.config.remove_data_directory_on_diverged_timelines;
                if !ok && remove {
                    ctx.files.pg.remove();
                    self.rewind.state = RewindState::Initial;
                }
                Flow::bool(false)
            }
            At::Reinitialize(from_leader) => {
                let timeout = Some(self.dynamic.timing.retry_timeout);
                let stop = StopArgs { immediate: true, timeout, ..StopArgs::default() };
                Flow::Call(go(At::Stop(stop)), go(At::ReinitializeStopped(from_leader)))
            }
            At::ReinitializeStopped(from_leader) => match self.clone_member(from_leader, ctx) {
                Some((name, ip)) => {
                    self.note(Note::Cloning { from: name }, ctx);
                    Flow::Go(go(At::Clone(ip)))
                }
                None => Flow::done(),
            },

            // ---- the checkpoint after a promotion ----------------------------------------------------------------------
            At::Checkpoint => {
                let local = Endpoint::new(self.setup.ip, postgres::PORT);
                Flow::Do(Op::Once(local, Statement::Checkpoint), go(At::Checkpointed))
            }
            At::Checkpointed => {
                self.rewind.checkpointing = false;
                if matches!(value, Value::Answer(_)) {
                    self.rewind.state = RewindState::Checkpoint;
                    self.wakeup(ctx);
                }
                Flow::done()
            }
        }
    }

    /// How this member connects to another one to stream from it.
    pub(super) fn conninfo(&self, ip: Ip) -> Conninfo {
        let slot = self.dynamic.use_slots.then(|| self.setup.name.clone());
        Conninfo { ip, application_name: Some(self.setup.name.clone()), slot }
    }
    /// A restart that an operator asked for.
    pub(super) fn begin_restart(&mut self, r: &Restart, ctx: &mut Cx<'_>) -> bool {
        if r.role.is_some_and(|role| role != self.role) {
            return false;
        }
        let timeout = r.timeout.unwrap_or(self.dynamic.primary_start_timeout);
        let args = StartArgs { role: None, timeout: Some(timeout), block_callbacks: false };
        let restart = go(At::Restart(args));
        let frame = if self.dynamic.is_synchronous_mode() && !self.has_lock() {
            Frame::Sync(super::sync::At::WhileNotSyncStandby(Box::new(restart)))
        } else {
            restart
        };
        if !self.background(Task::Restart, frame) {
            return false;
        }
        self.recovering = true;
        self.start_timeout = Some(timeout);
        self.note(Note::Restarting, ctx);
        true
    }
    /// Calls off what the background does.
    pub(super) fn cancel_task(&mut self, ctx: &mut Cx<'_>) {
        match self.task {
            None => return,
            // A program that runs is killed, and what it wrote stays half done.
            Some(Task::CrashRecovery | Task::Rewind | Task::Clone | Task::Bootstrap) => {
                self.abandon(EXEC, ctx);
                self.task = None;
            }
            Some(_) => {}
        }
        self.task_cancelled = true;
    }
    /// `trigger_check_diverged_lsn`.
    pub(super) fn trigger_check_diverged(&mut self) {
        let allowed = self.dynamic.use_pg_rewind || self.config.remove_data_directory_on_diverged_timelines;
        if allowed && self.rewind.state != RewindState::Need {
            self.rewind.state = RewindState::Check;
        }
    }
    pub(super) fn node_to_follow(&self) -> Option<(Arc<str>, Option<Ip>)> {
        follow::node_to_follow(self)
    }
}
