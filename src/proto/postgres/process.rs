//! The server as a process: the postmaster with all that it forks.
//!
//! Sources: PostgreSQL 15, `postmaster.c`, `xlog.c`; documentation "Shutting Down the Server". Its phases: it is launched; it recovers (and
//! answers 57P03); it is a standby, or a primary; it may be promoted; it stops. **Not modelled:** crashes of a single backend, old
//! backends that outlive a killed postmaster.

use super::PORT;
use super::checkpoint::Checkpointer;
use super::config::{Postgres, span_of};
use super::data::{CHECKPOINT_RECORD, Checkpoint, DataDir, DbState, END_OF_RECOVERY_RECORD, SyncNames};
use super::msg::{Lsn, Sql, SqlState, Statement};
use super::note::{Note, Opened, StopMode};
use super::receiver::Receiver;
use super::replay::Replay;
use super::sender::Sender;
use super::session::Clients;
use super::sql::Catalog;
use super::sync::Waits;
use super::transact::Transactions;
use super::wal::Writer;
use crate::engine::{Span, SpanRange, Time};
use crate::node::disk::End;
use crate::node::process::{Action, ConnId, Input, Signal, Tcp, Timer};
use crate::proto::{Cx, Msg};
use std::sync::Arc;

/// What a server is told once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Setup {
    /// Its configuration.
    pub config: Postgres,
    /// Its host's name, which is its `application_name` as a standby.
    pub name: Arc<str>,
    /// Its tables and functions.
    pub catalog: Arc<Catalog>,
}

/// What the server is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// It does not run.
    Off,
    /// It has been started; its port is closed.
    Launching,
    /// It replays WAL before it lets anybody in (`true`: as a standby).
    Recovering(bool),
    /// It is a standby; `true`: it has replayed all that it has and asks its upstream for more.
    Standby(bool),
    /// It is being promoted and replays what it has received.
    PromotingReplay,
    /// It is being promoted and begins a timeline.
    PromotingSwitch,
    /// The record that ends a recovery is on its way to the disk.
    Opening,
    /// It is a primary.
    Primary,
}

/// A stop on its way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Stop {
    pub(super) mode: StopMode,
    pub(super) step: Step,
}
/// How far a stop has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Step {
    /// It waits for clients (smart), or for commits that are being flushed.
    Clients,
    /// Its processes end.
    Ending,
    /// It writes the shutdown checkpoint.
    Checkpoint,
    /// The checkpoint's record is on its way to the disk.
    Record(Lsn),
    /// Walsenders bring standbys up to date.
    Senders,
    /// The postmaster ends.
    Leaving,
}

pub(super) const T_PHASE: Timer = Timer(0);
pub(super) const T_FRESH: Timer = Timer(1);
pub(super) const T_WRITER: Timer = Timer(2);
pub(super) const T_BACKGROUND: Timer = Timer(3);
pub(super) const T_CHECKPOINT: Timer = Timer(4);
pub(super) const T_SENDERS: Timer = Timer(5);
pub(super) const T_PACE: Timer = Timer(6);
pub(super) const T_RECEIVER: Timer = Timer(7);
pub(super) const T_REPLAY: Timer = Timer(8);
pub(super) const T_STATUS: Timer = Timer(9);
pub(super) const T_CPU: Timer = Timer(10);

/// A server.
#[derive(Clone, Debug)]
pub struct Postmaster {
    pub(super) setup: Arc<Setup>,
    pub(super) phase: Phase,
    pub(super) stop: Option<Stop>,
    pub(super) names: SyncNames,
    pub(super) clients: Clients,
    pub(super) wal: Writer,
    pub(super) senders: Vec<Sender>,
    pub(super) waits: Waits,
    pub(super) receiver: Receiver,
    pub(super) replay: Replay,
    pub(super) checkpointer: Checkpointer,
    pub(super) transactions: Transactions,
    /// What opens the server when the record is safe.
    opening: Option<(Lsn, Opened)>,
    /// When it was started.
    since: Time,
    next_tag: u16,
}

impl Postmaster {
    /// A server with this setup.
    pub fn new(setup: Arc<Setup>) -> Self {
        Postmaster {
            setup,
            phase: Phase::Off,
            stop: None,
            names: SyncNames::Empty,
            clients: Clients::default(),
            wal: Writer::default(),
            senders: Vec::new(),
            waits: Waits::default(),
            receiver: Receiver::default(),
            replay: Replay::default(),
            checkpointer: Checkpointer::default(),
            transactions: Transactions::default(),
            opening: None,
            since: Time::ZERO,
            next_tag: 0,
        }
    }
    /// What it is doing.
    pub fn phase(&self) -> Phase {
        self.phase
    }
    /// Whether it takes writes.
    pub fn writable(&self) -> bool {
        self.phase == Phase::Primary && self.stop.is_none_or(|s| s.mode == StopMode::Smart)
    }
    /// How often its walreceiver has tried to reach an upstream since the start.
    pub fn attempts(&self) -> u32 {
        self.receiver.attempts
    }
    /// Its configuration.
    pub fn config(&self) -> &Postgres {
        &self.setup.config
    }
    /// What an end of this kind leaves of it and of its data directory.
    pub fn reset(&mut self, end: End, data: &mut DataDir) {
        data.ended(end, self.wal.insert);
        let survives = data.end;
        let handed_over = self.wal.commits.iter().filter(|c| c.lsn <= survives);
        data.unconfirmed.extend(handed_over.map(|c| (c.write, c.lsn)));
        *self = Postmaster::new(self.setup.clone());
    }

    pub(super) fn tag(&mut self) -> u16 {
        self.next_tag = self.next_tag.wrapping_add(1);
        self.next_tag
    }
    pub(super) fn draw(range: SpanRange, ctx: &mut Cx<'_>) -> Span {
        Span(range.min.0 + ctx.below(range.max.0 - range.min.0 + 1))
    }
    pub(super) fn tell(ctx: &mut Cx<'_>, note: Note) {
        ctx.note(crate::proto::Note::Postgres(note));
    }
    /// How far WAL is flushed here.
    pub(super) fn flushed(&self, ctx: &Cx<'_>) -> Lsn {
        if self.phase == Phase::Primary { self.wal.flush } else { ctx.files.pg.flushed }
    }

    /// Handles one input.
    pub fn on(&mut self, input: Input<Msg>, ctx: &mut Cx<'_>) {
        match input {
            Input::Start => self.start(ctx),
            Input::Timer(T_PHASE) => self.phase_timer(ctx),
            Input::Timer(T_FRESH) => self.forked(ctx),
            Input::Timer(T_WRITER) => self.wal_writer(ctx),
            Input::Timer(T_BACKGROUND) => self.background(ctx),
            Input::Timer(T_CHECKPOINT) => self.checkpoint_timer(ctx),
            Input::Timer(T_SENDERS) => self.sender_timer(ctx),
            Input::Timer(T_PACE) => self.paced(ctx),
            Input::Timer(T_RECEIVER) => self.receiver_timer(ctx),
            Input::Timer(T_REPLAY) => self.replay_timer(ctx),
            Input::Timer(T_STATUS) => self.first_status(ctx),
            Input::Timer(T_CPU) => self.worked(ctx),
            Input::Synced { tag, ok } => self.synced(tag, ok, ctx),
            Input::Tcp(conn, news) => {
                if self.receiver.conn() == Some(conn) {
                    self.upstream(conn, news, ctx);
                } else {
                    self.downstream(conn, news, ctx);
                }
            }
            Input::Signal(Signal::Term) => self.stop(StopMode::Smart, ctx),
            Input::Signal(Signal::Int) => self.stop(StopMode::Fast, ctx),
            Input::Signal(Signal::Quit) => self.stop(StopMode::Immediate, ctx),
            Input::Signal(Signal::Hup) => self.reload(ctx),
            Input::Signal(Signal::Usr1) => self.promote(ctx),
            Input::Call(Msg::Sql(Sql::Query(_, Statement::Promote))) => {
                ctx.files.pg.promote_signal = true;
                self.promote(ctx);
            }
            _ => {}
        }
    }
    fn downstream(&mut self, conn: ConnId, news: Tcp<Msg>, ctx: &mut Cx<'_>) {
        match news {
            Tcp::Data(Msg::Sql(sql)) => self.client_says(conn, sql, ctx),
            Tcp::Data(Msg::WalStatus(at)) => self.standby_is(conn, at, ctx),
            Tcp::Data(Msg::Wal(wal)) => self.standby_says(conn, *wal, ctx),
            Tcp::Closed | Tcp::Reset | Tcp::TimedOut => {
                if news == Tcp::Closed {
                    ctx.act(Action::Close(conn));
                }
                self.client_gone(conn, ctx);
                self.standby_gone(conn, ctx);
            }
            _ => {}
        }
    }
    fn synced(&mut self, tag: u16, ok: bool, ctx: &mut Cx<'_>) {
        if self.wal.flushing.is_some_and(|f| f.0 == tag) {
            self.wal_synced(ok, ctx);
        } else if self.receiver.syncing.is_some_and(|f| f.0 == tag) {
            self.received_synced(ok, ctx);
        }
    }

    // ---- start -----------------------------------------------------------------------------------------------------

    fn start(&mut self, ctx: &mut Cx<'_>) {
        ctx.files.pg.postmaster = Some(ctx.me);
        ctx.files.pg.host = ctx.host.0;
        self.since = ctx.now;
        self.phase = Phase::Launching;
        self.names = ctx.files.pg.conf.synchronous_standby_names.clone();
        let wait = Self::draw(self.setup.config.startup_time, ctx);
        ctx.set_timer(T_PHASE, wait);
    }
    fn fails_to_start(why: &'static str, ctx: &mut Cx<'_>) {
        Self::tell(ctx, Note::CannotStart { why });
        ctx.act(Action::Exit(1));
    }
    fn launched(&mut self, ctx: &mut Cx<'_>) {
        let data = &mut ctx.files.pg;
        if data.system_id == 0 {
            return Self::fails_to_start("pg-empty", ctx);
        }
        if data.broken {
            return Self::fails_to_start("pg-broken", ctx);
        }
        let config = &self.setup.config;
        if config.wal_disk.is_some_and(|room| data.wal_bytes() >= room.0) && !data.clean() {
            return Self::fails_to_start("pg-no-room", ctx);
        }
        let standby = data.conf.standby_signal;
        if standby && config.hot_standby && data.control.max_connections > config.max_connections {
            return Self::fails_to_start("pg-max-connections", ctx);
        }
        // A standby's directory without `standby.signal` becomes a primary's, on the same timeline: nothing keeps an operator from it.
        let crashed = match data.control.state {
            DbState::ShutDown => false,
            DbState::ShutDownInRecovery => !standby,
            _ => true,
        };
        let was_primary = matches!(
            data.control.state,
            DbState::InProduction | DbState::InCrashRecovery | DbState::ShuttingDown
        );
        // After a crash everything is flushed before anything else.
        data.flushed = data.end;
        let (redo, end) = (data.control.checkpoint.redo, data.end);
        let commits = std::mem::take(&mut data.unconfirmed);
        for (write, lsn) in commits {
            let place = ctx.files.pg.control.history.place(lsn);
            Self::tell(ctx, Note::Committed { write, place });
        }
        ctx.act(Action::Listen(PORT, self.backlog()));
        let config = &self.setup.config;
        let consistent = if was_primary { end } else { ctx.files.pg.control.min_recovery.min(end) };
        if standby {
            let control = &mut ctx.files.pg.control;
            control.state = DbState::InArchiveRecovery;
            let least = if was_primary { end } else { control.checkpoint.redo };
            control.min_recovery = control.min_recovery.max(least);
        } else if crashed {
            ctx.files.pg.control.state = DbState::InCrashRecovery;
        }
        let from = if crashed || standby { redo } else { end };
        let until = if standby { consistent.max(from) } else { end };
        let took = span_of(until.since(from), config.recovery_rate.0);
        self.phase = Phase::Recovering(standby);
        self.replay = Replay::new(until, end, config.replay_rate.0);
        if crashed && !standby || took > Span::ms(1) {
            Self::tell(ctx, Note::Recovery { bytes: until.since(from), takes: took, standby });
        }
        if !standby && crashed {
            // The checkpoint that ends the recovery.
            let more = self.checkpoint_takes(end.since(from), ctx);
            ctx.set_timer(T_PHASE, took + more);
        } else if took.is_zero() {
            self.recovered(ctx);
        } else {
            ctx.set_timer(T_PHASE, took);
        }
    }
    fn recovered(&mut self, ctx: &mut Cx<'_>) {
        if self.phase == Phase::Recovering(true) {
            self.become_standby(ctx);
        } else if ctx.files.pg.clean() {
            ctx.files.pg.go_on_writing();
            self.begin_writing(ctx);
            let timeline = ctx.files.pg.control.history.timeline();
            self.become_primary(Opened::Started { timeline }, ctx);
        } else {
            ctx.files.pg.go_on_writing();
            let timeline = ctx.files.pg.control.history.timeline();
            self.begin_writing(ctx);
            let lsn = self.wal.insert;
            let record = self.append(CHECKPOINT_RECORD, ctx);
            self.checkpointer.record = Some(Checkpoint { lsn, end: record, redo: lsn, timeline });
            let opened = Opened::Recovered { timeline, took: ctx.now.since(self.since) };
            self.open_after(record, opened, ctx);
        }
    }
    /// Becomes a primary as soon as the record is safe.
    fn open_after(&mut self, record: Lsn, opened: Opened, ctx: &mut Cx<'_>) {
        self.phase = Phase::Opening;
        self.opening = Some((record, opened));
        self.request_flush(record, ctx);
    }
    /// The WAL is flushed: whether that opens the server, or ends its stop.
    pub(super) fn flushed_up_to(&mut self, lsn: Lsn, ctx: &mut Cx<'_>) {
        if let Some((record, opened)) = self.opening
            && lsn >= record
        {
            self.opening = None;
            self.become_primary(opened, ctx);
        }
        if let Some(Stop { step: Step::Record(record), .. }) = self.stop
            && lsn >= record
        {
            self.shut_down(record, ctx);
        }
    }

    fn become_standby(&mut self, ctx: &mut Cx<'_>) {
        self.phase = Phase::Standby(false);
        self.replay.begin(ctx.now);
        self.replay.delay =
            ctx.files.pg.conf.recovery_min_apply_delay.unwrap_or(self.setup.config.recovery_min_apply_delay);
        let lsn = self.replay.at(ctx.now);
        let timeline = ctx.files.pg.control.timeline;
        Self::tell(ctx, Note::HotStandby { timeline, lsn });
        // Everything that is here is replayed before the upstream is asked.
        match self.replay.left(ctx.now) {
            Span::ZERO => self.local_wal_done(ctx),
            left => ctx.set_timer(T_PHASE, left),
        }
    }
    fn local_wal_done(&mut self, ctx: &mut Cx<'_>) {
        self.phase = Phase::Standby(true);
        self.checkpointer.started = ctx.now;
        if ctx.files.pg.promote_signal {
            return self.promote(ctx);
        }
        self.receive(ctx);
    }
    fn become_primary(&mut self, opened: Opened, ctx: &mut Cx<'_>) {
        self.phase = Phase::Primary;
        self.names = ctx.files.pg.conf.synchronous_standby_names.clone();
        let max_connections = self.setup.config.max_connections;
        let data = &mut ctx.files.pg;
        data.control.state = DbState::InProduction;
        data.control.timeline = data.control.history.timeline();
        data.control.min_recovery = Lsn(0);
        data.control.max_connections = max_connections;
        data.newest_timeline = data.newest_timeline.max(data.control.timeline);
        let (timeline, branch) = (data.control.timeline, data.control.history.branch());
        Self::tell(ctx, Note::Primary { timeline, branch, lsn: self.wal.flush, opened });
        self.background_starts(ctx);
        self.checkpoints_start(matches!(opened, Opened::Promoted { .. }), ctx);
        for i in (0..self.senders.len()).rev() {
            self.pump(i, ctx);
        }
    }

    // ---- promotion -------------------------------------------------------------------------------------------------

    fn promote(&mut self, ctx: &mut Cx<'_>) {
        if !ctx.files.pg.promote_signal || self.stop.is_some() {
            return;
        }
        match self.phase {
            Phase::Standby(true) => {}
            // It is looked at when all local WAL has been replayed.
            Phase::Launching | Phase::Recovering(true) | Phase::Standby(false) => return,
            _ => {
                ctx.files.pg.promote_signal = false;
                return;
            }
        }
        self.end_receiver(ctx);
        self.phase = Phase::PromotingReplay;
        let end = ctx.files.pg.end;
        let now = ctx.now;
        self.replay.hurry(now, end);
        let left = self.replay.left(now);
        Self::tell(ctx, Note::Promoting { backlog: end.since(self.replay.at(now)), takes: left });
        ctx.cancel_timer(T_REPLAY);
        ctx.set_timer(T_PHASE, left);
    }
    fn switch_timeline(&mut self, ctx: &mut Cx<'_>) {
        let from = ctx.files.pg.control.history.timeline();
        let backlog_end = ctx.files.pg.end;
        let data = &mut ctx.files.pg;
        data.newest_timeline = data.newest_timeline.max(from) + 1;
        let timeline = data.newest_timeline;
        data.branch_off(timeline);
        data.promote_signal = false;
        data.conf.standby_signal = false;
        // Who followed this standby is told that the timeline is over.
        for i in (0..self.senders.len()).rev() {
            self.dismiss(i, super::msg::Wal::Done(true), ctx);
        }
        self.begin_writing(ctx);
        let record = self.append(END_OF_RECOVERY_RECORD, ctx);
        let opened = Opened::Promoted { from, switch: backlog_end };
        self.open_after(record, opened, ctx);
    }

    fn phase_timer(&mut self, ctx: &mut Cx<'_>) {
        if self.stop.is_some() {
            return self.stop_timer(ctx);
        }
        match self.phase {
            Phase::Launching => self.launched(ctx),
            Phase::Recovering(_) => self.recovered(ctx),
            Phase::Standby(false) => self.local_wal_done(ctx),
            Phase::PromotingReplay => {
                self.phase = Phase::PromotingSwitch;
                let takes = Self::draw(self.setup.config.promote_time, ctx);
                ctx.set_timer(T_PHASE, takes);
            }
            Phase::PromotingSwitch => self.switch_timeline(ctx),
            Phase::Off | Phase::Standby(true) | Phase::Opening | Phase::Primary => {}
        }
    }

    // ---- SIGHUP ----------------------------------------------------------------------------------------------------

    fn reload(&mut self, ctx: &mut Cx<'_>) {
        if matches!(self.phase, Phase::Off | Phase::Launching) {
            return;
        }
        if self.names != ctx.files.pg.conf.synchronous_standby_names {
            self.names = ctx.files.pg.conf.synchronous_standby_names.clone();
            self.names_changed(ctx);
        }
        let delay =
            ctx.files.pg.conf.recovery_min_apply_delay.unwrap_or(self.setup.config.recovery_min_apply_delay);
        if matches!(self.phase, Phase::Standby(_)) && self.replay.delay != delay {
            self.replay.delay = delay;
            ctx.set_timer(T_REPLAY, Span::ZERO);
        }
        if self.phase == Phase::Standby(true) && self.stop.is_none() {
            self.receive(ctx);
        }
    }

    // ---- stop ------------------------------------------------------------------------------------------------------

    fn stop(&mut self, mode: StopMode, ctx: &mut Cx<'_>) {
        // A stop can only become harder.
        if self.stop.is_some_and(|s| s.step == Step::Leaving || s.mode >= mode) {
            return;
        }
        let before = self.stop;
        let writable = self.writable();
        if mode == StopMode::Immediate || !matches!(self.phase, Phase::Standby(_) | Phase::Primary) {
            let promoting = matches!(self.phase, Phase::PromotingReplay | Phase::PromotingSwitch);
            if mode == StopMode::Immediate || !promoting {
                return self.leave_at_once(mode, SqlState::AdminShutdown, ctx);
            }
            // The promotion is given up: it has left no trace yet.
            ctx.files.pg.promote_signal = false;
            self.phase = Phase::Standby(true);
        }
        if let Some(Stop { step, .. }) = before
            && step != Step::Clients
        {
            // A smart stop that has no clients left goes on as it is.
            self.stop = Some(Stop { mode, step });
            return;
        }
        self.stop = Some(Stop { mode, step: Step::Clients });
        ctx.cancel_timer(T_PHASE);
        if mode == StopMode::Fast {
            if writable {
                Self::tell(ctx, Note::Demoted { mode });
            }
            self.turn_out(ctx);
        }
        self.maybe_end(ctx);
    }
    /// The processes are told to end at once; the control file keeps saying what it says.
    fn leave_at_once(&mut self, mode: StopMode, code: SqlState, ctx: &mut Cx<'_>) {
        if self.writable() {
            Self::tell(ctx, Note::Demoted { mode });
        }
        self.stop = Some(Stop { mode, step: Step::Leaving });
        self.cut_all(code, ctx);
        let wait = Self::draw(self.setup.config.stop_time, ctx);
        ctx.set_timer(T_PHASE, wait);
    }
    /// The server cannot go on.
    pub(super) fn panic(&mut self, why: &'static str, ctx: &mut Cx<'_>) {
        if self.stop.is_some_and(|s| s.step == Step::Leaving) {
            return;
        }
        Self::tell(ctx, Note::Panic { why });
        self.leave_at_once(StopMode::Immediate, SqlState::CrashShutdown, ctx);
    }
    /// Goes on with a stop when the last client is gone.
    pub(super) fn maybe_end(&mut self, ctx: &mut Cx<'_>) {
        let Some(Stop { mode, step: Step::Clients }) = self.stop else { return };
        if !self.clients.sessions.is_empty() || !self.clients.fresh.is_empty() {
            return;
        }
        if mode == StopMode::Smart && self.phase == Phase::Primary {
            Self::tell(ctx, Note::Demoted { mode });
        }
        self.stop = Some(Stop { mode, step: Step::Ending });
        if self.phase == Phase::Primary {
            ctx.files.pg.control.state = DbState::ShuttingDown;
        } else {
            self.end_receiver(ctx);
        }
        ctx.cancel_timer(T_BACKGROUND);
        ctx.cancel_timer(T_CHECKPOINT);
        let wait = Self::draw(self.setup.config.stop_time, ctx);
        ctx.set_timer(T_PHASE, wait);
    }
    fn stop_timer(&mut self, ctx: &mut Cx<'_>) {
        let Some(Stop { mode, step }) = self.stop else { return };
        match step {
            Step::Ending => {
                let since = self.flushed(ctx).since(ctx.files.pg.control.checkpoint.redo);
                let takes = self.checkpoint_takes(since, ctx);
                self.stop = Some(Stop { mode, step: Step::Checkpoint });
                ctx.set_timer(T_PHASE, takes);
            }
            Step::Checkpoint if self.phase == Phase::Primary => {
                let record = self.append(CHECKPOINT_RECORD, ctx);
                self.stop = Some(Stop { mode, step: Step::Record(record) });
                self.checkpointer.record = None;
                self.request_flush(record, ctx);
            }
            Step::Checkpoint => {
                let replayed = self.replay.at(ctx.now);
                self.restartpoint(ctx);
                let data = &mut ctx.files.pg;
                data.control.state = DbState::ShutDownInRecovery;
                data.control.min_recovery = data.control.min_recovery.max(replayed);
                data.flushed = data.end;
                self.wait_for_senders(mode, ctx);
            }
            Step::Leaving => {
                let clean = ctx.files.pg.clean();
                Self::tell(ctx, Note::Stopped { clean });
                ctx.act(Action::Exit(u8::from(!clean)));
            }
            Step::Clients | Step::Record(_) | Step::Senders => {}
        }
    }
    /// The shutdown checkpoint is safe.
    fn shut_down(&mut self, record: Lsn, ctx: &mut Cx<'_>) {
        let mode = self.stop.map_or(StopMode::Fast, |s| s.mode);
        let lsn = Lsn(record.0 - CHECKPOINT_RECORD);
        let data = &mut ctx.files.pg;
        let timeline = data.control.history.timeline();
        data.control.checkpoint = Checkpoint { lsn, end: record, redo: lsn, timeline };
        data.add_checkpoint(data.control.checkpoint);
        data.control.state = DbState::ShutDown;
        self.wait_for_senders(mode, ctx);
    }
    fn wait_for_senders(&mut self, mode: StopMode, ctx: &mut Cx<'_>) {
        self.stop = Some(Stop { mode, step: Step::Senders });
        for i in (0..self.senders.len()).rev() {
            self.pump(i, ctx);
        }
        for i in (0..self.senders.len()).rev() {
            self.finish_sender(i, ctx);
        }
        if !self.senders.is_empty() {
            let names: Vec<&str> = self.senders.iter().map(|s| &*s.name).collect();
            let standbys = names.join(", ");
            Self::tell(ctx, Note::StopWaits { standbys, timeout: self.setup.config.wal_sender_timeout });
        }
        self.maybe_leave(ctx);
    }
    /// Ends when the last walsender has.
    pub(super) fn maybe_leave(&mut self, ctx: &mut Cx<'_>) {
        let Some(Stop { mode, step: Step::Senders }) = self.stop else { return };
        if self.senders.is_empty() {
            self.stop = Some(Stop { mode, step: Step::Leaving });
            let wait = Self::draw(self.setup.config.stop_time, ctx);
            ctx.set_timer(T_PHASE, wait);
        }
    }
}
