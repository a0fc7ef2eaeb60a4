//! Online recovery: `pcp_recovery_node`, done by a PCP process.
//!
//! Source: `src/pcp_con/recovery.c`, `process_recovery_request` in `src/pcp_con/pcp_worker.c`, `src/watchdog/watchdog.c` (`START_RECOVERY`); manual,
//! "Online Recovery". The target is a node that is detached and whose server does not run. In **streaming replication** there is one stage:
//! on a session with the primary `pgpool_recovery` runs `recovery_1st_stage_command` on the primary's host, which makes a base backup on the
//! target's; then `pgpool_remote_start` starts it, pgpool connects to it, and attaches it. No client notices before the attach.
//!
//! In **native replication** and snapshot isolation there are two: CHECKPOINT, the first stage while service goes on; then the **door is
//! closed**: nobody is taken from the accept queue any more (clients wait, without an error), the pgpools of a watchdog close theirs, and the
//! clients that are there must go. Nobody makes them but `client_idle_limit_in_recovery`. It is looked at every 3 s, `recovery_timeout`/3 + 1
//! times: 93 s with the default of 90 s, and then the recovery has failed and the door opens. (With a limit set, a counter that will not become
//! zero is taken for wrong, and the recovery goes on **although a session is left**: one that runs a long statement is cut by no limit.)
//! Then CHECKPOINT, the second stage, remote start, attach, which cuts nobody because nobody is there; the door opens.
//!
//! What goes wrong: the target is attached; it is the primary (streaming); the mode has no recovery; another one is under way; the main node
//! cannot be connected to or goes; a script fails (the target's server runs, ssh does not answer); the new server does not let anybody in: 4
//! looks 3 s apart in the database postgres, `recovery_timeout`/3 + 1 more in template1. A PCP process that is killed in the second stage leaves
//! the door closed.
//!
//! **Not modelled:** `statement_timeout` of the main server (the scripts run under it as a statement, and switch it off first).

use super::call::{Ask, Call, Got};
use super::config::{Command, IdleLimit};
use super::msg::{Job, Msg as Say};
use super::note::{Note, RecoveryWhy};
use super::pcp::{PcpProcess, T_CALL, T_RECOVERY};
use super::shared::Door;
use super::{Role, names};
use crate::engine::{Span, Time};
use crate::net::Plane;
use crate::net::addr::{Endpoint, Ip};
use crate::node::process::{Action, ConnId, Input, Tcp, TcpOptions};
use crate::proto::postgres::msg::{Sql, Statement};
use crate::proto::{Cx, Msg};

/// How often it looks whether the clients have gone, and whether the new server lets anybody in.
pub(super) const LOOK: Span = Span::secs(3);
/// So often it tries the database postgres.
const FIRST_TRIES: u32 = 4;
/// The attach is waited for: so many seconds (`FAILBACK_WAIT_MAX_RETRY`).
const ATTACH: Span = Span::secs(5);
/// libpq and ssh have no limit of their own: the kernel's SYN retries end it.
const CONNECT: Span = Span::secs(130);

/// Where a recovery is.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// It connects to the main node.
    Connecting,
    /// CHECKPOINT; `true`: that of the second stage.
    Checkpoint(bool),
    /// A stage's script; `true`: the second.
    Stage(Call, bool),
    /// The other pgpools' clients go.
    Others,
    /// Its own clients go; looks so far.
    Clients(u32),
    /// `pgpool_remote_start`.
    Start(Call),
    /// The new server is connected to; tries so far.
    Checking(u32, Option<Call>),
    /// The parent attaches the node.
    Attaching,
}
/// A recovery under way.
#[derive(Clone, Debug)]
pub(super) struct Recovery {
    node: u8,
    main: u8,
    /// The session with the main node.
    session: ConnId,
    step: Step,
    since: Time,
    closed: Option<Time>,
}

impl PcpProcess {
    /// `pcp_recovery_node`.
    pub(super) fn recover(&mut self, node: u8, ctx: &mut Cx<'_>) {
        match self.may_recover(node, ctx) {
            Ok(main) => {
                ctx.files.pgpool.recovering = Some(node);
                let Some(b) = self.setup.backends.get(usize::from(main)) else { return };
                let to = Endpoint::new(b.ip, b.port);
                let session = ctx.connect(to, Plane::client, TcpOptions::default());
                ctx.set_timer(T_CALL, CONNECT);
                let (n, from) = (names(&self.setup, &[node]), names(&self.setup, &[main]));
                ctx.note(Note::RecoveryBegins { node: n, from }.into());
                let step = Step::Connecting;
                self.recovery = Some(Recovery { node, main, session, step, since: ctx.now, closed: None });
            }
            Err(why) => {
                let node = names(&self.setup, &[node]);
                ctx.note(Note::RecoveryFailed { node, why, took: Span::ZERO }.into());
            }
        }
    }
    /// The node that a recovery copies from.
    fn may_recover(&self, node: u8, ctx: &Cx<'_>) -> Result<u8, RecoveryWhy> {
        let s = &ctx.files.pgpool;
        let streams = self.setup.mode == super::config::Mode::StreamingReplication;
        if usize::from(node) >= s.backends.len() {
            return Err(RecoveryWhy::NoSuchNode);
        }
        if !streams && !self.setup.mode.replicates() {
            return Err(RecoveryWhy::Mode);
        }
        if streams && s.primary == Some(node) {
            return Err(RecoveryWhy::Primary);
        }
        if s.recovering.is_some() {
            return Err(RecoveryWhy::Busy);
        }
        if s.valid(node) {
            return Err(RecoveryWhy::Alive);
        }
        let main = if streams { s.primary } else { s.main() };
        main.ok_or(RecoveryWhy::NoMain)
    }
    fn ip(&self, node: u8) -> Ip {
        self.setup.backends.get(usize::from(node)).map_or(Ip::NONE, |b| b.ip)
    }
    fn step(&mut self, step: Step) {
        if let Some(r) = &mut self.recovery {
            r.step = step;
        }
    }
    /// It is over; the door opens.
    fn recovery_over(&mut self, why: Option<RecoveryWhy>, ctx: &mut Cx<'_>) {
        let Some(r) = self.recovery.take() else { return };
        ctx.act(Action::Close(r.session));
        ctx.cancel_timer(T_RECOVERY);
        ctx.cancel_timer(T_CALL);
        if let Step::Stage(c, _) | Step::Start(c) | Step::Checking(_, Some(c)) = &r.step {
            c.drop(ctx);
        }
        let node = names(&self.setup, &[r.node]);
        let took = ctx.now.since(r.since);
        let note = match why {
            Some(why) => Note::RecoveryFailed { node, why, took },
            None => {
                let closed = r.closed.map(|t| ctx.now.since(t));
                Note::Recovered { node, took, closed }
            }
        };
        ctx.note(note.into());
        ctx.files.pgpool.recovering = None;
        if r.closed.is_some() {
            self.tell_watchdog(false, ctx);
            super::door(&self.setup, Door::Open, ctx);
        }
    }
    fn tell_watchdog(&self, begins: bool, ctx: &mut Cx<'_>) -> bool {
        let pid = self.setup.pid(Role::Watchdog);
        if let Some(pid) = pid {
            ctx.act(Action::Tell(pid, Msg::Pgpool(Box::new(Say::Recovery(begins)))));
        }
        pid.is_some()
    }
    /// An input that may belong to a recovery.
    pub(super) fn recovery_input(&mut self, input: &Input<Msg>, ctx: &mut Cx<'_>) {
        let Some(r) = &mut self.recovery else { return };
        if let Input::Tcp(c, news) = input
            && *c == r.session
        {
            return self.session(news, ctx);
        }
        let step = r.step.clone();
        match (&mut r.step, input) {
            (Step::Connecting | Step::Checkpoint(_), Input::Timer(T_CALL)) => {
                self.recovery_over(Some(RecoveryWhy::NoMain), ctx);
            }
            (Step::Clients(n), Input::Timer(T_RECOVERY)) => {
                let n = *n;
                self.clients(n, ctx);
            }
            (Step::Checking(n, None), Input::Timer(T_RECOVERY)) => {
                let n = *n;
                self.check(n, ctx);
            }
            (Step::Attaching, Input::Timer(T_RECOVERY)) => self.recovery_over(None, ctx),
            (Step::Stage(c, _) | Step::Start(c) | Step::Checking(_, Some(c)), input) => {
                if let Some(got) = c.on(input, ctx) {
                    self.got(&step, &got, ctx);
                }
            }
            _ => {}
        }
    }
    /// News of the session with the main node.
    fn session(&mut self, news: &Tcp<Msg>, ctx: &mut Cx<'_>) {
        let Some(r) = &self.recovery else { return };
        let session = r.session;
        match news {
            Tcp::Connected => {
                ctx.act(Action::TcpSend(session, Msg::Sql(Sql::Startup { superuser: true })));
            }
            Tcp::Data(Msg::Sql(Sql::Ready(..))) => {
                ctx.cancel_timer(T_CALL);
                if self.setup.mode.replicates() {
                    self.checkpoint(false, ctx);
                } else {
                    self.stage(false, ctx);
                }
            }
            Tcp::Data(Msg::Sql(Sql::Done(..))) => match r.step {
                Step::Checkpoint(second) => self.stage(second, ctx),
                _ => {}
            },
            Tcp::Accepted { .. } => {}
            Tcp::Data(Msg::Sql(Sql::Fatal(_) | Sql::Error(..)))
            | Tcp::Closed
            | Tcp::Reset
            | Tcp::TimedOut
            | Tcp::Unreachable => {
                let begun = !matches!(r.step, Step::Connecting);
                let why = if begun { RecoveryWhy::MainLost } else { RecoveryWhy::NoMain };
                self.recovery_over(Some(why), ctx);
            }
            Tcp::Data(_) => {}
        }
    }
    fn checkpoint(&mut self, second: bool, ctx: &mut Cx<'_>) {
        let Some(r) = &self.recovery else { return };
        ctx.act(Action::TcpSend(r.session, Msg::Sql(Sql::Query(0, Statement::Checkpoint))));
        self.step(Step::Checkpoint(second));
    }
    /// The script of a stage, if there is one.
    fn stage(&mut self, second: bool, ctx: &mut Cx<'_>) {
        let Some(r) = &self.recovery else { return };
        let (node, from) = (r.node, self.ip(r.main));
        let c = &self.setup.config;
        let command = if second { c.recovery_2nd_stage_command } else { c.recovery_1st_stage_command };
        let job = match command {
            Some(Command::BaseBackup) => {
                Job::BaseBackup { from, start: self.setup.mode.replicates() && !second }
            }
            Some(Command::CopyWal) => Job::Promote { from },
            _ => return self.staged(second, ctx),
        };
        ctx.note(Note::RecoveryStage { node: names(&self.setup, &[node]), second }.into());
        let job = Job::Relay { to: self.ip(node), job: Box::new(job) };
        let call = Call::new(from, Ask::Job(job), CONNECT, T_CALL, ctx);
        self.step(Step::Stage(call, second));
    }
    fn staged(&mut self, second: bool, ctx: &mut Cx<'_>) {
        if !second && self.setup.mode.replicates() {
            return self.close(ctx);
        }
        let Some(r) = &self.recovery else { return };
        let job = Job::Relay { to: self.ip(r.node), job: Box::new(Job::Start) };
        let call = Call::new(self.ip(r.main), Ask::Job(job), CONNECT, T_CALL, ctx);
        self.step(Step::Start(call));
    }
    /// The second stage begins.
    fn close(&mut self, ctx: &mut Cx<'_>) {
        if let Some(r) = &mut self.recovery {
            r.closed = Some(ctx.now);
        }
        super::door(&self.setup, Door::Closed, ctx);
        let clients = ctx.files.pgpool.connected;
        ctx.note(Note::DoorClosed { clients }.into());
        if self.tell_watchdog(true, ctx) {
            self.step(Step::Others);
        } else {
            self.clients(0, ctx);
        }
    }
    /// The watchdog knows what became of the other pgpools' clients.
    pub(super) fn others_gone(&mut self, gone: bool, ctx: &mut Cx<'_>) {
        if !matches!(self.recovery, Some(Recovery { step: Step::Others, .. })) {
            return;
        }
        if gone {
            self.clients(0, ctx);
        } else {
            self.recovery_over(Some(RecoveryWhy::OtherClients), ctx);
        }
    }
    /// `wait_connection_closed`.
    fn clients(&mut self, looks: u32, ctx: &mut Cx<'_>) {
        match super::clients_gone(&self.setup, looks, ctx) {
            Some(true) => {
                let since = self.recovery.as_ref().and_then(|r| r.closed).unwrap_or(ctx.now);
                ctx.note(Note::ClientsGone { took: ctx.now.since(since) }.into());
                self.checkpoint(true, ctx);
            }
            Some(false) => {
                let clients = ctx.files.pgpool.connected;
                self.recovery_over(Some(RecoveryWhy::Clients(clients)), ctx);
            }
            None => {
                self.step(Step::Clients(looks + 1));
                ctx.set_timer(T_RECOVERY, LOOK);
            }
        }
    }
    fn got(&mut self, step: &Step, got: &Got, ctx: &mut Cx<'_>) {
        match (step, got) {
            (Step::Stage(_, second), Got::Job) => self.staged(*second, ctx),
            (Step::Stage(_, second), _) => {
                self.step(Step::Connecting);
                self.recovery_over(Some(RecoveryWhy::Stage(*second)), ctx);
            }
            (Step::Start(_), Got::Job) => self.check(0, ctx),
            (Step::Start(_), _) => {
                self.step(Step::Connecting);
                self.recovery_over(Some(RecoveryWhy::Start), ctx);
            }
            (Step::Checking(..), Got::Ready) => self.attach(ctx),
            (Step::Checking(n, _), _) => {
                self.step(Step::Checking(n + 1, None));
                ctx.set_timer(T_RECOVERY, LOOK);
            }
            _ => {}
        }
    }
    /// `check_postmaster_started`.
    fn check(&mut self, tries: u32, ctx: &mut Cx<'_>) {
        let Some(r) = &self.recovery else { return };
        if tries >= FIRST_TRIES + self.setup.config.recovery_looks() {
            self.step(Step::Connecting);
            return self.recovery_over(Some(RecoveryWhy::NotUp), ctx);
        }
        let call = Call::new(self.ip(r.node), Ask::Ready, CONNECT, T_CALL, ctx);
        self.step(Step::Checking(tries, Some(call)));
    }
    fn attach(&mut self, ctx: &mut Cx<'_>) {
        let Some(r) = &self.recovery else { return };
        let node = r.node;
        self.step(Step::Attaching);
        super::attach(&self.setup, node, ctx);
        ctx.set_timer(T_RECOVERY, ATTACH);
    }
    /// The parent has finished a change.
    pub(super) fn change_over(&mut self, ctx: &mut Cx<'_>) {
        if matches!(self.recovery, Some(Recovery { step: Step::Attaching, .. })) {
            self.recovery_over(None, ctx);
        }
    }
}

/// Whether a limit makes a counter that will not become zero unbelievable (`ensure_conn_counter_validity`).
pub(super) fn counter_is_wrong(limit: IdleLimit, timeout: Span) -> bool {
    match limit {
        IdleLimit::Off => false,
        IdleLimit::Now => true,
        IdleLimit::After(limit) => limit <= timeout,
    }
}
