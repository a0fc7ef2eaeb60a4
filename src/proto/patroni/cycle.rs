//! The HA loop: start-up, the cycle in its exact order, the handling of a lost DCS, the nap, the clean shutdown.
//!
//! Source: `ha.py` (`_run_cycle`, `_handle_dcs_error`, `handle_long_action_in_progress`, `handle_starting_instance`, `bootstrap`,
//! `post_bootstrap`, `post_recover`, `shutdown`), `__main__.py` (`schedule_next_run`).

use super::callback::Event;
use super::config::{Dynamic, bootstrap_json};
use super::dcs::{self, Key};
use super::demote::Kind;
use super::fetch::{Ask, Said};
use super::flow::{EXEC, Flow, Frame, HA, Op, REST, REST_THREADS, Raised, Value};
use super::follow::RewindState;
use super::note::Note;
use super::process::{Agent, Task};
use super::rest::{self, Body};
use super::server::StopArgs;
use super::state::{Role, State};
use super::{demote, follow, manual, member, race, server, slots, sync};
use crate::engine::Span;
use crate::net::addr::Ip;
use crate::node::process::Action;
use crate::proto::Cx;
use crate::proto::postgres::data::DbState;
use std::sync::Arc;

/// Patroni's sleep between two looks at a DCS that does not answer at start.
const DCS_ACCESS: Span = Span::secs(5);
/// `request_queue_size` of the REST server: one more than so many connections wait.
const REST_BACKLOG: u32 = 5;

/// Pieces.
#[derive(Clone, Debug)]
pub(super) enum At {
    Starting,
    Connect,
    Access,
    FirstView,
    Joining,
    Joined,
    /// The top of the loop.
    Loop,
    Locked,
    /// The end of a cycle.
    Finally,
    DcsError,
    DcsPrimary,
    FailsafeSaid,
    DemotedOffline,
    Touched,
    /// The cycle.
    Load,
    Loaded,
    FailsafeLsn,
    KnownMember,
    Initialized,
    Configured,
    ConfigRead,
    Settled,
    LongRenewed,
    LongLost,
    LongFailover,
    LongTerminated,
    Startup,
    StartupReady,
    StartupRenewed,
    StartupLate,
    StartupManual,
    AfterStartup,
    Bootstrapping,
    BootstrapPrimary,
    BootstrapInitialized,
    BootstrapConfigured,
    BootstrapLeads,
    BootstrapLoaded,
    Recovered,
    RecoveredReleased,
    Data,
    EmptyStopped,
    BootstrapRace,
    SystemId,
    PostgresUp,
    Unlocked,
    After,
    SlotsPrimary,
    Callbacks,
    Return,
    /// Shutdown.
    Shutdown,
    ShutdownStopped,
    ShutdownReleased,
    Exit,
}
impl At {
    /// Whether the piece has an `except` for it.
    pub(super) fn catches(&self, raised: Raised) -> bool {
        match self {
            At::FirstView => raised == Raised::Dcs,
            At::Loaded | At::Finally | At::Touched | At::DemotedOffline => raised != Raised::Exit,
            At::FailsafeLsn | At::Joined => matches!(raised, Raised::Postgres(_)),
            At::Shutdown => raised == Raised::Exit,
            At::ShutdownStopped | At::ShutdownReleased | At::Exit => raised != Raised::Exit,
            _ => false,
        }
    }
}
fn go(at: At) -> Frame {
    Frame::Cycle(at)
}
/// The shutdown lies below everything that the HA thread does.
fn root(at: At) -> Flow {
    Flow::Call(go(at), go(At::Shutdown))
}

impl Agent {
    pub(super) fn cycle(&mut self, at: At, value: Value, ctx: &mut Cx<'_>) -> Flow {
        match at {
            At::Starting => {
                let startup = Self::draw(ctx, self.config.startup_time);
                self.told_timing(ctx);
                Flow::Do(Op::Sleep(startup), go(At::Connect))
            }
            At::Connect => Flow::Do(Op::Dcs(dcs::Op::Connect), go(At::Access)),
            At::Access => Flow::Do(Op::Dcs(dcs::Op::GetCluster), go(At::FirstView)),
            At::FirstView => match value {
                Value::Cluster(cluster) => {
                    if let Some(config) = cluster.config.as_ref().filter(|c| !c.data.is_empty()) {
                        self.apply(Dynamic::from_json(&config.data), ctx);
                    }
                    if !self.init_watchdog(ctx) {
                        return root(At::Exit);
                    }
                    self.role = self.role_of_data_directory(ctx);
                    ctx.act(Action::Listen(super::REST_PORT, REST_BACKLOG));
                    if self.running(ctx) {
                        self.set_state(State::Starting, ctx);
                        return Flow::Call(Frame::Server(server::At::CheckStartup), go(At::Joining));
                    }
                    if self.role == Role::Primary {
                        self.role = Role::Demoted;
                    }
                    self.begin_loop(ctx)
                }
                _ => Flow::Do(Op::Sleep(DCS_ACCESS), go(At::Access)),
            },
            At::Joining if self.state == State::Running => {
                Flow::Call(Frame::Member(member::At::IsPrimary), go(At::Joined))
            }
            At::Joining => self.begin_loop(ctx),
            At::Joined => {
                self.role = if value.yes() { Role::Primary } else { Role::Replica };
                self.info = None;
                self.begin_loop(ctx)
            }

            // ---- `run_cycle` and the nap -------------------------------------------------------------------------------
            At::Loop => {
                if value.yes() {
                    self.next_run = ctx.wall_clock;
                }
                Flow::Do(Op::Lock, go(At::Locked))
            }
            At::Locked => {
                self.cycle_began = ctx.now;
                self.info = None;
                self.info_failed = false;
                Flow::Call(go(At::Load), go(At::Finally))
            }
            At::Finally => match value {
                Value::Error(Raised::Dcs) => Flow::Go(go(At::DcsError)),
                value => {
                    if let Value::Error(Raised::Postgres(_)) = value {
                        self.note(Note::PostgresUnclear, ctx);
                    }
                    if self.told.dcs_lost {
                        self.told.dcs_lost = false;
                        self.note(Note::DcsBack, ctx);
                    }
                    if self.is_leader(ctx) {
                        self.failsafe.last_update = 0;
                    }
                    Flow::Call(Frame::Member(member::At::Touch), go(At::Touched))
                }
            },
            At::Touched => self.nap(ctx),

            // ---- §7: the DCS did not answer ------------------------------------------------------------------------------
            At::DcsError => {
                if !std::mem::replace(&mut self.told.dcs_lost, true) {
                    let retry = self.dynamic.timing.retry_timeout;
                    self.note(Note::DcsLost { retry }, ctx);
                }
                if self.is_paused() || !self.running(ctx) {
                    return self.nap(ctx);
                }
                Flow::Call(Frame::Member(member::At::IsPrimary), go(At::DcsPrimary))
            }
            At::DcsPrimary if !value.yes() => self.nap(ctx),
            At::DcsPrimary => {
                let members = self.failsafe_members();
                match members {
                    Some(members) if self.dynamic.failsafe_mode => {
                        let mut slots = std::collections::BTreeMap::new();
                        if let Some(lsn) = self.info.as_ref().map(|i| member::position(i)) {
                            slots.insert(self.setup.name.clone(), lsn);
                        }
                        let call = rest::Failsafe { name: self.setup.name.clone(), ip: self.setup.ip, slots };
                        Flow::Do(Op::Fetch(Ask::Failsafe(Arc::new(call)), members), go(At::FailsafeSaid))
                    }
                    _ => self.offline(ctx),
                }
            }
            At::FailsafeSaid => {
                let Value::Said(said) = value else { return self.offline(ctx) };
                let no = |s: &&Said| !matches!(&s.answer, Some((200, Some(b))) if matches!(&**b, Body::Accepted(_)));
                if let Some(s) = said.iter().find(no) {
                    let refused = s.answer.is_some();
                    self.note(Note::FailsafeRefused { by: s.name.clone(), refused }, ctx);
                    return self.offline(ctx);
                }
                self.note(Note::FailsafeAccepted { members: said.len() as u32 }, ctx);
                self.set_is_leader(true, ctx);
                self.failsafe.last_update = ctx.wall_clock;
                self.keepalive(ctx);
                self.nap(ctx)
            }
            At::DemotedOffline => self.nap(ctx),

            // ---- the cycle -------------------------------------------------------------------------------------------------
            At::Load => Flow::Call(Frame::Member(member::At::Load), go(At::Loaded)),
            At::Loaded => {
                if let Value::Error(raised) = value {
                    if self.dynamic.failsafe_mode && raised == Raised::Dcs && self.running(ctx) {
                        return Flow::Call(Frame::Member(member::At::Info), go(At::FailsafeLsn));
                    }
                    return Flow::Raise(raised);
                }
                self.update_global_config();
                if self.is_paused() {
                    self.disable_watchdog(ctx);
                    if !self.was_paused {
                        self.note(Note::Paused, ctx);
                    }
                    self.was_paused = true;
                } else {
                    if self.was_paused {
                        self.note(Note::Resumed, ctx);
                        self.rewind.state = RewindState::Initial;
                    }
                    self.was_paused = false;
                }
                let known = self.cluster.as_ref().is_some_and(|c| c.member(self.me()).is_some());
                if known {
                    Flow::Go(go(At::KnownMember))
                } else {
                    Flow::Call(Frame::Member(member::At::Touch), go(At::KnownMember))
                }
            }
            At::FailsafeLsn => {
                if let Value::Info(info) = value {
                    self.last_wal_lsn = Some(member::position(&info));
                }
                self.info = None;
                Flow::Raise(Raised::Dcs)
            }
            At::KnownMember => {
                let valid = self.initialize_key().is_some_and(|i| !i.is_empty());
                if self.has_lock() && !valid && ctx.files.pg.system_id != 0 {
                    let id = ctx.files.pg.system_id.to_string().into();
                    let create_new = self.initialize_key().is_none();
                    return Flow::Do(Op::Dcs(dcs::Op::Initialize(create_new, id)), go(At::Initialized));
                }
                Flow::Go(go(At::Initialized))
            }
            At::Initialized => {
                let config = self.cluster.as_ref().and_then(|c| c.config.as_ref());
                if self.has_lock() && config.is_none_or(|c| c.data.is_empty()) {
                    return Flow::Do(Op::Dcs(self.config_op()), go(At::Configured));
                }
                Flow::Go(go(At::Settled))
            }
            At::Configured => Flow::Call(Frame::Member(member::At::Load), go(At::ConfigRead)),
            At::ConfigRead => Flow::Go(go(At::Settled)),
            At::Settled if self.task.is_some() => {
                if self.has_lock() {
                    Flow::Call(Frame::Member(member::At::UpdateLock(false)), go(At::LongRenewed))
                } else {
                    Flow::Go(go(At::LongLost))
                }
            }
            At::Settled => Flow::Go(go(At::Startup)),

            // ---- §4.1: something is under way ------------------------------------------------------------------------------
            At::LongRenewed if !value.yes() => Flow::Go(go(At::LongLost)),
            At::LongRenewed => {
                if self.task == Some(Task::CrashRecovery)
                    && self
                        .crash_recovery_started
                        .is_some_and(|t| Self::older(t, self.dynamic.primary_start_timeout, ctx))
                {
                    return Flow::Call(
                        Frame::Manual(manual::At::FailoverPossible { lsn: None, exclude: false }),
                        go(At::LongFailover),
                    );
                }
                Flow::done()
            }
            At::LongFailover if value.yes() => {
                self.cancel_task(ctx);
                Flow::Call(demote::to(Kind::Immediate, "pat-why-recovery-long"), go(At::LongTerminated))
            }
            At::LongFailover | At::LongTerminated => Flow::done(),
            At::LongLost => {
                if !self.bootstrapping && !self.is_paused() {
                    if self.task == Some(Task::Promote) && self.response.is_none() {
                        self.response_cancelled = true;
                        return Flow::done();
                    }
                    if self.role == Role::Primary {
                        if matches!(self.task, Some(Task::Restart | Task::StartingPrimary)) {
                            self.cancel_task(ctx);
                        }
                        return Flow::Call(
                            demote::to(Kind::ImmediateNolock, "pat-why-lost-during"),
                            go(At::LongTerminated),
                        );
                    }
                }
                Flow::done()
            }

            // ---- §4.2: PostgreSQL is starting ------------------------------------------------------------------------------
            At::Startup if self.is_starting() && !self.is_paused() => {
                Flow::Call(Frame::Server(server::At::CheckStartup), go(At::StartupReady))
            }
            At::Startup => {
                self.start_timeout = None;
                if self.is_paused() && self.is_starting() {
                    let state = if self.running(ctx) { State::Running } else { State::Stopped };
                    self.set_state(state, ctx);
                }
                Flow::Go(go(At::AfterStartup))
            }
            At::StartupReady if value.yes() || !self.has_lock() => {
                if value.yes() {
                    self.start_timeout = None;
                }
                Flow::Go(go(At::AfterStartup))
            }
            At::StartupReady => {
                Flow::Call(Frame::Member(member::At::UpdateLock(false)), go(At::StartupRenewed))
            }
            At::StartupRenewed if !value.yes() => {
                Flow::Call(demote::to(Kind::ImmediateNolock, "pat-why-lost-starting"), go(At::LongTerminated))
            }
            At::StartupRenewed => {
                let timeout = self.start_timeout.unwrap_or(self.dynamic.primary_start_timeout);
                if self.time_in_state(ctx) >= timeout {
                    return Flow::Call(
                        Frame::Manual(manual::At::FailoverPossible { lsn: None, exclude: false }),
                        go(At::StartupLate),
                    );
                }
                Flow::Call(Frame::Manual(manual::At::FromLeader), go(At::StartupManual))
            }
            At::StartupLate if value.yes() => {
                Flow::Call(demote::to(Kind::Immediate, "pat-why-start-timeout"), go(At::LongTerminated))
            }
            At::StartupLate | At::StartupManual => Flow::done(),
            At::AfterStartup if self.bootstrapping => Flow::Go(go(At::Bootstrapping)),
            At::AfterStartup if self.recovering => {
                self.recovering = false;
                if matches!(self.rewind.state, RewindState::Check | RewindState::Need) || self.running(ctx) {
                    return Flow::Go(go(At::Recovered));
                }
                // `post_recover`: it did not start.
                self.disable_watchdog(ctx);
                self.note(Note::StartFailed, ctx);
                if self.has_lock() {
                    if self.role == Role::Primary {
                        self.role = Role::Demoted;
                        self.call(Event::RoleChange, ctx);
                    }
                    return Flow::Call(
                        Frame::Member(member::At::DeleteLeader(None)),
                        go(At::RecoveredReleased),
                    );
                }
                Flow::done()
            }
            At::AfterStartup => Flow::Go(go(At::Data)),
            At::RecoveredReleased => Flow::done(),
            At::Recovered => {
                self.crash_recovery_started = None;
                if self.rewind.state == RewindState::Success {
                    self.rewind.state = RewindState::Initial;
                }
                Flow::Go(go(At::Data))
            }

            // ---- steps 10 to 13 ----------------------------------------------------------------------------------------------
            At::Data if ctx.files.pg.system_id == 0 => {
                self.role = Role::Uninitialized;
                let args = StopArgs { immediate: true, ..StopArgs::default() };
                Flow::Call(Frame::Server(server::At::Stop(args)), go(At::EmptyStopped))
            }
            At::Data => Flow::Go(go(At::SystemId)),
            At::EmptyStopped => {
                self.disable_watchdog(ctx);
                if self.has_lock() {
                    return Flow::Call(Frame::Member(member::At::Release(None)), go(At::Return));
                }
                if self.is_paused() {
                    return Flow::done();
                }
                if self.is_unlocked() && self.initialize_key().is_none() && self.config.tags.priority() > 0 {
                    let op = dcs::Op::Initialize(true, "".into());
                    return Flow::Do(Op::Dcs(op), go(At::BootstrapRace));
                }
                self.begin_clone(ctx)
            }
            At::BootstrapRace if value.yes() => {
                self.bootstrapping = true;
                self.response = None;
                self.note(Note::Bootstrapping, ctx);
                self.background(Task::Bootstrap, Frame::Server(server::At::Bootstrap));
                Flow::done()
            }
            At::BootstrapRace | At::Return => Flow::done(),
            At::SystemId => {
                let own: Arc<str> = ctx.files.pg.system_id.to_string().into();
                match self.initialize_key().filter(|i| !i.is_empty()) {
                    Some(theirs) if theirs != own => {
                        if !self.is_paused() {
                            self.note(Note::SystemIdDiffers { own, theirs }, ctx);
                            return Flow::Raise(Raised::Exit);
                        }
                        if self.has_lock() {
                            return Flow::Call(Frame::Member(member::At::Release(None)), go(At::Return));
                        }
                        Flow::Go(go(At::PostgresUp))
                    }
                    None if self.is_unlocked() && !self.is_paused() && !self.cb_called => {
                        let create_new = self.initialize_key().is_none();
                        let op = dcs::Op::Initialize(create_new, own);
                        Flow::Do(Op::Dcs(op), go(At::PostgresUp))
                    }
                    _ => Flow::Go(go(At::PostgresUp)),
                }
            }
            At::PostgresUp if !self.running(ctx) => {
                if self.is_paused() {
                    self.set_state(State::Stopped, ctx);
                    if self.has_lock() {
                        return Flow::Call(Frame::Member(member::At::DeleteLeader(None)), go(At::Return));
                    }
                    if self.rewind.state != RewindState::Success && self.rewind.state != RewindState::Need {
                        return Flow::done();
                    }
                }
                if matches!(self.state, State::Running | State::Starting) {
                    self.set_state(State::Crashed, ctx);
                    let role = self.role;
                    self.note(Note::PostgresDead { role }, ctx);
                }
                Flow::Go(Frame::Follow(follow::At::Recover))
            }
            At::PostgresUp => Flow::Go(go(At::Unlocked)),
            At::Unlocked if self.is_unlocked() => Flow::Call(Frame::Race(race::At::Unhealthy), go(At::After)),
            At::Unlocked => Flow::Call(Frame::Race(race::At::Healthy), go(At::After)),
            At::After => {
                let promoting = self.task == Some(Task::Promote);
                if (self.task.is_none() || promoting) && !self.is_starting() && self.running(ctx) {
                    return Flow::Call(Frame::Member(member::At::IsPrimary), go(At::SlotsPrimary));
                }
                Flow::done()
            }
            At::SlotsPrimary => {
                let is_primary = value.yes();
                if !self.cb_called {
                    if self.task != Some(Task::Promote) && !is_primary {
                        self.trigger_check_diverged();
                    }
                    self.call(Event::Start, ctx);
                }
                Flow::Call(Frame::Slots(slots::At::Sync(is_primary)), go(At::Callbacks))
            }
            At::Callbacks => self.scheduled_restart(ctx),

            // ---- §4, step 8: the first primary -------------------------------------------------------------------------------
            At::Bootstrapping => {
                if !self.running(ctx) || self.response == Some(false) {
                    self.note(Note::BootstrapFailed, ctx);
                    return Flow::Raise(Raised::Exit);
                }
                if self.response.is_none() {
                    return Flow::Call(Frame::Member(member::At::IsPrimary), go(At::BootstrapPrimary));
                }
                self.bootstrapping = false;
                if !self.activate_watchdog(ctx) {
                    return Flow::Raise(Raised::Exit);
                }
                let create_new = self.initialize_key().is_none();
                let system_id = ctx.files.pg.system_id.to_string().into();
                let op = dcs::Op::Initialize(create_new, system_id);
                Flow::Do(Op::Dcs(op), go(At::BootstrapInitialized))
            }
            At::BootstrapPrimary => {
                if value.yes() {
                    self.role = Role::Primary;
                    self.background(Task::PostBootstrap, Frame::Server(server::At::PostBootstrap));
                }
                Flow::done()
            }
            At::BootstrapInitialized => Flow::Do(Op::Dcs(self.config_op()), go(At::BootstrapConfigured)),
            At::BootstrapConfigured => Flow::Do(Op::Dcs(dcs::Op::TakeLeader), go(At::BootstrapLeads)),
            At::BootstrapLeads => {
                self.set_is_leader(true, ctx);
                self.note(Note::Elected { why: "pat-elected-bootstrap" }, ctx);
                if self.dynamic.is_synchronous_mode() {
                    let strict = u32::from(self.dynamic.synchronous_mode_strict);
                    self.set_sync_names(&[], strict, ctx);
                }
                self.call(Event::Start, ctx);
                Flow::Call(Frame::Member(member::At::Load), go(At::BootstrapLoaded))
            }
            At::BootstrapLoaded => Flow::done(),

            // ---- §8: clean shutdown ------------------------------------------------------------------------------------------
            At::Shutdown => {
                self.rest_closed = true;
                self.close_rest(ctx);
                self.cancel_task(ctx);
                for t in REST..REST + REST_THREADS {
                    self.abandon(t, ctx);
                }
                self.unlock(HA);
                self.abandon(EXEC, ctx);
                self.task = None;
                if self.is_paused() {
                    self.disable_watchdog(ctx);
                    return Flow::Go(go(At::Exit));
                }
                let args = StopArgs {
                    safepoint: self.guard.running(),
                    release: self.is_leader(ctx).then_some(Kind::Shutdown),
                    timeout: self.primary_stop_timeout(),
                    ..StopArgs::default()
                };
                Flow::Call(
                    Frame::Sync(sync::At::WhileNotSyncStandby(Box::new(Frame::Server(server::At::Stop(
                        args,
                    ))))),
                    go(At::ShutdownStopped),
                )
            }
            At::ShutdownStopped => {
                if !self.running(ctx) {
                    if self.is_leader(ctx) {
                        let lsn = Some(member::bytes(ctx.files.pg.control.checkpoint.lsn));
                        return Flow::Call(
                            Frame::Member(member::At::DeleteLeader(lsn)),
                            go(At::ShutdownReleased),
                        );
                    }
                    return Flow::Call(Frame::Member(member::At::Touch), go(At::Exit));
                }
                Flow::Go(go(At::Exit))
            }
            At::ShutdownReleased => Flow::Call(Frame::Member(member::At::Touch), go(At::Exit)),
            At::Exit => {
                ctx.act(Action::Exit(0));
                Flow::done()
            }
        }
    }

    /// The loop begins.
    fn begin_loop(&mut self, ctx: &Cx<'_>) -> Flow {
        self.next_run = ctx.wall_clock;
        root(At::Loop)
    }
    /// `schedule_next_run`.
    fn nap(&mut self, ctx: &mut Cx<'_>) -> Flow {
        self.unlock(HA);
        self.reload(ctx);
        self.next_run += super::process::ns(self.dynamic.timing.loop_wait);
        let nap = self.next_run - ctx.wall_clock;
        if nap <= 0 {
            self.next_run = ctx.wall_clock;
            return Flow::Do(Op::Sleep(Span::ms(1)), go(At::Loop));
        }
        Flow::Do(Op::Watch(Span(nap as u64)), go(At::Loop))
    }
    /// A changed configuration comes into force after the cycle that saw it.
    fn reload(&mut self, ctx: &mut Cx<'_>) {
        let Some(c) = self.cluster.as_ref().and_then(|c| c.config.as_ref()) else { return };
        if !c.data.is_empty() && self.told.config.1 != Some(c.version) {
            self.told.config.1 = Some(c.version);
            let dynamic = Dynamic::from_json(&c.data);
            self.apply(dynamic, ctx);
        }
    }
    /// `global_config.update`: all but the times hold from the cycle on that reads them.
    fn update_global_config(&mut self) {
        let Some(c) = self.cluster.as_ref().and_then(|c| c.config.as_ref()) else { return };
        if !c.data.is_empty() && self.told.config.0 != Some(c.version) {
            self.told.config.0 = Some(c.version);
            self.dynamic = Dynamic { timing: self.dynamic.timing, ..Dynamic::from_json(&c.data) };
        }
    }
    fn apply(&mut self, dynamic: Dynamic, ctx: &mut Cx<'_>) {
        if dynamic.timing != self.dynamic.timing {
            let t = dynamic.timing;
            self.note(
                Note::Timing { ttl: t.ttl, loop_wait: t.loop_wait, retry_timeout: t.retry_timeout },
                ctx,
            );
        }
        self.dynamic = dynamic;
        self.dcs.configure(super::process::dcs_timing(self.dynamic.timing));
        self.reload_watchdog();
    }
    fn told_timing(&self, ctx: &mut Cx<'_>) {
        let t = self.dynamic.timing;
        let c = &self.config;
        if (t.ttl, t.loop_wait, t.retry_timeout) != (c.ttl, c.loop_wait, c.retry_timeout) {
            self.note(
                Note::Timing { ttl: t.ttl, loop_wait: t.loop_wait, retry_timeout: t.retry_timeout },
                ctx,
            );
        }
    }
    pub(super) fn initialize_key(&self) -> Option<Arc<str>> {
        self.cluster.as_ref()?.initialize.clone()
    }
    fn config_op(&self) -> dcs::Op {
        let text = serde_json::Value::Object(bootstrap_json(&self.config)).to_string();
        dcs::Op::Set(Key::Config, text.into(), None)
    }
    fn role_of_data_directory(&self, ctx: &Cx<'_>) -> Role {
        let pg = &ctx.files.pg;
        if pg.system_id == 0 {
            Role::Uninitialized
        } else if pg.conf.standby_signal {
            Role::Replica
        } else {
            Role::Primary
        }
    }
    fn offline(&mut self, _: &Cx<'_>) -> Flow {
        self.failsafe.last_update = 0;
        Flow::Call(demote::to(Kind::Offline, "pat-why-dcs"), go(At::DemotedOffline))
    }
    /// The other members of `/failsafe`, if the key is good and names this one.
    fn failsafe_members(&self) -> Option<Vec<(Arc<str>, Ip)>> {
        let failsafe = self.dcs.failsafe()?;
        failsafe.get(&self.setup.name)?;
        let others = failsafe.iter().filter(|(n, _)| **n != self.setup.name);
        others.map(|(n, url)| Some((n.clone(), dcs::cluster::ip_of(url)?))).collect()
    }
    /// A data directory for a member that has none: from a `clonefrom` member or the leader.
    fn begin_clone(&mut self, ctx: &mut Cx<'_>) -> Flow {
        if !self.is_unlocked()
            && let Some((name, ip)) = self.clone_member(false, ctx)
        {
            self.note(Note::Cloning { from: name }, ctx);
            self.background(Task::Clone, Frame::Server(server::At::Clone(ip)));
        }
        Flow::done()
    }
    /// `get_clone_member`.
    pub(super) fn clone_member(&self, from_leader: bool, ctx: &mut Cx<'_>) -> Option<(Arc<str>, Ip)> {
        let cluster = self.cluster.as_ref()?;
        let leader = cluster.leader_name()?;
        let good = |m: &&dcs::cluster::Member| {
            m.data.tags.clonefrom
                && &*m.data.state == "running"
                && *m.name != *leader
                && m.name != self.setup.name
        };
        let candidates: Vec<&dcs::cluster::Member> = cluster.members.iter().filter(good).collect();
        if !from_leader && !candidates.is_empty() {
            let m = candidates[ctx.below(candidates.len() as u64) as usize];
            return Some((m.name.clone(), m.data.conn_ip()?));
        }
        Some((leader.into(), self.ip_of(leader)?))
    }
    /// `primary_stop_timeout`, in synchronous mode.
    pub(super) fn primary_stop_timeout(&self) -> Option<Span> {
        let t = self.dynamic.primary_stop_timeout;
        (!t.is_zero() && self.dynamic.is_synchronous_mode()).then_some(t)
    }
    /// `evaluate_scheduled_restart`.
    fn scheduled_restart(&mut self, ctx: &mut Cx<'_>) -> Flow {
        if let Some(r) = self.scheduled_restart.clone()
            && r.schedule.is_some_and(|at| at <= ctx.wall_clock)
            && !self.is_paused()
            && self.task.is_none()
        {
            self.scheduled_restart = None;
            self.begin_restart(&r, ctx);
        }
        Flow::done()
    }
    /// Whether the server says in `pg_controldata` that it was a primary.
    pub(super) fn was_primary(state: DbState) -> bool {
        matches!(
            state,
            DbState::InProduction | DbState::InCrashRecovery | DbState::ShuttingDown | DbState::ShutDown
        )
    }
}
