//! A database host's sshd, as far as pgpool's scripts need it: it stops and starts the server, and runs `pg_rewind`, `pg_basebackup`, `pg_ctl promote`
//! on its data directory.
//!
//! Source: the scripts that pgpool-II 4.7 ships (`src/sample/scripts/`: `follow_primary.sh`, `recovery_1st_stage`,
//! `replication_mode_recovery_1st_stage`, `replication_mode_recovery_2nd_stage`, `pgpool_remote_start`), `pg_ctl`: a fast stop, waits of 60 s at
//! most with a look every 100 ms (`PGCTLTIMEOUT`, `WAITS_PER_SEC`). A process of it exists on every host that runs PostgreSQL, in stacks whose
//! pgpool has such a command. A job goes on when the script that wanted it is gone; its own end (the host's power) ends it half done.
//!
//! **Not modelled:** a stage that begins while the target's server runs (it fails; the script would remove the directory under it),
//! the scripts' creation and removal of replication slots (a server keeps the slot of its own configuration, which is created on the new
//! primary), archives.

use super::call::{Ask, Call, Got, SSH};
use super::config::Pgpool;
use super::msg::{Job, Msg as Say};
use super::note::{Note, RemoteStep};
use crate::engine::{Span, SpanRange, Time};
use crate::net::addr::Ip;
use crate::node::process::{Action, ConnId, Input, Pid, Signal, Tcp, Timer};
use crate::proto::postgres::data::{Checkpoint, Conninfo, DbState, Identity, Standby};
use crate::proto::postgres::msg::Statement;
use crate::proto::postgres::rewind::Plan;
use crate::proto::{Cx, Msg};
use std::sync::Arc;

/// `PGCTLTIMEOUT`.
const PG_CTL: Span = Span::secs(60);
/// How often `pg_ctl -w` looks.
const LOOK: Span = Span::ms(100);
/// `libpq` has no limit of its own; `ssh` and `psql` of the scripts have the kernel's. This one only keeps a job from waiting for ever.
const CONNECT: Span = Span::secs(130);
/// The script of native replication's first stage waits so often, a second each time, for the standby to catch up (`MAX_DURATION`).
const CATCH_UP: u32 = 60;

/// What it is told once.
#[derive(Clone, Debug)]
pub struct RemoteSetup {
    /// Its host.
    pub host: Arc<str>,
    /// Its address.
    pub ip: Ip,
    /// The server.
    pub postgres: Pid,
    /// Process time of a login.
    pub ssh_time: SpanRange,
}
impl RemoteSetup {
    /// For a host of a stack with this pgpool.
    pub fn new(host: &str, ip: Ip, postgres: Pid, config: &Pgpool) -> Self {
        RemoteSetup { host: host.into(), ip, postgres, ssh_time: config.ssh_time }
    }
}

/// Where a job is.
#[derive(Clone, Debug)]
enum Step {
    Login,
    /// The other host does it.
    Relayed(Call),
    /// The server is stopped; since then.
    Stopping(Time),
    /// The source says who it is.
    Identify(Call),
    /// `pg_rewind` (with the last common checkpoint) or `pg_basebackup` copies.
    Copying(Arc<Identity>, Option<Checkpoint>),
    /// A base backup has been copied: the WAL up to its end belongs to it.
    Finishing(Call),
    /// The server that the copy came from is asked for the slot.
    Slot(Call),
    /// The server has been started; since then.
    Starting(Time),
    /// `pg_ctl -w start` asks whether it lets sessions in.
    Probing(Call, Time),
    /// The standby catches up; how often it was looked at.
    CatchingUp(u32, Option<Call>),
    /// It is promoted; since then.
    Promoting(Arc<Identity>, Time),
}

/// A job under way.
#[derive(Clone, Debug)]
struct Running {
    conn: ConnId,
    job: Job,
    step: Step,
}

/// The process.
#[derive(Clone, Debug)]
pub struct Remote {
    setup: Arc<RemoteSetup>,
    jobs: Vec<Option<Running>>,
}
/// The timers of a job.
fn timers(slot: usize) -> (Timer, Timer) {
    (Timer(2 * slot as u16), Timer(2 * slot as u16 + 1))
}

impl Remote {
    /// One that has not started.
    pub fn new(setup: Arc<RemoteSetup>) -> Self {
        Remote { setup, jobs: Vec::new() }
    }
    /// It has ended.
    pub fn reset(&mut self) {
        *self = Remote::new(self.setup.clone());
    }
    /// Handles one input.
    pub fn on(&mut self, input: Input<Msg>, ctx: &mut Cx<'_>) {
        match &input {
            Input::Start => ctx.act(Action::Listen(SSH, 128)),
            Input::Signal(Signal::Term | Signal::Int | Signal::Quit) => ctx.act(Action::Exit(0)),
            Input::Tcp(conn, Tcp::Data(Msg::Pgpool(m))) if matches!(**m, Say::Ssh(_)) => {
                if let Say::Ssh(job) = &**m {
                    self.take(*conn, job.clone(), ctx);
                }
            }
            _ => {
                for slot in 0..self.jobs.len() {
                    self.offer(slot, &input, ctx);
                }
                if let Input::Tcp(conn, Tcp::Closed) = input
                    && !self.jobs.iter().flatten().any(|j| j.conn == conn)
                {
                    ctx.act(Action::Close(conn));
                }
            }
        }
    }
    fn take(&mut self, conn: ConnId, job: Job, ctx: &mut Cx<'_>) {
        let running = Running { conn, job, step: Step::Login };
        let slot = self.jobs.iter().position(Option::is_none).unwrap_or_else(|| {
            self.jobs.push(None);
            self.jobs.len() - 1
        });
        self.jobs[slot] = Some(running);
        let wait = super::parent::Parent::draw(self.setup.ssh_time, ctx);
        ctx.set_timer(timers(slot).0, wait);
    }
    /// A job is over.
    fn end(&mut self, slot: usize, ok: bool, ctx: &mut Cx<'_>) {
        let Some(job) = self.jobs.get_mut(slot).and_then(Option::take) else { return };
        ctx.cancel_timer(timers(slot).0);
        ctx.act(Action::TcpSend(job.conn, Msg::Pgpool(Box::new(Say::SshDone(ok)))));
    }
    fn tell(what: RemoteStep, ctx: &mut Cx<'_>) {
        ctx.note(Note::Remote(what).into());
    }
    fn go(&mut self, slot: usize, step: Step, wait: Option<Span>, ctx: &mut Cx<'_>) {
        if let Some(j) = self.jobs.get_mut(slot).and_then(Option::as_mut) {
            j.step = step;
        }
        if let Some(wait) = wait {
            ctx.set_timer(timers(slot).0, wait);
        }
    }
    fn call(&self, slot: usize, ip: Ip, ask: Ask, ctx: &mut Cx<'_>) -> Call {
        Call::new(ip, ask, CONNECT, timers(slot).1, ctx)
    }
    /// An input that may belong to a job.
    fn offer(&mut self, slot: usize, input: &Input<Msg>, ctx: &mut Cx<'_>) {
        let Some(running) = self.jobs.get_mut(slot).and_then(Option::as_mut) else { return };
        let timer = matches!(input, Input::Timer(t) if *t == timers(slot).0);
        let job = running.job.clone();
        let call = match &mut running.step {
            Step::Relayed(c)
            | Step::Identify(c)
            | Step::Finishing(c)
            | Step::Slot(c)
            | Step::Probing(c, _)
            | Step::CatchingUp(_, Some(c)) => c,
            _ if timer => return self.timer(slot, &job, ctx),
            _ => return,
        };
        let Some(got) = call.on(input, ctx) else { return };
        match running.step.clone() {
            Step::Relayed(_) => self.end(slot, got == Got::Job, ctx),
            Step::Identify(_) => match got {
                Got::Identity(source) => self.identified(slot, &job, source, ctx),
                _ => self.fail(slot, RemoteStep::NoSource, ctx),
            },
            Step::Finishing(_) => match got {
                Got::Identity(source) => {
                    ctx.files.pg.base_backup(&source);
                    self.configure(slot, &job, ctx);
                }
                _ => self.fail(slot, RemoteStep::NoSource, ctx),
            },
            Step::Slot(_) => self.configured(slot, &job, ctx),
            Step::Probing(_, since) if got == Got::Ready => self.started(slot, &job, since, ctx),
            Step::Probing(_, since) => self.go(slot, Step::Starting(since), Some(LOOK), ctx),
            Step::CatchingUp(n, _) => {
                let here = self.setup.host.clone();
                let up = |s: &Standby| s.application_name == here && s.sent == s.replay && s.sent.0 > 0;
                let done = matches!(&got, Got::Status(s) if s.standbys.iter().any(up));
                if done || n >= CATCH_UP {
                    Self::tell(RemoteStep::CaughtUp(done), ctx);
                }
                let n = if done { CATCH_UP } else { n };
                self.go(slot, Step::CatchingUp(n, None), Some(Span::secs(1)), ctx);
            }
            _ => {}
        }
    }
    fn fail(&mut self, slot: usize, why: RemoteStep, ctx: &mut Cx<'_>) {
        Self::tell(why, ctx);
        self.end(slot, false, ctx);
    }
    fn timer(&mut self, slot: usize, job: &Job, ctx: &mut Cx<'_>) {
        let Some(step) = self.jobs[slot].as_ref().map(|j| j.step.clone()) else { return };
        match step {
            Step::Login => self.begin(slot, job, ctx),
            Step::Stopping(since) => {
                if ctx.files.pg.postmaster.is_none() {
                    self.identify(slot, job, ctx);
                } else if ctx.now.since(since) >= PG_CTL {
                    self.fail(slot, RemoteStep::NotStopped, ctx);
                } else {
                    self.go(slot, Step::Stopping(since), Some(LOOK), ctx);
                }
            }
            Step::Copying(source, common) => self.copied(slot, job, &source, common, ctx),
            Step::Starting(since) => {
                if ctx.files.pg.postmaster.is_none() || ctx.now.since(since) >= PG_CTL {
                    return self.fail(slot, RemoteStep::NotStarted, ctx);
                }
                let call = self.call(slot, self.setup.ip, Ask::Ready, ctx);
                self.go(slot, Step::Probing(call, since), None, ctx);
            }
            Step::CatchingUp(n, _) if n >= CATCH_UP => self.end(slot, true, ctx),
            Step::CatchingUp(n, _) => {
                let Job::BaseBackup { from, .. } = job else { return };
                let call = self.call(slot, *from, Ask::Sql(Statement::Status), ctx);
                self.go(slot, Step::CatchingUp(n + 1, Some(call)), None, ctx);
            }
            Step::Promoting(source, since) => {
                if ctx.files.pg.control.state == DbState::InProduction {
                    // What the standby has replayed is in its tables; the model keeps those as sums.
                    ctx.files.pg.tables = (*source.tables).clone();
                    Self::tell(RemoteStep::Promoted, ctx);
                    self.end(slot, true, ctx);
                } else if ctx.files.pg.postmaster.is_none() || ctx.now.since(since) >= PG_CTL {
                    self.fail(slot, RemoteStep::NotPromoted, ctx);
                } else {
                    self.go(slot, Step::Promoting(source, since), Some(LOOK), ctx);
                }
            }
            Step::Relayed(_) | Step::Identify(_) | Step::Finishing(_) | Step::Slot(_) | Step::Probing(..) => {
            }
        }
    }
    fn begin(&mut self, slot: usize, job: &Job, ctx: &mut Cx<'_>) {
        let runs = ctx.files.pg.postmaster.is_some();
        match job {
            Job::Test => self.end(slot, true, ctx),
            Job::Relay { to, job } => {
                let call = self.call(slot, *to, Ask::Job((**job).clone()), ctx);
                self.go(slot, Step::Relayed(call), None, ctx);
            }
            Job::Follow { .. } if runs => {
                ctx.act(Action::Signal(self.setup.postgres, Signal::Int));
                self.go(slot, Step::Stopping(ctx.now), Some(LOOK), ctx);
            }
            // `pg_ctl stop` of a server that does not run is an error, and the script ends there.
            Job::Follow { .. } => self.fail(slot, RemoteStep::NotStopped, ctx),
            Job::BaseBackup { .. } if runs => self.fail(slot, RemoteStep::Runs, ctx),
            Job::BaseBackup { .. } | Job::Promote { .. } => self.identify(slot, job, ctx),
            Job::Start if runs => self.end(slot, true, ctx),
            Job::Start => self.start(slot, ctx),
        }
    }
    fn identify(&mut self, slot: usize, job: &Job, ctx: &mut Cx<'_>) {
        let (Job::Follow { primary: ip, .. } | Job::BaseBackup { from: ip, .. } | Job::Promote { from: ip }) =
            job
        else {
            return self.end(slot, false, ctx);
        };
        let call = self.call(slot, *ip, Ask::Identify, ctx);
        self.go(slot, Step::Identify(call), None, ctx);
    }
    fn identified(&mut self, slot: usize, job: &Job, source: Arc<Identity>, ctx: &mut Cx<'_>) {
        match job {
            Job::Follow { backup: false, .. } => match ctx.files.pg.rewind_plan(&source) {
                Ok(Plan::Nothing) => {
                    Self::tell(RemoteStep::NothingToRewind, ctx);
                    self.configure(slot, job, ctx);
                }
                Ok(Plan::Copy { common, bytes, takes, .. }) => {
                    ctx.files.pg.rewind_begins();
                    Self::tell(RemoteStep::Rewinds { bytes, takes }, ctx);
                    self.go(slot, Step::Copying(source, Some(common)), Some(takes), ctx);
                }
                Err(why) => self.fail(slot, RemoteStep::CannotRewind(why), ctx),
            },
            Job::Promote { .. } => {
                ctx.files.pg.promote_signal = true;
                ctx.act(Action::Signal(self.setup.postgres, Signal::Usr1));
                self.go(slot, Step::Promoting(source, ctx.now), Some(LOOK), ctx);
            }
            _ => {
                let takes = ctx.files.pg.base_backup_takes(&source);
                ctx.files.pg.base_backup_begins();
                Self::tell(RemoteStep::Backup { bytes: source.database_size, takes }, ctx);
                self.go(slot, Step::Copying(source, None), Some(takes), ctx);
            }
        }
    }
    fn copied(
        &mut self,
        slot: usize,
        job: &Job,
        source: &Identity,
        common: Option<Checkpoint>,
        ctx: &mut Cx<'_>,
    ) {
        if let Some(common) = common {
            ctx.files.pg.rewind(source, common);
            return self.configure(slot, job, ctx);
        }
        let (Job::Follow { primary: ip, .. } | Job::BaseBackup { from: ip, .. }) = job else { return };
        let call = self.call(slot, *ip, Ask::Identify, ctx);
        self.go(slot, Step::Finishing(call), None, ctx);
    }
    /// `primary_conninfo` and `standby.signal`.
    fn configure(&mut self, slot: usize, job: &Job, ctx: &mut Cx<'_>) {
        let (Job::Follow { primary: ip, .. } | Job::BaseBackup { from: ip, .. }) = job else { return };
        let conf = &mut ctx.files.pg.conf;
        let named = conf.primary_conninfo.as_ref().and_then(|c| c.slot.clone());
        conf.primary_conninfo = Some(Conninfo { ip: *ip, application_name: None, slot: named.clone() });
        conf.standby_signal = true;
        let Some(name) = named else { return self.configured(slot, job, ctx) };
        let call = self.call(slot, *ip, Ask::Sql(Statement::CreateSlot(name)), ctx);
        self.go(slot, Step::Slot(call), None, ctx);
    }
    /// Everything is in place for the server.
    fn configured(&mut self, slot: usize, job: &Job, ctx: &mut Cx<'_>) {
        match job {
            Job::BaseBackup { start: false, .. } => self.end(slot, true, ctx),
            _ => self.start(slot, ctx),
        }
    }
    fn start(&mut self, slot: usize, ctx: &mut Cx<'_>) {
        ctx.act(Action::Spawn(self.setup.postgres));
        self.go(slot, Step::Starting(ctx.now), Some(LOOK), ctx);
    }
    fn started(&mut self, slot: usize, job: &Job, since: Time, ctx: &mut Cx<'_>) {
        Self::tell(RemoteStep::Started { took: ctx.now.since(since) }, ctx);
        if matches!(job, Job::BaseBackup { .. }) {
            self.go(slot, Step::CatchingUp(0, None), Some(Span::ZERO), ctx);
        } else {
            self.end(slot, true, ctx);
        }
    }
}
