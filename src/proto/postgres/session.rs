//! Sessions: what clients ask, and what they are told.
//!
//! Sources: PostgreSQL 15, `postmaster.c` (`canAcceptConnections`), `postinit.c`; appendix "Error Codes". A backend that waits for
//! standbys does not notice that its client is gone: it keeps its place among `max_connections` until the wait ends. **Not modelled:**
//! the time that statements take (but for the disk, and for the processors if `cpu_per_read` and the like are set), conflicts of long
//! queries with replay.

use super::data::{SenderState, Slot, Standby, Status, SyncState};
use super::msg::{Answer, Lsn, Place, Sql, SqlState, Statement};
use super::note::Note;
use super::process::{Phase, Postmaster, T_FRESH};
use crate::engine::Time;
use crate::node::process::{Action, ConnId};
use crate::proto::{Cx, Msg};
use std::sync::Arc;

/// A connection that is being authenticated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Fresh {
    ready: Time,
    conn: ConnId,
}
/// A session.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Session {
    conn: ConnId,
    /// A statement is under way.
    busy: bool,
    /// Its client is gone.
    gone: bool,
    /// A cancel has come.
    cancelled: bool,
    /// The server ends it.
    ending: bool,
}

/// The clients of a server.
#[derive(Clone, Debug, Default)]
pub(super) struct Clients {
    pub(super) fresh: Vec<Fresh>,
    pub(super) sessions: Vec<Session>,
    /// It has been told that there are too many.
    told: bool,
}
impl Clients {
    fn get(&mut self, conn: ConnId) -> Option<&mut Session> {
        self.sessions.iter_mut().find(|s| s.conn == conn)
    }
    /// Whether a cancel or a termination waits to be seen.
    pub(super) fn interrupted(&self, conn: ConnId) -> bool {
        self.sessions.iter().any(|s| s.conn == conn && (s.cancelled || s.ending))
    }
    /// Whether the server ends the session.
    pub(super) fn ending(&self, conn: ConnId) -> bool {
        self.sessions.iter().any(|s| s.conn == conn && s.ending)
    }
}

impl Postmaster {
    /// How many connections may wait to be accepted.
    pub(super) fn backlog(&self) -> u32 {
        self.setup.config.max_connections.saturating_mul(2)
    }
    fn say(conn: ConnId, sql: Sql, ctx: &mut Cx<'_>) {
        ctx.act(Action::TcpSend(conn, Msg::Sql(sql)));
    }
    fn fatal(conn: ConnId, code: SqlState, ctx: &mut Cx<'_>) {
        Self::say(conn, Sql::Fatal(code), ctx);
        ctx.act(Action::Close(conn));
    }
    pub(super) fn fail(&mut self, conn: ConnId, query: u32, code: SqlState, ctx: &mut Cx<'_>) {
        self.answer(conn, Sql::Error(query, code), ctx);
    }
    pub(super) fn written(&mut self, conn: ConnId, query: u32, place: Place, warned: bool, ctx: &mut Cx<'_>) {
        self.answer(conn, Sql::Done(query, Answer::Written(place, warned)), ctx);
    }
    pub(super) fn occupy(&mut self, conn: ConnId) {
        if let Some(s) = self.clients.get(conn) {
            s.busy = true;
        }
    }
    /// A statement is over.
    pub(super) fn answer(&mut self, conn: ConnId, sql: Sql, ctx: &mut Cx<'_>) {
        let Some(s) = self.clients.get(conn) else { return };
        s.busy = false;
        s.cancelled = false;
        let (gone, ending) = (s.gone, s.ending);
        if !gone {
            Self::say(conn, sql, ctx);
        }
        if gone || ending {
            self.end_session(conn, ctx);
        }
    }
    /// Ends a session: its client is gone, or the server ends it.
    pub(super) fn end_session(&mut self, conn: ConnId, ctx: &mut Cx<'_>) {
        let Some(i) = self.clients.sessions.iter().position(|s| s.conn == conn) else { return };
        let s = self.clients.sessions.remove(i);
        self.session_over(conn, ctx);
        if !s.gone {
            Self::fatal(conn, SqlState::AdminShutdown, ctx);
        }
        self.count(ctx);
        self.maybe_end(ctx);
    }
    fn count(&self, ctx: &mut Cx<'_>) {
        ctx.files.pg.backends = (self.clients.sessions.len() + self.clients.fresh.len()) as u32;
    }

    /// Why nobody is let in, if it is so.
    fn closed(&self) -> Option<SqlState> {
        let hot = self.setup.config.hot_standby;
        match self.phase {
            _ if self.stop.is_some() => Some(SqlState::CannotConnectNow),
            Phase::Off | Phase::Launching | Phase::Recovering(_) => Some(SqlState::CannotConnectNow),
            // A primary that recovers opens with the end of its recovery, a standby stays open during its promotion.
            Phase::Opening if self.replay.is_hot() && hot => None,
            Phase::Opening => Some(SqlState::CannotConnectNow),
            Phase::Standby(_) | Phase::PromotingReplay | Phase::PromotingSwitch if !hot => {
                Some(SqlState::CannotConnectNow)
            }
            _ => None,
        }
    }
    fn startup(&mut self, conn: ConnId, superuser: bool, ctx: &mut Cx<'_>) {
        if let Some(code) = self.closed() {
            return Self::fatal(conn, code, ctx);
        }
        let config = &self.setup.config;
        let used = (self.clients.sessions.len() + self.clients.fresh.len()) as u32;
        let reserved = if superuser { 0 } else { config.superuser_reserved_connections };
        if used + reserved >= config.max_connections {
            if !self.clients.told {
                self.clients.told = true;
                Self::tell(ctx, Note::TooManyConnections { used });
            }
            return Self::fatal(conn, SqlState::TooManyConnections, ctx);
        }
        let wait = Self::draw(config.connection_time, ctx);
        let ready = ctx.now + wait;
        if self.clients.fresh.iter().all(|f| f.ready > ready) {
            ctx.set_timer(T_FRESH, wait);
        }
        self.clients.fresh.push(Fresh { ready, conn });
        self.count(ctx);
    }
    /// Sessions that are ready.
    pub(super) fn forked(&mut self, ctx: &mut Cx<'_>) {
        while let Some(i) = self.clients.fresh.iter().position(|f| f.ready <= ctx.now) {
            let f = self.clients.fresh.remove(i);
            self.clients.sessions.push(Session {
                conn: f.conn,
                busy: false,
                gone: false,
                cancelled: false,
                ending: false,
            });
            Self::say(f.conn, Sql::Ready(ctx.host, self.phase != Phase::Primary), ctx);
        }
        if let Some(next) = self.clients.fresh.iter().map(|f| f.ready).min() {
            ctx.set_timer(T_FRESH, next.since(ctx.now));
        }
    }
    /// What a client says.
    pub(super) fn client_says(&mut self, conn: ConnId, sql: Sql, ctx: &mut Cx<'_>) {
        match sql {
            Sql::Startup { superuser } => self.startup(conn, superuser, ctx),
            Sql::Login(login) => self.startup(conn, login.superuser, ctx),
            Sql::Query(query, statement) => {
                if self.clients.get(conn).is_some_and(|s| !s.ending) {
                    self.query(conn, query, statement, ctx);
                }
            }
            Sql::Cancel => {
                if let Some(s) = self.clients.get(conn)
                    && s.busy
                {
                    s.cancelled = true;
                    if let Some(query) = self.cut_work_of(conn) {
                        self.fail(conn, query, SqlState::QueryCanceled, ctx);
                    }
                    self.cut_wait_of(conn, ctx);
                }
            }
            Sql::Ready(..) | Sql::Done(..) | Sql::Error(..) | Sql::Fatal(_) => {}
        }
    }
    /// A client has gone.
    pub(super) fn client_gone(&mut self, conn: ConnId, ctx: &mut Cx<'_>) {
        self.clients.fresh.retain(|f| f.conn != conn);
        if let Some(s) = self.clients.get(conn) {
            s.gone = true;
            if !s.busy {
                self.end_session(conn, ctx);
            }
        }
        if self.clients.sessions.len() + self.clients.fresh.len() == 0 {
            self.clients.told = false;
        }
        self.count(ctx);
        self.maybe_end(ctx);
    }
    /// A fast stop: every session is ended; one whose commit is being flushed ends after that.
    pub(super) fn turn_out(&mut self, ctx: &mut Cx<'_>) {
        for f in std::mem::take(&mut self.clients.fresh) {
            Self::fatal(f.conn, SqlState::AdminShutdown, ctx);
        }
        self.count(ctx);
        for i in (0..self.clients.sessions.len()).rev() {
            let Some(s) = self.clients.sessions.get_mut(i) else { continue };
            s.ending = true;
            let (conn, busy) = (s.conn, s.busy);
            let flushing = self.wal.commits.iter().any(|c| c.conn == conn);
            if !flushing {
                self.cut_work_of(conn);
            }
            let over = flushing || (busy && self.cut_wait_of(conn, ctx));
            if !over {
                self.checkpointer.forget(conn);
                self.end_session(conn, ctx);
            }
        }
    }
    /// Every session is broken off.
    pub(super) fn cut_all(&mut self, code: SqlState, ctx: &mut Cx<'_>) {
        for f in std::mem::take(&mut self.clients.fresh) {
            Self::fatal(f.conn, code, ctx);
        }
        for s in std::mem::take(&mut self.clients.sessions) {
            if !s.gone {
                Self::fatal(s.conn, code, ctx);
            }
        }
        self.forget_waits();
        self.count(ctx);
    }

    fn query(&mut self, conn: ConnId, query: u32, statement: Statement, ctx: &mut Cx<'_>) {
        let answer = match statement {
            Statement::Write(id, bytes) => return self.write((conn, query), id, bytes, ctx),
            Statement::Sql(command, id) => return self.command((conn, query), command, id, ctx),
            Statement::Checkpoint => return self.checkpoint_for(conn, query, ctx),
            Statement::Read => Ok(Answer::Seen(self.seen(ctx))),
            Statement::IsInRecovery => Ok(Answer::InRecovery(self.phase != Phase::Primary)),
            Statement::Status => Ok(Answer::Status(Arc::new(self.status(ctx)))),
            Statement::CreateSlot(name) => self.create_slot(name, ctx),
            Statement::DropSlot(name) => Self::drop_slot(&name, ctx),
            Statement::AdvanceSlot(what) => Self::advance_slot(&what.0, what.1, ctx),
            Statement::Promote if self.phase == Phase::Primary => Err(SqlState::WrongState),
            Statement::Promote => {
                Self::say(conn, Sql::Done(query, Answer::Done), ctx);
                ctx.files.pg.promote_signal = true;
                ctx.act(Action::Signal(ctx.me, crate::node::process::Signal::Usr1));
                return;
            }
        };
        self.answer(conn, answer.map_or_else(|e| Sql::Error(query, e), |a| Sql::Done(query, a)), ctx);
    }
    pub(super) fn seen(&self, ctx: &Cx<'_>) -> Place {
        let lsn = if self.phase == Phase::Primary { self.wal.visible } else { self.replay.at(ctx.now) };
        ctx.files.pg.control.history.place(lsn)
    }

    fn create_slot(&self, name: Arc<str>, ctx: &mut Cx<'_>) -> Result<Answer, SqlState> {
        let data = &mut ctx.files.pg;
        if data.slots.contains_key(&name) {
            return Err(SqlState::DuplicateObject);
        }
        if data.slots.len() as u32 >= self.setup.config.max_replication_slots {
            return Err(SqlState::LimitExceeded);
        }
        let restart = Some(data.control.checkpoint.redo.max(data.oldest));
        data.slots.insert(name, Slot { restart, ..Slot::default() });
        Ok(Answer::Done)
    }
    fn drop_slot(name: &str, ctx: &mut Cx<'_>) -> Result<Answer, SqlState> {
        let data = &mut ctx.files.pg;
        match data.slots.get(name) {
            None => Err(SqlState::UndefinedObject),
            Some(slot) if slot.active => Err(SqlState::ObjectInUse),
            Some(_) => {
                data.slots.remove(name);
                Ok(Answer::Done)
            }
        }
    }
    fn advance_slot(name: &str, lsn: Lsn, ctx: &mut Cx<'_>) -> Result<Answer, SqlState> {
        let data = &mut ctx.files.pg;
        let end = data.flushed;
        match data.slots.get_mut(name) {
            None => Err(SqlState::UndefinedObject),
            Some(slot) if slot.active => Err(SqlState::ObjectInUse),
            Some(slot) => {
                // It only moves forward, and not past what there is.
                slot.restart = Some(slot.restart.unwrap_or(lsn).max(lsn.min(end)));
                Ok(Answer::Done)
            }
        }
    }

    fn status(&self, ctx: &Cx<'_>) -> Status {
        let data = &ctx.files.pg;
        let in_recovery = self.phase != Phase::Primary;
        let replayed = self.replay.at(ctx.now);
        let position = if in_recovery { data.end } else { self.wal.insert };
        let standbys = self.senders.iter().enumerate().map(|(i, s)| Standby {
            application_name: s.name.clone(),
            state: s.state,
            sync_state: if s.state == SenderState::Streaming { self.sync_state(i) } else { SyncState::Async },
            sent: s.sent,
            write: s.write,
            flush: s.flush,
            replay: s.apply,
            reply: s.last_reply,
        });
        Status {
            in_recovery,
            timeline: data.control.timeline,
            branch: data.control.history.at(position).branch,
            insert: if in_recovery { Lsn(0) } else { self.wal.insert },
            flush: self.flushed(ctx),
            received: if in_recovery && self.receiver.used { data.end } else { Lsn(0) },
            replayed: if in_recovery { replayed } else { Lsn(0) },
            latest_end: self.receiver.latest_end,
            streaming: self.receiver.streams(),
            upstream: self.receiver.from().filter(|_| self.receiver.streams()),
            standbys: standbys.collect(),
            names: self.names.clone(),
            checkpoint_timeline: data.control.checkpoint.timeline,
            slots: data.slots.iter().map(|(n, s)| (n.clone(), s.clone())).collect(),
            sessions: self.clients.sessions.len() as u32,
            history: data.control.history.clone(),
        }
    }
}
